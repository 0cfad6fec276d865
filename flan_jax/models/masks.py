"""Attention masks of packed rows, causal decoding, KV caches and sliding windows.

All are bool[batch, 1, query, key], True where the query attends to the key.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def segment_mask(
    query_segment_ids: Int[Array, "batch query"],
    key_segment_ids: Int[Array, "batch key"],
) -> Bool[Array, "batch 1 query key"]:
    """Returns the mask of attention within each example; padding (0) is never attended to.

    Args:
      query_segment_ids: the example that each query position belongs to; 0 is padding.
      key_segment_ids: the example that each key position belongs to; 0 is padding.

    Returns:
      True where the query may attend to the key.
    """
    query = query_segment_ids[:, None, :, None]
    key = key_segment_ids[:, None, None, :]
    is_same_example = query == key
    return is_same_example & (key != 0)


def decoder_mask(
    segment_ids: Int[Array, "batch length"],
    prefix: Int[Array, "batch length"] | None = None,
) -> Bool[Array, "batch 1 length length"]:
    """Returns the mask of causal attention within each example.

    Args:
      segment_ids: the example of each token; 0 is padding.
      prefix: 1 where a token is part of its example's prefix, whose tokens also attend to the later
        tokens of the prefix; None for causal attention throughout.
    """
    index = jnp.arange(segment_ids.shape[1])
    is_causal = index[None, :] <= index[:, None]
    allowed = is_causal[None, None]
    if prefix is not None:
        query_in_prefix = prefix[:, None, :, None] == 1
        key_in_prefix = prefix[:, None, None, :] == 1
        allowed = allowed | (query_in_prefix & key_in_prefix)
    return allowed & segment_mask(segment_ids, segment_ids)


def cache_mask(
    positions: Int[Array, "batch query"],
    length: int,
    prefix: Int[Array, "batch query"] | None = None,
) -> Bool[Array, "batch 1 query length"]:
    """Returns the mask between tokens and a KV cache: a token attends to positions up to its own.

    Args:
      positions: each token's position, which is also its place in the cache.
      length: the number of positions in the cache.
      prefix: 1 where a token is part of the prefix, which starts at position 0 and whose tokens
        also attend to the later tokens of the prefix.
    """
    query_position = positions[:, None, :, None]
    key_position = jnp.arange(length)[None, None, None, :]
    allowed = key_position <= query_position
    if prefix is not None:
        prefix_size = jnp.sum(prefix, axis=1)[:, None, None, None]
        query_in_prefix = prefix[:, None, :, None] == 1
        allowed = allowed | (query_in_prefix & (key_position < prefix_size))
    return allowed


def window_mask(
    query_positions: Int[Array, "batch query"],
    key_positions: Int[Array, "#batch key"],
    window: int,
) -> Bool[Array, "batch 1 query key"]:
    """Returns the mask of a sliding window (Mistral, Gemma): positions less than `window` apart.

    Causally, a token sees itself and the window - 1 tokens before it. Within a prefix, where
    attention is bidirectional, it sees as many tokens after it.

    Args:
      query_positions: the position of each query in its example.
      key_positions: the position of each key in its example.
      window: the size of the window in tokens.

    Returns:
      True where the query may attend to the key.
    """
    query = query_positions[:, None, :, None]
    key = key_positions[:, None, None, :]
    return jnp.abs(query - key) < window
