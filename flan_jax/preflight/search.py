"""Which mesh, remat policy or microbatches would fit, and which is fastest."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flan_jax.errors import InputError
from flan_jax.hardware import CHIPS, Number
from flan_jax.models.config import REMAT_POLICIES
from flan_jax.models.params import count_params
from flan_jax.parallel.mesh import SLICES, check_batch
from flan_jax.preflight.compile import Compiled, Job, Target, abstract_inputs, compile_for, mesh_on
from flan_jax.preflight.roofline import Roofline, roofline

REMAT = tuple(REMAT_POLICIES)
"""From the fastest to the one that needs least."""


TENSOR_PARALLEL_DEGREES = (1, 2, 4, 8)
"""What a search tries for the mesh axis tensor."""


def estimate(compiled: Compiled, target: Target) -> Roofline | None:
    """The least time of a step; None for a chip that is not in CHIPS, and where the step does not fit.

    FLOPs are the model's, and a third more where remat is 'full': the forward pass is done twice. The bytes to and from
    memory are a lower bound: the update reads and writes the state, temporaries are written and read once, and each
    microbatch reads the weights twice, and a third time under 'full'.
    """
    if target.chip is None or compiled.found is None:
        return None
    chip, job = CHIPS[target.chip], compiled.job
    again = job.model.remat == "full"
    width = 2 if job.model.dtype == "bfloat16" else 4
    weights = count_params(job.model) * width / compiled.mesh["tensor"]
    traffic = (
        2 * compiled.state
        + 2 * (compiled.temporaries or 0)
        + job.training.microbatches * (2 + again) * weights
    )
    return roofline(
        chip,
        flops=job.flops * (4 / 3 if again else 1) / len(target.devices),
        traffic=traffic,
        sent=compiled.found.sent,
        closed=target.is_torus,
        between=compiled.found.between,
    )


def memory_reductions(job: Job, target: Target) -> Iterator[tuple[tuple[str, ...], Job]]:
    """(what to write, the job so changed): each of what saves memory by itself, then more and more of it together."""
    mesh = dict(mesh_on(job.training.mesh, target).shape)
    ways = mesh["data"] * mesh["fsdp"]
    if target.slices > 1:
        mesh |= {"data": mesh["data"] // target.slices, SLICES: target.slices}
    changes: dict[str, Callable[[Job], Job]] = {}
    if mesh["data"] > 1:
        shape = mesh | {"data": 1, "fsdp": mesh["data"] * mesh["fsdp"]}
        changes[f"MESH={shape}"] = lambda job: with_training(job, mesh=shape)
    if job.model.remat != REMAT[-1]:
        changes[f"{type(job.model).__name__}.remat={REMAT[-1]}"] = lambda job: with_remat(
            job, REMAT[-1]
        )
    most = job.rows // ways
    if most > job.training.microbatches:
        changes[f"TrainConfig.microbatches={most}"] = lambda job: with_training(
            job, microbatches=most
        )
    for name, change in changes.items():
        yield (name,), change(job)
    names: tuple[str, ...] = ()
    for name, change in changes.items():
        names, job = (*names, name), change(job)
        if len(names) > 1:
            yield names, job


def with_remat(job: Job, policy: str) -> Job:
    return dataclasses.replace(job, model=dataclasses.replace(job.model, remat=policy))


def with_training(job: Job, **changes: Any) -> Job:
    return dataclasses.replace(job, training=dataclasses.replace(job.training, **changes))


def what_would_fit(
    job: Job, target: Target, compiling: Callable[[Job, Target], Compiled] = compile_for
) -> Iterator[tuple[tuple[str, ...], Compiled]]:
    """The remedies, compiled one after the other: each alone; if none is enough, more and more together until they are."""
    enough = False
    for names, changed in memory_reductions(job, target):
        if enough and len(names) > 1:
            return
        try:
            compiled = compiling(changed, target)
        except InputError:  # sizes of this model that the mesh does not divide
            continue
        enough = enough or compiled.fits(target)
        yield names, compiled


def meshes(count: int) -> Iterator[dict[str, int]]:
    """Meshes of `count` devices to search: for each number of ways of tensor, fsdp over none, all, and half of the rest's twos.

    >>> [tuple(mesh.values()) for mesh in meshes(4)]
    [(4, 1, 1), (2, 2, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2), (1, 1, 4)]
    """
    for tensor in (ways for ways in TENSOR_PARALLEL_DEGREES if count % ways == 0):
        rest = count // tensor
        half = math.gcd(rest, 2 ** (int(math.log2(rest)) // 2))
        for fsdp in dict.fromkeys((1, half, rest)):
            yield {"data": rest // fsdp, "fsdp": fsdp, "tensor": tensor}


def search(job: Job, target: Target) -> Iterator[Compiled]:
    """The job compiled on each mesh, with the least recomputation that fits there.

    Meshes over which the model or the batch does not divide are left out.
    """
    several = {SLICES: target.slices} if target.slices > 1 else {}
    for mesh in meshes(len(target.devices) // target.slices):
        placed = with_training(job, mesh=mesh | several)
        try:
            device_mesh, _, _ = abstract_inputs(placed, target)
            check_batch(placed.rows, placed.training.microbatches, device_mesh)
        except InputError:
            continue
        for policy in REMAT:
            compiled = compile_for(with_remat(placed, policy), target)
            yield compiled
            if compiled.fits(target) or compiled.state + compiled.batch > target.memory:
                break


def ranked(results: Sequence[Compiled], target: Target) -> list[Compiled]:
    """Those that fit, the fastest first if nothing overlaps; on chips without known peaks, those that need least first."""
    fitting = [compiled for compiled in results if compiled.fits(target)]

    def order(compiled: Compiled) -> Number:
        seconds = estimate(compiled, target)
        return compiled.needed if seconds is None else seconds.apart

    return sorted(fitting, key=order)
