"""Whether a run fits a TPU slice, or the devices here, and what it costs: its train step is compiled for them and not run.

Nothing is allocated and no data is read; the compiler of libtpu needs no TPU.
"""

import dataclasses
import importlib.util
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from flan_jax.batch import EOS, batch_spec
from flan_jax.data.config import fixed_lengths
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError, RunFailed, unknown_name
from flan_jax.hardware import CHIPS, Number, chip_of, is_torus, memory_of
from flan_jax.models.attention_backends import check_attention
from flan_jax.parallel.mesh import make_mesh
from flan_jax.parallel.sharding import batch_sharding, use_mesh
from flan_jax.preflight.hlo import Collectives, collectives
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.training.settings import Settings, TrainConfig
from flan_jax.training.setup import check_devices
from flan_jax.training.state import abstract_state_on
from flan_jax.training.step import jitted_step

MESHES = Path(__file__).resolve().parents[2] / "gin" / "mesh"
"""A file for each of the usual slices."""
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}


Program = tuple[Any, tuple[Any, ...]]
"""A function under jax.jit and its arguments as shapes, the second of which is a batch."""


class DoesNotFit(RunFailed):
    """What preflight ends with where the run, or all that a search tried, needs more memory than there is."""


class Target(NamedTuple):
    """The devices to compile for. chip: its name in CHIPS, None where that has no row. memory: bytes a device has for a
    program. dimensions: of a slice, in chips; empty for the devices here. slices: how many of these."""

    name: str
    devices: Sequence[Any]
    chip: str | None
    memory: Number
    dimensions: tuple[int, ...] = ()
    slices: int = 1

    @property
    def chips(self) -> int:
        return len(self.devices) // (CHIPS[self.chip].devices if self.chip else 1)

    @property
    def is_torus(self) -> bool:
        return self.chip is not None and is_torus(CHIPS[self.chip], self.dimensions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What is compiled. lengths: {"inputs": E, "targets": D} in tokens; rows of a batch, eval_rows of an evaluation's; the
    rest as in Settings. writes: whether there are tasks without options, to which an evaluation writes answers.
    """

    model: Any
    optimizer: Any
    training: TrainConfig
    rows: int
    eval_rows: int
    lengths: dict[str, int]
    writes: bool = True

    @property
    def flops(self) -> int:
        """Of one step on all devices together, counted from the model."""
        return self.model.train_flops(self.rows, self.lengths)


class Compiled(NamedTuple):
    """A job on a mesh, in bytes a device. state: parameters, optimizer and the like. batch: one batch. temporaries: all else;
    None where it does not fit and the compiler does not say how much it is. found: the collectives, None where it does not fit.
    """

    job: Job
    mesh: dict[str, int]
    state: int
    batch: int
    temporaries: int | None
    found: Collectives | None
    seconds: float

    @property
    def needed(self) -> Number:
        return math.inf if self.temporaries is None else self.state + self.batch + self.temporaries

    def fits(self, target: Target) -> bool:
        return self.found is not None and self.needed <= target.memory


def job_from_settings(settings: Settings) -> Job:
    """The job of a run's settings, without its data. Raises InputError where LENGTHS needs the data."""
    lengths = fixed_lengths(
        settings.data.lengths,
        "LENGTHS gives targets 'fit', which takes the data to find out, and preflight reads none. Write the number that "
        "--dry_run of train.py prints",
    )
    return Job(
        model=settings.model,
        optimizer=settings.optimizer,
        training=settings.training,
        rows=settings.data.batch_size,
        eval_rows=settings.evaluation.rows,
        lengths=lengths,
        writes=any(task.options is None for task in mixture_or_task(settings.data.mixture)),
    )


def tpu_slice(topology: str) -> Target:
    """A TPU slice by name, as in "v4:4x4x8": the chip's version and the slice's dimensions in chips; "2xv4:4x4x8" is two of them.

    Raises InputError for a version or a form that there is not, and where libtpu is not installed.
    """
    several = re.match(r"([1-9]\d*)x(?=[a-z])", topology)
    slices, one = (int(several.group(1)), topology[several.end() :]) if several else (1, topology)
    version, _, form = one.partition(":")
    tpus = [name for name, chip in CHIPS.items() if chip.kind.startswith("TPU")]
    if version not in tpus:
        raise unknown_name("TPU version", version, tpus)
    if not re.fullmatch(r"\d+(x\d+){1,2}", form):
        raise InputError(
            f"--topology={topology} has no dimensions in chips; write e.g. v4:2x2x1 or v5e:4x4, or 2xv4:4x4x8 for two slices"
        )
    if importlib.util.find_spec("libtpu") is None and not os.environ.get("TPU_LIBRARY_PATH"):
        raise InputError(
            "to compile for TPUs takes libtpu, which is not installed (no TPU is needed). Write: pip install -e '.[preflight]'"
        )
    # Without these libtpu asks the metadata server of a cloud machine, and waits.
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", f"{version}-8")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault(
        "ALLOW_MULTIPLE_LIBTPU_LOAD", "1"
    )  # it locks a TPU for one process; here is none to lock
    jax.config.update("jax_platforms", "cpu")
    dimensions = tuple(int(size) for size in form.split("x"))
    options: dict[str, Any] = (
        {"chips_per_host_bounds": (1, 1, 1)} if math.prod(dimensions) == 1 else {}
    )
    if version == "v4":
        options["chip_config_name"] = "megacore"  # one device a chip, which is what Cloud TPUs run
    try:
        options |= {"num_slices": slices} if slices > 1 else {}
        devices = topologies.get_topology_desc(topology_name=one, platform="tpu", **options).devices
    except jax.errors.JaxRuntimeError as error:
        usual = {file.stem.partition("_")[2] for file in MESHES.glob(f"{version}_*.gin")}
        raise InputError(
            f"there is no slice {one}: {str(error).splitlines()[0]}. Usual ones of {version}, in chips: "
            f"{', '.join(sorted(usual, key=lambda name: (math.prod(map(int, name.split('x'))), name))) or 'none known'}"
        ) from None
    memory = CHIPS[version].memory
    assert memory is not None
    return Target(topology, devices, version, memory, dimensions, slices)


