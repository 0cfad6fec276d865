"""The forms of the decoder that need no reference at hand: published sizes, windows, sharding, bad input."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from flan_jax.errors import InputError
from flan_jax.models import rope
from flan_jax.models.attention_backends import AttentionMask, attend
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.masks import decoder_mask, window_mask
from flan_jax.models.params import abstract_params, count_params
from flan_jax.parallel.mesh import MESH_AXES, make_mesh
from flan_jax.parallel.sharding import batch_sharding, param_shardings, use_mesh
from flan_jax.training import losses

TINY = {
    "vocab_size": 50,
    "emb_dim": 16,
    "num_heads": 4,
    "head_dim": 8,
    "mlp_dim": 24,
    "num_layers": 4,
}
GATED = {"mlp_activations": ("silu", "linear"), "position": "rope"}
TIED = {"logits_via_embedding": True, "tied_logits_scale": 1.0}


def _sizes(vocab, emb, heads, kv_heads, head, mlp, number, **form):
    return DecoderConfig(
        vocab_size=vocab, emb_dim=emb, num_heads=heads, num_kv_heads=kv_heads, head_dim=head, mlp_dim=mlp,
        num_layers=number, **GATED | form,
    )  # fmt: skip


@pytest.mark.parametrize(
    "config, parameters",
    [
        pytest.param(_sizes(32000, 4096, 32, 32, 128, 11008, 32), 6_738_415_616, id="Llama 2 7B"),
        pytest.param(_sizes(128256, 4096, 32, 8, 128, 14336, 32), 8_030_261_248, id="Llama 3 8B"),
        pytest.param(_sizes(32000, 4096, 32, 8, 128, 14336, 32), 7_241_732_096, id="Mistral 7B"),
        pytest.param(
            _sizes(152064, 3584, 28, 4, 128, 18944, 28, attention_bias=True),
            7_615_616_512,
            id="Qwen 2.5 7B",
        ),
        pytest.param(
            _sizes(151936, 4096, 32, 8, 128, 12288, 36, qk_norm=True), 8_190_735_360, id="Qwen 3 8B"
        ),
        pytest.param(
            _sizes(256000, 2304, 8, 4, 256, 9216, 26, post_norms=True, **TIED),
            2_614_341_888,
            id="Gemma 2 2B",
        ),
        pytest.param(
            _sizes(262144, 1152, 4, 1, 256, 6912, 26, post_norms=True, qk_norm=True, **TIED),
            999_885_952,
            id="Gemma 3 1B",
        ),
    ],
)
def test_published_sizes(config, parameters):
    assert count_params(config) == parameters


def test_train_flops_count_fewer_heads_of_keys():
    config = DecoderConfig(**TINY)
    shared = dataclasses.replace(config, num_kv_heads=1)
    lengths = {"inputs": 6, "targets": 4}
    # Three of four heads less in the kernels of keys and values, 6 FLOPs for each parameter and token.
    saved = 6 * (2 * 16 * 3 * 8) * 4 * 10 * 3
    assert config.train_flops(3, lengths) - shared.train_flops(3, lengths) == saved


def test_a_head_of_keys_serves_successive_heads_of_queries():
    query, key, value = (
        jax.random.normal(jax.random.key(i), (2, 5, n, 4)) for i, n in enumerate((6, 2, 2))
    )
    bias = jax.random.normal(jax.random.key(3), (1, 6, 5, 5))
    mask = jnp.tril(jnp.ones((5, 5), bool))[None, None].repeat(2, axis=0)
    options = {"mask": AttentionMask(mask), "bias": bias, "softcap": 2.0}
    repeated = attend(query, jnp.repeat(key, 3, axis=2), jnp.repeat(value, 3, axis=2), **options)
    np.testing.assert_allclose(attend(query, key, value, **options), repeated, rtol=1e-5, atol=1e-6)


def test_a_window_counts_the_token_itself_and_positions_within_the_example():
    positions = jnp.asarray([[0, 1, 2, 3, 0, 1]])
    near = window_mask(positions, positions, 2) & decoder_mask(jnp.asarray([[1, 1, 1, 1, 2, 2]]))
    assert near[0, 0].astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 1],
    ]


def test_kinds_of_layers():
    rope_fields = {"position": "rope", "rope_scaling": {"type": "linear", "factor": 4.0}}
    far, near = rope.frequencies(8, 10_000.0) / 4, rope.frequencies(8, 100.0)
    own = DecoderConfig(
        **TINY, **rope_fields, sliding_window=3, global_every=3, rope_local_max_wavelength=100
    )
    assert own.layer_kinds().local.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(own.layer_kinds().frequencies, [near, near, far, near])
    # Local layers without a wavelength of their own have those of the global layers, scaling included.
    same = DecoderConfig(**TINY, **rope_fields, sliding_window=3)
    assert same.layer_kinds().local.all()
    np.testing.assert_array_equal(same.layer_kinds().frequencies, [far] * 4)
    plain = DecoderConfig(**TINY).layer_kinds()
    assert not plain.local.any() and plain.frequencies is None


def test_configs_with_rope_scaling_hash_and_compare():
    scaling = {"type": "linear", "factor": 4.0}
    configs = [
        DecoderConfig(**TINY, position="rope", rope_scaling=scaling | {"factor": f})
        for f in (4.0, 4.0, 8.0)
    ]
    assert hash(configs[0].build()) == hash(configs[1].build())
    assert configs[0] == configs[1] != configs[2]


@pytest.mark.parametrize(
    "form",
    [
        TIED,
        TIED | {"scale_embeddings": True, "post_norms": True},
        {"logits_via_embedding": True},
        {},
    ],
)
def test_training_from_scratch_begins_near_log_vocabulary(form, make_batch, init):
    """Unit variance of the logits adds a half; embeddings of unit variance under a head that is not scaled, dozens."""
    config = DecoderConfig(
        **TINY | GATED | {"vocab_size": 500, "emb_dim": 64, "dropout_rate": 0.0} | form
    )
    rng = np.random.default_rng(0)
    rows = [
        [(rng.integers(1, 500, 20).tolist(), rng.integers(1, 500, 30).tolist())] for _ in range(4)
    ]
    batch, model = make_batch("decoder", rows, {"inputs": 20, "targets": 30}), config.build()
    _, sums = losses.loss_and_weight(model, init(model, batch), batch)
    assert np.log(500) - 0.1 < sums["loss_sum"] / sums["weight_sum"] < np.log(500) + 1.0


@pytest.mark.parametrize("heads", [1, 2])
def test_a_sharded_model_has_the_same_loss_and_gradients(heads, make_batch, examples, init):
    """Heads of keys that divide over the mesh's tensor axis, and one that does not."""
    config = DecoderConfig(
        **TINY, **GATED, num_kv_heads=heads, qk_norm=True, attention_bias=True, sliding_window=4, global_every=2,
        logits_softcap=5.0, dropout_rate=0.0,
    )  # fmt: skip
    batch = make_batch(
        "decoder",
        [examples[:2], examples[2:], examples[1:], examples[:1]],
        {"inputs": 12, "targets": 9},
    )
    model = config.build()
    params = init(model, batch)
    gradients = {}
    for shape in ({"data": 2, "fsdp": 2, "tensor": 2}, None):
        mesh = (
            make_mesh(shape)
            if shape
            else Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), MESH_AXES)
        )
        placed = jax.device_put(params, param_shardings(abstract_params(config), mesh))
        with use_mesh(mesh):
            step = jax.jit(jax.value_and_grad(lambda p, b: losses.loss_and_weight(model, p, b)[0]))
            gradients[shape is None] = jax.device_get(
                step(placed, jax.device_put(batch, batch_sharding(mesh)))
            )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, gradients[False], gradients[True])


