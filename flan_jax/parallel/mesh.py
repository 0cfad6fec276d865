"""The device mesh: axes data, fsdp and tensor, over one or several TPU slices."""

import math
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh

from flan_jax.errors import InputError, is_whole, plural
from flan_jax.hardware import Device

MESH_AXES = ("data", "fsdp", "tensor")

SLICES = "slices"
"""The key of MESH for the number of TPU slices."""


def make_mesh(
    shape: Mapping[str, int] | None = None,
    devices: Sequence[Device] | None = None,
    where: str | None = None,
) -> Mesh:
    """Makes a mesh of devices.

    On TPUs, devices are ordered by the network between them: neighbours along tensor first, then
    along fsdp. {"slices": 2, ...} is for two TPU slices: the other sizes are those of one slice,
    and the mesh has twice its data axis, so that only the sum of gradients crosses the network
    between slices.

    Args:
      shape: sizes by axis; an axis that is not named has size 1, one may be -1 for the rest. None
        for {"data": -1}.
      devices: the devices; None for all.
      where: a description of the devices, for the message.

    Returns:
      A mesh with the axes MESH_AXES.

    Raises:
      InputError: the sizes do not multiply to the number of devices.
    """
    if devices is None:
        devices = jax.devices()
    given = {"data": -1} if shape is None else dict(shape)
    slices = given.pop(SLICES, 1)
    _check_slices(slices, devices)
    platform = devices[0].platform
    sizes = mesh_sizes(given, len(devices) // slices, platform, where)
    ordered_sizes = [sizes[axis] for axis in MESH_AXES]

    if slices > 1:
        device_array = mesh_utils.create_hybrid_device_mesh(
            ordered_sizes, [slices, 1, 1], devices, allow_split_physical_axes=True
        )
    elif platform == "tpu":
        device_array = mesh_utils.create_device_mesh(
            ordered_sizes, devices, allow_split_physical_axes=True
        )
    else:
        device_array = np.array(devices).reshape(ordered_sizes)
    return Mesh(device_array, MESH_AXES)


def _check_slices(slices: int, devices: Sequence[Device]) -> None:
    """Raises InputError unless the devices belong to this number of TPU slices."""
    platform = devices[0].platform
    actual = 1
    # A TPU slice alone may have no slice_index; GPUs have one too, which counts hosts.
    if platform == "tpu":
        actual = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == actual:
        return
    remedy = f"Leave {SLICES!r} out of MESH"
    if actual > 1:
        remedy = f"Write {SLICES!r}: {actual} in MESH"
    raise InputError(
        f"MESH is for {slices} slices, but the {len(devices)} {platform} devices are of {actual}. "
        f"{remedy}"
    )


def mesh_sizes(
    given: Mapping[str, int], count: int, platform: str, where: str | None = None
) -> dict[str, int]:
    """Returns the size of each mesh axis.

    >>> mesh_sizes({"data": -1, "tensor": 2}, 8, "cpu")
    {'data': 4, 'fsdp': 1, 'tensor': 2}

    Args:
      given: sizes by axis; an axis that is not named has size 1, one may be -1 for the rest.
      count: the number of devices.
      platform: their platform, for the message.
      where: another description of the devices, for the message.

    Raises:
      InputError: an axis is unknown, or the sizes do not multiply to the number of devices.
    """
    unknown = sorted(set(given) - set(MESH_AXES))
    if unknown:
        raise InputError(
            f"MESH names the axis {', '.join(unknown)}; the axes are {', '.join(MESH_AXES)}"
        )

    for axis, size in given.items():
        if not is_whole(size):
            raise InputError(
                f"MESH gives the axis {axis!r} {size!r} devices; write a whole number, or -1 for "
                "the rest"
            )
    here = plural(count, f"{platform} device")
    remaining = count
    for axis, size in given.items():
        if size < 1:
            continue
        if remaining % size:
            devices = where or f"the {here}"
            if remaining < count:
                devices += f", of which {remaining} are left for it"
            raise InputError(
                f"MESH gives the axis {axis!r} {plural(size, 'device')}, which does not divide "
                f"{devices}. Write a divisor of {remaining}, or -1 for the rest"
            )
        remaining //= size

    sizes = dict.fromkeys(MESH_AXES, 1) | dict(given)
    axes_for_rest = [axis for axis, size in sizes.items() if size == -1]
    if len(axes_for_rest) == 1:
        sizes[axes_for_rest[0]] = remaining
    if min(sizes.values()) < 1 or math.prod(sizes.values()) != count:
        raise InputError(
            f"MESH is {sizes}, which does not multiply to the {here}. Write "
            f"sizes of at least 1 whose product is {count}, or -1 for one of them"
        )
    return sizes


def check_batch(batch_size: int, microbatches: int, mesh: Mesh) -> None:
    """Checks that the rows of a microbatch divide over the mesh.

    Args:
      batch_size: rows of a batch.
      microbatches: the number of microbatches that a batch is divided into.
      mesh: the device mesh; rows are split over its data and fsdp axes.

    Raises:
      InputError: they do not divide.
    """
    devices = mesh.shape["data"] * mesh.shape["fsdp"]
    divisor = devices * microbatches
    if batch_size < 1 or batch_size % divisor:
        raise InputError(
            f"BATCH_SIZE {batch_size} does not divide over TrainConfig.microbatches = "
            f"{microbatches} and data x fsdp = {plural(devices, 'device')}; use a multiple of "
            f"{divisor}"
        )
