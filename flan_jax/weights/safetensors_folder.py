"""Partial reads of the tensors in a folder of safetensors files."""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from flan_jax.errors import InputError
from flan_jax.json_files import read_json_object

CONFIG, INDEX, SINGLE = "config.json", "model.safetensors.index.json", "model.safetensors"


READERS, BLOCK = 2, 256


STORED = {
    "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16), "F64": np.dtype("<f8"),
}  # fmt: skip
"""The safetensors format's names of what can be read."""


def is_folder(path: str | Path) -> bool:
    """Whether `path` is a Hugging Face folder."""
    return (Path(path).expanduser() / CONFIG).is_file()


class SafetensorsFile:
    """The tensors of one safetensors file, read in pieces.

    The safetensors library maps the whole file into memory, where its pages count beside the arrays made of them; this
    reads what is asked for. Raises InputError when the file is missing, damaged or cut off.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length)) if 0 < length < path.stat().st_size else {}
            self._start = 8 + length
            self.tensors = {name: about for name, about in header.items() if name != "__metadata__"}
            end = self._start + max((_end(about) for about in self.tensors.values()), default=0)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is missing or damaged ({error}); copy it again") from error
        if not self.tensors or path.stat().st_size != end:
            raise InputError(
                f"{path} is damaged or cut off: it should have {end} bytes; copy it again"
            )

    def read(self, name: str, index: Sequence[slice] = ()) -> np.ndarray:
        """A tensor, or the part of it that `index` names (slices with step 1), in the file's dtype."""
        about = self.tensors[name]
        shape, dtype = tuple(about["shape"]), STORED[about["dtype"]]
        rows = range(shape[0])[index[0]] if index else range(shape[0] if shape else 1)
        row = int(np.prod(shape[1:], dtype=np.int64))
        offset = self._start + about["data_offsets"][0] + rows.start * row * dtype.itemsize
        flat = np.fromfile(self._path, dtype, len(rows) * row, offset=offset)
        return flat.reshape((len(rows), *shape[1:]) if shape else ())[
            (slice(None), *index[1:]) if index else ...
        ]


def _end(about: Mapping[str, Any]) -> int:
    """Where a tensor ends. Raises ValueError when its place has not the size of its shape."""
    start, end = about["data_offsets"]
    dtype = STORED.get(about["dtype"])
    if (
        dtype is not None
        and end - start != int(np.prod(about["shape"], dtype=np.int64)) * dtype.itemsize
    ):
        raise ValueError(f"{about} is no tensor")
    return end


class Tensors:
    """The tensors of a folder's safetensors files, by name, and its config.json; of a Gemma 3 that sees, its text model's."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        if not is_folder(self.folder):
            raise InputError(f"{self.folder} is not a Hugging Face folder: it has no {CONFIG}")
        self.config = read_json_object(self.folder / CONFIG)
        if (self.folder / INDEX).is_file():
            files = read_json_object(self.folder / INDEX).get("weight_map")
            if not isinstance(files, dict) or not files:
                raise InputError(f"{self.folder / INDEX} has no weight_map; copy it again")
        elif (self.folder / SINGLE).is_file():
            files = dict.fromkeys(self._file(SINGLE).tensors, SINGLE)
        else:
            raise InputError(
                f"{self.folder} has neither {SINGLE} nor {INDEX}. Weights in other formats: load them with transformers and "
                "save them with save_pretrained"
            )
        self._place = {name: (file, name) for name, file in files.items()}
        if self.config.get("model_type") == "gemma3":
            self.config = {"model_type": "gemma3_text", **self.config.get("text_config", {})}
            named = {_text_name(name): place for name, place in self._place.items()}
            self._place = {name: place for name, place in named.items() if name is not None}

    def names(self) -> set[str]:
        return set(self._place)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._about(name)["shape"])

    def read(self, name: str, index: Sequence[slice] = ()) -> np.ndarray:
        """A tensor, or the part of it that `index` names, in the file's dtype."""
        if self._about(name)["dtype"] not in STORED:
            raise InputError(
                f"{name} in {self.folder} is {self._about(name)['dtype']}; known: {', '.join(STORED)}"
            )
        file, theirs = self._place[name]
        return self._file(file).read(theirs, index)

    def _about(self, name: str) -> Mapping[str, Any]:
        file, theirs = self._place[name]
        tensors = self._file(file).tensors
        if theirs not in tensors:
            raise InputError(f"{self.folder}/{file} does not hold {theirs} as {INDEX} says")
        return tensors[theirs]

    @functools.cache
    def _file(self, name: str) -> SafetensorsFile:
        return SafetensorsFile(self.folder / name)


def _text_name(name: str) -> str | None:
    """The name in a text model of a tensor of Gemma3ForConditionalGeneration; None for what sees."""
    if re.match(r"(model\.)?(vision_tower|multi_modal_projector)\.", name):
        return None
    return re.sub(r"^model\.language_model\.", "model.", name).removeprefix("language_model.")
