"""Coreference: who or what is meant?"""

from flan_jax.data.sandbox import PEOPLE, THINGS, TOWNS, Sandbox
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template


def _winogrande_fields(row):
    before, _, after = row["sentence"].partition("_")
    endings = tuple(option + after for option in (row["option1"], row["option2"]))
    return {"context": before.strip(), "endings": endings, "answer": endings[row["label"]]}


_WHO_OR_WHAT = (
    ("{person} carried the {thing} to {town} until _ was {word}.", ("tired", "hungry"), ("broken", "lost")),
    ("{person} took the {thing} home from {town} because _ was {word}.", ("bored", "late"), ("cheap", "heavy")),
    ("{person} washed the {thing} in {town} when _ was {word}.", ("awake", "alone"), ("dirty", "dusty")),
    (
        "{person} forgot the {thing} in {town} because _ was {word}.",
        ("in a hurry", "tired"),
        ("under a bag", "too small"),
    ),
    ("{person} bought the {thing} in {town} as _ was {word}.", ("rich", "in need of one"), ("cheap", "on sale")),
    (
        "{person} looked for the {thing} all over {town} until _ was {word}.",
        ("hungry", "ill"),
        ("found", "on the table"),
    ),
)
"""A sentence, the words that make the blank mean the person, the words that make it mean the thing."""

_WHICH_PERSON = (
    ("{person} gave {other} the {thing} because _ {word} it.", ("did not need",), ("asked for",)),
    ("{person} ran faster than {other} on the way to {town}, so _ was the {word} one there.", ("first",), ("last",)),
    ("{person} followed {other} to {town} because _ {word} the way.", ("did not know",), ("could show",)),
)
"""The same with two people: the first list means the first of them."""


def _winogrande_practice(world, rng):
    """Mostly a question of what can be said of people and of things, at times of who did what to whom."""
    person, other = rng.sample(PEOPLE, 2)
    thing, town = rng.choice(THINGS), rng.choice(TOWNS)
    pattern, *words = rng.choice(_WHICH_PERSON if rng.random() < 0.2 else _WHO_OR_WHAT)
    meant = rng.randrange(2)
    candidates = (person, other if "{other}" in pattern else f"the {thing}")
    options = rng.sample(candidates, 2)
    return {
        "sentence": pattern.format(person=person, other=other, thing=thing, town=town, word=rng.choice(words[meant])),
        "option1": options[0],
        "option2": options[1],
        "label": options.index(candidates[meant]),
    }


WINOGRANDE = register(
    TemplatedTask(
        name="winogrande",
        cluster="coreference",
        source=Tfds("winogrande:1.2.0", train="train_xl[:-200]", validation="train_xl[-200:]", test="validation"),
        sandbox=Sandbox(_winogrande_practice),
        fields=_winogrande_fields,
        options="endings",
        templates=(
            Template("{context}\n\nWhat comes next?\n\n{options}"),
            Template(
                "The end of this text has been cut off, and only one of the two pieces below belongs to it.\n"
                "{context}\n{options}"
            ),
            Template("Finish the story so that it makes sense: {context}"),
            Template("{options}\n\nOne of these endings fits the following words, the other does not.\n{context}"),
            Template('I am stuck after "{context}" and need the right words to go on with. Can you help?\n{options}'),
            Template(
                "Reading puzzle: who or what is spoken of?\n"
                "Start: {context}\nPick the end that matches the start.\n{options}"
            ),
            Template("{context}\nPlease go on from where I stopped."),
            Template(
                'Two pupils had to complete "{context}" and came up with different endings. '
                "Which ending did the teacher like better?\n{options}"
            ),
            Template("Use what you know about the world to complete the last sentence.\n\n{context}\n\n{options}"),
            Template("First half: {context}\n{options}\nSecond half:"),
        ),
    )
)
