"""A run is a directory: config.gin, manifest.json, metrics.jsonl, checkpoints/, eval/, predictions/, result.json, report.html."""

import fcntl
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flan_jax.errors import InputError
from flan_jax.json_files import (
    JsonObject,
    as_json,
    read_json,
    read_jsonl,
    without_keys,
    write_text,
)

MANIFEST, METRICS, RESULT = "manifest.json", "metrics.jsonl", "result.json"
LEAKAGE = "leakage.json"
"""The audit of what a run trains on against what it holds out; a sweep on this machine writes it, and launch/leakage.py --run_dir."""


class Run:
    """A run directory that this process writes. Raises InputError when it cannot be written or another process writes it.

    The lock is held until the process ends, however it ends. Of several processes that do a run together, one `writes`; for
    the others what is here that writes does nothing.
    """

    def __init__(self, path: str | os.PathLike, is_writer: bool = True):
        self.path, self.is_writer = Path(path), is_writer
        if is_writer:
            self._take()

    def _take(self) -> None:
        try:
            for folder in ("eval", "predictions", "checkpoints"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a")
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}"
            raise InputError(
                f"the run directory {self.path} cannot be written ({reason}). Choose another --run_dir"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is writing {self.path}. Wait for it to end, or choose another --run_dir"
            ) from None

    @property
    def result(self) -> dict[str, Any] | None:
        """What result.json says; None while the run is not done."""
        return read_json(self.path / RESULT)

    @property
    def identity(self) -> dict[str, Any]:
        """The identity in manifest.json, as the run began; {} before there is one."""
        return (read_json(self.path / MANIFEST) or {}).get("identity", {})

    def write_manifest(
        self, identity: JsonObject, metadata: JsonObject, *, ignored: Collection[str] = ()
    ) -> None:
        """Writes manifest.json, keeping the identity that the run began with.

        Args:
          identity: what must stay the same while the run goes on.
          metadata: what else a reader wants to know; replaced every time.
          ignored: keys of the identity, at any depth, that may change.

        Raises:
          InputError: the directory holds a run of another identity; the message names what differs.
        """
        if not self.is_writer:
            return
        begun = self.identity
        if begun:
            before = without_keys(begun, ignored)
            now = without_keys(json.loads(json.dumps(identity)), ignored)
            self._check_same(before, now)
        self.write_json(MANIFEST, {"identity": begun or identity, **metadata})

    def _check_same(self, before: JsonObject, now: JsonObject) -> None:
        differing = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        if not differing:
            return
        changes = "\n".join(
            f"    {key}: {before.get(key)} there, {now.get(key)} now" for key in differing
        )
        raise InputError(
            f"{self.path} holds another run. What differs:\n{changes}\n"
            "Go on with its own settings, or choose another --run_dir for these"
        )

    def write_text(self, name: str, text: str) -> None:
        """Replaces a file of the run at once."""
        if self.is_writer:
            write_text(self.path / name, text)

    def write_json(self, name: str, content: Any) -> None:
        self.write_text(name, as_json(content))

    def remove(self, name: str) -> None:
        if self.is_writer:
            (self.path / name).unlink(missing_ok=True)

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        if self.is_writer:
            with (self.path / METRICS).open("a") as file:
                file.write(json.dumps(row) + "\n")

    def truncate_metrics(self, step: int) -> None:
        """Drops the lines of metrics.jsonl of later steps, which a resumed run writes again."""
        kept = [row for row in read_jsonl(self.path / METRICS) if row["step"] <= step]
        self.write_text(METRICS, "".join(json.dumps(row) + "\n" for row in kept))
