"""Rows become text: training examples in drawn templates, evaluation examples in all of them."""

import collections
import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from flan_jax.errors import InputError
from flan_jax.tasks.few_shot import Exemplars
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import Row, TemplatedTask
from flan_jax.tasks.templates import (
    ANSWER,
    OPTIONS,
    AnyTemplate,
    Segment,
    SegmentedTemplate,
    renders_pairs,
)

ASSIGNMENTS = ("uniform", "round_robin")
ZERO_SHOT = Prompts()


class TrainRow(NamedTuple):
    """One rendered training example.

    An input and a target are two segments; a conversation has more, and plain text is one.

    Attributes:
      example: the number of the row in the source, from 0.
      template: the index among the task's templates.
      segments: the example's text, piece by piece.
    """

    example: int
    template: int
    segments: tuple[Segment, ...]

    @property
    def inputs(self) -> str:
        """The input text of an example that is an input and a target."""
        inputs, _ = self.segments
        return inputs.text

    @property
    def targets(self) -> str:
        """The target text of an example that is an input and a target."""
        _, targets = self.segments
        return targets.text


class EvalRow(NamedTuple):
    """One evaluation example in one template.

    Attributes:
      example: the number of the row in the source, from 0.
      template: the index among the task's templates.
      inputs: the prompt.
      targets: the target of the correct answer.
      options: the target of each option; () for a generation task.
      correct_option: the first of `correct_options`; -1 for a generation task.
      correct_options: the indices of all options that are correct.
      references: all correct targets, at least one.
      group: the name of the row's group; None for a task without groups.
      group_rows: the number of rows of this group that the task keeps in the split; None without
        groups. If fewer are scored, a cap has cut the group.
    """

    example: int
    template: int
    inputs: str
    targets: str
    options: tuple[str, ...]
    correct_option: int
    correct_options: tuple[int, ...]
    references: tuple[str, ...]
    group: str | None = None
    group_rows: int | None = None


def render_train(  # noqa: PLR0913 (as render_eval, and the mixture's settings)
    task: TemplatedTask,
    rows: Iterable[Row],
    *,
    cap: int | None = None,
    prompts: Prompts = ZERO_SHOT,
    renderings: int = 1,
    assignment: str = "uniform",
    seed: int = 0,
    exemplars: Exemplars | None = None,
    shuffle_labels: bool = False,
) -> Iterator[TrainRow]:
    """Renders each row that the task keeps in one or more templates.

    Args:
      task: the task.
      rows: rows of a split, from the first one.
      cap: how many rows to render; None for all.
      prompts: how examples are shown.
      renderings: the number of different templates of an example; all templates if there are fewer.
      assignment: how templates are assigned. "uniform" draws them by a hash of the seed, the task's
        name and the row's number, which is the same on every machine. "round_robin" takes the next
        ones in turn, as FLAN's released code does.
      seed: the seed of the draws.
      exemplars: few-shot exemplars.
      shuffle_labels: whether each example has the answer of another one, see `shuffled_labels`.

    Raises:
      InputError: a row cannot be rendered; the message names task and row.
    """
    if renderings < 1:
        raise InputError(
            f"renderings is {renderings}; an example is rendered at least once"
        )
    templates = prompts.templates_for(task)
    count = len(templates)
    examples = kept_examples(task, rows, cap)
    if shuffle_labels:
        examples = shuffled_labels(task, examples, seed)
    for turn, (number, example) in enumerate(examples):
        if assignment == "uniform":
            indices = drawn_templates(
                task.name, number, count=count, renderings=renderings, seed=seed
            )
        else:
            indices = templates_in_turn(turn, count=count, renderings=renderings)
        for index in indices:
            segments = render_segments(task, templates[index], number, example)
            if exemplars is not None:
                inputs, targets = segments
                prompt = exemplars.prompt(
                    inputs.text,
                    split="train",
                    number=number,
                    example=example,
                    template=index,
                )
                segments = (Segment(prompt, has_loss=False), targets)
            yield TrainRow(number, index, segments)


