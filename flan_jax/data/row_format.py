"""Row formats: how prompts and answers stand in a row of tokens.

FLAN writes `PAD prompt EOS answer EOS`. A public model has seen other rows: plain text with a
newline between prompt and answer, or the turns of its chat template. Training, ranking, generation
and harness all take the rows of one format.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType
from typing import NamedTuple, TypeAlias

from flan_jax.data.chat_template import (
    chat_texts,
    find_chat_template,
    special_token_variables,
)
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.errors import (
    InputError,
    add_to_registry,
    check_call,
    look_up,
    unknown_name,
)
from flan_jax.json_files import JsonObject

NULLABLE = ("start", "between", "prefix_lm")
"""Fields of a RowFormat that may be None."""

Pieces: TypeAlias = tuple[str | int, ...]
"""A text of a row format: plain texts, and the ids of special tokens between them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowFormat:
    """How prompts and answers stand in a row.

    In these texts {bos}, {eos} and {pad} stand for the tokenizer's tokens, and the spelling of a
    special token ("<|im_start|>") for that token. In prompts and answers it stays text.

    Attributes:
      start: the one token that a decoder reads before the first: a text or an id. None for no
        token: the first token of an example is then only read, and never predicted. An encoder
        reads no such token, and the decoder of an encoder-decoder always PAD.
      prompt_prefix: text before the first prompt, such as a chat header.
      separator: text between a prompt and its answer.
      joint: text between two prompts that follow one another, as a system text and a question.
      answer_prefix: text with which each answer begins; it has loss.
      end: text that ends an answer; it has loss. Generation stops at its first token.
      between: text between an answer and the next prompt of a conversation. None: conversations
        are refused, as the texts differ from one turn to the next.
      trim_prompts: whether prompts lose the whitespace around them.
      trim_answers: whether answers do.
      prefix_lm: whether the tokens of a prompt attend to one another in both directions; None for
        what MODEL says.
    """

    start: str | int | None = "{bos}"
    prompt_prefix: str = ""
    separator: str = "\n"
    joint: str = "\n"
    answer_prefix: str = ""
    end: str = "{eos}"
    between: str | None = ""
    trim_prompts: bool = False
    trim_answers: bool = False
    prefix_lm: bool | None = None


FLAN = RowFormat(start="{pad}", separator="{eos}", joint="{eos}")
"""FLAN's rows, `PAD prompt EOS answer EOS`."""


def running_text(row_format: RowFormat) -> RowFormat:
    """Returns the format in which an answer goes on where its prompt ends, after a space.

    Args:
      row_format: the format of a model, whose first token and end are kept.
    """
    return dataclasses.replace(
        row_format,
        prompt_prefix="",
        separator="",
        joint="",
        answer_prefix=" ",
        between=None,
    )


FormatMaker: TypeAlias = Callable[[Tokenizer, int | None], RowFormat]
"""(the tokenizer, DecoderConfig.start_id) -> the format."""

ROW_FORMATS: dict[str, FormatMaker] = {}
"""The formats that ROW_FORMAT can name."""


def register_row_format(name: str, make: FormatMaker) -> None:
    """Makes a row format known by a name.

    Args:
      name: the name.
      make: makes the format for a tokenizer and the start token of a model's family.

    Raises:
      InputError: another format has this name, or `make` does not take these two.
    """
    check_call(make, f"row format {name!r}", ["tokenizer", "start_id"])
    add_to_registry(ROW_FORMATS, "row format", name, make)


def make_row_format(
    setting: str | RowFormat, tokenizer: Tokenizer, start_id: int | None
) -> RowFormat:
    """Returns the format that ROW_FORMAT stands for.

    Args:
      setting: a name in ROW_FORMATS, or a format.
      tokenizer: the tokenizer, in whose folder a chat template is looked for.
      start_id: the start token of the model's family, DecoderConfig.start_id; the {bos} of a
        format. None for the tokenizer's.

    Raises:
      InputError: there is no such format, or the tokenizer's folder does not have what it needs.
    """
    if isinstance(setting, str):
        return look_up(ROW_FORMATS, "ROW_FORMAT", setting)(tokenizer, start_id)
    if setting.start == "{bos}" and start_id is not None:
        return dataclasses.replace(setting, start=start_id)
    return setting


def format_of_json(content: str | JsonObject, source: str) -> str | RowFormat:
    """Returns the row format that a file names.

    Args:
      content: a name, or the fields of a RowFormat.
      source: the file or folder, for errors.

    Raises:
      InputError: a field is unknown or of another type.
    """
    if isinstance(content, str):
        return content
    defaults = dataclasses.asdict(RowFormat())
    for name, value in content.items():
        if name not in defaults:
            raise unknown_name(f"field of the row format in {source}", name, defaults)
        is_text = name not in ("trim_prompts", "trim_answers", "prefix_lm")
        kinds = (str, int, NoneType) if is_text else (bool, NoneType)
        if not isinstance(value, kinds) or (name not in NULLABLE and value is None):
            raise InputError(
                f"the row format in {source} has {name} = {value!r}; write it again with "
                "launch/convert.py"
            )
    return RowFormat(**content)


