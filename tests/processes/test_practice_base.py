"""launch/practice_base.py: its stages train one another, and a finished one is not repeated."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "--gin.STEPS=1",
    "--gin.BATCH_SIZE=8",
    "--gin.OptimizerConfig.warmup_steps=0",
    "--gin.EncoderDecoderConfig.emb_dim=16",
    "--gin.EncoderDecoderConfig.num_heads=1",
    "--gin.EncoderDecoderConfig.mlp_dim=16",
    "--gin.EncoderDecoderConfig.num_encoder_layers=1",
    "--gin.EncoderDecoderConfig.num_decoder_layers=1",
    "--gin.DataConfig.examples_per_dataset=50",
    "--gin.DataConfig.eval_examples=2",
    "--gin.DataConfig.seen_eval_examples=2",
)


def make(folder, *arguments):
    command = [sys.executable, ROOT / "launch/practice_base.py", *TINY, *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )


def test_stages_begin_where_those_before_end_and_are_done_once(tmp_path):
    made = make(tmp_path)
    assert made.returncode == 0, made.stderr
    stages = sorted((tmp_path / "runs/practice_base").iterdir())
    assert [stage.name[2:] for stage in stages] == [
        "lists", "pairs", "retellings", "reading", "knowledge", "documents"
    ]  # fmt: skip
    manifests = [json.loads((stage / "manifest.json").read_text()) for stage in stages]
    starts = [manifest["identity"]["warm_start"] for manifest in manifests]
    assert starts[0] is None
    for start, before in zip(starts[1:], stages, strict=False):
        assert before.name in start
    trained = [(stage / "metrics.jsonl").stat().st_mtime_ns for stage in stages]
    again = make(tmp_path)
    assert again.returncode == 0, again.stderr
    assert trained == [(s / "metrics.jsonl").stat().st_mtime_ns for s in stages]


def test_it_ends_with_the_code_of_a_stage_that_failed(tmp_path):
    made = make(tmp_path, "--gin.NO_SUCH=1")
    assert made.returncode == 2
    assert "NO_SUCH" in made.stderr
    assert "pairs" not in made.stdout


@pytest.mark.parametrize("flag", ["--gin.WARM_START=runs/other", "--dry_run"])
def test_what_is_for_a_single_run_is_refused(tmp_path, flag):
    made = make(tmp_path, flag)
    assert made.returncode == 2
    assert flag in made.stderr
    assert "launch/train.py" in made.stderr


def test_sigterm_saves_the_stage_and_starts_no_other(tmp_path):
    command = [sys.executable, ROOT / "launch/practice_base.py", *TINY]
    command.append("--gin.STEPS=100000")
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        metrics = tmp_path / "runs/practice_base/1_lists/metrics.jsonl"
        while not (metrics.exists() and metrics.read_text()):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate()
    assert process.returncode == 42
    assert b"pairs" not in said
