"""Weights to and from Hugging Face folders, against models that transformers makes and saves.

transformers and torch come with `pip install .[parity]`.
"""

import dataclasses
import json
import re
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from flan_jax.errors import InputError
from flan_jax.models.params import abstract_params_on
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights import hugging_face
from flan_jax.weights.safetensors_folder import TensorFolder

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

DECODER = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
T5 = {
    "vocab_size": 96,
    "d_model": 24,
    "d_kv": 6,
    "d_ff": 40,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
}
GEMMA = DECODER | {"sliding_window": 6, "query_pre_attn_scalar": 12, "pad_token_id": 0}


def t5(**settings):
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(**T5 | settings)
    )


def mt5(**settings):
    return transformers.MT5ForConditionalGeneration(
        transformers.MT5Config(**T5 | settings)
    )


def llama(**settings):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**DECODER | settings))


def mistral(**settings):
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(**DECODER | settings)
    )


def qwen2(**settings):
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**DECODER | settings))


def qwen3(**settings):
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**DECODER | settings))


def gemma2(**settings):
    return transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**GEMMA | settings))


def gemma3(**settings):
    return transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(**GEMMA | settings)
    )


FAMILIES = {
    "t5_1_0": t5,
    "t5_1_1": lambda: _untied(
        t5(feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "t5_unscaled": lambda: t5(
        feed_forward_proj="gated-silu", tie_word_embeddings=False
    ),
    "mt5": lambda: _untied(mt5(tie_word_embeddings=False)),
    "llama": lambda: llama(rope_parameters=LLAMA3),
    "llama_tied": lambda: llama(tie_word_embeddings=True),
    "mistral": lambda: mistral(sliding_window=6),
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma2": gemma2,
    "gemma3": gemma3,
}
every_family = pytest.mark.parametrize("name", FAMILIES)


def _untied(model):
    """Gives T5 1.1 a head of its own: transformers 5 ties it, whatever the config says."""
    model.lm_head = torch.nn.Linear(
        model.config.d_model, model.config.vocab_size, bias=False
    )
    model._tied_weights_keys = {
        k: v for k, v in model._tied_weights_keys.items() if k != "lm_head.weight"
    }
    return model


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    """peers(name) -> (a random model, the folder it saved itself to)."""
    made = {}

    def peer(name):
        if name not in made:
            torch.manual_seed(0)
            model = FAMILIES[name]().eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            folder = tmp_path_factory.mktemp(name) / "model"
            model.save_pretrained(folder, max_shard_size="20KB")
            made[name] = model, folder
        return made[name]

    return peer


def read(tensors, name):
    return tensors.get_slice(name)[:]


def load(folder, mesh=None, **changes):
    config = dataclasses.replace(hugging_face.read_config(folder), **changes)
    return config, hugging_face.load_params(
        folder, config, abstract_params_on(config, mesh or make_mesh())
    )


def their_logits(model, tokens):
    tokens = torch.tensor(tokens)
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            return (
                model(input_ids=tokens, decoder_input_ids=tokens.flip(1))
                .logits.float()
                .numpy()
            )
        return model(input_ids=tokens).logits.float().numpy()


def our_logits(config, params, tokens):
    shape = tokens.shape
    side = {
        "segment_ids": jnp.ones(shape, jnp.int32),
        "positions": jnp.broadcast_to(jnp.arange(shape[1])[None], shape),
    }
    batch = {f"decoder_{key}": value for key, value in side.items()} | {
        "decoder_input_tokens": jnp.asarray(tokens)
    }
    if config.architecture == "encoder_decoder":
        batch |= {f"encoder_{key}": value for key, value in side.items()}
        batch |= {
            "encoder_input_tokens": jnp.asarray(tokens),
            "decoder_input_tokens": jnp.asarray(tokens[:, ::-1]),
        }
    return np.asarray(config.build().apply({"params": params}, batch))


TOKENS = np.random.default_rng(0).integers(3, 96, (2, 19)).astype(np.int32)


@pytest.mark.parametrize(
    "name, scan_layers",
    [*((name, True) for name in FAMILIES), ("t5_1_1", False), ("gemma3", False)],
)
def test_logits_are_those_of_transformers(name, scan_layers, peers):
    model, folder = peers(name)
    config, params = load(folder, scan_layers=scan_layers)
    wanted = their_logits(model, TOKENS)
    assert (
        np.abs(our_logits(config, params, TOKENS) - wanted).max()
        <= 1e-4 * np.abs(wanted).max()
    )


@pytest.mark.parametrize("name", ["t5_1_1", "llama", "gemma3"])
def test_logits_in_bfloat16(name, peers):
    """Eight bits of mantissa through a few layers: 3 % of the largest logit, 1 % on average."""
    model, folder = peers(name)
    config, params = load(folder, dtype="bfloat16")
    wanted = their_logits(model, TOKENS)
    error = np.abs(our_logits(config, params, TOKENS) - wanted) / np.abs(wanted).max()
    assert error.max() <= 3e-2 and error.mean() <= 1e-2


@every_family
def test_a_round_trip_is_bit_equal(name, peers, tmp_path):
    model, folder = peers(name)
    config, params = load(folder)
    hugging_face.save_params(tmp_path / "kept", config, params, original=folder)
    hugging_face.save_params(tmp_path / "made", config, params)
    for again in (tmp_path / "kept", tmp_path / "made"):
        before, after = TensorFolder(folder), TensorFolder(again)
        assert after.names() == before.names() - {
            "encoder.embed_tokens.weight",
            "decoder.embed_tokens.weight",
        }
        assert all(
            np.array_equal(read(before, name), read(after, name))
            for name in after.names()
        )
        theirs = type(model).from_pretrained(again).eval()
        if name in ("t5_1_1", "mt5"):  # as in _untied
            _untied(theirs)
            with torch.no_grad():
                theirs.lm_head.weight.copy_(
                    torch.from_numpy(read(after, "lm_head.weight"))
                )
        assert np.array_equal(their_logits(theirs, TOKENS), their_logits(model, TOKENS))


def test_bfloat16_files(peers, tmp_path):
    model, _ = peers("llama")
    half = type(model)(model.config).to(torch.bfloat16)
    half.save_pretrained(tmp_path / "half")
    config, params = load(tmp_path / "half")
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    hugging_face.save_params(
        tmp_path / "again", config, params, dtype="bfloat16", original=tmp_path / "half"
    )
    before, after = TensorFolder(tmp_path / "half"), TensorFolder(tmp_path / "again")
    for name in before.names():
        assert read(before, name).dtype == read(after, name).dtype
        assert read(before, name).tobytes() == read(after, name).tobytes()


def test_each_device_gets_its_piece(peers, monkeypatch):
    _, folder = peers("qwen3")
    _, whole = load(folder)
    monkeypatch.setattr(
        hugging_face, "BLOCK_ROWS", 5
    )  # several to a piece, the last one shorter
    _, split = load(folder, make_mesh({"fsdp": 4, "tensor": 2}))
    kernel = split["decoder"]["layers"]["mlp"]["wi_0"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(4, 8, 24)}
    jax.tree.map(np.testing.assert_array_equal, whole, split)


def test_several_files(peers, tmp_path, monkeypatch):
    _, folder = peers("mistral")
    config, params = load(folder)
    monkeypatch.setattr(hugging_face, "FILE_BYTES", 30_000)
    hugging_face.save_params(tmp_path / "out", config, params)
    files = sorted(file.name for file in (tmp_path / "out").glob("*.safetensors"))
    assert len(files) > 2 and files[0] == f"model-00001-of-{len(files):05}.safetensors"
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path / "out")[1], params)


