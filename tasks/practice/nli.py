"""Practice rows of the natural language inference tasks."""

from flan_jax.tasks.practice_world import clause

_SINGLE_VALUED = ("home", "job", "car", "country", "material")
"""Relations with one value: a person may like two foods, but has one home."""


def rte(world, rng):
    fact = world.fact(rng)
    shown = [fact.say(rng.randrange(3)), world.other(fact, rng).say(rng.randrange(3))]
    label = rng.randrange(2)
    hypothesis = (fact if label == 0 else world.wrong(fact, rng)).say(rng.randrange(3))
    return {
        "premise": " ".join(rng.sample(shown, 2)),
        "hypothesis": hypothesis,
        "label": label,
        "idx": 0,
    }


def cb(world, rng):
    fact = world.fact(rng, _SINGLE_VALUED)
    label = rng.randrange(3)
    if label == 2:
        unsaid = world.other(fact, rng)
        hypothesis = world.wrong(unsaid, rng) if rng.random() < 0.5 else unsaid
    else:
        hypothesis = fact if label == 0 else world.wrong(fact, rng)
    opener = rng.choice(
        ("I spoke with a neighbor.", "We met at the market.", "It was a long talk.")
    )
    return {
        "premise": f"{opener} {fact.say(rng.randrange(3))}",
        "hypothesis": clause(hypothesis.say()),
        "label": label,
        "idx": 0,
    }


def wnli(world, rng):
    first = world.fact(rng, ("job",))
    second = rng.choice(
        [
            f
            for f in world.facts
            if f.relation == first.relation and f.value != first.value
        ]
    )
    reason = rng.choice(
        (f"earns a living as a {first.value}", f"has found work as a {first.value}")
    )
    verb = rng.choice(("thanked", "met", "called", "visited"))
    label = rng.randrange(2)
    return {
        "sentence1": (
            f"{first.subject} {verb} {second.subject}, and they talked about work. "
            f"{first.subject} {reason}."
        ),
        "sentence2": f"{(second, first)[label].subject} is a {first.value}.",
        "label": label,
        "idx": 0,
    }


def _near(world, fact):
    """The other facts about the same subject or of the same relation."""
    return [
        f
        for f in world.facts
        if f != fact and (f.subject == fact.subject or f.relation == fact.relation)
    ]


def _inference(world, rng, count, negated):
    """Draws statements and a sentence that is true (0), left open (1) or false (2) by them.

    The sentence never repeats a statement word by word. `count` is the number of statements,
    `negated` the share of sentences that deny something.
    """
    asked = world.fact(rng, _SINGLE_VALUED)
    wording, stated_wording = rng.sample(range(3), 2)
    shown = [
        fact.say(rng.randrange(3)) for fact in rng.sample(_near(world, asked), count)
    ]
    label = rng.randrange(3)
    if label != 1:
        shown[rng.randrange(count)] = asked.say(stated_wording)
    holds = rng.random() < 0.5 if label == 1 else label == 0
    denies = rng.random() < negated
    text = (world.wrong(asked, rng) if holds == denies else asked).say(wording)
    return shown, f"It is not true that {clause(text)}." if denies else text, label


_SOURCES = (
    "We asked around in the village.",
    "This was in the paper.",
    "A traveler kept a diary.",
    "The radio had some news.",
)


def _anli(world, rng, count, negated, source=""):
    statements, hypothesis, label = _inference(world, rng, count, negated)
    return {
        "uid": "",
        "context": " ".join([source, *statements]).strip(),
        "hypothesis": hypothesis,
        "label": label,
    }


def anli_r1(world, rng):
    return _anli(world, rng, count=2, negated=0)


def anli_r2(world, rng):
    return _anli(world, rng, count=3, negated=0.2)


def anli_r3(world, rng):
    return _anli(world, rng, count=4, negated=0.3, source=rng.choice(_SOURCES))


