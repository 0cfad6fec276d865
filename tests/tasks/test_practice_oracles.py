"""No part of a practice row gives its answer away.

An oracle sees a part of each row, and learns on one half of the rows which of its words, word pairs
and lengths go with an answer; on the other half it must be no better than a guess. A reader who sees
the whole text is always right.
"""

import dataclasses
import functools
import itertools
import random
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

import tasks as flan
from flan_jax.tasks import practice_words
from flan_jax.tasks.mixtures import mixture_or_task
from flan_jax.tasks.practice_world import RELATIONS, Fact, Sandbox, World, clause, world

FLAN = {task.name: task for task in mixture_or_task(flan.FLAN2021.name)}
NAMES = {*practice_words.WOMEN, *practice_words.MEN, *practice_words.TOWNS}
ROWS = 1600
MARGIN = 0.03


@dataclasses.dataclass(frozen=True)
class Parts:
    """The fields of an example of which no single group may tell the answer.

    Attributes:
      groups: groups of fields. An oracle sees one group; with `per_option`, also the options.
      pair: the two fields that an oracle of shared words compares; () where more shared words
        rightly go with an answer.
      per_option: whether each example has options of its own, which the first oracle sees alone.
    """

    groups: tuple[tuple[str, ...], ...]
    pair: tuple[str, ...] = ()
    per_option: bool = False


def _two_texts(first, second):
    return Parts(((first,), (second,)), (first, second))


PARTS = {
    "rte": _two_texts("premise", "hypothesis"),
    "anli_r1": _two_texts("context", "hypothesis"),
    "anli_r2": _two_texts("context", "hypothesis"),
    "anli_r3": _two_texts("context", "hypothesis"),
    "cb": _two_texts("premise", "hypothesis"),
    "mnli_matched": _two_texts("premise", "hypothesis"),
    "mnli_mismatched": _two_texts("premise", "hypothesis"),
    "qnli": _two_texts("sentence", "question"),
    "wnli": _two_texts("sentence1", "sentence2"),
    "snli": _two_texts("premise", "hypothesis"),
    "glue_mrpc": _two_texts("sentence1", "sentence2"),
    "paws_wiki": _two_texts("sentence1", "sentence2"),
    "glue_qqp": _two_texts("question1", "question2"),
    # similarity is, in part, the number of shared words
    "stsb": Parts((("sentence1",), ("sentence2",))),
    "bool_q": Parts((("question", "title"), ("passage",)), ("passage", "question")),
    "multirc": Parts(
        (("question", "response"), ("paragraph",)), ("paragraph", "response")
    ),
    "squad_v2": _two_texts("context", "question"),
    "quac": Parts((("question", "background"), ("context",)), ("context", "question")),
    "wsc": Parts((("text1", "text2"), ("context",))),
    "wic": Parts((("word", "sentence1"), ("word", "sentence2"))),
    "openbookqa": Parts((), ("question",), per_option=True),
    "record": Parts((("opening",),), ("passage",), per_option=True),
    "cosmos_qa": Parts((("question",),), ("context",), per_option=True),
    "winogrande": Parts((), ("context",), per_option=True),
    "wsc273": Parts((), ("context",), per_option=True),
    "definite_pronoun_resolution": Parts((), ("sentence",), per_option=True),
    "arc_easy": Parts((), per_option=True),
    "arc_challenge": Parts((), per_option=True),
    "copa": Parts((), ("premise",), per_option=True),
    "hellaswag": Parts((), ("context",), per_option=True),
    "piqa": Parts((), per_option=True),
    "story_cloze": Parts((), ("context",), per_option=True),
}
"""The parts of each task. The answer of squad_v2 and quac is here whether there is one."""

ONE_TEXT = {
    "cola",
    "trec",
    "sst2",
    "sentiment140",
    "imdb_reviews",
    "yelp_polarity_reviews",
    "ag_news_subset",
}
"""Tasks of one short text, whose words are what it is to be classified by."""

GIVEN_AWAY = {
    "copa": "the words that options share with the premise tell the right one",
    "hellaswag": "the words that endings share with the context tell the right one",
    "story_cloze": "the words that endings share with the context tell the right one",
}
"""Tasks whose answer a part of the row still gives away, with the reason."""

UNANSWERED = {"squad_v2": "unanswerable", "quac": "CANNOTANSWER"}


