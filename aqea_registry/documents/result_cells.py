"""Cells of tables whose numbers look like results: in Markdown, HTML and LaTeX, and rows of columns in plain text.

A cell is one if it holds nothing but numbers with their units and signs, and neither names its row nor stands in a column of
years, settings or the like. The cells are split as the readers of tables split them, but no parser looks for the tables: that
of Markdown takes several times as long as all the rest, and a page to lint may have megabytes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from aqea_registry.documents.cues import SETTING_LABEL
from aqea_registry.documents.latex_tables import TABULAR, tabular_rows
from aqea_registry.documents.prose import Prose
from aqea_registry.documents.tables import is_numeric, pipe_cells

Cells = Sequence[tuple[int, int]]

_NO_RESULTS = re.compile(
    rf"years?|dates?|versions?|id|#|n[or]\.?|ports?|pages?|lines?|sections?|issues?|status|code|commit|since|steps?|runs?|folds?|trials?|rank|rang|place|pos(?:ition)?|index|idx|{SETTING_LABEL}"
)
_SETTINGS = re.compile(r"(?:hyper-?)?parameters?|settings?|options?|arguments?|config(?:uration)?")
_LONGEST_ROW = 2000


class ResultSpan(NamedTuple):
    """A part of a document in which every number looks like a result, and why; or none does, however it looks."""

    start: int
    end: int
    why: str | None


def results_in_tables(prose: Prose) -> Iterator[ResultSpan]:
    """The cells and values in which every number looks like a result, in order and one at a time."""
    yield from (ResultSpan(start, end, "in the model-index") for start, end in prose.values)
    if prose.kind == "latex":
        spans = _numeric(prose.text, _tabular_rows(prose.text))
    elif prose.kind == "csv":
        spans = _numeric(prose.text, _csv_rows(prose.text))
    elif prose.kind == "markdown":
        spans = _numeric(prose.text, _pipe_rows(prose.text))
    else:
        spans = _columns(prose.text)
    if prose.rows:
        spans = iter(sorted(chain(spans, _numeric(prose.text, prose.rows))))
    yield from spans


def _numeric(text: str, rows: Iterable[tuple[bool, Cells]]) -> Iterator[ResultSpan]:
    """The numeric cells below each header, except those of the first column; those of columns and tables without results, and
    headers, as parts without results.
    """
    reasons: dict[int, str | None] = {}
    usual: str | None = "in a table"
    for is_header, cells in rows:
        texts = [text[start:end] for start, end in cells]
        if is_header:
            labels = [label.strip(" *_\n\t").lower() for label in texts]
            reasons = {column: None for column, label in enumerate(labels) if _NO_RESULTS.fullmatch(label)}
            usual = None if labels and _SETTINGS.fullmatch(labels[0]) else "in a table"
            if cells and not any(map(is_numeric, labels[1:])):
                yield ResultSpan(cells[0][0], cells[-1][1], None)
            continue
        for column, cell in enumerate(texts):
            why = reasons.get(column, usual)
            if (column or why is None) and is_numeric(cell):
                yield ResultSpan(*cells[column], why)


def _pipe_rows(text: str) -> Iterator[tuple[bool, Cells]]:
    """The rows of pipe tables; each table begins with its header."""
    offset, before, inside = 0, ("", 0), False
    for line in text.split("\n") if "|" in text else ():
        if "|" not in line:
            inside = False
        else:
            quoted = len(line) - len(line.lstrip("> \t")) if ">" in line[:9] else 0
            row = (line[quoted:], offset + quoted)
            if not row[0].strip("|:- \t\r") and "-" in line:
                inside = True
                yield True, pipe_cells(*before)
            elif inside:
                yield False, pipe_cells(*row)
            before = row
        offset += len(line) + 1


def _csv_rows(text: str) -> Iterator[tuple[bool, Cells]]:
    offset = 0
    for line in text.split("\n"):
        yield not offset, pipe_cells(f"|{line}|", offset - 1)
        offset += len(line) + 1


def _tabular_rows(text: str) -> Iterator[tuple[bool, Cells]]:
    """The rows of LaTeX tables, the first of each as its header."""
    done = 0
    for table in TABULAR.finditer(text):
        if table.start() >= done:
            rows, done = tabular_rows(text, table.end(), table["name"])
            yield from ((not number, cells) for number, cells in enumerate(rows))


def _columns(text: str) -> Iterator[ResultSpan]:
    """The numbers at the ends of lines of plain text: two or more of them, or one where the lines around are like that."""
    before, line, given = ResultSpan(0, 0, "in a table"), -9, True
    for number, start, end, count in _rows(text):
        beside, span = number - line <= 2, before._replace(start=start, end=end)
        if beside and not given:
            yield before
        given = count > 1 or beside
        if given:
            yield span
        before, line = span, number


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
            if word[-1] in ",;:." or not is_numeric(word):
                break
            count += 1
        elif word.strip("|-–—~"):
            break
        words += 1
    return words, count
