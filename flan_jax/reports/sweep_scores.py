"""The held-out clusters of a sweep: their scores in each setting, and differences of settings."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from flan_jax import bootstrap
from flan_jax.bootstrap import Interval
from flan_jax.reports.scores import (
    Score,
    ScoreRow,
    Values,
    mean_row,
    paired_p_value,
    sort_phases,
    subtract,
    task_row,
)
from flan_jax.reports.sweep_results import SHUFFLE_LABELS, Setting, Sweep
from flan_jax.run_records import AFTER, Phase, TaskScores


class Cluster(NamedTuple):
    """A held-out cluster in one setting.

    Attributes:
      name: the cluster; with what its runs hold out where that differs.
      mean: the mean over its tasks; None if no task has all scores.
      tasks: its tasks.
      excluded: the names of tasks without some of the scores, which are not in the mean.
      runs: the names of the runs that scored it.
    """

    name: str
    mean: ScoreRow | None
    tasks: Sequence[ScoreRow]
    excluded: Sequence[str]
    runs: tuple[str, ...]

    @property
    def complete_tasks(self) -> list[ScoreRow]:
        """The tasks that are in the mean."""
        return [task for task in self.tasks if task.name not in self.excluded]

    def is_scored(self, phase: Phase) -> bool:
        """Returns whether the cluster has a mean in this phase."""
        return self.mean is not None and phase in self.mean.scores


class Results(NamedTuple):
    """A sweep and its held-out clusters.

    Attributes:
      sweep: the sweep.
      by_setting: the clusters in each setting.
    """

    sweep: Sweep
    by_setting: Mapping[Setting, Sequence[Cluster]]

    @property
    def headline(self) -> Sequence[Cluster]:
        """The clusters in the setting that stands for the sweep."""
        return self.by_setting.get(self.sweep.headline_setting, ())

    @property
    def with_shuffled_labels(self) -> Sequence[Cluster]:
        """The clusters in the setting that differs from `headline` by shuffled labels alone."""
        setting = []
        for axis, value in zip(
            self.sweep.axes, self.sweep.headline_setting, strict=True
        ):
            is_shuffled = axis.endswith(SHUFFLE_LABELS)
            setting.append("true" if is_shuffled else value)
        if tuple(setting) == self.sweep.headline_setting:
            return ()
        return self.by_setting.get(tuple(setting), ())


def score_sweep(sweep: Sweep) -> Results:
    """Returns a sweep's clusters in every setting."""
    by_setting = {}
    for setting in sweep.settings:
        by_setting[setting] = clusters(sweep, setting)
    return Results(sweep, by_setting)


def clusters(sweep: Sweep, setting: Setting) -> list[Cluster]:
    """Returns the held-out clusters of a setting in the order of the plan.

    Clusters without any score are left out. Runs that hold out a cluster alone and runs that hold
    it out with others give two clusters.

    Args:
      sweep: the sweep.
      setting: the setting.
    """
    # {(cluster, held out): {run: {task: scores}}}
    by_cluster: dict[tuple[str, str], dict[str, dict[str, TaskScores]]] = {}
    for run in sweep.runs:
        if sweep.setting(run) != setting:
            continue
        for task in run.tasks:
            if task.held_out and task.scores:
                runs = by_cluster.setdefault((task.cluster, run.held_out), {})
                runs.setdefault(run.name, {})[task.task] = task

    names = [cluster for cluster, _ in by_cluster]
    result = []
    for (cluster, held_out), runs in by_cluster.items():
        is_unique = names.count(cluster) == 1
        name = cluster if is_unique else f"{cluster} ({held_out} held out)"
        result.append(_cluster(name, runs))
    return result


def _cluster(name: str, runs: Mapping[str, Mapping[str, TaskScores]]) -> Cluster:
    """Returns one cluster from {run: {task: scores}}."""
    # Trained runs, if there are any: a run that is still training has only the scores before it.
    trained_runs = [run for run, tasks in runs.items() if _is_trained(tasks)]
    used_runs = tuple(trained_runs or runs)

    by_task: dict[str, list[TaskScores]] = {}
    for run in used_runs:
        for task, scores in runs[run].items():
            by_task.setdefault(task, []).append(scores)

    phases: set[Phase] = set()
    for tasks in by_task.values():
        for scores in tasks:
            phases |= {phase for phase in scores.scores if not phase.is_control}

    rows = {task: task_row(scores) for task, scores in by_task.items()}
    complete = []
    for task, scores in by_task.items():
        is_in_all_runs = len(scores) == len(used_runs)
        if is_in_all_runs and phases <= rows[task].scores.keys():
            complete.append(task)
    mean = None
    if complete:
        complete_rows = [rows[task] for task in complete]
        mean = mean_row(name, complete_rows, sort_phases(phases))
    excluded = sorted(by_task.keys() - set(complete))
    return Cluster(name, mean, list(rows.values()), excluded, used_runs)


