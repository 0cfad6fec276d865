"""A small whole run of launch/train.py, as a user starts it, and what it leaves."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from flan_jax.pytrees import named_leaves

ROOT = Path(__file__).resolve().parents[2]
STEPS = 16
FLAGS = (
    "--gin_file=flan_mixture.gin",
    "--gin_file=models/t5_nano.gin",
    "--gin.MIXTURE=practice",
    f"--gin.STEPS={STEPS}",
    "--gin.BATCH_SIZE=8",
    "--gin.LEARNING_RATE=0.03",
    "--gin.HELD_OUT=sentiment",
    "--gin.CheckpointConfig.every=4",
    "--gin.TrainConfig.log_every=2",
    "--gin.DataConfig.eval_examples=3",
    "--gin.DataConfig.seen_eval_examples=1",
    "--gin.EvalConfig.controls=False",
    "--gin.EncoderDecoderConfig.emb_dim=32",
    "--gin.EncoderDecoderConfig.mlp_dim=32",
    "--gin.EncoderDecoderConfig.num_encoder_layers=1",
    "--gin.EncoderDecoderConfig.num_decoder_layers=1",
    "--gin.EncoderDecoderConfig.dropout_rate=0.1",
)


def environment(cache, devices=1):
    """Returns the environment of a process with some CPU devices.

    Args:
      cache: the process keeps its token stores there.
      devices: number of CPU devices. XLA takes the last of two flags for it.
    """
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    inherited = dict(os.environ)
    inherited.pop("JAX_COMPILATION_CACHE_DIR", None)
    return inherited | {
        "XDG_CACHE_HOME": str(cache),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": flags,
    }


def free_port():
    """Returns a port of this host that nothing listens at."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def start(run_dir, cache, *flags, script="launch/train.py", devices=1):
    """Starts the process of a run on CPU devices and returns it."""
    return subprocess.Popen(
        [sys.executable, ROOT / script, *FLAGS, f"--run_dir={run_dir}", *flags],
        env=environment(cache, devices),
        cwd=run_dir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(run_dir, cache, *flags, code=0, script="launch/train.py"):
    """Returns the output of a run, which must exit with `code`."""
    process = start(run_dir, cache, *flags, script=script)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == code, output
    return output


def parameters(run_dir, steps=STEPS):
    """Returns the parameters of the checkpoint of a step by name, on any devices."""
    folder = run_dir / "checkpoints" / str(steps) / "params"
    one_device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with ocp.StandardCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(folder).item_metadata
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=one_device
            ),
            dict(metadata),
        )
        tree = checkpointer.restore(folder, like)
    return {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}


def metrics(run_dir, kind="loss"):
    """Returns the lines of metrics.jsonl for training steps, or for evaluations (kind "eval")."""
    rows = [
        json.loads(line)
        for line in (run_dir / "metrics.jsonl").read_text().splitlines()
    ]
    return [row for row in rows if kind in row]


def scores(run_dir, task):
    """Returns the content of eval/<task>.json."""
    return json.loads((run_dir / "eval" / f"{task}.json").read_text())


def wait_for_step(process, run_dir, step):
    """Waits until a process has logged a step."""
    file = run_dir / "metrics.jsonl"
    while process.poll() is None:
        text = file.read_text() if file.exists() else ""
        if text.endswith("}\n") and json.loads(text.splitlines()[-1])["step"] >= step:
            return
        time.sleep(0.02)
    raise AssertionError(
        f"the run ended with {process.returncode} before step {step}: {process.stdout.read()}"
    )


def assert_same_run(run_dir, undisturbed):
    """Asserts the undisturbed run's parameters bit for bit, and its losses and scores."""
    ours, theirs = parameters(run_dir), parameters(undisturbed)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    losses = {row["step"]: row["loss"] for row in metrics(run_dir)}
    # A line that a stop cut in two covers fewer steps; all whole ones are the same.
    same = [
        row["step"]
        for row in metrics(undisturbed)
        if losses.get(row["step"]) == row["loss"]
    ]
    assert len(same) >= len(metrics(undisturbed)) - 2
    for file in (undisturbed / "eval").iterdir():
        assert scores(run_dir, file.stem) == scores(undisturbed, file.stem)
