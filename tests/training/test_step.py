import dataclasses
import functools
import os
import platform
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from flan_jax.cli import gin_settings
from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.parallel.mesh import MESH_AXES, make_mesh
from flan_jax.parallel.sharding import batch_sharding, use_mesh
from flan_jax.preflight.target import tpu_slice
from flan_jax.training.adafactor import adafactor
from flan_jax.training.losses import loss_and_weight
from flan_jax.training.settings import TrainConfig
from flan_jax.training.state import init_state
from flan_jax.training.step import (
    check_options,
    compiled_step,
    mean_gradients,
    train_step,
)

SIZES = {
    "vocab_size": 64,
    "emb_dim": 32,
    "num_heads": 4,
    "head_dim": 8,
    "mlp_dim": 64,
    "dropout_rate": 0.0,
}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(
        num_encoder_layers=2, num_decoder_layers=2, **SIZES
    ),
    "decoder": DecoderConfig(num_layers=2, **SIZES),
}
LENGTHS = {"inputs": 24, "targets": 12}


def examples(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (
            rng.integers(2, 64, rng.integers(3, 9)).tolist(),
            rng.integers(2, 64, rng.integers(2, 5)).tolist(),
        )
        for _ in range(count)
    ]


def packed_and_alone(make_batch, architecture, count=16):
    """Returns the same examples two to a row, with as many empty rows, and one to a row."""
    pairs = examples(count)
    together = [pairs[i : i + 2] for i in range(0, count, 2)] + [[]] * (count // 2)
    return make_batch(architecture, together, LENGTHS), make_batch(
        architecture, [[pair] for pair in pairs], LENGTHS
    )


def one_device():
    return Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), MESH_AXES)


def steps_on(mesh, config, batch, count=3, microbatches=1):
    """Returns (losses, parameters, state) of some steps.

    The optimizer is Adafactor, whose clipping and scaling need whole matrices.
    """
    tx = adafactor(1e-2, min_dim_size_to_factor=16)
    state = init_state(config, tx, mesh, seed=0)
    step = compiled_step(
        config, tx, TrainConfig(steps=count, seed=0, microbatches=microbatches)
    )
    losses = []
    for _ in range(count):
        with use_mesh(mesh):
            state, metrics = step(state, jax.device_put(batch, batch_sharding(mesh)))
        losses.append(float(metrics["loss_sum"] / metrics["weight_sum"]))
    return losses, jax.device_get(state.params), state


def assert_trees_close(actual, expected, **tolerance):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **tolerance), actual, expected
    )


def gradients(config, params, batch, microbatches=1, z_loss=0.0):
    """(gradients, sums) of one batch, without dropout."""
    of_model = functools.partial(
        mean_gradients, model=config.build(), microbatches=microbatches, z_loss=z_loss
    )
    return jax.jit(of_model)(params, batch, jax.random.key(0))


@pytest.fixture(scope="module")
def on_one_device():
    """on_one_device(architecture, batch): losses and parameters to compare with, computed once."""
    known = {}

    def steps(architecture, batch):
        if architecture not in known:
            known[architecture] = steps_on(one_device(), MODELS[architecture], batch)[
                :2
            ]
        return known[architecture]

    return steps


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize(
    "shape",
    [{"data": 8}, {"data": 2, "tensor": 4}, {"data": 2, "fsdp": 2, "tensor": 2}],
)
def test_every_mesh_trains_the_same_model(
    make_batch, on_one_device, architecture, shape
):
    batch, _ = packed_and_alone(make_batch, architecture)
    losses, params = on_one_device(architecture, batch)
    mesh_losses, mesh_params, state = steps_on(
        make_mesh(shape), MODELS[architecture], batch
    )
    np.testing.assert_allclose(mesh_losses, losses, rtol=1e-5)
    assert_trees_close(mesh_params, params, rtol=1e-3, atol=1e-5)
    kernel = state.params["token_embedder"]["embedding"]
    ways = shape.get("fsdp", 1) * shape.get("tensor", 1)
    assert kernel.addressable_shards[0].data.size * ways == kernel.size, (
        "the embedding is not split over fsdp and tensor"
    )


