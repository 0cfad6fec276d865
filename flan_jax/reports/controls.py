"""The controls of held-out scores: a table of them, and in plain words what tuning has added.

Tuning a model on instructions can teach it what an answer looks like, or the task. Shuffled labels
teach the first and not the second (Kung and Peng 2023). What the untuned model knows shows in its
own wording, the cloze: tuning can close the gap between that and the instruction's template.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from flan_jax import bootstrap
from flan_jax.bootstrap import Interval
from flan_jax.reports import html
from flan_jax.reports.scores import (
    SIGNIFICANT,
    Score,
    ScoreRow,
    Values,
    format_change,
    format_interval,
    mean_if_complete,
    mean_row,
    paired_p_value,
    subtract,
)
from flan_jax.run_records import (
    AFTER,
    BEFORE,
    CLOZE,
    CONTROLS,
    FEW_SHOT,
    HYPOTHESIS_ONLY,
    SHUFFLED,
    Phase,
)

COLUMNS = (
    "held out",
    "chance",
    "majority",
    "tuned, no premise",
    "untuned, template",
    "untuned, cloze",
    "untuned, few-shot",
    "tuned, shuffled labels",
    "tuned",
    "cloze by scoring",
)
EXPLAINED = (
    "Percent, with 95 % intervals over templates and examples (and seeds). Chance: a blind guess. "
    "Majority: always the most frequent answer of the training split. No premise: the templates "
    "without the text that the answer is to follow from. Template: the instructions that the tuned "
    "model is asked with. Cloze: a text without instructions that the answer completes, ranked by "
    "the scoring that is best on validation examples. Few-shot: the templates behind exemplars of "
    "the training split. Shuffled labels: tuned alike, but each training example of a task with "
    "options had the answer of another one. A mean over some of a cluster's tasks says of how many."
)


MOST_ROWS_ON_THEIR_SIDE = 6
"""Of so many clusters and tasks, or fewer, the table has a column each."""


class Contrast(NamedTuple):
    """How far one phase is above another, the mean over the tasks that have both.

    Attributes:
      first: the mean of the phase that is subtracted.
      second: the mean of the other phase.
      interval: the difference with its 95 % interval, paired by example.
      p_value: that of the paired test; where nothing pairs by example, that of the interval.
    """

    first: float
    second: float
    interval: Interval
    p_value: float

    @property
    def is_above_zero(self) -> bool:
        """Whether the interval is above zero."""
        return self.interval.low > 0

    @property
    def text(self) -> str:
        """The difference as text, such as "+6.6 [1.2, 12.0]"."""
        return format_change(self.interval)


def contrast(tasks: Sequence[ScoreRow], first: Phase, second: Phase) -> Contrast | None:
    """Returns how far one phase is above another.

    A phase with one template, as the cloze has, is compared with each of the other's templates.

    Args:
      tasks: the tasks of a cluster, or one.
      first: the phase that is subtracted.
      second: the other phase.

    Returns:
      The contrast; None if no task has both phases, or they do not pair.
    """
    pairs = []
    for task in tasks:
        if first in task.scores and second in task.scores:
            values = [task.scores[phase].values[0] for phase in (first, second)]
            pairs.append(_with_equal_templates(*values))
    differences = [subtract(b, a) for a, b in pairs]
    known = [values for values in differences if values is not None]
    if not known or len(known) < len(pairs):
        return None
    seeds = {len(values) for values in known if not isinstance(values, Interval)}
    if len(seeds) > 1:
        return None
    interval = bootstrap.mean_of_tasks(known)
    means = [np.mean([_mean(pair[side]) for pair in pairs]) for side in (0, 1)]
    p_value = paired_p_value(pairs)
    if p_value is None:
        p_value = _p_value_of_interval(interval)
    return Contrast(float(means[0]), float(means[1]), interval, p_value)


def _with_equal_templates(first: Values, second: Values) -> tuple[Values, Values]:
    """Repeats the values of a single template for each template of the other phase."""
    if isinstance(first, Interval) or isinstance(second, Interval):
        return first, second
    if len(first) != len(second) or first.shape[-1] != second.shape[-1]:
        return first, second
    if second.shape[1] == 1 < first.shape[1]:
        return first, np.where(np.isnan(first), np.nan, second)
    if first.shape[1] == 1 < second.shape[1]:
        return np.where(np.isnan(second), np.nan, first), second
    return first, second


def _mean(values: Values) -> float:
    return Score([values]).mean


def _p_value_of_interval(interval: Interval) -> float:
    """Returns the two-sided p-value of a normal distribution with this mean and standard error."""
    if not interval.standard_error > 0:
        return 1.0
    return math.erfc(abs(interval.mean) / interval.standard_error / math.sqrt(2))


def control_blocks(clusters: Mapping[str, Sequence[ScoreRow]]) -> list[html.Block]:
    """Returns the section of controls; [] if no task has any.

    Args:
      clusters: the tasks of each held-out cluster. SHUFFLED is among the scores of a task where
        there is a run on shuffled labels.
    """
    phases = (*CONTROLS, SHUFFLED)
    tasks = [task for members in clusters.values() for task in members]
    if not any(phase in task.scores for task in tasks for phase in phases):
        return []
    rows: list[list[html.Cell]] = []
    bold = []
    for name, members in clusters.items():
        bold.append(len(rows))
        rows.append(_cells(name, members))
        rows += [_cells(f"\u00a0\u00a0{task.name}", [task]) for task in members]
    if len(rows) <= MOST_ROWS_ON_THEIR_SIDE:
        table = _turned(rows)
    else:
        table = html.Table(
            columns=COLUMNS, rows=rows, text_columns=1, bold=bold, dense=True
        )
    blocks: list[html.Block] = [
        html.Heading("What tuning has added"),
        html.Paragraph(finding(clusters), "verdict"),
    ]
    for name, members in clusters.items():
        text = " ".join(cluster_sentences(members))
        if text:
            blocks.append(html.Paragraph(f"{name}: {text}"))
    return [*blocks, table, html.Paragraph(EXPLAINED, "caption")]


def _turned(rows: Sequence[Sequence[html.Cell]]) -> html.Table:
    """Returns the table with a column for each cluster and task: few of them fit on a page so."""
    names, *controls = zip(*rows, strict=True)
    turned = [
        [column, *cells] for column, cells in zip(COLUMNS[1:], controls, strict=True)
    ]
    return html.Table(
        columns=(COLUMNS[0], *map(str, names)),
        rows=turned,
        text_columns=1,
        bold=[COLUMNS.index("tuned") - 1],
        dense=True,
    )


def finding(clusters: Mapping[str, Sequence[ScoreRow]]) -> str:
    """Returns on how many clusters FLAN's finding shows: that tuning on other tasks helps.

    It shows on a cluster where tuned is above untuned in the same templates, and above tuned on
    shuffled labels, both with intervals above zero. As both must hold, the larger p-value counts;
    it is corrected for the number of clusters (Holm 1979).

    Args:
      clusters: the tasks of each held-out cluster.
    """
    p_values: dict[str, float] = {}
    above: list[str] = []
    for name, tasks in clusters.items():
        gain = contrast(tasks, BEFORE, AFTER)
        task_part = contrast(tasks, SHUFFLED, AFTER)
        if gain is None or task_part is None:
            continue
        p_values[name] = max(gain.p_value, task_part.p_value)
        if gain.is_above_zero and task_part.is_above_zero:
            above.append(name)
    if not p_values:
        return (
            "Whether FLAN's finding shows cannot be said: no run on shuffled labels is beside this "
            "one, and a gain can be the form of answers alone. gin/shuffled_labels.gin has such "
            "runs."
        )
    corrected = bootstrap.holm(list(p_values.values()))
    shown = [
        name
        for name, p_value in zip(p_values, corrected, strict=True)
        if name in above and p_value < SIGNIFICANT
    ]
    count = len(p_values)
    of_clusters = "the held-out cluster" if count == 1 else f"{count} held-out clusters"
    condition = (
        "tuned above untuned in the same templates, and above tuned on shuffled labels, "
        f"intervals above zero and p < {SIGNIFICANT}, Holm-corrected for {of_clusters}"
    )
    if not shown:
        return f"FLAN's finding does not show on {of_clusters} ({condition})."
    names = ", ".join(shown)
    if count == 1:
        return f"FLAN's finding shows on {names} ({condition})."
    return (
        f"FLAN's finding shows on {len(shown)} of {of_clusters}: {names} ({condition})."
    )


def cluster_sentences(tasks: Sequence[ScoreRow]) -> list[str]:
    """Returns in plain words what tuning has added on a cluster, and what of it is format.

    Args:
      tasks: the tasks of the cluster.
    """
    return [
        *_gain_sentences(tasks),
        *_gap_sentences(tasks),
        *_format_sentences(tasks),
        *_premise_sentences(tasks),
    ]


def _gain_sentences(tasks: Sequence[ScoreRow]) -> list[str]:
    gain = contrast(tasks, BEFORE, AFTER)
    if gain is None:
        return []
    scores = f"from {gain.first:.1f} to {gain.second:.1f}"
    if gain.is_above_zero:
        return [f"in the same templates tuning adds {gain.text} points, {scores}."]
    if gain.interval.high < 0:
        return [
            f"in the same templates tuning takes away: {gain.text} points, {scores}."
        ]
    text = "in the same templates tuning makes no significant difference"
    return [f"{text}: {gain.text} points, {scores}."]


def _gap_sentences(tasks: Sequence[ScoreRow]) -> list[str]:
    """Returns how much of the gap between the untuned model's template and cloze is closed."""
    tasks = [task for task in tasks if CLOZE in task.scores]
    gap = contrast(tasks, BEFORE, CLOZE)
    if gap is None:
        return []
    if not gap.is_above_zero:
        text = "In its own wording the untuned model is not above its score in the templates"
        scores = f"(cloze {gap.second:.1f}, {gap.text})"
        return [f"{text} {scores}: there is no gap for tuning to close."]
    text = (
        f"In its own wording the untuned model already has {gap.second:.1f}: the gap to close is "
        f"{gap.text} points"
    )
    gain = contrast(tasks, BEFORE, AFTER)
    if gain is None:
        return [f"{text}."]
    closed = 100 * gain.interval.mean / gap.interval.mean
    if closed <= 0:
        return [f"{text}, of which tuning closes nothing."]
    return [f"{text}, of which tuning closes {closed:.0f} %."]


