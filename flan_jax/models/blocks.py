"""The parts of both architectures: MLP, relative position bias, stack of layers, head."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.models.config import ACTIVATIONS, REMAT_POLICIES, ModelConfig
from flan_jax.models.layers import Dense, Dropout, Embed, Hidden, parameter, softcapped
from flan_jax.parallel.sharding import HEAD, constrain, gather_fsdp
from flan_jax.pytrees import Tree


class Mlp(nn.Module):
    """wo(act_0(wi_0 x) * act_1(wi_1 x) ...), with dropout before wo.

    ("gelu", "linear") is the GEGLU of Shazeer 2020. With one activation the first matrix is named
    `wi` and nothing is gated.

    Attributes:
      config: the model's configuration.
      deterministic: whether to leave out dropout.
    """

    config: ModelConfig
    deterministic: bool

    @nn.compact
    def __call__(self, x: Hidden) -> Hidden:
        """Applies the MLP to each position."""
        config = self.config
        is_gated = len(config.mlp_activations) > 1

        branches = []
        for i, activation in enumerate(config.mlp_activations):
            wi = config.dense(
                (config.emb_dim, config.mlp_dim),
                ("embed", "mlp"),
                dtype=config.dtype,
                name=f"wi_{i}" if is_gated else "wi",
            )
            branches.append(ACTIVATIONS[activation](wi(x)))
        hidden = functools.reduce(jnp.multiply, branches)

        hidden = Dropout(config.dropout_rate)(hidden, self.deterministic)
        hidden = constrain(hidden, ("batch", "length", "mlp"))
        wo = config.dense(
            (config.mlp_dim, config.emb_dim),
            ("mlp", "embed"),
            dtype=config.dtype,
            name="wo",
        )
        return wo(hidden)


def relative_position_bucket(
    relative: Int[Array, "*dims"],
    *,
    bidirectional: bool,
    num_buckets: int,
    max_distance: int,
) -> Int[Array, "*dims"]:
    """Maps relative positions to buckets (Raffel et al. 2020, section 2.1).

    Half of the buckets hold one distance each; the others grow geometrically up to `max_distance`,
    and the last one holds everything beyond.

    Args:
      relative: position of the key minus position of the query.
      bidirectional: whether later keys have half of all buckets; otherwise they fall in bucket 0.
      num_buckets: the number of buckets.
      max_distance: the distance from which all positions share a bucket.

    Returns:
      The buckets, int32 from 0 to num_buckets - 1.
    """
    if bidirectional:
        num_buckets //= 2
        offset = jnp.where(relative > 0, num_buckets, 0)
        distance = jnp.abs(relative)
    else:
        offset = jnp.zeros_like(relative)
        distance = jnp.maximum(-relative, 0)

    exact = num_buckets // 2
    ratio = jnp.maximum(distance, 1).astype(jnp.float32) / exact
    growth = jnp.log(ratio) / math.log(max_distance / exact)
    coarse = exact + (growth * (num_buckets - exact)).astype(jnp.int32)
    coarse = jnp.minimum(coarse, num_buckets - 1)
    return offset + jnp.where(distance < exact, distance, coarse)


class RelativePositionBias(nn.Module):
    """A learned bias per head and bucket, added to the attention scores.

    One module serves all layers of a stack.

    Attributes:
      config: the model's configuration.
      bidirectional: whether later keys have buckets of their own (an encoder).
    """

    config: ModelConfig
    bidirectional: bool

    def setup(self):
        """Makes the table of biases."""
        config = self.config
        self.rel_embedding = parameter(
            self,
            "rel_embedding",
            nn.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
            shape=(config.num_heads, config.relative_attention_num_buckets),
            axes=("heads", "relpos_buckets"),
        )

    def __call__(self, length: int) -> Float[Array, "1 heads length length"]:
        """Returns the bias among the `length` tokens of a row, in the compute dtype.

        It is a product with one-hot buckets, as in T5X: the gradient is then a product too, and
        not a scatter of length^2 elements, and a TPU makes the buckets while it multiplies.
        """
        dtype = self.config.dtype
        index = jnp.arange(length)

        def bias(table: jax.Array) -> jax.Array:
            bucket = self._bucket(index[None, :] - index[:, None])
            one_hot = jax.nn.one_hot(bucket, table.shape[1], dtype=dtype)
            return jnp.einsum("hb,qkb->hqk", table.astype(dtype), one_hot)

        # The one-hot buckets are computed again for the gradient, not kept until then.
        return jax.checkpoint(bias)(self.rel_embedding)[None]

    def between(
        self,
        query_positions: Int[Array, "#rows query"],
        key_positions: Int[Array, "#rows key"],
    ) -> Float[Array, "#rows heads query key"]:
        """Returns the bias between given positions, in the compute dtype. Decoding uses it.

        Args:
          query_positions: the position of each query.
          key_positions: the position of each key.

        Returns:
          The bias that is added to the attention logits.
        """
        relative = key_positions[:, None, :] - query_positions[:, :, None]
        bias = jnp.take(self.rel_embedding, self._bucket(relative), axis=1, mode="clip")
        return jnp.moveaxis(bias.astype(self.config.dtype), 0, 1)

    def _bucket(self, relative: Int[Array, "*dims"]) -> Int[Array, "*dims"]:
        return relative_position_bucket(
            relative,
            bidirectional=self.bidirectional,
            num_buckets=self.config.relative_attention_num_buckets,
            max_distance=self.config.relative_attention_max_distance,
        )


def stack_layers(
    layer: type[nn.Module],
    config: ModelConfig,
    num_layers: int,
    *,
    x: jax.Array,
    context: Tree,
    per_layer: Tree | None = None,
    **attributes: object,
) -> jax.Array:
    """Runs x through a stack of layers; to be called inside the stack's compact method.

    Scanned (config.scan_layers), parameters lie under "layers" with a leading axis of that name;
    unrolled, under "layers_0", "layers_1" ... Both compute the same function of the same weights.

    Args:
      layer: the class of the layers, made as layer(config, **attributes). A layer is called as
        (x, context) -> (x, None), or as (x, context, its part of `per_layer`) -> (x, None).
      config: says whether to scan and what to recompute.
      num_layers: the number of layers.
      x: the input of the first layer.
      context: the same for all layers.
      per_layer: arrays with a leading axis of layers, for what differs between them.
      **attributes: attributes of each layer.

    Returns:
      The output of the last layer.
    """
    if config.remat != "none":
        # XLA's common-subexpression elimination cannot undo recomputation across the iterations
        # of a scan; the costly guard against it is for unrolled layers alone.
        prevent_cse = not config.scan_layers
        layer = nn.remat(
            layer, policy=REMAT_POLICIES[config.remat], prevent_cse=prevent_cse
        )
    layer_arguments = () if per_layer is None else (per_layer,)

    if not config.scan_layers:
        for i in range(num_layers):
            arguments = jax.tree.map(lambda array, i=i: array[i], layer_arguments)
            x, _ = layer(config, **attributes, name=f"layers_{i}")(
                x, context, *arguments
            )
        return x

    in_axes: Any = (nn.broadcast, *(0 for _ in layer_arguments))
    scan = nn.scan(
        layer,
        variable_axes={"params": 0, "cache": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=in_axes,
        length=num_layers,
        metadata_params={nn.PARTITION_NAME: "layers"},
        # The check is for broadcast variables. There are none, and it would trace every layer a
        # second time.
        check_constancy_invariants=False,
    )
    x, _ = scan(config, **attributes, name="layers")(x, context, *layer_arguments)
    return x


def head_kernel(
    config: ModelConfig, embedder: Embed, logits_dense: Dense | None
) -> Float[Array, "embed vocab"]:
    """Returns the matrix from hidden states to logits, in the compute dtype.

    Args:
      config: the model's configuration.
      embedder: the token embedding, which a tied head uses times config.tied_scale.
      logits_dense: the head's own layer; None for a tied head.
    """
    if logits_dense is not None:
        return logits_dense.weight()
    return embedder.weight().T * jnp.asarray(config.tied_scale, config.dtype)


def head_logits(
    hidden: Hidden, kernel: Float[Array, "embed vocab"], softcap: float | None = None
) -> Float[Array, "batch length vocab"]:
    """Returns hidden @ kernel in float32, within +-softcap where one is given.

    Args:
      hidden: the output of the last layer.
      kernel: the output projection.
      softcap: the bound of the logits' magnitude (Gemma 2); None for none.

    Returns:
      The float32 logits.
    """
    logits = jnp.dot(
        hidden, gather_fsdp(kernel, HEAD), preferred_element_type=jnp.float32
    )
    return constrain(softcapped(logits, softcap), ("batch", "length", "vocab"))
