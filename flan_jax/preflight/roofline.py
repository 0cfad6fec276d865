"""A lower bound of the time of a step on a chip (roofline model), and the price of an hour."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from flan_jax.errors import InputError
from flan_jax.hardware import CHIPS, Chip, Number
from flan_jax.models.params import count_params
from flan_jax.preflight.compile import Compiled
from flan_jax.preflight.target import Target

PRICES = Path(__file__).with_name("prices.csv")


class Price(NamedTuple):
    """A row of prices.csv.

    Attributes:
      usd: dollars of one chip for one hour.
      date: when this was the list price.
      region: where it was.
    """

    usd: float
    date: str
    region: str


class Roofline(NamedTuple):
    """The least seconds that a step spends on each resource (Williams et al. 2009).

    Attributes:
      compute: matrix units.
      memory: the device's memory.
      ici: links between the chips of a slice.
      dcn: the network between slices.
    """

    compute: float
    memory: float
    ici: float
    dcn: float = 0.0

    @property
    def overlapped_seconds(self) -> float:
        """The time of a step if all resources work at the same time."""
        return max(self)

    @property
    def serial_seconds(self) -> float:
        """The time of a step if one resource works at a time."""
        return sum(self)


def estimate(compiled: Compiled, target: Target) -> Roofline | None:
    """Returns a lower bound of the time of a training step.

    FLOPs are the model's, and where remat is 'full' those of a second forward pass, a third of what
    training all parameters takes. What a registered remat policy recomputes is not counted.
    The memory traffic is a lower bound: the update reads and writes the state, temporaries are
    written and read once, and each microbatch reads the weights twice, and a third time under
    'full'.

    Args:
      compiled: a training step.
      target: the devices that it was compiled for.

    Returns:
      None if the chip is not in CHIPS, or the step does not fit.
    """
    if target.chip is None or compiled.collectives is None:
        return None

    job = compiled.job
    flops: Number = job.step_flops
    weight_reads = 2
    if job.model.remat == "full":
        flops += job.model.train_flops(job.batch_rows, job.lengths) / 3
        weight_reads = 3

    bytes_per_weight = 2 if job.model.dtype == "bfloat16" else 4
    weight_bytes = count_params(job.model) * bytes_per_weight / compiled.mesh["tensor"]
    memory_bytes = (
        2 * compiled.state_bytes
        + 2 * (compiled.temporary_bytes or 0)
        + job.training.microbatches * weight_reads * weight_bytes
    )
    return roofline(
        CHIPS[target.chip],
        flops=flops / len(target.devices),
        memory_bytes=memory_bytes,
        ici_bytes=compiled.collectives.ici_bytes,
        dcn_bytes=compiled.collectives.dcn_bytes,
        is_torus=target.is_torus,
    )


def roofline(
    chip: Chip,
    *,
    flops: Number,
    memory_bytes: Number,
    ici_bytes: Number,
    is_torus: bool,
    dcn_bytes: Number = 0,
) -> Roofline:
    """Returns the least time of one device's work.

    Args:
      chip: the device's chip, whose peaks its devices share.
      flops: FLOPs.
      memory_bytes: bytes to and from memory.
      ici_bytes: bytes sent within the slice.
      is_torus: whether rings close, so that two links carry a collective.
      dcn_bytes: bytes sent to other slices; they take no time if the network's rate is not known.
    """
    links = 2 if is_torus else 1
    network = chip.network or math.inf
    return Roofline(
        compute=chip.devices * (flops / chip.flops),
        memory=chip.devices * (memory_bytes / chip.hbm),
        ici=chip.devices * (ici_bytes / (chip.link * links)),
        dcn=chip.devices * (dcn_bytes / network),
    )


def read_prices(path: Path = PRICES) -> Mapping[str, Price]:
    """Returns the table of prices by chip.

    Args:
      path: a CSV file with the header chip,usd_per_chip_hour,date,region; lines that begin with #
        are comments.

    Raises:
      InputError: a row has another form.
    """
    lines = path.read_text().splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    prices = {}
    for row in csv.DictReader(lines):
        try:
            usd = float(row["usd_per_chip_hour"])
            if not usd >= 0 or math.isinf(usd):
                raise ValueError
            prices[row["chip"]] = Price(usd, row["date"], row["region"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{path} has the row {row}; write chip,usd_per_chip_hour,date,region, as in "
                "v4,3.22,2025-01,us"
            ) from None
    return prices
