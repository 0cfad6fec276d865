import flax.linen as nn
import jax
import pytest

from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig

TINY = {"vocab_size": 50, "emb_dim": 16, "num_heads": 2, "head_dim": 8, "mlp_dim": 24, "dropout_rate": 0.0}
CONFIGS = {
    "encoder_decoder": lambda **kw: EncoderDecoderConfig(num_encoder_layers=2, num_decoder_layers=2, **TINY | kw),
    "relative": lambda **kw: DecoderConfig(num_layers=2, position="relative", **TINY | kw),
    "rope": lambda **kw: DecoderConfig(num_layers=2, position="rope", **TINY | kw),
}

# Three examples, (input tokens, target tokens); 1 ends each.
EXAMPLES = [([5, 6, 7, 1], [8, 9, 1]), ([10, 11, 1], [12, 1]), ([13, 14, 15, 16, 1], [17, 18, 19, 1])]


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
