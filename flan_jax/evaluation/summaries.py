"""Scores of tasks from predictions."""

import collections
import dataclasses
import itertools
import math
import random
import zlib
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flan_jax.bootstrap import Interval, bootstrap, bootstrap_metric
from flan_jax.errors import InputError
from flan_jax.evaluation.predictions import SCORINGS, ranked_by
from flan_jax.run_records import (
    Prediction,
    PromptScores,
    TemplateMetrics,
    TemplateScore,
)
from flan_jax.tasks.metrics import MetricFn, find_metric
from flan_jax.tasks.task import TemplatedTask, get_task

MAX_TIED_CHOICES = 64
"""Ways of choosing among tied options of a group that are scored; if there are more, so many of
them are drawn."""


def summarize_predictions(
    predictions: Mapping[tuple[str, str], Sequence[Prediction]],
    held_out: Container[str],
) -> dict[str, PromptScores]:
    """Computes the scores of each task.

    Args:
      predictions: the predictions of all tasks, by (task, split).
      held_out: the tasks whose scores keep the value of each example, for paired tests.

    Returns:
      {task: its scores}.
    """
    by_task: dict[str, dict[str, Sequence[Prediction]]] = {}
    for (name, split), rows in predictions.items():
        by_task.setdefault(name, {})[split] = rows

    scores: dict[str, PromptScores] = {}
    for name, by_split in by_task.items():
        task_scores = summarize_task(get_task(name), by_split)
        if name not in held_out:
            task_scores = dataclasses.replace(task_scores, values=None)
        scores[name] = task_scores
    return scores


def summarize_by_best_scoring(
    predictions: Mapping[tuple[str, str], Sequence[Prediction]],
) -> tuple[dict[tuple[str, str], list[Prediction]], dict[str, PromptScores]]:
    """Ranks the options of each task by each of SCORINGS, and takes the one that is best.

    Which one is best, validation examples decide. Of a task that has none, the test examples do, so
    that its score is rather too high than too low.

    Args:
      predictions: the "calibrated" predictions of all tasks, by (task, split); all tasks have
        options.

    Returns:
      (the predictions by the best scoring, {task: its scores by the best scoring}).
    """
    by_task: dict[str, list[str]] = {}
    for name, split in predictions:
        by_task.setdefault(name, []).append(split)

    best_predictions: dict[tuple[str, str], list[Prediction]] = {}
    best_scores: dict[str, PromptScores] = {}
    for name, splits in by_task.items():
        ranked: dict[str, dict[str, list[Prediction]]] = {}
        scores: dict[str, PromptScores] = {}
        for scoring in SCORINGS:
            ranked[scoring] = {
                split: [ranked_by(row, scoring) for row in predictions[name, split]]
                for split in splits
            }
            scores[scoring] = summarize_task(get_task(name), ranked[scoring])
        means = {scoring: scores[scoring].mean for scoring in SCORINGS}
        deciding = "validation" if "validation" in splits else "test"
        decided_by = {
            scoring: _mean_headline(get_task(name), ranked[scoring][deciding])
            for scoring in SCORINGS
        }
        best = max(SCORINGS, key=decided_by.__getitem__)
        for split in splits:
            best_predictions[name, split] = ranked[best][split]
        best_scores[name] = dataclasses.replace(
            scores[best], scoring=best, scorings=means
        )
    return best_predictions, best_scores


def train_majority(
    task: TemplatedTask, rows: Sequence[Prediction], answer: int
) -> float:
    """Returns the headline score of always giving one answer, the mean over templates.

    Args:
      task: the task; it has options.
      rows: predictions on the test split.
      answer: the index of the option.
    """
    constant = [dataclasses.replace(row, chosen=answer, scores=None) for row in rows]
    return _mean_headline(task, constant)


def _mean_headline(task: TemplatedTask, rows: Sequence[Prediction]) -> float:
    """Returns the mean of the headline metric over templates."""
    templates = _score_templates(task, rows).values()
    return float(np.mean([template.headline for template in templates]))


