import inspect
import random
import types

import pytest

from flan_jax.errors import InputError
from flan_jax.tasks import practice_words, practice_world
from flan_jax.tasks.practice_world import Sandbox, World, clause, sentence, world

SOURCE = inspect.getsource(practice_world)


def pet_row(world, rng):
    """A row about one of some hundred facts, with a number that makes most rows different."""
    fact = world.fact(rng, ("pet",))
    return {"idx": 0, "text": fact.say(), "label": rng.randrange(1000)}


def edited(*changes):
    """The module practice_world after changes to its source."""
    source = SOURCE
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    module = types.ModuleType(practice_world.__name__)
    exec(compile(source, "practice_world.py", "exec"), module.__dict__)  # noqa: S102
    return module


def fingerprint(module, **settings):
    return module.Sandbox(pet_row, **settings).fingerprint("train")


def test_comments_and_places_do_not_change_the_fingerprint():
    moved = edited(
        ("class World:", "# A comment.\n\n\nclass World:"),
        ("def clause(", "def unused_function():\n    pass\n\n\ndef clause("),
    )
    assert fingerprint(moved) == fingerprint(edited())


@pytest.mark.parametrize(
    "change",
    [
        ("{s} has a {o}.", "{s} owns a {o}."),
        ("drawn += rng.sample(values, len(values))", "drawn += values"),
        ("if v != fact.value", "if v == fact.value"),
        ("digest()[0] % 8", "digest()[1] % 8"),
    ],
)
def test_the_code_of_the_world_changes_the_fingerprint(change):
    assert fingerprint(edited(change)) != fingerprint(edited())


def test_the_code_and_the_settings_of_a_source_change_the_fingerprint():
    def other_row(world, rng):
        return pet_row(world, rng) | {"label": 1}

    fingerprints = {
        Sandbox(pet_row).fingerprint("train"),
        Sandbox(other_row).fingerprint("train"),
        Sandbox(pet_row, train=7).fingerprint("train"),
        Sandbox(pet_row, seed=1).fingerprint("train"),
        Sandbox(pet_row, numbered=()).fingerprint("train"),
        Sandbox(pet_row, fresh=False).fingerprint("train"),
    }
    assert len(fingerprints) == 6
    assert Sandbox(pet_row, test=7).fingerprint("train") in fingerprints


def test_the_words_of_the_world_change_the_fingerprint(monkeypatch):
    before = Sandbox(pet_row).fingerprint("train")
    practice_world._code_fingerprint.cache_clear()
    pets, count = practice_world._WORDS["pets"]
    monkeypatch.setitem(practice_world._WORDS, "pets", (("lynx", *pets[1:]), count))
    assert Sandbox(pet_row).fingerprint("train") != before
    practice_world._code_fingerprint.cache_clear()


def test_a_fresh_world_has_words_and_facts_of_its_own():
    def told(world, rng):
        return {"idx": 0, "text": " ".join(fact.say() for fact in world.facts)}

    constant = told(world(), random.Random(0))["text"]
    fresh = [row["text"] for row in Sandbox(told, train=150, fresh=True).rows("train")]
    again = [row["text"] for row in Sandbox(told, train=150, fresh=True).rows("train")]

    assert fresh == again
    assert constant not in fresh
    spoken_of = {
        name for name in practice_words.TOWNS if any(name in text for text in fresh)
    }
    assert spoken_of == set(practice_words.TOWNS)


def test_words_follow_an_article_that_says_nothing_of_them():
    kinds = (
        "PRODUCTS",
        "JOBS",
        "PETS",
        "COLORS",
        "THINGS",
        "MATERIALS",
        "PLACES_IN_TOWN",
    )
    words = [word for kind in kinds for word in getattr(practice_words, kind)]
    assert [word for word in words if word[0] in "aeiou"] == []


def test_splits_share_no_row():
    source = Sandbox(pet_row, train=300, validation=40, test=50)
    rows = {
        split: list(source.rows(split)) for split in ("train", "validation", "test")
    }
    assert {split: len(found) for split, found in rows.items()} == {
        "train": 300,
        "validation": 40,
        "test": 50,
    }
    contents = {
        split: {(row["text"], row["label"]) for row in found}
        for split, found in rows.items()
    }
    assert not contents["train"] & contents["validation"]
    assert not contents["train"] & contents["test"]
    assert not contents["validation"] & contents["test"]
    assert rows["train"] == list(source.rows("train"))


def test_numbers_and_the_order_of_fields_do_not_count_as_content():
    def numbered(world, rng):
        row = {"idx": rng.randrange(1000), "text": world.fact(rng).say(), "label": 0}
        return row if rng.random() < 0.5 else dict(reversed(row.items()))

    source = Sandbox(numbered, train=300, validation=100, test=100)
    texts = {
        split: {row["text"] for row in source.rows(split)}
        for split in ("train", "validation", "test")
    }
    assert not texts["train"] & texts["validation"]
    assert not texts["train"] & texts["test"]
    assert not texts["validation"] & texts["test"]


def test_rows_depend_on_the_seed_by_their_draws_and_by_the_world():
    def draws(world, rng):
        return {"label": rng.randrange(10**9)}

    def more_draws(world, rng):
        return draws(world, rng)

    def home(world, rng):
        return {"text": world.about("Anna")[0].say(), "label": rng.randrange(100)}

    def first_rows(make, seed):
        source = Sandbox(make, validation=3, fresh=False, seed=seed)
        return list(source.rows("validation"))

    def homes(seed):
        return {row["text"] for row in first_rows(home, seed)}

    assert first_rows(draws, 0) != first_rows(draws, 1)
    assert first_rows(draws, 0) != first_rows(more_draws, 0)
    assert len(homes(0)) == len(homes(1)) == 1
    assert len(set.union(*map(homes, range(5)))) > 1


