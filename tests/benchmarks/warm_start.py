"""The same job again: from a process start to the first step, with everything cached.

    python tests/benchmarks/warm_start.py

A first run of flan_mixture.gin fills a cache of its own and is ended with SIGTERM after its first
step; then a new process with a new run directory is timed. `value` runs from the start of the
process to the line of metrics.jsonl of the first training step (TrainConfig.log_every=1, else the
job's own settings), so it includes the imports, opening the stores, the packing check, the
evaluation before training, loading the compiled step and taking it. `without_evaluation_seconds` is
the same of a third process, whose run directory has the scores from before training already.
`first_run_seconds` is the first run with its empty cache. Neither tensorflow nor seqio may be
imported: the process itself checks that. Target: 25 s.
"""

import sys
import tempfile
from pathlib import Path

import processes

FORBIDDEN = {"tensorflow", "seqio"}


def child(arguments: list[str]) -> int:
    """What launch/train.py does, and what it has imported when it ends."""
    sys.path.insert(0, str(processes.ROOT))
    from flan_jax.cli import program, train

    code = program.exit_code(train.main, arguments)
    assert not FORBIDDEN & set(sys.modules), f"imported: {FORBIDDEN & set(sys.modules)}"
    print("neither is imported", flush=True)
    return code


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2:])
    command = [sys.executable, __file__, "--child"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cold = processes.to_first_step(
            command, folder / "cold", processes.ROOT, folder / "cache"
        )
        warm = processes.to_first_step(
            command, folder / "warm", processes.ROOT, folder / "cache"
        )
        scored = processes.already_scored(folder / "warm", folder / "scored")
        bare = processes.to_first_step(
            command, scored, processes.ROOT, folder / "cache"
        )
    for run in (warm, bare):
        assert "neither is imported" in run["output"], run["output"][-3000:]
    result = {
        "name": "warm_start_first_step",
        "value": round(warm["seconds"], 1),
        "unit": "s",
        "target": 25,
        "without_evaluation_seconds": round(bare["seconds"], 1),
        "fit_seconds": round(warm["fit"], 1),
        "first_run_seconds": round(cold["seconds"], 1),
        "prompts_evaluated": processes.prompts(warm["output"]),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
