"""One full training step of T5 1.1 small on the CPU: flan_jax against Hugging Face transformers on torch.

    pip install .[parity] && python tests/benchmarks/train_step.py [--rounds 5]

Both sides: 77 M float32 parameters, 4 rows of 256 input and 64 target tokens, no dropout, mean token cross-entropy,
gradients, and an Adafactor update at a fixed rate with parameter scaling, no first moment and no relative step. After a
warm-up the two take turns, so that other load on the machine meets both; the figures are medians. The last line
printed is one JSON object, in tokens (inputs and targets) per second. Without transformers it exits with 2.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import optax
from flax import linen as nn

from flan_jax import losses, optim
from flan_jax.models.encoder_decoder import EncoderDecoderConfig

ROWS, INPUTS, TARGETS, VOCABULARY = 4, 256, 64, 32128
LEARNING_RATE = 1e-3


def example_batch() -> dict[str, np.ndarray]:
    """Random tokens without padding: one example per row."""
    rng = np.random.default_rng(0)
    batch: dict[str, np.ndarray] = {}
    for side, length in (("encoder", INPUTS), ("decoder", TARGETS)):
        batch[f"{side}_segment_ids"] = np.ones((ROWS, length), np.int32)
        batch[f"{side}_positions"] = np.tile(np.arange(length, dtype=np.int32), (ROWS, 1))
    batch["encoder_input_tokens"] = rng.integers(2, VOCABULARY, (ROWS, INPUTS), dtype=np.int32)
    targets = rng.integers(2, VOCABULARY, (ROWS, TARGETS), dtype=np.int32)
    batch["decoder_target_tokens"] = targets
    batch["decoder_input_tokens"] = np.pad(targets, ((0, 0), (1, 0)))[:, :-1]
    batch["decoder_loss_weights"] = np.ones((ROWS, TARGETS), np.float32)
    return batch


def our_step(batch: dict[str, np.ndarray], scan_layers: bool) -> tuple[Callable[[], float], int]:
    """(a function that takes one step and returns its loss, the number of parameters)."""
    config = EncoderDecoderConfig(
        vocab_size=VOCABULARY, emb_dim=512, num_heads=6, head_dim=64, mlp_dim=1024, num_encoder_layers=8,
        num_decoder_layers=8, dropout_rate=0.0, scan_layers=scan_layers,
    )  # fmt: skip
    model, tx = config.build(), optim.adafactor(LEARNING_RATE)
    params = nn.unbox(jax.jit(model.init)(jax.random.key(0), batch))["params"]
    state: list[Any] = [params, jax.jit(tx.init)(params)]

    def mean_loss(params: Any, batch: Any) -> jax.Array:
        loss, sums = losses.loss_and_weight(model, params, batch, z_loss=0.0)
        return loss / sums["weight_sum"]

    def update(params: Any, opt_state: Any, batch: Any) -> tuple[Any, Any, jax.Array]:
        loss, grads = jax.value_and_grad(mean_loss)(params, batch)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    jitted = jax.jit(update, donate_argnums=(0, 1))

    def step() -> float:
        state[0], state[1], loss = jitted(state[0], state[1], batch)
        jax.block_until_ready(state)
        return float(loss)

    return step, sum(leaf.size for leaf in jax.tree.leaves(params))


def peer_step(batch: dict[str, np.ndarray]) -> tuple[Callable[[], float], int]:
    """The same for transformers' T5 v1.1 and its Adafactor."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=512, d_kv=64, d_ff=1024, num_layers=8, num_decoder_layers=8, num_heads=6,
        feed_forward_proj="gated-gelu", dropout_rate=0.0, tie_word_embeddings=False, use_cache=False,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config).train()
    # transformers 5 ties T5's head to its table whatever the config says; T5 1.1 has a head of its own.
    model.lm_head = torch.nn.Linear(config.d_model, VOCABULARY, bias=False)
    optimizer = transformers.Adafactor(
        model.parameters(), lr=LEARNING_RATE, scale_parameter=True, relative_step=False, warmup_init=False
    )
    tensors = {name: torch.from_numpy(value.astype(np.int64)) for name, value in batch.items()}
    inputs = {
        "input_ids": tensors["encoder_input_tokens"],
        "attention_mask": tensors["encoder_segment_ids"],
        "decoder_input_ids": tensors["decoder_input_tokens"],
        "labels": tensors["decoder_target_tokens"],
    }

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step, sum(parameter.numel() for parameter in model.parameters())


def take_turns(steps: dict[str, Callable[[], float]], rounds: int, per_round: int) -> dict[str, float]:
    """{name: median seconds of a step}, after a warm-up turn.

    The first step of a turn is not counted: the other side's threads may still spin for some milliseconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            for i in range(1 + per_round):
                start = time.perf_counter()
                loss = step()
                if turn and i:
                    seconds[name].append(time.perf_counter() - start)
            print(f"round {turn} {name}: loss {loss:.3f}, last step {time.perf_counter() - start:.3f} s", flush=True)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="turns of each side")
    parser.add_argument("--per_round", type=int, default=2, help="steps in a turn")
    parser.add_argument("--scan_layers", action="store_true", help="scan over layers instead of unrolling them")
    arguments = parser.parse_args()
    batch = example_batch()
    try:
        peer, peer_size = peer_step(batch)
    except ImportError as error:
        print(f"cannot compare: {error}. Install the peer with: pip install torch==2.13.0 'transformers>=5,<6'")
        return 2
    ours, size = our_step(batch, arguments.scan_layers)
    # transformers counts the same weights: its tables, kernels and norms are ours under other names.
    if size != peer_size:
        print(f"the two models differ: {size} parameters here, {peer_size} there")
        return 1
    medians = take_turns({"flan_jax": ours, "transformers": peer}, arguments.rounds, arguments.per_round)
    value, peer_value = (ROWS * (INPUTS + TARGETS) / medians[name] for name in ("flan_jax", "transformers"))
    print(
        json.dumps(
            {
                "name": "train_step_t5_1_1_small_cpu",
                "value": round(value, 1),
                "unit": "tokens/s",
                "peer": f"transformers {sys.modules['transformers'].__version__} on torch {sys.modules['torch'].__version__}",
                "peer_value": round(peer_value, 1),
                "ratio": round(value / peer_value, 3),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
