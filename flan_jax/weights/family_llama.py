"""Llama (also TinyLlama and SmolLM2), Mistral, Qwen 2, 2.5 and 3."""

from typing import Any

from flan_jax.errors import InputError, look_up, unknown_name
from flan_jax.json_files import JsonObject
from flan_jax.models import rope
from flan_jax.models.decoder import DecoderConfig
from flan_jax.weights.family import (
    HF_ACTIVATIONS,
    Family,
    refuse_settings,
    register_family,
)

DECODER_TABLE = (
    ("token_embedder/embedding", "model.embed_tokens.weight"),
    (
        "decoder/layers_{i}/pre_self_attention_layer_norm/scale",
        "model.layers.{i}.input_layernorm.weight",
    ),
    (
        "decoder/layers_{i}/self_attention/query/kernel",
        "model.layers.{i}.self_attn.q_proj.weight.T",
    ),
    (
        "decoder/layers_{i}/self_attention/key/kernel",
        "model.layers.{i}.self_attn.k_proj.weight.T",
    ),
    (
        "decoder/layers_{i}/self_attention/value/kernel",
        "model.layers.{i}.self_attn.v_proj.weight.T",
    ),
    (
        "decoder/layers_{i}/self_attention/query/bias",
        "model.layers.{i}.self_attn.q_proj.bias",
    ),
    (
        "decoder/layers_{i}/self_attention/key/bias",
        "model.layers.{i}.self_attn.k_proj.bias",
    ),
    (
        "decoder/layers_{i}/self_attention/value/bias",
        "model.layers.{i}.self_attn.v_proj.bias",
    ),
    (
        "decoder/layers_{i}/self_attention/query_norm/scale",
        "model.layers.{i}.self_attn.q_norm.weight",
    ),
    (
        "decoder/layers_{i}/self_attention/key_norm/scale",
        "model.layers.{i}.self_attn.k_norm.weight",
    ),
    (
        "decoder/layers_{i}/self_attention/out/kernel",
        "model.layers.{i}.self_attn.o_proj.weight.T",
    ),
    ("decoder/layers_{i}/mlp/wi_0/kernel", "model.layers.{i}.mlp.gate_proj.weight.T"),
    ("decoder/layers_{i}/mlp/wi_1/kernel", "model.layers.{i}.mlp.up_proj.weight.T"),
    ("decoder/layers_{i}/mlp/wo/kernel", "model.layers.{i}.mlp.down_proj.weight.T"),
    ("decoder/decoder_norm/scale", "model.norm.weight"),
    ("decoder/logits_dense/kernel", "lm_head.weight.T"),
)
"""The parameters that all decoder families have."""

LLAMA_TABLE = (
    *DECODER_TABLE,
    (
        "decoder/layers_{i}/pre_mlp_layer_norm/scale",
        "model.layers.{i}.post_attention_layernorm.weight",
    ),
)


def rope_settings(
    config_json: JsonObject, layer_type: str = "full_attention"
) -> dict[str, Any]:
    """Returns the settings of the rotary embedding as one mapping.

    config.json has them in one of three forms: `rope_parameters` (transformers 5), the same by
    layer type (Gemma 3), or `rope_theta` with `rope_scaling` (transformers 4).

    Args:
      config_json: a model's config.json.
      layer_type: the layers to return them for, "full_attention" or "sliding_attention".
    """
    is_local = layer_type == "sliding_attention"
    theta_name = "rope_local_base_freq" if is_local else "rope_theta"
    theta = config_json.get(theta_name, 10_000.0)

    settings = config_json.get("rope_parameters") or {}
    settings = settings.get(layer_type, settings)
    if not settings and not is_local:
        settings = config_json.get("rope_scaling") or {}
    return {"rope_theta": theta, **settings}