def render_eval(
    task: TemplatedTask,
    rows: Iterable[Row],
    *,
    max_examples: int | None = None,
    prompts: Prompts = ZERO_SHOT,
    split: str = "test",
    exemplars: Exemplars | None = None,
    group_rows: Mapping[str, int] | None = None,
) -> Iterator[EvalRow]:
    """Renders each row that the task keeps in every template that asks for the answer.

    Args:
      task: the task.
      rows: rows of a split, from the first one.
      max_examples: how many rows to render; None for all.
      prompts: how examples are shown.
      split: the split that the rows are from.
      exemplars: few-shot exemplars, drawn from the train split.
      group_rows: the size of each group, see count_group_rows; for a task with groups.

    Raises:
      InputError: all templates are turned around, or a row cannot be rendered.
    """
    if task.group is not None and group_rows is None:
        raise InputError(
            f"task {task.name!r} has groups, whose sizes are not given: which ones a cap cuts is "
            "not known. Pass group_rows=count_group_rows(task, rows)"
        )
    templates = {}
    for index, template in enumerate(prompts.templates_for(task)):
        if not template.turned_around:
            templates[index] = template
    if not templates:
        raise InputError(
            f"task {task.name!r} cannot be evaluated: all its templates are turned around. "
            "Give it a template that asks for the answer"
        )
    for number, example in kept_examples(task, rows, max_examples):
        for index, template in templates.items():
            row = _eval_row(task, template, index=index, number=number, example=example)
            if exemplars is not None:
                prompt = exemplars.prompt(
                    row.inputs,
                    split=split,
                    number=number,
                    example=example,
                    template=index,
                )
                row = row._replace(inputs=prompt)
            if task.group is not None and group_rows is not None:
                group = example[task.group]
                row = row._replace(group=group, group_rows=group_rows[group])
            yield row


def count_group_rows(task: TemplatedTask, rows: Iterable[Row]) -> dict[str, int]:
    """Returns {group: the number of its rows that the task keeps}.

    Args:
      task: a task with groups.
      rows: all rows of a split.

    Raises:
      InputError: a row is not as the task expects it; the message names task and row.
    """
    assert task.group is not None
    examples = kept_examples(task, rows, None)
    return collections.Counter(example[task.group] for _, example in examples)


def kept_examples(
    task: TemplatedTask, rows: Iterable[Row], limit: int | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (row number, fields) of the rows that the task keeps.

    Args:
      task: the task.
      rows: rows of a split, from the first one.
      limit: how many rows to keep; no row is read after the last one. None for all.

    Raises:
      InputError: a row is not as the task expects it; the message names task and row.
    """
    if limit is not None and limit < 1:
        raise InputError(
            f"{limit} examples of a dataset are none; write at least 1, or None for all"
        )
    kept = 0
    for number, row in enumerate(rows):
        example = _example(task, number, row)
        if example is None:
            continue
        if kept == 0:
            task.check_fields(example)
        yield number, example
        kept += 1
        if kept == limit:
            return


def shuffled_labels(
    task: TemplatedTask, examples: Iterable[tuple[int, dict[str, Any]]], seed: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the examples of a task with options, each with the answer of another example.

    The answers are permuted, so that each is as frequent as before, and what is left to learn is
    the form of answers and their frequency. Options that differ from row to row are permuted by
    their place in the list; a place beyond a shorter list is counted on from its beginning.
    Examples of a task without options stay as they are.

    Args:
      task: the task.
      examples: (row number, fields), see `kept_examples`. All of them are read first.
      seed: the seed of the permutation.
    """
    if task.options is None:
        yield from examples
        return
    kept = list(examples)
    places = []
    for _, example in kept:
        places.append(tuple(example[OPTIONS]).index(example[ANSWER]))
    random.Random(f"{seed}\0{task.name}\0labels").shuffle(places)
    for (number, example), place in zip(kept, places, strict=True):
        options = example[OPTIONS]
        answer = options[place % len(options)]
        shuffled = {**example, ANSWER: answer}
        if "references" in example:
            shuffled["references"] = (answer,)
        yield number, shuffled


def templates_in_turn(turn: int, *, count: int, renderings: int) -> list[int]:
    """Returns different templates for an example: the next ones in turn.

    Args:
      turn: the number of the example among those that the task keeps.
      count: the number of templates.
      renderings: how many templates to choose.
    """
    return [(turn + i) % count for i in range(min(renderings, count))]


def drawn_templates(
    name: str, number: int, *, count: int, renderings: int, seed: int
) -> list[int]:
    """Returns different templates for an example, drawn uniformly.

    They are the first steps of a Fisher-Yates shuffle that is driven by a hash.

    Args:
      name: the name of the task.
      number: the number of the row.
      count: the number of templates.
      renderings: how many templates to draw.
      seed: the seed.
    """
    digest = hashlib.blake2b(
        f"{seed}\0{name}\0{number}".encode(), digest_size=16
    ).digest()
    bits = int.from_bytes(digest, "little")
    indices = list(range(count))
    for i in range(min(renderings, count)):
        bits, step = divmod(bits, count - i)
        indices[i], indices[i + step] = indices[i + step], indices[i]
    return indices[:renderings]


def _eval_row(
    task: TemplatedTask,
    template: AnyTemplate,
    *,
    index: int,
    number: int,
    example: dict[str, Any],
) -> EvalRow:
    def target_of(answer: str) -> str:
        _, targets = render(task, template, number, example | {"answer": answer})
        return targets

    inputs, targets = render(task, template, number, example)
    answers = _references(task, number, example)
    row = EvalRow(
        example=number,
        template=index,
        inputs=inputs,
        targets=targets,
        options=(),
        correct_option=-1,
        correct_options=(),
        references=tuple(target_of(answer) for answer in answers),
    )
    if task.options is None:
        return row

    choices = example[OPTIONS]
    options = tuple(target_of(choice) for choice in choices)
    if len(set(options)) < len(set(choices)):
        raise InputError(
            f"task {task.name!r}, template {index}: the target {targets!r} looks the same for "
            "different options. Let it show {answer}, or mark the template turned_around"
        )
    # An option that is listed twice is right at both places.
    indices = []
    for answer in (example["answer"], *answers):
        indices += [i for i, choice in enumerate(choices) if choice == answer]
    correct = tuple(dict.fromkeys(indices))
    return row._replace(
        options=options, correct_option=correct[0], correct_options=correct
    )


def _references(task: TemplatedTask, number: int, example: dict[str, Any]) -> list[str]:
    references = example.get("references") or [example["answer"]]
    if isinstance(references, str):
        raise InputError(
            f"{_row_name(task, number)}: the field 'references' is one str; write a list of them"
        )
    return list(references)


def _example(task: TemplatedTask, number: int, row: Row) -> dict[str, Any] | None:
    try:
        return task.example(row)
    except InputError as error:
        raise InputError(f"{_row_name(task, number)}: {error}") from error
    except Exception as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = ""
        if frame is not None:
            where = f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})"
        raise InputError(
            f"{_row_name(task, number)}: fields() raised {type(error).__name__}: {error}{where}. "
            f"The row has: {', '.join(map(str, row))}"
        ) from error


