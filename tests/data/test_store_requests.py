import copy
import dataclasses

import pytest
from toy_tasks import KIND, SPELL, FailingRows, Rows, generation, kind_fields

from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import (
    RenderedExamples,
    Request,
    Selection,
    store_fingerprint,
)
from flan_jax.errors import InputError
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import EvalRow, render_eval, render_train
from flan_jax.tasks.templates import FormatTemplate

TRAIN = Request(KIND, "train", "train")
EVAL = Request(KIND, "train", "eval")
FEW_SHOT = Prompts(shots=2)


def few_shot(request):
    return dataclasses.replace(request, prompts=FEW_SHOT)


@pytest.mark.parametrize(
    "request_, fields",
    [
        (TRAIN, (30, 2, "round_robin", 7)),
        (EVAL, (200,)),
        (few_shot(TRAIN), (30, 2, "round_robin", 7, 2, False, 30, 7, 64)),
        (few_shot(EVAL), (200, 2, False, 30, 7, 64)),
    ],
)
def test_the_fields_of_a_selection_that_shape_a_store(request_, fields):
    selection = Selection(
        cap=30,
        max_eval_examples=200,
        renderings=2,
        assignment="round_robin",
        seed=7,
        prompt_tokens=64,
    )
    if request_.prompts.shots:
        fields = (*fields, "toy 20 train")
        if request_.kind == "eval":
            fields = (*fields, "most_frequent_answer")
    assert selection.fingerprint_fields(request_) == fields


def test_prompts_may_set_their_own_number_of_tokens():
    selection = Selection(prompt_tokens=64)
    assert selection.few_shot_tokens(FEW_SHOT) == 64
    assert selection.few_shot_tokens(Prompts(shots=2, exemplar_tokens=32)) == 32


@pytest.mark.parametrize(
    "request_, changes, is_other",
    [
        (TRAIN, {}, False),
        (TRAIN, {"seed": 1}, True),
        (TRAIN, {"cap": 3}, True),
        (TRAIN, {"renderings": 2}, True),
        (TRAIN, {"assignment": "round_robin"}, True),
        (TRAIN, {"prompt_tokens": 9}, False),
        (TRAIN, {"shuffle_labels": True}, True),
        (Request(SPELL, "train", "train"), {"shuffle_labels": True}, False),
        (EVAL, {"shuffle_labels": True}, False),
        (few_shot(EVAL), {"shuffle_labels": True}, False),
        (TRAIN, {"max_eval_examples": 3}, False),
        (EVAL, {"seed": 1, "cap": 3, "renderings": 2}, False),
        (EVAL, {"max_eval_examples": 3}, True),
        (few_shot(EVAL), {"seed": 1}, True),
        (few_shot(EVAL), {"cap": 3}, True),
        (few_shot(EVAL), {"prompt_tokens": 9}, True),
        (few_shot(EVAL), {"renderings": 2, "assignment": "round_robin"}, False),
    ],
)
def test_which_settings_change_the_fingerprint(tokenizer, request_, changes, is_other):
    default = store_fingerprint(request_, Selection(), RowTokenizer(tokenizer))
    changed = store_fingerprint(request_, Selection(**changes), RowTokenizer(tokenizer))
    assert (changed != default) == is_other


@pytest.mark.parametrize(
    "changes, is_other",
    [
        ({"cluster": "other"}, False),
        ({"templates": (*KIND.templates, FormatTemplate("{animal}?"))}, True),
        ({"options": ("yes", "no")}, True),
        ({"source": Rows(21)}, True),
        ({"fields": lambda row: kind_fields(row)}, True),
        ({"name": "other"}, True),
        ({"group": "animal"}, True),
    ],
)
def test_which_changes_of_a_task_change_the_fingerprint(tokenizer, changes, is_other):
    changed_task = dataclasses.replace(KIND, **changes)
    changed = Request(changed_task, "train", "train")
    fingerprint = store_fingerprint(TRAIN, Selection(), RowTokenizer(tokenizer))
    assert (
        store_fingerprint(changed, Selection(), RowTokenizer(tokenizer)) != fingerprint
    ) == is_other


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "test"},
        {"kind": "eval"},
        {"prompts": FEW_SHOT},
        {"prompts": Prompts(only=0)},
    ],
)
def test_every_part_of_a_request_changes_the_fingerprint(tokenizer, changes):
    changed = dataclasses.replace(TRAIN, **changes)
    fingerprint = store_fingerprint(TRAIN, Selection(), RowTokenizer(tokenizer))
    assert (
        store_fingerprint(changed, Selection(), RowTokenizer(tokenizer)) != fingerprint
    )