def read_decoder(config_json: JsonObject, has_head: bool) -> dict[str, Any]:
    """Returns the settings that all decoder families share, as arguments of DecoderConfig.

    Args:
      config_json: a model's config.json.
      has_head: whether the file has a tensor for the head.

    Raises:
      InputError: a setting is not supported.
    """
    activation = config_json.get("hidden_activation") or config_json.get("hidden_act")
    our_activation = look_up(
        HF_ACTIVATIONS, "activation in config.json", str(activation)
    )
    head_dim = config_json.get("head_dim")
    if not head_dim:
        head_dim = config_json["hidden_size"] // config_json["num_attention_heads"]

    rotary = rope_settings(config_json)
    for settings in (config_json, rotary):
        if settings.get("partial_rotary_factor", 1.0) != 1.0:
            refuse_settings(settings, "partial_rotary_factor")
    is_tied = config_json.get("tie_word_embeddings", not has_head)
    return {
        "vocab_size": config_json["vocab_size"],
        "emb_dim": config_json["hidden_size"],
        "num_heads": config_json["num_attention_heads"],
        "num_kv_heads": (
            config_json.get("num_key_value_heads") or config_json["num_attention_heads"]
        ),
        "head_dim": head_dim,
        "mlp_dim": config_json["intermediate_size"],
        "num_layers": config_json["num_hidden_layers"],
        "mlp_activations": (our_activation, "linear"),
        "position": "rope",
        "rope_max_wavelength": float(rotary["rope_theta"]),
        "rope_scaling": _read_rope_scaling(rotary, config_json),
        "query_scale": head_dim**-0.5,
        "norm_epsilon": config_json.get("rms_norm_eps", 1e-6),
        "logits_via_embedding": bool(is_tied),
        "tied_logits_scale": 1.0 if is_tied else None,
        "dropout_rate": 0.0,
        "prefix_lm": False,
    }


def write_decoder(config: DecoderConfig) -> dict[str, Any]:
    """Returns the part of config.json that all decoder families share.

    Args:
      config: the configuration of the model.

    Returns:
      {setting of config.json: value}.
    """
    rotary = _write_rope(config)
    rope_scaling = None
    if config.rope_scaling is not None:
        rope_scaling = {
            name: value for name, value in rotary.items() if name != "rope_theta"
        }

    activation = config.mlp_activations[0]
    if activation == "gelu":
        activation = "gelu_pytorch_tanh"
    written = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.emb_dim,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads or config.num_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.mlp_dim,
        "num_hidden_layers": config.num_layers,
        "hidden_act": activation,
        "rope_parameters": rotary,
        # transformers 4 and other programs read these two instead.
        "rope_theta": config.rope_max_wavelength,
        "rope_scaling": rope_scaling,
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.logits_via_embedding,
    }
    original_max_position = rotary.get("original_max_position_embeddings")
    if original_max_position is not None:
        # transformers 4 takes YaRN's factor from this.
        longest = rotary["factor"] * original_max_position
        written["max_position_embeddings"] = round(longest)
    return written


def _read_rope_scaling(
    rotary: JsonObject, config_json: JsonObject
) -> dict[str, Any] | None:
    kind = rotary.get("rope_type", rotary.get("type", "default"))
    if kind == "default":
        return None
    if kind == "linear":
        return {"type": "linear", "factor": rotary["factor"]}
    if kind == "llama3":
        return {
            "type": "llama3",
            "factor": rotary["factor"],
            "low_freq_factor": rotary["low_freq_factor"],
            "high_freq_factor": rotary["high_freq_factor"],
            "original_max_position": rotary["original_max_position_embeddings"],
        }
    if kind == "yarn":
        return _read_yarn(rotary, config_json)
    raise unknown_name(
        "rope scaling in config.json", str(kind), ("default", *rope.SCALINGS)
    )


