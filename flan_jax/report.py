"""A run directory -> report.html, one self-contained page, and a table for the terminal. Only files are read: no jax, no tf."""

import argparse
import collections
import dataclasses
import io
import itertools
import json
import math
import re
import statistics
import sys
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from flan_jax.errors import InputError
from flan_jax.run import MANIFEST, METRICS, RESULT, read_json, read_jsonl, write_text

WHEN = ("before", "after")
EXAMPLES = 10
"""Predictions shown a task."""
LONGEST = 3000
"""Characters of a text that are shown."""
POINTS = 1500
"""Points of a curve that are drawn."""
PRACTICE = (
    "Practice corpus: these are not FLAN's datasets. The rows are generated, in the datasets' schemas, from a small "
    "invented world; the scores cannot be compared with published ones."
)


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a run directory holds so far. tasks: eval/*.json by name, held-out ones first."""

    path: Path
    manifest: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    tasks: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any] | None
    config: str

    def fact(self, section: str) -> Mapping[str, Any]:
        return self.manifest.get(section) or {}

    @property
    def held_out(self) -> list[Mapping[str, Any]]:
        return [task for task in self.tasks if task["held_out"]]

    @property
    def held_out_cluster(self) -> str | None:
        return self.fact("data").get("held_out") or (self.held_out[0]["cluster"] if self.held_out else None)

    @property
    def seen_clusters(self) -> dict[str, list[Mapping[str, Any]]]:
        clusters = collections.defaultdict(list)
        for task in self.tasks:
            if not task["held_out"]:
                clusters[task["cluster"]].append(task)
        return dict(sorted(clusters.items()))

    @property
    def practice(self) -> bool:
        return self.fact("data").get("source") == "sandbox"


@dataclasses.dataclass(frozen=True)
class Score:
    """Means before and after training (absent when not scored yet) and the scores that each is the mean of."""

    label: str
    chance: float | None
    parts: Mapping[str, Sequence[float]]
    means: Mapping[str, float]


def write(run_dir: Path) -> Path:
    """Writes run_dir/report.html from what the run has written so far. Raises InputError if that is no run directory."""
    run = _read(run_dir)
    sections = (_summary, _charts, _task_table, _curves, _mixture, _examples, _facts)
    title = escape(f"Run {run.path.resolve().name}")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
    body = "\n".join(f"<section>{section(run)}</section>" for section in sections)
    page = f'<!doctype html>\n<html lang="en"><head>{head}\n<style>{CSS}</style></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n'
    # As ASCII the page does not depend on the locale, and half a surrogate pair in a prediction cannot stop it.
    write_text(run.path / "report.html", page.encode("ascii", "xmlcharrefreplace").decode("ascii"))
    return run.path / "report.html"


def terminal_summary(run_dir: Path) -> str:
    """The scores as plain text in at most 100 columns, then the report's path (whatever its length)."""
    run = _read(run_dir)
    tasks = [(_task_score(task), (task.get("after") or {}).get("best_dev_template")) for task in run.held_out]
    rows = [(f"  {score.label}", score, best and best["score"]) for score, best in tasks]
    if run.held_out:
        best = [row[2] for row in rows]
        score = _mean_score(f"mean of {_count(len(tasks), 'task')}", run.held_out)
        rows.append((f"  {score.label}", score, None if None in best else statistics.fmean(best)))
    if run.seen_clusters:
        rows.append(("trained on", None, None))
    for cluster, members in run.seen_clusters.items():
        rows.append((f"  {cluster} ({_count(len(members), 'task')})", _mean_score(cluster, members), None))
    title = f"held out: {run.held_out_cluster or 'nothing'}"
    width = min(max(len(text) for text in [title, *(row[0] for row in rows)]), 48)
    lines = [f"{_clip(title, width):<{width}}{'chance':>9}{'before':>9}{'after':>9}{'best template':>16}"]
    for label, score, best in rows:
        numbers = [score.chance, *(score.means.get(when) for when in WHEN)] if score else []
        cells = "".join(f"{_show(x):>9}" for x in numbers) + (f"{_show(best):>16}" if best is not None else "")
        lines.append(f"{_clip(label, width):<{width}}{cells}")
    notes = ["no scores yet"] * (not run.tasks) + ["practice corpus: not FLAN's datasets"] * run.practice
    return "\n".join([*lines, *notes, f"report: {run.path / 'report.html'}"])


def _read(run_dir: Path) -> Contents:
    path = Path(run_dir)
    if not any((path / name).exists() for name in (MANIFEST, METRICS, RESULT, "config.gin", "eval")):
        reason = f"it has no {MANIFEST}, {METRICS} or eval/" if path.is_dir() else "there is no such directory"
        raise InputError(f"{path} is not a run directory: {reason}. Give the --run_dir of a training run")
    # A file may hold something else than a task's scores; a score may be null: not there yet.
    files = [read_json(file) for file in sorted((path / "eval").glob("*.json"))]
    tasks = [{k: v for k, v in task.items() if v is not None} for task in files if isinstance(task, dict) and "task" in task]
    config = path / "config.gin"
    return Contents(
        path=path,
        manifest=read_json(path / MANIFEST) or {},
        metrics=list(read_jsonl(path / METRICS)),
        tasks=sorted(tasks, key=lambda task: (not task["held_out"], task["cluster"], task["task"])),
        result=read_json(path / RESULT),
        config=config.read_text(encoding="utf-8", errors="replace") if config.exists() else "",
    )


def _task_score(task: Mapping[str, Any]) -> Score:
    scored = {when: task[when] for when in WHEN if when in task}
    parts = {when: [t["test"][s["metric"]] for t in s["templates"]] for when, s in scored.items()}
    chance = next((s.get("chance") for s in scored.values()), None)
    return Score(task["task"], chance, parts, {when: s["mean"] for when, s in scored.items()})


def _compared(tasks: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The tasks scored both before and after, so that the two means are of the same tasks; all tasks if there are none."""
    return [task for task in tasks if all(when in task for when in WHEN)] or tasks


def _mean_score(label: str, tasks: Sequence[Mapping[str, Any]]) -> Score:
    scores = [_task_score(task) for task in _compared(tasks)]
    parts = {when: [s.means[when] for s in scores if when in s.means] for when in WHEN}
    chances = [s.chance for s in scores if s.chance is not None]
    chance = statistics.fmean(chances) if scores and len(chances) == len(scores) else None
    return Score(label, chance, parts, {when: statistics.fmean(x) for when, x in parts.items() if x})


def _standard_error(tasks: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the mean over tasks after training, from the number of test examples; None unless all are accuracies.

    Templates ask about the same examples, so they are not counted as further draws.
    """
    scores = [task["after"] for task in _compared(tasks) if "after" in task]
    if not scores or any(s["metric"] != "accuracy" or not s.get("examples") for s in scores):
        return None
    return math.sqrt(sum(s["mean"] * (100 - s["mean"]) / s["examples"] for s in scores)) / len(scores)


def _summary(run: Contents) -> str:
    parts = [f'<p class="note">{escape(PRACTICE)}</p>'] if run.practice else []
    score = _mean_score("", run.held_out)
    if run.held_out and score.means:
        before, after = (_show(score.means[when]) if when in score.means else "not yet" for when in WHEN)
        chance = "" if score.chance is None else f'<span class="side">chance {score.chance:.1f}</span>'
        parts.append(
            f'<p class="headline"><span class="side">{escape(str(run.held_out_cluster))}, held out</span> '
            f"<b>{before}</b> &rarr; <b>{after}</b> {chance}</p>"
        )
    return "\n".join([*parts, f"<p>{escape(_verdict(run, score))} {escape(_status(run))}</p>"])


def _verdict(run: Contents, score: Score) -> str:
    if run.held_out_cluster is None:
        return "No cluster is held out: scores, if any, are of tasks that the run trains on." if run.manifest else ""
    if not score.means:
        return f"The held-out cluster is {run.held_out_cluster}; no held-out task is scored yet."
    count = len(_compared(run.held_out))
    few = "" if count == len(run.held_out) else f" (of {len(run.held_out)}; the others are not scored both times yet)"
    what = f"{_count(count, 'task')}{few} of the held-out cluster {run.held_out_cluster}, over all templates"
    before, after, chance = score.means.get("before"), score.means.get("after"), score.chance
    blind = "" if chance is None else f" A blind guess would score {chance:.1f}."
    if before is None or after is None:
        return f"The mean score of {what} is {_show(before or after)}% {'after' if before is None else 'before'} training.{blind}"
    verb = "rises" if after > before else "falls" if after < before else "stays"
    text = f"With training the mean score of {what} {verb} from {before:.1f}% to {after:.1f}% ({after - before:+.1f} points)."
    error = _standard_error(run.held_out)
    if error is not None:
        text += f" The number of test examples alone makes a standard error of {error:.1f} points."
    if chance is not None and after <= chance + (error or 0):
        return f"{text} That is no better than a blind guess ({chance:.1f}%)."
    return text + blind


def _status(run: Contents) -> str:
    if run.result is not None:
        seconds = run.result.get("seconds")
        return f"The run is finished: {run.result['step']:,} steps" + (f" in {_duration(seconds)}." if seconds else ".")
    steps = run.fact("mixture").get("steps")
    if not run.metrics:
        return "The run is not finished: no training step is logged yet."
    return f"The run is not finished: step {run.metrics[-1]['step']:,}{f' of {steps:,}' if steps else ''} is the last one logged."


def _charts(run: Contents) -> str:
    parts = ["<h2>Held-out tasks</h2>"]
    if run.held_out:
        parts.append(_bars([_task_score(task) for task in run.held_out], "a template", faint=False))
        parts.append("<p>A bar is the mean over a task's templates on its test examples, in percent of the task's metric.</p>")
    elif run.held_out_cluster is None and run.manifest:
        parts.append("<p>No cluster is held out.</p>")
    else:
        parts.append(_missing("no held-out task is scored"))
    if run.seen_clusters:
        parts.append("<h2>Clusters trained on</h2>")
        scores = [_mean_score(f"{name} ({_count(len(t), 'task')})", t) for name, t in run.seen_clusters.items()]
        parts.append(_bars(scores, "a task", faint=True))
        parts.append("<p>A bar is the mean over a cluster's evaluated tasks, which the run trains on.</p>")
    return "\n".join(parts)


def _bars(scores: Sequence[Score], dot: str, *, faint: bool) -> str:
    """Horizontal pairs of bars, told apart by hatching as well as by tone; dots are what a bar is the mean of."""
    figure = _figure(7.6, 0.75 + 0.52 * len(scores))
    axes = figure.subplots()
    edge, fill = ("#999999", "#a9bfd6") if faint else ("#444444", "#2b5c8a")
    looks = {"before": {"facecolor": "white", "hatch": "/////"}, "after": {"facecolor": fill}}
    for position, score in enumerate(scores):
        for (when, mean), offset in zip(((when, score.means.get(when)) for when in WHEN), (-0.2, 0.2), strict=True):
            if mean is None:
                continue
            parts = score.parts[when]
            axes.barh(position + offset, mean, 0.36, edgecolor=edge, linewidth=0.7, **looks[when])
            spread = position + offset + np.linspace(-0.11, 0.11, len(parts) + 2)[1:-1]
            axes.scatter(parts, spread, 7, facecolor="white", edgecolor="#222222", linewidth=0.6, zorder=3)
            end = max([mean, *parts]) + 1.2
            if score.chance is not None and end - 1.2 < score.chance < end + 6:
                end = score.chance + 1.2  # right of the chance mark, which would cross the figure
            axes.text(end, position + offset, f"{mean:.1f}", va="center", fontsize=7.5)
        if score.chance is not None:
            axes.plot([score.chance] * 2, [position - 0.44, position + 0.44], "k", dashes=(2.5, 1.2), linewidth=1.3)
    axes.set_yticks(range(len(scores)), [_clip(score.label, 32) for score in scores], parse_math=False)
    axes.set(ylim=(len(scores) - 0.45, -0.55), xlim=(min(0, axes.get_xlim()[0]), 108), xticks=range(0, 101, 20))
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [axes.barh([0], [np.nan], label=when, edgecolor=edge, linewidth=0.7, **looks[when]) for when in WHEN]
    handles.append(axes.scatter([], [], 7, facecolor="white", edgecolor="#222222", linewidth=0.6, label=dot))
    if any(score.chance is not None for score in scores):
        handles += axes.plot([], [], "k", dashes=(2.5, 1.2), linewidth=1.3, label="chance")
    figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False)
    return _svg(figure, "Scores before and after training")


def _figure(width: float, height: float) -> Any:
    # Training and ablations import this module; half a second of matplotlib is paid only where something is drawn. Without
    # pyplot no display, backend or global state is touched.
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _svg(figure: Any, label: str) -> str:
    import matplotlib

    for axes in figure.axes:
        axes.tick_params(labelsize=8, color="#888888")
    settings = {"svg.fonttype": "none", "svg.hashsalt": label, "hatch.linewidth": 0.6}
    buffer = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # matplotlib's own font may lack a task name's letters; they are drawn by the browser, not by it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    # Ids such as "axes_1" come back in every figure of the page, and nothing refers to them.
    svg = re.sub(r' id="[a-zA-Z0-9]+_\d+"', "", svg[svg.index("<svg") :])
    return f'<figure>{svg.replace("<svg", f"<svg role={chr(34)}img{chr(34)} aria-label={chr(34)}{label}{chr(34)}", 1)}</figure>'


def _task_table(run: Contents) -> str:
    if not run.tasks:
        return "<h2>Scores</h2>" + _missing("eval/ holds no scores")
    columns = ("task", "cluster", "held out", "metric", "chance", "before", "after", "change", "best dev. template",
               "over templates", "examples")  # fmt: skip
    rows = [_task_row(task) for task in run.held_out]
    means = []
    if len(run.held_out) > 1:
        means.append(len(rows))
        mean = _mean_score("", run.held_out)
        label = f"mean of {len(_compared(run.held_out))}"
        rows.append([label, str(run.held_out_cluster), "yes", "", mean.chance, *_before_after(mean), "", "", ""])
    rows += [_task_row(task) for task in run.tasks if not task["held_out"]]
    return "\n".join(
        (
            "<h2>Scores</h2>",
            _table(columns, rows, text_columns=4, bold=means),
            "<p>Before and after: the mean over templates on test examples, in percent. Best dev. template: the test score "
            "after training of the template (number in brackets) that is best on validation examples. Over templates: the "
            "lowest and highest test score of a single template.</p>",
        )
    )


def _task_row(task: Mapping[str, Any]) -> list[Any]:
    score = _task_score(task)
    latest: Mapping[str, Any] = task.get("after") or task.get("before") or {}
    best = (task.get("after") or {}).get("best_dev_template")
    parts = score.parts.get("after") or score.parts.get("before")
    return [
        score.label, task["cluster"], "yes" if task["held_out"] else "no", latest.get("metric"),
        score.chance, *_before_after(score),
        f"{best['score']:.1f} ({best['template']})" if best else None,
        f"{min(parts):.1f} \u2013 {max(parts):.1f}" if parts else None,
        latest.get("examples"),
    ]  # fmt: skip


def _before_after(score: Score) -> list[Any]:
    before, after = (score.means.get(when) for when in WHEN)
    return [before, after, None if before is None or after is None else f"{after - before:+.1f}"]


def _curves(run: Contents) -> str:
    if not run.metrics:
        return "<h2>Training</h2>" + _missing("no training step is logged")
    figure = _figure(7.6, 3.3)
    axes = figure.subplot_mosaic([["loss", "loss", "accuracy"], ["loss", "loss", "learning_rate"]])
    for name, axis in axes.items():
        rows = [row for row in run.metrics if row.get(name) is not None and math.isfinite(row[name])]
        steps, values = np.array([row["step"] for row in rows]), np.array([row[name] for row in rows], float)
        kept = slice(None, None, max(1, len(rows) // POINTS))
        if name == "learning_rate" or len(rows) < 8:
            axis.plot(steps[kept], values[kept], color="#2b5c8a", marker="." if len(rows) < 8 else "")
        else:
            axis.plot(steps[kept], values[kept], color="#b9c6d4", linewidth=0.7)
            axis.plot(steps[kept], _smooth(values)[kept], color="#2b5c8a", linewidth=1.6)
        axis.set_title({"loss": "loss", "accuracy": "token accuracy, %"}.get(name, "learning rate"), fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#e8e8e8", linewidth=0.6)
        if name == "loss" and len(values) and values.min() > 0 and values.max() > 6 * values.min():
            _log_scale(axis)
    axes["loss"].set_xlabel("step", fontsize=9)
    axes["learning_rate"].set_xlabel("step", fontsize=9)
    last = run.metrics[-1]
    speed = [row["tokens_per_second"] for row in run.metrics if row.get("tokens_per_second")]
    text = f"Step {last['step']:,}: loss {_show(last.get('loss'), 3)}, token accuracy {_show(last.get('accuracy'))}%."
    text += f" Median speed: {statistics.median(speed):,.0f} tokens a second." if speed else ""
    return f"<h2>Training</h2>\n{_svg(figure, 'Loss, token accuracy and learning rate by step')}\n<p>{escape(text)}</p>"


def _log_scale(axis: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def _smooth(values: np.ndarray) -> np.ndarray:
    """A centred moving mean over a twentieth of the points, over fewer at the ends."""
    window = np.ones(len(values) // 20 | 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")


def _mixture(run: Contents) -> str:
    mixture = run.fact("mixture")
    if not mixture.get("tasks"):
        return "<h2>Mixture</h2>" + _missing(f"{MANIFEST} does not describe the mixture")
    columns = ("task", "cluster", "examples", "rate", "share %", "epochs", "mean inputs", "mean targets", "cut inputs %",
               "cut targets %", "filtered")  # fmt: skip
    tasks = sorted(mixture["tasks"], key=lambda task: (-task["share"], task["task"]))
    rows = [
        [
            t["task"], t["cluster"], t.get("examples"), f"{t['rate']:,.0f}" if t["rate"] >= 10 else f"{t['rate']:.3g}",
            f"{100 * t['share']:.2f}", _show(t.get("epochs"), 2), t.get("mean_inputs"), t.get("mean_targets"),
            _percent(t.get("truncated_inputs")), _percent(t.get("truncated_targets")), t.get("filtered"),
        ]
        for t in tasks
    ]  # fmt: skip
    text = "Epochs are those expected over the whole run; lengths are in tokens; cut: the share of examples that were too long."
    return f"<h2>Mixture</h2>\n{_table(columns, rows, text_columns=2)}\n<p>{escape(_packing(mixture))} {text}</p>"


def _packing(mixture: Mapping[str, Any]) -> str:
    lengths = mixture.get("lengths") or {}
    filled = [
        f"{_percent(share)}% of the {lengths.get(side, '')} {side[:-1]} positions".replace("  ", " ")
        for side, share in (mixture.get("rows_filled") or {}).items()
    ]
    text = f"Packing fills {' and '.join(filled)}. " if filled else ""
    size, examples, tokens = (mixture.get(k) for k in ("batch_size", "examples_per_batch", "supervised_tokens_per_batch"))
    if None not in (size, examples, tokens):
        text += f"A batch of {size:,} rows carries {examples:,.0f} examples and {tokens:,.0f} supervised tokens."
    return text


def _examples(run: Contents) -> str:
    folder = run.path / "predictions"
    known = {task["task"]: task for task in run.tasks}
    found = {re.sub(r"-(before|after)$", "", file.stem) for file in folder.glob("*.jsonl")}
    names = [name for name in known if name in found] + sorted(found - set(known))
    if not names:
        return "<h2>Example predictions</h2>" + _missing("predictions/ is empty")
    parts = ["<h2>Example predictions</h2>", f"<p>Up to {EXAMPLES} test examples a task, drawn without regard to the outcome.</p>"]
    for place, name in enumerate(names):
        task = known.get(name)
        about = "" if task is None else f"{task['cluster']}, {'held out' if task['held_out'] else 'trained on'}"
        means = [_show(_task_score(task).means[when]) for when in WHEN if when in task] if task else []
        side = escape(", ".join(filter(None, [about, " \u2192 ".join(means)])))
        shown = "\n".join(_example(pair) for pair in _sample(folder, name))
        parts.append(
            f"<details{' open' * (place == 0)}><summary><b>{escape(name)}</b> "
            f'<span class="side">{side}</span></summary>\n{shown or _missing("no test example is predicted")}</details>'
        )
    return "\n".join(parts)


def _sample(folder: Path, task: str) -> list[dict[str, Mapping[str, Any]]]:
    """{"before": row, "after": row} of a few test prompts, the same ones whenever the report is written."""
    source, other = WHEN[::-1] if (folder / f"{task}-after.jsonl").exists() else WHEN
    drawn = {_prompt(row): {source: row} for row in _draw(read_jsonl(folder / f"{task}-{source}.jsonl"))}
    for row in read_jsonl(folder / f"{task}-{other}.jsonl"):
        if row["split"] == "test" and _prompt(row) in drawn:
            drawn[_prompt(row)][other] = row
    return list(drawn.values())


def _draw(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """EXAMPLES test rows, taking the templates in turn, by a hash of the prompt's number."""
    pools = collections.defaultdict(list)
    for row in rows:
        if row["split"] == "test":
            pool = pools[row["template"]]
            pool.append(row)
            if len(pool) >= 10 * EXAMPLES:  # a test set with all its prompts may be too large to hold
                pool[:] = sorted(pool, key=_lot)[:EXAMPLES]
    turns = itertools.zip_longest(*(sorted(pools[template], key=_lot) for template in sorted(pools)))
    return itertools.islice((row for turn in turns for row in turn if row is not None), EXAMPLES)


def _prompt(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["template"], row["example"]


def _lot(row: Mapping[str, Any]) -> int:
    return zlib.crc32(repr(_prompt(row)).encode())


def _example(pair: Mapping[str, Mapping[str, Any]]) -> str:
    row = pair.get("after") or pair["before"]
    options = row.get("options")
    parts = [f'<p class="side">test example {row["example"]}, template {row["template"]}</p>', _text(row["inputs"])]
    if options:
        scores = [[_show(pair[when]["scores"][i], 2) if when in pair else None for when in WHEN] for i in range(len(options))]
        marks = ["\u2713 right answer" if i == row["answer"] else "" for i in range(len(options))]
        rows = [[_clip(option), mark, *pairs] for option, mark, pairs in zip(options, marks, scores, strict=True)]
        columns = ("option", "", "log-probability before", "after")
        parts.append(_table(columns, rows, text_columns=2, bold=[row["answer"]]))
    answers = [("right answer" if options else "reference", "", text) for text in row["references"][:3]]
    answers += [(when, _mark(pair[when]), pair[when]["prediction"]) for when in WHEN if when in pair]
    cells = "".join(f'<dt>{name} <span class="mark">{mark}</span></dt><dd>{_text(text)}</dd>' for name, mark, text in answers)
    return f'<div class="example">{"".join(parts)}<dl>{cells}</dl></div>'


def _mark(row: Mapping[str, Any]) -> str:
    if row.get("chosen") is not None:
        return "&#10003; right" if row["chosen"] == row["answer"] else "&#10007; wrong"
    same = row["prediction"].strip().casefold() in {text.strip().casefold() for text in row["references"]}
    return "&#10003; as a reference" if same else "differs"


def _facts(run: Contents) -> str:
    model, data = dict(run.fact("model")), run.fact("data")
    counts = {"parameters": _si(model.pop("parameters", None)), "FLOPs a step": _si(model.pop("flops_per_step", None))}
    result = {key: run.result.get(key) for key in ("step", "loss")} if run.result else {}
    facts = {
        "model": model.pop("name", None), **counts, "model fields": _fields(model), "devices": run.manifest.get("devices"),
        "data": _fields(data), "versions": _fields(run.fact("versions")), "created": run.manifest.get("created"),
        "time": _duration(run.result["seconds"]) if run.result and run.result.get("seconds") else "not finished yet",
        "result": _fields(result) or "not finished yet",
    }  # fmt: skip
    rows = [[name, str(value)] for name, value in facts.items() if value]
    files = {"config.gin": run.config, "identity": json.dumps(run.fact("identity"), indent=2) if run.manifest else ""}
    absent = "" if run.manifest else _missing(f"{MANIFEST} is not written")
    shown = [
        f"<details><summary><b>{name}</b></summary><pre>{escape(text)}</pre></details>" if text else _missing(f"no {name}")
        for name, text in files.items()
    ]
    return "\n".join(["<h2>Facts</h2>", absent, _table(("", ""), rows, text_columns=2), *shown])


def _fields(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, text_columns: int, bold: Collection[int] = ()) -> str:
    """An HTML table; the first `text_columns` columns are set as text, the others as numbers. Rows in `bold` stand out."""

    def line(cells: Sequence[Any], tag: str) -> str:
        kinds = ["" if i < text_columns else ' class="n"' for i in range(len(cells))]
        return "".join(f"<{tag}{k}>{escape(_show(cell))}</{tag}>" for k, cell in zip(kinds, cells, strict=True))

    body = "\n".join(f"<tr{' class=bold' * (i in bold)}>{line(row, 'td')}</tr>" for i, row in enumerate(rows))
    head = f"<thead><tr>{line(columns, 'th')}</tr></thead>" if any(columns) else ""
    return f'<div class="wide"><table>{head}<tbody>\n{body}</tbody></table></div>'


def _missing(what: str) -> str:
    return f'<p class="missing">Not there yet: {escape(what)}.</p>'


def _text(text: str) -> str:
    return f'<pre dir="auto">{escape(_clip(text))}</pre>' if text else '<pre class="missing">(empty)</pre>'


def _clip(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "\u2026"


def _show(value: Any, digits: int = 1) -> str:
    if value is None:
        return "\u2013"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    return _show(None if share is None else 100 * share)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _si(value: float | None) -> str | None:
    """31457280 -> "31.5 M"."""
    if value is None:
        return None
    power = min(int(math.log10(max(value, 1)) // 3), 6)
    return f"{value / 1000**power:.{1 if power else 0}f} {' kMGTPE'[power]}".strip()


def _duration(seconds: float) -> str:
    hours, minutes = int(seconds // 3600), int(seconds % 3600 // 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60:.0f} s" if minutes else f"{seconds:.0f} s"


CSS = """
body { max-width: 60rem; margin: 0 auto; padding: 1rem 1.2rem 4rem; color: #1c1c1c; background: #fff;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.5rem; margin: .8rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #ccc; }
.headline { font-size: 1.6rem; margin: .6rem 0; } .headline b { font-size: 2.1rem; font-variant-numeric: tabular-nums; }
.side, .missing, p + .missing { color: #666; } .headline .side { font-size: 1rem; margin: 0 .4rem; } .side { font-size: 13px; }
.note { border: 1px solid #c9a227; border-left-width: 5px; padding: .5rem .8rem; background: #fffbef; }
.missing { font-style: italic; }
figure, .wide { margin: .5rem 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 560px; height: auto; }
svg text { font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif !important; }
table { border-collapse: collapse; font-size: 13px; min-width: 50%; }
th, td { padding: .22rem .55rem; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4; }
th { vertical-align: bottom; border-bottom: 1px solid #888; line-height: 1.25; }
.n { text-align: right; font-variant-numeric: tabular-nums; } td.n { white-space: nowrap; } .bold td { font-weight: 650; }
td { overflow-wrap: anywhere; } td:first-child { min-width: 6rem; }
details { margin: .4rem 0; } summary { cursor: pointer; padding: .25rem 0; }
pre { font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  margin: 0; padding: .45rem .7rem; background: #f6f6f4; max-height: 26rem; overflow-y: auto; }
.example { margin: .7rem 0 1.3rem; padding-left: .8rem; border-left: 3px solid #ddd; } .example p { margin: .2rem 0; }
dl { display: grid; grid-template-columns: 8.5rem 1fr; gap: .25rem .6rem; margin: .4rem 0; font-size: 13px; }
dt { padding-top: .45rem; } dd { margin: 0; min-width: 0; } .mark { display: block; font-weight: 650; }
@media (max-width: 600px) { dl { grid-template-columns: 1fr; } .mark { display: inline; } }
@media print { body { font-size: 10pt; max-width: none; padding: 0; } pre { max-height: none; overflow: visible; }
  figure, tr, .example { break-inside: avoid; } h2 { break-after: avoid; } figure, .wide { overflow: visible; }
  svg { min-width: 0; } * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m flan_jax.report", description="Rewrites a run's report.html.")
    parser.add_argument("run_dir", type=Path)
    try:
        print(write(parser.parse_args(arguments).run_dir))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
