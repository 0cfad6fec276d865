"""Does a mixture leak into the tasks that are held out? Same datasets, texts of one origin, near-duplicates, shared labels."""

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import pickle
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import requests
from flan_jax.data.store_requests import Request
from flan_jax.errors import InputError
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import kept_examples, render
from flan_jax.tasks.sources import Tfds
from flan_jax.tasks.task import TemplatedTask, find_task

SIMILARITY = 0.7
"""Inputs are near-duplicates when the Jaccard similarity of their word 5-grams is estimated to be at least this."""
SHINGLE, PERMUTATIONS, CHUNK = 5, 128, 1000
FEW_MISSED = (0.1, 0.9)
"""The weights of false and of missed candidates in choosing the hash bands: false ones are sorted out afterwards."""
BARE = Prompts(instructions="none", options=False)

ONE_ORIGIN = (
    ("qnli", "squad_v1", "QNLI is SQuAD recast"),
    ("qnli", "squad_v2", "QNLI is SQuAD recast"),
    ("wnli", "wsc", "WNLI is made of Winograd schemas"),
    ("wnli", "wsc273", "WNLI is made of Winograd schemas"),
    ("record", "cnn_dailymail", "ReCoRD's passages are CNN/Daily Mail articles"),
    ("coqa", "cnn_dailymail", "CoQA's news passages are CNN articles"),
    ("bool_q", "natural_questions", "BoolQ's questions are gathered as those of Natural Questions"),
    ("sst2", "opinion_abstracts_rotten_tomatoes", "both are Rotten Tomatoes reviews"),
    ("hellaswag", "wiki_lingua_english_en", "both use WikiHow articles"),
)
"""Pairs of tasks with texts of one origin, and why (from the papers that introduced them)."""


class Finding(NamedTuple):
    """What a held-out task and a task trained on share. `duplicates` counts held-out examples with a near-duplicate."""

    held_out: str
    trained: str
    origin: str
    duplicates: int
    examples: int
    pair: tuple[str, str] | None


@dataclasses.dataclass(frozen=True)
class Audit:
    """The findings, most serious first, and the tasks trained on with the options of a held-out one, by its name."""

    findings: tuple[Finding, ...]
    labels: dict[str, tuple[str, ...]]

    def leaks(self, max_share: float) -> list[Finding]:
        """Findings of one origin, or with near-duplicates of more than `max_share` of a held-out task's examples."""
        return [
            found
            for found in self.findings
            if found.origin or found.duplicates > max_share * found.examples
        ]

    def between(self, trained: Sequence[str], held_out: Sequence[str]) -> "Audit":
        """The part of it that is about these tasks."""
        found = tuple(f for f in self.findings if f.trained in trained and f.held_out in held_out)
        labels = {
            name: tuple(o for o in trained if o in self.labels.get(name, ())) for name in held_out
        }
        return Audit(found, {name: own for name, own in labels.items() if own})

    def kept(self) -> dict[str, Any]:
        """As leakage.json has it."""
        return {"findings": [finding._asdict() for finding in self.findings], "labels": self.labels}


def audit(
    train: Sequence[Request],
    held_out: Sequence[Request],
    *,
    cap: int | None = None,
    held_out_cap: int | None = None,
    workers: int | None = None,
) -> Audit:
    """Compares the training rows of some tasks with the evaluation rows of others, by their bare input fields.

    Requests of one task and several splits are taken together. `cap` and `held_out_cap` limit the rows of each request. Near-duplicates
    are found by MinHash (Broder 1997) and locality-sensitive hashing of word 5-grams, `workers` processes side by side.
    """
    index = _Index()
    for request in held_out:
        index.add(request, held_out_cap)
    tasks = {request.task.name: request.task for request in held_out}
    trained = {request.task.name: request.task for request in train}
    found = dict(zip(trained, _search(index, train, cap, workers), strict=True))
    findings = []
    for (name, task), (other, own) in itertools.product(tasks.items(), trained.items()):
        origin, duplicates = _origin(task, own), found[other].get(name, {})
        if origin or duplicates:
            pair = next(iter(duplicates.values()), None)
            findings.append(Finding(name, other, origin, len(duplicates), index.counts[name], pair))
    findings.sort(
        key=lambda f: (not f.origin, -f.duplicates / max(1, f.examples), f.held_out, f.trained)
    )
    labels = {
        name: tuple(o for o, own in trained.items() if _labels(own) == _labels(task))
        for name, task in tasks.items()
    }
    return Audit(
        tuple(findings), {name: own for name, own in labels.items() if own and _labels(tasks[name])}
    )


def _labels(task: TemplatedTask) -> frozenset[str] | None:
    return (
        frozenset(option.casefold() for option in task.options)
        if isinstance(task.options, tuple)
        else None
    )


def _origin(task: TemplatedTask, other: TemplatedTask) -> str:
    """Why two tasks have one origin, or "". Where their rows are read from in this run does not matter."""
    task, other = find_task(task.name) or task, find_task(other.name) or other
    if task.dataset and task.dataset == other.dataset:
        return "configurations of one dataset"
    names = [
        t.source.name.partition(":")[0] if isinstance(t.source, Tfds) else t.source
        for t in (task, other)
    ]
    if names[0] == names[1]:
        return "the same source"
    return next((why for a, b, why in ONE_ORIGIN if {a, b} == {task.name, other.name}), "")


