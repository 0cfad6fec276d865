"""Rows of the format 'chat' are the ids of transformers' apply_chat_template, and 'text' its own."""

import itertools

import numpy as np
import pytest
from chat_folders import STYLES, write_chat_folder

from flan_jax.data.row_format import make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.tasks.templates import Segment

transformers = pytest.importorskip("transformers")

LONG = {"inputs": 1000, "targets": 1000}
EXCHANGES = [
    ("Is it raining?", "no"),
    (
        "Does a hen fly?\n\nOPTIONS:\n- yes\n- no",
        "The hen flies, and the cat does not.",
    ),
    ("x", "Qx71 é 日本 🙂"),
    ("OPTIONS", "1"),
]


@pytest.fixture(params=STYLES)
def style(request):
    return request.param


@pytest.fixture
def both(style, tmp_path):
    """(transformers' tokenizer, ours in the format 'chat')."""
    folder = write_chat_folder(tmp_path / style, style)
    peer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer = load_tokenizer(folder)
    row_format = make_row_format("chat", tokenizer, None)
    rows = RowTokenizer(tokenizer, row_format)
    rows.check()
    return peer, rows


def messages(*contents):
    roles = ["user", "assistant"] * len(contents)
    return [
        {"role": role, "content": content}
        for role, content in zip(roles, contents, strict=False)
    ]


def ids_of(peer, contents, *, generate=False):
    return peer.apply_chat_template(
        messages(*contents), add_generation_prompt=generate, return_dict=False
    )


def row_of(rows, segments):
    """The tokens of an example, with its start token."""
    tokens = rows.encode_examples([segments])
    start = rows.tokens.start
    return [*([] if start is None else [start]), *itertools.chain(*tokens)]


def test_prompts_are_those_of_the_template(both):
    peer, rows = both
    for question, _ in EXCHANGES:
        (tokens,) = rows.encode_prompts([question])
        prompt = rows.prompt(np.array(tokens), LONG).tolist()
        assert prompt == ids_of(peer, [question], generate=True)


def test_answered_prompts_are_those_of_the_template(both):
    peer, rows = both
    for question, answer in EXCHANGES:
        row = row_of(rows, [Segment(question, False), Segment(answer, True)])
        expected = ids_of(peer, [question, answer])
        assert row == expected[: len(row)]
        # What is left out comes after the end of the answer.
        assert len(expected) - len(row) <= 1
        assert row[-1] in rows.tokens.stop_ids


def test_conversations_are_those_of_the_template(both):
    peer, rows = both
    contents = [content for exchange in EXCHANGES for content in exchange]
    segments = [
        Segment(content, bool(number % 2)) for number, content in enumerate(contents)
    ]
    row = row_of(rows, segments)
    expected = ids_of(peer, contents)
    assert row == expected[: len(row)] and len(expected) - len(row) <= 1


def test_contents_lose_the_whitespace_that_the_template_takes(both, style):
    peer, rows = both
    question, answer = "\n Is it raining?  ", " no "
    row = row_of(rows, [Segment(question, False), Segment(answer, True)])
    assert row == ids_of(peer, [question, answer])[: len(row)]
    assert rows.format.trim_prompts == (style in ("llama3", "gemma"))


def test_plain_text_begins_as_the_tokenizer_begins_it(both):
    peer, chat = both
    row_format = make_row_format("text", chat.tokenizer, None)
    rows = RowTokenizer(chat.tokenizer, row_format)
    rows.check()
    for question, _ in EXCHANGES:
        (tokens,) = rows.encode_prompts([question])
        prompt = rows.prompt(np.array(tokens), LONG).tolist()
        assert prompt == peer(question + "\n").input_ids


def test_what_spells_a_special_token_is_text(both, style):
    """The peer takes it for the token, which ours never does."""
    peer, rows = both
    _, bos, eos, special = STYLES[style]
    for spelling in (bos, eos, *special, "<pad>", "<unk>"):
        text = f"a{spelling} b {spelling}"
        special_id = rows.tokenizer.special_tokens[spelling]
        assert special_id in peer(text, add_special_tokens=False).input_ids
        tokens = rows.tokenizer.encode(text)
        assert special_id not in tokens
        assert rows.tokenizer.decode(tokens) == text
        assert special_id not in rows.encode_answers([text])[0][:-1]


def test_other_text_is_tokenized_as_the_peer_does(both):
    peer, rows = both
    texts = [text for exchange in EXCHANGES for text in exchange] + [
        "a\n\n\nb",
        "< /s>",
    ]
    for text in texts:
        expected = peer(text, add_special_tokens=False).input_ids
        assert rows.tokenizer.encode(text) == expected