def test_every_task_with_options_has_declared_parts():
    with_options = {name for name, task in FLAN.items() if task.options is not None}
    assert with_options | set(UNANSWERED) == set(PARTS) | ONE_TEXT
    assert not set(PARTS) & ONE_TEXT
    assert set(GIVEN_AWAY) <= set(PARTS)


# The features that oracles see.


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _text_features(text: str) -> set[str]:
    words = _words(text)
    pairs = {f"{first} {second}" for first, second in itertools.pairwise(words)}
    size = {
        f"<{len(words)} words>",
        f"<{len(re.findall('[.!?]', text))} sentences>",
        f"<denied {'not' in words}>",
    }
    return set(words) | pairs | size | _truth(text)


@functools.cache
def _statements_of_the_constant_world() -> dict[str, bool]:
    """Returns the statements and questions of all facts, and whether they are true there."""
    truth = {}
    for relation in RELATIONS:
        for subject in getattr(world(), relation.subjects):
            for value in getattr(world(), relation.values):
                fact = Fact(relation, subject, value)
                is_true = fact in world().facts
                texts = [fact.say(i) for i in range(len(relation.statements))]
                for text in (*texts, fact.ask_yes_no()):
                    truth[_words_only(text)] = is_true
    return truth


def _words_only(text: str) -> str:
    return " ".join(_words(text))


def _truth(text: str) -> set[str]:
    """Returns what somebody can say of the text who knows the constant world by heart."""
    statements = _statements_of_the_constant_world()
    found = set()
    for one_sentence in re.split(r"[.!?]", text):
        asked = _words_only(one_sentence)
        for beginning in ("is it true that ", "it is not true that "):
            asked = asked.removeprefix(beginning)
        if asked in statements:
            found.add(f"<{statements[asked]} in the constant world>")
    return found


def _shared_features(text: str, other: str) -> set[str]:
    """Returns how much of `other` is in `text`, and how long both are."""
    words, other_words = _words(text), _words(other)
    pairs = set(itertools.pairwise(words))
    missing = len(set(other_words) - set(words))
    shared_pairs = len(pairs & set(itertools.pairwise(other_words)))
    names = [word for word in re.findall(r"\w+", other) if word in NAMES]
    mentions = sum(words.count(name.lower()) for name in names)
    return {
        f"<{missing} missing>",
        f"<{shared_pairs} shared pairs>",
        f"<{missing} missing, {shared_pairs} shared pairs>",
        f"<names mentioned {mentions} times>",
        f"<{len(words) - len(other_words)} words longer>",
    }


def _option_features(options: Sequence[str], index: int) -> set[str]:
    lengths = [len(option) for option in options]
    return _text_features(options[index]) | {
        f"<place {index} of {len(options)}>",
        f"<longest {lengths[index] == max(lengths)}>",
        f"<shortest {lengths[index] == min(lengths)}>",
    }


def _shared_option_features(text: str, options: Sequence[str], index: int) -> set[str]:
    """Returns how an option's words stand in the text, compared with the other options' words."""
    words = _words(text)
    shared = [len(set(_words(option)) & set(words)) for option in options]
    own_words = [
        word
        for word in _words(options[index])
        if not all(word in _words(option) for option in options)
    ]
    mentions = [word for word in words if word in own_words]
    others = {word for option in options for word in _words(option)} - set(own_words)
    places = [words.index(word) for word in own_words if word in words]
    other_places = [words.index(word) for word in others if word in words]
    # which of the options is named first, alone and beside the words that all of them have
    order = f"<before others {min(places, default=99) < min(other_places, default=99)}>"
    common = set(_words(options[index])) - set(own_words)
    return {
        f"<most shared {shared[index] == max(shared)}>",
        f"<least shared {shared[index] == min(shared)}>",
        f"<{len(mentions)} mentions>",
        order,
        *(f"{order} {word}" for word in common),
    }


def _crossed_features(text: str, option: str) -> set[str]:
    return {
        f"{word} | {other}"
        for word in set(_words(text))
        for other in set(_words(option))
    }


# Oracles.


