"""How long training stands still for a checkpoint of a state of 1 GB.

    python tests/benchmarks/checkpoint_stall.py [--saves 3]

The state is T5 1.1 base's with Adafactor, in float32; the step is the trainer's own, on few tokens,
and reuses the state's buffers. Each save begins when the state is ready, so that `value`, the
median of the seconds from the call of Checkpoints.save until the next step is under way, less what
another step's start takes, is time in which the devices have nothing to do. Each checkpoint is on
disk before the next is saved, and the last must hold the state as it was when it was saved, bit for
bit, although training went on. `written_seconds` is how long it is being written beside training,
`step_seconds` a step without, `beside_seconds` the slowest step with a checkpoint being written
beside it on the same cores. The disk is that of the temporary folder. Target: 0.5 s.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from flan_jax.training.adafactor import adafactor

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import numpy as np
import optax
import processes
from jax.sharding import Mesh

from flan_jax.cli import gin_settings
from flan_jax.models.config import ModelConfig
from flan_jax.parallel.mesh import make_mesh
from flan_jax.parallel.sharding import batch_sharding, use_mesh
from flan_jax.training.checkpoints import CheckpointConfig, Checkpoints
from flan_jax.training.settings import TrainConfig
from flan_jax.training.state import abstract_state_on, init_state
from flan_jax.training.step import compiled_step

TARGET = 0.5
MODEL = "t5_1_1_base"
ROWS, INPUTS, TARGETS = 1, 16, 8
STEPS_BETWEEN = 3


def example_batch() -> dict[str, np.ndarray]:
    """One row of one example."""
    batch: dict[str, np.ndarray] = {}
    for side, length in (("encoder", INPUTS), ("decoder", TARGETS)):
        batch[f"{side}_segment_ids"] = np.ones((ROWS, length), np.int32)
        batch[f"{side}_positions"] = np.tile(
            np.arange(length, dtype=np.int32), (ROWS, 1)
        )
    batch["encoder_input_tokens"] = np.full((ROWS, INPUTS), 5, np.int32)
    batch["decoder_target_tokens"] = batch["decoder_input_tokens"] = np.full(
        (ROWS, TARGETS), 7, np.int32
    )
    return batch | {"decoder_loss_weights": np.ones((ROWS, TARGETS), np.float32)}


class Training:
    """Repeats the trainer's step on one batch.

    Attributes:
      state: the training state.
      starts: seconds of each step until the call returned.
      steps: seconds of each step until the state was there.
    """

    def __init__(
        self, config: ModelConfig, tx: optax.GradientTransformation, mesh: Mesh
    ):
        self._mesh = mesh
        self._step = compiled_step(config, tx, TrainConfig(steps=1, seed=0))
        self.state = init_state(config, tx, mesh, seed=0)
        self._batch = jax.device_put(example_batch(), batch_sharding(mesh))
        self.starts: list[float] = []
        self.steps: list[float] = []

    def step(self) -> None:
        """Takes one step and waits for it."""
        start = time.monotonic()
        with use_mesh(self._mesh):
            self.state, _ = self._step(self.state, self._batch)
        self.starts.append(time.monotonic() - start)
        jax.block_until_ready(self.state)
        self.steps.append(time.monotonic() - start)


def save_once(training: Training, saved: Checkpoints) -> tuple[float, float]:
    """Returns the seconds from a save until the next step runs, and until it is on disk."""
    start = time.monotonic()
    saved.save(training.state, loss=1.0)
    returned = time.monotonic() - start
    for _ in range(STEPS_BETWEEN):
        training.step()
    stall = returned + training.starts[-STEPS_BETWEEN]
    saved.wait()
    return stall, time.monotonic() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--saves", type=int, default=3)
    saves = parser.parse_args().saves
    config, tx = gin_settings.load_model([f"models/{MODEL}.gin"]), adafactor(1e-3)
    mesh = make_mesh({"fsdp": -1})
    training = Training(config, tx, mesh)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(training.state))
    for _ in range(1 + STEPS_BETWEEN):  # the first one compiles
        training.step()
    alone, start_alone = (
        statistics.median(training.steps[1:]),
        statistics.median(training.starts[1:]),
    )
    with tempfile.TemporaryDirectory() as folder:
        saved = Checkpoints(Path(folder), CheckpointConfig(keep_last=1, keep_best=0))
        before = len(training.steps)
        stalls = [save_once(training, saved) for _ in range(saves - 1)]
        kept = jax.tree.map(np.array, training.state)
        stalls.append(save_once(training, saved))
        restored = saved.restore(like=abstract_state_on(config, tx, mesh))
        jax.tree.map(np.testing.assert_array_equal, restored, kept)
        saved.close()
    result = {
        "name": "checkpoint_stall_1gb",
        "value": round(
            statistics.median(stall for stall, _ in stalls) - start_alone, 3
        ),
        "unit": "s",
        "target": TARGET,
        "slowest": round(max(stall for stall, _ in stalls) - start_alone, 3),
        "written_seconds": round(
            statistics.median(written for _, written in stalls), 2
        ),
        "step_seconds": round(alone, 2),
        "beside_seconds": round(max(training.steps[before:]), 2),
        "state_gb": round(size / 1e9, 3),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
