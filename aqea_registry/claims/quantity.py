"""Printed numbers as quantities: an exact value, the interval around it, and its unit. Pure."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from itertools import product
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from aqea_registry.claims.ledger import Claim
from aqea_registry.documents.numbers import LARGEST_EXPONENT, NotANumber, PrintedNumber, Unit, parse_number

MOST_BITS = 4096  # of a numerator or denominator: a few hundred decimals, and far beyond any table
LARGEST = Fraction(10) ** LARGEST_EXPONENT

# One of each unit in plain numbers; what has no entry cannot be converted.
SCALE: dict[Unit | None, Fraction] = {
    **dict.fromkeys((None, "fraction", "ratio", "number", "count", "tokens", "dimensions", "bytes"), Fraction(1)),
    "percent": Fraction(1, 100),
    "millions": Fraction(10**6),
    "billions": Fraction(10**9),
}
CONVERSIONS: tuple[Unit, ...] = ("percent", "fraction", "number", "millions", "billions")  # each a function of expressions
_SHARES: tuple[Unit | None, ...] = ("percent", "fraction", "ratio")
# What may multiply or divide anything: the product of two of them takes the later one's unit.
_FACTORS: tuple[Unit | None, ...] = (None, "ratio", "fraction", "number", "count")


class NotComputable(ValueError):
    """The operation has no answer: the message says why."""


class Quantity(msgspec.Struct, frozen=True):
    """A value with the interval of all that it may stand for. The unit of a bare number in an expression is None.

    Sums are of one unit; one of two factors is a plain number, a ratio, a fraction or a count; a quotient is of one unit and a
    ratio, or by something plain. All else raises NotComputable, also where the divisor may be zero.
    """

    value: Fraction
    low: Fraction
    high: Fraction
    unit: Unit | None

    def __add__(self, other: Quantity) -> Quantity:
        unit = common(self.unit, other.unit)
        return _checked(self.value + other.value, self.low + other.low, self.high + other.high, unit)

    def __neg__(self) -> Quantity:
        return Quantity(-self.value, -self.high, -self.low, self.unit)

    def __sub__(self, other: Quantity) -> Quantity:
        return self + -other

    def __mul__(self, other: Quantity) -> Quantity:
        units = sorted((self.unit, other.unit), key=lambda unit: _FACTORS.index(unit) if unit in _FACTORS else len(_FACTORS))
        if units[0] not in _FACTORS:
            raise NotComputable(f"{self.unit} times {other.unit} is not a unit known here; number(...) converts one of them")
        corners = [x * y for x, y in product((self.low, self.high), (other.low, other.high))]
        return _checked(self.value * other.value, min(corners), max(corners), units[1])

    def __truediv__(self, other: Quantity) -> Quantity:
        if other.low <= 0 <= other.high:
            known = "is zero" if other.low == other.high else "is so near to zero that it may be zero"
            raise NotComputable(f"division by zero: the divisor {known}")
        if other.unit not in _FACTORS and self.unit != other.unit:
            message = f"{self.unit or 'a number'} divided by {other.unit} is not a unit known here"
            raise NotComputable(f"{message}; number(...) converts both")
        unit = self.unit if other.unit is None else "ratio" if self.unit == other.unit else self.unit or "number"
        corners = [x / y for x, y in product((self.low, self.high), (other.low, other.high))]
        return _checked(self.value / other.value, min(corners), max(corners), unit)

    def __abs__(self) -> Quantity:
        ends = sorted((abs(self.low), abs(self.high)))
        return Quantity(abs(self.value), Fraction(0) if self.low <= 0 <= self.high else ends[0], ends[1], self.unit)


Basis = Literal["bytes", "prints"]


class Correction(NamedTuple):
    """What a contradicted claim should print by its evidence; or what evidence is, computed from terms corrected so.

    `sure`: the terms are contradicted by bytes, not by other prints alone. `culprits` are the wrong prints, in words.
    """

    value: Quantity | str
    basis: Basis
    sure: bool
    culprits: tuple[str, ...]


def printed_number(claim: Claim, *, as_printed: bool = False) -> PrintedNumber:
    """What a claim's print stands for, whose last zeros may be no digits. Raises NotANumber."""
    value = claim.value or ""
    number = parse_number(value, claim.unit, as_printed=as_printed)
    if claim.digits is None:
        return number
    digits = value.strip().lstrip("+-−").replace(",", "").lstrip("0")
    last = 10 ** max(len(digits) - claim.digits, 0)
    if not digits.isdecimal() or claim.digits > len(digits) or number.value % last:
        raise NotANumber(f"{value[:40]!r} does not have {claim.digits} digits and then zeros, which are a whole number's alone")
    return PrintedNumber(number.value, Fraction(last, 2))


