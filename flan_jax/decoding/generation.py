"""Continuations: the most probable token each time, sampled tokens, or beam search."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flan_jax.decoding.prefill import (
    DecodeState,
    decode_step,
    gather_beams,
    prefill,
    repeat_rows,
    unroll_layers,
)
from flan_jax.errors import InputError

NEVER = -1e9
"""The score of what must not be chosen: finite, as in transformers, so that sums with it stay numbers."""

Settings = dict[str, jax.Array]

Choose = Callable[[jax.Array, jax.Array], jax.Array]
"""(float32[B, V] logits, the number of the token) -> int32[B]."""


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """How text is generated. Fields mean what they mean in transformers' generate.

    Attributes:
      max_length: the largest number of new tokens; None for the default of the caller.
      temperature: 0.0 for the most probable token each time; above that, tokens are sampled from
        softmax(logits / temperature).
      top_k: sample only from so many of the most probable tokens; None for all.
      top_p: sample only from the fewest tokens whose probabilities add up to this (nucleus
        sampling, Holtzman et al. 2020); None for all.
      num_beams: above 1 for beam search. The search of a prompt stops when none of its beams could,
        at its present length, beat the worst of num_beams finished ones.
      length_penalty: beam search ranks by log-probability / length^length_penalty.
      seed: the seed of sampling.

    Raises:
      InputError: a setting is out of its range, or settings contradict each other.
    """

    max_length: int | None = None
    temperature: int | float = 0.0
    top_k: int | None = None
    top_p: int | float | None = None
    num_beams: int = 1
    length_penalty: int | float = 1.0
    seed: int = 0

    def __post_init__(self):
        self._check_integers()
        if not 0.0 <= self.temperature < math.inf:
            raise InputError(
                f"GenerationConfig.temperature is {self.temperature}; write 0.0 (greedy) or more"
            )
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise InputError(
                f"GenerationConfig.top_p is {self.top_p}; write a probability above 0.0, up to 1.0"
            )
        if not math.isfinite(self.length_penalty):
            raise InputError(
                f"GenerationConfig.length_penalty is {self.length_penalty}; write a number"
            )
        self._check_combination()

    def _check_integers(self):
        for name, least in (("max_length", 1), ("num_beams", 1), ("seed", 0), ("top_k", 1)):
            value = getattr(self, name)
            if value is None and name in ("max_length", "top_k"):
                continue
            # A bool is an int, too.
            if type(value) is not int or value < least:
                raise InputError(
                    f"GenerationConfig.{name} is {value!r}; write a whole number of at least "
                    f"{least}"
                )
        if self.seed >= 2**32:
            raise InputError(
                f"GenerationConfig.seed is {self.seed}; write a whole number below 2**32"
            )

    def _check_combination(self):
        is_sampling = self.temperature > 0
        if not is_sampling and (self.top_k is not None or self.top_p is not None):
            raise InputError(
                f"GenerationConfig has top_k={self.top_k} and top_p={self.top_p} but "
                "temperature=0.0, which takes the most probable token whatever these are; write a "
                "temperature above 0.0, or leave them out"
            )
        if is_sampling and self.num_beams > 1:
            raise InputError(
                f"GenerationConfig has temperature={self.temperature} and "
                f"num_beams={self.num_beams}; beam search does not sample: write temperature=0.0, "
                "or num_beams=1"
            )
        if self.num_beams == 1 and self.length_penalty != 1.0:
            raise InputError(
                f"GenerationConfig has length_penalty={self.length_penalty} but num_beams=1, so "
                "that there is one continuation and nothing to rank; write num_beams=4 or the "
                "like, or leave length_penalty out"
            )

    def with_default_length(self, max_length: int) -> "GenerationConfig":
        """Returns the settings with this max_length where it is None."""
        if self.max_length is not None:
            return self
        return dataclasses.replace(self, max_length=max_length)

    @property
    def new_tokens(self) -> int:
        """The largest number of new tokens.

        Raises:
          InputError: max_length is None, so that the caller must set it.
        """
        if self.max_length is None:
            raise InputError(
                "GenerationConfig.max_length is None; write the largest number of new tokens"
            )
        return self.max_length

    def compiled(self) -> dict[str, Any]:
        """What a compilation is for."""
        nucleus = self.top_p is not None and self.top_p < 1.0
        return {
            "sample": self.temperature > 0,
            "top_k": self.top_k,
            "nucleus": nucleus,
            "num_beams": self.num_beams,
        }

    def settings(self) -> dict[str, Any]:
        """What can change without compiling again."""
        return {
            "max_length": np.int32(self.new_tokens),
            "temperature": np.float32(self.temperature),
            "top_p": np.float32(self.top_p or 1.0),
            "length_penalty": np.float32(self.length_penalty),
            "seed": np.uint32(self.seed),
        }


GREEDY = GenerationConfig()
"""The most probable token each time."""


def continuations(
    model: Any,
    params: Any,
    batch: dict[str, jax.Array],
    settings: Settings,
    *,
    length: int,
    eos_id: int,
    sample: bool,
    top_k: int | None,
    nucleus: bool,
    num_beams: int,
    regathers: bool = False,
) -> jax.Array:
    """int32[B, length]: up to settings["max_length"] tokens for each row; EOS and after it, EOS again.

    `batch` is a `prompt_batch` and "streams", int32[B]: which of the seed's random streams is the row's, -1
    for rows of padding, which nothing waits for. `regathers`: as in Reading.
    """
    streams, limit, size = (
        batch["streams"],
        settings["max_length"],
        {"length": length, "eos_id": eos_id},
    )
    empty = streams < 0
    model, reading = unroll_layers(
        model, prefill(model, params, batch, length).replace(regathers=regathers)
    )
    if num_beams > 1:
        return _beam_search(model, params, reading, settings, empty, beams=num_beams, **size)
    choose = _sampler(settings, streams, top_k, nucleus) if sample else _most_probable
    return _token_by_token(model, params, reading, limit, empty, choose, **size)


def _most_probable(logits: jax.Array, i: jax.Array) -> jax.Array:
    return jnp.argmax(logits, axis=-1)


def _sampler(settings: Settings, streams: jax.Array, top_k: int | None, nucleus: bool) -> Choose:
    """Token i of a row is drawn with fold_in(fold_in(key(seed), stream), i), whatever the rows beside it."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(settings["seed"]), streams)

    def sample(logits: jax.Array, i: jax.Array) -> jax.Array:
        kept = restricted(
            logits / settings["temperature"], top_k, settings["top_p"] if nucleus else None
        )
        return jax.vmap(jax.random.categorical)(
            jax.vmap(jax.random.fold_in, (0, None))(keys, i), kept
        )

    return sample


