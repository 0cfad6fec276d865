import jax.numpy as jnp

from flan_jax.models.masks import cache_mask, decoder_mask, segment_mask, window_mask

SEGMENT_IDS = jnp.asarray([[1, 1, 1, 2, 0]])


def rows(mask):
    """The mask of the first row of a batch as lists of 0 and 1."""
    return mask[0, 0].astype(int).tolist()


def test_a_decoder_mask_is_causal_within_examples():
    assert rows(decoder_mask(SEGMENT_IDS)) == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
    ]


def test_a_prefix_attends_to_itself_in_both_directions():
    prefix = jnp.asarray([[1, 1, 0, 1, 0]])
    assert rows(decoder_mask(SEGMENT_IDS, prefix)) == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
    ]


def test_a_segment_mask_shows_the_keys_of_the_same_example():
    mask = segment_mask(jnp.asarray([[1, 2]]), jnp.asarray([[1, 1, 2, 0]]))
    assert rows(mask) == [[1, 1, 0, 0], [0, 0, 1, 0]]


def test_a_cache_mask_shows_positions_up_to_the_tokens_own():
    positions = jnp.asarray([[0, 2]])
    assert rows(cache_mask(positions, 4)) == [[1, 0, 0, 0], [1, 1, 1, 0]]
    # A prefix of two tokens; the third token is not part of it.
    positions = jnp.asarray([[0, 1, 2]])
    assert rows(cache_mask(positions, 4, prefix=jnp.asarray([[1, 1, 0]]))) == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
    ]


def test_a_window_counts_the_token_itself_and_positions_within_the_example():
    positions = jnp.asarray([[0, 1, 2, 3, 0, 1]])
    segment_ids = jnp.asarray([[1, 1, 1, 1, 2, 2]])
    mask = window_mask(positions, positions, 2) & decoder_mask(segment_ids)
    assert rows(mask) == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 1],
    ]
