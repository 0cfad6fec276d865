"""The figures of a sweep's report."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flan_jax.bootstrap import Interval
from flan_jax.reports import figures, html
from flan_jax.reports.figures import CHANCE_STYLE, DARK, GRID, MIDDLE, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINT_STYLE: Style = {
    "markersize": 5.5,
    "markeredgewidth": 1.1,
    "elinewidth": 1.1,
    "capsize": 2.5,
    "linestyle": "",
}
DOT_STYLE: Style = {"linestyle": "", "markersize": 4, "markeredgewidth": 0.8}
MEDIAN_STYLE: Style = {"color": "black", "linewidth": 1.6}
UNTUNED = "untuned"
TUNED = "tuned"
SERIES: Mapping[str, Style] = {
    UNTUNED: {"marker": "o", "markerfacecolor": "white", "color": "#555555"},
    TUNED: {"marker": "s", "markerfacecolor": DARK, "color": DARK},
}
MARKERS = "osD^v<>P"
TONES = (DARK, "#6d7f93", "#222222", "#9aa7b4")
DASHES = ("-", "--", "-.", ":")


class FigureRow(NamedTuple):
    """A task or a cluster: one line of a figure.

    Attributes:
      label: its name.
      chance: the score of a blind guess.
      points: the mean of each series (UNTUNED, TUNED) with its interval.
      dots: the template scores of each series.
      note: text at the right end of the line.
    """

    label: str
    chance: float | None
    points: Mapping[str, Interval]
    dots: Mapping[str, Sequence[float]]
    note: str = ""


class Line(NamedTuple):
    """A curve over the values of an axis.

    Attributes:
      label: its name.
      points: the mean at each value; None where nothing is scored.
    """

    label: str
    points: Sequence[Interval | None]

    @property
    def is_scored(self) -> bool:
        """Whether at least one value has a mean."""
        return any(point is not None for point in self.points)


def cluster_means(rows: Sequence[FigureRow]) -> html.Figure:
    """Draws the untuned and the tuned mean of each cluster with error bars.

    Args:
      rows: the clusters, from top to bottom.
    """
    figure = figures.new_figure(0.8 + 0.42 * len(rows))
    axes = figure.subplots()
    for position, row in enumerate(rows):
        for series, point in row.points.items():
            y = position + _offset(series, 0.13)
            style = {**POINT_STYLE, **SERIES[series]}
            axes.errorbar([point.mean], [y], xerr=_error_bars([point]), **style)
        right_of_axes = axes.get_yaxis_transform()
        axes.text(
            1.01, position, row.note, transform=right_of_axes, va="center", fontsize=8.5
        )
    _finish_rows(axes, rows)

    handles: list[object] = []
    for series, style in SERIES.items():
        series_style = {**POINT_STYLE, **style}
        handles.append(axes.errorbar([], [], xerr=[], label=series, **series_style))
    _add_legend(figure, axes, rows, handles)
    return figures.to_block(figure, "Held-out clusters, untuned and tuned, percent")


def template_scores(rows: Sequence[FigureRow]) -> html.Figure:
    """Draws one dot for each template of a task, and a tick at their median.

    Args:
      rows: the tasks, from top to bottom.
    """
    figure = figures.new_figure(0.8 + 0.34 * len(rows))
    axes = figure.subplots()
    for position, row in enumerate(rows):
        for series, dots in row.dots.items():
            y = position + _offset(series, 0.17)
            style = {**SERIES[series], **DOT_STYLE}
            axes.plot(dots, [y] * len(dots), **style, alpha=0.85)
            if len(dots):
                median = np.median(dots)
                ends = [y - 0.15, y + 0.15]
                axes.plot([median, median], ends, **MEDIAN_STYLE)
    _finish_rows(axes, rows)

    handles: list[object] = []
    for series, style in SERIES.items():
        series_style = {**style, **DOT_STYLE}
        handles += axes.plot([], [], label=f"{series}: a template", **series_style)
    handles.append(
        axes.scatter([], [], marker="|", s=60, label="median", **MEDIAN_STYLE)
    )
    _add_legend(figure, axes, rows, handles)
    return figures.to_block(figure, "Scores of single templates, percent")


def _offset(series: str, size: float) -> float:
    """Returns how far a series is drawn below its row's middle (the y axis points down)."""
    return -size if series == UNTUNED else size


def _error_bars(points: Sequence[Interval]) -> np.ndarray:
    """Returns float[2, points], the lengths below and above the mean.

    They are NaN, which is not drawn, where an interval is not known.
    """
    below = [point.mean - point.low for point in points]
    above = [point.high - point.mean for point in points]
    return np.maximum(np.array([below, above]), 0.0)


