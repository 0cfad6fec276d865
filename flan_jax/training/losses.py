"""Token cross-entropy with z-loss, as sums.

Rows, microbatches and hosts are added up, and divided once at the end. The logits of a whole batch
are never in memory: loss and gradient are computed together, a chunk of positions at a time. A
decoder's row is mostly prompt; there the chunks hold only positions with loss.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.batch import Batch
from flan_jax.models.config import Model
from flan_jax.parallel.sharding import HEAD, constrain, gather_fsdp
from flan_jax.pytrees import Params, Tree

Sums = dict[str, Float[Array, ""]]
Total = TypeVar("Total")

# Decoder positions whose logits are in memory at once: rows x 128 x vocabulary float32 values.
LENGTH_CHUNK = 128


def loss_and_weight(
    model: Model,
    params: Params,
    batch: Batch,
    *,
    z_loss: float = 1e-4,
    deterministic: bool = True,
    rngs: dict[str, jax.Array] | None = None,
) -> tuple[Float[Array, ""], Sums]:
    """Returns the summed loss of a batch, to be differentiated with respect to `params`.

    The mean loss of the batch is loss_sum / weight_sum.

    Args:
      model: the module that computes hidden states and has the head's kernel.
      params: its unboxed parameters.
      batch: packed rows, see flan_jax.batch.
      z_loss: coefficient of the z-loss.
      deterministic: without dropout.
      rngs: random keys, {"dropout": key}.

    Returns:
      The loss sum, and the sums of `cross_entropy`.
    """
    config = model.config
    variables = {"params": params}
    hidden = model.apply(
        variables, batch, deterministic=deterministic, rngs=rngs, method="hidden"
    )
    kernel = model.apply(variables, method="head_kernel")
    return cross_entropy(
        hidden,
        kernel,
        batch["decoder_target_tokens"],
        batch["decoder_loss_weights"],
        z_loss=z_loss,
        softcap=config.logits_softcap,
        supervised_only=config.computes_supervised_logits_only,
        # Encoder-decoders keep their sums to the last bit.
        vocab_first=config.architecture == "decoder" and config.logits_via_embedding,
    )


def cross_entropy(  # noqa: PLR0913 (the settings all have defaults)
    hidden: Float[Array, "batch length embed"],
    kernel: Float[Array, "embed vocab"],
    targets: Int[Array, "batch length"],
    weights: Float[Array, "batch length"],
    *,
    z_loss: float = 1e-4,
    softcap: float | None = None,
    supervised_only: bool = False,
    vocab_first: bool = False,
    length_chunk: int = LENGTH_CHUNK,
) -> tuple[Float[Array, ""], Sums]:
    """Returns the weighted sum of the targets' losses under softmax(logits).

    A token's loss is logsumexp(logits) - logits[target] + z_loss logsumexp(logits)^2. The last term
    is the z-loss (Chowdhery et al. 2022, PaLM, section 5; T5X's coefficient is 1e-4).

    Args:
      hidden: the decoder's outputs.
      kernel: the head's kernel: the logits are hidden @ kernel.
      targets: the target tokens.
      weights: the tokens' loss weights, 0 for padding and inputs.
      z_loss: coefficient of the z-loss.
      softcap: the logits are softcap tanh(hidden @ kernel / softcap) (Gemma 2, section 2).
      supervised_only: compute logits only where the weights are not 0, in as many chunks as this
        batch takes. The sums are the same up to rounding.
      vocab_first: whether the kernel is a transposed embedding, which is faster read as it lies.
      length_chunk: positions of all rows that are computed at a time. The last chunk is padded with
        weights of 0.

    Returns:
      The loss sum, which can be differentiated with respect to `hidden` and `kernel`, and sums to
      log: loss_sum, z_loss_sum (the z-loss's part of it), weight_sum, and correct_sum, the weights
      where no logit is above the target's.
    """
    length = hidden.shape[1]
    chunk = min(length_chunk, length)
    padding = -length % chunk
    if padding:
        hidden = _pad_length(hidden, padding)
        targets = _pad_length(targets, padding)
        weights = _pad_length(weights, padding)
    if vocab_first:
        # XLA drops both transpositions; it would not move one into the loop over chunks.
        kernel = kernel.T
    settings = _Settings(z_loss, softcap, chunk, supervised_only, vocab_first)
    totals: Tree = _chunked(kernel, (hidden, targets, weights), settings)
    loss_sum, z_loss_sum, correct_sum = totals
    sums = {
        "loss_sum": jax.lax.stop_gradient(loss_sum),
        "z_loss_sum": z_loss_sum,
        "correct_sum": correct_sum,
        "weight_sum": jnp.sum(weights),
    }
    return loss_sum, sums


def _pad_length(array: jax.Array, padding: int) -> jax.Array:
    rest = ((0, 0),) * (array.ndim - 2)
    return jnp.pad(array, ((0, 0), (0, padding), *rest))


Arrays = tuple[jax.Array, jax.Array, jax.Array]
"""(hidden, targets, weights) of all positions, or of a chunk of them."""
Gradients = tuple[jax.Array, jax.Array]
"""Gradients of the loss sum with respect to kernel and hidden."""


class _Settings(NamedTuple):
    """The arguments of cross_entropy that are not arrays."""

    z_loss: float
    softcap: float | None
    chunk: int
    supervised_only: bool

    vocab_first: bool

    @property
    def kernel_axes(self) -> tuple[str, ...]:
        """The logical axes of the kernel."""
        return HEAD[::-1] if self.vocab_first else HEAD

    @property
    def kernel_letters(self) -> str:
        """The kernel's axes in einsum, where b: batch, l: length, m: embed, v: vocab."""
        return "vm" if self.vocab_first else "mv"


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _chunked(
    kernel: jax.Array, arrays: Arrays, settings: _Settings
) -> tuple[jax.Array, ...]:
    """Returns (loss_sum, z_loss_sum, correct_sum) over all chunks, without computing gradients."""
    kernel = gather_fsdp(kernel, settings.kernel_axes)

    def body(piece: Arrays) -> tuple[Tree, None]:
        sums, _ = _forward(kernel, piece, settings)
        return sums, None

    zeros = (jnp.zeros((), jnp.float32),) * 3
    sums, _ = _over_chunks(body, zeros, arrays, settings)
    return sums


def _chunked_forward(
    kernel: jax.Array, arrays: Arrays, settings: _Settings
) -> tuple[tuple[jax.Array, ...], Gradients]:
    """Returns the sums and their gradients, computed from the same logits.

    That is cheaper than to compute the logits again in the backward pass.
    """
    axes = settings.kernel_axes
    letters = settings.kernel_letters
    kernel = gather_fsdp(kernel, axes)

    def body(piece: Arrays) -> tuple[Tree, jax.Array]:
        sums, logits_grad = _forward(kernel, piece, settings)
        logits_grad = logits_grad.astype(kernel.dtype)
        hidden_grad = jnp.einsum(f"blv,{letters}->blm", logits_grad, kernel)

        piece_hidden, _, _ = piece
        kernel_grad = jnp.einsum(
            f"blm,blv->{letters}",
            piece_hidden,
            logits_grad,
            preferred_element_type=jnp.float32,
        )
        return (sums, constrain(kernel_grad, axes)), hidden_grad

    zero_sums = (jnp.zeros((), jnp.float32),) * 3
    zero_grad = constrain(jnp.zeros(kernel.shape, jnp.float32), axes)
    zeros = (zero_sums, zero_grad)
    total, hidden_grad = _over_chunks(body, zeros, arrays, settings)
    sums, kernel_grad = total
    kernel_grad = kernel_grad.astype(kernel.dtype)
    return sums, (kernel_grad, hidden_grad)


def _chunked_backward(
    settings: _Settings, gradients: Gradients, cotangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, tuple[jax.Array, None, None]]:
    del settings
    kernel_grad, hidden_grad = gradients
    # Only the loss is differentiated; the other sums are for the log.
    loss_cotangent = cotangents[0]
    scale = loss_cotangent.astype(kernel_grad.dtype)
    return kernel_grad * scale, (hidden_grad * scale, None, None)


_chunked.defvjp(_chunked_forward, _chunked_backward)


def _over_chunks(
    body: Callable[[Arrays], tuple[Total, Tree]],
    zeros: Total,
    arrays: Arrays,
    settings: _Settings,
) -> tuple[Total, Tree]:
    """Adds up the totals of chunks of positions; joins their outputs along the length again.

    Args:
      body: maps the arrays of a chunk to its (total, output).
      zeros: what the totals are added to.
      arrays: those of all positions.
      settings: the size of a chunk, and which positions count.
    """
    chunk = settings.chunk
    count = arrays[0].shape[1] // chunk
    if count == 1:
        return body(arrays)
    if settings.supervised_only:
        return _over_supervised(body, arrays, chunk)

    def split(array: jax.Array) -> jax.Array:
        """[batch, length, ...] -> [count, batch, chunk, ...]."""
        batch, _, *rest = array.shape
        pieces = array.reshape(batch, count, chunk, *rest)
        return jnp.swapaxes(pieces, 0, 1)

    def join(array: jax.Array) -> jax.Array:
        """[count, batch, chunk, ...] -> [batch, length, ...]."""
        _, batch, _, *rest = array.shape
        pieces = jnp.swapaxes(array, 0, 1)
        return pieces.reshape(batch, count * chunk, *rest)

    def add_chunk(total: Total, piece: Arrays) -> tuple[Total, Tree]:
        piece_total, output = body(piece)
        return jax.tree.map(jnp.add, total, piece_total), output

    pieces = jax.tree.map(split, arrays)
    total, outputs = jax.lax.scan(add_chunk, zeros, pieces)
    return total, jax.tree.map(join, outputs)


def _over_supervised(
    body: Callable[[Arrays], tuple[Total, Tree]], arrays: Arrays, chunk: int
) -> tuple[Total, Tree]:
    """Like `_over_chunks`, but the chunks hold only the positions whose weight is not 0.

    Each device gathers those of its own rows, so that no hidden state moves. How many chunks there
    are is decided on the device: no batch has too many positions with loss. Often it is one, which
    is not added to zeros as large as the kernel. Outputs are 0 at the other positions.
    """
    _, _, weights = arrays
    rows, length = weights.shape
    devices = _row_devices(rows)
    chunk = chunk * (rows // devices)

    def split(array: jax.Array) -> jax.Array:
        """[batch, length, ...] -> [devices, positions, ...]."""
        pieces = array.reshape(devices, -1, *array.shape[2:])
        return constrain(pieces, ("batch", *(None,) * (pieces.ndim - 1)))

    def pick(array: jax.Array, index: jax.Array) -> jax.Array:
        """Returns array[d, index[d, i]], and 0 where the index is beyond the end."""
        index = index.reshape(*index.shape, *(1,) * (array.ndim - 2))
        return jnp.take_along_axis(array, index, axis=1, mode="fill", fill_value=0)

    arrays = jax.tree.map(split, arrays)
    is_supervised = split(weights) != 0
    # The supervised positions of each device, in their order; the others follow.
    order = jnp.argsort(~is_supervised, axis=1, stable=True)
    positions = order.shape[1]
    order = jnp.pad(order, ((0, 0), (0, -positions % chunk)), constant_values=positions)
    number = jnp.cumsum(is_supervised, axis=1)

    def chunk_of(i: int | jax.Array) -> tuple[Total, Tree]:
        index = jax.lax.dynamic_slice_in_dim(order, i * chunk, chunk, axis=1)
        return body(jax.tree.map(lambda x: pick(x, index), arrays))

    def add_chunk(i: jax.Array, carry: tuple[Total, Tree]) -> tuple[Total, Tree]:
        total, outputs = carry
        chunk_total, output = chunk_of(i)

        def write(array: jax.Array, piece: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(array, piece, i * chunk, axis=1)

        total = jax.tree.map(jnp.add, total, chunk_total)
        return total, jax.tree.map(write, outputs, output)

    total, output = chunk_of(0)
    padding = order.shape[1] - chunk
    outputs = jax.tree.map(lambda x: _pad_length(x, padding), output)
    count = -(-jnp.max(number[:, -1]) // chunk)
    total, outputs = jax.lax.fori_loop(1, count, add_chunk, (total, outputs))

    def put_back(array: jax.Array) -> jax.Array:
        values = jnp.where(is_supervised[..., None], pick(array, number - 1), 0)
        return values.reshape(rows, length, -1)

    return total, jax.tree.map(put_back, outputs)


def _row_devices(rows: int) -> int:
    """Returns over how many devices rows are split."""
    mesh = jax.sharding.get_abstract_mesh()
    devices = mesh.shape.get("data", 1) * mesh.shape.get("fsdp", 1)
    return devices if rows % devices == 0 else 1


def _forward(
    kernel: jax.Array,
    arrays: tuple[
        Float[Array, "batch length embed"],
        Int[Array, "batch length"],
        Float[Array, "batch length"],
    ],
    settings: _Settings,
) -> tuple[tuple[Float[Array, ""], ...], Float[Array, "batch length vocab"]]:
    """Returns (loss_sum, z_loss_sum, correct_sum), and loss_sum's gradient by the logits."""
    hidden, targets, weights = arrays
    z_loss = settings.z_loss
    softcap = settings.softcap
    logits = jnp.einsum(
        f"blm,{settings.kernel_letters}->blv",
        hidden,
        kernel,
        preferred_element_type=jnp.float32,
    )
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    # logsumexp, with the maximum subtracted so that no exponential overflows.
    maximum = jnp.max(logits, axis=-1)
    exponentials = jnp.exp(logits - maximum[..., None])
    normalizer = maximum + jnp.log(jnp.sum(exponentials, axis=-1))

    at_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)
    at_target = at_target[..., 0]
    z_losses = z_loss * jnp.square(normalizer)
    is_correct = (at_target >= maximum).astype(jnp.float32)
    losses = normalizer - at_target + z_losses

    # The comparison is fused into the elementwise pass: no one-hot array is made.
    vocabulary = jnp.arange(logits.shape[-1])
    is_target = vocabulary[None, None, :] == targets[..., None]
    softmax = jnp.exp(logits - normalizer[..., None])
    slope = weights * (1.0 + 2.0 * z_loss * normalizer)
    softmax_grad = softmax * slope[..., None]
    target_grad = jnp.where(is_target, weights[..., None], 0.0)
    logits_grad = softmax_grad - target_grad
    if softcap is not None:
        tanh_slope = 1.0 - jnp.square(logits / softcap)
        logits_grad = logits_grad * tanh_slope

    per_token = (losses, z_losses, is_correct)
    sums = tuple(jnp.sum(weights * values) for values in per_token)
    return sums, logits_grad
