"""Writes a sweep's report: report.html, report.md and results.csv.

It reads files only, so it runs anywhere, also while the sweep is in progress.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from flan_jax.bootstrap import Interval
from flan_jax.errors import plural
from flan_jax.json_files import write_text
from flan_jax.reports import html, notes, sweep_figures, sweep_runs
from flan_jax.reports.command import rewrite_report
from flan_jax.reports.controls import control_blocks
from flan_jax.reports.mixture import generated_rows_note
from flan_jax.reports.scores import (
    SIGNIFICANT,
    Score,
    ScoreRow,
    format_change,
    format_interval,
    format_metrics,
    format_p_value,
)
from flan_jax.reports.sweep_axes import axis_sections
from flan_jax.reports.sweep_figures import TUNED, UNTUNED, FigureRow
from flan_jax.reports.sweep_results import (
    Setting,
    Sweep,
    SweepRun,
    axis_label,
    read_sweep,
)
from flan_jax.reports.sweep_scores import (
    Cluster,
    Results,
    held_out_change,
    held_out_mean,
    score_sweep,
)
from flan_jax.reports.transfer import transfer_section, transfer_table
from flan_jax.run_records import AFTER, BEFORE, SHUFFLED, Phase, PromptScores

CLUSTER_COLUMNS = (
    "held-out cluster",
    "datasets",
    "chance",
    "majority",
    "untuned",
    "tuned",
    "difference",
    "p",
)
DATASET_COLUMNS = (
    "dataset",
    "metric",
    "chance",
    "majority",
    "untuned",
    "tuned",
    "difference",
    "p",
    "median",
    "best dev.",
    "size",
    "other metrics (tuned)",
)
RESULT_COLUMNS = (
    "cluster",
    "task",
    "held_out",
    "when",
    "metric",
    "mean",
    "median",
    "q25",
    "q75",
    "low",
    "high",
    "standard_error",
    "best_dev_score",
    "chance",
    "majority",
    "examples",
    "truncated",
    "ties",
    "template_scores",
    "other_metrics",
)
"""Columns of results.csv that follow the run and its axes."""
NO_BREAK_INDENT = "\u00a0\u00a0"
MAX_ERROR = 300
"""Longer error messages are clipped."""


def write(sweep_dir: Path) -> Path:
    """Writes report.html, report.md and results.csv into a sweep directory.

    A sweep that trains on single clusters has a transfer.csv, too.

    What cannot be read of a run is listed with the reason.

    Args:
      sweep_dir: the sweep directory.

    Returns:
      The path of report.html.

    Raises:
      InputError: the directory holds no sweep, or its plan is damaged.
    """
    sweep = read_sweep(sweep_dir)
    results = score_sweep(sweep)
    sections = [
        _summary(results),
        transfer_section(results),
        _controls(results),
        _gaps(sweep),
        _datasets(results),
        _templates(results),
        axis_sections(results),
        *sweep_runs.sections(results),
    ]
    title = f"Sweep {sweep.plan.get('name') or sweep_dir.resolve().name}"
    write_text(sweep_dir / "results.csv", results_table(sweep).to_csv())
    transfer = transfer_table(results)
    if transfer is not None:
        write_text(sweep_dir / "transfer.csv", transfer.to_csv())
    write_text(sweep_dir / "report.md", html.markdown(title, sections))
    write_text(sweep_dir / "report.html", html.page(title, sections))
    return sweep_dir / "report.html"


def _summary(results: Results) -> list[html.Block]:
    """Returns the state of the runs, the verdict, and the means of the headline clusters."""
    sweep = results.sweep
    states = [run.state for run in sweep.runs]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in sorted(set(states))
    )
    runs = plural(len(states), "run")
    blocks: list[html.Block] = [
        html.Paragraph(f"{runs}: {counts}.{_headline_text(sweep)}")
    ]
    note = generated_rows_note(sweep_runs.sweep_row_kinds(sweep))
    if note:
        blocks.append(html.Paragraph(note, "note"))
    if not results.headline:
        return [*blocks, html.Placeholder("no held-out task is scored")]

    compared = _compared(results.headline)
    verdict = "No held-out cluster is scored both untuned and tuned yet."
    if compared:
        verdict = _verdict(compared)
    blocks.append(html.Paragraph(verdict, "verdict"))

    rows = [_figure_row(cluster.mean) for cluster in results.headline if cluster.mean]
    if len(compared) > 1:
        rows += _mean_figure_row(compared)
    if rows:
        blocks.append(sweep_figures.cluster_means(rows))
    caption = html.Paragraph(
        "Held-out clusters, percent: the mean over datasets of the mean over templates on test "
        "examples. Error bars and brackets: 95 % bootstrap intervals over templates and examples, "
        "and over seeds where there are several. p: two-sided paired permutation test of tuned "
        f"against untuned, not corrected for the number of tests; * p < {SIGNIFICANT}.",
        "caption",
    )
    return [*blocks, caption, _cluster_table(results.headline)]


def _headline_text(sweep: Sweep) -> str:
    """Returns which of several settings the first sections show; "" if there is one."""
    if not sweep.axes:
        return ""
    setting = _setting_label(sweep, sweep.headline_setting)
    other_count = len(sweep.settings) - 1
    others = f"The {other_count} other settings follow"
    if other_count == 1:
        others = "The other setting follows"
    return f" Shown here: {setting}. {others} below."


def _setting_label(sweep: Sweep, setting: Setting) -> str:
    """Returns a label such as "MODEL = @Small(), shots = 5"."""
    return ", ".join(
        f"{axis} = {value}" for axis, value in zip(sweep.axes, setting, strict=True)
    )


def _compared(clusters: Sequence[Cluster]) -> list[Cluster]:
    """Returns the clusters that are scored both before and after training."""
    return [
        cluster
        for cluster in clusters
        if cluster.is_scored(BEFORE) and cluster.is_scored(AFTER)
    ]


def _verdict(compared: Sequence[Cluster]) -> str:
    """Returns sentences on the evidence for tuning, and on all evidence against it."""
    means = [cluster.mean for cluster in compared if cluster.mean]
    above = [
        mean for mean in means if mean.difference is not None and mean.difference > 0
    ]
    below = [
        mean for mean in means if mean.difference is not None and mean.difference < 0
    ]

    text = (
        f"Tuned is above untuned on {len(above)} of {plural(len(means), 'held-out cluster')}, "
        f"significantly (p < {SIGNIFICANT}, paired) on {_count_significant(above)}"
    )
    if below:
        text += (
            f"; it is below on {len(below)} ({_names(below)}), significantly on "
            f"{_count_significant(below)}"
        )
    text += "."

    untested = [mean for mean in means if mean.p_value is None]
    if untested:
        text += f" Without a paired test (a metric of a whole set): {_names(untested)}."
    at_chance = [mean for mean in means if mean.is_at_chance]
    if at_chance:
        text += f" Not above chance, given the interval: {_names(at_chance)}."

    before, after = _held_out_means(compared)
    if before and after:
        text += (
            f" Mean over these clusters: {before.mean:.1f} untuned, {after.mean:.1f} tuned "
            f"({_mean_change(compared)})."
        )
    return text


def _mean_change(compared: Sequence[Cluster]) -> str | None:
    """Returns the mean over clusters of the paired differences, with its 95 % interval.

    Without an interval where a cluster does not pair.
    """
    change = held_out_change(compared)
    if change is not None:
        return format_change(change)
    before, after = _held_out_means(compared)
    return html.signed(after.mean - before.mean) if before and after else None


def _count_significant(rows: Sequence[ScoreRow]) -> int:
    return sum(row.is_significant for row in rows)


def _names(rows: Sequence[ScoreRow]) -> str:
    return ", ".join(row.name for row in rows)


def _held_out_means(
    clusters: Sequence[Cluster],
) -> tuple[Interval | None, Interval | None]:
    """Returns the means over clusters before and after training."""
    return held_out_mean(clusters, BEFORE), held_out_mean(clusters, AFTER)


def _figure_row(row: ScoreRow) -> FigureRow:
    scores: dict[str, Score] = {}
    if row.before is not None:
        scores[UNTUNED] = row.before
    if row.after is not None:
        scores[TUNED] = row.after
    note = html.signed(row.difference) or ""
    if row.is_significant:
        note += "*"
    return FigureRow(
        row.name,
        row.chance,
        points={series: score.interval for series, score in scores.items()},
        dots={series: score.parts for series, score in scores.items()},
        note=note,
    )


def _mean_figure_row(compared: Sequence[Cluster]) -> list[FigureRow]:
    before, after = _held_out_means(compared)
    if before is None or after is None:
        return []
    points = {UNTUNED: before, TUNED: after}
    note = html.signed(after.mean - before.mean) or ""
    return [FigureRow(f"mean of {len(compared)}", None, points, dots={}, note=note)]


def _cluster_table(clusters: Sequence[Cluster]) -> html.Table:
    """Returns a row for each cluster and one for the mean over those that are compared."""
    rows: list[list[html.Cell]] = []
    for cluster in clusters:
        if cluster.mean is not None:
            size = f"{len(cluster.complete_tasks)} of {len(cluster.tasks)}"
            rows.append([cluster.name, size, *_score_cells(cluster.mean)])

    compared = _compared(clusters)
    before, after = _held_out_means(compared)
    bold = []
    if before and after:
        bold.append(len(rows))
        change = _mean_change(compared)
        numbers = [format_interval(before), format_interval(after), change, ""]
        rows.append([f"mean of {len(compared)}", "", "", "", *numbers])
    return html.Table(columns=CLUSTER_COLUMNS, rows=rows, text_columns=1, bold=bold)


def _score_cells(row: ScoreRow) -> list[html.Cell]:
    """Returns the cells of the columns from "chance" to "p"."""
    return [
        row.chance,
        row.majority,
        format_interval(row.before.interval) if row.before else None,
        format_interval(row.after.interval) if row.after else None,
        html.signed(row.difference),
        format_p_value(row.p_value),
    ]


def _controls(results: Results) -> list[html.Block]:
    """Returns what tuning has added by the controls; [] for a sweep without controls."""
    shuffled_tasks: dict[str, dict[str, ScoreRow]] = {}
    for cluster in results.with_shuffled_labels:
        rows = {task.name: task for task in cluster.complete_tasks}
        shuffled_tasks[cluster.name] = rows

    clusters: dict[str, list[ScoreRow]] = {}
    for cluster in results.headline:
        shuffled = shuffled_tasks.get(cluster.name, {})
        clusters[cluster.name] = [
            _beside(task, shuffled.get(task.name)) for task in cluster.complete_tasks
        ]
    return control_blocks(clusters)


def _beside(task: ScoreRow, shuffled: ScoreRow | None) -> ScoreRow:
    """Returns the scores of a task with those of the model tuned on shuffled labels."""
    if shuffled is None or shuffled.after is None:
        return task
    return dataclasses.replace(task, scores={**task.scores, SHUFFLED: shuffled.after})


def _gaps(sweep: Sweep) -> list[html.Block]:
    """Returns what is missing: runs, files, tasks and the ends of prompts; [] if nothing is."""
    blocks: list[html.Block] = []
    runs = [run for run in sweep.runs_and_base if run.state != "finished" or run.gaps]
    if runs:
        introduction = html.Paragraph(
            "Runs that are waiting, running or failed, and files that could not be read. Their "
            "scores are missing above."
        )
        columns = ("run", "state", "last error", "not readable", "attempts")
        rows = [_gap_row(run) for run in runs]
        blocks += [introduction, html.Table(columns=columns, rows=rows, text_columns=4)]

    left_out = sweep.plan.get("left_out", [])
    tasks = [task for run in sweep.runs for task in run.tasks if task.held_out]
    remarks = [
        f"Not held out (no task can be evaluated): {', '.join(left_out)}."
        if left_out
        else None,
        notes.truncated_prompts(tasks),
        notes.tied_prompts(tasks),
        notes.partial_groups(tasks),
        notes.tasks_without_scores(sweep_runs.tasks_without_scores(sweep)),
    ]
    blocks += [html.Paragraph(remark, "missing") for remark in remarks if remark]
    return [html.Heading("Gaps"), *blocks] if blocks else []


def _gap_row(run: SweepRun) -> list[html.Cell]:
    error_lines = str(run.status.get("error") or "").strip().splitlines()
    error = html.clip(error_lines[-1], MAX_ERROR) if error_lines else None
    gaps = "; ".join(run.gaps) or None
    return [run.name, run.state, error, gaps, run.status.get("attempts")]


def _datasets(results: Results) -> list[html.Block]:
    """Returns the headline clusters with their datasets, and the clusters in other settings."""
    if not results.headline:
        return []
    blocks: list[html.Block] = [
        html.Heading("Held-out datasets"),
        _dataset_table(results.headline),
    ]
    excluded = [
        f"{task} ({cluster.name})"
        for cluster in results.headline
        for task in cluster.excluded
    ]
    if excluded:
        text = (
            f"Excluded from the cluster mean (missing scores): {', '.join(excluded)}."
        )
        blocks.append(html.Paragraph(text, "missing"))
    caption = html.Paragraph(
        "Untuned and tuned: mean over templates (and seeds) with its 95 % interval; a cluster's is "
        "the mean of its datasets. Median with quartiles over templates, and best dev. (the test "
        "score of the template that is best on validation examples): tuned. Chance: a blind "
        "guess. Majority: always the most frequent answer. p: as above. Size: test examples "
        "\u00d7 templates.",
        "caption",
    )
    blocks.append(caption)

    sweep = results.sweep
    for setting, clusters in results.by_setting.items():
        if setting != sweep.headline_setting and clusters:
            label = _setting_label(sweep, setting)
            blocks.append(html.Folded(label, [_cluster_table(clusters)]))
    return blocks


def _dataset_table(clusters: Sequence[Cluster]) -> html.Table:
    rows: list[list[html.Cell]] = []
    bold = []
    for cluster in clusters:
        bold.append(len(rows))
        cluster_cells: list[html.Cell] = [""] * (len(DATASET_COLUMNS) - 1)
        if cluster.mean is not None:
            cluster_cells = _dataset_cells(cluster.mean)
        rows.append([cluster.name, *cluster_cells])
        for task in cluster.tasks:
            rows.append([f"{NO_BREAK_INDENT}{task.name}", *_dataset_cells(task)])
    return html.Table(
        columns=DATASET_COLUMNS, rows=rows, text_columns=2, bold=bold, dense=True
    )


def _dataset_cells(row: ScoreRow) -> list[html.Cell]:
    """Returns the cells of the columns from "metric" on."""
    size = ""
    if row.latest is not None and row.examples is not None:
        size = f"{row.examples:,} \u00d7 {len(row.latest.parts)}"
    return [
        row.metric or "",
        *_score_cells(row),
        _median_cell(row.after),
        row.after.best if row.after else None,
        size,
        format_metrics(row.after),
    ]


def _median_cell(score: Score | None) -> str | None:
    """Returns "65.0 [60.0, 70.0]", the median with its quartiles."""
    if score is None or score.median is None:
        return None
    text = f"{score.median:.1f}"
    if score.quartiles is not None:
        low, high = score.quartiles
        text += f" [{low:.1f}, {high:.1f}]"
    return text


def _templates(results: Results) -> list[html.Block]:
    """Returns the figure of all template scores."""
    rows = []
    for cluster in results.headline:
        rows += [_figure_row(task) for task in cluster.tasks if task.scores]
    if not rows:
        return []
    caption = html.Paragraph(
        "One dot for each template: its test score in percent, averaged over seeds. The tick is "
        "the median.",
        "caption",
    )
    return [html.Heading("Templates"), sweep_figures.template_scores(rows), caption]


def results_table(sweep: Sweep) -> html.Table:
    """Returns results.csv: a row for each run, task and phase; one for a run without scores.

    Args:
      sweep: the sweep.
    """
    axes: list[str] = []
    for run in sweep.runs:
        axes += [axis for axis in run.point if axis not in axes]

    rows: list[list[html.Cell]] = []
    for run in sweep.runs:
        run_cells: list[html.Cell] = [
            run.plan.get("index"),
            run.plan["id"],
            run.name,
            run.state,
        ]
        run_cells += [
            axis_label(run.point[axis]) if axis in run.point else "" for axis in axes
        ]
        is_empty = True
        for task in run.tasks:
            task_cells = [*run_cells, task.cluster, task.task, task.held_out]
            for phase, scores in task.scores.items():
                rows.append([*task_cells, *_result_cells(phase, scores)])
                is_empty = False
        if is_empty:
            rows.append([*run_cells, *[""] * len(RESULT_COLUMNS)])
    columns = ["index", "id", "run", "state", *axes, *RESULT_COLUMNS]
    return html.Table(columns=columns, rows=rows, text_columns=len(columns))


def _result_cells(phase: Phase, scores: PromptScores) -> list[html.Cell]:
    """Returns the cells of the columns from "when" on."""
    best = scores.best_dev_template
    templates = [f"{index}:{score:.4f}" for index, score in scores.by_template.items()]
    others = [f"{name}:{score:.4f}" for name, score in scores.further_metrics.items()]
    return [
        str(phase),
        scores.metric,
        scores.mean,
        scores.median,
        *(scores.quartiles or ("", "")),
        *(scores.interval or ("", "")),
        scores.standard_error,
        best.score if best else None,
        scores.chance,
        scores.majority,
        scores.examples,
        scores.truncated,
        scores.ties,
        " ".join(templates),
        " ".join(others),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrites a sweep's report: `python -m flan_jax.reports.sweep_report SWEEP_DIR`."""
    rewrite_report("sweep_report", write, arguments)


if __name__ == "__main__":
    main()
