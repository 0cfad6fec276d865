"""Predictions -> the scores of a task: what eval/<task>.json holds under each evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flan_jax.data.tasks import TemplatedTask, get_task


def summarise(task: TemplatedTask, predictions: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The scores of one task from its predictions by split, in percent where the metric is.

    {"metric": the headline metric's name, "mean": its mean over the templates on `test`, "best_dev_template": that of the
    template that is best on `validation` (None without one), "chance": the expected score of a blind guess (None for generation),
    "examples": how many, "templates": [{"template": index, "test": {...}, "validation": {...}}, ...]}
    """
    templates: list[dict[str, Any]] = [
        {"template": index}
        | {
            split: _score(task, [row for row in rows if row["template"] == index])
            for split, rows in predictions.items()
        }
        for index in sorted({row["template"] for row in predictions["test"]})
    ]
    metric = next(iter(templates[0]["test"]))
    scores = [template["test"][metric] for template in templates]
    best = None
    if "validation" in predictions:
        best = max(templates, key=lambda template: template["validation"][metric])
    test = predictions["test"]
    return {
        "metric": metric,
        "mean": float(np.mean(scores)),
        "best_dev_template": best and {"template": best["template"], "score": best["test"][metric]},
        "chance": float(np.mean([100 / len(row["options"]) for row in test])) if task.options is not None else None,
        "examples": len({row["example"] for row in test}),
        "templates": templates,
    }


def _score(task: TemplatedTask, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    if isinstance(task.options, tuple):  # the same for every row: metrics may speak of these classes
        targets, texts = [task.options[row["answer"]] for row in rows], [task.options[row["chosen"]] for row in rows]
    elif task.options is not None:
        # By index: an option's text may come back from its tokens with other spaces.
        targets = [[str(i) for i in row["right"]] for row in rows]
        texts = [str(row["chosen"]) for row in rows]
    else:
        targets, texts = [row["references"] for row in rows], [row["prediction"] for row in rows]
    return {name: float(value) for metric in task.metrics for name, value in metric(targets, texts).items()}


def summaries(predictions: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """{task: summarise(...)} of the predictions of all tasks by (task, split)."""
    names = dict.fromkeys(name for name, _ in predictions)
    return {
        name: summarise(get_task(name), {split: rows for (owner, split), rows in predictions.items() if owner == name})
        for name in names
    }
