"""Evaluation: some parameters on every template of some tasks, kept in a run's eval/ and predictions/."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from flan_jax.data.config import DataConfig
from flan_jax.data.mixture_data import MixtureData, StoreKey, not_evaluated, prepare_evaluation, refuse_gaps
from flan_jax.data.token_store import TokenStore
from flan_jax.data.tokenizers import Tokenizer
from flan_jax.decoding.scorer import Scorer
from flan_jax.errors import InputError
from flan_jax.json_files import read_json, write_json, write_text
from flan_jax.parallel import multihost
from flan_jax.parallel.preemption import stop_together
from flan_jax.predictions import Journal, check_scoring, predict
from flan_jax.progress import Progress
from flan_jax.run_dir import Run
from flan_jax.summaries import summaries
from flan_jax.tasks.prompts import Prompts
from flan_jax.tasks.task import get_task

VERSION = 2
"""Part of what an evaluation is known by. Raise it when predictions or summaries come out otherwise than before."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """rows: prompts in a batch. scoring: what options are ranked by, see `option_scores` in `predictions.py`:
    "sum" of log-probabilities (FLAN's way), "mean" of a token, or "calibrated" by the option's unconditional probability.

    untuned_dir: a folder where the scores before training are kept for all runs that start from the same parameters.
    every: score the held-out tasks every so many steps of training, on `during_examples` test examples of each; None: not.
    more: further prompts under which the held-out tasks are scored before and after training, by name: {"none": Prompts(...)}
    gives "before-none" and "after-none".
    """

    rows: int = 32
    scoring: str = "sum"
    untuned_dir: str | None = None
    every: int | None = None
    during_examples: int = 50
    more: Mapping[str, Prompts] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_scoring(self.scoring)
        for name in ("rows", "every", "during_examples"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"EvalConfig.{name} is {value}; it must be at least 1")
        for name, prompts in self.more.items():
            if not re.fullmatch(r"\w+", str(name)) or not isinstance(prompts, Prompts):
                raise InputError(
                    f"EvalConfig.more is {{{name!r}: {prompts!r}}}; write a name of letters, digits and '_', and prompts: "
                    "{'none': @none/Prompts()}, with none/Prompts.instructions = 'none'"
                )


@dataclasses.dataclass(frozen=True)
class Evaluating:
    """What all evaluations of a run have in common. `lengths`: tokens that the model sees of inputs and targets."""

    run: Run
    model: Any
    tokenizer: Tokenizer
    lengths: Mapping[str, int]
    mesh: Mesh
    config: EvalConfig

    def scorer(self, params: Any) -> Scorer:
        return Scorer(self.model, params, self.mesh, rows=self.config.rows, eos_id=self.tokenizer.eos_id)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Which prompts are scored, and under which name: "before" or "after" training, "after-NAME" (and "before-NAME") under
    other prompts.

    `limits` is how many rows of each store. `held_out` are the tasks that are not trained on.
    """

    when: str
    prompts: Prompts
    stores: Mapping[StoreKey, TokenStore]
    limits: Mapping[StoreKey, int]
    held_out: Sequence[str]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self.stores))


def before_training(data: MixtureData, config: EvalConfig) -> list[Evaluation]:
    """Of the held-out tasks alone, under all prompts: on those to be trained on an untuned model scores by chance."""
    return _evaluations("before", data, config, data.split.held_out)


def after_training(data: MixtureData, config: EvalConfig) -> list[Evaluation]:
    """Of all tasks (`seen_eval_examples` of those trained on), then of the held-out ones under further prompts."""
    return _evaluations("after", data, config, [*data.split.held_out, *data.split.train])


def during_training(data: MixtureData, config: EvalConfig) -> Evaluation | None:
    """Of a few test examples of the held-out tasks; None unless config.every asks for it."""
    if config.every is None:
        return None
    if not data.split.held_out:
        raise InputError(f"EvalConfig.every is {config.every}, but nothing is held out; name a cluster with HELD_OUT")
    tests = {key: store for key, store in data.evaluation.items() if key[1] == "test"}
    found = _evaluation("during", data, data.config.eval_prompts, tests, data.split.held_out)
    return dataclasses.replace(found, limits={key: _rows(s, config.during_examples) for key, s in found.stores.items()})


