import io
import json
import os
import pickle
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from flan_jax.data import tokenizers
from flan_jax.data.tokenizers import load_tokenizer, tokenizer_file, train_tokenizer
from flan_jax.errors import InputError

WORDS = st.lists(st.text("abcdefgzABZ019.,?!-äßñжσ日本", min_size=1), max_size=8).map(
    " ".join
)


def t5_files():
    folder = Path(os.environ.get("FLAN_JAX_DATA", "")) / "tokenizers" / "t5"
    if not (folder / "spiece.model").exists():
        pytest.skip("no T5 tokenizer: set FLAN_JAX_DATA")
    return folder / "spiece.model", folder / "t5-base-tests.json"


@pytest.mark.data
def test_t5_known_answers():
    model, vectors = t5_files()
    t5 = load_tokenizer(model, extra_ids=100)
    assert (t5.vocab_size, t5.pad_id, t5.eos_id) == (32100, 0, 1)
    known = json.loads(vectors.read_text())
    assert [ids + [1] for ids in t5.encode_batch([text for text, _, _ in known])] == [
        ids for _, ids, _ in known
    ]
    assert t5.encode("<extra_id_0> <extra_id_99>") == [32099, 32000]
    assert load_tokenizer(model).vocab_size == 32000


def test_special_ids(tokenizer):
    assert (tokenizer.pad_id, tokenizer.eos_id) == (0, 1)
    assert tokenizer.vocab_size <= 400
    assert tokenizer.encode("") == []
    assert 1 not in tokenizer.encode("</s> fox")


@given(text=WORDS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_text_comes_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(2 < i < tokenizer.vocab_size for i in ids)  # byte fallback: never UNK
    assert tokenizer.encode_batch([text, "fox"]) == [ids, tokenizer.encode("fox")]


def test_decode_stops_at_eos_and_skips_padding(tokenizer, tokenizer_json):
    for tok in (tokenizer, load_tokenizer(tokenizer_json({"eos_token": "</s>"}))):
        fox = tok.encode("fox")
        assert tok.decode([*fox, tok.pad_id, tok.eos_id, *fox]) == "fox"
        # Models pad their vocabulary to round numbers and may give such an id.
        assert tok.decode([*fox, tok.vocab_size + 7]).startswith("fox")


def test_extra_ids_are_t5s(tokenizer):
    extended = load_tokenizer(tokenizer.path, extra_ids=10)
    assert extended.vocab_size == tokenizer.vocab_size + 10
    assert extended.special_tokens["<extra_id_0>"] == extended.vocab_size - 1
    assert extended.special_tokens["<extra_id_9>"] == tokenizer.vocab_size
    assert max(extended.encode("a <extra_id_0>")) < tokenizer.vocab_size
    assert extended.fingerprint != tokenizer.fingerprint


def test_training_is_deterministic(texts, tokenizer, tmp_path):
    train_tokenizer(texts, tmp_path / "again.model", vocab_size=400)
    again = load_tokenizer(tmp_path / "again.model")
    assert again.fingerprint == tokenizer.fingerprint
    train_tokenizer(texts, tmp_path / "other.model", vocab_size=350)
    assert load_tokenizer(tmp_path / "other.model").fingerprint != tokenizer.fingerprint


def test_practice_is_the_projects_file(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizers, "PRACTICE_MODEL", Path(tokenizer.path))
    assert load_tokenizer("practice").fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    "config, eos, pad",
    [
        ({"eos_token": "<stop>", "pad_token": {"content": "<unk>"}}, 3, 0),
        ({"eos_token": {"content": "</s>"}}, 2, 1),
        ({"eos_token": None, "pad_token": None}, 2, 1),
        (None, 2, 1),
    ],
)
def test_tokenizer_json_specials(tokenizer_json, config, eos, pad):
    tok = load_tokenizer(tokenizer_json(config))
    assert (tok.eos_id, tok.pad_id) == (eos, pad)


def test_tokenizer_json(tokenizer_json):
    folder = tokenizer_json({"eos_token": "</s>"})
    tok = load_tokenizer(folder)
    assert load_tokenizer(folder / "tokenizer.json").fingerprint == tok.fingerprint
    text = "Does a fox fly? ☃\n- no"
    ids = tok.encode(text)
    assert len(ids) > 5  # the file's own truncation and padding are off
    assert tok.decode(ids) == text
    assert tok.encode_batch([text, "x"]) == [ids, tok.encode("x")]
    assert max(ids) < tok.vocab_size


def test_tokenizer_json_without_padding_token_pads_with_zero(tokenizer_json):
    assert load_tokenizer(tokenizer_json(None, special=("<unk>", "</s>"))).pad_id == 0


