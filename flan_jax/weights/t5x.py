"""T5X's checkpoints, read and written without T5X: its own layout, and that of its later versions, orbax's.

A checkpoint is a folder checkpoint_N whose file `checkpoint` (msgpack) is an index: a tree of the optimizer's state
and, under "target", of the parameters. Small arrays lie in the index; elsewhere it says where an array lies, a
zarr array in a folder of its own, named by the dotted path ("target.encoder.layers_0.mlp.wo.kernel"):

    native  {"version": 3, "optimizer": {"state": ..., "target": ...}}; a tensorstore spec stands for an array, with a
            path relative to the checkpoint and the kvstore of whoever wrote it (a file, or a made-up gs:// bucket)
    orbax   {"state": ..., "target": ...} in checkpoint_N/state/, or within "optimizer"; "PLACEHOLDER://name" stands
            for an array. Orbax of today leaves `checkpoint` out and keeps the tree in `_METADATA` alone

Sources: google-research/t5x, t5x/checkpoints.py, checkpoint_utils.py, state_utils.py and testdata/. Only "target" is
ever opened: checkpoints are often copied without their optimizer's state.

Layers: T5X stores them one by one, as layers_0, layers_1 ..., or scanned, stacked along axis 1 under "layers"
(param_scan_axis = 1). Not supported: other scan axes, relative position biases of each layer (scalable_t5, umT5),
bfloat16 disguised as uint16 (version 2), orbax's OCDBT and zarr3, which T5X does not write.
"""

import errno
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorstore as ts
from etils import epath
from flax import serialization, traverse_util

from flan_jax.errors import InputError
from flan_jax.pytrees import named_leaves

VERSIONS = (2, 3)
PLACEHOLDER = "PLACEHOLDER://"
UNFINISHED = re.compile(r"\.tmp-|\.orbax-checkpoint-tmp")
INDEX_FILE = re.compile(r"(.+\.)?checkpoint(_\d+)?")
SCANNED = re.compile(r"(^|/)layers/")
UNROLLED = re.compile(r"(^|/)layers_(\d+)/")
CHUNK_BYTES = 64 * 2**20
SHOWN = 3

Folder = str | os.PathLike[str]
Shapes = dict[str, tuple[int, ...]]


class LazyArray:
    """One array of a checkpoint, of `shape` and `dtype`, that stays on disk until it is read."""

    def __init__(self, name: str, stored: Any):
        self._name, self._stored = name, stored
        self.shape: tuple[int, ...] = tuple(stored.shape)
        self.dtype = np.dtype(
            stored.dtype if isinstance(stored, np.ndarray) else stored.dtype.numpy_dtype
        )

    def read(self, index: Any = ...) -> np.ndarray:
        """The array, or what `index` (NumPy's basic indexing) selects of it. Only the chunks that it touches are read.

        Raises InputError when chunks are missing or damaged.
        """
        if isinstance(self._stored, np.ndarray):
            return np.asarray(self._stored[index])
        try:
            return np.asarray(self._stored[index].read().result())
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"the array {self._name} of a T5X checkpoint is truncated or damaged ({error}). Copy its folder again"
            ) from None


def is_checkpoint(folder: Folder) -> bool:
    """Whether `folder` is a T5X checkpoint, finished or not, the folder around some, or an index file."""
    root = epath.Path(folder).expanduser()
    if not root.is_dir():
        return INDEX_FILE.fullmatch(root.name) is not None and root.exists()
    return _index_folder(root) is not None or any(
        re.match(r"checkpoint_\d+", child.name) for child in root.iterdir()
    )


def read_t5x(folder: Folder) -> dict[str, LazyArray]:
    """The parameters of a T5X checkpoint by name ("encoder/layers_0/attention/key/kernel"), shaped as they are stored.

    `folder` is a checkpoint_N, or the folder around them, of which the latest finished one is taken; it may be gs://. It
    may also be the index file itself, as T5X takes it: flax's checkpoints, with all arrays inside, are one file.
    Raises InputError when there is no finished checkpoint, its index cannot be read or is of an unknown version, or an
    array is absent.
    """
    root = epath.Path(folder).expanduser()
    is_file = root.exists() and not root.is_dir()
    place = root.parent if is_file else _find(root)
    index = _target(place, _index(root if is_file else place / "checkpoint"))
    # All at once: opening reads a small file for each array, and these may lie far away.
    opening = {name: _open(place, leaf) for name, leaf in index.items()}
    arrays = {}
    for name, stored in opening.items():
        try:
            arrays[name] = LazyArray(
                name, stored if isinstance(stored, np.ndarray) else stored.result()
            )
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"the checkpoint {place} lacks the array {name} ({error}). Copy it again"
            ) from None
        if arrays[name].dtype == np.uint16:
            raise InputError(
                f"{name} in {place} is uint16, version 2's disguise for bfloat16, which T5X no longer reads either. "
                "Take a later checkpoint"
            )
    return arrays


