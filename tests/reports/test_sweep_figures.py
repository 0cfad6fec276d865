import math

import numpy as np
import pytest

from flan_jax.bootstrap import Interval
from flan_jax.reports import sweep_figures
from flan_jax.reports.sweep_figures import TUNED, UNTUNED, FigureRow, Line


def interval(mean, low=math.nan, high=math.nan):
    return Interval(mean, math.nan, low, high)


def cluster(label, chance=None, note="", **points):
    """Returns the row of a cluster from its points, untuned=... and tuned=..."""
    return FigureRow(label, chance, points, {}, note)


def task(label, **dots):
    """Returns the row of a task from the scores of its templates."""
    return FigureRow(label, None, {}, dots)


def has_text(block, text):
    return f">{text}<" in block.svg


def is_drawn(line):
    """Returns whether a line has points; those of the legend have none."""
    return len(line.get_xydata()) > 0


@pytest.fixture
def draw_rows(draw):
    """draw_rows(function, *rows): (block, axes) of a figure of rows."""

    def drawn(function, *rows):
        block, figure = draw(function, rows)
        (axes,) = figure.axes
        return block, axes

    return drawn


@pytest.fixture
def draw_lines(draw):
    """draw_lines(values, *lines): (block, axes) of means over an axis."""

    def drawn(values, *lines, chance=None, label="SIZE"):
        function = sweep_figures.means_over_axis
        block, figure = draw(function, values, lines, chance=chance, label=label)
        (axes,) = figure.axes
        return block, axes

    return drawn


def series_of(axes):
    """Returns the lines that are drawn with error bars, each float[points, 2]."""
    lines = [container.lines[0] for container in axes.containers]
    return [line.get_xydata() for line in lines if is_drawn(line)]


def error_bars_of(axes):
    """Returns the ends of the first error bar of each line, each float[2, 2]."""
    ends = []
    for container in axes.containers:
        line, _, (bars,) = container.lines
        if is_drawn(line):
            ends.append(bars.get_segments()[0])
    return ends


def chance_marks(axes):
    """Returns the value of each mark of chance, which is dashed."""
    dashed = [line for line in axes.lines if line.is_dashed()]
    return [line.get_xdata()[0] for line in dashed if is_drawn(line)]


def label_texts(labels):
    return [label.get_text() for label in labels]


def test_clusters_have_their_means(draw_rows):
    points = {UNTUNED: interval(40.0), TUNED: interval(60.0)}
    nli = cluster("nli", chance=50.0, note="+20.0 *", **points)
    block, axes = draw_rows(sweep_figures.cluster_means, nli)
    untuned, tuned = np.concatenate(series_of(axes))
    assert untuned[0] == 40.0
    assert tuned[0] == 60.0
    # Untuned lies above tuned; the axis points down.
    assert untuned[1] < tuned[1]
    assert axes.yaxis_inverted()
    assert chance_marks(axes) == [50.0]
    for text in ("nli", "+20.0 *", UNTUNED, TUNED, "chance"):
        assert has_text(block, text), text


@pytest.mark.parametrize(
    "low, high, ends",
    [
        (52.0, 66.0, [52.0, 66.0]),
        # A percentile interval of few values can lie on one side of the mean.
        (61.0, 70.0, [60.0, 70.0]),
    ],
)
def test_an_error_bar_is_the_interval_and_reaches_the_mean(draw_rows, low, high, ends):
    nli = cluster("nli", tuned=interval(60.0, low, high))
    _, axes = draw_rows(sweep_figures.cluster_means, nli)
    (bar,) = error_bars_of(axes)
    assert bar[:, 0].tolist() == ends


def test_an_interval_that_is_not_known_is_not_drawn(draw_rows):
    nli = cluster("nli", tuned=interval(60.0))
    _, axes = draw_rows(sweep_figures.cluster_means, nli)
    (points,) = series_of(axes)
    assert points[0, 0] == 60.0
    (bar,) = error_bars_of(axes)
    assert bar.size == 0


