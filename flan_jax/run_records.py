"""Typed records of a run's files: what training and evaluation write and what the reports read.

A run directory holds eval/<task>.json, one `TaskScores`; predictions/<task>-<phase>.jsonl, one
`Prediction` a line; and manifest.json, whose "mixture" is one `MixtureSummary`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from flan_jax.errors import InputError
from flan_jax.json_files import JsonObject, read_json, write_json

Time: TypeAlias = Literal["before", "after", "during"]
"""When parameters are scored: before, after or during training."""

ParamsId: TypeAlias = JsonObject
"""The identity of parameters; equal for equal parameters. It has the keys "model" and "source" for
initial and imported parameters, "run" and "step" for trained ones."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """Which parameters are scored under which prompts. Files name it by its text.

    >>> str(Phase("before")), str(Phase("after", "none"))
    ('before', 'after-none')

    Attributes:
      time: when the parameters are scored, relative to training.
      prompts: the name of additional prompts (see EvalConfig.more) or of a control; "" for the
        default prompts.
    """

    time: Time
    prompts: str = ""

    @property
    def is_control(self) -> bool:
        """Whether this is a control of the scores before and after training (CONTROLS).

        No name in EvalConfig.more has a hyphen.
        """
        return self.prompts.startswith("control-")

    def __str__(self) -> str:
        return f"{self.time}-{self.prompts}" if self.prompts else self.time

    @classmethod
    def parse(cls, text: str) -> "Phase":
        """Returns the phase with this text, the inverse of str().

        Args:
          text: such as "before", "after" or "after-definition".

        Returns:
          The phase; what follows the first hyphen names the prompts.

        Raises:
          InputError: the text does not begin with "before", "after" or "during".
        """
        time, _, prompts = text.partition("-")
        for known in get_args(Time):
            if time == known:
                return cls(known, prompts)
        raise InputError(
            f"{text!r} is not a phase; write 'before', 'after' or 'after-NAME'"
        )


def phase_name(phase: Phase, params_id: ParamsId) -> str:
    """Returns what the terminal calls a phase: its text, but "score" where nothing was trained.

    >>> phase_name(Phase("after", "none"), {"model": {}, "source": {"path": "/models/t5"}})
    'score-none'

    Args:
      phase: the phase.
      params_id: the identity of the parameters that are scored.
    """
    is_trained_here = "source" not in params_id
    if phase.time != "after" or is_trained_here:
        return str(phase)
    return f"score-{phase.prompts}" if phase.prompts else "score"


BEFORE = Phase("before")
AFTER = Phase("after")
DURING = Phase("during")

CLOZE = Phase("before", "control-cloze")
"""The untuned model on the tasks' clozes, ranked by the scoring that is best for each task."""
FEW_SHOT = Phase("before", "control-few_shot")
"""The untuned model in the tasks' templates, with exemplars."""
HYPOTHESIS_ONLY = Phase("after", "control-hypothesis_only")
"""The tuned model in the tasks' templates, without the premise."""
CONTROLS = (CLOZE, FEW_SHOT, HYPOTHESIS_ONLY)
SHUFFLED = Phase("after", "control-shuffled_labels")
"""The model that another run has tuned on shuffled labels, in the tasks' templates: a control that
reports put beside a run's own, and that is in no run's files."""


@dataclasses.dataclass(frozen=True)
class TemplateScore:
    """The headline score of one template.

    Attributes:
      template: the index among the task's templates.
      score: the headline metric on the test split.
    """

    template: int
    score: float


@dataclasses.dataclass(frozen=True)
class TemplateMetrics:
    """All metrics of one template.

    Attributes:
      template: the index among the task's templates.
      splits: {"test": {"accuracy": 81.2}, "validation": {...}}.
    """

    template: int
    splits: Mapping[str, Mapping[str, float]]


