import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from sweep_directory import CLUSTERS, write_sweep

from flan_jax.errors import InputError
from flan_jax.reports import sweep_report, sweep_results, sweep_scores

FEW = {
    "nli": {"rte": 2, "cb": 3, "anli_r1": 3},
    "coreference": {"wsc": 2, "winogrande": 2, "wsc273": 2},
}
MIXTURES = ["flan2021_1_clusters", "flan2021_3_clusters"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Twelve runs: one failed, one runs, one waits."""
    sweep = write_sweep(
        tmp_path_factory.mktemp("sweep"), states={3: "failed", 7: "running", 10: "waiting"}
    )
    sweep_report.write(sweep)
    return sweep


@pytest.fixture
def few(tmp_path):
    return write_sweep(tmp_path, axes={"HELD_OUT": list(FEW)}, clusters=FEW)


def html(sweep):
    return sweep_report.write(sweep).read_text()


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_verdict_says_what_speaks_against_tuning_too(whole):
    text = (whole / "report.md").read_text()
    assert "12 runs: 1 failed, 9 finished, 1 running, 1 waiting." in text
    assert (
        "Tuned is above untuned on 5 of 6 held-out clusters, significantly (p &lt; 0.05, paired) on 5; "
        "it is below on 1 (coreference), significantly on 1." in text
    )
    assert "Not above chance beyond its interval: coreference." in text


def test_runs_without_a_result_are_marked_with_the_last_error(whole):
    for text in ((whole / "report.md").read_text(), (whole / "report.html").read_text()):
        assert "the loss is not finite at step 410 &lt;nan&gt;" in text
    rows = re.findall(
        r"^\| HELD_OUT=\S+ SEED=\d \| (failed|running|waiting) \| .*",
        (whole / "report.md").read_text(),
        re.MULTILINE,
    )
    assert rows[:3] == ["failed", "running", "waiting"]


def test_scores_are_the_mean_over_seeds_templates_and_tasks(whole):
    files = [whole / "runs" / f"{index:010x}" / "eval" for index in (0, 1)]
    means = [
        [json.loads((f / f"{task}.json").read_text())["after"]["mean"] for task in CLUSTERS["nli"]]
        for f in files
    ]
    found = sweep_scores.results(sweep_results.read(whole))
    nli = found.shown[0]
    assert nli.name == "nli" and nli.mean is not None
    assert nli.mean.scores["after"].interval.mean == pytest.approx(np.mean(means))
    assert f"{np.mean(means):.1f} [" in (whole / "report.md").read_text()
    assert sweep_scores.held_out_mean(found.shown, "after").mean == pytest.approx(
        np.mean([cluster.mean.scores["after"].mean for cluster in found.shown])
    )


def test_clusters_of_one_run_weigh_alike_whatever_their_size(tmp_path):
    clusters = FEW | {"sentiment": {"sst2": 2}}
    sweep = write_sweep(
        tmp_path, axes={"HELD_OUT": [list(clusters)], "SEED": [0, 1]}, clusters=clusters
    )
    found = sweep_scores.results(sweep_results.read(sweep)).shown
    means = [cluster.mean.scores["after"].mean for cluster in found]
    assert len(means) == 3
    assert sweep_scores.held_out_mean(found, "after").mean == pytest.approx(np.mean(means))


def test_results_csv_has_a_row_per_run_task_and_time(whole):
    rows = list(csv.DictReader((whole / "results.csv").open()))
    finished = [
        row
        for row in rows
        if row["state"] == "finished" and row["SEED"] == "0" and row["HELD_OUT"] == "nli"
    ]
    assert {(row["task"], row["when"]) for row in finished} == {
        (task, when) for task in CLUSTERS["nli"] for when in ("before", "after")
    }
    run = json.loads((whole / "runs" / f"{0:010x}" / "eval" / "rte.json").read_text())
    (row,) = [row for row in finished if row["task"] == "rte" and row["when"] == "after"]
    assert (
        float(row["mean"]) == run["after"]["mean"]
        and float(row["q75"]) == run["after"]["quartiles"][1]
    )
    assert [row["task"] for row in rows if row["state"] == "waiting"] == [""]


@pytest.mark.parametrize(
    "axes, evaluations, titles, lines",
    [
        ({"MIXTURE": MIXTURES}, ["after"], ["Number of clusters (MIXTURE)"], ["untuned", "tuned"]),
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
def test_each_axis_that_varies_has_a_figure_and_a_table(tmp_path, axes, evaluations, titles, lines):
    axes = {"HELD_OUT": list(FEW), **axes}
    page = html(
        write_sweep(
            tmp_path, axes=axes, clusters=FEW, evaluations=evaluations, templates=3, examples=10
        )
    )
    assert [title for title in titles if f"<h2>{title}</h2>" not in page] == []
    assert page.count("Held-out mean by") == len(titles)
    for line in lines:
        assert f"<th class=n>{line}</th>" in page, line


def test_the_values_of_an_axis_are_compared_in_pairs(tmp_path):
    axes = {"MIXTURE": MIXTURES, "HELD_OUT": list(FEW)}
    sweep = write_sweep(tmp_path, axes=axes, clusters=FEW, templates=3, examples=10)
    found = sweep_scores.results(sweep_results.read(sweep)).found
    one, other = (found[(mixture,)] for mixture in MIXTURES[:2])
    difference = sweep_scores.difference(one, other, list(FEW), "after")
    means = [sweep_scores.held_out_mean(each, "after").mean for each in (one, other)]
    assert difference.interval.mean == pytest.approx(means[1] - means[0])
    back = sweep_scores.difference(other, one, list(FEW), "after")
    assert (back.interval.mean, back.p) == (pytest.approx(-difference.interval.mean), difference.p)
    same = sweep_scores.difference(one, one, list(FEW), "after")
    assert same.interval[:1] + same.interval[2:] == (0, 0, 0) and same.p == 1
    # Pairs say more than two intervals do: what makes an example hard for both models cancels.
    widths = [
        low_high.high - low_high.low
        for low_high in (difference.interval, sweep_scores.held_out_mean(one, "after"))
    ]
    assert widths[0] < 2 * widths[1]
    assert f"<th>less {MIXTURES[0]}</th>" in html(sweep)


def test_an_axis_shows_the_clusters_that_all_settings_have(tmp_path):
    axes = {"MIXTURE": MIXTURES, "HELD_OUT": list(FEW)}
    sweep = write_sweep(
        tmp_path, axes=axes, clusters=FEW, states={1: "failed"}, templates=3, examples=10
    )
    page = html(sweep)
    assert "Mean over nli (the clusters scored in every setting)" in page
    assert "Shown here: MIXTURE = flan2021_3_clusters." in page


def test_seeds_of_one_setting_are_no_axis(whole):
    assert "Held-out mean by" not in (whole / "report.html").read_text()


def damage_json(run):
    (run / "eval" / "rte.json").write_text('{"task": "rte", ')


def damage_shape(run):
    edit(run / "eval" / "rte.json", lambda task: task["after"].pop("mean"))


def damage_values(run):
    edit(run / "eval" / "rte.json", lambda task: task["after"].update(values=[[1.0]]))


def damage_metrics(run):
    (run / "metrics.jsonl").write_text("not json\n")


def damage_manifest(run):
    (run / "manifest.json").write_text("[1]")


def remove_manifest(run):
    (run / "manifest.json").unlink()


def damage_status(run):
    (run.parent.parent / "status" / f"{run.name}.json").write_text("{")


@pytest.mark.parametrize(
    "damage, reason",
    [
        (damage_json, "rte.json: is damaged"),
        (damage_shape, "rte.json: not what a run writes (KeyError: &#x27;mean&#x27;)"),
        (damage_values, "rte.json: not what a run writes (ValueError: its values are not numbers"),
        (damage_metrics, "metrics.jsonl: not what a run writes (JSONDecodeError"),
        (
            damage_manifest,
            "manifest.json: not what a run writes (TypeError: a list instead of an object)",
        ),
        (remove_manifest, "manifest.json is missing or empty"),
        (damage_status, f"{0:010x}.json: is damaged"),
    ],
)
def test_a_damaged_file_is_a_marked_gap(few, damage, reason):
    damage(few / "runs" / f"{0:010x}")
    page = html(few)
    assert reason in page
    assert "Tuned is above untuned on 1 of 2 held-out clusters" in page


def test_a_damaged_prediction_or_mixture_stops_nothing(few):
    run = few / "runs" / f"{0:010x}"
    (run / "predictions" / "rte-after.jsonl").write_text('{"split": "test"}\n')
    edit(run / "manifest.json", lambda manifest: manifest["mixture"]["tasks"][0].pop("share"))
    assert "rte-after.jsonl cannot be read (KeyError: &#x27;example&#x27;)" in html(few)


def test_clusters_that_could_not_be_held_out_are_a_marked_gap(few):
    assert "Not held out" not in html(few)
    edit(few / "plan.json", lambda plan: plan.update(left_out=["translation"]))
    assert "Not held out, as nothing of them can be evaluated: translation." in html(few)


def test_no_sweep(tmp_path, few, capsys):
    with pytest.raises(InputError, match="is not a sweep's directory: there is no such directory"):
        sweep_report.write(tmp_path / "none")
    with pytest.raises(SystemExit) as stopped:
        sweep_report.main([str(few / "runs")])
    assert stopped.value.code == 2 and "it has no plan.json" in capsys.readouterr().err
    (few / "runs.jsonl").write_text('{"index": 0}\n')
    with pytest.raises(InputError, match="Plan the sweep anew"):
        sweep_report.write(few)


def test_a_sweep_that_has_not_begun(tmp_path):
    states = dict.fromkeys(range(2), "waiting")
    page = html(write_sweep(tmp_path, axes={"HELD_OUT": list(FEW)}, clusters=FEW, states=states))
    assert "2 runs: 2 waiting." in page and "no held-out task is scored" in page


@pytest.mark.parametrize("source", ["sandbox", "tfds"])
def test_published_numbers_stand_beside_ours_for_real_data_alone(tmp_path, source):
    """And of the same datasets alone: those of the paper's NLI, not all of ours."""
    paper = {"anli_r1": 3, "anli_r2": 3, "anli_r3": 3, "cb": 3, "rte": 2}
    sweep = write_sweep(
        tmp_path, axes={"HELD_OUT": ["nli"]}, clusters={"nli": paper | {"wnli": 2}}, source=source
    )
    page = html(sweep)
    assert "arXiv 2109.01652" in page and ">56.2<" in page
    ((cluster,),) = sweep_scores.results(sweep_results.read(sweep)).found.values()
    mean = np.mean([task.scores["after"].mean for task in cluster.tasks if task.name in paper])
    assert (f">{mean:.1f}</td></tr>" in page) == (source == "tfds")
    assert ("measured here, tuned" in page) == (source == "tfds")
    assert ("no comparison of their scores with published ones is meaningful" in page) == (
        source == "sandbox"
    )


def test_runs_without_a_leakage_audit_have_the_command_for_it(few):
    runs = sorted((few / "runs").iterdir())
    page = html(few)
    assert "2 of 2 pairs" in page and all(
        f"launch/leakage.py --run_dir=$SWEEP_DIR/runs/{run.name}\n" in page for run in runs
    )
    finding = {
        "held_out": "rte",
        "trained": "qnli",
        "origin": "one origin",
        "duplicates": 7,
        "examples": 277,
    }
    (runs[0] / "leakage.json").write_text(
        json.dumps({"findings": [finding | {"pair": None}], "labels": {}})
    )
    page = html(few)
    assert "one origin" in page and "1 of 2 pairs" in page
    assert f"/{runs[1].name}\n" in page and f"/{runs[0].name}\n" not in page


def test_the_base_model_is_described_from_its_files(few):
    assert "Base model" not in html(few)
    first = few / "runs" / f"{0:010x}"
    base = {"index": None, "id": "ba5e", "name": "base", "point": {}, "directory": "base/ba5e"}
    edit(
        few / "plan.json",
        lambda plan: plan.update(base=base | {"tokens": 2_000_000, "steps": 1000}),
    )
    assert "its own mixture (waiting); 1,000 steps of 2,000,000 tokens in all. " in html(few)
    for file in ("manifest.json", "metrics.jsonl", "result.json"):
        (few / "base" / "ba5e").mkdir(parents=True, exist_ok=True)
        shutil.copy(first / file, few / "base" / "ba5e")
    edit(
        few / "base" / "ba5e" / "manifest.json",
        lambda manifest: manifest["data"].update(mixture="plain_text"),
    )
    shutil.copy(few / "status" / f"{0:010x}.json", few / "status" / "ba5e.json")
    last = json.loads(
        (first / "metrics.jsonl").read_text().splitlines()[-2]
    )  # the last but an evaluation
    assert (
        "trained from scratch on plain_text (finished); 31,457,280 parameters; 1,000 steps of 2,000,000 tokens in all; "
        f"612 seconds; loss {last['loss']:.3f} at step 1,000."
    ) in html(few)
    assert "10,192,000 tokens" in (few / "report.md").read_text()  # with those of the two runs


def test_predictions_are_escaped_and_of_the_test_split(few):
    page = html(few)
    examples = re.findall(r"test example (\d+)", page)
    assert examples and all(int(example) % 3 for example in examples)
    assert "Is Anna &lt;at home&gt; &amp; well?" in page
    link = re.search(r'<a href="([^"]+)">all</a>', page)
    assert link and (few / link[1]).exists()


def test_the_same_directory_gives_the_same_report(few, tmp_path):
    first = html(few)
    other = tmp_path / "copy"
    shutil.copytree(
        few, other, ignore=lambda folder, names: [name for name in names if name == "copy"]
    )
    assert html(other) == first


def test_neither_jax_nor_tensorflow_is_imported(few):
    script = (
        "import sys, pathlib; from flan_jax.reports import sweep_report as report; report.write(pathlib.Path(sys.argv[1])); "
        "assert not {'jax', 'tensorflow', 'seqio', 'flax', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(few)], check=True)


def test_a_metric_of_a_whole_set_has_no_paired_test(few):
    def whole_set(task):
        for when in ("before", "after"):
            task[when].update(values=None, interval=None, standard_error=None)

    edit(few / "runs" / f"{0:010x}" / "eval" / "rte.json", whole_set)
    nli, coreference = sweep_scores.results(sweep_results.read(few)).shown
    assert nli.mean.p is None and coreference.mean.p is not None
    assert "Without a paired test (a metric of a whole set): nli." in html(few)


def test_the_paired_test_is_symmetric_and_sees_no_difference_in_equal_models(few):
    def swap(task):
        task["before"], task["after"] = task["after"], task["before"]

    def same(task):
        task["after"] = task["before"]

    def p():
        return sweep_scores.results(sweep_results.read(few)).shown[0].mean.p

    first = p()
    assert first < 0.05
    for change, expected in ((swap, pytest.approx(first, rel=0.5, abs=1e-3)), (same, 1.0)):
        for task in FEW["nli"]:
            edit(few / "runs" / f"{0:010x}" / "eval" / f"{task}.json", change)
        assert p() == expected
