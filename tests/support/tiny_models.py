"""Tiny models whose answers depend strongly on what they read, and their logits without a cache."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from flan_jax.decoding.scorer import Scorer
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import dummy_batch
from flan_jax.parallel.mesh import make_mesh

SIZES = {
    "vocab_size": 40,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(
        num_encoder_layers=1, num_decoder_layers=2, **SIZES
    ),
    "relative": DecoderConfig(num_layers=2, **SIZES),
    "rope": DecoderConfig(num_layers=2, position="rope", scan_layers=False, **SIZES),
}
EOS = 1
LENGTHS = {"inputs": 16, "targets": 16}
PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12, 1], [13, 1], [14, 15, 16, 17, 1], [18, 19, 1]]


def tokens(lists):
    return [np.array(one, np.int32) for one in lists]


def as_read(name, prompts):
    """The prompts as a model of MODELS reads them: a decoder's begin with PAD."""
    start = [] if MODELS[name].architecture == "encoder_decoder" else [0]
    return tokens([[*start, *prompt] for prompt in prompts])


def token_lists(arrays):
    return [array.tolist() for array in arrays]


@functools.cache
def params_of(name, eos_bias=0.0):
    """Parameters whose logits depend strongly on what was read.

    `eos_bias` makes EOS more likely everywhere.
    """
    config = MODELS[name]
    variables = jax.jit(config.build().init)(jax.random.key(6), dummy_batch(config))
    params = nn.unbox(variables)["params"]
    head = params["decoder"]["logits_dense"]
    head["kernel"] = head["kernel"].at[:, EOS].mul(eos_bias or 1.0)
    return params


def make_scorer(name, rows=4, mesh=None, **kwargs):
    """A scorer of one of MODELS; further arguments are those of params_of."""
    params = params_of(name, **kwargs)
    return Scorer(
        MODELS[name], params, make_mesh(mesh or {"data": 8}), rows=rows, stop_ids=(EOS,)
    )


@functools.cache
def _whole_model(name):
    return jax.jit(MODELS[name].build().apply)


@pytest.fixture
def logits_of(make_batch):
    """logits_of(name, prompt, answer): float32[answer + 1, V].

    What the whole model says of each answer token and of the one behind, from a batch of that
    example alone.
    """

    def logits(name, prompt, answer, **kwargs):
        architecture = MODELS[name].architecture
        # One token more than the answer: its logits are those of what follows.
        batch = make_batch(architecture, [[(list(prompt), [*answer, 2])]], LENGTHS)
        variables = {"params": params_of(name, **kwargs)}
        row = np.asarray(_whole_model(name)(variables, batch))[0]
        start = 0 if architecture == "encoder_decoder" else len(prompt)
        return row[start : start + len(answer) + 1]

    return logits
