"""Printed numbers: which value they are, how much they say, and what is none."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.documents.numbers import NotANumber, PrintedNumber, Unit, parse_number, scan, shown, ulps_between
from tests.documents.labelled import FRESH, measure

NUMBERS: tuple[tuple[str, Unit, str, str], ...] = (
    ("82.03", "percent", "82.03", "0.005"),
    ("55", "number", "55", "0.5"),
    ("0.50", "fraction", "0.5", "0.005"),
    (".5", "ratio", "0.5", "0.05"),
    ("5.", "number", "5", "0.5"),
    ("-5.1", "percent", "-5.1", "0.05"),
    ("−5.1", "percent", "-5.1", "0.05"),
    ("+5.1", "percent", "5.1", "0.05"),
    (" 7 ", "number", "7", "0.5"),
    ("1.5e3", "number", "1500", "50"),
    ("2e-5", "number", "0.00002", "0.000005"),
    ("1,170,060,424", "count", "1170060424", "0"),
    ("512", "tokens", "512", "0"),
    ("384", "dimensions", "384", "0"),
    ("1e3", "bytes", "1000", "500"),
    ("1.5", "tokens", "1.5", "0.05"),
    ("0", "percent", "0", "0.5"),
    ("123456789012345678", "count", "123456789012345678", "0"),
)


@pytest.mark.parametrize(("text", "unit", "value", "half"), NUMBERS, ids=[f"{text}, {unit}" for text, unit, _, _ in NUMBERS])
def test_a_print_is_its_value_and_half_of_its_last_digit(text: str, unit: Unit, value: str, half: str) -> None:
    found = parse_number(text, unit)
    assert found == PrintedNumber(Fraction(value), Fraction(half))
    assert (found.low, found.high) == (Fraction(value) - Fraction(half), Fraction(value) + Fraction(half))


NONE = (
    *(
        "",
        " ",
        ".",
        "-",
        "--",
        "+",
        "e5",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "None",
        "n/a",
        "1e999",
        "1e-999",
        "9" * 301,
        "1e",
        "1.2.3",
    ),
    *(
        "1,23",
        "12,3456",
        ",123",
        "1 000",
        "0x10",
        "1_000",
        "5%",
        "a5",
        "82.0a",
        "٣",
        "１２",
        "5\n6",
        "1e301",
        "9" * 200 + "e200",
    ),
)


@pytest.mark.parametrize("text", NONE, ids=[ascii(text[:20]) for text in NONE])
def test_what_is_no_number_is_refused_in_few_words(text: str) -> None:
    units: tuple[Unit, ...] = ("percent", "count")
    for unit in units:
        with pytest.raises(NotANumber) as refused:
            parse_number(text, unit)
        assert len(str(refused.value)) < 100


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: value == 0 or 1e-250 < abs(value) < 1e250))
def test_a_float64_speaks_for_its_neighbours(value: float) -> None:
    """Python's shortest spelling of any float64 is read as that float64; 17 digits reach four ulp to either side."""
    assert float(parse_number(repr(value), "fraction").value) == value
    long = parse_number(f"{value:.16e}", "fraction")
    if value:
        assert long.float64
        assert long.half == 4 * Fraction(math.ulp(value))
        assert parse_number(f"{value:.16e}", "fraction", as_printed=True).half < long.half


def test_the_number_of_the_card_and_its_neighbours() -> None:
    """One more in the last place is another text and the same float64: only the printed digits tell them apart."""
    score = Fraction(0.8203246731235654) * 100
    for text, default, strict in (
        ("82.03246731235654", True, True),
        ("82.03246731235655", True, False),
        ("82.03246731235660", False, False),
        ("82.0324673123565", True, True),
        ("82.0324673123564", False, False),
    ):
        usual, printed = parse_number(text, "percent"), parse_number(text, "percent", as_printed=True)
        assert (usual.low <= score <= usual.high, printed.low <= score <= printed.high) == (default, strict), text
    assert float("82.03246731235654") == float("82.03246731235655")
    assert ulps_between(Fraction("82.03246731235654"), Fraction("82.03246731235655")) == 0
    assert math.nextafter(math.nextafter(float("82.03246731235654"), 100), 100) == float("82.03246731235658")
    assert ulps_between(Fraction("82.03246731235654"), Fraction("82.03246731235658")) == 2
    assert ulps_between(Fraction(-1), Fraction(1)) == 2**53


