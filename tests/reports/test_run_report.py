import json
import re
import subprocess
import sys

import pytest

from flan_jax.errors import InputError
from flan_jax.json_files import write_json
from flan_jax.reports import run_report

NASTY = '<script>alert(1)</script> & "x" naïve 日本語 \ud83d'


def scores(*accuracies, chance=50.0, metric="accuracy"):
    templates = [
        {"template": i, "test": {metric: x}, "validation": {metric: -x}}
        for i, x in enumerate(accuracies)
    ]
    mean = sum(accuracies) / len(accuracies)
    best = {"template": 0, "score": accuracies[0]}
    return {
        "metric": metric,
        "mean": mean,
        "best_dev_template": best,
        "chance": chance,
        "examples": 100,
    } | {"templates": templates}


def task(name, cluster="nli", held_out=True, **when):
    return {"task": name, "cluster": cluster, "held_out": held_out} | when


def prediction(example, template, chosen, split="test", text="Is it so?"):
    row = {
        "split": split,
        "example": example,
        "template": template,
        "answer": 1,
        "right": [1],
        "inputs": text,
    }
    row["chosen"] = chosen
    return row | {
        "references": ["no"],
        "prediction": ["yes", "no"][chosen],
        "options": ["yes", "no"],
        "scores": [-1.25, -2.5],
    }


def manifest(held_out="nli", source="sandbox"):
    row = {
        "task": "boolq",
        "cluster": "reading_comp",
        "examples": 9427,
        "rate": 3000.0,
        "share": 1.0,
        "epochs": 1.25,
    }
    row |= {
        "mean_inputs": 140.5,
        "mean_targets": 2.5,
        "truncated_inputs": 0.125,
        "truncated_targets": 0.0,
        "filtered": 3,
    }
    mixture = {
        "tasks": [row],
        "rows_filled": {"inputs": 0.98, "targets": 0.61},
        "examples_per_batch": 412.3,
    }
    mixture |= {
        "supervised_tokens_per_batch": 9812.4,
        "batch_size": 64,
        "lengths": {"inputs": 512, "targets": 128},
    }
    return {
        "identity": {"plan": "5f3a"},
        "created": "2026-07-03T09:12:44",
        "versions": {"jax": "0.10.2"},
        "data": {"source": source, "mixture": "flan", "held_out": held_out, "tokenizer": "spm"},
        "model": {
            "name": "Decoder",
            "parameters": 31457280,
            "flops_per_step": 10**12,
            "scan": True,
            "rate": 1e-6,
        },
        "devices": "8 x cpu",
        "mixture": mixture | {"steps": 2000},
    }


def step(number, loss=2.0):
    row = {
        "step": number,
        "loss": loss,
        "accuracy": 40.0,
        "learning_rate": 1e-3,
        "tokens_per_second": 31945.0,
    }
    return row | {
        "z_loss": 0.0,
        "grad_norm": 1.0,
        "supervised_tokens_per_second": 9e3,
        "seconds": 1.0,
    }


@pytest.fixture
def make_run(tmp_path):
    def make(*tasks, predictions=None, metrics=(), result=None, **facts):
        (tmp_path / "eval").mkdir(exist_ok=True)
        (tmp_path / "predictions").mkdir(exist_ok=True)
        write_json(tmp_path / "manifest.json", manifest(**facts))
        for i, each in enumerate(tasks):
            write_json(tmp_path / "eval" / f"{i}.json", each)
        files = {tmp_path / "metrics.jsonl": metrics}
        files |= {
            tmp_path / "predictions" / f"{name}.jsonl": rows
            for name, rows in (predictions or {}).items()
        }
        for path, rows in files.items():
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if result:
            write_json(tmp_path / "result.json", result)
        return tmp_path

    return make


