"""Tables as a terminal gets them, and the colours of states. Nothing is printed here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click

GAP = "  "
_COLOURS = {
    **dict.fromkeys(("holds", "IDENTICAL", "SAME CONTENT", "EQUIVALENT", "same", "confirmed", "no findings"), "green"),
    **dict.fromkeys(("contradicted", "DIVERGED", "FAILED", "moved", "gone", "finding"), "red"),
    **dict.fromkeys(("unchecked", "unbound", "claimed", "unresolved", "changed"), "yellow"),
}


def paint(text: str, state: str | None = None) -> str:
    """The text in the colour of a state (default: of the state that it is), if that has one."""
    colour = _COLOURS.get((text if state is None else state).strip())
    return click.style(text, fg=colour) if colour else text


def _cell(cell: str, header: str) -> str:
    """A state in its colour; a code of a finding, or a count that is not zero, in that of its column."""
    return paint(cell, header if header == "finding" or cell.strip().strip("0").isdigit() else None)


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """A table in so many columns: aligned if it fits, else its widest column wrapped, else each row as a block of lines.

    A column is wrapped where a third of the terminal is left for it: narrower, there would be a word to each line.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    widest = widths.index(max(widths))
    room = width - sum(widths) - len(GAP) * (len(widths) - 1) + widths[widest]
    if widths[widest] > room and room < width // 3:
        names = max(map(len, header))
        for row in rows:
            yield from ("",) if row is not rows[0] else ()
            for name, cell in zip(header, row, strict=True):
                wrapped = textwrap.wrap(cell, max(20, width - names - len(GAP)), break_on_hyphens=False)
                yield from (
                    click.style(f"{'' if n else name:{names}}{GAP}", bold=True) + _cell(text, name)
                    for n, text in enumerate(wrapped)
                )
        return
    widths[widest] = min(widths[widest], room)
    for row in (header, *rows):
        wrapped = textwrap.wrap(row[widest], room, break_on_hyphens=False) if cell_len(row[widest]) > room else [row[widest]]
        for number, text in enumerate(wrapped):
            cells = [text if column == widest else "" if number else cell for column, cell in enumerate(row)]
            padded = [cell + " " * (size - cell_len(cell)) for cell, size in zip(cells, widths, strict=True)]
            padded[-1] = padded[-1].rstrip()
            bold = [click.style(cell, bold=True) for cell in padded]
            yield GAP.join(bold if row is header else map(_cell, padded, header)).rstrip()
