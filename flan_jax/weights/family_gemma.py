"""Gemma 1, 2 and 3 (text)."""

from typing import Any

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.weights.family import Json, _refuse
from flan_jax.weights.family_llama import _DECODER, _read_decoder, _rope, _write_decoder

GEMMA = (
    *_DECODER,
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


def _read_gemma(config: Json, has_head: bool, **features: Any) -> DecoderConfig:
    _refuse(config, ("attention_bias", "use_bidirectional_attention"))
    gemma = {
        "query_scale": config["query_pre_attn_scalar"] ** -0.5,
        "attention_softcap": config.get("attn_logit_softcapping"),
        "logits_softcap": config.get("final_logit_softcapping"),
        "norm_offset": 1.0,
        "post_norms": True,
        "scale_embeddings": True,
    }
    return DecoderConfig(**(_read_decoder(config, has_head) | gemma | _windows(config) | features))


def _read_gemma2(config: Json, has_head: bool) -> DecoderConfig:
    return _read_gemma(config, has_head)


def _read_gemma3(config: Json, has_head: bool) -> DecoderConfig:
    local = None
    if _windows(config)["sliding_window"] is not None:
        local = float(_rope(config, "sliding_attention")["rope_theta"])
    return _read_gemma(config, has_head, qk_norm=True, rope_local_max_wavelength=local)


def _windows(config: Json) -> dict[str, Any]:
    """sliding_window and global_every of Gemma, whose layers are local and global by layer_types, or else by a pattern."""
    window = config.get("sliding_window")
    pattern = config.get("_sliding_window_pattern", config.get("sliding_window_pattern"))
    kinds = config.get("layer_types")
    if window is None or (kinds is not None and "sliding_attention" not in kinds):
        return {"sliding_window": None, "global_every": None}
    for every in (pattern, None, *range(2, len(kinds or ()) + 1)):
        if kinds is None or kinds == _layer_types(len(kinds), every):
            return {"sliding_window": window, "global_every": every}
    raise InputError(
        f"config.json sets layer_types = {kinds}; supported are global layers at equal distances, the last of each"
    )


def _layer_types(layers: int, global_every: int | None) -> list[str]:
    local = [global_every is None or (i + 1) % global_every for i in range(layers)]
    return ["sliding_attention" if one else "full_attention" for one in local]


def _write_gemma(config: DecoderConfig) -> dict[str, Any]:
    common = _write_decoder(config)
    local = {
        "rope_theta": config.rope_local_max_wavelength or config.rope_max_wavelength,
        "rope_type": "default",
    }
    kinds = _layer_types(config.num_layers, config.global_every if config.sliding_window else 1)
    both = {"full_attention": common["rope_parameters"], "sliding_attention": local}
    return (
        common
        | {
            "hidden_activation": common["hidden_act"],
            "query_pre_attn_scalar": round((config.query_scale or 1.0) ** -2),
            # transformers asks for a window even where layer_types has no local layer.
            "sliding_window": config.sliding_window or 4096,
            "sliding_window_pattern": config.global_every,
            "layer_types": kinds,
            "attn_logit_softcapping": config.attention_softcap,
            "final_logit_softcapping": config.logits_softcap,
        }
        | (
            {"rope_parameters": both, "rope_local_base_freq": local["rope_theta"]}
            if config.qk_norm
            else {}
        )
    )
