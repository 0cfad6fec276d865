"""Generation of text: greedy decoding, sampling and beam search.

In shapes, B are rows, K are beams, L is the padded number of new tokens, V the vocabulary.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

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
from flan_jax.errors import InputError, check_seed, is_number
from flan_jax.models.config import Model
from flan_jax.pytrees import Params

IMPOSSIBLE = -1e9
"""The score of what must not be chosen; finite, as in transformers, so that sums stay numbers."""

ChooseToken: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]
"""(float32[B, V] logits, the number of the token) -> int32[B] tokens."""


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """How text is generated. Fields mean what they mean in transformers' generate.

    Attributes:
      max_length: the largest number of new tokens; None for the default of the caller.
      temperature: 0.0 for the most probable token each time; above that, tokens are sampled from
        softmax(logits / temperature).
      top_k: sample only from this many most probable tokens; None for all.
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
        if not (is_number(self.temperature) and self.temperature >= 0.0):
            raise InputError(
                f"GenerationConfig.temperature is {self.temperature}; write 0.0 (greedy) or more"
            )
        is_top_p = is_number(self.top_p) and 0.0 < self.top_p <= 1.0
        if self.top_p is not None and not is_top_p:
            raise InputError(
                f"GenerationConfig.top_p is {self.top_p}; write a probability above 0.0, up to 1.0"
            )
        if not is_number(self.length_penalty):
            raise InputError(
                f"GenerationConfig.length_penalty is {self.length_penalty}; write a number"
            )
        self._check_combination()

    def _check_integers(self):
        for name, least in (("max_length", 1), ("num_beams", 1), ("top_k", 1)):
            value = getattr(self, name)
            if value is None and name in ("max_length", "top_k"):
                continue
            # A bool is an int, too.
            if type(value) is not int or value < least:
                raise InputError(
                    f"GenerationConfig.{name} is {value!r}; write a whole number of at least "
                    f"{least}"
                )
        check_seed(self)

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

    def array_settings(self) -> dict[str, np.generic]:
        """Returns the settings that can change without another compilation, as scalars."""
        return {
            "max_length": np.int32(self.new_tokens),
            "temperature": np.float32(self.temperature),
            "top_p": np.float32(self.top_p or 1.0),
            "length_penalty": np.float32(self.length_penalty),
            "seed": np.uint32(self.seed),
        }


GREEDY = GenerationConfig()
"""The most probable token each time."""

