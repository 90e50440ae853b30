"""The judge: printed against evidence, and why some evidence is none."""

from __future__ import annotations

import random
from collections.abc import Mapping
from fractions import Fraction as F
from typing import Any

import msgspec
import pytest

from aqea_registry.base.findings import Unchecked
from aqea_registry.base.strict import NoSuchValue, follow
from aqea_registry.claims.evidence import MOST, Evidence, Resolved, Terms, measured, quoted_claim, quoted_value
from aqea_registry.claims.expression import BadExpression, Quantity, Reference
from aqea_registry.claims.judging import (
    basis_of,
    counts,
    in_order,
    judge_claim,
    reasons,
    verdict_findings,
)
from aqea_registry.claims.ledger import At, Claim, Document, Evaluation, Ledger, Measurement, Quotation, Verdict
from aqea_registry.documents.numbers import Unit
from aqea_registry.vectors.scores import Metrics


def claim(value: str | None = "82.03", unit: str = "percent", **more: Any) -> Claim:
    entry = {"id": "x", "value": value, "unit": unit, "at": At(table="T", row="r", line=7), **more}
    return msgspec.convert(entry, Claim)


def known(value: str, below: str = "0", above: str = "0", unit: Any = "percent") -> Evidence:
    return Evidence(Quantity(F(value), F(value) - F(below), F(value) + F(above), unit), "recomputed from p", "bytes", ("p",))


