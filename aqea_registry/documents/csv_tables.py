"""CSV and TSV as tables: the header is the first row of several cells, and a cell may hold a link or other markup. Pure."""

from __future__ import annotations

import csv
import re

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.documents.markdown_tables import inline
from aqea_registry.documents.tables import Cell, Row, Table, cell_of, table_of

_MARKUP = re.compile(r"</?[A-Za-z]|\]\(|\*\*")


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
        cells.append(cell_of(inline(value) if _MARKUP.search(value) else value, start, end))
        start = end + 1
    return cells
