"""The plain text that base models of the practice worlds are trained on."""

import collections
import itertools
import operator
import random
import re
import string

import pytest

import tasks  # noqa: F401
from flan_jax.tasks.practice_world import World
from flan_jax.tasks.task import TASKS
from tasks.plain_text import BASE_SKILLS, DOCUMENTS
from tasks.practice import coreference, documents, roles
from tasks.practice.documents import draw_told
from tasks.practice.gaps import cut_at_gap, exercise
from tasks.practice.knowledge import equation, small_sum
from tasks.practice.scenes import SCENES, tell
from tasks.practice.word_games import find_in_pairs, list_again, word_game
from tasks.practice.wordings import TOPIC_OF, TOPICS


@pytest.fixture(scope="module")
def rows():
    return list(itertools.islice(DOCUMENTS.source.rows("train"), 10_000))


@pytest.fixture(scope="module")
def texts(rows):
    return [row["beginning"] + " " + row["rest"] for row in rows]


def words_of(text):
    return re.findall(r"[a-z0-9']+", text.lower())


def template_patterns():
    templates = itertools.chain.from_iterable(t.templates for t in TASKS.values())
    return [template.inputs + "\n" + template.targets for template in templates]


def without_slots(pattern):
    return re.sub(r"\{[^}]*\}", "\n", pattern)


def template_words():
    words = {w for p in template_patterns() for w in words_of(without_slots(p))}
    return {word for word in words if not word.isdigit()}


