"""Predictions -> the scores of a task: what eval/<task>.json holds under each evaluation."""

import collections
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flan_jax.bootstrap import Interval, bootstrap, bootstrap_metric
from flan_jax.tasks.metrics import find_metric
from flan_jax.tasks.task import TemplatedTask, get_task

Row = Mapping[str, Any]
"""A prediction, as flan_jax.evaluation.predictions.predict makes them."""


def summaries(
    predictions: Mapping[tuple[str, str], Sequence[Row]], held_out: Container[str]
) -> dict[str, dict[str, Any]]:
    """{task: summarise(...)} of the predictions of all tasks by (task, split); "values" only of the `held_out` ones."""
    found = {}
    for name in dict.fromkeys(name for name, _ in predictions):
        by_split = {split: rows for (owner, split), rows in predictions.items() if owner == name}
        found[name] = summarise(get_task(name), by_split) | (
            {} if name in held_out else {"values": None}
        )
    return found


def summarise(task: TemplatedTask, predictions: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """The scores of one task from its predictions by split, in percent where the metric is.

    metric: the headline metric's name, the first of the task's. mean, median, quartiles: of its scores on `test` over the
    templates; T0 reports the last two (Sanh et al. 2022). best_dev_template: {"template", "score" on `test`} of the
    template that is best on `validation`, the first of equals; None without one.

    interval, standard_error: of the mean, over other templates and examples (flan_jax.bootstrap.bootstrap). A metric of a whole set
    is computed anew on resampled examples if it is registered with a resample function; that of another is over templates alone. None of a single value.

    chance: the expected score of a blind guess in percent. majority: the headline score of always giving the answer that is most
    often right on `test`, the same option or, where options differ by example, the same position. Both are None for generation.

    examples: how many on `test`. truncated: percent of its prompts that were longer than the model saw. values: [templates][examples] the headline metric on each of them, None where it is of a whole set.
    templates: [{"template": index, "test": {metric: score}, "validation": {...}}, ...]
    """
    scored = {split: _by_template(task, rows) for split, rows in predictions.items()}
    test, validation, rows = scored["test"], scored.get("validation"), predictions["test"]
    best = max(test, key=lambda index: validation[index].headline) if validation else None
    ranked = task.options is not None
    return _spread(task, list(test.values())) | {
        "best_dev_template": None
        if best is None
        else {"template": best, "score": test[best].headline},
        "chance": float(np.mean([100 * len(row["right"]) / len(row["options"]) for row in rows]))
        if ranked
        else None,
        "majority": _majority(task, next(iter(test.values())).rows) if ranked else None,
        "examples": len({row["example"] for row in rows}),
        "truncated": 100 * sum(row.get("truncated", False) for row in rows) / len(rows),
        "templates": [
            {"template": index} | {split: found[index].metrics for split, found in scored.items()}
            for index in test
        ],
    }


class _Scored(NamedTuple):
    """One template on one split: its rows, all metrics, and the headline metric's value of each row (None: of the set)."""

    rows: Sequence[Row]
    metrics: dict[str, float]
    values: list[float] | None

    @property
    def headline(self) -> float:
        return next(iter(self.metrics.values()))


def _by_template(task: TemplatedTask, rows: Sequence[Row]) -> dict[int, _Scored]:
    found = {
        index: [row for row in rows if row["template"] == index]
        for index in sorted({r["template"] for r in rows})
    }
    return {index: _score(task, own) for index, own in found.items()}


def _score(task: TemplatedTask, rows: Sequence[Row]) -> _Scored:
    targets, texts = _answers(task, rows)
    metrics, headline = {}, None
    for metric in task.metrics:
        if not find_metric(metric).mean_of_examples:
            metrics |= {name: float(value) for name, value in metric(targets, texts).items()}
            continue
        each = [metric([target], [text]) for target, text in zip(targets, texts, strict=True)]
        headline = [next(iter(scores.values())) for scores in each] if not metrics else headline
        metrics |= {name: float(np.mean([scores[name] for scores in each])) for name in each[0]}
    return _Scored(rows, metrics, headline)


def _answers(task: TemplatedTask, rows: Sequence[Row]) -> tuple[list[Any], list[str]]:
    """(targets, predictions) as the metrics want them."""
    if isinstance(
        task.options, tuple
    ):  # the same for every row: metrics may speak of these classes
        return [task.options[row["answer"]] for row in rows], [
            task.options[row["chosen"]] for row in rows
        ]
    if task.options is not None:
        # By index: an option's text may come back from its tokens with other spaces.
        return [[str(i) for i in row["right"]] for row in rows], [
            str(row["chosen"]) for row in rows
        ]
    return [row["references"] for row in rows], [row["prediction"] for row in rows]


def _spread(task: TemplatedTask, templates: Sequence[_Scored]) -> dict[str, Any]:
    """The headline metric over the templates, and over other draws of templates and examples."""
    values = _values(templates)
    interval = _interval_of_sets(task, templates) if values is None else bootstrap(values)
    low, median, high = np.percentile(
        [template.headline for template in templates], [25, 50, 75]
    ).tolist()
    several = not np.isnan(interval.standard_error)
    return {
        "metric": next(iter(templates[0].metrics)),
        "mean": interval.mean,
        "median": median,
        "quartiles": [low, high],
        "interval": [interval.low, interval.high] if several else None,
        "standard_error": interval.standard_error if several else None,
        "values": values if values is None else _json(values),
    }


def _json(values: np.ndarray) -> list[list[float | None]]:
    return [
        [None if np.isnan(value) else round(value, 4) for value in line] for line in values.tolist()
    ]


def _values(templates: Sequence[_Scored]) -> np.ndarray | None:
    """[templates, examples], NaN where a template was not asked of an example; None where the metric is of a whole set."""
    columns = {
        example: i
        for i, example in enumerate(sorted({row["example"] for t in templates for row in t.rows}))
    }
    values = np.full((len(templates), len(columns)), np.nan)
    for line, template in zip(values, templates, strict=True):
        if template.values is None:
            return None
        line[[columns[row["example"]] for row in template.rows]] = template.values
    return values


def _interval_of_sets(task: TemplatedTask, templates: Sequence[_Scored]) -> Interval:
    resample = find_metric(task.metrics[0]).resample
    examples = [row["example"] for row in templates[0].rows]
    if resample is None or any([row["example"] for row in t.rows] != examples for t in templates):
        return bootstrap([[template.headline] for template in templates])
    values = [resample(*_answers(task, template.rows)) for template in templates]

    def score(template: int, indices: np.ndarray) -> float:
        return values[template](indices)

    return bootstrap_metric(score, len(templates), len(examples))


def _majority(task: TemplatedTask, rows: Sequence[Row]) -> float:
    ((most, _),) = collections.Counter(index for row in rows for index in row["right"]).most_common(
        1
    )
    return _score(task, [{**row, "chosen": most} for row in rows]).headline