def load_t5x_params(folder: Folder, like: Any) -> Any:
    """The parameters of a T5X checkpoint in the structure, shapes, dtypes and placement of `like`.

    `like` is a tree of jax.ShapeDtypeStruct with shardings, or of arrays. Layers may be scanned or unrolled on either
    side. Beyond what is placed, the host holds one stored array or one of `like`, and a copy while it is placed.
    Raises InputError as read_t5x does, and one that names parameters when some are missing, left over or of another
    shape.
    """
    arrays, leaves = read_t5x(folder), named_leaves(like)
    there = _unrolled_shapes({name: array.shape for name, array in arrays.items()}, axis=1)
    here = _unrolled_shapes({name: tuple(leaf.shape) for name, leaf in leaves.items()}, axis=0)
    _compare(folder, there, here)
    groups: dict[str, list[str]] = {}
    for name in leaves:
        groups.setdefault(UNROLLED.sub(r"\1layers/", name), []).append(name)
    placed = {}
    for stack, names in groups.items():
        placed |= _load(stack, {name: leaves[name] for name in names}, arrays)
    return jax.tree.unflatten(jax.tree.structure(like), [placed[name] for name in leaves])


def write_t5x(folder: Folder, params: Any, step: int) -> Path:
    """Writes `params` to folder/checkpoint_<step> in T5X's native layout and returns that path.

    Layers are unrolled, dtypes stay as they are. There is no optimizer's state: T5X starts from it with
    `fallback_to_scratch`, or evaluates and infers. All is written to checkpoint_<step>.tmp-* and then renamed, so that
    whatever a kill leaves does not count as a checkpoint. Raises InputError for a step that is there already, and
    OSError when the disk is full.
    """
    if "://" in os.fspath(folder):
        raise InputError(
            f"cannot write {folder}: write_t5x writes to a local folder; copy it from there with gsutil"
        )
    final = Path(folder).expanduser().absolute() / f"checkpoint_{step}"
    if step < 0 or final.exists():
        why = "a step counts from 0" if step < 0 else "it exists"
        raise InputError(f"cannot write {final}: {why}. Give another step or folder")
    temporary = final.with_name(f"{final.name}.tmp-{time.time_ns()}")
    temporary.mkdir(parents=True)
    try:
        _write(temporary, params, step)
        temporary.rename(final)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        # tensorstore's error for a full disk, as the OSError that every other writer raises.
        if not isinstance(error, OSError) and re.search(
            r"No space left|File too large|Disk quota", str(error)
        ):
            raise OSError(errno.ENOSPC, "no space left for a checkpoint", str(final)) from error
        raise
    return final


def _find(root: epath.Path) -> epath.Path:
    """The folder that holds the index of the checkpoint that `root` means."""
    if not root.is_dir():
        raise InputError(
            f"there is no folder {root} to read a T5X checkpoint from. Give a checkpoint_N, or its parent"
        )
    if UNFINISHED.search(root.name):
        raise InputError(
            f"the checkpoint {root} is unfinished: its writer never renamed it. Take another"
        )
    if (place := _index_folder(root)) is not None:
        return place
    if re.fullmatch(r"checkpoint_\d+", root.name):
        raise InputError(
            f"the checkpoint {root} is unfinished: it has no index file `checkpoint`. Take another"
        )
    children = {child.name: child for child in root.iterdir()}
    steps = {
        int(name.split("_")[1]): name for name in children if re.fullmatch(r"checkpoint_\d+", name)
    }
    for step in sorted(steps, reverse=True):
        if (place := _index_folder(children[steps[step]])) is not None:
            return place
    unfinished = sorted(
        name for name in children if UNFINISHED.search(name) or name in steps.values()
    )
    hint = f" Unfinished: {', '.join(unfinished)}." if unfinished else ""
    raise InputError(
        f"{root} holds no finished T5X checkpoint.{hint} Give a checkpoint_N, or the folder around them"
    )


def _index_folder(folder: epath.Path) -> epath.Path | None:
    """Where the index lies: in the checkpoint, or in its item "state"; None where there is none."""
    for place in (folder, folder / "state"):
        # The native index is a file; a folder "checkpoint" is somebody else's.
        if any(
            (place / name).exists() and not (place / name).is_dir()
            for name in ("checkpoint", "_METADATA")
        ):
            return place
    return None


