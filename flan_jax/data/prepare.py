"""Prepares token stores: opens those that are in the cache, builds the others in processes."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from flan_jax.data.row_tokenizer import RowTokenizer
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
from flan_jax.errors import InputError, plural
from flan_jax.json_files import remove_abandoned_folders
from flan_jax.progress import Progress
from flan_jax.tasks.rendering import EvalRow, TrainRow

JobFuture: TypeAlias = "concurrent.futures.Future[int | None]"

ROWS_PER_BATCH = 1024
"""So many rendered examples are tokenized together."""

UNKNOWN_SHARE = 0.005
"""From this share of unknown tokens on, a task is warned of."""

KILLED = (
    "its worker process was killed; perhaps the machine ran out of memory. Fewer processes need "
    "less: workers=1"
)


@dataclasses.dataclass(frozen=True)
class Job:
    """A store to build. A worker process receives it pickled.

    Attributes:
      request: which store.
      selection: which examples it holds.
      row_tokenizer: makes its tokens.
      folder: the store's folder.
      fingerprint: the store's fingerprint.
    """

    request: Request
    selection: Selection
    row_tokenizer: RowTokenizer
    folder: Path
    fingerprint: str


def prepare(
    requests: Sequence[Request],
    row_tokenizer: RowTokenizer,
    cache_dir: str | Path,
    *,
    selection: Selection | None = None,
    workers: int | None = None,
    skip_broken: bool = False,
    progress: bool = True,
) -> dict[Key, TokenStore]:
    """Opens the stores of all requests. Those that are not in the cache are built first.

    All stores that can be prepared are, before an error lists those that cannot.

    Args:
      requests: requests for stores.
      row_tokenizer: makes the tokens of all stores.
      cache_dir: the folder of all stores, those of other runs too.
      selection: which examples the stores hold; FLAN's if None.
      workers: the number of processes that build; None for one a core, 0 for this process. Tasks
        that no other process can import (a lambda, a function of the main script) are always built
        in this one.
      skip_broken: whether stores that cannot be prepared are left out, and named on stderr.
      progress: whether to show a progress bar.

    Returns:
      The stores by (task name, split, kind), in the order of the requests.

    Raises:
      InputError: a store cannot be prepared. With `skip_broken`: there are training stores and none
        can be prepared.
      OSError: the disk is full.
    """
    cache_dir = Path(cache_dir).expanduser().absolute()
    for folder in cache_dir.glob("*/"):
        remove_abandoned_folders(folder)

    jobs, broken = _plan_jobs(
        requests, selection or Selection(), row_tokenizer, cache_dir=cache_dir
    )
    missing = [job for job in jobs.values() if not job.folder.is_dir()]
    with _progress_bar(len(missing) if progress else 0) as report_finished:
        worker_count = _worker_count(workers, len(missing))
        broken |= _build_all(missing, worker_count, report_finished)

    stores: dict[Key, TokenStore] = {}
    for key, job in jobs.items():
        if key in broken:
            continue
        try:
            stores[key] = TokenStore.open(job.folder)
        except InputError as error:
            broken[key] = str(error)
    if broken:
        _report_broken(requests, broken, skip_broken)
    _report_unknown(stores)
    return stores


def _plan_jobs(
    requests: Sequence[Request],
    selection: Selection,
    row_tokenizer: RowTokenizer,
    *,
    cache_dir: Path,
) -> tuple[dict[Key, Job], dict[Key, str]]:
    """Returns a job for each request, and the reasons for requests that have none.

    Raises:
      InputError: two different tasks have one name.
    """
    jobs: dict[Key, Job] = {}
    broken: dict[Key, str] = {}
    for request in requests:
        task_name = request.task.name
        try:
            fingerprint = store_fingerprint(request, selection, row_tokenizer)
        except (InputError, OSError) as error:
            broken[request.key] = str(error)
            continue
        if request.key in jobs and jobs[request.key].fingerprint != fingerprint:
            raise InputError(
                f"two different tasks are named {task_name!r}; a name is an identity, rename one"
            )
        store_name = f"{request.split}-{request.kind}-{fingerprint[:16]}"
        folder = cache_dir / task_name / store_name
        jobs[request.key] = Job(request, selection, row_tokenizer, folder, fingerprint)
    return jobs, broken


def build(job: Job) -> int:
    """Renders, tokenizes and writes one store.

    Returns:
      The number of its rows.

    Raises:
      InputError: the task is broken: rows cannot be read or rendered, or there are none.
      OSError: the disk is full.
    """
    request = job.request
    row_tokenizer = job.row_tokenizer
    vocab_size = row_tokenizer.tokenizer.vocab_size
    provenance = request.provenance
    rendered = RenderedExamples(request, job.selection, row_tokenizer)
    columns = schema(request.kind, vocab_size)
    make_batch = _train_batch if request.kind == "train" else _eval_batch
    batches = [
        make_batch(rows, row_tokenizer, columns) for rows in _row_batches(rendered)
    ]
    if not batches:
        reason = "there are no rows"
        if rendered.rows_read:
            reason = f"fields() leaves out every row ({rendered.rows_read} read)"
        raise InputError(f"nothing to prepare in the {request.split} split: {reason}")

    example_numbers = [batch.column("example").to_numpy() for batch in batches]
    examples = len(np.unique(np.concatenate(example_numbers)))
    meta = {
        "task": request.task.name,
        "split": request.split,
        "kind": request.kind,
        "fingerprint": job.fingerprint,
        "vocab_size": vocab_size,
        "examples": examples,
        "filtered": rendered.rows_read - examples,
        "mean_exemplars": rendered.mean_exemplars,
        **_most_frequent_answer(rendered),
        "provenance": provenance,
        **_unknown_share(batches, rendered, row_tokenizer.tokenizer),
    }
    write_store(job.folder, batches, schema=columns, meta=meta)
    return sum(batch.num_rows for batch in batches)


def _most_frequent_answer(rendered: RenderedExamples) -> dict[str, int]:
    """Returns {"most_frequent_answer": index}; {} where it is not known."""
    answer = rendered.most_frequent_answer
    return {} if answer is None else {"most_frequent_answer": answer}


def _unknown_share(
    batches: Sequence[pa.RecordBatch], rendered: RenderedExamples, tokenizer: Tokenizer
) -> dict[str, object]:
    """Returns the share of unknown tokens in a store and their characters, for its meta.json.

    Args:
      batches: the rows of the store.
      rendered: the texts that they were made of, of which the first are looked through.
      tokenizer: the tokenizer.

    Returns:
      {"unknown_share": ..., "unknown_characters": ...}; {} if hardly any token is unknown.
    """
    unknown_id = tokenizer.unknown_id
    if unknown_id is None:
        return {}
    tokens = np.concatenate([_all_tokens(batch) for batch in batches])
    share = float(np.mean(tokens == unknown_id)) if len(tokens) else 0.0
    if share < UNKNOWN_SHARE:
        return {}
    letters: set[str] = set()
    for row in itertools.islice(rendered, ROWS_PER_BATCH):
        texts = row.segments if isinstance(row, TrainRow) else (row.inputs, row.targets)
        for text in texts:
            letters.update(text if isinstance(text, str) else text.text)
    unknown = [
        letter for letter in sorted(letters) if unknown_id in tokenizer.encode(letter)
    ]
    return {"unknown_share": share, "unknown_characters": "".join(unknown)}


def _all_tokens(batch: pa.RecordBatch) -> np.ndarray:
    """Returns the tokens of a batch's texts, one after the other."""
    if "segments" in batch.schema.names:
        segments: Any = batch.column("segments")
        return segments.values.field("tokens").values.to_numpy()
    columns: list[Any] = [batch.column(name) for name in ("inputs", "targets")]
    return np.concatenate([column.values.to_numpy() for column in columns])


