"""Rank classification by a decoder on the CPU: each prompt read once, against one full forward for each option.

    python tests/benchmarks/rank_scoring.py [--rounds 3]

200 questions of 200 tokens with four options of five tokens; a decoder of 8 layers, 512 wide with 8 heads, 32,000
tokens, float32. The peer scores question and option together, once for each option, as lm-evaluation-harness does:
with transformers' Llama on torch where it is installed (the same sizes; its Mlp has three kernels as ours), otherwise
with our own model, as "peer" says. Batches hold the same number of rows. After a warm-up the two take turns; the
figures are medians. The last line printed is one JSON object, in options per second.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from flan_jax.decoding import Scorer
from flan_jax.models.decoder import DecoderConfig
from flan_jax.partitioning import make_mesh
from flan_jax.train_state import dummy_batch

QUESTIONS, LENGTH, OPTIONS, ANSWER, VOCABULARY, ROWS = 200, 200, 4, 5, 32000, 20
WIDTH, HEADS, MLP, LAYERS = 512, 8, 1376, 8

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(questions int32[Q, LENGTH], options int32[Q, OPTIONS, ANSWER]) -> log-probabilities float32[Q, OPTIONS]."""


def joined(questions: np.ndarray, options: np.ndarray) -> np.ndarray:
    """int32[Q x OPTIONS, LENGTH + ANSWER]."""
    return np.concatenate([np.repeat(questions, OPTIONS, axis=0), options.reshape(-1, ANSWER)], axis=1)


def our_scores(scan_layers: bool) -> tuple[Score, Score]:
    """(our way, the plain way with our model)."""
    config = DecoderConfig(
        vocab_size=VOCABULARY, emb_dim=WIDTH, num_heads=HEADS, head_dim=WIDTH // HEADS, mlp_dim=MLP, num_layers=LAYERS,
        mlp_activations=("silu", "linear"), position="rope", dropout_rate=0.0, scan_layers=scan_layers,
    )  # fmt: skip
    model = config.build()
    params = nn.unbox(jax.jit(model.init)(jax.random.key(0), dummy_batch(config)))["params"]
    scorer = Scorer(config, params, make_mesh(), rows=ROWS, eos_id=1)

    def score(questions: np.ndarray, options: np.ndarray) -> np.ndarray:
        return np.stack(scorer.log_probs(list(questions), [list(each) for each in options]))

    @jax.jit
    def forward(params: object, targets: jax.Array) -> jax.Array:
        index = jnp.broadcast_to(jnp.arange(LENGTH + ANSWER)[None], targets.shape)
        batch = {
            "decoder_input_tokens": jnp.pad(targets, ((0, 0), (1, 0)))[:, :-1],
            "decoder_segment_ids": jnp.ones_like(targets),
            "decoder_positions": index,
            "decoder_causal_attention": (index <= LENGTH).astype(jnp.int32),
        }
        log_probs = jax.nn.log_softmax(model.apply({"params": params}, batch))[:, LENGTH:]
        return jnp.take_along_axis(log_probs, targets[:, LENGTH:, None], axis=-1).sum((1, 2))

    def plain(questions: np.ndarray, options: np.ndarray) -> np.ndarray:
        rows = np.split(joined(questions, options), len(questions) * OPTIONS // ROWS)
        return np.concatenate([np.asarray(forward(params, some)) for some in rows]).reshape(-1, OPTIONS)

    return score, plain


def llama_scores() -> Score:
    """The plain way with transformers."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=MLP, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, use_cache=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()

    def plain(questions: np.ndarray, options: np.ndarray) -> np.ndarray:
        sums = []
        for rows in torch.from_numpy(joined(questions, options).astype(np.int64)).split(ROWS):
            with torch.inference_mode():
                log_probs = model(rows[:, :-1]).logits.log_softmax(-1)[:, LENGTH - 1 :]
            sums.append(log_probs.gather(-1, rows[:, LENGTH:, None]).sum((1, 2)))
        return torch.cat(sums).numpy().reshape(-1, OPTIONS)

    return plain


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--scan_layers", action="store_true", help="scan over layers instead of unrolling them")
    arguments = parser.parse_args()
    ours, peer = our_scores(arguments.scan_layers)
    rng = np.random.default_rng(0)
    questions = rng.integers(2, VOCABULARY, (QUESTIONS, LENGTH), dtype=np.int32)
    options = rng.integers(2, VOCABULARY, (QUESTIONS, OPTIONS, ANSWER), dtype=np.int32)
    few = slice(ROWS)
    error = np.abs(ours(questions[few], options[few]) - peer(questions[few], options[few])).max()
    print(f"our way and the plain way differ by {error:.1e} in the sum of an option's log-probabilities")
    if error > 1e-3:
        return 1
    name = "flan_jax, one full forward an option"
    try:
        peer = llama_scores()
        name = f"transformers {sys.modules['transformers'].__version__} Llama, one full forward an option"
        peer(questions[few], options[few])
    except ImportError as missing:
        print(f"the peer is our own model: {missing}")
    seconds: dict[str, list[float]] = {"flan_jax": [], "peer": []}
    for turn in range(arguments.rounds):
        for side, score in (("flan_jax", ours), ("peer", peer)):
            start = time.perf_counter()
            score(questions, options)
            seconds[side].append(time.perf_counter() - start)
            print(f"round {turn + 1} {side}: {seconds[side][-1]:.2f} s", flush=True)
    value, peer_value = (QUESTIONS * OPTIONS / statistics.median(seconds[side]) for side in ("flan_jax", "peer"))
    print(
        json.dumps(
            {
                "name": "rank_scoring_decoder_cpu",
                "value": round(value, 1),
                "unit": "options/s",
                "peer": name,
                "peer_value": round(peer_value, 1),
                "ratio": round(value / peer_value, 3),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
