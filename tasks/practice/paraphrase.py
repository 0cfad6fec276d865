"""Practice rows of the paraphrase tasks."""

from flan_jax.tasks.practice_world import Fact, clause, sentence


def glue_mrpc(world, rng):
    fact = world.fact(rng)
    label = rng.randrange(2)
    rival = rng.choice(
        [
            f
            for f in world.facts
            if f.relation == fact.relation and f.subject != fact.subject
        ]
    )
    second = fact if label else rng.choice((world.wrong(fact, rng), rival))
    wordings = rng.sample(range(3), 2)
    # Who reports it is the same on both sides, so it never decides.
    reporter = rng.choice(
        [p for p in world.people if p not in (fact.subject, rival.subject)]
    )
    pair = [
        f"{f.say(w).rstrip('.')}, {reporter} said."
        for f, w in zip((fact, second), wordings, strict=True)
    ]
    return {"sentence1": pair[0], "sentence2": pair[1], "label": label, "idx": 0}


def stsb(world, rng):
    fact = world.fact(rng)
    level = rng.randrange(6)
    first, second = rng.sample(range(3), 2)
    same_kind = [
        f
        for f in world.facts
        if f.relation == fact.relation and f.subject != fact.subject
    ]
    if level >= 4:
        other = fact
    elif level == 3:
        other = world.wrong(fact, rng)
    elif level == 2:
        other = Fact(fact.relation, rng.choice(same_kind).subject, fact.value)
    elif level == 1:
        other = rng.choice([f for f in same_kind if f.value != fact.value])
    else:
        named = {fact.subject, fact.value}
        unlike = [
            f
            for f in world.facts
            if f.relation != fact.relation and not named & {f.subject, f.value}
        ]
        other = rng.choice(unlike)
    pair = [fact.say(first), other.say(second)]
    if level == 4:
        # Four points: the same statement, where one side adds a detail that hardly matters.
        longer = rng.randrange(2)
        detail = rng.choice(
            (
                "as everyone knows",
                "as the neighbors say",
                "or so we heard",
                "and that is well known",
            )
        )
        pair[longer] = f"{pair[longer].rstrip('.')}, {detail}."
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
            "From {x}, {a} moved to {y}.",
            "{a} moved to {y} from {x}.",
        ),
    ),
    (
        ("x", "y"),
        (
            "The {job} {a} trained in {x} and works in {y}.",
            "The {job} {a} works in {y} and trained in {x}.",
            "{a} is a {job} who trained in {x} and works in {y}.",
        ),
    ),
)
"""Events: two names that change the meaning when they change places, and three wordings."""


def _event(world, rng, label):
    (one, other), wordings = rng.choice(_EVENTS)
    a, b = rng.sample(world.people, 2)
    x, y = rng.sample(world.towns, 2)
    told = {"a": a, "b": b, "x": x, "y": y}
    told |= {
        "thing": rng.choice(world.things),
        "place": rng.choice(world.places_in_town),
        "job": rng.choice(world.jobs),
    }
    retold = told if label else told | {one: told[other], other: told[one]}
    first, second = rng.sample(wordings, 2)
    return [first.format(**told), second.format(**retold)]


def _two_facts(world, rng, label):
    """Two facts of one relation, retold right or with their values exchanged."""
    first = world.fact(rng)
    second = rng.choice(
        [
            f
            for f in world.facts
            if f.relation == first.relation and f.value != first.value
        ]
    )
    told = [first, second]
    retold = (
        told
        if label
        else [
            Fact(f.relation, f.subject, g.value)
            for f, g in zip(told, told[::-1], strict=True)
        ]
    )
    wordings = [rng.sample(range(3), 2) for _ in told]
    said = [f.say(w) for f, (w, _) in zip(told, wordings, strict=True)]
    said_again = [f.say(w) for f, (_, w) in zip(retold, wordings, strict=True)]
    return [
        f"{one.rstrip('.')} and {clause(other)}."
        for one, other in (said, rng.sample(said_again, 2))
    ]


def paws_wiki(world, rng):
    label = rng.randrange(2)
    pair = (
        _event(world, rng, label)
        if rng.random() < 0.5
        else _two_facts(world, rng, label)
    )
    return {"sentence1": pair[0], "sentence2": pair[1], "label": label}


_QUESTIONS = {
    "home": (
        "Where does {s} live?",
        "In which town does {s} live?",
        "What is the home town of {s}?",
    ),
    "job": (
        "What is the job of {s}?",
        "What does {s} do for a living?",
        "How does {s} earn money?",
    ),
    "food": (
        "What does {s} like to eat?",
        "What is the favorite food of {s}?",
        "Which food does {s} like best?",
    ),
    "pet": (
        "Which pet does {s} have?",
        "What kind of animal lives with {s}?",
        "What is the pet of {s}?",
    ),
    "car": (
        "What color is the car of {s}?",
        "Which color does the car of {s} have?",
        "What is the color of the car that {s} drives?",
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
"""Three wordings of the question for a value, by relation."""


def glue_qqp(world, rng):
    fact = world.fact(rng)
    near = [
        f
        for f in world.facts
        if f != fact and (f.subject == fact.subject or f.relation == fact.relation)
    ]
    label = rng.randrange(2)
    if rng.random() < 0.5:
        facts = (fact, fact if label else rng.choice(near))
        wordings = rng.sample(range(3), 2)
        pair = [
            _QUESTIONS[f.relation.name][w].format(s=f.subject)
            for f, w in zip(facts, wordings, strict=True)
        ]
    else:
        guess = rng.choice((fact, world.wrong(fact, rng)))
        facts = (
            guess,
            guess if label else rng.choice((world.wrong(guess, rng), rng.choice(near))),
        )
        wordings = rng.sample((None, 0, 1, 2), 2)
        pair = [
            f"{sentence(f.ask_yes_no(w))}?"
            for f, w in zip(facts, wordings, strict=True)
        ]
    if fact.subject in world.towns and rng.random() < 0.5:
        # The dataset's files double the quotes inside a question.
        pair = [
            q.replace(f.subject, f'""{f.subject}""')
            for q, f in zip(pair, facts, strict=True)
        ]
    return {"question1": pair[0], "question2": pair[1], "label": label, "idx": 0}
