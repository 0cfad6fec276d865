"""The figures of a sweep's report. Series differ in marker and line as well as in tone, so that they print in black and white."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flan_jax.bootstrap import Interval
from flan_jax.reports import html

DARK, MIDDLE, GRID = "#1f3f60", "#7d8fa3", "#e8e8e8"
CHANCE: Any = {"color": "black", "dashes": (2.5, 1.2), "linewidth": 1.1}
POINT: Any = {
    "markersize": 5.5,
    "markeredgewidth": 1.1,
    "elinewidth": 1.1,
    "capsize": 2.5,
    "linestyle": "",
}
LOOKS: Any = {
    "untuned": {"marker": "o", "markerfacecolor": "white", "color": "#555555"},
    "tuned": {"marker": "s", "markerfacecolor": DARK, "color": DARK},
}
MARKERS, TONES, DASHES = "osD^v<>P", (DARK, "#6d7f93", "#222222", "#9aa7b4"), ("-", "--", "-.", ":")


class Row(NamedTuple):
    """A line of a figure. points: of "untuned" and "tuned"; dots: what each is the mean of; note: printed at its end."""

    label: str
    chance: float | None
    points: Mapping[str, Interval]
    dots: Mapping[str, Sequence[float]]
    note: str = ""


class Line(NamedTuple):
    """A curve over an axis's values; None where nothing is scored."""

    label: str
    points: Sequence[Interval | None]


def headline(rows: Sequence[Row]) -> str:
    """A pair of points with error bars for each cluster."""
    figure = html.figure(7.6, 0.8 + 0.42 * len(rows))
    axes = figure.subplots()
    for y, row in enumerate(rows):
        for name, point in row.points.items():
            axes.errorbar(
                [point.mean], [y + _offset(name, 0.13)], xerr=_arms([point]), **POINT | LOOKS[name]
            )
        if row.chance is not None:
            axes.plot([row.chance] * 2, [y - 0.36, y + 0.36], **CHANCE)
        axes.text(
            1.01, y, row.note, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5
        )
    _rows_frame(figure, axes, rows)
    handles = [
        axes.errorbar([], [], xerr=[], label=name, **POINT | look) for name, look in LOOKS.items()
    ]
    _legend(figure, axes, rows, handles)
    return html.svg(figure, "Held-out clusters, untuned and tuned, percent")


def strip(rows: Sequence[Row]) -> str:
    """One dot a template, a tick at the median."""
    figure = html.figure(7.6, 0.8 + 0.34 * len(rows))
    axes = figure.subplots()
    for y, row in enumerate(rows):
        for name, dots in row.dots.items():
            place, look = y + _offset(name, 0.17), LOOKS[name]
            axes.plot(dots, [place] * len(dots), **_dot(look), alpha=0.85)
            if len(dots):
                axes.plot(
                    [np.median(dots)] * 2,
                    [place - 0.15, place + 0.15],
                    color="black",
                    linewidth=1.6,
                )
        if row.chance is not None:
            axes.plot([row.chance] * 2, [y - 0.36, y + 0.36], **CHANCE)
    _rows_frame(figure, axes, rows)
    handles = [
        axes.plot([], [], label=f"{name}: a template", **_dot(look))[0]
        for name, look in LOOKS.items()
    ]
    handles.append(
        axes.scatter([], [], marker="|", s=60, color="black", linewidth=1.6, label="median")
    )
    _legend(figure, axes, rows, handles)
    return html.svg(figure, "Scores of single templates, percent")


def _dot(look: Mapping[str, Any]) -> dict[str, Any]:
    return dict(look) | {"linestyle": "", "markersize": 4, "markeredgewidth": 0.8}


def _offset(name: str, size: float) -> float:
    return -size if name == "untuned" else size


def _rows_frame(figure: Any, axes: Any, rows: Sequence[Row]) -> None:
    axes.set_yticks(range(len(rows)), [html.clip(row.label, 36) for row in rows], parse_math=False)
    low, high = axes.get_xlim()
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(min(0, low), max(100, high)))
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _legend(figure: Any, axes: Any, rows: Sequence[Row], handles: list[Any]) -> None:
    if any(row.chance is not None for row in rows):
        handles += axes.plot([], [], label="chance", **CHANCE)
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=8.5)


