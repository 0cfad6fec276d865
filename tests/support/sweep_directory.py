"""An ablation sweep's directory with made-up results, for the tests and the benchmark of its report."""

import itertools
import json

import numpy as np

CLUSTERS = {
    "nli": {"rte": 2, "cb": 3, "anli_r1": 3, "wnli": 2},
    "commonsense": {"copa": 2, "hellaswag": 4, "piqa": 2},
    "reading_comp": {"bool_q": 2, "openbookqa": 4, "multirc": 2, "squad_v1": None},
    "sentiment": {"sst2": 2, "imdb_reviews": 2, "sentiment140": 2},
    "coreference": {"wsc": 2, "winogrande": 2, "definite_pronoun_resolution": 2},
    "struct_to_text": {"common_gen": None, "dart": None, "e2e_nlg": None, "web_nlg_en": None},
}
"""Tasks by cluster, each with the number of its options; None: its text is generated."""
SETTINGS = {
    "MIXTURE=flan2021": 1.0,
    "MIXTURE=flan2021_1_clusters": 0.2,
    "MIXTURE=flan2021_3_clusters": 0.6,
}
"""How much of a tuned model's gain a setting leaves."""


def write_sweep(
    path,
    *,
    axes=None,
    evaluations=("after",),
    clusters=None,
    states=None,
    templates=5,
    examples=40,
    source="sandbox",
):
    """Writes the sweep of `axes` ({"HELD_OUT": six clusters, "SEED": [0, 1]}: twelve runs) and returns its path.

    states: {run's index: "running" | "failed" | "waiting"}; the others are finished.
    """
    clusters = clusters or CLUSTERS
    axes = axes or {"HELD_OUT": list(clusters), "SEED": [0, 1]}
    plan = {
        "name": "leave_one_cluster_out",
        "gin_files": ["leave_one_cluster_out.gin"],
        "axes": axes,
    }
    plan["fingerprint"] = "5f3a90c1"
    write_json(path / "plan.json", plan)
    runs = []
    for index, values in enumerate(itertools.product(*axes.values())):
        point = dict(zip(axes, values, strict=True))
        name = " ".join(f"{key}={value}" for key, value in point.items())
        run = {
            "index": index,
            "id": f"{index:010x}",
            "name": name,
            "point": point,
            "directory": f"runs/{index:010x}",
        }
        runs.append(
            run | {"tokens": 4_096_000, "flops": 3.2e15, "seconds_estimated": 600.0, "steps": 1000}
        )
        state = (states or {}).get(index, "finished")
        if state != "waiting":
            _write_run(path, runs[-1], state, evaluations, clusters, templates, examples, source)
    write_jsonl(path / "runs.jsonl", runs)
    return path


def _write_run(path, run, state, evaluations, clusters, templates, examples, source):
    folder, point = path / run["directory"], run["point"]
    error = "RuntimeError: the loss is not finite at step 410 <nan>" if state == "failed" else None
    status = {
        "state": state,
        "pid": 4242,
        "host": "tpu-0",
        "started": "2026-07-03T09:12:44",
        "ended": None,
    }
    status |= {"attempts": 1, "seconds": 612.5 if state == "finished" else None, "error": error}
    write_json(path / "status" / f"{run['id']}.json", status)
    (path / "logs").mkdir(exist_ok=True)
    (path / "logs" / f"{run['id']}.log").write_text("a line\n")
    folder.mkdir(parents=True)
    (folder / "config.gin").write_text(
        "".join(f"{key} = {value!r}\n" for key, value in point.items())
    )
    held_out = (
        [point.get("HELD_OUT", "nli")]
        if isinstance(point.get("HELD_OUT", "nli"), str)
        else point["HELD_OUT"]
    )
    write_json(folder / "manifest.json", _manifest(held_out, clusters, source))
    rng = np.random.default_rng([7, run["index"]])
    last = run["steps"] if state == "finished" else 410
    write_jsonl(folder / "metrics.jsonl", _metrics(held_out, last, rng))
    whens = ("before", *evaluations) if state == "finished" else ("before",)
    share = np.prod([SETTINGS.get(f"{key}={value}", 1.0) for key, value in point.items()])
    for cluster, tasks in clusters.items():
        shown = tasks if cluster in held_out else {}
        for task, options in shown.items():
            row = {"task": task, "cluster": cluster, "held_out": True}
            # The same examples are hard for every run, template and time, as in life.
            hardness = np.random.default_rng([1, len(task)]).random(examples)
            for when in whens:
                gain = 0 if when == "before" else _gain(cluster, when) * share
                values = _values(options, gain, hardness, templates, rng)
                row[when] = summary(options, values, rng)
                write_jsonl(
                    folder / "predictions" / f"{task}-{when}.jsonl",
                    predictions(task, options, templates, examples),
                )
            write_json(folder / "eval" / f"{task}.json", row)
    if state == "finished":
        write_json(
            folder / "result.json", {"step": last, "loss": 1.25, "seconds": 598.0, "tasks": {}}
        )


