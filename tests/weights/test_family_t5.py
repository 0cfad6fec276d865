"""config.json of T5 1.0, T5 1.1 and mT5: read, written, and what is refused."""

import dataclasses

import pytest

from flan_jax.errors import InputError
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.weights.family_t5 import MT5, T5

T5_SMALL = {
    "model_type": "t5",
    "vocab_size": 32_128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "relative_attention_num_buckets": 32,
    "layer_norm_epsilon": 1e-6,
    "dropout_rate": 0.1,
}
"""The published config.json of T5 1.0, which leaves out feed_forward_proj and the head."""
T5_1_1_SMALL = {
    **T5_SMALL,
    "d_ff": 1024,
    "num_layers": 8,
    "num_decoder_layers": 8,
    "num_heads": 6,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
T5_SMALL_CONFIG = EncoderDecoderConfig(
    vocab_size=32_128,
    emb_dim=512,
    head_dim=64,
    mlp_dim=2048,
    num_encoder_layers=6,
    num_decoder_layers=6,
    num_heads=8,
    mlp_activations=("relu",),
    logits_via_embedding=True,
    tied_logits_scale=None,
    dropout_rate=0.1,
)
T5_1_1_SMALL_CONFIG = EncoderDecoderConfig(
    vocab_size=32_128,
    emb_dim=512,
    head_dim=64,
    mlp_dim=1024,
    num_encoder_layers=8,
    num_decoder_layers=8,
    num_heads=6,
    mlp_activations=("gelu", "linear"),
    logits_via_embedding=False,
    dropout_rate=0.1,
)


def test_published_config_json_files_are_read(read_config):
    assert read_config(T5_SMALL) == T5_SMALL_CONFIG
    assert read_config(T5_1_1_SMALL, has_head=True) == T5_1_1_SMALL_CONFIG
    mt5 = {**T5_1_1_SMALL, "model_type": "mt5"}
    assert read_config(mt5, has_head=True) == T5_1_1_SMALL_CONFIG


def test_config_json_of_an_older_transformers(check_older_form):
    left_out = (
        "feed_forward_proj",
        "scale_decoder_outputs",
        "dense_act_fn",
        "tie_word_embeddings",
    )
    check_older_form("t5_1_0", left_out, changes={})


@pytest.mark.parametrize(
    "settings, has_head, is_tied, scale",
    [
        ({}, False, True, None),
        # A repeated table does not make a head of a model that scales.
        ({}, True, True, None),
        ({"tie_word_embeddings": False}, True, False, None),
        ({"tie_word_embeddings": False}, False, True, 1.0),
        ({"scale_decoder_outputs": False}, False, True, 1.0),
        (
            {"tie_word_embeddings": False, "scale_decoder_outputs": True},
            False,
            True,
            None,
        ),
        ({"model_type": "mt5"}, False, True, 1.0),
        ({"model_type": "mt5", "scale_decoder_outputs": True}, False, True, 1.0),
        ({"model_type": "mt5"}, True, False, None),
    ],
)
def test_the_head_and_its_scale(read_config, settings, has_head, is_tied, scale):
    config = read_config({**T5_SMALL, **settings}, has_head)
    assert config.logits_via_embedding == is_tied
    assert config.tied_logits_scale == scale


def test_stacks_of_other_depths_and_positions(read_config):
    settings = {
        "num_decoder_layers": 2,
        "relative_attention_num_buckets": 16,
        "relative_attention_max_distance": 64,
    }
    assert read_config({**T5_SMALL, **settings}) == dataclasses.replace(
        T5_SMALL_CONFIG,
        num_decoder_layers=2,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=64,
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"feed_forward_proj": "gated-relu"},
            "unknown feed_forward_proj in config.json 'gated-relu'",
        ),
        ({"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon = 1e-05; models here have"),
    ],
)
def test_models_that_are_not_supported(read_config, change, message):
    with pytest.raises(InputError, match=message):
        read_config({**T5_SMALL, **change})


@pytest.mark.parametrize(
    "changes, has_head",
    [
        ({}, False),
        ({"tied_logits_scale": 1.0}, False),
        ({"logits_via_embedding": False}, True),
        ({"mlp_activations": ("silu", "linear"), "num_decoder_layers": 2}, False),
        ({"relative_attention_max_distance": 64, "dropout_rate": 0.0}, False),
    ],
)
def test_what_is_written_is_read_as_the_same_model(read_config, changes, has_head):
    config = dataclasses.replace(T5_SMALL_CONFIG, **changes)
    config_json = T5.write(config) | {"model_type": "t5"}
    assert read_config(config_json, has_head) == config

    # transformers 4 does not know scale_decoder_outputs.
    del config_json["scale_decoder_outputs"]
    assert read_config(config_json, has_head) == config


def test_a_model_that_scales_its_logits_is_not_written_as_mt5(read_config):
    written = MT5.write(T5_SMALL_CONFIG) | {"model_type": "mt5"}
    assert read_config(written) != T5_SMALL_CONFIG


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mlp_activations": ("relu", "linear")}, "T5 has no mlp_activations .*'gelu'"),
        ({"tied_logits_scale": 0.5}, "tied_logits_scale = 0.5 cannot be exported"),
    ],
)
def test_models_that_t5_cannot_describe(changes, message):
    with pytest.raises(InputError, match=message):
        T5.write(dataclasses.replace(T5_SMALL_CONFIG, **changes))
