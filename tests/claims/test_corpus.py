"""The corpus of tests/data/documents: that its expectations are right themselves, and that import, check and lint meet them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from aqea_registry.documents.numbers import parse_number
from benchmarks.corpus import Expected, Number, Place, Relation, digits, documents, edits
from benchmarks.documents import figures, run_corpus

DOCUMENTS = documents()
NAMES = [document.path.name for document in DOCUMENTS]


def printed(document: Expected) -> Iterator[Number]:
    yield from document.numbers
    yield from document.prose


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_expected_number_is_printed_on_its_line(document: Expected) -> None:
    lines = document.path.read_text().replace("{,}", ",").split("\n")
    absent = [
        (number.line, text)
        for number in printed(document)
        for text in number.spellings
        if not re.search(rf"(?<![\d.]){re.escape(digits(text))}(?!\d)", lines[number.line - 1])
    ]
    assert absent == []


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one.relations], ids=lambda one: one.path.name)
def test_the_expected_relations_hold_or_are_broken_by_arithmetic(document: Expected) -> None:
    halves = {Place(number.line, value): half(number) for number in printed(document) for value in number.values}
    wrong = [relation for relation in document.relations if agrees(relation, halves) != relation.holds]
    assert wrong == []


def half(number: Number) -> Fraction:
    """Half of the last digit that is printed; nothing of what is counted."""
    if number.unit in ("count", "whole") and number.spellings[0][-1].isdigit():
        return Fraction(0)
    text = re.sub(r"e.*", "", digits(number.spellings[0]))
    scale = number.values[0] / parse_number(text, "number").value if parse_number(text, "number").value else 1
    return abs(parse_number(text, "number", as_printed=True).half * scale)


def dot(terms: list[Fraction], weights: list[Fraction]) -> Fraction:
    return sum((term * weight for term, weight in zip(terms, weights, strict=True)), Fraction(0))


def agrees(relation: Relation, halves: dict[Place, Fraction]) -> bool:
    """Whether the printed number and what its terms give round to the same, with all that they can stand for."""
    low, high = ([place.value + sign * halves[place] for place in relation.terms] for sign in (-1, 1))
    weights = [place.value for place in relation.weights] if relation.kind == "weighted" else [Fraction(1) for _ in low]
    parts = Fraction(1) if relation.kind == "sum" else sum(weights, Fraction(0))
    bounds = {
        "max": (max(low), max(high)),
        "min": (min(low), min(high)),
        "same": (low[0], high[0]),
        "difference": (low[0] - high[-1], high[0] - low[-1]),
        "ratio": (low[0] / high[-1], high[0] / low[-1]),
        "gain": (100 * low[0] / high[-1] - 100, 100 * high[0] / low[-1] - 100),
        "percent": (100 * low[0], 100 * high[0]),
        "loss": (100 - 100 * high[-1] / low[0], 100 - 100 * low[-1] / high[0]),
    }.get(relation.kind, (dot(low, weights) / parts, dot(high, weights) / parts))
    own = halves[relation.of]
    return bounds[0] - own <= relation.of.value <= bounds[1] + own


def test_the_corpus_has_the_size_and_the_shapes_that_it_is_for() -> None:
    planted = [one for document in DOCUMENTS for one in document.relations if one.asked and not one.holds]
    assert len(DOCUMENTS) >= 60 and len(planted) >= 70 and len(edits()) >= 6
    assert {document.path.suffix for document in DOCUMENTS} == {".md", ".html", ".tex", ".csv", ".tsv", ".json"}


def test_import_check_and_lint_meet_the_goals(tmp_path: Path) -> None:
    """If it fails: `python -m benchmarks documents` prints every miss."""
    outcome = run_corpus(tmp_path)
    missed = [figure.cells() for figure in figures(outcome) if figure.verdict().endswith("MISSED")]
    assert missed == [], outcome.misses
