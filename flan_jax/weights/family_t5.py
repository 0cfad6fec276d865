"""T5 1.0, T5 1.1, mT5 and UL2."""

import math
from typing import Any

from flan_jax.errors import InputError, look_up
from flan_jax.json_files import JsonObject
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.weights.family import Family, register_family

T5_TABLE = (
    ("token_embedder/embedding", "shared.weight"),
    (
        "encoder/relpos_bias/rel_embedding",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight.T",
    ),
    (
        "encoder/layers_{i}/pre_attention_layer_norm/scale",
        "encoder.block.{i}.layer.0.layer_norm.weight",
    ),
    (
        "encoder/layers_{i}/attention/query/kernel",
        "encoder.block.{i}.layer.0.SelfAttention.q.weight.T",
    ),
    (
        "encoder/layers_{i}/attention/key/kernel",
        "encoder.block.{i}.layer.0.SelfAttention.k.weight.T",
    ),
    (
        "encoder/layers_{i}/attention/value/kernel",
        "encoder.block.{i}.layer.0.SelfAttention.v.weight.T",
    ),
    (
        "encoder/layers_{i}/attention/out/kernel",
        "encoder.block.{i}.layer.0.SelfAttention.o.weight.T",
    ),
    (
        "encoder/layers_{i}/pre_mlp_layer_norm/scale",
        "encoder.block.{i}.layer.1.layer_norm.weight",
    ),
    (
        "encoder/layers_{i}/mlp/wi/kernel",
        "encoder.block.{i}.layer.1.DenseReluDense.wi.weight.T",
    ),
    (
        "encoder/layers_{i}/mlp/wi_0/kernel",
        "encoder.block.{i}.layer.1.DenseReluDense.wi_0.weight.T",
    ),
    (
        "encoder/layers_{i}/mlp/wi_1/kernel",
        "encoder.block.{i}.layer.1.DenseReluDense.wi_1.weight.T",
    ),
    (
        "encoder/layers_{i}/mlp/wo/kernel",
        "encoder.block.{i}.layer.1.DenseReluDense.wo.weight.T",
    ),
    ("encoder/encoder_norm/scale", "encoder.final_layer_norm.weight"),
    (
        "decoder/relpos_bias/rel_embedding",
        "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight.T",
    ),
    (
        "decoder/layers_{i}/pre_self_attention_layer_norm/scale",
        "decoder.block.{i}.layer.0.layer_norm.weight",
    ),
    (
        "decoder/layers_{i}/self_attention/query/kernel",
        "decoder.block.{i}.layer.0.SelfAttention.q.weight.T",
    ),
    (
        "decoder/layers_{i}/self_attention/key/kernel",
        "decoder.block.{i}.layer.0.SelfAttention.k.weight.T",
    ),
    (
        "decoder/layers_{i}/self_attention/value/kernel",
        "decoder.block.{i}.layer.0.SelfAttention.v.weight.T",
    ),
    (
        "decoder/layers_{i}/self_attention/out/kernel",
        "decoder.block.{i}.layer.0.SelfAttention.o.weight.T",
    ),
    (
        "decoder/layers_{i}/pre_cross_attention_layer_norm/scale",
        "decoder.block.{i}.layer.1.layer_norm.weight",
    ),
    (
        "decoder/layers_{i}/encoder_decoder_attention/query/kernel",
        "decoder.block.{i}.layer.1.EncDecAttention.q.weight.T",
    ),
    (
        "decoder/layers_{i}/encoder_decoder_attention/key/kernel",
        "decoder.block.{i}.layer.1.EncDecAttention.k.weight.T",
    ),
    (
        "decoder/layers_{i}/encoder_decoder_attention/value/kernel",
        "decoder.block.{i}.layer.1.EncDecAttention.v.weight.T",
    ),
    (
        "decoder/layers_{i}/encoder_decoder_attention/out/kernel",
        "decoder.block.{i}.layer.1.EncDecAttention.o.weight.T",
    ),
    (
        "decoder/layers_{i}/pre_mlp_layer_norm/scale",
        "decoder.block.{i}.layer.2.layer_norm.weight",
    ),
    (
        "decoder/layers_{i}/mlp/wi/kernel",
        "decoder.block.{i}.layer.2.DenseReluDense.wi.weight.T",
    ),
    (
        "decoder/layers_{i}/mlp/wi_0/kernel",
        "decoder.block.{i}.layer.2.DenseReluDense.wi_0.weight.T",
    ),
    (
        "decoder/layers_{i}/mlp/wi_1/kernel",
        "decoder.block.{i}.layer.2.DenseReluDense.wi_1.weight.T",
    ),
    (
        "decoder/layers_{i}/mlp/wo/kernel",
        "decoder.block.{i}.layer.2.DenseReluDense.wo.weight.T",
    ),
    ("decoder/decoder_norm/scale", "decoder.final_layer_norm.weight"),
    ("decoder/logits_dense/kernel", "lm_head.weight.T"),
)

