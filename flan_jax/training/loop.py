"""The training loop, with metrics, checkpoints and evaluation between steps."""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from flan_jax.batch import Batch
from flan_jax.data.loader import Loader, prefetch
from flan_jax.data.mixture_data import MixtureData
from flan_jax.errors import InputError, plural
from flan_jax.evaluation.config import EvalContext
from flan_jax.evaluation.evaluate import cluster_means
from flan_jax.evaluation.jobs import job_during_training
from flan_jax.models.config import ModelConfig
from flan_jax.parallel.preemption import Preempted, Preemption
from flan_jax.parallel.sharding import global_batch, host_row_slice, use_mesh
from flan_jax.progress import Progress, show
from flan_jax.pytrees import Params
from flan_jax.run_dir import Run
from flan_jax.training.checkpoints import Checkpoints
from flan_jax.training.flops import step_flops
from flan_jax.training.metrics_log import Log, Metrics, mean_loss, seconds_at_peak
from flan_jax.training.settings import TrainConfig
from flan_jax.training.state import TrainState
from flan_jax.training.step import compiled_step

NO_STEPS = range(0)


class InTrainingEval(NamedTuple):
    """Evaluation between training steps.

    Attributes:
      every: steps between two evaluations.
      means: maps parameters, and a function to call with the number of finished rows, to the mean
        score of each cluster.
    """

    every: int
    means: Callable[[Params, Callable[[int], None]], Mapping[str, float]]


