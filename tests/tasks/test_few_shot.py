import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import input_and_target_tokens
from toy_tasks import CHAT, KIND, SPELL, Rows

from flan_jax.data.prepare import prepare
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.store_requests import Request, Selection
from flan_jax.errors import InputError
from flan_jax.tasks.few_shot import BETWEEN, Exemplars
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.rendering import kept_examples, render_eval, render_train
from flan_jax.tasks.templates import FormatTemplate

MANY = dataclasses.replace(KIND, source=Rows(60))


def words(text):
    return len(text.split())


def drawn(shots=3, tokens=1000, seed=0, task=MANY, count_tokens=words, **prompts):
    pool = kept_examples(task, task.source.rows("train"), None)
    return Exemplars(
        task,
        pool,
        Prompts(shots=shots, **prompts),
        count_tokens=count_tokens,
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
        assert [segment.has_loss for segment in row.segments] == [False, True]
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


def ask(exemplars, query="query", *, split="test", number=0, example=None):
    """The prompt of a query in template 0."""
    return exemplars.prompt(
        query, split=split, number=number, example=example or {}, template=0
    )


def test_the_draws_depend_on_task_split_and_row():
    prompts = [
        ask(drawn()),
        ask(drawn(), split="validation"),
        ask(drawn(), number=1),
        ask(drawn(seed=1)),
        ask(drawn(task=dataclasses.replace(MANY, name="other"))),
    ]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_each_row_is_rendered_behind_the_exemplars_of_its_own(split):
    def rows(exemplars=None):
        source_rows = MANY.source.rows(split)
        if split == "train":
            return list(render_train(MANY, source_rows, exemplars=exemplars))
        return list(render_eval(MANY, source_rows, split=split, exemplars=exemplars))

    fields = dict(kept_examples(MANY, MANY.source.rows(split), None))
    again = drawn()
    prompts = [
        again.prompt(
            query.inputs,
            split=split,
            number=query.example,
            example=fields[query.example],
            template=query.template,
        )
        for query in rows()
    ]
    assert [row.inputs for row in rows(drawn())] == prompts


def test_a_row_is_not_its_own_exemplar_even_if_its_fields_differ():
    rows = dict(kept_examples(KIND, KIND.source.rows("train"), None))
    exemplars = drawn(shots=len(rows) - 1, task=KIND)
    shown_to_others = set()
    for number, fields in rows.items():
        own, _ = KIND.templates[0].render(fields)
        assert own not in ask(exemplars, split="train", number=number)
        if own in ask(exemplars, split="test", number=number):
            shown_to_others.add(number)
    assert shown_to_others


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


def test_what_still_fits_is_shown_in_the_order_of_the_draws():
    texts = ask(drawn(shots=6, count_tokens=len)).split(BETWEEN)[:-1]
    assert len(texts) == 6
    for tokens in range(80, 500):
        free_tokens = tokens - len("query")
        fitting = []
        for text in texts:
            if len(text + BETWEEN) <= free_tokens:
                fitting.append(text)
                free_tokens -= len(text + BETWEEN)
        prompt = ask(drawn(shots=6, tokens=tokens, count_tokens=len))
        assert prompt.split(BETWEEN) == [*fitting, "query"]


def test_the_last_exemplars_go_if_the_whole_has_more_tokens_than_its_parts():
    def count_tokens(text):
        return len(text) + 100 * text.count(BETWEEN + "query")

    texts = ask(drawn(shots=6, count_tokens=count_tokens)).split(BETWEEN)
    exemplars = drawn(shots=6, tokens=300, count_tokens=count_tokens)
    prompt = ask(exemplars)
    assert 200 < count_tokens(prompt) <= 300
    whole = drawn(shots=6, tokens=300, count_tokens=len)
    shown = prompt.split(BETWEEN)
    assert 1 < len(shown) < len(ask(whole).split(BETWEEN))
    assert shown == [*texts[: len(shown) - 1], "query"]
    assert exemplars.placed == len(shown) - 1
    assert ask(exemplars, "query " * 60) == "query " * 60


def test_too_little_room_for_one():
    with pytest.raises(
        InputError, match="not one exemplar fits into 5 tokens, the shortest takes 12"
    ):
        drawn(tokens=5)
    # Beside an exemplar of all tokens there is no room for a query.
    with pytest.raises(InputError, match="fits into 12 tokens, the shortest takes 12"):
        drawn(tokens=12)
    assert drawn(tokens=13)


def test_room_for_one_exemplar_is_enough_whichever_it_is():
    animals = ("a very long name", "cat", "an even longer name")
    rows = [{"animal": animal, "answer": "x"} for animal in animals]
    sizes = {"count_tokens": words, "tokens": 5, "seed": 0}
    assert Exemplars(SPELL, enumerate(rows), Prompts(shots=1), **sizes)
    with pytest.raises(InputError, match="not one exemplar fits into 5 tokens"):
        Exemplars(SPELL, enumerate(rows[::2]), Prompts(shots=1), **sizes)


def test_exemplars_are_pairs():
    message = "task 'toy_chat': few-shot exemplars are pairs .* which ChatTemplate does"
    with pytest.raises(InputError, match=message):
        drawn(task=CHAT)


def test_too_few_examples():
    with pytest.raises(
        InputError, match="has 13 training examples; 13 exemplars and the query need 14"
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
        requests,
        RowTokenizer(tokenizer),
        tmp_path,
        selection=Selection(prompt_tokens=200),
        workers=0,
    )
    for store in stores.values():
        assert store.meta["mean_exemplars"] == 2
        assert longest_input(store) < 200
    evaluation = stores[requests[1].key]
    assert evaluation.inputs_text(0).count(BETWEEN) == 2
    again = prepare(
        requests,
        RowTokenizer(tokenizer),
        tmp_path,
        selection=Selection(prompt_tokens=90),
        workers=0,
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
            RowTokenizer(tokenizer),
            tmp_path,
            workers=0,
        )


def test_an_exemplar_differs_from_the_query_in_more_than_the_group():
    """Groups that no template shows do not count; where one shows them, they do."""

    def fields(group):
        return {
            "animal": "jay",
            "answer": "yes",
            "options": ("no", "yes"),
            "herd": group,
        }

    def draw(task):
        pool = [(number, fields(str(number))) for number in range(9)]
        exemplars = Exemplars(
            task, pool, Prompts(shots=2), count_tokens=words, tokens=99, seed=0
        )
        query, _ = task.templates[0].render(fields("x"))
        prompt = exemplars.prompt(
            query, split="test", number=0, example=fields("x"), template=0
        )
        return prompt.removesuffix(query)

    task = dataclasses.replace(KIND, group="herd", templates=KIND.templates[:1])
    assert draw(task) == ""
    shown = FormatTemplate("Does the {animal} of herd {herd} fly?\n{options}")
    assert draw(dataclasses.replace(task, templates=(shown,))).count("herd") == 2
