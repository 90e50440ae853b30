"""Tables of documents: one model for all formats.

A reader of a format (`markup_tables`, `latex_tables`) hands the rows with the text of each cell to `table_of`,
which finds the header's rows, the labels of the columns, and the column that names the rows; where cells span rows and columns,
as in HTML and LaTeX, to `merged_table`, which has a cell for each place of the grid. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.documents.prose import OPAQUE

PART = "import the part that prints results"  # what to do with too large a document
MOST_RAGGED = 100  # ragged rows of a table that are findings of their own
MOST_CELLS = 60_000  # of a table with merged cells, each counted where it spans; nobody prints so many
WIDEST = 1000  # columns that one cell can span, as in browsers
# For `cell_of` readers put super- and subscripts, and what is struck out, between them.
RAISED, LOWERED, LEVEL, STRUCK, UNSTRUCK = "\ue000\ue001\ue002\ue003\ue005"

_CAPTION = re.compile(r"\W*((?:table|tab\.)\s*[a-z]?\d+[a-z]?)\b", re.IGNORECASE)
_SIGNS = "*∗⋆⁎†‡§¶"
_PART = re.compile(
    r"[\ue000\ue001](?P<inside>[^\ue000-\ue002]*)\ue002?|(?P<small>[⁰¹²³⁴-⁹⁻⁽⁾]+)|(?P<low>[₀-₉]+)"
    r"|(?P<sign>[†‡¶]+|[§*∗⋆⁎]+(?=\s*$|\s[(±]))"
)
_SPACE = re.compile(r"(?!(?<=\d)[\u2009\u202f]\d{3}(?!\d))\s+")  # but not one that parts thousands
_STRUCK = re.compile("\ue003([^\ue005]*)\ue005(?:\\s*(?:→|[-=]>|⇒|➔))?")
_NOTE = rf"(?:\d\d?|[^\W\d]\w?\w?|[#{_SIGNS}]{{1,3}})"
_MARK = re.compile(rf"[\[(^]*{_NOTE}(?:[,;\s]{{1,2}}{_NOTE}){{0,9}}[\])]*")
_RANK = re.compile(r"(?:[#№🥇🥈🥉🏆]\s?|T-?|[=(\[])?\d{1,5}(?:[-–]\d{1,5}|[.)=\]]|st|nd|rd|th)?|[🥇🥈🥉🏆]|[-–—]")
_RANKS = re.compile(
    r"(?:#|№|rank(?:ing)?|rang|platz|(?:s\.?|sr\.?\s?)?no|nr|pos|position|place|index|idx|id)[\s.:]*(?:\([^()]*\)|[↑↓])?",
    re.IGNORECASE,
)


class Cell(NamedTuple):
    """A cell as a reader sees it, without footnote marks; these; offsets and line of its source; what of it is struck out."""

    text: str
    marks: tuple[str, ...] = ()
    start: int = 0
    end: int = 0
    line: int = 0
    struck: str = ""


class Placed(NamedTuple):
    """A cell, over how many columns it spans, and how many rows: with a minus, those above it."""

    cell: Cell
    across: int = 1
    down: int = 1


class Row(NamedTuple):
    """A row: the line it starts on, counted from 1, and a cell for each column; one that spans several is repeated."""

    line: int
    cells: tuple[Cell, ...]


class Table(NamedTuple):
    """A table: its name, a label for each column, the column that names the rows, and those rows that fit the header.

    The name is the caption (`Table 2`), else the heading. `ragged` are the rows that do not fit.
    """

    name: str
    columns: tuple[str, ...]
    key: int
    rows: tuple[Row, ...]
    ragged: tuple[Row, ...] = ()

    def texts(self, column: int) -> list[str]:
        """The texts of a column."""
        return [row.cells[column].text for row in self.rows]

    @property
    def results(self) -> tuple[int, ...]:
        """The columns that may hold results: all but those that name the rows and those of ranks."""
        return tuple(column for column in range(len(self.columns)) if not self._names(column))

    def _names(self, column: int) -> bool:
        texts = self.texts(column)
        spans = any(row.cells[column] == after.cells[column] for row, after in pairwise(self.rows))
        before = column < self.key and (spans or _are_words([*filter(None, texts)]))
        return column == self.key or before or holds_ranks(self.columns[column], texts, first=column == 0 < self.key)


def table_of(name: str, header: Sequence[Row], rows: Sequence[Row]) -> Table:
    """The table of the rows with as many cells as the header: of each other one nobody can say what column a cell is of."""
    width = len(header[0].cells)
    fitting = [row for row in rows if len(row.cells) == width]
    head = [row.cells for row in header]
    while len(fitting) > 1 and _continues(head, fitting[0].cells):
        head.append(fitting.pop(0).cells)
    ragged = tuple(row for row in rows if len(row.cells) != width)
    return _keyed(Table(name, _labels(head), 0, tuple(fitting), ragged))


def ragged_rows(tables: Iterable[Table], document: str) -> list[Finding]:
    """A finding for each row that has not as many cells as its header, and one for those of a table beyond MOST_RAGGED."""
    findings = []
    for table in tables:
        for row in table.ragged[:MOST_RAGGED]:
            message = "the row has not as many cells as the header; nothing of it was read"
            widths = f"{len(table.columns)} cells", f"{len(row.cells)} cells"
            findings.append(Finding("malformed", f"{document}:{row.line}", message, *widths))
        if more := table.ragged[MOST_RAGGED:]:
            message = f"{len(more)} more rows of the table have not as many cells as the header"
            findings.append(Finding("malformed", f"{document}:{more[0].line}", message))
    return findings


def merged_table(
    name: str, rows: Sequence[tuple[int, Sequence[Placed]]], heads: int, document: str, *, held: bool = False
) -> Table:
    """The table of rows of placed cells, the first `heads` of which are the header.

    A cell is repeated where it spans. Where places are `held`, as in LaTeX, there is an empty cell below a spanning one.
    Raises BadConfiguration for more than MOST_CELLS.
    """
    grid = _grid(rows, document, held=held)
    widths = [1 + max(cells, default=0) for cells in grid]
    width = max(widths[:heads], default=max(widths))
    empty = Cell("")
    full = []
    for (line, _), cells, found in zip(rows, grid, widths, strict=True):
        extra = [cells[column] for column in range(width, found) if column in cells]
        count = width if all(not cell.text or cell == cells.get(width - 1) for cell in extra) else found
        full.append(Row(line, tuple(cells.get(column, empty) for column in range(count))))
    header = full[:heads] or [Row(0, (empty,) * width)]
    return table_of(name, [row._replace(cells=row.cells[:width]) for row in header], full[heads:])


def _grid(rows: Sequence[tuple[int, Sequence[Placed]]], document: str, *, held: bool) -> list[dict[int, Cell]]:
    """The cells of each row by column."""
    grid: list[dict[int, Cell]] = []
    above: dict[int, tuple[Cell, int]] = {}
    total = 0
    for _, placed in rows:
        cells = {column: cell for column, (cell, _) in above.items()}
        below = {column: (cell, left - 1) for column, (cell, left) in above.items() if left > 1}
        column = 0
        for cell, across, down in placed:
            while not held and column in above:
                column += 1
            for at in range(column, column + min(across, WIDEST)):
                if cell.text or at not in above:
                    cells[at] = cell
                    below.pop(at, None)
                if down > 1:
                    below[at] = (cell, down - 1)
                for earlier in grid[down + 1 :] if down < -1 else ():
                    earlier[at] = earlier[at] if at in earlier and earlier[at].text else cell
            column += min(across, WIDEST)
        total += len(cells)
        if total > MOST_CELLS:
            raise BadConfiguration(f"{document}: more than {MOST_CELLS} cells in a table", PART)
        grid.append(cells)
        above = below
    return grid


class Captions:
    """The tables of a document in its order, called after the caption above them, else after their heading.

    Where numbered captions alternate with tables, beginning with one without a caption, each is of the table above it.
    """

    def __init__(self) -> None:
        self.heading = self.caption = ""
        self._flow: list[Table | str] = []  # tables and their captions; empty texts for all else

    def under(self, heading: str) -> None:
        """A heading begins."""
        self.heading = heading
        self.apart()

    def apart(self) -> None:
        """Something without words comes between."""
        self.caption = ""
        self._flow.append("")

    def words(self, words: str, *, certain: bool) -> None:
        """A line of words, of which it may be certain that they are a caption."""
        self.caption = name_below(self.heading, words, certain=certain)
        numbered = _CAPTION.match(words)
        ends = numbered and (certain or re.match(r"\s*(?:[.:|]|$)", words[numbered.end() :]))
        self._flow.append(self.caption if ends else "")

    def add(self, tables: Sequence[Table]) -> None:
        """Tables, the first of which may be that of the caption."""
        captioned = tables and tables[0].name not in (self.heading, *self._flow[-1:])
        self._flow += ["", tables[0].name, *tables] if captioned else tables
        self.caption = ""

    @property
    def tables(self) -> list[Table]:
        """All tables, with their names."""
        found: list[Table] = []
        for _, group in groupby(self._flow, bool):
            run = [*group]
            tables, names = [part for part in run if isinstance(part, Table)], [part for part in run if isinstance(part, str)]
            if run[1::2] == names and len(tables) == len(names):
                tables = [table._replace(name=name) for table, name in zip(tables, names, strict=True)]
            found += tables
        return found


def name_below(heading: str, words: str, *, certain: bool) -> str:
    """The name of a table below these words, if they are a caption: `Table 2`, or others that `certain` makes one."""
    if numbered := _CAPTION.match(words):
        return numbered[1]
    words = words.rstrip(":. ") if certain else ""
    return f"{heading}: {words}" if heading and words else words


def cell_of(text: str, start: int = 0, end: int = 0, line: int = 0) -> Cell:
    """A cell of a text without other markup than RAISED, LOWERED and LEVEL, STRUCK and UNSTRUCK."""
    if STRUCK in text:
        struck = cell_of(" ".join(_STRUCK.findall(text)).replace(STRUCK, " ")).text
        cell = cell_of(_STRUCK.sub(" ", text).replace(STRUCK, " "), start, end, line)
        return cell._replace(struck=struck) if cell.text or is_numeric(struck) else cell._replace(text=struck)
    shown, marks, done = "", [], 0
    for part in _PART.finditer(text):
        shown += text[done : part.start()]
        done = part.end()
        before, lowered = shown[-24:].rstrip(), part["low"] or text[part.start()] == LOWERED
        spelled = " ".join((part["inside"] or part[0].strip("\ue000\ue001\ue002")).split())
        inside = unicodedata.normalize("NFKC", spelled)
        if _is_mark(before, inside, bool(lowered)):
            marks.append(spelled)
            shown += " " if re.match(r"[\d.,]", text[done : done + 1]) else ""  # digits on both sides are not one number
        elif not before[-1:].isdecimal() or inside[:1].isalpha():
            shown += part["inside"] or part[0]
        else:  # its digits do not join those before it
            apart = inside[:1] in "±+-−(" and not re.search(r"(?<![\d.,])10$", before)
            shown += f"{' ' if apart else ' _' if lowered else '^'}{inside}"
    shown = _SPACE.sub(" ", (shown + text[done:]).replace(LEVEL, " ")).strip()
    marks = list(filter(None, marks))
    return Cell(shown or " ".join(marks), tuple(marks) if shown else (), start, end, line)


def holds_ranks(label: str, texts: Sequence[str], *, first: bool = False) -> bool:
    """Whether a column holds ranks or running numbers: by its label, or as the first one whose numbers count the rows."""
    filled = [text for text in texts if text]
    ranks = sum(_RANK.fullmatch(text) is not None for text in filled)
    if label and _RANKS.fullmatch(label):
        return 2 * ranks > len(filled)  # an average below them has none
    if not filled or ranks < len(filled):
        return False
    numbers = [int(text) if text.isdecimal() else -1 for text in filled]
    return first and len(numbers) > 1 and all(after == before + 1 for before, after in pairwise(numbers))


def _is_mark(before: str, inside: str, lowered: bool) -> bool:
    """Whether a raised or lowered text, or a sign, is a footnote's mark: not the 2 of R², a power of ten, an error."""
    if inside.startswith("[^") or not inside.strip("†‡¶"):
        return True
    if len(inside) > 60 or not _MARK.fullmatch(inside) or inside in ("st", "nd", "rd", "th"):
        return False
    if lowered:
        return re.search(r"(?<![\w.])[\d.,]*\d[%)]?$", before) is not None and not re.search(r"\d\d|[^\W\d_]", inside)
    if not before or before[-1].isdecimal() or before[-1] in "%)":
        return not re.search(r"(?<![\d.,])(?:2|10)$", before) or not inside.strip(_SIGNS)
    return re.search(r"(?:^|[\s(/])[^\W\d_]{1,2}$", before) is None and before[-1].isalpha()


