"""Tables as a terminal and a pipe get them, and the colours of states. Nothing is printed here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click

GAP = "  "
COLOURS = {
    "green": ("holds", "IDENTICAL", "SAME CONTENT", "EQUIVALENT", "same", "confirmed", "no findings"),
    "red": ("contradicted", "DIVERGED", "FAILED", "moved", "gone"),
    "yellow": ("changed", "unchecked", "unbound", "claimed", "unresolved", "withdrawn", "superseded"),
}
_OF_STATE = {state: colour for colour, states in COLOURS.items() for state in states}


def paint(text: str, state: str | None = None) -> str:
    """The text in the colour of a state (default: of the state that it is), if that has one."""
    colour = _OF_STATE.get((text if state is None else state).strip())
    return click.style(text, fg=colour) if colour else text


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """A table in so many columns: aligned if it fits, else its widest column wrapped, else each row as a block of lines.

    A column is wrapped where a third of the terminal is left for it: narrower, there would be a word to each line.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    widest = widths.index(max(widths))
    room = width - sum(widths) - len(GAP) * (len(widths) - 1) + widths[widest]
    if widths[widest] > room and room < width // 3:
        yield from _blocks(header, rows, width)
        return
    widths[widest] = min(widths[widest], room)
    for number, row in enumerate((header, *rows)):
        wrapped = textwrap.wrap(row[widest], room, break_on_hyphens=False) if cell_len(row[widest]) > room else [row[widest]]
        for part, text in enumerate(wrapped):
            cells = [text if column == widest else "" if part else cell for column, cell in enumerate(row)]
            padded = [cell + " " * (size - cell_len(cell)) for cell, size in zip(cells, widths, strict=True)]
            padded[-1] = cells[-1]
            styled = [click.style(cell, bold=True) for cell in padded] if not number else list(map(_painted, padded, header))
            yield GAP.join(styled).rstrip()


def _painted(cell: str, header: str) -> str:
    """A state in its colour, a count of a state that is not zero, and the code of a finding."""
    if header == "finding":
        return paint(cell, "FAILED")
    return paint(cell, header if cell.strip().isdigit() and int(cell) else None)


def _blocks(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Each row as lines, one for each cell that is not empty, with the column's name in front."""
    names = max(map(len, header))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, cell in zip(header, row, strict=True):
            lines = textwrap.wrap(cell, max(20, width - names - len(GAP)), break_on_hyphens=False)
            for part, text in enumerate(lines):
                yield click.style(f"{'' if part else name:{names}}", bold=True) + GAP + _painted(text, name)
