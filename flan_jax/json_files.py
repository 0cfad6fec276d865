"""JSON files, and files and folders that appear whole or not at all."""

import contextlib
import dataclasses
import errno
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from flan_jax.errors import InputError

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as Python has it: its values are what json.loads gives."""

JsonValue: TypeAlias = Any
"""What json.loads gives: an object, a list, a text, a number, a truth value or None."""

TEMPORARY_FOLDER = re.compile(r".+\.tmp-(?P<pid>\d+)-[0-9a-f]{8}-(?P<host>.+)")
"""Name of an unfinished folder. Readers of T5X checkpoints, too, take `.tmp-` for unfinished."""


def read_json(path: Path) -> JsonValue:
    """Returns the content of a JSON file, or None if there is no such file.

    Args:
      path: the file.

    Returns:
      The parsed content, or None.

    Raises:
      InputError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # not JSON, or not even text
        raise InputError(
            f"{path} is damaged ({error}). Delete it if the run can do without, or restore it"
        ) from None


def read_json_object(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file that was made by another program.

    Args:
      path: the file.

    Returns:
      The object.

    Raises:
      InputError: the file is not JSON, or holds something else than one object.
      FileNotFoundError: there is no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None

    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object; copy it again")
    return content


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the objects of a JSON-lines file; none if there is no such file.

    A last line without its newline is skipped: its writer was killed.

    Args:
      path: the file.

    Yields:
      The object of each line, in the order of the file.

    Raises:
      InputError: any other line is not JSON.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"{path}:{number} is damaged ({error}). Delete that line, or restore the file"
                ) from None
            yield row


def without_keys(content: JsonObject, names: Collection[str]) -> dict[str, Any]:
    """Returns a JSON object without the entries of some names, in the objects inside it, too.

    >>> without_keys({"seed": 0, "model": {"remat": "full", "emb_dim": 8}}, ["remat"])
    {'seed': 0, 'model': {'emb_dim': 8}}

    Args:
      content: a JSON object; objects in lists are left as they are.
      names: the keys to leave out.
    """
    rest = {}
    for key, value in content.items():
        if key not in names:
            rest[key] = (
                without_keys(value, names) if isinstance(value, Mapping) else value
            )
    return rest


def default_fields(cls: type) -> dict[str, Any]:
    """Returns the fields of a dataclass that have a default, at their default, as JSON has them.

    Fields whose default is a callable are left out.

    >>> default_fields(OptimizerConfig)
    {'name': 'adafactor', 'schedule': 'constant', 'warmup_steps': 0, 'settings': {}}

    Args:
      cls: a dataclass.
    """
    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        value = field.default
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        if value is not dataclasses.MISSING and not callable(value):
            defaults[field.name] = value
    return json.loads(json.dumps(defaults))


def fill_missing(
    content: JsonObject, defaults: Mapping[str, JsonObject]
) -> dict[str, Any]:
    """Returns a JSON object in which the objects inside it have what they lack.

    >>> fill_missing({"model": {"emb_dim": 8}}, {"model": {"remat": "none"}})
    {'model': {'remat': 'none', 'emb_dim': 8}}

    Args:
      content: a JSON object.
      defaults: fields by the object's path, "model" or "weights.model". An object that is not
        there is not made.
    """
    filled = dict(content)
    for path, fields in defaults.items():
        name, _, rest = path.partition(".")
        part = filled.get(name)
        if isinstance(part, Mapping):
            filled[name] = (
                fill_missing(part, {rest: fields}) if rest else {**fields, **part}
            )
    return filled


def as_json(content: object) -> str:
    """Returns the text that `write_json` writes."""
    return json.dumps(content, indent=2) + "\n"


def write_json(path: Path, content: object) -> None:
    """Replaces a file atomically by `content` as JSON."""
    write_text(path, as_json(content))


def write_text(path: Path, text: str) -> None:
    """Replaces a file atomically: readers, also after a crash, see the old text or the new one.

    Only one process at a time may write a file: all use the same temporary name.

    Args:
      path: the file; its folder must exist.
      text: the new content.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def append_jsonl(path: Path, row: JsonObject) -> None:
    """Appends one line to a JSON-lines file.

    The write is not atomic. After a crash, rewrite the file with what `read_jsonl` gives before
    appending to it: the last line may lack its end.

    Args:
      path: the file; it is created if it does not exist.
      row: the object to append.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes `folder` when the block ends without an error.

    The temporary folder lies beside `folder`, whose parents are created. Its files are on disk
    (fsync) before it is renamed, so that `folder` is complete even after a power failure. After an
    error it is removed. What killed processes have left beside `folder` is removed, too.

    Args:
      folder: the folder to write. Several processes may write the same one: the first one wins.

    Yields:
      The temporary folder, empty.

    Raises:
      FileExistsError: `folder` exists and is not empty when the block ends.
      OSError: the folder cannot be written (disk full, no permission).
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned_folders(folder.parent)
    owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}-{socket.gethostname()}"
    temporary = folder.with_name(f"{folder.name}.tmp-{owner}")
    try:
        temporary.mkdir()
        yield temporary
        _sync_tree(temporary)
        _rename_folder(temporary, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_abandoned_folders(parent: Path) -> None:
    """Removes the temporary folders in `parent` that killed processes of this machine have left.

    Those of other machines stay, as `parent` may be on a shared disk.

    Args:
      parent: the folder in which `atomic_folder` made them.
    """
    for path in parent.glob("*.tmp-*"):
        match = TEMPORARY_FOLDER.fullmatch(path.name)
        if match is None or match["host"] != socket.gethostname():
            continue
        if not is_process_alive(int(match["pid"])):
            shutil.rmtree(path, ignore_errors=True)


def is_process_alive(pid: int) -> bool:
    """Returns whether a process runs on this machine.

    A zombie, which has ended, counts as ended. A process that may not be inspected counts as
    running.

    Args:
      pid: the process id.

    Returns:
      True if the process runs.
    """
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def _rename_folder(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise FileExistsError(
                errno.EEXIST, "another process wrote it", str(folder)
            ) from error
        raise


def _sync_tree(folder: Path) -> None:
    """Flushes a folder and everything in it to disk."""
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    """Flushes a file, or the list of names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
