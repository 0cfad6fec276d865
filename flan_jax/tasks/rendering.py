"""Rows through a task's templates: training examples with a drawn template each, evaluation examples with all of them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from flan_jax.errors import InputError
from flan_jax.tasks.few_shot import Exemplars
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import Row, TemplatedTask
from flan_jax.tasks.templates import OPTIONS, AnyTemplate, Segment, SegmentedTemplate, renders_pairs

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
      targets: the correct target.
      options: the targets to choose from; none in a generation task.
      correct_option: the first of `correct_options`; -1 in a generation task.
      correct_options: the indices of all options that are correct.
      references: all correct targets, at least one.
    """

    example: int
    template: int
    inputs: str
    targets: str
    options: tuple[str, ...]
    correct_option: int
    correct_options: tuple[int, ...]
    references: tuple[str, ...]


def render_train(
    task: TemplatedTask,
    rows: Iterable[Row],
    *,
    cap: int | None = None,
    prompts: Prompts = ZERO_SHOT,
    renderings: int = 1,
    assignment: str = "uniform",
    seed: int = 0,
    exemplars: Exemplars | None = None,
) -> Iterator[TrainRow]:
    """Each of the first `cap` rows that the task keeps, under `renderings` different templates (all, if there are fewer).

    Which templates is a hash of (seed, task, row number), the same on every machine, however many rows are read; or, with
    the assignment 'round_robin', the next ones in turn. Raises InputError naming task and row when a row cannot be rendered.
    """
    if renderings < 1:
        raise InputError(f"renderings is {renderings}; an example is rendered at least once")
    templates = prompts.templates_for(task)
    draw = drawn_templates if assignment == "uniform" else templates_in_turn
    for turn, (number, example) in enumerate(kept_examples(task, rows, cap)):
        for index in draw(
            task.name, number, turn, count=len(templates), renderings=renderings, seed=seed
        ):
            segments = render_segments(task, templates[index], number, example)
            if exemplars is not None:
                inputs, targets = segments
                prompt = exemplars.prompt("train", number, example, index, inputs.text)
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
) -> Iterator[EvalRow]:
    """Each of the first `max_examples` rows that the task keeps, under every template that asks for the answer.

    `split` is where the rows are from; exemplars are drawn from "train".
    """
    templates = {
        i: template
        for i, template in enumerate(prompts.templates_for(task))
        if not template.turned_around
    }
    if not templates:
        raise InputError(
            f"task {task.name!r} cannot be evaluated: all its templates are turned around"
        )
    for number, example in kept_examples(task, rows, max_examples):
        for index, template in templates.items():
            row = _eval_row(task, template, index, number, example)
            if exemplars is not None:
                row = row._replace(
                    inputs=exemplars.prompt(split, number, example, index, row.inputs)
                )
            yield row


def kept_examples(
    task: TemplatedTask, rows: Iterable[Row], limit: int | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number, fields) of the first `limit` rows that the task keeps; reads no further."""
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


def templates_in_turn(
    name: str, number: int, turn: int, *, count: int, renderings: int, seed: int
) -> list[int]:
    """Different template indices for the `turn`-th kept example: the next ones, as FLAN's released code assigns them."""
    return [(turn + i) % count for i in range(min(renderings, count))]


def drawn_templates(
    name: str, number: int, turn: int, *, count: int, renderings: int, seed: int
) -> list[int]:
    """Different template indices, uniformly drawn: the first steps of a Fisher-Yates shuffle driven by a hash."""
    digest = hashlib.blake2b(f"{seed}\0{name}\0{number}".encode(), digest_size=16).digest()
    bits, indices = int.from_bytes(digest, "little"), list(range(count))
    for i in range(min(renderings, count)):
        bits, step = divmod(bits, count - i)
        indices[i], indices[i + step] = indices[i + step], indices[i]
    return indices[:renderings]


def _eval_row(
    task: TemplatedTask, template: AnyTemplate, index: int, number: int, example: dict[str, Any]
) -> EvalRow:
    inputs, targets = render(task, template, number, example)
    answers = _references(task, number, example)
    references = tuple(
        render(task, template, number, example | {"answer": answer})[1] for answer in answers
    )
    if task.options is None:
        return EvalRow(number, index, inputs, targets, (), -1, (), references)
    choices = example[OPTIONS]
    options = tuple(
        render(task, template, number, example | {"answer": choice})[1] for choice in choices
    )
    if len(set(options)) < len(set(choices)):
        raise InputError(
            f"task {task.name!r}, template {index}: the target {targets!r} looks the same for different options. "
            "Let it show {answer}, or mark the template turned_around"
        )
    correct = tuple(
        dict.fromkeys(choices.index(answer) for answer in (example["answer"], *answers))
    )
    return EvalRow(number, index, inputs, targets, options, correct[0], correct, references)


def _references(task: TemplatedTask, number: int, example: dict[str, Any]) -> list[str]:
    references = example.get("references") or [example["answer"]]
    if isinstance(references, str):
        raise InputError(
            f"{_place(task, number)}: the field 'references' is one str; write a list of them"
        )
    return list(references)


def _example(task: TemplatedTask, number: int, row: Row) -> dict[str, Any] | None:
    try:
        return task.example(row)
    except InputError as error:
        raise InputError(f"{_place(task, number)}: {error}") from error
    except Exception as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = (
            f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})" if frame is not None else ""
        )
        raise InputError(
            f"{_place(task, number)}: fields() raised {type(error).__name__}: {error}{where}. "
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
        raise InputError(f"{_place(task, number)}: {error}") from error
    if not segments or not segments[-1].has_loss:
        raise InputError(
            f"{_place(task, number)}: the last segment of an example must have loss, as nothing is "
            "learned from what comes after it. Leave out what follows the last reply"
        )
    for segment in segments:
        if segment.has_loss and not segment.text:
            raise InputError(
                f"{_place(task, number)}: a segment with loss renders as an empty text. "
                "Return None from fields() to leave such rows out"
            )
    return segments


def render(
    task: TemplatedTask, template: AnyTemplate, number: int, example: Mapping[str, Any]
) -> tuple[str, str]:
    """(inputs, targets) of row `number`. Raises InputError naming it."""
    if not renders_pairs(template):
        raise InputError(
            f"task {task.name!r}: {type(template).__name__} does not give an input and a target. "
            "Mark it turned_around, so that it is trained on and not evaluated"
        )
    try:
        inputs, targets = template.render(example)
    except InputError as error:
        raise InputError(f"{_place(task, number)}: {error}") from error
    if not targets:
        raise InputError(
            f"{_place(task, number)}: the target of {template!r} renders as an empty text. "
            "Return None from fields() to leave such rows out"
        )
    return inputs, targets


def _place(task: TemplatedTask, number: int) -> str:
    return f"task {task.name!r}, row {number}"