NOT_FINITE = -1
"""Stands in place of a token whose logits are NaN or infinite, from which none can be chosen."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StaticSettings:
    """What a generation program is compiled for.

    Attributes:
      length: L, the padded number of new tokens.
      stop_ids: the tokens that end a text. The first fills the places behind it.
      sample: whether tokens are sampled.
      top_k: see GenerationConfig.
      nucleus: whether GenerationConfig.top_p is in effect.
      num_beams: see GenerationConfig.
      gather_per_token: see DecodeState.
    """

    length: int
    stop_ids: tuple[int, ...]
    sample: bool
    top_k: int | None
    nucleus: bool
    num_beams: int
    gather_per_token: bool = False

    @classmethod
    def of(
        cls,
        config: GenerationConfig,
        *,
        length: int,
        stop_ids: tuple[int, ...],
        gather_per_token: bool,
    ) -> "StaticSettings":
        """Returns the settings that a program is compiled for.

        GenerationConfig.array_settings returns the others.

        Args:
          config: the generation settings.
          length: the padded number of new tokens.
          stop_ids: the tokens that end an answer.
          gather_per_token: whether parameters sharded over fsdp are gathered for each token again.

        Returns:
          The static settings.
        """
        return cls(
            length=length,
            stop_ids=stop_ids,
            sample=config.temperature > 0,
            top_k=config.top_k,
            nucleus=config.top_p is not None and config.top_p < 1.0,
            num_beams=config.num_beams,
            gather_per_token=gather_per_token,
        )


def generate_tokens(
    model: Model,
    params: Params,
    batch: dict[str, jax.Array],
    settings: dict[str, jax.Array],
    *,
    static: StaticSettings,
) -> jax.Array:
    """Generates the text that follows each prompt.

    Args:
      model: the model.
      params: its parameters.
      batch: a `prompt_batch` with "streams", int32[B]: the number of the random stream of each row,
        -1 for rows of padding, which generation does not wait for.
      settings: GenerationConfig.array_settings.
      static: the other settings.

    Returns:
      int32[B, L], at most settings["max_length"] tokens for each row. Everything after the first
      of the stop ids is the first one in static.stop_ids. A row whose logits are NaN or infinite
      somewhere holds NOT_FINITE.
    """
    state = prefill(model, params, batch, static.length)
    state = state.replace(gather_per_token=static.gather_per_token)
    model, state = unroll_layers(model, state)
    is_padding = batch["streams"] < 0
    if static.num_beams > 1:
        return _beam_search(
            model,
            params,
            state,
            settings=settings,
            static=static,
            is_padding=is_padding,
        )

    choose = _most_probable
    if static.sample:
        choose = _sampler(settings, batch["streams"], static)
    return _token_by_token(
        model,
        params,
        state,
        choose=choose,
        max_length=settings["max_length"],
        static=static,
        is_padding=is_padding,
    )


def _most_probable(logits: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.argmax(logits, axis=-1)


def _sampler(
    settings: dict[str, jax.Array], streams: jax.Array, static: StaticSettings
) -> ChooseToken:
    """Returns a function that samples tokens.

    Token i of a row is drawn with fold_in(fold_in(key(seed), stream), i). It does not depend on the
    other rows.
    """
    seed_key = jax.random.key(settings["seed"])
    row_keys = jax.vmap(jax.random.fold_in, (None, 0))(seed_key, streams)
    top_p = settings["top_p"] if static.nucleus else None

    def sample(logits: jax.Array, index: jax.Array) -> jax.Array:
        allowed = restrict_logits(logits / settings["temperature"], static.top_k, top_p)
        token_keys = jax.vmap(jax.random.fold_in, (0, None))(row_keys, index)
        return jax.vmap(jax.random.categorical)(token_keys, allowed)

    return sample


def restrict_logits(
    logits: Float[Array, "rows vocab"],
    top_k: int | None,
    top_p: Float[Array, ""] | float | None,
) -> Float[Array, "rows vocab"]:
    """Returns the logits of the tokens that may be sampled, and -inf for all others.

    These are the top_k most probable tokens and, among them, the fewest whose probabilities add up
    to top_p. Tokens that are as probable as the last one of them may be sampled, too.

    Args:
      logits: the next-token logits.
      top_k: the number of tokens that may be sampled; None for all.
      top_p: the total probability that may be sampled (nucleus sampling); None for 1.

    Returns:
      The logits, -inf for tokens that may not be sampled.
    """
    if top_k is None and top_p is None:
        return logits
    vocab = logits.shape[-1]
    ordered, _ = jax.lax.top_k(logits, min(top_k or vocab, vocab))
    if top_p is not None:
        probabilities = jax.nn.softmax(ordered, axis=-1)
        # Summed from the least probable token on, as in transformers, which loses the least to
        # rounding.
        tail_sums = jax.lax.cumsum(probabilities, axis=1, reverse=True)
        in_nucleus = jnp.where(tail_sums > 1 - top_p, ordered, jnp.inf)
        # The most probable token is always one of them.
        ordered = in_nucleus.at[:, 0].set(ordered[:, 0])
    least = jnp.min(ordered, axis=-1, keepdims=True)
    return jnp.where(logits < least, -jnp.inf, logits)


class _TokenLoop(NamedTuple):
    """The carry of greedy decoding and sampling.

    Attributes:
      index: the number of the next token.
      tokens: int32[B, L], the tokens so far; the first stop id elsewhere.
      done: bool[B], whether a row is finished.
      state: the state that the next token follows.
    """

    index: jax.Array
    tokens: jax.Array
    done: jax.Array
    state: DecodeState


def _token_by_token(
    model: Model,
    params: Params,
    state: DecodeState,
    *,
    choose: ChooseToken,
    max_length: jax.Array,
    static: StaticSettings,
    is_padding: jax.Array,
) -> jax.Array:
    """Appends the tokens that `choose` takes, until all rows are done. Returns int32[B, L]."""
    filler = static.stop_ids[0]

    def is_unfinished(loop: _TokenLoop) -> jax.Array:
        return (loop.index < max_length) & ~jnp.all(loop.done)

    def append_token(loop: _TokenLoop) -> _TokenLoop:
        logits = loop.state.logits
        token = choose(logits, loop.index)
        token = jnp.where(_are_finite(logits), token, NOT_FINITE)
        token = jnp.where(loop.done, filler, token)
        return _TokenLoop(
            index=loop.index + 1,
            tokens=loop.tokens.at[:, loop.index].set(token),
            done=loop.done | _is_stop(token, static) | (token == NOT_FINITE),
            state=decode_step(model, params, loop.state, token, index=loop.index),
        )

    start = _TokenLoop(
        index=jnp.zeros((), jnp.int32),
        tokens=jnp.full((is_padding.shape[0], static.length), filler, jnp.int32),
        done=is_padding,
        state=state,
    )
    return jax.lax.while_loop(is_unfinished, append_token, start).tokens


class _Finished(NamedTuple):
    """Finished texts of each row, the best first.

    Attributes:
      tokens: int32[B, K, L].
      scores: float32[B, K], the log-probability divided by length^length_penalty.
      exists: bool[B, K], whether there is a text.
    """

    tokens: jax.Array
    scores: jax.Array
    exists: jax.Array


class _BeamLoop(NamedTuple):
    """The carry of beam search.

    Attributes:
      index: the number of the next token.
      tokens: int32[B, K, L], the tokens of the running beams; the first stop id elsewhere.
      scores: float32[B, K], their log-probabilities.
      finished: the best finished texts.
      improvable: bool[B], whether a running beam could still be among them.
      is_finite: bool[B], whether all logits so far were neither NaN nor infinite.
      state: the state of B x K rows that the next token follows.
    """

    index: jax.Array
    tokens: jax.Array
    scores: jax.Array
    finished: _Finished
    improvable: jax.Array
    is_finite: jax.Array
    state: DecodeState


def _beam_search(
    model: Model,
    params: Params,
    state: DecodeState,
    *,
    settings: dict[str, jax.Array],
    static: StaticSettings,
    is_padding: jax.Array,
) -> jax.Array:
    """Returns the best text of each row, int32[B, L].

    The rules are those of transformers' beam search with early_stopping=False.
    """
    rows = is_padding.shape[0]
    beams = static.num_beams
    max_length = settings["max_length"]
    # Each beam has as many extensions that cannot continue as there are stop ids.
    extensions = beams * (1 + len(static.stop_ids))

    def is_unfinished(loop: _BeamLoop) -> jax.Array:
        return (loop.index < max_length) & jnp.any(loop.improvable)

    def append_token(loop: _BeamLoop) -> _BeamLoop:
        index = loop.index
        logits = loop.state.logits
        beams_finite = _are_finite(logits).reshape(rows, beams)
        is_finite = loop.is_finite & (jnp.all(beams_finite, axis=1) | ~loop.improvable)
        from_beam, token, scores = _best_extensions(logits, loop.scores, extensions)
        tokens = _take_in_rows(loop.tokens, from_beam).at[:, :, index].set(token)
        ends = _is_stop(token, static) | (index + 1 >= max_length)
        norm = (index + 1).astype(jnp.float32) ** settings["length_penalty"]

        # A text only ends if it is one of the best K extensions. The others are there so that
        # enough beams can continue.
        is_among_best = jnp.arange(extensions)[None] < beams
        is_ending = ends & is_among_best & loop.improvable[:, None]
        endings = _Finished(
            tokens, jnp.where(is_ending, scores / norm, IMPOSSIBLE), is_ending
        )
        finished = _best_finished(loop.finished, endings)

        # The best K extensions that do not end continue.
        scores, kept = jax.lax.top_k(scores + jnp.where(ends, IMPOSSIBLE, 0.0), beams)
        tokens = _take_in_rows(tokens, kept)
        from_beam = _take_in_rows(from_beam, kept)
        token = _take_in_rows(token, kept)
        state = gather_beams(loop.state, from_beam)
        can_improve = is_finite & _can_improve(scores[:, 0] / norm, finished)
        return _BeamLoop(
            index=index + 1,
            tokens=tokens,
            scores=scores,
            finished=finished,
            improvable=loop.improvable & can_improve,
            is_finite=is_finite,
            state=decode_step(model, params, state, token.reshape(-1), index=index),
        )

    filler = static.stop_ids[0]
    no_tokens = jnp.full((rows, beams, static.length), filler, jnp.int32)
    # All beams of a row begin alike. Only the first one counts, or all would continue alike.
    is_first = jnp.arange(beams)[None] == 0
    start = _BeamLoop(
        index=jnp.zeros((), jnp.int32),
        tokens=no_tokens,
        scores=jnp.where(is_first, jnp.zeros((rows, 1)), IMPOSSIBLE),
        finished=_Finished(
            tokens=no_tokens,
            scores=jnp.full((rows, beams), IMPOSSIBLE),
            exists=jnp.zeros((rows, beams), bool),
        ),
        improvable=~is_padding,
        is_finite=jnp.ones(rows, bool),
        state=repeat_rows(state, beams),
    )
    end = jax.lax.while_loop(is_unfinished, append_token, start)
    return jnp.where(end.is_finite[:, None], end.finished.tokens[:, 0], NOT_FINITE)


def _best_extensions(
    logits: jax.Array, scores: jax.Array, count: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the best extensions of K beams by one token.

    Args:
      logits: float32[B x K, V].
      scores: float32[B, K], the log-probabilities of the beams.
      count: how many extensions of each row.

    Returns:
      (beam, token, score), each [B, count].
    """
    rows, beams = scores.shape
    vocab = logits.shape[-1]
    token_log_probs = jax.nn.log_softmax(logits).reshape(rows, beams, vocab)
    log_probs = token_log_probs + scores[:, :, None]
    best, index = jax.lax.top_k(log_probs.reshape(rows, beams * vocab), count)
    return index // vocab, index % vocab, best