def _report_unknown(stores: Mapping[Key, TokenStore]) -> None:
    """Warns on stderr of tasks with many unknown tokens, once of each task."""
    warned = set()
    for (task, *_), store in stores.items():
        share = store.meta.get("unknown_share")
        if share is None or task in warned:
            continue
        warned.add(task)
        characters = " ".join(map(repr, store.meta["unknown_characters"][:40]))
        print(
            f"task {task!r}: {share:.1%} of the tokens are unknown to the tokenizer. It lacks "
            f"{characters or 'whole words'}; a model sees the same token for all of these",
            file=sys.stderr,
            flush=True,
        )


def _row_batches(rendered: RenderedExamples) -> Iterator[list[Any]]:
    """Yields lists of ROWS_PER_BATCH rows, TrainRow or EvalRow; the last may be shorter."""
    rows = iter(rendered)
    while batch := list(itertools.islice(rows, ROWS_PER_BATCH)):
        yield batch


def _train_batch(
    rows: Sequence[TrainRow], row_tokenizer: RowTokenizer, columns: pa.Schema
) -> pa.RecordBatch:
    """Returns rows of a training store.

    Args:
      rows: rendered examples.
      row_tokenizer: tokenizes their segments.
      columns: the columns of the store.

    Raises:
      InputError: a segment with loss has no tokens.
    """
    segments = [segment for row in rows for segment in row.segments]
    tokens = row_tokenizer.encode_examples([row.segments for row in rows])
    example_of_segment = [row.example for row in rows for _ in row.segments]
    for example, segment, ids in zip(example_of_segment, segments, tokens, strict=True):
        if segment.has_loss:
            _check_target(example, segment.text, ids, row_tokenizer)

    column = segment_column(
        [row.segments for row in rows],
        token_column(tokens, row_tokenizer.tokenizer.vocab_size),
        [segment.has_loss for segment in segments],
    )
    return pa.record_batch([column, *_source_columns(rows)], columns)


