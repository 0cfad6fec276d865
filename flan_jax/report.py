"""A run directory -> report.html, one self-contained page, and a table for the terminal. Reads files; needs no jax."""

import argparse
import collections
import heapq
import io
import itertools
import json
import math
import re
import statistics
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from flan_jax.errors import InputError
from flan_jax.run import MANIFEST, METRICS, RESULT, read_json, read_jsonl, write_text

WHEN = ("before", "after")
EXAMPLES, LONGEST, POINTS = 10, 3000, 1500  # predictions shown a task, characters shown of a text, points of a curve
PRACTICE = "Practice corpus: generated rows. These are not FLAN's datasets; compare no score with published ones."
Row: TypeAlias = Mapping[str, Any]


class Contents(NamedTuple):
    """What a run directory holds so far. A section that manifest.json lacks is {}; cluster: the one held out."""

    path: Path
    manifest: Mapping[str, Any]
    metrics: Sequence[Row]
    held_out: Sequence[Row]
    trained_on: Mapping[str, Sequence[Row]]
    result: Row | None
    config: str
    cluster: str | None
    practice: bool


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
    title = escape(f"Run {run.path.resolve().name}")
    sections = (_summary, _charts, _task_table, _curves, _mixture, _examples, _facts)
    body = "\n".join(f"<section>{section(run)}</section>" for section in sections)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = f"</head><body><h1>{title}</h1>\n{body}</body></html>\n"
    page = f'<!doctype html>\n<html lang="en"><head>{head}<title>{title}</title><style>{CSS}</style>{body}'
    # As ASCII the page does not depend on the locale, and half a surrogate pair in a prediction cannot stop it.
    write_text(run.path / "report.html", page.encode("ascii", "xmlcharrefreplace").decode("ascii"))
    return run.path / "report.html"


def terminal_summary(run_dir: Path) -> str:
    """The scores as plain text in at most 100 columns, then the report's path (whatever its length)."""
    run = _read(run_dir)
    scores = [_task_score(task) for task in run.held_out]
    scores += [_mean_score(f"mean of {_count(_compared(run.held_out), 'task')}", run.held_out)] * bool(scores)
    scores += [_mean_score(f"trained on: {name} ({_count(t, 'task')})", t) for name, t in run.trained_on.items()]
    rows = [[f"held out: {run.cluster or 'nothing'}", "chance", *WHEN, "best template"]] if scores else []
    rows += [[f"  {s.label}", *map(_show, (s.chance, *map(s.means.get, WHEN), s.best))] for s in scores]
    width = max((min(len(row[0]), 50) for row in rows), default=0)
    lines = [f"{_clip(name, width):<{width}}" + "".join(f"{x:>9}" for x in xs) + f"{x:>16}" for name, *xs, x in rows]
    notes = ["no scores yet"] * (not scores) + ["practice corpus: not FLAN's datasets"] * run.practice
    return "\n".join([*lines, *notes, f"report: {run.path / 'report.html'}"])


def _read(path: Path) -> Contents:
    if not any((path / name).exists() for name in (MANIFEST, METRICS, RESULT, "config.gin", "eval")):
        reason = f"it has no {MANIFEST}, {METRICS} or eval/" if path.is_dir() else "there is no such directory"
        raise InputError(f"{path} is not a run directory: {reason}. Give the --run_dir of a training run")
    manifest = collections.defaultdict(dict, read_json(path / MANIFEST) or {})
    files = [read_json(file) for file in sorted((path / "eval").glob("*.json"))]
    tasks = [{key: value for key, value in task.items() if value is not None} for task in files if "task" in task]
    tasks.sort(key=lambda task: (task["cluster"], task["task"]))
    held_out = [task for task in tasks if task["held_out"]]
    others = itertools.groupby((task for task in tasks if not task["held_out"]), key=lambda task: task["cluster"])
    return Contents(
        path=path,
        manifest=manifest,
        metrics=list(read_jsonl(path / METRICS)),
        held_out=held_out,
        trained_on={cluster: list(group) for cluster, group in others},
        result=read_json(path / RESULT),
        config=gin.read_text("utf-8", "replace") if (gin := path / "config.gin").exists() else "",
        cluster=manifest["data"].get("held_out") or (held_out[0]["cluster"] if held_out else None),
        practice=manifest["data"].get("source") == "sandbox",
    )


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
    return Score(label, mean([s.chance for s in scores]), parts, means, mean([s.best for s in scores]))


