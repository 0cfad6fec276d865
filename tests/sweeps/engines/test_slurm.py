"""The Slurm engine."""

import subprocess
from pathlib import Path

import pytest
from toy_sweeps import BASE, RUNS

from flan_jax.sweeps import queue
from flan_jax.sweeps.engines import slurm
from flan_jax.sweeps.engines.slurm import SlurmEngine


def test_the_script_for_slurm():
    by = SlurmEngine(
        partition="gpu", nodes=2, processes_per_node=4, gpus_per_node=4, cpus_per_process=8, time="4:00:00", at_once=3,
        activate="module load cuda\n. '/my env/bin/activate'", options=("--exclusive",),
    )  # fmt: skip
    (script,) = by.files(Path("/sweeps/loco"), [BASE, *RUNS[:2]]).values()
    assert (
        script
        == f"""#!/bin/bash
#SBATCH --job-name=loco
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=8
#SBATCH --time=4:00:00
#SBATCH --signal=TERM@300
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append

# The run of each job of the array.
declare -A runs=(
  [base]=base0  # base
  [0]=aa  # HELD_OUT=a
  [1]=bb  # HELD_OUT=b
)
run=${{runs[${{SLURM_ARRAY_TASK_ID:-base}}]}}
exec >> /sweeps/loco/logs/$run.log 2>&1
cd {queue.ROOT}
srun --kill-on-bad-exit=1 --cpus-per-task=8 bash -ec 'module load cuda
. '"'"'/my env/bin/activate'"'"'
exec python launch/ablate.py run --plan=/sweeps/loco --index=$1' run "$run"
code=$?
# The run was saved before the time limit: the job goes back into the queue to continue it.
[ $code -eq 42 ] && exec scontrol requeue "$SLURM_JOB_ID"
exit $code
"""
    )
    (command,) = by.commands(Path("/sweeps/loco"), [RUNS[0], *RUNS[2:]], None)
    assert command.argv == [
        "sbatch", "--parsable", "--output=/sweeps/loco/logs/slurm-%a.log", "--array=0,2-3%3", "/sweeps/loco/slurm.sh",
    ]  # fmt: skip
    assert command.jobs("77;cluster\n") == ["77_0", "77_2", "77_3"]


@pytest.mark.parametrize(
    ("code", "after"), [(0, []), (1, []), (42, ["scontrol requeue 77"])]
)
def test_the_script_for_slurm_puts_a_saved_run_back_into_the_queue(
    tmp_path, clients, monkeypatch, code, after
):
    sweep_dir = tmp_path / "a sweep"
    (sweep_dir / "logs").mkdir(parents=True)
    clients("python", "trained", code)
    clients("scontrol")
    (tmp_path / "bin/srun").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tmp_path / "bin/srun").chmod(0o755)
    script = SlurmEngine(activate="set -e").files(sweep_dir, RUNS)[slurm.FILE]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    done = subprocess.run(["bash", "-c", script], check=False)
    assert done.returncode == (0 if after else code)
    assert clients.calls() == [
        f"python launch/ablate.py run --plan={sweep_dir} --index=cc",
        *after,
    ]
    assert (sweep_dir / "logs/cc.log").read_text().startswith("trained\n")
