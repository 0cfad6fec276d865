"""A sweep's directory as far as it is written: its plan, its runs' scores, and what of them is missing or damaged."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from flan_jax.errors import InputError
from flan_jax.json_files import read_json, read_jsonl
from flan_jax.run_dir import LEAKAGE, MANIFEST, METRICS, RESULT

PLAN, RUNS = "plan.json", "runs.jsonl"
KILLED = "its process was killed"
"""The error of a run whose process is gone."""
CURVE = 300
"""Points read of a loss curve, about."""
Setting: TypeAlias = tuple[str, ...]
"""The values of the axes that vary beside HELD_OUT and SEED, as text and in the plan's order."""
T = TypeVar("T")


class Summary(NamedTuple):
    """The scores of a task at one time in percent. values: templates x examples, for held-out tasks' plain averages.

    others: the task's further metrics, each a mean over templates. truncated: of its prompts.
    """

    metric: str
    mean: float
    median: float | None
    quartiles: tuple[float, float] | None
    best: float | None
    interval: tuple[float, float] | None
    error: float | None
    chance: float | None
    majority: float | None
    examples: int | None
    truncated: float | None
    values: np.ndarray | None
    templates: Mapping[int, float]
    others: Mapping[str, float]


class Task(NamedTuple):
    """eval/<task>.json. scores: by "before", "after", and "before-NAME", "after-NAME" under further prompts."""

    name: str
    cluster: str
    held_out: bool
    scores: Mapping[str, Summary]


class SweepRun(NamedTuple):
    """A run as far as it has come. gaps: what could not be read, and why. losses: [steps, 2], step and loss."""

    name: str
    point: Mapping[str, Any]
    path: Path
    plan: Mapping[str, Any]
    state: str
    status: Mapping[str, Any]
    manifest: Mapping[str, Any]
    tasks: Sequence[Task]
    losses: np.ndarray
    evaluated: Sequence[Mapping[str, Any]]
    leakage: Any
    gaps: Sequence[str]

    @property
    def held_out(self) -> str:
        return label(self.point.get("HELD_OUT"))

    @property
    def seconds(self) -> float | None:
        return _number(self.status.get("seconds"))


class Sweep(NamedTuple):
    """axes: those with more than one value beside HELD_OUT and SEED. evaluations: "after" and its further ones.

    base: the run of the base model that all others start from, if the plan has one.
    """

    path: Path
    plan: Mapping[str, Any]
    runs: Sequence[SweepRun]
    axes: Mapping[str, Sequence[str]]
    evaluations: Sequence[str]
    base: SweepRun | None

    @property
    def everything(self) -> list[SweepRun]:
        return [*([self.base] if self.base else []), *self.runs]

    def setting(self, run: SweepRun) -> Setting:
        return tuple(label(run.point.get(axis)) for axis in self.axes)

    @property
    def settings(self) -> list[Setting]:
        return list(dict.fromkeys(map(self.setting, self.runs)))

    @property
    def shown(self) -> Setting:
        """The setting that stands for the sweep: of each axis the value with the highest number, or else the first."""
        return tuple(_largest(values) for values in self.axes.values())


def label(value: Any) -> str:
    """A value of an axis as text."""
    if isinstance(value, list):
        return ", ".join(map(label, value))
    return value if isinstance(value, str) else json.dumps(value)


def _largest(values: Sequence[str]) -> str:
    numbers = [re.findall(r"\d+(?:\.\d+)?", value) for value in values]
    if not all(numbers):
        return values[0]
    return max(
        zip(values, numbers, strict=True), key=lambda pair: [float(number) for number in pair[1]]
    )[0]


def read(path: Path) -> Sweep:
    """The sweep in a directory. Raises InputError if it is none, or if its plan is damaged."""
    plan, rows = read_json(path / PLAN), list(read_jsonl(path / RUNS))
    if plan is None or not rows:
        reason = (
            "it has no plan.json or no runs.jsonl"
            if path.is_dir()
            else "there is no such directory"
        )
        raise InputError(
            f"{path} is not a sweep's directory: {reason}. Give the directory that launch/ablate.py wrote"
        )
    try:
        axes = {
            axis: list(dict.fromkeys(map(label, values))) for axis, values in plan["axes"].items()
        }
        axes = {
            axis: v for axis, v in axes.items() if len(v) > 1 and axis not in ("HELD_OUT", "SEED")
        }
        runs = [_run(path, row) for row in rows]
        base = _run(path, plan["base"]) if plan.get("base") else None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: plan.json or runs.jsonl is not what launch/ablate.py writes ({error!r}). Plan the sweep anew"
        ) from None
    whens = {when for run in runs for task in run.tasks if task.held_out for when in task.scores}
    evaluations = ["after", *sorted(when for when in whens if when.startswith("after-"))]
    return Sweep(path, plan, runs, axes, evaluations, base)


