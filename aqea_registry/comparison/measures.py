"""Measure two pair sets side by side in one pass: some 200 bytes are kept of a row, of an even sample the vectors. Pure.

The six scores of a pair set are exact on the grid (`vectors.scores`); off it, or for very many rows, they are float64, whose
sums have an error of some 1e-15: enough for what is printed, and the same for both sides of a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.vectors.pair_set import MICRO, Values
from aqea_registry.vectors.scores import Metrics, Products, Undefined, metrics

Rows = npt.NDArray[np.bool_]
Block = tuple[Values, Values]  # some rows of both matrices, k x dimension each

SAMPLE = 256  # rows whose vectors are kept, at least half as many where there are enough
LARGEST = 1e100
EXACT_ROWS = 50_000  # exact integers of more rows than this take longer than all the rest
MARKS = 4  # projections of each vector, by which a row is known again elsewhere


class OneSide(NamedTuple):
    """One pair set, one entry per row: products in micro-units (exact integers if on the grid) and squares of them.

    `marks` are n x 2 x MARKS projections of both vectors, scaled to length 1. `forms` names every number format that holds
    all of the values, see FORMS. `human` are the scores beside the vectors, None where the file has none.
    """

    dimension: int
    forms: frozenset[str]
    dot: Values
    norm1: Values
    norm2: Values
    distance: Values
    manhattan: Values
    marks: npt.NDArray[np.float32]
    human: Values | None = None

    @property
    def n_pairs(self) -> int:
        """The number of rows."""
        return len(self.dot)

    @property
    def is_canonical(self) -> bool:
        """Whether all values are on the grid of 1e-6, or are the float32 nearest to values on it."""
        return not self.forms.isdisjoint({CANONICAL, CANONICAL32})

    @property
    def lengths(self) -> Values:
        """The lengths of all vectors, n x 2."""
        return np.sqrt(np.stack([self.norm1, self.norm2], axis=1)) / 1e6

    @property
    def cosines(self) -> Values:
        """The cosine of each pair; of a zero vector 0."""
        lengths = np.sqrt(self.norm1 * self.norm2)
        return np.divide(self.dot, lengths, out=np.zeros_like(lengths), where=lengths > 0)


class Compared(NamedTuple):
    """Two pair sets, and what lies between them over the rows and the leading columns that both have.

    n x 2, one column per matrix: `cosines` are of each vector with the other set's, `crossed` of each with the other set's
    *other* matrix; `differences` are the largest absolute ones of a row, `ratios` the other's length divided by this one's.
    `equal_on_grid` says that all values are equal, rounded to micro-units. `sample` has the vectors of an even sample of rows,
    k x 2 x dimension, of both sets. `bound` is how far a value of a unit vector may be off.
    """

    before: OneSide
    after: OneSide
    cosines: Values
    crossed: Values
    differences: Values
    ratios: Values
    equal_on_grid: bool
    sample: tuple[Values, Values]
    bound: float

    def with_scores(self, before: Values | None, after: Values | None) -> Compared:
        """The same with both sets' human scores."""
        return self._replace(before=self.before._replace(human=before), after=self.after._replace(human=after))

    @property
    def common(self) -> int:
        """The number of rows that both have."""
        return len(self.differences)

    @property
    def vectors(self) -> tuple[Values, Values]:
        """The sample's vectors, both matrices below each other: rows x dimension each."""
        before, after = self.sample
        return before.reshape(-1, before.shape[-1]), after.reshape(-1, after.shape[-1])

    def changed(self) -> Rows:
        """Which vectors of which matrix differ beyond the bound, n x 2, relative to the first set's lengths."""
        return self.differences > self.bound * self.before.lengths[: self.common]

    def same_shape(self) -> bool:
        """Whether both have as many rows and coordinates."""
        return (self.before.n_pairs, self.before.dimension) == (self.after.n_pairs, self.after.dimension)

    def within(self) -> bool:
        """Whether both have the same shape, and no value is off by more than the bound."""
        return self.same_shape() and not self.changed().any()

    def labels(self) -> Rows:
        """Which of the common rows have other human scores; none where a file has no scores."""
        if self.before.human is None or self.after.human is None:
            return np.zeros(self.common, bool)
        return np.asarray(self.before.human[: self.common] != self.after.human[: self.common])


