import copy
import dataclasses

import pytest
from toy_tasks import KIND, SPELL, Rows

from flan_jax.errors import InputError
from flan_jax.tasks import task as tasks
from flan_jax.tasks.practice_world import Sandbox
from flan_jax.tasks.sources import Jsonl, Tfds
from flan_jax.tasks.task import get_task, register, resolve_source
from flan_jax.tasks.templates import FormatTemplate


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(tasks, "TASKS", {})
    return tasks.TASKS


def make_row(world, rng):
    return {"animal": "cat", "number": 0}


TFDS = Tfds("zoo/kind:1.0.0", train="train[:-2]", validation="train[-2:]", test="test")
PUBLIC = dataclasses.replace(KIND, source=TFDS, sandbox=Sandbox(make_row))


def test_register_and_get(registry):
    assert register(KIND) is KIND
    assert register(KIND) is KIND
    assert get_task("toy_kind") is KIND
    assert list(registry) == ["toy_kind"]


def test_names_are_unique(registry):
    register(KIND)
    with pytest.raises(InputError, match="two tasks are named 'toy_kind'"):
        register(dataclasses.replace(SPELL, name="toy_kind"))


def test_unknown_task_names_the_nearest(registry):
    register(KIND)
    with pytest.raises(InputError, match="Did you mean 'toy_kind'"):
        get_task("toy_kin")


def test_example_has_the_options():
    assert KIND.example({"animal": "jay", "number": 8}) == {
        "animal": "jay number 8",
        "answer": "yes",
        "options": ("no", "yes"),
    }
    assert KIND.example({"animal": "jay", "number": 3}) is None
    assert KIND.eval_templates == (0, 1)


def test_options_of_a_field():
    task = dataclasses.replace(KIND, options="choices", fields=lambda row: row)
    assert task.example({"choices": ["a", "b"], "answer": "b"})["options"] == ("a", "b")
    with pytest.raises(InputError, match="'c' is not among the options"):
        task.example({"choices": ["a", "b"], "answer": "c"})
    with pytest.raises(InputError, match="did not give"):
        task.example({"answer": "c"})
    with pytest.raises(InputError, match="lists no options"):
        task.example({"choices": [], "answer": "c"})


def test_answer_is_required():
    with pytest.raises(InputError, match="no 'answer', only animal"):
        dataclasses.replace(SPELL, fields=lambda row: {"animal": "cat"}).example({})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"templates": ()}, "no templates"),
        ({"options": ()}, "options is empty"),
        ({"options": None}, "names no options"),
        ({"name": "a/b"}, "names folders"),
        ({"name": ".."}, "names folders"),
        ({"name": ""}, "names folders"),
        ({"name": "wmt-de"}, "names folders"),
    ],
)
def test_bad_tasks(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(KIND, **changes)


def test_resolve_source():
    assert resolve_source(KIND, "tfds") == Rows()
    assert resolve_source(PUBLIC, "sandbox") is PUBLIC.sandbox
    assert resolve_source(PUBLIC, "tfds", "/data") == dataclasses.replace(
        TFDS, data_dir="/data"
    )
    assert resolve_source(PUBLIC, "jsonl", "/data") == Jsonl(
        train="/data/toy_kind/train.jsonl[:-2]",
        validation="/data/toy_kind/train.jsonl[-2:]",
        test="/data/toy_kind/test.jsonl",
    )


def test_resolve_source_says_what_is_missing():
    with pytest.raises(InputError, match="no practice rows"):
        resolve_source(dataclasses.replace(PUBLIC, sandbox=None), "sandbox")
    with pytest.raises(InputError, match="DATA_DIR"):
        resolve_source(PUBLIC, "jsonl")
    with pytest.raises(InputError, match="unknown SOURCE 'sandbx'.*'sandbox'"):
        resolve_source(PUBLIC, "sandbx")


@pytest.mark.parametrize(
    "attribute, value", [("templates", [FormatTemplate("x")]), ("options", ["a", "b"])]
)
def test_lists_are_not_taken_for_tuples(attribute, value):
    task = copy.copy(KIND)
    # Set behind the back of the tests' own type checker, which a user does not have.
    object.__setattr__(task, attribute, value)
    with pytest.raises(InputError, match=f"{attribute} is a list; write a tuple"):
        task.__post_init__()
