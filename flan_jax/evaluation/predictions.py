"""Predictions: every row of evaluation stores answered, by rank classification or greedy generation."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flan_jax.data.mixture_data import StoreKey
from flan_jax.data.token_store import TokenStore, trim_and_append_eos
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.decoding.generation import GenerationConfig
from flan_jax.decoding.prefill import bucket
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError, unknown_name

SCORINGS = ("sum", "mean", "calibrated")
UNCONDITIONAL = "Answer:"
"""The prompt that options are scored after, to calibrate: GPT-3's (Brown et al. 2020, section 2.4), for every task alike."""
OPTIONS_PER_PROMPT = 4
"""Options that are scored after one UNCONDITIONAL prompt."""


class Item(NamedTuple):
    """One prompt to answer: row `row` of the store `key`."""

    key: StoreKey
    row: int
    length: int


def predict(
    scorer: Scorer,
    stores: Mapping[StoreKey, TokenStore],
    limits: Mapping[StoreKey, int],
    lengths: Mapping[str, int],
    tokenizer: Tokenizer,
    *,
    scoring: str = "sum",
    once: Callable[[Callable[[], list[Any]]], list[Any]] = lambda compute: compute(),
    progress: Callable[[int], None] = lambda done: None,
) -> dict[StoreKey, list[dict[str, Any]]]:
    """A prediction for each of the first `limits` rows of each store, in the stores' order.

    All tasks and templates go through one queue, sorted by length, so that batches hold little padding. `once` computes
    each batch (a Journal: unless it did before); `progress` is called with the number of rows done.
    """
    found: dict[StoreKey, list[dict[str, Any]]] = {key: [{}] * limits[key] for key in stores}
    asking = _Predictor(scorer, stores, lengths, tokenizer, scoring)
    batches = list(_batches(stores, limits, lengths, scorer.rows))
    priors = asking.priors(batches, once) if scoring == "calibrated" else None
    done = 0
    for batch in batches:
        ranked = stores[batch[0].key].answers[batch[0].row] >= 0
        answer = (
            functools.partial(asking.rank, batch, priors)
            if ranked
            else functools.partial(asking.generate, batch)
        )
        for item, prediction in zip(batch, once(answer), strict=True):
            found[item.key][item.row] = _about(stores[item.key], item.row, lengths) | prediction
        done += len(batch)
        progress(done)
    return found


def option_scores(prediction: Mapping[str, Any], scoring: str) -> list[float]:
    """What rank classification ranks a prediction's options by; the first of the highest is chosen.

    "sum": log P(option | prompt). "mean": that, divided by the option's tokens, EOS included. "calibrated":
    log P(option | prompt) - log P(option | UNCONDITIONAL) (Brown et al. 2020, section 2.4; PMI_DC of Holtzman et al. 2021).
    Raises InputError for another scoring, and for "calibrated" where the prediction was made without it.
    """
    check_scoring(scoring)
    sums = prediction["sums"]
    if scoring == "mean":
        return [total / tokens for total, tokens in zip(sums, prediction["tokens"], strict=True)]
    if scoring == "sum":
        return sums
    if "unconditional" not in prediction:
        raise InputError(
            "these predictions hold no unconditional sums; predict again with EvalConfig.scoring = 'calibrated'"
        )
    return [total - prior for total, prior in zip(sums, prediction["unconditional"], strict=True)]


def check_scoring(scoring: str) -> None:
    if scoring not in SCORINGS:
        raise unknown_name("EvalConfig.scoring", scoring, SCORINGS)


def _batches(
    stores: Mapping[StoreKey, TokenStore],
    limits: Mapping[StoreKey, int],
    lengths: Mapping[str, int],
    rows: int,
) -> Iterator[list[Item]]:
    """Rank-classification rows, then generation rows, each sorted by padded length."""
    queues: tuple[list[Item], list[Item]] = ([], [])
    for key, store in stores.items():
        sizes = np.minimum(store.inputs.lengths + 1, lengths["inputs"])
        for row, (size, answer) in enumerate(
            zip(sizes.tolist()[: limits[key]], store.answers.tolist(), strict=False)
        ):
            queues[0 if answer >= 0 else 1].append(Item(key, row, bucket(size)))
    for queue in queues:
        queue.sort(key=lambda item: item.length)  # stable: stores stay together within a length
        for start in range(0, len(queue), rows):
            yield queue[start : start + rows]


