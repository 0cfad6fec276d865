"""Writes a run's report: report.html, one self-contained page, and a table for the terminal.

It reads files only, so it runs anywhere, also while the run is in progress.
"""

import argparse
import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from flan_jax.bootstrap import Interval
from flan_jax.errors import InputError
from flan_jax.json_files import write_text
from flan_jax.reports import html, notes, run_figures
from flan_jax.reports.mixture import (
    generated_rows_note,
    generated_tasks,
    mixture_section,
)
from flan_jax.reports.predictions import (
    EXAMPLES_PER_TASK,
    phase_label,
    predicted_tasks,
    task_predictions,
)
from flan_jax.reports.run_files import CONFIG, RunFiles, read_run
from flan_jax.reports.scores import ScoreRow, mean_row, task_row
from flan_jax.run_dir import MANIFEST
from flan_jax.run_records import AFTER, BEFORE, Phase, TaskScores

REPORT = "report.html"
SCORE_COLUMNS = (
    "task",
    "cluster",
    "held out",
    "metric",
    "chance",
    "before",
    "after",
    "change",
    "95 % interval",
    "best dev. template",
    "over templates",
    "examples",
)
DETAILS = ("devices", "data", "not_evaluated", "versions", "created")
"""Sections of the manifest that "Run details" shows, beside the model."""


def write(run_dir: Path) -> Path:
    """Writes report.html from what the run has written so far.

    Args:
      run_dir: the run directory.

    Returns:
      The path of the report.

    Raises:
      InputError: the directory holds no run, or a file is damaged.
    """
    run = read_run(run_dir)
    sections = [
        _summary(run),
        _held_out_tasks(run),
        _clusters_trained_on(run),
        _scores(run),
        _training(run),
        _mixture(run),
        _predictions(run),
        _run_details(run),
    ]
    path = run.path / REPORT
    write_text(path, html.page(f"Run {run.path.resolve().name}", sections))
    return path


def terminal_summary(run_dir: Path) -> str:
    """Returns the scores as plain text in at most 100 columns.

    The last line is the report's path, whatever its length.

    Args:
      run_dir: the run directory.

    Raises:
      InputError: the directory holds no run, or a file is damaged.
    """
    run = read_run(run_dir)
    rows = [(task.task, task_row([task])) for task in run.held_out]
    if rows:
        mean = _held_out_mean(run)
        rows.append((mean.name, mean))
    rows += [(f"trained on: {row.name}", row) for row in _trained_cluster_rows(run)]

    lines = _terminal_table(run, rows) if rows else ["no scores yet"]
    if generated_tasks(run.row_kinds):
        lines.append(_terminal_note(run))
    lines.append(f"report: {run.path / REPORT}")
    return "\n".join(lines)


def _terminal_table(run: RunFiles, rows: Sequence[tuple[str, ScoreRow]]) -> list[str]:
    heading = f"held out: {run.held_out_name or 'nothing'}"
    table = [[heading, "chance", "before", "after", "best template"]]
    for label, row in rows:
        best = row.after.best if row.after else None
        numbers = [row.chance, _mean(row, BEFORE), _mean(row, AFTER), best]
        table.append([f"  {label}", *map(html.format_cell, numbers)])

    width = max(min(len(label), 50) for label, *_ in table)
    lines = []
    for label, chance, before, after, best in table:
        numbers_text = f"{chance:>9}{before:>9}{after:>9}{best:>16}"
        lines.append(f"{html.clip(label, width):<{width}}{numbers_text}")
    return lines


def _terminal_note(run: RunFiles) -> str:
    generated = generated_tasks(run.row_kinds)
    if len(generated) == len(run.row_kinds):
        return "practice corpus: not FLAN's datasets"
    return (
        f"practice corpus, not FLAN's datasets: {html.clip(', '.join(generated), 60)}"
    )


def _mean(row: ScoreRow, phase: Phase) -> float | None:
    return row.scores[phase].mean if phase in row.scores else None


def _comparable(tasks: Sequence[TaskScores]) -> Sequence[TaskScores]:
    """Returns the tasks scored both before and after training; if there are none, all tasks.

    The two means are then those of the same tasks.
    """
    scored_twice = [task for task in tasks if {BEFORE, AFTER} <= task.scores.keys()]
    return scored_twice or tasks


def _mean_of_tasks(tasks: Sequence[TaskScores], name: str) -> ScoreRow:
    """Returns the mean over comparable tasks, also in further phases that all of them have."""
    comparable = _comparable(tasks)
    phases = [BEFORE, AFTER]
    for phase in _further_phases(comparable):
        if all(phase in task.scores for task in comparable):
            phases.append(phase)
    return mean_row(name, [task_row([task]) for task in comparable], phases)


def _held_out_mean(run: RunFiles) -> ScoreRow:
    count = len(_comparable(run.held_out))
    return _mean_of_tasks(run.held_out, f"mean of {html.plural(count, 'task')}")


