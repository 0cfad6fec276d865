"""Writes a run's report: report.html, one self-contained page, and a table for the terminal.

It reads files only, so it runs anywhere, also while the run is in progress. Where a checkpoint is
scored and nothing is trained, the report is about the checkpoint's scores alone.
"""

import dataclasses
import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from flan_jax.bootstrap import Interval
from flan_jax.errors import plural
from flan_jax.json_files import without_keys, write_text
from flan_jax.reports import html, notes, run_figures
from flan_jax.reports.command import rewrite_report
from flan_jax.reports.controls import contrast, control_blocks
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
from flan_jax.reports.scores import ScoreRow, format_metrics, mean_row, task_row
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
    "other metrics",
)
DETAILS = ("start", "devices", "data", "not_evaluated", "versions", "created")
"""Sections of the manifest that "Run details" shows, beside the model."""

NO_BETTER_THAN_CHANCE = "The score is no better than a blind guess."
SCORES_EXPLAINED = (
    "Before and after training: percent, the mean over templates on test examples. 95 % interval: "
    "bootstrap interval of the latest score, over templates and examples. Best dev. template: the "
    "test score after training of the template that is best on validation examples. Over "
    "templates: lowest and highest test score. Other metrics: of the latest score, means over "
    "templates."
)
CHECKPOINT_SCORES_EXPLAINED = (
    "Score: percent, the mean over templates on test examples. 95 % interval: bootstrap interval "
    "of the score, over templates and examples. Best dev. template: the test score of the template "
    "that is best on validation examples. Over templates: lowest and highest test score. Other "
    "metrics: means over templates."
)


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
        _controls(run),
        _clusters_trained_on(run),
        _scores(run),
    ]
    if not run.is_evaluation:
        sections += [_training(run), _mixture(run)]
    sections += [_predictions(run), _run_details(run)]

    title = f"Run {run.path.resolve().name}"
    if run.is_evaluation:
        title = f"Scores of {run.checkpoint}"
    path = run.path / REPORT
    write_text(path, html.page(title, sections))
    return path