def render_segments(
    task: TemplatedTask, template: AnyTemplate, number: int, example: Mapping[str, Any]
) -> tuple[Segment, ...]:
    """Renders a training example.

    Args:
      task: the task.
      template: one of its templates.
      number: the number of the row, for errors.
      example: the fields of the row.

    Returns:
      The segments: at least one; the last one has loss and is not empty.

    Raises:
      InputError: the template cannot render the row; names task and row.
    """
    if renders_pairs(template):
        inputs, targets = render(task, template, number, example)
        return Segment(inputs, has_loss=False), Segment(targets, has_loss=True)
    try:
        segments = tuple(cast(SegmentedTemplate, template).segments(example))
    except InputError as error:
        raise InputError(f"{_row_name(task, number)}: {error}") from error
    if not segments or not segments[-1].has_loss:
        raise InputError(
            f"{_row_name(task, number)}: the last segment of an example must have loss, as "
            f"nothing is "
            "learned from what comes after it. Leave out what follows the last reply"
        )
    for segment in segments:
        if segment.has_loss and not segment.text:
            raise InputError(
                f"{_row_name(task, number)}: a segment with loss renders as an empty text. "
                "Return None from fields() to leave such rows out"
            )
    return segments


def render(
    task: TemplatedTask, template: AnyTemplate, number: int, example: Mapping[str, Any]
) -> tuple[str, str]:
    """Returns (inputs, targets) of a row.

    Args:
      task: the task.
      template: one of its templates.
      number: the number of the row, for errors.
      example: the fields of the row.

    Raises:
      InputError: the template cannot render the row; the message names task and row.
    """
    if not renders_pairs(template):
        raise InputError(
            f"task {task.name!r}: {type(template).__name__} does not give an input and a target. "
            "Mark it turned_around, so that it is trained on and not evaluated"
        )
    try:
        inputs, targets = template.render(example)
    except InputError as error:
        raise InputError(f"{_row_name(task, number)}: {error}") from error
    if not targets:
        raise InputError(
            f"{_row_name(task, number)}: the target of {template!r} renders as an empty text. "
            "Return None from fields() to leave such rows out"
        )
    return inputs, targets


def _row_name(task: TemplatedTask, number: int) -> str:
    return f"task {task.name!r}, row {number}"
