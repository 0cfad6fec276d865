"""Practice rows of the closed-book QA tasks: questions about the world without a text."""

import re

from flan_jax.tasks.practice_world import sentence


def _arc_row(question, choices, answer):
    return {
        "id": "",
        "question": question,
        "choices": {"text": choices, "label": list(range(len(choices)))},
        "answerKey": choices.index(answer),
    }


def arc_easy(world, rng):
    fact = world.fact(rng)
    return _arc_row(fact.ask(), world.choices(fact, rng, 4), fact.value)


_WHO_OR_WHICH = {
    "home": "Who lives in {o}?",
    "job": "Which of these people works as a {o}?",
    "food": "Who likes to eat {o}?",
    "pet": "Which of these people has a {o}?",
    "car": "Who drives a {o} car?",
    "material": "Which of these things is made of {o}?",
}
_VIA_HOME = {
    "country": "In which country does {s} live?",
    "product": "What is the town where {s} lives known for?",
}


def arc_challenge(world, rng):
    """Draws a question of two steps (person, town, fact about the town) or one for the subject."""
    if rng.random() < 0.5:
        home = world.fact(rng, ("home",))
        about_town = rng.choice(
            [f for f in world.about(home.value) if f.relation.name in _VIA_HOME]
        )
        question = _VIA_HOME[about_town.relation.name].format(s=home.subject)
        return _arc_row(question, world.choices(about_town, rng, 4), about_town.value)
    fact = world.fact(rng, tuple(_WHO_OR_WHICH))
    others = [
        f.subject
        for f in world.facts
        if f.relation == fact.relation and f.value != fact.value
    ]
    choices = rng.sample([fact.subject, *rng.sample(others, 3)], 4)
    return _arc_row(
        _WHO_OR_WHICH[fact.relation.name].format(o=fact.value), choices, fact.subject
    )


_SEARCHES = {
    "home": (
        "where does {s} live", "in which town does {s} live", "what town does {s} live in",
        "what is the home of {s}",
        "what is the name of the town where {s} lives", "where is the home of {s}",
        "which town is the home of {s}",
    ),
    "job": (
        "what is the job of {s}", "what does {s} work as", "what kind of work does {s} do",
        "which job does {s} have",
        "what is the name of the job that {s} has", "what job does {s} do",
        "what does {s} do for work",
    ),
    "food": (
        "what does {s} like to eat", "what is the favorite food of {s}", "which food does {s} like",
        "what food does {s} like to eat", "what is the name of the food that {s} likes",
        "what does {s} eat",
        "which food is the favorite of {s}",
    ),
    "pet": (
        "which pet does {s} have", "what pet does {s} have", "what kind of animal lives with {s}",
        "which animal does {s} have", "what is the pet of {s}", "what animal is the pet of {s}",
        "what kind of pet does {s} have",
    ),
    "car": (
        "what color is the car of {s}", "what color of car does {s} drive",
        "which color is the car of {s}",
        "what is the color of the car of {s}", "what color car does {s} drive",
        "what color is the car that {s} has",
        "which color of car does {s} drive",
    ),
    "country": (
        "in which country is {s}", "which country is {s} in", "what country is {s} in",
        "what is the country of {s}", "in what country is the town of {s}",
        "where is the town of {s}",
        "what is the name of the country of {s}",
    ),
    "product": (
        "what is {s} known for", "what is the town of {s} known for", "what is {s} famous for",
        "what do people buy in {s}", "which product is {s} known for",
        "what product is famous in {s}",
        "what can you buy in {s}",
    ),
    "material": (
        "what is the {s} made of", "what did they make the {s} from",
        "what material is the {s} made of",
        "which material is the {s} made of", "what is the material of the {s}",
        "what was the {s} made from",
        "what kind of material is the {s} made of",
    ),
}  # fmt: skip

_SEARCHES_BACK = {
    "home": (
        "who lives in {o}",
        "who has a home in {o}",
        "name of a person who lives in {o}",
    ),
    "job": (
        "who works as a {o}",
        "who is a {o}",
        "name of a person who works as a {o}",
    ),
    "food": (
        "who likes to eat {o}",
        "who likes {o}",
        "name of a person who likes to eat {o}",
    ),
    "pet": ("who has a {o}", "who lives with a {o}", "name of a person who has a {o}"),
    "car": (
        "who drives a {o} car",
        "who has a {o} car",
        "name of a person who drives a {o} car",
    ),
    "country": (
        "which town is in {o}",
        "what is a town in {o}",
        "name of a town in {o}",
    ),
    "product": (
        "which town is known for its {o}",
        "where can you buy {o}",
        "name of a town known for its {o}",
    ),
    "material": (
        "what is made of {o}",
        "which thing is made of {o}",
        "name of a thing made of {o}",
    ),
}


