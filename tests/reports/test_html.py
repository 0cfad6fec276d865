import re

import pytest

from flan_jax.reports import html

TABLE = html.Table(
    columns=["task|set", "score"],
    rows=[["a<b", 1.25], ['"q"', None], ["", 12345]],
    text_columns=1,
    bold=[0],
)
BLOCKS = [
    html.Heading("Scores & more"),
    html.Paragraph("p < 0.05", "caption"),
    TABLE,
    html.Figure("<svg></svg>", 'Scores "here"'),
    html.Placeholder("no step"),
    html.Folded("More", [html.Paragraph("inside"), html.Preformatted("a\n  <b>")]),
    html.ScoreChange(before=41.5, after="not yet", label="nli"),
    html.TaskPredictions(task="rte", remark=" (nli)", examples=[], link="a.jsonl"),
]


def test_one_table_as_html_markdown_and_csv():
    page = html.page("T", [[TABLE]])
    assert re.findall("<tr.*?</tr>", page, re.DOTALL) == [
        "<tr><th>task|set</th><th class=n>score</th></tr>",
        "<tr class=bold><td>a&lt;b</td><td class=n>1.2</td></tr>",
        "<tr><td>&#34;q&#34;</td><td class=n>-</td></tr>",
        "<tr><td></td><td class=n>12,345</td></tr>",
    ]
    assert html.markdown("T", [[TABLE]]).splitlines()[2:] == [
        "| task\\|set | score |",
        "|---|--:|",
        "| **a&lt;b** | **1.2** |",
        '| "q" | - |',
        "|  | 12,345 |",
    ]
    assert TABLE.to_csv() == 'task|set,score\na<b,1.25\n"""q""",\n,12345\n'


def test_markdown_of_every_block():
    text = html.markdown("A & b", [BLOCKS[:2], BLOCKS[3:]])
    assert text.split("\n\n") == [
        "# A &amp; b",
        "## Scores &amp; more",
        "p &lt; 0.05",
        "Not available yet: no step.",
        "### More",
        "inside",
        "```\na\n  <b>\n```",
        "**41.5 -> not yet** nli",
        "- rte: [a.jsonl](a.jsonl)\n",
    ]


def test_html_of_every_block_is_escaped_ascii():
    page = html.page("naïve <T>", [BLOCKS])
    assert page.isascii() and "<title>na&#239;ve &lt;T&gt;</title>" in page
    assert (
        '<figure role="img" aria-label="Scores &#34;here&#34;"><svg></svg></figure>'
        in page
    )
    assert '<p class="missing">Not available yet: no step.</p>' in page
    assert '<pre dir="auto">a\n  &lt;b&gt;</pre>' in page
    assert '<summary><b>rte</b> (nli), <a href="a.jsonl">all</a></summary>' in page


def test_a_section_without_blocks_is_left_out():
    assert html.page("T", [[], BLOCKS[:1], []]).count("<section>") == 1


@pytest.mark.parametrize(
    "cell, text",
    [(None, "-"), ("", ""), (0, "0"), (1234, "1,234"), (0.05, "0.1"), ("a", "a")],
)
def test_cells(cell, text):
    assert html.format_cell(cell) == text


def test_a_long_text_is_clipped():
    assert html.clip("abcdef", 4) == "abc…"
    assert html.clip("abcd", 4) == "abcd"
