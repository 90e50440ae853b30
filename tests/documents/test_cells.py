"""Cells of tables: read whole, or not at all with the reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.documents.cells import read_cell
from aqea_registry.documents.numbers import parse_number

ONE = {
    "64.10": ("64.10", None),
    "+2.5": ("+2.5", None),
    "-0.75": ("-0.75", None),
    "2e-5": ("2e-5", None),
    "2,750,134": ("2,750,134", None),
    "↑ 64.1": ("64.1", None),
    "64.1 ▼": ("64.1", None),
    "≈64.1": ("64.1", None),
    "64.1†": ("64.1", None),
    "64.1 (b)": ("64.1", None),
    "64.1 [12]": ("64.1", None),
    "64.1ᵇ": ("64.1", None),
    r"$\mathbf{64.1}^{\dagger}$": ("64.1", None),
    "64.1 pts": ("64.1", "number"),
    "🏆 64.1": ("64.1", None),
    "$64.1$": ("64.1", None),
    r"64.1 \%": ("64.1", "percent"),
    "64.1%": ("64.1", "percent"),
    "+0.4 pp": ("+0.4", "percent"),
    "22M": ("22", "millions"),
    "7.5 B": ("7.5", "billions"),
    "1.1 billion": ("1.1", "billions"),
    "7b": ("7", "billions"),
    "1.3B params": ("1.3", "billions"),
    "300k": ("300000", "count"),
    "4.2K": ("4.2e3", "count"),
    "2T": ("2e12", "count"),
    "250MB": ("250e6", "bytes"),
    "1.5 GB": ("1.5e9", "bytes"),
    "256 tokens": ("256", "tokens"),
    "768d": ("768", "dimensions"),
    "4.5×": ("4.5", "ratio"),
    "12.5 ms": ("12.5", "number"),
    "0.27 kg": ("0.27", "number"),
    "1{,}024": ("1,024", None),
    "−1.25": ("-1.25", None),
    "\u20111.25": ("-1.25", None),
    r"$1.5 \times 10^{-3}$": ("1.5e-3", None),
    "1.5*10^-3": ("1.5e-3", None),
}


@pytest.mark.parametrize("text", ONE)
def test_a_number_is_read_with_the_unit_of_its_cell(text: str) -> None:
    reading = read_cell(text)
    assert [(number.value, number.unit, number.kind) for number in reading.numbers] == [(*ONE[text], "")]
    assert (reading.why, reading.seen) == (None, 1)


def test_another_spelling_than_the_value_is_kept() -> None:
    spelled = {
        text: read_cell(text).numbers[0].printed
        for text in ("22M", "300k", "1.5 GB", "16GiB", "1.5 GB/s", "12.5 ms", "–3.1", "x2", "64.1%", "64.1")
    }
    assert spelled == {
        "22M": "22M",
        "300k": "300k",
        "1.5 GB": "1.5 GB",
        "16GiB": "16GiB",
        "1.5 GB/s": "1.5 GB/s",
        "12.5 ms": "12.5 ms",
        "–3.1": "–3.1",
        "x2": "x2",
        "64.1%": None,
        "64.1": None,
    }


SEVERAL = {
    "64.1 ± 0.3": [("64.1", ""), ("0.3", "error")],
    "64.1+/-0.3": [("64.1", ""), ("0.3", "error")],
    r"$64.1_{\pm 0.3}$": [("64.1", ""), ("0.3", "error")],
    "64.1 (±0.3)": [("64.1", ""), ("0.3", "error")],
    "64.1 (+0.8)": [("64.1", ""), ("+0.8", "difference")],
    "64.1 −0.8": [("64.1", ""), ("-0.8", "difference")],
    "64.1 (↓0.8)": [("64.1", ""), ("0.8", "difference, down")],
    "64.1 Δ0.8": [("64.1", ""), ("0.8", "difference")],
    "64.1 (66.3)": [("64.1", ""), ("66.3", "in parentheses")],
    "(66.3)": [("66.3", "in parentheses")],
    "64.1^↑0.8": [("64.1", ""), ("0.8", "difference")],
    "64.1 (4)": [("64.1", ""), ("4", "rank")],
    "64.1 #4": [("64.1", ""), ("4", "rank")],
    "64.12(34)": [("64.12", ""), ("34", "error of the last digits")],
    "64.1 (1.2x)": [("64.1", ""), ("1.2", "factor")],
    "64.1 (×1.2)": [("64.1", ""), ("1.2", "factor")],
    "64.1 _0.3": [("64.1", ""), ("0.3", "in the subscript")],
    "64.1 and 66.3": [("64.1", ""), ("66.3", "beside it")],
    "64.1 [63.0,65.2]": [("64.1", ""), ("63.0", "in parentheses"), ("65.2", "beside it")],
    "64.1% [3]": [("64.1", "")],
    "22M [3]": [("22", "")],
    "9,000 / 410": [("9,000", ""), ("410", "after the slash")],
    "0.6/0.7/0.8": [("0.6", ""), ("0.7", "after the slash"), ("0.8", "after the slash")],
    "– / 410": [("410", "after the slash")],
    "60.2–64.1": [("60.2", ""), ("64.1", "after the dash")],
    "64.1 → 66.3": [("64.1", ""), ("66.3", "after the arrow")],
    "64.1 [63.0, 65.2]": [("64.1", ""), ("63.0", "in parentheses"), ("65.2", "beside it")],
    "64.1 ± 0.3 (2)": [("64.1", ""), ("0.3", "error"), ("2", "rank")],
}


@pytest.mark.parametrize("text", SEVERAL)
def test_several_numbers_are_told_apart(text: str) -> None:
    assert [(number.value, number.kind) for number in read_cell(text).numbers] == SEVERAL[text]


def test_an_error_has_the_unit_that_stands_once_for_both() -> None:
    assert [number.unit for number in read_cell("64.1 ± 0.3 %").numbers] == ["percent", "percent"]
    assert [number.unit for number in read_cell("20–25M").numbers] == ["millions", "millions"]
    assert [number.unit for number in read_cell("20M (2x)").numbers] == ["millions", "ratio"]


@pytest.mark.parametrize(
    ("text", "bound"), [("> 80", "over"), ("<0.01", "under"), ("≥80 %", "at-least"), ("<= 5", "at-most"), ("80+", "at-least")]
)
def test_a_bound_is_one(text: str, bound: str) -> None:
    assert [number.bound for number in read_cell(text).numbers] == [bound]


LEFT_OUT = {
    "½": ("not a plain number", 1),
    "61½": ("not a plain number", 1),
    r"\ours": ("a macro that is not defined here", 1),
    "64,1": ("a decimal comma?", 1),
    "0,641": ("a decimal comma?", 1),
    "64,100 %": ("a decimal comma?", 1),
    "1.234,5": ("a decimal comma?", 1),
    "64,1 ± 0,3": ("a decimal comma?", 2),
    "1.234.567": ("points between thousands?", 1),
    "12 345": ("a space between thousands?", 1),
    "12,34,567": ("not a plain number", 1),
    "10^6": ("a power", 2),
    "2023-11-05": ("a date or a version", 1),
    "4.1.2": ("a date or a version", 1),
    "12 layers": ("words beside the number", 1),
    "3rd": ("words beside the number", 1),
    "12'34": ("not a plain number", 1),
    "1234'567": ("not a plain number", 1),
    "1_2": ("not a plain number", 1),
    "16 GiB of memory": ("words beside the number", 1),
    "Qwen 2.5": ("words beside the number", 1),
    "1e400": ("no finite number", 1),
    "64 66": ("two numbers", 2),
}


@pytest.mark.parametrize("text", LEFT_OUT)
def test_what_is_not_read_is_counted_with_a_reason(text: str) -> None:
    assert read_cell(text) == ((), *LEFT_OUT[text])


@pytest.mark.parametrize("text", ["", "-", "--", "n/a", "nan", "BERT-base", "all-MiniLM-L6-v2", "bge-m3", "yes", "nDCG@10"])
def test_a_cell_without_a_number_is_none(text: str) -> None:
    assert read_cell(text) == ((), None, 0)


def test_a_separator_that_is_doubted_is_not_read() -> None:
    assert read_cell("64,100", ",").why == "a decimal comma?" and read_cell("1.379", ",.").why == "points between thousands?"
    assert read_cell("64.10", ",.").numbers and read_cell("2,750,134", ",.").numbers


PIECES = st.sampled_from(
    [*"0123456789", ".", ",", " ", "±", "(", ")", "/", "-", "+", "%", "M", "k", "x", "†", "→", "[", "]", "↑", "$", "~"]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_every_number_has_digits_that_the_cell_spells(text: str) -> None:
    reading = read_cell(" ".join(text.split()))
    assert bool(reading.numbers) != bool(reading.why) or reading == ((), None, 0)
    for number in reading.numbers:
        parse_number(number.value, number.unit or "number")
        digits = re.sub(r"e\d+|^[-+]|(?<=\d)000$" if number.printed else r"^[-+]", "", number.value)
        assert digits in text