def devices_here() -> Target:
    """The devices of this machine."""
    devices = jax.devices()
    kind, memory = devices[0].device_kind, memory_of(devices)
    if memory is None:
        raise InputError(
            f"how much memory a {kind} has for programs is not known. Name a TPU slice: --topology=v5e:4x4"
        )
    return Target(f"{len(devices)} x {kind}, here", devices, chip_of(kind), memory)


def mesh_on(shape: Any, target: Target) -> Mesh:
    """make_mesh of the target's devices, which it names where an axis does not fit them."""
    return make_mesh(shape, target.devices, f"{target.name}: it has {len(target.devices)} devices")


def abstract_inputs(job: Job, target: Target) -> tuple[Mesh, Any, Any]:
    """(mesh, state, batch), as shapes with shardings. Raises InputError where the mesh does not divide the model."""
    mesh = mesh_on(job.training.mesh, target)
    tx = job.optimizer.build(job.training.steps)
    state = abstract_state_on(job.model, tx, mesh, job.training.trainable)
    rows = batch_sharding(mesh)
    spec = batch_spec(job.model.architecture, job.rows, job.lengths)
    batch = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=rows)
        for name, (shape, dtype) in spec.items()
    }
    return mesh, state, batch


def bytes_a_device(tree: Any) -> int:
    """Of arrays given by shape and sharding, on the device that has most."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def compile_for(job: Job, target: Target) -> Compiled:
    """Compiles the job's train step for the target. What does not fit there is a result too, not an error."""
    return _compile(job, target, _train_step)


