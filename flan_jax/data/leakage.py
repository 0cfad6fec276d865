"""Leakage audit: what the training mixture shares with the held-out tasks.

It finds tasks of one dataset, texts of one origin, near-duplicate inputs and shared label sets.
"""

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import pickle
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import run_requests
from flan_jax.data.store_requests import Request
from flan_jax.errors import InputError, plural
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import kept_examples, render
from flan_jax.tasks.sources import Source, Tfds
from flan_jax.tasks.task import TemplatedTask, find_task

SIMILARITY = 0.7
"""Least Jaccard similarity (estimated) of the word 5-grams of inputs that are near-duplicates."""

SHINGLE_WORDS = 5
PERMUTATIONS = 128
HASHED_TOGETHER = 1000
FEW_MISSED = (0.1, 0.9)
"""Weights of false positives and false negatives when the bands of the locality-sensitive hash are
chosen. Few candidates may be missed; false ones are sorted out by their MinHash similarity."""

BARE = Prompts(instructions="none", options=False)
"""Shows the input fields without the words of a template."""

LISTED_LEAKS = 10
"""So many leaks are named in an error."""

ONE_ORIGIN = (
    ("qnli", "squad_v1", "QNLI is SQuAD recast"),
    ("qnli", "squad_v2", "QNLI is SQuAD recast"),
    ("wnli", "wsc", "WNLI is made of Winograd schemas"),
    ("wnli", "wsc273", "WNLI is made of Winograd schemas"),
    ("record", "cnn_dailymail", "ReCoRD's passages are CNN/Daily Mail articles"),
    ("coqa", "cnn_dailymail", "CoQA's news passages are CNN articles"),
    (
        "bool_q",
        "natural_questions",
        "BoolQ's questions are gathered as those of Natural Questions",
    ),
    ("sst2", "opinion_abstracts_rotten_tomatoes", "both are Rotten Tomatoes reviews"),
    ("hellaswag", "wiki_lingua_english_en", "both use WikiHow articles"),
)
"""Pairs of tasks whose texts have one origin, and why (from the papers that introduced them)."""


Pair: TypeAlias = tuple[str, str]
"""A held-out text and the first near-duplicate of it among the training texts."""

Matches: TypeAlias = dict[str, dict[int, Pair]]
"""The near-duplicates in one training task: {held-out task: {held-out example's number: pair}}."""


class Finding(NamedTuple):
    """What a held-out task shares with a task trained on.

    Attributes:
      held_out: the name of the held-out task.
      trained: the name of the task trained on.
      origin: why their texts have one origin; "" if they have not, as far as is known.
      duplicates: the number of held-out examples that have a near-duplicate.
      examples: the number of held-out examples.
      pair: a near-duplicate as an example; None if there is none.
    """

    held_out: str
    trained: str
    origin: str
    duplicates: int
    examples: int
    pair: Pair | None

    @property
    def reason(self) -> str:
        """The origin, or else the number of near-duplicates, as text."""
        return self.origin or f"{self.duplicates} near-duplicates"


@dataclasses.dataclass(frozen=True)
class Audit:
    """The result of a leakage audit.

    Attributes:
      findings: the findings, most serious first.
      labels: for each held-out task, the tasks trained on that have the same options. Tasks for
        which there are none are left out.
    """

    findings: tuple[Finding, ...]
    labels: Mapping[str, tuple[str, ...]]

    def leaks(self, max_share: float) -> list[Finding]:
        """Returns the findings that are leaks: one origin, or too many near-duplicates.

        Args:
          max_share: the share of a held-out task's examples that may have near-duplicates, of 1.
        """
        return [
            finding
            for finding in self.findings
            if finding.origin or finding.duplicates > max_share * finding.examples
        ]

    def between(self, trained: Sequence[str], held_out: Sequence[str]) -> "Audit":
        """Returns the part of the audit that concerns these tasks."""
        findings = tuple(
            finding
            for finding in self.findings
            if finding.trained in trained and finding.held_out in held_out
        )
        labels: dict[str, tuple[str, ...]] = {}
        for name in held_out:
            alike = self.labels.get(name, ())
            if among_trained := tuple(other for other in trained if other in alike):
                labels[name] = among_trained
        return Audit(findings, labels)

    def to_json(self) -> dict[str, Any]:
        """Returns the content of leakage.json."""
        findings = [finding._asdict() for finding in self.findings]
        return {"findings": findings, "labels": dict(self.labels)}


