"""Every backend against xla, on packed rows; the kernels are run step by step on CPU."""

import dataclasses
import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from flan_jax.batch import batch_spec
from flan_jax.errors import InputError
from flan_jax.models import attention_backends
from flan_jax.models.attention_backends import (
    AttentionMask,
    attend,
    check_attention,
    check_run,
)
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.masks import decoder_mask, window_mask
from flan_jax.models.params import abstract_params, abstract_params_on, dummy_batch
from flan_jax.parallel.mesh import MESH_AXES, make_mesh
from flan_jax.parallel.sharding import batch_sharding, param_shardings, use_mesh
from flan_jax.training import losses

LLAMA = {
    "vocab_size": 50,
    "emb_dim": 32,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 16,
    "mlp_dim": 24,
    "num_layers": 2,
    "mlp_activations": ("silu", "linear"),
    "position": "rope",
    "prefix_lm": False,
    "dropout_rate": 0.0,
}
T5 = {
    "vocab_size": 50,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "dropout_rate": 0.0,
}


@pytest.fixture(autouse=True)
def step_by_step(monkeypatch):
    monkeypatch.setattr(attention_backends, "_INTERPRET", True)
    with jax.numpy_rank_promotion("allow"):  # the kernels are not ours
        yield


def packed(*rows, length):
    """Returns segment ids, int32[rows, length].

    Args:
      *rows: the lengths of each row's examples; padding follows them.
      length: tokens of a row.
    """
    segment_ids = np.zeros((len(rows), length), np.int32)
    for row, example_lengths in zip(segment_ids, rows, strict=True):
        numbers = np.arange(1, len(example_lengths) + 1)
        row[: sum(example_lengths)] = np.repeat(numbers, example_lengths)
    return jnp.asarray(segment_ids)


def mask_of(segment_ids, window=None, local=None):
    dense = decoder_mask(segment_ids)
    if window is not None:
        # Within an example, indices in the row are as far apart as positions.
        index = jnp.arange(segment_ids.shape[1])[None].repeat(len(segment_ids), axis=0)
        near = window_mask(index, index, window)
        if local is not None:
            near |= ~local
        dense &= near
    return AttentionMask(dense, segment_ids, local, window)


def heads(segment_ids, number=4, kv_heads=2, width=16, dtype="float32"):
    """Returns random (query, key, value)."""
    arrays = []
    for seed, count in enumerate((number, kv_heads, kv_heads)):
        shape = (*segment_ids.shape, count, width)
        arrays.append(2 * jax.random.normal(jax.random.key(seed), shape, dtype))
    return tuple(arrays)


def outputs_and_gradients(arrays, mask, backend, bias=None, **options):
    """Returns outputs and gradients of a loss that depends on all tokens and on no padding.

    The gradients are those of ((query, key, value), bias).
    """

    @jax.jit
    def run(arrays, mask, bias):
        is_token = (mask.segment_ids != 0)[..., None, None]
        slopes = jax.random.normal(jax.random.key(9), arrays[0].shape)
        weights = jnp.where(is_token, slopes, 0.0)

        def loss(arrays, bias):
            out = attend(*arrays, mask=mask, bias=bias, backend=backend, **options)
            return jnp.sum(weights * out), jnp.where(is_token, out, 0.0)

        grads, out = jax.grad(loss, argnums=(0, 1), has_aux=True)(arrays, bias)
        return out, grads

    return run(arrays, mask, bias)


def assert_close(actual, expected, tolerance=2e-5):
    """Within `tolerance` of each value, or of the largest one of its array."""

    def close(a, b):
        a = np.asarray(a, np.float32)
        b = np.asarray(b, np.float32)
        largest = np.abs(b).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * largest)

    jax.tree.map(close, actual, expected)


@pytest.mark.parametrize(
    "backend, kv_heads, form",
    [
        ("pallas", 2, {}),
        ("splash", 4, {}),
        ("splash", 1, {"window": 70, "softcap": 3.0}),
        ("splash", 2, {"window": 70, "local": True}),
        ("splash", 2, {"window": 70, "local": False}),
    ],
)
def test_a_kernel_gives_the_outputs_and_gradients_of_xla(backend, kv_heads, form):
    # 640 tokens are five blocks in the forward pass of both kernels; examples end within blocks.
    segment_ids = packed([100, 1, 299, 150], [640], length=640)
    local = jnp.asarray(form["local"]) if "local" in form else None
    softcap = form.get("softcap")
    mask = mask_of(segment_ids, form.get("window"), local)
    arrays = heads(segment_ids, kv_heads=kv_heads)
    actual = outputs_and_gradients(arrays, mask, backend, softcap=softcap)
    expected = outputs_and_gradients(arrays, mask, "xla", softcap=softcap)
    assert_close(actual, expected, 1e-4)