ONLY_OF_CONTROLS = ("scoring", "scorings", "train_majority", "exemplars")
"""Fields of PromptScores that a file has only where they are known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptScores:
    """The scores of a task in one phase: one entry of eval/<task>.json.

    Scores and shares are percentages if the metric is one (all of flan_jax.tasks.metrics are).

    Fields that are None are unknown or do not apply. Fields are in the order of the file.

    Attributes:
      metric: the headline metric's name, the first of the task's metrics.
      mean: the mean of the headline metric on the test split over the templates.
      median: the median over the templates. T0 reports it (Sanh et al. 2022).
      quartiles: the first and third quartile over the templates.
      interval: 95 % bootstrap confidence interval of the mean (flan_jax.bootstrap).
      standard_error: bootstrap standard error of the mean.
      values: [templates][examples], the headline metric of each example; an entry is None where the
        template was not rendered for the example. For a metric of groups, [templates][groups]: the
        whole groups, in the order of their first examples. None for metrics of a whole set, and for
        tasks that were trained on.
      best_dev_template: the template that is best on the validation split, and its test score.
      chance: the expected score of a uniformly random choice; None for generation.
      majority: the score of always giving the most frequent correct answer; None for generation.
      examples: the number of examples of the test split.
      groups: the number of groups whose examples were all scored, which metrics of groups count;
        None for a task without groups.
      partial_groups: the number of groups that a cap cuts, which metrics of groups leave out. If
        there are no others, the metrics of groups are absent.
      truncated: percentage of test prompts that were longer than the model's input length.
      ties: percentage of test prompts where several options have the highest score; None for
        generation. Each of n such options counts 1/n; in a metric of groups, each way of choosing
        among the best options of all its examples counts the same.
      scoring: the scoring that options are ranked by, where it is the best of several.
      scorings: {scoring: the mean score with it}, where several were tried.
      train_majority: the score of always giving the answer that is the most frequent one in the
        training split; None where that is not known.
      exemplars: the mean number of exemplars in a few-shot prompt; fewer than were asked for where
        they do not fit. None for other prompts.
      templates: all metrics of each template.
    """

    metric: str
    mean: float
    median: float | None = None
    quartiles: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    standard_error: float | None = None
    values: list[list[float | None]] | np.ndarray | None = None
    best_dev_template: TemplateScore | None = None
    chance: float | None = None
    majority: float | None = None
    examples: int | None = None
    groups: int | None = None
    partial_groups: int | None = None
    truncated: float | None = None
    ties: float | None = None
    scoring: str | None = None
    scorings: Mapping[str, float] | None = None
    train_majority: float | None = None
    exemplars: float | None = None
    templates: tuple[TemplateMetrics, ...]

    @property
    def by_template(self) -> dict[int, float]:
        """{template: the headline metric on the test split}."""
        return {
            entry.template: entry.splits["test"][self.metric]
            for entry in self.templates
        }

    @property
    def further_metrics(self) -> dict[str, float]:
        """{metric: its mean over the templates on the test split}, without the headline metric."""
        means = {}
        for name in self.templates[0].splits["test"]:
            if name == self.metric:
                continue
            values = [entry.splits["test"][name] for entry in self.templates]
            means[name] = float(np.mean(values))
        return means

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object of the file."""
        content = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None or field.name not in ONLY_OF_CONTROLS:
                content[field.name] = value
        if self.best_dev_template is not None:
            content["best_dev_template"] = dataclasses.asdict(self.best_dev_template)
        content["templates"] = [
            {"template": entry.template, **entry.splits} for entry in self.templates
        ]
        return content

    @classmethod
    def from_json(cls, content: JsonObject) -> "PromptScores":
        """Returns the record of a JSON object; absent fields become None.

        Args:
          content: what to_json returns, read from a file.

        Returns:
          The record.

        Raises:
          LookupError, TypeError, ValueError: the object is not what to_json returns.
        """
        templates = tuple(_template_metrics(entry) for entry in content["templates"])
        scores = cls(
            metric=str(content["metric"]),
            mean=float(content["mean"]),
            median=_number(content.get("median")),
            quartiles=_pair(content.get("quartiles")),
            interval=_pair(content.get("interval")),
            standard_error=_number(content.get("standard_error")),
            values=content.get("values"),
            best_dev_template=_template_score(content.get("best_dev_template")),
            chance=_number(content.get("chance")),
            majority=_number(content.get("majority")),
            examples=_integer(content.get("examples")),
            groups=_integer(content.get("groups")),
            partial_groups=_integer(content.get("partial_groups")),
            truncated=_number(content.get("truncated")),
            ties=_number(content.get("ties")),
            scoring=content.get("scoring"),
            scorings=_numbers(content.get("scorings")),
            train_majority=_number(content.get("train_majority")),
            exemplars=_number(content.get("exemplars")),
            templates=templates,
        )
        scores._check()
        return scores

    def _check(self) -> None:
        """Raises LookupError or ValueError unless all templates have the headline metric."""
        count = len(self.by_template)
        if self.values is None:
            return
        values = np.array(self.values, float)
        is_matrix = values.ndim == 2 and len(values) == count
        if not is_matrix or np.isnan(values).all(axis=1).any():
            raise ValueError("its values are not numbers, templates x examples")


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """All scores of a task in a run: eval/<task>.json.

    Attributes:
      task: the task's name.
      cluster: the cluster that the task belongs to.
      held_out: whether the run does not train on the task.
      scores: the scores of each phase, in the order in which they were written.
      provenance: where the scored rows come from, as in MixtureTask; empty if unknown.
    """

    task: str
    cluster: str
    held_out: bool
    scores: Mapping[Phase, PromptScores]
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object of the file: what the task is, then one key a phase."""
        content: dict[str, Any] = {
            "task": self.task,
            "cluster": self.cluster,
            "held_out": self.held_out,
        }
        if self.provenance:
            content["provenance"] = dict(self.provenance)
        for phase, scores in self.scores.items():
            content[str(phase)] = scores.to_json()
        return content

    @classmethod
    def from_json(cls, content: JsonObject) -> "TaskScores":
        """Returns the record of a JSON object. Phases that are null are left out.

        Args:
          content: what to_json returns, read from a file.

        Returns:
          The record.

        Raises:
          LookupError, TypeError, ValueError: the object is not what to_json returns.
        """
        if not isinstance(content, Mapping):
            raise TypeError(f"a {type(content).__name__} instead of an object")
        scores = {
            Phase.parse(key): PromptScores.from_json(value)
            for key, value in content.items()
            if key.partition("-")[0] in get_args(Time) and value is not None
        }
        return cls(
            task=str(content["task"]),
            cluster=str(content["cluster"]),
            held_out=bool(content["held_out"]),
            scores=scores,
            provenance=dict(content.get("provenance", {})),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureTask:
    """One task of a mixture: one entry of manifest.json's mixture.tasks. Lengths are in tokens.

    Attributes:
      task: the task's name.
      cluster: the cluster that the task belongs to.
      examples: training examples in the token store, each counted once whatever its renderings.
      filtered: rows of the source that the task leaves out.
      rate: the mixing rate. Draws from tasks are in proportion to it.
      share: the share of all draws, of 1.
      epochs: how often each example is drawn during training, on average.
      mean_inputs: mean length of the inputs, with EOS and untruncated.
      p95_inputs: 95th percentile of the inputs' length.
      mean_targets: mean length of the targets, with EOS and untruncated.
      p95_targets: 95th percentile of the targets' length.
      truncated_inputs: share of the examples whose inputs are truncated, of 1.
      truncated_targets: share of the examples whose targets are truncated, of 1.
      provenance: where the rows come from, {"kind": "generated" | "tfds" | "files" | "seqio", ...};
        empty if unknown (runs of earlier versions).
    """

    task: str
    cluster: str
    examples: int
    filtered: int
    rate: int
    share: float
    epochs: float
    mean_inputs: float
    p95_inputs: float
    mean_targets: float
    p95_targets: float
    truncated_inputs: float
    truncated_targets: float
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, content: JsonObject) -> "MixtureTask":
        """Returns the record of a JSON object.

        Args:
          content: one entry of "tasks" in what MixtureSummary.to_json returns.

        Returns:
          The record.

        Raises:
          LookupError, TypeError, ValueError: the object is not what MixtureSummary.to_json returns.
        """
        return cls(
            task=str(content["task"]),
            cluster=str(content["cluster"]),
            examples=int(content["examples"]),
            filtered=int(content["filtered"]),
            rate=int(content["rate"]),
            share=float(content["share"]),
            epochs=float(content["epochs"]),
            mean_inputs=float(content["mean_inputs"]),
            p95_inputs=float(content["p95_inputs"]),
            mean_targets=float(content["mean_targets"]),
            p95_targets=float(content["p95_targets"]),
            truncated_inputs=float(content["truncated_inputs"]),
            truncated_targets=float(content["truncated_targets"]),
            provenance=dict(content.get("provenance", {})),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureSummary:
    """What a run trains on, in numbers: manifest.json's mixture.

    Attributes:
      tasks: the tasks trained on, in the order of the mixture.
      held_out: the names of the held-out tasks.
      rows_filled: the share of token positions that packing fills, of 1, for each side of a row:
        {"inputs": ..., "targets": ...}, or {"inputs and targets": ...} for a decoder.
      examples_per_batch: mean number of examples in a batch.
      supervised_tokens_per_batch: mean number of tokens with loss in a batch.
      batch_size: rows of a batch.
      lengths: tokens of a row, {"inputs": ..., "targets": ...}.
      steps: training steps.
    """

    tasks: tuple[MixtureTask, ...]
    held_out: tuple[str, ...]
    rows_filled: Mapping[str, float]
    examples_per_batch: float
    supervised_tokens_per_batch: float
    batch_size: int
    lengths: Mapping[str, int]
    steps: int

    @property
    def generated_tasks(self) -> tuple[str, ...]:
        """The tasks whose rows are generated (the practice corpus), not a real dataset."""
        return tuple(
            row.task for row in self.tasks if row.provenance.get("kind") == "generated"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object of the manifest."""
        content = dataclasses.asdict(self)
        return content | {
            "tasks": list(content["tasks"]),
            "held_out": list(self.held_out),
        }

    @classmethod
    def from_json(cls, content: JsonObject) -> "MixtureSummary":
        """Returns the record of a JSON object. Other keys are ignored.

        Args:
          content: what to_json returns, read from a file.

        Returns:
          The record.

        Raises:
          LookupError, TypeError, ValueError: the object is not what to_json returns.
        """
        rows_filled = {
            str(side): float(share) for side, share in content["rows_filled"].items()
        }
        lengths = {
            str(side): int(length) for side, length in content["lengths"].items()
        }
        return cls(
            tasks=tuple(MixtureTask.from_json(row) for row in content["tasks"]),
            held_out=tuple(content["held_out"]),
            rows_filled=rows_filled,
            examples_per_batch=float(content["examples_per_batch"]),
            supervised_tokens_per_batch=float(content["supervised_tokens_per_batch"]),
            batch_size=int(content["batch_size"]),
            lengths=lengths,
            steps=int(content["steps"]),
        )


