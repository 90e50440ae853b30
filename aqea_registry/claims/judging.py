"""Judging claims: what a claim rests on is turned into Evidence and compared with what it prints. Pure.

`resolve_result` finds the pair set that a document measured, never across revisions in silence.
"""

from __future__ import annotations

import json
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from aqea_registry.base.findings import Finding, Unchecked
from aqea_registry.claims import quantity
from aqea_registry.claims.expression import BadExpression, Expression, Reference, Term, Terms, Unreadable, evaluate
from aqea_registry.claims.ledger import Claim, Evaluation, Ledger, Verdict
from aqea_registry.claims.quantity import Quantity
from aqea_registry.documents.metrics import metric_name
from aqea_registry.documents.numbers import ULPS, NotANumber, PrintedNumber, Unit, parse_number, shown, ulps_between
from aqea_registry.project.lock import Lock, Pin
from aqea_registry.project.params import Dataset, Model, Params, known_commit
from aqea_registry.vectors.scores import Metrics

METRICS = frozenset(Metrics.__struct_fields__)
MALFORMED = "malformed"  # the reason of what is unchecked because the claim itself cannot be: also a finding
NAMED = 5  # of many names, as many are listed
# What a ratio and a count may be printed as, too.
_PLAINER: dict[Unit | None, tuple[Unit, ...]] = {"ratio": ("fraction", "number"), "count": ("number",)}

Basis = Literal["bytes", "prints"]


class Evidence(NamedTuple):
    """What a claim is compared with: a number or a text, where it comes from in words, and what it rests on."""

    value: Quantity | str
    how: str
    basis: Basis
    rests_on: tuple[str, ...] = ()
    text: str | None = None  # the number as printed there


