"""From a run's settings to its data: the split, the token stores, the plan."""

import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from flan_jax.batch import Architecture
from flan_jax.data.leakage import Audit, Finding, audit
from flan_jax.data.plan import MixturePlan, TaskLengths
from flan_jax.data.prepare import prepare
from flan_jax.data.selection import Request, Selection
from flan_jax.data.store import Kind, TokenStore
from flan_jax.data.tokenizers import Tokenizer, load_tokenizer
from flan_jax.errors import InputError, unknown
from flan_jax.tasks.clusters import VIEWS, Split, hold_out
from flan_jax.tasks.mixtures import EXAMPLES_PER_DATASET, MAXIMUM_RATE, mixing_rates, mixture_or_task
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import ASSIGNMENTS, ZERO_SHOT, render_train
from flan_jax.tasks.task import TASKS, get_task, resolve_source

EVAL_SPLITS = ("validation", "test")
SOURCES = ("sandbox", "tfds", "jsonl")
PRACTICE_NOTICE = """\
Data: the practice corpus, made by this program about a small invented world. It is for trying things out.
      For the real datasets write --gin.SOURCE="'tfds'" (prepared TFDS data; DATA_DIR names their folder)
      or --gin.SOURCE="'jsonl'" (files <DATA_DIR>/<task>/<split>.jsonl with the same rows); --gin.MIXTURE=flan2021 is all of FLAN."""


