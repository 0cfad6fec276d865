"""Example predictions of a run."""

import collections
import heapq
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flan_jax.json_files import JsonObject, read_jsonl
from flan_jax.reports import html
from flan_jax.run_records import AFTER, BEFORE, Phase, Prediction, predictions_file

EXAMPLES_PER_TASK = 10
"""Predictions that a run's report shows of a task."""

Prompt = tuple[int, int]
"""Template and example: what identifies a prompt of a task."""


def predicted_tasks(run_dir: Path) -> set[str]:
    """Returns the names of the tasks that have predictions."""
    files = (run_dir / "predictions").glob("*.jsonl")
    return {file.stem.partition("-")[0] for file in files}


def task_predictions(
    run_dir: Path, task: str, *, remark: str, is_open: bool, is_evaluation: bool = False
) -> html.Block:
    """Returns some test examples of a task with the predictions in all phases.

    Args:
      run_dir: the run directory.
      task: the task's name.
      remark: follows the task's name.
      is_open: whether the section is unfolded at first.
      is_evaluation: whether a checkpoint is scored and nothing is trained.

    Raises:
      InputError: a file of predictions is damaged.
    """
    examples = [
        answered_prompts(phases, is_evaluation=is_evaluation)
        for phases in _sample(run_dir, task)
    ]
    return html.TaskPredictions(
        task=task,
        remark=remark,
        examples=examples,
        is_open=is_open,
        failure="" if examples else "No test example is predicted yet.",
    )


def _sample(run_dir: Path, task: str) -> list[dict[Phase, Prediction]]:
    """Returns the predictions of a few test prompts by phase, templates in turn.

    The same prompts are taken each time. Predictions under further prompts are those of the same
    example, with the template of the same number if there is one.
    """
    has_after = predictions_file(run_dir, task, AFTER).exists()
    main_phase, other_phase = (AFTER, BEFORE) if has_after else (BEFORE, AFTER)

    chosen = _choose(_test_rows(run_dir, task, main_phase))
    by_prompt: dict[Prompt, dict[Phase, Prediction]] = {}
    for row in chosen:
        by_prompt[_prompt(row)] = {main_phase: Prediction.from_json(row)}

    for row in _test_rows(run_dir, task, other_phase):
        if _prompt(row) in by_prompt:
            by_prompt[_prompt(row)][other_phase] = Prediction.from_json(row)

    for phase in _further_phases(run_dir, task):
        for row in _test_rows(run_dir, task, phase):
            for (template, example), predictions in by_prompt.items():
                is_same_example = row["example"] == example
                is_better = phase not in predictions or row["template"] == template
                if is_same_example and is_better:
                    predictions[phase] = Prediction.from_json(row)
    return list(by_prompt.values())


def _prompt(row: JsonObject) -> Prompt:
    return row["template"], row["example"]


def _test_rows(run_dir: Path, task: str, phase: Phase) -> Iterator[JsonObject]:
    for row in read_jsonl(predictions_file(run_dir, task, phase)):
        if row["split"] == "test":
            yield row


def _further_phases(run_dir: Path, task: str) -> list[Phase]:
    """Returns the phases after training under further prompts that have predictions.

    Controls are not among them.
    """
    folder = run_dir / "predictions"
    files = folder.glob(f"{task}-{AFTER}-*.jsonl")
    names = sorted(file.stem.removeprefix(f"{task}-") for file in files)
    phases = [Phase.parse(name) for name in names]
    return [phase for phase in phases if not phase.is_control]


def _hash(row: JsonObject) -> int:
    """Returns a number that is the same in every process for the same prompt."""
    text = repr(_prompt(row))
    return zlib.crc32(text.encode())


def _choose(rows: Iterator[JsonObject]) -> list[JsonObject]:
    """Returns EXAMPLES_PER_TASK rows, templates in turn, in an order that hashes decide."""
    # A whole test set may not fit in memory. Its rows with the smallest hashes are a sample.
    pool = heapq.nsmallest(20 * EXAMPLES_PER_TASK, rows, key=_hash)
    counters: Mapping[int, Iterator[int]] = collections.defaultdict(itertools.count)
    ranked = []
    for row in pool:
        template = row["template"]
        ranked.append((next(counters[template]), template, row))
    ranked.sort(key=lambda entry: entry[:2])
    return [row for _, _, row in ranked[:EXAMPLES_PER_TASK]]


