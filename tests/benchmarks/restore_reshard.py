"""Memory of a restore onto another mesh: a state of 1 GB, from fsdp 8 to fsdp 2 x tensor 4.

    python tests/benchmarks/restore_reshard.py [--back] [--processes 2]

The state is T5 1.1 base's with Adafactor, in float32, saved by one process with eight fake CPU
devices, and restored by one, which then holds all shards, or by 2, 4 or 8 that share them. `value`
is the largest resident memory of a fresh process that restores it as a resumed run does
(Checkpoints.restore), less its memory when the restore began, divided by the size of the
shards that it restores, for the process where that is most: 1 is the restored state alone. The
restored arrays must be those that were saved. `seconds` is the restore alone. --back goes from fsdp
2 x tensor 4 to fsdp 8. Target: 1.5.
"""

import argparse
import os
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from flan_jax.training.adafactor import adafactor
from flan_jax.training.state import TrainState

os.environ["JAX_PLATFORMS"] = "cpu"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import processes
from small_runs import free_port

TARGET = 1.5
GIVEN = os.environ.get("XLA_FLAGS", "")
MODEL = "t5_1_1_base"
DEVICES = 8
MESHES = ({"fsdp": 8}, {"fsdp": 2, "tensor": 4})


def set_devices(count: int) -> None:
    """How many fake CPU devices the processes have that are started from now on."""
    os.environ["XLA_FLAGS"] = f"{GIVEN} --xla_force_host_platform_device_count={count}"


def setting(shape: dict[str, int], seed: int) -> tuple[Any, ...]:
    """(model, optimizer, mesh, training) as train.start takes them."""
    from flan_jax.cli import gin_settings
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.training.settings import TrainConfig

    config = gin_settings.load_model([f"models/{MODEL}.gin"])
    return (
        config,
        adafactor(1e-3),
        make_mesh(shape),
        TrainConfig(steps=1, seed=seed, mesh=shape),
    )


def checksum(state: TrainState) -> int:
    """Returns a checksum of all arrays, whatever their sharding.

    Each process holds each whole array for a moment.
    """
    import jax
    import numpy as np
    from jax.experimental.multihost_utils import process_allgather

    crc = 0
    for leaf in jax.tree.leaves(state):
        whole = (
            leaf if leaf.is_fully_addressable else process_allgather(leaf, tiled=True)
        )
        crc = zlib.crc32(np.ascontiguousarray(whole).data, crc)
    return crc


def save(folder: Path, number: int) -> None:
    from flan_jax.training.checkpoints import CheckpointConfig, Checkpoints
    from flan_jax.training.state import init_state

    config, tx, mesh, training = setting(MESHES[number], seed=0)
    state = init_state(config, tx, mesh, training.seed)
    saved = Checkpoints(folder, CheckpointConfig())
    saved.save(state, loss=1.0)
    saved.close()
    processes.report(checksum=checksum(state))


def restore(folder: Path, number: int, port: int, *process: int) -> None:
    """Restores on another mesh, in process number `index` of `count`."""
    import jax

    from flan_jax.training.checkpoints import CheckpointConfig, Checkpoints
    from flan_jax.training.state import abstract_state_on

    count, index = process
    if count > 1:
        jax.distributed.initialize(f"localhost:{port}", count, index)
    config, tx, mesh, _ = setting(MESHES[number], seed=1)
    jax.block_until_ready(jax.device_put(0.0))  # the backend
    saved = Checkpoints(folder, CheckpointConfig())
    before = processes.peak_gib()
    start = time.monotonic()
    state = jax.block_until_ready(
        saved.restore(like=abstract_state_on(config, tx, mesh))
    )
    seconds = time.monotonic() - start
    peak = processes.peak_gib()
    shards = [
        shard for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards
    ]
    size = sum(shard.data.nbytes for shard in shards) / 2**30
    processes.report(
        restoring=seconds,
        used_gib=peak - before,
        size_gib=size,
        checksum=checksum(state),
        mesh=dict(mesh.shape),
    )
    if count > 1:
        jax.distributed.shutdown()  # waits for the others


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--back", action="store_true", help="from fsdp 2 x tensor 4 to fsdp 8"
    )
    parser.add_argument(
        "--processes", type=int, default=1, choices=(1, 2, 4, 8), help="that restore it"
    )
    parser.add_argument("--child", choices=("save", "restore"), help=argparse.SUPPRESS)
    arguments, rest = parser.parse_known_args()
    if arguments.child:
        {"save": save, "restore": restore}[arguments.child](
            Path(rest[0]), *map(int, rest[1:])
        )
        return 0
    (there, here), count = (1, 0) if arguments.back else (0, 1), arguments.processes
    with tempfile.TemporaryDirectory() as folder:
        set_devices(DEVICES)
        before = processes.run_child(__file__, "save", folder, there)
        set_devices(DEVICES // count)
        port = free_port()
        runs = processes.run_children(
            __file__,
            *(("restore", folder, here, port, count, index) for index in range(count)),
        )
    assert all(run["checksum"] == before["checksum"] for run in runs), (
        "what was restored is not what was saved"
    )
    run = max(runs, key=lambda run: run["used_gib"] / run["size_gib"])
    result = {
        "name": "restore_reshard_1gb",
        "value": round(run["used_gib"] / run["size_gib"], 2),
        "unit": "of the restored shards",
        "target": TARGET,
        "from": MESHES[there],
        "to": MESHES[here],
        "processes": count,
        "used_gib": round(run["used_gib"], 2),
        "size_gib": round(run["size_gib"], 2),
        "seconds": round(run["restoring"], 2),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
