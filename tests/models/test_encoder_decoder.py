"""The encoder-decoder's own: its parameter tree, FLOPs, cross-attention and KV cache.

What it shares with the decoder is tested for both: packed rows, blocks, attention.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from model_fixtures import TINY, tiny_encoder_decoder

from flan_jax import pytrees
from flan_jax.errors import InputError
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import abstract_params

LENGTHS = {"inputs": 6, "targets": 5}
ONE_LAYER_EACH = {"num_encoder_layers": 1, "num_decoder_layers": 1}


@pytest.fixture
def batch(make_batch, examples):
    """Two rows with one example each."""
    return make_batch("encoder_decoder", [examples[:1], examples[2:]], LENGTHS)


@pytest.fixture
def run(batch, init):
    """run(method, *inputs, **segments): what a method of one model gives."""
    model = EncoderDecoderConfig(**TINY | ONE_LAYER_EACH).build()
    params = init(model, batch)

    @functools.partial(jax.jit, static_argnames="method")
    def apply(method, inputs, segments):
        return model.apply({"params": params}, *inputs, **segments, method=method)

    return lambda method, *inputs, **segments: apply(method, inputs, segments)


@pytest.mark.parametrize("scan_layers", [False, True])
def test_decoding_steps_equal_the_whole(scan_layers, make_batch, examples, init):
    model = tiny_encoder_decoder(scan_layers=scan_layers).build()
    batch = make_batch("encoder_decoder", [examples[:1], examples[2:]], LENGTHS)
    params = {"params": init(model, batch)}
    encoded = model.apply(params, batch, method="encode")
    segment_ids = batch["encoder_segment_ids"]

    @jax.jit
    def step(variables, encoded, tokens, position):
        hidden, cache = model.apply(
            {**params, **variables},
            encoded,
            segment_ids,
            tokens,
            positions=jnp.full_like(tokens, position),
            cache_length=8,
            method="decode_hidden",
            mutable=["cache"],
        )
        return model.apply(params, hidden, method="logits"), cache

    @jax.jit
    def logits_of_all(tokens):
        hidden = model.apply(
            params, encoded, segment_ids, tokens, method="decode_hidden"
        )
        return model.apply(params, hidden, method="logits")

    tokens = jnp.zeros((2, 1), jnp.int32)
    variables = {}
    step_encoded = encoded
    for position in range(5):
        logits, variables = step(variables, step_encoded, tokens[:, -1:], position)
        expected = logits_of_all(tokens)[:, -1]
        np.testing.assert_allclose(logits[:, 0], expected, rtol=1e-4, atol=1e-4)
        tokens = jnp.concatenate([tokens, jnp.argmax(logits, axis=-1)], axis=1)
        # The keys and values of the inputs are in the cache now: the outputs of the encoder are
        # not read again.
        step_encoded = jnp.full_like(encoded, jnp.nan)


def test_encoding_and_decoding_give_the_logits_of_the_batch(run, batch):
    encoded = run("encode", batch)
    hidden = run(
        "decode_hidden",
        encoded,
        batch["encoder_segment_ids"],
        batch["decoder_input_tokens"],
        segment_ids=batch["decoder_segment_ids"],
    )
    logits = run("logits", hidden)
    np.testing.assert_allclose(logits, run(None, batch), rtol=1e-4, atol=1e-4)


def test_answers_to_one_prompt_can_share_a_row(run, batch):
    """Two segments of the decoder attend to the one example of the encoder."""
    encoded = run("encode", batch)[:1]
    encoder_segment_ids = batch["encoder_segment_ids"][:1]

    def decode(tokens, **segments):
        row = jnp.asarray([tokens])
        return run("decode_hidden", encoded, encoder_segment_ids, row, **segments)[0]

    both = decode(
        [0, 8, 9, 0, 12, 3],
        segment_ids=jnp.asarray([[1, 1, 1, 2, 2, 2]]),
        cross_segment_ids=jnp.asarray([[1, 1, 1, 1, 1, 1]]),
    )
    alone = [decode([0, 8, 9]), decode([0, 12, 3])]
    np.testing.assert_allclose(both, np.concatenate(alone), rtol=1e-4, atol=1e-4)


def test_the_encoder_reads_in_both_directions_and_tells_order(run, batch):
    def encode(tokens):
        rows = jnp.asarray([tokens, tokens])
        return run("encode", batch | {"encoder_input_tokens": rows})[0]

    before = encode([5, 6, 7, 1, 0, 0])
    other_last_token = encode([5, 6, 7, 2, 0, 0])
    assert not np.allclose(before[0], other_last_token[0], atol=1e-3)
    other_order = encode([6, 5, 7, 1, 0, 0])
    assert not np.allclose(before[2], other_order[2], atol=1e-3)


ENCODER_LAYER = {
    "pre_attention_layer_norm/scale",
    "attention/query/kernel",
    "attention/key/kernel",
    "attention/value/kernel",
    "attention/out/kernel",
    "pre_mlp_layer_norm/scale",
    "mlp/wi_0/kernel",
    "mlp/wi_1/kernel",
    "mlp/wo/kernel",
}
DECODER_LAYER = {
    "pre_self_attention_layer_norm/scale",
    "self_attention/query/kernel",
    "self_attention/key/kernel",
    "self_attention/value/kernel",
    "self_attention/out/kernel",
    "pre_cross_attention_layer_norm/scale",
    "encoder_decoder_attention/query/kernel",
    "encoder_decoder_attention/key/kernel",
    "encoder_decoder_attention/value/kernel",
    "encoder_decoder_attention/out/kernel",
    "pre_mlp_layer_norm/scale",
    "mlp/wi_0/kernel",
    "mlp/wi_1/kernel",
    "mlp/wo/kernel",
}


@pytest.mark.parametrize(
    "scan_layers, layers", [(True, ["layers"]), (False, ["layers_0", "layers_1"])]
)
def test_the_parameters_have_t5xs_names(scan_layers, layers):
    """Checkpoints are read by them."""
    config = tiny_encoder_decoder(scan_layers=scan_layers)
    expected = {
        "token_embedder/embedding",
        "encoder/relpos_bias/rel_embedding",
        "encoder/encoder_norm/scale",
        "decoder/relpos_bias/rel_embedding",
        "decoder/decoder_norm/scale",
        "decoder/logits_dense/kernel",
    }
    for layer in layers:
        expected |= {f"encoder/{layer}/{name}" for name in ENCODER_LAYER}
        expected |= {f"decoder/{layer}/{name}" for name in DECODER_LAYER}
    params = nn.unbox(abstract_params(config))
    assert pytrees.named_leaves(params).keys() == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_encoder_layers": 0}, "num_encoder_layers is 0"),
        ({"num_decoder_layers": -1}, "num_decoder_layers is -1"),
        ({"attention_backend": "xlb"}, "Did you mean 'xla'"),
        (
            {"attention_backend": "splash", "dtype": "bfloat16"},
            "'splash' does not support .*; write attention_backend='xla'",
        ),
    ],
)
def test_a_form_that_cannot_be_built_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        EncoderDecoderConfig(**TINY | ONE_LAYER_EACH | wrong)
