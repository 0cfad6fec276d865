"""Sweeps of a few steps of a tiny model, as a user starts them: for the tests of the engines."""

import json
import subprocess
import sys

from small_runs import ROOT, environment

SMALL = """
include 'flan_mixture.gin'
include 'models/t5_nano.gin'
MIXTURE = 'practice'
STEPS = 4
BATCH_SIZE = 8
CheckpointConfig.every = 2
TrainConfig.log_every = 2
DataConfig.examples_per_dataset = 200
DataConfig.eval_examples = 3
DataConfig.seen_eval_examples = 1
EncoderDecoderConfig.emb_dim = 32
EncoderDecoderConfig.mlp_dim = 32
EncoderDecoderConfig.num_encoder_layers = 1
EncoderDecoderConfig.num_decoder_layers = 1
"""
BASE = SMALL + "import tasks.plain_text\nMIXTURE = 'documents'\nHELD_OUT = None\n"


def axes(folder, text, base=True):
    lines = (
        f"AblationConfig.axes = {text}\n" + "AblationConfig.base = 'base.gin'\n" * base
    )
    (folder / "base.gin").write_text(BASE)
    (folder / "small.gin").write_text(SMALL + lines)


def start(folder, cache, *flags, **more):
    """A process of launch/ablate.py in `folder`, with small.gin and the sweep directory sweep/. `more`: its environment."""
    command = [
        sys.executable,
        ROOT / "launch/ablate.py",
        "--gin_file=small.gin",
        "--sweep_dir=sweep",
        *flags,
    ]
    return subprocess.Popen(
        command, env=environment(cache) | more, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def sweep(folder, cache, *flags, code=0, **more):
    process = start(folder, cache, *flags, **more)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == code, output
    return output


def statuses(folder):
    return {
        path.stem: json.loads(path.read_text())
        for path in (folder / "sweep/status").glob("*.json")
    }


def runs(folder):
    return [
        json.loads(line)
        for line in (folder / "sweep/runs.jsonl").read_text().splitlines()
    ]


def table(folder):
    """What the runs came to, by their names."""
    return {
        r["name"]: json.loads(
            (folder / "sweep" / r["directory"] / "result.json").read_text()
        )["tasks"]
        for r in runs(folder)
    }
