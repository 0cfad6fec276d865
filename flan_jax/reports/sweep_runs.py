"""Sections on the runs of a sweep: curves, mixture, leakage audit, cost, software, predictions."""

import collections
import csv
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from flan_jax.errors import plural
from flan_jax.reports import html, sweep_figures
from flan_jax.reports.mixture import (
    generated_rows_note,
    has_real_rows_only,
    mixture_section,
    row_kinds,
)
from flan_jax.reports.predictions import answered_prompts, sample_predictions
from flan_jax.reports.scores import ScoreRow
from flan_jax.reports.sweep_results import DAMAGE, Sweep, SweepRun, axis_label
from flan_jax.reports.sweep_scores import Results
from flan_jax.run_dir import MANIFEST
from flan_jax.run_records import AFTER, predictions_file

EXAMPLES_PER_TASK = 6
"""Predictions that a sweep's report shows of a task."""
MAX_ROWS = 24
"""Longer tables of runs are folded."""
PUBLISHED_RESULTS = Path(__file__).with_name("published_results.csv")


def sections(results: Results) -> list[list[html.Block]]:
    """Returns the sections on the runs in the order of the report.

    Args:
      results: the results of the sweep.

    Returns:
      The blocks of each section.
    """
    return [
        base_model(results),
        learning_curves(results),
        published(results),
        mixture(results),
        leakage(results),
        cost(results),
        software(results),
        plan(results),
        predictions(results),
    ]


def sweep_row_kinds(sweep: Sweep) -> dict[str, str | None]:
    """Returns the kind of the rows of each task that the runs train on or score."""
    mixtures = [run.mixture for run in sweep.runs if run.mixture is not None]
    scored = [task for run in sweep.runs for task in run.tasks]
    return row_kinds(mixtures, scored)


def tasks_without_scores(sweep: Sweep) -> dict[str, str]:
    """Returns why tasks could not be evaluated, by task."""
    reasons = {}
    for run in sweep.runs:
        for task, reason in run.manifest_section("not_evaluated").items():
            reasons[str(task)] = str(reason)
    return reasons


def base_model(results: Results) -> list[html.Block]:
    """Returns the section on the model that all runs start from; [] if there is not one alone.

    Args:
      results: the scores of the sweep.
    """
    run = results.sweep.base
    if run is None:
        return _warm_start(results)
    mixture_name = run.manifest_section("data").get("mixture") or "its own mixture"
    parameters = run.manifest_section("model").get("parameters")
    steps = html.format_cell(run.plan.get("steps"))
    tokens = html.format_cell(run.plan.get("tokens"))

    facts = [f"trained from scratch on {mixture_name} ({run.state})"]
    if isinstance(parameters, int):
        facts.append(f"{parameters:,} parameters")
    facts.append(f"{steps} steps of {tokens} tokens in all")
    if run.seconds is not None:
        facts.append(f"{run.seconds:,.0f} seconds")
    if len(run.losses):
        step, loss = run.losses[-1]
        facts.append(f"loss {loss:.3f} at step {step:,.0f}")
    config = (run.path / "config.gin").relative_to(results.sweep.path)
    text = f"All runs start from one model, {'; '.join(facts)}. Its configuration: {config}."

    blocks: list[html.Block] = [html.Heading("Base model"), html.Paragraph(text)]
    if len(run.losses):
        blocks.append(sweep_figures.learning_curves([run.losses], {}, "the base model"))
    return blocks


def _warm_start(results: Results) -> list[html.Block]:
    """Returns the section on the folder that all runs start from; [] if there is not one alone."""
    starts = [run.manifest_section("start") for run in results.sweep.runs]
    known = [start for start in starts if "path" in start]
    if not known or len({json.dumps(start, sort_keys=True) for start in known}) > 1:
        return []
    start = known[0]
    what = f", {start['what']}" if "what" in start else ""
    text = (
        f"All runs start from {start['path']}{what} (hash of its files: "
        f"{start.get('files', 'not known')})."
    )
    return [html.Heading("Base model"), html.Paragraph(text)]


def learning_curves(results: Results) -> list[html.Block]:
    """Returns the losses of all runs, and held-out means during training of the headline runs.

    Args:
      results: the scores of the sweep.
    """
    heading = html.Heading("Learning curves")
    losses = [run.losses for run in results.sweep.runs if len(run.losses)]
    if not losses:
        return [heading, html.Placeholder("no training step is logged")]
    evaluated = _means_during_training(results)
    caption = f"Training loss of {plural(len(losses), 'run')}"
    if evaluated:
        caption += "; held-out clusters scored during training, mean over runs"
    blocks = [
        heading,
        sweep_figures.learning_curves(losses, evaluated),
        html.Paragraph(f"{caption}.", "caption"),
    ]
    if not evaluated:
        blocks.append(
            html.Paragraph("No run scored held-out clusters during training.")
        )
    return blocks