def _finish_rows(axes: "Axes", rows: Sequence[FigureRow]) -> None:
    """Draws the marks of chance, and sets labels, limits and grid of a figure of rows."""
    for position, row in enumerate(rows):
        if row.chance is not None:
            ends = [position - 0.36, position + 0.36]
            axes.plot([row.chance] * 2, ends, **CHANCE_STYLE)
    labels = [html.clip(row.label, 36) for row in rows]
    axes.set_yticks(range(len(rows)), labels, parse_math=False)
    low, high = axes.get_xlim()
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(min(0, low), max(100, high))
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _add_legend(
    figure: "Figure", axes: "Axes", rows: Sequence[FigureRow], handles: list[object]
) -> None:
    if any(row.chance is not None for row in rows):
        handles = [*handles, *axes.plot([], [], label="chance", **CHANCE_STYLE)]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=4,
        frameon=False,
        fontsize=8.5,
    )


def means_over_axis(
    values: Sequence[str], lines: Sequence[Line], *, chance: float | None, label: str
) -> html.Figure:
    """Draws means against the values of an axis, evenly spaced in the order of the plan.

    Args:
      values: the tick labels.
      lines: the curves. A first one that is called "untuned" is dotted.
      chance: the score of a blind guess.
      label: the label of the axis.
    """
    figure = figures.new_figure(3.4)
    axes = figure.subplots()
    has_untuned = lines[0].label == UNTUNED
    for number, line in enumerate(lines):
        # Error bars of different lines are shifted so that they do not cover one another.
        shift = 0.04 * (number - (len(lines) - 1) / 2)
        positions = [x for x, point in enumerate(line.points) if point is not None]
        points = [point for point in line.points if point is not None]
        if has_untuned and number == 0:
            style = {**SERIES[UNTUNED], "linestyle": ":"}
        else:
            style = _line_style(number - 1 if has_untuned else number)
        axes.errorbar(
            [x + shift for x in positions],
            [point.mean for point in points],
            yerr=_error_bars(points),
            label=html.clip(line.label, 40),
            **{**POINT_STYLE, **style, "linewidth": 1.3},
        )
    if chance is not None:
        axes.axhline(chance, label="chance", **CHANCE_STYLE)

    ticks = [html.clip(value, 24) for value in values]
    axes.set_xticks(range(len(values)), ticks, parse_math=False)
    axes.set(xlim=(-0.4, len(values) - 0.6), ylabel="held-out mean, %")
    axes.set_xlabel(label, fontsize=9, parse_math=False)
    axes.yaxis.label.set_fontsize(9)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)
    return figures.to_block(figure, f"Held-out mean by {html.clip(label, 60)}")


def _line_style(number: int) -> Style:
    """Returns tone, marker and dashes of a curve; those of the first eight all differ."""
    tone = TONES[number % len(TONES)]
    return {
        "marker": MARKERS[number % len(MARKERS)],
        "color": tone,
        "markerfacecolor": tone if number % 2 == 0 else "white",
        "linestyle": DASHES[number % len(DASHES)],
    }


def learning_curves(
    losses: Sequence[np.ndarray],
    evaluated: Mapping[str, np.ndarray],
    line_label: str = "a run",
) -> html.Figure:
    """Draws the training loss of each run and, if known, held-out means during training.

    Args:
      losses: float[points, 2] for each run, step and loss. Their median is drawn if there are
        several.
      evaluated: float[points, 2] for each label, step and percent.
      line_label: what a thin line is.
    """
    figure = figures.new_figure(3.1)
    column_count = 2 if evaluated else 1
    all_axes = figure.subplots(1, column_count, squeeze=False)[0]
    loss_axes = all_axes[0]

    median = _median_curve(losses) if len(losses) > 1 else None
    figures.draw_curve(loss_axes, losses, median, title="training loss")
    loss_axes.plot([], [], color=MIDDLE, linewidth=0.8, label=line_label)
    if median is not None:
        loss_axes.plot([], [], color=DARK, linewidth=1.6, label="median of the runs")
    loss_axes.legend(frameon=False, fontsize=8)
    figures.use_log_scale_if_wide(
        loss_axes, np.concatenate([line[:, 1] for line in losses])
    )

    if evaluated:
        mean_axes = all_axes[1]
        for number, (label, line) in enumerate(evaluated.items()):
            style = {**_line_style(number), "markersize": 4, "linewidth": 1.1}
            mean_axes.plot(*line.T, label=html.clip(label, 30), **style)
        mean_axes.set_title("held-out mean during training, %", fontsize=9)
        mean_axes.grid(axis="y", color=GRID, linewidth=0.6)
        handles, labels = mean_axes.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside right upper", frameon=False, fontsize=8
        )
    for axes in all_axes:
        axes.set_xlabel("step", fontsize=9)
    return figures.to_block(figure, "Learning curves")


def _median_curve(losses: Sequence[np.ndarray]) -> np.ndarray:
    """Returns float[points, 2]: the median at the steps of the longest run.

    At each step, the median is over the runs that have come so far.
    """
    longest = max(losses, key=lambda line: line[-1, 0])
    steps = longest[:, 0]
    interpolated = [
        np.interp(steps, *line.T, left=np.nan, right=np.nan) for line in losses
    ]
    return np.stack([steps, np.nanmedian(interpolated, axis=0)], axis=1)