def summarize_task(
    task: TemplatedTask, predictions: Mapping[str, Sequence[Prediction]]
) -> PromptScores:
    """Computes the scores of one task. PromptScores says what each of them is.

    The interval is over other templates and examples (flan_jax.bootstrap.bootstrap), for a metric
    of groups over templates and groups. For a metric of a whole set the metric is recomputed on
    resampled examples if it is registered with a resample function; otherwise the interval is over
    templates alone. A single value has none.

    Args:
      task: the task.
      predictions: its predictions by split; "test" must be one of them.

    Raises:
      InputError: the headline metric is one of groups, and a split has no whole group.
    """
    by_split: dict[str, dict[int, _TemplateResult]] = {}
    for split, rows in predictions.items():
        by_split[split] = _score_templates(task, rows)
    test_rows = predictions["test"]
    templates = list(by_split["test"].values())

    headlines = [template.headline for template in templates]
    percentiles = np.percentile(headlines, [25, 50, 75])
    low_quartile, median, high_quartile = percentiles.tolist()

    values = _unit_values(templates)
    if values is None:
        json_values = None
        interval = _interval_of_set_metric(task, templates)
    else:
        json_values = _json_values(values)
        interval = bootstrap(values)
    has_interval = not np.isnan(interval.standard_error)

    chance = None
    majority = None
    ties = None
    if task.options is not None:
        chance = _chance(task, test_rows)
        majority = _majority(task, templates[0].rows)
        is_tie = [len(row.best_options) > 1 for row in test_rows]
        ties = 100 * sum(is_tie) / len(test_rows)

    groups = None
    partial_groups = None
    if task.group is not None:
        first_rows = templates[0].rows
        groups = len(whole_groups(first_rows))
        partial_groups = len({row.group for row in first_rows}) - groups

    truncated = [row.truncated for row in test_rows]
    truncated_percent = 100 * sum(truncated) / len(test_rows)
    examples = {row.example for row in test_rows}
    return PromptScores(
        metric=next(iter(templates[0].metrics)),
        mean=interval.mean,
        median=median,
        quartiles=(low_quartile, high_quartile),
        interval=(interval.low, interval.high) if has_interval else None,
        standard_error=interval.standard_error if has_interval else None,
        values=json_values,
        best_dev_template=_best_dev_template(by_split),
        chance=chance,
        majority=majority,
        examples=len(examples),
        groups=groups,
        partial_groups=partial_groups,
        truncated=truncated_percent,
        ties=ties,
        templates=_template_metrics(by_split),
    )


class _TemplateResult(NamedTuple):
    """The scores of one template on one split.

    Attributes:
      rows: the predictions.
      metrics: all metrics by name, the headline metric first.
      values: the headline metric of each example by its number, or of each whole group by the
        number of its first example; None for a metric of a whole set.
    """

    rows: Sequence[Prediction]
    metrics: Mapping[str, float]
    values: Mapping[int, float] | None

    @property
    def headline(self) -> float:
        return _first_value(self.metrics)


def _score_templates(
    task: TemplatedTask, rows: Sequence[Prediction]
) -> dict[int, _TemplateResult]:
    """Returns {template index: its scores}, ordered by index."""
    by_template: dict[int, list[Prediction]] = {}
    for row in rows:
        by_template.setdefault(row.template, []).append(row)
    return {
        index: _score_rows(task, by_template[index]) for index in sorted(by_template)
    }


def _score_rows(task: TemplatedTask, rows: Sequence[Prediction]) -> _TemplateResult:
    """Computes all metrics of a task on predictions.

    Where n options have the highest score, a mean over examples counts each of them 1/n. A mean
    over groups is, likewise, the expected value if each example chose one of its best options at
    random: an exact match of two examples with two best options each counts 1/4. A metric of a
    whole set sees one of the options, which `_drawn_option` draws.

    A metric of groups counts whole groups alone. If there are none, it is left out.

    Raises:
      InputError: the headline metric is one of groups, and there are no whole groups.
    """
    metrics: dict[str, float] = {}
    headline_values: dict[int, float] | None = None
    for function in task.metrics:
        metric = find_metric(function)
        if not metric.mean_of_examples and not metric.mean_of_groups:
            targets, texts = _targets_and_texts(task, rows)
            scores = function(targets, texts)
            metrics |= {name: float(value) for name, value in scores.items()}
            continue

        is_headline = function == task.metrics[0]
        if metric.mean_of_examples:
            by_unit = {row.example: _score_example(task, row, function) for row in rows}
        else:
            groups = whole_groups(rows)
            if not groups and is_headline:
                raise InputError(
                    f"task {task.name!r}: {metric.name} scores whole groups, and none of the "
                    f"{len(rows)} examples' groups is whole. Score more examples"
                )
            by_unit = {
                group[0].example: _score_group(task, group, function)
                for group in groups.values()
            }
        if is_headline:
            headline_values = {
                unit: _first_value(scores) for unit, scores in by_unit.items()
            }
        metrics |= _mean_scores(list(by_unit.values()))
    return _TemplateResult(rows, metrics, headline_values)


