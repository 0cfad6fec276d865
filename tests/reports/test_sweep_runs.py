import json
import re
import shutil

import numpy as np
import pytest
from sweep_directory import FEW_CLUSTERS, edit_json, run_folder, write_sweep

from flan_jax.reports import sweep_report, sweep_results, sweep_scores

PAPER_NLI = {"anli_r1": 3, "anli_r2": 3, "anli_r3": 3, "cb": 3, "rte": 2}


@pytest.fixture
def few(tmp_path):
    return write_sweep(
        tmp_path, axes={"HELD_OUT": list(FEW_CLUSTERS)}, clusters=FEW_CLUSTERS
    )


def html(sweep):
    return sweep_report.write(sweep).read_text()


@pytest.mark.parametrize("provenance", ["generated", "tfds"])
def test_published_numbers_stand_beside_ours_for_real_data_alone(tmp_path, provenance):
    """Ours is the mean over the datasets of the paper's NLI, not over all of the cluster's."""
    is_real = provenance == "tfds"
    clusters = {"nli": PAPER_NLI | {"wnli": 2}, "sentiment": {"sst2": 2}}
    sweep = write_sweep(
        tmp_path, axes={"HELD_OUT": ["nli"]}, clusters=clusters, provenance=provenance
    )
    page = html(sweep)
    assert "arXiv 2109.01652" in page and ">56.2<" in page
    results = sweep_scores.score_sweep(sweep_results.read_sweep(sweep))
    ((cluster,),) = results.by_setting.values()
    mean = np.mean(
        [task.after.mean for task in cluster.tasks if task.name in PAPER_NLI]
    )
    assert (f">{mean:.1f}</td></tr>" in page) == is_real
    assert ("measured here, tuned" in page) == is_real
    assert ("Rows of these runs are generated, so that their scores" in page) == (
        not is_real
    )


def test_scores_of_rows_of_unknown_origin_are_not_called_comparable(tmp_path):
    axes = {"HELD_OUT": ["nli"]}
    clusters = FEW_CLUSTERS | {"nli": PAPER_NLI}
    sweep = write_sweep(tmp_path, axes=axes, clusters=clusters, provenance="tfds")
    manifest = run_folder(sweep, 0) / "manifest.json"
    edit_json(
        manifest, lambda content: content["mixture"]["tasks"][0].pop("provenance")
    )
    page = html(sweep)
    assert "It is not known where the rows of these runs come from" in page
    assert "measured here, tuned" not in page and "Practice corpus" not in page


def test_a_damaged_prediction_or_mixture_stops_nothing(few):
    run = run_folder(few, 0)
    (run / "predictions" / "rte-after.jsonl").write_text('{"split": "test"}\n')
    manifest = run / "manifest.json"
    edit_json(manifest, lambda content: content["mixture"]["tasks"][0].pop("share"))
    page = html(few)
    assert re.search(
        r"rte-after.jsonl cannot be read \(TypeError: .*&#39;example&#39;", page
    )
    assert "Task by task: HELD_OUT=coreference" in page


def test_runs_without_a_leakage_audit_have_the_command_for_it(few):
    runs = [run_folder(few, 0), run_folder(few, 1)]
    page = html(few)
    assert "2 of 2 combinations" in page
    for run in runs:
        assert f"launch/leakage.py --run_dir=$SWEEP_DIR/runs/{run.name}\n" in page

    finding = {
        "held_out": "rte",
        "trained": "qnli",
        "origin": "one origin",
        "duplicates": 7,
        "examples": 277,
        "pair": None,
    }
    (runs[0] / "leakage.json").write_text(
        json.dumps({"findings": [finding], "labels": {}})
    )
    page = html(few)
    assert "one origin" in page and "1 of 2 combinations" in page
    assert f"/{runs[1].name}\n" in page and f"/{runs[0].name}\n" not in page


@pytest.mark.parametrize(
    "audit, text",
    [
        ({"findings": []}, "no finding"),
        (
            {"findings": [{"held_out": "rte"}]},
            "not an audit (KeyError: &#39;trained&#39;)",
        ),
        ([], "not an audit (TypeError: a list instead of an object)"),
    ],
)
def test_an_audit_without_findings_or_a_damaged_one(few, audit, text):
    (run_folder(few, 0) / "leakage.json").write_text(json.dumps(audit))
    assert text in html(few)


def test_the_base_model_is_described_from_its_files(few):
    assert "Base model" not in html(few)
    base = {
        "index": None,
        "id": "ba5e",
        "name": "base",
        "point": {},
        "directory": "base/ba5e",
        "tokens": 2_000_000,
        "steps": 1000,
    }
    edit_json(few / "plan.json", lambda plan: plan.update(base=base))
    assert (
        "its own mixture (waiting); 1,000 steps of 2,000,000 tokens in all. "
        in html(few)
    )

    first = run_folder(few, 0)
    folder = few / "base" / "ba5e"
    folder.mkdir(parents=True)
    for file in ("manifest.json", "metrics.jsonl", "result.json"):
        shutil.copy(first / file, folder)
    edit_json(
        folder / "manifest.json",
        lambda content: content["data"].update(mixture="plain_text"),
    )
    shutil.copy(few / "status" / f"{0:010x}.json", few / "status" / "ba5e.json")
    # The last line is an evaluation, the one before it a training step.
    last_step = json.loads((first / "metrics.jsonl").read_text().splitlines()[-2])
    assert (
        "trained from scratch on plain_text (finished); 31,457,280 parameters; 1,000 steps of "
        f"2,000,000 tokens in all; 612 seconds; loss {last_step['loss']:.3f} at step 1,000."
    ) in html(few)
    # The tokens of the two runs and of the base model.
    assert "10,192,000 tokens" in (few / "report.md").read_text()


def test_predictions_are_escaped_and_of_the_test_split(few):
    page = html(few)
    examples = re.findall(r"test example (\d+)", page)
    assert examples and all(int(example) % 3 for example in examples)
    assert "Is Anna &lt;at home&gt; &amp; well?" in page
    link = re.search(r'<a href="([^"]+)">all</a>', page)
    assert link and (few / link[1]).exists()


def test_a_long_table_of_runs_is_folded(tmp_path):
    axes = {"HELD_OUT": ["nli"], "SEED": list(range(25))}
    states = dict.fromkeys(range(25), "waiting")
    sweep = write_sweep(tmp_path, axes=axes, clusters=FEW_CLUSTERS, states=states)
    assert html(sweep).count("<summary><b>25 runs</b></summary>") == 2  # cost and plan
