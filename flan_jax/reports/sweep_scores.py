"""The scores of a sweep: tasks and held-out clusters over templates and seeds, untuned against tuned, setting by setting."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from flan_jax import bootstrap
from flan_jax.bootstrap import Interval
from flan_jax.reports.sweep_results import Setting, Summary, Sweep, Task

Cube: TypeAlias = Any
"""What statistics.mean_of_tasks takes: float[seeds, templates, examples] in percent, or an Interval."""


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """What is measured at one time over templates and seeds, in percent: of a task one cube, of a cluster each task's.

    given: the interval where a run has said it already. Intervals are computed where they are asked for.
    """

    cubes: Sequence[Cube]
    given: Interval | None = None
    median: float | None = None
    quartiles: tuple[float, float] | None = None
    best: float | None = None
    templates: Sequence[float] = ()
    others: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def mean(self) -> float:
        means = [
            c.mean if isinstance(c, Interval) else np.nanmean(c, axis=-1).mean() for c in self.cubes
        ]
        return float(np.mean(means))

    @functools.cached_property
    def interval(self) -> Interval:
        return self.given or bootstrap.mean_of_tasks(self.cubes)


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """A task or a cluster with its scores by time."""

    name: str
    scores: Mapping[str, Score]
    metric: str | None = None
    chance: float | None = None
    majority: float | None = None
    examples: int | None = None

    @property
    def difference(self) -> float | None:
        """Tuned less untuned."""
        if not {"before", "after"} <= self.scores.keys():
            return None
        return self.scores["after"].mean - self.scores["before"].mean

    @functools.cached_property
    def p(self) -> float | None:
        """Of the paired test of tuned against untuned; None where there is nothing to pair."""
        if self.difference is None:
            return None
        return _p(list(zip(self.scores["before"].cubes, self.scores["after"].cubes, strict=True)))


class Cluster(NamedTuple):
    """A held-out cluster in one setting: its mean and its tasks.

    left_out: tasks without some of the scores, which the mean is without; it is None when that leaves none. runs: the
    names of the runs that it was scored in.
    """

    name: str
    mean: Scored | None
    tasks: Sequence[Scored]
    left_out: Sequence[str]
    runs: tuple[str, ...]


class Results(NamedTuple):
    """A sweep and its held-out clusters by setting."""

    sweep: Sweep
    found: Mapping[Setting, Sequence[Cluster]]

    @property
    def shown(self) -> Sequence[Cluster]:
        """The clusters in the setting that stands for the sweep."""
        return self.found.get(self.sweep.shown, ())


def results(sweep: Sweep) -> Results:
    return Results(sweep, {setting: clusters(sweep, setting) for setting in sweep.settings})


def clusters(sweep: Sweep, setting: Setting) -> list[Cluster]:
    """The held-out clusters of a setting's runs in the plan's order, without those of which nothing is scored."""
    found: dict[tuple[str, str], dict[str, dict[str, Task]]] = {}
    for run in sweep.runs:
        for task in run.tasks if sweep.setting(run) == setting else ():
            if task.held_out and task.scores:
                own = found.setdefault((task.cluster, run.held_out), {})
                own.setdefault(run.name, {})[task.name] = task
    names = [cluster for cluster, _ in found]
    return [
        _cluster(cluster if names.count(cluster) == 1 else f"{cluster} ({held_out} held out)", runs)
        for (cluster, held_out), runs in found.items()
    ]


def _cluster(name: str, runs: Mapping[str, Mapping[str, Task]]) -> Cluster:
    # Runs that are trained, if there are any: one that still runs has only the untuned scores.
    trained = {
        run for run, tasks in runs.items() if any("after" in task.scores for task in tasks.values())
    }
    used = {run: tasks for run, tasks in runs.items() if run in (trained or runs)}
    by_task: dict[str, list[Task]] = {}
    for tasks in used.values():
        for task in tasks.values():
            by_task.setdefault(task.name, []).append(task)
    whens = sorted(
        {when for tasks in by_task.values() for task in tasks for when in task.scores}, key=_order
    )
    whole = {
        task: runs
        for task, runs in by_task.items()
        if len(runs) == len(used) and all(run.scores.keys() >= set(whens) for run in runs)
    }
    scored = {task: _task(task, runs) for task, runs in by_task.items()}
    mean = _mean(name, [scored[task] for task in whole], whens) if whole else None
    return Cluster(
        name, mean, list(scored.values()), sorted(by_task.keys() - set(whole)), tuple(used)
    )


def _order(when: str) -> tuple[bool, str]:
    return not when.startswith("before"), when


def _cube(scores: Sequence[Summary]) -> Cube:
    """The runs' values; of a metric of a whole set what the runs say of its spread, or its template scores over seeds."""
    values = [score.values for score in scores if score.values is not None]
    if len(values) == len(scores) and len({v.shape for v in values}) == 1:
        return np.stack(values)
    if given := _given(scores):
        return given
    first = scores[0]
    if all(score.templates.keys() == first.templates.keys() for score in scores):
        return np.array([[[value] for value in score.templates.values()] for score in scores])
    return np.array([[[score.mean]] for score in scores])


