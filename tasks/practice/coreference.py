"""Practice rows of the coreference tasks: sentences with a blank or an ambiguous pronoun.

Each pattern has two orders of the candidates, and both candidates are of one kind. So neither a
candidate's name, nor its place in the sentence, nor the words after the blank alone tell which is
meant.
"""

import re

from flan_jax.tasks.practice_world import sentence

_PEOPLE_COMPARED = (
    (
        (
            "{a} gave {b} the {thing} because _ {word} it.",
            "{b} got the {thing} from {a} because _ {word} it.",
        ),
        ("did not need", "had no use for"),
        ("asked for", "wanted to have"),
    ),
    (
        (
            "{a} ran faster than {b} on the way to {town}, so _ was {word}.",
            "{b} ran slower than {a} on the way to {town}, so _ was {word}.",
        ),
        ("there first", "the first to arrive"),
        ("there last", "the last to arrive"),
    ),
    (
        (
            "{a} followed {b} to {town} because _ {word} the way.",
            "{b} led {a} to {town} because _ {word} the way.",
        ),
        ("did not know", "had forgotten"),
        ("could show", "knew"),
    ),
    (
        (
            "{a} is older than {b}, so _ {word}.",
            "{b} is younger than {a}, so _ {word}.",
        ),
        ("was born first", "went to school first"),
        ("was born later", "went to school later"),
    ),
    (
        (
            "{a} cooks better than {b}, so _ {word}.",
            "{b} cooks worse than {a}, so _ {word}.",
        ),
        ("gives the lessons", "won the contest of cooks"),
        ("takes the lessons", "lost the contest of cooks"),
    ),
    (
        (
            "{a} spent more on {food} than {b} because _ had {word} guests.",
            "{b} spent less on {food} than {a} because _ had {word} guests.",
        ),
        ("many", "a lot of"),
        ("few", "hardly any"),
    ),
    (
        (
            "{a} earns more than {b} in {town}, so _ can spend {word}.",
            "{b} earns less than {a} in {town}, so _ can spend {word}.",
        ),
        ("a lot", "more"),
        ("little", "less"),
    ),
)
"""((sentence that begins with a, the same that begins with b), words by which the blank is a, words
by which it is b)."""

_THINGS_COMPARED = (
    (
        (
            "The {a} did not fit into the {b} because _ was too {word}.",
            "The {b} could not hold the {a} because _ was too {word}.",
        ),
        ("big", "wide"),
        ("small", "narrow"),
    ),
    (
        (
            "The {a} costs more than the {b}, so {person} thinks that _ is {word}.",
            "The {b} costs less than the {a}, so {person} thinks that _ is {word}.",
        ),
        ("too expensive", "of more value"),
        ("cheap", "of less value"),
    ),
    (
        (
            "{person} broke the {b} with the {a} because _ was so {word}.",
            "{person} hit the {a} against the {b}, which broke because _ was so {word}.",
        ),
        ("hard", "heavy"),
        ("thin", "fragile"),
    ),
    (
        (
            "The {a} was made before the {b}, so in {town} _ is called the {word} one.",
            "The {b} was made after the {a}, so in {town} _ is called the {word} one.",
        ),
        ("old", "earlier"),
        ("new", "later"),
    ),
)
"""The same about two things."""


def winogrande(world, rng):
    if rng.random() < 0.6:
        people, patterns = world.people, _PEOPLE_COMPARED
    else:
        people, patterns = None, _THINGS_COMPARED
    orders, *words = rng.choice(patterns)
    text, candidates, meant = _filled(world, rng, orders, words, people)
    options = rng.sample(candidates, 2)
    return {
        "sentence": text,
        "option1": options[0],
        "option2": options[1],
        "label": options.index(candidates[meant]),
    }


_TWO_PEOPLE = (
    (
        (
            "{a} thanked {b} in {town} because _ had {word}.",
            "{b} was thanked by {a} in {town} because _ had {word}.",
        ),
        ("received help", "got a present"),
        ("been so kind", "given help"),
    ),
    (
        (
            "{a} asked {b} about the {thing}, but _ {word}.",
            "{b} was asked about the {thing} by {a}, but _ {word}.",
        ),
        ("got no answer", "learned nothing"),
        ("did not answer", "kept silent"),
    ),
    (
        (
            "{a} gave {b} lessons in {town} because _ {word}.",
            "{b} took lessons from {a} in {town} because _ {word}.",
        ),
        ("was a good teacher", "knew so much"),
        ("was a beginner", "had much to learn"),
    ),
    (
        (
            "{a} could not carry {b} as far as {town} because _ was too {word}.",
            "{b} could not be carried by {a} as far as {town} because _ was too {word}.",
        ),
        ("weak", "small and thin"),
        ("heavy", "big"),
    ),
    (
        (
            "{a} sold {b} the {thing} because _ {word}.",
            "{b} bought the {thing} from {a} because _ {word}.",
        ),
        ("needed money", "wanted to get rid of it"),
        ("needed one", "wanted to own one"),
    ),
    (
        (
            "{a} waited for {b} at the station of {town} because _ was {word}.",
            "{b} made {a} wait at the station of {town} because _ was {word}.",
        ),
        ("early", "there too soon"),
        ("late", "delayed"),
    ),
    (
        (
            "{a} hid the {thing} from {b}, but _ {word}.",
            "{b} did not see where {a} hid the {thing}, but _ {word}.",
        ),
        ("gave it back in the end", "told where it was"),
        ("found it", "discovered where it was"),
    ),
    (
        (
            "{a} lent {b} the {thing} for a day, and then _ {word}.",
            "{b} borrowed the {thing} from {a} for a day, and then _ {word}.",
        ),
        ("asked for it", "got it back"),
        ("returned it", "brought it back"),
    ),
    (
        (
            "{a} beat {b} in the race to {town}, and _ was {word}.",
            "{b} lost the race to {town} against {a}, and _ was {word}.",
        ),
        ("proud", "the winner"),
        ("sad", "the loser"),
    ),
    (
        (
            "{a} paid {b} for the {thing}, and _ {word}.",
            "{b} got money from {a} for the {thing}, and _ {word}.",
        ),
        ("took it home", "went off with it"),
        ("counted the money", "put the coins away"),
    ),
)
"""As above, about two women or two men."""

