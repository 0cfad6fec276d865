"""Tokenizers behind one protocol.

SentencePiece models (T5, mT5, Llama 2, Gemma) and Hugging Face's tokenizer.json.
"""

import copy
import functools
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2

from flan_jax.batch import PAD
from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, read_json_object

PRACTICE_MODEL = Path(__file__).with_name("practice.model")
"""The tokenizer of the practice corpus. Settings name it "practice"."""

MOST_EXTRA_IDS = 100_000
"""So many sentinels a tokenizer may have at most."""

EOS_TOKENS = (
    "</s>",
    "<eos>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "[SEP]",
)
PAD_TOKENS = ("<pad>", "<|pad|>", "[PAD]", "<|endoftext|>")
BOS_TOKENS = ("<s>", "<bos>", "<|begin_of_text|>")
UNKNOWN_TOKENS = ("<unk>", "[UNK]")
"""If no file beside tokenizer.json names EOS (PAD, BOS, the unknown token), it is the first of
these in its vocabulary."""


TextAfter: TypeAlias = Literal["nothing", "special", "text"]
"""What a text follows in a row: nothing, as it begins; a special token; or other text."""
EncodeBatch: TypeAlias = Callable[[Sequence[str], TextAfter], list[list[int]]]


@runtime_checkable
class Tokenizer(Protocol):
    """Converts text to token ids and back.

    A text that spells a special token stays text: encode("</s>") is not EOS. Other tokens that a
    tokenizer takes whole, such as Gemma's <table>, are tokens of text.

    Attributes:
      path: the file that it was loaded from.
      extra_ids: the number of sentinel ids that were added to the file's.
      vocab_size: the number of ids; all ids are below it.
      pad_id: the id that fills rows.
      eos_id: the id that ends a text.
      bos_id: the id that begins a text; None if there is none.
      leading_id: the id that the tokenizer itself puts before a text; None if it puts none.
      stop_ids: the ids that end a text according to the files beside the tokenizer; EOS is first.
      unknown_id: the id that stands for characters without a token; None if there are none.
      special_tokens: the ids of the special tokens, by their spelling. No text becomes one of them.
      format_tokens: those, and the other tokens that a row format can name: markup that was added
        to the vocabulary, such as <think>.
      fingerprint: a hash of all that decides which ids a text has.
    """

    path: str
    extra_ids: int
    vocab_size: int
    pad_id: int
    eos_id: int
    bos_id: int | None
    leading_id: int | None
    stop_ids: tuple[int, ...]
    unknown_id: int | None
    special_tokens: Mapping[str, int]
    format_tokens: Mapping[str, int]
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text, without EOS."""
        ...

    def encode_batch(
        self, texts: Sequence[str], after: TextAfter = "nothing"
    ) -> list[list[int]]:
        """Returns the ids of each text, without EOS.

        Args:
          texts: the texts.
          after: what they follow. A text that begins may get a space before its first word, which
            one after other text does not get.
        """
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text up to the first EOS."""
        ...


