"""The training loop, with metrics, checkpoints and evaluation between steps."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from flan_jax.batch import Batch
from flan_jax.data.loader import Loader, prefetch
from flan_jax.data.mixture_data import MixtureData
from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalContext
from flan_jax.evaluation.evaluate import cluster_means
from flan_jax.evaluation.jobs import job_during_training
from flan_jax.parallel.preemption import Preempted, Preemption
from flan_jax.parallel.sharding import global_batch, host_row_slice, use_mesh
from flan_jax.progress import Progress, show
from flan_jax.run_dir import Run
from flan_jax.training.checkpoints import Checkpoints
from flan_jax.training.metrics_log import NO_STEPS, Log, mean_loss, seconds_at_peak
from flan_jax.training.settings import TrainConfig
from flan_jax.training.state import TrainState
from flan_jax.training.step import compiled_step


def in_training_eval(evaluating: EvalContext, data: MixtureData) -> "InTrainingEval | None":
    """The evaluation in between that EvalConfig.every asks for."""
    during = job_during_training(data, evaluating.config)
    if during is None or evaluating.config.every is None:
        return None
    return InTrainingEval(
        evaluating.config.every, functools.partial(cluster_means, evaluating, during)
    )


class InTrainingEval(NamedTuple):
    """Evaluation between steps, every `every` of them: means(params, progress) -> {cluster: mean score}."""

    every: int
    means: Callable[[Any, Callable[[int], None]], Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """What the loop needs beside state and data. `rate` gives the learning rate of a step, `every` the checkpoints' steps.

    in_training_eval: the evaluation between steps, if there is one. profile: the steps to trace, from 0.
    """

    model: Any
    tx: optax.GradientTransformation
    mesh: Mesh
    config: TrainConfig
    rate: optax.Schedule
    every: int
    in_training_eval: InTrainingEval | None = None
    profile: range = NO_STEPS


def train_loop(
    run: Run,
    state: TrainState,
    loader: Loader,
    saved: Checkpoints,
    preemption: Preemption,
    fitting: LoopConfig,
) -> TrainState:
    """The loop, from the state's step to the last, with metrics, checkpoints and an end at SIGTERM.

    Device and host run apart: the loss is only fetched every `log_every` steps. Each of several processes makes the rows
    of its own devices.
    """
    config, first, size = fitting.config, int(state.step), loader.plan.batch_size
    rows = host_row_slice(fitting.mesh, size)
    step_fn = compiled_step(fitting.model, fitting.tx, config)
    flops = fitting.model.train_flops(size, loader.plan.lengths)
    at_peak = seconds_at_peak(flops, fitting.mesh.devices.flat)
    row_tokens = size * sum(loader.plan.lengths.values())
    log = Log(
        run,
        fitting.rate,
        first,
        row_tokens=row_tokens,
        seconds_at_peak=at_peak,
        profile=fitting.profile,
    )
    interval: list[Mapping[str, jax.Array]] = []
    with preemption.held(), Progress("train", config.steps, first) as bar:
        # A process that was stopped may have saved this step and not scored it.
        evaluate_in_training(fitting.in_training_eval, first, state.params, log, preemption, bar)
        make_batch = functools.partial(loader.batch, rows=rows)
        for step, batch in log.steps(
            prefetch(make_batch, first, config.steps, patience=float(config.stall_seconds))
        ):
            check_supervised(step, batch)
            with log.phase("dispatch" if step > first else "compile"), use_mesh(fitting.mesh):
                state, metrics = step_fn(state, global_batch(batch, fitting.mesh, size, rows.start))
            log.add(metrics)
            interval.append(metrics)
            done = step + 1
            if done % config.log_every == 0 or done == config.steps:
                bar.update(done, f"{show(log.write(done))}  {log.means}")
            evaluate_in_training(fitting.in_training_eval, done, state.params, log, preemption, bar)
            asked = preemption.stops()
            if done % fitting.every == 0 or done == config.steps or asked:
                with log.phase("checkpoint"):
                    saved.save(state, mean_loss(done, interval), must=asked or done == config.steps)
                interval.clear()
            if asked:
                break
        saved.wait()
    if preemption.asked:
        raise Preempted
    return state


def evaluate_in_training(
    evaluation: InTrainingEval | None,
    step: int,
    params: Any,
    log: Log,
    preemption: Preemption,
    bar: Progress,
) -> None:
    """The line {"step", "eval"} of metrics.jsonl, where one is due and not there yet. SIGTERM ends it without a line."""
    if evaluation is None or step == 0 or step % evaluation.every or log.last_eval_step == step:
        return

    def progress(done: int) -> None:
        if preemption.stops():
            raise Preempted
        bar.update(step, f"evaluating: {done}")

    with log.phase("evaluation"), contextlib.suppress(Preempted):
        progress(0)
        log.write_means(step, evaluation.means(params, progress))


def check_supervised(step: int, batch: Batch) -> None:
    """Training on nothing would report a loss of 0."""
    if not np.any(batch["decoder_loss_weights"]):
        raise InputError(
            f"batch {step} has no token to learn from: its rows hold no targets. Look at LENGTHS and the mixture"
        )
