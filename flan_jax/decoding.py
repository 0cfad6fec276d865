"""What a model says about given prompts: log-probabilities of answers, and greedy continuations."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flan_jax.batch import PAD, Architecture, batch_spec
from flan_jax.partitioning import batch_sharding, placed_on

LENGTH_BUCKETS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192)
"""Lengths that batches are padded to, so that few shapes are compiled."""


def bucket(length: int) -> int:
    """The smallest bucket that holds `length` tokens."""
    return next((size for size in LENGTH_BUCKETS if size >= length), -(-length // 8192) * 8192)


class Scorer:
    """Log-probabilities of answers to prompts, and greedy continuations, in batches of `rows` rows on `mesh`.

    Token arrays come with their EOS and within the lengths that the model is to see.
    """

    def __init__(self, config: Any, params: Any, mesh: Mesh, *, rows: int, eos_id: int):
        ways = mesh.shape["data"] * mesh.shape["fsdp"]
        self.architecture: Architecture = config.architecture
        self.model, self.params, self.mesh, self.eos_id = config.build(), params, mesh, eos_id
        self.rows = -(-rows // ways) * ways

    def log_probs(self, prompts: Sequence[np.ndarray], answers: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """For each prompt, float32[answers]: the sum of the log-probabilities of each answer's tokens.

        The encoder-decoder reads a prompt once: its answers lie in one decoder row, each a segment of its own.
        """
        if self.architecture == "encoder_decoder":
            rows = [_answers_row(prompt, choices) for prompt, choices in zip(prompts, answers, strict=True)]
            return self._sums(rows, [len(choices) for choices in answers])
        rows = [
            _joined_row(prompt, answer) for prompt, choices in zip(prompts, answers, strict=True) for answer in choices
        ]
        flat = self._sums(rows, [1] * len(rows))
        bounds = np.cumsum([0, *map(len, answers)])
        return [np.concatenate(flat[start:stop]) for start, stop in itertools.pairwise(bounds)]

    def _sums(self, rows: Sequence[Mapping[str, np.ndarray]], segments: Sequence[int]) -> list[np.ndarray]:
        sums = []
        for some in self._batches(rows):
            batch = self._batch(some)
            ids, weights = batch["decoder_segment_ids"], batch["decoder_loss_weights"]
            log_probs = np.asarray(self._run(_token_log_probs, batch)) * weights
            counts = segments[len(sums) : len(sums) + len(some)]
            sums += [
                np.bincount(ids[i], log_probs[i], n + 1)[1 : n + 1].astype(np.float32) for i, n in enumerate(counts)
            ]
        return sums

    def greedy(self, prompts: Sequence[np.ndarray], max_length: int) -> list[np.ndarray]:
        """For each prompt the most probable tokens one after the other, up to `max_length`, EOS left out."""
        if self.architecture == "encoder_decoder":
            rows = [_answers_row(prompt, []) for prompt in prompts]
        else:
            rows = [_joined_row(prompt, np.zeros(0, np.int32)) for prompt in prompts]
        decode = functools.partial(_greedy, length=bucket(max_length), eos_id=self.eos_id)
        written: list[np.ndarray] = []
        for some in self._batches(rows):
            written += list(np.asarray(self._run(decode, self._batch(some)))[: len(some), :max_length])
        ends = [np.flatnonzero(row == self.eos_id) for row in written]
        return [row[: end[0]] if len(end) else row for row, end in zip(written, ends, strict=True)]

    def _batches(self, rows: Sequence[Mapping[str, np.ndarray]]) -> Iterator[Sequence[Mapping[str, np.ndarray]]]:
        for start in range(0, len(rows), self.rows):
            yield rows[start : start + self.rows]

    def _batch(self, rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """At most `self.rows` rows, padded to buckets and to that number."""
        longest = {name: max(len(row[name]) for row in rows) for name in rows[0]}
        inputs = bucket(longest.get("encoder_input_tokens", 0))
        targets = bucket(longest["decoder_input_tokens"])
        lengths = {"inputs": inputs if self.architecture == "encoder_decoder" else 0, "targets": targets}
        spec = batch_spec(self.architecture, self.rows, lengths)
        batch = {name: np.zeros(shape, dtype) for name, (shape, dtype) in spec.items()}
        for i, row in enumerate(rows):
            for name, values in row.items():
                batch[name][i, : len(values)] = values
        return batch

    def _run(self, function: Any, batch: Mapping[str, np.ndarray]) -> jax.Array:
        placed = jax.device_put(dict(batch), batch_sharding(self.mesh))
        with placed_on(self.mesh):
            return _compiled(function, self.model)(self.params, placed)


@functools.lru_cache(maxsize=64)
def _jitted(function: Any, keywords: tuple, model: nn.Module) -> Any:
    return jax.jit(functools.partial(function, model, **dict(keywords)))


def _compiled(function: Any, model: nn.Module) -> Any:
    """jax.jit, made once for each function and model, so that scoring before and after training compiles once."""
    if isinstance(function, functools.partial):
        return _jitted(function.func, tuple(sorted(function.keywords.items())), model)
    return _jitted(function, (), model)


def _answers_row(prompt: np.ndarray, answers: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """An encoder-decoder row: the prompt on one side, all its answers as segments on the other."""
    targets = np.concatenate([*answers, np.zeros(0, np.int32)])
    segments = np.concatenate(
        [*(np.full(len(a), i, np.int32) for i, a in enumerate(answers, 1)), np.zeros(0, np.int32)]
    )
    positions = np.concatenate([*(np.arange(len(a), dtype=np.int32) for a in answers), np.zeros(0, np.int32)])
    return {
        "encoder_input_tokens": prompt,
        "encoder_segment_ids": np.ones(len(prompt), np.int32),
        "encoder_positions": np.arange(len(prompt), dtype=np.int32),
        "decoder_target_tokens": targets,
        "decoder_input_tokens": np.where(positions == 0, PAD, np.roll(targets, 1)),
        "decoder_segment_ids": segments,
        "decoder_positions": positions,
        "decoder_loss_weights": np.ones(len(targets), np.float32),
    }


def _joined_row(prompt: np.ndarray, answer: np.ndarray) -> dict[str, np.ndarray]:
    """A decoder-only row: prompt and answer in one sequence, the prompt as prefix."""
    targets = np.concatenate([prompt, answer])
    index = np.arange(len(targets), dtype=np.int32)
    return {
        "decoder_target_tokens": targets,
        "decoder_input_tokens": np.where(index == 0, PAD, np.roll(targets, 1)),
        "decoder_segment_ids": np.ones(len(targets), np.int32),
        "decoder_positions": index,
        "decoder_causal_attention": (index <= len(prompt)).astype(np.int32),
        "decoder_loss_weights": (index >= len(prompt)).astype(np.float32),
    }


def _token_log_probs(model: Any, params: Any, batch: Mapping[str, jax.Array]) -> jax.Array:
    """float32[B, D]: the log-probability of each target token."""
    variables = {"params": params}
    if "encoder_input_tokens" in batch:
        encoded = model.apply(variables, batch, method="encode")
        hidden = model.apply(
            variables,
            encoded,
            batch["encoder_segment_ids"],
            batch["decoder_input_tokens"],
            segment_ids=batch["decoder_segment_ids"],
            cross_segment_ids=jnp.minimum(batch["decoder_segment_ids"], 1),
            method="decode_hidden",
        )
    else:
        hidden = model.apply(variables, batch, method="hidden")
    logits = model.apply(variables, hidden, method="logits")
    at_target = jnp.take_along_axis(logits, batch["decoder_target_tokens"][..., None], axis=-1)[..., 0]
    return at_target - jax.nn.logsumexp(logits, axis=-1)


def _greedy(model: Any, params: Any, batch: Mapping[str, jax.Array], *, length: int, eos_id: int) -> jax.Array:
    """int32[B, length]: greedy tokens; after EOS, EOS again."""
    if "encoder_input_tokens" in batch:
        step, tokens, position, cache = _start_pair(model, params, batch, length)
    else:
        step, tokens, position, cache = _start_joined(model, params, batch, length)
    rows = tokens.shape[0]

    def unfinished(carry: Any) -> jax.Array:
        i, _, _, done, _ = carry
        return (i < length) & ~jnp.all(done)

    def advance(carry: Any) -> Any:
        i, token, written, done, cache = carry
        written = written.at[:, i].set(token)
        done = done | (token == eos_id)
        logits, cache = step(cache, token, position + i)
        return i + 1, jnp.where(done, eos_id, jnp.argmax(logits, axis=-1)), written, done, cache

    side = "encoder" if "encoder_segment_ids" in batch else "decoder"
    empty = ~jnp.any(batch[f"{side}_segment_ids"] > 0, axis=1)  # rows of padding wait for nothing
    carry = (0, tokens, jnp.full((rows, length), eos_id, jnp.int32), empty, cache)
    return jax.lax.while_loop(unfinished, advance, carry)[2]


def _start_pair(model: Any, params: Any, batch: Mapping[str, jax.Array], length: int) -> Any:
    """(step function, first tokens, position of the first token, cache) of an encoder-decoder."""
    encoded = model.apply({"params": params}, batch, method="encode")

    def step(cache: Any, token: jax.Array, position: jax.Array) -> Any:
        hidden, new = model.apply(
            {"params": params, **cache},
            encoded,
            batch["encoder_segment_ids"],
            token[:, None],
            positions=jnp.broadcast_to(position, token.shape)[:, None],
            cache_length=length + 1,
            method="decode_hidden",
            mutable=["cache"],
        )
        return model.apply({"params": params}, hidden, method="logits")[:, 0], new

    rows = encoded.shape[0]
    logits, cache = step({}, jnp.full((rows,), PAD, jnp.int32), jnp.zeros((), jnp.int32))
    return step, jnp.argmax(logits, axis=-1), jnp.ones((), jnp.int32), cache


def _start_joined(model: Any, params: Any, batch: Mapping[str, jax.Array], length: int) -> Any:
    """The same of a decoder: the prompt goes into the cache with one call."""
    prompts = jnp.sum(batch["decoder_segment_ids"], axis=1)
    cache_length = batch["decoder_input_tokens"].shape[1] + length + 1

    def step(cache: Any, token: jax.Array, position: jax.Array) -> Any:
        hidden, new = model.apply(
            {"params": params, **cache},
            token[:, None],
            positions=position[:, None],
            cache_length=cache_length,
            method="decode_hidden",
            mutable=["cache"],
        )
        return model.apply({"params": params}, hidden, method="logits")[:, 0], new

    # The inputs are shifted right: position p holds prompt token p - 1, so the prompt's last token goes in on its own.
    hidden, cache = model.apply(
        {"params": params},
        _with_last(batch["decoder_input_tokens"], batch["decoder_target_tokens"], prompts),
        positions=jnp.broadcast_to(jnp.arange(cache_length - length)[None], (prompts.shape[0], cache_length - length)),
        segment_ids=(jnp.arange(cache_length - length)[None] <= prompts[:, None]).astype(jnp.int32),
        prefix=(jnp.arange(cache_length - length)[None] <= prompts[:, None]).astype(jnp.int32),
        cache_length=cache_length,
        method="decode_hidden",
        mutable=["cache"],
    )
    last = jnp.take_along_axis(hidden, prompts[:, None, None], axis=1)
    logits = model.apply({"params": params}, last, method="logits")[:, 0]
    return step, jnp.argmax(logits, axis=-1), prompts + 1, cache


def _with_last(inputs: jax.Array, targets: jax.Array, prompts: jax.Array) -> jax.Array:
    """Decoder inputs one longer: PAD, then the whole prompt."""
    whole = jnp.pad(inputs, ((0, 0), (0, 1)))
    last = jnp.take_along_axis(targets, jnp.maximum(prompts - 1, 0)[:, None], axis=1)[:, 0]
    return whole.at[jnp.arange(whole.shape[0]), prompts].set(last)
