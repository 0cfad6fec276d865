"""A run's checkpoints, in orbax's format: asynchronous saving, and restoring bit for bit."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from flan_jax.errors import InputError, check_at_least, unknown_name
from flan_jax.json_files import JsonObject
from flan_jax.parallel import multihost
from flan_jax.pytrees import Tree, map_named, named_leaves
from flan_jax.training.state import TrainState
from flan_jax.weights.orbax import (
    CheckpointFailed,
    frozen_params_id,
    open_manager,
    restore,
    save_step,
    translate_save_errors,
)

ON_FAILURE = ("stop", "skip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are saved and which are kept. One is always saved at the end.

    Attributes:
      every: steps between two checkpoints.
      keep_last: number of latest checkpoints to keep.
      keep_best: number of checkpoints of lowest training loss to keep.
      on_failure: what to do if one cannot be saved: "stop", or "skip" it, which is reported. The
        last one must be saved.
    """

    every: int = 200
    keep_last: int = 2
    keep_best: int = 1
    on_failure: str = "stop"

    def __post_init__(self):
        check_at_least(self, every=1, keep_last=1, keep_best=0)
        if self.on_failure not in ON_FAILURE:
            raise unknown_name(
                "CheckpointConfig.on_failure", self.on_failure, ON_FAILURE
            )
        if self.on_failure == "skip" and multihost.is_multi_process():
            raise InputError(
                "CheckpointConfig.on_failure is 'skip', which needs a run of one process; "
                "write 'stop'"
            )


class Checkpoints:
    """The checkpoints/ folder of one run.

    A checkpoint has the items `params`, all parameters of the model, and `rest`: optimizer state,
    step and random key. Frozen parameters of a warm start are not copied into each checkpoint: it
    has the item `frozen` instead, their identity. Random ones are, as other hardware or other
    versions would draw others from the same seed.
    Saving returns at once. A save that is killed leaves nothing that counts as a checkpoint.

    Args:
      folder: the folder.
      config: which checkpoints are kept.
      frozen: the identity of the frozen parameters if they are not to be saved; None: all
        parameters are.
    """

    def __init__(
        self, folder: Path, config: CheckpointConfig, frozen: JsonObject | None = None
    ):
        latest = LatestN(config.keep_last)
        best = BestN(
            get_metric_fn=_loss,
            reverse=True,
            n=config.keep_best,
            keep_checkpoints_without_metrics=False,
        )
        # Without best_fn orbax writes no metrics, and a resumed run would not know which
        # checkpoint was best.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=AnyPreservationPolicy([latest, best]),
            best_fn=_loss,
            best_mode="min",
            cleanup_tmp_directories=True,
            enable_async_checkpointing=True,
        )
        self._manager = open_manager(folder, options)
        self._skips_failures = config.on_failure == "skip"
        self._frozen = frozen

    def latest_step(self) -> int | None:
        """Returns the step of the latest checkpoint, as process 0 sees it.

        Other processes may look into a folder that their host has an older copy of.
        """
        return multihost.broadcast_from_zero(self._manager.latest_step())

    def save(self, state: TrainState, loss: float, must: bool = True) -> None:
        """Begins to save a state, after the save before has ended.

        Args:
          state: the state to save, as the checkpoint of its step.
          loss: the mean training loss since the checkpoint before.
          must: raise if this save fails at once, even if failures are to be skipped. A failure of
            the save before is known only now, and skipped if failures are.

        Raises:
          OSError: the disk is full.
          CheckpointFailed: the save failed for another reason.
        """
        items: dict[str, ocp.args.CheckpointArgs] = {}
        saves_all = self._frozen is None
        for name, item in _items(state, saves_all).items():
            items[name] = ocp.args.StandardSave(item)
        if self._frozen is not None:
            items["frozen"] = ocp.args.JsonSave(dict(self._frozen))
        with self._reported(self._skips_failures):
            self.wait()
        skips = self._skips_failures and not must
        with self._reported(skips), translate_save_errors(self._manager.directory):
            save_step(
                self._manager,
                int(state.step),
                ocp.args.Composite(**items),
                metrics={"loss": loss},
            )

    @contextlib.contextmanager
    def _reported(self, skips: bool) -> Iterator[None]:
        """Prints a failure to save instead of raising it, if `skips`."""
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
        """Returns the state of the latest checkpoint, which must exist.

        Args:
          like: arrays or shapes; each array is placed as in it. Frozen parameters that the
            checkpoint does not hold (see `holds_all_params`) are returned as they are.

        Raises:
          InputError: the checkpoint is of another model or optimizer.
        """
        step = self.latest_step()
        assert step is not None, "callers look whether there is a checkpoint"
        holds_all = self.holds_all_params()
        folder = Path(self._manager.directory)
        restored = restore(folder, step, _items(like, holds_all))
        leaves = named_leaves(restored["params"])

        def restored_leaf(name: str, _: object) -> jax.Array:
            return leaves[name]

        frozen = map_named(restored_leaf, like.frozen) if holds_all else like.frozen
        params = map_named(restored_leaf, like.params)
        return like.replace(params=params, frozen=frozen, **restored["rest"])

    def holds_all_params(self) -> bool:
        """Returns whether the latest checkpoint, which must exist, holds frozen parameters too."""
        frozen = frozen_params_id(Path(self._manager.directory))
        return multihost.broadcast_from_zero(frozen is None)

    def wait(self) -> None:
        """Waits until what was saved is on disk. Raises as `save` does."""
        with translate_save_errors(self._manager.directory):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Releases the folder, after waiting for what is being saved."""
        self._manager.close()


def _loss(metrics: Mapping[str, float]) -> float:
    return metrics["loss"]


def _items(state: TrainState, with_frozen: bool) -> dict[str, Tree]:
    params = state.all_params if with_frozen else state.params
    rest = {"opt_state": state.opt_state, "step": state.step, "rng": state.rng}
    return {"params": params, "rest": rest}
