"""Several processes that do one run together: the same results, and all end when one fails."""

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
# One task with options: generation, token by token over gloo, would take most of the time.
RTE = ("--gin.MIXTURE=rte", "--gin.HELD_OUT=None")
# Splits each parameter over two processes, and over four.
MESH = "--gin.MESH={'fsdp': 2, 'tensor': 4}"


def start_all(run_dir, cache, count, *flags, last_flags=(), script="launch/train.py"):
    """Starts `count` processes with 8 CPU devices in all; only the last one gets `last_flags`."""
    address = f"localhost:{free_port()}"
    processes = []
    for index in range(count):
        extra_flags = last_flags if index == count - 1 else ()
        process = start(
            run_dir,
            cache,
            f"--coordinator_address={address}",
            f"--process_count={count}",
            f"--process_index={index}",
            *RTE,
            MESH,
            *flags,
            *extra_flags,
            devices=DEVICES // count,
            script=script,
        )
        processes.append(process)
    return processes


def wait_for_all(processes):
    """Returns [(exit code, output)] of the processes."""
    return [(process.wait(timeout=600), process.stdout.read()) for process in processes]


def finish_all(run_dir, cache, count, *flags, code=0, **settings):
    """Runs `count` processes, all of which must exit with `code`; returns their outputs."""
    results = wait_for_all(start_all(run_dir, cache, count, *flags, **settings))
    assert [exit_code for exit_code, _ in results] == [code] * count, results
    return [output for _, output in results]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):
    """The run directory of two processes that nothing disturbed."""
    run_dir = tmp_path_factory.mktemp("runs") / "undisturbed"
    finish_all(run_dir, cache, 2)
    return run_dir


@pytest.fixture(scope="module")
def alone(tmp_path_factory, cache):
    """The directory of the same run in one process, which has all of each parameter."""
    run_dir = tmp_path_factory.mktemp("runs") / "alone"
    process = start(run_dir, cache, *RTE, devices=DEVICES)
    assert process.wait(timeout=600) == 0, process.stdout.read()
    return run_dir


def assert_nearly_same_run(run_dir, other):
    """The runs may differ in the order in which the devices' sums are added up."""
    params = parameters(run_dir)
    other_params = parameters(other)
    for name, expected in other_params.items():
        np.testing.assert_allclose(params[name], expected, atol=2e-4, err_msg=name)
    losses = {row["step"]: row["loss"] for row in metrics(run_dir)}
    other_losses = {row["step"]: row["loss"] for row in metrics(other)}
    for step in (2, STEPS):
        np.testing.assert_allclose(losses[step], other_losses[step], rtol=1e-4)


def predictions(run_dir, task):
    file = run_dir / "predictions" / f"{task}-after.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def assert_nearly_same_predictions(run_dir, other, task):
    actual = predictions(run_dir, task)
    expected = predictions(other, task)
    assert len(actual) == len(expected) > 0
    for row, other_row in zip(actual, expected, strict=True):
        assert row["inputs"] == other_row["inputs"]
        np.testing.assert_allclose(
            row.get("sums", []), other_row.get("sums", []), atol=2e-3
        )
        if "sums" not in row:
            assert row["prediction"] == other_row["prediction"]


def test_two_processes_do_what_one_does(undisturbed, alone):
    assert_nearly_same_run(undisturbed, alone)
    assert_nearly_same_predictions(undisturbed, alone, "rte")


def test_two_processes_evaluate_together(tmp_path, cache, alone):
    flags = (
        f"--gin.WARM_START={alone}",
        "--tasks=sst2,gigaword",
        "--gin.DataConfig.eval_examples=1",
    )
    outputs = finish_all(
        tmp_path / "two", cache, 2, *flags, script="launch/evaluate.py"
    )
    assert "gigaword" in outputs[0]
    assert "gigaword" not in outputs[1]
    finish(tmp_path / "one", cache, *RTE, *flags, script="launch/evaluate.py")
    for task in ("sst2", "gigaword"):
        assert_nearly_same_predictions(tmp_path / "two", tmp_path / "one", task)


def test_sigterm_to_one_saves_in_all_and_another_number_of_processes_continues(
    tmp_path, cache, undisturbed
):
    run_dir = tmp_path / "elastic"
    processes = start_all(run_dir, cache, 2)
    wait_for_step(processes[0], run_dir, 6)
    processes[1].send_signal(signal.SIGTERM)
    results = wait_for_all(processes)
    assert [code for code, _ in results] == [42, 42], results
    assert "everything is saved" in results[0][1]
    assert metrics(run_dir)[-1]["step"] < STEPS
    finish_all(run_dir, cache, 4)
    assert_nearly_same_run(run_dir, undisturbed)


def stop_one_of_two(run_dir, cache, *, victim, signal_number=signal.SIGKILL):
    """Kills or freezes one process during training; returns the other's (exit code, output)."""
    processes = start_all(run_dir, cache, 2)
    wait_for_step(processes[0], run_dir, 8)
    processes[victim].send_signal(signal_number)
    stopped_at = time.monotonic()
    (result,) = wait_for_all([processes[1 - victim]])
    assert time.monotonic() - stopped_at < 60
    processes[victim].kill()
    processes[victim].wait()
    return result