def _trained_cluster_rows(run: RunFiles) -> list[ScoreRow]:
    """Returns the means of the clusters that the run trains on."""
    return [
        _mean_of_tasks(tasks, f"{cluster} ({html.plural(len(tasks), 'task')})")
        for cluster, tasks in run.trained_on.items()
    ]


def _further_phases(tasks: Sequence[TaskScores]) -> list[Phase]:
    """Returns the phases with further prompts: other evaluations of the same parameters."""
    phases: set[Phase] = set()
    for task in tasks:
        phases |= {phase for phase in task.scores if phase.prompts}
    return sorted(phases, key=str)


def _summary(run: RunFiles) -> list[html.Block]:
    blocks: list[html.Block] = []
    note = generated_rows_note(run.row_kinds)
    if note:
        blocks.append(html.Paragraph(note, "note"))

    mean = _held_out_mean(run)
    if mean.scores:
        chance = "" if mean.chance is None else f", chance {mean.chance:.1f}"
        change = html.ScoreChange(
            before=mean.before.mean if mean.before else "not yet",
            after=mean.after.mean if mean.after else "not yet",
            label=f"{run.held_out_name}, held out{chance}",
        )
        blocks.append(change)
    blocks.append(html.Paragraph(f"{_verdict(run, mean)} {_status(run)}".strip()))
    return blocks


def _verdict(run: RunFiles, mean: ScoreRow) -> str:
    """Returns a sentence on how training has changed the held-out mean."""
    if run.held_out_name is None:
        is_known = bool(run.section("data"))
        return (
            "No cluster is held out: the run trains on all tasks." if is_known else ""
        )
    if mean.latest is None:
        return f"The held-out cluster is {run.held_out_name}; no held-out task is scored yet."

    total = len(run.held_out)
    count = len(_comparable(run.held_out))
    tasks = html.plural(total, "task")
    if count < total:
        tasks = f"{count} of {tasks}"
    subject = f"On the held-out cluster {run.held_out_name} the mean score of {tasks}"
    sentences = [
        f"{subject}, over all templates, {_change_text(mean)}",
        _interval_text(mean.latest.interval),
    ]
    if mean.chance is not None:
        sentences.append(f"A blind guess scores {mean.chance:.1f}%.")
    if mean.before is not None and mean.is_at_chance:
        sentences.append("The score is no better than a blind guess.")
    return " ".join(sentence for sentence in sentences if sentence)


def _change_text(mean: ScoreRow) -> str:
    before = _mean(mean, BEFORE)
    after = _mean(mean, AFTER)
    if before is None:
        return f"is {after:.1f}% after training."
    if after is None:
        return f"is {before:.1f}% before training."
    verb = "stays"
    if after > before:
        verb = "rises"
    elif after < before:
        verb = "falls"
    change = html.signed(after - before)
    return f"{verb} with training from {before:.1f}% to {after:.1f}% ({change} points)."


def _interval_text(interval: Interval) -> str:
    if math.isnan(interval.low):
        return ""
    return (
        f"Its 95 % interval, over templates and examples, reaches from {interval.low:.1f}% to "
        f"{interval.high:.1f}%."
    )


def _status(run: RunFiles) -> str:
    if run.result is not None:
        minutes = run.result.get("seconds", 0) / 60
        return f"The run is finished: {run.result['step']:,} steps in {minutes:,.1f} minutes."
    step = run.metrics[-1]["step"] if run.metrics else 0
    steps = f"{run.mixture.steps:,}" if run.mixture else "?"
    return f"The run is not finished: step {step:,} of {steps} is logged."


def _held_out_tasks(run: RunFiles) -> list[html.Block]:
    heading = html.Heading("Held-out tasks")
    if run.section("data") and run.held_out_name is None:
        return [heading, html.Paragraph("No cluster is held out.")]
    if not run.held_out:
        return [heading, html.Placeholder("no held-out task is scored")]
    rows = [task_row([task]) for task in run.held_out]
    return [heading, run_figures.score_bars(rows, "a template", faint=False)]


def _clusters_trained_on(run: RunFiles) -> list[html.Block]:
    rows = _trained_cluster_rows(run)
    if not rows:
        return []
    figure = run_figures.score_bars(rows, "a task", faint=True)
    return [html.Heading("Clusters trained on"), figure]


