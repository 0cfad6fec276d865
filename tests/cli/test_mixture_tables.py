"""Mixtures as tables; test_mixture.py prints them with launch/mixture.py."""

import dataclasses

import pytest
from sweep_directory import mixture_summary, mixture_task

import tasks  # noqa: F401 (registers)
from flan_jax.cli.mixture_tables import (
    batch_text,
    difference_table,
    mixture_table,
    plan_and_summary,
    print_plan,
)
from flan_jax.errors import InputError
from flan_jax.models.params import count_params
from flan_jax.run_records import MixtureSummary


def summary_of(held_out=(), **shares):
    """Returns a summary from the share of each task."""
    rows = []
    for name, share in shares.items():
        rows.append(mixture_task(name, "nli", "tfds", share=share))
    content = mixture_summary(rows, list(held_out), steps=2000)
    return MixtureSummary.from_json(content)


def rows_of(table):
    """Returns the cells of each row."""
    columns = [column.cells for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def headers_of(table):
    return [column.header for column in table.columns]


def test_a_row_of_numbers_for_each_task():
    table = mixture_table(summary_of(rte=0.25, cb=0.75))
    assert table.title == "Mixture, 2,000 steps"
    first, second = rows_of(table)
    assert list(zip(headers_of(table), first, strict=True)) == [
        ("task", "rte"),
        ("cluster", "nli"),
        ("rows", "9,427"),
        ("filtered", "3"),
        ("rate", "3,000"),
        ("share", "25.0%"),
        ("epochs", "1.25"),
        ("inputs", "140"),
        ("p95", "300"),
        ("targets", "2"),
        ("p95", "4"),
        ("cut in", "12.5%"),
        ("cut out", "0.0%"),
    ]
    assert second == ["cb", *first[1:5], "75.0%", *first[6:]]


def test_a_mixture_without_tasks_has_no_rows():
    assert rows_of(mixture_table(summary_of())) == []


def test_the_difference_of_two_mixtures():
    first = summary_of(rte=0.25, cb=0.75)
    second = summary_of(cb=0.5, qnli=0.5)
    assert rows_of(difference_table(first, second)) == [
        ["rte", "25.00%", "-", "-25.00", "1.25", "-"],
        ["cb", "75.00%", "50.00%", "-25.00", "1.25", "1.25"],
        ["qnli", "-", "50.00%", "+50.00", "-", "1.25"],
    ]


def test_a_mixture_does_not_differ_from_itself():
    summary = summary_of(rte=0.25, cb=0.75)
    changes = [row[3] for row in rows_of(difference_table(summary, summary))]
    assert changes == ["+0.00", "+0.00"]


@pytest.fixture
def settings(settings_of):
    """The run of the fixture gin_file: 3 steps on rte."""
    return settings_of()[0]


@pytest.mark.parametrize(
    "held_out, text", [((), "nothing"), (("cb", "wnli"), "cb, wnli")]
)
def test_the_text_on_a_batch(settings, held_out, text):
    _, plan, _ = plan_and_summary(settings)
    summary = summary_of(held_out, rte=1.0)
    first, second, third = batch_text(plan, summary).splitlines()
    assert first == f"held out: {text}"
    assert second == (
        "412.3 examples and 9,812 supervised tokens in a batch of 8 rows of 64 input and "
        "16 target tokens"
    )
    assert third == "filled with real tokens: inputs 98.0%, targets 61.0%"


def test_the_plan_and_the_summary_are_of_the_same_run(settings):
    _, plan, summary = plan_and_summary(settings)
    assert (plan.batch_size, plan.lengths) == (8, {"inputs": 64, "targets": 16})
    assert summary.batch_size == plan.batch_size
    assert summary.lengths == plan.lengths
    assert summary.steps == 3
    assert [task.task for task in summary.tasks] == ["rte"]


def test_a_leak_is_refused_before_anything_is_planned(leaking, settings_of, tmp_path):
    settings, _ = settings_of(
        "--gin.MIXTURE=leaking",
        "--gin.HELD_OUT=nli",
        "--gin.DataConfig.max_leakage=0.01",
    )
    with pytest.raises(InputError, match="rte <- rte_again: the same source"):
        plan_and_summary(settings)


def test_a_printed_plan_has_the_size_of_the_model_and_of_the_run(settings, capsys):
    longer = dataclasses.replace(settings.training, steps=3_000_000)
    print_plan(dataclasses.replace(settings, training=longer))
    output = capsys.readouterr().out
    parameters = count_params(settings.model)
    flops = settings.model.train_flops(8, {"inputs": 64, "targets": 16})
    for text in (
        "Mixture, 3,000,000 steps",
        "held out: nothing",
        f"{parameters:,} parameters; {flops / 1e9:,.1f} GFLOP a step, ",
        f"{3 * flops / 1e9:,.3f} PFLOP in 3,000,000 steps",
        "mesh: {'data': 8, 'fsdp': 1, 'tensor': 1}",
    ):
        assert text in output
