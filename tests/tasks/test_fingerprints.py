import dataclasses
import functools
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import toy_tasks

from flan_jax.tasks.fingerprints import fingerprint

SOURCE = """
import re
PATTERN = re.compile("a+")
NAMES = ("cat", "dog")
LIMIT = 3

def helper(text, times=1):
    return text * times

class Shape:
    sides = 4
    def area(self):
        return self.sides

def fields(row, cut=2):
    inner = lambda text: helper(text).lower()
    if row["x"] in {"u", "v", "w"}:
        return None
    answer = inner(NAMES[0])[:LIMIT]
    return {"answer": answer, "b": PATTERN.sub("", row["y"])[:cut], "c": Shape().area()}
"""


def function(*changes):
    source = SOURCE
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    module = types.ModuleType("toy_module")
    exec(compile(source, "toy_module.py", "exec"), module.__dict__)  # noqa: S102
    return module.__dict__["fields"]


def test_equal_code_has_equal_fingerprints():
    assert fingerprint(function()) == fingerprint(function())
    assert fingerprint((1, "a", None)) == fingerprint((1, "a", None))
    assert re.fullmatch("[0-9a-f]{32}", fingerprint(1))


def test_the_words_of_docstrings_do_not_count():
    one = function(
        ("def helper(text, times=1):", 'def helper(text, times=1):\n    "One."')
    )
    two = function(
        ("def helper(text, times=1):", 'def helper(text, times=1):\n    "Two."')
    )
    assert fingerprint(one) == fingerprint(two)

    returned = 'def helper(text, times=1):\n    "{0}"\n    return "{0}"\n    '
    one = function(("def helper(text, times=1):\n    ", returned.format("One.")))
    two = function(("def helper(text, times=1):\n    ", returned.format("Two.")))
    assert fingerprint(one) != fingerprint(two)


def test_comments_and_places_do_not_count():
    moved = function(
        ("def fields", "\n\n# Which rows are kept.\ndef fields"),
        ("return None", "return None  # left out"),
    )
    assert fingerprint(moved) == fingerprint(function())


@pytest.mark.parametrize(
    "change",
    [
        ("return None", "return {}"),
        ('["x"]', '["z"]'),
        ("cut=2", "cut=3"),
        ("text * times", "text + times"),
        ("times=1", "times=2"),
        ("lower", "upper"),
        ('"dog"', '"eel"'),
        ('"a+"', '"a*"'),
        ("LIMIT = 3", "LIMIT = 4"),
        ("sides = 4", "sides = 5"),
        ("return self.sides", "return -self.sides"),
        ('"w"', '"q"'),
    ],
)
def test_what_counts(change):
    assert fingerprint(function(change)) != fingerprint(function())


def adder(number):
    return lambda row: row + number


def test_closures_and_wrappers_count():
    assert fingerprint(adder(1)) == fingerprint(adder(1)) != fingerprint(adder(2))
    assert fingerprint(functools.partial(function(), cut=1)) != fingerprint(
        functools.partial(function(), cut=2)
    )
    assert fingerprint(functools.cache(adder(1))) != fingerprint(
        functools.cache(adder(2))
    )


@dataclasses.dataclass(frozen=True)
class Callable:
    number: int

    def __call__(self, row):
        return row


def test_callable_objects_and_methods_count():
    assert (
        fingerprint(Callable(1)) == fingerprint(Callable(1)) != fingerprint(Callable(2))
    )
    assert fingerprint(Callable(1).__call__) != fingerprint(Callable(2).__call__)


@pytest.mark.parametrize(
    "one, other",
    [
        ("1", 1),
        (1, True),
        (1, 1.0),
        (["a"], ("a",)),
        (["a", "b"], ["a,b"]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (np.arange(3), np.arange(3) + 1),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
        ((["a"], []), ([], ["a"])),
    ],
)
def test_different_values(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_cycles_end():
    cycle = []
    cycle.append(cycle)
    assert fingerprint(cycle) == fingerprint(cycle)


def test_installed_code_counts_by_name():
    """Another release of json must not change them, and a recursion through json must end."""
    import json

    assert fingerprint(json.dumps) == fingerprint(json.dumps) != fingerprint(json.loads)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_hash_randomisation_does_not_count(seed):
    code = (
        "import toy_tasks; from flan_jax.tasks.fingerprints import fingerprint;"
        "print(fingerprint(toy_tasks.imported_fields, {'a', 'b', 'c', 'd'}))"
    )
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == fingerprint(
        toy_tasks.imported_fields, {"a", "b", "c", "d"}
    )
