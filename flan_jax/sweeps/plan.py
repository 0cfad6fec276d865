"""Plans an ablation sweep: a run for every combination of the axes' values.

Each run is named by a hash of everything that it depends on, so that a changed run is another run.
"""

import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flan_jax.data.config import DataConfig, fixed_lengths
from flan_jax.data.tokenizers import tokenizer_file
from flan_jax.errors import InputError
from flan_jax.evaluation.score_files import VERSION
from flan_jax.json_files import JsonValue
from flan_jax.models.params import count_params
from flan_jax.sweeps.sweep_dir import BASE, Plan, PlannedRun, Point, hash_json
from flan_jax.tasks.clusters import cluster_view
from flan_jax.tasks.fingerprints import fingerprint
from flan_jax.tasks.mixtures import MIXTURES, mixture_or_task
from flan_jax.tasks.sources import Jsonl
from flan_jax.tasks.task import TemplatedTask, get_task, resolve_source
from flan_jax.training.flops import step_flops
from flan_jax.training.settings import Settings
from flan_jax.weights.formats import source_facts

EACH = "each"
"""As the values of an axis of CLUSTER_AXES: every cluster of the mixture, one after the other."""
CLUSTER_AXES = ("HELD_OUT", "DataConfig.only")
"""The axes whose values are clusters: one is held out, or one is trained on alone."""
GIN_FILE = "gin_file"
"""The axis whose values are further gin files, for what takes several settings: a model's size."""

