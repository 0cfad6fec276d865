"""T5X checkpoints: written and read in both layouts, and what is refused."""

import ast
import dataclasses
import functools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts
from flax import serialization, traverse_util
from jax.sharding import NamedSharding
from same_trees import assert_same

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import abstract_params
from flan_jax.parallel.mesh import make_mesh
from flan_jax.parallel.sharding import param_shardings
from flan_jax.pytrees import map_named, named_leaves
from flan_jax.weights.t5x import (
    is_checkpoint,
    load_params,
    read_arrays,
    restore_settings,
    save_params,
    step_of,
)

SIZES = {
    "vocab_size": 48,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}


def tiny(**changes):
    # The stacks differ in depth from each other and from every size: a swapped axis is seen.
    return EncoderDecoderConfig(
        **{"num_encoder_layers": 3, "num_decoder_layers": 2, **SIZES, **changes}
    )


UNROLLED, STACKED = tiny(scan_layers=False), tiny(scan_layers=True)
MODELS = {"unrolled": UNROLLED, "scanned": STACKED}
KERNEL = "encoder/layers_0/attention/key/kernel"


@functools.cache
def like(config, mesh=(("fsdp", 4), ("tensor", 2))):
    """Shapes and shardings of a model's parameters."""
    boxed = abstract_params(config)
    shardings = param_shardings(boxed, make_mesh(dict(mesh)))
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        nn.unbox(boxed),
        shardings,
    )


def value_of(name, shape, layer=None):
    """Numbers that no other parameter has: the seed is the name and the layer's number."""
    seed = sum(ord(c) * (i + 1) for i, c in enumerate(name)) + (
        0 if layer is None else 1000003 * (layer + 1)
    )
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer_of(name):
    """("encoder/layers/mlp/wo/kernel", 2) of "encoder/layers_2/mlp/wo/kernel"."""
    parts = name.split("/")
    for i, part in enumerate(parts):
        if part.startswith("layers_"):
            return "/".join([*parts[:i], "layers", *parts[i + 1 :]]), int(
                part.removeprefix("layers_")
            )
    return name, None


def params_of(config):
    """The same weights for scanned and unrolled layers, sharded as in `like`."""

    def value(name, leaf):
        if "/layers/" in name:
            array = np.stack(
                [
                    value_of(name, leaf.shape[1:], layer)
                    for layer in range(leaf.shape[0])
                ]
            )
        else:
            array = value_of(layer_of(name)[0], leaf.shape, layer_of(name)[1])
        return jax.device_put(array, leaf.sharding)

    return map_named(value, like(config))


def t5x_arrays(config):
    """{name: array} as T5X keeps it: one by one, or with the layers on axis 1."""
    arrays = {}
    for name, leaf in named_leaves(like(config)).items():
        if "/layers/" in name:
            layers = [
                value_of(name, leaf.shape[1:], layer) for layer in range(leaf.shape[0])
            ]
            arrays[name] = np.stack(layers, axis=1)
        else:
            arrays[name] = value_of(layer_of(name)[0], leaf.shape, layer_of(name)[1])
    return arrays


def t5x_target(scanned):
    return t5x_arrays(STACKED if scanned else UNROLLED)


# How T5X itself registers specs with flax (checkpoints.py, register_ts_spec_for_serialization).
serialization.register_serialization_state(
    ts.Spec,
    ty_to_state_dict=lambda spec: spec.to_json(),
    ty_from_state_dict=lambda _, state: ts.Spec(state),
)


