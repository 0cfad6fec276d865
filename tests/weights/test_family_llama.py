"""config.json of Llama, Mistral, Qwen 2.5 and Qwen 3: read, written, and what is refused."""

import dataclasses
import math

import pytest

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.weights.family import FAMILIES, hf_names
from flan_jax.weights.family_llama import LLAMA, rope_settings

LLAMA_3_2_1B = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
}
LLAMA_3_2_1B_CONFIG = DecoderConfig(
    vocab_size=128_256,
    emb_dim=2048,
    mlp_dim=8192,
    num_layers=16,
    num_heads=32,
    num_kv_heads=8,
    head_dim=64,
    mlp_activations=("silu", "linear"),
    position="rope",
    rope_max_wavelength=500_000.0,
    rope_scaling={
        "type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position": 8192,
    },
    query_scale=0.125,
    norm_epsilon=1e-5,
    logits_via_embedding=True,
    tied_logits_scale=1.0,
    dropout_rate=0.0,
    prefix_lm=False,
)
SMALL = {
    "model_type": "llama",
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
"""All that a config.json must say."""
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e6,
    "factor": 4.0,
    "original_max_position_embeddings": 32_768,
}


def test_a_published_config_json_is_read(read_config):
    assert read_config(LLAMA_3_2_1B) == LLAMA_3_2_1B_CONFIG


def test_what_is_left_out_has_transformers_defaults(read_config):
    config = read_config(SMALL)
    assert config.head_dim == 8
    assert config.num_kv_heads == 4
    assert config.mlp_activations == ("silu", "linear")
    assert config.rope_max_wavelength == 10_000.0
    assert config.rope_scaling is None
    assert config.norm_epsilon == 1e-6


def test_a_head_is_tied_as_config_json_says_or_else_if_there_is_no_tensor(read_config):
    def is_tied(has_head, **settings):
        config = read_config({**SMALL, **settings}, has_head)
        assert config.tied_logits_scale == (
            1.0 if config.logits_via_embedding else None
        )
        return config.logits_via_embedding

    assert is_tied(has_head=False)
    assert not is_tied(has_head=True)
    assert is_tied(has_head=True, tie_word_embeddings=True)
    assert not is_tied(has_head=False, tie_word_embeddings=False)


def test_config_json_of_an_older_transformers(check_older_form):
    left_out = (
        "rope_parameters",
        "head_dim",
        "hidden_act",
        "dtype",
        "tie_word_embeddings",
    )
    rope_scaling = {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    changes = {
        "torch_dtype": "float32",
        "rope_theta": 500.0,
        "rope_scaling": rope_scaling,
    }
    check_older_form("llama", left_out, changes)


@pytest.mark.parametrize(
    "settings",
    [
        {"rope_parameters": {"rope_theta": 5.0, "rope_type": "linear", "factor": 2.0}},
        {"rope_theta": 5.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        {"rope_theta": 5.0, "rope_scaling": {"type": "linear", "factor": 2.0}},
    ],
)
def test_each_form_of_the_rotary_settings_is_read(read_config, settings):
    config = read_config({**SMALL, **settings})
    assert config.rope_max_wavelength == 5.0
    assert config.rope_scaling == {"type": "linear", "factor": 2.0}


def test_rotary_settings_by_layer_type():
    by_layer_type = {
        "rope_parameters": {
            "full_attention": {"rope_theta": 7.0, "rope_type": "default"},
            "sliding_attention": {"rope_theta": 3.0, "rope_type": "default"},
        }
    }
    assert rope_settings(by_layer_type)["rope_theta"] == 7.0
    assert rope_settings(by_layer_type, "sliding_attention")["rope_theta"] == 3.0

    older = {
        "rope_theta": 7.0,
        "rope_local_base_freq": 3.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    }
    assert rope_settings(older)["factor"] == 8.0
    assert rope_settings(older, "sliding_attention") == {"rope_theta": 3.0}


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"model_type": "mistral", "sliding_window": 6}, {"sliding_window": 6}),
        ({"model_type": "mistral", "sliding_window": None}, {"sliding_window": None}),
        ({"model_type": "mistral"}, {"sliding_window": 4096}),
        ({"model_type": "qwen2"}, {"attention_bias": True, "head_dim": 8}),
        ({"model_type": "qwen3"}, {"qk_norm": True, "head_dim": 128}),
    ],
)
def test_what_a_family_adds_to_llama(read_config, settings, expected):
    llama = read_config({**SMALL, "head_dim": expected.get("head_dim")})
    assert read_config({**SMALL, **settings}) == dataclasses.replace(llama, **expected)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_act": "tanh"}, "unknown activation in config.json 'tanh'"),
        (
            {"rope_parameters": {"rope_theta": 1.0, "rope_type": "longrope"}},
            "unknown rope scaling in config.json 'longrope'.*yarn",
        ),
        ({"rope_parameters": YARN | {"truncate": False}}, "truncate = False for YaRN"),
        ({"rope_parameters": YARN | {"rope_theta": 1.0}}, "YaRN needs one above 1"),
        (
            {"partial_rotary_factor": 0.5},
            "partial_rotary_factor = 0.5, which is not supported",
        ),
        (
            {"rope_parameters": {"rope_theta": 5e3, "partial_rotary_factor": 0.5}},
            "partial_rotary_factor = 0.5, which is not supported",
        ),
        (
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "unknown rope scaling.*'dynamic'",
        ),
        ({"rope_scaling": {"type": "linear"}}, "does not say 'factor'"),
        ({"attention_bias": True}, "attention_bias = True, which is not supported"),
        ({"mlp_bias": True}, "mlp_bias = True, which is not supported"),
        (
            {"model_type": "qwen2", "use_sliding_window": True},
            "use_sliding_window = True, which is not supported",
        ),
        (
            {"model_type": "qwen3", "use_sliding_window": True},
            "use_sliding_window = True, which is not supported",
        ),
        (
            {"model_type": "qwen3", "attention_bias": True},
            "attention_bias = True, which is not supported",
        ),
    ],
)
def test_models_that_are_not_supported(read_config, change, message):
    with pytest.raises(InputError, match=message):
        read_config({**SMALL, **change})


