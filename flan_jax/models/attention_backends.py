"""What computes attention: `attend` and the four backends behind it.

    xla     the reference: any mask, bias, softcap, dropout, dtype and device; holds the scores of QUERY_BLOCK queries
    cudnn   cuDNN's flash attention, NVIDIA GPUs: any mask and bias, bfloat16
    pallas  a Triton kernel, GPUs: packed rows of causal decoders; skips what causality hides, holds no scores
    splash  a Pallas kernel, TPUs: as pallas, with sliding windows and softcaps

A backend does what it is asked to or raises InputError; another one is never taken in its place, and none of them forgets
the segments of a packed row: cudnn is given the whole mask, the other two the segment ids, and without these they refuse.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax.linen.spmd import logical_to_mesh_axes
from jax.experimental.pallas.ops.gpu import attention as triton
from jax.experimental.pallas.ops.tpu import splash_attention as splash
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from flan_jax.batch import batch_spec
from flan_jax.errors import InputError, unknown_name
from flan_jax.models.blocks import softcapped
from flan_jax.models.config import ModelConfig
from flan_jax.parallel.mesh import Device
from flan_jax.parallel.sharding import use_mesh

# The lowest finite score: a row that may see nothing (padding) then gets the mean of all values instead of NaN.
MASKED = -1e10

Query = Float[Array, "batch query heads kv"]
Keys = Float[Array, "batch key kv_heads kv"]
Bias = Float[Array, "#batch heads query key"]
Heads = ("batch", "length", "heads", "kv")

QUERY_BLOCK = 128
"""Queries whose scores the xla backend holds at a time, where they divide a row's length."""

_INTERPRET = False
"""Tests set it: kernels then run on any device, step by step (cudnn: jax's own form of the same function)."""


class AttentionMask(flax.struct.PyTreeNode):
    """Who sees whom: as an array, and where the rows are packed and causal, as the rule that kernels without one follow.

    `dense`: the keys that each query sees. The rule: a token sees those before it and itself among the tokens of its
    number in `segment_ids`, and with a `window` only the last so many, itself among them, if this layer is `local`
    (None: it is). Under the rule padding, segment 0, sees padding; nothing depends on what comes of it.
    `segment_ids` None: there is no rule (a KV cache, a prefix seen from both sides, an encoder), only the array.
    """

    dense: Bool[Array, "batch 1 query key"] | None
    segment_ids: Int[Array, "batch query"] | None = None
    local: Bool[Array, ""] | None = None
    window: int | None = flax.struct.field(pytree_node=False, default=None)


def _xla(
    query: Query,
    key: Keys,
    value: Keys,
    mask: AttentionMask,
    bias: Bias | None,
    softcap: float | None,
    dropout: Any,
) -> Query:
    rows, length, heads, _ = query.shape
    # One draw for all queries, made here: a loop's body draws nothing.
    ones = jnp.ones((rows, heads, 1, key.shape[1]), value.dtype)
    kept = None if dropout is None else dropout(ones)

    def some(query: Any, dense: Any, bias: Any) -> jax.Array:
        return _softmax_attention(query, key, value, dense, bias, softcap, kept)

    if length <= QUERY_BLOCK or length % QUERY_BLOCK:
        return some(query, mask.dense, bias)
    blocks = _blocks(query, 1), _blocks(mask.dense, 2), _blocks(bias, 2)
    # The way back computes a block's scores again, so that those of one block at a time are all there is (Rabe and Staats 2021).
    out = jax.lax.map(lambda block: jax.checkpoint(some)(*block), blocks)
    return jnp.moveaxis(out, 0, 1).reshape(query.shape)


def _blocks(array: jax.Array | None, axis: int) -> jax.Array | None:
    """The array with its queries' axis cut into blocks, and these as the leading axis."""
    if array is None:
        return None
    shape = (*array.shape[:axis], -1, QUERY_BLOCK, *array.shape[axis + 1 :])
    return jnp.moveaxis(array.reshape(shape), axis, 0)


