"""Tasks of a toy world, in a module of its own so that worker processes can import them."""

import dataclasses
import multiprocessing
import os
import signal
import sys
import time

from flan_jax.tasks.metrics import accuracy, group_exact_match
from flan_jax.tasks.task import TemplatedTask
from flan_jax.tasks.templates import FormatTemplate, Segment

ANIMALS = ("cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay")


@dataclasses.dataclass(frozen=True)
class Rows:
    """`count` rows in each split, each naming an animal."""

    count: int = 20
    train: str | None = "train"
    validation: str | None = "validation"
    test: str | None = "test"

    def rows(self, split):
        start = {"train": 0, "validation": 1000, "test": 2000}[split]
        for number in range(start, start + self.count):
            yield {"animal": ANIMALS[number % len(ANIMALS)], "number": number}

    def fingerprint(self, split):
        return f"toy {self.count} {split}"

    @property
    def provenance(self):
        return {"kind": "toy", "where": "toy_tasks.Rows"}


def kind_fields(row):
    """Whether an animal flies; every seventh row is left out."""
    if row["number"] % 7 == 3:
        return None
    flies = row["animal"] in ("hen", "jay")
    return {
        "animal": f"{row['animal']} number {row['number']}",
        "answer": "yes" if flies else "no",
    }


def spell_fields(row):
    letters = list(row["animal"])
    return {
        "animal": row["animal"],
        "answer": " ".join(letters),
        "references": [" ".join(letters), "-".join(letters)],
    }


KIND = TemplatedTask(
    name="toy_kind",
    cluster="zoo",
    source=Rows(),
    fields=kind_fields,
    options=("no", "yes"),
    templates=(
        FormatTemplate("Does a {animal} fly?\n{options}"),
        FormatTemplate("{animal}: does it have wings?", "It is {answer}."),
        FormatTemplate(
            "Name an animal. Wings: {answer}", "{animal}", turned_around=True
        ),
    ),
)
SPELL = TemplatedTask(
    name="toy_spell",
    cluster="words",
    source=Rows(13),
    fields=spell_fields,
    templates=(
        FormatTemplate("Spell {animal}."),
        FormatTemplate("The letters of {animal}:", "Letters: {answer}"),
    ),
)


def herd_fields(row):
    """As kind_fields; three animals that follow each other are a herd, less those left out."""
    fields = kind_fields(row)
    return fields and fields | {"herd": row["number"] // 3}


HERD = dataclasses.replace(
    KIND,
    name="toy_herd",
    fields=herd_fields,
    metrics=(accuracy, group_exact_match),
    group="herd",
)
"""KIND in groups of up to three rows. In the test split their sizes are 1, 3, 2, 3, 2, 3, 3."""


@dataclasses.dataclass(frozen=True)
class ChatTemplate:
    """A system message and turns in alternation; replies have loss."""

    fields = frozenset({"system", "turns"})
    turned_around = True

    def segments(self, fields):
        turns = [
            Segment(turn, number % 2 == 1)
            for number, turn in enumerate(fields["turns"])
        ]
        return [Segment(fields["system"], False), *turns]


def chat_fields(row):
    letters = " ".join(row["animal"])
    turns = ("Name an animal.", row["animal"], "Spell it.", letters)
    return {"system": "Speak of animals.", "turns": turns, "answer": letters}


CHAT = TemplatedTask(
    name="toy_chat",
    cluster="words",
    source=Rows(9),
    fields=chat_fields,
    templates=(ChatTemplate(),),
)
"""Conversations of five segments with loss on two of them."""


def imported_fields(row):
    """Answers with the heavy modules that the process which renders has imported."""
    heavy = sorted({"jax", "tensorflow", "pytest"} & set(sys.modules))
    return {
        "animal": row["animal"],
        "answer": " ".join([str(multiprocessing.parent_process() is not None), *heavy]),
    }


def killing_fields(row):
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return kind_fields(row)


def slow_fields(row):
    time.sleep(1)
    return kind_fields(row)


def failing_fields(row):
    return {"answer": row["anmial"]}


def empty_fields(row):
    return {"animal": row["animal"], "answer": "" if row["number"] == 5 else "x"}


def no_fields(row):
    return None


@dataclasses.dataclass(frozen=True)
class FailingRows(Rows):
    def rows(self, split):
        yield from (row for _, row in zip(range(4), super().rows(split), strict=False))
        raise RuntimeError("the disk is on fire")


def generation(name, fields, source=Rows()):
    return TemplatedTask(
        name=name,
        cluster="zoo",
        source=source,
        fields=fields,
        templates=(FormatTemplate("{animal}?"),),
    )
