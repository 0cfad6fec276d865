"""A sweep's directory: the plan in it, and the status of each run."""

import dataclasses
import datetime
import json
import os
import socket

import pytest
from toy_sweeps import GIN_FILES, PLAN, RUNS, WITH_BASE, end, write

from flan_jax.errors import InputError
from flan_jax.parallel.preemption import Preempted
from flan_jax.sweeps.sweep_dir import (
    Plan,
    Status,
    attempt,
    is_finished,
    make_folders,
    read_plan,
    read_status,
    status_file,
    write_plan,
)

RUN = RUNS[0]
NO_PROCESS = 2**22 + 1
"""A process id above the largest one of Linux."""


def change_status(sweep_dir, **fields):
    file = status_file(sweep_dir, RUN)
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | fields))


@pytest.mark.parametrize("plan", [PLAN, WITH_BASE])
def test_a_plan_is_read_back(tmp_path, plan):
    write(tmp_path, plan)
    again = read_plan(tmp_path)
    assert again.runs == plan.runs
    assert again.base == plan.base


def test_a_directory_of_other_things_is_no_sweep(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="not a sweep directory"):
        make_folders(tmp_path)
    with pytest.raises(InputError, match="not a sweep directory"):
        read_plan(tmp_path)


def test_an_interrupted_plan_is_written_again(tmp_path):
    short = Plan({}, RUNS[:1], {})
    longer = Plan({}, RUNS[:2], {})
    make_folders(tmp_path)  # and killed
    write(tmp_path, short)
    short_plan_json = (tmp_path / "plan.json").read_text()
    write_plan(longer, tmp_path, GIN_FILES)

    # As if killed between the two files, of which `planning` says that they are being written.
    (tmp_path / "plan.json").write_text(short_plan_json)
    (tmp_path / "planning").touch()
    write(tmp_path, longer)
    assert read_plan(tmp_path).runs == longer.runs


def test_an_edited_plan_is_refused(tmp_path):
    write(tmp_path, Plan({}, RUNS[:1], {}))
    plan_json = (tmp_path / "plan.json").read_text()
    write_plan(Plan({}, RUNS[:2], {}), tmp_path, GIN_FILES)
    (tmp_path / "plan.json").write_text(plan_json)
    with pytest.raises(InputError, match="edited"):
        make_folders(tmp_path)
    with pytest.raises(InputError, match="edited"):
        read_plan(tmp_path)


def test_a_status_records_how_each_attempt_ended(tmp_path):
    write(tmp_path, PLAN)
    assert read_status(tmp_path, RUN) is None

    with pytest.raises(ZeroDivisionError), attempt(tmp_path, RUN):
        assert read_status(tmp_path, RUN).state == "running"
        raise ZeroDivisionError("by zero")
    status = read_status(tmp_path, RUN)
    assert status.state == "failed"
    assert status.error == "ZeroDivisionError: by zero"
    assert status.attempts == 1

    with pytest.raises(Preempted), attempt(tmp_path, RUN):
        raise Preempted
    assert read_status(tmp_path, RUN).state == "preempted"

    with attempt(tmp_path, RUN):
        pass
    status = read_status(tmp_path, RUN)
    assert status.state == "finished"
    assert status.attempts == 3


def test_a_run_whose_process_was_killed_has_failed(tmp_path):
    write(tmp_path, PLAN)
    with attempt(tmp_path, RUN):
        change_status(tmp_path, pid=NO_PROCESS)
        status = read_status(tmp_path, RUN)
    assert status.state == "failed"
    assert "killed" in status.error


def test_the_time_of_a_killed_attempt_is_counted(tmp_path):
    write(tmp_path, PLAN)
    hour_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    status = Status(
        state="running",
        evaluation="",
        pid=NO_PROCESS,
        host=socket.gethostname(),
        started=hour_ago.isoformat(),
        attempts=1,
    )
    status_file(tmp_path, RUN).write_text(json.dumps(dataclasses.asdict(status)))

    metrics = tmp_path / RUN.directory / "metrics.jsonl"
    metrics.parent.mkdir(parents=True)
    metrics.touch()
    ten_minutes_later = hour_ago.timestamp() + 600
    os.utime(metrics, (ten_minutes_later, ten_minutes_later))

    with attempt(tmp_path, RUN):
        assert read_status(tmp_path, RUN).seconds == pytest.approx(600, abs=2)
    assert read_status(tmp_path, RUN).seconds == pytest.approx(600, abs=30)


def test_a_run_is_finished_once_it_is_scored_as_planned(tmp_path):
    write(tmp_path, PLAN)
    assert not is_finished(tmp_path, RUN)
    end(tmp_path, RUN, "finished")
    assert is_finished(tmp_path, RUN)
    scored_otherwise = dataclasses.replace(RUN, evaluation="another")
    assert not is_finished(tmp_path, scored_otherwise)
