"""Statements about files: in-toto's Statement v1, with SLSA's Provenance v1 (how it was made) or a confirmation (made again).

A statement refers to digests and is never part of what it refers to. A field that the layouts do not have is refused: nobody
would check it. `confirmed` and `said_before` read files, everything else is pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from aqea_registry.base.files import read_small
from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.base.strict import convert, load_json
from aqea_registry.vectors.margin import Machine, Margin

STATEMENT: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
CONFIRMATION = "urn:aqea-registry:confirmation:1"
PAIR_SET = "urn:aqea-registry:pair-set:1"
RELEASE = "urn:aqea-registry:release:1"
BUILDER = "urn:aqea-registry:command-line"

SUFFIX = ".intoto.json"
NAME = re.compile(r"[a-z0-9][A-Za-z0-9._-]*\.intoto\.json")
LARGEST = 4 << 20  # bytes
CLAIMED = "claimedCommit"  # an annotation: the commit of a repository that no Hub has confirmed for the files

Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40,128}\Z")]


class _Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    pass


class Resource(_Layout, frozen=True, kw_only=True):
    """in-toto's ResourceDescriptor: something named by its digests, each in hex."""

    name: str = ""
    uri: str = ""
    digest: dict[str, Hex] = {}
    annotations: dict[str, Any] = {}


class BuildDefinition(_Layout, frozen=True, kw_only=True):
    """What was asked for, and everything that it was made from."""

    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any] = {}
    resolved_dependencies: tuple[Resource, ...] = ()


class Builder(_Layout, frozen=True, kw_only=True):
    """What made it, and the versions of its parts."""

    id: str
    version: dict[str, str] = {}


class Metadata(_Layout, frozen=True, kw_only=True):
    """When it was made."""

    started_on: Time
    finished_on: Time


class RunDetails(_Layout, frozen=True, kw_only=True):
    """How the run went. The margin is a by-product."""

    builder: Builder
    metadata: Metadata | None = None
    byproducts: tuple[Resource, ...] = ()


class Provenance(_Layout, frozen=True, kw_only=True):
    """SLSA's provenance."""

    build_definition: BuildDefinition
    run_details: RunDetails


class Confirmed(_Layout, frozen=True, kw_only=True):
    """A pair set made again: the released file, the regenerated file, and how they compare."""

    verdict: Literal["IDENTICAL", "SAME CONTENT", "EQUIVALENT", "DIVERGED"]
    released: Hex
    regenerated: Hex
    machine: Machine
    margin: Margin | None = None


class Confirmation(_Layout, frozen=True, kw_only=True):
    """A release made again on another machine, from the same pins: the outcome for each pair set."""

    reference: str
    pair_sets: dict[str, Confirmed]
    resolved_dependencies: tuple[Resource, ...]
    metadata: Metadata


class Statement(_Layout, frozen=True, kw_only=True):
    """in-toto's Statement: the files it is about, and the predicate."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: tuple[Resource, ...]
    predicate_type: str
    predicate: dict[str, Any]

    def provenance(self) -> Provenance | None:
        """The predicate, if it is provenance. Raises msgspec.ValidationError."""
        return msgspec.convert(self.predicate, Provenance) if self.predicate_type == PROVENANCE else None

    def confirmation(self) -> Confirmation | None:
        """The predicate, if it is a confirmation. Raises msgspec.ValidationError."""
        return msgspec.convert(self.predicate, Confirmation) if self.predicate_type == CONFIRMATION else None

    def to_bytes(self) -> bytes:
        """The statement's file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def make_statement(subject: Mapping[str, str], predicate: Provenance | Confirmation) -> Statement:
    """A statement about files given as name to hex sha256."""
    kind = PROVENANCE if isinstance(predicate, Provenance) else CONFIRMATION
    resources = tuple(Resource(name=name, digest={"sha256": sha256}) for name, sha256 in sorted(subject.items()))
    return Statement(type=STATEMENT, subject=resources, predicate_type=kind, predicate=msgspec.to_builtins(predicate))


