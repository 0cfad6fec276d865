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

ROOT = Path(__file__).resolve().parents[2]
STEPS = 16
FLAGS = (
    "--gin_file=flan_mixture.gin",
    f"--gin.STEPS={STEPS}",
    "--gin.BATCH_SIZE=8",
    "--gin.LEARNING_RATE=0.03",
    "--gin.HELD_OUT=sentiment",
    "--gin.CheckpointConfig.every=4",
    "--gin.TrainConfig.log_every=2",
    "--gin.DataConfig.eval_examples=3",
    "--gin.DataConfig.seen_eval_examples=1",
    "--gin.EncoderDecoderConfig.emb_dim=32",
    "--gin.EncoderDecoderConfig.mlp_dim=32",
    "--gin.EncoderDecoderConfig.num_encoder_layers=1",
    "--gin.EncoderDecoderConfig.num_decoder_layers=1",
    "--gin.EncoderDecoderConfig.dropout_rate=0.1",
)


def environment(cache, devices=1):
    """Of a process with so many CPU devices, and `cache` for what it keeps; of two flags for the devices XLA takes the last."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    inherited = {
        name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"
    }
    return inherited | {"XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}


def free_port():
    with contextlib.closing(socket.socket()) as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def start(run_dir, cache, *flags, script="launch/train.py", devices=1):
    """The process of one run, on CPU devices."""
    return subprocess.Popen(
        [sys.executable, ROOT / script, *FLAGS, f"--run_dir={run_dir}", *flags],
        env=environment(cache, devices), cwd=run_dir.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(run_dir, cache, *flags, code=0, script="launch/train.py"):
    """The output of a run that ends by itself with `code`."""
    process = start(run_dir, cache, *flags, script=script)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == code, output
    return output


def parameters(run_dir, steps=STEPS):
    """The parameters of the last checkpoint, by name, whichever devices wrote them."""
    folder = run_dir / "checkpoints" / str(steps) / "params"
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with ocp.StandardCheckpointer() as checkpointer:
        there = checkpointer.metadata(folder).item_metadata
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), dict(there)
        )
        tree = checkpointer.restore(folder, like)
    names, leaves = zip(*((str(path), leaf) for path, leaf in _leaves(tree)), strict=True)
    return dict(zip(names, map(np.asarray, leaves), strict=True))


def _leaves(tree, path=()):
    if isinstance(tree, dict):
        for key in sorted(tree):
            yield from _leaves(tree[key], (*path, key))
    else:
        yield path, tree


def metrics(run_dir, kind="loss"):
    """The lines of steps, or those of evaluations in between (kind "eval")."""
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if kind in row]


def scores(run_dir, task):
    return json.loads((run_dir / "eval" / f"{task}.json").read_text())


def wait_for_step(process, run_dir, step):
    while process.poll() is None:
        lines = (
            (run_dir / "metrics.jsonl").read_text().splitlines()
            if (run_dir / "metrics.jsonl").exists()
            else []
        )
        if lines and lines[-1].endswith("}") and json.loads(lines[-1])["step"] >= step:
            return
        time.sleep(0.02)
    raise AssertionError(
        f"the run ended with {process.returncode} before step {step}: {process.stdout.read()}"
    )


def assert_same_run(run_dir, undisturbed):
    """Bit for bit the same parameters, and the same losses and scores as the undisturbed run."""
    ours, theirs = parameters(run_dir), parameters(undisturbed)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    losses = {row["step"]: row["loss"] for row in metrics(run_dir)}
    # A line that a stop cut in two covers fewer steps; all whole ones are the same.
    same = [row["step"] for row in metrics(undisturbed) if losses.get(row["step"]) == row["loss"]]
    assert len(same) >= len(metrics(undisturbed)) - 2
    for file in (undisturbed / "eval").iterdir():
        assert scores(run_dir, file.stem) == scores(undisturbed, file.stem)
