"""Multi-head attention: the module and its KV cache. What computes it is in attention_backends.

The default is T5's form (Raffel et al. 2020): no bias vectors and no 1/sqrt(head_dim) on the scores; the initial query
kernel carries that factor instead. Fields of Attention turn it into that of Llama, Mistral, Qwen and Gemma.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.errors import InputError
from flan_jax.models.attention_backends import AttentionMask, Heads, attend
from flan_jax.models.config import ModelConfig
from flan_jax.models.layers import constrain
from flan_jax.models.rope import rotary


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
        raise InputError(
            f"decoding {tokens.shape[1]} tokens with a cache needs their positions; write positions=..."
        )
    if segment_ids is not None:
        positions = jnp.where(segment_ids == 0, length, positions)
    return CacheStep(positions, length)


class Attention(nn.Module):
    """Self- or cross-attention with 2-D kernels: query, key, value (embed, joined_kv) and out (joined_kv, embed).

    The fields after `deterministic` are T5's by default. `num_kv_heads` (None: num_heads) heads of keys and values;
    `use_bias` on query, key and value; `qk_norm` makes the norms of queries and keys over head_dim; `query_scale`
    multiplies the queries; `softcap` bounds the scores.
    The config's attention_backend computes whole rows. Decoding with a KV cache, of prompts too, runs on xla whatever the
    backend is: a few tokens against many keys is not what the kernels are made for.
    """

    config: ModelConfig
    deterministic: bool
    num_kv_heads: int | None = None
    use_bias: bool = False
    qk_norm: Callable[..., nn.Module] | None = None
    query_scale: float | None = None
    softcap: float | None = None

    def setup(self):
        config = self.config
        normal = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        # T5's query kernel begins with the 1/sqrt(head_dim) that a query_scale would bring.
        variance = 1.0 / config.head_dim if self.query_scale is None else 1.0
        query = nn.initializers.variance_scaling(variance, "fan_in", "normal")
        inwards, axes = (config.emb_dim, config.joined_kv), ("embed", "joined_kv")
        shared = (config.emb_dim, (self.num_kv_heads or config.num_heads) * config.head_dim)
        options = {"dtype": config.dtype, "use_bias": self.use_bias}
        self.query = config.dense(inwards, axes, kernel_init=query, **options)
        self.key = config.dense(shared, axes, kernel_init=normal, **options)
        self.value = config.dense(shared, axes, kernel_init=normal, **options)
        self.out = config.dense(inwards[::-1], axes[::-1], kernel_init=normal, dtype=config.dtype)
        self.dropout = nn.Dropout(
            config.dropout_rate, broadcast_dims=(-2,), deterministic=self.deterministic
        )
        if self.qk_norm is not None:
            self.query_norm, self.key_norm = self.qk_norm(axis="kv"), self.qk_norm(axis="kv")

    def __call__(
        self,
        x: Float[Array, "batch query embed"],
        *,
        mask: AttentionMask | None,
        bias: Float[Array, "#batch heads query key"] | None = None,
        rotation: tuple[Int[Array, "batch query"], Float[Array, " half"]] | None = None,
        step: CacheStep | None = None,
    ) -> Float[Array, "batch query embed"]:
        """Self-attention. `rotation`: positions and frequencies of rotary embeddings.

        With `step` the keys are those of the whole cache.
        """
        query, key, value = (
            self._heads(self.query(x)),
            self._heads(self.key(x)),
            self._heads(self.value(x)),
        )
        if self.qk_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if rotation is not None:
            query, key = (rotary(array, *rotation) for array in (query, key))
        if step is not None:
            key, value = (
                self._append("cached_key", key, step),
                self._append("cached_value", value, step),
            )
        return self._attend(query, key, value, mask, bias, cached=step is not None)

    def cross(
        self,
        x: Float[Array, "batch query embed"],
        encoded: Float[Array, "batch key embed"],
        *,
        mask: AttentionMask | None,
        cached: bool = False,
    ) -> Float[Array, "batch query embed"]:
        """Attention to the encoder's outputs. With `cached`, the first call keeps their keys and values."""
        if cached:
            key = self._once("cross_key", lambda: self._heads(self.key(encoded)))
            value = self._once("cross_value", lambda: self._heads(self.value(encoded)))
        else:
            key, value = self._heads(self.key(encoded)), self._heads(self.value(encoded))
        return self._attend(self._heads(self.query(x)), key, value, mask, None, cached=cached)

    def _heads(
        self, x: Float[Array, "batch length joined_kv"]
    ) -> Float[Array, "batch length heads kv"]:
        return constrain(x.reshape(*x.shape[:2], -1, self.config.head_dim), Heads)

    def _attend(
        self, query: Any, key: Any, value: Any, mask: Any, bias: Any, *, cached: bool
    ) -> Float[Array, "batch query embed"]:
        if self.query_scale is not None:
            # In float32: rounding the factor itself to bfloat16 would change every score alike.
            query = (query.astype(jnp.float32) * self.query_scale).astype(query.dtype)
        dropout = self.dropout if self.config.dropout_rate > 0 else None
        # Parameters are made with a batch of the smallest shape, which no kernel takes.
        backend = "xla" if cached or self.is_initializing() else self.config.attention_backend
        options = {"softcap": self.softcap, "dropout": dropout, "backend": backend}
        out = attend(query, key, value, mask=mask, bias=bias, **options)
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
