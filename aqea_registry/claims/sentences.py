"""Numbers of the text that a table of the document prints, too, in a sentence that names their row or column.

docs/claims.md says when a number is bound; all else is left to people, such as which model `it` is. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations, groupby
from typing import NamedTuple

import msgspec

from aqea_registry.claims.drafting import slug
from aqea_registry.claims.ledger import At, Claim, Quotation
from aqea_registry.claims.merging import OF_TEXT, is_of_text
from aqea_registry.claims.relations import CHANCE, DraftedTable
from aqea_registry.documents.numbers import NotANumber, NumberSpan, PrintedNumber, parse_number, scan
from aqea_registry.documents.prose import Kind, line_starts

MOST = 40  # places of a label, and cells that a sentence names: what names more says little

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\W{0,3}[^\W\d_])|\n\s*\n|\n(?=\s*(?:[-*+|#]|\d+[.)])\s)")
_WORD = re.compile(r"[^\W_]+")
_COUNT = re.compile(r"\s*[(\[]\d+[)\]]\s*$")
PERCENT = re.compile(r"(?:\s|\\,|~)?(?:\\?%|percent)")
_POINTS = re.compile(rf"(?:[\s~-]|\\,)?(?:pp|(?:percentage )?points?)|{PERCENT.pattern}")

_Line = tuple[int, bool, int]  # of a table, whether it is a row, and its position


class _NamedCell(NamedTuple):
    claim: Claim
    number: PrintedNumber
    lines: tuple[_Line, _Line]  # row and column
    labels: tuple[str, str]


class _Labels(NamedTuple):
    lines: dict[tuple[str, ...], list[_Line]]  # by the words of their label
    cells: dict[_Line, list[_NamedCell]]


class _Named(NamedTuple):
    """The cells that a sentence names by row and column, and those that it names by either."""

    both: list[_NamedCell]
    either: list[_NamedCell]


def claims_of_text(text: str, kind: Kind, tables: Sequence[DraftedTable]) -> list[Claim]:
    """A claim `in-text.ROW.COLUMN` for each number of the text that is bound to cells."""
    labels, starts = _labels(tables), line_starts(text)
    taken = {claim.at.line for table in tables for claim in table.claims.values()}
    numbers = (
        [span for span in scan(text, kind).numbers if bisect_right(starts, span.start) not in taken] if labels.lines else []
    )
    claims: list[Claim] = []
    counts = Counter[str]()
    for _, sentence, spans in by_sentence(text, numbers):
        named = _named(labels, _words(sentence))
        for span in spans if named.either else ():
            with suppress(NotANumber):
                at = At(line=bisect_right(starts, span.start))
                if claim := _bound(span.text, text[span.end : span.stop], named, {other.text for other in spans}, at):
                    counts[claim.id] += 1
                    more = f"-{counts[claim.id]}" if counts[claim.id] > 1 else ""
                    claims.append(msgspec.structs.replace(claim, id=claim.id + more))
    return claims


def by_sentence(text: str, numbers: Iterable[NumberSpan]) -> Iterator[tuple[int, str, list[NumberSpan]]]:
    """Sentences with where they begin, and the numbers in them that look like results and are in no table or model-index."""
    edges = [0, *(edge.end() for edge in _SENTENCE.finditer(text)), len(text)]
    results = (number for number in numbers if number.why not in (None, "in the model-index", "in a table"))
    for place, spans in groupby(results, lambda span: bisect_right(edges, span.start)):
        yield edges[place - 1], text[edges[place - 1] : edges[place]], list(spans)


def renamed(claim: Claim, names: Mapping[str, str]) -> Claim:
    """A claim of the text with the names that its cells have in the ledger."""
    if not is_of_text(claim):
        return claim
    if claim.quoted is not None:
        return msgspec.structs.replace(claim, quoted=Quotation(claim=names.get(claim.quoted.claim or "")))
    derived = re.sub(r"\[([^\[\]]+)\]", lambda match: f"[{names[match[1]]}]", claim.derived or "")
    return msgspec.structs.replace(claim, derived=derived)


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


def _labels(tables: Sequence[DraftedTable]) -> _Labels:
    found = _Labels({}, {})
    for t, table in enumerate(tables):
        for (r, c), claim in table.claims.items():
            with suppress(NotANumber):
                number = parse_number(claim.value or "", claim.unit)
                cell = _NamedCell(claim, number, ((t, True, r), (t, False, c)), (table.rows[r], table.columns[c]))
                for line in cell.lines if claim.bound is None else ():
                    found.cells.setdefault(line, []).append(cell)
        for row, texts in ((True, table.rows), (False, table.columns)):
            for position, label in enumerate(texts):
                words = _words(_COUNT.sub("", label))
                if (t, row, position) in found.cells and len(words) < 7 and sum(map(str.isalpha, "".join(words))) > 1:
                    found.lines.setdefault(words, []).append((t, row, position))
    return found


def _named(labels: _Labels, words: tuple[str, ...]) -> _Named:
    """The longest labels of a sentence, from left to right, and their cells."""
    lines: dict[_Line, None] = {}
    start = 0
    while start < len(words):
        length = next((n for n in range(6, 0, -1) if words[start : start + n] in labels.lines), 0)
        places = labels.lines.get(words[start : start + length], [])
        lines |= dict.fromkeys(places if len(places) <= MOST else ())
        start += length or 1
    cells = {cell.claim.id: cell for line in lines if len(labels.cells[line]) <= MOST for cell in labels.cells[line]}
    both = [cell for cell in cells.values() if all(line in lines for line in cell.lines)]
    return _Named(both[:MOST], list(cells.values()))


def _bound(text: str, unit: str, named: _Named, others: set[str], at: At) -> Claim | None:
    """The claim of a number, if it is that of one named cell, or the only difference that the sentence can mean."""
    number, percent = parse_number(text, "number"), PERCENT.fullmatch(unit) is not None
    if unit and not percent:
        cells: list[_NamedCell] = []
    else:
        cells = [cell for cell in named.either if not (percent and cell.claim.unit == "fraction")]
    for some in ([cell for cell in cells if cell in named.both], cells):
        same = [cell for cell in some if _is_same(number, cell.number)]
        if len(same) == 1 and _chance(number, some) <= CHANCE:
            return _quoting(text, same[0], percent, at)
    if len(named.both) == 1 and cells and not any(_is_same(number, cell.number) for cell in cells):
        [cell] = named.both
        if (cell.claim.value or "") not in others and is_exchanged(text, cell.claim.value or ""):
            return _quoting(text, cell, percent, at)
    if _POINTS.fullmatch(unit):
        pairs = [(a, b) for a, b in combinations(named.both, 2) if {*a.lines} & {*b.lines} and a.claim.unit == b.claim.unit]
        if len(pairs) == 1:
            return _difference(text, number, *pairs[0], percent, at)
    return None


def _is_same(number: PrintedNumber, cell: PrintedNumber) -> bool:
    """Whether the text prints the cell, perhaps with fewer digits."""
    return number.low < cell.high and cell.low < number.high and cell.half <= number.half


def _chance(number: PrintedNumber, cells: Sequence[_NamedCell]) -> float:
    """How often one of the cells that have about this size would be this number."""
    near = sum(abs(number.value) <= 2 * abs(cell.number.value) <= 4 * abs(number.value) for cell in cells)
    return near * float(2 * number.half / abs(number.value)) if number.value and number.half else 1.0


def is_exchanged(text: str, cell: str) -> bool:
    """Whether two numbers differ by two neighbouring digits that are exchanged."""
    pair = [digits.replace(".", "") for digits in (text, cell)]
    places = [n for n, (a, b) in enumerate(zip(*pair, strict=False)) if a != b]
    alike = text.find(".") == cell.find(".") and len(text) == len(cell) > 3 and sorted(text) == sorted(cell)
    return alike and len(places) == 2 and places[1] - places[0] == 1


def _quoting(text: str, cell: _NamedCell, percent: bool, at: At) -> Claim:
    words = ".".join(slug(label, "cell") for label in cell.labels)
    return Claim(
        id=f"{OF_TEXT}{words}",
        value=text,
        unit="percent" if percent else cell.claim.unit,
        at=at,
        quoted=Quotation(claim=cell.claim.id),
    )


def _difference(text: str, number: PrintedNumber, a: _NamedCell, b: _NamedCell, percent: bool, at: At) -> Claim | None:
    a, b = sorted((a, b), key=lambda cell: cell.number.value, reverse=True)
    middle, half = a.number.value - b.number.value, a.number.half + b.number.half + number.half
    if middle == 0 or abs(abs(number.value) - middle) > half or float(half / middle) > CHANCE:
        return None
    words = f"{slug(f'{a.labels[0]} {b.labels[0]}', 'cells')}.{slug(a.labels[1], 'cell')}"
    derived = f"difference([{a.claim.id}], [{b.claim.id}])"
    return Claim(id=f"{OF_TEXT}{words}", value=text, unit="percent" if percent else a.claim.unit, at=at, derived=derived)
