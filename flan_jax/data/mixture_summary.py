"""What a mixture amounts to: rows, rates, epochs, lengths, truncation, packing, before anything is trained."""

from typing import Any

import numpy as np

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.mixture_data import MixtureData
from flan_jax.tasks.task import get_task


def summarize_mixture(data: MixtureData, plan: MixturePlan, steps: int) -> dict[str, Any]:
    """The mixture as numbers. Lengths are in tokens with EOS; shares are of 1; `epochs` is over `steps` steps.

    {"tasks": [{"task", "cluster", "examples", "filtered", "rate", "share", "epochs", "mean_inputs", "p95_inputs",
    "mean_targets", "p95_targets", "truncated_inputs", "truncated_targets"}, ...], "held_out": [task, ...], "rows_filled": {"inputs", "targets"}, "examples_per_batch",
    "supervised_tokens_per_batch", "real_tokens_per_batch", "set_aside", "batch_size", "lengths", "steps"}

    Packing is measured on the plan's first block.
    """
    block, set_aside = plan.block(0)
    inputs, targets = (lengths.sum() for lengths in plan.example_lengths(block.task, block.index))
    examples_per_batch = len(block.index) / plan.block_steps
    share = plan.rates / plan.rates.sum()
    places = plan.block_steps * plan.batch_size
    if plan.architecture == "encoder_decoder":
        filled = {
            "inputs": inputs / (places * plan.lengths["inputs"]),
            "targets": targets / (places * plan.lengths["targets"]),
        }
    else:
        filled = {"inputs and targets": (inputs + targets) / (places * sum(plan.lengths.values()))}
    return {
        "tasks": [
            _task(
                data, plan, name, int(rate), float(part), float(part * examples_per_batch * steps)
            )
            for name, rate, part in zip(plan.names, plan.rates, share, strict=True)
        ],
        "held_out": list(data.split.held_out),
        "rows_filled": {side: float(value) for side, value in filled.items()},
        "examples_per_batch": examples_per_batch,
        "supervised_tokens_per_batch": float(targets / plan.block_steps),
        "real_tokens_per_batch": float((inputs + targets) / plan.block_steps),
        "set_aside": set_aside,
        "batch_size": plan.batch_size,
        "lengths": plan.lengths,
        "steps": steps,
    }


def _task(
    data: MixtureData, plan: MixturePlan, name: str, rate: int, share: float, draws: float
) -> dict[str, Any]:
    store = data.train[name]
    inputs, targets = store.inputs.lengths + 1, store.targets.lengths + 1
    return {
        "task": name,
        "cluster": get_task(name).cluster,
        "examples": store.meta["examples"],
        "filtered": store.meta.get("filtered", 0),
        "rate": rate,
        "share": share,
        "epochs": draws / store.meta["examples"],
        "mean_inputs": float(np.mean(inputs)),
        "p95_inputs": float(np.percentile(inputs, 95)),
        "mean_targets": float(np.mean(targets)),
        "p95_targets": float(np.percentile(targets, 95)),
        "truncated_inputs": float(np.mean(inputs > plan.lengths["inputs"])),
        "truncated_targets": float(np.mean(targets > plan.lengths["targets"])),
    }
