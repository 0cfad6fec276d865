"""What the engines of queues submit, and when: with clients that only write down how they were called."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from toy_sweeps import BASE, PLAN, RUNS, WITH_BASE, end, engine, go, write

from flan_jax.errors import InputError
from flan_jax.sweeps import queue
from flan_jax.sweeps.engines.slurm import SlurmEngine
from flan_jax.sweeps.queue import describe_submission, last_jobs
from flan_jax.sweeps.sweep_dir import read_plan


def test_everything_is_one_array_after_the_base_model(cluster, clients):
    assert "5 to submit to slurm, 0 in its queue already" in go(cluster, WITH_BASE)
    base, array = clients.calls()
    assert "--array" not in base
    assert "--dependency=afterok:101 --kill-on-invalid-dep=yes" in array
    assert "--array=0-3 " in array
    assert last_jobs(cluster) == {
        "base0": "101",
        "aa": "102_0",
        "bb": "102_1",
        "cc": "102_2",
        "dd": "102_3",
    }
    assert read_plan(cluster).runs == RUNS


def test_what_is_in_the_queue_is_not_submitted_again(cluster, clients):
    go(cluster, WITH_BASE)
    clients("squeue", "101\n102_0\n102_1\n102_2\n102_3")
    assert "0 to submit to slurm, 5 in its queue already" in go(cluster, WITH_BASE)
    assert [call.split()[0] for call in clients.calls()] == [
        "sbatch",
        "sbatch",
        "squeue",
    ]


def test_what_failed_or_was_lost_is_submitted_again(cluster, clients):
    go(cluster)
    end(cluster, RUNS[0], "finished")
    end(cluster, RUNS[1], "failed")
    end(
        cluster, RUNS[3], "running"
    )  # says its file: the job was killed without a word, and is not in the queue
    clients("squeue", "101_2")
    go(cluster)
    assert "--array=1,3 " in clients.calls()[-1]
    assert last_jobs(cluster) == {
        "aa": "101_0",
        "bb": "103_1",
        "cc": "101_2",
        "dd": "103_3",
    }


def test_runs_wait_for_a_base_model_that_is_in_the_queue(cluster, clients):
    go(cluster, dataclasses.replace(WITH_BASE, runs=RUNS[:1]))
    clients("squeue", "101\n102_0")
    go(cluster, WITH_BASE)
    assert "--array=1-3 --dependency=afterok:101 " in clients.calls()[-1]


def test_a_queue_without_an_order_of_jobs_gets_the_base_model_first(tmp_path, clients):
    clients("sky", "Managed Job ID: 7")
    by = engine("skypilot", f"SkyPilotEngine.mount = '{tmp_path}'")
    lines = go(tmp_path / "sweep", WITH_BASE, by)
    assert any(
        "again when --status says that the base is finished" in line for line in lines
    )
    assert last_jobs(tmp_path / "sweep") == {"base0": "7"}
    clients("sky", "[]")
    end(tmp_path / "sweep", BASE, "finished")
    clients("sky", "Jobs submitted with IDs: 8-9,11-12.")
    go(tmp_path / "sweep", WITH_BASE, by)
    assert last_jobs(tmp_path / "sweep") == {
        "base0": "7",
        "aa": "8",
        "bb": "9",
        "cc": "11",
        "dd": "12",
    }


def test_a_dry_run_writes_and_submits_nothing(cluster, clients):
    text = "\n".join(describe_submission(cluster, WITH_BASE, SlurmEngine()))
    assert "--dependency=afterok:BASE_JOB" in text
    assert clients.calls() == []
    assert not cluster.exists()


def test_what_a_client_refuses_is_said_in_its_own_words(cluster, clients):
    clients("sbatch", "sbatch: error: invalid partition specified: gpu", 1)
    with pytest.raises(
        InputError,
        match="exit code 1:\nsbatch: error: invalid partition specified: gpu",
    ):
        go(cluster)
    assert last_jobs(cluster) == {}


def test_what_was_submitted_before_a_refusal_is_known(tmp_path, clients):
    by, where = engine("xpk", f"XpkEngine.mount = '{tmp_path}'"), tmp_path / "sweep"
    clients("xpk", "")
    (tmp_path / "bin/xpk").write_text(
        (tmp_path / "bin/xpk").read_text().replace("exit 0", "exit $(($n > 2))")
    )
    with pytest.raises(InputError, match="exit code 1"):
        go(where, by=by)
    assert last_jobs(where) == {"aa": "sweep-aa-0", "bb": "sweep-bb-0"}


@pytest.mark.parametrize("killed", [False, True])
def test_a_submission_of_which_nobody_knows_is_not_repeated(cluster, clients, killed):
    """The client failed in a way that leaves open whether the queue took the jobs, or we were killed before its answer."""
    clients("sbatch", "sbatch: error: Socket timed out on send/recv operation", 1)
    if not killed:
        with pytest.raises(InputError, match="timed out"):
            go(cluster)
    else:
        (cluster.parent / "bin/sbatch").write_text(
            f"#!/bin/sh\necho sbatch >> {cluster.parent}/calls\nkill -9 $PPID\n"
        )
        code = "import sys; sys.path[:0] = sys.argv[1:3]; import pathlib, toy_sweeps; toy_sweeps.go(pathlib.Path(sys.argv[3]))"
        where = [
            str(Path(__file__).parents[1] / "support"),
            str(Path(__file__).parents[2]),
            str(cluster),
        ]
        assert (
            subprocess.run([sys.executable, "-c", code, *where], check=False).returncode
            == -9
        )
    calls = clients.calls()
    for _ in range(2):
        with pytest.raises(
            InputError, match="was cut short, and nobody knows .*delete the lines with"
        ):
            go(cluster)
    assert clients.calls() == calls
    (cluster / "submitted.jsonl").write_text("")
    clients("sbatch", "10$n")
    go(cluster)
    assert set(last_jobs(cluster)) == {"aa", "bb", "cc", "dd"}


def test_a_queue_that_cannot_be_asked_gets_nothing(cluster, clients):
    go(cluster)
    clients("squeue", "slurm_load_jobs error: Unable to contact slurm controller", 1)
    with pytest.raises(InputError, match="Unable to contact"):
        go(cluster)
    assert sum(call.startswith("sbatch") for call in clients.calls()) == 1


@pytest.mark.parametrize("file", ["plan.json", "runs.jsonl"])
def test_an_edited_plan_is_refused_by_everybody(cluster, clients, file):
    write(cluster, PLAN)
    text = (cluster / file).read_text()
    (cluster / file).write_text(
        text.replace("small", "large").replace('"steps": 4', '"steps": 5')
    )
    with pytest.raises(InputError, match="were edited.*delete runs.jsonl"):
        go(cluster)
    with pytest.raises(InputError, match="were edited"):
        read_plan(cluster)
    assert clients.calls() == []
    (cluster / "runs.jsonl").unlink()
    go(cluster)
    assert read_plan(cluster).runs == RUNS


def test_runs_that_another_engine_may_still_start_are_refused(cluster):
    go(cluster)
    for name in ("local", "xpk"):
        with pytest.raises(
            InputError,
            match=r"submitted to slurm \(jobs 101_0, .*delete .*submitted.jsonl",
        ):
            queue.check_engine(cluster, PLAN, name)
    for run in RUNS:
        end(cluster, run, "finished")
    queue.check_engine(cluster, PLAN, "local")


def test_an_engine_that_lacks_members_is_refused():
    class Incomplete:
        name = "incomplete"
        install = ""

    with pytest.raises(InputError, match="Incomplete has no orders, check, files, com"):
        queue.register_engine(Incomplete)
    assert "incomplete" not in queue.ENGINES


def test_an_engine_whose_method_takes_other_arguments_is_refused():
    class Otherwise(SlurmEngine):
        name = "otherwise"

        def commands(self, sweep_dir, runs):
            return []

    with pytest.raises(
        InputError, match=r"Otherwise.commands .* runs, after\), but takes"
    ):
        queue.register_engine(Otherwise)
    assert "otherwise" not in queue.ENGINES