def _standard_error(tasks: Sequence[Row]) -> float | None:
    """Of the mean after training; None unless all are accuracies. Templates share examples: they are no more draws."""
    scores = [task["after"] for task in _compared(tasks) if "after" in task]
    if not scores or any(s["metric"] != "accuracy" or not s.get("examples") for s in scores):
        return None
    return math.sqrt(sum(s["mean"] * (100 - s["mean"]) / s["examples"] for s in scores)) / len(scores)


def _summary(run: Contents) -> str:
    parts = [f'<p class="note">{escape(PRACTICE)}</p>'] if run.practice else []
    score = _mean_score("", run.held_out)
    if score.means:
        numbers = " &rarr; ".join(f"<b>{_show(score.means.get(when, 'not yet'))}</b>" for when in WHEN)
        chance = "" if score.chance is None else f", chance {score.chance:.1f}"
        parts.append(f'<p class="headline">{numbers} <span>{escape(str(run.cluster))}, held out{chance}</span></p>')
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
        return f"{what}is {_show(before if after is None else after)}% {' and '.join(score.means)} training.{blind}"
    verb = "rises" if after > before else "falls" if after < before else "stays"
    text = f"{what}{verb} with training from {before:.1f}% to {after:.1f}% ({after - before:+.1f} points).{blind}"
    error = _standard_error(run.held_out)
    if error is not None:
        text += f" The number of test examples makes a standard error of {error:.1f} points."
    return text + " That is no better than a blind guess." * (chance is not None and after <= chance + (error or 0))


def _status(run: Contents) -> str:
    if run.result is not None:
        return f"The run is finished: {run.result['step']:,} steps in {run.result.get('seconds', 0) / 60:,.1f} minutes."
    steps = _show(run.manifest["mixture"].get("steps", "?"))
    return f"The run is not finished: step {run.metrics[-1]['step'] if run.metrics else 0:,} of {steps} is logged."


def _charts(run: Contents) -> str:
    none = "<p>No cluster is held out.</p>" if run.manifest["data"] and run.cluster is None else ""
    parts = ["<h2>Held-out tasks</h2>", none or (not run.held_out) * _missing("no held-out task is scored")]
    if run.held_out:
        parts.append(_bars([_task_score(task) for task in run.held_out], "a template", faint=False))
    if run.trained_on:
        scores = [_mean_score(f"{name} ({_count(t, 'task')})", t) for name, t in run.trained_on.items()]
        parts += ["<h2>Clusters trained on</h2>", _bars(scores, "a task", faint=True)]
    return "\n".join(parts)


def _bars(scores: Sequence[Score], dot: str, *, faint: bool) -> str:
    """Horizontal pairs of bars, told apart by hatching as well as by tone; dots are what a bar is the mean of."""
    figure = _figure(7.6, 0.75 + 0.52 * len(scores))
    axes = figure.subplots()
    bar: Any = {"height": 0.36, "linewidth": 0.7, "edgecolor": "#999999" if faint else "#444444"}
    after = bar | {"facecolor": "#a9bfd6" if faint else "#2b5c8a"}
    looks: Any = {"before": bar | {"facecolor": "white", "hatch": "/////"}, "after": after}
    dots: Any = {"s": 11, "facecolor": "white", "edgecolor": "#222222", "linewidth": 0.7, "zorder": 3}
    mark: Any = {"color": "black", "dashes": (2.5, 1.2), "linewidth": 1.3}
    for y, score in enumerate(scores):
        for when, mean in score.means.items():
            place, parts = y + (-0.2 if when == "before" else 0.2), score.parts[when]
            axes.barh(place, mean, **looks[when])
            axes.scatter(parts, place + np.linspace(-0.11, 0.11, len(parts) + 2)[1:-1], **dots)
            # In a column at the right end of the bar's row, where neither dots nor the chance mark can cross it.
            axes.text(108, place, f"{mean:.1f}", va="center", ha="right", fontsize=8.5)
        if score.chance is not None:
            axes.plot([score.chance] * 2, [y - 0.44, y + 0.44], **mark)
    axes.set_yticks(range(len(scores)), [_clip(score.label, 32) for score in scores], parse_math=False)
    axes.set(ylim=(len(scores) - 0.45, -0.55), xlim=(min(0, axes.get_xlim()[0]), 108), xticks=range(0, 101, 20))
    axes.tick_params(axis="y", length=0)
    handles = [axes.barh([0], [np.nan], label=f"{when}: mean", **looks[when]) for when in WHEN]
    handles.append(axes.scatter([], [], label=dot, **dots))
    handles += axes.plot([], [], label="chance", **mark) if any(score.chance is not None for score in scores) else []
    figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False, fontsize=8)
    return _svg(figure, "Scores before and after training, percent")


