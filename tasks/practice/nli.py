"""Practice rows of the natural language inference tasks.

A premise speaks of several subjects and values, and a hypothesis joins one of each. Its words are
in the premise whatever the label is: who has which value decides.
"""

import dataclasses

from flan_jax.tasks.practice_world import clause, sentence

_SINGLE_VALUED = ("home", "job", "car", "country", "material")
"""Relations with one value: a person may like two foods, but has one home."""

_LEFT_OPEN = {
    "home": (
        "{s} was in {o} last summer.",
        "{s} has a friend in {o}.",
        "{s} sends many letters to {o}.",
    ),
    "job": (
        "{s} is waiting for a {o}.",
        "{s} is married to a {o}.",
        "{s} asked a {o} for advice.",
    ),
    "car": (
        "{s} wears a {o} coat.",
        "{s} has a {o} umbrella.",
        "The front door of {s} is {o}.",
    ),
    "country": (
        "People from {s} often travel to {o}.",
        "A train goes from {s} to {o}.",
        "{s} gets its milk from {o}.",
    ),
    "material": (
        "The {s} lies beside a piece of {o}.",
        "The {s} was sold together with some {o}.",
        "Nobody would change the {s} for some {o}.",
    ),
}
"""Statements that name a subject and a value, and say nothing of the relation between them."""


def _with_value(fact, other):
    return dataclasses.replace(fact, value=other.value)


def _inference(world, rng, label, count, negated=0.0):
    """Draws statements, and a sentence that is true (0), left open (1) or false (2) by them.

    One of the statements tells nothing of the relation that the sentence is about. The sentence
    never repeats a statement word by word.

    Args:
      world: the world.
      rng: the random numbers.
      label: 0, 1 or 2.
      count: the number of statements, at least 2.
      negated: the share of sentences that deny something.

    Returns:
      The list of statements, and the sentence.
    """
    *stated, unsaid = world.contrasting(rng, 2 if count == 2 else 3, _SINGLE_VALUED)
    wording, *stated_wordings = unsaid.wordings(rng, count)
    shown = [
        fact.say(stated_wording)
        for fact, stated_wording in zip(stated, stated_wordings, strict=False)
    ]
    pattern = rng.choice(_LEFT_OPEN[unsaid.relation.name])
    shown.append(sentence(pattern.format(s=unsaid.subject, o=unsaid.value)))
    asides = world.asides(rng, [*stated, unsaid], count - len(shown))
    shown += [fact.say_any(rng) for fact in asides]
    about = unsaid if label == 1 else rng.choice(stated)
    others = [fact for fact in (*stated, unsaid) if fact != about]
    otherwise = _with_value(about, rng.choice(others))
    holds = rng.random() < 0.5 if label == 1 else label == 0
    denies = rng.random() < negated
    text = (otherwise if holds == denies else about).say(wording)
    if denies:
        text = f"It is not true that {clause(text)}."
    return rng.sample(shown, len(shown)), text


def rte(world, rng):
    label = rng.randrange(2)
    truth = rng.choice((1, 2)) if label else 0
    statements, hypothesis = _inference(world, rng, truth, count=rng.choice((2, 3)))
    return {
        "premise": " ".join(statements),
        "hypothesis": hypothesis,
        "label": label,
        "idx": 0,
    }


_OPENERS = (
    "I spoke with a neighbor.",
    "We met at the market.",
    "It was a long talk.",
    "You know how people are.",
    "There was a letter in the paper.",
    "Let me tell you what I heard.",
)
_ASSERTED = (
    "We all know that {}.",
    "I was glad to learn that {}.",
    "I have seen for myself that {}.",
    "It has turned out that {}.",
)
_DENIED = (
    "It is a mistake to think that {}.",
    "I was wrong when I said that {}.",
    "It was a lie that {}.",
    "They pretended that {}.",
)
_OPEN = (
    "Some people wonder if {}.",
    "I have no idea whether {}.",
    "Perhaps {}, perhaps not.",
    "Did anybody say that {}?",
)
_COMMITMENTS = (_ASSERTED, _DENIED, _OPEN)
"""What a speaker says of a clause, who holds it to be true, false or neither: by CB's label."""


