"""Practice rows of the tasks that take reading and common sense."""

import dataclasses

from flan_jax.tasks.practice_world import clause, sentence

_REPORTS = (
    "{}.",
    "According to the neighbors, {}.",
    "It is no secret that {}, or so the paper says.",
    "{}, a reporter has found out.",
    "The mayor says that {}.",
    "Nobody was surprised to hear that {}.",
)


def record(world, rng):
    """Draws a passage of which the query repeats one statement, without its subject.

    Only subjects are names, and each is named once: any of them fits as well as the right one.
    """
    relations = ("job", "food", "pet", "car", "product")
    facts = world.contrasting(rng, rng.choice((2, 3)), relations)
    fact = rng.choice(facts)
    names = [other.subject for other in facts]
    strangers = [name for name in world.people if name not in names]
    asides = [
        rng.choice(
            [
                other
                for other in world.about(stranger)
                if other.relation.name in relations and other.relation != fact.relation
            ]
        )
        for stranger in rng.sample(strangers, 2)
        if fact.subject in world.people
    ]
    names += [other.subject for other in asides]
    stated = rng.sample([*facts, *asides], len(names))
    texts = [other.say_any(rng) for other in stated]
    statement = rng.choice(fact.relation.statements)
    blanked = statement.format(s="@placeholder", o=fact.value)
    report = rng.choice(_REPORTS).format(clause(blanked))
    highlights = [other.say().rstrip(".") for other in asides]
    return {
        "passage": "\n@highlight\n\n".join((" ".join(texts), *highlights)),
        "query": sentence(report),
        "entities": sorted(names),
        "answers": [fact.subject],
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
            "barber": "{s} will cut somebody's hair.",
            "builder": "{s} will lay bricks for a new wall.",
            "butcher": "{s} will cut up meat.",
            "carpenter": "{s} will saw boards.",
            "dentist": "{s} will drill into a tooth.",
            "fisherman": "{s} will pull in a net.",
            "gardener": "{s} will water flowers.",
            "jeweler": "{s} will polish rings and chains.",
            "judge": "{s} will send a thief to prison.",
            "librarian": "{s} will put books back on the shelves.",
            "mechanic": "{s} will fix an engine.",
            "miner": "{s} will dig far below the ground.",
            "plumber": "{s} will stop a leak in a pipe.",
            "postman": "{s} will carry letters from door to door.",
            "sailor": "{s} will be far out at sea.",
            "shepherd": "{s} will watch a flock on a hill.",
            "soldier": "{s} will march in uniform.",
            "vet": "{s} will treat sick animals.",
            "waiter": "{s} will carry plates to the guests.",
            "weaver": "{s} will sit at a loom.",
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
            "canary": "A sweet song from a cage.",
            "donkey": "A loud hee-haw.",
            "frog": "Croaking, and then a splash.",
            "goose": "Angry hissing and beating wings.",
            "hamster": "A little wheel that went round and round.",
            "hen": "The clucking of somebody who has laid an egg.",
            "mouse": "A tiny squeak.",
            "pigeon": "Soft cooing.",
            "snake": "A hiss, and something long gliding away.",
        },
    ),
    "food": (
        "{s} is about to cook for all of us, and it has to be the favorite food.",
        "What may {s} be doing in the kitchen?",
        {
            "soup": "{s} is stirring a big pot and needs deep plates.",
            "bread": "{s} is kneading dough for a loaf.",
            "rice": "{s} is boiling small white grains.",
            "fish": "{s} is taking out the bones.",
            "cake": "{s} is whipping cream and melting chocolate.",
            "apples": "{s} is peeling fruit from the garden.",
            "pasta": "{s} is grating cheese and making a tomato sauce.",
            "beans": "{s} is opening green pods.",
            "cabbage": "{s} is cutting up a big green head.",
            "cherries": "{s} is taking out many little stones.",
            "chicken": "{s} is turning a bird in the oven.",
            "melon": "{s} is slicing something big, round and full of water.",
            "mushrooms": "{s} is frying what we found in the forest.",
            "nuts": "{s} is cracking hard shells.",
            "pancakes": "{s} is turning something flat over in the pan.",
            "pizza": "{s} is putting cheese on a round, flat dough.",
            "potatoes": "{s} is peeling what we dug out of the ground.",
            "salad": "{s} is washing green leaves.",
        },
    ),
    "material": (
        "This morning I dropped the {s} on the stone floor.",
        "What may have happened to the {s}?",
        {
            "wood": "It landed with a dull thud and has a scratch.",
            "metal": "It landed with a clang and has a dent.",
            "cloth": "It landed without a sound and has a crease.",
            "glass": "It broke into many sharp pieces that one can see through.",
            "clay": "It fell to pieces that look like those of a flowerpot.",
            "straw": "It landed softly and lost a few dry stalks.",
        },
    ),
}
"""By the relation of a fact: what happens, what is asked, and what follows from each value."""

_NONE = "None of the above choices."


def cosmos_qa(world, rng):
    """Draws a text about two subjects; one answer fits each of them, and the others neither."""
    happening, question, outcomes = _NEXT[name := rng.choice(tuple(_NEXT))]
    fact, rival = world.contrasting(rng, 2, (name,))
    value, rival_value, *wrong = rng.sample(tuple(outcomes), 5)
    fact = dataclasses.replace(fact, value=value)
    rival = dataclasses.replace(rival, value=rival_value)
    answers = [
        outcomes[other].format(s=fact.subject) for other in (value, rival_value, *wrong)
    ]
    # The last choice is right as often where it is offered as any other one.
    none_is_offered = rng.random() < 0.5
    if not none_is_offered:
        offered = answers[:4]
    elif rng.random() < 0.25:
        offered = answers[1:4]
    else:
        offered = answers[:3]
    choices = rng.sample(offered, len(offered)) + [_NONE] * (4 - len(offered))
    right = answers[0] if answers[0] in choices else _NONE
    texts = rng.sample((fact.say_any(rng), rival.say_any(rng)), 2)
    if rng.random() < 0.5:
        aside = world.asides(rng, [fact, rival], 1)[0]
        texts.insert(rng.randrange(3), aside.say_any(rng))
    context = [rng.choice(_OPENINGS), *texts, happening.format(s=fact.subject)]
    return {
        "context": " ".join(context),
        "question": question.format(s=fact.subject),
        "label": choices.index(right),
        "id": "",
    } | {f"answer{i}": choice for i, choice in enumerate(choices)}
