"""What both architectures are made of: Dense (the only matmul), Embed, RMSNorm, Mlp, positions, masks, the layer stack.

Parameters are float32 and carry logical axis names (vocab, embed, joined_kv, mlp, heads, relpos_buckets, layers);
activations are computed in `config.dtype` and name theirs (batch, length, activation_embed, heads, kv, mlp, vocab).
Names and layout follow T5X's T5 1.1, so that its checkpoints map one to one.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flan_jax import pytrees
from flan_jax.errors import InputError, unknown
from flan_jax.partitioning import HEAD, constrain, gathered

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=True),
    "linear": lambda x: x,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}
DTYPES = ("float32", "bfloat16")

# What a layer keeps for its backward pass. "minimal" keeps the outputs of matmuls with weights and recomputes the rest.
REMAT_POLICIES: dict[str, Callable[..., bool] | None] = {
    "none": None,
    "minimal": jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims,
    "full": jax.checkpoint_policies.nothing_saveable,
}

Axes = tuple[str, ...]
Hidden = Float[Array, "batch length embed"]
RESIDUAL = ("batch", "length", "activation_embed")


def parameter(module: nn.Module, name: str, init: Callable[..., Any], shape: tuple[int, ...], axes: Axes) -> Any:
    """A float32 parameter that carries logical axis names."""
    return module.param(name, nn.with_logical_partitioning(init, axes), shape, jnp.float32)


def lead_axes(vector: Float[Array, " features"], rank: int) -> Float[Array, "*ones features"]:
    """The vector with axes of size 1 before it, to meet an array of `rank` axes: rank promotion is an error in strict mode."""
    return vector.reshape((1,) * (rank - 1) + vector.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul(
    x: Float[Array, "*batch features_in"], kernel: Float[Array, "features_in features_out"], axes: Axes
) -> Float[Array, "*batch features_out"]:
    """x @ kernel, with the kernel's gradient as one product in the kernel's own layout. `axes` are the kernel's logical axes.

    Automatic differentiation gives that gradient transposed; on CPU XLA then writes every incoming gradient transposed
    as well, which takes longer than the product.
    """
    return jnp.dot(x, gathered(kernel, axes))


def _matmul_forward(x: Any, kernel: Any, axes: Axes) -> Any:
    return jnp.dot(x, gathered(kernel, axes)), (x, kernel)


def _matmul_backward(axes: Axes, saved: Any, grad: Any) -> Any:
    x, kernel = saved
    batch = tuple(range(x.ndim - 1))
    x_grad = jax.lax.dot_general(grad, gathered(kernel, axes), (((grad.ndim - 1,), (1,)), ((), ())))
    return x_grad, constrain(jax.lax.dot_general(x, grad, ((batch, batch), ((), ()))), axes)


matmul.defvjp(_matmul_forward, _matmul_backward)


class Dense(nn.Module):
    """x @ kernel over the last axis, + bias with `use_bias`. `shape` is (in, out), `axes` the kernel's logical axes.

    A subclass that changes the effective kernel (an adapter) overrides `weight`; one that adds a branch, `__call__`.
    """

    shape: tuple[int, int]
    axes: tuple[str, str]
    kernel_init: Callable[..., Any] = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
    dtype: str = "float32"
    use_bias: bool = False

    def setup(self):
        self.kernel = parameter(self, "kernel", self.kernel_init, self.shape, self.axes)
        if self.use_bias:
            self.bias = parameter(self, "bias", nn.initializers.zeros_init(), self.shape[1:], self.axes[1:])

    def weight(self) -> Float[Array, "features_in features_out"]:
        return self.kernel.astype(self.dtype)

    def __call__(self, x: Float[Array, "*batch features_in"]) -> Float[Array, "*batch features_out"]:
        y: Any = matmul(x.astype(self.dtype), self.weight(), self.axes)
        return y + lead_axes(self.bias.astype(self.dtype), y.ndim) if self.use_bias else y


def kernels_as(dtype: str, params: Any) -> Any:
    """The parameters with every kernel cast to the compute dtype, as its Dense casts it.

    To be differentiated with respect to: the gradients of all layers then lie in memory in that dtype, in which each of them
    is computed anyway, and not in float32.
    """
    return pytrees.map_named(lambda name, leaf: leaf.astype(dtype) if name.endswith("kernel") else leaf, params)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What both architectures have in common; each adds its number of layers. Sizes are T5X's names and units.

    `dtype` is the compute dtype; parameters are always float32. `remat` names a policy of REMAT_POLICIES.
    `tied_logits_scale` multiplies the logits of a head that is tied to the embeddings; None is T5's emb_dim^-0.5.
    `logits_softcap` keeps logits within +-softcap (Gemma 2); the model's `logits` and the loss both read it.
    `attention_backend` is a name in models.attention_backends.BACKENDS; whether it can is checked by the subclasses.
    `dense` and `embed` make every weight matrix of the model: give a subclass to change all of them.
    Raises InputError for a size or a name that cannot be built.
    """

    vocab_size: int
    emb_dim: int
    num_heads: int
    head_dim: int
    mlp_dim: int
    mlp_activations: tuple[str, ...] = ("gelu", "linear")
    dropout_rate: float = 0.1
    dtype: str = "float32"
    logits_via_embedding: bool = False
    tied_logits_scale: int | float | None = None
    logits_softcap: int | float | None = None
    scan_layers: bool = True
    remat: str = "none"
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    attention_backend: str = "xla"
    dense: Callable[..., Any] = Dense
    embed: Callable[..., Any] = Embed

    def __post_init__(self):
        object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and (not isinstance(value, int) or value < 1):
                raise InputError(f"{field.name} is {value!r}; it counts something: write a whole number of at least 1.")
        if not 0.0 <= self.dropout_rate < 1.0:
            raise InputError(f"dropout_rate is {self.dropout_rate}; write the fraction to drop, from 0.0 to below 1.0.")
        if not self.mlp_activations:
            raise InputError('mlp_activations is empty; write ("gelu", "linear") for T5 1.1 or ("relu",) for T5 1.0.')
        known = [("dtype", self.dtype, DTYPES), ("remat policy", self.remat, REMAT_POLICIES)]
        known += [("activation", name, ACTIVATIONS) for name in self.mlp_activations]
        for kind, name, names in known:
            if name not in names:
                raise unknown(kind, name, names)
        self._check_numbers("logits_softcap", "tied_logits_scale")
        self._check_buckets()

    def _check_numbers(self, *names: str):
        """The fields of these names: above 0 or None, and float from here on."""
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value}; write a number above 0.")
            object.__setattr__(self, name, None if value is None else float(value))

    def _check_buckets(self):
        buckets, distance = self.relative_attention_num_buckets, self.relative_attention_max_distance
        if buckets < 4 or buckets % 2 or distance <= buckets // 2:
            raise InputError(
                f"relative_attention_num_buckets={buckets} with relative_attention_max_distance={distance}: half the "
                "buckets hold one distance each, so the number must be even, at least 4, and its half below the "
                "maximum distance. T5 uses 32 and 128."
            )

    def embedder(self) -> Any:
        """The embeddings. Those of a tied head begin as small as gives logits of unit variance (T5's: unit variance)."""
        stddev = self.emb_dim**-0.5 / self.tied_scale if self.logits_via_embedding else 1.0
        init = nn.initializers.normal(stddev)
        return self.embed((self.vocab_size, self.emb_dim), embedding_init=init, dtype=self.dtype)

    @property
    def tied_scale(self) -> float:
        """What a tied head's logits are multiplied by; T5's emb_dim^-0.5 is for a table whose rows have unit variance."""
        return self.emb_dim**-0.5 if self.tied_logits_scale is None else self.tied_logits_scale

    @property
    def joined_kv(self) -> int:
        """The width of all heads together, the second size of the attention kernels."""
        return self.num_heads * self.head_dim

    @property
    def mlp_size(self) -> int:
        """Parameters of one Mlp."""
        return (len(self.mlp_activations) + 1) * self.emb_dim * self.mlp_dim


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
        return (x * lead_axes(scale, x.ndim)).astype(self.dtype)