def native(
    folder,
    arrays,
    *,
    step=100,
    gs=False,
    inline=(),
    version=3,
    change=lambda spec: spec,
):
    """A checkpoint as T5X's Checkpointer.save writes it: specs with relative paths."""
    place = folder / f"checkpoint_{step}"
    place.mkdir(parents=True)
    tree = {}
    for name, array in arrays.items():
        if name in inline:
            tree[name] = array
            continue
        path = f"target.{name.replace('/', '.')}"
        chunks = [max(1, size // 2) for size in array.shape]
        metadata = {
            "compressor": {"id": "gzip"},
            "shape": array.shape,
            "chunks": np.array(chunks),
        }
        spec = {"driver": "zarr", "dtype": array.dtype.name, "metadata": metadata}
        here = {**spec, "kvstore": {"driver": "file", "path": str(place / path)}}
        ts.open(here, create=True, open=True).result().write(array).result()
        # On Google's cloud the path stands outside the kvstore, and the bucket is a dummy.
        elsewhere = {
            "kvstore": {"driver": "gcs", "bucket": "t5x-dummy-bucket"},
            "path": path,
        }
        tree[name] = ts.Spec(
            {
                **spec,
                **(elsewhere if gs else {"kvstore": {"driver": "file", "path": path}}),
            }
        )
    # The optimizer's state is named, but its folders are absent, as in published checkpoints.
    slot = {
        "driver": "zarr",
        "dtype": "float32",
        "kvstore": {"driver": "file", "path": "state.param_states.x.v"},
    }
    slot["metadata"] = {"shape": [4], "chunks": [4], "compressor": {"id": "gzip"}}
    state = {
        "step": np.int32(step),
        "param_states": {"x": {"v": ts.Spec(slot), "m": None}},
    }
    target = serialization.to_state_dict(traverse_util.unflatten_dict(tree, sep="/"))
    target = traverse_util.unflatten_dict(
        {
            name: change(spec)
            for name, spec in traverse_util.flatten_dict(
                target, sep="/", is_leaf=lambda _, value: "driver" in value
            ).items()
        },
        sep="/",
    )
    index = {"version": version, "optimizer": {"state": state, "target": target}}
    (place / "checkpoint").write_bytes(serialization.to_bytes(index))
    return place


def orbax(folder, arrays, *, step=100, item="state", wrapper=()):
    """A checkpoint as T5X wrote it with orbax of 2023: placeholders, named from the root."""
    place = folder / f"checkpoint_{step}" / item
    place.mkdir(parents=True)
    tree = {}
    for name, array in arrays.items():
        path = ".".join([*wrapper, "target", *name.split("/")])
        spec = {
            "driver": "zarr",
            "kvstore": {"driver": "file", "path": str(place / path)},
            "dtype": array.dtype.name,
        }
        spec["metadata"] = {
            "compressor": {"id": "gzip"},
            "shape": array.shape,
            "chunks": array.shape,
        }
        ts.open(spec, create=True, open=True).result().write(array).result()
        tree[name] = f"PLACEHOLDER://{path}"
    index = {
        "state": {
            "step": f"PLACEHOLDER://{'.'.join([*wrapper, 'state.step'])}",
            "param_states": {"x": {}},
        }
    }
    index["target"] = traverse_util.unflatten_dict(tree, sep="/")
    for name in wrapper:
        index = (
            {name: index, "flax_mutables": {}}
            if name == "_optimizer"
            else {name: index, "version": 3}
        )
    (place / "checkpoint").write_bytes(serialization.msgpack_serialize(index))
    (place / "_METADATA").write_text("{}")
    return folder / f"checkpoint_{step}"


@pytest.mark.parametrize("there", MODELS)
@pytest.mark.parametrize("here", MODELS)
def test_what_is_written_is_read_bit_for_bit(tmp_path, there, here):
    place = save_params(tmp_path / "run", params_of(MODELS[there]), step=7)
    assert place == tmp_path / "run" / "checkpoint_7"
    target = like(MODELS[here])
    loaded = load_params(place, target)
    assert_same(loaded, params_of(MODELS[here]))
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(target), strict=True):
        assert isinstance(a.sharding, NamedSharding)
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


@pytest.mark.parametrize("here", MODELS)
@pytest.mark.parametrize("scanned", [False, True])
def test_a_native_checkpoint_of_t5x(tmp_path, scanned, here):
    arrays = t5x_target(scanned)
    native(tmp_path, arrays, inline=("encoder/encoder_norm/scale",))
    assert_same(load_params(tmp_path, like(MODELS[here])), params_of(MODELS[here]))
    lazy = read_arrays(tmp_path)
    assert {name: array.shape for name, array in lazy.items()} == {
        name: a.shape for name, a in arrays.items()
    }
    for name, array in arrays.items():
        np.testing.assert_array_equal(lazy[name].read(), array)


def test_a_checkpoint_of_one_file(tmp_path):
    """Flax's own, which T5X reads as well: all arrays in the index, which has any name."""
    index = {
        "version": 3,
        "optimizer": {"state": {"step": np.int32(0), "param_states": {}}},
    }
    index["optimizer"]["target"] = traverse_util.unflatten_dict(
        t5x_target(False), sep="/"
    )
    path = tmp_path / "tiny.checkpoint_0"
    path.write_bytes(serialization.to_bytes(index))
    assert is_checkpoint(path) and not is_checkpoint(tmp_path)
    assert_same(load_params(path, like(STACKED)), params_of(STACKED))
    assert_same(
        load_params(native(tmp_path, t5x_target(True)) / "checkpoint", like(STACKED)),
        params_of(STACKED),
    )
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"tiny.checkpoint_0 is truncated or damaged"):
        read_arrays(path)


