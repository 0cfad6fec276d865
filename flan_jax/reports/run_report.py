"""A run directory -> report.html, one self-contained page, and a table for the terminal. Reads files; needs no jax."""

import argparse
import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flan_jax.errors import InputError
from flan_jax.json_files import write_text
from flan_jax.reports import html
from flan_jax.reports.mixture import mixture_section
from flan_jax.reports.predictions import _examples
from flan_jax.reports.run_files import WHEN, Contents, Row, _read
from flan_jax.run_dir import MANIFEST

POINTS = 1500
"""Points of a curve, about."""
PRACTICE = "Practice corpus: generated rows. These are not FLAN's datasets; compare no score with published ones."


class Score(NamedTuple):
    """Means before and after training (absent when not scored yet) and the scores that each is the mean of."""

    label: str
    chance: float | None
    parts: Mapping[str, Sequence[float]]
    means: Mapping[str, float]
    best: float | None  # after training, of the template that is best on validation examples


def write(run_dir: Path) -> Path:
    """Writes run_dir/report.html from what the run has written so far. Raises InputError if it is no run directory."""
    run = _read(run_dir)
    sections = (_summary, _charts, _task_table, _curves, _mixture, _examples, _facts)
    body = "\n".join(f"<section>{section(run)}</section>" for section in sections)
    write_text(run.path / "report.html", html.page(f"Run {run.path.resolve().name}", body))
    return run.path / "report.html"


def terminal_summary(run_dir: Path) -> str:
    """The scores as plain text in at most 100 columns, then the report's path (whatever its length)."""
    run = _read(run_dir)
    scores = [_task_score(task) for task in run.held_out]
    scores += [
        _mean_score(f"mean of {_count(_compared(run.held_out), 'task')}", run.held_out)
    ] * bool(scores)
    scores += [
        _mean_score(f"trained on: {name} ({_count(t, 'task')})", t)
        for name, t in run.trained_on.items()
    ]
    rows = (
        [[f"held out: {run.cluster or 'nothing'}", "chance", *WHEN, "best template"]]
        if scores
        else []
    )
    rows += [
        [f"  {s.label}", *map(html.show, (s.chance, *map(s.means.get, WHEN), s.best))]
        for s in scores
    ]
    width = max((min(len(row[0]), 50) for row in rows), default=0)
    lines = [
        f"{html.clip(name, width):<{width}}" + "".join(f"{x:>9}" for x in xs) + f"{x:>16}"
        for name, *xs, x in rows
    ]
    notes = ["no scores yet"] * (not scores) + [
        "practice corpus: not FLAN's datasets"
    ] * run.practice
    return "\n".join([*lines, *notes, f"report: {run.path / 'report.html'}"])


def _task_score(task: Row) -> Score:
    scored = {when: task[when] for when in WHEN if when in task}
    parts = {when: [t["test"][s["metric"]] for t in s["templates"]] for when, s in scored.items()}
    chance = next((s.get("chance") for s in scored.values()), None)
    best = (task.get("after", {}).get("best_dev_template") or {}).get("score")
    return Score(task["task"], chance, parts, {when: s["mean"] for when, s in scored.items()}, best)


def _compared(tasks: Sequence[Row]) -> Sequence[Row]:
    """The tasks scored both before and after, so that the two means are of the same tasks; if there are none, all."""
    return [task for task in tasks if all(when in task for when in WHEN)] or tasks


def _mean_score(label: str, tasks: Sequence[Row]) -> Score:
    def mean(values: list[Any]) -> float | None:
        return statistics.fmean(values) if values and None not in values else None

    scores = [_task_score(task) for task in _compared(tasks)]
    parts = {when: [s.means[when] for s in scores if when in s.means] for when in WHEN}
    means = {when: statistics.fmean(values) for when, values in parts.items() if values}
    return Score(
        label, mean([s.chance for s in scores]), parts, means, mean([s.best for s in scores])
    )


