import math

import numpy as np
import pytest
from run_directory import metrics_row, scores, task

from flan_jax.reports import run_figures
from flan_jax.reports.scores import task_row
from flan_jax.run_records import TaskScores


def row(name, chance=50.0, **phases):
    """Returns the row of a task from the scores of its templates in each phase."""
    content = {}
    for phase, accuracies in phases.items():
        content[phase] = scores(*accuracies, chance=chance)
    record = TaskScores.from_json(task(name, **content))
    return task_row([record])


RTE = row("rte", before=[48.0, 52.0], after=[60.0, 70.0, 80.0])


def has_text(block, text):
    return f">{text}<" in block.svg


@pytest.fixture
def draw_bars(draw):
    """draw_bars(*rows): (block, axes) of the bars of rows."""

    def drawn(*rows, faint=False):
        block, figure = draw(run_figures.score_bars, rows, "a template", faint=faint)
        (axes,) = figure.axes
        return block, axes

    return drawn


@pytest.fixture
def draw_curves(draw):
    """draw_curves(metrics): {title: axes} of the curves of a run."""

    def drawn(metrics):
        _, figure = draw(run_figures.training_curves, metrics)
        return {axes.get_title(): axes for axes in figure.axes}

    return drawn


def bars_of(axes):
    """Returns the bars without those of the legend, which have no length."""
    return [bar for bar in axes.patches if math.isfinite(bar.get_width())]


def lengths_of(axes):
    return [bar.get_width() for bar in bars_of(axes)]


def middles_of(axes):
    return [bar.get_y() + bar.get_height() / 2 for bar in bars_of(axes)]


def dots_of(axes):
    """Returns the values of the dots of each bar; the last dots are the legend's."""
    *collections, _ = axes.collections
    return [dots.get_offsets()[:, 0].tolist() for dots in collections]


def chance_marks(axes):
    """Returns the value of each mark of chance; the legend's has none."""
    marks = [line.get_xdata() for line in axes.lines]
    return [mark[0] for mark in marks if len(mark)]


def test_a_bar_is_the_mean_of_its_dots(draw_bars):
    block, axes = draw_bars(RTE)
    assert lengths_of(axes) == [50.0, 70.0]
    assert dots_of(axes) == [[48.0, 52.0], [60.0, 70.0, 80.0]]
    assert block.label == "Scores before and after training, percent"
    for text in ("50.0", "70.0", "rte", "before: mean", "after: mean", "a template"):
        assert has_text(block, text), text


def test_bars_follow_one_another_without_covering(draw_bars):
    cb = row("cb", before=[30.0], after=[50.0])
    _, axes = draw_bars(RTE, cb)
    assert axes.yaxis_inverted()
    distances = np.diff(middles_of(axes))
    assert len(distances) == 3
    assert distances.min() >= run_figures.BAR_HEIGHT


@pytest.mark.parametrize("faint", [False, True])
def test_bars_are_told_apart_without_color(draw_bars, faint):
    _, axes = draw_bars(RTE, faint=faint)
    before, after = bars_of(axes)
    assert before.get_hatch()
    assert not after.get_hatch()
    assert sum(before.get_facecolor()) > sum(after.get_facecolor())


def test_a_missing_phase_has_neither_bar_nor_label(draw_bars):
    rte = row("rte", before=[40.0])
    cb = row("cb", before=[60.0])
    block, axes = draw_bars(rte, cb)
    assert lengths_of(axes) == [40.0, 60.0]
    assert middles_of(axes) == pytest.approx([0.0, 1.0])
    assert not has_text(block, "after: mean")


def test_a_row_without_a_score_keeps_its_place(draw_bars):
    block, axes = draw_bars(row("unscored"), RTE)
    assert middles_of(axes) == pytest.approx([0.8, 1.2])
    assert has_text(block, "unscored")


def test_no_score_at_all_draws_the_names(draw_bars):
    block, axes = draw_bars(row("cb"))
    assert bars_of(axes) == []
    assert has_text(block, "cb")


def test_chance_is_marked_where_it_is_known(draw_bars):
    cb = row("cb", chance=0.0, after=[50.0])
    samsum = row("samsum", chance=None, after=[33.0])
    block, axes = draw_bars(cb, samsum)
    assert chance_marks(axes) == [0.0]
    assert has_text(block, "chance")

    block, axes = draw_bars(samsum)
    assert chance_marks(axes) == []
    assert not has_text(block, "chance")


