"""Parameters in orbax checkpoints, and what their readers and writers share.

A checkpoint is the folder checkpoints/<step> of a run. It has the item `params` and, where a whole
training state was saved, the item `rest` (optimizer state, step and random key).
"""

import contextlib
import errno
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import jax
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding, PartitionSpec

from flan_jax.errors import InputError, RunFailed, is_disk_full
from flan_jax.json_files import JsonObject, read_json
from flan_jax.parallel import multihost
from flan_jax.pytrees import Params, Tree, named_leaves, restack_layers
from flan_jax.weights.finite import check_params
from flan_jax.weights.shapes import (
    Bounds,
    Shape,
    Shapes,
    device_bounds,
    is_stacked,
    shape_differences,
)
from flan_jax.weights.shipped import local_folder

ITEMS = ("params", "rest")
VISIBLE_WITHIN_SECONDS = 60
"""How long a process waits for a checkpoint of another process to appear on the shared disk."""

MeshAxes: TypeAlias = tuple[object, ...]
"""The mesh axes that each dimension of an array is split over."""


FROZEN = "frozen"
"""Item of a checkpoint that does not hold all parameters: the identity of the others, as JSON."""


class CheckpointFailed(RunFailed):
    """A checkpoint could not be saved."""


def load_params(source: str | Path, like: Params) -> Params:
    """Returns the parameters of another run's latest checkpoint.

    Args:
      source: a run directory, or its checkpoints/ folder.
      like: arrays, or shapes with shardings; each parameter is placed as its leaf here.

    Raises:
      InputError: there is no checkpoint, it is of another model, or it holds numbers that are not
        finite.
    """
    folder = latest_folder(source)
    step = multihost.broadcast_from_zero(int(folder.name))
    restored = restore(folder.parent, step, {"params": like})
    check_params(restored["params"], folder)
    return restored["params"]


def latest_folder(source: str | Path) -> Path:
    """Returns the folder of another run's latest checkpoint, which is named by its step.

    Args:
      source: a run directory, or its checkpoints/ folder.

    Raises:
      InputError: there is no checkpoint.
    """
    folder = local_folder(source)
    if (folder / "checkpoints").is_dir():
        folder = folder / "checkpoints"
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {folder} to take parameters from. Give a run directory"
        )

    numbered = [path for path in folder.iterdir() if path.name.isdecimal()]
    checkpoints = [path for path in numbered if (path / "params").exists()]
    if not checkpoints:
        found = ""
        if numbered:
            found = f" {numbered[0].name}/ is not one: it has no params/."
        raise InputError(
            f"{folder} holds no finished checkpoint of a run to take parameters from.{found} Give "
            "the directory of a run that has saved one"
        )
    return max(checkpoints, key=lambda path: int(path.name))


def frozen_params_id(source: str | Path) -> JsonObject | None:
    """Returns the identity of the parameters that a run's latest checkpoint does not hold.

    Args:
      source: a run directory, or its checkpoints/ folder.

    Returns:
      {"trainable": regex of the parameters that it holds, "source": where the others are from}, or
      None if it holds all.
    """
    return read_json(latest_folder(source) / FROZEN / "metadata")


def save_params(folder: str | Path, params: Params) -> None:
    """Saves parameters as checkpoint 0 of a new run directory, which `load_params` reads.

    Args:
      folder: the run directory; the checkpoint is written to its "checkpoints" folder.
      params: the parameters.

    Raises:
      InputError: the folder holds checkpoints already.
      OSError: the disk is full.
      CheckpointFailed: it could not be saved for another reason.
    """
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    checkpoints = Path(folder).expanduser() / "checkpoints"
    with open_manager(checkpoints, options) as manager, translate_save_errors(folder):
        latest = multihost.broadcast_from_zero(manager.latest_step())
        if latest is not None:
            raise InputError(
                f"{checkpoints} holds checkpoint {latest} already, and readers take the latest; "
                "name a folder without checkpoints"
            )
        items = ocp.args.Composite(params=ocp.args.StandardSave(params))
        save_step(manager, 0, items)
        manager.wait_until_finished()


