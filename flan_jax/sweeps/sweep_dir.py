"""A sweep's directory: its plan, the configurations of its runs, their status.

A sweep directory holds
    plan.json           the axes, the gin files, the base model, a fingerprint of both plan files
    runs.jsonl          one PlannedRun a line
    configs/<id>.gin    each run's whole configuration, so that later edits of the gin files do
                        not change what was planned
    base/<id>/ runs/<id>/   run directories (flan_jax.run_dir)
    untuned/            scores of untuned models, shared by the runs
    status/<id>.json logs/<id>.log
    report.html report.md results.csv
"""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_jax.data.config import DataConfig
from flan_jax.errors import InputError, describe_os_error
from flan_jax.json_files import (
    JsonObject,
    read_json,
    read_jsonl,
    write_json,
    write_text,
)
from flan_jax.parallel.preemption import Preempted
from flan_jax.reports.sweep_results import KILLED, PLAN, RUNS, was_killed
from flan_jax.run_dir import METRICS, RESULT

BASE = "base"
"""The index of the base model, and the folder of its run directory."""
PLANNING = "planning"
"""A file that exists while a plan is written. It tells an interrupted write from an edit."""
FOLDERS = ("configs", "status", "logs", "runs", "untuned")

Point = Mapping[str, Any]
"""One combination of the axes' values: {axis: value}."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A line of runs.jsonl.

    Attributes:
      index: the run's number in the plan; None for the base model.
      id: a hash of everything that the trained parameters depend on.
      evaluation: a hash of everything that only the scores depend on.
      name: the point as text, for people.
      point: the run's values of the axes.
      directory: the run directory, relative to the sweep directory.
      steps: training steps.
      tokens: token positions of all steps, padding included.
      flops: FLOPs of all steps.
      disk: bytes of the checkpoints that are kept.
    """

    index: int | None
    id: str
    evaluation: str
    name: str
    point: Point
    directory: str
    steps: int
    tokens: int
    flops: float
    disk: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs of a sweep.

    Attributes:
      axes: each axis with the values that occur.
      runs: the runs, in the order of their indices.
      configs: each run's configuration as gin text, by the run's id; empty for a plan that was
        read from a file.
      base: the base model's run.
      data: each run's data settings, by the run's id; empty for a plan that was read.
      left_out: clusters that "each" does not hold out, as they cannot be evaluated.
    """

    axes: Mapping[str, Sequence[Any]]
    runs: tuple[PlannedRun, ...]
    configs: Mapping[str, str]
    base: PlannedRun | None = None
    data: Mapping[str, DataConfig] = dataclasses.field(default_factory=dict)
    left_out: Sequence[str] = ()

    @property
    def all_runs(self) -> list[PlannedRun]:
        """The base model's run, if there is one, and the others."""
        first = [] if self.base is None else [self.base]
        return [*first, *self.runs]


def hash_json(content: object) -> str:
    """Returns ten hex digits that identify a JSON value."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def make_folders(sweep_dir: Path) -> None:
    """Makes a sweep directory, or checks that an existing one can be continued.

    Args:
      sweep_dir: the sweep directory.

    Raises:
      InputError: the directory holds something else, its plan was edited, or it cannot be written.
    """
    plan_exists = (sweep_dir / PLAN).exists()
    was_interrupted = (sweep_dir / PLANNING).exists()
    if not plan_exists and not was_interrupted and _holds_anything(sweep_dir):
        raise InputError(
            f"{sweep_dir} is not empty and holds no {PLAN}: it is not a sweep directory. Choose "
            "another --sweep_dir"
        )
    plan_json = read_json(sweep_dir / PLAN) if sweep_dir.is_dir() else None
    is_whole = (sweep_dir / RUNS).exists() and not was_interrupted
    if is_whole and plan_json is not None and "fingerprint" in plan_json:
        _check_unedited(sweep_dir, plan_json)
    try:
        sweep_dir.mkdir(parents=True, exist_ok=True)
        if plan_json is None:
            (sweep_dir / PLANNING).touch()
        for folder in FOLDERS:
            (sweep_dir / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the sweep directory {sweep_dir} cannot be written ({error.strerror}). Choose another "
            "--sweep_dir"
        ) from None


def _holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def write_plan(plan: Plan, sweep_dir: Path, gin_files: Sequence[str]) -> None:
    """Writes plan.json, runs.jsonl and configs/ in place of those of an earlier plan.

    Run directories of the earlier plan stay.

    Args:
      plan: the plan.
      sweep_dir: a directory that `make_folders` has made.
      gin_files: the sweep's gin files; the first one names the sweep.
    """
    for run_id, text in plan.configs.items():
        write_text(sweep_dir / "configs" / f"{run_id}.gin", text)
    lines = "".join(json.dumps(dataclasses.asdict(run)) + "\n" for run in plan.runs)
    plan_json: dict[str, Any] = {
        "name": Path(gin_files[0]).stem,
        "gin_files": list(gin_files),
        "axes": dict(plan.axes),
        "base": None if plan.base is None else dataclasses.asdict(plan.base),
        "left_out": list(plan.left_out),
    }
    plan_json["fingerprint"] = _fingerprint(plan_json, lines)

    # Jobs in a queue may read both files at any time, so they are written only if they change.
    written = read_json(sweep_dir / PLAN) or {}
    is_same = written.get("fingerprint") == plan_json["fingerprint"]
    if not is_same or not (sweep_dir / RUNS).exists():
        (sweep_dir / PLANNING).touch()
        write_text(sweep_dir / RUNS, lines)
        write_json(sweep_dir / PLAN, plan_json)
    (sweep_dir / PLANNING).unlink(missing_ok=True)


def _fingerprint(plan_json: JsonObject, lines: str) -> str:
    """Returns the hash of plan.json, without its own fingerprint, and of runs.jsonl."""
    content = {
        name: value for name, value in plan_json.items() if name != "fingerprint"
    }
    return hash_json([content, lines])


def _check_unedited(sweep_dir: Path, plan_json: JsonObject) -> None:
    file = sweep_dir / RUNS
    lines = file.read_text(encoding="utf-8") if file.exists() else ""
    if plan_json["fingerprint"] != _fingerprint(plan_json, lines):
        raise InputError(
            f"{PLAN} or {RUNS} in {sweep_dir} is not what launch/ablate.py wrote: they were "
            "edited, or their writing was cut short. To change a sweep, change its gin files; to "
            f"have back what was planned, delete {RUNS} and plan again"
        )


def read_plan(sweep_dir: Path) -> Plan:
    """Returns the plan of a sweep directory.

    Args:
      sweep_dir: the sweep directory.

    Returns:
      The plan, without the settings of its runs.

    Raises:
      InputError: there is none, or it was edited.
    """
    plan_json = read_json(sweep_dir / PLAN)
    if plan_json is None:
        raise InputError(
            f"{sweep_dir} holds no {PLAN}: it is not a sweep directory. Give the --sweep_dir of "
            "launch/ablate.py"
        )
    try:
        _check_unedited(sweep_dir, plan_json)
        runs = tuple(PlannedRun(**line) for line in read_jsonl(sweep_dir / RUNS))
        base = PlannedRun(**plan_json["base"]) if plan_json["base"] else None
        return Plan(plan_json["axes"], runs, {}, base)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"the plan in {sweep_dir} is of another version ({error}). Plan it again"
        ) from None


def config_of(sweep_dir: Path, run: PlannedRun) -> Path:
    """Returns the path of a run's configuration."""
    return sweep_dir / "configs" / f"{run.id}.gin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """The content of status/<id>.json.

    Attributes:
      state: running, finished, failed or preempted (saved: it goes on when started again).
      evaluation: PlannedRun.evaluation of the attempt.
      pid: the process.
      host: the machine.
      started: when the last attempt started, ISO 8601 in UTC.
      attempts: the number of attempts so far.
      ended: when the last attempt ended; None while it runs, and if it was killed.
      seconds: the time of all attempts.
      error: why the last attempt failed.
    """

    state: str
    evaluation: str
    pid: int
    host: str
    started: str
    attempts: int
    ended: str | None = None
    seconds: float | None = None
    error: str | None = None


def status_file(sweep_dir: Path, run: PlannedRun) -> Path:
    """Returns the path of a run's status."""
    return sweep_dir / "status" / f"{run.id}.json"


