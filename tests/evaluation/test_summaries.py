import dataclasses
import json

import numpy as np
import pytest
from toy_tasks import HERD, KIND, SPELL

from flan_jax.bootstrap import bootstrap
from flan_jax.errors import InputError
from flan_jax.evaluation.summaries import summarize_predictions, summarize_task
from flan_jax.run_records import Prediction, TemplateScore
from flan_jax.tasks import metrics
from flan_jax.tasks.metrics import (
    accuracy,
    bleu,
    edit_similarity,
    group_exact_match,
    matthews,
    split_groups,
    yes_f1,
)
from flan_jax.tasks.task import TASKS

CHOOSE = dataclasses.replace(KIND, options="choices")


def ranked(example, template, right, chosen, options=2):
    """A prediction of rank classification; `right`: an index or several."""
    right = right if isinstance(right, list) else [right]
    return Prediction(
        example=example,
        template=template,
        answer=right[0],
        right=right,
        inputs="",
        references=[],
        prediction="x",
        chosen=chosen,
        options=["x"] * options,
    )


def scored(example, right, scores):
    """A prediction of rank classification with the scores of its options, under template 0."""
    chosen = int(np.argmax(scores))
    prediction = ranked(example, 0, right, chosen, options=len(scores))
    return dataclasses.replace(prediction, scores=scores)


def generated(example, template, references, prediction):
    """A generated text."""
    return Prediction(
        example=example,
        template=template,
        answer=-1,
        right=[],
        inputs="",
        references=references,
        prediction=prediction,
    )


def test_the_scores_of_a_ranked_task():
    """Template 0 is right once in four on test, template 1 three times.

    Validation prefers template 0.
    """
    test = [ranked(i, 0, i, chosen) for i, chosen in enumerate([0, 9, 9, 9])]
    test += [ranked(i, 1, i, chosen) for i, chosen in enumerate([0, 1, 2, 9])]
    validation = [
        ranked(0, 0, 1, 1),
        ranked(1, 0, 0, 0),
        ranked(0, 1, 1, 1),
        ranked(1, 1, 0, 1),
    ]
    summary = summarize_task(CHOOSE, {"validation": validation, "test": test}).to_json()
    values = [[100.0, 0.0, 0.0, 0.0], [100.0, 100.0, 100.0, 0.0]]
    interval = bootstrap(values)
    assert json.loads(json.dumps(summary)) == {
        "metric": "accuracy",
        "mean": 50.0,
        "median": 50.0,
        "quartiles": [37.5, 62.5],
        "best_dev_template": {"template": 0, "score": 25.0},
        "interval": [interval.low, interval.high],
        "standard_error": interval.standard_error,
        "chance": 50.0,
        "majority": 25.0,  # each position is right once in four
        "examples": 4,
        "groups": None,
        "partial_groups": None,
        "truncated": 0.0,
        "ties": 0.0,
        "values": values,
        "templates": [
            {
                "template": 0,
                "validation": {"accuracy": 100.0},
                "test": {"accuracy": 25.0},
            },
            {
                "template": 1,
                "validation": {"accuracy": 50.0},
                "test": {"accuracy": 75.0},
            },
        ],
    }


def test_without_validation_there_is_no_best_template_and_chance_is_one_in_the_options():
    rows = [
        ranked(i, t, 0, 0, options) for t in (0, 1) for i, options in enumerate((2, 4))
    ]
    summary = summarize_task(CHOOSE, {"test": rows})
    assert summary.best_dev_template is None
    assert summary.chance == (50 + 25) / 2
    assert summary.majority == 100.0


def test_a_generated_answer_is_right_when_it_is_one_of_the_references():
    references = ["c a t", "c-a-t"]
    rows = [
        generated(0, 0, references, "c-a-t"),
        generated(1, 0, references, "dog"),
        generated(0, 1, references, "c a t"),
        generated(1, 1, references, "c-a-t"),
    ]
    summary = summarize_task(SPELL, {"test": rows})
    assert (summary.metric, summary.mean, summary.examples) == ("accuracy", 75.0, 2)
    assert (summary.chance, summary.majority) == (None, None)
    assert summary.values == [[100.0, 0.0], [100.0, 100.0]]


