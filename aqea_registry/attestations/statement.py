"""Statements about files: in-toto's layout, with SLSA provenance (how a file was made) or a confirmation (made again).

A statement refers to digests and is never part of what it speaks of. Source of the layouts: in-toto's Statement v1 and SLSA's
Provenance v1. A field that these do not have is refused: nobody would check it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

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
    """How this one run went. What it tells besides is a by-product: the margin."""

    builder: Builder
    metadata: Metadata | None = None
    byproducts: tuple[Resource, ...] = ()


class Provenance(_Layout, frozen=True, kw_only=True):
    """SLSA's provenance."""

    build_definition: BuildDefinition
    run_details: RunDetails


class Confirmed(_Layout, frozen=True, kw_only=True):
    """One pair set made again: the released file, the regenerated one, and how they compare."""

    verdict: Literal["IDENTICAL", "SAME CONTENT", "EQUIVALENT", "DIVERGED"]
    released: Hex
    regenerated: Hex
    machine: Machine
    margin: Margin | None = None


class Confirmation(_Layout, frozen=True, kw_only=True):
    """A release made again on another machine, from the same pins: what came of each pair set."""

    reference: str
    pair_sets: dict[str, Confirmed]
    resolved_dependencies: tuple[Resource, ...]
    metadata: Metadata


class Statement(_Layout, frozen=True, kw_only=True):
    """in-toto's Statement: what is spoken of, and what is said of it."""

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

    def render(self) -> bytes:
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
        found = convert(load_json(content, "not a statement"), Statement, "not a statement")
        if not found.subject or not all(subject.digest for subject in found.subject):
            raise ValueError("a statement names its subjects by digest")
        if found.provenance() is None and found.confirmation() is None:
            raise ValueError(f"predicateType {found.predicate_type!r} is not known here")
    except (BadConfiguration, ValueError) as error:  # msgspec's errors are ValueErrors
        return None, [Finding(code="malformed", subject=name, message=str(error))]
    return found, []


def subject_findings(one: Statement, name: str, known: Mapping[str, str]) -> list[Finding]:
    """Where a statement speaks of other bytes than those that are here: `known` is name to hex sha256.

    A subject that is not known is a finding too: the statement is about something else.
    """
    findings = []
    for subject in one.subject:
        sha256 = subject.digest.get("sha256")
        if subject.name not in known:
            message = "the statement speaks of a file that is not here"
            findings.append(Finding(code="unexpected", subject=f"{name}: {subject.name}", message=message))
        elif known[subject.name] != sha256:
            message = "the statement speaks of other bytes; delete it if the file was made elsewhere"
            findings.append(
                Finding(
                    code="mismatch",
                    subject=f"{name}: {subject.name}",
                    expected=known[subject.name],
                    actual=sha256,
                    message=message,
                )
            )
    return findings


def foreign_findings(one: Statement, name: str, digests: Collection[str]) -> list[Finding]:
    """Where a statement beside a release speaks of something that is not in it: `digests` are the release's own, in hex."""
    return [
        Finding(
            code="mismatch",
            subject=f"{name}: {subject.name}",
            actual=subject.digest.get("sha256"),
            message="the statement speaks of bytes that are not in this release",
        )
        for subject in one.subject
        if subject.digest.get("sha256") not in digests
    ]


def dependency_findings(found: tuple[Resource, ...], name: str, wanted: tuple[Resource, ...]) -> list[Finding]:
    """Where a statement names other inputs than the pins: each by its name, compared by digests and origin."""
    theirs, ours = ({one.name: (one.uri, one.digest) for one in side} for side in (found, wanted))
    return [
        Finding(
            code="mismatch",
            subject=f"{name}: resolvedDependencies: {key}",
            expected=_shown(ours.get(key)),
            actual=_shown(theirs.get(key)),
            message="the statement names another input than the pins do",
        )
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]


def _shown(one: tuple[str, dict[str, str]] | None) -> str:
    return "none" if one is None else " ".join(filter(None, [one[0], *(f"{kind}:{value}" for kind, value in one[1].items())]))


FOLDER = "manifests/confirmations"


def confirmed(root: Path) -> list[tuple[str, str, str]]:
    """What the confirmations in git say, sorted: pair set of which release, on which machine, and the verdict."""
    found: list[tuple[str, str, str]] = []
    for path in sorted((root / FOLDER).glob(f"*{SUFFIX}")):
        one, _ = parse_statement(path.read_bytes(), path.name)
        if one is not None and (said := one.confirmation()) is not None:
            found += [(f"{key} of {said.reference}", each.machine.text(), each.verdict) for key, each in said.pair_sets.items()]
    return sorted(set(found))


def said_before(folder: Path, new: Statement) -> Statement | None:
    """A confirmation that says the same but for its time: saying it again adds nothing."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        old, _ = parse_statement(path.read_bytes(), path.name)
        if old is not None and _timeless(old) == _timeless(new):
            return old
    return None


def _timeless(one: Statement) -> bytes:
    predicate = {key: value for key, value in one.predicate.items() if key != "metadata"}
    return msgspec.structs.replace(one, predicate=predicate).render()
