"""Measures the share of training that waits for input: a small model on two processes.

    python tests/benchmarks/input_share.py [--steps 100]

The settings are those of flan_mixture.gin. `value` is the time that the loop waited for batches
divided by the time of its steps, in percent, from metrics.jsonl of process 0 without its first
line, whose interval compiles. `device` is the same for waiting for the device, of which there
should be much: the host is then ahead. On accelerators steps are shorter: `input_ms` is the wait a
step. Target: 3 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import processes
from small_runs import free_port

TARGET = 3.0
FLAGS = (
    "--gin_file=flan_mixture.gin",
    "--gin.DataConfig.eval_examples=2",
    "--gin.DataConfig.seen_eval_examples=1",
    "--gin.CheckpointConfig.every=1000000",
)


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process_flags = (
            f"--coordinator_address=localhost:{free_port()}",
            "--process_count=2",
            f"--run_dir={folder / 'run'}",
        )
        command = [
            sys.executable,
            "launch/train.py",
            *FLAGS,
            f"--gin.STEPS={steps}",
            "--gin.MESH={'data': 2}",
            *process_flags,
        ]
        running = [
            subprocess.Popen(
                [*command, f"--process_index={index}"],
                cwd=processes.ROOT,
                env=processes.environment(folder / "cache"),
            )
            for index in range(2)
        ]
        exit_codes = [process.wait() for process in running]
        if any(exit_codes):
            return 1
        text = (folder / "run" / "metrics.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
    seconds = rows[-1]["seconds"] - rows[0]["seconds"]
    steps_timed = rows[-1]["step"] - rows[0]["step"]
    input_seconds = sum(row.get("input_seconds", 0.0) for row in rows[1:])
    device_seconds = sum(row.get("device_seconds", 0.0) for row in rows[1:])
    result = {
        "name": "input_share",
        "value": round(100 * input_seconds / seconds, 2),
        "unit": "% of the steps' time",
        "target": TARGET,
        "device": round(100 * device_seconds / seconds, 1),
        "input_ms": round(1000 * input_seconds / steps_timed, 3),
        "step_ms": round(1000 * seconds / steps_timed, 1),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
