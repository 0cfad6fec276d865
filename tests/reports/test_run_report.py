import re
import subprocess
import sys

import pytest
from run_directory import metrics_row, prediction, scores, task, write_run

from flan_jax.errors import InputError
from flan_jax.reports import run_report

NASTY = '<script>alert(1)</script> & "x" naïve 日本語 \ud83d'


def html(run):
    return run_report.write(run).read_text()


def test_a_finished_run(tmp_path):
    third = 100 / 3
    run = write_run(
        tmp_path,
        task("rte", before=scores(48.0, 52.0), after=scores(60.0, 70.0)),
        task(
            "cb",
            before=scores(30.0, 36.0, chance=third),
            after=scores(41.0, 51.0, chance=third),
        ),
        task("boolq", "reading_comp", False, before=scores(50.0), after=scores(88.0)),
        task(
            "samsum",
            "summarization",
            False,
            after=scores(33.25, chance=None, metric="rouge1"),
        ),
        metrics=[metrics_row(step, 9 / step) for step in range(1, 60)],
        result={"step": 2000, "loss": 1.5, "seconds": 90.0},
    )
    page = html(run)
    assert (
        "<b>41.5</b> &rarr; <b>55.5</b> <span>nli, held out, chance 41.7</span>" in page
    )
    assert (
        "the mean score of 2 tasks, over all templates, rises with training from 41.5% to 55.5% "
        "(+14.0 [" in page
    )
    assert "The run is finished: 2,000 steps in 1.5 minutes." in page
    assert "not FLAN's" in page.replace("&#39;", "'")
    cells = (
        "65.0",
        "+15.0",
        "60.0 &#8211; 70.0",
        "rouge1",
        "33.2",
        "9,427",
        "3,000",
        "12.5",
        "31,457,280",
        "1e-06",
        "True",
    )
    for cell in cells:
        assert f">{cell}<" in page, cell
    assert (
        "98.0% of the 512 inputs positions and 61.0% of the 128 targets positions"
        in page
    )
    assert page.count("<svg") == 3
    without_namespaces = page.replace("http://www.w3.org", "").replace('href="#', "")
    assert not re.search(r'(src|href)="http', without_namespaces)


def test_the_terminal_summary(tmp_path):
    run = write_run(
        tmp_path,
        task("rte", before=scores(48.0, 52.0), after=scores(60.0, 70.0)),
        task("cb", before=scores(30.0, 36.0), after=scores(41.0, 51.0)),
        task("boolq", "reading_comp", False, before=scores(50.0), after=scores(88.0)),
    )
    assert run_report.terminal_summary(run).splitlines() == [
        "held out: nli                         chance   before    after   best template",
        "  cb                                    50.0     33.0     46.0            41.0",
        "  rte                                   50.0     50.0     65.0            60.0",
        "  mean of 2 tasks                       50.0     41.5     55.5            50.5",
        "  trained on: reading_comp (1 task)     50.0     50.0     88.0            88.0",
        "practice corpus: not FLAN's datasets",
        f"report: {run / 'report.html'}",
    ]


def test_the_terminal_summary_fits_100_columns(tmp_path):
    run = write_run(
        tmp_path,
        task("a" * 200, before=scores(50.0)),
        task("b", "c" * 200, False, after=scores(50.0)),
    )
    assert max(map(len, run_report.terminal_summary(run).splitlines()[:-1])) <= 100


def test_a_run_that_has_just_started_says_what_is_missing(tmp_path):
    (tmp_path / "config.gin").write_text("STEPS = 20  # <b>")
    page = html(tmp_path)
    reasons = (
        "no held-out task is scored",
        "eval/ holds no scores",
        "no training step is logged",
        "manifest.json does not describe it",
        "predictions/ is empty",
    )
    for reason in reasons:
        assert f"Not available yet: {reason}." in page
    assert "STEPS = 20  # &lt;b&gt;" in page
    assert "no scores yet" in run_report.terminal_summary(tmp_path)


def test_a_run_between_two_evaluations(tmp_path):
    run = write_run(
        tmp_path,
        task("rte", before=scores(48.0, 52.0), after=None),
        metrics=[metrics_row(10), metrics_row(340, float("nan"))],
    )
    page = html(run)
    assert "<b>50.0</b> &rarr; <b>not yet</b>" in page
    assert "is 50.0% before training" in page
    assert "The run is not finished: step 340 of 2,000 is logged." in page


