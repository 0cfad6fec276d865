"""62 of FLAN's tasks x 3,000 practice rows, rendered and tokenised into token stores, against seqio's own pipeline.

    python tests/benchmarks/prepare.py [--rows 3000] [--peer_rows 300]

`value` is the seconds from the call of prepare() to its end, its worker processes' start included, with one worker a
core. The peer is seqio.Task.get_dataset on the same tasks and the same practice rows in the same process count that it
has by itself (tf.data's threads), read to the end, `peer_rows` of each task; its time is without imports and without the
registration. `ratio` is our rows a second over its rows a second. Targets: 60 s, and a ratio of 3.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import processes

TASKS = 62


def requests(rows: int) -> list:
    import tasks  # noqa: F401 (registers)
    from flan_jax.data.store_requests import Request
    from flan_jax.tasks.task import TASKS as REGISTERED

    chosen = [task for task in REGISTERED.values() if "train" in task.splits][:TASKS]
    sources = [dataclasses.replace(task.sandbox, train=rows) for task in chosen]
    return [
        Request(dataclasses.replace(task, source=s), "train", "train")
        for task, s in zip(chosen, sources, strict=True)
    ]


def ours(rows: int) -> float:
    """Rows a second."""
    from flan_jax.data.prepare import prepare
    from flan_jax.data.tokenizers import load_tokenizer

    asked, tokenizer = requests(rows), load_tokenizer("practice")
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        stores = prepare(asked, tokenizer, cache, progress=False)
        seconds = time.perf_counter() - start
    found = sum(map(len, stores.values()))
    assert found == TASKS * rows, found
    print(f"flan_jax: {found:,} rows in {seconds:.1f} s")
    return found / seconds


def seqios(rows: int) -> float:
    """Rows a second."""
    import seqio

    from flan_jax.data import seqio_registry
    from flan_jax.tasks.task import TASKS as REGISTERED

    for request in requests(rows):
        REGISTERED[request.task.name] = request.task
    seqio_registry.register_seqio()
    start, found = time.perf_counter(), 0
    for request in requests(rows):
        dataset = seqio.get_mixture_or_task(request.task.name).get_dataset(
            {"inputs": 1024, "targets": 256}, "train", shuffle=False
        )
        found += sum(1 for _ in dataset.as_numpy_iterator())
    seconds = time.perf_counter() - start
    assert found == TASKS * rows, found
    print(f"seqio: {found:,} rows in {seconds:.1f} s")
    return found / seconds


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--peer_rows", type=int, default=300)
    arguments = parser.parse_args()
    speed = ours(arguments.rows)
    peer = seqios(arguments.peer_rows)
    result = {
        "name": "prepare_62_tasks",
        "value": round(TASKS * arguments.rows / speed, 1),
        "unit": "s",
        "target": 60,
        "rows_per_second": round(speed),
        "peer": "seqio get_dataset, rows per second",
        "peer_value": round(peer),
        "ratio": round(speed / peer, 2),
        "ratio_target": 3,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
