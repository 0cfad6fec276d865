"""The mixture `practice_1000`: a thousand small tasks about practice texts, in ten clusters.

Zhang, Wang and Charton (2024) found that small models follow new instructions only after hundreds
of different ones. `import tasks.practice_1000` in a gin file makes the mixture known; with
`DataConfig.clusters = 'practice_1000/skill'` the clusters are its ten skills.
"""

import functools

from flan_jax.tasks import (
    Collection,
    FormatTemplate,
    TemplatedTask,
    register_collection,
)
from flan_jax.tasks.metrics import accuracy, exact_match
from flan_jax.tasks.practice_world import Sandbox
from tasks.practice.functions import SKILLS, Function, functions

EXAMPLES = 64
"""The training examples of a task: more of them help less than more tasks do."""


@functools.cache
def _functions() -> dict[str, Function]:
    return {function.name: function for function in functions()}


@functools.cache
def _find(name: str) -> TemplatedTask | None:
    function = _functions().get(name)
    if function is None:
        return None
    return TemplatedTask(
        name=name,
        cluster=f"made_{function.skill}",
        title=name,
        source=Sandbox(function.maker(), train=EXAMPLES, validation=16, test=32),
        fields=dict,
        options="options" if function.lists_options else None,
        metrics=(accuracy if function.lists_options else exact_match,),
        templates=tuple(FormatTemplate(pattern) for pattern in function.patterns()),
        related=SKILLS[function.skill].related,
    )


def _by_skill() -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, function in _functions().items():
        groups.setdefault(f"made_{function.skill}", []).append(name)
    return groups


PRACTICE_1000 = register_collection(
    Collection(
        name="practice_1000",
        names=lambda: tuple(_functions()),
        find=_find,
        groupings={"skill": _by_skill},
    )
)
