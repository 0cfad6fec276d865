"""A newcomer's first training step: a fresh clone, no token stores, no compiled programs.

    python tests/benchmarks/first_step.py

The packages are installed already (this Python's); what is not committed is not measured. `value`
runs from the start of `python launch/train.py --gin_file=flan_mixture.gin` to the line of
metrics.jsonl of the first training step (TrainConfig.log_every=1, else the job's own settings). In
between lie the imports, preparing the data, the packing check, the evaluation before training,
compiling the step, and taking it. `fit_seconds` are the last two of these. `value` less
`without_evaluation_seconds`, of a second cold run whose directory has the scores of the first
already, is what the evaluation takes. The runs are ended with SIGTERM after that step. Target: 60
s.
"""

import sys
import tempfile
from pathlib import Path

import processes


def main() -> int:
    command = [sys.executable, "launch/train.py"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commit = processes.clone(folder / "clone")
        full = processes.to_first_step(
            command, folder / "full", folder / "clone", folder / "cache"
        )
        scored = processes.already_scored(folder / "full", folder / "scored")
        bare = processes.to_first_step(
            command, scored, folder / "clone", folder / "another_cache"
        )
    result = {
        "name": "first_step_fresh_clone",
        "value": round(full["seconds"], 1),
        "unit": "s",
        "target": 60,
        "without_evaluation_seconds": round(bare["seconds"], 1),
        "fit_seconds": round(full["fit"], 1),
        "prompts_evaluated": processes.prompts(full["output"]),
        "commit": commit,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
