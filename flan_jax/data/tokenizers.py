"""Tokenizers behind one small face: SentencePiece models (T5, mT5, Llama 2, Gemma) and Hugging Face's tokenizer.json."""

import functools
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2

from flan_jax.batch import PAD
from flan_jax.errors import InputError
from flan_jax.json_files import read_json_object

PRACTICE_MODEL = Path(__file__).with_name("practice.model")
"""The tokenizer of the practice corpus; its name as a tokenizer's path is "practice"."""

EOS_TOKENS = ("</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "[SEP]")
PAD_TOKENS = ("<pad>", "<|pad|>", "[PAD]", "<|endoftext|>")
"""Where no file beside a tokenizer.json names them, the first of these in its vocabulary is taken."""


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back. Ids are below `vocab_size`; `fingerprint` changes with any id that it would give."""

    path: str
    extra_ids: int
    vocab_size: int
    pad_id: int
    eos_id: int
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without EOS."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to the first EOS."""
        ...


class SentencePieceTokenizer:
    """A SentencePiece model. The last `extra_ids` ids are T5's sentinels, <extra_id_0> the highest."""

    def __init__(self, path: str, extra_ids: int = 0):
        self.path, self.extra_ids = path, extra_ids
        content = Path(path).read_bytes()
        try:
            model = sentencepiece_model_pb2.ModelProto.FromString(content)  # pyright: ignore[reportAttributeAccessIssue]
            for i in reversed(range(extra_ids)):
                model.pieces.add(
                    piece=f"▁<extra_id_{i}>", score=0.0, type=model.SentencePiece.USER_DEFINED
                )
            if not model.pieces:
                raise InputError(f"{path} is not a SentencePiece model: it has no pieces")
            self._model = sentencepiece.SentencePieceProcessor(
                model_proto=model.SerializeToString()
            )
        except InputError:
            raise
        except Exception as error:  # protobuf and sentencepiece raise different kinds
            raise InputError(
                f"{path} is not a SentencePiece model: {_first_line(error)}"
            ) from error
        self.vocab_size = self._model.get_piece_size()
        self.eos_id = self._model.eos_id()
        # A model without PAD (Llama's) can take any id: padding is masked by its segment id.
        self.pad_id = max(self._model.pad_id(), PAD)
        self.fingerprint = _fingerprint(content, extra_ids)
        if self.eos_id < 0:
            raise InputError(f"{path} defines no end-of-sequence piece; train it with eos_id=1")

    def __reduce__(self):
        return _load_once, (self.path, self.extra_ids)

    def encode(self, text: str) -> list[int]:
        return self._model.encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return self._model.encode(
            list(texts), num_threads=1
        )  # prepare has a process for each core already

    def decode(self, ids: Iterable[int]) -> str:
        kept = _before_eos(ids, self.eos_id)
        unknown = self._model.unk_id()
        return self._model.decode(
            [i if i < self.vocab_size else unknown for i in kept if i != self.pad_id]
        )


class HuggingFaceTokenizer:
    """A tokenizer.json. EOS and PAD are those that the files beside it name: tokenizer_config.json and
    special_tokens_map.json by their text, or else generation_config.json and config.json by their ids.
    """

    def __init__(self, path: str):
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
        self._vocabulary = self._model.get_vocab()
        self.vocab_size = max(self._vocabulary.values()) + 1
        eos, pad = self._special("eos_token", EOS_TOKENS), self._special("pad_token", PAD_TOKENS)
        if eos is None:
            raise InputError(
                f'{path} has no known eos_token: put {{"eos_token": "..."}} into tokenizer_config.json beside it'
            )
        self.eos_id = eos
        # Without PAD (Llama 3) any id will do, as padding is masked; but this one is also a token of real text.
        self.pad_id, self._padding = (PAD, None) if pad is None else (pad, pad)
        self.fingerprint = _fingerprint(content, self.eos_id)

    def __reduce__(self):
        return _load_once, (self.path, 0)

    def encode(self, text: str) -> list[int]:
        return self._model.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [
            encoding.ids
            for encoding in self._model.encode_batch_fast(list(texts), add_special_tokens=False)
        ]

    def decode(self, ids: Iterable[int]) -> str:
        kept = [
            i for i in _before_eos(ids, self.eos_id) if i != self._padding and i < self.vocab_size
        ]
        return self._model.decode(kept, skip_special_tokens=True)

    def _special(self, kind: str, usual: tuple[str, ...]) -> int | None:
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            named = _beside(self.path, name).get(kind)
            token = named.get("content") if isinstance(named, dict) else named
            if token is not None:
                if not isinstance(token, str) or token not in self._vocabulary:
                    raise InputError(
                        f"{name} beside {self.path} names the {kind} {token!r}, which is no token"
                    )
                return self._vocabulary[token]
        for name in ("generation_config.json", "config.json"):
            number = _beside(self.path, name).get(f"{kind}_id")
            number = number[0] if isinstance(number, list) and number else number
            if number is not None:
                if not isinstance(number, int) or not 0 <= number < self.vocab_size:
                    raise InputError(
                        f"{name} beside {self.path} gives {kind}_id = {number!r}, which is no token's"
                    )
                return number
        return next((self._vocabulary[token] for token in usual if token in self._vocabulary), None)


def load_tokenizer(path: str | Path, extra_ids: int = 0) -> Tokenizer:
    """The tokenizer in a file: `*.model` (SentencePiece), tokenizer.json, a folder holding one, or "practice".

    `extra_ids` sentinels are added to a SentencePiece model (T5's has 100); 0 is as many as the tokenizer_config.json
    beside it says, if there is one. Raises InputError for anything else.

    >>> load_tokenizer("practice").encode("Is it raining?")
    [66, 131, ...]
    """
    file = tokenizer_file(path)
    if file.suffix == ".model":
        extra_ids = extra_ids or _beside(str(file), "tokenizer_config.json").get("extra_ids", 0)
        return SentencePieceTokenizer(str(file), extra_ids)
    if extra_ids:
        raise InputError(
            f"extra_ids={extra_ids} is for SentencePiece models; {file} lists all its tokens itself"
        )
    return HuggingFaceTokenizer(str(file))


def tokenizer_file(path: str | Path) -> Path:
    """The file that `path` means. Raises InputError when there is none, or none of a known kind."""
    file = PRACTICE_MODEL if path == "practice" else Path(path).expanduser().absolute()
    if not file.exists():
        raise InputError(
            f"there is no tokenizer {file}: name a SentencePiece *.model file or a tokenizer.json"
        )
    if file.is_dir():
        found = [*file.glob("tokenizer.json"), *sorted(file.glob("*.model"))]
        if not found:
            raise InputError(f"the folder {file} holds neither a tokenizer.json nor a *.model file")
        return found[0]
    if file.suffix not in (".model", ".json"):
        raise InputError(f"{file} is neither a SentencePiece *.model file nor a tokenizer.json")
    return file


def train_tokenizer(texts: Iterable[str], output: str | Path, vocab_size: int = 2048) -> None:
    """Trains a SentencePiece unigram model with T5's special ids (PAD 0, EOS 1, UNK 2) and byte fallback.

    It has `vocab_size` pieces, or fewer where the texts give no more. Raises InputError when there is no text.
    """
    trained = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=trained,
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
    Path(output).write_bytes(trained.getvalue())


@functools.lru_cache(maxsize=4)
def _load_once(path: str, extra_ids: int) -> Tokenizer:
    """For worker processes, to which a tokenizer travels with every task."""
    return load_tokenizer(path, extra_ids)


def _before_eos(ids: Iterable[int], eos: int) -> list[int]:
    kept = [int(i) for i in ids]
    return kept[: kept.index(eos)] if eos in kept else kept


def _beside(path: str, name: str) -> dict[str, Any]:
    """The JSON object in the file of that name beside a tokenizer; empty where there is none."""
    file = Path(path).with_name(name)
    return read_json_object(file) if file.exists() else {}


def _fingerprint(content: bytes, number: int) -> str:
    return hashlib.sha256(content + f"\0{number}".encode()).hexdigest()[:32]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
