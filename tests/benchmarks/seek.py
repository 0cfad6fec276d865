"""Measures resuming late: batch 30,000 from a new plan, with prepared stores (310,000 examples).

    python tests/benchmarks/seek.py [--runs 5]

`value` runs from the start of the plan's construction, with the stores open, to the finished batch;
`process_seconds` from before the process is started. Corpus and settings are those of
first_batch.py. Each run is a fresh process; medians are reported. Target: 1 s.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import corpus
import processes

STEP = 30_000


def child(folder: Path) -> None:
    """Makes the batch in this process and reports the seconds."""
    from flan_jax.data.loader import Loader

    data = corpus.open_mixture(folder)
    start = time.perf_counter()
    plan = data.plan("encoder_decoder")
    built = time.perf_counter()
    loader = Loader(plan, data.train, data.row_tokenizer.tokens)
    loader.batch(STEP)
    processes.report(seek=time.perf_counter() - start, plan=built - start)


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        corpus.write_stores(Path(folder))
        runs = [processes.run_child(__file__, folder) for _ in range(arguments.runs)]
    for run in runs:
        print(
            f"{run['seek']:.2f} s to the batch ({run['plan']:.2f} s of it the plan), "
            f"{run['seconds']:.2f} s in all"
        )
    result = {
        "name": f"seek_to_step_{STEP}",
        "value": round(statistics.median(run["seek"] for run in runs), 3),
        "unit": "s",
        "target": 1.0,
        "slowest": round(max(run["seek"] for run in runs), 3),
        "process_seconds": round(statistics.median(run["seconds"] for run in runs), 2),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
