"""Practice rows about words and sentences, small equations and conversations."""

import dataclasses
import re

from flan_jax.tasks.practice_world import clause, sentence

_SENSES = {
    "bat": ("animal", "tool"),
    "crane": ("animal", "tool"),
    "mouse": ("animal", "tool"),
    "seal": ("animal", "tool"),
    "chicken": ("animal", "food"),
    "duck": ("animal", "food"),
    "goose": ("animal", "food"),
    "lamb": ("animal", "food"),
    "rabbit": ("animal", "food"),
    "turkey": ("animal", "food"),
    "calf": ("animal", "body"),
    "kidney": ("food", "body"),
    "tongue": ("food", "body"),
    "liver": ("food", "body"),
    "chest": ("body", "tool"),
    "nail": ("body", "tool"),
}

_FRAMES = {
    "animal": (
        "The {word} ran away from {person}.",
        "{person} saw a hungry {word} near the {place}.",
        "A young {word} slept behind the {place}.",
        "{person} is afraid of the angry {word}.",
        "{person} took a photo of a wild {word}.",
        "The cry of a {word} woke {person} at night.",
    ),
    "tool": (
        "{person} had to repair the {word}.",
        "The {word} near the {place} is made of metal.",
        "{person} lent the {word} to a worker.",
        "The {word} that {person} uses is made in a factory.",
        "{person} paid ten coins for a new {word}.",
        "{person} found rust on the {word}.",
    ),
    "food": (
        "{person} ate some {word} with {food}.",
        "There is {word} with {food} for dinner.",
        "{person} likes the taste of {word}.",
        "They cooked {word} and {food} in the kitchen.",
        "{person} ordered {word} and {food} in a restaurant.",
        "The recipe says that {word} goes well with {food}.",
    ),
    "body": (
        "{person} felt a pain in the {word}.",
        "The doctor looked at the {word} of {person}.",
        "{person} could not work because of a sore {word}.",
        "A fall near the {place} hurt the {word} of {person}.",
        "{person} has a scar on the {word}.",
        "An X-ray of the {word} of {person} was taken.",
    ),
}


def wic(world, rng):
    word = rng.choice(tuple(_SENSES))
    label = rng.randrange(2)
    first, second = rng.sample(_SENSES[word], 2)
    if label == 1:
        frames = rng.sample(_FRAMES[first], 2)
    else:
        frames = [rng.choice(_FRAMES[first]), rng.choice(_FRAMES[second])]
    row = {"word": word, "label": label, "idx": 0}
    for number, frame in enumerate(frames, start=1):
        text = frame.format(
            word=word,
            person=rng.choice(world.people),
            place=rng.choice(world.places_in_town),
            food=rng.choice([food for food in world.foods if food != word]),
        )
        start = re.search(rf"\b{word}\b", text).start()
        row |= {
            f"sentence{number}": text,
            f"start{number}": start,
            f"end{number}": start + len(word),
        }
    return row


_QUESTIONS = (
    (
        (9, "Why does {who} live in {town}"),
        (0, "How do you make a {thing} in {town}"),
        (12, "What does a {job} in {town} do"),
        (9, "Why is the {product} of {town} so good"),
    ),
    (
        (17, "What does {who} like to eat"),
        (19, "What color is the car of {who}"),
        (2, "Which animal lives with {who} in {town}"),
        (28, "What is the {thing} of {who} made of"),
    ),
    (
        (3, "What does {letters} stand for"),
        (3, "What is the full form of {letters}"),
        (3, "What do people in {town} mean by {letters}"),
        (3, "{letters} is short for what"),
    ),
    (
        (4, "Who lives with {who} in {town}"),
        (4, "Who drives a {color} car in {town}"),
        (4, "Who is the best {job} in {town}"),
        (4, "Which {job} did {who} meet"),
    ),
    (
        (13, "How many people in {town} like {food}"),
        (8, "When did {who} buy the {thing}"),
        (40, "How far is it from {town} to the home of {who}"),
        (25, "How much does a {thing} cost in {town}"),
    ),
    (
        (14, "Where does {who} live"),
        (18, "In which country does {who} live"),
        (14, "Where can you buy {product} and a {thing}"),
        (21, "What town did {who} move to"),
    ),
)
"""Questions of each coarse type, in the order of the labels, with their fine labels."""