def terminal_summary(run_dir: Path) -> str:
    """Returns the scores as plain text in at most 100 columns.

    The last line is the report's path, whatever its length, and so is the first line of an
    evaluation, which names the checkpoint.

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

    lines = [f"scores of {run.checkpoint}"] if run.is_evaluation else []
    lines += _terminal_table(run, rows) if rows else ["no scores yet"]
    if generated_tasks(run.row_kinds):
        lines.append(_terminal_note(run))
    lines.append(f"report: {run.path / REPORT}")
    return "\n".join(lines)


def _terminal_table(run: RunFiles, rows: Sequence[tuple[str, ScoreRow]]) -> list[str]:
    heading = f"held out: {run.held_out_name or 'nothing'}"
    columns = {"before": BEFORE, "after": AFTER}
    if run.is_evaluation:
        heading = "task"
        columns = {"score": AFTER}
    table = [[heading, "chance", *columns, "best template"]]
    for label, row in rows:
        best = row.after.best if row.after else None
        means = [_mean(row, phase) for phase in columns.values()]
        cells = map(html.format_cell, [row.chance, *means, best])
        table.append([f"  {label}", *cells])

    width = max(min(len(label), 50) for label, *_ in table)
    lines = []
    for label, *numbers, best in table:
        numbers_text = "".join(f"{number:>9}" for number in numbers)
        lines.append(f"{html.clip(label, width):<{width}}{numbers_text}{best:>16}")
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
    return _mean_of_tasks(run.held_out, f"mean of {plural(count, 'task')}")


def _trained_cluster_rows(run: RunFiles) -> list[ScoreRow]:
    """Returns the means of the clusters that the run trains on."""
    return [
        _mean_of_tasks(tasks, f"{cluster} ({plural(len(tasks), 'task')})")
        for cluster, tasks in run.trained_on.items()
    ]


def _further_phases(tasks: Sequence[TaskScores]) -> list[Phase]:
    """Returns the phases with further prompts: other evaluations of the same parameters."""
    phases: set[Phase] = set()
    for task in tasks:
        for phase in task.scores:
            if phase.prompts and not phase.is_control:
                phases.add(phase)
    return sorted(phases, key=str)


def _summary(run: RunFiles) -> list[html.Block]:
    blocks: list[html.Block] = []
    note = generated_rows_note(run.row_kinds)
    if note:
        blocks.append(html.Paragraph(note, "note"))
    if run.is_evaluation:
        return [*blocks, *_checkpoint_summary(run)]

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


def _checkpoint_summary(run: RunFiles) -> list[html.Block]:
    """Returns the mean of a checkpoint over the tasks that it was not trained on."""
    mean = _held_out_mean(run)
    if mean.after is None:
        text = "No task is scored yet."
        if run.trained_on and not run.held_out:
            text = "The checkpoint was trained on all tasks that are scored."
        return [html.Paragraph(text)]

    score = mean.after.mean
    subject = plural(len(run.held_out), "task")
    if run.trained_on:
        subject += " that the checkpoint was not trained on"
    sentences = [
        f"The mean score of {subject}, over all templates, is {score:.1f}%.",
        _interval_text(mean.after.interval),
    ]
    label = mean.name
    if mean.chance is not None:
        label += f", chance {mean.chance:.1f}"
        sentences.append(f"A blind guess scores {mean.chance:.1f}%.")
        if mean.is_at_chance:
            sentences.append(NO_BETTER_THAN_CHANCE)
    text = " ".join(sentence for sentence in sentences if sentence)
    headline = html.ScoreChange(before=None, after=score, label=label)
    return [headline, html.Paragraph(text)]


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
    tasks = plural(total, "task")
    if count < total:
        tasks = f"{count} of {tasks}"
    clusters = "clusters" if ", " in run.held_out_name else "cluster"
    subject = (
        f"On the held-out {clusters} {run.held_out_name} the mean score of {tasks}"
    )
    sentences = [
        f"{subject}, over all templates, {_change_text(run, mean)}",
        _interval_text(mean.latest.interval),
    ]
    if mean.chance is not None:
        sentences.append(f"A blind guess scores {mean.chance:.1f}%.")
    if mean.before is not None and mean.is_at_chance:
        sentences.append(NO_BETTER_THAN_CHANCE)
    return " ".join(sentence for sentence in sentences if sentence)


def _change_text(run: RunFiles, mean: ScoreRow) -> str:
    before = _mean(mean, BEFORE)
    after = _mean(mean, AFTER)
    if before is None:
        return f"is {after:.1f}% after training."
    if after is None:
        return f"is {before:.1f}% before training."
    rows = [task_row([task]) for task in _comparable(run.held_out)]
    difference = contrast(rows, BEFORE, AFTER)
    if difference is None or math.isnan(difference.interval.low):
        change = html.signed(after - before)
        return f"is {before:.1f}% before and {after:.1f}% after training ({change} points)."
    change = f"{difference.text} points"
    scores = f"from {before:.1f}% to {after:.1f}%"
    if difference.is_above_zero:
        return f"rises with training {scores} ({change})."
    if difference.interval.high < 0:
        return f"falls with training {scores} ({change})."
    return f"does not change significantly with training: {scores} ({change})."


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
        steps = plural(run.result["step"], "step")
        return f"The run is finished: {steps} in {minutes:,.1f} minutes."
    step = run.metrics[-1]["step"] if run.metrics else 0
    steps = f"{run.mixture.steps:,}" if run.mixture else "?"
    return f"The run is not finished: step {step:,} of {steps} is logged."


def _held_out_tasks(run: RunFiles) -> list[html.Block]:
    if run.is_evaluation and not run.held_out:
        return []  # the clusters trained on follow
    heading = html.Heading("Held-out tasks")
    if run.is_evaluation:
        heading = html.Heading("Tasks not trained on" if run.trained_on else "Tasks")
    elif run.section("data") and run.held_out_name is None:
        return [heading, html.Paragraph("No cluster is held out.")]
    if not run.held_out:
        return [heading, html.Placeholder("no held-out task is scored")]
    rows = [task_row([task]) for task in run.held_out]
    figure = run_figures.score_bars(
        rows, "a template", faint=False, is_evaluation=run.is_evaluation
    )
    return [heading, figure]


def _controls(run: RunFiles) -> list[html.Block]:
    """Returns what tuning has added by the controls; [] for a run without controls."""
    clusters: dict[str, list[ScoreRow]] = {}
    for task in _comparable(run.held_out):
        clusters.setdefault(task.cluster, []).append(task_row([task]))
    return control_blocks(clusters)


def _clusters_trained_on(run: RunFiles) -> list[html.Block]:
    rows = _trained_cluster_rows(run)
    if not rows:
        return []
    figure = run_figures.score_bars(
        rows, "a task", faint=True, is_evaluation=run.is_evaluation
    )
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
        clusters = "" if run.is_evaluation else run.held_out_name
        names = [mean.name, clusters, "yes"]
        rows.insert(len(run.held_out), [*names, *_score_cells(mean, further_phases)])

    columns = [*SCORE_COLUMNS, *map(phase_label, further_phases)]
    table = html.Table(
        columns=columns, rows=rows, text_columns=4, bold=bold, dense=True
    )
    explanation = SCORES_EXPLAINED
    if run.is_evaluation:
        labels = [phase_label(phase, is_evaluation=True) for phase in further_phases]
        table = _without_training(table, labels, bool(run.trained_on))
        explanation = CHECKPOINT_SCORES_EXPLAINED
    remarks = [
        notes.truncated_prompts(tasks),
        notes.tied_prompts(tasks),
        notes.partial_groups(tasks),
        notes.tasks_without_scores(run.section("not_evaluated")),
    ]
    return [
        heading,
        table,
        html.Paragraph(explanation, "caption"),
        *(html.Paragraph(remark, "missing") for remark in remarks if remark),
    ]


def _without_training(
    table: html.Table, further_labels: Sequence[str], has_trained_on: bool
) -> html.Table:
    """Returns the table of scores of a checkpoint: without the columns of training.

    Args:
      table: the table with all columns.
      further_labels: the headings of the columns behind SCORE_COLUMNS.
      has_trained_on: whether the checkpoint was trained on some of the tasks.
    """
    renamed = {"after": "score", "held out": "not trained on"}
    left_out = {"before", "change"}
    if not has_trained_on:
        left_out.add("held out")
    shown = [i for i, name in enumerate(SCORE_COLUMNS) if name not in left_out]
    columns = [renamed.get(SCORE_COLUMNS[i], SCORE_COLUMNS[i]) for i in shown]
    shown += range(len(SCORE_COLUMNS), len(table.columns))
    rows = []
    for row in table.rows:
        rows.append([row[i] for i in shown])
    return dataclasses.replace(
        table,
        columns=[*columns, *further_labels],
        rows=rows,
        text_columns=table.text_columns - ("held out" in left_out),
    )


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
        "" if is_mean else format_metrics(row.latest),
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
        is_marked = task in held_out and not run.is_evaluation
        block = task_predictions(
            run.path,
            task,
            remark=", held out" if is_marked else "",
            is_open=number == 0,
            is_evaluation=run.is_evaluation,
        )
        blocks.append(block)
    return blocks


def _run_details(run: RunFiles) -> list[html.Block]:
    details = {f"model: {key}": value for key, value in run.section("model").items()}
    details |= {key: run.manifest.get(key, {}) for key in DETAILS}
    if run.is_evaluation:
        # What a run would train on and hold out.
        details["data"] = without_keys(run.section("data"), {"mixture", "held_out"})
        details = {key: value for key, value in details.items() if value != {}}
    else:
        details["result"] = without_keys(run.result or {}, {"tasks"})
    rows = [
        (key, _format_value(value) or "not available yet")
        for key, value in details.items()
    ]
    identity = json.dumps(run.section("identity"), indent=2)
    return [
        html.Heading("Details" if run.is_evaluation else "Run details"),
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
    """Rewrites a run's report: `python -m flan_jax.reports.run_report RUN_DIR`."""
    rewrite_report("run_report", write, arguments)


if __name__ == "__main__":
    main()
