import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from flan_jax import pytrees
from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.layers import RESIDUAL, matmul
from flan_jax.models.params import abstract_params
from flan_jax.parallel.mesh import MESH_AXES, make_mesh
from flan_jax.parallel.sharding import (
    RULES,
    batch_sharding,
    constrain,
    global_batch,
    host_row_slice,
    optimizer_shardings,
    param_shardings,
    use_mesh,
)
from flan_jax.training.adafactor import adafactor
from flan_jax.training.optimizers import adamw

SIZES = {
    "vocab_size": 64,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 32,
    "dropout_rate": 0.0,
}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(
        num_encoder_layers=1, num_decoder_layers=2, **SIZES
    ),
    "decoder": DecoderConfig(num_layers=2, scan_layers=False, **SIZES),
}


def boxed(axes, shape):
    """Returns a tree with one parameter that carries logical axis names."""
    leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
    return {"mlp": {"kernel": nn.LogicallyPartitioned(leaf, axes)}}


def spec_of(axes, shape, mesh):
    """Returns the PartitionSpec that a parameter gets."""
    return param_shardings(boxed(axes, shape), mesh)["mlp"]["kernel"].spec


def specs(shardings):
    return jax.tree.map(lambda sharding: sharding.spec, shardings)


def test_a_batch_is_split_by_rows():
    mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    tokens = np.arange(8 * 3).reshape(8, 3)
    assert host_row_slice(mesh, 8) == slice(0, 8)
    batch = global_batch({"tokens": tokens}, mesh, rows=8)
    np.testing.assert_array_equal(batch["tokens"], tokens)
    assert batch["tokens"].sharding.shard_shape((8, 3)) == (2, 3)


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        (
            ("embed", "mpl"),
            (16, 32),
            r"unknown logical axis of parameter mlp/kernel 'mpl'\. Did you mean 'mlp'",
        ),
        (
            ("mlp", "heads"),
            (16, 32),
            (
                r"two axes of parameter mlp/kernel \('mlp', 'heads'\) are split over the mesh axis "
                "'tensor'"
            ),
        ),
        (
            ("embed", "mlp"),
            (15, 32),
            (
                "axis 'embed' of parameter mlp/kernel has 15 elements, which do not divide over "
                "fsdp = 4 devices; write a MESH"
            ),
        ),
    ],
)
def test_a_parameter_that_cannot_be_placed_is_named(axes, shape, message):
    with pytest.raises(InputError, match=message):
        param_shardings(boxed(axes, shape), make_mesh({"fsdp": 4, "tensor": 2}))


def test_activations_between_layers_are_split_over_tensor_too():
    mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    with use_mesh(mesh):
        x = jax.jit(lambda x: constrain(x, RESIDUAL))(jnp.zeros((4, 3, 16)))
    assert x.sharding.shard_shape(x.shape) == (1, 3, 8)
    message = "has 12 elements, and activations of that size do not divide over tensor = 8 devices"
    with pytest.raises(InputError, match=message):
        param_shardings(boxed(("embed", None), (12, 3)), make_mesh({"tensor": 8}))


def test_parameters_are_placed_by_their_axes():
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    assert spec_of(("embed", "mlp"), (16, 32), mesh) == P("fsdp", "tensor")
    assert spec_of(("layers", "embed"), (3, 16), mesh) == P(None, "fsdp")
    assert spec_of((None, "mlp"), (3, 32), mesh) == P(None, "tensor")


def test_a_mesh_axis_of_one_device_splits_nothing():
    """Then nothing collides, and everything divides."""
    assert spec_of(("mlp", "heads"), (15, 33), make_mesh({"data": 8})) == P(
        "tensor", None
    )


@pytest.mark.parametrize("shape", [{"data": 8}, {"fsdp": 4, "tensor": 2}])
@pytest.mark.parametrize("name", MODELS)
def test_every_matrix_of_both_models_is_split_over_all_devices(name, shape):
    params = abstract_params(MODELS[name])
    shardings = pytrees.named_leaves(param_shardings(params, make_mesh(shape)))
    devices = shape.get("fsdp", 1) * shape.get("tensor", 1)
    for parameter, leaf in pytrees.named_leaves(nn.unbox(params)).items():
        shard = math.prod(shardings[parameter].shard_shape(leaf.shape))
        if "kernel" in parameter or parameter == "token_embedder/embedding":
            assert shard * devices == leaf.size, parameter


