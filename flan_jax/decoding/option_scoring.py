"""Log-probabilities of several answers to each prompt, with the prompt read once."""

from collections.abc import Sequence
from typing import Any

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

Answers = Sequence[Sequence[np.ndarray]]


def packed_option_batch(
    prompts: Sequence[np.ndarray], answers: Answers, rows: int
) -> dict[str, np.ndarray]:
    """An encoder-decoder's `prompt_batch` with all answers to a prompt in one decoder row, each a segment of its own."""
    batch = prompt_batch("encoder_decoder", prompts, rows)
    length = bucket(max(sum(map(len, choices)) for choices in answers))
    targets, inputs, segment_ids = np.full((3, rows, length), PAD, np.int32)
    for i, choices in enumerate(answers):
        start = 0
        for number, answer in enumerate(choices, 1):
            stop = start + len(answer)
            targets[i, start:stop] = answer
            inputs[i, start:stop] = [PAD, *answer[:-1]][: len(answer)]
            segment_ids[i, start:stop] = number
            start = stop
    names = ("decoder_target_tokens", "decoder_input_tokens", "decoder_segment_ids")
    return batch | dict(zip(names, (targets, inputs, segment_ids), strict=True))


def packed_option_log_probs(model: Any, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[B, D]: the log-probability of each target token of a `packed_option_batch`."""
    variables = {"params": params}
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
    return _log_probs(
        model.apply(variables, hidden, method="logits"), batch["decoder_target_tokens"]
    )


def cached_option_batch(
    prompts: Sequence[np.ndarray], answers: Answers, rows: int
) -> dict[str, np.ndarray]:
    """A decoder's `prompt_batch`, "answers" int32[rows, O, A] and "answer_lengths" int32[rows, O].

    O, the number of answers, and A - 1 are padded to buckets. "rounds" int32[rows]: how many of O are more than padding.
    """
    batch = prompt_batch("decoder", prompts, rows)
    options = max(map(len, answers))
    # An answer's last token is not fed, so that five tokens take four.
    length = 1 + _small_bucket(max(len(answer) for choices in answers for answer in choices) - 1)
    tokens = np.full((rows, _small_bucket(options), length), PAD, np.int32)
    lengths = np.zeros(tokens.shape[:2], np.int32)
    for i, choices in enumerate(answers):
        for number, answer in enumerate(choices):
            tokens[i, number, : len(answer)] = answer
            lengths[i, number] = len(answer)
    return batch | {
        "answers": tokens,
        "answer_lengths": lengths,
        "rounds": np.full(rows, options, np.int32),
    }


def cached_option_sums(model: Any, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[B, O]: the sum of the log-probabilities of each answer's tokens, for a `cached_option_batch`.

    The prompts go into the cache once. The answers follow one after the other, each over the one before: it sees the
    prompt and its own tokens, because what is left behind them lies at later positions.
    """
    answers, lengths = batch["answers"], batch["answer_lengths"]
    reading = prefill(model, params, batch, answers.shape[2] - 1)
    first = jax.nn.log_softmax(reading.logits)

    def score(
        number: jax.Array, carry: tuple[jax.Array, DecodeState]
    ) -> tuple[jax.Array, DecodeState]:
        sums, reading = carry
        tokens, sizes = answers[:, number], lengths[:, number, None]
        hidden, cache = decode_tokens(model, params, reading, tokens[:, :-1], 0)
        rest = _log_probs(model.apply({"params": params}, hidden, method="logits"), tokens[:, 1:])
        own = jnp.concatenate([jnp.take_along_axis(first, tokens[:, :1], axis=1), rest], axis=1)
        own = jnp.where(jnp.arange(own.shape[1])[None] < sizes, own, 0.0)
        return sums.at[:, number].set(jnp.sum(own, axis=1)), reading.replace(cache=cache)

    sums = jnp.zeros(lengths.shape, jnp.float32)
    return jax.lax.fori_loop(0, jnp.max(batch["rounds"]), score, (sums, reading))[0]


def _log_probs(logits: jax.Array, targets: jax.Array) -> jax.Array:
    at_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return at_target - jax.nn.logsumexp(logits, axis=-1)


def _small_bucket(length: int) -> int:
    """Answers are often shorter than the shortest bucket of prompts."""
    return next((size for size in (1, 2, 4, *SHORT_BUCKETS) if size >= length), bucket(length))
