"""Training: `train` reads from top to bottom as what a run does; `train_step` is the update."""

import dataclasses
import functools
import math
import time
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tensorboardX
from jax.sharding import Mesh

from flan_jax import evaluate, manifest, report
from flan_jax.batch import Batch
from flan_jax.checkpoints import CheckpointConfig, Checkpoints
from flan_jax.data.explain import explain
from flan_jax.data.loader import Loader, prefetch
from flan_jax.data.mixture_data import DataConfig, prepare_mixture
from flan_jax.errors import InputError
from flan_jax.gate import check_packing
from flan_jax.losses import loss_and_weight
from flan_jax.optim import OptimizerConfig
from flan_jax.partitioning import batch_sharding, check_batch, make_mesh, placed_on
from flan_jax.preemption import Preempted, Preemption
from flan_jax.progress import Progress, show
from flan_jax.run import Run, read_jsonl, write_json, write_text
from flan_jax.train_state import TrainState, init_state, params_like, warm_state
from flan_jax.weights import load_params


class NotFinite(ArithmeticError):
    """The loss is NaN or infinite."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """steps: optimizer updates. microbatches: pieces that a batch's gradient is summed over. log_every: steps a line.

    warm_start: where training takes its first parameters from: a run directory, a Hugging Face folder, a T5X checkpoint. mesh: sizes by axis, None for {"data": -1}.
    """

    steps: int
    seed: int
    warm_start: str | None = None
    mesh: Mapping[str, int] | None = None
    microbatches: int = 1
    z_loss: float = 1e-4
    log_every: int = 10

    def __post_init__(self):
        for name in ("steps", "microbatches", "log_every"):
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
    evaluation: evaluate.EvalConfig


def train(run_dir: str, settings: Settings, config_text: str) -> None:
    """A whole run: prepare, score the held-out cluster, train, score again, report. Goes on where an earlier one ended.

    `config_text` is the configuration to keep with the run. Raises InputError for what cannot be done as written, Preempted
    after SIGTERM, NotFinite when the loss is not a number.
    """
    data, model, optimizer, training = settings.data, settings.model, settings.optimizer, settings.training
    run = Run(run_dir)
    preemption = Preemption()
    mesh = make_mesh(training.mesh)
    check_batch(data.batch_size, training.microbatches, mesh)
    prepared = prepare_mixture(data)
    plan = prepared.plan(model.architecture)
    manifest.check_vocabulary(model, prepared.tokenizer)
    print(manifest.check_attention(model, plan.lengths, mesh))
    mixture = explain(prepared, plan, training.steps)
    identity = manifest.identity(model, prepared, plan, optimizer, training)
    run.identify(identity, manifest.facts(model, prepared, mixture, mesh))
    if run.result is not None and run.result["step"] >= training.steps:
        print(f"{run_dir} is finished: see {report.write(run.path)}. For another run choose another --run_dir.")
        return
    write_text(run.path / "config.gin", config_text)
    (run.path / "result.json").unlink(missing_ok=True)  # of fewer steps: this run is not done

    tx = optimizer.build(training.steps)
    saved = Checkpoints(run.path / "checkpoints", settings.checkpoints)
    state = start(saved, model, tx, mesh, training)
    run.forget_metrics_after(int(state.step))
    loader = Loader(plan, prepared.train, prepared.tokenizer.eos_id)
    check_packing(model, state.params, loader, mesh)

    score = functools.partial(evaluate.score, run, model, prepared, plan.lengths, mesh, settings.evaluation)
    # Before training, the clusters trained on score by chance: only the held-out one is worth the time.
    if int(state.step) == 0 and not evaluate.is_scored(run, "before", prepared.split.held_out):
        score("before", state.params, prepared.split.held_out)
    rate, every = optimizer.rate(training.steps), settings.checkpoints.every
    fitting = Fitting(model=model, tx=tx, mesh=mesh, config=training, rate=rate, every=every)
    state = fit(run, state, loader, saved, preemption, fitting)
    score("after", state.params, [*prepared.split.held_out, *prepared.split.train])
    saved.close()
    write_json(run.path / "result.json", manifest.result(run, int(state.step)))
    report.write(run.path)
    print(report.terminal_summary(run.path))


def start(
    saved: Checkpoints, model: Any, tx: optax.GradientTransformation, mesh: Mesh, training: TrainConfig
) -> TrainState:
    """The state to go on from: the latest checkpoint, else fresh, with another run's parameters on a warm start."""
    if saved.latest_step() is None and training.warm_start is not None:
        # Nothing is initialised that would be thrown away: the model may be all that fits.
        params = load_params(training.warm_start, model, params_like(model, mesh))
        return warm_state(params, tx, mesh, training.seed)
    state = init_state(model, tx, mesh, training.seed)
    return state if saved.latest_step() is None else saved.restore(like=state)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitting:
    """What the loop needs beside state and data. `rate` gives the learning rate of a step, `every` the checkpoints' steps."""

    model: Any
    tx: optax.GradientTransformation
    mesh: Mesh
    config: TrainConfig
    rate: optax.Schedule
    every: int


