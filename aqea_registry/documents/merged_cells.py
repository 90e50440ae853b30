"""Tables whose cells span rows and columns, as in HTML and LaTeX: a cell for each place of the grid. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.documents.tables import Cell, Row, Table, table_of

MOST_CELLS = 60_000  # of a table with merged cells, each counted where it spans; nobody prints so many
WIDEST = 1000  # columns that one cell can span, as in browsers


class Placed(NamedTuple):
    """A cell, over how many columns it spans, and how many rows: with a minus, those above it."""

    cell: Cell
    across: int = 1
    down: int = 1


def merged_table(
    name: str, rows: Sequence[tuple[int, Sequence[Placed]]], heads: int, document: str, *, held: bool = False
) -> tuple[Table, list[Finding]]:
    """The table of rows of placed cells, the first `heads` of which are the header, and findings as of `table_of`.

    A cell is repeated where it spans. Where places are `held`, as in LaTeX, there is an empty cell below a spanning one.
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
    return table_of(name, [row._replace(cells=row.cells[:width]) for row in header], full[heads:], document)


def _grid(rows: Sequence[tuple[int, Sequence[Placed]]], document: str, *, held: bool) -> list[dict[int, Cell]]:
    """The cells of each row by column. Raises BadConfiguration for more than MOST_CELLS."""
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
            raise BadConfiguration(
                f"{document}: more than {MOST_CELLS} cells in a table", "import the part that prints results"
            )
        grid.append(cells)
        above = below
    return grid
