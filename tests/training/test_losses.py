import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.parallel.mesh import make_mesh
from flan_jax.parallel.sharding import batch_sharding, use_mesh
from flan_jax.training import losses

Z_LOSS = 1e-2


def _plain(hidden, kernel, targets, weights, softcap=None):
    logits = jnp.einsum("blm,mv->blv", hidden, kernel)
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    normaliser = jax.nn.logsumexp(logits, axis=-1)
    nll = normaliser - jnp.sum(
        logits * jax.nn.one_hot(targets, kernel.shape[1]), axis=-1
    )
    z_loss = Z_LOSS * normaliser**2
    correct = jnp.argmax(logits, axis=-1) == targets
    return jnp.sum(weights * (nll + z_loss)), {
        "loss_sum": jnp.sum(weights * (nll + z_loss)),
        "z_loss_sum": jnp.sum(weights * z_loss),
        "correct_sum": jnp.sum(weights * correct),
        "weight_sum": jnp.sum(weights),
    }


def _inputs(length):
    rng = np.random.default_rng(0)
    hidden, kernel = rng.normal(size=(3, length, 8)), rng.normal(size=(8, 37))
    targets, weights = rng.integers(0, 37, (3, length)), rng.integers(0, 3, (3, length))
    return (
        jnp.float32(hidden),
        jnp.float32(kernel),
        jnp.int32(targets),
        jnp.float32(weights),
    )


@pytest.mark.parametrize("vocab_first", [False, True])
@pytest.mark.parametrize("supervised_only", [False, True])
@pytest.mark.parametrize(
    "chunk, softcap",
    [(1, None), (4, None), (5, None), (12, None), (128, None), (5, 3.0)],
)
def test_chunked_equals_plain(chunk, softcap, supervised_only, vocab_first):
    hidden, kernel, targets, weights = _inputs(12)

    def chunked(hidden, kernel):
        return losses.cross_entropy(
            hidden,
            kernel,
            targets,
            weights,
            z_loss=Z_LOSS,
            softcap=softcap,
            supervised_only=supervised_only,
            vocab_first=vocab_first,
            length_chunk=chunk,
        )

    plain = jax.value_and_grad(
        lambda h, k: _plain(h, k, targets, weights, softcap),
        argnums=(0, 1),
        has_aux=True,
    )
    got = jax.jit(jax.value_and_grad(chunked, argnums=(0, 1), has_aux=True))(
        hidden, kernel
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
        got,
        plain(hidden, kernel),
    )
    # Evaluation takes another path than differentiation.
    np.testing.assert_allclose(chunked(hidden, kernel)[0], got[0][0], rtol=1e-6)


def test_the_gradient_scales_with_what_the_loss_is_used_for():
    hidden, kernel, targets, weights = _inputs(6)

    def mean(hidden):
        loss, sums = losses.cross_entropy(hidden, kernel, targets, weights)
        return loss / sums["weight_sum"]

    total = jax.grad(lambda h: losses.cross_entropy(h, kernel, targets, weights)[0])(
        hidden
    )
    np.testing.assert_allclose(
        jax.grad(mean)(hidden), total / jnp.sum(weights), rtol=1e-5, atol=1e-6
    )


def test_sums_of_parts_are_the_sum_of_the_whole():
    hidden, kernel, targets, weights = _inputs(6)
    whole = losses.cross_entropy(hidden, kernel, targets, weights)[1]
    parts = [
        losses.cross_entropy(
            hidden[i : i + 1], kernel, targets[i : i + 1], weights[i : i + 1]
        )[1]
        for i in range(3)
    ]
    for name, value in whole.items():
        np.testing.assert_allclose(value, sum(part[name] for part in parts), rtol=1e-5)


def test_tokens_of_weight_zero_add_nothing():
    hidden, kernel, targets, weights = _inputs(6)
    weights = weights.at[:, 2].set(0.0)
    before = losses.cross_entropy(hidden, kernel, targets, weights)[1]
    after = losses.cross_entropy(
        hidden.at[:, 2].add(1.0), kernel, targets.at[:, 2].set(0), weights
    )[1]
    assert before == after


@pytest.mark.parametrize(
    "weights",
    [
        np.zeros((4, 10)),
        np.ones((4, 10)),
        np.arange(40).reshape(4, 10) == 39,
        np.arange(4)[:, None] * np.ones((4, 10)) == 2,
        np.random.default_rng(1).integers(0, 3, (4, 10)),
    ],
    ids=["none", "all", "the last token", "one row", "some"],
)
@pytest.mark.parametrize("vocab_first", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        {"data": 1, "tensor": 8},
        {"data": 4, "tensor": 2},
        {"data": 2, "fsdp": 2, "tensor": 2},
    ],
)
def test_the_supervised_tokens_of_sharded_rows(weights, shape, vocab_first):
    """However many tokens of however few rows have loss, none is lost on any mesh."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(4, 10, 8)).astype(np.float32)
    kernel = rng.normal(size=(8, 16)).astype(np.float32)
    targets = rng.integers(0, 16, (4, 10))
    weights = weights.astype(np.float32)

    def loss(hidden, kernel, targets, weights):
        return losses.cross_entropy(
            hidden,
            kernel,
            targets,
            weights,
            z_loss=Z_LOSS,
            supervised_only=True,
            vocab_first=vocab_first,
            length_chunk=3,
        )

    with_gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    plain = jax.value_and_grad(_plain, argnums=(0, 1), has_aux=True)
    mesh = make_mesh(shape)
    with use_mesh(mesh):
        rows = [
            jax.device_put(x, batch_sharding(mesh)) for x in (hidden, targets, weights)
        ]
        got = jax.jit(with_gradients)(rows[0], kernel, *rows[1:])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
        got,
        plain(hidden, kernel, targets, weights),
    )


def test_the_head_is_not_computed_where_nothing_is_supervised():
    hidden, kernel, targets, _ = _inputs(12)
    # Six tokens with loss fill one chunk of two positions of three rows; the others are unreadable.
    weights = jnp.zeros((3, 12)).at[0, :5].set(1.0).at[2, 7].set(1.0)
    hidden = jnp.where(weights[..., None] > 0, hidden, jnp.nan)

    def loss(hidden):
        return losses.cross_entropy(
            hidden, kernel, targets, weights, supervised_only=True, length_chunk=2
        )

    (value, sums), gradient = jax.value_and_grad(loss, has_aux=True)(hidden)
    assert np.isfinite(value) and sums["weight_sum"] == 6
    assert np.all(np.isfinite(gradient))
    has_gradient = np.any(np.asarray(gradient) != 0, axis=-1)
    np.testing.assert_array_equal(has_gradient, weights > 0)


@pytest.mark.parametrize("supervised_only", [False, True])
def test_float32_logits_of_the_whole_length_never_exist(supervised_only):
    hidden, kernel, targets, weights = _inputs(64)

    def loss(hidden, kernel):
        return losses.cross_entropy(
            hidden,
            kernel,
            targets,
            weights,
            supervised_only=supervised_only,
            length_chunk=8,
        )[0]

    text = str(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(hidden, kernel))
    assert ("f32[1,24,37]" if supervised_only else "f32[3,8,37]") in text
    for shape in ("3,64,37", "8,3,8,37", "1,192,37"):
        assert f"f32[{shape}]" not in text