def of_tasks(
    when: str,
    config: DataConfig,
    tasks: Sequence[str],
    trained_on: Sequence[str],
    prompts: Prompts,
    tokenizer: Tokenizer,
) -> Evaluation:
    """Of any tasks: all evaluation examples of each, of those trained on the first `seen_eval_examples` of the test split.

    Names the tasks that cannot be evaluated on stderr; raises InputError when these are all.
    """
    refuse_gaps(tasks, not_evaluated(tasks, prompts))
    stores = prepare_evaluation(config, tasks, prompts, tokenizer)
    held_out = [name for name in tasks if name not in trained_on]
    chosen = {key: store for key, store in stores.items() if key[0] in held_out or key[1] == "test"}
    return _of_stores(when, prompts, chosen, held_out, config.seen_eval_examples)


def _of_stores(
    when: str, prompts: Prompts, stores: Mapping[StoreKey, TokenStore], held_out: Sequence[str], seen: int
) -> Evaluation:
    limits = {key: len(store) if key[0] in held_out else _rows(store, seen) for key, store in stores.items()}
    return Evaluation(when=when, prompts=prompts, stores=stores, limits=limits, held_out=held_out)


def _evaluation(
    when: str, data: MixtureData, prompts: Prompts, stores: Mapping[StoreKey, TokenStore], tasks: Sequence[str]
) -> Evaluation:
    chosen = {key: stores[key] for name in tasks for key in stores if key[0] == name}
    return _of_stores(when, prompts, chosen, data.split.held_out, data.config.seen_eval_examples)


def _evaluations(when: str, data: MixtureData, config: EvalConfig, tasks: Sequence[str]) -> list[Evaluation]:
    """Under the prompts of evaluation, and under each of the further ones."""
    first = _evaluation(when, data, data.config.eval_prompts, data.evaluation, tasks)
    return [first] + [
        _evaluation(f"{when}-{name}", data, config.more[name], stores, tasks) for name, stores in data.more.items()
    ]


