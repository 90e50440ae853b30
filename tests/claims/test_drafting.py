"""Claims out of tables and results: every number is one, or is left out with its position and the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aqea_registry.base.findings import Finding
from aqea_registry.claims.drafting import Imported, claims_of_index, claims_of_tables
from aqea_registry.claims.ledger import Claim
from aqea_registry.documents.markup_tables import markdown_tables
from aqea_registry.documents.model_index import IndexEntry, Metric
from aqea_registry.documents.numbers import Unit
from aqea_registry.documents.tables import ragged_rows
from tests.growth import assert_linear


def draft(*rows: str, unit: Unit | None = None) -> Imported:
    """What a table of Markdown under the heading Scores gives; its first row is the header."""
    header, *others = rows
    text = "\n".join(["## Scores", "", header, "|-" * (header.count("|") - 1) + "|", *others])
    tables = markdown_tables(text, "doc.md")
    assert ragged_rows(tables, "doc.md") == [] or "|y|" in rows
    return claims_of_tables(tables, text, "doc.md", unit=unit)


def by_id(drafted: Imported) -> dict[str, Claim]:
    return {claim.id.removeprefix("scores."): claim for claim in drafted.claims}


def left(drafted: Imported) -> list[tuple[int, int, str, str]]:
    return [(one.line, one.column, one.text, one.reason) for one in drafted.left_out]


def test_each_number_of_a_cell_is_a_claim_with_its_kind() -> None:
    found = by_id(draft("|m|a|b|", "|x|61.5 ± 0.2|0.61 (0.72)|", "|y|60.5 ± 0.3|0.60 (0.71)|"))
    assert {key: (one.value, one.note) for key, one in found.items() if key.startswith("x")} == {
        "x.a": ("61.5", None),
        "x.a@2": ("0.2", "error"),
        "x.b": ("0.61", None),
        "x.b@2": ("0.72", "in parentheses"),
    }
    assert found["x.a"].at == found["x.a@2"].at


def test_a_size_in_the_cell_outweighs_the_header() -> None:
    found = by_id(draft("|m|size (M)|rate (%)|", "|x|110|61.5 (2)|", "|y|1.5B|60.5 (3)|"))
    assert {key: (one.value, one.unit, one.printed) for key, one in found.items()} == {
        "x.size-m": ("110", "millions", None),
        "y.size-m": ("1.5", "billions", "1.5B"),
        "x.rate": ("61.5", "percent", None),
        "x.rate@2": ("2", "number", None),
        "y.rate": ("60.5", "percent", None),
        "y.rate@2": ("3", "number", None),
    }


def test_an_error_of_the_last_digits_has_no_unit() -> None:
    found = by_id(draft("|m|rate (%)|", "|x|61.52(34)|", "|y|60.5 (3)|"))
    assert [(one.value, one.unit) for one in found.values()] == [
        ("61.52", "percent"),
        ("34", "number"),
        ("60.5", "percent"),
        ("3", "number"),
    ]


def test_what_is_left_out_has_line_column_and_reason() -> None:
    drafted = draft("|#|m|a|b|", "|1|x|61,5|see 4|", "|2|y|60.5|12'00|")
    assert left(drafted) == [
        (5, 2, "1", "a rank or index"),
        (5, 6, "61,5", "a decimal comma?"),
        (5, 11, "see 4", "words beside the number"),
        (6, 2, "2", "a rank or index"),
        (6, 11, "12'00", "not a plain number"),
    ]
    assert list(by_id(drafted)) == ["y.a"]


def test_a_number_that_is_struck_out_or_hidden_is_left_out_and_the_one_beside_it_read() -> None:
    struck = "|~~v 1~~ x|~~61.90~~ 63.4|<del>5.5<sup>2</sup></del> → 4.5|", "|~~y~~|<s>1.5</s>|2.5|"
    hidden = "|z|<span style='display: none'>61.95</span>63.5|~1.6~ ~4.6|"
    drafted = draft("|m|a|b|", *struck, hidden)
    read = {"x.a": "63.4", "x.b": "4.5", "y.b": "2.5", "z.a": "63.5", "z.b": "4.6"}
    assert {key: claim.value for key, claim in by_id(drafted).items()} == read
    assert left(drafted) == [
        (5, 14, "61.90", "struck out or hidden"),
        (5, 32, "5.5", "struck out or hidden"),
        (6, 11, "1.5", "struck out or hidden"),
        (7, 32, "61.95", "struck out or hidden"),
        (7, 50, "1.6", "struck out or hidden"),
    ]


def test_the_numbers_of_a_row_that_does_not_fit_are_left_out() -> None:
    drafted = draft("|m|a|b|", "|x|1.5|2.5|", "|y|", "|z|1.5|2.5|3.5|")
    assert left(drafted) == [
        (7, n, text, "not as many cells as the header") for n, text in ((4, "1.5"), (8, "2.5"), (12, "3.5"))
    ]


@pytest.mark.parametrize(
    ("header", "cells", "read"),
    [
        ("spearman", ("61.5", "61,500"), ["61.5"]),
        ("Accuracy", ("61,500", "60,100"), []),
        ("rate (%)", ("61,500", "60,100"), []),
        ("score", ("61.5", "60,100"), ["61.5"]),
        ("score", ("1,361", "1,287"), ["1,361", "1,287"]),
        ("pairs", ("61,500", "1,250"), ["61,500", "1,250"]),
        ("anything", ("61,5", "60,100"), []),
        ("anything", ("61,5", "1.250"), []),
        ("anything", ("61.5 [1,2]", "60,100"), ["60,100"]),
        ("anything", ("1,250.5", "60,100"), ["1,250.5", "60,100"]),
        ("accuracy", ("0.615", "0.601"), ["0.615", "0.601"]),
        ("Avg. tokens", ("1,250.5", "60,100"), ["1,250.5", "60,100"]),
    ],
)
def test_a_comma_in_a_score_is_not_one_of_thousands(header: str, cells: tuple[str, str], read: list[str]) -> None:
    drafted = draft(f"|m|{header}|", *(f"|{name}|{cell}|" for name, cell in zip("xy", cells, strict=True)))
    assert [claim.value for claim in drafted.claims] == read
    groups = [cell for cell in cells if len(cell) == 6 and cell not in read]  # `61,500`
    assert [(one.code, one.actual) for one in drafted.findings] == [("malformed", cell) for cell in groups]
    assert len(drafted.left_out) == 2 - len(read)


def test_a_row_that_names_a_metric_has_scores_too() -> None:
    drafted = draft("|metric|value|", "|pearson_cosine|61,500|", "|sentences|61,500|")
    assert list(by_id(drafted)) == ["sentences.value"] and drafted.findings[0].subject == "doc.md:5"


def test_scores_without_a_unit_have_that_of_the_results() -> None:
    rows = (
        "|m|dim|Retrieval (2)|time (s)|params (M)|n|share|",
        "|x|384|55.00|12.5|22.5|1,000|0.5|",
        "|y|768|54|2.5|110|900|0.7|",
    )
    units = [claim.unit for claim in draft(*rows, unit="percent").claims]
    assert units == ["number", "percent", "number", "millions", "count", "number"] * 2
    assert {claim.unit for claim in draft(*rows).claims} == {"number", "millions", "count"}
    found = by_id(draft("|metric|value|", "|cosine_accuracy|0.91|", "|threshold|0.5|", "|dim|384|", unit="fraction"))
    assert {key: one.unit for key, one in found.items()} == {
        "cosine-accuracy.value": "fraction",
        "threshold.value": "number",
        "dim.value": "number",
    }


def index(task: str, *metrics: tuple[str, str], name: str = "x") -> IndexEntry:
    found = tuple(Metric(f"p/{n}", n, kind, None, value, None) for n, (kind, value) in enumerate(metrics, 1))
    return IndexEntry("p", "m", task, "d", name, None, None, None, found)


def units(drafted: Imported) -> list[Unit]:
    return [claim.unit for claim in drafted.claims]


def test_scores_under_a_heading_in_percent_are_percent() -> None:
    text = "## {}\n\n| set | Pearson | pairs |\n|---|---|---|\n| dev | 84.12 | 1500 |\n| test | 82.08 | 1379 |\n"
    units = {}
    for name in ("Scores (%)", "Scores (in percent)", "Scores"):
        drafted = claims_of_tables(markdown_tables(text.format(name), "doc.md"), text.format(name), "doc.md")
        units[name] = [claim.unit for claim in drafted.claims]
        assert drafted.tables[0].beside == [[], []]
    assert units == {name: [unit, "number"] * 2 for name, unit in zip(units, ("percent", "percent", "number"), strict=True)}


def test_the_unit_of_a_result_is_that_of_the_program_that_wrote_it() -> None:
    trained = index("semantic-similarity", ("spearman_cosine", "0.8"), ("cosine_accuracy_threshold", "7.5"))
    drafted = claims_of_index([trained, index("STS", ("spearman", "80.1"))], "c.md", [])
    assert units(drafted) == ["fraction", "number", "percent"] and drafted.notes == []
    drafted = claims_of_index([index("text-classification", ("accuracy", "0.8"))], "c.md", [])
    assert units(drafted) == ["percent"] and "--unit" in drafted.notes[0]
    drafted = claims_of_index([index("STS", ("spearman", "0.8"))], "c.md", [], "fraction")
    assert units(drafted) == ["fraction"] and drafted.notes == []


@pytest.mark.parametrize(
    ("value", "unit", "read"), [("61,500", None, False), ("0,615", None, False), ("61,500", "number", True)]
)
def test_a_comma_in_a_result_is_not_one_of_thousands(value: str, unit: str | None, read: bool) -> None:
    drafted = claims_of_index([index("STS", ("spearman", value))], "c.md", [f"  value: {value}"], unit)  # type: ignore[arg-type]
    assert bool(drafted.claims) == read
    assert left(drafted) == ([] if read else [(1, 10, value, "a decimal comma?")])
    expected = "p/1: the value of spearman has a decimal comma?; it was not imported"
    assert drafted.findings == ([] if read else [Finding("malformed", "c.md:1", expected, actual=value)])


def test_the_best_of_four_is_known_in_every_spelling() -> None:
    kinds = ("cosine_ap", "dot_ap", "ap_euclidean", "manhattan_ap", "max_ap")
    drafted = claims_of_index([index("PairClassification", *((kind, "50.1") for kind in kinds))], "c.md", [])
    assert drafted.claims[-1].derived == "max([x.cosine_ap], [x.dot_ap], [x.ap_euclidean], [x.manhattan_ap])"


def test_rows_that_are_called_the_same_are_called_by_the_next_columns_too() -> None:
    rows = ("|m|set|run|a|", "|x|dev|1|61.5|", "|x|dev|2|61.7|", "|x|test|1|60.5|", "|y|dev|1|62.5|")
    drafted = draft(*rows)
    assert [str(claim.at) for claim in drafted.claims] == [
        f"Scores, {row}, a, line {line}" for line, row in enumerate(("x dev 1", "x dev 2", "x test 1", "y dev 1"), 5)
    ]
    assert {one.reason for one in drafted.left_out} == {"names the row"}
    distinct = draft("|m|set|run|a|", "|x|dev|1|61.5|", "|y|dev|2|61.7|")
    assert list(by_id(distinct)) == ["x.run", "x.a", "y.run", "y.a"]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (("|x|1|acc|61.5|", "||1|f1|61.7|", "|y|2|acc|60.5|", "||2|f1|62.5|"), ["x acc", "x f1", "y acc", "y f1"]),
        (("|x|1|acc|61.5|", "|y|1|acc|61.7|", "||1|acc|60.5|"), ["x", "y", None]),  # a name that is missing may be any
        (("|x|1|acc|61.5|", "|y|1|f1|62.5|", "||1|**Mean**|62.0|"), ["x", "y", "Mean"]),
        (("|x|1|mean|61.5|", "||2|max|62.5|", "|y|1|max|61.0|", "||2|mean|62.0|"), ["x mean", "x max", "y max", "y mean"]),
        (("|✓|✓|✓|61.5|", "|✓|✗|✓|61.7|", "|✓|✓|✗|60.5|"), ["✓ ✓ ✓", "✓ ✗ ✓", "✓ ✓ ✗"]),
    ],
)
def test_rows_without_a_name_are_called_by_that_above_and_the_words_or_signs_beside_it(
    rows: list[str], named: list[str]
) -> None:
    drafted = draft("|m|version|metric|a|", *rows)
    assert [claim.at.row for claim in drafted.claims if claim.at.column == "a"] == named


def test_rows_that_are_called_the_same_are_called_by_the_title_above_them() -> None:
    found = by_id(draft("|m|a|", "|*Small*||", "|x|61.5|", "|*Large*||", "|x|62.5|", "|y|63.5|"))
    assert {key: claim.value for key, claim in found.items()} == {"small-x.a": "61.5", "large-x.a": "62.5", "large-y.a": "63.5"}


def test_numbers_of_the_only_column_or_of_a_metric_that_names_the_rows_are_left_out() -> None:
    assert left(draft("|a|", "|61.5|")) == [(5, 2, "61.5", "names the row")]
    assert left(draft("|Accuracy|runs|", "|61.5|3|")) == [(5, 2, "61.5", "names the row")]
    assert (
        left(draft("|Dim|runs|", "|768|3|")) == left(draft("|Epoch|runs|", "|0.5|3|")) == left(draft("|k|a|", "|5|61.5|")) == []
    )
    assert left(draft("|a|b|", "|**61.5**|62.5|")) == [(5, 4, "61.5", "names the row")]


def test_a_wide_table_takes_time_that_grows_with_it() -> None:
    def work(size: int) -> Callable[[], object]:
        header = "|".join(f"c{n}" for n in range(size))
        text = f"|m|{header}|\n{'|-' * (size + 1)}|\n" + "".join(f"|r{n}|{'1.5|' * size}\n" for n in range(3))
        tables = markdown_tables(text, "doc.md")
        return lambda: claims_of_tables(tables, text, "doc.md")

    assert_linear(work, 400)


def test_digits_that_markup_parts_are_not_one_number() -> None:
    drafted = draft("|m|a|b|c|", "|x|6†1|6<sup>2</sup>1.5|6²1|", "|y|1.5|1.5|1.5|")
    assert list(by_id(drafted)) == ["y.a", "y.b", "y.c"] and len(drafted.left_out) == 3


def test_the_spelling_of_a_number_is_in_the_document() -> None:
    found = by_id(draft("|m|a|b|c|", "|x|**67**M|**500**k|&minus;1.5|", "|y|67M|500k|-1.5|"))
    assert {key: (one.value, one.unit, one.text) for key, one in found.items()} == {
        "x.a": ("67", "millions", "67"),
        "x.b": ("500000", "count", "500"),
        "x.c": ("-1.5", "number", "1.5"),
        "y.a": ("67", "millions", "67M"),
        "y.b": ("500000", "count", "500k"),
        "y.c": ("-1.5", "number", "-1.5"),
    }