def _read_yarn(rotary: JsonObject, config_json: JsonObject) -> dict[str, Any]:
    """Returns the settings of YaRN, with transformers' values for those that are left out."""
    if rotary.get("truncate") is False:
        raise InputError(
            "config.json sets truncate = False for YaRN, which is not supported. Take a model "
            "without it"
        )
    # transformers prefers the setting outside of the rotary ones.
    original_max_position = (
        config_json.get("original_max_position_embeddings")
        or rotary.get("original_max_position_embeddings")
        or config_json["max_position_embeddings"]
    )
    factor = rotary.get("factor")
    if factor is None:
        factor = config_json["max_position_embeddings"] / original_max_position

    attention_factor = rotary.get("attention_factor")
    if attention_factor is None:
        attention_factor = rope.yarn_attention_factor(float(factor))
        mscale = rotary.get("mscale")
        mscale_all_dim = rotary.get("mscale_all_dim")
        if mscale and mscale_all_dim:
            above = rope.yarn_attention_factor(float(factor), float(mscale))
            below = rope.yarn_attention_factor(float(factor), float(mscale_all_dim))
            attention_factor = above / below
    return {
        "type": "yarn",
        "factor": factor,
        "original_max_position": original_max_position,
        "beta_fast": rotary.get("beta_fast") or 32,
        "beta_slow": rotary.get("beta_slow") or 1,
        "attention_factor": attention_factor,
    }


def _write_rope(config: DecoderConfig) -> dict[str, Any]:
    rotary: dict[str, Any] = {
        "rope_theta": config.rope_max_wavelength,
        "rope_type": "default",
    }
    if config.rope_scaling is None:
        return rotary

    scaling = dict(config.rope_scaling)
    original_max_position = scaling.pop("original_max_position", None)
    rotary["rope_type"] = scaling.pop("type")
    rotary.update(scaling)
    if original_max_position is not None:
        rotary["original_max_position_embeddings"] = original_max_position
    return rotary


def _read_llama(config_json: JsonObject, has_head: bool) -> DecoderConfig:
    refuse_settings(config_json, "attention_bias", "mlp_bias")
    return DecoderConfig(**read_decoder(config_json, has_head))


def _read_mistral(config_json: JsonObject, has_head: bool) -> DecoderConfig:
    return DecoderConfig(
        **read_decoder(config_json, has_head),
        sliding_window=config_json.get("sliding_window"),
    )


def _read_qwen2(config_json: JsonObject, has_head: bool) -> DecoderConfig:
    refuse_settings(config_json, "use_sliding_window")
    return DecoderConfig(**read_decoder(config_json, has_head), attention_bias=True)


def _read_qwen3(config_json: JsonObject, has_head: bool) -> DecoderConfig:
    refuse_settings(config_json, "use_sliding_window", "attention_bias")
    return DecoderConfig(**read_decoder(config_json, has_head), qk_norm=True)


def _write_mistral(config: DecoderConfig) -> dict[str, Any]:
    return write_decoder(config) | {"sliding_window": config.sliding_window}


LLAMA = register_family(
    Family(
        model_type="llama",
        architecture="LlamaForCausalLM",
        config_class=DecoderConfig,
        table=LLAMA_TABLE,
        read=_read_llama,
        write=write_decoder,
        defaults={"hidden_act": "silu"},
    )
)
MISTRAL = register_family(
    Family(
        model_type="mistral",
        architecture="MistralForCausalLM",
        config_class=DecoderConfig,
        table=LLAMA_TABLE,
        read=_read_mistral,
        write=_write_mistral,
        defaults={"hidden_act": "silu", "sliding_window": 4096},
    )
)
QWEN2 = register_family(
    Family(
        model_type="qwen2",
        architecture="Qwen2ForCausalLM",
        config_class=DecoderConfig,
        table=LLAMA_TABLE,
        read=_read_qwen2,
        write=write_decoder,
        defaults={"hidden_act": "silu"},
    )
)
QWEN3 = register_family(
    Family(
        model_type="qwen3",
        architecture="Qwen3ForCausalLM",
        config_class=DecoderConfig,
        table=LLAMA_TABLE,
        read=_read_qwen3,
        write=write_decoder,
        defaults={"hidden_act": "silu", "head_dim": 128},
    )
)
