"""Training: `train` reads from top to bottom as what a run does; `train_step` is the update."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optax
from jax.sharding import Mesh

from flan_jax.data.loader import Loader
from flan_jax.evaluation.config import EvalContext
from flan_jax.evaluation.evaluate import evaluate
from flan_jax.evaluation.jobs import EvalJob, jobs_after_training, jobs_before_training
from flan_jax.evaluation.score_files import ScoreFiles, delete_other_scores, scored_params_id
from flan_jax.models.config import EXECUTION_SETTINGS, ModelConfig
from flan_jax.models.params import abstract_params_on
from flan_jax.parallel import multihost
from flan_jax.parallel.mesh import make_mesh
from flan_jax.parallel.preemption import Preemption
from flan_jax.reports import run_report
from flan_jax.run_dir import RESULT, Run
from flan_jax.run_records import BEFORE
from flan_jax.training import manifest
from flan_jax.training.checkpoints import Checkpoints
from flan_jax.training.loop import LoopConfig, in_training_eval, train_loop
from flan_jax.training.metrics_log import NO_STEPS
from flan_jax.training.packing_check import check_packing
from flan_jax.training.settings import Settings, TrainConfig
from flan_jax.training.setup import prepare_run
from flan_jax.training.state import TrainState, abstract_state_on, init_state, warm_state
from flan_jax.weights.formats import load_params
from flan_jax.weights.orbax import convert_layers


def train(run_dir: str, settings: Settings, config_text: str, *, profile: range = NO_STEPS) -> None:
    """A whole run: prepare, score the held-out cluster, train, score again, report. Goes on where an earlier one ended.

    `config_text` is the configuration to keep with the run, `profile` the steps to trace, counted from 0. Raises InputError
    for what cannot be done as written, Preempted after SIGTERM, NotFinite when the loss is not a number.
    """
    model, optimizer, training = settings.model, settings.optimizer, settings.training
    preemption, mesh = Preemption(), make_mesh(training.mesh)
    with multihost.process_zero_first():
        run = Run(run_dir, is_writer=multihost.is_process_zero())
    inputs = prepare_run(settings, mesh)
    prepared, plan = inputs.data, inputs.plan
    print(inputs.attention)
    metadata = manifest.run_metadata(model, settings.data, mesh, inputs.summary)
    run.write_manifest(
        inputs.identity,
        metadata | {"not_evaluated": prepared.not_evaluated},
        ignored=EXECUTION_SETTINGS,
    )
    multihost.assert_equal_everywhere(manifest.process_fingerprint(inputs.identity, config_text))
    identity = multihost.broadcast_from_zero(run.identity)
    # Random parameters depend on whether the layers are scanned: those of the run are as it began.
    first_model = dataclasses.replace(model, scan_layers=identity["model"]["scan_layers"])
    tx = optimizer.build(training.steps)
    saved = Checkpoints(run.path / "checkpoints", settings.checkpoints)
    evaluating = EvalContext(
        run, model, prepared.tokenizer, plan.lengths, mesh, settings.evaluation
    )
    before = jobs_before_training(prepared, settings.evaluation)
    after = jobs_after_training(prepared, settings.evaluation)
    between = in_training_eval(evaluating, prepared)
    rescore_initial_params(evaluating, before, saved, tx, training, first_model)
    if multihost.broadcast_from_zero(is_finished(evaluating, after, identity, training)):
        print(
            f"{run_dir} is finished: see {write_report(run)}. For another run choose another --run_dir."
        )
        return
    run.write_text("config.gin", config_text)
    run.remove(RESULT)  # of fewer steps, or of another evaluation: this run is not done

    fresh = saved.latest_step() is None
    state = restore_or_initialize(saved, model, tx, mesh, training, first_model)
    with multihost.process_zero_first():
        run.truncate_metrics(int(state.step))
    loader = Loader(plan, prepared.train, prepared.tokenizer.eos_id)
    check_packing(model, state.params, loader, mesh)
    for each in before if fresh else ():
        evaluate(evaluating, each, manifest.initial_params_id(first_model, training), state.params)
    rate, every = optimizer.rate(training.steps), settings.checkpoints.every
    fitting = LoopConfig(
        model=model,
        tx=tx,
        mesh=mesh,
        config=training,
        rate=rate,
        every=every,
        in_training_eval=between,
        profile=profile,
    )
    state = train_loop(run, state, loader, saved, preemption, fitting)
    for each in after:
        evaluate(
            evaluating, each, manifest.trained_params_id(identity, int(state.step)), state.params
        )
    delete_other_scores(run, [each.phase for each in (*before, *after)])
    saved.close()
    if run.is_writer:
        run.write_json(RESULT, manifest.result(run, int(state.step)))
    if write_report(run):
        print(run_report.terminal_summary(run.path))


def write_report(run: Run) -> Path | None:
    """The file of a run's report, which the process that writes has made."""
    return run_report.write(run.path) if run.is_writer else None


def is_finished(
    evaluating: EvalContext,
    after: Sequence[EvalJob],
    identity: Mapping[str, Any],
    training: TrainConfig,
) -> bool:
    """Whether a run is trained, and evaluated as it is to be now."""
    step = (evaluating.run.result or {}).get("step", -1)
    tuned = manifest.trained_params_id(identity, step)
    return step >= training.steps and all(
        ScoreFiles(evaluating, each, tuned).complete() for each in after
    )


def initial_state(
    model: ModelConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    training: TrainConfig,
    *,
    first_model: ModelConfig,
) -> TrainState:
    """Returns the state before training: random parameters, or those of the warm start.

    Args:
      model: the model to train.
      tx: the optimizer.
      mesh: the devices to place the state on.
      training: has the seed and the warm start.
      first_model: `model` with the `scan_layers` that the run began with.
    """
    if training.warm_start is not None:
        # Nothing is initialised that would be thrown away: the model may be all that fits.
        params = load_params(training.warm_start, model, abstract_params_on(model, mesh))
        return warm_state(params, tx, mesh, training.seed)
    state = init_state(first_model, tx, mesh, training.seed)
    if first_model.scan_layers != model.scan_layers:
        state = convert_layers(state, like=abstract_state_on(model, tx, mesh))
    return state


def restore_or_initialize(
    saved: Checkpoints,
    model: ModelConfig,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    training: TrainConfig,
    first_model: ModelConfig,
) -> TrainState:
    """Returns the latest checkpoint's state, or else the state before training."""
    if saved.latest_step() is None:
        return initial_state(model, tx, mesh, training, first_model=first_model)
    return saved.restore(like=abstract_state_on(model, tx, mesh))


def rescore_initial_params(
    evaluating: EvalContext,
    before: Sequence[EvalJob],
    saved: Checkpoints,
    tx: optax.GradientTransformation,
    training: TrainConfig,
    first_model: ModelConfig,
) -> None:
    """Recomputes the pre-training scores of a resumed run whose evaluation settings have changed."""
    # As they were then: the warm start may be gone by now.
    params_id = scored_params_id(evaluating.run, BEFORE)
    if multihost.broadcast_from_zero(
        saved.latest_step() is None
        or (
            params_id is not None
            and all(ScoreFiles(evaluating, each, params_id).complete() for each in before)
        )
    ):
        return
    if any(each.stores for each in before):
        model, mesh = evaluating.model, evaluating.mesh
        params = initial_state(model, tx, mesh, training, first_model=first_model).params
        params_id = manifest.initial_params_id(first_model, training)
        for each in before:
            evaluate(evaluating, each, params_id, params)
