"""Claims in plain text that are certain, denied or open, and what follows from them."""

import collections
import random
import re

from flan_jax.tasks.practice_world import Fact, World, sentence
from tasks.practice import beliefs
from tasks.practice.wordings import TOPIC_OF, UNKNOWN

FRAMES = {"yes": beliefs._HELD, "no": beliefs._DENIED, "open": beliefs._LEFT_OPEN}


def status_in(text, claim):
    """What a text says of a claim that it repeats word by word; None if it does not."""
    for status, frames in FRAMES.items():
        for frame in frames:
            pattern = re.escape(frame).replace(r"\{\}", re.escape(claim))
            if re.search(pattern.replace(r"\{name\}", r"\w+"), text):
                return status
    return None


def test_what_follows_is_what_the_text_says_of_the_claim():
    checked = collections.Counter()
    for seed in range(1500):
        rng = random.Random(seed)
        text = beliefs.beliefs(World.fresh(rng), rng)
        for claim, answer in re.findall(r"Does it follow that (.*?)\? ⟦(.*?)⟧", text):
            status = status_in(text, claim)
            if status is not None:
                said = answer.lower() if answer in ("Yes", "No") else "open"
                assert said == status, text
                checked[status] += 1
    assert all(checked[status] > 10 for status in FRAMES), checked


def test_every_answer_is_frequent():
    answers = collections.Counter()
    for seed in range(1500):
        rng = random.Random(seed)
        text = beliefs.beliefs(World.fresh(rng), rng)
        answers.update(re.findall(r"⟦(.*?)⟧", text))
    assert answers["Yes"] > 0.4 * (answers["Yes"] + answers["No"])
    assert answers["No"] > 0.4 * (answers["Yes"] + answers["No"])
    assert all(answers[sentence(unknown)] > 20 for unknown in UNKNOWN)
    assert all(answers[label] > 20 for label in ("true", "false", "open"))


def test_another_value_than_the_certain_one_is_denied():
    topic = TOPIC_OF["home"]
    certain = Fact(topic.relation, "Ida", "Arden")
    told = [("certain", certain), ("open", Fact(topic.relation, "Ben", "Brook"))]
    answers = collections.Counter()
    for seed in range(600):
        text = beliefs._conclusion(topic, told, ["Eve"], random.Random(seed))
        if "Ida" in text and "Somebody" not in text:
            (town,) = {"Arden", "Brook"} & set(re.findall(r"\w+", text))
            (answer,) = re.findall(r"⟦(.*?)⟧", text)
            assert answer == ("Yes" if town == "Arden" else "No"), text
            answers[answer] += 1
    assert min(answers["Yes"], answers["No"]) > 20