def test_each_cluster_has_a_line_of_its_own(draw_rows):
    nli = cluster("nli", tuned=interval(60.0))
    qa = cluster("qa", untuned=interval(30.0))
    block, axes = draw_rows(sweep_figures.cluster_means, nli, cluster("$x_1$"), qa)
    positions = np.concatenate(series_of(axes))[:, 1]
    assert positions.round().tolist() == [0, 2]
    assert label_texts(axes.get_yticklabels()) == ["nli", "$x_1$", "qa"]
    assert has_text(block, "$x_1$")
    assert chance_marks(axes) == []
    assert not has_text(block, "chance")


def test_the_axis_is_of_percent_unless_a_score_lies_outside(draw_rows):
    nli = cluster("nli", tuned=interval(60.0))
    _, axes = draw_rows(sweep_figures.cluster_means, nli)
    assert axes.get_xlim() == (0, 100)
    cola = cluster("cola", tuned=interval(-10.0))
    _, axes = draw_rows(sweep_figures.cluster_means, cola)
    left, right = axes.get_xlim()
    assert left < -10
    assert right == 100


@pytest.mark.parametrize(
    "dots, median", [([10.0, 20.0, 90.0], 20.0), ([50.0, 60.0], 55.0), ([7.0], 7.0)]
)
def test_templates_are_dots_with_a_tick_at_their_median(draw_rows, dots, median):
    rte = task("rte", tuned=dots)
    block, axes = draw_rows(sweep_figures.template_scores, rte)
    drawn, tick = filter(is_drawn, axes.lines)
    assert list(drawn.get_xdata()) == dots
    assert list(tick.get_xdata()) == [median, median]
    assert np.mean(tick.get_ydata()) == pytest.approx(drawn.get_ydata()[0])
    for text in ("rte", "untuned: a template", "tuned: a template", "median"):
        assert has_text(block, text), text


def test_untuned_templates_lie_above_the_tuned_ones(draw_rows):
    rte = task("rte", untuned=[10.0], tuned=[50.0])
    _, axes = draw_rows(sweep_figures.template_scores, rte)
    untuned, _, tuned, _ = filter(is_drawn, axes.lines)
    assert untuned.get_ydata()[0] < tuned.get_ydata()[0]
    assert untuned.get_marker() != tuned.get_marker()


def test_a_task_without_templates_has_no_median(draw_rows):
    block, axes = draw_rows(sweep_figures.template_scores, task("rte", tuned=[]))
    assert not any(map(is_drawn, axes.lines))
    assert has_text(block, "rte")


def test_means_over_an_axis_leave_out_what_is_not_scored(draw_lines):
    tuned = Line(TUNED, [interval(40.0), None, interval(60.0)])
    unscored = Line("none", [None, None, None])
    block, axes = draw_lines(["1", "3", "7"], tuned, unscored)
    (points,) = series_of(axes)
    assert points[:, 0].round().tolist() == [0, 2]
    assert points[:, 1].tolist() == [40.0, 60.0]
    assert label_texts(axes.get_xticklabels()) == ["1", "3", "7"]
    assert has_text(block, "none")


def test_the_labels_and_the_chance_of_an_axis(draw_lines):
    line = Line(TUNED, [interval(40.0)])
    block, axes = draw_lines(["1"], line, chance=25.0, label="MIXTURE")
    levels = {text.get_label(): text.get_ydata() for text in axes.lines}
    assert set(levels["chance"]) == {25.0}
    assert block.label == "Held-out mean by MIXTURE"
    for text in ("MIXTURE", TUNED, "chance"):
        assert has_text(block, text), text

    block, _ = draw_lines(["1"], line)
    assert not has_text(block, "chance")


