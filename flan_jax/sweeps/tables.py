"""A sweep as tables on the terminal: what it will cost, how far it is."""

import datetime
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import rich.box
import rich.table

from flan_jax.json_files import read_json, read_jsonl
from flan_jax.run_dir import RESULT
from flan_jax.sweeps import queue
from flan_jax.sweeps.sweep_dir import Plan, PlannedRun, Status, read_plan, read_status

EFFICIENCY = 0.3
"""Of the rate of large matrix products, what a small model's training reaches: the estimate before anything has run."""


def _scores(sweep_dir: Path, run: PlannedRun) -> str:
    """The mean over the held-out tasks, before and after, as far as it is known."""
    held_out = [
        t
        for t in (read_json(sweep_dir / run.directory / RESULT) or {"tasks": {}})["tasks"].values()
        if t["held_out"]
    ]
    if not held_out or not all("before" in task and "after" in task for task in held_out):
        return ""
    before, after = (
        statistics.fmean(task[when] for task in held_out) for when in ("before", "after")
    )
    return f", held out {before:.1f} -> {after:.1f}"


def listing(plan: Plan) -> rich.table.Table:
    """The runs of a plan with what each will take."""
    rate = measured_flops_per_second() * EFFICIENCY
    title = f"{len(plan.runs)} runs; times: {EFFICIENCY:.0%} of this machine's {rate / EFFICIENCY / 1e9:,.0f} GFLOP/s in matrix products"
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, title=title, title_justify="left")
    for name in ("index", "id", "run"):
        table.add_column(name)
    for name in ("steps", "tokens", "TFLOP", "time", "disk"):
        table.add_column(name, justify="right")
    everything = [*([plan.base] if plan.base else []), *plan.runs]
    for run in everything:
        index = "" if run.index is None else str(run.index)
        table.add_row(
            index,
            run.id,
            run.name,
            f"{run.steps:,}",
            *_costs(run.tokens, run.flops, run.disk, rate),
        )
    tokens, flops, disk = (
        sum(getattr(run, name) for run in everything) for name in ("tokens", "flops", "disk")
    )
    table.add_section()
    table.add_row("", "", "all", "", *_costs(tokens, flops, disk, rate))
    return table


def _costs(tokens: int, flops: float, disk: int, rate: float) -> tuple[str, ...]:
    return (
        f"{tokens / 1e6:,.1f} M",
        f"{flops / 1e12:,.1f}",
        _duration(flops / rate),
        f"{disk / 2**20:,.0f} MiB",
    )


def measured_flops_per_second() -> float:
    """Of one float32 matrix product of all devices' kind, best of three."""
    x = jnp.ones((1024, 1024), jnp.float32)
    product = jax.jit(lambda x: x @ x).lower(x).compile()
    times = []
    for _ in range(4):  # the first is to warm up
        start = time.perf_counter()
        product(x).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / min(times[1:]) * jax.device_count()


def status_table(sweep_dir: Path) -> rich.table.Table:
    """How far each run is, from files alone."""
    plan = read_plan(sweep_dir)
    states = {
        run.id: read_status(sweep_dir, run)
        for run in (*plan.runs, *([plan.base] if plan.base else []))
    }
    counts: dict[str, int] = {}
    for run in plan.runs:
        state = _state(states[run.id])
        counts[state] = counts.get(state, 0) + 1
    title = f"{sweep_dir}: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, title=title, title_justify="left")
    jobs = queue.last_jobs(sweep_dir)
    for name in ("index", "run", *(["job"] if jobs else []), "state"):
        table.add_column(name)
    for name in ("step", "loss", "time"):
        table.add_column(name, justify="right")
    table.add_column("held out, or what went wrong", overflow="fold")
    for run in (*([plan.base] if plan.base else []), *plan.runs):
        status = states[run.id]
        last = _last_metrics(sweep_dir / run.directory)
        table.add_row(
            "" if run.index is None else str(run.index),
            run.name,
            *([jobs.get(run.id, "")] if jobs else []),
            _state(status),
            f"{last['step']:,}/{run.steps:,}" if last else f"0/{run.steps:,}",
            f"{last['loss']:.3f}" if last else "",
            _duration(_elapsed(status)),
            (
                status.error
                if status and status.error
                else _scores(sweep_dir, run).removeprefix(", held out ")
            ),
        )
    return table


def _state(status: Status | None) -> str:
    return "waiting" if status is None else status.state


def _elapsed(status: Status | None) -> float | None:
    if status is None or status.state != "running":
        return None if status is None else status.seconds
    started = datetime.datetime.fromisoformat(status.started)
    return (datetime.datetime.now(datetime.UTC) - started).total_seconds()


def _last_metrics(directory: Path) -> Mapping[str, Any] | None:
    rows: Sequence[Mapping[str, Any]] = [
        row for row in read_jsonl(directory / "metrics.jsonl") if "loss" in row
    ]
    return rows[-1] if rows else None


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
    )
