"""A sweep as tables on the terminal: its costs and its progress."""

import collections
import datetime
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import rich.box
import rich.table

from flan_jax.errors import plural
from flan_jax.evaluation.power import (
    ScoredTask,
    power_text,
    resolvable_difference,
    scored_tasks,
)
from flan_jax.json_files import JsonObject, read_json, read_jsonl
from flan_jax.run_dir import METRICS, RESULT
from flan_jax.sweeps import queue
from flan_jax.sweeps.sweep_dir import Plan, PlannedRun, Status, read_plan, read_status

EFFICIENCY = 0.3
"""The share of the FLOP/s of large matrix products that training a small model reaches."""


def listing(plan: Plan) -> rich.table.Table:
    """Returns a table of the runs of a plan and their costs.

    Args:
      plan: the plan.

    Returns:
      A row for each run, with its steps, tokens, TFLOPs, estimated time and disk space, and a sum.
    """
    peak = measured_flops_per_second()
    rate = peak * EFFICIENCY
    table = _table(
        f"{plural(len(plan.runs), 'run')}; times: {EFFICIENCY:.0%} of this machine's "
        f"{peak / 1e9:,.0f} GFLOP/s in matrix products"
    )
    for name in ("index", "id", "run"):
        table.add_column(name)
    for name in ("steps", "tokens", "TFLOP", "time", "disk"):
        table.add_column(name, justify="right")
    for run in plan.all_runs:
        index = "" if run.index is None else str(run.index)
        costs = _costs(run.tokens, run.flops, run.disk, rate)
        table.add_row(index, run.id, run.name, f"{run.steps:,}", *costs)
    table.add_section()
    tokens = sum(run.tokens for run in plan.all_runs)
    flops = sum(run.flops for run in plan.all_runs)
    disk = sum(run.disk for run in plan.all_runs)
    table.add_row("", "", "all", "", *_costs(tokens, flops, disk, rate))
    return table


def power_lines(plan: Plan) -> list[str]:
    """Returns which differences the runs of a plan can show, and what a point finer takes.

    Runs that differ in SEED alone are one condition with several seeds.

    Args:
      plan: a plan that was just made.
    """
    seeds: collections.Counter[str] = collections.Counter()
    tasks_of: dict[str, list[ScoredTask]] = {}
    every_task: dict[str, ScoredTask] = {}
    for run in plan.runs:
        condition = {axis: v for axis, v in run.point.items() if axis != "SEED"}
        key = repr(condition)
        seeds[key] += 1
        data = plan.data[run.id]
        # The data is not prepared: of each task at most so many examples are scored.
        most = dict.fromkeys(data.split().held_out, data.eval_examples)
        scored = scored_tasks(data.eval_prompts, most)
        tasks_of[key] = list(scored.values())
        every_task |= scored
    conditions = [key for key, tasks in tasks_of.items() if tasks]
    if not conditions:
        return []
    least_seeds = min(seeds[key] for key in conditions)

    differences = [
        resolvable_difference(tasks_of[key], least_seeds, comparisons=len(conditions))
        for key in conditions
    ]
    seeds_text = plural(least_seeds, "seed")
    lines = [
        f"what {seeds_text} can show four times of five (flan_jax/evaluation/power.py):"
    ]
    if len(conditions) > 1:
        lines.append(
            f"one of the {len(conditions)} conditions beside the untuned model, at the level of "
            "all: "
            f"{min(differences):.1f} to {max(differences):.1f} points"
        )
    of_all = power_text(list(every_task.values()), least_seeds)
    lines.append(
        f"the mean of all {len(every_task)} held-out tasks: {of_all}. All runs together "
        "take the time above; so many times the training take so many times of it"
    )
    return lines


def _costs(tokens: int, flops: float, disk: int, rate: float) -> tuple[str, ...]:
    return (
        f"{tokens / 1e6:,.1f} M",
        f"{flops / 1e12:,.1f}",
        duration_text(flops / rate),
        f"{disk / 2**20:,.0f} MiB",
    )


