"""Measures how full rows are: the plan's packing against seqio's packing of the same examples.

    python tests/benchmarks/packing.py [--blocks 2]

The examples are the first blocks of the plan's stream over the synthetic corpus (corpus.py), at
rows of 1024/256 and of 1024/"fit", where the target length is chosen from the data. A share is real
tokens (with EOS, without padding) divided by positions: of the encoder, of the decoder, and of both
together. `value`, `peer_value` and `ratio` are the share of both at 1024/256. The peer is
seqio.EncDecFeatureConverter(pack=True), which packs in the order of the stream; it is given each
example's truncated length. Target: 0.97 of the encoder's positions. Without seqio the exit code is
2.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import corpus
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.mixture_data import MixtureData

Shares = dict[str, float]
"""The shares of filled positions: {"encoder": 0.98, "decoder": 0.41, "both": 0.86}."""


def shares(lengths: Mapping[str, int], rows: int, inputs: int, targets: int) -> Shares:
    """Returns the shares of filled positions.

    Args:
      lengths: tokens of a row, {"inputs": E, "targets": D}.
      rows: the number of rows.
      inputs: the number of real input tokens.
      targets: the number of real target tokens.
    """
    encoder = rows * lengths["inputs"]
    decoder = rows * lengths["targets"]
    shares_of_sides = {
        "encoder": inputs / encoder,
        "decoder": targets / decoder,
        "both": (inputs + targets) / (encoder + decoder),
    }
    return {side: round(float(share), 4) for side, share in shares_of_sides.items()}


def plan_shares(plan: MixturePlan, blocks: int) -> tuple[Shares, int]:
    """Returns (shares, deferred examples) of the first blocks of a plan."""
    inputs = 0
    targets = 0
    deferred = 0
    for number in range(blocks):
        block, deferred_of_block = plan.block(number)
        input_lengths, target_lengths = plan.example_lengths(block.task, block.index)
        inputs += input_lengths.sum()
        targets += target_lengths.sum()
        deferred += deferred_of_block
    rows = blocks * plan.block_steps * plan.batch_size
    return shares(plan.lengths, rows, inputs, targets), deferred


def seqio_shares(plan: MixturePlan, blocks: int) -> Shares:
    """Returns the shares when seqio packs the same examples."""
    import seqio
    import tensorflow as tf

    task, index = plan.stream(0, blocks * plan.block_examples)
    input_lengths, target_lengths = plan.example_lengths(task, index)
    ones = np.ones(max(plan.lengths.values()), np.int32)

    def examples() -> Iterator[dict[str, np.ndarray]]:
        for inputs, targets in zip(input_lengths, target_lengths, strict=True):
            yield {"inputs": ones[:inputs], "targets": ones[:targets]}

    tokens = tf.TensorSpec([None], tf.int32)
    signature = {"inputs": tokens, "targets": tokens}
    dataset = tf.data.Dataset.from_generator(examples, output_signature=signature)
    converter = seqio.EncDecFeatureConverter(pack=True)
    packed = converter(dataset, task_feature_lengths=plan.lengths)
    rows = 0
    inputs = 0
    targets = 0
    for row in packed.as_numpy_iterator():
        rows += 1
        inputs += np.count_nonzero(row["encoder_segment_ids"])
        targets += np.count_nonzero(row["decoder_segment_ids"])
    return shares(plan.lengths, rows, inputs, targets)


def compare(data: MixtureData, blocks: int) -> dict[str, object]:
    """Returns and prints the shares of the plan and of seqio."""
    plan = data.plan("encoder_decoder")
    start = time.perf_counter()
    filled, deferred = plan_shares(plan, blocks)
    seconds = time.perf_counter() - start
    print(f"{plan.lengths}: flan_jax {filled}, {seconds:.1f} s", flush=True)

    start = time.perf_counter()
    peer_filled = seqio_shares(plan, blocks)
    seconds = time.perf_counter() - start
    print(f"{plan.lengths}: seqio {peer_filled}, {seconds:.1f} s", flush=True)
    return {
        "lengths": plan.lengths,
        "filled": filled,
        "peer_filled": peer_filled,
        "examples": blocks * plan.block_examples,
        "set_aside": deferred,
    }


def main() -> int:
    """Runs the benchmark and prints its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--blocks", type=int, default=2, help="blocks of about 16,000 examples"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus.write_stores(Path(folder))
        try:
            fixed = compare(corpus.open_mixture(Path(folder)), arguments.blocks)
        except ImportError as error:
            print(
                f"cannot compare: {error}. Install the peer with: pip install -r requirements.txt"
            )
            return 2
        lengths = {**corpus.LENGTHS, "targets": "fit"}
        fit = compare(corpus.open_mixture(Path(folder), lengths), arguments.blocks)
    result = {
        "name": "packing_both_sides_filled_1024_256",
        "value": fixed["filled"]["both"],
        "unit": "share of positions",
        "peer": f"seqio {sys.modules['seqio'].__version__}, EncDecFeatureConverter(pack=True)",
        "peer_value": fixed["peer_filled"]["both"],
        "ratio": round(fixed["filled"]["both"] / fixed["peer_filled"]["both"], 3),
        "encoder_filled": fixed["filled"]["encoder"],
        "encoder_target": 0.97,
        "fixed": fixed,
        "fit": fit,
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
