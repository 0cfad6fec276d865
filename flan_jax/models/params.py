"""The parameters of a model without allocating them: shapes, shardings and their number."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from flan_jax.batch import batch_spec
from flan_jax.errors import InputError
from flan_jax.models.config import ModelConfig
from flan_jax.parallel.sharding import param_shardings
from flan_jax.pytrees import Params, Tree, named_leaves


def dummy_batch(config: ModelConfig) -> dict[str, jax.Array]:
    """Returns a small batch to initialize a model with; no parameter's shape depends on it.

    Args:
      config: the configuration of the model.

    Returns:
      {feature: array of ones}, one row of 8 input and 8 target tokens.
    """
    lengths = {"inputs": 8, "targets": 8}
    spec = batch_spec(config.architecture, rows=1, lengths=lengths)
    batch = {}
    for name, (shape, dtype) in spec.items():
        batch[name] = jnp.ones(shape, dtype)
    return batch


@functools.cache
def abstract_params(config: ModelConfig) -> Params:
    """Returns the parameters' shapes, boxed with their logical axis names.

    The model is traced for it, once per configuration.

    Args:
      config: the configuration of the model.

    Returns:
      A tree of jax.ShapeDtypeStruct in boxes (flax's LogicallyPartitioned); nothing is allocated.
    """

    def init() -> Tree:
        return config.build().init(jax.random.key(0), dummy_batch(config))

    return jax.eval_shape(init)["params"]


def abstract_params_on(config: ModelConfig, mesh: Mesh) -> Params:
    """Returns the parameters' shapes, each with the sharding that it has on the mesh.

    Args:
      config: the configuration of the model.
      mesh: the device mesh.

    Returns:
      A tree of jax.ShapeDtypeStruct with shardings; nothing is allocated.
    """

    def placed(
        leaf: jax.ShapeDtypeStruct, sharding: NamedSharding
    ) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    boxed = abstract_params(config)
    shapes = nn.unbox(boxed)
    shardings = param_shardings(boxed, mesh)
    return jax.tree.map(placed, shapes, shardings)


def count_params(config: ModelConfig) -> int:
    """Returns the number of parameters of a model."""
    leaves = jax.tree.leaves(nn.unbox(abstract_params(config)))
    return sum(leaf.size for leaf in leaves)


def check_vocabulary(config: ModelConfig, tokenizer: str, vocab_size: int) -> None:
    """Checks that a model has an embedding for every token of a tokenizer.

    Args:
      config: the model's configuration.
      tokenizer: the tokenizer's path, for the message.
      vocab_size: the number of the tokenizer's ids.

    Raises:
      InputError: the tokenizer gives ids that the model has no embedding for.
    """
    if vocab_size > config.vocab_size:
        raise InputError(
            f"the tokenizer {tokenizer} has {vocab_size} ids, the model an embedding of "
            f'{config.vocab_size}. Set vocab_size of "{type(config).__name__}" to at least that, '
            "or use the model's own TOKENIZER"
        )


MAX_NAMED = 5


def not_finite_params(params: Params) -> list[str]:
    """Returns the paths of parameters with NaN or infinite values, at most MAX_NAMED of them.

    Args:
      params: the parameters, placed on devices. On several hosts all of them must call this.
    """
    names = []
    for name, leaf in named_leaves(params).items():
        # NaN anywhere makes both NaN. No array as large as the parameter is made.
        extremes = jnp.stack([jnp.min(leaf), jnp.max(leaf)])
        if not np.isfinite(extremes).all():
            names.append(name)
        if len(names) == MAX_NAMED:
            break
    return names
