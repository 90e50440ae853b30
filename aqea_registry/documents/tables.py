"""Tables of documents: Markdown's pipe tables and CSV, as texts with the lines on which they stand.

Where a table is, CommonMark's own parser says. Cells lose their markup and nothing else.

Where numbers stand in tables: the cells of Markdown and LaTeX, and rows of columns in plain text.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.documents.prose import OPAQUE, Prose

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
            header, *rows = _table_rows(tokens)
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


def _table_rows(tokens: Iterator[Any]) -> list[Row]:
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


# Digits with separators between thousands, a point, an exponent. Possessive: megabytes of digits are read once.
NUMBER = (
    r"(?:(?P<whole>[1-9]\d{0,2}(?:(?:,|\{,\}|\\,|[\u2009\u202f])\d{3})++(?!\d)|\d++)(?:\.(?P<decimals>\d++))?+"
    r"(?:[eE](?P<exponent>[-+−]?\d{1,4}))?+|\.(?P<bare>\d{2,}+))"
)
LETTERS = re.compile(r"[A-Za-z]{1,24}$")
_PLAIN = re.sub(r"\(\?P<\w+>", "(?:", NUMBER)
_UNITS = r"(?:\s?(?:\\?%|[kKMGTP]i?[bB](?:/s)?|ns|[µμ]s|ms|s|x|×|[kKMBT])(?![^\W_]))?"
_CELL = re.compile(rf"(?:{_PLAIN}{_UNITS}(?![^\W_])|to\b|[^\w{OPAQUE}]|_)++")
_NO_RESULTS = (
    "year date version id # no no. nr port page pages line lines section issue status code commit since step epoch seed"
)
_LONGEST_ROW = 2000


class Place(NamedTuple):
    """A stretch of a document in which every number looks like a result, and why."""

    start: int
    end: int
    why: str


def places_in_tables(prose: Prose) -> Iterator[Place]:
    """The cells and values in which every number is one of a result, in order, found as they are asked for."""
    yield from (Place(start, end, "in the model-index") for start, end in prose.values)
    cells = {"markdown": _pipes, "latex": _tabulars, "text": _columns}[prose.kind](prose.text)
    yield from (Place(start, end, "in a table") for start, end in cells)


def _is_numeric(cell: str) -> bool:
    if cell.replace(".", "", 1).strip().isdecimal():  # most are this simple
        return True
    plain = re.sub(r"\\[A-Za-z]+", "", cell) if "\\" in cell else cell
    return _CELL.fullmatch(plain) is not None and any(one.isdecimal() for one in plain)


def _pipes(text: str) -> Iterator[tuple[int, int]]:
    """The numeric cells of tables drawn with pipes, but for the heading and the first column, which name things."""
    heads: list[str] | None = None
    before, place = "", 0
    for line in _lines(text) if "|" in text else ():
        if "|" not in line:
            heads = None
        elif set(line) <= set("|:- \t\r") and "-" in line:
            heads = [before[start:end] for start, end in _split(before)]
        elif heads is not None:
            for number, (start, end) in enumerate(_split(line)):
                if number and _holds_results(heads, number) and _is_numeric(line[start:end]):
                    yield place + start, place + end
        before = line
        place += len(line) + 1


def _holds_results(heads: Sequence[str], number: int) -> bool:
    return number >= len(heads) or heads[number].strip(" *_").lower() not in _NO_RESULTS.split()


def _split(line: str) -> list[tuple[int, int]]:
    """The cells of a row, without the empty ones outside its first and last pipe."""
    edges = [-1, *(found.start() for found in re.finditer(r"(?<!\\)\|", line)), len(line)]
    cells = [(left + 1, right) for left, right in pairwise(edges)]
    if cells and not line[: cells[0][1]].strip():
        del cells[0]
    if cells and not line[cells[-1][0] :].strip():
        del cells[-1]
    return cells


_EDGE = re.compile(r"(?<!\\)&|\\\\")
_TABULAR = re.compile(r"\\begin\{((?:tabular[a-z]?|longtable|tblr|tabu)\*?)\}")


def _tabulars(text: str) -> Iterator[tuple[int, int]]:
    """The numeric cells of LaTeX tables, but for the first row and column."""
    place, endless = 0, set()
    for found in _TABULAR.finditer(text):
        if found.start() < place or found[1] in endless:
            continue
        stop = text.find(f"\\end{{{found[1]}}}", found.end())
        if stop < 0:
            endless.add(found[1])
            continue
        row = column = 0
        start = found.end()
        for edge in _edges(text, start, stop):
            if row and column and _is_numeric(text[start : edge[0]]):
                yield start, edge[0]
            row, column = (row, column + 1) if text[edge[0]] == "&" else (row + 1, 0)
            start = edge[1]
        place = stop


def _edges(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    for found in _EDGE.finditer(text, start, stop):
        yield found.span()
    yield stop, stop


def _columns(text: str) -> Iterator[tuple[int, int]]:
    """The numbers at the ends of lines of plain text: two and more of them, or one where the lines around are like that."""
    before = (-9, 0, 0, True)  # line, start, end, and whether it has been told
    for number, start, end, count in _rows(text):
        beside = number - before[0] <= 2
        if beside and not before[3]:
            yield before[1:3]
        if count > 1 or beside:
            yield start, end
        before = (number, start, end, count > 1 or beside)


def _rows(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Lines that end in numbers: the line, where its numbers start and end, and how many they are."""
    place = 0
    for number, line in enumerate(_lines(text)):
        if 1 < len(line) <= _LONGEST_ROW:
            words, count = _tail(line)
            parts = line.rsplit(None, words) if count else []
            start = len(parts[0]) if len(parts) > words else 0
            if count > 1 or (count and _RESULT_LIKE.search(line, start)):
                yield number, place + start, place + len(line), count
        place += len(line) + 1


_RESULT_LIKE = re.compile(r"\d\.\d|\d[kKMB]\b")


def _lines(text: str) -> Iterator[str]:
    place = 0
    while (end := text.find("\n", place)) >= 0:
        yield text[place:end]
        place = end + 1
    yield text[place:]


def _tail(line: str) -> tuple[int, int]:
    """How many words at the end of a line are numbers or stand for none, and how many are numbers."""
    words = count = 0
    for word in reversed(line.split()):
        if any(one.isdecimal() for one in word):
            if word[-1] in ",;:." or not _is_numeric(word):
                break
            count += 1
        elif word.strip("|-–—~"):
            break
        words += 1
    return words, count
