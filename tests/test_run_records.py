import json

import pytest

from flan_jax.errors import InputError
from flan_jax.run_records import (
    AFTER,
    BEFORE,
    MixtureSummary,
    Phase,
    Prediction,
    predictions_file,
    read_all_task_scores,
    read_task_scores,
    scores_file,
    write_task_scores,
)

SCORES = {
    "metric": "f1",
    "mean": 50.0,
    "median": 50.0,
    "quartiles": [45.0, 55.0],
    "interval": [30.5, 70.25],
    "standard_error": 10.5,
    "values": [[40.0, None], [20.0, 100.0]],
    "best_dev_template": {"template": 1, "score": 60.0},
    "chance": 25.0,
    "majority": 30.0,
    "examples": 2,
    "groups": 5,
    "partial_groups": 1,
    "truncated": 0.0,
    "ties": 12.5,
    "templates": [
        {
            "template": 0,
            "validation": {"f1": 10.0, "em": 0.0},
            "test": {"f1": 40.0, "em": 10.0},
        },
        {
            "template": 1,
            "validation": {"f1": 20.0, "em": 0.0},
            "test": {"f1": 60.0, "em": 20.0},
        },
    ],
}
TASK = {
    "task": "rte",
    "cluster": "nli",
    "held_out": True,
    "after": SCORES,
    "before-none": SCORES,
}


@pytest.mark.parametrize(
    "text", ["before", "after", "during", "after-none", "before-two-words"]
)
def test_a_phase_and_its_text_are_inverse(text):
    assert str(Phase.parse(text)) == text


def test_a_phase_has_a_time_and_prompts():
    assert Phase.parse("after-none") == Phase(time="after", prompts="none")
    assert Phase.parse("before") == BEFORE
    with pytest.raises(
        InputError, match="'later-none' is not a phase; write 'before', 'after'"
    ):
        Phase.parse("later-none")


def test_scores_are_written_as_they_were_read(tmp_path):
    path = scores_file(tmp_path, "rte")
    path.parent.mkdir()
    text = json.dumps(TASK, indent=2) + "\n"
    path.write_text(text)
    record = read_task_scores(path)
    assert (record.task, record.cluster, record.held_out) == ("rte", "nli", True)
    assert list(record.scores) == [AFTER, Phase("before", "none")]
    write_task_scores(path, record)
    assert path.read_text() == text


def test_headline_and_further_metrics(tmp_path):
    path = tmp_path / "rte.json"
    path.write_text(json.dumps(TASK))
    scores = read_task_scores(path).scores[AFTER]
    assert scores.by_template == {0: 40.0, 1: 60.0}
    assert scores.further_metrics == {"em": 15.0}


def test_unknown_values_are_none(tmp_path):
    path = tmp_path / "rte.json"
    few = {name: SCORES[name] for name in ("metric", "mean", "templates")}
    path.write_text(json.dumps(TASK | {"after": few, "before-none": None}))
    record = read_task_scores(path)
    assert list(record.scores) == [AFTER]
    assert record.scores[AFTER].interval is None
    assert record.scores[AFTER].values is None


def test_a_missing_file_has_no_scores(tmp_path):
    assert read_task_scores(tmp_path / "rte.json") is None
    assert read_all_task_scores(tmp_path) == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            {"values": [[1.0]]},
            "ValueError: its values are not numbers, templates x examples",
        ),
        (
            {"values": [[None, None], [1.0, 2.0]]},
            "ValueError: its values are not numbers",
        ),
        ({"metric": "bleu"}, "KeyError: 'bleu'"),
        ({"interval": [1.0]}, "ValueError: not enough values"),
    ],
)
def test_a_file_that_no_run_writes(tmp_path, damage, reason):
    path = tmp_path / "rte.json"
    path.write_text(json.dumps(TASK | {"after": SCORES | damage}))
    with pytest.raises(
        InputError, match=f"rte.json is not what a run writes .{reason}"
    ):
        read_task_scores(path)


def test_a_prediction_is_written_without_the_fields_that_it_lacks():
    generated = {
        "example": 3,
        "template": 1,
        "answer": -1,
        "right": [],
        "inputs": "Spell cat.",
        "references": ["c a t"],
        "prediction": "c-a-t",
    }
    record = Prediction.from_json({"split": "test", **generated})
    assert record.chosen is None and not record.truncated
    assert list(record.to_json().items()) == list(generated.items())
    ranked = Prediction.from_json(
        generated | {"answer": 0, "chosen": 0, "truncated": True}
    )
    assert list(ranked.to_json()) == [
        *list(generated)[:6],
        "truncated",
        "prediction",
        "chosen",
    ]


def test_files_are_named_by_task_and_phase(tmp_path):
    path = predictions_file(tmp_path, "rte", Phase("after", "none"))
    assert path == tmp_path / "predictions" / "rte-after-none.jsonl"


MIXTURE = {
    "tasks": [
        {
            "task": "rte",
            "cluster": "nli",
            "examples": 2277,
            "filtered": 13,
            "rate": 2277,
            "share": 0.75,
            "epochs": 1.5,
            "mean_inputs": 94.5,
            "p95_inputs": 200.0,
            "mean_targets": 2.5,
            "p95_targets": 3.0,
            "truncated_inputs": 0.125,
            "truncated_targets": 0.0,
            "provenance": {"kind": "generated"},
        }
    ],
    "held_out": ["anli_r1", "anli_r2"],
    "rows_filled": {"inputs": 0.98, "targets": 0.61},
    "examples_per_batch": 412.3,
    "supervised_tokens_per_batch": 9812.4,
    "batch_size": 64,
    "lengths": {"inputs": 512, "targets": 128},
    "steps": 1000,
}


def test_a_mixture_and_its_json_are_inverse():
    summary = MixtureSummary.from_json(MIXTURE)
    assert list(summary.to_json()) == list(MIXTURE)  # the order of manifest.json
    assert list(summary.to_json()["tasks"][0]) == list(MIXTURE["tasks"][0])
    assert summary.to_json() == MIXTURE
    assert json.loads(json.dumps(summary.to_json())) == MIXTURE
    assert (
        MixtureSummary.from_json(MIXTURE | {"set_aside": 3}) == summary
    )  # of earlier versions
    with pytest.raises(LookupError):
        MixtureSummary.from_json(
            {key: MIXTURE[key] for key in MIXTURE if key != "steps"}
        )


def test_generated_tasks_are_known_by_their_provenance():
    generated = MIXTURE["tasks"][0]
    unknown = {key: value for key, value in generated.items() if key != "provenance"}
    files = generated | {"task": "mine", "provenance": {"kind": "files"}}
    summary = MixtureSummary.from_json(
        MIXTURE | {"tasks": [files, unknown | {"task": "old"}]}
    )
    assert summary.generated_tasks == ()
    summary = MixtureSummary.from_json(MIXTURE | {"tasks": [files, generated]})
    assert summary.generated_tasks == ("rte",)
