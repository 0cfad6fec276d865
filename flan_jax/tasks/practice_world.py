"""The practice corpus: rows in the datasets' own schemas, told about small generated worlds.

A `World` is a few people, towns and things and the facts about them. Every practice dataset states
such facts in its own form (a passage with a question, a premise with a hypothesis, triples with
a text), so that what a model learns from one cluster of tasks helps it with another, which is what
instruction tuning is about.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from flan_jax.errors import InputError, check_call
from flan_jax.tasks import practice_words
from flan_jax.tasks.fingerprints import fingerprint

Knowledge = TypeVar("Knowledge")

_WORDS = {
    "women": (practice_words.WOMEN, 6),
    "men": (practice_words.MEN, 6),
    "towns": (practice_words.TOWNS, 8),
    "countries": (practice_words.COUNTRIES, 4),
    "products": (practice_words.PRODUCTS, 8),
    "jobs": (practice_words.JOBS, 8),
    "foods": (practice_words.FOODS, 8),
    "pets": (practice_words.PETS, 8),
    "colors": (practice_words.COLORS, 8),
    "things": (practice_words.THINGS, 10),
    "materials": (practice_words.MATERIALS, 4),
    "places_in_town": (practice_words.PLACES_IN_TOWN, 8),
    "sports": (practice_words.SPORTS, 6),
    "drinks": (practice_words.DRINKS, 6),
    "months": (practice_words.MONTHS, 6),
    "numbers": (practice_words.NUMBERS, 6),
}
"""All words of each kind, and how many of them one world has."""

_NAMES = frozenset(
    (
        *practice_words.WOMEN,
        *practice_words.MEN,
        *practice_words.TOWNS,
        *practice_words.COUNTRIES,
        *practice_words.MONTHS,
    )
)


@dataclasses.dataclass(frozen=True)
class Relation:
    """A kind of fact. In its texts, `{s}` is the subject of the fact and `{o}` its value.

    Attributes:
      name: the relation's name.
      subjects: the kind of word that has a value: an attribute of World, "people" for example.
      values: the kind of word that the values are.
      statements: wordings of the fact, the plainest first.
      question: a question for the value.
      yes_no: a question whether the value is the right one, without a question mark.
    """

    name: str
    subjects: str
    values: str
    statements: tuple[str, ...]
    question: str
    yes_no: str


RELATIONS = (
    Relation(
        "home",
        "people",
        "towns",
        (
            "{s} lives in {o}.",
            "The home of {s} is in {o}.",
            "{o} is the town where {s} lives.",
            "{s} has a house in {o}.",
            "{s} comes from {o}.",
        ),
        "Where does {s} live?",
        "does {s} live in {o}",
    ),
    Relation(
        "job",
        "people",
        "jobs",
        (
            "{s} works as a {o}.",
            "{s} is a {o}.",
            "The job of {s} is that of a {o}.",
            "{s} earns money as a {o}.",
            "By trade {s} is a {o}.",
        ),
        "What is the job of {s}?",
        "is {s} a {o}",
    ),
    Relation(
        "food",
        "people",
        "foods",
        (
            "{s} likes to eat {o}.",
            "The favorite food of {s} is {o}.",
            "What {s} likes to eat is {o}.",
            "{s} is fond of {o}.",
            "Nothing tastes better to {s} than {o}.",
        ),
        "What does {s} like to eat?",
        "does {s} like to eat {o}",
    ),
    Relation(
        "pet",
        "people",
        "pets",
        (
            "{s} has a {o}.",
            "The pet of {s} is a {o}.",
            "A {o} lives with {s}.",
            "{s} looks after a {o}.",
            "{s} lives with a {o}.",
        ),
        "Which pet does {s} have?",
        "does {s} have a {o}",
    ),
    Relation(
        "car",
        "people",
        "colors",
        (
            "{s} drives a {o} car.",
            "The car of {s} is {o}.",
            "{s} has a car that is {o}.",
            "The {o} car belongs to {s}.",
            "{s} likes to drive a {o} car.",
        ),
        "What color is the car of {s}?",
        "is the car of {s} {o}",
    ),
    Relation(
        "country",
        "towns",
        "countries",
        (
            "{s} is a town in {o}.",
            "The town of {s} is in {o}.",
            "{o} is the country of {s}.",
            "{s} lies in {o}.",
            "{s} belongs to {o}.",
        ),
        "In which country is {s}?",
        "is {s} in {o}",
    ),
    Relation(
        "product",
        "towns",
        "products",
        (
            "{s} is known for its {o}.",
            "The {o} of {s} is famous.",
            "People buy {o} in {s}.",
            "{s} sells a lot of {o}.",
            "The best {o} comes from {s}.",
        ),
        "What is {s} known for?",
        "is {s} known for its {o}",
    ),
    Relation(
        "material",
        "things",
        "materials",
        (
            "The {s} is made of {o}.",
            "They made the {s} from {o}.",
            "{o} is what the {s} is made of.",
            "Somebody made the {s} out of {o}.",
            "The material of the {s} is {o}.",
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

    def say_any(self, rng: random.Random) -> str:
        """Returns one of the relation's statements, drawn by `rng`."""
        return self.say(rng.randrange(len(self.relation.statements)))

    def wordings(self, rng: random.Random, count: int) -> list[int]:
        """Draws the indices of different statements of the relation.

        Args:
          rng: the random numbers.
          count: the number of statements.
        """
        return rng.sample(range(len(self.relation.statements)), count)

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
    """Some people, towns and things, and the true facts about them.

    Each relation gives one value to each of its subjects.

    Attributes:
      women, men, people, towns, countries, products, jobs, foods, pets, colors, things, materials,
        places_in_town, sports, drinks, months, numbers: the words of each kind.
      facts: all true facts.
    """

    def __init__(self, words: Mapping[str, Sequence[str]], rng: random.Random):
        """Draws the facts.

        Args:
          words: the words of each kind in `practice_words`.
          rng: draws the value of each fact.
        """
        self.women = tuple(words["women"])
        self.men = tuple(words["men"])
        pairs = zip(self.women, self.men, strict=True)
        self.people = tuple(itertools.chain.from_iterable(pairs))
        self.towns = tuple(words["towns"])
        self.countries = tuple(words["countries"])
        self.products = tuple(words["products"])
        self.jobs = tuple(words["jobs"])
        self.foods = tuple(words["foods"])
        self.pets = tuple(words["pets"])
        self.colors = tuple(words["colors"])
        self.things = tuple(words["things"])
        self.materials = tuple(words["materials"])
        self.places_in_town = tuple(words["places_in_town"])
        self.sports = tuple(words["sports"])
        self.drinks = tuple(words["drinks"])
        self.months = tuple(words["months"])
        self.numbers = tuple(words["numbers"])
        facts = []
        for relation in RELATIONS:
            subjects = getattr(self, relation.subjects)
            values = _spread(self.values(relation), len(subjects), rng)
            facts += [
                Fact(relation, subject, value)
                for subject, value in zip(subjects, values, strict=True)
            ]
        self.facts = tuple(facts)
        self._by_subject: dict[str, list[Fact]] = {}
        for fact in self.facts:
            self._by_subject.setdefault(fact.subject, []).append(fact)

    @classmethod
    def constant(cls, seed: int = 0) -> "World":
        """Returns the world of the first words of each kind, with the facts that `seed` draws."""
        words = {kind: pool[:count] for kind, (pool, count) in _WORDS.items()}
        return cls(words, random.Random(f"world {seed}"))

    @classmethod
    def fresh(cls, rng: random.Random) -> "World":
        """Returns a world whose words and facts are both drawn by `rng`."""
        words = {
            kind: rng.sample(pool, count) for kind, (pool, count) in _WORDS.items()
        }
        return cls(words, rng)

    def values(self, relation: Relation) -> tuple[str, ...]:
        """Returns all words of this world that the relation's values may be."""
        return getattr(self, relation.values)

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
        values = [v for v in self.values(fact.relation) if v != fact.value]
        return dataclasses.replace(fact, value=rng.choice(values))

    def other(self, fact: Fact, rng: random.Random) -> Fact:
        """Returns another true fact: about the same subject, or else of the same relation."""
        facts = [other for other in self.about(fact.subject) if other != fact]
        if not facts:
            facts = [f for f in self.facts if f.relation == fact.relation and f != fact]
        return rng.choice(facts)

    def contrasting(
        self, rng: random.Random, count: int, relations: Sequence[str] | None = None
    ) -> list[Fact]:
        """Draws true facts of one relation, no two of which share a subject or a value.

        A text that states several of them says who has which value, so that the words alone do
        not answer a question about one of them.

        Args:
          rng: the random numbers.
          count: the number of facts.
          relations: names of relations to choose from; None for all.
        """
        by_relation: dict[str, list[Fact]] = {}
        for fact in rng.sample(self.facts, len(self.facts)):
            facts = by_relation.setdefault(fact.relation.name, [])
            if fact.value not in [other.value for other in facts]:
                facts.append(fact)
        names = [
            relation.name
            for relation in RELATIONS
            if (relations is None or relation.name in relations)
            and len(by_relation[relation.name]) >= count
        ]
        return by_relation[rng.choice(names)][:count]

    def asides(
        self, rng: random.Random, facts: Sequence[Fact], count: int
    ) -> list[Fact]:
        """Draws true facts of relations that `facts` are not of.

        Args:
          rng: the random numbers.
          facts: facts of one relation.
          count: the number of facts. They are about the subjects of `facts` as far as those have
            other relations.
        """
        relation = facts[0].relation
        subjects = [fact.subject for fact in facts]
        candidates = [fact for fact in self.facts if fact.relation != relation]
        about = [fact for fact in candidates if fact.subject in subjects]
        rest = [fact for fact in candidates if fact.subject not in subjects]
        chosen = rng.sample(about, min(count, len(about)))
        return chosen + rng.sample(rest, count - len(chosen))

    def choices(self, fact: Fact, rng: random.Random, count: int) -> list[str]:
        """Returns different values of the fact's relation in random order, one of them true.

        Args:
          fact: a true fact.
          rng: the random numbers.
          count: the number of values.
        """
        wrong_values = [v for v in self.values(fact.relation) if v != fact.value]
        return rng.sample([*rng.sample(wrong_values, count - 1), fact.value], count)


