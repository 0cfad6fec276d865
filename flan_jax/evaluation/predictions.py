"""Predictions: the answers of a model to the rows of evaluation stores."""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from flan_jax.data.mixture_data import StoreKey
from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.data.token_store import TokenStore
from flan_jax.decoding.generation import GREEDY, GenerationConfig
from flan_jax.decoding.prefill import bucket
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import unknown_name
from flan_jax.evaluation.journal import BatchResult
from flan_jax.run_records import Prediction

SCORINGS = ("sum", "mean", "calibrated")

UNCONDITIONAL_PROMPT = "Answer:"
"""The prompt of unconditional log-probabilities (Brown et al. 2020, section 2.4)."""

OPTIONS_PER_PROMPT = 4
"""Options that are scored after one UNCONDITIONAL_PROMPT."""

OptionTokens: TypeAlias = tuple[int, ...]

Cached: TypeAlias = Callable[[Callable[[], BatchResult]], BatchResult]
"""Returns the result of a computation: by doing it, or from a cache (Journal.get_or_compute)."""


def compute_always(compute: Callable[[], BatchResult]) -> BatchResult:
    """Computes a result without a cache."""
    return compute()


class Item(NamedTuple):
    """One prompt to answer.

    Attributes:
      key: the task and split.
      store: the store that holds the prompt.
      row: the row of the store.
      padded_length: the prompt's length in tokens, padded to a bucket.
    """

    key: StoreKey
    store: TokenStore
    row: int
    padded_length: int

    @property
    def has_options(self) -> bool:
        """Whether the prompt is answered by rank classification; otherwise by generation."""
        return bool(self.store.correct_option[self.row] >= 0)

    @property
    def stream(self) -> int:
        """The number of the random stream that samples the answer, in int32.

        It depends on nothing but the row, so that the same answer is sampled in any batch.
        """
        task, split = self.key
        return zlib.crc32(f"{task}/{split}/{self.row}".encode()) >> 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictor:
    """Answers prompts by rank classification where they have options, else by generation.

    Attributes:
      scorer: the model with its parameters.
      row_tokenizer: made the tokens of the stores.
      lengths: {"inputs": tokens of a prompt, "targets": tokens of an answer} that the model sees.
      scoring: by what options are ranked, see `option_scores`.
      generation: how answers are generated; its max_length is that of the targets unless it is set.
    """

    scorer: Scorer
    row_tokenizer: RowTokenizer
    lengths: Mapping[str, int]
    scoring: str = "sum"
    generation: GenerationConfig = GREEDY

    def predict(
        self,
        stores: Mapping[StoreKey, TokenStore],
        limits: Mapping[StoreKey, int],
        *,
        cached: Cached = compute_always,
        progress: Callable[[int], None] = lambda done: None,
    ) -> dict[StoreKey, list[Prediction]]:
        """Answers the first rows of each store.

        The rows of all tasks and templates go through one queue that is sorted by length, so that
        batches hold little padding.

        Args:
          stores: the prompts, by (task, split).
          limits: how many rows of each store to answer.
          cached: computes the result of a batch, or gives it from an earlier, interrupted run.
          progress: is called with the number of finished rows after each batch.

        Returns:
          The predictions of each store, in the order of its rows.
        """
        batches = _batches(stores, limits, self.lengths["inputs"], self.scorer.rows)
        unconditional = None
        if self.scoring == "calibrated":
            unconditional = self._unconditional_sums(batches, cached)

        answered: dict[tuple[StoreKey, int], Prediction] = {}
        for batch in batches:
            if batch[0].has_options:
                compute = functools.partial(self._rank, batch, unconditional)
            else:
                compute = functools.partial(self._generate, batch)
            for item, answer in zip(batch, cached(compute), strict=True):
                answered[item.key, item.row] = self._prediction(item, answer)
            progress(len(answered))

        predictions: dict[StoreKey, list[Prediction]] = {}
        for key in stores:
            predictions[key] = [answered[key, row] for row in range(limits[key])]
        return predictions

    def _rank(
        self, batch: Sequence[Item], unconditional: Mapping[OptionTokens, float] | None
    ) -> BatchResult:
        """Answers prompts by rank classification: the fields of Prediction from `prediction` on."""
        prompts = [self._prompt(item) for item in batch]
        options = [self._options(item) for item in batch]
        sums = self.scorer.log_probs(prompts, options)
        return [
            self._choose(item_options, _rounded(item_sums), unconditional)
            for item_options, item_sums in zip(options, sums, strict=True)
        ]

    def _choose(
        self,
        options: Sequence[np.ndarray],
        sums: list[float],
        unconditional: Mapping[OptionTokens, float] | None,
    ) -> dict[str, Any]:
        """Ranks the options of one prompt; of equal scores the first option is chosen.

        The sums are rounded before they are ranked, so that ranking the sums of a file gives the
        same choice.
        """
        tokens = [len(option) for option in options]
        priors = None
        if unconditional is not None:
            priors = [unconditional[_option_tokens(option)] for option in options]
        scores = option_scores(self.scoring, sums, tokens, priors)
        chosen = int(np.argmax(scores))
        texts = [self.row_tokenizer.answer_text(option) for option in options]

        answer: dict[str, Any] = {
            "prediction": texts[chosen],
            "chosen": chosen,
            "options": texts,
            "scores": _rounded(scores),
            "sums": sums,
            "tokens": tokens,
        }
        if priors is not None:
            answer["unconditional"] = priors
        return answer

    def _generate(self, batch: Sequence[Item]) -> BatchResult:
        """Answers prompts by generation: the field `prediction` of Prediction."""
        prompts = [self._prompt(item) for item in batch]
        streams = [item.stream for item in batch]
        config = self.generation.with_default_length(self.lengths["targets"])
        generated = self.scorer.generate(prompts, config, streams)
        return [
            {"prediction": self.row_tokenizer.answer_text(tokens)}
            for tokens in generated
        ]

    def _unconditional_sums(
        self, batches: Sequence[Sequence[Item]], cached: Cached
    ) -> dict[OptionTokens, float]:
        """Returns the log-probability of each distinct option after UNCONDITIONAL_PROMPT."""
        distinct: set[OptionTokens] = set()
        for batch in batches:
            for item in batch:
                distinct.update(
                    _option_tokens(option) for option in self._options(item)
                )
        options = sorted(distinct, key=lambda option: (len(option), option))

        sums: dict[OptionTokens, float] = {}
        size = OPTIONS_PER_PROMPT * self.scorer.rows
        for start in range(0, len(options), size):
            chunk = options[start : start + size]
            chunk_sums = cached(functools.partial(self._score_unconditionally, chunk))
            sums.update(zip(chunk, chunk_sums, strict=True))
        return sums

    def _score_unconditionally(self, options: Sequence[OptionTokens]) -> BatchResult:
        """Scores one batch of options after UNCONDITIONAL_PROMPT."""
        (tokens,) = self.row_tokenizer.encode_prompts([UNCONDITIONAL_PROMPT])
        prompt = self.row_tokenizer.prompt(np.array(tokens), self.lengths)
        arrays = [np.array(option, np.int32) for option in options]
        groups = [
            arrays[start : start + OPTIONS_PER_PROMPT]
            for start in range(0, len(arrays), OPTIONS_PER_PROMPT)
        ]
        group_sums = self.scorer.log_probs([prompt] * len(groups), groups)
        return _rounded(np.concatenate(group_sums))

    def _prompt(self, item: Item) -> np.ndarray:
        """Returns the prompt as the model sees it, int32."""
        tokens = item.store.inputs.row(item.row)
        return self.row_tokenizer.prompt(tokens, self.lengths)

    def _options(self, item: Item) -> list[np.ndarray]:
        """Returns the options as the model sees them, int32; [] for generation."""
        return [
            self.row_tokenizer.answer(option, self.lengths)
            for option in item.store.options(item.row)
        ]

    def _prediction(self, item: Item, answer: Mapping[str, Any]) -> Prediction:
        """Returns an answer together with its prompt."""
        store, row = item.store, item.row
        return Prediction(
            example=int(store.examples[row]),
            template=int(store.templates[row]),
            answer=int(store.correct_option[row]),
            right=store.correct_options(row),
            inputs=store.inputs_text(row),
            references=store.references(row),
            group=store.group(row),
            group_rows=store.group_rows(row),
            truncated=self._is_truncated(item),
            **answer,
        )

    def _is_truncated(self, item: Item) -> bool:
        """Returns whether the model does not see the end of the prompt or of an option."""
        option_lengths = [len(option) for option in item.store.options(item.row)]
        return bool(
            item.store.inputs.lengths[item.row] > self.lengths["inputs"]
            or max(option_lengths, default=0) > self.lengths["targets"]
        )


