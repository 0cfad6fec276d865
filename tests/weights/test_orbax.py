"""Parameters in orbax checkpoints: which checkpoint, on which devices, and what is refused."""

import resource
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from same_trees import assert_same

from flan_jax.errors import InputError
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights import orbax
from flan_jax.weights.orbax import (
    CheckpointFailed,
    concurrent_read_bytes,
    convert_layers,
    frozen_params_id,
    latest_folder,
    load_params,
    open_manager,
    restore,
    save_params,
    save_step,
    translate_save_errors,
)

SPLIT = NamedSharding(make_mesh({"fsdp": 8}), PartitionSpec("fsdp"))
COPIED = NamedSharding(make_mesh({"data": 8}), PartitionSpec())


def one_by_one(seed=0, sharding=COPIED):
    """Random parameters of two layers and a norm."""
    generator = np.random.default_rng(seed)

    def array():
        values = generator.normal(size=(8, 2)).astype(np.float32)
        return jax.device_put(values, sharding)

    return {
        "layers_0": {"kernel": array()},
        "layers_1": {"kernel": array()},
        "norm": array(),
    }


def stacked(params):
    """The same parameters with their layers in one array."""
    kernels = [params[layer]["kernel"] for layer in ("layers_0", "layers_1")]
    kernel = jax.device_put(jnp.stack(kernels), COPIED)
    return {"layers": {"kernel": kernel}, "norm": params["norm"]}


def save_at(run, step, params):
    """Saves parameters as the checkpoint of another step than 0."""
    scratch = run.parent / f"step_{step}"
    save_params(scratch, params)
    shutil.copytree(scratch / "checkpoints" / "0", run / "checkpoints" / str(step))


def test_parameters_come_from_a_run_directory_or_its_checkpoints(tmp_path, monkeypatch):
    first, last, like = one_by_one(1), one_by_one(2), one_by_one(3)
    save_at(tmp_path / "run", 9, first)
    save_at(tmp_path / "run", 10, last)
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in (tmp_path / "run", str(tmp_path / "run" / "checkpoints"), "~/run"):
        assert_same(load_params(source, like), last)
        assert latest_folder(source) == tmp_path / "run" / "checkpoints" / "10"
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "10")
    assert_same(load_params(tmp_path / "run", like), first)


def test_parameters_from_nowhere_are_an_error(tmp_path):
    like = one_by_one()
    with pytest.raises(
        InputError,
        match=f"there is no folder {tmp_path / 'absent'} to take parameters from",
    ):
        load_params(tmp_path / "absent", like)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(
        InputError,
        match=f"{tmp_path / 'run' / 'checkpoints'} holds no finished checkpoint",
    ):
        load_params(tmp_path / "run", like)


def test_a_folder_of_bare_step_numbers_is_no_run(tmp_path):
    """Other programs number their folders, too; `\u00b2` is a digit, but no number."""
    for name in ("100", "200", "\u00b2"):
        (tmp_path / "other" / name / "items").mkdir(parents=True)
    with pytest.raises(
        InputError, match=r"no finished checkpoint of a run .* [12]00/ is not one"
    ):
        load_params(tmp_path / "other", one_by_one())

    params = one_by_one()
    save_at(tmp_path / "run", 7, params)
    (tmp_path / "run" / "checkpoints" / "300" / "items").mkdir(parents=True)
    assert_same(load_params(tmp_path / "run", params), params)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_named(tmp_path, number):
    params = one_by_one()
    params["layers_1"]["kernel"] = params["layers_1"]["kernel"].at[3, 1].set(number)
    save_params(tmp_path, params)
    with pytest.raises(InputError, match=r"NaN or infinite numbers: layers_1/kernel\."):
        load_params(tmp_path, one_by_one())


def test_parameters_are_placed_and_cast_as_in_like(tmp_path):
    params = one_by_one()
    save_params(tmp_path, params)

    def shape(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16, sharding=SPLIT)

    loaded = load_params(tmp_path, jax.tree.map(shape, params))
    assert_same(loaded, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params))
    assert loaded["norm"].sharding.is_equivalent_to(SPLIT, 2)