def save_step(
    manager: ocp.CheckpointManager,
    step: int,
    items: ocp.args.Composite,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Saves a checkpoint, or begins to, if the manager saves asynchronously.

    Args:
      manager: the folder of checkpoints.
      step: the checkpoint's step.
      items: what it holds.
      metrics: what decides which checkpoints are best.

    Raises:
      CheckpointFailed: nothing is saved, as there is a checkpoint of this step or of a later one.
    """
    is_saved = manager.save(step, args=items, metrics=metrics)
    if not is_saved:
        raise CheckpointFailed(
            f"the checkpoint of step {step} was not saved in {manager.directory}, which holds one "
            f"of step {manager.latest_step()}"
        )


@contextlib.contextmanager
def translate_save_errors(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Turns the errors of orbax and tensorstore into ours.

    Args:
      folder: where the checkpoints are saved, for the message.

    Raises:
      OSError: the disk is full.
      CheckpointFailed: any other error.
    """
    try:
        yield
    except (InputError, RunFailed):  # they are ours
        raise
    except (ValueError, RuntimeError) as error:
        if is_disk_full(error):
            raise OSError(
                errno.ENOSPC, "no space left for a checkpoint", str(folder)
            ) from error
        raise CheckpointFailed(
            f"a checkpoint in {folder} could not be saved: {error}"
        ) from error


def open_manager(
    folder: Path,
    options: ocp.CheckpointManagerOptions,
    restore_concurrent_gb: float | None = None,
) -> ocp.CheckpointManager:
    """Opens a folder of checkpoints, to read or to write.

    Args:
      folder: the checkpoints/ folder of a run.
      options: orbax's options.
      restore_concurrent_gb: how many GB a restore may read at a time; None is orbax's default.
    """
    limits = {}
    if restore_concurrent_gb is not None:
        limits["restore_concurrent_gb"] = restore_concurrent_gb

    # Without handlers, a manager that has not saved yet reads no metadata of what is there.
    handlers = {}
    for name in ITEMS:
        handlers[name] = ocp.StandardCheckpointHandler(**limits)
    handlers[FROZEN] = ocp.JsonCheckpointHandler()
    return ocp.CheckpointManager(
        folder.resolve(), options=options, item_handlers=handlers
    )


def restore(folder: Path, step: int, like: Mapping[str, Tree]) -> dict[str, Tree]:
    """Restores items of a checkpoint.

    Args:
      folder: the checkpoints/ folder of a run.
      step: the checkpoint's step.
      like: the items to restore, `params` among them: arrays, or shapes with shardings. Each leaf
        is placed as its leaf here. Layers may be stacked here and one by one in the checkpoint, or
        the other way round.

    Returns:
      The restored items by name.

    Raises:
      InputError: this process does not see the checkpoint, or it is of another model.
    """
    _wait_until_visible(folder / str(step))
    wanted = {}
    for name, item in like.items():
        wanted[name] = jax.tree.map(ocp.utils.to_shape_dtype_struct, item)

    options = ocp.CheckpointManagerOptions(read_only=True)
    try:
        with open_manager(folder, options) as manager:
            metadata = manager.item_metadata(step)
        saved = {name: dict(metadata[name]) for name in like}

        has_other_layout = _is_stacked(saved["params"]) != _is_stacked(wanted["params"])
        expected = _in_layout_of(saved, wanted) if has_other_layout else wanted
        _check_shapes(saved["params"], expected["params"])

        limit_gb = concurrent_read_bytes(saved, expected) / 1e9
        arguments = {}
        for name, item in expected.items():
            arguments[name] = ocp.args.StandardRestore(item)
        with open_manager(folder, options, restore_concurrent_gb=limit_gb) as manager:
            restored = manager.restore(step, args=ocp.args.Composite(**arguments))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the checkpoint of step {step} in {folder} does not fit this model: {error}. Give a "
            "checkpoint of this model, or change the model's sizes"
        ) from None

    items = {name: restored[name] for name in like}
    return convert_layers(items, wanted) if has_other_layout else items


