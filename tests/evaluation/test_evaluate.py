import dataclasses
import importlib
import sys

import numpy as np
import pytest
from toy_evaluation import PARAMS_ID, ROWS, Killed, MortalScorer, is_complete
from toy_tasks import KIND, SPELL

from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.evaluation.evaluate import cluster_means, evaluate
from flan_jax.evaluation.jobs import (
    EvalJob,
    job_during_training,
    jobs_after_training,
    jobs_before_training,
)
from flan_jax.evaluation.summaries import summarize_task
from flan_jax.json_files import read_json, read_jsonl
from flan_jax.run_records import AFTER, Prediction
from flan_jax.tasks.clusters import CLUSTER_VIEWS, ClusterView
from flan_jax.tasks.metrics import METRICS
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import TASKS


def test_scores_are_written_beside_those_of_before(
    tmp_path, data, params, make_context
):
    context = make_context(tmp_path)
    (before,) = jobs_before_training(data, context.config)
    (after,) = jobs_after_training(data, context.config)
    assert not is_complete(context, before)
    evaluate(context, before, PARAMS_ID, params)
    assert is_complete(context, before) and not is_complete(context, after)
    written = read_json(tmp_path / "eval" / "toy_kind.json")

    evaluate(context, after, PARAMS_ID, params)
    assert is_complete(context, before) and is_complete(context, after)
    kind, spell = (read_json(tmp_path / "eval" / f"{name}.json") for name in ROWS)
    assert kind == written | {"after": written["before"]}
    assert list(kind) == [
        "task",
        "cluster",
        "held_out",
        "provenance",
        "before",
        "after",
    ]
    assert (kind["task"], kind["cluster"], kind["held_out"]) == (
        "toy_kind",
        "zoo",
        True,
    )
    assert spell == {
        "task": "toy_spell",
        "cluster": "words",
        "held_out": False,
        "provenance": {"kind": "toy", "where": "toy_tasks.Rows"},
        "after": spell["after"],
    }
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {
        "toy_kind-before.jsonl",
        "toy_kind-after.jsonl",
        "toy_spell-after.jsonl",
        "before.json",
        "after.json",
    }


def test_scores_are_those_of_the_written_predictions(
    tmp_path, data, params, make_context
):
    context = make_context(tmp_path)
    (after,) = jobs_after_training(data, context.config)
    evaluate(context, after, PARAMS_ID, params)
    sizes = {KIND: {"validation": 34, "test": 34}, SPELL: {"test": 2 * 2}}
    for task, splits in sizes.items():
        rows = list(read_jsonl(tmp_path / "predictions" / f"{task.name}-after.jsonl"))
        by_split = {
            split: [Prediction.from_json(row) for row in rows if row["split"] == split]
            for split in splits
        }
        assert {split: len(part) for split, part in by_split.items()} == splits
        assert len(rows) == sum(splits.values())
        scores = summarize_task(task, by_split)
        if task is SPELL:  # the tasks trained on are many, and nobody compares them
            scores = dataclasses.replace(scores, values=None)
        written = read_json(tmp_path / "eval" / f"{task.name}.json")["after"]
        assert written == read_back(scores.to_json())


def read_back(content):
    """JSON as it is read from a file: tuples become lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in content.items()
    }


@pytest.mark.parametrize("scoring", ["sum", "calibrated"])
def test_killed_between_any_two_batches_it_goes_on_to_the_same_files(
    tmp_path, data, params, make_context, scoring
):
    undisturbed = make_context(tmp_path / "undisturbed", scoring=scoring)
    (job,) = jobs_after_training(data, undisturbed.config)
    evaluate(undisturbed, job, PARAMS_ID, params)
    batches = 10**9 - MortalScorer.lives

    context = make_context(tmp_path / "killed", scoring=scoring)
    kills = 0
    while not is_complete(context, job):
        MortalScorer.lives = 2
        try:
            evaluate(context, job, PARAMS_ID, params)
        except Killed:
            kills += 1
            with (tmp_path / "killed" / "predictions" / "after.partial").open(
                "a"
            ) as file:
                file.write('{"result": [{"pred')  # half a line, as a kill leaves it
    assert kills == (batches - 1) // 2, "what was finished was not predicted again"
    for name in ("eval", "predictions"):
        paths = sorted((tmp_path / "undisturbed" / name).iterdir())
        resumed = sorted((tmp_path / "killed" / name).iterdir())
        assert [path.name for path in resumed] == [path.name for path in paths]
        for path, other in zip(paths, resumed, strict=True):
            assert path.read_bytes() == other.read_bytes()


def test_generation_settings_change_what_is_predicted(
    tmp_path, data, params, make_context
):
    """Beam search writes other answers than greedy decoding, and the file of scores says so."""
    greedy = make_context(tmp_path / "greedy")
    beams = make_context(
        tmp_path / "beams", generation=GenerationConfig(num_beams=3, length_penalty=0.0)
    )
    (job,) = jobs_after_training(data, greedy.config)
    for context in (greedy, beams):
        evaluate(context, job, PARAMS_ID, params)
    texts = {}
    for name in ("greedy", "beams"):
        rows = read_jsonl(tmp_path / name / "predictions" / "toy_spell-after.jsonl")
        texts[name] = [row["prediction"] for row in rows]
    assert texts["greedy"] != texts["beams"]
    conditions = read_json(tmp_path / "beams" / "predictions" / "after.json")[
        "conditions"
    ]
    assert conditions["generation"]["num_beams"] == 3
    ranked = [
        (tmp_path / name / "predictions" / "toy_kind-after.jsonl").read_bytes()
        for name in ("greedy", "beams")
    ]
    assert ranked[0] == ranked[1], "options are ranked, not generated"


def test_means_during_training_are_those_of_an_evaluation(
    tmp_path, data, params, make_context
):
    context = make_context(tmp_path, every=5, during_examples=2)
    during = job_during_training(data, context.config)
    done = []
    means = cluster_means(context, during, params, done.append)
    assert done[-1] == 4
    evaluate(context, dataclasses.replace(during, phase=AFTER), PARAMS_ID, params)
    assert means == {
        "zoo": read_json(tmp_path / "eval" / "toy_kind.json")["after"]["mean"]
    }


def test_scores_and_means_are_grouped_by_the_view_of_the_data(
    tmp_path, data, params, make_context, monkeypatch
):
    view = ClusterView("toy", {"animals": ("toy_kind",), "language": ("toy_spell",)})
    monkeypatch.setitem(CLUSTER_VIEWS, "toy", view)
    config = dataclasses.replace(data.config, clusters="toy", held_out="animals")
    data = dataclasses.replace(data, config=config)
    context = make_context(tmp_path, every=5, during_examples=1)
    during = job_during_training(data, context.config)
    assert list(cluster_means(context, during, params)) == ["animals"]

    (after,) = jobs_after_training(data, context.config)
    evaluate(context, after, PARAMS_ID, params)
    kind, spell = (read_json(tmp_path / "eval" / f"{name}.json") for name in ROWS)
    assert (kind["cluster"], spell["cluster"]) == ("animals", "language")


USERS_MODULE = """
import dataclasses

