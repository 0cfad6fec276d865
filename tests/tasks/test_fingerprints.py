import dataclasses
import functools
import os
import re
import subprocess
import sys
import sysconfig
import threading
import types

import numpy as np
import pytest
import toy_tasks

from flan_jax.tasks.fingerprints import fingerprint

SOURCE = """
import dataclasses
import json as codec
import re
PATTERN = re.compile("a+")
NAMES = ("cat", "dog")
LIMIT = 3

def helper(text, *, times=1):
    return text * times

class Figure:
    corners = 6

class Shape(Figure):
    sides = 4
    def __init__(self):
        self.scale = 2
    def area(self):
        return self.sides
    @property
    def height(self):
        return self.scale

@dataclasses.dataclass
class Point:
    x: int
    def left(self):
        return self.x - 1

POINT = Point(8)

def fields(row, cut=2):
    inner = lambda text: helper(text).lower()
    if row["x"] in {"u", "v", "w"}:
        return None
    answer = inner(NAMES[0])[:LIMIT]
    shape = Shape()
    numbers = codec.dumps([shape.area(), shape.height, shape.corners, POINT.left()])
    return {"answer": answer, "b": PATTERN.sub("", row["y"])[:cut], "c": numbers}
"""


def function(*changes, module="toy_module"):
    """The function `fields` of the source after changes, in a module of this name."""
    source = SOURCE
    for old, new in changes:
        assert source.count(old) == 1
        source = source.replace(old, new)
    namespace = types.ModuleType(module).__dict__
    exec(compile(source, f"{module}.py", "exec"), namespace)  # noqa: S102
    return namespace["fields"]


def test_equal_code_has_equal_fingerprints():
    assert fingerprint(function()) == fingerprint(function())
    assert fingerprint((1, "a", None)) == fingerprint((1, "a", None))
    assert re.fullmatch("[0-9a-f]{32}", fingerprint(1))


def test_the_words_of_docstrings_do_not_count():
    def documented(body):
        return fingerprint(function(("times=1):\n    ", f"times=1):\n    {body}")))

    assert documented('"One."\n    ') == documented('"Two."\n    ')
    returned = '"{0}"\n    return "{0}"\n    '
    assert documented(returned.format("One.")) != documented(returned.format("Two."))


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
        ("json as codec", "pickle as codec"),
        ("corners = 6", "corners = 7"),
        ("self.scale = 2", "self.scale = 3"),
        ("return self.scale", "return -self.scale"),
        ("self.x - 1", "self.x - 2"),
        ("Point(8)", "Point(9)"),
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


@pytest.mark.parametrize(
    "one, other",
    [
        (lambda a: 1, lambda a, b: 1),
        (lambda a: 1, lambda a, *, b: 1),
        (lambda a, b: 1, lambda a, *, b: 1),
        (lambda a: 1, lambda *a: 1),
        (lambda a: 1, lambda **a: 1),
        (lambda *a: a, lambda **a: a),
        (lambda a: 1, lambda a, *b: 1),
        (lambda a: 1, lambda a, /: 1),
        # fields(**row) gives them by name.
        (lambda a, b: a + b, lambda b, a: b + a),
        (lambda *, a, b: a + b, lambda *, b, a: b + a),
    ],
)
def test_arguments_count(one, other):
    assert fingerprint(one) != fingerprint(other)


PARSE = """
def fields(row):
    try:
        number = int(row["x"])
        number += int(row["y"])
    except ValueError:
        number = 0
    return {"answer": number}
"""
PARSE_ONE = """
def fields(row):
    try:
        number = int(row["x"])
    except ValueError:
        number = 0
    else:
        number += int(row["y"])
    return {"answer": number}
"""


def compiled(source):
    namespace = types.ModuleType("toy_module").__dict__
    exec(compile(source, "toy_module.py", "exec"), namespace)  # noqa: S102
    return namespace["fields"]


def test_what_an_exception_handler_covers_counts():
    """Between try and else a line has the same bytecode."""
    both, one = compiled(PARSE), compiled(PARSE_ONE)
    row = {"x": "1", "y": "b"}
    assert both(row) == {"answer": 0}
    with pytest.raises(ValueError, match="invalid literal"):
        one(row)
    assert fingerprint(both) != fingerprint(one)
    moved = compiled(PARSE.replace("    except", "    # Neither.\n    except"))
    assert fingerprint(both) == fingerprint(moved)


