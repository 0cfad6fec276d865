import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.models import attention_backends
from flan_jax.models.attention_backends import AttentionMask, attend


def test_attend_is_softmax_of_masked_biased_scores():
    query, key, value = jax.random.normal(jax.random.key(0), (3, 2, 5, 3, 4))
    bias = jax.random.normal(jax.random.key(1), (1, 3, 5, 5))
    mask = (
        jnp.asarray(np.random.default_rng(0).random((2, 1, 5, 5)) < 0.5)
        | jnp.eye(5, dtype=bool)[None, None]
    )
    got = attend(query, key, value, mask=AttentionMask(mask), bias=bias)
    for row in range(2):
        for head in range(3):
            scores = np.array(query[row, :, head] @ key[row, :, head].T + bias[0, head])
            weights = np.where(mask[row, 0], np.exp(scores), 0.0)
            expected = weights / weights.sum(-1, keepdims=True) @ np.array(value[row, :, head])
            np.testing.assert_allclose(got[row, :, head], expected, rtol=1e-4, atol=1e-5)


def test_a_query_that_may_see_nothing_is_finite():
    query = jnp.ones((1, 2, 1, 4))
    assert jnp.all(
        jnp.isfinite(attend(query, query, query, mask=AttentionMask(jnp.zeros((1, 1, 2, 2), bool))))
    )


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("dropout_rate", [None, 0.4])
def test_blocks_of_queries_make_no_difference(monkeypatch, softcap, dropout_rate):
    query, key, value = jax.random.normal(jax.random.key(0), (3, 2, 12, 4, 8))
    bias = jax.random.normal(jax.random.key(1), (1, 4, 12, 12))
    mask = AttentionMask(jnp.asarray(np.random.default_rng(0).random((2, 1, 12, 12)) < 0.7))

    def dropout(weights):
        kept = jax.random.bernoulli(jax.random.key(2), 1 - dropout_rate, (2, 4, 1, 12))
        return jnp.where(kept, weights / (1 - dropout_rate), 0.0)

    def loss(arrays):
        query, key, value, bias = arrays
        options = {"softcap": softcap, "dropout": dropout if dropout_rate else None}
        out = attend(query, key[:, :, :2], value[:, :, :2], mask=mask, bias=bias, **options)
        return jnp.sum(jnp.sin(out)), out

    results = []
    for size in (128, 4):
        monkeypatch.setattr(attention_backends, "QUERY_BLOCK", size)
        results.append(jax.value_and_grad(loss, has_aux=True)((query, key, value, bias)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)


def test_blocks_hold_the_scores_of_one_block():
    shape = jax.ShapeDtypeStruct((2, 1024, 4, 8), jnp.float32)
    gradient = jax.grad(lambda q, k, v: jnp.sum(attend(q, k, v, mask=AttentionMask(None)) ** 2))
    held = (
        jax.jit(gradient).lower(shape, shape, shape).compile().memory_analysis().temp_size_in_bytes
    )
    assert held < 4 * 2 * 4 * 1024 * 1024  # a single array of all scores in float32