def natural_questions(world, rng):
    """Draws a question; a third ask for the subjects of a value, and may have several answers."""
    fact = world.fact(rng)
    name = fact.relation.name
    if rng.random() < 2 / 3:
        return {
            "question": rng.choice(_SEARCHES[name]).format(s=fact.subject),
            "answer": [fact.value],
        }
    subjects = [
        f.subject
        for f in world.facts
        if f.relation == fact.relation and f.value == fact.value
    ]
    return {
        "question": rng.choice(_SEARCHES_BACK[name]).format(o=fact.value),
        "answer": subjects,
    }


_QUIZ = {
    "home": ("What is the home town of {s}?", "Which town is the home of {s}?"),
    "job": ("What is the job of {s}?", "What is the profession of {s}?"),
    "food": ("What is the favorite food of {s}?", "Which food is best liked by {s}?"),
    "pet": ("Which animal is the pet of {s}?", "What kind of pet lives with {s}?"),
    "car": (
        "What is the color of the car of {s}?",
        "Which color was chosen for the car of {s}?",
    ),
    "country": (
        "Which country has a town called {s}?",
        "In which country would you find the town of {s}?",
    ),
    "product": (
        "What is sold in the town of {s}?",
        "Which product has its home in the town of {s}?",
    ),
    "material": (
        "What was used to make the {s}?",
        "Of which material is the {s} made?",
    ),
}

_KNOWN_AS = {
    "home": ", who lives in {o}",
    "job": ", the {o}",
    "food": ", who likes to eat {o}",
    "pet": ", who has a {o}",
    "car": ", who drives a {o} car",
    "country": " in {o}",
    "product": ", known for its {o}",
}

_ALIASES = {
    "home": ("{o}", "The town of {o}", "{o} town"),
    "job": ("{o}", "A {o}"),
    "pet": ("{o}", "A {o}", "{o} (animal)"),
    "car": ("{o}", "The color {o}", "{o} (color)"),
    "country": ("{o}", "The country of {o}"),
    "person": ("{o}", "{o} (person)"),
}


def trivia_qa(world, rng):
    """Draws a question for a value, with a fact as a hint, or for the subject of two facts."""
    fact = world.fact(rng)
    name = fact.relation.name
    hint = world.other(fact, rng) if name != "material" else None
    if hint and fact.subject not in world.towns and rng.random() < 0.3:
        people = [
            f.subject
            for f in world.facts
            if f.relation == fact.relation and f.value == fact.value
        ]
        if (
            sum(
                any(
                    f.relation == hint.relation and f.value == hint.value
                    for f in world.about(p)
                )
                for p in people
            )
            == 1
        ):
            first, second = (
                rng.choice(_SEARCHES_BACK[f.relation.name][:2]).format(o=f.value)
                for f in (fact, hint)
            )
            return _trivia_row(
                f"{sentence(first)} and {second.removeprefix('who ')}?",
                fact.subject,
                "person",
            )
    subject = fact.subject
    if hint and rng.random() < 0.8:
        subject += _KNOWN_AS[hint.relation.name].format(o=hint.value)
    return _trivia_row(rng.choice(_QUIZ[name]).format(s=subject), fact.value, name)


def _trivia_row(question, answer, kind):
    aliases = [alias.format(o=answer) for alias in _ALIASES.get(kind, ("{o}",))]
    return {
        "question": question,
        "question_id": "",
        "question_source": "practice",
        "entity_pages": {
            "doc_source": [],
            "filename": [],
            "title": [],
            "wiki_context": [],
        },
        "search_results": {
            "description": [],
            "filename": [],
            "rank": [],
            "title": [],
            "url": [],
            "search_context": [],
        },
        "answer": {
            "aliases": aliases,
            "normalized_aliases": list(dict.fromkeys(map(_normalized, aliases))),
            "matched_wiki_entity_name": answer,
            "normalized_matched_wiki_entity_name": _normalized(answer),
            "normalized_value": _normalized(answer),
            "type": "WikipediaEntity",
            "value": answer,
        },
    }


def _normalized(text):
    """As the dataset's authors do: small letters, without articles and punctuation."""
    return " ".join(
        re.sub(r"\b(a|an|the)\b", " ", re.sub(r"[^\w\s]", " ", text.lower())).split()
    )
