"""Families of public models in Hugging Face's naming: a table of parameter names each, and config.json to and from ours.

A table row is (our name, their name): `{i}` is the number of a layer, a trailing ".T" says that theirs is transposed.
Rows that a model has no parameter for do not apply to it: the table of T5 has the rows of T5 1.0 and of T5 1.1.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flan_jax.errors import InputError, unknown
from flan_jax.models.config import ModelConfig
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig

Json = Mapping[str, Any]

T5 = (
    ("token_embedder/embedding", "shared.weight"),
    ("encoder/relpos_bias/rel_embedding", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight.T"),
    ("encoder/layers_{i}/pre_attention_layer_norm/scale", "encoder.block.{i}.layer.0.layer_norm.weight"),
    ("encoder/layers_{i}/attention/query/kernel", "encoder.block.{i}.layer.0.SelfAttention.q.weight.T"),
    ("encoder/layers_{i}/attention/key/kernel", "encoder.block.{i}.layer.0.SelfAttention.k.weight.T"),
    ("encoder/layers_{i}/attention/value/kernel", "encoder.block.{i}.layer.0.SelfAttention.v.weight.T"),
    ("encoder/layers_{i}/attention/out/kernel", "encoder.block.{i}.layer.0.SelfAttention.o.weight.T"),
    ("encoder/layers_{i}/pre_mlp_layer_norm/scale", "encoder.block.{i}.layer.1.layer_norm.weight"),
    ("encoder/layers_{i}/mlp/wi/kernel", "encoder.block.{i}.layer.1.DenseReluDense.wi.weight.T"),
    ("encoder/layers_{i}/mlp/wi_0/kernel", "encoder.block.{i}.layer.1.DenseReluDense.wi_0.weight.T"),
    ("encoder/layers_{i}/mlp/wi_1/kernel", "encoder.block.{i}.layer.1.DenseReluDense.wi_1.weight.T"),
    ("encoder/layers_{i}/mlp/wo/kernel", "encoder.block.{i}.layer.1.DenseReluDense.wo.weight.T"),
    ("encoder/encoder_norm/scale", "encoder.final_layer_norm.weight"),
    ("decoder/relpos_bias/rel_embedding", "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight.T"),
    ("decoder/layers_{i}/pre_self_attention_layer_norm/scale", "decoder.block.{i}.layer.0.layer_norm.weight"),
    ("decoder/layers_{i}/self_attention/query/kernel", "decoder.block.{i}.layer.0.SelfAttention.q.weight.T"),
    ("decoder/layers_{i}/self_attention/key/kernel", "decoder.block.{i}.layer.0.SelfAttention.k.weight.T"),
    ("decoder/layers_{i}/self_attention/value/kernel", "decoder.block.{i}.layer.0.SelfAttention.v.weight.T"),
    ("decoder/layers_{i}/self_attention/out/kernel", "decoder.block.{i}.layer.0.SelfAttention.o.weight.T"),
    ("decoder/layers_{i}/pre_cross_attention_layer_norm/scale", "decoder.block.{i}.layer.1.layer_norm.weight"),
    ("decoder/layers_{i}/encoder_decoder_attention/query/kernel", "decoder.block.{i}.layer.1.EncDecAttention.q.weight.T"),
    ("decoder/layers_{i}/encoder_decoder_attention/key/kernel", "decoder.block.{i}.layer.1.EncDecAttention.k.weight.T"),
    ("decoder/layers_{i}/encoder_decoder_attention/value/kernel", "decoder.block.{i}.layer.1.EncDecAttention.v.weight.T"),
    ("decoder/layers_{i}/encoder_decoder_attention/out/kernel", "decoder.block.{i}.layer.1.EncDecAttention.o.weight.T"),
    ("decoder/layers_{i}/pre_mlp_layer_norm/scale", "decoder.block.{i}.layer.2.layer_norm.weight"),
    ("decoder/layers_{i}/mlp/wi/kernel", "decoder.block.{i}.layer.2.DenseReluDense.wi.weight.T"),
    ("decoder/layers_{i}/mlp/wi_0/kernel", "decoder.block.{i}.layer.2.DenseReluDense.wi_0.weight.T"),
    ("decoder/layers_{i}/mlp/wi_1/kernel", "decoder.block.{i}.layer.2.DenseReluDense.wi_1.weight.T"),
    ("decoder/layers_{i}/mlp/wo/kernel", "decoder.block.{i}.layer.2.DenseReluDense.wo.weight.T"),
    ("decoder/decoder_norm/scale", "decoder.final_layer_norm.weight"),
    ("decoder/logits_dense/kernel", "lm_head.weight.T"),
)  # fmt: skip

_DECODER = (
    ("token_embedder/embedding", "model.embed_tokens.weight"),
    ("decoder/layers_{i}/pre_self_attention_layer_norm/scale", "model.layers.{i}.input_layernorm.weight"),
    ("decoder/layers_{i}/self_attention/query/kernel", "model.layers.{i}.self_attn.q_proj.weight.T"),
    ("decoder/layers_{i}/self_attention/key/kernel", "model.layers.{i}.self_attn.k_proj.weight.T"),
    ("decoder/layers_{i}/self_attention/value/kernel", "model.layers.{i}.self_attn.v_proj.weight.T"),
    ("decoder/layers_{i}/self_attention/query/bias", "model.layers.{i}.self_attn.q_proj.bias"),
    ("decoder/layers_{i}/self_attention/key/bias", "model.layers.{i}.self_attn.k_proj.bias"),
    ("decoder/layers_{i}/self_attention/value/bias", "model.layers.{i}.self_attn.v_proj.bias"),
    ("decoder/layers_{i}/self_attention/query_norm/scale", "model.layers.{i}.self_attn.q_norm.weight"),
    ("decoder/layers_{i}/self_attention/key_norm/scale", "model.layers.{i}.self_attn.k_norm.weight"),
    ("decoder/layers_{i}/self_attention/out/kernel", "model.layers.{i}.self_attn.o_proj.weight.T"),
    ("decoder/layers_{i}/mlp/wi_0/kernel", "model.layers.{i}.mlp.gate_proj.weight.T"),
    ("decoder/layers_{i}/mlp/wi_1/kernel", "model.layers.{i}.mlp.up_proj.weight.T"),
    ("decoder/layers_{i}/mlp/wo/kernel", "model.layers.{i}.mlp.down_proj.weight.T"),
    ("decoder/decoder_norm/scale", "model.norm.weight"),
    ("decoder/logits_dense/kernel", "lm_head.weight.T"),
)
LLAMA = (
    *_DECODER,
    ("decoder/layers_{i}/pre_mlp_layer_norm/scale", "model.layers.{i}.post_attention_layernorm.weight"),
)
GEMMA = (
    *_DECODER,
    ("decoder/layers_{i}/post_attention_layer_norm/scale", "model.layers.{i}.post_attention_layernorm.weight"),
    ("decoder/layers_{i}/pre_mlp_layer_norm/scale", "model.layers.{i}.pre_feedforward_layernorm.weight"),
    ("decoder/layers_{i}/post_mlp_layer_norm/scale", "model.layers.{i}.post_feedforward_layernorm.weight"),
)

UNREAD = r".*rotary_emb\.inv_freq|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
"""Tensors that old files have and no model uses."""

ACTIVATIONS = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu", "silu": "silu"}
"""Hugging Face's name of an activation -> ours."""
T5_ACTIVATIONS = {"relu": ("relu",), "gated-gelu": ("gelu", "linear"), "gated-silu": ("silu", "linear")}
"""T5's feed_forward_proj -> our mlp_activations. Its "gelu" is the tanh approximation."""


