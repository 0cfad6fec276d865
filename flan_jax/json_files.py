"""Reading the small files that come from elsewhere."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from flan_jax.errors import InputError

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object as Python has it: its values are what json.loads gives."""


def json_object(file: Path) -> dict[str, Any]:
    """What a JSON file says. Raises InputError unless that is one object."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{file} is no JSON object; copy it again")
    return found


def read_json(path: Path) -> Any:
    """The content of a JSON file; None when there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # not JSON, or not even text
        raise InputError(
            f"{path} is damaged ({error}). Delete it if the run can do without, or restore it"
        ) from None


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; nothing when there is no such file. A half-written last line is left out.

    Raises InputError for any other line that is not JSON.
    """
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield _parsed(path, number, line)


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InputError(
            f"{path}:{number} is damaged ({error}). Delete that line, or restore the file"
        ) from None


def write_json(path: Path, content: Any) -> None:
    write_text(path, as_json(content))


def as_json(content: Any) -> str:
    return json.dumps(content, indent=2) + "\n"


def write_text(path: Path, text: str) -> None:
    """Replaces a file at once: a reader, or a process that starts after a crash, sees the old text or the new."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