def _means_during_training(results: Results) -> dict[str, np.ndarray]:
    """Returns float[points, 2], step and mean over runs, by cluster."""
    names = [cluster.name for cluster in results.headline]
    # {cluster: {step: means}}
    points: dict[str, dict[float, list[float]]] = {}
    for run in results.sweep.headline_runs:
        for row in run.evaluated:
            for cluster, mean in row.items():
                if cluster in names and isinstance(mean, int | float):
                    by_step = points.setdefault(cluster, {})
                    by_step.setdefault(row["step"], []).append(mean)
    curves = {}
    for cluster, by_step in points.items():
        curve = [(step, np.mean(by_step[step])) for step in sorted(by_step)]
        curves[cluster] = np.array(curve)
    return curves


def published(results: Results) -> list[html.Block]:
    """Returns published numbers for the same clusters and datasets.

    Our own stand beside them only if all rows come from the real datasets.

    Args:
      results: the scores of the sweep.
    """
    heading = html.Heading("Published numbers")
    is_comparable = has_real_rows_only(sweep_row_kinds(results.sweep))
    with PUBLISHED_RESULTS.open(encoding="utf-8", newline="") as file:
        entries = list(csv.DictReader(file))

    rows: list[list[html.Cell]] = []
    for entry in entries:
        measured = _measured(results, entry)
        if not measured:
            continue
        keys = ("name", "metric", "system", "setting", "source")
        row: list[html.Cell] = [*(entry[key] for key in keys), float(entry["value"])]
        if is_comparable:
            row.append(_comparable_mean(entry, measured))
        rows.append(row)
    if not rows:
        return [
            heading,
            html.Paragraph("None known for these clusters and datasets.", "missing"),
        ]

    columns = [
        "cluster or datasets",
        "metric",
        "system",
        "setting",
        "source",
        "published",
    ]
    if is_comparable:
        columns.append("measured here, tuned")
        remark = html.Paragraph(
            "Published numbers are copied from the named source, not measured here: models, "
            "prompts and subsets of the data differ. For a cluster's published mean none of ours "
            "is given: its datasets and metrics differ."
        )
    else:
        remark = html.Paragraph(
            f"For context only. {_why_not_comparable(results.sweep)}, so that their scores are not "
            "comparable with published ones.",
            "note",
        )
    return [
        heading,
        remark,
        html.Table(columns=columns, rows=rows, text_columns=5, dense=True),
    ]


def _why_not_comparable(sweep: Sweep) -> str:
    if generated_rows_note(sweep_row_kinds(sweep)):
        return "Rows of these runs are generated"
    return "It is not known where the rows of these runs come from"


def _measured(results: Results, entry: Mapping[str, str]) -> list[ScoreRow]:
    """Returns our scores for a published number; [] if one of its datasets is missing."""
    if entry["kind"] == "cluster":
        return [
            cluster.mean
            for cluster in results.headline
            if cluster.name == entry["name"] and cluster.mean is not None
        ]
    tasks: dict[str, ScoreRow] = {}
    for cluster in results.headline:
        for task in cluster.tasks:
            if task.metric == entry["metric"]:
                tasks[task.name] = task
    names = entry["name"].split()
    if not all(name in tasks for name in names):
        return []
    return [tasks[name] for name in names]


def _comparable_mean(
    entry: Mapping[str, str], measured: Sequence[ScoreRow]
) -> float | None:
    """Returns our mean over the same datasets; None for a cluster, whose datasets differ."""
    scores = [row.after for row in measured if row.after is not None]
    if entry["kind"] != "tasks" or len(scores) < len(measured):
        return None
    return float(np.mean([score.mean for score in scores]))


def mixture(results: Results) -> list[html.Block]:
    """Returns what each run trains on, and the mixture of the first run task by task.

    Args:
      results: the scores of the sweep.
    """
    heading = html.Heading("Mixture")
    runs = [run for run in results.sweep.runs if run.mixture is not None]
    if not runs:
        return [heading, html.Placeholder(f"no {MANIFEST} describes a mixture")]

    rows: list[list[html.Cell]] = []
    details: list[html.Block] = []
    for run in runs:
        summary = run.mixture
        assert summary is not None
        rows.append(
            [
                run.name,
                str(run.manifest_section("data").get("mixture")),
                len(summary.tasks),
                len({task.cluster for task in summary.tasks}),
                sum(task.examples for task in summary.tasks),
                summary.steps,
                summary.batch_size,
                summary.supervised_tokens_per_batch,
            ]
        )
        if not details:
            details = [
                html.Folded(f"Task by task: {run.name}", mixture_section(summary))
            ]
    columns = (
        "run",
        "mixture",
        "tasks",
        "clusters",
        "examples",
        "steps",
        "batch size",
        "supervised tokens per step",
    )
    table = html.Table(columns=columns, rows=rows, text_columns=2)
    return [heading, _folded_if_long(table), *details]


