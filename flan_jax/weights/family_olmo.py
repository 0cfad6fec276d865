"""OLMo 2."""

from flan_jax.json_files import JsonObject
from flan_jax.models.decoder import DecoderConfig
from flan_jax.weights.family import Family, refuse_settings, register_family
from flan_jax.weights.family_llama import DECODER_TABLE, read_decoder, write_decoder

OLMO2_TABLE = (
    *DECODER_TABLE,
    (
        "decoder/layers_{i}/post_attention_layer_norm/scale",
        "model.layers.{i}.post_attention_layernorm.weight",
    ),
    (
        "decoder/layers_{i}/post_mlp_layer_norm/scale",
        "model.layers.{i}.post_feedforward_layernorm.weight",
    ),
)


def _read_olmo2(config_json: JsonObject, has_head: bool) -> DecoderConfig:
    refuse_settings(config_json, "attention_bias")
    return DecoderConfig(
        **read_decoder(config_json, has_head),
        qk_norm=True,
        joint_qk_norm=True,
        pre_norms=False,
        post_norms=True,
    )


OLMO2 = register_family(
    Family(
        model_type="olmo2",
        architecture="Olmo2ForCausalLM",
        config_class=DecoderConfig,
        table=OLMO2_TABLE,
        read=_read_olmo2,
        write=write_decoder,
        defaults={"hidden_act": "silu", "rms_norm_eps": 1e-5},
    )
)
