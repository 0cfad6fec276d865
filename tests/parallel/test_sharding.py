import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from flan_jax.cli import gin_settings
from flan_jax.errors import InputError
from flan_jax.hardware import CHIPS
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.layers import RESIDUAL, matmul
from flan_jax.models.params import abstract_params
from flan_jax.parallel.mesh import MESH_AXES, check_batch, make_mesh, mesh_sizes
from flan_jax.parallel.sharding import (
    RULES,
    batch_sharding,
    constrain,
    optimizer_shardings,
    param_shardings,
    use_mesh,
)
from flan_jax.preflight import compile
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
    "encoder_decoder": EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=2, **SIZES),
    "decoder": DecoderConfig(num_layers=2, scan_layers=False, **SIZES),
}


def boxed(axes, shape):
    return {
        "mlp": {"kernel": nn.LogicallyPartitioned(jax.ShapeDtypeStruct(shape, jnp.float32), axes)}
    }


def specs(shardings):
    return jax.tree.map(lambda s: s.spec, shardings, is_leaf=lambda s: isinstance(s, NamedSharding))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (None, (8, 1, 1)),
        ({"data": -1}, (8, 1, 1)),
        ({"fsdp": 4, "tensor": 2}, (1, 4, 2)),
        ({"data": 2, "fsdp": -1}, (2, 4, 1)),
        ({"tensor": 8, "data": -1}, (1, 1, 8)),
    ],
)
def test_a_mesh_has_every_axis_and_every_device(shape, expected):
    mesh = make_mesh(shape)
    assert dict(mesh.shape) == dict(zip(MESH_AXES, expected, strict=True))
    assert mesh.devices.size == len(jax.devices())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"model": 8}, "MESH names the axis model; the axes are data, fsdp, tensor"),
        (
            {"data": 3},
            "the axis 'data' 3 devices, which does not divide the 8 cpu devices. Write a divisor of 8, or -1",
        ),
        ({"data": 16}, "the axis 'data' 16 devices, which does not divide the 8"),
        ({"data": -1, "tensor": 3}, "the axis 'tensor' 3 devices, which does not divide the 8"),
        (
            {"fsdp": 4, "tensor": 4},
            "the axis 'tensor' 4 devices, .* 8 cpu devices, of which 2 are left for it",
        ),
        (
            {"data": 4},
            "'data': 4, 'fsdp': 1, 'tensor': 1}, which does not multiply to the 8 cpu devices. Write sizes of at least 1",
        ),
        ({}, "does not multiply to the 8 cpu devices"),
        (
            {"slices": 2, "data": -1},
            "MESH is for 2 slices, but the 8 cpu devices are of 1. Leave 'slices' out of MESH",
        ),
        ({"data": -1, "tensor": -1}, "does not multiply to the 8 cpu devices"),
        ({"data": 0}, "does not multiply to the 8 cpu devices"),
        ({"data": -1, "tensor": 0}, "does not multiply to the 8 cpu devices"),
        ({"data": -2, "tensor": -4}, "does not multiply to the 8 cpu devices"),
        ({"data": -8, "tensor": -1}, "does not multiply to the 8 cpu devices"),
    ],
)
def test_a_mesh_that_cannot_be_is_an_error(shape, message):
    with pytest.raises(InputError, match=message):
        make_mesh(shape)