@dataclasses.dataclass(frozen=True)
class Family:
    """What config.json calls model_type and architectures, the table, and the configuration in both directions.

    `read(config_json, has_head)` gives ours, `write(config)` the model's part of config.json. `defaults` are the settings
    of a config.json that does not say them. `embeddings` are further names that the token embedding may have, which a file
    has in place of the table's, or repeats it under.
    """

    model_type: str
    architecture: str
    table: tuple[tuple[str, str], ...]
    read: Callable[[Json, bool], ModelConfig]
    write: Callable[[Any], dict[str, Any]]
    defaults: Json = dataclasses.field(default_factory=dict)
    embeddings: tuple[str, ...] = ()


def foreign_names(family: Family, ours: Iterable[str]) -> dict[str, tuple[str, bool]]:
    """{our unrolled name: (their name, whether theirs is transposed)}. Raises InputError for a name without a row."""
    rows = {own: theirs for own, theirs in family.table}
    found = {}
    for name in ours:
        layer = re.search(r"/layers_(\d+)/", name)
        row = rows.get(re.sub(r"/layers_\d+/", "/layers_{i}/", name))
        if row is None:
            raise InputError(
                f"{family.model_type} models have no parameter for {name}: this model is of another family"
            )
        theirs = row.replace("{i}", layer.group(1) if layer else "")
        found[name] = theirs.removesuffix(".T"), theirs.endswith(".T")
    return found


