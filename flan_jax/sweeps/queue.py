"""Runs of a sweep handed to the queue of a cluster, which places, retries and requeues them. Nothing here waits for a job.

What was submitted is kept in submitted.jsonl in the sweep's directory, a line a job:
    {"run": id, "engine": "slurm", "job": the queue's name of the job, "time": iso}
Before the queue is asked, the line is there with "job": null. Where that is what is left, nobody knows whether the queue took it.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

from flan_jax.errors import InputError, add_to_registry
from flan_jax.json_files import read_jsonl, write_text
from flan_jax.sweeps.local_engine import ABLATE, lock
from flan_jax.sweeps.sweep_dir import Plan, PlannedRun, is_finished, make_folders, now, write_plan

SUBMITTED = "submitted.jsonl"
UNSURE = re.compile(
    r"timed? ?out|connection|running asynchronously|unreachable|unavailable", re.IGNORECASE
)
"""Words of a client that failed and may yet have submitted."""
BASE_JOB = "BASE_JOB"
"""In what a dry run shows: the job of the base model, which has no name before it is submitted."""
ROOT = ABLATE.parents[1]
"""Of the code."""


class Command(NamedTuple):
    """A call of a queue's client that submits `runs`; `jobs` finds their names, in this order, in the client's answer."""

    argv: Sequence[str]
    runs: Sequence[PlannedRun]
    jobs: Callable[[str], Sequence[str]]


@runtime_checkable
class QueueEngine(Protocol):
    """How to ask a queue for the runs of a sweep. `orders`: a job may wait there for the end of another."""

    name: ClassVar[str]
    install: ClassVar[str]
    orders: ClassVar[bool]

    @property
    def client(self) -> str:
        """The program that talks to the queue; `install` says how to get it."""
        ...

    def check(self, sweep_dir: Path) -> None:
        """Raises InputError for settings that this sweep cannot run with."""
        ...

    def files(self, sweep_dir: Path, runs: Sequence[PlannedRun]) -> Mapping[str, str]:
        """{name in the sweep's directory: text} of what the commands read."""
        ...

    def commands(
        self, sweep_dir: Path, runs: Sequence[PlannedRun], after: str | None
    ) -> Sequence[Command]:
        """What submits the runs, to start after the job `after` has ended well."""
        ...

    def queued(self) -> set[str]:
        """The jobs that wait or run, by one question to the client."""
        ...


ENGINES: dict[str, type[Any]] = {}
"""The engines that `--engine=NAME` may name."""

Engine = TypeVar("Engine", bound=type)


def register_engine(engine: Engine) -> Engine:
    """Adds a launch engine; usable as a decorator of its class.

    Its fields become gin settings: `MyEngine.partition = 'gpu'`.

    Args:
      engine: a dataclass that has the methods of QueueEngine.

    Returns:
      The same class.

    Raises:
      InputError: another engine has this name.
    """
    name: str = vars(engine)["name"]
    add_to_registry(ENGINES, "engine", name, engine)
    return engine


class Batch(NamedTuple):
    """What there is to submit. queued: runs that are in the queue already; later: those that a base model must precede.

    base: it is to be submitted first. after: its job, where that is in the queue already.
    """

    base: PlannedRun | None
    runs: Sequence[PlannedRun]
    after: str | None
    queued: Sequence[PlannedRun]
    later: Sequence[PlannedRun]

    @property
    def everything(self) -> list[PlannedRun]:
        return [*([self.base] if self.base else []), *self.runs]


def check_client(program: str, install: str) -> None:
    """Raises InputError when a client is not there, saying how to get it."""
    if shutil.which(program) is None:
        raise InputError(f"{program} is not installed here, or not on the PATH: {install}")


def call(argv: Sequence[str], install: str) -> str:
    """What a client prints. Raises InputError with its own words when it refuses, or when it is not there."""
    check_client(argv[0], install)
    done = subprocess.run(
        argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-4000:] or "it printed nothing"
        raise InputError(f"{shlex.join(argv)} ended with exit code {done.returncode}:\n{said}")
    return done.stdout


def run_command(sweep_dir: Path) -> str:
    """What a job does in a folder with the code; the run's id or index follows."""
    return f"python {ABLATE.relative_to(ROOT)} run --plan={shlex.quote(str(sweep_dir))} --index="


def check_mounted(sweep_dir: Path, mount: str, setting: str) -> None:
    """Raises InputError unless the sweep lies where the jobs have their bucket mounted: run directories are paths."""
    if not sweep_dir.is_relative_to(mount):
        raise InputError(
            f"the sweep is kept in {sweep_dir}, and its jobs see the bucket in {setting}={mount}. Mount the bucket here "
            f"in the same place, and keep the sweep there: --sweep_dir={Path(mount) / sweep_dir.name}"
        )


def read_submitted(sweep_dir: Path) -> list[dict[str, Any]]:
    """The lines of submitted.jsonl, the oldest first."""
    return list(read_jsonl(sweep_dir / SUBMITTED))


def last_jobs(sweep_dir: Path) -> dict[str, str]:
    """{run's id: the job that it was last submitted as}."""
    return {line["run"]: line["job"] or "unknown" for line in read_submitted(sweep_dir)}


def check_engine(sweep_dir: Path, plan: Plan, name: str) -> None:
    """Raises InputError if runs that are not finished were submitted to another engine, whose queue may still have them."""
    left = {run.id for run in _left(sweep_dir, plan)}
    others = [
        line for line in read_submitted(sweep_dir) if line["run"] in left and line["engine"] != name
    ]
    if others:
        jobs = ", ".join(line["job"] or "unknown" for line in others[:5]) + (
            " ..." if len(others) > 5 else ""
        )
        raise InputError(
            f"runs of {sweep_dir} that are not finished were submitted to {others[0]['engine']} (jobs {jobs}), where they may "
            f"still start. Go on with that engine, or cancel them there and delete {sweep_dir / SUBMITTED}"
        )


def _check_sure(sweep_dir: Path) -> None:
    """Raises InputError where a submission was cut short, after which a second one may be one too many."""
    unsure = [line for line in read_submitted(sweep_dir) if line["job"] is None]
    if unsure:
        runs = ", ".join(line["run"] for line in unsure[:5]) + (" ..." if len(unsure) > 5 else "")
        raise InputError(
            f"the submission to {unsure[0]['engine']} of {unsure[0]['time']} (runs {runs}) was cut short, and nobody knows whether its "
            f'queue took the jobs. Look there; cancel those that it has, delete the lines with "job": null from '
            f"{sweep_dir / SUBMITTED}, and give the same command again"
        )


def _left(sweep_dir: Path, plan: Plan) -> list[PlannedRun]:
    everything = [*([plan.base] if plan.base else []), *plan.runs]
    return [run for run in everything if not is_finished(sweep_dir, run)]


def batch_of(sweep_dir: Path, plan: Plan, engine: QueueEngine) -> Batch:
    """Every run that is neither finished nor in the queue. The client is asked only where something was submitted before."""
    check_engine(sweep_dir, plan, engine.name)
    _check_sure(sweep_dir)
    left, known = _left(sweep_dir, plan), last_jobs(sweep_dir)
    jobs = {run.id: known[run.id] for run in left if run.id in known}
    there = engine.queued() if jobs else set()
    queued = [run for run in left if jobs.get(run.id) in there]
    new = [run for run in left if run not in queued]
    base = plan.base if plan.base in new else None
    after = jobs[plan.base.id] if plan.base is not None and plan.base in queued else None
    runs = [run for run in new if run is not base]
    if plan.base in left and not engine.orders:
        return Batch(base, (), None, queued, runs)
    return Batch(base, runs, after, queued, ())


def shown(sweep_dir: Path, plan: Plan, engine: QueueEngine) -> Iterator[str]:
    """What `submit` would write and call, as text. Nothing is submitted and nothing written."""
    engine.check(sweep_dir)
    batch = batch_of(sweep_dir, plan, engine)
    for name, text in engine.files(sweep_dir, batch.everything).items():
        yield f"# {sweep_dir / name}\n{text}"
    base = engine.commands(sweep_dir, [batch.base], None) if batch.base else ()
    runs = (
        engine.commands(sweep_dir, batch.runs, BASE_JOB if batch.base else batch.after)
        if batch.runs
        else ()
    )
    yield from (shlex.join(command.argv) for command in (*base, *runs))
    yield from _remarks(batch, engine)


def submit(
    sweep_dir: Path, plan: Plan, engine: QueueEngine, gin_files: Sequence[str]
) -> Iterator[str]:
    """Writes the plan and submits what is neither finished nor in the queue; says what it does, line by line.

    Raises InputError, before anything is submitted, for a client that is not there and for settings that cannot work; and for
    what the client refuses: what was submitted until then is known, and the same command goes on after it.
    """
    check_client(engine.client, engine.install)
    engine.check(sweep_dir)
    make_folders(sweep_dir)
    held = lock(sweep_dir)
    write_plan(plan, sweep_dir, gin_files)
    batch = batch_of(sweep_dir, plan, engine)
    for name, text in engine.files(sweep_dir, batch.everything).items():
        write_text(sweep_dir / name, text)
    after = batch.after
    for runs in ([batch.base] if batch.base else [], batch.runs):
        for command in engine.commands(sweep_dir, runs, after) if runs else ():
            yield shlex.join(command.argv)
            jobs = _submit(sweep_dir, engine, command)
            yield f"    {', '.join(jobs)}"
            after = jobs[0] if runs == [batch.base] else after
    yield from _remarks(batch, engine)
    yield "How far it is: --status. A report of what is there: --report. What failed is submitted again by the same command."
    held.close()


def _submit(sweep_dir: Path, engine: QueueEngine, command: Command) -> Sequence[str]:
    """The jobs of a command. A process that ends in between leaves lines without a job."""
    before = read_submitted(sweep_dir)

    def keep(jobs: Sequence[str | None]) -> None:
        runs = [run.id for run in command.runs]
        lines = [
            {"run": run, "engine": engine.name, "job": job, "time": now()}
            for run, job in zip(runs, jobs, strict=bool(jobs))
        ]
        write_text(
            sweep_dir / SUBMITTED, "".join(json.dumps(line) + "\n" for line in (*before, *lines))
        )

    keep([None] * len(command.runs))
    try:
        answer = call(command.argv, engine.install)
    except InputError as error:
        if not UNSURE.search(str(error)):
            keep([])
        raise
    jobs = command.jobs(answer)
    keep(jobs)
    return jobs


def _remarks(batch: Batch, engine: QueueEngine) -> Iterator[str]:
    yield f"{len(batch.everything)} to submit to {engine.name}, {len(batch.queued)} in its queue already"
    if batch.later:
        yield (
            f"{len(batch.later)} runs start from the base model, and {engine.name} knows no order of jobs: give the same command "
            "again when --status says that the base is finished"
        )