class SentencePieceTokenizer:
    """A SentencePiece model. See Tokenizer for the attributes."""

    def __init__(self, path: str, extra_ids: int = 0):
        """Loads a model.

        Args:
          path: a *.model file.
          extra_ids: the number of T5's sentinels to add behind the model's ids; <extra_id_0> gets
            the highest id.

        Raises:
          InputError: the file is not a SentencePiece model, or it has no end-of-sequence piece.
        """
        self.path, self.extra_ids = path, extra_ids
        content = Path(path).read_bytes()
        try:
            self._proto: Any = _sentencepiece_proto(content, extra_ids)
            self._model = _sentencepiece_model(self._proto)
        except Exception as error:  # protobuf and sentencepiece raise different kinds
            raise InputError(
                f"{path} is not a SentencePiece model: {_first_line(error)}"
            ) from error

        self._added = self._added_tokens()
        last_added = max(self._added.values(), default=-1)
        self.vocab_size = max(self._model.get_piece_size(), last_added + 1)
        self.eos_id = self._model.eos_id()
        self.bos_id = self._model.bos_id() if self._model.bos_id() >= 0 else None
        adds_bos = _beside(path, "tokenizer_config.json").get("add_bos_token", True)
        self.leading_id = self.bos_id if adds_bos else None
        self.stop_ids = _stop_ids(path, self.eos_id, self.vocab_size)
        self.unknown_id = self._model.unk_id() if self._model.unk_id() >= 0 else None
        self.format_tokens: Mapping[str, int] = self._format_pieces()
        self.special_tokens: Mapping[str, int] = self._special_pieces()
        # A model without PAD (Llama's) can take any id: padding is masked by its segment id.
        self.pad_id = max(self._model.pad_id(), PAD)
        added = json.dumps(self._added, sort_keys=True).encode() if self._added else b""
        of_text = _tokens_of_text(self.format_tokens, self.special_tokens)
        self.fingerprint = _fingerprint(content + added + of_text, extra_ids)
        if self.eos_id < 0:
            raise InputError(
                f"{path} defines no end-of-sequence piece; train it with eos_id=1"
            )

    def __reduce__(self):
        return _load_once, (self.path, self.extra_ids)

    def encode(self, text: str) -> list[int]:
        """See Tokenizer."""
        return self.encode_batch([text])[0]

    def encode_batch(
        self, texts: Sequence[str], after: TextAfter = "nothing"
    ) -> list[list[int]]:
        """See Tokenizer. Uses one thread: `prepare` has a process for each core already."""
        return _encode_as_text(
            self._encode,
            texts,
            after,
            special=self.special_tokens,
            unknown=self.unknown_id,
        )

    def decode(self, ids: Iterable[int]) -> str:
        """See Tokenizer. Ids beyond the vocabulary become the unknown piece; PAD is skipped.

        Special tokens of added_tokens.json are skipped, too, and its other tokens are their text.
        """
        text_of = {number: text for text, number in self._added.items()}
        texts = []
        text_ids = [id_ for id_ in _before_eos(ids, self.eos_id) if id_ != self.pad_id]
        for is_added, group in itertools.groupby(text_ids, text_of.__contains__):
            run = list(group)
            if is_added:
                spellings = [text_of[id_] for id_ in run]
                texts += [text for text in spellings if text not in self.special_tokens]
            else:
                texts.append(self._decode_pieces(run))
        return "".join(texts)

    def _decode_pieces(self, ids: Sequence[int]) -> str:
        unknown = self._model.unk_id()
        pieces = self._model.get_piece_size()
        return self._model.decode([id_ if id_ < pieces else unknown for id_ in ids])

    def _added_tokens(self) -> dict[str, int]:
        """Returns the tokens of added_tokens.json that the model does not have, {text: id}.

        Raises:
          InputError: the file is damaged.
        """
        added = {}
        for text, id_ in _beside(self.path, "added_tokens.json").items():
            if not isinstance(id_, int) or id_ < 0:
                raise InputError(
                    f"added_tokens.json beside {self.path} gives {text!r} the id {id_!r}; write a "
                    "number from 0"
                )
            if id_ >= self._model.get_piece_size():
                added[text] = id_
        return added

    def _format_pieces(self) -> dict[str, int]:
        """Returns the control pieces, and markup that the user defined or that files add."""
        tokens = {}
        for number, piece in enumerate(self._proto.pieces):
            text = piece.piece.replace("▁", " ").strip()
            is_defined = piece.type == piece.USER_DEFINED and is_markup(text)
            if piece.type == piece.CONTROL or is_defined:
                tokens[text] = number
        marked = {text: id_ for text, id_ in self._added.items() if is_markup(text)}
        return tokens | marked

    def _special_pieces(self) -> dict[str, int]:
        """Returns the control pieces, sentinels, and what files name or add.

        Other pieces that the user defined are tokens of text: SentencePiece takes them whole.
        """
        named = _named_special_tokens(self.path)
        first_added = len(self._proto.pieces) - self.extra_ids
        special = {}
        for text, number in self.format_tokens.items():
            is_named = text in named or number in self.stop_ids
            is_control = number >= first_added or self._model.is_control(number)
            if is_named or is_control:
                special[text] = number
        return special

    def _encode(self, texts: Sequence[str], after: TextAfter) -> list[list[int]]:
        """Returns the ids of texts, in which spellings are special tokens."""
        if after != "text":
            return self._model.encode(list(texts), num_threads=1)
        if not self._proto.normalizer_spec.remove_extra_whitespaces:
            return self._without_space.encode(list(texts), num_threads=1)
        # The model strips a text's first space. The space that it may add stands for it.
        models = {True: self._with_space, False: self._without_space}
        return [models[text[:1].isspace()].encode(text) for text in texts]

    @functools.cached_property
    def _with_space(self) -> sentencepiece.SentencePieceProcessor:
        """The model with a space before each text."""
        return _sentencepiece_model(self._proto, add_dummy_prefix=True)

    @functools.cached_property
    def _without_space(self) -> sentencepiece.SentencePieceProcessor:
        """The model without a space before a text that has none."""
        return _sentencepiece_model(self._proto, add_dummy_prefix=False)


