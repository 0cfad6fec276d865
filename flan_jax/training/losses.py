"""Token cross-entropy with z-loss, as sums: whoever adds up rows, microbatches and hosts divides once, at the end.

The logits are never all there: the loss and its gradient are computed together, a piece of the length at a time.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.batch import Batch
from flan_jax.parallel.sharding import HEAD, constrain, gather_fsdp

Sums = dict[str, Float[Array, ""]]

# Decoder positions whose logits are alive at once: rows x 128 x vocabulary float32 values.
LENGTH_CHUNK = 128


def loss_and_weight(
    model: Any,
    params: Any,
    batch: Batch,
    *,
    z_loss: float = 1e-4,
    deterministic: bool = True,
    rngs: dict[str, jax.Array] | None = None,
) -> tuple[Float[Array, ""], Sums]:
    """(summed loss, its parts) of a batch: the function the trainer differentiates with respect to `params`.

    The loss of a batch is loss_sum / weight_sum. Parts: see `cross_entropy`. `model` is a Flax module with the methods
    `hidden` and `head_kernel` and a `config` with `logits_softcap`; `params` its unboxed parameters.
    """
    variables = {"params": params}
    hidden = model.apply(variables, batch, deterministic=deterministic, rngs=rngs, method="hidden")
    kernel = model.apply(variables, method="head_kernel")
    targets, weights = batch["decoder_target_tokens"], batch["decoder_loss_weights"]
    softcap = model.config.logits_softcap
    return cross_entropy(hidden, kernel, targets, weights, z_loss=z_loss, softcap=softcap)


def cross_entropy(
    hidden: Float[Array, "batch length embed"],
    kernel: Float[Array, "embed vocab"],
    targets: Int[Array, "batch length"],
    weights: Float[Array, "batch length"],
    *,
    z_loss: float = 1e-4,
    softcap: float | None = None,
    length_chunk: int = LENGTH_CHUNK,
) -> tuple[Float[Array, ""], Sums]:
    """(loss_sum, sums) of the targets under softmax(logits), each token times its weight.

    The logits are hidden @ kernel or, with a `softcap`, softcap tanh(hidden @ kernel / softcap) (Gemma 2, section 2).

    loss_sum    sum of w (logsumexp(logits) - logits[target] + z_loss logsumexp(logits)^2), to be differentiated with
                respect to `hidden` and `kernel`; the square is the z-loss (Chowdhery et al. 2022, section 5; T5X's 1e-4)
    weight_sum  sum of w;   z_loss_sum   the z-loss's share of loss_sum, to be logged
    correct_sum sum of w where no logit lies above the target's
    `length_chunk` positions of all rows are computed at a time; the last piece is padded with weights of 0.
    """
    length = hidden.shape[1]
    chunk = min(length_chunk, length)
    arrays = (hidden, targets, weights)
    if length % chunk:
        arrays = tuple(_pad_length(array, -length % chunk) for array in arrays)
    totals: Any = _chunked(kernel, *arrays, z_loss, softcap, chunk)
    loss_sum, z_loss_sum, correct_sum = totals
    loss = jax.lax.stop_gradient(loss_sum)
    sums = {
        "loss_sum": loss,
        "z_loss_sum": z_loss_sum,
        "correct_sum": correct_sum,
        "weight_sum": jnp.sum(weights),
    }
    return loss_sum, sums


def _pad_length(array: jax.Array, padding: int) -> jax.Array:
    return jnp.pad(array, ((0, 0), (0, padding)) + ((0, 0),) * (array.ndim - 2))


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _chunked(
    kernel: Any, hidden: Any, targets: Any, weights: Any, z_loss: float, softcap: Any, chunk: int
) -> Any:
    """(loss_sum, z_loss_sum, correct_sum) over all chunks, for evaluation: no gradient is computed."""

    kernel = gather_fsdp(kernel, HEAD)

    def body(total: Any, piece: Any) -> tuple[Any, None]:
        sums, _ = _forward(kernel, *piece, z_loss=z_loss, softcap=softcap)
        return jax.tree.map(jnp.add, total, sums), None

    zeros = (jnp.zeros((), jnp.float32),) * 3
    return _over_chunks(body, zeros, (hidden, targets, weights), chunk)[0]


def _chunked_forward(
    kernel: Any, hidden: Any, targets: Any, weights: Any, z_loss: float, softcap: Any, chunk: int
) -> Any:
    """The sums and, from the same logits, their gradients: cheaper than to compute the logits again on the way back."""
    kernel = gather_fsdp(kernel, HEAD)

    def body(total: Any, piece: Any) -> tuple[Any, Any]:
        sums, logits_grad = _forward(kernel, *piece, z_loss=z_loss, softcap=softcap)
        logits_grad = logits_grad.astype(kernel.dtype)
        hidden_grad = jnp.einsum("blv,mv->blm", logits_grad, kernel)
        kernel_grad = jnp.einsum(
            "blm,blv->mv", piece[0], logits_grad, preferred_element_type=jnp.float32
        )
        kernel_grad = constrain(kernel_grad, HEAD)
        return jax.tree.map(jnp.add, total, (sums, kernel_grad)), hidden_grad

    zeros = (jnp.zeros((), jnp.float32),) * 3, constrain(jnp.zeros(kernel.shape, jnp.float32), HEAD)
    (sums, kernel_grad), hidden_grad = _over_chunks(body, zeros, (hidden, targets, weights), chunk)
    return sums, (kernel_grad.astype(kernel.dtype), hidden_grad)


def _chunked_backward(
    z_loss: float, softcap: Any, chunk: int, gradients: Any, cotangents: Any
) -> Any:
    kernel_grad, hidden_grad = gradients
    # Only the loss is differentiated; the other sums are for the log.
    scale = cotangents[0].astype(kernel_grad.dtype)
    return kernel_grad * scale, hidden_grad * scale, None, None


_chunked.defvjp(_chunked_forward, _chunked_backward)


def _over_chunks(body: Any, zeros: Any, arrays: Any, chunk: int) -> tuple[Any, Any]:
    """jax.lax.scan of `body` over pieces of `chunk` positions; stacked outputs are joined along the length again."""
    count = arrays[0].shape[1] // chunk
    if count == 1:
        return body(zeros, arrays)

    def split(array: jax.Array) -> jax.Array:
        return jnp.swapaxes(array.reshape(array.shape[0], count, chunk, *array.shape[2:]), 0, 1)

    def join(array: jax.Array) -> jax.Array:
        return jnp.swapaxes(array, 0, 1).reshape(array.shape[1], count * chunk, *array.shape[3:])

    total, outputs = jax.lax.scan(body, zeros, jax.tree.map(split, arrays))
    return total, jax.tree.map(join, outputs)


def _forward(
    kernel: Float[Array, "embed vocab"],
    hidden: Float[Array, "batch length embed"],
    targets: Int[Array, "batch length"],
    weights: Float[Array, "batch length"],
    z_loss: float,
    softcap: float | None,
) -> tuple[tuple[Float[Array, ""], ...], Float[Array, "batch length vocab"]]:
    """((loss_sum, z_loss_sum, correct_sum), the gradient of loss_sum with respect to hidden @ kernel)."""
    logits = jnp.dot(hidden, kernel, preferred_element_type=jnp.float32)
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    maximum = jnp.max(logits, axis=-1)
    normaliser = maximum + jnp.log(jnp.sum(jnp.exp(logits - maximum[..., None]), axis=-1))
    at_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    square = z_loss * jnp.square(normaliser)
    sums = (normaliser - at_target + square, square, (at_target >= maximum).astype(jnp.float32))
    # The comparison is fused into the elementwise pass: no one-hot array is made.
    is_target = jnp.arange(logits.shape[-1])[None, None, :] == targets[..., None]
    softmax = jnp.exp(logits - normaliser[..., None])
    slope = (weights * (1.0 + 2.0 * z_loss * normaliser))[..., None]
    logits_grad = softmax * slope - jnp.where(is_target, weights[..., None], 0.0)
    if softcap is not None:
        logits_grad = logits_grad * (1.0 - jnp.square(logits / softcap))  # the slope of tanh
    return tuple(jnp.sum(weights * each) for each in sums), logits_grad