def _given(scores: Sequence[Summary]) -> Interval | None:
    """The interval that the runs' summaries say: of several seeds by their errors and by how much the seeds differ.

    The seeds share templates and examples, so that what these add to the variance does not grow less with more seeds.
    """
    if any(score.error is None or score.interval is None for score in scores):
        return None
    (score, *others), errors = scores, [score.error or 0.0 for score in scores]
    if not others and score.interval is not None:
        return Interval(score.mean, errors[0], *score.interval)
    means = [score.mean for score in scores]
    error = math.sqrt(np.mean(np.square(errors)) + np.var(means, ddof=1) / len(means))
    mean = float(np.mean(means))
    return Interval(mean, error, mean - 1.96 * error, mean + 1.96 * error)


def _task(name: str, runs: Sequence[Task]) -> Scored:
    whens = sorted(set.intersection(*(set(run.scores) for run in runs)), key=_order)
    if not whens:
        return Scored(name, {})
    last = runs[0].scores[whens[-1]]
    scores = {when: _score([run.scores[when] for run in runs]) for when in whens}
    return Scored(name, scores, last.metric, last.chance, last.majority, last.examples)


def _score(own: Sequence[Summary]) -> Score:
    shown = [index for index in own[0].templates if all(index in score.templates for score in own)]
    templates = [float(np.mean([score.templates[index] for score in own])) for index in shown]
    median, quartiles = (own[0].median, own[0].quartiles) if len(own) == 1 else (None, None)
    if templates and (median is None or quartiles is None):
        low, median, high = map(float, np.percentile(templates, [25, 50, 75]))
        quartiles = low, high
    best = _mean_or_none([score.best for score in own])
    shared = [name for name in own[0].others if all(name in score.others for score in own)]
    others = {name: float(np.mean([score.others[name] for score in own])) for name in shared}
    return Score([_cube(own)], _given(own), median, quartiles, best, templates, others)


def _mean(name: str, tasks: Sequence[Scored], whens: Sequence[str]) -> Scored:
    scores = {}
    for when in whens:
        own = [task.scores[when] for task in tasks]
        median, best = (
            _mean_or_none([getattr(score, key) for score in own]) for key in ("median", "best")
        )
        scores[when] = Score(
            [cube for score in own for cube in score.cubes], median=median, best=best
        )
    chance, majority = (
        _mean_or_none([getattr(task, key) for task in tasks]) for key in ("chance", "majority")
    )
    return Scored(name, scores, None, chance, majority)


def _p(pairs: Sequence[tuple[Cube, Cube]]) -> float | None:
    """The paired test of the mean over tasks; None where a task has no values by example or the prompts differ.

    Each example enters with what it adds to that mean, so that flipping its sign is exchanging the two models on it.
    """
    if any(isinstance(cube, Interval) for pair in pairs for cube in pair):
        return None
    if any(
        one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any() for one, other in pairs
    ):
        return None
    if any(one.shape[-1] < 2 for one, _ in pairs):  # a metric of whole sets
        return None
    count = sum(one.shape[-1] for one, _ in pairs)
    sides = [
        np.concatenate([_shares(pair[side]) for pair in pairs]) * count / len(pairs)
        for side in (0, 1)
    ]
    return bootstrap.sign_flip((sides[1] - sides[0])[None])


