"""Where arrays live: one table from logical axes to mesh axes, and the shardings that follow."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np
from flax.linen.spmd import with_logical_constraint as constrain
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flan_jax import pytrees
from flan_jax.errors import InputError, look_up
from flan_jax.pytrees import Params, Tree

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
"""Logical axis -> mesh axes. Rows are split over data and fsdp together; fsdp also splits the
parameters.

Between layers an activation (batch, length, activation_embed) is split over tensor too, although
no matmul splits it there: it is gathered where a matmul needs all of it, and the next matmul
scatters what it would otherwise have reduced to every device. (Korthikanti et al. 2022, "Reducing
Activation Recomputation in Large Transformer Models", section 4.2.2; they split the length.)
"""

HEAD = ("embed", "vocab")
"""The logical axes of the kernel from hidden states to logits."""


@contextlib.contextmanager
def use_mesh(mesh: Mesh) -> Iterator[None]:
    """Activates the mesh and the logical axis rules."""
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        yield


def gather_fsdp(kernel: jax.Array, axes: Sequence[str | None]) -> jax.Array:
    """Returns a kernel as a product uses it: gathered over fsdp, still split over tensor.

    XLA must not be left to choose between moving the kernel and moving the activations: where these
    are few, data, fsdp and tensor all have more than one device, and the output is split over
    tensor, it moves the activations and computes a wrong sum (jaxlib 0.10.2).

    Args:
      kernel: the weights.
      axes: the kernel's logical axes; "embed" is the one that fsdp splits.
    """
    gathered_axes = tuple(None if axis == "embed" else axis for axis in axes)
    return constrain(kernel, gathered_axes)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of batches: rows split over data and fsdp."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def host_row_slice(mesh: Mesh, rows: int) -> slice:
    """Returns the rows of a global batch that this process must load.

    Args:
      mesh: the device mesh; rows are split over its data and fsdp axes.
      rows: rows of the global batch.

    Returns:
      The smallest slice that covers all rows on this process's devices.
    """
    sharding = batch_sharding(mesh)
    indices = sharding.addressable_devices_indices_map((rows,))
    starts = []
    stops = []
    for index in indices.values():
        start, stop = _row_range(index, rows)
        starts.append(start)
        stops.append(stop)
    return slice(min(starts), max(stops))


def _row_range(index: tuple[slice, ...] | None, rows: int) -> tuple[int, int]:
    """Returns the first row of a device's index into a batch, and the row after the last one."""
    assert index is not None
    start, stop, _ = index[0].indices(rows)
    return start, stop


def global_batch(
    batch: Mapping[str, np.ndarray], mesh: Mesh, rows: int, first: int = 0
) -> dict[str, jax.Array]:
    """Places a batch on the mesh, split by rows.

    Args:
      batch: this process's rows of each array: at least its `host_row_slice`.
      mesh: the device mesh.
      rows: rows of the global batch.
      first: the row of the global batch that this process's rows start at.

    Returns:
      The global batch.
    """
    sharding = batch_sharding(mesh)

    def place(local_rows: np.ndarray) -> jax.Array:
        def shard(index: tuple[slice, ...] | None) -> np.ndarray:
            start, stop = _row_range(index, rows)
            return local_rows[start - first : stop - first]

        shape = (rows, *local_rows.shape[1:])
        return jax.make_array_from_callback(shape, sharding, shard)

    return {name: place(array) for name, array in batch.items()}


def param_shardings(boxed_params: Params, mesh: Mesh) -> Tree:
    """Returns the sharding of each parameter.

    Args:
      boxed_params: parameters or their shapes, boxed with their logical axis names.
      mesh: the device mesh.

    Raises:
      InputError: a logical axis is unknown, two axes of one parameter are split over the same mesh
        axis, or a size does not divide over its mesh axes.
    """
    params = nn.unbox(boxed_params)
    logical_axes = pytrees.named_leaves(nn.get_partition_spec(boxed_params))

    def sharding(name: str, leaf: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
        return _param_sharding(name, logical_axes[name], leaf.shape, mesh)

    return pytrees.map_named(sharding, params)


def _param_sharding(
    name: str, logical_axes: PartitionSpec, shape: tuple[int, ...], mesh: Mesh
) -> NamedSharding:
    rules = dict(RULES)
    spec = []
    used: set[str] = set()
    for axis, size in zip(logical_axes, shape, strict=False):
        target = None
        if axis is not None:
            target = look_up(rules, f"logical axis of parameter {name}", axis)
        if target is None:
            mesh_axes = ()
        elif isinstance(target, str):
            mesh_axes = (target,)
        else:
            mesh_axes = target
        devices = math.prod(mesh.shape[mesh_axis] for mesh_axis in mesh_axes)

        if used & set(mesh_axes):
            if devices > 1:
                raise InputError(
                    f"two axes of parameter {name} {tuple(logical_axes)} are split over the mesh "
                    f"axis {target!r}; give one of them another logical axis"
                )
            # A mesh axis of one device splits nothing; naming it twice would be an error still.
            target = None
        if size % devices:
            raise InputError(
                f"axis {axis!r} of parameter {name} has {size} elements, which do not divide over "
                f"{' x '.join(mesh_axes)} = {devices} devices; write a MESH that divides them"
            )
        if axis == "embed" and size % mesh.shape["tensor"]:
            raise InputError(
                f"axis {axis!r} of parameter {name} has {size} elements, and activations of that "
                f"size do not divide over tensor = {mesh.shape['tensor']} devices; write a MESH "
                "that divides them"
            )
        used |= set(mesh_axes)
        spec.append(target)
    return NamedSharding(mesh, PartitionSpec(*spec))


def optimizer_shardings(
    opt_state: Tree, params: Params, shardings: Tree, mesh: Mesh
) -> Tree:
    """Returns the shardings of an optimizer state.

    Args:
      opt_state: the state or its shapes. Its moments lie under their parameters' paths.
      params: the parameters or their shapes.
      shardings: the parameters' shardings.
      mesh: the device mesh.

    Returns:
      For each leaf the sharding of its parameter where path and shape agree with one, else
      replicated.
    """
    named_params = pytrees.named_leaves(params)
    named_shardings = pytrees.named_leaves(shardings)

    def sharding(name: str, leaf: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
        # The longest suffix of the path that is a parameter's path counts.
        keys = name.split("/")
        for start in range(len(keys)):
            suffix = "/".join(keys[start:])
            if suffix in named_params and named_params[suffix].shape == leaf.shape:
                return named_shardings[suffix]
        return replicated(mesh)

    return pytrees.map_named(sharding, opt_state)
