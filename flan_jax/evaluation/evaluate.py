"""Evaluation: scores parameters on tasks and keeps scores and predictions in the run directory."""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flan_jax.data.mixture_data import StoreKey
from flan_jax.evaluation.config import EvalContext
from flan_jax.evaluation.jobs import EvalJob
from flan_jax.evaluation.journal import Journal
from flan_jax.evaluation.predictions import Predictor
from flan_jax.evaluation.score_files import EvalOutput, ScoreFiles
from flan_jax.evaluation.summaries import (
    summarize_by_best_scoring,
    summarize_predictions,
    train_majority,
)
from flan_jax.parallel import multihost
from flan_jax.parallel.preemption import stop_together
from flan_jax.progress import Progress
from flan_jax.pytrees import Params
from flan_jax.run_records import ParamsId, Prediction, PromptScores, phase_name
from flan_jax.tasks.task import get_task

WARN_TRUNCATED_PERCENT = 0.5


def evaluate(
    context: EvalContext, job: EvalJob, params_id: ParamsId, params: Params
) -> None:
    """Scores parameters and writes the scores and predictions into the run directory.

    Does nothing if these scores are already there. After an interruption it resumes and gives the
    same result. Scores before training are shared between runs through `EvalConfig.untuned_dir`.
    In a multi-process run all processes must call it; the run's writer writes the files.

    Args:
      context: what all evaluations of the run have in common.
      job: the prompts to score.
      params_id: the identity of the parameters; scores of other parameters are replaced.
      params: the parameters to score.
    """
    files = ScoreFiles(context, job, params_id)
    if multihost.broadcast_from_zero(files.complete()):
        return

    output = files.read_shared()
    if not multihost.broadcast_from_zero(output is not None):
        # From "calibrated" predictions all other scorings follow.
        scoring = "calibrated" if job.every_scoring else None
        predictor = context.predictor(params, scoring, job.row_tokenizer)
        journal = files.journal(predictor.scorer.rows)
        phase = phase_name(job.phase, params_id)
        output = _predict(job, predictor, journal, phase)
        files.publish_shared(output)

    if output is not None:  # None in processes that do not read the shared scores.
        files.write(output)


def cluster_means(
    context: EvalContext,
    job: EvalJob,
    params: Params,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """Scores parameters and writes nothing.

    Args:
      context: what all evaluations of the run have in common.
      job: the prompts to score.
      params: the parameters to score.
      progress: is called with the number of finished rows after each batch.

    Returns:
      {cluster: mean over its tasks of the tasks' mean scores over templates}.
    """
    predictor = context.predictor(params)
    predictions = predictor.predict(job.stores, job.limits, progress=progress)
    scores = summarize_predictions(predictions, job.held_out)

    by_cluster: dict[str, list[float]] = {}
    for name, task_scores in scores.items():
        by_cluster.setdefault(job.cluster_of[name], []).append(task_scores.mean)
    return {cluster: float(np.mean(means)) for cluster, means in by_cluster.items()}


def _predict(
    job: EvalJob, predictor: Predictor, journal: Journal, phase: str
) -> EvalOutput:
    """Predicts all rows of a job with a progress bar, and computes the scores.

    Args:
      job: the prompts to score.
      predictor: answers them.
      journal: keeps the answers of finished batches.
      phase: what the terminal calls the phase.
    """
    label = phase
    if phase == str(job.phase):
        label = f"evaluate {phase}"
        if not job.phase.prompts:
            label += " training"
    with Progress(label, sum(job.limits.values())) as bar:

        def progress(done: int) -> None:
            stop_together()
            if journal.was_cached:
                bar.skip_to(done)
            else:
                bar.update(done)

        predictions = predictor.predict(
            job.stores, job.limits, cached=journal.get_or_compute, progress=progress
        )

    if job.every_scoring:
        predictions, scores = summarize_by_best_scoring(predictions)
    else:
        scores = summarize_predictions(predictions, job.held_out)
    if job.prompts.shots:
        for name in scores:
            scores[name] = _with_exemplars(job, name, scores[name], predictions)

    lines: dict[str, list[str]] = {name: [] for name in job.tasks}
    for (name, split), rows in predictions.items():
        for row in rows:
            content = {"split": split, **row.to_json()}
            lines[name].append(json.dumps(content, ensure_ascii=False) + "\n")

    _warn_of_truncation(phase, scores)
    return EvalOutput(
        predictions={name: "".join(task_lines) for name, task_lines in lines.items()},
        scores=scores,
    )


def _with_exemplars(
    job: EvalJob,
    name: str,
    scores: PromptScores,
    predictions: Mapping[StoreKey, Sequence[Prediction]],
) -> PromptScores:
    """Returns the scores of a task with what its store knows of the training split.

    Args:
      job: a job with few-shot prompts.
      name: the task.
      scores: its scores.
      predictions: the predictions of all tasks.
    """
    test = (name, "test")
    meta = job.stores[test].meta
    answer = meta.get("most_frequent_answer")
    majority = None
    if answer is not None:
        majority = train_majority(get_task(name), predictions[test], answer)
    return dataclasses.replace(
        scores, exemplars=meta["mean_exemplars"], train_majority=majority
    )


def _warn_of_truncation(phase: str, scores: Mapping[str, PromptScores]) -> None:
    """Prints the tasks whose prompts are often longer than LENGTHS on stderr."""
    truncated = [
        f"{name} {task_scores.truncated:.0f} %"
        for name, task_scores in scores.items()
        if task_scores.truncated is not None
        and task_scores.truncated >= WARN_TRUNCATED_PERCENT
    ]
    if truncated:
        print(
            f"{phase}: truncated prompts (longer than LENGTHS): {', '.join(truncated)}",
            file=sys.stderr,
            flush=True,
        )
