import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax import pytrees
from flan_jax.errors import InputError
from flan_jax.models import layers, rope
from flan_jax.models.blocks import relative_position_bucket, stack_layers
from flan_jax.models.encoder_decoder import EncoderDecoderConfig
from flan_jax.models.masks import decoder_mask, segment_mask
from flan_jax.training import losses
from flan_jax.training.step import KEEP_BARRIERS

LENGTHS = {"inputs": 7, "targets": 5}


def _value_and_grad(config, params, batch, **kwargs):
    model = config.build()
    grad = jax.value_and_grad(
        lambda p: losses.loss_and_weight(model, p, batch, **kwargs), has_aux=True
    )
    return jax.jit(grad)(params)


def _assert_close(a, b, tolerance=1e-4):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b
    )


def test_scanned_equals_unrolled(make_config, make_batch, examples, init, stacked):
    unrolled, scanned = make_config(scan_layers=False), make_config(scan_layers=True)
    batch = make_batch(
        unrolled.architecture, [examples[:1], examples[2:]], LENGTHS | {"targets": 4}
    )
    params = init(unrolled.build(), batch)
    assert jax.tree.map(jnp.shape, init(scanned.build(), batch)) == jax.tree.map(
        jnp.shape, stacked(params)
    )
    loss, grads = _value_and_grad(unrolled, params, batch)
    _assert_close(_value_and_grad(scanned, stacked(params), batch), (loss, stacked(grads)))


class Doubling(nn.Module):
    """x -> 2 x + 2 where dropout keeps it, with a parameter of its own."""

    config: EncoderDecoderConfig

    @nn.compact
    def __call__(self, x, context):
        self.param("kernel", nn.initializers.normal(), (8,))
        return 2 * x + layers.Dropout(0.5)(jnp.ones_like(x), deterministic=False), None


@pytest.mark.parametrize("scan_layers", [True, False])
def test_each_layer_draws_its_own_parameters_and_dropout(scan_layers):
    config = EncoderDecoderConfig(
        vocab_size=50, emb_dim=8, num_heads=2, head_dim=4, mlp_dim=8, num_encoder_layers=2, num_decoder_layers=1,
        scan_layers=scan_layers,
    )  # fmt: skip

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            return stack_layers(Doubling, config, 2, x=x, context=None)

    keys = {name: jax.random.key(number) for number, name in enumerate(("params", "dropout"))}
    x, variables = Stack().init_with_output(keys, jnp.zeros((4, 6, 32)))
    assert set(np.unique(x)) == {0, 2, 4, 6}  # with one mask for both layers 0 and 6 alone
    kernels = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(nn.unbox(variables))])
    assert len(np.unique(kernels)) == 16


@pytest.mark.parametrize("remat, scan_layers", [("minimal", True), ("full", False)])
def test_remat_changes_nothing(remat, scan_layers, make_batch, examples, init):
    config = EncoderDecoderConfig(
        vocab_size=50, emb_dim=8, num_heads=2, head_dim=4, mlp_dim=8, num_encoder_layers=2, num_decoder_layers=1,
        scan_layers=scan_layers, dropout_rate=0.3,
    )  # fmt: skip
    changed = EncoderDecoderConfig(**{**vars(config), "remat": remat})
    batch = make_batch("encoder_decoder", [examples[:1], examples[1:2]], LENGTHS)
    params, kwargs = (
        init(config.build(), batch),
        {"deterministic": False, "rngs": {"dropout": jax.random.key(1)}},
    )
    _assert_close(
        _value_and_grad(config, params, batch, **kwargs),
        _value_and_grad(changed, params, batch, **kwargs),
    )


def test_minimal_remat_computes_no_weight_product_twice(make_batch, examples, init):
    def products(remat):
        config = EncoderDecoderConfig(
            vocab_size=50, emb_dim=8, num_heads=2, head_dim=4, mlp_dim=8, num_encoder_layers=1, num_decoder_layers=1,
            scan_layers=False, remat=remat,
        )  # fmt: skip
        model, batch = config.build(), make_batch("encoder_decoder", [examples[:1]], LENGTHS)
        params = jax.eval_shape(lambda: nn.unbox(model.init(jax.random.key(0), batch))["params"])
        hlo = (
            jax.jit(jax.grad(lambda p: losses.loss_and_weight(model, p, batch)[0]))
            .lower(params)
            .as_text()
        )
        return hlo.count("stablehlo.dot_general")

    # One encoder and one decoder layer multiply by 7 and 11 kernels; "full" computes all but each layer's last again.
    none, minimal, full = (products(remat) for remat in ("none", "minimal", "full"))
    assert none <= minimal < full
    assert full - minimal >= 14


