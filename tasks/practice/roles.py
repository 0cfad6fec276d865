"""Who did what, and which is which: passages about two people or two things, and who is meant.

Each entry says the same from both sides, and then what is true of the one and of the other. Neither
a name nor its place tells who is meant, only what the sentence says.
"""

import dataclasses

from flan_jax.tasks.practice_world import clause, sentence
from tasks.practice.gaps import gap
from tasks.practice.wordings import TOPICS

_PEOPLE = (
    (
        "{a} is taller than {b}",
        "{b} is shorter than {a}",
        ("can reach the top shelf", "has to bend down in the tent"),
        ("cannot reach the top shelf", "needs a chair to see anything"),
    ),
    (
        "{a} taught {b} how to swim",
        "{b} learned from {a} how to swim",
        ("was the teacher", "could swim already"),
        ("was the pupil", "could not swim before"),
    ),
    (
        "{a} bought the {thing} from {b}",
        "{b} sold the {thing} to {a}",
        ("owns it now", "had to pay"),
        ("owned it before", "took the money"),
    ),
    (
        "{a} borrowed the {thing} from {b}",
        "{b} lent the {thing} to {a}",
        ("must give it back", "did not have one"),
        ("wants it back", "had one to lend"),
    ),
    (
        "{a} won against {b}",
        "{b} lost against {a}",
        ("got the prize", "was the stronger one"),
        ("got no prize", "was the weaker one"),
    ),
    (
        "{a} left earlier than {b}",
        "{b} left later than {a}",
        ("was home first", "did not see the end"),
        ("was home last", "stayed to the end"),
    ),
    (
        "{a} is the child of {b}",
        "{b} is a parent of {a}",
        ("is the younger of the two", "goes to school"),
        ("is the older of the two", "was born long before"),
    ),
    (
        "{a} helped {b} with the work",
        "{b} was helped by {a} with the work",
        ("was strong and kind", "gave a hand"),
        ("said thank you", "could not do it alone"),
    ),
    (
        "{a} wrote a letter to {b}",
        "{b} got a letter from {a}",
        ("put a stamp on it", "was the writer"),
        ("opened and read it", "was the reader"),
    ),
    (
        "{a} sings louder than {b}",
        "{b} sings more quietly than {a}",
        ("can be heard in the street", "wakes the neighbors"),
        ("can hardly be heard", "wakes nobody"),
    ),
    (
        "{a} has more money than {b}",
        "{b} has less money than {a}",
        ("is the richer one", "pays for both"),
        ("is the poorer one", "cannot pay"),
    ),
    (
        "{a} told {b} a secret",
        "{b} heard a secret from {a}",
        ("knew it first", "should have kept silent"),
        ("did not know it before", "was surprised to hear it"),
    ),
    (
        "{a} invited {b} to dinner",
        "{b} was invited to dinner by {a}",
        ("was the host", "cooked the meal"),
        ("was the guest", "brought flowers"),
    ),
    (
        "{a} chased {b} through {town}",
        "{b} ran away from {a} through {town}",
        ("ran behind", "was after the other"),
        ("ran in front", "wanted to escape"),
    ),
    (
        "{a} is a better driver than {b}",
        "{b} is a worse driver than {a}",
        ("should take the wheel", "has fewer accidents"),
        ("should not take the wheel", "has more accidents"),
    ),
    (
        "{a} woke {b} up",
        "{b} was woken up by {a}",
        ("was awake already", "made the noise"),
        ("was asleep", "would rather sleep on"),
    ),
)
"""(a's side, b's side, what is true of a, what is true of b)."""

