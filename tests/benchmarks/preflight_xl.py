"""Preflight of T5 1.1 XL on 64 chips of TPU v4 (16 x 4): memory, and time to compile.

    pip install -e ".[preflight]" && python tests/benchmarks/preflight_xl.py [--fsdp]

No TPU is needed. A batch is 128 rows of 1,024 and 256 tokens, computed in bfloat16 under remat
'minimal'; the tensor-parallel degree is 4. `value` is what a device holds beside its state and
batch, in GiB; the peer is T5X, compiled in the same way. `seconds` is the time of tracing and
compiling in a fresh process; the peer's was taken on two quiet cores. With --fsdp the other mesh
axis splits the parameters, too. Targets: 4.4 GiB and 90 s.
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
    """Compiles the step with 16 devices on a mesh axis, and reports its memory."""
    from flan_jax.cli import gin_settings
    from flan_jax.preflight.compile import compile_for, job_from_settings
    from flan_jax.preflight.target import tpu_slice

    bindings = [*BINDINGS, f"MESH = {{'{axis}': 16, 'tensor': 4}}"]
    settings = gin_settings.load_settings(
        ["flan_mixture.gin", "models/t5_1_1_xl.gin"], bindings
    )
    compiled = compile_for(job_from_settings(settings), tpu_slice("v4:4x4x4"))
    assert compiled.collectives is not None, "it does not fit"
    processes.report(
        state=compiled.state_bytes,
        temporaries=compiled.temporary_bytes,
        took=compiled.compile_seconds,
    )


def main() -> int:
    """Runs the benchmark and prints its result."""
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
    measured = processes.run_child(__file__, "fsdp" if arguments.fsdp else "data")
    value = measured["temporaries"] / 2**30
    peer_value = 5.46
    result = {
        "name": "preflight_t5_1_1_xl_v4_4x4x4" + ("_fsdp" if arguments.fsdp else ""),
        "value": round(value, 2),
        "unit": "GiB",
        "target": 4.4,
        "peer": "T5X",
        "peer_value": peer_value,
        "ratio": round(value / peer_value, 3),
        "state_gib": round(measured["state"] / 2**30, 2),
        "peer_state_gib": 2.67,
        "seconds": round(measured["took"], 1),
        "target_seconds": 90,
        "peer_seconds": 157,
        "peak_gib": round(measured["peak_gib"], 2),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
