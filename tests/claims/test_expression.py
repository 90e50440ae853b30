"""Derived claims: what an expression means, what it refuses, and that it ends."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.claims.expression import (
    BadExpression,
    Quantity,
    Reference,
    Term,
    Unreadable,
    evaluate,
    parse_reference,
    printed,
    read_expression,
    references,
)
from aqea_registry.documents.numbers import Unit, parse_number
from tests.growth import assert_linear

PRINTS: dict[str, tuple[str, Unit]] = {
    "a": ("60.5", "percent"),
    "b": ("-20.5", "percent"),
    "zero": ("0.0", "percent"),
    "share": ("0.25", "fraction"),
    "n": ("200", "count"),
    "m": ("300", "count"),
    "tokens": ("1,000", "tokens"),
    "size": ("1.5", "billions"),
    "x/1": ("3", "count"),
    "x/2": ("1", "count"),
    "x/3": ("3", "count"),
    "y/1": ("1.0", "ratio"),
    "y/2": ("1.1", "ratio"),
    "y/3": ("9.0", "ratio"),
}


def lookup(one: Reference) -> Sequence[Term]:
    if one.glob:
        return [term(name) for name in PRINTS if name.startswith(one.id.rstrip("*"))]
    if one.id == "name":
        return [Term("name", "text", None)]
    if one.id == "smudge":
        return [Term("smudge", "percent", None)]
    return [term(one.id)]


def term(name: str) -> Term:
    text, unit = PRINTS[name]
    return Term(name, unit, printed(parse_number(text, unit), unit))


# Expression, value, half of the interval's width below and above, unit.
VALUES: tuple[tuple[str, str, str, str, Unit | None], ...] = (
    ("[a]", "60.5", "0.05", "0.05", "percent"),
    ("[a] + [b]", "40", "0.1", "0.1", "percent"),
    ("[a] - [b] - 1", "80", "0.1", "0.1", "percent"),
    ("--[a]", "60.5", "0.05", "0.05", "percent"),
    ("-([a] - 60)", "-0.5", "0.05", "0.05", "percent"),
    ("[a] * 2 / 4", "30.25", "0.025", "0.025", "percent"),
    ("1 + 2 * 3 - 8 / 4 / 2", "6", "0", "0", None),
    ("2*(3+4)", "14", "0", "0", None),
    ("1e-2*.5", "0.005", "0", "0", None),
    ("[n] * [share]", "50", "1", "1", "count"),
    ("[tokens] / [n]", "5", "0", "0", "tokens"),
    ("[tokens] * [share]", "250", "5", "5", "tokens"),
    ("sum([n],[m], 1)", "501", "0", "0", "count"),
    ("sum([x/*])", "7", "0", "0", "count"),
    ("sum(([x/*]))", "7", "0", "0", "count"),
    ("007 + 0.50", "7.5", "0", "0", None),
    ("\t[a]\n+ 1", "61.5", "0.05", "0.05", "percent"),
    ("mean([a], [b])", "20", "0.05", "0.05", "percent"),
    ("mean([x/*], [n])", "51.75", "0", "0", "count"),
    ("min([a],[b])", "-20.5", "0.05", "0.05", "percent"),
    ("max([a], [b], 70)", "70", "0", "0", "percent"),
    ("count([x/*], [a])", "4", "0", "0", "count"),
    ("count([name], [smudge])", "2", "0", "0", "count"),
    ("abs([b])", "20.5", "0.05", "0.05", "percent"),
    ("abs([zero])", "0", "0", "0.05", "percent"),
    ("difference([n], [m])", "-100", "0", "0", "count"),
    ("ratio([n], [m])", "2/3", "0", "0", "ratio"),
    ("ratio([n], 400)", "1/2", "0", "0", "ratio"),
    ("[n] / 400", "1/2", "0", "0", "count"),
    ("percent(ratio([n], 400))", "50", "0", "0", "percent"),
    ("percent([share])", "25", "0.5", "0.5", "percent"),
    ("fraction([zero])", "0", "0.0005", "0.0005", "fraction"),
    ("number([size])", "1500000000", "50000000", "50000000", "number"),
    ("millions([size])", "1500", "50", "50", "millions"),
    ("billions(number([n]))", "2e-7", "0", "0", "billions"),
    ("rank([x/2], [x/*])", "3", "0", "0", "count"),
    ("rank([x/1], [x/*])", "1", "0", "0", "count"),
    ("rank([y/1], [y/*])", "3", "1", "0", "count"),  # 1.0 and 1.1 may be equal
    ("rank([a], [b], 60.52)", "2", "1", "0", "count"),
)


@pytest.mark.parametrize("case", VALUES, ids=[case[0] for case in VALUES])
def test_values_intervals_and_units(case: tuple[str, str, str, str, Unit | None]) -> None:
    text, value, below, above, unit = case
    wanted = Quantity(F(value), F(value) - F(below), F(value) + F(above), unit)
    assert evaluate(read_expression(text), lookup) == wanted


# Expression, and what the error must say.
WRONG: tuple[tuple[str, str], ...] = (
    ("", "column 1: '' is not a number, a claim in brackets, a function or an operation"),
    ("1 +", "column 4: it ends too early"),
    ("1 2", "'1 2' is not an expression"),
    ("(1", "column 3: ')' was expected"),
    ("1)", "column 2: nothing is open"),
    ("1) + (2", "column 2: nothing is open"),
    ("sum 1", "'sum 1' is not an expression"),
    ("1 + sum", "column 5: 'sum' is not a function with arguments"),
    ("[a][b]", "column 1: '[a][b]' is not a function with arguments"),
    ("2[a]", "column 1: '2[a]' is not"),
    ("X", "column 1: 'X' cannot be read here"),
    ("[a]_", "column 4: '_' cannot be read here"),
    ("[a](1)", "column 1: '[a](1)' is not a number"),
    ("sum()", "column 1: sum takes 1 or more arguments, not 0"),
    ("sum(1, )", "column 6: ',' cannot be read here"),
    ("sum(*[a])", "column 5: '*[a]' is not a number"),
    ("sum([a] for [b] in [x/*])", "is not a number"),
    ("[a] if [b] else 1", "column 1: '[a] if [b] else 1' is not a number"),
    ("[a] or [b]", "column 1: '[a] or [b]' is not a number"),
    ("[a], [b]", "column 1: '[a], [b]' is not a number"),
    ("[a] ** 2", "column 1: '[a] ** 2' is not a number"),
    ("[a] // 2", "column 1: '[a] // 2' is not a number"),
    ("+1", "column 1: '+1' is not a number"),
    ("not 1", "column 1: 'not 1' is not a number"),
    ("lambda: 1", "column 7: ':' cannot be read here"),
    ("0x1f", "column 1: '0x1f' is not a function"),
    ("1_000", "column 2: '_' cannot be read here"),
    ("1.5.2", "column 1: '1.5.2' is not"),
    ("[name]", "column 1: name is a text"),
    ("1 + [name]", "column 5: name is a text"),
    ("  1 / 0", "column 5: division by zero"),
    ("(1 + 2)  /  (3 - 3)", "column 10: division by zero"),
    ("1 - -[x/*]", "column 6: the glob"),
    ("eval([a])", "column 1: 'eval' is not a function with arguments; there are abs, "),
    ("__import__('os')", "column 1: '_' cannot be read here"),
    ("[a", "column 1: '[' cannot be read here"),
    ("[]", "column 1: '' is not the name of a claim"),
    ("[a b]", "column 1: 'a b' is not the name of a claim"),
    ("[A]", "'A' is not the name of a claim"),
    ("[a[0]]", "column 1: '[' cannot be read here"),
    ("ratio([a])", "column 1: ratio takes 2 arguments, not 1"),
    ("abs([a], [b])", "abs takes 1 arguments, not 2"),
    ("rank([a])", "rank takes 2 or more arguments, not 1"),
    ("[x/*]", "column 1: the glob [x/*] stands for several claims"),
    ("[a] + [x/*]", "column 7: the glob"),
    ("[x/*] * 2", "column 1: the glob"),
    ("-[x/*]", "column 2: the glob"),
    ("rank([x/*], [a])", "column 6: the glob"),
    ("difference([a], [x/?])", "column 17: the glob"),
    ("1e999", "'1e999' is too large or too long"),
    ("9e298 * 10 * 2", "column 12: the result is too large or too long"),
    ("1 / 3" + " / 9e299" * 5, "the result is too large or too long"),
    ("[a] / 0", "column 5: division by zero: the divisor is zero"),
    ("[a] / ([n] - 200)", "column 5: division by zero: the divisor is zero"),
    ("ratio([a], [zero])", "column 1: division by zero: the divisor is so near to zero that it may be zero"),
    ("[a] + [share]", "column 5: the units differ: percent against fraction"),
    ("sum([a], [n])", "column 1: the units differ: percent against count"),
    ("max([a], [share])", "the units differ"),
    ("rank([a], [share])", "the units differ"),
    ("[a] * [tokens]", "percent times tokens is not a unit known here"),
    ("[n] / [tokens]", "count divided by tokens is not a unit known here"),
    ("ratio([a], [share])", "the units differ"),
    ("sum([name], [a])", "column 1: name is a text"),
    ("(" * 40 + "1" + ")" * 40, "nested more than 30 deep"),
    ("abs(" * 40 + "1" + ")" * 40, "nested more than 30 deep"),
    ("1+" * 20_000 + "1", "longer than 20000 characters"),
)


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text[:30] or "nothing" for text, _ in WRONG])
def test_what_cannot_be_read_or_computed_says_where_and_why(text: str, told: str) -> None:
    with pytest.raises(BadExpression) as refused:
        evaluate(read_expression(text), lookup)
    assert told in str(refused.value)
    assert len(str(refused.value)) < 250


def test_a_claim_that_cannot_be_read_is_named() -> None:
    for text in ("[smudge]", "mean([a], [smudge])", "rank([a], [smudge])"):
        with pytest.raises(Unreadable, match="smudge"):
            evaluate(read_expression(text), lookup)


def test_references_are_those_that_stand_in_it() -> None:
    expression = read_expression("-([a] + 2 * mean([other-1:b/c@1], [x.*])) / rank([a], [d+e])")
    assert [str(one) for one in references(expression)] == ["a", "other-1:b/c@1", "x.*", "a", "d+e"]
    assert parse_reference("led:a.b") == Reference("led", "a.b", 1)
    for text in ("", "a b", "a:b:c", "A", "led:", ":a"):
        with pytest.raises(BadExpression):
            parse_reference(text)


def test_a_chain_of_operations_may_be_long_but_not_of_any_length() -> None:
    assert evaluate(read_expression("1" + "+1" * 1_000), lookup).value == 1_001
    for text in ("1" + "+1" * 2_501, "1" + "+1" * 9_000, "-" * 19_000 + "1"):
        with pytest.raises(BadExpression, match="too many operations in a row"):
            read_expression(text)


@pytest.mark.parametrize("parts", [("", "-", "1"), ("1", "+1", ""), ("sum(", "[n],", "1)"), ("", "9e9*", "1"), ("", "[", "")])
def test_time_grows_with_the_length(parts: tuple[str, str, str]) -> None:
    start, unit, end = parts

    def work(size: int) -> Callable[[], object]:
        text = start + unit * (size // len(unit)) + end

        def ask() -> None:
            try:
                evaluate(read_expression(text), lookup)
            except BadExpression as error:
                assert len(str(error)) < 250

        return ask

    assert_linear(work, 9_500)


NUMBERS = st.one_of(
    st.sampled_from(["[a]", "[b]", "[zero]"]), st.integers(1, 99).map(str), st.decimals("0.01", "9.99", places=2).map(str)
)
TREES = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " - "]), inner).map(lambda one: f"({''.join(one)})"),
        st.tuples(inner, st.sampled_from("*/"), st.integers(1, 9).map(str)).map("".join).map(lambda text: f"({text})"),
        st.lists(inner, min_size=1, max_size=4).map(lambda ones: f"sum({', '.join(ones)})"),
        st.lists(inner, min_size=1, max_size=4).map(lambda ones: f"max({', '.join(ones)})"),
        inner.map(lambda one: f"abs(-{one})"),
    ),
    max_leaves=12,
)


@given(TREES, st.integers(0, 2**32))
def test_the_interval_holds_whatever_the_prints_may_stand_for(text: str, seed: int) -> None:
    """Python's own arithmetic is the oracle: at the printed values it gives the value, at any others a value inside."""
    found = evaluate(read_expression(text), lookup)
    chance = random.Random(seed)
    source = re_bracket(text)
    names = {name: term(name).value for name in ("a", "b", "zero")}
    known = {"sum": lambda *ones: sum(ones), "max": lambda *ones: max(ones), "abs": abs, "F": F}
    at = {name: one.value for name, one in names.items() if one}
    assert eval(source, {**known, **at}) == found.value
    within = {name: one.low + (one.high - one.low) * F(chance.randint(0, 10), 10) for name, one in names.items() if one}
    assert found.low <= eval(source, {**known, **within}) <= found.high


def re_bracket(text: str) -> str:
    """The expression for Python: names without brackets, numbers as fractions."""

    return re.sub(r"\d+(\.\d+)?", lambda one: f"F('{one[0]}')", text.replace("[", "").replace("]", ""))
