"""Plain text to train a base model on, and the skills that it is to teach; in no mixture of FLAN.

In a gin file that imports this module, MIXTURE = 'word_lists', 'word_pairs', 'retellings' or
'knowledge' trains on such texts alone, and MIXTURE = 'base' with HELD_OUT = 'base_skills' on all
documents, and scores the skills. gin/base_lm.gin and the files of gin/base/ do so.
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


def _in_two_parts(name: str, title: str, make: MakeRow) -> TemplatedTask:
    """Returns a task of documents: a model reads their beginning and writes the rest."""
    return TemplatedTask(
        name=name,
        cluster="plain_text",
        title=title,
        source=Sandbox(make, train=400_000),
        fields=lambda row: {"beginning": row["beginning"], "answer": row["rest"]},
        metrics=(rouge,),
        templates=(FormatTemplate("{beginning}"),),
    )


WORD_LISTS = _in_two_parts("word_lists", "Lists of words", documents.word_list)
WORD_PAIRS = _in_two_parts("word_pairs", "Pairs of words", documents.word_pairs)
RETELLINGS = _in_two_parts("retellings", "Texts told again", documents.retelling)
KNOWLEDGE = _in_two_parts("knowledge", "Everyday knowledge", documents.knowledge_alone)
DOCUMENTS = _in_two_parts("documents", "Documents", documents.document)


def _skill(name: str, title: str, make: MakeRow) -> TemplatedTask:
    """Returns a task that measures one skill of a base model in the words of its documents."""
    return TemplatedTask(
        name=name,
        cluster="base_skills",
        title=title,
        source=Sandbox(make, train=2000),
        fields=lambda row: dict(row),
        options="options",
        templates=(FormatTemplate("{text}"),),
    )


BASE_SKILLS = (
    _skill("base_answer", "Answers in the text", base_skills.answer),
    _skill("base_yes_no", "Yes or no", base_skills.yes_no),
    _skill("base_true_false", "Right or wrong", base_skills.true_false),
    _skill("base_choice", "Copies the right option", base_skills.choice),
    _skill("base_opinion", "Praise or blame", base_skills.opinion),
    _skill("base_effect", "What follows from a cause", base_skills.effect),
    _skill("base_meant", "Who or what is meant", base_skills.meant),
)

_PLAIN_TEXTS = (WORD_LISTS, WORD_PAIRS, RETELLINGS, KNOWLEDGE, DOCUMENTS)
_TASKS = {task.name: task for task in (*_PLAIN_TEXTS, *BASE_SKILLS)}

# A collection, not registered tasks: a mixture of all registered tasks is of instructions alone.
register_collection(
    Collection(name="plain_texts", names=lambda: tuple(_TASKS), find=_TASKS.get)
)

_SKILLS = tuple(task.name for task in BASE_SKILLS)

BASE = register_mixture(Mixture("base", ("documents", *_SKILLS)))
"""The documents, and the skills of a base model, which are to be held out."""
