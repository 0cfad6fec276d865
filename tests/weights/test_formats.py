"""Parameters in any format: which one a path is, what is written, and what identifies it."""

import dataclasses
import os

import jax
import numpy as np
import pytest
from flax import serialization
from same_trees import assert_same

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import abstract_params_on
from flan_jax.parallel.mesh import make_mesh
from flan_jax.training.adafactor import adafactor
from flan_jax.training.checkpoints import CheckpointConfig, Checkpoints
from flan_jax.training.state import warm_state
from flan_jax.weights import formats, t5x
from flan_jax.weights.formats import (
    FORMATS,
    check_target,
    format_of,
    load_params,
    save_params,
    source_facts,
    step_of,
)

SIZES = {
    "vocab_size": 32,
    "emb_dim": 8,
    "num_heads": 2,
    "head_dim": 4,
    "mlp_dim": 12,
    "dropout_rate": 0.0,
}
T5 = EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=2, **SIZES)
LLAMA = DecoderConfig(
    num_layers=2,
    position="rope",
    query_scale=4**-0.5,
    prefix_lm=False,
    mlp_activations=("silu", "linear"),
    **SIZES,
)
NORMS_AND_BIASES = r"scale$|bias$"


def shapes_of(config):
    return abstract_params_on(config, make_mesh())


def random_params(config):
    generator = np.random.default_rng(0)

    def array(leaf):
        values = generator.normal(size=leaf.shape).astype(np.float32)
        return jax.device_put(values, leaf.sharding)

    return jax.tree.map(array, shapes_of(config))


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_saved_in_a_format_is_loaded_bit_for_bit(tmp_path, kind):
    params = random_params(T5)
    save_params(tmp_path / "out", kind, T5, params)
    assert format_of(tmp_path / "out") == kind
    assert_same(load_params(tmp_path / "out", T5, shapes_of(T5)), params)


def test_settings_of_hugging_face_folders_are_passed_on(tmp_path):
    tokenizer = tmp_path / "mine.json"
    tokenizer.write_text("{}")
    save_params(
        tmp_path / "out",
        "hugging_face",
        LLAMA,
        random_params(LLAMA),
        dtype="bfloat16",
        companions={"tokenizer.json": tokenizer},
    )
    assert '"dtype": "bfloat16"' in (tmp_path / "out" / "config.json").read_text()
    assert (tmp_path / "out" / "tokenizer.json").read_text() == "{}"


def test_an_unknown_format_is_an_error(tmp_path):
    with pytest.raises(InputError, match="unknown format 'onnx'.*hugging_face"):
        save_params(tmp_path / "out", "onnx", LLAMA, {})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", FORMATS)
def test_no_format_is_written_over_what_is_there_or_to_a_bucket(tmp_path, kind):
    with pytest.raises(InputError, match="exists already; name a folder that does not"):
        save_params(tmp_path, kind, LLAMA, {})
    with pytest.raises(InputError, match="cannot write to gs://bucket/out: name a lo"):
        save_params("gs://bucket/out", kind, LLAMA, {})
    assert list(tmp_path.iterdir()) == []


def test_a_target_in_the_users_home_is_checked_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    check_target("~/out")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="~/out exists already"):
        check_target("~/out")


def test_a_folder_of_nothing_known_is_taken_for_a_run_directory(tmp_path):
    assert format_of(tmp_path) == "flan_jax"
    with pytest.raises(InputError, match="holds no finished checkpoint"):
        load_params(tmp_path, LLAMA, shapes_of(LLAMA))


def test_a_path_that_is_no_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="there is no folder .*/gone to take param"):
        format_of(tmp_path / "gone")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(InputError, match="model.bin is a file. Give a run directory"):
        format_of(tmp_path / "model.bin")