T5_ACTIVATIONS = {
    "relu": ("relu",),
    "gated-gelu": ("gelu", "linear"),
    "gated-silu": ("silu", "linear"),
}
"""T5's feed_forward_proj -> our mlp_activations. Its "gelu" is the tanh approximation."""

EMBEDDING_ALIASES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def _read_t5(config_json: JsonObject, has_head: bool) -> EncoderDecoderConfig:
    activations = look_up(
        T5_ACTIVATIONS,
        "feed_forward_proj in config.json",
        str(config_json["feed_forward_proj"]),
    )
    epsilon = config_json.get("layer_norm_epsilon", 1e-6)
    if not math.isclose(epsilon, 1e-6, rel_tol=1e-6):
        raise InputError(
            f"config.json sets layer_norm_epsilon = {epsilon}; models here have T5's 1e-06. Take a "
            "model that has it"
        )

    # Up to transformers 4 a tied head says that the hidden states are scaled; later versions say so
    # by scale_decoder_outputs.
    is_tied = config_json.get("tie_word_embeddings", True) is not False
    is_scaled = config_json.get("scale_decoder_outputs", is_tied)
    return EncoderDecoderConfig(
        vocab_size=config_json["vocab_size"],
        emb_dim=config_json["d_model"],
        num_heads=config_json["num_heads"],
        head_dim=config_json["d_kv"],
        mlp_dim=config_json["d_ff"],
        num_encoder_layers=config_json["num_layers"],
        num_decoder_layers=config_json.get("num_decoder_layers")
        or config_json["num_layers"],
        mlp_activations=activations,
        logits_via_embedding=is_scaled or not has_head,
        tied_logits_scale=None if is_scaled or has_head else 1.0,
        relative_attention_num_buckets=config_json.get(
            "relative_attention_num_buckets", 32
        ),
        relative_attention_max_distance=config_json.get(
            "relative_attention_max_distance", 128
        ),
        dropout_rate=config_json.get("dropout_rate", 0.1),
    )


def _read_mt5(config_json: JsonObject, has_head: bool) -> EncoderDecoderConfig:
    """mT5 never scales the hidden states, tied head or not."""
    return _read_t5({**config_json, "scale_decoder_outputs": False}, has_head)


def _write_t5(config: EncoderDecoderConfig) -> dict[str, Any]:
    names = {activations: name for name, activations in T5_ACTIVATIONS.items()}
    if config.mlp_activations not in names:
        raise InputError(
            f"T5 has no mlp_activations {config.mlp_activations}; known: "
            f"{', '.join(map(str, names))}"
        )
    if config.logits_via_embedding and config.tied_logits_scale not in (None, 1.0):
        raise InputError(
            "T5 scales the logits of a tied head by emb_dim ** -0.5 or not at all, so "
            f"tied_logits_scale = {config.tied_logits_scale} cannot be exported; it must be None "
            "or 1.0"
        )

    is_scaled = config.logits_via_embedding and config.tied_logits_scale is None
    return {
        "vocab_size": config.vocab_size,
        "d_model": config.emb_dim,
        "num_heads": config.num_heads,
        "d_kv": config.head_dim,
        "d_ff": config.mlp_dim,
        "num_layers": config.num_encoder_layers,
        "num_decoder_layers": config.num_decoder_layers,
        "feed_forward_proj": names[config.mlp_activations],
        # transformers 4 reads from this whether the hidden states are scaled, 5 from the next line.
        "tie_word_embeddings": is_scaled,
        "scale_decoder_outputs": is_scaled,
        "layer_norm_epsilon": 1e-6,
        "relative_attention_num_buckets": config.relative_attention_num_buckets,
        "relative_attention_max_distance": config.relative_attention_max_distance,
        "dropout_rate": config.dropout_rate,
        "is_encoder_decoder": True,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


T5 = register_family(
    Family(
        model_type="t5",
        architecture="T5ForConditionalGeneration",
        config_class=EncoderDecoderConfig,
        table=T5_TABLE,
        read=_read_t5,
        write=_write_t5,
        defaults={"feed_forward_proj": "relu"},
        embedding_aliases=EMBEDDING_ALIASES,
        sentencepiece_file="spiece.model",
    )
)
MT5 = register_family(
    Family(
        model_type="mt5",
        architecture="MT5ForConditionalGeneration",
        config_class=EncoderDecoderConfig,
        table=T5_TABLE,
        read=_read_mt5,
        write=_write_t5,
        defaults={"feed_forward_proj": "gated-gelu"},
        embedding_aliases=EMBEDDING_ALIASES,
        sentencepiece_file="spiece.model",
    )
)