def test_rows_are_numbered():
    assert [row["idx"] for row in Sandbox(pet_row, test=3).rows("test")] == [0, 1, 2]

    def with_text_number(world, rng):
        return pet_row(world, rng) | {"idx": ""}

    rows = Sandbox(with_text_number, validation=2).rows("validation")
    assert [row["idx"] for row in rows] == ["validation-0", "validation-1"]

    def without_number(world, rng):
        return {"label": rng.randrange(1000)}

    assert [set(row) for row in Sandbox(without_number, test=1).rows("test")] == [
        {"label"}
    ]


def test_a_generator_of_too_few_rows():
    with pytest.raises(
        InputError, match="draws too few different rows to fill the test split"
    ):
        list(Sandbox(lambda world, rng: {"text": "same"}, test=200).rows("test"))


def test_a_generator_of_seldom_different_rows():
    def rare(world, rng):
        return {"text": rng.randrange(1000) if rng.random() < 0.02 else "same"}

    assert len(list(Sandbox(rare, test=3).rows("test"))) == 3


def test_the_world_is_drawn_from_its_seed():
    assert world(0) is world(0)
    assert [fact.value for fact in World.constant(0).facts] == [
        fact.value for fact in world(0).facts
    ]
    assert [fact.value for fact in World.constant(1).facts] != [
        fact.value for fact in world(0).facts
    ]


def test_facts():
    rng = random.Random(0)
    fact = world().fact(rng, ("pet",))
    assert fact.value in world().pets
    assert fact in world().about(fact.subject)
    assert fact.ask() == f"Which pet does {fact.subject} have?"
    assert fact.ask_yes_no() == f"does {fact.subject} have a {fact.value}"
    assert (
        fact.ask_yes_no(1)
        == f"is it true that the pet of {fact.subject} is a {fact.value}"
    )
    wrong = world().wrong(fact, rng)
    assert (wrong.subject, wrong.relation) == (fact.subject, fact.relation)
    assert wrong.value != fact.value
    other = world().other(fact, rng)
    assert other != fact
    assert other.subject == fact.subject


def test_another_fact_of_a_thing_with_only_one_is_about_another_thing():
    (fact,) = world().about("table")
    for seed in range(50):
        other = world().other(fact, random.Random(seed))
        assert other.relation == fact.relation
        assert other.subject != "table"


def test_choices():
    (fact,) = world().about("table")
    places = set()
    for seed in range(100):
        choices = world().choices(fact, random.Random(seed), 3)
        assert len(set(choices)) == 3
        assert set(choices) <= set(world().materials)
        places.add(choices.index(fact.value))
    assert places == {0, 1, 2}


def test_sentences():
    (fact,) = world().about("table")
    assert fact.say(2) == f"{fact.value.capitalize()} is what the table is made of."
    assert sentence("the car of Anna is red.") == "The car of Anna is red."


def test_clause():
    assert clause("The home of Anna is in Arden.") == "the home of Anna is in Arden"
    assert clause("Anna lives in Arden.") == "Anna lives in Arden"
    assert clause("Arden is a town in Norland.") == "Arden is a town in Norland"
    assert (
        clause("Norland is the country of Arden.") == "Norland is the country of Arden"
    )


def test_rows_that_are_drawn_together_are_in_one_split():
    def herd(world, rng):
        name = f"herd {rng.randrange(10**6)}"
        return [{"idx": 0, "text": name, "label": label} for label in range(3)]

    source = Sandbox(herd, train=30, validation=12, test=7)
    herds = {}
    for split in ("train", "validation", "test"):
        rows = list(source.rows(split))
        assert [row["idx"] for row in rows] == list(range(len(rows)))
        assert [row["label"] for row in rows] == [i % 3 for i in range(len(rows))]
        herds[split] = [row["text"] for row in rows[::3]]
        assert [row["text"] for row in rows] == [
            name for name in herds[split] for _ in range(3)
        ][: len(rows)]
    assert {split: len(names) for split, names in herds.items()} == {
        "train": 10,
        "validation": 4,
        "test": 3,
    }
    assert len({name for names in herds.values() for name in names}) == 17


def test_contrasting_facts_are_of_one_relation_and_differ_in_subject_and_value():
    for seed in range(200):
        rng = random.Random(seed)
        fresh = World.fresh(rng)
        facts = fresh.contrasting(rng, 4, ("country", "material"))
        assert len({fact.relation for fact in facts}) == 1
        assert len({fact.subject for fact in facts}) == 4
        assert len({fact.value for fact in facts}) == 4
        assert set(facts) <= set(fresh.facts)


def test_asides_are_about_the_same_subjects_and_of_other_relations():
    rng = random.Random(0)
    facts = world().contrasting(rng, 2, ("home",))
    asides = world().asides(rng, facts, 9)
    about = [fact for fact in asides if fact.subject in {f.subject for f in facts}]
    assert len(about) == 8
    assert "home" not in {fact.relation.name for fact in asides}


def test_a_maker_of_rows_takes_the_world_and_random_numbers():
    with pytest.raises(
        InputError, match=r"Sandbox.make will be called with \(world, rng"
    ):
        Sandbox(lambda rng: {})
