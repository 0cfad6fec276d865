"""Measures the report of a sweep of 100 runs.

    python tests/benchmarks/report.py

Ten clusters are held out in five settings with two seeds; each run scores five tasks of ten
templates. The sweep directory is made up in a temporary folder first. `value` is the median of the
wall seconds of three processes that write its report, from process start to end. On a busy machine
`cpu_seconds`, their mean processor time, is steadier. `peak_mebibytes` is the largest resident
memory of one of them; `megabytes` is the size of report.html. Targets: 5 s and 10 MB.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import processes
from sweep_directory import write_sweep

OPTIONS = (2, 3, 4, None, 2)
"""The number of options of each task of a cluster."""
REPEATS = 3


def main() -> int:
    """Runs the benchmark and prints its result."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    clusters = {}
    for number in range(10):
        clusters[f"cluster_{number}"] = {
            f"task_{number}{index}": options for index, options in enumerate(OPTIONS)
        }
    axes = {
        "HELD_OUT": list(clusters),
        "MIXTURE": [f"flan2021_{number}_clusters" for number in range(1, 6)],
        "SEED": [0, 1],
    }
    command = [sys.executable, "-m", "flan_jax.reports.sweep_report"]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        sweep = write_sweep(
            Path(folder), axes=axes, clusters=clusters, templates=10, examples=100
        )
        for _ in range(REPEATS):
            start = time.perf_counter()
            subprocess.run(
                [*command, str(sweep)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
            )
            seconds.append(time.perf_counter() - start)
        megabytes = (sweep / "report.html").stat().st_size / 1e6

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = (used.ru_utime + used.ru_stime) / REPEATS
    result = {
        "name": "report",
        "value": round(statistics.median(seconds), 2),
        "unit": "seconds",
        "target": 5,
        "cpu_seconds": round(cpu_seconds, 2),
        "peak_mebibytes": round(used.ru_maxrss / 1024),
        "megabytes": round(megabytes, 2),
        "megabytes_target": 10,
        "runs": 100,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
