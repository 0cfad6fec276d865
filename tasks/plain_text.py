"""Plain text to pre-train a model on: tasks that are in no mixture of FLAN.

`plain_text` tells of one constant world, `documents` of a new world in every document. Set
MIXTURE = 'plain_text' or 'documents' in a gin file that imports this module.
"""

from flan_jax.tasks import (
    Collection,
    FormatTemplate,
    TemplatedTask,
    register_collection,
)
from flan_jax.tasks.metrics import rouge
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice import documents
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

_TASKS = {task.name: task for task in (PLAIN_TEXT, DOCUMENTS)}

# A collection, not registered tasks: a mixture of all registered tasks is of instructions alone.
register_collection(
    Collection(name="plain_texts", names=lambda: tuple(_TASKS), find=_TASKS.get)
)
