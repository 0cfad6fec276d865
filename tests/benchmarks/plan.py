"""Planning, packing and gathering on one core: real tokens a second at rows of 1024/256, 32 a batch.

    python tests/benchmarks/plan.py [--tokens 60e6]

Batches of the synthetic corpus (corpus.py) are made one after the other in one thread that is bound to one core; tokens
are inputs and targets with EOS, without padding. Opening the stores and sizing the blocks is not timed, packing every
block is. It ends after the block in which 60 million tokens are reached. `value` is by the clock on the wall; on a busy
machine `per_cpu_second`, by the time that the core gave this process, is the steadier figure.
Target: 10 million tokens a second.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import corpus
import processes

from flan_jax.data.loader import Loader


def make_blocks(loader: Loader, tokens: float) -> dict[str, float]:
    """Makes all batches of whole blocks until `tokens` are reached: {"tokens", "wall", "cpu", "packing_cpu"}."""
    total = {"tokens": 0, "wall": 0.0, "cpu": 0.0, "packing_cpu": 0.0}
    steps = loader.plan.block_steps
    block = 0
    while total["tokens"] < tokens:
        for step in range(block * steps, (block + 1) * steps):
            wall, cpu = time.perf_counter(), time.process_time()
            loader.plan.layout(step)
            packed = time.process_time()
            batch = loader.batch(step)
            total["wall"] += time.perf_counter() - wall
            total["cpu"] += time.process_time() - cpu
            total["packing_cpu"] += packed - cpu
            total["tokens"] += sum(
                int((batch[f"{side}_segment_ids"] > 0).sum())
                for side in ("encoder", "decoder")
            )
        block += 1
    return total


def main() -> int:
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
        loader = Loader(data.plan("encoder_decoder"), data.train, data.tokenizer.eos_id)
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
