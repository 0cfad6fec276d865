"""Errors that are meant for the user, their wording, exit codes, and lookups of names."""

import difflib
import errno
import inspect
import math
import numbers
import operator
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import TypeGuard, TypeVar

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


SEEDS = 2**32
"""Seeds are whole numbers below this: jax.random gives a larger one the numbers of another."""


def is_whole(value: object) -> TypeGuard[int]:
    """Returns whether a value is a whole number; True and False are not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Returns whether a value is a number that is neither NaN nor infinite; True is none."""
    if isinstance(value, numbers.Integral):
        return is_whole(value)
    return isinstance(value, numbers.Real) and math.isfinite(float(value))


def check_at_least(settings: object, **least: int) -> None:
    """Checks that settings are whole numbers, not below their least value; None is allowed.

    >>> check_at_least(TrainConfig(steps=0, seed=0), steps=1)
    InputError: TrainConfig.steps is 0; it must be at least 1

    Args:
      settings: an instance of a configuration class.
      **least: the least value of each setting, by its name.

    Raises:
      InputError: a setting is no whole number, or below its least value.
    """
    for name, limit in least.items():
        value = getattr(settings, name)
        if value is None:
            continue
        full_name = f"{type(settings).__name__}.{name}"
        if not is_whole(value):
            raise InputError(
                f"{full_name} is {value!r}; it must be a whole number of at least {limit}"
            )
        if value < limit:
            raise InputError(f"{full_name} is {value}; it must be at least {limit}")


def check_seed(settings: object) -> None:
    """Raises InputError unless the field `seed` of a configuration class is a seed."""
    seed = vars(settings)["seed"]
    if not is_whole(seed) or not 0 <= seed < SEEDS:
        raise InputError(
            f"{type(settings).__name__}.seed is {seed!r}; write a whole number from 0 to below "
            "2**32"
        )


def check_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    """Checks that a setting is a finite number in a range.

    >>> check_number("OptimizerConfig.learning_rate", -1, least=0.0)
    InputError: OptimizerConfig.learning_rate is -1; it must be a number of at least 0

    Args:
      name: the setting.
      value: its value.
      least: the least number that is allowed; None for no limit, as for the others.
      above: the largest number that is not allowed, with all below it.
      most: the largest number that is allowed.
      below: the least number that is not allowed, with all above it.

    Raises:
      InputError: it is none: NaN, infinite, out of the range, a text, True.
    """
    number = value if is_number(value) else math.nan
    fits = not math.isnan(number)
    texts = []
    for text, limit, compare in (
        ("of at least", least, operator.ge),
        ("above", above, operator.gt),
        ("up to", most, operator.le),
        ("below", below, operator.lt),
    ):
        if limit is not None:
            texts.append(f"{text} {limit:g}")
            fits = fits and compare(number, limit)
    if not fits:
        allowed = " ".join(["a number", " and ".join(texts)]).strip()
        raise InputError(f"{name} is {value!r}; it must be {allowed}")


def check_call(
    function: object, name: str, arguments: Sequence[str], keywords: Sequence[str] = ()
) -> None:
    """Checks that a user's function can be called as it will be, without calling it.

    A function that takes other arguments would fail later, far from where it was given.

    >>> check_call(lambda task: (), "the instructions 'mine'", ["task", "prompts"])
    InputError: the instructions 'mine' will be called with (task, prompts), but takes (task): too
    many positional arguments. Write a function of (task, prompts)

    Args:
      function: the function, bound if it is a method.
      name: what it is, for the message.
      arguments: the positional arguments of the call.
      keywords: the keyword arguments of the call.

    Raises:
      InputError: it is no function, or takes other arguments.
    """
    call = ", ".join([*arguments, *(f"{keyword}=..." for keyword in keywords)])
    if not callable(function):
        raise InputError(f"{name} is {function!r}; write a function of ({call})")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions in C do not say it
        return
    try:
        signature.bind(*arguments, **dict.fromkeys(keywords))
    except TypeError as error:
        raise InputError(
            f"{name} will be called with ({call}), but takes {signature}: {error}. Write a "
            f"function of ({call})"
        ) from None
