import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


@pytest.mark.parametrize(
    "chunk, softcap",
    [(1, None), (4, None), (5, None), (12, None), (128, None), (5, 3.0)],
)
def test_chunked_equals_plain(chunk, softcap):
    hidden, kernel, targets, weights = _inputs(12)

    def chunked(hidden, kernel):
        return losses.cross_entropy(
            hidden,
            kernel,
            targets,
            weights,
            z_loss=Z_LOSS,
            softcap=softcap,
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


def test_float32_logits_of_the_whole_length_never_exist():
    hidden, kernel, targets, weights = _inputs(64)

    def loss(hidden, kernel):
        return losses.cross_entropy(hidden, kernel, targets, weights, length_chunk=8)[0]

    text = str(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(hidden, kernel))
    assert "f32[3,8,37]" in text
    assert "f32[3,64,37]" not in text and "f32[8,3,8,37]" not in text
