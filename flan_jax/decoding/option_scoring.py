"""Scores of several options of each prompt, with the prompt read once.

In shapes, B are rows, D is the padded length of a decoder row, O are options, A is the padded
length of an option, V the vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from flan_jax.batch import PAD
from flan_jax.decoding.prefill import (
    SHORT_BUCKETS,
    DecodeState,
    bucket,
    decode_tokens,
    prefill,
    prompt_batch,
)
from flan_jax.models.config import Model
from flan_jax.pytrees import Params

Options: TypeAlias = Sequence[Sequence[np.ndarray]]
"""The options of each prompt, as token arrays with their end."""


class OptionScores(NamedTuple):
    """What a model says of options or of their tokens.

    Attributes:
      log_probs: float32, in nats.
      is_greedy: bool of the same shape, whether greedy decoding gives these tokens: each is the
        most probable one, and the first of several that are; None if it was not asked for.
    """

    log_probs: jax.Array
    is_greedy: jax.Array | None


def packed_option_batch(
    prompts: Sequence[np.ndarray], options: Options, rows: int
) -> dict[str, np.ndarray]:
    """Makes a batch for an encoder-decoder: all options of a prompt in one decoder row.

    Args:
      prompts: at most `rows` token arrays.
      options: the options of each prompt.
      rows: rows of the batch; those without a prompt are padding.

    Returns:
      A `prompt_batch` with decoder_target_tokens, decoder_input_tokens and decoder_segment_ids,
      int32[rows, D]. Each option is a segment of its own, numbered from 1.
    """
    batch = prompt_batch("encoder_decoder", prompts, rows)
    row_lengths = [sum(map(len, row_options)) for row_options in options]
    shape = (rows, bucket(max(row_lengths)))
    targets = np.full(shape, PAD, np.int32)
    inputs = np.full(shape, PAD, np.int32)
    segment_ids = np.zeros(shape, np.int32)

    for row, row_options in enumerate(options):
        start = 0
        for number, option in enumerate(row_options, start=1):
            stop = start + len(option)
            targets[row, start:stop] = option
            inputs[row, start + 1 : stop] = option[:-1]  # the first input stays PAD
            segment_ids[row, start:stop] = number
            start = stop

    batch["decoder_target_tokens"] = targets
    batch["decoder_input_tokens"] = inputs
    batch["decoder_segment_ids"] = segment_ids
    return batch


def packed_option_scores(
    model: Model,
    params: Params,
    batch: dict[str, jax.Array],
    *,
    with_greedy: bool = False,
) -> OptionScores:
    """Scores each target token of a `packed_option_batch`.

    Args:
      model: the model.
      params: its parameters.
      batch: the batch.
      with_greedy: whether is_greedy is computed.

    Returns:
      The scores of the tokens, [B, D].
    """
    variables = {"params": params}
    segment_ids = batch["decoder_segment_ids"]
    encoded = model.apply(variables, batch, method="encode")
    hidden = model.apply(
        variables,
        encoded,
        batch["encoder_segment_ids"],
        batch["decoder_input_tokens"],
        segment_ids=segment_ids,
        # All options attend to the one prompt, which is segment 1.
        cross_segment_ids=jnp.minimum(segment_ids, 1),
        method="decode_hidden",
    )
    logits = model.apply(variables, hidden, method="logits")
    return _token_scores(logits, batch["decoder_target_tokens"], with_greedy)


def cached_option_batch(
    prompts: Sequence[np.ndarray], options: Options, rows: int
) -> dict[str, np.ndarray]:
    """Makes a batch for a decoder: options that are scored one after the other.

    Args:
      prompts: at most `rows` token arrays.
      options: the options of each prompt.
      rows: rows of the batch; those without a prompt are padding.

    Returns:
      A `prompt_batch` with "answers", int32[rows, O, A], "answer_lengths", int32[rows, O], and
      "rounds", int32[rows]: the number of options before O was padded. O and A - 1 are padded to
      buckets.
    """
    batch = prompt_batch("decoder", prompts, rows)
    option_count = max(map(len, options))
    longest = max(max(map(len, row_options)) for row_options in options)
    # An option's last token is not fed, so that five tokens take a bucket of four.
    length = 1 + _small_bucket(longest - 1)
    tokens = np.full((rows, _small_bucket(option_count), length), PAD, np.int32)
    lengths = np.zeros(tokens.shape[:2], np.int32)
    for row, row_options in enumerate(options):
        for number, option in enumerate(row_options):
            tokens[row, number, : len(option)] = option
            lengths[row, number] = len(option)

    batch["answers"] = tokens
    batch["answer_lengths"] = lengths
    batch["rounds"] = np.full(rows, option_count, np.int32)
    return batch


def cached_option_scores(
    model: Model,
    params: Params,
    batch: dict[str, jax.Array],
    *,
    with_greedy: bool = False,
) -> OptionScores:
    """Scores each option of a `cached_option_batch`.

    The prompts are read into the cache once. Each option overwrites the one before in the cache. It
    attends to the prompt and to its own tokens alone, because what is left of a longer option lies
    at later positions.

    Args:
      model: the model.
      params: its parameters.
      batch: the batch.
      with_greedy: whether is_greedy is computed.

    Returns:
      The scores of the options, [B, O]: the sum over an option's tokens, and whether all of them
      are greedy.
    """
    options = batch["answers"]
    lengths = batch["answer_lengths"]
    state = prefill(model, params, batch, options.shape[2] - 1)
    first_log_probs = jax.nn.log_softmax(state.logits)
    first_greedy = jnp.argmax(state.logits, axis=-1) if with_greedy else None

    def score_option(
        number: jax.Array, carry: tuple[OptionScores, DecodeState]
    ) -> tuple[OptionScores, DecodeState]:
        scores, state = carry
        tokens = options[:, number]
        hidden, cache = decode_tokens(model, params, state, tokens[:, :-1], index=0)
        logits = model.apply({"params": params}, hidden, method="logits")
        first = jnp.take_along_axis(first_log_probs, tokens[:, :1], axis=1)
        rest = _token_scores(logits, tokens[:, 1:], with_greedy)
        log_probs = jnp.concatenate([first, rest.log_probs], axis=1)
        is_token = jnp.arange(log_probs.shape[1])[None] < lengths[:, number, None]
        option_sums = jnp.sum(jnp.where(is_token, log_probs, 0.0), axis=1)
        sums = scores.log_probs.at[:, number].set(option_sums)

        flags = scores.is_greedy
        if with_greedy:
            assert flags is not None
            assert first_greedy is not None and rest.is_greedy is not None
            is_first_greedy = tokens[:, :1] == first_greedy[:, None]
            are_greedy = jnp.concatenate([is_first_greedy, rest.is_greedy], axis=1)
            is_option_greedy = jnp.all(are_greedy | ~is_token, axis=1)
            flags = flags.at[:, number].set(is_option_greedy)
        return OptionScores(sums, flags), state.replace(cache=cache)

    nothing = OptionScores(
        jnp.zeros(lengths.shape, jnp.float32),
        jnp.zeros(lengths.shape, bool) if with_greedy else None,
    )
    rounds = jnp.max(batch["rounds"])
    scores, _ = jax.lax.fori_loop(0, rounds, score_option, (nothing, state))
    return scores


def _token_scores(
    logits: jax.Array, targets: jax.Array, with_greedy: bool
) -> OptionScores:
    """Returns the scores of int32[B, N] targets under float32[B, N, V] logits."""
    at_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)
    log_probs = at_target[..., 0] - jax.nn.logsumexp(logits, axis=-1)
    is_greedy = None
    if with_greedy:
        is_greedy = jnp.argmax(logits, axis=-1) == targets
    return OptionScores(log_probs, is_greedy)


def _small_bucket(length: int) -> int:
    """Like `bucket`, with smaller buckets: options are often shorter than any prompt."""
    for size in (1, 2, 4, *SHORT_BUCKETS):
        if size >= length:
            return size
    return bucket(length)
