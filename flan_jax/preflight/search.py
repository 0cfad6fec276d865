"""Finds settings that fit: what saves memory, and which mesh and remat policy is fastest."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from flan_jax.errors import InputError
from flan_jax.hardware import Number
from flan_jax.models.config import REMAT_POLICIES
from flan_jax.parallel.mesh import SLICES, check_batch
from flan_jax.preflight.compile import Compiled, Job, abstract_inputs, compile_for
from flan_jax.preflight.roofline import estimate
from flan_jax.preflight.target import Target, mesh_on

REMAT = ("none", "minimal", "full")
"""The built-in remat policies, from the fastest to the one that needs least memory."""
TENSOR_PARALLEL_DEGREES = (1, 2, 4, 8)
"""Sizes of the mesh axis tensor that a search tries."""

MeshShape: TypeAlias = dict[str, int]
Change: TypeAlias = Callable[[Job], Job]


class Reduction(NamedTuple):
    """A job that needs less memory.

    Attributes:
      settings: what to write, as in ("TrainConfig.microbatches=8",).
      job: the job with these settings.
    """

    settings: tuple[str, ...]
    job: Job


def memory_reductions(job: Job, target: Target) -> Iterator[Reduction]:
    """Yields jobs that need less memory: each single change, then more and more of them together.

    The changes are FSDP in place of data parallelism, remat 'full', and as many microbatches as a
    device has rows.

    Args:
      job: a job that does not fit.
      target: the devices.
    """
    changes = _single_changes(job, target)
    for setting, change in changes.items():
        yield Reduction((setting,), change(job))

    settings: tuple[str, ...] = ()
    for setting, change in changes.items():
        settings = (*settings, setting)
        job = change(job)
        if len(settings) > 1:
            yield Reduction(settings, job)


def _single_changes(job: Job, target: Target) -> dict[str, Change]:
    """Returns the changes that the job does not have yet, by the setting to write."""
    mesh = dict(mesh_on(job.training.mesh, target).shape)
    batch_shards = mesh["data"] * mesh["fsdp"]
    if target.slices > 1:
        mesh["data"] //= target.slices
        mesh[SLICES] = target.slices

    changes: dict[str, Change] = {}
    if mesh["data"] > 1:
        fsdp_mesh = {**mesh, "data": 1, "fsdp": mesh["data"] * mesh["fsdp"]}
        changes[f"MESH={fsdp_mesh}"] = lambda job: with_mesh(job, fsdp_mesh)

    least = REMAT[-1]
    if job.model.remat != least:
        model_class = type(job.model).__name__
        setting = f"{model_class}.remat={least}"
        changes[setting] = lambda job: with_remat(job, least)

    most = job.batch_rows // batch_shards
    if most > job.training.microbatches:
        setting = f"TrainConfig.microbatches={most}"
        changes[setting] = lambda job: with_microbatches(job, most)
    return changes


def with_remat(job: Job, policy: str) -> Job:
    """Returns a job under another remat policy."""
    model = dataclasses.replace(job.model, remat=policy)
    return dataclasses.replace(job, model=model)


def with_mesh(job: Job, mesh: MeshShape) -> Job:
    """Returns a job on another mesh."""
    training = dataclasses.replace(job.training, mesh=mesh)
    return dataclasses.replace(job, training=training)


def with_microbatches(job: Job, microbatches: int) -> Job:
    """Returns a job with another number of microbatches."""
    training = dataclasses.replace(job.training, microbatches=microbatches)
    return dataclasses.replace(job, training=training)


def what_would_fit(
    job: Job,
    target: Target,
    compile_job: Callable[[Job, Target], Compiled] = compile_for,
) -> Iterator[tuple[tuple[str, ...], Compiled]]:
    """Compiles the memory reductions of a job.

    Each single change is compiled; if none is enough, more and more of them together until they
    are.

    Args:
      job: a job that does not fit.
      target: the devices.
      compile_job: compiles a job.

    Yields:
      (what to write, the compiled job).
    """
    enough = False
    for settings, reduced in memory_reductions(job, target):
        if enough and len(settings) > 1:
            return
        try:
            compiled = compile_job(reduced, target)
        except InputError:  # sizes of this model that the mesh does not divide
            continue
        enough = enough or compiled.fits(target)
        yield settings, compiled


def meshes(count: int) -> Iterator[MeshShape]:
    """Yields the meshes to search.

    For each tensor-parallel degree, fsdp is 1, the root of the other devices (rounded to a power of
    two), or all of them.

    >>> [tuple(mesh.values()) for mesh in meshes(4)]
    [(4, 1, 1), (2, 2, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2), (1, 1, 4)]

    Args:
      count: the number of devices.
    """
    for tensor in TENSOR_PARALLEL_DEGREES:
        if count % tensor != 0:
            continue
        rest = count // tensor
        root = 2 ** (int(math.log2(rest)) // 2)
        sizes = dict.fromkeys((1, math.gcd(rest, root), rest))
        for fsdp in sizes:
            yield {"data": rest // fsdp, "fsdp": fsdp, "tensor": tensor}


def search(job: Job, target: Target) -> Iterator[Compiled]:
    """Compiles a job on each mesh, under remat policies until one fits, and under registered ones.

    Meshes that do not divide the model or the batch are left out.

    Args:
      job: the job, whose mesh and remat policy are replaced.
      target: the devices.
    """
    slices = {SLICES: target.slices} if target.slices > 1 else {}
    for mesh in meshes(len(target.devices) // target.slices):
        on_mesh = with_mesh(job, mesh | slices)
        try:
            device_mesh, _, _ = abstract_inputs(on_mesh, target)
            check_batch(job.batch_rows, job.training.microbatches, device_mesh)
        except InputError:
            continue

        for policy in _policies():
            compiled = compile_for(with_remat(on_mesh, policy), target)
            yield compiled
            argument_bytes = compiled.state_bytes + compiled.batch_bytes
            is_enough = compiled.fits(target) and policy in REMAT
            if is_enough or argument_bytes > target.memory:
                break


def _policies() -> list[str]:
    """Returns all remat policies: those that a user has registered follow the fastest one.

    Their place between "none" and "full" is not known, so where "none" does not fit all of them are
    compiled, whether they fit or not.
    """
    registered = [name for name in REMAT_POLICIES if name not in REMAT]
    fastest, *others = REMAT
    return [fastest, *registered, *others]


def ranked(results: Sequence[Compiled], target: Target) -> list[Compiled]:
    """Returns the results that fit, the fastest first.

    Args:
      results: compiled training steps.
      target: the devices that they were compiled for. If its chip is not in CHIPS, those that need
        least memory come first.
    """
    fitting = [compiled for compiled in results if compiled.fits(target)]

    def order(compiled: Compiled) -> Number:
        seconds = estimate(compiled, target)
        return compiled.needed_bytes if seconds is None else seconds.serial_seconds

    return sorted(fitting, key=order)
