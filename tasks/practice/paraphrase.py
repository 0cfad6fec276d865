"""Practice rows of the paraphrase tasks.

A sentence and its rewording differ as much as two sentences that mean different things: the same
names and values come in both, and only who is said to do or have what tells them apart.
"""

import dataclasses
import itertools
import re

from flan_jax.tasks.practice_world import Fact, clause, sentence

_REPORTS = (
    "{text}, {reporter} said.",
    "{reporter} said that {clause}.",
    "According to {reporter}, {clause}.",
    "{text}, or so {reporter} has heard.",
)


def _reported(text, reporter, report):
    return report.format(text=text.rstrip("."), clause=clause(text), reporter=reporter)


def glue_mrpc(world, rng):
    label = rng.randrange(2)
    reports = rng.sample(_REPORTS, 2)
    if rng.random() < 0.5:
        # The second sentence exchanges the one who reports and the one who is spoken of.
        fact = world.fact(rng, ("home", "job", "food", "pet", "car"))
        reporter = rng.choice([name for name in world.people if name != fact.subject])
        exchanged = dataclasses.replace(fact, subject=reporter)
        first, second = fact.wordings(rng, 2)
        texts = [fact.say(first), (fact if label else exchanged).say(second)]
        reporters = [reporter, reporter if label else fact.subject]
    else:
        texts = _two_facts(world, rng, label)
        names = [name for name in world.people if name not in " ".join(texts)]
        reporters = [rng.choice(names)] * 2
    pair = [
        _reported(text, reporter, report)
        for text, reporter, report in zip(texts, reporters, reports, strict=True)
    ]
    return {"sentence1": pair[0], "sentence2": pair[1], "label": label, "idx": 0}


_DETAILS = (
    "as everyone knows",
    "as the neighbors say",
    "or so we heard",
    "and that is well known",
    "as far as I know",
    "of course",
)


def stsb(world, rng):
    """Draws two sentences that have more in common, the higher the level is.

    5: the same meaning; 4: one side adds a detail that hardly matters; 3: another value; 2: another
    subject with the same value; 1: the same relation; 0: nothing.
    """
    fact, stranger = world.contrasting(rng, 2)
    level = rng.randrange(6)
    if level >= 4:
        other = fact
    elif level == 3:
        other = world.wrong(fact, rng)
    elif level == 2:
        other = dataclasses.replace(fact, subject=stranger.subject)
    elif level == 1:
        other = stranger
    else:
        named = {fact.subject, fact.value}
        unlike = [
            f
            for f in world.facts
            if f.relation != fact.relation and not named & {f.subject, f.value}
        ]
        other = rng.choice(unlike)
    first, second = rng.sample(range(len(fact.relation.statements)), 2)
    pair = [fact.say(first), other.say(second)]
    # Details stand on one side at level 4, and elsewhere on both or on none: as many in all.
    if level == 4:
        detailed = [rng.randrange(2)]
    else:
        detailed = rng.choice(([], [0, 1]))
    for side in detailed:
        pair[side] = f"{pair[side].rstrip('.')}, {rng.choice(_DETAILS)}."
    return {"sentence1": pair[0], "sentence2": pair[1], "label": float(level), "idx": 0}


