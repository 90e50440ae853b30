"""Tables of documents, and the claims that their cells become."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.claims.drafting import claims_of_tables, read_number, slug
from aqea_registry.claims.ledger import Claim
from aqea_registry.documents.markup_tables import MOST_PIPES, csv_table, html_tables, markdown_tables, plain_text
from aqea_registry.documents.numbers import scan
from aqea_registry.documents.tables import Row, Table, ragged_rows


def read(text: str) -> Table:
    """The one table of a Markdown text, in which nothing is wrong."""
    (table,) = markdown_tables(text, "doc.md")
    assert table.ragged == ()
    return table


def shown(rows: tuple[Row, ...]) -> list[tuple[int, tuple[str, ...]]]:
    """The rows' lines and what their cells show."""
    return [(row.line, tuple(cell.text for cell in row.cells)) for row in rows]


@pytest.mark.parametrize(
    ("text", "line", "cells"),
    [
        ("| a | b |\n|---|---|\n| x | 1 |", 3, ("x", "1")),
        ("a | b\n:- | -:\nx | 1", 3, ("x", "1")),
        ("text\n\n|a|b|\r\n|:-:|-|\r\n|x|1|\r\n", 5, ("x", "1")),
        ("> | a | b |\n> |---|---|\n> | x | 1 |", 3, ("x", "1")),
        ("- item\n\n  | a | b |\n  |---|---|\n  | x | 1 |", 5, ("x", "1")),
        ("|a|b|\n|-|-|\n| x \\| y | `1` |", 3, ("x | y", "1")),
        ("|a|b|\n|-|-|\n| | **1,234** |", 3, ("", "1,234")),
        ("|a|b|\n|-|-|\n|[x](http://x.org/a_(b)) y|1 |", 3, ("x y", "1")),
    ],
)
def test_a_table_is_read_with_its_lines(text: str, line: int, cells: tuple[str, ...]) -> None:
    table = read(text)
    assert (table.columns, table.key, table.ragged) == (("a", "b"), 0, ())
    assert shown(table.rows) == [(line, cells)]


@pytest.mark.parametrize(
    "text",
    [
        "```\n| a | b |\n|---|---|\n| x | 1 |\n```",
        "~~~~\n```\n| a | b |\n|---|---|\n~~~\n| x | 1 |",
        "    | a | b |\n    |---|---|\n    | x | 1 |",
        "| a | b |\n|---|\n| x | 1 |",
        "| a | b |\n| x | 1 |",
        "<!--\n| a | b |\n|---|---|\n| x | 1 |\n-->",
    ],
)
def test_what_is_no_table_is_none(text: str) -> None:
    assert markdown_tables(text, "doc.md") == []


def test_a_table_is_called_after_its_caption_or_its_heading() -> None:
    table = "| a | b |\n|---|---|\n| x | 1 |\n\n"
    text = f"{table}# Results of *all*\n\nTable 9 is far\naway.\n\n{table}**Table 2:** Scores.\n\n{table}More\n====\n\n{table}"
    tables = markdown_tables(text, "doc.md")
    assert [one.name for one in tables] == ["", "Results of all", "Table 2", "More"]
    ids = [claim.id for claim in claims_of_tables([*tables, tables[1]]).claims]
    assert ids == ["table.x.b", "results-of-all.x.b", "table-2.x.b", "more.x.b", "results-of-all-2.x.b"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("[S2ORC](https://x.org/a) (Title)", "S2ORC (Title)"),
        ("**[AG News]((Title, Description) pairs)**", "AG News"),
        ("[![badge](b.svg)](x) 1", "badge 1"),
        ("`cos_sim` of _all_ a_b_c", "cos_sim of all a_b_c"),
        (r"\*1\* &lt;2&gt; <b>3</b>", "*1* <2> 3"),
        ("~~4~~ ***5***", "5"),
        ("[unclosed](", "[unclosed]("),
    ],
)
def test_markup_is_taken_off(text: str, read: str) -> None:
    assert plain_text(text) == read


