import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from sweep_directory import CLUSTERS, FEW_CLUSTERS, edit_json, run_folder, write_sweep

from flan_jax.errors import InputError
from flan_jax.reports import sweep_report, sweep_results, sweep_scores
from flan_jax.run_records import AFTER, BEFORE

MIXTURES = ["flan2021_1_clusters", "flan2021_3_clusters"]


@pytest.fixture(scope="module")
def twelve_runs(tmp_path_factory):
    """The report of a sweep in which one run has failed, one is running, and one is waiting."""
    states = {3: "failed", 7: "running", 10: "waiting"}
    sweep = write_sweep(tmp_path_factory.mktemp("sweep"), states=states)
    sweep_report.write(sweep)
    return sweep


@pytest.fixture
def few(tmp_path):
    return write_sweep(
        tmp_path, axes={"HELD_OUT": list(FEW_CLUSTERS)}, clusters=FEW_CLUSTERS
    )


def html(sweep):
    return sweep_report.write(sweep).read_text()


def test_the_verdict_says_what_speaks_against_tuning_too(twelve_runs):
    text = (twelve_runs / "report.md").read_text()
    assert "12 runs: 1 failed, 9 finished, 1 running, 1 waiting." in text
    assert (
        "Tuned is above untuned on 5 of 6 held-out clusters, significantly (p &lt; 0.05, paired) "
        "on 5; it is below on 1 (coreference), significantly on 1." in text
    )
    assert "Not above chance, given the interval: coreference." in text


def test_runs_without_a_result_are_listed_with_the_last_error(twelve_runs):
    markdown = (twelve_runs / "report.md").read_text()
    for text in (markdown, (twelve_runs / "report.html").read_text()):
        assert "the loss is not finite at step 410 &lt;nan&gt;" in text
    rows = re.findall(
        r"^\| HELD_OUT=\S+ SEED=\d \| (failed|running|waiting) \| .*",
        markdown,
        re.MULTILINE,
    )
    assert rows[:3] == ["failed", "running", "waiting"]


def test_the_markdown_has_the_means_with_their_intervals(twelve_runs):
    results = sweep_scores.score_sweep(sweep_results.read_sweep(twelve_runs))
    nli = results.headline[0].mean.after.interval
    cell = f"{nli.mean:.1f} [{nli.low:.1f}, {nli.high:.1f}]"
    assert f"| {cell} |" in (twelve_runs / "report.md").read_text()


def test_the_mean_over_clusters_has_a_paired_interval(twelve_runs):
    results = sweep_scores.score_sweep(sweep_results.read_sweep(twelve_runs))
    differences = [cluster.mean.difference for cluster in results.headline]
    markdown = (twelve_runs / "report.md").read_text()
    mean_row = re.search(r".*\*\*mean of 6\*\*.*", markdown)[0]
    number = r"([+-]?[0-9.]+)"
    found = re.search(rf"\*\*{number} \[{number}, {number}\]\*\* \|  \|$", mean_row)
    change, low, high = map(float, found.groups())
    assert change == pytest.approx(np.mean(differences), abs=0.06)
    assert low < change < high
    alone = [
        sweep_scores.held_out_mean(results.headline, phase) for phase in (BEFORE, AFTER)
    ]
    widths = [interval.high - interval.low for interval in alone]
    assert high - low < np.hypot(*widths)


def test_results_csv_has_a_row_for_each_run_task_and_phase(twelve_runs):
    rows = list(csv.DictReader((twelve_runs / "results.csv").open()))
    finished = [
        row
        for row in rows
        if row["state"] == "finished"
        and row["SEED"] == "0"
        and row["HELD_OUT"] == "nli"
    ]
    assert {(row["task"], row["when"]) for row in finished} == {
        (task, phase) for task in CLUSTERS["nli"] for phase in ("before", "after")
    }
    content = json.loads((run_folder(twelve_runs, 0) / "eval" / "rte.json").read_text())
    (row,) = [
        row for row in finished if row["task"] == "rte" and row["when"] == "after"
    ]
    assert float(row["mean"]) == content["after"]["mean"]
    assert float(row["q75"]) == content["after"]["quartiles"][1]
    assert [row["task"] for row in rows if row["state"] == "waiting"] == [""]


def test_seeds_of_one_setting_are_no_axis(twelve_runs):
    assert "Held-out mean by" not in (twelve_runs / "report.html").read_text()


