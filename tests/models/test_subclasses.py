"""Where a method attaches to a model: its own Dense, Embed, Attention, kernel or remat policy."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from model_fixtures import CONFIGS

from flan_jax import pytrees
from flan_jax.cli import gin_settings
from flan_jax.errors import InputError
from flan_jax.models import attention_backends, config
from flan_jax.models.attention import Attention
from flan_jax.models.attention_backends import Backend, register_attention_backend
from flan_jax.models.config import register_remat_policy
from flan_jax.models.layers import Dense, Embed, parameter
from flan_jax.models.masks import decoder_mask
from flan_jax.models.params import dummy_batch
from flan_jax.training import losses

LENGTHS = {"inputs": 7, "targets": 5}


class LowRankDense(Dense):
    """Adds a product of two thin matrices to the kernel; the second starts at zero."""

    rank: int = 2

    def setup(self):
        super().setup()
        features_in, features_out = self.shape
        axis_in, axis_out = self.axes
        self.down = parameter(
            self,
            "down",
            nn.initializers.normal(1.0),
            shape=(features_in, self.rank),
            axes=(axis_in, None),
        )
        self.up = parameter(
            self,
            "up",
            nn.initializers.zeros_init(),
            shape=(self.rank, features_out),
            axes=(None, axis_out),
        )

    def weight(self):
        change = self.down @ self.up
        return super().weight() + change.astype(self.dtype)


class ShiftedEmbed(Embed):
    """Adds a vector to every embedding, which starts at zero."""

    def setup(self):
        super().setup()
        zeros = nn.initializers.zeros_init()
        self.shift = parameter(
            self, "shift", zeros, shape=self.shape[1:], axes=("embed",)
        )

    def __call__(self, tokens):
        rows = super().__call__(tokens)
        return rows + self.shift.astype(self.dtype).reshape(
            (1,) * (rows.ndim - 1) + (-1,)
        )


class GatedAttention(Attention):
    """Multiplies the outputs of self-attention by a gate, which starts at one."""

    def setup(self):
        super().setup()
        self.gate = parameter(
            self, "gate", nn.initializers.ones_init(), shape=(1,), axes=(None,)
        )

    def __call__(self, x, **inputs):
        return super().__call__(x, **inputs) * self.gate.astype(x.dtype).reshape(
            1, 1, 1
        )


def one_step(model_config, batch, init):
    """Returns the parameters before and after a step of gradient descent, by unrolled name."""
    model = model_config.build()
    params = init(model, batch)

    @jax.jit
    def step(params):
        grads = jax.grad(
            lambda params: losses.loss_and_weight(model, params, batch)[0]
        )(params)
        return jax.tree.map(lambda value, grad: value - 0.1 * grad, params, grads)

    before = pytrees.named_leaves(pytrees.unstacked(params))
    after = pytrees.named_leaves(pytrees.unstacked(step(params)))
    return before, after


@pytest.mark.parametrize(
    "execution",
    [
        {"scan_layers": True, "remat": "minimal"},
        {"scan_layers": False, "remat": "full"},
    ],
    ids=["scanned", "unrolled"],
)
@pytest.mark.parametrize(
    ("architecture", "place", "subclass", "parameter_name", "count"),
    [
        # The matrices of two layers in each stack, and the head.
        ("encoder_decoder", "dense", LowRankDense, "up", 2 * (7 + 11) + 1),
        ("rope", "dense", LowRankDense, "up", 2 * 7 + 1),
        ("encoder_decoder", "embed", ShiftedEmbed, "shift", 1),
        ("rope", "embed", ShiftedEmbed, "shift", 1),
        # One self-attention in each layer; cross-attention has no gate.
        ("encoder_decoder", "attention", GatedAttention, "gate", 2 + 2),
        ("rope", "attention", GatedAttention, "gate", 2),
    ],
)
def test_a_subclass_is_trained_in_every_layer(
    architecture,
    place,
    subclass,
    parameter_name,
    count,
    execution,
    make_batch,
    examples,
    init,
):
    plain = CONFIGS[architecture](**execution)
    changed = CONFIGS[architecture](**execution, **{place: subclass})
    batch = make_batch(plain.architecture, [examples[:1], examples[2:]], LENGTHS)
    plain_params, _ = one_step(plain, batch, init)
    before, after = one_step(changed, batch, init)

    added = [
        name
        for name in before
        if name.endswith(f"/{parameter_name}")
        and "encoder_decoder_attention/gate" not in name
    ]
    assert len(added) == count
    for name in added:
        assert np.all(np.isfinite(after[name])), name
        assert np.abs(after[name] - before[name]).max() > 1e-7, name
    # The other parameters start as those of the plain model.
    for name, value in plain_params.items():
        np.testing.assert_array_equal(before[name], value, err_msg=name)


MODULE = """
import flax.linen as nn
import gin

