"""Hugging Face folders: weights streamed onto the mesh tensor by tensor, and whole folders written.

A folder holds config.json, one or several safetensors files, and the tokenizer's files. Parameters are float32 in memory,
whatever the files hold.
"""

import concurrent.futures
import errno
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from flan_jax import pytrees
from flan_jax.errors import InputError, unknown_name
from flan_jax.models.config import ModelConfig
from flan_jax.weights.families import differences, family_of, family_of_json
from flan_jax.weights.family import IGNORED_TENSORS, Family, hf_names
from flan_jax.weights.safetensors_folder import BLOCK, CONFIG, INDEX, READERS, SINGLE, Tensors

SHARD_BYTES = 5 * 10**9
"""Files are cut at this size, as transformers cuts them."""
EMBEDDING = "token_embedder/embedding"
DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "spiece.model", "tokenizer.model",
    "vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json",
)  # fmt: skip


def read_config(folder: str | Path) -> ModelConfig:
    """The model that a folder's config.json describes."""
    return _family_and_config(Tensors(folder))[1]


def load_params(folder: str | Path, config: ModelConfig, like: Any) -> Any:
    """A folder's weights as a tree of float32 arrays, each placed as its leaf of `like`.

    Host memory holds a piece of READERS arrays at a time beside what is placed. Raises InputError when config.json describes
    another model than `config`, and when tensors are missing, unknown or of another shape: all are named.
    """
    tensors = Tensors(folder)
    family, theirs = _family_and_config(tensors)
    differing = differences(config, theirs)
    if differing:
        raise InputError(
            f"MODEL is not the model in {folder}/{CONFIG}: {'; '.join(differing)}. Change MODEL"
        )
    leaves = pytrees.named_leaves(like)
    names = hf_names(
        family, [name for leaf in leaves for name in _layers(leaf, leaves[leaf].shape)]
    )
    repeats = {*family.embeddings, *(["lm_head.weight"] if config.logits_via_embedding else [])}
    if names[EMBEDDING][0] not in tensors.names():
        # A tied table is stored once, under whichever of its names.
        names[EMBEDDING] = next(
            ((name, False) for name in repeats & tensors.names()), names[EMBEDDING]
        )
    _compare(tensors, repeats, names, leaves)
    # The largest first: when nearly all is placed, what is read beside it is small. A few at a time: most of the work is
    # copying, which threads do side by side.
    order = sorted(leaves, key=lambda name: -leaves[name].size)
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        placed = dict(
            zip(
                order,
                pool.map(lambda name: _placed(tensors, name, leaves[name], names), order),
                strict=True,
            )
        )
    return jax.tree.unflatten(jax.tree.structure(like), [placed[name] for name in leaves])


def save(
    folder: str | Path,
    config: ModelConfig,
    params: Any,
    *,
    dtype: str = "float32",
    original: str | Path | None = None,
    tokenizer: str | Path | None = None,
) -> None:
    """Writes a folder that transformers and vLLM load: config.json, safetensors, the tokenizer's files.

    `original` is the folder that a model came from: its config.json, tokenizer and generation settings are kept. Without it
    they are made for the plainest family with the model's features, and the `tokenizer` file is copied. The folder appears
    when all of it is written. Raises InputError when it exists.
    """
    target = Path(folder).expanduser()
    if target.exists():
        raise InputError(f"{target} exists already; name a folder that does not")
    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    family, settings = _described(config, original)
    settings = settings | {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "dtype": dtype,
    }
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        (partial / CONFIG).write_text(
            json.dumps(settings | {"torch_dtype": dtype}, indent=2) + "\n"
        )
        _copy_tokenizer(partial, family, original, tokenizer)
        _write_tensors(partial, family, params, DTYPES[dtype])
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _family_and_config(tensors: Tensors) -> tuple[Family, ModelConfig]:
    file = tensors.folder / CONFIG
    family = family_of_json(tensors.config)
    if tensors.config.get("quantization_config"):
        raise InputError(
            f"{file} says that the weights are quantised (quantization_config), which is not supported. Take the model's "
            "folder in bfloat16 or float32, or load it with transformers, call dequantize() and save_pretrained"
        )
    try:
        return family, family.read(
            {**family.defaults, **tensors.config}, "lm_head.weight" in tensors.names()
        )
    except KeyError as error:
        raise InputError(f"{file} does not say {error}") from None
    except InputError:
        raise
    except (TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise InputError(f"{file} has a setting of the wrong kind: {error}") from None


def _layers(name: str, shape: Sequence[int]) -> list[str]:
    """The unrolled names of a parameter: one for each layer, if it is stacked."""
    return (
        [name.replace("/layers/", f"/layers_{i}/") for i in range(shape[0])]
        if "/layers/" in name
        else [name]
    )


def _compare(
    tensors: Tensors,
    repeats: set[str],
    names: Mapping[str, tuple[str, bool]],
    leaves: Mapping[str, Any],
) -> None:
    """Raises InputError naming missing tensors, unknown ones that are not `repeats`, and those of another shape."""
    there = tensors.names()
    wanted = {theirs for theirs, _ in names.values()}
    problems = [f"missing: {name}" for name in sorted(wanted - there)]
    problems += [
        f"unknown: {name}"
        for name in sorted(there - wanted - repeats)
        if not re.fullmatch(IGNORED_TENSORS, name)
    ]
    for name, leaf in leaves.items():
        stacked = "/layers/" in name
        shape = tuple(leaf.shape[stacked:])
        for own in _layers(name, leaf.shape):
            theirs, transposed = names[own]
            if theirs in there and tensors.shape(theirs) != (shape[::-1] if transposed else shape):
                found = tensors.shape(theirs)
                problems.append(
                    f"{theirs} is {found}, where {own} needs {shape[::-1] if transposed else shape}"
                )
    if problems:
        more = f" and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise InputError(
            f"the weights in {tensors.folder} do not fit: {'; '.join(problems[:10])}{more}"
        )


