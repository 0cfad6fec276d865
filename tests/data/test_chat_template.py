import json

import pytest
from chat_folders import write_chat_folder

from flan_jax.data.chat_template import chat_texts, find_chat_template, render_chat
from flan_jax.data.row_format import make_row_format
from flan_jax.data.tokenizers import load_tokenizer
from flan_jax.errors import InputError

TURNS = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_what_stands_around_the_contents():
    texts = chat_texts("{{ bos_token }}" + TURNS, {"bos_token": "<s>"})
    assert texts == (
        "<s>[user]",
        "<end>[assistant]",
        "",
        "<end>",
        "<end>[user]",
        False,
        False,
    )


def test_a_space_of_the_answer_and_a_header_without_generation_prompt():
    space = "{% for m in messages %}{{ (' ' if loop.index is even else '[Q]') + m.content }}</s>{% endfor %}"
    assert chat_texts(space, {})[:4] == ("[Q]", "</s>", " ", "</s>")
    header = TURNS.replace("{% if add_generation_prompt %}[assistant]{% endif %}", "")
    assert chat_texts(header, {})[:4] == ("[user]", "<end>[assistant]", "", "<end>")


def test_answers_that_are_written_otherwise_once_there_are_more():
    template = TURNS.replace(
        "{{ m.content }}",
        "{{ ('<think></think>' if m.role == 'assistant' and loop.last else '') + m.content }}",
    ).replace("[assistant]{% endif %}", "[assistant]<think></think>{% endif %}")
    texts = chat_texts(template, {})
    assert texts.between is None
    assert texts.separator == "<end>[assistant]<think></think>"


@pytest.mark.parametrize(
    "template, message",
    [
        (
            "{{ raise_exception('no system role') }}",
            "cannot be rendered: no system role",
        ),
        ("{% for m in messages %}{{ m.content }}", "cannot be rendered: .*endfor"),
        ("{{ messages[0].content.nothing.more }}", "cannot be rendered"),
        ("{{ ''.__class__.__mro__ }}", "cannot be rendered"),
        ("{{ messages[0].content }}", "does not hold each message's text once"),
        (TURNS.replace("m.content", "m.content * 2"), "does not hold each message's"),
        (
            TURNS.replace("m.content", "m.content | upper"),
            "does not hold each message's",
        ),
        (
            TURNS.replace("[assistant]{%", "[assistant]<think>{%"),
            "before an answer, and .* where one is to be generated",
        ),
    ],
)
def test_templates_that_are_refused(template, message):
    with pytest.raises(InputError, match=f"the chat template.*{message}"):
        chat_texts(template, {})


def test_days_and_namespaces():
    template = "{% set n = namespace(d=strftime_now('%d %b %Y')) %}{{ n.d }}"
    assert render_chat(template, [], {}, generate=False) == "26 Jul 2024"


def test_where_templates_are_found(tmp_path):
    assert find_chat_template(tmp_path) is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "in the config"}))
    assert find_chat_template(tmp_path) == "in the config"
    named = [
        {"name": "default", "template": "default"},
        {"name": "rag", "template": "r"},
    ]
    config.write_text(json.dumps({"chat_template": named}))
    assert find_chat_template(tmp_path) == "default"
    config.write_text(json.dumps({"chat_template": named[1:]}))
    with pytest.raises(InputError, match="templates rag, but none is named 'default'"):
        find_chat_template(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("in a file")
    assert find_chat_template(tmp_path) == "in a file"


def test_a_folder_without_template_and_one_without_end(tmp_path):
    with pytest.raises(InputError, match="has no chat template"):
        make_row_format("chat", load_tokenizer("practice"), None)
    folder = write_chat_folder(tmp_path / "chatml", "chatml")
    (folder / "chat_template.jinja").write_text(TURNS)
    with pytest.raises(
        InputError, match="no special token at which generation could end"
    ):
        make_row_format("chat", load_tokenizer(folder), None)
