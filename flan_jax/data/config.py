"""The settings of a run's data: what is read, how it is mixed, packed and evaluated."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from flan_jax.data.batch_plan import TaskLengths
from flan_jax.data.row_format import RowFormat
from flan_jax.data.store_requests import Selection
from flan_jax.errors import (
    InputError,
    check_at_least,
    check_number,
    check_seed,
    is_whole,
    unknown_name,
)
from flan_jax.tasks.clusters import Split, cluster_view, hold_out
from flan_jax.tasks.mixtures import EXAMPLES_PER_DATASET, MAXIMUM_RATE, mixture_or_task
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import ASSIGNMENTS, ZERO_SHOT
from flan_jax.tasks.task import TASKS, get_task

EVAL_SPLITS = ("validation", "test")
"""The splits of a held-out task that are evaluated."""

SOURCES = ("sandbox", "tfds", "jsonl")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What a run reads and how it mixes it.

    Attributes:
      mixture: the name of a registered mixture or task.
      held_out: the cluster, or list of clusters, that is not trained on; its related clusters are
        not trained on either. None for none.
      only: the cluster that is trained on alone; None for all that are not held out. Without a
        `held_out` all others that are not related to it are held out.
      source: where the public datasets are read from: 'sandbox', 'tfds' or 'jsonl'.
      data_dir: the folder of the TFDS data or of the JSON-lines files; None for TFDS's default.
      tokenizer: a SentencePiece .model file, a Hugging Face tokenizer.json, or 'practice'.
      lengths: tokens of a row, {"inputs": 1024, "targets": 256}; targets 'fit' is chosen from the
        data.
      row_format: how prompts and answers stand in a row: 'flan', 'text', 'chat', a registered name
        or @RowFormat(). None for what WARM_START says, and FLAN's if it says nothing.
      batch_size: rows of a batch.
      seed: seed of the order, the templates and the few-shot exemplars of training examples.
      packing: whether a row holds several examples.
      clusters: the clusters that tasks are grouped by: 'paper' (12), 'released' (the code's 17), or
        'collection/grouping' for a grouping of a collection.
      train_prompts: how training examples are shown.
      eval_prompts: how evaluation examples are shown.
      shuffle_labels: whether each training example of a task with options has the answer of another
        example of the task. What a model then learns is the form of answers, not the tasks: a
        control of a run without it (Kung and Peng 2023).
      renderings: in how many templates each training example is prepared; one after the other is
        used in its epochs.
      assignment: how templates are assigned: 'uniform' (drawn from the seed) or 'round_robin'.
      mixing: 'proportional', 'equal' or {task: weight}.
      temperature: T5's mixing temperature, for 'proportional' mixing.
      examples_per_dataset: at most so many training examples of each task are used.
      maximum_rate: the largest mixing rate that a task can have; None for no limit.
      eval_examples: at most so many examples of each held-out task are scored.
      seen_eval_examples: at most so many test examples of each task trained on are scored.
      max_leakage: refuse to go on if a held-out task shares its origin with a task trained on, or
        if more than this share of its examples are near-duplicates of training examples. None to
        skip the audit.
      skip_broken: whether to go on without tasks whose data cannot be prepared.
      cache_dir: the folder of the token stores; None for ~/.cache/flan_jax.
      workers: processes that prepare data; None for one a core.
    """

    mixture: str
    held_out: str | Sequence[str] | None
    source: str
    data_dir: str | None
    tokenizer: str
    lengths: Mapping[str, int | str]
    batch_size: int
    seed: int
    only: str | None = None
    row_format: str | RowFormat | None = None
    packing: bool = True
    clusters: str = "paper"
    train_prompts: Prompts = ZERO_SHOT
    eval_prompts: Prompts = ZERO_SHOT
    shuffle_labels: bool = False
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
        check_at_least(
            self,
            examples_per_dataset=1,
            eval_examples=1,
            seen_eval_examples=1,
            renderings=1,
            maximum_rate=1,
            workers=0,
        )
        if not is_whole(self.batch_size):  # how large it must be depends on the mesh
            raise InputError(f"BATCH_SIZE is {self.batch_size!r}; write a whole number")
        check_seed(self)
        check_number("DataConfig.temperature", self.temperature, least=1.0)
        if self.max_leakage is not None:
            check_number(
                "DataConfig.max_leakage", self.max_leakage, least=0.0, most=1.0
            )
        if self.source not in SOURCES:
            raise unknown_name("SOURCE", self.source, SOURCES)
        cluster_view(self.clusters)
        if self.assignment not in ASSIGNMENTS:
            raise unknown_name("DataConfig.assignment", self.assignment, ASSIGNMENTS)

    def split(self) -> Split:
        """Returns the tasks that are trained on and those that are held out."""
        view = cluster_view(self.clusters)
        split = hold_out(
            mixture_or_task(self.mixture),
            self.held_out_clusters,
            view=view,
            known=list(TASKS.values()),
        )
        if self.only is None:
            return split
        return split.with_training_on(self.only, view)

    @property
    def held_out_clusters(self) -> tuple[str, ...]:
        """The names of the clusters that are held out, as `held_out` and `only` say."""
        if self.held_out is None and self.only is not None:
            view = cluster_view(self.clusters)
            return tuple(view.unrelated(self.only, mixture_or_task(self.mixture)))
        if isinstance(self.held_out, str):
            return (self.held_out,)
        return tuple(self.held_out or ())

    def cluster_of_each(self, tasks: Iterable[str]) -> dict[str, str]:
        """Returns {task: the cluster that it is counted in}, see ClusterView.cluster_of_each.

        Args:
          tasks: the names of tasks.
        """
        named = self.held_out_clusters
        if self.only is not None:
            named = (*named, self.only)
        view = cluster_view(self.clusters)
        return view.cluster_of_each([get_task(name) for name in tasks], named)

    @property
    def selection(self) -> Selection:
        """Which examples the token stores of this run hold."""
        return Selection(
            cap=self.examples_per_dataset,
            max_eval_examples=self.eval_examples,
            renderings=self.renderings,
            assignment=self.assignment,
            seed=self.seed,
            prompt_tokens=int(self.lengths["inputs"]),
            shuffle_labels=self.shuffle_labels,
        )

    @property
    def cache_folder(self) -> str:
        """The folder of the token stores."""
        return self.cache_dir or default_cache_dir()


