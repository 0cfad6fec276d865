"""The tokenizer's files of an exported folder, by which transformers and vLLM write our prompts.

What a row format puts around a prompt becomes part of the tokenizer itself where it is tokens
alone (FLAN's start and EOS): `tokenizer(text)`. Where it has text, it becomes the chat template:
`tokenizer.apply_chat_template`.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tokenizers

from flan_jax.data.chat_template import (
    find_chat_template,
    render_chat,
    special_token_variables,
)
from flan_jax.data.row_format import make_row_format, parse_format_text
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.sentencepiece_json import sentencepiece_json
from flan_jax.data.tokenizers import SentencePieceTokenizer, Tokenizer
from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, read_json_object

Speller: TypeAlias = Callable[[int], str | None]
"""Returns the spelling of a token."""

PROBES = ("Is it raining?", "a  b\n\n- yes\n- no", " Does a hen fly? \n", "é 日本 🙂")
"""Prompts with which an export is tried."""
LONG = {"inputs": 1_000_000, "targets": 1_000_000}

QWEN_SPLIT_MODELS = ("qwen2",)
"""Families whose tokenizer transformers 5 makes itself: of tokenizer.json it takes vocabulary and
merges alone."""
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The regex at which Qwen's tokenizer splits a text."""

TEMPLATE = """\
{{%- for message in messages %}}
{{%- if message['role'] == 'assistant' %}}
{{{{- {separator} + {answer_prefix} + message['content']{trim_answer} + {end} }}}}
{{%- else %}}
{{%- if loop.first %}}{space}{{{{- {prompt_prefix} }}}}
{{%- elif loop.previtem['role'] == 'assistant' %}}{between}
{{%- else %}}{{{{- {joint} }}}}
{{%- endif %}}
{{{{- message['content']{trim_prompt} }}}}
{{%- endif %}}
{{%- endfor %}}
{{%- if add_generation_prompt %}}{{{{- {separator} }}}}{{% endif %}}"""
"""A row format as a chat template; the names in braces stand for its texts."""
SPACE_BEFORE = (
    "{{%- if not ({prompt_prefix} + message['content']{trim_prompt}).startswith(' ') %}}"
    "{{{{- ' ' }}}}{{% endif %}}"
)
"""The space before the first word, which some tokenizers add to a text, but not behind BOS."""
NO_CONVERSATIONS = "{{- raise_exception('rows hold one prompt and one answer') }}"
NO_THINKING = "{%- set enable_thinking = false %}"
"""The rows of the format 'chat' open no thoughts. A template's own default may be another."""


def exported_files(
    rows: RowTokenizer, model_type: str, longest_row: int | None = None
) -> dict[str, JsonObject | Path]:
    """Returns the tokenizer's files of an exported folder.

    transformers makes of a prompt what `rows` makes of it: by `tokenizer(text)`, or for formats
    with text around prompts by `tokenizer.apply_chat_template`.

    Args:
      rows: the tokenizer and the row format.
      model_type: the model's family in config.json.
      longest_row: the tokens of the rows that a decoder was trained on; None if they are not known.

    Returns:
      {name of a file: its content, or the file to copy}. Of config.json only the special tokens and
      the longest row.

    Raises:
      InputError: the tokenizer or the row format cannot be written in this form.
    """
    tokenizer = rows.tokenizer
    if isinstance(tokenizer, SentencePieceTokenizer):
        content = json.loads(sentencepiece_json(tokenizer))
    else:
        content = dict(read_json_object(Path(tokenizer.path)))
    if model_type in QWEN_SPLIT_MODELS and not _splits_as_qwen(content):
        raise InputError(
            f"transformers splits the texts of {model_type} models as Qwen's own tokenizer does, "
            f"whatever the folder says, and {tokenizer.path} splits them otherwise: the exported "
            "folder would not answer as the model does. Take --to=flan_jax"
        )
    text_of = tokenizers.Tokenizer.from_str(json.dumps(content)).id_to_token

    pre_tokenizer = json.dumps(content.get("pre_tokenizer"))
    adds_space = '"prepend_scheme": "first"' in pre_tokenizer
    template = _template(rows, adds_space)
    start = rows.tokens.start if rows.architecture == "decoder" else None
    before = [] if start is None else [start]
    after = list(rows.tokens.prompt_tail) if template is None else []
    spellings = {number: str(text_of(number)) for number in (*before, *after)}
    content["post_processor"] = _post_processor(
        content.get("post_processor"), spellings, before, after
    )
    content["truncation"] = content["padding"] = None

    config = _tokenizer_config(rows, template, text_of)
    _check(rows, content, config)
    files: dict[str, JsonObject | Path] = {
        "tokenizer.json": content,
        "tokenizer_config.json": config,
        "generation_config.json": _generation_config(rows),
        "config.json": _config_settings(rows, longest_row),
    }
    if isinstance(tokenizer, SentencePieceTokenizer):
        files["tokenizer.model"] = Path(tokenizer.path)
    return files


