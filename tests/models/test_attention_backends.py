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
from flan_jax.models.attention_backends import AttentionMask, attend, check_attention, check_run
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.masks import decoder_mask, window_mask
from flan_jax.models.params import abstract_params, abstract_params_on
from flan_jax.parallel.mesh import MESH_AXES, make_mesh
from flan_jax.parallel.sharding import batch_sharding, param_shardings, use_mesh
from flan_jax.training import losses

KERNELS = ("cudnn", "pallas", "splash")
LLAMA = {
    "vocab_size": 50, "emb_dim": 32, "num_heads": 4, "num_kv_heads": 2, "head_dim": 16, "mlp_dim": 24, "num_layers": 2,
    "mlp_activations": ("silu", "linear"), "position": "rope", "prefix_lm": False, "dropout_rate": 0.0,
}  # fmt: skip
T5 = {
    "vocab_size": 50, "emb_dim": 16, "num_heads": 2, "head_dim": 8, "mlp_dim": 24, "num_encoder_layers": 1,
    "num_decoder_layers": 1, "dropout_rate": 0.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def step_by_step(monkeypatch):
    monkeypatch.setattr(attention_backends, "_INTERPRET", True)
    with jax.numpy_rank_promotion("allow"):  # the kernels are not ours
        yield


def packed(*rows, length):
    """int32[rows, length]: segment ids of rows whose examples have the given lengths, and then padding."""
    ids = [np.repeat(np.arange(1, len(row) + 1), row) for row in rows]
    return jnp.asarray([np.pad(row, (0, length - len(row))) for row in ids], jnp.int32)


def mask_of(segment_ids, window=None, local=None):
    dense = decoder_mask(segment_ids)
    if window is not None:
        # Within an example, indices in the row are as far apart as positions.
        index = jnp.arange(segment_ids.shape[1])[None].repeat(len(segment_ids), axis=0)
        dense &= window_mask(index, index, window) | (False if local is None else ~local)
    return AttentionMask(dense, segment_ids, local, window)


def heads(segment_ids, number=4, kv_heads=2, width=16, dtype="float32"):
    shapes = [(*segment_ids.shape, n, width) for n in (number, kv_heads, kv_heads)]
    return tuple(
        2 * jax.random.normal(jax.random.key(i), shape, dtype) for i, shape in enumerate(shapes)
    )


def outputs_and_gradients(arrays, mask, backend, bias=None, **options):
    """(outputs, gradients of q, k, v and bias), of a loss that depends on all real tokens and on no padding."""

    @jax.jit
    def run(arrays, mask, bias):
        real = (mask.segment_ids != 0)[..., None, None]
        weights = jnp.where(real, jax.random.normal(jax.random.key(9), arrays[0].shape), 0.0)

        def loss(arrays, bias):
            out = attend(*arrays, mask=mask, bias=bias, backend=backend, **options)
            return jnp.sum(weights * out), jnp.where(real, out, 0.0)

        grads, out = jax.grad(loss, argnums=(0, 1), has_aux=True)(arrays, bias)
        return out, grads

    return run(arrays, mask, bias)


def assert_close(actual, expected, tolerance=2e-5):
    def close(a, b):
        a, b = (np.asarray(x, np.float32) for x in (a, b))
        np.testing.assert_allclose(
            a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=1.0)
        )

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
    # 640 tokens are five blocks of splash's and of pallas' forward pass, and examples end in the midst of them.
    segment_ids = packed([100, 1, 299, 150], [640], length=640)
    local = jnp.asarray(form["local"]) if "local" in form else None
    mask = mask_of(segment_ids, form.get("window"), local)
    arrays, softcap = heads(segment_ids, kv_heads=kv_heads), form.get("softcap")
    got = outputs_and_gradients(arrays, mask, backend, softcap=softcap)
    assert_close(got, outputs_and_gradients(arrays, mask, "xla", softcap=softcap), 1e-4)


@pytest.mark.parametrize("kv_heads", [4, 1])
def test_cudnn_is_given_mask_and_bias(kv_heads):
    segment_ids = packed([10, 1, 20], [32], length=32)
    arrays = heads(segment_ids, kv_heads=kv_heads, dtype="bfloat16")
    bias = jax.random.normal(jax.random.key(5), (1, 4, 32, 32), "bfloat16")
    for given_bias in (None, bias):
        got = outputs_and_gradients(arrays, mask_of(segment_ids, 5), "cudnn", given_bias)
        # xla's gradients of scores are float32 a little longer.
        assert_close(
            got, outputs_and_gradients(arrays, mask_of(segment_ids, 5), "xla", given_bias), 3e-2
        )


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(1, 60), max_size=9), min_size=2, max_size=2))
@pytest.mark.parametrize("backend", ["pallas", "splash"])
def test_however_a_row_is_packed(backend, rows):
    rows = [[size for i, size in enumerate(row) if sum(row[: i + 1]) <= 128] for row in rows]
    segment_ids = packed(*rows, length=128)
    got = _short_run(heads(segment_ids), mask_of(segment_ids), backend)
    expected = _short_run(heads(segment_ids), mask_of(segment_ids), "xla")
    real = segment_ids != 0
    assert np.isfinite(got).all()
    assert_close(got[real], expected[real])