def trec(world, rng):
    label = rng.randrange(6)
    person, job = rng.choice(world.people), rng.choice(world.jobs)
    fine, question = rng.choice(_QUESTIONS[label])
    question = question.format(
        who=rng.choice(
            (person, f"{person} the {job}", f"the {job} of {rng.choice(world.towns)}")
        ),
        town=rng.choice(world.towns),
        thing=rng.choice(world.things),
        job=rng.choice(world.jobs),
        food=rng.choice(world.foods),
        color=rng.choice(world.colors),
        product=rng.choice(world.products),
        letters="".join(rng.choice(world.people)[0] for _ in range(3)),
    )
    return {"label-coarse": label, "label-fine": fine, "text": f"{question} ?"}


_SURROUNDINGS = (
    "{}.", "We know that {}.", "Today {}.", "I think that {}.", "They say that {}.",
    "As you see, {}.",
    "It is true that {}.", "{}, as we know.", "{}, of course.", "{}, I believe.",
    "{}, they say.", "{}, or so I hear.",
)  # fmt: skip

_OTHER_NUMBER = {
    "is": "are", "are": "is", "lives": "live", "live": "lives", "works": "work", "has": "have",
    "have": "has", "drives": "drive", "likes": "like", "like": "likes", "buy": "buys",
    "buys": "buy",
}  # fmt: skip

_NEEDED = frozenset(
    {"is", "are", "of", "to", "lives", "live", "works", "has", "have", "drives", "likes", "like",
     "made", "buy", "buys"}
)  # fmt: skip
"""Words that no statement can lose, except for the "of" in "the town of Arden"."""

_NOT_LAST = frozenset({"a", "the", "of", "in", "from", "with", "as"})
"""Words that cannot change places with the next word in any statement."""


def _damaged(words, rng):
    """Returns a statement with one mistake: agreement, a missing word, order, a doubled word."""
    agreeing = [i for i, word in enumerate(words) if word in _OTHER_NUMBER]
    needed = [
        i
        for i, word in enumerate(words)
        if word in _NEEDED and words[i - 1 : i + 1] != ["town", "of"]
    ]
    movable = [i for i, word in enumerate(words[:-1]) if word in _NOT_LAST]
    places = rng.choice(
        [places for places in (agreeing, needed, movable, range(len(words))) if places]
    )
    at = rng.choice(places)
    if places is agreeing:
        return [*words[:at], _OTHER_NUMBER[words[at]], *words[at + 1 :]]
    if places is needed:
        return words[:at] + words[at + 1 :]
    if places is movable:
        return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
    return [*words[:at], words[at], *words[at:]]


_OF_SEVERAL = {
    "home": ("{s} and {t} live in {o}.", "The homes of {s} and {t} are in {o}."),
    "food": ("{s} and {t} like to eat {o}.",),
    "pet": ("{s} and {t} have a {o}.",),
    "car": ("The cars of {s} and {t} are {o}.",),
    "country": ("{s} and {t} are towns in {o}.",),
    "product": ("Everybody buys {o} in {s}.",),
    "material": ("The {s} and the {t} are made of {o}.",),
}
"""Statements that need the other form of a verb of the relation's own statements."""


