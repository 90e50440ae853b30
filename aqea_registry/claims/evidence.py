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

from aqea_registry.base.findings import Unchecked, listed, suggestion
from aqea_registry.claims import quantity
from aqea_registry.claims.expression import BadExpression, Expression, Reference, Term, Terms, Unreadable, evaluate
from aqea_registry.claims.ledger import Claim, Evaluation
from aqea_registry.claims.quantity import Basis, Correction, NotComputable, Quantity
from aqea_registry.claims.resolving import Resolved
from aqea_registry.documents.metrics import EARLIER, OF_PAIRS, TRAINED, is_score, metric_name
from aqea_registry.documents.numbers import NotANumber, Unit, parse_number, shown
from aqea_registry.project.artefact import TaskScores
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
    scores: Mapping[str, Metrics | TaskScores | Unchecked],
) -> Evidence | Unchecked:
    """What a pair set's bytes give for a measured claim of a ledger with these results, or the result of a vector set says."""
    assert claim.measured is not None
    result, metric = claim.measured.result, claim.measured.metric
    if result not in results:
        return Unchecked(MALFORMED, f"the ledger has no result {result!r}")
    name, resolved = metric_name(metric), bound[result]
    wrong = Unchecked(MALFORMED, f"{metric} is a fraction; it can be printed as percent or fraction, not as {claim.unit}")
    unfit = claim.unit not in ("percent", "fraction")
    if name in METRICS and unfit:
        return wrong
    if isinstance(resolved, Unchecked):
        return resolved
    score = scores[resolved.key]
    if isinstance(score, Unchecked):
        return score
    if isinstance(score, TaskScores):
        fits = not unfit or (claim.unit == "number" and not is_score(name))
        return _of_result(claim.unit, metric, results[result], resolved, score) if fits else wrong
    if (name := OF_PAIRS.get(name, name)) not in METRICS:
        way = "the task's entry with mteb: in params.yaml, and it in vectors of the run in the place of pairs"
        message = f"{metric} is not one of the six scores that a pair set gives; run: dvc repro, with {way}"
        return Unchecked("not-recomputed", message)
    if unfit:
        return wrong
    value = quantity.converted(quantity.exact(Fraction(getattr(score, name)), "fraction"), claim.unit)
    return Evidence(value, f"recomputed from {resolved.key}{resolved.note}", "bytes", (resolved.key,))


def _of_result(unit: Unit, metric: str, wanted: Evaluation, resolved: Resolved, result: TaskScores) -> Evidence | Unchecked:
    """What a result says of a metric. Of a task that trains something the libraries decide the last digits."""
    key, name = resolved.key, metric_name(metric)
    known = {metric_name(called): value for called, value in result.numbers(wanted.split, wanted.config).items()}
    if not known:
        there = listed([f"{split}/{subset}" for split, subsets in result.scores.items() for subset in subsets], NAMED)
        return Unchecked("not-recomputed", f"the result {key} has {there}, and not {wanted.split}/{wanted.config}")
    value = known.get(name, known.get(EARLIER.get(name, "")))
    if value is None:
        near = suggestion(name, known, f"it has {listed([*known], NAMED)}")
        return Unchecked("not-recomputed", f"{result.task} has no {metric} in the result {key}; {near}")
    own: Unit = "fraction" if is_score(name) else "number"
    trained = " (it trains: with other libraries its last digits may be others)" * (result.type in TRAINED)
    how = f"read from the result {key}{resolved.note}{trained}, which verify --full recomputes"
    return Evidence(quantity.converted(quantity.exact(Fraction(repr(value)), own), unit), how, "bytes", (key,))


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