def test_metrics_of_fixed_options_see_the_options_themselves():
    task = dataclasses.replace(KIND, metrics=(accuracy, yes_f1))
    rows = [
        ranked(i, 0, *pair)
        for i, pair in enumerate([(1, 1), (0, 1), (0, 0), (1, 0), (1, 1)])
    ]
    summary = summarize_task(task, {"test": rows})
    metrics_on_test = summary.templates[0].splits["test"]
    assert metrics_on_test == pytest.approx({"accuracy": 60.0, "yes_f1": 100 * 4 / 6})
    assert summary.values == [[100.0, 0.0, 100.0, 0.0, 100.0]]


def test_each_of_several_right_options_counts():
    rows = [ranked(chosen, 0, [0, 2], chosen, options=3) for chosen in (0, 1, 2)]
    summary = summarize_task(CHOOSE, {"test": rows})
    assert summary.mean == pytest.approx(200 / 3)
    assert summary.majority == 100.0


@pytest.mark.parametrize("right", [0, 1, 2, 3])
def test_equal_scores_of_all_options_are_worth_what_chance_is(right):
    rows = [scored(i, right, [-1.5, -1.5, -1.5, -1.5]) for i in range(3)]
    summary = summarize_task(CHOOSE, {"test": rows})
    assert (summary.mean, summary.chance, summary.ties) == (25.0, 25.0, 100.0)
    assert summary.values == [[25.0, 25.0, 25.0]]
    assert summary.majority == 100.0


def test_each_of_n_equally_good_options_counts_one_nth():
    rows = [
        scored(0, 0, [-1.0, -1.0, -2.0]),  # one of two
        scored(1, 2, [-1.0, -1.0, -2.0]),  # neither
        scored(2, [0, 1], [-1.0, -1.0, -2.0]),  # both are right
        scored(3, 1, [-3.0, -1.0, -2.0]),  # no tie
    ]
    summary = summarize_task(CHOOSE, {"test": rows})
    assert summary.values == [[50.0, 0.0, 100.0, 100.0]]
    assert (summary.mean, summary.ties) == (62.5, 75.0)


def test_a_metric_of_a_whole_set_sees_ties_drawn_evenly():
    task = dataclasses.replace(KIND, metrics=(yes_f1,))
    rows = [scored(i, 1, [0.0, 0.0]) for i in range(400)]
    summary = summarize_task(task, {"test": rows})
    # "yes", the second option, is drawn in about half of the rows: the F1 is 2 x 0.5 / 1.5.
    assert summary.mean == pytest.approx(200 / 3, abs=5)
    assert summary.ties == 100.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_rank_nothing(value):
    rows = [scored(0, 0, [0.0, 1.0]), scored(7, 0, [value, -1.0])]
    with pytest.raises(InputError, match="example 7, template 0: the scores .* ranked"):
        summarize_task(CHOOSE, {"test": rows})


@pytest.mark.parametrize(("task", "wanted"), [(KIND, 60.0), (CHOOSE, 60.0)])
def test_the_majority_is_of_the_right_answers_on_test_whatever_was_chosen(task, wanted):
    """Validation, where class 0 is most often right, does not count; nor do the model's choices."""
    test = [
        ranked(i, t, right, 0)
        for t in (0, 1)
        for i, right in enumerate([1, 1, 1, 0, 0])
    ]
    validation = [ranked(i, t, 0, 0) for t in (0, 1) for i in range(9)]
    assert (
        summarize_task(task, {"validation": validation, "test": test}).majority
        == wanted
    )


def test_the_majority_is_scored_by_the_headline_metric():
    rows = [ranked(i, 0, right, right) for i, right in enumerate([1, 1, 1, 0])]
    always_yes = {}
    for metric in (yes_f1, matthews):
        task = dataclasses.replace(KIND, metrics=(metric,))
        always_yes[metric] = summarize_task(task, {"test": rows}).majority
    assert always_yes[yes_f1] == pytest.approx(200 * 3 / 7)
    assert always_yes[matthews] == 0.0


