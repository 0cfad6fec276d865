"""Scores of tasks and clusters over templates and seeds, with intervals and paired tests.

Both reports use them: a run's, where each task is scored once, and a sweep's, where the runs of
several seeds are combined.
"""

import dataclasses
import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from flan_jax import bootstrap
from flan_jax.bootstrap import Interval
from flan_jax.run_records import (
    AFTER,
    BEFORE,
    FEW_SHOT,
    Phase,
    PromptScores,
    TaskScores,
)

Values: TypeAlias = np.ndarray | Interval
"""The values of one task: float[seeds, templates, examples] in percent, with NaN where a template
was not rendered for the example. Where only their mean and its error are known, an Interval."""

SIGNIFICANT = 0.05
"""p-values below this are called significant."""
NORMAL_QUANTILE = 1.96
"""A 95 % interval of a normal distribution reaches this many standard errors to each side."""


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """The score of a task or a cluster in one phase, in percent.

    Attributes:
      values: the values of each task: one entry for a task, several for a cluster.
      reported_interval: the interval that the run has computed, where there is one.
      parts: the scores that the mean averages: of a task's templates or of a cluster's tasks.
      median: the median over the templates; of a cluster, the mean of its tasks' medians.
      quartiles: the first and third quartile over the templates.
      best: the test score of the template that is best on validation examples.
      other_metrics: the means of the task's further metrics by name.
      scoring: the scoring that options are ranked by, where it is the best of several.
      scorings: the means by each of several scorings.
      exemplars: the mean number of exemplars in a few-shot prompt; None for other prompts.
    """

    values: Sequence[Values]
    reported_interval: Interval | None = None
    parts: Sequence[float] = ()
    median: float | None = None
    quartiles: tuple[float, float] | None = None
    best: float | None = None
    other_metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    scoring: str | None = None
    scorings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    exemplars: float | None = None

    @functools.cached_property
    def mean(self) -> float:
        """The mean over tasks of the mean over templates and seeds."""
        return float(np.mean([_mean_of_values(values) for values in self.values]))

    @functools.cached_property
    def interval(self) -> Interval:
        """The mean with its 95 % bootstrap interval, computed when it is first asked for."""
        return self.reported_interval or bootstrap.mean_of_tasks(self.values)