@pytest.mark.parametrize("length", [256, 640, 1280])
def test_parts_of_a_causal_row_change_nothing(length, monkeypatch):
    """With one part all queries are given all keys."""
    segment_ids = packed([length // 2, 1, length // 3], [length], length=length)
    mask = mask_of(segment_ids, window=200)
    arrays = heads(segment_ids, number=2, kv_heads=1)
    bias = jax.random.normal(jax.random.key(5), (1, 2, length, length))
    actual = outputs_and_gradients(arrays, mask, "xla", bias)
    monkeypatch.setattr(attention_backends, "CAUSAL_PARTS", 1)
    assert_close(actual, outputs_and_gradients(arrays, mask, "xla", bias))


@pytest.mark.parametrize("kv_heads", [4, 1])
def test_cudnn_is_given_mask_and_bias(kv_heads):
    segment_ids = packed([10, 1, 20], [32], length=32)
    arrays = heads(segment_ids, kv_heads=kv_heads, dtype="bfloat16")
    bias = jax.random.normal(jax.random.key(5), (1, 4, 32, 32), "bfloat16")
    mask = mask_of(segment_ids, window=5)
    for given_bias in (None, bias):
        actual = outputs_and_gradients(arrays, mask, "cudnn", given_bias)
        expected = outputs_and_gradients(arrays, mask, "xla", given_bias)
        # xla keeps the gradients of scores in float32 for longer.
        assert_close(actual, expected, 3e-2)


@settings(max_examples=15)
@given(st.lists(st.lists(st.integers(1, 60), max_size=9), min_size=2, max_size=2))
@pytest.mark.parametrize("backend", ["pallas", "splash"])
def test_however_a_row_is_packed(backend, rows):
    segment_ids = packed(*map(first_that_fit, rows), length=128)
    actual = _short_run(heads(segment_ids), mask_of(segment_ids), backend)
    expected = _short_run(heads(segment_ids), mask_of(segment_ids), "xla")
    is_token = segment_ids != 0
    assert np.isfinite(actual).all()
    assert_close(actual[is_token], expected[is_token])


def first_that_fit(sizes):
    """Returns the sizes up to the last one with which a row still has 128 tokens or fewer."""
    count = np.searchsorted(np.cumsum(sizes), 128, side="right")
    return sizes[:count]


@functools.partial(jax.jit, static_argnums=2)
def _short_run(arrays, mask, backend):
    return attend(*arrays, mask=mask, backend=backend)


@pytest.mark.parametrize("backend", attention_backends.BACKENDS)
def test_no_example_sees_another(backend):
    segment_ids = packed([40, 50, 20], length=128)
    arrays = heads(segment_ids, dtype="bfloat16")
    is_second = (segment_ids == 2)[..., None, None]
    changed = tuple(jnp.where(is_second, array[:, ::-1] + 1, array) for array in arrays)
    before = _short_run(arrays, mask_of(segment_ids), backend)
    after = _short_run(changed, mask_of(segment_ids), backend)
    others = (segment_ids == 1) | (segment_ids == 3)
    np.testing.assert_array_equal(before[others], after[others])
    assert not np.allclose(before[segment_ids == 2], after[segment_ids == 2])


@pytest.mark.parametrize("backend", attention_backends.BACKENDS)
def test_rows_without_padding_or_of_nothing_else_are_finite(backend):
    segment_ids = packed([], [128], [5], length=128)
    arrays = heads(segment_ids, dtype="bfloat16")
    results = outputs_and_gradients(arrays, mask_of(segment_ids), backend)
    for leaf in jax.tree.leaves(results):
        assert np.isfinite(np.asarray(leaf, np.float32)).all()


WINDOWS = {
    "sliding_window": 30,
    "rope_local_max_wavelength": 100.0,
    "attention_softcap": 20.0,
    "qk_norm": True,
}
WHOLE_MODELS = [
    pytest.param(
        "splash",
        {"global_every": 2, "remat": "minimal", **WINDOWS},
        id="splash, local and global layers",
    ),
    pytest.param(
        "splash", {"scan_layers": False, **WINDOWS}, id="splash, local layers, unrolled"
    ),
    pytest.param("pallas", {}, id="pallas"),
    pytest.param(
        "cudnn",
        {"dtype": "bfloat16", "sliding_window": 30, "global_every": 2},
        id="cudnn",
    ),
    pytest.param("cudnn", T5 | {"dtype": "bfloat16"}, id="cudnn, an encoder-decoder"),
]


@pytest.mark.parametrize("backend, form", WHOLE_MODELS)
def test_a_sharded_model_has_the_logits_and_gradients_of_xla(
    backend, form, make_batch, init
):
    """On one device xla, on a mesh the kernel, each device with its own rows and heads."""
    if "num_encoder_layers" in form:
        config = EncoderDecoderConfig(**form)
    else:
        config = DecoderConfig(**LLAMA | form)
    batch = make_batch(
        config.architecture, random_rows(), {"inputs": 64, "targets": 64}
    )
    batch.pop("decoder_causal_attention", None)
    is_token = np.asarray(batch["decoder_segment_ids"]) != 0
    params = init(config.build(), batch)

    def logits_and_gradients(backend, mesh):
        model = dataclasses.replace(config, attention_backend=backend).build()

        def loss(params, batch):
            return losses.loss_and_weight(model, params, batch)[0]

        @jax.jit
        def run(params, batch):
            return model.apply({"params": params}, batch), jax.grad(loss)(params, batch)

        placed_params = jax.device_put(
            params, param_shardings(abstract_params(config), mesh)
        )
        placed_batch = jax.device_put(batch, batch_sharding(mesh))
        with use_mesh(mesh):
            logits, gradients = jax.device_get(run(placed_params, placed_batch))
        return logits[is_token], gradients

    one_device = Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), MESH_AXES)
    expected = logits_and_gradients("xla", one_device)
    actual = logits_and_gradients(
        backend, make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    )
    assert_close(actual, expected, 5e-2 if config.dtype == "bfloat16" else 5e-4)


