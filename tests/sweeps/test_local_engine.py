"""Sweeps as a user starts them: real processes, one of them broken, all of them killed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from small_runs import environment, free_port, wait_for_step
from tiny_sweeps import ROOT, axes, start, statuses, sweep, table

from flan_jax.cli.gin_settings import load_ablation, resolve
from flan_jax.sweeps.plan import make_plan
from flan_jax.sweeps.sweep_dir import make_folders, write_plan


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("undisturbed")
    axes(folder, "{'HELD_OUT': ['sentiment', 'coreference']}")
    output = sweep(folder, cache, "--slots=2")
    assert "[2/2]" in output
    return folder


def test_a_sweep_trains_the_base_and_every_run_from_it(undisturbed):
    found = statuses(undisturbed)
    assert len(found) == 3
    assert {status["state"] for status in found.values()} == {"finished"}
    (base,) = (undisturbed / "sweep/base").iterdir()
    for run in (undisturbed / "sweep/runs").iterdir():
        assert str(base) in (run / "config.gin").read_text()
    assert (undisturbed / "sweep/report.html").exists()


def test_a_sweeps_runs_are_audited_together(undisturbed):
    for run in (undisturbed / "sweep/runs").iterdir():
        audit = json.loads((run / "leakage.json").read_text())
        tasks = json.loads((run / "result.json").read_text())["tasks"]
        assert audit.keys() == {"findings", "labels"}
        assert all(tasks[found["held_out"]]["held_out"] for found in audit["findings"])
    assert "Leakage audit" in (page := (undisturbed / "sweep/report.md").read_text())
    assert "are not audited yet" not in page


def test_a_finished_sweep_is_left_alone(undisturbed, cache):
    before = statuses(undisturbed)
    sweep(undisturbed, cache)
    assert statuses(undisturbed) == before


def test_status_says_how_far_a_sweep_is(undisturbed, cache):
    output = sweep(undisturbed, cache, "--status")
    assert "2 finished" in output
    assert "HELD_OUT=sentiment" in output
    assert "4/4" in output


def test_a_dry_run_lists_the_runs_and_writes_nothing(folder, cache):
    axes(folder, "{'HELD_OUT': 'each'}")
    output = sweep(folder, cache, "--dry_run")
    assert "HELD_OUT=struct_to_text" in output
    assert not (folder / "sweep").exists()


def test_a_longer_axis_adds_runs_and_repeats_none(folder, cache):
    axes(folder, "{'SEED': [0]}", base=False)
    sweep(folder, cache)
    before = statuses(folder)
    axes(folder, "{'SEED': [0, 1]}", base=False)
    sweep(folder, cache)
    after = statuses(folder)
    assert len(after) == 2
    assert before.items() <= after.items()


def test_a_run_that_fails_does_not_stop_the_others(folder, cache):
    axes(folder, "{'WARM_START': ['nowhere', None]}", base=False)
    # Otherwise the folder would be asked for the model when the sweep is planned.
    named = "MODEL = @EncoderDecoderConfig()\nTOKENIZER = 'practice'\n"
    (folder / "small.gin").write_text((folder / "small.gin").read_text() + named)
    output = sweep(folder, cache, code=1)
    assert "WARM_START=nowhere: failed" in output
    assert "[1/2]" in output
    assert sorted(status["state"] for status in statuses(folder).values()) == [
        "failed",
        "finished",
    ]
    status = sweep(folder, cache, "--status")
    assert "1 failed" in status
    output = sweep(folder, cache, code=1)
    assert sorted(status["attempts"] for status in statuses(folder).values()) == [1, 2]


def test_a_killed_sweep_goes_on_to_the_same_table(folder, cache, undisturbed):
    """Killed alone, its runs left behind, and together with them."""
    axes(folder, "{'HELD_OUT': ['sentiment', 'coreference']}")
    finished: dict[str, dict] = {}
    dice = random.Random()
    for with_its_runs in (False, True, False):
        process = start(folder, cache)
        time.sleep(dice.uniform(5, 25))
        if with_its_runs:
            for status in statuses(folder).values():
                # It may have been killed in an earlier round, and not been started again yet.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(status["pid"], signal.SIGKILL)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        found = {
            name: status
            for name, status in statuses(folder).items()
            if status["state"] == "finished"
        }
        assert finished.items() <= found.items()  # no finished run was tried again
        finished = found
    sweep(folder, cache)
    assert finished.items() <= statuses(folder).items()
    assert table(folder) == table(undisturbed)


def test_a_second_engine_is_refused_and_sigterm_saves_the_runs_and_ends_with_42(
    folder, cache
):
    axes(folder, "{'SEED': [0]}", base=False)
    process = start(folder, cache, "--gin.STEPS=100000")
    while not any(status["state"] == "running" for status in statuses(folder).values()):
        time.sleep(0.2)
        assert process.poll() is None
    output = sweep(folder, cache, code=2)
    assert "being worked on by process" in output
    time.sleep(5)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 42, output
    assert [status["state"] for status in statuses(folder).values()] == ["preempted"]


def test_the_status_of_a_run_on_two_hosts_says_whose_end_ended_it(folder, cache):
    axes(folder, "{'SEED': [0]}", base=False)
    files, bindings = [str(folder / "small.gin")], ["STEPS = 100000"]
    plan = make_plan(
        load_ablation(files, bindings),
        files,
        bindings,
        resolve=resolve,
        sweep_dir=folder / "sweep",
    )
    make_folders(folder / "sweep")
    write_plan(plan, folder / "sweep", files)
    address = f"--coordinator_address=localhost:{free_port()}"
    command = [
        sys.executable,
        ROOT / "launch/ablate.py",
        "run",
        "--plan=sweep",
        "--index=0",
        address,
    ]
    first, second = (
        subprocess.Popen(
            [*command, "--process_count=2", f"--process_index={i}"],
            env=environment(cache),
            cwd=folder,
        )
        for i in (0, 1)
    )
    wait_for_step(first, folder / "sweep" / plan.runs[0].directory, 4)
    second.kill()
    assert first.wait(timeout=120) == 42
    (status,) = statuses(folder).values()
    assert (
        status["state"] == "preempted"
        and "no heartbeat from process 1" in status["error"]
    )
    second.wait()


def size(folder):
    """In bytes of the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def test_a_disk_that_fills_up_stops_what_has_no_room_and_keeps_what_is_finished(
    folder, cache, undisturbed
):
    if subprocess.run(
        ["unshare", "-rm", "true"], check=False, capture_output=True
    ).returncode:
        pytest.skip(
            "a small disk of its own needs a user namespace, which this machine refuses"
        )
    whole = undisturbed / "sweep"
    one = size(whole) - size(whole / "base") - size(next((whole / "runs").iterdir()))
    axes(folder, "{'SEED': [0, 1]}", base=False)
    (folder / "disk").mkdir()
    # The disk lives as long as the shell that made it: both sweeps run in there, and what they left is copied out.
    command = f"{sys.executable} {ROOT}/launch/ablate.py --gin_file=small.gin --sweep_dir=disk"
    script = f"""
        mount -t tmpfs -o size={one + one // 2} disk disk
        {command}; echo "first code $?"; cp -r disk first
        mount -o remount,size={20 * one} disk
        {command}; echo "second code $?"; cp -r disk second
    """
    shell = ["unshare", "-rm", "sh", "-c", script]
    output = subprocess.run(
        shell,
        cwd=folder,
        env=environment(cache),
        check=True,
        capture_output=True,
        text=True,
    )
    assert "first code 1" in output.stdout, output.stdout + output.stderr
    assert "the disk is full" in output.stdout + output.stderr
    assert "second code 0" in output.stdout, output.stdout + output.stderr
    first, second = (
        {
            path.name: json.loads(path.read_text())
            for path in (folder / when / "status").glob("*.json")
        }
        for when in ("first", "second")
    )
    finished = {
        name: status for name, status in first.items() if status["state"] == "finished"
    }
    assert len(finished) == 1
    assert finished.items() <= second.items()
    assert [status["state"] for status in second.values()] == ["finished"] * 2
