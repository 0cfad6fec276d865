"""Where arrays live: a mesh of (data, fsdp, tensor) and one table from logical axes to mesh axes."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.linen.spmd import with_logical_constraint as constrain
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flan_jax.errors import InputError

RULES: tuple[tuple[str, str | tuple[str, ...] | None], ...] = (
    ("batch", ("data", "fsdp")),
    ("length", None),
    ("vocab", "tensor"),
    ("embed", "fsdp"),
    ("activation_embed", "tensor"),
    ("joined_kv", "tensor"),
    ("mlp", "tensor"),
    ("heads", "tensor"),
    ("kv", None),
    ("relpos_buckets", None),
    ("layers", None),
)
"""Logical axis -> mesh axes. Rows are split over data and fsdp together; fsdp also splits the parameters.

Between layers an activation (batch, length, activation_embed) is split over tensor too, though no matmul splits it there
(Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", section 4.2.2, who split the length):
it is gathered where a matmul wants it whole, and the matmul after that scatters what it would have reduced to every device.
"""
HEAD = ("embed", "vocab")
"""The logical axes of the kernel from hidden states to logits."""


@contextlib.contextmanager
def use_mesh(mesh: Mesh) -> Iterator[None]:
    """Inside, the models' logical axes mean this mesh."""
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        yield


def gather_fsdp(kernel: jax.Array, axes: Sequence[str]) -> jax.Array:
    """The kernel as a product uses it: split over tensor alone, whatever of it fsdp keeps elsewhere.

    Left to itself XLA chooses whether to move the kernel or the activations, and where these are few, data, fsdp and tensor
    all have more than one device and the output is split over tensor, the sum that it then computes is wrong (jaxlib 0.10.2).
    """
    return constrain(kernel, tuple(None if axis == "embed" else axis for axis in axes))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows split over data and fsdp."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def host_row_slice(mesh: Mesh, rows: int) -> slice:
    """Of a batch of `rows`, those that this process's devices hold, and any that lie between them."""
    indices: Any = batch_sharding(mesh).addressable_devices_indices_map((rows,))
    held = [index[0].indices(rows) for index in indices.values()]
    return slice(min(start for start, _, _ in held), max(stop for _, stop, _ in held))


def global_batch(
    batch: Mapping[str, np.ndarray], mesh: Mesh, rows: int, first: int = 0
) -> dict[str, jax.Array]:
    """A batch of `rows` over the mesh, of which this process has those from `first` on, at least its `host_row_slice`."""
    sharding = batch_sharding(mesh)

    def place(part: np.ndarray) -> jax.Array:
        def shard(index: Any) -> np.ndarray:
            start, stop, _ = index[0].indices(rows)
            return part[start - first : stop - first]

        return jax.make_array_from_callback((rows, *part.shape[1:]), sharding, shard)

    return {name: place(part) for name, part in batch.items()}


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def param_shardings(boxed_params: Any, mesh: Mesh) -> Any:
    """The sharding of each parameter of an abstract tree that carries logical axis names.

    Raises InputError when an axis is unknown, two axes of one parameter land on the same mesh axis, or a size does not divide.
    """
    specs = nn.get_partition_spec(boxed_params)
    shapes = nn.unbox(boxed_params)
    named = jax.tree_util.tree_map_with_path(
        lambda path, spec, leaf: _placed(
            jax.tree_util.keystr(path, simple=True, separator="/"), spec, leaf.shape, mesh
        ),
        specs,
        shapes,
        is_leaf=lambda x: isinstance(x, PartitionSpec),
    )
    return named


def _placed(name: str, logical: PartitionSpec, shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    rules, axes, used = dict(RULES), [], set()
    for axis, size in zip(logical, shape, strict=False):
        if axis is not None and axis not in rules:
            raise InputError(
                f"parameter {name} has the logical axis {axis!r}, for which partitioning.RULES has no row"
            )
        target = rules[axis] if axis is not None else None
        parts = (target,) if isinstance(target, str) else target or ()
        ways = math.prod(mesh.shape[part] for part in parts)
        if used & set(parts):
            if ways > 1:
                raise InputError(
                    f"two axes of parameter {name} {tuple(logical)} land on the mesh axis {target!r}"
                )
            target = None  # a mesh axis of one device splits nothing; naming it twice is an error all the same
        if size % ways:
            raise InputError(
                f"axis {axis!r} of parameter {name} has {size} elements, which MESH splits {ways} ways. Change MESH"
            )
        if axis == "embed" and size % mesh.shape["tensor"]:
            raise InputError(
                f"axis {axis!r} of parameter {name} has {size} elements, and MESH splits activations of that size "
                f"{mesh.shape['tensor']} ways over tensor. Change MESH"
            )
        used |= set(parts)
        axes.append(target)
    return NamedSharding(mesh, PartitionSpec(*axes))


def optimizer_shardings(state: Any, params: Any, shardings: Any, mesh: Mesh) -> Any:
    """Shardings for an optimizer state: of its parameter where a leaf has its path and shape, else replicated."""
    of_params = {
        tuple(path): (leaf.shape, sharding)
        for (path, leaf), sharding in zip(
            jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(shardings), strict=True
        )
    }

    def place(path, leaf):
        for start in range(len(path)):
            shape, sharding = of_params.get(tuple(path[start:]), (None, None))
            if shape == leaf.shape:
                return sharding
        return replicated(mesh)

    return jax.tree_util.tree_map_with_path(place, state)
