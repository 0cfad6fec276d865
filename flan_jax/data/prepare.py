"""Tasks to token stores, in parallel processes. What is in the cache already is opened, not made again."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flan_jax.data.store_requests import (
    Key,
    RenderedExamples,
    Request,
    Selection,
    store_fingerprint,
)
from flan_jax.data.token_store import (
    TokenStore,
    nested_column,
    schema,
    segment_column,
    token_column,
    write_store,
)
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.errors import InputError
from flan_jax.json_files import remove_abandoned_folders
from flan_jax.progress import Progress
from flan_jax.tasks.rendering import EvalRow, TrainRow

BATCH = 1024
"""Renderings that are tokenised together."""
KILLED = "its worker process was killed; perhaps the machine ran out of memory. Fewer at a time need less: workers=1"


@dataclasses.dataclass(frozen=True)
class Job:
    """A store to build, with all that a worker process needs for it."""

    request: Request
    selection: Selection
    tokenizer: Tokenizer
    folder: Path
    fingerprint: str


def prepare(
    requests: Sequence[Request],
    tokenizer: Tokenizer,
    cache_dir: str | Path,
    *,
    selection: Selection | None = None,
    workers: int | None = None,
    skip_broken: bool = False,
    progress: bool = True,
) -> dict[Key, TokenStore]:
    """The stores of all requests, opened or built, by (task name, split, kind) in the order of the requests.

    `workers` processes build (None: one a core; 0: this process does). Tasks that no other process can import (a lambda,
    a function of the main script) are built in this one. All that can be prepared is, before InputError lists what
    cannot; with `skip_broken` that is left out and named on stderr instead, unless nothing is left to train on.
    Raises OSError when the disk is full.
    """
    cache_dir = Path(cache_dir).expanduser().absolute()
    for folder in cache_dir.glob("*/"):
        remove_abandoned_folders(folder)
    jobs, broken = _plan_jobs(requests, selection or Selection(), tokenizer, cache_dir)
    missing = [job for job in jobs.values() if not job.folder.is_dir()]
    with _shown(len(missing) if progress else 0) as finished:
        broken |= _build_all(missing, _worker_count(workers, len(missing)), finished)
    stores: dict[Key, TokenStore] = {}
    for key, job in jobs.items():
        if key not in broken:
            try:
                stores[key] = TokenStore.open(job.folder)
            except InputError as error:
                broken[key] = str(error)
    if broken:
        _report(requests, broken, skip_broken)
    return stores


def _plan_jobs(
    requests: Sequence[Request],
    selection: Selection,
    tokenizer: Tokenizer,
    cache_dir: Path,
) -> tuple[dict[Key, Job], dict[Key, str]]:
    """(a job for each request, the reason for each request that has no readable source)."""
    jobs: dict[Key, Job] = {}
    broken: dict[Key, str] = {}
    for request in requests:
        try:
            identity = store_fingerprint(request, selection, tokenizer)
        except (InputError, OSError) as error:
            broken[request.key] = str(error)
            continue
        if request.key in jobs and jobs[request.key].fingerprint != identity:
            raise InputError(
                f"two different tasks are named {request.task.name!r}; a name is an identity, rename one"
            )
        folder = (
            cache_dir
            / request.task.name
            / f"{request.split}-{request.kind}-{identity[:16]}"
        )
        jobs[request.key] = Job(request, selection, tokenizer, folder, identity)
    return jobs, broken


def build(job: Job) -> int:
    """Renders, tokenises and writes one store; returns its number of rows. InputError when the task is broken."""
    request, task = job.request, job.request.task
    rendered = RenderedExamples(request, job.selection, job.tokenizer)
    columns = schema(request.kind, job.tokenizer.vocab_size)
    batch = _train_batch if request.kind == "train" else _eval_batch
    batches = [
        batch(chunk, job.tokenizer, columns) for chunk in _chunks(iter(rendered))
    ]
    if not batches:
        reason = (
            f"fields() leaves out all {rendered.rows} rows"
            if rendered.rows
            else "there are no rows"
        )
        raise InputError(f"nothing to prepare in the {request.split} split: {reason}")
    examples = len(
        np.unique(
            np.concatenate([batch.column("example").to_numpy() for batch in batches])
        )
    )
    meta = {
        "task": task.name,
        "split": request.split,
        "kind": request.kind,
        "fingerprint": job.fingerprint,
        "vocab_size": job.tokenizer.vocab_size,
        "examples": examples,
        "filtered": rendered.rows - examples,
        "mean_exemplars": rendered.mean_exemplars,
        "provenance": task.source.provenance,
    }
    write_store(job.folder, batches, schema=columns, meta=meta)
    return sum(batch.num_rows for batch in batches)


def _chunks(rendered: Iterator[Any]) -> Iterator[list[Any]]:
    return iter(lambda: list(itertools.islice(rendered, BATCH)), [])


def _train_batch(
    rows: Sequence[TrainRow], tokenizer: Tokenizer, columns: pa.Schema
) -> pa.RecordBatch:
    segments = [segment for row in rows for segment in row.segments]
    tokens = tokenizer.encode_batch([segment.text for segment in segments])
    has_loss = [segment.has_loss for segment in segments]
    numbers = [row.example for row in rows for _ in row.segments]
    for number, segment, ids in zip(numbers, segments, tokens, strict=True):
        if segment.has_loss:
            _check_target(number, segment.text, ids)
    column = segment_column(
        [row.segments for row in rows],
        token_column(tokens, tokenizer.vocab_size),
        has_loss,
    )
    return pa.record_batch([column, *_source_columns(rows)], columns)


def _eval_batch(
    rows: Sequence[EvalRow], tokenizer: Tokenizer, columns: pa.Schema
) -> pa.RecordBatch:
    vocab_size = tokenizer.vocab_size
    inputs = tokenizer.encode_batch([row.inputs for row in rows])
    targets = tokenizer.encode_batch([row.targets for row in rows])
    for row, ids in zip(rows, targets, strict=True):
        _check_target(row.example, row.targets, ids)
    options = tokenizer.encode_batch([option for row in rows for option in row.options])
    correct_options = [row.correct_options for row in rows]
    references = [row.references for row in rows]
    arrays = [
        token_column(inputs, vocab_size),
        token_column(targets, vocab_size),
        *_source_columns(rows),
        nested_column([row.options for row in rows], token_column(options, vocab_size)),
        pa.array([row.correct_option for row in rows], pa.int16()),
        pa.array(correct_options, columns.field("correct_options").type),
        pa.array(references, columns.field("references").type),
        pa.array([row.inputs for row in rows], columns.field("inputs_text").type),
    ]
    return pa.record_batch(arrays, columns)


def _source_columns(rows: Sequence[TrainRow | EvalRow]) -> list[pa.Array]:
    """The columns that say what each row of the store was made of."""
    examples = pa.array([row.example for row in rows], pa.int32())
    templates = pa.array([row.template for row in rows], pa.int16())
    return [examples, templates]


def _check_target(example: int, text: str, tokens: Sequence[int]) -> None:
    if not tokens:
        raise InputError(
            f"row {example}: the tokenizer drops the whole target {text!r}"
        )


@contextlib.contextmanager
def _shown(total: int) -> Iterator[Callable[[str], None]]:
    """A function to call with a word on each finished store; it moves a progress bar of `total`, none for 0."""
    if not total:
        yield lambda text: None
        return
    done = itertools.count(1)
    with Progress("preparing", total) as bar:
        yield lambda text: bar.update(next(done), text)


def _worker_count(workers: int | None, jobs: int) -> int:
    if workers is None:
        workers = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    if workers < 0:
        raise InputError(
            f"workers is {workers}; write a number of processes, 0 for this process alone, or None"
        )
    return min(workers, jobs)


def _build_all(
    jobs: Sequence[Job], workers: int, finished: Callable[[str], None]
) -> dict[Key, str]:
    """Builds what can be built; the reasons for the rest."""
    broken: dict[Key, str] = {}
    pickled = [_pickled(job) if workers else None for job in jobs]
    away = [
        (job, data) for job, data in zip(jobs, pickled, strict=True) if data is not None
    ]
    here = [job for job, data in zip(jobs, pickled, strict=True) if data is None]
    unknown, lost = _build_in_pool(away, workers, finished, broken)
    here += unknown
    # The worker that died took all that its pool still had to do with it. One job a pool shows whose fault it was.
    for job, data in lost:
        unknown, died = _build_in_pool([(job, data)], 1, finished, broken)
        here += unknown
        if died:
            broken[job.request.key] = KILLED
    for job in here:
        _finish(job, build, job, finished=finished, broken=broken)
    return broken


def _build_in_pool(
    jobs: Sequence[tuple[Job, bytes]],
    workers: int,
    finished: Callable[[str], None],
    broken: dict[Key, str],
) -> tuple[list[Job], list[tuple[Job, bytes]]]:
    """Builds in `workers` processes; (jobs whose code they cannot import, jobs lost with a process that died)."""
    unknown: list[Job] = []
    lost: list[tuple[Job, bytes]] = []
    futures: dict[concurrent.futures.Future, tuple[Job, bytes]] = {}
    if not jobs:
        return unknown, lost
    # Spawned, not forked: a process that has started jax has threads, and forking those is not safe.
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker
    )
    try:
        with _main_script_hidden(), _ctrl_c_held():
            for job, data in jobs:
                try:
                    futures[pool.submit(_build_pickled, data)] = job, data
                except BrokenProcessPool:
                    lost.append((job, data))
        for future in concurrent.futures.as_completed(futures):
            job, data = futures[future]
            try:
                if (
                    _finish(job, future.result, finished=finished, broken=broken)
                    is None
                ):
                    unknown.append(job)
            except BrokenProcessPool:
                lost.append((job, data))
    except BaseException:
        # Ctrl-C or a full disk: what the workers are at is not waited for. (Python 3.14 has a method for it.)
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return unknown, lost


def _finish(
    job: Job,
    result: Callable[..., int | None],
    *args: Any,
    finished: Callable[[str], None],
    broken: dict[Key, str],
) -> int | None:
    """The rows of a store, from `result`; 0 where it is broken, None where it is still to be built."""
    try:
        rows = result(*args)
    except (OSError, BrokenProcessPool):
        raise  # the disk, or a worker that died: not this task's own failure
    except InputError as error:
        broken[job.request.key] = str(error)
        rows = 0
    except Exception as error:  # noqa: BLE001 - a tokenizer that chokes on one task's text: the other tasks go on
        broken[job.request.key] = f"{type(error).__name__}: {error}"
        rows = 0
    if rows is not None:
        finished(f"{job.request.task.name}/{job.request.split}: {rows} rows")
    return rows


def _pickled(job: Job) -> bytes | None:
    """The job as another process can read it, or None: its functions are lambdas, local, or the main script's."""
    try:
        data = pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return None if b"__main__" in data else data