def _token_by_token(
    model: Any, params: Any, reading: DecodeState, limit: jax.Array, done: jax.Array, choose: Choose, *, length: int,
    eos_id: int,
) -> jax.Array:  # fmt: skip
    """int32[B, length]: the tokens that `choose` takes, until all rows are done."""

    def unfinished(carry: Any) -> jax.Array:
        i, _, done, _ = carry
        return (i < limit) & ~jnp.all(done)

    def one_more(carry: Any) -> Any:
        i, written, done, reading = carry
        token = jnp.where(done, eos_id, choose(reading.logits, i))
        return (
            i + 1,
            written.at[:, i].set(token),
            done | (token == eos_id),
            decode_step(model, params, reading, token, i),
        )

    written = jnp.full((done.shape[0], length), eos_id, jnp.int32)
    return jax.lax.while_loop(
        unfinished, one_more, (jnp.zeros((), jnp.int32), written, done, reading)
    )[1]


def restricted(
    logits: Float[Array, "rows vocab"], top_k: int | None, top_p: Float[Array, ""] | float | None
) -> Float[Array, "rows vocab"]:
    """The logits of the tokens that may be sampled and -inf for all others: first the top_k, of these the nucleus.

    Tokens as probable as the last one that is kept are kept, too.
    """
    if top_k is None and top_p is None:
        return logits
    vocab = logits.shape[-1]
    ordered = jax.lax.top_k(logits, min(top_k or vocab, vocab))[0]
    if top_p is not None:
        probabilities = jax.nn.softmax(ordered, axis=-1)
        # Summed from the least probable on, as transformers does: small numbers first lose the least to rounding.
        no_more_probable = jax.lax.cumsum(probabilities, axis=1, reverse=True)
        ordered = (
            jnp.where(no_more_probable > 1 - top_p, ordered, jnp.inf).at[:, 0].set(ordered[:, 0])
        )
    return jnp.where(logits < jnp.min(ordered, axis=-1, keepdims=True), -jnp.inf, logits)


