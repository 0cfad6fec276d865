"""SIGTERM, which preemptible machines send before they go: stop soon, with everything saved."""

import contextlib
import signal
import types
from collections.abc import Iterator

from flan_jax.parallel import multihost


class Preempted(BaseException):
    """SIGTERM has come; the same command continues from what has been saved.

    It can be raised at any line of code. It is not an Exception, so that no
    `except Exception` takes it for a failure of that code.
    """


class Preemption:
    """Handles SIGTERM: raises Preempted in the main thread, at once or where `held` asks for it.

    Where several processes run together, a SIGTERM to any of them reaches all, and all stop at the
    same call of `stops`.

    Attributes:
      asked: whether this process has been asked to stop.
    """

    def __init__(self):
        self.asked = False
        self._is_held = False
        if not multihost.is_multi_process():  # otherwise JAX listens for SIGTERM
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: types.FrameType | None) -> None:
        self.asked = True
        if not self._is_held:
            raise Preempted

    def stops(self) -> bool:
        """Returns whether to stop here.

        All processes must call it equally often, at the same places; they get the same answer.
        """
        if multihost.is_multi_process() and not self.asked:
            self.asked = multihost.preemption_reached()
        return self.asked

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within the context SIGTERM only sets `asked`; the caller stops where it can."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False


def stop_together() -> None:
    """Raises Preempted in all processes if one of them was sent SIGTERM.

    To be called between two steps of work that the processes do together.
    """
    if multihost.is_multi_process() and multihost.preemption_reached():
        raise Preempted