def _index(path: epath.Path) -> dict[str, Any]:
    """The index as a tree, with a spec or a placeholder where an array lies in a folder of its own."""
    if not path.exists():
        return _orbax_index(path.parent)
    content = path.read_bytes()
    if content.startswith(b"model_checkpoint_path"):
        raise InputError(
            f"{path} belongs to a TensorFlow checkpoint. Convert it with T5X's convert_tf_checkpoint.py"
        )
    try:
        index = serialization.msgpack_restore(content)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the index {path} is truncated or damaged ({error}). Copy it again"
        ) from None
    if not isinstance(index, dict):
        raise InputError(f"{path} is no index of a T5X checkpoint. Give a folder that T5X wrote")
    return index


def _orbax_index(place: epath.Path) -> dict[str, Any]:
    """The tree that orbax's _METADATA describes, with placeholders as in orbax's older `checkpoint`."""
    path = place / "_METADATA"
    try:
        metadata = json.loads(path.read_text())
        names = [
            [str(key["key"]) for key in entry["key_metadata"]]
            for entry in metadata["tree_metadata"].values()
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is truncated or damaged ({error!r}). Copy it again") from None
    for flag, layout in (("use_ocdbt", "OCDBT"), ("use_zarr3", "zarr3")):
        if metadata.get(flag):
            raise InputError(
                f"{place} is an orbax checkpoint in {layout}, which T5X does not write; it was not read"
            )
    return traverse_util.unflatten_dict(
        {tuple(keys): PLACEHOLDER + ".".join(keys) for keys in names}
    )


def _target(place: epath.Path, index: dict[str, Any]) -> dict[str, Any]:
    """{name: an array, or the name of its folder} of the parameters in an index."""
    version = index.get("version")
    if version is not None and not isinstance(version, str) and version not in VERSIONS:
        raise InputError(
            f"the checkpoint {place} is of version {version}; known are {VERSIONS[0]} and {VERSIONS[1]}"
        )
    for wrapper in ("optimizer", "_optimizer"):
        index = index.get(wrapper, index) if isinstance(index, dict) else {}
    target = index.get("target") if isinstance(index, dict) else None
    if not isinstance(target, dict) or not target:
        raise InputError(
            f"the index of {place} has no parameters ('target'). Give a checkpoint that T5X wrote"
        )
    flat = traverse_util.flatten_dict(target, is_leaf=lambda _, value: "kvstore" in value, sep="/")
    return {name: _leaf(place, name, leaf) for name, leaf in flat.items()}


def _leaf(place: epath.Path, name: str, leaf: Any) -> Any:
    if isinstance(leaf, str) and leaf.startswith(PLACEHOLDER):
        return leaf.removeprefix(PLACEHOLDER)
    if isinstance(leaf, dict):
        # tensorstore before 0.1.14 kept the path beside the kvstore. Only its last part means something elsewhere.
        kvstore = leaf["kvstore"]
        path = kvstore.get("path", leaf.get("path")) if isinstance(kvstore, dict) else kvstore
        if (
            leaf.get("driver") == "zarr"
            and isinstance(path, str)
            and (folder := PurePosixPath(path).name)
        ):
            return folder
    elif isinstance(leaf, np.ndarray | np.generic | int | float):
        return np.asarray(leaf)
    raise InputError(
        f"the index of {place} has {leaf!r} for {name}, which is neither an array nor where one lies"
    )


def _open(place: epath.Path, leaf: Any) -> Any:
    """An array as it is; for a folder, the future of its opened zarr array."""
    if isinstance(leaf, np.ndarray):
        return leaf
    path = os.fspath(place / leaf)
    kvstore = path if "://" in path else {"driver": "file", "path": os.path.abspath(path)}
    # A missing chunk is an error and not zeros: T5X gives no fill value, and without one tensorstore writes chunks of
    # zeros as well (google/tensorstore#28, December 2021; an older checkpoint may lack some).
    return ts.open(
        {"driver": "zarr", "kvstore": kvstore, "fill_missing_data_reads": False},
        open=True,
        read=True,
    )


def _layer(name: str, layer: int) -> str:
    """The unrolled name of one layer of a scanned parameter."""
    return SCANNED.sub(rf"\g<1>layers_{layer}/", name)


def _unrolled_shapes(shapes: Shapes, axis: int) -> Shapes:
    """The shapes as they are without scanning. `axis` counts the layers of scanned parameters."""
    unrolled = {}
    for name, shape in shapes.items():
        if not SCANNED.search(name):
            unrolled[name] = shape
            continue
        if len(shape) <= axis:
            raise InputError(
                f"{name} is {shape}: it lies under 'layers', but has no axis {axis} that counts layers"
            )
        one = shape[:axis] + shape[axis + 1 :]
        unrolled |= {_layer(name, layer): one for layer in range(shape[axis])}
    return unrolled


def _compare(folder: Folder, there: Shapes, here: Shapes) -> None:
    """Raises InputError that names the parameters that differ."""
    missing, extra = [n for n in here if n not in there], [n for n in there if n not in here]
    reshaped = [
        f"{n} is {there[n]} there, {here[n]} here"
        for n in here
        if n in there and there[n] != here[n]
    ]
    kinds = (
        ("missing there", missing),
        ("without a place here", extra),
        ("of another shape", reshaped),
    )
    said = [
        f"{len(names)} {kind}: {', '.join(names[:SHOWN])}{' ...' if len(names) > SHOWN else ''}"
        for kind, names in kinds
        if names
    ]
    if not said:
        return
    if any(re.search(r"layers_\d+/(relpos_bias|relative_posemb)/", name) for name in extra):
        said.append(
            "relative position biases of each layer are not supported, only one for all layers of a stack"
        )
    raise InputError(
        f"the T5X checkpoint in {os.fspath(folder)} does not fit this model, counting layers one by one. Parameters: "
        f"{'; '.join(said)}. Give a checkpoint of this model, or change the model's sizes"
    )


def _load(stack: str, leaves: dict[str, Any], arrays: dict[str, LazyArray]) -> dict[str, jax.Array]:
    """{name: array} of one leaf that is named `stack`, or of the layers whose scanned name that is.

    What was read is gone at the return, before anything else is.
    """
    if stack in arrays:
        value = arrays[stack].read()
        value = np.moveaxis(value, 1, 0) if SCANNED.search(stack) else value
        if stack in leaves:
            return {stack: _place(value, leaves[stack])}
        layers = {_layer(stack, layer): value[layer] for layer in range(len(value))}
        return {name: _place(layers[name], leaf) for name, leaf in leaves.items()}
    if stack in leaves:
        value = np.empty(leaves[stack].shape, leaves[stack].dtype)
        for layer in range(len(value)):
            value[layer] = arrays[_layer(stack, layer)].read()
        return {stack: _place(value, leaves[stack])}
    return {name: _place(arrays[name].read(), leaf) for name, leaf in leaves.items()}


def _place(value: np.ndarray, leaf: Any) -> jax.Array:
    value = value.astype(leaf.dtype, copy=False)
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return jax.device_put(value)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def _write(folder: Path, params: Any, step: int) -> None:
    target = {
        name: _write_array(folder, f"target/{name}", value) for name, value in _unrolled(params)
    }
    # No "param_states", not even an empty one: T5X's load_t5x_checkpoint fails at an empty node.
    state = {
        "state": {"step": np.int32(step)},
        "target": traverse_util.unflatten_dict(target, sep="/"),
    }
    index = serialization.msgpack_serialize({"version": VERSIONS[-1], "optimizer": state})
    with open(folder / "checkpoint", "wb") as file:
        file.write(index)
        os.fsync(file.fileno())


def _unrolled(params: Any) -> Iterator[tuple[str, np.ndarray]]:
    """(unrolled name, array on the host), one at a time."""
    for name, leaf in named_leaves(params).items():
        if SCANNED.search(name):
            for layer in range(leaf.shape[0]):
                yield _layer(name, layer), np.asarray(leaf[layer])
        else:
            # Of a copy: an array keeps the host's copy of itself once there is one, and all of them would add up.
            yield name, np.asarray(jnp.copy(leaf) if isinstance(leaf, jax.Array) else leaf)


def _write_array(folder: Path, name: str, value: np.ndarray) -> dict[str, Any]:
    """Writes one zarr array and returns the spec that stands for it in the index, its path relative to `folder`."""
    path = name.replace("/", ".")
    metadata = {
        "shape": list(value.shape),
        "chunks": _chunks(value.shape, value.dtype.itemsize),
        "compressor": {"id": "gzip", "level": 1},
    }
    spec = {"driver": "zarr", "dtype": value.dtype.name, "metadata": metadata}
    kvstore = {"driver": "file", "path": path}
    absolute = {**spec, "kvstore": {**kvstore, "path": os.fspath(folder / path)}}
    ts.open(absolute, create=True).result().write(value).result()
    return {**spec, "kvstore": kvstore}


def _chunks(shape: tuple[int, ...], itemsize: int) -> list[int]:
    """Chunks of at most 64 MiB, T5X's size: the longest axis is halved until they are small enough."""
    chunks = list(shape)
    while math.prod(chunks) * itemsize > CHUNK_BYTES:
        longest = chunks.index(max(chunks))
        chunks[longest] = -(-chunks[longest] // 2)
    return chunks