def measure(before: Iterable[Block], after: Iterable[Block], bound: float) -> Compared:
    """Go through both pair sets once. Blocks must hold equally many rows, but for the last. Raises ValueError for no rows."""
    sides = _Side(), _Side()
    between, sample, start, on_grid = list[tuple[Values, ...]](), _Sample(), 0, True
    for blocks in zip_longest(before, after):
        lengths = [side.add(block) for side, block in zip(sides, blocks, strict=True) if block is not None]
        old, new = blocks
        if old is not None and new is not None:
            count, width = min(lengths), min(old[0].shape[1], new[0].shape[1])
            pairs = [(first[:count, :width], second[:count, :width]) for first, second in zip(old, new, strict=True)]
            between.append(_between(pairs))
            on_grid = on_grid and all(np.array_equal(np.rint(a * MICRO), np.rint(b * MICRO)) for a, b in pairs)
            sample.add(start, [matrix[:count] for matrix in (*old, *new)])
        start += max(lengths)
    if not between:
        raise ValueError("a pair set without rows")
    columns = [np.concatenate(column) for column in zip(*between, strict=True)]
    cosines, crossed, differences, ratios = (np.stack(columns[at : at + 2], axis=1) for at in (0, 2, 4, 6))
    ends = sides[0].finish(), sides[1].finish()
    return Compared(*ends, cosines, crossed, differences, ratios, on_grid, sample.finish(), bound)


def _decimals(digits: int) -> Callable[[Values], bool]:
    return lambda values: bool((np.rint(values * 10**digits) / 10**digits == values).all())


def _is_micro_in_float32(values: Values) -> bool:
    """Whether each value is the float32 nearest to a number on the grid, as AQED stores canonical vectors."""
    nearest = (np.rint(values * MICRO) / MICRO).astype(np.float32)
    return bool(np.abs(values).max(initial=0) < 8) and bool((nearest == values).all())


def _is_bfloat16(values: Values) -> bool:
    single = values.astype(np.float32)
    return bool((single == values).all()) and not (single.view(np.uint32) & 0xFFFF).any()


def _is_float32(values: Values) -> bool:
    """Whether each value is a float32; of a text with their shortest digits the first few of a block are compared."""
    single = values.astype(np.float32)
    return bool((single == values).all()) or all(
        float(str(rounded)) == value for rounded, value in zip(single[0, :16], values[0, :16].tolist(), strict=True)
    )


CANONICAL, CANONICAL32 = "millionths", "millionths in float32"
# The most special first: what a file's numbers are called is the first that holds for all of them, or else float64.
FORMS: dict[str, Callable[[Values], bool]] = {
    **{f"{digits} decimals": _decimals(digits) for digits in range(1, 6)},
    "float16": lambda values: bool((values.astype(np.float16) == values).all()),
    "bfloat16": _is_bfloat16,
    CANONICAL: _decimals(6),
    CANONICAL32: _is_micro_in_float32,
    "float32": _is_float32,
}


class _Side:
    def __init__(self) -> None:
        self.columns: list[tuple[npt.NDArray[np.floating], ...]] = []
        self.forms = dict(FORMS)
        self.directions: Values | None = None
        self.dimension = 0

    def add(self, block: Block) -> int:
        if self.directions is None:
            self.dimension = block[0].shape[1]
            self.directions = np.random.default_rng(0).standard_normal((self.dimension, MARKS))
        if any(matrix.shape != (len(block[0]), self.dimension) for matrix in block):
            raise ValueError("the two matrices have different shapes")
        if any(np.abs(matrix).max(initial=0) > LARGEST for matrix in block):
            raise ValueError(f"a value of more than {LARGEST:g}: its square would leave float64")
        with np.errstate(over="ignore"):  # what is too large for a format is not in it
            self.forms = {name: holds for name, holds in self.forms.items() if all(map(holds, block))}
        on_grid = CANONICAL in self.forms or CANONICAL32 in self.forms
        first, second = (np.rint(matrix * MICRO) if on_grid else matrix * MICRO for matrix in block)
        difference = first - second
        squares = [np.einsum("ij,ij->i", rows, rows) for rows in (first, second, difference)]
        dot, manhattan = np.einsum("ij,ij->i", first, second), np.abs(difference, out=difference).sum(axis=1)
        lengths = (np.sqrt(np.where(square > 0, square, 1)) for square in squares[:2])
        marks = [rows @ self.directions / length[:, None] for rows, length in zip((first, second), lengths, strict=True)]
        self.columns.append((dot, *squares, manhattan, np.stack(marks, axis=1).astype(np.float32)))
        return len(dot)

    def finish(self) -> OneSide:
        columns = (np.concatenate(column) for column in zip(*self.columns, strict=True))
        return OneSide(self.dimension, frozenset(self.forms), *columns)