_EVENTS = (
    (
        ("a", "b"),
        (
            "{a} sold the {thing} to {b}.",
            "{b} bought the {thing} from {a}.",
            "The {thing} was sold to {b} by {a}.",
        ),
    ),
    (
        ("a", "b"),
        (
            "{a} was born before {b}.",
            "{b} was born after {a}.",
            "{b} is younger than {a}.",
        ),
    ),
    (
        ("a", "b"),
        (
            "{a} wrote to {b} about the {place} in {x}.",
            "{b} got a letter from {a} about the {place} in {x}.",
            "A letter about the {place} in {x} was sent to {b} by {a}.",
        ),
    ),
    (
        ("x", "y"),
        (
            "{a} moved from {x} to {y}.",
            "{a} left {x} and went to live in {y}.",
            "Before {a} came to live in {y}, {x} was home.",
        ),
    ),
    (
        ("x", "y"),
        (
            "{a} prefers the {place} of {x} to that of {y}.",
            "For {a} the {place} of {x} is nicer than that of {y}.",
            "{a} does not like the {place} of {y} as much as that of {x}.",
        ),
    ),
    (
        ("v", "w"),
        (
            "{a} exchanged some {v} for {w} in {x}.",
            "In {x} {a} gave away some {v} and got {w} for it.",
            "{a} got {w} in {x} and paid for it with some {v}.",
        ),
    ),
    (
        ("a", "b"),
        (
            "{a} followed {b} to the {place} of {x}.",
            "{b} went to the {place} of {x} ahead of {a}.",
            "On the way to the {place} of {x} {a} walked behind {b}.",
        ),
    ),
    (
        ("a", "b"),
        (
            "{a} beat {b} in the race.",
            "{b} lost the race against {a}.",
            "In the race {b} came in after {a}.",
        ),
    ),
    (
        ("x", "y"),
        (
            "{a} is a {job} who trained in {x} and works in {y}.",
            "After a training in {x}, {a} has found work as a {job} in {y}.",
            "The {job} {a} works in {y}, but {x} was the place of the training.",
        ),
    ),
)
"""Events: two names that change the meaning when they change places, and three wordings."""


def _shared(text, other):
    """Returns how many words and how many pairs of neighboring words both texts have."""
    words = re.findall(r"\w+", text.lower())
    other_words = re.findall(r"\w+", other.lower())
    pairs = set(itertools.pairwise(words)) & set(itertools.pairwise(other_words))
    return len(set(words) & set(other_words)), len(pairs)


def _told(events, world, rng, label):
    """Draws two wordings of an event; without `label`, two names change places in the second.

    The wordings are such that the exchange changes nothing in the number of shared words.
    """
    (one, other), wordings = rng.choice(events)
    a, b = rng.sample(world.people, 2)
    x, y = rng.sample(world.towns, 2)
    v, w = rng.sample(world.products, 2)
    c, d = rng.sample(world.colors, 2)
    told = {"a": a, "b": b, "x": x, "y": y, "v": v, "w": w, "c": c, "d": d}
    told |= {
        "thing": rng.choice(world.things),
        "place": rng.choice(world.places_in_town),
        "job": rng.choice(world.jobs),
    }
    exchanged = told | {one: told[other], other: told[one]}
    choices = []
    for first, second in itertools.permutations(wordings, 2):
        text = first.format(**told)
        same, different = second.format(**told), second.format(**exchanged)
        if _shared(text, same) == _shared(text, different):
            choices.append((text, same if label else different))
    return [sentence(text) for text in rng.choice(choices)]


def _two_facts(world, rng, label):
    """Draws two facts of one relation, retold right or with their values exchanged."""
    told = world.contrasting(rng, 2)
    retold = [
        Fact(fact.relation, fact.subject, (fact if label else other).value)
        for fact, other in zip(told, told[::-1], strict=True)
    ]
    wordings = [fact.wordings(rng, 2) for fact in told]
    said = [fact.say(w) for fact, (w, _) in zip(told, wordings, strict=True)]
    said_again = [fact.say(w) for fact, (_, w) in zip(retold, wordings, strict=True)]
    return [
        f"{one.rstrip('.')} and {clause(other)}."
        for one, other in (said, rng.sample(said_again, 2))
    ]


def paws_wiki(world, rng):
    label = rng.randrange(2)
    pair = (
        _told(_EVENTS, world, rng, label)
        if rng.random() < 0.5
        else _two_facts(world, rng, label)
    )
    return {"sentence1": pair[0], "sentence2": pair[1], "label": label}