@pytest.mark.parametrize(
    "model",
    [
        lambda: llama(head_dim=14, num_key_value_heads=1, vocab_size=101),
        lambda: gemma3(layer_types=["sliding_attention", "full_attention"] * 2),
        lambda: gemma3(layer_types=["full_attention"] * 4),
        lambda: gemma2(
            layer_types=["sliding_attention"] * 3 + ["full_attention"],
            tie_word_embeddings=False,
        ),
        lambda: t5(d_kv=7, num_heads=3),
    ],
    ids=[
        "odd sizes",
        "every second layer global",
        "no local layers",
        "Gemma 2 untied",
        "odd T5",
    ],
)
def test_other_shapes(model, tmp_path):
    torch.manual_seed(0)
    model = model().eval()
    model.save_pretrained(tmp_path / "theirs")
    wanted = their_logits(model, TOKENS)
    config, params = load(tmp_path / "theirs")
    assert (
        np.abs(our_logits(config, params, TOKENS) - wanted).max()
        <= 1e-4 * np.abs(wanted).max()
    )
    hugging_face.save_params(tmp_path / "made", config, params)
    again, report = type(model).from_pretrained(
        tmp_path / "made", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert np.array_equal(their_logits(again.eval(), TOKENS), wanted)
    config, params = load(tmp_path / "theirs", scan_layers=False)
    hugging_face.save_params(tmp_path / "unrolled", config, params)
    files = [
        (tmp_path / name / "model.safetensors").read_bytes()
        for name in ("made", "unrolled")
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "prefix",
    [
        ("model.language_model.", "lm_head."),
        ("language_model.model.", "language_model.lm_head."),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_the_text_model_of_a_gemma_with_images(peers, tmp_path, prefix, tied):
    """Under transformers 5's names of its tensors, and under those of published files."""
    torch.manual_seed(0)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = transformers.Gemma3Config(
        text_config=GEMMA | {"tie_word_embeddings": tied},
        tie_word_embeddings=tied,
        mm_tokens_per_image=4,
        vision_config=vision | {"image_size": 28, "patch_size": 14},
    )
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path / "saved")
    arrays = load_file(tmp_path / "saved" / "model.safetensors")
    assert any("vision_tower" in name for name in arrays)
    renamed = {}
    for name, array in arrays.items():
        name = re.sub(
            r"^(model\.language_model|language_model\.model)\.", prefix[0], name
        )
        renamed[re.sub(r"^lm_head\.", prefix[1], name)] = array
    (tmp_path / "theirs").mkdir()
    save_file(renamed, tmp_path / "theirs" / "model.safetensors")
    (tmp_path / "theirs" / "config.json").write_text(
        (tmp_path / "saved" / "config.json").read_text()
    )
    wanted = their_logits(model, TOKENS)
    config, params = load(tmp_path / "theirs")
    assert (
        np.abs(our_logits(config, params, TOKENS) - wanted).max()
        <= 1e-4 * np.abs(wanted).max()
    )
    hugging_face.save_params(
        tmp_path / "text", config, params, original=tmp_path / "theirs"
    )
    text = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "text").eval()
    assert type(text).__name__ == "Gemma3ForCausalLM"
    assert np.allclose(their_logits(text, TOKENS), wanted, atol=1e-5)


def copy_with(folder, target, **changes):
    """A single-file copy with tensors changed: None leaves one out."""
    tensors = TensorFolder(folder)
    arrays = {name: read(tensors, name) for name in tensors.names()} | changes
    target.mkdir()
    (target / "config.json").write_text((folder / "config.json").read_text())
    save_file(
        {name: array for name, array in arrays.items() if array is not None},
        target / "model.safetensors",
    )
    return target


def test_tensors_that_do_not_fit_are_named(peers, tmp_path):
    _, folder = peers("llama")
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(
        InputError,
        match=rf"missing parameters \(1\): {name} \(decoder/layers_1/mlp/wi_1/kernel\)",
    ):
        load(copy_with(folder, tmp_path / "a", **{name: None}))
    with pytest.raises(
        InputError, match=r"unknown parameters \(1\): model.extra\. Copy"
    ):
        load(
            copy_with(
                folder, tmp_path / "b", **{"model.extra": np.zeros(3, np.float32)}
            )
        )
    with pytest.raises(
        InputError,
        match=rf"{name} \(decoder/layers_1/mlp/wi_1/kernel\) is \(3, 4\), expected \(48, 32\)",
    ):
        load(copy_with(folder, tmp_path / "c", **{name: np.zeros((3, 4), np.float32)}))
    with pytest.raises(
        InputError,
        match=r"model.embed_tokens.weight \(token_embedder/embedding\) is \(128, 32\)",
    ):
        load(
            copy_with(
                folder,
                tmp_path / "d",
                **{"model.embed_tokens.weight": np.zeros((128, 32), np.float32)},
            )
        )


@pytest.mark.parametrize(
    "name, kept, now",
    [
        ("t5_1_0", "shared.weight", "encoder.embed_tokens.weight"),
        ("t5_1_0", "shared.weight", "lm_head.weight"),
        ("t5_1_1", "shared.weight", "decoder.embed_tokens.weight"),
        ("llama_tied", "model.embed_tokens.weight", "lm_head.weight"),
    ],
)
def test_a_shared_table_is_found_under_each_of_its_names(
    peers, tmp_path, name, kept, now
):
    _, folder = peers(name)
    table = read(TensorFolder(folder), kept)
    _, params = load(copy_with(folder, tmp_path / "x", **{kept: None, now: table}))
    jax.tree.map(np.testing.assert_array_equal, params, load(folder)[1])


# Settings that a config.json of transformers 4 has in another form, or not at all (None).
OLDER = {
    "t5_1_0": {
        "feed_forward_proj": None,
        "scale_decoder_outputs": None,
        "dense_act_fn": None,
        "tie_word_embeddings": None,
    },
    "llama": {
        "rope_parameters": None,
        "head_dim": None,
        "hidden_act": None,
        "dtype": None,
        "torch_dtype": "float32",
        "rope_theta": 500.0,
        "rope_scaling": {
            name: value for name, value in LLAMA3.items() if name != "rope_theta"
        },
        "tie_word_embeddings": None,
    },
    "gemma2": {
        "rope_parameters": None,
        "layer_types": None,
        "hidden_activation": None,
        "hidden_act": "gelu_pytorch_tanh",
    },
    "gemma3": {
        "rope_parameters": None,
        "layer_types": None,
        "_sliding_window_pattern": None,
        "sliding_window_pattern": 6,
        "num_attention_heads": 4,
        "rope_local_base_freq": 10_000.0,
    },
}


@pytest.mark.parametrize("name", OLDER)
def test_config_json_of_an_older_transformers(name, peers, tmp_path):
    _, folder = peers(name)
    target = copy_with(folder, tmp_path / "x")
    config = json.loads((folder / "config.json").read_text()) | OLDER[name]
    (target / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if v is not None})
    )
    assert hugging_face.read_config(target) == hugging_face.read_config(folder)


