"""Plain text to pre-train a model on: a task that is in no mixture of FLAN.

Set MIXTURE = 'plain_text' in a gin file that imports this module.
"""

from flan_jax.tasks import (
    Collection,
    FormatTemplate,
    TemplatedTask,
    register_collection,
)
from flan_jax.tasks.metrics import rouge
from flan_jax.tasks.practice_world import Sandbox
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


def _find(name: str) -> TemplatedTask | None:
    return PLAIN_TEXT if name == PLAIN_TEXT.name else None


# A collection, not a registered task: a mixture of all registered tasks is of instructions alone.
register_collection(
    Collection(name="plain_texts", names=lambda: (PLAIN_TEXT.name,), find=_find)
)
