"""Pipe tables of Markdown, found by CommonMark's own parser, and CSV; cells are read as a reader sees them. Pure.

Of CSV and TSV the header is the first row of several cells, and a cell may hold a link or other markup.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterator
from typing import Any

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.documents.html_tables import (
    JOINT,
    MARK,
    HtmlText,
    marked,
    table_span,
    tables_of_span,
    titles,
    without_comments,
)
from aqea_registry.documents.tables import Cell, Row, Table, cell_of, name_below, pipe_cells, table_of

MOST_PIPES = 60_000  # the parser makes tokens of each cell: half a million take six seconds, and nobody prints so many

_EMPHASISED = re.compile(r"(\*{1,3}|_{1,3})([^*\n]{1,200})\1[:.]?\s*")
_HTML = re.compile(r"<[^`]*<table\b|<table\b", re.IGNORECASE)
_LONGEST_ITEM = 80  # of a list item that is the caption of a table
_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\](?:\(((?:[^()]|\([^()]*\))*)\)|\[[^\[\]]*\])")
_FOOTNOTE = re.compile(r"\[(\^[^\[\]\s]{1,40})\]")
_COMMENT = re.compile(r"<!--[^<>]{0,2000}-->")
_EMPHASIS = re.compile(r"\*+|`+|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_BREAK = re.compile(r"\r\n|\r|\n")
_SIMPLE = re.compile(r"[\w ,.%+()/:-]*", re.ASCII)
_CSV_MARKUP = re.compile(r"</?[A-Za-z]|\]\(|\*\*")


def markdown_tables(text: str, document: str) -> tuple[list[Table], list[Finding]]:
    """The tables of a Markdown text, of pipes and of HTML, and findings as of `table_of`.

    A table is named after the caption above it (`Table 2`), else after its heading, and after a line of nothing but bold or
    italics, or a list item, between the two. Raises BadConfiguration for more than MOST_PIPES pipes, or too many tags.
    """
    from markdown_it import MarkdownIt

    if text.count("|") > MOST_PIPES:
        raise BadConfiguration(f"{document}: more than {MOST_PIPES} cells in tables", "import the part that prints results")
    reader = MarkdownIt("commonmark").enable("table")
    reader.core.ruler.enableOnly(["normalize", "block"])
    reader.block.ruler.before("table", "end of table", _ends_table, {"alt": ["blockquote"]})  # table asks blockquote's rules
    starts = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    page = HtmlText(without_comments(text, document) if "<table" in text.lower() else text, starts, document, _html)
    heading = caption = ""
    items = done = 0
    tables: list[Table] = []
    findings: list[Finding] = []
    tokens = iter(reader.parse(text))
    for token in tokens:
        items += (token.type == "list_item_open") - (token.type == "list_item_close")
        if token.type == "heading_open":
            heading, caption = plain_text(next(tokens).content), ""
        elif token.map and (token.type == "html_block" or (token.type == "inline" and _HTML.match(token.content))):
            start, stop = starts[token.map[0]], starts[token.map[1]]
            if start < done:  # inside a table, whose cells may hold Markdown
                start, caption = done, ""
            while span := table_span(page.text, start, stop):
                heading, caption = titles(page.text[start : span[0]], heading, caption)
                read, wrong = tables_of_span(page, span, heading, caption)
                tables += read
                findings += wrong
                caption = ""
                start = done = span[1]
            heading, caption = titles(page.text[start:stop], heading, caption)
        elif token.type == "inline":
            line = token.content.rpartition("\n")[2]
            words = plain_text(line)
            certain = _EMPHASISED.fullmatch(line.strip()) is not None or (items > 0 and len(words) <= _LONGEST_ITEM)
            caption = name_below(heading, words, certain=certain)
        elif token.type in ("fence", "code_block", "hr"):
            caption = ""
        elif token.type == "table_open":
            rows = _table_rows(tokens, text, starts)
            table, ragged = table_of(caption or heading, rows[:1], rows[1:], document)
            tables.append(table)
            findings += ragged
            caption = ""
    return tables, findings


def plain_text(text: str) -> str:
    """Inline Markdown without its markup: the text of links, no emphasis, code marks, tags, escapes or entities."""
    return cell_of(inline(text)).text


def inline(text: str) -> str:
    """Inline Markdown as `cell_of` reads it."""
    if _SIMPLE.fullmatch(text) and "_" not in text:
        return text
    return marked(_html(re.sub("[\ue000-\ue002]", " ", text)))


def _html(text: str) -> str:
    """Inline Markdown as HTML, without emphasis and the targets of links."""
    text = _ESCAPED.sub(lambda match: f"&#{ord(match[1])};", text)
    if text.count("*") % 2:  # a single one is a sign
        text = "&#42;".join(text.rsplit("*", 1))
    text = _FOOTNOTE.sub(r"<sup>&#91;\1&#93;</sup>", _COMMENT.sub("", text))
    for _ in range(2):  # a link may hold an image
        text = _LINK.sub(_linked, text)
    return _EMPHASIS.sub("", JOINT.sub(" ", text))


def _linked(link: re.Match[str]) -> str:
    """The text of a link; a short one behind a number is a mark."""
    before = link.string[max(0, link.start() - 3) : link.start()].rstrip(" *_")
    mark = MARK.fullmatch(html.unescape(link[1])) and (before[-1:].isalnum() or before[-1:] in tuple("%)"))
    return f"<sup>{link[1].replace('[', '&#91;').replace(']', '&#93;')}</sup>" if mark else link[1]


def _ends_table(state: Any, line: int, _: int, silent: bool) -> bool:
    """A rule for the parser, which would take any line behind a table for a row of one cell."""
    return silent and state.parentType == "table" and "|" not in state.src[state.bMarks[line] : state.eMarks[line]]


def _table_rows(tokens: Iterator[Any], text: str, starts: list[int]) -> list[Row]:
    """The rows up to the table's end. The parser fills rows up or cuts them to the header's width, which is undone."""
    rows: list[tuple[int, list[tuple[int, int]], list[Cell]]] = []
    for token in tokens:
        if token.type == "tr_open":
            number = token.map[0]
            line = text[starts[number] : starts[number + 1]].rstrip("\r\n")
            indent = len(line) - len(line.lstrip(" \t>"))
            rows.append((number + 1, pipe_cells(line[indent:], starts[number] + indent), []))
        elif token.type == "inline":
            _, edges, cells = rows[-1]
            start, end = edges[len(cells)] if len(cells) < len(edges) else (0, 0)
            cells.append(cell_of(inline(token.content), start, end))
        elif token.type == "table_close":
            break
    for _, edges, cells in rows:
        if len(edges) != len(cells):
            cells[:] = [cell_of(inline(text[start:end]), start, end) for start, end in edges]
    return [Row(line, tuple(cells)) for line, _, cells in rows]


def csv_table(text: str, name: str, document: str, delimiter: str) -> tuple[Table, list[Finding]]:
    """A CSV text as a table called `name`. Semicolons or tabs are its delimiter where the first line has no other.

    Lines of one cell above the header are titles. Empty cells beyond the header do not count. Raises BadConfiguration for what
    is not CSV.
    """
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    delimiter = next((other for other in (delimiter, ";", "\t") if other in lines[0]), delimiter)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[Row] = []
    line, offset = 1, 0
    try:
        for texts in reader:
            rows += [Row(line, tuple(_cells(text, offset, texts, delimiter)))] if any(texts) else []
            offset += sum(map(len, lines[line - 1 : reader.line_num]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadConfiguration(f"{document}: line {line}: {error}", "correct the line; quotes must be balanced") from error
    header = next((n for n, row in enumerate(rows) if len(row.cells) > 1), None)
    if header is None:
        raise BadConfiguration(f"{document}: no header row with at least two columns", "the first column names the rows")
    width = len(rows[header].cells)
    body = [
        row if any(cell.text for cell in row.cells[width:]) else Row(row.line, row.cells[:width]) for row in rows[header + 1 :]
    ]
    return table_of(name, rows[header : header + 1], body, document)


def _cells(text: str, start: int, shown: list[str], delimiter: str) -> list[Cell]:
    """The cells of a row that starts there, each with the place of its field."""
    field = re.compile(rf'(?:"(?:[^"]|"")*"|[^{delimiter}\r\n]*)')
    cells: list[Cell] = []
    for value in shown:
        match = field.match(text, start)
        end = match.end() if match else start
        cells.append(cell_of(inline(value) if _CSV_MARKUP.search(value) else value, start, end))
        start = end + 1
    return cells