@pytest.mark.parametrize(
    "name, message",
    [
        ("adapter_config.json", "adapters of the peft library.*merge_and_unload"),
        ("model-Q4_K_M.gguf", "GGUF files, which are not read"),
        ("model.safetensors", "safetensors but no config.json"),
    ],
)
def test_files_that_people_take_for_a_model_are_refused(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(InputError, match=message):
        format_of(tmp_path)


def test_a_bucket_that_cannot_be_reached(monkeypatch):
    """No path with a bucket in it goes through pathlib, which would make gs:/ of gs://."""
    asked = []
    monkeypatch.setattr(
        formats.t5x, "is_checkpoint", lambda source: asked.append(source) or False
    )
    with pytest.raises(
        InputError, match="no T5X checkpoint at gs://bucket/t5, or it cannot be reached"
    ):
        formats.format_of("gs://bucket/t5")
    assert asked == ["gs://bucket/t5"]


def test_frozen_parameters_are_loaded_from_the_warm_start(tmp_path):
    config = dataclasses.replace(LLAMA, attention_bias=True, qk_norm=True)
    save_params(tmp_path / "base", "flan_jax", config, random_params(config))
    base = load_params(tmp_path / "base", config, shapes_of(config))
    tx = adafactor(1e-2, min_dim_size_to_factor=16)
    state = warm_state(base, tx, make_mesh(), 0, trainable=NORMS_AND_BIASES)
    state = state.replace(params=jax.tree.map(lambda leaf: leaf + 1.0, state.params))
    identity = {
        "trainable": NORMS_AND_BIASES,
        "source": source_facts(tmp_path / "base"),
    }
    saved = Checkpoints(tmp_path / "run" / "checkpoints", CheckpointConfig(), identity)
    saved.save(state, loss=1.0)
    saved.close()

    like = shapes_of(config)
    assert_same(load_params(tmp_path / "run", config, like), state.all_params)
    (tmp_path / "base" / "checkpoints" / "0" / "new").write_text("")
    with pytest.raises(InputError, match="those of .*base, which has changed since"):
        load_params(tmp_path / "run", config, like)


def test_the_step_of_parameters_in_each_format(tmp_path):
    params = random_params(T5)
    t5x.save_params(tmp_path / "t5x", params, 30)
    assert step_of(tmp_path / "t5x") == 30
    assert step_of(tmp_path / "t5x" / "checkpoint_30" / "checkpoint") == 30
    save_params(tmp_path / "theirs", "hugging_face", T5, params)
    assert step_of(tmp_path / "theirs") == 0
    save_params(tmp_path / "run", "flan_jax", T5, params)
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / "0").rename(checkpoints / "120")
    assert step_of(tmp_path / "run") == 120
    save_params(tmp_path / "out", "t5x", T5, params, step=120)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["checkpoint_120"]


def test_a_t5x_checkpoint_of_one_file_has_an_identity(tmp_path):
    params = jax.tree.map(np.asarray, random_params(T5))
    path = tmp_path / "tiny.checkpoint_9"
    path.write_bytes(serialization.to_bytes({"optimizer": {"target": params}}))
    facts = source_facts(path)
    assert facts["path"] == str(path)
    assert facts == source_facts(str(path))
    assert step_of(path) == 9
    path.write_bytes(path.read_bytes() + b"more")
    assert source_facts(path)["files"] != facts["files"]


@pytest.fixture
def hugging_face_folder(tmp_path):
    """A folder of two files, which are never read."""
    folder = tmp_path / "model"
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "onnx" / "weights").write_text("1")
    return folder


def test_a_source_is_the_same_by_each_of_its_paths(hugging_face_folder, monkeypatch):
    facts = source_facts(hugging_face_folder)
    assert facts["path"] == str(hugging_face_folder)
    monkeypatch.chdir(hugging_face_folder.parent)
    monkeypatch.setenv("HOME", str(hugging_face_folder.parent))
    assert source_facts("model") == facts
    assert source_facts("~/model") == facts


def test_a_source_is_another_after_any_change_of_its_files(hugging_face_folder):
    seen = [source_facts(hugging_face_folder)["files"]]
    file = hugging_face_folder / "onnx" / "weights"
    modified = file.stat().st_mtime

    file.write_text("22")
    os.utime(file, (modified, modified))
    seen.append(source_facts(hugging_face_folder)["files"])
    os.utime(file, (modified, modified + 5))
    seen.append(source_facts(hugging_face_folder)["files"])
    file.rename(file.with_name("renamed"))
    seen.append(source_facts(hugging_face_folder)["files"])
    assert len(set(seen)) == 4


def test_only_the_latest_checkpoint_of_a_run_identifies_it(tmp_path):
    for step in ("9", "10"):
        (tmp_path / "checkpoints" / step).mkdir(parents=True)
        (tmp_path / "checkpoints" / step / "params").write_text("")
    facts = source_facts(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("{}")
    (tmp_path / "checkpoints" / "9" / "params").write_text("changed")
    assert source_facts(tmp_path) == facts
    (tmp_path / "checkpoints" / "10" / "params").write_text("changed")
    assert source_facts(tmp_path) != facts
