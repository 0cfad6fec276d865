import copy
import dataclasses

import numpy as np
import pytest
from toy_tasks import KIND, SPELL, Rows

from flan_jax.errors import InputError
from flan_jax.tasks import task as tasks
from flan_jax.tasks.practice_world import Sandbox
from flan_jax.tasks.sources import Jsonl, Tfds
from flan_jax.tasks.task import get_task, register, resolve_source
from flan_jax.tasks.templates import ClozeTemplate, FormatTemplate


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


def test_the_row_stays_as_it_is():
    row = {"animal": "jay", "answer": "yes"}
    task = dataclasses.replace(KIND, fields=lambda row: row)
    assert task.example(row) == row | {"options": ("no", "yes")}
    assert row == {"animal": "jay", "answer": "yes"}


@pytest.mark.parametrize(
    "answers",
    [
        {"answer": "perhaps"},
        {"answer": "yes", "references": ["yes", "perhaps"]},
        {"answer": "perhaps", "references": ["yes"]},
    ],
)
def test_all_answers_are_options(answers):
    task = dataclasses.replace(KIND, fields=lambda row: answers)
    with pytest.raises(InputError, match="the answer 'perhaps' is not among the opt"):
        task.example({})


def test_the_fields_are_those_that_templates_show():
    task = dataclasses.replace(
        KIND, options="choices", templates=(FormatTemplate("Name one.", "{animal}"),)
    )
    shown = {"animal": "jay", "answer": "yes"}
    for fields in (shown, shown | dict.fromkeys(("references", "choices", "options"))):
        task.check_fields(fields)
    with pytest.raises(InputError, match="give: animal; .* names: none. Make"):
        task.check_fields({"answer": "yes"})
    with pytest.raises(InputError, match="give: none; .* names: color, size. Make"):
        task.check_fields(shown | {"size": "small", "color": "blue"})


@dataclasses.dataclass(frozen=True)
class WithoutSplits:
    """A source that does not say which splits it has."""

    def rows(self, split):
        return iter(())

    def fingerprint(self, split):
        return split

    @property
    def provenance(self):
        return {"kind": "toy", "where": "test_task.WithoutSplits"}


def test_the_splits_of_a_source():
    def splits(source):
        return dataclasses.replace(KIND, source=source).splits

    assert splits(Rows(validation=None)) == ("train", "test")
    assert splits(WithoutSplits()) == ("train", "validation", "test")


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
        ({"metrics": ()}, "metrics is empty, so that nothing could be scored"),
        ({"options": None}, "names no options"),
        ({"cluster": ""}, "is in no cluster"),
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
    for source in ("sandbox", "tfds", "jsonl"):
        assert resolve_source(KIND, source) == Rows()
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
    for data_dir in (None, ""):
        with pytest.raises(InputError, match="'jsonl' needs DATA_DIR"):
            resolve_source(PUBLIC, "jsonl", data_dir)
    with pytest.raises(InputError, match="unknown SOURCE 'sandbx'.*'sandbox'"):
        resolve_source(PUBLIC, "sandbx")


@pytest.mark.parametrize(
    "attribute, value, message",
    [
        ("templates", [FormatTemplate("x")], "templates is a list; write a tuple"),
        ("options", ["a", "b"], "options is a list; write a tuple"),
        ("metrics", ["accuracy"], "metrics is a list; write a tuple"),
        ("source", object(), "its source, of the class object, has no rows"),
    ],
)
def test_values_of_a_wrong_type(attribute, value, message):
    task = copy.copy(KIND)
    # Set behind the back of the tests' own type checker, which a user does not have.
    object.__setattr__(task, attribute, value)
    with pytest.raises(InputError, match=message):
        task.__post_init__()


@pytest.mark.parametrize(
    ("task", "words", "message"),
    [
        (KIND, {"maybe": "perhaps"}, r"words for \['maybe'\]"),
        (KIND, {"yes": "no"}, "a word of its own"),
        (SPELL, {}, "but no options"),
    ],
)
def test_a_cloze_that_does_not_fit_the_options_is_refused(task, words, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(task, cloze=ClozeTemplate("It is {answer}.", words))


def test_fields_of_cloze_and_premise_are_checked():
    task = dataclasses.replace(
        KIND, cloze=ClozeTemplate("{beast}: {answer}"), premise=("place",)
    )
    example = task.example({"animal": "jay", "number": 8})
    with pytest.raises(InputError, match="does not give: beast, place"):
        task.check_fields(example)


def in_group(**fields):
    """The fields of a row of a task with groups, whose field `herd` names the group."""
    task = dataclasses.replace(
        KIND, group="herd", fields=lambda row: {"animal": "jay", "answer": "yes", **row}
    )
    return task.example(fields)


@pytest.mark.parametrize(
    ("group", "name"), [("3/7", "3/7"), (7, "7"), (np.int32(7), "7"), (0, "0")]
)
def test_a_group_is_named_by_a_text_or_a_whole_number(group, name):
    assert in_group(herd=group)["herd"] == name


@pytest.mark.parametrize(
    "group", [None, "", True, 1.5, (1, 2), [1, 2], {"paragraph": 1}]
)
def test_what_cannot_name_a_group(group):
    with pytest.raises(InputError, match=r"'toy_kind': .* cannot name the group of a"):
        in_group(herd=group)


def test_rows_without_the_field_of_the_group():
    with pytest.raises(
        InputError, match="the field 'herd', which fields.* only animal, answer. Return"
    ):
        in_group()


def test_templates_need_not_show_the_group():
    task = dataclasses.replace(KIND, group="herd")
    fields = {"animal": "jay", "answer": "yes", "options": ("no", "yes"), "herd": "7"}
    task.check_fields(fields)
    with pytest.raises(InputError, match="that no template names: herd"):
        KIND.check_fields(fields)


class RenderedOtherwise:
    fields = frozenset({"answer"})
    turned_around = False

    def render(self):
        return "", ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"fields": lambda row, split: None},
            r"fields will be called with \(row\), but",
        ),
        (
            {"templates": (RenderedOtherwise(),)},
            r"render will be called with \(fields\)",
        ),
        ({"metrics": (lambda targets: {},)}, r"called with \(targets, predictions\)"),
    ],
)
def test_what_a_task_calls_takes_its_arguments(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(KIND, **change)
