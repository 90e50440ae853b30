"""Tables of documents: read as texts with their lines, and searched for the numbers in them.

Markdown's pipe tables (found by CommonMark's own parser) and CSV are read; cells lose their markup and nothing else. Numbers
are found in the cells of Markdown and LaTeX, and in rows of columns in plain text. Pure.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.documents.prose import OPAQUE, Prose

MOST_PIPES = 60_000  # the parser makes tokens of each cell: half a million take six seconds, and nobody prints so many
MOST_RAGGED = 100  # ragged rows of a table that are findings of their own

_CAPTION = re.compile(r"\W*((?:table|tab\.)\s*[a-z]?\d+[a-z]?)\b", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_EMPHASIS = re.compile(r"\*+|`+|~~|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_BREAK = re.compile(r"\r\n|\r|\n")


class TableRow(NamedTuple):
    """A row: the line it starts on, counted from 1, and the texts of its cells."""

    line: int
    cells: tuple[str, ...]


class Table(NamedTuple):
    """A table: its name, its header, and those of its rows that fit the header. `whole` if all of them do."""

    name: str
    header: tuple[str, ...]
    rows: tuple[TableRow, ...]
    whole: bool


def markdown_tables(text: str, document: str) -> tuple[list[Table], list[Finding]]:
    """The pipe tables of a Markdown text, and a finding for each row with another number of cells than the header.

    A table is named after the caption above it (`Table 2`), else after its heading. It ends at the first line without a pipe.
    Raises BadConfiguration for more than MOST_PIPES pipes.
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
            heading, caption = plain_text(next(tokens).content), ""
        elif token.type == "inline":
            match = _CAPTION.match(token.content.rpartition("\n")[2])
            caption = match[1] if match else ""
        elif token.type == "table_open":
            header, *rows = _table_rows(tokens)
            counts = [len(_cells(lines[row.line - 1].lstrip(" \t>"))) for row in rows]
            table, ragged = _checked(caption or heading, header.cells, rows, counts, document)
            tables.append(table)
            findings += ragged
            caption = ""
    return tables, findings


def csv_table(text: str, name: str, document: str, delimiter: str) -> tuple[Table, list[Finding]]:
    """A CSV text as a table called `name`: the first row is the header. Raises BadConfiguration for what is not CSV."""
    reader = csv.reader(re.split(r"(?<=\n)|(?<=\r)(?!\n)", text), delimiter=delimiter, strict=True)
    rows: list[TableRow] = []
    line = 1
    try:
        for cells in reader:
            rows += [TableRow(line, tuple(cell.strip() for cell in cells))] if any(cells) else []
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadConfiguration(f"{document}: line {line}: {error}", "correct the line; quotes must be balanced") from error
    if not rows or len(rows[0].cells) < 2:
        raise BadConfiguration(f"{document}: no header row with at least two columns", "the first column names the rows")
    return _checked(name, rows[0].cells, rows[1:], [len(row.cells) for row in rows[1:]], document)


def plain_text(text: str) -> str:
    """Inline Markdown without its markup: the text of links, no emphasis, code marks, tags, escapes or entities."""
    for _ in range(2):  # a link may hold an image
        text = _LINK.sub(r"\1", text)
    text = _EMPHASIS.sub("", _TAG.sub("", _ESCAPED.sub(lambda match: f"&#{ord(match[1])};", text)))
    return " ".join(html.unescape(text).split())


def _checked(
    name: str, header: tuple[str, ...], rows: Sequence[TableRow], counts: Sequence[int], document: str
) -> tuple[Table, list[Finding]]:
    """The table of the rows with as many cells as the header. In another nobody can say which column a cell belongs to."""
    message = "the row has not as many cells as the header; nothing of it was read"
    ragged = [
        Finding("malformed", f"{document}:{row.line}", message, f"{len(header)} cells", f"{count} cells")
        for row, count in zip(rows, counts, strict=True)
        if count != len(header)
    ]
    if len(ragged) > MOST_RAGGED:
        message = f"{len(ragged) - MOST_RAGGED} more rows of the table have not as many cells as the header"
        ragged[MOST_RAGGED:] = [Finding("malformed", ragged[MOST_RAGGED].subject, message)]
    fitting = tuple(row for row, count in zip(rows, counts, strict=True) if count == len(header))
    return Table(name, header, fitting, not ragged), ragged


def _ends_table(state: Any, line: int, _: int, silent: bool) -> bool:
    """A rule for the parser, which would take any line behind a table for a row of one cell."""
    return silent and state.parentType == "table" and "|" not in state.src[state.bMarks[line] : state.eMarks[line]]