def family_of_json(config: Json) -> Family:
    """The family that a config.json speaks of, or InputError with those that are known."""
    name = config.get("model_type")
    if not isinstance(name, str) or name not in FAMILIES:
        raise unknown("model_type in config.json", str(name), FAMILIES)
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
        if family.model_type not in ("t5", "mt5", "umt5") and _sizes(
            family.read(family.write(config), _untied(config))
        ) == _sizes(config):
            return family
    raise InputError(f"no family of Hugging Face's has the features of this model; known: {', '.join(FAMILIES)}")


def differences(config: ModelConfig, other: ModelConfig) -> list[str]:
    """Where two models differ in what they compute, as "name: this, not that"; not in dropout, precision or layout."""
    one, two = _sizes(config), _sizes(other)
    return [
        f"{name}: {one.get(name)!r}, not {two.get(name)!r}"
        for name in sorted({*one, *two})
        if one.get(name) != two.get(name)
    ]


NOT_COMPUTED = (
    "dropout_rate", "dtype", "scan_layers", "remat", "attention_backend", "dense", "embed", "prefix_lm", "start_id",
)  # fmt: skip
"""Settings of a run that a checkpoint does not fix."""


def _sizes(config: ModelConfig) -> dict[str, Any]:
    found = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in NOT_COMPUTED}
    if isinstance(config, DecoderConfig) and config.num_kv_heads is None:
        found["num_kv_heads"] = config.num_heads
    if not config.logits_via_embedding:
        found["tied_logits_scale"] = None
    if isinstance(config, DecoderConfig) and config.position == "rope":
        # T5's buckets mean nothing here.
        found = {name: value for name, value in found.items() if not name.startswith("relative_attention")}
    return found


def _untied(config: ModelConfig) -> bool:
    return not config.logits_via_embedding


def _read_t5(config: Json, has_head: bool) -> EncoderDecoderConfig:
    activations = T5_ACTIVATIONS.get(config["feed_forward_proj"])
    if activations is None:
        raise unknown("feed_forward_proj in config.json", config["feed_forward_proj"], T5_ACTIVATIONS)
    if config.get("layer_norm_epsilon", 1e-6) != 1e-6:
        raise InputError(
            f"config.json sets layer_norm_epsilon = {config['layer_norm_epsilon']}; T5's is 1e-06, and so is ours"
        )
    # Of T5, a tied head says that the hidden states are scaled; later versions say it by scale_decoder_outputs.
    scaled = config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True) is not False)
    return EncoderDecoderConfig(
        vocab_size=config["vocab_size"],
        emb_dim=config["d_model"],
        num_heads=config["num_heads"],
        head_dim=config["d_kv"],
        mlp_dim=config["d_ff"],
        num_encoder_layers=config["num_layers"],
        num_decoder_layers=config.get("num_decoder_layers") or config["num_layers"],
        mlp_activations=activations,
        logits_via_embedding=scaled or not has_head,
        tied_logits_scale=None if scaled or has_head else 1.0,
        relative_attention_num_buckets=config.get("relative_attention_num_buckets", 32),
        relative_attention_max_distance=config.get("relative_attention_max_distance", 128),
        dropout_rate=config.get("dropout_rate", 0.1),
    )


