"""All ledgers of a project, and the documents that they speak of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from aqea_registry.core.claims import FOLDER, Document, Ledger, ledger_name
from aqea_registry.core.files import hash_file, open_regular
from aqea_registry.core.findings import Finding
from aqea_registry.core.ledger import LARGEST, parse_ledger
from aqea_registry.core.paths import UnsafePath, inside


def read_ledgers(root: Path) -> tuple[dict[str, Ledger], list[Finding]]:
    """Every readable ledger of manifests/claims by its name, sorted, and what is wrong with them."""
    ledgers: dict[str, Ledger] = {}
    findings: list[Finding] = []
    for place in sorted((root / FOLDER).glob("*.yaml")):
        path = place.relative_to(root).as_posix()
        try:
            with open_regular(place) as file:
                content = file.read(LARGEST + 1) or b""
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
            findings.append(Finding(code="unreadable", subject=path, message=message))
            continue
        ledger, wrong = parse_ledger(content, ledger_name(path))
        findings += wrong
        if ledger is not None:
            ledgers[ledger_name(path)] = ledger
    return ledgers, findings


def find_document(root: Path, document: Document, folders: Sequence[Path]) -> tuple[str, str | None]:
    """The document's state here, and the hex sha256 of a file that is another one.

    `same`: a file of its name has its bytes; `stale`: there is only one that has others; `absent`: there is none.
    """
    name = PurePosixPath(document.file).name
    try:
        places = [inside(root, document.file)]
    except UnsafePath:
        places = []
    other = None
    for place in [*places, *(folder / name for folder in folders)]:
        try:
            found = hash_file(place).sha256
        except OSError:
            continue
        if found == document.sha256:
            return "same", None
        other = other or found
    return ("stale", other) if other else ("absent", None)
