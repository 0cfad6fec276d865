"""Row formats: how prompts and answers stand in a row of tokens.

FLAN writes `PAD prompt EOS answer EOS`. A public model has seen other rows: plain text with a
newline between prompt and answer, or the turns of its chat template. Training, ranking, generation
and harness all take the rows of one format.
"""

import dataclasses
import re
from typing import NamedTuple, TypeAlias

from flan_jax.data.tokenizers import Tokenizer
from flan_jax.errors import InputError

PLACEHOLDERS = ("{bos}", "{eos}", "{pad}")

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
      between: text between an answer and the next prompt of a conversation.
      prefix_lm: whether the tokens of a prompt attend to one another in both directions; None for
        what MODEL says.
    """

    start: str | int | None = "{bos}"
    prompt_prefix: str = ""
    separator: str = "\n"
    joint: str = "\n"
    answer_prefix: str = ""
    end: str = "{eos}"
    between: str = ""
    prefix_lm: bool | None = None


FLAN = RowFormat(start="{pad}", separator="{eos}", joint="{eos}")
"""FLAN's rows, `PAD prompt EOS answer EOS`."""


def family_format(start_id: int | None) -> RowFormat:
    """Returns FLAN's rows with the start token of a model's family.

    Args:
      start_id: DecoderConfig.start_id; None for PAD.
    """
    if start_id is None:
        return FLAN
    return dataclasses.replace(FLAN, start=start_id)


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
    ids = dict(tokenizer.special_tokens)
    ids |= {"{bos}": tokenizer.bos_id, "{eos}": tokenizer.eos_id}
    ids["{pad}"] = tokenizer.pad_id
    # Of two tokens, one of which begins like the other, the longer one is meant.
    spellings = sorted(ids, key=len, reverse=True)
    pattern = "|".join(re.escape(spelling) for spelling in spellings)
    pieces: list[str | int] = []
    for part in re.split(f"({pattern})", text):
        if part not in ids:
            if part:
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
