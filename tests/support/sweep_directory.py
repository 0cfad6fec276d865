"""A sweep directory with made-up results, for the tests and the benchmark of its report."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

CLUSTERS = {
    "nli": {"rte": 2, "cb": 3, "anli_r1": 3, "wnli": 2},
    "commonsense": {"copa": 2, "hellaswag": 4, "piqa": 2},
    "reading_comp": {"bool_q": 2, "openbookqa": 4, "multirc": 2, "squad_v1": None},
    "sentiment": {"sst2": 2, "imdb_reviews": 2, "sentiment140": 2},
    "coreference": {"wsc": 2, "winogrande": 2, "definite_pronoun_resolution": 2},
    "struct_to_text": {
        "common_gen": None,
        "dart": None,
        "e2e_nlg": None,
        "web_nlg_en": None,
    },
}
"""Tasks by cluster, each with its number of options; None for generation."""
FEW_CLUSTERS = {
    "nli": {"rte": 2, "cb": 3, "anli_r1": 3},
    "coreference": {"wsc": 2, "winogrande": 2, "wsc273": 2},
}
"""The same, for a small sweep."""
GAINS = {"nli": 0.25, "coreference": -0.12, "struct_to_text": 0.02}
"""What tuning adds to the accuracy of a cluster's tasks; 0.15 for the others."""
SHARE_OF_GAIN = {
    "MIXTURE=flan2021": 1.0,
    "MIXTURE=flan2021_1_clusters": 0.2,
    "MIXTURE=flan2021_3_clusters": 0.6,
}
"""The share of that gain that remains in a setting."""
STEPS = 1000
FAILED_AT = 410


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Scope:
    """What is written for each run of a sweep.

    Attributes:
      clusters: tasks by cluster, each with its number of options.
      phases: the phases after training.
      templates: the number of templates of a task.
      examples: the number of test examples of a task.
      provenance: the kind of the rows' origin.
    """

    clusters: Mapping[str, Mapping[str, int | None]]
    phases: Sequence[str]
    templates: int
    examples: int
    provenance: str


def write_sweep(
    path: Path,
    *,
    axes: Mapping[str, list] | None = None,
    evaluations: Sequence[str] = ("after",),
    clusters: Mapping[str, Mapping[str, int | None]] | None = None,
    states: Mapping[int, str] | None = None,
    templates: int = 5,
    examples: int = 40,
    provenance: str = "generated",
) -> Path:
    """Writes a sweep directory.

    Args:
      path: the directory.
      axes: the values of each axis. By default, six clusters are held out with two seeds each:
        twelve runs.
      evaluations: the phases after training.
      clusters: tasks by cluster, each with its number of options; None for generation.
      states: "running", "failed" or "waiting" by the index of a run; the others are finished.
      templates: the number of templates of a task.
      examples: the number of test examples of a task.
      provenance: the kind of the rows' origin, such as "generated" or "tfds".

    Returns:
      `path`.
    """
    clusters = clusters or CLUSTERS
    axes = axes or {"HELD_OUT": list(clusters), "SEED": [0, 1]}
    states = states or {}
    scope = _Scope(
        clusters=clusters,
        phases=evaluations,
        templates=templates,
        examples=examples,
        provenance=provenance,
    )
    plan = {
        "name": "leave_one_cluster_out",
        "gin_files": ["leave_one_cluster_out.gin"],
        "axes": axes,
        "fingerprint": "5f3a90c1",
    }
    write_json(path / "plan.json", plan)

    runs = []
    for index, values in enumerate(itertools.product(*axes.values())):
        point = dict(zip(axes, values, strict=True))
        run = {
            "index": index,
            "id": f"{index:010x}",
            "name": " ".join(f"{key}={value}" for key, value in point.items()),
            "point": point,
            "directory": f"runs/{index:010x}",
            "tokens": 4_096_000,
            "flops": 3.2e15,
            "seconds_estimated": 600.0,
            "steps": STEPS,
        }
        runs.append(run)
        state = states.get(index, "finished")
        if state != "waiting":
            _write_run(path, run, state, scope)
    write_jsonl(path / "runs.jsonl", runs)
    return path