def test_a_sweep_with_gaps_still_has_a_verdict(few):
    (run_folder(few, 0) / "eval" / "rte.json").write_text('{"task": "rte", ')
    page = html(few)
    assert "rte.json: is damaged" in page
    assert "Tuned is above untuned on 1 of 2 held-out clusters" in page


def test_what_is_missing_is_named(few):
    page = html(few)
    for absent in (
        "<h2>Gaps</h2>",
        "Not held out",
        "Truncated prompts",
        "Tasks without scores",
    ):
        assert absent not in page
    edit_json(few / "plan.json", lambda plan: plan.update(left_out=["translation"]))
    scores = run_folder(few, 0) / "eval" / "rte.json"
    edit_json(scores, lambda task: task["after"].update(truncated=12.4))
    manifest = run_folder(few, 1) / "manifest.json"
    edit_json(
        manifest,
        lambda content: content.update(not_evaluated={"wnli": "no test split"}),
    )
    page = html(few)
    assert "Not held out (no task can be evaluated): translation." in page
    assert "Truncated prompts (longer than LENGTHS): rte 12 %." in page
    assert "Tasks without scores: wnli (no test split)." in page


def test_a_task_without_a_score_is_excluded_from_the_cluster_mean(few):
    edit_json(run_folder(few, 0) / "eval" / "rte.json", lambda task: task.pop("after"))
    assert "Excluded from the cluster mean (missing scores): rte (nli)." in html(few)


def test_a_metric_of_a_whole_set_is_named_in_the_verdict(few):
    def drop_values(task):
        for phase in ("before", "after"):
            task[phase].update(values=None, interval=None, standard_error=None)

    edit_json(run_folder(few, 0) / "eval" / "rte.json", drop_values)
    assert "Without a paired test (a metric of a whole set): nli." in html(few)


def test_the_setting_that_is_shown_is_named(tmp_path):
    axes = {"MIXTURE": MIXTURES, "HELD_OUT": list(FEW_CLUSTERS)}
    sweep = write_sweep(
        tmp_path, axes=axes, clusters=FEW_CLUSTERS, templates=3, examples=10
    )
    page = html(sweep)
    assert (
        "Shown here: MIXTURE = flan2021_3_clusters. The other setting follows below."
        in page
    )
    assert "<summary><b>MIXTURE = flan2021_1_clusters</b></summary>" in page


@pytest.mark.parametrize("provenance", ["generated", "tfds"])
def test_generated_rows_are_noted(tmp_path, provenance):
    axes = {"HELD_OUT": ["nli"]}
    sweep = write_sweep(
        tmp_path, axes=axes, clusters=FEW_CLUSTERS, provenance=provenance
    )
    assert ("Practice corpus: generated rows." in html(sweep)) == (
        provenance == "generated"
    )


def test_a_sweep_that_has_not_begun(tmp_path):
    states = dict.fromkeys(range(2), "waiting")
    axes = {"HELD_OUT": list(FEW_CLUSTERS)}
    page = html(write_sweep(tmp_path, axes=axes, clusters=FEW_CLUSTERS, states=states))
    assert "2 runs: 2 waiting." in page
    assert "Not available yet: no held-out task is scored." in page


def test_the_command(tmp_path, few, capsys):
    sweep_report.main([str(few)])
    assert capsys.readouterr().out.strip() == str(few / "report.html")
    with pytest.raises(SystemExit) as stopped:
        sweep_report.main([str(few / "runs")])
    assert stopped.value.code == 2
    assert "it has no plan.json" in capsys.readouterr().err
    with pytest.raises(
        InputError, match="is not a sweep directory: there is no such directory"
    ):
        sweep_report.write(tmp_path / "none")


def test_the_same_directory_gives_the_same_report(few, tmp_path):
    first = html(few)
    copy = tmp_path / "copy"
    shutil.copytree(few, copy, ignore=shutil.ignore_patterns("copy"))
    assert html(copy) == first


def test_neither_jax_nor_tensorflow_is_imported(few):
    script = """
import pathlib
import sys

from flan_jax.reports import sweep_report

sweep_report.write(pathlib.Path(sys.argv[1]))
assert not {"jax", "tensorflow", "seqio", "flax", "matplotlib.pyplot"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script, str(few)], check=True)
