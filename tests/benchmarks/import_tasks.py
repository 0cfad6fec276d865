"""Measures `import tasks`, all of FLAN's tasks, in fresh processes.

    python tests/benchmarks/import_tasks.py [--runs 7]

`value` is the median of the seconds that the import statement takes, without the interpreter's
start. Target: 0.5 s, and neither jax nor TensorFlow is imported.
"""

import argparse
import json
import statistics
import sys
import time

import processes

HEAVY = {"jax", "tensorflow", "seqio", "tensorflow_datasets"}


def child() -> None:
    """Imports the tasks and reports the seconds."""
    sys.path.insert(0, str(processes.ROOT))
    start = time.perf_counter()
    import tasks  # noqa: F401 (what is measured)

    took = time.perf_counter() - start
    from flan_jax.tasks.task import TASKS

    processes.report(
        took=took, tasks=len(TASKS), imported=sorted(HEAVY & set(sys.modules))
    )


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child()
        return 0
    runs = [processes.run_child(__file__) for _ in range(arguments.runs)]
    result = {
        "name": "import_tasks",
        "value": round(statistics.median(run["took"] for run in runs), 3),
        "unit": "s",
        "target": 0.5,
        "slowest": round(max(run["took"] for run in runs), 3),
        "tasks": runs[0]["tasks"],
        "imported": runs[0]["imported"],
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