def test_error_bars_of_two_lines_lie_side_by_side(draw_lines):
    first = Line("a", [interval(40.0, 35.0, 45.0)])
    second = Line("b", [interval(40.0, 30.0, 50.0)])
    _, axes = draw_lines(["1"], first, second)
    left, right = error_bars_of(axes)
    assert left[:, 1].tolist() == [35.0, 45.0]
    assert right[:, 1].tolist() == [30.0, 50.0]
    assert left[0, 0] < 0 < right[0, 0]


def looks_of(axes):
    """Returns (dashes, marker) of each line that is drawn with error bars."""
    lines = [container.lines[0] for container in axes.containers]
    return [(line.get_linestyle(), line.get_marker()) for line in lines]


def test_an_untuned_line_is_dotted_and_the_others_look_as_without_it(draw_lines):
    untuned, first, second = (Line(name, []) for name in (UNTUNED, "a", "b"))
    _, axes = draw_lines(["1"], untuned, first, second)
    look, *others = looks_of(axes)
    assert look == (":", "o")
    _, axes = draw_lines(["1"], first, second)
    assert looks_of(axes) == others


def test_long_values_and_labels_are_clipped_and_are_no_formulas(draw_lines):
    line = Line("l" * 50, [interval(40.0), None])
    block, _ = draw_lines(["v" * 30, "$x_1$"], line, label="a" * 70)
    assert has_text(block, "v" * 23 + "…")
    assert has_text(block, "$x_1$")
    assert has_text(block, "l" * 39 + "…")
    assert block.label == "Held-out mean by " + "a" * 59 + "…"


@pytest.mark.parametrize(
    "points, is_scored",
    [([], False), ([None, None], False), ([None, interval(0.0)], True)],
)
def test_a_line_is_scored_with_one_mean(points, is_scored):
    assert Line("a", points).is_scored == is_scored


def test_eight_curves_differ_in_marker_and_dashes(draw_lines):
    lines = [Line(str(number), []) for number in range(8)]
    _, axes = draw_lines(["1"], *lines)
    assert len(set(looks_of(axes))) == 8


def losses(*points):
    return np.array(points, float)


def test_the_median_of_the_runs_that_have_come_so_far(draw):
    runs = [
        losses((0, 8), (10, 4), (20, 2), (30, 1)),
        losses((0, 6), (10, 5)),
        losses((0, 1), (20, 3)),
    ]
    block, figure = draw(sweep_figures.learning_curves, runs, {})
    *thin, median = filter(is_drawn, figure.axes[0].lines)
    for line, run in zip(thin, runs, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), run)
    # At step 10 the third run is between its two points, at 2; at step 30 one run is left.
    assert median.get_xydata().tolist() == [[0, 6], [10, 4], [20, 2.5], [30, 1]]
    assert has_text(block, "a run")
    assert has_text(block, "median of the runs")


def test_one_run_has_no_median(draw):
    run = losses((1, 4), (2, 3))
    block, figure = draw(sweep_figures.learning_curves, [run], {}, "the base model")
    (axes,) = figure.axes
    (line,) = filter(is_drawn, axes.lines)
    np.testing.assert_array_equal(line.get_xydata(), run)
    assert has_text(block, "the base model")
    assert not has_text(block, "median of the runs")


@pytest.mark.parametrize("last, scale", [(1.0, "linear"), (0.5, "log")])
def test_losses_that_fall_far_have_a_logarithmic_axis(draw, last, scale):
    runs = [losses((1, 4), (2, 3)), losses((1, 4), (2, last))]
    _, figure = draw(sweep_figures.learning_curves, runs, {})
    assert figure.axes[0].get_yscale() == scale


def test_held_out_means_during_training_stand_beside_the_losses(draw):
    evaluated = {"nli": losses((1, 40), (2, 55)), "q" * 40: losses((2, 30))}
    run = losses((1, 4), (2, 3))
    block, figure = draw(sweep_figures.learning_curves, [run], evaluated)
    _, axes = figure.axes
    assert axes.get_title() == "held-out mean during training, %"
    for line, expected in zip(axes.lines, evaluated.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), expected)
    assert has_text(block, "nli")
    assert has_text(block, "q" * 29 + "…")
