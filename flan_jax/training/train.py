"""Training: `train` does the steps of a run from top to bottom."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from jax.sharding import Mesh

from flan_jax.data.loader import Loader
from flan_jax.evaluation.config import EvalContext
from flan_jax.evaluation.evaluate import evaluate
from flan_jax.evaluation.jobs import EvalJob, jobs_after_training, jobs_before_training
from flan_jax.evaluation.score_files import (
    ScoreFiles,
    delete_other_scores,
    scored_params_id,
)
from flan_jax.json_files import JsonObject
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
from flan_jax.training.loop import NO_STEPS, LoopConfig, in_training_eval, train_loop
from flan_jax.training.packing_check import check_packing
from flan_jax.training.settings import Settings
from flan_jax.training.setup import RunInputs, check_warm_start, prepare_run
from flan_jax.training.state import (
    TrainState,
    abstract_state_on,
    init_state,
    warm_state,
)
from flan_jax.weights.formats import load_params
from flan_jax.weights.orbax import convert_layers


def train(
    run_dir: str, settings: Settings, config_text: str, *, profile: range = NO_STEPS
) -> None:
    """Does a whole run: prepares, scores the held-out tasks, trains, scores again, reports.

    A run that ended early goes on where it was; a finished run is left as it is.

    Args:
      run_dir: the run directory.
      settings: the run's settings.
      config_text: the configuration as gin text, which is kept with the run.
      profile: the steps to trace, counted from 0.

    Raises:
      InputError: the settings do not fit together, or do not fit the run in the directory.
      Preempted: SIGTERM has come; the same command goes on from there.
      NotFinite: the loss is NaN or infinite.
    """
    training = settings.training
    preemption = Preemption()
    mesh = make_mesh(training.mesh)
    with multihost.process_zero_first():
        run = Run(run_dir, is_writer=multihost.is_process_zero())

    check_warm_start(run_dir, settings)
    settings = settings.with_rows_of(run.identity)
    inputs = prepare_run(settings, mesh)
    print(inputs.attention)
    _write_manifest(run, settings, inputs)
    multihost.assert_equal_everywhere(
        manifest.process_fingerprint(inputs.identity, config_text)
    )
    identity = multihost.broadcast_from_zero(run.identity)
    first_model = _first_model(settings.model, identity)

    context = EvalContext(
        run,
        settings.model,
        inputs.data.row_tokenizer,
        inputs.plan.lengths,
        mesh,
        settings.evaluation,
    )
    before = jobs_before_training(inputs.data, settings.evaluation)
    after = jobs_after_training(inputs.data, settings.evaluation)
    for job in inputs.controls:
        (before if job.phase.time == "before" else after).append(job)
    between = in_training_eval(context, inputs.data)

    # Frozen parameters of a warm start are read from there again, random ones are saved.
    frozen = None
    if training.warm_start is not None:
        frozen = manifest.frozen_params_id(training)
    saved = Checkpoints(run.path / "checkpoints", settings.checkpoints, frozen)
    is_fresh = saved.latest_step() is None
    if not is_fresh:
        rescore_initial_params(context, before, settings, first_model)
    if multihost.broadcast_from_zero(
        is_finished(context, after, identity, training.steps)
    ):
        report = write_report(run)
        print(
            f"{run_dir} is finished: see {report}. For another run choose another --run_dir."
        )
        return
    run.write_text("config.gin", config_text)
    run.remove(RESULT)  # of fewer steps, or of another evaluation: this run is not done

    state = restore_or_initialize(saved, settings, mesh, first_model)
    with multihost.process_zero_first():
        run.truncate_metrics(int(state.step))
    row_tokens = inputs.data.row_tokenizer.tokens
    loader = Loader(inputs.plan, inputs.data.train, row_tokens)
    print(
        "checking that packed examples give the loss that they give alone", flush=True
    )
    check_packing(settings.model, state.all_params, loader, mesh)
    if is_fresh:
        params_id = manifest.initial_params_id(first_model, training)
        for job in before:
            evaluate(context, job, params_id, state.all_params)

    loop = LoopConfig(
        model=settings.model,
        tx=settings.optimizer.build(training.steps),
        mesh=mesh,
        config=training,
        rate=settings.optimizer.rate(training.steps),
        checkpoint_every=settings.checkpoints.every,
        in_training_eval=between,
        profile=profile,
    )
    state = train_loop(run, state, loader, saved, preemption=preemption, loop=loop)

    step = int(state.step)
    params_id = manifest.trained_params_id(identity, step)
    for job in after:
        evaluate(context, job, params_id, state.all_params)
    delete_other_scores(run, [job.phase for job in (*before, *after)])
    saved.close()
    if run.is_writer:
        run.write_json(RESULT, manifest.result(run, step))
    if write_report(run):
        print(run_report.terminal_summary(run.path))


def write_report(run: Run) -> Path | None:
    """Writes the report on process 0 and returns its path; None on other processes."""
    return run_report.write(run.path) if run.is_writer else None


def _write_manifest(run: Run, settings: Settings, inputs: RunInputs) -> None:
    metadata = manifest.run_metadata(
        settings.model,
        settings.data,
        inputs.mesh,
        inputs.summary,
        trainable=settings.training.trainable,
    )
    metadata["not_evaluated"] = inputs.data.not_evaluated
    metadata["start"] = manifest.start_facts(settings.training)
    run.write_manifest(
        inputs.identity,
        metadata,
        ignored=EXECUTION_SETTINGS,
        complete=functools.partial(manifest.complete_identity, model=settings.model),
    )


def _first_model(model: ModelConfig, identity: JsonObject) -> ModelConfig:
    """Returns the model with the layout of its layers that the run began with.

    Random parameters depend on it: nn.scan draws other numbers than layers one by one.
    """
    first_fields = manifest.complete_identity(identity, model)["model"]
    return dataclasses.replace(model, scan_layers=first_fields["scan_layers"])


def is_finished(
    context: EvalContext, after: Sequence[EvalJob], identity: JsonObject, steps: int
) -> bool:
    """Returns whether a run is trained, and evaluated as it would be now.

    Args:
      context: what all evaluations of the run share.
      after: the evaluations after training.
      identity: the run's identity.
      steps: number of steps to train.
    """
    step = (context.run.result or {}).get("step", -1)
    params_id = manifest.trained_params_id(identity, step)
    return step >= steps and all(
        ScoreFiles(context, job, params_id).complete() for job in after
    )


def initial_state(
    settings: Settings, mesh: Mesh, first_model: ModelConfig
) -> TrainState:
    """Returns the state before training: random parameters, or those of the warm start.

    Args:
      settings: the run's settings.
      mesh: the devices to place the state on.
      first_model: the model with the `scan_layers` that the run began with.
    """
    model, training = settings.model, settings.training
    tx = settings.optimizer.build(training.steps)
    if training.warm_start is not None:
        # Nothing is initialised that would be thrown away: the model may be all that fits.
        params = load_params(
            training.warm_start,
            model,
            abstract_params_on(model, mesh),
            training.model_changes,
        )
        return warm_state(params, tx, mesh, training.seed, trainable=training.trainable)

    state = init_state(
        first_model, tx, mesh, training.seed, trainable=training.trainable
    )
    if first_model.scan_layers != model.scan_layers:
        state = convert_layers(
            state, like=abstract_state_on(model, tx, mesh, training.trainable)
        )
    return state


def restore_or_initialize(
    saved: Checkpoints, settings: Settings, mesh: Mesh, first_model: ModelConfig
) -> TrainState:
    """Returns the state of the latest checkpoint, or the state before training.

    Args:
      saved: the run's checkpoints. Frozen parameters that they do not hold are made again.
      settings: the run's settings.
      mesh: the devices to place the state on.
      first_model: the model with the `scan_layers` that the run began with.
    """
    if saved.latest_step() is None:
        return initial_state(settings, mesh, first_model)
    training = settings.training
    tx = settings.optimizer.build(training.steps)
    state = saved.restore(
        like=abstract_state_on(settings.model, tx, mesh, training.trainable)
    )
    if saved.holds_all_params():
        return state
    return state.replace(frozen=initial_state(settings, mesh, first_model).frozen)


def rescore_initial_params(
    context: EvalContext,
    before: Sequence[EvalJob],
    settings: Settings,
    first_model: ModelConfig,
) -> None:
    """Recomputes the pre-training scores of a resumed run whose evaluation settings have changed.

    Args:
      context: what all evaluations of the run share.
      before: the evaluations before training.
      settings: the run's settings.
      first_model: the model with the `scan_layers` that the run began with.
    """
    # The parameters are known as they were then: the warm start may be gone by now.
    known_id = scored_params_id(context.run, BEFORE)
    is_done = known_id is not None and all(
        ScoreFiles(context, job, known_id).complete() for job in before
    )
    if multihost.broadcast_from_zero(is_done) or not any(job.stores for job in before):
        return
    params = initial_state(settings, context.mesh, first_model).all_params
    params_id = manifest.initial_params_id(first_model, settings.training)
    for job in before:
        evaluate(context, job, params_id, params)