def _flan_format(tokenizer: Tokenizer, start_id: int | None) -> RowFormat:
    """Returns FLAN's rows, which begin with the family's start token or PAD."""
    if start_id is None:
        return FLAN
    return dataclasses.replace(FLAN, start=start_id)


def _text_format(tokenizer: Tokenizer, start_id: int | None) -> RowFormat:
    """Returns plain text, a newline between prompt and answer."""
    start = tokenizer.leading_id if start_id is None else start_id
    return RowFormat(start=start)


def _chat_format(tokenizer: Tokenizer, start_id: int | None) -> RowFormat:
    """Returns the turns of the chat template in the tokenizer's folder."""
    folder = Path(tokenizer.path).parent
    template = find_chat_template(folder)
    if template is None:
        raise InputError(
            f"ROW_FORMAT is 'chat', but {folder} has no chat template: neither chat_template.jinja "
            "nor a chat_template in tokenizer_config.json. Write ROW_FORMAT = 'text', or name a "
            "folder with a chat template as TOKENIZER"
        )
    variables = special_token_variables(folder)
    spelling_of = {
        number: spelling for spelling, number in tokenizer.format_tokens.items()
    }
    if tokenizer.eos_id in spelling_of:
        variables.setdefault("eos_token", spelling_of[tokenizer.eos_id])
    bos = spelling_of.get(tokenizer.bos_id, "") if tokenizer.bos_id is not None else ""
    if bos:
        variables.setdefault("bos_token", bos)

    texts = chat_texts(template, variables)
    end, _ = _split_after_special(texts.after_answer, tokenizer)
    if not end:
        raise InputError(
            f"the chat template in {folder} ends an answer with {texts.after_answer!r}, which has "
            "no special token at which generation could end. Write @RowFormat() with the texts "
            "around prompts and answers, and RowFormat.end = '{eos}'"
        )
    between = texts.between
    if between is not None:
        between = between.removeprefix(end) if between.startswith(end) else None
    begins_with_bos = bool(bos) and texts.prompt_prefix.startswith(bos)
    return RowFormat(
        start=bos if begins_with_bos else None,
        prompt_prefix=texts.prompt_prefix.removeprefix(bos),
        separator=texts.separator,
        joint="\n\n",
        answer_prefix=texts.answer_prefix,
        end=end,
        between=between,
        trim_prompts=texts.trims_prompts,
        trim_answers=texts.trims_answers,
    )


def _split_after_special(text: str, tokenizer: Tokenizer) -> tuple[str, str]:
    """Splits a text behind its first special token; ("", text) if it has none."""
    match = re.search(_special_pattern(tokenizer.format_tokens), text)
    stop = match.end() if match else 0
    return text[:stop], text[stop:]


def _special_pattern(spellings: Iterable[str]) -> str:
    """Returns a regex of spellings. Of two that begin alike, the longer one is meant."""
    longest_first = sorted(spellings, key=len, reverse=True)
    return "|".join(map(re.escape, longest_first)) or r"(?!)"


register_row_format("flan", _flan_format)
register_row_format("text", _text_format)
register_row_format("chat", _chat_format)


class RowTokens(NamedTuple):
    """The token ids of a row format under one tokenizer.

    Attributes:
      start: the token before the first; None for none.
      prompt_tail: the tokens that end a prompt, which a cut leaves.
      answer_tail: the tokens that end an answer, which a cut leaves.
      stop_ids: the tokens at which generation ends.
    """

    start: int | None
    prompt_tail: tuple[int, ...]
    answer_tail: tuple[int, ...]
    stop_ids: tuple[int, ...]


def parse_format_text(text: str, tokenizer: Tokenizer, field: str) -> Pieces:
    """Splits a text of a row format at its special tokens.

    >>> parse_format_text("<|im_start|>user\\n", tokenizer, "prompt_prefix")
    (1, "user\\n")

    Args:
      text: the text.
      tokenizer: knows the special tokens.
      field: the name of the text, for errors.

    Returns:
      The plain texts, none empty, and the special tokens' ids.

    Raises:
      InputError: the tokenizer has no such token.
    """
    ids: dict[str, int | None] = dict(tokenizer.format_tokens)
    ids |= {"{bos}": tokenizer.bos_id, "{eos}": tokenizer.eos_id}
    ids["{pad}"] = tokenizer.pad_id
    pieces: list[str | int] = []
    for part in split_at_spellings(text, ids):
        if part not in ids:
            pieces.append(part)
            continue
        token_id = ids[part]
        if token_id is None:
            raise InputError(
                f"RowFormat.{field} is {text!r}, but the tokenizer {tokenizer.path} has no {part} "
                "token. Write another text, or name the token in tokenizer_config.json"
            )
        pieces.append(token_id)
    return tuple(pieces)


def split_at_spellings(text: str, spellings: Iterable[str]) -> list[str]:
    """Returns the parts of a text, none empty: spellings of tokens, and the texts between them.

    >>> split_at_spellings("a</s>b", ["</s>"])
    ["a", "</s>", "b"]

    Args:
      text: the text.
      spellings: the spellings of tokens.
    """
    parts = re.split(f"({_special_pattern(spellings)})", text)
    return [part for part in parts if part]