def _eval_batch(
    rows: Sequence[EvalRow], row_tokenizer: RowTokenizer, columns: pa.Schema
) -> pa.RecordBatch:
    """Returns rows of an evaluation store.

    Args:
      rows: rendered examples.
      row_tokenizer: tokenizes prompts, targets and options.
      columns: the columns of the store.

    Raises:
      InputError: a target has no tokens, or two options have the same.
    """
    vocab_size = row_tokenizer.tokenizer.vocab_size
    inputs = row_tokenizer.encode_prompts([row.inputs for row in rows])
    targets = row_tokenizer.encode_answers([row.targets for row in rows])
    for row, ids in zip(rows, targets, strict=True):
        _check_target(row.example, row.targets, ids, row_tokenizer)

    all_options = [option for row in rows for option in row.options]
    options = row_tokenizer.encode_answers(all_options)
    _check_options(rows, options)
    correct_options = [row.correct_options for row in rows]
    references = [row.references for row in rows]
    inputs_text = [row.inputs for row in rows]
    arrays = [
        token_column(inputs, vocab_size),
        token_column(targets, vocab_size),
        *_source_columns(rows),
        nested_column([row.options for row in rows], token_column(options, vocab_size)),
        pa.array([row.correct_option for row in rows], pa.int16()),
        pa.array(correct_options, columns.field("correct_options").type),
        pa.array(references, columns.field("references").type),
        pa.array(inputs_text, columns.field("inputs_text").type),
        pa.array([row.group for row in rows], columns.field("group").type),
        pa.array([row.group_rows for row in rows], pa.int32()),
    ]
    return pa.record_batch(arrays, columns)


def _check_options(
    rows: Sequence[EvalRow], option_tokens: Sequence[Sequence[int]]
) -> None:
    """Raises InputError if two options of a row that read differently have the same tokens.

    Args:
      rows: rendered examples.
      option_tokens: the tokens of all options of all rows, one after the other.
    """
    remaining = iter(option_tokens)
    for row in rows:
        option_of: dict[tuple[int, ...], str] = {}
        for option in row.options:
            tokens = tuple(next(remaining))
            same = option_of.setdefault(tokens, option)
            if same != option:
                raise InputError(
                    f"row {row.example}: the options {same!r} and {option!r} have the same tokens, "
                    "so that no model can tell them apart. Take a TOKENIZER that has their "
                    "characters, or return None from fields() to leave the row out"
                )


def _source_columns(rows: Sequence[TrainRow | EvalRow]) -> list[pa.Array]:
    """Returns the columns `example` and `template`: what each row of the store was made of."""
    examples = pa.array([row.example for row in rows], pa.int32())
    templates = pa.array([row.template for row in rows], pa.int16())
    return [examples, templates]


