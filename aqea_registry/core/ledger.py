"""A ledger as a file: read with every fault named, written in one spelling, a claim a line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from aqea_registry.core.claims import SCHEMA, Claim, Document, Ledger, Result, plain
from aqea_registry.core.findings import BadConfiguration, Finding
from aqea_registry.core.plainyaml import load_plain_yaml

LARGEST = 16 << 20  # bytes of a ledger; 10,000 claims take 3 million
T = TypeVar("T")
_FIELDS = frozenset({"schema", "document", "results", "claims"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "none", "nan", "inf"})


def parse_ledger(content: bytes, name: str) -> tuple[Ledger | None, list[Finding]]:
    """Read a ledger; each claim or result that is none is a finding, and the others are kept. None if there is no ledger."""
    if len(content) > LARGEST:
        return None, [_malformed(name, f"larger than {LARGEST >> 20} MiB, too large for a ledger")]
    if not _NAME.fullmatch(name):
        return None, [_malformed(name, "the name of a ledger has letters, digits, '.', '_' and '-'; rename the file")]
    try:
        value = load_plain_yaml(content, name)
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
    good: dict[str, Result] = {}
    for key, entry in results.items():
        result = _converted(entry, Result, f"{name}: results.{key}", findings)
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
