"""Weights to and from Hugging Face folders, against models that transformers makes and saves.

transformers and torch come with `pip install .[parity]`.
"""

import dataclasses
import json
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from same_trees import assert_same
from transformers_models import (
    PEERS,
    TOKENS,
    copy_with,
    gemma2,
    gemma3,
    llama,
    load,
    our_logits,
    read,
    t5,
    their_logits,
    torch,
    untied,
)

from flan_jax.errors import InputError
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.params import abstract_params_on
from flan_jax.parallel.mesh import make_mesh
from flan_jax.weights import hugging_face
from flan_jax.weights.safetensors_folder import TensorFolder

every_family = pytest.mark.parametrize("name", PEERS)


@pytest.mark.parametrize(
    "name, scan_layers",
    [*((name, True) for name in PEERS), ("t5_1_1", False), ("gemma3", False)],
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
        if name in ("t5_1_1", "mt5"):  # as in untied
            untied(theirs)
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


@pytest.mark.parametrize("block_bytes", [100, 700, 4 * 2**20])
def test_each_device_gets_its_piece_in_blocks_of_any_size(
    peers, monkeypatch, block_bytes
):
    """Blocks are a row, some rows, some layers or all of a piece; the last one is shorter."""
    _, folder = peers("qwen3")
    _, whole = load(folder)
    monkeypatch.setattr(hugging_face, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(hugging_face, "BLOCK_ROWS", 5)
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    _, unrolled = load(folder, mesh, scan_layers=False)
    for layer in range(4):
        one = unrolled["decoder"][f"layers_{layer}"]
        stacked = whole["decoder"]["layers"]
        assert_same(one, jax.tree.map(lambda leaf: leaf[layer], stacked))  # noqa: B023
    _, split = load(folder, mesh)
    assert_same(split, whole)
    kernel = split["decoder"]["layers"]["mlp"]["wi_0"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(4, 8, 24)}


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


@pytest.mark.parametrize(
    "name, table, copy",
    [
        ("t5_1_0", "shared.weight", "encoder.embed_tokens.weight"),
        ("t5_1_0", "shared.weight", "lm_head.weight"),
        ("t5_1_1", "shared.weight", "decoder.embed_tokens.weight"),
        ("llama_tied", "model.embed_tokens.weight", "lm_head.weight"),
    ],
)
def test_a_tied_table_may_be_repeated_but_not_contradicted(
    peers, tmp_path, monkeypatch, name, table, copy
):
    monkeypatch.setattr(hugging_face, "BLOCK_BYTES", 1000)
    _, folder = peers(name)
    array = read(TensorFolder(folder), table)
    _, params = load(copy_with(folder, tmp_path / "same", **{copy: array.copy()}))
    assert_same(params, load(folder)[1])

    other = array.copy()
    other[-1, -1] += 1e-3
    advice = "write .tie_word_embeddings.: false" if "lm_head" in copy else "Keep the"
    with pytest.raises(
        InputError, match=f"holds {table} and {copy}, .* different numbers. .*{advice}"
    ):
        load(copy_with(folder, tmp_path / "other", **{copy: other}))
    shorter = rf"holds {table} and {copy}, .* different|{copy} .* is \(95, 24\)"
    with pytest.raises(InputError, match=shorter):
        load(copy_with(folder, tmp_path / "cut", **{copy: array[:-1]}))


def test_a_head_of_its_own_is_kept_where_config_json_says_so(peers, tmp_path):
    model, folder = peers("llama_tied")
    head = np.random.default_rng(1).normal(size=(96, 32)).astype(np.float32)
    target = copy_with(folder, tmp_path / "x", **{"lm_head.weight": head})
    content = json.loads((target / "config.json").read_text())
    content["tie_word_embeddings"] = False
    (target / "config.json").write_text(json.dumps(content))
    config, params = load(target)
    assert not config.logits_via_embedding
    np.testing.assert_array_equal(params["decoder"]["logits_dense"]["kernel"], head.T)
    theirs = type(model).from_pretrained(target).eval()
    wanted = their_logits(theirs, TOKENS)
    assert (
        np.abs(our_logits(config, params, TOKENS) - wanted).max()
        <= 1e-4 * np.abs(wanted).max()
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scan_layers", [True, False])
def test_tensors_that_are_not_finite_are_named(peers, tmp_path, number, scan_layers):
    _, folder = peers("llama")
    tensors = TensorFolder(folder)
    names = ["model.layers.2.mlp.up_proj.weight", "model.norm.weight"]
    changes = {}
    for name in names:
        changes[name] = read(tensors, name).copy()
        changes[name].flat[3] = number
    target = copy_with(folder, tmp_path / "x", **changes)
    with pytest.raises(InputError, match="2 of the weights in .*/x hold NaN") as error:
        load(target, scan_layers=scan_layers)
    assert f": {names[0]}, {names[1]}. " in str(error.value)


def test_large_numbers_are_finite(peers, tmp_path):
    """Their sum is not."""
    _, folder = peers("llama")
    norm = np.full(32, 3e38, np.float32)
    _, params = load(copy_with(folder, tmp_path / "x", **{"model.norm.weight": norm}))
    np.testing.assert_array_equal(params["decoder"]["decoder_norm"]["scale"], norm)


def test_float64_beyond_float32_is_not_finite(peers, tmp_path):
    _, folder = peers("llama")
    target = copy_with(
        folder, tmp_path / "x", **{"model.norm.weight": np.full(32, 1e300)}
    )
    with pytest.raises(InputError, match=r"infinite numbers: model.norm.weight\."):
        load(target)


def test_which_of_two_sets_of_weights_is_read_is_said(peers, tmp_path, capsys):
    _, folder = peers("llama")
    target = copy_with(folder, tmp_path / "x")
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (target / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_same(load(target)[1], load(folder)[1])
    assert capsys.readouterr().err.count("read model.safetensors. model.safeten") == 1


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
        ({"vocab_size": None}, "vocab_size"),
        ({"hidden_size": "32"}, "hidden_size is '32'"),
        ({"num_attention_heads": 0, "head_dim": None}, "num_attention_heads is 0"),
        ({"model_type": ["llama"]}, "unknown model_type"),
        (
            {"rope_parameters": {"rope_theta": "far"}},
            "setting of the wrong kind.*'far'",
        ),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised.*dequantize"),
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
    monkeypatch.setattr(hugging_face, "_write_companions", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hugging_face.save_params(tmp_path / "out", config, params)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    with pytest.raises(InputError, match="unknown dtype 'float8'"):
        hugging_face.save_params(tmp_path / "out", config, params, dtype="float8")


def test_a_decoder_that_reads_prompts_in_both_directions_has_no_counterpart(tmp_path):
    config = DecoderConfig(
        vocab_size=32,
        emb_dim=8,
        num_heads=2,
        head_dim=4,
        mlp_dim=12,
        num_layers=1,
        position="rope",
        query_scale=0.5,
        mlp_activations=("silu", "linear"),
    )
    with pytest.raises(InputError, match=r"prefix_lm.*flan_jax.*prefix_lm = False"):
        hugging_face.save_params(tmp_path / "out", config, {})
    assert not (tmp_path / "out").exists()
    causal = dataclasses.replace(config, prefix_lm=False)
    family, _ = hugging_face.describe_model(causal, None)
    assert family.model_type == "llama"
