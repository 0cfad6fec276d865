"""How the axes of a sweep change the held-out mean: a figure and tables for each axis."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from flan_jax.bootstrap import Interval
from flan_jax.reports import html, sweep_figures
from flan_jax.reports.scores import format_interval, format_p_value, mean_if_complete
from flan_jax.reports.sweep_figures import TUNED, UNTUNED, Line
from flan_jax.reports.sweep_results import Setting, Sweep, axis_label
from flan_jax.reports.sweep_scores import (
    Cluster,
    Difference,
    Results,
    difference,
    held_out_mean,
)
from flan_jax.reports.transfer import ONLY
from flan_jax.run_records import AFTER, Phase

TITLES = {
    "MODEL": "Model scale",
    "Prompts.instructions": "Role of instructions",
    "Prompts.templates": "Number of templates",
    "Prompts.shots": "Exemplars in the prompt",
    "shuffle_labels": "Right and shuffled labels",
    "_clusters": "Number of clusters",
    "_each": "Datasets per cluster",
}
"""Titles of axes, by the end of the axis's name or of its last value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Axis:
    """An axis of a sweep and the settings that lie along it.

    Attributes:
      results: the sweep.
      name: the axis.
      values: its values.
      settings: for each combination of the values of the other axes (as a label such as
        "shots = 5", "" without other axes), the settings along this axis.
      clusters: the clusters that are scored in every setting of the sweep.
    """

    results: Results
    name: str
    values: Sequence[str]
    settings: Mapping[str, Sequence[Setting]]
    clusters: set[str]


def axis_sections(results: Results) -> list[html.Block]:
    """Returns a section for each axis beside HELD_OUT, DataConfig.only and SEED.

    If there is none, but evaluations under several prompts, they have a section.

    Args:
      results: the scores of the sweep.
    """
    sweep = results.sweep
    clusters = _common_clusters(results)
    blocks: list[html.Block] = []
    for name, values in sweep.axes.items():
        if name == ONLY:  # its runs score different clusters; transfer.py compares them
            continue
        axis = _Axis(
            results=results,
            name=name,
            values=values,
            settings=_settings_along(sweep, name),
            clusters=clusters,
        )
        title = _title(name, values)
        blocks.append(html.Heading(title if title == name else f"{title} ({name})"))
        blocks += _means(axis, _lines(axis))
        blocks += _differences(axis)

    if not sweep.axes and len(sweep.evaluations) > 1:
        axis = _Axis(
            results=results,
            name="evaluation",
            values=[str(phase) for phase in sweep.evaluations],
            settings={},
            clusters=clusters,
        )
        points = [
            _mean_of(results.headline, clusters, phase) for phase in sweep.evaluations
        ]
        blocks.append(html.Heading("Prompts at evaluation"))
        blocks += _means(axis, [Line(TUNED, points)])
    return blocks


def _common_clusters(results: Results) -> set[str]:
    """Returns the clusters that are scored after training in every setting with scores."""
    by_setting = []
    for clusters in results.by_setting.values():
        scored = {cluster.name for cluster in clusters if cluster.is_scored(AFTER)}
        if scored:
            by_setting.append(scored)
    return set.intersection(*by_setting) if by_setting else set()


def _title(axis: str, values: Sequence[str]) -> str:
    for ending, title in TITLES.items():
        if axis.endswith(ending) or values[-1].endswith(ending):
            return title
    return axis


def _settings_along(sweep: Sweep, axis: str) -> dict[str, list[Setting]]:
    """Returns the settings along an axis for each combination of the other axes' values."""
    names = list(sweep.axes)
    number = names.index(axis)
    settings: dict[str, list[Setting]] = {}
    for setting in sweep.settings:
        others = [
            f"{name.rpartition('.')[2]} = {value}"
            for name, value in zip(names, setting, strict=True)
            if name != axis
        ]
        settings[", ".join(others)] = [
            (*setting[:number], value, *setting[number + 1 :])
            for value in sweep.axes[axis]
        ]
    return settings


def _lines(axis: _Axis) -> list[Line]:
    """Returns the curves of the untuned and the tuned model in each phase.

    Untuned curves that are the same in all settings become one.
    """
    tuned_phases = axis.results.sweep.evaluations
    untuned_phases = [Phase("before", phase.prompts) for phase in tuned_phases]
    untuned: list[Line] = []
    lines: list[Line] = []
    for others, settings in axis.settings.items():
        for phase in (*untuned_phases, *tuned_phases):
            points = []
            for setting in settings:
                clusters = axis.results.by_setting.get(setting, ())
                points.append(_mean_of(clusters, axis.clusters, phase))
            line = Line(_line_label(phase, others), points)
            lines.append(line)
            if phase.time == "before":
                untuned.append(line)

    if len({_rounded_means(line) for line in untuned}) == 1:
        tuned = [line for line in lines if line not in untuned]
        return [Line(UNTUNED, untuned[0].points), *tuned]
    return lines


def _rounded_means(line: Line) -> tuple[float | None, ...]:
    return tuple(
        None if point is None else round(point.mean, 6) for point in line.points
    )


def _line_label(phase: Phase, others: str) -> str:
    """Returns a label such as "tuned, none at evaluation, shots = 5"."""
    parts = [UNTUNED if phase.time == "before" else TUNED]
    if phase.prompts:
        parts.append(f"{phase.prompts} at evaluation")
    if others:
        parts.append(others)
    return ", ".join(parts)


