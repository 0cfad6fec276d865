"""Word games: which word stands there twice, and is a word among others?

Whether a statement agrees with a text is hard to learn from "yes" and "no" alone: a small model that
read no word games stayed at chance there for thousands of steps. To find a word again is a part of
it, and an answer that is a word of the text teaches it step by step.
"""

import itertools

from flan_jax.tasks.practice_world import sentence
from tasks.practice.gaps import gap

_LABELS = (("Yes", "No"), ("True", "False"), ("Right", "Wrong"))


def word_game(world, rng):
    """A list of words, and something that its reader can say."""
    if rng.random() < 0.6:
        return _pairs(world, rng, judged=0.4)
    drawn = rng.sample(_kinds(world), rng.randint(2, 4))
    words = sorted(set(itertools.chain.from_iterable(drawn)))
    game = rng.choice((_twice, _is_any_twice, _same, _same, _among, _among))
    return game(words, rng)


def _kinds(world):
    """Returns the words of a world, by kind."""
    return (
        world.people, world.towns, world.things, world.pets, world.foods, world.jobs, world.colors,
        world.products, world.countries, world.places_in_town, world.sports, world.drinks,
        world.months, world.materials, world.numbers,
    )  # fmt: skip


def list_again(world, rng):
    """A list of words or of pairs of words, and the same words or pairs again.

    Who writes it again finds word after word in the list. All words that are to be written need the
    list, so a model from random parameters learns from it to look words up.
    """
    words = sorted(set(itertools.chain.from_iterable(_kinds(world))))
    joiner = rng.choice((", ", "; ", ". ", " "))
    kind = rng.random()
    if kind < 0.6:
        drawn = rng.sample(words, rng.randint(3, 10))
        listed = joiner.join(drawn)
        if kind < 0.3:
            return f"{listed}. Again: {gap(f'{listed}.')}"
        start = rng.randrange(len(drawn))
        turned = joiner.join(drawn[start:] + drawn[:start])
        return f"{listed}. From {drawn[start]}: {gap(f'{turned}.')}"
    count = rng.randint(2, 5)
    drawn = rng.sample(words, 2 * count)
    say = rng.choice(("{key} {value}", "{key} {value}", *_SAY_PAIR))
    said = [
        say.format(key=key, value=value)
        for key, value in zip(drawn[:count], drawn[count:], strict=True)
    ]
    if joiner == " ":
        joiner = ", "
    listed = joiner.join(said)
    shuffled = joiner.join(in_another_order(said, rng))
    return f"{listed}. In another order: {gap(f'{shuffled}.')}"


def in_another_order(items, rng):
    """Returns different items, at least two, in an order that is not theirs."""
    shuffled = rng.sample(items, len(items))
    while shuffled == list(items):
        shuffled = rng.sample(items, len(items))
    return shuffled


_SAY_PAIR = (
    "{key}: {value}",
    "{key} has {value}",
    "{key} is for {value}",
    "{key} goes with {value}",
    "{value} belongs to {key}",
    "{key} = {value}",
    "for {key} write {value}",
    "next to {key} stands {value}",
)
_ASK_PAIR = (
    "{key}: {value}",
    "What goes with {key}? {value}",
    "{key} and {value}",
    "Now {key}: {value}",
    "Which word belongs to {key}? It is {value}",
)
_ASK_LINE = (
    "What is said of {key}? {line}",
    "Which pair has {key}? {line}",
    "The pair with {key}: {line}",
)


def find_in_pairs(world, rng):
    """Words that belong together, and for some of them the other word; none is to be judged."""
    return _pairs(world, rng, judged=0.0)


