"""One full training step on the CPU: flan_jax against Hugging Face transformers on torch.

    pip install .[parity]
    python tests/benchmarks/train_step.py [--model t5_1_1_small] [--rounds 6]

`--model` is t5_1_1_small or t5_1_1_base (4 rows of 256 input and 64 target tokens), or llama_nano
(4 rows of 512 tokens). Both sides: the same sizes, float32, no dropout, mean token cross-entropy,
gradients, and an Adafactor update at a fixed rate with parameter scaling, no first moment and no
relative step; ours is the trainer's own step with the model's gin file, the gradient's norm and the
mesh included, and the layers unrolled. After a warm-up the two take turns, so that other load on
the machine meets both; the figures are medians. `peak_gib` and `peer_peak_gib` are the largest
resident memory of a process that takes three steps of one side and nothing else. The last line
printed is one JSON object, in tokens (inputs and targets) per second. Without transformers it exits
with 2.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flan_jax.training.adafactor import adafactor

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import processes

MODELS = ("t5_1_1_small", "t5_1_1_base", "llama_nano")
ROWS, INPUTS, TARGETS, TOKENS = 4, 256, 64, 512
LEARNING_RATE = 1e-3

Step = Callable[[], float]


def example_batch(model: str) -> dict[str, np.ndarray]:
    """Random tokens without padding: one example per row."""
    rng = np.random.default_rng(0)
    sides = (
        {"decoder": TOKENS}
        if model == "llama_nano"
        else {"encoder": INPUTS, "decoder": TARGETS}
    )
    batch: dict[str, np.ndarray] = {}
    for side, length in sides.items():
        batch[f"{side}_segment_ids"] = np.ones((ROWS, length), np.int32)
        batch[f"{side}_positions"] = np.tile(
            np.arange(length, dtype=np.int32), (ROWS, 1)
        )
    if "encoder" in sides:
        batch["encoder_input_tokens"] = rng.integers(
            2, 32000, (ROWS, INPUTS), dtype=np.int32
        )
    targets = rng.integers(2, 32000, (ROWS, sides["decoder"]), dtype=np.int32)
    batch["decoder_target_tokens"] = targets
    batch["decoder_input_tokens"] = np.pad(targets, ((0, 0), (1, 0)))[:, :-1]
    batch["decoder_loss_weights"] = np.ones(targets.shape, np.float32)
    return batch


def our_step(
    model_name: str, batch: dict[str, np.ndarray], scan_layers: bool
) -> tuple[Step, int]:
    """(a function that takes the trainer's step and returns its loss, the number of parameters)."""
    import jax

    from flan_jax.cli import gin_settings
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.parallel.sharding import batch_sharding, use_mesh
    from flan_jax.training.settings import TrainConfig
    from flan_jax.training.state import init_state
    from flan_jax.training.step import compiled_step

    config = gin_settings.load_model([f"models/{model_name}.gin"])
    changes = {"dropout_rate": 0.0, "scan_layers": scan_layers}
    changes |= {"start_id": None} if model_name == "llama_nano" else {}
    config, tx, mesh = (
        dataclasses.replace(config, **changes),
        adafactor(LEARNING_RATE),
        make_mesh(),
    )
    compiled = compiled_step(config, tx, TrainConfig(steps=1, seed=0, z_loss=0.0))
    state = [init_state(config, tx, mesh, seed=0)]

    def step() -> float:
        with use_mesh(mesh):
            state[0], sums = compiled(
                state[0], jax.device_put(batch, batch_sharding(mesh))
            )
        jax.block_until_ready(state)
        return float(sums["loss_sum"] / sums["weight_sum"])

    return step, sum(leaf.size for leaf in jax.tree.leaves(state[0].params))


def peer_model(model_name: str) -> Any:
    """The same model in transformers."""
    import torch
    import transformers

    torch.manual_seed(0)
    if model_name == "llama_nano":
        config = transformers.LlamaConfig(
            vocab_size=32000,
            hidden_size=512,
            intermediate_size=1408,
            num_hidden_layers=8,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=64,
            use_cache=False,
        )
        return transformers.LlamaForCausalLM(config).train()
    width, layers, heads, mlp = {
        "t5_1_1_small": (512, 8, 6, 1024),
        "t5_1_1_base": (768, 12, 12, 2048),
    }[model_name]
    config = transformers.T5Config(
        vocab_size=32128,
        d_model=width,
        d_kv=64,
        d_ff=mlp,
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        tie_word_embeddings=False,
        use_cache=False,
    )
    model = transformers.T5ForConditionalGeneration(config).train()
    # transformers 5 ties T5's head to its table whatever the config says; T5 1.1 has its own head.
    model.lm_head = torch.nn.Linear(config.d_model, 32128, bias=False)
    return model


def peer_step(model_name: str, batch: dict[str, np.ndarray]) -> tuple[Step, int]:
    """The same for transformers and its Adafactor."""
    import torch
    import transformers

    model = peer_model(model_name)
    optimizer = transformers.Adafactor(
        model.parameters(),
        lr=LEARNING_RATE,
        scale_parameter=True,
        relative_step=False,
        warmup_init=False,
    )
    tensors = {
        name: torch.from_numpy(value.astype(np.int64)) for name, value in batch.items()
    }
    if model_name == "llama_nano":
        inputs = {"input_ids": tensors["decoder_input_tokens"]}
    else:
        inputs = {
            "input_ids": tensors["encoder_input_tokens"],
            "attention_mask": tensors["encoder_segment_ids"],
            "decoder_input_ids": tensors["decoder_input_tokens"],
        }

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        logits = model(**inputs).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), tensors["decoder_target_tokens"].flatten()
        )
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step, sum(parameter.numel() for parameter in model.parameters())