def test_names_of_local_variables_do_not_count():
    one = function(("inner = lambda text: helper(text)", "inner = lambda t: helper(t)"))
    assert fingerprint(one) != fingerprint(function())  # an argument's name
    local = function(
        ("    shape = Shape()\n", "    figure = Shape()\n"),
        (
            "[shape.area(), shape.height, shape.corners,",
            "[figure.area(), figure.height, figure.corners,",
        ),
    )
    assert fingerprint(local) == fingerprint(function())


def test_the_functions_that_are_used_of_a_module_count(monkeypatch):
    def fields(row):
        return toy_tasks.kind_fields(row)

    before = fingerprint(fields)
    monkeypatch.setattr(toy_tasks, "no_fields", toy_tasks.spell_fields)
    assert fingerprint(fields) == before
    monkeypatch.setattr(toy_tasks, "kind_fields", toy_tasks.spell_fields)
    assert fingerprint(fields) != before


def test_closures_and_wrappers_count():
    assert fingerprint(adder(1)) == fingerprint(adder(1)) != fingerprint(adder(2))
    assert fingerprint(functools.partial(function(), cut=1)) != fingerprint(
        functools.partial(function(), cut=2)
    )
    assert fingerprint(functools.partial(adder, 1)) != fingerprint(
        functools.partial(adder, 2)
    )
    assert fingerprint(functools.partial(adder(1))) != fingerprint(
        functools.partial(adder(2))
    )
    assert fingerprint(functools.cache(adder(1))) != fingerprint(
        functools.cache(adder(2))
    )


@dataclasses.dataclass(frozen=True)
class Callable:
    number: int

    def __call__(self, row):
        return row

    def twice(self, row):
        return row, row


class Plain:
    """Neither a dataclass nor callable."""

    def __init__(self, number):
        self.number = number


def test_callable_objects_and_methods_count():
    assert (
        fingerprint(Callable(1)) == fingerprint(Callable(1)) != fingerprint(Callable(2))
    )
    assert fingerprint(Callable(1).__call__) != fingerprint(Callable(2).__call__)
    assert fingerprint(Callable(1).__call__) != fingerprint(Callable(1).twice)
    assert fingerprint(Plain(1)) == fingerprint(Plain(1)) != fingerprint(Plain(2))


@pytest.mark.parametrize(
    "one, other",
    [
        ("1", 1),
        (1, True),
        (1, 1.0),
        (["a"], ("a",)),
        (["a", "b"], ["a,b"]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        (range(3), range(4)),
        ({1, 2}, {1, 3}),
        (np.arange(3), np.arange(3) + 1),
        (np.zeros(2, np.int32), np.zeros(2, np.float32)),
        (np.zeros((1, 2)), np.zeros((2, 1))),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
        ((["a"], []), ([], ["a"])),
    ],
)
def test_different_values(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_the_place_of_an_object_in_memory_does_not_count():
    one, other = threading.Lock(), threading.Lock()
    assert repr(one) != repr(other)
    assert fingerprint(one) == fingerprint(other)


def test_cycles_end():
    cycle = []
    cycle.append(cycle)
    assert fingerprint(cycle) == fingerprint(cycle)


def test_installed_code_counts_by_name():
    """Another release of json must not change them, and a recursion through json must end."""
    import json

    assert fingerprint(json.dumps) == fingerprint(json.dumps) != fingerprint(json.loads)


CHANGE = ("self.x - 1", "self.x - 2")


def test_flan_jax_counts_by_name_but_for_the_modules_that_are_followed():
    one = function(module="flan_jax.toy")
    other = function(CHANGE, module="flan_jax.toy")
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one, follow="flan_jax.other") == fingerprint(
        other, follow="flan_jax.other"
    )
    assert fingerprint(one, follow=("flan_jax.other", "flan_jax.toy")) != fingerprint(
        other, follow=("flan_jax.other", "flan_jax.toy")
    )


def test_a_followed_package_counts_as_a_whole(monkeypatch):
    installed = types.ModuleType("toy_package.part")
    installed.__file__ = f"{sysconfig.get_path('purelib')}/toy_package/part.py"
    monkeypatch.setitem(sys.modules, "toy_package.part", installed)
    one = function(module="toy_package.part")
    other = function(CHANGE, module="toy_package.part")
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one, follow="json") == fingerprint(other, follow="json")
    for follow in ("toy_package", "toy_package.another_part"):
        assert fingerprint(one, follow=follow) != fingerprint(other, follow=follow)


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
