"""Parameters in orbax checkpoints: those of another run, and restoring onto a mesh."""

import contextlib
import errno
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding, PartitionSpec

from flan_jax.errors import InputError, RunFailed
from flan_jax.parallel import multihost
from flan_jax.pytrees import Params, Tree, named_leaves, restack_layers

SEEN_SECONDS = 60
"""So long a host waits for a shared disk to show it what another wrote."""


class CheckpointFailed(RunFailed):
    """A checkpoint could not be saved."""


def load_params(source: str | Path, like: Any) -> Any:
    """The parameters of another run's latest checkpoint, placed as in `like`.

    `source` is a run directory or its checkpoints/ folder. Raises InputError when there is none, or it is of another model.
    """
    folder = latest_folder(source)
    return _restore(
        folder.parent, multihost.broadcast_from_zero(int(folder.name)), {"params": like}
    )["params"]


def latest_folder(source: str | Path) -> Path:
    """The folder of another run's latest checkpoint, named by its step. Raises InputError when there is none."""
    folder = Path(source).expanduser()
    folder = folder / "checkpoints" if (folder / "checkpoints").is_dir() else folder
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {folder} to take parameters from. Give a run directory"
        )
    steps = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    if not steps:
        raise InputError(f"{folder} holds no finished checkpoint to take parameters from")
    return folder / str(max(steps))


def save_params(folder: str | Path, params: Any) -> None:
    """Parameters alone, as checkpoint 0 of a new run directory that load_params reads."""
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    with (
        _open(Path(folder).expanduser() / "checkpoints", options) as manager,
        _failure_named(folder),
    ):
        manager.save(0, args=ocp.args.Composite(params=ocp.args.StandardSave(params)))
        manager.wait_until_finished()


@contextlib.contextmanager
def _failure_named(folder: Any) -> Iterator[None]:
    """tensorstore's errors for a full disk as the OSError that every other writer raises, others as CheckpointFailed."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if re.search(r"No space left|File too large|Disk quota", str(error)):
            raise OSError(errno.ENOSPC, "no space left for a checkpoint", str(folder)) from error
        raise CheckpointFailed(f"a checkpoint in {folder} could not be saved: {error}") from error


def _open(
    folder: Path, options: ocp.CheckpointManagerOptions, **limits: Any
) -> ocp.CheckpointManager:
    # Without handlers, a manager that has not saved yet reads no metadata of what is there.
    handlers = {name: ocp.StandardCheckpointHandler(**limits) for name in ("params", "rest")}
    return ocp.CheckpointManager(folder.resolve(), options=options, item_handlers=handlers)


def _restore(folder: Path, step: int, like: dict[str, Any]) -> dict[str, Any]:
    _wait_until_visible(folder / str(step))
    abstract = {
        name: jax.tree.map(ocp.utils.to_shape_dtype_struct, item) for name, item in like.items()
    }
    options = ocp.CheckpointManagerOptions(read_only=True)
    try:
        with _open(folder, options) as manager:
            there = manager.item_metadata(step)
        saved = {name: dict(there[name]) for name in like}
        other_layout = _has_stack(saved["params"]) != _has_stack(abstract["params"])
        expected = _in_layout_of(saved, abstract) if other_layout else abstract
        _compare(saved["params"], expected["params"])
        with _open(
            folder, options, restore_concurrent_gb=_read_at_once(there, expected) / 1e9
        ) as manager:
            args = {name: ocp.args.StandardRestore(item) for name, item in expected.items()}
            restored = manager.restore(step, args=ocp.args.Composite(**args))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the checkpoint of step {step} in {folder} does not fit this model: {error}"
        ) from None
    items = {name: restored[name] for name in like}
    return convert_layers(items, abstract) if other_layout else items


def _has_stack(params: Params) -> bool:
    """Returns whether the layers of a model lie stacked, as nn.scan has them."""
    return any("layers/" in name for name in named_leaves(params))


def _in_layout_of(saved: Tree, abstract: Tree) -> Tree:
    """Returns the shapes and shardings of `abstract` with layers stacked, or not, as in `saved`."""

    def stack(layers: list[jax.ShapeDtypeStruct]) -> jax.ShapeDtypeStruct:
        shape = (len(layers), *layers[0].shape)
        return _shape_on(layers[0], shape, lambda spec: (None, *spec))

    def take(stacked: jax.ShapeDtypeStruct, _: int) -> jax.ShapeDtypeStruct:
        return _shape_on(stacked, stacked.shape[1:], lambda spec: spec[1:])

    return restack_layers(abstract, saved, stack=stack, take=take)


def _shape_on(
    leaf: jax.ShapeDtypeStruct,
    shape: tuple[int, ...],
    change: Callable[[tuple[Any, ...]], tuple[Any, ...]],
) -> jax.ShapeDtypeStruct:
    """Returns another shape of the leaf's dtype, with `change` applied to its partition spec."""
    sharding = leaf.sharding
    if isinstance(sharding, NamedSharding):
        sharding = NamedSharding(sharding.mesh, PartitionSpec(*change(tuple(sharding.spec))))
    return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=sharding)