def _continues(head: Sequence[Sequence[Cell]], row: Sequence[Cell]) -> bool:
    """Whether the first row below a header belongs to it: no number is in it, and no name, or the header has gaps and none, or
    its words distinguish columns that are called the same.
    """
    texts, above = [cell.text for cell in row], [cell.text for cell in head[-1]]
    if any(above):
        names = any(texts) and (not texts[0] or not (above[0] or all(above[1:])))
        words = all(any(map(str.isalpha, text)) for text in texts)
        labels = [text or next(filter(None, above[n::-1]), "") for n, text in enumerate(above)]
        names = names or (words and len({*zip(labels, texts, strict=True)}) > len({*labels}))
    else:
        names = len(texts) > 2 and all(texts[1:])  # one of two columns is a list of properties
    return names and not any(is_numeric(text) and text[0] != "@" for text in texts)


def _labels(head: Sequence[Sequence[Cell]]) -> tuple[str, ...]:
    """A label for each column. In a header row above another one that merges no cells, an empty one repeats its left one."""
    rows = [[cell.text for cell in cells] for cells in head]
    for cells, texts in zip(head[:-1], rows, strict=False):
        merged = any(left == right and left.text for left, right in pairwise(cells))
        for column in range(2, 2 if merged else len(texts)):
            texts[column] = texts[column] or texts[column - 1]
    return tuple(" ".join(text for text, _ in groupby(filter(None, column))) for column in zip(*rows, strict=True))


