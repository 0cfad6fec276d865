"""Gemma 1, 2 and 3 (text)."""

from collections.abc import Sequence
from typing import Any

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject
from flan_jax.models.decoder import DecoderConfig
from flan_jax.weights.family import Family, refuse_settings, register_family
from flan_jax.weights.family_llama import (
    DECODER_TABLE,
    LLAMA_TABLE,
    read_decoder,
    rope_settings,
    write_decoder,
)

GEMMA_TABLE = (
    *DECODER_TABLE,
    (
        "decoder/layers_{i}/post_attention_layer_norm/scale",
        "model.layers.{i}.post_attention_layernorm.weight",
    ),
    (
        "decoder/layers_{i}/pre_mlp_layer_norm/scale",
        "model.layers.{i}.pre_feedforward_layernorm.weight",
    ),
    (
        "decoder/layers_{i}/post_mlp_layer_norm/scale",
        "model.layers.{i}.post_feedforward_layernorm.weight",
    ),
)

GEMMA_DEFAULTS = {
    "hidden_activation": "gelu_pytorch_tanh",
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
GEMMA2_DEFAULTS = {
    **GEMMA_DEFAULTS,
    "sliding_window_pattern": 2,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
}
GEMMA3_DEFAULTS = {
    # A Gemma 3 that takes images says of its text model only what differs from these.
    **GEMMA_DEFAULTS,
    "vocab_size": 262_208,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "sliding_window_pattern": 6,
    "rope_theta": 1_000_000.0,
}


def _read_gemma1(config_json: JsonObject, has_head: bool) -> DecoderConfig:
    refuse_settings(config_json, "attention_bias", "use_bidirectional_attention")
    if config_json.get("hidden_act") == "gelu":
        # So say the first published files, and mean the tanh approximation.
        config_json = {**config_json, "hidden_act": "gelu_pytorch_tanh"}
    settings = read_decoder(config_json, has_head)
    return DecoderConfig(**settings, norm_offset=1.0, scale_embeddings=True)


def _read_gemma2(config_json: JsonObject, has_head: bool) -> DecoderConfig:
    return DecoderConfig(**_read_gemma(config_json, has_head))


def _read_gemma3(config_json: JsonObject, has_head: bool) -> DecoderConfig:
    settings = _read_gemma(config_json, has_head)
    settings["qk_norm"] = True
    if settings["sliding_window"] is not None:
        local_rope = rope_settings(config_json, "sliding_attention")
        settings["rope_local_max_wavelength"] = float(local_rope["rope_theta"])
    return DecoderConfig(**settings)


def _read_gemma(config_json: JsonObject, has_head: bool) -> dict[str, Any]:
    """Returns the settings that all versions of Gemma share, as arguments of DecoderConfig."""
    refuse_settings(config_json, "attention_bias", "use_bidirectional_attention")
    return {
        **read_decoder(config_json, has_head),
        "query_scale": config_json["query_pre_attn_scalar"] ** -0.5,
        "attention_softcap": config_json.get("attn_logit_softcapping"),
        "logits_softcap": config_json.get("final_logit_softcapping"),
        "norm_offset": 1.0,
        "post_norms": True,
        "scale_embeddings": True,
        **_read_windows(config_json),
    }


def _read_windows(config_json: JsonObject) -> dict[str, Any]:
    """Returns sliding_window and global_every, as arguments of DecoderConfig.

    `layer_types`, or else `sliding_window_pattern`, says which layers attend globally.
    """
    window = config_json.get("sliding_window")
    pattern = config_json.get(
        "_sliding_window_pattern", config_json.get("sliding_window_pattern")
    )
    layer_types = config_json.get("layer_types")
    if window is None or (
        layer_types is not None and "sliding_attention" not in layer_types
    ):
        return {"sliding_window": None, "global_every": None}
    if layer_types is None:
        return {"sliding_window": window, "global_every": pattern}
    return {
        "sliding_window": window,
        "global_every": _global_every(layer_types, pattern),
    }


def _global_every(layer_types: Sequence[str], pattern: int | None) -> int | None:
    """Returns n if every n-th layer attends globally, None if none does; tries `pattern` first."""
    candidates = [pattern, None, *range(2, len(layer_types) + 1)]
    for candidate in candidates:
        if layer_types == _layer_types(len(layer_types), candidate):
            return candidate
    raise InputError(
        f"config.json sets layer_types = {layer_types}; supported are global layers at equal "
        "distances, each after the same number of local ones. Take a model that has them so"
    )


def _layer_types(num_layers: int, global_every: int | None) -> list[str]:
    layer_types = ["sliding_attention"] * num_layers
    if global_every is not None:
        for layer in range(global_every - 1, num_layers, global_every):
            layer_types[layer] = "full_attention"
    return layer_types


def _write_gemma(config: DecoderConfig) -> dict[str, Any]:
    common = write_decoder(config)
    global_every = config.global_every if config.sliding_window else 1
    written = {
        **common,
        "hidden_activation": common["hidden_act"],
        "query_pre_attn_scalar": round((config.query_scale or 1.0) ** -2),
        # transformers asks for a window even where layer_types has no local layer.
        "sliding_window": config.sliding_window or 4096,
        "sliding_window_pattern": config.global_every,
        "layer_types": _layer_types(config.num_layers, global_every),
        "attn_logit_softcapping": config.attention_softcap,
        "final_logit_softcapping": config.logits_softcap,
    }
    if not config.qk_norm:
        return written

    # Gemma 3 has rotary embeddings of their own in its local layers.
    local_theta = config.rope_local_max_wavelength or config.rope_max_wavelength
    written["rope_parameters"] = {
        "full_attention": common["rope_parameters"],
        "sliding_attention": {"rope_theta": local_theta, "rope_type": "default"},
    }
    written["rope_local_base_freq"] = local_theta
    return written


GEMMA1 = register_family(
    Family(
        model_type="gemma",
        architecture="GemmaForCausalLM",
        config_class=DecoderConfig,
        table=LLAMA_TABLE,
        read=_read_gemma1,
        write=write_decoder,
        defaults={
            "hidden_act": "gelu_pytorch_tanh",
            "head_dim": 256,
            "tie_word_embeddings": True,
        },
    )
)
GEMMA2 = register_family(
    Family(
        model_type="gemma2",
        architecture="Gemma2ForCausalLM",
        config_class=DecoderConfig,
        table=GEMMA_TABLE,
        read=_read_gemma2,
        write=_write_gemma,
        defaults=GEMMA2_DEFAULTS,
    )
)
GEMMA3 = register_family(
    Family(
        model_type="gemma3_text",
        architecture="Gemma3ForCausalLM",
        config_class=DecoderConfig,
        table=GEMMA_TABLE,
        read=_read_gemma3,
        write=_write_gemma,
        defaults=GEMMA3_DEFAULTS,
    )
)
