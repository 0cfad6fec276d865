"""From a run's settings to its data: the split, the token stores, the batch plan."""

import dataclasses
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from flan_jax.batch import Architecture
from flan_jax.data.batch_plan import MixturePlan, TaskLengths
from flan_jax.data.config import EVAL_SPLITS, DataConfig, check_data, fit_lengths
from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Key, Request
from flan_jax.data.token_store import Kind, TokenStore
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.mixtures import mixing_rates, mixture_or_task
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import render_train
from flan_jax.tasks.task import get_task, resolve_source

PRACTICE_NOTICE = """\
Data{tasks}: the practice corpus, made by this program about a small invented world.
      It is for trying things out. For the real datasets write --gin_file=real_data.gin and
      --gin.DATA_DIR=FOLDER: prepared TFDS data, or with --gin.SOURCE=jsonl the files
      FOLDER/<task>/<split>.jsonl with the same rows."""

StoreKey = tuple[str, str]
"""(task, split) of an evaluation store."""

TOKENIZER_EXAMPLES = 1000
"""Training examples of each task that a tokenizer is trained on, each in one template."""

TOKENIZER_EXAMPLES_IN_ALL_TEMPLATES = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureData:
    """The prepared data of a run.

    Attributes:
      config: the settings that the data was prepared from.
      split: the tasks trained on and those held out, without tasks that could not be prepared.
      row_tokenizer: made the tokens of all stores.
      train: training stores by task.
      evaluation: evaluation stores by (task, split).
      extra_evaluation: by the name of additional evaluation prompts: the held-out tasks' evaluation
        stores in these prompts (if nothing is held out, those of the tasks trained on).
      not_evaluated: for each task without evaluation stores, the reason.
    """

    config: DataConfig
    split: Split
    row_tokenizer: RowTokenizer
    train: Mapping[str, TokenStore]
    evaluation: Mapping[StoreKey, TokenStore]
    extra_evaluation: Mapping[str, Mapping[StoreKey, TokenStore]] = dataclasses.field(
        default_factory=dict
    )
    not_evaluated: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of all stores."""
        return self.row_tokenizer.tokenizer

    @property
    def rates(self) -> dict[str, int]:
        """The mixing rate of each task trained on."""
        examples = {name: store.meta["examples"] for name, store in self.train.items()}
        return mixing_rates(
            examples,
            maximum=self.config.maximum_rate,
            mixing=self.config.mixing,
            temperature=self.config.temperature,
        )

    def plan(self, architecture: Architecture) -> MixturePlan:
        """Returns the plan of all training batches for a model of this architecture."""
        config, rates = self.config, self.rates
        tasks = {name: task_lengths(store) for name, store in self.train.items()}
        return MixturePlan(
            tasks,
            rates,
            architecture=architecture,
            batch_size=config.batch_size,
            lengths=fit_lengths(config.lengths, tasks, rates),
            seed=config.seed,
            packing=config.packing,
            has_start=self.row_tokenizer.tokens.start is not None,
        )


def task_lengths(store: TokenStore) -> TaskLengths:
    """Returns the lengths of the examples in a training store."""
    segments = store.segments
    renderings = len(store) // store.meta["examples"]
    lengths = segments.tokens.lengths.astype(np.int32)
    return TaskLengths(lengths, segments.starts, renderings)


def prepare_mixture(
    config: DataConfig,
    row_tokenizer: RowTokenizer,
    extra_prompts: Mapping[str, Prompts] | None = None,
) -> MixtureData:
    """Opens the token stores of a run; those that are not in the cache are prepared first.

    Held-out tasks are evaluated on `validation` and `test`, tasks trained on only on `test`. Tasks
    that cannot be evaluated are named on stderr.

    Args:
      config: the run's data settings.
      row_tokenizer: makes the tokens of the stores.
      extra_prompts: additional prompts to evaluate with, by name.

    Raises:
      InputError: the settings are not valid, a task cannot be prepared (unless config.skip_broken),
        or there are held-out tasks and none of them can be evaluated.
      OSError: the disk is full.
    """
    split = config.split()
    check_data(config)
    row_tokenizer.check_lengths(config.lengths)
    not_evaluated = evaluation_gaps(
        [*split.train, *split.held_out], config.eval_prompts
    )
    report_gaps(split.held_out, not_evaluated)

    requests = run_requests(config, split)
    _print_practice_notice(requests)
    stores = _prepare(config, requests, row_tokenizer)

    # skip_broken has left out what could not be prepared. The whole task goes, not one split of it.
    skipped = sorted(
        {request.task.name for request in requests if request.key not in stores}
    )
    split = _without(split, skipped)
    reason = "its data could not be read, and DataConfig.skip_broken left it out"
    not_evaluated |= dict.fromkeys(skipped, reason)

    train: dict[str, TokenStore] = {}
    evaluation: dict[StoreKey, TokenStore] = {}
    for (name, store_split, kind), store in stores.items():
        if name in skipped:
            continue
        if kind == "train":
            train[name] = store
        else:
            evaluation[name, store_split] = store

    extra_tasks = split.held_out or split.train
    extra_evaluation = {
        name: prepare_evaluation(config, extra_tasks, prompts, row_tokenizer)
        for name, prompts in (extra_prompts or {}).items()
    }
    return MixtureData(
        config=config,
        split=split,
        row_tokenizer=row_tokenizer,
        train=train,
        evaluation=evaluation,
        extra_evaluation=extra_evaluation,
        not_evaluated=not_evaluated,
    )


def prepare_evaluation(
    config: DataConfig,
    tasks: Sequence[str],
    prompts: Prompts,
    row_tokenizer: RowTokenizer,
    *,
    test_only: Collection[str] = (),
) -> dict[StoreKey, TokenStore]:
    """Opens, or prepares, the `validation` and `test` stores of tasks, whether held out or not.

    Args:
      config: the run's data settings.
      tasks: names of tasks. Those that cannot be evaluated are left out.
      prompts: how examples are shown, instead of config.eval_prompts.
      row_tokenizer: makes the tokens of the stores.
      test_only: the tasks of which `validation` is not read.

    Returns:
      {(task, split): store}, without tasks whose test split could not be prepared.

    Raises:
      InputError: the settings are not valid, or a task cannot be prepared (unless
        config.skip_broken).
      OSError: the disk is full.
    """
    check_data(config)
    row_tokenizer.check_lengths(config.lengths)
    requests: list[Request] = []
    for name in tasks:
        splits = ("test",) if name in test_only else EVAL_SPLITS
        requests += _evaluation_requests(config, [name], splits, prompts)
    stores = _prepare(config, requests, row_tokenizer)
    return {
        (name, split): store
        for (name, split, _), store in stores.items()
        if (name, "test", "eval") in stores
    }


def evaluation_gaps(tasks: Sequence[str], prompts: Prompts) -> dict[str, str]:
    """Returns the tasks that cannot be evaluated and why: {"my_task": "it has no test split"}.

    Args:
      tasks: names of tasks.
      prompts: how evaluation examples are shown.
    """
    gaps: dict[str, str] = {}
    for name in tasks:
        task = get_task(name)
        if "test" not in task.splits:
            gaps[name] = "it has no test split"
        elif all(template.turned_around for template in prompts.templates_for(task)):
            gaps[name] = "all its templates are turned around"
        elif prompts.shots and "train" not in task.splits:
            gaps[name] = "it has no training split to draw exemplars from"
    return gaps


def absent_validation(config: DataConfig, tasks: Sequence[str]) -> dict[str, str]:
    """Returns the tasks whose `validation` examples are not where their source says, and why.

    Tasks that have no validation split are not among them. Many tasks cut theirs off the training
    file, which somebody who only scores a checkpoint may not have.

    Args:
      config: has the source.
      tasks: names of tasks.

    Raises:
      InputError: a task cannot be read from the source of the settings.
    """
    absent: dict[str, str] = {}
    for name in tasks:
        task = get_task(name)
        if "validation" not in task.splits:
            continue
        source = resolve_source(task, config.source, config.data_dir)
        try:
            source.fingerprint("validation")
        except InputError as error:
            absent[name] = str(error)
    return absent


def report_gaps(tasks: Sequence[str], gaps: Mapping[str, str]) -> None:
    """Prints the tasks that are not evaluated on stderr.

    Args:
      tasks: names of the tasks of which at least one must be evaluated; may be empty.
      gaps: what evaluation_gaps returned for these tasks, and maybe others.

    Raises:
      InputError: all of `tasks` are in `gaps`.
    """
    reasons = "".join(f"\n  {name}: {reason}" for name, reason in gaps.items())
    if tasks and all(name in gaps for name in tasks):
        raise InputError(
            f"none of the tasks to evaluate can be evaluated:{reasons}\n"
            "Name others with HELD_OUT (or --tasks), or give them a test split and a template that "
            "asks for the answer"
        )
    if gaps:
        print(f"not evaluated:{reasons}", file=sys.stderr, flush=True)


def tokenizer_texts(config: DataConfig) -> Iterator[str]:
    """Yields the texts to train a tokenizer on: inputs and targets of the mixture's tasks.

    Of each task that is TOKENIZER_EXAMPLES training examples in one template each, then
    TOKENIZER_EXAMPLES_IN_ALL_TEMPLATES in every template.
    """
    for task in mixture_or_task(config.mixture):
        source = resolve_source(task, config.source, config.data_dir)
        selections = (
            (TOKENIZER_EXAMPLES, 1),
            (TOKENIZER_EXAMPLES_IN_ALL_TEMPLATES, len(task.templates)),
        )
        for cap, renderings in selections:
            rows = source.rows("train")
            for row in render_train(
                task, rows, cap=cap, renderings=renderings, seed=config.seed
            ):
                for segment in row.segments:
                    yield segment.text


def run_requests(config: DataConfig, split: Split) -> list[Request]:
    """Returns requests for the token stores of a run.

    These are a training store and a `test` store for each task trained on, and the `validation` and
    `test` stores of each held-out task.
    """
    train = [
        _request(config, name, "train", kind="train", prompts=config.train_prompts)
        for name in split.train
    ]
    seen = _evaluation_requests(config, split.train, ("test",), config.eval_prompts)
    held_out = _evaluation_requests(
        config, split.held_out, EVAL_SPLITS, config.eval_prompts
    )
    return [*train, *seen, *held_out]


def _evaluation_requests(
    config: DataConfig, tasks: Sequence[str], splits: Sequence[str], prompts: Prompts
) -> list[Request]:
    """Returns requests for evaluation stores of all tasks that can be evaluated."""
    gaps = evaluation_gaps(tasks, prompts)
    return [
        _request(config, name, split, kind="eval", prompts=prompts)
        for name in tasks
        if name not in gaps
        for split in splits
        if split in get_task(name).splits
    ]


def _request(
    config: DataConfig, name: str, split: str, *, kind: Kind, prompts: Prompts
) -> Request:
    task = get_task(name)
    source = resolve_source(task, config.source, config.data_dir)
    return Request(dataclasses.replace(task, source=source), split, kind, prompts)


def _prepare(
    config: DataConfig, requests: Sequence[Request], row_tokenizer: RowTokenizer
) -> dict[Key, TokenStore]:
    return prepare(
        requests,
        row_tokenizer,
        config.cache_folder,
        selection=config.selection,
        workers=config.workers,
        skip_broken=config.skip_broken,
    )


def _print_practice_notice(requests: Sequence[Request]) -> None:
    """Prints on stderr that rows are generated; names the tasks unless all rows are.

    Raises:
      InputError: a task's source does not say where its rows are from.
    """
    kinds = {request.task.name: request.provenance["kind"] for request in requests}
    generated = sorted(name for name, kind in kinds.items() if kind == "generated")
    if not generated:
        return
    tasks = "" if len(generated) == len(kinds) else f" of {', '.join(generated)}"
    print(PRACTICE_NOTICE.format(tasks=tasks), file=sys.stderr, flush=True)


def _without(split: Split, skipped: Sequence[str]) -> Split:
    return Split(
        train=tuple(name for name in split.train if name not in skipped),
        held_out=tuple(name for name in split.held_out if name not in skipped),
        clusters=split.clusters,
    )
