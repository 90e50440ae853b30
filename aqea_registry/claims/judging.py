"""Judging claims: what a claim prints is compared with its Evidence, and the verdicts are counted. Pure."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

import msgspec

from aqea_registry.base.findings import Finding, Unchecked, listed
from aqea_registry.base.progress import plural
from aqea_registry.claims.evidence import MALFORMED, NAMED, Evidence
from aqea_registry.claims.expression import Basis, Correction, NotComputable, Quantity, common, printed_number
from aqea_registry.claims.ledger import Claim, Verdict
from aqea_registry.documents.numbers import ULPS, NotANumber, PrintedNumber, parse_number, printed_like, shown, ulps_between

STALE = "stale"  # the reason of what held before its document was changed
DOUBTFUL = "contradicted-term"  # the reason of what agrees only with a term that other prints contradict
RUN = "; run: "  # what is before the command at the end of a message
_STATES = ("contradicted", "holds")  # by whether it holds
SHORT = 100  # characters of an expression that a message repeats
# What a bound says that the evidence is to the print.
_BOUNDS: dict[str | None, Callable[[Any, Any], bool]] = dict(
    zip(("at-least", "over", "at-most", "under"), (operator.ge, operator.gt, operator.le, operator.lt), strict=True)
)


def in_order(edges: Mapping[str, Sequence[str]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Every name after those that it rests on, and the circles: each as the names on it, in the order of resting."""
    order: list[str] = []
    circles: list[tuple[str, ...]] = []
    done: set[str] = set()
    for start in edges:
        path = {} if start in done else {start: iter(edges[start])}  # each name on the way down, with what it still waits for
        while path:
            name = next(reversed(path))
            base = next((base for base in path[name] if base not in done), None)
            if base is not None and base not in path:
                path[base] = iter(edges[base])
                continue
            settled = [path.popitem()[0]]
            while base is not None and settled[-1] != base:
                settled.append(path.popitem()[0])
            if base is not None:
                circles.append(tuple(reversed(settled)))
            done.update(settled)
            order += settled
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
        number = None if claim.unit == "text" else _printed(claim)
    except NotANumber as error:
        advice = "; write bound: over, under, ..." if claim.value.startswith(("<", ">", "≤", "≥")) else ""
        return Unchecked(MALFORMED, f"{error}{advice}")
    if evidence is None:
        return {"state": "unbound", "message": "the claim has no evidence"}
    if isinstance(evidence, Unchecked):
        return evidence
    outcome = _compared(claim, number, evidence)
    fix = evidence.corrected
    if fix is None or isinstance(outcome, Unchecked):
        return outcome
    corrected = evidence._replace(value=fix.value, how="computed from the recomputed terms", basis=fix.basis, text=None)
    return _weighed(outcome, _compared(claim, number, corrected), fix)


def _compared(claim: Claim, number: PrintedNumber | None, evidence: Evidence) -> dict[str, Any] | Unchecked:
    value = evidence.value
    if isinstance(value, str) != (number is None):
        kind = "a text" if isinstance(value, str) else "a number"
        return Unchecked(MALFORMED, f"{evidence.how}: {kind} against the unit {claim.unit}")
    if isinstance(value, str) or number is None:
        message = f"{evidence.how}: {str(value)[:200]!r}; printed {claim.text[:200]!r}"
        outcome: dict[str, Any] = {"state": _STATES[claim.value == value], "message": message, "recomputed": value}
    else:
        try:
            common(claim.unit, "fraction" if (claim.unit, value.unit) == ("fraction", "ratio") else value.unit)
        except NotComputable as error:
            return Unchecked(MALFORMED, f"{evidence.how}: {error}")
        outcome = (_compare_bound if claim.bound else _compare_numbers)(claim, number, evidence, value)
        if outcome["state"] == "contradicted" and claim.derived is not None and evidence.basis == "prints":
            outcome["message"] += "; bytes confirm not all of its terms: one of them may be the wrong number"
    return {**outcome, "ground": evidence.basis, "rests_on": evidence.rests_on}