def scores_file(run_dir: Path, task: str) -> Path:
    """Returns the path of a task's scores."""
    return run_dir / "eval" / f"{task}.json"


def read_task_scores(path: Path) -> TaskScores | None:
    """Reads eval/<task>.json.

    Returns:
      The scores, or None when there is no such file.

    Raises:
      InputError: the file is damaged, or is not what a run writes.
    """
    content = read_json(path)
    if content is None:
        return None
    try:
        return TaskScores.from_json(content)
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise InputError(
            f"{path} is not what a run writes ({type(error).__name__}: {error}). Delete it and run "
            "the evaluation again"
        ) from None


def read_all_task_scores(run_dir: Path) -> list[TaskScores]:
    """Reads all of a run's eval/*.json, ordered by file name.

    Args:
      run_dir: the run directory.

    Returns:
      A record for each task that has scores; none if the run has no eval folder.

    Raises:
      InputError: a file is damaged, or is not what a run writes.
    """
    files = sorted((run_dir / "eval").glob("*.json"))
    records = [read_task_scores(file) for file in files]
    return [record for record in records if record is not None]


def write_task_scores(path: Path, record: TaskScores) -> None:
    """Replaces eval/<task>.json atomically."""
    write_json(path, record.to_json())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """The model's answer to one prompt: one line of predictions/<task>-<phase>.jsonl.

    A prediction by rank classification has the fields from `chosen` on, a generated text does not.

    Attributes:
      example: the number of the example in its source, from 0.
      template: the index among the task's templates.
      answer: the index of the correct option; -1 for generation.
      right: the indices of all correct options; empty for generation.
      inputs: the prompt.
      references: the correct answers as text.
      group: the name of the example's group; None for a task without groups.
      group_rows: the number of examples of this group in the split, scored or not.
      truncated: whether the model saw the prompt, or an option, without its end.
      prediction: the chosen option's text, or the generated text.
      chosen: the index of the chosen option, the first of those with the highest score.
      options: the text of each option.
      scores: the value by which each option is ranked.
      sums: the log-probability of each option after the prompt, in nats.
      tokens: the number of tokens of each option, EOS included.
      unconditional: the log-probability of each option after a prompt without content; None unless
        the scoring is "calibrated".
    """

    example: int
    template: int
    answer: int
    right: list[int]
    inputs: str
    references: list[str]
    group: str | None = None
    group_rows: int | None = None
    truncated: bool = False
    prediction: str
    chosen: int | None = None
    options: list[str] | None = None
    scores: list[float] | None = None
    sums: list[float] | None = None
    tokens: list[int] | None = None
    unconditional: list[float] | None = None

    @property
    def best_options(self) -> list[int]:
        """The indices of the options with the highest score; [] for a generated text.

        Raises:
          InputError: a score is NaN or infinite: nothing can be ranked by it.
        """
        if self.chosen is None:
            return []
        if self.scores is None:
            return [self.chosen]
        if not np.isfinite(self.scores).all():
            raise InputError(
                f"example {self.example}, template {self.template}: the scores of the options are "
                f"{self.scores}, by which they cannot be ranked. Score the prompt again with "
                "parameters that are finite"
            )
        highest = max(self.scores)
        return [index for index, score in enumerate(self.scores) if score == highest]

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object of the file. Fields that are None or False are left out."""
        content = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }
        return {
            name: value
            for name, value in content.items()
            if value is not None and value is not False
        }

    @classmethod
    def from_json(cls, content: JsonObject) -> "Prediction":
        """Returns the record of a JSON object. Other keys, such as "split", are ignored.

        Args:
          content: one line of a predictions file.

        Returns:
          The record.

        Raises:
          TypeError: a required field is missing.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: content[name] for name in names if name in content})


def predictions_file(run_dir: Path, task: str, phase: Phase) -> Path:
    """Returns the path of a task's predictions in one phase."""
    return run_dir / "predictions" / f"{task}-{phase}.jsonl"


def _template_metrics(content: JsonObject) -> TemplateMetrics:
    splits: dict[str, dict[str, float]] = {}
    for split, metrics in content.items():
        if split != "template":
            splits[split] = {name: float(value) for name, value in metrics.items()}
    return TemplateMetrics(template=int(content["template"]), splits=splits)


def _template_score(content: JsonObject | None) -> TemplateScore | None:
    if not content:
        return None
    return TemplateScore(
        template=int(content["template"]), score=float(content["score"])
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _numbers(values: Mapping[str, float] | None) -> dict[str, float] | None:
    if values is None:
        return None
    return {str(name): float(value) for name, value in values.items()}


def _integer(value: int | None) -> int | None:
    return None if value is None else int(value)


def _pair(value: Sequence[int | float] | None) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = value
    return float(low), float(high)
