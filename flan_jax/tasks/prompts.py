"""How examples are shown to a model: instructions, options, templates, few-shot exemplars."""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

from flan_jax.errors import (
    InputError,
    add_to_registry,
    check_at_least,
    check_call,
    is_whole,
    look_up,
)
from flan_jax.tasks.clusters import CLUSTER_TITLES
from flan_jax.tasks.task import TemplatedTask
from flan_jax.tasks.templates import (
    OPTIONS,
    AnyTemplate,
    BlankedTemplate,
    FormatTemplate,
    escape_braces,
    renders_pairs,
)

MAX_SHOTS = 16
"""FLAN's largest number of exemplars (section 4.4)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompts:
    """How training or evaluation examples are shown.

    Attributes:
      instructions: "natural" for the task's templates; "none" for its bare fields, one a line;
        "dataset_name" for these behind "[cluster: dataset]" (FLAN, section 4.2); "cloze" for the
        task's cloze, a text that the answer completes; "hypothesis_only" for its templates without
        the fields of its premise; or a name that was given to `register_instructions`.
      options: whether the options suffix is shown.
      templates: how many of a task's first templates are used; None for all.
      only: the index of a template that is used alone.
      shots: the number of exemplars from the training split before each query.
      mixed_templates: whether each exemplar has a template drawn for it, and not the query's.
      exemplar_tokens: the largest number of tokens of a few-shot prompt; exemplars that do not fit
        are left out whole. None for the run's length of inputs.
    """

    instructions: str = "natural"
    options: bool = True
    templates: int | None = None
    only: int | None = None
    shots: int = 0
    mixed_templates: bool = False
    exemplar_tokens: int | None = None

    def __post_init__(self):
        look_up(INSTRUCTIONS, "Prompts.instructions", self.instructions)
        check_at_least(self, templates=1, exemplar_tokens=1, only=0)
        if not (is_whole(self.shots) and 0 <= self.shots <= MAX_SHOTS):
            raise InputError(
                f"Prompts.shots is {self.shots}; exemplars are between 0 (zero-shot) and "
                f"{MAX_SHOTS}"
            )

    def templates_for(self, task: TemplatedTask) -> tuple[AnyTemplate, ...]:
        """Returns the templates in which a task's examples are rendered.

        Args:
          task: the task.

        Returns:
          The templates, at least one.

        Raises:
          InputError: the task has no template of the index `only`, or its templates cannot be shown
            without instructions or without options.
        """
        templates = INSTRUCTIONS[self.instructions](task, self)
        if self.options:
            return templates
        return tuple(_without_options(task, template) for template in templates)


InstructionsFn: TypeAlias = Callable[[TemplatedTask, Prompts], tuple[AnyTemplate, ...]]
"""The templates of a task. The options suffix is removed afterwards if Prompts.options is False."""

INSTRUCTIONS: dict[str, InstructionsFn] = {}
"""The values of Prompts.instructions."""


def register_instructions(name: str, function: InstructionsFn) -> InstructionsFn:
    """Adds a value of Prompts.instructions.

    Args:
      name: the value.
      function: (task, prompts) -> the templates in which the task's examples are rendered. It must
        use no more of the task's templates than flan_jax.tasks.templates.Template promises.

    Returns:
      The function.

    Raises:
      InputError: the name is taken, or the function does not take a task and prompts.
    """
    check_call(function, f"instructions {name!r}", ["task", "prompts"])
    return add_to_registry(INSTRUCTIONS, "instruction", name, function)


def natural_instructions(
    task: TemplatedTask, prompts: Prompts
) -> tuple[AnyTemplate, ...]:
    """Returns the task's own templates: all, the first ones, or a single one.

    Args:
      task: the task.
      prompts: its `only` is the index of the single template, its `templates` the number of first
        ones.

    Returns:
      The templates.

    Raises:
      InputError: the task has no template of the index `prompts.only`.
    """
    if prompts.only is None:
        return task.templates[: prompts.templates]
    if not 0 <= prompts.only < len(task.templates):
        raise InputError(
            f"task {task.name!r} has no template {prompts.only}; its templates are 0 to "
            f"{len(task.templates) - 1}"
        )
    return (task.templates[prompts.only],)


def no_instructions(task: TemplatedTask, prompts: Prompts) -> tuple[AnyTemplate, ...]:
    """Returns one template of the bare fields, one a line.

    Args:
      task: the task.
      prompts: not used; all kinds of instructions have the same signature.

    Returns:
      One template.

    Raises:
      InputError: the task does not say which fields to show, and its first template shows none.
    """
    fields = _bare_fields(task)
    if not fields:
        raise InputError(
            f"task {task.name!r} cannot be shown without instructions: its first template shows no "
            "field in the input, so that the prompt would be empty. Name the fields to show in "
            "TemplatedTask.bare"
        )
    return (_bare_template(task, [f"{{{name}}}" for name in fields]),)


def dataset_name(task: TemplatedTask, prompts: Prompts) -> tuple[AnyTemplate, ...]:
    """Returns one template: "[cluster: dataset]" and the bare fields."""
    cluster = CLUSTER_TITLES.get(task.cluster, task.cluster)
    label = escape_braces(f"[{cluster}: {task.title or task.name}]")
    first, *others = [f"{{{name}}}" for name in _bare_fields(task)] or [""]
    return (_bare_template(task, [f"{label} {first}".rstrip(), *others]),)


def cloze(task: TemplatedTask, prompts: Prompts) -> tuple[AnyTemplate, ...]:
    """Returns one template: the task's cloze (Brown et al. 2020, appendix G, has GPT-3's).

    Args:
      task: the task.
      prompts: not used; all kinds of instructions have the same signature.

    Returns:
      One template.

    Raises:
      InputError: the task has no cloze.
    """
    if task.cloze is None:
        raise InputError(
            f"task {task.name!r} has no cloze; write one in TemplatedTask.cloze, such as "
            "ClozeTemplate('{premise} So it is {answer}.')"
        )
    return (task.cloze,)


def hypothesis_only(task: TemplatedTask, prompts: Prompts) -> tuple[AnyTemplate, ...]:
    """Returns the task's templates without the fields of its premise (Poliak et al. 2018).

    Args:
      task: the task.
      prompts: as for `natural_instructions`.

    Returns:
      The templates.

    Raises:
      InputError: the task does not say which fields are its premise, or a template gives no input
        and target.
    """
    if not task.premise:
        raise InputError(
            f"task {task.name!r} does not say what its premise is; name the fields in "
            "TemplatedTask.premise"
        )
    templates: list[AnyTemplate] = []
    for template in natural_instructions(task, prompts):
        if not renders_pairs(template):
            raise InputError(
                f"task {task.name!r} cannot be shown without its premise: "
                f"{type(template).__name__} does not give an input and a target"
            )
        templates.append(BlankedTemplate(template, task.premise))
    return tuple(templates)


def _bare_template(task: TemplatedTask, lines: list[str]) -> FormatTemplate:
    if task.options is not None:
        lines = [*lines, f"{{{OPTIONS}}}"]
    return FormatTemplate("\n".join(lines))


def _bare_fields(task: TemplatedTask) -> list[str]:
    """Returns the names of the fields that are shown where no template is."""
    if task.bare:
        return list(task.bare)
    template = task.templates[0]
    input_fields = getattr(template, "input_fields", None)
    if input_fields is None:
        raise InputError(
            f"task {task.name!r} cannot be shown without instructions: its templates are of the "
            f"class {type(template).__name__}, which has no input_fields to say what the input "
            "shows. Name the fields to show in TemplatedTask.bare"
        )
    names = dict.fromkeys(input_fields)
    return [name for name in names if name != OPTIONS]


def _without_options(task: TemplatedTask, template: AnyTemplate) -> AnyTemplate:
    if OPTIONS not in template.fields:
        return template
    if isinstance(template, BlankedTemplate):
        inner = _without_options(task, template.template)
        return dataclasses.replace(template, template=inner)
    without_options = getattr(template, "without_options", None)
    if without_options is None:
        raise InputError(
            f"task {task.name!r} cannot be shown without options: its templates are of the class "
            f"{type(template).__name__}, which has no without_options(). Add this method, or leave "
            "Prompts.options at True"
        )
    return without_options()


register_instructions("natural", natural_instructions)
register_instructions("none", no_instructions)
register_instructions("dataset_name", dataset_name)
register_instructions("cloze", cloze)
register_instructions("hypothesis_only", hypothesis_only)