def _weighed(plain: dict[str, Any], corrected: dict[str, Any] | Unchecked, fix: Correction) -> dict[str, Any]:
    """The outcome from the terms as printed against that from the corrected ones, which decides where bytes correct them."""
    if isinstance(corrected, Unchecked):
        return plain
    printed, right = plain["state"] == "holds", corrected["state"] == "holds"
    first = corrected if right or fix.sure else plain
    agrees = ("neither", "the recomputed ones alone", "those as printed alone", "both")[2 * printed + right]
    message = f"{first['message']}; the terms as printed give {plain['recomputed']}, recomputed {corrected['recomputed']}"
    message += f": the print agrees with {agrees}; contradicted is {', '.join(fix.culprits)}"
    if printed and not right and not fix.sure:
        return {"state": "unchecked", "reason": DOUBTFUL, "message": message, "rests_on": plain["rests_on"]}
    return {**first, "state": _STATES[right], "message": message}


def correction(verdict: Verdict, evidence: Evidence | Unchecked | None) -> Correction | None:
    """What a contradicted claim should print: its evidence, rounded to its digits; None if it may be right in another unit."""
    wrong = verdict.state == "contradicted"
    if not (wrong or verdict.reason == DOUBTFUL) or not isinstance(evidence, Evidence):
        return None
    claim, fix = verdict.claim, evidence.corrected
    value = fix.value if fix is not None and (fix.sure or not wrong) else evidence.value
    if isinstance(value, Quantity) and _factor(claim, _printed(claim), value):
        return None
    if isinstance(value, Quantity):
        number, last = printed_number(claim), 2 * printed_number(claim, as_printed=True).half
        middle = round(value.value / last) * last if last else value.value
        value = Quantity(middle, min(middle - number.half, value.low), max(middle + number.half, value.high), claim.unit)
    own = f"{verdict.name} (printed {claim.text}, recomputed {verdict.recomputed})"
    culprits = (*(fix.culprits if fix is not None else ()), *([own] if wrong else []))[:NAMED]
    return Correction(value, verdict.ground or "prints", fix.sure if fix is not None else evidence.basis == "bytes", culprits)


def filled(verdict: Verdict, evidence: Evidence | Unchecked | None) -> Claim | None:
    """A contradicted claim with what its evidence gives, as it was printed; None for others, and where that cannot be said.

    It is measured, derived or a repetition within its ledger, and neither a bound nor spelled otherwise than it is read.
    """
    claim, fix = verdict.claim, correction(verdict, evidence)
    elsewhere = claim.quoted is not None and ":" in (claim.quoted.claim or ":").removeprefix(f"{verdict.ledger}:")
    if verdict.state != "contradicted" or fix is None or not isinstance(fix.value, Quantity) or elsewhere:
        return None
    if claim.bound or claim.printed or claim.ocr:
        return None
    return msgspec.structs.replace(claim, value=printed_like(claim.value or "", fix.value.value))


def verdict_findings(verdicts: Iterable[Verdict], documents: Mapping[str, str], *, strict: bool = False) -> Iterator[Finding]:
    """Findings for each claim that is contradicted or malformed, and one per ledger for those that are unbound.

    If `strict`, for each that is unbound or unchecked, too. `documents` are the ledgers' documents, in which the findings lie.
    """
    unbound: dict[str, list[str]] = {}
    for verdict in verdicts:
        claim, subject = verdict.claim, f"{verdict.ledger}: {verdict.claim.id}"
        place, message = (documents.get(verdict.ledger), claim.at.line), f"{claim.at}: {verdict.message}"
        if verdict.state == "contradicted":
            yield Finding("claim-contradicted", subject, message, verdict.recomputed, claim.text, *place)
        elif verdict.reason == MALFORMED:
            yield Finding("malformed", subject, verdict.message)
        elif verdict.state == "unbound" and strict:
            yield Finding("claim-unbound", subject, message, None, claim.text, *place)
        elif verdict.state == "unbound":
            unbound.setdefault(verdict.ledger, []).append(claim.id)
        elif verdict.state == "unchecked" and strict and verdict.reason != STALE:  # of that there is one for the document
            yield Finding("broken-link", subject, f"unchecked, {verdict.reason}: {message}", None, claim.text, *place)
    for ledger, ids in unbound.items():
        message = f"{plural(len(ids), 'claim has', 'claims have')} no evidence: {listed(ids, NAMED)}"
        yield Finding("claim-unbound", ledger, message, file=documents.get(ledger))


