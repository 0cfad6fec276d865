"""The devices that a run is compiled for: a TPU slice that is not here, or the devices here."""

import importlib.util
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from flan_jax.errors import InputError, plural, unknown_name
from flan_jax.hardware import CHIPS, Number, chip_of, is_torus, memory_of
from flan_jax.parallel.mesh import make_mesh

MESHES = Path(__file__).resolve().parents[2] / "gin" / "mesh"
"""A gin file for each of the usual slices, named like v4_2x2x1.gin."""


class Target(NamedTuple):
    """The devices to compile for.

    Attributes:
      name: what the report calls them.
      devices: all devices; those of a TPU slice only describe what they are.
      chip: the chip's name in CHIPS; None if it is not there.
      memory: bytes that a device has for a program.
      dimensions: of a slice, in chips; empty for the devices here.
      slices: how many slices of these dimensions there are.
    """

    name: str
    devices: Sequence[Any]
    chip: str | None
    memory: Number
    dimensions: tuple[int, ...] = ()
    slices: int = 1

    @property
    def chips(self) -> int:
        """The number of chips; on some, JAX sees two devices."""
        devices_per_chip = CHIPS[self.chip].devices if self.chip else 1
        return len(self.devices) // devices_per_chip

    @property
    def is_torus(self) -> bool:
        """Whether the slice is a torus, whose rings close in every dimension."""
        return self.chip is not None and is_torus(CHIPS[self.chip], self.dimensions)


def tpu_slice(topology: str) -> Target:
    """Returns a TPU slice. No TPU is needed, but libtpu, whose compiler it is.

    >>> tpu_slice("2xv4:4x4x8").chips
    256

    Args:
      topology: the chip's version and the slice's dimensions in chips, "v4:4x4x8"; "2xv4:4x4x8" is
        two such slices.

    Raises:
      InputError: there is no such version or slice, or libtpu is not installed.
    """
    slices = 1
    one_slice = topology
    several = re.match(r"([1-9]\d*)x(?=[a-z])", topology)
    if several is not None:
        slices = int(several.group(1))
        one_slice = topology[several.end() :]

    version, _, form = one_slice.partition(":")
    tpus = [name for name, chip in CHIPS.items() if chip.kind.startswith("TPU")]
    if version not in tpus:
        raise unknown_name("TPU version", version, tpus)
    if not re.fullmatch(r"\d+(x\d+){1,2}", form):
        raise InputError(
            f"--topology={topology} has no dimensions in chips; write e.g. v4:2x2x1 or v5e:4x4, or "
            "2xv4:4x4x8 for two slices"
        )
    if importlib.util.find_spec("libtpu") is None and not os.environ.get(
        "TPU_LIBRARY_PATH"
    ):
        raise InputError(
            "compiling for TPUs takes libtpu, which is not installed (no TPU is needed). Write: "
            "pip install -e '.[preflight]'"
        )

    dimensions = tuple(int(size) for size in form.split("x"))
    devices = _describe_devices(version, one_slice, dimensions, slices)
    memory = CHIPS[version].memory
    assert memory is not None
    return Target(topology, devices, version, memory, dimensions, slices)


def devices_here() -> Target:
    """Returns the devices of this machine.

    Raises:
      InputError: it is not known how much memory they have.
    """
    devices = jax.devices()
    kind = devices[0].device_kind
    memory = memory_of(devices)
    if memory is None:
        raise InputError(
            f"how much memory a {kind} has for programs is not known. Name a TPU slice: "
            "--topology=v5e:4x4"
        )
    return Target(f"{len(devices)} x {kind}, here", devices, chip_of(kind), memory)


def mesh_on(shape: Mapping[str, int] | None, target: Target) -> Mesh:
    """Returns a mesh of the target's devices.

    Args:
      shape: the size of each mesh axis, as in TrainConfig.mesh.
      target: the devices.

    Raises:
      InputError: the axes do not fit the devices; the message names the target.
    """
    description = f"{target.name}: it has {plural(len(target.devices), 'device')}"
    return make_mesh(shape, target.devices, description)


def _describe_devices(
    version: str, one_slice: str, dimensions: tuple[int, ...], slices: int
) -> Sequence[Any]:
    """Returns libtpu's descriptions of the devices of some slices."""
    # Without these libtpu asks the metadata server of a cloud machine, and waits.
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", f"{version}-8")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    # libtpu locks a TPU for one process; here is none to lock.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    jax.config.update("jax_platforms", "cpu")

    options: dict[str, Any] = {}
    if math.prod(dimensions) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    if version == "v4":
        # One device a chip, as on Cloud TPUs.
        options["chip_config_name"] = "megacore"
    if slices > 1:
        options["num_slices"] = slices
    try:
        topology = topologies.get_topology_desc(
            topology_name=one_slice, platform="tpu", **options
        )
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"there is no slice {one_slice}: {reason}. Usual ones of {version}, in chips: "
            f"{_usual_slices(version)}"
        ) from None
    return topology.devices


def _usual_slices(version: str) -> str:
    """Returns the dimensions of the slices in gin/mesh, the smallest first."""
    dimensions = {
        file.stem.partition("_")[2] for file in MESHES.glob(f"{version}_*.gin")
    }

    def order(name: str) -> tuple[int, str]:
        chips = math.prod(int(size) for size in name.split("x"))
        return chips, name

    return ", ".join(sorted(dimensions, key=order)) or "none known"