@pytest.mark.parametrize(
    "model_type, changes",
    [
        ("llama", {}),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
        ("llama", {"rope_scaling": None, "mlp_activations": ("gelu", "linear")}),
        ("llama", {"logits_via_embedding": False, "tied_logits_scale": None}),
        ("mistral", {"sliding_window": 6}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {"attention_bias": True}),
        ("qwen3", {"qk_norm": True, "head_dim": 32, "query_scale": 32**-0.5}),
    ],
)
def test_what_is_written_is_read_as_the_same_model(read_config, model_type, changes):
    config = dataclasses.replace(LLAMA_3_2_1B_CONFIG, **changes)
    config_json = FAMILIES[model_type].write(config) | {"model_type": model_type}
    assert read_config(config_json, has_head=True) == config

    # transformers 4 reads rope_theta and rope_scaling in place of rope_parameters.
    del config_json["rope_parameters"]
    assert read_config(config_json, has_head=True) == config


def test_a_published_config_json_is_written_as_it_was():
    written = LLAMA.write(LLAMA_3_2_1B_CONFIG)
    published = {name: LLAMA_3_2_1B[name] for name in written if name in LLAMA_3_2_1B}
    assert published == {name: written[name] for name in published}
    assert set(LLAMA_3_2_1B) - set(published) == {
        "model_type",
        "attention_bias",
        "mlp_bias",
    }


def test_the_second_norm_of_a_layer_is_the_one_before_the_mlp():
    name = "decoder/layers_1/pre_mlp_layer_norm/scale"
    theirs = hf_names(LLAMA, [name])[name]
    assert theirs == ("model.layers.1.post_attention_layernorm.weight", False)


def test_yarn_has_transformers_values_where_it_says_nothing(read_config):
    def scaling(rope, **settings):
        return read_config({**SMALL, "rope_parameters": rope, **settings}).rope_scaling

    assert scaling(YARN) == {
        "type": "yarn",
        "factor": 4.0,
        "original_max_position": 32_768,
        "beta_fast": 32,
        "beta_slow": 1,
        "attention_factor": pytest.approx(0.1 * math.log(4.0) + 1.0),
    }
    by_mscale = scaling(YARN | {"mscale": 1.0, "mscale_all_dim": 0.5})
    assert by_mscale["attention_factor"] == pytest.approx(
        (0.1 * math.log(4.0) + 1.0) / (0.05 * math.log(4.0) + 1.0)
    )
    given = scaling(YARN | {"attention_factor": 1.5, "beta_fast": 16})
    assert (given["attention_factor"], given["beta_fast"]) == (1.5, 16)

    # The length of pre-training may stand outside, and the factor may follow from it.
    bare = {"rope_type": "yarn", "rope_theta": 1e6}
    lengths = {
        "max_position_embeddings": 131_072,
        "original_max_position_embeddings": 32_768,
    }
    assert scaling(bare, **lengths)["factor"] == 4.0
    assert scaling(YARN, **lengths)["original_max_position"] == 32_768
