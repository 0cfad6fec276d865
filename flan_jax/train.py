"""Training: `train` reads from top to bottom as what a run does; `train_step` is the update."""

import contextlib
import ctypes
import dataclasses
import functools
import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, SingleDeviceSharding

from flan_jax import manifest
from flan_jax.batch import Batch
from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.config import DataConfig
from flan_jax.data.leakage import check_leakage
from flan_jax.data.loader import Loader, prefetch
from flan_jax.data.mixture_data import MixtureData, prepare_mixture
from flan_jax.data.mixture_summary import explain
from flan_jax.errors import InputError, unknown
from flan_jax.evaluation import evaluate
from flan_jax.evaluation.config import EvalConfig, Evaluating, Evaluation
from flan_jax.evaluation.score_files import forget_others, is_scored, scored_weights
from flan_jax.gate import check_packing
from flan_jax.losses import loss_and_weight
from flan_jax.models.attention_backends import check_attention
from flan_jax.models.layers import kernels_as
from flan_jax.models.params import check_vocabulary, params_like
from flan_jax.optim import OptimizerConfig
from flan_jax.parallel import multihost
from flan_jax.parallel.mesh import check_batch, make_mesh
from flan_jax.parallel.preemption import Preempted, Preemption
from flan_jax.parallel.sharding import own_rows, place_rows, placed_on
from flan_jax.progress import Progress, show
from flan_jax.reports import run_report
from flan_jax.run_dir import RESULT, Run
from flan_jax.train_state import TrainState, init_state, state_like, warm_state
from flan_jax.training.checkpoints import CheckpointConfig, Checkpoints
from flan_jax.training_log import NO_STEPS, Log, mean_loss, seconds_at_peak
from flan_jax.weights.formats import load_params

# On the CPU XLA takes away jax.checkpoint's barriers before it merges what is computed twice: remat would save nothing.
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