def test_a_metric_of_a_whole_set_has_an_interval_but_no_values():
    """Of 40 examples two templates get 30 and 20 right.

    The interval is about the mean of the two BLEUs, and never 0 wide.
    """
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    reference = [" ".join(words[i % 3 :]) for i in range(40)]
    rows = [
        generated(
            i,
            t,
            [reference[i]],
            reference[i] if i < right else "one three five seven nine",
        )
        for t, right in enumerate((30, 20))
        for i in range(40)
    ]
    task = dataclasses.replace(SPELL, metrics=(bleu, edit_similarity))
    summary = summarize_task(task, {"test": rows})
    low, high = summary.interval
    assert (summary.metric, summary.values) == ("bleu", None)
    assert summary.mean == np.mean(
        [entry.splits["test"]["bleu"] for entry in summary.templates]
    )
    assert low + 5 < summary.mean < high - 5
    # The same of one template: its examples alone are resampled, so that the interval is narrower.
    alone = summarize_task(
        dataclasses.replace(SPELL, metrics=(bleu,)), {"test": rows[:40]}
    )
    assert 0 < alone.standard_error < summary.standard_error


def test_the_interval_of_a_correlation_is_that_of_its_resamples():
    rows = [ranked(i, 0, i % 2, i % 2 if i % 5 else 0) for i in range(50)]
    summary = summarize_task(
        dataclasses.replace(KIND, metrics=(matthews,)), {"test": rows}
    )
    phi = summary.mean / 100
    # The large-sample standard error of a correlation is about right for phi, too.
    expected = 100 * (1 - phi**2) / np.sqrt(50)
    assert summary.standard_error == pytest.approx(expected, rel=0.5)
    assert summary.values is None


def length(targets, predictions):
    """Somebody's metric of a whole set."""
    return {"length": float(np.mean([len(text) for text in predictions]))}


def test_the_interval_of_an_unknown_metric_is_over_templates_alone():
    task = dataclasses.replace(SPELL, metrics=(length,))
    rows = [
        generated(i, t, ["x"], "x" * (t + 1 + 4 * (i == 0)))
        for t in range(3)
        for i in range(10)
    ]
    summary = summarize_task(task, {"test": rows})
    means = [entry.splits["test"]["length"] for entry in summary.templates]
    expected = bootstrap([[mean] for mean in means])
    assert summary.interval == (expected.low, expected.high)
    single = summarize_task(task, {"test": rows[:10]})
    assert (single.mean, single.interval, single.standard_error) == (1.4, None, None)


def test_an_example_that_some_templates_were_not_asked_is_absent_there():
    rows = [ranked(0, 0, 1, 1), ranked(0, 1, 1, 0), ranked(7, 0, 1, 1)]
    summary = summarize_task(KIND, {"test": rows})
    assert summary.values == [[100.0, 100.0], [0.0, None]]
    assert (summary.mean, summary.examples) == (50.0, 2)


def test_values_are_kept_of_held_out_tasks(monkeypatch):
    for task in (KIND, SPELL):
        monkeypatch.setitem(TASKS, task.name, task)
    predictions = {
        ("toy_kind", "validation"): [ranked(0, 0, 1, 0)],
        ("toy_kind", "test"): [ranked(0, 0, 1, 1), ranked(1, 0, 1, 0)],
        ("toy_spell", "test"): [generated(0, 0, ["a"], "a")],
    }
    scores = summarize_predictions(predictions, held_out=("toy_kind",))
    assert list(scores) == ["toy_kind", "toy_spell"]
    assert scores["toy_kind"].values == [[100.0, 0.0]]
    assert scores["toy_spell"].values is None
    assert scores["toy_kind"].best_dev_template == TemplateScore(template=0, score=50.0)
    assert scores["toy_spell"].mean == 100.0


