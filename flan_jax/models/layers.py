"""What both architectures are made of: Dense (the only matmul), Embed, RMSNorm, Mlp, positions, masks, the layer stack.

Parameters are float32 and carry logical axis names (vocab, embed, joined_kv, mlp, heads, relpos_buckets, layers);
activations are computed in `config.dtype` and name theirs (batch, length, activation_embed, heads, kv, mlp, vocab).
Names and layout follow T5X's T5 1.1, so that its checkpoints map one to one.
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

Axes = tuple[str, ...]
Hidden = Float[Array, "batch length embed"]
RESIDUAL = ("batch", "length", "activation_embed")


def parameter(
    module: nn.Module, name: str, init: Callable[..., Any], shape: tuple[int, ...], axes: Axes
) -> Any:
    """A float32 parameter that carries logical axis names."""
    return module.param(name, nn.with_logical_partitioning(init, axes), shape, jnp.float32)


def prepend_axes(vector: Float[Array, " features"], rank: int) -> Float[Array, "*ones features"]:
    """The vector with axes of size 1 before it, to meet an array of `rank` axes: rank promotion is an error in strict mode."""
    return vector.reshape((1,) * (rank - 1) + vector.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul(
    x: Float[Array, "*batch features_in"],
    kernel: Float[Array, "features_in features_out"],
    axes: Axes,
) -> Float[Array, "*batch features_out"]:
    """x @ kernel, with the kernel's gradient as one product in the kernel's own layout. `axes` are the kernel's logical axes.

    Automatic differentiation gives that gradient transposed; on CPU XLA then writes every incoming gradient transposed
    as well, which takes longer than the product.
    """
    return jnp.dot(x, gather_fsdp(kernel, axes))


def _matmul_forward(x: Any, kernel: Any, axes: Axes) -> Any:
    return jnp.dot(x, gather_fsdp(kernel, axes)), (x, kernel)


def _matmul_backward(axes: Axes, saved: Any, grad: Any) -> Any:
    x, kernel = saved
    batch = tuple(range(x.ndim - 1))
    x_grad = jax.lax.dot_general(
        grad, gather_fsdp(kernel, axes), (((grad.ndim - 1,), (1,)), ((), ()))
    )
    return x_grad, constrain(jax.lax.dot_general(x, grad, ((batch, batch), ((), ()))), axes)


matmul.defvjp(_matmul_forward, _matmul_backward)


class Dense(nn.Module):
    """x @ kernel over the last axis, + bias with `use_bias`. `shape` is (in, out), `axes` the kernel's logical axes.

    A subclass that changes the effective kernel (an adapter) overrides `weight`; one that adds a branch, `__call__`.
    """

    shape: tuple[int, int]
    axes: tuple[str, str]
    kernel_init: Callable[..., Any] = nn.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal"
    )
    dtype: str = "float32"
    use_bias: bool = False

    def setup(self):
        self.kernel = parameter(self, "kernel", self.kernel_init, self.shape, self.axes)
        if self.use_bias:
            self.bias = parameter(
                self, "bias", nn.initializers.zeros_init(), self.shape[1:], self.axes[1:]
            )

    def weight(self) -> Float[Array, "features_in features_out"]:
        return self.kernel.astype(self.dtype)

    def __call__(
        self, x: Float[Array, "*batch features_in"]
    ) -> Float[Array, "*batch features_out"]:
        y: Any = matmul(x.astype(self.dtype), self.weight(), self.axes)
        return y + prepend_axes(self.bias.astype(self.dtype), y.ndim) if self.use_bias else y


def cast_kernels(dtype: str, params: Any) -> Any:
    """The parameters with every kernel cast to the compute dtype, as its Dense casts it.

    To be differentiated with respect to: the gradients of all layers then lie in memory in that dtype, in which each of them
    is computed anyway, and not in float32.
    """
    return pytrees.map_named(
        lambda name, leaf: leaf.astype(dtype) if name.endswith("kernel") else leaf, params
    )


class Embed(nn.Module):
    """Rows of a (vocab, embed) table, by default initialised with unit variance as T5X does."""

    shape: tuple[int, int]
    axes: tuple[str, str] = ("vocab", "embed")
    embedding_init: Callable[..., Any] = nn.initializers.normal(1.0)
    dtype: str = "float32"

    def setup(self):
        self.embedding = parameter(self, "embedding", self.embedding_init, self.shape, self.axes)

    def weight(self) -> Float[Array, "vocab embed"]:
        return self.embedding.astype(self.dtype)

    def __call__(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch embed"]:
        # Gather first and cast after: the whole table in bfloat16 is never made, and its gradient stays a scatter.
        return jnp.take(self.embedding, tokens, axis=0, mode="clip").astype(self.dtype)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon) * (offset + scale) in float32 (Zhang and Sennrich 2019): no mean, no bias.

    T5 calls it its layer norm. `offset` is 1 where the stored scale counts from 1 (Gemma). `axis` names the last axis.
    """

    dtype: str = "float32"
    epsilon: float = 1e-6
    offset: float = 0.0
    axis: str = "embed"

    @nn.compact
    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        init = nn.initializers.constant(1.0 - self.offset)
        scale = parameter(self, "scale", init, x.shape[-1:], (self.axis,)) + self.offset
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + self.epsilon)
        return (x * prepend_axes(scale, x.ndim)).astype(self.dtype)


class Dropout(nn.Module):
    """Dropout with one mask for all positions of a row, as T5 does: a mask is as small as one position."""

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "*dims"], deterministic: bool) -> Float[Array, "*dims"]:
        return nn.Dropout(self.rate, broadcast_dims=(-2,))(x, deterministic=deterministic)