@pytest.mark.parametrize(
    ("item", "wrapper"), [("state", ()), (".", ("optimizer",)), (".", ("_optimizer",))]
)
@pytest.mark.parametrize("scanned", [False, True])
def test_an_orbax_checkpoint_of_t5x(tmp_path, scanned, item, wrapper):
    orbax(tmp_path, t5x_target(scanned), item=item, wrapper=wrapper)
    assert_same(load_params(tmp_path, like(STACKED)), params_of(STACKED))


def train_state(arrays, step=5):
    """The tree of T5X's TrainState.state_dict() with Adafactor: a matrix has two factors."""
    slots = {}
    for name, array in arrays.items():
        factors = {"v": np.zeros(1, np.float32), "m": None}
        if array.ndim > 1:
            factors["v_row"] = array.mean(axis=-1)
            factors["v_col"] = array.mean(axis=-2)
        slots |= {f"{name}/{factor}": value for factor, value in factors.items()}
    states = traverse_util.unflatten_dict(slots, sep="/")
    return {
        "state": {"step": np.int32(step), "param_states": states},
        "target": traverse_util.unflatten_dict(arrays, sep="/"),
    }


@pytest.mark.parametrize("item", ["state", "."])
@pytest.mark.parametrize("use_ocdbt", [False, True])
def test_a_checkpoint_by_the_orbax_of_today(tmp_path, item, use_ocdbt):
    writer = ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=use_ocdbt))
    writer.save(tmp_path / "checkpoint_5" / item, train_state(t5x_target(False)))
    assert_same(load_params(tmp_path, like(STACKED)), params_of(STACKED))


T5X_MODELS = {
    "encoder-decoder, unrolled": UNROLLED,
    "encoder-decoder, scanned": STACKED,
    "decoder, unrolled": DecoderConfig(num_layers=3, scan_layers=False, **SIZES),
    "decoder, scanned": DecoderConfig(num_layers=3, scan_layers=True, **SIZES),
}


@pytest.mark.parametrize("name", T5X_MODELS)
def test_what_t5x_writes_by_default_today(tmp_path, name):
    """Orbax's manager with T5X's names of steps and items, each item by OCDBT."""
    config = T5X_MODELS[name]
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=True)
    options = ocp.CheckpointManagerOptions(step_prefix="checkpoint")
    checkpointers = {"state": ocp.Checkpointer(handler)}
    with ocp.CheckpointManager(tmp_path, checkpointers, options) as manager:
        for step in (5, 20):
            manager.save(step, {"state": train_state(t5x_arrays(config), step)})
    assert (tmp_path / "checkpoint_20" / "state" / "manifest.ocdbt").is_file()
    assert not list(tmp_path.rglob("target.*"))

    assert is_checkpoint(tmp_path)
    assert step_of(tmp_path) == 20
    assert step_of(tmp_path / "checkpoint_5") == 5
    assert_same(load_params(tmp_path, like(config)), params_of(config))
    other = dataclasses.replace(config, scan_layers=not config.scan_layers)
    assert_same(load_params(tmp_path, like(other)), params_of(other))


def test_a_damaged_ocdbt_is_an_error(tmp_path):
    writer = ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=True))
    place = tmp_path / "checkpoint_5" / "state"
    writer.save(place, train_state(t5x_target(False)))
    for file in place.glob("ocdbt.process_0/d/*"):
        file.unlink()
    with pytest.raises(InputError, match=r"checkpoint.* lacks the array|is truncated"):
        load_params(tmp_path, like(UNROLLED))
    (place / "manifest.ocdbt").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"checkpoint.* lacks the array"):
        load_params(tmp_path, like(UNROLLED))