def over_axis(
    values: Sequence[str], lines: Sequence[Line], chance: float | None, label: str
) -> str:
    """Means against an axis's values, evenly spaced in the plan's order."""
    figure = html.figure(7.6, 3.4)
    axes = figure.subplots()
    for number, line in enumerate(lines):
        shift = 0.04 * (
            number - (len(lines) - 1) / 2
        )  # so that error bars do not lie on one another
        found = [(x + shift, point) for x, point in enumerate(line.points) if point is not None]
        plain = lines[0].label == "untuned"
        look = (
            LOOKS["untuned"] | {"linestyle": ":"}
            if plain and number == 0
            else _look(number - plain)
        )
        axes.errorbar(
            [x for x, _ in found],
            [point.mean for _, point in found],
            yerr=_arms([point for _, point in found]),
            label=html.clip(line.label, 40),
            **POINT | look | {"linewidth": 1.3},
        )
    if chance is not None:
        axes.axhline(chance, label="chance", **CHANCE)
    axes.set_xticks(
        range(len(values)), [html.clip(value, 24) for value in values], parse_math=False
    )
    axes.set(xlim=(-0.4, len(values) - 0.6), ylabel="held-out mean, %")
    axes.set_xlabel(label, fontsize=9, parse_math=False)
    axes.yaxis.label.set_fontsize(9)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)
    return html.svg(
        figure, f"Held-out mean by {html.clip(label, 60)}".replace('"', "").replace("<", "")
    )


def _arms(points: Sequence[Interval]) -> np.ndarray:
    """[2, points]: how far error bars reach down and up; NaN, which is not drawn, where an interval is not known."""
    arms = [(point.mean - point.low, point.high - point.mean) for point in points]
    return np.maximum(np.array(arms).T.reshape(2, -1), 0.0)


def _look(number: int) -> dict[str, Any]:
    tone = TONES[number % len(TONES)]
    filled = tone if number % 2 == 0 else "white"
    marker, dashes = MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)]
    return {"marker": marker, "color": tone, "markerfacecolor": filled, "linestyle": dashes}


def curves(
    losses: Sequence[np.ndarray], evaluated: Mapping[str, np.ndarray], line_is: str = "a run"
) -> str:
    """Training loss, a thin line a run and their median; and, if there, held-out means during training.

    losses: [steps, 2] a run, step and loss. evaluated: [steps, 2] a label, step and percent. line_is: what a line is called.
    """
    figure = html.figure(7.6, 3.1)
    left, *right = figure.subplots(1, 1 + bool(evaluated), squeeze=False)[0]
    for line in losses:
        left.plot(*line.T, color=MIDDLE, linewidth=0.6, alpha=0.7)
    left.plot([], [], color=MIDDLE, linewidth=0.8, label=line_is)
    if len(losses) > 1:
        left.plot(*_median(losses).T, color="black", linewidth=1.6, label="median of the runs")
    values = np.concatenate([line[:, 1] for line in losses])
    if 0 < 6 * values.min() < values.max():
        left.set_yscale("log", subs=[2, 5])
        left.yaxis.set(major_formatter="{x:g}", minor_formatter="{x:g}")
    left.legend(frameon=False, fontsize=8)
    left.set_title("training loss", fontsize=9)
    for axes in right:
        for number, (label, line) in enumerate(evaluated.items()):
            axes.plot(
                *line.T, label=html.clip(label, 30), markersize=4, linewidth=1.1, **_look(number)
            )
        axes.set_title("held-out mean during training, %", fontsize=9)
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8
        )
    for axes in (left, *right):
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.set_xlabel("step", fontsize=9)
    return html.svg(figure, "Learning curves")


def _median(losses: Sequence[np.ndarray]) -> np.ndarray:
    """Of the runs that have come so far, at the steps of the longest."""
    steps = max(losses, key=lambda line: line[-1, 0])[:, 0]
    within = [np.interp(steps, *line.T, left=np.nan, right=np.nan) for line in losses]
    return np.stack([steps, np.nanmedian(within, axis=0)], axis=1)
