"""Pages and pictures: HTML tables and texts, figures as SVG. One style for every report."""

import io
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

LONGEST = 3000
"""Characters shown of a text."""


class Block(NamedTuple):
    """A piece of a report that is written both as HTML and as Markdown."""

    html: str
    markdown: str = ""


def page(title: str, body: str) -> str:
    """A whole HTML page in ASCII, so that it depends on no locale and half a surrogate pair in a text cannot stop it."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    )
    body = f"</head><body><h1>{escape(title)}</h1>\n{body}</body></html>\n"
    whole = f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{CSS}</style>{body}'
    return whole.encode("ascii", "xmlcharrefreplace").decode("ascii")


def figure(width: float, height: float) -> Any:
    # Training and ablations import this module; matplotlib's half a second is paid only where something is drawn.
    # Without pyplot no display, backend or global state is touched.
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def svg(drawn: Any, label: str) -> str:
    from matplotlib import rc_context

    for axes in drawn.axes:
        axes.tick_params(which="both", labelsize=8, color="#888888")
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": label}), warnings.catch_warnings():
        # matplotlib's own font may lack a task name's letters; the browser draws them, not matplotlib.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    # Ids such as "axes_1" come back in every figure of the page, and nothing refers to them.
    content = re.sub(r' id="[a-zA-Z0-9]+_\d+"', "", buffer.getvalue())
    return f'<figure role="img" aria-label="{escape(label)}">{content[content.index("<svg") :]}</figure>'


def table(
    columns: Iterable[str], rows: Iterable[Iterable[Any]], *, texts: int, bold: Collection[int] = ()
) -> str:
    """An HTML table; the first `texts` columns are set as text, the others as numbers. Rows `bold` stand out."""

    def line(cells: Iterable[Any], tag: str, kind: str = "") -> str:
        shown = (
            f"<{tag}{' class=n' * (i >= texts)}>{escape(show(cell))}</{tag}>"
            for i, cell in enumerate(cells)
        )
        return f"<tr{kind}>{''.join(shown)}</tr>"

    body = "\n".join(line(row, "td", " class=bold" * (i in bold)) for i, row in enumerate(rows))
    return f'<div class="wide"><table><thead>{line(columns, "th")}</thead><tbody>\n{body}</tbody></table></div>'


def markdown_table(
    columns: Iterable[str], rows: Iterable[Iterable[Any]], *, texts: int, bold: Collection[int] = ()
) -> str:
    """The same table in Markdown."""
    columns = list(columns)

    def line(cells: Iterable[Any], mark: str = "") -> str:
        shown = [markdown_text(show(cell)).replace("|", "\\|") for cell in cells]
        return f"| {' | '.join(f'{mark}{cell}{mark}' if cell else cell for cell in shown)} |"

    body = [line(row, "**" * (i in bold)) for i, row in enumerate(rows)]
    rule = "|" + "|".join("---" if i < texts else "--:" for i in range(len(columns))) + "|"
    return "\n".join([line(columns), rule, *body])


def heading(text: str, level: int = 2) -> Block:
    return Block(f"<h{level}>{escape(text)}</h{level}>\n", f"{'#' * level} {markdown_text(text)}")


def paragraph(text: str, kind: str = "") -> Block:
    return Block(f"<p{kind and f' class={kind}'}>{escape(text)}</p>\n", markdown_text(text))


def table_block(
    columns: str | Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    texts: int,
    bold: Collection[int] = (),
    dense: bool = False,
) -> Block:
    """`table` and `markdown_table` in one; columns may be one string with commas. A dense table is set small."""
    columns = columns.split(",") if isinstance(columns, str) else columns
    html = table(columns, rows, texts=texts, bold=bold)
    markdown = markdown_table(columns, rows, texts=texts, bold=bold)
    return Block(f"<div class=dense>{html}</div>\n" if dense else f"{html}\n", markdown)


def folded(summary: str, part: Block) -> Block:
    """To be opened with a click; in Markdown under a heading."""
    html = f"<details><summary><b>{escape(summary)}</b></summary>{part.html}</details>\n"
    return Block(html, f"### {markdown_text(summary)}\n\n{part.markdown}")


def placeholder(what: str) -> Block:
    return Block(missing(what) + "\n", f"Not there yet: {markdown_text(what)}.")


def markdown_text(value: str) -> str:
    """One line in which nothing is taken for HTML."""
    return escape(" ".join(value.split()), quote=False)


def missing(what: str) -> str:
    return f'<p class="missing">Not there yet: {escape(what)}.</p>'


def text(value: str) -> str:
    return f'<pre dir="auto">{escape(clip(value)) or "<i>(empty)</i>"}</pre>'


def clip(value: str, longest: int = LONGEST) -> str:
    return value if len(value) <= longest else value[: longest - 1] + "\u2026"


def show(value: Any, digits: int = 1) -> str:
    if value is None or isinstance(value, str):
        return value if value is not None else "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


CSS = """
body { max-width: 60rem; margin: 0 auto; padding: 1rem 1.2rem 4rem; color: #1c1c1c; background: #fff; line-height: 1.5 }
body, svg text { font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif !important }
h1 { font-size: 1.5rem; margin: .8rem 0; overflow-wrap: anywhere } p { font-size: 15px }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #ccc }
.side, .missing, .headline span { color: #666 } .missing { font-style: italic } .side { font-size: 13px }
.headline span { margin-left: .6rem } .headline b { font-size: 2.1rem; font-variant-numeric: tabular-nums }
.note { border: 1px solid #c9a227; border-left-width: 5px; padding: .5rem .8rem; background: #fffbef }
figure, .wide { margin: .5rem 0; overflow-x: auto } svg { width: 100%; min-width: 560px; height: auto }
table { border-collapse: collapse; font-size: 13px } .bold td { font-weight: 650 }
th, td { padding: .22rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4 }
th { vertical-align: bottom; border-bottom: 1px solid #888 } .n { text-align: right } td.n { white-space: nowrap }
td { font-variant-numeric: tabular-nums } summary { padding: .3rem 0 } dt { padding-top: .3rem } dd { margin: 0 }
pre { margin: 0; padding: .45rem .7rem; background: #f6f6f4; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; max-height: 26rem; overflow-y: auto }
.dense table { font-size: 11.2px } .dense :is(th, td) { padding: .14rem .22rem }
.dense td:first-child { overflow-wrap: anywhere; min-width: 7.5rem } .verdict { font-size: 16px }
.caption { font-size: 13px; color: #444; margin-top: .2rem } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
.example { margin: .7rem 0 1.4rem; padding-left: .8rem; border-left: 3px solid #ddd }
dl { display: grid; grid-template-columns: 8.5rem minmax(0, 1fr); gap: .25rem .6rem; margin: .4rem 0; font-size: 13px }
@media (max-width: 600px) { dl { display: block } } @media print { body { font-size: 10pt; max-width: none }
  pre { max-height: none } svg { min-width: 0 } figure, tr { break-inside: avoid } * { print-color-adjust: exact } }
"""