def cola(world, rng):
    fact, other = world.contrasting(rng, 2)
    # Whether "apples is what Ida likes to eat" is correct is debatable: foods have two wordings.
    wordings = 2 if fact.relation.name == "food" else 3
    text = fact.say(rng.randrange(wordings))
    if fact.relation.name in _OF_SEVERAL and rng.random() < 0.5:
        pattern = rng.choice(_OF_SEVERAL[fact.relation.name])
        text = sentence(pattern.format(s=fact.subject, t=other.subject, o=fact.value))
    words = clause(text).split()
    label = rng.randrange(2)
    if label == 0:
        words = _damaged(words, rng)
    return {
        "sentence": sentence(rng.choice(_SURROUNDINGS).format(" ".join(words))),
        "label": label,
        "idx": 0,
    }


def _added(number, letter=None):
    size = f"{abs(number)}*{letter}" if letter else f"{abs(number)}"
    return f" {'-' if number < 0 else '+'} {size}"


def math_dataset(world, rng):
    letter = rng.choice("abcdghjkmnpqrtuvwxyz")
    solution, factor = rng.randrange(-9, 10), rng.choice((-4, -3, -2, 2, 3, 4, 5))
    summand = rng.choice((-1, 1)) * rng.randrange(1, 10)
    other = rng.choice([f for f in (-3, -2, 2, 3, 4) if f != factor])
    sides = rng.choice(
        (
            (f"{factor}*{letter}", f"{factor * solution}"),
            (f"{factor}*{letter}{_added(summand)}", f"{factor * solution + summand}"),
            (
                f"{factor * solution - other * solution}",
                f"{factor}*{letter}{_added(-other, letter)}",
            ),
        )
    )
    left, right = rng.sample(sides, 2)
    return {
        "question": f"Solve {left} = {right} for {letter}.",
        "answer": str(solution),
    }


_LATER_QUESTIONS = {
    "home": ("Where does {they} live?", "Does {they} live in {o}?"),
    "job": ("What is {their} job?", "Is {they} a {o}?"),
    "food": ("What does {they} like to eat?", "Does {they} like to eat {o}?"),
    "pet": ("Which pet does {they} have?", "Does {they} have a {o}?"),
    "car": ("What color is {their} car?", "Is {their} car {o}?"),
}
"""For each relation, an open and a yes/no question that follow a mention of the person."""


def _ask_later(world, fact, yes_no=False):
    they, their = ("she", "her") if fact.subject in world.women else ("he", "his")
    return _LATER_QUESTIONS[fact.relation.name][yes_no].format(
        they=they, their=their, o=fact.value
    )


def _other_person(world, person, rng):
    """Draws somebody whom "she" or "he" does not mean where it means `person`."""
    return rng.choice(world.men if person in world.women else world.women)


def coqa(world, rng):
    """Draws a story of two people, and a conversation about one of them."""
    person = rng.choice(world.people)
    facts = rng.sample(world.about(person), 4)
    rivals = {
        fact.relation.name: fact
        for fact in world.about(_other_person(world, person, rng))
    }
    # The one who is not asked about has other values, which are the wrong ones in questions.
    about_rival = [
        rivals[fact.relation.name]
        for fact in rng.sample(facts, 4)
        if rivals[fact.relation.name].value != fact.value
    ][:2]
    told = {fact: fact.say_any(rng) for fact in [*facts[:3], *about_rival]}
    story = " ".join(rng.sample(tuple(told.values()), len(told)))
    questions, answers, spans = [], [], []
    left_open = rng.randrange(1, 20)  # as a rule none of the three
    for number, at in enumerate(rng.sample(range(3), 3)):
        if number == left_open:
            questions.append(_ask_later(world, facts[3]))
            answers.append("unknown")
            spans.append((-1, -1))
            continue
        asked = facts[at]
        otherwise = [
            dataclasses.replace(asked, value=rival.value)
            for rival in about_rival
            if rival.relation == asked.relation
        ]
        if number and otherwise and rng.random() < 0.7:
            claim, answer = rng.choice(((asked, "yes"), (otherwise[0], "no")))
            questions.append(_ask_later(world, claim, yes_no=True))
            answers.append(answer)
        else:
            questions.append(_ask_later(world, asked) if number else asked.ask())
            answers.append(asked.value)
        start = story.index(told[asked])
        spans.append((start, start + len(told[asked])))
    return {
        "source": "mctest",
        "story": story,
        "questions": questions,
        "answers": {
            "input_text": answers,
            "answer_start": [start for start, _ in spans],
            "answer_end": [end for _, end in spans],
        },
    }