# The claim, what its evidence gives, and the verdict: state, difference, tolerance, and what the message says.
JUDGED: dict[str, tuple[Claim, Evidence, tuple[str, str | None, str | None, str]]] = {
    "equal": (claim(), known("82.03"), ("holds", "0", "0.005", "recomputed from p: 82.03; printed 82.03; equal")),
    "rounded down": (claim(), known("82.034999"), ("holds", "-0.004999", "0.005", "within 0.005 (half of the last digit)")),
    "rounded up": (claim(), known("82.025"), ("holds", "0.005", "0.005", "off by 0.005, within")),
    "cut, not rounded": (claim(), known("82.0399"), ("contradicted", "-0.0099", "0.005", "tolerated is 0.005")),
    "a digit off": (claim(), known("82.02"), ("contradicted", "0.01", "0.005", "off by 0.01, tolerated is 0.005 (half of")),
    "doubt on the near side": (claim(), known("82.02", "0", "0.005"), ("holds", "0.01", "0.01", "and the rounding of what")),
    "doubt on the far side": (claim(), known("82.02", "0.005", "0"), ("contradicted", "0.01", "0.005", "tolerated")),
    "counted": (claim("1,001", "count"), known("1000", unit="count"), ("contradicted", "1", "0", "tolerated is 0 (counted)")),
    "a stated tolerance": (
        claim(tolerance="0.02", reason="other rows"),
        known("82.05"),
        ("holds", "-0.02", "0.02", "within 0.02 (stated: other rows)"),
    ),
    "a stated tolerance of nothing": (
        claim(tolerance="0", reason="exact"),
        known("82.0300001"),
        ("contradicted", "-1e-07", "0", "stated: exact"),
    ),
    "a float64": (
        claim("82.03246731235654"),
        known("82.03246731235655"),
        ("holds", "-1e-14", "5.684341886080802e-14", "printed 82.03246731235654; prints alike, the same float64"),
    ),
    "a float64, 2 ulp": (
        claim("82.03246731235654"),
        known("82.03246731235658"),
        ("holds", "-4e-14", "5.684341886080802e-14", ", 2 ulp away"),
    ),
    "a float64, as printed": (
        claim("82.03246731235655", tolerance="printed", reason="our own"),
        known("82.03246731235654"),
        ("contradicted", "1e-14", "5e-15", "tolerated is 5e-15 (half of the last digit), the same float64"),
    ),
    "a float64 that is further from its digits than half of the last": (
        claim("49.54350870919409", tolerance="printed", reason="our own"),
        known(str(F(0.49543508709194095) * 100)),
        ("holds", "-5.107619659756892e-15", "5e-15", "prints alike, the same float64"),
    ),
    "a ratio as a fraction": (claim("0.50", "fraction"), known("1/2", unit="ratio"), ("holds", "0", "0.005", "equal")),
    "a rank as a number": (claim("2", "number"), known("2", unit="count"), ("holds", "0", "0.5", "equal")),
    "a bare number": (claim("82.0"), known("82", unit=None), ("holds", "0", "0.05", "equal")),
    "a text": (
        claim("mean", "text"),
        Evidence("mean", "in f", "prints"),
        ("holds", None, None, "in f: 'mean'; printed 'mean'"),
    ),
    "another text": (claim("mean", "text"), Evidence("cls", "in f", "prints"), ("contradicted", None, None, "printed 'mean'")),
    "a neighbour of what is computed": (claim("82.04"), known("82.03", "0.005", "0.005"), ("holds", "0.01", "0.01", "off by")),
    "a neighbour of what is printed": (
        claim("82.04", quoted=Quotation(claim="y")),
        Evidence(known("82.03", "0.005", "0.005").value, "printed as l:y", "prints", (), "82.03"),
        ("contradicted", "0.01", "0.01", "off by 0.01, tolerated is less than 0.01 (half of"),
    ),
    "the same with fewer digits": (
        claim("82.0"),
        Evidence(known("82.04", "0.005", "0.005").value, "printed as l:y", "prints", (), "82.04"),
        ("holds", "-0.04", "0.055", "within 0.055"),
    ),
    "more than a bound": (claim("90", bound="over"), known("90.86"), ("holds", None, None, "printed over 90; so it is")),
    "a bound itself": (claim("90", bound="over"), known("90"), ("contradicted", None, None, "over 90; it is not, by 0")),
    "a bound that is reached": (claim("90", bound="at-least"), known("90"), ("holds", None, None, "at least 90; so it is")),
    "less than a bound": (claim("90", bound="at-least"), known("89.9"), ("contradicted", None, None, "it is not, by 0.1")),
    "a bound is not rounded": (claim("90", bound="at-most"), known("90.4"), ("contradicted", None, None, "at most 90; it is")),
    "a bound within the rounding of evidence": (
        claim("90", bound="at-most"),
        known("90.04", "0.05", "0.05"),
        ("holds", None, None, "so it may be, by the rounding of what it rests on"),
    ),
    "under by the rounding alone": (
        claim("90", bound="under"),
        known("90.0", "0.05", "0.05"),
        ("holds", None, None, "printed under 90; so it may be"),
    ),
    "under what is exact": (
        claim("90", bound="under"),
        known("90"),
        ("contradicted", None, None, "printed under 90; it is not"),
    ),
    "zeros that are not digits": (
        claim("200", "ratio", digits=1),
        known("209.7", unit="ratio"),
        ("holds", "-9.7", "50", "within 50 (half of the last of 1 digits)"),
    ),
    "a zero that is a digit": (
        claim("200", "ratio", digits=2),
        known("209.7", unit="ratio"),
        ("contradicted", "-9.7", "5", "tolerated is 5 (half of the last of 2 digits)"),
    ),
    "zeros of a counted number": (
        claim("25,000", "tokens", digits=2),
        known("24744", unit="tokens"),
        ("holds", "256", "500", ""),
    ),
    "zeros that may not be digits": (
        claim("200", "ratio"),
        known("209.7", unit="ratio"),
        (
            "contradicted",
            "-9.7",
            "0.5",
            "if its last zeros are not digits, write digits: 1; if the text says over, bound: over",
        ),
    ),
    "points of a table without a unit, printed with a sign": (
        claim("4.8"),
        known("4.76", unit="number"),
        ("holds", "0.04", "0.05", "within"),
    ),
    "a percentage in a table without a unit": (claim("55.00", "number"), known("55.001"), ("holds", "-0.001", "0.005", "")),
    "a fraction in a table without a unit": (
        claim("0.55", "number"),
        known("0.551", unit="fraction"),
        ("holds", "-0.001", "0.005", ""),
    ),
    "a measured fraction that is called percent": (
        claim("0.82", measured=Measurement(result="r", metric="m")),
        known("82.03"),
        ("contradicted", "-81.21", "0.005", "; a hundredth of that would agree: give the claim unit: fraction"),
    ),
    "a derived fraction that is called percent": (
        claim(derived="mean([a], [b])"),
        known("0.8203", unit="number"),
        ("contradicted", "81.2097", "0.005", "; 100 times that would agree: write derived: 100 * (mean([a], [b]))"),
    ),
    "a quoted percentage for a fraction": (
        claim("0.82", "number", quoted=Quotation(claim="y")),
        known("82.03", unit="number"),
        ("contradicted", "-81.21", "0.005", "; a hundredth of that would agree: write derived: ([y]) / 100"),
    ),
    "a fraction of a file": (
        claim(quoted=Quotation(file="f.json")),
        known("0.8203"),
        ("contradicted", "81.2097", "0.005", "; 100 times that would agree: write unit: fraction beside at"),
    ),
    "a fraction of a file for a table without a unit": (
        claim(unit="number", quoted=Quotation(file="f.json")),
        known("0.8203", unit="number"),
        ("contradicted", "81.2097", "0.005", "write unit: fraction beside at, and give the claim unit: percent"),
    ),
    "a percentage of a file that is called a fraction there": (
        claim(quoted=Quotation(file="f.json", unit="fraction")),
        known("8203"),
        ("contradicted", "-8120.97", "0.005", "a hundredth of that would agree: write unit: percent beside at"),
    ),
    "no factor makes a zero agree": (claim("0.0"), known("0.3"), ("contradicted", "-0.3", "0.05", "half of the last digit)")),
    "another spelling is shown": (
        claim("8,200", "count", printed="8.2k"),
        Evidence(known("8000", unit="count").value, "printed as l:y", "prints", (), "8,000"),
        ("contradicted", "200", "0", "printed as l:y: 8,000; printed 8.2k; off by 200"),
    ),
}


