"""Measures `launch/train.py --dry_run` of flan2021 on the practice corpus, with a warm token cache.

    python tests/benchmarks/dry_run.py [--runs 3]

A first run fills a new cache. `value` is the median of the seconds of the later runs, from process
start to end. Target: 5 s.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processes

COMMAND = [
    "launch/train.py",
    "--gin_file=flan_mixture.gin",
    "--gin.MIXTURE=flan2021",
    "--dry_run",
]


def dry_run(cache: Path) -> tuple[float, str]:
    """Returns (seconds, output) of a dry run."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *COMMAND],
        cwd=processes.ROOT,
        env=processes.environment(cache),
        check=True,
        capture_output=True,
        text=True,
    )
    return time.monotonic() - start, done.stdout


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cold, _ = dry_run(Path(name))
        runs = [dry_run(Path(name)) for _ in range(arguments.runs)]
    seconds = [took for took, _ in runs]
    assert "filled with real tokens" in runs[-1][1]
    result = {
        "name": "dry_run_flan2021",
        "value": round(statistics.median(seconds), 2),
        "unit": "s",
        "target": 5,
        "slowest": round(max(seconds), 2),
        "cold": round(cold, 2),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
