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
        ({"dtype": "F32", "shape": [4, 4], "data_offsets": [-64, 0]}, "integer `-64`"),
        ({"dtype": "F32", "shape": [-4, -4], "data_offsets": [0, 64]}, "integer `-4`"),
        ({"dtype": "F32", "shape": [2**40] * 2, "data_offsets": [0, 64]}, "overflow"),
        (
            {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
            "file not fully covered",
        ),
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


def test_tensors_that_overlap(tmp_path):
    tensor = {"dtype": "F32", "shape": [4, 2]}
    header = json.dumps(
        {
            "a": {**tensor, "data_offsets": [0, 32]},
            "b": {**tensor, "data_offsets": [16, 48]},
        }
    ).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(48)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="damaged .*invalid offset for tensor `b`"):
        TensorFolder(tmp_path)


def test_a_header_that_claims_to_be_huge(tmp_path):
    """The file is as long as it says, but sparse: nothing of it is on the disk."""
    (tmp_path / "config.json").write_text("{}")
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write((10**12).to_bytes(8, "little"))
        file.truncate(2 * 10**12)
    with pytest.raises(InputError, match="damaged .*header too large"):
        TensorFolder(tmp_path)


@pytest.mark.parametrize(
    "file", ["../else/model.safetensors", "/etc/passwd", "a/../../b", "", 3, None]
)
def test_an_index_that_points_out_of_the_folder_is_refused(tmp_path, file):
    folder = write_folder(tmp_path / "x", {"kernel": KERNEL}, {"norm": NORM})
    write_folder(tmp_path / "else", {"kernel": KERNEL})
    (folder / INDEX).write_text(json.dumps({"weight_map": {"kernel": file}}))
    with pytest.raises(InputError, match="kernel lies in .* not the name of a file in"):
        TensorFolder(folder)


def test_links_to_files_elsewhere_are_followed(tmp_path):
    """The cache of the Hugging Face hub is made of them."""
    folder = write_folder(tmp_path / "x", {"kernel": KERNEL}, {"norm": NORM})
    file = folder / "model-1.safetensors"
    file.rename(tmp_path / "blob")
    file.symlink_to("../blob")
    np.testing.assert_array_equal(TensorFolder(folder).get_slice("kernel")[:], KERNEL)


class TestAnIndexBesideAWholeFile:
    """Both may be right, one may be stale, or they contradict each other."""

    def both(self, tmp_path, whole):
        folder = write_folder(tmp_path / "x", {"kernel": KERNEL}, {"norm": NORM})
        save_file(whole, folder / "model.safetensors")
        return folder

    def test_the_whole_file_is_read_as_in_transformers(self, tmp_path):
        whole = {"kernel": KERNEL + 1, "norm": NORM + 1}
        tensors = TensorFolder(self.both(tmp_path, whole))
        np.testing.assert_array_equal(tensors.get_slice("norm")[:], NORM + 1)
        assert tensors.note is not None
        assert "holds the weights twice: read model.safetensors" in tensors.note

    def test_the_index_is_stale_if_its_files_are_gone(self, tmp_path):
        folder = self.both(tmp_path, {"other": NORM})
        (folder / "model-2.safetensors").unlink()
        tensors = TensorFolder(folder)
        assert tensors.names() == {"other"}
        assert tensors.note is not None
        assert f"{INDEX} is stale: its file model-2.safetensors is not" in tensors.note

    @pytest.mark.parametrize(
        "whole, named",
        [
            ({"kernel": KERNEL}, "norm"),
            ({"kernel": KERNEL, "norm": NORM, "more": NORM}, "more"),
            ({"kernel": KERNEL[1:], "norm": NORM}, "kernel"),
            ({"kernel": KERNEL, "norm": NORM.astype(np.float16)}, "norm"),
        ],
    )
    def test_two_different_models_are_refused(self, tmp_path, whole, named):
        folder = self.both(tmp_path, whole)
        with pytest.raises(
            InputError, match=f"weights twice.*differ in 1 tensors, {named} .* Delete"
        ):
            TensorFolder(folder)

    def test_an_index_of_the_whole_file_says_nothing(self, tmp_path):
        folder = write_folder(tmp_path / "x", {"kernel": KERNEL})
        index = {"weight_map": {"kernel": "model.safetensors"}}
        (folder / INDEX).write_text(json.dumps(index))
        assert TensorFolder(folder).note is None


def test_two_tensors_of_one_name_in_the_text_model_are_refused(tmp_path):
    config = {"model_type": "gemma3", "text_config": {}}
    arrays = {
        "model.language_model.norm.weight": NORM,
        "language_model.model.norm.weight": NORM + 1,
    }
    folder = write_folder(tmp_path / "x", arrays, config=json.dumps(config))
    with pytest.raises(InputError, match=r"are both model.norm.weight of the text"):
        TensorFolder(folder)


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
