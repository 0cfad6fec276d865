"""Hugging Face folders: weights streamed onto the mesh tensor by tensor, and whole folders written.

A folder holds config.json, one or several safetensors files, and the tokenizer's files. Parameters
are float32 in memory, whatever the files hold.
"""

import concurrent.futures
import dataclasses
import errno
import functools
import json
import math
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypedDict

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from flan_jax.errors import InputError, is_disk_full, look_up
from flan_jax.hardware import Device
from flan_jax.json_files import JsonObject, atomic_folder
from flan_jax.models.config import ModelConfig
from flan_jax.pytrees import Params, named_leaves
from flan_jax.weights.families import differences, family_of, family_of_json
from flan_jax.weights.family import (
    IGNORED_TENSORS,
    Family,
    HfName,
    check_numbers,
    hf_names,
)
from flan_jax.weights.finite import is_finite, refuse_damaged
from flan_jax.weights.safetensors_folder import (
    CONFIG_FILE,
    INDEX_FILE,
    SINGLE_FILE,
    TensorFolder,
)
from flan_jax.weights.shapes import (
    Bounds,
    LazyArray,
    Shapes,
    device_bounds,
    is_stacked,
    layer_names,
    shape_differences,
    unstacked_arrays,
    unstacked_shapes,
)
from flan_jax.weights.shipped import local_folder

Companions: TypeAlias = Mapping[str, JsonObject | Path]
"""Files beside a model's weights: {name: content, or a file to copy}."""

READERS = 2
"""Threads that read parameters side by side: most of the work is copying."""
BLOCK_BYTES = 4 * 2**20
"""Parameters are read in blocks of this size, which are copied into their place: what is read at a
time is memory beside the model."""
BLOCK_ROWS = 256
"""Rows that are transposed at a time, so that they stay in the processor's cache. More at once take
twice as long."""
FILE_BYTES = 5 * 10**9
"""Weights are split into files of this size, as transformers splits them."""

DEPTHS = ("num_layers", "num_encoder_layers", "num_decoder_layers")
EMBEDDING = "token_embedder/embedding"
HEAD_TENSOR = "lm_head.weight"

DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}
GENERATION_FILE = "generation_config.json"
ROW_FORMAT_FILE = "row_format.json"
"""File of an exported folder: the name of its row format, or an object of the format's texts."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    ROW_FORMAT_FILE,
)


class SaveOptions(TypedDict, total=False):
    """Options of `save_params`, which says what they mean."""

    dtype: str
    original: str | Path | None
    companions: Companions | None


def read_config(folder: str | Path) -> ModelConfig:
    """Returns the model that a folder's config.json describes.

    Args:
      folder: a Hugging Face model folder, with config.json and safetensors files.

    Returns:
      The configuration of the model.

    Raises:
      InputError: a file is missing or damaged, or the model is not supported.
    """
    _, config = _read_family(TensorFolder(folder))
    return config


def check_config(
    folder: str | Path, config: ModelConfig, changes: Collection[str] = ()
) -> None:
    """Checks that a folder's config.json describes a model.

    Args:
      folder: a Hugging Face folder.
      config: the model.
      changes: settings that may differ.

    Raises:
      InputError: config.json describes another model.
    """
    theirs = read_config(folder)
    check_sizes(folder, theirs)
    if type(theirs) is type(config):
        same = {name: getattr(config, name) for name in changes}
        theirs = dataclasses.replace(theirs, **same)
    differing = differences(config, theirs)
    if differing:
        raise InputError(
            f"MODEL is not the model in {folder}/{CONFIG_FILE}: {'; '.join(differing)}. Write "
            "MODEL = @from_warm_start(), and a setting that is to differ as "
            f"from_warm_start.{differing[0].partition(':')[0]}"
        )


def check_sizes(folder: str | Path, config: ModelConfig) -> None:
    """Checks the largest numbers of a folder's config.json against its tensors.

    What follows takes time and memory by these numbers: a table of 10^7 layers is not made.

    Args:
      folder: a Hugging Face folder.
      config: the model in its config.json.

    Raises:
      InputError: there are more layers than tensors, or the embedding has another shape.
    """
    tensors = TensorFolder(folder)
    file = tensors.folder / CONFIG_FILE
    family = family_of_json(tensors.config)
    depth = sum(getattr(config, name, 0) for name in DEPTHS)
    if depth > len(tensors.names()):
        raise InputError(
            f"{file} says that the model has {depth} layers, and there are only "
            f"{len(tensors.names())} tensors. Copy the folder again"
        )
    expected = (config.vocab_size, config.emb_dim)
    for name in (dict(family.table)[EMBEDDING], *family.embedding_aliases):
        if name in tensors.names() and tensors.shape(name) != expected:
            raise InputError(
                f"{file} says that vocabulary and width of the embedding are {expected}, and "
                f"{name} ({EMBEDDING}) is {tensors.shape(name)}. Copy the folder again"
            )


def load_params(
    folder: str | Path, config: ModelConfig, like: Params, changes: Collection[str] = ()
) -> Params:
    """Returns the weights in a folder as float32 parameters.

    Beside the parameters, host memory holds READERS blocks at a time.

    Args:
      folder: a Hugging Face folder.
      config: the model that is wanted.
      like: its parameters' shapes, with shardings; each parameter is placed as its leaf here.
      changes: settings that may differ from config.json.

    Raises:
      InputError: config.json describes another model, tensors are missing, unknown, of another
        shape or not finite, or copies of the embedding differ.
    """
    tensors = TensorFolder(folder)
    family, _ = _read_family(tensors)
    check_config(folder, config, changes)

    leaves = named_leaves(like)
    shapes = {name: tuple(leaf.shape) for name, leaf in leaves.items()}
    names, aliases = _tensor_names(family, config, tensors, shapes)
    _check_tensors(tensors, aliases, names, shapes)

    if tensors.note is not None:
        print(tensors.note, file=sys.stderr, flush=True)
    _check_copies(tensors, names[EMBEDDING].name, aliases)

    damaged: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        arrays = pool.map(
            lambda name: _place(tensors, name, leaves[name], names, damaged), leaves
        )
        placed = dict(zip(leaves, arrays, strict=True))
    refuse_damaged(damaged, tensors.folder)
    return jax.tree.unflatten(
        jax.tree.structure(like), [placed[name] for name in leaves]
    )


def save_params(
    folder: str | Path,
    config: ModelConfig,
    params: Params,
    *,
    dtype: str = "float32",
    original: str | Path | None = None,
    companions: Companions | None = None,
) -> None:
    """Writes a folder that transformers and vLLM load: config.json, weights, the tokenizer's files.

    The folder appears once it is complete.

    Args:
      folder: the folder to write; it must not exist.
      config: the model.
      params: its parameters.
      dtype: how to store them, a name in DTYPES.
      original: the folder that the model came from, whose config.json, tokenizer and generation
        settings are kept. Without it, config.json is of the first family with the model's features.
      companions: the files of a tokenizer, which are stored in place of the original's. Entries of
        a config.json are added to those of the model. A SentencePiece model gets its family's name.

    Raises:
      InputError: the folder exists, the dtype is unknown or cannot hold the weights, or the model
        is not the original's, of no known family or reads prompts in both directions.
      OSError: the disk is full.
    """
    target = Path(folder).expanduser()
    if target.exists():
        raise InputError(f"{target} exists already; name a folder that does not")
    stored_dtype = look_up(DTYPES, "dtype", dtype)
    family, model_json = describe_model(config, original)
    others = dict(companions or {})
    companion_settings = others.pop(CONFIG_FILE, {})
    assert isinstance(companion_settings, Mapping)
    config_json = {
        **model_json,
        **companion_settings,
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "dtype": dtype,
        "torch_dtype": dtype,
    }

    with atomic_folder(target) as partial:
        config_text = json.dumps(config_json, indent=2) + "\n"
        (partial / CONFIG_FILE).write_text(config_text)
        if original is not None:
            copy_tokenizer_files(original, partial, is_used=not others)
        _write_companions(partial, family, others)
        _write_tensors(partial, family, params, stored_dtype)


def _read_family(tensors: TensorFolder) -> tuple[Family, ModelConfig]:
    """Returns the family and the model that a folder's config.json describes."""
    file = tensors.folder / CONFIG_FILE
    family = family_of_json(tensors.config)
    if tensors.config.get("quantization_config"):
        raise InputError(
            f"{file} says that the weights are quantised (quantization_config), which is not "
            "supported. Take the model's folder in bfloat16 or float32, or load it with "
            "transformers, call dequantize() and save_pretrained"
        )

    config_json = {**family.defaults, **tensors.config}
    has_head = HEAD_TENSOR in tensors.names()
    try:
        check_numbers(tensors.config)
        return family, family.read(config_json, has_head)
    except KeyError as error:
        raise InputError(f"{file} does not say {error}; copy it again") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except (TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise InputError(
            f"{file} has a setting of the wrong kind: {error}. Copy it again"
        ) from None


def _tensor_names(
    family: Family, config: ModelConfig, tensors: TensorFolder, shapes: Shapes
) -> tuple[dict[str, HfName], set[str]]:
    """Finds the tensor of each parameter.

    Args:
      family: the model's family.
      config: the model.
      tensors: the folder.
      shapes: the model's parameters.

    Returns:
      (the tensor of each parameter, with layers one by one; tensors that may repeat the embedding).
    """
    names = hf_names(family, unstacked_shapes(shapes))
    aliases = set(family.embedding_aliases)
    if config.logits_via_embedding:
        aliases.add(HEAD_TENSOR)

    if names[EMBEDDING].name not in tensors.names():
        # A tied embedding is stored once, under any of its names.
        stored_aliases = sorted(aliases & tensors.names())
        if stored_aliases:
            names[EMBEDDING] = HfName(stored_aliases[0], transposed=False)
    return names, aliases


def _check_tensors(
    tensors: TensorFolder,
    aliases: set[str],
    names: Mapping[str, HfName],
    shapes: Shapes,
) -> None:
    """Raises InputError if tensors are missing, unknown or of another shape."""
    expected = {}
    saved = {}
    wanted = set()
    for name, shape in unstacked_shapes(shapes).items():
        tensor = names[name]
        label = f"{tensor.name} ({name})"
        expected[label] = shape[::-1] if tensor.transposed else shape
        wanted.add(tensor.name)
        if tensor.name in tensors.names():
            saved[label] = tensors.shape(tensor.name)

    for tensor_name in sorted(tensors.names() - wanted - aliases):
        if not IGNORED_TENSORS.fullmatch(tensor_name):
            saved[tensor_name] = tensors.shape(tensor_name)

    problems = shape_differences(saved, expected)
    if problems:
        raise InputError(
            f"the weights in {tensors.folder} are not of the model in its {CONFIG_FILE}: "
            f"{'; '.join(problems)}. Copy the folder again; if tensors are unknown or of another "
            f"shape in the original, too, its {CONFIG_FILE} is of another model"
        )


def _check_copies(tensors: TensorFolder, table: str, aliases: set[str]) -> None:
    """Raises InputError if the embedding is stored more than once, with different numbers.

    Args:
      tensors: the folder.
      table: the tensor that is read.
      aliases: tensors that may repeat it.
    """
    for alias in sorted(aliases & tensors.names() - {table}):
        if _are_equal(tensors, table, alias):
            continue
        advice = (
            "Keep the one that the model was trained with, under the name "
            f"{table}, and save the model again"
        )
        if alias == HEAD_TENSOR:
            advice = (
                f'If the model has a head of its own, write "tie_word_embeddings": false into '
                f"{CONFIG_FILE}; if it has none, leave {alias} out and save the model again"
            )
        raise InputError(
            f"{tensors.folder} holds {table} and {alias}, which are one tensor in the model of its "
            f"{CONFIG_FILE} (tied), with different numbers. {advice}"
        )


def _are_equal(tensors: TensorFolder, one: str, other: str) -> bool:
    """Returns whether two tensors hold the same numbers; both are read in blocks."""
    shape = tensors.shape(one)
    if tensors.shape(other) != shape:
        return False
    bounds = tuple((0, size) for size in shape)
    for block in _split(bounds, axes=[0]):
        rows = slice(*block[0])
        values = [tensors.get_slice(name)[rows] for name in (one, other)]
        if not np.array_equal(*values, equal_nan=True):
            return False
    return True


def _place(
    tensors: TensorFolder,
    name: str,
    leaf: jax.ShapeDtypeStruct | jax.Array,
    names: Mapping[str, HfName],
    damaged: list[str],
) -> jax.Array:
    """Returns one parameter. The part of each device is read separately.

    Args:
      tensors: the folder.
      name: the parameter.
      leaf: its shape and sharding.
      names: the tensor of each parameter, with layers one by one.
      damaged: gets the names of the tensors that hold numbers which are not finite.
    """
    shape = tuple(leaf.shape)
    layers = [names[layer] for layer in layer_names(name, shape)]
    axes = _split_axes(name, layers[0])

    def read(bounds: Bounds) -> np.ndarray:
        block = np.empty([stop - start for start, stop in bounds], np.float32)
        index = tuple(slice(start, stop) for start, stop in bounds)
        if not is_stacked(name):
            _read_into(block, tensors, layers[0], index, damaged)
            return block
        for out, layer in zip(block, layers[index[0]], strict=True):
            _read_into(out, tensors, layer, index[1:], damaged)
        return block

    parts: dict[Bounds, jax.Array] = {}
    placed = []
    for device, bounds in device_bounds(leaf).items():
        if bounds not in parts:
            parts[bounds] = _assemble(bounds, axes, read, device)
        placed.append(jax.device_put(parts[bounds], device))
    return jax.make_array_from_single_device_arrays(shape, leaf.sharding, placed)


def _split_axes(name: str, tensor: HfName) -> list[int]:
    """Returns the axes along which a parameter is split into blocks: layers, then the file's rows.

    A tensor that is transposed has its rows on our last axis.
    """
    if is_stacked(name):
        return [0, 2 if tensor.transposed else 1]
    return [1 if tensor.transposed else 0]


def _assemble(
    bounds: Bounds,
    axes: Sequence[int],
    read: Callable[[Bounds], np.ndarray],
    device: Device,
) -> jax.Array:
    """Returns a part of a parameter on a device, written into its place block by block."""
    blocks = list(_split(bounds, axes))
    if len(blocks) == 1:
        return jax.block_until_ready(jax.device_put(read(bounds), device))

    shape = tuple(stop - start for start, stop in bounds)
    part = jnp.zeros(shape, np.float32, device=device)
    for block in blocks:
        starts = [start for start, _ in block]
        offsets = np.subtract(starts, [start for start, _ in bounds])
        values = jax.device_put(read(block), device)
        # The next block is read when this one's memory is free again: blocks would add up.
        part = jax.block_until_ready(_write_block(part, values, offsets))
    return part


@functools.partial(jax.jit, donate_argnums=0)
def _write_block(part: jax.Array, block: jax.Array, offsets: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice(part, block, list(offsets))


def _split(bounds: Bounds, axes: Sequence[int]) -> Iterator[Bounds]:
    """Yields the blocks of a part, of at most BLOCK_BYTES in float32 if a row is not more.

    Args:
      bounds: the part.
      axes: the axes to split; each one only if the ones before it are not enough.
    """
    part_bytes = 4 * math.prod(stop - start for start, stop in bounds)
    if part_bytes <= BLOCK_BYTES or not axes:
        yield bounds
        return

    axis = axes[0]
    first, last = bounds[axis]
    step = max(1, BLOCK_BYTES * (last - first) // part_bytes)
    for start in range(first, last, step):
        block = list(bounds)
        block[axis] = (start, min(start + step, last))
        yield from _split(tuple(block), axes[1:])


def _read_into(
    out: np.ndarray,
    tensors: TensorFolder,
    tensor: HfName,
    index: tuple[slice, ...],
    damaged: list[str],
) -> None:
    """Reads the part of a tensor that `index` selects, in our orientation, into `out`."""
    stored = tensors.get_slice(tensor.name)
    with np.errstate(over="ignore"):  # of float64, which would be infinite here
        if tensor.transposed:
            columns, rows = index
            for start in range(rows.start, rows.stop, BLOCK_ROWS):
                stop = min(start + BLOCK_ROWS, rows.stop)
                block = stored[start:stop, columns]
                out[:, start - rows.start : stop - rows.start] = block.T
        else:
            out[...] = stored[index]
    if not is_finite(out):
        damaged.append(tensor.name)


def describe_model(
    config: ModelConfig, original: str | Path | None
) -> tuple[Family, JsonObject]:
    """Returns the family of a model that is to be written, and its config.json.

    Args:
      config: the model.
      original: the folder that it came from, or None.

    Raises:
      InputError: the model is not the original's, of no known family or reads prompts in both
        directions.
    """
    if getattr(config, "prefix_lm", False):
        raise InputError(
            "the tokens of a prompt attend to one another in both directions in this model "
            "(prefix_lm), and no decoder of Hugging Face does that: the exported one would answer "
            "otherwise. Take --to=flan_jax, or train with DecoderConfig.prefix_lm = False. A "
            "--gin_file that sets it exports the weights all the same"
        )
    if original is None:
        family = family_of(config)
        return family, family.write(config)

    tensors = TensorFolder(original)
    family, original_config = _read_family(tensors)
    differing = differences(config, original_config)
    if differing:
        raise InputError(
            f"the model is not that of {original}/{CONFIG_FILE}: {'; '.join(differing)}. Give the "
            "--original that the model came from, or none"
        )
    return family, tensors.config


def _write_tensors(
    folder: Path, family: Family, params: Params, dtype: np.dtype
) -> None:
    """Writes the safetensors files, and their index if there are several."""
    arrays = list(unstacked_arrays(params))
    names = hf_names(family, [array.name for array in arrays])
    files = _split_into_files(arrays, dtype)

    weight_map = {}
    total_size = 0
    for number, file_arrays in enumerate(files, start=1):
        file = SINGLE_FILE
        if len(files) > 1:
            file = f"model-{number:05}-of-{len(files):05}.safetensors"
        tensors = {}
        for array in file_arrays:
            tensor = names[array.name]
            value = array.read()
            if tensor.transposed:
                value = np.ascontiguousarray(value.T)
            tensors[tensor.name] = _cast(value, dtype, tensor.name)
        _save_file(tensors, folder / file)
        weight_map |= dict.fromkeys(tensors, file)
        total_size += sum(value.nbytes for value in tensors.values())

    if len(files) > 1:
        index = {
            "metadata": {"total_size": total_size},
            "weight_map": dict(sorted(weight_map.items())),
        }
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n")


def _split_into_files(
    arrays: Sequence[LazyArray], dtype: np.dtype
) -> list[list[LazyArray]]:
    """Splits arrays, in their order, into files of at most FILE_BYTES."""
    files: list[list[LazyArray]] = [[]]
    file_bytes = 0
    for array in arrays:
        array_bytes = int(np.prod(array.shape)) * dtype.itemsize
        if files[-1] and file_bytes + array_bytes > FILE_BYTES:
            files.append([])
            file_bytes = 0
        files[-1].append(array)
        file_bytes += array_bytes
    return files


def _save_file(tensors: dict[str, np.ndarray], file: Path) -> None:
    try:
        save_file(tensors, file, metadata={"format": "pt"})
    except SafetensorError as error:
        if is_disk_full(error):
            raise OSError(
                errno.ENOSPC, "no space left for the weights", str(file)
            ) from error
        raise


def _cast(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype)
    if dtype == np.float16 and not np.isfinite(cast).all():
        raise InputError(
            f"{name} has values beyond float16's 65504, or that are not finite. Take "
            "--dtype=bfloat16"
        )
    return cast


def _write_companions(folder: Path, family: Family, companions: Companions) -> None:
    for name, content in companions.items():
        if isinstance(content, Path):
            is_sentencepiece = content.suffix == ".model"
            file = family.sentencepiece_file if is_sentencepiece else name
            shutil.copyfile(content, folder / file)
        else:
            text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
            (folder / name).write_text(text, encoding="utf-8")


def copy_tokenizer_files(
    source: str | Path, target: str | Path, *, is_used: bool = True
) -> None:
    """Copies a folder's generation settings into another folder, and its tokenizer.

    Args:
      source: a Hugging Face folder.
      target: a folder, which is not made one of Hugging Face by it.
      is_used: whether its tokenizer is the target's.
    """
    names = (GENERATION_FILE, *(TOKENIZER_FILES if is_used else ()))
    _copy_files(local_folder(source), Path(target).expanduser(), names)


def _copy_files(source: Path, target: Path, names: Sequence[str]) -> None:
    """Copies the files that exist."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
