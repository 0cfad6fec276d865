"""What manifest.json and result.json say of a run."""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import platform
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import MixtureData
from flan_jax.json_files import read_jsonl
from flan_jax.models.config import config_fields
from flan_jax.models.params import count_params
from flan_jax.run_dir import Run
from flan_jax.run_records import AFTER, MixtureSummary, TaskScores, read_all_task_scores
from flan_jax.weights.formats import source_facts

LOSS_CONTRACT = "sum over the supervised tokens of a batch / their number"
PACKAGES = (
    "jax",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "pyarrow",
    "sentencepiece",
    "tokenizers",
)


def identity(
    model: Any, data: MixtureData, plan: MixturePlan, optimizer: Any, train: Any
) -> dict[str, Any]:
    """What may not change while a run goes on. The number of steps may, where the schedule does not depend on it; so may
    how the run is evaluated: scores are known by prompts and scoring of their own (flan_jax.evaluation.evaluate)."""
    settings = dataclasses.asdict(optimizer)
    if optimizer.schedule == "linear":
        settings["steps"] = train.steps
    return {
        "model": config_fields(model),
        "plan": plan.fingerprint,
        # A store's folder is named by the fingerprint of all that shapes its tokens.
        "tokens": zlib.crc32(" ".join(store.folder.name for store in data.train.values()).encode()),
        "optimizer": settings,
        "seed": train.seed,
        "warm_start": train.warm_start,
        "microbatches": train.microbatches,
        "z_loss": train.z_loss,
        "loss": LOSS_CONTRACT,
    }


def initial_params_id(model: Any, train: Any) -> dict[str, Any]:
    """What parameters before training are: the seed's, or those of the warm start as they are on disk now."""
    first = {"seed": train.seed} if train.warm_start is None else source_facts(train.warm_start)
    return {"model": config_fields(model), "source": first}


def trained_params_id(identity: Mapping[str, Any], step: int) -> dict[str, Any]:
    """What a run's parameters after `step` steps are."""
    return {"run": identity, "step": step}


def process_fingerprint(identity: Mapping[str, Any], config_text: str) -> dict[str, Any]:
    """What processes that do a run together must have in common. Tasks' code is in the names of the stores it made."""
    sources = [file.read_bytes() for file in sorted(Path(__file__).parents[1].rglob("*.py"))]
    return {
        "code": hashlib.sha256(b"".join(sources)).hexdigest()[:16],
        "versions": versions(),
        "configuration": hashlib.sha256(config_text.encode()).hexdigest()[:16],
    } | dict(identity)


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what is computed."""
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in PACKAGES
    }


def run_metadata(
    model: Any, config: DataConfig, mesh: Mesh, mixture: MixtureSummary | None = None
) -> dict[str, Any]:
    """Everything else that a reader of the run wants to know before its results. `mixture` is what is trained on, explained."""
    devices = mesh.devices.size
    work = (
        {}
        if mixture is None
        else {"flops_per_step": model.train_flops(config.batch_size, mixture.lengths)}
    )
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "data": {
            "mixture": config.mixture,
            "held_out": config.held_out,
            "source": config.source,
            "tokenizer": config.tokenizer,
        },
        "model": config_fields(model) | {"parameters": count_params(model)} | work,
        "devices": f"{devices} x {jax.devices()[0].device_kind}",
        "mesh": dict(mesh.shape),
        "mixture": {} if mixture is None else mixture.to_json(),
    }


def result(run: Run, step: int) -> dict[str, Any]:
    """Returns the content of result.json: the loss, and the mean score of each task in each phase.

    Args:
      run: a trained run with its scores.
      step: the number of finished training steps.
    """
    rows = [row for row in read_jsonl(run.path / "metrics.jsonl") if "loss" in row]
    tasks = {
        record.task: _task_result(record)
        for record in read_all_task_scores(run.path)
        if AFTER in record.scores
    }
    held_out_means = [task["after"] for task in tasks.values() if task["held_out"]]
    return {
        "step": step,
        "loss": rows[-1]["loss"],
        "seconds": rows[-1]["seconds"],
        "held_out_mean": float(np.mean(held_out_means)) if held_out_means else None,
        "tasks": tasks,
    }


def _task_result(record: TaskScores) -> dict[str, Any]:
    """Returns a task's entry in result.json."""
    after = record.scores[AFTER]
    entry = {
        "cluster": record.cluster,
        "held_out": record.held_out,
        "metric": after.metric,
        "chance": after.chance,
    }
    for phase, scores in record.scores.items():
        entry[str(phase)] = scores.mean
    return entry
