"""Memory of the packing check before the first step, against that of the training step.

    python tests/benchmarks/gate_memory.py

The model has the sizes of SmolLM2-135M, in float32 with random parameters and Adafactor; a batch is
8 packed rows of 512 tokens with about eight examples each. `value` is the largest resident memory
of a process that makes the state and runs the check, the peer that of one that makes the state and
takes a training step; both in GiB. `seconds` and `peer_seconds` are those of the check and of the
step, compiling included, `step_seconds` those of the second step. Target: a ratio of at most 1.
"""

import argparse
import sys
import time

import numpy as np
import processes

ROWS, TOKENS, EXAMPLES = 8, 512, 8
SIZES = {
    "vocab_size": 49152,
    "emb_dim": 576,
    "num_heads": 9,
    "num_kv_heads": 3,
    "head_dim": 64,
    "mlp_dim": 1536,
    "num_layers": 30,
    "mlp_activations": ("silu", "linear"),
    "position": "rope",
    "logits_via_embedding": True,
    "tied_logits_scale": 1.0,
    "dropout_rate": 0.0,
    "prefix_lm": False,
}


def packed_batch() -> dict[str, np.ndarray]:
    """Returns rows of EXAMPLES examples each, of which the last fifth has loss."""
    length = TOKENS // EXAMPLES
    positions = np.tile(np.arange(length), EXAMPLES)
    segment_ids = np.repeat(np.arange(EXAMPLES) + 1, length)
    rng = np.random.default_rng(0)
    targets = rng.integers(2, SIZES["vocab_size"], (ROWS, TOKENS))
    inputs = np.where(positions == 0, 1, np.roll(targets, 1, axis=1))
    row = {
        "decoder_positions": positions,
        "decoder_segment_ids": segment_ids,
        "decoder_loss_weights": positions >= 0.8 * length,
    }
    batch = {name: np.tile(values, (ROWS, 1)) for name, values in row.items()}
    batch |= {"decoder_target_tokens": targets, "decoder_input_tokens": inputs}
    batch["decoder_causal_attention"] = 1 - batch["decoder_loss_weights"]
    batch = {name: values.astype(np.int32) for name, values in batch.items()}
    weights = batch["decoder_loss_weights"].astype(np.float32)
    return batch | {"decoder_loss_weights": weights}


def child(kind: str) -> None:
    """Makes a state, and runs the check or two training steps.

    Args:
      kind: "check" or "step".
    """
    import jax

    from flan_jax.data.loader import Loader
    from flan_jax.models.decoder import DecoderConfig
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.parallel.sharding import global_batch, use_mesh
    from flan_jax.training.adafactor import adafactor
    from flan_jax.training.packing_check import check_packing
    from flan_jax.training.settings import TrainConfig
    from flan_jax.training.state import init_state
    from flan_jax.training.step import compiled_step

    class OneBatch(Loader):
        def __init__(self):
            pass

        def batch(self, step: int, rows: slice = slice(None)) -> dict[str, np.ndarray]:
            return packed_batch()

    config, mesh = DecoderConfig(**SIZES), make_mesh()
    tx = adafactor(1e-3)
    state = init_state(config, tx, mesh, seed=0)
    jax.block_until_ready(state)
    start = time.perf_counter()
    if kind == "check":
        check_packing(config, state.all_params, OneBatch(), mesh)
        processes.report(took=time.perf_counter() - start)
        return

    step = compiled_step(config, tx, TrainConfig(steps=1, seed=0))
    times = []
    with use_mesh(mesh):
        for _ in range(2):
            start = time.perf_counter()
            state, _ = step(state, global_batch(packed_batch(), mesh, ROWS))
            jax.block_until_ready(state)
            times.append(time.perf_counter() - start)
    processes.report(took=times[0], second=times[1])


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--child", choices=("check", "step"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return 0

    check = processes.run_child(__file__, "check")
    step = processes.run_child(__file__, "step")
    result = {
        "name": "gate_memory",
        "value": round(check["peak_gib"], 2),
        "unit": "GiB",
        "peer": "training step",
        "peer_value": round(step["peak_gib"], 2),
        "ratio": round(check["peak_gib"] / step["peak_gib"], 3),
        "ratio_target": 1.0,
        "seconds": round(check["took"], 1),
        "peer_seconds": round(step["took"], 1),
        "step_seconds": round(step["second"], 1),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
