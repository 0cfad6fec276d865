"""The settings of a run's data: what is read, how it is mixed, packed and evaluated."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from flan_jax.data.batch_plan import TaskLengths
from flan_jax.data.store_requests import Selection
from flan_jax.errors import InputError, unknown_name
from flan_jax.tasks.clusters import CLUSTER_VIEWS, Split, hold_out
from flan_jax.tasks.mixtures import EXAMPLES_PER_DATASET, MAXIMUM_RATE, mixture_or_task
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import ASSIGNMENTS, ZERO_SHOT
from flan_jax.tasks.task import TASKS

EVAL_SPLITS = ("validation", "test")


SOURCES = ("sandbox", "tfds", "jsonl")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What a run reads and how it mixes it.

    mixture: a registered mixture or task. held_out: a cluster or a list of them that is not trained on, with its related ones;
    None for none. clusters: of the 'paper' (12) or of the 'released' code (17).
    source: 'sandbox', 'tfds' or 'jsonl', where the public datasets are read from. tokenizer: a SentencePiece .model file, a
    Hugging Face tokenizer.json, or 'practice'. lengths: tokens of a row, {"inputs": E, "targets": D}; D may be 'fit', which
    chooses it from the data. train_prompts, eval_prompts: how examples are shown. renderings: templates that each training
    example is prepared in, one after the other in its epochs; assignment: which, 'uniform' from the seed or 'round_robin'.
    mixing: 'proportional', 'equal' or {task: weight}; temperature: T5's, for 'proportional'. eval_examples: at most so many examples of each held-out task are scored, seen_eval_examples of each
    task trained on. max_leakage: refuse to go on where a held-out task has the origin of one trained on, or near-duplicates of
    more than this share of its examples among its rows; None: no audit. skip_broken: go on without tasks whose data cannot be prepared.
    """

    mixture: str
    held_out: str | Sequence[str] | None
    source: str
    data_dir: str | None
    tokenizer: str
    lengths: Mapping[str, int | str]
    batch_size: int
    seed: int
    packing: bool = True
    clusters: str = "paper"
    train_prompts: Prompts = ZERO_SHOT
    eval_prompts: Prompts = ZERO_SHOT
    renderings: int = 1
    assignment: str = "uniform"
    mixing: str | Mapping[str, int | float] = "proportional"
    temperature: float = 1.0
    examples_per_dataset: int = EXAMPLES_PER_DATASET
    maximum_rate: int | None = MAXIMUM_RATE
    eval_examples: int = 200
    seen_eval_examples: int = 50
    max_leakage: float | None = None
    skip_broken: bool = False
    cache_dir: str | None = None
    workers: int | None = None

    def __post_init__(self):
        for name in ("examples_per_dataset", "eval_examples", "seen_eval_examples", "renderings"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"DataConfig.{name} is {getattr(self, name)}; it counts something and must be at least 1"
                )

        for name, value, known in (
            ("SOURCE", self.source, SOURCES),
            ("DataConfig.clusters", self.clusters, CLUSTER_VIEWS),
            ("DataConfig.assignment", self.assignment, ASSIGNMENTS),
        ):
            if value not in known:
                raise unknown_name(name, value, known)

    def split(self) -> Split:
        """Who is trained on and who held out."""
        view = CLUSTER_VIEWS[self.clusters]
        return hold_out(
            mixture_or_task(self.mixture), self.held_out, view=view, known=list(TASKS.values())
        )

    @property
    def selection(self) -> Selection:
        return Selection(
            cap=self.examples_per_dataset,
            max_eval_examples=self.eval_examples,
            renderings=self.renderings,
            assignment=self.assignment,
            seed=self.seed,
            prompt_tokens=int(self.lengths["inputs"]),
        )


def default_cache_dir() -> str:
    return os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "flan_jax"
    )


def _check(config: DataConfig) -> None:
    """Raises InputError for what would otherwise be found after the data is prepared, or once for every task."""
    if (
        config.data_dir
        and "://" not in config.data_dir
        and not Path(config.data_dir).expanduser().is_dir()
    ):
        raise InputError(f"DATA_DIR is {config.data_dir}, but there is no such folder")
    check_lengths(config.lengths)


def check_lengths(lengths: Mapping[str, int | str]) -> None:
    """Raises InputError unless there are both sides, long enough for EOS and, on the targets' side, a token beside it."""
    inputs, targets = lengths.get("inputs"), lengths.get("targets")
    right = set(lengths) == {"inputs", "targets"} and isinstance(inputs, int) and inputs >= 1
    if not right or not (targets == "fit" or isinstance(targets, int) and targets >= 2):
        raise InputError(
            f"LENGTHS is {dict(lengths)}; write the tokens of a row, {{'inputs': 1024, 'targets': 256}}. Inputs are at least 1, "
            "targets at least 2, as EOS takes one; 'fit' chooses the targets' length from the data"
        )


def fixed_lengths(lengths: Mapping[str, int | str], refusal: str) -> dict[str, int]:
    """The lengths as numbers. Raises InputError, with `refusal` as its text where targets are 'fit': that takes the data."""
    check_lengths(lengths)
    if lengths["targets"] == "fit":
        raise InputError(refusal)
    return {side: int(length) for side, length in lengths.items()}


def fit_lengths(
    lengths: Mapping[str, int | str], tasks: Mapping[str, TaskLengths], rates: Mapping[str, int]
) -> dict[str, int]:
    """The lengths with targets 'fit' replaced by the shortest target side that holds what the input side lets in.

    That is the larger of the targets' 99.9th percentile (by mixing rate) and 1.1 times the target tokens that come with a
    full row of inputs, rounded up to a multiple of 8.
    """
    check_lengths(lengths)
    if lengths.get("targets") != "fit":
        return {side: int(lengths[side]) for side in ("inputs", "targets")}
    weight = np.concatenate(
        [np.full(len(t.targets), rates[name] / len(t.targets)) for name, t in tasks.items()]
    )
    inputs = np.minimum(
        np.concatenate([t.inputs for t in tasks.values()]) + 1, int(lengths["inputs"])
    )
    targets = np.concatenate([t.targets for t in tasks.values()]) + 1
    order = np.argsort(targets)
    longest = targets[order][np.searchsorted(np.cumsum(weight[order]), 0.999 * weight.sum())]
    beside = int(lengths["inputs"]) * (targets @ weight) / (inputs @ weight)
    return {
        "inputs": int(lengths["inputs"]),
        "targets": int(-(-max(longest, 1.1 * beside) // 8) * 8),
    }
