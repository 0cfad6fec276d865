"""Token stores: the tokenized examples of one task and split, on disk and memory-mapped.

A store is a folder with an Arrow file and a meta.json. It holds segments as the row format writes
them, with their ends, and untruncated, because lengths are a setting of the run and not of the
data. A store appears by one atomic rename and never changes afterwards.
"""

import dataclasses
import functools
import itertools
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, atomic_folder, write_json

STORE_VERSION = 6
"""Part of every fingerprint. Raise it when templates, rendering or this layout give other tokens
for the same task."""
TOKENS, META = "tokens.arrow", "meta.json"

Kind = Literal["train", "eval"]


class TokenSegment(NamedTuple):
    """A piece of an example: tokens, and whether the model is trained to write them.

    Attributes:
      tokens: int [tokens], with those that end the segment (EOS, or what the row format says).
      has_loss: whether the tokens have loss.
    """

    tokens: np.ndarray
    has_loss: bool


class Ragged(NamedTuple):
    """Rows of different lengths in one array: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """int64 [rows], in tokens."""
        return np.diff(self.offsets)

    def row(self, index: int) -> np.ndarray:
        """Returns one row, a view."""
        start = self.offsets[index]
        stop = self.offsets[index + 1]
        return self.values[start:stop]


@dataclasses.dataclass(frozen=True)
class Segments:
    """The segments of all examples of a store, in flat arrays.

    Example i has the segments `starts[i]` to `starts[i + 1] - 1`.

    Attributes:
      tokens: the tokens of every segment.
      has_loss: bool [segments].
      starts: int32 [examples + 1].
    """

    tokens: Ragged
    has_loss: np.ndarray
    starts: np.ndarray

    def example(self, index: int) -> list[TokenSegment]:
        """Returns the segments of one example; their tokens are views."""
        starts, offsets, has_loss = self._numbers
        values = self.tokens.values
        segments = []
        for number in range(starts[index], starts[index + 1]):
            tokens = values[offsets[number] : offsets[number + 1]]
            segments.append(TokenSegment(tokens, bool(has_loss[number])))
        return segments

    @functools.cached_property
    def _numbers(self) -> tuple[memoryview, memoryview, memoryview]:
        """Starts, offsets and has_loss in a form that gives single numbers faster than numpy."""
        return self.starts.data, self.tokens.offsets.data, self.has_loss.data


class TokenStore:
    """The tokens of one task and split, read-only and memory-mapped.

    A `train` store has one row for each rendered example: its segments. An `eval` store has one row
    for each example and evaluation template: the prompt, the options and the references. Rows are
    in the order of the source, then of the templates.

    Attributes:
      folder: where the store is.
      meta: the content of meta.json.
    """

    def __init__(self, folder: Path, meta: JsonObject, rows: pa.RecordBatch):
        self.folder = folder
        self.meta = meta
        self._rows = rows

    @classmethod
    def open(cls, folder: Path) -> "TokenStore":
        """Maps a store into memory after checking its size and checksum.

        Args:
          folder: the store's folder.

        Raises:
          InputError: there is no store, or it is damaged; names the folder.
        """
        meta = _read_meta(folder)
        file = folder / TOKENS
        if not file.is_file():
            raise _damaged(folder, f"{TOKENS} is missing")
        size = file.stat().st_size
        if size != meta["size"]:
            raise _damaged(folder, f"{TOKENS} has {size} bytes, not {meta['size']}")
        if _crc32(file) != meta["crc32"]:
            raise _damaged(folder, f"the checksum of {TOKENS} is wrong")
        mapped_file = pa.memory_map(str(file))
        rows = pa.ipc.open_file(mapped_file).get_batch(0)
        return cls(folder, meta, rows)

    def __len__(self) -> int:
        return self._rows.num_rows

    def __repr__(self) -> str:
        return f"TokenStore({str(self.folder)!r}, rows={len(self)})"

    @functools.cached_property
    def examples(self) -> np.ndarray:
        """int32 [rows]: the number of the source's row that each row was made of, from 0."""
        return self._rows.column("example").to_numpy()

    @functools.cached_property
    def templates(self) -> np.ndarray:
        """int16 [rows]: the index among the task's templates."""
        return self._rows.column("template").to_numpy()

    @functools.cached_property
    def segments(self) -> Segments:
        """The segments of each example, with their ends and untruncated. Train stores only.

        The token arrays are views of the file.
        """
        column: Any = self._rows.column("segments")
        segments = column.values
        has_loss = segments.field("has_loss")
        return Segments(
            tokens=_ragged(segments.field("tokens")),
            has_loss=has_loss.to_numpy(zero_copy_only=False),
            starts=column.offsets.to_numpy(zero_copy_only=True),
        )

    @functools.cached_property
    def inputs(self) -> Ragged:
        """The tokens of each prompt, with its end and untruncated. Eval stores only.

        The arrays are views of the file.
        """
        return _ragged(self._rows.column("inputs"))

    @functools.cached_property
    def targets(self) -> Ragged:
        """The tokens of each target, as `inputs`. Eval stores only."""
        return _ragged(self._rows.column("targets"))

    @functools.cached_property
    def correct_option(self) -> np.ndarray:
        """int16 [rows]: the index of a correct option; -1 in a generation task. Eval stores only.

        It is the first of `correct_options`.
        """
        return self._rows.column("correct_option").to_numpy()

    def correct_options(self, row: int) -> list[int]:
        """Returns the indices of all correct options; [] in a generation task. Eval stores only."""
        return self._rows.column("correct_options")[row].as_py()

    def options(self, row: int) -> list[np.ndarray]:
        """Returns the tokens of each option, with its end; [] in a generation task.

        Eval stores only.
        """
        starts, options = self._options
        numbers = range(starts[row], starts[row + 1])
        return [options.row(number) for number in numbers]

    def references(self, row: int) -> list[str]:
        """Returns the texts of all correct answers, at least one. Eval stores only."""
        return self._rows.column("references")[row].as_py()

    def group(self, row: int) -> str | None:
        """Returns the name of the row's group; None without groups. Eval stores only."""
        return self._rows.column("group")[row].as_py()

    def group_rows(self, row: int) -> int | None:
        """Returns the size of the row's group in the split, as EvalRow has it. Eval stores only."""
        return self._rows.column("group_rows")[row].as_py()

    def inputs_text(self, row: int) -> str:
        """Returns the rendered prompt. Eval stores only."""
        return self._rows.column("inputs_text")[row].as_py()

    @functools.cached_property
    def _options(self) -> tuple[np.ndarray, Ragged]:
        column: Any = self._rows.column("options")
        return column.offsets.to_numpy(), _ragged(column.values)


