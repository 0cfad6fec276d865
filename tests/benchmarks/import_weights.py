"""Import of a Hugging Face folder of about 1 GB of parameters against reading its file.

    python tests/benchmarks/import_weights.py [--model gemma3_270m] [--runs 3]

The models are T5 1.1 base, stored in float32, and one of Gemma 3 270M's shape, stored in bfloat16
as that is: two thirds of it are the tied table.

The folder is written first, and its file is in the page cache for both sides. `value` is the median
of the seconds from the call of load_params to all arrays in place, in a fresh process each; the
peer reads the same file into memory, and `ratio` is value / peer_value. `memory_ratio` is the
largest resident memory of the importing process, less what it had when the import began, over the
size of the model in float32. Targets: a ratio of at most 2 for T5, a memory ratio of at most 1.15.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import processes


class Model(NamedTuple):
    """A model to import: a gin file, what differs from it, and the dtype of the file."""

    gin_file: str
    changes: dict[str, int]
    dtype: str

    def config(self):
        """Returns the model's configuration."""
        from flan_jax.cli import gin_settings

        config = gin_settings.load_model([f"models/{self.gin_file}"])
        return dataclasses.replace(config, **self.changes)


MODELS = {
    "t5_1_1_base": Model("t5_1_1_base.gin", {}, "float32"),
    "gemma3_270m": Model(
        "gemma3_1b.gin", {"emb_dim": 640, "mlp_dim": 2048, "num_layers": 18}, "bfloat16"
    ),
}


def write(model: Model, folder: Path) -> None:
    """Writes a model with random weights to a Hugging Face folder."""
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.training.optimizers import adamw
    from flan_jax.training.state import init_state
    from flan_jax.weights import hugging_face

    config = model.config()
    state = init_state(config, adamw(lambda step: 0.1), make_mesh(), 0)
    hugging_face.save_params(folder, config, state.params, dtype=model.dtype)
    processes.report()


def load(model: Model, folder: Path) -> None:
    """Reports the seconds and the memory of an import."""
    import jax

    from flan_jax.models.params import abstract_params_on
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.weights import hugging_face

    config = model.config()
    like = abstract_params_on(config, make_mesh())
    before = processes.peak_gib()
    start = time.perf_counter()
    params = jax.block_until_ready(hugging_face.load_params(folder, config, like))
    took = time.perf_counter() - start
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params)) / 2**30
    processes.report(took=took, grown=processes.peak_gib() - before, size=size)


def read(_: Model, folder: Path) -> None:
    """Reports the seconds of reading the folder's files."""
    start = time.perf_counter()
    for file in sorted(folder.glob("*.safetensors")):
        file.read_bytes()
    processes.report(took=time.perf_counter() - start)


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="t5_1_1_base", choices=MODELS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--child", choices=("write", "read", "load"), help=argparse.SUPPRESS
    )
    parser.add_argument("folder", type=Path, nargs="?", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        children = {"write": write, "read": read, "load": load}
        children[arguments.child](MODELS[arguments.model], arguments.folder)
        return 0

    def run_child(task: str, folder: Path):
        model_flag = f"--model={arguments.model}"
        return processes.run_child(__file__, task, folder, model_flag)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        run_child("write", folder)  # so that no child inherits its peak
        reads = []
        loads = []
        for _ in range(arguments.runs):
            reads.append(run_child("read", folder))
            loads.append(run_child("load", folder))

    read_seconds = statistics.median(run["took"] for run in reads)
    load_seconds = statistics.median(run["took"] for run in loads)
    result = {
        "name": "import_weights",
        "model": arguments.model,
        "value": round(load_seconds, 2),
        "unit": "s",
        "peer": "reading the file",
        "peer_value": round(read_seconds, 2),
        "ratio": round(load_seconds / read_seconds, 2),
        "ratio_target": 2,
        "model_gib": round(loads[0]["size"], 2),
        "memory_ratio": round(max(run["grown"] / run["size"] for run in loads), 2),
        "memory_ratio_target": 1.15,
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