def convert_layers(tree: Tree, like: Tree) -> Tree:
    """Returns arrays with their layers stacked or one by one, as in `like`, and placed as there.

    Both forms are in memory for a moment.

    Args:
      tree: parameters or a whole state: arrays.
      like: the wanted structure: arrays or their shapes, with shardings.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
    convert = jax.jit(lambda tree: restack_layers(tree, like), out_shardings=shardings)
    return convert(tree)


def _is_stacked(params: Params) -> bool:
    """Returns whether the layers of a model lie stacked, as nn.scan has them."""
    return any(is_stacked(name) for name in named_leaves(params))


def _in_layout_of(saved: Tree, wanted: Tree) -> Tree:
    """Returns the shapes and shardings of `wanted` with layers stacked, or not, as in `saved`."""

    def stack(layers: list[jax.ShapeDtypeStruct]) -> jax.ShapeDtypeStruct:
        shape = (len(layers), *layers[0].shape)
        return _shape_on(layers[0], shape, lambda spec: (None, *spec))

    def take(stacked: jax.ShapeDtypeStruct, _: int) -> jax.ShapeDtypeStruct:
        return _shape_on(stacked, stacked.shape[1:], lambda spec: spec[1:])

    return restack_layers(wanted, saved, stack=stack, take=take)


def _shape_on(
    leaf: jax.ShapeDtypeStruct, shape: Shape, change: Callable[[MeshAxes], MeshAxes]
) -> jax.ShapeDtypeStruct:
    """Returns another shape of the leaf's dtype, with `change` applied to its partition spec."""
    sharding = leaf.sharding
    if isinstance(sharding, NamedSharding):
        spec = PartitionSpec(*change(tuple(sharding.spec)))
        sharding = NamedSharding(sharding.mesh, spec)
    return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=sharding)


def concurrent_read_bytes(
    saved: Mapping[str, Tree], expected: Mapping[str, Tree]
) -> int:
    """Returns how many bytes a restore may read at a time: memory that it takes beside the state.

    This is a tenth of this process's share of the state. If that is more, it is the largest single
    read: the part of one device, rounded up to the chunks in which the array was saved.

    Args:
      saved: orbax's metadata of each item, by name.
      expected: the shapes and shardings of each item to restore, by name.
    """
    share = 0
    largest_read = 0
    for item, tree in expected.items():
        metadata = named_leaves(saved[item])
        for name, leaf in named_leaves(tree).items():
            itemsize = leaf.dtype.itemsize
            chunks = _saved_chunks(metadata.get(name), leaf)
            for bounds in _local_bounds(leaf):
                sizes = [stop - start for start, stop in bounds]
                share += itemsize * math.prod(sizes)
                read = itemsize * _elements_read(bounds, chunks)
                largest_read = max(largest_read, read)
    return max(share // 10, largest_read + 1024)  # orbax asks for more than it reads


def _saved_chunks(metadata: object, leaf: jax.ShapeDtypeStruct) -> Shape:
    """Returns the shape of the chunks of a saved array; the whole shape if it is not known."""
    storage = getattr(metadata, "storage", None)
    if storage is None or len(storage.chunk_shape) != len(leaf.shape):
        return leaf.shape
    return storage.chunk_shape


def _elements_read(bounds: Bounds, chunks: Shape) -> int:
    """Returns how many elements the chunks that overlap a part of an array hold."""
    elements = 1
    for (start, stop), chunk in zip(bounds, chunks, strict=True):
        first_read = start // chunk * chunk
        last_read = -(-stop // chunk) * chunk
        elements *= last_read - first_read
    return elements


def _local_bounds(leaf: jax.ShapeDtypeStruct) -> set[Bounds]:
    """Returns the distinct parts of an array that this process's devices hold."""
    if leaf.sharding is None:
        return {tuple((0, size) for size in leaf.shape)}

    return set(device_bounds(leaf).values())


def _wait_until_visible(checkpoint: Path) -> None:
    """Waits until this process sees a checkpoint that another process wrote."""
    for _ in range(VISIBLE_WITHIN_SECONDS):
        if checkpoint.is_dir():
            return
        time.sleep(1)
    raise InputError(
        f"{multihost.process_name()} does not see {checkpoint}, which another process wrote. Write "
        "a --run_dir that lies on a disk shared by all hosts"
    )


def _check_shapes(saved: Params, expected: Params) -> None:
    """Raises ValueError if shapes differ: restoring would pad or cut the arrays."""
    differences = shape_differences(_shapes(saved), _shapes(expected))
    if differences:
        raise ValueError("; ".join(differences))


def _shapes(tree: Params) -> Shapes:
    leaves = named_leaves(tree)
    return {name: tuple(leaf.shape) for name, leaf in leaves.items()}
