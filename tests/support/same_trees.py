"""Comparison of trees of arrays, bit for bit."""

import jax
import numpy as np


def assert_same(actual, expected):
    """Asserts that two trees have the same structure, dtypes and values."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
