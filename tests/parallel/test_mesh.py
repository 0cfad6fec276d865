import math

import jax
import numpy as np
import pytest
from jax.experimental import topologies

from flan_jax.cli import gin_settings
from flan_jax.errors import InputError
from flan_jax.hardware import CHIPS
from flan_jax.parallel.mesh import MESH_AXES, check_batch, make_mesh, mesh_sizes
from flan_jax.preflight.target import tpu_slice


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (None, (8, 1, 1)),
        ({"data": -1}, (8, 1, 1)),
        ({"fsdp": 4, "tensor": 2}, (1, 4, 2)),
        ({"data": 2, "fsdp": -1}, (2, 4, 1)),
        ({"tensor": 8, "data": -1}, (1, 1, 8)),
    ],
)
def test_a_mesh_has_every_axis_and_every_device(shape, expected):
    mesh = make_mesh(shape)
    assert dict(mesh.shape) == dict(zip(MESH_AXES, expected, strict=True))
    assert mesh.devices.size == len(jax.devices())


def test_the_mesh_is_over_the_devices_in_order():
    assert list(make_mesh({"data": 2, "fsdp": 4}).devices.ravel()) == jax.devices()


NO_PRODUCT = "which does not multiply to the 8 cpu devices. Write sizes of at least 1"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"model": 8}, "MESH names the axis model; the axes are data, fsdp, tensor"),
        (
            {"data": 3},
            (
                "the axis 'data' 3 devices, which does not divide the 8 cpu devices. "
                "Write a divisor of 8, or -1"
            ),
        ),
        ({"data": 16}, "the axis 'data' 16 devices, which does not divide the 8"),
        (
            {"data": -1, "tensor": 3},
            "the axis 'tensor' 3 devices, which does not divide the 8",
        ),
        (
            {"fsdp": 4, "tensor": 4},
            "the axis 'tensor' 4 devices, .* 8 cpu devices, of which 2 are left for it",
        ),
        ({"data": 4}, "'data': 4, 'fsdp': 1, 'tensor': 1}, " + NO_PRODUCT),
        ({}, NO_PRODUCT),
        ({"data": -1, "tensor": -1}, NO_PRODUCT),
        ({"data": 0}, NO_PRODUCT),
        ({"data": -1, "tensor": 0}, NO_PRODUCT),
        ({"data": -2, "tensor": -4}, NO_PRODUCT),
        ({"data": -8, "tensor": -1}, NO_PRODUCT),
        (
            {"slices": 2, "data": -1},
            "MESH is for 2 slices, but the 8 cpu devices are of 1. Leave 'slices' out of MESH",
        ),
    ],
)
def test_a_mesh_that_cannot_be_is_an_error(shape, message):
    with pytest.raises(InputError, match=message):
        make_mesh(shape)


def test_every_microbatch_divides_over_the_mesh():
    mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    check_batch(8, 2, mesh)
    check_batch(12, 1, mesh)
    message = (
        "BATCH_SIZE 12 does not divide over TrainConfig.microbatches = 2 and data x fsdp = 4 devices; "
        "use a multiple of 8"
    )
    with pytest.raises(InputError, match=message):
        check_batch(12, 2, mesh)


MESH_FILES = sorted((gin_settings.GIN_FOLDER / "mesh").glob("*.gin"))
TPU_MESH_FILES = [file for file in MESH_FILES if file.stem.startswith("v")]


def mesh_of(file):
    """Returns the MESH that a gin file sets."""
    settings = gin_settings.load_settings(["flan_mixture.gin", str(file)], [])
    return settings.training.mesh


@pytest.mark.parametrize("file", MESH_FILES, ids=lambda file: file.stem)
def test_a_mesh_file_fits_the_devices_that_it_is_named_after(file):
    kind, _, form = file.stem.partition("_")
    chips = math.prod(int(size) for size in form.split("x"))
    devices_of_chip = CHIPS[kind].devices if kind in CHIPS else 1
    count = chips * devices_of_chip
    assert math.prod(mesh_sizes(mesh_of(file), count, "tpu").values()) == count
    message = "MESH gives the axis 'fsdp' .*, which does not divide the 3 tpu devices"
    with pytest.raises(InputError, match=message):
        mesh_sizes(mesh_of(file), 3, "tpu")


@pytest.fixture(scope="module")
def slice_devices():
    """slice_devices(topology): the devices of a TPU slice."""
    pytest.importorskip(
        "libtpu",
        reason="libtpu knows TPU slices without one: pip install -e '.[preflight]'",
    )
    return lambda topology: tpu_slice(topology).devices


@pytest.mark.parametrize("file", TPU_MESH_FILES, ids=lambda file: file.stem)
def test_a_mesh_files_tensor_axis_lies_on_neighbouring_chips(slice_devices, file):
    mesh = make_mesh(mesh_of(file), slice_devices(file.stem.replace("_", ":")))
    assert len({*mesh.devices.flat}) == mesh.devices.size
    for line in mesh.devices.reshape(-1, mesh.shape["tensor"]):
        coordinates = np.array([device.coords for device in line])
        steps = np.abs(np.diff(coordinates, axis=0)).sum(axis=1)
        assert steps.max(initial=0) <= 1


def test_slices_split_the_data_axis(slice_devices):
    slice_devices("v4:2x2x2")  # tells libtpu what it must know
    description = topologies.get_topology_desc(
        topology_name="v4:2x2x2",
        platform="tpu",
        chip_config_name="megacore",
        num_slices=2,
    )
    devices = description.devices
    mesh = make_mesh({"slices": 2, "data": -1, "fsdp": 2, "tensor": 2}, devices)
    assert dict(mesh.shape) == {"data": 4, "fsdp": 2, "tensor": 2}
    for slice_index, half in enumerate(np.split(mesh.devices, 2)):
        assert {device.slice_index for device in half.flat} == {slice_index}

    message = "MESH is for 1 slices, but the 16 tpu devices are of 2. Write 'slices': 2"
    with pytest.raises(InputError, match=message):
        make_mesh({"data": -1}, devices)
    message = "the axis 'tensor' 16 devices, which does not divide the 8 tpu devices"
    with pytest.raises(InputError, match=message):
        make_mesh({"slices": 2, "tensor": 16}, devices)
