"""Where a task's rows are: TFDS builders, JSON-lines files. (The practice corpus is in sandbox.py.)"""

import contextlib
import dataclasses
import glob
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from flan_jax.errors import InputError, unknown_name

SPLITS = ("train", "validation", "test")
"""A task's own splits. `test` is what evaluation reports on, `validation` is what picks the best template."""


@runtime_checkable
class Source(Protocol):
    """Rows of the three splits, always in the same order."""

    def rows(self, split: str) -> Iterator[Mapping[str, Any]]:
        """The rows of one of SPLITS. Raises InputError when they are not to be had, saying how to get them."""
        ...

    def fingerprint(self, split: str) -> str:
        """A string that changes when the rows may have changed."""
        ...

    @property
    def provenance(self) -> dict[str, str]:
        """What kind of source it is, and where its rows are from.

        >>> Tfds("super_glue/rte:1.0.2", train="train").provenance
        {'kind': 'tfds', 'where': 'super_glue/rte:1.0.2'}

        Returns:
          "kind": "generated", "tfds", "files", "seqio" or a word of your own. "where": the
          generator, the dataset, or the files.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Tfds:
    """A TFDS dataset that is prepared on disk: its name with config and version, and a TFDS split for each of ours.

    >>> Tfds("super_glue/rte:1.0.2", train="train[:-200]", validation="train[-200:]", test="validation")
    """

    name: str
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    data_dir: str | None = None

    def __post_init__(self):
        if not re.fullmatch(r"[^:]+:\d+\.\d+\.\d+", self.name):
            raise InputError(
                f"TFDS name {self.name!r} needs its version: write it as 'glue/sst2:2.0.0'"
            )

    def rows(self, split: str) -> Iterator[Mapping[str, Any]]:
        import tensorflow_datasets as tfds  # the only reader of TFRecords; takes seconds to import

        expression = self.expression(split)
        with self._failures_as(f"TFDS does not know {self.name!r}"):
            builder = tfds.builder(self.name, data_dir=self.data_dir)
        if not builder.info.splits:
            raise InputError(self._not_on_disk(builder))
        with self._failures_as(f"split {expression!r} of {self.name!r} cannot be read"):
            dataset = builder.as_dataset(split=expression, shuffle_files=False)  # pyright: ignore[reportCallIssue]
            for row in tfds.as_numpy(dataset):
                yield _plain(row)

    @contextlib.contextmanager
    def _failures_as(self, what: str) -> Iterator[None]:
        """TFDS and TensorFlow raise what they like: their words behind ours, and what a bucket asks for."""
        try:
            yield
        except Exception as error:
            text = f"{what}: {_gist(error)}"
            if "://" in (self.data_dir or ""):
                text = (
                    f"{self.name} cannot be read from {self.data_dir}: {_gist(error)}\nIs the bucket there, are you logged in "
                    "(gcloud auth application-default login), and may you read it (the role Storage Object Viewer)?"
                )
            raise InputError(text) from error

    def _not_on_disk(self, builder) -> str:
        return (
            f"{self.name} is not on disk in {builder.data_path}. On a machine with network, run\n"
            f"    tfds build {self.name} --data_dir={self.data_dir or '~/tensorflow_datasets'}\n"
            "and copy the folder, or name the folder that holds it with DATA_DIR"
        )

    def expression(self, split: str) -> str:
        """The TFDS split expression of one of our splits."""
        expression = {"train": self.train, "validation": self.validation, "test": self.test}[split]
        if expression is None:
            raise InputError(f"{self.name} has no {split} split")
        return expression

    def fingerprint(self, split: str) -> str:
        return f"tfds {self.name} {self.expression(split)} {self.data_dir or ''}"

    @property
    def provenance(self) -> dict[str, str]:
        """The TFDS name, see Source.provenance."""
        return {"kind": "tfds", "where": self.name}

    def as_jsonl(self, folder: str) -> "Jsonl":
        """The same splits read from `folder`/<TFDS split>.jsonl, a row a line in the TFDS schema, slices applied.

        Where a dataset has sizes of a split (train_xl) and that file is not there, `train.jsonl` is read.
        """
        files = {split: self.expression(split) for split in SPLITS if getattr(self, split)}
        return Jsonl(
            **{split: _file_and_slice(folder, expression) for split, expression in files.items()}
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jsonl:
    """JSON-lines files, a row a line: a path or a glob for each split, with an optional slice of lines behind it.

    Files of a glob are read in the order of their names. `.jsonl` only: decompress others first.

    >>> Jsonl(train="reviews/train-*.jsonl[:-200]", validation="reviews/train-*.jsonl[-200:]", test="reviews/test.jsonl")
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None

    def rows(self, split: str) -> Iterator[Mapping[str, Any]]:
        files, lines = self._files(split)
        if lines == slice(None):
            yield from _read(files)
            return
        rows = list(_read(files))
        bounds = [abs(bound) for bound in (lines.start, lines.stop) if bound is not None]
        if max(bounds) > len(rows):
            raise InputError(
                f"{getattr(self, split)} asks for {max(bounds)} lines, but there are {len(rows)}: give all rows, or "
                "other slices in the task's source"
            )
        yield from rows[lines]

    def fingerprint(self, split: str) -> str:
        files, lines = self._files(split)
        stats = [
            (str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files
        ]
        return f"jsonl {stats} {lines}"

    @property
    def provenance(self) -> dict[str, str]:
        """The files' patterns, see Source.provenance."""
        named = [getattr(self, split) for split in SPLITS]
        patterns = [_cut_slice(pattern)[0] for pattern in named if pattern is not None]
        return {"kind": "files", "where": ", ".join(dict.fromkeys(patterns))}

    def _files(self, split: str) -> tuple[list[Path], slice]:
        pattern = getattr(self, split)
        if pattern is None:
            raise InputError(
                f"no file is named for the {split} split: write Jsonl({split}='path.jsonl', ...)"
            )
        pattern, lines = _cut_slice(pattern)
        files = [Path(name) for name in sorted(glob.glob(os.path.expanduser(pattern)))]
        if not files:
            raise InputError(f"no file {pattern} for the {split} split")
        return files, lines


def _read(files: list[Path]) -> Iterator[Mapping[str, Any]]:
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line.decode("utf-8"))
                except UnicodeDecodeError:
                    raise InputError(
                        f"{file}:{number} is not UTF-8 text: decompress the file, or write it again as UTF-8"
                    ) from None
                except json.JSONDecodeError as error:
                    raise InputError(
                        f"{file}:{number} is not JSON ({error.msg}): one object a line is expected"
                    ) from None
                if not isinstance(row, dict):
                    raise InputError(
                        f"{file}:{number} is a JSON {type(row).__name__}, not an object"
                    )
                yield row


