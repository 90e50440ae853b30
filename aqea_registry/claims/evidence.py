"""Evidence: what a claim rests on, as a value that its print is compared with. Pure.

Where a term of a claim is contradicted, the evidence is also computed with that term printed as its own evidence says (a
Correction), so that a right number is not called wrong for the sake of a wrong one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import Any, Literal, NamedTuple

from aqea_registry.base.findings import Unchecked
from aqea_registry.claims import quantity
from aqea_registry.claims.expression import BadExpression, Expression, Reference, Term, Terms, Unreadable, evaluate
from aqea_registry.claims.ledger import Claim, Evaluation
from aqea_registry.claims.quantity import NotComputable, Quantity
from aqea_registry.claims.resolving import Resolved
from aqea_registry.documents.metrics import metric_name
from aqea_registry.documents.numbers import NotANumber, Unit, parse_number, shown
from aqea_registry.vectors.scores import Metrics

METRICS = frozenset(Metrics.__struct_fields__)
MALFORMED = "malformed"  # the reason of what is unchecked because the claim itself cannot be: also a finding
NAMED = 5  # of many names, as many are listed

Basis = Literal["bytes", "prints"]


class Correction(NamedTuple):
    """What a contradicted claim should print by its own evidence; or, of evidence, what it is from terms corrected so.

    `sure`: the terms are contradicted by bytes, not by other prints alone. `culprits` are the wrong prints, in words.
    """

    value: Quantity | str
    basis: Basis
    sure: bool
    culprits: tuple[str, ...]


class Evidence(NamedTuple):
    """What a claim is compared with: a number or a text, where it comes from in words, and what it rests on."""

    value: Quantity | str
    how: str
    basis: Basis
    rests_on: tuple[str, ...] = ()
    text: str | None = None  # the number as printed there
    corrected: Correction | None = None


def measured(
    claim: Claim,
    results: Mapping[str, Evaluation],
    bound: Mapping[str, Resolved | Unchecked],
    scores: Mapping[str, Metrics | Unchecked],
) -> Evidence | Unchecked:
    """What the pair set's bytes give for a measured claim of a ledger with these results."""
    assert claim.measured is not None
    result, metric = claim.measured.result, claim.measured.metric
    if result not in results:
        return Unchecked(MALFORMED, f"the ledger has no result {result!r}")
    name = metric_name(metric)
    if name in METRICS and claim.unit not in ("percent", "fraction"):
        return Unchecked(MALFORMED, f"{metric} is a fraction; it can be printed as percent or fraction, not as {claim.unit}")
    resolved = bound[result]
    if isinstance(resolved, Unchecked) and resolved.reason == "unpinned":
        return resolved
    if name not in METRICS:
        return Unchecked("not-recomputed", f"{metric} is not one of the six scores that a pair set gives")
    if isinstance(resolved, Unchecked):
        return resolved
    score = scores[resolved.key]
    if isinstance(score, Unchecked):
        return score
    value = quantity.converted(quantity.exact(Fraction(getattr(score, name)), "fraction"), claim.unit)
    return Evidence(value, f"recomputed from {resolved.key}{resolved.note}", "bytes", (resolved.key,))


def derived(
    expression: Expression,
    ledger: str,
    own: str,
    terms: Terms,
    bases: Mapping[str, Basis],
    corrections: Mapping[str, Correction] = {},
) -> Evidence | Unchecked:
    """What a derived claim's expression gives over the printed values of others, whose `bases` are known."""
    found: dict[Reference, list[str]] = {}

    def lookup(reference: Reference) -> list[Term]:
        found[reference] = terms.find(reference, ledger, own)
        return [terms.term(name) for name in found[reference]]

    def corrected(reference: Reference) -> list[Term]:
        there = [(terms.term(name), corrections.get(name)) for name in found[reference]]
        return [term if fix is None or isinstance(fix.value, str) else term._replace(value=fix.value) for term, fix in there]

    try:
        value = evaluate(expression, lookup)
    except BadExpression as error:
        return Unchecked(MALFORMED, str(error))
    except Unreadable as error:
        return Unchecked("depends", f"{error} has no value that can be read")
    names = tuple(dict.fromkeys(chain.from_iterable(found.values())))
    evidence = Evidence(value, "computed from the printed values", _basis(names, bases), names)
    if corrections.keys().isdisjoint(names):
        return evidence
    with suppress(BadExpression):
        return _with_correction(evidence, evaluate(expression, corrected), bases, corrections)
    return evidence


def quoted_claim(
    unit: Unit, name: str, terms: Terms, bases: Mapping[str, Basis], corrections: Mapping[str, Correction] = {}
) -> Evidence | Unchecked:
    """What the claim that is quoted prints."""
    other = terms.claim(name)
    value = other.value if unit == "text" else terms.term(name).value
    if other.bound is not None or (unit == "text") != (other.unit == "text"):
        is_ = "a bound, not a number" if other.bound else f"of the unit {other.unit}, not {unit}"
        return Unchecked(MALFORMED, f"{name} is {is_}")
    if value is None:
        return Unchecked("depends", f"{name} has no value that can be read")
    evidence = Evidence(value, f"printed as {name}", _basis((name,), bases), (name,), other.value)
    return _with_correction(evidence, corrections[name].value, bases, corrections) if name in corrections else evidence


def _with_correction(
    evidence: Evidence, value: Quantity | str, bases: Mapping[str, Basis], corrections: Mapping[str, Correction]
) -> Evidence:
    """The evidence with its value from corrected terms, if that is another."""
    if value == evidence.value:
        return evidence
    fixes = {name: corrections[name] for name in evidence.rests_on if name in corrections}
    sound = _basis((name for name in evidence.rests_on if name not in fixes), bases)
    basis = _basis(fixes, {name: fix.basis for name, fix in fixes.items()}) if sound == "bytes" else sound
    culprits = dict.fromkeys(chain.from_iterable(fix.culprits for fix in fixes.values()))
    fix = Correction(value, basis, all(fix.sure for fix in fixes.values()), tuple(culprits)[: NAMED + 1])
    return evidence._replace(corrected=fix)


def quoted_value(unit: Unit, value: Any, location: str, basis: Basis, given: Unit | None = None) -> Evidence | Unchecked:
    """What a value of a JSON or YAML file, which is in the unit `given` there, is as evidence."""
    if isinstance(value, dict | list):
        return Unchecked(MALFORMED, f"{location} is not a single value")
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    if unit == "text":
        return Evidence(text, f"in {location}", basis, (location,))
    try:
        number = quantity.printed(parse_number(text, given or unit), given or unit)
        if given is None:
            return Evidence(number, f"in {location}", basis, (location,), text)
        number = quantity.converted(number, unit)
    except (NotANumber, NotComputable) as error:
        return Unchecked(MALFORMED, f"{location}: {error}")
    return Evidence(number, f"in {location}, {text} as {given}", basis, (location,), shown(number.value))


def _basis(names: Iterable[str], bases: Mapping[str, Basis]) -> Basis:
    return "bytes" if all(bases.get(name) == "bytes" for name in names) else "prints"