def _mean_of(
    clusters: Sequence[Cluster], names: set[str], phase: Phase
) -> Interval | None:
    """Returns the held-out mean over the named clusters; None unless all are scored."""
    named = [cluster for cluster in clusters if cluster.name in names]
    return held_out_mean(named, phase) if len(named) == len(names) else None


def _means(axis: _Axis, lines: Sequence[Line]) -> list[html.Block]:
    """Returns a figure and a table of the held-out mean at each value of an axis."""
    lines = [line for line in lines if line.is_scored]
    if not lines:
        return [html.Placeholder("no held-out cluster is scored in all settings")]

    chances = [
        cluster.mean.chance
        for cluster in axis.results.headline
        if cluster.mean is not None and cluster.name in axis.clusters
    ]
    short_values, pattern = _shorten(axis.values)
    sizes = _model_sizes(axis)
    ticks = []
    for value, short in zip(axis.values, short_values, strict=True):
        ticks.append(f"{short}\n{sizes[value]}" if value in sizes else short)
    figure = sweep_figures.means_over_axis(
        ticks,
        lines,
        chance=mean_if_complete(chances),
        label=f"{axis.name} = {pattern}" if pattern else axis.name,
    )

    caption = html.Paragraph(
        f"Mean over {', '.join(sorted(axis.clusters))} (the clusters scored in every setting), "
        "percent; error bars and brackets: 95 % intervals over templates and examples, and over "
        "seeds where there are several.",
        "caption",
    )
    rows: list[list[html.Cell]] = []
    for number, value in enumerate(axis.values):
        points = [line.points[number] for line in lines]
        cells = [None if point is None else format_interval(point) for point in points]
        rows.append([value, *cells])
    columns = [axis.name, *(line.label for line in lines)]
    table = html.Table(columns=columns, rows=rows, text_columns=1, dense=True)
    return [figure, caption, table]


def _differences(axis: _Axis) -> list[html.Block]:
    """Returns a table that compares each value of an axis with its first one, tuned and paired."""
    first_value, *other_values = axis.values
    columns: list[str] = []
    cells_of_columns: list[list[str | None]] = []
    for others, settings in axis.settings.items():
        first, *rest = (
            axis.results.by_setting.get(setting, ()) for setting in settings
        )
        for phase in axis.results.sweep.evaluations:
            cells = [_difference_cell(axis, first, second, phase) for second in rest]
            if any(cells):
                columns.append(_line_label(phase, others))
                cells_of_columns.append(cells)
    if not columns:
        return []

    rows: list[list[html.Cell]] = []
    for number, value in enumerate(other_values):
        rows.append([value, *(cells[number] for cells in cells_of_columns)])
    table = html.Table(
        columns=[f"difference from {first_value}", *columns],
        rows=rows,
        text_columns=1,
        dense=True,
    )
    caption = html.Paragraph(
        f"Difference of the held-out mean at each value of {axis.name} from that at {first_value}, "
        "paired by template and example, with its 95 % interval and the p-value of a paired "
        "permutation test, not corrected for the number of tests.",
        "caption",
    )
    return [table, caption]


def _difference_cell(
    axis: _Axis, first: Sequence[Cluster], second: Sequence[Cluster], phase: Phase
) -> str | None:
    if not axis.clusters:
        return None
    result = difference(first, second, axis.clusters, phase)
    return None if result is None else _format_difference(result)


def _format_difference(result: Difference) -> str:
    interval = result.interval
    text = f"{interval.mean:+.1f}"
    if not math.isnan(interval.low):
        text += f" [{interval.low:+.1f}, {interval.high:+.1f}]"
    return f"{text}, p {format_p_value(result.p_value) or '-'}"


def _shorten(values: Sequence[str]) -> tuple[list[str], str]:
    """Returns the values without the words that all begin or end with, and their pattern.

    >>> _shorten(["flan_1_clusters", "flan_3_clusters"])
    (['1', '3'], 'flan_…_clusters')
    """
    words = [value.split("_") for value in values]
    longest_affix = min(len(value_words) for value_words in words) - 1
    head = _common_prefix(words, longest_affix)
    reversed_words = [value_words[::-1] for value_words in words]
    tail = _common_prefix(reversed_words, longest_affix - head)
    if head + tail == 0:
        return list(values), ""
    short = []
    for value_words in words:
        end = len(value_words) - tail
        short.append("_".join(value_words[head:end]))
    first = words[0]
    pattern = "_".join([*first[:head], "\u2026", *first[len(first) - tail :]])
    return short, pattern


def _common_prefix(words: Sequence[Sequence[str]], longest: int) -> int:
    """Returns how many words all lists begin with, at most `longest`."""
    columns = zip(*words, strict=False)
    is_common = [len(set(column)) == 1 for column in columns]
    return sum(itertools.takewhile(bool, is_common[:longest]))


def _model_sizes(axis: _Axis) -> dict[str, str]:
    """Returns the models' numbers of parameters by value, if the axis changes them."""
    sizes: dict[str, int] = {}
    for run in axis.results.sweep.runs:
        count = run.manifest_section("model").get("parameters")
        if isinstance(count, int):
            sizes[axis_label(run.point.get(axis.name))] = count
    if len(set(sizes.values())) < 2:
        return {}
    return {value: f"{size / 1e6:,.3g} M" for value, size in sizes.items()}
