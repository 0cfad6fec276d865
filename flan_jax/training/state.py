"""The training state: parameters, optimizer state, step and the random key of dropout."""

import re

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from flan_jax import pytrees
from flan_jax.errors import InputError
from flan_jax.models.config import ModelConfig
from flan_jax.models.params import abstract_params, dummy_batch
from flan_jax.parallel.sharding import (
    optimizer_shardings,
    param_shardings,
    replicated,
    use_mesh,
)
from flan_jax.pytrees import Params, Tree

SHOWN_PATHS = 5
"""Number of parameter paths that the error for a regex without a match lists."""


class TrainState(flax.struct.PyTreeNode):
    """The training state: arrays, or their shapes or shardings.

    Attributes:
      step: int32[], number of updates so far.
      params: the parameters that are trained.
      opt_state: the optimizer's state for `params`.
      rng: key data, the same throughout a run. Step n draws its dropout from fold_in(rng, n), so
        that a resumed run draws the same.
      frozen: the parameters that are not trained; {} if all are.
    """

    step: Tree
    params: Params
    opt_state: Tree
    rng: Tree
    frozen: Params = flax.struct.field(default_factory=dict)

    @property
    def all_params(self) -> Params:
        """The parameters of the model, trained and frozen."""
        return pytrees.merge(self.params, self.frozen)


def split_trainable(params: Params, trainable: str | None) -> tuple[Params, Params]:
    """Returns the parameters that are trained, and the frozen ones.

    Args:
      params: all parameters of a model, or anything else in a tree like them.
      trainable: regex of parameter paths, see TrainConfig.trainable.

    Raises:
      InputError: `trainable` is not a regex or matches no parameter.
    """
    if trainable is None:
        return params, {}
    try:
        selected, frozen = pytrees.partition(params, trainable)
    except re.error as error:
        raise InputError(
            f"TrainConfig.trainable is {trainable!r}, which is not a regular expression ({error}). "
            "Write one that matches the paths of the parameters to train, e.g. 'scale$|bias$'"
        ) from None
    if not selected:
        paths = list(pytrees.named_leaves(params))
        examples = ", ".join(paths[:: max(1, len(paths) // SHOWN_PATHS)][:SHOWN_PATHS])
        raise InputError(
            f"TrainConfig.trainable is {trainable!r}, which matches none of the model's "
            f"{len(paths)} parameters. Their paths are like these: {examples}"
        )
    return selected, frozen


def init_state(
    config: ModelConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    seed: int,
    *,
    trainable: str | None = None,
) -> TrainState:
    """Returns a state at step 0 with random parameters, each array made where it will live.

    Args:
      config: the model.
      tx: the optimizer.
      mesh: the devices to place the state on.
      seed: seed of the parameters and of dropout.
      trainable: regex of the parameters to train; None: all.
    """
    model = config.build()

    def init(key: jax.Array) -> TrainState:
        params_key, rng = jax.random.split(key)
        params = nn.unbox(model.init(params_key, dummy_batch(config))["params"])
        return _at_step_0(params, tx, rng, trainable)

    shardings = state_shardings(
        config, abstract_state(config, tx, trainable), mesh, trainable
    )
    with use_mesh(mesh):
        return jax.jit(init, out_shardings=shardings)(jax.random.key(seed))


def warm_state(
    params: Params,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    seed: int,
    *,
    trainable: str | None = None,
) -> TrainState:
    """Returns a state at step 0 with given parameters.

    Args:
      params: the parameters, placed already.
      tx: the optimizer.
      mesh: the devices to place the rest of the state on.
      seed: seed of dropout.
      trainable: regex of the parameters to train; None: all.
    """
    selected, frozen = split_trainable(params, trainable)

    def init(selected: Params) -> TrainState:
        _, rng = jax.random.split(jax.random.key(seed))
        return _at_step_0(selected, tx, rng).replace(params=None)

    state = jax.eval_shape(init, selected)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, selected)
    placed = TrainState(
        step=replicated(mesh),
        params=None,
        opt_state=optimizer_shardings(state.opt_state, selected, shardings, mesh),
        rng=replicated(mesh),
    )
    with use_mesh(mesh):
        rest = jax.jit(init, out_shardings=placed)(selected)
    return rest.replace(params=selected, frozen=frozen)


def abstract_state(
    config: ModelConfig, tx: optax.GradientTransformation, trainable: str | None = None
) -> TrainState:
    """Returns the shapes of a state without allocating it.

    Args:
      config: the model.
      tx: the optimizer.
      trainable: regex of the parameters to train; None: all.
    """
    return jax.eval_shape(
        lambda params: _at_step_0(params, tx, jax.random.key(0), trainable),
        nn.unbox(abstract_params(config)),
    )


def abstract_state_on(
    config: ModelConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    trainable: str | None = None,
) -> TrainState:
    """Returns the shapes of a state with their shardings, without allocating it.

    Args:
      config: the model.
      tx: the optimizer.
      mesh: the devices that the state would be placed on.
      trainable: regex of the parameters to train; None: all.
    """
    state = abstract_state(config, tx, trainable)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        state,
        state_shardings(config, state, mesh, trainable),
    )


def state_shardings(
    config: ModelConfig, state: TrainState, mesh: Mesh, trainable: str | None = None
) -> TrainState:
    """Returns the sharding of each array of a state.

    Args:
      config: the model.
      state: the shapes of the state.
      mesh: the devices that the state is placed on.
      trainable: regex of the parameters to train; None: all.
    """
    params, frozen = split_trainable(
        param_shardings(abstract_params(config), mesh), trainable
    )
    return TrainState(
        step=replicated(mesh),
        params=params,
        opt_state=optimizer_shardings(state.opt_state, state.params, params, mesh),
        rng=replicated(mesh),
        frozen=frozen,
    )


def _at_step_0(
    params: Params,
    tx: optax.GradientTransformation,
    rng: jax.Array,
    trainable: str | None = None,
) -> TrainState:
    selected, frozen = split_trainable(params, trainable)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=selected,
        opt_state=tx.init(selected),
        rng=jax.random.key_data(rng),
        frozen=frozen,
    )
