"""Measures `import flan_jax.data.seqio_registry`, which registers all tasks with seqio.

    python tests/benchmarks/seqio_registration.py [--runs 3]

`value` is the median of the seconds after TensorFlow, seqio and `tasks` are imported. Target: 2 s.
"""

import argparse
import json
import statistics
import sys
import time

import processes


def child() -> None:
    """Registers in this process and reports the seconds and the numbers of tasks and mixtures."""
    sys.path.insert(0, str(processes.ROOT))
    import seqio
    import tensorflow  # noqa: F401 (its import is not what is measured)

    import tasks  # noqa: F401 (neither is this)

    start = time.perf_counter()
    import flan_jax.data.seqio_registry  # noqa: F401 (what is measured)

    took = time.perf_counter() - start
    counts = {
        "tasks": len(seqio.TaskRegistry.names()),
        "mixtures": len(seqio.MixtureRegistry.names()),
    }
    processes.report(took=took, **counts)


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child()
        return 0
    runs = [processes.run_child(__file__) for _ in range(arguments.runs)]
    result = {
        "name": "seqio_registration",
        "value": round(statistics.median(run["took"] for run in runs), 3),
        "unit": "s",
        "target": 2.0,
        "slowest": round(max(run["took"] for run in runs), 3),
        "tasks": runs[0]["tasks"],
        "mixtures": runs[0]["mixtures"],
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
