"""The ledger of the KaLM paper against the paper itself, whose text was read by OCR and is damaged in places."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest

from aqea_registry.claims.ledger import Claim, Ledger, parse_ledger, render_ledger
from tests.tools import KALM, SHARED, aqea

pytestmark = pytest.mark.shared

LEDGER = KALM / "manifests/claims/kalm-paper.yaml"
SEEDS = SHARED / "seeds"

# What the paper contradicts itself in: the claim, what it prints, and what stands elsewhere.
CONTRADICTED = {
    "introduction.categories.pre-training": ("20", "17"),
    "table2.e5-mistral.en": ("66.40", "66.63"),
    "table2.bge-m3.zh": ("61.07", "60.80"),
    "table2.bge-m3.en": ("59.57", "59.84"),
}
ILLEGIBLE = {
    "table2.e5-mistral.size": "7111IM",
    "table6.bge-m3.rerank": "717.36",
    "table8.row-13.pairs": "NG ewera 3 SR",
    "table8.paq.pairs": "IM",
}
# A model's name as the tables of results print it, with what OCR left between it and the figures.
NAME = re.compile(r"(?:\S+ \((?:Dense|Multi-LoRA)\)|w/o [A-Za-z -]+|\S+)[’|~ ]*")
URL = re.compile(r"https?://\S+")


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    ledger, findings = parse_ledger(LEDGER.read_bytes(), "kalm-paper")
    assert ledger is not None
    assert findings == []
    return ledger


@pytest.fixture(scope="module")
def lines(ledger: Ledger) -> list[str]:
    return (SEEDS / ledger.document.file).read_text().split("\n")


def _cells(lines: list[str], first: int, last: int) -> Iterator[tuple[int, list[str]]]:
    """The figures of a table of results, a row a line, dashes and column rules aside."""
    for number in range(first, last + 1):
        figures = NAME.sub("", lines[number - 1].strip(), count=1)
        yield number, [cell for cell in figures.split() if cell not in ("-", "|")]


def _on(ledger: Ledger, line: int) -> list[Claim]:
    return [claim for claim in ledger.claims if claim.at.line == line]


def test_kalm_ledger_names_the_paper_and_is_in_the_one_spelling(ledger: Ledger) -> None:
    assert hashlib.sha256((SEEDS / ledger.document.file).read_bytes()).hexdigest() == ledger.document.sha256
    assert render_ledger(ledger) == LEDGER.read_bytes()
    assert len(ledger.claims) == 640
    assert [claim.id for claim in ledger.claims if claim.kind == "unbound"] == []


def test_kalm_claims_stand_on_their_lines(ledger: Ledger, lines: list[str]) -> None:
    strays = [claim.id for claim in ledger.claims if not claim.text or claim.text not in lines[(claim.at.line or 0) - 1]]
    assert strays == []
    order = [claim.at.line or 0 for claim in ledger.claims if not claim.id.endswith(".url")]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("table", "first", "last", "count"),
    [(2, 190, 197, 40), (3, 240, 244, 10), (4, 355, 360, 42), (5, 367, 374, 64), (6, 381, 388, 64), (7, 394, 399, 36)],
)
def test_kalm_tables_of_results_are_claims_cell_for_cell(
    ledger: Ledger, lines: list[str], table: int, first: int, last: int, count: int
) -> None:
    cells = dict(_cells(lines, first, last))
    assert sum(map(len, cells.values())) == count
    assert {number: [claim.text for claim in _on(ledger, number)] for number in cells} == cells
    assert {claim.at.table for number in cells for claim in _on(ledger, number)} == {f"Table {table}"}


@pytest.mark.parametrize(
    ("table", "first", "last", "rows", "columns"),
    [(8, 407, 429, 17, 1), (9, 451, 546, 96, 2)],
    ids=["pre-training", "fine-tuning"],
)
def test_kalm_data_lists_are_claims_row_for_row(
    ledger: Ledger, lines: list[str], table: int, first: int, last: int, rows: int, columns: int
) -> None:
    printed = {number: lines[number - 1].split()[-columns:] for number in range(first, last + 1) if lines[number - 1].strip()}
    damaged = {423: ["NG ewera 3 SR"]}
    assert len(printed) == rows
    assert {number: [claim.text for claim in _on(ledger, number)] for number in printed} == printed | (
        damaged if table == 8 else {}
    )
    urls = [claim for claim in ledger.claims if claim.id.startswith(f"table{table}.") and claim.unit == "text"]
    after = [URL.findall(line) for line in (lines[last:448] if table == 8 else lines[last:])]
    assert [claim.value for claim in urls] == [url for found in after for url in found]
    assert len(urls) == rows


def test_kalm_figures_that_differ_from_the_print_say_why(ledger: Ledger) -> None:
    spelt = re.compile(r"(?P<number>[\d.]+)(?P<unit>[kM]|GB)|(?:<|over |under |less than )?[\d.]+B?(?: epochs?| nodes)?")
    unsaid = [claim.id for claim in ledger.claims if claim.printed and not claim.ocr and not spelt.fullmatch(claim.printed)]
    ranks = ["abstract.rank", "introduction.rank", "table2.rank", "conclusion.rank"]  # printed in words
    assert unsaid == ranks
    for claim in ledger.claims:
        found = spelt.fullmatch(claim.printed or "")
        if found and found["number"] and not claim.ocr:
            assert float(claim.value or 0) == float(found["number"]) * (1000 if found["unit"] == "k" else 1), claim.id
    lost = [claim for claim in ledger.claims if claim.ocr and claim.value]
    assert {claim.ocr.split(";")[0] for claim in lost if claim.unit == "percent" and claim.ocr} == {"decimal point lost"}
    assert [claim.printed for claim in lost] == [
        (claim.value or "").replace(".", "") if claim.unit == "percent" else "le-4" for claim in lost
    ]
    assert len(lost) == 28
    assert {claim.id: claim.printed for claim in ledger.claims if claim.value is None} == ILLEGIBLE


def test_kalm_check_finds_what_the_paper_contradicts_and_nothing_else() -> None:
    result = aqea("claims", "check", "kalm-paper", "--documents", SEEDS, "--json", cwd=KALM)
    assert result.status == 1, result.err
    answer = result.json()
    assert answer["documents"] == {"kalm-paper": "same"}
    assert {(one["code"], one["subject"]) for one in answer["findings"]} == {
        ("claim-contradicted", f"kalm-paper: {claim}") for claim in CONTRADICTED
    }
    verdicts = {one["claim"]["id"]: one for one in answer["verdicts"]}
    assert {
        key: (one["claim"]["value"], one["recomputed"]) for key, one in verdicts.items() if one["state"] == "contradicted"
    } == {claim: (printed, elsewhere) for claim, (printed, elsewhere) in CONTRADICTED.items()}
    unchecked = {key: one["reason"] for key, one in verdicts.items() if one["state"] == "unchecked"}
    assert set(unchecked.values()) == {"no-source", "illegible", "depends"}
    assert {key for key, reason in unchecked.items() if reason == "illegible"} == set(ILLEGIBLE)
    assert [key for key, reason in unchecked.items() if reason == "depends"] == ["table6.bge-m3.avg"]
    assert len(verdicts) - len(unchecked) == 209


def test_kalm_averages_are_derived_from_what_they_average(ledger: Ledger) -> None:
    averages = [claim for claim in ledger.claims if claim.id.endswith(".avg")]
    for claim in averages:
        row = claim.id.removesuffix("avg")
        terms = re.findall(r"\[([^\]]+)\]", claim.derived or "")
        others = [one.id for one in ledger.claims if one.id.startswith(row) and one.id not in (claim.id, f"{row}size")]
        assert terms == others, claim.id
    quoted = {
        one.id: one.quoted.claim for one in ledger.claims if one.quoted and one.quoted.claim and one.id.startswith("table2.")
    }
    assert set(quoted.values()) == {one.id for one in averages} - {one.id for one in averages if one.id.startswith("table2.")}
    assert all(quote and quote.split(".")[1] == claim.split(".")[1] for claim, quote in quoted.items())
    assert (len(averages), len(quoted)) == (33, 28)


def test_kalm_every_number_that_looks_like_a_result_is_bound(ledger: Ledger) -> None:
    result = aqea("claims", "lint", SEEDS / ledger.document.file, "--json", cwd=KALM)
    assert result.status == 0, result.out + result.err
    (document,) = result.json()["documents"]
    assert document["sha256"] == ledger.document.sha256
    assert document["results"] == document["bound"] > 400