def test_a_finished_run(make_run):
    run = make_run(
        task("rte", before=scores(48.0, 52.0), after=scores(60.0, 70.0)),
        task(
            "cb",
            before=scores(30.0, 36.0, chance=100 / 3),
            after=scores(41.0, 51.0, chance=100 / 3),
        ),
        task("boolq", "reading_comp", False, before=scores(50.0), after=scores(88.0)),
        task("samsum", "summarization", False, after=scores(33.25, chance=None, metric="rouge1")),
        metrics=[step(i, 9 / i) for i in range(1, 60)],
        result={"step": 2000, "loss": 1.5, "seconds": 90.0},
    )
    page = run_report.write(run).read_text()
    assert "<b>41.5</b> &rarr; <b>55.5</b> <span>nli, held out, chance 41.7</span>" in page
    assert (
        "the mean score of 2 tasks, over all templates, rises with training from 41.5% to 55.5% (+14.0 points)"
        in page
    )
    assert "The run is finished: 2,000 steps in 1.5 minutes." in page
    assert "not FLAN's" in page.replace("&#x27;", "'")
    for cell in (
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
    ):
        assert f">{cell}<" in page, cell
    assert "98.0% of the 512 inputs positions and 61.0% of the 128 targets positions" in page
    assert page.count("<svg") == 3
    assert not re.search(
        r'(src|href)="http', page.replace("http://www.w3.org", "").replace('href="#', "")
    )