class HuggingFaceTokenizer:
    """A tokenizer.json. See Tokenizer for the attributes.

    EOS and PAD are those that the files beside it name: tokenizer_config.json and
    special_tokens_map.json by their text, or else generation_config.json and config.json by their
    ids.
    """

    def __init__(self, path: str):
        """Loads a tokenizer.json.

        Raises:
          InputError: the file is not a tokenizer.json, its EOS is not known, or a file beside it
            names a token that does not exist.
        """
        self.path, self.extra_ids = path, 0
        content = Path(path).read_bytes()
        try:
            self._model = tokenizers.Tokenizer.from_buffer(content)
        except Exception as error:  # the library raises plain Exception
            raise InputError(
                f"{path} is not a Hugging Face tokenizer.json: {_first_line(error)}"
            ) from error

        # Files often carry the lengths that the model was trained with; here lengths are the run's.
        self._model.no_truncation()
        self._model.no_padding()
        self._content = content
        self._vocabulary = self._model.get_vocab()
        self.vocab_size = max(self._vocabulary.values()) + 1

        eos_id = self._special_id("eos_token", EOS_TOKENS)
        if eos_id is None:
            raise InputError(
                f'{path} has no known eos_token: put {{"eos_token": "..."}} into '
                "tokenizer_config.json beside it"
            )
        self.eos_id = eos_id
        self.bos_id = self._special_id("bos_token", BOS_TOKENS)
        self.leading_id = self._leading_id()
        self.stop_ids = _stop_ids(path, self.eos_id, self.vocab_size)
        # Without PAD (Llama 3) any id will do, as padding is masked; but decode must not skip it
        # then, because it is also a token of real text.
        self._padding = self._special_id("pad_token", PAD_TOKENS)
        self.pad_id = PAD if self._padding is None else self._padding

        self.special_tokens: Mapping[str, int] = self._special_tokens()
        self.format_tokens: Mapping[str, int] = self._format_tokens()
        self.unknown_id = self._unknown_id()
        of_text = _tokens_of_text(self.format_tokens, self.special_tokens)
        self.fingerprint = _fingerprint(content + of_text, self.eos_id)

    def __reduce__(self):
        return _load_once, (self.path, 0)

    def encode(self, text: str) -> list[int]:
        """See Tokenizer."""
        return self.encode_batch([text])[0]

    def encode_batch(
        self, texts: Sequence[str], after: TextAfter = "nothing"
    ) -> list[list[int]]:
        """See Tokenizer."""
        return _encode_as_text(
            self._encode,
            texts,
            after,
            special=self.special_tokens,
            unknown=self.unknown_id,
        )

    def decode(self, ids: Iterable[int]) -> str:
        """See Tokenizer. PAD and ids beyond the vocabulary are skipped."""
        text_ids = [
            id_
            for id_ in _before_eos(ids, self.eos_id)
            if id_ != self._padding and id_ < self.vocab_size
        ]
        return self._model.decode(text_ids, skip_special_tokens=True)

    def _encode(self, texts: Sequence[str], after: TextAfter) -> list[list[int]]:
        """Returns the ids of texts, in which spellings are special tokens."""
        model = self._model_after(after)
        encodings = model.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _model_after(self, after: TextAfter) -> tokenizers.Tokenizer:
        """Returns the model for texts that follow something, see Tokenizer.encode_batch."""
        if after == "text" or (after == "special" and self._adds_space_to_first):
            return self._without_space
        return self._model

    @functools.cached_property
    def _without_space(self) -> tokenizers.Tokenizer:
        """The model without a space before a text that has none."""
        normalizer = _state_of(self._model.normalizer)
        pre_tokenizer = _state_of(self._model.pre_tokenizer)
        plain = _without_added_space(normalizer), _without_added_space(pre_tokenizer)
        if plain == (normalizer, pre_tokenizer):
            return self._model
        content = json.loads(self._content)
        content["normalizer"], content["pre_tokenizer"] = plain
        content["truncation"] = content["padding"] = None
        return tokenizers.Tokenizer.from_str(json.dumps(content))

    @functools.cached_property
    def _adds_space_to_first(self) -> bool:
        """Whether only the first text of a row gets a space, and none after a special token."""
        state = json.dumps(_state_of(self._model.pre_tokenizer))
        return '"prepend_scheme": "first"' in state

    def _special_tokens(self) -> dict[str, int]:
        """Returns the added tokens that tokenizer.json or a file beside it calls special."""
        named = _named_special_tokens(self.path)
        named_ids = {self.bos_id, self._padding, *self.stop_ids}
        return {
            token.content: number
            for number, token in self._model.get_added_tokens_decoder().items()
            if token.special or token.content in named or number in named_ids
        }

    def _format_tokens(self) -> dict[str, int]:
        """Returns the special tokens, and markup that was added."""
        return {
            token.content: number
            for number, token in self._model.get_added_tokens_decoder().items()
            if token.content in self.special_tokens or is_markup(token.content)
        }

    def _unknown_id(self) -> int | None:
        """Returns the id that the model gives to characters that it lacks."""
        model = self._model.model
        if hasattr(model, "unk_token"):
            return self._vocabulary.get(model.unk_token)
        return self._special_id("unk_token", UNKNOWN_TOKENS)  # Unigram does not say

    def _leading_id(self) -> int | None:
        """Returns the id that the post-processor puts before a text.

        Raises:
          InputError: it puts several there.
        """
        plain = self._model.encode("a", add_special_tokens=False).ids
        processed = self._model.encode("a", add_special_tokens=True).ids
        leading = processed[: processed.index(plain[0])] if plain else []
        if len(leading) > 1:
            raise InputError(
                f"{self.path} puts {len(leading)} tokens before a text; a row begins with one. "
                "Write a post_processor that puts one there, or none"
            )
        if _beside(self.path, "tokenizer_config.json").get("add_bos_token") is True:
            leading = leading or [self.bos_id]
        return leading[0] if leading else None

    def _special_id(self, kind: str, usual: tuple[str, ...]) -> int | None:
        """Returns the id of a special token; None if there is none.

        Args:
          kind: "eos_token", "bos_token", "pad_token" or "unk_token".
          usual: texts to look for in the vocabulary if no file beside the tokenizer names one.

        Raises:
          InputError: a file beside the tokenizer names a token that does not exist.
        """
        named = self._id_by_text(kind)
        if named is None:
            named = self._id_by_number(kind)
        if named is not None:
            return named
        return next(
            (self._vocabulary[text] for text in usual if text in self._vocabulary), None
        )

    def _id_by_text(self, kind: str) -> int | None:
        """Returns the id of the special token that a file beside the tokenizer names by text."""
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            token = _beside(self.path, name).get(kind)
            if isinstance(token, dict):
                token = token.get("content")
            if token is None:
                continue
            if not isinstance(token, str) or token not in self._vocabulary:
                raise InputError(
                    f"{name} beside {self.path} names the {kind} {token!r}, which is no token"
                )
            return self._vocabulary[token]
        return None

    def _id_by_number(self, kind: str) -> int | None:
        """Returns the id of the special token that a file beside the tokenizer gives."""
        for name in ("generation_config.json", "config.json"):
            token_id = _beside(self.path, name).get(f"{kind}_id")
            if isinstance(token_id, list) and token_id:
                token_id = token_id[0]
            if token_id is None:
                continue
            if not isinstance(token_id, int) or not 0 <= token_id < self.vocab_size:
                raise InputError(
                    f"{name} beside {self.path} gives {kind}_id = {token_id!r}, which is no token's"
                )
            return token_id
        return None


