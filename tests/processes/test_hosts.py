"""Several processes that do one run together: the same run, whoever is stopped, and an end for all when one ends."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_runs import (
    ROOT,
    STEPS,
    assert_same_run,
    finish,
    free_port,
    metrics,
    parameters,
    start,
    wait_for_step,
)

DEVICES = 8
# One task of options: generation, token by token over gloo, would take most of the time.
RTE = ("--gin.MIXTURE=rte", "--gin.HELD_OUT=None")
# Splits each parameter over two processes, and among four.
MESH = "--gin.MESH={'fsdp': 2, 'tensor': 4}"


def start_all(run_dir, cache, count, *flags, of_one=(), script="launch/train.py"):
    """`count` processes with 8 CPU devices in all; `of_one` are flags of the last alone."""
    address = f"localhost:{free_port()}"
    return [
        start(
            run_dir, cache, f"--coordinator_address={address}", f"--process_count={count}", f"--process_index={index}",
            *RTE, MESH, *flags, *(of_one if index == count - 1 else ()), devices=DEVICES // count,
            script=script,
        )
        for index in range(count)
    ]  # fmt: skip


def ends(processes):
    """[(exit code, output)]"""
    return [(process.wait(timeout=600), process.stdout.read()) for process in processes]


def finish_all(run_dir, cache, count, *flags, code=0, **settings):
    found = ends(start_all(run_dir, cache, count, *flags, **settings))
    assert [each for each, _ in found] == [code] * count, found
    return [output for _, output in found]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):
    """Of two processes."""
    run_dir = tmp_path_factory.mktemp("runs") / "undisturbed"
    finish_all(run_dir, cache, 2)
    return run_dir


@pytest.fixture(scope="module")
def alone(tmp_path_factory, cache):
    """The same on one process."""
    run_dir = tmp_path_factory.mktemp("runs") / "alone"
    process = start(run_dir, cache, *RTE, devices=DEVICES)
    assert process.wait(timeout=600) == 0, process.stdout.read()
    return run_dir


def assert_nearly_same_run(run_dir, other):
    """The same but for the order in which the devices' sums are added up."""
    ours, theirs = parameters(run_dir), parameters(other)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-4, err_msg=name)
    losses = [{row["step"]: row["loss"] for row in metrics(each)} for each in (run_dir, other)]
    np.testing.assert_allclose(
        [losses[0][STEPS], losses[0][2]], [losses[1][STEPS], losses[1][2]], rtol=1e-4
    )


def assert_nearly_same_predictions(run_dir, other, task):
    files = [each / "predictions" / f"{task}-after.jsonl" for each in (run_dir, other)]
    ours, theirs = ([json.loads(line) for line in file.read_text().splitlines()] for file in files)
    assert len(ours) == len(theirs) > 0
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.get("sums", []), yours.get("sums", []), atol=2e-3)
        assert mine["inputs"] == yours["inputs"] and (
            "sums" in mine or mine["prediction"] == yours["prediction"]
        )


def test_two_processes_do_what_one_does(undisturbed, alone):
    """Which has all of each parameter on every device."""
    assert_nearly_same_run(undisturbed, alone)
    assert_nearly_same_predictions(undisturbed, alone, "rte")


def test_two_processes_evaluate_together(tmp_path, cache, alone):
    flags = (
        f"--gin.WARM_START={alone}",
        "--tasks=sst2,gigaword",
        "--gin.DataConfig.eval_examples=1",
    )
    two = finish_all(tmp_path / "two", cache, 2, *flags, script="launch/evaluate.py")
    assert "gigaword" in two[0] and "gigaword" not in two[1]
    finish(tmp_path / "one", cache, *RTE, *flags, script="launch/evaluate.py")
    for task in ("sst2", "gigaword"):
        assert_nearly_same_predictions(tmp_path / "two", tmp_path / "one", task)


def test_sigterm_to_one_saves_in_all_and_other_numbers_of_processes_go_on(
    tmp_path, cache, undisturbed
):
    run_dir = tmp_path / "elastic"
    processes = start_all(run_dir, cache, 2)
    wait_for_step(processes[0], run_dir, 6)
    processes[1].send_signal(signal.SIGTERM)
    found = ends(processes)
    assert [code for code, _ in found] == [42, 42], found
    assert "everything is saved" in found[0][1]
    assert metrics(run_dir)[-1]["step"] < STEPS
    finish_all(run_dir, cache, 4)
    assert_nearly_same_run(run_dir, undisturbed)


def lost(run_dir, cache, victim, how=signal.SIGKILL):
    """(exit code of the other of two processes, what it printed), after one was killed or frozen in the middle of training."""
    processes = start_all(run_dir, cache, 2)
    wait_for_step(processes[0], run_dir, 8)
    processes[victim].send_signal(how)
    begun = time.monotonic()
    (end,) = ends([processes[1 - victim]])
    assert time.monotonic() - begun < 60
    processes[victim].kill()
    processes[victim].wait()
    return end


