"""The tokenizer's files of an exported folder: what they say, and what is refused."""

import json

import numpy as np
import pytest
import tokenizers
from chat_folders import CHATML, write_chat_folder

from flan_jax.data.chat_template import render_chat
from flan_jax.data.exported_tokenizer import NO_THINKING, exported_files
from flan_jax.data.row_format import RowFormat, make_row_format
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.tokenizers import PRACTICE_MODEL, load_tokenizer
from flan_jax.errors import InputError

LONG = {"inputs": 1000, "targets": 1000}


def rows_of(path, row_format, architecture="decoder"):
    tokenizer = load_tokenizer(path)
    made = make_row_format(row_format, tokenizer, None)
    return RowTokenizer(tokenizer, made, architecture)


def prompt_ids(rows, text):
    (tokens,) = rows.encode_prompts([text])
    return rows.prompt(np.array(tokens, np.int32), LONG).tolist()


def exported_ids(files, messages):
    """What the exported files make of messages, as transformers reads them."""
    config = files["tokenizer_config.json"]
    model = tokenizers.Tokenizer.from_str(json.dumps(files["tokenizer.json"]))
    model.encode_special_tokens = config["split_special_tokens"]
    if "chat_template" not in config:
        (message,) = messages
        return model.encode(message["content"]).ids
    variables = {
        name: text
        for name, text in config.items()
        if name.endswith("_token") and text is not None
    }
    text = render_chat(config["chat_template"], messages, variables, generate=True)
    return model.encode(text, add_special_tokens=False).ids


def user(text):
    return {"role": "user", "content": text}


def test_flans_form_is_the_tokenizers_own():
    rows = rows_of("practice", "flan")
    files = exported_files(rows, "llama", 80)
    config = files["tokenizer_config.json"]
    assert "chat_template" not in config and config["padding_side"] == "left"
    assert config["eos_token"] == "</s>" and config["pad_token"] == "<pad>"
    assert config["bos_token"] is None
    assert files["config.json"] == {
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "max_position_embeddings": 80,
    }
    assert files["generation_config.json"]["eos_token_id"] == [1]
    assert files["tokenizer.model"] == PRACTICE_MODEL
    for text in ("Is it raining?", "a </s> b", "<pad>"):
        expected = [0, *rows.tokenizer.encode(text), 1]
        assert exported_ids(files, [user(text)]) == expected


def test_an_encoders_prompt_has_eos_and_its_decoder_begins_with_pad():
    rows = rows_of("practice", "flan", "encoder_decoder")
    files = exported_files(rows, "t5", 80)
    assert exported_ids(files, [user("a")]) == [*rows.tokenizer.encode("a"), 1]
    assert files["config.json"]["decoder_start_token_id"] == 0
    assert "max_position_embeddings" not in files["config.json"]


def test_all_tokens_that_end_an_answer_are_listed(tmp_path):
    folder = write_chat_folder(tmp_path / "gemma", "gemma")
    named = {"eos_token_id": [3, 4], "temperature": 0.7}
    (folder / "generation_config.json").write_text(json.dumps(named))
    rows = rows_of(folder, "chat")
    generation = exported_files(rows, "gemma3_text")["generation_config.json"]
    assert generation["eos_token_id"] == list(rows.tokens.stop_ids)
    assert len(generation["eos_token_id"]) == 3
    assert generation["temperature"] == 0.7


def test_the_template_that_the_format_came_from_is_kept(tmp_path):
    folder = write_chat_folder(tmp_path / "chatml", "chatml")
    rows = rows_of(folder, "chat")
    config = exported_files(rows, "llama")["tokenizer_config.json"]
    assert config["chat_template"] == CHATML

    # Without a word transformers would let it think.
    thinking = CHATML + "{% if enable_thinking is not defined %}<think>{% endif %}"
    (folder / "chat_template.jinja").write_text(thinking)
    rows = rows_of(folder, "chat")
    config = exported_files(rows, "llama")["tokenizer_config.json"]
    assert config["chat_template"] == NO_THINKING + thinking

    # Rows have a day of their own, which a template would write anew every day.
    dated = CHATML.replace("You answer.", "{{ strftime_now('%d %b %Y') }}")
    (folder / "chat_template.jinja").write_text(dated)
    rows = rows_of(folder, "chat")
    template = exported_files(rows, "llama")["tokenizer_config.json"]["chat_template"]
    assert "26 Jul 2024" in template and "strftime_now" not in template

    # Rows of another format are not those of the template.
    config = exported_files(rows_of(folder, "flan"), "llama")["tokenizer_config.json"]
    assert "chat_template" not in config


