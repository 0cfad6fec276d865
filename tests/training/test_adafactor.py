"""Adafactor: as optax has it, with each layer of a stack as a parameter of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flan_jax.errors import InputError
from flan_jax.training.adafactor import WIDE, adafactor
from flan_jax.training.optimizers import linear

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
    schedule = linear(0.3, 3, 20)
    with jax.numpy_rank_promotion("allow"):
        expected, _ = _run(optax.adafactor(schedule, **settings), params, 10)
    got, _ = _run(adafactor(schedule, **settings), params, 10)
    _assert_close(got, expected)


def test_wide_tables_and_stacks_of_them_are_updated_as_optax_does():
    """The CPU has a way of its own for the means of many columns."""
    shapes = {"head": (130, WIDE + 3)}
    params = [_normal(shapes, seed) for seed in (100, 101)]
    grads = [_normal(shapes, seed, 1e-3) for seed in (1, 2)]
    with jax.numpy_rank_promotion("allow"):
        expected = [
            _run(optax.adafactor(0.1), param, 3, lambda step, grad=grad: grad)[0]
            for param, grad in zip(params, grads, strict=True)
        ]

    got, _ = _run(adafactor(0.1), params[0], 3, lambda step: grads[0])
    _assert_close(got, expected[0])

    def stack(layers):
        return {"layers": jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)}

    stacked, _ = _run(adafactor(0.1), stack(params), 3, lambda step: stack(grads))
    _assert_close(stacked, stack(expected))


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


def one_update(tx, param, grad):
    """Returns the update of one parameter at the first step."""
    params = {"scale": jnp.asarray(param)}
    updates, _ = tx.update({"scale": jnp.asarray(grad)}, tx.init(params), params)
    return updates["scale"]


def test_the_first_step_is_a_sign_times_the_size_of_the_parameter():
    """At the first step the second moment is the squared gradient itself."""
    update = one_update(adafactor(0.1), param=[1.0, 7.0], grad=[100.0, -0.01])
    np.testing.assert_allclose(update, [-0.1 * 5, 0.1 * 5], rtol=1e-6)


def test_a_parameter_of_zeros_moves_by_epsilon2():
    update = one_update(
        adafactor(0.1, epsilon2=0.5), param=[0.0, 0.0], grad=[2.0, -2.0]
    )
    np.testing.assert_allclose(update, [-0.05, 0.05], rtol=1e-6)


def test_an_update_is_clipped_at_its_root_mean_square():
    tx = adafactor(1.0, clipping_threshold=0.25, multiply_by_parameter_scale=False)
    update = one_update(tx, param=[1.0, 1.0], grad=[3.0, 3.0])
    np.testing.assert_allclose(update, [-0.25, -0.25], rtol=1e-6)


def test_the_size_of_the_gradients_does_not_matter():
    params = _normal(SHAPES, 100)
    small, _ = _run(adafactor(0.1), params, 3, lambda step: _normal(SHAPES, step))
    large, _ = _run(adafactor(0.1), params, 3, lambda step: _normal(SHAPES, step, 1e3))
    _assert_close(small, large)


def test_moments_are_float32_and_updates_are_of_the_parameters_dtype():
    params = {
        "kernel": jnp.ones((128, 128), jnp.bfloat16),
        "scale": jnp.ones((4,), jnp.bfloat16),
    }
    tx = adafactor(0.1)
    updates, state = tx.update(params, tx.init(params), params)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype("bfloat16")}
    moments = jax.tree.leaves((state.v_row, state.v_col, state.v))
    assert {leaf.dtype for leaf in moments} == {jnp.dtype("float32")}
    assert state.count == 1
