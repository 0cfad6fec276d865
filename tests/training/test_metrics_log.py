"""Known answers of the rates and phases of a log line, and losses that end a run."""

import types

import jax.numpy as jnp
import pytest

from flan_jax.json_files import read_jsonl
from flan_jax.progress import show
from flan_jax.run_dir import Run
from flan_jax.training import metrics_log
from flan_jax.training.metrics_log import Log, NotFinite, check_finite, seconds_at_peak

# Six real tokens of sixteen.
SUMS = {
    "loss_sum": 8.0,
    "z_loss_sum": 0.0,
    "correct_sum": 2.0,
    "weight_sum": 4.0,
    "tokens": 6.0,
    "grad_norm": 1.0,
}


@pytest.fixture
def clock(monkeypatch):
    """clock.now: what the time is; it passes when a test says so."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(metrics_log.time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def log_of(tmp_path):
    """log_of(first step, settings): the log of a run that goes on there."""

    def make(step=0, seconds_at_peak=lambda supervised: None):
        return Log(
            Run(tmp_path),
            lambda step: 0.1,
            step,
            row_tokens=16,
            seconds_at_peak=seconds_at_peak,
        )

    return make


def sums():
    return {name: jnp.asarray(value) for name, value in SUMS.items()}


def passing(clock, log, phase, seconds):
    with log.phase(phase):
        clock.now += seconds


def test_rates_and_phases_of_a_line(clock, log_of, tmp_path):
    # Each step has four tokens with loss.
    log = log_of(seconds_at_peak=lambda supervised: supervised / 8)
    passing(clock, log, "compile", 7.0)
    log.add(sums())
    passing(clock, log, "dispatch", 1.0)
    log.add(sums())
    passing(clock, log, "evaluation", 20.0)
    passing(clock, log, "input", 2.0)
    clock.now += 1.0
    row = log.write(2)
    # Two steps in four seconds: what compiling and evaluation took does not count.
    expected = {
        "tokens_per_second": 3.0,
        "supervised_tokens_per_second": 2.0,
        "packed": 37.5,
        "mfu": 25.0,
        "input_seconds": 2.0,
        "dispatch_seconds": 1.0,
        "device_seconds": 0.0,
        "evaluation_seconds": 20.0,
        "compile_seconds": 7.0,
        "seconds": 31.0,
    }
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

    assert seconds_at_peak(275e12, ["TPU v4"] * 4) == 0.25
    assert seconds_at_peak(123e12, ["TPU v3"] * 2) == 1.0
    assert seconds_at_peak(1, ["TPU v4", "cpu"]) is None


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(loss):
    with pytest.raises(NotFinite, match="at step 12"):
        check_finite(12, loss)
    check_finite(12, 3.0)


def test_a_line_of_skipped_steps_alone_ends_the_run(log_of):
    log = log_of()
    names = (
        "loss_sum",
        "z_loss_sum",
        "correct_sum",
        "weight_sum",
        "tokens",
        "grad_norm",
    )
    bad = dict.fromkeys(names, jnp.zeros(())) | {"skipped": jnp.array(True)}
    good = dict.fromkeys(names, jnp.array(2.0)) | {"skipped": jnp.array(False)}
    log.add(bad)
    log.add(good)
    row = log.write(2)
    assert (row["skipped"], row["loss"]) == (1, 0.0)
    log.add(bad)
    with pytest.raises(NotFinite, match="all were skipped"):
        log.write(3)
