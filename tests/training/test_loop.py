"""Which steps are profiled, and batches that cannot be trained on."""

import jax
import numpy as np
import pytest

from flan_jax.errors import InputError
from flan_jax.training import loop
from flan_jax.training.loop import NO_STEPS, Profiler, check_supervised, profiled_steps


def test_training_on_nothing_is_an_error():
    with pytest.raises(InputError, match="batch 7 has no token to learn from"):
        check_supervised(7, {"decoder_loss_weights": np.zeros((2, 4), np.float32)})
    check_supervised(7, {"decoder_loss_weights": np.ones((2, 4), np.float32)})


@pytest.fixture
def profiler(tmp_path):
    """profiler(steps, first step) writes to the test's folder; the device is always ready."""

    def make(steps, first_step=0):
        return Profiler(tmp_path / "profile", steps, first_step, lambda: None)

    return make


class Traces:
    """Stands in for jax.profiler.trace and records the folders and the steps inside."""

    def __init__(self):
        self.folders = []
        self.steps = []
        self.is_on = False

    def __call__(self, folder):
        self.folders.append(folder)
        return self

    def __enter__(self):
        self.is_on = True

    def __exit__(self, *exception):
        self.is_on = False


def traced(monkeypatch, profiler, count):
    """Returns the record of a loop of `count` steps; steps are counted from 1."""
    traces = Traces()
    monkeypatch.setattr(loop.jax.profiler, "trace", traces)
    with profiler:
        for step in range(count):
            with profiler.step(step):
                if traces.is_on:
                    traces.steps.append(step + 1)
    assert not traces.is_on
    return traces


@pytest.mark.parametrize(
    ("text", "steps"), [("2:3", [2, 3]), ("1:1", [1]), ("4:5", [4, 5])]
)
def test_the_profile_holds_the_steps_asked_for(
    monkeypatch, profiler, tmp_path, capsys, text, steps
):
    traces = traced(monkeypatch, profiler(profiled_steps(text, 5)), 5)
    assert traces.steps == steps
    assert traces.folders == [str(tmp_path / "profile")]
    message = f"The profile of the steps {steps[0]} to {steps[-1]} is in {tmp_path}"
    assert message in capsys.readouterr().out


def test_a_profile_ends_with_the_loop(monkeypatch, profiler):
    """A run that is preempted ends before the last step of the profile."""
    assert traced(monkeypatch, profiler(profiled_steps("2:5", 5)), 3).steps == [2, 3]


def test_without_a_profile_nothing_is_traced(monkeypatch, profiler):
    traces = traced(monkeypatch, profiler(NO_STEPS), 3)
    assert traces.steps == traces.folders == []


def test_a_trace_is_written(profiler, tmp_path):
    with profiler(profiled_steps("2:2", 3)) as three_steps:
        for step in range(3):
            with three_steps.step(step):
                jax.block_until_ready(jax.numpy.ones(()) + step)
    assert list(tmp_path.glob("profile/**/*.xplane.pb"))


@pytest.mark.parametrize(
    "text", ["0:3", "3:2", "1:11", "1", "a:b", "-1:2", "", "1:2:3"]
)
def test_a_profile_of_no_steps_of_the_run_is_refused(text):
    message = f"--profile={text} is not a span of this run's 10 steps; write the first and the last"
    with pytest.raises(InputError, match=message):
        profiled_steps(text, 10)


def test_a_profile_of_steps_that_are_taken_is_refused(profiler):
    message = (
        "--profile begins with step 3, and the run goes on with step 5: choose later"
    )
    with pytest.raises(InputError, match=message):
        profiler(profiled_steps("3:9", 10), first_step=4)
    profiler(profiled_steps("5:9", 10), first_step=4)
