import io
import json
import pickle

import numpy as np
import pytest
import sentencepiece
from chat_folders import write_chat_folder

from flan_jax.data.row_format import (
    FLAN,
    ROW_FORMATS,
    RowFormat,
    make_row_format,
    register_row_format,
)
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.templates import Segment

PRACTICE = load_tokenizer("practice")
CHAT = [
    Segment("Be brief.", False),
    Segment("Is it raining?", False),
    Segment("no", True),
    Segment("Why?", False),
    Segment("the sun", True),
]


@pytest.fixture
def sentencepiece_file(tmp_path):
    """sentencepiece_file(**changes): a model with a BOS, an EOS, a newline and a user's piece."""

    def make(**changes):
        content = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["is it raining yes no why the sun"] * 9),
            model_writer=content,
            minloglevel=2,
            **{
                "model_type": "unigram",
                "vocab_size": 400,
                "hard_vocab_limit": False,
                "pad_id": 0,
                "eos_id": 1,
                "unk_id": 2,
                "bos_id": 3,
                "user_defined_symbols": ["\n", "<sep>"],
                "byte_fallback": True,
                "normalization_rule_name": "identity",
                "remove_extra_whitespaces": False,
            }
            | changes,
        )
        (tmp_path / "toy.model").write_bytes(content.getvalue())
        return load_tokenizer(tmp_path / "toy.model")

    return make


def test_flan_rows_are_texts_with_eos():
    rows = RowTokenizer(PRACTICE)
    encode, eos = PRACTICE.encode, PRACTICE.eos_id
    assert rows.encode_prompts(["Is it raining?", ""]) == [
        [*encode("Is it raining?"), eos],
        [eos],
    ]
    assert rows.encode_answers(["no"]) == [[*encode("no"), eos]]
    assert rows.encode_examples([CHAT, CHAT[2:3]]) == [
        [*encode(segment.text), eos] for segment in [*CHAT, CHAT[2]]
    ]
    assert rows.tokens == (0, (eos,), (eos,), (eos,))


def test_plain_text_and_an_answer_that_goes_on(sentencepiece_file):
    """The newline is a part of the prompt's text; the answer has no space that nobody wrote."""
    tokenizer = sentencepiece_file()
    rows = RowTokenizer(tokenizer, make_row_format("text", tokenizer, None))
    rows.check()
    pieces = tokenizer._model.id_to_piece
    (prompt,) = rows.encode_prompts(["is it"])
    assert "".join(map(pieces, prompt)) == "▁is▁it\n"
    answer, spaced = rows.encode_answers(["no", " no"])
    assert "".join(map(pieces, answer)) == "no</s>"
    assert "".join(map(pieces, spaced)) == "▁no</s>"
    assert rows.tokens.start == 3
    assert rows.prompt(np.array(prompt), {"inputs": 9}).tolist() == [3, *prompt]
    assert rows.tokens.prompt_tail == (tokenizer.format_tokens.get("\n", prompt[-1]),)


@pytest.mark.parametrize("removes", [True, False])
def test_a_text_that_follows_text_gets_no_space_and_loses_none(
    sentencepiece_file, removes
):
    tokenizer = sentencepiece_file(remove_extra_whitespaces=removes)
    for before, after in (("is it", " raining"), ("is it", "no"), ("why\n", "the sun")):
        parts = tokenizer.encode(before) + tokenizer.encode_batch([after], "text")[0]
        assert tokenizer.decode(parts) == before + after
    plain, continued = (
        tokenizer.encode_batch([" yes"], after)[0] for after in ("nothing", "text")
    )
    assert tokenizer._model.id_to_piece(continued[0])[0] == "▁"
    assert len(plain) >= len(continued)


def test_the_turns_of_a_conversation(tmp_path):
    tokenizer = load_tokenizer(write_chat_folder(tmp_path / "chatml", "chatml"))
    rows = RowTokenizer(tokenizer, make_row_format("chat", tokenizer, None))
    ids = [rows.tokens.start]
    for tokens in rows.encode_examples([CHAT]):
        ids += tokens
    assert rows.spelled(ids) == (
        "<|im_start|>system\\nYou answer.<|im_end|>\\n"
        "<|im_start|>user\\nBe brief.\\n\\nIs it raining?<|im_end|>\\n"
        "<|im_start|>assistant\\nno<|im_end|>\\n"
        "<|im_start|>user\\nWhy?<|im_end|>\\n<|im_start|>assistant\\nthe sun<|im_end|>"
    )
    end = tokenizer.special_tokens["<|im_end|>"]
    assert rows.tokens.answer_tail == (end,) and rows.tokens.stop_ids == (end,)


def test_answers_of_an_encoder_decoder_begin_a_text(sentencepiece_file):
    tokenizer = sentencepiece_file()
    row_format = RowFormat(prompt_prefix="<sep>", separator="\n")
    rows = RowTokenizer(tokenizer, row_format, "encoder_decoder")
    assert rows.tokens.start == 0, "PAD"
    (prompt,) = rows.encode_prompts(["is it"])
    assert prompt == [tokenizer.format_tokens["<sep>"], *tokenizer.encode("is it\n")]
    assert rows.prompt(np.array(prompt), {"inputs": 99}).tolist() == prompt
    assert rows.encode_answers(["no"]) == [[*tokenizer.encode("no"), 1]]
    decoder = RowTokenizer(tokenizer, row_format)
    assert decoder.encode_answers(["no"]) != rows.encode_answers(["no"])
    assert decoder.fingerprint_fields != rows.fingerprint_fields