def slots(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("topic", TOPICS, ids=TOPIC_OF)
def test_a_topic_says_and_asks_for_both_sides(topic):
    assert {frozenset(slots(text)) for text in topic.statements} == {frozenset("so")}
    assert {frozenset(slots(text)) for text in topic.yes_no} == {frozenset("so")}
    assert {frozenset(slots(text)) for text in topic.questions} == {frozenset("s")}
    assert {frozenset(slots(text)) for text in topic.back} == {frozenset("o")}
    assert len(set(topic.statements)) == len(topic.statements) >= 4
    assert not [text for text in topic.yes_no if text.endswith("?")]
    assert topic.relation.name in {
        name for name, each in TOPIC_OF.items() if each is topic
    }
    assert hasattr(World.constant(), topic.relation.subjects)


def test_a_fact_is_said_again_in_other_words():
    world = World.constant()
    for seed in range(200):
        rng = random.Random(seed)
        for told in draw_told(world, rng, 3):
            assert told.state(rng) != told.say_again(rng)


def test_documents_have_two_parts_and_are_hardly_ever_alike(rows, texts):
    assert all(row["beginning"] and row["rest"] for row in rows)
    assert len(set(texts)) > 0.98 * len(rows)


def test_documents_say_nearly_all_words_of_all_templates(texts):
    seen = collections.Counter(itertools.chain.from_iterable(map(words_of, texts)))
    expected = template_words()
    unseen = sorted(expected - set(seen))
    assert len(unseen) < 0.02 * len(expected), unseen
    assert len([word for word in seen if not word.isdigit()]) > 3000


def test_nearly_every_word_of_the_templates_is_in_two_scenes():
    scenes = [set(words_of(without_slots(text).replace("'", " "))) for text in SCENES]
    count = collections.Counter(itertools.chain.from_iterable(scenes))
    expected = {word for word in template_words() if "'" not in word}
    rare = sorted(word for word in expected if count[word] < 2)
    assert len(rare) < 0.02 * len(expected), rare


def test_documents_are_no_instructions(texts):
    """No document has the longest literal run of any template."""
    assert not [text for text in texts if "OPTIONS" in text]
    everything = " ".join(itertools.chain.from_iterable(map(words_of, texts)))
    for pattern in template_patterns():
        runs = map(words_of, without_slots(pattern).split("\n"))
        longest = max(runs, key=len)
        if len(longest) >= 5:
            assert f" {' '.join(longest)} " not in everything, pattern


def test_scenes_share_no_six_words_with_a_template():
    def grams(text):
        words = words_of(text)
        return {tuple(words[at : at + 6]) for at in range(len(words) - 5)}

    lines = (line for p in template_patterns() for line in without_slots(p).split("\n"))
    of_templates = set().union(*map(grams, lines))
    for text in SCENES:
        # A slot is a word that no template has.
        assert not grams(re.sub(r"\{[^}]*\}", "slot", text)) & of_templates, text


@pytest.mark.parametrize("woman", (True, False))
def test_every_scene_can_be_told(woman):
    world = World.constant()
    world.people = world.women if woman else world.men
    told = [tell(text, world, random.Random(text)) for text in SCENES]
    assert not [text for text in told if re.search(r"[][{}|]", text)]


def test_sums_and_equations_are_right():
    world = World.constant()
    for seed in range(300):
        rng = random.Random(seed)
        text = " ".join(make(world, rng) for make in (small_sum, equation))
        for one, sign, two, result in re.findall(
            r"(?<![*\d])(-?\d+) ([-+]|times) (\d+) (?:=|is) (-?\d+)", text
        ):
            calculate = {"+": operator.add, "-": operator.sub, "times": operator.mul}[
                sign
            ]
            assert calculate(int(one), int(two)) == int(result), text
        value = int(re.findall(r"-?\d+", text)[-1])
        for factor, product in re.findall(
            r"(-?\d+)(?:\*| times )[a-z] (?:=|is) (-?\d+)", text
        ):
            assert int(factor) * value == int(product), text


def test_an_answer_cannot_be_told_from_its_words_alone(texts):
    """Yes and no, true and false are equally frequent, whatever the question is about."""
    text = " ".join(texts)
    for one, other in (
        ('"Yes,"', '"No,"'),
        (" is right.", " is wrong."),
        ("It is true.", "It is false."),
    ):
        share = text.count(one) / (text.count(one) + text.count(other))
        assert 0.35 < share < 0.65, (one, share)


@pytest.mark.parametrize("task", BASE_SKILLS, ids=lambda task: task.name)
def test_a_skill_of_the_base_has_one_right_option_at_no_fixed_place(task):
    rows = list(itertools.islice(task.source.rows("train"), 1000))
    assert all(len(set(row["options"])) == len(row["options"]) for row in rows)
    places = [row["options"].index(row["answer"]) for row in rows]
    chance = 1 / len(rows[0]["options"])
    assert all(
        abs(places.count(place) / len(rows) - chance) < 0.06 for place in set(places)
    )


@pytest.mark.parametrize("name", ("base_answer", "base_choice"))
def test_a_skill_of_the_base_is_not_to_tell_the_only_word_of_a_kind(name):
    """The text says the same of several subjects: a reader has to know who is asked about."""
    (task,) = [task for task in BASE_SKILLS if task.name == name]
    for row in itertools.islice(task.source.rows("train"), 200):
        facts = row["text"].split("\n")[0].lower()
        stated = [option for option in row["options"] if option.lower() in facts]
        assert row["answer"] in stated
        assert len(stated) >= 2, row


def test_pairs_of_words_are_asked_about_with_the_right_partner():
    world = World.constant()
    checked = 0
    for seed in range(300):
        text = word_game(world, random.Random(seed))
        exercise_of_it = exercise(text)
        assert exercise_of_it is not None
        found = re.match(r"(.*?)\. What goes with (.*?)\? \(1\)", exercise_of_it[0])
        if found:
            answer = re.match(r"\(1\) ([^(]*)", exercise_of_it[1])[1].strip()
            facts, key = found[1].lower(), found[2].lower()
            pair = rf"\b{key}\W+(\w+ ){{0,4}}?{answer.lower()}\b"
            turned = rf"\b{answer.lower()}\W+(\w+ ){{0,4}}?{key}\b"
            assert re.search(pair, facts) or re.search(turned, facts), text
            checked += 1
    assert checked > 5


def test_a_list_again_is_in_the_order_that_is_asked_for():
    world = World.constant()
    forms = collections.Counter()
    for seed in range(200):
        rng = random.Random(seed)
        beginning, again = cut_at_gap(list_again(world, rng), rng)
        listed, asked = beginning.rstrip(":").rsplit(". ", 1)
        joiner = next(mark for mark in (", ", "; ", ". ", " ") if mark in listed)
        items = listed.split(joiner)
        items_again = again.removesuffix(".").split(joiner)
        if asked == "Again":
            assert items_again == items
        elif asked.startswith("From "):
            start = items.index(asked.removeprefix("From "))
            assert items_again == items[start:] + items[:start]
        else:
            assert asked == "In another order"
            assert items_again != items and sorted(items_again) == sorted(items)
        forms[asked.split()[0]] += 1
    assert min(forms[form] for form in ("Again", "From", "In")) > 30


def test_nothing_is_judged_where_pairs_are_to_be_found():
    world = World.constant()
    judged = {"Yes", "No", "yes", "no", "right", "wrong", "true", "false"}
    for seed in range(100):
        text = find_in_pairs(world, random.Random(seed))
        _, answers = exercise(text)
        assert not judged & set(re.findall(r"\w+", answers)), text


def test_a_retelling_says_of_each_subject_what_its_text_says():
    ways = collections.Counter()
    for seed in range(200):
        rng = random.Random(seed)
        world = World.fresh(rng)
        topic = TOPIC_OF["home"]
        told = documents.draw_rivals(world, rng, 3, topic)
        place_of = {each.fact.subject: each.fact.value for each in told}
        text = " ".join(each.state(rng) for each in told)
        bridge, say_again = rng.choice(documents._WAYS_TO_RETELL)
        ways[bridge] += 1
        for each in told:
            again = say_again(each, rng)
            assert each.fact.subject in again
            assert place_of[each.fact.subject] in again
            if "order" in bridge:
                assert again in text
    assert len(ways) == 3


def test_the_letter_of_a_choice_is_that_of_its_answer():
    checked = 0
    for row in itertools.islice(DOCUMENTS.source.rows("train"), 10_000):
        text = row["beginning"] + " " + row["rest"]
        found = re.search(r"((?:\([a-d]\) [^.(]+)+)\. It is ([a-d]), ([^.]+)\.", text)
        if found:
            options = dict(re.findall(r"\(([a-d])\) ([^.(]+?)(?= \(|$)", found[1]))
            assert options[found[2]] == found[3], text
            checked += 1
    assert checked > 5


def who_is_meant(text):
    """Whom a passage means by its pronoun, as the tables say; None if it is of no table."""
    for *sides, true_of_a, true_of_b in TABLES_OF_TWO:
        for side in sides:
            pattern = re.sub(r"\\{([ab])\\}", r"(?P<\1>(?:the )?\\w+)", re.escape(side))
            pattern = re.sub(r"\\{(thing|town)\\}", r"\\w+", pattern)
            found = re.match(
                rf"{pattern};? (?:she|he|it) (.*?)\. ", text, re.IGNORECASE
            )
            if found:
                true = found.groups()[-1]
                if true in true_of_a:
                    return found["a"]
                if true in true_of_b:
                    return found["b"]
    return None


TABLES_OF_TWO = (*roles._PEOPLE, *roles._REASONS, *roles._THINGS)


def test_a_pronoun_means_the_one_of_whom_the_tables_say_it():
    world = World.constant()
    checked = collections.Counter()
    for seed in range(1000):
        text = roles.roles(world, random.Random(seed))
        meant = who_is_meant(text)
        for name in re.findall(r'(?:By "\w+" is meant|Here "\w+" is) ⟦(.*?)⟧', text):
            assert name.lower() == meant.lower(), text
            checked["told"] += 1
        for name, answer in re.findall(r"mean (.*?)\? ⟦(Yes|No)⟧", text):
            assert (name.lower() == meant.lower()) == (answer == "Yes"), text
            checked[answer] += 1
    assert min(checked.values()) > 30


def test_no_passage_is_a_sentence_of_the_coreference_tasks():
    """What the tasks say after the pronoun is said of nobody in the documents."""
    of_tasks = set()
    for orders, *words in itertools.chain(
        coreference._PEOPLE_COMPARED,
        coreference._THINGS_COMPARED,
        coreference._TWO_PEOPLE,
        coreference._TWO_THINGS,
    ):
        for order, word in itertools.product(orders, itertools.chain(*words)):
            of_tasks.add(order.split("_ ")[1].replace("{word}", word).rstrip("."))
    of_documents = {true for entry in TABLES_OF_TWO for true in (*entry[2], *entry[3])}
    assert len(of_tasks) > 80
    assert not of_tasks & of_documents


def test_the_first_of_two_is_meant_as_often_as_the_second():
    rng = random.Random(0)
    world = World.constant()
    first = 0
    for _ in range(3000):
        pair = roles.draw_pair(world, rng)
        text = pair.text.lower()
        first += text.index(pair.meant.lower()) < text.index(pair.other.lower())
    assert 0.46 < first / 3000 < 0.54


def test_a_pronoun_is_the_woman_or_the_man():
    world = World.constant()
    checked = collections.Counter()
    for seed in range(600):
        text = roles.woman_and_man(world, random.Random(seed))
        (pronoun,) = re.findall(r"\. (She|He) ", text)
        meant = world.women if pronoun == "She" else world.men
        for name in re.findall(r'By "\w+" is meant ⟦(.*?)⟧', text):
            assert name in meant
            checked["told"] += 1
        for claim, answer in re.findall(r"(?:follow|say) that (.*?)\? ⟦(.*?)⟧", text):
            of_meant = any(re.search(rf"\b{name}\b", claim) for name in meant)
            letters = "letter" in claim
            assert letters or of_meant == (answer == "Yes"), text
            checked[answer] += 1
    assert min(checked.values()) > 30
