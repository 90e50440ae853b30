"""`claims lint`: find numbers that are bound to no claim, and claims that are no longer in their document."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from os.path import relpath
from pathlib import Path, PurePosixPath

import msgspec
from msgspec.structs import replace

from aqea_registry.base.files import Limit, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, RegistryError, most_severe
from aqea_registry.claims.binding import Fault, bind
from aqea_registry.claims.ledger import FOLDER, Claim, Ledger, own_paths, read_ledgers, render_ledger
from aqea_registry.documents.numbers import scan
from aqea_registry.documents.prose import kind_of
from aqea_registry.project.project import find_project

SUFFIXES = (".md", ".markdown", ".txt", ".tex", ".ltx")  # of the ledgers' documents that can be read as text
HINT = "name Markdown, text or LaTeX documents in UTF-8"


class Linted(msgspec.Struct, frozen=True, kw_only=True):
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
        done, found, failed = _lint_project(root, home, paths, update=update)
        linted, findings, errors = [*linted, *done], [*findings, *found], [*errors, *failed]
    return linted, findings, most_severe(errors)


def _lint_project(
    root: Path, home: Path, documents: Sequence[Path], *, update: bool
) -> tuple[list[Linted], list[Finding], list[RegistryError]]:
    ledgers, findings = read_ledgers(home)
    faulty = {finding.subject.partition(": ")[0] for finding in findings}
    whole = {name for name in ledgers if not {name, f"{FOLDER}/{name}.yaml"} & faulty}
    done: list[Linted] = []
    errors: list[RegistryError] = []
    for path in documents or _own_documents(root, home, ledgers):
        try:
            linted, changed = _lint(root, home, path, ledgers)
        except CannotCheck as error:
            errors.append(error)
            continue
        if update and not linted.faults and changed and changed.keys() <= whole:
            for name, ledger in changed.items():
                write_bytes(home / FOLDER / f"{name}.yaml", render_ledger(ledger))
            linted = replace(linted, updated=tuple(changed))
        else:
            known = [name for name in changed if ledgers[name].document.sha256]
            then = "when the rest is fixed" if linted.faults else "its claims are all there"
            for name in known:
                message = (
                    f"it has changed since {name} was written; {then}: aqea-registry claims lint --update {linted.document}"
                )
                findings.append(Finding("claim-stale", linted.document, message, ledgers[name].document.sha256, linted.sha256))
        for fault in linted.faults:
            subject = f"{linted.document}:{fault.line}:{fault.column}"
            findings.append(Finding(fault.code, subject, fault.message, fault.expected, fault.actual))
        done.append(linted)
    return done, findings, errors


def _own_documents(root: Path, home: Path, ledgers: Mapping[str, Ledger]) -> list[Path]:
    names = dict.fromkeys(ledger.document.file for ledger in ledgers.values() if ledger.document.file.endswith(SUFFIXES))
    places = [path for name in names for path in [*filter(Path.is_file, own_paths(home, name))][:1]]
    found = [Path(relpath(path, root)) for path in places]
    if not found:
        raise BadConfiguration(f"no ledger of {FOLDER} has a document that is here", HINT)
    return found


def _lint(root: Path, home: Path, path: Path, ledgers: Mapping[str, Ledger]) -> tuple[Linted, dict[str, Ledger]]:
    """A linted document, and its ledgers with the new sha256 and lines where they were written for other bytes."""
    content, text = read_document(root / path)
    sha256 = hashlib.sha256(content).hexdigest()
    real = (root / path).resolve()
    own = {name: ledger.document.sha256 == sha256 for name, ledger in ledgers.items() if _is_own(home, real, ledger, sha256)}
    kind = kind_of(path.suffix, text)
    bound = bind(text, scan(text, kind), ledgers, own)
    linted = Linted(
        document=path.as_posix(),
        kind=kind,
        sha256=sha256,
        results=bound.results,
        bound=bound.bound,
        examples=bound.examples,
        faults=bound.faults,
    )
    changed = dict[str, Ledger]()
    for name in (name for name, same in own.items() if not same):
        document = replace(ledgers[name].document, sha256=ledgers[name].document.sha256 and sha256)
        claims = tuple(moved(claim, bound.lines[name]) for claim in ledgers[name].claims)
        changed[name] = replace(ledgers[name], document=document, claims=claims)
    return linted, {name: ledger for name, ledger in changed.items() if ledger != ledgers[name]}


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
        text = content.decode("utf-8-sig")
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