def test_a_ragged_row_is_told_with_its_line_and_not_read() -> None:
    tables = markdown_tables("|a|b|\n|-|-|\n|x|1|\n|y|\n|z|2|3|\n|w|4|\n", "doc.md")
    findings = ragged_rows(tables, "doc.md")
    assert [(one.subject, one.expected, one.actual) for one in findings] == [
        ("doc.md:4", "2 cells", "1 cells"),
        ("doc.md:5", "2 cells", "3 cells"),
    ]
    assert (tables[0].texts(0), len(tables[0].ragged)) == (["x", "w"], 2)
    tables = markdown_tables("|a|b|\n|-|-|\n|x|1|\nno row\n", "doc.md")
    assert (len(tables[0].rows), tables[0].ragged) == (1, ())
    findings = ragged_rows(markdown_tables("|a|b|\n|-|-|\n" + "|y|\n" * 500, "doc.md"), "doc.md")
    assert (len(findings), findings[-1].subject, findings[-1].message[:13]) == (101, "doc.md:103", "400 more rows")


def told(cell: str) -> tuple[str, ...]:
    """What a reader sees in a cell of Markdown, and its marks."""
    found = read(f"|a|b|\n|-|-|\n|x|{cell}|\n").rows[0].cells[1]
    return (found.text, *found.marks)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        *[
            (f"71.5{mark}", ("71.5", "4"))
            for mark in ("<sup>4</sup>", "<sub>4</sub>", "[4](#note)", " <SUP class='n'> 4 </SUP>")
        ],
        *[(f"71.5{mark}", ("71.5", mark)) for mark in ("²", "†", "‡", "¶", "*", "[^4]", "[^note]", "³⁴")],
        *[(f"**71.5**{mark}", ("71.5", "b")) for mark in ("<sup>b</sup>", "<sup><b>b</b></sup>", "[b](https://example.org)")],
        ("<b>71.5</b><sup>[4]</sup>", ("71.5", "[4]")),
        ("71.5[[4]](#note)", ("71.5", "[4]")),
        ("71.5<sup>1,2</sup>", ("71.5", "1,2")),
        ("71.5%<sup>†</sup> (70.1‡)", ("71.5% (70.1)", "†", "‡")),
        ("ours<sup>2</sup>", ("ours", "2")),
        ("ours*", ("ours", "*")),
        ("ours-c<sup>2</sup>", ("ours-c", "2")),
        ("W/m<sup>2</sup>", ("W/m2",)),
        ("[71.5](#row)", ("71.5",)),
        ("10<sup>6</sup>", ("10^6",)),
        ("1.5×10<sup>-3</sup>", ("1.5×10^-3",)),
        ("2<sup>16</sup>", ("2^16",)),
        ("71.5<sup>±0.3</sup>", ("71.5 ±0.3",)),
        ("71.5<sub>0.3</sub>", ("71.5 _0.3",)),
        ("71.5<sub>21</sub>", ("71.5 _21",)),
        ("71.5<sub>600,417</sub>", ("71.5 _600,417",)),
        ("71.5₁ (70.1⁽²⁾)", ("71.5 (70.1)", "₁", "⁽²⁾")),
        ("1.5×10⁻³", ("1.5×10^−3",)),
        ("18.10<sup>(+1.5)</sup>", ("18.10 (+1.5)",)),
        ("R<sup>2</sup>", ("R2",)),
        ("m²", ("m²",)),
        ("T5<sub>XXL</sub>", ("T5XXL",)),
        ("F<sub>1</sub>", ("F1",)),
        ("1<sup>st</sup>", ("1st",)),
        ("71.5<br>0.3", ("71.5 0.3",)),
        ("71.5<small>0.3</small>", ("71.5 0.3",)),
        ("**71.5**`3`", ("71.5 3",)),
        ("2**16", ("2 16",)),
        ("7<b>.5</b>", ("7.5",)),
        ("71.5<!-- claim: a.b -->", ("71.5",)),
        ("†", ("†",)),
        ("71.5\ue0004\ue002", ("71.5 4",)),
    ],
)
def test_a_mark_of_a_footnote_is_not_a_digit(cell: str, expected: tuple[str, ...]) -> None:
    assert told(cell) == expected


