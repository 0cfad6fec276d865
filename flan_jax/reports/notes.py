"""Sentences that the reports of runs and sweeps share."""

from collections.abc import Callable, Iterable, Mapping

from flan_jax.run_records import PromptScores, TaskScores

MIN_PERCENT = 0.5
"""Tasks with a smaller percentage of such prompts are not named."""


def truncated_prompts(tasks: Iterable[TaskScores]) -> str | None:
    """Returns a sentence that names the tasks whose prompts the model did not see whole.

    Each is named with its percentage of truncated prompts, the largest over phases.

    Args:
      tasks: the scores of tasks, from one run or several.

    Returns:
      The sentence; None if there is no such task.
    """
    named = _tasks_with_percentages(tasks, lambda scores: scores.truncated)
    if not named:
        return None
    return f"Truncated prompts (longer than LENGTHS): {named}."


def tied_prompts(tasks: Iterable[TaskScores]) -> str | None:
    """Returns a sentence that names the tasks with prompts whose best options are equally good.

    Each is named with its percentage of such prompts, the largest over phases.

    Args:
      tasks: the scores of tasks, from one run or several.

    Returns:
      The sentence; None if there is no such task.
    """
    named = _tasks_with_percentages(tasks, lambda scores: scores.ties)
    if not named:
        return None
    return f"Ties (n options have the highest score; each counts 1/n): {named}."


def partial_groups(tasks: Iterable[TaskScores]) -> str | None:
    """Returns a sentence that names the tasks some of whose groups a cap on examples cuts.

    Each is named with the number of groups that are cut, the largest over phases.

    Args:
      tasks: the scores of tasks, from one run or several.

    Returns:
      The sentence; None if there is no such task.
    """
    cut: dict[str, tuple[int, int]] = {}
    for task in tasks:
        for scores in task.scores.values():
            if scores.partial_groups:
                groups = (scores.groups or 0) + scores.partial_groups
                entry = (scores.partial_groups, groups)
                cut[task.task] = max(entry, cut.get(task.task, entry))
    if not cut:
        return None
    named = [
        f"{task} {part} of {groups}" for task, (part, groups) in sorted(cut.items())
    ]
    return (
        "Groups that a cap on examples cuts (metrics of groups leave them out): "
        f"{', '.join(named)}."
    )


def _tasks_with_percentages(
    tasks: Iterable[TaskScores], percentage: Callable[[PromptScores], float | None]
) -> str:
    """Returns "rte 12 %, wnli 3 %": the largest percentage of each task over phases."""
    percentages: dict[str, float] = {}
    for task in tasks:
        for scores in task.scores.values():
            largest = max(percentage(scores) or 0.0, percentages.get(task.task, 0.0))
            percentages[task.task] = largest
    named = [
        f"{task} {largest:.0f} %"
        for task, largest in sorted(percentages.items())
        if largest >= MIN_PERCENT
    ]
    return ", ".join(named)


def tasks_without_scores(reasons: Mapping[str, str]) -> str | None:
    """Returns a sentence that names the tasks that could not be evaluated.

    Args:
      reasons: why, by task.

    Returns:
      The sentence; None if there is no such task.
    """
    if not reasons:
        return None
    named = [f"{task} ({reason})" for task, reason in sorted(reasons.items())]
    return f"Tasks without scores: {'; '.join(named)}."
