"""Sentiment: does the writer like what they write about?"""

from flan_jax.data.sandbox import FOODS, PLACES_IN_TOWN, Sandbox
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template

_PRAISE = (
    "wonderful", "excellent", "delightful", "superb", "lovely", "charming",
    "splendid", "great", "pleasant", "perfect", "fine", "marvelous",
)  # fmt: skip
_BLAME = (
    "awful", "terrible", "dreadful", "boring", "disappointing", "poor",
    "horrible", "dull", "bad", "miserable", "worthless", "unpleasant",
)  # fmt: skip
_REMARKS = (
    "the {product} of {town} is {first} ",
    "we had {first} {food} at the {place} in {town} ",
    "everything about the {place} of {town} was {first} . ",
    "the {place} in {town} is {first} , and its {product} is {second} . ",
    "what {first} {food} they serve in {town} ! ",
    "{first} {food} and {second} {product} ",
    "if you go to {town} , you will find the {place} {first} . ",
)


def _sst2_fields(row):
    return {"sentence": row["sentence"].strip(), "answer": ("negative", "positive")[row["label"]]}


def _sst2_practice(world, rng):
    label = rng.randrange(2)
    first, second = rng.sample((_BLAME, _PRAISE)[label], 2)
    fact = world.fact(rng, ("product",))
    sentence = rng.choice(_REMARKS).format(
        first=first,
        second=second,
        food=rng.choice(FOODS),
        place=rng.choice(PLACES_IN_TOWN),
        product=fact.value,
        town=fact.subject.lower(),
    )
    return {"sentence": sentence, "label": label, "idx": 0}


SST2 = register(
    TemplatedTask(
        name="sst2",
        cluster="sentiment",
        source=Tfds("glue/sst2:2.0.0", train="train[:-200]", validation="train[-200:]", test="validation"),
        sandbox=Sandbox(_sst2_practice, train=2000),
        fields=_sst2_fields,
        options=("negative", "positive"),
        templates=(
            Template("{sentence}\n\nIs the tone of this review snippet negative or positive?\n\n{options}"),
            Template("A critic published this line:\n{sentence}\nWhat did the critic think of the work?\n{options}"),
            Template("Label the text with its sentiment.\n\nText: {sentence}\n\n{options}"),
            Template(
                "{options}\nOne of these words describes the mood of the comment that follows. Which?\n{sentence}"
            ),
            Template(
                "After an evening out, a friend sends you a message. How would you sum up what your friend feels?\n"
                "{sentence}\n{options}"
            ),
            Template(
                'We keep two folders of comments from the audience, "positive" and "negative". Where does this one '
                "go?\n\n{sentence}"
            ),
            Template(
                "Imagine that what is being reviewed here is your own work.\n{sentence}\nWhat kind of feedback did "
                "you get?\n{options}"
            ),
            Template("{sentence}\nReading between the lines, the writer's attitude is\n{options}"),
            Template(
                "Write a short phrase, as it might appear in a film review, that passes a {answer} judgment.",
                "{sentence}",
                turned_around=True,
            ),
            Template(
                "Sentiment: {answer}\nA matching remark from somebody in the audience:",
                "{sentence}",
                turned_around=True,
            ),
        ),
    )
)
