"""Rank classification on the CPU: each prompt read once, against one full forward for each option.

    python tests/benchmarks/rank_scoring.py [--architecture encoder_decoder] [--rounds 3]

200 questions of 200 tokens with four options of five tokens, float32. The model is a decoder of 8
layers, 512 wide with 8 heads, or an encoder-decoder of T5 1.1 small's sizes; the vocabulary has
32,000 tokens. The peer scores question and option together, once for each option, as
lm-evaluation-harness does: with transformers' Llama or T5 on torch if it is installed (the same
sizes; the Llama's Mlp has three kernels, as ours), otherwise with our own model, as "peer" says.
Batches hold the same number of rows. After a warm-up the two take turns; the figures are medians.
The last line printed is one JSON object, in options per second. Target: a ratio of 3.
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

from flan_jax.decoding.scorer import Scorer
from flan_jax.models.config import ModelConfig
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import dummy_batch
from flan_jax.parallel.mesh import make_mesh

QUESTIONS, LENGTH, OPTIONS, ANSWER, ROWS = 200, 200, 4, 5, 20
VOCABULARY, WIDTH, LAYERS = 32000, 512, 8

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(int32[Q, LENGTH] questions, int32[Q, OPTIONS, ANSWER] options) -> float32[Q, OPTIONS]."""


def decoder() -> DecoderConfig:
    """Returns a decoder of Llama's kind."""
    return DecoderConfig(
        vocab_size=VOCABULARY,
        emb_dim=WIDTH,
        num_heads=8,
        head_dim=64,
        mlp_dim=1376,
        num_layers=LAYERS,
        mlp_activations=("silu", "linear"),
        position="rope",
        dropout_rate=0.0,
        scan_layers=False,
    )


def encoder_decoder() -> EncoderDecoderConfig:
    """Returns an encoder-decoder of T5 1.1 small's sizes."""
    return EncoderDecoderConfig(
        vocab_size=VOCABULARY,
        emb_dim=WIDTH,
        num_heads=6,
        head_dim=64,
        mlp_dim=1024,
        num_encoder_layers=LAYERS,
        num_decoder_layers=LAYERS,
        dropout_rate=0.0,
        scan_layers=False,
    )