_QUESTIONS = {
    "home": (
        "Where does {s} live?",
        "In which town does {s} live?",
        "What is the home town of {s}?",
        "Which town does {s} live in?",
        "What is the town in which {s} lives?",
    ),
    "job": (
        "What is the job of {s}?",
        "What does {s} do for a living?",
        "How does {s} earn money?",
        "Which job does {s} have?",
        "What kind of work does {s} do?",
    ),
    "food": (
        "What does {s} like to eat?",
        "What is the favorite food of {s}?",
        "Which food does {s} like best?",
        "What kind of food does {s} like?",
        "What is it that {s} likes to eat?",
    ),
    "pet": (
        "Which pet does {s} have?",
        "What kind of animal lives with {s}?",
        "What is the pet of {s}?",
        "What kind of pet does {s} have?",
        "What is the animal that {s} keeps?",
    ),
    "car": (
        "What color is the car of {s}?",
        "Which color does the car of {s} have?",
        "What is the color of the car that {s} drives?",
        "In which color did {s} buy a car?",
        "What color of car does {s} drive?",
    ),
    "country": (
        "In which country is {s}?",
        "To which country does {s} belong?",
        "Which country is {s} a part of?",
    ),
    "product": (
        "What is {s} known for?",
        "What is it that {s} is famous for?",
        "What do people go to {s} to buy?",
    ),
    "material": (
        "What is the {s} made of?",
        "Which material is the {s} made of?",
        "What did they make the {s} from?",
    ),
}
"""Wordings of the question for a value, by relation."""


_ASKED_EVENTS = (
    (
        ("x", "y"),
        (
            "How do I get from {x} to {y}?",
            "I am in {x} and want to see {y}, what is the way?",
            "How can somebody in {x} reach {y}?",
        ),
    ),
    (
        ("x", "y"),
        (
            "Are people in {x} richer than people in {y}?",
            "Do people in {y} have less money than people in {x}?",
            "Is {y} a poorer town than {x}?",
        ),
    ),
    (
        ("a", "b"),
        (
            "Why does {a} like {b}?",
            "Why is {b} liked by {a}?",
            "What is it about {b} that {a} likes?",
        ),
    ),
    (
        ("a", "b"),
        (
            "How can {a} help {b} find a {thing}?",
            "Where can {b} find a {thing} with the help of {a}?",
            "What should {a} do so that {b} finds a {thing}?",
        ),
    ),
    (
        ("a", "b"),
        (
            "Did {a} sell the {thing} to {b}?",
            "Did {b} buy the {thing} from {a}?",
            "Was it {a} from whom {b} got the {thing}?",
        ),
    ),
    (
        ("c", "d"),
        (
            "How do I paint a {c} {thing} {d}?",
            "What turns the color of a {thing} from {c} to {d}?",
            "How can I get a {d} {thing} if mine is {c}?",
        ),
    ),
    (
        ("v", "w"),
        (
            "Is {v} more expensive than {w}?",
            "Is {w} cheaper than {v}?",
            "Do people pay less for {w} than for {v}?",
        ),
    ),
    (
        ("v", "w"),
        (
            "Can I exchange {v} for {w} in {x}?",
            "Does anybody in {x} take {v} and give {w}?",
            "Where does one get {w} if one has {v} in {x}?",
        ),
    ),
)
"""Questions like _EVENTS."""


def _two_questions(world, rng, label):
    """Draws two questions about one subject, for the same value or for different ones.

    One question is as long as one with the other label could be, and shares as many words
    with the other question.
    """
    subject = rng.choice(world.people)
    asked = [
        (name, question.format(s=subject))
        for name, questions in _QUESTIONS.items()
        if name in [fact.relation.name for fact in world.about(subject)]
        for question in questions
    ]
    name, first = rng.choice(asked)
    by_shared = {}
    for other_name, other in asked:
        if other != first:
            alike = (_shared(first, other), len(other.split()))
            same, different = by_shared.setdefault(alike, ([], []))
            (same if other_name == name else different).append(other)
    choices = [pair for _, pair in sorted(by_shared.items()) if all(pair)]
    if not choices:
        return _two_questions(world, rng, label)
    same, different = rng.choice(choices)
    return rng.sample((first, rng.choice(same if label else different)), 2)


def glue_qqp(world, rng):
    label = rng.randrange(2)
    if rng.random() < 0.5:
        pair = _two_questions(world, rng, label)
    else:
        pair = _told(_ASKED_EVENTS, world, rng, label)
    towns = [town for town in world.towns if town in pair[0] and town in pair[1]]
    if towns and rng.random() < 0.5:
        # The dataset's files double the quotes inside a question.
        town = rng.choice(towns)
        pair = [re.sub(rf"\b{town}\b", f'""{town}""', question) for question in pair]
    return {"question1": pair[0], "question2": pair[1], "label": label, "idx": 0}