def _log_odds(
    features: Sequence[set[str]], labels: np.ndarray, classes: int
) -> Callable[[set[str]], np.ndarray]:
    """Learns a naive Bayes classifier from the features that clearly go with a class.

    Args:
      features: the features of each item.
      labels: the class of each item, ints.
      classes: the number of classes.

    Returns:
      A function from the features of an item to a score for each class.
    """
    vocabulary: dict[str, int] = {}
    items, ids = [], []
    for item, names in enumerate(features):
        for name in names:
            items.append(item)
            ids.append(vocabulary.setdefault(name, len(vocabulary)))
    counts = np.zeros((len(vocabulary), classes))
    np.add.at(counts, (np.array(ids), labels[np.array(items)]), 1)
    totals = np.bincount(labels, minlength=classes)
    shares = totals / totals.sum()
    seen = counts.sum(axis=1, keepdims=True)
    deviation = (counts - seen * shares) / np.sqrt(seen * shares * (1 - shares))
    # A deviation of three standard errors: few features of noise, and all that would help.
    chosen = (np.abs(deviation).max(axis=1) > 3) & (seen[:, 0] >= 5)
    weights = np.log((counts + 0.5) / (totals + 1.0))
    weights -= weights.mean(axis=1, keepdims=True)
    weights[~chosen] = 0
    prior = np.log(shares)

    def score(names: set[str]) -> np.ndarray:
        known = [vocabulary[name] for name in names if name in vocabulary]
        return prior + weights[known].sum(axis=0)

    return score


def class_accuracy(features: Sequence[set[str]], labels: Sequence[int]) -> float:
    """Returns how many items an oracle gets right that has learned on the other half of them."""
    targets = np.array(labels)
    hits = []
    for half in (0, 1):
        score = _log_odds(
            features[half::2], targets[half::2], classes=int(targets.max()) + 1
        )
        hits += [
            int(score(names).argmax()) == label
            for names, label in zip(
                features[1 - half :: 2], targets[1 - half :: 2], strict=True
            )
        ]
    return float(np.mean(hits))


def option_accuracy(
    features: Sequence[Sequence[set[str]]], labels: Sequence[int]
) -> float:
    """Returns how often an oracle picks the right option that has learned on the other half.

    Args:
      features: for each row, the features of each option.
      labels: the index of the right option of each row.
    """
    hits = []
    for half in (0, 1):
        rows = list(zip(features[half::2], labels[half::2], strict=True))
        options = [names for row, _ in rows for names in row]
        is_right = [i == label for row, label in rows for i in range(len(row))]
        score = _log_odds(options, np.array(is_right, dtype=int), classes=2)
        for row, label in zip(
            features[1 - half :: 2], labels[1 - half :: 2], strict=True
        ):
            odds = [score(names) @ (-1, 1) for names in row]
            hits.append(int(np.argmax(odds)) == label)
    return float(np.mean(hits))


@functools.cache
def _fresh_worlds() -> list[World]:
    """Returns a world for each row; all tasks speak of the same ones, to save time."""
    return [World.fresh(random.Random(number)) for number in range(ROWS)]


@functools.cache
def _examples(name: str) -> list[dict]:
    task = FLAN[name]
    rng = random.Random(0)
    split = ("train",) if task.sandbox.splits_knowledge else ()
    made = [task.sandbox.make(each, rng, *split) for each in _fresh_worlds()]
    # Of rows that belong together one is enough, so that the rows are independent.
    rows = [rng.choice(rows) if isinstance(rows, list) else rows for rows in made]
    return [example for row in rows if (example := task.example(row)) is not None]


def oracle_accuracies(
    examples: Sequence[dict], parts: Parts, labels: Sequence[int]
) -> dict[str, float]:
    """Returns the accuracy of each oracle, by what it sees."""
    if not parts.per_option:
        accuracies = {}
        for group in parts.groups:
            features = [
                {f"{field}: {f}" for field in group for f in _text_features(row[field])}
                for row in examples
            ]
            accuracies[" and ".join(group)] = class_accuracy(features, labels)
        if parts.pair:
            text, other = parts.pair
            features = [_shared_features(row[text], row[other]) for row in examples]
            accuracies["shared words"] = class_accuracy(features, labels)
        return accuracies
    options = [row["options"] for row in examples]
    alone = [[_option_features(o, i) for i in range(len(o))] for o in options]
    accuracies = {"options": option_accuracy(alone, labels)}
    for group in parts.groups:
        texts = [" ".join(row[field] for field in group) for row in examples]
        crossed = [
            [_crossed_features(text, option) for option in o]
            for text, o in zip(texts, options, strict=True)
        ]
        accuracies[f"options and {' and '.join(group)}"] = option_accuracy(
            crossed, labels
        )
    for field in parts.pair:
        shared = [
            [_shared_option_features(row[field], o, i) for i in range(len(o))]
            for row, o in zip(examples, options, strict=True)
        ]
        accuracies[f"shared words with {field}"] = option_accuracy(shared, labels)
    return accuracies


