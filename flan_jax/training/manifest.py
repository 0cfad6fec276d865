"""The contents of manifest.json and result.json: the identity, metadata and results of a run."""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import platform
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from flan_jax.data.batch_plan import MixturePlan
from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import MixtureData
from flan_jax.data.row_format import FLAN, RowFormat
from flan_jax.json_files import JsonObject, default_fields, fill_missing, read_jsonl
from flan_jax.models.config import ModelConfig, config_fields
from flan_jax.models.params import count_params
from flan_jax.run_dir import Run
from flan_jax.run_records import AFTER, MixtureSummary, TaskScores, read_all_task_scores
from flan_jax.training.flops import step_flops
from flan_jax.training.optimizers import OptimizerConfig
from flan_jax.training.settings import Settings, TrainConfig
from flan_jax.weights.formats import source_facts
from flan_jax.weights.model_folder import is_gone
from flan_jax.weights.shipped import SHIPPED

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
    settings: Settings, data: MixtureData, plan: MixturePlan
) -> dict[str, object]:
    """Returns what must stay the same while a run goes on.

    The number of steps may change if the schedule does not depend on it, and so may how the run is
    evaluated: scores have an identity of their own (flan_jax.evaluation.score_files). Settings in
    EXECUTION_SETTINGS are recorded as the run began, and may change, too.

    Args:
      settings: the run's settings.
      data: the token stores of the mixture.
      plan: which examples lie in which batch.
    """
    training = settings.training
    optimizer = dataclasses.asdict(settings.optimizer)
    if settings.optimizer.depends_on_steps:
        optimizer["steps"] = training.steps
    # A store's folder is named by the fingerprint of all that its tokens depend on.
    store_names = [store.folder.name for store in data.train.values()]
    content: dict[str, object] = {
        "model": config_fields(settings.model),
        "plan": plan.fingerprint,
        "tokens": zlib.crc32(" ".join(store_names).encode()),
        "optimizer": optimizer,
        "seed": training.seed,
        "warm_start": training.warm_start,
        "microbatches": training.microbatches,
        "z_loss": training.z_loss,
        "loss": LOSS_CONTRACT,
        "row_format": dataclasses.asdict(data.row_tokenizer.format),
    }
    frozen = frozen_params_id(training)
    if frozen is not None:
        content["frozen"] = frozen
    return content


def complete_identity(identity: JsonObject, model: ModelConfig) -> dict[str, Any]:
    """Returns an identity with what it lacks at its default.

    Where a setting was added since a run began, the run had its default: a run goes on as long as
    nothing else differs.

    Args:
      identity: the identity of a run, or of the parameters that an evaluation scores.
      model: the model's configuration, whose class has the defaults.
    """
    training = default_fields(TrainConfig)
    names = ("warm_start", "microbatches", "z_loss")
    complete: dict[str, Any] = {name: training[name] for name in names}
    # Before there was ROW_FORMAT all rows were FLAN's.
    complete["row_format"] = dataclasses.asdict(FLAN)
    complete |= identity
    defaults = {
        "model": default_fields(type(model)),
        "optimizer": default_fields(OptimizerConfig),
        "row_format": default_fields(RowFormat),
    }
    return fill_missing(complete, defaults)


def frozen_params_id(training: TrainConfig) -> dict[str, object] | None:
    """Returns the identity of the frozen parameters; None if all parameters are trained.

    Args:
      training: has the regex of the trained parameters, the seed and the warm start.

    Raises:
      InputError: the warm start is gone.
    """
    if training.trainable is None:
        return None
    return {"trainable": training.trainable, "source": _initial_source(training)}


def initial_params_id(model: ModelConfig, training: TrainConfig) -> dict[str, object]:
    """Returns the identity of the initial parameters: the seed, or the warm-start files.

    Args:
      model: the model's configuration.
      training: has the seed and the warm start.
    """
    return {"model": config_fields(model), "source": _initial_source(training)}


def _initial_source(training: TrainConfig) -> dict[str, object]:
    if training.warm_start is None:
        return {"seed": training.seed}
    return dict(source_facts(training.warm_start))


def start_facts(training: TrainConfig) -> dict[str, object]:
    """Returns what a run starts from, for its reports.

    Args:
      training: has the seed and the warm start.

    Returns:
      The seed of random parameters, or the warm start's path and a hash of its files. A warm start
      that is gone, which a run that goes on does not need, has no hash.
    """
    source = training.warm_start
    if source is None:
        return {"parameters": "random", "seed": training.seed}
    if is_gone(source):
        return {"path": source}
    facts: dict[str, object] = dict(source_facts(source))
    if source in SHIPPED:
        facts["what"] = SHIPPED[source]
    return facts


def trained_params_id(identity: JsonObject, step: int) -> dict[str, object]:
    """Returns the identity of a run's parameters after some steps.

    Args:
      identity: the run's identity.
      step: the number of finished training steps.
    """
    return {"run": identity, "step": step}


def process_fingerprint(identity: JsonObject, config_text: str) -> dict[str, object]:
    """Returns what the processes of one run must have in common.

    Args:
      identity: the run's identity; the code of tasks is in it, by the names of their stores.
      config_text: the whole configuration.
    """
    package = Path(__file__).parents[1]
    sources = [file.read_bytes() for file in sorted(package.rglob("*.py"))]
    fingerprint = {
        "code": hashlib.sha256(b"".join(sources)).hexdigest()[:16],
        "versions": versions(),
        "configuration": hashlib.sha256(config_text.encode()).hexdigest()[:16],
    }
    return fingerprint | dict(identity)


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | packages


def run_metadata(
    model: ModelConfig,
    config: DataConfig,
    mesh: Mesh,
    mixture: MixtureSummary | None = None,
    *,
    trainable: str | None = None,
) -> dict[str, object]:
    """Returns the run's metadata: versions, data, model, devices, mesh, mixture.

    Args:
      model: the model's configuration.
      config: the settings of the data.
      mesh: the devices of the run.
      mixture: the mixture in numbers, see summarize_mixture; None if nothing is trained.
      trainable: regex of the parameters that are trained; None: all.
    """
    model_facts = config_fields(model) | {"parameters": count_params(model)}
    if mixture is not None:
        flops = step_flops(model, config.batch_size, mixture.lengths, trainable)
        model_facts["flops_per_step"] = flops
    held_out = config.held_out
    if config.only is not None:
        held_out = list(config.held_out_clusters)
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "data": {
            "mixture": config.mixture,
            "held_out": held_out,
            "source": config.source,
            "tokenizer": config.tokenizer,
        },
        "model": model_facts,
        "devices": f"{mesh.devices.size} x {jax.devices()[0].device_kind}",
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