def whole_groups(rows: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    """Returns the groups whose examples were all scored, {group: its predictions}.

    Args:
      rows: predictions under one template. A cap may have cut some of the groups.

    Raises:
      InputError: a prediction has no group.
    """
    groups: dict[str, list[Prediction]] = {}
    for row in rows:
        if row.group is None:
            raise InputError(
                f"the prediction of example {row.example} names no group, which a metric of groups "
                "needs. Evaluate again: it is from before the task had groups"
            )
        groups.setdefault(row.group, []).append(row)
    return {
        name: group
        for name, group in groups.items()
        if len(group) == group[0].group_rows
    }


def _score_example(
    task: TemplatedTask, row: Prediction, metric: MetricFn
) -> dict[str, float]:
    """Returns the metric of one prediction, the mean over the options that are equally good."""
    target = _target(task, row)
    if task.options is None:
        return metric([target], [row.prediction])
    results = []
    for option in row.best_options:
        results.append(metric([target], [_option_text(task, option)]))
    return _mean_scores(results)


def _score_group(
    task: TemplatedTask, rows: Sequence[Prediction], metric: MetricFn
) -> dict[str, float]:
    """Returns the metric of one group, the mean over the choices that are equally good."""
    targets = [{"group": row.group, "value": _target(task, row)} for row in rows]
    if task.options is None:
        return metric(targets, [{"value": row.prediction} for row in rows])
    results = []
    for options in _tied_choices(rows):
        predictions = [{"value": _option_text(task, option)} for option in options]
        results.append(metric(targets, predictions))
    return _mean_scores(results)


def _tied_choices(rows: Sequence[Prediction]) -> list[tuple[int, ...]]:
    """Returns the ways of choosing one of the best options of each row, all or some drawn ones."""
    best_options = [row.best_options for row in rows]
    if math.prod(map(len, best_options)) <= MAX_TIED_CHOICES:
        return list(itertools.product(*best_options))
    rng = random.Random(f"{rows[0].example}/{rows[0].template}")
    return [
        tuple(rng.choice(options) for options in best_options)
        for _ in range(MAX_TIED_CHOICES)
    ]


def _mean_scores(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean of each metric; {} without results."""
    means: dict[str, float] = {}
    for name in results[0] if results else ():
        means[name] = float(np.mean([scores[name] for scores in results]))
    return means


def _first_value(scores: Mapping[str, float]) -> float:
    return next(iter(scores.values()))


def _targets_and_texts(
    task: TemplatedTask, rows: Sequence[Prediction]
) -> tuple[list[Any], list[str]]:
    """Returns (targets, predictions) as the task's metrics expect them."""
    targets = [_target(task, row) for row in rows]
    if task.options is None:
        texts = [row.prediction for row in rows]
    else:
        texts = [_option_text(task, _drawn_option(row)) for row in rows]
    return targets, texts


def _target(task: TemplatedTask, row: Prediction) -> str | list[str]:
    """Returns the target of a prediction as the task's metrics expect it."""
    if task.options is None:
        return row.references
    if isinstance(task.options, tuple):
        # All rows have the same options; metrics may refer to them by their text.
        return task.options[row.answer]
    # Options that differ by row are compared by index: decoding tokens may change spaces.
    return [str(index) for index in row.right]


def _option_text(task: TemplatedTask, option: int) -> str:
    """Returns how the task's metrics know an option: by its text, or else by its index."""
    if isinstance(task.options, tuple):
        return task.options[option]
    return str(option)


def _drawn_option(row: Prediction) -> int:
    """Returns one of the options with the highest score; which one depends on the row alone."""
    best = row.best_options
    number = zlib.crc32(f"{row.example}/{row.template}".encode())
    return best[number % len(best)]


def _best_dev_template(
    by_split: Mapping[str, Mapping[int, _TemplateResult]],
) -> TemplateScore | None:
    """Returns the template that is best on `validation`, the first of equals; None without one."""
    validation = by_split.get("validation")
    if not validation:
        return None
    test = by_split["test"]
    best = max(test, key=lambda index: validation[index].headline)
    return TemplateScore(template=best, score=test[best].headline)


def _template_metrics(
    by_split: Mapping[str, Mapping[int, _TemplateResult]],
) -> tuple[TemplateMetrics, ...]:
    """Returns all metrics of each template that was scored on `test`."""
    entries: list[TemplateMetrics] = []
    for index in by_split["test"]:
        splits = {}
        for split, templates in by_split.items():
            splits[split] = templates[index].metrics
        entries.append(TemplateMetrics(template=index, splits=splits))
    return tuple(entries)


def _chance(task: TemplatedTask, rows: Sequence[Prediction]) -> float:
    """Returns the expected score of a uniformly random choice, in percent.

    It is the expected accuracy, unless the headline metric is one of groups.
    """
    if find_metric(task.metrics[0]).mean_of_groups:
        all_tied = [
            dataclasses.replace(row, chosen=0, scores=[0.0] * len(row.options or ()))
            for row in rows
        ]
        templates = _score_templates(task, all_tied).values()
        return float(np.mean([template.headline for template in templates]))
    chances = []
    for row in rows:
        option_count = len(row.options or ())
        chances.append(100 * len(row.right) / option_count)
    return float(np.mean(chances))


def _majority(task: TemplatedTask, rows: Sequence[Prediction]) -> float:
    """Returns the headline score of always choosing the index that is most often correct."""
    counts: collections.Counter[int] = collections.Counter()
    for row in rows:
        counts.update(row.right)
    most_frequent, _ = counts.most_common(1)[0]
    constant = [
        dataclasses.replace(row, chosen=most_frequent, scores=None) for row in rows
    ]
    return _score_rows(task, constant).headline


def _unit_values(templates: Sequence[_TemplateResult]) -> np.ndarray | None:
    """Returns the headline metric of each example, or of each whole group.

    Returns:
      float64[templates, examples or groups], NaN where a template was not rendered for an example;
      None for a metric of a whole set.
    """
    units: set[int] = set()
    for template in templates:
        if template.values is None:
            return None
        units.update(template.values)
    columns = {unit: column for column, unit in enumerate(sorted(units))}

    values = np.full((len(templates), len(columns)), np.nan)
    for index, template in enumerate(templates):
        for unit, value in (template.values or {}).items():
            values[index, columns[unit]] = value
    return values


def _json_values(values: np.ndarray) -> list[list[float | None]]:
    """Rounds values for the file; NaN becomes None."""
    lines: list[list[float | None]] = []
    for line in values.tolist():
        lines.append([_json_value(value) for value in line])
    return lines


def _json_value(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def _interval_of_set_metric(
    task: TemplatedTask, templates: Sequence[_TemplateResult]
) -> Interval:
    """Returns the interval of a headline metric that is not a mean over examples."""
    resample = find_metric(task.metrics[0]).resample
    examples = _examples(templates[0])
    same_examples = all(_examples(template) == examples for template in templates)
    if resample is None or not same_examples:
        return bootstrap([[template.headline] for template in templates])

    metric_on: list[Callable[[np.ndarray], float]] = []
    for template in templates:
        targets, texts = _targets_and_texts(task, template.rows)
        metric_on.append(resample(targets, texts))

    def score(template: int, indices: np.ndarray) -> float:
        return metric_on[template](indices)

    return bootstrap_metric(score, len(templates), len(examples))


def _examples(template: _TemplateResult) -> list[int]:
    """Returns the example of each row."""
    return [row.example for row in template.rows]
