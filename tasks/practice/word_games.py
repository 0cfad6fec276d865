"""Word games: which word stands there twice, and is a word among others?

Whether a statement agrees with a text is hard to learn from "yes" and "no" alone: a small model that
read no word games stayed at chance there for thousands of steps. To find a word again is a part of
it, and an answer that is a word of the text teaches it step by step.
"""

import itertools

from flan_jax.tasks.practice_world import sentence

_LABELS = (("Yes", "No"), ("True", "False"), ("Right", "Wrong"))


def word_game(world, rng):
    """A list of words, and something that its reader can say."""
    kinds = (
        world.people, world.towns, world.things, world.pets, world.foods, world.jobs, world.colors,
        world.products, world.countries, world.places_in_town, world.sports, world.drinks,
        world.months, world.materials, world.numbers,
    )  # fmt: skip
    drawn = rng.sample(kinds, rng.randint(2, 4))
    words = sorted(set(itertools.chain.from_iterable(drawn)))
    game = rng.choice((_twice, _twice, _is_any_twice, _same, _same, _among, _among))
    return game(words, rng)


def _listed(words, rng):
    return rng.choice((", ", " and ", "; ")).join(words)


def _twice(words, rng):
    """The word that a list has twice."""
    drawn = rng.sample(words, rng.randint(2, 5))
    twice = rng.choice(drawn)
    listed = _listed(rng.sample([*drawn, twice], len(drawn) + 1), rng)
    frames = (
        f"{sentence(listed)}. Which word is there twice? {sentence(twice)}.",
        f"{sentence(listed)}: one word comes twice. It is {twice}.",
        f"In the list {listed} one word is there two times, {twice}.",
        f"Find the word that I say twice: {listed}. It was {twice}.",
    )
    return rng.choice(frames)


def _is_any_twice(words, rng):
    """Whether a list has a word twice."""
    drawn = rng.sample(words, rng.randint(2, 5))
    is_twice = rng.random() < 0.5
    if is_twice:
        drawn[0] = drawn[-1]
    listed = _listed(rng.sample(drawn, len(drawn)), rng)
    answer = _LABELS[0][not is_twice]
    frames = (
        f"{sentence(listed)}. Is one of the words there twice? {answer}.",
        f"{sentence(listed)}. Does a word come two times? {answer}.",
    )
    return rng.choice(frames)


def _same(words, rng):
    """Whether two words are one."""
    one, other = rng.sample(words, 2)
    is_same = rng.random() < 0.5
    if is_same:
        other = one
    yes_or_no = _LABELS[0][not is_same]
    label = rng.choice(_LABELS)[not is_same]
    frames = (
        f"{sentence(one)} and {other}: is that the same word? {yes_or_no}.",
        f"Did you say {one}? What I said was {other}. So the answer is {yes_or_no.lower()}.",
        f"I wrote {one}. You wrote {other}. We wrote the same word. {label}.",
        f"First word: {one}. Second word: {other}. Are they the same? {yes_or_no}.",
    )
    return rng.choice(frames)


def _among(words, rng):
    """Whether a word is in a list."""
    drawn = rng.sample(words, rng.randint(2, 6))
    word, *listed_words = drawn
    is_among = rng.random() < 0.5
    if is_among:
        word = rng.choice(listed_words)
    listed = _listed(listed_words, rng)
    yes_or_no = _LABELS[0][not is_among]
    label = rng.choice(_LABELS)[not is_among]
    frames = (
        f"{sentence(listed)}. Is {word} among them? {yes_or_no}.",
        f"{sentence(listed)}. Somebody says that {word} is in the list. That is {label.lower()}.",
        f"My list: {listed}. Your word: {word}. Your word is in my list. {label}.",
        f"{sentence(word)}: can you find it here? {sentence(listed)}. {yes_or_no}.",
    )
    return rng.choice(frames)