class Dropout(nn.Module):
    """Dropout with one mask for all positions of a row, as T5 does: a mask is as small as one position."""

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "*dims"], deterministic: bool) -> Float[Array, "*dims"]:
        return nn.Dropout(self.rate, broadcast_dims=(-2,))(x, deterministic=deterministic)


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
            gates.append(ACTIVATIONS[name](config.dense(shape, axes, dtype=config.dtype, name=wi)(x)))
        hidden = Dropout(config.dropout_rate)(functools.reduce(jnp.multiply, gates), self.deterministic)
        hidden = constrain(hidden, ("batch", "length", "mlp"))
        return config.dense((config.mlp_dim, config.emb_dim), ("mlp", "embed"), dtype=config.dtype, name="wo")(hidden)


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
    growth = jnp.log(jnp.maximum(distance, 1).astype(jnp.float32) / exact) / math.log(max_distance / exact)
    coarse = jnp.minimum(exact + (growth * (num_buckets - exact)).astype(jnp.int32), num_buckets - 1)
    return offset + jnp.where(distance < exact, distance, coarse)


class RelativePositionBias(nn.Module):
    """A learned bias per head and bucket, added to the attention scores; one module serves all layers of a stack."""

    config: ModelConfig
    bidirectional: bool

    def setup(self):
        init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
        shape = (self.config.num_heads, self.config.relative_attention_num_buckets)
        self.rel_embedding = parameter(self, "rel_embedding", init, shape, ("heads", "relpos_buckets"))

    def __call__(self, length: int) -> Float[Array, "1 heads length length"]:
        """The bias among `length` tokens in a row.

        A product with one-hot buckets, as in T5X: its gradient is another product and not a scatter of length^2 elements,
        and a TPU makes the buckets as it multiplies. They are made again for the gradient, not kept until then.
        """
        index = jnp.arange(length)
        buckets, distance = self.rel_embedding.shape[1], self.config.relative_attention_max_distance
        dtype = self.config.dtype

        def bias(table: jax.Array) -> jax.Array:
            bucket = relative_position_bucket(index[None, :] - index[:, None], self.bidirectional, buckets, distance)
            return jnp.einsum("hb,qkb->hqk", table.astype(dtype), jax.nn.one_hot(bucket, buckets, dtype=dtype))

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


