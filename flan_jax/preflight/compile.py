"""Compiles a run's programs for devices that need not be here, and says what memory they take.

Nothing is allocated or run, and no data is read; the compiler of libtpu needs no TPU.
"""

import dataclasses
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh

from flan_jax.batch import EOS, batch_spec
from flan_jax.data.config import fixed_lengths
from flan_jax.decoding.generation import GREEDY, GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import RunFailed
from flan_jax.hardware import Number
from flan_jax.models.attention_backends import check_attention
from flan_jax.models.config import ModelConfig
from flan_jax.parallel.sharding import batch_sharding, use_mesh
from flan_jax.preflight.hlo import Collectives, collectives
from flan_jax.preflight.target import Target, mesh_on
from flan_jax.pytrees import Tree
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.training.flops import step_flops
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.training.settings import Settings, TrainConfig
from flan_jax.training.setup import check_devices
from flan_jax.training.state import TrainState, abstract_state_on
from flan_jax.training.step import jitted_step

BYTES_OF_UNIT = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}

Program: TypeAlias = tuple[Any, tuple[Any, ...]]
"""A function under jax.jit, and the shapes of its arguments. The second argument is a batch."""


class DoesNotFit(RunFailed):
    """The run, or all that a search tried, needs more memory than there is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What is compiled.

    Attributes:
      model: the model.
      optimizer: the optimizer.
      training: mesh, microbatches, steps and compiler options.
      batch_rows: rows of a training batch.
      eval_rows: prompts of an evaluation's batch.
      lengths: tokens of a row, {"inputs": E, "targets": D}.
      generates: whether there are tasks without options, whose answers an evaluation generates.
      generation: how it generates them, as in EvalConfig.generation.
    """

    model: ModelConfig
    optimizer: OptimizerConfig
    training: TrainConfig
    batch_rows: int
    eval_rows: int
    lengths: dict[str, int]
    generates: bool = True
    generation: GenerationConfig = GREEDY

    @property
    def step_flops(self) -> int:
        """FLOPs of one training step on all devices together, counted from the model."""
        return step_flops(
            self.model, self.batch_rows, self.lengths, self.training.trainable
        )

    @property
    def answers(self) -> GenerationConfig:
        """How answers are generated, with the length that an evaluation gives them."""
        return self.generation.with_default_length(self.lengths["targets"])


class Compiled(NamedTuple):
    """A program of a job, compiled for a mesh. Bytes are of one device, the one that holds most.

    Attributes:
      job: what was compiled.
      mesh: the size of each mesh axis.
      state_bytes: parameters, optimizer state and the like.
      batch_bytes: one batch.
      temporary_bytes: all else; None if the program does not fit, and the compiler does not say how
        much it needs.
      collectives: the collectives of one run of the program; None if it does not fit.
      compile_seconds: how long tracing and compiling took.
    """

    job: Job
    mesh: dict[str, int]
    state_bytes: int
    batch_bytes: int
    temporary_bytes: int | None
    collectives: Collectives | None
    compile_seconds: float

    @property
    def needed_bytes(self) -> Number:
        """The memory that a device needs; infinite if it is not known."""
        if self.temporary_bytes is None:
            return math.inf
        return self.state_bytes + self.batch_bytes + self.temporary_bytes

    def fits(self, target: Target) -> bool:
        """Returns whether the program compiled, and its memory is there."""
        return self.collectives is not None and self.needed_bytes <= target.memory


def job_from_settings(settings: Settings) -> Job:
    """Returns the job of a run, without its data.

    Args:
      settings: the run's settings.

    Returns:
      The job: model, optimizer, batch shapes and mesh.

    Raises:
      InputError: LENGTHS depends on the data.
    """
    lengths = fixed_lengths(
        settings.data.lengths,
        "LENGTHS gives targets 'fit', which takes the data to find out, and preflight reads none. "
        "Write the number that --dry_run of train.py prints",
    )
    tasks = mixture_or_task(settings.data.mixture)
    return Job(
        model=settings.model,
        optimizer=settings.optimizer,
        training=settings.training,
        batch_rows=settings.data.batch_size,
        eval_rows=settings.evaluation.rows,
        lengths=lengths,
        generates=any(task.options is None for task in tasks),
        generation=settings.evaluation.generation,
    )


def abstract_inputs(job: Job, target: Target) -> tuple[Mesh, TrainState, Tree]:
    """Returns the mesh of a job, and the shapes of its state and batch with their shardings.

    Args:
      job: the job.
      target: the devices to place the state and the batch on.

    Returns:
      (mesh, state, batch); their leaves are jax.ShapeDtypeStruct with a sharding.

    Raises:
      InputError: the mesh does not fit the devices or the model.
    """
    mesh = mesh_on(job.training.mesh, target)
    optimizer = job.optimizer.build(job.training.steps)
    state = abstract_state_on(job.model, optimizer, mesh, job.training.trainable)

    sharding = batch_sharding(mesh)
    spec = batch_spec(job.model.architecture, job.batch_rows, job.lengths)
    batch = {}
    for name, (shape, dtype) in spec.items():
        batch[name] = jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)
    return mesh, state, batch


