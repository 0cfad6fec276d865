"""T5X's checkpoints, read and written without T5X, in its own layout and in its later orbax one.

A checkpoint is a folder checkpoint_N whose file `checkpoint` (msgpack) is an index: a tree of the
optimizer's state and, under "target", of the parameters. Small arrays lie in the index. For others
the index says where the array lies: in a zarr array, a folder of its own, which is named by the
dotted path ("target.encoder.layers_0.mlp.wo.kernel"). There are two layouts:

native: {"version": 3, "optimizer": {"state": ..., "target": ...}}. A tensorstore spec stands for an
    array, with a path relative to the checkpoint and the key-value store of its writer (a file, or
    a made-up gs:// bucket).
orbax: {"state": ..., "target": ...} in checkpoint_N/state/, or within "optimizer".
    "PLACEHOLDER://name" stands for an array. Today's orbax leaves `checkpoint` out and keeps the
    tree in `_METADATA` alone. With OCDBT, which is today's default, there are no folders of arrays:
    all of them lie in one key-value store, which `manifest.ocdbt` opens.

Sources: google-research/t5x, t5x/checkpoints.py, checkpoint_utils.py, state_utils.py and testdata/.
Only "target" is ever opened: checkpoints are often copied without their optimizer's state.

Layers: T5X stores them one by one, as layers_0, layers_1 ..., or scanned, stacked along axis 1
under "layers" (param_scan_axis = 1).

Not supported: other scan axes, scalable_t5's parameters, relative position biases of each layer
(umT5), bfloat16 stored as uint16 (version 2), orbax's zarr3, which T5X does not write.
"""

import errno
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import jax
import numpy as np
import tensorstore as ts
from etils import epath
from flax import serialization, traverse_util

from flan_jax.errors import InputError, is_disk_full
from flan_jax.json_files import atomic_folder
from flan_jax.pytrees import Params, named_leaves
from flan_jax.weights.finite import is_finite, refuse_damaged
from flan_jax.weights.shapes import (
    Shape,
    Shapes,
    is_stacked,
    layer_name,
    shape_differences,
    unstacked_arrays,
    unstacked_shapes,
)

VERSIONS = (2, 3)
SCAN_AXIS = 1
"""The axis of T5X's scanned parameters that counts layers; ours is 0."""
CHUNK_BYTES = 64 * 2**20
"""The largest chunk of an array that is written, as in T5X."""

INDEX_FILES = ("checkpoint", "_METADATA")
OCDBT_FILE = "manifest.ocdbt"
INDEX_FILE = re.compile(r"(.+\.)?checkpoint(_\d+)?")
CHECKPOINT_FOLDER = re.compile(r"checkpoint_(\d+)")
UNFINISHED = re.compile(r"\.tmp-|\.orbax-checkpoint-tmp")
PLACEHOLDER = "PLACEHOLDER://"
DAMAGED_INDEX = (ValueError, TypeError, KeyError, AttributeError, SyntaxError)
"""What flax and NumPy raise for an index with bytes that were changed."""
UNSTACKED_LAYER = re.compile(r"(^|/)layers_\d+/")
BIAS_OF_EACH_LAYER = re.compile(r"layers_\d+/(relpos_bias|relative_posemb)/")
NESTED_STACK = re.compile(r"^(encoder/encoder|decoder/decoder)/")
ATTENTION_KERNEL = re.compile(r"attention/(query|key|value|out)/kernel$")

PathLike: TypeAlias = str | os.PathLike[str]
Leaf: TypeAlias = jax.Array | jax.ShapeDtypeStruct
ArrayIndex: TypeAlias = Any
"""NumPy's basic indexing: an integer, a slice, `...` or a tuple of these."""
Index: TypeAlias = dict[str, Any]
"""A checkpoint's index: nested dicts of arrays, specs and placeholders."""


