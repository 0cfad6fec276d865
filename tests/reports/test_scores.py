import math

import numpy as np
import pytest
from run_directory import scores, task

from flan_jax.bootstrap import Interval, bootstrap
from flan_jax.reports.scores import (
    Score,
    format_interval,
    format_metrics,
    format_p_value,
    mean_row,
    paired_p_value,
    reported_interval,
    task_row,
)
from flan_jax.run_records import AFTER, BEFORE, Phase, TaskScores


def row(*seeds):
    return task_row([TaskScores.from_json(seed) for seed in seeds])


def with_values(values):
    values = np.array(values, float)
    content = scores(*values.mean(axis=1).tolist())
    return content | {"values": values.tolist()}


def test_a_task_of_one_run_has_the_interval_that_the_run_reports():
    rte = row(task("rte", after=scores(60.0, 70.0, interval=(55.0, 75.0))))
    assert rte.after.mean == 65.0
    assert (rte.after.interval.low, rte.after.interval.high) == (55.0, 75.0)
    mean = mean_row("mean of 1 task", [rte], [BEFORE, AFTER])
    assert mean.after.interval == rte.after.interval
    assert (mean.after.parts, rte.after.parts) == ([65.0], [60.0, 70.0])


def test_several_seeds_widen_the_reported_interval():
    seeds = [scores(60.0, interval=(55.0, 65.0)), scores(70.0, interval=(65.0, 75.0))]
    records = [
        TaskScores.from_json(task("rte", after=seed)).scores[AFTER] for seed in seeds
    ]
    interval = reported_interval(records)
    error = 10 / 3.92
    expected = math.sqrt(error**2 + 50 / 2)  # var([60, 70], ddof=1) = 50
    assert interval.mean == 65.0
    assert interval.standard_error == pytest.approx(expected)
    assert interval.high - interval.mean == pytest.approx(1.96 * expected)
    records[1] = TaskScores.from_json(task("rte", after=scores(70.0))).scores[AFTER]
    assert reported_interval(records) is None


def test_the_values_of_seeds_are_stacked():
    first, second = [[0, 100, 100], [0, 0, 100]], [[100, 100, 100], [0, 100, 100]]
    rte = row(
        task("rte", after=with_values(first)), task("rte", after=with_values(second))
    )
    (values,) = rte.after.values
    assert values.tolist() == [first, second]
    assert rte.after.interval == bootstrap(values)
    assert rte.after.parts == pytest.approx([250 / 3, 50])


def test_medians_and_best_templates_are_means_over_seeds():
    one = scores(60.0, 70.0, 90.0) | {"median": 71.0, "quartiles": [61.0, 81.0]}
    rte = row(task("rte", after=one))
    assert (rte.after.median, rte.after.quartiles, rte.after.best) == (
        71.0,
        (61.0, 81.0),
        60.0,
    )
    both = row(task("rte", after=one), task("rte", after=scores(62.0, 72.0, 92.0)))
    assert (both.after.median, both.after.quartiles) == (71.0, (66.0, 81.0))
    assert both.after.best == 61.0


def test_phases_that_a_seed_lacks_are_left_out():
    first = task(
        "rte", before=scores(50.0), after=scores(60.0), after_none=scores(55.0)
    )
    second = task("rte", before=scores(50.0), after=scores(70.0))
    assert list(row(first).scores) == [BEFORE, AFTER, Phase("after", "none")]
    assert list(row(first, second).scores) == [BEFORE, AFTER]
    assert row(task("rte")).scores == {}


def test_a_mean_has_only_what_all_its_tasks_have():
    rte = row(task("rte", before=scores(40.0), after=scores(60.0)))
    cb = row(task("cb", after=scores(20.0, chance=None)))
    mean = mean_row("nli", [rte, cb], [BEFORE, AFTER, Phase("after", "none")])
    assert (mean.before.mean, mean.after.mean) == (40.0, 40.0)
    assert mean.chance is None and list(mean.scores) == [BEFORE, AFTER]


@pytest.mark.parametrize(
    "after, is_at_chance",
    [
        (scores(50.0), True),
        (scores(50.5), False),
        (scores(60.0, interval=(49.0, 71.0)), True),
        (scores(60.0, interval=(51.0, 69.0)), False),
        (scores(10.0, chance=None), False),
        (None, False),
    ],
)
def test_at_chance(after, is_at_chance):
    assert (
        row(task("rte", before=scores(1.0), after=after)).is_at_chance == is_at_chance
    )


def test_the_paired_test_needs_values_of_the_same_prompts():
    rng = np.random.default_rng(0)
    first = 100.0 * (rng.random((1, 3, 40)) < 0.4)
    second = 100.0 * (rng.random((1, 3, 40)) < 0.9)
    assert paired_p_value([(first, second)]) < 0.001
    assert paired_p_value([(first, first)]) == 1

    whole_set = Interval(50.0, 2.0, 46.0, 54.0)
    assert paired_p_value([(first, second), (whole_set, whole_set)]) is None
    assert paired_p_value([(first, second[:, :2])]) is None
    assert paired_p_value([(first[..., :1], second[..., :1])]) is None
    missing = second.copy()
    missing[0, 0, 0] = np.nan
    assert paired_p_value([(first, missing)]) is None


def test_tasks_weigh_alike_in_the_paired_test_whatever_their_number_of_examples():
    large, small = np.zeros((1, 1, 400)), np.zeros((1, 1, 4))
    better_on_small = (small, small + 100)
    worse_on_large = (large + 20, large)
    p_value = paired_p_value([better_on_small, worse_on_large])
    assert p_value > paired_p_value([worse_on_large])
    assert p_value == pytest.approx(
        1 / 8, abs=0.02
    )  # the signs of four examples decide


def test_texts():
    assert format_interval(Interval(65.04, 1.0, 60.0, 70.25)) == "65.0 [60.0, 70.2]"
    assert format_interval(Interval(65.04, math.nan, math.nan, math.nan)) == "65.0"
    assert [format_p_value(p) for p in (None, 0.0004, 0.0416)] == [
        None,
        "< 0.001",
        "0.042",
    ]


def test_other_metrics_as_text():
    score = Score([], other_metrics={"yes_f1": 61.24, "group_exact_match": 20.0})
    assert format_metrics(score) == "yes_f1 61.2, group_exact_match 20.0"
    assert format_metrics(Score([])) == format_metrics(None) == ""