@pytest.mark.parametrize(
    "file, content, eos",
    [
        ("special_tokens_map.json", {"eos_token": {"content": "<stop>"}}, 3),
        ("generation_config.json", {"eos_token_id": [3, 2]}, 3),
        ("config.json", {"eos_token_id": 3}, 3),
    ],
)
def test_special_ids_are_those_of_the_folder(tokenizer_json, file, content, eos):
    folder = tokenizer_json(None)
    (folder / file).write_text(json.dumps(content))
    assert load_tokenizer(folder).eos_id == eos


def test_a_token_that_is_no_padding_is_decoded(tokenizer_json):
    """Llama 3 has no PAD, and its token 0 is an exclamation mark."""
    folder = tokenizer_json(None, special=())
    content = json.loads((folder / "tokenizer.json").read_text())
    first = next(
        token for token, number in content["model"]["vocab"].items() if number == 0
    )
    last = max(content["model"]["vocab"].values())
    (folder / "config.json").write_text(json.dumps({"eos_token_id": last}))
    tok = load_tokenizer(folder)
    assert tok.eos_id == last
    assert tok.decode([0, 0]) == first * 2


def test_a_folder_says_how_many_sentinels_a_sentencepiece_model_has(
    tokenizer, tmp_path
):
    (tmp_path / "spiece.model").write_bytes(Path(tokenizer.path).read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"extra_ids": 100}))
    tok = load_tokenizer(tmp_path)
    assert tok.vocab_size == tokenizer.vocab_size + 100
    assert tok.special_tokens["<extra_id_0>"] == tok.vocab_size - 1
    assert pickle.loads(pickle.dumps(tok)).fingerprint == tok.fingerprint


def test_a_tokenizer_travels_to_another_process(tokenizer, tokenizer_json):
    for tok in (
        load_tokenizer(tokenizer.path, 5),
        load_tokenizer(tokenizer_json({"eos_token": "</s>"})),
    ):
        again = pickle.loads(pickle.dumps(tok))
        assert again.fingerprint == tok.fingerprint
        assert again.encode("a fox") == tok.encode("a fox")


@pytest.mark.parametrize(
    "name, content",
    [("a.model", b"nonsense"), ("b.model", b""), ("tokenizer.json", b"{}")],
)
def test_not_a_tokenizer(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is not a"):
        load_tokenizer(tmp_path / name)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="there is no tokenizer .*nothing.model"):
        load_tokenizer(tmp_path / "nothing.model")
    with pytest.raises(InputError, match="holds neither"):
        tokenizer_file(tmp_path)
    (tmp_path / "vocab.txt").write_text("a")
    with pytest.raises(InputError, match="is neither"):
        tokenizer_file(tmp_path / "vocab.txt")


def test_tokenizer_json_errors(tokenizer_json):
    with pytest.raises(InputError, match="names the eos_token '<end>'"):
        load_tokenizer(tokenizer_json({"eos_token": "<end>"}))
    with pytest.raises(InputError, match=r"names the eos_token \['</s>'\]"):
        load_tokenizer(tokenizer_json({"eos_token": ["</s>"]}))
    folder = tokenizer_json({})
    (folder / "config.json").write_text('{"eos_token_id": 99999}')
    with pytest.raises(
        InputError, match="config.json beside .* gives eos_token_id = 99999"
    ):
        load_tokenizer(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match="is not a JSON object"):
        load_tokenizer(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="extra_ids=5 is for SentencePiece"):
        load_tokenizer(tokenizer_json(None), extra_ids=5)
    with pytest.raises(InputError, match=r"no known eos_token.*tokenizer_config.json"):
        load_tokenizer(tokenizer_json({}, special=("<unk>",)))


def test_training_needs_texts(tmp_path):
    with pytest.raises(InputError, match="cannot train"):
        train_tokenizer([], tmp_path / "x.model")
    assert not (tmp_path / "x.model").exists()


MIXED = (
    "Is it raining? Yes, très fort! 12,345.67 km",
    "Анна живёт в Ардене. 東京は大きい。 مرحبا",
    "tabs\tand  two spaces \n\n and lines \u00a0 end ",
    "emoji 😀👍🏽, ﬁ ligature, e\u0301 combined, ½ ∑",
    "<pad> </s> <extra_id_0> <stop> is text too",
    "",
)


def test_tokenizer_json_is_read_as_transformers_reads_it(tokenizer_json):
    transformers = pytest.importorskip("transformers")
    folder = tokenizer_json({"eos_token": "</s>", "pad_token": "<pad>"})
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json")
    )
    ours = load_tokenizer(folder)
    # The peer takes what spells a special token for the token.
    known = [text for text in MIXED if "<" not in text]
    for text in known:
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text) == expected, text
    expected = theirs(known, add_special_tokens=False)["input_ids"]
    assert ours.encode_batch(known) == expected
    for text in set(MIXED) - set(known):
        ids = ours.encode(text)
        assert not {0, 1, 2, 3} & set(ids) and ours.decode(ids) == text