class _Index:
    """The MinHashes of the held-out examples, to be asked for near-duplicates."""

    def __init__(self):
        self.counts: dict[str, int] = {}
        from datasketch import MinHashLSH  # half a second: it imports scipy, and few programs audit

        self._lsh = MinHashLSH(SIMILARITY, PERMUTATIONS, weights=FEW_MISSED)
        self._known: dict[tuple[str, int], tuple[Any, str]] = {}

    def add(self, request: Request, cap: int | None) -> None:
        name = request.task.name
        for text, minhash in _hashed(_inputs(request, cap)):
            key = name, self.counts.get(name, 0)
            self.counts[name] = key[1] + 1
            self._known[key] = minhash, text
            self._lsh.insert(key, minhash)

    def search(self, request: Request, cap: int | None) -> dict[str, dict[int, tuple[str, str]]]:
        """{held-out task: {example: (its text, the first near-duplicate)}}."""
        found: dict[str, dict[int, tuple[str, str]]] = {}
        for text, minhash in _hashed(_inputs(request, cap)):
            for key in self._lsh.query(minhash):
                name, number = cast(tuple[str, int], key)
                other, shown = self._known[name, number]
                if number not in found.get(name, {}) and minhash.jaccard(other) >= SIMILARITY:
                    found.setdefault(name, {})[number] = shown, text
        return found


def _inputs(request: Request, cap: int | None) -> Iterator[str]:
    """The bare input of each example, without words of a template."""
    (template,) = BARE.shown(request.task)
    for number, example in kept_examples(
        request.task, request.task.source.rows(request.split), cap
    ):
        yield render(request.task, template, number, example)[0]


def _hashed(texts: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """(text, its MinHash)."""
    from datasketch import MinHash

    for chunk in iter(lambda: list(itertools.islice(texts, CHUNK)), []):
        shingles = [_shingles(text) for text in chunk]
        yield from zip(
            chunk, MinHash.bulk(shingles, num_perm=PERMUTATIONS, hashfunc=zlib.crc32), strict=True
        )


def _shingles(text: str) -> list[bytes]:
    words = re.findall(r"\w+", text.casefold())
    return [
        " ".join(words[i : i + SHINGLE]).encode() for i in range(max(1, len(words) - SHINGLE + 1))
    ]


def _search(
    index: _Index, train: Sequence[Request], cap: int | None, workers: int | None
) -> Iterable[dict[str, Any]]:
    workers = min(os.cpu_count() or 1, len(train)) if workers is None else workers
    if workers < 2 or not all(map(_travels, train)):
        return [index.search(request, cap) for request in train]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, _set_index, (index,)) as pool:
        try:
            return list(pool.map(_search_here, train, itertools.repeat(cap)))
        except InputError:
            pool.shutdown(cancel_futures=True)
            raise


def _travels(request: Request) -> bool:
    """Whether another process can have this task."""
    try:
        return bool(pickle.dumps(request))
    except (pickle.PicklingError, AttributeError, TypeError):
        return False


_index: _Index | None = None


def _set_index(index: _Index) -> None:
    global _index
    _index = index


def _search_here(request: Request, cap: int | None) -> dict[str, dict[int, tuple[str, str]]]:
    assert _index is not None
    return _index.search(request, cap)


def check_leakage(config: DataConfig) -> None:
    """Raises InputError where `config.max_leakage` is set and the audit of its mixture finds more."""
    if config.max_leakage is not None:
        refuse_leaks(audit_mixture(config).leaks(config.max_leakage))


def audit_mixture(config: DataConfig) -> Audit:
    """The leakage audit of a run's split, with all rows of the held-out tasks. Raises InputError when nothing is held out."""
    return audit(
        *_audited(config, config.split()), cap=config.examples_per_dataset, workers=config.workers
    )


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
            list({r.key: r for side in sides for r in side}.values())
            for sides in zip(*pairs, strict=True)
        )
        c = next(iter(group.values()))
        caps = {"cap": c.examples_per_dataset, "held_out_cap": c.eval_examples}
        whole = audit(train, held_out, **caps, workers=c.workers)
        for number, sides in zip(group, pairs, strict=True):
            found[number] = whole.between(
                *(list(dict.fromkeys(r.task.name for r in side)) for side in sides)
            )
    return [found[number] for number in range(len(configs))]


def _audited(config: DataConfig, split: Split) -> tuple[list[Request], list[Request]]:
    """(what is trained on, what is held out). Raises InputError when nothing is held out."""
    if not split.held_out:
        raise InputError("nothing is held out, so nothing can leak; name a cluster with HELD_OUT")
    asked = [r for r in requests(config, split) if not config.skip_broken or _is_there(r)]
    return [r for r in asked if r.kind == "train"], [
        r for r in asked if r.task.name in split.held_out
    ]


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
        named = [
            f"  {f.held_out} <- {f.trained}: {f.origin or f'{f.duplicates} near-duplicates'}"
            for f in leaks[:10]
        ]
        more = f"\n  and {len(leaks) - 10} more" if len(leaks) > 10 else ""
        raise InputError(
            f"the training mixture leaks into the held-out tasks in {len(leaks)} ways:\n"
            + "\n".join(named)
            + f"{more}\nTake the tasks out of MIXTURE, or raise DataConfig.max_leakage"
        )
