"""Templates: how one example's fields become an input text and a target text."""

import dataclasses
import functools
import string
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeGuard, runtime_checkable

from flan_jax.errors import InputError, check_call

Fields = Mapping[str, str | Sequence[str]]

OPTIONS = "options"
"""The field name that renders as the options suffix (FLAN, section 2.3)."""
ANSWER = "answer"
"""The field that every task has."""


@runtime_checkable
class Template(Protocol):
    """What every template class must have. FormatTemplate is the usual one; a task may use others.

    A class may have three more members. What a template cannot do without them is refused:

    - `input_fields: tuple[str, ...]`, the fields that the input shows, in their order. It is needed
      for Prompts(instructions="none") and "dataset_name", unless the task names its `bare` fields.
    - `without_options()`, the same template without the options suffix. It is needed for
      Prompts(options=False) if the template shows the field "options".
    - `input_parts(fields)`, the input as [(text, name of its field or None), ...].
      launch/inspect_task.py colours them.
    """

    @property
    def fields(self) -> frozenset[str]:
        """The names of all fields that the template shows, in the input or in the target."""
        ...

    @property
    def turned_around(self) -> bool:
        """Whether the template asks for something other than the answer (FLAN, section 2.1).

        It is then used for training only.
        """
        ...

    def render(self, fields: Fields) -> tuple[str, str]:
        """Returns (inputs, targets) of one example.

        Args:
          fields: the task's fields of the example. `answer` is set to each option in turn to render
            the targets that rank classification compares.

        Raises:
          InputError: the example cannot be shown.
        """
        ...


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


def check_template(task_name: str, template: object) -> None:
    """Checks that an object has the members of Template or of SegmentedTemplate.

    Args:
      task_name: the task that it is for, for the message.
      template: the template.

    Raises:
      InputError: it lacks a member, or a method of it does not take the fields of an example.
    """
    name = f"task {task_name!r}: its template of the class {type(template).__name__}"
    method = "render" if hasattr(template, "render") else "segments"
    for member in ("fields", "turned_around", method):
        if not hasattr(template, member):
            lack = "render or segments" if member == "segments" else member
            raise InputError(
                f"{name} has no {lack}. A template needs fields, turned_around and render(fields), "
                "as flan_jax.tasks.templates.Template, or segments(fields)"
            )
    check_call(getattr(template, method), f"{name}: {method}", ["fields"])


def renders_pairs(template: AnyTemplate) -> TypeGuard[Template]:
    """Returns whether a template gives an input and a target, as opposed to segments."""
    # isinstance of a protocol is slow, and this runs for each row.
    return hasattr(template, "render")


@dataclasses.dataclass(frozen=True)
class FormatTemplate:
    r"""A template of two patterns with `{field}` slots; `{{` and `}}` are literal braces.

    `{options}` renders as the options suffix.

    >>> FormatTemplate("{sentence}\nIs this good?\n{options}", "{answer}").render(
    ...     {"sentence": "It shines.", "options": ("no", "yes"), "answer": "yes"})
    ('It shines.\nIs this good?\nOPTIONS:\n- no\n- yes', 'yes')

    Attributes:
      inputs: the pattern of the input.
      targets: the pattern of the target.
      turned_around: whether it asks for something other than the answer, see Template.
    """

    inputs: str
    targets: str = "{answer}"
    turned_around: bool = False

    def __post_init__(self):
        _parse(self.inputs)
        if not _field_names(self.targets):
            raise InputError(
                f"the target pattern {self.targets!r} has no {{field}}: every example would have "
                "the same target. Let it show a field, such as {answer}"
            )

    @property
    def fields(self) -> frozenset[str]:
        """The names of all fields in the two patterns."""
        return frozenset(_field_names(self.inputs) + _field_names(self.targets))

    @property
    def input_fields(self) -> tuple[str, ...]:
        """The fields of the input pattern in their order, each as often as it is shown."""
        return _field_names(self.inputs)

    def render(self, fields: Fields) -> tuple[str, str]:
        """Returns (inputs, targets), both stripped of outer white space.

        Args:
          fields: the task's fields of one example.

        Raises:
          InputError: a field is missing or is not a text.
        """
        inputs = "".join(text for text, _ in self.input_parts(fields))
        targets = "".join(text for text, _ in _fill(self.targets, fields))
        return inputs.strip(), targets.strip()

    def input_parts(self, fields: Fields) -> list[tuple[str, str | None]]:
        """Returns the input, not stripped, as [(text, name of its field or None), ...]."""
        return _fill(self.inputs, fields)

    def without_options(self) -> "FormatTemplate":
        """Returns the template without `{options}` and the white space before it.

        If the slot comes first, the line breaks after it are removed instead.
        """
        pattern = ""
        for literal, name in _parse(self.inputs):
            if name == OPTIONS:
                pattern = pattern.rstrip()
            elif name is None:
                pattern += escape_braces(literal)
            else:
                pattern += f"{{{name}}}"
        return dataclasses.replace(self, inputs=pattern.lstrip("\n"))


