import warnings

import numpy as np
import pytest

from flan_jax.reports import figures

LINE = np.array([[1, 4.0], [2, 3.0], [4, 1.0]])


def axes_of_a_figure():
    return figures.new_figure(2.0).subplots()


def drawn_block(text="a title"):
    figure = figures.new_figure(2.0)
    axes = figure.subplots()
    axes.plot(*LINE.T)
    axes.set_title(text)
    return figures.to_block(figure, "Losses")


def test_a_figure_has_the_width_of_a_page_and_its_height():
    assert figures.new_figure(3.5).get_size_inches().tolist() == [figures.WIDTH, 3.5]


def test_a_block_is_svg_alone_with_a_label():
    block = drawn_block()
    assert block.label == "Losses"
    assert block.svg.startswith("<svg")
    assert block.svg.rstrip().endswith("</svg>")


def test_texts_stay_texts_whatever_their_letters():
    with warnings.catch_warnings(record=True) as seen:
        block = drawn_block("日本 & <b>")
    assert seen == []
    assert "日本 &amp; &lt;b&gt;" in block.svg


def test_the_same_figure_gives_the_same_svg():
    assert drawn_block().svg == drawn_block().svg


def test_two_figures_of_a_page_share_no_numbered_id():
    svg = drawn_block().svg
    for name in ("figure_1", "axes_1", "line2d_1", "patch_1"):
        assert f'id="{name}"' not in svg


def test_thin_lines_and_a_thick_average():
    axes = axes_of_a_figure()
    average = LINE * [1, 0.5]
    figures.draw_curve(axes, [LINE, LINE + 1], average, title="loss", marker=".")
    first, second, thick = axes.lines
    np.testing.assert_array_equal(first.get_xydata(), LINE)
    np.testing.assert_array_equal(second.get_xydata(), LINE + 1)
    np.testing.assert_array_equal(thick.get_xydata(), average)
    assert thick.get_linewidth() > 2 * first.get_linewidth()
    assert [line.get_marker() for line in axes.lines] == [".", ".", "None"]
    assert axes.get_title() == "loss"


def test_without_an_average_there_are_thin_lines_alone():
    axes = axes_of_a_figure()
    figures.draw_curve(axes, [LINE], None, title="loss")
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), LINE)


@pytest.mark.parametrize(
    "values, scale",
    [
        ([], "linear"),
        ([2.0], "linear"),
        ([1.0, 3.0, 6.0], "linear"),
        ([1.0, 3.0, 6.1], "log"),
        ([0.0, 9.0], "linear"),
        ([-1.0, 9.0], "linear"),
    ],
)
def test_wide_positive_values_have_a_logarithmic_axis(values, scale):
    axes = axes_of_a_figure()
    figures.use_log_scale_if_wide(axes, np.array(values))
    assert axes.get_yscale() == scale


def test_ticks_of_a_logarithmic_axis_are_plain_numbers():
    axes = axes_of_a_figure()
    values = np.array([0.02, 30.0])
    axes.plot([1, 2], values)
    figures.use_log_scale_if_wide(axes, values)
    svg = figures.to_block(axes.figure, "Losses").svg
    for tick in ("0.05", "0.1", "1", "10", "20"):
        assert f">{tick}<" in svg
