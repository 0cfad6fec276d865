"""The packing gate: before the first step, packed rows must give the loss and gradients of the same examples alone.

Masks that leak between packed examples train silently worse models; several public trainers had that. So the check runs on the
run's own model, backend, precision and mesh, on examples of its own first batch, every time a run starts.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from flan_jax.data.loader import Loader
from flan_jax.errors import RunFailed
from flan_jax.parallel.sharding import global_batch, use_mesh
from flan_jax.training.losses import loss_and_weight

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
"""Largest relative difference of the loss and of the gradient's norm, by compute dtype. A leak is of the order of 1."""
EXAMPLES = 8
PROJECTIONS = 8


class PackingError(RunFailed):
    """Packed and unpacked examples do not give the same loss: a mask leaks."""


def check_packing(config: Any, params: Any, loader: Loader, mesh: Mesh) -> dict[str, float]:
    """Compares one packed row with its examples one to a row; returns the relative differences of loss and gradient.

    Raises PackingError when they differ by more than the dtype's rounding explains.
    """
    packed = _fullest_row(loader)
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    rows = -(-min(_segments(packed), EXAMPLES) // ways) * ways
    packed = _keep_segments(packed, EXAMPLES)
    alone = [_alone(packed, segment) for segment in range(1, _segments(packed) + 1)]
    together = _gradients(config, params, _padded([packed], rows), mesh)
    apart = _gradients(config, params, _padded(alone, rows), mesh)
    loss, gradient = _differences(together, apart)
    differences = {"loss": float(loss), "gradient": float(gradient)}
    limit = TOLERANCE[config.dtype]
    if not max(differences.values()) <= limit:  # also true of NaN
        raise PackingError(
            f"packed examples do not give what they give alone on {jax.devices()[0].platform} (relative differences {differences}, "
            f"limit {limit}): attention leaks between the examples of a row. Training would go wrong silently, so it does not "
            "start. Choose another attention backend, or train with DataConfig.packing = False"
        )
    return differences


def _fullest_row(loader: Loader) -> dict[str, np.ndarray]:
    batch = loader.batch(0)
    row = int(np.argmax(batch["decoder_segment_ids"].max(axis=1)))
    return {name: array[row] for name, array in batch.items()}


def _segments(row: Mapping[str, np.ndarray]) -> int:
    return int(row["decoder_segment_ids"].max())


def _keep_segments(row: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The row's first `count` examples; the rest becomes padding."""
    return {
        name: np.where(_ids(row, name) <= count, array, 0).astype(array.dtype)
        for name, array in row.items()
    }


def _alone(row: Mapping[str, np.ndarray], segment: int) -> dict[str, np.ndarray]:
    """One example of a row, moved to its beginning."""
    alone = {}
    for name, array in row.items():
        mine = array[_ids(row, name) == segment]
        alone[name] = np.pad(
            np.ones_like(mine) if name.endswith("segment_ids") else mine,
            (0, len(array) - len(mine)),
        )
    return alone


def _ids(row: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return row["encoder_segment_ids" if name.startswith("encoder") else "decoder_segment_ids"]


def _padded(rows: list[dict[str, np.ndarray]], count: int) -> dict[str, np.ndarray]:
    empty = {name: np.zeros_like(array) for name, array in rows[0].items()}
    rows = rows + [empty] * (count - len(rows))
    return {name: np.stack([row[name] for row in rows]) for name in empty}


def _gradients(
    config: Any, params: Any, batch: Mapping[str, np.ndarray], mesh: Mesh
) -> "_Gradients":
    """Of the mean loss, without dropout."""
    placed = global_batch(batch, mesh, len(batch["decoder_target_tokens"]))
    with use_mesh(mesh):
        return _gradient_sketch(config.build(), params, placed)


class _Gradients(NamedTuple):
    """The mean loss, its gradient's norm, and float32[PROJECTIONS], the gradient's products with vectors of random signs.

    The mean square of the differences of two gradients' products is, in expectation, the squared norm of their difference
    (Alon, Matias and Szegedy 1996). So no two gradients, each as large as the parameters, are in memory at a time.
    """

    loss: jax.Array
    norm: jax.Array
    products: jax.Array


@functools.partial(jax.jit, static_argnums=0)
def _gradient_sketch(model: nn.Module, params: Any, batch: Mapping[str, jax.Array]) -> _Gradients:
    def mean_loss(params: Any) -> jax.Array:
        total, sums = loss_and_weight(model, params, batch, z_loss=0.0)
        return total / sums["weight_sum"]

    loss, gradient = jax.value_and_grad(mean_loss)(params)
    leaves = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(gradient)]

    def product(k: jax.Array) -> jax.Array:
        of_leaves = [
            jnp.sum(_random_signs(leaf.shape, PROJECTIONS * n + k) * leaf)
            for n, leaf in enumerate(leaves)
        ]
        return sum(of_leaves, jnp.float32(0.0))

    products = jax.lax.map(product, jnp.arange(PROJECTIONS))
    return _Gradients(loss, optax.tree.norm(leaves), products)


def _random_signs(shape: tuple[int, ...], seed: jax.Array) -> jax.Array:
    """float32[shape] of 1 and -1: bits of a hash of each place, which, unlike jax.random's, take no memory in a sum."""
    x = seed.astype(jnp.uint32) * jnp.uint32(0x9E3779B9)
    for axis in range(len(shape)):
        x = _mixed(x + jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(0x85EBCA6B))
    return 1.0 - 2.0 * (x >> 31).astype(jnp.float32)


def _mixed(x: jax.Array) -> jax.Array:
    """The finalizer of MurmurHash3 (Appleby 2011)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


@jax.jit
def _differences(a: _Gradients, b: _Gradients) -> tuple[jax.Array, jax.Array]:
    """Of loss and gradient, relative to b's."""
    gradient = jnp.sqrt(jnp.mean(jnp.square(a.products - b.products))) / b.norm
    return jnp.abs(a.loss - b.loss) / jnp.abs(b.loss), gradient