def test_the_terminal_summary(make_run):
    run = make_run(
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


def test_the_terminal_summary_fits_100_columns(make_run):
    run = make_run(
        task("a" * 200, before=scores(50.0)), task("b", "c" * 200, False, after=scores(50.0))
    )
    assert max(map(len, run_report.terminal_summary(run).splitlines()[:-1])) <= 100


def test_a_run_that_has_just_started_says_what_is_missing(tmp_path):
    (tmp_path / "config.gin").write_text("STEPS = 20  # <b>")
    page = run_report.write(tmp_path).read_text()
    for missing in ("no held-out task is scored", "eval/ holds no scores", "no training step is logged",
                    "manifest.json does not describe it", "predictions/ is empty"):  # fmt: skip
        assert f"Not there yet: {missing}." in page
    assert "STEPS = 20  # &lt;b&gt;" in page
    assert "no scores yet" in run_report.terminal_summary(tmp_path)


def test_a_run_between_two_scorings(make_run):
    run = make_run(
        task("rte", before=scores(48.0, 52.0), after=None),
        metrics=[step(10), step(340, float("nan"))],
    )
    page = run_report.write(run).read_text()
    assert "<b>50.0</b> &rarr; <b>not yet</b>" in page
    assert "is 50.0% before training" in page
    assert "The run is not finished: step 340 of 2,000 is logged." in page


def test_means_are_of_the_tasks_scored_both_times(make_run):
    run = make_run(
        task("rte", before=scores(40.0), after=scores(60.0)), task("cb", before=scores(90.0))
    )
    assert (
        "the mean score of 1 of 2 tasks, over all templates, rises with training from 40.0% to 60.0%"
        in run_report.write(run).read_text()
    )


@pytest.mark.parametrize(
    "after, verdict", [(50.0, True), (53.0, True), (70.0, False)]
)  # 100 examples: a standard error of 5 points
def test_a_score_near_chance_is_called_that(make_run, after, verdict):
    run = make_run(task("rte", before=scores(40.0), after=scores(after)))
    assert ("That is no better than a blind guess." in run_report.write(run).read_text()) == verdict


def test_no_held_out_cluster(make_run):
    run = make_run(
        task("boolq", "reading_comp", False, after=scores(88.0)), held_out=None, source="tfds"
    )
    page = run_report.write(run).read_text()
    assert "No cluster is held out." in page and "Practice corpus" not in page
    assert run_report.terminal_summary(run).startswith("held out: nothing")


def test_text_of_the_data_is_escaped(make_run):
    rows = {
        "rte-after": [prediction(0, 0, 1, text=NASTY)],
        "<i>-before": [prediction(0, 0, 0, text="")],
    }
    run = make_run(task("<u>&$x_1$ 日本", "<s>", after=scores(50.0)), predictions=rows)
    page = run_report.write(run).read_bytes().decode("ascii")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in page and "na&#239;ve &#26085;" in page
    assert not re.search(r"<(script|i|u|s)>(?!\(empty)", page)
    assert "<i>(empty)</i>" in page


def test_examples_pair_before_with_after(make_run):
    rows = {
        "rte-before": [prediction(7, 0, 0)],
        "rte-after": [prediction(7, 0, 1), prediction(8, 0, 1, split="validation")],
    }
    page = run_report.write(make_run(task("rte", after=scores(50.0)), predictions=rows)).read_text()
    assert "test example 7, template 0" in page and "example 8" not in page
    assert "before <b>&#10007; wrong</b>" in page and "after <b>&#10003; right</b>" in page
    assert "-1.25" in page and "log-probability before" in page


def test_further_prompts_stand_beside_before_and_after(make_run):
    tasks = [
        task("rte", before=scores(40.0), after=scores(60.0), **{"after-none": scores(52.25)}),
        task("cb"),
    ]
    tasks[1] |= {"before": scores(30.0), "after": scores(50.0), "after-none": scores(41.75)}
    whens = {"before": (3, 0), "after": (3, 1), "after-none": (0, 0)}
    texts = {when: f"Is it so? ({when})" for when in whens}
    rows = {
        f"rte-{when}": [prediction(7, t, c, text=texts[when])] for when, (t, c) in whens.items()
    }
    rows["rte-after-none"] += [prediction(8, 3, 1, text="another example")]
    run = make_run(*tasks, predictions=rows)
    html = run_report.write(run).read_text()
    assert "<th class=n>after, prompts none</th>" in html
    assert all(f"<td class=n>{mean}</td>" in html for mean in ("52.2", "41.8", "47.0"))
    assert texts["after"] in html and texts["after-none"] in html and "another example" not in html
    assert "after, prompts none, template 0" in html
    assert "<dt>after <b>&#10003; right" in html and "<dt>after-none <b>&#10007; wrong" in html
    assert html.count('<div class="example">') == 1


def test_generated_text_is_not_called_wrong(make_run):
    row = {
        "split": "test",
        "example": 0,
        "template": 0,
        "answer": -1,
        "inputs": "x",
        "references": ["A b."],
    }
    rows = {"g-before": [row | {"prediction": "c"}], "g-after": [row | {"prediction": "a B. "}]}
    page = run_report.write(make_run(predictions=rows)).read_text()
    assert "before <b>differs</b>" in page and "after <b>&#10003; as a reference</b>" in page


def test_ten_examples_from_all_templates_the_same_each_time(make_run):
    rows = [prediction(example, template, 1) for example in range(60) for template in range(7)]
    run = make_run(predictions={"rte-after": rows})
    page = run_report.write(run).read_text()
    shown = re.findall(r"test example (\d+), template (\d+)", page)
    assert len(shown) == 10 and {template for _, template in shown} == set("0123456")
    make_run(predictions={"rte-after": rows[::-1]})
    assert run_report.write(run).read_text() == page


def test_the_command(make_run, tmp_path, capsys):
    run = make_run(task("rte", after=scores(50.0)))
    run_report.main([str(run)])
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    for bad in (tmp_path / "none", tmp_path / "predictions"):
        with pytest.raises(SystemExit) as stopped:
            run_report.main([str(bad)])
        assert stopped.value.code == 2 and "is not a run directory" in capsys.readouterr().err
    with pytest.raises(InputError, match="is not a run directory"):
        run_report.write(tmp_path / "predictions")


def test_neither_jax_nor_tensorflow_is_imported(make_run):
    run = make_run(task("rte", after=scores(50.0)), metrics=[step(1)])
    script = (
        "import sys, pathlib; from flan_jax import report; assert 'matplotlib' not in sys.modules; "
        "report.write(pathlib.Path(sys.argv[1])); assert 'matplotlib.pyplot' not in sys.modules; "
        "assert not {'jax', 'tensorflow', 'seqio', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(run)], check=True)