StoreKey = tuple[str, str]
"""(task, split) of an evaluation store."""
TOKENIZER_EXAMPLES = 1000
"""Training examples of each task that a tokenizer is trained on."""


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
            ("DataConfig.clusters", self.clusters, VIEWS),
            ("DataConfig.assignment", self.assignment, ASSIGNMENTS),
        ):
            if value not in known:
                raise unknown(name, value, known)

    def split(self) -> Split:
        """Who is trained on and who held out."""
        view = VIEWS[self.clusters]
        return hold_out(mixture_or_task(self.mixture), self.held_out, view=view, known=list(TASKS.values()))

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
            name: TaskLengths(store.inputs.lengths, store.targets.lengths, len(store) // store.meta["examples"])
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


def default_cache_dir() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "flan_jax")


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
    if config.max_leakage is not None:
        refuse_leaks(audit_mixture(config).leaks(config.max_leakage))
    stores = prepare(
        requests(config, split),
        tokenizer,
        config.cache_dir or default_cache_dir(),
        selection=config.selection,
        workers=config.workers,
        skip_broken=config.skip_broken,
    )
    # What could not be prepared was left out by skip_broken: the whole task goes, not one split of it.
    wanted = {(name, part, kind) for name, part, kind in (request.key for request in requests(config, split))}
    broken = {name for name, _, _ in wanted - stores.keys()}
    gaps |= dict.fromkeys(sorted(broken), "its data could not be read, and DataConfig.skip_broken left it out")
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
        train={name: store for (name, _, kind), store in stores.items() if kind == "train" and name in whole},
        evaluation={
            (name, part): store for (name, part, kind), store in stores.items() if kind == "eval" and name in whole
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
    return {(name, part): store for (name, part, _), store in stores.items() if (name, "test", "eval") in stores}


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
        for cap, renderings in ((TOKENIZER_EXAMPLES, 1), (TOKENIZER_EXAMPLES // 20, len(task.templates))):
            for row in render_train(task, source.rows("train"), cap=cap, renderings=renderings, seed=config.seed):
                yield row.inputs
                yield row.targets


def audit_mixture(config: DataConfig) -> Audit:
    """The leakage audit of a run's split, with all rows of the held-out tasks. Raises InputError when nothing is held out."""
    return audit(*_audited(config, config.split()), cap=config.examples_per_dataset, workers=config.workers)


def audit_runs(configs: Sequence[DataConfig]) -> list[Audit]:
    """The leakage audit of each of several runs, with the rows that they score. What they share is read and compared once.

    Raises InputError when one of them holds nothing out.
    """
    alike: dict[str, dict[int, DataConfig]] = {}
    for number, c in enumerate(configs):
        same = (c.source, c.data_dir, c.examples_per_dataset, c.eval_prompts, c.eval_examples)
        alike.setdefault(repr(same), {})[number] = c
    found: dict[int, Audit] = {}
    for group in alike.values():
        pairs = [_audited(c, c.split()) for c in group.values()]
        train, held_out = (
            list({r.key: r for side in sides for r in side}.values()) for sides in zip(*pairs, strict=True)
        )
        c = next(iter(group.values()))
        caps = {"cap": c.examples_per_dataset, "held_out_cap": c.eval_examples}
        whole = audit(train, held_out, **caps, workers=c.workers)
        for number, sides in zip(group, pairs, strict=True):
            found[number] = whole.between(*(list(dict.fromkeys(r.task.name for r in side)) for side in sides))
    return [found[number] for number in range(len(configs))]


def _audited(config: DataConfig, split: Split) -> tuple[list[Request], list[Request]]:
    """(what is trained on, what is held out). Raises InputError when nothing is held out."""
    if not split.held_out:
        raise InputError("nothing is held out, so nothing can leak; name a cluster with HELD_OUT")
    asked = [r for r in requests(config, split) if not config.skip_broken or _is_there(r)]
    return [r for r in asked if r.kind == "train"], [r for r in asked if r.task.name in split.held_out]


def _is_there(request: Request) -> bool:
    """Whether a source can be read, where skip_broken leaves out those that cannot."""
    try:
        request.task.source.fingerprint(request.split)
    except InputError:
        return False
    return True


def refuse_leaks(leaks: Sequence[Finding]) -> None:
    """Raises InputError that names the leaks, if there are any."""
    if leaks:
        named = [f"  {f.held_out} <- {f.trained}: {f.origin or f'{f.duplicates} near-duplicates'}" for f in leaks[:10]]
        more = f"\n  and {len(leaks) - 10} more" if len(leaks) > 10 else ""
        raise InputError(
            f"the training mixture leaks into the held-out tasks in {len(leaks)} ways:\n"
            + "\n".join(named)
            + f"{more}\nTake the tasks out of MIXTURE, or raise DataConfig.max_leakage"
        )


def requests(config: DataConfig, split: Split) -> list[Request]:
    """The stores of a run."""
    found = [_request(config, name, "train", "train", config.train_prompts) for name in split.train]
    found += _evaluation(config, split.train, ("test",), config.eval_prompts)
    return found + _evaluation(config, split.held_out, EVAL_SPLITS, config.eval_prompts)


def _evaluation(config: DataConfig, tasks: Sequence[str], parts: Sequence[str], prompts: Prompts) -> list[Request]:
    gaps = not_evaluated(tasks, prompts)
    has = {name: get_task(name).splits for name in tasks if name not in gaps}
    return [_request(config, name, part, "eval", prompts) for name, own in has.items() for part in parts if part in own]


def _check(config: DataConfig) -> None:
    """Raises InputError for what would otherwise be found after the data is prepared, or once for every task."""
    if config.data_dir and "://" not in config.data_dir and not Path(config.data_dir).expanduser().is_dir():
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


def _request(config: DataConfig, name: str, split: str, kind: Kind, prompts: Prompts) -> Request:
    task = get_task(name)
    task = dataclasses.replace(task, source=resolve_source(task, config.source, config.data_dir))
    return Request(task, split, kind, prompts)


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
    weight = np.concatenate([np.full(len(t.targets), rates[name] / len(t.targets)) for name, t in tasks.items()])
    inputs = np.minimum(np.concatenate([t.inputs for t in tasks.values()]) + 1, int(lengths["inputs"]))
    targets = np.concatenate([t.targets for t in tasks.values()]) + 1
    order = np.argsort(targets)
    longest = targets[order][np.searchsorted(np.cumsum(weight[order]), 0.999 * weight.sum())]
    beside = int(lengths["inputs"]) * (targets @ weight) / (inputs @ weight)
    return {"inputs": int(lengths["inputs"]), "targets": int(-(-max(longest, 1.1 * beside) // 8) * 8)}
