"""SIGTERM, as preemptible machines send it: end soon, with everything saved."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from flan_jax.parallel import multihost


class Preempted(BaseException):
    """SIGTERM came, at any line of code: no `except Exception` may take it for that code's failure. What is done so far is saved; the same command goes on from there."""


class Preemption:
    """From now on SIGTERM raises Preempted in the main thread, at once, or where `held` asks for it.

    Of several processes each hears of a SIGTERM to any, and all stop where `stops` says so.
    """

    def __init__(self):
        self.asked = False
        self._held = False
        if not multihost.is_multi_process():  # there JAX listens for it
            signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        if not self._held:
            raise Preempted

    def stops(self) -> bool:
        """Whether to stop here. Several processes ask at the same places, and are told the same."""
        self.asked = self.asked or (multihost.is_multi_process() and multihost.preemption_reached())
        return self.asked

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, SIGTERM only sets `asked`: the caller looks at it where it can stop, and raises Preempted itself."""
        self._held = True
        try:
            yield
        finally:
            self._held = False


def stop_together() -> None:
    """Between two pieces of what several processes do in step: raises Preempted in all, where one has been asked to end."""
    if multihost.is_multi_process() and multihost.preemption_reached():
        raise Preempted