def test_the_axis_reaches_scores_below_zero(draw_bars):
    _, axes = draw_bars(RTE)
    assert axes.get_xlim() == (0, 108)
    _, axes = draw_bars(row("cola", after=[-20.0]))
    left, right = axes.get_xlim()
    assert left < -20
    assert right == 108


def test_names_are_clipped_and_are_no_formulas(draw_bars):
    formula = row("$x_1$", after=[50.0])
    long = row("a" * 40, after=[50.0])
    block, _ = draw_bars(formula, long)
    assert has_text(block, "$x_1$")
    assert has_text(block, "a" * 31 + "…")


def points_of(axes):
    """Returns the points of the thin and of the thick line."""
    thin, thick = axes.lines
    return thin.get_xydata(), thick.get_xydata()


def test_the_curves_have_the_values_of_the_steps(draw_curves):
    drawn = draw_curves([metrics_row(10, 4.0), metrics_row(20, 3.0)])
    expected = {
        "loss": [[10, 4], [20, 3]],
        "token accuracy, %": [[10, 40], [20, 40]],
        "learning rate": [[10, 1e-3], [20, 1e-3]],
    }
    assert drawn.keys() == expected.keys()
    for title, points in expected.items():
        thin, _ = points_of(drawn[title])
        np.testing.assert_array_equal(thin, points)


def test_what_is_not_finite_or_missing_is_left_out(draw_curves):
    metrics = [
        metrics_row(10, 4.0),
        metrics_row(20, math.nan),
        metrics_row(30, math.inf),
        {"step": 40, "loss": 2.0},
    ]
    drawn = draw_curves(metrics)
    loss, _ = points_of(drawn["loss"])
    assert loss.tolist() == [[10, 4], [40, 2]]
    accuracy, _ = points_of(drawn["token accuracy, %"])
    assert accuracy[:, 0].tolist() == [10, 20, 30]


def test_no_step_draws_empty_axes(draw_curves):
    drawn = draw_curves([])
    assert list(drawn) == list(run_figures.CURVES.values())
    for axes in drawn.values():
        thin, thick = points_of(axes)
        assert thin.size == 0
        assert thick.size == 0


def test_a_single_step_is_a_dot(draw_curves):
    drawn = draw_curves([metrics_row(10, 4.0)])
    for axes in drawn.values():
        thin, _ = axes.lines
        assert thin.get_marker() == "."


def test_the_average_is_over_a_twentieth_of_the_points(draw_curves):
    losses = np.random.default_rng(0).uniform(1, 2, 100)
    metrics = [metrics_row(step, loss) for step, loss in enumerate(losses)]
    thin, thick = points_of(draw_curves(metrics)["loss"])
    np.testing.assert_array_equal(thin[:, 1], losses)
    average = thick[:, 1]
    assert average[50] == pytest.approx(losses[48:53].mean())
    # At the ends, fewer points are averaged.
    assert average[0] == pytest.approx(losses[:3].mean())
    assert average[-1] == pytest.approx(losses[-3:].mean())


def test_the_learning_rate_is_not_averaged(draw_curves):
    rates = np.arange(60.0) ** 2
    metrics = []
    for step, rate in enumerate(rates):
        metrics.append(metrics_row(step) | {"learning_rate": rate})
    _, thick = points_of(draw_curves(metrics)["learning rate"])
    np.testing.assert_array_equal(thick[:, 1], rates)


def test_long_curves_are_thinned(draw_curves):
    most = run_figures.MAX_POINTS
    metrics = [metrics_row(step) for step in range(10 * most)]
    for axes in draw_curves(metrics).values():
        for points in points_of(axes):
            assert 0.8 * most < len(points) <= most
            assert points[0, 0] == 0
            assert points[-1, 0] > 9.9 * most


@pytest.mark.parametrize("last, scale", [(2.0, "linear"), (0.1, "log")])
def test_a_loss_that_falls_far_has_a_logarithmic_axis(draw_curves, last, scale):
    wide_accuracy = metrics_row(2, last) | {"accuracy": 1.0}
    drawn = draw_curves([metrics_row(1, 4.0), wide_accuracy])
    assert drawn["loss"].get_yscale() == scale
    assert drawn["token accuracy, %"].get_yscale() == "linear"