_REASONS = (
    (
        "{a} apologized to {b} because",
        "{b} got an apology from {a} because",
        ("had been rude", "had made a mistake"),
        ("had reason to be angry", "had been hurt"),
    ),
    (
        "{a} hired {b} because",
        "{b} was hired by {a} because",
        ("had too much work", "was looking for help"),
        ("was looking for a job", "had applied for the job"),
    ),
    (
        "{a} visited {b} in the hospital because",
        "{b} was visited in the hospital by {a} because",
        ("was worried", "wanted to cheer up a friend"),
        ("was ill", "had had an accident"),
    ),
    (
        "{a} congratulated {b} because",
        "{b} was congratulated by {a} because",
        ("admired such success", "had heard of the success"),
        ("had passed the test", "had a birthday"),
    ),
    (
        "{a} rescued {b} because",
        "{b} was rescued by {a} because",
        ("could swim well", "was brave"),
        ("was drowning", "was in danger"),
    ),
    (
        "{a} scolded {b} because",
        "{b} was scolded by {a} because",
        ("had lost patience", "could stand it no longer"),
        ("had told a lie", "had broken a plate"),
    ),
    (
        "{a} fed {b} with a spoon because",
        "{b} was fed with a spoon by {a} because",
        ("was the nurse", "was a good parent"),
        ("was a baby", "was too ill to eat alone"),
    ),
    (
        "{a} took a picture of {b}, and",
        "{b} had a picture taken by {a}, and",
        ("held the camera", "pressed the button"),
        ("smiled into the camera", "stood still for it"),
    ),
    (
        "{a} pushed {b} on the swing, and",
        "{b} was pushed on the swing by {a}, and",
        ("got tired of pushing", "stood firmly on the ground"),
        ("flew through the air", "held on to the ropes"),
    ),
    (
        "{a} read a story to {b}, and",
        "{b} was read a story by {a}, and",
        ("turned the pages", "held the book"),
        ("fell asleep while listening", "just listened"),
    ),
    (
        "{a} drove {b} to {town}, and",
        "{b} was driven to {town} by {a}, and",
        ("kept both hands on the wheel", "stepped on the brakes"),
        ("sat in the back", "did not have to drive"),
    ),
    (
        "{a} painted the face of {b}, and",
        "{b} was painted by {a}, and",
        ("mixed the colors", "held the brush"),
        ("sat still for the picture", "was the model"),
    ),
)
"""The same; what is true follows the sentence as its reason or its end, with a pronoun."""

_THINGS = (
    (
        "{a} is heavier than {b}",
        "{b} is lighter than {a}",
        ("is hard to lift", "weighs more"),
        ("is easy to lift", "weighs less"),
    ),
    (
        "{a} hangs in front of {b}",
        "{b} hangs behind {a}",
        ("hides the other", "is nearer to us"),
        ("is hidden", "is farther from us"),
    ),
    (
        "{a} is older than {b}",
        "{b} is younger than {a}",
        ("was made first", "comes from an earlier time"),
        ("was made later", "comes from a later time"),
    ),
    (
        "{a} lies on {b}",
        "{b} lies below {a}",
        ("is above", "can be taken away first"),
        ("is beneath", "carries the other"),
    ),
    (
        "{a} is harder than {b}",
        "{b} is softer than {a}",
        ("can scratch the other", "keeps its form"),
        ("can be scratched by the other", "is easily bent"),
    ),
    (
        "{a} was dearer than {b}",
        "{b} cost less than {a}",
        ("had a high price", "costs a lot"),
        ("had a low price", "costs little"),
    ),
    (
        "{a} is cleaner than {b}",
        "{b} is dirtier than {a}",
        ("needs no washing", "shines"),
        ("needs washing", "is full of mud"),
    ),
    (
        "{a} is longer than {b}",
        "{b} is shorter than {a}",
        ("does not fit into the drawer", "reaches farther"),
        ("fits into the drawer", "does not reach as far"),
    ),
)
"""The same about two things."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two people or two things, and what is true of the one and of the other.

    Attributes:
      text: what is said of both; with a pronoun, also what is true of the one who is meant.
      pronoun: the pronoun in the text; None without one.
      meant: who or what is meant by the pronoun.
      other: the other one.
      true: something that is true of the one who is meant; with a pronoun, what the text says.
      true_of_other: something that is true of the other one.
    """

    text: str
    pronoun: str | None
    meant: str
    other: str
    true: str
    true_of_other: str


def draw_pair(world, rng):
    """Draws two people or two things."""
    table = rng.choices((_PEOPLE, _REASONS, _THINGS), (0.3, 0.35, 0.35))[0]
    if table is _THINGS:
        pronoun, names = "it", [f"the {thing}" for thing in world.things]
    else:
        pronoun, names = rng.choice((("she", world.women), ("he", world.men)))
    *sides, true_of_a, true_of_b = rng.choice(table)
    a, b = rng.sample(names, 2)
    thing, town = rng.choice(world.things), rng.choice(world.towns)
    said = sentence(rng.choice(sides).format(a=a, b=b, thing=thing, town=town))
    two = [(a, rng.choice(true_of_a)), (b, rng.choice(true_of_b))]
    (meant, true), (other, true_of_other) = rng.sample(two, 2)
    if table is _REASONS:
        text = f"{said} {pronoun} {true}."
    elif rng.random() < 0.5:
        text = f"{said}; {pronoun} {true}."
    else:
        text, pronoun = f"{said}.", None
    return Pair(text, pronoun, meant, other, true, true_of_other)


