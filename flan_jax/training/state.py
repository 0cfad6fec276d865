"""What a training step turns into the next: parameters, optimizer state, step and the random key."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from flan_jax.models.params import abstract_params, dummy_batch
from flan_jax.parallel.sharding import optimizer_shardings, param_shardings, replicated, use_mesh


class TrainState(flax.struct.PyTreeNode):
    """Arrays, or their shapes or shardings.

    `rng` never changes: step n draws its dropout from fold_in(rng, n), so that a resumed run draws the same.
    """

    step: Any
    params: Any
    opt_state: Any
    rng: Any


def warm_state(params: Any, tx: optax.GradientTransformation, mesh: Mesh, seed: int) -> TrainState:
    """A state of step 0 around parameters that are placed already."""

    def init(params: Any) -> TrainState:
        _, rng = jax.random.split(jax.random.key(seed))
        return _at_step_0(params, tx, rng).replace(params=None)

    state = jax.eval_shape(init, params)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, params)
    opt_state = optimizer_shardings(state.opt_state, params, shardings, mesh)
    placed = TrainState(
        step=replicated(mesh), params=None, opt_state=opt_state, rng=replicated(mesh)
    )
    with use_mesh(mesh):
        return jax.jit(init, out_shardings=placed)(params).replace(params=params)


def init_state(config: Any, tx: optax.GradientTransformation, mesh: Mesh, seed: int) -> TrainState:
    """A fresh state, each array made where it will live."""
    model = config.build()

    def init(key: jax.Array) -> TrainState:
        params_key, rng = jax.random.split(key)
        return _at_step_0(nn.unbox(model.init(params_key, dummy_batch(config))["params"]), tx, rng)

    shardings = state_shardings(config, abstract_state(config, tx), mesh)
    with use_mesh(mesh):
        return jax.jit(init, out_shardings=shardings)(jax.random.key(seed))


def _at_step_0(params: Any, tx: optax.GradientTransformation, rng: jax.Array) -> TrainState:
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=tx.init(params),
        rng=jax.random.key_data(rng),
    )


def abstract_state(config: Any, tx: optax.GradientTransformation) -> TrainState:
    """The shapes of a state, without allocating it."""
    return jax.eval_shape(
        lambda params: _at_step_0(params, tx, jax.random.key(0)), nn.unbox(abstract_params(config))
    )


def abstract_state_on(config: Any, tx: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """The shapes of a state, each with the sharding that it will have; nothing is allocated."""
    state = abstract_state(config, tx)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        state_shardings(config, state, mesh),
    )


def state_shardings(config: Any, state: TrainState, mesh: Mesh) -> TrainState:
    """Where each array of a state lives."""
    params = param_shardings(abstract_params(config), mesh)
    opt_state = optimizer_shardings(state.opt_state, state.params, params, mesh)
    return TrainState(
        step=replicated(mesh), params=params, opt_state=opt_state, rng=replicated(mesh)
    )