def test_means_are_of_the_tasks_scored_both_times(tmp_path):
    run = write_run(
        tmp_path,
        task("rte", before=scores(40.0), after=scores(60.0)),
        task("cb", before=scores(90.0)),
    )
    assert (
        "the mean score of 1 of 2 tasks, over all templates, is 40.0% before and 60.0% after "
        "training" in html(run)
    )


@pytest.mark.parametrize(
    ("after", "text"),
    [
        ((70.0, (60.0, 80.0)), "rises with training from 50.0% to 70.0% (+20.0 ["),
        ((30.0, (20.0, 40.0)), "falls with training from 50.0% to 30.0% (-20.0 ["),
        (
            (52.0, (42.0, 62.0)),
            "does not change significantly with training: from 50.0% to 52.0% (+2.0 [",
        ),
    ],
)
def test_a_change_is_called_one_where_its_interval_is_off_zero(tmp_path, after, text):
    score, interval = after
    run = write_run(
        tmp_path,
        task(
            "rte",
            before=scores(50.0, interval=(40.0, 60.0)),
            after=scores(score, interval=interval),
        ),
    )
    assert text in html(run)


@pytest.mark.parametrize(
    "after, is_at_chance",
    [
        (scores(50.0), True),
        (scores(53.0, interval=(43.2, 62.8)), True),
        (scores(53.0), False),
        (scores(70.0, interval=(60.2, 79.8)), False),
    ],
)
def test_a_score_near_chance_is_called_that(tmp_path, after, is_at_chance):
    run = write_run(tmp_path, task("rte", before=scores(40.0), after=after))
    assert ("The score is no better than a blind guess." in html(run)) == is_at_chance


def test_the_interval_is_the_one_that_the_run_has_computed(tmp_path):
    after = scores(50.0, 56.0, interval=(43.2, 62.75))
    page = html(write_run(tmp_path, task("rte", before=scores(40.0), after=after)))
    assert (
        "Its 95 % interval, over templates and examples, reaches from 43.2% to 62.8%."
        in page
    )
    assert page.count(">43.2 &#8211; 62.8<") == 2  # the task, and the mean of 1 task


def test_no_held_out_cluster(tmp_path):
    run = write_run(
        tmp_path,
        task("boolq", "reading_comp", False, provenance="tfds", after=scores(88.0)),
        held_out=None,
        provenance="tfds",
    )
    page = html(run)
    assert "No cluster is held out." in page and "Practice corpus" not in page
    assert run_report.terminal_summary(run).startswith("held out: nothing")


def test_text_of_the_data_is_escaped(tmp_path):
    predictions = {
        "rte-after": [prediction(0, 0, 1, text=NASTY)],
        "<i>-before": [prediction(0, 0, 0, text="")],
    }
    nasty_task = task("<u>&$x_1$ 日本", "<s>", after=scores(50.0))
    run = write_run(tmp_path, nasty_task, predictions=predictions)
    page = run_report.write(run).read_bytes().decode("ascii")
    assert (
        "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in page
        and "na&#239;ve &#26085;" in page
    )
    assert not re.search(r"<(script|i|u|s)>(?!\(empty)", page)
    assert "<i>(empty)</i>" in page


def test_further_prompts_stand_beside_before_and_after(tmp_path):
    run = write_run(
        tmp_path,
        task("rte", before=scores(40.0), after=scores(60.0), after_none=scores(52.25)),
        task("cb", before=scores(30.0), after=scores(50.0), after_none=scores(41.75)),
    )
    page = html(run)
    assert "<th class=n>after, prompts none</th>" in page
    for mean in ("52.2", "41.8", "47.0"):
        assert f"<td class=n>{mean}</td>" in page