def read_status(sweep_dir: Path, run: PlannedRun) -> Status | None:
    """Returns a run's status; None if it was never started.

    A run whose process no longer exists on this machine has failed.

    Args:
      sweep_dir: the sweep directory.
      run: a run of the sweep.

    Returns:
      The status that the run wrote last, or None.
    """
    content = read_json(status_file(sweep_dir, run))
    if content is None:
        return None
    status = Status(**content)
    if was_killed(content):
        return dataclasses.replace(status, state="failed", error=KILLED)
    return status


def is_finished(sweep_dir: Path, run: PlannedRun) -> bool:
    """Returns whether a run is trained and scored as planned."""
    status = read_status(sweep_dir, run)
    if status is None or status.state != "finished":
        return False
    has_result = (sweep_dir / run.directory / RESULT).exists()
    return status.evaluation == run.evaluation and has_result


EndAttempt = Callable[[str, str | None], None]
"""end(state, error): records in the status how an attempt ended."""


@contextlib.contextmanager
def attempt(sweep_dir: Path, run: PlannedRun) -> Iterator[EndAttempt]:
    """Keeps a run's status during an attempt, and records how it ended.

    Args:
      sweep_dir: the sweep's directory.
      run: the run that this process does.

    Yields:
      A function for a process that is about to be ended from outside: end("preempted", why).
    """
    before = read_status(sweep_dir, run)
    seconds_before = _seconds_so_far(sweep_dir, run, before)
    start = time.monotonic()
    status = Status(
        state="running",
        evaluation=run.evaluation,
        pid=os.getpid(),
        host=socket.gethostname(),
        started=now(),
        attempts=1 if before is None else before.attempts + 1,
        seconds=seconds_before,
    )
    file = status_file(sweep_dir, run)
    write_json(file, dataclasses.asdict(status))

    def end(state: str, error: str | None = None) -> None:
        seconds = seconds_before + time.monotonic() - start
        ended = dataclasses.replace(
            status, state=state, ended=now(), seconds=seconds, error=error
        )
        write_json(file, dataclasses.asdict(ended))

    try:
        yield end
    except Preempted:
        end("preempted")
        raise
    except BaseException as error:
        # The disk may be full, and the user is to hear of the first error.
        with contextlib.suppress(OSError):
            end("failed", _message(error))
        raise
    end("finished")


def _seconds_so_far(sweep_dir: Path, run: PlannedRun, before: Status | None) -> float:
    """Returns the time of all attempts so far.

    An attempt that was killed could not record its end: it lasted at least until its last metrics.
    """
    if before is None:
        return 0.0
    seconds = before.seconds or 0.0
    metrics = sweep_dir / run.directory / METRICS
    if before.ended is None and metrics.exists():
        started = datetime.datetime.fromisoformat(before.started).timestamp()
        seconds += max(0.0, metrics.stat().st_mtime - started)
    return seconds


def _message(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):
        return describe_os_error(error)
    return f"{type(error).__name__}: {error}"


def now() -> str:
    """Returns the time as status files have it: ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
