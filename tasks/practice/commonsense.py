"""Practice rows of the commonsense tasks: small events, errands and stories."""

from flan_jax.tasks import practice_words
from flan_jax.tasks.practice_world import draw_among, sentence, split_knowledge
from tasks.practice import everyday

_CAUSES_AND_EFFECTS = split_knowledge(everyday.CAUSES_AND_EFFECTS)
_ACTIVITIES = split_knowledge(everyday.ACTIVITIES)
_ERRANDS = split_knowledge(everyday.ERRANDS)
_STORIES = split_knowledge({"stories": everyday.STORIES})


def copa(world, rng, split):
    subject = rng.choice(world.people)
    right, wrong = everyday.draw_from_topics(_CAUSES_AND_EFFECTS[split], rng, 2)
    question = rng.choice(("cause", "effect"))
    cause, effect = (text.format(s=subject) for text in right)
    premise, answer = (effect, cause) if question == "cause" else (cause, effect)
    choices = [answer, wrong[question == "effect"].format(s=subject)]
    label = rng.randrange(2)
    return {
        "premise": premise,
        "choice1": choices[label],
        "choice2": choices[1 - label],
        "question": question,
        "label": label,
        "idx": 0,
    }


_MANNERS = (
    "",
    " the easy way",
    " in a short time",
    " for the first time",
    " like an expert",
    " on your own",
)


def hellaswag(world, rng, split):
    """Draws an activity, in a film or in instructions, whose last step is one of four options."""
    activities = everyday.draw_from_topics(_ACTIVITIES[split], rng, 4)
    activity, first, second, last = activities[0]
    endings = rng.sample([ending for *_, ending in activities], 4)
    label = endings.index(last)
    if rng.random() < 0.5:
        person = rng.choice(world.people)
        wish = f"{person} is in {rng.choice(world.towns)} and wants to {activity}."
        context = (
            f"{wish} {person} {third_person(first)}. After that, {person} "
            f"{third_person(second)} and"
        )
        endings = [f"{third_person(ending)}." for ending in endings]
        source = "activitynet"
    else:
        context = (
            f"[header] How to {activity}{rng.choice(_MANNERS)} [title] {sentence(first)}. [step] "
            f"Then {second}."
        )
        endings = [f"[substeps] Now {ending}." for ending in endings]
        source = "wikihow"
    return {
        "context": context,
        "endings": endings,
        "activity_label": sentence(activity),
        "label": label,
        "split_type": "indomain",
        "source_id": f"{source}~{activity.replace(' ', '_')}",
    }


def third_person(step):
    """Puts the step's verb into the third person: "dry the dog" is "dries the dog"."""
    verb, space, rest = step.partition(" ")
    if verb.endswith("y") and verb[-2] not in "aeiou":
        verb = f"{verb[:-1]}ies"
    elif verb.endswith(("sh", "ch", "x", "ss", "o")):
        verb += "es"
    else:
        verb += "s"
    return verb + space + rest


def everyday_words(world, rng):
    """Draws the words that the texts of `everyday` leave open."""
    buildings = practice_words.BUILDINGS
    return {
        "s": rng.choice(world.people),
        "town": rng.choice(world.towns),
        "country": rng.choice(world.countries),
        "product": rng.choice(world.products),
        "job": rng.choice(world.jobs),
        "food": rng.choice(world.foods),
        "pet": rng.choice(world.pets),
        "color": rng.choice(world.colors),
        "thing": rng.choice(world.things),
        "dish": draw_among(world.foods, practice_words.DISHES, rng),
        "animal": draw_among(world.pets, practice_words.LAND_PETS, rng),
        "portable": draw_among(world.things, practice_words.PORTABLE_THINGS, rng),
        "vessel": draw_among(world.things, practice_words.VESSELS, rng),
        "building": draw_among(world.places_in_town, buildings, rng),
    }


_ASKED = (
    "How do you {goal}?",
    "To {goal}, you can",
    "{goal}",
    "What should I do if I want to {goal}?",
)


def piqa(world, rng, split):
    (goal, right), (_, wrong) = everyday.draw_from_topics(_ERRANDS[split], rng, 2)
    goal = goal.format(**everyday_words(world, rng))
    solutions = [f"use {tool}." for tool in (right, wrong)]
    asked = rng.choice(_ASKED)
    if not asked.endswith("can"):
        solutions = [sentence(solution) for solution in solutions]
    label = rng.randrange(2)
    return {
        "id": "",
        "goal": asked.format(goal=goal),
        "sol1": solutions[label],
        "sol2": solutions[1 - label],
        "label": label,
    }


_DAYS = (
    "It was Monday.",
    "It was a day in May.",
    "This was last year.",
    "This happened in spring.",
    "It was the first week of July.",
)


def story_cloze(world, rng, split):
    beginning, *ways = rng.choice(_STORIES[split]["stories"])
    day = rng.choice(_DAYS)
    slots = everyday_words(world, rng)
    right, wrong = rng.sample(ways, 2)
    endings = rng.sample([right[1], wrong[1]], 2)
    return {
        "context": f"{day} {beginning} {right[0]}".format(**slots),
        "endings": [ending.format(**slots) for ending in endings],
        "label": endings.index(right[1]) + 1,
    }