@pytest.mark.parametrize("is_saved_stacked", [True, False])
def test_layers_are_loaded_stacked_or_one_by_one(tmp_path, is_saved_stacked):
    params = one_by_one()
    saved, wanted = params, stacked(params)
    if is_saved_stacked:
        saved, wanted = wanted, saved
    save_params(tmp_path, saved)
    assert_same(load_params(tmp_path, jax.tree.map(jnp.zeros_like, wanted)), wanted)


def test_layers_are_converted_and_placed_in_memory():
    params = one_by_one(sharding=SPLIT)
    converted = convert_layers(params, stacked(params))
    assert_same(converted, stacked(params))
    assert converted["layers"]["kernel"].sharding.is_equivalent_to(COPIED, 3)
    assert_same(convert_layers(converted, params), params)


def test_a_checkpoint_of_another_model_is_an_error_that_names_parameters(tmp_path):
    save_params(tmp_path, one_by_one())
    like = one_by_one()
    like["norm"] = like["norm"][:4]
    like["head"] = like["norm"]
    del like["layers_1"]
    with pytest.raises(InputError, match="step 0 in .* does not fit") as raised:
        load_params(tmp_path, like)
    assert raised.match(r"missing parameters \(1\): head;")
    assert raised.match(r"unknown parameters \(1\): layers_1/kernel;")
    assert raised.match(r"norm is \(8, 2\), expected \(4, 2\)\. Give")


def test_a_checkpoint_on_a_disk_of_another_host_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(orbax, "VISIBLE_WITHIN_SECONDS", 0)
    with pytest.raises(InputError, match="does not see .*/7, .* shared by all hosts"):
        restore(tmp_path, 7, {"params": one_by_one()})


def test_a_checkpoint_of_all_parameters_has_no_frozen_ones(tmp_path):
    save_params(tmp_path, one_by_one())
    assert frozen_params_id(tmp_path) is None


@pytest.mark.parametrize("step", [0, 7])
def test_parameters_are_not_saved_beside_others(tmp_path, step):
    """A reader takes the latest, and orbax saves nothing before it."""
    first = one_by_one(1)
    save_at(tmp_path / "run", step, first)
    with pytest.raises(
        InputError, match=f"run/checkpoints holds checkpoint {step} alr"
    ):
        save_params(tmp_path / "run", one_by_one(2))
    assert_same(load_params(tmp_path / "run", first), first)


def test_what_orbax_does_not_save_is_an_error(tmp_path):
    folder = tmp_path / "checkpoints"
    save_at(tmp_path, 7, one_by_one())
    items = ocp.args.Composite(params=ocp.args.StandardSave(one_by_one()))
    with open_manager(folder, ocp.CheckpointManagerOptions()) as manager:
        with pytest.raises(CheckpointFailed, match="step 3 was not saved .* step 7"):
            save_step(manager, 3, items)
        save_step(manager, 8, items)
    assert latest_folder(tmp_path).name == "8"


def test_a_full_disk_is_said_to_be_full(tmp_path):
    params = {"a": jnp.asarray(np.random.default_rng(0).normal(size=(100, 100)))}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(OSError, match="no space left for a checkpoint"):
            save_params(tmp_path, params)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(InputError, match="holds no finished checkpoint"):
        latest_folder(tmp_path)


def test_another_error_while_saving_ends_the_run():
    message = "a checkpoint in run could not be saved: of no reason"
    with pytest.raises(CheckpointFailed, match=message), translate_save_errors("run"):
        raise ValueError("of no reason")


def test_a_restore_reads_a_tenth_of_what_the_host_holds_or_the_largest_part_of_one_device():
    mesh = make_mesh({"fsdp": 2, "tensor": 4})
    sharding = NamedSharding(mesh, PartitionSpec(None, "fsdp", "tensor"))
    leaf = jax.ShapeDtypeStruct((12, 768, 1536), jnp.float32, sharding=sharding)
    saved = types.SimpleNamespace(
        storage=types.SimpleNamespace(chunk_shape=(12, 96, 1536))
    )
    # Half of the rows, in whole chunks, for a device that keeps a quarter of each.
    part = 4 * 12 * 384 * 1536
    assert (
        concurrent_read_bytes({"params": {"a": saved}}, {"params": {"a": leaf}})
        == part + 1024
    )
    names = [f"layer_{i}" for i in range(20)]
    there, here = dict.fromkeys(names, saved), dict.fromkeys(names, leaf)
    assert (
        concurrent_read_bytes({"params": there}, {"params": here})
        == 20 * 2 * part // 10
    )
