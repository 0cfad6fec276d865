import collections
import dataclasses
import itertools

import numpy as np
import pytest
import toy_tasks
from toy_tasks import CHAT, HERD, KIND, SPELL, generation

from flan_jax.errors import InputError
from flan_jax.tasks.rendering import (
    EvalRow,
    TrainRow,
    count_group_rows,
    drawn_templates,
    kept_examples,
    render_eval,
    render_train,
    shuffled_labels,
)
from flan_jax.tasks.templates import FormatTemplate, Segment


def test_render_train():
    rows = list(render_train(KIND, KIND.source.rows("train"), cap=4, seed=1))
    assert rows == [
        pair(0, 2, "Name an animal. Wings: no", "cat number 0"),
        pair(1, 1, "dog number 1: does it have wings?", "It is no."),
        pair(2, 2, "Name an animal. Wings: no", "eel number 2"),
        pair(4, 0, "Does a gnu number 4 fly?\nOPTIONS:\n- no\n- yes", "no"),
    ]


def pair(example, template, inputs, targets):
    return TrainRow(example, template, (Segment(inputs, False), Segment(targets, True)))


def test_draws_stay_the_same_across_versions():
    draws = [
        drawn_templates("rte", i, count=10, renderings=1, seed=0)[0] for i in range(12)
    ]
    assert draws == [3, 5, 0, 5, 4, 6, 8, 8, 5, 2, 9, 5]


def test_draws_are_uniform_and_depend_on_everything():
    def draws(name="a", seed=0):
        return [
            drawn_templates(name, i, count=10, renderings=1, seed=seed)[0]
            for i in range(10_000)
        ]

    counts = collections.Counter(draws())
    assert sorted(counts) == list(range(10))
    # 1000 +- 5 standard deviations
    assert all(850 < count < 1150 for count in counts.values())
    assert sum(x == y for x, y in zip(draws(), draws(seed=1), strict=True)) < 1200
    assert sum(x == y for x, y in zip(draws(), draws("b"), strict=True)) < 1200


def test_several_renderings_are_of_different_templates():
    pairs = collections.Counter(
        tuple(drawn_templates("a", i, count=3, renderings=2, seed=0))
        for i in range(6000)
    )
    assert sorted(pairs) == sorted(itertools.permutations(range(3), 2))
    assert all(850 < count < 1150 for count in pairs.values())
    rows = list(render_train(SPELL, SPELL.source.rows("train"), renderings=5))
    assert [(row.example, row.template) for row in rows[:2]] in (
        [(0, 0), (0, 1)],
        [(0, 1), (0, 0)],
    )
    assert len(rows) == 2 * 13


def test_the_cap_counts_kept_rows_and_reads_no_further():
    source = iter(KIND.source.rows("train"))
    rows = list(render_train(KIND, source, cap=5))
    assert [row.example for row in rows] == [0, 1, 2, 4, 5]
    assert next(source)["number"] == 6
    assert rows == list(render_train(KIND, KIND.source.rows("train")))[:5]


def test_render_eval_of_a_classification_task():
    rows = list(render_eval(KIND, KIND.source.rows("test"), max_examples=2))
    assert len(rows) == 4
    assert rows[0] == EvalRow(
        0,
        0,
        "Does a cat number 2000 fly?\nOPTIONS:\n- no\n- yes",
        "no",
        ("no", "yes"),
        0,
        (0,),
        ("no",),
    )
    assert rows[1] == EvalRow(
        0,
        1,
        "cat number 2000: does it have wings?",
        "It is no.",
        ("It is no.", "It is yes."),
        0,
        (0,),
        ("It is no.",),
    )
    assert {row.example for row in rows} == {0, 1}


def test_render_eval_of_a_generation_task():
    rows = list(render_eval(SPELL, SPELL.source.rows("test"), max_examples=1))
    assert rows == [
        EvalRow(0, 0, "Spell cat.", "c a t", (), -1, (), ("c a t", "c-a-t")),
        EvalRow(
            0,
            1,
            "The letters of cat:",
            "Letters: c a t",
            (),
            -1,
            (),
            ("Letters: c a t", "Letters: c-a-t"),
        ),
    ]


@pytest.mark.parametrize("references", [{}, {"references": []}])
def test_without_references_the_answer_is_the_only_one(references):
    task = generation(
        "x", lambda row: {"animal": "cat", "answer": "miaow"} | references
    )
    assert next(render_eval(task, task.source.rows("test"))).references == ("miaow",)


