"""Where a task's rows are: TFDS datasets and JSON-lines files.

Generated practice rows are in practice_world.py.
"""

import contextlib
import dataclasses
import glob
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from flan_jax.errors import InputError, check_call, unknown_name

SPLITS = ("train", "validation", "test")
"""The splits of a task. Evaluation reports on `test`; `validation` picks the best template."""


@runtime_checkable
class Source(Protocol):
    """Rows of the three splits, always in the same order."""

    def rows(self, split: str) -> Iterator[Mapping[str, Any]]:
        """Returns the rows of a split, always in the same order.

        Args:
          split: one of SPLITS.

        Raises:
          InputError: the rows cannot be read; the message says how to get them.
        """
        ...

    def fingerprint(self, split: str) -> str:
        """Returns a text that changes when the rows of a split may have changed."""
        ...

    @property
    def provenance(self) -> dict[str, str]:
        """What kind of source it is, and where its rows are from.

        >>> Tfds("super_glue/rte:1.0.2", train="train").provenance
        {'kind': 'tfds', 'where': 'super_glue/rte:1.0.2'}

        Returns:
          "kind": "generated", "tfds", "files", "seqio" or a name of your own. "where": the
          generator, the dataset, or the files.
        """
        ...


def check_source(task_name: str, source: object) -> None:
    """Checks that an object has the members of Source.

    Args:
      task_name: the task that it is for, for the message.
      source: the source.

    Raises:
      InputError: it lacks a member, or a method of it does not take a split.
    """
    for member in ("rows", "fingerprint", "provenance"):
        if not hasattr(source, member):
            raise InputError(
                f"task {task_name!r}: its source, of the class {type(source).__name__}, has no "
                f"{member}. A source needs rows(split), fingerprint(split) and the property "
                "provenance, as in flan_jax.tasks.sources.Source"
            )
    for method in ("rows", "fingerprint"):
        name = f"task {task_name!r}: {type(source).__name__}.{method}"
        check_call(getattr(source, method), name, ["split"])


@dataclasses.dataclass(frozen=True)
class Tfds:
    """A TFDS dataset that is prepared on disk.

    >>> Tfds("super_glue/rte:1.0.2", train="train[:-200]", validation="train[-200:]",
    ...      test="validation")

    Attributes:
      name: the dataset with config and version.
      train: the TFDS split that is the train split; None for none.
      validation: the TFDS split that is the validation split; None for none.
      test: the TFDS split that is the test split; None for none.
      data_dir: the folder of the prepared datasets; None for TFDS's default.
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
        """Yields the rows of a split as plain Python values, see Source.rows.

        Args:
          split: one of SPLITS.

        Yields:
          {field: value}, with bytes decoded to text and arrays as lists.

        Raises:
          InputError: TFDS does not know the dataset, it is not prepared on disk, or it cannot be
            read.
        """
        import tensorflow_datasets as tfds  # the only reader of TFRecords; takes seconds to import

        expression = self.expression(split)
        with self._failures_as(f"TFDS does not know {self.name!r}"):
            builder = tfds.builder(self.name, data_dir=self.data_dir)
        if not builder.info.splits:
            raise InputError(self._not_on_disk(builder))
        with self._failures_as(f"split {expression!r} of {self.name!r} cannot be read"):
            # Their annotations lack arguments that they take.
            as_dataset: Any = builder.as_dataset
            dataset = as_dataset(split=expression, shuffle_files=False)
            for row in tfds.as_numpy(dataset):
                yield {name: _plain(value) for name, value in row.items()}

    @contextlib.contextmanager
    def _failures_as(self, message: str) -> Iterator[None]:
        """Turns any exception into an InputError: TFDS and TensorFlow raise many types."""
        try:
            yield
        except Exception as error:
            text = f"{message}: {_summary(error)}"
            if "://" in (self.data_dir or ""):
                text = (
                    f"{self.name} cannot be read from {self.data_dir}: {_summary(error)}\nCheck "
                    f"that "
                    "the bucket exists, that you are logged in (gcloud auth application-default "
                    "login), and that you may read it (the role Storage Object Viewer)"
                )
            raise InputError(text) from error

    def _not_on_disk(self, builder) -> str:
        return (
            f"{self.name} is not on disk in {builder.data_path}. On a machine with a network, run\n"
            f"    tfds build {self.name} --data_dir={self.data_dir or '~/tensorflow_datasets'}\n"
            "and copy the folder, or name the folder that holds it with DATA_DIR"
        )

    def expression(self, split: str) -> str:
        """Returns the TFDS split of one of SPLITS, such as "train[:-200]".

        Args:
          split: one of SPLITS.

        Raises:
          InputError: the dataset has no such split.
        """
        expression = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
        }[split]
        if expression is None:
            raise InputError(
                f"{self.name} has no {split} split; write Tfds(..., {split}='...') to name one"
            )
        return expression

    def fingerprint(self, split: str) -> str:
        """Returns the dataset and its split, see Source.fingerprint."""
        return f"tfds {self.name} {self.expression(split)} {self.data_dir or ''}"

    @property
    def provenance(self) -> dict[str, str]:
        """The TFDS name, see Source.provenance."""
        return {"kind": "tfds", "where": self.name}

    def as_jsonl(self, folder: str) -> "Jsonl":
        """Returns the source of the same splits in <folder>/<TFDS split>.jsonl.

        If a dataset has sizes of a split (train_xl) and there is no such file, train.jsonl is read.

        Args:
          folder: the folder of the files, which have one row of the TFDS schema a line.
        """
        files = {}
        for split in SPLITS:
            if getattr(self, split):
                files[split] = _file_and_slice(folder, self.expression(split))
        return Jsonl(**files)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jsonl:
    """JSON-lines files: a path or a glob for each split, with an optional slice of lines behind it.

    Files of a glob are read in the order of their names. Compressed files must be decompressed.

    >>> Jsonl(train="reviews/train-*.jsonl[:-200]", validation="reviews/train-*.jsonl[-200:]",
    ...       test="reviews/test.jsonl")

    Attributes:
      train: the files of the train split; None for none.
      validation: the files of the validation split; None for none.
      test: the files of the test split; None for none.
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None

    def rows(self, split: str) -> Iterator[Mapping[str, Any]]:
        """Yields the objects in the lines of a split's files, see Source.rows.

        Args:
          split: one of SPLITS.

        Yields:
          {field: value} for each line.

        Raises:
          InputError: the split has fewer lines than its slice asks for, or a file cannot be read.
        """
        files, lines = self._files(split)
        if lines == slice(None):
            yield from _read(files)
            return
        rows = list(_read(files))
        bounds = [
            abs(bound) for bound in (lines.start, lines.stop) if bound is not None
        ]
        if max(bounds) > len(rows):
            raise InputError(
                f"{getattr(self, split)} asks for {max(bounds)} lines, but there are {len(rows)}: "
                "give all rows, or other slices in the task's source"
            )
        yield from rows[lines]

    def fingerprint(self, split: str) -> str:
        """Returns the files with their sizes and times of change, see Source.fingerprint.

        Args:
          split: one of SPLITS.

        Returns:
          The paths, sizes and modification times of the files and the slice of their lines, as
          text.
        """
        files, lines = self._files(split)
        stats = []
        for file in files:
            stat = file.stat()
            stats.append((str(file.resolve()), stat.st_size, stat.st_mtime_ns))
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
            raise InputError(
                f"no file {pattern} for the {split} split; correct the path, which may be a glob"
            )
        return files, lines


