"""What the runs of a sweep were: learning curves, mixture, leakage audit, cost, software, settings, predictions."""

import csv
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from flan_jax.reports import html, sweep_figures
from flan_jax.reports.mixture import mixture_section
from flan_jax.reports.predictions import example
from flan_jax.reports.sweep_results import Sweep, SweepRun, label, sample_lines
from flan_jax.reports.sweep_scores import Results, Scored

EXAMPLES = 6
"""Predictions shown of a task."""
LONG = 24
"""Tables of more runs are folded."""
PUBLISHED = Path(__file__).with_name("published_results.csv")
REAL = {"tfds", "jsonl"}
"""Sources of the datasets' own rows."""
NOT_COMPARABLE = "The rows of these runs are generated: no comparison of their scores with published ones is meaningful."
Damaged = (LookupError, TypeError, ValueError, AttributeError)
"""What a manifest or a prediction that lacks something raises where it is shown."""


def sources(sweep: Sweep) -> set[str]:
    return {str(_section(run, "data").get("source")) for run in sweep.runs if run.manifest}


def _section(run: SweepRun, name: str) -> Mapping[str, Any]:
    """A section of manifest.json; {} where it has none."""
    section = run.manifest.get(name)
    return section if isinstance(section, Mapping) else {}


def not_evaluated(run: SweepRun) -> Mapping[str, str]:
    """Why some of a run's tasks have no scores."""
    return {str(task): str(reason) for task, reason in _section(run, "not_evaluated").items()}


def base(whole: Results) -> Iterator[html.Block]:
    """What the model was that all runs start from."""
    run = whole.sweep.base
    if run is None:
        return
    yield html.heading("Base model")
    mixture, parameters = (
        _section(run, "data").get("mixture"),
        _section(run, "model").get("parameters"),
    )
    tokens, steps = (html.show(run.plan.get(key)) for key in ("tokens", "steps"))
    text = f"All runs start from one model, trained from scratch on {mixture or 'its own mixture'} ({run.state})"
    text += f"; {parameters:,} parameters" if isinstance(parameters, int) else ""
    text += f"; {steps} steps of {tokens} tokens in all"
    text += f"; {run.seconds:,.0f} seconds" if run.seconds is not None else ""
    if len(run.losses):
        step, loss = run.losses[-1]
        text += f"; loss {loss:.3f} at step {step:,.0f}"
    config = (run.path / "config.gin").relative_to(whole.sweep.path)
    yield html.paragraph(f"{text}. Its configuration: {config}.")
    if len(run.losses):
        yield html.Block(sweep_figures.curves([run.losses], {}, "the base model"))


def curves(whole: Results) -> Iterator[html.Block]:
    """Loss by step, and the held-out means during training of the setting that is shown."""
    losses = [run.losses for run in whole.sweep.runs if len(run.losses)]
    yield html.heading("Learning curves")
    if not losses:
        yield html.placeholder("no training step is logged")
        return
    points: dict[str, dict[float, list[float]]] = {}
    for run in whole.sweep.runs:
        for row in run.evaluated if whole.sweep.setting(run) == whole.sweep.shown else ():
            for cluster, mean in row.items():
                if (
                    cluster != "step"
                    and cluster in {c.name for c in whole.shown}
                    and isinstance(mean, int | float)
                ):
                    points.setdefault(cluster, {}).setdefault(row["step"], []).append(mean)
    evaluated = {
        cluster: np.array([[step, np.mean(means)] for step, means in sorted(by_step.items())])
        for cluster, by_step in points.items()
    }
    yield html.Block(sweep_figures.curves(losses, evaluated))
    what = f"Training loss of {len(losses)} runs"
    yield html.paragraph(
        f"{what}{'; held-out clusters scored during training, mean over runs' * bool(evaluated)}.",
        "caption",
    )
    if not evaluated:
        yield html.paragraph("No run scored held-out clusters during training.")


def _long(table: html.Block, rows: int) -> html.Block:
    return html.folded(f"{rows} runs", table) if rows > LONG else table


