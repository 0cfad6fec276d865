"""What launch/ablate.py does with a sweep: list it, run it here, say how far it is."""

import concurrent.futures
import contextlib
import dataclasses
import datetime
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import rich.box
import rich.console
import rich.table

from flan_jax.ablation import submission
from flan_jax.ablation.local import LocalEngine, lock
from flan_jax.ablation.plan import (
    BASE,
    Plan,
    PlannedRun,
    Status,
    attempt,
    is_finished,
    make_folders,
    read_plan,
    read_status,
    write_plan,
)
from flan_jax.data.leakage import Audit, audit_runs
from flan_jax.errors import DONE, SAVED, InputError
from flan_jax.json_files import read_json, read_jsonl, write_json
from flan_jax.parallel import multihost
from flan_jax.reports import sweep_report
from flan_jax.run_dir import LEAKAGE, RESULT
from flan_jax.training.settings import Settings
from flan_jax.training.train import train

EFFICIENCY = 0.3
"""Of the rate of large matrix products, what a small model's training reaches: the estimate before anything has run."""

LOW_PRIORITY = 5
"""Of the audit: it gives way to the runs, and still ends on a machine that others keep busy."""


def run_one(sweep_dir: Path, run: PlannedRun, settings: Settings, config_text: str) -> None:
    """One run of a plan, from where it stopped; at once when it is finished. Of several processes the first keeps its status."""
    if not multihost.leads_word(is_finished(sweep_dir, run)):
        with contextlib.ExitStack() as stack:
            if multihost.lead():
                ended = stack.enter_context(attempt(sweep_dir, run))
                stack.enter_context(
                    multihost.last_words(lambda why, code: ended("preempted" if code == SAVED else "failed", why))
                )
            train(str(sweep_dir / run.directory), settings, config_text)


def planned(sweep_dir: Path, index: str) -> PlannedRun:
    """The run of a plan by its index or id, or the base model by "base". Raises InputError when there is none."""
    plan = read_plan(sweep_dir)
    known = {run.id: run for run in plan.runs} | {str(run.index): run for run in plan.runs}
    known |= {BASE: plan.base, plan.base.id: plan.base} if plan.base else {}
    if index not in known:
        last = f"0 to {len(plan.runs) - 1}" + (" or 'base'" if plan.base else "")
        raise InputError(f"--index={index}: the plan in {sweep_dir} has the indices {last}, and no run of that id")
    return known[index]


def work(sweep_dir: Path, plan: Plan, engine: LocalEngine, gin_files: Sequence[str]) -> bool:
    """Writes the plan and does everything that is not finished, the base model first, failed runs last. True when all of it is finished.

    The report is written anew whenever a run ends.
    """
    submission.check_engine(sweep_dir, plan, "local")
    make_folders(sweep_dir)
    held = lock(sweep_dir)
    write_plan(plan, sweep_dir, gin_files)
    console = rich.console.Console(highlight=False, soft_wrap=True)
    if plan.base is not None and not is_finished(sweep_dir, plan.base):
        console.print(f"{plan.base.name}: {plan.base.steps:,} steps, the model that all runs start from")
        for run, code in engine.work([plan.base]):
            console.print(_ended(sweep_dir, run, code), markup=False)
        if not is_finished(sweep_dir, plan.base):
            console.print("no run can start without the base model", markup=False)
            return False
    keep_audits = _audit_beside(sweep_dir, plan)
    failed = [run for run in plan.runs if (s := read_status(sweep_dir, run)) is not None and s.state == "failed"]
    left = [run for run in plan.runs if not is_finished(sweep_dir, run) and run not in failed] + failed
    done = len(plan.runs) - len(left)
    for run, code in engine.work(left):
        done += code == DONE
        console.print(f"[{done}/{len(plan.runs)}] {_ended(sweep_dir, run, code)}", markup=False)
        sweep_report.write(sweep_dir)
    keep_audits()
    console.print(f"report: {sweep_report.write(sweep_dir)}", markup=False)
    held.close()
    return done == len(plan.runs)


def _audit_beside(sweep_dir: Path, plan: Plan) -> Callable[[], None]:
    """Begins the leakage audits that are missing, in a thread of low priority: it takes what the runs leave of the processors.

    The function that is returned waits for them and keeps each with its run, where that is finished.
    """
    left = [
        run
        for run in plan.runs
        if plan.data[run.id].held_out is not None and not (sweep_dir / run.directory / LEAKAGE).exists()
    ]
    future: concurrent.futures.Future[list[Audit]] = concurrent.futures.Future()

    def work() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)
        try:
            # In this thread: processes of a pool would keep a sweep that is stopped from ending.
            future.set_result(audit_runs([dataclasses.replace(plan.data[run.id], workers=0) for run in left]))
        except Exception as error:  # noqa: BLE001 - raised again below
            future.set_exception(error)

    def finish() -> None:
        try:
            audits = future.result()
        except InputError as error:  # what is wrong with the data, the runs have said too
            print(f"no leakage audit: {error}", file=sys.stderr, flush=True)
            return
        for run, found in zip(left, audits, strict=True):
            if is_finished(sweep_dir, run):
                write_json(sweep_dir / run.directory / LEAKAGE, found.kept())

    threading.Thread(target=work, daemon=True).start()
    return finish


def _ended(sweep_dir: Path, run: PlannedRun, code: int) -> str:
    status = read_status(sweep_dir, run)
    took = f" after {_duration(status.seconds)}" if status and status.seconds else ""
    if code == SAVED:
        return f"{run.name}: saved{took}; the same command goes on from there"
    if code != DONE:
        return f"{run.name}: failed{took}: {status.error if status else f'exit code {code}'}"
    return f"{run.name}: finished{took}{_scores(sweep_dir, run)}"


def _scores(sweep_dir: Path, run: PlannedRun) -> str:
    """The mean over the held-out tasks, before and after, as far as it is known."""
    held_out = [
        t for t in (read_json(sweep_dir / run.directory / RESULT) or {"tasks": {}})["tasks"].values() if t["held_out"]
    ]
    if not held_out or not all("before" in task and "after" in task for task in held_out):
        return ""
    before, after = (statistics.fmean(task[when] for task in held_out) for when in ("before", "after"))
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
        table.add_row(index, run.id, run.name, f"{run.steps:,}", *_costs(run.tokens, run.flops, run.disk, rate))
    tokens, flops, disk = (sum(getattr(run, name) for run in everything) for name in ("tokens", "flops", "disk"))
    table.add_section()
    table.add_row("", "", "all", "", *_costs(tokens, flops, disk, rate))
    return table


def _costs(tokens: int, flops: float, disk: int, rate: float) -> tuple[str, ...]:
    return f"{tokens / 1e6:,.1f} M", f"{flops / 1e12:,.1f}", _duration(flops / rate), f"{disk / 2**20:,.0f} MiB"


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
    states = {run.id: read_status(sweep_dir, run) for run in (*plan.runs, *([plan.base] if plan.base else []))}
    counts: dict[str, int] = {}
    for run in plan.runs:
        state = _state(states[run.id])
        counts[state] = counts.get(state, 0) + 1
    title = f"{sweep_dir}: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, title=title, title_justify="left")
    jobs = submission.last_jobs(sweep_dir)
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
            (status.error if status and status.error else _scores(sweep_dir, run).removeprefix(", held out ")),
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
    rows: Sequence[Mapping[str, Any]] = [row for row in read_jsonl(directory / "metrics.jsonl") if "loss" in row]
    return rows[-1] if rows else None


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