def _placed(
    tensors: Tensors, name: str, leaf: Any, names: Mapping[str, tuple[str, bool]]
) -> jax.Array:
    """One of our arrays, each device's piece read on its own."""
    layers = _layers(name, leaf.shape)

    def piece(index: Any) -> np.ndarray:
        if "/layers/" not in name and not names[name][1]:
            return tensors.read(names[name][0], index).astype(np.float32, copy=False)
        shape = [len(range(size)[part]) for size, part in zip(leaf.shape, index, strict=True)]
        out = np.empty(shape, np.float32)
        if "/layers/" not in name:
            _fill(out, tensors, *names[name], index)
        else:
            for row, layer in zip(out, layers[index[0]], strict=True):
                _fill(row, tensors, *names[layer], index[1:])
        return out

    # Placing goes on after the call and holds the pieces till it is done: unwaited for, they would add up.
    return jax.block_until_ready(
        jax.make_array_from_callback(tuple(leaf.shape), leaf.sharding, piece)
    )


def _fill(
    out: np.ndarray, tensors: Tensors, theirs: str, transposed: bool, index: tuple[slice, ...]
) -> None:
    if not transposed:
        out[...] = tensors.read(theirs, index)
        return
    # In blocks of rows that stay in the cache, read and transposed: of a whole tensor at once it takes twice as long.
    columns, rows = index
    first, last, _ = rows.indices(tensors.shape(theirs)[0])
    for start in range(first, last, BLOCK):
        part = tensors.read(theirs, (slice(start, min(start + BLOCK, last)), columns))
        out[:, start - first : start - first + len(part)] = part.T


def _described(config: ModelConfig, original: str | Path | None) -> tuple[Family, dict[str, Any]]:
    """(family, config.json) of what is written."""
    if original is None:
        family = family_of(config)
        return family, family.write(config)
    tensors = Tensors(original)
    family, theirs = _family_and_config(tensors)
    differing = differences(config, theirs)
    if differing:
        raise InputError(f"the model is not that of {original}/{CONFIG}: {'; '.join(differing)}")
    return family, dict(tensors.config)


def _unrolled(params: Any) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    """(unrolled name, shape, function that brings the array to the host) of each tensor."""
    for name, leaf in pytrees.named_leaves(params).items():
        if "/layers/" not in name:
            yield name, tuple(leaf.shape), lambda leaf=leaf: np.asarray(leaf)
            continue
        for i, layer in enumerate(_layers(name, leaf.shape)):
            yield layer, tuple(leaf.shape[1:]), lambda leaf=leaf, i=i: np.asarray(leaf[i])


def _write_tensors(folder: Path, family: Family, params: Any, dtype: np.dtype) -> None:
    entries = list(_unrolled(params))
    names = hf_names(family, [name for name, _, _ in entries])
    files: list[list[Any]] = [[]]
    filled = 0
    for entry in entries:
        size = int(np.prod(entry[1])) * dtype.itemsize
        if files[-1] and filled + size > SHARD_BYTES:
            files.append([])
            filled = 0
        files[-1].append(entry)
        filled += size
    weight_map, total = {}, 0
    for number, some in enumerate(files, start=1):
        file = SINGLE if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        shard = {}
        for name, _, read in some:
            theirs, transposed = names[name]
            array = read()
            shard[theirs] = _cast(
                np.ascontiguousarray(array.T) if transposed else array, dtype, theirs
            )
        try:
            save_file(shard, folder / file, metadata={"format": "pt"})
        except SafetensorError as error:
            if re.search(r"No space left|File too large|Disk quota", str(error)):
                raise OSError(
                    errno.ENOSPC, "no space left for the weights", str(folder / file)
                ) from error
            raise
        weight_map |= dict.fromkeys(shard, file)
        total += sum(array.nbytes for array in shard.values())
    if len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _cast(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype)
    if dtype == np.float16 and not np.isfinite(cast).all():
        raise InputError(
            f"{name} has values beyond float16's 65504, or that are not finite. Take --dtype=bfloat16"
        )
    return cast


def _copy_tokenizer(
    folder: Path, family: Family, original: str | Path | None, tokenizer: str | Path | None
) -> None:
    """The original's files; of these only the generation settings where there is another `tokenizer`, a file."""
    for name in (
        [] if original is None else TOKENIZER_FILES if tokenizer is None else TOKENIZER_FILES[-1:]
    ):
        file = Path(original or "").expanduser() / name
        if file.is_file():
            shutil.copyfile(file, folder / name)
    if tokenizer is not None:
        file = Path(tokenizer).expanduser()
        sentencepiece = "spiece.model" if family.embeddings else "tokenizer.model"
        shutil.copyfile(
            file, folder / (sentencepiece if file.suffix == ".model" else "tokenizer.json")
        )
        beside = file.with_name("tokenizer_config.json")
        if beside.is_file():
            shutil.copyfile(beside, folder / beside.name)