def test_specs_of_a_bucket_are_resolved_beside_the_index(tmp_path):
    place = native(tmp_path, t5x_target(False), gs=True)
    spec = serialization.msgpack_restore((place / "checkpoint").read_bytes())[
        "optimizer"
    ]["target"]
    assert (
        spec["token_embedder"]["embedding"]["kvstore"]["bucket"] == "t5x-dummy-bucket"
    )
    assert_same(load_params(place, like(UNROLLED)), params_of(UNROLLED))


@pytest.mark.parametrize(
    "kvstore",
    [
        lambda path: {"kvstore": {"driver": "gfile", "path": path}},
        lambda path: {
            "kvstore": {
                "driver": "file",
                "path": f"/home/somebody/checkpoint_100/{path}",
            }
        },
        lambda path: {
            "kvstore": {"driver": "gcs", "bucket": "t5x-dummy-bucket"},
            "path": path,
        },
        lambda path: {"kvstore": f"gs://t5x-dummy-bucket/{path}/"},
    ],
    ids=["gfile", "absolute", "before 0.1.14", "url"],
)
def test_specs_of_other_writers(tmp_path, kvstore):
    def change(spec):
        return {**spec, **kvstore(spec["kvstore"]["path"].rstrip("/"))}

    arrays = {KERNEL: value_of(KERNEL, (16, 16))}
    native(tmp_path, arrays, change=change)
    np.testing.assert_array_equal(read_arrays(tmp_path)[KERNEL].read(), arrays[KERNEL])


@pytest.mark.parametrize("inline", [(), (KERNEL,)], ids=["zarr", "inline"])
def test_bfloat16_is_read_as_it_is_and_loaded_as_the_model_has_it(tmp_path, inline):
    half = value_of(KERNEL, (16, 16)).astype(ml_dtypes.bfloat16)
    native(tmp_path, {KERNEL: half}, inline=inline)
    lazy = read_arrays(tmp_path)[KERNEL]
    assert lazy.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(lazy.read(), half)
    for dtype in (jnp.float32, jnp.bfloat16):
        leaf = jax.ShapeDtypeStruct((16, 16), dtype)
        loaded = load_params(
            tmp_path, traverse_util.unflatten_dict({KERNEL: leaf}, sep="/")
        )
        assert_same(named_leaves(loaded), {KERNEL: half.astype(dtype)})
    place = save_params(
        tmp_path / "again",
        traverse_util.unflatten_dict({KERNEL: jnp.asarray(half)}, sep="/"),
        1,
    )
    again = read_arrays(place)[KERNEL]
    assert again.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(again.read(), half)


@pytest.mark.parametrize("inline", [(), (KERNEL,)], ids=["zarr", "inline"])
def test_a_slice_reads_only_its_chunks(tmp_path, inline):
    array = value_of(KERNEL, (16, 6))
    place = native(tmp_path, {KERNEL: array}, inline=inline)
    lazy = read_arrays(place)[KERNEL]
    for chunk in place.glob("target.*/1.*"):  # the lower half
        chunk.write_bytes(b"damaged")
    np.testing.assert_array_equal(lazy.read((slice(2, 5), 3)), array[2:5, 3])