_TWO_THINGS = (
    (
        (
            "Nobody sees the {a} under the {b} because _ is too {word}.",
            "The {b} hides the {a} because _ is too {word}.",
        ),
        ("small", "flat"),
        ("big", "wide"),
    ),
    (
        (
            "{person} chose the {a} over the {b} because _ was {word}.",
            "{person} left the {b} and took the {a} because _ was {word}.",
        ),
        ("cheaper", "prettier"),
        ("uglier", "more expensive"),
    ),
    (
        (
            "{person} cleaned the {a} before the {b} because _ was {word}.",
            "{person} cleaned the {b} after the {a} because _ was {word}.",
        ),
        ("dirtier", "needed first"),
        ("cleaner", "needed later"),
    ),
    (
        (
            "The {a} stood on top of the {b} in {town}, so _ was {word}.",
            "The {b} stood right under the {a} in {town}, so _ was {word}.",
        ),
        ("at the top", "higher up"),
        ("at the bottom", "lower down"),
    ),
    (
        (
            "The {a} stands behind the {b}, so _ is {word}.",
            "The {b} stands in front of the {a}, so _ is {word}.",
        ),
        ("hard to see", "half hidden"),
        ("easy to see", "in the way"),
    ),
    (
        (
            "{person} gave away the {a} but kept the {b} because _ was {word}.",
            "{person} kept the {b} but gave away the {a} because _ was {word}.",
        ),
        ("of no use", "no longer needed"),
        ("too useful", "still needed"),
    ),
    (
        (
            "{person} replaced the {a} with the {b} because _ was {word}.",
            "{person} put the {b} in the place of the {a} because _ was {word}.",
        ),
        ("broken", "worn out"),
        ("brand new", "of better quality"),
    ),
)
"""The same about two things."""


def _filled(world, rng, orders, words, people):
    """Fills a pattern with words of the world.

    Args:
      world: the world.
      rng: the random numbers.
      orders: the two forms of a sentence.
      words: the words by which the first and the second candidate is meant.
      people: the people to draw the candidates from, or None for two things.

    Returns:
      The sentence with a blank, both candidates, and the index of the one that is meant.
    """
    meant = rng.randrange(2)
    if people:
        a, b = candidates = rng.sample(people, 2)
    else:
        a, b = rng.sample(world.things, 2)
        candidates = [f"the {a}", f"the {b}"]
    text = rng.choice(orders).format(
        a=a,
        b=b,
        town=rng.choice(world.towns),
        thing=rng.choice(world.things),
        food=rng.choice(world.foods),
        person=rng.choice(world.people),
        word=rng.choice(words[meant]),
    )
    return text, candidates, meant


def _ambiguous(world, rng):
    """Returns a sentence with a blank, the pronoun, both candidates, and the right one."""
    if rng.random() < 0.6:
        pronoun, people = rng.choice((("she", world.women), ("he", world.men)))
        orders, *words = rng.choice(_TWO_PEOPLE)
    else:
        pronoun, people = "it", None
        orders, *words = rng.choice(_TWO_THINGS)
    text, candidates, meant = _filled(world, rng, orders, words, people)
    return text, pronoun, candidates, meant


def _words_before(text, at):
    return len(text[:at].split())


def wsc(world, rng):
    text, pronoun, candidates, meant = _ambiguous(world, rng)
    asked = rng.randrange(2)
    # A whole word: "the pan" is not in "the pancake".
    name = re.search(rf"\b{candidates[asked]}\b", text, flags=re.IGNORECASE)
    return {
        "text": text.replace("_", pronoun),
        "span1_index": _words_before(text, name.start()),
        "span1_text": name.group(),
        "span2_index": _words_before(text, text.index("_")),
        "span2_text": pronoun,
        "idx": 0,
        "label": int(asked == meant),
    }


def wsc273(world, rng):
    text, pronoun, candidates, meant = _ambiguous(world, rng)
    start = text.index("_")
    options = rng.sample(candidates, 2)
    return {
        "text": text.replace("_", pronoun),
        "option1": sentence(options[0]),
        "option1_normalized": options[0],
        "option2": sentence(options[1]),
        "option2_normalized": options[1],
        "pronoun_start": start,
        "pronoun_end": start + len(pronoun),
        "pronoun_text": pronoun,
        "label": options.index(candidates[meant]),
        "idx": 0,
    }


def definite_pronoun_resolution(world, rng):
    text, pronoun, candidates, meant = _ambiguous(world, rng)
    order = rng.sample(range(2), 2)
    return {
        "sentence": text.replace("_", pronoun),
        "pronoun": pronoun,
        "candidates": [candidates[i] for i in order],
        "label": order.index(meant),
    }
