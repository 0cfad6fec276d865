"""Training on eight fake CPU devices against one: the same losses, whatever the mesh.

    python tests/benchmarks/mesh_parity.py [--steps 20]

Both architectures (t5_nano and decoder_nano with eight heads and dropout, in float32) train on
packed rows of the practice corpus with the optimizer of flan_mixture.gin: on one device, and on
eight in each of the ten ways to write 8 as data x fsdp x tensor. `value` is the largest relative
difference of the last step's loss from that of one device, `worst` its architecture and mesh,
`any_step` the largest difference at any step. Target: 1e-5.
"""

import argparse
import dataclasses
import itertools
import os
import sys
import tempfile
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import numpy as np
import processes
from jax.sharding import Mesh

from flan_jax.cli import gin_settings
from flan_jax.data.loader import Loader
from flan_jax.data.mixture_data import prepare_mixture
from flan_jax.parallel.mesh import MESH_AXES, make_mesh
from flan_jax.parallel.sharding import batch_sharding, use_mesh
from flan_jax.training.settings import Settings
from flan_jax.training.state import init_state
from flan_jax.training.step import compiled_step

TARGET = 1e-5
DEVICES = 8
BINDINGS = (
    "MIXTURE = 'rte'",
    "HELD_OUT = None",
    "BATCH_SIZE = 8",
    "LENGTHS = {'inputs': 64, 'targets': 16}",
)
MODELS = ("t5_nano", "decoder_nano")


def settings_of(model: str, cache: str) -> Settings:
    """Returns the settings of a run of a model, with its token stores in `cache`."""
    files = ["flan_mixture.gin", f"models/{model}.gin"]
    settings = gin_settings.load_settings(files, BINDINGS)
    data = dataclasses.replace(settings.data, cache_dir=cache)
    return dataclasses.replace(
        settings,
        data=data,
        model=dataclasses.replace(settings.model, num_heads=DEVICES, dropout_rate=0.1),
    )


def losses_on(mesh: Mesh, settings: Settings, loader: Loader, steps: int) -> np.ndarray:
    """Returns the loss of each step on a mesh."""
    tx = settings.optimizer.build(steps)
    state = init_state(settings.model, tx, mesh, seed=0)
    compiled = compiled_step(settings.model, tx, settings.training)
    losses = []
    for step in range(steps):
        with use_mesh(mesh):
            state, sums = compiled(
                state, jax.device_put(loader.batch(step), batch_sharding(mesh))
            )
        losses.append(float(sums["loss_sum"] / sums["weight_sum"]))
    return np.array(losses)


def meshes() -> list[dict[str, int]]:
    """All ways to write the number of devices as data x fsdp x tensor."""
    sizes = itertools.product([1, 2, 4, 8], repeat=3)
    return [
        dict(zip(MESH_AXES, each, strict=True))
        for each in sizes
        if np.prod(each) == DEVICES
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    found = []
    for model in MODELS:
        with tempfile.TemporaryDirectory() as cache:
            settings = settings_of(model, cache)
            data = prepare_mixture(settings.data, settings.row_tokenizer())
            loader = Loader(
                data.plan(settings.model.architecture),
                data.train,
                data.row_tokenizer.tokens,
            )
            one_device = make_mesh({}, jax.devices()[:1])
            alone = losses_on(one_device, settings, loader, steps)
            for shape in meshes():
                losses = losses_on(make_mesh(shape), settings, loader, steps)
                differences = np.abs(losses / alone - 1)
                last, largest = float(differences[-1]), float(differences.max())
                found.append((last, largest, f"{model} {shape}"))
                print(
                    f"{model} {shape}: loss {alone[-1]:.5f}, relative difference {last:.1e}",
                    flush=True,
                )
    value, _, worst = max(found)
    result = {
        "name": "mesh_parity_8_devices",
        "value": value,
        "unit": "relative difference of the loss",
        "target": TARGET,
        "worst": worst,
        "any_step": max(each[1] for each in found),
        "meshes": len(found),
        "steps": steps,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