def _write_run(path: Path, run: Mapping, state: str, scope: _Scope) -> None:
    folder = path / run["directory"]
    point = run["point"]
    is_finished = state == "finished"
    _write_status(path, run["id"], state)
    (path / "logs").mkdir(exist_ok=True)
    (path / "logs" / f"{run['id']}.log").write_text("a line\n")

    folder.mkdir(parents=True)
    config = "".join(f"{key} = {value!r}\n" for key, value in point.items())
    (folder / "config.gin").write_text(config)
    held_out = point.get("HELD_OUT", "nli")
    held_out = [held_out] if isinstance(held_out, str) else held_out
    if "DataConfig.only" in point:
        held_out = [name for name in scope.clusters if name != point["DataConfig.only"]]
    write_json(folder / "manifest.json", _manifest(held_out, scope))

    rng = np.random.default_rng([7, run["index"]])
    last_step = STEPS if is_finished else FAILED_AT
    write_jsonl(folder / "metrics.jsonl", _metrics(held_out, last_step, rng))

    phases = ("before", *scope.phases) if is_finished else ("before",)
    share = np.prod(
        [SHARE_OF_GAIN.get(f"{key}={value}", 1.0) for key, value in point.items()]
    )
    for cluster in scope.clusters:
        if cluster not in held_out:
            continue
        for task, options in scope.clusters[cluster].items():
            row = {"task": task, "cluster": cluster, "held_out": True}
            row["provenance"] = {"kind": scope.provenance}
            # The same examples are hard for every run, template and phase, as in reality.
            hardness = np.random.default_rng([1, len(task)]).random(scope.examples)
            for phase in phases:
                gain = 0 if phase == "before" else _gain(cluster, phase) * share
                values = _values(
                    options, gain, hardness, templates=scope.templates, rng=rng
                )
                row[phase] = summary(options, values, rng)
                rows = predictions(task, options, scope.templates, scope.examples)
                write_jsonl(folder / "predictions" / f"{task}-{phase}.jsonl", rows)
            write_json(folder / "eval" / f"{task}.json", row)

    if is_finished:
        result = {"step": last_step, "loss": 1.25, "seconds": 598.0, "tasks": {}}
        write_json(folder / "result.json", result)


def _write_status(path: Path, run_id: str, state: str) -> None:
    error = None
    if state == "failed":
        error = f"RuntimeError: the loss is not finite at step {FAILED_AT} <nan>"
    status = {
        "state": state,
        "pid": 4242,
        "host": "tpu-0",
        "started": "2026-07-03T09:12:44",
        "ended": None,
        "attempts": 1,
        "seconds": 612.5 if state == "finished" else None,
        "error": error,
    }
    write_json(path / "status" / f"{run_id}.json", status)


def _gain(cluster: str, phase: str) -> float:
    gain = GAINS.get(cluster, 0.15)
    return gain / 2 if phase == "after-none" else gain


