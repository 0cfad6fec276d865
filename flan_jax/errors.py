"""Errors that are meant for the user, their wording, exit codes, and lookups of names."""

import difflib
import errno
import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TypeVar

DONE, ERROR, BAD_INPUT, SAVED = 0, 1, 2, 42
"""Exit codes. SAVED: run the same command again to go on."""
SHOWN = 30
"""How many known names an error lists."""

Value = TypeVar("Value")


class InputError(ValueError):
    """Bad input: says what happened, why, and what to write instead. Ends with BAD_INPUT."""


class RunFailed(RuntimeError):
    """A run that cannot go on for a reason that the user can act on. Ends with ERROR."""


def is_disk_full(error: BaseException) -> bool:
    """Returns whether an error means that the disk, or a quota of it, is full.

    Libraries that are not written in Python (tensorstore, safetensors) raise errors of their own,
    with the system's message as text.

    Args:
      error: any exception, of Python or of another library.

    Returns:
      True for a full disk, an exhausted quota and a file above the size limit.
    """
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return re.search(r"No space left|File too large|Disk quota", str(error)) is not None


def describe_os_error(error: OSError) -> str:
    """Returns a user-facing message for an OSError, with advice for a full disk."""
    if not is_disk_full(error):
        return str(error)
    where = f" while writing {error.filename}" if error.filename else ""
    return f"the disk is full{where}. Make room; the same command goes on from the last checkpoint."


def plural(count: int, noun: str) -> str:
    """Returns "1 task", "2 tasks", "1,200 tasks"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def unknown_name(
    kind: str, name: str, known: Iterable[str], advice: str = ""
) -> InputError:
    """Returns the error for an unknown name: the nearest known name, and all if they are few.

    >>> str(unknown_name("cluster", "nlu", ["nli", "misc"]))
    "unknown cluster 'nlu'. Did you mean 'nli'? Known: misc, nli"

    Args:
      kind: what the name stands for, such as "task" or "cluster".
      name: the name that the user wrote.
      known: all names that would be accepted.
      advice: how other names become known; a sentence for a line of its own.

    Returns:
      The error, to be raised by the caller.
    """
    known = sorted(set(known))
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = known
    if len(known) > SHOWN:
        listed = sorted({*near, *known[:SHOWN]})
    names = ", ".join(listed) or "none"
    unlisted = len(known) - len(listed)
    more = f" and {unlisted} more" if unlisted else ""
    message = f"unknown {kind} {name!r}.{hint} Known: {names}{more}"
    return InputError(f"{message}\n{advice}" if advice else message)


def look_up(registry: Mapping[str, Value], kind: str, name: str) -> Value:
    """Returns the entry of a registry.

    Args:
      registry: entries by name.
      kind: what the entries are, for the message: "optimizer".
      name: the name to look up.

    Raises:
      InputError: there is no such name; the message has the nearest one.
    """
    if name not in registry:
        raise unknown_name(kind, name, registry)
    return registry[name]


def add_to_registry(
    registry: MutableMapping[str, Value], kind: str, name: str, value: Value
) -> Value:
    """Adds an entry to a registry and returns it. Adding the same entry again does nothing.

    Args:
      registry: entries by name.
      kind: what the entries are, for the message: "optimizer".
      name: the name of the new entry.
      value: the new entry.

    Raises:
      InputError: another entry has this name.
    """
    if registry.get(name, value) != value:
        raise InputError(
            f"two {kind}s are named {name!r}; a name is an identity, so choose another name"
        )
    registry[name] = value
    return value


def check_at_least(settings: object, **least: int) -> None:
    """Checks that numeric settings are not below their least value; None is allowed.

    >>> check_at_least(TrainConfig(steps=0, seed=0), steps=1)
    InputError: TrainConfig.steps is 0; it must be at least 1

    Args:
      settings: an instance of a configuration class.
      **least: the least value of each setting, by its name.

    Raises:
      InputError: a setting is below its least value.
    """
    for name, limit in least.items():
        value = getattr(settings, name)
        if value is not None and value < limit:
            raise InputError(
                f"{type(settings).__name__}.{name} is {value}; it must be at least {limit}"
            )
