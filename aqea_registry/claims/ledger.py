"""Claims: the printed numbers of a document, each with where it stands and what it rests on. One ledger a document.

A ledger is YAML in manifests/claims; docs/claims.md shows one. The document is named by its sha256 and not copied.

A ledger as a file: read with every fault named, written in one spelling, a claim a line.

All ledgers of a project, and the documents that they speak of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from aqea_registry.base.files import TooLarge, UnsafePath, hash_file, inside, read_small
from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.base.strict import load_yaml
from aqea_registry.documents.numbers import Unit
from aqea_registry.project.lock import Sha256

SCHEMA = "aqea-registry/claims/1"
FOLDER = "manifests/claims"

ClaimId = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._/+@-]*\Z", max_length=200)]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The document of a ledger: what it is called, the sha256 of its bytes, and the name of its file.

    `file` is a path below the project, or a name to look for in the folders given with --documents.
    """

    title: str
    sha256: Sha256
    file: str
    url: str | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What several claims measured: a model on one split of a dataset. `revision` is as the document prints it.

    Dataset and model are repository ids as printed, or names of the catalogue.
    """

    dataset: str
    model: str
    config: str = "default"
    split: str = "test"
    revision: str | None = None
    model_revision: str | None = None
    task: str | None = None


class At(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a claim stands: a cell of a table, or a path in the front matter; and the line, counted from 1."""

    table: str | None = None
    row: str | None = None
    column: str | None = None
    path: str | None = None
    line: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def __str__(self) -> str:
        cell = ", ".join(part for part in (self.table, self.row, self.column, self.path) if part)
        return f"{cell}, line {self.line}" if cell and self.line else cell or f"line {self.line}"


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evidence: a metric of a pair set, recomputed from its bytes. `result` is a key of the ledger's results."""

    result: str
    metric: str


class Quotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Evidence: the same quantity printed elsewhere. Exactly one of `claim`, `file` and `source` is given.

    `claim` names a claim, as ID or LEDGER:ID. `file` is a JSON or YAML file of the project or, with `pin`, of that pin; `at`
    is a JSON pointer into it. `source` is a document that is not here: a locator for people.
    """

    claim: str | None = None
    file: str | None = None
    pin: str | None = None
    source: str | None = None
    at: str | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.claim, self.file, self.source)) != 1:
            raise ValueError("a quotation names exactly one of claim, file and source")
        if self.pin is not None and self.file is None:
            raise ValueError("a quotation from a pin names its file")


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One printed number (or, with unit `text`, a printed name) and its evidence of one kind; without any it is unbound.

    `value` is the number as printed, null if it cannot be read. `printed` is the document's own spelling where that is not
    the value, and `ocr` says why the reading differs from it. `tolerance` is a number in the claim's unit, or `printed` for
    half of the last digit; it needs a `reason`.
    """

    id: ClaimId
    value: str | None
    unit: Unit
    at: At
    measured: Measurement | None = None
    derived: str | None = None
    quoted: Quotation | None = None
    tolerance: str | None = None
    reason: str | None = None
    printed: str | None = None
    ocr: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.measured, self.derived, self.quoted)) > 1:
            raise ValueError("evidence is of one kind: measured, derived or quoted")
        if self.tolerance is not None and not self.reason:
            raise ValueError("a tolerance needs a reason")
        if self.value is None and not self.ocr:
            raise ValueError("a claim without a value needs `ocr`, which says why it cannot be read")

    @property
    def kind(self) -> Literal["measured", "derived", "quoted", "unbound"]:
        """The kind of its evidence."""
        if self.measured is not None:
            return "measured"
        return "derived" if self.derived is not None else "quoted" if self.quoted is not None else "unbound"

    @property
    def text(self) -> str:
        """What stands in the document."""
        return self.printed if self.printed is not None else self.value or ""


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The claims of one document, in the order in which they stand in it."""

    schema: Literal["aqea-registry/claims/1"] = "aqea-registry/claims/1"
    document: Document
    results: dict[str, Evaluation] = {}
    claims: tuple[Claim, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a claim, and why.

    `ground` tells what the answer rests on: `bytes` that a digest names, or `prints` alone. `reason` is a word for what is
    missing if the claim is unchecked, see docs/claims.md. Numbers are texts in the claim's unit.
    """

    ledger: str
    claim: Claim
    state: Literal["holds", "contradicted", "unchecked", "unbound"]
    message: str
    reason: str | None = None
    ground: Literal["bytes", "prints"] | None = None
    recomputed: str | None = None
    difference: str | None = None
    tolerance: str | None = None
    rests_on: tuple[str, ...] = ()  # of a measured claim its pair set's key, of others LEDGER:ID or FILE

    @property
    def name(self) -> str:
        """LEDGER:ID, which is unique over all ledgers."""
        return f"{self.ledger}:{self.claim.id}"


