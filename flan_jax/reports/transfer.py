"""Which cluster helps which: the sweep that trains on each cluster alone (DataConfig.only)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flan_jax.errors import plural
from flan_jax.reports import figures, html
from flan_jax.reports.scores import SIGNIFICANT, ScoreRow
from flan_jax.reports.sweep_scores import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ONLY = "DataConfig.only"
COLUMNS = ("trained on", "scored", "untuned", "tuned", "difference", "p", "q")
"""Columns of transfer.csv."""


class Effect(NamedTuple):
    """What training on one cluster alone does to the score of another one.

    Attributes:
      trained: the cluster that is trained on.
      scored: the cluster that is scored.
      row: its scores before and after training.
      q_value: the smallest false discovery rate at which the difference counts; None without a
        paired test.
    """

    trained: str
    scored: str
    row: ScoreRow
    q_value: float | None

    @property
    def counts(self) -> bool:
        """Whether the difference counts at a false discovery rate of SIGNIFICANT."""
        return self.q_value is not None and self.q_value < SIGNIFICANT


def effects(results: Results) -> list[Effect]:
    """Returns the effects of every trained cluster on every scored one; [] for other sweeps.

    Args:
      results: the results of a sweep. Of its other axes the headline values are taken.
    """
    axes = list(results.sweep.axes)
    if ONLY not in axes:
        return []
    place = axes.index(ONLY)
    headline = results.sweep.headline_setting
    found: list[tuple[str, ScoreRow]] = []
    for trained in results.sweep.axes[ONLY]:
        setting = (*headline[:place], trained, *headline[place + 1 :])
        for cluster in results.by_setting.get(setting, ()):
            if cluster.mean is not None and cluster.mean.difference is not None:
                found.append((trained, cluster.mean))
    q_values = false_discovery_rates([row.p_value for _, row in found])
    return [
        Effect(trained, row.name, row, q_value)
        for (trained, row), q_value in zip(found, q_values, strict=True)
    ]


def false_discovery_rates(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns the adjusted p-values of Benjamini and Hochberg (1995).

    Args:
      p_values: p-values; None where there was no test, which does not count.

    Returns:
      For each p-value the smallest false discovery rate at which it is discovered.
    """
    from scipy.stats import false_discovery_control  # takes a second to import

    tested = [p_value for p_value in p_values if p_value is not None]
    if not tested:
        return [None] * len(p_values)
    adjusted = iter(false_discovery_control(tested))
    return [None if p_value is None else float(next(adjusted)) for p_value in p_values]


def transfer_section(results: Results) -> list[html.Block]:
    """Returns the matrix as a picture with what it says; [] for sweeps of another kind.

    Args:
      results: the results of a sweep.
    """
    found = effects(results)
    if not found:
        return []
    helped = [effect for effect in found if effect.counts and _difference(effect) > 0]
    hurt = [effect for effect in found if effect.counts and _difference(effect) < 0]
    text = (
        f"Of {plural(len(found), 'pair')} of clusters, training on the one alone raises the other "
        f"in {len(helped)} and lowers it in {len(hurt)}, at a false discovery rate of "
        f"{SIGNIFICANT:.0%} (Benjamini and Hochberg 1995)."
    )
    best = sorted(helped, key=_difference, reverse=True)[:5]
    if best:
        pairs = [
            f"{effect.trained} helps {effect.scored} ({html.signed(effect.row.difference)})"
            for effect in best
        ]
        text += f" Most of all: {', '.join(pairs)}."
    caption = html.Paragraph(
        "Tuned minus untuned, in points, on the cluster of the column after training on the "
        "cluster of the row alone; * counts at this rate. White: not scored, as the two are "
        "related or the same. The numbers are in transfer.csv.",
        "caption",
    )
    return [
        html.Heading("Which cluster helps which"),
        html.Paragraph(text, "verdict"),
        _figure(found),
        caption,
    ]


def transfer_table(results: Results) -> html.Table | None:
    """Returns the table of transfer.csv; None for sweeps of another kind.

    Args:
      results: the results of a sweep.
    """
    rows: list[list[html.Cell]] = []
    for effect in effects(results):
        before, after = effect.row.before, effect.row.after
        assert before is not None and after is not None
        rows.append(
            [
                effect.trained,
                effect.scored,
                before.interval.mean,
                after.interval.mean,
                effect.row.difference,
                effect.row.p_value,
                effect.q_value,
            ]
        )
    return html.Table(columns=COLUMNS, rows=rows, text_columns=2) if rows else None


def _difference(effect: Effect) -> float:
    assert effect.row.difference is not None
    return effect.row.difference


def _figure(found: Sequence[Effect]) -> html.Figure:
    trained = [effect.trained for effect in found]
    scored = [effect.scored for effect in found]
    names = list(dict.fromkeys(trained + scored))
    rows = [names.index(name) for name in trained]
    columns = [names.index(name) for name in scored]
    differences = [_difference(effect) for effect in found]
    values = np.full((len(names), len(names)), np.nan)
    values[rows, columns] = differences

    figure = figures.new_figure(1.8 + 0.38 * len(names))
    axes = figure.subplots()
    limit = max(float(np.abs(differences).max()), 1.0)
    image = axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit)
    for effect, row, column in zip(found, rows, columns, strict=True):
        _write(axes, column, row, effect, limit)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("scored", fontsize=9)
    axes.set_ylabel("trained on alone", fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.7, label="points")
    return figures.to_block(figure, "Which cluster helps which, tuned minus untuned")


def _write(axes: "Axes", x: int, y: int, effect: Effect, limit: float) -> None:
    """Writes a difference into its square, in a tone that stands out from the square's."""
    difference = _difference(effect)
    mark = "*" if effect.counts else ""
    color = "white" if abs(difference) > 0.6 * limit else "black"
    text = f"{difference:+.0f}{mark}"
    axes.text(x, y, text, ha="center", va="center", fontsize=7, color=color)