def _keyed(table: Table) -> Table:
    """The table with the column that names its rows. Where a name spans rows, or the cells below it are empty, and words stand
    in the next column, a row is called by both.
    """
    key = _key(table)
    rows = [
        row if row.cells[key].text else Row(row.line, (*row.cells[:key], row.cells[0], *row.cells[key + 1 :]))
        for row in table.rows
    ]
    while key + 1 < len(table.columns) and _are_words(table.texts(key + 1)):
        above = [row.cells[key] for row in rows]
        for n in range(1, len(rows)):
            above[n] = above[n] if above[n].text or not rows[n].cells[key + 1].text else above[n - 1]
        if not any(name.text and name == before for before, name in pairwise(above)):
            break
        key += 1
        for n, (row, name) in enumerate(zip(rows, above, strict=True)):
            cell = row.cells[key]
            if cell != name:
                cell = cell._replace(text=f"{name.text} {cell.text}".strip())
            rows[n] = row._replace(cells=(*row.cells[:key], cell, *row.cells[key + 1 :]))
    return table._replace(key=key, rows=tuple(rows))


def _are_words(texts: Sequence[str]) -> bool:
    return 2 * len([text for text in texts if any(map(str.isalpha, text)) and not is_numeric(text)]) > len(texts)


def _key(table: Table) -> int:
    """The column that names the rows: the first, or the next column of words where that holds ranks or running numbers."""
    labelled = False
    for column, label in enumerate(table.columns):
        texts = table.texts(column)
        ranks = holds_ranks(label, texts)
        labelled = labelled or (ranks and column == 0)
        if _are_words(texts) and not ranks:
            return column
        if not (ranks or labelled or (column == 0 and holds_ranks(label, texts, first=True))):
            return 0
    return 0


