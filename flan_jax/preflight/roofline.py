"""The least time of a step on a chip, and what an hour of it costs."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from flan_jax.errors import InputError
from flan_jax.hardware import Chip, Number

PRICES = Path(__file__).with_name("prices.csv")


class Price(NamedTuple):
    """usd: of one chip for one hour. date, region: what the row of prices.csv says."""

    usd: float
    date: str
    region: str


class Roofline(NamedTuple):
    """Seconds that a step takes at least, by what it waits for: matrix units, memory, links within a slice, and the network
    between slices (Williams et al. 2009)."""

    compute: float
    memory: float
    links: float
    network: float = 0.0

    @property
    def overlapped(self) -> float:
        """If all of them run at the same time."""
        return max(self)

    @property
    def apart(self) -> float:
        """If none runs beside another."""
        return sum(self)


def roofline(
    chip: Chip, *, flops: Number, traffic: Number, sent: Number, closed: bool, between: Number = 0
) -> Roofline:
    """Of one device's work: FLOPs, bytes to and from its memory, bytes that it sends, and sends between slices.

    closed: a collective's ring closes. A network whose speed is not known takes no time.
    """
    links = 2 if closed else 1
    parts = (
        flops / chip.flops,
        traffic / chip.hbm,
        sent / (chip.link * links),
        between / (chip.network or math.inf),
    )
    return Roofline(*(chip.devices * part for part in parts))


def read_prices(path: Path = PRICES) -> Mapping[str, Price]:
    """The price table by chip. Raises InputError for a row that is not `chip,usd_per_chip_hour,date,region`."""
    lines = [
        line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")
    ]
    prices = {}
    for row in csv.DictReader(lines):
        try:
            usd = float(row["usd_per_chip_hour"])
            if not usd >= 0 or math.isinf(usd):
                raise ValueError
            prices[row["chip"]] = Price(usd, row["date"], row["region"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{path} has the row {row}; write chip,usd_per_chip_hour,date,region, as in v4,3.22,2025-01,us"
            ) from None
    return prices
