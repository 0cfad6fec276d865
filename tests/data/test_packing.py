import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_jax.data.packing import Packer

sizes = st.lists(
    st.tuples(st.integers(1, 32), st.integers(1, 16)), min_size=1, max_size=200
)


@given(sizes=sizes)
def test_no_row_overflows_on_either_side(sizes):
    inputs, targets = np.array(sizes).T
    rows = Packer(32, 16, rows=len(sizes)).add_all(inputs, targets)
    assert (rows >= 0).all()
    assert np.bincount(rows, inputs).max() <= 32
    assert np.bincount(rows, targets).max() <= 16


@given(sizes=sizes)
def test_what_is_left_out_fits_no_row(sizes):
    inputs, targets = np.array(sizes).T
    rows = Packer(32, 16, rows=3).add_all(inputs, targets)
    is_placed = rows >= 0
    placed_rows = rows[is_placed]
    free_inputs = 32 - np.bincount(placed_rows, inputs[is_placed], minlength=3)
    free_targets = 16 - np.bincount(placed_rows, targets[is_placed], minlength=3)

    left_out = zip(inputs[~is_placed], targets[~is_placed], strict=True)
    for input_length, target_length in left_out:
        # A row is taken only if all rows of its class of free targets have room: up to one class
        # of room, 17/16 tokens, may be left unused.
        has_inputs = free_inputs >= input_length
        has_targets = free_targets >= target_length + 17 / 16
        assert not np.any(has_inputs & has_targets)


def test_takes_the_fullest_row_that_has_room():
    packer = Packer(10, 10, rows=3)
    assert packer.add(4, 1) == 0
    assert packer.add(7, 1) == 1
    assert packer.add(8, 1) == 2
    # Free inputs: 6 in row 0, 3 in row 1, 2 in row 2.
    assert packer.add(2, 1) == 2
    assert packer.add(2, 1) == 1
    assert packer.add(2, 1) == 0


def test_a_full_target_side_closes_a_row():
    packer = Packer(100, 4, rows=2)
    assert packer.add(1, 4) == 0
    assert packer.add(1, 1) == 1
    assert packer.add(1, 4) == -1


@pytest.mark.parametrize("seed", range(3))
def test_fills_rows_of_short_examples_almost_wholly(seed):
    lengths = np.random.default_rng(seed).integers(5, 200, 5000)
    packer = Packer(1024, 1, rows=5000)
    packer.add_all(lengths, np.zeros_like(lengths))
    assert lengths.sum() / (packer.opened * 1024) > 0.99