def test_every_microbatch_divides_over_the_mesh():
    mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    check_batch(8, 2, mesh)
    with pytest.raises(
        InputError,
        match="BATCH_SIZE 12 does not divide into 2 microbatches over data x fsdp = 4 .*multiple of 8",
    ):
        check_batch(12, 2, mesh)
    check_batch(12, 1, mesh)


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        (
            ("embed", "mpl"),
            (16, 32),
            "unknown logical axis of parameter mlp/kernel 'mpl'. Did you mean 'mlp'",
        ),
        (
            ("mlp", "heads"),
            (16, 32),
            r"two axes of parameter mlp/kernel \('mlp', 'heads'\) are split over the mesh axis 'tensor'",
        ),
        (
            ("embed", "mlp"),
            (15, 32),
            "axis 'embed' of parameter mlp/kernel has 15 elements, which do not divide over fsdp = 4 devices; write a MESH",
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
    with pytest.raises(
        InputError,
        match="has 12 elements, and activations of that size do not divide over tensor = 8 devices",
    ):
        param_shardings(boxed(("embed", None), (12, 3)), make_mesh({"tensor": 8}))


def test_parameters_are_placed_by_their_axes():
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    assert specs(param_shardings(boxed(("embed", "mlp"), (16, 32)), mesh)) == {
        "mlp": {"kernel": P("fsdp", "tensor")}
    }
    assert specs(param_shardings(boxed(("layers", "embed"), (3, 16)), mesh)) == {
        "mlp": {"kernel": P(None, "fsdp")}
    }
    assert specs(param_shardings(boxed((None, "mlp"), (3, 32)), mesh)) == {
        "mlp": {"kernel": P(None, "tensor")}
    }
    # Where the mesh has one device along an axis, nothing collides and everything divides.
    assert jax.tree.leaves(
        param_shardings(boxed(("mlp", "heads"), (15, 33)), make_mesh({"data": 8}))
    )


@pytest.mark.parametrize("shape", [{"data": 8}, {"fsdp": 4, "tensor": 2}])
@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_of_both_models_is_placed_and_can_be_made_there(name, shape):
    mesh = make_mesh(shape)
    params = abstract_params(MODELS[name])
    shardings = param_shardings(params, mesh)
    shards = jax.tree.map(
        lambda leaf, s: np.prod(s.shard_shape(leaf.shape)) / leaf.size, nn.unbox(params), shardings
    )
    ways = shape.get("fsdp", 1) * shape.get("tensor", 1)
    assert shards["token_embedder"]["embedding"] == 1 / ways
    assert all(
        share == 1 / ways
        for path, share in jax.tree.leaves_with_path(shards)
        if "kernel" in str(path)
    )


EVERY_MESH = [
    dict(zip(MESH_AXES, sizes, strict=True))
    for sizes in itertools.product([1, 2, 4, 8], repeat=3)
    if math.prod(sizes) == 8
]


@pytest.mark.parametrize("length", [1, 16])
@pytest.mark.parametrize("axes", [("embed", "mlp"), ("mlp", "embed")])
@pytest.mark.parametrize("shape", EVERY_MESH, ids=str)
def test_a_product_and_its_gradients_are_those_of_one_device(shape, axes, length):
    """Few rows and short ones, as in decoding: there XLA's own choice of what to move went wrong."""
    rng, mesh = np.random.default_rng(0), make_mesh(shape)
    x, kernel, slope = (
        rng.normal(size=s).astype("float32") for s in ((8, length, 64), (64, 32), (8, length, 32))
    )
    of_x, of_y = (
        ("batch", "length", "activation_embed" if axis == "embed" else axis) for axis in axes
    )

    def loss(x, kernel):
        y = constrain(matmul(constrain(x, of_x), kernel, axes), of_y)
        return jnp.sum(y * slope), y

    with use_mesh(mesh):
        sharded = jax.device_put(
            kernel, NamedSharding(mesh, P(*(dict(RULES)[axis] for axis in axes)))
        )
        run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (_, y), grads = run(jax.device_put(x, batch_sharding(mesh)), sharded)
    want = x @ kernel, slope @ kernel.T, np.einsum("blk,blm->km", x, slope)
    for got, value in zip((y, *grads), want, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_adamws_moments_live_where_their_parameters_do(name):
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    boxed_params = abstract_params(MODELS[name])
    params, shardings = nn.unbox(boxed_params), param_shardings(boxed_params, mesh)
    state = jax.eval_shape(adamw(1e-3).init, params)
    placed = optimizer_shardings(state, params, shardings, mesh)
    assert jax.tree.structure(placed) == jax.tree.structure(state)
    adam = placed[0]
    assert specs(adam.mu) == specs(adam.nu) == specs(shardings)
    assert adam.count.spec == P()


@pytest.mark.parametrize("name", MODELS)
def test_adafactors_factors_are_whole_and_its_unfactored_moments_live_with_their_parameters(name):
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    boxed_params = abstract_params(MODELS[name])
    params, shardings = nn.unbox(boxed_params), param_shardings(boxed_params, mesh)
    state = jax.eval_shape(adafactor(1e-3, min_dim_size_to_factor=16).init, params)
    placed = optimizer_shardings(state, params, shardings, mesh)
    assert {s.spec for s in jax.tree.leaves((placed.v_row, placed.v_col, placed.count))} == {P()}
    expected = jax.tree.map(
        lambda v, p, s: s.spec if v.shape == p.shape else P(), state.v, params, shardings
    )
    assert specs(placed.v) == expected
    assert expected["decoder"]["decoder_norm"]["scale"] == P("fsdp")
    assert expected["token_embedder"]["embedding"] == P()


def test_a_moment_is_not_placed_like_another_parameter_of_the_same_name():
    """The longest path counts: b/kernel of the state's "mu" is a/b/kernel's only if the whole path says so."""
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    params = {
        "kernel": jax.ShapeDtypeStruct((8, 8), jnp.float32),
        "b": {"kernel": jax.ShapeDtypeStruct((8, 8), jnp.float32)},
    }
    shardings = {
        "kernel": NamedSharding(mesh, P("fsdp")),
        "b": {"kernel": NamedSharding(mesh, P("tensor"))},
    }
    assert specs(optimizer_shardings({"mu": params}, params, shardings, mesh)) == {
        "mu": specs(shardings)
    }


MESH_FILES = sorted((gin_settings.GIN_FOLDER / "mesh").glob("*.gin"))


def mesh_of(file):
    """The MESH that a gin file sets."""
    return gin_settings.load_settings(["flan_mixture.gin", str(file)], []).training.mesh


@pytest.mark.parametrize("file", MESH_FILES, ids=lambda file: file.stem)
def test_a_mesh_file_fits_the_devices_that_it_is_named_after(file):
    kind, _, form = file.stem.partition("_")
    count = math.prod(int(size) for size in form.split("x")) * (
        CHIPS[kind].devices if kind in CHIPS else 1
    )
    assert math.prod(mesh_sizes(mesh_of(file), count, "tpu").values()) == count
    with pytest.raises(
        InputError,
        match="MESH gives the axis 'fsdp' .*, which does not divide the 3 tpu devices",
    ):
        mesh_sizes(mesh_of(file), 3, "tpu")


@pytest.fixture(scope="module")
def slice_of():
    """slice_of(topology): the devices of a TPU slice."""
    pytest.importorskip(
        "libtpu", reason="libtpu knows TPU slices without one: pip install -e '.[preflight]'"
    )
    return lambda topology: compile.tpu_slice(topology).devices


@pytest.mark.parametrize(
    "file", [f for f in MESH_FILES if f.stem.startswith("v")], ids=lambda file: file.stem
)
def test_a_mesh_files_tensor_axis_lies_on_neighbouring_chips(slice_of, file):
    mesh = make_mesh(mesh_of(file), slice_of(file.stem.replace("_", ":")))
    assert len({*mesh.devices.flat}) == mesh.devices.size
    for line in mesh.devices.reshape(-1, mesh.shape["tensor"]):
        places = np.array([device.coords for device in line])
        assert np.abs(np.diff(places, axis=0)).sum(axis=1).max(initial=0) <= 1


def test_slices_split_the_data_axis(slice_of):
    slice_of("v4:2x2x2")  # what libtpu has to be told, it is told there
    options = {"chip_config_name": "megacore", "num_slices": 2}
    devices = topologies.get_topology_desc(
        topology_name="v4:2x2x2", platform="tpu", **options
    ).devices
    mesh = make_mesh({"slices": 2, "data": -1, "fsdp": 2, "tensor": 2}, devices)
    assert dict(mesh.shape) == {"data": 4, "fsdp": 2, "tensor": 2}
    halves = [{device.slice_index for device in half.flat} for half in np.split(mesh.devices, 2)]
    assert halves == [{0}, {1}]
    with pytest.raises(
        InputError,
        match="MESH is for 1 slices, but the 16 tpu devices are of 2. Write 'slices': 2",
    ):
        make_mesh({"data": -1}, devices)
    with pytest.raises(
        InputError, match="the axis 'tensor' 16 devices, which does not divide the 8 tpu devices"
    ):
        make_mesh({"slices": 2, "tensor": 16}, devices)


def test_the_mesh_is_over_the_devices_in_order():
    assert isinstance(make_mesh(), Mesh)
    assert list(make_mesh({"data": 2, "fsdp": 4}).devices.ravel()) == jax.devices()