@pytest.mark.parametrize("name", JUDGED)
def test_a_claim_is_held_to_its_evidence(name: str) -> None:
    one, evidence, (state, difference, tolerance, told) = JUDGED[name]
    verdict = judge_claim("l", one, evidence)
    assert (verdict.state, verdict.difference, verdict.tolerance) == (state, difference, tolerance), verdict.message
    assert told in verdict.message
    assert (verdict.ground, verdict.rests_on, verdict.reason) == (evidence.basis, evidence.rests_on, None)
    findings = list(verdict_findings([verdict], {}))
    assert [(one.code, one.subject, one.expected) for one in findings] == (
        [("claim-contradicted", "l: x", verdict.recomputed)] if state == "contradicted" else []
    )
    assert all(found.message.startswith("T, r, line 7: ") and found.actual == one.text for found in findings)


# What cannot be judged: its reason, and what is said.
UNJUDGED: dict[str, tuple[Claim, Evidence | Unchecked, str, str]] = {
    "illegible": (claim(None, ocr="a blot"), known("1"), "illegible", "a blot"),
    "missing": (claim(), Unchecked("no-source", "elsewhere"), "no-source", "elsewhere"),
    "nan": (claim("nan"), known("1"), "malformed", "'nan' is not a number"),
    "two dashes": (claim("--"), known("1"), "malformed", "'--' is not a number"),
    "an exponent": (claim("1e999"), known("1"), "malformed", "'1e999' is too large"),
    "a tolerance that is none": (claim(tolerance="wide", reason="r"), known("1"), "malformed", "'wide' is not a number"),
    "a tolerance below zero": (claim(tolerance="-1", reason="r"), known("1"), "malformed", "below zero"),
    "units": (claim(), known("0.8203", unit="fraction"), "malformed", "the units differ: percent against fraction"),
    "units of a quotation, and what converts": (
        claim(quoted=Quotation(claim="y")),
        known("0.8203", unit="fraction"),
        "malformed",
        "percent against fraction; percent(...) of a derived claim converts",
    ),
    "units of an expression, and what converts": (
        claim("0.82", "fraction", derived="mean([y], [z])"),
        known("82.03"),
        "malformed",
        "fraction against percent; fraction(...) of a derived claim converts",
    ),
    "units that nothing converts": (claim("82", "tokens"), known("82.03"), "malformed", "tokens against percent"),
    "a ratio as percent": (claim(), known("0.8203", unit="ratio"), "malformed", "percent against ratio"),
    "a bound written as a sign": (claim(">90"), known("91"), "malformed", "write bound: over, under, ..."),
    "digits of a decimal": (
        claim("82.00", digits=2),
        known("82"),
        "malformed",
        "'82.00' does not have 2 digits and then zeros",
    ),
    "digits behind those that count": (claim("8,203", digits=2), known("8200"), "malformed", "does not have 2 digits"),
    "more digits than there are": (claim("90", digits=3), known("90"), "malformed", "does not have 3 digits"),
    "a number for a text": (claim("mean", "text"), known("1", unit=None), "malformed", "a number against the unit text"),
    "a text for a number": (claim(), Evidence("mean", "in f", "prints"), "malformed", "a text against the unit percent"),
}


