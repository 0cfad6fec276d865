"""The settings of evaluation."""

import dataclasses
import re
from collections.abc import Mapping

from jax.sharding import Mesh

from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.decoding.generation import GREEDY, GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError, check_at_least
from flan_jax.evaluation.predictions import Predictor, check_scoring
from flan_jax.models.config import ModelConfig
from flan_jax.pytrees import Params
from flan_jax.run_dir import Run
from flan_jax.tasks.prompts import Prompts


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How a run is evaluated.

    Attributes:
      rows: prompts in a batch.
      scoring: by what rank classification ranks options, see `predictions.option_scores`: "sum" of
        their log-probabilities (as FLAN), "mean" over their tokens, or "calibrated" by the option's
        unconditional log-probability.
      generation: how answers of tasks without options are generated; greedily by default. Its
        max_length is that of LENGTHS' targets unless it is set.
      untuned_dir: a folder for scores before training, which all runs share that start from the
        same parameters; None to keep them in the run alone.
      every: training steps between two evaluations of the held-out tasks; None for no evaluation
        during training.
      during_examples: test examples of each task in the evaluations of `every`.
      more: additional prompts, by name, under which the held-out tasks are scored before and after
        training: {"none": Prompts(...)} gives the phases "before-none" and "after-none".
      controls: whether the held-out tasks are also scored in ways that show what a score is worth:
        the untuned model on their clozes and with exemplars, the tuned one without the premise (see
        `controls.control_jobs`).
    """

    rows: int = 32
    scoring: str = "sum"
    generation: GenerationConfig = GREEDY
    untuned_dir: str | None = None
    every: int | None = None
    during_examples: int = 50
    more: Mapping[str, Prompts] = dataclasses.field(default_factory=dict)
    controls: bool = False

    def __post_init__(self):
        check_scoring(self.scoring)
        check_at_least(self, rows=1, every=1, during_examples=1)
        for name, prompts in self.more.items():
            is_name = re.fullmatch(r"\w+", str(name)) is not None
            if not is_name or not isinstance(prompts, Prompts):
                raise InputError(
                    f"EvalConfig.more is {{{name!r}: {prompts!r}}}; write a name of letters, "
                    "digits and '_', and prompts: {'none': @none/Prompts()}, with "
                    "none/Prompts.instructions = 'none'"
                )


@dataclasses.dataclass(frozen=True)
class EvalContext:
    """Context shared by all evaluations of a run.

    Attributes:
      run: the run directory that holds the scores.
      model: the model's configuration.
      row_tokenizer: makes the tokens of prompts and answers.
      lengths: {"inputs": tokens of a prompt, "targets": tokens of an answer} that the model sees.
      mesh: the device mesh.
      config: the settings of evaluation.
    """

    run: Run
    model: ModelConfig
    row_tokenizer: RowTokenizer
    lengths: Mapping[str, int]
    mesh: Mesh
    config: EvalConfig

    def predictor(
        self,
        params: Params,
        scoring: str | None = None,
        row_tokenizer: RowTokenizer | None = None,
    ) -> Predictor:
        """Returns a predictor that answers prompts with these parameters.

        Args:
          params: parameters of `model`, placed on `mesh`.
          scoring: by what options are ranked; None for what the settings say.
          row_tokenizer: makes the tokens of prompts and answers; None for the run's.

        Returns:
          The predictor, with this evaluation's rows, lengths, scoring and generation settings.
        """
        scorer = Scorer(
            self.model,
            params,
            self.mesh,
            rows=self.config.rows,
            stop_ids=self.row_tokenizer.tokens.stop_ids,
        )
        return Predictor(
            scorer=scorer,
            row_tokenizer=row_tokenizer or self.row_tokenizer,
            lengths=self.lengths,
            scoring=scoring or self.config.scoring,
            generation=self.config.generation,
        )
