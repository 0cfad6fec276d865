"""The device mesh: axes data, fsdp and tensor, over one or several TPU slices."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh

from flan_jax.errors import InputError

Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm]
"""A device of JAX, whose class is in a compiled module that the type checker does not see."""

MESH_AXES = ("data", "fsdp", "tensor")


SLICES = "slices"
"""What MESH calls the number of TPU slices."""


def make_mesh(
    shape: Mapping[str, int] | None = None,
    devices: Sequence[Device] | None = None,
    where: str | None = None,
) -> Mesh:
    """A mesh over all devices, or over those given. `shape` gives sizes by axis, 1 where it names none; one axis may be -1, "the rest".

    None is {"data": -1}. On TPUs the devices lie in the mesh as the wires between them ask for: tensor on neighbours first,
    then fsdp. {"slices": 2, ...} is for two TPU slices: the sizes are those of one slice, and the mesh has twice its data,
    so that only the gradients' sum goes over the network between slices. Raises InputError when the sizes do not multiply to
    the number of devices, naming the axis that does not divide; `where` are the devices, for that.
    """
    devices = jax.devices() if devices is None else devices
    given = dict(shape if shape is not None else {"data": -1})
    slices = _check_slices(given.pop(SLICES, 1), devices)
    sizes = mesh_sizes(given, len(devices) // slices, devices[0].platform, where)
    ordered = [sizes[axis] for axis in MESH_AXES]
    if slices > 1:
        placed = mesh_utils.create_hybrid_device_mesh(
            ordered, [slices, 1, 1], devices, allow_split_physical_axes=True
        )
    elif devices[0].platform == "tpu":
        placed = mesh_utils.create_device_mesh(ordered, devices, allow_split_physical_axes=True)
    else:
        placed = np.array(devices).reshape(ordered)
    return Mesh(placed, MESH_AXES)


def _check_slices(slices: int, devices: Sequence[Device]) -> int:
    """`slices`, if the devices are of so many."""
    # A TPU slice alone may have no slice_index; GPUs have one too, one a host.
    tpus = devices[0].platform == "tpu"
    there = len({getattr(device, "slice_index", 0) for device in devices}) if tpus else 1
    if slices != there:
        raise InputError(
            f"MESH is for {slices} slices; the {len(devices)} {devices[0].platform} devices here are of {there}. "
            + (
                f"Write {SLICES!r}: {there} in MESH"
                if there > 1
                else f"Leave {SLICES!r} out of MESH"
            )
        )
    return slices


def mesh_sizes(
    given: Mapping[str, int], count: int, platform: str, where: str | None = None
) -> dict[str, int]:
    """The size of each mesh axis on `count` devices, -1 worked out. Raises InputError where there is no such mesh."""
    wrong = sorted(set(given) - set(MESH_AXES))
    if wrong:
        raise InputError(
            f"MESH names the axis {', '.join(wrong)}; the axes are {', '.join(MESH_AXES)}"
        )
    sizes, left = {axis: 1 for axis in MESH_AXES} | dict(given), count
    for axis, size in given.items():
        if size > 0 and left % size:
            rest = f", of which {left} are left for it" if left < count else ""
            raise InputError(
                f"MESH gives the axis {axis!r} {size} devices, which does not divide {where or f'the {count} {platform} devices here'}{rest}. "
                f"Write a divisor of {left}, or -1 for the rest"
            )
        left //= size if size > 0 else 1
    rest = [axis for axis, size in sizes.items() if size == -1]
    if len(rest) == 1:
        sizes[rest[0]] = left
    if min(sizes.values()) < 1 or math.prod(sizes.values()) != count:
        raise InputError(
            f"MESH is {sizes}, which does not multiply to the {count} {platform} devices here"
        )
    return sizes


def check_batch(batch_size: int, microbatches: int, mesh: Mesh) -> None:
    """Raises InputError when the rows of a microbatch do not divide over the mesh."""
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    if batch_size < 1 or batch_size % (ways * microbatches):
        raise InputError(
            f"BATCH_SIZE {batch_size} does not divide into {microbatches} microbatches over data x fsdp = {ways} devices; "
            f"use a multiple of {ways * microbatches}"
        )