@pytest.mark.parametrize("name", UNJUDGED)
def test_what_cannot_be_judged_is_unchecked_and_says_why(name: str) -> None:
    one, evidence, reason, told = UNJUDGED[name]
    verdict = judge_claim("l", one, evidence)
    assert (verdict.state, verdict.reason, verdict.ground, verdict.recomputed) == ("unchecked", reason, None, None)
    assert told in verdict.message
    codes = [(found.code, found.subject) for found in verdict_findings([verdict], {})]
    assert codes == ([("malformed", "l: x")] if reason == "malformed" else [])
    strictly = [
        (found.code, found.subject, found.file, found.line) for found in verdict_findings([verdict], {"l": "p.md"}, strict=True)
    ]
    assert strictly == ([("malformed", "l: x", None, None)] if reason == "malformed" else [("broken-link", "l: x", "p.md", 7)])


def test_what_is_unbound_is_said_once_a_ledger() -> None:
    verdicts = [judge_claim(name, claim(id=f"c{n}"), None) for name, count in (("l", 7), ("m", 1)) for n in range(count)]
    assert {one.state for one in verdicts} == {"unbound"}
    assert [(one.code, one.subject, one.message) for one in verdict_findings(verdicts, {})] == [
        ("claim-unbound", "l", "7 claims have no evidence: c0, c1, c2, c3, c4 and 2 more"),
        ("claim-unbound", "m", "1 claim has no evidence: c0"),
    ]
    strictly = list(verdict_findings(verdicts, {"l": "p.md"}, strict=True))
    assert [(one.code, one.subject, one.file, one.line) for one in strictly[::7]] == [
        ("claim-unbound", "l: c0", "p.md", 7),
        ("claim-unbound", "m: c0", None, 7),
    ]
    held = judge_claim("m", claim(), known("82.03"))
    assert counts([*verdicts, held]) == {
        "l": {"claims": 7, "unbound": 7},
        "m": {"claims": 2, "unbound": 1, "holds": 1},
        "all": {"claims": 9, "unbound": 8, "holds": 1},
    }
    missing = [judge_claim("m", claim(id=f"c{n}"), Unchecked("gone" if n else "odd", f"no {n}")) for n in range(3)]
    assert reasons([held, *missing]) == [("gone", 2, "m:c1: no 1"), ("odd", 1, "m:c0: no 0")]


