"""Layers with parameters, alone and in whole models."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flan_jax.models import layers
from flan_jax.models.params import abstract_params

LENGTHS = {"inputs": 7, "targets": 5}


def test_matmul_has_the_gradients_of_dot():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4))
    kernel = jax.random.normal(jax.random.key(1), (4, 5))
    slope = jax.random.normal(jax.random.key(2), (2, 3, 5))

    def gradients(product):
        def loss(x, kernel):
            return jnp.sum(product(x, kernel) * slope)

        return jax.grad(loss, argnums=(0, 1))(x, kernel)

    actual = gradients(lambda x, kernel: layers.matmul(x, kernel, ("embed", "mlp")))
    for gradient, expected in zip(actual, gradients(jnp.dot), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


def test_dropout_is_one_mask_for_all_positions():
    rngs = {"dropout": jax.random.key(0)}
    x = layers.Dropout(0.5).apply({}, jnp.ones((4, 6, 32)), False, rngs=rngs)
    np.testing.assert_array_equal(x, np.broadcast_to(x[:, :1], x.shape))
    assert set(np.unique(x)) == {0.0, 2.0}


def test_softcapped_is_bounded_and_nearly_linear_at_zero():
    x = jnp.asarray([-1000.0, -0.01, 0.0, 0.01, 1000.0])
    np.testing.assert_allclose(
        layers.softcapped(x, 5.0), [-5, -0.01, 0, 0.01, 5], atol=1e-6
    )
    assert layers.softcapped(x, None) is x


def test_cast_kernels_casts_kernels_alone():
    params = {
        "mlp": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
        "scale": jnp.ones(2),
    }
    dtypes = jax.tree.map(
        lambda leaf: leaf.dtype.name, layers.cast_kernels("bfloat16", params)
    )
    assert dtypes == {
        "mlp": {"kernel": "bfloat16", "bias": "float32"},
        "scale": "float32",
    }


def test_compute_in_bfloat16_keeps_parameters_and_logits_in_float32(
    make_config, make_batch, examples, init
):
    config = make_config(dtype="bfloat16")
    model = config.build()
    batch = make_batch(config.architecture, [examples[:1]], LENGTHS)
    params = init(model, batch)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert model.apply({"params": params}, batch, method="hidden").dtype == jnp.bfloat16
    logits = model.apply({"params": params}, batch)
    assert logits.dtype == jnp.float32
    expected = make_config(dtype="float32").build().apply({"params": params}, batch)
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.999


def test_parameters_name_their_axes(make_config):
    boxed = abstract_params(make_config(scan_layers=True))
    axes = jax.tree.map(
        tuple, nn.get_partition_spec(boxed), is_leaf=lambda x: isinstance(x, jax.P)
    )
    decoder = axes["decoder"]["layers"]
    assert decoder["self_attention"]["query"]["kernel"] == (
        "layers",
        "embed",
        "joined_kv",
    )
    assert decoder["self_attention"]["out"]["kernel"] == (
        "layers",
        "joined_kv",
        "embed",
    )
    assert decoder["mlp"]["wo"]["kernel"] == ("layers", "mlp", "embed")
    assert decoder["pre_mlp_layer_norm"]["scale"] == ("layers", "embed")
    assert axes["token_embedder"]["embedding"] == ("vocab", "embed")
    assert axes["decoder"]["logits_dense"]["kernel"] == ("embed", "vocab")