def _values(
    options: int | None,
    gain: float,
    hardness: np.ndarray,
    *,
    templates: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns scores in percent, float[templates, examples]."""
    chance = 1 / options if options else 0.2
    quality = chance + gain + rng.normal(0, 0.03, (templates, 1))
    noise = rng.normal(0, 0.1, (templates, len(hardness)))
    noisy_hardness = np.clip(hardness + noise, 0, 1)
    if options:
        return 100.0 * (noisy_hardness < quality)
    return np.round(100 * np.clip(quality + 0.3 * (noisy_hardness - 0.5), 0, 1), 2)


def summary(options: int | None, values: np.ndarray, rng: np.random.Generator) -> dict:
    """Returns the scores of a task in one phase, as eval/<task>.json has them."""
    metric = "accuracy" if options else "rouge1"
    scores = values.mean(axis=1)
    error = float(values.std() / np.sqrt(values.shape[1]))
    mean = float(scores.mean())
    q25, median, q75 = map(float, np.percentile(scores, [25, 50, 75]))
    templates = [
        {
            "template": index,
            "test": {metric: float(score)},
            "validation": {metric: float(score) + rng.normal()},
        }
        for index, score in enumerate(scores)
    ]
    best = max(templates, key=lambda template: template["validation"][metric])
    return {
        "metric": metric,
        "mean": mean,
        "median": median,
        "quartiles": [q25, q75],
        "best_dev_template": {
            "template": best["template"],
            "score": best["test"][metric],
        },
        "interval": [max(0.0, mean - 1.96 * error), min(100.0, mean + 1.96 * error)],
        "standard_error": error,
        "chance": 100 / options if options else None,
        "majority": 100 / options + 4 if options else None,
        "examples": values.shape[1],
        "values": values.tolist(),
        "templates": templates,
    }


def predictions(
    task: str, options: int | None, templates: int, examples: int
) -> list[dict]:
    """Returns the rows of predictions/<task>-<phase>.jsonl."""
    rows = []
    for example, template in itertools.product(range(examples), range(templates)):
        prompt = {
            "split": "test" if example % 3 else "validation",
            "example": example,
            "template": template,
            "inputs": f"Example {example} of {task}.\n\nAnna lives in Arden. "
            "Is Anna <at home> & well?",
        }
        if options is None:
            answer = {
                "answer": -1,
                "right": [],
                "references": ["Anna is well."],
                "prediction": "Anna is at home.",
            }
        else:
            answer = _choice(
                options, right=example % options, chosen=(example + template) % options
            )
        rows.append(prompt | answer)
    return rows


def _choice(options: int, right: int, chosen: int) -> dict:
    """Returns what a prediction by rank classification has beside its prompt."""
    texts = [f"option {index}" for index in range(options)]
    return {
        "answer": right,
        "right": [right],
        "options": texts,
        "chosen": chosen,
        "references": [texts[right]],
        "prediction": texts[chosen],
        "scores": [-1.0 - abs(index - chosen) for index in range(options)],
    }


def _metrics(
    held_out: Sequence[str], last_step: int, rng: np.random.Generator
) -> list[dict]:
    """Returns the rows of metrics.jsonl."""
    rows = []
    for step in range(10, last_step + 1, 10):
        loss = 1.2 + 4 * np.exp(-step / 120) + 0.05 * rng.normal()
        row = {
            "step": step,
            "loss": float(loss),
            "accuracy": 70.0,
            "learning_rate": 1e-3,
            "tokens_per_second": 4e4,
            "seconds": 0.6 * step,
        }
        rows.append(row)
        if step % 200 == 0:
            means = {name: 40 + step / 50 + 3 * rng.random() for name in held_out}
            rows.append({"step": step, "eval": means})
    return rows


def _manifest(held_out: Sequence[str], scope: _Scope) -> dict:
    held_out_tasks = []
    mixture_tasks = []
    for cluster, tasks in scope.clusters.items():
        for task in tasks:
            if cluster in held_out:
                held_out_tasks.append(task)
            else:
                mixture_tasks.append(mixture_task(task, cluster, scope.provenance))
    return {
        "identity": {"plan": "5f3a"},
        "created": "2026-07-03T09:12:44",
        "versions": {"python": "3.11.7", "jax": "0.10.2", "flax": "0.13.0"},
        "data": {
            "source": "sandbox"
            if scope.provenance == "generated"
            else scope.provenance,
            "mixture": "flan2021",
            "held_out": held_out,
            "tokenizer": "spm",
        },
        "model": {
            "name": "EncoderDecoder",
            "parameters": 31457280,
            "flops_per_step": 3.2e12,
        },
        "devices": "8 x TPU v5 lite",
        "mixture": mixture_summary(mixture_tasks, held_out_tasks, steps=STEPS),
    }


def mixture_summary(tasks: list[dict], held_out: list[str], steps: int) -> dict:
    """Returns the mixture of a manifest."""
    return {
        "tasks": tasks,
        "held_out": held_out,
        "rows_filled": {"inputs": 0.98, "targets": 0.61},
        "examples_per_batch": 412.3,
        "supervised_tokens_per_batch": 9812.4,
        "batch_size": 64,
        "lengths": {"inputs": 512, "targets": 128},
        "steps": steps,
    }


def mixture_task(task: str, cluster: str, provenance: str, share: float = 0.07) -> dict:
    """Returns a task of a manifest's mixture."""
    return {
        "task": task,
        "cluster": cluster,
        "examples": 9427,
        "rate": 3000,
        "share": share,
        "epochs": 1.25,
        "mean_inputs": 140.5,
        "p95_inputs": 300.0,
        "mean_targets": 2.5,
        "p95_targets": 4.0,
        "truncated_inputs": 0.125,
        "truncated_targets": 0.0,
        "filtered": 3,
        "provenance": {"kind": provenance},
    }


def write_json(path: Path, content: object) -> None:
    """Writes a JSON file and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_jsonl(path: Path, rows: Sequence[Mapping]) -> None:
    """Writes a JSON-lines file and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_folder(sweep: Path, index: int) -> Path:
    """Returns the directory of a run."""
    return sweep / "runs" / f"{index:010x}"


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    """Changes the object in a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
