"""Ledgers: the printed numbers of a document, each with its location and its evidence. One ledger per document.

A ledger is YAML in manifests/claims, one claim per line; docs/claims.md shows one. It is read with every fault named and
written in one spelling. The document is named by its sha256 and not copied.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from aqea_registry.base.files import FileDigest, Limit, TooLarge, UnsafePath, hash_file, inside, read_small
from aqea_registry.base.findings import BadConfiguration, Finding, suggestion, unread
from aqea_registry.base.recognise import one_side
from aqea_registry.base.sha256_list import Sha256
from aqea_registry.base.strict import convert, load_yaml
from aqea_registry.documents.numbers import Unit
from aqea_registry.project.project import OWN

SCHEMA = "aqea-registry/claims/1"
FOLDER = "manifests/claims"

ID = "an id of small letters, digits and ._/+@-"
ClaimId = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._/+@-]*\Z", max_length=200, description=ID)]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The document of a ledger: title, sha256, and file: a path below the project, or a name to look for in --documents.

    Without a sha256 it is judged as it is. What a `published` one prints is contradicted, and never filled in.
    """

    title: str
    sha256: Sha256 | None = None
    file: str
    url: str | None = None
    published: bool = False


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What several claims measured: a model on one split of a dataset, with the revisions that the document prints.

    `config` is also what MTEB calls a subset; `mteb` the version of it that wrote the numbers, where that is known.
    """

    dataset: str  # it and the model: repository ids as printed, or names of the catalogue
    model: str
    config: str = "default"
    split: str = "test"
    revision: str | None = None
    model_revision: str | None = None
    task: str | None = None
    mteb: str | None = None


class At(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The location of a claim: a cell of a table, or a path in the front matter; and the line, counted from 1."""

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
    is a JSON pointer into it, `unit` what the value there is in if not in the claim's unit. `source` describes, for people,
    a document that the project does not have.
    """

    claim: str | None = None
    file: str | None = None
    pin: str | None = None
    source: str | None = None
    at: str | None = None
    unit: Unit | None = None

    def __post_init__(self) -> None:
        if [self.claim, self.file, self.source].count(None) != 2:
            raise ValueError("a quotation names exactly one of claim, file and source")
        if self.pin is not None and self.file is None:
            raise ValueError("a quotation from a pin names its file")
        if self.unit is not None and self.file is None:
            raise ValueError('the unit of a quotation is that of a file\'s value; of a claim write derived: "percent([id])"')


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One printed number (or, with unit `text`, a printed name) and its evidence of one kind; without any it is unbound.

    `value` is the number as printed, null if it cannot be read. `printed` is the document's own spelling where that is not
    the value, and `ocr` says why the reading differs from it. `tolerance` is a number in the claim's unit, or `printed` for
    half of the last digit; it needs a `reason`. Of a whole number `digits` says how many are meant, if the zeros behind them
    are none; `bound` that the number is a bound of the evidence, exact as printed.
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
    digits: Annotated[int, msgspec.Meta(ge=1)] | None = None
    bound: Literal["at-least", "at-most", "over", "under"] | None = None
    printed: str | None = None
    ocr: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if [self.measured, self.derived, self.quoted].count(None) < 2:
            raise ValueError("evidence is of one kind: measured, derived or quoted")
        if self.tolerance is not None and not self.reason:
            raise ValueError("a tolerance needs a reason")
        if [self.tolerance, self.digits, self.bound].count(None) < 2 or (self.unit == "text" and (self.digits or self.bound)):
            raise ValueError("a number has one of tolerance, digits and bound, a text none")
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
        """The document's own spelling."""
        return self.printed if self.printed is not None else self.value or ""


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The claims of one document, in its order."""

    schema: Literal["aqea-registry/claims/1"] = "aqea-registry/claims/1"
    document: Document
    results: dict[str, Evaluation] = {}
    claims: tuple[Claim, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A claim's status, and why.

    `ground` is what the answer rests on: `bytes` that a digest names, or `prints` alone. `reason` is a word for what is
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


def ledger_paths(root: Path) -> list[Path]:
    """The files of all ledgers, sorted. Raises OSError if their folder cannot be listed, of which `glob` would say nothing."""
    folder = root / FOLDER
    return sorted(path for path in folder.iterdir() if path.suffix == ".yaml") if folder.is_dir() else []


def read_ledgers(root: Path) -> tuple[dict[str, Ledger], list[Finding]]:
    """Every readable ledger of manifests/claims by its name, sorted, and what is wrong with them."""
    ledgers: dict[str, Ledger] = {}
    findings: list[Finding] = []
    for path in ledger_paths(root):
        try:
            ledger, wrong = parse_ledger(read_small(path, Limit.DOCUMENT), path.stem)
        except TooLarge as error:
            ledger, wrong = None, [Finding("malformed", path.stem, f"{error.strerror}, too large for a ledger")]
        except OSError as error:
            ledger, wrong = None, [unread(path.relative_to(root).as_posix(), error)]
        findings += wrong
        if ledger is not None:
            ledgers[path.stem] = ledger
    return ledgers, findings


T = TypeVar("T")


def homes(root: Path) -> tuple[Path, ...]:
    """Where a project's own documents are: below its folder, and below the one that holds it where it is called `aqea`."""
    return (root, root.resolve().parent) if root.resolve().name == OWN else (root,)