def _spread(values: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Draws `count` values in random order, none of them twice before each has come once."""
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += rng.sample(values, len(values))
    return drawn[:count]


def sentence(text: str) -> str:
    """Returns the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def clause(statement: str) -> str:
    """Returns a sentence as a part of another: no period, no capital first letter but a name's.

    >>> clause("The home of Anna is in Arden.")
    'the home of Anna is in Arden'
    """
    first = statement.partition(" ")[0]
    if first in _NAMES:
        return statement.rstrip(".")
    return statement[:1].lower() + statement[1:].rstrip(".")


@functools.cache
def world(seed: int = 0) -> World:
    """Returns the constant world of a seed, which is made once."""
    return World.constant(seed)


def split_knowledge(
    table: Mapping[str, Sequence[Knowledge]],
) -> dict[str, dict[str, tuple[Knowledge, ...]]]:
    """Divides everyday knowledge among the splits, so that no split's rows teach another's.

    Of each topic a quarter is for test and an eighth for validation. A hash of the items decides
    which, so that it is a random choice that is always the same.

    Args:
      table: the items of each topic, texts or tuples of texts.

    Returns:
      The items of each topic in each split.
    """
    parts = {split: {} for split in ("train", "validation", "test")}
    for topic, items in table.items():
        order = sorted(
            items, key=lambda item: hashlib.sha256(repr(item).encode()).digest()
        )
        test = len(items) // 4
        validation = test + len(items) // 8
        parts["test"][topic] = tuple(order[:test])
        parts["validation"][topic] = tuple(order[test:validation])
        parts["train"][topic] = tuple(order[validation:])
    return parts


def draw_among(words: Sequence[str], fitting: Sequence[str], rng: random.Random) -> str:
    """Draws one of a world's words that fit a sentence; any fitting word if it has none."""
    return rng.choice([word for word in words if word in fitting] or fitting)


Made: TypeAlias = dict[str, Any] | list[dict[str, Any]]
"""A row, or several rows that belong together."""
MakeRow = Callable[..., Made]
"""A function of a world and random numbers, and for some sources of a split."""


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """A source of practice rows. Any number of rows may be asked for.

    A hash of a row's content decides which split it belongs to: the three splits share no row.
    Where rows call for everyday knowledge, the splits share none of that either.

    Attributes:
      make: draws one row in the dataset's TFDS schema, or a list of rows that belong together, for
        example all answers to a question; they are in one split, one after the other.
      train: the number of rows of the train split.
      validation: the number of rows of the validation split.
      test: the number of rows of the test split.
      numbered: fields (idx, gem_id ...) that are set to the row's number, as "<split>-<number>" if
        `make` returns a str there. They do not count as content.
      fresh: whether each row, or list of rows, has a world of its own, in which only the row's text
        can tell what is true; otherwise all rows speak of the constant world of `seed`. Closed-book
        questions need the constant world: its facts are what a base model can have read.
      splits_knowledge: whether `make` takes the split as a third argument and draws from the
        split's own part of the knowledge, see `split_knowledge`. All its rows are then the split's.
      seed: the seed of the rows, and of the constant world.
    """

    make: MakeRow
    train: int = 3000
    validation: int = 200
    test: int = 200
    numbered: tuple[str, ...] = ("idx",)
    fresh: bool = True
    splits_knowledge: bool = False
    seed: int = 0

    def __post_init__(self):
        arguments = ["world", "rng"]
        if self.splits_knowledge:
            arguments.append("split")
        check_call(self.make, "Sandbox.make", arguments)

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
            made = self._draw(split, rows_tried)
            rows_tried += 1
            if self.splits_knowledge or self._split_of(made) == split:
                drawn = made if isinstance(made, list) else [made]
                for row in drawn[: count - rows_made]:
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
        world_of = "fresh" if self.fresh else "constant"
        knowledge = f" of {split}" if self.splits_knowledge else ""
        return (
            f"sandbox {name} {world_of}{knowledge} {self.seed} {self._count(split)} "
            f"{self.numbered} {code}"
        )

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

    def _draw(self, split: str, number: int) -> Made:
        if not self.splits_knowledge:
            rng = random.Random(f"{self.make.__qualname__} {self.seed} {number}")
            return self.make(self._world(str(number)), rng)
        name = f"{split} {number}"
        rng = random.Random(f"{self.make.__qualname__} {self.seed} {name}")
        return self.make(self._world(name), rng, split)

    def _world(self, number: str) -> World:
        if self.fresh:
            return World.fresh(random.Random(f"fresh world {self.seed} {number}"))
        return world(self.seed)

    def _split_of(self, made: Made) -> str:
        if isinstance(made, list):
            fields = [self._content(row) for row in made]
        else:
            fields = self._content(made)
        content = json.dumps(fields, sort_keys=True)
        bucket = hashlib.sha256(content.encode()).digest()[0] % 8
        return ("validation", "test")[bucket] if bucket < 2 else "train"

    def _content(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields of a row that are not numbers of the row."""
        return {name: value for name, value in row.items() if name not in self.numbered}

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
    modules = (make.__module__, World.__module__, practice_words.__name__)
    return fingerprint(make, World, Sandbox, follow=modules)