from flan_jax.models.layers import Dense, parameter


@gin.configurable(module="scaled_dense")
class ScaledDense(Dense):
    start: float = 1.0

    def setup(self):
        super().setup()
        start = nn.initializers.constant(self.start)
        shape = (1, self.shape[1])
        self.scale = parameter(self, "scale", start, shape=shape, axes=(None, self.axes[1]))

    def weight(self):
        return super().weight() * self.scale.astype(self.dtype)
"""


@pytest.mark.parametrize(
    ("file", "config_class"),
    [("t5_nano", "EncoderDecoderConfig"), ("decoder_nano", "DecoderConfig")],
)
def test_a_gin_file_names_a_subclass_and_its_settings(
    file, config_class, tmp_path, monkeypatch, init
):
    (tmp_path / "scaled_dense.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    gin_file = tmp_path / "model.gin"
    gin_file.write_text(
        "import scaled_dense\n"
        f"include 'models/{file}.gin'\n"
        f"{config_class}.dense = @scaled_dense.ScaledDense\n"
        "ScaledDense.start = 0.5\n"
    )
    model_config = gin_settings.load_model([str(gin_file)])
    assert model_config == gin_settings.load_model([str(gin_file)])
    params = init(model_config.build(), dummy_batch(model_config))
    scales = [
        leaf
        for name, leaf in pytrees.named_leaves(params).items()
        if "wo/scale" in name
    ]
    assert len(scales) == (2 if config_class == "EncoderDecoderConfig" else 1)
    assert all(np.all(scale == 0.5) for scale in scales)


def test_a_registered_backend_computes_attention(
    monkeypatch, make_batch, examples, init
):
    """The mean of the values that a causal rule shows, whatever the scores."""

    def mean_of_values(query, key, value, *, mask, bias, softcap):
        segment_ids = mask.segment_ids
        visible = decoder_mask(segment_ids)[:, 0].astype(value.dtype)
        weights = visible / jnp.maximum(visible.sum(axis=-1, keepdims=True), 1)
        repeated = jnp.repeat(value, query.shape[2] // value.shape[2], axis=2)
        return jnp.einsum("bqk,bkhd->bqhd", weights, repeated)

    monkeypatch.setattr(
        attention_backends, "BACKENDS", dict(attention_backends.BACKENDS)
    )
    lacks = ("dense_mask", "bias", "softcap", "window")
    register_attention_backend("mean", Backend(run=mean_of_values, lacks=lacks))
    causal = functools.partial(
        CONFIGS["rope"], attention_backend="mean", prefix_lm=False
    )
    batch = make_batch("decoder", [examples[:1]], LENGTHS)
    model = causal().build()
    params = init(model, batch)
    logits = model.apply({"params": params}, batch)
    reference = (
        CONFIGS["rope"](prefix_lm=False).build().apply({"params": params}, batch)
    )
    # The first token attends to itself alone.
    np.testing.assert_allclose(logits[0, 0], reference[0, 0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(logits[0, 3], reference[0, 3], atol=1e-3)

    with pytest.raises(
        InputError, match="'mean' does not support dropout of attention weights"
    ):
        causal(dropout_rate=0.1)
    with pytest.raises(InputError, match="two attention backends are named 'mean'"):
        register_attention_backend("mean", Backend(run=mean_of_values))
    with pytest.raises(InputError, match="'other': run will be called with"):
        register_attention_backend("other", Backend(run=print))


def test_a_registered_remat_policy_is_used(monkeypatch):
    monkeypatch.setattr(config, "REMAT_POLICIES", dict(config.REMAT_POLICIES))
    register_remat_policy("dots", jax.checkpoint_policies.checkpoint_dots)
    assert CONFIGS["rope"](remat="dots").remat == "dots"
    with pytest.raises(
        InputError, match=r"unknown remat policy .dot.\. Did you mean 'dots'"
    ):
        CONFIGS["rope"](remat="dot")
