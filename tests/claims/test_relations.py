"""Relations within a table: what labels promise is bound where most of it holds, and nothing by chance."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.claims.evidence import Terms
from aqea_registry.claims.expression import evaluate, read_expression
from aqea_registry.claims.ledger import At, Claim, Document, Ledger
from aqea_registry.claims.relations import MOST, DraftedTable, relations_of_table
from aqea_registry.documents.numbers import Unit, parse_number
from tests.growth import assert_linear


def table(text: str, unit: Unit = "number") -> DraftedTable:
    """A table of lines whose cells are parted by bars. Ids are `t.ROW.COLUMN` by number; a cell of letters has no claim."""
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    claims: dict[tuple[int, int], Claim] = {}
    for r, row in enumerate(rows):
        for c, value in enumerate(row[1:], 1):
            if value and not value[-1].isalpha() and value != "-":
                own: Unit = "count" if "," in value else unit
                claims[r, c] = Claim(id=f"t.{r}.{c}", value=value, unit=own, at=At(line=r + 1))
    return DraftedTable("T", [row[0] for row in rows], head, claims)


def broken(drafted: DraftedTable) -> dict[str, bool]:
    """The ids of the claims that are bound, and whether what they are computed from contradicts them."""
    derived, _, counts, _ = relations_of_table(drafted)
    claims_now = [msgspec.structs.replace(one, unit="count") if one.id in counts else one for one in drafted.claims.values()]
    ledger = Ledger(document=Document(title="", sha256="0" * 64, file="x"), claims=tuple(claims_now))
    terms, claims = Terms({"l": ledger}), {claim.id: claim for claim in ledger.claims}

    def is_broken(own: str) -> bool:
        value = evaluate(
            read_expression(derived[own]), lambda one: [terms.term(name) for name in terms.find(one, "l", f"l:{own}")]
        )
        number = parse_number(claims[own].value or "", claims[own].unit)
        assert value.unit in (claims[own].unit, "ratio") or "percent(" in derived[own]
        return number.low > value.high or number.high < value.low

    return {own: is_broken(own) for own in derived}


COLUMN = """
model | Dim | A | B | C | {label}
a     | 384 | 10.00 | 20.00 | 33.00 | 21.00
b     | 768 | 11.00 | 21.00 | 34.00 | 22.00
c     | 384 | 12.00 | 22.00 | 35.00 | {third}
d     | 999 | 13.00 | 23.00 | 36.00 | 24.00
"""


@pytest.mark.parametrize(
    "label", ["Macro", "Avg", "avg.", "Average", "**Mean**", "Overall", "Average score", "Macro avg", "AVG (%)", "Mean ↑"]
)
@pytest.mark.parametrize(("third", "wrong"), [("23.00", False), ("32.00", True)])
def test_a_column_of_averages_is_bound_with_the_cell_that_breaks_it(label: str, third: str, wrong: bool) -> None:
    found = broken(table(COLUMN.format(label=label, third=third)))
    assert found == {"t.0.5": False, "t.1.5": False, "t.2.5": wrong, "t.3.5": False}


@pytest.mark.parametrize(
    "label", ["Avg length", "Geometric mean", "Mean rank", "Median", "All-purpose", "Micro avg", "Total", "D"]
)
def test_a_column_of_another_name_is_not_an_average(label: str) -> None:
    assert relations_of_table(table(COLUMN.format(label=label, third="23.00"))).derived == {}


@pytest.mark.parametrize("first", [True, False])
def test_a_first_or_a_last_row_is_an_average(first: bool) -> None:
    head, *rows = "set|x|y|Params,A|10.5|20.25|33,B|20.5|30.75|110".replace("|", " | ").split(",")
    average = "avg | 15.5 | 25.50 | 71"
    found = relations_of_table(table("\n".join([head, *([average, *rows] if first else [*rows, average])])))
    row = 0 if first else 2
    assert found.derived == {f"t.{row}.1": "mean([t.*.1])", f"t.{row}.2": "mean([t.*.2])"}


def test_where_few_hold_nothing_is_bound_and_a_note_says_so() -> None:
    found = relations_of_table(table(COLUMN.format(label="Avg", third="32.00").replace("22.00\n", "28.00\n", 1)))
    assert found.derived == {}
    assert found.notes == ["T: Avg: mean of the others in 2 of 4 cells, too few to bind them; bind by hand what should be"]


def test_gains_over_what_is_elsewhere_are_nothing_to_note() -> None:
    assert relations_of_table(table("model | A | gain\nx | 41.20 | 3.10\ny | 45.30 | 2.20\nz | 47.70 | 9.80")).notes == []


def test_of_twenty_cells_a_tenth_may_break() -> None:
    rows = [f"m{n} | {n}.00 | {2 * n + 7}.00 | {1.5 * n + 3.5 + (n in (4, 9)):.2f}" for n in range(20)]
    assert sum(broken(table("\n".join(["model | A | B | Avg", *rows]))).values()) == 2
    assert broken(table("\n".join(["model | A | B | Avg", *rows[:10]]))) == {}


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("model | A | B | C | Avg\nx | 41.20 | 60.55 | 77.10 | 59.62", 1),
        ("model | A | B | C | Avg\nx | 41 | 60 | 77 | 59", 0),  # one whole number in eighteen is as near
        ("model | A | B | Avg\nx | 41 | 60 | 50\ny | 45 | 64 | 54", 0),
        ("model | A | B | Avg\nx | 50.0 | 50.0 | 50.0\ny | 41.0 | 41.0 | 41.0", 0),  # whatever is computed, it is this
    ],
)
def test_what_may_be_chance_is_not_bound(text: str, bound: int) -> None:
    found = relations_of_table(table(text))
    assert (len(found.derived), len(found.notes)) == (bound, 1 - bound)


def test_averages_are_weighted_by_the_counts_of_the_header() -> None:
    text = "model | X (15) | Y (5) | Average (20)\na | 10.00 | 50.00 | 20.00\nb | 20.00 | 60.00 | 30.00"
    assert relations_of_table(table(text)).derived["t.0.3"] == "(15 * [t.0.1] + 5 * [t.0.2]) / 20"
    assert broken(table(text)) == {"t.0.3": False, "t.1.3": False}
    assert broken(table(text.replace("(20)", "(21)"))) == {}


@pytest.mark.parametrize("unit", ["number", "percent", "fraction"])
def test_averages_are_weighted_by_a_column_of_counts_and_the_counts_added_up(unit: Unit) -> None:
    text = "class | # pairs | f1\na | 1,000 | 40.00\nb | 3,000 | 60.00\nc | 4,000 | 70.25\nAll | 8,000 | 62.63"
    found = relations_of_table(table(text, unit)).derived
    assert found["t.3.2"] == "([t.0.1] * [t.0.2] + [t.1.1] * [t.1.2] + [t.2.1] * [t.2.2]) / sum([t.0.1], [t.1.1], [t.2.1])"
    assert broken(table(text, unit)) == {"t.3.1": False, "t.3.2": False}


def test_a_group_is_what_the_header_names() -> None:
    found = relations_of_table(
        table(
            """
            model | STS en | STS de | STS Avg | QA en | QA de | QA fr | Avg QA | Overall
            a | 70.1 | 60.1 | 65.1 | 40.2 | 45.3 | 50.4 | 45.3 | 55.2
            b | 72.1 | 60.3 | 66.2 | 41.2 | 46.3 | 51.4 | 46.3 | 56.3
            c | 74.1 | 61.1 | 67.6 | 42.2 | 47.3 | 52.4 | 47.9 | 57.5
            """
        )
    )
    assert found.derived["t.2.3"] == "mean([t.2.1], [t.2.2])" and found.derived["t.2.7"] == "mean([t.2.4], [t.2.5], [t.2.6])"
    assert found.derived["t.2.8"] == "mean([t.2.3], [t.2.7])" and len(found.derived) == 9


def test_a_section_has_an_average_of_its_own() -> None:
    text = """
    task | m1 | m2
    STS | |
    a | 70.11 | 71.22
    b | 80.31 | 81.32
    Avg | 75.21 | 76.27
    QA | |
    c | 40.11 | 41.22
    d | 50.31 | 51.32
    e | 60.51 | 60.42
    Avg | 50.31 | 50.99
    Overall | 62.76 | 63.63
    """
    found = relations_of_table(table(text)).derived
    assert [found[own] for own in ("t.3.1", "t.8.1", "t.9.1")] == [
        "mean([t.1.1], [t.2.1])",
        "mean([t.5.1], [t.6.1], [t.7.1])",
        "mean([t.3.1], [t.8.1])",
    ]


@pytest.mark.parametrize(
    ("head", "terms"),
    [
        ("m | S12 | S13 | Q | R | S Avg | All scores", {5: [1, 2]}),  # words that differ in their numbers alone
        ("m | S-B | S-R | Q | R | S Avg | Median", {5: [1, 2]}),
        ("m | en | de | fr | nl | Avg (de+fr) | Avg of en and nl", {5: [2, 3], 6: [1, 4]}),
        ("m | A | B | AB Avg | C | D | CD Avg", {3: [1, 2], 6: [4, 5]}),
        ("m | AB Avg | A | B | CD Avg | C | D", {1: [2, 3], 4: [5, 6]}),
        ("m | A | B | Median | Worst | Mean ± std | C", {5: [1, 2]}),
    ],
)
def test_an_average_is_of_the_terms_that_it_names_or_that_are_before_it(head: str, terms: dict[int, list[int]]) -> None:
    rows = []
    for n in range(4):
        cells = [0, 70.12 + 2.3 * n, 40.38 + 5.1 * n, 21.56 + 7.7 * n, 11.74 + 9.2 * n, 33.16 + n, 77.92 - n]
        for average, own in terms.items():
            cells[average] = fmean(cells[term] for term in own) + (n == 2)
        rows.append(" | ".join([f"m{n}", *(f"{cell:.2f}" for cell in cells[1:])]))
    found = relations_of_table(table("\n".join([head, *rows])))
    assert found.derived == {
        f"t.{n}.{average}": f"mean({', '.join(f'[t.{n}.{term}]' for term in own)})"
        for n in range(4)
        for average, own in terms.items()
    }


def test_what_has_no_cell_where_an_average_has_one_is_not_a_term() -> None:
    rows = "a | 0.9131 | 0.8812\nb | 0.6526 | 0.7048\nc | 0.4518 | 0.3971\naccuracy | | 0.6712\nmacro avg | 0.6725 | 0.6610"
    assert broken(table(f"class | precision | recall\n{rows}")) == {"t.4.1": False, "t.4.2": False}
    rows = "a | 80.13 | 70.42 | 60.24 | 70.26\nb | 81.21 | 71.13 | 61.41 | 71.25\n"
    rows += "c | 82.51 | 72.31 | - | 77.41\nd | 63.52 | 72.34 | - | 67.93\ne | 83.55 | 62.37 | - | 72.96"
    assert broken(table(f"m | en | de | fr | Avg\n{rows}")) == {"t.0.4": False, "t.1.4": False}


def test_the_name_of_a_row_may_have_the_words_of_settings() -> None:
    found = broken(table(COLUMN.format(label="Avg", third="32.00").replace("c     |", "date-size |")))
    assert found["t.2.5"] and len(found) == 4


def test_among_greek_letters_delta_is_a_name_and_else_a_difference() -> None:
    text = COLUMN.format(label="Avg", third="32.00").replace("d     |", "delta |")
    assert len(broken(table(text))) == 3
    found = broken(table(text.replace("a     |", "alpha |").replace("b     |", "gamma |")))
    assert found["t.2.5"] and len(found) == 4


def test_numbers_without_a_unit_are_beside_those_that_have_one() -> None:
    drafted = table(COLUMN.format(label="Avg", third="23.00"))
    claims = {
        place: msgspec.structs.replace(one, unit="percent") if place[1] > 2 else one for place, one in drafted.claims.items()
    }
    assert len(broken(drafted._replace(claims=claims))) == 4


def test_a_limit_is_not_a_term() -> None:
    drafted = table(COLUMN.format(label="Avg", third="23.00"))
    claims = {
        place: msgspec.structs.replace(one, bound="over") if place == (0, 2) else one for place, one in drafted.claims.items()
    }
    assert set(broken(drafted._replace(claims=claims))) == {"t.1.5", "t.2.5", "t.3.5"}


def test_no_set_of_terms_is_searched_for_one_that_fits() -> None:
    """The average is that of the first two columns, which nothing says."""
    assert (
        relations_of_table(table("m | A | B | C | Avg\na | 10.1 | 30.3 | 90.9 | 20.2\nb | 11.1 | 31.7 | 95.3 | 21.4")).derived
        == {}
    )


@pytest.mark.parametrize("label", ["Δ", "Delta", "Gain", "Improvement (pp)", "Diff."])
@pytest.mark.parametrize(("third", "wrong"), [("2.75", False), ("2.57", True)])
def test_a_column_of_differences_is_that_of_the_columns_beside_it(label: str, third: str, wrong: bool) -> None:
    rows = [("71.42", "78.05", "6.63"), ("64.88", "69.31", "+4.43"), ("90.37", "93.12", third), ("58.20", "57.64", "-0.56")]
    before = [f"m | Before | After | {label}", *(f"r{n} | {' | '.join(row)}" for n, row in enumerate(rows))]
    behind = [f"m | {label} | After | Before", *(f"r{n} | {' | '.join(row[::-1])}" for n, row in enumerate(rows))]
    assert broken(table("\n".join(before))) == {"t.0.3": False, "t.1.3": False, "t.2.3": wrong, "t.3.3": False}
    assert broken(table("\n".join(behind))) == {"t.0.1": False, "t.1.1": False, "t.2.1": wrong, "t.3.1": False}


def test_differences_are_those_of_the_rows_that_the_label_names_or_of_each_row_against_the_first() -> None:
    rows = "Base | 38.4 | 42.9 | 51.7\nMid | 40.0 | 44.2 | 55.9\nBig | 43.6 | 47.3 | 57.4\nΔ (Big - Base) | 5.2 | 4.4 | 5.7"
    found = relations_of_table(table(f"s | A | B | C\n{rows}"))
    assert found.derived == {f"t.3.{n}": f"difference([t.2.{n}], [t.0.{n}])" for n in (1, 2, 3)}
    text = "variant | nDCG | Δ\nfull | 48.75 | -\na | 46.31 | -2.44\nb | 48.02 | -0.73\nc | 47.19 | -1.65\nd | 48.66 | -0.09"
    assert broken(table(text)) == {"t.1.2": False, "t.2.2": False, "t.3.2": True, "t.4.2": False}
    assert relations_of_table(table(text)).derived["t.3.2"] == "difference([t.3.1], [t.0.1])"


@pytest.mark.parametrize("label", ["Δ (%)", "Rel. gain", "Improvement %"])
@pytest.mark.parametrize(("third", "wrong"), [("+3.04", False), ("+3.40", True)])
def test_a_difference_may_be_in_percent_of_what_it_is_compared_with(label: str, third: str, wrong: bool) -> None:
    rows = [("71.42", "78.05", "9.28"), ("64.88", "69.31", "+6.83"), ("90.37", "93.12", third), ("58.20", "57.64", "-0.96")]
    drafted = table("\n".join([f"m | Before | After | {label}", *(f"r{n} | {' | '.join(row)}" for n, row in enumerate(rows))]))
    assert broken(drafted) == {"t.0.3": False, "t.1.3": False, "t.2.3": wrong, "t.3.3": False}
    assert relations_of_table(drafted).derived["t.0.3"] == "percent(ratio([t.0.2], [t.0.1]) - 1)"


def test_an_arrow_may_be_the_sign_of_a_difference() -> None:
    rows = "a | 74.33 | 76.83 | 2.50\nb | 70.92 | 71.42 | 0.50\nc | 75.01 | 74.89 | 0.12\nd | 60.25 | 61.50 | 1.25"
    text = f"m | May | June | Change\n{rows}"
    assert broken(table(text)) == {"t.0.3": False, "t.1.3": False, "t.3.3": False}


def test_runs_in_rows_have_an_average_and_a_column_of_seeds_is_not_a_term() -> None:
    rows = "seed 1 | 61.44 | 70.02\nseed 2 | 60.87 | 71.15\nseed 3 | 62.03 | 70.66\nMean | 61.45 | 70.61"
    assert broken(table(f"run | Law | Tax\n{rows}")) == {"t.3.1": False, "t.3.2": False}
    assert (
        "t.0.1" not in relations_of_table(table("m | seed | Law | Tax | Avg\na | 42 | 61.44 | 70.02 | 65.73")).derived["t.0.4"]
    )


@pytest.mark.parametrize("head", ["Pairs | train | dev | test", "all pairs | train pairs | dev pairs | test pairs"])
def test_counts_are_the_totals_of_their_splits(head: str) -> None:
    found = broken(
        table(
            f"source | {head}\na | 422,300 | 412,300 | 5,000 | 5,000\nb | 211,380 | 198,380 | 5,000 | 8,000\n"
            "c | 120,250 | 110,550 | 5,000 | 5,000"
        )
    )
    assert found == {"t.0.1": False, "t.1.1": False, "t.2.1": True}


@pytest.mark.parametrize(("tokens", "bound"), [("1950.6", 2), ("1905.6", 2), ("2905.6", 1)])
def test_one_of_two_totals_may_have_a_slip(tokens: str, bound: int) -> None:
    rows = "Web | 2,100,000 | 812.4\nBooks | 12,500 | 640.9\nCode | 900,000 | 377.0\nWiki | 400,000 | 120.3"
    assert len(broken(table(f"source | documents | tokens\n{rows}\nTotal | 3,412,500 | {tokens}"))) == bound


def test_totals_are_bound_in_both_directions_and_contradicted_where_one_is_wrong() -> None:
    found = broken(
        table(
            "kind | s | m | l | all\na | 14 | 9 | 6 | 29\nb | 31 | 22 | 17 | 70\nc | 8 | 8 | 3 | 21\nsum | 53 | 39 | 26 | 118"
        )
    )
    assert {own for own, wrong in found.items() if wrong} == {"t.2.4"} and len(found) == 7


@pytest.mark.parametrize(("total", "bound"), [("211,000", 1), ("219,000", 1), ("280,000", 0), ("70,000", 0)])
def test_the_only_total_of_a_long_column_of_counts_may_have_a_slip(total: str, bound: int) -> None:
    rows = "\n".join(f"{name} | {10 * number},000" for number, name in enumerate("abcdef", 1))
    assert len(relations_of_table(table(f"set | pairs\n{rows}\nz | 1,000\nTotal | {total}")).derived) == bound


@given(
    st.lists(st.lists(st.floats(5, 95), min_size=3, max_size=3), min_size=3, max_size=9),
    st.integers(0, 8),
    st.sampled_from([1.0, 1.3]),
)
def test_averages_of_unrounded_terms_hold_and_a_wrong_one_does_not(rows: list[list[float]], place: int, factor: float) -> None:
    spread = [max(row) - min(row) > 20 for row in rows]
    means = [fmean(row) * (factor if n == place else 1) for n, row in enumerate(rows)]
    lines = [
        " | ".join([f"m{n}", *(f"{cell:.2f}" for cell in (*row, mean))])
        for n, (row, mean) in enumerate(zip(rows, means, strict=True))
    ]
    found = broken(table("\n".join(["model | A | B | C | Mean", *lines])))
    if all(spread):
        assert found == {f"t.{n}.4": factor > 1 and n == place for n in range(len(rows))}


def large(promises: int) -> Callable[[int], Callable[[], object]]:
    def prepare(rows: int) -> Callable[[], object]:
        head = ["m", *(f"c{n}" for n in range(20)), *(f"Avg {n}" for n in range(promises))]
        lines = [[f"r{n}", *(f"{(n * 37 + c * 11) % 900 / 10}" for c in range(20 + promises))] for n in range(rows)]
        drafted = table("\n".join(" | ".join(line) for line in [head, *lines]))
        return lambda: relations_of_table(drafted)

    return prepare


@pytest.mark.parametrize("promises", [1, MOST])
def test_the_work_is_linear(promises: int) -> None:
    assert_linear(large(promises), 40)