def _softmax_attention(
    query: Query,
    key: Keys,
    value: Keys,
    dense: Any,
    bias: Bias | None,
    softcap: float | None,
    kept: Any,
) -> Query:
    # b batch, h heads of the keys, q queries of all the heads that share one, k keys, d kv. In this order of axes nothing of
    # the scores' size is ever transposed, on the way back neither.
    rows, length, heads, width = query.shape
    shared = jnp.swapaxes(query, 1, 2).reshape(rows, key.shape[2], -1, width)
    scores = jnp.einsum("bhqd,bkhd->bhqk", shared, key, preferred_element_type=jnp.float32)
    by_key_head, scores = scores.shape, scores.reshape(rows, heads, length, -1)
    if bias is not None:
        scores = scores + bias.astype(jnp.float32)
    scores = softcapped(scores, softcap)
    if dense is not None:
        scores = jnp.where(dense, scores, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    weights = weights if kept is None else weights * kept
    out = jnp.einsum("bhqk,bkhd->bhqd", weights.reshape(by_key_head), value)
    return jnp.swapaxes(out.reshape(rows, heads, length, width), 1, 2)


def _cudnn(
    query: Query,
    key: Keys,
    value: Keys,
    mask: AttentionMask,
    bias: Bias | None,
    softcap: float | None,
) -> Query:
    # Mask and bias become one array of the compute dtype: [batch, 1, q, k], with a bias [batch, heads, q, k].
    implementation = "xla" if _INTERPRET else "cudnn"
    return jax.nn.dot_product_attention(
        query, key, value, bias, mask.dense, scale=1.0, implementation=implementation
    )  # fmt: skip


def _pallas(
    query: Query,
    key: Keys,
    value: Keys,
    mask: AttentionMask,
    bias: Bias | None,
    softcap: float | None,
) -> Query:
    # Three blocks of the forward pass lie in shared memory together: 32 KiB each is what bfloat16 of 128 needs.
    most = 2**15 // (query.dtype.itemsize * 2 ** math.ceil(math.log2(query.shape[3])))
    forward = next(
        size for size in (128, 64, 32) if size <= max(most, 32) and query.shape[1] % size == 0
    )
    blocks = triton.BlockSizes(forward, forward, 32, 32, 32, 32)
    key, value = (
        jnp.repeat(array, query.shape[2] // key.shape[2], axis=2) for array in (key, value)
    )
    options = {"sm_scale": 1.0, "causal": True, "block_sizes": blocks, "interpret": _INTERPRET}
    return triton.mha(query, key, value, mask.segment_ids, **options)


def _splash(
    query: Query,
    key: Keys,
    value: Keys,
    mask: AttentionMask,
    bias: Bias | None,
    softcap: float | None,
) -> Query:
    length, heads = query.shape[1:3]
    # One size for queries and keys, in the forward pass and in both backward ones.
    blocks: Any = [next(size for size in (512, 384, 256, 128) if length % size == 0)] * 8

    def under(rule: splash.Mask) -> Callable[..., Any]:
        kernel = splash.make_splash_mha(
            splash.MultiHeadMask([rule] * heads), block_sizes=splash.BlockSizes(*blocks),
            head_shards=1, q_seq_shards=1, attn_logits_soft_cap=softcap, interpret=_INTERPRET,
        )  # fmt: skip
        return jax.vmap(
            lambda q, k, v, ids: kernel(q, k, v, segment_ids=splash.SegmentIds(ids, ids))
        )

    everything = splash.CausalMask((length, length))
    arrays = *(jnp.swapaxes(array, 1, 2) for array in (query, key, value)), mask.segment_ids
    if mask.window is None or mask.window >= length:
        out = under(everything)(*arrays)
    else:
        near = splash.LocalMask((length, length), (mask.window - 1, 0), 0)
        if mask.local is None:
            out = under(near)(*arrays)
        else:
            out = jax.lax.cond(mask.local, under(near), under(everything), *arrays)
    return jnp.swapaxes(out, 1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """`lacks`: keys of REMEDIES. Rows are of a multiple of `multiple` tokens, heads of a size in `head_dims`."""

    run: Callable[..., jax.Array]
    platforms: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    multiple: int = 1
    head_dims: range = range(1, 2**16)


GPU = ("gpu", "cuda")
BACKENDS = {
    "xla": Backend(run=_xla),
    "cudnn": Backend(
        run=_cudnn,
        platforms=GPU,
        lacks=("float32", "softcap", "dropout"),
        multiple=2,
        head_dims=range(8, 257, 8),
    ),
    "pallas": Backend(
        run=_pallas,
        platforms=GPU,
        lacks=("rule", "bias", "softcap", "window", "dropout"),
        multiple=32,
        head_dims=range(16, 257, 8),
    ),
    "splash": Backend(
        run=_splash,
        platforms=("tpu",),
        lacks=("rule", "bias", "dropout"),
        multiple=128,
        head_dims=range(8, 257, 8),
    ),
}

REMEDIES = {
    "rule": (
        "attention that is not causal in packed rows (a prefix, an encoder, a cache)",
        "prefix_lm=False",
    ),
    "bias": ("T5's relative position bias", "position='rope'"),
    "softcap": ("softcap of the scores", None),
    "window": ("sliding window", None),
    "dropout": ("dropout of attention weights", "dropout_rate=0.0"),
    "float32": ("float32", "dtype='bfloat16'"),
}
"""What a backend may lack, in words, and what else to write than another backend."""


def attend(
    query: Query,
    key: Keys,
    value: Keys,
    *,
    mask: AttentionMask | None = None,
    bias: Bias | None = None,
    softcap: float | None = None,
    dropout: Callable[[jax.Array], jax.Array] | None = None,
    backend: str = "xla",
) -> Query:
    """softmax(query . key + bias, over the keys that `mask` shows) . value, in float32 between the two products.

    Keys and values may have fewer heads, each for as many successive heads of the queries (grouped-query attention,
    Ainslie et al. 2023). `softcap` bounds the scores before the mask (Gemma 2); `dropout` is applied to the attention
    weights. On a mesh the kernels run under shard_map, over rows and heads. Raises InputError for a backend that does
    not exist or cannot do this.
    """
    chosen, mask = _backend(backend), AttentionMask(None) if mask is None else mask
    if backend == "xla":
        return _xla(query, key, value, mask, bias, softcap, dropout)
    asked = {
        "rule": mask.segment_ids is None,
        "bias": bias is not None,
        "softcap": softcap is not None,
        "window": mask.window is not None,
        "dropout": dropout is not None,
        "float32": query.dtype == jnp.float32,
    }
    _refuse(backend, [name for name, is_asked in asked.items() if is_asked])
    _check_shape(backend, query.shape[3], {query.shape[1], key.shape[1]})
    # What the backend does not read must not be cut into pieces for it.
    mask = mask.replace(dense=None) if "rule" in chosen.lacks else AttentionMask(mask.dense)
    return _on_mesh(
        backend, functools.partial(chosen.run, softcap=softcap), query, key, value, mask, bias
    )


def _on_mesh(
    backend: str,
    run: Callable[..., jax.Array],
    query: Query,
    key: Keys,
    value: Keys,
    mask: AttentionMask,
    bias: Any,
) -> Query:
    if jax.sharding.get_abstract_mesh().empty:
        return run(query, key, value, mask, bias)
    _check_split(backend, query.shape[2], key.shape[2], query.shape[0])

    def piece(
        query: Any, key: Any, value: Any, bias: Any, dense: Any, segment_ids: Any, local: Any
    ) -> jax.Array:
        return run(query, key, value, AttentionMask(dense, segment_ids, local, mask.window), bias)

    arrays = (query, key, value, bias, mask.dense, mask.segment_ids, mask.local)
    whole, (rows, heads) = PartitionSpec(), _placement()
    by_head = PartitionSpec(rows, None, heads)
    by_bias = whole if bias is None else PartitionSpec(rows if bias.shape[0] > 1 else None, heads)
    specs = (by_head, by_head, by_head, by_bias, PartitionSpec(rows), PartitionSpec(rows), whole)
    # Kernels have no rule for how their outputs vary over the mesh, so this is not checked.
    return jax.shard_map(piece, in_specs=specs, out_specs=by_head, check_vma=False)(*arrays)


def _placement() -> tuple[Any, Any]:
    """The mesh axes that the rules in force give to rows and to heads."""
    rows, _, heads, _ = logical_to_mesh_axes(Heads) or (None,) * 4
    return rows, heads


def check_config(config: ModelConfig, **asked: bool) -> None:
    """Raises InputError when the config's backend cannot compute its attention; `asked` are names of REMEDIES.

    What depends on more than the config (platform, lengths, mesh) is for `check_run`.
    """
    asked |= {"dropout": config.dropout_rate > 0, "float32": config.dtype == "float32"}
    _backend(config.attention_backend)
    _refuse(
        config.attention_backend, [name for name, is_asked in asked.items() if is_asked], config
    )
    _check_shape(config.attention_backend, config.head_dim, ())


def check_run(config: ModelConfig, lengths: Collection[int], device: Device) -> str:
    """Says on one line what attention runs on; call it inside parallel.sharding.use_mesh.

    `lengths`: of the rows that attention sees, in tokens. `device`: one of the mesh; it need not be there (a topology's).
    Raises InputError when the backend is for other devices, or cannot take such lengths or so many heads on this mesh.
    """
    name = config.attention_backend
    platforms = _backend(name).platforms
    if platforms and device.platform not in platforms:
        raise InputError(
            f"attention_backend={name!r} runs on {platforms[0]}, and these devices are {device.platform} "
            f"({device.device_kind}); write {_those(lambda other: device.platform in other.platforms)}"
        )
    if (
        name == "cudnn"
        and config.head_dim > 128
        and float(getattr(device, "compute_capability", 9.0)) < 9.0
    ):
        raise InputError(
            f"cuDNN takes a head_dim of {config.head_dim} on Hopper and later GPUs only, and this is a {device.device_kind}; "
            "write attention_backend='xla'"
        )
    _check_shape(name, config.head_dim, lengths)
    if name != "xla":
        _check_split(name, config.num_heads, getattr(config, "kv_heads", config.num_heads))
    decoding = "" if name == "xla" else "; with a KV cache (prompts, scoring, generation): xla"
    return f"attention: {name} on {device.device_kind}{decoding}"


def _backend(name: str) -> Backend:
    if name not in BACKENDS:
        raise unknown_name("attention backend", name, BACKENDS)
    return BACKENDS[name]


def _refuse(name: str, asked: Collection[str], config: ModelConfig | None = None) -> None:
    for what in asked:
        if what in BACKENDS[name].lacks:
            thing, remedy = REMEDIES[what]
            instead = _those(lambda other: not set(asked) & set(other.lacks))
            if remedy is not None and hasattr(config, remedy.split("=")[0]):
                instead = f"{remedy} or {instead}"
            raise InputError(f"attention_backend={name!r} has no {thing}; write {instead}")


def _those(can: Callable[[Backend], bool]) -> str:
    return " or ".join(
        f"attention_backend={name!r}" for name in BACKENDS if name == "xla" or can(BACKENDS[name])
    )


def _check_shape(name: str, head_dim: int, lengths: Iterable[int]) -> None:
    backend = BACKENDS[name]
    sizes = backend.head_dims
    if head_dim not in sizes:
        raise InputError(
            f"attention_backend={name!r} takes a head_dim from {sizes[0]} to {sizes[-1]} in steps of {sizes.step}, and this "
            f"model's is {head_dim}; write attention_backend='xla'"
        )
    for length in lengths:
        if length % backend.multiple:
            raise InputError(
                f"attention_backend={name!r} takes rows of a multiple of {backend.multiple} tokens, and these have {length}; "
                f"write LENGTHS that come to {-(-length // backend.multiple) * backend.multiple}, or attention_backend='xla'"
            )


def _check_split(name: str, heads: int, kv_heads: int, rows: int = 0) -> None:
    """Whether heads and rows divide over the mesh in force; a kernel gets whole ones."""
    mesh = jax.sharding.get_abstract_mesh()
    by_rows, by_heads = _placement()
    counts = (
        ("heads", heads, by_heads),
        ("heads of keys", kv_heads, by_heads),
        ("rows", rows, by_rows),
    )
    for what, count, axes in counts:
        axes = (axes,) if isinstance(axes, str) else axes or ()
        ways = math.prod(mesh.shape[axis] for axis in axes)
        if count % ways:
            raise InputError(
                f"attention_backend={name!r} runs on whole {what}, and {count} do not divide over {' x '.join(axes)} = {ways} "
                "devices; write a MESH that divides them, or attention_backend='xla'"
            )


def check_attention(model: ModelConfig, lengths: Mapping[str, int], mesh: Mesh) -> str:
    """What attention runs on, for the log. Raises InputError when it cannot on this mesh, at the plan's lengths."""
    rows = {shape[1] for shape, _ in batch_spec(model.architecture, 1, lengths).values()}
    with use_mesh(mesh):
        return check_run(model, rows, mesh.devices.flat[0])
