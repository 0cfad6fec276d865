"""The practice corpus: rows in the datasets' own schemas, told about one small generated world.

A `World` is a few people, towns and things and the facts about them. Every practice dataset states
the same facts in its own form (a passage with a question, a premise with a hypothesis, triples with
a text), so that what a model learns from one cluster of tasks helps it with another, which is what
instruction tuning is about.
"""

import dataclasses
import functools
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flan_jax.errors import InputError
from flan_jax.tasks.fingerprints import fingerprint

PEOPLE = (
    "Anna",
    "Boris",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Greta",
    "Henry",
    "Ida",
    "Jonas",
    "Karin",
    "Leo",
)
TOWNS = (
    "Arden",
    "Brook",
    "Colby",
    "Dunmore",
    "Elton",
    "Fairview",
    "Grafton",
    "Hilltop",
)
COUNTRIES = ("Norland", "Sudland", "Estia", "Westia")
PRODUCTS = ("cheese", "glass", "wool", "silver", "honey", "paper", "salt", "wine")
JOBS = ("teacher", "baker", "doctor", "farmer", "painter", "pilot", "singer", "tailor")
FOODS = ("soup", "bread", "rice", "fish", "cake", "apples", "pasta", "beans")
PETS = ("cat", "dog", "horse", "parrot", "rabbit", "goat", "turtle", "duck")
COLORS = ("red", "blue", "green", "yellow", "white", "black", "brown", "gray")
THINGS = (
    "table",
    "chair",
    "spoon",
    "coat",
    "ring",
    "candle",
    "bottle",
    "knife",
    "bowl",
    "mirror",
)
MATERIALS = ("wood", "metal", "cloth", "glass")
PLACES_IN_TOWN = (
    "market",
    "school",
    "garden",
    "station",
    "library",
    "harbor",
    "kitchen",
    "park",
)


@dataclasses.dataclass(frozen=True)
class Relation:
    """A kind of fact. In its texts, `{s}` is the subject of the fact and `{o}` its value.

    Attributes:
      name: the relation's name.
      subjects: everything that has a value.
      values: all possible values.
      statements: wordings of the fact, the plainest first.
      question: a question for the value.
      yes_no: a question whether the value is the right one, without a question mark.
    """

    name: str
    subjects: tuple[str, ...]
    values: tuple[str, ...]
    statements: tuple[str, ...]
    question: str
    yes_no: str


RELATIONS = (
    Relation(
        "home",
        PEOPLE,
        TOWNS,
        (
            "{s} lives in {o}.",
            "The home of {s} is in {o}.",
            "{o} is the town where {s} lives.",
        ),
        "Where does {s} live?",
        "does {s} live in {o}",
    ),
    Relation(
        "job",
        PEOPLE,
        JOBS,
        ("{s} works as a {o}.", "{s} is a {o}.", "The job of {s} is that of a {o}."),
        "What is the job of {s}?",
        "is {s} a {o}",
    ),
    Relation(
        "food",
        PEOPLE,
        FOODS,
        (
            "{s} likes to eat {o}.",
            "The favorite food of {s} is {o}.",
            "What {s} likes to eat is {o}.",
        ),
        "What does {s} like to eat?",
        "does {s} like to eat {o}",
    ),
    Relation(
        "pet",
        PEOPLE,
        PETS,
        ("{s} has a {o}.", "The pet of {s} is a {o}.", "A {o} lives with {s}."),
        "Which pet does {s} have?",
        "does {s} have a {o}",
    ),
    Relation(
        "car",
        PEOPLE,
        COLORS,
        (
            "{s} drives a {o} car.",
            "The car of {s} is {o}.",
            "{s} has a car that is {o}.",
        ),
        "What color is the car of {s}?",
        "is the car of {s} {o}",
    ),
    Relation(
        "country",
        TOWNS,
        COUNTRIES,
        (
            "{s} is a town in {o}.",
            "The town of {s} is in {o}.",
            "{o} is the country of {s}.",
        ),
        "In which country is {s}?",
        "is {s} in {o}",
    ),
    Relation(
        "product",
        TOWNS,
        PRODUCTS,
        (
            "{s} is known for its {o}.",
            "The {o} of {s} is famous.",
            "People buy {o} in {s}.",
        ),
        "What is {s} known for?",
        "is {s} known for its {o}",
    ),
    Relation(
        "material",
        THINGS,
        MATERIALS,
        (
            "The {s} is made of {o}.",
            "They made the {s} from {o}.",
            "{o} is what the {s} is made of.",
        ),
        "What is the {s} made of?",
        "is the {s} made of {o}",
    ),
)


@dataclasses.dataclass(frozen=True)
class Fact:
    """A relation between a subject and a value, true in the world or not."""

    relation: Relation
    subject: str
    value: str

    def say(self, wording: int = 0) -> str:
        """Returns one of the relation's statements, as a sentence."""
        return sentence(
            self.relation.statements[wording].format(s=self.subject, o=self.value)
        )

    def ask(self) -> str:
        """Returns the question for the value."""
        return self.relation.question.format(s=self.subject)

    def ask_yes_no(self, wording: int | None = None) -> str:
        """Returns the question whether the fact is true.

        It has no question mark, like questions that are typed into a search engine.

        Args:
          wording: the index of the statement to ask about; None for the relation's own question.
        """
        if wording is None:
            return self.relation.yes_no.format(s=self.subject, o=self.value)
        return f"is it true that {clause(self.say(wording))}"


