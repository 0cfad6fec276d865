import os
from unittest import mock

import jax
import pytest

from flan_jax.hardware import CHIPS, GIB, chip_of, is_torus, memory_of


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("TPU v4", "v4"),
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v5p", "v5p"),
        ("TPU v6 lite", "v6e"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA H200", "h200"),
        ("cpu", None),
    ],
)
def test_the_chip_of_a_device_kind(kind, name):
    assert chip_of(kind) == name


@pytest.mark.parametrize(
    ("chip", "dimensions", "torus"),
    [
        ("v4", (4, 4, 4), True),
        ("v4", (4, 4, 1), True),
        ("v4", (2, 2, 1), False),
        ("v5e", (16, 16), True),
        ("v5e", (8, 16), False),
        ("h100", (8,), False),
    ],
)
def test_a_slice_is_a_torus_if_all_its_dimensions_close(chip, dimensions, torus):
    assert is_torus(CHIPS[chip], dimensions) == torus


def device(kind, process=0, platform="gpu", stats=None):
    fake = mock.Mock(
        spec=jax.Device, device_kind=kind, platform=platform, process_index=process
    )
    fake.client.process_index.return_value = 0
    fake.memory_stats.return_value = stats
    return fake


def test_memory_of_a_tpu_is_in_the_table():
    assert memory_of([device("TPU v4")]) == 30.75 * GIB


def test_memory_of_a_gpu_is_asked_of_a_device_of_this_host():
    remote = device("NVIDIA H100", process=1, stats={"bytes_limit": 1})
    assert memory_of([remote, device("NVIDIA H100", stats={"bytes_limit": 77})]) == 77
    assert memory_of([device("NVIDIA H100")]) is None


def test_cpu_devices_share_the_memory_of_their_host():
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    remote = device("cpu", process=1, platform="cpu")
    local = [device("cpu", platform="cpu") for _ in range(4)]
    assert memory_of([remote, *local]) == host / 4
