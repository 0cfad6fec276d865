"""Compile time of the training step as the model gets deeper: from 12 to 96 layers, scanned.

    python tests/benchmarks/compile_depth.py [--runs 3]

Both architectures in a narrow form, with 12 and 96 layers in each stack. Their step is traced,
lowered and compiled from shapes alone in a fresh process, without a cache of compiled programs.
The depths take turns, `--runs` times; figures are medians.

    value        the larger of the two architectures' ratios of seconds, 96 layers to 12
    seconds      the medians by architecture and depth
    cpu_ratio, cpu_seconds
                 the same in processor time, which other load on the machine hardly changes

Target: a value of at most 1.2.
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
POINTS = [(model, depth) for model in MODELS for depth in DEPTHS]
LAYERS = ("num_layers", "num_encoder_layers", "num_decoder_layers")
ROWS = 8
LENGTHS = {"inputs": 128, "targets": 48}


def child(model: str, depth: int) -> None:
    """Compiles the training step of one model and reports the time."""
    import jax

    from flan_jax.batch import batch_spec
    from flan_jax.cli import gin_settings
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.parallel.sharding import use_mesh
    from flan_jax.training.state import abstract_state_on
    from flan_jax.training.step import jitted_step

    settings = gin_settings.load_settings(
        ["flan_mixture.gin", f"models/{model}.gin"], []
    )
    depths = {name: depth for name in LAYERS if hasattr(settings.model, name)}
    config = dataclasses.replace(settings.model, **depths)
    assert config.scan_layers
    mesh = make_mesh()
    tx = settings.optimizer.build(settings.training.steps)
    state = abstract_state_on(config, tx, mesh)
    batch = {}
    for name, (shape, dtype) in batch_spec(config.architecture, ROWS, LENGTHS).items():
        batch[name] = jax.ShapeDtypeStruct(shape, dtype)

    start = time.monotonic()
    cpu_start = time.process_time()
    with use_mesh(mesh):
        jitted_step(config, tx, settings.training, state).lower(state, batch).compile()
    processes.report(
        compiling=time.monotonic() - start, cpu=time.process_time() - cpu_start
    )


Seconds = dict[tuple[str, int], float]


def medians(runs: list[dict[tuple[str, int], dict[str, float]]], key: str) -> Seconds:
    """Returns the median over the runs, by (model, depth)."""
    result = {}
    for point in POINTS:
        result[point] = statistics.median(run[point][key] for run in runs)
    return result


def ratio(seconds: Seconds) -> float:
    """Returns the larger of the two architectures' ratios of the deeper to the shallower model."""
    shallow, deep = DEPTHS
    ratios = [seconds[model, deep] / seconds[model, shallow] for model in MODELS]
    return round(max(ratios), 3)


def rounded(seconds: Seconds) -> dict[str, float]:
    """Returns the seconds by "model depth"."""
    return {
        f"{model} {depth}": round(value, 2) for (model, depth), value in seconds.items()
    }


def main() -> int:
    """Runs the benchmark and prints its result as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", choices=MODELS, help=argparse.SUPPRESS)
    arguments, rest = parser.parse_known_args()
    if arguments.child:
        child(arguments.child, int(rest[0]))
        return 0

    runs = []
    for _ in range(arguments.runs):
        runs.append({point: processes.run_child(__file__, *point) for point in POINTS})
    seconds = medians(runs, "compiling")
    cpu_seconds = medians(runs, "cpu")
    result = {
        "name": "compile_depth_12_to_96",
        "value": ratio(seconds),
        "unit": "ratio of seconds",
        "target": TARGET,
        "cpu_ratio": ratio(cpu_seconds),
        "seconds": rounded(seconds),
        "cpu_seconds": rounded(cpu_seconds),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
