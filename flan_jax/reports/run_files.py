"""Reads a run directory for its report."""

import collections
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from flan_jax.errors import InputError
from flan_jax.json_files import read_json, read_jsonl
from flan_jax.run_dir import MANIFEST, METRICS, RESULT

WHEN = ("before", "after")


EXAMPLES = 10
"""Predictions that a report shows of a task."""


Row: TypeAlias = Mapping[str, Any]


class Contents(NamedTuple):
    """What a run directory holds so far. A section that manifest.json lacks is {}; cluster: the one held out."""

    path: Path
    manifest: Mapping[str, Any]
    metrics: Sequence[Row]
    held_out: Sequence[Row]
    trained_on: Mapping[str, Sequence[Row]]
    result: Row | None
    config: str
    cluster: str | None
    practice: bool


def _read(path: Path) -> Contents:
    if not any(
        (path / name).exists() for name in (MANIFEST, METRICS, RESULT, "config.gin", "eval")
    ):
        reason = (
            f"it has no {MANIFEST}, {METRICS} or eval/"
            if path.is_dir()
            else "there is no such directory"
        )
        raise InputError(
            f"{path} is not a run directory: {reason}. Give the --run_dir of a training run"
        )
    manifest = collections.defaultdict(dict, read_json(path / MANIFEST) or {})
    files = [read_json(file) for file in sorted((path / "eval").glob("*.json"))]
    tasks = [
        {key: value for key, value in task.items() if value is not None}
        for task in files
        if "task" in task
    ]
    tasks.sort(key=lambda task: (task["cluster"], task["task"]))
    held_out = [task for task in tasks if task["held_out"]]
    others = itertools.groupby(
        (task for task in tasks if not task["held_out"]), key=lambda task: task["cluster"]
    )
    return Contents(
        path=path,
        manifest=manifest,
        metrics=[row for row in read_jsonl(path / METRICS) if "eval" not in row],
        held_out=held_out,
        trained_on={cluster: list(group) for cluster, group in others},
        result=read_json(path / RESULT),
        config=gin.read_text("utf-8", "replace") if (gin := path / "config.gin").exists() else "",
        cluster=_named(manifest["data"].get("held_out"))
        or (held_out[0]["cluster"] if held_out else None),
        practice=manifest["data"].get("source") == "sandbox",
    )


def _named(held_out: str | Sequence[str] | None) -> str | None:
    return held_out if isinstance(held_out, str) or held_out is None else ", ".join(held_out)
