"""The loop's log: known answers of its rates and phases, and the profile of chosen steps."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.errors import InputError
from flan_jax.json_files import read_jsonl
from flan_jax.progress import show
from flan_jax.run_dir import Run
from flan_jax.training import metrics_log
from flan_jax.training.metrics_log import Log, profiled_steps, seconds_at_peak

# Six real tokens of sixteen.
SUMS = {
    "loss_sum": 8.0,
    "z_loss_sum": 0.0,
    "correct_sum": 2.0,
    "weight_sum": 4.0,
    "tokens": 6.0,
    "grad_norm": 1.0,
}
BATCH = {"decoder_loss_weights": np.ones((1, 8))}


@pytest.fixture
def clock(monkeypatch):
    """clock.now: what the time is; it passes when a test says so."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(metrics_log.time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def log_of(tmp_path):
    """log_of(first step, settings): the log of a run that goes on there."""

    def make(step=0, **settings):
        return Log(Run(tmp_path), lambda step: 0.1, step, row_tokens=16, **settings)

    return make


def sums():
    return {name: jnp.asarray(value) for name, value in SUMS.items()}


def passing(clock, log, phase, seconds):
    with log.phase(phase):
        clock.now += seconds


def test_rates_and_phases_of_a_line(clock, log_of, tmp_path):
    log = log_of(seconds_at_peak=0.5)
    passing(clock, log, "compile", 7.0)
    log.add(sums())
    passing(clock, log, "dispatch", 1.0)
    log.add(sums())
    passing(clock, log, "evaluation", 20.0)
    clock.now += 3.0
    row = log.write(2)
    # Two steps in four seconds: what compiling and evaluation took does not count.
    expected = {
        "tokens_per_second": 3.0, "supervised_tokens_per_second": 2.0, "packed": 37.5, "mfu": 25.0, "dispatch_seconds": 1.0,
        "device_seconds": 0.0, "evaluation_seconds": 20.0, "compile_seconds": 7.0, "seconds": 31.0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert [*read_jsonl(tmp_path / "metrics.jsonl")] == [row]
    assert "12" not in show(row) and "38% packed  MFU 25.0%" in show(row)
    # The next line begins anew.
    log.add(sums())
    clock.now += 1.0
    row = log.write(3)
    assert (row["tokens_per_second"], row["mfu"], row["seconds"]) == (6.0, 50.0, 32.0)
    assert not {"compile_seconds", "evaluation_seconds"} & row.keys()


def test_where_the_peak_is_not_known_there_is_no_mfu(log_of):
    log = log_of()
    log.add(sums())
    row = log.write(1)
    assert "mfu" not in row and "MFU" not in show(row)


def test_seconds_at_peak():
    """A v4 chip does 275 TFLOP/s and is one device; a v3 chip does 123 and is two."""

    def devices(count, kind):
        return [types.SimpleNamespace(device_kind=kind)] * count

    assert seconds_at_peak(275e12, devices(4, "TPU v4")) == 0.25
    assert seconds_at_peak(123e12, devices(2, "TPU v3")) == 1.0
    assert seconds_at_peak(1, [*devices(1, "TPU v4"), *devices(1, "cpu")]) is None


def test_waiting_for_input_is_a_phase(clock, log_of):
    def slow():
        for step in range(2):
            clock.now += 2.0
            yield step, BATCH

    log = log_of()
    for _ in log.steps(slow()):
        clock.now += 1.0
        log.add(sums())
    assert log.write(2)["input_seconds"] == 4.0


def traced_steps(monkeypatch, log, count):
    """(the steps that begin while a trace is kept, where it is kept)."""
    kept, folders = [], []

    class Trace:
        def __init__(self, folder):
            folders.append(folder)

        def __enter__(self):
            kept.append([])

        def __exit__(self, *exception):
            kept.append(None)

    monkeypatch.setattr(metrics_log.jax.profiler, "trace", Trace)
    for step, _ in log.steps((step, BATCH) for step in range(count)):
        if kept and kept[-1] is not None:
            kept[-1].append(step + 1)
        log.add(sums())
    return [steps for steps in kept if steps], folders


@pytest.mark.parametrize(("text", "steps"), [("2:3", [2, 3]), ("1:1", [1]), ("4:5", [4, 5])])
def test_the_profile_holds_the_steps_asked_for(monkeypatch, log_of, tmp_path, capsys, text, steps):
    traced, folders = traced_steps(monkeypatch, log_of(profile=profiled_steps(text, 5)), 5)
    assert traced == [steps] and folders == [str(tmp_path / "profile")]
    assert (
        f"The profile of the steps {steps[0]} to {steps[-1]} is in {tmp_path}"
        in capsys.readouterr().out
    )


def test_without_a_profile_nothing_is_traced(monkeypatch, log_of):
    assert traced_steps(monkeypatch, log_of(), 3) == ([], [])


def test_a_trace_is_written(log_of, tmp_path):
    log = log_of(profile=profiled_steps("2:2", 3))
    for _ in log.steps((step, BATCH) for step in range(3)):
        log.add(sums())
    assert list(tmp_path.glob("profile/**/*.xplane.pb"))


@pytest.mark.parametrize("text", ["0:3", "3:2", "1:11", "1", "a:b", "-1:2", "", "1:2:3"])
def test_a_profile_of_no_steps_of_the_run_is_refused(text):
    with pytest.raises(
        InputError,
        match=f"--profile={text} is no span of this run's 10 steps; write the first and the last",
    ):
        profiled_steps(text, 10)


def test_a_profile_of_steps_that_are_taken_is_refused(log_of):
    with pytest.raises(
        InputError,
        match="--profile begins with step 3, and the run goes on with step 5: choose later",
    ):
        log_of(4, profile=profiled_steps("3:9", 10))
    log_of(4, profile=profiled_steps("5:9", 10))
