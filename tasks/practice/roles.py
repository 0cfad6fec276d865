"""Who did what, and which is which: passages about two people or two things, and who is meant.

Each entry says the same from both sides, and then what is true of the one and of the other. Neither
a name nor its place tells who is meant, only what the sentence says.
"""

from flan_jax.tasks.practice_world import sentence
from tasks.practice.gaps import gap

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

_THINGS = (
    (
        "{a} is heavier than {b}",
        "{b} is lighter than {a}",
        ("is hard to lift", "weighs more"),
        ("is easy to lift", "weighs less"),
    ),
    (
        "{a} is inside {b}",
        "{b} contains {a}",
        ("is the smaller one", "is not to be seen"),
        ("is the bigger one", "is around the other"),
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
        ("makes a mark on the other", "will not break"),
        ("gets a mark", "will break"),
    ),
    (
        "{a} was dearer than {b}",
        "{b} cost less than {a}",
        ("had a high price", "takes much money"),
        ("had a low price", "takes little money"),
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


def roles(world, rng):
    """Returns a passage of two or three sentences about two people or two things."""
    if rng.random() < 0.6:
        pronoun, names = rng.choice((("she", world.women), ("he", world.men)))
        entry = rng.choice(_PEOPLE)
    else:
        pronoun, names = "it", [f"the {thing}" for thing in world.things]
        entry = rng.choice(_THINGS)
    *sides, true_of_a, true_of_b = entry
    a, b = rng.sample(names, 2)
    side = rng.choice(sides)
    thing, town = rng.choice(world.things), rng.choice(world.towns)
    said = sentence(side.format(a=a, b=b, thing=thing, town=town))
    meant, other, true_of_meant = rng.choice(((a, b, true_of_a), (b, a, true_of_b)))
    true = rng.choice(true_of_meant)
    if rng.random() < 0.4:
        beginning = f"{said}, and so {pronoun} {true}."
        follow_ups = (
            f'By "{pronoun}" is meant {gap(meant)}.',
            f'Here "{pronoun}" is {gap(meant)}.',
            f'Does "{pronoun}" mean {other}? {gap("No")}, {gap(meant)}.',
            f'Does "{pronoun}" mean {meant}? {gap("Yes")}, {gap(meant)}.',
        )
    else:
        beginning = f"{said}."
        either = " or ".join(rng.sample((a, b), 2))
        follow_ups = (
            f"So {gap(meant)} {true}.",
            f"Which of the two {true}? It is {gap(meant)}.",
            f"One of them {true}. That is {gap(meant)}.",
            f"One of them {true}: {either}? {gap(sentence(meant))}.",
            f"Is it true that {meant} {true}? {gap('Yes')}.",
            f"Is it true that {other} {true}? {gap('No')}.",
        )
    return " ".join([beginning, *rng.sample(follow_ups, rng.randint(1, 2))])


def who_is_meant(world, rng):
    """Somebody did something to somebody else: who is it that is meant?"""
    woman = rng.random() < 0.5
    one, two = rng.sample(world.women if woman else world.men, 2)
    she = "she" if woman else "he"
    thing = rng.choice(world.things)
    what, meant, again = rng.choice(
        (
            (f"{one} thanked {two} because {she} had helped.", two, "had helped"),
            (
                f"{one} thanked {two} because {she} had received help.",
                one,
                "had received help",
            ),
            (
                f"{one} sold {two} the {thing} because {she} needed money.",
                one,
                "needed money",
            ),
            (
                f"{one} sold {two} the {thing} because {she} needed one.",
                two,
                "needed one",
            ),
            (f"{one} waited for {two} because {she} was late.", two, "was late"),
            (f"{one} waited for {two} because {she} was early.", one, "was early"),
            (
                f"{one} gave {two} lessons because {she} knew so much.",
                one,
                "knew so much",
            ),
            (
                f"{one} gave {two} lessons because {she} was a beginner.",
                two,
                "was a beginner",
            ),
            (f"{one} beat {two} in the race, and {she} was proud.", one, "was proud"),
            (f"{one} beat {two} in the race, and {she} was sad.", two, "was sad"),
            (f"{one} asked {two}, but {she} got no answer.", one, "got no answer"),
            (f"{one} asked {two}, but {she} kept silent.", two, "kept silent"),
            (
                f"{one} lent {two} the {thing}, and then {she} brought it back.",
                two,
                "brought it back",
            ),
            (
                f"{one} lent {two} the {thing}, and then {she} got it back.",
                one,
                "got it back",
            ),
        )
    )
    other = two if meant == one else one
    frames = (
        f"{what} It was {gap(meant)} who {again}.",
        f'{what} By "{she}" they mean {gap(meant)}.',
        f"{what} Who {again}? {gap(meant)}.",
        f"{what} So it was {gap(meant)} and nobody else who {again}.",
        f"{what} Was it {meant} who {again}? {gap('Yes')}.",
        f"{what} Was it {other} who {again}? {gap('No')}.",
    )
    return rng.choice(frames)
