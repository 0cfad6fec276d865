"""Practice rows of the reading comprehension tasks."""

import zlib

from flan_jax.tasks.practice_world import sentence


def bool_q(world, rng):
    fact = world.fact(rng)
    stated = {fact, world.other(fact, rng)}
    if rng.random() < 0.5:
        stated.add(world.fact(rng))
    passage = [
        f.say(rng.randrange(3))
        for f in sorted(stated, key=lambda f: (f.relation.name, f.subject))
    ]
    answer = rng.random() < 0.5
    return {
        "question": (fact if answer else world.wrong(fact, rng)).ask_yes_no(
            rng.choice((None, 0, 1, 2))
        ),
        "title": sentence(fact.subject),
        "passage": " ".join(rng.sample(passage, len(passage))),
        "answer": answer,
    }


_STEMS = {
    "material": (
        "The {s} is made of",
        "What did they make the {s} from?",
        "Somebody who touches the {s} touches",
    ),
    "product": (
        "The town of {s} is famous for its",
        "What do people buy in {s}?",
        "A shop in {s} will surely sell",
    ),
    "country": (
        "The town of {s} is in",
        "Which country does {s} belong to?",
        "A person who travels to {s} goes to",
    ),
}
_STEMS_BACK = {
    "material": (
        "One thing made of {o} is the",
        "Which of these did they make from {o}?",
    ),
    "product": (
        "A person who wants to buy {o} should go to",
        "Which town is known for its {o}?",
    ),
    "country": ("One of the towns in {o} is", "Which of these towns is in {o}?"),
}


def openbookqa(world, rng):
    fact = world.fact(rng, tuple(_STEMS))
    name = fact.relation.name
    others = [
        f.subject
        for f in world.facts
        if f.relation == fact.relation and f.value != fact.value
    ]
    if rng.random() < 0.5 or len(others) < 3:
        stem, answer = rng.choice(_STEMS[name]).format(s=fact.subject), fact.value
        choices = world.choices(fact, rng, 4)
    else:
        stem, answer = rng.choice(_STEMS_BACK[name]).format(o=fact.value), fact.subject
        choices = rng.sample([answer, *rng.sample(others, 3)], 4)
    stated = fact.relation.statements[rng.randrange(3)].format(
        s=fact.subject, o=fact.value
    )
    return {
        "question": {"stem": stem}
        | {f"choice_{letter}": c for letter, c in zip("ABCD", choices, strict=True)},
        "fact1": stated.rstrip("."),
        "humanScore": 1.0,
        "clarity": 2.0,
        "turkIdAnonymized": "practice",
        "answerKey": choices.index(answer),
    }


def squad_v1(world, rng):
    fact = world.fact(rng)
    context, start = _context(fact, _others(world, fact, rng), rng)
    return {
        "id": "",
        "title": _title(world, fact),
        "context": context,
        "question": fact.ask(),
        "answers": _spans(fact, context, start, count=rng.choice((1, 3))),
    }


def squad_v2(world, rng):
    """Answerable or not, the text tells about somebody else what the question asks."""
    fact = world.fact(rng)
    somebody_else = _same_relation(world, fact, rng)
    others = [f for f in _others(world, fact, rng) if f != somebody_else]
    is_impossible = rng.random() < 0.4
    spoken_of = somebody_else if is_impossible else fact
    context, start = _context(
        spoken_of, others if is_impossible else [*others, somebody_else], rng
    )
    found, nothing = (
        _spans(spoken_of, context, start, count=1),
        {"text": [], "answer_start": []},
    )
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
            (
                product.say(rng.randrange(3)),
                sales,
                *(f.say(rng.randrange(3)) for f in homes),
            )
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
    """Draws a question about a paragraph with four different answers, a row each."""
    fact = world.fact(rng)
    somebody_else = _same_relation(world, fact, rng)
    paragraph, _ = _context(fact, [*_others(world, fact, rng), somebody_else], rng)
    asks_for_value = rng.random() < 2 / 3
    about = f"What does the text say about {_name(fact)}?"
    question = fact.ask() if asks_for_value else about

    labels = {}
    while len(labels) < 4:
        label = rng.randrange(2)
        claim = fact if label == 1 else world.wrong(fact, rng)
        answer = claim.say(rng.randrange(3))
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


def _same_relation(world, fact, rng):
    return rng.choice(
        [
            f
            for f in world.facts
            if f.relation == fact.relation and f.subject != fact.subject
        ]
    )


def _others(world, fact, rng):
    """Returns two or three other true facts, up to two of them about the same subject."""
    same = [f for f in world.about(fact.subject) if f != fact]
    rest = [
        f
        for f in world.facts
        if f.subject != fact.subject and (same or f.relation == fact.relation)
    ]
    return [*rng.sample(same, min(len(same), 2)), *rng.sample(rest, 2)][
        : rng.choice((2, 3))
    ]


def _context(fact, others, rng):
    """Returns a text that states the facts in random order, and the place of `fact`'s value."""
    facts = rng.sample([fact, *others], len(others) + 1)
    sentences = [f.say(rng.randrange(3)) for f in facts]
    at = facts.index(fact)
    before = sum(len(text) + 1 for text in sentences[:at])
    return " ".join(sentences), before + sentences[at].lower().index(fact.value.lower())


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
