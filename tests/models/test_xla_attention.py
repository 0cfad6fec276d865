"""The reference backend of `attend` against softmax written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.models import attention_backends
from flan_jax.models.attention_backends import AttentionMask, attend


def random_mask(rows, length, share):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.random((rows, 1, length, length)) < share)


def test_attend_is_softmax_of_masked_biased_scores():
    query, key, value = jax.random.normal(jax.random.key(0), (3, 2, 5, 3, 4))
    bias = jax.random.normal(jax.random.key(1), (1, 3, 5, 5))
    mask = random_mask(2, 5, 0.5) | jnp.eye(5, dtype=bool)[None, None]
    actual = attend(query, key, value, mask=AttentionMask(mask), bias=bias)
    for row in range(2):
        for head in range(3):
            scores = np.array(query[row, :, head] @ key[row, :, head].T + bias[0, head])
            weights = np.where(mask[row, 0], np.exp(scores), 0.0)
            weights = weights / weights.sum(-1, keepdims=True)
            expected = weights @ np.array(value[row, :, head])
            np.testing.assert_allclose(
                actual[row, :, head], expected, rtol=1e-4, atol=1e-5
            )


def test_a_query_that_may_see_nothing_is_finite():
    query = jnp.ones((1, 2, 1, 4))
    nothing = AttentionMask(jnp.zeros((1, 1, 2, 2), bool))
    assert jnp.all(jnp.isfinite(attend(query, query, query, mask=nothing)))


def test_a_head_of_keys_serves_successive_heads_of_queries():
    query = jax.random.normal(jax.random.key(0), (2, 5, 6, 4))
    key = jax.random.normal(jax.random.key(1), (2, 5, 2, 4))
    value = jax.random.normal(jax.random.key(2), (2, 5, 2, 4))
    bias = jax.random.normal(jax.random.key(3), (1, 6, 5, 5))
    causal = jnp.tril(jnp.ones((5, 5), bool))[None, None].repeat(2, axis=0)
    options = {"mask": AttentionMask(causal), "bias": bias, "softcap": 2.0}
    expected = attend(
        query, jnp.repeat(key, 3, axis=2), jnp.repeat(value, 3, axis=2), **options
    )
    np.testing.assert_allclose(
        attend(query, key, value, **options), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("dropout_rate", [None, 0.4])
def test_blocks_of_queries_make_no_difference(monkeypatch, softcap, dropout_rate):
    query, key, value = jax.random.normal(jax.random.key(0), (3, 2, 12, 4, 8))
    bias = jax.random.normal(jax.random.key(1), (1, 4, 12, 12))
    mask = AttentionMask(random_mask(2, 12, 0.7))

    def drop(weights):
        is_kept = jax.random.bernoulli(
            jax.random.key(2), 1 - dropout_rate, (2, 4, 1, 12)
        )
        return jnp.where(is_kept, weights / (1 - dropout_rate), 0.0)

    dropout = None if dropout_rate is None else drop

    def loss(arrays):
        query, key, value, bias = arrays
        grouped_key = key[:, :, :2]
        grouped_value = value[:, :, :2]
        out = attend(
            query,
            grouped_key,
            grouped_value,
            mask=mask,
            bias=bias,
            softcap=softcap,
            dropout=dropout,
        )
        return jnp.sum(jnp.sin(out)), out

    def results(query_block):
        monkeypatch.setattr(attention_backends, "QUERY_BLOCK", query_block)
        return jax.value_and_grad(loss, has_aux=True)((query, key, value, bias))

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        results(4),
        results(128),
    )


def test_blocks_hold_the_scores_of_one_block():
    shape = jax.ShapeDtypeStruct((2, 1024, 4, 8), jnp.float32)

    def loss(query, key, value):
        return jnp.sum(attend(query, key, value, mask=AttentionMask(None)) ** 2)

    compiled = jax.jit(jax.grad(loss)).lower(shape, shape, shape).compile()
    bytes_of_all_scores = 4 * 2 * 4 * 1024 * 1024
    assert compiled.memory_analysis().temp_size_in_bytes < bytes_of_all_scores
