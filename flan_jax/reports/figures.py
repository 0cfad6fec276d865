"""Parts that the figures of all reports share.

Series differ in marker and line style as well as in tone, so that they can be told apart in black
and white.
"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from flan_jax.reports import html

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.6
"""Width of a figure in inches."""
DARK = "#1f3f60"
MIDDLE = "#7d8fa3"
GRID = "#e8e8e8"

Style: TypeAlias = Mapping[str, Any]
"""Keyword arguments of a matplotlib function: colors are texts, sizes are numbers."""
CHANCE_STYLE: Style = {"color": "black", "dashes": (2.5, 1.2), "linewidth": 1.1}


def new_figure(height: float) -> "Figure":
    """Returns an empty figure, `height` inches high."""
    # matplotlib takes half a second to import, which training, too, would pay for at its start.
    # Without pyplot no display, backend or global state is touched.
    from matplotlib.figure import Figure

    return Figure((WIDTH, height), layout="constrained")


def to_block(figure: "Figure", label: str) -> html.Figure:
    """Renders a figure as SVG.

    Args:
      figure: the finished figure.
      label: what the figure shows, for screen readers.
    """
    from matplotlib import rc_context

    for axes in figure.axes:
        axes.tick_params(which="both", labelsize=8, color="#888888")
        axes.spines[["top", "right"]].set_visible(False)

    buffer = io.StringIO()
    with (
        rc_context({"svg.fonttype": "none", "svg.hashsalt": label}),
        warnings.catch_warnings(),
    ):
        # The browser draws the texts; matplotlib's own font may lack a task name's letters.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})

    # Ids such as "axes_1" would be repeated by every figure of the page; nothing refers to them.
    content = re.sub(r' id="[a-zA-Z0-9]+_\d+"', "", buffer.getvalue())
    return html.Figure(content[content.index("<svg") :], label)


def draw_curve(
    axes: "Axes",
    lines: Sequence[np.ndarray],
    average: np.ndarray | None,
    *,
    title: str,
    marker: str = "",
) -> None:
    """Draws thin lines and their average as a thick one.

    Args:
      axes: where to draw.
      lines: float[points, 2] each, step and value.
      average: float[points, 2]; None for no average.
      title: the title of the axes.
      marker: matplotlib's marker of each point of the thin lines.
    """
    for line in lines:
        axes.plot(*line.T, color=MIDDLE, linewidth=0.6, alpha=0.7, marker=marker)
    if average is not None:
        axes.plot(*average.T, color=DARK, linewidth=1.6)
    axes.set_title(title, fontsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.6)


def use_log_scale_if_wide(axes: "Axes", values: np.ndarray) -> None:
    """Sets a logarithmic y axis for positive values that span more than a factor of 6."""
    if len(values) == 0 or values.min() <= 0 or values.max() <= 6 * values.min():
        return
    axes.set_yscale("log", subs=[2, 5])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
