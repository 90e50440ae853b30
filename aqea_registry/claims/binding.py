"""Binding: which numbers of a document are claims, by a marker beside them or by a ledger that has their location. Pure."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
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
    marked = _Marked(text, scan, starts, [number.start for number in scan.numbers], ledgers, own)
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
                where = f"at line {claim.at.line}" if same and claim.at.line else "in the document"
                message = f"{name}:{claim.id} is no longer {where}"
                faults.append(Fault("claim-stale", claim.at.line or 1, 1, message, f"{name}:{claim.id}", claim.text))
            if offset is not None and line is not None:
                spans.append((offset, offset + len(claim.text)))
                lines[name][claim.id] = line
    spans.sort()
    results = [(index, number) for index, number in enumerate(scan.numbers) if number.why is not None]
    examples, free = 0, []
    for index, number in results:
        if index in marked.examples or _is_within(number, scan.examples):
            examples += 1
        elif index not in marked.bound and not _is_within(number, spans):
            free.append(number)
    for number in free[:MOST]:
        message = f"{number.text} looks like a result ({number.why}), bound to no claim"
        faults.append(Fault("claim-unbound", *_at(starts, number.start), message))
    if len(free) > MOST:
        message = f"and {len(free) - MOST} more numbers from here on are bound to no claim"
        faults.append(Fault("claim-unbound", *_at(starts, free[MOST].start), message))
    if scan.open is not None:
        faults.append(Fault("malformed", *_at(starts, scan.open), "`examples` begins here and has no end"))
    if scan.rest is not None:
        message = f"the numbers from here on were not looked at: {len(scan.numbers)} come before; split the document"
        faults.append(Fault("claim-unbound", *_at(starts, scan.rest), message))
    faults.sort(key=lambda fault: (fault.line, fault.column))
    return Bound(len(results), len(results) - examples - len(free), examples, tuple(faults), lines, tuple(free), marked.bound)


class _Marked(msgspec.Struct):
    """The numbers that markers have taken. A marker takes numbers before it on its line, or inside it."""

    text: str
    scan: Scan
    starts: Sequence[int]
    offsets: Sequence[int]  # of the numbers
    ledgers: Mapping[str, Ledger]
    own: Mapping[str, bool]
    before: int = 0  # the end of the marker before
    bound: dict[int, str] = {}  # numbers, and what they are marked as
    examples: set[int] = set()
    lines: dict[str, dict[str, int]] = {}  # of the claims that are named, by ledger and id
    faults: list[Fault] = []
    claims: dict[str, dict[str, Claim]] = {}  # by ledger and id
    macros: dict[str, str] = {}  # the claims of macros, where a document has some

    def take(self, marker: Marker) -> None:
        """Give a marker its numbers."""
        line = self.starts[bisect_right(self.starts, marker.start) - 1]
        left, right = marker.inside or (max(line, self.before), marker.start)
        near = range(bisect_left(self.offsets, left), bisect_left(self.offsets, right))
        self.before = self.before if marker.prints else marker.end
        if not marker.claims:
            self.examples.update(self._last(near, right, 1))
            return
        named = [(name, self._claim(name, marker)) for name in marker.claims]
        if marker.prints:
            return
        numbers = self._last(near, right, len(marker.claims))
        unmatched = []
        for name, claim in named:
            index = next((index for index in numbers if claim and matches(self.scan.numbers[index], claim)), None)
            if index is None:
                unmatched.append((name, claim))
            else:
                numbers.remove(index)
                self.bound[index] = name
        for name, claim in unmatched:
            index = numbers.pop(0) if numbers else None
            self.bound |= {} if index is None else {index: name}
            if claim is not None and index is None:
                message = f"there is no number before the marker of {name}, which prints {claim.text}"
                self.faults.append(Fault("claim-stale", *_at(self.starts, marker.start), message, name, claim.text))
            elif claim is not None and index is not None:
                number, message = self.scan.numbers[index], f"the number is marked as {name}, which prints another number"
                place = _at(self.starts, number.start)
                self.faults.append(Fault("claim-stale", *place, message, name, claim.text, number.text))

    def _last(self, near: range, right: int, count: int) -> list[int]:
        """The last `count` numbers before a marker: the one beside it, whatever it looks like, else those like results."""
        results = [index for index in near if self.scan.numbers[index].why is not None]
        if count == 1 and near:
            between = self.text[self.scan.numbers[near[-1]].stop : right]
            if len(between) < 40 and not any(map(str.isalnum, between)):
                return [near[-1]]
        return (results if len(results) >= count else list(near))[-count:]

    def _claim(self, name: str, marker: Marker) -> Claim | None:
        """The claim that a marker names; a fault if there is none."""
        if name.startswith("\\"):  # a macro of the export; it stays if it is of no claim
            if not self.macros:
                names = [f"{ledger}:{claim.id}" for ledger in self.ledgers for claim in self.ledgers[ledger].claims]
                self.macros |= {macro: name for name, macro in macro_names(names).items()}
            name = self.macros.get(name, name)
        first, colon, rest = name.partition(":")
        for ledger in [first] if colon else self.own:
            if ledger in self.ledgers and ledger not in self.claims:
                self.claims[ledger] = {claim.id: claim for claim in self.ledgers[ledger].claims}
            claim = self.claims.get(ledger, {}).get(rest if colon else name)
            if claim is not None:
                self.lines.setdefault(ledger, {})[claim.id] = bisect_right(self.starts, marker.start)
                return claim
        what = "macro is" if name.startswith("\\") else "marker names"
        message = f"the {what} {name}, and no ledger has such a claim"
        self.faults.append(Fault("claim-unbound", *_at(self.starts, marker.start), message, claim=name))
        return None


def macro_names(names: Sequence[str]) -> dict[str, str]:
    """A macro for each LEDGER:ID: `aqea` and its words, capitalised and closed up, digits spelled out."""
    words = {name: re.findall(r"[a-z]+|[0-9]+", name.lower()) for name in names}
    spelled = {
        name: [re.sub("[0-9]", lambda d: DIGITS[int(d[0])], part).capitalize() for part in words[name]] for name in names
    }
    plain = {name: "\\aqea" + "".join(parts) for name, parts in spelled.items()}
    shared = Counter(plain.values())
    for name, macro in plain.items():
        if shared[macro] > 1:  # six letters that only this name has
            plain[name] += "X" + "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(name.encode()).digest()[:6])
    return plain


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
        before = r"(?<![^\W_])(?<!\d[.,])" if spelled[0].isdigit() else r"(?<![^\W\d_])" if spelled[0].isalpha() else ""
        behind = r"(?!\d|[.,]\d)" if spelled[-1].isdigit() else r"(?![^\W\d_])" if spelled[-1].isalpha() else ""
        places = re.finditer(before + re.escape(spelled) + behind, text) if spelled in text else ()
        found += [place.start() for place in places]
    return offsets


def _is_within(number: NumberSpan, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether one of the spans, in order, has a part of a number."""
    at = bisect_left(spans, (number.end, 0))
    return at > 0 and number.start < spans[at - 1][1]


def _at(starts: Sequence[int], offset: int) -> tuple[int, int]:
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1
