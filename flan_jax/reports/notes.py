"""Sentences that the reports of runs and sweeps share."""

from collections.abc import Iterable, Mapping

from flan_jax.run_records import TaskScores

MIN_TRUNCATED = 0.5
"""Tasks with a smaller percentage of truncated prompts are not named."""


def truncated_prompts(tasks: Iterable[TaskScores]) -> str | None:
    """Returns a sentence that names the tasks whose prompts the model did not see whole.

    Each is named with its percentage of truncated prompts, the largest over phases.

    Args:
      tasks: the scores of tasks, from one run or several.

    Returns:
      The sentence; None if there is no such task.
    """
    percentages: dict[str, float] = {}
    for task in tasks:
        for scores in task.scores.values():
            largest = max(scores.truncated or 0.0, percentages.get(task.task, 0.0))
            percentages[task.task] = largest
    named = [
        f"{task} {percentage:.0f} %"
        for task, percentage in sorted(percentages.items())
        if percentage >= MIN_TRUNCATED
    ]
    if not named:
        return None
    return f"Truncated prompts (longer than LENGTHS): {', '.join(named)}."


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
