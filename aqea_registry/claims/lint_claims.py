"""`claims lint`: which numbers of a document are claims, which rest on nothing, and which claims it prints no longer.

A number is bound by a marker beside it, or by a ledger that has its location. `bind` decides that, and is pure.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence, Set
from os.path import relpath
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from aqea_registry.base.files import Limit, hash_file, read_small, why_other, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, RegistryError, most_severe, suggestion
from aqea_registry.base.recognise import document_text
from aqea_registry.claims.ledger import FOLDER, Claim, Ledger, macro_names, own_paths, read_ledgers, render_ledger
from aqea_registry.documents.numbers import Marker, NotANumber, NumberSpan, Scan, parse_number, scan
from aqea_registry.documents.prose import kind_of, line_starts, prose_of
from aqea_registry.project.project import find_project

MOST = 1000  # unbound numbers that are faults of their own
MOST_NEAR = 20  # faults up to which an unknown name gets a suggestion
SUFFIXES = (".md", ".markdown", ".txt", ".tex", ".ltx")  # of the ledgers' documents that can be read as text
HINT = "name Markdown, text or LaTeX documents in UTF-8"


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


class Linted(msgspec.Struct, frozen=True):
    """A document: how many numbers look like results, are bound and are examples, what is wrong, and the ledgers updated."""

    document: str
    kind: str
    sha256: str
    results: int
    bound: int
    examples: int
    faults: tuple[Fault, ...]
    updated: tuple[str, ...] = ()


def lint_claims(
    root: Path, documents: Sequence[Path], *, update: bool = False
) -> tuple[list[Linted], list[Finding], RegistryError | None]:
    """Lint documents, each against the ledgers of the project that it lies in, or else of that of the folder.

    Paths are relative to the folder; without any, the ledgers' own documents are read. With `update`, a ledger
    whose document has changed, and in which nothing else is wrong, takes the new sha256 and lines. A document that cannot be
    read does not stop the others: its error is returned.
    """
    own = root if (root / FOLDER).is_dir() else find_project(root)
    homes = dict[Path, list[Path]]() if documents else {own: []}
    for path in documents:  # a hook of git runs above the projects, at the top of the repository
        near = find_project((root / path).parent.absolute())
        other = (near / FOLDER).is_dir() and not near.samefile(own)
        homes.setdefault(near if other else own, []).append(path)
    linted, findings, errors = list[Linted](), list[Finding](), list[RegistryError]()
    for home, paths in homes.items():
        ledgers, wrong = read_ledgers(home)
        findings += wrong
        faulty = {finding.subject.partition(": ")[0] for finding in wrong}
        whole = {name for name in ledgers if faulty.isdisjoint((name, f"{FOLDER}/{name}.yaml"))}
        for path in paths or _own_documents(root, home, ledgers):
            try:
                page, changed = _lint(root, home, path, ledgers)
            except CannotCheck as error:
                errors.append(error)
                continue
            if update and not page.faults and changed and changed.keys() <= whole:
                for name, ledger in changed.items():
                    write_bytes(home / FOLDER / f"{name}.yaml", render_ledger(ledger))
                page, changed = replace(page, updated=tuple(changed)), {}
            linted.append(page)
            findings += _findings(root, page, {name: ledgers[name].document.sha256 for name in changed})
    return linted, findings, most_severe(errors)


def _findings(root: Path, page: Linted, ledgers: Mapping[str, str | None]) -> Iterable[Finding]:
    """What is wrong with a document, beside `ledgers` that have, or had, the sha256 of other bytes."""
    then = "when the rest is fixed" if page.faults else "its claims are all there"
    for name, sha256 in ledgers.items():
        if sha256:
            why = why_other(root / page.document, hash_file(root / page.document), sha256)
            message = (
                f"it has changed since {name} was written{why}; {then}: aqea-registry claims lint --update {page.document}"
            )
            yield Finding("claim-stale", page.document, message, sha256, page.sha256)
    for fault in page.faults:
        subject = f"{page.document}:{fault.line}:{fault.column}"
        yield Finding(fault.code, subject, fault.message, fault.expected, fault.actual)


def _own_documents(root: Path, home: Path, ledgers: Mapping[str, Ledger]) -> list[Path]:
    names = dict.fromkeys(ledger.document.file for ledger in ledgers.values() if ledger.document.file.endswith(SUFFIXES))
    places = [path for name in names for path in [*filter(Path.is_file, own_paths(home, name))][:1]]
    if not places:
        raise BadConfiguration(f"no ledger of {FOLDER} has a document that is here", HINT)
    return [Path(relpath(path, root)) for path in places]


def _lint(root: Path, home: Path, path: Path, ledgers: Mapping[str, Ledger]) -> tuple[Linted, dict[str, Ledger]]:
    """A linted document, and its ledgers with the new sha256 and lines where they were written for other bytes."""
    content, text = read_document(root / path)
    sha256, real = hashlib.sha256(content).hexdigest(), (root / path).resolve()
    own = {name: ledger.document.sha256 == sha256 for name, ledger in ledgers.items() if _is_own(home, real, ledger, sha256)}
    kind = kind_of(path.suffix, text)
    names = {claim.at.row.lower() for name in own for claim in ledgers[name].claims if claim.at.row}
    bound = bind(text, scan(text, kind, names), ledgers, own)
    changed = dict[str, Ledger]()
    for name in (name for name, same in own.items() if not same):
        document = replace(ledgers[name].document, sha256=ledgers[name].document.sha256 and sha256)
        claims = tuple(moved(claim, bound.lines[name]) for claim in ledgers[name].claims)
        changed[name] = replace(ledgers[name], document=document, claims=claims)
    page = Linted(path.as_posix(), kind, sha256, bound.results, bound.bound, bound.examples, bound.faults)
    return page, {name: ledger for name, ledger in changed.items() if ledger != ledgers[name]}


def not_printed(path: Path, name: str, ledger: Ledger) -> dict[str, Fault]:
    """The claims of a ledger, LEDGER:ID, that its document as it is does not print. Raises CannotCheck."""
    text = read_document(path)[1]
    bound = bind(text, scan(text, kind_of(path.suffix, text)), {name: ledger}, {name: False})
    stale = [fault for fault in bound.faults if fault.claim is not None and fault.code == "claim-stale"]
    return {f"{name}:{(fault.claim or '').removeprefix(f'{name}:')}": fault for fault in stale}


def read_document(path: Path) -> tuple[bytes, str]:
    """The bytes and the text of a document. Raises CannotCheck."""
    try:
        content = read_small(path, Limit.DOCUMENT)
        text = document_text(content, str(path))
    except OSError as error:
        raise CannotCheck(f"{path}: cannot be read: {error.strerror or error}", HINT) from error
    except UnicodeDecodeError as error:
        raise CannotCheck(f"{path}: not UTF-8 text: byte {error.start} is 0x{content[error.start]:02x}", HINT) from error
    if "\0" in text:
        raise CannotCheck(f"{path}: not text: it holds NUL", HINT)
    return content, text


def _is_own(home: Path, real: Path, ledger: Ledger, sha256: str) -> bool:
    """Whether a ledger is for this document: it has its bytes or path, or for a document from elsewhere its name."""
    if ledger.document.sha256 == sha256:
        return True
    named = own_paths(home, ledger.document.file)
    if real.is_relative_to(home.resolve()) or any(path.exists() for path in named):
        return real in [path.resolve() for path in named]
    return bool(named) and PurePosixPath(ledger.document.file).name == real.name


def moved(claim: Claim, lines: Mapping[str, int]) -> Claim:
    """The claim at its line among these, by id, if it has one at all."""
    line = claim.at.line and lines.get(claim.id, claim.at.line)
    return replace(claim, at=replace(claim.at, line=line))


def bind(text: str, scan: Scan, ledgers: Mapping[str, Ledger], own: Mapping[str, bool]) -> Bound:
    """Bind a document's numbers to the claims of all ledgers. `own`: this document's, and whether it has their bytes."""
    starts = line_starts(text)
    marked = _Marked(text, scan, starts, [number.start for number in scan.numbers], ledgers, own)
    for marker in scan.markers:
        marked.take(marker)
    faults, lines, spans = [*marked.faults], {**marked.lines}, list[tuple[int, int]]()
    text = prose_of(text, "csv").text if scan.kind == "csv" else text  # whose commas part cells
    read, ends = {number.end for number in scan.numbers}, {scan.numbers[index].end for index in marked.bound}
    for name, same in own.items():
        lines[name] = dict(marked.lines.get(name, {}))  # a marker beside a repetition leaves the claim its own location
        claims = [claim for claim in ledgers[name].claims if claim.text and (claim.at.line or claim.id not in lines[name])]
        for claim, offset in zip(claims, _located(text, starts, claims, read, ends, same), strict=True):
            line = bisect_right(starts, offset) if offset is not None else None
            if line is None or (same and claim.at.line not in (None, line)):
                if claim.id in lines[name]:
                    continue
                where = f"at line {claim.at.line}" if same and claim.at.line else "in the document"
                way = f"aqea-registry claims import {ledgers[name].document.file} --into {name}"
                message = f"{name}:{claim.id} is no longer {where}: print it there, or take what is printed: {way}"
                faults.append(Fault("claim-stale", claim.at.line or 1, 1, message, f"{name}:{claim.id}", claim.text))
            if offset is not None and line is not None:
                spans.append((offset, offset + len(claim.text)))
                lines[name][claim.id] = line
    spans.sort()
    results = examples = 0
    free: list[NumberSpan] = []
    for index, number in enumerate(scan.numbers):
        results += number.why is not None
        if number.why and (index in marked.examples or (scan.examples and _is_within(number, scan.examples))):
            examples += 1
        elif number.why and index not in marked.bound and not (spans and _is_within(number, spans)):
            free.append(number)
    unbound = [(number.start, f"{number.text} looks like a result ({number.why}), bound to no claim") for number in free[:MOST]]
    if more := free[MOST:]:
        unbound.append((more[0].start, f"and {len(more)} more numbers from here on are bound to no claim"))
    if scan.rest is not None:
        message = f"the numbers from here on were not looked at: {len(scan.numbers)} come before; split the document"
        unbound.append((scan.rest, message))
    faults += [Fault("claim-unbound", *_at(starts, offset), message) for offset, message in unbound]
    if scan.open is not None:
        faults.append(Fault("malformed", *_at(starts, scan.open), "`examples` begins here and has no end"))
    faults.sort(key=lambda fault: (fault.line, fault.column))
    return Bound(results, results - examples - len(free), examples, tuple(faults), lines, tuple(free), marked.bound)


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
        numbers = [] if marker.prints else self._last(near, right, len(named))
        unmatched = []
        for name, claim in named if not marker.prints else ():
            index = next((index for index in numbers if claim and matches(self.scan.numbers[index], claim)), None)
            if index is None:
                unmatched.append((name, claim))
            else:
                numbers.remove(index)
                self.bound[index] = name
        for name, claim in unmatched:
            index = numbers.pop(0) if numbers else None
            self.bound |= {} if index is None else {index: name}
            offset, actual = marker.start, None
            message = f"there is no number before the marker of {name}, which prints {claim.text if claim else None}"
            if index is not None:
                offset, actual = self.scan.numbers[index].start, self.scan.numbers[index].text
                message = f"the number is marked as {name}, which prints another number"
            if claim is not None:
                self.faults.append(Fault("claim-stale", *_at(self.starts, offset), message, name, claim.text, actual))

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
            self.macros |= {} if self.macros else {macro: word for word, macro in macro_names(self._names()).items()}
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
        known = [word.removeprefix("\\") for word in (self.macros if name[0] == "\\" else self._names())]
        near = suggestion(name.removeprefix("\\"), known if len(self.faults) < MOST_NEAR else ())
        message = f"the {what} {name}, and no ledger has such a claim{f'; {near}' if near else ''}"
        self.faults.append(Fault("claim-unbound", *_at(self.starts, marker.start), message, claim=name))
        return None

    def _names(self) -> list[str]:
        return [f"{ledger}:{claim.id}" for ledger in self.ledgers for claim in self.ledgers[ledger].claims]


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


def _located(
    text: str, starts: Sequence[int], claims: Sequence[Claim], read: Set[int], marked: Set[int], same: bool
) -> list[int | None]:
    """The offset of each claim's text: on its line, or if the document has changed nearest to where it would be now.

    A number that has a marker (`marked` has their ends) is a claim's own place only if there is no other. On its line, one that
    was read (`read` has their ends) comes before one that is struck out.
    """
    occurrences = _occurrences(text, {claim.text for claim in claims})
    used: set[tuple[str, int]] = set()
    located: list[int | None] = []
    drift = 0
    for claim in claims:
        options = occurrences[claim.text]
        near = _near(options, starts, claim.at.line, drift)
        length = len(claim.text)
        free = (offset for offset in near if (claim.text, offset) not in used and offset + length not in marked)
        offset = next(free, near[0] if near else None)
        if offset is not None and offset + length not in read and claim.at.line:
            shown = (other for other in free if other + length in read and bisect_right(starts, other) == claim.at.line)
            offset = next(shown, offset)
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


_CORE = re.compile(r"(?<![^\W_])\d++(?>(?:,\d++)*(?:\.\d++)*)")  # behind decimals a comma parts numbers
_BEFORE_DIGITS = re.compile(r"\\[A-Za-z]+(?=\.?\d)")


def _occurrences(text: str, wanted: Iterable[str]) -> dict[str, list[int]]:
    """Where each of some texts is a word of its own, in order. Numbers are looked for all at once."""
    offsets: dict[str, list[int]] = {spelled: [] for spelled in sorted(wanted)}
    plain = _BEFORE_DIGITS.sub(lambda macro: " " * len(macro[0]), text) if "\\" in text else text
    for core in _CORE.finditer(plain) if offsets else ():
        if core[0] in offsets:
            offsets[core[0]].append(core.start())
    for spelled, found in offsets.items():
        if _CORE.fullmatch(spelled):
            if "," not in spelled:
                continue
            spelled = spelled.replace(",", "{,}")
        before = r"(?<![^\W_])(?<!\d[.,])" if spelled[0].isdigit() else r"(?<![^\W\d_])" if spelled[0].isalpha() else ""
        behind = r"(?!\d|[.,]\d)" if spelled[-1].isdigit() else r"(?![^\W\d_¹²³⁰⁴-⁹])" if spelled[-1].isalpha() else ""
        searched = text if "\\" in spelled else plain
        places = re.finditer(before + re.escape(spelled) + behind, searched) if spelled in searched else ()
        found[:] = sorted([*found, *(place.start() for place in places)])
    return offsets


def _is_within(number: NumberSpan, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether one of the spans, in order, has a part of a number."""
    at = bisect_left(spans, (number.end, 0))
    return at > 0 and number.start < spans[at - 1][1]


def _at(starts: Sequence[int], offset: int) -> tuple[int, int]:
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1