def _gain(cluster, when):
    gain = {"nli": 0.25, "coreference": -0.12, "struct_to_text": 0.02}.get(cluster, 0.15)
    return gain / 2 if when == "after-none" else gain


def _values(options, gain, hardness, templates, rng):
    """Percent, templates x examples."""
    base = (1 / options if options else 0.2) + gain + rng.normal(0, 0.03, (templates, 1))
    noisy = np.clip(hardness + rng.normal(0, 0.1, (templates, len(hardness))), 0, 1)
    return (
        100.0 * (noisy < base)
        if options
        else np.round(100 * np.clip(base + 0.3 * (noisy - 0.5), 0, 1), 2)
    )


def summary(options, values, rng):
    metric, scores = "accuracy" if options else "rouge1", values.mean(axis=1)
    error = float(values.std() / np.sqrt(values.shape[1]))
    mean = float(scores.mean())
    q25, median, q75 = map(float, np.percentile(scores, [25, 50, 75]))
    tests = [
        {
            "template": i,
            "test": {metric: float(score)},
            "validation": {metric: float(score) + rng.normal()},
        }
        for i, score in enumerate(scores)
    ]
    best = max(tests, key=lambda template: template["validation"][metric])
    return {
        "metric": metric,
        "mean": mean,
        "median": median,
        "quartiles": [q25, q75],
        "best_dev_template": {"template": best["template"], "score": best["test"][metric]},
        "interval": [max(0.0, mean - 1.96 * error), min(100.0, mean + 1.96 * error)],
        "standard_error": error,
        "chance": 100 / options if options else None,
        "majority": 100 / options + 4 if options else None,
        "examples": values.shape[1],
        "values": values.tolist(),
        "templates": tests,
    }


def predictions(task, options, templates, examples):
    rows = []
    for example, template in itertools.product(range(examples), range(templates)):
        row = {
            "split": "test" if example % 3 else "validation",
            "example": example,
            "template": template,
        }
        row |= {
            "inputs": f"Example {example} of {task}.\n\nAnna lives in Arden. Is Anna <at home> & well?"
        }
        if options is None:
            row |= {
                "answer": -1,
                "right": [],
                "references": ["Anna is well."],
                "prediction": "Anna is at home.",
            }
        else:
            texts, chosen = [f"option {i}" for i in range(options)], (example + template) % options
            row |= {
                "answer": example % options,
                "right": [example % options],
                "options": texts,
                "chosen": chosen,
            }
            row |= {"references": [texts[example % options]], "prediction": texts[chosen]}
            row |= {"scores": [-1.0 - abs(i - chosen) for i in range(options)]}
        rows.append(row)
    return rows


def _metrics(held_out, last, rng):
    rows = []
    for step in range(10, last + 1, 10):
        loss = 1.2 + 4 * np.exp(-step / 120) + 0.05 * rng.normal()
        row = {"step": step, "loss": float(loss), "accuracy": 70.0, "learning_rate": 1e-3}
        rows.append(row | {"tokens_per_second": 4e4, "seconds": 0.6 * step})
        if step % 200 == 0:
            rows.append(
                {
                    "step": step,
                    "eval": {name: 40 + step / 50 + 3 * rng.random() for name in held_out},
                }
            )
    return rows


def _manifest(held_out, clusters, source):
    rows = []
    for cluster, tasks in clusters.items():
        for task in tasks if cluster not in held_out else ():
            row = {
                "task": task,
                "cluster": cluster,
                "examples": 9427,
                "rate": 3000.0,
                "share": 0.07,
                "epochs": 1.25,
            }
            row |= {
                "mean_inputs": 140.5,
                "mean_targets": 2.5,
                "truncated_inputs": 0.125,
                "truncated_targets": 0.0,
            }
            rows.append(row | {"filtered": 3})
    mixture = {
        "tasks": rows,
        "rows_filled": {"inputs": 0.98, "targets": 0.61},
        "examples_per_batch": 412.3,
    }
    mixture |= {
        "supervised_tokens_per_batch": 9812.4,
        "batch_size": 64,
        "lengths": {"inputs": 512, "targets": 128},
    }
    return {
        "identity": {"plan": "5f3a"},
        "created": "2026-07-03T09:12:44",
        "versions": {"python": "3.11.7", "jax": "0.10.2", "flax": "0.13.0"},
        "data": {"source": source, "mixture": "flan2021", "held_out": held_out, "tokenizer": "spm"},
        "model": {"name": "EncoderDecoder", "parameters": 31457280, "flops_per_step": 3.2e12},
        "devices": "8 x TPU v5 lite",
        "mixture": mixture | {"steps": 1000},
    }


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
