"""The files of an evaluation in a run directory."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flan_jax.data.row_format import FLAN, RowFormat
from flan_jax.decoding.generation import GREEDY, GenerationConfig
from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalContext
from flan_jax.evaluation.jobs import EvalJob
from flan_jax.evaluation.journal import Journal
from flan_jax.json_files import (
    JsonObject,
    atomic_folder,
    default_fields,
    fill_missing,
    read_json,
    without_keys,
    write_json,
    write_text,
)
from flan_jax.models.config import EXECUTION_SETTINGS
from flan_jax.run_dir import Run
from flan_jax.run_records import (
    ParamsId,
    Phase,
    PromptScores,
    TaskScores,
    predictions_file,
    read_task_scores,
    scores_file,
    write_task_scores,
)
from flan_jax.tasks.prompts import Prompts

VERSION = 2
"""Part of the identity of scores. Raise it when equal inputs give other scores."""


class EvalOutput(NamedTuple):
    """What an evaluation writes.

    Attributes:
      predictions: the JSON lines of each task's predictions.
      scores: the scores of each task.
    """

    predictions: Mapping[str, str]
    scores: Mapping[str, PromptScores]


class ScoreFiles:
    """The files of one evaluation job in a run directory.

    eval/<task>.json              the scores, one entry a phase
    predictions/<task>-<phase>.jsonl
    predictions/<phase>.json      the identity of the scores, without which none counts
    predictions/<phase>.partial   the finished batches of an interrupted evaluation
    """

    def __init__(self, context: EvalContext, job: EvalJob, params_id: ParamsId):
        """Creates no file.

        Args:
          context: has the run directory and the settings.
          job: the prompts that are scored.
          params_id: the identity of the parameters that are scored.
        """
        self._run = context.run
        self._job = job
        self._identity = _identity(context, job, params_id)
        self._untuned_dir = context.config.untuned_dir
        self._defaults = {
            "prompts": default_fields(Prompts),
            "generation": default_fields(GenerationConfig),
            "row_format": default_fields(RowFormat),
            "weights.model": default_fields(type(context.model)),
        }

    def complete(self) -> bool:
        """Returns whether the run holds everything that `write` would write."""
        if not self._job.stores:
            return True
        written = _read_identity(self._run, self._job.phase)
        if not self._same_conditions(written):
            return False
        if not self._identity["stores"].items() <= written["stores"].items():
            return False
        return all(self._has_scores(task) for task in self._job.tasks)

    def journal(self, rows: int) -> Journal:
        """Opens the cache of finished batches. All processes must call it.

        Args:
          rows: the number of rows of a batch; batches of another size are not reused.
        """
        path = self._run.path / "predictions" / f"{self._job.phase}.partial"
        return Journal(
            path, self._identity | {"rows": rows}, is_writer=self._run.is_writer
        )

    def write(self, output: EvalOutput) -> None:
        """Writes scores and predictions, and their identity last. Only the run's writer writes.

        Scores of the same phase that have other conditions (parameters, prompts, settings) are
        deleted, also those of tasks that are not part of the job.

        Args:
          output: the predictions and scores of the job's tasks.
        """
        if not self._run.is_writer:
            return
        phase = self._job.phase
        written = _read_identity(self._run, phase)
        if not self._same_conditions(written):
            delete_scores(self._run, phase)
            written = {"stores": {}}

        for task, scores in output.scores.items():
            write_text(
                predictions_file(self._run.path, task, phase), output.predictions[task]
            )
            self._write_scores(task, scores)
        write_json(
            _identity_file(self._run, phase),
            {
                "conditions": self._identity["conditions"],
                "stores": written["stores"] | self._identity["stores"],
            },
        )
        partial = self._run.path / "predictions" / f"{phase}.partial"
        partial.unlink(missing_ok=True)

    def read_shared(self) -> EvalOutput | None:
        """Returns the scores that another run has put into `EvalConfig.untuned_dir`.

        Returns:
          The scores, or None if there are none, if they are not shared, or if this process does not
          write the run.

        Raises:
          InputError: `untuned_dir` cannot be written.
        """
        folder = self._shared_folder()
        if folder is None or not self._run.is_writer:
            return None
        content = read_json(folder / "scores.json")
        if content is None:
            return None
        predictions = {
            task: (folder / f"{task}.jsonl").read_text("utf-8")
            for task in self._job.tasks
        }
        scores = {
            task: PromptScores.from_json(task_scores)
            for task, task_scores in content["scores"].items()
        }
        return EvalOutput(predictions, scores)

    def publish_shared(self, output: EvalOutput) -> None:
        """Puts scores into `EvalConfig.untuned_dir`, unless another run did so before.

        Does nothing if scores of this phase are not shared, or if this process does not write the
        run.

        Args:
          output: the predictions and scores of the job's tasks.
        """
        folder = self._shared_folder()
        if folder is None or not self._run.is_writer:
            return
        scores = {
            task: task_scores.to_json() for task, task_scores in output.scores.items()
        }
        try:
            with atomic_folder(folder) as temporary:
                for task, text in output.predictions.items():
                    write_text(temporary / f"{task}.jsonl", text)
                content = {"identity": self._identity, "scores": scores}
                write_json(temporary / "scores.json", content)
        except FileExistsError:
            pass  # Another run was faster; its scores are the same.

    def _same_conditions(self, written: JsonObject) -> bool:
        """Returns whether the conditions of written scores agree in all that changes scores."""
        ours = self._comparable(self._identity["conditions"])
        theirs = self._comparable(written.get("conditions", {}))
        return ours == theirs

    def _comparable(self, conditions: JsonObject) -> JsonObject:
        """Returns the conditions that change scores.

        Scores from before there was a setting were made with its default.
        """
        filled = fill_missing(conditions, self._defaults)
        return without_keys(filled, EXECUTION_SETTINGS)

    def _has_scores(self, task: str) -> bool:
        record = read_task_scores(scores_file(self._run.path, task))
        return record is not None and self._job.phase in record.scores

    def _write_scores(self, task: str, scores: PromptScores) -> None:
        """Adds the scores of this phase to a task's file."""
        path = scores_file(self._run.path, task)
        record = read_task_scores(path)
        phases = {} if record is None else dict(record.scores)
        phases[self._job.phase] = scores
        record = TaskScores(
            task=task,
            cluster=self._job.cluster_of[task],
            held_out=task in self._job.held_out,
            scores=phases,
            provenance=self._job.provenance(task),
        )
        write_task_scores(path, record)

    def _shared_folder(self) -> Path | None:
        """Returns the folder that all runs share for these scores; None if each run has its own."""
        if self._job.phase.time != "before" or self._untuned_dir is None:
            return None
        text = json.dumps(self._identity, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        folder = Path(self._untuned_dir).expanduser() / name
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"EvalConfig.untuned_dir {folder.parent} cannot be written ({error.strerror}); "
                "name another folder, or None to keep the scores in the run alone"
            ) from None
        return folder


