"""What a run begins with, and when it is finished; one whole run in this process."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from same_trees import assert_same

import tasks  # noqa: F401 (registers)
from flan_jax import pytrees
from flan_jax.data.config import DataConfig
from flan_jax.evaluation.config import EvalConfig, EvalContext
from flan_jax.evaluation.jobs import jobs_after_training
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.run_dir import Run
from flan_jax.run_records import AFTER, BEFORE, CONTROLS, read_task_scores, scores_file
from flan_jax.tasks.mixtures import MIXTURES, Mixture
from flan_jax.training import manifest
from flan_jax.training.checkpoints import CheckpointConfig, Checkpoints
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.training.settings import Settings, TrainConfig
from flan_jax.training.setup import prepare_run
from flan_jax.training.train import (
    initial_state,
    is_finished,
    restore_or_initialize,
    train,
    write_report,
)
from flan_jax.weights.orbax import save_params

MODEL = EncoderDecoderConfig(
    vocab_size=4096,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=16,
    num_encoder_layers=1,
    num_decoder_layers=1,
)
NORMS = "scale$"


def make_settings(cache, model=MODEL, **training):
    """A run of three steps on a few practice rows."""
    data = DataConfig(
        mixture="rte",
        held_out=None,
        source="sandbox",
        data_dir=None,
        tokenizer="practice",
        lengths={"inputs": 64, "targets": 16},
        batch_size=8,
        seed=0,
        examples_per_dataset=20,
        eval_examples=2,
        seen_eval_examples=1,
        cache_dir=str(cache),
        workers=0,
    )
    return Settings(
        data=data,
        model=model,
        optimizer=OptimizerConfig(learning_rate=1e-3),
        training=TrainConfig(**{"steps": 3, "seed": 0, **training}),
        checkpoints=CheckpointConfig(),
        evaluation=EvalConfig(),
    )


def initial(settings, first_model=MODEL):
    return initial_state(settings, make_mesh(), first_model)


def test_the_seed_decides_the_random_parameters(tmp_path):
    params = initial(make_settings(tmp_path)).params
    assert_same(initial(make_settings(tmp_path)).params, params)
    other = initial(make_settings(tmp_path, seed=1)).params
    embedding = params["token_embedder"]["embedding"]
    assert not np.array_equal(other["token_embedder"]["embedding"], embedding)


@pytest.mark.parametrize("is_scanned", [True, False])
def test_a_run_keeps_its_first_parameters_in_another_layout(tmp_path, is_scanned):
    """nn.scan draws other numbers than layers one by one: the run's first layout counts."""
    first = dataclasses.replace(MODEL, scan_layers=is_scanned)
    now = dataclasses.replace(MODEL, scan_layers=not is_scanned)
    before = initial(make_settings(tmp_path, first), first)
    after = initial(make_settings(tmp_path, now), first)
    assert_same(pytrees.unstacked(after.params), pytrees.unstacked(before.params))

    encoder = after.params["encoder"]
    assert ("layers" in encoder) == (not is_scanned)
    fresh = initial(make_settings(tmp_path, now), now)
    assert jax.tree.structure(after) == jax.tree.structure(fresh)


def test_a_warm_start_gives_the_parameters_and_the_seed_the_rest(tmp_path):
    base = initial(make_settings(tmp_path, seed=5)).params
    save_params(tmp_path / "base", base)
    warm = make_settings(tmp_path, warm_start=str(tmp_path / "base"))
    state = initial(warm)
    assert_same(state.params, base)
    cold = initial(make_settings(tmp_path))
    assert_same(state.rng, cold.rng)
    assert_same(state.opt_state, cold.opt_state)
    assert state.step == 0


@pytest.mark.parametrize("is_warm", [True, False])
def test_only_what_is_trained_has_optimizer_state(tmp_path, is_warm):
    whole = initial(make_settings(tmp_path)).params
    save_params(tmp_path / "base", whole)
    warm_start = str(tmp_path / "base") if is_warm else None
    state = initial(make_settings(tmp_path, trainable=NORMS, warm_start=warm_start))
    assert_same(state.all_params, whole)
    trained, frozen = pytrees.partition(whole, NORMS)
    assert_same(state.params, trained)
    assert_same(state.frozen, frozen)