def in_order(edges: Mapping[str, Sequence[str]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Every name after those that it rests on, and the circles: each as the names on it, in the order of resting."""
    waits = {name: len(bases) for name, bases in edges.items()}
    above: dict[str, list[str]] = {name: [] for name in edges}
    for name, bases in edges.items():
        for base in bases:
            above[base].append(name)
    order: list[str] = []
    circles: list[tuple[str, ...]] = []
    done: set[str] = set()

    def settle(ready: Iterable[str]) -> None:
        stack = list(ready)
        while stack:
            name = stack.pop()
            if name in done:
                continue
            done.add(name)
            order.append(name)
            for dependent in above[name]:
                waits[dependent] -= 1
                if not waits[dependent]:
                    stack.append(dependent)

    settle(name for name, count in waits.items() if not count)
    below = {name: iter(bases) for name, bases in edges.items()}
    for start in edges:
        path = [start]  # follow what is not settled until a name comes again
        positions = {start: 0}
        while path:
            name = path[-1]
            if name in done:
                del positions[path.pop()]
                continue
            base = next(base for base in below[name] if base not in done)
            if base in positions:
                circles.append(tuple(path[positions[base] :]))
                settle(circles[-1])
            else:
                positions[base] = len(path)
                path.append(base)
    return order, circles


def judge_claim(ledger: str, claim: Claim, evidence: Evidence | Unchecked | None) -> Verdict:
    """The verdict on one claim. `evidence` is None if the claim has none."""
    outcome = _outcome(claim, evidence)
    if isinstance(outcome, Unchecked):
        return Verdict(ledger=ledger, claim=claim, state="unchecked", reason=outcome.reason, message=outcome.message)
    return Verdict(ledger=ledger, claim=claim, **outcome)


def _outcome(claim: Claim, evidence: Evidence | Unchecked | None) -> dict[str, Any] | Unchecked:
    """The verdict's fields."""
    if claim.value is None:
        return Unchecked("illegible", f"the number cannot be read: {claim.ocr}")
    try:
        number = None if claim.unit == "text" else _printed(claim, claim.value)
    except NotANumber as error:
        return Unchecked(MALFORMED, str(error))
    if evidence is None:
        return {"state": "unbound", "message": "the claim has no evidence"}
    if isinstance(evidence, Unchecked):
        return evidence
    value = evidence.value
    if isinstance(value, str) != (number is None):
        kind = "a text" if isinstance(value, str) else "a number"
        return Unchecked(MALFORMED, f"{evidence.how}: {kind} against the unit {claim.unit}")
    if isinstance(value, str) or number is None:
        state, message = (
            "holds" if claim.value == value else "contradicted",
            f"{str(value)[:200]!r}; printed {claim.value[:200]!r}",
        )
        outcome = {"state": state, "message": f"{evidence.how}: {message}", "recomputed": value}
    elif value.unit not in (None, claim.unit) and claim.unit not in _PLAINER.get(value.unit, ()):
        return Unchecked(MALFORMED, f"{evidence.how}: the units differ: {claim.unit} against {value.unit}")
    else:
        outcome = _compare_numbers(claim, number, evidence, value)
    return {**outcome, "ground": evidence.basis, "rests_on": evidence.rests_on}


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


def derived(expression: Expression, ledger: str, own: str, terms: Terms, bases: Mapping[str, Basis]) -> Evidence | Unchecked:
    """What a derived claim's expression gives over the printed values of others, whose `bases` are known."""
    rests_on: dict[str, None] = {}

    def lookup(reference: Reference) -> list[Term]:
        names = terms.find(reference, ledger, own)
        rests_on.update(dict.fromkeys(names))
        return [terms.term(name) for name in names]

    try:
        value = evaluate(expression, lookup)
    except BadExpression as error:
        return Unchecked(MALFORMED, str(error))
    except Unreadable as error:
        return Unchecked("depends", f"{error} has no value that can be read")
    return Evidence(value, "computed from the printed values", _basis(rests_on, bases), tuple(rests_on))


def quoted_claim(unit: Unit, name: str, terms: Terms, bases: Mapping[str, Basis]) -> Evidence | Unchecked:
    """What the claim that is quoted prints."""
    other = terms.claim(name)
    if other.unit != unit:
        return Unchecked(MALFORMED, f"the units differ: {unit} against {other.unit} of {name}")
    value = other.value if unit == "text" else terms.term(name).value
    if value is None:
        return Unchecked("depends", f"{name} has no value that can be read")
    return Evidence(value, f"printed as {name}", _basis((name,), bases), (name,), other.value)


def quoted_value(unit: Unit, value: Any, location: str, basis: Basis) -> Evidence | Unchecked:
    """What a value of a JSON or YAML file is as evidence."""
    if isinstance(value, dict | list):
        return Unchecked(MALFORMED, f"{location} is not a single value")
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    if unit == "text":
        return Evidence(text, f"in {location}", basis, (location,))
    try:
        return Evidence(quantity.printed(parse_number(text, unit), unit), f"in {location}", basis, (location,), text)
    except NotANumber as error:
        return Unchecked(MALFORMED, f"{location}: {error}")


def verdict_findings(verdicts: Iterable[Verdict]) -> Iterator[Finding]:
    """Findings for each claim that is contradicted or malformed, and one per ledger for those that are unbound."""
    unbound: dict[str, list[str]] = {}
    for verdict in verdicts:
        claim, subject = verdict.claim, f"{verdict.ledger}: {verdict.claim.id}"
        if verdict.state == "contradicted":
            message = f"{claim.at}: {verdict.message}"
            yield Finding("claim-contradicted", subject, message, verdict.recomputed, claim.text)
        elif verdict.reason == MALFORMED:
            yield Finding("malformed", subject, verdict.message)
        elif verdict.state == "unbound":
            unbound.setdefault(verdict.ledger, []).append(claim.id)
    for ledger, ids in unbound.items():
        more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
        message = f"{len(ids)} claims have no evidence: {', '.join(ids[:NAMED])}{more}"
        yield Finding("claim-unbound", ledger, message)


def counts(verdicts: Iterable[Verdict]) -> dict[str, Counter[str]]:
    """By ledger, how many claims are in each state; the last entry, `all`, is their sum."""
    by_ledger: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        by_ledger.setdefault(verdict.ledger, Counter())[verdict.state] += 1
    return {**by_ledger, "all": sum(by_ledger.values(), Counter())}


def reasons(verdicts: Iterable[Verdict]) -> list[tuple[str, int, str]]:
    """Why claims are unchecked: the reason, the number of claims, and the first one's message; most frequent first."""
    unchecked: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.state == "unchecked":
            unchecked.setdefault(verdict.reason or "", []).append(verdict)
    ordered = sorted(unchecked.items(), key=lambda item: -len(item[1]))
    return [(reason, len(group), f"{group[0].name}: {group[0].message}") for reason, group in ordered]


def _printed(claim: Claim, value: str) -> PrintedNumber:
    """The claim's number with what it stands for: as printed, or as its tolerance says. Raises NotANumber."""
    number = parse_number(value, claim.unit, as_printed=claim.tolerance == "printed")
    if claim.tolerance is None or claim.tolerance == "printed":
        return number
    half = parse_number(claim.tolerance, "number").value
    if half < 0:
        raise NotANumber(f"the tolerance {claim.tolerance} is below zero")
    return number._replace(half=half)


def _compare_numbers(claim: Claim, number: PrintedNumber, evidence: Evidence, value: Quantity) -> dict[str, Any]:
    difference = number.value - value.value
    doubt = value.high - value.value if difference > 0 else value.value - value.low
    # A percentage is rounded to a float64 before its digits are: what prints alike is the same, however many digits there are.
    alike = number.float64 and Fraction(repr(float(value.value))) == number.value
    # Two prints of one number must do more than touch: 66.40 and 66.41 are alike for one value alone, rounded either way.
    quoted = evidence.text is not None
    meet = operator.lt if quoted else operator.le
    holds = alike or not difference or (meet(number.low, value.high) and meet(value.low, number.high))
    recomputed = evidence.text or shown(value.value)
    allowed = f"{shown(number.half + doubt)} ({_why(claim, number)}{', and the rounding of what it rests on' if doubt else ''})"
    off = f"off by {shown(abs(difference))}"
    same = "equal" if not difference else "prints alike" if alike else ""
    less = "less than " if quoted and number.half + doubt else ""
    words = same or (f"{off}, within {allowed}" if holds else f"{off}, tolerated is {less}{allowed}")
    if number.float64:
        ulps = ulps_between(number.value, value.value)
        words += f", {ulps} ulp away" if ulps else ", the same float64"
    return {
        "state": "holds" if holds else "contradicted",
        "message": f"{evidence.how}: {recomputed}; printed {claim.text}; {words}",
        "recomputed": recomputed,
        "difference": shown(difference),
        "tolerance": shown(number.half + doubt),
    }


def _why(claim: Claim, number: PrintedNumber) -> str:
    if claim.tolerance not in (None, "printed"):
        return f"stated: {claim.reason}"
    if not number.half:
        return "counted"
    return f"{ULPS} ulp of float64" if number.float64 and claim.tolerance is None else "half of the last digit"


def _basis(names: Iterable[str], bases: Mapping[str, Basis]) -> Basis:
    return "bytes" if all(bases.get(name) == "bytes" for name in names) else "prints"


def basis_of(verdict: Verdict) -> Basis:
    """What those rest on that rest on this claim's print: on bytes only if bytes confirm it."""
    return "bytes" if verdict.state == "holds" and verdict.ground == "bytes" else "prints"


class Resolved(NamedTuple):
    """The pair set of the run that a result means, and a note on it."""

    key: str
    note: str


def resolve_results(ledger: Ledger, params: Params, lock: Lock) -> dict[str, Resolved | Unchecked]:
    """What each result of a ledger was measured on."""
    return {key: resolve_result(result, params, lock) for key, result in ledger.results.items()}


def resolve_result(result: Evaluation, params: Params, lock: Lock) -> Resolved | Unchecked:
    """The pair set of this run that the result was measured on, or why there is none."""
    if result.revision == "None" or (result.revision is None and result.dataset not in params.datasets):
        message = f"the document names no revision of {result.dataset}, so it does not say which rows it scored"
        return Unchecked("unpinned", message)
    datasets = _datasets(result, params)
    if not datasets:
        return Unchecked("unknown-dataset", _unknown_dataset(result, params))
    models = _models(result, params)
    if len(models) != 1:
        several = f"the catalogue has several models of it, name one: {', '.join(models)}"
        return Unchecked("unknown-model", f"{result.model}: {several if models else 'the catalogue has no such model'}")
    commits = {name: _commit(params.datasets[name], lock.datasets.get(name)) for name in datasets}
    fitting = [name for name in datasets if result.revision in (None, commits[name])]
    if not fitting:
        here = ", ".join(f"{_commit_text(commit, lock.get(name))} ({name})" for name, commit in commits.items())
        return Unchecked("other-revision", f"the document names revision {result.revision} of {result.dataset}; here is {here}")
    model = models[0]
    commit = _commit(params.models[model], lock.models.get(model))
    if result.model_revision not in (None, commit):
        message = f"the document names revision {result.model_revision} of {result.model}"
        return Unchecked("other-revision", f"{message}; here is {_commit_text(commit, lock.get(model))} ({model})")
    for key, pair in params.run.pairs.items():
        if pair.dataset in fitting and pair.model == model:
            silent = result.model_revision is None and commit is not None
            compared = _commit_text(commit, lock.get(model))
            return Resolved(key, f" (the document names no revision of the model; compared is {compared})" if silent else "")
    return _not_made(fitting, model, params, lock)


def _datasets(result: Evaluation, params: Params) -> list[str]:
    """A dataset by its name in the catalogue, or all that are this config and split of the repository."""
    if result.dataset in params.datasets:
        return [result.dataset]
    wanted = (result.dataset, result.config, result.split)
    return [name for name, entry in params.datasets.items() if (entry.repo, entry.config, entry.split_name) == wanted]


def _models(result: Evaluation, params: Params) -> list[str]:
    """A model by its name in the catalogue or, whole and not cut, by its repository."""
    if result.model in params.models:
        return [result.model]
    return [name for name, entry in params.models.items() if entry.repo == result.model and entry.full_dimension is None]


def _unknown_dataset(result: Evaluation, params: Params) -> str:
    splits = sorted(
        {f"{entry.config}/{entry.split_name}" for entry in params.datasets.values() if entry.repo == result.dataset}
    )
    if not splits:
        return f"the catalogue has no dataset {result.dataset}"
    return f"the catalogue has {result.dataset}, but not {result.config}/{result.split}; it has {', '.join(splits[:5])}"


def _commit(entry: Dataset | Model, pin: Pin | None) -> str | None:
    """The commit that stands for the entry here: the pin's, else the one that the catalogue asks for."""
    return pin.commit if pin is not None else known_commit(entry)


def _commit_text(commit: str | None, pin: Pin | None) -> str:
    return pin.commit_text() if pin is not None and pin.commit else commit or "no revision"


def _not_made(datasets: Sequence[str], model: str, params: Params, lock: Lock) -> Unchecked:
    """Why the run has no such pair set: params.yaml does not name it, or it cannot be made yet."""
    runs = [
        name
        for name, run in params.runs.items()
        if any(pair.dataset in datasets and pair.model == model for pair in run.pairs.values())
    ]
    pins: list[tuple[str, Mapping[str, Pin]]] = [*((name, lock.datasets) for name in datasets), (model, lock.models)]
    unresolved = [name for name, group in pins if name not in group or not group[name].files]
    what = f"{' or '.join(datasets)} under {model}"
    if runs and unresolved:
        first = unresolved[0]
        message = f"the run {runs[0]!r} has {what}, but {first} has no digests yet; run: aqea-registry pin {first}"
        return Unchecked("unresolved", message)
    there = f"the run {runs[0]!r} has it: set 'run' in params.yaml and run: dvc repro" if runs else "no run has it"
    return Unchecked("no-pair-set", f"this run has no pair set of {what}; {there}")
