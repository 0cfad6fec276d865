"""Practice rows of the tasks that take reading and common sense."""

from flan_jax.tasks.practice_world import clause

_REPORTS = (
    "{}.",
    "According to the neighbors, {}.",
    "It is no secret that {}, or so the paper says.",
    "{}, a reporter has found out.",
    "The mayor says that {}.",
    "Nobody was surprised to hear that {}.",
)


def record(world, rng):
    """Draws a passage with two statements of the query's relation; one or both are right."""
    fact = world.fact(rng, ("home", "job", "food", "pet", "car", "country", "product"))
    names = (*world.people, *world.towns, *world.countries)
    alike = [
        f
        for f in world.facts
        if f.relation == fact.relation and f.subject != fact.subject
    ]
    right = {fact.subject} | {f.subject for f in alike if f.value == fact.value}
    unlike = [
        f
        for f in world.facts
        if f.relation != fact.relation and f.subject in world.people
    ]
    unlike = [f for f in unlike if not right & {f.subject, f.value}]
    stated = rng.sample([fact, rng.choice(alike), *rng.sample(unlike, 2)], 4)
    highlights = [f.say().rstrip(".") for f in stated if f.relation != fact.relation]
    ask_for_value = fact.value in names and rng.random() < 0.5
    if ask_for_value:
        answers = {fact.value}
        blanked = fact.relation.statements[rng.randrange(3)].format(
            s=fact.subject, o="@placeholder"
        )
    else:
        answers = right & {f.subject for f in stated}
        blanked = fact.relation.statements[rng.randrange(3)].format(
            s="@placeholder", o=fact.value
        )
    report = rng.choice(_REPORTS).format(clause(blanked))
    return {
        "passage": "\n@highlight\n\n".join(
            (" ".join(f.say(rng.randrange(3)) for f in stated), *highlights)
        ),
        "query": report[0].upper() + report[1:],
        "entities": sorted(
            {name for f in stated for name in (f.subject, f.value) if name in names}
        ),
        "answers": sorted(answers),
        "idx": {"passage": 0, "query": 0},
    }


_OPENINGS = (
    "It was a long week for all of us.",
    "I could not sleep, so here is another entry.",
    "We had visitors at home today.",
    "You asked me how everybody is.",
    "There is not much news from here.",
    "I met an old friend at the station.",
)

_NEXT = {
    "job": (
        "Tomorrow {s} has to get up early and go to work.",
        "What will {s} probably do tomorrow?",
        {
            "teacher": "{s} will talk to a class of children.",
            "baker": "{s} will take loaves out of the oven.",
            "doctor": "{s} will look after sick people.",
            "farmer": "{s} will plow a field.",
            "painter": "{s} will mix colors for a picture.",
            "pilot": "{s} will fly above the clouds.",
            "singer": "{s} will rehearse for a concert.",
            "tailor": "{s} will sew a pair of trousers.",
        },
    ),
    "pet": (
        "When I rang the bell, I heard the animal before I saw {s}.",
        "What may I have heard at the door of {s}?",
        {
            "cat": "A long meow.",
            "dog": "Loud barking.",
            "horse": "The sound of hooves.",
            "parrot": "A small voice that repeated my words.",
            "rabbit": "Something small hopping across the floor.",
            "goat": "Bleating and the scratching of horns.",
            "turtle": "A heavy shell scraping over the floor.",
            "duck": "Quacking and the flapping of wings.",
        },
    ),
    "food": (
        "{s} is about to cook for all of us.",
        "What may {s} be doing in the kitchen?",
        {
            "soup": "{s} is stirring a big pot and needs deep plates.",
            "bread": "{s} is kneading dough for a loaf.",
            "rice": "{s} is boiling small white grains.",
            "fish": "{s} is taking out the bones.",
            "cake": "{s} is whipping cream and melting chocolate.",
            "apples": "{s} is peeling fruit from the garden.",
            "pasta": "{s} is waiting for the noodles to get soft.",
            "beans": "{s} is opening green pods.",
        },
    ),
    "material": (
        "This morning I dropped the {s} on the stone floor.",
        "What may have happened to the {s}?",
        {
            "wood": "It landed with a dull thud and has a scratch.",
            "metal": "It landed with a clang and has a dent.",
            "cloth": "It landed without a sound and has a crease.",
            "glass": "It broke into many sharp pieces.",
        },
    ),
}
"""By the relation of a fact: what happens, what is asked, and what follows from each value."""

_NONE = "None of the above choices."


def cosmos_qa(world, rng):
    fact = world.fact(rng, tuple(_NEXT))
    happening, question, outcomes = _NEXT[fact.relation.name]
    wrong = rng.sample([value for value in outcomes if value != fact.value], 3)
    answers = [outcomes[value].format(s=fact.subject) for value in (fact.value, *wrong)]
    offered = rng.choice((answers, answers, answers[:3], answers[1:]))
    choices = rng.sample(offered, len(offered)) + [_NONE] * (4 - len(offered))
    right = answers[0] if answers[0] in choices else _NONE
    texts = [
        rng.choice(_OPENINGS),
        fact.say(rng.randrange(3)),
        happening.format(s=fact.subject),
    ]
    if rng.random() < 0.5:
        texts.insert(1, world.other(fact, rng).say(rng.randrange(3)))
    return {
        "context": " ".join(texts),
        "question": question.format(s=fact.subject),
        "label": choices.index(right),
        "id": "",
    } | {f"answer{i}": choice for i, choice in enumerate(choices)}
