"""Small jobs and targets for the tests of preflight."""

import math

import jax
import pytest

from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.preflight.compile import Job
from flan_jax.preflight.target import Target, tpu_slice
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.training.settings import TrainConfig

MODEL = EncoderDecoderConfig(
    vocab_size=64,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=32,
    num_encoder_layers=2,
    num_decoder_layers=2,
)
DECODER = DecoderConfig(
    vocab_size=64, emb_dim=16, num_heads=2, head_dim=8, mlp_dim=32, num_layers=2
)


def make_job(*, model=MODEL, mesh=None, microbatches=1):
    """A job of 10 steps on batches of 16 rows."""
    return Job(
        model=model,
        optimizer=OptimizerConfig(learning_rate=1e-3),
        training=TrainConfig(steps=10, seed=0, mesh=mesh, microbatches=microbatches),
        batch_rows=16,
        eval_rows=8,
        lengths={"inputs": 16, "targets": 8},
    )


def make_target(count=8, *, memory=math.inf, chip=None):
    """The first `count` devices of this process."""
    return Target("eight", jax.devices()[:count], chip, memory)


def v4_slice():
    """A slice of four chips; skips the test if there is no compiler for it."""
    pytest.importorskip(
        "libtpu",
        reason="libtpu compiles for TPUs without one: pip install -e '.[preflight]'",
    )
    return tpu_slice("v4:2x2x1")