@pytest.mark.parametrize("microbatches", [2, 4])
def test_microbatches_change_nothing(make_batch, on_one_device, microbatches):
    batch, _ = packed_and_alone(make_batch, "encoder_decoder")
    losses, params = on_one_device("encoder_decoder", batch)
    split_losses, split_params, _ = steps_on(
        one_device(), MODELS["encoder_decoder"], batch, microbatches=microbatches
    )
    np.testing.assert_allclose(split_losses, losses, rtol=1e-5)
    assert_trees_close(split_params, params, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("architecture", MODELS)
def test_packing_changes_neither_loss_nor_gradient(make_batch, architecture):
    packed, alone = packed_and_alone(make_batch, architecture)
    config = MODELS[architecture]
    params = init_state(config, optax.sgd(1.0), one_device(), seed=0).params
    grads, sums = gradients(config, params, packed, z_loss=1e-4)
    grads_alone, sums_alone = gradients(config, params, alone, z_loss=1e-4)
    assert (
        float(sums["weight_sum"])
        == float(sums_alone["weight_sum"])
        == sum(len(t) for _, t in examples(16))
    )
    np.testing.assert_allclose(sums["loss_sum"], sums_alone["loss_sum"], rtol=1e-5)
    assert_trees_close(grads, grads_alone, rtol=1e-3, atol=3e-5)


@pytest.mark.parametrize("microbatches", [1, 2])
def test_a_decoders_gradient_is_that_of_all_logits(make_batch, microbatches):
    """Rows differ in how much of them has loss; their tokens with loss are gathered by device."""
    rng = np.random.default_rng(0)
    rows = []
    for targets in (3, 60, 1, 25, 7, 2, 40, 12):
        row = [
            (rng.integers(2, 64, 90).tolist(), rng.integers(2, 64, targets).tolist())
        ]
        rows.append(row)
    batch = make_batch("decoder", rows, {"inputs": 100, "targets": 65})
    config = MODELS["decoder"]
    model = config.build()
    mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    params = init_state(config, optax.sgd(1.0), mesh, seed=0).params
    with use_mesh(mesh):
        placed = jax.device_put(batch, batch_sharding(mesh))
        found = gradients(config, params, placed, microbatches)
    # Its collectives wait for threads of this process: nothing else may take them meanwhile.
    grads, sums = jax.block_until_ready(found)

    @jax.jit
    def mean_loss(params):
        logits = model.apply({"params": params}, batch)
        losses = optax.softmax_cross_entropy_with_integer_labels(
            logits, batch["decoder_target_tokens"]
        )
        return jnp.average(losses, weights=batch["decoder_loss_weights"])

    loss, expected = jax.value_and_grad(mean_loss)(jax.device_get(params))
    np.testing.assert_allclose(sums["loss_sum"] / sums["weight_sum"], loss, rtol=1e-5)
    assert_trees_close(grads, expected, rtol=1e-3, atol=3e-5)


def test_gradients_computed_in_bfloat16_are_those_of_the_float32_parameters(make_batch):
    """Kernels are cast before they are differentiated; gradients differ by bfloat16's rounding."""
    batch, _ = packed_and_alone(make_batch, "encoder_decoder")
    model = dataclasses.replace(MODELS["encoder_decoder"], dtype="bfloat16").build()
    params = init_state(model.config, optax.sgd(1.0), one_device(), seed=0).params
    found, sums = mean_gradients(
        params, batch, jax.random.key(0), model=model, microbatches=1, z_loss=0.0
    )
    expected = jax.grad(
        lambda params: (
            loss_and_weight(model, params, batch, z_loss=0.0)[0] / sums["weight_sum"]
        )
    )(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}
    difference = optax.tree.norm(
        jax.tree.map(jnp.subtract, found, expected)
    ) / optax.tree.norm(expected)
    assert difference < 2**-7


def test_the_loss_weighs_every_token_alike_whatever_the_microbatch(make_batch):
    """A mean of microbatch means would weigh the tokens of the short half more."""
    rows = [[([5, 6], [7])], [([5, 6], [9, 9, 9, 9, 9, 9, 9, 9])]]
    batch = make_batch("encoder_decoder", rows, LENGTHS)
    config = MODELS["encoder_decoder"]
    params = init_state(config, optax.sgd(1.0), one_device(), seed=0).params
    whole, split = (gradients(config, params, batch, microbatches=n)[1] for n in (1, 2))
    assert float(split["weight_sum"]) == 9
    np.testing.assert_allclose(split["loss_sum"], whole["loss_sum"], rtol=1e-6)


def test_dropout_differs_by_step_and_repeats_for_the_same_step(make_batch):
    batch, _ = packed_and_alone(make_batch, "encoder_decoder")
    config = EncoderDecoderConfig(
        num_encoder_layers=1, num_decoder_layers=1, **SIZES | {"dropout_rate": 0.3}
    )
    tx = optax.sgd(0.0)  # the parameters stay, so that only dropout can move the loss
    first, _, _ = steps_on_with(tx, config, batch)
    again, _, _ = steps_on_with(tx, config, batch)
    assert first == again
    assert len(set(first)) == 3


def steps_on_with(tx, config, batch):
    state = init_state(config, tx, one_device(), seed=0)
    step = jax.jit(
        functools.partial(train_step, model=config.build(), tx=tx, z_loss=0.0)
    )
    losses = []
    for _ in range(3):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss_sum"]))
    return losses, state, step


def test_a_padded_batch_row_gives_no_gradient(make_batch):
    batch = make_batch("encoder_decoder", [[([5, 6], [7, 8])], []], LENGTHS)
    config = MODELS["encoder_decoder"]
    params = init_state(config, optax.sgd(1.0), one_device(), seed=0).params
    grads, _ = gradients(config, params, batch)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(grads))


