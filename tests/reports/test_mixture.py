import pytest
from sweep_directory import mixture_summary, mixture_task

from flan_jax.errors import InputError
from flan_jax.reports.mixture import (
    draw_mixture,
    epochs_text,
    generated_rows_note,
    has_real_rows_only,
    mixture_table,
    row_kinds,
)
from flan_jax.run_records import MixtureSummary, TaskScores


def scores(**kinds):
    return [
        TaskScores(
            task=name,
            cluster="nli",
            held_out=True,
            scores={},
            provenance={"kind": kind} if kind else {},
        )
        for name, kind in kinds.items()
    ]


def mixture(**kinds):
    tasks = [mixture_task(name, "nli", kind) for name, kind in kinds.items()]
    return MixtureSummary.from_json(mixture_summary(tasks, held_out=[], steps=10))


def test_the_table_has_the_largest_share_first():
    tasks = [
        mixture_task("rte", "nli", "tfds", share=0.25),
        mixture_task("sst2", "sentiment", "tfds", share=0.75),
    ]
    summary = MixtureSummary.from_json(mixture_summary(tasks, held_out=[], steps=10))
    assert mixture_table(summary).rows == [
        ["sst2", "sentiment", 9427, 3000, "75.00", "1.25", 140.5, 2.5, 12.5, 0.0, 3],
        ["rte", "nli", 9427, 3000, "25.00", "1.25", 140.5, 2.5, 12.5, 0.0, 3],
    ]


def test_generated_rows_are_noted_and_named_where_only_some_are():
    assert generated_rows_note({"rte": "tfds", "cb": "files"}) is None
    assert generated_rows_note({"rte": "generated"}) == (
        "Practice corpus: generated rows. These are not FLAN's datasets; scores on them are not "
        "comparable with published ones."
    )
    kinds = row_kinds(
        [mixture(rte="tfds"), mixture(cb="generated")],
        scores(wnli="generated", rte=None),
    )
    assert kinds == {"rte": "tfds", "cb": "generated", "wnli": "generated"}
    note = generated_rows_note(kinds)
    assert "the rows of some tasks are generated (cb, wnli)." in note


@pytest.mark.parametrize(
    "kinds, is_real",
    [
        ({"rte": "tfds", "cb": "files"}, True),
        ({"rte": "tfds", "cb": "generated"}, False),
        ({"rte": "tfds", "cb": None}, False),
        ({}, False),
    ],
)
def test_only_known_real_rows_are_comparable(kinds, is_real):
    assert has_real_rows_only(kinds) == is_real


def test_scored_tasks_of_unknown_origin_are_not_comparable():
    kinds = row_kinds([mixture(rte="tfds")], scores(sst2=None))
    assert not has_real_rows_only(kinds)


def test_rows_of_unknown_origin_are_not_comparable():
    content = mixture_summary(
        [mixture_task("rte", "nli", "tfds")], held_out=[], steps=10
    )
    del content["tasks"][0]["provenance"]
    summary = MixtureSummary.from_json(content)
    kinds = row_kinds([summary], [])
    assert not has_real_rows_only(kinds)
    assert generated_rows_note(kinds) is None


def test_pictures(tmp_path):
    summary = mixture(rte="tfds", cb="tfds")
    for ending, start in (
        ("png", b"\x89PNG"),
        ("svg", b"<?xml"),
        ("html", b"<!doctype html>"),
    ):
        path = tmp_path / f"mixture.{ending}"
        draw_mixture(summary, path)
        assert path.read_bytes().startswith(start)
    assert "<svg" in path.read_text() and "<td>rte</td>" in path.read_text()
    with pytest.raises(InputError, match=r"ends in \.png, \.svg, \.pdf or \.html"):
        draw_mixture(summary, tmp_path / "mixture.txt")


@pytest.mark.parametrize(
    ("epochs", "text"),
    [
        (1234.5, "1,234.50"),
        (0.5, "0.50"),
        (0.01, "0.01"),
        (0.004, "<0.01"),
        (0.0, "0.00"),
    ],
)
def test_a_small_number_of_epochs_is_not_shown_as_none(epochs, text):
    assert epochs_text(epochs) == text
