"""Hands the runs of a sweep to a queue: what to submit, and what was submitted.

submitted.jsonl in the sweep's directory says which run was submitted as which job.
"""

import inspect
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

from flan_jax.errors import InputError, add_to_registry, check_call
from flan_jax.json_files import read_jsonl, write_text
from flan_jax.sweeps.local_engine import ABLATE, lock
from flan_jax.sweeps.sweep_dir import (
    Plan,
    PlannedRun,
    is_finished,
    make_folders,
    now,
    write_plan,
)

SUBMITTED = "submitted.jsonl"
"""A line for each run that was submitted. A line with "job": null means that the submission was
interrupted and its outcome is unknown."""
UNSURE = re.compile(
    r"timed? ?out|connection|running asynchronously|unreachable|unavailable",
    re.IGNORECASE,
)
"""Words of a client that failed and may have submitted all the same."""
BASE_JOB = "BASE_JOB"
"""Stands for the base model's job in a dry run, where it has no name yet."""
ROOT = ABLATE.parents[1]
"""The folder that holds the code."""


class Command(NamedTuple):
    """A call of a queue's client.

    Attributes:
      argv: the program and its arguments.
      runs: the runs that it submits.
      jobs: finds the names of their jobs, in the same order, in the client's answer.
    """

    argv: Sequence[str]
    runs: Sequence[PlannedRun]
    jobs: Callable[[str], Sequence[str]]


@runtime_checkable
class QueueEngine(Protocol):
    """How to hand the runs of a sweep to a queue.

    Attributes:
      name: what --engine= calls it.
      install: how to get the client, for error messages.
      orders: whether a job may wait in the queue for the end of another.
    """

    name: ClassVar[str]
    install: ClassVar[str]
    orders: ClassVar[bool]

    @property
    def client(self) -> str:
        """The program that talks to the queue."""
        ...

    def check(self, sweep_dir: Path) -> None:
        """Raises InputError for settings with which this sweep cannot run."""
        ...

    def files(self, sweep_dir: Path, runs: Sequence[PlannedRun]) -> Mapping[str, str]:
        """Returns the files that the commands read: {name in the sweep's directory: text}."""
        ...

    def commands(
        self, sweep_dir: Path, runs: Sequence[PlannedRun], after: str | None
    ) -> Sequence[Command]:
        """Returns the commands that submit runs, to start after the job `after` has succeeded."""
        ...

    def queued(self) -> set[str]:
        """Returns the jobs that wait or run, by one question to the client."""
        ...


ENGINES: dict[str, type[Any]] = {}
"""The engines that `--engine=NAME` may name."""

Engine = TypeVar("Engine", bound=type)

_METHODS: dict[str, list[str]] = {
    "check": ["sweep_dir"],
    "files": ["sweep_dir", "runs"],
    "commands": ["sweep_dir", "runs", "after"],
    "queued": [],
}
"""The methods of QueueEngine, with their arguments."""


def register_engine(engine: Engine) -> Engine:
    """Adds a launch engine; usable as a decorator of its class.

    Its fields become gin settings: `MyEngine.partition = 'gpu'`.

    Args:
      engine: a dataclass that has the methods of QueueEngine.

    Returns:
      The same class.

    Raises:
      InputError: another engine has this name, the class lacks a member of QueueEngine, or a method
        takes other arguments than it gets.
    """
    needed = ("name", "install", "orders", "check", "files", "commands", "queued")
    missing = [member for member in needed if not hasattr(engine, member)]
    if missing:
        raise InputError(
            f"the launch engine {engine.__name__} has no {', '.join(missing)}. An engine needs all "
            "of flan_jax.sweeps.queue.QueueEngine"
        )
    for method, arguments in _METHODS.items():
        function = getattr(engine, method)
        # A function in a class becomes a method, which is given the instance, too.
        is_method = inspect.isfunction(inspect.getattr_static(engine, method))
        given = ["self", *arguments] if is_method else arguments
        check_call(function, f"launch engine {engine.__name__}.{method}", given)
    name: str = vars(engine)["name"]
    add_to_registry(ENGINES, "engine", name, engine)
    return engine


class Batch(NamedTuple):
    """What there is to submit.

    Attributes:
      base: the base model's run, if it is to be submitted first.
      runs: the runs to submit.
      after: the base model's job, if that is in the queue already.
      queued: runs that are in the queue already.
      later: runs to submit only when the base model is finished.
    """

    base: PlannedRun | None
    runs: Sequence[PlannedRun]
    after: str | None
    queued: Sequence[PlannedRun]
    later: Sequence[PlannedRun]

    @property
    def all_runs(self) -> list[PlannedRun]:
        """The base model's run, if it is to be submitted, and the others."""
        first = [] if self.base is None else [self.base]
        return [*first, *self.runs]


