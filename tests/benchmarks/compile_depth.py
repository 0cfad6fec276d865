"""Compile time of the training step as the model gets deeper: from 12 to 96 layers, scanned.

    python tests/benchmarks/compile_depth.py [--runs 3]

Both architectures in a narrow form (96 encoder and 96 decoder layers, or 96 of a decoder), whose step is traced, lowered
and compiled from shapes alone in a fresh process without a cache of compiled programs. `value` is the larger of the two
architectures' ratios of seconds, medians over the runs, which take turns; `seconds` has the medians by architecture and
depth. `cpu_ratio` and `cpu_seconds` are the same of processor time, which other load on the machine hardly changes.
Target: 1.2.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import time
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import processes

TARGET = 1.2
DEPTHS = (12, 96)
MODELS = ("t5_nano", "decoder_nano")
LAYERS = ("num_layers", "num_encoder_layers", "num_decoder_layers")
ROWS, LENGTHS = 8, {"inputs": 128, "targets": 48}


def child(model: str, depth: int) -> None:
    import jax

    from flan_jax.batch import batch_spec
    from flan_jax.cli import gin_settings
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.parallel.sharding import use_mesh
    from flan_jax.training.state import abstract_state_on
    from flan_jax.training.step import jitted_step

    settings = gin_settings.load_settings(["flan_mixture.gin", f"models/{model}.gin"], [])
    depths = {name: depth for name in LAYERS if hasattr(settings.model, name)}
    config, mesh = dataclasses.replace(settings.model, **depths), make_mesh()
    assert config.scan_layers
    tx = settings.optimizer.build(settings.training.steps)
    state = abstract_state_on(config, tx, mesh)
    spec = batch_spec(config.architecture, ROWS, LENGTHS)
    batch = {name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype) in spec.items()}
    start, cpu = time.monotonic(), time.process_time()
    with use_mesh(mesh):
        jitted_step(config, tx, settings.training, state).lower(state, batch).compile()
    processes.report(compiling=time.monotonic() - start, cpu=time.process_time() - cpu)


def ratio(seconds: dict[tuple[str, int], float]) -> float:
    """The larger of the two architectures' ratios of the deeper to the shallower model."""
    shallow, deep = DEPTHS
    return round(max(seconds[model, deep] / seconds[model, shallow] for model in MODELS), 3)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", choices=MODELS, help=argparse.SUPPRESS)
    arguments, rest = parser.parse_known_args()
    if arguments.child:
        child(arguments.child, int(rest[0]))
        return 0
    points = [(model, depth) for model in MODELS for depth in DEPTHS]
    runs = [
        {point: processes.run_child(__file__, *point) for point in points}
        for _ in range(arguments.runs)
    ]
    seconds, cpu = (
        {p: statistics.median(run[p][key] for run in runs) for p in points}
        for key in ("compiling", "cpu")
    )
    result = {
        "name": "compile_depth_12_to_96",
        "value": ratio(seconds),
        "unit": "ratio of seconds",
        "target": TARGET,
        "cpu_ratio": ratio(cpu),
        "seconds": {f"{model} {depth}": round(seconds[model, depth], 2) for model, depth in points},
        "cpu_seconds": {f"{model} {depth}": round(cpu[model, depth], 2) for model, depth in points},
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
