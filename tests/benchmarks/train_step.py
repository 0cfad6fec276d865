"""One full training step on the CPU: flan_jax against Hugging Face transformers on torch.

    pip install .[parity]
    python tests/benchmarks/train_step.py [--model t5_1_1_small] [--rows whole] [--rounds 6]

`--model` is t5_1_1_small or t5_1_1_base (4 rows of 256 input and 64 target tokens), or a decoder:
llama_nano or the shape of SmolLM2 135M (4 rows of 512 tokens), or that of Gemma 3 270M (2 rows). With
`--rows=whole` a decoder's row is one example with loss on every token. With `--rows=flan` it is
packed with examples of a prompt and an answer, and the answers, a fifth of the tokens, have loss;
the peer gets the positions, the mask between examples and the labels -100 that say the same.

Both sides: the same sizes, float32, no dropout, mean token cross-entropy, gradients, and an
Adafactor update at a fixed rate with parameter scaling, no first moment and no relative step; ours
is the trainer's own step, the gradient's norm and the mesh included, and the layers unrolled. Both
decoders begin with the same weights, and their first losses must be equal. After a warm-up the two
take turns, so that other load on the machine meets both; the figures are medians.
`processor_seconds` are those of a step on all cores. `peak_gib` and `peer_peak_gib` are the largest
resident memory of a process that takes three steps of one side and nothing else. The last line
printed is one JSON object, in tokens (inputs and targets) per second. Without transformers it exits
with 2.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from flan_jax.training.adafactor import adafactor

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import processes

ROWS, INPUTS, TARGETS, TOKENS = 4, 256, 64, 512
ENCODER_DECODERS = {
    "t5_1_1_small": {"d_model": 512, "num_layers": 8, "num_heads": 6, "d_ff": 1024},
    "t5_1_1_base": {"d_model": 768, "num_layers": 12, "num_heads": 12, "d_ff": 2048},
}
DECODERS = {
    "llama_nano": {
        "model_type": "llama",
        "vocab_size": 32000,
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 64,
    },
    "smollm2_135m": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "gemma3_270m": {
        "model_type": "gemma3_text",
        "vocab_size": 262144,
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "sliding_window": TOKENS,
    },
}
LEARNING_RATE = 1e-3

Step = Callable[[], float]


def flan_batch(row_count: int) -> dict[str, np.ndarray]:
    """Rows packed with prompts and answers of lengths as FLAN's, without padding.

    Prompts have a median of 60 tokens; some are ten times as long, and answers a word or a paragraph.
    """
    rng = np.random.default_rng(0)
    names = ("segment_ids", "positions", "target_tokens", "input_tokens")
    batch = {
        f"decoder_{name}": np.zeros((row_count, TOKENS), np.int32)
        for name in (*names, "causal_attention")
    }
    loss_weights = np.zeros((row_count, TOKENS), np.float32)
    for row in range(row_count):
        start, number = 0, 0
        while start < TOKENS:
            prompt = int(rng.lognormal(np.log(60), 0.7))
            answer = 1 + int(rng.lognormal(np.log(12), 0.9))
            stop = min(start + prompt + answer, TOKENS)
            example = slice(start, stop)
            number += 1
            tokens = rng.integers(2, 32000, stop - start, dtype=np.int32)
            batch["decoder_segment_ids"][row, example] = number
            batch["decoder_positions"][row, example] = np.arange(stop - start)
            batch["decoder_target_tokens"][row, example] = tokens
            batch["decoder_input_tokens"][row, example] = np.pad(
                tokens, (1, 0), constant_values=1
            )[:-1]
            loss_weights[row, start + prompt : stop] = 1.0
            start = stop
    return batch | {"decoder_loss_weights": loss_weights}


def example_batch(model: str, rows: str) -> dict[str, np.ndarray]:
    """Random tokens without padding; `rows` is "whole" (an example per row) or "flan"."""
    row_count = 2 if model == "gemma3_270m" else ROWS
    if rows == "flan":
        return flan_batch(row_count)
    rng = np.random.default_rng(0)
    sides = (
        {"decoder": TOKENS}
        if model in DECODERS
        else {"encoder": INPUTS, "decoder": TARGETS}
    )
    batch: dict[str, np.ndarray] = {}
    for side, length in sides.items():
        batch[f"{side}_segment_ids"] = np.ones((row_count, length), np.int32)
        batch[f"{side}_positions"] = np.tile(
            np.arange(length, dtype=np.int32), (row_count, 1)
        )
    if "encoder" in sides:
        batch["encoder_input_tokens"] = rng.integers(
            2, 32000, (row_count, INPUTS), dtype=np.int32
        )
    targets = rng.integers(2, 32000, (row_count, sides["decoder"]), dtype=np.int32)
    batch["decoder_target_tokens"] = targets
    # The peer's Gemma has zeros for token 0, whose gradient overflows.
    start = 1 if model in DECODERS else 0
    batch["decoder_input_tokens"] = np.insert(targets[:, :-1], 0, start, axis=1)
    batch["decoder_loss_weights"] = np.ones(targets.shape, np.float32)
    return batch


def our_step(
    model_name: str, batch: dict[str, np.ndarray], scan_layers: bool, folder: str
) -> tuple[Step, int]:
    """(a function that takes the trainer's step and returns its loss, the number of parameters).

    A decoder's sizes and weights are those of a Hugging Face folder.
    """
    import jax

    from flan_jax.cli import gin_settings
    from flan_jax.hardware import run_cpu_programs_in_caller
    from flan_jax.parallel.mesh import make_mesh
    from flan_jax.parallel.sharding import batch_sharding, use_mesh
    from flan_jax.training.settings import TrainConfig
    from flan_jax.training.state import abstract_state_on, init_state, warm_state
    from flan_jax.training.step import compiled_step
    from flan_jax.weights import hugging_face

    run_cpu_programs_in_caller()  # as every program does
    tx, mesh = adafactor(LEARNING_RATE), make_mesh()
    changes = {"dropout_rate": 0.0, "scan_layers": scan_layers}
    if model_name in DECODERS:
        config = hugging_face.read_config(folder)
        changes |= {"start_id": None, "dtype": "float32"}
        config = dataclasses.replace(config, **changes)
        like = abstract_state_on(config, tx, mesh, None).params
        params = hugging_face.load_params(folder, config, like)
        state = [warm_state(params, tx, mesh, seed=0)]
    else:
        config = gin_settings.load_model([f"models/{model_name}.gin"])
        config = dataclasses.replace(config, **changes)
        state = [init_state(config, tx, mesh, seed=0)]
    compiled = compiled_step(config, tx, TrainConfig(steps=1, seed=0, z_loss=0.0))

    def step() -> float:
        with use_mesh(mesh):
            state[0], sums = compiled(
                state[0], jax.device_put(batch, batch_sharding(mesh))
            )
        jax.block_until_ready(state)
        return float(sums["loss_sum"] / sums["weight_sum"])

    return step, sum(leaf.size for leaf in jax.tree.leaves(state[0].params))


def peer_model(model_name: str) -> Any:
    """The same model in transformers, with random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    if model_name in DECODERS:
        sizes = DECODERS[model_name]
        config = transformers.AutoConfig.for_model(**sizes, use_cache=False)
        return transformers.AutoModelForCausalLM.from_config(config).train()
    sizes = ENCODER_DECODERS[model_name]
    config = transformers.AutoConfig.for_model(
        "t5",
        vocab_size=32128,
        d_kv=64,
        num_decoder_layers=sizes["num_layers"],
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        tie_word_embeddings=False,
        use_cache=False,
        **sizes,
    )
    model = transformers.AutoModelForSeq2SeqLM.from_config(config).train()
    # transformers 5 ties T5's head to its table whatever the config says; T5 1.1 has its own head.
    model.lm_head = torch.nn.Linear(config.d_model, 32128, bias=False)
    return model


def peer_inputs(model: Any, batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """The arguments of the peer's model that stand for a batch."""
    import torch

    tensors = {
        name: torch.from_numpy(value.astype(np.int64)) for name, value in batch.items()
    }
    if "encoder_input_tokens" in tensors:
        return {
            "input_ids": tensors["encoder_input_tokens"],
            "attention_mask": tensors["encoder_segment_ids"],
            "decoder_input_ids": tensors["decoder_input_tokens"],
        }
    inputs: dict[str, Any] = {
        "input_ids": tensors["decoder_input_tokens"],
        "position_ids": tensors["decoder_positions"],
    }
    segment_ids = tensors["decoder_segment_ids"]
    if segment_ids.max() > 1:
        same = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
        mask = same & torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()
        inputs["attention_mask"] = mask
        if model.config.model_type == "gemma3_text":
            # No row is longer than the window, so that both kinds of layers have the same mask.
            kinds = ("full_attention", "sliding_attention")
            inputs["attention_mask"] = dict.fromkeys(kinds, mask)
    return inputs


def peer_step(
    model_name: str, batch: dict[str, np.ndarray], folder: str | None = None
) -> tuple[Step, int]:
    """The same for transformers and its Adafactor. Writes the weights into a folder, if given."""
    import torch
    import transformers

    model = peer_model(model_name)
    if folder is not None:
        model.save_pretrained(folder)
    optimizer = transformers.Adafactor(
        model.parameters(),
        lr=LEARNING_RATE,
        scale_parameter=True,
        relative_step=False,
        warmup_init=False,
    )
    inputs = peer_inputs(model, batch)
    targets = batch["decoder_target_tokens"].astype(np.int64)
    has_loss = batch["decoder_loss_weights"] > 0
    labels = torch.from_numpy(np.where(has_loss, targets, -100))

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        logits = model(**inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step, sum(parameter.numel() for parameter in model.parameters())


class Medians(NamedTuple):
    """Medians over the steps of one side, and the loss of its first step."""

    seconds: float
    processor_seconds: float
    first_loss: float


def take_turns(
    steps: dict[str, Step], rounds: int, per_round: int
) -> dict[str, Medians]:
    """Measures the sides in turns, after a warm-up turn.

    The first step of a turn is not counted: the other side's threads may still spin for a while.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    processor_seconds: dict[str, list[float]] = {name: [] for name in steps}
    first_losses: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            for i in range(1 + per_round):
                start, processor_start = time.perf_counter(), time.process_time()
                loss = step()
                last = time.perf_counter() - start
                first_losses.setdefault(name, loss)
                if turn and i:
                    seconds[name].append(last)
                    used = time.process_time() - processor_start
                    processor_seconds[name].append(used)
            print(
                f"round {turn} {name}: loss {loss:.3f}, last step {last:.3f} s",
                flush=True,
            )
    return {
        name: Medians(
            statistics.median(seconds[name]),
            statistics.median(processor_seconds[name]),
            first_losses[name],
        )
        for name in steps
    }


def child(arguments: argparse.Namespace) -> None:
    """Three steps of one side alone, for its memory."""
    batch = example_batch(arguments.model, arguments.rows)
    if arguments.child == "flan_jax":
        # What tensorboardX imports wherever it is installed; none of our users has to install it.
        sys.modules["torch"] = None  # type: ignore[assignment]
        step, _ = our_step(
            arguments.model, batch, arguments.scan_layers, arguments.folder
        )
    else:
        step, _ = peer_step(arguments.model, batch)
    for _ in range(3):
        step()
    processes.report()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = [*ENCODER_DECODERS, *DECODERS]
    parser.add_argument("--model", default=models[0], choices=models)
    parser.add_argument("--rows", default="whole", choices=("whole", "flan"))
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
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rows == "flan" and arguments.model not in DECODERS:
        parser.error("--rows=flan is for decoders: " + ", ".join(DECODERS))
    if arguments.child:
        child(arguments)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return compare(arguments, folder)


def compare(arguments: argparse.Namespace, folder: str) -> int:
    """Measures both sides and prints the result; returns the exit code."""
    model = arguments.model
    batch = example_batch(model, arguments.rows)
    try:
        peer, peer_size = peer_step(model, batch, folder)
    except ImportError as error:
        print(
            f"cannot compare: {error}. Install the peer with: "
            "pip install torch==2.13.0 'transformers>=5,<6'"
        )
        return 2
    ours, size = our_step(model, batch, arguments.scan_layers, folder)
    # transformers counts the same weights: its parameters are ours under other names.
    if size != peer_size:
        print(f"the two models differ: {size} parameters here, {peer_size} there")
        return 1
    sides = {"flan_jax": ours, "transformers": peer}
    measured = take_turns(sides, arguments.rounds, arguments.per_round)
    mine, theirs = measured["flan_jax"], measured["transformers"]
    losses = mine.first_loss, theirs.first_loss
    if model in DECODERS and not np.isclose(*losses, rtol=1e-4):
        print(f"the two models differ: first losses {losses}")
        return 1
    count = sum(
        np.count_nonzero(array)
        for name, array in batch.items()
        if name.endswith("segment_ids")
    )
    value, peer_value = count / mine.seconds, count / theirs.seconds
    flags = ["--model", model, "--rows", arguments.rows, "--folder", folder]
    flags += ["--scan_layers"] if arguments.scan_layers else []
    peaks = [
        processes.run_child(__file__, side, *flags)["peak_gib"]
        for side in ("flan_jax", "transformers")
    ]
    kind = "" if arguments.rows == "whole" else f"_{arguments.rows}"
    result = {
        "name": f"train_step_{model}{kind}_cpu",
        "value": round(value, 1),
        "unit": "tokens/s",
        "peer": (
            f"transformers {sys.modules['transformers'].__version__} "
            f"on torch {sys.modules['torch'].__version__}"
        ),
        "peer_value": round(peer_value, 1),
        "ratio": round(value / peer_value, 3),
        "processor_seconds": round(mine.processor_seconds, 2),
        "peer_processor_seconds": round(theirs.processor_seconds, 2),
        "supervised": round(float(np.mean(batch["decoder_loss_weights"])), 3),
        "peak_gib": round(peaks[0], 2),
        "peer_peak_gib": round(peaks[1], 2),
        "peak_ratio": round(peaks[0] / peaks[1], 2),
    }
    processes.print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