def _splits_as_qwen(content: JsonObject) -> bool:
    """Returns whether a tokenizer.json treats texts as Qwen's does."""
    normalizer = content.get("normalizer") or {}
    steps = (content.get("pre_tokenizer") or {}).get("pretokenizers", [])
    kinds = [step["type"] for step in steps]
    return (
        normalizer.get("type") == "NFC"
        and kinds == ["Split", "ByteLevel"]
        and steps[0]["pattern"] == {"Regex": QWEN_SPLIT}
    )


def _config_settings(rows: RowTokenizer, longest_row: int | None) -> JsonObject:
    """Returns what config.json says of tokens and rows."""
    if longest_row is None or rows.architecture == "encoder_decoder":
        return _token_ids(rows)
    return {**_token_ids(rows), "max_position_embeddings": longest_row}


def _token_ids(rows: RowTokenizer) -> dict[str, int | None]:
    """Returns the special tokens as config.json names them."""
    tokenizer = rows.tokenizer
    ids = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": _pad_id(tokenizer),
    }
    if rows.architecture == "encoder_decoder":
        # Its decoder begins with PAD; its encoder's tokens need no mask of their own.
        ids["pad_token_id"] = ids["decoder_start_token_id"] = rows.tokens.start
    return ids


def _generation_config(rows: RowTokenizer) -> JsonObject:
    """Returns generation_config.json: the original's, with the format's own tokens."""
    file = Path(rows.tokenizer.path).with_name("generation_config.json")
    original = read_json_object(file) if file.is_file() else {}
    stop_ids = {"eos_token_id": list(rows.tokens.stop_ids)}
    return {**original, **_token_ids(rows), **stop_ids}


def _pad_id(tokenizer: Tokenizer) -> int:
    """Returns PAD; EOS if the tokenizer has none."""
    has_pad = tokenizer.pad_id in tokenizer.special_tokens.values()
    return tokenizer.pad_id if has_pad else tokenizer.eos_id


def _template(rows: RowTokenizer, adds_space: bool) -> str | None:
    """Returns the chat template that writes the format's prompts; None if tokens alone do.

    Args:
      rows: the tokenizer and the row format.
      adds_space: whether the tokenizer adds a space to the first text, but not behind a token.
    """
    row_format = rows.format
    prefix = parse_format_text(
        row_format.prompt_prefix, rows.tokenizer, "prompt_prefix"
    )
    separator = parse_format_text(row_format.separator, rows.tokenizer, "separator")
    has_text = any(isinstance(piece, str) for piece in separator)
    if not prefix and not has_text and not row_format.trim_prompts:
        return None
    begins_with_text = not prefix or isinstance(prefix[0], str)
    has_start = rows.architecture == "decoder" and rows.tokens.start is not None
    needs_space = adds_space and begins_with_text and has_start
    return _original_template(rows) or _template_of_format(rows, needs_space)


def _original_template(rows: RowTokenizer) -> str | None:
    """Returns the template in the tokenizer's folder if the format is that of this template."""
    folder = Path(rows.tokenizer.path).parent
    template = find_chat_template(folder)
    if rows.architecture == "encoder_decoder" and rows.format.start is not None:
        return None  # The template writes BOS, which an encoder does not read.
    # A template that tells the day does not write tomorrow what it wrote in training.
    if template is None or "strftime_now" in template:
        return None
    try:
        theirs = make_row_format("chat", rows.tokenizer, None)
    except InputError:
        return None
    prefix_lm = rows.format.prefix_lm
    if dataclasses.replace(theirs, prefix_lm=prefix_lm) != rows.format:
        return None
    return NO_THINKING + template if "enable_thinking" in template else template


def _template_of_format(rows: RowTokenizer, needs_space: bool) -> str:
    """Returns a chat template that writes the rows of a format."""
    row_format = rows.format

    def literal(name: str) -> str:
        return _literal(_spelled(rows, getattr(row_format, name), name))

    between = NO_CONVERSATIONS
    if row_format.between is not None:
        between = f"{{{{- {literal('between')} }}}}"
    prompt_prefix = literal("prompt_prefix")
    trim_prompt = " | trim" if row_format.trim_prompts else ""
    space = ""
    if needs_space:
        space = SPACE_BEFORE.format(
            prompt_prefix=prompt_prefix, trim_prompt=trim_prompt
        )
    template = TEMPLATE.format(
        space=space,
        prompt_prefix=prompt_prefix,
        separator=literal("separator"),
        answer_prefix=literal("answer_prefix"),
        end=literal("end"),
        joint=literal("joint"),
        between=between,
        trim_prompt=trim_prompt,
        trim_answer=" | trim" if row_format.trim_answers else "",
    )
    if rows.architecture == "encoder_decoder" or rows.tokens.start is None:
        return template
    start = _literal(_spelling(rows, rows.tokens.start, "start"))
    return f"{{{{- {start} }}}}\n{template}"


