"""Parameters in any known format: a run of ours, a Hugging Face folder or a T5X checkpoint.

The modules of the formats have a `load_params` and a `save_params` each; those here choose.
"""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Unpack

from etils import epath

from flan_jax.errors import InputError, unknown_name
from flan_jax.json_files import JsonObject
from flan_jax.models.config import ModelConfig
from flan_jax.pytrees import Params, merge, partition
from flan_jax.weights import hugging_face, orbax, t5x
from flan_jax.weights.orbax import latest_folder
from flan_jax.weights.safetensors_folder import is_folder
from flan_jax.weights.shipped import SHIPPED, local_folder

FORMATS = ("flan_jax", "hugging_face", "t5x")

UNSUPPORTED_FILES = {
    "adapter_config.json": (
        "adapters of the peft library, not a model. Load them there with their base model, call "
        "merge_and_unload() and save_pretrained(), and give that folder"
    ),
    "*.gguf": (
        "GGUF files, which are not read. Give the Hugging Face folder that they were made from"
    ),
    "*.safetensors": (
        "safetensors but no config.json, which says what model they are of. Copy it beside them"
    ),
}
"""Files that people take for a model, by pattern, with what to give instead."""


def load_params(
    source: str | Path, config: ModelConfig, like: Params, changes: Collection[str] = ()
) -> Params:
    """Returns the parameters in `source`.

    Args:
      source: a run directory (its latest checkpoint is read), a Hugging Face folder or a T5X
        checkpoint.
      config: the model that is wanted.
      like: arrays, or shapes with shardings; each parameter is placed as its leaf here.
      changes: settings of `config` that may differ from a Hugging Face folder's.

    Raises:
      InputError: `source` is none of these, or of another model.
    """
    kind = format_of(source)
    if kind == "hugging_face":
        return hugging_face.load_params(source, config, like, changes)
    if kind == "t5x":
        return t5x.load_params(source, like)
    frozen = orbax.frozen_params_id(source)
    if frozen is not None:
        base = _frozen_source(source, frozen)
        selected, _ = partition(like, frozen["trainable"])
        whole = load_params(base, config, like, changes)
        _, base_params = partition(whole, frozen["trainable"])
        return merge(orbax.load_params(source, selected), base_params)
    return orbax.load_params(source, like)


def _frozen_source(source: str | Path, frozen: JsonObject) -> str:
    """Returns where the frozen parameters of a run are: its warm start, if that is unchanged.

    Checkpoints of earlier versions do not hold random frozen parameters either.
    """
    base = frozen["source"].get("path")
    if base is None or source_facts(base) != frozen["source"]:
        origin = (
            "random" if base is None else f"those of {base}, which has changed since"
        )
        raise InputError(
            f"{source} holds only the parameters that match {frozen['trainable']!r}, "
            f"TrainConfig.trainable of its run; the others were {origin}. Evaluate the run with "
            "its own training command, or give the warm start that it was trained from"
        )
    return base


def save_params(
    target: str | Path,
    kind: str,
    config: ModelConfig,
    params: Params,
    *,
    step: int = 0,
    **options: Unpack[hugging_face.SaveOptions],
) -> None:
    """Writes parameters in one of FORMATS.

    Args:
      target: the folder to write; it must not exist.
      kind: the format.
      config: the model.
      params: its parameters.
      step: for T5X checkpoints: the step that they are of.
      **options: for Hugging Face folders: see `hugging_face.save_params`.

    Raises:
      InputError: the folder exists, the format is unknown, or it cannot hold the model.
      OSError: the disk is full.
    """
    check_target(target)
    if kind == "hugging_face":
        hugging_face.save_params(target, config, params, **options)
    elif kind == "t5x":
        t5x.save_params(target, params, step)
    elif kind == "flan_jax":
        orbax.save_params(target, params)
    else:
        raise unknown_name("format", kind, FORMATS)


def format_of(source: str | Path) -> str:
    """Returns the format of the parameters in `source`, one of FORMATS.

    Args:
      source: a local folder, or the URL of a T5X checkpoint.

    Returns:
      "hugging_face", "t5x" or "flan_jax" (a run directory).

    Raises:
      InputError: there is nothing at `source`, or nothing that can be read.
    """
    is_remote = "://" in str(source)
    if not is_remote and is_folder(source):
        return "hugging_face"
    if t5x.is_checkpoint(source):
        return "t5x"
    if is_remote:
        raise InputError(
            f"there is no T5X checkpoint at {source}, or it cannot be reached from here (network, "
            "credentials). Only T5X checkpoints are read from a bucket; copy a run directory or a "
            "Hugging Face folder to a local one"
        )

    folder = local_folder(source)
    if folder.is_file():
        raise InputError(
            f"{source} is a file. Give a run directory, a Hugging Face folder or a T5X checkpoint"
        )
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {source} to take parameters from. Give a run directory, a Hugging "
            "Face folder or a T5X checkpoint"
        )
    for pattern, advice in UNSUPPORTED_FILES.items():
        if any(folder.glob(pattern)):
            raise InputError(f"{source} holds {advice}")
    return "flan_jax"


def step_of(source: str | Path) -> int:
    """Returns the step of the parameters in `source`; 0 for a Hugging Face folder.

    Args:
      source: a run directory, a Hugging Face folder or a T5X checkpoint.

    Raises:
      InputError: there are no parameters in `source`.
    """
    kind = format_of(source)
    if kind == "flan_jax":
        return int(latest_folder(source).name)
    return t5x.step_of(source) if kind == "t5x" else 0


def source_facts(source: str | Path) -> dict[str, str]:
    """Returns what identifies the parameters in `source`: its path, and a hash of its files.

    >>> source_facts("/models/t5")
    {'path': '/models/t5', 'files': '5f0c9b1d2e3a4f60'}

    Args:
      source: a run directory, whose latest checkpoint counts, a Hugging Face folder or a T5X
        checkpoint.

    Returns:
      The path, and a hash of the files' names, sizes and modification times. Of a shipped model the
      name, and a hash of what the files hold: each installation has other times.
    """
    if str(source) in SHIPPED:
        return {"path": str(source), "files": _content_hash(local_folder(source))}
    root = epath.Path(source).expanduser()
    if format_of(source) == "flan_jax":
        root = epath.Path(latest_folder(source))

    lines = []
    for file in _files(root):
        status = file.stat()
        name = file.name if file == root else file.relative_to(root)
        lines.append(f"{name} {status.length} {status.mtime}")
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()

    path = str(source)
    if "://" not in path:
        path = str(Path(source).expanduser().resolve())
    return {"path": path, "files": digest[:16]}


def _content_hash(folder: Path) -> str:
    """Returns a hash of the contents of the files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def check_target(target: str | Path) -> None:
    """Refuses a target folder that is remote or exists already.

    Args:
      target: the folder that a conversion is to write.

    Raises:
      InputError: `target` is a URL, or it exists.
    """
    if "://" in str(target):
        raise InputError(
            f"cannot write to {target}: name a local folder, and copy it from there"
        )
    if Path(target).expanduser().exists():
        raise InputError(f"{target} exists already; name a folder that does not")


def _files(path: epath.Path) -> Iterator[epath.Path]:
    """Yields all files below a folder, sorted by path; a file alone is its own."""
    if not path.is_dir():
        yield path
        return
    for child in sorted(path.iterdir()):
        yield from _files(child)
