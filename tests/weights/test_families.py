"""Which family a model is of, and what two configurations compute differently."""

import dataclasses
import math

import pytest

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.weights.families import differences, family_of, family_of_json

LLAMA = DecoderConfig(
    vocab_size=32,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=24,
    num_layers=2,
    mlp_activations=("silu", "linear"),
    position="rope",
    prefix_lm=False,
    query_scale=8**-0.5,
    dropout_rate=0.0,
)
T5 = EncoderDecoderConfig(
    vocab_size=32,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=24,
    num_encoder_layers=2,
    num_decoder_layers=2,
)
OF_NO_FAMILY = dataclasses.replace(LLAMA, query_scale=0.5)
"""Its query_scale is not head_dim ** -0.5, which no family without Gemma's norms can describe."""

PUBLIC_MODEL_TYPES = (
    "t5",
    "mt5",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "olmo2",
    "gemma",
    "gemma2",
    "gemma3_text",
)


def test_a_model_goes_to_the_first_family_that_describes_all_of_it():
    assert family_of(LLAMA).model_type == "llama"
    assert (
        family_of(dataclasses.replace(LLAMA, sliding_window=6)).model_type == "mistral"
    )
    assert family_of(dataclasses.replace(LLAMA, qk_norm=True)).model_type == "qwen3"
    assert family_of(T5).model_type == "t5"


@pytest.mark.parametrize(
    "config, message",
    [
        (OF_NO_FAMILY, "no family of Hugging Face models has the features"),
        (
            dataclasses.replace(LLAMA, position="relative"),
            "no decoder with T5's relative positions",
        ),
    ],
)
def test_a_model_of_no_family_is_an_error(config, message):
    with pytest.raises(InputError, match=message):
        family_of(config)


@pytest.mark.parametrize("model_type", PUBLIC_MODEL_TYPES)
def test_config_json_names_its_family(model_type):
    assert family_of_json({"model_type": model_type}).model_type == model_type


@pytest.mark.parametrize("config_json", [{}, {"model_type": 3}, {"model_type": "lama"}])
def test_an_unknown_model_type_lists_those_that_are_known(config_json):
    with pytest.raises(InputError, match="unknown model_type.*llama") as raised:
        family_of_json(config_json)
    assert all(name in str(raised.value) for name in PUBLIC_MODEL_TYPES)


def test_differences_are_in_what_is_computed():
    other = dataclasses.replace(
        LLAMA, num_layers=4, norm_epsilon=1e-5, dtype="bfloat16"
    )
    assert differences(LLAMA, other) == [
        "norm_epsilon: 1e-06, not 1e-05",
        "num_layers: 2, not 4",
    ]
    assert (
        differences(LLAMA, dataclasses.replace(LLAMA, remat="full", num_kv_heads=2))
        == []
    )


def test_the_rounding_of_a_number_is_no_difference():
    """1 / sqrt(8) is not 8 ** -0.5 in its last bit, and files have epsilons in float32."""
    assert 1 / math.sqrt(8) != 8**-0.5
    rounded = {
        "query_scale": 1 / math.sqrt(8),
        "norm_epsilon": 9.999999747e-06,
        "rope_scaling": {"type": "linear", "factor": 1.0000000001},
    }
    whole = {"norm_epsilon": 1e-5, "rope_scaling": {"type": "linear", "factor": 1}}
    assert (
        differences(
            dataclasses.replace(LLAMA, **rounded), dataclasses.replace(LLAMA, **whole)
        )
        == []
    )
    near = dataclasses.replace(LLAMA, norm_epsilon=1.001e-5)
    assert differences(near, dataclasses.replace(LLAMA, norm_epsilon=1e-5)) == [
        "norm_epsilon: 1.001e-05, not 1e-05"
    ]
    scaling = {"type": "linear", "factor": 2.0}
    other = {"type": "linear", "factor": 2.01}
    assert len(
        differences(
            dataclasses.replace(LLAMA, rope_scaling=scaling),
            dataclasses.replace(LLAMA, rope_scaling=other),
        )
    ) == (1)


def test_relative_position_buckets_count_only_where_they_are_read():
    buckets = {"relative_attention_num_buckets": 8}
    assert differences(LLAMA, dataclasses.replace(LLAMA, **buckets)) == []

    relative = dataclasses.replace(LLAMA, position="relative")
    assert differences(relative, dataclasses.replace(relative, **buckets)) == [
        "relative_attention_num_buckets: 32, not 8"
    ]


def test_the_scale_of_a_tied_head_counts_only_where_there_is_one():
    scale = {"tied_logits_scale": 1.0}
    assert differences(T5, dataclasses.replace(T5, **scale)) == []

    tied = dataclasses.replace(T5, logits_via_embedding=True)
    assert differences(tied, dataclasses.replace(tied, **scale)) == [
        "tied_logits_scale: None, not 1.0"
    ]


def test_an_encoder_decoder_differs_from_a_decoder_in_its_depths():
    texts = differences(T5, LLAMA)
    assert "num_encoder_layers: 2, not None" in texts
    assert "num_layers: None, not 2" in texts