def convert_layers(tree: Tree, like: Tree) -> Tree:
    """Returns arrays with their layers stacked or one by one, as in `like`, and placed as there.

    Both forms are in memory for a moment.

    Args:
      tree: parameters or a whole state: arrays.
      like: the wanted structure: arrays or their shapes, with shardings.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
    return jax.jit(lambda tree: restack_layers(tree, like), out_shardings=shardings)(tree)


def _read_at_once(there: Any, here: Mapping[str, Any]) -> int:
    """Bytes that a restore may read at a time, which are memory beside the state: a tenth of what this host is to hold, or, if
    that is more, the largest part that orbax reads in one go: a device's, rounded up to the chunks that it was saved in.
    """
    held, largest = 0, 0
    for item, tree in here.items():
        saved = named_leaves(there[item])
        for name, leaf in named_leaves(tree).items():
            storage = getattr(saved.get(name), "storage", None)
            chunks = (
                storage.chunk_shape
                if storage and len(storage.chunk_shape) == len(leaf.shape)
                else leaf.shape
            )
            for bounds in _local_bounds(leaf):
                held += leaf.dtype.itemsize * math.prod(stop - start for start, stop in bounds)
                rounded = (
                    -(-stop // c) * c - start // c * c
                    for (start, stop), c in zip(bounds, chunks, strict=True)
                )
                largest = max(largest, leaf.dtype.itemsize * math.prod(rounded))
    return max(held // 10, largest + 1024)  # orbax asks for more than it reads


def _local_bounds(leaf: Any) -> set[tuple[tuple[int, int], ...]]:
    """What this host's devices are to hold of an array, as (start, stop) of each dimension."""
    if leaf.sharding is None:
        return {tuple((0, size) for size in leaf.shape)}
    indices = leaf.sharding.addressable_devices_indices_map(leaf.shape).values()
    return {
        tuple(part.indices(size)[:2] for part, size in zip(index, leaf.shape, strict=True))
        for index in indices
    }


def _wait_until_visible(checkpoint: Path) -> None:
    """Until this host sees a checkpoint that another wrote. Raises InputError when it does not come."""
    for _ in range(SEEN_SECONDS):
        if checkpoint.is_dir():
            return
        time.sleep(1)
    raise InputError(
        f"{multihost.process_name()} does not see {checkpoint}; the run directory must be on a disk that all hosts see"
    )


def _compare(there: Any, here: Any) -> None:
    """Raises ValueError naming the first parameters that differ. Restoring would pad or cut arrays of other shapes."""
    shapes_there = {name: tuple(leaf.shape) for name, leaf in named_leaves(there).items()}
    shapes_here = {name: tuple(leaf.shape) for name, leaf in named_leaves(here).items()}
    differing = sorted(
        n for n in {*shapes_there, *shapes_here} if shapes_there.get(n) != shapes_here.get(n)
    )
    if differing:
        first = [
            f"{n} is {shapes_there.get(n, 'absent')} there, {shapes_here.get(n, 'absent')} here"
            for n in differing[:3]
        ]
        raise ValueError(f"{len(differing)} parameters differ: {'; '.join(first)}")