def _standard_error(tasks: Sequence[Row]) -> float | None:
    """Of the mean after training; None unless all are accuracies. Templates share examples: they are no more draws."""
    scores = [task["after"] for task in _compared(tasks) if "after" in task]
    if not scores or any(s["metric"] != "accuracy" or not s.get("examples") for s in scores):
        return None
    return math.sqrt(sum(s["mean"] * (100 - s["mean"]) / s["examples"] for s in scores)) / len(
        scores
    )


def _summary(run: Contents) -> str:
    parts = [f'<p class="note">{escape(PRACTICE)}</p>'] if run.practice else []
    score = _mean_score("", run.held_out)
    if score.means:
        numbers = " &rarr; ".join(
            f"<b>{html.show(score.means.get(when, 'not yet'))}</b>" for when in WHEN
        )
        chance = "" if score.chance is None else f", chance {score.chance:.1f}"
        parts.append(
            f'<p class="headline">{numbers} <span>{escape(str(run.cluster))}, held out{chance}</span></p>'
        )
    return "\n".join([*parts, f"<p>{escape(_verdict(run, score))} {escape(_status(run))}</p>"])


def _verdict(run: Contents, score: Score) -> str:
    if run.cluster is None:
        return "No cluster is held out: all tasks are trained on." if run.manifest["data"] else ""
    if not score.means:
        return f"The held-out cluster is {run.cluster}; no held-out task is scored yet."
    number = f"{len(_compared(run.held_out))} of {_count(run.held_out, 'task')}".removeprefix(
        f"{len(run.held_out)} of "
    )
    what = f"On the held-out cluster {run.cluster} the mean score of {number}, over all templates, "
    before, after, chance = score.means.get("before"), score.means.get("after"), score.chance
    blind = "" if chance is None else f" A blind guess scores {chance:.1f}%."
    if before is None or after is None:
        return f"{what}is {html.show(before if after is None else after)}% {' and '.join(score.means)} training.{blind}"
    verb = "rises" if after > before else "falls" if after < before else "stays"
    text = f"{what}{verb} with training from {before:.1f}% to {after:.1f}% ({after - before:+.1f} points).{blind}"
    error = _standard_error(run.held_out)
    if error is not None:
        text += f" The number of test examples makes a standard error of {error:.1f} points."
    return text + " That is no better than a blind guess." * (
        chance is not None and after <= chance + (error or 0)
    )


def _status(run: Contents) -> str:
    if run.result is not None:
        return f"The run is finished: {run.result['step']:,} steps in {run.result.get('seconds', 0) / 60:,.1f} minutes."
    steps = html.show(run.manifest["mixture"].get("steps", "?"))
    return f"The run is not finished: step {run.metrics[-1]['step'] if run.metrics else 0:,} of {steps} is logged."


def _charts(run: Contents) -> str:
    none = "<p>No cluster is held out.</p>" if run.manifest["data"] and run.cluster is None else ""
    parts = [
        "<h2>Held-out tasks</h2>",
        none or (not run.held_out) * html.missing("no held-out task is scored"),
    ]
    if run.held_out:
        parts.append(_bars([_task_score(task) for task in run.held_out], "a template", faint=False))
    if run.trained_on:
        scores = [
            _mean_score(f"{name} ({_count(t, 'task')})", t) for name, t in run.trained_on.items()
        ]
        parts += ["<h2>Clusters trained on</h2>", _bars(scores, "a task", faint=True)]
    return "\n".join(parts)


