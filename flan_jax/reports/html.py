"""The parts of a report, and their rendering to HTML, Markdown and CSV.

A report is a list of blocks: headings, paragraphs, tables, figures. The same list is rendered with
Jinja to one self-contained HTML page and to Markdown; templates/ holds one macro for each block in
blocks.html.jinja and one in blocks.md.jinja.
"""

import csv
import dataclasses
import functools
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from markupsafe import Markup

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).with_name("templates")
MAX_CHARACTERS = 3000
"""Longer prompts and answers are clipped."""

Cell: TypeAlias = str | int | float | None
"""One cell of a table. Numbers are formatted when the table is rendered."""


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading.

    Attributes:
      text: the heading.
      level: 2 for a section, 3 for a part of a section.
    """

    template: ClassVar[str] = "heading"
    text: str
    level: int = 2


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph.

    Attributes:
      text: the paragraph.
      style: a class of templates/style.css: "note", "caption", "verdict", "missing", or "".
    """

    template: ClassVar[str] = "paragraph"
    text: str
    style: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
      columns: the column headings; empty for a table without a header line.
      rows: the cells of each row. None is shown as "-" and is empty in CSV.
      text_columns: the number of leading columns that hold text; the others are right-aligned.
      bold: the indices of the rows that are set in bold.
      dense: whether the table is set in small type.
    """

    template: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text_columns: int
    bold: Collection[int] = ()
    dense: bool = False

    def to_csv(self) -> str:
        """Returns the table as CSV, with unrounded numbers."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return file.getvalue()


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure. Markdown leaves it out.

    Attributes:
      svg: the <svg> element.
      label: what the figure shows, for screen readers.
    """

    template: ClassVar[str] = "figure"
    svg: str
    label: str


@dataclasses.dataclass(frozen=True)
class Placeholder:
    """Stands where a part of the report has no data yet.

    Attributes:
      reason: what is missing, as a clause: "no training step is logged".
    """

    template: ClassVar[str] = "placeholder"
    reason: str


@dataclasses.dataclass(frozen=True)
class Preformatted:
    """Text whose lines are kept, such as commands or a configuration file."""

    template: ClassVar[str] = "preformatted"
    text: str


@dataclasses.dataclass(frozen=True)
class Folded:
    """Blocks that the reader opens with a click. In Markdown they follow a heading."""

    template: ClassVar[str] = "folded"
    summary: str
    blocks: "Sequence[Block]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreChange:
    """The headline of a run: its held-out mean before and after training, in large type.

    Attributes:
      before: the mean before training, or "not yet"; None to show one number, `after`.
      after: the mean after training, or "not yet".
      label: what the numbers are.
    """

    template: ClassVar[str] = "score_change"
    before: Cell
    after: Cell
    label: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """A text below a prompt: a correct answer, or a prediction.

    Attributes:
      label: "right answer", "reference", or the phase of a prediction.
      mark: whether a prediction is right.
      text: the answer.
    """

    label: str
    mark: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnsweredPrompt:
    """A prompt with its options and answers.

    Attributes:
      title: which example and template it is.
      prompt: the text that the model saw.
      options: the answer options with their scores; None for generated text.
      answers: the correct answers, then the predictions.
    """

    title: str
    prompt: str
    options: Table | None
    answers: Sequence[Answer]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskPredictions:
    """Example predictions of one task, folded.

    Attributes:
      task: the task's name.
      remark: follows the name: the cluster, or ", held out".
      examples: each example's prompts; an example has several if it is scored under several
        prompts.
      is_open: whether the section is unfolded at first.
      link: the relative URL of the file with all predictions. Markdown shows this link alone.
      failure: why there are no examples; "" if there are some.
    """

    template: ClassVar[str] = "task_predictions"
    task: str
    remark: str
    examples: Sequence[Sequence[AnsweredPrompt]]
    is_open: bool = False
    link: str | None = None
    failure: str = ""


Block: TypeAlias = (
    Heading
    | Paragraph
    | Table
    | Figure
    | Placeholder
    | Preformatted
    | Folded
    | ScoreChange
    | TaskPredictions
)
"""A part of a report. Its `template` names the macro that renders it."""


def page(title: str, sections: Sequence[Sequence[Block]]) -> str:
    """Returns a whole HTML page.

    The page is ASCII: it does not depend on the reader's locale, and an unpaired surrogate in a
    text does not stop it.

    Args:
      title: the page's title and first heading.
      sections: the blocks of each section; sections without blocks are left out.
    """
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    template = _environment().get_template("page.html.jinja")
    content = template.render(title=title, style=style, sections=sections)
    return content.encode("ascii", "xmlcharrefreplace").decode("ascii")


def markdown(title: str, sections: Sequence[Sequence[Block]]) -> str:
    """Returns the report as Markdown. Arguments are those of `page`."""
    template = _environment().get_template("page.md.jinja")
    return template.render(title=title, sections=sections)


@functools.cache
def _environment() -> "jinja2.Environment":
    import jinja2  # takes 0.1 s, and most programs write no report

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clip"] = clip
    environment.filters["format_cell"] = format_cell
    environment.filters["markdown_text"] = _markdown_text
    return environment


def _markdown_text(value: Cell) -> Markup:
    """Returns one line of Markdown. Only &, < and > are escaped: quotes are plain in Markdown."""
    line = " ".join(format_cell(value).split())
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        line = line.replace(character, entity)
    return Markup(line)


def clip(text: str, length: int = MAX_CHARACTERS) -> str:
    """Returns the text, shortened to `length` characters; an ellipsis marks the cut."""
    if len(text) <= length:
        return text
    return text[: length - 1] + "\u2026"


def format_cell(value: Cell, digits: int = 1) -> str:
    """Returns a cell's text.

    >>> [format_cell(value) for value in (9427, 65.04, "rte", None)]
    ['9,427', '65.0', 'rte', '-']

    Args:
      value: the cell.
      digits: digits after the decimal point of a float.
    """
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


def signed(value: float | None) -> str | None:
    """Returns a difference in points, such as "+1.2"; None for None."""
    return None if value is None else f"{value:+.1f}"
