"""Families of public models in Hugging Face's naming: a table of parameter names each, and config.json to and from ours.

A table row is (our name, their name): `{i}` is the number of a layer, a trailing ".T" says that theirs is transposed.
Rows that a model has no parameter for do not apply to it: the table of T5 has the rows of T5 1.0 and of T5 1.1.
"""

import dataclasses
from typing import Any

from flan_jax.errors import InputError, unknown_name
from flan_jax.models.config import EXECUTION_SETTINGS, ModelConfig
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.weights.family import _GELU, _SILU, Family, Json, _untied
from flan_jax.weights.family_gemma import GEMMA, _read_gemma2, _read_gemma3, _write_gemma
from flan_jax.weights.family_llama import (
    LLAMA,
    _read_llama,
    _read_mistral,
    _read_qwen2,
    _read_qwen3,
    _write_decoder,
    _write_mistral,
)
from flan_jax.weights.family_t5 import T5, _read_mt5, _read_t5, _write_t5


def family_of_json(config: Json) -> Family:
    """The family that a config.json speaks of, or InputError with those that are known."""
    name = config.get("model_type")
    if not isinstance(name, str) or name not in FAMILIES:
        raise unknown_name("model_type in config.json", str(name), FAMILIES)
    return FAMILIES[name]


def family_of(config: ModelConfig) -> Family:
    """The family that has all of a model's features, the plainest first. Raises InputError when none has."""
    if isinstance(config, EncoderDecoderConfig):
        return FAMILIES["t5"]
    assert isinstance(config, DecoderConfig)
    if config.position != "rope":
        raise InputError(
            "Hugging Face has no decoder with T5's relative positions: this model cannot be exported there"
        )
    for family in FAMILIES.values():
        if family.model_type not in ("t5", "mt5", "umt5") and _architecture_fields(
            family.read(family.write(config), _untied(config))
        ) == _architecture_fields(config):
            return family
    raise InputError(
        f"no family of Hugging Face's has the features of this model; known: {', '.join(FAMILIES)}"
    )


def differences(config: ModelConfig, other: ModelConfig) -> list[str]:
    """Where two models differ in what they compute, as "name: this, not that"; not in dropout, precision or layout."""
    one, two = _architecture_fields(config), _architecture_fields(other)
    return [
        f"{name}: {one.get(name)!r}, not {two.get(name)!r}"
        for name in sorted({*one, *two})
        if one.get(name) != two.get(name)
    ]


NOT_COMPUTED = (
    *EXECUTION_SETTINGS,
    "dropout_rate",
    "dtype",
    "dense",
    "embed",
    "attention",
    "prefix_lm",
    "start_id",
)
"""Settings of a run that a checkpoint does not fix."""


def _architecture_fields(config: ModelConfig) -> dict[str, Any]:
    found = {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(config)
        if f.name not in NOT_COMPUTED
    }
    if isinstance(config, DecoderConfig) and config.num_kv_heads is None:
        found["num_kv_heads"] = config.num_heads
    if not config.logits_via_embedding:
        found["tied_logits_scale"] = None
    if isinstance(config, DecoderConfig) and config.position == "rope":
        # T5's buckets mean nothing here.
        found = {
            name: value
            for name, value in found.items()
            if not name.startswith("relative_attention")
        }
    return found


_TABLES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_GEMMA = _GELU | {
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
_GEMMA2 = _GEMMA | {
    "sliding_window_pattern": 2,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
}
# Gemma 3's folders with images say of the text model only what differs from this.
_GEMMA3 = _GEMMA | {
    "vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "sliding_window_pattern": 6,
    "rope_theta": 1_000_000.0,
}  # fmt: skip
FAMILIES = {
    family.model_type: family
    for family in (
        Family("t5", "T5ForConditionalGeneration", T5, _read_t5, _write_t5, {"feed_forward_proj": "relu"}, _TABLES),
        Family("mt5", "MT5ForConditionalGeneration", T5, _read_mt5, _write_t5, {"feed_forward_proj": "gated-gelu"}, _TABLES),
        Family("llama", "LlamaForCausalLM", LLAMA, _read_llama, _write_decoder, _SILU),
        Family("mistral", "MistralForCausalLM", LLAMA, _read_mistral, _write_mistral, _SILU | {"sliding_window": 4096}),
        Family("qwen2", "Qwen2ForCausalLM", LLAMA, _read_qwen2, _write_decoder, _SILU),
        Family("qwen3", "Qwen3ForCausalLM", LLAMA, _read_qwen3, _write_decoder, _SILU | {"head_dim": 128}),
        Family("gemma2", "Gemma2ForCausalLM", GEMMA, _read_gemma2, _write_gemma, _GEMMA2),
        Family("gemma3_text", "Gemma3ForCausalLM", GEMMA, _read_gemma3, _write_gemma, _GEMMA3),
    )
}  # fmt: skip
"""By config.json's model_type."""
