"""A SentencePiece model and the tokenizer.json made of it give texts the same ids."""

import json
import random

import pytest
import sentencepiece
import tokenizers

from flan_jax.data.sentencepiece_json import sentencepiece_json
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError

TEXTS = [
    "",
    " ",
    "a",
    " a",
    "  a  b  ",
    "\n\n\nx\n",
    "a\tb\r\nc",
    "é 日本 🙂",
    "👩‍👩‍👧 🇩🇪 👍🏽",
    "ﬁ ½ Ⅳ ① ＡＢ",
    "e\u0301 a\u0308",
    "zero\u200bwidth \ufeffbom \u00a0nbsp",
    "العربية हिन्दी ไทย",
    "<pad>",
    "</s>",
    "a</s>b <unk> <s>",
    "<0x41> x<0x0A>",
    "▁▁a ▁ a▁b",
    "don’t “quote” — the hen's",
    '{"a": [1, 2]}',
    "x = y<z>w < / s >",
    "the <extra_id_0> hen <extra_id_1>",
    "a" * 60,
]
CORPUS = [
    "Is it raining? yes no maybe",
    "Does a hen fly? The hen flies, and the cat does not. <b> </b>",
    "[INST] # - OPTIONS: 1 2 3",
    "the cat of the hen's house, and a dog.",
] * 50
PLAIN = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
KINDS = {
    "llama-like": {
        "model_type": "bpe",
        "byte_fallback": True,
        "vocab_size": 400,
        **PLAIN,
    },
    "gemma-like": {
        "model_type": "bpe",
        "byte_fallback": True,
        "add_dummy_prefix": False,
        "vocab_size": 400,
        "user_defined_symbols": ["<start>", "▁▁", "▁▁▁", "\n\n"],
        **PLAIN,
    },
    "t5-like": {"model_type": "unigram", "vocab_size": 60},
    "with symbols": {
        "model_type": "unigram",
        "vocab_size": 60,
        "user_defined_symbols": ["<sep>", "\n", "▁▁"],
    },
}


@pytest.fixture
def train(tmp_path):
    """train(**settings): the path of a SentencePiece model of CORPUS."""

    def train(**settings):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS),
            model_prefix=str(tmp_path / "made"),
            minloglevel=2,
            hard_vocab_limit=False,
            **settings,
        )
        return tmp_path / "made.model"

    return train


def both(path, extra_ids=0):
    """(our tokenizer, the model of the tokenizers library that is made of it)."""
    ours = load_tokenizer(path, extra_ids)
    theirs = tokenizers.Tokenizer.from_str(sentencepiece_json(ours))
    theirs.encode_special_tokens = True
    return ours, theirs


def random_texts(count):
    rng = random.Random(0)
    letters = [chr(number) for number in range(32, 127)] * 3 + list("  \n")
    letters += list("éß日本語🙂ЖΩ") + ["the", " hen", "</s>", "<0x0A>", "ing"]
    return ["".join(rng.choices(letters, k=rng.randint(1, 30))) for _ in range(count)]


def check(ours, theirs):
    for text in [*TEXTS, *random_texts(500)]:
        ids = ours.encode(text)
        assert theirs.encode(text, add_special_tokens=False).ids == ids, repr(text)
        if ours.unknown_id not in ids:
            assert theirs.decode(ids) == ours.decode(ids), repr(text)


@pytest.mark.parametrize("extra_ids", [0, 100])
def test_the_practice_tokenizer_with_byte_fallback(extra_ids):
    ours, theirs = both("practice", extra_ids)
    assert theirs.get_vocab_size() == ours.vocab_size
    for spelling, number in ours.special_tokens.items():
        assert theirs.token_to_id(spelling) == number
    check(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_several_kinds(kind, train):
    check(*both(train(**KINDS[kind])))


def test_tokens_that_files_add(train):
    path = train(**KINDS["llama-like"])
    size = load_tokenizer(path).vocab_size
    added = {"<|im_start|>": size, "covid": size + 3}
    (path.parent / "added_tokens.json").write_text(json.dumps(added))
    ours, theirs = both(path)
    assert theirs.get_vocab_size() == ours.vocab_size == size + 4
    assert theirs.encode("a <|im_start|> covid").ids == ours.encode(
        "a <|im_start|> covid"
    )
    theirs.encode_special_tokens = False
    assert theirs.encode("<|im_start|>").ids == [size]


def test_without_splitting_special_tokens_are_themselves():
    ours, theirs = both("practice")
    theirs.encode_special_tokens = False
    assert theirs.encode("a</s>b").ids == [
        *ours.encode("a"),
        ours.eos_id,
        *ours.encode("b"),
    ]


@pytest.mark.parametrize("model_type", ["word", "char"])
def test_other_kinds_of_models_are_refused(model_type, train):
    path = train(model_type=model_type, vocab_size=60)
    with pytest.raises(InputError, match="neither a unigram nor a BPE model"):
        sentencepiece_json(load_tokenizer(path))


def test_spaces_behind_words_are_refused(train):
    path = train(model_type="unigram", vocab_size=60, treat_whitespace_as_suffix=True)
    with pytest.raises(InputError, match="spaces behind the words"):
        sentencepiece_json(load_tokenizer(path))
