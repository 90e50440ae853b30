"""Numbers of the text that repeat or compare cells of the document's tables.

A number belongs to a clause: its sentence up to the first comma, bracket or `and` behind it, without the clauses before. Rows
and columns that a clause does not name are those of the clause before. docs/claims.md has the rules. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import combinations, groupby, product
from operator import itemgetter
from typing import Any, NamedTuple

from msgspec.structs import replace

from aqea_registry.claims.drafting import slug
from aqea_registry.claims.expression import Quantity, converted, exact, printed
from aqea_registry.claims.labels import DIFFERENCES
from aqea_registry.claims.ledger import At, Claim, Quotation, free
from aqea_registry.claims.merging import OF_TEXT, is_of_text
from aqea_registry.claims.relations import CHANCE, DraftedTable, holds_for_most
from aqea_registry.documents.numbers import NotANumber, NumberSpan, PrintedNumber, Unit, parse_number, printed_like, scan
from aqea_registry.documents.prose import Kind, line_starts

FEW = 3  # characters of a number in which one may be wrong
SOME = 4  # pairs of cells that a number may compare
MOST = 40  # places of a label, and cells that a sentence names: what names more says little
_ITEM = re.compile(r"\s*(?:[-*+|#]|\d+[.)])\s")
_NEW = re.compile(r"\n\s*\n\s*$")
_BLOCK = r"\\(?:begin|end)\{[^{}\n]*\}|</?(?:p|h\d|li|div|table|t[rdh])\b[^<>]*>"
_SENTENCE = re.compile(rf"(?<=[.!?])\s+(?=\W{{0,3}}[^\W\d_])|\n\s*\n|\n(?={_ITEM.pattern})|{_BLOCK}")
_EDGE = re.compile(r"[,;:()]|\b(?:and|but|while|whereas)\b")
_WORD = re.compile(r"[^\W_]+")
_UNIT = re.compile(r"\s*(?:[(\[][^()\[\]]{1,20}[)\]]|/s)\s*$")
PERCENT = re.compile(r"(?:\s|\\,|~)?(?:\\?%|percent)")
_POINTS = re.compile(rf"(?:[\s~-]|\\,)?(?:pp|(?:percentage )?points?|better|worse|higher|lower)|{PERCENT.pattern}|by")
_FACTOR = re.compile(r"(?:[\s~]|\\,)?(?:x|×|times|\$?\\times\$?)|-?fold")
_BOUND = re.compile(r"\b(?:(over|more than)|(at least)|(under|less than|nearly|almost)|(up to|at most))\s+\W{0,3}$")
_TITLE = re.compile(r"^# .+$|\\title\{.*|<(?:h1|title)\b[^<]*", re.MULTILINE)
_BOUNDS = ("over", "at-least", "under", "at-most")
# Words that are alike in labels and text, and those that name a column by what it measures.
_ALIKE = {**dict.fromkeys(("avg", "ave", "averaged", "averages", "mean", "overall"), "average"), "our": "ours", "without": "no"}
_MEASURED = {
    ("smaller", "larger", "bigger"): "size memory storage bytes mb gb kb parameters params",
    ("faster", "slower", "quicker"): "time latency speed throughput rate seconds s ms",
}

_EXCHANGED = "exchanged"  # the kind of a number with two digits exchanged

_Line = tuple[int, bool, int]  # of a table, whether it is a row, and its position


class _NamedCell(NamedTuple):
    claim: Claim
    number: PrintedNumber
    lines: tuple[_Line, _Line]  # row and column
    labels: tuple[str, str]


class _Labels(NamedTuple):
    """Lines by the words of their labels, and by words for what they measure; cells by line; tables by words of names."""

    lines: dict[tuple[str, ...], list[_Line]]
    measured: dict[str, list[_Line]]
    cells: dict[_Line, list[_NamedCell]]
    tables: dict[str, set[int]]


class _NamedCells(NamedTuple):
    """The cells that are named by row and column, and those named by either."""

    both: Sequence[_NamedCell]
    either: Sequence[_NamedCell]


class _Statement(NamedTuple):
    """What a number says of cells: of which kind that is, and how often another would hold (None: it does not)."""

    kind: str
    chance: float | None
    claim: Claim | None

    @property
    def alone(self) -> bool:
        """Whether it is bound whatever others are."""
        return self.kind == _EXCHANGED or (self.chance is not None and self.chance <= CHANCE)


class _Number(NamedTuple):
    """A number of a sentence: its span, where it begins and ends there, its unit, its line, and the bound that is before it."""

    span: NumberSpan
    start: int
    stop: int
    unit: str
    at: At
    bound: str | None

    def readings(self) -> Iterator[tuple[PrintedNumber, dict[str, Any]]]:
        """What it stands for, with fields of its claim: what a bound is cut off from; zeros that may be no digits."""
        text, number = self.span.text, parse_number(self.span.text, "number")
        off, digits = {None: 0, "over": 1, "at-least": 1}.get(self.bound, -1), text.rstrip("0")
        yield number._replace(value=number.value + off * number.half), {"bound": self.bound}
        if digits.isdecimal() and digits != text and not off:
            yield number._replace(half=Fraction(10 ** (len(text) - len(digits)), 2)), {"digits": len(digits)}


def claims_of_text(text: str, kind: Kind, tables: Sequence[DraftedTable]) -> list[Claim]:
    """A claim `in-text.ROW.COLUMN` for each number of the text that repeats or compares cells.

    Numbers are bound one by one if chance would not make them; and all together, or all of a kind, where that holds for most.
    """
    labels, starts, title = _labels(tables), line_starts(text), _TITLE.search(text)
    taken = {claim.at.line for table in tables for claim in table.claims.values()}
    spans = (span for span in (scan(text, kind).numbers if tables else ()) if bisect_right(starts, span.start) not in taken)
    own = [line for _, lines in _mentions(labels, title[0] if title else "") for line in lines]  # what the document is about
    before, trials, behind = list[_Line](), list[_Statement](), -1
    for start, sentence, near in by_sentence(text, spans, decimals=True):
        if start != behind or _NEW.search(text[max(start - 9, 0) : start]) or _ITEM.match(sentence):
            before = []
        behind = start + len(sentence)
        before = _read(sentence, [_number(sentence, span, start, starts) for span in near], labels, before, own, trials)
    kinds, ids, kept = {trial.kind for trial in trials} - {_EXCHANGED}, dict[str, int](), set[int]()
    for some in (kinds, *({kind} for kind in kinds)):
        group = [trial for trial in trials if trial.kind in some]
        held = [trial.chance for trial in group if trial.chance is not None]
        kept |= {id(trial) for trial in (group if holds_for_most(held, len(group), len(kinds) + 1) else ())}
    bound = [trial.claim for trial in trials if trial.claim is not None and (trial.alone or id(trial) in kept)]
    return [replace(claim, id=free(claim.id, ids)) for claim in bound]


def _number(sentence: str, span: NumberSpan, offset: int, starts: Sequence[int]) -> _Number:
    start, end, stop = (place - offset for place in (span.start, span.end, span.stop))
    said, line = _BOUND.search(sentence[max(start - 20, 0) : start]), bisect_right(starts, span.start)
    unit = sentence[end:stop] or ("by" if sentence.endswith(" by ", 0, start) else "")
    return _Number(span, start, stop, unit, At(line=line), _BOUNDS[said.lastindex - 1] if said and said.lastindex else None)


def by_sentence(
    text: str, numbers: Iterable[NumberSpan], *, decimals: bool = False
) -> Iterator[tuple[int, str, list[NumberSpan]]]:
    """Sentences with where they begin, and the numbers in them that look like results and are in no table or model-index.

    With `decimals` also those that do not look like one and have a point.
    """
    edges = [0, *(edge.end() for edge in _SENTENCE.finditer(text)), len(text)]
    others = {None: decimals, "in the model-index": False, "in a table": False}
    results = (number for number in numbers if others.get(number.why, True) and (number.why or "." in number.text))
    for place, spans in groupby(results, lambda span: bisect_right(edges, span.start)):
        yield edges[place - 1], text[edges[place - 1] : edges[place]], list(spans)


def renamed(claim: Claim, names: Mapping[str, str]) -> Claim:
    """A claim of the text with the names that its cells have in the ledger."""
    if not is_of_text(claim):
        return claim
    if claim.quoted is not None:
        return replace(claim, quoted=Quotation(claim=names.get(claim.quoted.claim or "")))
    derived = re.sub(r"\[([^\[\]]+)\]", lambda match: f"[{names[match[1]]}]", claim.derived or "")
    return replace(claim, derived=derived)


def _words(text: str) -> tuple[str, ...]:
    return tuple(_ALIKE.get(word, word) for word in _WORD.findall(text.lower()))


def _labels(tables: Sequence[DraftedTable]) -> _Labels:
    found = _Labels({}, {}, {}, {})
    for t, table in enumerate(tables):
        for (r, c), claim in table.claims.items():
            with suppress(NotANumber):
                number = parse_number(claim.value or "", claim.unit)
                cell = _NamedCell(claim, number, ((t, True, r), (t, False, c)), (table.rows[r], table.columns[c]))
                for line in cell.lines if claim.bound is None else ():
                    found.cells.setdefault(line, []).append(cell)
        for row, texts in ((True, table.rows), (False, table.columns)):
            for position, label in enumerate(texts):
                if (line := (t, row, position)) not in found.cells:
                    continue
                for words in dict.fromkeys((_words(label), _words(_UNIT.sub("", label)))):
                    if len(words) < 7 and sum(map(str.isalpha, "".join(words))) > 1:
                        found.lines.setdefault(words, []).append(line)
                for said, names in _MEASURED.items():
                    for word in said if not {*names.split()}.isdisjoint(_words(label)) else ():
                        found.measured.setdefault(word, []).append(line)
        for word in _WORD.findall(table.name.lower()):
            if word.isalpha() and len(word) > 3:
                found.tables.setdefault(word, set()).add(t)
    return found


def _mentions(labels: _Labels, sentence: str) -> list[tuple[int, list[_Line]]]:
    """The longest labels of a sentence, from left to right, with where they are; of one table alone, if words name it."""
    found: list[tuple[int, list[_Line]]] = []
    matches = [*_WORD.finditer(sentence.lower())]
    words = tuple(_ALIKE.get(match[0], match[0]) for match in matches)
    named = {min(tables) for word in words if len(tables := labels.tables.get(word, set())) == 1}
    start = 0
    while start < len(words):
        length = next((n for n in range(6, 0, -1) if words[start : start + n] in labels.lines), 0)
        places = labels.lines.get(words[start : start + length], [])
        found += [(matches[start].start(), places)] if 0 < len(places) <= MOST else []
        start += length or 1
    ours = [(at, [line for line in lines if line[0] in named]) for at, lines in found] if len(named) == 1 else found
    return ours if any(lines for _, lines in ours) else found


def _named(labels: _Labels, lines: Iterable[_Line]) -> _NamedCells:
    kept = dict.fromkeys(lines)
    cells = {cell.claim.id: cell for line in kept if len(labels.cells[line]) <= MOST for cell in labels.cells[line]}
    return _NamedCells([cell for cell in cells.values() if kept.keys() >= {*cell.lines}][:MOST], [*cells.values()])


def _lacking(lines: Iterable[_Line], others: Iterable[_Line]) -> list[_Line]:
    """Those of the other lines that are rows, where the lines have no row; and columns alike."""
    there = {line[1] for line in lines}
    return [line for line in others if line[1] not in there]


def _clauses(sentence: str, numbers: Sequence[_Number]) -> Iterator[tuple[int, int, list[_Number]]]:
    start, group = 0, list[_Number]()
    for number, behind in zip(numbers, [*numbers[1:], None], strict=True):
        group.append(number)
        edge = _EDGE.search(sentence, number.stop, behind.start) if behind else None
        if edge or behind is None:
            yield start, (end := edge.start() if edge else len(sentence)), group
            start, group = end, []


def _read(
    sentence: str, numbers: Sequence[_Number], labels: _Labels, before: list[_Line], own: list[_Line], trials: list[_Statement]
) -> list[_Line]:
    """Try each number of a sentence. `before` are the lines of the clause before it, `own` those that the document is about.

    The result are the lines of its last clause.
    """
    mentions = _mentions(labels, sentence)
    every = dict.fromkeys(line for _, some in mentions for line in some)
    whole, quoted, texts = _named(labels, every), list[_NamedCell](), {number.span.text for number in numbers}
    for start, end, near in _clauses(sentence, numbers):
        said = lines = [line for at, some in mentions if start <= at < end for line in some]
        measured = [line for word in _words(sentence[start:end]) for line in labels.measured.get(word, ())]
        for more in ([line for line in measured if line in before] or measured, before, own if said or before else ()):
            lines = [*lines, *(line for line in more if line[1] not in {named[1] for named in lines})]
        clause = _named(labels, lines)
        for number in near:
            with suppress(NotANumber):
                trial, cell = _quotation(number, clause, whole, texts)
                quoted += [cell] if cell is not None else []
                if trial is None or trial.claim is None:
                    pairs = ([] if said else _pairs(quoted[-2:])) or _pairs(clause.both)
                    if not pairs and len(clause.both) == 1:  # with whom `it` is compared
                        there = [line for line in (*before, *own) if line not in lines]
                        behind = [line for line in every if line not in lines and line[1] not in {own[1] for own in said}]
                        pairs = _pairs(clause.both, _named(labels, there or behind).either)
                        lines += [line for pair in pairs for cell in pair for line in cell.lines]
                    trial = _comparison(number, pairs or ([] if clause.both else _pairs(whole.both))) or trial
                trials += [trial] if trial is not None else []
        before = [*dict.fromkeys(lines)]
    return before


def _pairs(cells: Sequence[_NamedCell], others: Sequence[_NamedCell] = ()) -> list[tuple[_NamedCell, _NamedCell]]:
    """Two cells that can be compared, the larger one first, or one of them and one of others; none if there are many."""
    pairs = [
        (a, b) if a.number.value >= b.number.value else (b, a)
        for a, b in (product(cells, others) if others else combinations(cells, 2))
        if a is not b and {*a.lines} & {*b.lines} and a.claim.unit == b.claim.unit
    ]
    return pairs if len(pairs) <= SOME else []


def _quotation(
    number: _Number, clause: _NamedCells, whole: _NamedCells, texts: set[str]
) -> tuple[_Statement | None, _NamedCell | None]:
    """What a number is that one named cell has, or would have but for a slip; and the cell. `texts` are all of the sentence."""
    percent, unit = PERCENT.fullmatch(number.unit) is not None, {*_words(number.unit)}
    points, (value, fields) = _POINTS.fullmatch(number.unit), next(number.readings())

    def fits(cell: _NamedCell) -> bool:
        """Whether a cell may be in the unit of the number."""
        words = {*_words(" ".join(cell.labels))} if unit and not percent else unit
        return cell.claim.unit != "fraction" if percent else unit <= words or bool(points and words & DIFFERENCES)

    best, equal = list[tuple[float, _NamedCell]](), 0
    levels = [[*filter(fits, cells)] for cells in (clause.both, whole.both, clause.either, whole.either)]
    for cells in levels:
        same = [cell for cell in cells if _is_same(value, cell.number)]
        best += [(_chance(value, cells), same[0])] if len(same) == 1 else []
        equal += len(same)
    if best:
        chance, cell = next((way for way in best if way[0] <= CHANCE), min(best, key=itemgetter(0)))
        return _Statement("same", chance, _quoting(number, cell, fields)), cell
    if number.bound or unit or equal:
        return None, None
    named = next((cells for cells in levels[:2] if len(cells) == 1), [])
    for alike in (is_exchanged, is_slip):
        shorter = whole.both if alike is is_exchanged else []  # named in this sentence; `75` of 75.81 is not a slip
        read = [(cell, _shortened(number, value, cell, shorter)) for cell in named or levels[2]]
        slips = [(cell, text) for cell, text in read if alike(number.span.text, text)]
        if len(slips) == 1 and texts.isdisjoint((slips[0][1], slips[0][0].claim.value)) and (named or alike is is_exchanged):
            kind = _EXCHANGED if named and alike is is_exchanged else "same"
            return _Statement(kind, None, _quoting(number, slips[0][0], fields)), None
    decimals = [len((text or "").partition(".")[2]) for text in (number.span.text, *(cell.claim.value for cell in named))]
    return _Statement("same", None, None) if number.span.why and len(decimals) == 2 and len({*decimals}) == 1 else None, None


def _shortened(number: _Number, value: PrintedNumber, cell: _NamedCell, cells: Sequence[_NamedCell]) -> str:
    """What a cell prints, rounded to the digits of the text where that has fewer, and the cell is one of these."""
    shorter = cell in cells and cell.number.half < value.half
    return printed_like(number.span.text, cell.number.value) if shorter else cell.claim.value or ""


def _is_same(number: PrintedNumber, cell: PrintedNumber) -> bool:
    """Whether the text prints the cell, perhaps with fewer digits."""
    return number.low < cell.high and cell.low < number.high and cell.half <= number.half


def _chance(number: PrintedNumber, cells: Sequence[_NamedCell]) -> float:
    """How often one of the cells that have about this size would be this number."""
    near = sum(abs(number.value) <= 2 * abs(cell.number.value) <= 4 * abs(number.value) for cell in cells)
    return near * float(2 * number.half / abs(number.value)) if number.value and number.half else 1.0


def is_exchanged(text: str, cell: str) -> bool:
    """Whether two numbers differ by two neighbouring digits that are exchanged."""
    pair = [re.sub("[.,]", "", digits) for digits in (text, cell)]
    places = [n for n, (a, b) in enumerate(zip(*pair, strict=False)) if a != b]
    alike = text.find(".") == cell.find(".") and len(text) == len(cell) > 3 and sorted(text) == sorted(cell)
    return alike and len(places) == 2 and places[1] - places[0] == 1


def is_slip(text: str, right: str) -> bool:
    """Whether one digit is another, two neighbouring ones are exchanged, or the last is cut off instead of rounded."""
    number, other = parse_number(text, "number"), parse_number(right, "number")
    digit = len(text) == len(right) > FEW and sum(a != b for a, b in zip(text, right, strict=True)) == 1
    return digit or is_exchanged(text, right) or abs(number.value - other.value) == 2 * number.half


def _quoting(number: _Number, cell: _NamedCell, fields: Mapping[str, Any]) -> Claim:
    words = ".".join(slug(label, "cell") for label in cell.labels)
    unit = "percent" if PERCENT.fullmatch(number.unit) else cell.claim.unit
    quoted = Quotation(claim=cell.claim.id)
    return Claim(id=f"{OF_TEXT}{words}", value=number.span.text, unit=unit, at=number.at, quoted=quoted, **fields)


def _comparison(number: _Number, pairs: Sequence[tuple[_NamedCell, _NamedCell]]) -> _Statement | None:
    """What a number is of two cells, of which the first is the larger; else what it should be, if that is near."""
    tried: list[tuple[Fraction, str, Claim]] = []
    for value, fields in number.readings() if _POINTS.fullmatch(number.unit) or _FACTOR.fullmatch(number.unit) else ():
        ways = [(pair, way) for pair in pairs for way in _ways(value, number.unit, *pair[:: -1 if value.value < 0 else 1])]
        for (a, b), (kind, derived, unit, computed) in ways:
            words = f"{slug(f'{a.labels[0]} {b.labels[0]}', 'cells')}.{slug(a.labels[1], 'cell')}"
            text, off = number.span.text, abs(value.value - computed.value)
            claim = Claim(id=f"{OF_TEXT}{words}", value=text, unit=unit, at=number.at, derived=derived, **fields)
            size = abs(computed.value - (unit == "ratio"))  # another factor would be as far from one
            half = value.half + (0 if off <= value.half else (computed.high - computed.low) / 2)
            if size and off <= half:
                return _Statement(kind, min(len(ways) * float(half / size), 1.0), claim)
            tried.append((off / (size or 1), kind, claim))
    if not tried:
        return None
    off, kind, claim = min(tried, key=itemgetter(0))
    near = off < Fraction(1, 2) or (len(pairs) == 1 and kind == "points" and not PERCENT.fullmatch(number.unit))
    return _Statement(kind, None, claim if near and not (claim.bound or claim.digits) else None)


def _ways(number: PrintedNumber, unit: str, a: _NamedCell, b: _NamedCell) -> Iterator[tuple[str, str, Unit, Quantity]]:
    """What a number may say of a cell against another one: kind, expression, unit and value."""
    one, other, percent = f"[{a.claim.id}]", f"[{b.claim.id}]", PERCENT.fullmatch(unit)
    first, second = printed(a.number, a.claim.unit), printed(b.number, b.claim.unit)
    if _POINTS.fullmatch(unit):
        yield "points", f"difference({one}, {other})", "percent" if percent else a.claim.unit, first - second
    if min(first.low, second.low) <= 0:
        return
    if percent:
        whole = exact(Fraction(1))
        yield "gain", f"percent(ratio({one}, {other}) - 1)", "percent", converted(first / second - whole, "percent")
        if first.value > second.value:
            yield "gain", f"percent(1 - ratio({other}, {one}))", "percent", converted(whole - second / first, "percent")
    elif _FACTOR.fullmatch(unit) and number.value >= 1:
        yield "factor", f"ratio({one}, {other})", "ratio", first / second
    elif _FACTOR.fullmatch(unit):
        yield "factor", f"ratio({other}, {one})", "ratio", second / first
