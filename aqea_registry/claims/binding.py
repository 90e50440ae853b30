"""Binding: which numbers of a document are claims, by a marker beside them or by a ledger that has their location. Pure."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import NamedTuple

import msgspec

from aqea_registry.claims.ledger import Claim, Ledger
from aqea_registry.documents.numbers import Marker, NotANumber, NumberSpan, Scan, parse_number
from aqea_registry.documents.prose import line_starts

MOST = 1000  # unbound numbers that are faults of their own
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Fault(msgspec.Struct, frozen=True):
    """What is wrong at a position of a document. Line and column count from 1; `claim` is the claim that it is about."""

    code: str
    line: int
    column: int
    message: str
    claim: str | None = None
    expected: str | None = None
    actual: str | None = None


class Bound(NamedTuple):
    """How many numbers look like results, are bound, and are examples; by ledger the lines of its claims; what is unbound; by
    position in the scan what numbers are marked as.
    """

    results: int
    bound: int
    examples: int
    faults: tuple[Fault, ...]
    lines: dict[str, dict[str, int]]
    free: tuple[NumberSpan, ...]
    marked: dict[int, str]


def bind(text: str, scan: Scan, ledgers: Mapping[str, Ledger], own: Mapping[str, bool]) -> Bound:
    """Bind a document's numbers to the claims of all ledgers. `own`: this document's, and whether it has their bytes."""
    starts = line_starts(text)
    marked = _Marked(text, scan, starts, ledgers, own)
    for marker in scan.markers:
        marked.take(marker)
    faults, lines = list(marked.faults), dict(marked.lines)
    spans: list[tuple[int, int]] = []
    ends = {scan.numbers[index].end for index in marked.bound}
    for name, same in own.items():
        lines[name] = dict(marked.lines.get(name, {}))  # a marker beside a repetition leaves the claim its own location
        claims = [claim for claim in ledgers[name].claims if claim.text and (claim.at.line or claim.id not in lines[name])]
        for claim, offset in zip(claims, _located(text, starts, claims, ends, same), strict=True):
            line = bisect_right(starts, offset) if offset is not None else None
            if line is None or (same and claim.at.line not in (None, line)):
                if claim.id in lines[name]:
                    continue
                faults.append(_gone(name, claim, same))
            if offset is not None and line is not None:
                spans.append((offset, offset + len(claim.text)))
                lines[name][claim.id] = line
    spans.sort()
    results = [(index, number) for index, number in enumerate(scan.numbers) if number.why is not None]
    examples, free = 0, []
    for index, number in results:
        if index in marked.examples or (scan.examples and _within(number, scan.examples)):
            examples += 1
        elif index not in marked.bound and not (spans and _overlaps(number, spans)):
            free.append(number)
    faults += _unbound(free, starts)
    if scan.open is not None:
        faults.append(Fault("malformed", *_at(starts, scan.open), "`examples` begins here and has no end"))
    if scan.rest is not None:
        message = f"the numbers from here on were not looked at: {len(scan.numbers)} come before; split the document"
        faults.append(Fault("claim-unbound", *_at(starts, scan.rest), message))
    faults.sort(key=lambda fault: (fault.line, fault.column))
    return Bound(len(results), len(results) - examples - len(free), examples, tuple(faults), lines, tuple(free), marked.bound)


class _Marked:
    """The numbers that markers have taken. A marker takes numbers before it on its line, or inside it."""

    def __init__(
        self, text: str, scan: Scan, starts: Sequence[int], ledgers: Mapping[str, Ledger], own: Mapping[str, bool]
    ) -> None:
        self._text, self._scan, self._starts, self._ledgers, self._own = text, scan, starts, ledgers, own
        self._offsets = [number.start for number in scan.numbers]
        self._claims: dict[str, dict[str, Claim]] = {}  # by ledger and id
        self._macros: dict[str, str] = {}  # the claims of macros, where a document has some
        self._from = 0  # the end of the marker before
        self.bound: dict[int, str] = {}  # numbers, and what they are marked as
        self.examples: set[int] = set()
        self.lines: dict[str, dict[str, int]] = {}  # of the claims that are named, by ledger and id
        self.faults: list[Fault] = []

    def take(self, marker: Marker) -> None:
        """Give a marker its numbers."""
        line = self._starts[bisect_right(self._starts, marker.start) - 1]
        left, right = marker.inside or (max(line, self._from), marker.start)
        near = range(bisect_left(self._offsets, left), bisect_left(self._offsets, right))
        self._from = self._from if marker.prints else marker.end
        if not marker.claims:
            self.examples.update(self._last(near, right, 1))
            return
        named = [(name, self._claim(name, marker)) for name in marker.claims]
        if marker.prints:
            return
        numbers = self._last(near, right, len(marker.claims))
        unmatched = []
        for name, claim in named:
            index = next((index for index in numbers if claim and matches(self._scan.numbers[index], claim)), None)
            if index is None:
                unmatched.append((name, claim))
            else:
                numbers.remove(index)
                self.bound[index] = name
        for name, claim in unmatched:
            index = numbers.pop(0) if numbers else None
            self.bound |= {} if index is None else {index: name}
            if claim is not None:
                self.faults.append(self._other(name, claim, marker, index))

    def _last(self, near: range, right: int, count: int) -> list[int]:
        """The last `count` numbers before a marker: the one beside it, whatever it looks like, else those like results."""
        results = [index for index in near if self._scan.numbers[index].why is not None]
        if count == 1 and near:
            between = self._text[self._scan.numbers[near[-1]].stop : right]
            if len(between) < 40 and not any(map(str.isalnum, between)):
                return [near[-1]]
        return (results if len(results) >= count else list(near))[-count:]

    def _claim(self, name: str, marker: Marker) -> Claim | None:
        """The claim that a marker names; a fault if there is none."""
        if name.startswith("\\"):  # a macro of the export
            name = self._macro(name)
        first, colon, rest = name.partition(":")
        for ledger in [first] if colon else self._own:
            if ledger in self._ledgers and ledger not in self._claims:
                self._claims[ledger] = {claim.id: claim for claim in self._ledgers[ledger].claims}
            claim = self._claims.get(ledger, {}).get(rest if colon else name)
            if claim is not None:
                self.lines.setdefault(ledger, {})[claim.id] = bisect_right(self._starts, marker.start)
                return claim
        what = "macro is" if name.startswith("\\") else "marker names"
        message = f"the {what} {name}, and no ledger has such a claim"
        self.faults.append(Fault("claim-unbound", *_at(self._starts, marker.start), message, claim=name))
        return None

    def _macro(self, macro: str) -> str:
        """The claim, LEDGER:ID, whose number a macro of the export prints; the macro if there is none."""
        if not self._macros:
            names = [f"{name}:{claim.id}" for name, ledger in self._ledgers.items() for claim in ledger.claims]
            self._macros = {macro: name for name, macro in macro_names(names).items()}
        return self._macros.get(macro, macro)

    def _other(self, name: str, claim: Claim, marker: Marker, index: int | None) -> Fault:
        if index is None:
            message = f"there is no number before the marker of {name}, which prints {claim.text}"
            return Fault("claim-stale", *_at(self._starts, marker.start), message, name, claim.text)
        number = self._scan.numbers[index]
        message = f"the number is marked as {name}, which prints another number"
        return Fault("claim-stale", *_at(self._starts, number.start), message, name, claim.text, number.text)


def macro_names(names: Sequence[str]) -> dict[str, str]:
    """A macro for each LEDGER:ID: `aqea` and its words, capitalised and closed up, digits spelled out."""
    plain = {name: "\\aqea" + "".join(map(_spelled, re.findall(r"[a-z]+|[0-9]+", name.lower()))) for name in names}
    shared = Counter(plain.values())
    return {name: macro if shared[macro] == 1 else macro + _letters(name) for name, macro in plain.items()}


def _spelled(word: str) -> str:
    return re.sub("[0-9]", lambda digit: DIGITS[int(digit[0])], word).capitalize()


def _letters(name: str) -> str:
    """Six letters that only this name has."""
    return "X" + "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(name.encode()).digest()[:6])


def matches(number: NumberSpan, claim: Claim) -> bool:
    """Whether a number is what a claim prints, or the same rounded to fewer digits."""
    if number.text == claim.text:
        return True
    try:
        printed = parse_number(re.sub(r"\{,\}|\\,|[\u2009\u202f]", ",", number.text), claim.unit, as_printed=True)
        claimed = parse_number(claim.value or "", claim.unit)
    except NotANumber:
        return False
    half = printed.half if "." in claim.text else 0
    return abs(printed.value - claimed.value) <= half and printed.half >= claimed.half


def _located(text: str, starts: Sequence[int], claims: Sequence[Claim], marked: Set[int], same: bool) -> list[int | None]:
    """The offset of each claim's text: on its line, or if the document has changed nearest to where it would be now.

    A number that has a marker (`marked` has their ends) is a claim's own place only if there is no other.
    """
    occurrences = _occurrences(text, {claim.text for claim in claims})
    used: set[tuple[str, int]] = set()
    located: list[int | None] = []
    drift = 0
    for claim in claims:
        options = occurrences[claim.text]
        near = _near(options, starts, claim.at.line, drift)
        free = (offset for offset in near if (claim.text, offset) not in used and offset + len(claim.text) not in marked)
        offset = next(free, near[0] if near else None)
        if offset is not None and claim.at.line is not None:
            line = bisect_right(starts, offset)
            unsure = same and line != claim.at.line and len(options) > 1
            offset = None if unsure else offset
            drift = drift if same else line - claim.at.line
        if offset is not None:
            used.add((claim.text, offset))
        located.append(offset)
    return located


def _near(options: Sequence[int], starts: Sequence[int], line: int | None, drift: int) -> Sequence[int]:
    """Of offsets in order the few nearest to a line, the nearest first; without a line all."""
    if line is None:
        return options
    wanted = max(1, min(line + drift, len(starts)))
    begin, end = starts[wanted - 1], starts[wanted] if wanted < len(starts) else 1 << 62
    first, last = bisect_left(options, begin), bisect_left(options, end)
    beside = [*options[max(0, first - 4) : first], *options[last : last + 4]]
    return [*options[first:last], *sorted(beside, key=lambda offset: abs(bisect_right(starts, offset) - wanted))]


_CORE = re.compile(r"(?<![^\W_])\d++(?>(?:[.,]\d++)*)")


def _occurrences(text: str, wanted: Iterable[str]) -> dict[str, list[int]]:
    """Where each of some texts is a word of its own, in order. Numbers are looked for all at once."""
    offsets: dict[str, list[int]] = {spelled: [] for spelled in sorted(wanted)}
    for core in _CORE.finditer(text) if offsets else ():
        if core[0] in offsets:
            offsets[core[0]].append(core.start())
    for spelled, found in offsets.items():
        if _CORE.fullmatch(spelled):
            if found or "," not in spelled:
                continue
            spelled = spelled.replace(",", "{,}")
        start = text.find(spelled)
        while start >= 0:
            if _stands_alone(text, start, start + len(spelled)):
                found.append(start)
            start = text.find(spelled, start + 1)
    return offsets


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, behind = text[start - 1 : start], text[end : end + 1]
    if text[start].isdigit() and (before.isalnum() or (before in (".", ",") and text[start - 2 : start - 1].isdigit())):
        return False
    if text[end - 1].isdigit() and (behind.isdigit() or (behind in (".", ",") and text[end + 1 : end + 2].isdigit())):
        return False
    return not (before.isalpha() and text[start].isalpha()) and not (behind.isalpha() and text[end - 1].isalpha())


def _gone(ledger: str, claim: Claim, same: bool) -> Fault:
    where = f"at line {claim.at.line}" if same and claim.at.line else "in the document"
    message = f"{ledger}:{claim.id} is no longer {where}"
    return Fault("claim-stale", claim.at.line or 1, 1, message, f"{ledger}:{claim.id}", claim.text)


def _unbound(free: Sequence[NumberSpan], starts: Sequence[int]) -> list[Fault]:
    faults = [
        Fault("claim-unbound", *_at(starts, span.start), f"{span.text} looks like a result ({span.why}), bound to no claim")
        for span in islice(free, MOST)
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
