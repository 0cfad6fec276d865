"""What a folder says of its model: by transformers' own folders, and by runs of ours."""

import dataclasses
import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.cli import gin_settings
from flan_jax.errors import InputError
from flan_jax.models.config import config_fields
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.params import abstract_params_on
from flan_jax.parallel.mesh import make_mesh
from flan_jax.training.adafactor import adafactor
from flan_jax.training.state import warm_state
from flan_jax.training.step import train_step
from flan_jax.weights import formats, hugging_face, model_folder

transformers = pytest.importorskip("transformers")
import model_folders
from model_folders import BOS, MODELS, change_config, save_model, their_logits

TOKENS = np.random.default_rng(0).integers(3, 200, (2, 19)).astype(np.int32)


def settings_of(folder, *bindings):
    """The settings of the first run with WARM_START, and what else is written."""
    return gin_settings.load_settings(
        ["flan_mixture.gin"], [f"WARM_START = {str(folder)!r}", *bindings]
    )


def our_logits(config, params, tokens):
    side = {
        "segment_ids": jnp.ones(tokens.shape, jnp.int32),
        "positions": jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape),
        "input_tokens": jnp.asarray(tokens),
    }
    batch = {f"decoder_{name}": value for name, value in side.items()}
    if config.architecture == "encoder_decoder":
        batch |= {f"encoder_{name}": value for name, value in side.items()}
    return np.asarray(jax.jit(config.build().apply)({"params": params}, batch))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama") / "model"
    save_model("llama", folder)
    return folder


@pytest.fixture
def copied(llama, tmp_path):
    """copied(**changes of config.json): a copy of the Llama's folder."""

    def copy(**changes):
        target = tmp_path / "copy"
        shutil.copytree(llama, target)
        change_config(target, **changes)
        return target

    return copy


@pytest.mark.parametrize("name", MODELS)
def test_warm_start_alone_gives_the_logits_of_transformers(name, tmp_path):
    folder = tmp_path / name
    model = save_model(name, folder)
    settings = settings_of(folder)
    assert settings.data.tokenizer == str(folder)
    assert settings.training.model_changes == ()

    like = abstract_params_on(settings.model, make_mesh())
    params = formats.load_params(folder, settings.model, like)
    tokens = np.concatenate([np.full((2, 1), BOS, np.int32), TOKENS], axis=1)
    expected = their_logits(model, tokens)
    actual = our_logits(settings.model, params, tokens)
    assert np.abs(actual - expected).max() <= 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", MODELS)
def test_a_trained_model_gives_its_logits_in_transformers(name, tmp_path, make_batch):
    """Warm start, one step, export: both sides answer alike, and otherwise than before."""
    model = save_model(name, tmp_path / name)
    config = settings_of(tmp_path / name).model
    mesh, tx = make_mesh(), adafactor(1e-2)
    params = formats.load_params(
        tmp_path / name, config, abstract_params_on(config, mesh)
    )
    examples = [[([7, 8, 9, 10], [11, 12, 2])], [([5, 6], [20, 21, 22, 2])]]
    batch = make_batch(config.architecture, examples, {"inputs": 8, "targets": 8})
    step = functools.partial(train_step, model=config.build(), tx=tx, z_loss=1e-4)
    state, _ = jax.jit(step)(warm_state(params, tx, mesh, 0), batch)

    out = tmp_path / "out"
    hugging_face.save_params(out, config, state.params, original=tmp_path / name)
    peer = type(model).from_pretrained(out).eval()
    expected, before = their_logits(peer, TOKENS), their_logits(model, TOKENS)
    actual = our_logits(config, state.params, TOKENS)
    largest = np.abs(expected).max()
    assert np.abs(actual - expected).max() <= 2e-5 * largest
    assert np.abs(expected - before).max() > 1e-2 * largest