def test_the_scores_of_a_checkpoint_say_nothing_of_training(tmp_path):
    answered = {"rte-after": [prediction(0, 0, 1)], "cb-after": [prediction(0, 0, 0)]}
    run = write_run(
        tmp_path,
        task("rte", after=scores(60.0, 70.0, interval=(58.0, 72.0))),
        task("cb", after=scores(41.0, 51.0), after_none=scores(44.5)),
        predictions=answered,
        checkpoint="/models/t5",
        step=1200,
    )
    assert run_report.terminal_summary(run).splitlines() == [
        "scores of /models/t5, step 1,200",
        "task                chance    score   best template",
        "  cb                  50.0     46.0            41.0",
        "  rte                 50.0     65.0            60.0",
        "  mean of 2 tasks     50.0     55.5            50.5",
        "practice corpus: not FLAN's datasets",
        f"report: {run / 'report.html'}",
    ]
    page = html(run)
    assert "<h1>Scores of /models/t5, step 1,200</h1>" in page
    assert "The mean score of 2 tasks, over all templates, is 55.5%." in page
    assert '<p class="headline"><b>55.5</b> <span>mean of 2 tasks, chance' in page
    header = re.findall(r"<th[^>]*>([^<]*)</th>", page)
    assert header[: header.index("option")] == [
        "task", "cluster", "metric", "chance", "score", "95 % interval",
        "best dev. template", "over templates", "examples", "other metrics", "score, prompts none",
    ]  # fmt: skip
    wide = max(page.split("<tr"), key=lambda row: row.count("<td"))
    assert wide.count("<td") == 11
    shown = re.sub(
        r"<style>.*?</style>|<svg.*?</svg>|<details>.*", "", page, flags=re.DOTALL
    )
    for word in ("before", "after", "training", "held out", "Held-out", "Mixture"):
        assert word not in shown, word
    assert "<dt>prediction <b>" in page and ">log-probability<" in page
    for word in ("not finished", "Not available", "not available"):
        assert word not in page, word


def test_a_checkpoint_scored_on_tasks_that_it_was_trained_on(tmp_path):
    new = task("rte", after=scores(60.0, chance=None))
    known = task("boolq", "reading_comp", False, after=scores(88.0))
    both = write_run(tmp_path / "both", new, known, checkpoint="/runs/a")
    page = html(both)
    assert "The mean score of 1 task that the checkpoint was not trained on" in page
    assert "<th>not trained on</th>" in page and "<td>no</td>" in page
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == [
        "Tasks not trained on", "Clusters trained on", "Scores", "Example predictions",
        "Details",
    ]  # fmt: skip
    shown = run_report.terminal_summary(both).splitlines()
    assert shown[0] == "scores of /runs/a"
    assert shown[-3].startswith("  trained on: reading_comp (1 task)")

    alone = write_run(tmp_path / "known", known, checkpoint="/runs/a")
    page = html(alone)
    assert "The checkpoint was trained on all tasks that are scored." in page
    assert "Tasks not trained on" not in page


def test_the_command(tmp_path, capsys):
    run = write_run(tmp_path, task("rte", after=scores(50.0)))
    run_report.main([str(run)])
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    for bad in (tmp_path / "none", tmp_path / "predictions"):
        with pytest.raises(SystemExit) as stopped:
            run_report.main([str(bad)])
        assert stopped.value.code == 2
        assert "is not a run directory" in capsys.readouterr().err
    with pytest.raises(InputError, match="is not a run directory"):
        run_report.write(tmp_path / "predictions")


def test_neither_jax_nor_tensorflow_is_imported(tmp_path):
    run = write_run(tmp_path, task("rte", after=scores(50.0)), metrics=[metrics_row(1)])
    script = """
import pathlib
import sys

from flan_jax.reports import run_report

assert "matplotlib" not in sys.modules
run_report.write(pathlib.Path(sys.argv[1]))
assert "matplotlib.figure" in sys.modules
assert not {"jax", "tensorflow", "seqio", "flax", "matplotlib.pyplot"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script, str(run)], check=True)


def test_other_metrics_and_groups_are_shown(tmp_path):
    after = scores(60.0, 70.0)
    for entry, matches in zip(after["templates"], (20.0, 31.0), strict=True):
        entry["test"]["group_exact_match"] = matches
    after |= {"groups": 12, "partial_groups": 1}
    answered = prediction(7, 0, 1) | {"group": "3/1", "group_rows": 4}
    run = write_run(
        tmp_path,
        task("multirc", "reading_comp", after=after),
        predictions={"multirc-after": [answered]},
    )
    page = html(run)
    assert "<td class=n>group_exact_match 25.5</td>" in page
    assert "metrics of groups leave them out): multirc 1 of 13." in page
    assert "test example 7, template 0, group 3/1" in page