def _build_pickled(data: bytes) -> int | None:
    try:
        job = pickle.loads(data)
    except Exception:  # noqa: BLE001 (importing a user's module may raise anything)
        return None
    return build(job)


@contextlib.contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Ctrl-C waits until the end. Processes started meanwhile inherit that, until they are ready to die without a traceback."""
    before, came, handler = (
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}),
        [],
        None,
    )
    if threading.current_thread() is threading.main_thread():
        # Another thread, of numpy's for instance, may take the signal all the same; this one then hears of it.
        handler = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """A pool's worker would wait for ever for a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _main_script_hidden() -> Iterator[None]:
    """Spawned processes import the main script, and with it jax, unless they see none."""
    main = sys.modules["__main__"].__dict__
    shown = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(shown)


def _report(
    requests: Sequence[Request], broken: dict[Key, str], skip_broken: bool
) -> None:
    """Raises InputError, or names on stderr what is left out."""
    lines = "\n".join(
        f"  {task}/{split} ({kind}): {reason}"
        for (task, split, kind), reason in broken.items()
    )
    if not skip_broken:
        raise InputError(
            f"{len(broken)} of {len(requests)} token stores cannot be prepared:\n{lines}\n"
            "Repair these tasks or take them out of the mixture, or go on without them with --gin.DataConfig.skip_broken=True"
        )
    to_train = [request.key for request in requests if request.kind == "train"]
    if to_train and all(key in broken for key in to_train):
        raise InputError(
            f"nothing is left to train on; these cannot be prepared:\n{lines}"
        )
    print(f"left out, as they cannot be prepared:\n{lines}", file=sys.stderr)