def test_the_writer_keeps_zeros_scalars_numpy_arrays_and_several_chunks(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("flan_jax.weights.t5x.CHUNK_BYTES", 256)
    params = {
        "zeros": np.zeros((7, 11), np.float32),
        "scalar": np.float32(2.5),
        "long": value_of("long", (13, 19)),
    }
    place = save_params(tmp_path, params, 0)
    chunks = [
        path.name
        for path in (place / "target.long").iterdir()
        if path.name != ".zarray"
    ]
    assert 4 <= len(chunks) <= 16
    assert_same(
        {name: lazy.read() for name, lazy in read_arrays(tmp_path).items()},
        jax.tree.map(np.asarray, params),
    )


def test_t5x_itself_would_read_what_is_written(tmp_path):
    """The steps of T5X's load_t5x_checkpoint and _read_ts, one after the other."""
    place = save_params(tmp_path, params_of(STACKED), step=1_000_000)
    index = serialization.msgpack_restore((place / "checkpoint").read_bytes())
    assert set(index) == {
        "version",
        "optimizer",
    }  # by this detect_checkpoint_type knows the native layout
    assert index["version"] == 3
    assert set(index["optimizer"]) == {"state", "target"}
    assert index["optimizer"]["state"] == {"step": 1_000_000}
    assert index["optimizer"]["state"]["step"].dtype == np.int32
    flat = traverse_util.flatten_dict(
        index["optimizer"]["target"],
        is_leaf=lambda _, value: set(value) >= {"driver", "kvstore", "metadata"},
        keep_empty_nodes=True,
        sep="/",
    )
    expected = t5x_target(scanned=False)
    assert set(flat) == set(expected)
    for name, leaf in flat.items():
        spec = ts.Spec(leaf).to_json()
        assert spec["dtype"] == "float32"
        assert tuple(spec["metadata"]["shape"]) == expected[name].shape
        assert spec["kvstore"]["driver"] == "file"
        assert spec["kvstore"]["path"].rstrip("/") == f"target.{name.replace('/', '.')}"
        del spec["metadata"]["chunks"], spec["metadata"]["compressor"]
        spec["kvstore"]["path"] = os.path.join(place, spec["kvstore"]["path"])
        np.testing.assert_array_equal(
            ts.open(spec, open=True).result().read().result(), expected[name]
        )


def test_the_latest_finished_step_is_taken(tmp_path):
    for step in (2, 10, 9):
        native(tmp_path, {KERNEL: np.full((2, 2), step, np.float32)}, step=step)
    for unfinished in (
        "checkpoint_30.tmp-1659",
        "checkpoint_31.orbax-checkpoint-tmp-12",
        "checkpoint_32",
    ):
        shutil.copytree(tmp_path / "checkpoint_2", tmp_path / unfinished)
    (tmp_path / "checkpoint_32" / "checkpoint").unlink()
    assert read_arrays(tmp_path)[KERNEL].read()[0, 0] == 10
    assert read_arrays(str(tmp_path / "checkpoint_9"))[KERNEL].read()[0, 0] == 9
    for unfinished in (
        "checkpoint_30.tmp-1659",
        "checkpoint_31.orbax-checkpoint-tmp-12",
        "checkpoint_32",
    ):
        with pytest.raises(InputError, match=f"{unfinished} is unfinished"):
            read_arrays(tmp_path / unfinished)
    for step in (2, 10, 9):
        shutil.rmtree(tmp_path / f"checkpoint_{step}")
    with pytest.raises(
        InputError,
        match=r"no finished T5X checkpoint. Unfinished: checkpoint_30.*, checkpoint_32\.",
    ):
        read_arrays(tmp_path)


def test_paths_of_the_user_and_relative_ones(tmp_path, monkeypatch):
    native(tmp_path, {KERNEL: np.ones((2, 2), np.float32)})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for folder in ("~", ".", "checkpoint_100"):
        assert read_arrays(folder)[KERNEL].read().sum() == 4
    assert (
        save_params("~/mine", {"a": jnp.ones(2)}, 1)
        == tmp_path / "mine" / "checkpoint_1"
    )


def test_no_checkpoint_is_an_error(tmp_path):
    with pytest.raises(InputError, match=f"there is no folder {tmp_path / 'absent'}"):
        read_arrays(tmp_path / "absent")
    with pytest.raises(
        InputError, match=f"{tmp_path} holds no finished T5X checkpoint. Give"
    ):
        read_arrays(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            serialization.msgpack_serialize(
                {"target": {"a": {"__msgpack_chunked_array__": True}}}
            ),
            "truncated or damaged",
        ),
        (serialization.msgpack_serialize({"target": {1: 2.0}}), "is damaged"),
        (
            b'model_checkpoint_path: "model.ckpt-1"',
            "belongs to a TensorFlow checkpoint",
        ),
        (b"", "truncated or damaged"),
        (
            serialization.msgpack_serialize(
                {"version": 3, "optimizer": {"target": np.ones(9)}}
            )[:-9],
            "truncated",
        ),
        (
            serialization.msgpack_serialize([1, 2]),
            "is not the index of a T5X checkpoint",
        ),
        (
            serialization.msgpack_serialize({"version": 4, "optimizer": {}}),
            "of version 4; known are 2 and 3",
        ),
        (
            serialization.msgpack_serialize({"version": 1, "optimizer": {}}),
            "of version 1; known are 2 and 3",
        ),
        (
            serialization.msgpack_serialize({"version": 3, "optimizer": {"state": {}}}),
            "has no parameters",
        ),
        (
            serialization.msgpack_serialize({"version": 3, "optimizer": np.ones(3)}),
            "has no parameters",
        ),
        (
            serialization.msgpack_serialize(
                {"_optimizer": {"state": {"step": "PLACEHOLDER://x"}, "target": {}}}
            ),
            "has no parameters",
        ),
        (
            serialization.msgpack_serialize({"params": {"a": np.ones(3)}}),
            "has no parameters",
        ),
        (
            serialization.msgpack_serialize({"target": {"a": "elsewhere"}}),
            "has 'elsewhere' for a, which is neither",
        ),
        (
            serialization.msgpack_serialize(
                {"target": {"a": {"driver": "n5", "kvstore": {"path": "a"}}}}
            ),
            "for a, which",
        ),
        (
            serialization.msgpack_serialize(
                {"target": {"a": {"driver": "zarr", "kvstore": {}}}}
            ),
            "for a, which",
        ),
    ],
)
def test_a_bad_index_is_an_error(tmp_path, content, message):
    (tmp_path / "checkpoint_1").mkdir()
    (tmp_path / "checkpoint_1" / "checkpoint").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_arrays(tmp_path)


