"""What somebody holds to be true, denies, or leaves open, and what may be believed after that."""

from flan_jax.tasks.practice_world import Fact, clause, sentence
from tasks.practice.gaps import gap
from tasks.practice.wordings import SINGLE_VALUED, TOPICS, UNKNOWN

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
_KINDS = {
    "certain": (_HELD, "Yes", "true"),
    "denied": (_DENIED, "No", "false"),
    "open": (_LEFT_OPEN, None, "open"),
}
"""How each kind of claim is told, whether it is so, and what it is called."""


def beliefs(world, rng):
    """Returns two or three claims of one relation, and what follows from them."""
    topic = rng.choice(TOPICS)
    if rng.random() < 0.5:
        topic = topic.in_few_words(rng)
    subjects = rng.sample(getattr(world, topic.relation.subjects), 3)
    values = [value for value in world.values(topic.relation) if value not in subjects]
    values = rng.sample(values, 3)
    others = [name for name in world.people if name not in (*subjects, *values)]
    facts = [Fact(topic.relation, *pair) for pair in zip(subjects, values, strict=True)]
    claims = list(zip(("certain", "denied", "open"), facts, strict=True))
    told = rng.sample(claims, rng.choice((2, 3)))
    stated = [_told(topic, kind, fact, others, rng) for kind, fact in told]
    follow_ups = [
        _conclusion(topic, told, others, rng) for _ in range(rng.randint(1, 2))
    ]
    return " ".join([*stated, *follow_ups])


def _told(topic, kind, fact, others, rng):
    frames, _, _ = _KINDS[kind]
    claim = clause(topic.say(fact, rng))
    return rng.choice(frames).format(claim, name=rng.choice(others))


def _conclusion(topic, told, others, rng):
    """Asks about one of the claims, or about another value of a certain one."""
    kind, fact = rng.choice(told)
    if (
        kind == "certain"
        and topic.relation.name in SINGLE_VALUED
        and rng.random() < 0.15
    ):
        rivals = [other.value for _, other in told if other != fact]
        kind, fact = "denied", Fact(topic.relation, fact.subject, rng.choice(rivals))
    claim = clause(topic.say(fact, rng))
    question = sentence(topic.ask_yes_no(fact, rng))
    name = rng.choice(others)
    unknown = sentence(rng.choice(UNKNOWN))
    _, answer, label = _KINDS[kind]
    answer = gap(answer or unknown)
    options = rng.sample(("Yes", "No", unknown), 3)
    listed = "\n".join(f"- {option}" for option in options)
    return rng.choice(
        (
            f"{question}? {answer}.",
            f"So {claim}? {answer}.",
            f"Does it follow that {claim}? {answer}.",
            f'"{question}?" asked {name}. "{answer}," they told {name}.',
            f"{question}?\n{listed}\n{answer}",
            f"{question}? Choose from these:\n{listed}\nThe right one is this: {answer}",
            f"Somebody says that {claim}. Is that true, false or open? It is {gap(label)}.",
        )
    )
