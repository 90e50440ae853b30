"""Claims: the printed numbers of a document, each with where it stands and what it rests on. One ledger a document.

A ledger is YAML in manifests/claims; docs/claims.md shows one. The document is named by its sha256 and not copied.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import msgspec

from aqea_registry.core.pins import Sha256
from aqea_registry.core.printed import Unit

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


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
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


class Measured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evidence: a metric of a pair set, recomputed from its bytes. `result` is a key of the ledger's results."""

    result: str
    metric: str


class Quoted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
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
    measured: Measured | None = None
    derived: str | None = None
    quoted: Quoted | None = None
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
    results: dict[str, Result] = {}
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
