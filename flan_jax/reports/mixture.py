"""The mixture as a table and as a picture."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from flan_jax.errors import InputError
from flan_jax.json_files import write_text
from flan_jax.reports import html


def mixture_section(mixture: Mapping[str, Any]) -> str:
    """The table of a mixture that flan_jax.data.mixture_summary describes, and what its batches hold, as HTML."""
    columns = "task,cluster,examples,rate,share %,epochs,mean inputs,mean targets,cut inputs %,cut targets %,filtered"
    rows = []
    for t in sorted(mixture["tasks"], key=lambda task: (-task["share"], task["task"])):
        drawn = [
            t["examples"],
            f"{t['rate']:,.7g}",
            html.show(100 * t["share"], 2),
            html.show(t["epochs"], 2),
        ]
        cut = [100 * t["truncated_inputs"], 100 * t["truncated_targets"], t["filtered"]]
        rows.append([t["task"], t["cluster"], *drawn, t["mean_inputs"], t["mean_targets"], *cut])
    lengths = mixture["lengths"]
    filled = [
        f"{100 * x:.1f}% of the {lengths.get(k, '')} {k} positions"
        for k, x in mixture["rows_filled"].items()
    ]
    batch = [
        mixture[k] for k in ("batch_size", "examples_per_batch", "supervised_tokens_per_batch")
    ]
    text = (
        f"Packing fills {' and '.join(filled)}. A batch of {batch[0]:,} rows carries {batch[1]:,.0f} examples and "
        f"{batch[2]:,.0f} supervised tokens. Epochs: expected over the whole run. Mean lengths are in tokens. Cut: the "
        "share of examples that are too long. Filtered: rows left out."
    )
    return (
        f"<h2>Mixture</h2>\n{html.table(columns.split(','), rows, texts=2)}\n<p>{escape(text)}</p>"
    )


def draw_mixture(explained: Mapping[str, Any], path: str | Path) -> None:
    """A mixture as a picture: each task's share as a bar, by cluster. `path` ends in .png, .svg, .pdf or .html.

    An .html file holds the table too. Raises InputError for another ending.
    """
    kind = Path(path).suffix.lstrip(".")
    if kind not in ("png", "svg", "pdf", "html"):
        raise InputError(f"{path}: a picture's name ends in .png, .svg, .pdf or .html")
    tasks = sorted(explained["tasks"], key=lambda t: (t["cluster"], -t["share"], t["task"]))
    figure = html.figure(7.6, 0.9 + 0.21 * len(tasks))
    axes = figure.subplots()
    clusters = list(dict.fromkeys(t["cluster"] for t in tasks))
    colors = ["#2b5c8a" if clusters.index(t["cluster"]) % 2 else "#9db7d1" for t in tasks]
    places = np.arange(len(tasks))
    axes.barh(places, [100 * t["share"] for t in tasks], color=colors, height=0.72)
    for place, task in zip(places, tasks, strict=True):
        axes.text(
            100 * task["share"],
            place,
            f" {task['epochs']:.2g} epochs",
            va="center",
            fontsize=7,
            color="#555",
        )
    axes.set_yticks(places, [f"{t['task']}  ({t['cluster']})" for t in tasks], fontsize=7.5)
    axes.invert_yaxis()
    axes.margins(x=0.16, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(
        f"share of the examples drawn, %; epochs in {explained['steps']:,} steps", fontsize=9
    )
    if kind != "html":
        figure.savefig(path, dpi=150)
        return
    write_text(
        Path(path),
        html.page("Mixture", html.svg(figure, "Share of each task") + mixture_section(explained)),
    )