@pytest.mark.parametrize("prefix", ["", "> ", "   "])
def test_a_cell_knows_where_its_source_is(prefix: str) -> None:
    text = f"Text.\r\n\r\n{prefix}| a |  b |\r\n{prefix}|---|---|\r\n{prefix}| **x** \\| y |  `1`[^2]|\r\n"
    first, second = read(text).rows[0].cells
    assert [text[cell.start : cell.end] for cell in (first, second)] == ["**x** \\| y", "`1`[^2]"]
    rows = csv_table('n,a\n"x, ""y""", 1 \n\n"two\nlines",2', "", "t.csv", ",").rows
    source = 'n,a\n"x, ""y""", 1 \n\n"two\nlines",2'
    spans = [source[cell.start : cell.end] for row in rows for cell in row.cells]
    assert spans == ['"x, ""y"""', " 1 ", '"two\nlines"', "2"]


@pytest.mark.parametrize(
    ("head", "columns"),
    [
        (["| |Nouns||Verbs||", "| |de|fr|de|fr|"], ["", "Nouns de", "Nouns fr", "Verbs de", "Verbs fr"]),
        (["|Model|Nouns||All||", "| |de|fr|||"], ["Model", "Nouns de", "Nouns fr", "All", "All"]),
        (["| |Nouns||All||", "|Model|de|fr|||"], ["Model", "Nouns de", "Nouns fr", "All", "All"]),
        (["| |a|b|c|d|", "|x|y|y|z|z|"], ["", "a", "b", "c", "d"]),
        (["| |A||||", "| |B||C||", "| |x|y|x|y|"], ["", "A B x", "A B y", "A C x", "A C y"]),
        (["| |R|||P|", "| |@1|@10|@100|@1|"], ["", "R @1", "R @10", "R @100", "P @1"]),
        (["| | | | | |", "|Model|a|b|c|d|"], ["Model", "a", "b", "c", "d"]),
        (["|Model|a|b|c|d|", "| |1|2|3|4|"], ["Model", "a", "b", "c", "d"]),
        (
            ["|Model|Nouns||Verbs||", "|Language|de|fr|de|fr|"],
            ["Model Language", "Nouns de", "Nouns fr", "Verbs de", "Verbs fr"],
        ),
        (["|m|a|a|b|b|", "|in|x|y|x|y|", "|of|p|p|q|q|"], ["m in of", "a x p", "a y p", "b x q", "b y q"]),
        (["|Model|a|a|b|b|", "|x|-|-|-|yes|"], ["Model", "a", "a", "b", "b"]),
        (["|Model|a|b|c|d|", "|x|-|-|-|-|"], ["Model", "a", "b", "c", "d"]),
    ],
)
def test_a_column_is_labelled_by_every_row_of_the_header(head: list[str], columns: list[str]) -> None:
    table = read("\n".join([head[0], "|-|-|-|-|-|", *head[1:], "|m|1|2|3|4|"]))
    assert list(table.columns) == columns
    assert len(read("|||\n|-|-|\n|Language|German|\n|Size|4|").rows) == 2, "a list of properties has no header"