class World:
    """The true facts: one value for each subject of each relation, drawn from `seed`."""

    def __init__(self, seed: int = 0):
        rng = random.Random(f"world {seed}")
        self.facts = tuple(
            Fact(relation, subject, rng.choice(relation.values))
            for relation in RELATIONS
            for subject in relation.subjects
        )
        self._by_subject: dict[str, list[Fact]] = {}
        for fact in self.facts:
            self._by_subject.setdefault(fact.subject, []).append(fact)

    def about(self, subject: str) -> list[Fact]:
        """Returns all true facts about a subject."""
        return self._by_subject[subject]

    def fact(self, rng: random.Random, relations: Sequence[str] | None = None) -> Fact:
        """Draws a true fact.

        Args:
          rng: the random numbers.
          relations: names of relations to choose from; None for all.
        """
        if relations is None:
            return rng.choice(self.facts)
        return rng.choice(
            [fact for fact in self.facts if fact.relation.name in relations]
        )

    def wrong(self, fact: Fact, rng: random.Random) -> Fact:
        """Returns the fact with another value, which is not true."""
        values = [value for value in fact.relation.values if value != fact.value]
        return dataclasses.replace(fact, value=rng.choice(values))

    def other(self, fact: Fact, rng: random.Random) -> Fact:
        """Returns another true fact: about the same subject, or else of the same relation."""
        facts = [other for other in self.about(fact.subject) if other != fact]
        if not facts:
            facts = [f for f in self.facts if f.relation == fact.relation and f != fact]
        return rng.choice(facts)

    def choices(self, fact: Fact, rng: random.Random, count: int) -> list[str]:
        """Returns different values of the fact's relation in random order, one of them true.

        Args:
          fact: a true fact.
          rng: the random numbers.
          count: the number of values.
        """
        wrong_values = [value for value in fact.relation.values if value != fact.value]
        return rng.sample([*rng.sample(wrong_values, count - 1), fact.value], count)


def sentence(text: str) -> str:
    """Returns the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def clause(statement: str) -> str:
    """Returns a sentence as a part of another: no period, no capital first letter but a name's.

    >>> clause("The home of Anna is in Arden.")
    'the home of Anna is in Arden'
    """
    first = statement.partition(" ")[0]
    if first in (*PEOPLE, *TOWNS, *COUNTRIES):
        return statement.rstrip(".")
    return statement[:1].lower() + statement[1:].rstrip(".")


@functools.cache
def world(seed: int = 0) -> World:
    """Returns the world of a seed, which is made once."""
    return World(seed)


MakeRow = Callable[[World, random.Random], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """A source of practice rows. Any number of rows may be asked for.

    A hash of a row's content decides which split it belongs to: the three splits share no row.

    Attributes:
      make: draws one row in the dataset's TFDS schema.
      train: the number of rows of the train split.
      validation: the number of rows of the validation split.
      test: the number of rows of the test split.
      numbered: fields (idx, gem_id ...) that are set to the row's number, as "<split>-<number>" if
        `make` returns a str there. They do not count as content.
      seed: the seed of the world and of the rows.
    """

    make: MakeRow
    train: int = 3000
    validation: int = 200
    test: int = 200
    numbered: tuple[str, ...] = ("idx",)
    seed: int = 0

    def rows(self, split: str) -> Iterator[Mapping[str, Any]]:
        """Yields the rows of a split, see Source.rows.

        Args:
          split: one of SPLITS.

        Yields:
          The rows that the generator draws and that belong to the split, in a fixed order.

        Raises:
          InputError: the generator draws too few different rows to fill the split.
        """
        count = self._count(split)
        rows_made = 0
        rows_tried = 0
        while rows_made < count:
            rng = random.Random(f"{self.make.__qualname__} {self.seed} {rows_tried}")
            row = self.make(world(self.seed), rng)
            rows_tried += 1
            if self._split_of(row) == split:
                yield self._numbered(row, split, rows_made)
                rows_made += 1
            elif rows_tried > 1000 * (rows_made + 10):
                raise InputError(
                    f"{self.make.__qualname__} draws too few different rows to fill the {split} "
                    "split. Let it draw from more, or ask for fewer rows"
                )

    def fingerprint(self, split: str) -> str:
        """Returns a text that changes with the code that makes the rows, but not with comments."""
        name = self.make.__qualname__
        code = _code_fingerprint(self.make)
        return f"sandbox {name} {self.seed} {self._count(split)} {self.numbered} {code}"

    @property
    def provenance(self) -> dict[str, str]:
        """The function that makes the rows, see Source.provenance."""
        return {
            "kind": "generated",
            "where": f"{self.make.__module__}.{self.make.__qualname__}",
        }

    def _count(self, split: str) -> int:
        return {"train": self.train, "validation": self.validation, "test": self.test}[
            split
        ]

    def _split_of(self, row: Mapping[str, Any]) -> str:
        fields = {
            name: value for name, value in row.items() if name not in self.numbered
        }
        content = json.dumps(fields, sort_keys=True)
        bucket = hashlib.sha256(content.encode()).digest()[0] % 8
        return ("validation", "test")[bucket] if bucket < 2 else "train"

    def _numbered(self, row: dict[str, Any], split: str, number: int) -> dict[str, Any]:
        numbers = {}
        for name in self.numbered:
            if name in row:
                numbers[name] = (
                    f"{split}-{number}" if isinstance(row[name], str) else number
                )
        return row | numbers


@functools.cache
def _code_fingerprint(make: MakeRow) -> str:
    """The rows depend on the code of `make`, of the world that it draws from, and of Sandbox."""
    return fingerprint(make, World, Sandbox, follow=(make.__module__, World.__module__))
