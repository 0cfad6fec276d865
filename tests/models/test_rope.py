import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.errors import InputError
from flan_jax.models import rope

LLAMA_3_1 = {
    "type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position": 64,
}
YARN = {
    "type": "yarn",
    "factor": 8.0,
    "original_max_position": 64,
    "beta_fast": 32,
    "beta_slow": 1,
    "attention_factor": 1.2,
}


def test_rotary_scores_depend_on_distance_alone():
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    frequencies = jnp.asarray(rope.frequencies(8, 10_000.0))

    def score(query_position, key_position):
        rotated_query = rope.rotary(
            query, jnp.full((1, 1), query_position), frequencies
        )
        rotated_key = rope.rotary(key, jnp.full((1, 1), key_position), frequencies)
        return jnp.sum(rotated_query * rotated_key)

    np.testing.assert_allclose(score(3, 1), score(103, 101), rtol=1e-4, atol=1e-4)
    assert abs(score(3, 1) - score(3, 2)) > 1e-3


def test_linear_scaling_divides_all_frequencies():
    frequencies = rope.frequencies(8, 10_000.0)
    scaled = rope.scaled_frequencies(8, 10_000.0, {"type": "linear", "factor": 4.0})
    np.testing.assert_array_equal(scaled, frequencies / 4)
    unscaled = rope.scaled_frequencies(8, 10_000.0, None)
    np.testing.assert_array_equal(unscaled, frequencies)


def test_llama3_scaling_keeps_fast_channels_and_divides_slow_ones():
    # Turns over 64 tokens: 10.2, 2.0 (between the two bounds) and 0.4.
    frequencies = np.asarray([1.0, 0.2, 0.04], np.float32)
    np.testing.assert_allclose(rope.frequencies(6, 125.0), frequencies, rtol=1e-5)
    scaled = rope.scaled_frequencies(6, 125.0, LLAMA_3_1)
    assert scaled[0] == frequencies[0]
    assert frequencies[1] / 8 < scaled[1] < frequencies[1]
    np.testing.assert_allclose(scaled[2], frequencies[2] / 8, rtol=1e-6)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"type": "linaer", "factor": 2.0}, "Did you mean 'linear'"),
        ({"factor": 2.0}, "unknown rope_scaling type"),
        ({"type": "llama3", "factor": 8.0}, "takes exactly"),
        ({"type": "linear", "factor": 0}, "factor of rope_scaling is 0"),
        (LLAMA_3_1 | {"low_freq_factor": 4.0}, "a lower and a higher one"),
        ({"type": "yarn", "factor": 8.0}, "takes exactly"),
        (YARN | {"beta_slow": 32}, "beta_slow=32 up to beta_fast=32"),
    ],
)
def test_a_wrong_scaling_is_refused(scaling, message):
    with pytest.raises(InputError, match=message):
        rope.check_scaling(scaling)


def test_yarn_keeps_fast_channels_and_divides_slow_ones():
    yarn = YARN | {"beta_fast": 4}
    frequencies = rope.frequencies(16, 100.0)
    scaled = rope.scaled_frequencies(16, 100.0, yarn)
    turns = 64 * frequencies / (2 * np.pi)
    # The bounds are rounded outward to whole channels.
    first = np.flatnonzero(turns < 4)[0] - 1
    last = np.flatnonzero(turns < 1)[0]
    np.testing.assert_array_equal(scaled[: first + 1], frequencies[: first + 1])
    np.testing.assert_allclose(scaled[last:], frequencies[last:] / 8, rtol=1e-6)
    between = slice(first + 1, last)
    assert np.all(scaled[between] < frequencies[between])
    assert np.all(scaled[between] > frequencies[between] / 8)
    assert rope.score_factor(yarn) == pytest.approx(1.44)
    assert rope.score_factor(LLAMA_3_1) == rope.score_factor(None) == 1.0
