"""Plain text to pre-train a model on: tasks that are in no mixture of FLAN.

`plain_text` tells of one constant world, `documents` of a new world in every document. Set
MIXTURE = 'plain_text' or 'documents' in a gin file that imports this module; MIXTURE = 'base' with
HELD_OUT = 'base_skills' scores what the documents teach, too.
"""

from flan_jax.tasks import (
    Collection,
    FormatTemplate,
    Mixture,
    TemplatedTask,
    register_collection,
    register_mixture,
)
from flan_jax.tasks.metrics import rouge
from flan_jax.tasks.practice_world import MakeRow, Sandbox
from tasks.practice import base_skills, documents
from tasks.practice import plain_text as practice

PLAIN_TEXT = TemplatedTask(
    name="plain_text",
    cluster="plain_text",
    title="Plain text",
    source=Sandbox(practice.document, train=12_000),
    fields=lambda row: {"beginning": row["beginning"], "answer": row["rest"]},
    metrics=(rouge,),
    templates=(FormatTemplate("{beginning}"),),
)


DOCUMENTS = TemplatedTask(
    name="documents",
    cluster="plain_text",
    title="Documents",
    source=Sandbox(documents.document, train=400_000, fresh=True),
    fields=lambda row: {"beginning": row["beginning"], "answer": row["rest"]},
    metrics=(rouge,),
    templates=(FormatTemplate("{beginning}"),),
)


def _skill(name: str, title: str, make: MakeRow) -> TemplatedTask:
    """Returns a task that measures one skill of a base model in the words of its documents."""
    return TemplatedTask(
        name=name,
        cluster="base_skills",
        title=title,
        source=Sandbox(make, train=2000, fresh=True),
        fields=lambda row: dict(row),
        options="options",
        templates=(FormatTemplate("{text}"),),
    )


BASE_SKILLS = (
    _skill("base_answer", "Answers in the text", base_skills.answer),
    _skill("base_yes_no", "Yes or no", base_skills.yes_no),
    _skill("base_true_false", "Right or wrong", base_skills.true_false),
    _skill("base_choice", "Copies the right option", base_skills.choice),
)

_TASKS = {task.name: task for task in (PLAIN_TEXT, DOCUMENTS, *BASE_SKILLS)}

# A collection, not registered tasks: a mixture of all registered tasks is of instructions alone.
register_collection(
    Collection(name="plain_texts", names=lambda: tuple(_TASKS), find=_TASKS.get)
)

BASE = register_mixture(
    Mixture("base", ("documents", *(task.name for task in BASE_SKILLS)))
)
"""The documents, and the skills of a base model, which are to be held out."""
