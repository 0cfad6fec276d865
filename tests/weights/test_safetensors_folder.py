"""Partial reads of Hugging Face folders, and what is said of damaged ones."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from flan_jax.errors import InputError
from flan_jax.weights.safetensors_folder import TensorFolder, TensorSlice, is_folder

KERNEL = np.arange(24, dtype=np.float32).reshape(4, 6)
NORM = np.arange(6, dtype=np.float32)
INDEX = "model.safetensors.index.json"


def write_folder(folder, *files, config="{}"):
    """Writes tensors, {name: array} for each file, with an index if there are several."""
    folder.mkdir()
    (folder / "config.json").write_text(config)
    if len(files) == 1:
        save_file(files[0], folder / "model.safetensors")
        return folder

    weight_map = {}
    for number, tensors in enumerate(files, start=1):
        name = f"model-{number}.safetensors"
        save_file(tensors, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.mark.parametrize(
    "files",
    [[{"kernel": KERNEL, "norm": NORM}], [{"kernel": KERNEL}, {"norm": NORM}]],
    ids=["one file", "several files"],
)
def test_names_shapes_and_parts_of_tensors(tmp_path, files):
    tensors = TensorFolder(write_folder(tmp_path / "x", *files))
    assert tensors.names() == {"kernel", "norm"}
    assert tensors.shape("kernel") == (4, 6)
    kernel = tensors.get_slice("kernel")
    assert isinstance(kernel, TensorSlice)
    np.testing.assert_array_equal(kernel[1:3, 2:5], KERNEL[1:3, 2:5])
    np.testing.assert_array_equal(tensors.get_slice("norm")[4:], NORM[4:])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_parts_keep_the_files_dtype(tmp_path, dtype):
    array = NORM.astype(dtype)
    tensors = TensorFolder(write_folder(tmp_path / "x", {"norm": array}))
    part = tensors.get_slice("norm")[:]
    assert part.dtype == array.dtype
    np.testing.assert_array_equal(part, array)


def test_a_folder_is_one_with_config_json(tmp_path, monkeypatch):
    write_folder(tmp_path / "x", {"norm": NORM})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert is_folder(tmp_path / "x")
    assert is_folder("~/x")
    assert TensorFolder("~/x").folder == tmp_path / "x"
    assert not is_folder(tmp_path)
    assert not is_folder(tmp_path / "x" / "config.json")


@pytest.mark.parametrize("prefix", ["model.language_model.", "language_model.model."])
def test_only_the_text_model_of_a_gemma_with_images_is_shown(tmp_path, prefix):
    config = {"model_type": "gemma3", "text_config": {"hidden_size": 6}}
    arrays = {
        f"{prefix}norm.weight": NORM,
        "vision_tower.norm.weight": NORM,
        "model.multi_modal_projector.weight": KERNEL,
    }
    folder = write_folder(tmp_path / "x", arrays, config=json.dumps(config))
    tensors = TensorFolder(folder)
    assert tensors.config == {"model_type": "gemma3_text", "hidden_size": 6}
    assert tensors.names() == {"model.norm.weight"}
    np.testing.assert_array_equal(tensors.get_slice("model.norm.weight")[:], NORM)


def test_damaged_files(tmp_path):
    target = write_folder(tmp_path / "cut", {"kernel": KERNEL})
    whole = (target / "model.safetensors").read_bytes()
    (target / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"model.safetensors is missing or damaged"):
        TensorFolder(target)
    (target / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has neither model.safetensors nor"):
        TensorFolder(target)
    (target / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json is not JSON"):
        TensorFolder(target)
    with pytest.raises(InputError, match="is not a Hugging Face folder"):
        TensorFolder(tmp_path)


@pytest.mark.parametrize(
    "tensor, message",
    [
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 64]}, "invalid shape"),
        ({"dtype": "F32", "shape": [4, 4], "data_offsets": [64, 0]}, "invalid offset"),
        ({"dtype": "F32"}, "missing field `shape`"),
        (3, "invalid type: integer"),
        ([], "invalid type: sequence"),
    ],
)
def test_a_damaged_header(tmp_path, tensor, message):
    header = json.dumps({"a": tensor} if tensor else tensor).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(64)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(
        InputError, match=f"model.safetensors is missing or damaged .*{message}"
    ):
        TensorFolder(tmp_path)


def test_damaged_folders_of_several_files(tmp_path):
    folder = write_folder(tmp_path / "x", {"kernel": KERNEL}, {"norm": NORM})
    first, second = sorted(folder.glob("*.safetensors"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(
        InputError,
        match=f"{second.name} does not hold .* as model.safetensors.index.json says",
    ):
        TensorFolder(folder).shape("norm")
    second.unlink()
    with pytest.raises(InputError, match=f"{second.name} is missing"):
        TensorFolder(folder).shape("norm")
    for content in ("{}", '{"weight_map": []}'):
        (folder / INDEX).write_text(content)
        with pytest.raises(InputError, match="has no weight_map"):
            TensorFolder(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config.json is not a JSON object"):
        TensorFolder(folder)


def test_tensors_of_other_kinds_are_named(tmp_path):
    arrays = {"model.norm.weight": np.ones(32, np.int8)}
    tensors = TensorFolder(write_folder(tmp_path / "x", arrays))
    with pytest.raises(InputError, match="model.norm.weight in .* is I8; known: F32"):
        tensors.get_slice("model.norm.weight")
