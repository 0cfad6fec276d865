"""Claims in plain text that are certain, denied or open, and what follows from them."""

import collections
import random
import re

from flan_jax.tasks.practice_world import World
from tasks.practice import beliefs

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
        answers.update(re.findall(r"⟦(Yes|No|We do not know|Maybe)⟧", text))
    assert min(answers["Yes"], answers["No"]) > 0.35 * (answers["Yes"] + answers["No"])
    assert answers["Maybe"] > 30
