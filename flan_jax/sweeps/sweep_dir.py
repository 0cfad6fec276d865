"""A sweep's directory: its plan, the configurations of its runs, their status."""

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
from flan_jax.json_files import read_json, read_jsonl, write_json, write_text
from flan_jax.parallel.preemption import Preempted
from flan_jax.reports.sweep_results import KILLED, PLAN, RUNS, was_killed
from flan_jax.run_dir import METRICS, RESULT

BASE = "base"


PLANNING = "planning"
"""A file that is there while a plan is written: one that was cut short is no edited one."""


FOLDERS = ("configs", "status", "logs", "runs", "untuned")


Point = Mapping[str, Any]
"""{axis: value}: where in the cross a run lies."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A line of runs.jsonl. `index` is None for the base model; tokens and flops are those of all steps.

    `id` is a hash of what the run is trained by, `evaluation` of what it is scored by.
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
    """The runs of a sweep, with their configurations as text, and their data, by id.

    left_out: clusters that "each" does not hold out, as nothing of them can be evaluated. A plan that was read has none of these.
    """

    axes: Mapping[str, Sequence[Any]]
    runs: tuple[PlannedRun, ...]
    configs: Mapping[str, str]
    base: PlannedRun | None = None
    data: Mapping[str, DataConfig] = dataclasses.field(default_factory=dict)
    left_out: Sequence[str] = ()


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


def make_folders(sweep_dir: Path) -> None:
    """Makes a sweep directory, or goes on with one. Raises InputError when the directory holds something else, or a plan
    that was edited."""
    cut_short = (
        sweep_dir / PLANNING
    ).exists()  # a plan was being written when its process was killed
    if (
        sweep_dir.is_dir()
        and any(sweep_dir.iterdir())
        and not (sweep_dir / PLAN).exists()
        and not cut_short
    ):
        raise InputError(
            f"{sweep_dir} is not empty and holds no {PLAN}: it is no sweep. Choose another --sweep_dir"
        )
    about = read_json(sweep_dir / PLAN) if sweep_dir.is_dir() else None
    if (
        about is not None
        and "fingerprint" in about
        and (sweep_dir / RUNS).exists()
        and not cut_short
    ):
        _check_unedited(sweep_dir, about)
    try:
        sweep_dir.mkdir(parents=True, exist_ok=True)
        if about is None:
            (sweep_dir / PLANNING).touch()
        for folder in FOLDERS:
            (sweep_dir / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the sweep directory {sweep_dir} cannot be written ({error.strerror})"
        ) from None


def write_plan(plan: Plan, sweep_dir: Path, gin_files: Sequence[str]) -> None:
    """Writes plan.json, runs.jsonl and configs/, in place of those of an earlier plan; its runs stay."""
    for name, text in plan.configs.items():
        write_text(sweep_dir / "configs" / f"{name}.gin", text)
    lines = "".join(json.dumps(dataclasses.asdict(run)) + "\n" for run in plan.runs)
    about = {"name": Path(gin_files[0]).stem, "gin_files": list(gin_files), "axes": dict(plan.axes)}
    about["base"] = plan.base and dataclasses.asdict(plan.base)
    about["left_out"] = list(plan.left_out)
    about["fingerprint"] = _fingerprint(about, lines)
    # Jobs in a queue read both files at any time: left alone where nothing changes.
    if (read_json(sweep_dir / PLAN) or {}).get("fingerprint") != about["fingerprint"] or not (
        sweep_dir / RUNS
    ).exists():
        (sweep_dir / PLANNING).touch()
        write_text(sweep_dir / RUNS, lines)
        write_json(sweep_dir / PLAN, about)
    (sweep_dir / PLANNING).unlink(missing_ok=True)


def _fingerprint(about: Mapping[str, Any], lines: str) -> str:
    """Of plan.json without its fingerprint, and of runs.jsonl."""
    return _hash([{name: value for name, value in about.items() if name != "fingerprint"}, lines])


def _check_unedited(sweep_dir: Path, about: Mapping[str, Any]) -> None:
    file = sweep_dir / RUNS
    lines = file.read_text(encoding="utf-8") if file.exists() else ""
    if about["fingerprint"] != _fingerprint(about, lines):
        raise InputError(
            f"{PLAN} or {RUNS} in {sweep_dir} is not what launch/ablate.py wrote: they were edited, or their writing was cut "
            f"short. To change a sweep, change its gin files; to have back what was planned, delete {RUNS} and plan again"
        )


def read_plan(sweep_dir: Path) -> Plan:
    """The plan of a sweep directory. Raises InputError when there is none, or an edited one."""
    about = read_json(sweep_dir / PLAN)
    if about is None:
        raise InputError(
            f"{sweep_dir} holds no {PLAN}: it is no sweep. Give the --sweep_dir of launch/ablate.py"
        )
    try:
        _check_unedited(sweep_dir, about)
        runs = tuple(PlannedRun(**line) for line in read_jsonl(sweep_dir / RUNS))
        return Plan(about["axes"], runs, {}, about["base"] and PlannedRun(**about["base"]))
    except (KeyError, TypeError) as error:
        raise InputError(
            f"the plan in {sweep_dir} is of another version ({error}). Plan it anew"
        ) from None


def config_of(sweep_dir: Path, run: PlannedRun) -> Path:
    return sweep_dir / "configs" / f"{run.id}.gin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """status/<id>.json. `state` is running, finished, failed or preempted (saved: it goes on when started again)."""

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
    return sweep_dir / "status" / f"{run.id}.json"


def read_status(sweep_dir: Path, run: PlannedRun) -> Status | None:
    """None while nothing has been tried. A run whose process is gone from this machine has failed."""
    found = read_json(status_file(sweep_dir, run))
    if found is None:
        return None
    status = Status(**found)
    return (
        dataclasses.replace(status, state="failed", error=KILLED) if was_killed(found) else status
    )


def is_finished(sweep_dir: Path, run: PlannedRun) -> bool:
    """Whether a run is trained and scored as planned."""
    status = read_status(sweep_dir, run)
    done = status is not None and status.state == "finished" and status.evaluation == run.evaluation
    return done and (sweep_dir / run.directory / RESULT).exists()


@contextlib.contextmanager
def attempt(sweep_dir: Path, run: PlannedRun) -> Iterator[Callable[..., None]]:
    """Keeps status/<id>.json while a run goes on, and says in it how that ended.

    Its value, called with "failed" or "preempted" and the reason, says so for a process that is about to be ended.
    """
    before = read_status(sweep_dir, run)
    start, attempts, spent = (
        time.monotonic(),
        1 + (before.attempts if before else 0),
        _spent(sweep_dir, run, before),
    )
    status = Status(
        state="running",
        evaluation=run.evaluation,
        pid=os.getpid(),
        host=socket.gethostname(),
        started=now(),
        attempts=attempts,
        seconds=spent,
    )
    file = status_file(sweep_dir, run)
    write_json(file, dataclasses.asdict(status))

    def end(state: str, error: str | None = None) -> None:
        ended = dataclasses.replace(
            status, state=state, ended=now(), seconds=spent + time.monotonic() - start, error=error
        )
        write_json(file, dataclasses.asdict(ended))

    try:
        yield end
    except Preempted:
        end("preempted")
        raise
    except BaseException as error:
        with contextlib.suppress(
            OSError
        ):  # a full disk, perhaps: the first error is the one to hear of
            end("failed", _told(error))
        raise
    end("finished")


def _spent(sweep_dir: Path, run: PlannedRun, before: Status | None) -> float:
    """Seconds of all attempts so far. One that was killed has said nothing: it lasted at least until its last metrics."""
    if before is None:
        return 0.0
    metrics = sweep_dir / run.directory / METRICS
    killed = before.ended is None and metrics.exists()
    last = (
        metrics.stat().st_mtime - datetime.datetime.fromisoformat(before.started).timestamp()
        if killed
        else 0.0
    )
    return (before.seconds or 0.0) + max(0.0, last)


def _told(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    return (
        describe_os_error(error)
        if isinstance(error, OSError)
        else f"{type(error).__name__}: {error}"
    )


def now() -> str:
    """The time as status files have it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