def _folded_if_long(table: html.Table) -> html.Block:
    if len(table.rows) <= MAX_ROWS:
        return table
    return html.Folded(plural(len(table.rows), "run"), [table])


def leakage(results: Results) -> list[html.Block]:
    """Returns the leakage audits of the runs, and the commands for those that are missing.

    Args:
      results: the scores of the sweep.
    """
    sweep = results.sweep
    audited = [run for run in sweep.runs if run.leakage is not None]
    rows: list[list[html.Cell]] = []
    for run in audited:
        rows += _finding_rows(run)

    blocks = [html.Heading("Leakage audit"), *_missing_audits(sweep, audited)]
    if rows:
        columns = (
            "run",
            "held-out task",
            "trained on",
            "common origin",
            "near-duplicates",
            "examples audited",
        )
        caption = html.Paragraph(
            "Near-duplicates: held-out examples whose input shares about 70 % or more of its word "
            "5-grams with a training example. Examples audited: the test examples that are "
            "scored, or all of them if launch/leakage.py made the audit.",
            "caption",
        )
        blocks += [html.Table(columns=columns, rows=rows, text_columns=4), caption]
    return blocks


def _missing_audits(sweep: Sweep, audited: Sequence[SweepRun]) -> list[html.Block]:
    """Returns the commands that audit what no run has audited yet; [] if nothing is missing.

    Runs that train on the same data and hold out the same tasks share an audit.
    """
    done = {_data_key(run) for run in audited}
    missing: dict[str, SweepRun] = {}
    for run in sweep.runs:
        if run.manifest and _data_key(run) not in done:
            missing.setdefault(_data_key(run), run)
    if not missing:
        return []

    paths = [run.path.relative_to(sweep.path) for run in missing.values()]
    commands = [
        f"python launch/leakage.py --run_dir=$SWEEP_DIR/{path}" for path in paths
    ]
    commands = [
        *commands[:MAX_ROWS],
        "python -m flan_jax.reports.sweep_report $SWEEP_DIR",
    ]
    text = (
        f"{len(missing)} of {len(done) + len(missing)} combinations of a mixture and held-out "
        "tasks are not audited yet. An audit takes a minute or more of processor time. With "
        "SWEEP_DIR set to this sweep's directory, run:"
    )
    return [html.Paragraph(text), html.Preformatted("\n".join(commands))]


def _data_key(run: SweepRun) -> str:
    """Returns what a run trains on and holds out, as text."""
    return json.dumps(run.manifest_section("data"), sort_keys=True)


def _finding_rows(run: SweepRun) -> list[list[html.Cell]]:
    """Returns a row for each finding of a run's audit, or one that says why there is none."""
    try:
        findings = _findings(run.leakage)
    except DAMAGE as error:
        reason = f"not an audit ({type(error).__name__}: {error})"
        return [[run.name, reason, "-", "-", None, None]]
    if not findings:
        return [[run.name, "no finding", "-", "-", None, None]]
    return [[run.name, *cells] for cells in findings]


def _findings(audit: object) -> list[list[html.Cell]]:
    """Returns the cells of each finding of an audit.

    Raises:
      LookupError, TypeError: the audit is damaged.
    """
    if not isinstance(audit, Mapping):
        raise TypeError(f"a {type(audit).__name__} instead of an object")
    return [
        [
            finding["held_out"],
            finding["trained"],
            finding["origin"] or None,
            finding["duplicates"],
            finding["examples"],
        ]
        for finding in audit["findings"]
    ]


def cost(results: Results) -> list[html.Block]:
    """Returns seconds, device-hours, tokens and FLOPs of each run and in all.

    Args:
      results: the scores of the sweep.
    """
    rows: list[list[html.Cell]] = []
    totals = np.zeros(4)
    for run in results.sweep.runs_and_base:
        devices = str(run.manifest.get("devices") or "-")
        numbers = [
            run.seconds,
            _device_hours(devices, run.seconds),
            _planned_number(run, "tokens"),
            _planned_number(run, "flops"),
        ]
        totals += [number or 0.0 for number in numbers]
        rows.append([run.name, run.state, devices, *_cost_cells(numbers)])

    seconds, hours, tokens, flops = _cost_cells(totals.tolist())
    columns = ("run", "state", "devices", "seconds", "device-hours", "tokens", "FLOPs")
    return [
        html.Heading("Cost"),
        html.Paragraph(
            f"In all {seconds} seconds, {hours} device-hours, {tokens} tokens, {flops} FLOPs."
        ),
        _folded_if_long(html.Table(columns=columns, rows=rows, text_columns=3)),
        html.Paragraph(
            "Seconds: wall time of the run's process. Tokens and FLOPs: as planned, for finished "
            "runs.",
            "caption",
        ),
    ]