def audit(
    train: Sequence[Request],
    held_out: Sequence[Request],
    *,
    cap: int | None = None,
    held_out_cap: int | None = None,
    workers: int | None = None,
) -> Audit:
    """Compares the training rows of some tasks with the evaluation rows of others.

    Rows are compared by their input fields without a template. Near-duplicates are found with
    MinHash (Broder 1997) and locality-sensitive hashing of word 5-grams.

    Args:
      train: the training rows of each task, one request a task.
      held_out: the evaluation rows; several splits of one task are taken together.
      cap: at most so many rows of each training request are read; None for all.
      held_out_cap: at most so many rows of each held-out request are read; None for all.
      workers: processes that search side by side; None for one a core.

    Raises:
      InputError: rows cannot be read.
    """
    index = _Index()
    for request in held_out:
        index.add(request, held_out_cap)
    matches = _search(index, train, cap, workers)

    held_out_tasks = {request.task.name: request.task for request in held_out}
    trained_tasks = {request.task.name: request.task for request in train}
    findings = []
    for trained_task, task_matches in zip(trained_tasks.values(), matches, strict=True):
        for name, task in held_out_tasks.items():
            origin = _shared_origin(task, trained_task)
            pairs = task_matches.get(name, {})
            if not origin and not pairs:
                continue
            finding = Finding(
                held_out=name,
                trained=trained_task.name,
                origin=origin,
                duplicates=len(pairs),
                examples=index.counts[name],
                pair=next(iter(pairs.values()), None),
            )
            findings.append(finding)

    labels: dict[str, tuple[str, ...]] = {}
    for name, task in held_out_tasks.items():
        if alike := _tasks_with_same_options(task, trained_tasks):
            labels[name] = alike
    return Audit(tuple(sorted(findings, key=_seriousness)), labels)


def check_leakage(config: DataConfig) -> None:
    """Audits the mixture of a run if its settings limit the leakage.

    Raises:
      InputError: the audit finds more than config.max_leakage allows.
    """
    if config.max_leakage is not None:
        refuse_leaks(audit_mixture(config).leaks(config.max_leakage))


def refuse_leaks(leaks: Sequence[Finding]) -> None:
    """Raises InputError that names the leaks, if there are any."""
    if not leaks:
        return
    lines = [
        f"  {leak.held_out} <- {leak.trained}: {leak.reason}"
        for leak in leaks[:LISTED_LEAKS]
    ]
    if len(leaks) > LISTED_LEAKS:
        lines.append(f"  and {len(leaks) - LISTED_LEAKS} more")
    listed = "\n".join(lines)
    raise InputError(
        f"the training mixture leaks into the held-out tasks in "
        f"{plural(len(leaks), 'way')}:\n{listed}\n"
        "Take the tasks out of MIXTURE, or raise DataConfig.max_leakage"
    )


def audit_mixture(config: DataConfig) -> Audit:
    """Returns the leakage audit of a run, with all rows of the held-out tasks.

    Raises:
      InputError: nothing is held out, or rows cannot be read.
    """
    train, held_out = _audited_requests(config, config.split())
    return audit(
        train, held_out, cap=config.examples_per_dataset, workers=config.workers
    )


