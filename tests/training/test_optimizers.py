import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flan_jax.cli import gin_settings
from flan_jax.errors import InputError
from flan_jax.training import optimizers
from flan_jax.training.adafactor import adafactor

SHAPES = {
    "table": (300, 130),
    "kernel": (130, 140),
    "narrow": (8, 140),
    "scale": (130,),
    "scalar": (),
}


def _normal(shapes, seed, size=1.0):
    rng = np.random.default_rng(seed)
    return {
        name: jnp.float32(size * rng.normal(size=shape))
        for name, shape in shapes.items()
    }


def _run(
    tx, params, steps, grads=lambda step: _normal(SHAPES, step, 10.0 ** (step % 3 - 2))
):
    state, update = tx.init(params), jax.jit(tx.update)
    for step in range(steps):
        updates, state = update(grads(step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def _assert_close(a, b, rtol=1e-5):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6), a, b
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay_rate": 0.01},
        {"multiply_by_parameter_scale": False, "clipping_threshold": None},
        {"min_dim_size_to_factor": 8, "decay_rate": 0.6},
    ],
)
def test_adafactor_is_optax_adafactor(settings):
    params = _normal(SHAPES, 100)
    schedule = optimizers.linear(0.3, 3, 20)
    with jax.numpy_rank_promotion("allow"):
        expected, _ = _run(optax.adafactor(schedule, **settings), params, 10)
    got, _ = _run(adafactor(schedule, **settings), params, 10)
    _assert_close(got, expected)


def test_a_stack_is_updated_as_its_layers_are():
    params = [_normal(SHAPES, 100 + layer, 10.0**layer) for layer in (-1, 0, 1)]
    grads = [
        [_normal(SHAPES, 10 * step + layer + 1, 10.0**layer) for layer in (1, 0, -1)]
        for step in range(4)
    ]

    def stack(layers):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)

    together, state = _run(
        adafactor(0.1),
        {"layers": stack(params)},
        4,
        lambda step: {"layers": stack(grads[step])},
    )
    alone = [
        _run(adafactor(0.1), params[i], 4, lambda step, i=i: grads[step][i])[0]
        for i in range(3)
    ]
    _assert_close(together["layers"], stack(alone))
    assert state.v_row["layers"]["kernel"].shape == (3, 130)
    assert state.v["layers"]["scale"].shape == (3, 130)


def test_only_large_matrices_are_factored():
    state = adafactor(1e-3).init(_normal(SHAPES, 0))
    assert jax.tree.map(jnp.shape, state.v_row) == {
        "table": (300,), "kernel": (130,), "narrow": (1,), "scale": (1,), "scalar": (1,),
    }  # fmt: skip
    assert jax.tree.map(jnp.shape, state.v) == {
        "table": (1,), "kernel": (1,), "narrow": (8, 140), "scale": (130,), "scalar": (),
    }  # fmt: skip


def test_frozen_leaves_are_none_and_stay_none():
    params = {"a": jnp.ones((3,)), "frozen": None}
    got, _ = _run(adafactor(0.1), params, 1, lambda step: params)
    assert got["frozen"] is None and not np.allclose(got["a"], 1.0)
    assert _run(adafactor(0.1), {"frozen": None}, 1, lambda step: {"frozen": None})[
        0
    ] == {"frozen": None}


def test_adafactor_without_parameters_is_refused():
    tx = adafactor(1e-3)
    with pytest.raises(InputError, match="tx.update"):
        tx.update(_normal(SHAPES, 0), tx.init(_normal(SHAPES, 0)))


def test_adamw_decays_matrices_and_spares_norms():
    params = {
        "kernel": jnp.ones((2, 2)),
        "scale": jnp.ones((2,)),
        "query": {"bias": jnp.ones((3, 2))},
    }
    zeros = jax.tree.map(jnp.zeros_like, params)
    got, _ = _run(
        optimizers.adamw(0.1, weight_decay=0.5), params, 1, lambda step: zeros
    )
    spared = {"scale": jnp.ones((2,)), "query": {"bias": jnp.ones((3, 2))}}
    _assert_close(got, {"kernel": jnp.full((2, 2), 0.95)} | spared)


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
    got, _ = _run(
        config.build(10), {"kernel": jnp.ones((2,))}, 1, lambda step: {"kernel": 1.0}
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
