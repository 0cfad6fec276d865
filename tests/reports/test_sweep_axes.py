import pytest
from sweep_directory import FEW_CLUSTERS, write_sweep

from flan_jax.reports.sweep_axes import axis_sections
from flan_jax.reports.sweep_report import write
from flan_jax.reports.sweep_results import read_sweep
from flan_jax.reports.sweep_scores import score_sweep

MIXTURES = ["flan2021_1_clusters", "flan2021_3_clusters"]
SMALL = {"clusters": FEW_CLUSTERS, "templates": 3, "examples": 10}


def blocks(sweep, kind):
    sections = axis_sections(score_sweep(read_sweep(sweep)))
    return [block for block in sections if block.template == kind]


@pytest.mark.parametrize(
    "axes, evaluations, titles, lines",
    [
        (
            {"MIXTURE": MIXTURES},
            ["after"],
            ["Number of clusters (MIXTURE)"],
            ["untuned", "tuned"],
        ),
        (
            {"train/Prompts.instructions": ["natural", "none"]},
            ["after", "after-none"],
            ["Role of instructions (train/Prompts.instructions)"],
            ["untuned", "tuned", "tuned, none at evaluation"],
        ),
        (
            {"MODEL": ["@Small()", "@Base()"], "train/Prompts.shots": [0, 5]},
            ["after"],
            ["Model scale (MODEL)", "Exemplars in the prompt (train/Prompts.shots)"],
            ["tuned, shots = 0", "tuned, shots = 5"],
        ),
        ({}, ["after", "after-none"], ["Prompts at evaluation"], ["tuned"]),
    ],
)
def test_each_axis_that_varies_has_a_figure_and_a_table(
    tmp_path, axes, evaluations, titles, lines
):
    axes = {"HELD_OUT": list(FEW_CLUSTERS), **axes}
    page = write(
        write_sweep(tmp_path, axes=axes, evaluations=evaluations, **SMALL)
    ).read_text()
    assert [title for title in titles if f"<h2>{title}</h2>" not in page] == []
    assert page.count("Held-out mean by") == len(titles)
    for line in lines:
        assert f"<th class=n>{line}</th>" in page, line


def test_a_table_of_means_and_one_of_differences(tmp_path):
    axes = {"MIXTURE": MIXTURES, "HELD_OUT": list(FEW_CLUSTERS)}
    means, differences = blocks(write_sweep(tmp_path, axes=axes, **SMALL), "table")
    assert means.columns == ["MIXTURE", "untuned", "tuned"]
    assert [row[0] for row in means.rows] == MIXTURES
    assert differences.columns == [f"difference from {MIXTURES[0]}", "tuned"]
    ((value, cell),) = differences.rows
    assert value == MIXTURES[1]
    change, _, p_value = cell.partition(", p ")
    assert change.startswith(("+", "-")) and p_value


def test_untuned_models_that_differ_between_settings_have_lines_of_their_own(tmp_path):
    axes = {
        "HELD_OUT": ["nli"],
        "MODEL": ["@Small()", "@Base()"],
        "train/Prompts.shots": [0, 5],
    }
    means, *_ = blocks(write_sweep(tmp_path, axes=axes, **SMALL), "table")
    assert means.columns == [
        "MODEL",
        "untuned, shots = 0",
        "tuned, shots = 0",
        "untuned, shots = 5",
        "tuned, shots = 5",
    ]


def test_an_axis_shows_the_clusters_that_all_settings_have(tmp_path):
    axes = {"MIXTURE": MIXTURES, "HELD_OUT": list(FEW_CLUSTERS)}
    sweep = write_sweep(tmp_path, axes=axes, states={1: "failed"}, **SMALL)
    (caption, _) = blocks(sweep, "paragraph")
    assert caption.text.startswith(
        "Mean over nli (the clusters scored in every setting)"
    )


def test_the_ticks_leave_out_what_all_values_share(tmp_path):
    axes = {"HELD_OUT": ["nli"], "MIXTURE": MIXTURES}
    (figure,) = blocks(write_sweep(tmp_path, axes=axes, **SMALL), "figure")
    assert "MIXTURE = flan2021_…_clusters" in figure.svg
    assert figure.label == "Held-out mean by MIXTURE = flan2021_…_clusters"
