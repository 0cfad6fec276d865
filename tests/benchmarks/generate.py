"""Greedy generation by T5 1.1 small on the CPU: flan_jax against transformers' generate on torch.

    pip install .[parity] && python tests/benchmarks/generate.py [--rounds 5]

All sides (flan_jax with layers unrolled and scanned) have the same 77 M float32 parameters and 16
prompts of 128 tokens. They generate 64 new tokens each, EOS excluded; the encoder's pass is
included. After a warm-up they take turns, so that other load on the machine affects all of them;
the figures are medians. The last line printed is one JSON object, in new tokens per second; value
and ratio are those of unrolled layers. It exits with 2 without transformers, and with 1 if the
sides do not generate the same tokens.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("JAX_PLATFORMS", "cpu")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import jax
import numpy as np
from flax import linen as nn

from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.scorer import Scorer
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import dummy_batch
from flan_jax.parallel.mesh import make_mesh

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))

from hugging_face_t5 import params_of, random_t5

ROWS, INPUTS, NEW, VOCABULARY = 16, 128, 64, 32128
NO_TOKEN = VOCABULARY
"""Used as EOS: an id that is never generated."""


def our_generation(
    peer: object, prompts: np.ndarray, scan_layers: bool
) -> Callable[[], np.ndarray]:
    """A function that generates int32[ROWS, NEW] with the peer's weights."""
    config = EncoderDecoderConfig(
        vocab_size=VOCABULARY,
        emb_dim=512,
        num_heads=6,
        head_dim=64,
        mlp_dim=1024,
        num_encoder_layers=8,
        num_decoder_layers=8,
        dropout_rate=0.0,
        scan_layers=False,
    )
    empty = jax.eval_shape(
        lambda: nn.unbox(config.build().init(jax.random.key(0), dummy_batch(config)))[
            "params"
        ]
    )
    params = params_of(peer, empty)
    if scan_layers:
        config = dataclasses.replace(config, scan_layers=True)
        for stack in (params["encoder"], params["decoder"]):
            layers = [stack.pop(f"layers_{i}") for i in range(8)]
            stack["layers"] = jax.tree.map(lambda *leaves: np.stack(leaves), *layers)
    scorer = Scorer(config, params, make_mesh(), rows=ROWS, stop_ids=(NO_TOKEN,))
    return lambda: np.stack(scorer.generate(list(prompts), GenerationConfig(NEW)))


def peer_generation(peer: object, prompts: np.ndarray) -> Callable[[], np.ndarray]:
    """A function that generates int32[ROWS, NEW] with transformers."""
    import torch

    tokens = torch.from_numpy(prompts.astype(np.int64))
    peer.generation_config.eos_token_id = None

    def generate() -> np.ndarray:
        with torch.inference_mode():
            written = peer.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=NEW,
                do_sample=False,
            )
        return written[:, 1:].numpy()

    return generate


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    arguments = parser.parse_args()
    try:
        peer = random_t5(
            noise=0.02,
            vocab_size=VOCABULARY,
            d_model=512,
            d_kv=64,
            d_ff=1024,
            num_layers=8,
            num_decoder_layers=8,
            num_heads=6,
        )
    except ImportError as error:
        print(
            f"cannot compare: {error}. Install the peer with: "
            "pip install torch==2.13.0 'transformers>=5,<6'"
        )
        return 2
    prompts = np.random.default_rng(0).integers(
        2, VOCABULARY, (ROWS, INPUTS), dtype=np.int32
    )
    sides = {
        "flan_jax": our_generation(peer, prompts, scan_layers=False),
        "scanned": our_generation(peer, prompts, scan_layers=True),
        "transformers": peer_generation(peer, prompts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    written = {}
    for turn in range(arguments.rounds + 1):
        for name, generate in sides.items():
            start = time.perf_counter()
            written[name] = generate()
            elapsed = time.perf_counter() - start
            print(f"round {turn} {name}: {elapsed:.3f} s", flush=True)
            if turn:
                seconds[name].append(elapsed)
    same = min(
        float(np.mean(written[name] == written["transformers"]))
        for name in ("flan_jax", "scanned")
    )
    print(
        f"{same:.1%} of the tokens are the same; "
        f"{len(np.unique(written['flan_jax']))} different ones"
    )
    if same < 0.99:
        return 1
    rates = {
        name: ROWS * NEW / statistics.median(times) for name, times in seconds.items()
    }
    value, scanned, peer_value = (
        rates["flan_jax"],
        rates["scanned"],
        rates["transformers"],
    )
    versions = [sys.modules[name].__version__ for name in ("transformers", "torch")]
    print(
        json.dumps(
            {
                "name": "generate_t5_1_1_small_cpu",
                "value": round(value, 1),
                "unit": "tokens/s",
                "peer": "transformers {} on torch {}".format(*versions),
                "peer_value": round(peer_value, 1),
                "ratio": round(value / peer_value, 3),
                "scanned_value": round(scanned, 1),
                "scanned_ratio": round(scanned / peer_value, 3),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