def _mean_of_values(values: Values) -> float:
    if isinstance(values, Interval):
        return values.mean
    return float(np.nanmean(values, axis=-1).mean())


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreRow:
    """The scores of a task or a cluster: one row of a table or a figure.

    Attributes:
      name: the task or the cluster.
      scores: the score in each phase.
      metric: the headline metric; None for a cluster.
      chance: the score of a blind guess.
      majority: the score of always giving the most frequent answer.
      examples: the number of test examples; None for a cluster.
      train_majority: the score of always giving the most frequent answer of the training split.
    """

    name: str
    scores: Mapping[Phase, Score]
    metric: str | None = None
    chance: float | None = None
    majority: float | None = None
    examples: int | None = None
    train_majority: float | None = None

    @property
    def before(self) -> Score | None:
        """The score before training."""
        return self.scores.get(BEFORE)

    @property
    def after(self) -> Score | None:
        """The score after training."""
        return self.scores.get(AFTER)

    @property
    def latest(self) -> Score | None:
        """The score after training, or else the score before it."""
        return self.after or self.before

    @property
    def difference(self) -> float | None:
        """The mean after training minus the mean before it."""
        if self.before is None or self.after is None:
            return None
        return self.after.mean - self.before.mean

    @functools.cached_property
    def p_value(self) -> float | None:
        """The p-value of the paired test of after against before; None where nothing pairs."""
        if self.before is None or self.after is None:
            return None
        pairs = zip(self.before.values, self.after.values, strict=True)
        return paired_p_value(list(pairs))

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant in the paired test."""
        return self.p_value is not None and self.p_value < SIGNIFICANT

    @property
    def is_at_chance(self) -> bool:
        """Whether the score after training is no better than chance, given its interval."""
        if self.after is None or self.chance is None:
            return False
        interval = self.after.interval
        lower_bound = interval.mean if math.isnan(interval.low) else interval.low
        return lower_bound <= self.chance


def task_row(runs: Sequence[TaskScores]) -> ScoreRow:
    """Combines the scores of one task in the runs of several seeds, or of one run.

    Phases that some of the runs lack are left out.

    Args:
      runs: the scores of the task in the run of each seed.
    """
    name = runs[0].task
    common = set(runs[0].scores)
    for run in runs:
        common &= run.scores.keys()
    phases = sort_phases(common)
    if not phases:
        return ScoreRow(name, {})

    scores = {}
    for phase in phases:
        scores[phase] = _combine_seeds([run.scores[phase] for run in runs])
    first_run = runs[0].scores
    few_shot = first_run.get(FEW_SHOT)
    described = first_run.get(AFTER) or first_run.get(BEFORE) or first_run[phases[-1]]
    return ScoreRow(
        name,
        scores,
        metric=described.metric,
        chance=described.chance,
        majority=described.majority,
        examples=described.examples,
        train_majority=few_shot.train_majority if few_shot else None,
    )


def sort_phases(phases: Collection[Phase]) -> list[Phase]:
    """Returns the phases before training, then those after it, each by the name of its prompts."""
    return sorted(phases, key=lambda phase: (phase.time != "before", str(phase)))


def _combine_seeds(seeds: Sequence[PromptScores]) -> Score:
    first = seeds[0]
    by_template = [scores.by_template for scores in seeds]
    further_metrics = [scores.further_metrics for scores in seeds]
    parts = list(_means_of_common_keys(by_template).values())

    median = None
    quartiles = None
    if len(seeds) == 1:
        median = first.median
        quartiles = first.quartiles
    if parts and (median is None or quartiles is None):
        low, median, high = np.percentile(parts, [25, 50, 75]).tolist()
        quartiles = (low, high)

    best_templates = [scores.best_dev_template for scores in seeds]
    best = mean_if_complete(
        [template and template.score for template in best_templates]
    )
    return Score(
        [_seed_values(seeds)],
        reported_interval(seeds),
        parts=parts,
        median=median,
        quartiles=quartiles,
        best=best,
        other_metrics=_means_of_common_keys(further_metrics),
        scoring=first.scoring,
        scorings=_means_of_common_keys([scores.scorings or {} for scores in seeds]),
        exemplars=mean_if_complete([scores.exemplars for scores in seeds]),
    )


def _means_of_common_keys(mappings: Sequence[Mapping]) -> dict:
    """Returns the mean value of each key that all mappings have."""
    means = {}
    for key in mappings[0]:
        values = [mapping[key] for mapping in mappings if key in mapping]
        if len(values) == len(mappings):
            means[key] = float(np.mean(values))
    return means


def _seed_values(seeds: Sequence[PromptScores]) -> Values:
    """Returns the values of a task over seeds.

    A metric of a whole set has no values by example. Its interval stands for them, or else the
    scores of its templates: float[seeds, templates, 1].
    """
    values = [
        np.asarray(scores.values, float)
        for scores in seeds
        if scores.values is not None
    ]
    shapes = {array.shape for array in values}
    if len(values) == len(seeds) and len(shapes) == 1:
        return np.stack(values)

    interval = reported_interval(seeds)
    if interval is not None:
        return interval

    by_template = [scores.by_template for scores in seeds]
    templates = by_template[0].keys()
    if all(scores.keys() == templates for scores in by_template):
        template_scores = [list(scores.values()) for scores in by_template]
        return np.array(template_scores)[..., None]
    return np.array([[[scores.mean]] for scores in seeds])


def reported_interval(seeds: Sequence[PromptScores]) -> Interval | None:
    """Returns the interval of a task's mean from the intervals that the runs have computed.

    The variance of the mean over seeds is the mean of the runs' variances plus the variance
    between seeds divided by their number. The first part does not shrink with the number of seeds:
    all share templates and examples.

    Args:
      seeds: the scores of the run of each seed.

    Returns:
      The interval; None if a run has none.
    """
    errors = [
        scores.standard_error for scores in seeds if scores.standard_error is not None
    ]
    intervals = [scores.interval for scores in seeds if scores.interval is not None]
    if len(errors) < len(seeds) or len(intervals) < len(seeds):
        return None
    means = [scores.mean for scores in seeds]
    if len(seeds) == 1:
        return Interval(means[0], errors[0], *intervals[0])
    variance_within_seeds = np.mean(np.square(errors))
    variance_between_seeds = np.var(means, ddof=1)
    variance = variance_within_seeds + variance_between_seeds / len(means)
    mean = float(np.mean(means))
    return normal_interval(mean, math.sqrt(variance))


def normal_interval(mean: float, error: float) -> Interval:
    """Returns the 95 % interval of a normal distribution with this mean and standard error."""
    reach = NORMAL_QUANTILE * error
    return Interval(mean, error, mean - reach, mean + reach)


def mean_row(
    name: str, tasks: Sequence[ScoreRow], phases: Collection[Phase]
) -> ScoreRow:
    """Returns the mean over tasks.

    Args:
      name: the name of the row.
      tasks: the tasks.
      phases: the phases to average; in each, the tasks that have a score are averaged.
    """
    scores = {}
    for phase in phases:
        task_scores = [task.scores[phase] for task in tasks if phase in task.scores]
        if task_scores:
            scores[phase] = _mean_score(task_scores)
    return ScoreRow(
        name,
        scores,
        chance=mean_if_complete([task.chance for task in tasks]),
        majority=mean_if_complete([task.majority for task in tasks]),
    )


def _mean_score(tasks: Sequence[Score]) -> Score:
    return Score(
        [values for score in tasks for values in score.values],
        # One task's interval is that of the mean, too: a second bootstrap would differ by chance.
        tasks[0].reported_interval if len(tasks) == 1 else None,
        parts=[score.mean for score in tasks],
        median=mean_if_complete([score.median for score in tasks]),
        best=mean_if_complete([score.best for score in tasks]),
    )


def mean_if_complete(values: Sequence[float | None]) -> float | None:
    """Returns the mean; None if there are no values or one of them is None."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return float(np.mean(known))


