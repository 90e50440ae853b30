"""Tables of documents: Markdown's pipe tables and CSV, as texts with the lines on which they stand.

Where a table is, CommonMark's own parser says. Cells lose their markup and nothing else.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from aqea_registry.core.findings import BadConfiguration, Finding

MOST_PIPES = 60_000  # the parser makes tokens of each cell: half a million take six seconds, and nobody prints so many
MOST_TOLD = 100  # ragged rows of a table that are told one by one

_CAPTION = re.compile(r"\W*((?:table|tab\.)\s*[a-z]?\d+[a-z]?)\b", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_EMPHASIS = re.compile(r"\*+|`+|~~|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_BREAK = re.compile(r"\r\n|\r|\n")


class Row(NamedTuple):
    """A row: the line it starts on, counted from 1, and the texts of its cells."""

    line: int
    cells: tuple[str, ...]


class Table(NamedTuple):
    """A table: what it is called, its header, and those of its rows that fit the header. `whole` if all of them do."""

    name: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    whole: bool


def markdown_tables(text: str, document: str) -> tuple[list[Table], list[Finding]]:
    """The pipe tables of a Markdown text, and a finding for each row that has not as many cells as its header.

    A table is called after the caption above it (`Table 2`), else after the heading that it stands under. It ends at the first
    line without a pipe. Raises BadConfiguration for a text with more than MOST_PIPES pipes.
    """
    from markdown_it import MarkdownIt

    if text.count("|") > MOST_PIPES:
        raise BadConfiguration(f"{document}: more than {MOST_PIPES} cells in tables", "import the part that prints results")
    reader = MarkdownIt("commonmark").enable("table")
    reader.core.ruler.enableOnly(["normalize", "block"])
    reader.block.ruler.before("table", "end of table", _ends_table, {"alt": ["blockquote"]})  # table asks blockquote's rules
    lines = _BREAK.split(text)
    heading = caption = ""
    tables: list[Table] = []
    findings: list[Finding] = []
    tokens = iter(reader.parse(text))
    for token in tokens:
        if token.type == "heading_open":
            heading, caption = plain(next(tokens).content), ""
        elif token.type == "inline":
            found = _CAPTION.match(token.content.rpartition("\n")[2])
            caption = found[1] if found else ""
        elif token.type == "table_open":
            header, *rows = _rows(tokens)
            counts = {row.line: _count(lines[row.line - 1]) for row in rows}
            table, odd = _checked(caption or heading, header.cells, [(row, counts[row.line]) for row in rows], document)
            tables.append(table)
            findings += odd
            caption = ""
    return tables, findings


def csv_table(text: str, name: str, document: str, delimiter: str) -> tuple[Table, list[Finding]]:
    """A CSV text as a table called `name`: the first row is the header. Raises BadConfiguration for what is no CSV."""
    reader = csv.reader(re.split(r"(?<=\n)|(?<=\r)(?!\n)", text), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    line = 1
    try:
        for cells in reader:
            rows += [Row(line, tuple(cell.strip() for cell in cells))] if any(cells) else []
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadConfiguration(f"{document}: line {line}: {error}", "correct the line; quotes must be balanced") from error
    if not rows or len(rows[0].cells) < 2:
        raise BadConfiguration(f"{document}: no header row with at least two columns", "the first column names the rows")
    return _checked(name, rows[0].cells, [(row, len(row.cells)) for row in rows[1:]], document)


def plain(text: str) -> str:
    """Inline Markdown without its markup: the text of links, no emphasis, code marks, tags, escapes or entities."""
    for _ in range(2):  # an image may stand in a link
        text = _LINK.sub(r"\1", text)
    text = _EMPHASIS.sub("", _TAG.sub("", _ESCAPED.sub(lambda found: f"&#{ord(found[1])};", text)))
    return " ".join(html.unescape(text).split())


def _checked(name: str, header: tuple[str, ...], rows: list[tuple[Row, int]], document: str) -> tuple[Table, list[Finding]]:
    """The table of the rows with as many cells as the header. Of another nobody can say which column a cell belongs to."""
    odd = [
        Finding(
            code="malformed",
            subject=f"{document}:{row.line}",
            message="the row has not as many cells as the header; nothing of it was read",
            expected=f"{len(header)} cells",
            actual=f"{count} cells",
        )
        for row, count in rows
        if count != len(header)
    ]
    if len(odd) > MOST_TOLD:
        message = f"{len(odd) - MOST_TOLD} more rows of the table have not as many cells as the header"
        odd[MOST_TOLD:] = [Finding(code="malformed", subject=odd[MOST_TOLD].subject, message=message)]
    return Table(name, header, tuple(row for row, count in rows if count == len(header)), not odd), odd


def _ends_table(state: Any, line: int, _: int, silent: bool) -> bool:
    """A rule for the parser, which would take any line behind a table for a row of one cell."""
    return silent and state.parentType == "table" and "|" not in state.src[state.bMarks[line] : state.eMarks[line]]


def _rows(tokens: Iterator[Any]) -> list[Row]:
    rows: list[tuple[int, list[str]]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append((token.map[0] + 1, []))
        elif token.type == "inline":
            rows[-1][1].append(plain(token.content))
        elif token.type == "table_close":
            break
    return [Row(line, tuple(cells)) for line, cells in rows]


def _count(line: str) -> int:
    """How many cells a line has; pipes at its ends enclose cells and part none."""
    line = line.lstrip(" \t>").rstrip().removeprefix("|")
    return len(re.findall(r"(?<!\\)\|", line)) + (line[-1:] != "|" or line.endswith("\\|"))