def _beam_search(
    model: Any, params: Any, reading: DecodeState, settings: Settings, empty: jax.Array, *, length: int, eos_id: int,
    beams: int,
) -> jax.Array:  # fmt: skip
    """int32[B, length]: the best of `beams` finished continuations, by transformers' rules (early_stopping=False)."""
    rows, limit = empty.shape[0], settings["max_length"]
    written = jnp.full((rows, beams, length), eos_id, jnp.int32)
    # All beams of a row begin alike: only the first counts, or all would go on alike.
    scores = jnp.where(jnp.arange(beams)[None] == 0, jnp.zeros((rows, 1)), NEVER)
    finished = (written, jnp.full((rows, beams), NEVER), jnp.zeros((rows, beams), bool))
    start = (
        jnp.zeros((), jnp.int32),
        written,
        scores,
        finished,
        ~empty,
        repeat_rows(reading, beams),
    )

    def unfinished(carry: Any) -> jax.Array:
        i, _, _, _, improvable, _ = carry
        return (i < limit) & jnp.any(improvable)

    def one_more(carry: Any) -> Any:
        i, running, scores, finished, improvable, reading = carry
        from_beam, token, scores = _extensions(reading.logits, scores)
        running = _of_row(running, from_beam).at[:, :, i].set(token)
        ends = (token == eos_id) | (i + 1 >= limit)
        norm = (i + 1).astype(jnp.float32) ** settings["length_penalty"]
        # An ending counts among the best `beams` extensions only; the others are there to have enough to go on with.
        ending = ends & (jnp.arange(2 * beams)[None] < beams) & improvable[:, None]
        finished = _best_finished(
            finished, (running, jnp.where(ending, scores / norm, NEVER), ending)
        )
        scores, chosen = jax.lax.top_k(scores + jnp.where(ends, NEVER, 0.0), beams)
        running, from_beam, token = (_of_row(each, chosen) for each in (running, from_beam, token))
        reading = decode_step(model, params, gather_beams(reading, from_beam), token.reshape(-1), i)
        improvable = improvable & _can_improve(scores[:, 0] / norm, finished)
        return i + 1, running, scores, finished, improvable, reading

    return jax.lax.while_loop(unfinished, one_more, start)[3][0][:, 0]


def _extensions(logits: jax.Array, scores: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(beam, token, score), each [B, 2K]: the best extensions by one token of K beams, from [B K, V] and [B, K].

    Twice as many as beams, because each beam has one extension, EOS, that cannot go on.
    """
    rows, beams = scores.shape
    vocab = logits.shape[-1]
    log_probs = jax.nn.log_softmax(logits).reshape(rows, beams, vocab) + scores[:, :, None]
    best, index = jax.lax.top_k(log_probs.reshape(rows, beams * vocab), 2 * beams)
    return index // vocab, index % vocab, best


def _best_finished(finished: Any, more: Any) -> Any:
    """The K best of (tokens, scores, whether there is one) [B, K ...] and of further ones, best first."""
    tokens, scores, real = (
        jnp.concatenate(pair, axis=1) for pair in zip(finished, more, strict=True)
    )
    best, index = jax.lax.top_k(scores, finished[1].shape[1])
    return _of_row(tokens, index), best, _of_row(real, index)


def _can_improve(best_running: jax.Array, finished: Any) -> jax.Array:
    """bool[B]: whether K continuations have not ended yet, or the best running one now beats the worst of them."""
    _, scores, real = finished
    return ~jnp.all(real, axis=1) | (best_running > jnp.min(scores, axis=1))


def _of_row(values: jax.Array, index: jax.Array) -> jax.Array:
    """values[b, index[b, k]], for values [B, N ...] and int32[B, K]."""
    return jax.vmap(lambda row, at: row[at])(values, index)
