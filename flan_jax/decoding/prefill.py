"""Prefill and decode steps: prompts are read once into a key-value cache that decoding extends.

In shapes, B are rows, P is the padded length of a prompt, V the vocabulary, M the model's width.
"""

import dataclasses
import functools
from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from flan_jax import pytrees
from flan_jax.batch import PAD, Architecture
from flan_jax.errors import InputError
from flan_jax.models.config import Model
from flan_jax.pytrees import Params, Tree

SHORT_BUCKETS = (8, 16, 24, 32, 48, 64, 96, 128)
"""Lengths up to 128 that batches are padded to, so that few shapes are compiled."""


def bucket(length: int) -> int:
    """Returns the length that a batch of this length is padded to.

    Above the SHORT_BUCKETS there are four buckets between a power of two and the next, so that at
    most a fifth of a bucket is padding.

    >>> bucket(9), bucket(129), bucket(257)
    (16, 160, 320)

    Args:
      length: the largest number of tokens in a row of the batch.

    Returns:
      The padded length, at least `length`.
    """
    for size in SHORT_BUCKETS:
        if size >= length:
            return size
    step = 2 ** ((length - 1).bit_length() - 3)
    return -(-length // step) * step


def prompt_batch(
    architecture: Architecture, prompts: Sequence[np.ndarray], rows: int
) -> dict[str, np.ndarray]:
    """Pads prompts into a batch.

    Args:
      architecture: "encoder_decoder" or "decoder".
      prompts: at most `rows` token arrays, as the model reads them: a decoder's begin with the
        start token of the row format, where it has one.
      rows: rows of the batch; those without a prompt are padding.

    Returns:
      {side}_input_tokens and {side}_segment_ids, int32[rows, P], where the side is the encoder or
      the decoder.

    Raises:
      InputError: a prompt has no tokens.
    """
    lengths = [len(prompt) for prompt in prompts]
    if 0 in lengths:
        raise InputError(
            "a prompt has no tokens, so that nothing says what comes first; write a text, or a "
            "row format that begins with a start token"
        )
    if architecture == "encoder_decoder":
        side = "encoder"
        length = bucket(max(lengths))
    else:
        side = "decoder"
        # The bucket is of the tokens behind the first, which mostly is the start token.
        length = 1 + bucket(max(lengths) - 1)

    shape = (rows, length)
    tokens = np.full(shape, PAD, np.int32)
    segment_ids = np.zeros(shape, np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
        segment_ids[row, : len(prompt)] = 1
    return {f"{side}_input_tokens": tokens, f"{side}_segment_ids": segment_ids}


class DecodeState(flax.struct.PyTreeNode):
    """Decoding state after the prompt.

    Attributes:
      inputs: what `decode_hidden` takes before the tokens: the encoder's outputs and segment ids
        for an encoder-decoder, () for a decoder.
      positions: int32[B], the position of the first token after the prompt.
      logits: float32[B, V] of the next token.
      cache: the KV cache. Leaves are [..., B, cache_length, heads, head_dim]; the first axis is
        that of the layers if these are scanned.
      cache_length: positions in the cache.
      gather_per_token: whether parameters that are split over `fsdp` are gathered for each token,
        instead of once for all tokens.
    """

    inputs: tuple[jax.Array, ...]
    positions: jax.Array
    logits: jax.Array
    cache: Tree
    cache_length: int = flax.struct.field(pytree_node=False)
    gather_per_token: bool = flax.struct.field(pytree_node=False, default=False)


def prefill(
    model: Model, params: Params, batch: dict[str, jax.Array], new_tokens: int
) -> DecodeState:
    """Reads prompts into a KV cache.

    An encoder reads its prompt, and its decoder PAD. A decoder with prefix_lm reads the prompt as a
    prefix in which each token attends to all others.

    Args:
      model: the model.
      params: its parameters.
      batch: a `prompt_batch`.
      new_tokens: how many further tokens the cache must hold.
    """
    variables = {"params": params}
    prefix = {}
    if "encoder_input_tokens" in batch:
        encoded = model.apply(variables, batch, method="encode")
        inputs = (encoded, batch["encoder_segment_ids"])
        tokens = jnp.full((encoded.shape[0], 1), PAD, jnp.int32)
        segment_ids = jnp.ones_like(tokens)
    else:
        inputs = ()
        tokens = batch["decoder_input_tokens"]
        segment_ids = batch["decoder_segment_ids"]
        prefix = {"prefix": segment_ids}

    rows, length = tokens.shape
    hidden, cache = model.apply(
        variables,
        *inputs,
        tokens,
        positions=jnp.broadcast_to(jnp.arange(length)[None], (rows, length)),
        segment_ids=segment_ids,
        cache_length=length + new_tokens,
        method="decode_hidden",
        mutable=["cache"],
        **prefix,
    )

    lengths = jnp.sum(segment_ids, axis=1)
    last = jnp.maximum(lengths - 1, 0)
    last_hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)
    logits = model.apply(variables, last_hidden, method="logits")
    return DecodeState(
        inputs=inputs,
        positions=lengths,
        logits=logits[:, 0],
        cache=cache,
        cache_length=length + new_tokens,
    )


def decode_tokens(
    model: Model,
    params: Params,
    state: DecodeState,
    tokens: jax.Array,
    *,
    index: jax.Array | int,
) -> tuple[jax.Array, Tree]:
    """Runs the decoder on several tokens after the prompt.

    Args:
      model: the model.
      params: its parameters.
      state: the state that the tokens follow.
      tokens: int32[B, N].
      index: the number of the first of these tokens after the prompt, from 0.

    Returns:
      (hidden states [B, N, M] in the compute dtype, the extended cache).
    """
    offsets = jnp.arange(tokens.shape[1])
    positions = state.positions[:, None] + index + offsets[None]
    return model.apply(
        {"params": params, **state.cache},
        *state.inputs,
        tokens,
        positions=positions,
        cache_length=state.cache_length,
        method="decode_hidden",
        mutable=["cache"],
    )


def unroll_layers(model: Model, state: DecodeState) -> tuple[Model, DecodeState]:
    """Returns the model and the state with separate layers instead of scanned ones.

    A loop over `decode_step` writes their caches in place, where a scan over layers would copy the
    whole cache in and out again for each token.

    Args:
      model: a model with scanned layers.
      state: its decoding state; the cache is stacked over the layers.

    Returns:
      (model, state) with one cache for each layer.
    """
    config = dataclasses.replace(model.config, scan_layers=False)
    return config.build(), state.replace(cache=pytrees.unstacked(state.cache))


def decode_step(
    model: Model,
    params: Params,
    state: DecodeState,
    token: jax.Array,
    *,
    index: jax.Array,
) -> DecodeState:
    """Runs one decoding step.

    Args:
      model: a model with separate layers, see `unroll_layers`.
      params: its parameters; their layers may be stacked.
      state: the state that the token follows.
      token: int32[B].
      index: the number of the token after the prompt, from 0.
    """
    if state.gather_per_token:
        # XLA cannot move what depends on the token out of the loop. Otherwise it gathers all layers
        # before the loop, and keeps them.
        params, token = jax.lax.optimization_barrier((params, token))
    # The layers are separated inside the loop, so that XLA reads each layer where it lies. Before
    # the loop they would be copied, and be in memory twice.
    params = pytrees.unstacked(params)
    hidden, cache = decode_tokens(model, params, state, token[:, None], index=index)
    logits = model.apply({"params": params}, hidden, method="logits")
    return state.replace(logits=logits[:, 0], cache=cache)


def repeat_rows(state: DecodeState, times: int) -> DecodeState:
    """Returns the state with each row `times` times, one after the other.

    Args:
      state: the decoding state of `rows` rows.
      times: how often each row is repeated.

    Returns:
      The state of rows * times rows; the copies of a row follow one another.
    """

    def repeat(leaf: jax.Array) -> jax.Array:
        return jnp.repeat(leaf, repeats=times, axis=0)

    def repeat_cache(leaf: jax.Array) -> jax.Array:
        return jnp.repeat(leaf, times, axis=_rows_axis(leaf))

    return state.replace(
        inputs=jax.tree.map(repeat, state.inputs),
        positions=repeat(state.positions),
        logits=repeat(state.logits),
        cache=jax.tree.map(repeat_cache, state.cache),
    )


def gather_beams(state: DecodeState, beams: jax.Array) -> DecodeState:
    """Reorders the cache when beams continue from other beams of their prompt.

    The keys and values of the encoder's outputs are the same for all beams of a prompt and stay
    where they are.

    Args:
      state: the state of B prompts with K rows each.
      beams: int32[B, K]; row k of prompt b continues from row beams[b, k] of that prompt.
    """

    def gather(name: str, leaf: jax.Array) -> jax.Array:
        _, _, last_name = name.rpartition("/")
        if last_name.startswith("cross_"):
            return leaf
        axis = _rows_axis(leaf)
        grouped = leaf.reshape(
            *leaf.shape[:axis], *beams.shape, *leaf.shape[axis + 1 :]
        )
        take = functools.partial(jnp.take, axis=axis)
        gathered = jax.vmap(take, in_axes=(axis, 0), out_axes=axis)(grouped, beams)
        return gathered.reshape(leaf.shape)

    return state.replace(cache=pytrees.map_named(gather, state.cache))


def _rows_axis(leaf: jax.Array) -> int:
    return leaf.ndim - 4  # [..., rows, length, heads, head_dim]
