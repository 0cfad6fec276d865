"""The one exception that means "what you asked for cannot be done as written", and the programs' exit codes."""

import difflib
import errno
from collections.abc import Iterable

DONE, ERROR, BAD_INPUT, SAVED = 0, 1, 2, 42
"""Exit codes. SAVED: run the same command again to go on."""
SHOWN = 30
"""Known names that an error lists."""


class InputError(ValueError):
    """Bad input: says what happened, why, and what to write instead. The process ends with exit code 2."""


def describe_os_error(error: OSError) -> str:
    """What a person is told of it: of a full disk, what to do."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return str(error)
    where = f" while writing {error.filename}" if error.filename else ""
    return f"the disk is full{where}. Make room; the same command goes on from the last checkpoint."


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that nobody registered, with the nearest known names; with all, if they are few.

    >>> str(unknown("cluster", "nlu", ["nli", "misc"]))
    "unknown cluster 'nlu'. Did you mean 'nli'? Known: misc, nli"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = known if len(known) <= SHOWN else sorted({*near, *known[:SHOWN]})
    more = f" and {len(known) - len(shown)} more" if len(shown) < len(known) else ""
    return InputError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(shown) or 'none'}{more}")
