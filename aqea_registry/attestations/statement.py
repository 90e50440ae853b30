"""Statements about files: in-toto's Statement v1, with SLSA's Provenance v1 (how it was made) or a confirmation (made again).

A statement refers to digests and is never part of what it refers to. Those of other programs are read as in-toto asks: fields
that are not known here are ignored, and a predicate of another type is not judged. Pure.
"""

import base64
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from aqea_registry.base.files import Limit
from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.base.sha256_list import Sha256
from aqea_registry.base.strict import convert, decoded, load_json
from aqea_registry.vectors.margin import Machine, Margin

STATEMENT: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
ENVELOPED = "application/vnd.in-toto+json"  # what a DSSE envelope calls a statement
PROVENANCE = "https://slsa.dev/provenance/v1"
CONFIRMATION = "urn:aqea-registry:confirmation:1"
PAIR_SET = "urn:aqea-registry:pair-set:1"
BUILD_TYPES = {"pair-set": PAIR_SET, "vector-set": "urn:aqea-registry:vector-set:1"}  # by the kind of artefact
RELEASE = "urn:aqea-registry:release:1"
BUILDER = "urn:aqea-registry:command-line"

SUFFIX = ".intoto.json"
LINES = ".intoto.jsonl"  # beside a release: a statement or envelope a line; other programs look for this name
NAME = re.compile(r"[a-z0-9][A-Za-z0-9._-]*\.intoto\.jsonl?")
CODE = "code"  # among what something was made from: the commit that was checked out
CLAIMED = "claimedCommit"  # an annotation: the commit of a repository that no Hub has confirmed for the files

Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")]


class _Layout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    pass


class Resource(_Layout, frozen=True, kw_only=True):
    """in-toto's ResourceDescriptor: something named by its digests, which are in hex where they are ours to compare."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str] = {}
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
    """When it was made, as far as that is said."""

    started_on: Time | None = None
    finished_on: Time | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a day or an hour that does not exist."""
        for text in filter(None, (self.started_on, self.finished_on)):
            moment(text)


class Period(Metadata, frozen=True, kw_only=True):
    """When it was made: both ends."""

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

    def machine(self) -> Machine | None:
        """What computed, where our own layout says it."""
        try:
            return msgspec.convert(self.build_definition.internal_parameters.get("machine"), Machine)
        except msgspec.ValidationError:
            return None

    def period(self) -> Period | None:
        """When it was made, if both ends are given."""
        when = self.run_details.metadata
        ends = (when.started_on, when.finished_on) if when is not None else (None, None)
        return Period(started_on=ends[0], finished_on=ends[1]) if ends[0] and ends[1] else None


class Confirmed(_Layout, frozen=True, kw_only=True):
    """A pair set made again. `encoded` sentences went through the model for it, at `metadata`; 0.1.0 wrote neither."""

    verdict: Literal["IDENTICAL", "SAME CONTENT", "EQUIVALENT", "DIVERGED"]
    released: Sha256
    regenerated: Sha256
    machine: Machine
    margin: Margin | None = None
    encoded: int = 0
    metadata: Period | None = None


class Confirmation(_Layout, frozen=True, kw_only=True):
    """A release made again from the same pins: the outcome for each pair set."""

    reference: str
    pair_sets: dict[str, Confirmed]
    resolved_dependencies: tuple[Resource, ...] = ()
    metadata: Period


def moment(time: str) -> datetime:
    """The point in time that a statement names. Raises ValueError."""
    return datetime.fromisoformat(time.upper())


class Statement(_Layout, frozen=True, kw_only=True):
    """in-toto's Statement: the files it is about, and the predicate. Builders of before 2023 still write layout v0.1."""

    type: Literal["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"] = msgspec.field(name="_type")
    subject: tuple[Resource, ...]
    predicate_type: str
    predicate: dict[str, Any] = {}

    @property
    def digests(self) -> frozenset[str]:
        """The sha256 of what it is about."""
        return frozenset(subject.digest.get("sha256", "") for subject in self.subject)

    @property
    def judged(self) -> bool:
        """Whether its predicate is of a type that is known here."""
        return self.predicate_type in (PROVENANCE, CONFIRMATION)

    @property
    def ours(self) -> bool:
        """Whether this program's layout of predicates is used, so that every subject has to be a file of the release."""
        provenance = self.provenance()
        build_type = provenance.build_definition.build_type if provenance is not None else None
        return self.predicate_type == CONFIRMATION or build_type in (*BUILD_TYPES.values(), RELEASE)

    def provenance(self) -> Provenance | None:
        """The predicate, if it is provenance. Raises msgspec.ValidationError."""
        return msgspec.convert(self.predicate, Provenance) if self.predicate_type == PROVENANCE else None

    def confirmation(self) -> Confirmation | None:
        """The predicate, if it is a confirmation. Raises msgspec.ValidationError."""
        return msgspec.convert(self.predicate, Confirmation) if self.predicate_type == CONFIRMATION else None

    def to_bytes(self) -> bytes:
        """The statement's file: one line."""
        return msgspec.json.encode(self) + b"\n"


