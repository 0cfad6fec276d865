"""How an example is put to a model: the role of the instructions, the options, the number of templates, exemplars."""

import dataclasses
import re

from flan_jax.errors import InputError, unknown_name
from flan_jax.tasks.clusters import CLUSTER_TITLES
from flan_jax.tasks.task import TemplatedTask
from flan_jax.tasks.templates import OPTIONS, AnyTemplate, Template

INSTRUCTIONS = ("natural", "none", "dataset_name")
MAX_SHOTS = 16
"""FLAN's largest number of exemplars (section 4.4)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompts:
    """How training or evaluation examples are shown.

    instructions: 'natural' for the task's templates; 'none' for its bare fields, one a line;
    'dataset_name' for these behind "[cluster: dataset]" (FLAN, section 4.2). options: whether `{options}` is shown.
    templates: only so many of a task's first templates; None for all. only: the index of one template to show alone. shots: exemplars from the training split before each
    query. mixed_templates: every exemplar in a template drawn for it, not in the query's. exemplar_tokens: the tokens of a
    prompt, exemplars and query together, above which whole exemplars are dropped; None for the inputs' length of the run.
    """

    instructions: str = "natural"
    options: bool = True
    templates: int | None = None
    only: int | None = None
    shots: int = 0
    mixed_templates: bool = False
    exemplar_tokens: int | None = None

    def __post_init__(self):
        if self.instructions not in INSTRUCTIONS:
            raise unknown_name("Prompts.instructions", self.instructions, INSTRUCTIONS)
        if self.templates is not None and self.templates < 1:
            raise InputError(
                f"Prompts.templates is {self.templates}; a task is shown in at least 1, or None for all"
            )
        if not 0 <= self.shots <= MAX_SHOTS:
            raise InputError(
                f"Prompts.shots is {self.shots}; exemplars are between 0 (zero-shot) and {MAX_SHOTS}"
            )
        if self.exemplar_tokens is not None and self.exemplar_tokens < 1:
            raise InputError(
                f"Prompts.exemplar_tokens is {self.exemplar_tokens}; it must be at least 1, or None"
            )

    def shown(self, task: TemplatedTask) -> tuple[AnyTemplate, ...]:
        """The templates that a task's examples are rendered in. Raises InputError when there is none such."""
        templates = self._chosen(task) if self.instructions == "natural" else (self._bare(task),)
        if self.options:
            return templates
        return tuple(_without_options(task, template) for template in templates)

    def _chosen(self, task: TemplatedTask) -> tuple[AnyTemplate, ...]:
        if self.only is None:
            return task.templates[: self.templates]
        if not 0 <= self.only < len(task.templates):
            raise InputError(
                f"task {task.name!r} has no template {self.only}; its templates are 0 to {len(task.templates) - 1}"
            )
        return (task.templates[self.only],)

    def _bare(self, task: TemplatedTask) -> Template:
        fields = task.bare or _fields_of_pattern(task, task.templates[0])
        lines = [f"{{{name}}}" for name in fields]
        if self.instructions == "dataset_name":
            name = f"[{CLUSTER_TITLES.get(task.cluster, task.cluster)}: {task.title or task.name}]"
            lines[:1] = (
                [f"{name.replace('{', '{{').replace('}', '}}')} {lines[0]}"] if lines else [name]
            )
        if task.options is not None:
            lines.append(f"{{{OPTIONS}}}")
        return Template("\n".join(lines))


def _fields_of_pattern(task: TemplatedTask, template: AnyTemplate) -> tuple[str, ...]:
    if not isinstance(template, Template):
        raise InputError(
            f"task {task.name!r}: {type(template).__name__} has no input pattern to take the bare "
            "fields from. Name them in TemplatedTask.bare, or use Prompts.instructions = 'natural'"
        )
    return tuple(dict.fromkeys(name for name in template.field_order if name != OPTIONS))


def _without_options(task: TemplatedTask, template: AnyTemplate) -> Template:
    """The template with the slot and the line breaks before it taken out (those after it, where it comes first)."""
    if not isinstance(template, Template):
        raise InputError(
            f"task {task.name!r}: options cannot be left out of {type(template).__name__}. "
            "Use Prompts.options = True"
        )
    inputs = re.sub(rf"\s*\{{{OPTIONS}\}}", "", template.inputs).lstrip("\n")
    return dataclasses.replace(template, inputs=inputs)
