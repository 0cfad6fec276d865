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
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_jax.data.config import DataConfig, fixed_lengths
from flan_jax.data.fingerprints import fingerprint
from flan_jax.data.tokenizers import tokenizer_file
from flan_jax.errors import InputError
from flan_jax.evaluation.score_files import VERSION
from flan_jax.models.params import count_params
from flan_jax.sweeps.sweep_dir import BASE, Plan, PlannedRun, Point, _hash
from flan_jax.tasks.clusters import CLUSTER_VIEWS
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.tasks.sources import Jsonl
from flan_jax.tasks.task import TemplatedTask, get_task, resolve_source
from flan_jax.training.settings import Settings
from flan_jax.weights.formats import source_facts

EACH = "each"
"""HELD_OUT's values when they are all clusters of the mixture, one after the other."""
GIN_FILE = "gin_file"
"""The axis whose values are further gin files: for what no single setting says, such as a model's size."""


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
                raise InputError(
                    f"the axis {axis} of the ablation is {values!r}; write a list of its values"
                )
            if not values:
                raise InputError(
                    f"the axis {axis} of the ablation has no values; leave it out or give it some"
                )
            repeated = (
                [v for i, v in enumerate(values) if v in values[:i]]
                if not isinstance(values, str)
                else []
            )
            if repeated:
                raise InputError(
                    f"the axis {axis} of the ablation has {repeated[0]!r} twice; write each value once"
                )
        if self.base is not None and "WARM_START" in self.axes:
            raise InputError(
                "the ablation has a base and an axis WARM_START, which say two things; leave one of them out"
            )


def make_plan(
    config: AblationConfig,
    gin_files: Sequence[str],
    bindings: Sequence[str],
    resolve: Resolve,
    sweep_dir: Path,
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
    for point in _points(
        config.axes, lambda files, more: resolve([*gin_files, *files], [*bindings, *more])[0]
    ):
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
    left_out = (
        [name for name in there if name not in axes["HELD_OUT"]]
        if EACH in config.axes.values()
        else []
    )
    return Plan(axes, tuple(runs.values()), configs, base, data, left_out)


def _points(
    axes: Mapping[str, Sequence[Any] | str], resolve: Callable[..., Settings]
) -> Iterator[Point]:
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
    return CLUSTER_VIEWS[data.clusters].of(mixture_or_task(data.mixture))


def _evaluable(tasks: Sequence[TemplatedTask]) -> bool:
    return any("test" in task.splits and task.eval_templates for task in tasks)


def _overrides(point: Point) -> tuple[list[str], list[str]]:
    """(gin files, bindings) that lead to a point."""
    files = [point[GIN_FILE]] if GIN_FILE in point else []
    return files, [f"{axis} = {value!r}" for axis, value in point.items() if axis != GIN_FILE]


def _planned(
    index: int | None, point: Point, settings: Settings, base: str | None = None
) -> PlannedRun:
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
        name=" ".join(f"{axis.rpartition('.')[2]}={_short(value)}" for axis, value in point.items())
        or BASE,
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
    shape = [
        (t.name, t.fields, t.templates, t.options, t.metrics, t.source, t.sandbox) for t in tasks
    ]
    training = _plain(settings)
    evaluation = [
        VERSION,
        training.pop("evaluation"),
        *(training["data"].pop(name) for name in _EVALUATION),
    ]
    # A base model is known by its id, wherever the sweep is kept.
    training["training"]["warm_start"] = base or settings.training.warm_start
    training["tasks"] = [_task_fingerprint(*each) for each in shape]
    training |= {"files": files} if (files := _files_read(settings, base, tasks)) else {}
    return _hash(training), _hash(evaluation)


def _files_read(
    settings: Settings, base: str | None, tasks: Sequence[TemplatedTask]
) -> dict[str, Any]:
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
        named = {
            f.name: getattr(value, f.name)
            for f in dataclasses.fields(value)
            if f.name not in _PLACES
        }
        return {"class": type(value).__name__} | {
            name: _plain(each) for name, each in named.items()
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return (
        value
        if isinstance(value, str | int | float | bool | None)
        else getattr(value, "__qualname__", repr(value))
    )


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value))
    return Path(value).stem if isinstance(value, str) and value.endswith(".gin") else str(value)
