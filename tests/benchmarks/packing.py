"""How full the rows are: the plan's best-fit packing against seqio's own packing of the same examples.

    python tests/benchmarks/packing.py [--blocks 2]

The examples are the first blocks of the plan's stream over the synthetic corpus (corpus.py), at rows of 1024/256 and of
1024/"fit", where the target side is chosen from the data as DataConfig.lengths says. A share is real tokens (EOS
included, padding not) divided by positions: of the encoder, of the decoder, and of both together, which `value`,
`peer_value` and `ratio` are about at 1024/256. The peer is seqio.EncDecFeatureConverter(pack=True), which packs in the
order of the stream, and is given each example's truncated length. Target: 0.97 of the encoder's positions.
Without seqio it exits with 2.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import corpus
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.mixture_data import MixtureData

Shares = dict[str, float]
"""Filled positions of the `encoder`, of the `decoder`, of `both`."""


def shares(lengths: Mapping[str, int], rows: int, inputs: int, targets: int) -> Shares:
    """From the numbers of rows and of real tokens."""
    encoder, decoder = rows * lengths["inputs"], rows * lengths["targets"]
    found = {
        "encoder": inputs / encoder,
        "decoder": targets / decoder,
        "both": (inputs + targets) / (encoder + decoder),
    }
    return {side: round(float(share), 4) for side, share in found.items()}


def ours(plan: MixturePlan, blocks: int) -> tuple[Shares, int]:
    """(shares, examples set aside) of the first blocks."""
    inputs = targets = aside = 0
    for number in range(blocks):
        block, set_aside = plan.block(number)
        input_lengths, target_lengths = plan.example_lengths(block.task, block.index)
        inputs, targets, aside = (
            inputs + input_lengths.sum(),
            targets + target_lengths.sum(),
            aside + set_aside,
        )
    return shares(
        plan.lengths, blocks * plan.block_steps * plan.batch_size, inputs, targets
    ), aside


def seqios(plan: MixturePlan, blocks: int) -> Shares:
    """The same stretch of the stream through seqio."""
    import seqio
    import tensorflow as tf

    lengths = plan.example_lengths(*plan.stream(0, blocks * plan.block_examples))
    ones = np.ones(max(plan.lengths.values()), np.int32)
    dataset = tf.data.Dataset.from_generator(
        lambda: (
            {"inputs": ones[:i], "targets": ones[:t]}
            for i, t in zip(*lengths, strict=True)
        ),
        output_signature={
            name: tf.TensorSpec([None], tf.int32) for name in ("inputs", "targets")
        },
    )
    rows = inputs = targets = 0
    packed = seqio.EncDecFeatureConverter(pack=True)(
        dataset, task_feature_lengths=plan.lengths
    )
    for row in packed.as_numpy_iterator():
        rows += 1
        inputs += np.count_nonzero(row["encoder_segment_ids"])
        targets += np.count_nonzero(row["decoder_segment_ids"])
    return shares(plan.lengths, rows, inputs, targets)


def compare(data: MixtureData, blocks: int) -> dict[str, object]:
    plan = data.plan("encoder_decoder")
    start = time.perf_counter()
    mine, aside = ours(plan, blocks)
    print(
        f"{plan.lengths}: flan_jax {mine}, {time.perf_counter() - start:.1f} s",
        flush=True,
    )
    start = time.perf_counter()
    theirs = seqios(plan, blocks)
    print(
        f"{plan.lengths}: seqio {theirs}, {time.perf_counter() - start:.1f} s",
        flush=True,
    )
    examples = blocks * plan.block_examples
    return {
        "lengths": plan.lengths,
        "filled": mine,
        "peer_filled": theirs,
        "examples": examples,
        "set_aside": aside,
    }


def main() -> int:
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