def cb(world, rng):
    """Draws a text that asserts one clause, denies another and leaves a third one open."""
    facts = world.contrasting(rng, 3, _SINGLE_VALUED)
    wording, *said = facts[0].wordings(rng, 4)
    texts = [
        rng.choice(frames).format(clause(fact.say(stated_wording)))
        for frames, fact, stated_wording in zip(_COMMITMENTS, facts, said, strict=True)
    ]
    asserted, denied, left_open = facts
    label = rng.randrange(3)
    hypothesis = rng.choice(
        (
            (asserted,),
            # With two statements on each side, no subject has one label alone.
            (denied, _with_value(asserted, rng.choice((denied, left_open)))),
            (
                left_open,
                _with_value(left_open, rng.choice((asserted, denied))),
                _with_value(denied, rng.choice((asserted, left_open))),
            ),
        )[label]
    )
    return {
        "premise": " ".join((rng.choice(_OPENERS), *rng.sample(texts, 3))),
        "hypothesis": clause(hypothesis.say(wording)),
        "label": label,
        "idx": 0,
    }


_ENCOUNTERS = (
    "{a} thanked {b}, and they talked for a while.",
    "{a} met {b} near the {place}.",
    "{a} called {b} last night.",
    "{a} visited {b} on Sunday.",
    "Near the {place} {a} was seen by {b}.",
    "{a} wrote to {b} about this and that.",
)


def wnli(world, rng):
    """Draws a text about two people, and whose fact it tells: a pronoun's, or a name's."""
    fact = world.fact(rng, ("home", "job", "food", "pet", "car"))
    wording, other_wording = fact.wordings(rng, 2)
    is_woman = fact.subject in world.women
    with_pronoun = rng.random() < 0.5
    same, different = (world.women, world.men) if is_woman else (world.men, world.women)
    # A pronoun tells the two apart only if one is a woman and the other is a man.
    strangers = different if with_pronoun else same
    stranger = rng.choice([person for person in strangers if person != fact.subject])
    a, b = rng.sample((fact.subject, stranger), 2)
    encounter = rng.choice(_ENCOUNTERS).format(
        a=a, b=b, place=rng.choice(world.places_in_town)
    )
    if with_pronoun:
        told = _of_pronoun(fact, "she" if is_woman else "he", rng)
    else:
        aside = rng.choice(
            [
                other
                for other in world.about(stranger)
                if other.relation != fact.relation
            ]
        )
        told = " ".join(rng.sample((fact.say(wording), aside.say_any(rng)), 2))
    label = rng.randrange(2)
    claimed = fact if label else dataclasses.replace(fact, subject=stranger)
    return {
        "sentence1": f"{encounter} {told}",
        "sentence2": claimed.say(other_wording),
        "label": label,
        "idx": 0,
    }


def _of_pronoun(fact, pronoun, rng):
    """Returns a statement that begins with its subject, which is a pronoun now."""
    beginnings = [
        pattern
        for pattern in fact.relation.statements
        if pattern.startswith("{s}") and pattern.count("{s}") == 1
    ]
    return sentence(rng.choice(beginnings).format(s=pronoun, o=fact.value))


_SOURCES = (
    "We asked around in the village.",
    "This was in the paper.",
    "A traveler kept a diary.",
    "The radio had some news.",
    "Somebody took notes.",
    "These are the words of a guide.",
)