def _table_rows(tokens: Iterator[Any]) -> list[TableRow]:
    rows: list[tuple[int, list[str]]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append((token.map[0] + 1, []))
        elif token.type == "inline":
            rows[-1][1].append(plain_text(token.content))
        elif token.type == "table_close":
            break
    return [TableRow(line, tuple(cells)) for line, cells in rows]


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


class ResultSpan(NamedTuple):
    """A part of a document in which every number looks like a result, and why."""

    start: int
    end: int
    why: str


def results_in_tables(prose: Prose) -> Iterator[ResultSpan]:
    """The cells and values in which every number looks like a result, in order and one at a time."""
    yield from (ResultSpan(start, end, "in the model-index") for start, end in prose.values)
    cells = {"markdown": _pipes, "latex": _tabulars, "text": _columns}[prose.kind](prose.text)
    yield from (ResultSpan(start, end, "in a table") for start, end in cells)


def _is_numeric(cell: str) -> bool:
    if cell.replace(".", "", 1).strip().isdecimal():  # most are this simple
        return True
    plain = re.sub(r"\\[A-Za-z]+", "", cell) if "\\" in cell else cell
    return _CELL.fullmatch(plain) is not None and any(map(str.isdecimal, plain))


def _pipes(text: str) -> Iterator[tuple[int, int]]:
    """The numeric cells of pipe tables, except the heading and the first column, which name things."""
    heads: list[str] | None = None
    before, offset = "", 0
    for line in text.split("\n") if "|" in text else ():
        if "|" not in line:
            heads = None
        elif set(line) <= set("|:- \t\r") and "-" in line:
            heads = [before[start:end] for start, end in _cells(before)]
        elif heads is not None:
            for number, (start, end) in enumerate(_cells(line)):
                if number and _holds_results(heads, number) and _is_numeric(line[start:end]):
                    yield offset + start, offset + end
        before = line
        offset += len(line) + 1


def _holds_results(heads: Sequence[str], number: int) -> bool:
    return number >= len(heads) or heads[number].strip(" *_").lower() not in _NO_RESULTS.split()


def _cells(line: str) -> list[tuple[int, int]]:
    """The cells of a row of pipes, without the empty ones outside its first and last pipe."""
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
    """The numeric cells of LaTeX tables, except the first row and column."""
    before, endless = 0, set()
    for table in _TABULAR.finditer(text):
        if table.start() < before or table[1] in endless:
            continue
        stop = text.find(f"\\end{{{table[1]}}}", table.end())
        if stop < 0:
            endless.add(table[1])
            continue
        row = column = 0
        start = table.end()
        for edge, end in chain((match.span() for match in _EDGE.finditer(text, start, stop)), [(stop, stop)]):
            if row and column and _is_numeric(text[start:edge]):
                yield start, edge
            row, column = (row, column + 1) if text[edge] == "&" else (row + 1, 0)
            start = end
        before = stop


def _columns(text: str) -> Iterator[tuple[int, int]]:
    """The numbers at the ends of lines of plain text: two or more of them, or one where the lines around are like that."""
    before = (-9, 0, 0, True)  # line, start, end, and whether it was yielded
    for number, start, end, count in _rows(text):
        beside = number - before[0] <= 2
        if beside and not before[3]:
            yield before[1:3]
        if count > 1 or beside:
            yield start, end
        before = (number, start, end, count > 1 or beside)


def _rows(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Lines that end in numbers: the line, where its numbers start and end, and how many they are."""
    offset = 0
    for number, line in enumerate(text.split("\n")):
        if 1 < len(line) <= _LONGEST_ROW:
            words, count = _tail(line)
            parts = line.rsplit(None, words) if count else []
            start = len(parts[0]) if len(parts) > words else 0
            if count > 1 or (count and _RESULT_LIKE.search(line, start)):
                yield number, offset + start, offset + len(line), count
        offset += len(line) + 1


_RESULT_LIKE = re.compile(r"\d\.\d|\d[kKMB]\b")


def _tail(line: str) -> tuple[int, int]:
    """How many words at the end of a line are numbers or stand for none, and how many are numbers."""
    words = count = 0
    for word in reversed(line.split()):
        if any(map(str.isdecimal, word)):
            if word[-1] in ",;:." or not _is_numeric(word):
                break
            count += 1
        elif word.strip("|-–—~"):
            break
        words += 1
    return words, count
