"""The report of a sweep of 100 runs: ten clusters held out, five settings, two seeds, five tasks of ten templates a run.

    python tests/benchmarks/report.py

The sweep's directory is made up in a temporary folder first. `value` is the median of the seconds of three processes that
write its report, from process start to end; on a busy machine `cpu_seconds`, the mean of the processor time that one took, is
the steadier figure. `megabytes` is the size of report.html. Targets: 5 s and 10 MB.
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
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ablation")]

import processes
from sweep_directory import write_sweep

OPTIONS = (2, 3, 4, None, 2)


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    names = [f"cluster_{i}" for i in range(10)]
    clusters = {
        name: {f"task_{name[-1]}{j}": options for j, options in enumerate(OPTIONS)}
        for name in names
    }
    mixtures = [f"flan2021_{i}_clusters" for i in range(1, 6)]
    axes = {"HELD_OUT": names, "MIXTURE": mixtures, "SEED": [0, 1]}
    command = [sys.executable, "-m", "flan_jax.reports.sweep_report"]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        sweep = write_sweep(Path(folder), axes=axes, clusters=clusters, templates=10, examples=100)
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run([*command, str(sweep)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - start)
        megabytes = (sweep / "report.html").stat().st_size / 1e6
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "name": "report",
        "value": round(statistics.median(seconds), 2),
        "unit": "seconds",
        "target": 5,
        "cpu_seconds": round((used.ru_utime + used.ru_stime) / len(seconds), 2),
        "megabytes": round(megabytes, 2),
        "megabytes_target": 10,
        "runs": 100,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
