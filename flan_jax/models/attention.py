"""Multi-head attention: `attend`, the one place where scores become outputs, and the module with its KV cache.

T5's form (Raffel et al. 2020): no bias vectors and no 1/sqrt(head_dim) on the scores; the initial query kernel carries
that factor instead. Weights of models that scale the scores fold the factor into the query kernel when imported.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flan_jax.errors import InputError
from flan_jax.models.layers import ModelConfig, constrain, rotary

# The lowest finite score: a row that may see nothing (padding) then gets the mean of all values instead of NaN.
MASKED = -1e10

Mask = Bool[Array, "batch 1 query key"]
Heads = ("batch", "length", "heads", "kv")


def _xla(
    query: Float[Array, "batch query heads kv"],
    key: Float[Array, "batch key heads kv"],
    value: Float[Array, "batch key heads kv"],
    *,
    mask: Mask | None,
    bias: Float[Array, "#batch heads query key"] | None,
    dropout: Callable[[jax.Array], jax.Array],
) -> Float[Array, "batch query heads kv"]:
    # b batch, q query length, k key length, h heads, d kv
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=jnp.float32)
    if bias is not None:
        scores = scores + bias.astype(jnp.float32)
    if mask is not None:
        scores = jnp.where(mask, scores, MASKED)
    weights = dropout(jax.nn.softmax(scores, axis=-1).astype(value.dtype))
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value)


BACKENDS: dict[str, Callable[..., jax.Array]] = {"xla": _xla}


def attend(
    query: Float[Array, "batch query heads kv"],
    key: Float[Array, "batch key heads kv"],
    value: Float[Array, "batch key heads kv"],
    *,
    mask: Mask | None = None,
    bias: Float[Array, "#batch heads query key"] | None = None,
    dropout: Callable[[jax.Array], jax.Array] = lambda weights: weights,
    backend: str = "xla",
) -> Float[Array, "batch query heads kv"]:
    """softmax(query . key + bias, over the keys where `mask` is true) . value, in float32 between the two products.

    `dropout` is applied to the attention weights. Raises InputError for a backend that does not exist: another one is
    never taken in its place.
    """
    if backend not in BACKENDS:
        raise InputError(f"there is no attention backend {backend!r}; write one of: {', '.join(sorted(BACKENDS))}.")
    return BACKENDS[backend](query, key, value, mask=mask, bias=bias, dropout=dropout)


@flax.struct.dataclass
class CacheStep:
    """Where in the KV cache the tokens of one decoding call go.

    `positions`: int32[batch, query], each token's position in its sequence, which is also its place in the cache;
    a position of `length` or more is not written (padding of a prompt). `length`: positions that the cache holds.
    """

    positions: Int[Array, "batch query"]
    length: int = flax.struct.field(pytree_node=False)


def cache_step(
    tokens: Int[Array, "batch query"],
    positions: Int[Array, "batch query"] | None,
    segment_ids: Int[Array, "batch query"] | None,
    length: int,
) -> CacheStep:
    """The CacheStep of `tokens` at `positions`; tokens of segment 0 are padding and are not written."""
    if positions is None:
        raise InputError(f"decoding {tokens.shape[1]} tokens with a cache needs their positions; write positions=...")
    if segment_ids is not None:
        positions = jnp.where(segment_ids == 0, length, positions)
    return CacheStep(positions, length)


class Attention(nn.Module):
    """Self- or cross-attention with 2-D kernels: query, key, value (embed, joined_kv) and out (joined_kv, embed)."""

    config: ModelConfig
    deterministic: bool
    max_wavelength: float | None = None

    def setup(self):
        config = self.config
        normal = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        query = nn.initializers.variance_scaling(1.0 / config.head_dim, "fan_in", "normal")
        inwards, axes = (config.emb_dim, config.joined_kv), ("embed", "joined_kv")
        self.query = config.dense(inwards, axes, kernel_init=query, dtype=config.dtype)
        self.key = config.dense(inwards, axes, kernel_init=normal, dtype=config.dtype)
        self.value = config.dense(inwards, axes, kernel_init=normal, dtype=config.dtype)
        self.out = config.dense(inwards[::-1], axes[::-1], kernel_init=normal, dtype=config.dtype)
        self.dropout = nn.Dropout(config.dropout_rate, broadcast_dims=(-2,), deterministic=self.deterministic)

    def __call__(
        self,
        x: Float[Array, "batch query embed"],
        *,
        mask: Mask | None,
        bias: Float[Array, "#batch heads query key"] | None = None,
        positions: Int[Array, "batch query"] | None = None,
        step: CacheStep | None = None,
    ) -> Float[Array, "batch query embed"]:
        """Self-attention. `positions` are for rotary embeddings; with `step` the keys are those of the whole cache."""
        query, key, value = self._heads(self.query(x)), self._heads(self.key(x)), self._heads(self.value(x))
        if self.max_wavelength is not None and positions is not None:
            query, key = (rotary(array, positions, self.max_wavelength) for array in (query, key))
        if step is not None:
            key, value = self._append("cached_key", key, step), self._append("cached_value", value, step)
        return self._attend(query, key, value, mask, bias)

    def cross(
        self,
        x: Float[Array, "batch query embed"],
        encoded: Float[Array, "batch key embed"],
        *,
        mask: Mask | None,
        cached: bool = False,
    ) -> Float[Array, "batch query embed"]:
        """Attention to the encoder's outputs. With `cached`, the first call keeps their keys and values."""
        if cached:
            key = self._once("cross_key", lambda: self._heads(self.key(encoded)))
            value = self._once("cross_value", lambda: self._heads(self.value(encoded)))
        else:
            key, value = self._heads(self.key(encoded)), self._heads(self.value(encoded))
        return self._attend(self._heads(self.query(x)), key, value, mask, None)

    def _heads(self, x: Float[Array, "batch length joined_kv"]) -> Float[Array, "batch length heads kv"]:
        return constrain(x.reshape(*x.shape[:2], self.config.num_heads, self.config.head_dim), Heads)

    def _attend(self, query: Any, key: Any, value: Any, mask: Any, bias: Any) -> Float[Array, "batch query embed"]:
        backend = self.config.attention_backend
        out = attend(query, key, value, mask=mask, bias=bias, dropout=self.dropout, backend=backend)
        return self.out(constrain(out, Heads).reshape(*out.shape[:2], self.config.joined_kv))

    def _append(
        self, name: str, new: Float[Array, "batch query heads kv"], step: CacheStep
    ) -> Float[Array, "batch length heads kv"]:
        empty = jnp.zeros((new.shape[0], step.length, *new.shape[2:]), new.dtype)
        cache = self.get_variable("cache", name, empty)
        rows = jnp.arange(new.shape[0])[:, None]
        cache = constrain(cache.at[rows, step.positions].set(new, mode="drop"), Heads)
        self.put_variable("cache", name, cache)
        return cache

    def _once(self, name: str, compute: Callable[[], jax.Array]) -> jax.Array:
        if not self.has_variable("cache", name):
            self.put_variable("cache", name, compute())
        return self.get_variable("cache", name)
