"""The skills of `practice_1000` as a few tasks, each of which mixes all functions of a skill.

Thirteen tasks have fifty instructions, before or after a text, about eighteen relations and with
several forms of answers. So a run sees many instructions, and has few tasks to prepare and to score.
`import tasks.practice_skills` in a gin file makes them and the mixture `first_run` known.
"""

from flan_jax.tasks import (
    Collection,
    FormatTemplate,
    Mixture,
    TemplatedTask,
    register_collection,
    register_mixture,
)
from flan_jax.tasks.metrics import accuracy, exact_match
from flan_jax.tasks.practice_world import Sandbox
from tasks.mixtures import FLAN2021, PRACTICE
from tasks.practice.functions import PLACES, SKILLS, Skill
from tasks.practice.wordings import TOPICS


def _task(name: str, skill: Skill, listed: bool) -> TemplatedTask:
    """Returns the task of a skill's functions that list options, or of those that do not."""
    forms = [form for form in skill.forms if skill.lists_options(form) == listed]

    def make(world, rng):
        return skill.make(rng.choice(TOPICS), rng.choice(forms), world, rng)

    task_name = f"skill_{name}_listed" if listed else f"skill_{name}"
    make.__qualname__ = task_name
    patterns = [text for place in PLACES for text in skill.patterns(place, listed)]
    return TemplatedTask(
        name=task_name,
        cluster=f"skill_{name}",
        title=task_name,
        source=Sandbox(make, train=1500),
        fields=dict,
        options="options" if listed else None,
        metrics=(accuracy if listed else exact_match,),
        templates=tuple(FormatTemplate(pattern) for pattern in patterns),
        related=skill.related,
    )


_TASKS: dict[str, TemplatedTask] = {}
for skill_name, each_skill in SKILLS.items():
    for is_listed in sorted({each_skill.lists_options(f) for f in each_skill.forms}):
        skill_task = _task(skill_name, each_skill, is_listed)
        _TASKS[skill_task.name] = skill_task

PRACTICE_SKILLS = register_collection(
    Collection(name="practice_skills", names=lambda: tuple(_TASKS), find=_TASKS.get)
)

_MORE = ("piqa", "definite_pronoun_resolution")

FIRST_RUN = register_mixture(
    Mixture("first_run", (*(PRACTICE.tasks or ()), *_MORE), beside=tuple(_TASKS))
)
"""The tasks of `practice`, two more of its smallest clusters, and beside them those of the skills."""

FLAN2021_AND_SKILLS = register_mixture(
    Mixture("flan2021_and_skills", FLAN2021.tasks, beside=tuple(_TASKS))
)
"""FLAN's tasks, and beside them those of the skills: for sweeps on the practice corpus."""
