"""Measures the preparation of token stores against seqio's pipeline: 62 of FLAN's tasks.

    python tests/benchmarks/prepare.py [--rows 3000] [--peer_rows 300]

3,000 practice rows of each task are rendered and tokenized. `value` is the seconds of prepare(),
the start of its worker processes included, with one worker a core. The peer is
seqio.Task.get_dataset on the same tasks and practice rows, with its own threads (tf.data), read to
the end, `peer_rows` of each task; its time is without imports and without the registration. `ratio`
is our rows a second divided by its rows a second. Targets: 60 s, and a ratio of 3.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

from flan_jax.data.row_tokenizer import RowTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import processes

TASKS = 62


def requests(rows: int) -> list:
    """Returns requests for training stores of practice rows, `rows` of each task."""
    import tasks  # noqa: F401 (registers)
    from flan_jax.data.store_requests import Request
    from flan_jax.tasks.task import TASKS as REGISTERED

    trained = [task for task in REGISTERED.values() if "train" in task.splits]
    all_requests = []
    for task in trained[:TASKS]:
        source = dataclasses.replace(task.sandbox, train=rows)
        task = dataclasses.replace(task, source=source)
        all_requests.append(Request(task, "train", "train"))
    return all_requests


def prepare_rate(rows: int) -> float:
    """Returns the rows a second of prepare().

    Args:
      rows: rows of each task.
    """
    from flan_jax.data.prepare import prepare
    from flan_jax.data.tokenizers import load_tokenizer

    all_requests = requests(rows)
    tokenizer = load_tokenizer("practice")
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        stores = prepare(all_requests, RowTokenizer(tokenizer), cache, progress=False)
        seconds = time.perf_counter() - start
    count = sum(map(len, stores.values()))
    assert count == TASKS * rows, count
    print(f"flan_jax: {count:,} rows in {seconds:.1f} s")
    return count / seconds


def seqio_rate(rows: int) -> float:
    """Returns the rows a second of seqio.

    Args:
      rows: rows of each task.
    """
    import seqio

    from flan_jax.data import seqio_registry
    from flan_jax.tasks.task import TASKS as REGISTERED

    for request in requests(rows):
        REGISTERED[request.task.name] = request.task
    seqio_registry.register_seqio()

    lengths = {"inputs": 1024, "targets": 256}
    count = 0
    start = time.perf_counter()
    for request in requests(rows):
        task = seqio.get_mixture_or_task(request.task.name)
        dataset = task.get_dataset(lengths, "train", shuffle=False)
        count += sum(1 for _ in dataset.as_numpy_iterator())
    seconds = time.perf_counter() - start
    assert count == TASKS * rows, count
    print(f"seqio: {count:,} rows in {seconds:.1f} s")
    return count / seconds


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--peer_rows", type=int, default=300)
    arguments = parser.parse_args()
    rate = prepare_rate(arguments.rows)
    peer_rate = seqio_rate(arguments.peer_rows)
    result = {
        "name": "prepare_62_tasks",
        "value": round(TASKS * arguments.rows / rate, 1),
        "unit": "s",
        "target": 60,
        "rows_per_second": round(rate),
        "peer": "seqio get_dataset, rows per second",
        "peer_value": round(peer_rate),
        "ratio": round(rate / peer_rate, 2),
        "ratio_target": 3,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
