"""A run directory with made-up results, for the tests of its report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep_directory import mixture_summary, mixture_task, write_json, write_jsonl


def scores(
    *accuracies: float,
    chance: float | None = 50.0,
    metric: str = "accuracy",
    interval: tuple[float, float] | None = None,
) -> dict:
    """Returns the scores of a task in one phase, as eval/<task>.json has them.

    Args:
      *accuracies: the score of each template.
      chance: the score of a blind guess.
      metric: the headline metric.
      interval: the interval of the mean. None leaves it out, as where nothing is known of it.
    """
    mean = sum(accuracies) / len(accuracies)
    content = {
        "metric": metric,
        "mean": mean,
        "best_dev_template": {"template": 0, "score": accuracies[0]},
        "chance": chance,
        "examples": 100,
        "templates": [
            {"template": index, "test": {metric: score}, "validation": {metric: -score}}
            for index, score in enumerate(accuracies)
        ],
    }
    if interval is not None:
        error = (interval[1] - interval[0]) / 3.92
        content |= {"interval": list(interval), "standard_error": error}
    return content


def task(
    name: str,
    cluster: str = "nli",
    held_out: bool = True,
    provenance: str = "generated",
    **phases: dict | None,
) -> dict:
    """Returns the content of eval/<task>.json. `after_none` stands for the phase "after-none"."""
    content = {"task": name, "cluster": cluster, "held_out": held_out}
    content["provenance"] = {"kind": provenance}
    return content | {phase.replace("_", "-"): entry for phase, entry in phases.items()}


def prediction(
    example: int,
    template: int,
    chosen: int,
    *,
    split: str = "test",
    text: str = "Is it so?",
) -> dict:
    """Returns a row of predictions/<task>-<phase>.jsonl; option 1, "no", is right."""
    return {
        "split": split,
        "example": example,
        "template": template,
        "answer": 1,
        "right": [1],
        "inputs": text,
        "chosen": chosen,
        "references": ["no"],
        "prediction": ["yes", "no"][chosen],
        "options": ["yes", "no"],
        "scores": [-1.25, -2.5],
    }


def manifest(
    held_out: str | None = "nli",
    provenance: str = "generated",
    checkpoint: str | None = None,
    step: int | None = None,
) -> dict:
    """Returns the content of manifest.json.

    Args:
      held_out: the held-out cluster.
      provenance: the kind of the rows that are trained on.
      checkpoint: the checkpoint that is scored; None for a run that trains on boolq.
      step: the checkpoint's step.
    """
    boolq = mixture_task("boolq", "reading_comp", provenance, share=1.0)
    identity: dict = {"plan": "5f3a"}
    if checkpoint is not None:
        identity = {"model": {}, "source": {"path": checkpoint, "files": "5f3a"}}
    content = {
        "identity": identity,
        "created": "2026-07-03T09:12:44",
        "versions": {"jax": "0.10.2"},
        "data": {"mixture": "flan", "held_out": held_out, "tokenizer": "spm"},
        "model": {
            "name": "Decoder",
            "parameters": 31457280,
            "flops_per_step": 10**12,
            "scan": True,
            "rate": 1e-6,
        },
        "devices": "8 x cpu",
        "mixture": {},
    }
    if checkpoint is None:
        content["mixture"] = mixture_summary([boolq], ["rte"], steps=2000)
    if step is not None:
        content["step"] = step
    return content


def metrics_row(step: int, loss: float = 2.0) -> dict:
    """Returns a row of metrics.jsonl."""
    return {
        "step": step,
        "loss": loss,
        "accuracy": 40.0,
        "learning_rate": 1e-3,
        "tokens_per_second": 31945.0,
        "z_loss": 0.0,
        "grad_norm": 1.0,
        "supervised_tokens_per_second": 9e3,
        "seconds": 1.0,
    }


def write_run(
    path: Path,
    *tasks: dict,
    predictions: Mapping[str, Sequence[dict]] | None = None,
    metrics: Sequence[dict] = (),
    result: dict | None = None,
    **facts: str | int | None,
) -> Path:
    """Writes a run directory.

    Args:
      path: the directory.
      *tasks: the content of each file of eval/.
      predictions: rows by "task-phase".
      metrics: the rows of metrics.jsonl.
      result: the content of result.json; None while the run is in progress.
      **facts: arguments of `manifest`.

    Returns:
      `path`.
    """
    (path / "predictions").mkdir(parents=True, exist_ok=True)
    write_json(path / "manifest.json", manifest(**facts))
    for number, content in enumerate(tasks):
        write_json(path / "eval" / f"{number}.json", content)
    for name, rows in (predictions or {}).items():
        write_jsonl(path / "predictions" / f"{name}.jsonl", rows)
    write_jsonl(path / "metrics.jsonl", metrics)
    if result:
        write_json(path / "result.json", result)
    return path