def measured_flops_per_second() -> float:
    """Measures a float32 matrix product on one device, best of three; returns that of all."""
    size = 1024
    x = jnp.ones((size, size), jnp.float32)
    product = jax.jit(lambda x: x @ x).lower(x).compile()
    product(x).block_until_ready()  # warm up
    times = []
    for _ in range(3):
        start = time.perf_counter()
        product(x).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) * jax.device_count()


def status_table(sweep_dir: Path) -> rich.table.Table:
    """Returns a table of the progress of each run, from the files of the sweep directory.

    Args:
      sweep_dir: the sweep directory.

    Returns:
      A row for each run.
    """
    plan = read_plan(sweep_dir)
    statuses = {run.id: read_status(sweep_dir, run) for run in plan.all_runs}
    counts = collections.Counter(_state(statuses[run.id]) for run in plan.runs)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    table = _table(f"{sweep_dir}: {summary}")
    jobs = queue.last_jobs(sweep_dir)

    table.add_column("index")
    table.add_column("run")
    if jobs:
        table.add_column("job")
    table.add_column("state")
    for name in ("step", "loss", "time"):
        table.add_column(name, justify="right")
    table.add_column("held out, or what went wrong", overflow="fold")
    for run in plan.all_runs:
        cells = ["" if run.index is None else str(run.index), run.name]
        if jobs:
            cells.append(jobs.get(run.id, ""))
        table.add_row(*cells, *_progress_cells(sweep_dir, run, statuses[run.id]))
    return table


def _progress_cells(
    sweep_dir: Path, run: PlannedRun, status: Status | None
) -> list[str]:
    """Returns state, step, loss, time, and scores or error."""
    metrics = _last_metrics(sweep_dir / run.directory)
    step = metrics["step"] if metrics else 0
    error = status.error if status else None
    return [
        _state(status),
        f"{step:,}/{run.steps:,}",
        f"{metrics['loss']:.3f}" if metrics else "",
        duration_text(_seconds(status)),
        error or held_out_change(sweep_dir, run),
    ]


def held_out_change(sweep_dir: Path, run: PlannedRun) -> str:
    """Returns the mean over the held-out tasks before and after training: "31.2 -> 40.5".

    It is "" where a run has no held-out tasks, or not all of their scores yet.

    Args:
      sweep_dir: the sweep directory.
      run: a run of the sweep.

    Returns:
      The text; scores are in percent.
    """
    result = read_json(sweep_dir / run.directory / RESULT) or {"tasks": {}}
    held_out = [task for task in result["tasks"].values() if task["held_out"]]
    is_complete = all("before" in task and "after" in task for task in held_out)
    if not held_out or not is_complete:
        return ""
    before = statistics.fmean(task["before"] for task in held_out)
    after = statistics.fmean(task["after"] for task in held_out)
    return f"{before:.1f} -> {after:.1f}"


def _state(status: Status | None) -> str:
    return "waiting" if status is None else status.state


def _seconds(status: Status | None) -> float | None:
    """Returns the time of all attempts, or of the attempt that is running."""
    if status is None:
        return None
    if status.state != "running":
        return status.seconds
    started = datetime.datetime.fromisoformat(status.started)
    return (datetime.datetime.now(datetime.UTC) - started).total_seconds()


def _last_metrics(run_dir: Path) -> JsonObject | None:
    """Returns the last line of metrics.jsonl that has a loss."""
    last = None
    for row in read_jsonl(run_dir / METRICS):
        if "loss" in row:
            last = row
    return last


def duration_text(seconds: float | None) -> str:
    """Returns a duration as minutes and seconds, or hours, minutes and seconds.

    >>> duration_text(3725.0)
    '1:02:05'

    Args:
      seconds: the duration; None if it is not known.

    Returns:
      The text; "" for None.
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_of_hour = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes_of_hour:02}:{rest:02}"
    return f"{minutes}:{rest:02}"


def _table(title: str) -> rich.table.Table:
    return rich.table.Table(box=rich.box.SIMPLE_HEAD, title=title, title_justify="left")