def _read_mt5(config: Json, has_head: bool) -> EncoderDecoderConfig:
    """mT5 is never scaled, whatever is tied."""
    return _read_t5({**config, "scale_decoder_outputs": False}, has_head)


def _write_t5(config: EncoderDecoderConfig) -> dict[str, Any]:
    names = {activations: name for name, activations in T5_ACTIVATIONS.items()}
    if config.mlp_activations not in names:
        raise InputError(f"T5 has no mlp_activations {config.mlp_activations}; known: {', '.join(map(str, names))}")
    if config.logits_via_embedding and config.tied_logits_scale not in (None, 1.0):
        raise InputError(
            "T5's tied head is scaled by emb_dim ** -0.5 or not at all; tied_logits_scale is None or 1.0 there"
        )
    scaled = config.logits_via_embedding and config.tied_logits_scale is None
    return {
        "vocab_size": config.vocab_size,
        "d_model": config.emb_dim,
        "num_heads": config.num_heads,
        "d_kv": config.head_dim,
        "d_ff": config.mlp_dim,
        "num_layers": config.num_encoder_layers,
        "num_decoder_layers": config.num_decoder_layers,
        "feed_forward_proj": names[config.mlp_activations],
        # An older transformers takes this for whether the head is scaled, version 5 reads the next line.
        "tie_word_embeddings": scaled,
        "scale_decoder_outputs": scaled,
        "layer_norm_epsilon": 1e-6,
        "relative_attention_num_buckets": config.relative_attention_num_buckets,
        "relative_attention_max_distance": config.relative_attention_max_distance,
        "dropout_rate": config.dropout_rate,
        "is_encoder_decoder": True,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


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
    raise unknown("rope scaling in config.json", str(kind), ("default", "linear", "llama3"))


def _read_decoder(config: Json, has_head: bool) -> dict[str, Any]:
    """What all decoder families share, as arguments of DecoderConfig."""
    activation = config.get("hidden_activation") or config.get("hidden_act")
    if activation not in ACTIVATIONS:
        raise unknown("activation in config.json", str(activation), ACTIVATIONS)
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


def _refuse(config: Json, names: Iterable[str]) -> None:
    for name in names:
        if config.get(name):
            raise InputError(f"config.json sets {name} = {config[name]!r}, which is not supported")


def _read_llama(config: Json, has_head: bool) -> DecoderConfig:
    _refuse(config, ("attention_bias", "mlp_bias"))
    return DecoderConfig(**_read_decoder(config, has_head))


def _read_mistral(config: Json, has_head: bool) -> DecoderConfig:
    return DecoderConfig(**_read_decoder(config, has_head), sliding_window=config.get("sliding_window"))


def _read_qwen2(config: Json, has_head: bool) -> DecoderConfig:
    _refuse(config, ("use_sliding_window",))
    return DecoderConfig(**_read_decoder(config, has_head), attention_bias=True)


def _read_qwen3(config: Json, has_head: bool) -> DecoderConfig:
    _refuse(config, ("use_sliding_window", "attention_bias"))
    return DecoderConfig(**_read_decoder(config, has_head), qk_norm=True)


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
        "rope_scaling": None if config.rope_scaling is None else {k: v for k, v in rope.items() if k != "rope_theta"},
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.logits_via_embedding,
    }


def _write_mistral(config: DecoderConfig) -> dict[str, Any]:
    return _write_decoder(config) | {"sliding_window": config.sliding_window}


def _write_gemma(config: DecoderConfig) -> dict[str, Any]:
    common = _write_decoder(config)
    local = {"rope_theta": config.rope_local_max_wavelength or config.rope_max_wavelength, "rope_type": "default"}
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
        | ({"rope_parameters": both, "rope_local_base_freq": local["rope_theta"]} if config.qk_norm else {})
    )


_TABLES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_SILU, _GELU = {"hidden_act": "silu"}, {"hidden_activation": "gelu_pytorch_tanh"}
_GEMMA = _GELU | {"head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 4096, "tie_word_embeddings": True}
_GEMMA2 = _GEMMA | {"sliding_window_pattern": 2, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
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