def test_numbers_for_people() -> None:
    assert [shown(Fraction(text)) for text in ("12", "-0.5", "1/3", "0")] == ["12", "-0.5", "0.3333333333333333", "0"]
    assert shown(Fraction(10) ** 400) == "about 1e400"
    assert shown(-(Fraction(10) ** 400) / 3) == "about -1e399"


def test_a_group_of_thousands_does_not_start_with_zero() -> None:
    with pytest.raises(NotANumber):
        parse_number("0,842", "number")
    assert parse_number("1,375,067", "count").half == 0


def test_something_counted_that_is_printed_with_an_exponent_is_rounded() -> None:
    assert parse_number("1.25e9", "bytes") == PrintedNumber(Fraction(1_250_000_000), Fraction(5_000_000))


@pytest.mark.parametrize(
    ("page", "results"),
    [
        ("Speed is 3.5k docs/s or 12M pairs per second.", ["3.5", "12"]),
        ("It serves 1.2k QPS on an RTX 4090 (24 GB); 10-fold CV; score: 7/10.", ["1.2", "7"]),
        ("1. Accuracy\n2. Recall of\n> 3) F1: 5\n\nThe accuracy is\n91. Then\n1. 4 points", ["5", "91", "4"]),
        ("AUC fell; EER 3.2 % now, PyTorch 2.1 then.", ["3.2"]),
        ("<style>td{width:33.3%}</style> <SCRIPT>x = [71.25]</SCRIPT> İ <script>71.35", ["71.35"]),
        ("|m|s|\n|-|-|\n|a|80.25 [1]|\n|b|80.35<sup><a href='#x'>2</a></sup>|\n|c|80.45 [70]|", ["80.25", "80.35", "80.45"]),
    ],
)
def test_what_is_beside_a_number_and_what_is_not_seen(page: str, results: list[str]) -> None:
    assert [number.text for number in scan(page, "markdown").numbers if number.why] == results


def test_the_marks_of_a_latex_table_are_not_results() -> None:
    cells = r"a & 88.21$^{2}$ & 88.22\footnotemark[3] & 88.23\tnote{1} & \ding{51} & 10$^{6}$"
    page = rf"\begin{{tabular}}{{lr}} m & S \\ {cells} \\ \end{{tabular}}"
    assert [number.text for number in scan(page, "latex").numbers if number.why] == ["88.21", "88.22", "88.23", "10", "6"]


GREEK = "For gamma (74.10) and gamma of 71 we"


@pytest.mark.parametrize(
    ("page", "names", "results"),
    [
        (GREEK, set(), 0),
        (GREEK, {"gamma"}, 1),
        (GREEK, {"dropout", "beta"}, 0),
        (f"| model | S |\n|---|---|\n| **gamma** | x |\n\n{GREEK}", set(), 1),
        (f"| setting | S |\n|---|---|\n| gamma | x |\n\n{GREEK}", set(), 0),
        (f"<table><tr><th>model<th>S</tr><tr><td>gamma<td>x</tr></table>\n\n{GREEK}", set(), 1),
    ],
)
def test_a_greek_letter_that_a_row_is_called_is_a_name(page: str, names: set[str], results: int) -> None:
    assert [number.text for number in scan(page, "markdown", names).numbers if number.why] == ["74.10"] * results


def test_a_row_of_a_latex_table_is_a_name_too() -> None:
    page = rf"\begin{{tabular}}{{lr}} model & S \\{chr(10)}\texttt{{gamma}} & x \\ \end{{tabular}} {GREEK}"
    assert [number.text for number in scan(page, "latex").numbers if number.why] == ["74.10"]


@pytest.mark.parametrize(
    ("parts", "least"), [(("tuning",), 0.99), (("held-back",), 0.99), (("unseen",), 0.95), (FRESH, 0.95)], ids=str
)
def test_the_linter_finds_the_results_of_others_sentences_and_little_else(parts: tuple[str, ...], least: float) -> None:
    """Precision and recall on labelled sentences; see tests/documents/labelled.py."""
    found = measure(*parts)
    print(
        f"precision {found.precision:.4f}, recall {found.recall:.4f}",
        "missed:",
        *found.missed,
        "wrong:",
        *found.wrong,
        sep="\n",
    )
    assert found.marked > 40
    assert min(found.precision, found.recall) >= least
