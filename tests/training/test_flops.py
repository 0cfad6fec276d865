"""FLOPs of a partly frozen step, against the matrix products of its gradient as JAX traces it."""

import dataclasses
import math

import flax.linen as nn
import jax
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.interpreters import partial_eval
from preflight_jobs import DECODER as SMALL_DECODER
from preflight_jobs import MODEL

from flan_jax.batch import batch_spec
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.params import abstract_params
from flan_jax.training.flops import step_flops
from flan_jax.training.state import split_trainable
from flan_jax.training.step import mean_gradients

LENGTHS = {"inputs": 24, "targets": 8}
ROWS = 4
# So many tokens have loss: all of a decoder's rows, whose logits are then made without a loop.
SUPERVISED = ROWS * 32


class EveryLogit(DecoderConfig):
    """A decoder whose training computes the head for tokens without loss, too."""

    computes_supervised_logits_only = False


DECODER = EveryLogit(
    **{
        field.name: getattr(SMALL_DECODER, field.name)
        for field in dataclasses.fields(SMALL_DECODER)
    }
)
# Matrices so large that the products of attention are small beside theirs.
SIZES = {"emb_dim": 64, "mlp_dim": 512, "vocab_size": 512, "num_heads": 1}
MODELS = {
    "encoder_decoder": dataclasses.replace(MODEL, scan_layers=False, **SIZES),
    "decoder": dataclasses.replace(DECODER, scan_layers=False, **SIZES),
    "tied": dataclasses.replace(
        DECODER, scan_layers=False, logits_via_embedding=True, **SIZES
    ),
}


def matmul_flops(jaxpr):
    """Returns the FLOPs of the matrix products in a traced function without loops."""
    total = 0
    for equation in jaxpr.eqns:
        assert equation.primitive.name not in ("scan", "while")
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            products = math.prod(shape[axis] for axis in contracted)
            total += 2 * products * math.prod(equation.outvars[0].aval.shape)
        for value in equation.params.values():
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            if isinstance(inner, Jaxpr):
                total += matmul_flops(inner)
    return total


def traced_flops(model, trainable):
    spec = batch_spec(model.architecture, ROWS, LENGTHS)
    batch = {name: jax.ShapeDtypeStruct(*leaf) for name, leaf in spec.items()}
    params = nn.unbox(abstract_params(model))
    trained, frozen = split_trainable(params, trainable)

    def gradients(trained, frozen, batch):
        return mean_gradients(
            trained,
            batch,
            jax.random.key(0),
            model=model.build(),
            microbatches=1,
            z_loss=0.0,
            frozen=frozen,
        )

    jaxpr = jax.make_jaxpr(gradients)(trained, frozen, batch).jaxpr
    used, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return matmul_flops(used)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "trainable",
    [
        "scale$",
        "decoder_norm",
        "layers_1/",
        "decoder/layers_1/",
        "token_embedder",
        "decoder/",
    ],
)
def test_frozen_matrices_save_what_the_traced_gradient_leaves_out(name, trainable):
    model = MODELS[name]
    flops = step_flops(model, ROWS, LENGTHS, trainable, supervised=SUPERVISED)
    whole = model.train_flops(ROWS, LENGTHS, SUPERVISED)
    traced = traced_flops(model, None) - traced_flops(model, trainable)
    assert whole - flops == pytest.approx(traced, abs=0.01 * whole)


@pytest.mark.parametrize("name", MODELS)
def test_training_everything_is_the_models_own_count(name):
    model = MODELS[name]
    for trainable in (None, "."):
        assert step_flops(model, ROWS, LENGTHS, trainable) == model.train_flops(
            ROWS, LENGTHS
        )
    head = step_flops(model, ROWS, LENGTHS, "scale$", supervised=11)
    assert head - step_flops(model, ROWS, LENGTHS, "scale$", supervised=1) == (
        0 if name == "encoder_decoder" else 10 * 4 * 64 * 512
    )