def test_a_killed_process_is_named_ends_the_others_and_the_same_command_goes_on(
    tmp_path, cache, undisturbed
):
    code, output = lost(tmp_path / "killed", cache, victim=1)
    assert code == 42
    assert (
        "no heartbeat from process 1" in output
        and "The same command continues from the last checkpoint" in output
    )
    assert "process 0 on" in output
    finish_all(tmp_path / "killed", cache, 2)
    assert_same_run(tmp_path / "killed", undisturbed)


def test_without_the_first_process_the_others_end(tmp_path, cache, undisturbed):
    """Killed, its end is seen at once, and JAX ends the others; frozen, it is missed."""
    code, output = lost(tmp_path / "killed", cache, victim=0)
    assert code not in (0, 1, 2) and "coordination service" in output
    code, output = lost(tmp_path / "frozen", cache, victim=0, how=signal.SIGSTOP)
    assert code == 42 and "process 1 on" in output and "no heartbeat from process 0" in output


def test_a_process_with_other_settings_is_named_and_ends_all(tmp_path, cache, undisturbed):
    outputs = finish_all(tmp_path / "other", cache, 2, code=2, of_one=("--gin.LEARNING_RATE=0.5",))
    assert "process 1" in outputs[0] and "differs from process 0" in outputs[0]
    assert "optimizer" in outputs[1] and "Traceback" not in outputs[0] + outputs[1]
    assert not (tmp_path / "other" / "config.gin").exists()


def joined(code, *arguments, **environment):
    text = f"from flan_jax.cli import program; from flan_jax.parallel import multihost as hosts; hosts.JOIN_SECONDS = 2; {code}"
    return subprocess.run(
        [sys.executable, "-c", text, *arguments], env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment, cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_process_that_nobody_joins_says_whom_it_waited_for():
    address = f"localhost:{free_port()}"
    for index in (0, 1):
        done = joined(f"hosts.initialize({address!r}, 2, {index})")
        assert done.returncode == 2
        assert f"process {index} of 2 waited 2 s for the others at {address}" in done.stderr


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--process_count=2"], "--coordinator_address, --process_index missing"),
        (
            ["--coordinator_address=here", "--process_count=2", "--process_index=0"],
            "host and a free port",
        ),
        (
            ["--coordinator_address=a:1", "--process_count=2", "--process_index=2"],
            "the indices are 0 to 1",
        ),
    ],
)
def test_flags_that_say_half_of_it_are_refused(flags, expected):
    arguments = ["--gin_file=flan_mixture.gin", *flags]
    done = joined(
        f"from flan_jax.cli import train; raise SystemExit(program.exit_code(train.main, {arguments!r}))"
    )
    assert done.returncode == 2
    assert expected in done.stderr and "Traceback" not in done.stderr


def test_one_task_of_slurm_is_a_process_alone():
    slurm = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "nowhere",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    done = joined(
        "hosts.initialize(); import json; print(json.dumps([hosts.is_multi_process(), hosts.is_process_zero()]))",
        **slurm,
    )
    assert json.loads(done.stdout) == [False, True], done.stderr


def test_a_kubernetes_pod_that_does_not_find_its_others_does_not_do_the_run_alone():
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}
    done = joined(
        "from flan_jax.errors import InputError\ntry: hosts.initialize()\nexcept InputError as error: print(error)",
        **pod,
    )
    assert "its other pods were not found: pip install kubernetes" in done.stdout, done.stderr


def test_a_process_that_fails_ends_the_others_while_they_look_for_devices():
    """Which takes all of them: JAX would wait for the one that does not come."""
    address = f"localhost:{free_port()}"
    look = (
        f"hosts.JOIN_SECONDS = 60; hosts.initialize({address!r}, 2, 0); import jax; jax.devices()"
    )
    fail = f"hosts.JOIN_SECONDS = 60; hosts.initialize({address!r}, 2, 1); hosts.announce_failure('its disk is full', 1); import os; os._exit(1)"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        looking, failing = pool.map(joined, (look, fail))
    assert (looking.returncode, failing.returncode) == (1, 1)
    assert time.monotonic() - begun < 60
    assert (
        "process 0 on" in looking.stderr
        and "exits because another process failed: process 1 on" in looking.stderr
    )
    assert "its disk is full" in looking.stderr


def test_sigterm_to_the_one_process_of_a_cluster_saves(tmp_path, cache):
    """JAX joins it as one of several, as on a slice of one host, and would take the signal for itself."""
    (process,) = start_all(tmp_path / "one", cache, 1)
    wait_for_step(process, tmp_path / "one", 6)
    process.send_signal(signal.SIGTERM)
    ((code, output),) = ends([process])
    assert code == 42 and "everything is saved" in output


def test_hosts_that_would_evaluate_differently_are_named(tmp_path, cache, alone):
    flags = (f"--gin.WARM_START={alone}", "--tasks=sst2")
    settings = {"of_one": ("--gin.DataConfig.eval_examples=2",), "script": "launch/evaluate.py"}
    outputs = finish_all(tmp_path / "two", cache, 2, *flags, code=2, **settings)
    assert "process 1" in outputs[0] and "differs from process 0" in outputs[0]
    assert not list(tmp_path.rglob("predictions/*"))