def _run(sweep: Path, row: Mapping[str, Any]) -> SweepRun:
    gaps: list[str] = []

    def part(path: Path, parse: Callable[[Any], T], nothing: T) -> T:
        """What a JSON file says; `nothing` when there is none, or, with a note, when it cannot be understood."""
        try:
            content = read_json(path)
            return nothing if content is None else parse(content)
        except (
            InputError,
            OSError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            gaps.append(f"{path.name}: {_reason(error, path)}")
            return nothing

    path = sweep / row["directory"]
    status = part(sweep / "status" / f"{row['id']}.json", _mapping, {})
    if was_killed(status):
        status = {**status, "state": "failed", "error": KILLED}
    finished = (path / RESULT).exists()
    state = "finished" if finished else str(status.get("state", "unknown" if gaps else "waiting"))
    tasks = [part(file, _task, None) for file in sorted((path / "eval").glob("*.json"))]
    manifest = part(path / MANIFEST, _mapping, {})
    losses, evaluated = _metrics(path / METRICS, gaps)
    if finished:
        there = {"manifest.json": manifest, "metrics.jsonl": len(losses), "eval/": tasks}
        gaps += [
            f"{name} is missing or empty"
            for name, content in there.items()
            if not content and not gaps
        ]
    return SweepRun(
        name=str(row["name"]),
        point=_mapping(row["point"]),
        path=path,
        plan=row,
        state=state,
        status=status,
        manifest=manifest,
        tasks=[task for task in tasks if task is not None],
        losses=losses,
        evaluated=evaluated,
        leakage=part(path / LEAKAGE, lambda content: content, None),
        gaps=gaps,
    )


def was_killed(status: Mapping[str, Any]) -> bool:
    """Whether the process of a run that says that it is running is gone from this machine."""
    here = status.get("state") == "running" and status.get("host") == socket.gethostname()
    return here and isinstance(status.get("pid"), int) and not _alive(status["pid"])


def _alive(pid: int) -> bool:
    try:
        # A process that has ended and that nobody has waited for still has an entry.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path("/proc/self/stat").exists()


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, InputError):
        return str(error).removeprefix(str(path)).strip()
    return f"not what a run writes ({type(error).__name__}: {error})"


def _mapping(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise TypeError(f"a {type(content).__name__} instead of an object")
    return content


def _task(content: Any) -> Task:
    scores = {
        when: _summary(summary)
        for when, summary in content.items()
        if when.partition("-")[0] in ("before", "after") and summary is not None
    }
    return Task(str(content["task"]), str(content["cluster"]), bool(content["held_out"]), scores)


def _summary(content: Any) -> Summary:
    metric, values = content["metric"], content.get("values")
    scores = {int(t["template"]): float(t["test"][metric]) for t in content["templates"]}
    best = (content.get("best_dev_template") or {}).get("score")
    return Summary(
        metric=str(metric),
        mean=float(content["mean"]),
        median=_number(content.get("median")),
        quartiles=_pair(content.get("quartiles")),
        best=_number(best),
        interval=_pair(content.get("interval")),
        error=_number(content.get("standard_error")),
        chance=_number(content.get("chance")),
        majority=_number(content.get("majority")),
        examples=None if content.get("examples") is None else int(content["examples"]),
        truncated=_number(content.get("truncated")),
        values=None if values is None else _values(values, len(scores)),
        templates=scores,
        others={
            name: float(np.mean([float(t["test"][name]) for t in content["templates"]]))
            for name in content["templates"][0]["test"]
            if name != metric
        },
    )


def _values(content: Any, templates: int) -> np.ndarray:
    values = np.array(content, float)
    if values.ndim != 2 or len(values) != templates or np.isnan(values).all(axis=1).any():
        raise ValueError("its values are not numbers, templates x examples")
    return values


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _pair(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = map(float, value)
    return low, high


def _metrics(path: Path, gaps: list[str]) -> tuple[np.ndarray, list[Mapping[str, Any]]]:
    """The losses, thinned to about CURVE, and the lines of evaluations during training."""
    losses: list[tuple[float, float]] = []
    evaluated = []
    try:
        for line in _lines(path):
            row = json.loads(line)
            if "loss" in row and np.isfinite(row["loss"]):
                losses.append((float(row["step"]), float(row["loss"])))
            if "eval" in row:
                evaluated.append({"step": float(row["step"]), **_mapping(row["eval"])})
    except (OSError, ValueError, LookupError, TypeError) as error:
        gaps.append(f"{path.name}: {_reason(error, path)}")
    return np.array(losses, float).reshape(-1, 2), evaluated


def _lines(path: Path) -> Iterator[bytes]:
    """Some of the whole lines of metrics.jsonl: every so many, the last, and all evaluations."""
    lines = (
        path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    )  # what follows the last newline is half a line
    every = 1 + len(lines) // CURVE
    for number, line in enumerate(lines):
        if number % every == 0 or number == len(lines) - 1 or b'"eval"' in line:
            yield line


def sample_lines(path: Path, count: int) -> Iterator[Mapping[str, Any]]:
    """At most `count` objects of a JSON-lines file, from evenly spaced places, read without reading the rest."""
    with path.open("rb") as file:
        size, last = path.stat().st_size, -1
        for place in (size * i // count for i in range(count)):
            file.seek(place)
            if place:
                file.readline()  # the rest of a line
            start, line = file.tell(), file.readline()
            if start > last and line.endswith(b"\n"):
                yield _mapping(json.loads(line))
            last = start