def test_prompts_of_a_small_sentencepiece_model_are_those_of_transformers(tmp_path):
    save_model("stories", tmp_path / "stories")
    settings = settings_of(tmp_path / "stories")
    rows = settings.row_tokenizer()
    assert rows.tokens.start == BOS and settings.data.row_format == "text"
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path / "stories")
    for text in ("Is it raining?", "é 日本 🙂\n- yes", "a  b"):
        (tokens,) = rows.encode_prompts([text])
        prompt = rows.prompt(np.array(tokens), {"inputs": 1000})
        assert prompt.tolist() == peer(text + "\n").input_ids


def test_texts_begin_as_the_tokenizer_begins_them(llama, tmp_path):
    assert settings_of(llama).model.start_id == BOS
    save_model("qwen3", tmp_path / "qwen3")
    assert settings_of(tmp_path / "qwen3").model.start_id is None

    no_tokenizer = tmp_path / "bare"
    shutil.copytree(llama, no_tokenizer)
    (no_tokenizer / "tokenizer.json").unlink()
    assert model_folder.model_of(no_tokenizer).start_id == BOS
    (no_tokenizer / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    assert model_folder.model_of(no_tokenizer).start_id is None


def test_weights_in_bfloat16_are_computed_in_it_on_an_accelerator(copied, monkeypatch):
    folder = copied(dtype="bfloat16")
    assert model_folder.model_of(folder).dtype == "float32"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert model_folder.model_of(folder).dtype == "bfloat16"
    change_config(folder, dtype="float32")
    assert model_folder.model_of(folder).dtype == "float32"


def test_the_row_format_of_a_folder(llama, tmp_path):
    assert model_folder.default_row_format(None) is None
    assert model_folder.default_row_format(llama) == "text"
    save_model("t5", tmp_path / "t5")
    assert model_folder.default_row_format(tmp_path / "t5") == "flan"

    chat = tmp_path / "chat"
    shutil.copytree(llama, chat)
    (chat / "chat_template.jinja").write_text("{{ messages }}")
    assert model_folder.default_row_format(chat) == "chat"
    (chat / "chat_template.jinja").unlink()
    config = json.loads((chat / "tokenizer_config.json").read_text())
    template = json.dumps(config | {"chat_template": "{{ messages }}"})
    (chat / "tokenizer_config.json").write_text(template)
    assert model_folder.default_row_format(chat) == "chat"

    texts = {"separator": "\n\n"}
    (chat / model_folder.ROW_FORMAT_FILE).write_text(json.dumps(texts))
    assert model_folder.default_row_format(chat) == texts


LLAMA = DecoderConfig(
    vocab_size=64,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=24,
    num_layers=2,
    position="rope",
    rope_scaling={"type": "linear", "factor": 2.0},
    mlp_activations=("silu", "linear"),
    prefix_lm=False,
    dropout_rate=0.0,
)
T5 = EncoderDecoderConfig(
    vocab_size=64,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=24,
    num_encoder_layers=1,
    num_decoder_layers=2,
)


def run_of(folder, config, **identity):
    """A run directory with a checkpoint's folder and a manifest.json, as a trained run has them."""
    (folder / "checkpoints" / "3").mkdir(parents=True)
    manifest = {
        "identity": {"model": config_fields(config), **identity},
        "data": {"tokenizer": "practice"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("config", [LLAMA, T5], ids=["decoder", "encoder-decoder"])
def test_a_run_names_its_model(config, tmp_path):
    computed_otherwise = dataclasses.replace(config, remat="full", scan_layers=False)
    run = run_of(tmp_path / "run", computed_otherwise, row_format={"separator": " "})
    assert model_folder.model_of(run) == config
    assert model_folder.model_of(run / "checkpoints") == config
    assert model_folder.tokenizer_of(run) == "practice"
    assert model_folder.default_row_format(run) == {"separator": " "}
    settings = settings_of(run)
    assert settings.model == config
    assert settings.data.tokenizer == "practice"


def test_a_run_with_layers_of_a_user_names_its_gin_file(tmp_path):
    class Loud(model_folder.DecoderConfig.dense):
        pass

    run = run_of(tmp_path / "run", dataclasses.replace(LLAMA, dense=Loud))
    with pytest.raises(InputError, match=r"has dense = .*Loud.*run/config.gin"):
        model_folder.model_of(run)


def test_a_t5x_checkpoint_does_not_name_its_model(tmp_path):
    checkpoint = tmp_path / "checkpoint_100"
    checkpoint.mkdir()
    (checkpoint / "checkpoint").write_bytes(b"")
    with pytest.raises(InputError, match=r"T5X checkpoint.*models/.*t5_1_1_base.gin"):
        model_folder.model_of(checkpoint)


def test_unexpected_settings_are_sentences(llama):
    expected = model_folder.model_of(llama)
    assert model_folder.unexpected_settings(llama, expected, BOS) == []

    config = dataclasses.replace(
        expected, start_id=None, prefix_lm=True, norm_epsilon=1e-3
    )
    changes = ["norm_epsilon"]
    first, second, third = model_folder.unexpected_settings(llama, config, 0, changes)
    assert "norm_epsilon changed" in first and "0.001, not 1e-06" in first
    assert f"Write DecoderConfig.start_id = {BOS}" in second
    assert "Write DecoderConfig.prefix_lm = False" in third


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"num_hidden_layers": 10**7}, "has 10000000 layers, and there are only"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"vocab_size": 10**9}, "vocab_size is 1000000000"),
        ({"vocab_size": 10**7}, r"\(10000000, 16\), and model.embed_tokens.weight"),
        ({"vocab_size": None}, "does not say 'vocab_size'"),
        ({"hidden_size": "16"}, "hidden_size is '16'"),
        ({"hidden_size": [16]}, r"hidden_size is \[16\]"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is nan"),
        ({"rms_norm_eps": float("inf")}, "rms_norm_eps is inf"),
        ({"rms_norm_eps": -1e-5}, "rms_norm_eps is -1e-05"),
        ({"bos_token_id": 10**9}, "bos_token_id is 1000000000"),
        ({"bos_token_id": "<s>"}, "bos_token_id is '<s>'"),
        ({"model_type": "phi3"}, "'phi3'.*not read.*gemma3_text.*olmo2.*t5"),
        ({"attention_bias": True}, "attention_bias = True"),
    ],
)
def test_a_damaged_config_json_is_named_with_its_setting(change, message, copied):
    folder = copied(**change)
    with pytest.raises(InputError, match=message) as raised:
        model_folder.model_of(folder)
    assert "config.json" in str(raised.value)