def test_the_trainers_options_let_remat_hold_less_on_the_cpu(make_batch, examples, init):
    def temporaries(remat, options):
        config = EncoderDecoderConfig(
            vocab_size=50, emb_dim=32, num_heads=2, head_dim=16, mlp_dim=256, num_encoder_layers=8, num_decoder_layers=1,
            scan_layers=False, remat=remat,
        )  # fmt: skip
        model, batch = (
            config.build(),
            make_batch("encoder_decoder", [examples[:1]], {"inputs": 128, "targets": 8}),
        )
        params = jax.eval_shape(lambda: nn.unbox(model.init(jax.random.key(0), batch))["params"])
        grad = jax.jit(
            jax.grad(lambda p: losses.loss_and_weight(model, p, batch)[0]), compiler_options=options
        )
        return grad.lower(params).compile().memory_analysis().temp_size_in_bytes

    none, minimal, full = (
        temporaries(remat, KEEP_BARRIERS) for remat in ("none", "minimal", "full")
    )
    assert full < minimal < none
    assert full < 0.5 * temporaries("full", None)


def test_matmul_has_the_gradients_of_dot():
    x, kernel, weight = (
        jax.random.normal(jax.random.key(i), shape)
        for i, shape in enumerate([(2, 3, 4), (4, 5), (2, 3, 5)])
    )
    got = jax.grad(
        lambda x, k: jnp.sum(layers.matmul(x, k, ("embed", "mlp")) * weight), argnums=(0, 1)
    )(x, kernel)
    _assert_close(
        got, jax.grad(lambda x, k: jnp.sum(jnp.dot(x, k) * weight), argnums=(0, 1))(x, kernel)
    )


def test_dropout_is_one_mask_for_all_positions():
    x = layers.Dropout(0.5).apply(
        {}, jnp.ones((4, 6, 32)), False, rngs={"dropout": jax.random.key(0)}
    )
    np.testing.assert_array_equal(x, np.broadcast_to(x[:, :1], x.shape))
    assert set(np.unique(x)) == {0.0, 2.0}


def test_compute_in_bfloat16_keeps_parameters_and_logits_in_float32(
    make_config, make_batch, examples, init
):
    config = make_config(dtype="bfloat16")
    batch, model = make_batch(config.architecture, [examples[:1]], LENGTHS), config.build()
    params = init(model, batch)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert model.apply({"params": params}, batch, method="hidden").dtype == jnp.bfloat16
    logits = model.apply({"params": params}, batch)
    assert logits.dtype == jnp.float32
    expected = make_config(dtype="float32").build().apply({"params": params}, batch)
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.999


def test_tied_head_is_the_scaled_table(make_config, make_batch, examples, init):
    config = make_config(logits_via_embedding=True, logits_softcap=None)
    batch, model = make_batch(config.architecture, [examples[:1]], LENGTHS), config.build()
    params = init(model, batch)
    assert not [name for name in pytrees.named_leaves(params) if "logits_dense" in name]
    hidden = model.apply({"params": params}, batch, method="hidden")
    expected = hidden @ params["token_embedder"]["embedding"].T / 16**0.5
    np.testing.assert_allclose(
        model.apply({"params": params}, batch), expected, rtol=1e-5, atol=1e-5
    )


def test_the_loss_is_that_of_the_soft_capped_logits(make_config, make_batch, examples, init):
    config = make_config(logits_softcap=0.5)
    batch, model = make_batch(config.architecture, [examples[:1]], LENGTHS), config.build()
    params = init(model, batch)
    logits = model.apply({"params": params}, batch)
    assert 0.4 < jnp.abs(logits).max() <= 0.5
    log_probs = jnp.take_along_axis(
        jax.nn.log_softmax(logits), batch["decoder_target_tokens"][..., None], axis=-1
    )
    loss, _ = losses.loss_and_weight(model, params, batch, z_loss=0.0)
    np.testing.assert_allclose(
        loss, -jnp.sum(log_probs[..., 0] * batch["decoder_loss_weights"]), rtol=1e-5
    )


