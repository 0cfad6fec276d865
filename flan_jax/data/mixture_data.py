"""From a run's settings to its data: the split, the token stores, the plan."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence

from flan_jax.batch import Architecture
from flan_jax.data.batch_plan import MixturePlan, TaskLengths
from flan_jax.data.config import EVAL_SPLITS, DataConfig, _check, default_cache_dir, fit_lengths
from flan_jax.data.prepare import prepare
from flan_jax.data.store_requests import Request
from flan_jax.data.token_store import Kind, TokenStore
from flan_jax.data.tokenizers import Tokenizer, load_tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.mixtures import mixing_rates, mixture_or_task
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import render_train
from flan_jax.tasks.task import get_task, resolve_source

PRACTICE_NOTICE = """\
Data: the practice corpus, made by this program about a small invented world. It is for trying things out.
      For the real datasets write --gin.SOURCE="'tfds'" (prepared TFDS data; DATA_DIR names their folder)
      or --gin.SOURCE="'jsonl'" (files <DATA_DIR>/<task>/<split>.jsonl with the same rows); --gin.MIXTURE=flan2021 is all of FLAN."""


StoreKey = tuple[str, str]
"""(task, split) of an evaluation store."""
TOKENIZER_EXAMPLES = 1000
"""Training examples of each task that a tokenizer is trained on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureData:
    """The prepared data of a run: training stores by task, evaluation stores by (task, split).

    more: the held-out tasks' evaluation stores in further prompts (where nothing is held out, the other tasks'), by the name
    of these. not_evaluated: why a task has no evaluation stores.
    """

    config: DataConfig
    split: Split
    tokenizer: Tokenizer
    train: Mapping[str, TokenStore]
    evaluation: Mapping[StoreKey, TokenStore]
    more: Mapping[str, Mapping[StoreKey, TokenStore]] = dataclasses.field(default_factory=dict)
    not_evaluated: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def rates(self) -> dict[str, int]:
        config = self.config
        return mixing_rates(
            {name: store.meta["examples"] for name, store in self.train.items()},
            maximum=config.maximum_rate,
            mixing=config.mixing,
            temperature=config.temperature,
        )

    def plan(self, architecture: Architecture) -> MixturePlan:
        config = self.config
        tasks = {
            name: TaskLengths(
                store.inputs.lengths, store.targets.lengths, len(store) // store.meta["examples"]
            )
            for name, store in self.train.items()
        }
        return MixturePlan(
            tasks,
            self.rates,
            architecture=architecture,
            batch_size=config.batch_size,
            lengths=fit_lengths(config.lengths, tasks, self.rates),
            seed=config.seed,
            packing=config.packing,
        )


def prepare_mixture(config: DataConfig, more: Mapping[str, Prompts] | None = None) -> MixtureData:
    """Opens the token stores of a run, preparing those that are not in the cache yet.

    Held-out tasks are evaluated on `validation` and `test`, the tasks trained on are on `test` alone. Tasks that cannot be
    evaluated are named on stderr; InputError when there are held-out tasks and all of them are such. `more`: further
    prompts to evaluate under, by name.
    """
    split = config.split()
    _check(config)
    gaps = not_evaluated([*split.train, *split.held_out], config.eval_prompts)
    refuse_gaps(split.held_out, gaps)
    if config.source == "sandbox":
        print(PRACTICE_NOTICE, file=sys.stderr, flush=True)
    tokenizer = load_tokenizer(config.tokenizer)
    stores = prepare(
        requests(config, split),
        tokenizer,
        config.cache_dir or default_cache_dir(),
        selection=config.selection,
        workers=config.workers,
        skip_broken=config.skip_broken,
    )
    # What could not be prepared was left out by skip_broken: the whole task goes, not one split of it.
    wanted = {
        (name, part, kind)
        for name, part, kind in (request.key for request in requests(config, split))
    }
    broken = {name for name, _, _ in wanted - stores.keys()}
    gaps |= dict.fromkeys(
        sorted(broken), "its data could not be read, and DataConfig.skip_broken left it out"
    )
    whole = {*split.train, *split.held_out} - broken
    split = Split(
        train=tuple(name for name in split.train if name in whole),
        held_out=tuple(name for name in split.held_out if name in whole),
        clusters=split.clusters,
    )
    return MixtureData(
        config=config,
        split=split,
        tokenizer=tokenizer,
        more={
            name: prepare_evaluation(config, split.held_out or split.train, prompts, tokenizer)
            for name, prompts in (more or {}).items()
        },
        not_evaluated=gaps,
        train={
            name: store
            for (name, _, kind), store in stores.items()
            if kind == "train" and name in whole
        },
        evaluation={
            (name, part): store
            for (name, part, kind), store in stores.items()
            if kind == "eval" and name in whole
        },
    )


