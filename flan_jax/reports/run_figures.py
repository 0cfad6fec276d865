"""The figures of a run's report."""

import math
from collections.abc import Sequence

import numpy as np

from flan_jax.json_files import JsonObject
from flan_jax.reports import figures, html
from flan_jax.reports.predictions import phase_label
from flan_jax.reports.scores import ScoreRow
from flan_jax.run_records import AFTER, BEFORE

MAX_POINTS = 1500
"""Approximate number of points of a curve."""
CURVES = {
    "loss": "loss",
    "accuracy": "token accuracy, %",
    "learning_rate": "learning rate",
}
"""Values of metrics.jsonl that are drawn, with their titles."""

BAR_HEIGHT = 0.36
DOT_STYLE: figures.Style = {
    "s": 11,
    "facecolor": "white",
    "edgecolor": "#222222",
    "linewidth": 0.7,
    "zorder": 3,
}


def score_bars(
    rows: Sequence[ScoreRow],
    dot_label: str,
    *,
    faint: bool,
    is_evaluation: bool = False,
) -> html.Figure:
    """Draws a bar for the score before training and one for the score after it.

    The bars are told apart by hatching as well as by tone.

    Args:
      rows: tasks or clusters.
      dot_label: what a dot on a bar is; a bar is the mean of its dots.
      faint: whether the bars are drawn in light tones.
      is_evaluation: whether a checkpoint is scored and nothing is trained.
    """
    figure = figures.new_figure(0.75 + 0.52 * len(rows))
    axes = figure.subplots()
    styles = _bar_styles(faint)
    scored_phases = set().union(*(row.scores for row in rows))
    phases = [phase for phase in styles if phase in scored_phases]

    for position, row in enumerate(rows):
        for number, phase in enumerate(phases):
            if phase not in row.scores:
                continue
            score = row.scores[phase]
            middle = 0.5 * (len(phases) - 1)
            y = position + 0.4 * (number - middle)
            dot_offsets = np.linspace(-0.11, 0.11, len(score.parts) + 2)[1:-1]
            axes.barh(y, score.mean, **styles[phase])
            axes.scatter(score.parts, y + dot_offsets, **DOT_STYLE)
            # In a column at the right end, where neither dots nor the chance mark can cross it.
            axes.text(
                108, y, f"{score.mean:.1f}", va="center", ha="right", fontsize=8.5
            )
        if row.chance is not None:
            ends = [position - 0.44, position + 0.44]
            axes.plot([row.chance] * 2, ends, **figures.CHANCE_STYLE)

    labels = [html.clip(row.name, 32) for row in rows]
    axes.set_yticks(range(len(rows)), labels, parse_math=False)
    left = min(0, axes.get_xlim()[0])
    axes.set_xlim(left, 108)
    axes.set_xticks(range(0, 101, 20))
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)

    handles: list[object] = []
    for phase in phases:
        label = f"{phase_label(phase, is_evaluation=is_evaluation)}: mean"
        handles.append(axes.barh([0], [np.nan], label=label, **styles[phase]))
    handles.append(axes.scatter([], [], label=dot_label, **DOT_STYLE))
    if any(row.chance is not None for row in rows):
        handles += axes.plot([], [], label="chance", **figures.CHANCE_STYLE)
    figure.legend(
        handles=handles, loc="outside upper right", ncols=4, frameon=False, fontsize=8
    )
    when = "" if is_evaluation else " before and after training"
    return figures.to_block(figure, f"Scores{when}, percent")


def _bar_styles(faint: bool) -> dict:
    """Returns matplotlib's arguments of a bar for each phase."""
    edge = "#999999" if faint else "#444444"
    shared = {"height": BAR_HEIGHT, "linewidth": 0.7, "edgecolor": edge}
    before = {"facecolor": "white", "hatch": "/////"}
    after = {"facecolor": "#a9bfd6" if faint else "#2b5c8a"}
    return {BEFORE: shared | before, AFTER: shared | after}


def training_curves(metrics: Sequence[JsonObject]) -> html.Figure:
    """Draws loss, token accuracy and learning rate by step.

    Args:
      metrics: the rows of metrics.jsonl, without those of evaluations.
    """
    figure = figures.new_figure(3.3)
    grid = figure.subplot_mosaic(
        [["loss", "loss", "accuracy"], ["loss", "loss", "learning_rate"]]
    )
    for name, title in CURVES.items():
        rows = [row for row in metrics if math.isfinite(row.get(name, math.nan))]
        values = [[row["step"], row[name]] for row in rows]
        points = np.array(values, float).reshape(-1, 2)
        is_smooth = name == "learning_rate"
        average = points if is_smooth else _moving_mean(points)
        thinned = slice(None, None, 1 + len(points) // MAX_POINTS)
        marker = "." if len(points) < 20 else ""
        figures.draw_curve(
            grid[name], [points[thinned]], average[thinned], title=title, marker=marker
        )
        if name == "loss":
            figures.use_log_scale_if_wide(grid[name], points[:, 1])
    grid["loss"].set_xlabel("step", fontsize=9)
    return figures.to_block(figure, "Loss, token accuracy and learning rate by step")


def _moving_mean(points: np.ndarray) -> np.ndarray:
    """Returns [points, 2], each value averaged over a twentieth of the points around it.

    At the ends fewer points are averaged.
    """
    if len(points) == 0:
        return points
    window = np.ones(len(points) // 20 | 1)
    sums = np.convolve(points[:, 1], window, "same")
    counts = np.convolve(np.ones(len(points)), window, "same")
    return np.stack([points[:, 0], sums / counts], axis=1)
