"""config.json of Gemma 1, 2 and 3: read, written, and what is refused; a Gemma that takes images."""

import dataclasses
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.params import count_params
from flan_jax.weights import hugging_face
from flan_jax.weights.families import family_of
from flan_jax.weights.family import FAMILIES, hf_names
from flan_jax.weights.family_gemma import GEMMA2, GEMMA3

LOCAL, GLOBAL = "sliding_attention", "full_attention"

GEMMA_2_2B = {
    "model_type": "gemma2",
    "vocab_size": 256_000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "sliding_window": 4096,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
}
GEMMA_3_1B = {
    "model_type": "gemma3_text",
    "vocab_size": 262_144,
    "hidden_size": 1152,
    "intermediate_size": 6912,
    "num_hidden_layers": 26,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000,
    "rope_local_base_freq": 10_000,
    "rope_scaling": None,
}
GEMMA_2_2B_CONFIG = DecoderConfig(
    vocab_size=256_000,
    emb_dim=2304,
    mlp_dim=9216,
    num_layers=26,
    num_heads=8,
    num_kv_heads=4,
    head_dim=256,
    mlp_activations=("gelu", "linear"),
    query_scale=1 / 16,
    attention_softcap=50.0,
    logits_softcap=30.0,
    sliding_window=4096,
    global_every=2,
    position="rope",
    norm_offset=1.0,
    post_norms=True,
    scale_embeddings=True,
    logits_via_embedding=True,
    tied_logits_scale=1.0,
    dropout_rate=0.0,
    prefix_lm=False,
)
GEMMA_3_1B_CONFIG = DecoderConfig(
    vocab_size=262_144,
    emb_dim=1152,
    mlp_dim=6912,
    num_layers=26,
    num_heads=4,
    num_kv_heads=1,
    head_dim=256,
    mlp_activations=("gelu", "linear"),
    query_scale=1 / 16,
    qk_norm=True,
    sliding_window=512,
    global_every=6,
    position="rope",
    rope_max_wavelength=1_000_000.0,
    rope_local_max_wavelength=10_000.0,
    norm_offset=1.0,
    post_norms=True,
    scale_embeddings=True,
    logits_via_embedding=True,
    tied_logits_scale=1.0,
    dropout_rate=0.0,
    prefix_lm=False,
)


def test_published_config_json_files_are_read(read_config):
    assert read_config(GEMMA_2_2B) == GEMMA_2_2B_CONFIG
    assert read_config(GEMMA_3_1B) == GEMMA_3_1B_CONFIG


@pytest.mark.parametrize(
    "name, left_out, changes",
    [
        (
            "gemma2",
            ("rope_parameters", "layer_types", "hidden_activation"),
            {"hidden_act": "gelu_pytorch_tanh"},
        ),
        (
            "gemma3",
            ("rope_parameters", "layer_types", "_sliding_window_pattern"),
            {
                "sliding_window_pattern": 6,
                "num_attention_heads": 4,
                "rope_local_base_freq": 10_000.0,
            },
        ),
    ],
)
def test_config_json_of_an_older_transformers(
    check_older_form, name, left_out, changes
):
    check_older_form(name, left_out, changes)


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"sliding_window": None}, (None, None)),
        ({"layer_types": [GLOBAL] * 4}, (None, None)),
        ({"layer_types": [LOCAL] * 4}, (512, None)),
        ({"layer_types": [LOCAL, GLOBAL] * 2}, (512, 2)),
        ({"layer_types": [LOCAL, LOCAL, GLOBAL, LOCAL]}, (512, 3)),
        ({"layer_types": [LOCAL] * 3 + [GLOBAL]}, (512, 4)),
        # No layer is global yet: the pattern is kept all the same.
        ({"layer_types": [LOCAL] * 4, "sliding_window_pattern": 6}, (512, 6)),
        ({"sliding_window_pattern": 3}, (512, 3)),
        ({"sliding_window_pattern": 3, "_sliding_window_pattern": 2}, (512, 2)),
    ],
)
def test_which_layers_are_global(read_config, settings, expected):
    small = {**GEMMA_3_1B, "num_hidden_layers": 4, "sliding_window_pattern": None}
    config = read_config({**small, **settings})
    assert (config.sliding_window, config.global_every) == expected


@pytest.mark.parametrize("activation", ["gelu", "gelu_pytorch_tanh", None])
def test_gemma_1_is_a_llama_with_gemmas_embedding_and_norms(read_config, activation):
    """Its first files say "gelu" and mean the tanh approximation, as transformers reads them."""
    gemma_2b = {
        "model_type": "gemma",
        "vocab_size": 256_000,
        "hidden_size": 2048,
        "intermediate_size": 16_384,
        "num_hidden_layers": 18,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
    }
    if activation is not None:
        gemma_2b["hidden_act"] = activation
    config = read_config(gemma_2b)
    assert count_params(config) == 2_506_172_416
    assert (config.head_dim, config.mlp_activations) == (256, ("gelu", "linear"))
    assert (config.norm_offset, config.scale_embeddings) == (1.0, True)
    assert (config.post_norms, config.query_scale) == (False, 1 / 16)
    assert family_of(config).model_type == "gemma"
    assert read_config({"model_type": "gemma", **family_of(config).write(config)}) == (
        config
    )


