import dataclasses

import numpy as np
import pytest
from toy_evaluation import PARAMS_ID, Killed, MortalScorer, is_complete
from toy_tasks import KIND

from flan_jax.data.row_format import FLAN, RowFormat
from flan_jax.evaluation.config import EvalConfig
from flan_jax.evaluation.controls import control_jobs
from flan_jax.evaluation.evaluate import evaluate
from flan_jax.evaluation.predictions import SCORINGS, option_scores
from flan_jax.json_files import read_jsonl
from flan_jax.run_records import (
    CLOZE,
    FEW_SHOT,
    HYPOTHESIS_ONLY,
    predictions_file,
    read_task_scores,
    scores_file,
)
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import TASKS
from flan_jax.tasks.templates import ClozeTemplate

ON = EvalConfig(controls=True)
ASKED = dataclasses.replace(
    KIND,
    cloze=ClozeTemplate("{animal} flies. This is {answer}.", {"no": "wrong"}),
    premise=("animal",),
)


@pytest.fixture
def asked(data, tmp_path, monkeypatch):
    """The toy data, whose held-out task has a cloze and a premise."""
    monkeypatch.setitem(TASKS, ASKED.name, ASKED)
    config = dataclasses.replace(
        data.config,
        cache_dir=str(tmp_path / "cache"),
        eval_prompts=Prompts(exemplar_tokens=100),
    )
    return dataclasses.replace(data, config=config)


def sizes(jobs):
    return {job.phase: dict(job.limits) for job in jobs}


def test_controls_are_of_held_out_tasks_on_test_examples(asked):
    assert control_jobs(asked, EvalConfig()) == []
    validation, test = ("toy_kind", "validation"), ("toy_kind", "test")
    jobs = control_jobs(asked, ON)
    assert sizes(jobs) == {
        CLOZE: {validation: 17, test: 17},
        FEW_SHOT: {test: 34},
        HYPOTHESIS_ONLY: {test: 34},
    }
    cloze, _, hypothesis_only = jobs
    first = cloze.stores[test].inputs_text(0)
    assert first == "cat number 2000 flies. This is"
    assert {hypothesis_only.stores[test].inputs_text(row) for row in range(34)} == {
        "Does a  fly?\nOPTIONS:\n- no\n- yes",
        ": does it have wings?",
    }


def test_a_task_without_cloze_and_premise_has_the_other_controls(data, tmp_path):
    prompts = Prompts(exemplar_tokens=100)
    config = dataclasses.replace(
        data.config, cache_dir=str(tmp_path), eval_prompts=prompts
    )
    (job,) = control_jobs(dataclasses.replace(data, config=config), ON)
    assert (job.phase, job.prompts.shots) == (FEW_SHOT, 3)


def test_exemplars_that_do_not_fit_are_no_control_and_no_error(asked, capsys):
    prompts = Prompts(exemplar_tokens=3)
    config = dataclasses.replace(asked.config, eval_prompts=prompts)
    jobs = control_jobs(dataclasses.replace(asked, config=config), ON)
    assert [job.phase for job in jobs] == [CLOZE, HYPOTHESIS_ONLY]
    assert "not one exemplar fits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prompts", "phases"),
    [
        (Prompts(shots=1), [CLOZE, HYPOTHESIS_ONLY]),
        (Prompts(instructions="none"), [CLOZE, FEW_SHOT]),
    ],
)
def test_a_control_that_says_nothing_of_the_prompts_is_left_out(asked, prompts, phases):
    config = dataclasses.replace(asked.config, eval_prompts=prompts)
    jobs = control_jobs(dataclasses.replace(asked, config=config), ON)
    assert [job.phase for job in jobs] == phases


def test_the_cloze_is_ranked_by_the_scoring_that_is_best_on_validation(
    tmp_path, asked, params, make_context
):
    context = make_context(tmp_path / "run", controls=True)
    cloze, few_shot, _ = control_jobs(asked, context.config)
    for job in (cloze, few_shot):
        evaluate(context, job, PARAMS_ID, params)
        assert is_complete(context, job)
    task = read_task_scores(scores_file(tmp_path / "run", "toy_kind"))
    scores = task.scores[CLOZE]
    rows = list(read_jsonl(predictions_file(tmp_path / "run", "toy_kind", CLOZE)))

    def accuracy(split, scoring):
        right = []
        for row in rows:
            if row["split"] == split:
                arguments = (row["sums"], row["tokens"], row["unconditional"])
                right.append(
                    np.argmax(option_scores(scoring, *arguments)) == row["answer"]
                )
        return 100 * np.mean(right)

    means = {scoring: accuracy("test", scoring) for scoring in SCORINGS}
    assert scores.scorings == pytest.approx(means)
    best = max(SCORINGS, key=lambda scoring: accuracy("validation", scoring))
    assert scores.scoring == best
    assert scores.mean == pytest.approx(means[best])
    for row in rows:
        arguments = (row["sums"], row["tokens"], row["unconditional"])
        assert row["scores"] == pytest.approx(option_scores(best, *arguments), abs=1e-5)

    # Of the kept training rows most are "no"; 14 of 17 test rows are.
    assert task.scores[FEW_SHOT].train_majority == pytest.approx(100 * 14 / 17)
    assert 0 < task.scores[FEW_SHOT].exemplars <= 3


def test_an_interrupted_control_resumes(tmp_path, asked, params, make_context):
    whole = make_context(tmp_path / "whole", controls=True)
    cloze, *_ = control_jobs(asked, whole.config)
    evaluate(whole, cloze, PARAMS_ID, params)

    context = make_context(tmp_path / "run", controls=True)
    MortalScorer.lives = 3
    with pytest.raises(Killed):
        evaluate(context, cloze, PARAMS_ID, params)
    MortalScorer.lives = 10**9
    evaluate(context, cloze, PARAMS_ID, params)
    files = [
        scores_file(tmp_path / name, "toy_kind").read_text()
        for name in ("whole", "run")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("row_format", "architecture", "is_running"),
    [
        (RowFormat(), "decoder", True),
        (RowFormat(), "encoder_decoder", False),
        (FLAN, "decoder", False),
    ],
)
def test_the_cloze_of_a_public_decoder_is_running_text(
    asked, row_format, architecture, is_running
):
    row_tokenizer = dataclasses.replace(
        asked.row_tokenizer,
        format=dataclasses.replace(row_format, start="{pad}"),
        architecture=architecture,
    )
    cloze, few_shot, _ = control_jobs(
        dataclasses.replace(asked, row_tokenizer=row_tokenizer), ON
    )
    assert few_shot.row_tokenizer == row_tokenizer
    assert (cloze.row_tokenizer != row_tokenizer) == is_running
    store = cloze.stores["toy_kind", "test"]
    tokenizer = row_tokenizer.tokenizer
    prompt = store.inputs.row(0).tolist()
    no = store.options(0)[0].tolist()
    if is_running:
        text = "cat number 2000 flies. This is"
        assert prompt == tokenizer.encode(text)
        assert prompt + no == [*tokenizer.encode(f"{text} wrong."), tokenizer.eos_id]
    else:
        assert (
            prompt
            == row_tokenizer.encode_prompts(["cat number 2000 flies. This is"])[0]
        )
        assert no == row_tokenizer.encode_answers(["wrong."])[0]
