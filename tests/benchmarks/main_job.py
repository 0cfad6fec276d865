"""The whole main job: a fresh clone, empty caches, flan_mixture.gin as it is, to its end.

    python tests/benchmarks/main_job.py [--gin.NAME=value ...]

`value` are the minutes from the start of launch/train.py to its end: preparing the data, scoring
before training, all training steps, scoring after it, the report. Flags are handed on, for trying
the benchmark out. The packages are installed already; what is not committed is not measured.
`first_loss` and `last_loss` are those of the first and the last line of metrics.jsonl, each a mean
over TrainConfig.log_every steps. `clusters` are the means over tasks before and after training, and
of blind guessing (null where answers are generated); `held_out` names the held-out cluster. Target:
8 minutes.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import processes


def by_cluster(
    tasks: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, float | None]]:
    """Returns {cluster: {"before", "after", "chance"}}, means over tasks; None if one has none."""
    found = {}
    for cluster in sorted({task["cluster"] for task in tasks.values()}):
        members = [task for task in tasks.values() if task["cluster"] == cluster]
        values = {
            key: [task.get(key) for task in members]
            for key in ("before", "after", "chance")
        }
        found[cluster] = {
            k: None if None in v else round(statistics.fmean(v), 1)
            for k, v in values.items()
        }
    return found


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commit = processes.clone(folder / "clone")
        environment = processes.environment(folder / "cache")
        command = [
            sys.executable,
            "launch/train.py",
            "--gin_file=flan_mixture.gin",
            f"--run_dir={folder / 'run'}",
        ]
        start = time.monotonic()
        code = subprocess.run(
            [*command, *sys.argv[1:]],
            check=False,
            cwd=folder / "clone",
            env=environment,
        ).returncode
        seconds = time.monotonic() - start
        if code:
            print(f"the run failed with exit code {code}")
            return 1
        outcome = json.loads((folder / "run" / "result.json").read_text())
        losses = [
            json.loads(line)["loss"]
            for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()
        ]
    held_out = sorted(
        {task["cluster"] for task in outcome["tasks"].values() if task["held_out"]}
    )
    result = {
        "name": "main_job_fresh",
        "value": round(seconds / 60, 2),
        "unit": "minutes",
        "target": 8,
        "steps": outcome["step"],
        "first_loss": round(losses[0], 3),
        "last_loss": round(losses[-1], 3),
        "fit_seconds": round(outcome["seconds"], 1),
        "held_out": held_out,
        "held_out_mean": round(outcome["held_out_mean"], 1),
        "clusters": by_cluster(outcome["tasks"]),
        "commit": commit,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