class StoredArray:
    """One array of a checkpoint, which stays on disk until it is read.

    Attributes:
      shape: its shape, as it is stored.
      dtype: its dtype, as it is stored.
    """

    def __init__(self, name: str, stored: np.ndarray | ts.TensorStore):
        """Wraps an array that lies in the index, or an open zarr array.

        Args:
          name: the parameter's name, for messages.
          stored: the array.
        """
        self._name = name
        self._stored = stored
        self.shape: Shape = tuple(stored.shape)
        if isinstance(stored, np.ndarray):
            self.dtype = stored.dtype
        else:
            self.dtype = np.dtype(stored.dtype.numpy_dtype)

    def read(self, index: ArrayIndex = ...) -> np.ndarray:
        """Returns the array, or the part that `index` selects. Only its chunks are read.

        Args:
          index: as for a NumPy array; `...` for all of it.

        Returns:
          The values on the host, in the stored dtype.

        Raises:
          InputError: chunks are missing or damaged.
        """
        if isinstance(self._stored, np.ndarray):
            return np.asarray(self._stored[index])
        try:
            return np.asarray(self._stored[index].read().result())
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"the array {self._name} of a T5X checkpoint is truncated or damaged ({error}). "
                "Copy its folder again"
            ) from None


def is_checkpoint(folder: PathLike) -> bool:
    """Returns whether `folder` is a T5X checkpoint, finished or not.

    The folder around checkpoints, and the index file itself, count too.

    Args:
      folder: a local folder or a URL such as gs://bucket/checkpoint_1000.

    Returns:
      True if it is a checkpoint, a folder around checkpoints, or a checkpoint's index file.
    """
    root = epath.Path(folder).expanduser()
    if not root.is_dir():
        return INDEX_FILE.fullmatch(root.name) is not None and root.exists()
    if _index_folder(root) is not None:
        return True
    return any(CHECKPOINT_FOLDER.match(child.name) for child in root.iterdir())


def read_arrays(folder: PathLike) -> dict[str, StoredArray]:
    """Opens the parameters of a T5X checkpoint.

    Args:
      folder: a checkpoint_N, or the folder around several, whose latest finished one is taken. It
        may be in a bucket (gs://). It may also be the index file itself, as for T5X: flax's
        checkpoints, with all arrays inside, are one file.

    Returns:
      The arrays, as they are stored, by name ("encoder/layers_0/attention/key/kernel").

    Raises:
      InputError: there is no finished checkpoint, its index cannot be read or is of an unknown
        version, or an array is absent.
    """
    root = epath.Path(folder).expanduser()
    if root.exists() and not root.is_dir():
        checkpoint = root.parent
        index = _read_index(root)
    else:
        checkpoint = _find_checkpoint(root)
        index = _read_index(checkpoint / "checkpoint")

    # All at once: opening reads a small file for each array, and these may lie far away.
    store = _key_value_store(checkpoint)
    opening = {}
    for name, leaf in _target(checkpoint, index).items():
        opening[name] = _open(store, leaf)

    arrays = {}
    for name, stored in opening.items():
        try:
            if not isinstance(stored, np.ndarray):
                stored = stored.result()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"the checkpoint {checkpoint} lacks the array {name} ({error}). Copy it again"
            ) from None
        _check_chunks(checkpoint, name, stored)
        arrays[name] = StoredArray(name, stored)
        if arrays[name].dtype == np.uint16:
            raise InputError(
                f"{name} in {checkpoint} is uint16: version 2 stores bfloat16 so, which T5X no "
                "longer reads either. Take a later checkpoint"
            )
    return arrays


def load_params(folder: PathLike, like: Params) -> Params:
    """Returns the parameters of a T5X checkpoint.

    Beside what is placed, the host holds one stored array or one of `like`, and a copy while it is
    placed.

    Args:
      folder: as for `read_arrays`.
      like: arrays, or jax.ShapeDtypeStruct with shardings, whose structure, shapes, dtypes and
        placement the parameters get. Layers may be stacked or one by one, here and in the
        checkpoint.

    Raises:
      InputError: the checkpoint cannot be read, or parameters are missing, unknown, of another
        shape or not finite.
    """
    arrays = read_arrays(folder)
    leaves = named_leaves(like)
    _check_shapes(folder, arrays, leaves)

    # The leaves that are one parameter when stacked: one leaf, or its layers.
    groups: dict[str, list[str]] = {}
    for name in leaves:
        stacked_name = UNSTACKED_LAYER.sub(r"\1layers/", name)
        groups.setdefault(stacked_name, []).append(name)

    placed = {}
    damaged: list[str] = []
    for stacked_name, names in groups.items():
        group = {name: leaves[name] for name in names}
        placed |= _load_group(stacked_name, group, arrays, damaged)
    refuse_damaged(damaged, os.fspath(folder))
    return jax.tree.unflatten(
        jax.tree.structure(like), [placed[name] for name in leaves]
    )


