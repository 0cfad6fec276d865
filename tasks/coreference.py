"""Coreference: who or what is meant?"""

from flan_jax.data.sandbox import PEOPLE, THINGS, TOWNS, Sandbox
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template


def _winogrande_fields(row):
    before, _, after = row["sentence"].partition("_")
    endings = tuple(option + after for option in (row["option1"], row["option2"]))
    return {"context": before.strip(), "endings": endings, "answer": endings[row["label"]]}


_ABOUT_PEOPLE = (
    ("{a} gave {b} the {thing} because _ {word} it.", "did not need", "asked for"),
    ("{a} ran faster than {b} on the way to {town}, so _ was the {word} one there.", "first", "last"),
    ("{a} followed {b} to {town} because _ {word} the way.", "did not know", "could show"),
    ("{a} carries more than {b} on the road to {town} because _ is very {word}.", "strong", "weak"),
    ("{a} learned from {b} how to make a {thing}, so _ was a good {word}.", "pupil", "teacher"),
)
"""A sentence about {a} and {b}, the word that makes the blank mean {a}, the word that makes it mean {b}."""

_ABOUT_THINGS = (
    ("The {a} did not fit behind the {b} because the _ was too {word}.", "big", "small"),
    ("{person} put the {a} on top of the {b}, so the _ was {word} the other.", "above", "below"),
    ("In {town} the {a} costs more than the {b} because the _ is {word}.", "better", "worse"),
)


def _winogrande_practice(world, rng):
    people = rng.random() < 0.6
    names = rng.sample(PEOPLE if people else THINGS, 2)
    pattern, *words = rng.choice(_ABOUT_PEOPLE if people else _ABOUT_THINGS)
    meant = rng.randrange(2)
    fillers = {"thing": rng.choice(THINGS), "town": rng.choice(TOWNS), "person": rng.choice(PEOPLE)}
    sentence = pattern.format(a=names[0], b=names[1], word=words[meant].format(**fillers), **fillers)
    options = rng.sample(names, 2)
    return {
        "sentence": sentence,
        "option1": options[0],
        "option2": options[1],
        "label": options.index(names[meant]),
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
