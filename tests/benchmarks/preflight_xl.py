"""What preflight says of T5 1.1 XL on 64 chips of TPU v4 (16 x 4), and how long it takes to say it. No TPU is needed.

    pip install -e ".[preflight]" && python tests/benchmarks/preflight_xl.py [--fsdp]

A batch is 128 rows of 1,024 and 256 tokens, computed in bfloat16 under remat 'minimal', tensor is 4 ways. `value` is what a
device holds beside its state and batch, in GiB; the peer is T5X, compiled in the same way. `seconds` is the time of tracing
and compiling in a fresh process; the peer's was taken on two quiet cores. With --fsdp the 16 ways also split the parameters.
Targets: 4.4 GiB and 90 s.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import processes

BINDINGS = [
    "EncoderDecoderConfig.dtype = 'bfloat16'",
    "LENGTHS = {'inputs': 1024, 'targets': 256}",
    "BATCH_SIZE = 128",
]


def compile_it(axis: str) -> None:
    from flan_jax.cli import gin_settings
    from flan_jax.preflight import compile

    bindings = [*BINDINGS, f"MESH = {{'{axis}': 16, 'tensor': 4}}"]
    settings = gin_settings.load_settings(["flan_mixture.gin", "models/t5_1_1_xl.gin"], bindings)
    compiled = compile.compile_for(
        compile.job_from_settings(settings), compile.tpu_slice("v4:4x4x4")
    )
    assert compiled.found is not None and compiled.temporaries is not None, "it does not fit"
    processes.report(state=compiled.state, temporaries=compiled.temporaries, took=compiled.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fsdp", action="store_true", help="split the parameters over all 64 chips"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        compile_it(arguments.child)
        return 0
    found = processes.run_child(__file__, "fsdp" if arguments.fsdp else "data")
    value, peer_value = found["temporaries"] / 2**30, 5.46
    result = {
        "name": "preflight_t5_1_1_xl_v4_4x4x4" + ("_fsdp" if arguments.fsdp else ""),
        "value": round(value, 2),
        "unit": "GiB",
        "target": 4.4,
        "peer": "T5X",
        "peer_value": peer_value,
        "ratio": round(value / peer_value, 3),
        "state_gib": round(found["state"] / 2**30, 2),
        "peer_state_gib": 2.67,
        "seconds": round(found["took"], 1),
        "target_seconds": 90,
        "peer_seconds": 157,
        "peak_gib": round(found["peak_gib"], 2),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