def default_cache_dir() -> str:
    """Returns the folder of the token stores where DataConfig.cache_dir is None."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache_home, "flan_jax")


def check_data(config: DataConfig) -> None:
    """Checks what otherwise fails late (after the data is prepared) or often (for every task).

    Raises:
      InputError: data_dir is a local folder that does not exist, or the lengths are not valid.
    """
    data_dir = config.data_dir or ""
    is_local = data_dir and "://" not in data_dir
    if is_local and not Path(data_dir).expanduser().is_dir():
        raise InputError(f"DATA_DIR is {data_dir}, but there is no such folder")
    check_lengths(config.lengths)


def check_lengths(lengths: Mapping[str, int | str]) -> None:
    """Checks the setting of a row's lengths.

    Args:
      lengths: valid are {"inputs": at least 1, "targets": at least 2 or 'fit'}. Targets need room
        for EOS and a token before it.

    Raises:
      InputError: the lengths are not valid.
    """
    inputs, targets = lengths.get("inputs"), lengths.get("targets")
    has_both_sides = set(lengths) == {"inputs", "targets"}
    inputs_fit = is_whole(inputs) and inputs >= 1
    targets_fit = targets == "fit" or (is_whole(targets) and targets >= 2)
    if not (has_both_sides and inputs_fit and targets_fit):
        raise InputError(
            f"LENGTHS is {dict(lengths)}; write the tokens of a row, {{'inputs': 1024, 'targets': "
            "256}. Inputs are at least 1, targets at least 2, as EOS takes one; 'fit' chooses the "
            "targets' length from the data"
        )


def fixed_lengths(lengths: Mapping[str, int | str], refusal: str) -> dict[str, int]:
    """Returns a row's lengths as numbers, for callers that have no data to choose them from.

    Args:
      lengths: the setting, see `check_lengths`.
      refusal: the text of the error if the targets' length is 'fit'.

    Raises:
      InputError: the lengths are not valid, or the targets' length is 'fit'.
    """
    check_lengths(lengths)
    if lengths["targets"] == "fit":
        raise InputError(refusal)
    return {side: int(length) for side, length in lengths.items()}


def fit_lengths(
    lengths: Mapping[str, int | str],
    tasks: Mapping[str, TaskLengths],
    rates: Mapping[str, int],
) -> dict[str, int]:
    """Returns a row's lengths as numbers; a targets' length of 'fit' is chosen from the data.

    The chosen length is the larger of the targets' 99.9th percentile and 1.1 times the target
    tokens that come with a full row of inputs, rounded up to a multiple of 8: the shortest one with
    which the inputs' side, not the targets', decides how many examples a row holds.

    Args:
      lengths: the setting, see `check_lengths`.
      tasks: the lengths of each task's examples.
      rates: the mixing rate of each task.

    Raises:
      InputError: the lengths are not valid.
    """
    check_lengths(lengths)
    row_inputs = int(lengths["inputs"])
    if lengths["targets"] != "fit":
        return {"inputs": row_inputs, "targets": int(lengths["targets"])}

    # Each example counts as often as it is drawn.
    weights = [
        np.full(len(task), rates[name] / len(task)) for name, task in tasks.items()
    ]
    weight = np.concatenate(weights)
    untruncated = [task.untruncated() for task in tasks.values()]
    inputs = np.concatenate([inputs for inputs, _ in untruncated])
    targets = np.concatenate([targets for _, targets in untruncated])
    inputs = np.minimum(inputs, row_inputs)

    order = np.argsort(targets)
    cumulative = np.cumsum(weight[order])
    percentile = targets[order][np.searchsorted(cumulative, 0.999 * weight.sum())]
    with_full_inputs = row_inputs * (targets @ weight) / (inputs @ weight)
    longest = max(percentile, 1.1 * with_full_inputs)
    return {"inputs": row_inputs, "targets": int(-(-longest // 8) * 8)}
