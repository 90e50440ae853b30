"""A ledger as a file: read with every fault named, written in one spelling, a claim a line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from aqea_registry.core.catalogue import load_yaml
from aqea_registry.core.claims import SCHEMA, Claim, Document, Ledger, Result, plain
from aqea_registry.core.findings import BadConfiguration, Finding

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "none", "nan", "inf"})


def parse_ledger(content: bytes, name: str) -> tuple[Ledger | None, list[Finding]]:
    """Read a ledger; each claim that is none is a finding, and the others are kept. None if there is no ledger at all."""
    try:
        value = load_yaml(content, name)
    except BadConfiguration as error:
        return None, [_malformed(name, error.message)]
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        return None, [_malformed(name, f"schema: not {SCHEMA}")]
    findings: list[Finding] = []
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(_list(value.get("claims"))):
        label = entry.get("id", f"claims[{number}]") if isinstance(entry, dict) else f"claims[{number}]"
        try:
            claim = msgspec.convert(entry, Claim, strict=True)
        except msgspec.ValidationError as error:
            findings.append(_malformed(f"{name}: {label}", str(error)))
            continue
        if claim.id in claims:
            findings.append(Finding(code="duplicate", subject=f"{name}: {claim.id}", message="the id stands twice"))
        else:
            claims[claim.id] = claim
    try:
        document = msgspec.convert(value.get("document"), Document, strict=True)
        results = msgspec.convert(value.get("results") or {}, dict[str, Result], strict=True)
    except msgspec.ValidationError as error:
        return None, [*findings, _malformed(name, str(error))]
    unknown = sorted(set(value) - {"schema", "document", "results", "claims"})
    findings += [_malformed(f"{name}: {key}", "unknown field") for key in unknown]
    return Ledger(document=document, results=results, claims=tuple(claims.values())), findings


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


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _malformed(subject: str, message: str) -> Finding:
    return Finding(code="malformed", subject=subject, message=message)
