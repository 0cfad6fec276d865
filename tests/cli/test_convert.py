"""launch/convert.py: weights from format to format, and a run that starts from foreign ones."""

import json

import jax
import numpy as np
import pytest
from flax import serialization, traverse_util

from flan_jax.cli import convert, program, train
from flan_jax.data.tokenizers import PRACTICE_MODEL
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import abstract_params_on
from flan_jax.parallel.mesh import make_mesh
from flan_jax.training.optimizers import adamw
from flan_jax.training.state import init_state
from flan_jax.weights import formats, hugging_face, t5x
from flan_jax.weights.orbax import load_params, save_params
from flan_jax.weights.shapes import unstacked_arrays

SIZES = {
    "vocab_size": 4096,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
T5_SIZES = {**SIZES, "num_encoder_layers": 1, "num_decoder_layers": 2}
LLAMA_SIZES = {
    **SIZES,
    "num_layers": 2,
    "position": "rope",
    "query_scale": 8**-0.5,
    "prefix_lm": False,
    "mlp_activations": ("silu", "linear"),
}
MODELS = {"t5": EncoderDecoderConfig(**T5_SIZES), "llama": DecoderConfig(**LLAMA_SIZES)}


def gin_of(class_name, sizes):
    lines = [f"MODEL = @{class_name}()"]
    lines += [f"{class_name}.{name} = {value!r}" for name, value in sizes.items()]
    return "\n".join(lines) + "\n"


GIN = {
    "t5": gin_of("EncoderDecoderConfig", T5_SIZES),
    "llama": gin_of("DecoderConfig", LLAMA_SIZES),
}


def params_of(config):
    return init_state(config, adamw(lambda step: 0.1), make_mesh(), 0).params


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(params=MODELS)
def folder(request, tmp_path):
    """(the model's name, a Hugging Face folder of it, its parameters)."""
    config = MODELS[request.param]
    params = params_of(config)
    hugging_face.save_params(
        tmp_path / "theirs",
        config,
        params,
        companions={"tokenizer.model": PRACTICE_MODEL},
    )
    return request.param, tmp_path / "theirs", params


def test_there_and_back_again(folder, tmp_path, capsys):
    name, theirs, params = folder
    (tmp_path / "model.gin").write_text(GIN[name])
    assert (
        program.exit_code(
            convert.main, [str(theirs), str(tmp_path / "ours"), "--to=flan_jax"]
        )
        == 0
    )
    equal(
        load_params(tmp_path / "ours", abstract_params_on(MODELS[name], make_mesh())),
        params,
    )
    back = [
        str(tmp_path / "ours"),
        str(tmp_path / "back"),
        f"--gin_file={tmp_path / 'model.gin'}",
    ]
    assert program.exit_code(convert.main, [*back, f"--original={theirs}"]) == 0
    assert "parameters are in" in capsys.readouterr().out
    names = {file.name for file in theirs.iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "spiece.model" if name == "t5" else "tokenizer.model",
    }
    answering = {
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "row_format.json",
    }
    assert {file.name for file in (tmp_path / "back").iterdir()} == names | answering
    for file in names - {"config.json"}:
        assert (tmp_path / "back" / file).read_bytes() == (theirs / file).read_bytes()


def converted(*flags):
    assert program.exit_code(convert.main, [str(flag) for flag in flags]) == 0


def test_by_way_of_t5x(tmp_path, capsys):
    """T5X gets the run's step, and the settings without which it fails are printed."""
    config = MODELS["t5"]
    params = params_of(config)
    save_params(tmp_path / "run", params)
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / "0").rename(checkpoints / "12")
    (tmp_path / "model.gin").write_text(GIN["t5"])
    model = f"--gin_file={tmp_path / 'model.gin'}"
    converted(tmp_path / "run", tmp_path / "t5x", "--to=t5x", model)
    assert t5x.restore_settings(tmp_path / "t5x" / "checkpoint_12") in (
        capsys.readouterr().out
    )
    converted(tmp_path / "t5x", tmp_path / "again", "--to=t5x", model)
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["checkpoint_12"]

    converted(tmp_path / "again", tmp_path / "back", model)
    assert "assignment_map" not in capsys.readouterr().out.split("in ")[-1]
    equal(
        hugging_face.load_params(
            tmp_path / "back", config, abstract_params_on(config, make_mesh())
        ),
        params,
    )


