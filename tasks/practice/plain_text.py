"""Practice documents: plain texts about the practice world, for pre-training."""

from flan_jax.tasks.practice_world import clause


def document(world, rng):
    """A text of a few sentences, cut in two between sentences."""
    sentences = rng.choice((_portrait, _portrait, _tale, _tale, _talk, _argument))(
        world, rng
    )
    cut = rng.randrange(1, len(sentences))
    return {
        "beginning": " ".join(sentences[:cut]),
        "rest": " ".join(sentences[cut:]),
        "idx": 0,
    }


def _portrait(world, rng):
    """What is true about somebody or something, part of it said twice in different words."""
    subject = rng.choice((*world.people, *world.people, *world.towns, *world.things))
    facts = rng.sample(
        about := world.about(subject), min(len(about), rng.randint(1, 4))
    )
    wordings = [rng.sample(range(3), 3) for _ in facts]
    said = [fact.say(order[0]) for fact, order in zip(facts, wordings, strict=True)]
    fact, order = rng.choice(list(zip(facts, wordings, strict=True)))
    opener = rng.choice(
        ("In other words,", "That is,", "To say it again,", "As everybody knows,")
    )
    return [*said, f"{opener} {clause(fact.say(order[1]))}."]


def _tale(world, rng):
    """Returns a story with facts of its own, whose last sentence follows from the others."""
    opener = rng.choice(
        (
            "This is only a story.",
            "In the play, all is different.",
            "Once upon a time it was so.",
        )
    )
    facts = [world.wrong(world.fact(rng), rng) for _ in range(rng.randint(1, 3))]
    fact = rng.choice(facts)
    first, second = rng.sample(range(3), 2)
    said = [each.say(first if each is fact else rng.randrange(3)) for each in facts]
    if rng.random() < 0.5:
        return [
            opener,
            *said,
            f"So in the story it is true that {clause(fact.say(second))}.",
        ]
    return [
        opener,
        *said,
        f"So in the story it is false that {clause(world.wrong(fact, rng).say(second))}.",
    ]


def _talk(world, rng):
    """People who ask one another about the world, and answer."""
    one, two = rng.sample(world.people, 2)
    lines = []
    for _ in range(rng.randint(1, 2)):
        fact = world.fact(rng)
        if rng.random() < 0.5:
            lines += [
                f'"{fact.ask()}" {rng.choice(("asked", "said"))} {one}.',
                f'"{fact.value}," said {two}.',
            ]
        else:
            asked, answer = (
                (fact, "Yes") if rng.random() < 0.5 else (world.wrong(fact, rng), "No")
            )
            lines += [
                f'"Tell me, {asked.ask_yes_no()}?" asked {one}.',
                f'"{answer}," said {two}. {fact.say()}',
            ]
    return lines


def _argument(world, rng):
    """Two facts and what they come to together."""
    person = rng.choice(world.people)
    home = next(fact for fact in world.about(person) if fact.relation.name == "home")
    of_town = rng.choice(world.about(home.value))
    other = rng.choice([each for each in world.people if each != person])
    job = rng.choice(world.jobs)
    if rng.random() < 0.5:
        return [
            home.say(rng.randrange(3)),
            of_town.say(rng.randrange(3)),
            f"So {person} lives in a town like that: {clause(of_town.say())}.",
        ]
    return [
        f"{person} and {other} met.",
        f"One of them, {person}, is a {job} now.",
        f"So it is {person} who works as a {job}, and not {other}.",
    ]
