"""Evaluation: some parameters on every template of some tasks, kept in a run's eval/ and predictions/."""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import (
    MixtureData,
    StoreKey,
    evaluation_gaps,
    prepare_evaluation,
    report_gaps,
)
from flan_jax.data.token_store import TokenStore
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError
from flan_jax.evaluation.config import EvalConfig, EvalContext, EvalJob
from flan_jax.evaluation.journal import Journal
from flan_jax.evaluation.predictions import predict
from flan_jax.evaluation.score_files import (
    _identity,
    _shared_folder,
    _shared_scores,
    is_scored,
    publish_shared,
    write_scores,
)
from flan_jax.evaluation.summaries import summaries
from flan_jax.parallel import multihost
from flan_jax.parallel.preemption import stop_together
from flan_jax.progress import Progress
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import get_task


def before_training(data: MixtureData, config: EvalConfig) -> list[EvalJob]:
    """Of the held-out tasks alone, under all prompts: on those to be trained on an untuned model scores by chance."""
    return _evaluations("before", data, config, data.split.held_out)


def after_training(data: MixtureData, config: EvalConfig) -> list[EvalJob]:
    """Of all tasks (`seen_eval_examples` of those trained on), then of the held-out ones under further prompts."""
    return _evaluations("after", data, config, [*data.split.held_out, *data.split.train])


def during_training(data: MixtureData, config: EvalConfig) -> EvalJob | None:
    """Of a few test examples of the held-out tasks; None unless config.every asks for it."""
    if config.every is None:
        return None
    if not data.split.held_out:
        raise InputError(
            f"EvalConfig.every is {config.every}, but nothing is held out; name a cluster with HELD_OUT"
        )
    tests = {key: store for key, store in data.evaluation.items() if key[1] == "test"}
    found = _evaluation("during", data, data.config.eval_prompts, tests, data.split.held_out)
    return dataclasses.replace(
        found, limits={key: _rows(s, config.during_examples) for key, s in found.stores.items()}
    )


def of_tasks(
    when: str,
    config: DataConfig,
    tasks: Sequence[str],
    trained_on: Sequence[str],
    prompts: Prompts,
    tokenizer: Tokenizer,
) -> EvalJob:
    """Of any tasks: all evaluation examples of each, of those trained on the first `seen_eval_examples` of the test split.

    Names the tasks that cannot be evaluated on stderr; raises InputError when these are all.
    """
    report_gaps(tasks, evaluation_gaps(tasks, prompts))
    stores = prepare_evaluation(config, tasks, prompts, tokenizer)
    held_out = [name for name in tasks if name not in trained_on]
    chosen = {key: store for key, store in stores.items() if key[0] in held_out or key[1] == "test"}
    return _of_stores(when, prompts, chosen, held_out, config.seen_eval_examples)


def _of_stores(
    when: str,
    prompts: Prompts,
    stores: Mapping[StoreKey, TokenStore],
    held_out: Sequence[str],
    seen: int,
) -> EvalJob:
    limits = {
        key: len(store) if key[0] in held_out else _rows(store, seen)
        for key, store in stores.items()
    }
    return EvalJob(when=when, prompts=prompts, stores=stores, limits=limits, held_out=held_out)


def _evaluation(
    when: str,
    data: MixtureData,
    prompts: Prompts,
    stores: Mapping[StoreKey, TokenStore],
    tasks: Sequence[str],
) -> EvalJob:
    chosen = {key: stores[key] for name in tasks for key in stores if key[0] == name}
    return _of_stores(when, prompts, chosen, data.split.held_out, data.config.seen_eval_examples)


def _evaluations(
    when: str, data: MixtureData, config: EvalConfig, tasks: Sequence[str]
) -> list[EvalJob]:
    """Under the prompts of evaluation, and under each of the further ones."""
    first = _evaluation(when, data, data.config.eval_prompts, data.evaluation, tasks)
    return [first] + [
        _evaluation(f"{when}-{name}", data, config.more[name], stores, tasks)
        for name, stores in data.extra_evaluation.items()
    ]


