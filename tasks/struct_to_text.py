"""Structure to text: put words, attributes or triples into sentences."""

from flan_jax.data.metrics import rouge
from flan_jax.data.sandbox import COLORS, FOODS, JOBS, PETS, PLACES_IN_TOWN, PRODUCTS, THINGS, TOWNS, Sandbox
from flan_jax.data.sources import Tfds
from flan_jax.data.tasks import TemplatedTask, register
from flan_jax.data.templates import Template


def _right_answers(row):
    return {"answer": row["target"], "references": tuple(row["references"]) or (row["target"],)}


def _common_gen_fields(row):
    return {"concepts": ", ".join(row["concepts"])} | _right_answers(row)


_VERBS = (
    ("find", "finds"), ("carry", "carries"), ("buy", "buys"), ("sell", "sells"), ("see", "sees"), ("hide", "hides"),
    ("want", "wants"), ("bring", "brings"), ("drop", "drops"), ("lose", "loses"),
)  # fmt: skip


def _common_gen_practice(world, rng):
    verb, finite = rng.choice(_VERBS)
    who = rng.choice(JOBS if verb in ("buy", "sell") else JOBS + PETS)
    what, where = rng.choice(THINGS + FOODS + PRODUCTS), rng.choice(PLACES_IN_TOWN)
    scene = f"the {who} {finite} the {what}"
    if rng.random() < 0.5:
        concepts = [who, verb, what]
        references = [f"{scene.capitalize()}.", f"Today {scene}.", f"Here {scene}."]
    else:
        concepts = [who, verb, what, where]
        references = [f"{scene.capitalize()} near the {where}.", f"Near the {where}, {scene}."]
    return {
        "gem_id": "",
        "gem_parent_id": "",
        "concept_set_id": 0,
        "concepts": rng.sample(concepts, len(concepts)),
        "target": rng.choice(references),
        "references": references,
    }


COMMON_GEN = register(
    TemplatedTask(
        name="common_gen",
        cluster="struct_to_text",
        source=Tfds("gem/common_gen:1.1.0", train="train[:-200]", validation="train[-200:]", test="validation"),
        sandbox=Sandbox(_common_gen_practice, train=1200, numbered=("gem_id", "gem_parent_id", "concept_set_id")),
        fields=_common_gen_fields,
        metrics=(rouge,),
        templates=(
            Template("Write a sentence that has all of these words in it: {concepts}."),
            Template("Concepts: {concepts}\n\nDescribe an everyday scene in which every one of them appears."),
            Template("{concepts}\n\nWhat might be going on here? One sentence will do."),
            Template('A photo was tagged with "{concepts}". Suggest a caption for it.'),
            Template(
                "The teacher has put these words on the board: {concepts}. You may bend them and change their order, "
                "but you must leave none out. What is your sentence?"
            ),
            Template("Words: {concepts}\nSentence:"),
            Template("Can you say something that makes sense and brings the following together? {concepts}"),
            Template(
                "Text: {answer}\n\nList the main things and actions of this text in their dictionary form.",
                "{concepts}",
                turned_around=True,
            ),
            Template(
                "Somebody was given a handful of words and came up with this: {answer}\nWhich words were they?",
                "{concepts}",
                turned_around=True,
            ),
            Template(
                "Make up an exercise for a language class: a few words, and a sentence as the model solution.",
                "Words: {concepts}\nSolution: {answer}",
                turned_around=True,
            ),
        ),
    )
)


def _e2e_nlg_fields(row):
    return {"listing": row["meaning_representation"].replace("[", " = ").replace("]", "")} | _right_answers(row)


def _e2e_nlg_practice(world, rng):
    slots = {
        "name": f"The {rng.choice(COLORS).capitalize()} {rng.choice(THINGS).capitalize()}",
        "eatType": rng.choice(("pub", "restaurant", "coffee shop")),
        "food": rng.choice(FOODS),
        "priceRange": rng.choice(("cheap", "moderate", "high")),
        "area": rng.choice(TOWNS),
        "familyFriendly": rng.choice(("yes", "no")),
        "near": rng.choice(PLACES_IN_TOWN),
    }
    for left_out in rng.sample(("food", "priceRange", "area", "familyFriendly", "near"), rng.choice((2, 3))):
        del slots[left_out]
    references = _describe(slots)
    return {
        "gem_id": "",
        "gem_parent_id": "",
        "meaning_representation": ", ".join(f"{slot}[{value}]" for slot, value in slots.items()),
        "target": rng.choice(references),
        "references": references,
    }