def test_the_tokenizer_changes_the_fingerprint(tokenizer):
    other_tokenizer = copy.copy(tokenizer)
    other_tokenizer.fingerprint = "other"
    fingerprint = store_fingerprint(TRAIN, Selection(), RowTokenizer(tokenizer))
    assert (
        store_fingerprint(TRAIN, Selection(), RowTokenizer(other_tokenizer))
        != fingerprint
    )


def test_an_unknown_split(tokenizer):
    request = Request(KIND, "nonsense", "eval")
    with pytest.raises(InputError, match="unknown split 'nonsense'"):
        store_fingerprint(request, Selection(), RowTokenizer(tokenizer))


def test_rendered_training_examples(tokenizer):
    selection = Selection(cap=9, seed=3, renderings=2)
    examples = RenderedExamples(TRAIN, selection, RowTokenizer(tokenizer))
    rows = KIND.source.rows("train")
    expected = list(render_train(KIND, rows, cap=9, renderings=2, seed=3))
    assert list(examples) == expected
    # The fourth row is not kept, so that nine examples take ten rows.
    assert examples.rows_read == 10
    assert examples.mean_exemplars == 0


def test_rendered_evaluation_examples(tokenizer):
    request = Request(SPELL, "test", "eval")
    selection = Selection(max_eval_examples=5)
    examples = RenderedExamples(request, selection, RowTokenizer(tokenizer))
    rows = SPELL.source.rows("test")
    assert list(examples) == list(render_eval(SPELL, rows, max_examples=5))


def test_few_shot_examples(tokenizer):
    request = Request(SPELL, "test", "eval", FEW_SHOT)
    examples = RenderedExamples(request, Selection(), RowTokenizer(tokenizer))
    first = next(iter(examples))
    assert isinstance(first, EvalRow)
    assert first.inputs.count("Spell") == 3
    assert examples.mean_exemplars == 2


def test_few_shot_prompts_need_a_training_split(tokenizer):
    task = dataclasses.replace(SPELL, source=Rows(13, train=None))
    request = Request(task, "test", "eval", FEW_SHOT)
    with pytest.raises(InputError, match="no train split to draw exemplars from"):
        iter(RenderedExamples(request, Selection(), RowTokenizer(tokenizer)))


def test_what_a_source_raises_is_an_input_error(tokenizer):
    task = generation("fire", kind_fields, FailingRows())
    examples = RenderedExamples(
        Request(task, "train", "train"), Selection(), RowTokenizer(tokenizer)
    )
    reason = "reading row 4 raised RuntimeError: the disk is on fire"
    with pytest.raises(InputError, match=reason):
        list(examples)


def test_a_source_says_where_its_rows_are_from(monkeypatch):
    assert TRAIN.provenance == {"kind": "toy", "where": "toy_tasks.Rows"}
    monkeypatch.setattr(Rows, "provenance", {"where": "rows.csv"})
    message = "has the `provenance` {'where': 'rows.csv'}, without a 'kind'.*Add it to the class"
    with pytest.raises(InputError, match=message):
        _ = TRAIN.provenance
    monkeypatch.delattr(Rows, "provenance")
    message = "'toy_kind': its source Rows has no `provenance`.*Add it to the class"
    with pytest.raises(InputError, match=message):
        _ = TRAIN.provenance


def test_shuffled_labels_are_in_exemplars_too_and_in_training_alone(tokenizer):
    """The answers of the pool are those of the rows: one permutation."""
    selection = Selection(shuffle_labels=True)
    row_tokenizer = RowTokenizer(tokenizer)
    rendered = RenderedExamples(few_shot(TRAIN), selection, row_tokenizer)
    plain = RenderedExamples(few_shot(TRAIN), Selection(), row_tokenizer)
    rows = list(rendered)
    assert [row.example for row in rows] == [row.example for row in plain]
    shuffled = dict(rendered._exemplars.pool)
    true = dict(plain._exemplars.pool)
    answers = [shuffled[number]["answer"] for number in true]
    assert sorted(answers) == sorted(example["answer"] for example in true.values())
    assert shuffled != true

    evaluated = RenderedExamples(few_shot(EVAL), selection, row_tokenizer)
    assert list(evaluated) == list(
        RenderedExamples(few_shot(EVAL), Selection(), row_tokenizer)
    )
    assert dict(evaluated._exemplars.pool) == true
    assert evaluated.most_frequent_answer == 0
