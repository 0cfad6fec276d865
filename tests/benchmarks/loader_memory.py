"""Measures the memory of the data path: 1.5 million examples, a plan, and 300 batches.

    python tests/benchmarks/loader_memory.py [--batches 300]

The batches are spread evenly over a run of 30,000 steps, so that each is in a block of its own and
tokens of all parts of the stores are read. `value` is the peak of resident memory, which counts the
stores' mapped pages, although the system may drop them at any time; `peak_gib_without_files` is the
largest anonymous memory seen after a batch (Linux only). Corpus: corpus.py with 24,194 rows a task;
settings as in first_batch.py. Target: 1 GiB.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import corpus
import numpy as np
import processes

ROWS_PER_TASK = 24_194
STEPS = 30_000


def child(folder: Path, batches: int) -> None:
    """Makes batches in this process and reports its memory."""
    from flan_jax.data.loader import Loader

    data = corpus.open_mixture(folder)
    loader = Loader(data.plan("encoder_decoder"), data.train, data.row_tokenizer.tokens)
    anonymous = 0.0
    for step in np.linspace(0, STEPS - 1, batches).astype(int).tolist():
        loader.batch(step)
        anonymous = max(anonymous, anonymous_gib())
    processes.report(anonymous_gib=anonymous)


def anonymous_gib() -> float:
    """Returns the resident memory that no file backs; 0 where /proc does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    for line in status.read_text().splitlines():
        if line.startswith("RssAnon:"):
            kib = int(line.split()[1])
            return kib / 2**20
    return 0.0


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments, rest = parser.parse_known_args()
    if arguments.child:
        child(arguments.child, int(rest[0]))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = corpus.write_stores(folder, ROWS_PER_TASK)
        store_bytes = sum(file.stat().st_size for file in folder.rglob("tokens.arrow"))
        run = processes.run_child(__file__, folder, arguments.batches)
    result = {
        "name": "loader_memory_1_5m_examples",
        "value": round(run["peak_gib"], 3),
        "unit": "GiB",
        "target": 1.0,
        "peak_gib_without_files": round(run["anonymous_gib"], 3),
        "stores_gib": round(store_bytes / 2**30, 3),
        "examples": examples,
        "batches": arguments.batches,
        "seconds": round(run["seconds"], 1),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