def _bars(scores: Sequence[Score], dot: str, *, faint: bool) -> str:
    """Horizontal bars, in pairs where there are both, told apart by hatching as well as by tone; dots are what a bar is the mean of."""
    shown = [when for when in WHEN if any(when in score.means for score in scores)]
    figure = html.figure(7.6, 0.75 + 0.52 * len(scores))
    axes = figure.subplots()
    bar: Any = {"height": 0.36, "linewidth": 0.7, "edgecolor": "#999999" if faint else "#444444"}
    after = bar | {"facecolor": "#a9bfd6" if faint else "#2b5c8a"}
    looks: Any = {"before": bar | {"facecolor": "white", "hatch": "/////"}, "after": after}
    dots: Any = {
        "s": 11,
        "facecolor": "white",
        "edgecolor": "#222222",
        "linewidth": 0.7,
        "zorder": 3,
    }
    mark: Any = {"color": "black", "dashes": (2.5, 1.2), "linewidth": 1.3}
    for y, score in enumerate(scores):
        for when, mean in score.means.items():
            place, parts = y + 0.4 * shown.index(when) - 0.2 * (len(shown) - 1), score.parts[when]
            axes.barh(place, mean, **looks[when])
            axes.scatter(parts, place + np.linspace(-0.11, 0.11, len(parts) + 2)[1:-1], **dots)
            # In a column at the right end of the bar's row, where neither dots nor the chance mark can cross it.
            axes.text(108, place, f"{mean:.1f}", va="center", ha="right", fontsize=8.5)
        if score.chance is not None:
            axes.plot([score.chance] * 2, [y - 0.44, y + 0.44], **mark)
    axes.set_yticks(
        range(len(scores)), [html.clip(score.label, 32) for score in scores], parse_math=False
    )
    axes.set(
        ylim=(len(scores) - 0.45, -0.55),
        xlim=(min(0, axes.get_xlim()[0]), 108),
        xticks=range(0, 101, 20),
    )
    axes.tick_params(axis="y", length=0)
    handles = [axes.barh([0], [np.nan], label=f"{when}: mean", **looks[when]) for when in shown]
    handles.append(axes.scatter([], [], label=dot, **dots))
    handles += (
        axes.plot([], [], label="chance", **mark)
        if any(score.chance is not None for score in scores)
        else []
    )
    figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False, fontsize=8)
    return html.svg(figure, "Scores before and after training, percent")


def _task_table(run: Contents) -> str:
    tasks = [*run.held_out, *itertools.chain(*run.trained_on.values())]
    if not tasks:
        return "<h2>Scores</h2>" + html.missing("eval/ holds no scores")
    # Further evaluations of the same parameters, each under prompts of its own.
    more = sorted(
        {when for task in tasks for when in task if when.startswith(("before-", "after-"))}
    )
    columns = "task,cluster,held out,metric,chance,before,after,change,best dev. template,over templates,examples"
    columns = [*columns.split(","), *(when.replace("-", ", prompts ", 1) for when in more)]
    rows = []
    for task in tasks:
        score, latest = _task_score(task), task.get("after") or task.get("before") or {}
        parts = score.parts.get("after") or score.parts.get("before")
        spread = f"{min(parts):.1f} \u2013 {max(parts):.1f}" if parts else None
        about = [
            task["task"],
            task["cluster"],
            "yes" if task["held_out"] else "no",
            latest.get("metric"),
        ]
        rows.append([*about, *_numbers(score), spread, latest.get("examples")])
        rows[-1] += [task.get(when, {}).get("mean") for when in more]
    if run.held_out:
        label, mean = (
            f"mean of {_count(_compared(run.held_out), 'task')}",
            _mean_score("", run.held_out),
        )
        further = (_mean_further(_compared(run.held_out), when) for when in more)
        rows.insert(
            len(run.held_out), [label, run.cluster, "yes", "", *_numbers(mean), "", "", *further]
        )
    text = (
        "Before and after: percent, the mean over templates on test examples. Best dev. template: the test score after "
        "training of the template that is best on validation examples. Over templates: lowest and highest test score."
    )
    cut = {
        task["task"]: (task.get("after") or task.get("before") or {}).get("truncated") or 0.0
        for task in tasks
    }
    named = ", ".join(f"{task} {share:.0f} %" for task, share in cut.items() if share >= 0.5)
    text += (
        f" <b>Prompts whose end the model did not see</b>, as LENGTHS are shorter: {named}."
        if named
        else ""
    )
    return f"<h2>Scores</h2>\n{html.table(columns, rows, texts=4, bold=[len(run.held_out)] * bool(run.held_out))}\n<p>{text}</p>"