def check_client(program: str, install: str) -> None:
    """Raises InputError if a client is not installed, saying how to get it."""
    if shutil.which(program) is None:
        raise InputError(
            f"{program} is not installed here, or not on the PATH: {install}"
        )


def call(argv: Sequence[str], install: str) -> str:
    """Calls a client and returns what it prints.

    Args:
      argv: the command.
      install: how to get the client, for the message.

    Raises:
      InputError: the client is not installed, or it refuses; the message has its output.
    """
    check_client(argv[0], install)
    done = subprocess.run(
        argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-4000:] or "it printed nothing"
        raise InputError(
            f"{shlex.join(argv)} ended with exit code {done.returncode}:\n{output}"
        )
    return done.stdout


def run_command(sweep_dir: Path) -> str:
    """Returns the command of a job in a folder with the code; the run's id or index follows it."""
    return f"python {ABLATE.relative_to(ROOT)} run --plan={shlex.quote(str(sweep_dir))} --index="


def check_mounted(sweep_dir: Path, mount: str, setting: str) -> None:
    """Checks that a sweep lies where its jobs see it: run directories are paths.

    Args:
      sweep_dir: the sweep's directory on this machine.
      mount: where the jobs have the bucket mounted.
      setting: the name of the setting that says so, for the message.

    Raises:
      InputError: the sweep lies elsewhere.
    """
    if not sweep_dir.is_relative_to(mount):
        raise InputError(
            f"the sweep is kept in {sweep_dir}, and its jobs see the bucket in {setting}={mount}. "
            "Mount the bucket here in the same place, and keep the sweep there: "
            f"--sweep_dir={Path(mount) / sweep_dir.name}"
        )


def read_submitted(sweep_dir: Path) -> list[dict[str, Any]]:
    """Returns the lines of submitted.jsonl, the oldest first."""
    return list(read_jsonl(sweep_dir / SUBMITTED))


def last_jobs(sweep_dir: Path) -> dict[str, str]:
    """Returns the job that each run was last submitted as: {run's id: job}."""
    return {line["run"]: line["job"] or "unknown" for line in read_submitted(sweep_dir)}


def check_engine(sweep_dir: Path, plan: Plan, name: str) -> None:
    """Checks that no other engine may still do runs of a sweep.

    Args:
      sweep_dir: the sweep's directory.
      plan: its plan.
      name: the engine that is to do the runs.

    Raises:
      InputError: runs that are not finished were submitted to another engine.
    """
    unfinished = {run.id for run in _unfinished(sweep_dir, plan)}
    others = [
        line
        for line in read_submitted(sweep_dir)
        if line["run"] in unfinished and line["engine"] != name
    ]
    if others:
        jobs = _first_five([line["job"] or "unknown" for line in others])
        raise InputError(
            f"runs of {sweep_dir} that are not finished were submitted to {others[0]['engine']} "
            f"(jobs {jobs}), where they may still start. Go on with that engine, or cancel them "
            f"there and delete {sweep_dir / SUBMITTED}"
        )


def _check_outcome_known(sweep_dir: Path) -> None:
    """Raises InputError if a submission was interrupted, so that a second may be one too many."""
    unknown = [line for line in read_submitted(sweep_dir) if line["job"] is None]
    if unknown:
        first = unknown[0]
        runs = _first_five([line["run"] for line in unknown])
        raise InputError(
            f"the submission to {first['engine']} of {first['time']} (runs {runs}) was cut short, "
            "and nobody knows whether its queue took the jobs. Look there; cancel those that it "
            f'has, delete the lines with "job": null from {sweep_dir / SUBMITTED}, and give the '
            "same command again"
        )


def _first_five(names: Sequence[str]) -> str:
    text = ", ".join(names[:5])
    return text + " ..." if len(names) > 5 else text


def _unfinished(sweep_dir: Path, plan: Plan) -> list[PlannedRun]:
    return [run for run in plan.all_runs if not is_finished(sweep_dir, run)]


def batch_of(sweep_dir: Path, plan: Plan, engine: QueueEngine) -> Batch:
    """Returns every run that is neither finished nor in the queue.

    The client is asked what is in the queue only if something was submitted before.

    Args:
      sweep_dir: the sweep directory.
      plan: its plan.
      engine: the queue to submit to.

    Returns:
      The runs to submit now, those that are in the queue, and those to submit later.

    Raises:
      InputError: another engine may have runs of the sweep, or a submission was interrupted.
    """
    check_engine(sweep_dir, plan, engine.name)
    _check_outcome_known(sweep_dir)
    unfinished = _unfinished(sweep_dir, plan)
    submitted = last_jobs(sweep_dir)
    jobs = {run.id: submitted[run.id] for run in unfinished if run.id in submitted}
    jobs_in_queue = engine.queued() if jobs else set()
    queued = [run for run in unfinished if jobs.get(run.id) in jobs_in_queue]
    new = [run for run in unfinished if run not in queued]

    base = plan.base if plan.base in new else None
    runs = [run for run in new if run is not base]
    if plan.base in unfinished and not engine.orders:
        return Batch(base, (), None, queued, runs)
    after = None
    if plan.base is not None and plan.base in queued:
        after = jobs[plan.base.id]
    return Batch(base, runs, after, queued, ())


