"""What the ablation runner takes beside the runs themselves: two runs of leave_one_cluster_out.gin, one after the other.

    python tests/benchmarks/ablation_overhead.py [--gin.NAME=value ...]

`value` is 100 x (W - R) / R in percent: W the seconds of launch/ablate.py from process start to end, its plan, its status
files and its reports included; R those in which a run's own process was alive. The runs are whole ones, of two held-out
clusters, without the base model before them, with empty caches. Flags are handed on. Target: 2 %.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import processes

CLUSTERS = ["sentiment", "paraphrase"]


def sweep(folder: str, flags: list[str]) -> None:
    """The whole program, with a clock around each of its runs' processes."""
    from flan_jax.cli import ablate, program
    from flan_jax.sweeps.local_engine import LocalEngine

    alive = []

    class Timed(LocalEngine):
        def _child(self, run: Any, devices: str | None) -> int:
            start = time.monotonic()
            code = super()._child(run, devices)
            alive.append(time.monotonic() - start)
            return code

    ablate.LocalEngine = Timed
    axes = f"--gin.AblationConfig.axes={{'HELD_OUT': {CLUSTERS}}}"
    arguments = [
        "--gin_file=leave_one_cluster_out.gin",
        f"--sweep_dir={folder}/sweep",
        axes,
    ]
    flags = [*arguments, "--gin.AblationConfig.base=None", *flags]
    code = program.exit_code(ablate.main, flags)
    processes.report(alive=alive, code=code)


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        sweep(sys.argv[2], sys.argv[3:])
        return 0
    with tempfile.TemporaryDirectory() as folder:
        cache = f"--gin.DataConfig.cache_dir='{folder}/cache'"
        found = processes.run_child(__file__, folder, cache, *sys.argv[1:])
    if found["code"] or len(found["alive"]) != len(CLUSTERS):
        print(f"the sweep failed with exit code {found['code']}")
        return 1
    runs = sum(found["alive"])
    result = {
        "name": "ablation_overhead",
        "value": round(100 * (found["seconds"] - runs) / runs, 2),
        "unit": "percent",
        "target": 2,
        "seconds": round(found["seconds"], 1),
        "runs_seconds": [round(seconds, 1) for seconds in found["alive"]],
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
