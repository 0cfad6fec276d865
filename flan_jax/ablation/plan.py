"""An ablation sweep: a cross of settings as a list of runs in one directory, each named by the hash of what it is.

A sweep directory holds
    plan.json           the axes, the gin files, the base model, a fingerprint of both plan files
    runs.jsonl          a line a run: PlannedRun
    configs/<id>.gin    each run's whole configuration: what runs is what was planned, whatever becomes of the gin files
    base/<id>/ runs/<id>/   run directories (flan_jax.run_dir)
    untuned/            scores of untuned models, shared by the runs
    status/<id>.json logs/<id>.log
    report.html report.md results.csv
"""

import contextlib
import dataclasses
import datetime
import hashlib
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_jax.data.config import DataConfig, fixed_lengths
from flan_jax.data.fingerprints import fingerprint
from flan_jax.data.tokenizers import tokenizer_file
from flan_jax.errors import InputError, of_the_system
from flan_jax.evaluation.score_files import VERSION
from flan_jax.json_files import read_json, read_jsonl, write_json, write_text
from flan_jax.models.params import count_params
from flan_jax.parallel.preemption import Preempted
from flan_jax.reports.sweep_results import KILLED, PLAN, RUNS, was_killed
from flan_jax.run_dir import METRICS, RESULT
from flan_jax.tasks.clusters import VIEWS
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.tasks.sources import Jsonl
from flan_jax.tasks.task import TemplatedTask, get_task, resolve_source
from flan_jax.training.settings import Settings
from flan_jax.weights.formats import source_facts

EACH = "each"
"""HELD_OUT's values when they are all clusters of the mixture, one after the other."""
GIN_FILE = "gin_file"
"""The axis whose values are further gin files: for what no single setting says, such as a model's size."""
BASE = "base"
PLANNING = "planning"
"""A file that is there while a plan is written: one that was cut short is no edited one."""
FOLDERS = ("configs", "status", "logs", "runs", "untuned")

Point = Mapping[str, Any]
"""{axis: value}: where in the cross a run lies."""

Resolve = Callable[[Sequence[str], Sequence[str]], tuple[Settings, str]]
"""(gin files, bindings) -> the settings and the configuration's text."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """What varies between the runs of a sweep.

    axes: gin macros or parameters, each with its values; there is a run for every combination. "each" as the values of
    HELD_OUT is every cluster of MIXTURE that can be evaluated; an axis "gin_file" has gin files as its values.
    base: the gin file of a model that is trained first and that every run starts from, in place of WARM_START.
    """

    axes: Mapping[str, Sequence[Any] | str]
    base: str | None = None

    def __post_init__(self):
        for axis, values in self.axes.items():
            if isinstance(values, str) and (axis, values) != ("HELD_OUT", EACH):
                raise InputError(f"the axis {axis} of the ablation is {values!r}; write a list of its values")
            if not values:
                raise InputError(f"the axis {axis} of the ablation has no values; leave it out or give it some")
            repeated = [v for i, v in enumerate(values) if v in values[:i]] if not isinstance(values, str) else []
            if repeated:
                raise InputError(f"the axis {axis} of the ablation has {repeated[0]!r} twice; write each value once")
        if self.base is not None and "WARM_START" in self.axes:
            raise InputError(
                "the ablation has a base and an axis WARM_START, which say two things; leave one of them out"
            )


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


def make_plan(
    config: AblationConfig, gin_files: Sequence[str], bindings: Sequence[str], resolve: Resolve, sweep_dir: Path
) -> Plan:
    """Every combination of the axes as a run. Raises InputError for a setting that does not resolve, or for no runs."""
    base, configs, shared = None, {}, [f"EvalConfig.untuned_dir = {str(sweep_dir / 'untuned')!r}"]
    if config.base is not None:
        settings, text = resolve([config.base], [])
        base = _planned(None, {}, settings)
        configs[base.id] = text
        shared.append(f"WARM_START = {str(sweep_dir / base.directory)!r}")
    runs: dict[str, PlannedRun] = {}
    data: dict[str, DataConfig] = {}
    for point in _points(config.axes, lambda files, more: resolve([*gin_files, *files], [*bindings, *more])[0]):
        files, own = _overrides(point)
        settings, text = resolve([*gin_files, *files], [*bindings, *shared, *own])
        run = _planned(len(runs), point, settings, base.id if base else None)
        # Two points may be the same run: a mixture that the other axis's value does not change.
        same = runs.setdefault(run.id, run)
        configs.setdefault(run.id, text)
        data.setdefault(run.id, settings.data)
        if same.evaluation != run.evaluation:
            raise InputError(
                f"{same.name} and {run.name} differ in their evaluation alone, which is no reason to train twice; leave "
                "that axis out and name the further prompts in EvalConfig.more"
            )
    axes: dict[str, list[Any]] = {axis: [] for axis in config.axes}
    for run in runs.values():
        for axis, value in run.point.items():
            axes[axis] += [value] * (value not in axes[axis])
    there = dict.fromkeys(name for each in data.values() for name in _clusters(each))
    left_out = [name for name in there if name not in axes["HELD_OUT"]] if EACH in config.axes.values() else []
    return Plan(axes, tuple(runs.values()), configs, base, data, left_out)


def _points(axes: Mapping[str, Sequence[Any] | str], resolve: Callable[..., Settings]) -> Iterator[Point]:
    """The combinations, the last axis changing fastest. HELD_OUT's "each" depends on the others, which are set first."""
    fixed = {axis: values for axis, values in axes.items() if not isinstance(values, str)}
    for values in itertools.product(*fixed.values()):
        point = dict(zip(fixed, values, strict=True))
        if len(fixed) == len(axes):
            yield point
            continue
        files, own = _overrides(point)
        settings = resolve(files, [*own, "HELD_OUT = None"])
        clusters = evaluable_clusters(settings)
        if not clusters:
            raise InputError(
                f"no cluster of {settings.data.mixture!r} has a task with a test split and a template to ask it in"
            )
        for cluster in clusters:
            yield {axis: cluster if axis == "HELD_OUT" else point[axis] for axis in axes}


