"""The six scores of a pair set, exact: cosine, euclidean and manhattan similarity against human scores.

Embeddings are int32 micro-units. Dot products and distances are exact in int64; each similarity is a signed square
root of a ratio of integers, kept in fixed point with so many bits that different similarities stay different and equal
ones equal. Names follow MTEB; a distance counts negated, so that more is more similar.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import mul
from typing import NamedTuple

import msgspec
import numpy as np

from aqea_registry.vectors import exact
from aqea_registry.vectors.pair_set import Micro


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
    """The cosine of each pair, the float64 nearest to the true value. Raises exact.Undefined for a zero vector."""
    bits = _bits(rows)
    return [min(1.0, max(-1.0, exact.nearest_float(value, bits))) for value in _cosine(rows, bits)]


def metrics(rows: Products, scores: Sequence[float]) -> Metrics:
    """All six correlations. Raises exact.Undefined where one does not exist."""
    human = exact.integers(scores)
    human_ranks = exact.ranks(human)
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
    spearman = exact.correlation(exact.ranks(fixed), human_ranks)
    return spearman, exact.correlation_of_fixed(lambda wanted: fixed if wanted == bits else similarity(wanted), human, bits)


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
    q = max(map(mul, rows.norm1, rows.norm2), default=1)
    return 2 * q.bit_length() + 66


def _cosine(rows: Products, bits: int) -> list[int]:
    if not all(rows.norm1) or not all(rows.norm2):
        raise exact.Undefined("a zero vector has no cosine")
    squares = map(mul, rows.norm1, rows.norm2)
    return [exact.fixed_sqrt(1 if dot >= 0 else -1, dot * dot, both, bits) for dot, both in zip(rows.dot, squares, strict=True)]


def _euclidean(rows: Products, bits: int) -> list[int]:
    return [exact.fixed_sqrt(-1, square, 1, bits) for square in rows.distance]


def _manhattan(rows: Products, bits: int) -> list[int]:
    return [-value << bits for value in rows.manhattan]