def scored_params_id(run: Run, phase: Phase) -> ParamsId | None:
    """Returns the identity of the parameters whose scores a run holds.

    Args:
      run: the run directory.
      phase: the phase of the scores.

    Returns:
      The identity, or None if the run holds no scores of this phase.
    """
    return _read_identity(run, phase).get("conditions", {}).get("weights")


def delete_scores(run: Run, phase: Phase) -> None:
    """Deletes the scores, predictions and identity of a phase. Only the run's writer deletes.

    Args:
      run: the run.
      phase: the phase whose scores are deleted; those of other phases stay.
    """
    if not run.is_writer:
        return
    # The identity goes first: without it no score counts, even if this process is killed here.
    _identity_file(run, phase).unlink(missing_ok=True)
    for path in (run.path / "eval").glob("*.json"):
        record = read_task_scores(path)
        if record is not None and phase in record.scores:
            phases = {
                key: scores for key, scores in record.scores.items() if key != phase
            }
            write_task_scores(path, dataclasses.replace(record, scores=phases))
    for path in (run.path / "predictions").glob("*.jsonl"):
        _, _, name = path.stem.partition("-")
        if name == str(phase):
            path.unlink()


def delete_other_scores(run: Run, phases: Sequence[Phase]) -> None:
    """Deletes the scores of all phases but these."""
    for path in (run.path / "predictions").glob("*.json"):
        phase = Phase.parse(path.stem)
        if phase not in phases:
            delete_scores(run, phase)


def _identity(
    context: EvalContext, job: EvalJob, params_id: ParamsId
) -> dict[str, Any]:
    """Returns the identity of scores as plain JSON.

    >>> _identity(context, job, params_id)
    {'conditions': {'version': 2, 'weights': ...}, 'stores': {'rte/test': ['rte-0f3a', 2770]}}

    "conditions" is common to all tasks of a phase. "stores" has the folder of each store, whose
    name is the fingerprint of everything that determines its tokens, and the number of scored rows.
    """
    conditions: dict[str, Any] = {
        "version": VERSION,
        "weights": params_id,
        "prompts": dataclasses.asdict(job.prompts),
        "scoring": "best" if job.every_scoring else context.config.scoring,
        "lengths": context.lengths,
    }
    # Absent by default, so that scores from before these settings existed stay valid.
    if context.config.generation != GREEDY:
        conditions["generation"] = dataclasses.asdict(context.config.generation)

    row_format = (job.row_tokenizer or context.row_tokenizer).format
    if row_format != FLAN:
        conditions["row_format"] = dataclasses.asdict(row_format)

    stores = {
        f"{name}/{split}": [store.folder.name, job.limits[name, split]]
        for (name, split), store in job.stores.items()
    }
    return json.loads(json.dumps({"conditions": conditions, "stores": stores}))


def _identity_file(run: Run, phase: Phase) -> Path:
    return run.path / "predictions" / f"{phase}.json"


def _read_identity(run: Run, phase: Phase) -> dict[str, Any]:
    """Returns the identity of the scores of a phase; {} if there are none."""
    return read_json(_identity_file(run, phase)) or {}