def load_tokenizer(path: str | Path, extra_ids: int = 0) -> Tokenizer:
    """Returns the tokenizer in a file.

    >>> load_tokenizer("practice").encode("Is it raining?")
    [66, 131, ...]

    Args:
      path: a *.model file (SentencePiece), a tokenizer.json, a folder holding one, or "practice".
      extra_ids: sentinels to add to a SentencePiece model (T5's has 100); 0 for as many as the
        tokenizer_config.json beside it says, if there is one.

    Raises:
      InputError: there is no such tokenizer, or it cannot take sentinels.
    """
    file = tokenizer_file(path)
    if Path(path).expanduser().is_dir():
        _check_one_vocabulary(file.parent)
    if file.suffix == ".model":
        extra_ids = extra_ids or _extra_ids_beside(file)
        return SentencePieceTokenizer(str(file), extra_ids)
    if extra_ids:
        raise InputError(
            f"extra_ids={extra_ids} is for SentencePiece models; {file} lists all its tokens itself"
        )
    return HuggingFaceTokenizer(str(file))


def _extra_ids_beside(file: Path) -> int:
    """Returns the number of sentinels that tokenizer_config.json beside a model says."""
    extra_ids = _beside(str(file), "tokenizer_config.json").get("extra_ids", 0)
    is_count = isinstance(extra_ids, int) and not isinstance(extra_ids, bool)
    if not is_count or not 0 <= extra_ids <= MOST_EXTRA_IDS:
        raise InputError(
            f"tokenizer_config.json beside {file} sets extra_ids = {extra_ids!r}; it must be a "
            f"whole number from 0 to {MOST_EXTRA_IDS:,}. T5 has 100"
        )
    return extra_ids


