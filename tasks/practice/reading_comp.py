"""Practice rows of the reading comprehension tasks.

A passage states several facts of the relation that is asked for. So the right answer is not the
only one that the passage mentions.
"""

import dataclasses
import re
import zlib

from flan_jax.tasks.practice_world import sentence


def bool_q(world, rng):
    fact, other = world.contrasting(rng, 2)
    stated = [fact, other, *world.asides(rng, [fact, other], rng.randrange(3))]
    passage = [stated_fact.say_any(rng) for stated_fact in stated]
    answer = rng.random() < 0.5
    asked = fact if answer else dataclasses.replace(fact, value=other.value)
    wording = rng.choice((None, *range(len(fact.relation.statements))))
    return {
        "question": asked.ask_yes_no(wording),
        "title": sentence(fact.subject),
        "passage": " ".join(rng.sample(passage, len(passage))),
        "answer": answer,
    }


_ORIGINS = {
    "wood": ("wood comes from trees", "was once a part of a tree"),
    "cloth": ("cloth is woven from threads", "was woven from threads"),
    "glass": ("glass is made of melted sand", "was once nothing but sand"),
    "bone": ("bones are inside the bodies of animals", "was once inside an animal"),
    "clay": ("clay gets hard in an oven", "was soft before it was in an oven"),
    "leather": ("leather is the skin of animals", "was once the skin of an animal"),
    "plastic": ("plastic is made from oil", "exists only because there is oil"),
    "stone": ("stone is cut out of mountains", "was cut out of a mountain"),
    "straw": ("straw is what is left of corn", "has grown on a field of corn"),
}
"""For each material a fact of general knowledge, and what it says of a thing."""

_APPLICATIONS = {
    "material": (
        "who touches a thing touches its material",
        (
            "Somebody has {o} in her hands. She must be holding the",
            "A worker who has only {o} can repair the",
        ),
        (
            "Somebody who holds the {s} has in her hands some",
            "What is under the paint of the {s}?",
        ),
    ),
    "product": (
        "the shops of a town sell what the town is known for",
        (
            "A person who wants to buy {o} should go to",
            "A truck full of {o} probably comes from",
        ),
        ("A shop in {s} will surely sell", "What will a visitor bring home from {s}?"),
    ),
    "country": (
        "who travels to a town travels to the country that it is in",
        ("A tourist in {o} can visit", "The king of {o} also rules over"),
        ("A person who travels to {s} goes to", "A letter to {s} is a letter to"),
    ),
}
"""For each relation a fact of general knowledge, and stems that apply it.

The first stems go with the subject of a stated fact, the others with its value.
"""


def openbookqa(world, rng):
    """Draws a stem that states four facts, of one of which a fact of general knowledge is true."""
    facts = world.contrasting(rng, 4, tuple(_APPLICATIONS))
    asked = rng.choice(facts)
    rule, stems_of_subject, stems_of_value = _APPLICATIONS[asked.relation.name]
    ask_for_subject = rng.random() < 0.5
    if ask_for_subject:
        stem = rng.choice(stems_of_subject).format(o=asked.value)
        choices = [fact.subject for fact in facts]
    else:
        stem = rng.choice(stems_of_value).format(s=asked.subject)
        choices = [fact.value for fact in facts]
    answer = asked.subject if ask_for_subject else asked.value
    is_of_known_origin = asked.relation.name == "material" and asked.value in _ORIGINS
    if ask_for_subject and is_of_known_origin and rng.random() < 0.7:
        rule, origin = _ORIGINS[asked.value]
        stem = f"Which of these {origin}?"
    stated = " ".join(fact.say_any(rng) for fact in facts)
    choices = rng.sample(choices, 4)
    letters = zip("ABCD", choices, strict=True)
    return {
        "question": {"stem": f"{stated} {stem}"}
        | {f"choice_{letter}": choice for letter, choice in letters},
        "fact1": rule,
        "humanScore": 1.0,
        "clarity": 2.0,
        "turkIdAnonymized": "practice",
        "answerKey": choices.index(answer),
    }


def squad_v1(world, rng):
    fact, rival = world.contrasting(rng, 2)
    asides = world.asides(rng, [fact, rival], rng.choice((1, 2)))
    context, start = _context(fact, [rival, *asides], rng)
    return {
        "id": "",
        "title": _title(world, fact),
        "context": context,
        "question": fact.ask(),
        "answers": _spans(fact, context, start, count=rng.choice((1, 3))),
    }