def parse_statement(content: bytes, name: str) -> tuple[Statement | None, list[Finding]]:
    """Read a statement. Whatever is not in its layout, or in that of its predicate, is a finding."""
    try:
        if len(content) > LARGEST:
            raise ValueError(f"{len(content)} bytes; the limit is {LARGEST}")
        statement = convert(load_json(content, "not a statement"), Statement, "not a statement")
        if not statement.subject or not all(subject.digest for subject in statement.subject):
            raise ValueError("a statement names its subjects by digest")
        if statement.provenance() is None and statement.confirmation() is None:
            raise ValueError(f"predicateType {statement.predicate_type!r} is not known here")
    except (BadConfiguration, ValueError) as error:  # msgspec's errors are ValueErrors
        return None, [Finding("malformed", name, str(error))]
    return statement, []


def subject_findings(statement: Statement, name: str, known: Mapping[str, str]) -> list[Finding]:
    """Where a statement refers to other bytes than the files that are `known` (name to hex sha256), or to other files."""
    findings = []
    for subject in statement.subject:
        expected, actual = known.get(subject.name), subject.digest.get("sha256")
        if expected is None:
            message = "the statement refers to a file that does not exist"
            findings.append(Finding("unexpected", f"{name}: {subject.name}", message))
        elif expected != actual:
            message = "the statement refers to other bytes; delete it if the file was made elsewhere"
            findings.append(Finding("mismatch", f"{name}: {subject.name}", message, expected, actual))
    return findings


def foreign_findings(statement: Statement, name: str, digests: Collection[str]) -> list[Finding]:
    """Where a statement beside a release refers to bytes that are not in it: `digests` are the release's own, in hex."""
    message = "the statement refers to bytes that are not in this release"
    subjects = [(subject.name, subject.digest.get("sha256")) for subject in statement.subject]
    return [Finding("mismatch", f"{name}: {key}", message, None, sha256) for key, sha256 in subjects if sha256 not in digests]


def dependency_findings(named: tuple[Resource, ...], name: str, wanted: tuple[Resource, ...]) -> list[Finding]:
    """Where a statement names other inputs than the pins: each by its name, compared by origin and digests."""
    theirs, ours = ({resource.name: _origin(resource) for resource in side} for side in (named, wanted))
    message = "the statement names another input than the pins do"
    return [
        Finding("mismatch", f"{name}: resolvedDependencies: {key}", message, _text(ours.get(key)), _text(theirs.get(key)))
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]


def _origin(resource: Resource) -> tuple[str, dict[str, str]]:
    """Whence an input is: a claimed commit is the same as a confirmed one, which it may have become since."""
    claimed = resource.annotations.get(CLAIMED)
    return (f"{resource.uri}@{claimed}", {"gitCommit": claimed}) if claimed else (resource.uri, resource.digest)


def _text(origin: tuple[str, dict[str, str]] | None) -> str:
    uri, digest = origin or ("none", {})
    return " ".join(filter(None, [uri, *(f"{kind}:{value}" for kind, value in digest.items())]))


FOLDER = "manifests/confirmations"


def confirmed(root: Path) -> list[tuple[str, str, str]]:
    """The confirmations in git, sorted: pair set of which release, on which machine, and the verdict."""
    rows: set[tuple[str, str, str]] = set()
    for statement in _confirmations(root / FOLDER):
        if (confirmation := statement.confirmation()) is not None:
            for key, pair_set in confirmation.pair_sets.items():
                rows.add((f"{key} of {confirmation.reference}", pair_set.machine.text(), pair_set.verdict))
    return sorted(rows)


def said_before(folder: Path, new: Statement) -> Statement | None:
    """A confirmation of the folder that differs in its time alone: repeating it adds nothing."""
    return next((old for old in _confirmations(folder) if _timeless(old) == _timeless(new)), None)


def _confirmations(folder: Path) -> Iterator[Statement]:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        statement, _ = parse_statement(read_small(path, LARGEST), path.name)
        if statement is not None:
            yield statement


def _timeless(statement: Statement) -> bytes:
    predicate = {key: value for key, value in statement.predicate.items() if key != "metadata"}
    return msgspec.structs.replace(statement, predicate=predicate).to_bytes()
