"""Templates: how one example's fields become an input text and a target text."""

import dataclasses
import functools
import string
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from flan_jax.errors import InputError

Fields = Mapping[str, str | Sequence[str]]

OPTIONS = "options"
"""The field name that renders as the options suffix (FLAN, section 2.3)."""


@dataclasses.dataclass(frozen=True)
class Template:
    """An input and a target pattern with `{field}` slots; `{{` and `}}` are literal braces.

    `{options}` renders as the options suffix. A `turned_around` template asks for something else than the
    answer (FLAN, section 2.1): it is trained on and left out of evaluation.

    >>> Template("{sentence}\\nIs this good?\\n{options}", "{answer}").render(
    ...     {"sentence": "It shines.", "options": ("no", "yes"), "answer": "yes"})
    ('It shines.\\nIs this good?\\nOPTIONS:\\n- no\\n- yes', 'yes')
    """

    inputs: str
    targets: str = "{answer}"
    turned_around: bool = False

    def __post_init__(self):
        if not self.names(self.targets):
            raise InputError(
                f"the target pattern {self.targets!r} has no {{field}}: every example would be the same"
            )

    @property
    def fields(self) -> frozenset[str]:
        """The names of all fields that the two patterns use."""
        return self.names(self.inputs) | self.names(self.targets)

    @property
    def field_order(self) -> tuple[str, ...]:
        """The fields of the input pattern, as they come in it."""
        return tuple(name for _, name in pieces(self.inputs) if name is not None)

    @staticmethod
    def names(pattern: str) -> frozenset[str]:
        return frozenset(name for _, name in pieces(pattern) if name is not None)

    def render(self, fields: Fields) -> tuple[str, str]:
        """(inputs, targets), both stripped of outer whitespace.

        Raises InputError when a field is missing, naming it and those that are there.
        """
        return _fill(self.inputs, fields).strip(), _fill(self.targets, fields).strip()


class Segment(NamedTuple):
    """A piece of an example's text.

    Attributes:
      text: the text, without an end-of-sequence token.
      has_loss: whether the model is trained to write it.
    """

    text: str
    has_loss: bool


@runtime_checkable
class SegmentedTemplate(Protocol):
    """A template of examples that are not one input and one target: conversations, plain text.

    Such examples are trained on. They are not evaluated, so `turned_around` is True.
    """

    @property
    def fields(self) -> frozenset[str]:
        """The names of all fields that the template uses."""
        ...

    @property
    def turned_around(self) -> bool:
        """True."""
        ...

    def segments(self, fields: Fields) -> Sequence[Segment]:
        """Returns the example's segments in their order; the last one has loss.

        >>> chat.segments({"turns": ("Hello", "Good morning"), ...})
        [Segment("User: Hello", False), Segment("Good morning", True)]
        """
        ...


AnyTemplate = Template | SegmentedTemplate


def options_suffix(options: Sequence[str]) -> str:
    """FLAN's options block: the word OPTIONS, then one option a line, in the dataset's order."""
    return "OPTIONS:\n" + "\n".join(f"- {option}" for option in options)


def _fill(pattern: str, fields: Fields) -> str:
    return "".join(
        text if name is None else _value(name, fields, pattern) for text, name in pieces(pattern)
    )


def _value(name: str, fields: Fields, pattern: str) -> str:
    if name not in fields:
        raise InputError(
            f"template {pattern!r} names the field {name!r}, which this task does not have. Its fields: {', '.join(sorted(fields))}"
        )
    value = fields[name]
    if name == OPTIONS:
        return options_suffix(value)
    if not isinstance(value, str):
        raise InputError(
            f"field {name!r} in template {pattern!r} is {type(value).__name__}, a template can show only str"
        )
    return value


@functools.cache
def pieces(pattern: str) -> tuple[tuple[str, str | None], ...]:
    """The pattern cut into ("literal", None) and ("", "field") pieces. Raises InputError when it cannot be."""
    found: list[tuple[str, str | None]] = []
    try:
        parsed = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise InputError(
            f"template {pattern!r}: {error}. Write {{{{ and }}}} for literal braces"
        ) from None
    for literal, name, spec, conversion in parsed:
        if literal:
            found.append((literal, None))
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise InputError(
                f"template {pattern!r}: a slot is {{name}}, without index, format or conversion"
            )
        found.append(("", name))
    return tuple(found)