def _pairs(world, rng, judged):
    """Words that belong together, and for some of them, in any order, the other word.

    Args:
      world: the world of the words.
      rng: the random numbers.
      judged: the share of questions whether a word is the other one.
    """
    keys, values = rng.sample(_kinds(world), 2)
    # Some words are of two kinds: gold is a color and a material.
    values = [value for value in values if value not in keys]
    count = min(rng.choice((2, 2, 3, 3, 4, 5)), len(keys), len(values))
    pairs = list(zip(rng.sample(keys, count), rng.sample(values, count), strict=True))
    say = rng.choice(_SAY_PAIR)
    said = [say.format(key=key, value=value) for key, value in pairs]
    text = sentence(rng.choice((", ", "; ", ". ")).join(said))
    asked = [rng.choice(pairs) for _ in range(rng.randint(1, count))]
    ask = rng.choice(_ASK_PAIR)
    answers = []
    for key, value in asked:
        if rng.random() < 0.25:
            key, value = value, key
        if rng.random() < judged:
            answers.append(_is_pair(key, value, pairs, rng))
        elif rng.random() < 0.33:
            (line,) = [
                line for line, pair in zip(said, pairs, strict=True) if key in pair
            ]
            answers.append(rng.choice(_ASK_LINE).format(key=key, line=gap(line)))
        else:
            answers.append(sentence(ask.format(key=key, value=gap(value))))
    return f"{text}. {'. '.join(answers)}."


def _is_pair(key, value, pairs, rng):
    """Whether a word belongs to another, or rather to a third one."""
    side = 0 if any(value == pair[0] for pair in pairs) else 1
    others = [pair[side] for pair in pairs if pair[side] != value]
    is_pair = rng.random() < 0.5
    said = value if is_pair else rng.choice(others)
    yes_or_no = gap(_LABELS[0][not is_pair])
    label = gap(rng.choice(("right", "true") if is_pair else ("wrong", "false")))
    right = gap(value)
    frames = (
        f"Does {said} go with {key}? {yes_or_no}",
        f"{sentence(key)} and {said}, do they belong together? {yes_or_no}",
        f"Somebody says that {said} belongs to {key}. That is {label}",
        f"{sentence(key)} with {said}: {label}",
        f"Does {said} go with {key}? {yes_or_no}, {right}",
        f"{sentence(key)} with {said}: {label}, {right}",
        f"Is {said} the word for {key}? The word is {right}, so {yes_or_no.lower()}",
        f"Somebody says that {said} belongs to {key}. It should be {right}. That is {label}",
    )
    return rng.choice(frames)


def _listed(words, rng):
    return rng.choice((", ", " and ", "; ")).join(words)


def _twice(words, rng):
    """The word that a list has twice."""
    drawn = rng.sample(words, rng.randint(2, 5))
    twice = rng.choice(drawn)
    listed = _listed(rng.sample([*drawn, twice], len(drawn) + 1), rng)
    frames = (
        f"{sentence(listed)}. Which word is there twice? {gap(sentence(twice))}.",
        f"{sentence(listed)}: one word comes twice. It is {gap(twice)}.",
        f"In the list {listed} one word is there two times, {gap(twice)}.",
        f"Find the word that I say twice: {listed}. It was {gap(twice)}.",
    )
    return rng.choice(frames)


def _is_any_twice(words, rng):
    """Whether a list has a word twice."""
    drawn = rng.sample(words, rng.randint(2, 5))
    is_twice = rng.random() < 0.5
    if is_twice:
        drawn[0] = drawn[-1]
    listed = _listed(rng.sample(drawn, len(drawn)), rng)
    answer = gap(_LABELS[0][not is_twice])
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
    yes_or_no = gap(_LABELS[0][not is_same])
    short = gap(_LABELS[0][not is_same].lower())
    label = gap(rng.choice(_LABELS)[not is_same])
    frames = (
        f"{sentence(one)} and {other}: is that the same word? {yes_or_no}.",
        f"Did you say {one}? What I said was {other}. So the answer is {short}.",
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
    yes_or_no = gap(_LABELS[0][not is_among])
    label = gap(rng.choice(_LABELS)[not is_among])
    short = gap(rng.choice(("true", "right") if is_among else ("false", "wrong")))
    frames = (
        f"{sentence(listed)}. Is {word} among them? {yes_or_no}.",
        f"{sentence(listed)}. Somebody says that {word} is in the list. That is {short}.",
        f"My list: {listed}. Your word: {word}. Your word is in my list. {label}.",
        f"{sentence(word)}: can you find it here? {sentence(listed)}. {yes_or_no}.",
    )
    return rng.choice(frames)
