"""A templated task is plain data: where its rows are, how a row becomes fields, which templates."""

import dataclasses
import numbers
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flan_jax.errors import InputError, add_to_registry, check_call, unknown_name
from flan_jax.tasks.metrics import MetricFn, accuracy, check_metrics
from flan_jax.tasks.practice_world import Sandbox
from flan_jax.tasks.sources import SPLITS, Source, Tfds, check_source
from flan_jax.tasks.templates import (
    OPTIONS,
    AnyTemplate,
    ClozeTemplate,
    Fields,
    check_template,
)

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemplatedTask:
    r"""One dataset with its templates.

    >>> TemplatedTask(
    ...     name="rte", cluster="nli", source=Tfds("super_glue/rte:1.0.2", train="train[:-200]",
    ...     validation="train[-200:]", test="validation"), fields=lambda row: {...},
    ...     options=("yes", "no"), templates=(FormatTemplate("{premise} So {claim}?\n{options}"),))

    Attributes:
      name: the task's name; letters, digits, "_" and ".".
      cluster: the cluster that it is in, one of the paper's or of your own.
      source: where its rows are.
      fields: maps a row to the texts that templates show, or to None to leave the row out. The
        field `answer` is required. The field `references` may list several right answers.
      templates: how the fields are shown.
      options: for classification, the fixed options, or the name of the field that lists them for
        each row; the answer must be one of them. None for generation.
      metrics: the metrics; the first value of the first one is the headline metric.
      group: the field that names the group of a row, such as the question that several rows answer,
        by a text or a whole number. Metrics of groups score the rows of a group together.
      sandbox: generated practice rows, read instead of a Tfds source when SOURCE is 'sandbox'.
      title: the dataset's name in print.
      dataset: the dataset, if several tasks are its configurations: none of them is trained on
        while another is held out.
      bare: the fields to show where no template is; (): those in the input of the first template.
      cloze: how a language model that follows no instructions is asked (`Prompts.instructions =
        'cloze'`, and the controls of a held-out task); None for none.
      premise: the fields without which nobody should know the answer. They are left out under
        `Prompts.instructions = 'hypothesis_only'`, which shows what the rest gives away.
      related: other clusters that ask for the same: the task is not trained on while one of them is
        held out, nor are their tasks while it is.
    """

    name: str
    cluster: str
    source: Source
    fields: Callable[[Row], Fields | None]
    templates: tuple[AnyTemplate, ...]
    options: tuple[str, ...] | str | None = None
    metrics: tuple[MetricFn, ...] = (accuracy,)
    group: str | None = None
    sandbox: Sandbox | None = None
    title: str = ""
    dataset: str = ""
    bare: tuple[str, ...] = ()
    cloze: ClozeTemplate | None = None
    premise: tuple[str, ...] = ()
    related: tuple[str, ...] = ()

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.]*", self.name):
            raise InputError(
                f"task name {self.name!r}: it names folders too; use letters, digits, '_' and '.'"
            )
        for attribute, value in (
            ("templates", self.templates),
            ("options", self.options),
            ("metrics", self.metrics),
            ("related", self.related),
        ):
            is_text = attribute == "related" and isinstance(value, str)
            if isinstance(value, list) or is_text:
                kind = type(value).__name__
                raise InputError(
                    f"task {self.name!r}: {attribute} is a {kind}; write a tuple, (..., ...)"
                )
        if not self.cluster:
            raise InputError(
                f"task {self.name!r} is in no cluster; name one, of the paper's or of your own"
            )
        check_source(self.name, self.source)
        check_call(self.fields, f"task {self.name!r}: fields", ["row"])
        if not self.templates:
            raise InputError(
                f"task {self.name!r} has no templates; give it at least one"
            )
        for template in self.templates:
            check_template(self.name, template)
        if self.options is None and any(OPTIONS in t.fields for t in self.templates):
            raise InputError(
                f"task {self.name!r}: a template shows {{options}}, but the task names no options. "
                "Set TemplatedTask.options, or take the slot out"
            )
        if self.options == ():
            raise InputError(
                f"task {self.name!r}: options is empty; write None for a generation task"
            )
        self._check_cloze()
        try:
            check_metrics(self.metrics, self.options, self.group)
        except InputError as error:
            raise InputError(f"task {self.name!r}: {error}") from None

    def _check_cloze(self) -> None:
        """Raises InputError if the cloze has words for what is no answer, or two have one word."""
        if self.cloze is None:
            return
        if self.options is None:
            raise InputError(
                f"task {self.name!r} has a cloze, but no options: a cloze is for ranking options. "
                "Set TemplatedTask.options, or cloze=None"
            )
        if not isinstance(self.options, tuple):
            return
        unknown = sorted(self.cloze.words.keys() - set(self.options))
        if unknown:
            raise InputError(
                f"task {self.name!r}: its cloze has words for {unknown}, which are not among the "
                f"options {list(self.options)}"
            )
        words = [self.cloze.words.get(option, option) for option in self.options]
        if len(set(words)) < len(set(self.options)):
            raise InputError(
                f"task {self.name!r}: its cloze writes {words} for the options "
                f"{list(self.options)}; give each option a word of its own"
            )

    @property
    def eval_templates(self) -> tuple[int, ...]:
        """Indices of the templates that ask for the answer."""
        return tuple(i for i, t in enumerate(self.templates) if not t.turned_around)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the source has, of SPLITS; all if the source does not say."""
        return tuple(
            split for split in SPLITS if getattr(self.source, split, split) is not None
        )

    def check_fields(self, example: Mapping[str, object]) -> None:
        """Checks that the templates show the fields of an example.

        Args:
          example: the fields of a row, as `example` returns them.

        Raises:
          InputError: a template shows a field that is missing, or no template shows a field.
        """
        shown: set[str] = set()
        for template in self.templates:
            shown |= template.fields
        if self.cloze is not None:
            shown |= self.cloze.fields
        not_for_templates = {"answer", "references", OPTIONS}
        if isinstance(self.options, str):
            not_for_templates.add(self.options)
        if self.group is not None:
            not_for_templates.add(self.group)
        missing = sorted((shown | set(self.premise)) - example.keys())
        unused = sorted(example.keys() - shown - not_for_templates)
        if missing or unused:
            raise InputError(
                f"task {self.name!r}: the templates name fields that fields() does not give: "
                f"{', '.join(missing) or 'none'}; fields() gives fields that no template names: "
                f"{', '.join(unused) or 'none'}. Make the two agree"
            )

    def example(self, row: Row) -> dict[str, Any] | None:
        """Returns the fields of a row with `options` filled in, or None if the row is left out.

        Args:
          row: a row of the source.

        Raises:
          InputError: the answer is missing or not among the options, or the group is missing.
        """
        fields = self.fields(row)
        if fields is None:
            return None
        example: dict[str, Any] = dict(fields)
        if "answer" not in example:
            raise InputError(
                f"task {self.name!r}: fields() gave no 'answer', only {', '.join(sorted(example))}"
            )
        if self.group is not None:
            example[self.group] = self._group(example)
        if self.options is None:
            return example
        options = self._options(example)
        example[OPTIONS] = options
        for answer in (example["answer"], *example.get("references", ())):
            if answer not in options:
                raise InputError(
                    f"task {self.name!r}: the answer {answer!r} is not among the options "
                    f"{list(options)}. Return one of them, or None from fields() to leave the row "
                    "out"
                )
        return example

    def _group(self, example: Mapping[str, Any]) -> str:
        """Returns the name of a row's group."""
        assert self.group is not None
        if self.group not in example:
            raise InputError(
                f"task {self.name!r}: the group of a row is in the field {self.group!r}, which "
                f"fields() did not give, only {', '.join(sorted(example))}. Return it from "
                "fields(), or name another field"
            )
        group = example[self.group]
        is_number = isinstance(group, numbers.Integral) and not isinstance(group, bool)
        if is_number or (isinstance(group, str) and group):
            return str(group)
        raise InputError(
            f"task {self.name!r}: {group!r} ({type(group).__name__}) cannot name the group of a "
            f"row. Let fields() return a text or a whole number as {self.group!r}, for example "
            "f'{paragraph}/{question}'"
        )

    def _options(self, example: Mapping[str, Any]) -> tuple[str, ...]:
        if not isinstance(self.options, str):
            return self.options or ()
        if self.options not in example:
            raise InputError(
                f"task {self.name!r}: options are in the field {self.options!r}, which fields() "
                "did not give. Return it from fields(), or name another field"
            )
        if not example[self.options]:
            raise InputError(
                f"task {self.name!r}: the field {self.options!r} lists no options for this row. "
                "Return None from fields() to leave the row out"
            )
        return tuple(example[self.options])


