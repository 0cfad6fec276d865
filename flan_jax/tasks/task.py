"""A templated task is plain data: where its rows are, how a row becomes fields, which templates show them."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from flan_jax.errors import InputError, unknown_name
from flan_jax.tasks.metrics import MetricFn, accuracy, check_metrics
from flan_jax.tasks.practice_world import Sandbox
from flan_jax.tasks.sources import SPLITS, Source, Tfds
from flan_jax.tasks.templates import OPTIONS, AnyTemplate, Fields

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemplatedTask:
    """One dataset with its templates.

    `fields` maps a row to the strings that templates show; it returns None for a row that the task leaves out (the
    filtered rows are counted). The field `answer` is required. For a classification task, `options` is the tuple of
    fixed options, or the name of the field that lists them for each row; the answer must be one of them. For a
    generation task `options` is None. A field `references` may list several right answers.

    `title` is the dataset's name in print. `dataset` is for tasks that are configurations of one dataset: none of them is
    trained on while another is held out. `bare` are the fields shown where no template is; (): those of the first template.

    >>> TemplatedTask(
    ...     name="rte", cluster="nli", source=Tfds("super_glue/rte:1.0.2", train="train[:-200]",
    ...     validation="train[-200:]", test="validation"), fields=lambda row: {...}, options=("yes", "no"),
    ...     templates=(FormatTemplate("{premise} So {hypothesis}?\\n{options}"),))
    """

    name: str
    cluster: str
    source: Source
    fields: Callable[[Row], Fields | None]
    templates: tuple[AnyTemplate, ...]
    options: tuple[str, ...] | str | None = None
    metrics: tuple[MetricFn, ...] = (accuracy,)
    sandbox: Sandbox | None = None
    title: str = ""
    dataset: str = ""
    bare: tuple[str, ...] = ()

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.]*", self.name):
            raise InputError(
                f"task name {self.name!r}: it names folders too; use letters, digits, '_' and '.'"
            )
        for attribute, value in (("templates", self.templates), ("options", self.options)):
            if isinstance(value, list):
                raise InputError(
                    f"task {self.name!r}: {attribute} is a list; write a tuple, (..., ...)"
                )
        if not self.cluster:
            raise InputError(
                f"task {self.name!r} is in no cluster; name one, of the paper's or of your own"
            )
        if not self.templates:
            raise InputError(f"task {self.name!r} has no templates")
        if self.options is None and any(OPTIONS in t.fields for t in self.templates):
            raise InputError(
                f"task {self.name!r}: a template shows {{options}}, but the task names no options"
            )
        if self.options == ():
            raise InputError(
                f"task {self.name!r}: options is empty; write None for a generation task"
            )
        try:
            check_metrics(self.metrics, self.options)
        except InputError as error:
            raise InputError(f"task {self.name!r}: {error}") from None

    @property
    def eval_templates(self) -> tuple[int, ...]:
        """Indices of the templates that ask for the answer."""
        return tuple(i for i, t in enumerate(self.templates) if not t.turned_around)

    @property
    def splits(self) -> tuple[str, ...]:
        """Which of SPLITS the dataset has; the practice rows of a task have all."""
        return tuple(split for split in SPLITS if getattr(self.source, split, split) is not None)

    def check_fields(self, example: Mapping[str, Any]) -> None:
        """Raises InputError when the templates show a field that `example` lacks, or one of its fields is never shown."""
        shown = frozenset[str]().union(*(template.fields for template in self.templates))
        own = {
            "answer",
            "references",
            OPTIONS,
            self.options if isinstance(self.options, str) else OPTIONS,
        }
        missing, unused = sorted(shown - example.keys()), sorted(example.keys() - shown - own)
        if missing or unused:
            raise InputError(
                f"task {self.name!r}: the templates name fields that fields() does not give: {', '.join(missing) or 'none'}; "
                f"fields() gives what no template names: {', '.join(unused) or 'none'}. Make the two agree"
            )

    def example(self, row: Row) -> dict[str, Any] | None:
        """The fields of one row with `options` filled in, or None for a row that is left out.

        Raises InputError when the answer is missing or not among the options.
        """
        fields = self.fields(row)
        if fields is None:
            return None
        example: dict[str, Any] = dict(fields)
        if "answer" not in example:
            raise InputError(
                f"task {self.name!r}: fields() gave no 'answer', only {', '.join(sorted(example))}"
            )
        if self.options is not None:
            options = example[OPTIONS] = self._options(example)
            if not {example["answer"], *example.get("references", ())} <= set(options):
                raise InputError(
                    f"task {self.name!r}: the answer {example.get('references', example['answer'])!r} is not among the "
                    f"options {list(options)}. "
                    "Return one of them, or None from fields() to leave the row out"
                )
        return example

    def _options(self, example: Mapping[str, Any]) -> tuple[str, ...]:
        if not isinstance(self.options, str):
            return self.options or ()
        if self.options not in example:
            raise InputError(
                f"task {self.name!r}: options are in the field {self.options!r}, which fields() did not give"
            )
        if not example[self.options]:
            raise InputError(
                f"task {self.name!r}: the field {self.options!r} lists no options for this row"
            )
        return tuple(example[self.options])


TASKS: dict[str, TemplatedTask] = {}
"""The registry, in the order of registration."""


def register(task: TemplatedTask) -> TemplatedTask:
    """Adds a task to the registry; returns it. Raises InputError when the name is taken by another task."""
    if TASKS.get(task.name, task) != task:
        raise InputError(
            f"two tasks are named {task.name!r}; a name is an identity, choose another"
        )
    TASKS[task.name] = task
    return task


FINDERS: list[Callable[[str], TemplatedTask | None]] = []
"""Where tasks are looked for that are not in TASKS: seqio's registry, once flan_jax.data.seqio_registry is imported."""


def find_task(name: str) -> TemplatedTask | None:
    """The task of this name, if there is one, in TASKS or where FINDERS look."""
    return TASKS.get(name) or next(
        (task for finder in FINDERS if (task := finder(name)) is not None), None
    )


def get_task(name: str) -> TemplatedTask:
    """The task of this name, or InputError with the nearest names."""
    task = find_task(name)
    if task is None:
        raise unknown_name("task", name, TASKS)
    return task


def resolve_source(task: TemplatedTask, source: str, data_dir: str | None = None) -> Source:
    """Where to read a task from, given the run's SOURCE: 'sandbox', 'tfds' or 'jsonl'.

    The choice is for the public datasets, whose own source is Tfds. A task of any other source always reads that.
    """
    if not isinstance(task.source, Tfds):
        return task.source
    if source == "tfds":
        return dataclasses.replace(task.source, data_dir=data_dir)
    if source == "jsonl":
        if not data_dir:
            raise InputError(
                "SOURCE = 'jsonl' needs DATA_DIR, the folder that holds <task>/<split>.jsonl"
            )
        return task.source.as_jsonl(f"{data_dir}/{task.name}")
    if source != "sandbox":
        raise unknown_name("SOURCE", source, ("sandbox", "tfds", "jsonl"))
    if task.sandbox is None:
        raise InputError(
            f"task {task.name!r} has no practice rows (sandbox=None); use SOURCE = 'tfds' or 'jsonl' for it"
        )
    return task.sandbox