def compile_ranking(job: Job, target: Target) -> Compiled:
    """Compiles an evaluation's ranking of options for the target: prompts and answers as long as the lengths allow.

    The whole training state counts: the trainer evaluates beside it.
    """
    return _compile(job, target, _ranking)


def compile_generation(job: Job, target: Target) -> Compiled:
    """Compiles an evaluation's writing of answers, greedily and with its key-value cache, as compile_ranking does the other."""
    return _compile(job, target, _generation)


def _train_step(job: Job, mesh: Mesh, state: Any, batch: Any) -> Program:
    tx = job.optimizer.build(job.training.steps)
    return jitted_step(job.model, tx, job.training, state), (state, batch)


def _ranking(job: Job, mesh: Mesh, state: Any, batch: Any) -> Program:
    scorer = Scorer(job.model, state.all_params, mesh, rows=job.eval_rows, eos_id=EOS)
    prompt, answer = (np.ones(job.lengths[side], np.int32) for side in ("inputs", "targets"))
    function, arrays = scorer.option_scoring_program(
        [prompt] * scorer.rows, [[answer]] * scorer.rows
    )
    return function, (state.all_params, _in_rows(arrays, mesh))


def _generation(job: Job, mesh: Mesh, state: Any, batch: Any) -> Program:
    scorer = Scorer(job.model, state.all_params, mesh, rows=job.eval_rows, eos_id=EOS)
    prompts = [np.ones(job.lengths["inputs"], np.int32)] * scorer.rows
    config = GenerationConfig(job.lengths["targets"])
    function, arrays = scorer.generation_program(prompts, config, range(scorer.rows))
    return function, (state.all_params, _in_rows(arrays, mesh), config.array_settings())


def _in_rows(arrays: Any, mesh: Mesh) -> Any:
    """The shapes of a batch's arrays, with their sharding."""
    rows = batch_sharding(mesh)
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=rows), arrays
    )


def _compile(job: Job, target: Target, program: Callable[..., Program]) -> Compiled:
    start = time.monotonic()
    mesh, state, batch = abstract_inputs(job, target)
    check_devices(job.training, job.rows, mesh)
    check_attention(job.model, job.lengths, mesh)
    jitted, arguments = program(job, mesh, state, batch)
    own, rows = bytes_a_device(state), bytes_a_device(arguments[1])
    temporaries, found = None, None
    if own + rows <= target.memory:
        with use_mesh(mesh):
            lowered = jitted.lower(*arguments)
            try:
                compiled = lowered.compile()
            except jax.errors.JaxRuntimeError as error:
                temporaries = temporaries_of(str(error), own + rows)
            else:
                found = collectives(compiled.as_text(), len(target.devices))
                temporaries = _temporaries(compiled.memory_analysis())
    return Compiled(job, dict(mesh.shape), own, rows, temporaries, found, time.monotonic() - start)


def _temporaries(memory: Any) -> int:
    """What a program holds beside its arguments: new outputs and its own code, too."""
    outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return memory.temp_size_in_bytes + outputs + memory.generated_code_size_in_bytes


def temporaries_of(message: str, arguments: int) -> int | None:
    """Bytes that a program which does not fit needs beside its arguments, from the compiler's message; None where that does not
    say. Raises RuntimeError for a message about anything else.

    >>> temporaries_of("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.50G of 15.25G hbm.", 2**30) / 2**30
    19.5
    """
    if "RESOURCE_EXHAUSTED" not in message or "hbm" not in message.lower():
        raise RuntimeError(f"the step does not compile: {message}")
    if found := re.search(r"Used ([\d.]+)([KMGTP]?) of ", message):
        return max(0, int(float(found.group(1)) * UNITS[found.group(2)]) - arguments)
    found = re.search(r"HLO temporaries \(([\d.]+)([KMGTP]?)\)", message)
    return int(float(found.group(1)) * UNITS[found.group(2)]) if found else None