SIZES_OF_8_DEVICES = [
    sizes
    for sizes in itertools.product([1, 2, 4, 8], repeat=3)
    if math.prod(sizes) == 8
]
EVERY_MESH = [dict(zip(MESH_AXES, sizes, strict=True)) for sizes in SIZES_OF_8_DEVICES]


@pytest.mark.parametrize("length", [1, 16])
@pytest.mark.parametrize("axes", [("embed", "mlp"), ("mlp", "embed")])
@pytest.mark.parametrize("shape", EVERY_MESH, ids=str)
def test_a_product_and_its_gradients_are_those_of_one_device(shape, axes, length):
    """Few rows and short ones, as in decoding: there XLA's own choice of what to move is wrong."""
    mesh = make_mesh(shape)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, length, 64)).astype("float32")
    kernel = rng.normal(size=(64, 32)).astype("float32")
    slope = rng.normal(size=(8, length, 32)).astype("float32")
    x_axes, y_axes = (
        ("batch", "length", "activation_embed" if axis == "embed" else axis)
        for axis in axes
    )

    def loss(x, kernel):
        y = matmul(constrain(x, x_axes), kernel, axes)
        y = constrain(y, y_axes)
        return jnp.sum(y * slope), y

    rules = dict(RULES)
    kernel_sharding = NamedSharding(mesh, P(*(rules[axis] for axis in axes)))
    with use_mesh(mesh):
        sharded_kernel = jax.device_put(kernel, kernel_sharding)
        sharded_x = jax.device_put(x, batch_sharding(mesh))
        run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (_, y), (x_grad, kernel_grad) = run(sharded_x, sharded_kernel)
    np.testing.assert_allclose(y, x @ kernel, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(x_grad, slope @ kernel.T, rtol=1e-4, atol=1e-4)
    expected = np.einsum("blk,blm->km", x, slope)
    np.testing.assert_allclose(kernel_grad, expected, rtol=1e-4, atol=1e-4)
    assert kernel_grad.sharding.is_equivalent_to(kernel_sharding, kernel_grad.ndim)


@pytest.mark.parametrize("name", MODELS)
def test_adamws_moments_live_where_their_parameters_do(name):
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    boxed_params = abstract_params(MODELS[name])
    params = nn.unbox(boxed_params)
    shardings = param_shardings(boxed_params, mesh)
    state = jax.eval_shape(adamw(1e-3).init, params)
    placed = optimizer_shardings(state, params, shardings, mesh)
    assert jax.tree.structure(placed) == jax.tree.structure(state)
    adam = placed[0]
    assert specs(adam.mu) == specs(adam.nu) == specs(shardings)
    assert adam.count.spec == P()


@pytest.mark.parametrize("name", MODELS)
def test_adafactors_factors_are_replicated_and_whole_moments_live_with_parameters(name):
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    boxed_params = abstract_params(MODELS[name])
    params = nn.unbox(boxed_params)
    shardings = param_shardings(boxed_params, mesh)
    state = jax.eval_shape(adafactor(1e-3, min_dim_size_to_factor=16).init, params)
    placed = optimizer_shardings(state, params, shardings, mesh)
    factors = jax.tree.leaves((placed.v_row, placed.v_col, placed.count))
    assert {sharding.spec for sharding in factors} == {P()}

    def expected_spec(moment, param, sharding):
        return sharding.spec if moment.shape == param.shape else P()

    expected = jax.tree.map(expected_spec, state.v, params, shardings)
    assert specs(placed.v) == expected
    assert expected["decoder"]["decoder_norm"]["scale"] == P("fsdp")
    assert expected["token_embedder"]["embedding"] == P()


def test_a_moment_is_not_placed_like_another_parameter_of_the_same_name():
    """b/kernel in the state is not the parameter named kernel."""
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    shape = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    params = {"kernel": shape, "b": {"kernel": shape}}
    shardings = {
        "kernel": NamedSharding(mesh, P("fsdp")),
        "b": {"kernel": NamedSharding(mesh, P("tensor"))},
    }
    placed = optimizer_shardings({"mu": params}, params, shardings, mesh)
    assert placed == {"mu": shardings}