def printed(number: PrintedNumber, unit: Unit) -> Quantity:
    """A printed number with all that it may stand for."""
    return Quantity(number.value, number.low, number.high, unit)


def exact(value: Fraction, unit: Unit | None = None) -> Quantity:
    """A number that stands for itself alone."""
    return Quantity(value, value, value, unit)


def ratio(a: Quantity, b: Quantity) -> Quantity:
    """The quotient of two quantities of one unit; what has no unit takes the other's. Raises NotComputable."""
    unit = common(a.unit, b.unit)
    return replace(a, unit=unit) / replace(b, unit=unit)


def mean(terms: Sequence[Quantity]) -> Quantity:
    """The arithmetic mean of one or more quantities of one unit. Raises NotComputable."""
    return reduce(operator.add, terms) / exact(Fraction(len(terms)))


def extreme(terms: Sequence[Quantity], *, largest: bool) -> Quantity:
    """The largest or the smallest of quantities of one unit. Raises NotComputable."""
    pick = max if largest else min
    unit = reduce(common, (term.unit for term in terms))
    values, lows, highs = zip(*((term.value, term.low, term.high) for term in terms), strict=True)
    return Quantity(pick(values), pick(lows), pick(highs), unit)


def rank(a: Quantity, others: Sequence[Quantity]) -> Quantity:
    """The rank among the others: 1 is the largest, equals share a rank. Raises NotComputable."""
    for other in others:
        common(a.unit, other.unit)
    value = 1 + sum(other.value > a.value for other in others)
    low, high = 1 + sum(other.low > a.high for other in others), 1 + sum(other.high > a.low for other in others)
    return Quantity(Fraction(value), Fraction(low), Fraction(high), "count")


def converted(a: Quantity, unit: Unit) -> Quantity:
    """The same in another unit. Raises NotComputable."""
    if a.unit not in SCALE or unit not in SCALE:
        raise NotComputable(f"{a.unit} cannot be converted to {unit}")
    scale = SCALE[a.unit] / SCALE[unit]
    return _checked(a.value * scale, a.low * scale, a.high * scale, unit)


def common(a: Unit | None, b: Unit | None) -> Unit | None:
    """The unit of two that agree. A `number` agrees with all, as a number in an expression does. Raises NotComputable."""
    for unit, other in ((a, b), (b, a)):
        if unit == other or unit is None or (unit == "number" and other is not None):
            return other
    way = a if a in CONVERSIONS else "number"
    advice = f"; {way}(...) of a derived claim converts" if (a in _SHARES) == (b in _SHARES) else ""
    raise NotComputable(f"the units differ: {a} against {b}{advice}")


def _checked(value: Fraction, low: Fraction, high: Fraction, unit: Unit | None) -> Quantity:
    numbers = (value, low, high)
    bits = max(max(number.numerator.bit_length(), number.denominator.bit_length()) for number in numbers)
    if bits > MOST_BITS or any(abs(number) >= LARGEST for number in numbers):
        raise NotComputable("the result is too large or too long")
    return Quantity(value, low, high, unit)