def fit(
    run: Run, state: TrainState, loader: Loader, saved: Checkpoints, preemption: Preemption, fitting: Fitting
) -> TrainState:
    """The loop, from the state's step to the last, with metrics, checkpoints and an end at SIGTERM.

    Device and host run apart: the loss is only fetched every `log_every` steps.
    """
    config, first = fitting.config, int(state.step)
    step_fn = compiled_step(fitting)
    log = Log(run, fitting.rate, first)
    interval: list[Mapping[str, jax.Array]] = []
    with preemption.held(), Progress("train", config.steps, first) as bar:
        for step, batch in prefetch(loader.batch, first, config.steps):
            check_supervised(step, batch)
            with placed_on(fitting.mesh):
                state, metrics = step_fn(state, jax.device_put(batch, batch_sharding(fitting.mesh)))
            log.add(metrics, batch)
            interval.append(metrics)
            done, asked = step + 1, preemption.asked
            if done % config.log_every == 0 or done == config.steps:
                bar.update(done, show(log.write(done)))
            if done % fitting.every == 0 or done == config.steps or asked:
                saved.save(state, mean_loss(done, interval))
                interval.clear()
            if asked:
                break
        saved.wait()
    if preemption.asked:
        raise Preempted
    return state


def compiled_step(fitting: Fitting) -> Any:
    """train_step under jit; the state's buffers are reused."""
    config = fitting.config
    step = functools.partial(
        train_step, model=fitting.model.build(), tx=fitting.tx, microbatches=config.microbatches, z_loss=config.z_loss
    )
    return jax.jit(step, donate_argnums=0)


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    model: nn.Module,
    tx: optax.GradientTransformation,
    microbatches: int = 1,
    z_loss: float,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update from the token-weighted mean loss of the whole batch; returns the loss sums and the gradient's norm."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
    grads, sums = summed_gradients(state.params, batch, key, model=model, microbatches=microbatches, z_loss=z_loss)
    grads = jax.tree.map(lambda grad: grad / jnp.maximum(sums["weight_sum"], 1), grads)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state), sums | {
        "grad_norm": optax.tree.norm(grads)
    }


def summed_gradients(
    params: Any, batch: Batch, key: jax.Array, *, model: nn.Module, microbatches: int, z_loss: float
) -> tuple[Any, dict[str, jax.Array]]:
    """(gradient of the summed loss, loss sums), added up over the microbatches."""

    def gradients(piece: Batch, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        def loss(params: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
            return loss_and_weight(model, params, piece, z_loss=z_loss, deterministic=False, rngs={"dropout": key})

        return jax.grad(loss, has_aux=True)(params)

    if microbatches == 1:
        return gradients(batch, key)
    # Row i goes to microbatch i mod n: each keeps rows of every device, and nothing has to move.
    pieces = jax.tree.map(lambda x: jnp.swapaxes(x.reshape(-1, microbatches, *x.shape[1:]), 0, 1), batch)
    keys = jax.random.split(key, microbatches)

    def add(total: Any, piece: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, gradients(*piece)), None

    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(gradients, jax.tree.map(lambda x: x[0], pieces), key))
    return jax.lax.scan(add, zeros, (pieces, keys))[0]


class Log:
    """Metrics of the steps between two log lines, fetched from the device once a line; to metrics.jsonl and TensorBoard."""

    def __init__(self, run: Run, rate: optax.Schedule, step: int):
        self._run, self._rate = run, rate
        self._pending: list[Mapping[str, jax.Array]] = []
        earlier = list(read_jsonl(run.path / "metrics.jsonl"))
        self._tokens, self._since = 0, time.monotonic()
        self._start = self._since - (earlier[-1]["seconds"] if earlier else 0.0)
        # Points after `step` are those of a process that died; the run draws them again.
        self._board = tensorboardX.SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1)

    def add(self, metrics: Mapping[str, jax.Array], batch: Batch) -> None:
        self._pending.append(metrics)
        self._tokens += sum(int(np.count_nonzero(a)) for n, a in batch.items() if n.endswith("segment_ids"))

    def write(self, step: int) -> dict[str, int | float]:
        """The line of metrics.jsonl for the steps since the last. Raises NotFinite."""
        fetched = jax.device_get(self._pending)
        total = {name: float(np.sum([m[name] for m in fetched], dtype=np.float64)) for name in fetched[0]}
        weight, now = total["weight_sum"], time.monotonic()
        seconds = now - self._since
        row = {
            "step": step,
            "loss": (total["loss_sum"] - total["z_loss_sum"]) / weight,
            "z_loss": total["z_loss_sum"] / weight,
            "accuracy": 100 * total["correct_sum"] / weight,
            "learning_rate": float(np.asarray(self._rate(step - 1))),
            "grad_norm": total["grad_norm"] / len(fetched),
            "tokens_per_second": self._tokens / seconds,
            "supervised_tokens_per_second": weight / seconds,
            "seconds": now - self._start,
        }
        check_finite(step, row["loss"])
        self._run.log(row)
        for name, value in row.items():
            self._board.add_scalar(f"train/{name}", value, step)
        self._board.flush()
        self._pending, self._tokens, self._since = [], 0, now
        return row


def mean_loss(step: int, metrics: list[Mapping[str, jax.Array]]) -> float:
    """The token-weighted mean of the loss sums of some steps. Raises NotFinite."""
    fetched = np.array(jax.device_get([(m["loss_sum"], m["weight_sum"], m["grad_norm"]) for m in metrics]), np.float64)
    loss, weight, grad_norm = fetched.sum(axis=0).tolist()
    # A gradient that is not finite shows in the loss one step later, when the parameters are spoilt and saved.
    check_finite(step, loss / weight + 0.0 * grad_norm)
    return loss / weight


def check_finite(step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise NotFinite(
            f"the loss is {loss} at step {step}. The last checkpoint is from before. Lower LEARNING_RATE, lengthen the warm-up, "
            "or look at the batch's examples with MixturePlan.rows(step)"
        )


def check_supervised(step: int, batch: Batch) -> None:
    """Training on nothing would report a loss of 0."""
    if not np.any(batch["decoder_loss_weights"]):
        raise InputError(
            f"batch {step} has no token to learn from: its rows hold no targets. Look at LENGTHS and the mixture"
        )