def test_tensors_that_no_model_uses_are_passed_over(peers, tmp_path):
    """T5's first checkpoints have a bias of the cross-attention, Llama's the rotary frequencies."""
    for name, extra in (
        (
            "t5_1_0",
            "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
        ),
        ("mistral", "model.layers.0.self_attn.rotary_emb.inv_freq"),
    ):
        _, folder = peers(name)
        _, params = load(
            copy_with(folder, tmp_path / name, **{extra: np.ones(4, np.float32)})
        )
        jax.tree.map(np.testing.assert_array_equal, params, load(folder)[1])


def test_another_model_is_refused(peers, tmp_path):
    _, folder = peers("qwen2")
    config = dataclasses.replace(
        hugging_face.read_config(folder), rope_max_wavelength=7.0, num_kv_heads=4
    )
    message = "num_kv_heads: 4, not 2; rope_max_wavelength: 7.0, not 10000.0"
    with pytest.raises(InputError, match=message):
        hugging_face.load_params(
            folder, config, abstract_params_on(config, make_mesh())
        )
    with pytest.raises(InputError, match=message):
        hugging_face.save_params(tmp_path / "out", config, {}, original=folder)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "mamba"}, "unknown model_type in config.json 'mamba'.*llama"),
        ({"hidden_act": "tanh"}, "unknown activation in config.json 'tanh'"),
        (
            {"rope_parameters": {"rope_theta": 1.0, "rope_type": "yarn"}},
            "unknown rope scaling in config.json 'yarn'",
        ),
        ({"attention_bias": True}, "attention_bias = True, which is not supported"),
        ({"vocab_size": None}, "vocab_size"),
        ({"hidden_size": "32"}, "emb_dim"),
        ({"num_attention_heads": 0, "head_dim": None}, "setting of the wrong kind"),
        ({"model_type": ["llama"]}, "unknown model_type"),
        (
            {"rope_parameters": {"rope_theta": "far"}},
            "setting of the wrong kind.*'far'",
        ),
        (
            {
                "rope_parameters": None,
                "rope_scaling": {"type": "dynamic", "factor": 2.0},
            },
            "unknown rope scaling.*'dynamic'",
        ),
        (
            {"rope_parameters": None, "rope_scaling": {"type": "linear"}},
            "does not say 'factor'",
        ),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised.*dequantize"),
        (
            {
                "model_type": "gemma3_text",
                "sliding_window": 6,
                "layer_types": ["full_attention", "sliding_attention"] * 2,
            },
            "layer_types = .*equal distances",
        ),
    ],
)
def test_configurations_that_are_not_known(peers, tmp_path, change, message):
    _, folder = peers("llama")
    target = copy_with(folder, tmp_path / "x")
    config = json.loads((folder / "config.json").read_text()) | change
    (target / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if v is not None})
    )
    with pytest.raises(InputError, match=message):
        hugging_face.read_config(target)


def test_float16_holds_no_large_weights(peers, tmp_path):
    _, folder = peers("llama")
    config, params = load(
        copy_with(
            folder,
            tmp_path / "x",
            **{"model.norm.weight": np.full(32, 7e4, np.float32)},
        )
    )
    with pytest.raises(
        InputError, match=r"model.norm.weight has values beyond float16"
    ):
        hugging_face.save_params(tmp_path / "out", config, params, dtype="float16")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_leaves_nothing(peers, tmp_path):
    config, params = load(peers("llama")[1])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="no space left for the weights"):
            hugging_face.save_params(tmp_path / "out", config, params)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_or_half_written(peers, tmp_path, monkeypatch):
    _, folder = peers("llama")
    config, params = load(folder)
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        hugging_face.save_params(tmp_path / "there", config, params)
    monkeypatch.setattr(hugging_face, "_copy_tokenizer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hugging_face.save_params(tmp_path / "out", config, params)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    with pytest.raises(InputError, match="unknown dtype 'float8'"):
        hugging_face.save_params(tmp_path / "out", config, params, dtype="float8")
