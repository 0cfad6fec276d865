"""Checkpoints in orbax's format: saved while training goes on, resumed bit for bit, or warm-started from."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from flan_jax.errors import InputError, unknown_name
from flan_jax.parallel import multihost
from flan_jax.training.state import TrainState
from flan_jax.weights.orbax import CheckpointFailed, open_manager, restore, translate_save_errors

ON_FAILURE = ("stop", "skip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """A checkpoint every `every` steps and at the end; kept are the `keep_last` latest and the `keep_best` of lowest loss.

    on_failure: what to do when one cannot be saved: 'stop', or 'skip' it and say so; the last one must be saved.
    """

    every: int = 200
    keep_last: int = 2
    keep_best: int = 1
    on_failure: str = "stop"

    def __post_init__(self):
        for name, least in (("every", 1), ("keep_last", 1), ("keep_best", 0)):
            if getattr(self, name) < least:
                raise InputError(
                    f"CheckpointConfig.{name} is {getattr(self, name)}; it must be at least {least}"
                )
        if self.on_failure not in ON_FAILURE:
            raise unknown_name("CheckpointConfig.on_failure", self.on_failure, ON_FAILURE)
        if self.on_failure == "skip" and multihost.is_multi_process():
            raise InputError(
                "CheckpointConfig.on_failure is 'skip', which one process alone can do; write 'stop'"
            )


class Checkpoints:
    """The checkpoints/ folder of one run. Each checkpoint has two items: `params`, and `rest` (optimizer state, step, key).

    Saving returns at once; `wait()` until what was saved is on disk. A killed save leaves nothing that counts as a checkpoint.
    """

    def __init__(self, folder: Path, config: CheckpointConfig):
        keep = [
            LatestN(config.keep_last),
            BestN(
                get_metric_fn=_loss,
                reverse=True,
                n=config.keep_best,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        # Without best_fn orbax writes no metrics, and a resumed run would not know which checkpoint was best.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=AnyPreservationPolicy(keep),
            best_fn=_loss,
            best_mode="min",
            cleanup_tmp_directories=True,
            enable_async_checkpointing=True,
        )
        self._manager, self._skips = open_manager(folder, options), config.on_failure == "skip"

    def latest_step(self) -> int | None:
        """As the first process sees it: others may look into a folder that their host keeps an older copy of."""
        return multihost.broadcast_from_zero(self._manager.latest_step())

    def save(self, state: TrainState, loss: float, must: bool = True) -> None:
        """Saves the state of step `state.step`. `loss` is the mean training loss since the checkpoint before.

        Whether the one before was saved is known only now. Where failures are to be skipped, its own is one unless it `must`
        be saved.
        """
        params, rest = _items(state)
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(params), rest=ocp.args.StandardSave(rest)
        )
        with self._skipped(self._skips):
            self.wait()
        with (
            self._skipped(self._skips and not must),
            translate_save_errors(self._manager.directory),
        ):
            self._manager.save(int(state.step), args=items, metrics={"loss": loss})

    @contextlib.contextmanager
    def _skipped(self, skips: bool) -> Iterator[None]:
        try:
            yield
        except (OSError, CheckpointFailed) as error:
            if not skips:
                raise
            print(
                f"a checkpoint was not saved, and training goes on: {error}",
                file=sys.stderr,
                flush=True,
            )

    def restore(self, like: TrainState) -> TrainState:
        """The latest checkpoint, each array placed as in `like`. Raises InputError when it is of another model."""
        params, rest = _items(like)
        step = self.latest_step()
        assert step is not None, "callers look whether there is a checkpoint"
        restored = restore(Path(self._manager.directory), step, {"params": params, "rest": rest})
        return like.replace(params=restored["params"], **restored["rest"])

    def wait(self) -> None:
        with translate_save_errors(self._manager.directory):
            self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()


def _loss(metrics: Mapping[str, float]) -> float:
    return metrics["loss"]


def _items(state: TrainState) -> tuple[Any, dict[str, Any]]:
    return state.params, {"opt_state": state.opt_state, "step": state.step, "rng": state.rng}
