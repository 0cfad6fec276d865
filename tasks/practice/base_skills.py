"""What a base model must be able to do before it is worth tuning, asked in its own wording.

Each row is the beginning of a document as `documents` writes it, up to an answer. No row is an
instruction. A text that is to be read tells the same of several subjects, so that no answer is right
because it is the only one of its kind.
"""

from flan_jax.tasks.practice_world import clause, sentence
from tasks.practice import everyday
from tasks.practice.documents import draw_rivals
from tasks.practice.roles import draw_pair


def _stated(told, rng):
    return " ".join(each.topic.say(each.fact, rng) for each in told)


def _options(each, told, rng):
    """Returns the values that the text states and one that it does not, in any order."""
    stated = [other.fact.value for other in told]
    unstated = [value for value in each.other_values(rng, 4) if value not in stated]
    options = [*stated, unstated[0]]
    return tuple(rng.sample(options, len(options)))


def answer(world, rng):
    """A question for a value that the text states; other options are those of others in it."""
    told = draw_rivals(world, rng, 3)
    each = rng.choice(told)
    options = _options(each, told, rng)
    question = each.topic.ask(each.fact, rng)
    return {
        "text": f"{_stated(told, rng)} Question: {question} Answer:",
        "options": options,
        "answer": each.fact.value,
    }


def yes_no(world, rng):
    """A question whether something that the text states, or contradicts, is true."""
    told = draw_rivals(world, rng, 3)
    each = rng.choice(told)
    true = rng.random() < 0.5
    asked = each.fact if true else each.wrong(told, rng)
    question = sentence(each.topic.ask_yes_no(asked, rng))
    return {
        "text": f"{_stated(told, rng)} Question: {question}? Answer:",
        "options": ("yes", "no"),
        "answer": "yes" if true else "no",
    }


def true_false(world, rng):
    """A statement that the text makes in other words, or contradicts."""
    told = draw_rivals(world, rng, 3)
    each = rng.choice(told)
    true = rng.random() < 0.5
    said = each.topic.say(each.fact if true else each.wrong(told, rng), rng)
    return {
        "text": f"{_stated(told, rng)} Somebody says that {clause(said)}. That is",
        "options": ("right", "wrong"),
        "answer": "right" if true else "wrong",
    }


def choice(world, rng):
    """A question with its possible answers in a list, of which the text states one."""
    told = draw_rivals(world, rng, 3)
    each = rng.choice(told)
    options = _options(each, told, rng)
    listed = "\n".join(f"- {option}" for option in options)
    question = each.topic.ask(each.fact, rng)
    return {
        "text": f"{_stated(told, rng)} {question}\n{listed}\nThe right one is this:",
        "options": options,
        "answer": each.fact.value,
    }


def opinion(world, rng):
    """Whether a word is one of praise or of blame."""
    praised = rng.random() < 0.5
    word = rng.choice(everyday.OPINION_WORDS["praise" if praised else "blame"])
    return {
        "text": f"The {rng.choice(world.things)} was {word}. Good or bad?",
        "options": ("Good", "Bad"),
        "answer": "Good" if praised else "Bad",
    }


def effect(world, rng):
    """Which of two events followed another."""
    person = rng.choice(world.people)
    right, wrong = everyday.draw_from_topics(everyday.CAUSES_AND_EFFECTS, rng, 2)
    cause, right_effect = (text.format(s=person) for text in right)
    wrong_effect = wrong[1].format(s=person)
    first, second = rng.sample((right_effect, wrong_effect), 2)
    return {
        "text": f"{cause} {first} {second} Only one of the two fits:",
        "options": (first, second),
        "answer": right_effect,
    }


def meant(world, rng):
    """Which of two people or things is meant."""
    pair = draw_pair(world, rng)
    if pair.pronoun is None:
        asked = f"Which of the two {pair.true}? It is"
    else:
        asked = f'By "{pair.pronoun}" is meant'
    return {
        "text": f"{pair.text} {asked}",
        "options": tuple(rng.sample((pair.meant, pair.other), 2)),
        "answer": pair.meant,
    }
