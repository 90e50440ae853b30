"""Printed numbers: the digits as they stand in a document, and how much they say.

A number printed with few digits is a rounded one: it speaks for every value that rounds to it, half a last digit to either
side. One with fifteen or more significant digits is a float64 that somebody computed: it speaks for its neighbours within
four units in the last place of the float64. A whole number of a thing that is counted is exact.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

Unit = Literal[
    "percent", "fraction", "ratio", "number", "millions", "billions", "count", "tokens", "dimensions", "bytes", "text"
]
UNITS: tuple[str, ...] = get_args(Unit)
COUNTED = frozenset({"count", "tokens", "dimensions", "bytes"})  # whole numbers, exact as printed

FLOAT_DIGITS = 15  # from this many significant digits on, a print is a float64
ULPS = 4
LARGEST_EXPONENT = 300

_NUMBER = re.compile(r"([-+−]?)(\d{1,3}(?:,\d{3})+|\d+)?(?:\.(\d*))?(?:[eE]([-+]?\d{1,4}))?", re.ASCII)


class NotANumber(ValueError):
    """The text is no finite decimal number."""


class Printed(NamedTuple):
    """A printed number: its exact decimal value, half the width of what it speaks for, and whether it is a float64."""

    value: Fraction
    half: Fraction
    float64: bool = False

    @property
    def low(self) -> Fraction:
        """The smallest value that prints like this."""
        return self.value - self.half

    @property
    def high(self) -> Fraction:
        """The largest value that prints like this."""
        return self.value + self.half


def parse(text: str, unit: Unit, *, as_printed: bool = False) -> Printed:
    """Read a printed number: digits, commas between thousands, a point, an exponent, a sign.

    `as_printed` takes half of the last digit even where there are so many that the number is a float64. Raises NotANumber.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or not (found[2] or found[3]):
        raise NotANumber(f"{_short(text)} is no number")
    whole, decimals = (found[2] or "").replace(",", ""), found[3] or ""
    exponent = int(found[4] or 0) - len(decimals)
    digits = (whole + decimals).lstrip("0")
    if max(abs(exponent), len(digits), len(digits) + exponent) > LARGEST_EXPONENT:
        raise NotANumber(f"{_short(text)} is too large or too long")
    last = Fraction(10) ** exponent
    value = int(whole + decimals) * last * (-1 if found[1] in ("-", "−") else 1)
    if unit in COUNTED and value.denominator == 1:
        return Printed(value, Fraction(0))
    float64 = len(digits) >= FLOAT_DIGITS
    half = last / 2
    if float64 and not as_printed:  # of few digits behind a leading 1 the last one says less than the float64
        half = max(half, ULPS * Fraction(math.ulp(float(value))))
    return Printed(value, half, float64)


def ulps_between(first: Fraction, second: Fraction) -> int:
    """How many units in the last place lie between the float64s nearest to two numbers; 0 if it is the same float64."""
    a, b = float(first), float(second)
    return round(abs(Fraction(a) - Fraction(b)) / Fraction(math.ulp(max(abs(a), abs(b)))))


def shown(value: Fraction) -> str:
    """A number for people: as an integer where it is one, else as the nearest float64's shortest digits."""
    if abs(value) >= 10**LARGEST_EXPONENT:
        return f"about {'-' if value < 0 else ''}1e{len(str(abs(int(value)))) - 1}"
    return str(value.numerator) if value.denominator == 1 else repr(float(value))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
