"""The KV cache: decoding step by step gives the logits of all tokens at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from model_fixtures import CONFIGS

from flan_jax.errors import InputError
from flan_jax.models.attention import cache_step

LENGTHS = {"inputs": 6, "targets": 5}
DECODERS = ["relative", "rope", "windowed"]


@pytest.mark.parametrize("has_prefix", [False, True])
@pytest.mark.parametrize("name", DECODERS)
def test_decoder_prompt_and_steps_equal_the_whole(
    name, has_prefix, make_batch, examples, init
):
    model = CONFIGS[name]().build()
    batch = make_batch("decoder", [examples[:1], examples[2:]], LENGTHS)
    if not has_prefix:
        del batch["decoder_causal_attention"]
    params = {"params": init(model, batch)}
    expected = jax.jit(model.apply)(params, batch)
    tokens = batch["decoder_input_tokens"]

    def decode(variables, tokens, **inputs):
        hidden, cache = model.apply(
            params | variables,
            tokens,
            cache_length=11,
            method="decode_hidden",
            mutable=["cache"],
            **inputs,
        )
        return model.apply(params, hidden, method="logits"), cache

    # Prompts of different lengths, padded on the right.
    sizes = jnp.asarray([[5], [6]])
    is_prompt = (jnp.arange(6)[None] < sizes).astype(jnp.int32)
    logits, cache = decode(
        {},
        tokens[:, :6],
        positions=batch["decoder_positions"][:, :6] * is_prompt,
        segment_ids=is_prompt,
        prefix=is_prompt if has_prefix else None,
    )
    actual = logits[is_prompt == 1]
    np.testing.assert_allclose(
        actual, expected[:, :6][is_prompt == 1], rtol=1e-4, atol=1e-4
    )

    # Then the targets one at a time, each row at its own position.
    for i in range(2):
        positions = sizes + i
        next_tokens = jnp.take_along_axis(tokens, positions, axis=1)
        logits, cache = decode(cache, next_tokens, positions=positions)
        expected_step = jnp.take_along_axis(expected, positions[..., None], axis=1)
        np.testing.assert_allclose(logits, expected_step, rtol=1e-4, atol=1e-4)


def test_padding_is_not_written_to_the_cache():
    tokens = jnp.asarray([[5, 6, 0]])
    positions = jnp.asarray([[0, 1, 0]])
    step = cache_step(tokens, positions, jnp.asarray([[1, 1, 0]]), length=8)
    assert step.positions.tolist() == [[0, 1, 8]]


def test_a_cache_needs_positions():
    with pytest.raises(
        InputError, match="decoding 3 tokens with a cache needs their positions"
    ):
        cache_step(jnp.asarray([[5, 6, 0]]), None, None, length=8)