def counts(verdicts: Iterable[Verdict]) -> dict[str, Counter[str]]:
    """By ledger, how many claims are in each state, `stale`, of a tolerance, and resting on a sentence only; then their sum."""
    by_ledger: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        count, quoted = by_ledger.setdefault(verdict.ledger, Counter()), verdict.claim.quoted
        count.update(("claims", verdict.state, *(["stale"] if verdict.reason == STALE else [])))
        count.update(["tolerance"] if verdict.claim.tolerance not in (None, "printed") else [])
        count.update(["sentence_only"] if quoted is not None and quoted.source is not None else [])
    return {**by_ledger, "all": sum(by_ledger.values(), Counter())}


def reasons(verdicts: Iterable[Verdict]) -> list[tuple[str, int, str]]:
    """Why claims are unchecked: the reason, the number of claims, and the first one's message; most frequent first."""
    unchecked: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.state == "unchecked":
            unchecked.setdefault(verdict.reason or "", []).append(verdict)
    ordered = sorted(unchecked.items(), key=lambda item: -len(item[1]))
    return [(reason, len(group), f"{group[0].name}: {group[0].message}") for reason, group in ordered]


def outdated(verdict: Verdict, message: str) -> Verdict:
    """The verdict on a claim that the document may not print any more, as the message says: it does not hold."""
    if verdict.state != "holds":
        return verdict
    nothing = {"ground": None, "recomputed": None, "difference": None, "tolerance": None}
    return msgspec.structs.replace(verdict, state="unchecked", reason=STALE, message=message, **nothing)


def _printed(claim: Claim) -> PrintedNumber:
    """The claim's number with what it stands for: as printed, or as its tolerance says. Raises NotANumber."""
    number = printed_number(claim, as_printed=claim.tolerance == "printed")
    if claim.tolerance is None or claim.tolerance == "printed":
        return number
    half = parse_number(claim.tolerance, "number").value
    if half < 0:
        raise NotANumber(f"the tolerance {claim.tolerance} is below zero")
    return number._replace(half=half)


def _compare_bound(claim: Claim, number: PrintedNumber, evidence: Evidence, value: Quantity) -> dict[str, Any]:
    recomputed, holds = evidence.text or shown(value.value), _agree(claim, number, value)
    alone = "" if _BOUNDS[claim.bound](value.value, number.value) else ", by the rounding of what it rests on"
    missed = f"it is not, by {shown(abs(number.value - value.value))}{_way(claim, number, value)}"
    answer = f"so it {'may be' if alone else 'is'}{alone}" if holds else missed
    message = f"{evidence.how}: {recomputed}; printed {str(claim.bound).replace('-', ' ')} {claim.text}; {answer}"
    return {"state": _STATES[holds], "message": message, "recomputed": recomputed}


def _compare_numbers(claim: Claim, number: PrintedNumber, evidence: Evidence, value: Quantity) -> dict[str, Any]:
    difference = number.value - value.value
    doubt = value.high - value.value if difference > 0 else value.value - value.low
    # A percentage is rounded to a float64 before its digits are: what prints alike is the same, however many digits there are.
    alike = number.float64 and Fraction(repr(float(value.value))) == number.value
    holds = alike or _agree(claim, number, value)
    recomputed = evidence.text or shown(value.value)
    allowed = f"{shown(number.half + doubt)} ({_why(claim, number)}{', and the rounding of what it rests on' if doubt else ''})"
    off = f"off by {shown(abs(difference))}"
    same = "equal" if not difference else "prints alike" if alike else ""
    less = "less than " if claim.quoted is not None and number.half + doubt else ""
    words = same or (f"{off}, within {allowed}" if holds else f"{off}, tolerated is {less}{allowed}")
    if number.float64:
        ulps = ulps_between(number.value, value.value)
        words += f", {ulps} ulp away" if ulps else ", the same float64"
    return {
        "state": _STATES[holds],
        "message": f"{evidence.how}: {recomputed}; printed {claim.text}; {words}{'' if holds else _way(claim, number, value)}",
        "recomputed": recomputed,
        "difference": shown(difference),
        "tolerance": shown(number.half + doubt),
    }