def audit_runs(configs: Sequence[DataConfig]) -> list[Audit]:
    """Returns the leakage audit of each of several runs, with the held-out rows that are scored.

    Runs that read the same rows are audited together, so that each row is read and compared once.

    Raises:
      InputError: a run holds nothing out, or rows cannot be read.
    """
    groups: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        rows_read = (
            config.source,
            config.data_dir,
            config.examples_per_dataset,
            config.eval_examples,
        )
        groups.setdefault(repr(rows_read), []).append(number)

    audits: dict[int, Audit] = {}
    for numbers in groups.values():
        for number, run_audit in _audit_group({n: configs[n] for n in numbers}):
            audits[number] = run_audit
    return [audits[number] for number in range(len(configs))]


def _audit_group(configs: Mapping[int, DataConfig]) -> Iterator[tuple[int, Audit]]:
    """Yields (number, audit) of runs that read the same rows of each task."""
    requests = {
        n: _audited_requests(config, config.split()) for n, config in configs.items()
    }
    train, held_out = {}, {}
    for run_train, run_held_out in requests.values():
        train |= {request.key: request for request in run_train}
        held_out |= {request.key: request for request in run_held_out}

    config = next(iter(configs.values()))
    combined = audit(
        list(train.values()),
        list(held_out.values()),
        cap=config.examples_per_dataset,
        held_out_cap=config.eval_examples,
        workers=config.workers,
    )
    for number, (run_train, run_held_out) in requests.items():
        trained_names = _task_names(run_train)
        held_out_names = _task_names(run_held_out)
        yield number, combined.between(trained_names, held_out_names)


def _task_names(requests: Sequence[Request]) -> list[str]:
    return list(dict.fromkeys(request.task.name for request in requests))


def _audited_requests(
    config: DataConfig, split: Split
) -> tuple[list[Request], list[Request]]:
    """Returns (requests of the training rows, requests of the held-out rows) of a run.

    Raises:
      InputError: nothing is held out.
    """
    if not split.held_out:
        raise InputError(
            "nothing is held out, so nothing can leak; name a cluster with HELD_OUT"
        )
    requests = run_requests(config, split)
    if config.skip_broken:
        requests = [request for request in requests if _is_readable(request)]
    train = [request for request in requests if request.kind == "train"]
    held_out = [request for request in requests if request.task.name in split.held_out]
    return train, held_out


def _is_readable(request: Request) -> bool:
    try:
        request.task.source.fingerprint(request.split)
    except InputError:
        return False
    return True


def _seriousness(finding: Finding) -> tuple[bool, float, str, str]:
    """Sorts findings: one origin first, then by the share of near-duplicates, then by name."""
    share = finding.duplicates / max(1, finding.examples)
    return not finding.origin, -share, finding.held_out, finding.trained


def _tasks_with_same_options(
    task: TemplatedTask, others: Mapping[str, TemplatedTask]
) -> tuple[str, ...]:
    """Returns the names of the other tasks with the same fixed options, in any order and case."""
    options = _option_set(task)
    if not options:
        return ()
    return tuple(
        name for name, other in others.items() if _option_set(other) == options
    )


def _option_set(task: TemplatedTask) -> frozenset[str]:
    """Returns the fixed options of a task in lower case; empty if there are none."""
    if not isinstance(task.options, tuple):
        return frozenset()
    return frozenset(option.casefold() for option in task.options)


def _shared_origin(task: TemplatedTask, other: TemplatedTask) -> str:
    """Returns why the texts of two tasks have one origin, or "" if they have not.

    What counts is where the tasks are registered to come from, not what this run reads for them.
    """
    task = find_task(task.name) or task
    other = find_task(other.name) or other
    if task.dataset and task.dataset == other.dataset:
        return "configurations of one dataset"
    if _source_identity(task.source) == _source_identity(other.source):
        return "the same source"
    for one, another, reason in ONE_ORIGIN:
        if {one, another} == {task.name, other.name}:
            return reason
    return ""