def bytes_per_device(tree: Tree) -> int:
    """Returns the bytes of a tree on one device, from its leaves' shapes and shardings."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        local_shape = leaf.sharding.shard_shape(leaf.shape)
        total += math.prod(local_shape) * leaf.dtype.itemsize
    return total


def compile_for(job: Job, target: Target) -> Compiled:
    """Compiles the training step of a job. That it does not fit is a result too, not an error.

    Args:
      job: what to compile.
      target: the devices.

    Raises:
      InputError: training would refuse the job.
    """
    return _compile(job, target, _training_step)


def compile_option_scoring(job: Job, target: Target) -> Compiled:
    """Compiles rank classification, as an evaluation during training runs it.

    Prompts and options are as long as the lengths allow, and the whole training state is there.

    Args:
      job: what to compile.
      target: the devices.
    """
    return _compile(job, target, _option_scoring)


def compile_generation(job: Job, target: Target) -> Compiled:
    """Compiles the generation of answers, under the conditions of compile_option_scoring.

    It is greedy, or samples, or searches with beams, as the job says, with a KV cache.

    Args:
      job: what to compile.
      target: the devices.
    """
    return _compile(job, target, _generation)


def _training_step(job: Job, mesh: Mesh, state: TrainState, batch: Tree) -> Program:
    optimizer = job.optimizer.build(job.training.steps)
    step = jitted_step(job.model, optimizer, job.training, state)
    return step, (state, batch)


def _scorer(job: Job, mesh: Mesh, state: TrainState) -> Scorer:
    return Scorer(
        job.model, state.all_params, mesh, rows=job.eval_rows, stop_ids=(EOS,)
    )


def _option_scoring(job: Job, mesh: Mesh, state: TrainState, batch: Tree) -> Program:
    scorer = _scorer(job, mesh, state)
    prompt = _longest_prompt(job)
    option = np.ones(job.lengths["targets"], np.int32)
    prompts = [prompt] * scorer.rows
    options = [[option]] * scorer.rows
    function, arrays = scorer.option_scoring_program(prompts, options)
    return function, (state.all_params, _shapes_in_rows(arrays, mesh))


def _generation(job: Job, mesh: Mesh, state: TrainState, batch: Tree) -> Program:
    scorer = _scorer(job, mesh, state)
    prompts = [_longest_prompt(job)] * scorer.rows
    streams = range(scorer.rows)
    function, arrays = scorer.generation_program(prompts, job.answers, streams)
    batch_shapes = _shapes_in_rows(arrays, mesh)
    return function, (state.all_params, batch_shapes, job.answers.array_settings())


def _longest_prompt(job: Job) -> np.ndarray:
    """Returns a prompt of the most tokens, with a start token before it for a decoder."""
    start = 1 if job.model.architecture == "decoder" else 0
    return np.ones(start + job.lengths["inputs"], np.int32)


def _shapes_in_rows(arrays: Mapping[str, np.ndarray], mesh: Mesh) -> Tree:
    """Returns the shapes of a batch's arrays, with their rows split over the mesh."""
    sharding = batch_sharding(mesh)
    shapes = {}
    for name, array in arrays.items():
        shapes[name] = jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
    return shapes


def _compile(
    job: Job,
    target: Target,
    make_program: Callable[[Job, Mesh, TrainState, Tree], Program],
) -> Compiled:
    start = time.monotonic()
    mesh, state, batch = abstract_inputs(job, target)
    check_devices(job.training, job.batch_rows, mesh)
    check_attention(job.model, job.lengths, mesh)

    function, arguments = make_program(job, mesh, state, batch)
    state_bytes = bytes_per_device(state)
    batch_bytes = bytes_per_device(arguments[1])
    argument_bytes = state_bytes + batch_bytes

    temporary_bytes = None
    program_collectives = None
    if argument_bytes <= target.memory:
        with use_mesh(mesh):
            lowered = function.lower(*arguments)
            try:
                compiled = lowered.compile()
            except jax.errors.JaxRuntimeError as error:
                temporary_bytes = parse_temporary_bytes(str(error), argument_bytes)
            else:
                program_collectives = collectives(
                    compiled.as_text(), len(target.devices)
                )
                temporary_bytes = _temporary_bytes(compiled)

    return Compiled(
        job=job,
        mesh=dict(mesh.shape),
        state_bytes=state_bytes,
        batch_bytes=batch_bytes,
        temporary_bytes=temporary_bytes,
        collectives=program_collectives,
        compile_seconds=time.monotonic() - start,
    )


def _temporary_bytes(compiled: jax.stages.Compiled) -> int:
    """Returns what a program holds beside its arguments, its new outputs and its code included."""
    memory: Any = compiled.memory_analysis()
    new_outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return memory.temp_size_in_bytes + new_outputs + memory.generated_code_size_in_bytes


def parse_temporary_bytes(message: str, argument_bytes: int) -> int | None:
    """Returns what a program that does not fit needs beside its arguments.

    >>> message = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.50G of 15.25G"
    >>> parse_temporary_bytes(f"{message} hbm.", argument_bytes=2**30) / 2**30
    19.5

    Args:
      message: the compiler's error.
      argument_bytes: the size of the arguments.

    Returns:
      Bytes on a device; None if the message does not say.

    Raises:
      RuntimeError: the message is about anything else.
    """
    if "RESOURCE_EXHAUSTED" not in message or "hbm" not in message.lower():
        raise RuntimeError(f"the step does not compile: {message}")

    used = re.search(r"Used ([\d.]+)([KMGTP]?) of ", message)
    if used is not None:
        return max(0, _bytes(used) - argument_bytes)
    temporaries = re.search(r"HLO temporaries \(([\d.]+)([KMGTP]?)\)", message)
    return None if temporaries is None else _bytes(temporaries)


def _bytes(number_and_unit: re.Match[str]) -> int:
    number, unit = number_and_unit.groups()
    return int(float(number) * BYTES_OF_UNIT[unit])
