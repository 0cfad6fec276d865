"""The parts that both architectures are built of: MLP, relative position bias, layer stack, head."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.models.config import ACTIVATIONS, REMAT_POLICIES, ModelConfig
from flan_jax.models.layers import Dropout, Hidden, parameter
from flan_jax.parallel.sharding import HEAD, constrain, gather_fsdp


class Mlp(nn.Module):
    """wo(act_0(wi_0 x) * act_1(wi_1 x) ...): GEGLU of Shazeer 2020 for ("gelu", "linear"); one activation has `wi`."""

    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, x: Float[Array, "batch length embed"]) -> Float[Array, "batch length embed"]:
        config = self.config
        gates = []
        for i, name in enumerate(config.mlp_activations):
            wi = "wi" if len(config.mlp_activations) == 1 else f"wi_{i}"
            shape, axes = (config.emb_dim, config.mlp_dim), ("embed", "mlp")
            gates.append(
                ACTIVATIONS[name](config.dense(shape, axes, dtype=config.dtype, name=wi)(x))
            )
        hidden = Dropout(config.dropout_rate)(
            functools.reduce(jnp.multiply, gates), self.deterministic
        )
        hidden = constrain(hidden, ("batch", "length", "mlp"))
        return config.dense(
            (config.mlp_dim, config.emb_dim), ("mlp", "embed"), dtype=config.dtype, name="wo"
        )(hidden)


def relative_position_bucket(
    relative: Int[Array, "*dims"], bidirectional: bool, num_buckets: int, max_distance: int
) -> Int[Array, "*dims"]:
    """Key position minus query position -> bucket (Raffel et al. 2020, section 2.1).

    Half of the buckets hold one distance each, the others grow by powers up to `max_distance` and beyond. Bidirectional
    attention gives half of all buckets to later keys; otherwise every later key falls in bucket 0.
    """
    offset = jnp.zeros_like(relative)
    if bidirectional:
        num_buckets //= 2
        offset = jnp.where(relative > 0, num_buckets, 0)
        distance = jnp.abs(relative)
    else:
        distance = jnp.maximum(-relative, 0)
    exact = num_buckets // 2
    growth = jnp.log(jnp.maximum(distance, 1).astype(jnp.float32) / exact) / math.log(
        max_distance / exact
    )
    coarse = jnp.minimum(
        exact + (growth * (num_buckets - exact)).astype(jnp.int32), num_buckets - 1
    )
    return offset + jnp.where(distance < exact, distance, coarse)


class RelativePositionBias(nn.Module):
    """A learned bias per head and bucket, added to the attention scores; one module serves all layers of a stack."""

    config: ModelConfig
    bidirectional: bool

    def setup(self):
        init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
        shape = (self.config.num_heads, self.config.relative_attention_num_buckets)
        self.rel_embedding = parameter(
            self, "rel_embedding", init, shape, ("heads", "relpos_buckets")
        )

    def __call__(self, length: int) -> Float[Array, "1 heads length length"]:
        """The bias among `length` tokens in a row.

        A product with one-hot buckets, as in T5X: its gradient is another product and not a scatter of length^2 elements,
        and a TPU makes the buckets as it multiplies. They are made again for the gradient, not kept until then.
        """
        index = jnp.arange(length)
        buckets, distance = self.rel_embedding.shape[1], self.config.relative_attention_max_distance
        dtype = self.config.dtype

        def bias(table: jax.Array) -> jax.Array:
            bucket = relative_position_bucket(
                index[None, :] - index[:, None], self.bidirectional, buckets, distance
            )
            return jnp.einsum(
                "hb,qkb->hqk", table.astype(dtype), jax.nn.one_hot(bucket, buckets, dtype=dtype)
            )

        return jax.checkpoint(bias)(self.rel_embedding)[None]

    def between(
        self, query_positions: Int[Array, "#rows query"], key_positions: Int[Array, "#rows key"]
    ) -> Float[Array, "#rows heads query key"]:
        """The bias between any positions, for decoding."""
        bias = self._at(key_positions[:, None, :] - query_positions[:, :, None])
        return jnp.moveaxis(bias, 0, 1)

    def _at(self, relative: jax.Array) -> jax.Array:
        buckets, distance = self.rel_embedding.shape[1], self.config.relative_attention_max_distance
        bucket = relative_position_bucket(relative, self.bidirectional, buckets, distance)
        return jnp.take(self.rel_embedding, bucket, axis=1, mode="clip").astype(self.config.dtype)


def stack_layers(
    layer: type[nn.Module],
    config: ModelConfig,
    num_layers: int,
    *,
    x: jax.Array,
    context: Any,
    per_layer: Any = None,
    **attributes: Any,
) -> jax.Array:
    """x through `num_layers` layers of `layer(config, **attributes)`, each called as (x, context) -> (x, None).

    Arrays `per_layer` have a leading axis of layers; each layer is then called as (x, context, its part of them).
    Called inside the compact method of the stack. Scanned parameters lie under "layers" with a leading axis of that
    name; unrolled ones under "layers_0", "layers_1" ... Both are the same function of the same weights.
    """
    if config.remat != "none":
        # CSE cannot undo the recomputation across the iterations of a scan, so the costly guard is for unrolled ones.
        policy = REMAT_POLICIES[config.remat]
        layer = nn.remat(layer, policy=policy, prevent_cse=not config.scan_layers)
    differing = () if per_layer is None else (per_layer,)
    if not config.scan_layers:
        for i in range(num_layers):
            own = jax.tree.map(lambda array, i=i: array[i], differing)
            x, _ = layer(config, **attributes, name=f"layers_{i}")(x, context, *own)
        return x
    in_axes: Any = (nn.broadcast, *(0 for _ in differing))
    scanned = nn.scan(
        layer,
        variable_axes={"params": 0, "cache": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=in_axes,
        length=num_layers,
        metadata_params={nn.PARTITION_NAME: "layers"},
        # The check is of broadcast variables, of which there are none, and traces every layer a second time.
        check_constancy_invariants=False,
    )
    return scanned(config, **attributes, name="layers")(x, context, *differing)[0]


def head_kernel(
    config: ModelConfig, embedder: Any, logits_dense: Any
) -> Float[Array, "embed vocab"]:
    """The head's kernel; a tied one is the table times the config's `tied_scale`."""
    if logits_dense is not None:
        return logits_dense.weight()
    return embedder.weight().T * jnp.asarray(config.tied_scale, config.dtype)


def softcapped(x: Float[Array, "*dims"], cap: float | None) -> Float[Array, "*dims"]:
    """cap tanh(x / cap), which stays within +-cap (Gemma 2, section 2); None leaves x as it is."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def head_logits(
    hidden: Hidden, kernel: Float[Array, "embed vocab"], softcap: float | None = None
) -> Float[Array, "batch length vocab"]:
    """hidden @ kernel in float32, soft-capped."""
    logits = softcapped(
        jnp.dot(hidden, gather_fsdp(kernel, HEAD), preferred_element_type=jnp.float32), softcap
    )
    return constrain(logits, ("batch", "length", "vocab"))
