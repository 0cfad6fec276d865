"""Practice rows of the coreference tasks: sentences with a blank or an ambiguous pronoun."""

from flan_jax.tasks.practice_world import sentence

_WHO_OR_WHAT = (
    (
        "{person} carried the {thing} to {town} until _ was {word}.",
        ("tired", "hungry"),
        ("broken", "lost"),
    ),
    (
        "{person} took the {thing} home from {town} because _ was {word}.",
        ("sure to need it", "afraid of thieves"),
        ("in need of repair", "broken"),
    ),
    (
        "{person} washed the {thing} in {town} when _ was {word}.",
        ("bored", "alone"),
        ("dirty", "dusty"),
    ),
    (
        "{person} forgot the {thing} in {town} because _ was {word}.",
        ("in a hurry", "tired"),
        ("out of sight", "hard to see"),
    ),
    (
        "{person} bought the {thing} in {town} as _ was {word}.",
        ("rich", "in need of one"),
        ("cheap", "on sale"),
    ),
    (
        "{person} looked for the {thing} all over {town} until _ was {word}.",
        ("hungry", "worn out"),
        ("found", "back in its place"),
    ),
)
"""(sentence, words by which the blank is the person, words by which it is the thing)."""

_WHICH_PERSON = (
    (
        "{person} gave {other} the {thing} because _ {word} it.",
        ("did not need",),
        ("asked for",),
    ),
    (
        "{person} ran faster than {other} on the way to {town}, so _ was the {word} one there.",
        ("first",),
        ("last",),
    ),
    (
        "{person} followed {other} to {town} because _ {word} the way.",
        ("did not know",),
        ("could show",),
    ),
)
"""The same with two people: the first list means the first of them."""


def winogrande(world, rng):
    """Draws a sentence about a person and a thing, or at times about two people."""
    person, other = rng.sample(world.people, 2)
    thing, town = rng.choice(world.things), rng.choice(world.towns)
    pattern, *words = rng.choice(_WHICH_PERSON if rng.random() < 0.2 else _WHO_OR_WHAT)
    meant = rng.randrange(2)
    candidates = (person, other if "{other}" in pattern else f"the {thing}")
    options = rng.sample(candidates, 2)
    return {
        "sentence": pattern.format(
            person=person,
            other=other,
            thing=thing,
            town=town,
            word=rng.choice(words[meant]),
        ),
        "option1": options[0],
        "option2": options[1],
        "label": options.index(candidates[meant]),
    }


_TWO_PEOPLE = (
    (
        "{a} thanked {b} in {town} because _ had {word}.",
        ("received help", "got a present"),
        ("been so kind", "helped"),
    ),
    (
        "{a} asked {b} about the {thing}, but _ {word}.",
        ("got no answer",),
        ("did not answer", "kept silent"),
    ),
    (
        "{a} gave {b} lessons in {town} because _ {word}.",
        ("was a good teacher", "knew so much"),
        ("was a beginner", "had much to learn"),
    ),
    (
        "{a} could not carry {b} as far as {town} because _ was too {word}.",
        ("weak", "small and thin"),
        ("heavy", "big"),
    ),
    (
        "{a} sold {b} the {thing} because _ {word}.",
        ("needed money", "wanted to get rid of it"),
        ("needed one", "offered a good price"),
    ),
    (
        "{a} waited for {b} at the station of {town} because _ was {word}.",
        ("early",),
        ("late", "delayed"),
    ),
    (
        "{a} hid the {thing} from {b}, but _ {word}.",
        ("gave it back in the end", "told where it was"),
        ("found it", "discovered where it was"),
    ),
    (
        "{a} lent {b} the {thing} for a day, and then _ {word}.",
        ("asked for it", "got it back"),
        ("returned it", "brought it back"),
    ),
    (
        "{a} beat {b} in the race to {town}, and _ was {word}.",
        ("proud", "the winner"),
        ("sad", "the loser"),
    ),
    (
        "{a} paid {b} for the {thing}, and _ {word}.",
        ("took it home", "went off with it"),
        ("counted the money",),
    ),
)
"""As above, about two women or two men: the first list means the first of them."""

_TWO_THINGS = (
    (
        "Nobody sees the {a} under the {b} because _ is too {word}.",
        ("small", "flat"),
        ("big", "wide"),
    ),
    (
        "{person} chose the {a} over the {b} because _ was {word}.",
        ("cheaper", "prettier"),
        ("uglier", "more expensive"),
    ),
    (
        "{person} cleaned the {a} before the {b} because _ was {word}.",
        ("dirtier", "needed first"),
        ("needed later", "needed last"),
    ),
    (
        "The {a} stood on top of the {b} in {town}, so _ was {word}.",
        ("at the top",),
        ("at the bottom", "underneath"),
    ),
    (
        "The {a} stands behind the {b}, so _ is {word}.",
        ("hard to see", "half hidden"),
        ("easy to see", "in the way"),
    ),
    (
        "{person} gave away the {a} but kept the {b} because _ was {word}.",
        ("of no use", "no longer needed"),
        ("too useful", "still needed"),
    ),
    (
        "{person} replaced the {a} with the {b} because _ was {word}.",
        ("broken", "worn out"),
        ("brand new", "of better quality"),
    ),
)
"""The same about two things."""


def _ambiguous(world, rng):
    """Returns a sentence with a blank, the pronoun, both candidates, and the right one."""
    town, thing = rng.choice(world.towns), rng.choice(world.things)
    meant = rng.randrange(2)
    if rng.random() < 0.6:
        pronoun, people = rng.choice((("she", world.women), ("he", world.men)))
        a, b = candidates = rng.sample(people, 2)
        pattern, *words = rng.choice(_TWO_PEOPLE)
    else:
        pronoun = "it"
        a, b = rng.sample(world.things, 2)
        candidates = [f"the {a}", f"the {b}"]
        pattern, *words = rng.choice(_TWO_THINGS)
    word = rng.choice(words[meant])
    text = pattern.format(
        a=a, b=b, town=town, thing=thing, person=rng.choice(world.people), word=word
    )
    return text, pronoun, candidates, meant


def wsc(world, rng):
    text, pronoun, candidates, meant = _ambiguous(world, rng)
    asked = rng.randrange(2)
    name = candidates[asked]
    if text.startswith(sentence(name)):
        name = sentence(name)
    return {
        "text": text.replace("_", pronoun),
        "span1_index": len(text[: text.index(name)].split()),
        "span1_text": name,
        "span2_index": len(text[: text.index("_")].split()),
        "span2_text": pronoun,
        "idx": 0,
        "label": int(asked == meant),
    }


def wsc273(world, rng):
    text, pronoun, candidates, meant = _ambiguous(world, rng)
    start = text.index("_")
    return {
        "text": text.replace("_", pronoun),
        "option1": sentence(candidates[0]),
        "option1_normalized": candidates[0],
        "option2": sentence(candidates[1]),
        "option2_normalized": candidates[1],
        "pronoun_start": start,
        "pronoun_end": start + len(pronoun),
        "pronoun_text": pronoun,
        "label": meant,
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