def cut(tokens: np.ndarray, length: int, tail: Sequence[int]) -> np.ndarray:
    """Cuts a segment to a length so that its tail stays, like seqio's append_eos_after_trim.

    >>> cut(np.array([5, 6, 7, 8, 1]), 3, tail=[1])
    array([5, 6, 1])

    Args:
      tokens: int [tokens], with their tail.
      length: how many tokens may be left, at least those of the tail.
      tail: the tokens that end the segment.

    Returns:
      [at most length], of the same dtype.
    """
    if len(tokens) <= length:
        return tokens
    kept = tokens[: length - len(tail)]
    return np.concatenate([kept, np.array(tail, tokens.dtype)])


def schema(kind: Kind, vocab_size: int) -> pa.Schema:
    """Returns the columns of a store.

    Args:
      kind: "train" or "eval".
      vocab_size: tokens are uint16 where it allows that, else uint32.
    """
    token = pa.uint16() if vocab_size <= 2**16 else pa.uint32()
    tokens = pa.large_list(token)
    source = [("example", pa.int32()), ("template", pa.int16())]
    if kind == "train":
        segment = pa.struct([("tokens", tokens), ("has_loss", pa.bool_())])
        return pa.schema([("segments", pa.list_(segment)), *source])
    return pa.schema(
        [
            ("inputs", tokens),
            ("targets", tokens),
            *source,
            ("options", pa.large_list(tokens)),
            ("correct_option", pa.int16()),
            ("correct_options", pa.large_list(pa.int16())),
            ("references", pa.large_list(pa.large_string())),
            ("inputs_text", pa.large_string()),
            ("group", pa.large_string()),
            ("group_rows", pa.int32()),
        ]
    )