def random_rows():
    """Returns four rows of examples; the sizes are those of their targets."""
    rng = np.random.default_rng(0)
    rows = []
    for target_sizes in ([3, 30], [9], [], [1, 2, 3]):
        row = []
        for size in target_sizes:
            inputs = rng.integers(2, 50, 20).tolist()
            targets = rng.integers(2, 50, size).tolist()
            row.append((inputs, targets))
        rows.append(row)
    return rows


def test_prompts_are_read_and_answered_on_xla(init):
    """A cache of any length, with a backend that would refuse it, gives what xla gives."""
    config = DecoderConfig(**LLAMA)
    params = init(config.build(), dummy_batch(config))

    def hidden(backend):
        model = dataclasses.replace(config, attention_backend=backend).build()
        outputs, _ = model.apply(
            {"params": params},
            jnp.asarray([[0, 5, 6, 7, 8]]),
            positions=jnp.arange(5)[None],
            cache_length=7,
            method="decode_hidden",
            mutable=["cache"],
        )
        return outputs

    np.testing.assert_array_equal(hidden("xla"), hidden("splash"))


def gradient_of(backend):
    def loss(arrays, segment_ids):
        out = attend(*arrays, mask=mask_of(segment_ids), backend=backend)
        return jnp.sum(out.astype(jnp.float32))

    return jax.jit(jax.grad(loss))


@pytest.mark.parametrize(
    "backend, call", [("pallas", "__gpu$xla.gpu.triton"), ("cudnn", "__cudnn$fmha")]
)
def test_a_gpu_is_given_the_kernel(backend, call, monkeypatch):
    """Lowered for CUDA, which needs no GPU; jax asks for the version of cuDNN all the same."""
    monkeypatch.setattr(attention_backends, "_INTERPRET", False)
    monkeypatch.setattr(
        "jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version", lambda: 91300
    )
    segment_ids = packed([100, 200], [1024], length=1024)
    arrays = heads(segment_ids, width=128, dtype="bfloat16")
    traced = gradient_of(backend).trace(arrays, segment_ids)
    lowered = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert lowered.count(f"custom_call @{call}") >= 2  # forward and backward


