"""Optimizers and learning-rate schedules: their values, and those of a user's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flan_jax.cli import gin_settings
from flan_jax.errors import InputError
from flan_jax.training import optimizers


def one_update(tx, params, grads):
    """Returns the parameters after one update."""
    updates, _ = tx.update(grads, tx.init(params), params)
    return optax.apply_updates(params, updates)


def test_adamw_decays_matrices_and_spares_norms():
    params = {
        "kernel": jnp.ones((2, 2)),
        "scale": jnp.ones((2,)),
        "query": {"bias": jnp.ones((3, 2))},
    }
    zeros = jax.tree.map(jnp.zeros_like, params)
    got = one_update(optimizers.adamw(0.1, weight_decay=0.5), params, zeros)
    spared = {"scale": jnp.ones((2,)), "query": {"bias": jnp.ones((3, 2))}}
    expected = {"kernel": jnp.full((2, 2), 0.95)} | spared
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
        got,
        expected,
    )


@pytest.mark.parametrize(
    "schedule, expected",
    [
        (optimizers.constant(0.5), {0: 0.5, 7: 0.5}),
        (optimizers.constant(0.5, 10), {0: 0.0, 5: 0.25, 10: 0.5, 99: 0.5}),
        (
            optimizers.linear(1.0, 10, 30),
            {0: 0.0, 5: 0.5, 10: 1.0, 20: 0.5, 30: 0.0, 40: 0.0},
        ),
        (optimizers.linear(1.0, 0, 10), {0: 1.0, 5: 0.5, 10: 0.0}),
        (optimizers.rsqrt(1.0, 100), {0: 0.1, 100: 0.1, 400: 0.05}),
    ],
)
def test_schedules(schedule, expected):
    got = {step: float(schedule(jnp.int32(step))) for step in expected}
    assert got == pytest.approx(expected)


def test_schedules_refuse_what_they_cannot_do():
    with pytest.raises(InputError, match="warm up"):
        optimizers.linear(1.0, 10, 10)
    with pytest.raises(InputError, match="infinite"):
        optimizers.rsqrt(1.0, 0)


MY_OPTIMIZERS = """
import optax

from flan_jax.training.optimizers import register_optimizer, register_schedule


def half(learning_rate, warmup_steps, total_steps):
    return optax.constant_schedule(learning_rate / 2)


register_optimizer("momentum", optax.sgd)
register_schedule("half", half)
"""


def test_a_gin_file_reaches_an_optimizer_of_a_module_that_it_imports(
    tmp_path, monkeypatch
):
    (tmp_path / "my_optimizers.py").write_text(MY_OPTIMIZERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(optimizers, "OPTIMIZERS", dict(optimizers.OPTIMIZERS))
    monkeypatch.setattr(optimizers, "SCHEDULES", dict(optimizers.SCHEDULES))
    gin_file = tmp_path / "my_run.gin"
    gin_file.write_text(
        "import my_optimizers\n"
        "include 'flan_mixture.gin'\n"
        "OptimizerConfig.name = 'momentum'\n"
        "OptimizerConfig.schedule = 'half'\n"
        "OptimizerConfig.settings = {'momentum': 0.0}\n"
        "LEARNING_RATE = 0.5\n"
    )
    config = gin_settings.load_settings([str(gin_file)], []).optimizer
    got = one_update(
        config.build(10), {"kernel": jnp.ones((2,))}, {"kernel": jnp.ones((2,))}
    )
    np.testing.assert_allclose(got["kernel"], 0.75)


def test_another_optimizer_of_a_known_name_is_refused():
    with pytest.raises(InputError, match="two optimizers are named 'adamw'"):
        optimizers.register_optimizer("adamw", optax.sgd)
    optimizers.register_optimizer("adamw", optimizers.adamw)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        InputError, match="unknown optimizer 'adam'. Did you mean 'adamw'?"
    ):
        optimizers.OptimizerConfig(learning_rate=0.1, name="adam")
    with pytest.raises(
        InputError, match="unknown schedule 'liner'. Did you mean 'linear'?"
    ):
        optimizers.OptimizerConfig(learning_rate=0.1, schedule="liner")


@pytest.mark.parametrize(
    "schedule, depends",
    [("constant", False), ("rsqrt", False), ("linear", True), ("of_mine", True)],
)
def test_schedules_that_depend_on_the_number_of_steps(monkeypatch, schedule, depends):
    of_mine = optimizers.SCHEDULES | {"of_mine": optimizers.linear}
    monkeypatch.setattr(optimizers, "SCHEDULES", of_mine)
    config = optimizers.OptimizerConfig(learning_rate=0.1, schedule=schedule)
    assert config.depends_on_steps is depends


BAD_FLOATS = [-1.0, -1e-9, float("nan"), float("inf")]


@pytest.mark.parametrize("rate", BAD_FLOATS)
def test_the_learning_rate_is_a_number_from_zero(rate):
    assert optimizers.OptimizerConfig(learning_rate=0.0).learning_rate == 0
    with pytest.raises(
        InputError, match="OptimizerConfig.learning_rate is .*a number of at least 0"
    ):
        optimizers.OptimizerConfig(learning_rate=rate)


@pytest.mark.parametrize("steps", [-1, True])
def test_the_warm_up_is_a_whole_number_of_steps(steps):
    with pytest.raises(InputError, match="OptimizerConfig.warmup_steps is"):
        optimizers.OptimizerConfig(learning_rate=1.0, warmup_steps=steps)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("adamw", "b1"),
        ("adamw", "b2"),
        ("adamw", "eps"),
        ("adamw", "weight_decay"),
        ("adafactor", "decay_rate"),
        ("adafactor", "clipping_threshold"),
        ("adafactor", "weight_decay_rate"),
        ("adafactor", "epsilon1"),
        ("adafactor", "epsilon2"),
    ],
)
@pytest.mark.parametrize("value", BAD_FLOATS)
def test_settings_of_an_optimizer_are_numbers_in_their_range(name, setting, value):
    config = optimizers.OptimizerConfig(
        learning_rate=1.0, name=name, settings={setting: value}
    )
    with pytest.raises(InputError, match=f"{name}'s {setting} is .*a number"):
        config.build(10)


def test_other_settings_of_an_optimizer():
    with pytest.raises(InputError, match="adamw's b1 is 1.0; .* and below 1"):
        optimizers.adamw(0.1, b1=1.0)
    with pytest.raises(
        InputError, match="min_dim_size_to_factor is True; it must be a"
    ):
        optimizers.adafactor(0.1, min_dim_size_to_factor=True)


def test_a_builder_that_takes_other_arguments_is_refused():
    with pytest.raises(InputError, match="optimizer 'mine' will be called with .sched"):
        optimizers.register_optimizer("mine", lambda: optax.sgd(0.1))
    with pytest.raises(
        InputError, match="schedule 'mine' .*, warmup_steps, total_steps"
    ):
        optimizers.register_schedule("mine", lambda rate, warmup_steps: rate)
    assert "mine" not in {*optimizers.OPTIMIZERS, *optimizers.SCHEDULES}
