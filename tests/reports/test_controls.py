"""The section on controls, on made-up scores whose answers are known."""

import numpy as np
import pytest
from run_directory import metrics_row, task, write_run
from sweep_directory import FEW_CLUSTERS, edit_json, run_folder, write_sweep

from flan_jax.bootstrap import Interval
from flan_jax.reports import run_report, sweep_report
from flan_jax.reports.controls import (
    cluster_sentences,
    contrast,
    control_blocks,
    finding,
)
from flan_jax.reports.scores import Score, ScoreRow
from flan_jax.run_records import (
    AFTER,
    BEFORE,
    CLOZE,
    FEW_SHOT,
    HYPOTHESIS_ONLY,
    SHUFFLED,
)

EXAMPLES = 400


def values(mean, templates=3, seed=0):
    """Right and wrong answers, float[1, templates, EXAMPLES]; the same examples are hard in all."""
    hardness = np.random.default_rng(seed).permutation(EXAMPLES) + 0.5
    right = 100.0 * (100 * hardness < mean * EXAMPLES)
    return np.repeat(right[None, None], templates, axis=1)


def row(name="rte", **means):
    phases = {
        "before": BEFORE,
        "after": AFTER,
        "cloze": CLOZE,
        "few_shot": FEW_SHOT,
        "no_premise": HYPOTHESIS_ONLY,
        "shuffled": SHUFFLED,
    }
    scores = {}
    for key, mean in means.items():
        templates = 1 if key == "cloze" else 3
        scores[phases[key]] = Score([values(mean, templates)])
    return ScoreRow(name, scores, chance=50.0)


def test_a_contrast_is_paired_and_repeats_a_single_template():
    tasks = [row(before=50, cloze=80), row("cb", before=40, cloze=60)]
    gap = contrast(tasks, BEFORE, CLOZE)
    assert (gap.first, gap.second) == (45.0, 70.0)
    assert gap.interval.mean == pytest.approx(25.0)
    assert gap.is_above_zero and gap.p_value < 0.001
    unpaired = np.sqrt(2 * 50 * 50 / EXAMPLES)
    assert gap.interval.standard_error < unpaired

    back = contrast(tasks, CLOZE, BEFORE)
    assert back.interval.mean == pytest.approx(-25.0)
    assert contrast(tasks, BEFORE, AFTER) is None


def test_examples_without_a_template_are_left_out_of_both():
    first = values(50, templates=2)
    first[0, 0, :100] = np.nan
    task = ScoreRow("rte", {BEFORE: Score([first]), CLOZE: Score([values(70, 1)])})
    expected = np.nanmean(values(70, 2) - first, axis=-1).mean()
    result = contrast([task], BEFORE, CLOZE)
    assert result.interval.mean == pytest.approx(expected)
    assert result.p_value < 0.001


def test_metrics_of_a_whole_set_have_the_p_value_of_their_interval():
    scores = {
        BEFORE: Score([Interval(30.0, 3.0, 24.1, 35.9)]),
        AFTER: Score([Interval(40.0, 4.0, 32.2, 47.8)]),
    }
    result = contrast([ScoreRow("common_gen", scores)], BEFORE, AFTER)
    assert result.interval.mean == pytest.approx(10.0, abs=0.5)
    assert result.p_value == pytest.approx(0.0455, abs=0.01)  # two standard errors


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        ({"before": 50, "after": 60}, "in the same templates tuning adds +10.0 ["),
        ({"before": 60, "after": 50}, "tuning takes away: -10.0 ["),
        ({"before": 50, "after": 50}, "tuning makes no significant difference: +0.0"),
        ({"before": 50, "after": 60, "cloze": 90}, "of which tuning closes 25 %."),
        ({"before": 50, "after": 45, "cloze": 90}, "of which tuning closes nothing."),
        (
            {"before": 50, "after": 60, "cloze": 50},
            "there is no gap for tuning to close.",
        ),
        ({"before": 50, "after": 70, "shuffled": 60}, "Shuffled labels give +10.0 ["),
        ({"before": 50, "after": 70, "shuffled": 60}, "which is the task."),
        (
            {"before": 50, "after": 70, "shuffled": 70},
            "no more than chance: the task does not show.",
        ),
        (
            {"before": 50, "after": 70, "no_premise": 70},
            "Without the premise the tuned model does as well (70.0)",
        ),
    ],
)
def test_what_tuning_has_added_in_plain_words(means, sentence):
    assert sentence in " ".join(cluster_sentences([row(**means)]))


def test_a_model_that_reads_the_premise_is_not_said_not_to():
    (gain,) = cluster_sentences([row(before=50, after=70, no_premise=50)])
    assert "premise" not in gain


def test_of_generation_shuffled_labels_leave_more_than_the_format():
    """The targets of tasks without options are not shuffled."""
    generated = row(before=50, after=70, shuffled=70)
    generated = ScoreRow("wmt16", generated.scores, chance=None)
    text = cluster_sentences([generated])[-1]
    assert text.startswith("Shuffled labels of the tasks with options give +20.0 [")
    assert "format" not in text and "does not show" not in text


def test_flans_finding_needs_shuffled_labels_beside_it():
    assert "cannot be said" in finding({"nli": [row(before=50, after=90)]})


@pytest.mark.parametrize("shuffled", [70, 90])
def test_flans_finding_shows_where_both_intervals_are_above_zero(shuffled):
    text = finding({"nli": [row(before=50, after=80, shuffled=shuffled)]})
    assert text.startswith(
        "FLAN's finding shows on nli (" if shuffled == 70 else "FLAN's finding does not"
    )
    assert "Holm-corrected for the held-out cluster" in text