def compiled_for(chip, backend):
    """Compiles loss and gradients of a small Llama on four rows of 1,024 tokens for a TPU topology.

    Returns:
      What check_run says, and the compiled program.
    """
    topologies = pytest.importorskip("jax.experimental.topologies")
    pytest.importorskip(
        "libtpu", reason="libtpu compiles for TPUs without one: pip install libtpu"
    )
    config = DecoderConfig(
        vocab_size=512,
        emb_dim=512,
        num_heads=8,
        num_kv_heads=4,
        head_dim=128,
        mlp_dim=1024,
        num_layers=2,
        mlp_activations=("silu", "linear"),
        position="rope",
        prefix_lm=False,
        dropout_rate=0.0,
        dtype="bfloat16",
        sliding_window=256,
        global_every=2,
        attention_backend=backend,
    )
    devices = topologies.get_topology_desc(topology_name=chip, platform="tpu").devices
    mesh = Mesh(np.array(devices).reshape(-1, 2, 2), MESH_AXES)
    rows = batch_sharding(mesh)
    batch = {}
    spec = batch_spec("decoder", 4, {"inputs": 768, "targets": 256})
    for name, (shape, dtype) in spec.items():
        batch[name] = jax.ShapeDtypeStruct(shape, dtype, sharding=rows)
    model = config.build()

    def loss(params, batch):
        return losses.loss_and_weight(model, params, batch)[0]

    params = abstract_params_on(config, mesh)
    with use_mesh(mesh):
        line = check_run(config, {1024}, devices[0])
        step = jax.jit(jax.value_and_grad(loss))
        return line, step.lower(params, batch).compile()


@pytest.mark.parametrize("chip", ["v4:2x2x1", "v5e:2x2"])
def test_splash_compiles_for_tpus_and_saves_memory(chip, monkeypatch):
    monkeypatch.setattr(attention_backends, "_INTERPRET", False)
    line, splash = compiled_for(chip, "splash")
    _, xla = compiled_for(chip, "xla")
    assert line.startswith("attention: splash on TPU v")
    # Forward, dq and dkv, of local and of global layers.
    assert splash.as_text().count('custom_call_target="tpu_custom_call"') >= 6
    assert "tpu_custom_call" not in xla.as_text()
    splash_bytes = splash.memory_analysis().temp_size_in_bytes
    xla_bytes = xla.memory_analysis().temp_size_in_bytes
    assert splash_bytes < xla_bytes


BF16 = {"dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("backend", "wrong", "message"),
    [
        ("flash", {}, "unknown attention backend 'flash'.*Did you mean 'splash'"),
        (
            "cudnn",
            {},
            (
                "does not support float32; write dtype='bfloat16' or attention_backend='xla' or "
                "attention_backend='pallas'"
            ),
        ),
        (
            "cudnn",
            BF16 | {"attention_softcap": 50.0},
            "does not support a softcap.*write attention_backend='xla' or",
        ),
        (
            "cudnn",
            BF16 | {"head_dim": 12},
            "head_dim from 8 to 256 in steps of 8, and this model's is 12",
        ),
        (
            "pallas",
            {"attention_softcap": 50.0},
            "does not support a softcap.*attention_backend='xla' or attention_backend='splash'",
        ),
        ("pallas", {"sliding_window": 4}, "does not support a sliding window"),
        ("pallas", {"head_dim": 8}, "head_dim from 16"),
        ("pallas", {"prefix_lm": True}, "not causal.*write prefix_lm=False or"),
        ("splash", {"prefix_lm": True}, "not causal.*write prefix_lm=False or"),
        ("pallas", {"position": "relative"}, "relative position bias.*position='rope'"),
        ("splash", {"position": "relative"}, "relative position bias.*position='rope'"),
        ("cudnn", BF16 | {"dropout_rate": 0.1}, "dropout_rate=0.0"),
        ("pallas", BF16 | {"dropout_rate": 0.1}, "dropout_rate=0.0"),
        ("splash", BF16 | {"dropout_rate": 0.1}, "dropout_rate=0.0"),
    ],
)
def test_a_config_whose_backend_cannot_is_refused(backend, wrong, message):
    with pytest.raises(InputError, match=message):
        DecoderConfig(**LLAMA | wrong, attention_backend=backend)


@pytest.mark.parametrize("backend", ["pallas", "splash"])
def test_an_encoder_decoder_is_refused(backend):
    with pytest.raises(
        InputError, match=r"an encoder, a cache\); write attention_backend='xla'"
    ):
        EncoderDecoderConfig(**T5, attention_backend=backend)