def _best_finished(finished: _Finished, endings: _Finished) -> _Finished:
    """Returns the best K of the finished texts and of further ones."""
    beams = finished.scores.shape[1]
    tokens = jnp.concatenate([finished.tokens, endings.tokens], axis=1)
    scores = jnp.concatenate([finished.scores, endings.scores], axis=1)
    exists = jnp.concatenate([finished.exists, endings.exists], axis=1)
    best, index = jax.lax.top_k(scores, beams)
    return _Finished(_take_in_rows(tokens, index), best, _take_in_rows(exists, index))


def _can_improve(best_running: jax.Array, finished: _Finished) -> jax.Array:
    """Returns whether a running beam could still be among the best K finished texts, bool[B].

    Args:
      best_running: float32[B], the score of the best running beam if it ended now.
      finished: the best finished texts.
    """
    has_room = ~jnp.all(finished.exists, axis=1)
    return has_room | (best_running > jnp.min(finished.scores, axis=1))


def _are_finite(logits: jax.Array) -> jax.Array:
    """Returns whether no logit of a row is NaN or infinite: bool[B] for [B, V]."""
    # NaN anywhere makes both NaN.
    return jnp.isfinite(jnp.max(logits, axis=-1)) & jnp.isfinite(
        jnp.min(logits, axis=-1)
    )


def _is_stop(token: jax.Array, static: StaticSettings) -> jax.Array:
    """Returns whether tokens end a text; bool, of the tokens' shape."""
    return jnp.isin(token, jnp.array(static.stop_ids, token.dtype))


def _take_in_rows(values: jax.Array, index: jax.Array) -> jax.Array:
    """Returns values[b, index[b, k]] for values [B, N, ...] and int32[B, K]."""
    return jax.vmap(lambda row, row_index: row[row_index])(values, index)
