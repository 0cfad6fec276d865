"""Prompts read once: padding them into a batch, and the key-value cache that generation and scoring go on from."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from flan_jax import pytrees
from flan_jax.batch import PAD, Architecture
from flan_jax.errors import InputError

SHORT_BUCKETS = (8, 16, 24, 32, 48, 64, 96, 128)
"""Lengths that batches are padded to, so that few shapes are compiled; from there on four to each doubling."""


def bucket(length: int) -> int:
    """The smallest bucket that holds `length` tokens; above 128 at most a fifth of it is padding."""
    for size in SHORT_BUCKETS:
        if size >= length:
            return size
    step = 2 ** ((length - 1).bit_length() - 3)
    return -(-length // step) * step


def prompt_batch(
    architecture: Architecture, prompts: Sequence[np.ndarray], rows: int
) -> dict[str, np.ndarray]:
    """At most `rows` prompts as encoder_* or decoder_* arrays int32[rows, P], padded to a bucket and to `rows` rows.

    A decoder reads PAD before the prompt, as in training. Raises InputError for a prompt without tokens.
    """
    if not all(map(len, prompts)):
        raise InputError("a prompt has no tokens; a prompt ends with EOS, so write at least that")
    side, start = ("encoder", 0) if architecture == "encoder_decoder" else ("decoder", 1)
    tokens = np.full((rows, start + bucket(max(map(len, prompts)))), PAD, np.int32)
    segment_ids = np.zeros_like(tokens)
    for i, prompt in enumerate(prompts):
        tokens[i, start : start + len(prompt)] = prompt
        segment_ids[i, : start + len(prompt)] = 1
    return {f"{side}_input_tokens": tokens, f"{side}_segment_ids": segment_ids}


class DecodeState(flax.struct.PyTreeNode):
    """Rows that were read so far, and what the model says comes next.

    inputs: what decode_hidden takes before the tokens: the encoder's outputs and segment ids, or nothing.
    positions: int32[B], of the first token after the prompt. logits: float32[B, V], of the next token.
    cache: leaves [..., B, cache_length, heads, head_dim], after an axis of layers where these are scanned.
    regathers: whether each token gathers anew what fsdp splits of the parameters.
    """

    inputs: tuple[jax.Array, ...]
    positions: jax.Array
    logits: jax.Array
    cache: Any
    cache_length: int = flax.struct.field(pytree_node=False)
    regathers: bool = flax.struct.field(pytree_node=False, default=False)


def prefill(model: Any, params: Any, batch: dict[str, jax.Array], room: int) -> DecodeState:
    """The prompts of a `prompt_batch`, with room for `room` tokens behind each.

    An encoder reads its prompt and its decoder PAD; a decoder reads the prompt as a prefix seen from both sides.
    """
    variables = {"params": params}
    if "encoder_input_tokens" in batch:
        inputs = (model.apply(variables, batch, method="encode"), batch["encoder_segment_ids"])
        tokens = jnp.full((inputs[0].shape[0], 1), PAD, jnp.int32)
        seen, prefix = jnp.ones_like(tokens), {}
    else:
        inputs, tokens, seen = (), batch["decoder_input_tokens"], batch["decoder_segment_ids"]
        prefix = {"prefix": seen}
    rows, length = tokens.shape
    hidden, cache = model.apply(
        variables,
        *inputs,
        tokens,
        positions=jnp.broadcast_to(jnp.arange(length)[None], (rows, length)),
        segment_ids=seen,
        cache_length=length + room,
        method="decode_hidden",
        mutable=["cache"],
        **prefix,
    )
    sizes = jnp.sum(seen, axis=1)
    last = jnp.take_along_axis(hidden, jnp.maximum(sizes - 1, 0)[:, None, None], axis=1)
    logits = model.apply(variables, last, method="logits")[:, 0]
    return DecodeState(inputs, sizes, logits, cache, length + room)


def decode_tokens(
    model: Any, params: Any, reading: DecodeState, tokens: jax.Array, index: jax.Array | int
) -> tuple[jax.Array, Any]:
    """(hidden states [B, N, M], cache) after int32[B, N] `tokens`, the first of which is number `index` after the prompt."""
    positions = reading.positions[:, None] + index + jnp.arange(tokens.shape[1])[None]
    return model.apply(
        {"params": params, **reading.cache},
        *reading.inputs,
        tokens,
        positions=positions,
        cache_length=reading.cache_length,
        method="decode_hidden",
        mutable=["cache"],
    )


def unroll_layers(model: Any, reading: DecodeState) -> tuple[Any, DecodeState]:
    """The same model and reading with the layers one by one, whose caches a loop over `advance` writes in place.

    A scan over layers would copy the whole cache in and out again for each token.
    """
    config = dataclasses.replace(model.config, scan_layers=False)
    return config.build(), reading.replace(cache=pytrees.unstacked(reading.cache))


def decode_step(
    model: Any, params: Any, reading: DecodeState, token: jax.Array, index: jax.Array
) -> DecodeState:
    """One token on, of an `unrolled` model: `token` is int32[B], number `index` after the prompt.

    `params` may be stacked. They are taken apart here, inside the loop, so that XLA can read each layer where it lies:
    taken apart before, they would be in memory twice.
    """
    if reading.regathers:
        # What depends on the token XLA cannot take out of the loop: otherwise it gathers all layers before, and keeps them.
        params, token = jax.lax.optimization_barrier((params, token))
    params = pytrees.unstacked(params)
    hidden, cache = decode_tokens(model, params, reading, token[:, None], index)
    return reading.replace(
        logits=model.apply({"params": params}, hidden, method="logits")[:, 0], cache=cache
    )


def repeat_rows(reading: DecodeState, times: int) -> DecodeState:
    """Each row `times` times, beside one another."""
    copies = functools.partial(jnp.repeat, repeats=times, axis=0)
    cache = jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=_rows_axis(leaf)), reading.cache)
    inputs, positions, logits = jax.tree.map(
        copies, (reading.inputs, reading.positions, reading.logits)
    )
    return reading.replace(inputs=inputs, positions=positions, logits=logits, cache=cache)


def gather_beams(reading: DecodeState, beams: jax.Array) -> DecodeState:
    """Of B prompts with K rows each, row k goes on from row beams[b, k] of its prompt; `beams` is int32[B, K].

    The keys and values of the encoder's outputs are the same in all rows of a prompt and stay where they are.
    """

    def pick(name: str, leaf: jax.Array) -> jax.Array:
        if name.split("/")[-1].startswith("cross_"):
            return leaf
        axis = _rows_axis(leaf)
        grouped = leaf.reshape(*leaf.shape[:axis], *beams.shape, *leaf.shape[axis + 1 :])
        picked = jax.vmap(functools.partial(jnp.take, axis=axis), in_axes=(axis, 0), out_axes=axis)(
            grouped, beams
        )
        return picked.reshape(leaf.shape)

    return reading.replace(cache=pytrees.map_named(pick, reading.cache))


def _rows_axis(leaf: jax.Array) -> int:
    return leaf.ndim - 4  # [..., rows, length, heads, head_dim]