def answers_and_chance(name: str) -> tuple[list[int], float]:
    """Returns the index of each example's answer, and the accuracy of the best constant guess."""
    examples = _examples(name)
    if name in UNANSWERED:
        labels = [int(row["answer"] == UNANSWERED[name]) for row in examples]
    else:
        labels = [row["options"].index(row["answer"]) for row in examples]
    if PARTS[name].per_option:
        chance = float(np.mean([1 / len(row["options"]) for row in examples]))
    else:
        chance = max(np.bincount(labels)) / len(labels)
    return labels, chance


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.xfail(reason=GIVEN_AWAY[name], strict=True)]
            if name in GIVEN_AWAY
            else [],
        )
        for name in PARTS
    ],
)
def test_no_part_of_a_row_tells_the_answer(name):
    labels, chance = answers_and_chance(name)
    accuracies = oracle_accuracies(_examples(name), PARTS[name], labels)
    too_good = {
        part: (round(accuracy, 3), round(chance, 3))
        for part, accuracy in accuracies.items()
        if accuracy > chance + MARGIN
    }
    assert not too_good


# The oracles find what there is to find.


def _planted(make, count=600):
    """Returns rows of a maker of (texts of a row, label), and their labels."""
    rng = random.Random(0)
    rows, labels = zip(*(make(rng) for _ in range(count)), strict=True)
    return rows, labels


def test_an_oracle_finds_a_word_that_goes_with_a_label():
    def make(rng):
        label = rng.randrange(2)
        verb = ("likes", "knows")[label if rng.random() < 0.6 else 1 - label]
        return {"premise": "So it is.", "hypothesis": f"Anna {verb} it."}, label

    rows, labels = _planted(make, count=2000)
    accuracies = oracle_accuracies(rows, _two_texts("premise", "hypothesis"), labels)
    assert accuracies["hypothesis"] > 0.5 + MARGIN
    assert accuracies["premise"] <= 0.5 + MARGIN


def test_an_oracle_knows_the_constant_world():
    def make(rng):
        label = rng.randrange(2)
        fact = world().fact(rng)
        claim = world().wrong(fact, rng) if label else fact
        return {"premise": "So it is.", "hypothesis": claim.say_any(rng)}, label

    rows, labels = _planted(make)
    accuracies = oracle_accuracies(rows, _two_texts("premise", "hypothesis"), labels)
    assert accuracies["hypothesis"] == 1


def test_an_oracle_sees_that_a_word_is_new():
    def make(rng):
        label = rng.randrange(2)
        facts = world().contrasting(rng, 2, ("home",))
        claim = dataclasses.replace(facts[0], value=facts[label].value)
        return {"premise": facts[0].say(0), "hypothesis": claim.say(1)}, label

    rows, labels = _planted(make)
    accuracies = oracle_accuracies(rows, _two_texts("premise", "hypothesis"), labels)
    assert accuracies["shared words"] > 0.9


@pytest.mark.parametrize(
    ("options_of", "found_by"),
    [
        (lambda right, wrong, rng: [right, wrong], "options"),
        (
            lambda right, wrong, rng: rng.sample([right + " indeed", wrong], 2),
            "options",
        ),
        (
            lambda right, wrong, rng: rng.sample([right, wrong], 2),
            "shared words with c",
        ),
    ],
)
def test_an_oracle_finds_the_place_the_words_and_the_mention_of_an_option(
    options_of, found_by
):
    def make(rng):
        right, wrong = rng.sample(world().people, 2)
        options = options_of(right, wrong, rng)
        label = next(i for i, option in enumerate(options) if option.startswith(right))
        return {"c": f"{right} knows {wrong}.", "options": options}, label

    rows, labels = _planted(make)
    accuracies = oracle_accuracies(rows, Parts((), ("c",), per_option=True), labels)
    assert accuracies[found_by] > 0.9


# A reader of the whole text needs nothing else.