def _agree(claim: Claim, number: PrintedNumber, value: Quantity) -> bool:
    """Whether a print and what it is compared with may be the same number, or may be as the print's bound says."""
    if claim.bound is not None:
        return _BOUNDS[claim.bound](value.high if claim.bound in ("at-least", "over") else value.low, number.value)
    # Two prints of one number must do more than touch: 66.40 and 66.41 are alike for one value alone, rounded either way.
    meet = operator.lt if claim.quoted is not None else operator.le
    return number.value == value.value or (meet(number.low, value.high) and meet(value.low, number.high))


def _factor(claim: Claim, number: PrintedNumber, value: Quantity) -> Fraction | None:
    """100 or 1/100, if the evidence times that agrees with the print."""
    for factor in (Fraction(100), Fraction(1, 100)):
        if 2 * abs(value.value * factor - number.value) <= abs(number.value):
            scaled = Quantity(value.value * factor, value.low * factor, value.high * factor, value.unit)
            if _agree(claim, number, scaled):
                return factor
    return None


def _way(claim: Claim, number: PrintedNumber, value: Quantity) -> str:
    """How a contradicted claim would agree, where that is plain: by a factor of 100, or with zeros that are not digits."""
    if factor := _factor(claim, number, value):
        return f"; {'100 times' if factor > 1 else 'a hundredth of'} that would agree: {_rescaled(claim, factor > 1)}"
    if (claim.value or "").endswith("0") and (claim.bound, claim.tolerance, claim.digits) == (None, None, None):
        digits = len(re.sub(r"\D", "", claim.value or "").strip("0"))
        with suppress(NotANumber):
            if _agree(claim, printed_number(msgspec.structs.replace(claim, digits=digits)), value):
                bound = "over" if value.value > number.value else "under"
                return f"; if its last zeros are not digits, write digits: {digits}; if the text says {bound}, bound: {bound}"
    return ""


def _rescaled(claim: Claim, larger: bool) -> str:
    """What to write where 100 times the evidence would agree, or a hundredth of it."""
    printed, there = ("percent", "fraction") if larger else ("fraction", "percent")
    if claim.measured is not None:
        return f"give the claim unit: {printed}"
    if claim.quoted is not None and claim.quoted.file is not None:
        also = "" if claim.unit == printed or claim.quoted.unit else f", and give the claim unit: {printed}"
        return f"write unit: {there} beside at{also}"
    expression = claim.derived or f"[{claim.quoted.claim if claim.quoted else ''}]"
    inner = f"({expression})" if len(expression) <= SHORT else "(...)"
    return f"write derived: {f'100 * {inner}' if larger else f'{inner} / 100'}"


def _why(claim: Claim, number: PrintedNumber) -> str:
    if claim.tolerance not in (None, "printed"):
        return f"stated: {claim.reason}"
    if not number.half:
        return "counted"
    last = f"half of the last of {claim.digits} digits" if claim.digits else "half of the last digit"
    return f"{ULPS} ulp of float64" if number.float64 and claim.tolerance is None else last


def basis_of(verdict: Verdict) -> Basis:
    """What those rest on that rest on this claim's print: on bytes only if bytes confirm it."""
    return "bytes" if verdict.state == "holds" and verdict.ground == "bytes" else "prints"


def commands(verdicts: Iterable[Verdict]) -> dict[str, list[str]]:
    """The claims that each command would make checkable, by the command that their messages end in; most first."""
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        _, run, command = verdict.message.partition(RUN)
        if verdict.state == "unchecked" and run:
            found.setdefault(command, []).append(verdict.name)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