@pytest.mark.parametrize(
    ("head", "rows", "key", "results"),
    [
        ("|Rank|Model|s|", ["|1|x|5|", "|2|y|4|"], 1, (2,)),
        ("|#|Model|s|", ["|1.|x|5|", "|1.|y|4|"], 1, (2,)),
        ("|No|Model|s|", ["|(1)|x|5|", "|[2]|y|4|"], 1, (2,)),
        ("|S.No|Model|s|", ["|T1|x|5|", "|=2|y|4|"], 1, (2,)),
        ("|Ranking|Model|s|", ["|1–2|x|5|", "|2=|y|4|"], 1, (2,)),
        ("|Rank (Borda)|Model|s|", ["|🥇|x|5|", "|🥈 2|y|4|"], 1, (2,)),
        ("| |Model|s|", ["|0|x|5|", "|1|y|4|"], 1, (2,)),
        ("|Rank|Model|s|", ["|1|x|5|", "|2|y|4|", "|Mean||4.5|"], 1, (2,)),
        ("|No.|Rank|Model|", ["|1|3|x|", "|2|1|y|"], 2, ()),
        ("|Rank|s|Model|", ["|1|5|x|", "|2|4|y|"], 2, (1,)),
        ("|Model|Rank|s|", ["|x|2|5|", "|y|1|4|"], 0, (2,)),
        ("|Model|Size|s|", ["|x|base|5|", "||large|4|"], 1, (2,)),
        ("|Layer|s|Note|", ["|1|5|x|", "|2|4|y|"], 0, (1, 2)),
        ("|k|s|t|", ["|1|2.5|5|", "|2|3.5|4|"], 0, (1, 2)),
        ("|Year|Model|s|", ["|2019|x|5|", "|2023|y|4|"], 0, (1, 2)),
        ("|Model|No. of pairs|s|", ["|x|3|5|", "|y|4|4|"], 0, (1, 2)),
        ("|Model|Mean rank|s|", ["|x|3|5|", "|y|4|4|"], 0, (1, 2)),
    ],
)
def test_ranks_name_no_rows_and_are_no_results(head: str, rows: list[str], key: int, results: tuple[int, ...]) -> None:
    table = read("\n".join([head, "|-|-|-|", *rows]))
    assert (table.key, table.results) == (key, results)


@pytest.mark.parametrize(
    ("above", "name"),
    [
        ("**Kendall**", "Scores: Kendall"),
        ("*Kendall's tau:*", "Scores: Kendall's tau"),
        ("<b>Kendall</b>:", "Scores: Kendall"),
        ("Text before.\n__Kendall__", "Scores: Kendall"),
        ("- other\n- Kendall", "Scores: Kendall"),
        ("1. Kendall\n\n   More.\n", "Scores: More"),
        ("**Table 3.** Kendall", "Table 3"),
        ("**Kendall** and more", "Scores"),
        ("**Kendall** and **tau**", "Scores"),
        ("**Kendall**\n\nText.", "Scores"),
        ("**Kendall**\n\n---", "Scores"),
        ("- Kendall\n\nText.", "Scores"),
        (f"- {'long ' * 30}", "Scores"),
    ],
)
def test_a_line_of_emphasis_or_an_item_is_a_caption_below_the_heading(above: str, name: str) -> None:
    assert read(f"## Scores\n\n{above}\n\n|a|b|\n|-|-|\n|x|1|\n").name == name


def test_captions_below_their_tables_are_not_of_the_next_ones() -> None:
    table = "| a | b |\n|---|---|\n| x | 1 |\n\n"
    page = "<table><tr><th>a<th>b<tr><td>x<td>1</table>"

    def names(text: str) -> list[str]:
        return [table.name for table in markdown_tables(text, "doc.md")]

    below = f"# Scores\n\n{table}*Table 1: dev*\n\n{table}**Table 2.** test\n\nText.\n"
    above = f"# Scores\n\n*Table 1: dev*\n\n{table}**Table 2.** test\n\n{table}Table 3 is elsewhere.\n"
    assert names(below) == names(above) == ["Table 1", "Table 2"]
    assert names(f"# Scores\n\n{table}*Table 2: test*\n\n{table}Text.\n") == ["Scores", "Table 2"]
    assert names(f"# Scores\n\n{table}**Kendall**\n\n{table}**Usage**\n") == ["Scores", "Scores: Kendall"]
    blocks = f"<h2>Scores</h2>{page}<p>Table 1: dev</p>{page}<p>Table 2: test</p>"
    assert [table.name for table in html_tables(blocks, "p.html")] == names(blocks) == ["Table 1", "Table 2"]