@pytest.mark.parametrize("to", formats.FORMATS)
def test_a_damaged_model_is_not_converted(tmp_path, capsys, to):
    params = params_of(MODELS["llama"])
    norm = params["decoder"]["decoder_norm"]
    norm["scale"] = norm["scale"].at[3].set(np.nan)
    hugging_face.save_params(tmp_path / "theirs", MODELS["llama"], params)
    flags = [str(tmp_path / "theirs"), str(tmp_path / "out"), f"--to={to}"]
    assert program.exit_code(convert.main, flags) == 2
    assert "hold NaN or infinite numbers: model.norm.weight" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def run_gin(tmp_path, name):
    """Writes the gin file of a run of one step with practice rows."""
    file = tmp_path / "run.gin"
    file.write_text(
        f"include 'train.gin'\nimport tasks\n{GIN[name]}"
        "MIXTURE = 'cb'\nSOURCE = 'sandbox'\nTOKENIZER = 'practice'\n"
        "LENGTHS = {'inputs': 64, 'targets': 16}\n"
        "BATCH_SIZE = 8\nSTEPS = 1\nLEARNING_RATE = 1e-3\n"
        "DataConfig.workers = 0\nDataConfig.examples_per_dataset = 20\n"
        "DataConfig.eval_examples = 4\nDataConfig.seen_eval_examples = 2\n"
    )
    return file


def test_a_run_starts_from_a_t5x_checkpoint_of_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    params = params_of(MODELS["t5"])
    layers = {array.name: array.read() for array in unstacked_arrays(params)}
    target = traverse_util.unflatten_dict(layers, sep="/")
    checkpoint = {"version": 3, "optimizer": {"target": target}}
    (tmp_path / "checkpoint").write_bytes(serialization.to_bytes(checkpoint))
    flags = [
        f"--gin_file={run_gin(tmp_path, 't5')}",
        f"--gin.WARM_START={tmp_path / 'checkpoint'}",
        f"--run_dir={tmp_path / 'run'}",
    ]
    before = jax.config.jax_compilation_cache_dir
    try:
        assert program.exit_code(train.main, flags) == 0
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    like = abstract_params_on(MODELS["t5"], make_mesh())
    tuned = load_params(tmp_path / "run", like)
    moved = [
        np.abs(np.asarray(a) - np.asarray(b)).max()
        for a, b in zip(*map(jax.tree.leaves, (tuned, params)), strict=True)
    ]
    assert 0 < max(moved) < 0.2


def test_a_run_starts_from_a_folder_and_leaves_one(folder, tmp_path, monkeypatch):
    name, theirs, params = folder
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = jax.config.jax_compilation_cache_dir
    flags = [
        f"--gin_file={run_gin(tmp_path, name)}",
        f"--gin.WARM_START={theirs}",
        "--gin.ROW_FORMAT=flan",  # the tokenizer has no newline, which plain text would need
        f"--run_dir={tmp_path / 'run'}",
    ]
    try:
        assert program.exit_code(train.main, flags) == 0
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    # The run says itself what its model and its tokenizer are.
    assert (
        program.exit_code(
            convert.main, [str(tmp_path / "run"), str(tmp_path / "alone")]
        )
        == 0
    )
    (file,) = (tmp_path / "alone").glob("*.model")
    assert file.read_bytes() == PRACTICE_MODEL.read_bytes()
    assert (
        program.exit_code(
            convert.main,
            [
                str(tmp_path / "run"),
                str(tmp_path / "out"),
                f"--original={theirs}",
                "--dtype=bfloat16",
            ],
        )
        == 0
    )
    assert (
        json.loads((tmp_path / "out" / "config.json").read_text())["dtype"]
        == "bfloat16"
    )
    tuned = hugging_face.load_params(
        tmp_path / "out", MODELS[name], abstract_params_on(MODELS[name], make_mesh())
    )
    moved = [
        np.abs(np.asarray(a) - np.asarray(b)).max()
        for a, b in zip(*map(jax.tree.leaves, (tuned, params)), strict=True)
    ]
    assert 0 < max(moved) < 0.2


def test_errors(tmp_path, capsys):
    def said(*flags):
        assert program.exit_code(convert.main, list(map(str, flags))) == 2
        return capsys.readouterr().err

    assert "there is no folder" in said(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert "name the model's gin file" in said(tmp_path / "empty", tmp_path / "out")
    hugging_face.save_params(
        tmp_path / "theirs", MODELS["llama"], params_of(MODELS["llama"])
    )
    assert "exists already" in said(tmp_path / "theirs", tmp_path / "empty")
    assert "unknown dtype 'int8'" in said(
        tmp_path / "theirs", tmp_path / "out", "--dtype=int8"
    )
    assert "there is no tokenizer" in said(
        tmp_path / "theirs", tmp_path / "out", "--tokenizer=gone.model"
    )
    assert "name a local folder" in said(tmp_path / "theirs", "gs://bucket/out")
    assert "is a file" in said(
        tmp_path / "theirs" / "model.safetensors", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


def test_another_tokenizer_leaves_out_the_originals(folder, tmp_path):
    name, theirs, params = folder
    (theirs / "tokenizer.json").write_text("{}")
    (theirs / "generation_config.json").write_text("{}")
    hugging_face.save_params(
        tmp_path / "out",
        MODELS[name],
        params,
        original=theirs,
        companions={"tokenizer.model": PRACTICE_MODEL},
    )
    names = {file.name for file in (tmp_path / "out").iterdir()} - {
        "config.json",
        "model.safetensors",
    }
    assert names == {
        "generation_config.json",
        "spiece.model" if name == "t5" else "tokenizer.model",
    }