def test_an_index_with_changed_bytes_is_read_or_refused(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {"a": np.ones((3, 2), np.float32), "b": {"c": np.ones(3)}}
    index = {"version": 3, "optimizer": {"target": arrays}}
    path = tmp_path / "checkpoint"
    whole = serialization.to_bytes(index)
    refused = 0
    for _ in range(500):
        content = np.frombuffer(whole, np.uint8).copy()
        places = generator.integers(len(content), size=3)
        content[places] = generator.integers(256, size=3)
        path.write_bytes(content.tobytes())
        try:
            read_arrays(path)
        except InputError:
            refused += 1
    assert 200 < refused < 500


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"tree_metadata": {"a": {}}}',
        (
            '{"tree_metadata": {"a": {"key_metadata": [{"key": "target"}]},'
            ' "b": {"key_metadata": [{"key": "target"}, {"key": "b"}]}}}'
        ),
    ],
)
def test_bad_orbax_metadata_is_an_error(tmp_path, content):
    (tmp_path / "checkpoint_1" / "state").mkdir(parents=True)
    (tmp_path / "checkpoint_1" / "state" / "_METADATA").write_text(content)
    with pytest.raises(InputError, match="_METADATA is truncated or damaged"):
        read_arrays(tmp_path)


@pytest.mark.parametrize("layout", [native, orbax])
def test_a_truncated_array_is_an_error_and_never_zeros(tmp_path, layout):
    array = value_of(KERNEL, (16, 16))
    place = layout(tmp_path, {KERNEL: array})
    (chunk,) = place.rglob("target.*/0.0")
    whole = chunk.read_bytes()
    model = {
        "encoder": {
            "layers_0": {
                "attention": {
                    "key": {"kernel": jax.ShapeDtypeStruct((16, 16), jnp.float32)}
                }
            }
        }
    }
    chunk.write_bytes(whole[:-20])
    with pytest.raises(
        InputError, match=f"the array {KERNEL} .* is truncated or damaged"
    ):
        load_params(tmp_path, model)
    chunk.unlink()
    with pytest.raises(
        InputError, match=f"the array {KERNEL} .* is truncated or damaged .*missing"
    ):
        load_params(tmp_path, model)
    zarray = chunk.with_name(".zarray")
    for content in (zarray.read_bytes()[:-9], None):
        zarray.write_bytes(content) if content else zarray.unlink()
        with pytest.raises(
            InputError, match=f"checkpoint_100.* lacks the array {KERNEL}"
        ):
            read_arrays(tmp_path)


def test_bfloat16_in_disguise_is_an_error(tmp_path):
    native(tmp_path, {KERNEL: np.ones((2, 2), np.uint16)}, version=2)
    with pytest.raises(InputError, match=f"{KERNEL} in .* is uint16"):
        read_arrays(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            tiny(logits_via_embedding=True),
            r"unknown parameters \(1\): decoder/logits_dense/kernel\. Give",
        ),
        (
            tiny(num_encoder_layers=4, num_decoder_layers=1),
            (
                r"missing parameters \(9\): encoder/layers_3/\S+, \S+, \S+ \.\.\.; "
                r"unknown parameters \(14\): decoder/layers_1/"
            ),
        ),
        (
            tiny(mlp_dim=32),
            r"shape \(15\): decoder/layers_0/mlp/wi_0/kernel is \(16, 24\), expected \(16, 32\)",
        ),
        (
            DecoderConfig(num_layers=2, **SIZES),
            r"unknown parameters \(39\): decoder/layers_0/encoder_decoder_attention/key/kernel",
        ),
    ],
    ids=["extra", "layers", "shape", "architecture"],
)
@pytest.mark.parametrize("scanned", [False, True])
def test_another_model_is_an_error_that_names_parameters(
    tmp_path, config, message, scanned
):
    native(tmp_path, t5x_target(scanned))
    with pytest.raises(InputError, match=r"does not fit this model") as caught:
        load_params(tmp_path, like(config))
    assert caught.match(message)


