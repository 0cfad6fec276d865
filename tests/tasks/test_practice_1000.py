"""The mixture of a thousand small tasks."""

import collections
import itertools
import random

import pytest

from flan_jax.tasks import clusters
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.tasks.practice_world import World
from flan_jax.tasks.rendering import render_eval, render_train
from flan_jax.tasks.task import get_task
from tasks.practice.functions import PER_SKILL, SKILLS, Function, functions
from tasks.practice_1000 import EXAMPLES, PRACTICE_1000


def test_there_are_a_thousand_different_tasks_in_ten_clusters():
    names = PRACTICE_1000.names()
    assert len(set(names)) == len(names) == 1000
    assert [task.name for task in mixture_or_task("practice_1000")] == list(names)
    groups = PRACTICE_1000.groupings["skill"]()
    assert {name: len(tasks) for name, tasks in groups.items()} == {
        f"made_{skill}": PER_SKILL for skill in SKILLS
    }
    tasks = [get_task(name) for name in names]
    split = clusters.hold_out(
        tasks, "made_follows", view=clusters.cluster_view("practice_1000/skill")
    )
    assert len(split.held_out) == 100 and len(split.train) == 900


def some(skill):
    """Every eighth task of a skill."""
    named = [function.name for function in functions() if function.skill == skill]
    return [get_task(name) for name in named[::8]]


@pytest.mark.parametrize("skill", SKILLS)
def test_rows_are_enough_and_different_and_their_answers_are_options(skill):
    for task in some(skill):
        rows = list(task.source.rows("train"))
        assert len(rows) == EXAMPLES
        assert len({str(row) for row in rows}) > 0.9 * EXAMPLES
        for row in rows:
            if task.options:
                assert row["options"].count(row["answer"]) == 1


@pytest.mark.parametrize("skill", SKILLS)
def test_the_answer_stands_in_each_place_equally_often(skill):
    places = collections.Counter()
    for task in some(skill):
        if not task.options:
            continue
        for row in task.source.rows("train"):
            number = len(row["options"])
            places[number, row["options"].index(row["answer"])] += 1
    totals = collections.Counter()
    for (number, _), count in places.items():
        totals[number] += count
    for (number, _), count in places.items():
        expected = totals[number] / number
        assert abs(count - expected) < 5 * expected**0.5 + 5


@pytest.mark.parametrize("skill", SKILLS)
def test_prompts_show_the_text_the_question_and_the_options_in_their_place(skill):
    for task in some(skill):
        rows = list(itertools.islice(task.source.rows("train"), 3))
        rendered = list(render_train(task, rows, cap=3, renderings=1, seed=0))
        rendered_again = list(render_train(task, rows, cap=3, renderings=1, seed=0))
        assert rendered == rendered_again
        for row, example in zip(rows, rendered, strict=True):
            prompt, answer = (segment.text for segment in example.segments)
            assert row["text"] in prompt and row["question"] in prompt
            assert answer == row["answer"]
            if task.options:
                options_first = prompt.index("OPTIONS:") < prompt.index(row["text"])
                assert options_first == task.name.endswith("_before")
        assert list(render_eval(task, rows))


def test_a_text_decides_what_follows_from_it():
    """What follows, or is ruled out, is about a subject of the text; what is open is not."""
    make = Function("follows", "pet", 0, "after").maker()
    seen = set()
    for number in range(60):
        rng = random.Random(number)
        world = World.fresh(rng)
        row = make(world, rng)
        people = [name for name in world.people if name in row["question"]]
        animals = [animal for animal in world.pets if animal in row["question"]]
        is_told = people[0] in row["text"] and animals[0] in row["text"]
        seen.add(row["answer"])
        if row["answer"] == "yes":
            assert is_told
        if row["answer"] == "maybe":
            assert not is_told
    assert seen == {"yes", "no", "maybe"}
