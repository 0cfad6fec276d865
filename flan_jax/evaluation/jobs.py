"""Evaluation jobs: which prompts of which tasks are scored before, during and after training."""

import collections
import dataclasses
import sys
from collections.abc import Mapping, Sequence

from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import (
    MixtureData,
    StoreKey,
    absent_validation,
    evaluation_gaps,
    prepare_evaluation,
    report_gaps,
)
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.token_store import TokenStore
from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalConfig
from flan_jax.run_records import DURING, Phase, Time
from flan_jax.tasks.metrics import find_metric
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import get_task


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalJob:
    """Prompts that are scored together.

    Attributes:
      phase: the name of the scores.
      prompts: how the examples are rendered.
      stores: the rendered examples, by (task, split).
      limits: how many rows of each store are scored, from the first on.
      held_out: the tasks that are not trained on.
      cluster_of: the cluster that each task is counted in, by the task's name.
      every_scoring: whether options are ranked by each of SCORINGS, and each task has the scores of
        the best one; otherwise by EvalConfig.scoring.
      row_tokenizer: makes the tokens of prompts and answers; None for the one of the run.
    """

    phase: Phase
    prompts: Prompts
    stores: Mapping[StoreKey, TokenStore]
    limits: Mapping[StoreKey, int]
    held_out: Sequence[str]
    cluster_of: Mapping[str, str]
    every_scoring: bool = False
    row_tokenizer: RowTokenizer | None = None

    def __post_init__(self):
        for key in self.stores:
            self._check_whole_groups(key)

    def _check_whole_groups(self, key: StoreKey) -> None:
        """Raises InputError if the headline metric of a task needs whole groups and has none."""
        name, split = key
        headline = find_metric(get_task(name).metrics[0])
        if not headline.mean_of_groups:
            return
        store = self.stores[key]
        limit = self.limits[key]
        scored = collections.Counter(
            (store.templates[row], store.group(row)) for row in range(limit)
        )
        for row in range(limit):
            if scored[store.templates[row], store.group(row)] == store.group_rows(row):
                return
        raise InputError(
            f"task {name!r}: {headline.name} scores whole groups, but of the {split} split so few "
            f"examples are scored that each group is cut; {store.group(0)!r} has "
            f"{store.group_rows(0)} of them. Raise DataConfig.eval_examples, "
            "DataConfig.seen_eval_examples or EvalConfig.during_examples"
        )

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks, in the order of the stores."""
        return list(dict.fromkeys(name for name, _ in self.stores))

    def provenance(self, task: str) -> Mapping[str, str]:
        """Returns where the rows of a task come from; {} if its stores do not say it."""
        for (name, _), store in self.stores.items():
            if name == task:
                return store.meta.get("provenance", {})
        return {}


def jobs_before_training(data: MixtureData, config: EvalConfig) -> list[EvalJob]:
    """Returns the jobs before training: the held-out tasks, under all prompts.

    The tasks of the mixture are left out: the score of an untuned model on them is about chance.

    Args:
      data: the prepared data of a run.
      config: has the additional prompts.
    """
    return _jobs("before", data, config, data.split.held_out)


def jobs_after_training(data: MixtureData, config: EvalConfig) -> list[EvalJob]:
    """Returns the jobs after training: all tasks, then the held-out tasks under additional prompts.

    Of tasks that are trained on, the first `seen_eval_examples` test examples are scored.

    Args:
      data: the prepared data of a run.
      config: has the additional prompts.
    """
    return _jobs("after", data, config, [*data.split.held_out, *data.split.train])


def job_during_training(data: MixtureData, config: EvalConfig) -> EvalJob | None:
    """Returns the job that is done every `EvalConfig.every` steps: some held-out test examples.

    Args:
      data: the prepared data of a run.
      config: says how often, and how many examples.

    Returns:
      The job, or None if `config.every` is None.

    Raises:
      InputError: `config.every` is set, and no task is held out.
    """
    if config.every is None:
        return None
    if not data.split.held_out:
        raise InputError(
            f"EvalConfig.every is {config.every}, but nothing is held out; name a cluster with "
            "HELD_OUT"
        )

    test_stores = {
        key: store for key, store in data.evaluation.items() if key[1] == "test"
    }
    job = _job(
        DURING,
        data,
        data.config.eval_prompts,
        stores=test_stores,
        tasks=data.split.held_out,
    )
    limits = {
        key: _rows_of_examples(store, config.during_examples)
        for key, store in job.stores.items()
    }
    return dataclasses.replace(job, limits=limits)


def job_for_tasks(
    phase: Phase,
    config: DataConfig,
    prompts: Prompts,
    row_tokenizer: RowTokenizer,
    *,
    tasks: Sequence[str],
    trained_on: Sequence[str],
) -> EvalJob:
    """Prepares any tasks for evaluation, and prints those that cannot be evaluated on stderr.

    All test and validation examples are scored; of tasks that were trained on, the first
    `seen_eval_examples` of the test split. Only few-shot exemplars are read from another split.
    Tasks whose validation examples are not there are scored without them, and named on stderr.

    Args:
      phase: the name of the scores.
      config: has the source and the cache of the token stores.
      prompts: how the examples are rendered.
      row_tokenizer: makes the tokens of the stores.
      tasks: the tasks to score.
      trained_on: the tasks that the parameters were trained on.

    Raises:
      InputError: none of the tasks can be evaluated.
    """
    gaps = evaluation_gaps(tasks, prompts)
    report_gaps(tasks, gaps)
    held_out = [name for name in tasks if name not in trained_on]
    absent = absent_validation(config, [name for name in held_out if name not in gaps])
    if absent:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in absent.items())
        print(f"without best dev. template:{reasons}", file=sys.stderr, flush=True)

    test_only = {name for name in tasks if name not in held_out or name in absent}
    stores = prepare_evaluation(
        config, tasks, prompts, row_tokenizer, test_only=test_only
    )
    return EvalJob(
        phase=phase,
        prompts=prompts,
        stores=stores,
        limits=_limits(stores, held_out, config.seen_eval_examples),
        held_out=held_out,
        cluster_of=config.cluster_of_each(tasks),
    )


def _jobs(
    time: Time, data: MixtureData, config: EvalConfig, tasks: Sequence[str]
) -> list[EvalJob]:
    """Returns one job for the default prompts and one for each of the additional prompts."""
    default = _job(
        Phase(time), data, data.config.eval_prompts, stores=data.evaluation, tasks=tasks
    )
    jobs = [default]
    for name, stores in data.extra_evaluation.items():
        prompts = config.more[name]
        jobs.append(_job(Phase(time, name), data, prompts, stores=stores, tasks=tasks))
    return jobs


def _job(
    phase: Phase,
    data: MixtureData,
    prompts: Prompts,
    *,
    stores: Mapping[StoreKey, TokenStore],
    tasks: Sequence[str],
) -> EvalJob:
    """Returns the job that scores those stores that belong to `tasks`, in the order of `tasks`."""
    scored = {key: stores[key] for name in tasks for key in stores if key[0] == name}
    held_out = data.split.held_out
    return EvalJob(
        phase=phase,
        prompts=prompts,
        stores=scored,
        limits=_limits(scored, held_out, data.config.seen_eval_examples),
        held_out=held_out,
        cluster_of=data.config.cluster_of_each(tasks),
    )


def _limits(
    stores: Mapping[StoreKey, TokenStore],
    held_out: Sequence[str],
    seen_eval_examples: int,
) -> dict[StoreKey, int]:
    """Returns the number of rows to score: all of held-out tasks, some of the other tasks."""
    limits: dict[StoreKey, int] = {}
    for (name, split), store in stores.items():
        if name in held_out:
            limits[name, split] = len(store)
        else:
            limits[name, split] = _rows_of_examples(store, seen_eval_examples)
    return limits


def _rows_of_examples(store: TokenStore, examples: int) -> int:
    """Returns how many rows the first examples have, each in all evaluation templates."""
    return min(len(store), examples * len(store) // store.meta["examples"])