def test_all_three_kinds_of_mismatch_are_in_one_error(tmp_path):
    native(tmp_path, {"a": np.ones(3, np.float32), "b": np.ones(3, np.float32)})
    model = {
        "b": jax.ShapeDtypeStruct((4,), jnp.float32),
        "c": jax.ShapeDtypeStruct((3,), jnp.float32),
    }
    with pytest.raises(
        InputError,
        match=r"missing parameters \(1\): c; unknown parameters \(1\): a; "
        r"parameters of another shape \(1\): b is",
    ):
        load_params(tmp_path, model)


@pytest.mark.parametrize("name", ["relpos_bias", "relative_posemb"])
@pytest.mark.parametrize("scanned", [False, True])
def test_position_biases_of_each_layer_are_named_as_not_supported(
    tmp_path, scanned, name
):
    arrays = t5x_target(scanned)
    bias = arrays.pop("encoder/relpos_bias/rel_embedding")
    for layer in range(3):
        arrays[f"encoder/layers_{layer}/{name}/rel_embedding"] = bias
    if scanned:
        for layer in range(3):
            del arrays[f"encoder/layers_{layer}/{name}/rel_embedding"]
        arrays[f"encoder/layers/{name}/rel_embedding"] = np.stack([bias] * 3, axis=1)
    native(tmp_path, arrays)
    with pytest.raises(
        InputError, match="relative position biases of each layer are not supported"
    ):
        load_params(tmp_path, like(UNROLLED))


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("scanned", [True, False])
def test_scalable_t5_is_named_when_it_is_refused(tmp_path, nested, scanned):
    """Its attention keeps heads and their dimensions apart; newer ones nest the stacks."""
    arrays = {}
    for name, array in t5x_target(scanned).items():
        if name.endswith(("query/kernel", "key/kernel", "value/kernel")):
            array = array.reshape(*array.shape[:-1], 2, 8)
        if nested:
            name = re.sub(r"^(encoder|decoder)/layers", r"\1/\1/layers", name)
        arrays[name] = array
    native(tmp_path, arrays)
    signs = "encoder/encoder, separate axes" if nested else "separate axes for heads"
    with pytest.raises(InputError, match=rf"is of scalable_t5 \(.*{signs}"):
        load_params(tmp_path, like(STACKED))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("here", MODELS)
@pytest.mark.parametrize("scanned", [False, True])
def test_arrays_that_are_not_finite_are_named(tmp_path, scanned, here, number):
    arrays = t5x_target(scanned)
    name = (
        "encoder/layers/mlp/wo/kernel" if scanned else "encoder/layers_1/mlp/wo/kernel"
    )
    arrays[name].flat[-1] = number
    arrays["decoder/decoder_norm/scale"][0] = number
    native(tmp_path, arrays)
    with pytest.raises(
        InputError, match="2 of the weights .* NaN or infinite"
    ) as error:
        load_params(tmp_path, like(MODELS[here]))
    assert f"decoder/decoder_norm/scale, {name}. " in str(error.value)


@pytest.mark.parametrize("folder", ["../else/target.a", "/etc/passwd", "..", "a/b"])
def test_an_index_that_points_out_of_the_checkpoint_is_refused(tmp_path, folder):
    (tmp_path / "else").mkdir()
    np.save(tmp_path / "else" / "target.a", np.ones(3))
    place = tmp_path / "checkpoint_1"
    place.mkdir()
    index = {"target": {"a": f"PLACEHOLDER://{folder}"}}
    (place / "checkpoint").write_bytes(serialization.msgpack_serialize(index))
    with pytest.raises(InputError, match="not the name of a folder beside it"):
        read_arrays(tmp_path)