def _mean_further(tasks: Sequence[Row], when: str) -> float | None:
    means = [task[when]["mean"] for task in tasks if when in task]
    return statistics.fmean(means) if means and len(means) == len(tasks) else None


def _numbers(score: Score) -> list[Any]:
    before, after = map(score.means.get, WHEN)
    change = None if before is None or after is None else f"{after - before:+.1f}"
    return [score.chance, before, after, change, score.best]


def _curves(run: Contents) -> str:
    if not run.metrics:
        return "<h2>Training</h2>" + html.missing("no training step is logged")
    figure = html.figure(7.6, 3.3)
    grid = figure.subplot_mosaic([["loss", "loss", "accuracy"], ["loss", "loss", "learning_rate"]])
    for name, axes in grid.items():
        rows = [row for row in run.metrics if math.isfinite(row.get(name, math.nan))]
        steps, values = (
            np.array([row["step"] for row in rows]),
            np.array([row[name] for row in rows], float),
        )
        kept = slice(None, None, 1 + len(rows) // POINTS)
        axes.plot(
            steps[kept],
            values[kept],
            color="#b9c6d4",
            linewidth=0.7,
            marker="." if len(rows) < 20 else "",
        )
        # A moving mean over a twentieth of the points, over fewer at the ends.
        window = np.ones(1 if name == "learning_rate" else len(rows) // 20 | 1)
        sums, counts = (
            np.convolve(x, window, "same") if rows else x for x in (values, np.ones(len(rows)))
        )
        axes.plot(steps[kept], (sums / counts)[kept], color="#2b5c8a", linewidth=1.6)
        axes.set_title(
            {"accuracy": "token accuracy, %", "learning_rate": "learning rate"}.get(name, name),
            fontsize=9,
        )
        axes.grid(axis="y", color="#e8e8e8", linewidth=0.6)
        if name == "loss" and rows and 0 < 6 * values.min() < values.max():
            axes.set_yscale("log", subs=[2, 5])
            axes.yaxis.set(major_formatter="{x:g}", minor_formatter="{x:g}")
    grid["loss"].set_xlabel("step", fontsize=9)
    last = run.metrics[-1]
    speed = [row["tokens_per_second"] for row in run.metrics if row.get("tokens_per_second")]
    text = f"Step {last['step']:,}: loss {html.show(last.get('loss'), 3)}, token accuracy {html.show(last.get('accuracy'))}%."
    text += f" Median speed: {statistics.median(speed):,.0f} tokens a second." if speed else ""
    return f"<h2>Training</h2>\n{html.svg(figure, 'Loss, token accuracy and learning rate by step')}\n<p>{escape(text)}</p>"


def _mixture(run: Contents) -> str:
    mixture = run.manifest["mixture"]
    return (
        mixture_section(mixture)
        if mixture.get("tasks")
        else "<h2>Mixture</h2>" + html.missing(f"{MANIFEST} does not describe it")
    )


def _facts(run: Contents) -> str:
    def show(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key} {show(item)}" for key, item in value.items())
        return (
            f"{value:,}"
            if type(value) is int
            else f"{value:.6g}"
            if isinstance(value, float)
            else str(value)
        )

    facts = {f"model: {key}": value for key, value in run.manifest["model"].items()}
    facts |= {
        key: run.manifest.get(key, {})
        for key in ("devices", "data", "not_evaluated", "versions", "created")
    }
    facts["result"] = {key: value for key, value in (run.result or {}).items() if key != "tasks"}
    rows = [(key, show(value) or "not there yet") for key, value in facts.items()]
    parts = ["<h2>Facts</h2>", html.table((), rows, texts=2)]
    for name, text in {
        "config.gin": run.config,
        "identity": json.dumps(run.manifest["identity"], indent=2),
    }.items():
        parts.append(
            f"<details><summary><b>{name}</b></summary><pre>{escape(text)}</pre></details>"
        )
    return "\n".join(parts)


def _count(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m flan_jax.reports.run_report", description="Rewrites a run's report.html."
    )
    parser.add_argument("run_dir", type=Path)
    try:
        print(write(parser.parse_args(arguments).run_dir))
    except InputError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
