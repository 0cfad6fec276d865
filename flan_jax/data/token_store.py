"""Token stores: one folder for each task and split, an Arrow file that is memory-mapped and a meta.json beside it.

Tokens are stored without EOS and untruncated: lengths are a matter of the run, not of the data. A store appears by one
atomic rename and never changes afterwards. A writer that is killed leaves only a `.tmp-*` folder behind.
"""

import functools
import itertools
import json
import os
import re
import shutil
import socket
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from flan_jax.errors import InputError

STORE_VERSION = 2
"""Part of every fingerprint. Raise it when templates, rendering or this layout give other tokens for the same task."""
TOKENS, META = "tokens.arrow", "meta.json"

Kind = Literal["train", "eval"]


class Ragged(NamedTuple):
    """Rows of different lengths in one array: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """int64[rows], in tokens."""
        return np.diff(self.offsets)

    def row(self, index: int) -> np.ndarray:
        return self.values[self.offsets[index] : self.offsets[index + 1]]


class TokenStore:
    """The tokens of one task and split, read-only and memory-mapped. `meta` is what meta.json says.

    A `train` store has one row for each rendered example; an `eval` store one for each example and evaluation template,
    with the options and references too. Rows are in the order of the source, then of the templates.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any], rows: pa.RecordBatch):
        self.folder, self.meta, self._rows = folder, meta, rows

    @classmethod
    def open(cls, folder: Path) -> "TokenStore":
        """Maps a store after checking its size and checksum. InputError names the folder when it is damaged."""
        meta = _read_meta(folder)
        file = folder / TOKENS
        if not file.is_file():
            raise _damaged(folder, f"{TOKENS} is missing")
        if file.stat().st_size != meta["size"]:
            raise _damaged(folder, f"{TOKENS} has {file.stat().st_size} bytes, not {meta['size']}")
        if _crc32(file) != meta["crc32"]:
            raise _damaged(folder, f"the checksum of {TOKENS} is wrong")
        return cls(folder, meta, pa.ipc.open_file(pa.memory_map(str(file))).get_batch(0))

    def __len__(self) -> int:
        return self._rows.num_rows

    def __repr__(self) -> str:
        return f"TokenStore({str(self.folder)!r}, rows={len(self)})"

    @functools.cached_property
    def inputs(self) -> Ragged:
        """Input tokens, without EOS and untruncated; the arrays are views of the file."""
        return _ragged(self._rows.column("inputs"))

    @functools.cached_property
    def targets(self) -> Ragged:
        """Target tokens, likewise."""
        return _ragged(self._rows.column("targets"))

    @functools.cached_property
    def input_lengths(self) -> np.ndarray:
        """int64[rows], tokens without EOS."""
        return self.inputs.lengths

    @functools.cached_property
    def target_lengths(self) -> np.ndarray:
        """int64[rows], tokens without EOS."""
        return self.targets.lengths

    @functools.cached_property
    def examples(self) -> np.ndarray:
        """int32[rows]: the number of the row in the source that each row was made of, from 0."""
        return self._rows.column("example").to_numpy()

    @functools.cached_property
    def templates(self) -> np.ndarray:
        """int16[rows]: the index among the task's templates."""
        return self._rows.column("template").to_numpy()

    @functools.cached_property
    def answers(self) -> np.ndarray:
        """int16[rows], eval stores only: the index of the right option; -1 for a generation task."""
        return self._rows.column("answer").to_numpy()

    def right(self, row: int) -> list[int]:
        """The indices of all options that are right, `answers` first; [] for a generation task. Eval stores only."""
        return self._rows.column("right")[row].as_py()

    def options(self, row: int) -> list[np.ndarray]:
        """The target tokens of each option of a row, without EOS; [] for a generation task. Eval stores only."""
        outer, inner = self._options
        return [inner.row(i) for i in range(outer[row], outer[row + 1])]

    def references(self, row: int) -> list[str]:
        """The right answers of a row as text, at least one. Eval stores only."""
        return self._rows.column("references")[row].as_py()

    def inputs_text(self, row: int) -> str:
        """The rendered input. Eval stores only."""
        return self._rows.column("inputs_text")[row].as_py()

    @functools.cached_property
    def _options(self) -> tuple[np.ndarray, Ragged]:
        column: Any = self._rows.column("options")
        return column.offsets.to_numpy(), _ragged(column.values)


def trim_and_append_eos(tokens: np.ndarray, length: int, eos: int) -> np.ndarray:
    """int32 tokens as a model sees them: cut to `length` with EOS as the last, like seqio's append_eos_after_trim.

    >>> trim_and_append_eos(np.array([5, 6, 7]), 3, eos=1)
    array([5, 6, 1], dtype=int32)
    """
    return np.append(tokens[: length - 1].astype(np.int32), np.int32(eos))