def save_params(folder: PathLike, params: Params, step: int) -> Path:
    """Writes parameters as a T5X checkpoint in the native layout.

    Layers are stored one by one, and dtypes stay as they are. There is no optimizer state: see
    `restore_settings`. The checkpoint appears once it is complete.

    Args:
      folder: the local folder around checkpoints.
      params: arrays.
      step: the number in the checkpoint's name.

    Returns:
      The checkpoint, folder/checkpoint_<step>.

    Raises:
      InputError: the checkpoint exists, or the folder is not local.
      OSError: the disk is full.
    """
    if "://" in os.fspath(folder):
        raise InputError(
            f"cannot write {folder}: T5X checkpoints are written to a local folder; copy it from "
            "there with gsutil"
        )
    checkpoint = Path(folder).expanduser().absolute() / f"checkpoint_{step}"
    if step < 0:
        raise InputError(
            f"cannot write {checkpoint}: a step counts from 0. Give another step"
        )
    if checkpoint.exists():
        raise InputError(
            f"cannot write {checkpoint}: it exists. Give another step or folder"
        )

    try:
        with atomic_folder(checkpoint) as partial:
            _write(partial, params, step)
    except (ValueError, RuntimeError) as error:
        if is_disk_full(error):
            raise OSError(
                errno.ENOSPC, "no space left for a checkpoint", str(checkpoint)
            ) from error
        raise
    return checkpoint


def restore_settings(checkpoint: PathLike) -> str:
    """Returns the gin settings with which T5X trains on from a checkpoint without optimizer state.

    Without the last two, T5X looks for the optimizer's state in the checkpoint and fails. Its step
    counts from 0 then, as the step is part of the state.

    Args:
      checkpoint: the checkpoint_N that `save_params` wrote.
    """
    name = "utils.RestoreCheckpointConfig"
    return (
        f"    {name}.path = {os.fspath(checkpoint)!r}\n"
        f"    {name}.mode = 'specific'\n"
        f"    {name}.fallback_to_scratch = True\n"
        f"    {name}.assignment_map = ((r'state.*', None),)\n"
    )


def step_of(source: PathLike) -> int:
    """Returns the step of a T5X checkpoint: the number in its name; 0 if there is none.

    Args:
      source: as for `read_arrays`.
    """
    root = epath.Path(source).expanduser()
    path = _find_checkpoint(root) if root.is_dir() else root
    for name in (path.name, path.parent.name):
        step = re.search(r"checkpoint_(\d+)$", name)
        if step is not None:
            return int(step.group(1))
    return 0


def _find_checkpoint(root: epath.Path) -> epath.Path:
    """Returns the folder that holds the index of the checkpoint that `root` means."""
    if not root.is_dir():
        raise InputError(
            f"there is no folder {root} to read a T5X checkpoint from. Give a checkpoint_N, or its "
            "parent"
        )
    if UNFINISHED.search(root.name):
        raise InputError(
            f"the checkpoint {root} is unfinished: its writer never renamed it. Take another"
        )
    index_folder = _index_folder(root)
    if index_folder is not None:
        return index_folder
    if CHECKPOINT_FOLDER.fullmatch(root.name):
        raise InputError(
            f"the checkpoint {root} is unfinished: it has no index file `checkpoint`. Take another"
        )
    return _find_latest(root)


def _find_latest(root: epath.Path) -> epath.Path:
    """Returns the folder with the index of the latest finished checkpoint below `root`."""
    steps = {}
    unfinished = []
    for child in root.iterdir():
        checkpoint_folder = CHECKPOINT_FOLDER.fullmatch(child.name)
        if checkpoint_folder is not None:
            steps[int(checkpoint_folder.group(1))] = child
        elif UNFINISHED.search(child.name):
            unfinished.append(child.name)

    for step in sorted(steps, reverse=True):
        index_folder = _index_folder(steps[step])
        if index_folder is not None:
            return index_folder

    unfinished += [child.name for child in steps.values()]
    hint = f" Unfinished: {', '.join(sorted(unfinished))}." if unfinished else ""
    raise InputError(
        f"{root} holds no finished T5X checkpoint.{hint} Give a checkpoint_N, or the folder around "
        "them"
    )


