import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import input_and_target_tokens
from toy_tasks import KIND, SPELL, Rows

from flan_jax.data.prepare import prepare
from flan_jax.data.store_requests import Request, Selection
from flan_jax.errors import InputError
from flan_jax.tasks.few_shot import BETWEEN, Exemplars
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import kept_examples, render_eval, render_train

MANY = dataclasses.replace(KIND, source=Rows(60))


def words(text):
    return len(text.split())


def drawn(shots=3, tokens=1000, seed=0, task=MANY, **prompts):
    pool = kept_examples(task, task.source.rows("train"), None)
    return Exemplars(
        task,
        pool,
        Prompts(shots=shots, **prompts),
        count_tokens=words,
        tokens=tokens,
        seed=seed,
    )


def train(seed=0, task=MANY, renderings=3, **settings):
    exemplars = drawn(seed=seed, task=task, **settings)
    rows = list(
        render_train(
            task, task.source.rows("train"), renderings=renderings, exemplars=exemplars
        )
    )
    plain = list(render_train(task, task.source.rows("train"), renderings=renderings))
    return rows, plain, exemplars


def test_exemplars_of_the_querys_template_come_before_the_query():
    rows, plain, exemplars = train()
    rendered = {index: set() for index in range(3)}
    for row in plain:
        rendered[row.template].add(f"{row.inputs}\n{row.targets}")
    for row, query in zip(rows, plain, strict=True):
        *shown, last = row.inputs.split(BETWEEN)
        assert last == query.inputs
        assert len(set(shown)) == 3
        assert set(shown) <= rendered[row.template]
        assert f"{query.inputs}\n{query.targets}" not in shown
    assert exemplars.placed == 3 * exemplars.prompts == 3 * len(rows)


def test_mixed_templates():
    rows, plain, _ = train(mixed_templates=True)
    kinds = set()
    for row, query in zip(rows, plain, strict=True):
        for shown in row.inputs.removesuffix(query.inputs).split(BETWEEN)[:-1]:
            kinds.add((row.template, "fly" in shown, "Name" in shown))
    # A query that asks for the answer has no turned-around exemplar, and vice versa.
    assert kinds == {
        (0, True, False),
        (0, False, False),
        (1, True, False),
        (1, False, False),
        (2, False, True),
    }


def test_an_example_with_equal_fields_is_no_exemplar():
    # Thirteen rows of eight animals: some are the same.
    pool = drawn(shots=7, task=SPELL)
    for row in render_eval(SPELL, SPELL.source.rows("test"), exemplars=pool):
        animal = row.references[0].removeprefix("Letters: ")
        assert animal not in [
            line.removeprefix("Letters: ") for line in row.inputs.split("\n")
        ]


def test_deterministic_and_seeded():
    assert train()[0] == train()[0]
    assert train()[0] != train(seed=1)[0]
    firsts = [row for row in train(renderings=1)[0] if row.example < 10]
    assert firsts == [row for row in train()[0] if row.example < 10 and row in firsts]


@settings(deadline=None)
@given(tokens=st.integers(25, 80), shots=st.integers(1, 16))
def test_whole_exemplars_are_dropped_to_fit(tokens, shots):
    rows, plain, exemplars = train(tokens=tokens, shots=shots, renderings=1)
    counts = []
    for row, query in zip(rows, plain, strict=True):
        assert words(row.inputs) <= tokens
        shown = row.inputs.removesuffix(query.inputs).split(BETWEEN)[:-1]
        counts.append(len(shown))
        sizes = words(query.inputs) + sum(map(words, shown))
        # The longest exemplar takes twelve words: a smaller room may be left, not a larger one.
        assert len(shown) == shots or tokens - sizes < 12
    assert exemplars.placed == sum(counts)


def test_too_little_room_for_one():
    with pytest.raises(
        InputError, match="not one exemplar fits into 5 tokens, the shortest takes"
    ):
        drawn(tokens=5)


def test_too_few_examples():
    with pytest.raises(
        InputError,
        match="has 13 training examples; 13 exemplars beside the query need 14",
    ):
        drawn(shots=13, task=SPELL)
    assert drawn(shots=12, task=SPELL)


def test_prepared_stores(tokenizer, tmp_path):
    prompts = Prompts(shots=2)
    requests = [
        Request(MANY, "train", "train", prompts),
        Request(MANY, "test", "eval", prompts),
    ]
    stores = prepare(
        requests, tokenizer, tmp_path, selection=Selection(prompt_tokens=200), workers=0
    )
    for store in stores.values():
        assert store.meta["mean_exemplars"] == 2
        assert longest_input(store) < 200
    evaluation = stores[requests[1].key]
    assert evaluation.inputs_text(0).count(BETWEEN) == 2
    again = prepare(
        requests, tokenizer, tmp_path, selection=Selection(prompt_tokens=90), workers=0
    )
    assert again[requests[0].key].folder != stores[requests[0].key].folder
    assert all(longest_input(store) < 90 for store in again.values())


def longest_input(store):
    inputs, _ = input_and_target_tokens(store)
    return max(map(len, inputs))


def test_no_train_split(tokenizer, tmp_path):
    task = dataclasses.replace(MANY, source=Rows(train=None))
    with pytest.raises(InputError, match="no train split to draw exemplars from"):
        prepare(
            [Request(task, "test", "eval", Prompts(shots=2))],
            tokenizer,
            tmp_path,
            workers=0,
        )