def _check_one_vocabulary(folder: Path) -> None:
    """Raises InputError if a folder's SentencePiece model and tokenizer.json give other ids."""
    models = sorted(folder.glob("*.model"))
    if not models or not (folder / "tokenizer.json").is_file():
        return
    try:
        proto = _sentencepiece_proto(models[0].read_bytes(), 0)
        pieces = _sentencepiece_model(proto)
    except Exception as error:  # as in SentencePieceTokenizer
        raise InputError(
            f"{models[0]} is not a SentencePiece model: {_first_line(error)}. Delete it if "
            "tokenizer.json is the model's tokenizer"
        ) from error

    vocabulary = HuggingFaceTokenizer(str(folder / "tokenizer.json"))._vocabulary
    for id_ in range(pieces.get_piece_size()):
        is_special = pieces.is_control(id_) or pieces.is_unknown(id_)
        if is_special or pieces.is_unused(id_) or pieces.is_byte(id_):
            continue
        piece = pieces.id_to_piece(id_)
        other_id = vocabulary.get(piece)
        if other_id != id_:
            there = "no token" if other_id is None else f"token {other_id}"
            raise InputError(
                f"{folder} holds two tokenizers that disagree: {piece!r} is token {id_} of "
                f"{models[0].name} and {there} of tokenizer.json. Delete the one that is not the "
                "model's, or name the right one with TOKENIZER"
            )


