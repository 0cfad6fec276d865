"""The tables of a sweep on the terminal."""

import dataclasses
import json

import pytest
from toy_sweeps import PLAN, RUNS, write

from flan_jax.sweeps.sweep_dir import Status, now, status_file
from flan_jax.sweeps.tables import duration_text, held_out_change, status_table


def write_status(sweep_dir, run, state, **fields):
    status = Status(
        state=state,
        evaluation=run.evaluation,
        pid=1,
        host="node1",
        started=now(),
        attempts=1,
        **fields,
    )
    status_file(sweep_dir, run).write_text(json.dumps(dataclasses.asdict(status)))


def write_run_file(sweep_dir, run, name, content):
    folder = sweep_dir / run.directory
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content) + "\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (3599.0, "59:59"),
        (3725.0, "1:02:05"),
        (360_000.0, "100:00:00"),
    ],
)
def test_a_duration_as_text(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ({}, ""),
        ({"sst2": {"held_out": False, "before": 10.0, "after": 90.0}}, ""),
        (
            {
                "rte": {"held_out": True, "before": 30.0, "after": 40.0},
                "cb": {"held_out": True, "before": 40.0, "after": 45.0},
                "sst2": {"held_out": False, "before": 10.0, "after": 90.0},
            },
            "35.0 -> 42.5",
        ),
        (
            {
                "rte": {"held_out": True, "before": 30.0, "after": 40.0},
                "cb": {"held_out": True, "before": 40.0},
            },
            "",
        ),
    ],
)
def test_the_mean_of_the_held_out_tasks(tmp_path, tasks, text):
    write_run_file(tmp_path, RUNS[0], "result.json", {"tasks": tasks})
    assert held_out_change(tmp_path, RUNS[0]) == text


def test_a_run_without_results_has_no_mean(tmp_path):
    assert held_out_change(tmp_path, RUNS[0]) == ""


def test_the_status_of_each_run(tmp_path):
    write(tmp_path, PLAN)
    finished, failed, *_ = RUNS
    write_status(tmp_path, finished, "finished", seconds=65.0)
    write_run_file(tmp_path, finished, "metrics.jsonl", {"step": 4, "loss": 1.25})
    scores = {"rte": {"held_out": True, "before": 30.0, "after": 40.0}}
    write_run_file(tmp_path, finished, "result.json", {"tasks": scores})
    write_status(tmp_path, failed, "failed", seconds=5.0, error="the disk is full")

    table = status_table(tmp_path)
    columns = {column.header: list(column.cells) for column in table.columns}
    assert table.title == f"{tmp_path}: 1 finished, 1 failed, 2 waiting"
    assert columns == {
        "index": ["0", "1", "2", "3"],
        "run": ["HELD_OUT=a", "HELD_OUT=b", "HELD_OUT=c", "HELD_OUT=d"],
        "state": ["finished", "failed", "waiting", "waiting"],
        "step": ["4/4", "0/4", "0/4", "0/4"],
        "loss": ["1.250", "", "", ""],
        "time": ["1:05", "0:05", "", ""],
        "held out, or what went wrong": ["30.0 -> 40.0", "the disk is full", "", ""],
    }


def test_the_status_of_submitted_runs_names_their_jobs(tmp_path):
    write(tmp_path, PLAN)
    line = {"run": RUNS[1].id, "job": "100_1"}
    (tmp_path / "submitted.jsonl").write_text(json.dumps(line) + "\n")
    columns = {column.header: column for column in status_table(tmp_path).columns}
    assert list(columns["job"].cells) == ["", "100_1", "", ""]