def _read(files: list[Path]) -> Iterator[Mapping[str, Any]]:
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _parse_line(line, f"{file}:{number}")


def _parse_line(line: bytes, place: str) -> dict[str, Any]:
    """Returns the object in a line; `place` names the line in errors."""
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError(
            f"{place} is not UTF-8 text: decompress the file, or write it again as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{place} is not JSON ({error.msg}): one object a line is expected"
        ) from None
    if not isinstance(row, dict):
        raise InputError(
            f"{place} is a JSON {type(row).__name__}, not an object: write one object a line"
        )
    return row


def _cut_slice(pattern: str) -> tuple[str, slice]:
    """Splits a numeric slice off the end of a pattern.

    >>> _cut_slice("a.jsonl[-200:]")
    ('a.jsonl', slice(-200, None, None))
    """
    match = re.fullmatch(r"(.*)\[(-?\d*):(-?\d*)\]", pattern)
    if not match:
        return pattern, slice(None)
    path, start, stop = match.groups()
    return path, slice(int(start) if start else None, int(stop) if stop else None)


def _file_and_slice(folder: str, expression: str) -> str:
    """Returns the JSON-lines file of a TFDS split with its slice.

    >>> _file_and_slice("folder", "train[:-200]")
    'folder/train.jsonl[:-200]'
    """
    name, bracket, rest = expression.partition("[")
    name_without_size = name.split("_")[0]
    has_file = os.path.exists(f"{folder}/{name}.jsonl")
    if not has_file and os.path.exists(f"{folder}/{name_without_size}.jsonl"):
        name = name_without_size
    return f"{folder}/{name}.jsonl{bracket}{rest}"


def _summary(error: Exception) -> str:
    """Returns an error's message without TFDS's list of all datasets."""
    first, *others = str(error).splitlines() or [""]
    is_hint = re.compile(r"Did you mean|No version|\w+:\d")  # or a configuration's name
    hints = [line for line in others if is_hint.match(line)]
    return " ".join([first, *hints])


def _plain(value: object) -> object:
    """Converts the arrays and bytes of tfds.as_numpy to the Python values that JSON rows have."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    for name in ("tolist", "to_list"):  # of an array, and of a ragged tensor
        to_list = getattr(value, name, None)
        if to_list is not None:
            return _plain(to_list())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def check_split(split: str) -> str:
    """Returns the split itself.

    Args:
      split: the name to check.

    Returns:
      `split`, unchanged.

    Raises:
      InputError: it is not one of SPLITS.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    return split
