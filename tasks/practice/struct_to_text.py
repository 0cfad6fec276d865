"""Practice rows of the structure to text tasks."""

from flan_jax.tasks import practice_words

_VERBS = (
    ("find", "finds"), ("carry", "carries"), ("buy", "buys"), ("sell", "sells"), ("see",
    "sees"), ("hide", "hides"),
    ("want", "wants"), ("bring", "brings"), ("drop", "drops"), ("lose", "loses"),
)  # fmt: skip


def common_gen(world, rng):
    verb, finite = rng.choice(_VERBS)
    animals = [pet for pet in world.pets if pet in practice_words.LAND_PETS]
    who = rng.choice([*world.jobs, *(animals if verb not in ("buy", "sell") else ())])
    what, where = (
        rng.choice(world.things + world.foods + world.products),
        rng.choice(world.places_in_town),
    )
    scene = f"the {who} {finite} the {what}"
    if rng.random() < 0.5:
        concepts = [who, verb, what]
        references = [f"{scene.capitalize()}.", f"Today {scene}.", f"Here {scene}."]
    else:
        concepts = [who, verb, what, where]
        references = [
            f"{scene.capitalize()} near the {where}.",
            f"Near the {where}, {scene}.",
        ]
    return {
        "gem_id": "",
        "gem_parent_id": "",
        "concept_set_id": 0,
        "concepts": rng.sample(concepts, len(concepts)),
        "target": rng.choice(references),
        "references": references,
    }


def dart(world, rng):
    home = world.fact(rng, ("home",))
    person, town = home.subject, home.value
    facts = rng.sample(
        [fact for fact in world.about(person) if fact != home], rng.choice((1, 2))
    )
    if rng.random() < 0.5:
        (country,) = (
            fact for fact in world.about(town) if fact.relation.name == "country"
        )
        tripleset = _flat([home, country, *facts])
        openings = (
            f"{person} lives in {town}, a town in {country.value}.",
            f"{person} is from {town} in {country.value}.",
            f"The home of {person} is in {town}, which is in {country.value}.",
        )
    else:
        tripleset = [
            f"[TABLECONTEXT] [TITLE] People of {town}",
            f"[TABLECONTEXT] NAME {person}",
            *_flat(facts),
        ]
        openings = (
            f"{person} is one of the people of {town}.",
            f"One of the people of {town} is {person}.",
            f"Among the people of {town} is {person}.",
        )
    references = [
        " ".join([opening, *(fact.say(wording) for fact in facts)])
        for wording, opening in enumerate(openings)
    ]
    return {
        "gem_id": "",
        "gem_parent_id": "",
        "dart_id": 0,
        "tripleset": tripleset,
        "subtree_was_extended": rng.random() < 0.5,
        "target_sources": ["practice"] * len(references),
        "target": rng.choice(references),
        "references": references,
    }


def _flat(facts):
    return [
        f"{fact.subject} {fact.relation.name.upper()} {fact.value}" for fact in facts
    ]


def e2e_nlg(world, rng):
    slots = {
        "name": f"The {rng.choice(world.colors).capitalize()} {rng.choice(world.things).capitalize()}",
        "eatType": rng.choice(("pub", "restaurant", "coffee shop")),
        "food": rng.choice(world.foods),
        "priceRange": rng.choice(("cheap", "moderate", "high")),
        "area": rng.choice(world.towns),
        "familyFriendly": rng.choice(("yes", "no")),
        "near": rng.choice(world.places_in_town),
    }
    for left_out in rng.sample(
        ("food", "priceRange", "area", "familyFriendly", "near"), rng.choice((2, 3))
    ):
        del slots[left_out]
    references = _describe(slots)
    return {
        "gem_id": "",
        "gem_parent_id": "",
        "meaning_representation": ", ".join(
            f"{slot}[{value}]" for slot, value in slots.items()
        ),
        "target": rng.choice(references),
        "references": references,
    }


def _describe(slots):
    """Returns three wordings of a place: one sentence if possible, "there is", many sentences."""

    def bit(slot, text):
        return text.format(slots[slot]) if slot in slots else ""

    name, kind = slots["name"], slots["eatType"]
    where = bit("area", " in {}") + bit("near", " near the {}")
    families = {"yes": " Families are welcome.", "no": " It is not for families."}.get(
        slots.get("familyFriendly"), ""
    )
    prices = bit("priceRange", " Its prices are {}.").replace("cheap", "low")
    meals = bit("food", " You can eat {} there.")
    return [
        f"{name} is a {kind}{where}{bit('food', ' that serves {}')}.{prices}{families}",
        f"There is a {kind}{where} called {name}.{bit('food', ' It serves {}.')}{prices}{families}",
        f"The {kind} {name}{' is' + where if where else ' is open'}.{families}{meals}{prices}",
    ]


def web_nlg_en(world, rng):
    first = world.fact(rng)
    facts = [first]
    if rng.random() < 0.8:
        facts.append(rng.choice((world.other(first, rng), world.fact(rng))))
    facts = list(dict.fromkeys(facts))  # the second may be the first again
    target = " ".join(fact.say(rng.randrange(3)) for fact in facts)
    alike = [" ".join(fact.say(wording) for fact in facts) for wording in range(3)]
    return {
        "gem_id": "",
        "gem_parent_id": "",
        "input": [
            f"{fact.subject} | {fact.relation.name} | {fact.value}" for fact in facts
        ],
        "category": {"country": "Place", "product": "Place", "material": "Thing"}.get(
            first.relation.name, "Person"
        ),
        "webnlg_id": "",
        "target": target,
        "references": list(dict.fromkeys([target, *alike])),
    }
