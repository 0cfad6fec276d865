"""What somebody holds to be true, denies, or leaves open, and what may be believed after that."""

from flan_jax.tasks.practice_world import Fact, clause, sentence
from tasks.practice.gaps import gap
from tasks.practice.wordings import TOPICS

_HELD = (
    "It is certain that {}.",
    "{name} found out that {}.",
    "{name} is happy that {}.",
    "It is a fact that {}.",
    "{name} remembers that {}.",
    "It came to light that {}.",
)
_DENIED = (
    "It is wrong that {}.",
    "{name} found out that it is not true that {}.",
    "It is an error that {}.",
    "By mistake {name} believed that {}.",
    "It is just a false story that {}.",
    "Nobody should believe that {}.",
)
_LEFT_OPEN = (
    "{name} asks whether {}.",
    "Nobody has found out whether {}.",
    "Maybe {}, maybe not.",
    "{name} would like to know if {}.",
    "If {}, we will hear of it.",
    "It may be that {}, but nobody is sure.",
)
_UNKNOWN = (
    "It is impossible to say",
    "It is not possible to tell",
    "We do not know",
    "Nobody knows",
    "Maybe",
)


def beliefs(world, rng):
    """Returns two or three claims of one kind, one of them certain, and what follows from them."""
    topic = rng.choice(TOPICS)
    if rng.random() < 0.5:
        topic = topic.in_few_words(rng)
    subjects = rng.sample(getattr(world, topic.relation.subjects), 3)
    values = [value for value in world.values(topic.relation) if value not in subjects]
    held, denied, left_open = (
        Fact(topic.relation, subject, value)
        for subject, value in zip(subjects, rng.sample(values, 3), strict=True)
    )
    claims = [(_HELD, held), (_DENIED, denied), (_LEFT_OPEN, left_open)]
    told = rng.sample(claims, rng.choice((2, 3)))
    if (_HELD, held) not in told:
        told[0] = (_HELD, held)
    stated = [
        rng.choice(frames).format(
            clause(topic.say(fact, rng)), name=rng.choice(world.people)
        )
        for frames, fact in told
    ]
    follow_ups = [
        _conclusion(topic, held, told, world, rng) for _ in range(rng.randint(1, 3))
    ]
    return " ".join([*stated, *follow_ups])


def _conclusion(topic, held, told, world, rng):
    """Asks about one of the claims, or about another value of the certain one."""
    frames, fact = rng.choice(told)
    kind = {_HELD: "yes", _DENIED: "no", _LEFT_OPEN: "open"}[frames]
    if frames is _HELD and rng.random() < 0.3:
        others = [other.value for _, other in told if other is not held]
        fact = Fact(topic.relation, held.subject, rng.choice(others))
        kind = "no"
    inner = clause(topic.say(fact, rng))
    question = sentence(topic.ask_yes_no(fact, rng))
    name = rng.choice(world.people)
    unknown = rng.choice(_UNKNOWN)
    short = {"yes": "Yes", "no": "No", "open": unknown}[kind]
    answer = gap(short)
    options = rng.sample(("Yes", "No", unknown), 3)
    listed = "\n".join(f"- {option}" for option in options)
    label = {"yes": "true", "no": "false", "open": "open"}[kind]
    return rng.choice(
        (
            f"{question}? {answer}.",
            f"So {inner}? {answer}.",
            f"Does it follow that {inner}? {answer}.",
            f'"{question}?" asked {name}. "{answer}," they told {name}.',
            f"{question}?\n{listed}\n{answer}",
            f"{question}? Choose from these:\n{listed}\nThe right one is this: {answer}",
            f"Somebody says that {inner}. Is that true, false or open? It is {gap(label)}.",
        )
    )
