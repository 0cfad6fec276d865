"""Commonsense: which of the possible causes or effects makes sense?"""

from flan_jax.data.sandbox import PEOPLE, Sandbox
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template

_CAUSE_AND_EFFECT = (
    ("{s} dropped the bowl.", "The bowl broke."),
    ("{s} forgot to water the garden.", "The flowers dried out."),
    ("{s} lit the candle.", "The dark room became bright."),
    ("{s} ate too much cake.", "{s} had a stomach ache."),
    ("{s} missed the train.", "{s} had to wait at the station."),
    ("{s} left the book out in the rain.", "The pages got wet."),
    ("{s} worked all night.", "{s} was tired in the morning."),
    ("{s} fed the hungry dog.", "The dog stopped barking."),
    ("{s} lost the key.", "{s} could not open the door."),
    ("{s} baked the bread for too long.", "The bread burned."),
    ("{s} put too much salt into the soup.", "The soup tasted bad."),
    ("{s} practiced every song.", "{s} sang well at the concert."),
    ("{s} washed the shirt.", "The shirt was clean again."),
    ("{s} sharpened the knife.", "The knife cut very well."),
    ("{s} sat down on the old chair.", "The chair fell apart."),
    ("{s} told a funny story.", "The children laughed."),
    ("{s} wore no coat in the snow.", "{s} caught a cold."),
    ("{s} finished reading the novel.", "{s} took the novel back to the library."),
    ("{s} put the ice in the sun.", "The ice melted."),
    ("{s} opened the cage of the parrot.", "The parrot flew away."),
    ("{s} studied hard for the test.", "{s} got a good grade."),
    ("{s} planted an apple tree.", "Apples grew in the garden."),
    ("{s} knocked over the bottle.", "Wine ran over the table."),
    ("{s} drove too fast.", "The police stopped the car."),
    ("{s} kicked a ball at the mirror.", "The mirror cracked."),
    ("{s} won the race.", "{s} received a silver cup."),
    ("{s} painted the door.", "The door had a new color."),
    ("{s} sold wool at the market.", "{s} came home with money."),
)


def _copa_fields(row):
    premise = row["premise"].strip()
    choices = (row["choice1"].strip(), row["choice2"].strip())
    return {
        "premise": premise,
        "question": row["question"],
        "opening": premise.rstrip(".") + (" because" if row["question"] == "cause" else ", so"),
        "choices": choices,
        "answer": choices[row["label"]],
    }


def _copa_practice(world, rng):
    subject = rng.choice(PEOPLE)
    right, wrong = rng.sample(_CAUSE_AND_EFFECT, 2)
    question = rng.choice(("cause", "effect"))
    cause, effect = (text.format(s=subject) for text in right)
    premise, answer = (effect, cause) if question == "cause" else (cause, effect)
    choices = [answer, wrong[question == "effect"].format(s=subject)]
    label = rng.randrange(2)
    return {
        "premise": premise,
        "choice1": choices[label],
        "choice2": choices[1 - label],
        "question": question,
        "label": label,
        "idx": 0,
    }


COPA = register(
    TemplatedTask(
        name="copa",
        cluster="commonsense",
        source=Tfds("super_glue/copa:1.0.2", train="train[:-50]", validation="train[-50:]", test="validation"),
        sandbox=Sandbox(_copa_practice, train=1500, validation=50),
        fields=_copa_fields,
        options="choices",
        templates=(
            Template("{premise}\n\nWhat was the {question} of this?\n\n{options}"),
            Template("Finish the sentence in the way that makes more sense.\n\n{opening} ...\n\n{options}"),
            Template(
                "Somebody remarks: {premise} You try to guess the {question}. Which of these do you say?\n{options}"
            ),
            Template("{options}\nWhich of the two is the more plausible {question} of the following? {premise}"),
            Template("From a detective's notebook.\nKnown: {premise}\nWanted: the {question}\n{options}"),
            Template(
                "Here is one half of a very short story. {premise} The other half tells the {question}. "
                "Which sentence is it?\n{options}"
            ),
            Template(
                "Use common sense. One option is a believable {question} of what happens here, the other is not.\n"
                "{premise}\n{options}"
            ),
            Template('A child hears "{premise}" and wants to know the {question}. What do you reply?\n{options}'),
            Template(
                "{answer}\nThis is the {question} of some event. Describe the event in one sentence.",
                "{premise}",
                turned_around=True,
            ),
            Template(
                "Write two sentences about everyday life. The second one should be the {question} of the first.",
                "{premise} {answer}",
                turned_around=True,
            ),
        ),
    )
)
