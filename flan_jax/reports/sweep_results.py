"""Reads a sweep directory, complete or not. Unreadable files are recorded as gaps."""

import dataclasses
import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, is_process_alive, read_json, read_jsonl
from flan_jax.run_dir import LEAKAGE, MANIFEST, METRICS, RESULT
from flan_jax.run_records import (
    AFTER,
    MixtureSummary,
    Phase,
    TaskScores,
    read_task_scores,
)

PLAN = "plan.json"
RUNS = "runs.jsonl"
KILLED = "its process was killed"
"""The error of a run whose process has ended without reporting its end."""
SHUFFLE_LABELS = "shuffle_labels"
"""How the name of the axis ends that has runs on right and on shuffled labels."""
CURVE_POINTS = 300
"""Approximate number of points that are read of a loss curve."""

Setting: TypeAlias = tuple[str, ...]
"""The values of `Sweep.axes`, as text and in the order of the plan."""

DAMAGE = (
    InputError,
    OSError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)
"""What reading a damaged file raises."""


class SweepRun(NamedTuple):
    """A run of a sweep, complete or not.

    Attributes:
      name: the run's name in the plan.
      point: the value of each axis.
      path: the run directory.
      plan: the run's line of runs.jsonl.
      state: "waiting", "running", "failed", "finished", or "unknown" if its status is damaged.
      status: the content of its status file; {} without one.
      manifest: the content of its manifest.json without the mixture; {} without one.
      mixture: what it trains on; None if the manifest does not describe it.
      tasks: its scores.
      losses: float[points, 2], step and training loss.
      evaluated: the held-out means during training, each {"step": step, cluster: mean, ...}.
      leakage: the content of its leakage.json; None without one.
      gaps: the files that could not be read, with the reasons.
    """

    name: str
    point: JsonObject
    path: Path
    plan: JsonObject
    state: str
    status: JsonObject
    manifest: JsonObject
    mixture: MixtureSummary | None
    tasks: Sequence[TaskScores]
    losses: np.ndarray
    evaluated: Sequence[JsonObject]
    leakage: object
    gaps: Sequence[str]

    @property
    def held_out(self) -> str:
        """The value of HELD_OUT as text."""
        return axis_label(self.point.get("HELD_OUT"))

    @property
    def seconds(self) -> float | None:
        """How long the run's process has run."""
        seconds = self.status.get("seconds")
        return None if seconds is None else float(seconds)

    def manifest_section(self, name: str) -> JsonObject:
        """Returns a section of manifest.json; {} where it has none."""
        section = self.manifest.get(name)
        return section if isinstance(section, Mapping) else {}


class Sweep(NamedTuple):
    """A sweep.

    Attributes:
      path: the sweep directory.
      plan: the content of plan.json.
      runs: the runs in the order of the plan.
      axes: the values of each axis that has several, without HELD_OUT and SEED.
      evaluations: the phases after training: `AFTER`, and those under further prompts.
      base: the run of the base model that all others start from; None without one.
    """

    path: Path
    plan: JsonObject
    runs: Sequence[SweepRun]
    axes: Mapping[str, Sequence[str]]
    evaluations: Sequence[Phase]
    base: SweepRun | None

    @property
    def runs_and_base(self) -> list[SweepRun]:
        """All runs, the base model's first."""
        return [self.base, *self.runs] if self.base else list(self.runs)

    def setting(self, run: SweepRun) -> Setting:
        """Returns the setting that a run belongs to."""
        return tuple(axis_label(run.point.get(axis)) for axis in self.axes)

    @property
    def settings(self) -> list[Setting]:
        """All settings in the order of the plan."""
        return list(dict.fromkeys(map(self.setting, self.runs)))

    @property
    def headline_setting(self) -> Setting:
        """The setting that stands for the sweep: the largest value of each axis.

        A value's size is the numbers in its text. Of values without numbers the first is taken. A
        run on shuffled labels is a control and stands for nothing.
        """
        return tuple(
            "false" if axis.endswith(SHUFFLE_LABELS) else _largest(values)
            for axis, values in self.axes.items()
        )

    @property
    def headline_runs(self) -> list[SweepRun]:
        """The runs in the setting that stands for the sweep."""
        return [run for run in self.runs if self.setting(run) == self.headline_setting]


def axis_label(value: object) -> str:
    """Returns a value of an axis as text."""
    if isinstance(value, list):
        return ", ".join(map(axis_label, value))
    return value if isinstance(value, str) else json.dumps(value)


def _largest(values: Sequence[str]) -> str:
    numbers = {value: re.findall(r"\d+(?:\.\d+)?", value) for value in values}
    if not all(numbers.values()):
        return values[0]
    return max(values, key=lambda value: [float(number) for number in numbers[value]])


def read_sweep(path: Path) -> Sweep:
    """Reads a sweep directory.

    Args:
      path: the directory that launch/ablate.py wrote.

    Raises:
      InputError: the directory holds no sweep, or its plan is damaged.
    """
    plan = read_json(path / PLAN)
    rows = list(read_jsonl(path / RUNS))
    if plan is None or not rows:
        reason = "there is no such directory"
        if path.is_dir():
            reason = "it has no plan.json or no runs.jsonl"
        raise InputError(
            f"{path} is not a sweep directory: {reason}. Give the directory that "
            "launch/ablate.py wrote"
        )

    try:
        axes = _varying_axes(plan["axes"])
        runs = [_read_run(path, row) for row in rows]
        base = _read_run(path, plan["base"]) if plan.get("base") else None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: plan.json or runs.jsonl is not what launch/ablate.py writes ({error!r}). "
            "Plan the sweep again"
        ) from None

    further_phases = set()
    for run in runs:
        for task in run.tasks:
            phases = task.scores if task.held_out else ()
            for phase in phases:
                if phase.time == "after" and phase != AFTER and not phase.is_control:
                    further_phases.add(phase)
    evaluations = [AFTER, *sorted(further_phases, key=str)]
    return Sweep(path, plan, runs, axes, evaluations, base)