def squad_v2(world, rng):
    """Answerable or not, the text tells of somebody else what the question asks."""
    fact, rival = world.contrasting(rng, 2, ("home", "job", "food", "pet", "car"))
    about_rival = world.asides(rng, [rival], 1)
    about_subject = world.asides(rng, [fact], 2)
    is_impossible = rng.random() < 0.4
    if is_impossible:
        spoken_of = rival
        others = [*about_subject, *about_rival]
    else:
        spoken_of = fact
        others = [rival, about_subject[0], *about_rival]
    context, start = _context(spoken_of, others, rng)
    found = _spans(spoken_of, context, start, count=1)
    nothing = {"text": [], "answer_start": []}
    return {
        "id": "",
        "title": _title(world, fact),
        "context": context,
        "plausible_answers": found if is_impossible else nothing,
        "question": fact.ask(),
        "is_impossible": is_impossible,
        "answers": nothing if is_impossible else found,
    }


def drop(world, rng):
    product = world.fact(rng, ("product",))
    homes = rng.sample([f for f in world.facts if f.relation.name == "home"], 3)
    (a, b, c), numbers = (f.subject for f in homes), rng.sample(range(2, 13), 3)
    x, y, z = numbers
    goods = f"boxes of {product.value}"
    day, month, year = (
        rng.randrange(1, 29),
        rng.choice(_MONTHS),
        rng.randrange(1880, 1920),
    )
    most, fewest, limit = (
        numbers.index(max(numbers)),
        numbers.index(min(numbers)),
        rng.choice((4, 6, 8)),
    )
    question, answer = rng.choice(
        (
            (f"How many {goods} did {b} sell?", str(y)),
            (f"How many {goods} did {a} and {c} sell together?", str(x + z)),
            (
                f"What is the difference between the numbers of boxes that {a} and {b} sold?",
                str(abs(x - y)),
            ),
            (f"Who sold the most {goods}?", homes[most].subject),
            (f"Who sold the fewest {goods}?", homes[fewest].subject),
            (
                f"In which town does the person live who sold the most {goods}?",
                homes[most].value,
            ),
            (
                f"How many people sold more than {limit} {goods}?",
                str(sum(n > limit for n in numbers)),
            ),
            ("On what date was the market held?", f"{year}-{month}-{day}"),
        )
    )
    sales = (
        f"On {day} {month} {year} a market was held there. {a} sold {x} {goods}, {b} sold {y} "
        f"and {c} sold {z}."
    )
    return {
        "passage": " ".join(
            (product.say_any(rng), sales, *(f.say_any(rng) for f in homes))
        ),
        "question": question,
        "answer": answer,
        "validated_answers": [answer] * rng.randrange(3),
        "query_id": "",
    }


_MONTHS = (
    "January",
    "March",
    "April",
    "June",
    "August",
    "October",
    "November",
    "December",
)


def multirc(world, rng):
    """Draws a question about a paragraph with four different answers, a row each.

    Wrong answers have values that the paragraph tells of others.
    """
    fact, *rivals = world.contrasting(rng, 3)
    asides = world.asides(rng, [fact, *rivals], rng.randrange(2))
    paragraph, _ = _context(fact, [*rivals, *asides], rng)
    asks_for_value = rng.random() < 2 / 3
    about = f"What does the text say about {_name(fact)}?"
    question = fact.ask() if asks_for_value else about

    labels = {}
    for label in rng.choices((0, 1), k=4):
        answer = None
        while answer is None or answer in labels:
            rival = rng.choice(rivals)
            claim = fact if label else dataclasses.replace(fact, value=rival.value)
            answer = claim.say_any(rng)
            if asks_for_value and rng.random() < 0.5:
                answer = sentence(claim.value)
        labels[answer] = label
    return [
        {
            "paragraph": paragraph,
            "question": question,
            "answer": answer,
            "idx": {
                "paragraph": _text_number(paragraph),
                "question": _text_number(question),
                "answer": number,
            },
            "label": label,
        }
        for number, (answer, label) in enumerate(labels.items())
    ]


def _text_number(text):
    """Returns a number that stands for a text, an int32 that is not negative."""
    return zlib.crc32(text.encode()) >> 1


def _context(fact, others, rng):
    """Returns a text that states the facts in random order, and the place of `fact`'s value."""
    facts = rng.sample([fact, *others], len(others) + 1)
    sentences = [stated_fact.say_any(rng) for stated_fact in facts]
    at = facts.index(fact)
    before = sum(len(text) + 1 for text in sentences[:at])
    # A value is a whole word: "red" is not in "Fred".
    found = re.search(rf"\b{fact.value}\b", sentences[at], flags=re.IGNORECASE)
    return " ".join(sentences), before + found.start()


def _spans(fact, context, start, count):
    """Returns the value of `fact` as SQuAD's answers: copied from the text, `count` times."""
    return {
        "text": [context[start : start + len(fact.value)]] * count,
        "answer_start": [start] * count,
    }


def _title(world, fact):
    if fact.relation.name == "material":
        return "Things_and_materials"
    return f"{fact.subject}_(town)" if fact.subject in world.towns else fact.subject


def _name(fact):
    return f"the {fact.subject}" if fact.relation.name == "material" else fact.subject