def _index_folder(folder: epath.Path) -> epath.Path | None:
    """Returns where a checkpoint's index lies: in it, or in its item "state"; None if nowhere."""
    for candidate in (folder, folder / "state"):
        for name in INDEX_FILES:
            path = candidate / name
            # A folder named "checkpoint" is of another program.
            if path.exists() and not path.is_dir():
                return candidate
    return None


def _read_index(path: epath.Path) -> Index:
    """Returns an index, with a spec or a placeholder for each array in a folder of its own."""
    if not path.exists():
        return _read_orbax_metadata(path.parent)
    content = path.read_bytes()
    if content.startswith(b"model_checkpoint_path"):
        raise InputError(
            f"{path} belongs to a TensorFlow checkpoint. Convert it with T5X's "
            "convert_tf_checkpoint.py"
        )
    try:
        index = serialization.msgpack_restore(content)
    except DAMAGED_INDEX as error:
        raise InputError(
            f"the index {path} is truncated or damaged ({error}). Copy it again"
        ) from None
    if not isinstance(index, dict):
        raise InputError(
            f"{path} is not the index of a T5X checkpoint. Give a folder that T5X wrote"
        )
    return index


def _read_orbax_metadata(checkpoint: epath.Path) -> Index:
    """Returns the tree of orbax's _METADATA, with placeholders as in the older `checkpoint`."""
    path = checkpoint / "_METADATA"
    index = {}
    try:
        metadata = json.loads(path.read_text())
        for entry in metadata["tree_metadata"].values():
            keys = tuple(str(key["key"]) for key in entry["key_metadata"])
            index[keys] = PLACEHOLDER + ".".join(keys)
        tree = traverse_util.unflatten_dict(index)
    except DAMAGED_INDEX as error:
        raise InputError(
            f"{path} is truncated or damaged ({error!r}). Copy it again"
        ) from None

    if metadata.get("use_zarr3"):
        raise InputError(
            f"{checkpoint} is an orbax checkpoint in zarr3, which T5X does not write; it was not "
            "read. Give a checkpoint that T5X wrote"
        )
    return tree


def _target(checkpoint: epath.Path, index: Index) -> dict[str, np.ndarray | str]:
    """Returns the parameters in an index: arrays, and names of folders that hold arrays."""
    version = index.get("version")
    if version is not None and not isinstance(version, str) and version not in VERSIONS:
        raise InputError(
            f"the checkpoint {checkpoint} is of version {version}; known are {VERSIONS[0]} and "
            f"{VERSIONS[1]}. Take a checkpoint of a later T5X"
        )

    for wrapper in ("optimizer", "_optimizer"):
        index = index.get(wrapper, index) if isinstance(index, dict) else {}
    target = index.get("target") if isinstance(index, dict) else None
    if not isinstance(target, dict) or not target:
        raise InputError(
            f"the index of {checkpoint} has no parameters ('target'). Give a checkpoint that T5X "
            "wrote"
        )

    try:
        leaves = traverse_util.flatten_dict(target, is_leaf=_is_spec, sep="/")
    except DAMAGED_INDEX as error:
        raise InputError(
            f"the index of {checkpoint} is damaged ({error}). Copy it again"
        ) from None
    return {name: _parse_leaf(checkpoint, name, leaf) for name, leaf in leaves.items()}


def _is_spec(_: tuple[str, ...], value: Mapping[str, Any]) -> bool:
    return "kvstore" in value