from toy_tasks import HERD

from flan_jax.tasks import register, register_metric
from flan_jax.tasks.metrics import accuracy, group_exact_match, split_groups


def squared_accuracy(targets, predictions):
    squares = []
    for group in split_groups(targets, predictions).values():
        squares.append((accuracy(*group)["accuracy"] / 100) ** 2)
    return {"squared_accuracy": 100 * sum(squares) / len(squares)}


register_metric(squared_accuracy, mean_of_groups=True)
metrics = (squared_accuracy, accuracy, group_exact_match)
TASK = register(dataclasses.replace(HERD, name="my_herd", metrics=metrics))
"""


@pytest.fixture
def users_task(tmp_path, monkeypatch):
    """A task with groups and a metric of groups from a module outside of the project."""
    (tmp_path / "my_herd_task.py").write_text(USERS_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    task = importlib.import_module("my_herd_task").TASK
    yield task
    del sys.modules["my_herd_task"], TASKS["my_herd"], METRICS["squared_accuracy"]


def test_a_users_task_with_groups_is_scored_and_resumed(
    tmp_path, users_task, tokenizer, params, make_context
):
    (store,) = prepare(
        [Request(users_task, "test", "eval")],
        RowTokenizer(tokenizer),
        tmp_path / "cache",
        workers=0,
        progress=False,
    ).values()
    # The last of the groups of 1, 3, 2, 3, 2, 3 and 3 examples is cut, in both templates.
    job = EvalJob(
        phase=AFTER,
        prompts=Prompts(),
        stores={("my_herd", "test"): store},
        limits={("my_herd", "test"): 2 * 16},
        held_out=("my_herd",),
        cluster_of={"my_herd": "zoo"},
    )
    folders = {}
    for name, lives in (("whole", 10**9), ("killed", 2)):
        folders[name] = tmp_path / name
        context = make_context(folders[name])
        MortalScorer.lives = lives
        if name == "killed":
            with pytest.raises(Killed):
                evaluate(context, job, PARAMS_ID, params)
            MortalScorer.lives = 10**9
        evaluate(context, job, PARAMS_ID, params)
    for file in ("eval/my_herd.json", "predictions/my_herd-after.jsonl"):
        whole, killed = (folder / file for folder in folders.values())
        assert whole.read_bytes() == killed.read_bytes()

    rows = list(read_jsonl(folders["killed"] / "predictions" / "my_herd-after.jsonl"))
    predictions = [Prediction.from_json(row) for row in rows]
    assert [(row["group"], row["group_rows"]) for row in rows[:3]] == [
        ("666", 1),
        ("666", 1),
        ("667", 3),
    ]
    scores = read_json(folders["killed"] / "eval" / "my_herd.json")["after"]
    assert (scores["metric"], scores["groups"]) == ("squared_accuracy", 6)
    assert (scores["partial_groups"], scores["examples"]) == (1, 16)
    assert np.shape(scores["values"]) == (2, 6)
    for entry in scores["templates"]:
        in_template = [row for row in predictions if row.template == entry["template"]]
        shares = []
        for group in ("666", "667", "668", "669", "670", "671"):
            right = [p.chosen in p.right for p in in_template if p.group == group]
            shares.append(np.mean(right))
        assert entry["test"]["squared_accuracy"] == pytest.approx(
            100 * np.mean(np.square(shares))
        )
        assert entry["test"]["group_exact_match"] == pytest.approx(
            100 * np.mean([share == 1 for share in shares])
        )
