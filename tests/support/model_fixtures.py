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
# Everything that a decoder has beside T5's form, in a local and a global layer.
WINDOWED = {
    "num_layers": 2, "position": "rope", "num_kv_heads": 1, "attention_bias": True, "qk_norm": True,
    "query_scale": 8**-0.5, "attention_softcap": 20.0, "logits_softcap": 10.0, "sliding_window": 3, "global_every": 2,
    "rope_local_max_wavelength": 100.0, "rope_scaling": {"type": "linear", "factor": 2.0}, "norm_offset": 1.0,
    "post_norms": True, "scale_embeddings": True,
}  # fmt: skip
CONFIGS = {
    "encoder_decoder": lambda **kw: EncoderDecoderConfig(
        num_encoder_layers=2, num_decoder_layers=2, **TINY | kw
    ),
    "relative": lambda **kw: DecoderConfig(num_layers=2, position="relative", **TINY | kw),
    "rope": lambda **kw: DecoderConfig(num_layers=2, position="rope", **TINY | kw),
    "windowed": lambda **kw: DecoderConfig(**WINDOWED | TINY | kw),
}

# Three examples, (input tokens, target tokens); 1 ends each.
EXAMPLES = [
    ([5, 6, 7, 1], [8, 9, 1]),
    ([10, 11, 1], [12, 1]),
    ([13, 14, 15, 16, 1], [17, 18, 19, 1]),
]


@pytest.fixture(params=list(CONFIGS))
def make_config(request):
    """make_config(**changes) for each of the architectures."""
    return CONFIGS[request.param]


@pytest.fixture
def examples():
    return EXAMPLES


@pytest.fixture
def init():
    """init(model, batch) -> parameters, unboxed. One compilation: a jitted init."""

    def unboxed(model, batch, seed=0):
        return nn.unbox(jax.jit(model.init)(jax.random.key(seed), batch))["params"]

    return unboxed


@pytest.fixture
def stacked():
    """stacked(params): unrolled parameters (layers_0, layers_1) -> scanned ones (layers, with a leading axis)."""
    return _stacked


def _stacked(params):
    if not isinstance(params, dict):
        return params
    names = sorted(name for name in params if name.startswith("layers_"))
    out = {name: _stacked(value) for name, value in params.items() if name not in names}
    if names:
        out["layers"] = jax.tree.map(
            lambda *leaves: jnp.stack(leaves), *[params[name] for name in names]
        )
    return out