@pytest.mark.parametrize("wavelengths", [(7.0, 3.0), (3.0, 7.0)])
def test_local_layers_of_gemma_3_have_rotary_embeddings_of_their_own(
    read_config, wavelengths
):
    both, local = wavelengths
    rope = {GLOBAL: {"rope_theta": both}, LOCAL: {"rope_theta": local}}
    config = read_config({**GEMMA_3_1B, "rope_parameters": rope})
    assert config.rope_max_wavelength == both
    assert config.rope_local_max_wavelength == local


@pytest.mark.parametrize(
    "change, message",
    [
        ({"layer_types": [GLOBAL, LOCAL] * 2}, "layer_types = .*equal distances"),
        ({"attention_bias": True}, "attention_bias = True, which is not supported"),
        (
            {"use_bidirectional_attention": True},
            "use_bidirectional_attention = True, which is not supported",
        ),
        ({"query_pre_attn_scalar": "all"}, "query_pre_attn_scalar is .all.; it must"),
        ({"hidden_activation": "tanh"}, "unknown activation in config.json 'tanh'"),
    ],
)
@pytest.mark.parametrize("published", [GEMMA_2_2B, GEMMA_3_1B])
def test_models_that_are_not_supported(read_config, published, change, message):
    with pytest.raises(InputError, match=message):
        read_config({**published, **change})


@pytest.mark.parametrize(
    "model_type, config, changes",
    [
        ("gemma2", GEMMA_2_2B_CONFIG, {}),
        ("gemma2", GEMMA_2_2B_CONFIG, {"attention_softcap": None}),
        (
            "gemma2",
            GEMMA_2_2B_CONFIG,
            {"logits_via_embedding": False, "tied_logits_scale": None},
        ),
        ("gemma3_text", GEMMA_3_1B_CONFIG, {}),
        ("gemma3_text", GEMMA_3_1B_CONFIG, {"global_every": None}),
        ("gemma3_text", GEMMA_3_1B_CONFIG, {"query_scale": 144**-0.5}),
        (
            "gemma3_text",
            GEMMA_3_1B_CONFIG,
            {"rope_scaling": {"type": "linear", "factor": 8.0}},
        ),
        (
            "gemma3_text",
            GEMMA_3_1B_CONFIG,
            {
                "sliding_window": None,
                "global_every": None,
                "rope_local_max_wavelength": None,
            },
        ),
    ],
)
def test_what_is_written_is_read_as_the_same_model(
    read_config, model_type, config, changes
):
    config = dataclasses.replace(config, **changes)
    config_json = FAMILIES[model_type].write(config) | {"model_type": model_type}
    assert read_config(config_json, has_head=True) == config


@pytest.mark.parametrize("family", [GEMMA2, GEMMA3])
def test_each_layer_has_four_norms(family):
    """Llama's name of the norm before the mlp is that of the one after the attention here."""
    ours = [
        "decoder/layers_1/pre_self_attention_layer_norm/scale",
        "decoder/layers_1/post_attention_layer_norm/scale",
        "decoder/layers_1/pre_mlp_layer_norm/scale",
        "decoder/layers_1/post_mlp_layer_norm/scale",
    ]
    assert [theirs.name for theirs in hf_names(family, ours).values()] == [
        "model.layers.1.input_layernorm.weight",
        "model.layers.1.post_attention_layernorm.weight",
        "model.layers.1.pre_feedforward_layernorm.weight",
        "model.layers.1.post_feedforward_layernorm.weight",
    ]


@pytest.mark.parametrize(
    "prefix",
    [
        ("model.language_model.", "lm_head."),
        ("language_model.model.", "language_model.lm_head."),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_the_text_model_of_a_gemma_with_images(
    transformers_models, tmp_path, prefix, tied
):
    """Under transformers 5's names of its tensors, and under those of published files."""
    torch, transformers = transformers_models.torch, transformers_models.transformers
    tokens = transformers_models.TOKENS
    torch.manual_seed(0)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = transformers.Gemma3Config(
        text_config=transformers_models.GEMMA | {"tie_word_embeddings": tied},
        tie_word_embeddings=tied,
        mm_tokens_per_image=4,
        vision_config=vision | {"image_size": 28, "patch_size": 14},
    )
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path / "saved")
    arrays = load_file(tmp_path / "saved" / "model.safetensors")
    assert any("vision_tower" in name for name in arrays)
    renamed = {}
    for name, array in arrays.items():
        name = re.sub(
            r"^(model\.language_model|language_model\.model)\.", prefix[0], name
        )
        renamed[re.sub(r"^lm_head\.", prefix[1], name)] = array
    (tmp_path / "theirs").mkdir()
    save_file(renamed, tmp_path / "theirs" / "model.safetensors")
    (tmp_path / "theirs" / "config.json").write_text(
        (tmp_path / "saved" / "config.json").read_text()
    )
    wanted = transformers_models.their_logits(model, tokens)
    config, params = transformers_models.load(tmp_path / "theirs")
    assert (
        np.abs(transformers_models.our_logits(config, params, tokens) - wanted).max()
        <= 1e-4 * np.abs(wanted).max()
    )
    hugging_face.save_params(
        tmp_path / "text", config, params, original=tmp_path / "theirs"
    )
    text = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "text").eval()
    assert type(text).__name__ == "Gemma3ForCausalLM"
    assert np.allclose(
        transformers_models.their_logits(text, tokens), wanted, atol=1e-5
    )
