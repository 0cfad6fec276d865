"""Evaluation: every template of every held-out task, by rank classification or greedy generation."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from flan_jax.data.mixture_data import MixtureData
from flan_jax.data.store import TokenStore, trim_and_append_eos
from flan_jax.data.tasks import get_task
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.decoding import Scorer
from flan_jax.errors import InputError
from flan_jax.generation import GenerationConfig
from flan_jax.progress import Progress
from flan_jax.reading import bucket
from flan_jax.run import Run, read_json, write_json, write_text
from flan_jax.summaries import summaries

StoreKey = tuple[str, str]
"""(task, split)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """rows: prompts in a batch. length_normalised: rank options by log-probability a token, not by their sum (FLAN's way)."""

    rows: int = 32
    length_normalised: bool = False

    def __post_init__(self):
        if self.rows < 1:
            raise InputError(f"EvalConfig.rows is {self.rows}; it must be at least 1")


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
    config: EvalConfig,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[StoreKey, list[dict[str, Any]]]:
    """A prediction for each of the first `limits` rows of each store, in the stores' order.

    All tasks and templates go through one queue, sorted by length, so that batches hold little padding. `progress` is
    called with the number of rows done.
    """
    found: dict[StoreKey, list[dict[str, Any]]] = {key: [{}] * limits[key] for key in stores}
    done = 0
    for batch in _batches(stores, limits, lengths, config.rows):
        prompts = [
            trim_and_append_eos(stores[i.key].inputs.row(i.row), lengths["inputs"], scorer.eos_id) for i in batch
        ]
        answer = _rank if stores[batch[0].key].answers[batch[0].row] >= 0 else _generate
        for item, prediction in zip(
            batch, answer(scorer, stores, batch, prompts, lengths, tokenizer, config), strict=True
        ):
            found[item.key][item.row] = _about(stores[item.key], item.row) | prediction
        done += len(batch)
        progress(done)
    return found


def _batches(
    stores: Mapping[StoreKey, TokenStore], limits: Mapping[StoreKey, int], lengths: Mapping[str, int], rows: int
) -> Iterator[list[Item]]:
    """Rank-classification rows, then generation rows, each sorted by padded length."""
    queues: tuple[list[Item], list[Item]] = ([], [])
    for key, store in stores.items():
        sizes = np.minimum(store.inputs.lengths + 1, lengths["inputs"])
        for row, (size, answer) in enumerate(zip(sizes.tolist()[: limits[key]], store.answers.tolist(), strict=False)):
            queues[0 if answer >= 0 else 1].append(Item(key, row, bucket(size)))
    for queue in queues:
        queue.sort(key=lambda item: item.length)  # stable: stores stay together within a length
        for start in range(0, len(queue), rows):
            yield queue[start : start + rows]


def _rank(scorer, stores, batch, prompts, lengths, tokenizer, config) -> Iterator[dict[str, Any]]:
    answers = [
        [trim_and_append_eos(option, lengths["targets"], scorer.eos_id) for option in stores[i.key].options(i.row)]
        for i in batch
    ]
    for choices, sums in zip(answers, scorer.log_probs(prompts, answers), strict=True):
        scores = sums / [len(choice) for choice in choices] if config.length_normalised else sums
        best = int(np.argmax(scores))
        options = [tokenizer.decode(choice.tolist()) for choice in choices]
        yield {
            "prediction": options[best],
            "chosen": best,
            "options": options,
            "scores": [round(float(score), 4) for score in scores],
        }


def _generate(scorer, stores, batch, prompts, lengths, tokenizer, config) -> Iterator[dict[str, Any]]:
    for tokens in scorer.generate(prompts, GenerationConfig(lengths["targets"])):
        yield {"prediction": tokenizer.decode(tokens.tolist())}


def _about(store: TokenStore, row: int) -> dict[str, Any]:
    """`answer` is the index of the right option, `right` of all that are right; -1 and none where there are no options."""
    return {
        "example": int(store.examples[row]),
        "template": int(store.templates[row]),
        "answer": int(store.answers[row]),
        "right": store.right(row),
        "inputs": store.inputs_text(row),
        "references": store.references(row),
    }


def score(
    run: Run,
    model: Any,
    data: MixtureData,
    lengths: Mapping[str, int],
    mesh: Mesh,
    config: EvalConfig,
    when: str,
    params: Any,
    tasks: Sequence[str],
) -> None:
    """Scores `tasks` and writes predictions/<task>-<when>.jsonl and, under `when`, eval/<task>.json.

    Of the tasks trained on, the first `seen_eval_examples` examples are scored.
    """
    scorer = Scorer(model, params, mesh, rows=config.rows, eos_id=data.tokenizer.eos_id)
    stores = {key: store for key, store in data.evaluation.items() if key[0] in tasks}
    limits = {
        key: len(store) if key[0] in data.split.held_out else _rows_of(key, data) for key, store in stores.items()
    }
    with Progress(f"evaluate {when} training", sum(limits.values())) as bar:
        found = predict(scorer, stores, limits, lengths, data.tokenizer, config, bar.update)
    for name, summary in summaries(found, data.split.held_out).items():
        rows = [{"split": split, **row} for (owner, split), rows in found.items() if owner == name for row in rows]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_text(run.path / "predictions" / f"{name}-{when}.jsonl", text)
        file = run.path / "eval" / f"{name}.json"
        about = {"task": name, "cluster": get_task(name).cluster, "held_out": name in data.split.held_out}
        write_json(file, (read_json(file) or {}) | about | {when: summary})


def is_scored(run: Run, when: str, tasks: Sequence[str]) -> bool:
    """Whether `score` has written all of `tasks` under `when`."""
    return all(when in (read_json(run.path / "eval" / f"{name}.json") or {}) for name in tasks)


def _rows_of(key: StoreKey, data: MixtureData) -> int:
    """The rows of a task trained on: the first examples, each in all evaluation templates."""
    store = data.evaluation[key]
    return min(len(store), data.config.seen_eval_examples * len(store) // store.meta["examples"])
