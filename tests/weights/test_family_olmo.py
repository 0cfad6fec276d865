"""config.json of OLMo 2: read, written, and what is refused."""

import pytest

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.params import count_params
from flan_jax.weights.families import family_of

OLMO_2_1B = {
    "model_type": "olmo2",
    "vocab_size": 100_352,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 500_000,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "bos_token_id": None,
    "eos_token_id": 100_257,
}
OLMO_2_1B_CONFIG = DecoderConfig(
    vocab_size=100_352,
    emb_dim=2048,
    mlp_dim=8192,
    num_layers=16,
    num_heads=16,
    num_kv_heads=16,
    head_dim=128,
    mlp_activations=("silu", "linear"),
    position="rope",
    rope_max_wavelength=500_000.0,
    query_scale=128**-0.5,
    norm_epsilon=1e-6,
    qk_norm=True,
    joint_qk_norm=True,
    pre_norms=False,
    post_norms=True,
    dropout_rate=0.0,
    prefix_lm=False,
)


def test_a_published_config_json_is_read(read_config):
    config = read_config(OLMO_2_1B, has_head=True)
    assert config == OLMO_2_1B_CONFIG
    assert count_params(config) == 1_484_916_736


def test_what_is_written_is_read_as_the_same_model(read_config):
    family = family_of(OLMO_2_1B_CONFIG)
    assert family.model_type == "olmo2"
    written = {"model_type": "olmo2", **family.write(OLMO_2_1B_CONFIG)}
    assert read_config(written, has_head=True) == OLMO_2_1B_CONFIG


def test_biases_are_refused(read_config):
    with pytest.raises(InputError, match="attention_bias = True"):
        read_config({**OLMO_2_1B, "attention_bias": True})
