"""Does a sweep on this machine: the base model, the runs, the leakage audits, the report."""

import concurrent.futures
import contextlib
import dataclasses
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import rich.console

from flan_jax.data.leakage import Audit, audit_runs
from flan_jax.errors import DONE, SAVED, InputError, plural
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
from flan_jax.sweeps.tables import duration_text, held_out_change
from flan_jax.training.settings import Settings
from flan_jax.training.train import train

LOW_PRIORITY = 5
"""The niceness of the leakage audits: they give way to the runs, and end all the same."""


def run_one(
    sweep_dir: Path, run: PlannedRun, settings: Settings, config_text: str
) -> None:
    """Does one run of a plan, from where it stopped; nothing if it is finished.

    Args:
      sweep_dir: the sweep's directory.
      run: the run of its plan.
      settings: the run's settings.
      config_text: its whole configuration as gin text.
    """
    if multihost.broadcast_from_zero(is_finished(sweep_dir, run)):
        return
    with contextlib.ExitStack() as stack:
        # Of several processes, process 0 keeps the run's status.
        if multihost.is_process_zero():
            end = stack.enter_context(attempt(sweep_dir, run))

            def end_with_others(why: str, code: int) -> None:
                end("preempted" if code == SAVED else "failed", why)

            stack.enter_context(multihost.on_remote_failure(end_with_others))
        train(str(sweep_dir / run.directory), settings, config_text)


def planned(sweep_dir: Path, index: str) -> PlannedRun:
    """Returns a run of a plan by its index or id, or the base model by "base".

    Args:
      sweep_dir: the sweep directory.
      index: the run's index, its id, or "base".

    Returns:
      The planned run.

    Raises:
      InputError: there is none.
    """
    plan = read_plan(sweep_dir)
    runs = {run.id: run for run in plan.all_runs}
    runs |= {str(run.index): run for run in plan.runs}
    if plan.base is not None:
        runs[BASE] = plan.base
    if index not in runs:
        indices = f"0 to {len(plan.runs) - 1}"
        if plan.base is not None:
            indices += " or 'base'"
        raise InputError(
            f"--index={index}: the plan in {sweep_dir} has the indices {indices}, and no run of "
            "that id"
        )
    return runs[index]


def work(
    sweep_dir: Path, plan: Plan, engine: LocalEngine, gin_files: Sequence[str]
) -> bool:
    """Writes a plan and does everything that is not finished.

    The base model comes first, and runs that failed before come last. The report is rewritten
    whenever a run ends.

    Args:
      sweep_dir: the sweep's directory.
      plan: the plan to do.
      engine: starts the runs.
      gin_files: the sweep's gin files.

    Returns:
      Whether all runs are finished.
    """
    queue.check_engine(sweep_dir, plan, "local")
    make_folders(sweep_dir)
    held = lock(sweep_dir)
    write_plan(plan, sweep_dir, gin_files)
    console = rich.console.Console(highlight=False, soft_wrap=True, markup=False)

    if plan.base is not None and not is_finished(sweep_dir, plan.base):
        console.print(
            f"{plan.base.name}: {plural(plan.base.steps, 'step')}, the model that all runs start "
            "from"
        )
        for run, code in engine.work([plan.base]):
            console.print(_how_it_ended(sweep_dir, run, code))
        if not is_finished(sweep_dir, plan.base):
            console.print("no run can start without the base model")
            return False

    keep_audits = _start_audits(sweep_dir, plan)
    unfinished = [run for run in plan.runs if not is_finished(sweep_dir, run)]
    unfinished.sort(key=lambda run: _has_failed(sweep_dir, run))
    finished = len(plan.runs) - len(unfinished)
    for run, code in engine.work(unfinished):
        if code == DONE:
            finished += 1
        console.print(
            f"[{finished}/{len(plan.runs)}] {_how_it_ended(sweep_dir, run, code)}"
        )
        sweep_report.write(sweep_dir)
    keep_audits()
    console.print(f"report: {sweep_report.write(sweep_dir)}")
    held.close()
    return finished == len(plan.runs)


def _has_failed(sweep_dir: Path, run: PlannedRun) -> bool:
    status = read_status(sweep_dir, run)
    return status is not None and status.state == "failed"


def _start_audits(sweep_dir: Path, plan: Plan) -> Callable[[], None]:
    """Starts the missing leakage audits in a thread of low priority.

    Returns:
      A function that waits for them and keeps each with its run, if that is finished.
    """
    runs = [run for run in plan.runs if _lacks_audit(sweep_dir, plan, run)]
    # In this process: the processes of a pool would keep a stopped sweep from ending.
    configs = [dataclasses.replace(plan.data[run.id], workers=0) for run in runs]
    future: concurrent.futures.Future[list[Audit]] = concurrent.futures.Future()

    def audit() -> None:
        try:
            lower_priority()
            future.set_result(audit_runs(configs))
        except Exception as error:  # noqa: BLE001 (raised again where the result is asked for)
            future.set_exception(error)

    def keep() -> None:
        try:
            audits = future.result()
        except InputError as error:  # the data is wrong, which the runs have said, too
            print(f"no leakage audit: {error}", file=sys.stderr, flush=True)
            return
        for run, findings in zip(runs, audits, strict=True):
            if is_finished(sweep_dir, run):
                write_json(sweep_dir / run.directory / LEAKAGE, findings.to_json())

    threading.Thread(target=audit, daemon=True).start()
    return keep


def lower_priority() -> None:
    """Gives this thread LOW_PRIORITY, unless its priority is lower: not every user may raise it."""
    thread = threading.get_native_id()
    niceness = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, max(niceness, LOW_PRIORITY))


def _lacks_audit(sweep_dir: Path, plan: Plan, run: PlannedRun) -> bool:
    holds_out = plan.data[run.id].held_out is not None
    return holds_out and not (sweep_dir / run.directory / LEAKAGE).exists()


def _how_it_ended(sweep_dir: Path, run: PlannedRun, code: int) -> str:
    """Returns a line about a run whose process has ended with an exit code."""
    status = read_status(sweep_dir, run)
    after = ""
    if status is not None and status.seconds:
        after = f" after {duration_text(status.seconds)}"
    if code == SAVED:
        return f"{run.name}: saved{after}; the same command goes on from there"
    if code != DONE:
        reason = status.error if status else f"exit code {code}"
        return f"{run.name}: failed{after}: {reason}"
    change = held_out_change(sweep_dir, run)
    scores = f", held out {change}" if change else ""
    return f"{run.name}: finished{after}{scores}"
