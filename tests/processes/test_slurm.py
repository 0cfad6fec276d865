"""The Slurm engine on a cluster: two nodes on this machine, made by tests/support/slurm.sh, and jobs that really train."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tiny_sweeps import ROOT, axes, runs, statuses, sweep, table

from flan_jax.json_files import read_jsonl
from flan_jax.sweeps.engines.slurm import SlurmEngine
from flan_jax.sweeps.queue import last_jobs
from flan_jax.sweeps.sweep_dir import PlannedRun

AXES = "{'HELD_OUT': ['sentiment', 'coreference']}"
LAST = 80
STEPS = f"--gin.STEPS={LAST}"
SUBMIT = ("--engine=slurm", "--gin_file=slurm.gin", STEPS)


@pytest.fixture(scope="module")
def cluster():
    """The environment in which Slurm's programs find the cluster."""
    missing = [
        name
        for name in ("munged", "slurmctld", "slurmd", "sbatch")
        if shutil.which(name) is None
    ]
    if missing or os.geteuid():
        pytest.skip(
            f"no cluster can be made without {' and '.join(missing) or 'being root'}: see tests/support/slurm.sh"
        )
    script = str(ROOT / "tests/support/slurm.sh")
    # Not pytest's own folder: a path with a socket must be short.
    with tempfile.TemporaryDirectory(prefix="slurm-") as directory:
        try:
            subprocess.run([script, "up", directory], check=True)
            yield {"SLURM_CONF": f"{directory}/slurm.conf"}
        finally:
            subprocess.run([script, "down", directory], check=True)


def slurm(cluster, *command):
    done = subprocess.run(
        command, env=os.environ | cluster, check=True, capture_output=True, text=True
    )
    return done.stdout


def wait(condition, seconds=900):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this has taken too long"
        time.sleep(0.1)


def step(folder, run):
    rows = [
        row["step"]
        for row in read_jsonl(folder / "sweep" / run["directory"] / "metrics.jsonl")
    ]
    return max(rows, default=0)


def logs(folder):
    return "\n".join(
        f"{file.name}: {file.read_text()[-2000:]}"
        for file in (folder / "sweep/logs").iterdir()
    )


def test_jobs_that_are_requeued_in_the_middle_come_to_the_table_of_an_undisturbed_sweep(
    tmp_path, cache, cluster
):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
        axes(folder, AXES)
    sweep(undisturbed, cache, STEPS, "--slots=2")

    bin_folder = Path(sys.executable).parent
    (disturbed / "slurm.gin").write_text(
        f"SlurmEngine.activate = 'export PATH={bin_folder}:$PATH'"
    )
    output = sweep(disturbed, cache, *SUBMIT, **cluster)
    assert "3 to submit to slurm, 0 in its queue already" in output
    jobs = last_jobs(disturbed / "sweep")
    assert "0 to submit to slurm, 3 in its queue already" in sweep(
        disturbed, cache, *SUBMIT, **cluster
    )
    assert last_jobs(disturbed / "sweep") == jobs
    assert all(
        job in sweep(disturbed, cache, "--status", **cluster) for job in jobs.values()
    )

    first, second = runs(disturbed)
    wait(lambda: 6 <= step(disturbed, first) < LAST)
    slurm(cluster, "scontrol", "requeue", jobs[first["id"]])
    wait(lambda: 6 <= step(disturbed, second) < LAST)
    # As before the time limit: to the run's processes, and not to the script, which puts the job back into the queue.
    slurm(cluster, "scancel", "--signal=TERM", jobs[second["id"]])
    wait(lambda: not slurm(cluster, "squeue", "--noheader").strip())

    found = statuses(disturbed)
    assert [found[run["id"]]["state"] for run in (first, second)] == [
        "finished",
        "finished",
    ], logs(disturbed)
    assert [found[run["id"]]["attempts"] for run in (first, second)] == [2, 2]
    assert table(disturbed) == table(undisturbed)
    assert "0 to submit to slurm, 0 in its queue already" in sweep(
        disturbed, cache, *SUBMIT, **cluster
    )
    assert last_jobs(disturbed / "sweep") == jobs
    sweep(disturbed, cache, "--report")
    assert "2 runs: 2 finished" in (disturbed / "sweep/report.md").read_text()


PROGRAM = """#!/bin/bash
# The second has more to save.
trap 'sleep $SLURM_PROCID; exit 42' TERM
echo $SLURMD_NODENAME $SLURM_PROCID ${SLURM_RESTART_COUNT:-0} ${@: -1} >> %(said)s
[ -n "$SLURM_RESTART_COUNT" ] && exit
sleep 60 & wait
"""


def test_a_run_of_two_nodes_has_a_process_on_each_and_goes_on_when_both_have_saved(
    tmp_path, cluster
):
    said, sweep_dir = tmp_path / "said", tmp_path / "sweep"
    (sweep_dir / "logs").mkdir(parents=True)
    (tmp_path / "python").write_text(PROGRAM % {"said": said})
    (tmp_path / "python").chmod(0o755)
    more = {
        "evaluation": "e",
        "point": {},
        "directory": "runs/ab",
        "steps": 1,
        "tokens": 1,
        "flops": 1.0,
        "disk": 1,
    }
    run = PlannedRun(index=3, id="ab", name="SEED=3", **more)
    engine = SlurmEngine(nodes=2, activate=f"export PATH={tmp_path}:$PATH")
    ((name, script),) = engine.files(sweep_dir, [run]).items()
    (sweep_dir / name).write_text(script)
    (command,) = engine.commands(sweep_dir, [run], None)
    (job,) = command.jobs(slurm(cluster, *command.argv))
    wait(lambda: said.exists() and len(said.read_text().splitlines()) == 2)
    slurm(cluster, "scancel", "--signal=TERM", job)
    wait(lambda: not slurm(cluster, "squeue", "--noheader").strip())
    lines = [
        f"node{node} {node - 1} {restart} --index=ab"
        for restart in (0, 1)
        for node in (1, 2)
    ]
    assert sorted(said.read_text().splitlines()) == sorted(lines)
