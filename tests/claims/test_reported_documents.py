"""The documents that people have reported, word for word: every number is read as it is printed, or named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aqea_registry.claims.import_claims import import_claims
from aqea_registry.project.project import open_project
from tests.claims.test_shapes import PARAMS, verdicts
from tests.helpers import append
from tests.tools import SHARED, aqea

pytestmark = pytest.mark.shared
STS = "sts-en sts-de retrieval-en retrieval-de"
READ = {  # case and document: the unit where it is one, the columns, and each row's numbers
    "d01-footnote-digit/card.md": (
        "number",
        "a b c d e f g",
        {"ours": "88.20 88.23 88.24 88.25 88.21 88.22 88.24", "base": "80.20 80.23 80.24 80.25 80.21 80.22 80.24"},
    ),
    "d02-two-numbers-in-a-cell/card.md": (
        None,
        "plain pm pm@2 delta delta@2 fewshot fewshot@2 only-few rank rank@2 arrow rate rate@2 about",
        {
            "a": "71.20 71.28 0.40 71.27 +1.3 0.643 0.834 0.803 71.31 2 71.26 4,000 170 71.33",
            "b": "61.20 61.28 0.40 61.27 -1.3 0.543 0.734 0.703 61.31 3 61.26 7,000 350 61.33",
        },
    ),
    "d03-size-suffix/card.md": (
        None,
        "parameters corpus memory pairs bigger bigger@2 score",
        {
            "small": "67 8.84 0.12e9 500000 33 1 49.1",
            "base": "109 171000 0.41e9 1.2 109 3.3 51.2",
            "large": "1.5 3.6e3 1.25e9 2.4 335 10 53.3",
        },
    ),
    "d06-html-table/html.md": ("number", STS, {"a": "71.2 68.4 50.1 44.2", "b": "61.2 58.4 40.1 34.2"}),
    "d06-html-table/mixed.md": ("number", f"sts {STS}", {"a": "71.2 71.2 68.4 50.1 44.2", "b": "61.2 61.25 58.40 40.1 34.2"}),
    "d09-two-row-header/card.md": ("number", STS, {"a": "71.2 68.4 50.1 44.2", "b": "61.2 58.4 40.1 34.2"}),
}


def project(tmp_path: Path, case: str) -> Path:
    root = tmp_path / "project"
    shutil.copytree(SHARED / "cases" / case, root)
    (root / "params.yaml").write_text(PARAMS)
    (root / "manifests/claims").mkdir(parents=True, exist_ok=True)
    return root


@pytest.mark.parametrize("document", READ)
def test_every_number_of_a_table_is_read_as_it_is_printed(tmp_path: Path, document: str) -> None:
    unit, columns, rows = READ[document]
    case, _, name = document.partition("/")
    root = project(tmp_path, case)
    assert import_claims(open_project(root), root / name).findings == ()
    claims = {name.split(".", 1)[1]: verdict.claim for name, verdict in verdicts(root).items()}
    expected = {
        f"{row}.{column}": value
        for row, values in rows.items()
        for column, value in zip(columns.split(), values.split(), strict=True)
    }
    assert {name: str(claim.value) for name, claim in claims.items()} == expected
    assert unit is None or {claim.unit for claim in claims.values()} == {unit}
    assert aqea("claims", "lint", name, cwd=root).status == 0


def test_decimal_commas_are_named_and_not_read(tmp_path: Path) -> None:
    root = project(tmp_path, "04-decimal-comma")
    result = aqea("claims", "import", "card.md", cwd=root)
    assert result.status == 1
    for printed in ("'82,034' (line 14", "'0,842' (line 16", "'71,5' (line 22", "'0,842' (line 24"):
        assert printed in result.out
    assert "5 numbers seen, 1 imported, 4 left out (a decimal comma?: 4)" in result.out
    assert {name: str(verdict.claim.value) for name, verdict in verdicts(root).items()} == {"model.sts13.score": "82.25"}


def test_a_card_of_sentence_transformers_is_in_fractions(tmp_path: Path) -> None:
    root = project(tmp_path, "05-sentence-transformers-card")
    import_claims(open_project(root), root / "card.md")
    claims = [verdict.claim for verdict in verdicts(root).values()]
    assert [(str(claim.value), claim.unit) for claim in claims] == [
        ("0.9999530293017442", "fraction"),
        ("1.0", "fraction"),
        ("1.0", "fraction"),
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("v1.json", ["0.5158218875082047", "0.63775063431591"]),
        ("v2.json", ["0.462", "0.384923088023088", "0.384923088023088"]),
    ],
)
def test_result_files_of_mteb_are_in_fractions(tmp_path: Path, name: str, values: list[str]) -> None:
    root = project(tmp_path, "d07-mteb-result-file")
    import_claims(open_project(root), root / name)
    assert [(str(verdict.claim.value), verdict.claim.unit) for verdict in verdicts(root).values()] == [
        (value, "fraction") for value in values
    ]


def test_a_quotation_in_percent_of_a_file_in_fractions_says_what_to_write(tmp_path: Path) -> None:
    root = project(tmp_path, "d07-mteb-result-file")
    (root / "results").mkdir()
    for name in ("v1.json", "v2.json"):
        (root / name).rename(root / "results" / name)
    ledger = (root / "ledger.yaml").read_text()
    (root / "manifests/claims/mteb.yaml").write_text(ledger)
    before = verdicts(root)
    assert {name: verdict.state for name, verdict in before.items() if name in "ac"} == {
        "a": "contradicted",
        "c": "contradicted",
    }
    assert "unit: fraction" in str(before["a"])
    quoted = ledger.replace("main_score}}\n- {id: b", "main_score, unit: fraction}}\n- {id: b").replace(
        "spearman}}\n- {id: d", "spearman, unit: fraction}}\n- {id: d"
    )
    (root / "manifests/claims/mteb.yaml").write_text(quoted)
    assert {name: verdict.state for name, verdict in verdicts(root).items() if name in "ac"} == {"a": "holds", "c": "holds"}


def test_a_marker_and_the_cell_bind_both_places(tmp_path: Path) -> None:
    root = project(tmp_path, "c03-marker-unbinds-table")
    assert aqea("claims", "lint", "p.md", cwd=root).status == 0
    append("p.md", b"\nNews is 74.27.\n")(root)
    result = aqea("claims", "lint", "p.md", cwd=root)
    assert result.status == 1 and "p.md:9:9: 74.27" in result.out


@pytest.mark.parametrize(("printed", "state"), [("72.49", "holds"), ("72.98", "unchecked")])
def test_an_average_is_held_against_the_recomputed_terms_and_the_wrong_term_is_named(
    tmp_path: Path, printed: str, state: str
) -> None:
    root = project(tmp_path, "c06-right-average-of-a-wrong-number")
    (root / "card.md").write_text(f"news 74.26, lab 71.70: {printed}\n")
    (root / "scores.json").write_text('{"news": 74.26, "lab": 70.71}')
    claim = '- {{id: {0}, value: "{1}", unit: number, at: {{line: 1}}, {2}}}\n'
    quoted = "quoted: {{file: scores.json, at: /{0}, unit: number}}"
    (root / "manifests/claims/card.yaml").write_text(
        "schema: aqea-registry/claims/1\ndocument: {title: card, file: card.md}\nclaims:\n"
        + "".join(claim.format(name, value, quoted.format(name)) for name, value in (("news", "74.26"), ("lab", "71.70")))
        + claim.format("avg", printed, 'derived: "mean([news], [lab])"')
    )
    found = verdicts(root)
    assert {name: verdict.state for name, verdict in found.items()} == {"news": "holds", "lab": "contradicted", "avg": state}
    assert "card:lab (printed 71.70, recomputed 70.71)" in found["avg"].message