def _between(pairs: Sequence[Block]) -> tuple[Values, ...]:
    """What lies between two blocks, given each matrix with its counterpart: cosines, crossed, differences, ratios, two each."""
    lengths = [[np.sqrt(np.einsum("ij,ij->i", rows, rows)) for rows in pair] for pair in pairs]
    orders = (0, 0), (1, 1), (0, 1), (1, 0)
    cosines = [_cosines(pairs[i][0], pairs[j][1], lengths[i][0] * lengths[j][1]) for i, j in orders]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [np.nan_to_num(after / before, nan=1.0) for before, after in lengths]
    return *cosines, *(np.abs(before - after).max(axis=1) for before, after in pairs), *ratios


def _cosines(before: Values, after: Values, lengths: Values) -> Values:
    """Cosines row by row; of a zero vector 0."""
    products = np.einsum("ij,ij->i", before, after)
    return np.asarray(np.clip(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0), -1, 1))


class _Sample:
    """Every step-th row, where the step doubles whenever there are too many."""

    def __init__(self) -> None:
        self.step = 1
        self.kept: dict[int, list[Values]] = {}

    def add(self, start: int, matrices: list[Values]) -> None:
        for row in range(-start % self.step, len(matrices[0]), self.step):
            self.kept[start + row] = [matrix[row].copy() for matrix in matrices]
        while len(self.kept) > SAMPLE:
            self.step *= 2
            self.kept = {row: vectors for row, vectors in self.kept.items() if row % self.step == 0}

    def finish(self) -> tuple[Values, Values]:
        before, after = (np.array([matrices[at : at + 2] for matrices in self.kept.values()]) for at in (0, 2))
        return before, after


def scores_of(side: OneSide, human: Values) -> Metrics | None:
    """All six correlations; None where one does not exist."""
    largest = max(float(side.norm1.max()), float(side.norm2.max()))
    if side.is_canonical and side.n_pairs <= EXACT_ROWS and 4 * largest < 2.0**53:  # all integers are exact in float64
        columns = {name: getattr(side, name).astype(np.int64).tolist() for name in Products._fields}
        try:
            return metrics(Products(**columns), human.tolist())
        except Undefined:
            return None
    return _in_float64(side, human)


def with_ties_of(canonical: OneSide, side: OneSide, human: Values, plain: Metrics) -> Metrics:
    """The `plain` correlations of a set off the grid, where pairs that tie in a canonical one are made to tie again.

    Equal texts have equal vectors, and their cosine is 1. Float32 noise puts such pairs in a random order, and a rank
    correlation sees nothing but order: 19 such pairs among 356 moved one by 0.013 points.
    """
    exact, noisy = _similarities(canonical), _similarities(side)
    kept: dict[str, float] = {}
    for name, similarity in exact.items():
        _, position, counts = np.unique(similarity, return_inverse=True, return_counts=True)
        spearman = correlation(ranks((np.bincount(position, noisy[name]) / counts)[position]), ranks(human))
        kept |= {f"{name}_spearman": spearman} if spearman is not None else {}
    return msgspec.structs.replace(plain, **kept)


def tied(side: OneSide) -> int:
    """The number of pairs that have the same cosine as another one."""
    _, counts = np.unique(side.cosines, return_counts=True)
    return int(counts[counts > 1].sum())


def ranks(values: Values) -> Values:
    """Average ranks, from 1."""
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[position], np.float64)


def correlation(x: Values, y: Values) -> float | None:
    """Pearson's correlation; None if one side is constant."""
    if not np.ptp(x) or not np.ptp(y):
        return None
    x, y = x - x.mean(), y - y.mean()
    lengths = float(np.sqrt((x @ x) * (y @ y)))
    return float(np.clip(x @ y / lengths, -1, 1)) if lengths > 0 else None


def _similarities(side: OneSide) -> dict[str, Values]:
    return {"cos_sim": side.cosines, "euclidean": -np.sqrt(side.distance), "manhattan": -side.manhattan}


def _in_float64(side: OneSide, human: Values) -> Metrics | None:
    if side.n_pairs < 2 or not side.norm1.all() or not side.norm2.all():
        return None
    human_ranks = ranks(human)
    values: dict[str, float | None] = {}
    for name, similarity in _similarities(side).items():
        values[f"{name}_pearson"] = correlation(similarity, human)
        values[f"{name}_spearman"] = correlation(ranks(similarity), human_ranks)
    defined = {name: value for name, value in values.items() if value is not None}
    return Metrics(**defined) if len(defined) == len(values) else None
