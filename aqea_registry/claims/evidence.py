"""Evidence: what a claim rests on, as a value that its print is compared with. Pure.

Where a term of a claim is contradicted, the evidence is also computed with that term printed as its own evidence says (a
Correction), so that a right number is not called wrong for the sake of a wrong one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from aqea_registry.base.findings import Unchecked
from aqea_registry.claims import quantity
from aqea_registry.claims.expression import BadExpression, Expression, Reference, Term, Terms, Unreadable, evaluate
from aqea_registry.claims.ledger import Claim, Evaluation
from aqea_registry.claims.quantity import Basis, Correction, NotComputable, Quantity
from aqea_registry.claims.resolving import Resolved
from aqea_registry.documents.metrics import metric_name
from aqea_registry.documents.numbers import NotANumber, Unit, parse_number, shown
from aqea_registry.vectors.scores import Metrics

METRICS = frozenset(Metrics.__struct_fields__)
MALFORMED = "malformed"  # the reason of what is unchecked because the claim itself cannot be: also a finding
NAMED = 5  # of many names, as many are listed


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


def derived(expression: Expression, ledger: str, own: str, terms: Terms) -> Evidence | Unchecked:
    """What a derived claim's expression gives over the printed values of others."""
    found: dict[str | None, Term] = {}

    def lookup(reference: Reference) -> list[Term]:
        named = [terms.term(name) for name in terms.find(reference, ledger, own)]
        found.update((term.name, term) for term in named)
        return named

    try:
        value = evaluate(expression, lookup)
    except BadExpression as error:
        return Unchecked(MALFORMED, str(error))
    except Unreadable as error:
        return Unchecked("depends", f"{error} has no value that can be read")
    again = partial(evaluate, expression, lambda reference: [term.corrected() for term in lookup(reference)])
    return _resting(Evidence(value, "computed from the printed values", "prints"), tuple(found.values()), again)


def quoted_claim(unit: Unit, name: str, terms: Terms) -> Evidence | Unchecked:
    """What the claim that is quoted prints."""
    text, term = terms.claim(name).value, terms.term(name)
    if term.bound is not None or (unit == "text") != (term.unit == "text"):
        return Unchecked(MALFORMED, f"{name} is {'a bound' if term.bound else f'a {term.unit}'}, not what a {unit} can quote")
    value = text if unit == "text" else term.value
    if value is None:
        return Unchecked("depends", f"{name} has no value that can be read")
    again = partial(getattr, term.correction, "value")
    return _resting(Evidence(value, f"printed as {name}", "prints", text=text), (term,), again)


def _resting(evidence: Evidence, terms: Sequence[Term], again: Callable[[], Quantity | str]) -> Evidence:
    """The evidence with what it rests on; `again` computes it from corrected terms, where some are contradicted."""
    basis: Basis = "bytes" if all(term.basis == "bytes" for term in terms) else "prints"
    evidence = evidence._replace(basis=basis, rests_on=tuple(str(term.name) for term in terms))
    fixes = [term.correction for term in terms if term.correction is not None]
    with suppress(BadExpression):
        if fixes and (value := again()) != evidence.value:
            basis = "bytes" if all((term.correction or term).basis == "bytes" for term in terms) else "prints"
            culprits = tuple(dict.fromkeys(chain.from_iterable(fix.culprits for fix in fixes)))[:NAMED]
            return evidence._replace(corrected=Correction(value, basis, all(fix.sure for fix in fixes), culprits))
    return evidence


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