def test_a_format_with_text_becomes_a_template(tmp_path):
    folder = write_chat_folder(tmp_path / "llama3", "llama3")
    row_format = RowFormat(
        prompt_prefix='Q: "',
        separator='"\n\nA:',
        joint="\n",
        answer_prefix=" ",
        between="\n",
        trim_prompts=True,
    )
    rows = rows_of(folder, row_format)
    files = exported_files(rows, "llama")
    template = files["tokenizer_config.json"]["chat_template"]
    variables = {"bos_token": "ignored"}

    def rendered(*messages):
        return render_chat(template, messages, variables, generate=True)

    start, end = "<|begin_of_text|>", "<|eot_id|>"
    assert rendered(user(" a ")) == f'{start}Q: "a"\n\nA:'
    assert rendered(user("a"), user("b")) == f'{start}Q: "a\nb"\n\nA:'
    answer = {"role": "assistant", "content": "yes"}
    expected = f'{start}Q: "a"\n\nA: yes{end}\nb"\n\nA:'
    assert rendered(user("a"), answer, user("b")) == expected
    assert exported_ids(files, [user("é\n🙂")]) == prompt_ids(rows, "é\n🙂")


def test_conversations_that_rows_cannot_hold_are_refused():
    rows = rows_of("practice", RowFormat(start=None, between=None))
    template = exported_files(rows, "llama")["tokenizer_config.json"]["chat_template"]
    answer = {"role": "assistant", "content": "yes"}
    with pytest.raises(InputError, match="rows hold one prompt and one answer"):
        render_chat(template, [user("a"), answer, user("b")], {}, generate=True)


def test_what_cannot_be_expressed_is_refused():
    start_of_text = rows_of("practice", RowFormat(start=300))
    with pytest.raises(InputError, match=r"token 300, which is no special token.*flan"):
        exported_files(start_of_text, "llama")
    with pytest.raises(InputError, match=r"as Qwen's own tokenizer does.*practice"):
        exported_files(rows_of("practice", "flan"), "qwen2")


def test_prompts_that_transformers_would_read_otherwise_are_refused(tmp_path):
    """There, this token swallows the newline behind it."""
    folder = write_chat_folder(tmp_path / "chatml", "chatml")
    content = json.loads((folder / "tokenizer.json").read_text())
    for token in content["added_tokens"]:
        token["rstrip"] = token["content"] == "<|im_start|>"
    (folder / "tokenizer.json").write_text(json.dumps(content))
    rows = rows_of(folder, RowFormat(start=None, prompt_prefix="<|im_start|>\n"))
    with pytest.raises(
        InputError, match=r"transformers would read .*raining.*flan_jax"
    ):
        exported_files(rows, "llama")


@pytest.mark.parametrize("prompt_prefix", ["", "Q: ", " Q: "])
def test_the_space_before_the_first_word(prompt_prefix, tmp_path):
    """A tokenizer adds it to a text that begins a row, but not behind the BOS of a template."""
    folder = write_chat_folder(tmp_path / "mistral", "mistral")
    row_format = RowFormat(prompt_prefix=prompt_prefix)
    rows = rows_of(folder, row_format)
    files = exported_files(rows, "mistral")
    for text in ("Is it raining?", " a", "\n\nb ", ""):
        assert exported_ids(files, [user(text)]) == prompt_ids(rows, text)


def test_an_exported_tokenizer_is_the_same_again(tmp_path):
    for path in ("practice", write_chat_folder(tmp_path / "gemma", "gemma")):
        rows = rows_of(path, "flan")
        files = exported_files(rows, "llama")
        folder = tmp_path / f"out_{rows.tokenizer.vocab_size}"
        folder.mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_text(json.dumps(files[name]))
        again = load_tokenizer(folder)
        assert (again.eos_id, again.pad_id) == (
            rows.tokenizer.eos_id,
            rows.tokenizer.pad_id,
        )
        for text in ("Is it raining?", " a  b\n</s>", "é 日本 🙂 <pad>"):
            assert again.encode(text) == rows.tokenizer.encode(text)