def _check_target(
    example: int, text: str, tokens: Sequence[int], row_tokenizer: RowTokenizer
) -> None:
    """Raises InputError if a target has no tokens but those of the row format."""
    if list(tokens) == row_tokenizer.empty_answer:
        raise InputError(
            f"row {example}: the tokenizer drops the whole target {text!r}"
        )


@contextlib.contextmanager
def _progress_bar(total: int) -> Iterator[Callable[[str], None]]:
    """Shows a progress bar, unless `total` is 0.

    Yields:
      A function that moves the bar by one and shows a text beside it.
    """
    if not total:
        yield lambda text: None
        return
    finished = itertools.count(1)
    with Progress("preparing", total) as bar:
        yield lambda text: bar.update(next(finished), text)


def _worker_count(workers: int | None, jobs: int) -> int:
    """Returns the number of worker processes: at most one a job, and one a core for None."""
    if workers is None:
        workers = _available_cores()
    if workers < 0:
        raise InputError(
            f"workers is {workers}; write a number of processes, 0 for this process alone, or None"
        )
    return min(workers, jobs)


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _build_all(
    jobs: Sequence[Job], workers: int, report_finished: Callable[[str], None]
) -> dict[Key, str]:
    """Builds all stores that can be built.

    Args:
      jobs: the stores to build.
      workers: the number of worker processes; 0 for this process.
      report_finished: is called with a text for each store that is finished, or broken.

    Returns:
      The reasons for the stores that cannot be built.
    """
    broken: dict[Key, str] = {}
    local_jobs: list[Job] = []
    pool_jobs: list[tuple[Job, bytes]] = []
    for job in jobs:
        pickled = _pickle_job(job) if workers else None
        if pickled is None:
            local_jobs.append(job)
        else:
            pool_jobs.append((job, pickled))

    not_importable, lost = _build_in_pool(
        pool_jobs, workers, report_finished, broken=broken
    )
    local_jobs += not_importable

    # A dead worker breaks the whole pool. Retry the lost jobs one per pool to find the job that
    # kills its worker.
    for job, pickled in lost:
        not_importable, killed = _build_in_pool(
            [(job, pickled)], 1, report_finished, broken=broken
        )
        local_jobs += not_importable
        if killed:
            broken[job.request.key] = KILLED

    for job in local_jobs:
        result = functools.partial(build, job)
        _finish(job, result, report_finished, broken=broken)
    return broken


def _build_in_pool(
    jobs: Sequence[tuple[Job, bytes]],
    workers: int,
    report_finished: Callable[[str], None],
    *,
    broken: dict[Key, str],
) -> tuple[list[Job], list[tuple[Job, bytes]]]:
    """Builds stores in a pool of processes.

    Args:
      jobs: (job, pickled job) of each store.
      workers: the number of processes.
      report_finished: is called with a text for each store that is finished, or broken.
      broken: receives the reasons for the stores that cannot be built.

    Returns:
      The jobs whose code the processes cannot import, and the jobs that are lost because a process
      died.

    Raises:
      OSError: the disk is full.
    """
    if not jobs:
        return [], []

    # Spawned, not forked: a process that has started jax has threads, and forking those is not
    # safe.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, _start_worker)
    not_importable: list[Job] = []
    try:
        futures, lost = _submit(pool, jobs)
        for future in concurrent.futures.as_completed(futures):
            job, pickled = futures[future]
            try:
                rows = _finish(job, future.result, report_finished, broken=broken)
            except BrokenProcessPool:
                lost.append((job, pickled))
            else:
                if rows is None:
                    not_importable.append(job)
    except BaseException:
        # Ctrl-C or a full disk: end the workers in the middle of their jobs. Python 3.14 has a
        # method for it.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return not_importable, lost


def _submit(
    pool: concurrent.futures.ProcessPoolExecutor, jobs: Sequence[tuple[Job, bytes]]
) -> tuple[dict[JobFuture, tuple[Job, bytes]], list[tuple[Job, bytes]]]:
    """Submits jobs to a pool, which starts its processes meanwhile.

    Args:
      pool: the pool.
      jobs: (job, pickled job) of each store.

    Returns:
      The submitted jobs by their futures, and the jobs that are lost because a process has died.
    """
    futures: dict[JobFuture, tuple[Job, bytes]] = {}
    lost: list[tuple[Job, bytes]] = []
    with _main_script_hidden(), _ctrl_c_delayed():
        for job, pickled in jobs:
            try:
                future = pool.submit(_build_pickled, pickled)
            except BrokenProcessPool:
                lost.append((job, pickled))
            else:
                futures[future] = job, pickled
    return futures, lost