def subtract(b: Values, a: Values) -> Values | None:
    """Returns b - a; None if they do not pair.

    Two intervals (of a metric of a whole set) are subtracted as if they were independent, which
    makes the interval of the difference wider than it is.

    Args:
      b: the values of one setting or phase.
      a: the values of the other one, which are subtracted.
    """
    if isinstance(a, Interval) and isinstance(b, Interval):
        error = math.hypot(a.standard_error, b.standard_error)
        return normal_interval(b.mean - a.mean, error)
    if isinstance(a, Interval) or isinstance(b, Interval):
        return None
    if a.shape != b.shape:
        return None
    return np.subtract(b, a)


def paired_p_value(pairs: Sequence[tuple[Values, Values]]) -> float | None:
    """Returns the p-value of the paired permutation test of the mean over tasks.

    Each example enters with its contribution to that mean: flipping the sign of a difference
    exchanges the two models on that example.

    Args:
      pairs: the two models' values of each task.

    Returns:
      The two-sided p-value; None if a task has no values by example (a metric of a whole set), or
      the two models were not asked the same prompts.
    """
    arrays = []
    for first, second in pairs:
        if isinstance(first, Interval) or isinstance(second, Interval):
            return None
        if first.shape != second.shape:
            return None
        is_missing_in_one = np.isnan(first) != np.isnan(second)
        if is_missing_in_one.any():
            return None
        if first.shape[-1] < 2:
            return None
        arrays.append((first, second))

    example_count = sum(first.shape[-1] for first, _ in arrays)
    first_model = np.concatenate([_contributions(first) for first, _ in arrays])
    second_model = np.concatenate([_contributions(second) for _, second in arrays])
    first_model = first_model * example_count / len(arrays)
    second_model = second_model * example_count / len(arrays)
    return bootstrap.sign_flip((second_model - first_model)[None])


def _contributions(values: np.ndarray) -> np.ndarray:
    """Returns float[examples]: how much each example adds to the mean of the values."""
    seeds, templates, _ = values.shape
    is_present = ~np.isnan(values)
    sizes = is_present.sum(axis=-1, keepdims=True)
    sums = np.nansum(values / sizes, axis=(0, 1))
    return sums / (seeds * templates)


def format_metrics(score: Score | None) -> str:
    """Returns the further metrics as "yes_f1 61.2, group_exact_match 20.0"; "" without them."""
    metrics = {} if score is None else score.other_metrics
    return ", ".join(f"{name} {value:.1f}" for name, value in metrics.items())


def format_interval(interval: Interval) -> str:
    """Returns "65.0 [60.1, 69.9]", or "65.0" if the interval is not known."""
    if math.isnan(interval.low):
        return f"{interval.mean:.1f}"
    return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def format_change(interval: Interval) -> str:
    """Returns a difference as text, such as "+6.6 [1.2, 12.0]".

    Args:
      interval: the difference in points.
    """
    text = f"{interval.mean:+.1f}"
    if math.isnan(interval.low):
        return text
    return f"{text} [{interval.low:.1f}, {interval.high:.1f}]"


def format_p_value(p_value: float | None) -> str | None:
    """Returns "0.012" or "< 0.001"; None for None."""
    if p_value is None:
        return None
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
