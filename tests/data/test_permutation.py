import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flan_jax.data.permutation import permute


@given(n=st.integers(1, 3000), key=st.integers(0, 2**63))
def test_is_a_permutation_of_range_n(n, key):
    elements = np.arange(n)
    assert sorted(permute(elements, n, key)) == list(range(n))


def test_plans_stay_the_same_across_versions():
    order = permute(np.arange(8), 8, 1)
    assert order.tolist() == [7, 2, 0, 4, 5, 1, 6, 3]


def test_another_key_gives_another_order():
    elements = np.arange(20)
    orders = {tuple(permute(elements, 20, key)) for key in range(50)}
    assert len(orders) == 50


def test_every_place_is_about_equally_likely():
    n = 10
    keys = 2000
    orders = np.stack([permute(np.arange(n), n, key) for key in range(keys)])
    counts = [np.bincount(orders[:, element], minlength=n) for element in range(n)]
    expected = keys / n
    limit = 6 * np.sqrt(expected)
    deviation = np.abs(np.stack(counts) - expected)
    assert deviation.max() < limit


def test_sizes_and_keys_may_differ_by_element():
    index = np.array([3, 3, 0])
    sizes = np.array([10, 1000, 1])
    keys = np.array([5, 6, 7])
    one_by_one = []
    for element, size, key in zip(index, sizes, keys, strict=True):
        order = permute(np.array([element]), int(size), int(key))
        one_by_one.append(int(order[0]))
    assert permute(index, sizes, keys).tolist() == one_by_one