def _anli(world, rng, count, negated, source=""):
    label = rng.randrange(3)
    statements, hypothesis = _inference(world, rng, label, count, negated)
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
    label = rng.randrange(3)
    statements, hypothesis = _inference(world, rng, label, count=2, negated=0.2)
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
    """Draws a sentence of two facts: of each it tells what the other subject is asked about."""
    subjects = rng.sample(world.people if rng.random() < 0.8 else world.towns, 2)
    relations = rng.sample([fact.relation for fact in world.about(subjects[0])], 2)
    first, second = (
        next(fact for fact in world.about(subject) if fact.relation == relation)
        for subject, relation in zip(subjects, relations, strict=True)
    )
    label = rng.randrange(2)
    asked, other = rng.sample((first, second), 2)
    if label == 1:
        # Its value is of the old relation, but the question does not show it.
        asked = dataclasses.replace(asked, relation=other.relation)
    one, two = first.say_any(rng).rstrip("."), clause(second.say_any(rng))
    return {
        "question": asked.ask(),
        "sentence": f"{one}, {rng.choice(('and', 'while'))} {two}.",
        "label": label,
        "idx": 0,
    }


_ACTIONS = (
    ("feeding a ", "pets"),
    ("eating ", "foods"),
    ("carrying a ", "things"),
    ("selling ", "products"),
    ("washing a ", "pets"),
    ("looking for a ", "things"),
    ("buying ", "foods"),
)
"""What people do, and the kind of word that they do it with."""

_SCENES = (
    "{one}, and {two}.",
    "{one} while {two}.",
    "{one}. Not far away {two}.",
    "{one}. In the same picture {two}.",
)

_DESCRIPTIONS = {
    "color": ("The hat of the {job} is {value}.", "The {job} wears a {value} hat."),
    "town": ("The {job} is from {value}.", "The {job} has come here from {value}."),
    "action": ("The {job} is {value}.", "The one who is {value} is the {job}."),
    "place": (
        "The {job} is near the {value}.",
        "One can see the {job} near the {value}.",
    ),
}
"""Sentences about what a caption may show of a person."""


def snli(world, rng):
    """Draws a caption of two people. Of one detail it shows both's, of another only one's."""
    shown_of_both, shown_of_one = rng.sample(tuple(_DESCRIPTIONS), 2)
    verb, kind = rng.choice(_ACTIONS)
    values = {
        "color": rng.sample(world.colors, 2),
        "town": rng.sample(world.towns, 2),
        "action": [f"{verb}{noun}" for noun in rng.sample(getattr(world, kind), 2)],
        "place": rng.sample(world.places_in_town, 2),
    }
    jobs = rng.sample(world.jobs, 2)
    unseen = rng.randrange(2)  # the person of whom `shown_of_one` is not seen
    people = []
    for number in range(2):
        person = {shown_of_both: values[shown_of_both][number]}
        if number != unseen:
            person[shown_of_one] = values[shown_of_one][number]
        people.append(person)
    label = rng.randrange(3)
    if label == 1:
        who, detail, value = unseen, shown_of_one, values[shown_of_one][1 - unseen]
    else:
        # What is said of the one who is not seen is always left open, so the detail that only
        # the other one shows is at times described as it is.
        detail = shown_of_both
        who = rng.randrange(2)
        if label == 0 and rng.random() < 0.5:
            detail, who = shown_of_one, 1 - unseen
        value = values[detail][who if label == 0 else 1 - who]
    scene = rng.choice(_SCENES).format(
        one=sentence(_caption(jobs[0], people[0])), two=_caption(jobs[1], people[1])
    )
    return {
        "premise": scene,
        "hypothesis": rng.choice(_DESCRIPTIONS[detail]).format(
            job=jobs[who], value=value
        ),
        "label": label,
    }


def _caption(job, details):
    """Returns a clause that shows a person with some details of _DESCRIPTIONS."""
    parts = [f"a {job}"]
    if "town" in details:
        parts.append(f"from {details['town']}")
    if "color" in details:
        parts.append(f"in a {details['color']} hat")
    parts.append(f"is {details['action']}" if "action" in details else "can be seen")
    if "place" in details:
        parts.append(f"near the {details['place']}")
    return " ".join(parts)
