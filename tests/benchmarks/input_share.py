"""The share of training that waits for input: flan_mixture.gin's small model on its own rows, two processes.

    python tests/benchmarks/input_share.py [--steps 100]

`value` is the time that the loop waited for a batch over the time that its steps took, in percent, from metrics.jsonl
without its first line, whose interval compiles; the first process writes it. `device` is the same of waiting for the device, of which there should be
much: the host is then ahead. On accelerators steps are shorter: `input_ms` is the wait a step. Target: 3 %.
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        where = (
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
            *where,
        ]
        both = [
            subprocess.Popen(
                [*command, f"--process_index={index}"],
                cwd=processes.ROOT,
                env=processes.environment(folder / "cache"),
            )
            for index in range(2)
        ]
        ends = [process.wait() for process in both]
        if any(ends):
            return 1
        rows = [
            json.loads(line)
            for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()
        ]
    seconds = rows[-1]["seconds"] - rows[0]["seconds"]
    waited = {
        phase: sum(row.get(f"{phase}_seconds", 0.0) for row in rows[1:])
        for phase in ("input", "device")
    }
    result = {
        "name": "input_share",
        "value": round(100 * waited["input"] / seconds, 2),
        "unit": "% of the steps' time",
        "target": TARGET,
        "device": round(100 * waited["device"] / seconds, 1),
        "input_ms": round(
            1000 * waited["input"] / (rows[-1]["step"] - rows[0]["step"]), 3
        ),
        "step_ms": round(1000 * seconds / (rows[-1]["step"] - rows[0]["step"]), 1),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