def _shares(cube: np.ndarray) -> np.ndarray:
    """[examples]: what each adds to a cube's mean."""
    seeds, templates, _ = cube.shape
    sizes = (~np.isnan(cube)).sum(axis=-1, keepdims=True)
    return np.nansum(cube / sizes, axis=(0, 1)) / (seeds * templates)


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there and len(there) == len(values) else None


def held_out_mean(found: Sequence[Cluster], when: str) -> Interval | None:
    """The mean over some clusters of the mean over each one's tasks; None when one of them is not scored then."""
    means = [cluster.mean for cluster in found if cluster.mean and when in cluster.mean.scores]
    if not found or len(means) < len(found):
        return None
    groups: dict[tuple[str, ...], list[Score]] = {}
    for cluster, mean in zip(
        found, means, strict=True
    ):  # Clusters scored in the same runs share their seeds.
        groups.setdefault(cluster.runs, []).append(mean.scores[when])
    return bootstrap.mean_of_tasks(
        [
            _times(_group_mean(group), len(group) * len(groups) / len(found))
            for group in groups.values()
        ]
    )


class Difference(NamedTuple):
    """Of the held-out mean in one setting from that in another, paired by template and example. p: None as for Scored."""

    interval: Interval
    p: float | None


def difference(
    one: Sequence[Cluster], other: Sequence[Cluster], names: Iterable[str], when: str
) -> Difference | None:
    """What `other` is above `one` in the mean over the clusters `names`; None where they are not scored alike then."""
    pairs: list[tuple[Cube, Cube]] = []
    clusters = [
        [{c.name: c for c in found}.get(name) for found in (one, other)] for name in sorted(names)
    ]
    for pair in clusters:
        sides = [
            {t.name: t.scores[when].cubes[0] for t in _whole(c) if when in t.scores} for c in pair
        ]
        if not sides[0] or sides[0].keys() != sides[1].keys():
            return None
        weight = 1 / (len(clusters) * len(sides[0]))
        pairs += [
            (_times(sides[0][task], weight), _times(sides[1][task], weight)) for task in sides[0]
        ]
    apart = [cube for cube in (_less(b, a) for a, b in pairs) if cube is not None]
    seeds = {len(cube) for cube in apart if not isinstance(cube, Interval)}
    if not apart or len(apart) < len(pairs) or len(seeds) > 1:
        return None
    count = float(len(pairs))
    scaled = [(_times(a, count), _times(b, count)) for a, b in pairs]
    return Difference(bootstrap.mean_of_tasks([_times(cube, count) for cube in apart]), _p(scaled))


def _whole(cluster: Cluster | None) -> list[Scored]:
    """The tasks that are in a cluster's mean."""
    return [task for task in cluster.tasks if task.name not in cluster.left_out] if cluster else []


def _less(b: Cube, a: Cube) -> Cube | None:
    """b - a; of metrics of whole sets as if the two were independent, which makes the interval wider than it is."""
    if isinstance(a, Interval) and isinstance(b, Interval):
        mean, error = b.mean - a.mean, math.hypot(a.standard_error, b.standard_error)
        return Interval(mean, error, mean - 1.96 * error, mean + 1.96 * error)
    if isinstance(a, Interval) or isinstance(b, Interval) or a.shape != b.shape:
        return None
    return b - a


def _group_mean(group: Sequence[Score]) -> Interval:
    if len(group) == 1:
        return group[0].interval
    count = sum(len(score.cubes) for score in group)
    return bootstrap.mean_of_tasks(
        [
            _times(cube, count / (len(group) * len(score.cubes)))
            for score in group
            for cube in score.cubes
        ]
    )


def _times(cube: Cube, weight: float) -> Cube:
    return (
        Interval(*(weight * value for value in cube))
        if isinstance(cube, Interval)
        else weight * cube
    )


def spread(interval: Interval) -> str:
    """A mean with its interval, if it has one: a single value says nothing of its spread."""
    if math.isnan(interval.low):
        return f"{interval.mean:.1f}"
    return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def shown_p(p: float | None) -> str | None:
    return None if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