@dataclasses.dataclass(frozen=True)
class _Predictor:
    """Items put to a model. Sums are rounded to what float32 holds of them, so that ranking a file's sums gives its choices."""

    scorer: Scorer
    stores: Mapping[StoreKey, TokenStore]
    lengths: Mapping[str, int]
    tokenizer: Tokenizer
    scoring: str

    def rank(
        self, batch: Sequence[Item], priors: Mapping[tuple[int, ...], float] | None
    ) -> list[dict[str, Any]]:
        choices = [self._options(item) for item in batch]
        sums = self.scorer.log_probs([self._prompt(item) for item in batch], choices)
        return [
            self._ranked(some, _plain(own), priors) for some, own in zip(choices, sums, strict=True)
        ]

    def generate(self, batch: Sequence[Item]) -> list[dict[str, Any]]:
        written = self.scorer.generate(
            [self._prompt(item) for item in batch], GenerationConfig(self.lengths["targets"])
        )
        return [{"prediction": self.tokenizer.decode(tokens.tolist())} for tokens in written]

    def priors(
        self,
        batches: Sequence[Sequence[Item]],
        once: Callable[[Callable[[], list[Any]]], list[Any]],
    ) -> dict[tuple[int, ...], float]:
        """The unconditional sum of each distinct option."""
        options = {
            tuple(option.tolist())
            for batch in batches
            for item in batch
            for option in self._options(item)
        }
        ordered = sorted(options, key=lambda option: (len(option), option))
        found: dict[tuple[int, ...], float] = {}
        for start in range(0, len(ordered), OPTIONS_PER_PROMPT * self.scorer.rows):
            some = ordered[start : start + OPTIONS_PER_PROMPT * self.scorer.rows]
            found |= zip(some, once(functools.partial(self._unconditional, some)), strict=True)
        return found

    def _unconditional(self, options: Sequence[tuple[int, ...]]) -> list[float]:
        prompt = trim_and_append_eos(
            np.array(self.tokenizer.encode(UNCONDITIONAL)),
            self.lengths["inputs"],
            self.scorer.eos_id,
        )
        arrays = [np.array(option, np.int32) for option in options]
        groups = [
            arrays[start : start + OPTIONS_PER_PROMPT]
            for start in range(0, len(arrays), OPTIONS_PER_PROMPT)
        ]
        return [
            total
            for sums in self.scorer.log_probs([prompt] * len(groups), groups)
            for total in _plain(sums)
        ]

    def _ranked(
        self,
        choices: Sequence[np.ndarray],
        sums: list[float],
        priors: Mapping[tuple[int, ...], float] | None,
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"sums": sums, "tokens": [len(choice) for choice in choices]}
        if priors is not None:
            row["unconditional"] = [priors[tuple(choice.tolist())] for choice in choices]
        scores = option_scores(row, self.scoring)
        best = int(np.argmax(scores))
        options = [self.tokenizer.decode(choice.tolist()) for choice in choices]
        return {
            "prediction": options[best],
            "chosen": best,
            "options": options,
            "scores": _plain(scores),
        } | row

    def _prompt(self, item: Item) -> np.ndarray:
        tokens = self.stores[item.key].inputs.row(item.row)
        return trim_and_append_eos(tokens, self.lengths["inputs"], self.scorer.eos_id)

    def _options(self, item: Item) -> list[np.ndarray]:
        options = self.stores[item.key].options(item.row)
        return [
            trim_and_append_eos(option, self.lengths["targets"], self.scorer.eos_id)
            for option in options
        ]


def _plain(values: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in values]


def _about(store: TokenStore, row: int, lengths: Mapping[str, int]) -> dict[str, Any]:
    """`answer` is the index of the right option, `right` of all that are right; -1 and none where there are no options.

    "truncated" is there where the model saw the prompt, or an option, without its end.
    """
    kept = {side: length - 1 for side, length in lengths.items()}  # and EOS
    longest = max(map(len, store.options(row)), default=0)
    truncated = store.inputs.lengths[row] > kept["inputs"] or longest > kept["targets"]
    return {
        "example": int(store.examples[row]),
        "template": int(store.templates[row]),
        "answer": int(store.answers[row]),
        "right": store.right(row),
        "inputs": store.inputs_text(row),
        "references": store.references(row),
    } | ({"truncated": True} if truncated else {})