def test_a_checkpoint_of_absurd_sizes_is_refused_at_once(tmp_path):
    """Files of some bytes that claim to hold a billion layers, or 10^12 numbers."""
    for name, shape in (
        ("encoder/layers/mlp/wo/kernel", [16, 10**9, 24]),
        ("encoder/encoder_norm/scale", [10**12]),
    ):
        arrays = t5x_target(True)
        native(tmp_path / name, arrays)
        (file,) = (tmp_path / name).rglob(f"target.{name.replace('/', '.')}/.zarray")
        metadata = json.loads(file.read_text())
        file.write_text(json.dumps(metadata | {"shape": shape, "chunks": shape}))
        with pytest.raises(
            InputError, match=r"1,000,000,000 layers|is \(1000000000000,\)"
        ):
            load_params(tmp_path / name, like(STACKED))


def test_chunks_of_absurd_sizes_are_refused_at_once(tmp_path):
    arrays = t5x_target(True)
    native(tmp_path, arrays)
    (file,) = tmp_path.rglob("target.encoder.encoder_norm.scale/.zarray")
    metadata = json.loads(file.read_text())
    file.write_text(json.dumps(metadata | {"chunks": [10**13]}))
    with pytest.raises(InputError, match=r"encoder_norm/scale .* chunks of \(10000000"):
        load_params(tmp_path, like(STACKED))


def test_a_scanned_parameter_without_its_axis_is_an_error(tmp_path):
    native(
        tmp_path, {"encoder/layers/pre_mlp_layer_norm/scale": np.ones(3, np.float32)}
    )
    with pytest.raises(
        InputError,
        match=r"encoder/layers/\S+ is \(3,\): its layers should be stacked on axis 1",
    ):
        load_params(tmp_path, like(STACKED))


def test_the_settings_for_t5x_are_gin_and_name_the_checkpoint(tmp_path):
    settings = restore_settings(tmp_path / "checkpoint_7")
    lines = [line.strip().split(" = ") for line in settings.splitlines()]
    values = {name: ast.literal_eval(value) for name, value in lines}
    assert values == {
        "utils.RestoreCheckpointConfig.path": str(tmp_path / "checkpoint_7"),
        "utils.RestoreCheckpointConfig.mode": "specific",
        "utils.RestoreCheckpointConfig.fallback_to_scratch": True,
        "utils.RestoreCheckpointConfig.assignment_map": (("state.*", None),),
    }


def test_a_step_that_is_there_is_never_written_over(tmp_path):
    save_params(tmp_path, {"a": jnp.ones(2)}, 3)
    with pytest.raises(InputError, match=r"cannot write .*checkpoint_3: it exists"):
        save_params(tmp_path, {"a": jnp.zeros(2)}, 3)
    np.testing.assert_array_equal(read_arrays(tmp_path)["a"].read(), np.ones(2))
    with pytest.raises(
        InputError, match=r"cannot write .*checkpoint_-1: a step counts from 0"
    ):
        save_params(tmp_path, {"a": jnp.ones(2)}, -1)
    with pytest.raises(InputError, match="cannot write gs://bucket/run"):
        save_params("gs://bucket/run", {"a": jnp.ones(2)}, 1)


def test_a_full_disk_leaves_nothing(tmp_path):
    params = {"a": jnp.asarray(value_of("a", (100, 100)))}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(OSError, match="no space left for a checkpoint"):
            save_params(tmp_path, params, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
import numpy as np
from flan_jax.weights import t5x

function, folder = sys.argv[1:]
module = os if function == "rename" else t5x
fatal_call = 1 if function == "rename" else 2
original = getattr(module, function)
calls = []

def die(*args):
    calls.append(args)
    if len(calls) == fatal_call:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args)

setattr(module, function, die)
t5x.save_params(folder, {"a": np.ones(3), "b": np.ones(3)}, 2)
"""


@pytest.mark.parametrize("function", ["_write_array", "rename"])
def test_what_a_killed_writer_left_is_no_checkpoint(tmp_path, function):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, function, str(tmp_path)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert any(left.iterdir())
    with pytest.raises(
        InputError,
        match=r"holds no finished T5X checkpoint. Unfinished: checkpoint_2\.tmp-",
    ):
        read_arrays(tmp_path)
    place = save_params(tmp_path, {"a": jnp.ones(3)}, 2)
    assert list(read_arrays(tmp_path)) == ["a"]
    assert json.loads((place / "target.a" / ".zarray").read_text())["shape"] == [3]