Resolve = Callable[[Sequence[str], Sequence[str]], tuple[Settings, str]]
"""(gin files, bindings) -> (settings, the whole configuration as gin text)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """What varies between the runs of a sweep.

    Attributes:
      axes: gin macros or parameters, each with its values; there is a run for every combination.
        "each" as the values of HELD_OUT, or of DataConfig.only, is every cluster of MIXTURE that
        can be evaluated, but for those of the tasks beside it (Mixture.beside); an axis
        "gin_file" has gin files as its values.
      base: the gin file of a model that is trained first and that every run starts from, in place
        of WARM_START.
    """

    axes: Mapping[str, Sequence[Any] | str]
    base: str | None = None

    def __post_init__(self):
        for axis, values in self.axes.items():
            _check_axis(axis, values)
        if list(self.axes.values()).count(EACH) > 1:
            raise InputError(
                "HELD_OUT and DataConfig.only are both 'each'; the one holds a cluster out, the "
                "other trains on it alone. Leave one of them out"
            )
        if self.base is not None and "WARM_START" in self.axes:
            raise InputError(
                "the ablation has a base and an axis WARM_START, which say two things; leave one "
                "of them out"
            )


def _check_axis(axis: str, values: Sequence[Any] | str) -> None:
    if isinstance(values, str):
        if axis not in CLUSTER_AXES or values != EACH:
            raise InputError(
                f"the axis {axis} of the ablation is {values!r}; write a list of its values"
            )
        return
    if not values:
        raise InputError(
            f"the axis {axis} of the ablation has no values; leave it out or give it some"
        )
    for number, value in enumerate(values):
        if value in values[:number]:
            raise InputError(
                f"the axis {axis} of the ablation has {value!r} twice; write each value once"
            )


def make_plan(
    config: AblationConfig,
    gin_files: Sequence[str],
    bindings: Sequence[str],
    *,
    resolve: Resolve,
    sweep_dir: Path,
) -> Plan:
    """Plans a run for every combination of the axes.

    Args:
      config: the axes and the base model.
      gin_files: the gin files of every run.
      bindings: the gin bindings of every run.
      resolve: makes settings of gin files and bindings.
      sweep_dir: where the sweep is kept.

    Raises:
      InputError: a combination does not resolve to settings, there is none, or two of them differ
        in their evaluation alone.
    """
    base = None
    configs = {}
    shared_bindings = [f"EvalConfig.untuned_dir = {str(sweep_dir / 'untuned')!r}"]
    if config.base is not None:
        settings, text = resolve([config.base], [])
        base = _planned_run(None, {}, settings)
        configs[base.id] = text
        shared_bindings.append(f"WARM_START = {str(sweep_dir / base.directory)!r}")
        # The base is not trained yet: its folder does not say what MODEL is.
        shared_bindings.append("from_warm_start.warm_start = None")
        shared_bindings.append("from_warm_start.default = None")

    def settings_at(
        point_files: Sequence[str], point_bindings: Sequence[str]
    ) -> Settings:
        return resolve([*gin_files, *point_files], [*bindings, *point_bindings])[0]

    runs: dict[str, PlannedRun] = {}
    data: dict[str, DataConfig] = {}
    for point in _points(config.axes, settings_at):
        point_files, point_bindings = _overrides(point)
        settings, text = resolve(
            [*gin_files, *point_files], [*bindings, *shared_bindings, *point_bindings]
        )
        run = _planned_run(len(runs), point, settings, base.id if base else None)
        # Two points may be the same run: a mixture that the value of another axis does not change.
        first = runs.setdefault(run.id, run)
        configs.setdefault(run.id, text)
        data.setdefault(run.id, settings.data)
        if first.evaluation != run.evaluation:
            raise InputError(
                f"{first.name} and {run.name} differ in their evaluation alone, which is no reason "
                "to train twice; leave that axis out and name the further prompts in "
                "EvalConfig.more"
            )

    axes = _values_that_occur(config.axes, runs.values())
    left_out = []
    if EACH in config.axes.values():
        clusters = dict.fromkeys(
            name for each in data.values() for name in _clusters(each)
        )
        (axis,) = [axis for axis, values in config.axes.items() if values == EACH]
        left_out = [name for name in clusters if name not in axes[axis]]
    return Plan(axes, tuple(runs.values()), configs, base, data, left_out)


def _values_that_occur(
    axes: Iterable[str], runs: Iterable[PlannedRun]
) -> dict[str, list[Any]]:
    """Returns {axis: its values among the runs}, in the order of the runs."""
    values: dict[str, list[Any]] = {axis: [] for axis in axes}
    for run in runs:
        for axis, value in run.point.items():
            if value not in values[axis]:
                values[axis].append(value)
    return values


def _points(
    axes: Mapping[str, Sequence[Any] | str], resolve: Callable[..., Settings]
) -> Iterator[Point]:
    """Yields the combinations, the last axis changing fastest.

    What "each" stands for depends on the other axes, which are set first.
    """
    listed = {
        axis: values for axis, values in axes.items() if not isinstance(values, str)
    }
    for values in itertools.product(*listed.values()):
        point = dict(zip(listed, values, strict=True))
        if len(listed) == len(axes):
            yield point
            continue
        files, bindings = _overrides(point)
        settings = resolve(files, [*bindings, "HELD_OUT = None"])
        clusters = evaluable_clusters(settings)
        if not clusters:
            raise InputError(
                f"no cluster of {settings.data.mixture!r} has a task with a test split and a "
                "template to ask it in. Name another MIXTURE"
            )
        for cluster in clusters:
            yield {axis: point.get(axis, cluster) for axis in axes}


def evaluable_clusters(settings: Settings) -> list[str]:
    """Returns the clusters with a task that has a test split and a template to evaluate it in."""
    clusters = _clusters(settings.data)
    return [
        cluster for cluster, tasks in clusters.items() if _has_evaluable_task(tasks)
    ]


def _clusters(data: DataConfig) -> Mapping[str, Sequence[TemplatedTask]]:
    """Returns the clusters of a mixture, without the tasks beside it."""
    mixture = MIXTURES.get(data.mixture)
    beside = mixture.beside if mixture else ()
    tasks = [task for task in mixture_or_task(data.mixture) if task.name not in beside]
    return cluster_view(data.clusters).group(tasks)


def _has_evaluable_task(tasks: Sequence[TemplatedTask]) -> bool:
    return any("test" in task.splits and task.eval_templates for task in tasks)


def _overrides(point: Point) -> tuple[list[str], list[str]]:
    """Returns (gin files, bindings) that lead to a point."""
    files = [point[GIN_FILE]] if GIN_FILE in point else []
    bindings = [
        f"{axis} = {value!r}" for axis, value in point.items() if axis != GIN_FILE
    ]
    return files, bindings


def _planned_run(
    index: int | None, point: Point, settings: Settings, base: str | None = None
) -> PlannedRun:
    """Returns the run at a point.

    Args:
      index: the run's number in the plan; None for the base model.
      point: the values of the axes.
      settings: the run's settings.
      base: the id of the base model that it starts from.
    """
    run_hash, evaluation_hash = run_id(settings, base)
    steps = settings.training.steps
    batch_size = settings.data.batch_size
    lengths = fixed_lengths(
        settings.data.lengths,
        "LENGTHS has targets 'fit', which depends on each run's data, and the runs of a sweep are "
        "to be compared; write the number that launch/train.py --dry_run shows",
    )
    folder = BASE if index is None else "runs"
    values = [
        f"{axis.rpartition('.')[2]}={_as_text(value)}" for axis, value in point.items()
    ]
    flops = step_flops(settings.model, batch_size, lengths, settings.training.trainable)
    return PlannedRun(
        index=index,
        id=run_hash,
        evaluation=evaluation_hash,
        name=" ".join(values) or BASE,
        point=dict(point),
        directory=f"{folder}/{run_hash}",
        steps=steps,
        tokens=steps * batch_size * sum(lengths.values()),
        flops=float(steps * flops),
        disk=_checkpoint_bytes(settings),
    )


def _checkpoint_bytes(settings: Settings) -> int:
    """Estimates the bytes of the checkpoints that are kept: float32 parameters alone.

    With Adafactor the optimizer state is small beside them.
    """
    checkpoints = settings.checkpoints
    saved = -(-settings.training.steps // checkpoints.every)  # rounded up
    kept = min(checkpoints.keep_last + checkpoints.keep_best, saved)
    return 4 * count_params(settings.model) * kept


_EVALUATION = ("eval_prompts", "eval_examples", "seen_eval_examples")
"""Fields of DataConfig that shape evaluation alone."""


def run_id(settings: Settings, base: str | None) -> tuple[str, str]:
    """Returns what identifies a run.

    The hashes cover the resolved settings, the tasks' definitions, the base model's id and the
    files that the run reads (jsonl rows, a tokenizer, a warm start), but not where its own files
    are kept. A run whose evaluation alone has changed is scored again and not trained again.

    Args:
      settings: the run's settings.
      base: the id of the base model that it starts from.

    Returns:
      (hash of what the trained parameters depend on, hash of what only their scores depend on).
    """
    split = settings.data.split()
    tasks = [get_task(name) for name in (*split.train, *split.held_out)]
    training = _as_json(settings)
    evaluation = [VERSION, training.pop("evaluation")]
    evaluation += [training["data"].pop(name) for name in _EVALUATION]
    # Absent by default, so that runs from before this setting existed keep their id.
    if not settings.data.shuffle_labels:
        del training["data"]["shuffle_labels"]
    # A base model is known by its id, wherever the sweep is kept.
    training["training"]["warm_start"] = base or settings.training.warm_start
    training["tasks"] = [_task_fingerprint(task) for task in tasks]
    files = _files_read(settings, base, tasks)
    if files:
        training["files"] = files
    return hash_json(training), hash_json(evaluation)


def _files_read(
    settings: Settings, base: str | None, tasks: Sequence[TemplatedTask]
) -> dict[str, str]:
    """Returns the hashes of the files that a run reads. Missing files are left out."""
    data = settings.data
    warm_start = settings.training.warm_start
    hashes: dict[str, str] = {}
    if base is None and warm_start is not None:
        with contextlib.suppress(InputError, OSError):
            hashes["warm start"] = source_facts(warm_start)["files"]
    if Path(data.tokenizer).expanduser().exists():
        content = tokenizer_file(data.tokenizer).read_bytes()
        hashes["tokenizer"] = hashlib.sha256(content).hexdigest()
    for task in tasks:
        source = resolve_source(task, data.source, data.data_dir)
        if not isinstance(source, Jsonl):
            continue
        for split in task.splits:
            # A missing file is an error of the run, which will say so.
            with contextlib.suppress(InputError):
                hashes[f"{task.name}/{split}"] = source.fingerprint(split)
    return hashes


_FINGERPRINTS: dict[str, str] = {}
"""Fingerprints by task: each task is in most runs, and following its functions takes a while."""


def _task_fingerprint(task: TemplatedTask) -> str:
    if task.name not in _FINGERPRINTS:
        # Absent without groups, so that tasks from before they existed stay the same.
        group = () if task.group is None else (task.group,)
        _FINGERPRINTS[task.name] = fingerprint(
            task.name,
            task.fields,
            task.templates,
            task.options,
            task.metrics,
            task.source,
            task.sandbox,
            *group,
            follow=getattr(task.fields, "__module__", ""),
        )
    return _FINGERPRINTS[task.name]


_NOT_HASHED = frozenset(
    {"cache_dir", "workers", "untuned_dir", "mesh", "model_changes"}
)
"""Settings that do not change a run's results: where files are kept, how the work is divided, and
which of the model's settings, which are hashed themselves, were changed by name."""


def _as_json(value: object) -> JsonValue:
    """Returns settings as JSON, without those that do not change a run's results."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        content = {"class": type(value).__name__}
        for field in dataclasses.fields(value):
            if field.name not in _NOT_HASHED:
                content[field.name] = _as_json(getattr(value, field.name))
        return content
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, str | int | float | bool | None):
        return value
    return getattr(value, "__qualname__", repr(value))


def _as_text(value: object) -> str:
    """Returns a value for a run's name: "nli+sentiment", "t5_1_1_small"."""
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value))
    if isinstance(value, str) and value.endswith(".gin"):
        return Path(value).stem
    return str(value)
