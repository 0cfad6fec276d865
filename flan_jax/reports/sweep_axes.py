"""What the axes of a sweep do to the held-out mean: a figure and a table for each that varies."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flan_jax.bootstrap import Interval
from flan_jax.reports import html, sweep_figures
from flan_jax.reports.sweep_figures import Line
from flan_jax.reports.sweep_results import Setting, Sweep, label
from flan_jax.reports.sweep_scores import (
    Cluster,
    Results,
    difference,
    held_out_mean,
    shown_p,
    spread,
)

TITLES = {
    "MODEL": "Model scale",
    "Prompts.instructions": "Role of instructions",
    "Prompts.templates": "Number of templates",
    "Prompts.shots": "Exemplars in the prompt",
    "_clusters": "Number of clusters",
    "_each": "Datasets per cluster",
}
"""What an axis is called, by how it ends or how its last value ends."""


def axes(whole: Results) -> Iterator[html.Block]:
    """A section for each axis beside HELD_OUT and SEED; where none varies, one for the evaluations, if there are several."""
    sweep = whole.sweep
    names = [
        {c.name for c in found if c.mean and "after" in c.mean.scores}
        for found in whole.found.values()
        if found
    ]
    names = [name for name in names if name]
    common = set.intersection(*names) if names else set()
    for number, axis in enumerate(sweep.axes):
        values, last = sweep.axes[axis], sweep.axes[axis][-1]
        title = next(
            (t for end, t in TITLES.items() if axis.endswith(end) or last.endswith(end)), axis
        )
        yield html.heading(title if title == axis else f"{title} ({axis})")
        others = dict.fromkeys(
            setting[:number] + setting[number + 1 :] for setting in sweep.settings
        )
        lines = [
            Line(*line)
            for other in others
            for line in _lines(
                whole,
                [(*other[:number], v, *other[number:]) for v in values],
                common,
                other,
                number,
            )
        ]
        yield from _axis_figure(whole, axis, values, _without_doubles(lines), common)
        settings = {
            other: [(*other[:number], v, *other[number:]) for v in values] for other in others
        }
        yield from _differences(whole, axis, values, settings, common, number)
    if not sweep.axes and len(sweep.evaluations) > 1:
        yield html.heading("Prompts at evaluation")
        points = [_mean_point(whole.shown, common, when) for when in sweep.evaluations]
        yield from _axis_figure(
            whole, "evaluation", sweep.evaluations, [Line("tuned", points)], common
        )


def _lines(
    whole: Results, settings: Sequence[Setting], common: set[str], other: Setting, number: int
) -> Iterator[Any]:
    """(label, points) of the untuned and the tuned model under each evaluation, where the other axes are held at `other`."""
    for when in (
        *(when.replace("after", "before", 1) for when in whole.sweep.evaluations),
        *whole.sweep.evaluations,
    ):
        points = [_mean_point(whole.found.get(setting, ()), common, when) for setting in settings]
        yield _line_label(whole, when, other, number), points


def _line_label(whole: Results, when: str, other: Setting, number: int) -> str:
    """The time, and where the axes other than number `number` are held."""
    names = [name for i, name in enumerate(whole.sweep.axes) if i != number]
    where = [
        f"{axis.rpartition('.')[2]} = {value}" for axis, value in zip(names, other, strict=True)
    ]
    return ", ".join([_time(when), *where])


def _time(when: str) -> str:
    time, _, prompts = when.partition("-")
    return {"before": "untuned", "after": "tuned"}[time] + (
        f", {prompts} at evaluation" if prompts else ""
    )


def _mean_point(found: Sequence[Cluster], common: set[str], when: str) -> Interval | None:
    own = [cluster for cluster in found if cluster.name in common]
    return held_out_mean(own, when) if len(own) == len(common) else None


def _without_doubles(lines: Sequence[Line]) -> list[Line]:
    """The untuned lines that are the same in all settings become one."""
    untuned = [line for line in lines if line.label.startswith("untuned")]
    if len({tuple(p and round(p.mean, 6) for p in line.points) for line in untuned}) == 1:
        return [
            Line("untuned", untuned[0].points),
            *(line for line in lines if line not in untuned),
        ]
    return list(lines)


def _axis_figure(
    whole: Results, axis: str, values: Sequence[str], lines: Sequence[Line], common: set[str]
) -> Iterator[html.Block]:
    lines = [line for line in lines if any(point is not None for point in line.points)]
    if not lines:
        yield html.placeholder("no held-out cluster is scored in all settings")
        return
    chances = [c.mean.chance for c in whole.shown if c.mean and c.name in common]
    chance = (
        float(np.mean([c for c in chances if c is not None]))
        if chances and None not in chances
        else None
    )
    short, pattern = _shorter(values)
    counts = _parameters(whole.sweep, axis, values)
    ticks = [
        f"{value}\n{counts[full]}" if full in counts else value
        for value, full in zip(short, values, strict=True)
    ]
    yield html.Block(
        sweep_figures.over_axis(ticks, lines, chance, f"{axis} = {pattern}" if pattern else axis)
    )
    yield html.paragraph(
        f"Mean over {', '.join(sorted(common))} (the clusters scored in every setting), percent; error bars and brackets: "
        "95 % intervals over templates and examples, and over seeds where there are several.",
        "caption",
    )
    rows = [
        [value, *(point and spread(point) for point in points)]
        for value, points in zip(
            values, zip(*(line.points for line in lines), strict=True), strict=True
        )
    ]
    yield html.table_block([axis, *(line.label for line in lines)], rows, texts=1, dense=True)


def _differences(
    whole: Results,
    axis: str,
    values: Sequence[str],
    settings: Mapping[Setting, Sequence[Setting]],
    common: set[str],
    number: int,
) -> Iterator[html.Block]:
    """Each value of an axis against its first, tuned, paired; by what the other axes are held at."""
    columns, lines = [], []
    for other, points in settings.items():
        for when in whole.sweep.evaluations:
            first, *rest = (whole.found.get(setting, ()) for setting in points)
            found = [difference(first, each, common, when) if common else None for each in rest]
            if any(found):
                columns.append(_line_label(whole, when, other, number))
                lines.append(
                    [
                        each and f"{_signed(each.interval)}, p {shown_p(each.p) or '-'}"
                        for each in found
                    ]
                )
    if columns:
        rows = [[value, *cells] for value, *cells in zip(values[1:], *lines, strict=True)]
        yield html.table_block([f"less {values[0]}", *columns], rows, texts=1, dense=True)
        yield html.paragraph(
            f"What each value of {axis} scores above {values[0]}, of the same templates and examples, with a 95 % interval of "
            "the difference and the p of a paired permutation test, not corrected for the number of tests.",
            "caption",
        )


def _signed(interval: Interval) -> str:
    bounds = "" if np.isnan(interval.low) else f" [{interval.low:+.1f}, {interval.high:+.1f}]"
    return f"{interval.mean:+.1f}{bounds}"


def _shorter(values: Sequence[str]) -> tuple[list[str], str]:
    """Values without the words that all begin or end with, and the pattern that is left of them.

    >>> _shorter(["flan_1_clusters", "flan_3_clusters"])
    (['1', '3'], 'flan_…_clusters')
    """
    words = [value.split("_") for value in values]
    shortest = min(map(len, words))
    same = [len({tuple(w[:n]) for w in words}) == 1 for n in range(1, shortest)]
    head = sum(itertools.takewhile(bool, same))
    same = [len({tuple(w[len(w) - n :]) for w in words}) == 1 for n in range(1, shortest - head)]
    tail = sum(itertools.takewhile(bool, same))
    short = ["_".join(w[head : len(w) - tail]) for w in words]
    return short, "_".join(
        [*words[0][:head], "\u2026", *words[0][len(words[0]) - tail :]]
    ) if head + tail else ""


def _parameters(sweep: Sweep, axis: str, values: Sequence[str]) -> dict[str, str]:
    """The models' sizes by value, where the axis changes them."""
    sizes: dict[str, int] = {}
    for run in sweep.runs:
        model = run.manifest.get("model")
        count = model.get("parameters") if isinstance(model, Mapping) else None
        if isinstance(count, int):
            sizes[label(run.point.get(axis))] = count
    return (
        {value: f"{size / 1e6:,.3g} M" for value, size in sizes.items()}
        if len(set(sizes.values())) > 1
        else {}
    )