def _varying_axes(axes: Mapping[str, Sequence[object]]) -> dict[str, list[str]]:
    """Returns the values, as text, of each axis that has several, without HELD_OUT and SEED."""
    varying = {}
    for axis, values in axes.items():
        labels = list(dict.fromkeys(map(axis_label, values)))
        if len(labels) > 1 and axis not in ("HELD_OUT", "SEED"):
            varying[axis] = labels
    return varying


class _Gaps:
    """Collects why files of a run could not be read."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def add(self, path: Path, error: Exception) -> None:
        if isinstance(error, InputError):
            reason = str(error).removeprefix(str(path)).strip()
        else:
            reason = f"is not what a run writes ({type(error).__name__}: {error})"
        self.reasons.append(f"{path.name}: {reason}")

    def read_object(self, path: Path) -> JsonObject:
        """Returns the object in a JSON file; {} if there is none, or it is damaged."""
        try:
            content = read_json(path)
            return {} if content is None else _as_object(content)
        except DAMAGE as error:
            self.add(path, error)
            return {}

    def read_scores(self, path: Path) -> TaskScores | None:
        """Returns the scores in a file; None if it is damaged."""
        try:
            scores = read_task_scores(path)
        except DAMAGE as error:
            self.add(path, error)
            return None
        return scores and _with_arrays(scores)


def _as_object(content: object) -> JsonObject:
    if not isinstance(content, Mapping):
        raise TypeError(f"a {type(content).__name__} instead of an object")
    return content


def _with_arrays(task: TaskScores) -> TaskScores:
    """Returns the scores with arrays for lists of values, which take a quarter of the memory."""
    scores = {}
    for phase, prompt_scores in task.scores.items():
        values = prompt_scores.values
        array = None if values is None else np.array(values, float)
        scores[phase] = dataclasses.replace(prompt_scores, values=array)
    return dataclasses.replace(task, scores=scores)


def _read_run(sweep_dir: Path, row: JsonObject) -> SweepRun:
    """Reads the run of a line of runs.jsonl."""
    gaps = _Gaps()
    path = sweep_dir / row["directory"]

    status = gaps.read_object(sweep_dir / "status" / f"{row['id']}.json")
    if was_killed(status):
        status = {**status, "state": "failed", "error": KILLED}
    is_finished = (path / RESULT).exists()
    default_state = "unknown" if gaps.reasons else "waiting"
    state = "finished" if is_finished else str(status.get("state", default_state))

    scores = [gaps.read_scores(file) for file in sorted((path / "eval").glob("*.json"))]
    manifest = gaps.read_object(path / MANIFEST)
    losses, evaluated = _read_metrics(path / METRICS, gaps)
    leakage = _read_leakage(path / LEAKAGE, gaps)

    if is_finished and not gaps.reasons:
        is_empty = {
            MANIFEST: not manifest,
            METRICS: len(losses) == 0,
            "eval/": not scores,
        }
        gaps.reasons += [
            f"{name} is missing or empty" for name, empty in is_empty.items() if empty
        ]

    return SweepRun(
        name=str(row["name"]),
        point=_as_object(row["point"]),
        path=path,
        plan=row,
        state=state,
        status=status,
        manifest={key: value for key, value in manifest.items() if key != "mixture"},
        mixture=_mixture(manifest),
        tasks=[task for task in scores if task is not None],
        losses=losses,
        evaluated=evaluated,
        leakage=leakage,
        gaps=gaps.reasons,
    )


def _read_leakage(path: Path, gaps: _Gaps) -> object:
    try:
        return read_json(path)
    except DAMAGE as error:
        gaps.add(path, error)
        return None


def _mixture(manifest: JsonObject) -> MixtureSummary | None:
    """Returns the mixture of a manifest; None if it has none, or a damaged one."""
    try:
        return MixtureSummary.from_json(manifest["mixture"])
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def was_killed(status: JsonObject) -> bool:
    """Returns whether a run is marked as running on this machine, but its process has ended.

    Args:
      status: the content of the run's status file.
    """
    is_local = status.get("host") == socket.gethostname()
    if status.get("state") != "running" or not is_local:
        return False
    pid = status.get("pid")
    return isinstance(pid, int) and not is_process_alive(pid)


def _read_metrics(path: Path, gaps: _Gaps) -> tuple[np.ndarray, list[JsonObject]]:
    """Returns the losses, float[points, 2], and the rows of evaluations during training."""
    losses: list[tuple[float, float]] = []
    evaluated: list[JsonObject] = []
    try:
        for line in _sample_metrics(path):
            row = json.loads(line)
            if "loss" in row and np.isfinite(row["loss"]):
                losses.append((float(row["step"]), float(row["loss"])))
            if "eval" in row:
                evaluated.append(
                    {"step": float(row["step"]), **_as_object(row["eval"])}
                )
    except (OSError, ValueError, LookupError, TypeError) as error:
        gaps.add(path, error)
    return np.array(losses, float).reshape(-1, 2), evaluated


def _sample_metrics(path: Path) -> Iterator[bytes]:
    """Yields evenly spaced lines of metrics.jsonl, the last one, and those of evaluations."""
    if not path.exists():
        return
    # After the last newline there may be half a line.
    lines = path.read_bytes().split(b"\n")[:-1]
    spacing = 1 + len(lines) // CURVE_POINTS
    for number, line in enumerate(lines):
        is_sampled = number % spacing == 0 or number == len(lines) - 1
        if is_sampled or b'"eval"' in line:
            yield line
