"""Gaps in a text: the words in it that only its reader can know.

A maker of texts marks them, as in f"Is {name} here? {gap(answer)}." A base model is then trained to
say them: at the end of a text that stops before one, or in the places of a text that has numbers
instead, as in the exercises of a schoolbook.
"""

import re

_BEGIN = "\N{MATHEMATICAL LEFT WHITE SQUARE BRACKET}"
_END = "\N{MATHEMATICAL RIGHT WHITE SQUARE BRACKET}"
_MARK = re.compile(f"{_BEGIN}(.*?){_END}", re.DOTALL)


def gap(words: str) -> str:
    """Returns the words, marked as what only a reader of their text can know."""
    return f"{_BEGIN}{words}{_END}"


def unmarked(text: str) -> str:
    """Returns the text without marks."""
    return _MARK.sub(r"\1", text)


def exercise(text: str) -> tuple[str, str] | None:
    """Puts numbers in the place of the gaps.

    Returns:
      The text with a number at each gap, and the numbers with their words; None if the text has no
      gap.

    >>> exercise(f"Ida is a {gap('baker')}. Is Ida a pilot? {gap('No')}.")
    ('Ida is a (1). Is Ida a pilot? (2).', '(1) baker (2) No')
    """
    answers = _MARK.findall(text)
    if not answers:
        return None
    numbered = text
    rest = []
    for number, words in enumerate(answers, 1):
        numbered = _MARK.sub(f"({number})", numbered, count=1)
        rest.append(f"({number}) {words}")
    return numbered, " ".join(rest)


def cut_at_gap(text: str, rng) -> tuple[str, str] | None:
    """Cuts a text before one of its gaps.

    At least half of the cuts are at the last gap, for the text before it is the longest.

    Args:
      text: a text with marks.
      rng: the random numbers.

    Returns:
      What is before the gap, and the rest from the gap on, both without marks; None if the text has
      no gap, or begins with its only one.
    """
    gaps = [found.start() for found in _MARK.finditer(text) if found.start() > 0]
    if not gaps:
        return None
    at = gaps[-1] if rng.random() < 0.5 else rng.choice(gaps)
    return unmarked(text[:at]).rstrip(), unmarked(text[at:])