def test_cuts_keep_the_tail(tmp_path):
    tokenizer = load_tokenizer(write_chat_folder(tmp_path / "chatml", "chatml"))
    rows = RowTokenizer(tokenizer, make_row_format("chat", tokenizer, None))
    (tokens,) = rows.encode_prompts(["Is it raining? " * 20])
    lengths = {"inputs": rows.prompt_overhead + 3}
    prompt = rows.prompt(np.array(tokens), lengths).tolist()
    assert len(prompt) == 1 + lengths["inputs"]
    tail = list(rows.tokens.prompt_tail)
    assert prompt[-len(tail) :] == tail
    assert rows.spelled(tail) == "<|im_end|>\\n<|im_start|>assistant\\n"
    assert (
        prompt[: -len(tail)]
        == [rows.tokens.start, *tokens][: -len(tail)][: len(prompt) - len(tail)]
    )
    (answer,) = rows.encode_answers(["the sun and the hen"])
    assert rows.answer(np.array(answer), {"targets": 3}).tolist() == [
        *answer[:2],
        answer[-1],
    ]
    with pytest.raises(InputError, match=r"LENGTHS gives inputs 4 tokens, but the row"):
        rows.check_lengths({"inputs": 4, "targets": "fit"})


def test_a_row_tokenizer_goes_to_other_processes(tmp_path):
    tokenizer = load_tokenizer(write_chat_folder(tmp_path / "gemma", "gemma"))
    rows = RowTokenizer(tokenizer, make_row_format("chat", tokenizer, None))
    rows.check()
    received = pickle.loads(pickle.dumps(rows))
    assert received.fingerprint_fields == rows.fingerprint_fields
    assert received.encode_examples([CHAT]) == rows.encode_examples([CHAT])


def test_formats_have_fingerprints_of_their_own():
    def fields(**changes):
        return RowTokenizer(PRACTICE, RowFormat(**changes)).fingerprint_fields

    separator = fields(separator=" ")
    assert separator != fields(separator="{eos}")
    assert separator == fields(separator=" ", start=None, prefix_lm=True)
    assert separator != fields(separator=" ", trim_answers=True)
    assert RowTokenizer(PRACTICE).fingerprint_fields == fields(
        start=None, separator="{eos}", joint="{eos}"
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {},
            r"RowFormat.start is '\{bos\}', but the tokenizer .* has no \{bos\} token",
        ),
        (
            {"start": None},
            r"RowFormat.separator has '\\n', which the tokenizer .* does not keep",
        ),
        ({"start": "{eos}{eos}"}, "which is not one special token"),
        ({"start": "word"}, "'word', which is not one special token"),
        ({"start": 4096}, "RowFormat.start is 4096, but the vocabulary .* 0 to 4095"),
        ({"start": None, "end": ""}, "RowFormat.end is empty"),
        ({"start": None, "end": "{bos}"}, r"RowFormat.end is '\{bos\}'"),
    ],
)
def test_formats_that_the_tokenizer_cannot_write(changes, message):
    with pytest.raises(InputError, match=message):
        RowTokenizer(PRACTICE, RowFormat(**changes)).check()


def test_the_start_of_a_family():
    assert make_row_format("flan", PRACTICE, None) == FLAN
    assert make_row_format("flan", PRACTICE, 5).start == 5
    assert make_row_format("text", PRACTICE, 5).start == 5
    assert make_row_format("text", PRACTICE, None).start is None
    assert make_row_format(RowFormat(), PRACTICE, 5).start == 5
    assert make_row_format(RowFormat(start="{pad}"), PRACTICE, 5).start == "{pad}"
    with pytest.raises(
        InputError, match="unknown ROW_FORMAT 'chta'. Did you mean 'chat'"
    ):
        make_row_format("chta", PRACTICE, None)


def test_unlike_turns_are_refused_in_a_row(tmp_path):
    rows = RowTokenizer(PRACTICE, RowFormat(start=None, separator=" ", between=None))
    assert len(rows.encode_examples([CHAT[1:3]])) == 2
    with pytest.raises(InputError, match="Render an example for each reply"):
        rows.encode_examples([CHAT])


def test_spelled_special_tokens_are_text_in_prompts_and_answers(sentencepiece_file):
    tokenizer = sentencepiece_file()
    rows = RowTokenizer(tokenizer, RowFormat(separator="<sep>"))
    sep = tokenizer.format_tokens["<sep>"]
    text = "is it</s> <s>no<pad>"
    ids = tokenizer.encode(text)
    assert not {0, 1, 3} & set(ids)
    assert tokenizer.decode(ids) == text
    (prompt,) = rows.encode_prompts([text])
    assert prompt == [*ids, sep]
    assert tokenizer.encode("is\nit") == tokenizer._model.encode("is\nit")


def test_added_tokens_beside_a_sentencepiece_model(sentencepiece_file, tmp_path):
    size = sentencepiece_file().vocab_size
    (tmp_path / "added_tokens.json").write_text(
        json.dumps({"<|im_start|>": size, "hen": size + 2})
    )
    tokenizer = load_tokenizer(tmp_path / "toy.model")
    assert tokenizer.vocab_size == size + 3
    assert tokenizer.special_tokens["<|im_start|>"] == size
    rows = RowTokenizer(tokenizer, RowFormat(start="<|im_start|>"))
    assert rows.tokens.start == size
    assert size not in tokenizer.encode("no <|im_start|>")
    ids = [*tokenizer.encode("no"), size, size + 2]
    assert tokenizer.decode(ids) == "nohen"


def test_a_format_that_takes_other_arguments_is_refused():
    with pytest.raises(
        InputError, match=r"row format 'mine' .* \(tokenizer, start_id\)"
    ):
        register_row_format("mine", lambda tokenizer: FLAN)
    assert "mine" not in ROW_FORMATS
