"""The everyday knowledge of the practice rows, and how the splits divide it."""

import collections
import dataclasses
import itertools
import random
import string
from collections.abc import Mapping

import pytest

import tasks  # noqa: F401 (registers)
from flan_jax.tasks import practice_words
from flan_jax.tasks.practice_world import Sandbox, World, draw_among, split_knowledge
from flan_jax.tasks.task import get_task
from tasks.practice import commonsense, everyday, translation

SPLITS = ("train", "validation", "test")
TABLES = (
    everyday.CAUSES_AND_EFFECTS,
    everyday.ACTIVITIES,
    everyday.ERRANDS,
    {"stories": everyday.STORIES},
    everyday.OPINION_WORDS,
    everyday.OPINION_RESULTS,
)
LANGUAGES = {
    name: language
    for name, language in vars(translation).items()
    if isinstance(language, translation.Language)
}
KINDS = {
    "job": practice_words.JOBS,
    "food": practice_words.FOODS,
    "pet": practice_words.PETS,
    "car": practice_words.COLORS,
    "product": practice_words.PRODUCTS,
    "country": practice_words.COUNTRIES,
}
"""The words that the values of each relation are."""


def texts_in(value):
    """All texts of a table."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value
    return [text for part in parts for text in texts_in(part)]


def rows(name, split, count, **settings):
    source = dataclasses.replace(
        get_task(name).sandbox, **{split: count}, **settings, numbered=()
    )
    return list(source.rows(split))


@pytest.mark.parametrize("table", TABLES)
def test_the_splits_divide_the_knowledge(table):
    parts = split_knowledge(table)
    for topic, items in table.items():
        divided = [parts[split][topic] for split in SPLITS]
        assert sorted(itertools.chain(*divided), key=repr) == sorted(items, key=repr)
        sizes = {split: len(parts[split][topic]) for split in SPLITS}
        assert sizes["test"] == len(items) // 4
        assert sizes["validation"] == len(items) // 8 > 0


def test_an_item_keeps_its_split_when_the_order_changes():
    numbers = tuple(str(n) for n in range(40))
    parts = split_knowledge({"numbers": numbers})
    assert split_knowledge({"numbers": numbers[::-1]}) == parts
    assert parts["test"]["numbers"] != numbers[:10]


def test_a_maker_is_told_the_split():
    def told(world, rng, split):
        return {"split": split, "draw": rng.random(), "world": world.towns}

    source = Sandbox(told, train=5, test=5, splits_knowledge=True, fresh=True)
    train, test = list(source.rows("train")), list(source.rows("test"))
    assert {row["split"] for row in train} == {"train"}
    assert {row["split"] for row in test} == {"test"}
    assert {row["draw"] for row in train}.isdisjoint(row["draw"] for row in test)
    assert {row["world"] for row in train}.isdisjoint(row["world"] for row in test)
    assert source.fingerprint("train") != source.fingerprint("test")


@pytest.mark.parametrize("fresh", [False, True])
def test_test_rows_need_knowledge_that_train_rows_never_used(fresh):
    def activities(split):
        found = rows("hellaswag", split, 300, fresh=fresh)
        return {row["activity_label"] for row in found}

    def tools(split):
        found = rows("piqa", split, 300, fresh=fresh)
        options = {row[key].lower() for row in found for key in ("sol1", "sol2")}
        return {option.removeprefix("use ") for option in options}

    def effects(split):
        found = rows("copa", split, 400, fresh=fresh)
        table = [
            pair for pairs in everyday.CAUSES_AND_EFFECTS.values() for pair in pairs
        ]
        plain = {effect for _, effect in table if "{s}" not in effect}
        return {text for row in found for text in row.values() if text in plain}

    for knowledge, least in ((activities, 6), (tools, 8), (effects, 5)):
        parts = [knowledge(split) for split in SPLITS]
        assert all(len(part) >= least for part in parts)
        for one, other in itertools.combinations(parts, 2):
            assert one.isdisjoint(other)


@pytest.mark.parametrize("name", ["sst2", "imdb_reviews", "yelp_polarity_reviews"])
def test_reviews_of_the_test_split_have_words_of_their_own(name):
    field = "sentence" if name == "sst2" else "text"
    parts = split_knowledge(everyday.OPINION_WORDS)

    def opinions(split):
        text = " ".join(row[field] for row in rows(name, split, 100)).lower()
        for mark in ".,!?\"'\\<>/":
            text = text.replace(mark, " ")
        return set(text.split())

    words = {split: set(texts_in(parts[split])) for split in SPLITS}
    said = {split: opinions(split) for split in SPLITS}
    for split, other in itertools.permutations(SPLITS, 2):
        assert said[split] & words[split]
        assert not said[split] & words[other]


@pytest.mark.parametrize(
    ("name", "options"), [("copa", ("choice1", "choice2")), ("piqa", ("sol1", "sol2"))]
)
def test_no_option_is_right_more_often_than_wrong(name, options):
    right, shown = collections.Counter(), collections.Counter()
    for row in rows(name, "test", 3000):
        for number, option in enumerate(options):
            text = " ".join(
                word
                for word in row[option].split()
                if word not in practice_words.WOMEN + practice_words.MEN
            ).lower()
            shown[text] += 1
            right[text] += row["label"] == number
    shares = [right[text] / shown[text] for text in shown if shown[text] >= 60]
    assert len(shares) > 10
    assert min(shares) > 0.25
    assert max(shares) < 0.75


def test_slots_are_known_and_items_are_told_once():
    known = set(commonsense.everyday_words(World.constant(), random.Random(0)))
    for table in TABLES:
        for text in texts_in(table):
            assert {
                name for _, name, *_ in string.Formatter().parse(text) if name
            } <= known
        for items in table.values():
            assert len(set(items)) == len(items)
    words = texts_in(everyday.OPINION_WORDS)
    assert len(set(words)) == len(words)
    for table, part in ((everyday.ERRANDS, 1), (everyday.ACTIVITIES, 3)):
        answers = [item[part] for items in table.values() for item in items]
        assert len(set(answers)) == len(answers)


def test_a_word_that_fits_is_drawn_although_the_world_has_none():
    rng = random.Random(0)
    assert draw_among(("cat", "frog"), ("dog", "cat"), rng) == "cat"
    assert draw_among(("frog",), ("dog",), rng) == "dog"


@pytest.mark.parametrize(
    ("some", "all_words"),
    [
        ("LAND_PETS", "PETS"),
        ("DISHES", "FOODS"),
        ("PORTABLE_THINGS", "THINGS"),
        ("VESSELS", "THINGS"),
        ("PAINTABLE_THINGS", "THINGS"),
        ("MEETING_PLACES", "PLACES_IN_TOWN"),
        ("BUILDINGS", "PLACES_IN_TOWN"),
        ("OPEN_PLACES", "PLACES_IN_TOWN"),
    ],
)
def test_words_of_a_narrower_kind(some, all_words):
    words = getattr(practice_words, some)
    assert len(set(words)) == len(words)
    assert set(words) <= set(getattr(practice_words, all_words))


def test_the_words_that_a_maker_imports_change_the_fingerprint(monkeypatch):
    from flan_jax.tasks import practice_world

    source = get_task("wiki_lingua_english_en").sandbox
    before = source.fingerprint("train")
    practice_world._code_fingerprint.cache_clear()
    monkeypatch.setattr(practice_words, "OPEN_PLACES", ("park",))
    assert source.fingerprint("train") != before
    practice_world._code_fingerprint.cache_clear()


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_language_has_words_for_many_values(name):
    language = LANGUAGES[name]
    for relation, words in language.words.items():
        assert set(words) <= set(KINDS[relation])
        assert len(words) >= (11 if relation == "car" else 20)
    told = {relation for relation, _ in language.patterns}
    assert told >= set(language.words)


def test_names_of_countries_are_inflected_where_the_language_does_so():
    assert [
        language.words["country"][name]
        for language in (translation.FRENCH, translation.CZECH, translation.FINNISH)
        for name in ("Garland", "Westia", "Moravela")
    ] == [
        "au Garland", "en Westia", "en Moravela",
        "v Garlandu", "ve Westii", "v Moravele",
        "Garlandissa", "Westiassa", "Moravelassa",
    ]  # fmt: skip
    for name in practice_words.COUNTRIES:
        assert name.endswith(("land", "ia", "la"))


@pytest.mark.parametrize("name", LANGUAGES)
def test_no_english_noun_stays_in_a_translation(name):
    language = LANGUAGES[name]
    source = {"SPANISH": "para_crawl_enes", "FRENCH": "wmt14_enfr"}
    code = {"GERMAN": "deen", "TURKISH": "tren", "CZECH": "csen", "FINNISH": "fien"}
    code |= {"ROMANIAN": "roen", "RUSSIAN": "ruen"}
    task = source.get(name) or f"wmt16_translate_{code[name]}"
    nouns = {
        word
        for kind in ("job", "food", "pet", "car", "product")
        for word in KINDS[kind]
    }
    nouns -= set(" ".join(texts_in(language.words)).split())
    for row in rows(task, "train", 100, fresh=True):
        (foreign,) = (text for key, text in row.items() if key != "en")
        assert not nouns & set(foreign.replace(".", "").split()), row