def describe_submission(
    sweep_dir: Path, plan: Plan, engine: QueueEngine
) -> Iterator[str]:
    """Yields the files that `submit` would write and the commands that it would call.

    Nothing is submitted and nothing is written.

    Args:
      sweep_dir: the sweep directory.
      plan: its plan.
      engine: the queue to submit to.

    Yields:
      Texts to print: each file with its name, each command, and remarks.
    """
    engine.check(sweep_dir)
    batch = batch_of(sweep_dir, plan, engine)
    for name, text in engine.files(sweep_dir, batch.all_runs).items():
        yield f"# {sweep_dir / name}\n{text}"
    commands: list[Command] = []
    if batch.base:
        commands += engine.commands(sweep_dir, [batch.base], None)
    if batch.runs:
        after = BASE_JOB if batch.base else batch.after
        commands += engine.commands(sweep_dir, batch.runs, after)
    for command in commands:
        yield shlex.join(command.argv)
    yield from _remarks(batch, engine)


def submit(
    sweep_dir: Path, plan: Plan, engine: QueueEngine, gin_files: Sequence[str]
) -> Iterator[str]:
    """Writes the plan and submits what is neither finished nor in the queue.

    Args:
      sweep_dir: the sweep's directory.
      plan: its plan.
      engine: the queue.
      gin_files: the sweep's gin files.

    Yields:
      Lines about what it does.

    Raises:
      InputError: before anything is submitted, if the client is not installed or the settings
        cannot work; later, if the client refuses. What was submitted until then is recorded, and
        the same command submits the rest.
    """
    check_client(engine.client, engine.install)
    engine.check(sweep_dir)
    make_folders(sweep_dir)
    held = lock(sweep_dir)
    write_plan(plan, sweep_dir, gin_files)
    batch = batch_of(sweep_dir, plan, engine)
    for name, text in engine.files(sweep_dir, batch.all_runs).items():
        write_text(sweep_dir / name, text)

    after = batch.after
    if batch.base:
        for command in engine.commands(sweep_dir, [batch.base], None):
            yield shlex.join(command.argv)
            jobs = _submit_command(sweep_dir, engine, command)
            yield f"    {', '.join(jobs)}"
            after = jobs[0]
    if batch.runs:
        for command in engine.commands(sweep_dir, batch.runs, after):
            yield shlex.join(command.argv)
            jobs = _submit_command(sweep_dir, engine, command)
            yield f"    {', '.join(jobs)}"
    yield from _remarks(batch, engine)
    yield (
        "--status says how far the sweep is, --report writes a report of the results so far. The "
        "same command submits again what failed."
    )
    held.close()


def _submit_command(
    sweep_dir: Path, engine: QueueEngine, command: Command
) -> Sequence[str]:
    """Submits the runs of a command and returns their jobs.

    Their lines in submitted.jsonl have no job while the client is called, so that a process that
    is killed meanwhile leaves the outcome marked as unknown.
    """
    earlier_lines = read_submitted(sweep_dir)
    run_ids = [run.id for run in command.runs]

    def write_lines(jobs: Sequence[str | None]) -> None:
        lines = [*earlier_lines]
        for run_id, job in zip(run_ids, jobs, strict=bool(jobs)):
            lines.append(
                {"run": run_id, "engine": engine.name, "job": job, "time": now()}
            )
        write_text(
            sweep_dir / SUBMITTED, "".join(json.dumps(line) + "\n" for line in lines)
        )

    write_lines([None] * len(run_ids))
    try:
        answer = call(command.argv, engine.install)
    except InputError as error:
        if not UNSURE.search(str(error)):
            write_lines([])
        raise
    jobs = command.jobs(answer)
    write_lines(jobs)
    return jobs


def _remarks(batch: Batch, engine: QueueEngine) -> Iterator[str]:
    yield (
        f"{len(batch.all_runs)} to submit to {engine.name}, {len(batch.queued)} in its queue "
        "already"
    )
    if batch.later:
        yield (
            f"runs that start from the base model: {len(batch.later)}. {engine.name} cannot make a "
            "job wait for another: give the same command again when --status says that the base is "
            "finished"
        )