def test_parameters_name_their_axes(make_config, make_batch, examples):
    config = make_config(scan_layers=True)
    batch = make_batch(config.architecture, [examples[:1]], LENGTHS)
    boxed = jax.eval_shape(config.build().init, jax.random.key(0), batch)["params"]
    axes = jax.tree.map(tuple, nn.get_partition_spec(boxed), is_leaf=lambda x: isinstance(x, jax.P))
    decoder = axes["decoder"]["layers"]
    assert decoder["self_attention"]["query"]["kernel"] == ("layers", "embed", "joined_kv")
    assert decoder["self_attention"]["out"]["kernel"] == ("layers", "joined_kv", "embed")
    assert decoder["mlp"]["wo"]["kernel"] == ("layers", "mlp", "embed")
    assert decoder["pre_mlp_layer_norm"]["scale"] == ("layers", "embed")
    assert axes["token_embedder"]["embedding"] == ("vocab", "embed")
    assert axes["decoder"]["logits_dense"]["kernel"] == ("embed", "vocab")


def test_t5_1_1_small_has_its_published_size():
    config = EncoderDecoderConfig(
        vocab_size=32128, emb_dim=512, num_heads=6, head_dim=64, mlp_dim=1024, num_encoder_layers=8,
        num_decoder_layers=8,
    )  # fmt: skip
    tokens = jnp.zeros((1, 4), jnp.int32)
    batch = {
        f"{side}_{name}": tokens
        for side in ("encoder", "decoder")
        for name in ("input_tokens", "segment_ids")
    }
    params = jax.eval_shape(config.build().init, jax.random.key(0), batch)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 76_961_152


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_position_buckets(bidirectional):
    relative = jnp.asarray([-500, -128, -20, -8, -7, -1, 0, 1, 7, 8, 20, 128, 500])
    expected = {
        True: [15, 15, 10, 8, 7, 1, 0, 17, 23, 24, 26, 31, 31],
        False: [31, 31, 17, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0],
    }
    buckets = relative_position_bucket(
        relative, bidirectional=bidirectional, num_buckets=32, max_distance=128
    )
    assert buckets.tolist() == expected[bidirectional]


def test_rotary_scores_depend_on_distance_alone():
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def score(i, j):
        frequencies = jnp.asarray(rope.frequencies(8, 10_000.0))
        turned = [
            rope.rotary(x, jnp.full((1, 1), at), frequencies) for x, at in ((query, i), (key, j))
        ]
        return jnp.sum(turned[0] * turned[1])

    np.testing.assert_allclose(score(3, 1), score(103, 101), rtol=1e-4, atol=1e-4)
    assert abs(score(3, 1) - score(3, 2)) > 1e-3


def test_masks():
    ids, prefix = jnp.asarray([[1, 1, 1, 2, 0]]), jnp.asarray([[1, 1, 0, 1, 0]])
    assert decoder_mask(ids)[0, 0].astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0],
    ]
    assert decoder_mask(ids, prefix)[0, 0].astype(int).tolist()[:2] == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
    ]
    assert segment_mask(jnp.asarray([[1, 2]]), jnp.asarray([[1, 1, 2, 0]]))[0, 0].astype(
        int
    ).tolist() == [
        [1, 1, 0, 0],
        [0, 0, 1, 0],
    ]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"emb_dim": 0}, "emb_dim is 0"),
        ({"num_heads": -2}, "num_heads is -2"),
        ({"dropout_rate": 1.0}, "dropout_rate is 1.0"),
        ({"dtype": "bf16"}, "unknown dtype 'bf16'"),
        ({"remat": "some"}, "unknown remat policy"),
        ({"mlp_activations": ("gelo", "linear")}, "Did you mean 'gelu'"),
        ({"mlp_activations": ()}, "mlp_activations is empty"),
        ({"relative_attention_num_buckets": 31}, "must be even"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(wrong, message, make_config):
    with pytest.raises(InputError, match=message):
        make_config(**wrong)
