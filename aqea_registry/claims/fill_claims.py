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

from aqea_registry.base.files import Limit, locked, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.strict import edit_yaml
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.claims.ledger import FOLDER, Claim, Ledger, own_paths, parse_ledger, render_ledger
from aqea_registry.claims.lint_claims import bind, matches, read_document
from aqea_registry.documents.numbers import NotANumber, parse_number, printed_like, scan
from aqea_registry.documents.prose import kind_of
from aqea_registry.project.project import Project

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

    path: Path
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
    old, now = checked.ledgers, {verdict.name: verdict for verdict in checked.verdicts}
    new = {name: replace(one, claims=tuple(now[f"{name}:{c.id}"].claim for c in one.claims)) for name, one in old.items()}
    pairs = [(f"{name}:{claim.id}", claim) for name, ledger in old.items() for claim in ledger.claims]
    changed = [(own, was, now[own].claim) for own, was in pairs if now[own].claim != was]
    changes = {own: FilledNumber(claim=own, old=was.text, new=claim.text, at=str(was.at)) for own, was, claim in changed}
    sure = {own for own, verdict in now.items() if verdict.state == "holds" and verdict.claim.kind in ("measured", "derived")}
    values, pages = {own: now[own].claim for own in sure | changes.keys()}, dict[str, _FilledPage]()
    findings = [finding for finding in checked.findings if finding.code != "claim-unbound"]
    gone = {v.message: f"{v.ledger}: {v.claim.id}" for v in checked.verdicts if v.reason == "missing-file"}
    findings += [Finding("missing", name, why) for why, name in gone.items()]
    kept = {name for name, ledger in old.items() if checked.documents[name] != "same" or ledger.document.published}
    for file in dict.fromkeys(ledger.document.file for ledger in old.values()):
        own = [name for name, ledger in old.items() if ledger.document.file == file]
        try:
            places = [*filter(Path.is_file, own_paths(project.root, file))] if kept.isdisjoint(own) else []
            for path in places[:1]:
                pages[file] = _page(path, file, own, old, new, values)
        except CannotCheck as error:
            findings.append(Finding("unreadable", file, str(error)))
    for file, change in ((file, changes[own]) for file, page in pages.items() for own in changes if own in page.otherwise):
        message = f"{change.claim} has no marker there: write {change.new}, which its evidence gives, for {change.old}"
        findings.append(Finding("claim-stale", f"{file}, {change.at}", message, change.new, change.old, file))
    written = _write(project.root, old, new, pages) if write else ()
    shown = (*changes.values(), *(change for page in pages.values() for change in page.changes))
    return FilledClaims(changes=shown, findings=tuple(findings), notes=checked.notes, written=written)


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
    return _FilledPage(path, text.encode("utf-8-sig" if content.startswith(BOM_UTF8) else "utf-8"), changes, otherwise)


def _write(root: Path, before: Ledgers, now: Ledgers, pages: Mapping[str, _FilledPage]) -> tuple[str, ...]:
    """Write the documents and ledgers that change. A ledger whose document may print other digits names no sha256 any more."""
    contents = {file: (page.path, page.content) for file, page in pages.items() if page.changes}
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
            contents[path] = root / path, edited if parse_ledger(edited, name) == (new, []) else render_ledger(new)
        for target, content in contents.values():
            write_bytes(target, content)
    return tuple(contents)