def test_references_must_be_a_list():
    task = generation(
        "x", lambda row: {"animal": "cat", "answer": "miaow", "references": "miaow"}
    )
    with pytest.raises(InputError, match="'references' is one str"):
        next(render_eval(task, task.source.rows("test")))


def test_the_answer_is_the_first_of_several_correct_options():
    fields = {"answer": "b", "references": ["a", "b"], "choices": ["a", "b", "c"]}
    task = dataclasses.replace(
        generation("x", lambda row: {"animal": "cat"} | fields), options="choices"
    )
    row = next(render_eval(task, task.source.rows("test")))
    assert (row.correct_option, row.correct_options) == (1, (1, 0))
    assert row.references == ("a", "b")


def test_an_option_that_is_listed_twice_is_right_at_both_places():
    fields = {"animal": "cat", "answer": "b", "choices": ["a", "b", "b"]}
    task = dataclasses.replace(generation("x", lambda row: fields), options="choices")
    row = next(render_eval(task, task.source.rows("test")))
    assert row.options == ("a", "b", "b")
    assert (row.correct_option, row.correct_options) == (1, (1, 2))


def chat(*segments):
    """A conversation of these segments, rendered for training."""

    class Conversation:
        fields = frozenset()
        turned_around = True

        def segments(self, fields):
            return segments

    task = dataclasses.replace(
        CHAT, fields=lambda row: {"answer": "x"}, templates=(Conversation(),)
    )
    return next(render_train(task, task.source.rows("train"))).segments


def test_the_segments_of_a_conversation():
    segments = (Segment("", False), Segment("a", True), Segment("b", True))
    assert chat(*segments) == segments


@pytest.mark.parametrize(
    "segments, message",
    [
        ([], "the last segment of an example must have loss"),
        ([("a", True), ("b", False)], "the last segment of an example must have loss"),
        ([("", True), ("b", True)], "a segment with loss renders as an empty text"),
        ([("a", True), ("", True)], "a segment with loss renders as an empty text"),
    ],
)
def test_conversations_that_teach_nothing(segments, message):
    with pytest.raises(InputError, match=f"task 'toy_chat', row 0: {message}"):
        chat(*(Segment(*segment) for segment in segments))


def test_a_conversation_is_not_evaluated():
    class Asking(toy_tasks.ChatTemplate):
        turned_around = False

    task = dataclasses.replace(CHAT, templates=(Asking(),))
    message = "task 'toy_chat': Asking does not give an input and a target. Mark it"
    with pytest.raises(InputError, match=message):
        next(render_eval(task, task.source.rows("test")))


@dataclasses.dataclass(frozen=True)
class RefusingTemplate:
    """Refuses each row, as a template of one segment after the other."""

    fields = frozenset({"animal"})
    turned_around = True

    def segments(self, fields):
        raise InputError(f"no {fields['animal']}s")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fields": lambda row: {"answer": "maybe"}}, "task 'toy_kind': the answer"),
        (
            {"fields": lambda row: {"answer": "no", "animal": 1}},
            "field 'animal' in template .* is int",
        ),
        (
            {
                "fields": lambda row: {"animal": "cat", "answer": "no"},
                "templates": (RefusingTemplate(),),
            },
            "no cats",
        ),
    ],
)
def test_a_row_that_is_refused_is_located(changes, message):
    task = dataclasses.replace(KIND, **changes)
    with pytest.raises(InputError, match=f"^task 'toy_kind', row 0: .*{message}"):
        next(render_train(task, task.source.rows("train")))


def test_a_failing_fields_function_is_located():
    task = generation("x", toy_tasks.failing_fields)
    with pytest.raises(
        InputError,
        match=(
            r"task 'x', row 0: fields\(\) raised KeyError: 'anmial' "
            r"\(.*toy_tasks.py:\d+\).*animal, number"
        ),
    ):
        next(render_train(task, task.source.rows("train")))


def test_an_empty_target_is_located():
    task = generation("x", toy_tasks.empty_fields)
    with pytest.raises(
        InputError, match="task 'x', row 5: the target .* renders as an empty text"
    ):
        list(render_train(task, task.source.rows("train")))