def test_a_user_metric_of_a_whole_set_has_an_interval_over_examples(monkeypatch):
    def share_of_yes(targets, predictions):
        return {"share_of_yes": 100.0 * predictions.count("yes") / len(predictions)}

    task = dataclasses.replace(KIND, metrics=(share_of_yes,))
    rows = [ranked(i, 0, 0, chosen) for i, chosen in enumerate([0, 1, 1, 0, 1, 1])]
    assert summarize_task(task, {"test": rows}).interval is None

    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))
    metrics.register_metric(share_of_yes, resample=metrics.recompute(share_of_yes))
    summary = summarize_task(task, {"test": rows})
    assert summary.mean == pytest.approx(100 * 4 / 6)
    low, high = summary.interval
    assert low < summary.mean < high
    assert summary.values is None


BY_HERD = dataclasses.replace(HERD, metrics=(group_exact_match, accuracy))
"""A task whose headline metric is one of groups."""


def in_groups(*groups, template=0):
    """Predictions of groups, each a list of (right, chosen) or of (right, scores)."""
    rows = []
    for name, group in enumerate(groups):
        for right, answer in group:
            example = len(rows)
            if isinstance(answer, list):
                row = scored(example, right, answer)
                row = dataclasses.replace(row, template=template)
            else:
                row = ranked(example, template, right, answer)
            rows.append(
                dataclasses.replace(row, group=f"herd {name}", group_rows=len(group))
            )
    return rows


def test_metrics_of_groups_beside_others():
    """Two of three groups are right in template 0, where 5 of 6 rows are, and none in 1."""
    rows = in_groups([(1, 1), (0, 0)], [(0, 0), (0, 1), (1, 1)], [(1, 1)])
    rows += in_groups([(1, 0), (0, 0)], [(0, 0), (0, 1), (1, 1)], [(1, 0)], template=1)
    summary = summarize_task(HERD, {"test": rows})
    assert [entry.splits["test"] for entry in summary.templates] == [
        {
            "accuracy": pytest.approx(500 / 6),
            "group_exact_match": pytest.approx(200 / 3),
        },
        {"accuracy": 50.0, "group_exact_match": 0.0},
    ]
    assert summary.further_metrics == {"group_exact_match": pytest.approx(100 / 3)}
    assert (summary.groups, summary.partial_groups, summary.examples) == (3, 0, 6)
    # What is scored beside a metric of groups is the same as without it.
    alone = summarize_task(
        dataclasses.replace(KIND, metrics=(accuracy,)), {"test": rows}
    )
    assert (summary.mean, summary.interval) == (alone.mean, alone.interval)
    assert summary.values == alone.values


def test_the_rows_of_a_group_may_lie_apart():
    rows = in_groups([(1, 1), (0, 0)], [(0, 0), (0, 1)], [(1, 1)])
    rows = [rows[i] for i in (2, 0, 4, 3, 1)]
    summary = summarize_task(BY_HERD, {"test": rows})
    assert summary.values == [[100.0, 0.0, 100.0]]


def test_the_interval_of_a_metric_of_groups_is_over_groups():
    """Twenty groups of ten rows: their mean is as uncertain as that of twenty rows."""
    groups = [[(0, 0)] * 9 + [(0, int(number % 2))] for number in range(20)]
    templates = [*in_groups(*groups), *in_groups(*groups, template=1)]
    summary = summarize_task(BY_HERD, {"test": templates})
    values = [[100.0, 0.0] * 10] * 2
    expected = bootstrap(values)
    assert summary.values == values
    assert (summary.mean, summary.metric) == (50.0, "group_exact_match")
    assert summary.interval == (expected.low, expected.high)
    assert summary.standard_error == expected.standard_error
    assert summary.standard_error == pytest.approx(100 * 0.5 / np.sqrt(20), rel=0.1)


def test_a_tied_group_counts_the_share_of_its_choices_that_are_right():
    """Each row counts 1/n as it does in accuracy, so that a group counts their product."""
    tie = [-1.0, -1.0]
    rows = in_groups(
        [(0, tie)],
        [(0, tie), (1, tie)],
        [(0, tie), (0, [-1.0, -2.0])],
        [(0, tie), (0, [-2.0, -1.0])],
        [([0, 1], tie), (0, tie)],
    )
    task = dataclasses.replace(BY_HERD, options="choices")
    summary = summarize_task(task, {"test": rows})
    assert summary.values == [[50.0, 25.0, 50.0, 0.0, 50.0]]
    (entry,) = summary.templates
    assert entry.splits["test"]["accuracy"] == pytest.approx(500 / 9)
    assert summary.ties == pytest.approx(100 * 7 / 9)


