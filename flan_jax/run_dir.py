"""A run directory.

It holds config.gin, manifest.json, metrics.jsonl, checkpoints/, eval/, predictions/, result.json
(written last: it means that the run is done) and report.html.
"""

import fcntl
import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from flan_jax.errors import InputError
from flan_jax.json_files import (
    JsonObject,
    append_jsonl,
    as_json,
    read_json,
    read_jsonl,
    without_keys,
    write_text,
)

MANIFEST, METRICS, RESULT = "manifest.json", "metrics.jsonl", "result.json"
LEAKAGE = "leakage.json"
"""The leakage audit of the run's data. A local sweep writes it, and launch/leakage.py --run_dir."""


class Run:
    """A run directory that is written by this process, or, in a multi-process run, by process 0.

    Attributes:
      path: the directory.
      is_writer: whether this process writes it. In other processes the methods that write do
        nothing.
    """

    def __init__(self, path: str | os.PathLike, is_writer: bool = True):
        """Creates the directory and locks it until this process ends, however it ends.

        Raises:
          InputError: the directory cannot be written, or another process writes it.
        """
        self.path, self.is_writer = Path(path), is_writer
        if is_writer:
            self._lock = self._create_and_lock()

    def _create_and_lock(self) -> object:
        try:
            for folder in ("eval", "predictions", "checkpoints"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("a")
        except OSError as error:
            raise InputError(
                f"the run directory {self.path} cannot be written ({error.strerror}: "
                f"{error.filename}). Choose another --run_dir"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is writing {self.path}. Wait for it to end, or choose another "
                "--run_dir"
            ) from None
        return lock

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of result.json; None while the run is not done."""
        return read_json(self.path / RESULT)

    @property
    def identity(self) -> dict[str, Any]:
        """The identity in manifest.json, as the run began; {} before there is one."""
        return (read_json(self.path / MANIFEST) or {}).get("identity", {})

    def write_manifest(
        self,
        identity: JsonObject,
        metadata: JsonObject,
        *,
        ignored: Collection[str] = (),
        complete: Callable[[JsonObject], JsonObject] = dict,
    ) -> None:
        """Writes manifest.json, keeping the identity that the run began with.

        Args:
          identity: what must stay the same while the run goes on.
          metadata: what else a reader wants to know; replaced every time.
          ignored: keys of the identity, at any depth, that may change.
          complete: returns an identity with what it lacks at its default, so that a run goes on
            which began before there was a setting.

        Raises:
          InputError: the directory holds a run of another identity; the message names what differs.
        """
        if not self.is_writer:
            return
        begun = self.identity
        if begun:
            before = complete(begun)
            now = complete(json.loads(json.dumps(identity)))
            self._check_same(without_keys(before, ignored), without_keys(now, ignored))
        self.write_json(MANIFEST, {"identity": begun or identity, **metadata})

    def _check_same(self, before: JsonObject, now: JsonObject) -> None:
        """Raises InputError with the differences between two identities, if there are any."""
        lines = _differences(before, now)
        if not lines:
            return
        changes = "\n".join(f"    {line}" for line in lines)
        raise InputError(
            f"{self.path} holds another run. What differs:\n{changes}\n"
            "Go on with its own settings, or choose another --run_dir for these"
        )

    def write_text(self, name: str, text: str) -> None:
        """Replaces a file of the run atomically."""
        if self.is_writer:
            write_text(self.path / name, text)

    def write_json(self, name: str, content: object) -> None:
        """Replaces a JSON file of the run atomically."""
        self.write_text(name, as_json(content))

    def remove(self, name: str) -> None:
        """Removes a file of the run, if it exists."""
        if self.is_writer:
            (self.path / name).unlink(missing_ok=True)

    def log(self, row: JsonObject) -> None:
        """Appends one line to metrics.jsonl."""
        if self.is_writer:
            append_jsonl(self.path / METRICS, row)

    def truncate_metrics(self, step: int) -> None:
        """Removes the lines of metrics.jsonl after a step; a resumed run writes them again."""
        rows = [row for row in read_jsonl(self.path / METRICS) if row["step"] <= step]
        self.write_text(METRICS, "".join(json.dumps(row) + "\n" for row in rows))


def _differences(before: JsonObject, now: JsonObject, prefix: str = "") -> list[str]:
    """Returns the values in which two objects differ.

    >>> _differences({"model": {"dtype": "float32"}}, {"model": {"dtype": "bfloat16"}})
    ['model.dtype: float32 there, bfloat16 now']
    """
    lines = []
    for key in sorted({*before, *now}):
        begun_value, value = before.get(key), now.get(key)
        if isinstance(begun_value, dict) and isinstance(value, dict):
            lines += _differences(begun_value, value, f"{prefix}{key}.")
        elif begun_value != value:
            lines.append(f"{prefix}{key}: {begun_value} there, {value} now")
    return lines
