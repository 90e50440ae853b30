"""The six scores of a pair set, exact: cosine, euclidean and manhattan similarity against human scores.

Embeddings are int32 micro-units. Dot products and distances are exact in int64; each similarity is a signed square
root of a ratio of integers, kept in fixed point with so many bits that different similarities stay different and equal
ones equal. Square roots and correlations of integers are rounded once, at the very end: every result is the float64 nearest
to the true real number, and nothing depends on the order of a sum, on a library or on a processor. Names follow MTEB; a
distance counts negated, so that more is more similar.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from math import isqrt
from operator import mul
from typing import NamedTuple

import msgspec
import numpy as np

from aqea_registry.vectors.pair_set import Micro


class Undefined(ValueError):
    """The number does not exist, for example a correlation with a constant."""


def fixed_sqrt(sign: int, numerator: int, denominator: int, bits: int) -> int:
    """Sign * sqrt(numerator / denominator) in units of 2**-bits, truncated towards zero (error below one unit)."""
    return sign * isqrt((numerator << 2 * bits) // denominator)


def nearest_float(fixed: int, bits: int) -> float:
    """The float64 nearest to a truncated fixed-point number, whose sticky bit keeps it from posing as a tie between two."""
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
    sums = _sums(x, y)
    if sums.x_squares == 0 or sums.y_squares == 0:
        raise Undefined("all values are equal")
    root, cut, bits = _root(sums)
    size = min((2 * root + cut) / (1 << bits + 1), 1.0)
    return size if sums.product > 0 else -size if sums.product < 0 else 0.0


def correlation_of_fixed(x_at: Callable[[int], Sequence[int]], y: Sequence[int], bits: int) -> float:
    """Pearson's correlation where x is known in fixed point only, as the nearest float64.

    `x_at(bits)` gives x in units of 2**-bits with an error below one unit. If the error could change the rounding, the
    correlation is computed again with twice the bits (Ziv's strategy). Zero alone is never left by that: a correlation that
    cannot be distinguished from zero with sixteen times the bits is zero. Raises Undefined if x or y is constant.
    """
    ends: tuple[float, float] | None = None
    for _ in range(5):
        ends = _ends(x_at(bits), y)
        if ends is not None and ends[0] == ends[1]:
            return ends[0] + 0.0  # never minus zero
        bits *= 2
    if ends is not None and ends[0] <= 0 <= ends[1]:
        return 0.0
    raise Undefined("the correlation lies on the boundary between two floats, or x is constant but for rounding")


class _Sums(NamedTuple):
    """n times the centred sums: of products, of squares of x and of y. All"""

    product: int
    x_squares: int
    y_squares: int


def _sums(x: Sequence[int], y: Sequence[int]) -> _Sums:
    n = len(x)
    if n < 2:
        raise Undefined("a correlation needs at least two rows")
    sum_x, sum_y = sum(x), sum(y)
    return _Sums(
        product=n * sum(map(mul, x, y)) - sum_x * sum_y,
        x_squares=n * sum(map(mul, x, x)) - sum_x * sum_x,
        y_squares=n * sum(map(mul, y, y)) - sum_y * sum_y,
    )


def _root(sums: _Sums) -> tuple[int, bool, int]:
    """The correlation's size in fixed point: its floor, whether anything was cut off, and the bits behind the point.

    So many bits that at least 128 of them follow the leading zeros, however small the correlation is.
    """
    numerator, denominator = sums.product * sums.product, sums.x_squares * sums.y_squares
    bits = 128 + max(0, (denominator.bit_length() - numerator.bit_length()) // 2 + 1)
    quotient, remainder = divmod(numerator << 2 * bits, denominator)
    root = isqrt(quotient)
    return root, bool(remainder) or root * root != quotient, bits


def _ends(x: Sequence[int], y: Sequence[int]) -> tuple[float, float] | None:
    """Both ends of what the correlation may be if each x is off by less than one unit, rounded; None if that says nothing."""
    sums = _sums(x, y)
    length = isqrt(sums.x_squares)
    if length == 0 or sums.y_squares == 0:
        raise Undefined("all values are equal")
    # Centred, x is a vector of length sqrt(x_squares / n); moved by less than 2 * sqrt(n) in all, its direction turns by
    # less than 2 * n / sqrt(x_squares), and its cosine with y changes by at most twice that.
    if length <= 4 * len(x):
        return None
    root, _, bits = _root(sums)
    slack = ((4 * len(x)) << bits) // length + 1
    low, high = (max(-1.0, min(1.0, end / (1 << bits))) for end in (root - slack, root + slack + 1))
    return (low, high) if sums.product >= 0 else (-high, -low)


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Correlations with the human scores, in -1..1, each the float64 nearest to the true value."""

    cos_sim_pearson: float
    cos_sim_spearman: float
    euclidean_pearson: float
    euclidean_spearman: float
    manhattan_pearson: float
    manhattan_spearman: float


class Products(NamedTuple):
    """What the similarities of every pair rest on: exact integers, one entry per row, in micro-units or their squares."""

    dot: list[int]
    norm1: list[int]
    norm2: list[int]
    distance: list[int]
    manhattan: list[int]


def products(blocks: Iterable[tuple[Micro, Micro]]) -> Products:
    """Integer products of two matrices that come in blocks of rows. Raises ValueError if a product would leave int64."""
    columns = [list(chain.from_iterable(column)) for column in zip(*_block_products(blocks), strict=True)]
    return Products(*(columns or [[]] * 5))


def cosines(rows: Products) -> list[float]:
    """The cosine of each pair, the float64 nearest to the true value. Raises Undefined for a zero vector."""
    bits = _bits(rows)
    return [min(1.0, max(-1.0, nearest_float(value, bits))) for value in _cosine(rows, bits)]


def metrics(rows: Products, scores: Sequence[float]) -> Metrics:
    """All six correlations. Raises Undefined where one does not exist."""
    human = integers(scores)
    human_ranks = ranks(human)
    values: dict[str, float] = {}
    for name, similarity in (("cos_sim", _cosine), ("euclidean", _euclidean), ("manhattan", _manhattan)):
        values[f"{name}_spearman"], values[f"{name}_pearson"] = _correlations(
            partial(similarity, rows), _bits(rows), human, human_ranks
        )
    return Metrics(**values)


def _correlations(
    similarity: Callable[[int], list[int]], bits: int, human: list[int], human_ranks: list[int]
) -> tuple[float, float]:
    """Spearman's and Pearson's correlation of a similarity, which is given in fixed point with any number of bits."""
    fixed = similarity(bits)
    spearman = correlation(ranks(fixed), human_ranks)
    return spearman, correlation_of_fixed(lambda wanted: fixed if wanted == bits else similarity(wanted), human, bits)


def _block_products(blocks: Iterable[tuple[Micro, Micro]]) -> Iterator[tuple[list[int], ...]]:
    for first, second in blocks:
        a, b = first.astype(np.int64), second.astype(np.int64)
        largest = max(int(np.abs(a).max(initial=0)), int(np.abs(b).max(initial=0)))
        if 4 * largest * largest * a.shape[1] >= 1 << 63:
            raise ValueError(f"a value of {largest} micro-units is too large: products would leave int64")
        difference = a - b
        yield (
            np.einsum("ij,ij->i", a, b).tolist(),
            np.einsum("ij,ij->i", a, a).tolist(),
            np.einsum("ij,ij->i", b, b).tolist(),
            np.einsum("ij,ij->i", difference, difference).tolist(),
            np.abs(difference).sum(axis=1).tolist(),
        )


def _bits(rows: Products) -> int:
    """Enough bits to keep different similarities apart.

    Two different ratios with denominators up to q differ by at least 1/q**2, so two cosines by at least 1/(2 q**2);
    64 bits more leave room for the correlations' rounding.
    """
    return 2 * max(map(mul, rows.norm1, rows.norm2), default=1).bit_length() + 66


def _cosine(rows: Products, bits: int) -> list[int]:
    if not all(rows.norm1) or not all(rows.norm2):
        raise Undefined("a zero vector has no cosine")
    squares = map(mul, rows.norm1, rows.norm2)
    return [fixed_sqrt(1 if dot >= 0 else -1, dot * dot, both, bits) for dot, both in zip(rows.dot, squares, strict=True)]


def _euclidean(rows: Products, bits: int) -> list[int]:
    return [fixed_sqrt(-1, square, 1, bits) for square in rows.distance]


def _manhattan(rows: Products, bits: int) -> list[int]:
    return [-value << bits for value in rows.manhattan]