def segment_mask(
    query_segment_ids: Int[Array, "batch query"], key_segment_ids: Int[Array, "batch key"]
) -> Bool[Array, "batch 1 query key"]:
    """True where query and key lie in the same example. Padding (0) attends to nothing and nothing attends to it."""
    query, key = query_segment_ids[:, None, :, None], key_segment_ids[:, None, None, :]
    return (query == key) & (key != 0)


def decoder_mask(
    segment_ids: Int[Array, "batch length"], prefix: Int[Array, "batch length"] | None = None
) -> Bool[Array, "batch 1 length length"]:
    """Causal attention within each example; tokens with `prefix` 1 also see one another from both sides."""
    index = jnp.arange(segment_ids.shape[1])
    allowed = (index[None, :] <= index[:, None])[None, None]
    if prefix is not None:
        allowed = allowed | ((prefix[:, None, :, None] == 1) & (prefix[:, None, None, :] == 1))
    return allowed & segment_mask(segment_ids, segment_ids)


def cache_mask(
    positions: Int[Array, "batch query"], length: int, prefix: Int[Array, "batch query"] | None = None
) -> Bool[Array, "batch 1 query length"]:
    """Which of the `length` cached positions the tokens at `positions` may see: the earlier ones and themselves.

    Tokens with `prefix` 1 also see the later tokens of the prefix; a prefix lies at the positions from 0 on.
    """
    cached = jnp.arange(length)[None, None, None, :]
    allowed = cached <= positions[:, None, :, None]
    if prefix is not None:
        size = jnp.sum(prefix, axis=1)[:, None, None, None]
        allowed = allowed | ((prefix[:, None, :, None] == 1) & (cached < size))
    return allowed


def window_mask(
    query_positions: Int[Array, "batch query"], key_positions: Int[Array, "#batch key"], window: int
) -> Bool[Array, "batch 1 query key"]:
    """True where query and key lie less than `window` positions apart: a token sees itself and window - 1 before it.

    (Mistral, Gemma.) In a prefix, which is seen from both sides, it sees as many after it.
    """
    return jnp.abs(query_positions[:, None, :, None] - key_positions[:, None, None, :]) < window


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


def head_kernel(config: ModelConfig, embedder: Any, logits_dense: Any) -> Float[Array, "embed vocab"]:
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
    logits = softcapped(jnp.dot(hidden, gathered(kernel, HEAD), preferred_element_type=jnp.float32), softcap)
    return constrain(logits, ("batch", "length", "vocab"))