def take_turns(
    steps: dict[str, Callable[[], float]], rounds: int, per_round: int
) -> dict[str, float]:
    """Returns {name: median seconds of a step}, after a warm-up turn.

    The first step of a turn is not counted: the other side's threads may still spin for a while.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            for i in range(1 + per_round):
                start = time.perf_counter()
                loss = step()
                if turn and i:
                    seconds[name].append(time.perf_counter() - start)
            last = time.perf_counter() - start
            print(
                f"round {turn} {name}: loss {loss:.3f}, last step {last:.3f} s",
                flush=True,
            )
    return {name: statistics.median(values) for name, values in seconds.items()}


def child(side: str, model: str, scan_layers: bool) -> None:
    """Three steps of one side alone, for its memory."""
    batch = example_batch(model)
    if side == "flan_jax":
        # What tensorboardX imports wherever it is installed; none of our users has to install it.
        sys.modules["torch"] = None  # type: ignore[assignment]
    step, _ = (
        our_step(model, batch, scan_layers)
        if side == "flan_jax"
        else peer_step(model, batch)
    )
    for _ in range(3):
        step()
    processes.report()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=MODELS[0], choices=MODELS)
    parser.add_argument("--rounds", type=int, default=6, help="turns of each side")
    parser.add_argument("--per_round", type=int, default=2, help="steps in a turn")
    parser.add_argument(
        "--scan_layers",
        action="store_true",
        help="scan over layers instead of unrolling them",
    )
    parser.add_argument(
        "--child", choices=("flan_jax", "transformers"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.model, arguments.scan_layers)
        return 0
    batch = example_batch(arguments.model)
    try:
        peer, peer_size = peer_step(arguments.model, batch)
    except ImportError as error:
        print(
            f"cannot compare: {error}. Install the peer with: "
            "pip install torch==2.13.0 'transformers>=5,<6'"
        )
        return 2
    ours, size = our_step(arguments.model, batch, arguments.scan_layers)
    # transformers counts the same weights: its parameters are ours under other names.
    if size != peer_size:
        print(f"the two models differ: {size} parameters here, {peer_size} there")
        return 1
    medians = take_turns(
        {"flan_jax": ours, "transformers": peer}, arguments.rounds, arguments.per_round
    )
    count = sum(
        array.size for name, array in batch.items() if name.endswith("segment_ids")
    )
    value, peer_value = (count / medians[name] for name in ("flan_jax", "transformers"))
    flags = [
        "--model",
        arguments.model,
        *(["--scan_layers"] if arguments.scan_layers else []),
    ]
    peaks = [
        processes.run_child(__file__, side, *flags)["peak_gib"]
        for side in ("flan_jax", "transformers")
    ]
    result = {
        "name": f"train_step_{arguments.model}_cpu",
        "value": round(value, 1),
        "unit": "tokens/s",
        "peer": (
            f"transformers {sys.modules['transformers'].__version__} "
            f"on torch {sys.modules['torch'].__version__}"
        ),
        "peer_value": round(peer_value, 1),
        "ratio": round(value / peer_value, 3),
        "peak_gib": round(peaks[0], 2),
        "peer_peak_gib": round(peaks[1], 2),
        "peak_ratio": round(peaks[0] / peaks[1], 2),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