def _parse_leaf(checkpoint: epath.Path, name: str, leaf: object) -> np.ndarray | str:
    """Returns an array of the index, or the name of the folder that holds it."""
    folder = None
    if isinstance(leaf, np.ndarray | np.generic | int | float):
        return np.asarray(leaf)
    if isinstance(leaf, str) and leaf.startswith(PLACEHOLDER):
        folder = leaf.removeprefix(PLACEHOLDER)
    if isinstance(leaf, dict) and leaf.get("driver") == "zarr":
        folder = _spec_folder(leaf)
    if not folder:
        raise InputError(
            f"the index of {checkpoint} has {leaf!r} for {name}, which is neither an array nor "
            "where one lies. Give a checkpoint that T5X wrote"
        )
    if folder == ".." or "/" in folder or "\0" in folder:
        raise InputError(
            f"the index of {checkpoint} says that {name} lies in {folder!r}, which is not the name "
            "of a folder beside it; nothing was read. Give a checkpoint that T5X wrote"
        )
    return folder


def _spec_folder(spec: Mapping[str, Any]) -> str | None:
    """Returns the last part of the path in a tensorstore spec: the rest is of its writer's disk."""
    kvstore = spec["kvstore"]
    path = kvstore
    if isinstance(kvstore, dict):
        # tensorstore before 0.1.14 kept the path beside the kvstore.
        path = kvstore.get("path", spec.get("path"))
    return PurePosixPath(path).name if isinstance(path, str) else None


def _key_value_store(checkpoint: epath.Path) -> ts.KvStore.Spec:
    """Returns the key-value store of a checkpoint's arrays: its folder, or the OCDBT there."""
    path = os.fspath(checkpoint) + "/"
    if "://" in path:
        folder = ts.KvStore.Spec(path)
    else:
        folder = ts.KvStore.Spec(
            {"driver": "file", "path": os.path.abspath(path) + "/"}
        )
    if not (checkpoint / OCDBT_FILE).exists():
        return folder
    return ts.KvStore.Spec({"driver": "ocdbt", "base": folder.to_json()})


def _open(store: ts.KvStore.Spec, leaf: np.ndarray | str) -> np.ndarray | ts.Future:
    """Returns an array as it is; for the name of a folder, the future of its zarr array."""
    if isinstance(leaf, np.ndarray):
        return leaf
    spec = {
        "driver": "zarr",
        "kvstore": (store / f"{leaf}/").to_json(),
        # A missing chunk is an error and not zeros: T5X gives no fill value, and without one
        # tensorstore writes chunks of zeros as well (google/tensorstore#28, December 2021; an older
        # checkpoint may lack some).
        "fill_missing_data_reads": False,
    }
    return ts.open(spec, open=True, read=True)


def _check_chunks(
    checkpoint: epath.Path, name: str, stored: np.ndarray | ts.TensorStore
) -> None:
    """Raises InputError if an array lies in chunks that are larger than itself.

    tensorstore allocates a whole chunk to read a part of it, and aborts the process if it cannot.
    """
    if isinstance(stored, np.ndarray):
        return
    sides = stored.chunk_layout.read_chunk.shape or ()  # None for a scalar
    chunk = tuple(side or 0 for side in sides)
    if any(side > max(size, 1) for side, size in zip(chunk, stored.shape, strict=True)):
        raise InputError(
            f"the array {name} of {checkpoint} is {stored.shape}, in chunks of {chunk}: its "
            ".zarray is damaged. Copy it again"
        )


def _check_shapes(
    folder: PathLike, arrays: Mapping[str, StoredArray], leaves: Mapping[str, Leaf]
) -> None:
    """Raises InputError if a checkpoint is of another model."""
    saved = unstacked_shapes(
        {name: array.shape for name, array in arrays.items()}, layer_axis=SCAN_AXIS
    )
    expected = unstacked_shapes(
        {name: tuple(leaf.shape) for name, leaf in leaves.items()}
    )
    problems = shape_differences(saved, expected)
    if not problems:
        return

    layout = _scalable_t5(saved)
    if layout:
        raise InputError(
            f"the T5X checkpoint in {os.fspath(folder)} is of scalable_t5 ({layout}), whose models "
            "are other ones than those of T5X's examples/t5: each layer has its own relative "
            "position bias. Give a checkpoint that was trained with examples/t5/network.py"
        )
    unknown = [name for name in saved if name not in expected]
    if any(BIAS_OF_EACH_LAYER.search(name) for name in unknown):
        problems.append(
            "relative position biases of each layer are not supported, only one for all layers of "
            "a stack"
        )
    raise InputError(
        f"the T5X checkpoint in {os.fspath(folder)} does not fit this model, with layers one by "
        f"one: {'; '.join(problems)}. Give a checkpoint of this model, or change the model's sizes"
    )


