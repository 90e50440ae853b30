"""Exact arithmetic for scores: square roots and correlations of integers, rounded once, at the very end.

Every result is the float64 nearest to the true real number. Nothing here depends on the order of a sum, on a library
or on a processor: only Python integers are added, multiplied, divided and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from math import isqrt
from operator import mul


class Undefined(ValueError):
    """The number does not exist, for example a correlation with a constant."""


def fixed_sqrt(sign: int, numerator: int, denominator: int, bits: int) -> int:
    """Sign * sqrt(numerator / denominator) in units of 2**-bits, truncated towards zero (error below one unit)."""
    return sign * isqrt((numerator << 2 * bits) // denominator)


def nearest_float(fixed: int, bits: int) -> float:
    """The float64 nearest to a truncated fixed-point number.

    A truncated number is moved off the exact grid by a sticky bit, so that it cannot pose as a tie between two floats.
    """
    return (2 * fixed + (1 if fixed > 0 else -1 if fixed < 0 else 0)) / (1 << bits + 1)


def ranks(values: Sequence[int]) -> list[int]:
    """Twice the average rank of each value: integers, ties included (the smallest single value gets 2)."""
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0] * len(values)
    first = 1
    for _, group in groupby(order, key=values.__getitem__):
        tied = list(group)
        for position in tied:
            result[position] = 2 * first + len(tied) - 1
        first += len(tied)
    return result


def integers(values: Sequence[float]) -> list[int]:
    """Finite floats times one common power of two: the same numbers up to a scale that no correlation sees."""
    ratios = [value.as_integer_ratio() for value in values]
    common = max((denominator for _, denominator in ratios), default=1)
    return [numerator * (common // denominator) for numerator, denominator in ratios]


def correlation(x: Sequence[int], y: Sequence[int]) -> float:
    """Pearson's correlation of two integer sequences, as the nearest float64. Raises Undefined if one is constant."""
    result = _correlation_interval(x, y, error=0)
    assert result is not None  # without an error the rounding is never open
    return result


def correlation_of_fixed(x_at: Callable[[int], Sequence[int]], y: Sequence[int], bits: int) -> float:
    """Pearson's correlation where x is known in fixed point only, as the nearest float64.

    `x_at(bits)` gives x in units of 2**-bits with an error below one unit. If the error could change the rounding, the
    correlation is computed again with twice the bits (Ziv's strategy).
    """
    for _ in range(4):
        result = _correlation_interval(x_at(bits), y, error=1)
        if result is not None:
            return result
        bits *= 2
    raise Undefined("the correlation lies on the boundary between two floats, or x is constant but for rounding")


def _correlation_interval(x: Sequence[int], y: Sequence[int], error: int) -> float | None:
    """The correlation as a float64, or None if an error of `error` units in each x leaves its rounding open."""
    n = len(x)
    if n < 2:
        raise Undefined("a correlation needs at least two rows")
    sum_x, sum_y = sum(x), sum(y)
    x_squares = n * sum(map(mul, x, x)) - sum_x * sum_x
    y_squares = n * sum(map(mul, y, y)) - sum_y * sum_y
    if y_squares == 0 or (x_squares == 0 and error == 0):
        raise Undefined("all values are equal")
    # Centred, x is a vector of length sqrt(x_squares / n); moved by less than 2 * error * sqrt(n) in all, its direction
    # turns by less than 2 * error * n / sqrt(x_squares), and its cosine with y changes by at most twice that.
    length = isqrt(x_squares)
    if length <= 4 * error * n:
        if error and length == 0:
            raise Undefined("all values are equal")
        return None
    product = n * sum(map(mul, x, y)) - sum_x * sum_y
    bits = 192
    root, cut = _sqrt_with_rest(product * product << 2 * bits, x_squares * y_squares)
    if error == 0:
        size = (2 * root + cut) / (1 << bits + 1)
    else:
        slack = ((4 * error * n) << bits) // length + 1
        size, other = (root - slack) / (1 << bits), (root + slack + 1) / (1 << bits)
        if size != other:
            return None
    return min(size, 1.0) if product > 0 else -min(size, 1.0)


def _sqrt_with_rest(numerator: int, denominator: int) -> tuple[int, bool]:
    """floor(sqrt(numerator / denominator)) and whether anything was cut off."""
    quotient, remainder = divmod(numerator, denominator)
    root = isqrt(quotient)
    return root, bool(remainder) or root * root != quotient