def _is_trained(tasks: Mapping[str, TaskScores]) -> bool:
    return any(AFTER in task.scores for task in tasks.values())


def held_out_mean(clusters: Sequence[Cluster], phase: Phase) -> Interval | None:
    """Returns the mean over clusters of the mean over each one's tasks.

    Args:
      clusters: the clusters.
      phase: the phase.

    Returns:
      The mean with its interval; None if there is no cluster, or one has no score in this phase.
    """
    scores = []
    for cluster in clusters:
        if cluster.mean is None or phase not in cluster.mean.scores:
            return None
        scores.append((cluster.runs, cluster.mean.scores[phase]))
    return _mean_over_clusters(scores)


def held_out_change(clusters: Sequence[Cluster]) -> Interval | None:
    """Returns the mean over clusters of what tuning adds, paired by template and example.

    Args:
      clusters: clusters that are scored before and after training.

    Returns:
      The difference with its interval; None if there is no cluster, or one does not pair.
    """
    changes = []
    for cluster in clusters:
        if cluster.mean is None or not cluster.mean.before or not cluster.mean.after:
            return None
        pairs = zip(cluster.mean.before.values, cluster.mean.after.values, strict=True)
        gains = [subtract(after, before) for before, after in pairs]
        known_gains = [gain for gain in gains if gain is not None]
        if len(known_gains) < len(gains):
            return None
        changes.append((cluster.runs, Score(known_gains)))
    return _mean_over_clusters(changes)


def _mean_over_clusters(
    scores: Sequence[tuple[tuple[str, ...], Score]],
) -> Interval | None:
    """Returns the mean of the scores of clusters, each with the runs that it is scored in."""
    # Clusters that are scored in the same runs share their seeds, which are resampled together.
    groups: dict[tuple[str, ...], list[Score]] = {}
    for runs, score in scores:
        groups.setdefault(runs, []).append(score)
    if not groups:
        return None

    means = []
    for group in groups.values():
        weight = len(group) * len(groups) / len(scores)
        means.append(scale(_group_mean(group), weight))
    return bootstrap.mean_of_tasks(means)


def _group_mean(group: Sequence[Score]) -> Interval:
    """Returns the mean of clusters that are scored in the same runs; all clusters weigh alike."""
    if len(group) == 1:
        return group[0].interval
    task_count = sum(len(score.values) for score in group)
    scaled = []
    for score in group:
        weight = task_count / (len(group) * len(score.values))
        scaled += [scale(values, weight) for values in score.values]
    return bootstrap.mean_of_tasks(scaled)


class Difference(NamedTuple):
    """The difference of the held-out means of two settings, paired by template and example.

    Attributes:
      interval: the difference with its 95 % interval.
      p_value: that of the paired test; None where nothing pairs.
    """

    interval: Interval
    p_value: float | None


def difference(
    first: Sequence[Cluster],
    second: Sequence[Cluster],
    names: Collection[str],
    phase: Phase,
) -> Difference | None:
    """Returns the paired difference of the held-out means of two settings.

    Args:
      first: the clusters in one setting.
      second: the clusters in the other one, from which the first is subtracted.
      names: the clusters to average.
      phase: the phase.

    Returns:
      The difference; None if the tasks or the seeds of the two settings differ.
    """
    pairs: list[tuple[Values, Values]] = []
    for name in sorted(names):
        first_tasks = _task_values(first, name, phase)
        second_tasks = _task_values(second, name, phase)
        if not first_tasks or first_tasks.keys() != second_tasks.keys():
            return None
        weight = 1 / (len(names) * len(first_tasks))
        for task, values in first_tasks.items():
            first_values = scale(values, weight)
            second_values = scale(second_tasks[task], weight)
            pairs.append((first_values, second_values))

    differences = [subtract(b, a) for a, b in pairs]
    known = [values for values in differences if values is not None]
    seed_counts = {len(values) for values in known if not isinstance(values, Interval)}
    if not known or len(known) < len(pairs) or len(seed_counts) > 1:
        return None

    # Both functions average over tasks, which the weights have done already.
    count = float(len(pairs))
    scaled_pairs = [(scale(a, count), scale(b, count)) for a, b in pairs]
    interval = bootstrap.mean_of_tasks([scale(values, count) for values in known])
    return Difference(interval, paired_p_value(scaled_pairs))


def _task_values(
    clusters: Sequence[Cluster], name: str, phase: Phase
) -> dict[str, Values]:
    """Returns the values of the tasks in a cluster's mean; {} without such a cluster."""
    by_name = {cluster.name: cluster for cluster in clusters}
    if name not in by_name:
        return {}
    return {
        task.name: task.scores[phase].values[0]
        for task in by_name[name].complete_tasks
        if phase in task.scores
    }


def scale(values: Values, weight: float) -> Values:
    """Returns the values times a weight."""
    if isinstance(values, Interval):
        return Interval(*(weight * number for number in values))
    return weight * values
