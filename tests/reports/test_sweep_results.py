import os
import socket

import numpy as np
import pytest
from sweep_directory import (
    FEW_CLUSTERS,
    edit_json,
    run_folder,
    write_json,
    write_jsonl,
    write_sweep,
)

from flan_jax.errors import InputError
from flan_jax.reports.sweep_results import KILLED, read_sweep, was_killed
from flan_jax.run_records import AFTER, Phase


@pytest.fixture
def few(tmp_path):
    return write_sweep(
        tmp_path, axes={"HELD_OUT": list(FEW_CLUSTERS)}, clusters=FEW_CLUSTERS
    )


def test_axes_settings_and_evaluations(tmp_path):
    axes = {
        "HELD_OUT": ["nli"],
        "MIXTURE": ["flan_1_clusters", "flan_10_clusters", "flan_3_clusters"],
        "WARM_START": ["a", "b"],
        "train/Prompts.shots": [5],
        "SEED": [0, 1],
    }
    phases = ["after", "after-none"]
    sweep = read_sweep(
        write_sweep(
            tmp_path, axes=axes, clusters=FEW_CLUSTERS, evaluations=phases, templates=2
        )
    )
    assert sweep.axes == {"MIXTURE": axes["MIXTURE"], "WARM_START": ["a", "b"]}
    assert len(sweep.runs) == 12 and len(sweep.settings) == 6
    assert sweep.headline_setting == ("flan_10_clusters", "a")
    assert [run.point["SEED"] for run in sweep.headline_runs] == [0, 1]
    assert sweep.evaluations == [AFTER, Phase("after", "none")]


def damage_json(run):
    (run / "eval" / "rte.json").write_text('{"task": "rte", ')


def damage_shape(run):
    edit_json(run / "eval" / "rte.json", lambda task: task["after"].pop("mean"))


def damage_values(run):
    edit_json(
        run / "eval" / "rte.json", lambda task: task["after"].update(values=[[1.0]])
    )


def damage_metrics(run):
    (run / "metrics.jsonl").write_text("not json\n")


def damage_manifest(run):
    (run / "manifest.json").write_text("[1]")


def remove_manifest(run):
    (run / "manifest.json").unlink()


def damage_status(run):
    (run.parent.parent / "status" / f"{run.name}.json").write_text("{")


def damage_leakage(run):
    (run / "leakage.json").write_text("{")


@pytest.mark.parametrize(
    "damage, reason",
    [
        (damage_json, "rte.json: is damaged"),
        (damage_shape, "rte.json: is not what a run writes (KeyError: 'mean')"),
        (
            damage_values,
            "rte.json: is not what a run writes (ValueError: its values are not num",
        ),
        (damage_metrics, "metrics.jsonl: is not what a run writes (JSONDecodeError"),
        (
            damage_manifest,
            "manifest.json: is not what a run writes (TypeError: a list instead of an object)",
        ),
        (remove_manifest, "manifest.json is missing or empty"),
        (damage_status, f"{0:010x}.json: is damaged"),
        (damage_leakage, "leakage.json: is damaged"),
    ],
)
def test_a_damaged_file_is_a_gap(few, damage, reason):
    damage(run_folder(few, 0))
    damaged, other = read_sweep(few).runs
    (gap,) = damaged.gaps
    assert gap.startswith(reason)
    assert other.gaps == []


def test_a_run_without_status_is_waiting_and_one_with_a_damaged_status_unknown(
    tmp_path,
):
    axes = {"HELD_OUT": list(FEW_CLUSTERS)}
    states = {0: "running", 1: "waiting"}
    sweep = write_sweep(tmp_path, axes=axes, clusters=FEW_CLUSTERS, states=states)
    assert [run.state for run in read_sweep(sweep).runs] == ["running", "waiting"]
    damage_status(run_folder(sweep, 0))
    assert [run.state for run in read_sweep(sweep).runs] == ["unknown", "waiting"]


def test_a_run_whose_process_has_ended_has_failed(tmp_path):
    axes = {"HELD_OUT": list(FEW_CLUSTERS)}
    sweep = write_sweep(
        tmp_path, axes=axes, clusters=FEW_CLUSTERS, states={0: "running"}
    )
    status = {"state": "running", "host": socket.gethostname(), "pid": 2**22 + 1}
    write_json(sweep / "status" / f"{0:010x}.json", status)
    run = read_sweep(sweep).runs[0]
    assert (run.state, run.status["error"]) == ("failed", KILLED)
    assert not was_killed(status | {"pid": os.getpid()})
    assert not was_killed(status | {"host": "another"})
    assert not was_killed(status | {"state": "finished"})


def test_a_long_loss_curve_is_thinned_but_keeps_its_end_and_all_evaluations(few):
    rows = [{"step": step, "loss": 1.0 + step} for step in range(10_000)]
    rows[1] = {"step": 1, "eval": {"nli": 40.0}}
    rows[7] = {"step": 7, "loss": float("nan")}
    write_jsonl(run_folder(few, 0) / "metrics.jsonl", rows)
    with (run_folder(few, 0) / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10000, "lo')
    run = read_sweep(few).runs[0]
    assert 250 < len(run.losses) < 400
    assert np.isfinite(run.losses).all()
    assert run.losses[-1].tolist() == [9999, 10_000]
    assert run.evaluated == [{"step": 1, "nli": 40.0}]


def test_a_directory_without_a_sweep_is_an_input_error(tmp_path, few):
    with pytest.raises(
        InputError, match="is not a sweep directory: there is no such directory"
    ):
        read_sweep(tmp_path / "none")
    with pytest.raises(InputError, match=r"it has no plan\.json"):
        read_sweep(few / "runs")
    (few / "runs.jsonl").write_text('{"index": 0}\n')
    with pytest.raises(InputError, match="Plan the sweep again"):
        read_sweep(few)