@dataclasses.dataclass(frozen=True)
class ClozeTemplate:
    r"""A text without an instruction, of which the answer is a part (Brown et al. 2020).

    It is how a language model that follows no instructions is asked. The text before `{answer}` is
    the input. The answer and what follows it are the target, so that the whole continuation is
    scored.

    >>> ClozeTemplate("{premise} So it is {answer} that {claim}", {"yes": "true", "no": "false"}
    ...     ).render({"premise": "It rains.", "claim": "it is wet.", "answer": "yes"})
    ('It rains. So it is', 'true that it is wet.')

    Attributes:
      text: the pattern, with one `{answer}` and without `{options}`.
      words: the word that stands for an answer in the text. Answers that are not in it stay as they
        are.
    """

    text: str
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        names = _field_names(self.text)
        if names.count(ANSWER) != 1 or OPTIONS in names:
            raise InputError(
                f"the cloze {self.text!r} shows the fields {', '.join(names) or 'none'}; it is a "
                "text that shows {answer} once and does not list {options}"
            )
        if self.text.startswith(f"{{{ANSWER}}}"):
            raise InputError(
                f"the cloze {self.text!r} begins with the answer, so that the prompt is empty; "
                "write some text before {answer}"
            )

    @property
    def turned_around(self) -> bool:
        """False: it asks for the answer."""
        return False

    @property
    def fields(self) -> frozenset[str]:
        """The names of all fields in the text, `answer` among them."""
        return frozenset(_field_names(self.text))

    @property
    def input_fields(self) -> tuple[str, ...]:
        """The fields before the answer in their order."""
        inputs, _ = self._patterns
        return _field_names(inputs)

    def render(self, fields: Fields) -> tuple[str, str]:
        """Returns (inputs, targets), both stripped of outer white space.

        Args:
          fields: the task's fields of one example.

        Raises:
          InputError: a field is missing or is not a text.
        """
        _, target_pattern = self._patterns
        answer = fields[ANSWER]
        word = self.words.get(answer, answer) if isinstance(answer, str) else answer
        inputs = "".join(text for text, _ in self.input_parts(fields))
        target_parts = _fill(target_pattern, {**fields, ANSWER: word})
        targets = "".join(text for text, _ in target_parts)
        return inputs.strip(), targets.strip()

    def input_parts(self, fields: Fields) -> list[tuple[str, str | None]]:
        """Returns the input, not stripped, as [(text, name of its field or None), ...]."""
        inputs, _ = self._patterns
        return _fill(inputs, fields)

    @property
    def _patterns(self) -> tuple[str, str]:
        """The pattern before the answer, and the pattern from the answer on."""
        slot = f"{{{ANSWER}}}"
        before, _, after = self.text.partition(slot)
        return before, slot + after


@dataclasses.dataclass(frozen=True)
class BlankedTemplate:
    """Another template, with nothing in place of some fields.

    Attributes:
      template: the template.
      blank: the fields that are shown as empty texts.
    """

    template: Template
    blank: tuple[str, ...]

    @property
    def fields(self) -> frozenset[str]:
        """The fields of the template."""
        return self.template.fields

    @property
    def turned_around(self) -> bool:
        """As of the template."""
        return self.template.turned_around

    def render(self, fields: Fields) -> tuple[str, str]:
        """Returns (inputs, targets) of one example, see Template.render."""
        return self.template.render({**fields, **dict.fromkeys(self.blank, "")})


def escape_braces(text: str) -> str:
    """Returns the pattern that a FormatTemplate renders as `text`."""
    return text.replace("{", "{{").replace("}", "}}")


def options_suffix(options: Sequence[str]) -> str:
    r"""Returns FLAN's options block, in the dataset's order.

    >>> options_suffix(["no", "yes"])
    'OPTIONS:\n- no\n- yes'
    """
    return "OPTIONS:\n" + "\n".join(f"- {option}" for option in options)


def _fill(pattern: str, fields: Fields) -> list[tuple[str, str | None]]:
    parts: list[tuple[str, str | None]] = []
    for literal, name in _parse(pattern):
        text = literal if name is None else _field_text(name, fields, pattern)
        parts.append((text, name))
    return parts


def _field_text(name: str, fields: Fields, pattern: str) -> str:
    if name not in fields:
        raise InputError(
            f"template {pattern!r} names the field {name!r}, which this task does not have. "
            f"Its fields: {', '.join(sorted(fields))}"
        )
    value = fields[name]
    if name == OPTIONS:
        return options_suffix(value)
    if not isinstance(value, str):
        raise InputError(
            f"field {name!r} in template {pattern!r} is {type(value).__name__}; a template can "
            "show only str. Let fields() return a text"
        )
    return value


def _field_names(pattern: str) -> tuple[str, ...]:
    return tuple(name for _, name in _parse(pattern) if name is not None)


@functools.cache
def _parse(pattern: str) -> tuple[tuple[str, str | None], ...]:
    """Returns the pattern as a sequence of (literal, None) and ("", field name).

    >>> _parse("Is {it} so?")
    (('Is ', None), ('', 'it'), (' so?', None))
    """
    try:
        parsed = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise InputError(
            f"template {pattern!r}: {error}. Write {{{{ and }}}} for literal braces"
        ) from None
    parts: list[tuple[str, str | None]] = []
    for literal, name, format_spec, conversion in parsed:
        if literal:
            parts.append((literal, None))
        if name is None:
            continue
        if not name.isidentifier() or format_spec or conversion:
            raise InputError(
                f"template {pattern!r}: the slot of {name!r} is not a plain {{name}}. Write the "
                "name of a field alone, without index, format or conversion"
            )
        parts.append(("", name))
    return tuple(parts)