_MATCHED_GENRES = (
    "yeah well {first} you know and {second} so that is how it is",
    "uh-huh right {first} and you have heard by now that {second}",
    "It was late when {speaker} remembered that {first} and that {second}.",
    "The report of the council notes that {first}. It adds that {second}.",
    "Visitors to the region soon learn that {first} and that {second}.",
)
_MISMATCHED_GENRES = (
    "Dear {speaker}, you asked for news, so here it is: {first}, and {second}.",
    "um so {first} and uh {second} and that is what we talked about at lunch",
    "As every schoolbook says, {first}, while {second}.",
    "The files show that {first}. They also show that {second}.",
    "Please note that {first} and that {second}. With kind regards, {speaker}",
)


def _mnli(world, rng, genres):
    statements, hypothesis, label = _inference(world, rng, count=2, negated=0.2)
    first, second = map(clause, statements)
    speaker = rng.choice(
        [person for person in world.people if person not in first + second + hypothesis]
    )
    premise = rng.choice(genres).format(first=first, second=second, speaker=speaker)
    return {"premise": premise, "hypothesis": hypothesis, "label": label, "idx": 0}


def mnli_matched(world, rng):
    return _mnli(world, rng, _MATCHED_GENRES)


def mnli_mismatched(world, rng):
    return _mnli(world, rng, _MISMATCHED_GENRES)


def qnli(world, rng):
    asked = world.fact(rng)
    facts = rng.sample(_near(world, asked), 2)
    label = rng.randrange(2)
    if label == 0:
        facts[rng.randrange(2)] = asked
    first, second = (fact.say(rng.randrange(3)) for fact in facts)
    return {
        "question": asked.ask(),
        "sentence": f"{first.rstrip('.')}, {rng.choice(('and', 'while'))} {clause(second)}.",
        "label": label,
        "idx": 0,
    }


_CAPTIONS = (
    "A {job} in a {color} hat is {verb}{what} in the {place}.",
    "In the {place} a {job} who wears a {color} hat is {verb}{what}.",
)
_ACTIONS = (
    ("feeding a ", "pets"),
    ("eating ", "foods"),
    ("carrying a ", "things"),
    ("selling ", "products"),
)
"""What people do, and the kind of word that they do it with."""
_VISIBLE = (
    ("The hat of the {job} is {color}.", ("color",)),
    ("The {job} is in the {place}.", ("place",)),
    ("Somebody in a {color} hat is in the {place}.", ("color", "place")),
    ("A {job} is {verb}{what}.", ("job", "what")),
    ("The person who is {verb}{what} works as a {job}.", ("job", "what")),
)
"""Descriptions of what a caption shows, each with the details that may be wrong in it."""
_UNSEEN = (
    "The {job} lives in {town}.",
    "The name of the {job} is {person}.",
    "The {job} is waiting for {person}.",
    "The hat was a present from {person}.",
    "The {job} has come to the {place} from {town}.",
    "The {job} goes to the {place} every day.",
)


def snli(world, rng):
    verb, kind = rng.choice(_ACTIONS)
    objects = getattr(world, kind)
    known = {
        "job": world.jobs,
        "color": world.colors,
        "place": world.places_in_town,
        "what": objects,
    }
    scene = {detail: rng.choice(values) for detail, values in known.items()} | {
        "verb": verb
    }
    label = rng.randrange(3)
    if label == 1:
        hypothesis = rng.choice(_UNSEEN).format(
            **scene, town=rng.choice(world.towns), person=rng.choice(world.people)
        )
    else:
        description, details = rng.choice(_VISIBLE)
        changed = rng.choice(details)
        other = rng.choice(
            [value for value in known[changed] if value != scene[changed]]
        )
        hypothesis = description.format(
            **(scene if label == 0 else scene | {changed: other})
        )
    return {
        "premise": rng.choice(_CAPTIONS).format(**scene),
        "hypothesis": hypothesis,
        "label": label,
    }