def test_missing_and_unused_fields_are_both_named():
    def later_fields(row):
        return None if row["number"] == 0 else SPELL.fields(row)

    # The first row is left out: what the second one gives is checked.
    task = dataclasses.replace(
        SPELL, fields=later_fields, templates=(FormatTemplate("{anmial}"),)
    )
    message = (
        "task 'toy_spell': the templates name fields that .* give: anmial; fields.. gives .* "
        "names: animal"
    )
    with pytest.raises(InputError, match=message):
        list(render_train(task, task.source.rows("train")))


def test_templates_that_do_not_ask_for_the_answer():
    task = dataclasses.replace(
        KIND, templates=(FormatTemplate("Name one.", "{animal}"),)
    )
    with pytest.raises(InputError, match="the same for different options"):
        next(render_eval(task, task.source.rows("test")))
    task = dataclasses.replace(
        KIND, templates=(FormatTemplate("Name one.", "{animal}", turned_around=True),)
    )
    with pytest.raises(InputError, match="all its templates are turned around"):
        next(render_eval(task, task.source.rows("test")))


def test_bad_counts():
    with pytest.raises(InputError, match="renderings is 0"):
        next(render_train(KIND, [], renderings=0))
    with pytest.raises(InputError, match="^0 examples of a dataset"):
        next(render_train(KIND, [], cap=0))


def test_a_cap_does_not_change_the_size_of_a_group():
    rows = list(HERD.source.rows("test"))
    sizes = count_group_rows(HERD, rows)
    assert list(sizes.values()) == [1, 3, 2, 3, 2, 3, 3]
    rendered = list(render_eval(HERD, rows, max_examples=3, group_rows=sizes))
    assert [(row.template, row.group, row.group_rows) for row in rendered] == [
        (0, "666", 1),
        (1, "666", 1),
        (0, "667", 3),
        (1, "667", 3),
        (0, "667", 3),
        (1, "667", 3),
    ]
    plain = list(render_eval(KIND, rows, max_examples=3))
    assert [row._replace(group=None, group_rows=None) for row in rendered] == plain


def test_groups_of_unknown_size():
    with pytest.raises(InputError, match="'toy_herd' has groups.*count_group_rows"):
        next(render_eval(HERD, HERD.source.rows("test")))


MANY = dataclasses.replace(KIND, source=toy_tasks.Rows(400))
"""Three quarters of its answers are "no"."""


def test_shuffled_labels_are_as_frequent_and_say_nothing_about_the_example():
    true = list(kept_examples(MANY, MANY.source.rows("train"), None))
    shuffled = list(shuffled_labels(MANY, true, seed=0))
    answers = [[example["answer"] for _, example in part] for part in (true, shuffled)]
    assert collections.Counter(answers[0]) == collections.Counter(answers[1])
    assert [number for number, _ in shuffled] == [number for number, _ in true]
    for (_, before), (_, after) in zip(true, shuffled, strict=True):
        assert before | {"answer": after["answer"]} == after
    # Chance agreement of two draws is .75^2 + .25^2 = .62.
    agreement = np.mean([a == b for a, b in zip(*answers, strict=True)])
    assert 0.5 < agreement < 0.75
    assert shuffled == list(shuffled_labels(MANY, true, seed=0))
    assert shuffled != list(shuffled_labels(MANY, true, seed=1))


def test_shuffled_labels_of_options_that_differ_by_row_are_places_in_the_list():
    task = dataclasses.replace(KIND, options="choices")
    examples = []
    for number, choices in enumerate((("a", "b", "c"), ("d", "e"), ("f", "g", "h"))):
        fields = {"answer": choices[-1], "references": (choices[-1],)}
        examples.append((number, {**fields, "options": choices}))
    for seed in range(20):
        for _, example in shuffled_labels(task, examples, seed):
            assert example["answer"] in example["options"]
            assert example["references"] == (example["answer"],)


def test_targets_are_rendered_with_shuffled_labels_and_generation_stays():
    rows = list(MANY.source.rows("train"))
    shuffled = dict(shuffled_labels(MANY, kept_examples(MANY, rows, None), seed=3))
    for row in render_train(MANY, rows, seed=3, shuffle_labels=True):
        if row.template == 0:
            assert row.targets == shuffled[row.example]["answer"]
    spell = list(SPELL.source.rows("train"))
    assert list(render_train(SPELL, spell, shuffle_labels=True)) == list(
        render_train(SPELL, spell)
    )
