"""Which numbers of a document are bound to claims: by a marker beside them, or by a ledger that says where they stand."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from aqea_registry.claims.ledger import Claim, Ledger
from aqea_registry.documents.numbers import Marker, NotANumber, NumberSpan, Scan, parse_number
from aqea_registry.documents.prose import line_starts

MOST = 1000  # unbound numbers that are told one by one


class Fault(msgspec.Struct, frozen=True):
    """What is wrong at a place of a document. Line and column count from 1; `claim` is the claim that it is about."""

    code: str
    line: int
    column: int
    message: str
    claim: str | None = None
    expected: str | None = None
    actual: str | None = None


class Bound(NamedTuple):
    """What became of the numbers that look like results. `lines` has the claims of a ledger and the lines they stand at."""

    results: int
    bound: int
    examples: int
    faults: tuple[Fault, ...]
    lines: dict[str, dict[str, int]]


def bind(text: str, scan: Scan, ledgers: Mapping[str, Ledger], own: Mapping[str, bool]) -> Bound:
    """Bind a document's numbers to the claims of all ledgers.

    `own` names the ledgers of this document; of those that are true the document has the very bytes.
    """
    starts = line_starts(text)
    marked = _Marked(text, scan, starts, ledgers, own)
    for marker in scan.markers:
        marked.take(marker)
    faults, lines = list(marked.faults), {}
    spans: list[tuple[int, int]] = []
    for name, same in own.items():
        claims = [claim for claim in ledgers[name].claims if claim.text and f"{name}:{claim.id}" not in marked.claims]
        placed = _place(text, starts, claims, same)
        for claim, place in zip(claims, placed, strict=True):
            if place is None or (same and claim.at.line not in (None, bisect_right(starts, place))):
                faults.append(_gone(name, claim, same))
            if place is not None:
                spans.append((place, place + len(claim.text)))
        found = {
            claim.id: bisect_right(starts, place) for claim, place in zip(claims, placed, strict=True) if place is not None
        }
        by_marker = {
            key.partition(":")[2]: line
            for key, line in marked.claims.items()
            if key.partition(":")[0] == name and line is not None
        }
        lines[name] = found | by_marker
    spans.sort()
    results = [(index, number) for index, number in enumerate(scan.numbers) if number.why is not None]
    examples = {index for index, number in results if index in marked.examples or _within(number, scan.examples)}
    free = [
        number
        for index, number in results
        if index not in examples and index not in marked.bound and not _overlaps(number, spans)
    ]
    faults += _unbound(free, starts)
    if scan.open is not None:
        faults.append(Fault("malformed", *_at(starts, scan.open), "`examples` begins here and has no end"))
    if scan.rest is not None:
        message = f"the numbers from here on were not looked at, for {len(scan.numbers)} stand before; split the document"
        faults.append(Fault("claim-unbound", *_at(starts, scan.rest), message))
    faults.sort(key=lambda fault: (fault.line, fault.column))
    return Bound(len(results), len(results) - len(examples) - len(free), len(examples), tuple(faults), lines)


class _Marked:
    """The numbers that markers have taken. A marker takes numbers before it on its line, or inside it."""

    def __init__(
        self, text: str, scan: Scan, starts: Sequence[int], ledgers: Mapping[str, Ledger], own: Mapping[str, bool]
    ) -> None:
        self._text, self._scan, self._starts, self._ledgers, self._own = text, scan, starts, ledgers, own
        self._offsets = [number.start for number in scan.numbers]
        self._known: dict[str, dict[str, Claim]] = {}
        self._from = 0  # the end of the marker before
        self.bound: set[int] = set()
        self.examples: set[int] = set()
        self.claims: dict[str, int | None] = {}  # LEDGER:ID to its line
        self.faults: list[Fault] = []

    def take(self, marker: Marker) -> None:
        """Give a marker its numbers."""
        line = self._starts[bisect_right(self._starts, marker.start) - 1]
        left, right = marker.inside or (max(line, self._from), marker.start)
        near = range(bisect_left(self._offsets, left), bisect_left(self._offsets, right))
        self._from = marker.end
        if not marker.claims:
            self.examples.update(self._last(near, right, 1))
            return
        named = [(name, self._claim(name, marker)) for name in marker.claims]
        if marker.prints:
            return
        numbers = self._last(near, right, len(marker.claims))
        left_over = []
        for name, claim in named:
            index = next((one for one in numbers if claim and matches(self._scan.numbers[one], claim)), None)
            if index is None:
                left_over.append((name, claim))
            else:
                numbers.remove(index)
                self.bound.add(index)
        for name, claim in left_over:
            index = numbers.pop(0) if numbers else None
            self.bound |= set() if index is None else {index}
            if claim is not None:
                self.faults.append(self._other(name, claim, marker, index))

    def _last(self, near: range, right: int, count: int) -> list[int]:
        """The last `count` numbers before a marker: the one beside it, whatever it looks like, else those like results."""
        results = [index for index in near if self._scan.numbers[index].why is not None]
        if count == 1 and near:
            between = self._text[self._scan.numbers[near[-1]].stop : right]
            if len(between) < 40 and not any(one.isalnum() for one in between):
                return [near[-1]]
        return (results if len(results) >= count else list(near))[-count:]

    def _claim(self, name: str, marker: Marker) -> Claim | None:
        """The claim that a marker names; a fault if there is none."""
        ledger, colon, key = name.partition(":")
        names = [ledger] if colon else list(self._own)
        for one in names:
            if one in self._ledgers and one not in self._known:
                self._known[one] = {claim.id: claim for claim in self._ledgers[one].claims}
            claim = self._known.get(one, {}).get(key if colon else name)
            if claim is not None:
                self.claims[f"{one}:{claim.id}"] = bisect_right(self._starts, marker.start)
                return claim
        message = f"the marker names {name}, and no ledger has such a claim"
        self.faults.append(Fault("claim-unbound", *_at(self._starts, marker.start), message, claim=name))
        return None

    def _other(self, name: str, claim: Claim, marker: Marker, index: int | None) -> Fault:
        if index is None:
            message = f"no number stands before the marker of {name}, which prints {claim.text}"
            return Fault("claim-stale", *_at(self._starts, marker.start), message, name, claim.text)
        number = self._scan.numbers[index]
        message = f"the number is marked as {name}, which prints another one"
        return Fault("claim-stale", *_at(self._starts, number.start), message, name, claim.text, number.text)


def matches(number: NumberSpan, claim: Claim) -> bool:
    """Whether a number is what a claim prints, or the same rounded to fewer digits."""
    if number.text == claim.text:
        return True
    try:
        printed, claimed = (
            parse_number(_plain(number.text), claim.unit, as_printed=True),
            parse_number(claim.value or "", claim.unit),
        )
    except NotANumber:
        return False
    half = printed.half if "." in claim.text else 0
    return abs(printed.value - claimed.value) <= half and printed.half >= claimed.half


def _plain(text: str) -> str:
    return re.sub(r"\{,\}|\\,|[\u2009\u202f]", ",", text)


def _place(text: str, starts: Sequence[int], claims: Sequence[Claim], same: bool) -> list[int | None]:
    """Where each claim's text stands: at its line, or if the document has changed nearest to where it would be now."""
    places = _occurrences(text, {claim.text for claim in claims})
    used: set[tuple[str, int]] = set()
    placed: list[int | None] = []
    drift = 0
    for claim in claims:
        options = places[claim.text]
        free = [place for place in _around(options, starts, claim.at.line, drift) if (claim.text, place) not in used]
        place = free[0] if free else _around(options, starts, claim.at.line, drift)[0] if options else None
        if place is not None and claim.at.line is not None:
            line = bisect_right(starts, place)
            unsure = same and line != claim.at.line and len(options) > 1
            place = None if unsure else place
            drift = drift if same else line - claim.at.line
        if place is not None:
            used.add((claim.text, place))
        placed.append(place)
    return placed