def check_scoring(scoring: str) -> None:
    """Raises InputError unless `scoring` is one of SCORINGS."""
    if scoring not in SCORINGS:
        raise unknown_name("EvalConfig.scoring", scoring, SCORINGS)


def option_scores(
    scoring: str,
    sums: list[float],
    tokens: list[int],
    unconditional: list[float] | None,
) -> list[float]:
    """Returns the values by which rank classification ranks options; the highest is chosen.

    Args:
      scoring: "sum" for log P(option | prompt); "mean" for the same divided by the option's number
        of tokens, with its end; "calibrated" for log P(option | prompt) - log P(option |
        UNCONDITIONAL_PROMPT) (Brown et al. 2020, section 2.4; PMI_DC of Holtzman et al. 2021).
      sums: log P(option | prompt) of each option.
      tokens: the number of tokens of each option.
      unconditional: log P(option | UNCONDITIONAL_PROMPT) of each option; for "calibrated" alone.
    """
    if scoring == "sum":
        return sums
    if scoring == "mean":
        return [total / count for total, count in zip(sums, tokens, strict=True)]
    assert unconditional is not None, "predict computes it for 'calibrated'"
    return [total - prior for total, prior in zip(sums, unconditional, strict=True)]


def ranked_by(row: Prediction, scoring: str) -> Prediction:
    """Returns a prediction with its options ranked by another scoring.

    Args:
      row: a prediction with scoring "calibrated", which has all that the others need; or a
        generated text, which is returned as it is.
      scoring: one of SCORINGS.
    """
    if row.sums is None or row.tokens is None or row.options is None:
        return row
    scores = option_scores(scoring, row.sums, row.tokens, row.unconditional)
    chosen = int(np.argmax(scores))
    return dataclasses.replace(
        row, prediction=row.options[chosen], chosen=chosen, scores=_rounded(scores)
    )


def _batches(
    stores: Mapping[StoreKey, TokenStore],
    limits: Mapping[StoreKey, int],
    max_length: int,
    rows: int,
) -> list[list[Item]]:
    """Returns batches of prompts with options, then of the others, both sorted by padded length.

    Args:
      stores: the prompts, by (task, split).
      limits: how many rows of each store to take.
      max_length: tokens of a prompt that the model sees.
      rows: prompts in a batch.
    """
    with_options: list[Item] = []
    without_options: list[Item] = []
    for key, store in stores.items():
        lengths = np.minimum(store.inputs.lengths, max_length)
        for row, length in enumerate(lengths[: limits[key]].tolist()):
            item = Item(key, store, row, bucket(length))
            queue = with_options if item.has_options else without_options
            queue.append(item)

    batches: list[list[Item]] = []
    for queue in (with_options, without_options):
        # The sort is stable: rows of one store stay together within a length.
        queue.sort(key=lambda item: item.padded_length)
        batches += [queue[start : start + rows] for start in range(0, len(queue), rows)]
    return batches


def _option_tokens(option: np.ndarray) -> OptionTokens:
    return tuple(option.tolist())


def _rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    """Rounds log-probabilities to about the precision of float32."""
    return [round(float(value), 5) for value in values]