def _figure(width: float, height: float) -> Any:
    # Training and ablations import this module; matplotlib's half a second is paid only where something is drawn.
    # Without pyplot no display, backend or global state is touched.
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _svg(figure: Any, label: str) -> str:
    from matplotlib import rc_context

    for axes in figure.axes:
        axes.tick_params(which="both", labelsize=8, color="#888888")
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": label}), warnings.catch_warnings():
        # matplotlib's own font may lack a task name's letters; the browser draws them, not matplotlib.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    # Ids such as "axes_1" come back in every figure of the page, and nothing refers to them.
    svg = re.sub(r' id="[a-zA-Z0-9]+_\d+"', "", buffer.getvalue())
    return f'<figure role="img" aria-label="{label}">{svg[svg.index("<svg") :]}</figure>'


def _task_table(run: Contents) -> str:
    tasks = [*run.held_out, *itertools.chain(*run.trained_on.values())]
    if not tasks:
        return "<h2>Scores</h2>" + _missing("eval/ holds no scores")
    columns = "task,cluster,held out,metric,chance,before,after,change,best dev. template,over templates,examples"
    rows = []
    for task in tasks:
        score, latest = _task_score(task), task.get("after") or task.get("before") or {}
        parts = score.parts.get("after") or score.parts.get("before")
        spread = f"{min(parts):.1f} \u2013 {max(parts):.1f}" if parts else None
        about = [task["task"], task["cluster"], "yes" if task["held_out"] else "no", latest.get("metric")]
        rows.append([*about, *_numbers(score), spread, latest.get("examples")])
    if run.held_out:
        label, mean = f"mean of {_count(_compared(run.held_out), 'task')}", _mean_score("", run.held_out)
        rows.insert(len(run.held_out), [label, run.cluster, "yes", "", *_numbers(mean), "", ""])
    text = (
        "Before and after: percent, the mean over templates on test examples. Best dev. template: the test score after "
        "training of the template that is best on validation examples. Over templates: lowest and highest test score."
    )
    return f"<h2>Scores</h2>\n{_table(columns.split(','), rows, text=4, bold=len(run.held_out) or None)}\n<p>{text}</p>"


def _numbers(score: Score) -> list[Any]:
    before, after = map(score.means.get, WHEN)
    change = None if before is None or after is None else f"{after - before:+.1f}"
    return [score.chance, before, after, change, score.best]


