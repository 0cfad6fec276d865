"""The mixture of a run: as a table, as a picture, and whether its rows are generated."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from flan_jax.errors import InputError, plural
from flan_jax.json_files import write_text
from flan_jax.reports import figures, html
from flan_jax.run_records import MixtureSummary, TaskScores

COLUMNS = (
    "task",
    "cluster",
    "examples",
    "rate",
    "share %",
    "epochs",
    "mean inputs",
    "mean targets",
    "truncated inputs %",
    "truncated targets %",
    "filtered",
)
PICTURE_FORMATS = ("png", "svg", "pdf", "html")
PUBLISHED = "scores on them are not comparable with published ones"


def epochs_text(epochs: float) -> str:
    """Returns a number of epochs as tables show it; a small one is not shown as none.

    >>> [epochs_text(value) for value in (1234.5, 0.5, 0.004, 0.0)]
    ['1,234.50', '0.50', '<0.01', '0.00']

    Args:
      epochs: how often each example of a task is drawn, on average.
    """
    if 0 < epochs < 0.01:
        return "<0.01"
    return f"{epochs:,.2f}"


def mixture_section(mixture: MixtureSummary) -> list[html.Block]:
    """Returns the table of a mixture and a text on what its batches hold."""
    return [mixture_table(mixture), html.Paragraph(_packing_text(mixture))]


def mixture_table(mixture: MixtureSummary) -> html.Table:
    """Returns a row for each task, the largest share first.

    Args:
      mixture: the mixture.
    """
    rows: list[list[html.Cell]] = []
    for task in sorted(mixture.tasks, key=lambda task: (-task.share, task.task)):
        rows.append(
            [
                task.task,
                task.cluster,
                task.examples,
                task.rate,
                html.format_cell(100 * task.share, 2),
                epochs_text(task.epochs),
                task.mean_inputs,
                task.mean_targets,
                100 * task.truncated_inputs,
                100 * task.truncated_targets,
                task.filtered,
            ]
        )
    return html.Table(columns=COLUMNS, rows=rows, text_columns=2)


def _packing_text(mixture: MixtureSummary) -> str:
    filled = []
    for side, share in mixture.rows_filled.items():
        # A decoder's rows hold both sides, whose lengths are not given by this name.
        length = mixture.lengths.get(side)
        positions = (
            f"{side} positions" if length is None else f"{length} {side} positions"
        )
        filled.append(f"{100 * share:.1f}% of the {positions}")
    return (
        f"Packing fills {' and '.join(filled)}. A batch of {plural(mixture.batch_size, 'row')} has "
        f"{mixture.examples_per_batch:,.0f} examples and "
        f"{mixture.supervised_tokens_per_batch:,.0f} supervised tokens on average. Epochs: how "
        "often an example is drawn during the whole training, on average. Mean lengths are in "
        "tokens. Truncated: the share of examples that are longer than LENGTHS. Filtered: rows "
        "that the task leaves out."
    )


RowKinds = Mapping[str, str | None]
"""The kind of the rows of each task: "generated", "tfds", "files", ...; None if unknown."""


def row_kinds(
    mixtures: Iterable[MixtureSummary], scored: Iterable[TaskScores]
) -> dict[str, str | None]:
    """Returns what kind of rows runs train on and score, by task.

    Args:
      mixtures: what the runs train on.
      scored: the scores of the runs.
    """
    kinds: dict[str, str | None] = {}
    for mixture in mixtures:
        for row in mixture.tasks:
            kinds[row.task] = row.provenance.get("kind")
    for task in scored:
        kind = task.provenance.get("kind")
        if kind is not None or task.task not in kinds:
            kinds[task.task] = kind
    return kinds


def generated_tasks(kinds: RowKinds) -> list[str]:
    """Returns the tasks with generated rows, sorted."""
    return sorted(task for task, kind in kinds.items() if kind == "generated")


def generated_rows_note(kinds: RowKinds) -> str | None:
    """Returns a warning if rows are generated, otherwise None.

    It names the tasks if only some of them have generated rows.

    Args:
      kinds: the kind of the rows of each task, see `row_kinds`.
    """
    generated = generated_tasks(kinds)
    if not generated:
        return None
    if len(generated) == len(kinds):
        return f"Practice corpus: generated rows. These are not FLAN's datasets; {PUBLISHED}."
    return (
        f"Practice corpus: the rows of some tasks are generated ({', '.join(generated)}). "
        f"These are not FLAN's datasets; {PUBLISHED}."
    )


def has_real_rows_only(kinds: RowKinds) -> bool:
    """Returns whether all rows are known to come from real datasets."""
    return bool(kinds) and not {None, "generated"} & set(kinds.values())


def draw_mixture(mixture: MixtureSummary, path: str | Path) -> None:
    """Writes a picture of a mixture: each task's share as a bar, by cluster.

    Args:
      mixture: the mixture.
      path: the file; its name ends in .png, .svg, .pdf or .html. An HTML page has the table, too.

    Raises:
      InputError: the name has another ending.
    """
    kind = Path(path).suffix.lstrip(".")
    if kind not in PICTURE_FORMATS:
        raise InputError(f"{path}: a picture's name ends in .png, .svg, .pdf or .html")

    tasks = sorted(
        mixture.tasks, key=lambda task: (task.cluster, -task.share, task.task)
    )
    clusters = list(dict.fromkeys(task.cluster for task in tasks))
    figure = figures.new_figure(0.9 + 0.21 * len(tasks))
    axes = figure.subplots()
    colors = [
        "#2b5c8a" if clusters.index(task.cluster) % 2 else "#9db7d1" for task in tasks
    ]
    positions = np.arange(len(tasks))
    axes.barh(
        positions, [100 * task.share for task in tasks], color=colors, height=0.72
    )
    for position, task in enumerate(tasks):
        text = f" {epochs_text(task.epochs)} epochs"
        axes.text(
            100 * task.share, position, text, va="center", fontsize=7, color="#555"
        )

    labels = [f"{task.task}  ({task.cluster})" for task in tasks]
    axes.set_yticks(positions, labels, fontsize=7.5)
    axes.invert_yaxis()
    axes.margins(x=0.16, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    x_label = f"share of the examples drawn, %; epochs in {mixture.steps:,} steps"
    axes.set_xlabel(x_label, fontsize=9)

    if kind != "html":
        figure.savefig(path, dpi=150)
        return
    picture = figures.to_block(figure, "Share of each task")
    blocks = [picture, html.Heading("Mixture"), *mixture_section(mixture)]
    write_text(Path(path), html.page("Mixture", [blocks]))