def test_a_skipped_step_changes_nothing_and_the_next_goes_on(make_batch):
    config, tx = MODELS["decoder"], adafactor(1e-2, min_dim_size_to_factor=16)
    good, _ = packed_and_alone(make_batch, "decoder")
    bad = good | {"decoder_loss_weights": good["decoder_loss_weights"] * jnp.nan}
    step = functools.partial(train_step, model=config.build(), tx=tx, z_loss=1e-4)
    skipping, plain = jax.jit(functools.partial(step, skip=True)), jax.jit(step)
    first = init_state(config, tx, mesh := one_device(), seed=0)
    with use_mesh(mesh):
        after_bad, metrics = skipping(first, bad)
        assert (
            bool(metrics["skipped"])
            and metrics["loss_sum"]
            == metrics["weight_sum"]
            == metrics["grad_norm"]
            == 0
        )
        assert after_bad.step == 1
        jax.tree.map(np.testing.assert_array_equal, after_bad.params, first.params)
        jax.tree.map(
            np.testing.assert_array_equal, after_bad.opt_state, first.opt_state
        )
        after_good, metrics = skipping(after_bad, good)
        assert not metrics["skipped"]
        expected, _ = plain(after_bad, good)
        # Another program, so the same to rounding.
        assert_trees_close(after_good, expected, rtol=1e-5, atol=1e-7)
        assert not all(
            np.isfinite(leaf).all()
            for leaf in jax.tree.leaves(plain(first, bad)[0].params)
        )


@pytest.mark.parametrize(
    "name",
    [
        "xla_gpu_enable_latncy_hiding_scheduler",
        "xla_cpu_copy_insertion_use_region_analysis",
    ],
)
def test_an_option_that_the_compiler_does_not_take_is_named(name):
    with pytest.raises(
        InputError,
        match=f"TrainConfig.compiler_options sets {name} to 'perhaps', which this compiler for cpu",
    ):
        check_options({name: "perhaps"}, jax.devices()[0])


@pytest.mark.parametrize(
    "file",
    sorted((gin_settings.GIN_FOLDER / "xla").glob("*.gin")),
    ids=lambda file: file.stem,
)
def test_every_option_in_the_gin_files_is_there(file):
    options = gin_settings.load_settings(
        ["flan_mixture.gin", str(file)], []
    ).training.compiler_options
    assert options
    if file.stem == "tpu":
        pytest.importorskip(
            "libtpu",
            reason="libtpu compiles for TPUs without one: pip install -e '.[preflight]'",
        )
    # What is for GPUs every build of jaxlib can read.
    device = (
        tpu_slice("v4:2x2x1").devices[0] if file.stem == "tpu" else jax.devices()[0]
    )
    check_options(options, device)


FAULTS = """
import resource
import sys

import jax
import jax.numpy as jnp

from flan_jax.hardware import run_cpu_programs_in_caller
from flan_jax.training.step import keep_freed_memory

if sys.argv[1] == "kept":
    run_cpu_programs_in_caller()
    keep_freed_memory()
x, w = jnp.ones((2**14, 2**10)), jnp.ones((2**10, 2**4))
program = jax.jit(lambda x, w: jnp.sin(x) @ w).lower(x, w).compile()
assert program.memory_analysis().temp_size_in_bytes >= 2**26
faults = []
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    jax.block_until_ready(program(x, w))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    faults.append(after - before)
print(min(faults) * resource.getpagesize())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told"
)
def test_on_cpu_a_step_takes_the_memory_of_the_step_before():
    def mapped_anew(setting):
        command = [sys.executable, "-c", FAULTS, setting]
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
        printed = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout
        return int(printed)

    assert mapped_anew("default") > 2**25
    assert mapped_anew("kept") < 2**24