SCORES = Metrics(
    cos_sim_pearson=0.1,
    cos_sim_spearman=0.8203246731235654,
    euclidean_pearson=0.3,
    euclidean_spearman=0.4,
    manhattan_pearson=0.5,
    manhattan_spearman=0.6,
)


def of_metric(metric: str, unit: str = "percent", result: str = "r") -> Claim:
    return claim(unit=unit, measured=Measurement(result=result, metric=metric))


def test_a_metric_is_a_fraction_and_a_hundred_times_that_in_percent() -> None:
    results = {"r": Evaluation(dataset="d", model="m")}
    bound: Mapping[str, Resolved | Unchecked] = {"r": Resolved("p", " (noted)")}
    scores: dict[str, Metrics | Unchecked] = {"p": SCORES}
    for unit, factor in (("percent", 100), ("fraction", 1)):
        for metric in ("cos_sim_spearman", "cosine_spearman"):
            found = measured(of_metric(metric, unit), results, bound, scores)
            value = F(0.8203246731235654) * factor
            assert found == Evidence(Quantity(value, value, value, unit), "recomputed from p (noted)", "bytes", ("p",))  # type: ignore[arg-type]
    for one, reason, told in (
        (of_metric("cos_sim_spearman", "number"), "malformed", "not as number"),
        (of_metric("cos_sim_spearman", result="q"), "malformed", "no result 'q'"),
        (of_metric("ndcg_at_10"), "not-recomputed", "ndcg_at_10 is not one of the six"),
    ):
        missing = measured(one, results, bound, scores)
        assert isinstance(missing, Unchecked)
        assert missing.reason == reason
        assert told in missing.message
    assert isinstance(found := measured(of_metric("main_score"), results, bound, scores), Evidence)
    assert isinstance(found.value, Quantity) and found.value.value == F(0.8203246731235654) * 100
    for why in ("unpinned", "unknown-dataset"):  # whatever the metric is, it is one of something
        missing = measured(of_metric("ndcg_at_10"), results, {"r": Unchecked(why, "")}, scores)
        assert isinstance(missing, Unchecked) and missing.reason == why
    broken = Unchecked("broken-chain", "")
    assert measured(of_metric("cos_sim_pearson"), results, bound, {"p": broken}) is broken


def test_values_of_files() -> None:
    for value, unit, text in (
        ("0.5", "number", "0.5"),
        (384, "dimensions", "384"),
        (0.5, "ratio", "0.5"),
        (True, "text", "true"),
    ):
        found = quoted_value(unit, value, "f#/a", "bytes")  # type: ignore[arg-type]
        assert isinstance(found, Evidence)
        assert found.text == text if unit != "text" else found.value == text
        assert found.rests_on == ("f#/a",)
    bad: tuple[tuple[Any, Unit], ...] = (
        ([], "number"),
        ({}, "text"),
        ("mean", "number"),
        (None, "count"),
        (float("nan"), "number"),
    )
    for value, unit in bad:
        missing = quoted_value(unit, value, "f#/a", "bytes")
        assert isinstance(missing, Unchecked)
        assert missing.reason == "malformed"
        assert missing.message.startswith("f#/a")


def test_json_pointers() -> None:
    value = {"a": [10, {"b/c": 1, "~": 2, "": 3}], "01": 4}
    for pointer, wanted in (("", value), ("/a/0", 10), ("/a/1/b~1c", 1), ("/a/1/~0", 2), ("/a/1/", 3), ("/01", 4)):
        assert follow(value, pointer) == wanted
    for pointer in ("a", "/b", "/a/2", "/a/-", "/a/00", "/a/-1", "/a/0/x", "/a/1/b", "/a/" + "9" * 5000, "/a/٠"):
        with pytest.raises(NoSuchValue):
            follow(value, pointer)


