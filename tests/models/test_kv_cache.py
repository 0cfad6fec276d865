"""The KV cache: decoding step by step gives the logits of all tokens at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

LENGTHS = {"inputs": 6, "targets": 5}


@pytest.mark.parametrize("scan_layers", [False, True])
def test_encoder_decoder_steps_equal_the_whole(
    scan_layers, make_config, make_batch, examples, init
):
    config = make_config(scan_layers=scan_layers)
    if config.architecture == "decoder":
        return
    model, batch = (
        config.build(),
        make_batch("encoder_decoder", [examples[:1], examples[2:]], LENGTHS),
    )
    params = {"params": init(model, batch)}
    encoded, segment_ids = model.apply(params, batch, method="encode"), batch["encoder_segment_ids"]

    @jax.jit
    def step(variables, encoded, tokens, position):
        hidden, cache = model.apply(
            {**params, **variables}, encoded, segment_ids, tokens, positions=jnp.full_like(tokens, position),
            cache_length=8, method="decode_hidden", mutable=["cache"],
        )  # fmt: skip
        return model.apply(params, hidden, method="logits"), cache

    @jax.jit
    def whole(tokens):
        hidden = model.apply(params, encoded, segment_ids, tokens, method="decode_hidden")
        return model.apply(params, hidden, method="logits")

    tokens, variables, given = jnp.zeros((2, 1), jnp.int32), {}, encoded
    for position in range(5):
        logits, variables = step(variables, given, tokens[:, -1:], position)
        np.testing.assert_allclose(logits[:, 0], whole(tokens)[:, -1], rtol=1e-4, atol=1e-4)
        tokens = jnp.concatenate([tokens, jnp.argmax(logits, axis=-1)], axis=1)
        # The keys and values of the inputs are in the cache: the encoder's outputs are not read again.
        given = jnp.full_like(encoded, jnp.nan)


@pytest.mark.parametrize("prefix", [False, True])
def test_decoder_prompt_and_steps_equal_the_whole(prefix, make_config, make_batch, examples, init):
    config = make_config()
    if config.architecture == "encoder_decoder":
        return
    model, batch = config.build(), make_batch("decoder", [examples[:1], examples[2:]], LENGTHS)
    if not prefix:
        del batch["decoder_causal_attention"]
    params = {"params": init(model, batch)}
    expected = jax.jit(model.apply)(params, batch)
    # Prompts of different lengths, padded on the right; then the targets one at a time, each row at its own position.
    sizes = jnp.asarray([[5], [6]])
    inside = (jnp.arange(6)[None] < sizes).astype(jnp.int32)
    tokens = batch["decoder_input_tokens"]
    hidden, cache = model.apply(
        params, tokens[:, :6], positions=batch["decoder_positions"][:, :6] * inside, cache_length=11,
        segment_ids=inside, prefix=inside if prefix else None, method="decode_hidden", mutable=["cache"],
    )  # fmt: skip
    got = model.apply(params, hidden, method="logits")
    np.testing.assert_allclose(got[inside == 1], expected[:, :6][inside == 1], rtol=1e-4, atol=1e-4)
    for i in range(2):
        at = sizes + i
        hidden, cache = model.apply(
            {**params, **cache}, jnp.take_along_axis(tokens, at, axis=1), positions=at, cache_length=11,
            method="decode_hidden", mutable=["cache"],
        )  # fmt: skip
        got = model.apply(params, hidden, method="logits")[:, 0]
        want = jnp.take_along_axis(expected, at[..., None], axis=1)[:, 0]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
