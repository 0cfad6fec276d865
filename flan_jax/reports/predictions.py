"""Example predictions of a run as HTML."""

import collections
import heapq
import itertools
import zlib
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from flan_jax.json_files import read_jsonl
from flan_jax.reports import html
from flan_jax.reports.run_files import EXAMPLES, WHEN, Contents, Row


def _examples(run: Contents) -> str:
    folder = run.path / "predictions"
    found = {file.stem.partition("-")[0] for file in folder.glob("*.jsonl")}
    held_out = {task["task"] for task in run.held_out}
    parts = [
        f"<h2>Example predictions</h2><p>Up to {EXAMPLES} test examples a task, drawn blind to the outcome.</p>"
    ]
    for place, name in enumerate(sorted(found, key=lambda name: (name not in held_out, name))):
        shown = "\n".join(example(pair) for pair in _sample(folder, name)) or html.missing(
            "no test example is predicted"
        )
        head = f"<summary><b>{escape(name)}</b>{', held out' if name in held_out else ''}</summary>"
        parts.append(f"<details{'' if place else ' open'}>{head}\n{shown}</details>")
    return (
        "\n".join(parts)
        if found
        else "<h2>Example predictions</h2>" + html.missing("predictions/ is empty")
    )


def _sample(folder: Path, task: str) -> list[dict[str, Row]]:
    """{"before": row, "after": row} of a few test prompts, templates in turn; always the same ones.

    Beside them "after-NAME": the example under further prompts, in the template of the same number if there is one.
    """

    def prompt(row: Row) -> tuple[int, int]:
        return row["template"], row["example"]

    def rows(when: str) -> Iterator[Row]:
        return (
            row for row in read_jsonl(folder / f"{task}-{when}.jsonl") if row["split"] == "test"
        )

    source, other = WHEN[::-1] if (folder / f"{task}-after.jsonl").exists() else WHEN
    # A whole test set may be too large to hold: its rows with the lowest hashes are a sample, in random order.
    pool = heapq.nsmallest(
        20 * EXAMPLES, rows(source), key=lambda row: zlib.crc32(repr(prompt(row)).encode())
    )
    ranks = collections.defaultdict(itertools.count)
    chosen = sorted(pool, key=lambda row: (next(ranks[row["template"]]), row["template"]))[
        :EXAMPLES
    ]
    pairs = {prompt(row): {source: row} for row in chosen}
    for row in rows(other):
        if prompt(row) in pairs:
            pairs[prompt(row)][other] = row
    for when in sorted(
        file.stem.removeprefix(f"{task}-") for file in folder.glob(f"{task}-after-*.jsonl")
    ):
        for row in rows(when):
            for (template, number), pair in pairs.items():
                if row["example"] == number and (when not in pair or row["template"] == template):
                    pair[when] = row
    return list(pairs.values())


def example(pair: Mapping[str, Row]) -> str:
    """One prompt with its answers as HTML: {"before": prediction, "after": prediction}, or one of them.

    Those of "after-NAME" follow, each with the prompt that it answers.
    """
    same = {when: row for when, row in pair.items() if when in WHEN}
    row = same.get("after") or same["before"]
    parts = [_answered(f"test example {row['example']}, template {row['template']}", row, same)]
    for when, own in pair.items():
        if when not in WHEN:
            parts.append(
                _answered(
                    f"{when.replace('-', ', prompts ', 1)}, template {own['template']}",
                    own,
                    {when: own},
                )
            )
    return f'<div class="example">{"".join(parts)}</div>'


def _answered(title: str, row: Row, pair: Mapping[str, Row]) -> str:
    """The prompt of `row`, and how it was answered at each of some times."""
    options, scored = row.get("options") or [], sorted(pair, reverse=True)  # before, after
    parts = [f'<p class="side">{escape(title)}</p>{html.text(row["inputs"])}']
    if options:
        marks = ["\u2713 right answer" * (i in row["right"]) for i in range(len(options))]
        scores = [[html.show(x, 2) for x in pair[when]["scores"]] for when in scored]
        rows = zip(map(html.clip, options), marks, *scores, strict=True)
        columns = ["option", "", *(f"log-probability {when}" for when in scored)]
        parts.append(html.table(columns, rows, texts=2, bold=[row["answer"]]))
    answers = [
        ("right answer" if options else "reference", "", text) for text in row["references"][:3]
    ]
    answers += [(when, _mark(pair[when]), pair[when]["prediction"]) for when in scored]
    cells = (
        f"<dt>{escape(name)} <b>{mark}</b></dt><dd>{html.text(text)}</dd>"
        for name, mark, text in answers
    )
    return f"{''.join(parts)}<dl>{''.join(cells)}</dl>"


def _mark(row: Row) -> str:
    if row.get("chosen") is not None:
        return "&#10003; right" if row["chosen"] in row["right"] else "&#10007; wrong"
    same = row["prediction"].strip().casefold() in [
        text.strip().casefold() for text in row["references"]
    ]
    return "&#10003; as a reference" if same else "differs"
