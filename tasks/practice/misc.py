"""Practice rows about words and sentences, small equations and conversations."""

from flan_jax.tasks.practice_world import sentence

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
    ),
    "tool": (
        "{person} had to repair the {word}.",
        "The {word} in the {place} is made of metal.",
        "{person} paid ten coins for a new {word}.",
        "{person} found rust on the {word}.",
    ),
    "food": (
        "{person} ate some {word} with {food}.",
        "There is {word} with {food} for dinner.",
        "{person} likes the taste of {word}.",
        "They cooked {word} and {food} in the kitchen.",
    ),
    "body": (
        "{person} felt a pain in the {word}.",
        "The doctor looked at the {word} of {person}.",
        "{person} could not work because of a sore {word}.",
        "A fall in the {place} hurt the {word} of {person}.",
    ),
}


def wic(world, rng):
    word = rng.choice(tuple(_SENSES))
    label = rng.randrange(2)
    first = rng.choice(_SENSES[word])
    second = (
        first
        if label == 1
        else next(sense for sense in _SENSES[word] if sense != first)
    )
    frames = (
        rng.sample(_FRAMES[first], 2)
        if label == 1
        else [rng.choice(_FRAMES[s]) for s in (first, second)]
    )
    row = {"word": word, "label": label, "idx": 0}
    for number, frame in enumerate(frames, start=1):
        text = frame.format(
            word=word,
            person=rng.choice(world.people),
            place=rng.choice(world.places_in_town),
            food=rng.choice(world.foods),
        )
        start = text.index(word)
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
    "is": "are", "lives": "live", "works": "work", "has": "have", "drives": "drive",
    "likes": "like", "buy": "buys",
}  # fmt: skip

_NEEDED = frozenset(
    {"is", "of", "to", "lives", "works", "has", "drives", "likes", "made", "buy"}
)
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


def cola(world, rng):
    fact = world.fact(rng)
    # Whether "apples is what Ida likes to eat" is correct is debatable: foods have two wordings.
    first, *rest = (
        fact.say(rng.randrange(2 if fact.relation.name == "food" else 3))
        .rstrip(".")
        .split()
    )
    words = [
        first
        if first in world.people + world.towns + world.countries
        else first.lower(),
        *rest,
    ]
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


def coqa(world, rng):
    facts = rng.sample(world.about(rng.choice(world.people)), 4)
    told = [fact.say(rng.randrange(3)) for fact in facts[:3]]
    story = " ".join(told)
    questions, answers, spans = [], [], []
    left_open = rng.randrange(1, 20)  # as a rule none of the three
    for number, at in enumerate(rng.sample(range(3), 3)):
        if number == left_open:
            questions.append(_ask_later(world, facts[3]))
            answers.append("unknown")
            spans.append((-1, -1))
            continue
        if number and rng.random() < 0.4:
            truth = rng.random() < 0.5
            questions.append(
                _ask_later(
                    world,
                    facts[at] if truth else world.wrong(facts[at], rng),
                    yes_no=True,
                )
            )
            answers.append("yes" if truth else "no")
        else:
            questions.append(
                _ask_later(world, facts[at]) if number else facts[at].ask()
            )
            answers.append(facts[at].value)
        start = story.index(told[at])
        spans.append((start, start + len(told[at])))
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
    person = rng.choice(world.people)
    first, *facts = rng.sample(world.about(person), 5)
    told = {fact: fact.say(rng.randrange(3)) for fact in facts[:3]}
    context = " ".join([*told.values(), "CANNOTANSWER"])
    asked = rng.choice(facts)
    text = told.get(asked, "CANNOTANSWER")
    answer = {"text": text, "answer_start": context.index(text)}
    answers = [answer]
    if asked in told and rng.random() < 0.5:
        answers.append(
            {
                "text": asked.value,
                "answer_start": context.index(asked.value, answer["answer_start"]),
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
    "teacher": "lærer", "baker": "bager", "doctor": "læge", "farmer": "landmand",
    "painter": "maler", "pilot": "pilot",
    "singer": "sanger", "tailor": "skrædder", "soup": "suppe", "bread": "brød", "rice": "ris",
    "fish": "fisk",
    "cake": "kage", "apples": "æbler", "pasta": "pasta", "beans": "bønner", "cat": "kat",
    "dog": "hund",
    "horse": "hest", "parrot": "papegøje", "rabbit": "kanin", "goat": "ged",
    "turtle": "skildpadde", "duck": "and",
    "red": "rød", "blue": "blå", "green": "grøn", "yellow": "gul", "white": "hvid",
    "black": "sort", "brown": "brun",
    "gray": "grå", "cheese": "ost", "glass": "glas", "wool": "uld", "silver": "sølv",
    "honey": "honning",
    "paper": "papir", "salt": "salt", "wine": "vin",
}  # fmt: skip


def _line(world, rng):
    fact = world.fact(rng, tuple(_LINES))
    english, danish = rng.choice(_LINES[fact.relation.name])
    town = rng.choice(
        [town for town in world.towns if town not in (fact.subject, fact.value)]
    )
    return (
        english.format(s=fact.subject, o=fact.value, town=town),
        danish.format(s=fact.subject, o=_DANISH.get(fact.value, fact.value), town=town),
    )


def para_crawl_enda(world, rng):
    lines = [_line(world, rng) for _ in range(rng.choice((1, 2, 2, 2)))]
    english, danish = (" ".join(texts) for texts in zip(*lines, strict=True))
    return {"en": english, "da": danish}