def _curves(run: Contents) -> str:
    if not run.metrics:
        return "<h2>Training</h2>" + _missing("no training step is logged")
    figure = _figure(7.6, 3.3)
    grid = figure.subplot_mosaic([["loss", "loss", "accuracy"], ["loss", "loss", "learning_rate"]])
    for name, axes in grid.items():
        rows = [row for row in run.metrics if math.isfinite(row.get(name, math.nan))]
        steps, values = np.array([row["step"] for row in rows]), np.array([row[name] for row in rows], float)
        kept = slice(None, None, 1 + len(rows) // POINTS)
        axes.plot(steps[kept], values[kept], color="#b9c6d4", linewidth=0.7, marker="." if len(rows) < 20 else "")
        # A moving mean over a twentieth of the points, over fewer at the ends.
        window = np.ones(1 if name == "learning_rate" else len(rows) // 20 | 1)
        sums, counts = (np.convolve(x, window, "same") if rows else x for x in (values, np.ones(len(rows))))
        axes.plot(steps[kept], (sums / counts)[kept], color="#2b5c8a", linewidth=1.6)
        axes.set_title({"accuracy": "token accuracy, %", "learning_rate": "learning rate"}.get(name, name), fontsize=9)
        axes.grid(axis="y", color="#e8e8e8", linewidth=0.6)
        if name == "loss" and rows and 0 < 6 * values.min() < values.max():
            axes.set_yscale("log", subs=[2, 5])
            axes.yaxis.set(major_formatter="{x:g}", minor_formatter="{x:g}")
    grid["loss"].set_xlabel("step", fontsize=9)
    last = run.metrics[-1]
    speed = [row["tokens_per_second"] for row in run.metrics if row.get("tokens_per_second")]
    text = f"Step {last['step']:,}: loss {_show(last.get('loss'), 3)}, token accuracy {_show(last.get('accuracy'))}%."
    text += f" Median speed: {statistics.median(speed):,.0f} tokens a second." if speed else ""
    return f"<h2>Training</h2>\n{_svg(figure, 'Loss, token accuracy and learning rate by step')}\n<p>{escape(text)}</p>"


def _mixture(run: Contents) -> str:
    mixture = run.manifest["mixture"]
    if not mixture.get("tasks"):
        return "<h2>Mixture</h2>" + _missing(f"{MANIFEST} does not describe it")
    columns = "task,cluster,examples,rate,share %,epochs,mean inputs,mean targets,cut inputs %,cut targets %,filtered"
    rows = []
    for t in sorted(mixture["tasks"], key=lambda task: (-task["share"], task["task"])):
        drawn = [t["examples"], f"{t['rate']:,.7g}", _show(100 * t["share"], 2), _show(t["epochs"], 2)]
        cut = [100 * t["truncated_inputs"], 100 * t["truncated_targets"], t["filtered"]]
        rows.append([t["task"], t["cluster"], *drawn, t["mean_inputs"], t["mean_targets"], *cut])
    lengths = mixture["lengths"]
    filled = [f"{100 * x:.1f}% of the {lengths.get(k, '')} {k} positions" for k, x in mixture["rows_filled"].items()]
    batch = [mixture[k] for k in ("batch_size", "examples_per_batch", "supervised_tokens_per_batch")]
    text = (
        f"Packing fills {' and '.join(filled)}. A batch of {batch[0]:,} rows carries {batch[1]:,.0f} examples and "
        f"{batch[2]:,.0f} supervised tokens. Epochs: expected over the whole run. Mean lengths are in tokens. Cut: the "
        "share of examples that are too long. Filtered: rows left out."
    )
    return f"<h2>Mixture</h2>\n{_table(columns.split(','), rows, text=2)}\n<p>{escape(text)}</p>"


def _examples(run: Contents) -> str:
    folder = run.path / "predictions"
    found = {re.sub(r"-(before|after)$", "", file.stem) for file in folder.glob("*.jsonl")}
    held_out = {task["task"] for task in run.held_out}
    parts = [f"<h2>Example predictions</h2><p>Up to {EXAMPLES} test examples a task, drawn blind to the outcome.</p>"]
    for place, name in enumerate(sorted(found, key=lambda name: (name not in held_out, name))):
        shown = "\n".join(_example(pair) for pair in _sample(folder, name)) or _missing("no test example is predicted")
        head = f"<summary><b>{escape(name)}</b>{', held out' if name in held_out else ''}</summary>"
        parts.append(f"<details{'' if place else ' open'}>{head}\n{shown}</details>")
    return "\n".join(parts) if found else "<h2>Example predictions</h2>" + _missing("predictions/ is empty")


def _sample(folder: Path, task: str) -> list[dict[str, Row]]:
    """{"before": row, "after": row} of a few test prompts, templates in turn; always the same ones."""

    def prompt(row: Row) -> tuple[int, int]:
        return row["template"], row["example"]

    def rows(when: str) -> Iterator[Row]:
        return (row for row in read_jsonl(folder / f"{task}-{when}.jsonl") if row["split"] == "test")

    source, other = WHEN[::-1] if (folder / f"{task}-after.jsonl").exists() else WHEN
    # A whole test set may be too large to hold: its rows with the lowest hashes are a sample, in random order.
    pool = heapq.nsmallest(20 * EXAMPLES, rows(source), key=lambda row: zlib.crc32(repr(prompt(row)).encode()))
    ranks = collections.defaultdict(itertools.count)
    chosen = sorted(pool, key=lambda row: (next(ranks[row["template"]]), row["template"]))[:EXAMPLES]
    pairs = {prompt(row): {source: row} for row in chosen}
    for row in rows(other):
        if prompt(row) in pairs:
            pairs[prompt(row)][other] = row
    return list(pairs.values())


def _example(pair: Mapping[str, Row]) -> str:
    row, options = pair.get("after") or pair["before"], (pair.get("after") or pair["before"]).get("options") or []
    parts = [f'<p class="side">test example {row["example"]}, template {row["template"]}</p>{_text(row["inputs"])}']
    if options:
        marks = ["\u2713 right answer" * (i == row["answer"]) for i in range(len(options))]
        nothing = [None] * len(options)
        scores = [[_show(x, 2) for x in pair[w]["scores"]] if w in pair else nothing for w in WHEN]
        rows = zip(map(_clip, options), marks, *scores, strict=True)
        parts.append(_table(["option", "", "log-probability before", "after"], rows, text=2, bold=row["answer"]))
    answers = [("right answer" if options else "reference", "", text) for text in row["references"][:3]]
    answers += [(when, _mark(pair[when]), pair[when]["prediction"]) for when in WHEN if when in pair]
    cells = (f"<dt>{name} <b>{mark}</b></dt><dd>{_text(text)}</dd>" for name, mark, text in answers)
    return f'<div class="example">{"".join(parts)}<dl>{"".join(cells)}</dl></div>'


def _mark(row: Row) -> str:
    if row.get("chosen") is not None:
        return "&#10003; right" if row["chosen"] == row["answer"] else "&#10007; wrong"
    same = row["prediction"].strip().casefold() in [text.strip().casefold() for text in row["references"]]
    return "&#10003; as a reference" if same else "differs"


def _facts(run: Contents) -> str:
    def show(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key} {show(item)}" for key, item in value.items())
        return f"{value:,}" if type(value) is int else f"{value:.6g}" if isinstance(value, float) else str(value)

    facts = {f"model: {key}": value for key, value in run.manifest["model"].items()}
    facts |= {key: run.manifest.get(key, {}) for key in ("devices", "data", "versions", "created")}
    facts["result"] = {key: value for key, value in (run.result or {}).items() if key != "tasks"}
    rows = [(key, show(value) or "not there yet") for key, value in facts.items()]
    parts = ["<h2>Facts</h2>", _table((), rows, text=2)]
    for name, text in {"config.gin": run.config, "identity": json.dumps(run.manifest["identity"], indent=2)}.items():
        parts.append(f"<details><summary><b>{name}</b></summary><pre>{escape(text)}</pre></details>")
    return "\n".join(parts)


def _table(columns: Iterable[str], rows: Iterable[Iterable[Any]], *, text: int, bold: int | None = None) -> str:
    """An HTML table; the first `text` columns are set as text, the others as numbers. Row `bold` stands out."""

    def line(cells: Iterable[Any], tag: str, kind: str = "") -> str:
        shown = (f"<{tag}{' class=n' * (i >= text)}>{escape(_show(cell))}</{tag}>" for i, cell in enumerate(cells))
        return f"<tr{kind}>{''.join(shown)}</tr>"

    body = "\n".join(line(row, "td", " class=bold" * (i == bold)) for i, row in enumerate(rows))
    return f'<div class="wide"><table><thead>{line(columns, "th")}</thead><tbody>\n{body}</tbody></table></div>'


def _missing(what: str) -> str:
    return f'<p class="missing">Not there yet: {escape(what)}.</p>'


def _text(text: str) -> str:
    return f'<pre dir="auto">{escape(_clip(text)) or "<i>(empty)</i>"}</pre>'


def _clip(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "\u2026"


def _show(value: Any, digits: int = 1) -> str:
    if value is None or isinstance(value, str):
        return value if value is not None else "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def _count(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"


CSS = """
body { max-width: 60rem; margin: 0 auto; padding: 1rem 1.2rem 4rem; color: #1c1c1c; background: #fff; line-height: 1.5 }
body, svg text { font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif !important }
h1 { font-size: 1.5rem; margin: .8rem 0; overflow-wrap: anywhere } p { font-size: 15px }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #ccc }
.side, .missing, .headline span { color: #666 } .missing { font-style: italic } .side { font-size: 13px }
.headline span { margin-left: .6rem } .headline b { font-size: 2.1rem; font-variant-numeric: tabular-nums }
.note { border: 1px solid #c9a227; border-left-width: 5px; padding: .5rem .8rem; background: #fffbef }
figure, .wide { margin: .5rem 0; overflow-x: auto } svg { width: 100%; min-width: 560px; height: auto }
table { border-collapse: collapse; font-size: 13px } .bold td { font-weight: 650 }
th, td { padding: .22rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4 }
th { vertical-align: bottom; border-bottom: 1px solid #888 } .n { text-align: right } td.n { white-space: nowrap }
td { font-variant-numeric: tabular-nums } summary { padding: .3rem 0 } dt { padding-top: .3rem } dd { margin: 0 }
pre { margin: 0; padding: .45rem .7rem; background: #f6f6f4; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; max-height: 26rem; overflow-y: auto }
.example { margin: .7rem 0 1.4rem; padding-left: .8rem; border-left: 3px solid #ddd }
dl { display: grid; grid-template-columns: 8.5rem minmax(0, 1fr); gap: .25rem .6rem; margin: .4rem 0; font-size: 13px }
@media (max-width: 600px) { dl { display: block } } @media print { body { font-size: 10pt; max-width: none }
  pre { max-height: none } svg { min-width: 0 } figure, tr { break-inside: avoid } * { print-color-adjust: exact } }
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m flan_jax.report", description="Rewrites a run's report.html.")
    parser.add_argument("run_dir", type=Path)
    try:
        print(write(parser.parse_args(arguments).run_dir))
    except InputError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