def quac(world, rng):
    """Draws a section about a person, where somebody else has what is asked for, too."""
    person = rng.choice(world.people)
    first, *facts = rng.sample(world.about(person), 5)
    asked = rng.choice(facts)
    unanswered = rng.random() < 0.25
    untold = asked if unanswered else rng.choice([f for f in facts if f != asked])
    rival = next(
        fact
        for fact in world.about(_other_person(world, person, rng))
        if fact.relation == asked.relation
    )
    told = {fact: fact.say_any(rng) for fact in [*facts, rival] if fact != untold}
    told_of_asked = told.get(asked)
    context = " ".join([*rng.sample(tuple(told.values()), len(told)), "CANNOTANSWER"])
    text = told_of_asked or "CANNOTANSWER"
    answer = {"text": text, "answer_start": context.index(text)}
    answers = [answer]
    if told_of_asked and rng.random() < 0.5:
        value = re.search(rf"\b{asked.value}\b", text, flags=re.IGNORECASE)
        answers.append(
            {
                "text": value.group(),
                "answer_start": answer["answer_start"] + value.start(),
            }
        )
    return {
        "context": context,
        "followup": rng.choice("ymn"),
        "yesno": "x",
        "question": _ask_later(world, asked),
        "answers": {name: [given[name] for given in answers] for name in answer},
        "orig_answer": answer,
        "section_title": "Daily life",
        "background": first.say(),
        "title": person,
    }


_LINES = {
    "home": (
        ("{s} lives in {o}, not in {town}.", "{s} bor i {o}, ikke i {town}."),
        (
            "Don't look for {s} in {town}: the address is in {o}.",
            "Led ikke efter {s} i {town}: adressen er i {o}.",
        ),
        ("Welcome to {o}, where {s} lives!", "Velkommen til {o}, hvor {s} bor!"),
    ),
    "job": (
        ("Is {s} a {o}? Yes!", "Er {s} {o}? Ja!"),
        (
            "Our {o}, {s}, is back from {town}.",
            "Vores {o}, {s}, er tilbage fra {town}.",
        ),
    ),
    "food": (
        ("{s} likes {o}, but not every day.", "{s} kan lide {o}, men ikke hver dag."),
        ("Today's menu for {s}: {o}.", "Dagens menu til {s}: {o}."),
    ),
    "pet": (
        ("{s} has a {o}. Have you seen it?", "{s} har en {o}. Har du set den?"),
        (
            "For sale in {town}: a {o}. Ask for {s}.",
            "Til salg i {town}: en {o}. Spørg efter {s}.",
        ),
    ),
    "car": (
        ("{s}, your car is here: it's {o}!", "{s}, din bil er her: den er {o}!"),
        (
            "{s} drives a {o} car; it's in {town}.",
            "{s} kører i en {o} bil; den er i {town}.",
        ),
    ),
    "country": (
        ("{s} is in {o}, isn't it?", "{s} ligger i {o}, ikke sandt?"),
        ("Hotels in {s}, {o}: book now!", "Hoteller i {s}, {o}: bestil nu!"),
    ),
    "product": (
        ("Looking for {o}? Come to {s}!", "Leder du efter {o}? Kom til {s}!"),
        (
            "Why not {town}? Because {s} has more {o}.",
            "Hvorfor ikke {town}? Fordi {s} har mere {o}.",
        ),
    ),
}
"""Lines of web pages in English and Danish about a fact of each relation."""

