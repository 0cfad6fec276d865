"""A SentencePiece model as a tokenizer.json, which transformers and vLLM read.

Both libraries search the best pieces in the same way. What differs, and is made equal here: the
spaces before and within a text, and that text may spell a piece which no text may become, such as
`</s>` or `<0x0A>`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from flan_jax.data.tokenizers import SentencePieceTokenizer
from flan_jax.errors import InputError
from flan_jax.json_files import read_json_object

Message: TypeAlias = Any
"""A part of a SentencePiece model's file, whose classes are made at run time."""

UNIGRAM, BPE = 1, 2
NORMAL, USER_DEFINED = 1, 4
PRIVATE_USE = 0xF0000
"""The first of the characters that stand for nothing, and that no table changes."""
SPACE = "▁"
"""What SentencePiece writes for a space."""


class _Piece(NamedTuple):
    """A piece of the vocabulary.

    Attributes:
      text: its spelling.
      score: its log-probability, or its rank among merges.
      kind: its type in the model's file.
      is_text: whether text may become it.
    """

    text: str
    score: float
    kind: int
    is_text: bool


def sentencepiece_json(tokenizer: SentencePieceTokenizer) -> str:
    """Returns a tokenizer.json that gives texts the ids of a SentencePiece model.

    It puts no special tokens around a text.

    Args:
      tokenizer: the model.

    Raises:
      InputError: the model is neither a unigram nor a BPE one, or has spaces behind the words.
    """
    proto: Message = sentencepiece_model_pb2
    spec = proto.ModelProto.FromString(Path(tokenizer.path).read_bytes())
    if spec.trainer_spec.model_type not in (UNIGRAM, BPE):
        raise InputError(
            f"{tokenizer.path} is neither a unigram nor a BPE model, and transformers has no other "
            "kind. Take --to=flan_jax"
        )
    if spec.trainer_spec.treat_whitespace_as_suffix:
        raise InputError(
            f"{tokenizer.path} writes spaces behind the words, for which transformers has no rule. "
            "Take --to=flan_jax"
        )

    pieces = _pieces(spec, tokenizer)
    defined = [
        piece.text for piece in pieces if piece.is_text and piece.kind == USER_DEFINED
    ]
    model = tokenizers.Tokenizer(_model(spec, pieces, tokenizer.unknown_id))
    model.normalizer = normalizers.Sequence(_normalizers(spec.normalizer_spec, defined))
    splits = _splits(pieces, defined)
    if splits:
        model.pre_tokenizer = pre_tokenizers.Sequence(splits)
    model.decoder = decoders.Sequence(_decoders(spec.normalizer_spec))
    model.add_special_tokens(
        [
            tokenizers.AddedToken(text, special=True, normalized=False)
            for text in _special_texts(pieces, tokenizer)
        ]
    )
    return model.to_str()


def _pieces(spec: Message, tokenizer: SentencePieceTokenizer) -> list[_Piece]:
    """Returns the pieces by id, with those that the files beside the model add."""
    special = {number: text for text, number in tokenizer.special_tokens.items()}
    pieces = []
    for number, piece in enumerate(spec.pieces):
        is_text = piece.type in (NORMAL, USER_DEFINED) and number not in special
        text = special.get(number, str(piece.piece))
        pieces.append(_Piece(text, piece.score, piece.type, is_text))

    added: dict[int, str] = dict(special)
    added_file = Path(tokenizer.path).with_name("added_tokens.json")
    if added_file.is_file():
        named = read_json_object(added_file)
        added |= {number: text for text, number in named.items()}
    for number in range(len(pieces), tokenizer.vocab_size):
        text = added.get(number, f"<no_token_{number}>")
        pieces.append(_Piece(text, 0.0, USER_DEFINED, is_text=False))
    return pieces


def _model(spec: Message, pieces: list[_Piece], unknown_id: int | None) -> models.Model:
    """Returns the pieces as a model of the tokenizers library."""
    byte_fallback = spec.trainer_spec.byte_fallback
    if spec.trainer_spec.model_type == UNIGRAM:
        vocabulary = [(piece.text, piece.score) for piece in pieces]
        return models.Unigram(vocabulary, unknown_id, byte_fallback)
    return models.BPE(
        vocab={piece.text: number for number, piece in enumerate(pieces)},
        merges=_merges(pieces),
        unk_token=None if unknown_id is None else pieces[unknown_id].text,
        fuse_unk=True,
        byte_fallback=byte_fallback,
        # A piece that the user defined is not made of others.
        ignore_merges=any(
            piece.is_text and piece.kind == USER_DEFINED for piece in pieces
        ),
    )


def _merges(pieces: list[_Piece]) -> list[tuple[str, str]]:
    """Returns the pairs of pieces that make a piece, in the order in which they are merged."""
    ranks = {
        piece.text: (-piece.score, number)
        for number, piece in enumerate(pieces)
        if piece.is_text
    }
    ranked = []
    for text, rank in ranks.items():
        for split in range(1, len(text)):
            left, right = text[:split], text[split:]
            if left in ranks and right in ranks:
                ranked.append((rank, left, right))
    return [(left, right) for _, left, right in sorted(ranked)]


def _normalizers(spec: Message, defined: list[str]) -> list[normalizers.Normalizer]:
    """Returns what is done to a text's characters, in SentencePiece's order.

    The table of characters leaves alone what the user defined. The tokenizers library
    loses a mark that combines with a character which the table replaces, as in "Ａ" with an accent.
    """
    steps: list[normalizers.Normalizer] = []
    if spec.precompiled_charsmap:
        characters = normalizers.Precompiled(spec.precompiled_charsmap)
        changed = [text for text in defined if characters.normalize_str(text) != text]
        longest_first = sorted(changed, key=len, reverse=True)
        places = [
            (text, chr(PRIVATE_USE + number))
            for number, text in enumerate(longest_first)
        ]
        steps += [normalizers.Replace(text, place) for text, place in places]
        steps.append(characters)
        steps += [normalizers.Replace(place, text) for text, place in places]
    if spec.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(r"\A +| +\z"), ""))
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(" "))
    steps.append(normalizers.Replace(" ", SPACE))
    return steps


def _splits(
    pieces: list[_Piece], defined: list[str]
) -> list[pre_tokenizers.PreTokenizer]:
    """Returns the places at which a text is split.

    Pieces that the user defined stand for themselves. A text that spells a piece which no text may
    become is split before its last letter.
    """
    splits: list[pre_tokenizers.PreTokenizer] = []
    if defined:
        splits.append(pre_tokenizers.Split(Regex(_any_of(defined)), "isolated"))

    by_last_letter: dict[str, list[str]] = {}
    for piece in pieces:
        if not piece.is_text and len(piece.text) > 1:
            by_last_letter.setdefault(piece.text[-1], []).append(piece.text)
    for letter, texts in by_last_letter.items():
        pattern = f"{re.escape(letter)}(?<={_any_of(texts)})"
        splits.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
    return splits


def _any_of(texts: Iterable[str]) -> str:
    """Returns a regex of texts, of which a longer one is meant before its beginning."""
    return "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))


def _decoders(spec: Message) -> list[decoders.Decoder]:
    """Returns how tokens become text."""
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if spec.add_dummy_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return steps


def _special_texts(
    pieces: list[_Piece], tokenizer: SentencePieceTokenizer
) -> list[str]:
    """Returns the spellings of the special tokens, by id."""
    numbers = set(tokenizer.special_tokens.values())
    if tokenizer.unknown_id is not None:
        numbers.add(tokenizer.unknown_id)
    return [pieces[number].text for number in sorted(numbers)]