def in_training_eval(context: EvalContext, data: MixtureData) -> InTrainingEval | None:
    """Returns the evaluation that EvalConfig.every asks for, if it does.

    Args:
      context: what all evaluations of the run share.
      data: the token stores of the mixture.
    """
    job = job_during_training(data, context.config)
    if job is None or context.config.every is None:
        return None
    means = functools.partial(cluster_means, context, job)
    return InTrainingEval(context.config.every, means)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Static configuration of the training loop.

    Attributes:
      model: the model.
      tx: the optimizer.
      mesh: the devices.
      config: steps, microbatches and the like.
      rate: maps a step to its learning rate, for the log.
      checkpoint_every: steps between two checkpoints.
      in_training_eval: the evaluation between steps, if there is one.
      profile: the steps to trace, counted from 0.
    """

    model: ModelConfig
    tx: optax.GradientTransformation
    mesh: Mesh
    config: TrainConfig
    rate: optax.Schedule
    checkpoint_every: int
    in_training_eval: InTrainingEval | None = None
    profile: range = NO_STEPS


def train_loop(
    run: Run,
    state: TrainState,
    loader: Loader,
    saved: Checkpoints,
    *,
    preemption: Preemption,
    loop: LoopConfig,
) -> TrainState:
    """Trains from the state's step to the last step and returns the last state.

    Device and host run asynchronously: the metrics are fetched once every `log_every` steps. Each
    process loads the rows of its own devices.

    Args:
      run: the run directory, for metrics and profile.
      state: the state to begin with; its buffers are donated.
      loader: makes the batches.
      saved: where checkpoints are saved.
      preemption: whether SIGTERM has come.
      loop: everything else.

    Raises:
      Preempted: SIGTERM has come; the state is saved.
      NotFinite: the loss is NaN or infinite.
      InputError: a batch has no supervised token, or the steps to profile are done already.
    """
    config = loop.config
    plan = loader.plan
    first_step = int(state.step)
    rows = host_row_slice(loop.mesh, plan.batch_size)
    step_fn = compiled_step(loop.model, loop.tx, config)
    device_kinds = [device.device_kind for device in loop.mesh.devices.flat]

    def peak_seconds(supervised: int) -> float | None:
        flops = step_flops(
            loop.model,
            plan.batch_size,
            plan.lengths,
            config.trainable,
            supervised=supervised,
        )
        return seconds_at_peak(flops, device_kinds)

    log = Log(
        run,
        loop.rate,
        first_step,
        row_tokens=plan.batch_size * sum(plan.lengths.values()),
        seconds_at_peak=peak_seconds,
    )
    profiler = Profiler(
        run.path / "profile", loop.profile, first_step, log.wait_for_device
    )
    since_checkpoint: list[Metrics] = []

    with (
        preemption.held(),
        profiler,
        Progress("train", config.steps, first_step) as bar,
    ):
        evaluate_now = functools.partial(
            evaluate_in_training,
            loop.in_training_eval,
            log=log,
            preemption=preemption,
            bar=bar,
        )
        # A process that was stopped may have saved this step without evaluating it.
        evaluate_now(first_step, state)
        batches = prefetch(
            functools.partial(loader.batch, rows=rows),
            first_step,
            config.steps,
            patience=float(config.stall_seconds),
        )
        for step in range(first_step, config.steps):
            with log.phase("input"):
                _, batch = next(batches)
            check_supervised(step, batch)
            with profiler.step(step):
                with (
                    log.phase("dispatch" if step > first_step else "compile"),
                    use_mesh(loop.mesh),
                ):
                    placed = global_batch(batch, loop.mesh, plan.batch_size, rows.start)
                    state, metrics = step_fn(state, placed)
                log.add(metrics)
                since_checkpoint.append(metrics)

                done = step + 1
                is_last = done == config.steps
                if is_last or done % config.log_every == 0:
                    bar.update(done, f"{show(log.write(done))}  {log.means}")
                evaluate_now(done, state)

                stops = preemption.stops()
                if is_last or stops or done % loop.checkpoint_every == 0:
                    with log.phase("checkpoint"):
                        loss = mean_loss(done, since_checkpoint)
                        saved.save(state, loss, must=is_last or stops)
                    since_checkpoint.clear()
            if stops:
                break
        saved.wait()
    if preemption.asked:
        raise Preempted
    return state


def evaluate_in_training(
    evaluation: InTrainingEval | None,
    step: int,
    state: TrainState,
    *,
    log: Log,
    preemption: Preemption,
    bar: Progress,
) -> None:
    """Evaluates after a step if that is due and not done yet. SIGTERM ends it without a line.

    Args:
      evaluation: the evaluation, and when it is due.
      step: number of finished steps.
      state: the state after them.
      log: gets the line {"step": ..., "eval": ...} of metrics.jsonl.
      preemption: whether SIGTERM has come.
      bar: shows the progress.
    """
    if evaluation is None or step == 0:
        return
    if step % evaluation.every or log.last_eval_step == step:
        return

    def progress(done: int) -> None:
        if preemption.stops():
            raise Preempted
        bar.update(step, f"evaluating: {done}")

    with log.phase("evaluation"), contextlib.suppress(Preempted):
        progress(0)
        log.write_means(step, evaluation.means(state.all_params, progress))


def check_supervised(step: int, batch: Batch) -> None:
    """Checks that a batch has a token to learn from; without one its loss would read 0.

    Args:
      step: the batch's step, counted from 0.
      batch: the rows of this process.

    Raises:
      InputError: no token of the batch has a loss weight.
    """
    if not np.any(batch["decoder_loss_weights"]):
        raise InputError(
            f"batch {step} has no token to learn from: its rows hold no targets. Look at LENGTHS "
            "and the mixture"
        )


class Profiler:
    """Traces some training steps with JAX's profiler. Use as a context around the loop.

    The device is waited for at both ends, so that the trace holds whole steps.

    Args:
      folder: where the trace is written.
      steps: the steps to trace, counted from 0; NO_STEPS for none.
      first_step: the step that the loop begins with.
      wait: waits until the device has done all steps.

    Raises:
      InputError: the first of the steps is done already.
    """

    def __init__(
        self, folder: Path, steps: range, first_step: int, wait: Callable[[], None]
    ):
        if steps and steps.start < first_step:
            raise InputError(
                f"--profile begins with step {steps.start + 1}, and the run goes on with step "
                f"{first_step + 1}: choose later steps"
            )
        self._folder = folder
        self._steps = steps
        self._wait = wait
        self._tracing = contextlib.ExitStack()

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *exception: object) -> None:
        self._tracing.close()

    @contextlib.contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Marks a step in the trace, if it is to be traced.

        Args:
          step: counted from 0.
        """
        if self._steps and step == self._steps.start:
            self._tracing.enter_context(self._trace())
        with jax.profiler.StepTraceAnnotation("train", step_num=step + 1):
            yield
        if step + 1 == self._steps.stop:
            self._tracing.close()

    @contextlib.contextmanager
    def _trace(self) -> Iterator[None]:
        self._wait()
        with jax.profiler.trace(str(self._folder)):
            yield
            self._wait()
        print(
            f"The profile of the steps {self._steps.start + 1} to {self._steps.stop} is in "
            f"{self._folder}. "
            f"Look at it with: pip install xprof && xprof --logdir={self._folder}"
        )


def profiled_steps(text: str, steps: int) -> range:
    """Returns the steps of --profile, counted from 0.

    >>> profiled_steps("10:12", 100)
    range(9, 12)

    Args:
      text: "FIRST:LAST", counted from 1; the last one is traced, too.
      steps: number of steps of the run.

    Raises:
      InputError: the run has no such steps.
    """
    span = re.fullmatch(r"(\d+):(\d+)", text)
    first, last = map(int, span.groups()) if span else (0, 0)
    if not 1 <= first <= last <= steps:
        raise InputError(
            f"--profile={text} is not a span of this run's {plural(steps, 'step')}; write the "
            "first and the last, e.g. --profile=10:12"
        )
    return range(first - 1, last)