def roles(world, rng):
    """Returns a passage about two people or two things, and who or which is meant."""
    pair = draw_pair(world, rng)
    if pair.pronoun is not None:
        return f"{pair.text} {_of_a_pronoun(pair, rng)}"
    follow_ups = [
        _who(pair.meant, pair.other, pair.true, rng),
        _who(pair.other, pair.meant, pair.true_of_other, rng),
    ]
    return " ".join([pair.text, *follow_ups])


def _who(meant, other, true, rng):
    """Tells of which of the two something is true."""
    either = " or ".join(rng.sample((meant, other), 2))
    named, answer = rng.choice(((meant, "Yes"), (other, "No")))
    return rng.choice(
        (
            f"So {gap(meant)} {true}.",
            f"Which of the two {true}? It is {gap(meant)}.",
            f"One of them {true}. That is {gap(meant)}.",
            f"One of them {true}: {either}? {gap(sentence(meant))}.",
            f"One of them {true}. Is that {named}? {gap(answer)}.",
            f"One of them {true}. Is that {named}? {gap(answer)}, {gap(meant)}.",
        )
    )


def _of_a_pronoun(pair, rng):
    """Tells whom or what the pronoun means, at times after a claim to be judged."""
    pronoun, meant, other = pair.pronoun, pair.meant, pair.other
    either = " or ".join(rng.sample((meant, other), 2))
    named, answer, label = rng.choice(((meant, "Yes", "right"), (other, "No", "wrong")))
    what = "What" if pronoun == "it" else "Who"
    judged = (
        f'Does "{pronoun}" mean {named}? {gap(answer)}.',
        f'The word "{pronoun}" stands for {named}. That is {gap(label)}.',
    )
    told = (
        f'By "{pronoun}" is meant {gap(meant)}.',
        f'Here "{pronoun}" is {gap(meant)}.',
        f'{what} is "{pronoun}", {either}? {gap(sentence(meant))}.',
        f'The word "{pronoun}" stands for {gap(meant)}.',
    )
    kind = rng.randrange(3)
    if kind == 0:
        return rng.choice(told)
    if kind == 1:
        return rng.choice(judged)
    return f"{rng.choice(judged)} {rng.choice(told)}"


_TOGETHER = (
    "{a} and {b} sat on a bench.",
    "{a} came in with {b}.",
    "{a} was on the phone with {b}.",
    "{a} walked behind {b}.",
    "There is a picture of {a} and {b}.",
    "{a} knows {b} from school.",
    "{b} was waved at by {a}.",
)
# Where somebody is, those are likely to be who are seen together.
_ABOUT_PEOPLE = tuple(
    topic
    for topic in TOPICS
    if topic.relation.subjects == "people" and topic.relation.name != "visit"
)


def woman_and_man(world, rng):
    """Returns a passage about a woman and a man, one of whom is called "she" or "he"."""
    woman, man = rng.choice(world.women), rng.choice(world.men)
    meant, other, pronoun = rng.choice(((woman, man, "she"), (man, woman, "he")))
    a, b = rng.sample((woman, man), 2)
    topic = rng.choice(_ABOUT_PEOPLE)
    values = [v for v in world.values(topic.relation) if v not in (woman, man)]
    value = rng.choice(values)
    wordings = [text for text in topic.statements if text.startswith("{s}")]
    told = sentence(rng.choice(wordings).format(s=pronoun, o=value))
    together = sentence(rng.choice(_TOGETHER).format(a=a, b=b))
    again = rng.choice(topic.statements)
    of_meant = clause(again.format(s=meant, o=value))
    of_other = clause(again.format(s=other, o=value))
    asked = rng.choice(topic.back).format(o=value)
    claimed, answer, label = rng.choice(
        ((of_meant, "Yes", "right"), (of_other, "No", "wrong"))
    )
    named, mean = rng.choice(((meant, "Yes"), (other, "No")))
    follow_ups = (
        f"{asked} {gap(meant)}.",
        f'By "{pronoun}" is meant {gap(meant)}.',
        f"Does the text say that {claimed}? {gap(answer)}.",
        f"Does it follow that {claimed}? {gap(answer)}.",
        f"Somebody has read there that {claimed}. That is {gap(label)}.",
        f'Does "{pronoun}" mean {named}? {gap(mean)}, {gap(meant)}.',
    )
    return " ".join([together, told, rng.choice(follow_ups)])