@pytest.mark.parametrize("before", ["> ", "- ", "1. ", "- > "])
def test_a_table_in_a_list_or_a_quotation_is_one(before: str) -> None:
    rows = [f"{' ' * len(before) if n and '>' not in before else before.replace('-', ' ') if n else before}{row}"
            for n, row in enumerate(("| a | b |", "|---|---|", "| x | 1 |"))]  # fmt: skip
    (table,) = markdown_tables("\n".join(rows), "doc.md")
    assert (table.columns, [row.cells[1].text for row in table.rows], table.ragged) == (("a", "b"), ["1"], ())


WORD = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)


@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(WORD, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_a_table_says_the_same_in_markdown_and_csv(rows: list[list[str]]) -> None:
    lines = ["|".join(row) for row in rows]
    read_md = read("\n".join([f"|{lines[0]}|", "|".join("-" * len(rows[0])).join("||"), *(f"|{one}|" for one in lines[1:])]))
    read_csv = csv_table("\n".join(",".join(row) for row in rows), "", "doc.csv", ",")
    assert read_csv.ragged == ()
    assert [texts for _, texts in shown(read_md.rows)] == [texts for _, texts in shown(read_csv.rows)]
    assert read_md[:3] == read_csv[:3]


GRID = """Text.

+-------+------+
| Model | News |
|       | (en) |
+=======+======+
| **x** | 61.2 |
| large | ±0.3 |
+-------+------+
| y     | 5    |
"""


def test_a_grid_of_pandoc_is_a_table_whose_rows_may_have_several_lines() -> None:
    table = read(GRID)
    assert (table.columns, shown(table.rows)) == (("Model", "News (en)"), [(7, ("x large", "61.2 ±0.3")), (10, ("y", "5"))])
    assert shown(read(GRID.replace("=", "-")).rows)[0] == (7, ("x large", "61.2 ±0.3"))
    assert shown(read(GRID.partition("| y")[0]).rows) == [(7, ("x", "61.2")), (8, ("large", "±0.3"))]  # no line between rows
    (table,) = markdown_tables(GRID.replace("| large | ±0.3 |", "| large, ±0.3 |"), "doc.md")
    assert [cell.text for cell in table.ragged[0].cells] == ["x", "61.2", "large, ±0.3"]
    assert [number.text for number in scan(GRID, "markdown").numbers if number.why] == ["61.2", "0.3", "5"]


def test_csv_has_quotes_and_rows_of_several_lines() -> None:
    table = csv_table('name,a\r\n"x, ""y""",1\n\n"two\nlines",2\nz\nlast,3', "t", "t.csv", ",")
    assert shown(table.rows) == [(2, ('x, "y"', "1")), (4, ("two lines", "2")), (7, ("last", "3"))]
    assert [one.subject for one in ragged_rows([table], "t.csv")] == ["t.csv:6"]
    assert shown(csv_table("name\ta\nx,y\t1", "t", "t.tsv", "\t").rows) == [(2, ("x,y", "1"))]


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("model;score\nx;71,5\n", "model|score", ["x|71,5"]),
        ("A leaderboard\n\nmodel,score\nx,1\n", "model|score", ["x|1"]),
        (",model,score\n0,x,5\n1,y,4\n", "|model|score", ["0|x|5", "1|y|4"]),
        (",Nouns,Nouns,Verbs\n,de,fr,de\nx,1,2,3\n", "|Nouns de|Nouns fr|Verbs de", ["x|1|2|3"]),
        (
            'model,score\n"<a href=""https://x.org/a"">x</a>",71.5\n[y_z_w](https://x.org),**72.5**\n',
            "model|score",
            ["x|71.5", "y_z_w|72.5"],
        ),
        ("model,score\nx,71.5†,,\n", "model|score", ["x|71.5"]),
    ],
)
def test_a_leaderboard_is_read_by_its_header(text: str, columns: str, rows: list[str]) -> None:
    table = csv_table(text, "t", "t.csv", ",")
    assert ("|".join(table.columns), ["|".join(texts) for _, texts in shown(table.rows)]) == (columns, rows)
    assert table.ragged == ()
    assert table.columns[table.key] in ("model", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('a,b\nx,1\ny,"2', "line 3"),
        ('a,b\n"x"y,1', "line 2"),
        ("", "no header"),
        ("a\n1\n", "two columns"),
        ("a,b\n" + "x" * 200_000, "line 2"),
    ],
)
def test_what_is_no_csv_is_refused_with_the_line(text: str, told: str) -> None:
    with pytest.raises(BadConfiguration, match=re.escape(told)):
        csv_table(text, "t", "t.csv", ",")


