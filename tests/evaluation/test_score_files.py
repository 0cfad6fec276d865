import dataclasses

import pytest
from toy_evaluation import PARAMS_ID, Killed, MortalScorer, is_complete

from flan_jax import json_files
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalConfig
from flan_jax.evaluation.evaluate import evaluate
from flan_jax.evaluation.jobs import jobs_after_training, jobs_before_training
from flan_jax.evaluation.score_files import delete_other_scores, scored_params_id
from flan_jax.json_files import read_json, write_json
from flan_jax.models.config import config_fields
from flan_jax.run_dir import Run
from flan_jax.run_records import AFTER, BEFORE
from flan_jax.tasks.prompts import Prompts


def files(folder):
    """All that a run holds of scores and predictions, as bytes by path."""
    paths = [
        path for name in ("eval", "predictions") for path in (folder / name).iterdir()
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    "change",
    [
        {"scoring": "mean"},
        {"params_id": {"seed": 1}},
        {"prompts": Prompts(shots=1)},
        {"limits": 7},
        {"rows": 16},
        {"generation": GenerationConfig(num_beams=2)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_nothing_goes_on_from_another_evaluation(
    tmp_path, data, params, make_context, change
):
    """Partial and finished scores of other parameters, prompts or settings count for nothing."""
    context = make_context(tmp_path / "run")
    (job,) = jobs_after_training(data, context.config)
    MortalScorer.lives = 3
    with pytest.raises(Killed):
        evaluate(context, job, PARAMS_ID, params)

    settings = {"rows": 8} | {
        name: value
        for name, value in change.items()
        if name in ("rows", "scoring", "generation")
    }
    other = dataclasses.replace(context, config=EvalConfig(**settings))
    changed = dataclasses.replace(job, prompts=change.get("prompts", job.prompts))
    if "limits" in change:
        changed = dataclasses.replace(changed, limits=dict.fromkeys(changed.limits, 2))
    params_id = change.get("params_id", PARAMS_ID)

    batches = []
    for run_context in (other, dataclasses.replace(other, run=Run(tmp_path / "alone"))):
        MortalScorer.lives = 1000
        evaluate(run_context, changed, params_id, params)
        batches.append(1000 - MortalScorer.lives)
    assert batches[0] == batches[1]
    assert files(tmp_path / "run") == files(tmp_path / "alone")
    assert is_complete(other, changed, params_id)
    # How many rows are in a batch changes no more than rounding; all else is another evaluation.
    assert is_complete(context, job) == ("rows" in change)


def test_another_evaluation_leaves_nothing_of_the_first(
    tmp_path, data, params, make_context
):
    """All tasks under one scoring, then one task under another: the second task's scores go."""
    context = make_context(tmp_path)
    (job,) = jobs_after_training(data, context.config)
    evaluate(context, job, PARAMS_ID, params)

    def job_of(task):
        stores = {key: store for key, store in job.stores.items() if key[0] == task}
        return dataclasses.replace(job, stores=stores)

    mean = dataclasses.replace(context, config=EvalConfig(rows=8, scoring="mean"))
    evaluate(mean, job_of("toy_kind"), PARAMS_ID, params)
    assert "after" not in read_json(tmp_path / "eval" / "toy_spell.json")
    assert not (tmp_path / "predictions" / "toy_spell-after.jsonl").exists()
    # The same evaluation of one task after the other keeps both.
    evaluate(mean, job_of("toy_spell"), PARAMS_ID, params)
    assert is_complete(mean, job)


def test_scores_of_other_phases_are_deleted(
    tmp_path, data, stores, params, make_context
):
    context = make_context(tmp_path, more={"none": Prompts(instructions="none")})
    kind = {key: store for key, store in stores.items() if key[0] == "toy_kind"}
    data = dataclasses.replace(data, extra_evaluation={"none": kind})
    after, none = jobs_after_training(data, context.config)
    for job in (after, none):
        evaluate(context, job, PARAMS_ID, params)
    scores = read_json(tmp_path / "eval" / "toy_kind.json")
    assert scores["after-none"] == scores["after"], (
        "the prompts here are the same, by another name"
    )
    assert (tmp_path / "predictions" / "toy_kind-after-none.jsonl").exists()

    delete_other_scores(context.run, [AFTER])
    assert "after-none" not in read_json(tmp_path / "eval" / "toy_kind.json")
    assert not list((tmp_path / "predictions").glob("*after-none*"))
    assert is_complete(context, after) and not is_complete(context, none)


def test_a_run_knows_which_parameters_it_has_scored(
    tmp_path, data, params, make_context
):
    context = make_context(tmp_path)
    (job,) = jobs_before_training(data, context.config)
    assert scored_params_id(context.run, BEFORE) is None
    evaluate(context, job, PARAMS_ID, params)
    assert scored_params_id(context.run, BEFORE) == PARAMS_ID


def test_greedy_generation_is_not_part_of_the_conditions(
    tmp_path, data, params, make_context
):
    context = make_context(tmp_path)
    (job,) = jobs_before_training(data, context.config)
    evaluate(context, job, PARAMS_ID, params)
    conditions = read_json(tmp_path / "predictions" / "before.json")["conditions"]
    assert list(conditions) == ["version", "weights", "prompts", "scoring", "lengths"]


def test_scores_from_before_a_setting_were_made_with_its_default(
    tmp_path, data, params, make_context
):
    context = make_context(tmp_path)
    (job,) = jobs_before_training(data, context.config)
    model_id = {"model": config_fields(context.model), "source": {"seed": 0}}
    evaluate(context, job, model_id, params)
    file = tmp_path / "predictions" / "before.json"
    for group, name in (("prompts", "shots"), ("weights", "logits_softcap")):
        content = read_json(file)
        fields = content["conditions"][group]
        fields = fields.get("model", fields)
        assert name in fields
        del fields[name]
        write_json(file, content)
        assert is_complete(context, job, model_id)

    with_shots = dataclasses.replace(job, prompts=Prompts(shots=1))
    assert not is_complete(context, with_shots, model_id)
    other_model = dataclasses.replace(context.model, logits_softcap=30.0)
    other_id = model_id | {"model": config_fields(other_model)}
    assert not is_complete(context, job, other_id)


def test_scores_before_training_are_shared_by_runs_with_the_same_start(
    tmp_path, data, params, make_context
):
    (before,) = jobs_before_training(data, EvalConfig())
    first, second, third = (
        make_context(tmp_path / name, untuned_dir=str(tmp_path / "untuned"))
        for name in "abc"
    )
    evaluate(first, before, PARAMS_ID, params)
    MortalScorer.lives = 0
    evaluate(second, before, PARAMS_ID, params)
    assert files(tmp_path / "b") == files(tmp_path / "a")
    with pytest.raises(Killed):
        evaluate(third, before, {"seed": 1}, params)
    (after,) = jobs_after_training(data, second.config)
    with pytest.raises(Killed):  # after training every run is its own
        evaluate(second, after, PARAMS_ID, params)
    assert len(list((tmp_path / "untuned").iterdir())) == 1


def test_two_runs_that_share_at_the_same_time_spoil_nothing(
    tmp_path, data, params, make_context, monkeypatch
):
    """The second run finishes while the first is about to put its scores into the folder."""
    (before,) = jobs_before_training(data, EvalConfig())
    first, second = (
        make_context(tmp_path / name, untuned_dir=str(tmp_path / "untuned"))
        for name in "ab"
    )
    rename = json_files.os.rename
    renamed = []

    def rename_later(source, target):
        if not renamed:
            renamed.append(target)
            evaluate(second, before, PARAMS_ID, params)
        rename(source, target)

    monkeypatch.setattr(json_files.os, "rename", rename_later)
    evaluate(first, before, PARAMS_ID, params)
    assert renamed
    assert files(tmp_path / "a") == files(tmp_path / "b")
    (shared,) = (tmp_path / "untuned").iterdir()
    assert {path.name for path in shared.iterdir()} == {"toy_kind.jsonl", "scores.json"}


def test_a_shared_folder_that_cannot_be_made(tmp_path, data, params, make_context):
    (tmp_path / "file").write_text("")
    context = make_context(
        tmp_path / "run", untuned_dir=str(tmp_path / "file" / "untuned")
    )
    (before,) = jobs_before_training(data, EvalConfig())
    with pytest.raises(InputError, match="EvalConfig.untuned_dir .* cannot be written"):
        evaluate(context, before, PARAMS_ID, params)