def _spelled(rows: RowTokenizer, text: str, name: str) -> str:
    """Returns a text of a row format, with the spelling of its special tokens."""
    parts = []
    for piece in parse_format_text(text, rows.tokenizer, name):
        if isinstance(piece, int):
            piece = _spelling(rows, piece, name)
        parts.append(piece)
    return "".join(parts)


def _spelling(rows: RowTokenizer, number: int, name: str) -> str:
    """Returns the spelling of a special token."""
    for spelling, special in rows.tokenizer.format_tokens.items():
        if special == number:
            return spelling
    raise InputError(
        f"RowFormat.{name} has token {number}, which is no special token of "
        f"{rows.tokenizer.path}, so that a chat template cannot write it and the exported folder "
        "would not answer as the model does. Take --to=flan_jax, or give a --tokenizer in which "
        "it is one"
    )


def _literal(text: str) -> str:
    """Returns a text as Jinja writes it."""
    return json.dumps(text, ensure_ascii=False)


def _post_processor(
    original: JsonObject | None,
    spellings: Mapping[int, str],
    before: Sequence[int],
    after: Sequence[int],
) -> JsonObject:
    """Returns a post-processor that puts tokens around a text.

    Args:
      original: the tokenizer's own. Only what it does to places of bytes is kept.
      spellings: the tokens' names.
      before: the tokens before a text.
      after: those behind.
    """

    def special(number: int, type_id: int) -> JsonObject:
        return {"SpecialToken": {"id": spellings[number], "type_id": type_id}}

    def sequence(name: str, type_id: int) -> list[JsonObject]:
        text = {"Sequence": {"id": name, "type_id": type_id}}
        heads = [special(number, type_id) for number in before]
        tails = [special(number, type_id) for number in after]
        return [*heads, text, *tails]

    template = {
        "type": "TemplateProcessing",
        "single": sequence("A", 0),
        "pair": [*sequence("A", 0), *sequence("B", 1)],
        "special_tokens": {
            text: {"id": text, "ids": [number], "tokens": [text]}
            for number, text in spellings.items()
        },
    }
    parts = (original or {}).get("processors", [original])
    kept = [part for part in parts if part and part["type"] == "ByteLevel"]
    if not kept:
        return template
    return {"type": "Sequence", "processors": [*kept, template]}


def _tokenizer_config(
    rows: RowTokenizer, template: str | None, text_of: Speller
) -> JsonObject:
    """Returns tokenizer_config.json."""
    tokenizer = rows.tokenizer
    folder = Path(tokenizer.path).parent
    named = special_token_variables(folder)
    special: dict[str, str | None] = {
        name: text for name, text in named.items() if text in tokenizer.special_tokens
    }
    ids = {
        "bos_token": tokenizer.bos_id,
        "eos_token": tokenizer.eos_id,
        "pad_token": _token_ids(rows)["pad_token_id"],
        "unk_token": tokenizer.unknown_id,
    }
    for name, number in ids.items():
        special[name] = None if number is None else text_of(number)
    config: dict[str, object] = {
        # This class takes tokenizer.json as it is; those of the families make their own.
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "left" if rows.architecture == "decoder" else "right",
        "clean_up_tokenization_spaces": False,
        # Text that spells a special token stays text. A template's tokens are spelled, too.
        "split_special_tokens": template is None,
    }
    original = folder / "tokenizer_config.json"
    if original.is_file():
        length = read_json_object(original).get("model_max_length")
        config |= {} if length is None else {"model_max_length": length}
    if template is not None:
        config["chat_template"] = template
    return config


def _check(rows: RowTokenizer, content: JsonObject, config: JsonObject) -> None:
    """Tries whether prompts get the tokens of the rows.

    Raises:
      InputError: a prompt does not.
    """
    model = tokenizers.Tokenizer.from_str(json.dumps(content))
    template = config.get("chat_template")
    model.encode_special_tokens = template is None
    variables = {
        name: value
        for name, value in config.items()
        if name.endswith("_token") and isinstance(value, str)
    }
    for text in PROBES:
        (tokens,) = rows.encode_prompts([text])
        expected = rows.prompt(np.array(tokens, np.int32), LONG).tolist()
        written = text
        if template is not None:
            messages = [{"role": "user", "content": text}]
            written = render_chat(template, messages, variables, generate=True)
        encoding = model.encode(written, add_special_tokens=template is None)
        if encoding.ids != expected:
            raise InputError(
                f"transformers would read the prompt {text!r} as {written!r} with the tokens "
                f"{encoding.ids}, and rows of this format have {expected}: the exported folder "
                "would not answer as the model does. Take --to=flan_jax, or train with another "
                "ROW_FORMAT"
            )