def ledger_name(path: str) -> str:
    """What a ledger is called: the name of its file without the ending."""
    return PurePosixPath(path).stem


def plain(ledger: Ledger) -> Any:
    """The ledger as plain values, in the order of its fields, without what is left to its default."""
    return msgspec.to_builtins(ledger)


LARGEST = 16 << 20  # bytes of a ledger; 10,000 claims take 3 million


def read_ledgers(root: Path) -> tuple[dict[str, Ledger], list[Finding]]:
    """Every readable ledger of manifests/claims by its name, sorted, and what is wrong with them."""
    ledgers: dict[str, Ledger] = {}
    findings: list[Finding] = []
    for path in sorted((root / FOLDER).glob("*.yaml")):
        try:
            ledger, wrong = parse_ledger(read_small(path, LARGEST), path.stem)
        except TooLarge as error:
            ledger, wrong = None, [_malformed(path.stem, f"{error.strerror}, too large for a ledger")]
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
            ledger, wrong = None, [Finding(code="unreadable", subject=path.relative_to(root).as_posix(), message=message)]
        findings += wrong
        if ledger is not None:
            ledgers[path.stem] = ledger
    return ledgers, findings


T = TypeVar("T")


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


_FIELDS = frozenset({"schema", "document", "results", "claims"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "none", "nan", "inf"})


def parse_ledger(content: bytes, name: str) -> tuple[Ledger | None, list[Finding]]:
    """Read a ledger; each claim or result that is none is a finding, and the others are kept. None if there is no ledger."""
    if not _NAME.fullmatch(name):
        return None, [_malformed(name, "the name of a ledger has letters, digits, '.', '_' and '-'; rename the file")]
    try:
        value = load_yaml(content, name, aliases=False)
    except BadConfiguration as error:
        return None, [_malformed(name, error.message)]
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        return None, [_malformed(name, f"schema: not {SCHEMA}")]
    try:
        document = msgspec.convert(value.get("document"), Document, strict=True)
        results = msgspec.convert(value.get("results") or {}, dict[str, Any], strict=True)
        entries = msgspec.convert(value.get("claims") or [], list[Any], strict=True)
    except msgspec.ValidationError as error:
        return None, [_malformed(name, str(error))]
    findings = [_malformed(f"{name}: {key}", "unknown field") for key in map(str, value) if key not in _FIELDS]
    good: dict[str, Evaluation] = {}
    for key, entry in results.items():
        result = _converted(entry, Evaluation, f"{name}: results.{key}", findings)
        good |= {} if result is None else {key: result}
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(entries):
        label = entry.get("id", f"claims[{number}]") if isinstance(entry, dict) else f"claims[{number}]"
        claim = _converted(entry, Claim, f"{name}: {str(label)[:200]}", findings)
        if claim is not None and claim.id in claims:
            findings.append(Finding(code="duplicate", subject=f"{name}: {claim.id}", message="the id stands twice"))
        elif claim is not None:
            claims[claim.id] = claim
    return Ledger(document=document, results=good, claims=tuple(claims.values())), findings


def render_ledger(ledger: Ledger) -> bytes:
    """The ledger's one spelling: document, results, claims; each result and claim on a line of its own."""
    value = plain(ledger)
    lines = [f"schema: {SCHEMA}", "document:"]
    lines += [f"  {key}: {_text(one)}" for key, one in value["document"].items()]
    lines += ["results:", *(f"  {_text(key)}: {_flow(one)}" for key, one in value["results"].items())] if ledger.results else []
    lines += ["claims:", *(f"- {_flow(one)}" for one in value["claims"])] if ledger.claims else ["claims: []"]
    return ("\n".join(lines) + "\n").encode()


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON is YAML, but for the line ends of Unicode that YAML would fold.
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff]", lambda one: f"\\u{ord(one[0]):04x}", json.dumps(value, ensure_ascii=False))


def _converted(entry: Any, kind: type[T], subject: str, findings: list[Finding]) -> T | None:
    try:
        return msgspec.convert(entry, kind, strict=True)
    except msgspec.ValidationError as error:
        findings.append(_malformed(subject, str(error)))
        return None


def _malformed(subject: str, message: str) -> Finding:
    return Finding(code="malformed", subject=subject, message=message)