@pytest.mark.parametrize(
    "trainable, saves_all", [(None, True), (NORMS, True), (NORMS, False)]
)
def test_the_latest_checkpoint_is_restored(tmp_path, trainable, saves_all):
    settings = make_settings(tmp_path, trainable=trainable)
    frozen = None if saves_all else manifest.frozen_params_id(settings.training)
    saved = Checkpoints(tmp_path / "checkpoints", CheckpointConfig(), frozen)
    mesh = make_mesh()
    fresh = restore_or_initialize(saved, settings, mesh, MODEL)
    assert_same(fresh, initial(settings))

    params = jax.tree.map(lambda leaf: leaf + 1.0, fresh.params)
    later = fresh.replace(step=fresh.step + 2, params=params)
    saved.save(later, loss=1.0)
    saved.wait()
    assert_same(restore_or_initialize(saved, settings, mesh, MODEL), later)
    saved.close()


def test_only_the_process_that_writes_has_a_report(tmp_path):
    Run(tmp_path / "run")
    assert write_report(Run(tmp_path / "run", is_writer=False)) is None


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(the settings, the directory) of a run of three steps."""
    folder = tmp_path_factory.mktemp("finished")
    settings = make_settings(folder / "cache")
    train(str(folder / "run"), settings, "# the configuration")
    return settings, folder / "run"


def metrics(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_ends_with_its_result_scores_and_report(finished):
    _, run = finished
    result = json.loads((run / "result.json").read_text())
    assert result["step"] == 3
    assert set(result["tasks"]) == {"rte"}
    assert 0 <= result["tasks"]["rte"]["after"] <= 100
    assert result["loss"] == metrics(run)[-1]["loss"]
    assert (run / "config.gin").read_text() == "# the configuration"
    assert (run / "report.html").exists()


@pytest.fixture
def two_tasks(monkeypatch):
    monkeypatch.setitem(MIXTURES, "two", Mixture("two", ("rte", "sst2")))


def test_controls_are_scored_before_and_after_and_come_with_a_verdict(
    tmp_path, two_tasks
):
    settings = make_settings(tmp_path / "cache")
    data = dataclasses.replace(
        settings.data,
        mixture="two",
        held_out="nli",
        lengths={"inputs": 160, "targets": 16},
    )
    controlled = dataclasses.replace(
        settings, data=data, evaluation=EvalConfig(controls=True)
    )
    run = tmp_path / "run"
    train(str(run), controlled, "")
    rte = read_task_scores(scores_file(run, "rte"))
    assert set(rte.scores) == {BEFORE, AFTER, *CONTROLS}
    sst2 = read_task_scores(scores_file(run, "sst2"))
    assert set(sst2.scores) == {AFTER}
    assert "What tuning has added" in (run / "report.html").read_text()

    # Another evaluation of the finished run: the controls go.
    without = dataclasses.replace(controlled, evaluation=EvalConfig(scoring="mean"))
    train(str(run), without, "")
    assert set(read_task_scores(scores_file(run, "rte")).scores) == {BEFORE, AFTER}


def is_finished_for(settings, run_dir, steps):
    inputs = prepare_run(settings, make_mesh())
    run = Run(run_dir, is_writer=False)
    context = EvalContext(
        run,
        settings.model,
        inputs.data.row_tokenizer,
        inputs.plan.lengths,
        inputs.mesh,
        settings.evaluation,
    )
    jobs = jobs_after_training(inputs.data, settings.evaluation)
    return is_finished(context, jobs, run.identity, steps)


def test_a_run_is_finished_for_its_steps_and_its_evaluation(finished):
    settings, run = finished
    answers = {steps: is_finished_for(settings, run, steps) for steps in (2, 3, 4)}
    assert answers == {2: True, 3: True, 4: False}
    evaluation = EvalConfig(scoring="mean")
    other = dataclasses.replace(settings, evaluation=evaluation)
    assert not is_finished_for(other, run, 3)


def test_a_run_without_a_result_is_not_finished(finished, tmp_path):
    settings, _ = finished
    assert not is_finished_for(settings, tmp_path, 1)