def test_many_tied_rows_of_a_group_are_drawn():
    """Of 2**7 choices 64 are drawn, the same ones each time; right are a share of 1/2."""

    def first_is_right(targets, predictions):
        share = float(targets[0]["value"] == predictions[0]["value"])
        return {"first_is_right": 100 * share}

    group = [(0, [0.0, 0.0])] * 7
    rows = in_groups(*[group] * 20)
    task = dataclasses.replace(HERD, metrics=(first_is_right,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "METRICS", dict(metrics.METRICS))
        metrics.register_metric(first_is_right, mean_of_groups=True)
        summary = summarize_task(task, {"test": rows})
        assert summary == summarize_task(task, {"test": rows})
    assert summary.mean == pytest.approx(50, abs=5)
    assert len(set(summary.values[0])) > 1


def test_chance_and_majority_of_a_metric_of_groups():
    """Groups of one and two rows of two options: a blind guess is right in 1/2 and 1/4."""
    rows = in_groups([(0, 1)], [(0, 1), (0, 1)], [(0, 0), (1, 1)])
    summary = summarize_task(BY_HERD, {"test": rows})
    assert summary.chance == pytest.approx(100 * (1 / 2 + 1 / 4 + 1 / 4) / 3)
    # Always "no" is right in the first two groups.
    assert summary.majority == pytest.approx(200 / 3)
    assert summary.mean == pytest.approx(100 / 3)


def test_a_group_that_a_cap_cuts_does_not_count():
    rows = in_groups([(1, 1), (0, 0)], [(0, 1)], [(1, 1), (0, 0), (1, 0)])[:-1]
    summary = summarize_task(HERD, {"test": rows})
    (entry,) = summary.templates
    assert entry.splits["test"] == {"accuracy": 80.0, "group_exact_match": 50.0}
    assert (summary.groups, summary.partial_groups, summary.examples) == (2, 1, 5)
    assert summarize_task(BY_HERD, {"test": rows}).values == [[100.0, 0.0]]


def test_without_whole_groups_their_metric_is_absent_or_refused():
    rows = in_groups([(1, 1), (0, 0)])[:1]
    summary = summarize_task(HERD, {"test": rows})
    assert summary.templates[0].splits == {"test": {"accuracy": 100.0}}
    assert (summary.groups, summary.partial_groups) == (0, 1)
    with pytest.raises(InputError, match="none of the 1 examples' groups is whole"):
        summarize_task(BY_HERD, {"test": rows})


def test_predictions_from_before_a_task_had_groups():
    rows = [ranked(3, 0, 1, 1)]
    with pytest.raises(InputError, match="example 3 names no group.* Evaluate again"):
        summarize_task(HERD, {"test": rows})


def test_groups_of_generated_answers():
    task = dataclasses.replace(SPELL, group="herd", metrics=(group_exact_match,))
    rows = [
        dataclasses.replace(
            generated(i, 0, ["a", "A"], text), group=str(i // 2), group_rows=2
        )
        for i, text in enumerate(["a", "A", "a", "b"])
    ]
    assert summarize_task(task, {"test": rows}).values == [[100.0, 0.0]]


def test_a_users_metric_of_groups(monkeypatch):
    def yes_f1_by_group(targets, predictions):
        groups = split_groups(targets, predictions).values()
        return {"f1m": float(np.mean([yes_f1(*group)["yes_f1"] for group in groups]))}

    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))
    metrics.register_metric(yes_f1_by_group, mean_of_groups=True)
    task = dataclasses.replace(HERD, metrics=(yes_f1_by_group, group_exact_match))
    rows = in_groups([(1, 1), (1, 0)], [(1, 1), (0, 1), (0, 0)])
    summary = summarize_task(task, {"test": rows})
    assert summary.values == [[pytest.approx(200 / 3, abs=1e-4)] * 2]
    assert summary.further_metrics == {"group_exact_match": 0.0}
