"""Rows through a task's templates: training examples with a drawn template each, evaluation examples with all of them."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from flan_jax.data.tasks import Row, TemplatedTask
from flan_jax.data.templates import OPTIONS, Template
from flan_jax.errors import InputError


class TrainRow(NamedTuple):
    """One rendering. `example` is the number of the row in the source, from 0; `template` an index of the task's."""

    example: int
    template: int
    inputs: str
    targets: str


class EvalRow(NamedTuple):
    """One example under one template. `options` are the targets to choose from, `answer` the index of the right one.

    For a generation task `options` is empty and `answer` -1. `references` are all right targets, at least one.
    """

    example: int
    template: int
    inputs: str
    targets: str
    options: tuple[str, ...]
    answer: int
    references: tuple[str, ...]


def render_train(
    task: TemplatedTask, rows: Iterable[Row], *, cap: int | None = None, renderings: int = 1, seed: int = 0
) -> Iterator[TrainRow]:
    """Each of the first `cap` rows that the task keeps, under `renderings` different templates (all, if there are fewer).

    Which templates is a hash of (seed, task, row number): the same on every machine, however many rows are read.
    Raises InputError naming task and row when a row cannot be rendered.
    """
    if renderings < 1:
        raise InputError(f"renderings is {renderings}; an example is rendered at least once")
    for number, example in kept_examples(task, rows, cap):
        for index in drawn_templates(task.name, number, count=len(task.templates), renderings=renderings, seed=seed):
            inputs, targets = _render(task, task.templates[index], number, example)
            yield TrainRow(number, index, inputs, targets)


def render_eval(task: TemplatedTask, rows: Iterable[Row], *, max_examples: int | None = None) -> Iterator[EvalRow]:
    """Each of the first `max_examples` rows that the task keeps, under every template that asks for the answer."""
    if not task.eval_templates:
        raise InputError(f"task {task.name!r} cannot be evaluated: all its templates are turned around")
    for number, example in kept_examples(task, rows, max_examples):
        for index in task.eval_templates:
            yield _eval_row(task, index, number, example)


def kept_examples(task: TemplatedTask, rows: Iterable[Row], limit: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number, fields) of the first `limit` rows that the task keeps; reads no further."""
    if limit is not None and limit < 1:
        raise InputError(f"{limit} examples of a dataset are none; write at least 1, or None for all")
    kept = 0
    for number, row in enumerate(rows):
        example = _example(task, number, row)
        if example is None:
            continue
        yield number, example
        kept += 1
        if kept == limit:
            return


def drawn_templates(name: str, number: int, *, count: int, renderings: int, seed: int) -> list[int]:
    """Different template indices, uniformly drawn: the first steps of a Fisher-Yates shuffle driven by a hash."""
    digest = hashlib.blake2b(f"{seed}\0{name}\0{number}".encode(), digest_size=16).digest()
    bits, indices = int.from_bytes(digest, "little"), list(range(count))
    for i in range(min(renderings, count)):
        bits, step = divmod(bits, count - i)
        indices[i], indices[i + step] = indices[i + step], indices[i]
    return indices[:renderings]


def _eval_row(task: TemplatedTask, index: int, number: int, example: dict[str, Any]) -> EvalRow:
    template = task.templates[index]
    inputs, targets = _render(task, template, number, example)
    if task.options is None:
        answers = _references(task, number, example)
        references = tuple(_render(task, template, number, example | {"answer": answer})[1] for answer in answers)
        return EvalRow(number, index, inputs, targets, (), -1, references)
    choices = example[OPTIONS]
    options = tuple(_render(task, template, number, example | {"answer": choice})[1] for choice in choices)
    if len(set(options)) < len(set(choices)):
        raise InputError(
            f"task {task.name!r}, template {index}: the target {template.targets!r} looks the same for different options. "
            "Let it show {answer}, or mark the template turned_around"
        )
    return EvalRow(number, index, inputs, targets, options, choices.index(example["answer"]), (targets,))


def _references(task: TemplatedTask, number: int, example: dict[str, Any]) -> list[str]:
    references = example.get("references") or [example["answer"]]
    if isinstance(references, str):
        raise InputError(f"{_place(task, number)}: the field 'references' is one str; write a list of them")
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
        where = f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})" if frame is not None else ""
        raise InputError(
            f"{_place(task, number)}: fields() raised {type(error).__name__}: {error}{where}. "
            f"The row has: {', '.join(map(str, row))}"
        ) from error


def _render(task: TemplatedTask, template: Template, number: int, example: dict[str, Any]) -> tuple[str, str]:
    try:
        inputs, targets = template.render(example)
    except InputError as error:
        raise InputError(f"{_place(task, number)}: {error}") from error
    if not targets:
        raise InputError(
            f"{_place(task, number)}: the target {template.targets!r} renders as an empty text. "
            "Return None from fields() to leave such rows out"
        )
    return inputs, targets


def _place(task: TemplatedTask, number: int) -> str:
    return f"task {task.name!r}, row {number}"
