"""The plain text that base models of the practice worlds are trained on."""

import itertools
import string

import pytest

import tasks  # noqa: F401
from flan_jax.tasks.practice_world import World
from tasks.plain_text import BASE_SKILLS, DOCUMENTS
from tasks.practice.wordings import TOPIC_OF, TOPICS


@pytest.fixture(scope="module")
def rows():
    return list(itertools.islice(DOCUMENTS.source.rows("train"), 1500))


def slots(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("topic", TOPICS, ids=TOPIC_OF)
def test_a_topic_says_and_asks_for_both_sides(topic):
    assert {frozenset(slots(text)) for text in topic.statements} == {frozenset("so")}
    assert {frozenset(slots(text)) for text in topic.yes_no} == {frozenset("so")}
    assert {frozenset(slots(text)) for text in topic.questions} == {frozenset("s")}
    assert {frozenset(slots(text)) for text in topic.back} == {frozenset("o")}
    assert len(set(topic.statements)) == len(topic.statements) >= 4
    assert not [text for text in topic.yes_no if text.endswith("?")]
    assert topic.relation.name in {
        name for name, each in TOPIC_OF.items() if each is topic
    }
    assert hasattr(World.constant(), topic.relation.subjects)


def test_documents_have_two_parts_and_are_hardly_ever_alike(rows):
    assert all(row["beginning"] and row["rest"] for row in rows)
    texts = {row["beginning"] + " " + row["rest"] for row in rows}
    assert len(texts) > 0.99 * len(rows)


def test_documents_are_no_instructions(rows):
    texts = [row["beginning"] + " " + row["rest"] for row in rows]
    assert not [text for text in texts if "OPTIONS" in text]


def test_an_answer_cannot_be_told_from_its_words_alone(rows):
    """Yes and no, true and false are equally frequent, whatever the question is about."""
    text = " ".join(row["beginning"] + " " + row["rest"] for row in rows)
    for one, other in (
        ('"Yes,"', '"No,"'),
        (" is right.", " is wrong."),
        ("It is true.", "It is false."),
    ):
        share = text.count(one) / (text.count(one) + text.count(other))
        assert 0.35 < share < 0.65, (one, share)


@pytest.mark.parametrize("task", BASE_SKILLS, ids=lambda task: task.name)
def test_a_skill_of_the_base_has_one_right_option_at_no_fixed_place(task):
    rows = list(itertools.islice(task.source.rows("train"), 1000))
    assert all(len(set(row["options"])) == len(row["options"]) for row in rows)
    places = [row["options"].index(row["answer"]) for row in rows]
    chance = 1 / len(rows[0]["options"])
    assert all(
        abs(places.count(place) / len(rows) - chance) < 0.06 for place in set(places)
    )
    for row in rows[:50]:
        assert task.fields(row)["answer"] == row["answer"]