def test_a_killed_process_is_named_and_the_same_command_continues(
    tmp_path, cache, undisturbed
):
    code, output = stop_one_of_two(tmp_path / "killed", cache, victim=1)
    assert code == 42
    assert "process 0 on" in output
    assert "no heartbeat from process 1 for 30 s" in output
    assert "The same command continues from the last checkpoint" in output
    finish_all(tmp_path / "killed", cache, 2)
    assert_same_run(tmp_path / "killed", undisturbed)


def test_the_others_end_when_process_zero_is_killed(tmp_path, cache, undisturbed):
    """JAX notices the closed connection at once, and ends them."""
    code, output = stop_one_of_two(tmp_path / "killed", cache, victim=0)
    assert code not in (0, 1, 2)
    assert "coordination service" in output


def test_the_others_end_when_process_zero_is_frozen(tmp_path, cache, undisturbed):
    code, output = stop_one_of_two(
        tmp_path / "frozen", cache, victim=0, signal_number=signal.SIGSTOP
    )
    assert code == 42
    assert "process 1 on" in output
    assert "no heartbeat from process 0 for 30 s" in output


def test_a_process_with_other_settings_is_named_and_ends_all(
    tmp_path, cache, undisturbed
):
    run_dir = tmp_path / "other"
    last_flags = ("--gin.LEARNING_RATE=0.5",)
    outputs = finish_all(run_dir, cache, 2, code=2, last_flags=last_flags)
    assert "process 1" in outputs[0]
    assert "differs from process 0" in outputs[0]
    assert "optimizer" in outputs[1]
    assert "Traceback" not in outputs[0] + outputs[1]
    assert not (run_dir / "config.gin").exists()


def run_code(code, join_seconds=2, **environment):
    """Runs Python code, in which `multihost` waits only `join_seconds` for other processes."""
    imports = "from flan_jax.parallel import multihost\n"
    setting = f"multihost.JOIN_SECONDS = {join_seconds}\n"
    return subprocess.run(
        [sys.executable, "-c", imports + setting + code],
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_nobody_joins_says_whom_it_waited_for(index):
    address = f"localhost:{free_port()}"
    done = run_code(f"multihost.initialize({address!r}, 2, {index})")
    assert done.returncode == 2
    assert f"process {index} of 2 waited 2 s for the others at {address}" in done.stderr


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--process_count=2"], "--coordinator_address, --process_index missing"),
        (
            ["--coordinator_address=here", "--process_count=2", "--process_index=0"],
            "write the host of process 0 and a free port",
        ),
        (
            ["--coordinator_address=a:1", "--process_count=2", "--process_index=2"],
            "the indices are 0 to 1",
        ),
    ],
)
def test_incomplete_or_wrong_flags_are_refused(flags, expected):
    arguments = ["--gin_file=flan_mixture.gin", *flags]
    done = run_code(
        "from flan_jax.cli import program, train\n"
        f"raise SystemExit(program.exit_code(train.main, {arguments!r}))"
    )
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_slurm_step_of_one_task_is_not_distributed():
    slurm = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "nowhere",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    done = run_code(
        "multihost.initialize()\nprint(multihost.is_multi_process(), multihost.is_process_zero())",
        **slurm,
    )
    assert done.stdout == "False True\n", done.stderr


def test_a_kubernetes_pod_that_does_not_find_the_others_is_refused():
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}
    done = run_code(
        "from flan_jax.errors import InputError\n"
        "try:\n"
        "    multihost.initialize()\n"
        "except InputError as error:\n"
        "    print(error)",
        **pod,
    )
    assert "its other pods were not found: pip install kubernetes" in done.stdout, (
        done.stderr
    )


def test_a_process_that_fails_ends_the_others_while_they_look_for_devices():
    """Finding the devices needs all processes: JAX would wait for the one that does not come."""
    address = f"localhost:{free_port()}"
    find_devices = f"multihost.initialize({address!r}, 2, 0)\nimport jax\njax.devices()"
    fail = (
        f"multihost.initialize({address!r}, 2, 1)\n"
        "multihost.announce_failure('its disk is full', 1)\n"
        "import os\n"
        "os._exit(1)"
    )
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(run_code, find_devices, join_seconds=60)
        failing = pool.submit(run_code, fail, join_seconds=60)
    assert time.monotonic() - begun < 60
    assert failing.result().returncode == 1
    assert waiting.result().returncode == 1
    message = waiting.result().stderr
    assert "process 0 on" in message
    assert "exits because another process failed: process 1 on" in message
    assert "its disk is full" in message


def test_sigterm_to_the_one_process_of_a_cluster_saves(tmp_path, cache):
    """JAX connects it as on a slice of one host, and would take the signal for itself."""
    (process,) = start_all(tmp_path / "one", cache, 1)
    wait_for_step(process, tmp_path / "one", 6)
    process.send_signal(signal.SIGTERM)
    ((code, output),) = wait_for_all([process])
    assert code == 42
    assert "everything is saved" in output


def test_hosts_that_would_evaluate_differently_are_named(tmp_path, cache, alone):
    flags = (f"--gin.WARM_START={alone}", "--tasks=sst2")
    outputs = finish_all(
        tmp_path / "two",
        cache,
        2,
        *flags,
        code=2,
        last_flags=("--gin.DataConfig.eval_examples=2",),
        script="launch/evaluate.py",
    )
    assert "process 1" in outputs[0]
    assert "differs from process 0" in outputs[0]
    assert not list(tmp_path.rglob("predictions/*"))