def prepare_evaluation(
    config: DataConfig, tasks: Sequence[str], prompts: Prompts, tokenizer: Tokenizer
) -> dict[StoreKey, TokenStore]:
    """The evaluation stores of `tasks` in `prompts`, `validation` and `test`; nothing for tasks that cannot be evaluated."""
    _check(config)
    stores = prepare(
        _evaluation(config, tasks, EVAL_SPLITS, prompts),
        tokenizer,
        config.cache_dir or default_cache_dir(),
        selection=config.selection,
        workers=config.workers,
        skip_broken=config.skip_broken,
    )
    # A task whose test split could not be prepared goes whole.
    return {
        (name, part): store
        for (name, part, _), store in stores.items()
        if (name, "test", "eval") in stores
    }


def not_evaluated(tasks: Sequence[str], prompts: Prompts) -> dict[str, str]:
    """Why some of `tasks` cannot be evaluated: {"my_task": "it has no test split"}."""
    found = {}
    for name in tasks:
        task = get_task(name)
        if "test" not in task.splits:
            found[name] = "it has no test split"
        elif all(template.turned_around for template in prompts.shown(task)):
            found[name] = "all its templates are turned around"
        elif prompts.shots and "train" not in task.splits:
            found[name] = "it has no training split to draw exemplars from"
    return found


def refuse_gaps(wanted: Sequence[str], gaps: Mapping[str, str]) -> None:
    """Names on stderr the tasks that are not evaluated. Raises InputError when these are all that are `wanted`."""
    reasons = "".join(f"\n  {name}: {reason}" for name, reason in gaps.items())
    if wanted and all(name in gaps for name in wanted):
        raise InputError(
            f"none of the tasks to evaluate can be evaluated:{reasons}\nName others with HELD_OUT (or --tasks), or give them a "
            "test split and a template that asks for the answer"
        )
    if gaps:
        print(f"not evaluated:{reasons}", file=sys.stderr, flush=True)


def tokenizer_texts(config: DataConfig) -> Iterator[str]:
    """Inputs and targets of every task of the mixture: many training examples in one template, a few in all of them."""
    for task in mixture_or_task(config.mixture):
        source = resolve_source(task, config.source, config.data_dir)
        for cap, renderings in (
            (TOKENIZER_EXAMPLES, 1),
            (TOKENIZER_EXAMPLES // 20, len(task.templates)),
        ):
            for row in render_train(
                task, source.rows("train"), cap=cap, renderings=renderings, seed=config.seed
            ):
                for segment in row.segments:
                    yield segment.text


def requests(config: DataConfig, split: Split) -> list[Request]:
    """The stores of a run."""
    found = [_request(config, name, "train", "train", config.train_prompts) for name in split.train]
    found += _evaluation(config, split.train, ("test",), config.eval_prompts)
    return found + _evaluation(config, split.held_out, EVAL_SPLITS, config.eval_prompts)


def _evaluation(
    config: DataConfig, tasks: Sequence[str], parts: Sequence[str], prompts: Prompts
) -> list[Request]:
    gaps = not_evaluated(tasks, prompts)
    has = {name: get_task(name).splits for name in tasks if name not in gaps}
    return [
        _request(config, name, part, "eval", prompts)
        for name, own in has.items()
        for part in parts
        if part in own
    ]


def _request(config: DataConfig, name: str, split: str, kind: Kind, prompts: Prompts) -> Request:
    task = get_task(name)
    task = dataclasses.replace(task, source=resolve_source(task, config.source, config.data_dir))
    return Request(task, split, kind, prompts)