NOT_FINITE = ("stop", "skip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """steps: optimizer updates. microbatches: pieces that a batch's gradient is summed over. log_every: steps a line.

    warm_start: where training takes its first parameters from: a run directory, a Hugging Face folder, a T5X checkpoint. mesh: sizes by axis, None for {"data": -1}.
    not_finite: what to do where loss or gradient is NaN or infinite: 'stop', or 'skip' the update (a whole log line of such
    stops all the same). stall_seconds: how long a batch may take before the run stops.
    compiler_options: XLA's flags for the training step, {"xla_...": value}.
    """

    steps: int
    seed: int
    warm_start: str | None = None
    mesh: Mapping[str, int] | None = None
    microbatches: int = 1
    z_loss: float = 1e-4
    log_every: int = 10
    not_finite: str = "stop"
    stall_seconds: int = 600
    compiler_options: Mapping[str, Any] | None = None

    def __post_init__(self):
        if self.not_finite not in NOT_FINITE:
            raise unknown("TrainConfig.not_finite", self.not_finite, NOT_FINITE)
        for name in ("steps", "microbatches", "log_every", "stall_seconds"):
            if getattr(self, name) < 1:
                raise InputError(f"TrainConfig.{name} is {getattr(self, name)}; it must be at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that is decided about a run. `model` is a configuration with architecture, build() and train_flops()."""

    data: DataConfig
    model: Any
    optimizer: OptimizerConfig
    training: TrainConfig
    checkpoints: CheckpointConfig
    evaluation: EvalConfig


def train(run_dir: str, settings: Settings, config_text: str, *, profile: range = NO_STEPS) -> None:
    """A whole run: prepare, score the held-out cluster, train, score again, report. Goes on where an earlier one ended.

    `config_text` is the configuration to keep with the run, `profile` the steps to trace, counted from 0. Raises InputError
    for what cannot be done as written, Preempted after SIGTERM, NotFinite when the loss is not a number.
    """
    model, optimizer, training = settings.model, settings.optimizer, settings.training
    preemption, mesh = Preemption(), make_mesh(training.mesh)
    with multihost.lead_first():
        run = Run(run_dir, writes=multihost.lead())
    prepared, plan, identity = prepare(run, settings, mesh)
    multihost.agree(manifest.facts_of_process(identity, config_text))
    tx = optimizer.build(training.steps)
    saved = Checkpoints(run.path / "checkpoints", settings.checkpoints)
    evaluating = Evaluating(run, model, prepared.tokenizer, plan.lengths, mesh, settings.evaluation)
    before, after = (
        evaluate.before_training(prepared, settings.evaluation),
        evaluate.after_training(prepared, settings.evaluation),
    )
    between = midway(evaluating, prepared)
    score_untuned_again(evaluating, before, saved, tx, training)
    if multihost.leads_word(is_finished(evaluating, after, identity, training)):
        print(f"{run_dir} is finished: see {write_report(run)}. For another run choose another --run_dir.")
        return
    run.write_text("config.gin", config_text)
    run.remove(RESULT)  # of fewer steps, or of another evaluation: this run is not done

    fresh = saved.latest_step() is None
    state = start(saved, model, tx, mesh, training)
    with multihost.lead_first():
        run.forget_metrics_after(int(state.step))
    loader = Loader(plan, prepared.train, prepared.tokenizer.eos_id)
    check_packing(model, state.params, loader, mesh)
    for each in before if fresh else ():
        evaluate.score(evaluating, each, manifest.start(model, training), state.params)
    rate, every = optimizer.rate(training.steps), settings.checkpoints.every
    fitting = Fitting(
        model=model, tx=tx, mesh=mesh, config=training, rate=rate, every=every, midway=between, profile=profile
    )
    state = fit(run, state, loader, saved, preemption, fitting)
    for each in after:
        evaluate.score(evaluating, each, manifest.tuned(identity, int(state.step)), state.params)
    forget_others(run, [each.when for each in (*before, *after)])
    saved.close()
    if run.writes:
        run.write_json(RESULT, manifest.result(run, int(state.step)))
    if write_report(run):
        print(run_report.terminal_summary(run.path))


def write_report(run: Run) -> Path | None:
    """The file of a run's report, which the process that writes has made."""
    return run_report.write(run.path) if run.writes else None


def prepare(run: Run, settings: Settings, mesh: Mesh) -> tuple[MixtureData, MixturePlan, dict[str, Any]]:
    """The data, the plan of its batches and the run's identity, checked against the model, the mesh and the run's directory."""
    data, model, training = settings.data, settings.model, settings.training
    check_options(training.compiler_options, mesh.devices.flat[0])
    check_batch(data.batch_size, training.microbatches, mesh)
    with multihost.lead_first():
        check_leakage(data)
        prepared = prepare_mixture(data, settings.evaluation.more)
    plan = prepared.plan(model.architecture)
    check_vocabulary(model, prepared.tokenizer)
    print(check_attention(model, plan.lengths, mesh))
    mixture = explain(prepared, plan, training.steps)
    identity = manifest.identity(model, prepared, plan, settings.optimizer, training)
    run.identify(identity, manifest.facts(model, data, mesh, mixture) | {"not_evaluated": prepared.not_evaluated})
    return prepared, plan, identity


def is_finished(
    evaluating: Evaluating,
    after: Sequence[Evaluation],
    identity: Mapping[str, Any],
    training: TrainConfig,
) -> bool:
    """Whether a run is trained, and evaluated as it is to be now."""
    step = (evaluating.run.result or {}).get("step", -1)
    tuned = manifest.tuned(identity, step)
    return step >= training.steps and all(is_scored(evaluating, each, tuned) for each in after)


def first_state(model: Any, tx: optax.GradientTransformation, mesh: Mesh, training: TrainConfig) -> TrainState:
    """The state before training: fresh, or with another run's parameters on a warm start."""
    if training.warm_start is None:
        return init_state(model, tx, mesh, training.seed)
    # Nothing is initialised that would be thrown away: the model may be all that fits.
    params = load_params(training.warm_start, model, params_like(model, mesh))
    return warm_state(params, tx, mesh, training.seed)


def start(
    saved: Checkpoints, model: Any, tx: optax.GradientTransformation, mesh: Mesh, training: TrainConfig
) -> TrainState:
    """The state to go on from: the latest checkpoint, else the first."""
    if saved.latest_step() is None:
        return first_state(model, tx, mesh, training)
    return saved.restore(like=state_like(model, tx, mesh))


def score_untuned_again(
    evaluating: Evaluating,
    before: Sequence[Evaluation],
    saved: Checkpoints,
    tx: optax.GradientTransformation,
    training: TrainConfig,
) -> None:
    """Where a run that has begun is now to be evaluated otherwise than then: makes its first parameters again, and scores them."""
    # As they were then: the warm start may be gone by now.
    weights = scored_weights(evaluating.run, "before")
    if multihost.leads_word(
        saved.latest_step() is None or bool(weights and all(is_scored(evaluating, each, weights) for each in before))
    ):
        return
    if any(each.stores for each in before):
        model = evaluating.model
        params = first_state(model, tx, evaluating.mesh, training).params
        for each in before:
            evaluate.score(evaluating, each, manifest.start(model, training), params)


def midway(evaluating: Evaluating, data: MixtureData) -> "Midway | None":
    """The evaluation in between that EvalConfig.every asks for."""
    during = evaluate.during_training(data, evaluating.config)
    if during is None or evaluating.config.every is None:
        return None
    return Midway(evaluating.config.every, functools.partial(evaluate.means, evaluating, during))


class Midway(NamedTuple):
    """Evaluation between steps, every `every` of them: means(params, progress) -> {cluster: mean score}."""

    every: int
    means: Callable[[Any, Callable[[int], None]], Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitting:
    """What the loop needs beside state and data. `rate` gives the learning rate of a step, `every` the checkpoints' steps.

    midway: the evaluation between steps, if there is one. profile: the steps to trace, from 0.
    """

    model: Any
    tx: optax.GradientTransformation
    mesh: Mesh
    config: TrainConfig
    rate: optax.Schedule
    every: int
    midway: Midway | None = None
    profile: range = NO_STEPS


def fit(
    run: Run, state: TrainState, loader: Loader, saved: Checkpoints, preemption: Preemption, fitting: Fitting
) -> TrainState:
    """The loop, from the state's step to the last, with metrics, checkpoints and an end at SIGTERM.

    Device and host run apart: the loss is only fetched every `log_every` steps. Each of several processes makes the rows
    of its own devices.
    """
    config, first, size = fitting.config, int(state.step), loader.plan.batch_size
    rows = own_rows(fitting.mesh, size)
    step_fn = compiled_step(fitting.model, fitting.tx, config)
    flops = fitting.model.train_flops(size, loader.plan.lengths)
    at_peak = seconds_at_peak(flops, fitting.mesh.devices.flat)
    row_tokens = size * sum(loader.plan.lengths.values())
    log = Log(run, fitting.rate, first, row_tokens=row_tokens, seconds_at_peak=at_peak, profile=fitting.profile)
    interval: list[Mapping[str, jax.Array]] = []
    with preemption.held(), Progress("train", config.steps, first) as bar:
        # A process that was stopped may have saved this step and not scored it.
        score_midway(fitting.midway, first, state.params, log, preemption, bar)
        make_batch = functools.partial(loader.batch, rows=rows)
        for step, batch in log.steps(prefetch(make_batch, first, config.steps, patience=float(config.stall_seconds))):
            check_supervised(step, batch)
            with log.phase("dispatch" if step > first else "compile"), placed_on(fitting.mesh):
                state, metrics = step_fn(state, place_rows(batch, fitting.mesh, size, rows.start))
            log.add(metrics)
            interval.append(metrics)
            done = step + 1
            if done % config.log_every == 0 or done == config.steps:
                bar.update(done, f"{show(log.write(done))}  {log.means}")
            score_midway(fitting.midway, done, state.params, log, preemption, bar)
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


def score_midway(
    midway: Midway | None, step: int, params: Any, log: Log, preemption: Preemption, bar: Progress
) -> None:
    """The line {"step", "eval"} of metrics.jsonl, where one is due and not there yet. SIGTERM ends it without a line."""
    if midway is None or step == 0 or step % midway.every or log.scored_step == step:
        return

    def progress(done: int) -> None:
        if preemption.stops():
            raise Preempted
        bar.update(step, f"evaluating: {done}")

    with log.phase("evaluation"), contextlib.suppress(Preempted):
        progress(0)
        log.write_means(step, midway.means(params, progress))


def jitted_step(model: Any, tx: optax.GradientTransformation, config: TrainConfig, state: TrainState) -> Any:
    """train_step, (state, batch) -> (state, metrics), under jax.jit for the devices of `state`, arrays or shapes with shardings.

    The state's buffers are reused, and it stays placed as it is: left to itself XLA may place what Adafactor keeps otherwise.
    """
    step = functools.partial(
        train_step, model=model.build(), tx=tx, microbatches=config.microbatches, z_loss=config.z_loss,
        skip=config.not_finite == "skip",
    )  # fmt: skip
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    device = min(state.step.sharding.device_set, key=lambda device: device.id)
    options = (KEEP_BARRIERS if device.platform == "cpu" else {}) | dict(config.compiler_options or {})
    return jax.jit(step, donate_argnums=0, out_shardings=(shardings, None), compiler_options=options)


def check_options(options: Mapping[str, Any] | None, device: Any) -> None:
    """Raises InputError for the first option that the compiler for this device does not take. Not to be called in placed_on."""
    one = jax.ShapeDtypeStruct((), np.float32, sharding=SingleDeviceSharding(device))
    for name, value in (options or {}).items():
        try:
            jax.jit(lambda x: x, compiler_options={name: value}).lower(one).compile()
        except (jax.errors.JaxRuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"TrainConfig.compiler_options sets {name} to {value!r}, which this compiler for {device.device_kind} does not "
                f"take ({str(error).splitlines()[0]}). Leave it out, or write a name and value of this version of XLA"
            ) from None


def compiled_step(model: Any, tx: optax.GradientTransformation, config: TrainConfig) -> Callable[..., Any]:
    """jitted_step for the devices here, compiled at its first call."""
    program = None

    def compiled(state: TrainState, batch: Batch) -> Any:
        nonlocal program
        if program is None:
            program = jitted_step(model, tx, config, state).lower(state, batch).compile()
            give_back_memory()
        return program(state, batch)

    return compiled


def give_back_memory() -> None:
    """To the system, what compiling has freed: glibc would keep it, hundreds of MiB beside what the step needs."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    model: nn.Module,
    tx: optax.GradientTransformation,
    microbatches: int = 1,
    z_loss: float,
    skip: bool = False,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update from the token-weighted mean loss of the whole batch; returns the loss sums and the gradient's norm.

    With `skip`, one whose loss or gradient is not finite leaves parameters and optimizer state as they are, and counts for
    nothing but "skipped".
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
    grads, sums = mean_gradients(state.params, batch, key, model=model, microbatches=microbatches, z_loss=z_loss)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    tokens = sum(jnp.count_nonzero(ids) for name, ids in batch.items() if name.endswith("segment_ids"))
    metrics = sums | {"tokens": tokens, "grad_norm": optax.tree.norm(grads)}
    after = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
    if skip:
        good = jnp.isfinite(metrics["loss_sum"]) & jnp.isfinite(metrics["grad_norm"])
        kept = state.replace(step=state.step + 1)
        after = jax.tree.map(functools.partial(jnp.where, good), after, kept)
        metrics = jax.tree.map(lambda value: jnp.where(good, value, 0), metrics) | {"skipped": ~good}
    return after, metrics


def mean_gradients(
    params: Any, batch: Batch, key: jax.Array, *, model: nn.Module, microbatches: int, z_loss: float
) -> tuple[Any, dict[str, jax.Array]]:
    """(gradient of the whole batch's mean loss, loss sums), added up over the microbatches."""
    weight = jnp.maximum(jnp.sum(batch["decoder_loss_weights"]), 1)
    params = kernels_as(model.config.dtype, params)

    def gradients(piece: Batch, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        def loss(params: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
            # Divided here and not afterwards, when it would be a pass over all gradients.
            loss, sums = loss_and_weight(
                model, params, piece, z_loss=z_loss, deterministic=False, rngs={"dropout": key}
            )
            return loss / weight, sums

        grads, sums = jax.grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda grad: grad.astype(jnp.float32), grads), sums

    if microbatches == 1:
        return gradients(batch, key)
    # Row i goes to microbatch i mod n: each keeps rows of every device, and nothing has to move.
    pieces = jax.tree.map(lambda x: jnp.swapaxes(x.reshape(-1, microbatches, *x.shape[1:]), 0, 1), batch)
    keys = jax.random.split(key, microbatches)

    def add(total: Any, piece: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, gradients(*piece)), None

    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(gradients, jax.tree.map(lambda x: x[0], pieces), key))
    return jax.lax.scan(add, zeros, (pieces, keys))[0]


def check_supervised(step: int, batch: Batch) -> None:
    """Training on nothing would report a loss of 0."""
    if not np.any(batch["decoder_loss_weights"]):
        raise InputError(
            f"batch {step} has no token to learn from: its rows hold no targets. Look at LENGTHS and the mixture"
        )
