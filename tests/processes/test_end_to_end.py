"""Whole runs as a user starts them: finished, killed at any moment, preempted, started twice."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_runs import (
    FLAGS,
    ROOT,
    STEPS,
    assert_same_run,
    environment,
    finish,
    metrics,
    parameters,
    scores,
    start,
    wait_for_step,
)

NO_DROPOUT = "--gin.EncoderDecoderConfig.dropout_rate=0.0"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):
    run_dir = tmp_path_factory.mktemp("runs") / "undisturbed"
    output = finish(run_dir, cache)
    assert "practice corpus" in output.splitlines()[0]
    return run_dir


def test_a_run_leaves_a_whole_directory(undisturbed):
    names = {path.name for path in undisturbed.iterdir()} - {".lock"}
    assert names == {
        "config.gin",
        "manifest.json",
        "metrics.jsonl",
        "checkpoints",
        "eval",
        "predictions",
        "tensorboard",
        "result.json",
        "report.html",
    }
    result = json.loads((undisturbed / "result.json").read_text())
    assert result["step"] == STEPS
    assert result["tasks"]["sst2"]["held_out"]
    assert result["tasks"]["sst2"]["chance"] == 50
    assert not result["tasks"]["rte"]["held_out"]
    sst2 = scores(undisturbed, "sst2")
    # Two of ten are turned around.
    assert len(sst2["before"]["templates"]) == len(sst2["after"]["templates"]) == 8
    assert sst2["after"]["best_dev_template"]["template"] in range(10)
    rows = [
        json.loads(line)
        for line in (undisturbed / "predictions" / "sst2-after.jsonl")
        .read_text()
        .splitlines()
    ]
    assert {row["split"] for row in rows} == {"validation", "test"}


def test_the_loss_falls(undisturbed):
    losses = [row["loss"] for row in metrics(undisturbed)]
    assert losses[-1] < 0.8 * losses[0]
    assert [row["step"] for row in metrics(undisturbed)] == list(range(2, STEPS + 1, 2))


def test_checkpoints_kept_are_the_last_two_and_the_best(undisturbed):
    kept = sorted(
        int(path.name)
        for path in (undisturbed / "checkpoints").iterdir()
        if path.name.isdigit()
    )
    assert kept[-2:] == [STEPS - 4, STEPS]
    assert len(kept) <= 3


def test_a_finished_run_is_left_alone(undisturbed, cache):
    before = (undisturbed / "metrics.jsonl").read_text()
    assert "is finished" in finish(undisturbed, cache)
    assert (undisturbed / "metrics.jsonl").read_text() == before


def test_other_settings_in_the_same_directory_are_refused(undisturbed, cache):
    copy = undisturbed.parent / "copy"
    shutil.copytree(undisturbed, copy)
    (copy / "result.json").unlink()
    output = finish(copy, cache, "--gin.LEARNING_RATE=0.5", code=2)
    assert "holds another run" in output
    assert "learning_rate" in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def half_done(tmp_path_factory, cache):
    """A run with half of its steps, without dropout, whose random numbers depend on the layout."""
    run_dir = tmp_path_factory.mktemp("runs") / "half_done"
    finish(run_dir, cache, NO_DROPOUT, f"--gin.STEPS={STEPS // 2}")
    return run_dir


@pytest.fixture(scope="module")
def finished(half_done, cache):
    run_dir = half_done.parent / "finished"
    shutil.copytree(half_done, run_dir)
    finish(run_dir, cache, NO_DROPOUT)
    return run_dir


@pytest.mark.parametrize(
    "change",
    [
        "EncoderDecoderConfig.scan_layers=False",
        "EncoderDecoderConfig.remat='full'",
        "TrainConfig.microbatches=2",
    ],
)
def test_a_run_goes_on_computed_otherwise_with_the_same_losses(
    cache, half_done, finished, change
):
    run_dir = half_done.parent / change
    shutil.copytree(half_done, run_dir)
    output = finish(run_dir, cache, NO_DROPOUT, f"--gin.{change}")
    assert "evaluate before training" not in output
    assert_same_losses(run_dir, finished)
    assert scores(run_dir, "sst2")["before"] == scores(finished, "sst2")["before"]
    assert "is finished" in finish(run_dir, cache, NO_DROPOUT)


def test_a_run_goes_on_with_another_attention_backend(
    tmp_path, cache, half_done, finished
):
    run_dir = tmp_path / "changed"
    shutil.copytree(half_done, run_dir)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    manifest["identity"]["model"]["attention_backend"] = "splash"
    (run_dir / "manifest.json").write_text(json.dumps(manifest))
    finish(run_dir, cache, NO_DROPOUT)
    assert_same_losses(run_dir, finished)


def test_a_run_of_other_layers_is_scored_again(tmp_path, cache, finished):
    run_dir = tmp_path / "scored"
    shutil.copytree(finished, run_dir)
    (run_dir / "eval" / "rte.json").unlink()
    flags = [NO_DROPOUT, "--gin.EncoderDecoderConfig.scan_layers=False", "--tasks=rte"]
    finish(run_dir, cache, *flags, script="launch/evaluate.py")
    assert (
        scores(run_dir, "rte")["after"]["mean"]
        == scores(finished, "rte")["after"]["mean"]
    )


def test_a_partly_frozen_run_goes_on_exactly(tmp_path, cache):
    trainable = "--gin.TrainConfig.trainable='scale$'"
    for name, stops in (("whole", [STEPS]), ("stopped", [STEPS // 2, STEPS])):
        for stop in stops:
            finish(tmp_path / name, cache, trainable, f"--gin.STEPS={stop}")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")

    # Random frozen parameters are in the checkpoint, so other programs score and copy the model.
    trained = scores(tmp_path / "whole", "sst2")["after"]
    (tmp_path / "whole" / "eval" / "sst2.json").unlink()
    evaluating = [trainable, "--tasks=sst2"]
    finish(tmp_path / "whole", cache, *evaluating, script="launch/evaluate.py")
    assert scores(tmp_path / "whole", "sst2")["after"] == trained
    convert = [sys.executable, ROOT / "launch/convert.py", "--to=flan_jax"]
    copy = [tmp_path / "whole", tmp_path / "copy"]
    subprocess.run([*convert, *copy], env=environment(cache), cwd=tmp_path, check=True)
    expected = parameters(tmp_path / "whole")
    copied = parameters(tmp_path / "copy", steps=0)
    assert copied.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(copied[name], value)

    other = "--gin.TrainConfig.trainable='kernel$'"
    output = finish(tmp_path / "stopped", cache, other, code=2)
    assert "holds another run" in output
    assert "trainable: scale$ there, kernel$ now" in output
    nothing = "--gin.TrainConfig.trainable='lora'"
    output = finish(tmp_path / "none", cache, nothing, "--dry_run", code=2)
    assert "which matches none of the model's" in output


def assert_same_losses(run_dir, expected):
    losses, others = (
        [row["loss"] for row in metrics(each)] for each in (run_dir, expected)
    )
    assert len(losses) == STEPS // 2
    np.testing.assert_allclose(losses, others, rtol=2e-4)


def test_killed_at_any_moment_it_ends_with_the_same_parameters(
    tmp_path, cache, undisturbed
):
    run_dir, rng, kills = tmp_path / "killed", random.Random(time.time_ns()), 0
    while True:
        process = start(run_dir, cache)
        try:
            output, _ = process.communicate(timeout=rng.uniform(3, 9) * 1.5**kills)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    assert process.returncode == 0, output
    assert kills > 0
    assert_same_run(run_dir, undisturbed)


def test_killed_while_training_it_ends_with_the_same_parameters(
    tmp_path, cache, undisturbed
):
    run_dir = tmp_path / "killed"
    process = start(run_dir, cache)
    wait_for_step(process, run_dir, 10)
    process.kill()
    process.communicate()
    finish(run_dir, cache)
    assert_same_run(run_dir, undisturbed)


def test_sigterm_saves_and_says_so_with_42(tmp_path, cache, undisturbed):
    run_dir = tmp_path / "preempted"
    process = start(run_dir, cache)
    wait_for_step(process, run_dir, 6)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 42, output
    assert "The same command goes on" in output
    saved = max(
        int(path.name)
        for path in (run_dir / "checkpoints").iterdir()
        if path.name.isdigit()
    )
    assert saved >= 6
    assert metrics(run_dir)[-1]["step"] <= saved
    finish(run_dir, cache)
    assert_same_run(run_dir, undisturbed)


def test_evaluation_in_between_changes_nothing_and_each_is_logged_once(
    tmp_path, cache, undisturbed
):
    run_dir, flags = (
        tmp_path / "watched",
        ["--gin.EvalConfig.every=3", "--gin.EvalConfig.during_examples=1"],
    )
    for stop, step in ((signal.SIGKILL, 6), (signal.SIGTERM, 9)):
        process = start(run_dir, cache, *flags)
        wait_for_step(process, run_dir, step)
        process.send_signal(stop)
        process.communicate(timeout=120)
    finish(run_dir, cache, *flags)
    assert_same_run(run_dir, undisturbed)
    found = metrics(run_dir, "eval")
    assert [row["step"] for row in found] == list(range(3, STEPS + 1, 3))
    assert all(
        row.keys() == {"step", "eval"} and row["eval"].keys() == {"sentiment"}
        for row in found
    )


def test_a_finished_run_is_evaluated_under_further_prompts_without_training_again(
    tmp_path, cache, undisturbed
):
    run_dir = tmp_path / "more"
    shutil.copytree(undisturbed, run_dir)
    flags = [
        "--gin.EvalConfig.more={'none': @none/Prompts()}",
        "--gin.none/Prompts.instructions=none",
    ]
    assert f"train {STEPS}/{STEPS}" not in finish(run_dir, cache, *flags)
    assert (run_dir / "metrics.jsonl").read_text() == (
        undisturbed / "metrics.jsonl"
    ).read_text()
    sst2, rte = scores(run_dir, "sst2"), scores(run_dir, "rte")
    assert len(sst2["after-none"]["templates"]) == 1 and "after-none" not in rte
    assert (
        sst2["before-none"]["examples"] == sst2["before"]["examples"]
        and "before-none" not in rte
    )
    assert {name: sst2[name] for name in sst2 if "-none" not in name} == scores(
        undisturbed, "sst2"
    )
    result = json.loads((run_dir / "result.json").read_text())["tasks"]["sst2"]
    assert result["after-none"] == sst2["after-none"]["mean"]
    assert "is finished" in finish(run_dir, cache, *flags)
    # Scores under prompts that are not asked for are deleted; another scoring redoes all scores.
    finish(run_dir, cache, "--gin.EvalConfig.scoring=mean")
    assert "after-none" not in scores(run_dir, "sst2")
    conditions = [
        json.loads((run_dir / "predictions" / f"{w}.json").read_text())
        for w in ("before", "after")
    ]
    assert [there["conditions"]["scoring"] for there in conditions] == ["mean", "mean"]


def test_any_checkpoint_is_scored_on_any_task(tmp_path, cache, undisturbed):
    run_dir, flags = (
        tmp_path / "scored",
        [f"--gin.WARM_START={undisturbed}", "--gin.HELD_OUT=None"],
    )
    output = finish(
        run_dir, cache, *flags, "--tasks=sst2,wnli", script="launch/evaluate.py"
    )
    assert "sst2" in output and (run_dir / "report.html").exists()
    assert {path.name for path in (run_dir / "eval").iterdir()} == {
        "sst2.json",
        "wnli.json",
    }
    assert scores(run_dir, "sst2")["after"] == scores(undisturbed, "sst2")["after"]
    assert (
        scores(run_dir, "sst2")["held_out"],
        scores(run_dir, "wnli")["held_out"],
    ) == (True, False)
    # A run is scored again, on its own tasks and others, as itself.
    copy = tmp_path / "copy"
    shutil.copytree(undisturbed, copy)
    (copy / "eval" / "rte.json").unlink()
    finish(copy, cache, "--tasks=rte,wnli", script="launch/evaluate.py")
    assert scores(copy, "rte") == scores(undisturbed, "rte") and "after" in scores(
        copy, "wnli"
    )
    assert scores(copy, "sst2") == scores(undisturbed, "sst2")
    assert "is finished" in finish(copy, cache)
    output = finish(
        run_dir, cache, *flags, "--tasks=sst3", script="launch/evaluate.py", code=2
    )
    assert "unknown mixture or task 'sst3'. Did you mean 'sst2'?" in output
    output = finish(
        undisturbed, cache, *flags, "--tasks=sst2", script="launch/evaluate.py", code=2
    )
    assert (
        "holds a run of other settings" in output
        and "warm_start: None in the run" in output
    )


def test_a_killed_evaluation_goes_on_to_the_same_files(tmp_path, cache, undisturbed):
    flags = [
        f"--gin.WARM_START={undisturbed}",
        "--gin.EvalConfig.rows=1",
        "--tasks=sst2",
    ]
    finish(tmp_path / "whole", cache, *flags, script="launch/evaluate.py")
    process = start(tmp_path / "killed", cache, *flags, script="launch/evaluate.py")
    partial = tmp_path / "killed" / "predictions" / "after.partial"
    while process.poll() is None and not (
        partial.exists() and partial.read_bytes().count(b"\n") > 3
    ):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert (
        partial.exists() and not (tmp_path / "killed" / "eval" / "sst2.json").exists()
    )
    finish(tmp_path / "killed", cache, *flags, script="launch/evaluate.py")
    assert not partial.exists()
    for name in (
        "predictions/sst2-after.jsonl",
        "predictions/after.json",
        "eval/sst2.json",
    ):
        assert (tmp_path / "killed" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes()


def test_two_processes_cannot_write_one_run(tmp_path, cache, undisturbed):
    run_dir = tmp_path / "shared"
    first = start(run_dir, cache)
    while not (run_dir / "config.gin").exists():
        assert first.poll() is None
        time.sleep(0.05)
    output = finish(run_dir, cache, code=2)
    first.kill()
    first.communicate()
    assert "another process is writing" in output


def test_a_run_warm_started_from_another_on_its_tokens_imports_no_tensorflow(
    tmp_path, cache, undisturbed
):
    flags = [
        *FLAGS,
        f"--run_dir={tmp_path / 'warm'}",
        f"--gin.WARM_START={undisturbed}",
    ]
    code = (
        "import sys; from flan_jax.cli import program, train\n"
        f"code = program.exit_code(train.main, {flags!r})\n"
        "slow = {'tensorflow', 'tensorflow_datasets', 'seqio'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(cache),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert metrics(tmp_path / "warm")[0]["loss"] < metrics(undisturbed)[2]["loss"]


def test_a_dry_run_shows_the_mixture_and_writes_nothing(tmp_path, cache):
    output = finish(tmp_path / "none", cache, "--dry_run")
    assert "winogrande" in output
    assert "supervised tokens" in output
    assert "parameters" in output
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("on_failure", ["stop", "skip"])
def test_a_full_disk_is_said_and_loses_nothing(
    tmp_path, cache, undisturbed, on_failure
):
    """`ulimit -f` makes the kernel refuse what goes beyond a size, as a full disk does."""
    run_dir = tmp_path / "full"
    command = [
        "bash",
        "-c",
        'ulimit -f 60; exec "$@"',
        "-",
        sys.executable,
        ROOT / "launch/train.py",
        *FLAGS,
    ]
    command += [
        f"--run_dir={run_dir}",
        f"--gin.CheckpointConfig.on_failure={on_failure}",
    ]
    done = subprocess.run(
        command,
        env=environment(cache),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr
    # The last checkpoint must be there, whatever happened to those before.
    assert (
        ("training goes on" in done.stderr)
        == (f"train {STEPS}/{STEPS}" in done.stderr)
        == (on_failure == "skip")
    )
    finish(run_dir, cache)
    assert_same_run(run_dir, undisturbed)