def _stated(one_sentence: str) -> Fact | None:
    """Returns the fact that a sentence or a clause states in one of a relation's wordings."""
    text = clause(one_sentence.strip())
    for relation in RELATIONS:
        for statement in relation.statements:
            pattern = re.escape(clause(statement)).replace(r"\{s\}", r"(?P<s>\w+)")
            pattern = pattern.replace(r"\{o\}", r"(?P<o>\w+)")
            found = re.fullmatch(pattern, text, flags=re.IGNORECASE)
            if found:
                return Fact(relation, found["s"].lower(), found["o"].lower())
    return None


def _verdict(text: str, claim: str) -> str:
    """Returns whether the statements of a text make a claim "true", "false" or leave it "open"."""
    facts = [fact for part in re.split(r"(?<=\.) ", text) if (fact := _stated(part))]
    denial = "It is not true that "
    claimed = _stated(claim.removeprefix(denial))
    assert claimed is not None, claim
    verdict = "open"
    for fact in facts:
        if (fact.relation, fact.subject) == (claimed.relation, claimed.subject):
            is_true = (fact.value == claimed.value) != claim.startswith(denial)
            verdict = "true" if is_true else "false"
    return verdict


_READERS = {
    "rte": ("premise", "hypothesis", ("yes", "no", "no")),
    "anli_r1": ("context", "hypothesis", ("Yes", "It's impossible to say", "No")),
    "anli_r2": ("context", "hypothesis", ("Yes", "It's impossible to say", "No")),
    "anli_r3": ("context", "hypothesis", ("Yes", "It's impossible to say", "No")),
    "multirc": ("paragraph", "response", ("yes", "no", "no")),
}
"""The text, the claim, and the answers where the text makes it true, leaves it open, denies it."""


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", _READERS)
def test_a_reader_is_always_right(name, fresh):
    text, claim, answers = _READERS[name]
    task = FLAN[name]
    source = dataclasses.replace(task.sandbox, train=200, fresh=fresh)
    for row in source.rows("train"):
        example = task.example(row)
        claimed = example[claim]
        if "." not in claimed:
            continue  # multirc's answers of one word
        verdict = _verdict(example[text], claimed)
        assert answers[("true", "open", "false").index(verdict)] == example["answer"], (
            example
        )


def _rows_of_fresh_worlds(name, count=200):
    sandbox: Sandbox = dataclasses.replace(FLAN[name].sandbox, train=count, fresh=True)
    return list(sandbox.rows("train"))


@pytest.mark.parametrize("name", ["squad_v1", "squad_v2"])
def test_spans_are_whole_words_where_they_are_said_to_be(name):
    for row in _rows_of_fresh_worlds(name):
        spans = row["answers"]
        for text, start in zip(spans["text"], spans["answer_start"], strict=True):
            assert re.compile(rf"\b{text}\b").match(row["context"], start), row


def test_spans_of_conversations_are_in_their_texts():
    for row in _rows_of_fresh_worlds("quac"):
        spans = row["answers"]
        for text, start in zip(spans["text"], spans["answer_start"], strict=True):
            assert row["context"].startswith(text, start), row
    for row in _rows_of_fresh_worlds("coqa"):
        spans = row["answers"]
        for answer, start, end in zip(
            spans["input_text"], spans["answer_start"], spans["answer_end"], strict=True
        ):
            if answer not in ("yes", "no", "unknown"):
                assert answer.lower() in row["story"][start:end].lower(), row


def test_pronouns_and_words_are_where_they_are_said_to_be():
    for row in _rows_of_fresh_worlds("wsc"):
        words = row["text"].split()
        for span in ("span1", "span2"):
            first_word = row[f"{span}_text"].split()[0]
            assert words[row[f"{span}_index"]].strip(".,") == first_word, row
    for row in _rows_of_fresh_worlds("wic"):
        for number in "12":
            place = slice(row[f"start{number}"], row[f"end{number}"])
            assert row[f"sentence{number}"][place] == row["word"]


def test_she_and_he_are_the_only_woman_or_man_of_the_text():
    women, men = set(practice_words.WOMEN), set(practice_words.MEN)
    for name, text, question in (
        ("wnli", "sentence1", "sentence1"),
        ("quac", "context", "question"),
        ("coqa", "story", "questions"),
    ):
        for row in _rows_of_fresh_worlds(name):
            names = set(re.findall(r"\w+", row[text]))
            asked = set(re.findall(r"\w+", str(row[question]).lower()))
            assert not asked & {"she", "her"} or len(names & women) == 1, row
            assert not asked & {"he", "his"} or len(names & men) == 1, row
