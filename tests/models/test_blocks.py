"""The stack of layers under scan and remat, relative positions, and the head."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax import pytrees
from flan_jax.models import layers
from flan_jax.models.blocks import relative_position_bucket, stack_layers
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import abstract_params
from flan_jax.training import losses
from flan_jax.training.step import KEEP_BARRIERS

LENGTHS = {"inputs": 7, "targets": 5}
SMALL = EncoderDecoderConfig(
    vocab_size=50,
    emb_dim=8,
    num_heads=2,
    head_dim=4,
    mlp_dim=8,
    num_encoder_layers=2,
    num_decoder_layers=1,
)


def loss_and_gradients(config, params, batch, **options):
    model = config.build()

    def loss(params):
        return losses.loss_and_weight(model, params, batch, **options)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)


def assert_close(actual, expected, tolerance=1e-4):
    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

    jax.tree.map(close, actual, expected)


def shapes(params):
    return jax.tree.map(jnp.shape, params)


def test_scanned_equals_unrolled(make_config, make_batch, examples, init, stacked):
    unrolled = make_config(scan_layers=False)
    scanned = make_config(scan_layers=True)
    rows = [examples[:1], examples[2:]]
    batch = make_batch(unrolled.architecture, rows, {"inputs": 7, "targets": 4})
    params = init(unrolled.build(), batch)
    assert shapes(init(scanned.build(), batch)) == shapes(stacked(params))
    loss, grads = loss_and_gradients(unrolled, params, batch)
    actual = loss_and_gradients(scanned, stacked(params), batch)
    assert_close(actual, (loss, stacked(grads)))


class Doubling(nn.Module):
    """x -> 2 x + 2 where dropout keeps it, with a parameter of its own."""

    config: EncoderDecoderConfig

    @nn.compact
    def __call__(self, x, context):
        self.param("kernel", nn.initializers.normal(), (8,))
        noise = layers.Dropout(0.5)(jnp.ones_like(x), deterministic=False)
        return 2 * x + noise, None


@pytest.mark.parametrize("scan_layers", [True, False])
def test_each_layer_draws_its_own_parameters_and_dropout(scan_layers):
    config = dataclasses.replace(SMALL, scan_layers=scan_layers)

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            return stack_layers(Doubling, config, 2, x=x, context=None)

    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    x, variables = Stack().init_with_output(rngs, jnp.zeros((4, 6, 32)))
    # With one mask for both layers there would be 0 and 6 alone.
    assert set(np.unique(x)) == {0, 2, 4, 6}
    kernels = [np.ravel(leaf) for leaf in jax.tree.leaves(nn.unbox(variables))]
    assert len(np.unique(np.concatenate(kernels))) == 16


@pytest.mark.parametrize("remat, scan_layers", [("minimal", True), ("full", False)])
def test_remat_changes_nothing(remat, scan_layers, make_batch, examples, init):
    config = dataclasses.replace(SMALL, scan_layers=scan_layers, dropout_rate=0.3)
    batch = make_batch("encoder_decoder", [examples[:1], examples[1:2]], LENGTHS)
    params = init(config.build(), batch)
    options = {"deterministic": False, "rngs": {"dropout": jax.random.key(1)}}
    expected = loss_and_gradients(config, params, batch, **options)
    with_remat = dataclasses.replace(config, remat=remat)
    assert_close(loss_and_gradients(with_remat, params, batch, **options), expected)


def lowered_gradient(config, batch, compiler_options=None):
    model = config.build()

    def loss(params):
        return losses.loss_and_weight(model, params, batch)[0]

    gradient = jax.jit(jax.grad(loss), compiler_options=compiler_options)
    return gradient.lower(nn.unbox(abstract_params(config)))


def test_minimal_remat_computes_no_weight_product_twice(make_batch, examples):
    batch = make_batch("encoder_decoder", [examples[:1]], LENGTHS)

    def products(remat):
        config = dataclasses.replace(
            SMALL, num_encoder_layers=1, scan_layers=False, remat=remat
        )
        return lowered_gradient(config, batch).as_text().count("stablehlo.dot_general")

    none = products("none")
    minimal = products("minimal")
    full = products("full")
    # An encoder and a decoder layer multiply by 7 and 11 kernels; "full" computes all but the last
    # product of each layer again.
    assert none <= minimal < full
    assert full - minimal >= 14


def test_the_trainers_options_let_remat_hold_less_on_the_cpu(make_batch, examples):
    batch = make_batch("encoder_decoder", [examples[:1]], {"inputs": 128, "targets": 8})
    sizes = {"emb_dim": 32, "head_dim": 16, "mlp_dim": 256, "num_encoder_layers": 8}

    def temporary_bytes(remat, compiler_options):
        config = dataclasses.replace(SMALL, **sizes, scan_layers=False, remat=remat)
        compiled = lowered_gradient(config, batch, compiler_options).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    none = temporary_bytes("none", KEEP_BARRIERS)
    minimal = temporary_bytes("minimal", KEEP_BARRIERS)
    full = temporary_bytes("full", KEEP_BARRIERS)
    assert full < minimal < none
    assert full < 0.5 * temporary_bytes("full", None)


def test_tied_head_is_the_scaled_table(make_config, make_batch, examples, init):
    config = make_config(logits_via_embedding=True, logits_softcap=None)
    model = config.build()
    batch = make_batch(config.architecture, [examples[:1]], LENGTHS)
    params = init(model, batch)
    assert not [name for name in pytrees.named_leaves(params) if "logits_dense" in name]
    hidden = model.apply({"params": params}, batch, method="hidden")
    expected = hidden @ params["token_embedder"]["embedding"].T / 16**0.5
    logits = model.apply({"params": params}, batch)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_the_loss_is_that_of_the_soft_capped_logits(
    make_config, make_batch, examples, init
):
    config = make_config(logits_softcap=0.5)
    model = config.build()
    batch = make_batch(config.architecture, [examples[:1]], LENGTHS)
    params = init(model, batch)
    logits = model.apply({"params": params}, batch)
    assert 0.4 < jnp.abs(logits).max() <= 0.5

    targets = batch["decoder_target_tokens"][..., None]
    log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits), targets, axis=-1)[
        ..., 0
    ]
    expected = -jnp.sum(log_probs * batch["decoder_loss_weights"])
    loss, _ = losses.loss_and_weight(model, params, batch, z_loss=0.0)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("bidirectional", "expected"),
    [
        (True, [15, 15, 10, 8, 7, 1, 0, 17, 23, 24, 26, 31, 31]),
        (False, [31, 31, 17, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_relative_position_buckets(bidirectional, expected):
    relative = jnp.asarray([-500, -128, -20, -8, -7, -1, 0, 1, 7, 8, 20, 128, 500])
    buckets = relative_position_bucket(
        relative, bidirectional=bidirectional, num_buckets=32, max_distance=128
    )
    assert buckets.tolist() == expected