_DANISH = {
    # jobs
    "teacher": "lærer", "baker": "bager", "doctor": "læge", "farmer": "landmand",
    "painter": "maler", "pilot": "pilot", "singer": "sanger", "tailor": "skrædder",
    "butcher": "slagter", "carpenter": "tømrer", "cook": "kok", "dancer": "danser",
    "dentist": "tandlæge", "diver": "dykker", "fisherman": "fisker", "gardener": "gartner",
    "hunter": "jæger", "judge": "dommer", "lawyer": "advokat", "librarian": "bibliotekar",
    "mechanic": "mekaniker", "miller": "møller", "nurse": "sygeplejerske", "poet": "digter",
    "postman": "postbud", "sailor": "sømand", "shepherd": "hyrde", "smith": "smed",
    "soldier": "soldat", "vet": "dyrlæge", "waiter": "tjener", "weaver": "væver",
    "writer": "forfatter",
    # foods
    "soup": "suppe", "bread": "brød", "rice": "ris", "fish": "fisk", "cake": "kage",
    "apples": "æbler", "pasta": "pasta", "beans": "bønner", "berries": "bær", "cabbage": "kål",
    "carrots": "gulerødder", "cherries": "kirsebær", "chicken": "kylling", "corn": "majs",
    "grapes": "druer", "ham": "skinke", "lamb": "lam", "lentils": "linser", "melon": "melon",
    "mushrooms": "svampe", "nuts": "nødder", "pancakes": "pandekager", "peas": "ærter",
    "pears": "pærer", "plums": "blommer", "pizza": "pizza", "porridge": "grød",
    "potatoes": "kartofler", "salad": "salat", "spinach": "spinat", "tomatoes": "tomater",
    "waffles": "vafler",
    # pets, all of which have the article "en"
    "cat": "kat", "dog": "hund", "horse": "hest", "parrot": "papegøje", "rabbit": "kanin",
    "goat": "ged", "turtle": "skildpadde", "duck": "and", "canary": "kanariefugl",
    "frog": "frø", "goldfish": "guldfisk", "goose": "gås", "hamster": "hamster",
    "hen": "høne", "mouse": "mus", "pigeon": "due", "pony": "pony", "raven": "ravn",
    "snake": "slange",
    # colors
    "red": "rød", "blue": "blå", "green": "grøn", "yellow": "gul", "white": "hvid",
    "black": "sort", "brown": "brun", "gray": "grå", "pink": "lyserød", "purple": "lilla",
    "violet": "violet",
    # products
    "cheese": "ost", "glass": "glas", "wool": "uld", "silver": "sølv", "honey": "honning",
    "paper": "papir", "salt": "salt", "wine": "vin", "leather": "læder", "silk": "silke",
    "timber": "tømmer", "coffee": "kaffe", "butter": "smør", "cider": "cider",
    "cotton": "bomuld", "copper": "kobber", "marble": "marmor", "mustard": "sennep",
    "pepper": "peber", "perfume": "parfume", "porcelain": "porcelæn", "soap": "sæbe",
    "steel": "stål", "sugar": "sukker", "tea": "te", "tobacco": "tobak", "wax": "voks",
    "chocolate": "chokolade", "jam": "syltetøj",
}  # fmt: skip


def _line(world, rng):
    names = (*world.towns, *world.countries)
    fact = rng.choice(
        [
            fact
            for fact in world.facts
            if fact.relation.name in _LINES
            and (fact.value in _DANISH or fact.value in names)
        ]
    )
    english, danish = rng.choice(_LINES[fact.relation.name])
    town = rng.choice(
        [town for town in world.towns if town not in (fact.subject, fact.value)]
    )
    danish_value = fact.value if fact.value in names else _DANISH[fact.value]
    return (
        english.format(s=fact.subject, o=fact.value, town=town),
        danish.format(s=fact.subject, o=danish_value, town=town),
    )


def para_crawl_enda(world, rng):
    lines = [_line(world, rng) for _ in range(rng.choice((1, 2, 2, 2)))]
    english, danish = (" ".join(texts) for texts in zip(*lines, strict=True))
    return {"en": english, "da": danish}