def token_column(rows: Sequence[Sequence[int]], vocab_size: int) -> pa.LargeListArray:
    """Makes a column of lists of token ids.

    Args:
      rows: the token ids of each row.
      vocab_size: the size of the tokenizer's vocabulary.

    Raises:
      InputError: an id is outside of the vocabulary.
    """
    offsets = _offsets(rows)
    all_tokens = itertools.chain.from_iterable(rows)
    values = np.fromiter(all_tokens, np.int64, count=offsets[-1])
    if len(values):
        smallest = values.min()
        largest = values.max()
        if smallest < 0 or largest >= vocab_size:
            raise InputError(
                f"the tokenizer gave the token ids {smallest} to {largest}, but its "
                f"vocabulary has {vocab_size}: its file is damaged, or extra_ids is too small"
            )
    dtype = np.uint16 if vocab_size <= 2**16 else np.uint32
    members = pa.array(values.astype(dtype))
    return pa.LargeListArray.from_arrays(pa.array(offsets), members)


def segment_column(
    groups: Sequence[Sequence[object]],
    tokens: pa.LargeListArray,
    has_loss: Sequence[bool],
) -> pa.ListArray:
    """Makes the column of segments.

    Args:
      groups: for each example a sequence with as many members as it has segments.
      tokens: the tokens of every segment of every example.
      has_loss: whether it has loss, for every segment.
    """
    fields = [tokens, pa.array(has_loss, pa.bool_())]
    segments = pa.StructArray.from_arrays(fields, names=["tokens", "has_loss"])
    starts = _offsets(groups).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), segments)


def nested_column(
    groups: Sequence[Sequence[object]], members: pa.Array
) -> pa.LargeListArray:
    """Makes a column of lists from the members of all lists, one after the other.

    Args:
      groups: for each list a sequence of its length.
      members: the members of all lists.
    """
    offsets = pa.array(_offsets(groups))
    return pa.LargeListArray.from_arrays(offsets, members)


def _offsets(rows: Sequence[Sequence[object]]) -> np.ndarray:
    """int64 [rows + 1]: where each row starts if all are in one array."""
    lengths = [len(row) for row in rows]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def write_store(
    folder: Path,
    batches: Iterable[pa.RecordBatch],
    *,
    schema: pa.Schema,
    meta: JsonObject,
) -> None:
    """Writes a store so that its folder appears complete or not at all.

    If another process has written the same store meanwhile, that one stays.

    Args:
      folder: the store's folder.
      batches: its rows.
      schema: its columns.
      meta: what meta.json says beside version, rows, size and checksum.

    Raises:
      OSError: it cannot be written (disk full, no permission). Nothing is left then.
    """
    table = pa.Table.from_batches(list(batches), schema).combine_chunks()
    combined = table.to_batches()
    rows = combined[0] if combined else pa.RecordBatch.from_pylist([], schema)
    try:
        with atomic_folder(folder) as temporary:
            file = temporary / TOKENS
            with file.open("wb") as stream, pa.ipc.new_file(stream, schema) as writer:
                writer.write_batch(rows)
            layout = {
                "version": STORE_VERSION,
                "rows": rows.num_rows,
                "size": file.stat().st_size,
                "crc32": _crc32(file),
            }
            write_json(temporary / META, {**meta, **layout})
    except OSError as error:
        if isinstance(error, FileExistsError) and (folder / META).is_file():
            return  # another process was faster; the two stores are the same
        reason = error.strerror or error
        message = f"cannot write the token store: {reason}"
        raise OSError(error.errno, message, str(folder)) from error


def _crc32(file: Path) -> int:
    checksum = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _read_meta(folder: Path) -> JsonObject:
    if not folder.is_dir():
        raise InputError(f"there is no token store {folder}; prepare it first")
    try:
        text = (folder / META).read_text(encoding="utf-8")
        meta = json.loads(text)
    except (FileNotFoundError, ValueError):
        raise _damaged(folder, f"{META} is missing or not JSON") from None
    if not isinstance(meta, dict) or not {"version", "size", "crc32"} <= meta.keys():
        raise _damaged(folder, f"{META} is incomplete")
    if meta["version"] != STORE_VERSION:
        raise _damaged(
            folder, f"it is of version {meta['version']}, not {STORE_VERSION}"
        )
    return meta


def _damaged(folder: Path, reason: str) -> InputError:
    return InputError(
        f"the token store {folder} is damaged ({reason}): delete it; the same command prepares it "
        "again"
    )


def _ragged(column: pa.LargeListArray) -> Ragged:
    """Returns views of a column of lists."""
    return Ragged(
        values=column.values.to_numpy(zero_copy_only=True),
        offsets=column.offsets.to_numpy(zero_copy_only=True),
    )