def test_flans_finding_does_not_show_if_tuned_is_above_shuffled_alone():
    text = finding({"nli": [row(before=80, after=80, shuffled=50)]})
    assert text.startswith("FLAN's finding does not show")


def test_the_finding_is_corrected_for_the_number_of_clusters():
    """One of 400 answers more in 8 is p = 0.008: significant of one cluster, not of ten."""
    slight = row(before=50, after=52, shuffled=50)
    nothing = row(before=50, after=50, shuffled=50)
    assert finding({"nli": [slight]}).startswith("FLAN's finding shows on nli")
    many = {f"cluster_{number}": [nothing] for number in range(9)} | {"nli": [slight]}
    assert finding(many).startswith(
        "FLAN's finding does not show on 10 held-out clusters"
    )


def test_the_table_names_scoring_and_exemplars_and_how_many_tasks():
    task = row(before=50, after=60)
    task.scores[CLOZE] = Score(
        [values(70, 1)], scoring="mean", scorings={"sum": 60.0, "mean": 70.0}
    )
    task.scores[FEW_SHOT] = Score([values(55)], exemplars=1.25)
    table = control_blocks({"nli": [task, row("cb", before=40, after=50)]})[3]
    columns = zip(table.columns, zip(*table.rows, strict=True), strict=True)
    _, cluster, rte, cb = [(name, *cells) for name, cells in columns]
    assert cluster[0] == "nli" and cluster[5].endswith("(1 of 2 tasks)")
    assert cluster[4].startswith("45.0 [")
    assert rte[5].startswith("70.0 [") and rte[5].endswith("(mean)")
    assert rte[6].endswith("(1.2 shots)") and rte[-1] == "sum 60.0, mean 70.0"
    assert cb[5] is None


def test_many_tasks_have_a_row_each():
    tasks = {f"cluster_{number}": [row(before=50, after=60)] for number in range(4)}
    tasks["cluster_0"][0].scores[CLOZE] = Score(
        [values(70, 1)], scoring="mean", scorings={}
    )
    table = control_blocks(tasks)[-2]
    assert table.columns[0] == "held out" and len(table.rows) == 8


def test_a_report_without_controls_has_no_section():
    assert control_blocks({"nli": [row(before=50, after=60)]}) == []


def scored(mean, templates=3, **fields):
    """Scores of a phase as eval/<task>.json has them."""
    matrix = values(mean, templates)[0]
    return {
        "metric": "accuracy",
        "mean": float(matrix.mean()),
        "values": matrix.tolist(),
        "chance": 50.0,
        "templates": [
            {"template": index, "test": {"accuracy": float(line.mean())}}
            for index, line in enumerate(matrix)
        ],
        **fields,
    }


def test_a_run_shows_its_controls_and_not_as_further_prompts(tmp_path):
    content = task("rte", before=scored(50), after=scored(60))
    content[str(CLOZE)] = scored(
        90, 1, scoring="mean", scorings={"sum": 80.0, "mean": 90.0}
    )
    content[str(FEW_SHOT)] = scored(55, exemplars=2.0, train_majority=51.0)
    run = write_run(tmp_path, content, metrics=[metrics_row(1)])
    page = run_report.write(run).read_text()
    assert "What tuning has added" in page
    assert "of which tuning closes 25 %." in page
    assert "51.0" in page and "sum 80.0, mean 90.0" in page
    assert "control-" not in page


def test_a_sweep_compares_with_its_runs_on_shuffled_labels(tmp_path):
    """Runs 1 and 3 are on shuffled labels. In nli tuning works, in coreference it is format."""
    axes = {"HELD_OUT": list(FEW_CLUSTERS), "DataConfig.shuffle_labels": [False, True]}
    sweep = write_sweep(tmp_path, axes=axes, clusters=FEW_CLUSTERS)
    for index, after in enumerate((80, 55, 70, 70)):
        for name in list(FEW_CLUSTERS.values())[index // 2]:
            file = run_folder(sweep, index) / "eval" / f"{name}.json"
            edit_json(
                file,
                lambda content, after=after: content.update(
                    {"before": scored(50), "after": scored(after)}
                ),
            )
    page = sweep_report.write(sweep).read_text()
    assert "FLAN&#39;s finding shows on 1 of 2 held-out clusters: nli (" in page
    assert "right labels add +25.0 [" in page
    assert "the task does not show." in page


@pytest.mark.parametrize("values_of_axis", [[False, True], [True, False]])
def test_shuffled_labels_do_not_stand_for_the_sweep(tmp_path, values_of_axis):
    axes = {"HELD_OUT": ["nli"], "DataConfig.shuffle_labels": values_of_axis}
    sweep = write_sweep(tmp_path, axes=axes, clusters=FEW_CLUSTERS)
    page = sweep_report.write(sweep).read_text()
    assert "Shown here: DataConfig.shuffle_labels = false." in page


def test_controls_of_some_tasks_exclude_none_from_the_mean(tmp_path):
    sweep = write_sweep(tmp_path, axes={"HELD_OUT": ["nli"]}, clusters=FEW_CLUSTERS)
    edit_json(
        run_folder(sweep, 0) / "eval" / "rte.json",
        lambda content: content.update({str(CLOZE): scored(90, 1)}),
    )
    page = sweep_report.write(sweep).read_text()
    assert "3 of 3" in page and "(1 of 3 tasks)" in page
    assert "Excluded from the cluster mean" not in page
    assert "Prompts at evaluation" not in page
