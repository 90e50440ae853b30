"""The nearest documents of each query, exactly: whole dot products, compared as fractions where two are closer than floats are.

Vectors are canonical ones: whole micro-units, here as float64. As long as no squared norm reaches 2**53 every sum of products
is a whole number below 2**53 (Cauchy-Schwarz), so a float64 matrix product is exact in any order of summation: whatever the
blocks, threads and processor. Of equal cosines the document of the lower number is the nearer one.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.float64]  # whole numbers
Columns = npt.NDArray[np.integer]
Ranked = tuple[Columns, npt.NDArray[np.float64]]  # numbers of a query's documents, the nearest first, and their cosines

ROWS = 256  # queries of a block of dot products
CLOSE = 2.0**-50  # relative; floats that are further apart than this are in the order of the true cosines


def squares(vectors: Whole) -> Whole:
    """The squared norm of each vector (last axis). Raises ValueError where products would not be exact."""
    found = np.einsum("...i,...i->...", vectors, vectors)
    if np.max(found, initial=0) >= 2**53:
        raise ValueError("the vectors are too long for exact products: they must be micro-units of vectors of length one")
    return np.asarray(found)


def cosine(dots: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Cosines of dot products and squared norms, by the same three roundings on every machine; exactly 1 of equal vectors."""
    return np.divide(dots, np.sqrt(np.multiply(first, second)))


def order(dots: Whole, norms: Whole) -> Columns:
    """The order of one query's documents by falling cosine, that is by dot / sqrt(norm), exactly; equal ones as they stand."""
    close = dots / np.sqrt(norms)
    found = np.argsort(-close, kind="stable")
    close, product, norm = close[found], dots[found], norms[found]
    differ = (product[:-1] != product[1:]) | (norm[:-1] != norm[1:])
    if np.any(differ & (close[:-1] - close[1:] <= CLOSE * np.abs(close[:-1]))):
        exact = [Fraction(-dot * abs(dot), norm) for dot, norm in zip(map(int, dots), map(int, norms), strict=True)]
        found = np.array(sorted(range(len(exact)), key=exact.__getitem__))
    return found


def best(dots: Whole, norms: Whole, k: int) -> Columns:
    """Of each row of `dots` (queries x documents) the columns of the k nearest, ascending (queries x k at most)."""
    if dots.shape[1] <= k:
        return np.broadcast_to(np.arange(dots.shape[1]), dots.shape)
    close = dots / np.sqrt(norms)
    least = np.partition(close, -k, axis=1)[:, -k]
    kept = close >= (least - CLOSE * np.abs(least))[:, None]
    norms = np.broadcast_to(norms, dots.shape)
    for row in np.flatnonzero(np.count_nonzero(kept, axis=1) > k):
        columns = np.flatnonzero(kept[row])
        kept[row, columns[order(dots[row, columns], norms[row, columns])[k:]]] = False
    return np.asarray(np.flatnonzero(kept).reshape(len(dots), k) % dots.shape[1])


def nearest(queries: Whole, blocks: Iterable[tuple[Columns, Whole]], k: int) -> Iterator[Ranked]:
    """For each query the k nearest of documents, which come in blocks of their numbers and vectors, in any order.

    Memory for k documents a query and for one block.
    """
    empty = (np.empty((len(queries), 0)), np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64))
    kept = [*zip(*map(_parts, empty), strict=True)]  # of each part of the queries dot products, squared norms, numbers
    for numbers, block in blocks:
        rising = np.argsort(numbers)
        numbers, block = np.asarray(numbers)[rising], block[rising]
        norms = squares(block)
        for part, rows in enumerate(_parts(queries)):
            dots = rows @ block.T
            columns = best(dots, norms, k)
            new = (np.take_along_axis(dots, columns, axis=1), norms[columns], numbers[columns])
            joined = [np.concatenate(pair, axis=1) for pair in zip(kept[part], new, strict=True)]
            both = _taken(joined, np.argsort(joined[2], axis=1))  # of equal ones the least number is to stand first
            kept[part] = _taken(both, best(both[0], both[1], k))
    every = chain.from_iterable(zip(*part, strict=True) for part in kept)
    for (dots, norms, numbers), own in zip(every, squares(queries), strict=True):
        found = order(dots, norms)
        yield numbers[found], np.minimum.accumulate(cosine(dots[found], norms[found], own))  # no rounding makes them rise


def _taken(values: Iterable[npt.NDArray[Any]], columns: Columns) -> tuple[Any, ...]:
    return tuple(np.take_along_axis(value, columns, axis=1) for value in values)


def _parts(rows: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
