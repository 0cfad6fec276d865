"""Claims in plain text that are certain, denied or open, and what follows from them."""

import collections
import random
import re

from flan_jax.tasks.practice_world import World, sentence
from tasks.practice import beliefs
from tasks.practice.wordings import UNKNOWN

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
    checked = 0
    for seed in range(4000):
        rng = random.Random(seed)
        text = beliefs.beliefs(World.fresh(rng), rng)
        home = re.search(
            r"(?:It is a fact|It is certain|It came to light) "
            r"that (\w+) (?:lives in|comes from|has a house in) (\w+)\.",
            text,
        )
        if home:
            for town, answer in re.findall(
                rf"[Dd]oes {home[1]} (?:live in|come from) (\w+)\? ⟦(.*?)⟧", text
            ):
                assert answer == ("Yes" if town == home[2] else "No"), text
                checked += 1
    assert checked > 3
