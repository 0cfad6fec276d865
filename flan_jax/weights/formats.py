"""Parameters from wherever they are: a run of ours, a Hugging Face folder, a T5X checkpoint; and from one to the other."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etils import epath

from flan_jax.errors import InputError, unknown_name
from flan_jax.models.config import ModelConfig
from flan_jax.weights import hugging_face, orbax, t5x
from flan_jax.weights.orbax import latest_folder
from flan_jax.weights.safetensors_folder import is_folder

FORMATS = ("flan_jax", "hugging_face", "t5x")
OTHERS = {
    "adapter_config.json": "adapters of the peft library, not a model. Load them there with their base model, call "
    "merge_and_unload() and save_pretrained(), and give that folder",
    "*.gguf": "GGUF files, which are not read. Give the Hugging Face folder that they were made from",
    "*.safetensors": "safetensors but no config.json, which says what model they are of. Copy it beside them",
}
"""What people have that looks like a model, by a file's pattern."""


def load_params(source: str | Path, config: ModelConfig, like: Any) -> Any:
    """The parameters in `source`, each placed as its leaf of `like`, a tree of arrays or of shapes with shardings.

    `source` is a run directory (its latest checkpoint), a Hugging Face folder or a T5X checkpoint. Raises InputError when
    it is none of these, or of another model than `config`.
    """
    kind = format_of(source)
    if kind == "hugging_face":
        return hugging_face.load_params(source, config, like)
    if kind == "t5x":
        return t5x.load_t5x_params(source, like)
    return orbax.load_params(source, like)


def format_of(source: str | Path) -> str:
    """One of FORMATS. Raises InputError when there is nothing, or nothing known."""
    if "://" not in str(source) and is_folder(source):
        return "hugging_face"
    if t5x.is_checkpoint(source):
        return "t5x"
    if "://" in str(source):
        raise InputError(
            f"there is no T5X checkpoint at {source}, or it cannot be reached from here (network, credentials). Only T5X "
            "checkpoints are read from a bucket; copy a run directory or a Hugging Face folder to a local one"
        )
    folder = Path(source).expanduser()
    if not folder.is_dir():
        what = (
            f"{source} is a file"
            if folder.exists()
            else f"there is no folder {source} to take parameters from"
        )
        raise InputError(f"{what}. Give a run directory, a Hugging Face folder or a T5X checkpoint")
    for pattern, what in OTHERS.items():
        if any(folder.glob(pattern)):
            raise InputError(f"{source} holds {what}")
    return "flan_jax"


def source_facts(source: str | Path) -> dict[str, str]:
    """What tells the parameters in `source` from others: the path, and a hash of its files' names, sizes and times.

    {"path": "/models/t5", "files": "5f0c..."}. Of a run, the files are those of its latest checkpoint.
    """
    kind, root = format_of(source), epath.Path(source).expanduser()
    if kind == "flan_jax":
        root = epath.Path(latest_folder(source))
    about = [
        f"{file.relative_to(root)} {file.stat().length} {file.stat().mtime}"
        for file in _files(root)
    ]
    path = str(source) if "://" in str(source) else str(Path(source).expanduser().resolve())
    return {"path": path, "files": hashlib.sha256("\n".join(about).encode()).hexdigest()[:16]}


def _files(folder: epath.Path) -> Iterator[epath.Path]:
    for child in sorted(folder.iterdir()):
        yield from _files(child) if child.is_dir() else [child]


def save_params(
    target: str | Path,
    kind: str,
    config: ModelConfig,
    params: Any,
    *,
    dtype: str = "float32",
    original: str | Path | None = None,
    tokenizer: str | Path | None = None,
) -> None:
    """Writes parameters in one of FORMATS to `target`, which must not exist. The last three are for Hugging Face folders."""
    check_target(target)
    if kind == "hugging_face":
        hugging_face.save(
            target, config, params, dtype=dtype, original=original, tokenizer=tokenizer
        )
    elif kind == "t5x":
        t5x.write_t5x(target, params, step=0)
    elif kind == "flan_jax":
        orbax.save_params(target, params)
    else:
        raise unknown_name("format", kind, FORMATS)


def check_target(target: str | Path) -> None:
    """Raises InputError when `target` is not a local folder to be made."""
    if "://" in str(target):
        raise InputError(f"cannot write to {target}: name a local folder, and copy it from there")
    if Path(target).expanduser().exists():
        raise InputError(f"{target} exists already; name a folder that does not")
