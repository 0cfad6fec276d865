import pytest
from run_directory import scores, task

from flan_jax.reports.notes import (
    partial_groups,
    tasks_without_scores,
    tied_prompts,
    truncated_prompts,
)
from flan_jax.run_records import TaskScores


def task_scores(name, **truncated):
    """Returns the record of a task from the percentage of truncated prompts in each phase."""
    phases = {}
    for phase, percentage in truncated.items():
        phases[phase] = scores(50.0) | {"truncated": percentage}
    return TaskScores.from_json(task(name, **phases))


def test_tasks_with_truncated_prompts_are_named_in_order():
    tasks = [task_scores("sst2", after=40.6), task_scores("cb", after=3.0)]
    assert truncated_prompts(tasks) == (
        "Truncated prompts (longer than LENGTHS): cb 3 %, sst2 41 %."
    )


def test_the_largest_percentage_over_phases_and_runs_counts():
    tasks = [
        task_scores("cb", before=7.0, after=20.0, after_none=1.0),
        task_scores("cb", after=12.0),
    ]
    assert truncated_prompts(tasks) == (
        "Truncated prompts (longer than LENGTHS): cb 20 %."
    )


@pytest.mark.parametrize("percentage, is_named", [(0.49, False), (0.5, True)])
def test_tasks_below_half_a_percent_are_not_named(percentage, is_named):
    sentence = truncated_prompts([task_scores("cb", after=percentage)])
    assert (sentence is not None) == is_named


def test_no_sentence_without_tasks_or_without_percentages():
    assert truncated_prompts([]) is None
    assert truncated_prompts([task_scores("cb")]) is None
    assert truncated_prompts([task_scores("cb", after=None)]) is None


def test_tasks_with_ties_are_named():
    """An old record has no percentage of ties."""
    with_ties = TaskScores.from_json(task("cb", after=scores(50.0) | {"ties": 12.0}))
    tasks = [with_ties, task_scores("sst2", after=0.0)]
    assert tied_prompts(tasks) == (
        "Ties (n options have the highest score; each counts 1/n): cb 12 %."
    )
    assert tied_prompts([task_scores("sst2", after=0.0)]) is None


def test_tasks_with_groups_that_a_cap_cuts_are_named():
    """The most over phases; records without groups, and of whole groups alone, are not named."""

    def of_groups(groups, partial):
        return scores(50.0) | {"groups": groups, "partial_groups": partial}

    cut = task("multirc", before=of_groups(12, 1), after=of_groups(0, 2))
    whole = task("herd", after=of_groups(50, 0))
    plain = task("cb", after=scores(50.0))
    tasks = [TaskScores.from_json(record) for record in (whole, cut, plain)]
    assert partial_groups(tasks) == (
        "Groups that a cap on examples cuts (metrics of groups leave them out): "
        "multirc 2 of 2."
    )
    assert partial_groups([tasks[0], tasks[2]]) is None


def test_tasks_without_scores_are_named_with_the_reason():
    reasons = {"wnli": "no test split", "cb": "no options"}
    assert tasks_without_scores(reasons) == (
        "Tasks without scores: cb (no options); wnli (no test split)."
    )
    assert tasks_without_scores({}) is None