@functools.partial(jax.jit, static_argnums=2)
def _short_run(arrays, mask, backend):
    return attend(*arrays, mask=mask, backend=backend)


@pytest.mark.parametrize("backend", attention_backends.BACKENDS)
def test_no_example_sees_another(backend):
    segment_ids = packed([40, 50, 20], length=128)
    arrays = heads(segment_ids, dtype="bfloat16")
    second = (segment_ids == 2)[..., None, None]
    changed = tuple(jnp.where(second, array[:, ::-1] + 1, array) for array in arrays)
    before, after = (
        _short_run(array, mask_of(segment_ids), backend) for array in (arrays, changed)
    )
    others = (segment_ids == 1) | (segment_ids == 3)
    np.testing.assert_array_equal(before[others], after[others])
    assert not np.allclose(before[segment_ids == 2], after[segment_ids == 2])


@pytest.mark.parametrize("backend", attention_backends.BACKENDS)
def test_rows_without_padding_or_of_nothing_else_are_finite(backend):
    segment_ids = packed([], [128], [5], length=128)
    arrays = heads(segment_ids, dtype="bfloat16")
    for leaf in jax.tree.leaves(outputs_and_gradients(arrays, mask_of(segment_ids), backend)):
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
    pytest.param("splash", {"scan_layers": False, **WINDOWS}, id="splash, local layers, unrolled"),
    pytest.param("pallas", {}, id="pallas"),
    pytest.param(
        "cudnn", {"dtype": "bfloat16", "sliding_window": 30, "global_every": 2}, id="cudnn"
    ),
    pytest.param("cudnn", T5 | {"dtype": "bfloat16"}, id="cudnn, an encoder-decoder"),
]


@pytest.mark.parametrize("backend, form", WHOLE_MODELS)
def test_a_sharded_model_has_the_logits_and_gradients_of_xla(backend, form, make_batch, init):
    """On one device xla, on a mesh the kernel, each device with its own rows and heads."""
    config = (
        EncoderDecoderConfig(**form)
        if "num_encoder_layers" in form
        else DecoderConfig(**LLAMA | form)
    )
    rng = np.random.default_rng(0)
    rows = [
        [(rng.integers(2, 50, 20).tolist(), rng.integers(2, 50, n).tolist()) for n in sizes]
        for sizes in ([3, 30], [9], [], [1, 2, 3])
    ]
    batch = make_batch(config.architecture, rows, {"inputs": 64, "targets": 64})
    batch.pop("decoder_causal_attention", None)
    params = init(config.build(), batch)
    found = {}
    for name in ("xla", backend):
        model = dataclasses.replace(config, attention_backend=name).build()
        mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), MESH_AXES)
        if name != "xla":
            mesh = make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
        placed = jax.device_put(params, param_shardings(abstract_params(config), mesh))

        @jax.jit
        def run(params, batch, model=model):
            grads = jax.grad(lambda params: losses.loss_and_weight(model, params, batch)[0])(params)
            return model.apply({"params": params}, batch), grads

        with use_mesh(mesh):
            logits, grads = jax.device_get(run(placed, jax.device_put(batch, batch_sharding(mesh))))
        found[name] = logits[np.asarray(batch["decoder_segment_ids"]) != 0], grads
    assert_close(found[backend], found["xla"], 5e-2 if config.dtype == "bfloat16" else 5e-4)


def test_prompts_are_read_and_answered_on_xla(init, make_batch):
    """A cache of any length, with a backend that would refuse it, gives what xla gives."""
    config = DecoderConfig(**LLAMA)
    tokens = jnp.asarray([[0, 5, 6, 7, 8]])
    params = init(
        config.build(), make_batch("decoder", [[([5, 6], [7])]], {"inputs": 8, "targets": 8})
    )
    hidden = {}
    for backend in ("xla", "splash"):
        model = dataclasses.replace(config, attention_backend=backend).build()
        options = {
            "positions": jnp.arange(5)[None],
            "cache_length": 7,
            "method": "decode_hidden",
            "mutable": ["cache"],
        }
        hidden[backend], _ = model.apply({"params": params}, tokens, **options)
    np.testing.assert_array_equal(hidden["xla"], hidden["splash"])


def gradient_of(backend):
    def loss(arrays, segment_ids):
        return jnp.sum(
            attend(*arrays, mask=mask_of(segment_ids), backend=backend).astype(jnp.float32)
        )

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
    lowered = (
        gradient_of(backend)
        .trace(arrays, segment_ids)
        .lower(lowering_platforms=("cuda",))
        .as_text()
    )
    assert lowered.count(f"custom_call @{call}") >= 2  # forward and backward


