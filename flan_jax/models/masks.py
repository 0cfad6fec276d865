"""Attention masks of packed rows, causal decoding, KV caches and sliding windows."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def segment_mask(
    query_segment_ids: Int[Array, "batch query"], key_segment_ids: Int[Array, "batch key"]
) -> Bool[Array, "batch 1 query key"]:
    """True where query and key lie in the same example. Padding (0) attends to nothing and nothing attends to it."""
    query, key = query_segment_ids[:, None, :, None], key_segment_ids[:, None, None, :]
    return (query == key) & (key != 0)


def decoder_mask(
    segment_ids: Int[Array, "batch length"], prefix: Int[Array, "batch length"] | None = None
) -> Bool[Array, "batch 1 length length"]:
    """Causal attention within each example; tokens with `prefix` 1 also see one another from both sides."""
    index = jnp.arange(segment_ids.shape[1])
    allowed = (index[None, :] <= index[:, None])[None, None]
    if prefix is not None:
        allowed = allowed | ((prefix[:, None, :, None] == 1) & (prefix[:, None, None, :] == 1))
    return allowed & segment_mask(segment_ids, segment_ids)


def cache_mask(
    positions: Int[Array, "batch query"],
    length: int,
    prefix: Int[Array, "batch query"] | None = None,
) -> Bool[Array, "batch 1 query length"]:
    """Which of the `length` cached positions the tokens at `positions` may see: the earlier ones and themselves.

    Tokens with `prefix` 1 also see the later tokens of the prefix; a prefix lies at the positions from 0 on.
    """
    cached = jnp.arange(length)[None, None, None, :]
    allowed = cached <= positions[:, None, :, None]
    if prefix is not None:
        size = jnp.sum(prefix, axis=1)[:, None, None, None]
        allowed = allowed | ((prefix[:, None, :, None] == 1) & (cached < size))
    return allowed


def window_mask(
    query_positions: Int[Array, "batch query"], key_positions: Int[Array, "#batch key"], window: int
) -> Bool[Array, "batch 1 query key"]:
    """True where query and key lie less than `window` positions apart: a token sees itself and window - 1 before it.

    (Mistral, Gemma.) In a prefix, which is seen from both sides, it sees as many after it.
    """
    return jnp.abs(query_positions[:, None, :, None] - key_positions[:, None, None, :]) < window