@pytest.mark.parametrize(
    "wrong, message",
    [
        (
            {"num_kv_heads": 3},
            "num_kv_heads=3 heads of keys evenly; write a num_kv_heads that divides",
        ),
        ({"num_kv_heads": 0}, "num_kv_heads is 0"),
        ({"sliding_window": 0}, "sliding_window is 0"),
        ({"global_every": 2}, "write a sliding_window"),
        ({"position": "rope", "rope_local_max_wavelength": 100.0}, "write a sliding_window"),
        ({"sliding_window": 2, "rope_local_max_wavelength": 100.0}, 'write position="rope"'),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, 'write position="rope"'),
        (
            {"position": "rope", "rope_scaling": {"type": "linaer", "factor": 2.0}},
            "Did you mean 'linear'",
        ),
        ({"position": "rope", "rope_scaling": {"factor": 2.0}}, "unknown rope_scaling type"),
        ({"position": "rope", "rope_scaling": {"type": "llama3", "factor": 8.0}}, "takes exactly"),
        (
            {"position": "rope", "rope_scaling": {"type": "linear", "factor": 0}},
            "factor of rope_scaling is 0",
        ),
        ({"position": "rope", "head_dim": 7}, "write an even number"),
        ({"attention_softcap": 0.0}, "attention_softcap is 0.0"),
        ({"logits_softcap": -1}, "logits_softcap is -1"),
        ({"tied_logits_scale": 1.0}, "logits_via_embedding=True"),
    ],
)
def test_a_form_that_cannot_be_built_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        DecoderConfig(**TINY | wrong)


def test_llama3_scaling_needs_two_different_bounds():
    scaling = {
        "type": "llama3",
        "factor": 8,
        "low_freq_factor": 4,
        "high_freq_factor": 4,
        "original_max_position": 64,
    }
    with pytest.raises(InputError, match="a lower and a higher one"):
        DecoderConfig(**TINY, position="rope", rope_scaling=scaling)