TASKS: dict[str, TemplatedTask] = {}
"""The registered tasks, in the order of registration."""


def register(task: TemplatedTask) -> TemplatedTask:
    """Adds a task to the registry and returns it.

    Raises:
      InputError: another task has this name.
    """
    return add_to_registry(TASKS, "task", task.name, task)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collection:
    """Many tasks that are made only when they are asked for, for example from a folder of files.

    A task of a collection can be named wherever the name of a task is expected. The collection's
    name is a mixture of all its tasks. Its tasks are not part of a `Mixture` of all registered
    tasks.

    >>> register_collection(Collection(
    ...     name="natural_instructions",
    ...     names=lambda: [file.stem for file in sorted(FOLDER.glob("*.json"))],
    ...     find=functools.cache(task_from_file),
    ...     groupings={"category": lambda: json.loads((FOLDER / "categories.json").read_text())}))

    Attributes:
      name: the collection's name.
      names: returns the names of its tasks without making them.
      find: returns the task of a name, or None if the collection has none. It is called at each
        use of the task: let it cache what is costly.
      groupings: functions that return {group: names of its tasks}, by the grouping's name. Groups
        can be held out with DataConfig.clusters = "natural_instructions/category".
    """

    name: str
    names: Callable[[], Sequence[str]]
    find: Callable[[str], TemplatedTask | None]
    groupings: Mapping[str, Callable[[], Mapping[str, Sequence[str]]]] = (
        dataclasses.field(default_factory=dict)
    )