def ledger(*claims: Claim) -> Ledger:
    return Ledger(document=Document(title="t", sha256="0" * 64, file="f"), claims=claims)


def test_references_are_looked_up_in_their_ledger_in_its_order() -> None:
    terms = Terms({"l": ledger(*(claim(id=name) for name in ("b.2", "a", "b.1"))), "m": ledger(claim("smudged", id="a"))})
    assert terms.find(Reference(None, "b.*", 1), "l") == ["l:b.2", "l:b.1"]
    assert terms.find(Reference(None, "b.?", 1), "l", own="l:b.2") == ["l:b.1"]
    assert terms.find(Reference("m", "a", 1), "l") == ["m:a"]
    assert terms.term("l:a").value == Quantity(F("82.03"), F("82.025"), F("82.035"), "percent")
    assert terms.term("m:a").value is None
    for reference, told in (
        (Reference("n", "a", 3), "column 3: there is no ledger 'n'; there are l, m"),
        (Reference(None, "c", 3), "column 3: l has no claim 'c'"),
        (Reference(None, "c*", 3), "column 3: no other claim of l is matched by 'c*'"),
    ):
        with pytest.raises(BadExpression, match=told.replace("*", r"\*")):
            terms.find(reference, "l")
    with pytest.raises(BadExpression, match="no other claim"):
        terms.find(Reference(None, "a*", 1), "l", own="l:a")
    assert quoted_claim("text", "l:a", terms).reason == "malformed"  # type: ignore[union-attr]
    assert quoted_claim("percent", "m:a", terms).reason == "depends"  # type: ignore[union-attr]
    terms.settle("l:a", "bytes", None)
    assert quoted_claim("percent", "l:a", terms).basis == "bytes"  # type: ignore[union-attr]


def test_globs_that_would_take_for_ever_are_stopped() -> None:
    terms = Terms({"l": ledger(*(claim(id=f"c{n}") for n in range(2000)))})
    with pytest.raises(BadExpression, match=str(MOST)):
        for n in range(MOST // 2000 + 1):
            terms.find(Reference(None, f"c*{n % 10}", 1), "l")
            terms.find(Reference(None, "*", 1), "l")


def test_every_claim_comes_after_those_that_it_rests_on() -> None:
    chance = random.Random(5)
    for _ in range(50):
        count = chance.randint(1, 40)
        edges = {str(n): [str(chance.randrange(count)) for _ in range(chance.choice((0, 0, 1, 2)))] for n in range(count)}
        order, circles = in_order(edges)
        assert sorted(order) == sorted(edges)
        for circle in circles:
            assert all(after in edges[before] for before, after in zip(circle, (*circle[1:], circle[0]), strict=True))
        place = {name: at for at, name in enumerate(order)}
        within = {frozenset((a, b)) for circle in circles for a in circle for b in circle}
        late = [(a, b) for a, below in edges.items() for b in below if place[b] >= place[a] and frozenset((a, b)) not in within]
        for a, b in late:  # what is left of a circle that was broken elsewhere
            assert {a, b} & {name for circle in circles for name in circle}


def test_long_chains_and_many_circles_are_no_burden() -> None:
    chain = {str(n): [str(n + 1)] for n in range(50_000)} | {"50000": []}
    assert in_order(chain)[0][-1] == "0"
    rings = {str(n): [str(n ^ 1), str(min(n + 2, 49_999))] for n in range(50_000)}
    order, circles = in_order(rings)
    assert (len(order), len(circles)) == (50_000, 25_000)


def test_only_what_bytes_confirm_is_ground_for_others() -> None:
    for state, ground in (("holds", "bytes"), ("contradicted", "prints")):
        verdict = msgspec.convert({"ledger": "l", "claim": claim(), "state": state, "message": "", "ground": "bytes"}, Verdict)
        assert basis_of(verdict) == ground
    assert basis_of(judge_claim("l", claim(quoted=Quotation(source="x")), Unchecked("no-source", ""))) == "prints"
