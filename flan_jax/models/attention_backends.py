"""What computes attention: `attend` and the backends that it can run on.

    xla     the reference: any mask, bias, softcap, dropout, dtype and device; holds the scores of
            QUERY_BLOCK queries
    cudnn   cuDNN's flash attention, NVIDIA GPUs: any mask and bias, bfloat16
    pallas  a Triton kernel, GPUs: packed rows of causal decoders; skips what causality hides and
            holds no scores
    splash  a Pallas kernel, TPUs: as pallas, with sliding windows and softcaps

A backend computes what it is asked for or raises InputError; another one is never taken in its
place. None of them ignores the segments of a packed row: cudnn gets the dense mask, pallas and
splash the segment ids, and without these they refuse.

Axes: batch rows of query or key tokens; heads of queries, kv_heads of keys and values; kv is the
width of a head.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

import flax.struct
import jax
import jax.numpy as jnp
from flax.linen.spmd import logical_to_mesh_axes
from jax.experimental.pallas.ops.gpu import attention as triton
from jax.experimental.pallas.ops.tpu import splash_attention as splash
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from flan_jax.batch import batch_spec
from flan_jax.errors import InputError, add_to_registry, check_call, look_up
from flan_jax.hardware import Device
from flan_jax.models.config import ModelConfig
from flan_jax.models.layers import softcapped
from flan_jax.parallel.sharding import use_mesh

Query: TypeAlias = Float[Array, "batch query heads kv"]
Keys: TypeAlias = Float[Array, "batch key kv_heads kv"]
Bias: TypeAlias = Float[Array, "#batch heads query key"]
DenseMask: TypeAlias = Bool[Array, "batch 1 query key"]
Dropout: TypeAlias = Callable[[jax.Array], jax.Array]

PER_HEAD = ("batch", "length", "heads", "kv")
"""The logical axes of queries, keys, values and outputs."""

MASKED = -1e10
"""The score of a masked key. It is finite, so that a query without keys (padding) gets the mean of
all values instead of NaN."""

QUERY_BLOCK = 128
"""Queries whose scores the xla backend holds at a time, where they divide a row's length."""

CAUSAL_PARTS = 4
"""Parts of a causal row, of one or more blocks, whose queries are not given the keys of later parts
by the xla backend. Of four, 3/8 of all scores are not computed. Each part is compiled by itself."""

_INTERPRET = False
"""Set by tests: kernels then run step by step on any device, and cudnn as JAX's own attention."""


class AttentionMask(flax.struct.PyTreeNode):
    """Which keys each query attends to: as an array, and as a rule for kernels that take no array.

    The rule: a token attends to itself and the tokens before it with the same segment id; with a
    `window`, only to the last `window` of these. Under the rule padding (segment 0) attends to
    padding; those outputs are unused.

    Attributes:
      dense: True where a query attends to a key; None for everywhere.
      segment_ids: the example of each token. None: no rule describes this mask (a KV cache, a
        bidirectional prefix, an encoder), and only `dense` does.
      local: whether this layer has the window; None for yes. It may differ in a scan over layers.
      window: tokens that a local layer sees, the token itself included; None for no window.
    """

    dense: DenseMask | None
    segment_ids: Int[Array, "batch query"] | None = None
    local: Bool[Array, ""] | None = None
    window: int | None = flax.struct.field(pytree_node=False, default=None)


@dataclasses.dataclass(frozen=True)
class Feature:
    """What attention may need and a backend may lack.

    Attributes:
      description: what it is, for messages.
      without: the setting of a model that does without it, as "name=value".
    """

    description: str
    without: str | None = None


