"""Llama 2 and 3, Mistral, Qwen 2.5 and 3."""

from typing import Any

from flan_jax.errors import unknown_name
from flan_jax.models.decoder import DecoderConfig
from flan_jax.weights.family import ACTIVATIONS, Json, _refuse

_DECODER = (
    ("token_embedder/embedding", "model.embed_tokens.weight"),
    (
        "decoder/layers_{i}/pre_self_attention_layer_norm/scale",
        "model.layers.{i}.input_layernorm.weight",
    ),
    (
        "decoder/layers_{i}/self_attention/query/kernel",
        "model.layers.{i}.self_attn.q_proj.weight.T",
    ),
    ("decoder/layers_{i}/self_attention/key/kernel", "model.layers.{i}.self_attn.k_proj.weight.T"),
    (
        "decoder/layers_{i}/self_attention/value/kernel",
        "model.layers.{i}.self_attn.v_proj.weight.T",
    ),
    ("decoder/layers_{i}/self_attention/query/bias", "model.layers.{i}.self_attn.q_proj.bias"),
    ("decoder/layers_{i}/self_attention/key/bias", "model.layers.{i}.self_attn.k_proj.bias"),
    ("decoder/layers_{i}/self_attention/value/bias", "model.layers.{i}.self_attn.v_proj.bias"),
    (
        "decoder/layers_{i}/self_attention/query_norm/scale",
        "model.layers.{i}.self_attn.q_norm.weight",
    ),
    (
        "decoder/layers_{i}/self_attention/key_norm/scale",
        "model.layers.{i}.self_attn.k_norm.weight",
    ),
    ("decoder/layers_{i}/self_attention/out/kernel", "model.layers.{i}.self_attn.o_proj.weight.T"),
    ("decoder/layers_{i}/mlp/wi_0/kernel", "model.layers.{i}.mlp.gate_proj.weight.T"),
    ("decoder/layers_{i}/mlp/wi_1/kernel", "model.layers.{i}.mlp.up_proj.weight.T"),
    ("decoder/layers_{i}/mlp/wo/kernel", "model.layers.{i}.mlp.down_proj.weight.T"),
    ("decoder/decoder_norm/scale", "model.norm.weight"),
    ("decoder/logits_dense/kernel", "lm_head.weight.T"),
)


LLAMA = (
    *_DECODER,
    (
        "decoder/layers_{i}/pre_mlp_layer_norm/scale",
        "model.layers.{i}.post_attention_layernorm.weight",
    ),
)


def _rope(config: Json, layers: str = "full_attention") -> dict[str, Any]:
    """The rotary settings as one mapping, whichever of three ways config.json has them in."""
    theta = config.get("rope_theta", 10_000.0)
    if layers == "sliding_attention":
        theta = config.get("rope_local_base_freq", 10_000.0)
    settings = config.get("rope_parameters") or {}
    settings = settings.get(layers, settings)
    if not settings and layers != "sliding_attention":
        settings = config.get("rope_scaling") or {}
    return {"rope_theta": theta, **settings}


def _scaling(settings: Json) -> dict[str, Any] | None:
    kind = settings.get("rope_type", settings.get("type", "default"))
    if kind == "default":
        return None
    if kind == "linear":
        return {"type": "linear", "factor": settings["factor"]}
    if kind == "llama3":
        return {
            "type": "llama3",
            "factor": settings["factor"],
            "low_freq_factor": settings["low_freq_factor"],
            "high_freq_factor": settings["high_freq_factor"],
            "original_max_position": settings["original_max_position_embeddings"],
        }
    raise unknown_name("rope scaling in config.json", str(kind), ("default", "linear", "llama3"))


def _read_decoder(config: Json, has_head: bool) -> dict[str, Any]:
    """What all decoder families share, as arguments of DecoderConfig."""
    activation = config.get("hidden_activation") or config.get("hidden_act")
    if activation not in ACTIVATIONS:
        raise unknown_name("activation in config.json", str(activation), ACTIVATIONS)
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    rope = _rope(config)
    return {
        "vocab_size": config["vocab_size"],
        "emb_dim": config["hidden_size"],
        "num_heads": config["num_attention_heads"],
        "num_kv_heads": config.get("num_key_value_heads") or config["num_attention_heads"],
        "head_dim": head_dim,
        "mlp_dim": config["intermediate_size"],
        "num_layers": config["num_hidden_layers"],
        "mlp_activations": (ACTIVATIONS[activation], "linear"),
        "position": "rope",
        "rope_max_wavelength": float(rope["rope_theta"]),
        "rope_scaling": _scaling(rope),
        "query_scale": head_dim**-0.5,
        "norm_epsilon": config.get("rms_norm_eps", 1e-6),
        "logits_via_embedding": bool(config.get("tie_word_embeddings", not has_head)),
        "tied_logits_scale": 1.0 if config.get("tie_word_embeddings", not has_head) else None,
        "dropout_rate": 0.0,
        "prefix_lm": False,
    }


def _read_llama(config: Json, has_head: bool) -> DecoderConfig:
    _refuse(config, ("attention_bias", "mlp_bias"))
    return DecoderConfig(**_read_decoder(config, has_head))


def _read_mistral(config: Json, has_head: bool) -> DecoderConfig:
    return DecoderConfig(
        **_read_decoder(config, has_head), sliding_window=config.get("sliding_window")
    )


def _read_qwen2(config: Json, has_head: bool) -> DecoderConfig:
    _refuse(config, ("use_sliding_window",))
    return DecoderConfig(**_read_decoder(config, has_head), attention_bias=True)


def _read_qwen3(config: Json, has_head: bool) -> DecoderConfig:
    _refuse(config, ("use_sliding_window", "attention_bias"))
    return DecoderConfig(**_read_decoder(config, has_head), qk_norm=True)


def _write_decoder(config: DecoderConfig) -> dict[str, Any]:
    names = {"gelu": "gelu_pytorch_tanh", "silu": "silu"}
    rope: dict[str, Any] = {"rope_theta": config.rope_max_wavelength, "rope_type": "default"}
    if config.rope_scaling is not None:
        scaling = dict(config.rope_scaling)
        original = (
            {"original_max_position_embeddings": scaling.pop("original_max_position")}
            if scaling["type"] == "llama3"
            else {}
        )
        rope |= {"rope_type": scaling.pop("type"), **scaling, **original}
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.emb_dim,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads or config.num_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.mlp_dim,
        "num_hidden_layers": config.num_layers,
        "hidden_act": names.get(config.mlp_activations[0], config.mlp_activations[0]),
        "rope_parameters": rope,
        # Before version 5 transformers and others look for these two.
        "rope_theta": config.rope_max_wavelength,
        "rope_scaling": None
        if config.rope_scaling is None
        else {k: v for k, v in rope.items() if k != "rope_theta"},
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.logits_via_embedding,
    }


def _write_mistral(config: DecoderConfig) -> dict[str, Any]:
    return _write_decoder(config) | {"sliding_window": config.sliding_window}
