"""Measure two pair sets side by side in one pass: some 200 bytes are kept of a row, of an even sample the vectors. Pure."""

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aqea_registry.vectors.pair_set import MICRO, Values

Block = tuple[Values, Values]  # some rows of both matrices, k x dimension each

SAMPLE = 256  # rows whose vectors are kept, at least half as many where there are enough
LARGEST = 1e100
MARKS = 4  # projections of each vector, by which a row is known again elsewhere


class OneSide(NamedTuple):
    """One pair set, one entry per row: products in micro-units (exact integers if on the grid) and squares of them.

    `marks` are n x 2 x MARKS projections of both vectors, scaled to length 1. `forms` names every number format that holds
    all of the values, see FORMS.
    """

    dimension: int
    forms: frozenset[str]
    dot: Values
    norm1: Values
    norm2: Values
    distance: Values
    manhattan: Values
    marks: npt.NDArray[np.float32]

    @property
    def n_pairs(self) -> int:
        """The number of rows."""
        return len(self.dot)

    @property
    def is_canonical(self) -> bool:
        """Whether all values are on the grid of 1e-6, or are the float32 nearest to values on it."""
        return not self.forms.isdisjoint({CANONICAL, CANONICAL32})


class Between(NamedTuple):
    """Both pair sets, over the rows and the leading columns that both have; n x 2, one column per matrix.

    `cosines` are of each vector with the other set's, `crossed` of each with the other set's *other* matrix; `differences` are
    the largest absolute ones of a row, `ratios` the other's length divided by this one's. `equal_on_grid` says that all values
    are equal, rounded to micro-units.
    """

    cosines: Values
    crossed: Values
    differences: Values
    ratios: Values
    equal_on_grid: bool


class Sample(NamedTuple):
    """The vectors of an even sample of rows, k x 2 x dimension, of both sets."""

    before: Values
    after: Values


class Measurements(NamedTuple):
    """Everything that decides a comparison, except the human scores."""

    before: OneSide
    after: OneSide
    between: Between
    sample: Sample


def measure(before: Iterable[Block], after: Iterable[Block]) -> Measurements:
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
    both = Between(cosines, crossed, differences, ratios, on_grid)
    return Measurements(sides[0].finish(), sides[1].finish(), both, sample.finish())


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
    """What Between says of a block, given each matrix with its counterpart: cosines, crossed, differences, ratios, two each."""
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

    def finish(self) -> Sample:
        before, after = (np.array([matrices[at : at + 2] for matrices in self.kept.values()]) for at in (0, 2))
        return Sample(before, after)