def published(whole: Results) -> Iterator[html.Block]:
    """Numbers of papers for the same clusters and datasets; beside ours only where the rows are the datasets' own."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        facts = list(csv.DictReader(file))
    rows = []
    for fact in facts:
        found = _ours(whole, fact)
        if found:
            # A cluster's published mean is of other datasets and metrics (F1a of MultiRC) than ours.
            measured = fact["kind"] == "tasks" and all("after" in scored.scores for scored in found)
            ours = (
                float(np.mean([scored.scores["after"].mean for scored in found]))
                if measured
                else None
            )
            about = [fact[key] for key in ("name", "metric", "system", "setting", "source")]
            rows.append([*about, float(fact["value"]), ours])
    yield html.heading("Published numbers")
    if not rows:
        yield html.paragraph("None is known here of these clusters and datasets.", "missing")
        return
    columns = ["cluster or datasets", "metric", "system", "setting", "source", "published"]
    if sources(whole.sweep) <= REAL:
        columns.append("measured here, tuned")
        text = (
            "Published: copied from the named source, not measured here; other models, prompts and subsets of the data. Of a "
            "cluster's published mean there is none of ours: it is of other datasets and metrics."
        )
        yield html.paragraph(text)
    else:
        rows = [row[:-1] for row in rows]
        yield html.paragraph(f"For context only. {NOT_COMPARABLE}", "note")
    yield html.table_block(columns, rows, texts=5, dense=True)


def _ours(whole: Results, fact: Mapping[str, str]) -> list[Scored]:
    """Our scores of what a published number is of; [] if we have not all of it."""
    if fact["kind"] == "cluster":
        return [c.mean for c in whole.shown if c.name == fact["name"] and c.mean]
    tasks = {
        task.name: task
        for cluster in whole.shown
        for task in cluster.tasks
        if task.metric == fact["metric"]
    }
    names = fact["name"].split()
    return [tasks[name] for name in names] if all(name in tasks for name in names) else []


def mixture(whole: Results) -> Iterator[html.Block]:
    """What each run trained on, and the mixture of one task by task."""
    rows, first = [], None
    for run in whole.sweep.runs:
        about = _section(run, "mixture")
        try:
            tasks, per_step = about["tasks"], about["supervised_tokens_per_batch"]
            clusters = len({task["cluster"] for task in tasks})
            examples = sum(task["examples"] for task in tasks)
            sizes = [
                len(tasks),
                clusters,
                examples,
                about.get("steps"),
                about["batch_size"],
                float(per_step),
            ]
            detail = mixture_section(about)
        except Damaged:
            continue
        rows.append([run.name, str(_section(run, "data").get("mixture")), *sizes])
        first = first or (run, detail)
    yield html.heading("Mixture")
    if first is None:
        yield html.placeholder("no manifest.json describes a mixture")
        return
    columns = "run,mixture,tasks,clusters,examples,steps,batch,supervised tokens a step"
    yield _long(html.table_block(columns, rows, texts=2), len(rows))
    detail = html.Block(first[1].partition("</h2>")[2])
    yield html.Block(html.folded(f"Task by task: {first[0].name}", detail).html)


def leakage(whole: Results) -> Iterator[html.Block]:
    """The audits that the runs keep, and the commands for those that no run has yet."""
    yield html.heading("Leakage audit")
    audited = [run for run in whole.sweep.runs if run.leakage is not None]
    done = set(map(_data, audited))
    # Runs of one mixture and one held-out cluster share what an audit finds.
    missing = {
        _data(run): run
        for run in reversed(whole.sweep.runs)
        if run.manifest and _data(run) not in done
    }
    if missing:
        places = [run.path.relative_to(whole.sweep.path) for run in reversed(missing.values())][
            :LONG
        ]
        lines = [f"python launch/leakage.py --run_dir=$SWEEP_DIR/{place}" for place in places]
        lines.append("python -m flan_jax.reports.sweep_report $SWEEP_DIR")
        yield html.paragraph(
            f"{len(missing)} of {len(done) + len(missing)} pairs of a mixture and what it holds out are not audited yet. "
            "An audit takes a minute or more of a processor. With SWEEP_DIR, this sweep's directory:"
        )
        yield html.Block(html.text("\n".join(lines)), "\n".join(f"    {line}" for line in lines))
    rows = []
    for name, audit in ((run.name, run.leakage) for run in audited):
        try:
            found = [
                [
                    name,
                    f["held_out"],
                    f["trained"],
                    f["origin"] or "-",
                    f["duplicates"],
                    f["examples"],
                ]
                for f in audit["findings"]
            ]
            rows += found or [[name, "no finding", "-", "-", None, None]]
        except Damaged as error:
            rows.append(
                [name, f"not an audit ({type(error).__name__}: {error})", "-", "-", None, None]
            )
    if rows:
        columns = "run,held-out task,trained on,of one origin,near-duplicates,of its examples"
        yield html.table_block(columns, rows, texts=4)
        yield html.paragraph(
            "Near-duplicates: held-out examples whose input shares about 70 % or more of its word 5-grams with one trained on. "
            "Its examples: those that are scored, or all of them where launch/leakage.py made the audit.",
            "caption",
        )


def _data(run: SweepRun) -> str:
    """What a run was trained on and holds out, as text."""
    return json.dumps(_section(run, "data"), sort_keys=True)


def cost(whole: Results) -> Iterator[html.Block]:
    """Seconds, device-hours and tokens of each run, and the software they ran on."""
    rows, totals = [], np.zeros(4)
    for run in whole.sweep.everything:
        devices = str(run.manifest.get("devices") or "-")
        count = re.match(r"\d+", devices)
        hours = int(count[0]) * run.seconds / 3600 if count and run.seconds is not None else None
        done = run.state == "finished"
        numbers = [run.seconds, hours, _planned(run, "tokens", done), _planned(run, "flops", done)]
        totals += [value or 0.0 for value in numbers]
        rows.append([run.name, run.state, devices, *_cost_cells(numbers)])
    seconds, hours, tokens, flops = _cost_cells(totals.tolist())
    yield html.heading("Cost")
    yield html.paragraph(
        f"In all {seconds} seconds, {hours} device-hours, {tokens} tokens, {flops} FLOPs."
    )
    yield _long(
        html.table_block("run,state,devices,seconds,device-hours,tokens,FLOPs", rows, texts=3),
        len(rows),
    )
    yield html.paragraph(
        "Seconds: of the run's process. Tokens and FLOPs: as planned, of the finished runs.",
        "caption",
    )
    yield html.heading("Software")
    versions: dict[tuple[str, str], int] = {}
    for run in whole.sweep.runs:
        for pair in _section(run, "versions").items():
            versions[pair] = versions.get(pair, 0) + 1
    if not versions:
        yield html.placeholder("no manifest.json names versions")
        return
    yield html.table_block(
        "package,version,runs",
        [[*pair, count] for pair, count in sorted(versions.items())],
        texts=2,
    )


def _planned(run: SweepRun, key: str, done: bool) -> float | None:
    value = run.plan.get(key)
    return float(value) if done and isinstance(value, int | float) else None


def _cost_cells(numbers: Sequence[float | None]) -> list[str | None]:
    forms = ("{:,.0f}", "{:,.2f}", "{:,.0f}", "{:.2e}")
    return [None if n is None else form.format(n) for n, form in zip(numbers, forms, strict=True)]


def plan(whole: Results) -> Iterator[html.Block]:
    """The plan, and what each run has for itself."""
    sweep = whole.sweep
    yield html.heading("Plan")
    axes = list(dict.fromkeys(itertools.chain.from_iterable(run.point for run in sweep.runs)))
    facts = [
        (key, label(value)) for key, value in sweep.plan.items() if key not in ("axes", "base")
    ]
    facts += [
        (f"axis {axis}", "; ".join(map(label, values)))
        for axis, values in sweep.plan["axes"].items()
    ]
    yield html.table_block(("", ""), facts, texts=2)
    yield html.heading("Runs", 3)
    differing = [
        axis for axis in axes if len({label(run.point.get(axis)) for run in sweep.runs}) > 1
    ]
    rows = [
        [_id(run), run.state, *(label(run.point.get(axis)) for axis in differing)]
        for run in sweep.runs
    ]
    yield _long(
        html.table_block(["id", "state", *differing], rows, texts=2 + len(differing)), len(rows)
    )


def _id(run: SweepRun) -> str:
    return str(run.plan["id"])


def predictions(whole: Results) -> Iterator[html.Block]:
    """Some tuned predictions of each held-out task of the setting that is shown, and where the others are."""
    yield html.heading("Example predictions")
    files: dict[tuple[str, str], Path] = {}
    for run in whole.sweep.runs:
        for task in run.tasks if whole.sweep.setting(run) == whole.sweep.shown else ():
            file = run.path / "predictions" / f"{task.name}-after.jsonl"
            if task.held_out and file.exists():
                files.setdefault((task.cluster, task.name), file)
    if not files:
        yield html.placeholder("no tuned model's predictions are written")
        return
    yield html.paragraph(
        f"Up to {EXAMPLES} test examples a task after tuning, taken blind to the outcome.",
        "caption",
    )
    for (cluster, name), file in sorted(files.items()):
        link = quote(str(file.relative_to(whole.sweep.path)))
        try:
            rows = [row for row in sample_lines(file, 4 * EXAMPLES) if row["split"] == "test"]
            shown = "\n".join(
                example({"after": row}) for row in rows[:: len(rows) // EXAMPLES or 1][:EXAMPLES]
            )
        except (*Damaged, OSError) as error:
            shown = html.missing(f"{file.name} cannot be read ({type(error).__name__}: {error})")
        head = f'<summary><b>{escape(name)}</b> ({escape(cluster)}), <a href="{link}">all</a></summary>'
        yield html.Block(
            f"<details>{head}\n{shown}</details>\n",
            f"- {html.markdown_text(name)}: [{link}]({link})",
        )
