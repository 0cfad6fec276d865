"""The settings of a run."""

import dataclasses
from collections.abc import Mapping, Sequence

from flan_jax.data.config import DataConfig
from flan_jax.data.row_format import RowFormat, format_of_json, make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import (
    InputError,
    check_at_least,
    check_number,
    check_seed,
    unknown_name,
)
from flan_jax.evaluation.config import EvalConfig
from flan_jax.json_files import JsonObject
from flan_jax.models.config import ModelConfig, check_model_config
from flan_jax.models.decoder import DecoderConfig
from flan_jax.training.checkpoints import CheckpointConfig
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.weights.model_folder import default_row_format, is_gone

NOT_FINITE = ("stop", "skip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of the training loop.

    Attributes:
      steps: number of optimizer updates.
      seed: seed of the random parameters and of dropout.
      warm_start: where the first parameters come from: a run directory, a Hugging Face folder or a
        T5X checkpoint. None: random parameters. Only parameters are taken: the optimizer starts
        anew and steps count from 0, where T5X itself goes on with the checkpoint's moments and
        step.
      model_changes: settings of MODEL that may differ from those in WARM_START's config.json, as
        from_warm_start names them; any other difference is refused.
      trainable: regex of parameter paths (re.search in "decoder/layers/mlp/wo/kernel"); the
        parameters without a match are frozen. None: all are trained.
      mesh: sizes of the mesh axes. None: {"data": -1}.
      microbatches: number of pieces of a batch over which gradients are accumulated.
      z_loss: coefficient of the z-loss.
      log_every: steps between two lines of metrics.jsonl.
      not_finite: what to do if the loss or the gradient is NaN or infinite: "stop", or "skip" the
        update. A run of skipped updates as long as `log_every` stops the run, too.
      stall_seconds: how long to wait for a batch before the run stops.
      compiler_options: XLA's flags for the training step, {"xla_...": value}.
    """

    steps: int
    seed: int
    warm_start: str | None = None
    model_changes: Sequence[str] = ()
    trainable: str | None = None
    mesh: Mapping[str, int] | None = None
    microbatches: int = 1
    z_loss: float = 1e-4
    log_every: int = 10
    not_finite: str = "stop"
    stall_seconds: int = 600
    compiler_options: Mapping[str, bool | int | float | str] | None = None

    def __post_init__(self):
        if self.not_finite not in NOT_FINITE:
            raise unknown_name("TrainConfig.not_finite", self.not_finite, NOT_FINITE)
        check_at_least(self, steps=1, microbatches=1, log_every=1, stall_seconds=1)
        check_seed(self)
        check_number("TrainConfig.z_loss", self.z_loss, least=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run.

    Attributes:
      data: the mixture, its tokens and its batches.
      model: the architecture and its sizes.
      optimizer: the optimizer and its learning-rate schedule.
      training: the training loop.
      checkpoints: when checkpoints are saved and which are kept.
      evaluation: which scores are computed, and when.

    Raises:
      InputError: the model is of a class that does not have what a run needs of it.
    """

    data: DataConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    training: TrainConfig
    checkpoints: CheckpointConfig
    evaluation: EvalConfig

    def __post_init__(self):
        check_model_config(self.model)

    def row_format(self) -> tuple[str | RowFormat, str]:
        """Returns the row format of the run, and why it is this one."""
        setting = self.data.row_format
        if setting is None:
            return "flan", "the default"
        warm_start = self.training.warm_start
        if warm_start is not None and not is_gone(warm_start):
            named = default_row_format(warm_start)
            if named is not None and format_of_json(named, warm_start) == setting:
                return setting, f"the form of {warm_start}"
        return setting, "ROW_FORMAT"

    def with_rows_of(self, identity: JsonObject) -> "Settings":
        """Returns the settings with the row format of a run that has begun, where none is set.

        Args:
          identity: the run's identity; {} of a run that has none.
        """
        if self.data.row_format is not None or "row_format" not in identity:
            return self
        row_format = format_of_json(identity["row_format"], "the run's manifest.json")
        data = dataclasses.replace(self.data, row_format=row_format)
        return dataclasses.replace(self, data=data)

    def row_tokenizer(self) -> RowTokenizer:
        """Loads the tokenizer, and returns it with the row format.

        Raises:
          InputError: there is no such tokenizer or format, or the tokenizer cannot write it.
        """
        setting, _ = self.row_format()
        tokenizer = load_tokenizer(self.data.tokenizer)
        start_id = getattr(self.model, "start_id", None)
        row_format = make_row_format(setting, tokenizer, start_id)
        prefix_lm = getattr(self.model, "prefix_lm", None)
        if row_format.prefix_lm not in (None, prefix_lm):
            raise InputError(
                f"the row format {setting!r} has prefix_lm={row_format.prefix_lm}, but the model "
                f"has {prefix_lm}; write DecoderConfig.prefix_lm = {row_format.prefix_lm}"
            )
        row_tokenizer = RowTokenizer(tokenizer, row_format, self.model.architecture)
        row_tokenizer.check()
        return row_tokenizer

    def with_prefix_of_rows(self) -> "Settings":
        """Returns the settings with the model's prefix_lm as the row format sets it.

        Raises:
          InputError: the format sets it, and the model is no decoder.
        """
        setting, _ = self.row_format()
        if isinstance(setting, str) or setting.prefix_lm is None:
            return self
        if not isinstance(self.model, DecoderConfig):
            raise InputError(
                f"RowFormat.prefix_lm is {setting.prefix_lm}, which is for decoders, but MODEL is "
                f"a {type(self.model).__name__}; leave it out"
            )
        model = dataclasses.replace(self.model, prefix_lm=setting.prefix_lm)
        return dataclasses.replace(self, model=model)
