"""Tables of HTML, alone and inside Markdown: merged cells as labels, what people leave out, and what must not hurt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.documents.markup_tables import MOST_TAGS, html_tables, markdown_tables
from aqea_registry.documents.tables import MOST_CELLS, Table, ragged_rows
from tests.growth import assert_linear


def read(text: str) -> list[Table]:
    """The tables of an HTML text, in which nothing is wrong."""
    tables = html_tables(text, "page.html")
    assert ragged_rows(tables, "page.html") == []
    return tables


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


TWO = "<th>de</th><th>fr</th>"
HEAD = f"<tr><th rowspan=2>Model</th><th colspan=2>Nouns</th><th colspan='2'>Verbs</th></tr><tr>{TWO}{TWO}</tr>"


@pytest.mark.parametrize(
    ("source", "columns", "rows"),
    [
        (
            f"<table>{HEAD}<tr><td>x</td><td>1</td><td>2</td><td>3</td><td>4</td></tr></table>",
            "Model|Nouns de|Nouns fr|Verbs de|Verbs fr",
            ["x|1|2|3|4"],
        ),
        ("<TABLE><TR><TD>m<TD>a<TR><TD>x<TD>1<TR><TD>y<TD>2</TABLE>", "m|a", ["x|1", "y|2"]),
        ("<table><thead><tr><td>m</td><td>1</td></tr></thead><tr><td>x</td><td>2</td></tr></table>", "m|1", ["x|2"]),
        (
            "<table><tr><th>m</th><th>a</th></tr><tr><th>x</th><td>1</td></tr><tr><th>y</th><td>2</td></tr></table>",
            "m|a",
            ["x|1", "y|2"],
        ),
        ("<table><tr><td>x</td><td>1.5</td></tr><tr><td>y</td><td>2.5</td></tr></table>", "|", ["x|1.5", "y|2.5"]),
        ("<table><tr><th>m<th>a<th>b<tr><td>x<td><b>1</b>&nbsp;%<td>&lt; 2 &amp; <i>3</i></table>", "m|a|b", ["x|1 %|< 2 & 3"]),
        ("<table><tr><th>m<th>a<th>b<tr><td>x<td>p <0.05<td>1<br>2</table>", "m|a|b", ["x|p <0.05|1 2"]),
        ("<table><tr><th>m<th>a<tr><td>x<td><!-- 5 --><script>6</script><span title='>7'>1</span></table>", "m|a", ["x|1"]),
        ("<table><tr><th>m<th>a<tr><td>x<td>71.5<small>0.3</small></table>", "m|a", ["x|71.5 0.3"]),
        (
            "<table><tr><th>#<th>m<th>a<tr><td>1<td>x<td>5<tr><td>2<td>y<td>4<tfoot><tr><td colspan=2>Mean<td>4.5</table>",
            "#|m|a",
            ["1|x|5", "2|y|4", "Mean|Mean|4.5"],
        ),
        ("<table><tfoot><tr><td>Mean<td>1</tfoot><thead><tr><th>m<th>a<tbody><tr><td>x<td>2</table>", "m|a", ["x|2", "Mean|1"]),
        ("<table><tr><th>m<th>a<tr><td>x<td style='display: none'>1<tr hidden><td>y<td>2</table>", "m|a", ["x|", "y|"]),
        (
            "<table><tr><th>m<th>a<tr><td>x<td><span hidden>1</span>2<div style='overflow:hidden'>3</div></table>",
            "m|a",
            ["x|2 3"],
        ),
        ("<table><tr><th>m<th>a<th>b<tr><td>x<td>1<tr><td>y<td>2<td>3</table>", "m|a|b", ["x|1|", "y|2|3"]),
        ("<table><tr><th>m<th>a<th>b<tr><td rowspan=0>x<td>1<td>2<tr><td>3<td>4</table>", "m|a|b", ["x|1|2", "x|3|4"]),
        (
            "<table><tr><th>m<th>a<th>b<tr><td colspan=1000000>Part one<tr><td>x<td>1<td>2</table>",
            "m|a|b",
            ["Part one|Part one|Part one", "x|1|2"],
        ),
        ("<table><tr><th colspan=2>Nouns<tr><th>m<th>a<tr><td>x<td>1</table>", "m|a", ["x|1"]),
        (
            "<table><tr><th>m<th>v<th>a<tr><td rowspan=2>x<td>small<td>1<tr><td>large<td>2</table>",
            "m|v|a",
            ["x|x small|1", "x|x large|2"],
        ),
    ],
)
def test_a_table_is_read_as_a_browser_shows_it(source: str, columns: str, rows: list[str]) -> None:
    (table,) = read(source)
    assert ("|".join(table.columns), ["|".join(row) for row in texts(table)]) == (columns, rows)


def test_a_cell_that_spans_is_one_cell_with_its_marks_and_its_place() -> None:
    source = "<table>\n<tr><th>m<th>a<th>b</tr>\n<tr>\n<td>x</td>\n<td colspan=2> <b>71.5</b><sup>2</sup>\n</td></tr>\n</table>"
    (table,) = read(source)
    first, second = table.rows[0].cells[1:]
    assert first is second and (first.text, first.marks, first.line, table.rows[0].line) == ("71.5", ("2",), 5, 3)
    assert source[first.start : first.end] == "<b>71.5</b><sup>2</sup>"
    (linked,) = read("<table><tr><th>m<th>a<tr><td>x<td>71.5<a href='#n'>3</a><tr><td>y<td><a href='#y'>7</a></table>")
    assert [(row.cells[1].text, row.cells[1].marks) for row in linked.rows] == [("71.5", ("3",)), ("7", ())]


CELLS = "<tr><th>m<th>a<tr><td>x<td>1</table>"


@pytest.mark.parametrize(
    ("above", "inside", "name"),
    [
        ("<h2>Scores</h2>", "", "Scores"),
        ("<h2>Scores</h2>", "<caption>Nouns.</caption>", "Scores: Nouns"),
        ("<h2>Scores</h2>", "<caption><b>Table 4</b>: Nouns</caption>", "Table 4"),
        ("<h2>Scores</h2><p align=center><b>Nouns:</b></p>\n", "", "Scores: Nouns"),
        ("<h1>All</h1><h2>Scores</h2><p>Of two <b>words</b>.</p>", "", "Scores"),
        ("<h2>Scores</h2><details><summary>Nouns</summary>", "", "Scores: Nouns"),
        ("<h2>Scores</h2>", "<tr><th colspan=2>Nouns", "Scores: Nouns"),
        ("<p>Table 2. Nouns</p>", "", "Table 2"),
    ],
)
@pytest.mark.parametrize("markdown", [False, True])
def test_a_table_is_called_after_its_caption_or_heading(above: str, inside: str, name: str, markdown: bool) -> None:
    source = f"{above}<table>{inside}{CELLS}"
    assert [table.name for table in (markdown_tables(source, "p.md") if markdown else read(source))] == [name]


def test_tables_of_html_and_pipes_keep_their_order_in_markdown() -> None:
    pipes = "\n\n| m | a |\n|---|---|\n| {} | 1 |\n\n"
    table = "<table>\n\n  <tr><th>m</th><th>a</th></tr>\n\n<tr><td>{}</td><td>\n\n**1**\n\n</td></tr>\n</table>\n"
    text = (
        f"# A\n\n**B**\n\n{table.format('v')}{pipes.format('w')}<center>\n<b>C</b>\n{table.format('x')}</center>\n\n"
        f"<!-- {table.format('-')} -->\n```\n{table.format('-')}```\n\n`<table>` is a tag.\n\n"
        f"<table><tr><td>\n\n*D*{pipes.format('y')}</td><td>{table.format('z')}</td></tr></table>\n"
    )
    tables = markdown_tables(text, "p.md")
    findings = ragged_rows(tables, "p.md")
    assert ([(table.name, texts(table)) for table in tables], findings) == (
        [
            ("A: B", [["v", "1"]]),
            ("A", [["w", "1"]]),
            ("A: C", [["x", "1"]]),
            ("A", [["z", "1"]]),
            ("A: D", [["y", "1"]]),
        ],
        [],
    )


def test_a_row_that_is_too_long_is_reported_with_its_line() -> None:
    tables = html_tables("<table><tr><th>m<th>a\n<tr><td>x<td>1<td>2\n<tr><td>y<td>3</table>", "page.html")
    findings = ragged_rows(tables, "page.html")
    assert [(finding.subject, finding.actual) for finding in findings] == [("page.html:2", "3 cells")]
    assert texts(tables[0]) == [["y", "3"]]


START = "<table><tr><th>m<th>a<tr><td>x<td>"
# What each is of n, and an n.
HOSTILE: dict[str, tuple[Callable[[int], str], int]] = {
    "one cell over all": (lambda n: f"<table><tr><th>m<th>a<tr><td colspan={10**n} rowspan={10**n}>1<tr><td>x<td>2</table>", 3),
    "no end": (lambda n: START + "1" * n, 50_000),
    "tables in tables": (lambda n: "<table><tr><td>" * n, 1_000),
    "tags in tags": (lambda n: START + "<b><sup><a>" * n, 1_000),
    "comments without end": (lambda n: START + "<!--" * n, 50_000),
    "tags without end": (lambda n: START + "<a b='" * n, 50_000),
    "declarations": (lambda n: START + "<![CDATA[<?" * n, 25_000),
    "entities": (lambda n: START + "&#x;&amp" * n, 10_000),
    "headings": (lambda n: "<h1>" * n + "<table>" + CELLS, 50_000),
    "many tables": (lambda n: f"<table>{CELLS}" * n, 100),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_table_takes_no_more_time_than_any_other_of_its_size(name: str) -> None:
    make, n = HOSTILE[name]

    def read_or_refuse(text: str) -> None:
        with suppress(BadConfiguration):
            html_tables(text, "page.html")

    made = {size: make(size) for size in (n, 2 * n)}
    assert_linear(lambda size: lambda: read_or_refuse(made[size]), n)


def test_more_than_a_document_prints_is_refused() -> None:
    for text in ("<table>" + "<b>" * MOST_TAGS, "<table>" + f"<tr><td>x<td colspan=1000 rowspan={MOST_CELLS}>1" * 61):
        with pytest.raises(BadConfiguration, match="more than"):
            html_tables(text, "page.html")


def test_reading_html_grows_with_the_document() -> None:
    assert_linear(lambda n: lambda: html_tables(f"<h2>S</h2><p>T</p><table>{CELLS}\n" * n, "page.html"), 150)
