"""From texts to the tokens of rows: prompts and answers as a row format writes them."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from flan_jax.batch import PAD, Architecture
from flan_jax.data.row_format import (
    FLAN,
    Pieces,
    RowFormat,
    RowTokens,
    parse_format_text,
    split_at_spellings,
)
from flan_jax.data.token_store import cut
from flan_jax.data.tokenizers import TextAfter, Tokenizer
from flan_jax.errors import InputError
from flan_jax.tasks.templates import Segment

PROMPT = Segment("", has_loss=False)


class _Place(NamedTuple):
    """A segment of an example and its neighbours; None where there is none."""

    segment: Segment
    before: Segment | None
    after: Segment | None


@dataclasses.dataclass(frozen=True)
class RowTokenizer:
    """Tokenizes prompts and answers as a row format writes them.

    A text is split into runs at special tokens, and each run is tokenized as one text. An answer
    is always a text by itself, as generation would write it.

    Attributes:
      tokenizer: the tokenizer.
      format: the row format.
      architecture: the kind of model that reads the rows.
    """

    tokenizer: Tokenizer
    format: RowFormat = FLAN
    architecture: Architecture = "decoder"

    @functools.cached_property
    def tokens(self) -> RowTokens:
        """The ids of the format's own tokens.

        Raises:
          InputError: the tokenizer cannot write the format.
        """
        answer_tail = self._tail("end")
        if not answer_tail:
            raise InputError(
                "RowFormat.end is empty, so that no answer would end; write the token that ends "
                "one, such as '{eos}'"
            )
        stop_ids = dict.fromkeys((*self.tokenizer.stop_ids, answer_tail[0]))
        return RowTokens(
            start=self._start(),
            prompt_tail=self._tail("separator"),
            answer_tail=answer_tail,
            stop_ids=tuple(stop_ids),
        )

    @functools.cached_property
    def empty_answer(self) -> list[int]:
        """The tokens of an answer without text."""
        return self.encode_answers([""])[0]

    @functools.cached_property
    def prompt_overhead(self) -> int:
        """The number of tokens that the format adds to a prompt."""
        (empty_prompt,) = self.encode_prompts([""])
        return len(empty_prompt)

    @property
    def fingerprint_fields(self) -> tuple[object, ...]:
        """All that decides which tokens a text has. Stores do not hold the start token."""
        texts = dataclasses.replace(self.format, start=None, prefix_lm=None)
        # The answers of an encoder-decoder begin a text, whatever ends its prompts.
        answer_follows = self._follows(_Place(Segment("", True), PROMPT, None))
        return self.tokenizer.fingerprint, dataclasses.astuple(texts), answer_follows

    def encode_prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the tokens of prompts that begin a row, without the start token.

        Args:
          texts: the prompts.
        """
        prompts = [Segment(text, has_loss=False) for text in texts]
        return self._encode([_Place(prompt, None, None) for prompt in prompts])

    def encode_answers(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the tokens of answers that follow a prompt.

        Args:
          texts: the answers.
        """
        answers = [Segment(text, has_loss=True) for text in texts]
        return self._encode([_Place(answer, PROMPT, None) for answer in answers])

    def encode_examples(self, examples: Sequence[Sequence[Segment]]) -> list[list[int]]:
        """Returns the tokens of the segments of examples, without the start token.

        Args:
          examples: the segments of each example.

        Returns:
          The tokens of every segment of every example, one after the other.
        """
        places = []
        for segments in examples:
            neighbours = [None, *segments, None]
            for number, segment in enumerate(segments):
                before = neighbours[number]
                after = neighbours[number + 2]
                places.append(_Place(segment, before, after))
        return self._encode(places)

    def encode_markup(self, text: str) -> list[int]:
        """Returns the tokens of a text in which the spelling of a special token is that token.

        Neither the format's texts nor the start token are added. It is how transformers tokenizes,
        and for texts that programs made, such as rendered chat templates: rows never are.

        Args:
          text: the text.
        """
        special = self.tokenizer.format_tokens
        tokens: list[int] = []
        after: TextAfter = "nothing"
        for part in split_at_spellings(text, special):
            if part in special:
                tokens.append(special[part])
            else:
                tokens += self.tokenizer.encode_batch([part], after)[0]
            after = "special"
        return tokens

    def prompt(self, tokens: np.ndarray, lengths: Mapping[str, int]) -> np.ndarray:
        """Returns a prompt as a model reads it: cut, and for a decoder with the start token.

        Args:
          tokens: int [tokens], from `encode_prompts`.
          lengths: {"inputs": the most tokens of a prompt, without the start token}.

        Returns:
          int32 [tokens].
        """
        start = self.tokens.start
        tokens = cut(tokens, lengths["inputs"], self.tokens.prompt_tail)
        if self.architecture == "decoder" and start is not None:
            tokens = np.append(start, tokens)
        return tokens.astype(np.int32)

    def answer(self, tokens: np.ndarray, lengths: Mapping[str, int]) -> np.ndarray:
        """Returns an answer as a model writes it: cut to a length.

        Args:
          tokens: int [tokens], from `encode_answers`.
          lengths: {"targets": the most tokens of an answer}.

        Returns:
          int32 [tokens].
        """
        answer_tail = self.tokens.answer_tail
        return cut(tokens, lengths["targets"], answer_tail).astype(np.int32)

    def answer_text(self, tokens: np.ndarray) -> str:
        """Returns the text of an answer, without the format's own.

        Args:
          tokens: int [tokens], with or without the tokens that end an answer.
        """
        ends = np.flatnonzero(np.isin(tokens, self.tokens.stop_ids))
        if len(ends):
            tokens = tokens[: ends[0]]
        text = self.tokenizer.decode(tokens.tolist())
        return text.removeprefix(self.format.answer_prefix)

    def spelled(self, ids: Sequence[int]) -> str:
        """Returns tokens as one line of text, in which the special tokens are visible.

        >>> row_tokenizer.spelled([0, 66, 131, 1])
        "<pad>Is it</s>"

        Args:
          ids: tokens.
        """
        spellings = {
            number: spelling
            for spelling, number in self.tokenizer.format_tokens.items()
        }
        parts = []
        for is_special, group in itertools.groupby(ids, spellings.__contains__):
            if is_special:
                parts += [spellings[number] for number in group]
                continue
            run = list(group)
            text = self.tokenizer.decode(run)
            parts.append(text or "".join(f"<{number}>" for number in run))
        return "".join(parts).replace("\n", "\\n")

    def check(self) -> None:
        """Checks that the tokenizer can write the format.

        Raises:
          InputError: it lacks a token, or loses one of the format's texts.
        """
        assert self.tokens.answer_tail
        for name, pieces in self._parsed.items():
            for piece in pieces:
                if isinstance(piece, int):
                    continue
                text = f"a{piece}b"
                written = self.tokenizer.decode(self.tokenizer.encode(text))
                if written != text:
                    raise InputError(
                        f"RowFormat.{name} has {piece!r}, which the tokenizer "
                        f"{self.tokenizer.path} does not keep: of {text!r} it makes {written!r}. "
                        "Write a text or a token that it has, or another ROW_FORMAT"
                    )

    def check_lengths(self, lengths: Mapping[str, int | str]) -> None:
        """Checks that rows have room for the format's own tokens.

        Args:
          lengths: tokens of a row, {"inputs": E, "targets": D}; D may be 'fit'.

        Raises:
          InputError: they have none.
        """
        least = {"inputs": self.prompt_overhead, "targets": len(self.empty_answer) + 1}
        for side, tokens in least.items():
            length = lengths[side]
            if isinstance(length, int) and length < tokens:
                raise InputError(
                    f"LENGTHS gives {side} {length} tokens, but the row format needs at least "
                    f"{tokens}; write longer LENGTHS or another ROW_FORMAT"
                )

    def _encode(self, places: Sequence[_Place]) -> list[list[int]]:
        """Returns the tokens of segments. The runs of all segments are tokenized together."""
        all_pieces = [self._pieces_of(place) for place in places]
        texts: dict[TextAfter, list[str]] = {}
        for place, pieces in zip(places, all_pieces, strict=True):
            for after, text in self._runs(place, pieces):
                texts.setdefault(after, []).append(text)
        tokens = {
            after: iter(self.tokenizer.encode_batch(runs, after))
            for after, runs in texts.items()
        }

        encoded = []
        for place, pieces in zip(places, all_pieces, strict=True):
            runs = iter(self._runs(place, pieces))
            ids: list[int] = []
            for piece in pieces:
                if isinstance(piece, int):
                    ids.append(piece)
                else:
                    after, _ = next(runs)
                    ids += next(tokens[after])
            encoded.append(ids)
        return encoded

    def _runs(self, place: _Place, pieces: Pieces) -> list[tuple[TextAfter, str]]:
        """Returns the texts of a segment, each with what it follows."""
        runs: list[tuple[TextAfter, str]] = []
        for number, piece in enumerate(pieces):
            if isinstance(piece, str):
                follows = "special" if number else self._follows(place)
                runs.append((follows, piece))
        return runs

    def _pieces_of(self, place: _Place) -> Pieces:
        """Returns a segment with the format's texts around it; adjacent texts are one."""
        suffix = _suffix_name(place.segment, place.after)
        text = place.segment.text
        if place.segment.has_loss:
            is_trimmed = self.format.trim_answers
        else:
            is_trimmed = self.format.trim_prompts
        if is_trimmed:
            text = text.strip()
        pieces: list[str | int] = []
        parts = (*self._prefix(place), text, *self._parsed[suffix])
        for piece in parts:
            if isinstance(piece, str) and pieces and isinstance(pieces[-1], str):
                pieces[-1] += piece
            elif piece != "":
                pieces.append(piece)
        return tuple(pieces)

    def _prefix(self, place: _Place) -> Pieces:
        """Returns what stands before a segment's own text."""
        if place.segment.has_loss:
            return self._parsed["answer_prefix"]
        if place.before is None:
            return self._parsed["prompt_prefix"]
        if not place.before.has_loss:
            return ()
        if self.format.between is None:
            raise InputError(
                "the chat template writes the last answer of a conversation in another way than "
                "those before it, so that a row cannot hold several. Render an example for each "
                "reply, or write @RowFormat() with RowFormat.between"
            )
        return self._parsed["between"]

    def _follows(self, place: _Place) -> TextAfter:
        """Returns what the first text of a segment follows."""
        is_decoders = self.architecture == "encoder_decoder" and place.after is None
        if place.before is None or (is_decoders and place.segment.has_loss):
            return "nothing"
        suffix = self._parsed[_suffix_name(place.before, place.segment)]
        if not suffix or isinstance(suffix[-1], str):
            return "text"
        ends_text = suffix[-1] in (self.tokenizer.eos_id, self.tokenizer.pad_id)
        return "nothing" if ends_text and not self._prefix(place) else "special"

    @functools.cached_property
    def _parsed(self) -> dict[str, Pieces]:
        """The format's texts, split at their special tokens."""
        texts = dataclasses.asdict(self.format)
        return {
            name: parse_format_text(texts[name] or "", self.tokenizer, name)
            for name in (
                "prompt_prefix",
                "separator",
                "joint",
                "answer_prefix",
                "end",
                "between",
            )
        }

    def _tail(self, name: str) -> tuple[int, ...]:
        """Returns the tokens of a text that stands behind a row's own text."""
        ids: list[int] = []
        for number, piece in enumerate(self._parsed[name]):
            if isinstance(piece, int):
                ids.append(piece)
            else:
                after: TextAfter = "special" if number else "text"
                (run,) = self.tokenizer.encode_batch([piece], after)
                ids += run
        return tuple(ids)

    def _start(self) -> int | None:
        start = self.format.start
        if self.architecture == "encoder_decoder":
            return PAD
        if start is None:
            return None
        if isinstance(start, str):
            pieces = parse_format_text(start, self.tokenizer, "start")
            if len(pieces) != 1 or isinstance(pieces[0], str):
                raise InputError(
                    f"RowFormat.start is {start!r}, which is not one special token of "
                    f"{self.tokenizer.path}; write '{{bos}}', '{{pad}}', the spelling or the id "
                    "of one, or None"
                )
            return pieces[0]
        if not 0 <= start < self.tokenizer.vocab_size:
            raise InputError(
                f"RowFormat.start is {start}, but the vocabulary of {self.tokenizer.path} has "
                f"the ids 0 to {self.tokenizer.vocab_size - 1}; write one of them, or None"
            )
        return start


def _suffix_name(segment: Segment, after: Segment | None) -> str:
    """Returns the name of the format's text that ends a segment."""
    if segment.has_loss:
        return "end"
    is_joined = after is not None and not after.has_loss
    return "joint" if is_joined else "separator"