def _scores(run: RunFiles) -> list[html.Block]:
    """Returns the table of all tasks, the mean of the held-out ones, and what is missing."""
    heading = html.Heading("Scores")
    tasks = [*run.held_out, *itertools.chain(*run.trained_on.values())]
    if not tasks:
        return [heading, html.Placeholder("eval/ holds no scores")]

    further_phases = _further_phases(tasks)
    rows = []
    for task in tasks:
        names = [task.task, task.cluster, "yes" if task.held_out else "no"]
        rows.append([*names, *_score_cells(task_row([task]), further_phases)])
    bold = []
    if run.held_out:
        mean = _held_out_mean(run)
        bold.append(len(run.held_out))
        names = [mean.name, run.held_out_name, "yes"]
        rows.insert(len(run.held_out), [*names, *_score_cells(mean, further_phases)])

    columns = [*SCORE_COLUMNS, *map(phase_label, further_phases)]
    table = html.Table(
        columns=columns, rows=rows, text_columns=4, bold=bold, dense=True
    )
    explanation = html.Paragraph(
        "Before and after training: percent, the mean over templates on test examples. 95 % "
        "interval: bootstrap interval of the latest score, over templates and examples. Best dev. "
        "template: the test score after training of the template that is best on validation "
        "examples. Over templates: lowest and highest test score.",
        "caption",
    )
    remarks = [
        notes.truncated_prompts(tasks),
        notes.tied_prompts(tasks),
        notes.tasks_without_scores(run.section("not_evaluated")),
    ]
    return [
        heading,
        table,
        explanation,
        *(html.Paragraph(remark, "missing") for remark in remarks if remark),
    ]


def _score_cells(row: ScoreRow, further_phases: Sequence[Phase]) -> list[html.Cell]:
    """Returns the cells from "metric" on. Those that make no sense for a mean are empty."""
    is_mean = row.metric is None
    lowest_to_highest = None
    interval = None
    if row.latest is not None:
        lowest_to_highest = (
            f"{min(row.latest.parts):.1f} \u2013 {max(row.latest.parts):.1f}"
        )
        interval = _interval_cell(row.latest.interval)
    return [
        "" if is_mean else row.metric,
        row.chance,
        _mean(row, BEFORE),
        _mean(row, AFTER),
        html.signed(row.difference),
        interval,
        row.after.best if row.after else None,
        "" if is_mean else lowest_to_highest,
        "" if is_mean else row.examples,
        *(_mean(row, phase) for phase in further_phases),
    ]


def _interval_cell(interval: Interval) -> str | None:
    if math.isnan(interval.low):
        return None
    return f"{interval.low:.1f} \u2013 {interval.high:.1f}"


def _training(run: RunFiles) -> list[html.Block]:
    heading = html.Heading("Training")
    if not run.metrics:
        return [heading, html.Placeholder("no training step is logged")]
    last = run.metrics[-1]
    loss = html.format_cell(last.get("loss"), 3)
    accuracy = html.format_cell(last.get("accuracy"))
    text = f"Step {last['step']:,}: loss {loss}, token accuracy {accuracy}%."
    rates = [
        row["tokens_per_second"] for row in run.metrics if row.get("tokens_per_second")
    ]
    if rates:
        text += (
            f" Median throughput: {statistics.median(rates):,.0f} tokens per second."
        )
    return [heading, run_figures.training_curves(run.metrics), html.Paragraph(text)]


def _mixture(run: RunFiles) -> list[html.Block]:
    heading = html.Heading("Mixture")
    if run.mixture is None:
        return [heading, html.Placeholder(f"{MANIFEST} does not describe it")]
    return [heading, *mixture_section(run.mixture)]


def _predictions(run: RunFiles) -> list[html.Block]:
    """Returns example predictions of every task, the held-out ones first."""
    heading = html.Heading("Example predictions")
    tasks = predicted_tasks(run.path)
    if not tasks:
        return [heading, html.Placeholder("predictions/ is empty")]
    held_out = {task.task for task in run.held_out}
    introduction = html.Paragraph(
        f"Up to {EXAMPLES_PER_TASK} test examples of each task, chosen without regard to the "
        "outcome."
    )
    blocks: list[html.Block] = [heading, introduction]
    for number, task in enumerate(
        sorted(tasks, key=lambda task: (task not in held_out, task))
    ):
        remark = ", held out" if task in held_out else ""
        blocks.append(
            task_predictions(run.path, task, remark=remark, is_open=number == 0)
        )
    return blocks


def _run_details(run: RunFiles) -> list[html.Block]:
    details = {f"model: {key}": value for key, value in run.section("model").items()}
    details |= {key: run.manifest.get(key, {}) for key in DETAILS}
    result = run.result or {}
    details["result"] = {key: value for key, value in result.items() if key != "tasks"}
    rows = [
        (key, _format_value(value) or "not available yet")
        for key, value in details.items()
    ]
    identity = json.dumps(run.section("identity"), indent=2)
    return [
        html.Heading("Run details"),
        html.Table(columns=(), rows=rows, text_columns=2),
        html.Folded(CONFIG, [html.Preformatted(run.config)]),
        html.Folded("identity", [html.Preformatted(identity)]),
    ]


def _format_value(value: object) -> str:
    """Returns a value of the manifest as text; of a mapping its keys and values."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_format_value(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrites a run's report: the program `python -m flan_jax.reports.run_report RUN_DIR`."""
    parser = argparse.ArgumentParser(
        prog="python -m flan_jax.reports.run_report",
        description="Rewrites a run's report.html.",
    )
    parser.add_argument("run_dir", type=Path)
    try:
        print(write(parser.parse_args(arguments).run_dir))
    except InputError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
