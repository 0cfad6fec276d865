"""Reads a run directory for its report."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, read_json, read_jsonl
from flan_jax.reports.mixture import row_kinds
from flan_jax.run_dir import MANIFEST, METRICS, RESULT
from flan_jax.run_records import MixtureSummary, TaskScores, read_all_task_scores

CONFIG = "config.gin"


class RunFiles(NamedTuple):
    """What a run has written so far.

    Attributes:
      path: the run directory.
      manifest: the content of manifest.json; {} without one.
      mixture: what the run trains on; None if the manifest does not describe it.
      metrics: the rows of metrics.jsonl, without those of evaluations.
      held_out: the scores of the held-out tasks, by cluster and name.
      trained_on: the scores of the other tasks by cluster.
      result: the content of result.json; None while the run is not finished.
      config: the text of config.gin; "" without one.
    """

    path: Path
    manifest: JsonObject
    mixture: MixtureSummary | None
    metrics: Sequence[JsonObject]
    held_out: Sequence[TaskScores]
    trained_on: Mapping[str, Sequence[TaskScores]]
    result: JsonObject | None
    config: str

    @property
    def held_out_name(self) -> str | None:
        """What the run holds out: a cluster, or several; None if it trains on all tasks."""
        name = self.section("data").get("held_out")
        if name is None:
            return self.held_out[0].cluster if self.held_out else None
        return name if isinstance(name, str) else ", ".join(name)

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint that is scored: "/runs/a, step 300". None if the directory is a run's."""
        identity = self.section("identity")
        if "plan" in identity or "source" not in identity:
            return None
        path = identity["source"].get("path", "random parameters")
        step = self.manifest.get("step")
        return path if step is None else f"{path}, step {step:,}"

    @property
    def is_evaluation(self) -> bool:
        """Whether the directory holds the scores of a checkpoint, and nothing is trained in it."""
        return self.checkpoint is not None

    @property
    def row_kinds(self) -> dict[str, str | None]:
        """The kind of the rows of each task that the run trains on or scores."""
        mixtures = [] if self.mixture is None else [self.mixture]
        trained_on = itertools.chain.from_iterable(self.trained_on.values())
        return row_kinds(mixtures, [*self.held_out, *trained_on])

    def section(self, name: str) -> JsonObject:
        """Returns a section of manifest.json; {} where it has none."""
        return self.manifest.get(name, {})


def read_run(path: Path) -> RunFiles:
    """Reads a run directory, also while the run is in progress.

    Args:
      path: the run directory.

    Raises:
      InputError: the directory holds no run, or a file is damaged.
    """
    names = (MANIFEST, METRICS, RESULT, CONFIG, "eval")
    if not any((path / name).exists() for name in names):
        reason = "there is no such directory"
        if path.is_dir():
            reason = f"it has no {MANIFEST}, {METRICS} or eval/"
        raise InputError(
            f"{path} is not a run directory: {reason}. Give the --run_dir of a training run"
        )

    manifest = read_json(path / MANIFEST) or {}
    tasks = sorted(
        read_all_task_scores(path), key=lambda task: (task.cluster, task.task)
    )
    trained_on: dict[str, list[TaskScores]] = {}
    for task in tasks:
        if not task.held_out:
            trained_on.setdefault(task.cluster, []).append(task)

    return RunFiles(
        path=path,
        manifest=manifest,
        mixture=_read_mixture(path, manifest),
        metrics=[row for row in read_jsonl(path / METRICS) if "eval" not in row],
        held_out=[task for task in tasks if task.held_out],
        trained_on=trained_on,
        result=read_json(path / RESULT),
        config=_read_text(path / CONFIG),
    )


def _read_mixture(path: Path, manifest: JsonObject) -> MixtureSummary | None:
    content = manifest.get("mixture")
    if not content:
        return None
    try:
        return MixtureSummary.from_json(content)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path / MANIFEST}: its mixture is not what a run writes "
            f"({type(error).__name__}: {error}). Restore the file"
        ) from None


def _read_text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""
