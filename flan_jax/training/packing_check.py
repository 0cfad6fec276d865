"""The packing check: packed rows must give the loss and gradients of the same examples alone.

Masks that leak between packed examples train silently worse models; several public trainers had
such bugs. The check runs before the first step of every run, on the run's own model, backend,
precision and mesh, with examples of its first batch.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from flan_jax.data.loader import Loader
from flan_jax.errors import RunFailed
from flan_jax.models.config import Model, ModelConfig
from flan_jax.models.params import not_finite_params
from flan_jax.parallel.sharding import global_batch, use_mesh
from flan_jax.pytrees import Params
from flan_jax.training.losses import loss_and_weight

Row = Mapping[str, np.ndarray]
"""One row of a batch, or a batch, by feature."""

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
"""Largest relative difference of the loss and of the gradient's norm, by compute dtype.

A leak is of the order of 1."""
EXAMPLES = 4
PROJECTIONS = 8


class PackingError(RunFailed):
    """Packed and unpacked examples do not give the same loss: a mask leaks."""


def check_packing(
    config: ModelConfig, params: Params, loader: Loader, mesh: Mesh
) -> dict[str, float]:
    """Compares one packed row with its examples one to a row.

    Args:
      config: the model.
      params: its parameters.
      loader: gives the first batch, whose fullest row is taken.
      mesh: the devices of the run.

    Returns:
      The relative differences, {"loss": ..., "gradient": ...}.

    Raises:
      PackingError: they are more than rounding explains.
      RunFailed: loss or gradient are NaN or infinite.
    """
    row = _fullest_row(loader)
    packed = _first_examples(row, EXAMPLES)
    alone = []
    for segment_id in range(1, _example_count(packed) + 1):
        alone.append(_example_alone(packed, segment_id))

    packed_gradients = _gradients(config, params, [packed], mesh)
    alone_gradients = _gradients(config, params, alone, mesh)
    loss, gradient = _differences(packed_gradients, alone_gradients)
    differences = {"loss": float(loss), "gradient": float(gradient)}

    limit = TOLERANCE[config.dtype]
    if max(differences.values()) <= limit:
        return differences
    if not np.isfinite([float(packed_gradients.norm), *differences.values()]).all():
        raise RunFailed(_not_finite(config, params, float(packed_gradients.loss)))
    raise PackingError(
        f"packed examples do not give what they give alone on {jax.devices()[0].platform} "
        f"(relative differences {differences}, limit {limit}): attention leaks between the "
        "examples of a row. Training would go wrong silently, so it does not start. Choose "
        "another attention backend, or train with DataConfig.packing = False"
    )


def _not_finite(config: ModelConfig, params: Params, loss: float) -> str:
    """Returns why a run whose first loss or gradient is NaN or infinite does not start."""
    damaged = not_finite_params(params)
    if damaged:
        return (
            f"these parameters hold NaN or infinite values: {', '.join(damaged)}. Training does "
            "not start; take another WARM_START"
        )
    return (
        f"the loss of the first row is {loss} and its gradient is not finite, although all "
        f"parameters are: numbers overflow when computed in {config.dtype}. Training does not "
        "start; write dtype = 'float32' for the model, or take another WARM_START"
    )


def _fullest_row(loader: Loader) -> Row:
    """Returns the row of the first batch with the most examples."""
    batch = loader.batch(0)
    segment_ids = batch["decoder_segment_ids"]
    example_counts = segment_ids.max(axis=1)
    fullest = int(np.argmax(example_counts))
    return {name: array[fullest] for name, array in batch.items()}


def _example_count(row: Row) -> int:
    segment_ids = row["decoder_segment_ids"]
    return int(segment_ids.max())


def _first_examples(row: Row, count: int) -> Row:
    """Returns the row with its first examples; the rest becomes padding."""
    examples = {}
    for name, array in row.items():
        is_kept = _segment_ids(row, name) <= count
        kept_values = np.where(is_kept, array, 0)
        examples[name] = kept_values.astype(array.dtype)
    return examples


def _example_alone(row: Row, segment_id: int) -> Row:
    """Returns one example of a row, moved to the beginning of an empty row."""
    alone = {}
    for name, array in row.items():
        is_example = _segment_ids(row, name) == segment_id
        values = array[is_example]
        if name.endswith("segment_ids"):
            values = np.ones_like(values)
        padding = len(array) - len(values)
        alone[name] = np.pad(values, (0, padding))
    return alone


def _segment_ids(row: Row, name: str) -> np.ndarray:
    """Returns the segment ids that belong to a feature of the encoder or of the decoder."""
    side = "encoder" if name.startswith("encoder") else "decoder"
    return row[f"{side}_segment_ids"]


def _batch(rows: list[Row], count: int) -> Row:
    """Stacks rows to a batch of `count` rows; the rest is padding."""
    first = rows[0]
    empty = {name: np.zeros_like(array) for name, array in first.items()}
    padding = [empty] * (count - len(rows))
    padded = [*rows, *padding]

    batch = {}
    for name in first:
        batch[name] = np.stack([row[name] for row in padded])
    return batch


class _Gradients(NamedTuple):
    """The summed loss of rows and a sketch of its gradient.

    The mean square of the differences of two gradients' products is, in expectation, the squared
    norm of their difference (Alon, Matias and Szegedy 1996). So two gradients, each as large as the
    parameters, are never in memory at a time, and the sketch of many rows is the sum of each.

    Attributes:
      loss: float32[].
      norm: float32[], the gradient's norm; of several groups of rows that of the first.
      products: float32[PROJECTIONS], the gradient's products with vectors of random signs.
    """

    loss: jax.Array
    norm: jax.Array
    products: jax.Array

    def plus(self, other: "_Gradients") -> "_Gradients":
        """Returns the sketch of the rows of both."""
        return _Gradients(
            self.loss + other.loss, self.norm, self.products + other.products
        )


def _gradients(
    config: ModelConfig, params: Params, rows: list[Row], mesh: Mesh
) -> _Gradients:
    """Returns loss and gradient of rows, without dropout.

    Each device computes one row at a time, which takes no more memory than a training step.
    """
    model = config.build()
    group_size = mesh.shape["data"] * mesh.shape["fsdp"]
    groups = []
    with use_mesh(mesh):
        for start in range(0, len(rows), group_size):
            batch = _batch(rows[start : start + group_size], group_size)
            placed = global_batch(batch, mesh, group_size)
            groups.append(_gradient_sketch(model, params, placed))
    return functools.reduce(_Gradients.plus, groups)


@functools.partial(jax.jit, static_argnums=0)
def _gradient_sketch(
    model: Model, params: Params, batch: Mapping[str, jax.Array]
) -> _Gradients:
    def summed_loss(params: Params) -> jax.Array:
        total, _ = loss_and_weight(model, params, batch, z_loss=0.0)
        return total

    loss, gradient = jax.value_and_grad(summed_loss)(params)
    leaves = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(gradient)]

    def product(projection: jax.Array) -> jax.Array:
        total = jnp.float32(0.0)
        for number, leaf in enumerate(leaves):
            seed = PROJECTIONS * number + projection
            signs = _random_signs(leaf.shape, seed)
            total = total + jnp.sum(signs * leaf)
        return total

    projections = jnp.arange(PROJECTIONS)
    products = jax.lax.map(product, projections)
    norm = optax.tree.norm(leaves)
    return _Gradients(loss, norm, products)


def _random_signs(shape: tuple[int, ...], seed: jax.Array) -> jax.Array:
    """Returns float32[shape] of 1 and -1: bits of a hash of each position.

    Unlike jax.random's they take no memory inside a sum.
    """
    x = seed.astype(jnp.uint32) * jnp.uint32(0x9E3779B9)
    for axis in range(len(shape)):
        position = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        x = x + position * jnp.uint32(0x85EBCA6B)
        x = _mix_bits(x)
    top_bit = x >> 31
    return 1.0 - 2.0 * top_bit.astype(jnp.float32)


def _mix_bits(x: jax.Array) -> jax.Array:
    """The finalizer of MurmurHash3 (Appleby 2011)."""
    x = x ^ (x >> 16)
    x = x * jnp.uint32(0x85EBCA6B)
    x = x ^ (x >> 13)
    x = x * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


@jax.jit
def _differences(one: _Gradients, other: _Gradients) -> tuple[jax.Array, jax.Array]:
    """Returns the differences of loss and gradient, relative to the first's."""
    squares = jnp.square(one.products - other.products)
    gradient_difference = jnp.sqrt(jnp.mean(squares))
    gradient = gradient_difference / one.norm

    loss_difference = jnp.abs(one.loss - other.loss)
    loss = loss_difference / jnp.abs(one.loss)
    return loss, gradient