def tokenizer_file(path: str | Path) -> Path:
    """Returns the file of a tokenizer.

    Args:
      path: what `load_tokenizer` takes.

    Raises:
      InputError: there is no such file, or it is of no known kind.
    """
    file = PRACTICE_MODEL if path == "practice" else Path(path).expanduser().absolute()
    if not file.exists():
        raise InputError(
            f"there is no tokenizer {file}: name a SentencePiece *.model file or a tokenizer.json"
        )
    if file.is_dir():
        candidates = [*file.glob("tokenizer.json"), *sorted(file.glob("*.model"))]
        if not candidates:
            raise InputError(
                f"the folder {file} holds neither a tokenizer.json nor a *.model file"
            )
        return candidates[0]
    if file.suffix not in (".model", ".json"):
        raise InputError(
            f"{file} is neither a SentencePiece *.model file nor a tokenizer.json"
        )
    return file


def train_tokenizer(
    texts: Iterable[str], output: str | Path, vocab_size: int = 2048
) -> None:
    """Trains a SentencePiece unigram model and writes it to a file.

    It has T5's special ids (PAD 0, EOS 1, UNK 2) and byte fallback.

    Args:
      texts: the texts to train on.
      output: the *.model file to write.
      vocab_size: the number of pieces; there are fewer if the texts give no more.

    Raises:
      InputError: there is no text, or the vocabulary is too small for its characters.
    """
    model_file = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model_file,
            model_type="unigram",
            vocab_size=vocab_size,
            byte_fallback=True,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            hard_vocab_limit=False,
            num_threads=1,  # the same texts give the same file on every machine
            minloglevel=2,
        )
    except (RuntimeError, StopIteration) as error:
        raise InputError(
            f"cannot train a vocabulary of {vocab_size} on these texts: {_first_line(error)}"
        ) from error
    Path(output).write_bytes(model_file.getvalue())


@functools.lru_cache(maxsize=4)
def _load_once(path: str, extra_ids: int) -> Tokenizer:
    """Loads a tokenizer in a worker process, which receives it pickled with every task."""
    return load_tokenizer(path, extra_ids)


def _sentencepiece_proto(content: bytes, extra_ids: int) -> object:
    """Returns the model with `extra_ids` sentinels added; raises any Exception if it is none."""
    proto: Any = sentencepiece_model_pb2  # its classes are made at run time
    model = proto.ModelProto.FromString(content)
    for number in reversed(range(extra_ids)):
        model.pieces.add(
            piece=f"▁<extra_id_{number}>",
            score=0.0,
            type=model.SentencePiece.USER_DEFINED,
        )
    if not model.pieces:
        raise ValueError("it has no pieces")
    return model


def _sentencepiece_model(
    proto: object, *, add_dummy_prefix: bool | None = None
) -> sentencepiece.SentencePieceProcessor:
    """Returns the processor of a model.

    Args:
      proto: the model.
      add_dummy_prefix: whether a text gets a space before it; None for what the model says.
    """
    model: Any = copy.deepcopy(proto)
    if add_dummy_prefix is not None:
        model.normalizer_spec.add_dummy_prefix = add_dummy_prefix
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def _state_of(component: object) -> JsonObject | None:
    """Returns a normalizer or pre-tokenizer as the JSON of tokenizer.json; None if it is none."""
    if component is None:
        return None
    pickled: Any = component
    return json.loads(pickled.__getstate__())


def _without_added_space(state: JsonObject | None) -> JsonObject | None:
    """Returns a normalizer or pre-tokenizer, as JSON, that adds no space before a text."""
    if state is None:
        return None
    state = dict(state)
    kind = state.get("type")
    if kind == "Prepend":
        return None
    if kind == "Metaspace":
        state["prepend_scheme"] = "never"
    if kind == "ByteLevel":
        state["add_prefix_space"] = False
    for name in ("normalizers", "pretokenizers"):
        if name in state:
            members = [_without_added_space(member) for member in state[name]]
            state[name] = [member for member in members if member is not None]
    return state


def _before_eos(ids: Iterable[int], eos: int) -> list[int]:
    """Returns the ids up to the first EOS."""
    return [int(id_) for id_ in itertools.takewhile(lambda id_: id_ != eos, ids)]


def _beside(path: str, name: str) -> dict[str, Any]:
    """Returns the JSON object in the file of this name beside a tokenizer; {} if there is none."""
    file = Path(path).with_name(name)
    return read_json_object(file) if file.exists() else {}