def evaluable_clusters(settings: Settings) -> list[str]:
    """The clusters of the mixture with a task that has a test split and a template to evaluate it in."""
    return [cluster for cluster, tasks in _clusters(settings.data).items() if _evaluable(tasks)]


def _clusters(data: DataConfig) -> Mapping[str, Sequence[TemplatedTask]]:
    return VIEWS[data.clusters].of(mixture_or_task(data.mixture))


def _evaluable(tasks: Sequence[TemplatedTask]) -> bool:
    return any("test" in task.splits and task.eval_templates for task in tasks)


def _overrides(point: Point) -> tuple[list[str], list[str]]:
    """(gin files, bindings) that lead to a point."""
    files = [point[GIN_FILE]] if GIN_FILE in point else []
    return files, [f"{axis} = {value!r}" for axis, value in point.items() if axis != GIN_FILE]


def _planned(index: int | None, point: Point, settings: Settings, base: str | None = None) -> PlannedRun:
    identity, evaluation = run_id(settings, base)
    model, data, steps = settings.model, settings.data, settings.training.steps
    lengths = fixed_lengths(
        data.lengths,
        "LENGTHS has targets 'fit', which depends on each run's data, and the runs of a sweep are to be compared; write the "
        "number that launch/train.py --dry_run shows",
    )
    checkpoints = settings.checkpoints
    kept = min(checkpoints.keep_last + checkpoints.keep_best, -(-steps // checkpoints.every))
    return PlannedRun(
        index=index,
        id=identity,
        evaluation=evaluation,
        name=" ".join(f"{axis.rpartition('.')[2]}={_short(value)}" for axis, value in point.items()) or BASE,
        point=dict(point),
        directory=f"{BASE if index is None else 'runs'}/{identity}",
        steps=steps,
        tokens=steps * data.batch_size * sum(lengths.values()),
        flops=float(steps * model.train_flops(data.batch_size, lengths)),
        # float32 parameters and, with Adafactor, about as much again for the first checkpoint's optimizer state at most
        disk=4 * count_params(model) * kept,
    )


def run_id(settings: Settings, base: str | None) -> tuple[str, str]:
    """(a hash of all that the trained parameters depend on, one of all that only their scores depend on).

    That is the resolved settings, the tasks' definitions, the base model's id and the files that it reads (jsonl rows, a
    tokenizer, a warm start), but not where its own are kept. A run whose evaluation alone has changed is scored again and not
    trained again.
    """
    split = settings.data.split()
    tasks = [get_task(name) for name in (*split.train, *split.held_out)]
    shape = [(t.name, t.fields, t.templates, t.options, t.metrics, t.source, t.sandbox) for t in tasks]
    training = _plain(settings)
    evaluation = [VERSION, training.pop("evaluation"), *(training["data"].pop(name) for name in _EVALUATION)]
    # A base model is known by its id, wherever the sweep is kept.
    training["training"]["warm_start"] = base or settings.training.warm_start
    training["tasks"] = [_task_fingerprint(*each) for each in shape]
    training |= {"files": files} if (files := _files_read(settings, base, tasks)) else {}
    return _hash(training), _hash(evaluation)


def _files_read(settings: Settings, base: str | None, tasks: Sequence[TemplatedTask]) -> dict[str, Any]:
    """What the files are like that a run of these settings reads; those that are not here are left out."""
    data, warm_start = settings.data, settings.training.warm_start
    found: dict[str, Any] = {}
    with contextlib.suppress(InputError, OSError):
        if base is None and warm_start is not None:
            found["warm start"] = source_facts(warm_start)["files"]
    if Path(data.tokenizer).expanduser().exists():
        found["tokenizer"] = hashlib.sha256(tokenizer_file(data.tokenizer).read_bytes()).hexdigest()
    for task in tasks:
        source = resolve_source(task, data.source, data.data_dir)
        for split in task.splits if isinstance(source, Jsonl) else ():
            with contextlib.suppress(InputError):  # not there: the run will say so
                found[f"{task.name}/{split}"] = source.fingerprint(split)
    return found


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


_EVALUATION = ("eval_prompts", "eval_examples", "seen_eval_examples")
"""Fields of DataConfig that shape evaluation alone."""
_KNOWN: dict[str, str] = {}


def _task_fingerprint(name: str, fields: Any, *rest: Any) -> str:
    # Each task is in most of the runs, and to follow its functions takes a few milliseconds.
    if name not in _KNOWN:
        _KNOWN[name] = fingerprint(name, fields, *rest, follow=getattr(fields, "__module__", ""))
    return _KNOWN[name]


_PLACES = frozenset({"cache_dir", "workers", "untuned_dir", "mesh"})


def _plain(value: Any) -> Any:
    """Settings as JSON, without the places of files and the number of workers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name not in _PLACES}
        return {"class": type(value).__name__} | {name: _plain(each) for name, each in named.items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else getattr(value, "__qualname__", repr(value))


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value))
    return Path(value).stem if isinstance(value, str) and value.endswith(".gin") else str(value)


def make_folders(sweep_dir: Path) -> None:
    """Makes a sweep directory, or goes on with one. Raises InputError when the directory holds something else, or a plan
    that was edited."""
    cut_short = (sweep_dir / PLANNING).exists()  # a plan was being written when its process was killed
    if sweep_dir.is_dir() and any(sweep_dir.iterdir()) and not (sweep_dir / PLAN).exists() and not cut_short:
        raise InputError(f"{sweep_dir} is not empty and holds no {PLAN}: it is no sweep. Choose another --sweep_dir")
    about = read_json(sweep_dir / PLAN) if sweep_dir.is_dir() else None
    if about is not None and "fingerprint" in about and (sweep_dir / RUNS).exists() and not cut_short:
        _check_unedited(sweep_dir, about)
    try:
        sweep_dir.mkdir(parents=True, exist_ok=True)
        if about is None:
            (sweep_dir / PLANNING).touch()
        for folder in FOLDERS:
            (sweep_dir / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the sweep directory {sweep_dir} cannot be written ({error.strerror})") from None


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
        raise InputError(f"{sweep_dir} holds no {PLAN}: it is no sweep. Give the --sweep_dir of launch/ablate.py")
    try:
        _check_unedited(sweep_dir, about)
        runs = tuple(PlannedRun(**line) for line in read_jsonl(sweep_dir / RUNS))
        return Plan(about["axes"], runs, {}, about["base"] and PlannedRun(**about["base"]))
    except (KeyError, TypeError) as error:
        raise InputError(f"the plan in {sweep_dir} is of another version ({error}). Plan it anew") from None


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
    return dataclasses.replace(status, state="failed", error=KILLED) if was_killed(found) else status


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
    start, attempts, spent = time.monotonic(), 1 + (before.attempts if before else 0), _spent(sweep_dir, run, before)
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
        with contextlib.suppress(OSError):  # a full disk, perhaps: the first error is the one to hear of
            end("failed", _told(error))
        raise
    end("finished")


def _spent(sweep_dir: Path, run: PlannedRun, before: Status | None) -> float:
    """Seconds of all attempts so far. One that was killed has said nothing: it lasted at least until its last metrics."""
    if before is None:
        return 0.0
    metrics = sweep_dir / run.directory / METRICS
    killed = before.ended is None and metrics.exists()
    last = metrics.stat().st_mtime - datetime.datetime.fromisoformat(before.started).timestamp() if killed else 0.0
    return (before.seconds or 0.0) + max(0.0, last)


def _told(error: BaseException) -> str:
    if isinstance(error, InputError):
        return str(error)
    return of_the_system(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def now() -> str:
    """The time as status files have it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