def sample_predictions(path: Path, count: int) -> list[Prediction]:
    """Returns at most `count` predictions of test examples from evenly spaced places of a file.

    Only the lines that are returned are read, and about three times as many others.

    Args:
      path: a file predictions/<task>-<phase>.jsonl.
      count: the largest number of predictions.

    Raises:
      OSError, LookupError, TypeError, ValueError: the file cannot be read, or is damaged.
    """
    rows = [row for row in _sample_lines(path, 4 * count) if row["split"] == "test"]
    spacing = max(1, len(rows) // count)
    return [Prediction.from_json(row) for row in rows[::spacing][:count]]


def _sample_lines(path: Path, count: int) -> Iterator[JsonObject]:
    """Yields at most `count` objects of a JSON-lines file from evenly spaced places."""
    size = path.stat().st_size
    last_start = -1
    with path.open("rb") as file:
        for number in range(count):
            offset = size * number // count
            file.seek(offset)
            if offset:
                file.readline()  # the rest of the line that the offset lies in
            start = file.tell()
            line = file.readline()
            if start > last_start and line.endswith(b"\n"):
                yield json.loads(line)
            last_start = start


def answered_prompts(
    predictions: Mapping[Phase, Prediction], *, is_evaluation: bool = False
) -> list[html.AnsweredPrompt]:
    """Returns a test example with its predictions.

    Args:
      predictions: the predictions by phase. Those before and after training answer the same
        prompt. Those under further prompts have prompts of their own, which follow.
      is_evaluation: whether a checkpoint is scored and nothing is trained.
    """
    same_prompt = {
        phase: prediction
        for phase, prediction in predictions.items()
        if not phase.prompts
    }
    first = same_prompt.get(AFTER) or same_prompt[BEFORE]
    title = f"test example {first.example}, template {first.template}"
    if first.group is not None:
        title += f", group {first.group}"
    prompts = [_answered(title, same_prompt, is_evaluation)]
    for phase, prediction in predictions.items():
        if phase.prompts:
            label = phase_label(phase, is_evaluation=is_evaluation)
            title = f"{label}, template {prediction.template}"
            prompts.append(_answered(title, {phase: prediction}, is_evaluation))
    return prompts


def phase_label(phase: Phase, *, is_evaluation: bool = False) -> str:
    """Returns "after", or "after, prompts none" under further prompts.

    Args:
      phase: the phase.
      is_evaluation: whether a checkpoint is scored and nothing is trained: the labels are then
        "score" and "score, prompts none".
    """
    time = "score" if is_evaluation else phase.time
    return f"{time}, prompts {phase.prompts}" if phase.prompts else time


def _answered(
    title: str, predictions: Mapping[Phase, Prediction], is_evaluation: bool
) -> html.AnsweredPrompt:
    """Returns a prompt with the predictions of some phases."""
    phases = sorted(predictions, key=str, reverse=True)  # before, after
    first = predictions.get(AFTER) or predictions[phases[0]]
    options = first.options or []

    label = "right answer" if options else "reference"
    answers = [
        html.Answer(label=label, mark="", text=text) for text in first.references[:3]
    ]
    for phase in phases:
        prediction = predictions[phase]
        label = "prediction" if is_evaluation else str(phase)
        text = prediction.prediction
        answers.append(html.Answer(label=label, mark=_mark(prediction), text=text))
    columns = ["log-probability"]
    if not is_evaluation:
        columns = [f"log-probability {phase}" for phase in phases]
    return html.AnsweredPrompt(
        title=title,
        prompt=first.inputs,
        options=_options_table(
            options, [predictions[phase] for phase in phases], columns
        ),
        answers=answers,
    )


def _options_table(
    options: Sequence[str], predictions: Sequence[Prediction], columns: Sequence[str]
) -> html.Table | None:
    """Returns the options with their log-probabilities, a column each; None without options."""
    if not options:
        return None
    first = predictions[0]
    rows: list[list[html.Cell]] = []
    for index, option in enumerate(options):
        mark = "\u2713 right answer" if index in first.right else ""
        row: list[html.Cell] = [html.clip(option), mark]
        for prediction in predictions:
            scores = prediction.scores or []
            row.append(html.format_cell(scores[index], 2))
        rows.append(row)
    return html.Table(
        columns=["option", "", *columns], rows=rows, text_columns=2, bold=[first.answer]
    )


def _mark(prediction: Prediction) -> str:
    """Returns whether a prediction is right. Generated text that differs may still be right."""
    if prediction.chosen is not None:
        is_right = prediction.chosen in prediction.right
        return "\u2713 right" if is_right else "\u2717 wrong"
    references = {_normalize(text) for text in prediction.references}
    is_reference = _normalize(prediction.prediction) in references
    return "\u2713 as a reference" if is_reference else "differs"


def _normalize(text: str) -> str:
    return text.strip().casefold()