def device(platform, kind, **attributes):
    """Returns a stand-in for a device that this machine does not have."""
    return mock.Mock(spec=jax.Device, platform=platform, device_kind=kind, **attributes)


V100 = device("gpu", "V100", compute_capability="7.0")
H100 = device("gpu", "H100", compute_capability="9.0")
TPU = device("tpu", "TPU v4")


@pytest.mark.parametrize(
    "backend, device, lengths, form, message",
    [
        (
            "splash",
            H100,
            {128},
            {},
            "runs on tpu, and these devices are gpu .*'xla' or .*'cudnn' or .*'pallas'",
        ),
        ("pallas", TPU, {128}, {}, "runs on gpu, and these devices are tpu"),
        ("cudnn", TPU, {128}, {"dtype": "bfloat16"}, "runs on gpu"),
        (
            "cudnn",
            V100,
            {128},
            {"dtype": "bfloat16", "head_dim": 256},
            "a head_dim of 256 on Hopper and later",
        ),
        (
            "cudnn",
            H100,
            {128, 35},
            {"dtype": "bfloat16"},
            "a multiple of 2 tokens, and these have 35",
        ),
        (
            "pallas",
            H100,
            {176},
            {},
            "a multiple of 32 tokens, and these have 176; write LENGTHS that come to 192",
        ),
        (
            "splash",
            TPU,
            {176},
            {},
            "a multiple of 128 tokens, and these have 176; write LENGTHS that come to 256",
        ),
        (
            "splash",
            TPU,
            {128},
            {"num_kv_heads": 1},
            "1 do not divide over tensor = 2 devices",
        ),
    ],
)
def test_a_run_whose_backend_cannot_is_refused(backend, device, lengths, form, message):
    config = DecoderConfig(**LLAMA | form, attention_backend=backend)
    with (
        use_mesh(make_mesh({"data": -1, "tensor": 2})),
        pytest.raises(InputError, match=message),
    ):
        check_run(config, lengths, device)


def test_a_run_is_checked_at_the_lengths_of_its_rows(monkeypatch):
    monkeypatch.setattr(
        attention_backends,
        "check_run",
        lambda config, lengths, device: f"{sorted(lengths)} {device.platform}",
    )
    lengths = {"inputs": 100, "targets": 28}
    assert check_attention(DecoderConfig(**LLAMA), lengths, make_mesh()) == "[128] cpu"
    assert (
        check_attention(EncoderDecoderConfig(**T5), lengths, make_mesh())
        == "[28, 100] cpu"
    )


def test_what_attention_runs_on_is_said():
    cpu = jax.devices()[0]
    assert check_run(DecoderConfig(**LLAMA), {16}, cpu) == "attention: xla on cpu"
    for backend, device in (("splash", TPU), ("pallas", H100), ("cudnn", H100)):
        config = DecoderConfig(**LLAMA, dtype="bfloat16", attention_backend=backend)
        assert check_run(config, {256}, device).startswith(
            f"attention: {backend} on {device.device_kind};"
        )


@pytest.mark.parametrize("backend", ["pallas", "splash"])
def test_a_kernel_that_is_not_told_the_segments_refuses(backend):
    """Even with the dense mask at hand: reading half of a mask is how examples leak."""
    segment_ids = packed([128], length=128)
    arrays, mask = heads(segment_ids), AttentionMask(decoder_mask(segment_ids))
    with pytest.raises(InputError, match="not causal in packed rows"):
        attend(*arrays, mask=mask, backend=backend)
    with pytest.raises(InputError, match="not causal in packed rows"):
        attend(*arrays, backend=backend)


def test_rows_that_do_not_divide_over_the_mesh_are_refused():
    segment_ids = packed([128], length=128)
    with (
        use_mesh(make_mesh()),
        pytest.raises(
            InputError,
            match="whole rows on each device, and 1 do not divide over data x fsdp = 8 devices",
        ),
    ):
        attend(*heads(segment_ids), mask=mask_of(segment_ids), backend="splash")


def test_a_backend_that_takes_other_arguments_is_refused():
    backend = attention_backends.Backend(run=lambda query, key, value, mask: query)
    with pytest.raises(InputError, match="'mine': run .*, bias=..., softcap=...., but"):
        attention_backends.register_attention_backend("mine", backend)
    assert "mine" not in attention_backends.BACKENDS