def _format_sentences(tasks: Sequence[ScoreRow]) -> list[str]:
    """Returns what of the gain shuffled labels give, and what right labels add."""
    format_part = contrast(tasks, BEFORE, SHUFFLED)
    task_part = contrast(tasks, SHUFFLED, AFTER)
    if format_part is None or task_part is None:
        return []
    if all(task.chance is None for task in tasks):
        # Tasks without options keep their targets, so that more than the format is left.
        text = f"Shuffled labels of the tasks with options give {format_part.text}"
        return [f"{text}; right labels add {task_part.text}."]
    text = (
        f"Shuffled labels give {format_part.text}, which is format; right labels add "
        f"{task_part.text}"
    )
    if task_part.is_above_zero:
        return [f"{text}, which is the task."]
    return [f"{text}, no more than chance: the task does not show."]


def _premise_sentences(tasks: Sequence[ScoreRow]) -> list[str]:
    use = contrast(tasks, HYPOTHESIS_ONLY, AFTER)
    if use is None or use.is_above_zero:
        return []
    text = f"Without the premise the tuned model does as well ({use.first:.1f})"
    return [f"{text}: nothing shows that it reads it."]


def _cells(name: str, tasks: Sequence[ScoreRow]) -> list[html.Cell]:
    """Returns the cells of COLUMNS for a cluster, or for one task."""
    scorings: list[str] = []
    if len(tasks) == 1 and CLOZE in tasks[0].scores:
        cloze = tasks[0].scores[CLOZE]
        scorings = [f"{key} {mean:.1f}" for key, mean in cloze.scorings.items()]
    return [
        name,
        mean_if_complete([task.chance for task in tasks]),
        mean_if_complete([task.train_majority for task in tasks]),
        _cell(tasks, HYPOTHESIS_ONLY),
        _cell(tasks, BEFORE),
        _cell(tasks, CLOZE),
        _cell(tasks, FEW_SHOT),
        _cell(tasks, SHUFFLED),
        _cell(tasks, AFTER),
        ", ".join(scorings),
    ]


def _cell(tasks: Sequence[ScoreRow], phase: Phase) -> str | None:
    """Returns the mean over the tasks that have a score in the phase, with its interval."""
    scored = [task for task in tasks if phase in task.scores]
    if not scored:
        return None
    text = format_interval(mean_row("", scored, [phase]).scores[phase].interval)
    score = scored[0].scores[phase]
    remarks = []
    if len(scored) < len(tasks):
        remarks.append(f"{len(scored)} of {len(tasks)} tasks")
    if len(tasks) == 1 and score.scoring:
        remarks.append(score.scoring)
    if len(tasks) == 1 and score.exemplars is not None:
        remarks.append(f"{score.exemplars:.1f} shots")
    return f"{text} ({', '.join(remarks)})" if remarks else text