def _source_identity(source: Source) -> str | Source:
    """Returns what two sources of the same rows have in common: a TFDS name without its version."""
    if isinstance(source, Tfds):
        return source.name.partition(":")[0]
    return source


class _Index:
    """MinHashes of the held-out examples, searchable for near-duplicates.

    Attributes:
      counts: the number of examples of each held-out task.
    """

    def __init__(self):
        # Here, not above: the import takes half a second (scipy), and few programs audit.
        from datasketch import MinHashLSH

        self.counts: dict[str, int] = {}
        self._lsh = MinHashLSH(SIMILARITY, PERMUTATIONS, weights=FEW_MISSED)
        self._examples: dict[tuple[str, int], tuple[Any, str]] = {}

    def add(self, request: Request, cap: int | None) -> None:
        """Adds the held-out examples of a request, at most `cap` of them."""
        name = request.task.name
        for text, minhash in _minhashes(_bare_inputs(request, cap)):
            number = self.counts.get(name, 0)
            self.counts[name] = number + 1
            self._examples[name, number] = minhash, text
            self._lsh.insert((name, number), minhash)

    def search(self, request: Request, cap: int | None) -> Matches:
        """Returns the near-duplicates among at most `cap` training examples of a request."""
        matches: Matches = {}
        for text, minhash in _minhashes(_bare_inputs(request, cap)):
            for key in self._lsh.query(minhash):
                name, number = cast(tuple[str, int], key)
                task_matches = matches.setdefault(name, {})
                if number in task_matches:
                    continue
                held_out_minhash, held_out_text = self._examples[name, number]
                if minhash.jaccard(held_out_minhash) >= SIMILARITY:
                    task_matches[number] = held_out_text, text
        return matches


def _bare_inputs(request: Request, cap: int | None) -> Iterator[str]:
    """Yields the input fields of each example as text, without the words of a template."""
    (template,) = BARE.templates_for(request.task)
    rows = request.task.source.rows(request.split)
    for number, example in kept_examples(request.task, rows, cap):
        inputs, _ = render(request.task, template, number, example)
        yield inputs


def _minhashes(texts: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Yields (text, MinHash of the text)."""
    from datasketch import MinHash

    while chunk := list(itertools.islice(texts, HASHED_TOGETHER)):
        shingles = [_shingles(text) for text in chunk]
        hashes = MinHash.bulk(shingles, num_perm=PERMUTATIONS, hashfunc=zlib.crc32)
        yield from zip(chunk, hashes, strict=True)


def _shingles(text: str) -> list[bytes]:
    """Returns the word 5-grams of a text in lower case; a shorter text is one shingle."""
    words = re.findall(r"\w+", text.casefold())
    count = max(1, len(words) - SHINGLE_WORDS + 1)
    shingles = []
    for start in range(count):
        shingle = words[start : start + SHINGLE_WORDS]
        shingles.append(" ".join(shingle).encode())
    return shingles


def _search(
    index: _Index, train: Sequence[Request], cap: int | None, workers: int | None
) -> Iterable[Matches]:
    """Returns the near-duplicates of each training request, searched in worker processes."""
    if workers is None:
        workers = min(os.cpu_count() or 1, len(train))
    if workers < 2 or not all(map(_can_be_pickled, train)):
        return [index.search(request, cap) for request in train]

    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, _set_index, (index,)
    ) as pool:
        try:
            return list(pool.map(_search_worker_index, train, itertools.repeat(cap)))
        except InputError:
            pool.shutdown(cancel_futures=True)
            raise


def _can_be_pickled(request: Request) -> bool:
    try:
        pickle.dumps(request)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


_worker_index: _Index | None = None
"""The index in a worker process, which receives it once."""


def _set_index(index: _Index) -> None:
    global _worker_index
    _worker_index = index


def _search_worker_index(request: Request, cap: int | None) -> Matches:
    assert _worker_index is not None
    return _worker_index.search(request, cap)