def own_paths(root: Path, file: str) -> list[Path]:
    """The paths that a document of the project may have; none if its name leads elsewhere."""
    with suppress(UnsafePath):
        return [inside(home, file) for home in homes(root)]
    return []


def find_document(root: Path, document: Document, folders: Sequence[Path]) -> tuple[str, FileDigest | None, Path | None]:
    """Whether a document's file is `same`, `stale` or `absent`, its digest if it is stale, and the file."""
    other, at = None, None
    for path in (*own_paths(root, document.file), *(folder / PurePosixPath(document.file).name for folder in folders)):
        with suppress(OSError):
            digest = hash_file(path)
            if document.sha256 in (None, digest.sha256):
                return "same", None, path
            other, at = (other, at) if other else (digest, path)
    return "stale" if other else "absent", other, at


_FIELDS = frozenset({"schema", "document", "published", "results", "claims"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "none", "nan", "inf"})


def parse_ledger(content: bytes, name: str) -> tuple[Ledger | None, list[Finding]]:
    """Read a ledger; each malformed claim or result is a finding, and the others are kept. None if nothing can be kept."""
    if not _NAME.fullmatch(name):
        return None, [Finding("malformed", name, "the name of a ledger has letters, digits, '.', '_' and '-'; rename the file")]
    try:
        value = load_yaml(content, name, aliases=False)
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise BadConfiguration(f"schema: not {SCHEMA}")
        document = convert(value.get("document"), Document, f"{name}: document")
        if "published" in value:  # a ledger may say it of its document, too
            document = msgspec.structs.replace(document, published=convert(value["published"], bool, f"{name}: published"))
        results = convert(value.get("results") or {}, dict[str, Any], f"{name}: results")
        entries = convert(value.get("claims") or [], list[Any], f"{name}: claims")
    except BadConfiguration as error:
        way = f"; run: {one_side(f'{FOLDER}/{name}.yaml')}" if error.hint else ""
        return None, [Finding("malformed", name, error.message.removeprefix(f"{name}: ") + way)]
    unknown = {key: suggestion(key, _FIELDS) for key in map(str, value) if key not in _FIELDS}
    findings = [
        Finding("malformed", f"{name}: {key}", f"unknown field{f'; {near}' if near else ''}") for key, near in unknown.items()
    ]
    read = {key: _converted(entry, Evaluation, f"{name}: results.{key}", findings) for key, entry in results.items()}
    good = {key: result for key, result in read.items() if result is not None}
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(entries):
        label = entry.get("id", f"claims[{number}]") if isinstance(entry, dict) else f"claims[{number}]"
        claim = _converted(entry, Claim, f"{name}: {str(label)[:200]}", findings)
        if claim is not None and claim.id in claims:
            findings.append(Finding("duplicate", f"{name}: {claim.id}", "the id appears twice"))
        elif claim is not None:
            claims[claim.id] = claim
    return Ledger(document=document, results=good, claims=tuple(claims.values())), findings


def render_ledger(ledger: Ledger) -> bytes:
    """The ledger's one spelling: document, results, claims; each result and claim on a line of its own."""
    value = msgspec.to_builtins(ledger)
    lines = [f"schema: {SCHEMA}", "document:"]
    lines += [f"  {key}: {_text(field)}" for key, field in value["document"].items()]
    if ledger.results:
        lines += ["results:", *(f"  {_text(key)}: {_flow(result)}" for key, result in value["results"].items())]
    lines += ["claims:", *(f"- {_flow(claim)}" for claim in value["claims"])] if ledger.claims else ["claims: []"]
    return ("\n".join(lines) + "\n").encode()


def macro_names(names: Sequence[str]) -> dict[str, str]:
    """A macro for each LEDGER:ID: `aqea` and its words, capitalised and closed up, digits spelled out."""
    plain = {}
    for name in names:
        words = (re.sub("[0-9]", lambda d: _DIGITS[int(d[0])], word) for word in re.findall(r"[a-z]+|[0-9]+", name.lower()))
        plain[name] = "\\aqea" + "".join(map(str.capitalize, words))
    shared = Counter(plain.values())
    for name, macro in plain.items():
        if shared[macro] > 1:  # six letters that only this name has
            plain[name] += "X" + "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(name.encode()).digest()[:6])
    return plain


def free(name: str, taken: dict[str, int]) -> str:
    """The name, with the next free number behind it if it is taken; it is taken then."""
    spelled = name
    while spelled in taken:
        taken[name] += 1
        spelled = f"{name}-{taken[name]}"
    taken[spelled] = 1
    return spelled


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_flow(field)}" for key, field in value.items()) + "}"
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON is YAML, but for the line ends of Unicode that YAML would fold.
    return re.sub(
        "[\x7f-\x9f\u2028\u2029\ufeff]", lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False)
    )


def _converted(entry: Any, kind: type[T], subject: str, findings: list[Finding]) -> T | None:
    try:
        return convert(entry, kind, subject)
    except BadConfiguration as error:
        findings.append(Finding("malformed", subject, error.message.removeprefix(f"{subject}: ")))
        return None
