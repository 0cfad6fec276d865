"""The files of an evaluation in a run directory: scores, predictions, and what they were made of."""

import dataclasses
import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalConfig, EvalContext, EvalJob
from flan_jax.json_files import JsonObject, read_json, without_keys, write_json, write_text
from flan_jax.models.config import EXECUTION_SETTINGS
from flan_jax.run_dir import Run
from flan_jax.tasks.task import get_task

VERSION = 2
"""Part of what an evaluation is known by. Raise it when predictions or summaries come out otherwise than before."""


def is_scored(evaluating: EvalContext, evaluation: EvalJob, weights: Mapping[str, Any]) -> bool:
    """Whether `score` has written all that it would write now."""
    identity, there = (
        _identity(evaluating, evaluation, weights),
        _scored(evaluating.run, evaluation.when),
    )
    return not evaluation.stores or (
        _same_conditions(there, identity)
        and identity["stores"].items() <= there["stores"].items()
        and all(evaluation.when in _scores(evaluating.run, name) for name in evaluation.tasks)
    )


def scored_weights(run: Run, when: str) -> Mapping[str, Any] | None:
    """The `weights` whose scores are under `when`; None where there are none."""
    return _scored(run, when).get("conditions", {}).get("weights")


def delete_scores(run: Run, when: str) -> None:
    """Removes the scores under `when`, and what they were made of."""
    if not run.is_writer:
        return
    folder = run.path / "predictions"
    (folder / f"{when}.json").unlink(missing_ok=True)  # first: without it nothing counts as scored
    for file in (run.path / "eval").glob("*.json"):
        scores = read_json(file) or {}
        if scores.pop(when, None) is not None:
            write_json(file, scores)
    for file in folder.glob("*.jsonl"):
        if file.stem.partition("-")[2] == when:
            file.unlink()


def delete_other_scores(run: Run, kept: Sequence[str]) -> None:
    """Removes the scores of evaluations that are no longer asked for."""
    for when in {file.stem for file in (run.path / "predictions").glob("*.json")} - {*kept}:
        delete_scores(run, when)


def _identity(
    evaluating: EvalContext, evaluation: EvalJob, weights: Mapping[str, Any]
) -> dict[str, Any]:
    """What scores are known by: {"conditions": what all tasks share, "stores": {"rte/test": [its folder, rows]}}."""
    conditions = {
        "version": VERSION,
        "weights": weights,
        "prompts": dataclasses.asdict(evaluation.prompts),
        "scoring": evaluating.config.scoring,
        "lengths": evaluating.lengths,
    }
    # A store's folder is named by the fingerprint of all that shapes its tokens.
    stores = {
        f"{name}/{split}": [store.folder.name, evaluation.limits[name, split]]
        for (name, split), store in evaluation.stores.items()
    }
    return json.loads(json.dumps({"conditions": conditions, "stores": stores}))


def _same_conditions(one: JsonObject, other: JsonObject) -> bool:
    """Whether two identities of scores say the same of all that changes scores."""
    conditions = [without_keys(x.get("conditions", {}), EXECUTION_SETTINGS) for x in (one, other)]
    return conditions[0] == conditions[1]


def _scored(run: Run, when: str) -> dict[str, Any]:
    """The identity of the scores under `when`; {} where there are none."""
    return read_json(run.path / "predictions" / f"{when}.json") or {}


def _scores(run: Run, task: str) -> dict[str, Any]:
    return read_json(run.path / "eval" / f"{task}.json") or {}


def write_scores(
    run: Run,
    evaluation: EvalJob,
    identity: Mapping[str, Any],
    texts: Mapping[str, str],
    scores: Mapping[str, Any],
) -> None:
    """Writes an evaluation into the run; last its identity, without which it does not count."""
    when, there = evaluation.when, _scored(run, evaluation.when)
    if not _same_conditions(there, identity):
        delete_scores(run, when)  # of other parameters or prompts, maybe on other tasks, too
        there = {}
    for name, summary in scores.items():
        write_text(run.path / "predictions" / f"{name}-{when}.jsonl", texts[name])
        about = {
            "task": name,
            "cluster": get_task(name).cluster,
            "held_out": name in evaluation.held_out,
        }
        write_json(run.path / "eval" / f"{name}.json", _scores(run, name) | about | {when: summary})
    stores = there.get("stores", {}) | identity["stores"]
    write_json(
        run.path / "predictions" / f"{when}.json",
        {"conditions": identity["conditions"], "stores": stores},
    )


def _shared_folder(config: EvalConfig, when: str, identity: Mapping[str, Any]) -> Path | None:
    """Where all runs keep these scores; None where each keeps its own."""
    if not when.startswith("before") or config.untuned_dir is None:
        return None
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(config.untuned_dir).expanduser() / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"EvalConfig.untuned_dir {folder.parent} cannot be written ({error.strerror})"
        ) from None
    return folder


def _shared_scores(
    folder: Path, evaluation: EvalJob
) -> tuple[dict[str, str], dict[str, Any]] | None:
    """(lines of predictions, summary) of each task, where another run has left them."""
    kept = read_json(folder / "scores.json")
    if kept is None:
        return None
    return {name: (folder / f"{name}.jsonl").read_text("utf-8") for name in evaluation.tasks}, kept[
        "scores"
    ]


def publish_shared(folder: Path, texts: Mapping[str, str], content: Mapping[str, Any]) -> None:
    """Fills `folder` at once, unless another process did so before."""
    temporary = folder.parent / f".tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}-{socket.gethostname()}"
    try:
        temporary.mkdir()
        for name, text in texts.items():
            write_text(temporary / f"{name}.jsonl", text)
        write_json(temporary / "scores.json", content)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not (folder / "scores.json").is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