def _describe(slots):
    """Three wordings of a place: all in one sentence where possible, introduced by "there is", bit by bit."""

    def bit(slot, text):
        return text.format(slots[slot]) if slot in slots else ""

    name, kind = slots["name"], slots["eatType"]
    where = bit("area", " in {}") + bit("near", " near the {}")
    families = {"yes": " Families are welcome.", "no": " It is not for families."}.get(slots.get("familyFriendly"), "")
    prices = bit("priceRange", " Its prices are {}.")
    meals = bit("food", " You can eat {} there.")
    return [
        f"{name} is a {kind}{where}{bit('food', ' that serves {}')}.{prices}{families}",
        f"There is a {kind}{where} called {name}.{bit('food', ' It serves {}.')}{prices}{families}",
        f"The {kind} {name}{' is' + where if where else ' is open'}.{families}{meals}{prices}",
    ]


E2E_NLG = register(
    TemplatedTask(
        name="e2e_nlg",
        cluster="struct_to_text",
        source=Tfds("gem/e2e_nlg:1.1.0", train="train[:-200]", validation="train[-200:]", test="validation"),
        sandbox=Sandbox(_e2e_nlg_practice, train=1200, numbered=("gem_id", "gem_parent_id")),
        fields=_e2e_nlg_fields,
        metrics=(rouge,),
        templates=(
            Template("{listing}\n\nTurn this entry into a sentence or two for a restaurant guide."),
            Template("Describe the place.\n{listing}"),
            Template("Here is all that we know about somewhere to eat: {listing}. Put it in plain English."),
            Template(
                "A friend is looking for a place to have dinner. Recommend this one, and stick to the facts.\n\n"
                "Facts: {listing}"
            ),
            Template("Data: {listing}\nText:"),
            Template('How would you read "{listing}" to someone who cannot see the screen?'),
            Template(
                "Every detail on the next line should be mentioned, and nothing should be made up.\n{listing}\n"
                "Now write the description."
            ),
            Template(
                "The tourist office keeps its records as attributes and values. For the brochure they have to become "
                "flowing text.\n\nRecord: {listing}\nBrochure:"
            ),
            Template("Say this the way people talk, not as a list: {listing}"),
            Template("What kind of restaurant is it? Answer in full sentences, going by these notes. ({listing})"),
        ),
    )
)


def _web_nlg_en_fields(row):
    triples = "; ".join(row["input"]).replace("_", " ").replace(" | ", ", ")
    return {"triples": triples} | _right_answers(row)


def _web_nlg_en_practice(world, rng):
    first = world.fact(rng)
    facts = [first]
    if rng.random() < 0.8:
        facts.append(rng.choice((world.other(first, rng), world.fact(rng))))
    target = " ".join(fact.say(rng.randrange(3)) for fact in facts)
    alike = [" ".join(fact.say(wording) for fact in facts) for wording in range(3)]
    return {
        "gem_id": "",
        "gem_parent_id": "",
        "input": [f"{fact.subject} | {fact.relation.name} | {fact.value}" for fact in facts],
        "category": "Person" if first.relation.name in ("home", "job", "food", "pet", "car") else "Place",
        "webnlg_id": "",
        "target": target,
        "references": list(dict.fromkeys([target, *alike])),
    }


WEB_NLG_EN = register(
    TemplatedTask(
        name="web_nlg_en",
        cluster="struct_to_text",
        source=Tfds("gem/web_nlg_en:1.1.0", train="train[:-200]", validation="train[-200:]", test="validation"),
        sandbox=Sandbox(_web_nlg_en_practice, train=1200, numbered=("gem_id", "gem_parent_id", "webnlg_id")),
        fields=_web_nlg_en_fields,
        metrics=(rouge,),
        templates=(
            Template("{triples}\n\nExpress this in natural language."),
            Template(
                "A knowledge base stores facts as subject, relation and object. "
                "Write out what it says here.\n\n{triples}"
            ),
            Template("Triples: {triples}\nVerbalization:"),
            Template("What do we learn from the following data? Reply in complete sentences.\n{triples}"),
            Template("Write the opening lines of an encyclopedia article that state these facts: {triples}"),
            Template(
                "My notes look like this: {triples}\n\nI need a proper text with exactly the same content. "
                "Could you write it for me?"
            ),
            Template("Data in, prose out.\n\nIn: {triples}\nOut:"),
            Template('If a database held "{triples}", how would you explain that to a person?'),
            Template(
                "{answer}\n\nWhich facts does the text above contain? Give them as subject, relation, object, with a "
                "semicolon between facts.",
                "{triples}",
                turned_around=True,
            ),
            Template(
                "Fill a knowledge base from running text.\nText: {answer}\nEntries:",
                "{triples}",
                turned_around=True,
            ),
        ),
    )
)