def make_statement(subject: Mapping[str, str], predicate: Provenance | Confirmation) -> Statement:
    """A statement about files given as name to hex sha256."""
    kind = PROVENANCE if isinstance(predicate, Provenance) else CONFIRMATION
    resources = tuple(Resource(name=name, digest={"sha256": sha256}) for name, sha256 in sorted(subject.items()))
    return Statement(type=STATEMENT, subject=resources, predicate_type=kind, predicate=msgspec.to_builtins(predicate))


def parse_statement(content: bytes, name: str) -> tuple[Statement | None, list[Finding]]:
    """Read a statement, plain or out of its envelope, whose signatures are not checked; or say how it breaks its layout."""
    try:
        if len(content) > Limit.STATEMENT:
            raise ValueError(f"{len(content)} bytes; the limit is {Limit.STATEMENT}")
        statement = convert(_unwrapped(load_json(content, "not a statement")), Statement, "not a statement")
        if not statement.subject or not all(subject.digest for subject in statement.subject):
            raise ValueError("a statement names its subjects by digest")
        for subject in statement.subject:
            msgspec.convert(subject.digest.get("sha256", "0" * 64), Sha256)
        statement.provenance(), statement.confirmation()
    except (BadConfiguration, ValueError) as error:  # msgspec's errors are ValueErrors
        return None, [Finding("malformed", name, str(error))]
    return statement, []


def _unwrapped(value: Any) -> Any:
    """The statement in a DSSE envelope, or in a Sigstore bundle around one; anything else as it is."""
    envelope = value.get("dsseEnvelope", value) if isinstance(value, dict) else value
    if not isinstance(envelope, dict) or envelope.get("payloadType") is None:
        return value
    payload = envelope.get("payload")
    if envelope["payloadType"] != ENVELOPED or not isinstance(payload, str):
        raise ValueError(f"not a statement: an envelope of {envelope['payloadType']!r}")
    return load_json(base64.b64decode(payload.replace("-", "+").replace("_", "/"), validate=True), "not a statement")


def documents(content: bytes) -> list[bytes]:
    """The statements of a file of JSON lines, or the one that fills the file."""
    lines = [line for line in content.splitlines() if line.strip()]
    return [content] if len(lines) < 2 or decoded(lines[0], dict[str, Any]) is None else lines


class Read(NamedTuple):
    """A statement of a file, or what is wrong with a document that holds none."""

    name: str
    document: bytes
    statement: Statement | None
    findings: list[Finding]


def read_statements(files: Iterable[tuple[str, bytes]]) -> list[Read]:
    """Every document of these files, by name and content, as a statement."""
    return [Read(name, text, *parse_statement(text, name)) for name, content in files for text in documents(content)]


def statements_in(files: Iterable[tuple[str, bytes]]) -> list[Statement]:
    """The statements of these files that can be read."""
    return [read.statement for read in read_statements(files) if read.statement is not None]


def beside(attachments: Mapping[str, bytes], reference: str = "") -> list[tuple[str, bytes]]:
    """Of what is beside a release the files with statements, sorted; each name with the release's before it, if given."""
    names = sorted(filter(NAME.fullmatch, attachments))
    return [(f"{reference}: {name}" if reference else name, attachments[name]) for name in names]


def subject_findings(statement: Statement, name: str, known: Mapping[str, str]) -> list[Finding]:
    """Where a statement refers to other bytes than the files that are `known` (name to hex sha256), or to other files."""
    gone = "the statement refers to a file that does not exist"
    other = "the statement refers to other bytes; delete it if the file was made elsewhere"
    findings = []
    for subject in statement.subject:
        about, actual = f"{name}: {subject.name}", subject.digest.get("sha256")
        if (expected := known.get(subject.name)) is None:
            findings.append(Finding("unexpected", about, gone))
        elif expected != actual:
            findings.append(Finding("mismatch", about, other, expected, actual))
    return findings


def foreign_findings(statement: Statement, name: str, digests: Collection[str]) -> list[Finding]:
    """Where a statement beside a release is about bytes that are not in it; of another program's, one subject has to be."""
    message = "the statement refers to bytes that are not in this release"
    subjects = [(subject.name, subject.digest.get("sha256")) for subject in statement.subject]
    others = [Finding("mismatch", f"{name}: {key}", message, None, sha256) for key, sha256 in subjects if sha256 not in digests]
    return others if statement.ours or len(others) == len(subjects) else []


def inputs(statement: Statement) -> tuple[Resource, ...]:
    """What a statement says that something was made from, but for the program itself."""
    made, again = statement.provenance(), statement.confirmation()
    named = made.build_definition.resolved_dependencies if made else again.resolved_dependencies if again else ()
    return tuple(resource for resource in named if resource.name != CODE)


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