COLLECTIONS: dict[str, Collection] = {}
"""The registered collections, in the order in which a task is looked for in them."""


def register_collection(collection: Collection) -> Collection:
    """Adds a collection to the registry and returns it.

    Raises:
      InputError: another collection has this name, or a function of it takes other arguments than
        it gets.
    """
    name = f"collection {collection.name!r}"
    check_call(collection.names, f"{name}: names", [])
    check_call(collection.find, f"{name}: find", ["name"])
    for grouping, groups in collection.groupings.items():
        check_call(groups, f"{name}: grouping {grouping!r}", [])
    return add_to_registry(COLLECTIONS, "collection", collection.name, collection)


def find_task(name: str) -> TemplatedTask | None:
    """Returns the task of this name, registered or from a collection; None if there is none.

    Args:
      name: the name of a task.

    Returns:
      The task, or None.
    """
    if name in TASKS:
        return TASKS[name]
    for collection in COLLECTIONS.values():
        task = collection.find(name)
        if task is not None:
            return task
    return None


def get_task(name: str) -> TemplatedTask:
    """Returns the task of this name, registered or from a collection.

    Args:
      name: the name of a task.

    Returns:
      The task.

    Raises:
      InputError: there is no such task; the message has the nearest name.
    """
    task = find_task(name)
    if task is None:
        raise unknown_name("task", name, task_names())
    return task


def task_names() -> list[str]:
    """Returns the names of all tasks: those registered, then those of the collections."""
    names = list(TASKS)
    for collection in COLLECTIONS.values():
        names += collection.names()
    return names


def resolve_source(
    task: TemplatedTask, source: str, data_dir: str | None = None
) -> Source:
    """Returns the source to read a task from in a run.

    SOURCE is about the public datasets, whose own source is Tfds. A task with any other source is
    always read from that.

    Args:
      task: the task.
      source: the run's SOURCE: 'sandbox', 'tfds' or 'jsonl'.
      data_dir: the folder of the TFDS datasets, or of <task>/<split>.jsonl.

    Raises:
      InputError: the task cannot be read from this source.
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
            f"task {task.name!r} has no practice rows (sandbox=None); use SOURCE = 'tfds' or "
            "'jsonl' for it"
        )
    return task.sandbox