WITH_MARKUP = (
    "a <table>\n<h1>Does it fly?</h1></table> b",
    "<table><table>",
    " <h1> fox",
    "<tab le>",
)


def test_added_tokens_that_are_not_special_are_tokens_of_text(tokenizer_json):
    """As in transformers; those that a file calls special stay text there and here."""
    transformers = pytest.importorskip("transformers")
    named = {"additional_special_tokens": ["<turn>"], "eos_token": "</s>"}
    folder = tokenizer_json({**named, "tokenizer_class": "PreTrainedTokenizerFast"})
    model = Tokenizer.from_file(str(folder / "tokenizer.json"))
    before = load_tokenizer(folder)
    markup = ("<table>", "</table>", "<h1>", "</h1>", "<turn>")
    model.add_tokens([AddedToken(text, normalized=False) for text in markup])
    model.add_special_tokens(["<|im_end|>"])
    model.save(str(folder / "tokenizer.json"))

    ours = load_tokenizer(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(
        folder, split_special_tokens=True
    )
    for text in WITH_MARKUP:
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text) == ids, text
        assert ours.decode(ids) == text
    assert ours.encode("<table>") == [model.token_to_id("<table>")]
    assert set(ours.format_tokens) - set(ours.special_tokens) == set(markup[:4])
    for spelling in ("<turn>", "<|im_end|>", "</s>"):
        special_id = ours.special_tokens[spelling]
        assert special_id == theirs.convert_tokens_to_ids(spelling)
        text = f"<h1>a{spelling}<table>"
        ids = ours.encode(text)
        assert special_id not in ids and ours.decode(ids) == text
        assert ids[0] == model.token_to_id("<h1>")
        assert ids[-1] == model.token_to_id("<table>")
    assert ours.fingerprint != before.fingerprint


def test_what_a_sentencepiece_model_takes_whole_is_text_unless_a_file_says_special(
    texts, tmp_path
):
    markup = ["<table>", "<turn>"]
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=made,
        vocab_size=400,
        hard_vocab_limit=False,
        user_defined_symbols=markup,
        minloglevel=2,
    )
    (tmp_path / "a.model").write_bytes(made.getvalue())
    plain = load_tokenizer(tmp_path)
    for text in markup:
        assert plain.format_tokens[text] in plain.encode(f"a {text}")
        assert text not in plain.special_tokens
    named = {"added_tokens_decoder": {"4": {"content": "<turn>", "special": True}}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(named))
    tok = load_tokenizer(tmp_path)
    assert tok.special_tokens["<turn>"] not in tok.encode("a <turn>")
    assert tok.encode("a <table>") == plain.encode("a <table>")
    assert tok.fingerprint != plain.fingerprint


SENTENCEPIECE = {
    "LlamaTokenizer": {"model_type": "bpe", "pad_id": -1},
    "GemmaTokenizer": {
        "model_type": "bpe",
        "add_dummy_prefix": False,
        "pad_id": 0,
        "eos_id": 1,
        "bos_id": 2,
        "unk_id": 3,
    },
    "T5Tokenizer": {
        "model_type": "unigram",
        "pad_id": 0,
        "eos_id": 1,
        "unk_id": 2,
        "bos_id": -1,
    },
}


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_sentencepiece_models_are_read_as_transformers_reads_them(
    name, texts, tmp_path
):
    """The model alone, and the tokenizer.json that transformers makes of it."""
    transformers = pytest.importorskip("transformers")
    made, settings = io.BytesIO(), SENTENCEPIECE[name]
    as_it_is = {
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "byte_fallback": True,
    }
    settings |= {} if name == "T5Tokenizer" else as_it_is
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*texts, *MIXED]),
        model_writer=made,
        vocab_size=500,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
        **settings,
    )
    (
        tmp_path / ("spiece.model" if name == "T5Tokenizer" else "tokenizer.model")
    ).write_bytes(made.getvalue())
    config = {
        "tokenizer_class": name,
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "bos_token": "<s>",
    }
    config |= {"pad_token": "<pad>"} if settings["pad_id"] == 0 else {}
    config |= {"extra_ids": 100, "bos_token": None} if name == "T5Tokenizer" else {}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "fast")
    for folder in (tmp_path, tmp_path / "fast"):
        ours = load_tokenizer(folder)
        # The peer takes what spells a special token for the token.
        known = [text for text in MIXED if "<" not in text]
        expected = theirs(known, add_special_tokens=False)["input_ids"]
        assert ours.encode_batch(known) == expected
        special_ids = {*ours.special_tokens.values()} - {ours.unknown_id}
        for text in set(MIXED) - set(known):
            assert special_ids.isdisjoint(ours.encode(text))
        assert (ours.eos_id, ours.pad_id) == (
            theirs.eos_token_id,
            theirs.pad_token_id or 0,
        )
