"""A sweep on this machine: which runs are started, in which order, and what is said of each."""

import dataclasses
import json
import os
import threading

import pytest
from toy_sweeps import BASE, GIN_FILES, PLAN, RUNS, WITH_BASE, end, write

import tasks  # noqa: F401 (registers)
from flan_jax.data.config import DataConfig
from flan_jax.errors import DONE, ERROR, SAVED, InputError
from flan_jax.evaluation.config import EvalConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.sweeps import run_sweep
from flan_jax.sweeps.local_engine import LocalEngine, lock
from flan_jax.sweeps.sweep_dir import Plan, read_plan, read_status
from flan_jax.training.checkpoints import CheckpointConfig
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.training.settings import Settings, TrainConfig

STATES = {DONE: "finished", ERROR: "failed", SAVED: "preempted"}
DATA = DataConfig(
    mixture="rte",
    held_out=None,
    source="sandbox",
    data_dir=None,
    tokenizer="practice",
    lengths={"inputs": 64, "targets": 16},
    batch_size=8,
    seed=0,
    examples_per_dataset=20,
    eval_examples=4,
)


class ScriptedEngine(LocalEngine):
    """Starts no processes: it leaves behind what a run leaves that ends with the code in `codes`."""

    def __init__(self, sweep_dir, codes=None):
        super().__init__(sweep_dir)
        self.codes = codes or {}
        self.started = []

    def work(self, runs):
        for run in runs:
            self.started.append(run.id)
            code = self.codes.get(run.id, DONE)
            end(self.sweep_dir, run, STATES[code])
            yield run, code


def with_data(plan, **changes):
    """The plan with the settings of data that every run has."""
    data = dataclasses.replace(DATA, **changes)
    return dataclasses.replace(plan, data={run.id: data for run in plan.runs})


def work(engine, plan=PLAN, **changes):
    return run_sweep.work(
        engine.sweep_dir, with_data(plan, **changes), engine, GIN_FILES
    )


def test_everything_is_done_after_the_base_model(tmp_path, capsys):
    engine = ScriptedEngine(tmp_path)
    assert work(engine, WITH_BASE)
    assert engine.started == ["base0", "aa", "bb", "cc", "dd"]
    assert read_plan(tmp_path).runs == RUNS
    assert (tmp_path / "report.html").exists()
    assert capsys.readouterr().out.splitlines() == [
        "base: 4 steps, the model that all runs start from",
        "base: finished",
        "[1/4] HELD_OUT=a: finished",
        "[2/4] HELD_OUT=b: finished",
        "[3/4] HELD_OUT=c: finished",
        "[4/4] HELD_OUT=d: finished",
        f"report: {tmp_path / 'report.html'}",
    ]


@pytest.mark.parametrize("code", [ERROR, SAVED])
def test_no_run_starts_without_the_base_model(tmp_path, capsys, code):
    engine = ScriptedEngine(tmp_path, {"base0": code})
    assert not work(engine, WITH_BASE)
    assert engine.started == ["base0"]
    assert "no run can start without the base model" in capsys.readouterr().out


def test_what_is_finished_is_not_started_again(tmp_path, capsys):
    write(tmp_path, WITH_BASE)
    for run in (BASE, RUNS[0], RUNS[2]):
        end(tmp_path, run, "finished")
    engine = ScriptedEngine(tmp_path)
    assert work(engine, WITH_BASE)
    assert engine.started == ["bb", "dd"]
    assert "[3/4] HELD_OUT=b: finished" in capsys.readouterr().out


def test_a_run_that_failed_before_comes_last(tmp_path):
    write(tmp_path, PLAN)
    end(tmp_path, RUNS[0], "failed")
    end(tmp_path, RUNS[1], "preempted")
    engine = ScriptedEngine(tmp_path)
    assert work(engine)
    assert engine.started == ["bb", "cc", "dd", "aa"]


def test_the_others_are_done_beside_runs_that_fail_or_are_saved(tmp_path, capsys):
    engine = ScriptedEngine(tmp_path, {"aa": ERROR, "bb": SAVED})
    assert not work(engine)
    assert engine.started == ["aa", "bb", "cc", "dd"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "[0/4] HELD_OUT=a: failed: None",
        "[0/4] HELD_OUT=b: saved; the same command goes on from there",
        "[1/4] HELD_OUT=c: finished",
    ]


def test_a_line_says_how_long_a_run_took_and_how_held_out_scores_changed(
    tmp_path, capsys
):
    class ScoredEngine(ScriptedEngine):
        def work(self, runs):
            for run, code in super().work(runs):
                status = self.sweep_dir / "status" / f"{run.id}.json"
                content = json.loads(status.read_text()) | {"seconds": 90.0}
                status.write_text(json.dumps(content))
                task = {"held_out": True, "before": 31.25, "after": 40.5}
                result = self.sweep_dir / run.directory / "result.json"
                result.write_text(json.dumps({"tasks": {"rte": task}}))
                yield run, code

    plan = Plan({}, RUNS[:1], {})
    run_sweep.work(tmp_path, with_data(plan), ScoredEngine(tmp_path), GIN_FILES)
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("[1/1] HELD_OUT=a: finished after 1")
    assert line.endswith(", held out 31.2 -> 40.5")


