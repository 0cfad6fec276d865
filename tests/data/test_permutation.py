import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flan_jax.data.permutation import permute


@given(n=st.integers(1, 3000), key=st.integers(0, 2**63))
def test_is_a_permutation_of_range_n(n, key):
    assert sorted(permute(np.arange(n), n, key)) == list(range(n))


def test_known_answer_so_that_plans_stay_the_same_across_versions():
    assert permute(np.arange(8), 8, 1).tolist() == KNOWN


def test_another_key_gives_another_order():
    orders = {tuple(permute(np.arange(20), 20, key)) for key in range(50)}
    assert len(orders) == 50


def test_every_place_is_about_equally_likely():
    n, keys = 10, 2000
    where = np.stack([permute(np.arange(n), n, key) for key in range(keys)])
    counts = np.stack([np.bincount(where[:, i], minlength=n) for i in range(n)])
    expected = keys / n
    assert np.all(np.abs(counts - expected) < 6 * np.sqrt(expected))


def test_sizes_and_keys_may_differ_by_element():
    index, n, key = np.array([3, 3, 0]), np.array([10, 1000, 1]), np.array([5, 6, 7])
    together = permute(index, n, key)
    assert together.tolist() == [
        int(permute(np.array([i]), int(s), int(k))[0])
        for i, s, k in zip(index, n, key, strict=True)
    ]


KNOWN = [7, 2, 0, 4, 5, 1, 6, 3]
