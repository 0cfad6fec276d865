"""The skills of the thousand small tasks as a few tasks, and the first run's mixture."""

import collections
import itertools

import pytest

from flan_jax.tasks.clusters import PAPER_VIEW, hold_out
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.tasks.rendering import render_train
from flan_jax.tasks.task import get_task
from tasks.practice.functions import SKILLS
from tasks.practice_skills import PRACTICE_SKILLS

NAMES = PRACTICE_SKILLS.names()


def test_every_skill_is_in_a_task():
    assert {get_task(name).cluster for name in NAMES} == {
        f"skill_{skill}" for skill in SKILLS
    }


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_of_many_functions_and_differ(name):
    task = get_task(name)
    rows = list(itertools.islice(task.source.rows("train"), 300))
    assert len({str(row) for row in rows}) > 0.95 * len(rows)
    skill = SKILLS[task.cluster.removeprefix("skill_")]
    if isinstance(skill.forms[0], tuple):
        labels = {frozenset(row["options"]) for row in rows}
        assert labels == {frozenset(form) for form in skill.forms}
    if task.options:
        assert all(row["options"].count(row["answer"]) == 1 for row in rows)
        places = collections.Counter(
            row["options"].index(row["answer"]) for row in rows
        )
        assert max(places.values()) < 0.65 * len(rows)
    rendered = list(render_train(task, rows, cap=300, renderings=1, seed=0))
    prompts = [example.segments[0].text for example in rendered]
    used = {
        text
        for text in task_instructions(task)
        if any(text in prompt for prompt in prompts)
    }
    assert used == task_instructions(task)


def task_instructions(task):
    return set(SKILLS[task.cluster.removeprefix("skill_")].instructions)


def test_what_asks_for_the_same_as_a_held_out_cluster_is_not_trained_on():
    tasks = mixture_or_task("first_run")

    def skills(held_out):
        split = hold_out(tasks, held_out)
        assert not set(NAMES) & set(split.held_out)
        return {get_task(name).cluster for name in split.train if name in NAMES}

    assert len(hold_out(tasks, "nli").train) == 24
    every = {f"skill_{skill}" for skill in SKILLS}
    judged = {"skill_yes_no", "skill_statement", "skill_follows", "skill_same"}
    assert skills("nli") == skills("paraphrase") == every - judged
    assert skills("struct_to_text") == every - {"skill_table"}
    assert skills("reading_comp") == {"skill_same", "skill_table"}
    assert skills("sentiment") == every
    assert "reading_comp" not in PAPER_VIEW.unrelated("skill_value", tasks)
    assert "sentiment" in PAPER_VIEW.unrelated("skill_value", tasks)