def test_a_sweep_that_another_process_works_on_is_left_alone(tmp_path):
    write(tmp_path, PLAN)
    engine = ScriptedEngine(tmp_path)
    with lock(tmp_path), pytest.raises(InputError, match="is being worked on by"):
        work(engine)
    assert engine.started == []


def test_finished_runs_that_hold_tasks_out_are_audited(tmp_path):
    engine = ScriptedEngine(tmp_path, {"bb": ERROR})
    plan = Plan({}, RUNS[:2], {})
    work(engine, plan, mixture="practice", held_out="nli")
    audit = json.loads((tmp_path / RUNS[0].directory / "leakage.json").read_text())
    assert audit.keys() == {"findings", "labels"}
    assert not (tmp_path / RUNS[1].directory / "leakage.json").exists()


def test_an_audit_of_wrong_data_stops_no_run(tmp_path, capsys):
    engine = ScriptedEngine(tmp_path)
    assert work(engine, held_out="no_such_task")
    assert len(engine.started) == 4
    assert "no leakage audit: " in capsys.readouterr().err


def test_a_run_is_found_by_its_index_its_id_or_as_the_base(tmp_path):
    write(tmp_path, WITH_BASE)
    assert run_sweep.planned(tmp_path, "1") == RUNS[1]
    assert run_sweep.planned(tmp_path, "bb") == RUNS[1]
    assert run_sweep.planned(tmp_path, "base") == BASE
    with pytest.raises(InputError, match="--index=4: .* 0 to 3 or 'base', and no run"):
        run_sweep.planned(tmp_path, "4")


def test_a_job_finds_its_run_by_its_id_when_the_plan_has_changed(tmp_path):
    write(tmp_path, PLAN)
    assert (
        run_sweep.planned(tmp_path, "cc") == run_sweep.planned(tmp_path, "2") == RUNS[2]
    )
    reversed_runs = [dataclasses.replace(r, index=3 - r.index) for r in RUNS[::-1]]
    write(tmp_path, Plan({}, tuple(reversed_runs), {}))
    assert run_sweep.planned(tmp_path, "cc").id == "cc"
    with pytest.raises(InputError, match="indices 0 to 3, and no run of that id"):
        run_sweep.planned(tmp_path, "zz")


@pytest.fixture
def refused_settings():
    """Settings that training refuses before it prepares data."""
    model = EncoderDecoderConfig(
        vocab_size=4096,
        emb_dim=16,
        num_heads=2,
        head_dim=8,
        mlp_dim=16,
        num_encoder_layers=1,
        num_decoder_layers=1,
    )
    return Settings(
        data=dataclasses.replace(DATA, batch_size=12),
        model=model,
        optimizer=OptimizerConfig(learning_rate=1e-3),
        training=TrainConfig(steps=3, seed=0),
        checkpoints=CheckpointConfig(),
        evaluation=EvalConfig(),
    )


def test_a_run_that_is_refused_has_failed_for_that_reason(tmp_path, refused_settings):
    write(tmp_path, PLAN)
    for attempts in (1, 2):
        with pytest.raises(InputError, match="BATCH_SIZE 12 does not divide"):
            run_sweep.run_one(tmp_path, RUNS[0], refused_settings, "")
        status = read_status(tmp_path, RUNS[0])
        assert status.state == "failed"
        assert status.error.startswith("BATCH_SIZE 12 does not divide")
        assert status.attempts == attempts


def test_a_finished_run_is_not_done_again(tmp_path, refused_settings):
    write(tmp_path, PLAN)
    end(tmp_path, RUNS[0], "finished")
    before = read_status(tmp_path, RUNS[0])
    run_sweep.run_one(tmp_path, RUNS[0], refused_settings, "")
    assert read_status(tmp_path, RUNS[0]) == before


@pytest.mark.parametrize("niceness", [0, run_sweep.LOW_PRIORITY + 3])
def test_the_priority_of_the_audit_is_never_raised(niceness):
    """A user without rights may not raise it, so that a sweep under nice would not end."""
    priorities = []

    def audit():
        thread = threading.get_native_id()
        current = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(current, niceness))
        run_sweep.lower_priority()
        priorities.append((current, os.getpriority(os.PRIO_PROCESS, thread)))

    thread = threading.Thread(target=audit)
    thread.start()
    thread.join()
    ((current, priority),) = priorities
    assert priority == max(current, niceness, run_sweep.LOW_PRIORITY)