FEATURES = {
    "dense_mask": Feature(
        "attention that is not causal in packed rows (a prefix, an encoder, a cache)",
        "prefix_lm=False",
    ),
    "bias": Feature("T5's relative position bias", "position='rope'"),
    "softcap": Feature("a softcap of the scores"),
    "window": Feature("a sliding window"),
    "dropout": Feature("dropout of attention weights", "dropout_rate=0.0"),
    "float32": Feature("float32", "dtype='bfloat16'"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """A way to compute attention.

    Attributes:
      run: called as (query, key, value, *, mask, bias, softcap) -> outputs, with the rows and heads
        of one device. The mask has only `dense`, or only the rule if `dense_mask` is lacking.
      platforms: the platforms of JAX that it runs on; empty for all.
      lacks: the FEATURES that it does not have. Only xla has dropout, which `run` is not given.
      multiple: rows must be of a multiple of this number of tokens.
      head_dims: the widths of a head that it takes.
    """

    run: Callable[..., Query]
    platforms: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    multiple: int = 1
    head_dims: range = range(1, 2**16)


def _xla(
    query: Query,
    key: Keys,
    value: Keys,
    *,
    mask: AttentionMask,
    bias: Bias | None,
    softcap: float | None,
    dropout: Dropout | None = None,
) -> Query:
    rows, length, heads, _ = query.shape
    dropout_mask = None
    if dropout is not None:
        # One mask serves all queries. It is drawn outside of the loop, whose body cannot draw.
        dropout_mask = dropout(jnp.ones((rows, heads, 1, key.shape[1]), value.dtype))

    def attend_block(
        query: Query, dense: DenseMask | None, bias: Bias | None, *, keys: slice
    ) -> Float[Array, "batch query heads kv"]:
        return _softmax_attention(
            query,
            key[:, keys],
            value[:, keys],
            dense=dense,
            bias=bias,
            softcap=softcap,
            dropout_mask=None if dropout_mask is None else dropout_mask[..., keys],
        )

    def attend_part(queries: slice, keys: slice) -> Query:
        """Returns the outputs of whole blocks of queries, which attend to none but these keys."""
        blocks = (
            _query_blocks(query[:, queries], axis=1),
            _query_blocks(
                None if dense is None else dense[:, :, queries, keys], axis=2
            ),
            _query_blocks(None if bias is None else bias[:, :, queries, keys], axis=2),
        )
        # The backward pass computes the scores of a block again, so that those of one block at a
        # time are all that is held (Rabe and Staats 2021).
        attend_again = jax.checkpoint(functools.partial(attend_block, keys=keys))
        out = jax.lax.map(lambda block: attend_again(*block), blocks)
        return jnp.moveaxis(out, 0, 1).reshape(rows, -1, *query.shape[2:])

    dense = mask.dense
    everything = slice(None)
    if length <= QUERY_BLOCK or length % QUERY_BLOCK:
        return attend_block(query, dense, bias, keys=everything)
    if mask.segment_ids is None:
        return attend_part(everything, everything)

    # Causal: no query of a part attends to a key after the part.
    count = length // QUERY_BLOCK
    parts = min(CAUSAL_PARTS, count)
    bounds = [QUERY_BLOCK * (count * part // parts) for part in range(parts + 1)]
    outs = []
    for start, stop in itertools.pairwise(bounds):
        outs.append(attend_part(slice(start, stop), slice(stop)))
    return jnp.concatenate(outs, axis=1)


def _query_blocks(array: jax.Array | None, axis: int) -> jax.Array | None:
    """Cuts the axis of queries into blocks of QUERY_BLOCK, which become the leading axis."""
    if array is None:
        return None
    shape = (*array.shape[:axis], -1, QUERY_BLOCK, *array.shape[axis + 1 :])
    return jnp.moveaxis(array.reshape(shape), axis, 0)


def _softmax_attention(
    query: Query,
    key: Keys,
    value: Keys,
    *,
    dense: DenseMask | None,
    bias: Bias | None,
    softcap: float | None,
    dropout_mask: Float[Array, "batch heads 1 key"] | None,
) -> Query:
    rows, length, heads, width = query.shape
    kv_heads = key.shape[2]
    # Axes: b batch, h heads of keys, q queries of all the heads that share one, k keys, d kv.
    # In this order no array as large as the scores is transposed, not even in the backward pass.
    grouped_query = jnp.swapaxes(query, 1, 2).reshape(rows, kv_heads, -1, width)
    grouped_scores = jnp.einsum(
        "bhqd,bkhd->bhqk", grouped_query, key, preferred_element_type=jnp.float32
    )

    scores = grouped_scores.reshape(rows, heads, length, -1)
    if bias is not None:
        scores = scores + bias.astype(jnp.float32)
    scores = softcapped(scores, softcap)
    if dense is not None:
        scores = jnp.where(dense, scores, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    if dropout_mask is not None:
        weights = weights * dropout_mask

    grouped_weights = weights.reshape(grouped_scores.shape)
    out = jnp.einsum("bhqk,bkhd->bhqd", grouped_weights, value)
    return jnp.swapaxes(out.reshape(rows, heads, length, width), 1, 2)


def _cudnn(
    query: Query,
    key: Keys,
    value: Keys,
    *,
    mask: AttentionMask,
    bias: Bias | None,
    softcap: float | None,
) -> Query:
    # cuDNN adds mask and bias into one array of the compute dtype: [batch, 1, query, key], with a
    # bias [batch, heads, query, key].
    return jax.nn.dot_product_attention(
        query,
        key,
        value,
        bias,
        mask.dense,
        scale=1.0,
        implementation="xla" if _INTERPRET else "cudnn",
    )


def _pallas(
    query: Query,
    key: Keys,
    value: Keys,
    *,
    mask: AttentionMask,
    bias: Bias | None,
    softcap: float | None,
) -> Query:
    _, length, heads, width = query.shape
    # Three blocks of the forward pass lie in shared memory together, 32 KiB each: as much as 128
    # tokens of bfloat16 take with heads of 128.
    padded_width = 2 ** math.ceil(math.log2(width))
    largest = max(32, 2**15 // (query.dtype.itemsize * padded_width))
    forward = next(
        size for size in (128, 64, 32) if size <= largest and length % size == 0
    )
    block_sizes = triton.BlockSizes(forward, forward, 32, 32, 32, 32)

    repeats = heads // key.shape[2]
    return triton.mha(
        query,
        jnp.repeat(key, repeats, axis=2),
        jnp.repeat(value, repeats, axis=2),
        mask.segment_ids,
        sm_scale=1.0,
        causal=True,
        block_sizes=block_sizes,
        interpret=_INTERPRET,
    )


def _splash(
    query: Query,
    key: Keys,
    value: Keys,
    *,
    mask: AttentionMask,
    bias: Bias | None,
    softcap: float | None,
) -> Query:
    _, length, heads, _ = query.shape
    size = next(size for size in (512, 384, 256, 128) if length % size == 0)
    # One size for queries and keys, in the forward pass and in both backward ones.
    block_sizes = splash.BlockSizes(*[size] * 8)  # pyright: ignore[reportArgumentType]

    def kernel(rule: splash.Mask) -> Callable[..., Any]:
        """Returns the kernel under one rule, over a batch of rows."""
        one_row = splash.make_splash_mha(
            splash.MultiHeadMask([rule] * heads),
            block_sizes=block_sizes,
            head_shards=1,
            q_seq_shards=1,
            attn_logits_soft_cap=softcap,
            interpret=_INTERPRET,
        )

        def run_row(query, key, value, segment_ids):
            ids = splash.SegmentIds(segment_ids, segment_ids)
            return one_row(query, key, value, segment_ids=ids)

        return jax.vmap(run_row)

    arrays = (
        jnp.swapaxes(query, 1, 2),
        jnp.swapaxes(key, 1, 2),
        jnp.swapaxes(value, 1, 2),
        mask.segment_ids,
    )
    causal = splash.CausalMask((length, length))
    if mask.window is None or mask.window >= length:
        out = kernel(causal)(*arrays)
    else:
        windowed = splash.LocalMask((length, length), (mask.window - 1, 0), 0)
        if mask.local is None:
            out = kernel(windowed)(*arrays)
        else:
            out = jax.lax.cond(mask.local, kernel(windowed), kernel(causal), *arrays)
    return jnp.swapaxes(out, 1, 2)


GPU = ("gpu", "cuda")

BACKENDS = {
    "xla": Backend(run=_xla),
    "cudnn": Backend(
        run=_cudnn,
        platforms=GPU,
        lacks=("float32", "softcap"),
        multiple=2,
        head_dims=range(8, 257, 8),
    ),
    "pallas": Backend(
        run=_pallas,
        platforms=GPU,
        lacks=("dense_mask", "bias", "softcap", "window"),
        multiple=32,
        head_dims=range(16, 257, 8),
    ),
    "splash": Backend(
        run=_splash,
        platforms=("tpu",),
        lacks=("dense_mask", "bias"),
        multiple=128,
        head_dims=range(8, 257, 8),
    ),
}


def register_attention_backend(name: str, backend: Backend) -> None:
    """Adds a backend that ModelConfig.attention_backend can name.

    Raises:
      InputError: another backend has this name, or its `run` takes other arguments than it gets.
    """
    arguments = ["query", "key", "value"]
    keywords = ["mask", "bias", "softcap"]
    check_call(backend.run, f"attention backend {name!r}: run", arguments, keywords)
    add_to_registry(BACKENDS, "attention backend", name, backend)


def attend(  # noqa: PLR0913 (as jax.nn.dot_product_attention)
    query: Query,
    key: Keys,
    value: Keys,
    *,
    mask: AttentionMask | None = None,
    bias: Bias | None = None,
    softcap: float | None = None,
    dropout: Dropout | None = None,
    backend: str = "xla",
) -> Query:
    """Computes softmax(query . key + bias) . value, in float32 between the two products.

    On a mesh, kernels run under shard_map over rows and heads.

    Args:
      query: queries, already scaled.
      key: keys. There may be fewer heads of keys and values than of queries, each for as many
        successive heads of queries (grouped-query attention, Ainslie et al. 2023).
      value: values.
      mask: which keys each query attends to; None for all.
      bias: added to the scores.
      softcap: bound of the scores' absolute value, applied before the mask (Gemma 2).
      dropout: applied to the attention weights.
      backend: a name in BACKENDS.

    Returns:
      The outputs of each head, in the dtype of the values.

    Raises:
      InputError: there is no such backend, or it cannot compute this.
    """
    chosen = _backend(backend)
    if mask is None:
        mask = AttentionMask(None)
    if backend == "xla":
        return _xla(
            query, key, value, mask=mask, bias=bias, softcap=softcap, dropout=dropout
        )

    needs = {
        "dense_mask": mask.segment_ids is None,
        "bias": bias is not None,
        "softcap": softcap is not None,
        "window": mask.window is not None,
        "dropout": dropout is not None,
        "float32": query.dtype == jnp.float32,
    }
    _check_features(backend, needs)
    _check_shapes(backend, query.shape[3], {query.shape[1], key.shape[1]})
    # The form of the mask that the backend does not read must not be cut into pieces for it.
    if "dense_mask" in chosen.lacks:
        mask = mask.replace(dense=None)
    else:
        mask = AttentionMask(mask.dense)

    run = functools.partial(chosen.run, softcap=softcap)
    if jax.sharding.get_abstract_mesh().empty:
        return run(query, key, value, mask=mask, bias=bias)
    _check_split(
        backend, heads=query.shape[2], kv_heads=key.shape[2], rows=query.shape[0]
    )
    return _on_mesh(
        run, {"query": query, "key": key, "value": value}, mask=mask, bias=bias
    )


def _on_mesh(
    run: Callable[..., Query],
    qkv: Mapping[str, jax.Array],
    *,
    mask: AttentionMask,
    bias: Bias | None,
) -> Query:
    """Runs a kernel on each device's own rows and heads."""
    rows, heads = _mesh_axes_of_rows_and_heads()
    by_row = PartitionSpec(rows)
    by_row_and_head = PartitionSpec(rows, None, heads)
    by_head = PartitionSpec(None, heads)
    if bias is not None and bias.shape[0] > 1:
        by_head = PartitionSpec(rows, heads)

    arrays = {
        **qkv,
        "bias": bias,
        "dense": mask.dense,
        "segment_ids": mask.segment_ids,
        "local": mask.local,
    }
    specs = {
        "query": by_row_and_head,
        "key": by_row_and_head,
        "value": by_row_and_head,
        "bias": by_head,
        "dense": by_row,
        "segment_ids": by_row,
        "local": PartitionSpec(),
    }

    def run_on_device(arrays: Mapping[str, jax.Array | None]) -> Query:
        own_mask = AttentionMask(
            arrays["dense"], arrays["segment_ids"], arrays["local"], mask.window
        )
        return run(
            arrays["query"],
            arrays["key"],
            arrays["value"],
            mask=own_mask,
            bias=arrays["bias"],
        )

    # Kernels have no rule for how their outputs vary over the mesh, so this is not checked.
    sharded = jax.shard_map(
        run_on_device, in_specs=(specs,), out_specs=by_row_and_head, check_vma=False
    )
    return sharded(arrays)


MeshAxes: TypeAlias = str | tuple[str, ...] | None


def _mesh_axes_of_rows_and_heads() -> tuple[MeshAxes, MeshAxes]:
    """Returns the mesh axes that the logical axis rules in force give to rows and to heads."""
    rows, _, heads, _ = logical_to_mesh_axes(PER_HEAD) or (None,) * 4
    return rows, heads


def check_config(config: ModelConfig, **needs: bool) -> None:
    """Checks that a config's backend has the features that its attention needs.

    What depends on more than the config (platform, lengths, mesh) is checked by `check_run`.

    Args:
      config: the model's configuration.
      **needs: for names in FEATURES, whether this model's attention needs them; dropout and
        float32 are read from the config.

    Raises:
      InputError: the backend does not exist or cannot compute this model's attention.
    """
    needs["dropout"] = config.dropout_rate > 0
    needs["float32"] = config.dtype == "float32"
    _backend(config.attention_backend)
    _check_features(config.attention_backend, needs, config)
    _check_shapes(config.attention_backend, config.head_dim, ())


def check_run(config: ModelConfig, lengths: Collection[int], device: Device) -> str:
    """Checks that a config's backend can run here; to be called inside parallel.sharding.use_mesh.

    Args:
      config: the model's configuration.
      lengths: tokens of the rows that attention is computed for.
      device: a device of the mesh, which need not be attached (one of a topology).

    Returns:
      One line that says what attention runs on.

    Raises:
      InputError: the backend is for other devices, or cannot take such lengths or numbers of heads.
    """
    name = config.attention_backend
    platforms = _backend(name).platforms
    if platforms and device.platform not in platforms:
        alternatives = _alternatives(lambda other: device.platform in other.platforms)
        raise InputError(
            f"attention_backend={name!r} runs on {platforms[0]}, and these devices are "
            f"{device.platform} ({device.device_kind}); write {alternatives}"
        )
    if name == "cudnn" and config.head_dim > 128:
        compute_capability = float(getattr(device, "compute_capability", 9.0))
        if compute_capability < 9.0:
            raise InputError(
                f"cuDNN takes a head_dim of {config.head_dim} on Hopper and later GPUs only, and "
                f"this is a {device.device_kind}; write attention_backend='xla'"
            )
    _check_shapes(name, config.head_dim, lengths)
    if name == "xla":
        return f"attention: xla on {device.device_kind}"
    kv_heads = getattr(config, "kv_heads", config.num_heads)
    _check_split(name, heads=config.num_heads, kv_heads=kv_heads)
    return (
        f"attention: {name} on {device.device_kind}; with a KV cache (prompts, scoring, "
        "generation): xla"
    )


def check_attention(config: ModelConfig, lengths: Mapping[str, int], mesh: Mesh) -> str:
    """Checks that a config's backend can run on a mesh at the lengths of a plan.

    Args:
      config: the model's configuration.
      lengths: tokens of a row, {"inputs": E, "targets": D}.
      mesh: the device mesh.

    Returns:
      One line that says what attention runs on.

    Raises:
      InputError: the backend cannot run there.
    """
    spec = batch_spec(config.architecture, 1, lengths)
    row_lengths = {shape[1] for shape, _ in spec.values()}
    with use_mesh(mesh):
        return check_run(config, row_lengths, mesh.devices.flat[0])


def _backend(name: str) -> Backend:
    return look_up(BACKENDS, "attention backend", name)


def _lacking(name: str, needs: Mapping[str, bool]) -> list[str]:
    """Returns the needed features that a backend does not have."""
    lacks = {*BACKENDS[name].lacks}
    if name != "xla":
        lacks.add("dropout")
    return [
        feature
        for feature, is_needed in needs.items()
        if is_needed and feature in lacks
    ]


def _check_features(
    name: str, needs: Mapping[str, bool], config: ModelConfig | None = None
) -> None:
    lacking = _lacking(name, needs)
    if not lacking:
        return
    feature = FEATURES[lacking[0]]
    remedies = [
        f"attention_backend={other!r}"
        for other in BACKENDS
        if not _lacking(other, needs)
    ]
    if feature.without is not None and hasattr(config, feature.without.split("=")[0]):
        remedies.insert(0, feature.without)
    raise InputError(
        f"attention_backend={name!r} does not support {feature.description}; write "
        f"{' or '.join(remedies)}"
    )


def _alternatives(can: Callable[[Backend], bool]) -> str:
    """Returns the settings of xla and of the backends that `can` accepts, for a message."""
    names = [
        name for name, backend in BACKENDS.items() if name == "xla" or can(backend)
    ]
    return " or ".join(f"attention_backend={name!r}" for name in names)


def _check_shapes(name: str, head_dim: int, lengths: Iterable[int]) -> None:
    backend = BACKENDS[name]
    sizes = backend.head_dims
    if head_dim not in sizes:
        raise InputError(
            f"attention_backend={name!r} takes a head_dim from {sizes[0]} to {sizes[-1]} in steps "
            f"of {sizes.step}, and this model's is {head_dim}; write attention_backend='xla'"
        )
    for length in lengths:
        if length % backend.multiple:
            next_multiple = math.ceil(length / backend.multiple) * backend.multiple
            raise InputError(
                f"attention_backend={name!r} takes rows of a multiple of {backend.multiple} "
                f"tokens, and these have {length}; write LENGTHS that come to {next_multiple}, or "
                "attention_backend='xla'"
            )


def _check_split(name: str, *, heads: int, kv_heads: int, rows: int = 0) -> None:
    """Checks that heads and rows divide over the mesh in force: a kernel gets whole ones."""
    mesh = jax.sharding.get_abstract_mesh()
    row_axes, head_axes = _mesh_axes_of_rows_and_heads()
    counts = (
        ("heads", heads, head_axes),
        ("heads of keys", kv_heads, head_axes),
        ("rows", rows, row_axes),
    )
    for kind, count, mesh_axes in counts:
        axes = (mesh_axes,) if isinstance(mesh_axes, str) else mesh_axes or ()
        devices = math.prod(mesh.shape[axis] for axis in axes)
        if count % devices:
            raise InputError(
                f"attention_backend={name!r} computes whole {kind} on each device, and {count} do "
                f"not divide over {' x '.join(axes)} = {devices} devices; write a MESH that "
                "divides them, or attention_backend='xla'"
            )
