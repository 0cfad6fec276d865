"""The layers with parameters: Dense (the only matmul with weights), Embed, RMSNorm; and Dropout.

Parameters are float32 and carry logical axis names (vocab, embed, joined_kv, mlp, heads,
relpos_buckets, layers). Activations are computed in `config.dtype`; their axes are named batch,
length, activation_embed, heads, kv, mlp and vocab. parallel.sharding maps both to the mesh. Names
and layout follow T5X's T5 1.1, so that its checkpoints map one to one.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax import pytrees
from flan_jax.parallel.sharding import constrain, gather_fsdp
from flan_jax.pytrees import Params

Axes = tuple[str | None, ...]
Initializer = Callable[..., jax.Array]
Hidden = Float[Array, "batch length embed"]
Inputs = Float[Array, "*batch features_in"]
Kernel = Float[Array, "features_in features_out"]
Outputs = Float[Array, "*batch features_out"]

RESIDUAL = ("batch", "length", "activation_embed")
"""The logical axes of the residual stream between layers."""


def parameter(
    module: nn.Module,
    name: str,
    init: Initializer,
    *,
    shape: tuple[int, ...],
    axes: Axes,
) -> jax.Array:
    """Declares a float32 parameter of a module that carries logical axis names, and returns it.

    Args:
      module: the module that owns the parameter.
      name: the parameter's name in the module.
      init: the initializer, called with a key, the shape and the dtype.
      shape: the parameter's shape.
      axes: the logical name of each axis; None for an axis that is never split.

    Returns:
      The parameter's value, without its box.
    """
    boxed_init = nn.with_logical_partitioning(init, axes)
    unboxed: Any = module.param(name, boxed_init, shape, jnp.float32)
    return unboxed


def prepend_axes(
    vector: Float[Array, " features"], rank: int
) -> Float[Array, "*ones features"]:
    """Reshapes a vector to `rank` axes, all but the last of size 1.

    The tests run with rank promotion as an error, so broadcasting must be spelled out.

    Args:
      vector: the vector.
      rank: the number of axes of the result.

    Returns:
      The vector, of shape (1, ..., 1, features).
    """
    ones = (1,) * (rank - 1)
    return vector.reshape(ones + vector.shape)


def softcapped(x: Float[Array, "*dims"], cap: float | None) -> Float[Array, "*dims"]:
    """Returns cap tanh(x / cap), which is within +-cap (Gemma 2, section 2); x itself for None."""
    if cap is None:
        return x
    return cap * jnp.tanh(x / cap)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul(x: Inputs, kernel: Kernel, axes: Axes) -> Outputs:
    """Returns x @ kernel, with a backward pass of its own.

    Automatic differentiation computes the kernel's gradient transposed. On CPU, XLA then writes
    every incoming gradient transposed as well: a training step of T5 1.1 small takes 1.2 times as
    long. And it would place the gradient like the gathered kernel, whole on each device of fsdp.

    Args:
      x: activations.
      kernel: the weights.
      axes: the kernel's logical axes, which its gradient gets too.
    """
    return jnp.dot(x, gather_fsdp(kernel, axes))


def _matmul_forward(
    x: Inputs, kernel: Kernel, axes: Axes
) -> tuple[Outputs, tuple[Inputs, Kernel]]:
    y = jnp.dot(x, gather_fsdp(kernel, axes))
    return y, (x, kernel)


def _matmul_backward(
    axes: Axes, saved: tuple[Inputs, Kernel], y_grad: Outputs
) -> tuple[Inputs, Kernel]:
    x, kernel = saved
    no_batch = ((), ())

    last_axis = (y_grad.ndim - 1,)
    contract_features_out = (last_axis, (1,))
    x_grad = jax.lax.dot_general(
        y_grad, gather_fsdp(kernel, axes), (contract_features_out, no_batch)
    )

    batch_axes = tuple(range(x.ndim - 1))
    contract_batch = (batch_axes, batch_axes)
    kernel_grad = jax.lax.dot_general(x, y_grad, (contract_batch, no_batch))
    return x_grad, constrain(kernel_grad, axes)


matmul.defvjp(_matmul_forward, _matmul_backward)


class Dense(nn.Module):
    """x @ kernel over the last axis, plus a bias with `use_bias`.

    A subclass that changes the effective kernel (an adapter) overrides `weight`; one that adds a
    branch overrides `__call__`.

    Attributes:
      shape: (in, out) of the kernel.
      axes: the kernel's logical axes.
      kernel_init: initializer of the kernel.
      dtype: the compute dtype.
      use_bias: whether to add a bias, which starts at zero.
    """

    shape: tuple[int, int]
    axes: tuple[str, str]
    kernel_init: Initializer = nn.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal"
    )
    dtype: str = "float32"
    use_bias: bool = False

    def setup(self):
        """Makes the kernel and the bias."""
        self.kernel = parameter(
            self, "kernel", self.kernel_init, shape=self.shape, axes=self.axes
        )
        if self.use_bias:
            self.bias = parameter(
                self,
                "bias",
                nn.initializers.zeros_init(),
                shape=self.shape[1:],
                axes=self.axes[1:],
            )

    def weight(self) -> Kernel:
        """Returns the effective kernel in the compute dtype."""
        return self.kernel.astype(self.dtype)

    def __call__(self, x: Inputs) -> Outputs:
        """Applies the layer in the compute dtype."""
        y: jax.Array = matmul(x.astype(self.dtype), self.weight(), self.axes)
        if not self.use_bias:
            return y
        bias = self.bias.astype(self.dtype)
        return y + prepend_axes(bias, y.ndim)


def cast_kernels(dtype: str, params: Params) -> Params:
    """Returns the parameters with every kernel cast to the compute dtype, as its Dense casts it.

    Differentiate with respect to the result: the gradients of all layers are then held in that
    dtype, in which each is computed anyway, and not in float32.

    Args:
      dtype: the compute dtype, such as "bfloat16".
      params: float32 parameters.

    Returns:
      The parameters; leaves whose name does not end in "kernel" are unchanged.
    """

    def cast(name: str, leaf: jax.Array) -> jax.Array:
        if name.endswith("kernel"):
            return leaf.astype(dtype)
        return leaf

    return pytrees.map_named(cast, params)


class Embed(nn.Module):
    """Looks up rows of a (vocab, embed) table.

    Attributes:
      shape: (vocab, embed) of the table.
      axes: the table's logical axes.
      embedding_init: initializer of the table; unit variance by default, as in T5X.
      dtype: the compute dtype.
    """

    shape: tuple[int, int]
    axes: tuple[str, str] = ("vocab", "embed")
    embedding_init: Initializer = nn.initializers.normal(1.0)
    dtype: str = "float32"

    def setup(self):
        """Makes the table."""
        self.embedding = parameter(
            self, "embedding", self.embedding_init, shape=self.shape, axes=self.axes
        )

    def weight(self) -> Float[Array, "vocab embed"]:
        """Returns the effective table in the compute dtype."""
        return self.embedding.astype(self.dtype)

    def __call__(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch embed"]:
        """Returns the rows of the tokens in the compute dtype."""
        # Cast after the look-up: the whole table in bfloat16 is never made, and its gradient stays
        # a scatter.
        rows = jnp.take(self.embedding, tokens, axis=0, mode="clip")
        return rows.astype(self.dtype)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon) * (offset + scale) in float32 (Zhang and Sennrich 2019).

    T5 calls it layer norm; there is no mean and no bias.

    Attributes:
      dtype: dtype of the outputs.
      epsilon: added to the mean square.
      offset: added to the stored scale; 1.0 in Gemma, whose scale starts at 0.
      axis: the logical axis of the scale.
    """

    dtype: str = "float32"
    epsilon: float = 1e-6
    offset: float = 0.0
    axis: str = "embed"

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch features"]
    ) -> Float[Array, "*batch features"]:
        """Normalizes over the last axis."""
        stored_scale = parameter(
            self,
            "scale",
            nn.initializers.constant(1.0 - self.offset),
            shape=x.shape[-1:],
            axes=(self.axis,),
        )
        scale = stored_scale + self.offset

        x = x.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt(mean_square + self.epsilon)
        x = x * prepend_axes(scale, x.ndim)
        return x.astype(self.dtype)


class Dropout(nn.Module):
    """Dropout with one mask for all positions of a row, as in T5.

    Attributes:
      rate: the fraction to drop.
    """

    rate: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "*dims"], deterministic: bool
    ) -> Float[Array, "*dims"]:
        """Drops channels unless `deterministic`; the axis before the last counts positions."""
        dropout = nn.Dropout(self.rate, broadcast_dims=(-2,))
        return dropout(x, deterministic=deterministic)
