"""Measures the time from a process start to the first packed batch, with 310,000 examples.

    python tests/benchmarks/first_batch.py [--runs 5]

The corpus is 62 synthetic tasks x 10 templates x 500 rows (corpus.py). Its token stores are
prepared outside of the timing. Each run is a fresh process that imports the data layer, opens the
stores with their checksums, builds the plan (32 rows of 1024/256 a batch, FLAN's maximum rate of
3,000) and makes batch 0; the time runs from before the process is started. Medians are reported.
Targets: 2 s, and a peak of 1 GiB of resident memory (the files' mapped pages count).
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import corpus
import processes


def child(folder: Path) -> None:
    """Makes the batch in this process and reports what the process has imported."""
    from flan_jax.data.loader import Loader

    data = corpus.open_mixture(folder)
    plan = data.plan("encoder_decoder")
    loader = Loader(plan, data.train, data.row_tokenizer.tokens)
    segment_ids = loader.batch(0)["encoder_segment_ids"]
    imported = sorted({"jax", "tensorflow"} & set(sys.modules))
    processes.report(tokens=int((segment_ids > 0).sum()), imported=imported)


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
        examples = corpus.write_stores(Path(folder))
        runs = [processes.run_child(__file__, folder) for _ in range(arguments.runs)]
    for run in runs:
        imported = run["imported"] or "no jax, no tf"
        print(f"{run['seconds']:.2f} s, {run['peak_gib']:.3f} GiB; {imported}")
    result = {
        "name": "first_batch_310k_examples",
        "value": round(statistics.median(run["seconds"] for run in runs), 2),
        "unit": "s",
        "target": 2.0,
        "slowest": round(max(run["seconds"] for run in runs), 2),
        "peak_gib": round(max(run["peak_gib"] for run in runs), 3),
        "peak_gib_target": 1.0,
        "examples": examples,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