def pairs(
    questions: np.ndarray, options: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns batches of (int32[ROWS, LENGTH] questions, int32[ROWS, ANSWER] options).

    Each question is repeated for each of its options.
    """
    batches = len(questions) * OPTIONS // ROWS
    repeated_questions = np.split(np.repeat(questions, OPTIONS, axis=0), batches)
    flat_options = np.split(options.reshape(-1, ANSWER), batches)
    return list(zip(repeated_questions, flat_options, strict=True))


def decoder_batch(questions: jax.Array, answers: jax.Array) -> dict[str, jax.Array]:
    """Returns a decoder's batch, a question and an option in each row."""
    targets = jnp.concatenate([questions, answers], axis=1)
    index = jnp.broadcast_to(jnp.arange(LENGTH + ANSWER)[None], targets.shape)
    return {
        "decoder_input_tokens": shifted(targets),
        "decoder_segment_ids": jnp.ones_like(targets),
        "decoder_positions": index,
        "decoder_causal_attention": (index <= LENGTH).astype(jnp.int32),
    }


def encoder_decoder_batch(
    questions: jax.Array, answers: jax.Array
) -> dict[str, jax.Array]:
    """Returns an encoder-decoder's batch, a question and an option in each row."""
    return {
        "encoder_input_tokens": questions,
        "encoder_segment_ids": jnp.ones_like(questions),
        "decoder_input_tokens": shifted(answers),
        "decoder_segment_ids": jnp.ones_like(answers),
    }


def shifted(targets: jax.Array) -> jax.Array:
    """Returns decoder inputs: PAD, then the targets without the last."""
    return jnp.pad(targets, ((0, 0), (1, 0)))[:, :-1]


def our_scores(
    config: ModelConfig, make_batch: Callable[..., dict[str, jax.Array]]
) -> tuple[Score, Score]:
    """Returns (Scorer.log_probs, one full forward for each option with the same model)."""
    model = config.build()
    params = nn.unbox(jax.jit(model.init)(jax.random.key(0), dummy_batch(config)))[
        "params"
    ]
    scorer = Scorer(config, params, make_mesh(), rows=ROWS, stop_ids=(1,))

    def score(questions: np.ndarray, options: np.ndarray) -> np.ndarray:
        if config.architecture == "decoder":
            questions = np.pad(questions, ((0, 0), (1, 0)))  # PAD begins a row
        return np.stack(
            scorer.log_probs(list(questions), [list(each) for each in options])
        )

    @jax.jit
    def forward(params: object, questions: jax.Array, answers: jax.Array) -> jax.Array:
        hidden = model.apply(
            {"params": params}, make_batch(questions, answers), method="hidden"
        )[:, -ANSWER:]
        log_probs = jax.nn.log_softmax(
            model.apply({"params": params}, hidden, method="logits")
        )
        return jnp.take_along_axis(log_probs, answers[..., None], axis=-1).sum((1, 2))

    def plain(questions: np.ndarray, options: np.ndarray) -> np.ndarray:
        sums = [
            np.asarray(forward(params, *some)) for some in pairs(questions, options)
        ]
        return np.concatenate(sums).reshape(-1, OPTIONS)

    return score, plain


def torch_scores(architecture: str) -> Score:
    """Returns one full forward for each option with transformers."""
    import torch
    import transformers

    torch.manual_seed(0)
    if architecture == "decoder":
        config = transformers.LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=1376,
            num_hidden_layers=LAYERS,
            num_attention_heads=8,
            use_cache=False,
        )
        model = transformers.LlamaForCausalLM(config).eval()
    else:
        config = transformers.T5Config(
            vocab_size=VOCABULARY,
            d_model=WIDTH,
            d_kv=64,
            d_ff=1024,
            num_layers=LAYERS,
            num_decoder_layers=LAYERS,
            num_heads=6,
            feed_forward_proj="gated-gelu",
            use_cache=False,
            tie_word_embeddings=False,
            decoder_start_token_id=0,
        )
        model = transformers.T5ForConditionalGeneration(config).eval()

    def logits(questions: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        if architecture == "decoder":
            return model(
                torch.cat([questions, answers], dim=1)[:, :-1], logits_to_keep=ANSWER
            ).logits
        return model(input_ids=questions, labels=answers).logits

    def plain(questions: np.ndarray, options: np.ndarray) -> np.ndarray:
        sums = []
        for some in pairs(questions, options):
            question, answer = (
                torch.from_numpy(each.astype(np.int64)) for each in some
            )
            with torch.inference_mode():
                log_probs = logits(question, answer).log_softmax(-1)
            sums.append(log_probs.gather(-1, answer[..., None]).sum((1, 2)))
        return torch.cat(sums).numpy().reshape(-1, OPTIONS)

    return plain


def seconds_taken(
    sides: dict[str, Score], rounds: int, questions: np.ndarray, options: np.ndarray
) -> dict[str, float]:
    """The median of each side, in turns."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side, score in sides.items():
            start = time.perf_counter()
            score(questions, options)
            seconds[side].append(time.perf_counter() - start)
            print(f"round {turn + 1} {side}: {seconds[side][-1]:.2f} s", flush=True)
    return {side: statistics.median(each) for side, each in seconds.items()}


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--architecture", choices=("decoder", "encoder_decoder"), default="decoder"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    arguments = parser.parse_args()
    parts = {
        "decoder": (decoder, decoder_batch),
        "encoder_decoder": (encoder_decoder, encoder_decoder_batch),
    }
    config, make_batch = parts[arguments.architecture]
    ours, peer = our_scores(config(), make_batch)
    rng = np.random.default_rng(0)
    questions = rng.integers(2, VOCABULARY, (QUESTIONS, LENGTH), dtype=np.int32)
    options = rng.integers(2, VOCABULARY, (QUESTIONS, OPTIONS, ANSWER), dtype=np.int32)
    few = slice(ROWS)
    error = np.abs(
        ours(questions[few], options[few]) - peer(questions[few], options[few])
    ).max()
    print(
        f"the two sides differ by {error:.1e} in the sum of an option's log-probabilities"
    )
    if error > 1e-3:
        return 1
    name = "flan_jax, one full forward an option"
    try:
        peer = torch_scores(arguments.architecture)
        name = f"transformers {sys.modules['transformers'].__version__}, one full forward an option"
        peer(questions[few], options[few])
    except ImportError as missing:
        print(f"the peer is our own model: {missing}")
    taken = seconds_taken(
        {"flan_jax": ours, "peer": peer}, arguments.rounds, questions, options
    )
    value, peer_value = (
        QUESTIONS * OPTIONS / taken[side] for side in ("flan_jax", "peer")
    )
    facts = {
        "name": f"rank_scoring_{arguments.architecture}_cpu",
        "value": round(value, 1),
        "unit": "options/s",
    }
    facts |= {
        "peer": name,
        "peer_value": round(peer_value, 1),
        "ratio": round(value / peer_value, 3),
        "target": 3,
    }
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
