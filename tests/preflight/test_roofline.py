"""Known answers of the roofline model, and the table of prices."""

import dataclasses

import pytest
from preflight_jobs import MODEL, make_job, make_target

from flan_jax.errors import InputError
from flan_jax.hardware import CHIPS
from flan_jax.preflight.compile import Compiled
from flan_jax.preflight.hlo import Collectives
from flan_jax.preflight.roofline import estimate, read_prices, roofline
from flan_jax.preflight.search import with_remat


def test_roofline_of_one_second_each():
    work = {"flops": 275e12, "memory_bytes": 1200e9, "ici_bytes": 50e9}
    assert roofline(CHIPS["v4"], **work, is_torus=False) == (1.0, 1.0, 1.0, 0.0)
    seconds = roofline(CHIPS["v4"], **work, is_torus=True)
    assert seconds == (1.0, 1.0, 0.5, 0.0)
    assert seconds.overlapped_seconds == 1.0
    assert seconds.serial_seconds == 2.5


def test_devices_of_one_chip_share_its_peaks():
    seconds = roofline(
        CHIPS["tpu7x"], flops=2307e12, memory_bytes=0.0, ici_bytes=200e9, is_torus=False
    )
    assert seconds == (2.0, 0.0, 4.0, 0.0)


def test_bytes_between_slices_go_over_the_network():
    seconds = roofline(
        CHIPS["v5p"],
        flops=459e12,
        memory_bytes=0.0,
        ici_bytes=0.0,
        is_torus=True,
        dcn_bytes=12.5e9,
    )
    assert seconds == (1.0, 0.0, 0.0, 2.0)
    assert seconds.overlapped_seconds == 2.0


def test_estimate_counts_the_models_flops():
    """Remat 'full' does the forward pass again."""
    seconds = {}
    for policy in ("none", "full"):
        compiled = Compiled(
            job=with_remat(make_job(), policy),
            mesh={"data": 8, "fsdp": 1, "tensor": 1},
            state_bytes=1000,
            batch_bytes=0,
            temporary_bytes=100,
            collectives=Collectives([], unknown_loops=0),
            compile_seconds=1.0,
        )
        seconds[policy] = estimate(compiled, make_target(chip="v4"))
    assert seconds["none"].compute == pytest.approx(
        MODEL.train_flops(16, make_job().lengths) / 8 / 275e12
    )
    assert seconds["full"].compute == pytest.approx(4 / 3 * seconds["none"].compute)
    assert seconds["none"].ici == 0.0
    assert seconds["full"].memory > seconds["none"].memory > 2 * 1100 / 1200e9


def test_frozen_parameters_take_less_and_full_remat_adds_one_forward_pass():
    job = make_job()
    training = dataclasses.replace(job.training, trainable="scale$")
    frozen = dataclasses.replace(job, training=training)
    whole = MODEL.train_flops(16, job.lengths)
    assert job.step_flops == whole
    assert 0.5 * whole < frozen.step_flops < 0.75 * whole
    compiled = Compiled(
        job=with_remat(frozen, "full"),
        mesh={"data": 8, "fsdp": 1, "tensor": 1},
        state_bytes=1000,
        batch_bytes=0,
        temporary_bytes=100,
        collectives=Collectives([], unknown_loops=0),
        compile_seconds=1.0,
    )
    seconds = estimate(compiled, make_target(chip="v4"))
    expected = (frozen.step_flops + whole / 3) / 8 / 275e12
    assert seconds.compute == pytest.approx(expected)


def test_every_tpu_has_a_price():
    prices = read_prices()
    assert set(prices) == {
        name for name, chip in CHIPS.items() if chip.kind.startswith("TPU")
    }
    assert all(price.usd > 0 and price.date for price in prices.values())


@pytest.mark.parametrize("row", ["v4,cheap,2025-01,us", "v4,-1,2025-01,us", "v4"])
def test_a_wrong_price_is_named(row, tmp_path):
    (tmp_path / "prices.csv").write_text(
        f"# edited\nchip,usd_per_chip_hour,date,region\n{row}\n"
    )
    with pytest.raises(
        InputError,
        match=r"prices.csv has the row.*'v4'.*write chip,usd_per_chip_hour,date,region",
    ):
        read_prices(tmp_path / "prices.csv")
