"""TPU slices by name, what is refused, and meshes of their devices."""

import pytest
from preflight_jobs import make_target, v4_slice

from flan_jax.errors import InputError
from flan_jax.preflight import target
from flan_jax.preflight.target import mesh_on, tpu_slice


def test_without_libtpu_it_says_what_to_install(monkeypatch):
    monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(target.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError,
        match=r"takes libtpu, which is not installed.*pip install -e '.\[preflight\]'",
    ):
        tpu_slice("v4:2x2x1")


@pytest.mark.parametrize(
    "topology, message",
    [
        ("v44:2x2x1", "unknown TPU version 'v44'. Did you mean 'v4'"),
        ("h100:8", "unknown TPU version 'h100'"),
        ("v4", "--topology=v4 has no dimensions in chips; write e.g. v4:2x2x1"),
        ("v4:8", "has no dimensions in chips"),
        ("v4:two", "has no dimensions in chips"),
    ],
)
def test_a_wrong_topology_is_refused(topology, message):
    with pytest.raises(InputError, match=message):
        tpu_slice(topology)


@pytest.mark.parametrize(
    "mesh, message",
    [
        (
            {"fsdp": 3},
            (
                "the axis 'fsdp' 3 devices, which does not divide eight: it has 8 devices. Write a "
                "divisor of 8"
            ),
        ),
        (
            {"data": 4, "tensor": 4},
            "the axis 'tensor' 4 devices, .* of which 2 are left for it. Write a divisor of 2",
        ),
        ({"data": 4}, "does not multiply to the 8"),
        ({"model": 8}, "MESH names the axis model"),
    ],
)
def test_a_mesh_that_does_not_fit_the_slice_says_which_axis(mesh, message):
    with pytest.raises(InputError, match=message):
        mesh_on(mesh, make_target())


def test_a_slice_that_there_is_not():
    v4_slice()
    with pytest.raises(
        InputError,
        match=r"there is no slice v4:3x3x3.*Usual ones of v4, in chips: 2x2x1, 2x2x2, .*4x4x8",
    ):
        tpu_slice("v4:3x3x3")
