import jax
import jax.numpy as jnp
import numpy as np

from flan_jax.models.attention_backends import AttentionMask, attend


def test_attend_is_softmax_of_masked_biased_scores():
    query, key, value = jax.random.normal(jax.random.key(0), (3, 2, 5, 3, 4))
    bias = jax.random.normal(jax.random.key(1), (1, 3, 5, 5))
    mask = jnp.asarray(np.random.default_rng(0).random((2, 1, 5, 5)) < 0.5) | jnp.eye(5, dtype=bool)[None, None]
    got = attend(query, key, value, mask=AttentionMask(mask), bias=bias)
    for row in range(2):
        for head in range(3):
            scores = np.array(query[row, :, head] @ key[row, :, head].T + bias[0, head])
            weights = np.where(mask[row, 0], np.exp(scores), 0.0)
            expected = weights / weights.sum(-1, keepdims=True) @ np.array(value[row, :, head])
            np.testing.assert_allclose(got[row, :, head], expected, rtol=1e-4, atol=1e-5)


def test_a_query_that_may_see_nothing_is_finite():
    query = jnp.ones((1, 2, 1, 4))
    assert jnp.all(jnp.isfinite(attend(query, query, query, mask=AttentionMask(jnp.zeros((1, 1, 2, 2), bool)))))