def _device_hours(devices: str, seconds: float | None) -> float | None:
    """Returns the device-hours of a run on devices such as "8 x TPU v5 lite"."""
    count = re.match(r"\d+", devices)
    if count is None or seconds is None:
        return None
    return int(count[0]) * seconds / 3600


def _planned_number(run: SweepRun, key: str) -> float | None:
    """Returns a number of the plan for a finished run."""
    value = run.plan.get(key)
    if run.state != "finished" or not isinstance(value, int | float):
        return None
    return float(value)


def _cost_cells(numbers: Sequence[float | None]) -> list[str | None]:
    """Formats seconds, device-hours, tokens and FLOPs."""
    formats = ("{:,.0f}", "{:,.2f}", "{:,.0f}", "{:.2e}")
    return [
        None if number is None else format_text.format(number)
        for number, format_text in zip(numbers, formats, strict=True)
    ]


def software(results: Results) -> list[html.Block]:
    """Returns the versions of the packages that the runs used.

    Args:
      results: the scores of the sweep.
    """
    versions: collections.Counter[tuple[str, str]] = collections.Counter()
    for run in results.sweep.runs:
        versions.update(run.manifest_section("versions").items())
    heading = html.Heading("Software")
    if not versions:
        return [heading, html.Placeholder(f"no {MANIFEST} names versions")]
    rows = [
        [package, version, count]
        for (package, version), count in sorted(versions.items())
    ]
    columns = ("package", "version", "runs")
    return [heading, html.Table(columns=columns, rows=rows, text_columns=2)]


def plan(results: Results) -> list[html.Block]:
    """Returns the plan, and the values of the axes of each run.

    Args:
      results: the scores of the sweep.
    """
    sweep = results.sweep
    facts = [
        (key, axis_label(value))
        for key, value in sweep.plan.items()
        if key not in ("axes", "base")
    ]
    for axis, values in sweep.plan["axes"].items():
        facts.append((f"axis {axis}", "; ".join(map(axis_label, values))))

    axes = dict.fromkeys(itertools.chain.from_iterable(run.point for run in sweep.runs))
    varying = []
    for axis in axes:
        labels = {axis_label(run.point.get(axis)) for run in sweep.runs}
        if len(labels) > 1:
            varying.append(axis)
    rows = []
    for run in sweep.runs:
        values = [axis_label(run.point.get(axis)) for axis in varying]
        rows.append([str(run.plan["id"]), run.state, *values])
    table = html.Table(
        columns=["id", "state", *varying], rows=rows, text_columns=2 + len(varying)
    )
    return [
        html.Heading("Plan"),
        html.Table(columns=("", ""), rows=facts, text_columns=2),
        html.Heading("Runs", level=3),
        _folded_if_long(table),
    ]


def predictions(results: Results) -> list[html.Block]:
    """Returns tuned predictions of each held-out task in the headline setting, with links.

    Args:
      results: the scores of the sweep.
    """
    heading = html.Heading("Example predictions")
    files: dict[tuple[str, str], Path] = {}
    for run in results.sweep.headline_runs:
        for task in run.tasks:
            file = predictions_file(run.path, task.task, AFTER)
            if task.held_out and file.exists():
                files.setdefault((task.cluster, task.task), file)
    if not files:
        return [heading, html.Placeholder("no tuned model's predictions are written")]
    introduction = html.Paragraph(
        f"Up to {EXAMPLES_PER_TASK} test examples of each task after tuning, chosen without "
        "regard to the outcome.",
        "caption",
    )
    blocks: list[html.Block] = [heading, introduction]
    for (cluster, task), file in sorted(files.items()):
        examples = []
        failure = ""
        try:
            rows = sample_predictions(file, EXAMPLES_PER_TASK)
            examples = [answered_prompts({AFTER: row}) for row in rows]
        except DAMAGE as error:
            failure = f"{file.name} cannot be read ({type(error).__name__}: {error})."
        blocks.append(
            html.TaskPredictions(
                task=task,
                remark=f" ({cluster})",
                examples=examples,
                link=quote(str(file.relative_to(results.sweep.path))),
                failure=failure,
            )
        )
    return blocks
