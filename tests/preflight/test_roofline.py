"""Known answers of the roofline model, and the table of prices."""

import functools

import pytest
from preflight_jobs import MODEL, make_job, make_target

from flan_jax.errors import InputError
from flan_jax.hardware import CHIPS
from flan_jax.preflight.compile import Compiled
from flan_jax.preflight.hlo import Collectives
from flan_jax.preflight.roofline import estimate, read_prices, roofline
from flan_jax.preflight.search import with_remat


def test_roofline_of_one_second_each():
    one = functools.partial(roofline, flops=275e12, memory_bytes=1200e9, ici_bytes=50e9)
    assert one(CHIPS["v4"], is_torus=False) == (1.0, 1.0, 1.0, 0.0)
    seconds = one(CHIPS["v4"], is_torus=True)
    assert (seconds, seconds.overlapped_seconds, seconds.serial_seconds) == (
        (1.0, 1.0, 0.5, 0.0),
        1.0,
        2.5,
    )
    # Two devices share a chip, and so its peaks.
    two = roofline(CHIPS["tpu7x"], flops=2307e12, memory_bytes=0.0, ici_bytes=200e9, is_torus=False)
    assert two == (2.0, 0.0, 4.0, 0.0)
    # Between slices, over the network.
    slow = roofline(
        CHIPS["v5p"], flops=459e12, memory_bytes=0.0, ici_bytes=0.0, is_torus=True, dcn_bytes=12.5e9
    )
    assert (slow, slow.overlapped_seconds) == ((1.0, 0.0, 0.0, 2.0), 2.0)


def test_estimate_counts_the_models_flops():
    """100 devices' worth of nothing but compute; remat 'full' does the forward pass again."""
    found = Collectives([], 0)
    seconds = {}
    for policy in ("none", "full"):
        one = with_remat(make_job(), policy)
        compiled = Compiled(one, {"data": 8, "fsdp": 1, "tensor": 1}, 1000, 0, 100, found, 1.0)
        seconds[policy] = estimate(compiled, make_target(chip="v4"))
    assert seconds["none"].compute == pytest.approx(
        MODEL.train_flops(16, make_job().lengths) / 8 / 275e12
    )
    assert seconds["full"].compute == pytest.approx(4 / 3 * seconds["none"].compute)
    assert seconds["none"].ici == 0.0
    assert seconds["full"].memory > seconds["none"].memory > 2 * 1100 / 1200e9


def test_every_tpu_has_a_price():
    prices = read_prices()
    assert set(prices) == {name for name, chip in CHIPS.items() if chip.kind.startswith("TPU")}
    assert all(price.usd > 0 and price.date for price in prices.values())


@pytest.mark.parametrize("row", ["v4,cheap,2025-01,us", "v4,-1,2025-01,us", "v4"])
def test_a_wrong_price_is_named(row, tmp_path):
    (tmp_path / "prices.csv").write_text(f"# edited\nchip,usd_per_chip_hour,date,region\n{row}\n")
    with pytest.raises(
        InputError, match="prices.csv has the row.*'v4'.*write chip,usd_per_chip_hour,date,region"
    ):
        read_prices(tmp_path / "prices.csv")