def test_a_config_json_that_is_no_object(copied):
    folder = copied()
    (folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match="config.json is not a JSON object"):
        model_folder.model_of(folder)


def test_a_changed_setting_is_loaded_and_any_other_difference_refused(llama):
    config = dataclasses.replace(model_folder.model_of(llama), norm_epsilon=1e-3)
    like = abstract_params_on(config, make_mesh())
    with pytest.raises(InputError, match=r"norm_epsilon: 0.001, not 1e-06.*from_warm"):
        hugging_face.load_params(llama, config, like)
    hugging_face.load_params(llama, config, like, ["norm_epsilon"])


def test_a_written_manifest_names_the_model(tmp_path):
    (tmp_path / "out" / "checkpoints" / "0").mkdir(parents=True)
    model_folder.write_manifest(tmp_path / "out", LLAMA, "practice", "text")
    assert model_folder.model_of(tmp_path / "out") == LLAMA
    assert model_folder.tokenizer_of(tmp_path / "out") == "practice"
    assert model_folder.default_row_format(tmp_path / "out") == "text"

    # A tokenizer in the folder itself comes first.
    model_folders.save_tokenizer(tmp_path / "out", adds_bos=False)
    assert model_folder.tokenizer_of(tmp_path / "out") == str(tmp_path / "out")