def _finish(
    job: Job,
    result: Callable[[], int | None],
    report_finished: Callable[[str], None],
    *,
    broken: dict[Key, str],
) -> int | None:
    """Waits for the result of a job and reports it.

    Args:
      job: the job.
      result: returns the number of rows of the store, or None if it is still to be built.
      report_finished: is called with a text, unless the store is still to be built.
      broken: receives the reason if the store cannot be built.

    Returns:
      The number of rows; 0 if the store cannot be built, None if it is still to be built.

    Raises:
      OSError: the disk is full.
      BrokenProcessPool: a worker process died, maybe because of another job.
    """
    try:
        rows = result()
    except (OSError, BrokenProcessPool):
        raise
    except InputError as error:
        broken[job.request.key] = str(error)
        rows = 0
    except Exception as error:  # noqa: BLE001 - such as a tokenizer that fails on one task's text
        broken[job.request.key] = f"{type(error).__name__}: {error}"
        rows = 0
    if rows is not None:
        report_finished(
            f"{job.request.task.name}/{job.request.split}: {plural(rows, 'row')}"
        )
    return rows


def _pickle_job(job: Job) -> bytes | None:
    """Returns the pickled job; None if no other process can unpickle it.

    That is so if its functions are lambdas, local functions, or functions of the main script.
    """
    try:
        pickled = pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    if b"__main__" in pickled:
        return None
    return pickled


def _build_pickled(pickled: bytes) -> int | None:
    """Builds a store in a worker process; returns None if the job's code cannot be imported."""
    try:
        job = pickle.loads(pickled)
    except Exception:  # noqa: BLE001 - importing a user's module may raise anything
        return None
    return build(job)


@contextlib.contextmanager
def _ctrl_c_delayed() -> Iterator[None]:
    """Delays Ctrl-C until the end of the block.

    Processes that are started in the block inherit a blocked SIGINT. They unblock it when they are
    ready to end without a traceback.
    """
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    received: list[int] = []
    previous_handler = None
    if threading.current_thread() is threading.main_thread():
        # Another thread, of numpy for instance, may receive the signal although it is blocked in
        # this one. Python then runs the handler in this thread.
        previous_handler = signal.signal(
            signal.SIGINT, lambda number, frame: received.append(number)
        )
    try:
        yield
    finally:
        if previous_handler is not None:
            signal.signal(signal.SIGINT, previous_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
        if received:
            signal.raise_signal(signal.SIGINT)


def _start_worker() -> None:
    """Lets Ctrl-C end a worker process at once, and the end of its parent, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Ends this process when its parent ends. A worker would wait forever for a killed parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _main_script_hidden() -> Iterator[None]:
    """Keeps processes that are spawned in the block from importing the main script, and its jax."""
    main = sys.modules["__main__"].__dict__
    saved = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(saved)


def _report_broken(
    requests: Sequence[Request], broken: dict[Key, str], skip_broken: bool
) -> None:
    """Names the stores that cannot be prepared, on stderr or in an error.

    Args:
      requests: all requests.
      broken: the reasons for the stores that cannot be prepared.
      skip_broken: whether the run goes on without them.

    Raises:
      InputError: not `skip_broken`, or all training stores are broken.
    """
    lines = "\n".join(
        f"  {task}/{split} ({kind}): {reason}"
        for (task, split, kind), reason in broken.items()
    )
    if not skip_broken:
        raise InputError(
            f"{len(broken)} of {len(requests)} token stores cannot be prepared:\n{lines}\n"
            "Repair these tasks or take them out of the mixture, or go on without them with "
            "--gin.DataConfig.skip_broken=True"
        )
    training_keys = [request.key for request in requests if request.kind == "train"]
    if training_keys and all(key in broken for key in training_keys):
        raise InputError(
            f"nothing is left to train on; these cannot be prepared:\n{lines}"
        )
    print(f"left out, as they cannot be prepared:\n{lines}", file=sys.stderr)
