"""`claims fill`: give claims, and the numbers beside their markers, the values that their evidence gives."""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from aqea_registry.base.files import Limit, UnsafePath, inside, locked, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.strict import edit_yaml
from aqea_registry.claims.binding import bind, matches
from aqea_registry.claims.check_claims import CheckedClaims, check_claims
from aqea_registry.claims.ledger import FOLDER, Claim, Ledger, parse_ledger, render_ledger
from aqea_registry.claims.lint_claims import read_document
from aqea_registry.documents.numbers import NotANumber, parse_number, printed_like, scan
from aqea_registry.documents.prose import kind_of
from aqea_registry.project.project import Project

MISSING = "missing-file"
Ledgers = Mapping[str, Ledger]


class FilledNumber(msgspec.Struct, frozen=True, kw_only=True):
    """A number that is another by its evidence: that of a claim, or one beside its marker; and where it stands."""

    claim: str
    old: str
    new: str
    at: str


class FilledClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that differ, what is wrong or cannot be filled in, notes, and the ledgers and documents that were written."""

    changes: tuple[FilledNumber, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    written: tuple[str, ...]


class _FilledPage(NamedTuple):
    """A document with the numbers beside its markers filled in; these changes, and the claims that it prints otherwise."""

    content: bytes
    changes: list[FilledNumber]
    otherwise: set[str | None]


def fill_claims(
    project: Project, documents: Sequence[Path], report: Reporter, only: Sequence[str] = (), *, write: bool = False
) -> FilledClaims:
    """Hold the claims of all ledgers, or of those in `only`, against their evidence; with `write`, give them its values.

    A ledger of a published document stays as it is, and so does one whose document was changed. Raises BadConfiguration without
    a ledger, Refused if one has faults or was changed meanwhile.
    """
    checked = check_claims(project, documents, report, only, fill=True)
    if not checked.ledgers and not checked.findings:
        raise BadConfiguration("there is no ledger in manifests/claims", "write one: aqea-registry claims import DOC")
    now, old, ledgers = {verdict.name: verdict.claim for verdict in checked.verdicts}, checked.ledgers, dict[str, Ledger]()
    changes: dict[str, FilledNumber] = {}
    for name, ledger in old.items():
        ledgers[name] = replace(ledger, claims=tuple(now[f"{name}:{claim.id}"] for claim in ledger.claims))
        for before, claim in zip(ledger.claims, ledgers[name].claims, strict=True):
            if claim != before:
                own = f"{name}:{claim.id}"
                changes[own] = FilledNumber(claim=own, old=before.text, new=claim.text, at=str(claim.at))
    sure = {v.name for v in checked.verdicts if v.state == "holds" and v.claim.kind in ("measured", "derived")}
    values, pages = {name: now[name] for name in sure | changes.keys()}, dict[str, _FilledPage]()
    gone = {v.message: f"{v.ledger}: {v.claim.id}" for v in checked.verdicts if v.reason == MISSING}
    findings = [finding for finding in checked.findings if finding.code != "claim-unbound"]
    findings += [Finding("missing", name, why) for why, name in gone.items()]
    for file, names in _documents(checked).items():
        try:
            pages[file] = _page(inside(project.root, file), file, names, old, ledgers, values)
        except (CannotCheck, UnsafePath) as error:
            findings.append(Finding("unreadable", file, str(error)))
            continue
        for name in sorted(changes.keys() & pages[file].otherwise):
            change = changes[name]
            message = f"{name} has no marker there: write {change.new}, which its evidence gives, for {change.old}"
            findings.append(Finding("claim-stale", f"{file}, {change.at}", message, change.new, change.old))
    written = _write(project.root, old, ledgers, pages) if write else ()
    shown = (*changes.values(), *(change for page in pages.values() for change in page.changes))
    return FilledClaims(changes=shown, findings=tuple(findings), notes=checked.notes, written=written)


def _documents(checked: CheckedClaims) -> dict[str, list[str]]:
    """The ledgers of each document that is as they know it, and not published."""
    own: dict[str, list[str]] = {}
    for name, ledger in checked.ledgers.items():
        own.setdefault(ledger.document.file, []).append(name)
    kept = {name for name, ledger in checked.ledgers.items() if checked.documents[name] != "same" or ledger.document.published}
    return {file: names for file, names in own.items() if kept.isdisjoint(names)}


def _page(path: Path, file: str, own: Sequence[str], before: Ledgers, now: Ledgers, values: Mapping[str, Claim]) -> _FilledPage:
    """Read a document, and write the values of claims beside their markers, each with as many digits as are there."""
    content, text = read_document(path)
    read, parts, done, changes = scan(text, kind_of(path.suffix, text)), list[str](), 0, list[FilledNumber]()
    was = bind(text, read, before, dict.fromkeys(own, True))
    for index, name in sorted(was.marked.items()):
        number, named = read.numbers[index], (name, *(f"{ledger}:{name}" for ledger in own))
        claim = next((values[name] for name in named if name in values), None)
        with suppress(NotANumber):
            if claim is not None and not matches(number, claim):
                new = printed_like(number.text, parse_number(claim.value or "", claim.unit).value)
                line = text.count("\n", 0, number.start) + 1
                changes.append(FilledNumber(claim=name, old=number.text, new=new, at=f"{file}, line {line}"))
                parts += text[done : number.start], new
                done = number.end
    text = "".join((*parts, text[done:]))
    faults = bind(text, scan(text, read.kind), now, dict.fromkeys(own, True)).faults
    otherwise = {fault.claim for fault in faults} - {fault.claim for fault in was.faults}
    return _FilledPage(text.encode("utf-8-sig" if content.startswith(BOM_UTF8) else "utf-8"), changes, otherwise)


def _write(root: Path, before: Ledgers, now: Ledgers, pages: Mapping[str, _FilledPage]) -> tuple[str, ...]:
    """Write the documents and ledgers that change. A ledger whose document may print other digits names no sha256 any more."""
    contents = {file: page.content for file, page in pages.items() if page.changes}
    with locked(root / FOLDER):
        for name, old in before.items():
            path, page, new = f"{FOLDER}/{name}.yaml", pages.get(old.document.file), now[name]
            if new == old and not (page and page.changes):
                continue
            content = read_small(root / path, Limit.DOCUMENT)
            if parse_ledger(content, name) != (old, []):
                raise Refused.of("malformed", path, "it has faults, or was changed meanwhile; nothing was written")
            printed = page is not None and not any(f"{name}:{claim.id}" in page.otherwise for claim in new.claims)
            sha256 = hashlib.sha256(page.content).hexdigest() if page and printed and old.document.sha256 else None
            pairs = enumerate(zip(old.claims, new.claims, strict=True))
            edits: dict[tuple[str | int, ...], str | None] = {("document", "sha256"): sha256} if old.document.sha256 else {}
            edits |= {("claims", n, "value"): claim.value for n, (was, claim) in pairs if claim != was}
            new, edited = replace(new, document=replace(new.document, sha256=sha256)), edit_yaml(content, edits)
            contents[path] = edited if parse_ledger(edited, name) == (new, []) else render_ledger(new)
        for path, content in contents.items():
            write_bytes(root / path, content)
    return tuple(contents)