def _around(options: Sequence[int], starts: Sequence[int], line: int | None, drift: int) -> Sequence[int]:
    """Of places in order the few nearest to a line, the nearest first; without a line all."""
    if line is None:
        return options
    wanted = max(1, min(line + drift, len(starts)))
    begin, end = starts[wanted - 1], starts[wanted] if wanted < len(starts) else 1 << 62
    first, last = bisect_left(options, begin), bisect_left(options, end)
    beside = [*options[max(0, first - 4) : first], *options[last : last + 4]]
    return [*options[first:last], *sorted(beside, key=lambda place: abs(bisect_right(starts, place) - wanted))]


_CORE = re.compile(r"(?<![^\W_])\d++(?:[.,]\d++)*+")


def _occurrences(text: str, wanted: Iterable[str]) -> dict[str, list[int]]:
    """Where each of some texts stands as a word of its own, in order. Numbers are looked for all at once."""
    found: dict[str, list[int]] = {one: [] for one in sorted(wanted)}
    if found:
        for core in _CORE.finditer(text):
            if core[0] in found:
                found[core[0]].append(core.start())
    for one, places in found.items():
        spelled = one
        if _CORE.fullmatch(one):
            if places or "," not in one:
                continue
            spelled = one.replace(",", "{,}")
        place = text.find(spelled)
        while place >= 0:
            if _stands_alone(text, place, place + len(spelled)):
                places.append(place)
            place = text.find(spelled, place + 1)
    return found


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, behind = text[start - 1 : start], text[end : end + 1]
    if text[start].isdigit() and (before.isalnum() or (before in (".", ",") and text[start - 2 : start - 1].isdigit())):
        return False
    if text[end - 1].isdigit() and (behind.isdigit() or (behind in (".", ",") and text[end + 1 : end + 2].isdigit())):
        return False
    return not (before.isalpha() and text[start].isalpha()) and not (behind.isalpha() and text[end - 1].isalpha())


def _gone(ledger: str, claim: Claim, same: bool) -> Fault:
    where = f"at line {claim.at.line}" if same and claim.at.line else "in the document"
    message = f"{ledger}:{claim.id} stands no longer {where}"
    return Fault("claim-stale", claim.at.line or 1, 1, message, f"{ledger}:{claim.id}", claim.text)


def _unbound(free: Sequence[NumberSpan], starts: Sequence[int]) -> list[Fault]:
    faults = [
        Fault("claim-unbound", *_at(starts, one.start), f"{one.text} looks like a result ({one.why}) and is bound to no claim")
        for one in islice(free, MOST)
    ]
    if len(free) > MOST:
        message = f"and {len(free) - MOST} more numbers from here on are bound to no claim"
        faults.append(Fault("claim-unbound", *_at(starts, free[MOST].start), message))
    return faults


def _overlaps(number: NumberSpan, spans: Sequence[tuple[int, int]]) -> bool:
    at = bisect_right(spans, (number.start, 1 << 62))
    before, behind = spans[at - 1 : at] if at else [], spans[at : at + 1]
    return any(start < number.end and number.start < end for start, end in (*before, *behind))


def _within(number: NumberSpan, stretches: Sequence[tuple[int, int]]) -> bool:
    at = bisect_right(stretches, (number.start, 1 << 62)) - 1
    return at >= 0 and number.start < stretches[at][1]


def _at(starts: Sequence[int], offset: int) -> tuple[int, int]:
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1
