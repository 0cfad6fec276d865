"""The module of multi-head attention and its KV cache; attention_backends holds the computation.

The defaults are T5's form (Raffel et al. 2020): no bias vectors and no 1/sqrt(head_dim) on the
scores; the initial query kernel carries that factor instead. Attributes of Attention turn it into
the form of Llama, Mistral, Qwen and Gemma.
"""

from collections.abc import Callable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.errors import InputError
from flan_jax.models.attention_backends import PER_HEAD, AttentionMask, Bias, attend
from flan_jax.models.config import ModelConfig
from flan_jax.models.rope import rotary
from flan_jax.parallel.sharding import constrain

Heads = Float[Array, "batch length heads kv"]


@flax.struct.dataclass
class CacheStep:
    """Where in the KV cache the tokens of one decoding call go.

    Attributes:
      positions: each token's position in its sequence, which is also its place in the cache;
        positions from `length` on (padding of a prompt) are not written.
      length: the number of positions in the cache.
    """

    positions: Int[Array, "batch query"]
    length: int = flax.struct.field(pytree_node=False)


def cache_step(
    tokens: Int[Array, "batch query"],
    positions: Int[Array, "batch query"] | None,
    segment_ids: Int[Array, "batch query"] | None,
    *,
    length: int,
) -> CacheStep:
    """Returns the CacheStep of tokens.

    Args:
      tokens: the tokens of one decoding call.
      positions: their positions, which decoding with a cache cannot do without.
      segment_ids: 0 where a token is padding, which is not written to the cache.
      length: the number of positions in the cache.

    Raises:
      InputError: there are no positions.
    """
    if positions is None:
        raise InputError(
            f"decoding {tokens.shape[1]} tokens with a cache needs their positions; write "
            "positions=..."
        )
    if segment_ids is not None:
        positions = jnp.where(segment_ids == 0, length, positions)
    return CacheStep(positions, length)


