import dataclasses

import pytest
from toy_tasks import HERD, kind_fields

from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request
from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalConfig
from flan_jax.evaluation.jobs import (
    EvalJob,
    job_during_training,
    jobs_after_training,
    jobs_before_training,
)
from flan_jax.run_records import AFTER, BEFORE, Phase
from flan_jax.tasks.clusters import Split
from flan_jax.tasks.metrics import accuracy, group_exact_match
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import TASKS


def test_before_training_only_the_held_out_task_is_scored(data):
    (before,) = jobs_before_training(data, EvalConfig())
    (after,) = jobs_after_training(data, EvalConfig())
    assert (before.phase, after.phase) == (BEFORE, AFTER)
    assert (before.tasks, after.tasks) == (["toy_kind"], ["toy_kind", "toy_spell"])


def test_of_a_task_that_is_trained_on_a_few_test_examples_are_scored(data):
    """Two examples in each of two templates; of the held-out task all of both splits."""
    (after,) = jobs_after_training(data, EvalConfig())
    assert after.limits == {
        ("toy_kind", "validation"): 34,
        ("toy_kind", "test"): 34,
        ("toy_spell", "test"): 2 * 2,
    }


def test_additional_prompts_have_phases_of_their_own(data, stores):
    prompts = Prompts(instructions="none")
    config = EvalConfig(more={"none": prompts})
    kind = {key: store for key, store in stores.items() if key[0] == "toy_kind"}
    data = dataclasses.replace(data, extra_evaluation={"none": kind})
    before = jobs_before_training(data, config)
    assert [(str(job.phase), job.tasks) for job in before] == [
        ("before", ["toy_kind"]),
        ("before-none", ["toy_kind"]),
    ]
    _, none = jobs_after_training(data, config)
    assert (none.phase, none.tasks) == (Phase("after", "none"), ["toy_kind"])
    assert none.prompts == prompts


def test_during_training_a_few_test_examples_of_held_out_tasks_are_scored(data):
    assert job_during_training(data, EvalConfig()) is None
    config = EvalConfig(every=5, during_examples=2)
    assert job_during_training(data, config).limits == {("toy_kind", "test"): 2 * 2}
    nothing = dataclasses.replace(data, split=Split(train=("toy_kind",), held_out=()))
    with pytest.raises(
        InputError,
        match="EvalConfig.every is 5, but nothing is held out; name a cluster",
    ):
        job_during_training(nothing, config)


@pytest.mark.parametrize("headline", [accuracy, group_exact_match])
def test_a_headline_metric_of_groups_needs_one_whole_group(
    monkeypatch, tokenizer, tmp_path, headline
):
    """The first group has four examples, each in two templates."""

    def fields(row):
        kind = kind_fields(row)
        return kind and kind | {"herd": row["number"] // 4}

    task = dataclasses.replace(HERD, fields=fields, metrics=(headline,))
    monkeypatch.setitem(TASKS, "toy_herd", task)
    (store,) = prepare(
        [Request(task, "test", "eval")],
        RowTokenizer(tokenizer),
        tmp_path,
        workers=0,
        progress=False,
    ).values()

    def job(limit):
        key = ("toy_herd", "test")
        return EvalJob(
            phase=AFTER,
            prompts=Prompts(),
            stores={key: store},
            limits={key: limit},
            held_out=(),
            cluster_of={"toy_herd": "zoo"},
        )

    assert job(8).tasks == ["toy_herd"]
    if headline is accuracy:
        assert job(6).tasks == ["toy_herd"]
        return
    with pytest.raises(
        InputError,
        match="'toy_herd': group_exact_match .* test split .*'500' has 4 of them. Raise",
    ):
        job(6)
