"""Partial reads of the tensors in a Hugging Face folder."""

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from safetensors import SafetensorError, safe_open

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, read_json_object
from flan_jax.weights.shapes import Shape
from flan_jax.weights.shipped import local_folder

CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"

READABLE_DTYPES = ("F32", "F16", "BF16", "F64")
"""Dtypes that can be read, by their names in the safetensors format."""

VISION_TENSORS = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\.")


@runtime_checkable
class TensorSlice(Protocol):
    """A tensor on disk that is read by indexing, in parts: `tensor[2:4, :]`."""

    def __getitem__(self, index: slice | tuple[slice, ...]) -> np.ndarray:
        """Reads the part of the tensor that an index selects."""
        ...


class StoredTensor(NamedTuple):
    """Where a tensor lies: a file of the folder, and the tensor's name in it."""

    file: str
    name: str


class Header(NamedTuple):
    """A tensor's entry in a file's header; `dtype` is a name of the format, see READABLE_DTYPES."""

    shape: Shape
    dtype: str


def is_folder(path: str | Path) -> bool:
    """Returns whether `path` is a Hugging Face folder."""
    return (local_folder(path) / CONFIG_FILE).is_file()


class TensorFolder:
    """The config.json of a Hugging Face folder, and the tensors of its safetensors files.

    Of a Gemma 3 that takes images (model_type "gemma3"), only the text model is shown.

    Attributes:
      folder: the folder.
      config: config.json.
      note: for the user, which of two sets of weights is read; None if there is one.
    """

    def __init__(self, folder: str | Path):
        """Reads config.json and the names of the tensors.

        Args:
          folder: a folder with config.json, and with one safetensors file or several and an index.

        Raises:
          InputError: a file is missing or damaged.
        """
        self.folder = local_folder(folder)
        if not is_folder(self.folder):
            raise InputError(
                f"{self.folder} is not a Hugging Face folder: it has no {CONFIG_FILE}. Give the "
                "folder that save_pretrained wrote"
            )
        self.config: JsonObject = read_json_object(self.folder / CONFIG_FILE)
        self.note: str | None = None
        self._headers: dict[str, dict[str, Header]] = {}

        stored = {
            name: StoredTensor(file, name) for name, file in self._weight_map().items()
        }
        if self.config.get("model_type") == "gemma3":
            text_config = self.config.get("text_config", {})
            self.config = {"model_type": "gemma3_text", **text_config}
            stored = _text_tensors(stored)
        self._stored = stored

    def names(self) -> set[str]:
        """Returns the names of all tensors."""
        return set(self._stored)

    def shape(self, name: str) -> Shape:
        """Returns the shape of a tensor.

        Raises:
          InputError: the tensor's file is missing, damaged, or does not hold it.
        """
        return self._header(name).shape

    def get_slice(self, name: str) -> TensorSlice:
        """Returns a tensor from which parts can be read, in the file's dtype.

        Args:
          name: the name of the tensor.

        Returns:
          The tensor on disk; indexing it reads that part.

        Raises:
          InputError: the tensor's file is missing, damaged, or does not hold it, or its dtype
            cannot be read.
        """
        header = self._header(name)
        if header.dtype not in READABLE_DTYPES:
            raise InputError(
                f"{name} in {self.folder} is {header.dtype}; known: {', '.join(READABLE_DTYPES)}. "
                "Save the weights in one of these"
            )
        stored = self._stored[name]
        # safetensors maps the file into memory, and pages that were read count until the mapping
        # is closed. With one mapping for all tensors these would be as much memory again as the
        # model; with one for each tensor they are gone when the tensor is.
        return _open(self.folder / stored.file).get_slice(stored.name)

    def _weight_map(self) -> dict[str, str]:
        """Returns {name of a tensor: the file that holds it}."""
        has_single_file = (self.folder / SINGLE_FILE).is_file()
        if (self.folder / INDEX_FILE).is_file():
            weight_map = self._read_index()
            if not has_single_file or SINGLE_FILE in weight_map.values():
                return weight_map
            self._compare_with_single_file(weight_map)
        elif not has_single_file:
            raise InputError(
                f"{self.folder} has neither {SINGLE_FILE} nor {INDEX_FILE}. Weights in other "
                "formats: load them with transformers and save them with save_pretrained"
            )
        return dict.fromkeys(self._file_headers(SINGLE_FILE), SINGLE_FILE)

    def _read_index(self) -> dict[str, str]:
        """Returns the index's weight_map, whose files all lie in the folder."""
        index = self.folder / INDEX_FILE
        weight_map = read_json_object(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise InputError(f"{index} has no weight_map; copy it again")
        for name, file in weight_map.items():
            if not _is_inside(file):
                raise InputError(
                    f"{index} says that {name} lies in {file!r}, which is not the name of a file "
                    "in this folder. Put all files into one folder, and their names into the index"
                )
        return weight_map

    def _compare_with_single_file(self, weight_map: dict[str, str]) -> None:
        """Decides between a whole file and the files of an index, which lie side by side."""
        whole = self._file_headers(SINGLE_FILE)
        files = sorted(set(weight_map.values()))
        missing = [file for file in files if not (self.folder / file).is_file()]
        if missing:
            self.note = (
                f"{self.folder}: read {SINGLE_FILE}. {INDEX_FILE} is stale: its file {missing[0]} "
                "is not there"
            )
            return

        split: dict[str, Header] = {}
        for file in files:
            split |= self._file_headers(file)
        differing = [name for name in whole if whole[name] != split.get(name)]
        differing += [name for name in split if name not in whole]
        if differing:
            raise InputError(
                f"{self.folder} holds the weights twice, in {SINGLE_FILE} and in the files of "
                f"{INDEX_FILE}, and these differ in {len(differing)} tensors, {differing[0]} among "
                "them. Delete the ones that are not wanted"
            )
        self.note = (
            f"{self.folder} holds the weights twice: read {SINGLE_FILE}, as transformers does, and "
            f"not the files of {INDEX_FILE}. Delete the ones that are not wanted"
        )

    def _header(self, name: str) -> Header:
        stored = self._stored[name]
        headers = self._file_headers(stored.file)
        if stored.name not in headers:
            raise InputError(
                f"{self.folder}/{stored.file} does not hold {stored.name} as {INDEX_FILE} says; "
                "copy the folder again"
            )
        return headers[stored.name]

    def _file_headers(self, file: str) -> dict[str, Header]:
        """Returns the headers of a file's tensors by name."""
        if file not in self._headers:
            opened = _open(self.folder / file)
            headers = {}
            for name in opened.keys():  # noqa: SIM118 - the file is no dict
                tensor = opened.get_slice(name)
                headers[name] = Header(tuple(tensor.get_shape()), tensor.get_dtype())
            self._headers[file] = headers
        return self._headers[file]


def _open(file: Path) -> safe_open:
    try:
        return safe_open(file, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{file} is missing or damaged ({error}); copy it again"
        ) from error


def _is_inside(file: object) -> bool:
    """Returns whether a file's name leads to no place outside of the folder."""
    if not isinstance(file, str) or not file:
        return False
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in file


def _text_tensors(stored: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Returns the tensors of the text model in a Gemma3ForConditionalGeneration, by its names.

    They begin with "model.language_model." in files of transformers 5, and with "language_model."
    in the published ones.
    """
    text_tensors = {}
    for name, tensor in stored.items():
        if VISION_TENSORS.match(name):
            continue
        text_name = re.sub(r"^model\.language_model\.", "model.", name)
        text_name = text_name.removeprefix("language_model.")
        if text_name in text_tensors:
            raise InputError(
                f"{name} and {text_tensors[text_name].name} are both {text_name} of the text "
                "model. Save the model again with transformers"
            )
        text_tensors[text_name] = tensor
    return text_tensors
