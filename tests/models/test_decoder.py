"""Forms of the decoder that need no reference implementation: windows, grouped heads, bad input."""

import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from flan_jax.errors import InputError
from flan_jax.models import rope
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.params import abstract_params
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
LINEAR = {"type": "linear", "factor": 4.0}
YARN = {
    "type": "yarn",
    "factor": 4.0,
    "original_max_position": 64,
    "beta_fast": 32,
    "beta_slow": 1,
    "attention_factor": 1.1,
}


def test_train_flops_count_fewer_heads_of_keys():
    config = DecoderConfig(**TINY)
    grouped = dataclasses.replace(config, num_kv_heads=1)
    lengths = {"inputs": 6, "targets": 4}
    # Three of four heads less in the kernels of keys and values of four layers; 6 FLOPs for each
    # parameter and token, of which 3 rows have 10 each.
    parameters = 4 * (2 * 16 * 3 * 8)
    saved = 6 * parameters * 3 * 10
    assert config.train_flops(3, lengths) - grouped.train_flops(3, lengths) == saved


def test_train_flops_count_the_head_for_tokens_with_loss():
    config = DecoderConfig(**TINY)
    lengths = {"inputs": 6, "targets": 4}
    # Without a number three rows of four targets have loss.
    of_a_token = 6 * 16 * config.vocab_size
    assert config.train_flops(3, lengths) == config.train_flops(3, lengths, 12)
    more = config.train_flops(3, lengths, 20) - config.train_flops(3, lengths)
    assert more == 8 * of_a_token


def test_layer_kinds_of_local_and_global_layers():
    config = DecoderConfig(
        **TINY,
        position="rope",
        rope_scaling=LINEAR,
        sliding_window=3,
        global_every=3,
        rope_local_max_wavelength=100,
    )
    kinds = config.layer_kinds()
    assert kinds.local.tolist() == [True, True, False, True]
    of_global = rope.frequencies(8, 10_000.0) / 4
    of_local = rope.frequencies(8, 100.0)
    expected = [of_local, of_local, of_global, of_local]
    np.testing.assert_array_equal(kinds.frequencies, expected)


def test_local_layers_have_the_frequencies_of_global_ones_by_default():
    """The scaling of these included."""
    config = DecoderConfig(
        **TINY, position="rope", rope_scaling=LINEAR, sliding_window=3
    )
    kinds = config.layer_kinds()
    assert kinds.local.all()
    np.testing.assert_array_equal(
        kinds.frequencies, [rope.frequencies(8, 10_000.0) / 4] * 4
    )


def test_layer_kinds_of_t5s_form():
    kinds = DecoderConfig(**TINY).layer_kinds()
    assert not kinds.local.any()
    assert kinds.frequencies is None


def test_configs_with_rope_scaling_hash_and_compare():
    def scaled_by(factor):
        scaling = {"type": "linear", "factor": factor}
        return DecoderConfig(**TINY, position="rope", rope_scaling=scaling)

    assert hash(scaled_by(4.0).build()) == hash(scaled_by(4.0).build())
    assert scaled_by(4.0) == scaled_by(4.0)
    assert scaled_by(4.0) != scaled_by(8.0)


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
    """Logits of unit variance add a half to it.

    Embeddings of unit variance under a head without a scale would add dozens.
    """
    sizes = TINY | {"vocab_size": 500, "emb_dim": 64, "dropout_rate": 0.0}
    model = DecoderConfig(**sizes | GATED | form).build()
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(4):
        inputs = rng.integers(1, 500, 20).tolist()
        targets = rng.integers(1, 500, 30).tolist()
        rows.append([(inputs, targets)])
    batch = make_batch("decoder", rows, {"inputs": 20, "targets": 30})
    _, sums = losses.loss_and_weight(model, init(model, batch), batch)
    loss = sums["loss_sum"] / sums["weight_sum"]
    assert np.log(500) - 0.1 < loss < np.log(500) + 1.0


@pytest.mark.parametrize(
    ("kv_heads", "norms"),
    [
        (1, {}),
        (2, {}),
        (2, {"joint_qk_norm": True, "pre_norms": False, "post_norms": True}),
    ],
)
def test_a_sharded_model_has_the_same_loss_and_gradients(
    kv_heads, norms, make_batch, examples, init
):
    """With heads of keys that divide over the mesh's tensor axis, and one that does not.

    The norms of OLMo 2 are over an axis that the mesh splits.
    """
    config = DecoderConfig(
        **TINY,
        **GATED,
        **norms,
        num_kv_heads=kv_heads,
        qk_norm=True,
        attention_bias=True,
        sliding_window=4,
        global_every=2,
        logits_softcap=5.0,
        dropout_rate=0.0,
    )
    rows = [examples[:2], examples[2:], examples[1:], examples[:1]]
    batch = make_batch("decoder", rows, {"inputs": 12, "targets": 9})
    model = config.build()
    params = init(model, batch)

    def loss_and_gradients(mesh):
        placed_params = jax.device_put(
            params, param_shardings(abstract_params(config), mesh)
        )
        placed_batch = jax.device_put(batch, batch_sharding(mesh))

        def loss(params, batch):
            return losses.loss_and_weight(model, params, batch)[0]

        with use_mesh(mesh):
            return jax.device_get(
                jax.jit(jax.value_and_grad(loss))(placed_params, placed_batch)
            )

    one_device = Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1), MESH_AXES)
    sharded = loss_and_gradients(make_mesh({"data": 2, "fsdp": 2, "tensor": 2}))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        sharded,
        loss_and_gradients(one_device),
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"num_kv_heads": 3},
            "num_kv_heads=3 heads of keys evenly; write a num_kv_heads that divides",
        ),
        ({"num_kv_heads": 0}, "num_kv_heads is 0"),
        ({"sliding_window": 0}, "sliding_window is 0"),
        ({"global_every": 2}, "write a sliding_window"),
        (
            {"position": "rope", "rope_local_max_wavelength": 100.0},
            "write a sliding_window",
        ),
        (
            {"sliding_window": 2, "rope_local_max_wavelength": 100.0},
            'write position="rope"',
        ),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, 'write position="rope"'),
        (
            {"position": "rope", "rope_scaling": {"type": "linaer", "factor": 2.0}},
            "Did you mean 'linear'",
        ),
        ({"position": "rope", "head_dim": 7}, "write an even number"),
        ({"attention_softcap": 0.0}, "attention_softcap is 0.0"),
        ({"logits_softcap": -1}, "logits_softcap is -1"),
        ({"tied_logits_scale": 1.0}, "logits_via_embedding=True"),
        ({"pre_norms": False}, "a decoder without norms does not train"),
        ({"joint_qk_norm": True}, "write qk_norm=True too"),
        (
            {"position": "rope", "rope_scaling": YARN, "rope_max_wavelength": 1.0},
            "YaRN needs one above 1",
        ),
        (
            {
                "position": "rope",
                "rope_scaling": YARN,
                "sliding_window": 4,
                "rope_local_max_wavelength": 100.0,
            },
            "leave one of them out",
        ),
    ],
)
def test_a_form_that_cannot_be_built_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        DecoderConfig(**TINY | wrong)