def compiled_for(chip, backend):
    """The loss and gradients of a Llama of two layers on four rows of 1,024 tokens, compiled for a TPU topology."""
    topologies = pytest.importorskip("jax.experimental.topologies")
    pytest.importorskip("libtpu", reason="libtpu compiles for TPUs without one: pip install libtpu")
    config = DecoderConfig(
        vocab_size=512, emb_dim=512, num_heads=8, num_kv_heads=4, head_dim=128, mlp_dim=1024, num_layers=2,
        mlp_activations=("silu", "linear"), position="rope", prefix_lm=False, dropout_rate=0.0, dtype="bfloat16",
        sliding_window=256, global_every=2, attention_backend=backend,
    )  # fmt: skip
    devices = topologies.get_topology_desc(topology_name=chip, platform="tpu").devices
    mesh = Mesh(np.array(devices).reshape(-1, 2, 2), MESH_AXES)
    with use_mesh(mesh):
        said = check_run(config, {1024}, devices[0])
    params = abstract_params_on(config, mesh)
    spec = batch_spec("decoder", 4, {"inputs": 768, "targets": 256})
    rows = batch_sharding(mesh)
    batch = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=rows)
        for name, (shape, dtype) in spec.items()
    }
    with use_mesh(mesh):
        model = config.build()
        step = jax.value_and_grad(
            lambda params, batch: losses.loss_and_weight(model, params, batch)[0]
        )
        return said, jax.jit(step).lower(params, batch).compile()


@pytest.mark.parametrize("chip", ["v4:2x2x1", "v5e:2x2"])
def test_splash_compiles_for_tpus_and_saves_memory(chip, monkeypatch):
    monkeypatch.setattr(attention_backends, "_INTERPRET", False)
    said, splash = compiled_for(chip, "splash")
    _, xla = compiled_for(chip, "xla")
    assert said.startswith("attention: splash on TPU v")
    # Forward, dq and dkv, of local and of global layers.
    assert splash.as_text().count('custom_call_target="tpu_custom_call"') >= 6
    assert "tpu_custom_call" not in xla.as_text()
    memory = [compiled.memory_analysis().temp_size_in_bytes for compiled in (splash, xla)]
    print(
        f"{chip}: temporary memory {memory[0] / 2**20:.1f} MiB with splash, {memory[1] / 2**20:.1f} MiB with xla"
    )
    assert memory[0] < memory[1]


@pytest.mark.parametrize(
    "backend, wrong, message",
    [
        ("flash", {}, "unknown attention backend 'flash'.*Did you mean 'splash'"),
        ("cudnn", {}, "does not support float32; write dtype='bfloat16' or attention_backend='xla' or attention_backend='pallas'"),
        ("cudnn", {"dtype": "bfloat16", "attention_softcap": 50.0}, "does not support a softcap.*write attention_backend='xla' or"),
        ("cudnn", {"dtype": "bfloat16", "head_dim": 12}, "head_dim from 8 to 256 in steps of 8, and this model's is 12"),
        ("pallas", {"attention_softcap": 50.0}, "does not support a softcap.*attention_backend='xla' or attention_backend='splash'"),
        ("pallas", {"sliding_window": 4}, "does not support a sliding window"),
        ("pallas", {"head_dim": 8}, "head_dim from 16"),
        *((kernel, {"prefix_lm": True}, "not causal.*write prefix_lm=False or") for kernel in ("pallas", "splash")),
        *((kernel, {"position": "relative"}, "relative position bias.*position='rope'") for kernel in ("pallas", "splash")),
        *((kernel, {"dtype": "bfloat16", "dropout_rate": 0.1}, "dropout_rate=0.0") for kernel in KERNELS),
    ],
)  # fmt: skip
def test_a_config_whose_backend_cannot_is_refused(backend, wrong, message):
    with pytest.raises(InputError, match=message):
        DecoderConfig(**LLAMA | wrong, attention_backend=backend)


@pytest.mark.parametrize("backend", ["pallas", "splash"])
def test_an_encoder_decoder_is_refused(backend):
    with pytest.raises(InputError, match="an encoder, a cache.; write attention_backend='xla'"):
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
        ("splash", TPU, {128}, {"num_kv_heads": 1}, "1 do not divide over tensor = 2 devices"),
    ],
)
def test_a_run_whose_backend_cannot_is_refused(backend, device, lengths, form, message):
    config = DecoderConfig(**LLAMA | form, attention_backend=backend)
    with use_mesh(make_mesh({"data": -1, "tensor": 2})), pytest.raises(InputError, match=message):
        check_run(config, lengths, device)


def test_a_run_is_checked_at_the_lengths_of_its_rows(monkeypatch):
    monkeypatch.setattr(
        attention_backends,
        "check_run",
        lambda config, lengths, device: f"{sorted(lengths)} {device.platform}",
    )
    lengths = {"inputs": 100, "targets": 28}
    assert check_attention(DecoderConfig(**LLAMA), lengths, make_mesh()) == "[128] cpu"
    assert check_attention(EncoderDecoderConfig(**T5), lengths, make_mesh()) == "[28, 100] cpu"


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
