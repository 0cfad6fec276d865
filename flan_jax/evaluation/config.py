"""The settings of evaluation, and what one evaluation consists of."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import Mesh

from flan_jax.data.mixture_data import StoreKey
from flan_jax.data.token_store import TokenStore
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError
from flan_jax.evaluation.predictions import check_scoring
from flan_jax.run_dir import Run
from flan_jax.tasks.prompts import Prompts


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """rows: prompts in a batch. scoring: what options are ranked by, see `option_scores` in `predictions.py`:
    "sum" of log-probabilities (FLAN's way), "mean" of a token, or "calibrated" by the option's unconditional probability.

    untuned_dir: a folder where the scores before training are kept for all runs that start from the same parameters.
    every: score the held-out tasks every so many steps of training, on `during_examples` test examples of each; None: not.
    more: further prompts under which the held-out tasks are scored before and after training, by name: {"none": Prompts(...)}
    gives "before-none" and "after-none".
    """

    rows: int = 32
    scoring: str = "sum"
    untuned_dir: str | None = None
    every: int | None = None
    during_examples: int = 50
    more: Mapping[str, Prompts] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_scoring(self.scoring)
        for name in ("rows", "every", "during_examples"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"EvalConfig.{name} is {value}; it must be at least 1")
        for name, prompts in self.more.items():
            if not re.fullmatch(r"\w+", str(name)) or not isinstance(prompts, Prompts):
                raise InputError(
                    f"EvalConfig.more is {{{name!r}: {prompts!r}}}; write a name of letters, digits and '_', and prompts: "
                    "{'none': @none/Prompts()}, with none/Prompts.instructions = 'none'"
                )


@dataclasses.dataclass(frozen=True)
class EvalContext:
    """What all evaluations of a run have in common. `lengths`: tokens that the model sees of inputs and targets."""

    run: Run
    model: Any
    tokenizer: Tokenizer
    lengths: Mapping[str, int]
    mesh: Mesh
    config: EvalConfig

    def scorer(self, params: Any) -> Scorer:
        return Scorer(
            self.model, params, self.mesh, rows=self.config.rows, eos_id=self.tokenizer.eos_id
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalJob:
    """Which prompts are scored, and under which name: "before" or "after" training, "after-NAME" (and "before-NAME") under
    other prompts.

    `limits` is how many rows of each store. `held_out` are the tasks that are not trained on.
    """

    when: str
    prompts: Prompts
    stores: Mapping[StoreKey, TokenStore]
    limits: Mapping[StoreKey, int]
    held_out: Sequence[str]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self.stores))