class Attention(nn.Module):
    """Self- or cross-attention with 2-D kernels.

    query, key and value have kernels (embed, joined_kv), out has (joined_kv, embed). The config's
    attention_backend computes whole rows. Decoding with a KV cache, prompts included, always runs
    on xla: kernels are not made for a few queries against many keys.

    Attributes:
      config: the model's configuration.
      deterministic: whether to leave out dropout.
      num_kv_heads: heads of keys and values; None for as many as query heads.
      use_bias: whether query, key and value have biases.
      qk_norm: makes the norms of queries and keys, given the name of the axis that they are over.
      joint_qk_norm: whether these norms are over all heads together; otherwise over each head.
      query_scale: factor on the queries; None for 1.0 with T5's initial query kernel.
      softcap: bound of the scores' absolute value; None for no bound.
    """

    config: ModelConfig
    deterministic: bool
    num_kv_heads: int | None = None
    use_bias: bool = False
    qk_norm: Callable[..., nn.Module] | None = None
    joint_qk_norm: bool = False
    query_scale: float | None = None
    softcap: float | None = None

    def setup(self):
        """Makes the projections, the dropout of weights and the norms."""
        config = self.config
        normal = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        # T5's query kernel starts with the 1/sqrt(head_dim) that a query_scale would bring.
        query_variance = 1.0 / config.head_dim if self.query_scale is None else 1.0
        query_init = nn.initializers.variance_scaling(
            query_variance, "fan_in", "normal"
        )

        query_shape = (config.emb_dim, config.joined_kv)
        kv_heads = self.num_kv_heads or config.num_heads
        kv_shape = (config.emb_dim, kv_heads * config.head_dim)
        axes = ("embed", "joined_kv")
        options = {"dtype": config.dtype, "use_bias": self.use_bias}

        self.query = config.dense(query_shape, axes, kernel_init=query_init, **options)
        self.key = config.dense(kv_shape, axes, kernel_init=normal, **options)
        self.value = config.dense(kv_shape, axes, kernel_init=normal, **options)
        self.out = config.dense(
            query_shape[::-1], axes[::-1], kernel_init=normal, dtype=config.dtype
        )
        self.dropout = nn.Dropout(
            config.dropout_rate, broadcast_dims=(-2,), deterministic=self.deterministic
        )
        if self.qk_norm is not None:
            axis = "joined_kv" if self.joint_qk_norm else "kv"
            self.query_norm = self.qk_norm(axis=axis)
            self.key_norm = self.qk_norm(axis=axis)

    def __call__(
        self,
        x: Float[Array, "batch query embed"],
        *,
        mask: AttentionMask | None,
        bias: Bias | None = None,
        rotation: tuple[Int[Array, "batch query"], Float[Array, " half"]] | None = None,
        step: CacheStep | None = None,
    ) -> Float[Array, "batch query embed"]:
        """Applies self-attention.

        Args:
          x: the layer's normed input.
          mask: which keys each query attends to; None for all.
          bias: added to the scores.
          rotation: positions and frequencies of rotary embeddings.
          step: where the new keys and values go in the KV cache; attention is then to the whole
            cache.
        """
        query = self.query(x)
        key = self.key(x)
        if self.qk_norm is not None and self.joint_qk_norm:
            query = self.query_norm(query)
            key = self.key_norm(key)
        query = self._split_heads(query)
        key = self._split_heads(key)
        value = self._split_heads(self.value(x))
        if self.qk_norm is not None and not self.joint_qk_norm:
            query = self.query_norm(query)
            key = self.key_norm(key)
        if rotation is not None:
            query = rotary(query, *rotation)
            key = rotary(key, *rotation)
        if step is not None:
            key = self._append_to_cache("cached_key", key, step)
            value = self._append_to_cache("cached_value", value, step)
        return self._attend(
            query, key, value, mask=mask, bias=bias, is_cached=step is not None
        )

    def cross(
        self,
        x: Float[Array, "batch query embed"],
        encoded: Float[Array, "batch key embed"],
        *,
        mask: AttentionMask | None,
        cached: bool = False,
    ) -> Float[Array, "batch query embed"]:
        """Applies attention to the encoder's outputs.

        Args:
          x: the layer's normed input.
          encoded: the encoder's outputs.
          mask: which encoder positions each query attends to; None for all.
          cached: whether the first call keeps the keys and values, which later calls then use in
            place of `encoded`.
        """

        def encoded_keys() -> Heads:
            return self._split_heads(self.key(encoded))

        def encoded_values() -> Heads:
            return self._split_heads(self.value(encoded))

        if cached:
            key = self._cached("cross_key", encoded_keys)
            value = self._cached("cross_value", encoded_values)
        else:
            key = encoded_keys()
            value = encoded_values()
        query = self._split_heads(self.query(x))
        return self._attend(query, key, value, mask=mask, bias=None, is_cached=cached)

    def _split_heads(self, x: Float[Array, "batch length joined_kv"]) -> Heads:
        heads = x.reshape(*x.shape[:2], -1, self.config.head_dim)
        return constrain(heads, PER_HEAD)

    def _attend(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        *,
        mask: AttentionMask | None,
        bias: Bias | None,
        is_cached: bool,
    ) -> Float[Array, "batch query embed"]:
        config = self.config
        if self.query_scale is not None:
            # In float32: rounding the factor itself to bfloat16 would scale every score alike.
            query = (query.astype(jnp.float32) * self.query_scale).astype(query.dtype)
        backend = config.attention_backend
        # Parameters are initialized with a batch of the smallest shape, which no kernel takes.
        if is_cached or self.is_initializing():
            backend = "xla"
        out = attend(
            query,
            key,
            value,
            mask=mask,
            bias=bias,
            softcap=self.softcap,
            dropout=self.dropout if config.dropout_rate > 0 else None,
            backend=backend,
        )
        out = constrain(out, PER_HEAD)
        return self.out(out.reshape(*out.shape[:2], config.joined_kv))

    def _append_to_cache(
        self, name: str, new: Float[Array, "batch query heads kv"], step: CacheStep
    ) -> Heads:
        """Writes keys or values at the step's positions; returns the whole cache."""
        empty = jnp.zeros((new.shape[0], step.length, *new.shape[2:]), new.dtype)
        cache = self.get_variable("cache", name, empty)
        rows = jnp.arange(new.shape[0])[:, None]
        cache = cache.at[rows, step.positions].set(new, mode="drop")
        cache = constrain(cache, PER_HEAD)
        self.put_variable("cache", name, cache)
        return cache

    def _cached(self, name: str, compute: Callable[[], Heads]) -> Heads:
        """Returns a variable of the cache, which the first call computes."""
        if not self.has_variable("cache", name):
            self.put_variable("cache", name, compute())
        return self.get_variable("cache", name)