def test_too_many_cells_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(BadConfiguration, match="more than"):
        markdown_tables("|" * (MOST_PIPES + 1), "doc.md")
    with pytest.raises(BadConfiguration, match="more than"):
        claims_of_tables([csv_table("a,b,c\n" + "x,1,2\n" * 10_001, "t", "t.csv", ",")])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("82.03246731235654", ("82.03246731235654", False)),
        ("-1.5", ("-1.5", False)),
        ("−1.5", ("−1.5", False)),
        ("1,170,060,424", ("1,170,060,424", False)),
        ("82.03 %", ("82.03", True)),
        ("2e-5", ("2e-5", False)),
        *[(text, None) for text in ("nan", "inf", "--", "-", "", "1e999", "1,23", "12k", "0.8 ± 0.1", "82*", "x", "%")],
    ],
)
def test_a_cell_is_a_number_or_none(text: str, number: tuple[str, bool] | None) -> None:
    assert read_number(text) == number


def claims(text: str) -> dict[str, Claim]:
    tables = markdown_tables(text, "doc.md")
    return {claim.id: claim for claim in claims_of_tables(tables).claims}


def test_units_are_guessed_from_percent_signs_commas_and_brackets_alone() -> None:
    found = claims(
        "| model | acc | f1 (%) | pairs | size (M) | dim | len [tokens] | % |\n|-|-|-|-|-|-|-|-|\n"
        "| a | 1% | 2 | 1,234 | 110 | 384 | 512 | 3 |\n| b | 0.5 | 3 | 99 | 22.5 | 768 | 256 | 4 |"
    )
    assert [claim.unit for claim in found.values()] == [
        *("percent", "percent", "count", "millions", "number", "tokens", "percent"),
        *("number", "percent", "count", "millions", "number", "tokens", "percent"),
    ]
    assert str(found["table.b.column-8"].at) == "table, b, %, line 4"


def test_names_are_unique_and_never_empty() -> None:
    found = claims("# 训练\n\n|a|n|n|é|\n|-|-|-|-|\n|x|1|2|3|\n|x|4|5|6|\n||7|8|9|\n|中|10|11|12|\n")
    assert list(found)[:4] == ["table.x.n", "table.x.n-2", "table.x.e", "table.x-2.n"]
    assert [key for key in found if key.endswith(".e")] == ["table.x.e", "table.x-2.e", "table.row-3.e", "table.row-4.e"]
    assert slug("a" * 300, "t") == "a" * 60


def test_what_is_left_out_is_told() -> None:
    cells = ["1", "nan", "--", "1e999", "words", "n/a", "inf", "—", ""]
    tables = markdown_tables("|a|n|w|\n|-|-|-|\n" + "".join(f"|x|{cell}|-|\n" for cell in cells), "doc.md")
    found = claims_of_tables(tables)
    assert ([claim.value for claim in found.claims], found.findings) == (["1"], [])
    expected = "'nan' (line 4), '--' (line 5), 'n/a' (line 8), 'inf' (line 9), '—' (line 10)"
    assert found.notes == [f"table: no finite number: {expected}"]
