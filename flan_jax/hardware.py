"""What accelerators can do at best: peak rates, memory, links."""

import dataclasses
import os
from collections.abc import Sequence
from typing import TypeAlias

import jax

MIB, GIB = 2**20, 2**30
Number = int | float
Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """Peak rates of one chip.

    Attributes:
      kind: the beginning of its jax.Device.device_kind.
      flops: bf16 FLOP/s.
      hbm: bytes/s between the chip and its memory.
      link: bytes/s out of the chip over one link, in one direction.
      devices: the number of JAX devices of one chip.
      wrap: a dimension of a slice closes to a ring if its length is a multiple of this; two links
        then carry a collective. None where one link stands for all.
      memory: bytes that the compiler leaves to a program on one device; None to ask the device.
      network: bytes/s out of the chip to other slices, over the data center network.
    """

    kind: str
    flops: float
    hbm: float
    link: float
    devices: int = 1
    wrap: int | None = None
    memory: float | None = None
    network: float | None = None


CHIPS: dict[str, Chip] = {
    "v3": Chip(
        kind="TPU v3",
        flops=123e12,
        hbm=900e9,
        link=70e9,
        devices=2,
        wrap=32,
        memory=15.48 * GIB,
    ),
    "v4": Chip(
        kind="TPU v4", flops=275e12, hbm=1200e9, link=50e9, wrap=4, memory=30.75 * GIB
    ),
    "v5e": Chip(
        kind="TPU v5 lite",
        flops=197e12,
        hbm=819e9,
        link=50e9,
        wrap=16,
        memory=15.75 * GIB,
        network=3.125e9,
    ),
    "v5p": Chip(
        kind="TPU v5",
        flops=459e12,
        hbm=2765e9,
        link=100e9,
        wrap=4,
        memory=95.74 * GIB,
        network=6.25e9,
    ),
    "v6e": Chip(
        kind="TPU v6 lite",
        flops=918e12,
        hbm=1638e9,
        link=100e9,
        wrap=16,
        memory=31.25 * GIB,
        network=12.5e9,
    ),
    "tpu7x": Chip(
        kind="TPU7x",
        flops=2307e12,
        hbm=7380e9,
        link=100e9,
        devices=2,
        wrap=4,
        memory=94.75 * GIB,
    ),
    "a100": Chip(kind="NVIDIA A100", flops=312e12, hbm=2039e9, link=300e9),
    "h100": Chip(kind="NVIDIA H100", flops=989e12, hbm=3350e9, link=450e9),
    "h200": Chip(kind="NVIDIA H200", flops=989e12, hbm=4800e9, link=450e9),
}
"""Sources. TPUs: docs.cloud.google.com/tpu/docs/{v3,v4,v5e,v5p,v6e,tpu7x} ("Peak compute per chip
(bf16)", HBM bandwidth, bidirectional ICI bandwidth per chip / ports / 2, data center network
bandwidth per chip, or per pod / 256); links of v3 and v4: Jouppi et al. 2023 (arXiv 2304.01433),
table 4; memory: "available HBM" in the error of libtpu 0.0.42's compiler. GPUs: NVIDIA's data
sheets of the SXM forms (dense bf16; NVLink in one direction; A100 of 80 GB); their memory is asked
of the device.

From memory, not looked up: the memory rate and links of tpu7x, the links of v3 and v4, all rows of
GPUs. Check them before you rely on an estimate.
"""


def is_torus(chip: Chip, dimensions: Sequence[int]) -> bool:
    """Returns whether a slice closes to a ring in every dimension longer than 1.

    Args:
      chip: the slice's chip.
      dimensions: chips along each dimension of the slice.
    """
    wrap = chip.wrap
    return wrap is not None and all(size % wrap == 0 for size in dimensions if size > 1)


def chip_of(kind: str) -> str | None:
    """Returns the name in CHIPS of a jax.Device.device_kind; None for other devices (a CPU)."""
    # The longest that fits: "TPU v5 lite" begins with "TPU v5".
    fitting = [name for name, chip in CHIPS.items() if kind.startswith(chip.kind)]
    return max(fitting, key=lambda name: len(CHIPS[name].kind), default=None)


def memory_of(devices: Sequence[Device]) -> Number | None:
    """Returns the bytes that each of these devices has for a program.

    Args:
      devices: devices of one kind, some of them on this host. CPU devices share the memory of
        their host.

    Returns:
      The bytes in CHIPS, or else what a device of this host says; None if it does not say.
    """
    name = chip_of(devices[0].device_kind)
    if name is not None and CHIPS[name].memory:
        return CHIPS[name].memory

    local = [
        device
        for device in devices
        if device.process_index == device.client.process_index()
    ]
    if devices[0].platform == "cpu":
        host_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return host_memory / len(local)
    stats = local[0].memory_stats() or {}
    return stats.get("bytes_limit")


def run_cpu_programs_in_caller() -> None:
    """Makes JAX run programs for the CPU in the thread that calls them.

    To be called before the first computation. glibc keeps freed memory for new arrays only in the
    main thread; in JAX's own threads every large array is mapped anew, page by page.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
