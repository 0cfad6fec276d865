"""Configurations of tiny models, examples for them, and fixtures for their parameters."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig

TINY = {
    "vocab_size": 50,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
# Everything that a decoder can have beside T5's form, in a local and a global layer.
WINDOWED = {
    "num_layers": 2,
    "position": "rope",
    "num_kv_heads": 1,
    "attention_bias": True,
    "qk_norm": True,
    "query_scale": 8**-0.5,
    "attention_softcap": 20.0,
    "logits_softcap": 10.0,
    "sliding_window": 3,
    "global_every": 2,
    "rope_local_max_wavelength": 100.0,
    "rope_scaling": {"type": "linear", "factor": 2.0},
    "norm_offset": 1.0,
    "post_norms": True,
    "scale_embeddings": True,
}


def tiny_encoder_decoder(**changes):
    """Returns the configuration of an encoder-decoder with two layers in each stack."""
    return EncoderDecoderConfig(
        num_encoder_layers=2, num_decoder_layers=2, **TINY | changes
    )


def tiny_relative_decoder(**changes):
    """Returns the configuration of a decoder with T5's relative position bias."""
    return DecoderConfig(num_layers=2, position="relative", **TINY | changes)


def tiny_rope_decoder(**changes):
    """Returns the configuration of a decoder with rotary embeddings."""
    return DecoderConfig(num_layers=2, position="rope", **TINY | changes)


def tiny_windowed_decoder(**changes):
    """Returns the configuration of a decoder with everything in WINDOWED."""
    return DecoderConfig(**WINDOWED | TINY | changes)


CONFIGS = {
    "encoder_decoder": tiny_encoder_decoder,
    "relative": tiny_relative_decoder,
    "rope": tiny_rope_decoder,
    "windowed": tiny_windowed_decoder,
}

# Three examples, (input tokens, target tokens); each ends with 1.
EXAMPLES = [
    ([5, 6, 7, 1], [8, 9, 1]),
    ([10, 11, 1], [12, 1]),
    ([13, 14, 15, 16, 1], [17, 18, 19, 1]),
]


@pytest.fixture(params=list(CONFIGS))
def make_config(request):
    """make_config(**changes) for each of CONFIGS."""
    return CONFIGS[request.param]


@pytest.fixture
def examples():
    return EXAMPLES


@pytest.fixture
def init():
    """init(model, batch) -> unboxed parameters. Jitted, as it is then one compilation."""

    def unboxed(model, batch, seed=0):
        variables = jax.jit(model.init)(jax.random.key(seed), batch)
        return nn.unbox(variables)["params"]

    return unboxed


@pytest.fixture
def stacked():
    """stacked(params): unrolled parameters (layers_0, layers_1 ...) -> scanned ones (layers)."""
    return _stacked


def _stacked(params):
    if not isinstance(params, dict):
        return params
    layer_names = sorted(name for name in params if name.startswith("layers_"))
    stacked_params = {
        name: _stacked(branch)
        for name, branch in params.items()
        if name not in layer_names
    }
    if layer_names:
        layers = [params[name] for name in layer_names]
        stacked_params["layers"] = jax.tree.map(
            lambda *leaves: jnp.stack(leaves), *layers
        )
    return stacked_params