def _cut_slice(pattern: str) -> tuple[str, slice]:
    """'a.jsonl[-200:]' -> ('a.jsonl', slice(-200, None)). Only a numeric slice at the very end is cut off."""
    match = re.fullmatch(r"(.*)\[(-?\d*):(-?\d*)\]", pattern)
    if not match:
        return pattern, slice(None)
    start, stop = (int(part) if part else None for part in match.group(2, 3))
    return match.group(1), slice(start, stop)


def _file_and_slice(folder: str, expression: str) -> str:
    """'train[:-200]' -> 'folder/train.jsonl[:-200]'."""
    name, _, rest = expression.partition("[")
    if not os.path.exists(f"{folder}/{name}.jsonl") and os.path.exists(
        f"{folder}/{name.split('_')[0]}.jsonl"
    ):
        name = name.split("_")[0]
    return f"{folder}/{name}.jsonl" + (f"[{rest}" if rest else "")


def _gist(error: Exception) -> str:
    """What TFDS says, without its list of all datasets."""
    lines = str(error).splitlines()
    return (
        " ".join(
            [
                lines[0],
                *(line for line in lines[1:] if line.startswith(("Did you mean", "No version"))),
            ]
        )
        if lines
        else ""
    )


def _plain(value: Any) -> Any:
    """numpy and bytes of tfds.as_numpy as the Python values that JSON rows have."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if hasattr(value, "to_list"):  # a ragged tensor: a sequence of sequences
        return _plain(value.to_list())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def check_split(split: str) -> str:
    """The split itself, or InputError with the known ones."""
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    return split
