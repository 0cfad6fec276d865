"""What launch/ablate.py does with a sweep: list it, run it here, say how far it is."""

import concurrent.futures
import contextlib
import dataclasses
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import rich.box
import rich.console
import rich.table

from flan_jax.data.leakage import Audit, audit_runs
from flan_jax.errors import DONE, SAVED, InputError
from flan_jax.json_files import write_json
from flan_jax.parallel import multihost
from flan_jax.reports import sweep_report
from flan_jax.run_dir import LEAKAGE
from flan_jax.sweeps import queue
from flan_jax.sweeps.local_engine import LocalEngine, lock
from flan_jax.sweeps.sweep_dir import (
    BASE,
    Plan,
    PlannedRun,
    attempt,
    is_finished,
    make_folders,
    read_plan,
    read_status,
    write_plan,
)
from flan_jax.sweeps.tables import _duration, _scores
from flan_jax.training.settings import Settings
from flan_jax.training.train import train

LOW_PRIORITY = 5
"""Of the audit: it gives way to the runs, and still ends on a machine that others keep busy."""


def run_one(sweep_dir: Path, run: PlannedRun, settings: Settings, config_text: str) -> None:
    """One run of a plan, from where it stopped; at once when it is finished. Of several processes the first keeps its status."""
    if not multihost.broadcast_from_zero(is_finished(sweep_dir, run)):
        with contextlib.ExitStack() as stack:
            if multihost.is_process_zero():
                ended = stack.enter_context(attempt(sweep_dir, run))
                stack.enter_context(
                    multihost.on_remote_failure(
                        lambda why, code: ended("preempted" if code == SAVED else "failed", why)
                    )
                )
            train(str(sweep_dir / run.directory), settings, config_text)


def planned(sweep_dir: Path, index: str) -> PlannedRun:
    """The run of a plan by its index or id, or the base model by "base". Raises InputError when there is none."""
    plan = read_plan(sweep_dir)
    known = {run.id: run for run in plan.runs} | {str(run.index): run for run in plan.runs}
    known |= {BASE: plan.base, plan.base.id: plan.base} if plan.base else {}
    if index not in known:
        last = f"0 to {len(plan.runs) - 1}" + (" or 'base'" if plan.base else "")
        raise InputError(
            f"--index={index}: the plan in {sweep_dir} has the indices {last}, and no run of that id"
        )
    return known[index]


def work(sweep_dir: Path, plan: Plan, engine: LocalEngine, gin_files: Sequence[str]) -> bool:
    """Writes the plan and does everything that is not finished, the base model first, failed runs last. True when all of it is finished.

    The report is written anew whenever a run ends.
    """
    queue.check_engine(sweep_dir, plan, "local")
    make_folders(sweep_dir)
    held = lock(sweep_dir)
    write_plan(plan, sweep_dir, gin_files)
    console = rich.console.Console(highlight=False, soft_wrap=True)
    if plan.base is not None and not is_finished(sweep_dir, plan.base):
        console.print(
            f"{plan.base.name}: {plan.base.steps:,} steps, the model that all runs start from"
        )
        for run, code in engine.work([plan.base]):
            console.print(_ended(sweep_dir, run, code), markup=False)
        if not is_finished(sweep_dir, plan.base):
            console.print("no run can start without the base model", markup=False)
            return False
    keep_audits = _audit_beside(sweep_dir, plan)
    failed = [
        run
        for run in plan.runs
        if (s := read_status(sweep_dir, run)) is not None and s.state == "failed"
    ]
    left = [
        run for run in plan.runs if not is_finished(sweep_dir, run) and run not in failed
    ] + failed
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
        if plan.data[run.id].held_out is not None
        and not (sweep_dir / run.directory / LEAKAGE).exists()
    ]
    future: concurrent.futures.Future[list[Audit]] = concurrent.futures.Future()

    def work() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOW_PRIORITY)
        try:
            # In this thread: processes of a pool would keep a sweep that is stopped from ending.
            future.set_result(
                audit_runs([dataclasses.replace(plan.data[run.id], workers=0) for run in left])
            )
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
                write_json(sweep_dir / run.directory / LEAKAGE, found.to_json())

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