def _rows(store: TokenStore, examples: int) -> int:
    """The rows of the first examples, each in all evaluation templates."""
    return min(len(store), examples * len(store) // store.meta["examples"])


def score(evaluating: Evaluating, evaluation: Evaluation, weights: Mapping[str, Any], params: Any) -> None:
    """Scores `params`, writes predictions/<task>-<when>.jsonl and, under `when`, eval/<task>.json.

    `weights` says what the parameters are. Does nothing where these scores are there already; goes on where a process that was
    killed stopped, with the same result. Scores before training are shared through `untuned_dir`. Several processes score in
    step, all the same; the one whose run `writes` keeps them.
    """
    if multihost.leads_word(is_scored(evaluating, evaluation, weights)):
        return
    run, when, identity = evaluating.run, evaluation.when, _identity(evaluating, evaluation, weights)
    shared = _shared_folder(evaluating.config, when, identity)
    partial = run.path / "predictions" / f"{when}.partial"
    found = _shared_scores(shared, evaluation) if shared is not None and run.writes else None
    if not multihost.leads_word(found is not None):
        scorer = evaluating.scorer(params)
        journal = Journal(partial, identity | {"rows": scorer.rows}, writes=run.writes)
        found = texts, scores = _score_now(evaluating, evaluation, scorer, journal)
        if shared is not None and run.writes:
            _share(shared, texts, {"identity": identity, "scores": scores})
    if found is not None and run.writes:
        _keep(run, evaluation, identity, *found)
        partial.unlink(missing_ok=True)


def is_scored(evaluating: Evaluating, evaluation: Evaluation, weights: Mapping[str, Any]) -> bool:
    """Whether `score` has written all that it would write now."""
    identity, there = _identity(evaluating, evaluation, weights), _scored(evaluating.run, evaluation.when)
    return not evaluation.stores or (
        there.get("conditions") == identity["conditions"]
        and identity["stores"].items() <= there["stores"].items()
        and all(evaluation.when in _scores(evaluating.run, name) for name in evaluation.tasks)
    )


def scored_weights(run: Run, when: str) -> Mapping[str, Any] | None:
    """The `weights` whose scores are under `when`; None where there are none."""
    return _scored(run, when).get("conditions", {}).get("weights")


def means(
    evaluating: Evaluating, evaluation: Evaluation, params: Any, progress: Callable[[int], None] = lambda done: None
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


def forget(run: Run, when: str) -> None:
    """Removes the scores under `when`, and what they were made of."""
    if not run.writes:
        return
    folder = run.path / "predictions"
    (folder / f"{when}.json").unlink(missing_ok=True)  # first: without it nothing counts as scored
    for file in (run.path / "eval").glob("*.json"):
        scores = read_json(file) or {}
        if scores.pop(when, None) is not None:
            write_json(file, scores)
    for file in folder.glob("*.jsonl"):
        if file.stem.partition("-")[2] == when:
            file.unlink()


def forget_others(run: Run, kept: Sequence[str]) -> None:
    """Removes the scores of evaluations that are no longer asked for."""
    for when in {file.stem for file in (run.path / "predictions").glob("*.json")} - {*kept}:
        forget(run, when)


def _identity(evaluating: Evaluating, evaluation: Evaluation, weights: Mapping[str, Any]) -> dict[str, Any]:
    """What scores are known by: {"conditions": what all tasks share, "stores": {"rte/test": [its folder, rows]}}."""
    conditions = {
        "version": VERSION,
        "weights": weights,
        "prompts": dataclasses.asdict(evaluation.prompts),
        "scoring": evaluating.config.scoring,
        "lengths": evaluating.lengths,
    }
    # A store's folder is named by the fingerprint of all that shapes its tokens.
    stores = {
        f"{name}/{split}": [store.folder.name, evaluation.limits[name, split]]
        for (name, split), store in evaluation.stores.items()
    }
    return json.loads(json.dumps({"conditions": conditions, "stores": stores}))


def _scored(run: Run, when: str) -> dict[str, Any]:
    """The identity of the scores under `when`; {} where there are none."""
    return read_json(run.path / "predictions" / f"{when}.json") or {}


def _scores(run: Run, task: str) -> dict[str, Any]:
    return read_json(run.path / "eval" / f"{task}.json") or {}


def _score_now(
    evaluating: Evaluating, evaluation: Evaluation, scorer: Scorer, journal: Journal
) -> tuple[dict[str, str], dict[str, Any]]:
    """(lines of predictions, summary) of each task."""
    label = f"evaluate {evaluation.when} training" if "-" not in evaluation.when else f"evaluate {evaluation.when}"
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
        texts[name] += "".join(json.dumps({"split": split, **row}, ensure_ascii=False) + "\n" for row in rows)
    scores = summaries(found, evaluation.held_out)
    _warn_of_truncation(evaluation.when, scores)
    return texts, scores


def _warn_of_truncation(when: str, scores: Mapping[str, Mapping[str, Any]]) -> None:
    cut = [f"{name} {score['truncated']:.0f} %" for name, score in scores.items() if score["truncated"] >= 0.5]
    if cut:
        print(
            f"{when}: prompts whose end the model does not see, as LENGTHS are shorter: {', '.join(cut)}",
            file=sys.stderr,
            flush=True,
        )


def _keep(
    run: Run, evaluation: Evaluation, identity: Mapping[str, Any], texts: Mapping[str, str], scores: Mapping[str, Any]
) -> None:
    """Writes an evaluation into the run; last its identity, without which it does not count."""
    when, there = evaluation.when, _scored(run, evaluation.when)
    if there.get("conditions") != identity["conditions"]:
        forget(run, when)  # of other parameters or prompts, maybe on other tasks, too
        there = {}
    for name, summary in scores.items():
        write_text(run.path / "predictions" / f"{name}-{when}.jsonl", texts[name])
        about = {"task": name, "cluster": get_task(name).cluster, "held_out": name in evaluation.held_out}
        write_json(run.path / "eval" / f"{name}.json", _scores(run, name) | about | {when: summary})
    stores = there.get("stores", {}) | identity["stores"]
    write_json(run.path / "predictions" / f"{when}.json", {"conditions": identity["conditions"], "stores": stores})


def _shared_folder(config: EvalConfig, when: str, identity: Mapping[str, Any]) -> Path | None:
    """Where all runs keep these scores; None where each keeps its own."""
    if not when.startswith("before") or config.untuned_dir is None:
        return None
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(config.untuned_dir).expanduser() / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"EvalConfig.untuned_dir {folder.parent} cannot be written ({error.strerror})") from None
    return folder


def _shared_scores(folder: Path, evaluation: Evaluation) -> tuple[dict[str, str], dict[str, Any]] | None:
    """(lines of predictions, summary) of each task, where another run has left them."""
    kept = read_json(folder / "scores.json")
    if kept is None:
        return None
    return {name: (folder / f"{name}.jsonl").read_text("utf-8") for name in evaluation.tasks}, kept["scores"]


def _share(folder: Path, texts: Mapping[str, str], content: Mapping[str, Any]) -> None:
    """Fills `folder` at once, unless another process did so before."""
    temporary = folder.parent / f".tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}-{socket.gethostname()}"
    try:
        temporary.mkdir()
        for name, text in texts.items():
            write_text(temporary / f"{name}.jsonl", text)
        write_json(temporary / "scores.json", content)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not (folder / "scores.json").is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