def _rows(store: TokenStore, examples: int) -> int:
    """The rows of the first examples, each in all evaluation templates."""
    return min(len(store), examples * len(store) // store.meta["examples"])


def score(
    evaluating: EvalContext, evaluation: EvalJob, weights: Mapping[str, Any], params: Any
) -> None:
    """Scores `params`, writes predictions/<task>-<when>.jsonl and, under `when`, eval/<task>.json.

    `weights` says what the parameters are. Does nothing where these scores are there already; goes on where a process that was
    killed stopped, with the same result. Scores before training are shared through `untuned_dir`. Several processes score in
    step, all the same; the one whose run `writes` keeps them.
    """
    if multihost.broadcast_from_zero(is_scored(evaluating, evaluation, weights)):
        return
    run, when, identity = (
        evaluating.run,
        evaluation.when,
        _identity(evaluating, evaluation, weights),
    )
    shared = _shared_folder(evaluating.config, when, identity)
    partial = run.path / "predictions" / f"{when}.partial"
    found = _shared_scores(shared, evaluation) if shared is not None and run.is_writer else None
    if not multihost.broadcast_from_zero(found is not None):
        scorer = evaluating.scorer(params)
        journal = Journal(partial, identity | {"rows": scorer.rows}, is_writer=run.is_writer)
        found = texts, scores = _score_now(evaluating, evaluation, scorer, journal)
        if shared is not None and run.is_writer:
            publish_shared(shared, texts, {"identity": identity, "scores": scores})
    if found is not None and run.is_writer:
        write_scores(run, evaluation, identity, *found)
        partial.unlink(missing_ok=True)


def cluster_means(
    evaluating: EvalContext,
    evaluation: EvalJob,
    params: Any,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """{cluster: mean over its tasks of the tasks' means over templates}; writes nothing."""
    found = predict(
        evaluating.scorer(params), evaluation.stores, evaluation.limits, evaluating.lengths, evaluating.tokenizer,
        scoring=evaluating.config.scoring, progress=progress,
    )  # fmt: skip
    by_cluster: dict[str, list[float]] = {}
    for name, summary in summaries(found, evaluation.held_out).items():
        by_cluster.setdefault(get_task(name).cluster, []).append(summary["mean"])
    return {cluster: float(np.mean(scores)) for cluster, scores in by_cluster.items()}


def _score_now(
    evaluating: EvalContext, evaluation: EvalJob, scorer: Scorer, journal: Journal
) -> tuple[dict[str, str], dict[str, Any]]:
    """(lines of predictions, summary) of each task."""
    label = (
        f"evaluate {evaluation.when} training"
        if "-" not in evaluation.when
        else f"evaluate {evaluation.when}"
    )
    with Progress(label, sum(evaluation.limits.values())) as bar:

        def progress(done: int) -> None:
            stop_together()
            bar.update(done)

        found = predict(
            scorer, evaluation.stores, evaluation.limits, evaluating.lengths, evaluating.tokenizer,
            scoring=evaluating.config.scoring, once=journal, progress=progress,
        )  # fmt: skip
    texts = dict.fromkeys(evaluation.tasks, "")
    for (name, split), rows in found.items():
        texts[name] += "".join(
            json.dumps({"split": split, **row}, ensure_ascii=False) + "\n" for row in rows
        )
    scores = summaries(found, evaluation.held_out)
    _warn_of_truncation(evaluation.when, scores)
    return texts, scores


def _warn_of_truncation(when: str, scores: Mapping[str, Mapping[str, Any]]) -> None:
    cut = [
        f"{name} {score['truncated']:.0f} %"
        for name, score in scores.items()
        if score["truncated"] >= 0.5
    ]
    if cut:
        print(
            f"{when}: prompts whose end the model does not see, as LENGTHS are shorter: {', '.join(cut)}",
            file=sys.stderr,
            flush=True,
        )
