"""The one exception that means "what you asked for cannot be done as written"."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: says what happened, why, and what to write instead. The process ends with exit code 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that nobody registered, with the nearest known names.

    >>> str(unknown("cluster", "nlu", ["nli", "misc"]))
    "unknown cluster 'nlu'. Did you mean 'nli'? Known: misc, nli"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}")