def _scalable_t5(saved: Shapes) -> str:
    """Returns what in a checkpoint is scalable_t5's way; "" if nothing is."""
    signs = []
    if any(NESTED_STACK.search(name) for name in saved):
        signs.append("stacks nested as encoder/encoder")
    kernels = [saved[name] for name in saved if ATTENTION_KERNEL.search(name)]
    if any(len(shape) == 3 for shape in kernels):
        signs.append("separate axes for heads and their dimensions")
    return ", ".join(signs)


def _load_group(
    stacked_name: str,
    leaves: Mapping[str, Leaf],
    arrays: Mapping[str, StoredArray],
    damaged: list[str],
) -> dict[str, jax.Array]:
    """Loads the leaves of one parameter: the leaf `stacked_name`, or its layers.

    What was read is freed at the return, before anything else is read.

    Args:
      stacked_name: the name that the parameter has with stacked layers.
      leaves: the leaves to load, by name.
      arrays: the arrays of the checkpoint.
      damaged: gets the names of arrays whose numbers are not finite.
    """

    def read(name: str) -> np.ndarray:
        value = arrays[name].read()
        if not is_finite(value):
            damaged.append(name)
        return value

    if stacked_name in arrays:
        value = read(stacked_name)
        if is_stacked(stacked_name):
            value = np.moveaxis(value, SCAN_AXIS, 0)
        if stacked_name in leaves:
            return {stacked_name: _place(value, leaves[stacked_name])}
        layers = {
            layer_name(stacked_name, layer): value[layer] for layer in range(len(value))
        }
        return {name: _place(layers[name], leaf) for name, leaf in leaves.items()}

    if stacked_name in leaves:
        leaf = leaves[stacked_name]
        value = np.empty(leaf.shape, leaf.dtype)
        for layer in range(len(value)):
            value[layer] = read(layer_name(stacked_name, layer))
        return {stacked_name: _place(value, leaf)}
    return {name: _place(read(name), leaf) for name, leaf in leaves.items()}


def _place(value: np.ndarray, leaf: Leaf) -> jax.Array:
    value = value.astype(leaf.dtype, copy=False)
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return jax.device_put(value)
    return jax.make_array_from_callback(
        value.shape, sharding, lambda index: value[index]
    )


def _write(folder: Path, params: Params, step: int) -> None:
    specs = {}
    for array in unstacked_arrays(params):
        specs[array.name] = _write_array(folder, f"target/{array.name}", array.read())

    # No "param_states", not even an empty one: T5X's load_t5x_checkpoint fails at an empty node.
    optimizer = {
        "state": {"step": np.int32(step)},
        "target": traverse_util.unflatten_dict(specs, sep="/"),
    }
    index = {"version": VERSIONS[-1], "optimizer": optimizer}
    (folder / "checkpoint").write_bytes(serialization.msgpack_serialize(index))


def _write_array(folder: Path, name: str, value: np.ndarray) -> dict[str, Any]:
    """Writes one zarr array, and returns its spec for the index, with a relative path."""
    path = name.replace("/", ".")
    metadata = {
        "shape": list(value.shape),
        "chunks": _chunks(value.shape, value.dtype.itemsize),
        "compressor": {"id": "gzip", "level": 1},
    }
    spec = {"driver": "zarr", "dtype": value.dtype.name, "metadata": metadata}
    absolute_path = {"driver": "file", "path": os.fspath(folder / path)}
    array = ts.open({**spec, "kvstore": absolute_path}, create=True).result()
    array.write(value).result()
    return {**spec, "kvstore": {"driver": "file", "path": path}}


def _chunks(shape: Shape, itemsize: int) -> list[int]:
    """Returns the shape of chunks: the longest axis is halved until they have CHUNK_BYTES."""
    chunks = list(shape)
    while math.prod(chunks) * itemsize > CHUNK_BYTES:
        longest = chunks.index(max(chunks))
        chunks[longest] = -(-chunks[longest] // 2)
    return chunks