def _named_special_tokens(path: str) -> set[str]:
    """Returns the spellings of the tokens that the files beside a tokenizer call special."""
    named: list[object] = []
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        content = _beside(path, name)
        named += [token for key, token in content.items() if key.endswith("_token")]
        for key in ("additional_special_tokens", "extra_special_tokens"):
            named += _members(content.get(key))
        named += [
            token
            for token in _members(content.get("added_tokens_decoder"))
            if isinstance(token, dict) and token.get("special")
        ]
    spellings = [
        token.get("content") if isinstance(token, dict) else token for token in named
    ]
    return {spelling for spelling in spellings if isinstance(spelling, str)}


def _members(collection: object) -> list[object]:
    """Returns the values of a JSON object or array; none of anything else."""
    if isinstance(collection, dict):
        return list(collection.values())
    return list(collection) if isinstance(collection, list) else []


def _tokens_of_text(
    format_tokens: Mapping[str, int], special_tokens: Mapping[str, int]
) -> bytes:
    """Returns, for the fingerprint, the tokens that a row format can name and text becomes."""
    of_text = sorted(set(format_tokens) - set(special_tokens))
    return json.dumps(of_text).encode() if of_text else b""


def is_markup(spelling: str) -> bool:
    """Returns whether the spelling of an added token is markup, and not whitespace or a word.

    >>> is_markup("<think>"), is_markup("\n\n"), is_markup("covid")
    (True, False, False)

    Args:
      spelling: the token's text.
    """
    is_text = all(letter.isalnum() or letter.isspace() for letter in spelling)
    return len(spelling) > 1 and not is_text


def _encode_as_text(
    encode: EncodeBatch,
    texts: Sequence[str],
    after: TextAfter,
    *,
    special: Mapping[str, int],
    unknown: int | None,
) -> list[list[int]]:
    """Returns the tokens of texts, in which the spelling of a special token is text.

    A text whose tokens have a special one is split within its spelling, and so are its parts.

    Args:
      encode: tokenizes texts, and takes spellings for special tokens.
      texts: the texts.
      after: what the texts follow.
      special: ids of special tokens by spelling.
      unknown: the id that also stands for characters without a token.
    """
    special_ids = set(special.values())
    tokens = encode(texts, after)
    for number, (text, ids) in enumerate(zip(texts, tokens, strict=True)):
        if special_ids.isdisjoint(ids) or len(text) < 2:
            continue
        spellings = [
            spelling
            for spelling, id_ in special.items()
            if id_ in ids and (id_ != unknown or spelling in text)
        ]
        if not spellings:
            continue
        split = _split_place(text, spellings)
        parts: tuple[tuple[str, TextAfter], ...]
        parts = ((text[:split], after), (text[split:], "text"))
        tokens[number] = []
        for part, part_after in parts:
            (part_ids,) = _encode_as_text(
                encode, [part], part_after, special=special, unknown=unknown
            )
            tokens[number] += part_ids
    return tokens


def _split_place(text: str, spellings: Iterable[str]) -> int:
    """Returns the place before the last letter of the first spelling in a text.

    If there is none (the tokenizer may change letters before it looks), it is the middle.
    """
    ends = [
        text.index(spelling) + len(spelling)
        for spelling in spellings
        if spelling in text
    ]
    return min(ends) - 1 if ends else len(text) // 2


def _stop_ids(path: str, eos_id: int, vocab_size: int) -> tuple[int, ...]:
    """Returns EOS and the further ids of generation_config.json that end a text."""
    named = _beside(path, "generation_config.json").get("eos_token_id")
    ids = named if isinstance(named, list) else [named]
    known = [id_ for id_ in ids if isinstance(id_, int) and 0 <= id_ < vocab_size]
    return tuple(dict.fromkeys((eos_id, *known)))


def _fingerprint(content: bytes, number: int) -> str:
    return hashlib.sha256(content + f"\0{number}".encode()).hexdigest()[:32]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