def schema(kind: Kind, vocab_size: int) -> pa.Schema:
    """The columns of a store. Tokens are uint16 where the vocabulary allows it, uint32 otherwise."""
    tokens = pa.large_list(pa.uint16() if vocab_size <= 2**16 else pa.uint32())
    columns = [
        ("inputs", tokens),
        ("targets", tokens),
        ("example", pa.int32()),
        ("template", pa.int16()),
    ]
    if kind == "eval":
        columns += [
            ("options", pa.large_list(tokens)),
            ("answer", pa.int16()),
            ("right", pa.large_list(pa.int16())),
            ("references", pa.large_list(pa.large_string())),
            ("inputs_text", pa.large_string()),
        ]
    return pa.schema(columns)


def token_column(rows: Sequence[Sequence[int]], vocab_size: int) -> pa.Array:
    """Lists of token ids as a large_list column. Raises InputError for an id outside the vocabulary."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(
        np.int64
    )
    values = np.fromiter(itertools.chain.from_iterable(rows), np.int64, count=offsets[-1])
    if len(values) and not 0 <= values.min() <= values.max() < vocab_size:
        raise InputError(
            f"the tokenizer gave the token ids {values.min()} to {values.max()}, but its vocabulary has {vocab_size}: "
            "its file is damaged, or extra_ids is too small"
        )
    dtype = np.uint16 if vocab_size <= 2**16 else np.uint32
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values.astype(dtype)))


def nested_column(groups: Sequence[Sequence[Any]], flat: pa.Array) -> pa.Array:
    """`flat`, whose rows are the groups' members one after the other, as one list for each group."""
    offsets = np.concatenate(
        [[0], np.cumsum([len(group) for group in groups], dtype=np.int64)]
    ).astype(np.int64)
    return pa.LargeListArray.from_arrays(pa.array(offsets), flat)


def write_store(
    folder: Path, batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, meta: Mapping[str, Any]
) -> None:
    """Writes a store so that `folder` appears whole or not at all.

    Where another process was faster, its store stays and ours goes. Raises OSError when it cannot be written (disk
    full, no permission); nothing is left then.
    """
    table = pa.Table.from_batches(list(batches), schema).combine_chunks()
    rows = (table.to_batches() or [pa.RecordBatch.from_pylist([], schema)])[0]
    temporary = folder.parent / f".tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}-{socket.gethostname()}"
    try:
        temporary.mkdir(parents=True)
        with (temporary / TOKENS).open("wb") as sink:
            with pa.ipc.new_file(sink, schema) as writer:
                writer.write_batch(rows)
            _sync(sink.fileno())
        file = temporary / TOKENS
        facts = {
            "version": STORE_VERSION,
            "rows": rows.num_rows,
            "size": file.stat().st_size,
            "crc32": _crc32(file),
        }
        with (temporary / META).open("w", encoding="utf-8") as sink:
            json.dump(dict(meta) | facts, sink, indent=1)
            sink.flush()
            _sync(sink.fileno())
        _sync_folder(temporary)
        _publish(temporary, folder)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write the token store: {error.strerror or error}", str(folder)
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_abandoned(cache_dir: Path) -> None:
    """Removes what killed writers of this machine left under `cache_dir`. Folders of live writers stay."""
    for path in cache_dir.glob("*/.tmp-*"):
        match = re.fullmatch(r"\.tmp-(\d+)-[0-9a-f]{8}-(.+)", path.name)
        # On a shared disk the number may be a live process of another machine.
        if match and match.group(2) == socket.gethostname() and not _alive(int(match.group(1))):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and belongs to someone else
        return True
    return True


def _publish(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError:
        if not (folder / META).is_file():
            raise
        return  # another process won the race; the two stores are the same
    _sync_folder(folder.parent)


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _crc32(file: Path) -> int:
    checksum = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _read_meta(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"there is no token store {folder}; prepare it first")
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise _damaged(folder, f"{META} is missing or not JSON") from None
    if not isinstance(meta, dict) or not {"version", "size", "crc32"} <= meta.keys():
        raise _damaged(folder, f"{META} is incomplete")
    if meta["version"] != STORE_VERSION:
        raise _damaged(folder, f"it is of version {meta['version']}, not {STORE_VERSION}")
    return meta


def _damaged(folder: Path, reason: str) -> InputError:
    return InputError(
        f"the token store {folder} is damaged ({reason}): delete it; it is prepared again by the same command"
    )


def _ragged(column: Any) -> Ragged:
    return Ragged(
        column.values.to_numpy(zero_copy_only=True), column.offsets.to_numpy(zero_copy_only=True)
    )
