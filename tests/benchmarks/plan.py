"""Measures planning, packing and gathering on one core: tokens a second at 32 rows of 1024/256.

    python tests/benchmarks/plan.py [--tokens 60e6]

Batches of the synthetic corpus (corpus.py) are made one after the other in one thread that is bound
to one core. Tokens are inputs and targets with EOS, without padding. Opening the stores and sizing
the blocks is not timed; packing every block is. The benchmark ends after the block in which 60
million tokens are reached. `value` is measured in wall-clock time; `per_cpu_second`, in the CPU
time of this process, is steadier on a busy machine. Target: 10 million tokens a second.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import corpus
import numpy as np
import processes

from flan_jax.data.loader import Loader


def make_blocks(loader: Loader, tokens: float) -> dict[str, float]:
    """Makes all batches of whole blocks until a number of tokens is reached.

    Args:
      loader: makes the batches.
      tokens: how many tokens to make at least.

    Returns:
      The tokens that were made and seconds: {"tokens", "wall", "cpu", "packing_cpu"}.
    """
    total = {"tokens": 0, "wall": 0.0, "cpu": 0.0, "packing_cpu": 0.0}
    steps = loader.plan.block_steps
    block = 0
    while total["tokens"] < tokens:
        for step in range(block * steps, (block + 1) * steps):
            wall_start = time.perf_counter()
            cpu_start = time.process_time()
            loader.plan.layout(step)
            cpu_packed = time.process_time()
            batch = loader.batch(step)
            total["wall"] += time.perf_counter() - wall_start
            total["cpu"] += time.process_time() - cpu_start
            total["packing_cpu"] += cpu_packed - cpu_start
            for side in ("encoder", "decoder"):
                segment_ids = batch[f"{side}_segment_ids"]
                total["tokens"] += int(np.count_nonzero(segment_ids))
        block += 1
    return total


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tokens", type=float, default=60e6, help="how many to make at least"
    )
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        corpus.write_stores(Path(folder))
        data = corpus.open_mixture(Path(folder))
        loader = Loader(
            data.plan("encoder_decoder"), data.train, data.row_tokenizer.tokens
        )
        total = make_blocks(loader, arguments.tokens)
    result = {
        "name": "plan_and_gather_one_core",
        "value": round(total["tokens"] / total["wall"]),
        "unit": "tokens/s",
        "target": 10_000_000,
        "per_cpu_second": round(total["tokens"] / total["cpu"]),
        "tokens": total["tokens"],
        "seconds": round(total["wall"], 2),
        "share_of_cpu_packing": round(total["packing_cpu"] / total["cpu"], 3),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