# Digits with separators between thousands, a point or a decimal comma, an exponent. It begins with a class of characters, which
# `re` looks for quickly, and is possessive: megabytes of digits are read once.
DIGIT = r"[\d.]"
DIGITS = (
    r"(?:(?<=\.)(?P<bare>\d{2,}+)|(?<=\d)(?:(?<![\[,].)(?:(?<=0)(?:,|\{,\})(?P<small>\d++)|\d*+(?:,|\{,\})(?P<comma>\d\d?))"
    r"(?![.,]?\d)|(?:(?<=[1-9])\d{0,2}(?P<thousands>(?>(?:(?:,|\{,\}|\\,|[\u2009\u202f])\d{3})+))(?!\d)|\d*+)"
    r"(?>(?:\.(?P<decimals>\d++))?)(?>(?:[eE](?P<exponent>[-+−]?\d{1,4}))?)))"
)
_PLAIN = re.sub(r"\(\?P<\w+>", "(?:", DIGIT + DIGITS)
_UNITS = (
    r"(?:\s?(?:\\?%|percent|pp|[kKMGTP]i?[bB](?:/s)?|[A-Za-z]{1,12}/s(?:ec)?|ns|[µμ]s|ms|s|secs?|min|h|hours?|days?|x|×|[kKMBT]|dB|fps"
    r"|pts?|points?|st|nd|rd|th)(?![^\W_]))?"
)
_CELL = re.compile(
    rf"(?>(?:{_PLAIN}{_UNITS}(?![^\W_\u00b2\u00b3\u00b9\u2070-\u2079])|to\b|[\u00b2\u00b3\u00b9\u2070-\u2079]|[^\w{OPAQUE}]|_)+)"
)
_MACRO = re.compile(r"\\[A-Za-z]+|&#?\w{1,10};|(?<=[\d%] )\([a-z]\)")


def is_numeric(cell: str) -> bool:
    """Whether a cell holds nothing but numbers, their units and signs."""
    if cell.replace(".", "", 1).strip().isdecimal():  # most are this simple
        return True
    plain = _MACRO.sub(" ", cell) if "\\" in cell or "&" in cell or "(" in cell else cell
    return _CELL.fullmatch(plain) is not None and any(map(str.isdecimal, plain))


def pipe_cells(line: str, offset: int = 0) -> list[tuple[int, int]]:
    """Where the cells of a row of pipes stand, without spaces around, nor the empty ones outside its first and last pipe."""
    parts = re.split(r"\|(?<!\\\|)", line) if "\\|" in line else line.split("|")
    cells = []
    for part in parts:
        text = part.strip()
        start = offset + part.find(text)
        cells.append((start, start + len(text)))
        offset += len(part) + 1
    return cells[cells[0][0] == cells[0][1] : len(cells) - (cells[-1][0] == cells[-1][1])]
