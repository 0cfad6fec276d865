"""Everything that is decided about a run before it starts."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flan_jax.data.config import DataConfig
from flan_jax.errors import InputError, unknown_name
from flan_jax.evaluation.config import EvalConfig
from flan_jax.training.checkpoints import CheckpointConfig
from flan_jax.training.optimizers import OptimizerConfig

NOT_FINITE = ("stop", "skip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """steps: optimizer updates. microbatches: pieces that a batch's gradient is summed over. log_every: steps a line.

    warm_start: where training takes its first parameters from: a run directory, a Hugging Face folder, a T5X checkpoint. mesh: sizes by axis, None for {"data": -1}.
    not_finite: what to do where loss or gradient is NaN or infinite: 'stop', or 'skip' the update (a whole log line of such
    stops all the same). stall_seconds: how long a batch may take before the run stops.
    compiler_options: XLA's flags for the training step, {"xla_...": value}.
    """

    steps: int
    seed: int
    warm_start: str | None = None
    mesh: Mapping[str, int] | None = None
    microbatches: int = 1
    z_loss: float = 1e-4
    log_every: int = 10
    not_finite: str = "stop"
    stall_seconds: int = 600
    compiler_options: Mapping[str, Any] | None = None

    def __post_init__(self):
        if self.not_finite not in NOT_FINITE:
            raise unknown_name("TrainConfig.not_finite", self.not_finite, NOT_FINITE)
        for name in ("steps", "microbatches", "log_every", "stall_seconds"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"TrainConfig.{name} is {getattr(self, name)}; it must be at least 1"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that is decided about a run. `model` is a configuration with architecture, build() and train_flops()."""

    data: DataConfig
    model: Any
    optimizer: OptimizerConfig
    training: TrainConfig
    checkpoints: CheckpointConfig
    evaluation: EvalConfig
