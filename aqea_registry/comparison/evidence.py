"""What a diagnosis rests on: how two sets of vectors are related, rows found again elsewhere, and scores of any vectors.

Pure. Relations are measured on a sample. The six scores of a pair set are exact on the grid (`vectors.scores`); off it, or for
very many rows, they are float64, whose sums have an error of some 1e-15: enough for what is printed, and the same for both
sides of a comparison.
"""

from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.comparison.measures import Measurements, OneSide
from aqea_registry.vectors.exact import Undefined
from aqea_registry.vectors.pair_set import Values
from aqea_registry.vectors.scores import Metrics, Products, metrics

Rows = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
Marks = npt.NDArray[np.float32]
Kind = Literal[
    "order",  # the same rows, in another order
    "columns",  # embeddings1 and embeddings2 exchanged
    "scale",  # every vector times one factor
    "normalisation",  # the same directions, lengths not 1
    "axes",  # the same geometry: coordinates in another order, with other signs, or rotated
    "dimension",  # another number of coordinates
    "count",  # another number of rows
    "labels",  # other human scores
    "revision",  # some rows differ in vectors and labels
    "rows",  # some rows differ, the others do not
    "precision",  # noise in every row
    "storage",  # the same numbers, rounded to fewer digits
    "prefix",
    "pooling",
    "casing",
    "truncation",
    "encoding",  # related vectors: the same sentences, encoded in another way
    "model",  # unrelated vectors, related similarities
    "everything",  # nothing in common was found
]
Basis = Literal["shown", "suggested", "reproduced"]

NAMED = 5  # row numbers that are listed of many
SHUFFLES = 50
# Projections are of the size of 1; half precision moves them by some 1e-3. With four of them or more, two unrelated rows agree
# so well by a chance of 1e-10 at most.
NEAR = 5e-3
LOOKS = 4096  # candidates for a row, at most: many equal rows must not take the square of their number
TRIED = 200
LEAST = 0.9  # of the rows, as many must be found
EXACT_ROWS = 50_000  # exact integers of more rows than this take longer than all the rest


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of difference and what supports it.

    `shown` follows from the numbers of both files; `suggested` fits them, as do the other `candidates`; `reproduced` was
    found by encoding sentences that way, which gave the other file's vectors.
    """

    kind: Kind
    basis: Basis
    message: str
    evidence: tuple[str, ...] = ()
    candidates: tuple[Kind, ...] = ()


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Two pair sets as measured, both sets' human scores, and how far a value of a unit vector may be off."""

    measured: Measurements
    before: Values | None
    after: Values | None
    bound: float

    def changed(self) -> Rows:
        """Which vectors of which matrix differ beyond the bound, n x 2, relative to the first set's lengths."""
        return self.measured.between.differences > self.bound * lengths(self.measured.before)[: self.common]

    def within(self) -> bool:
        """Whether both have the same shape, and no value is off by more than the bound."""
        before, after = self.measured.before, self.measured.after
        return (before.n_pairs, before.dimension) == (after.n_pairs, after.dimension) and not self.changed().any()

    @property
    def common(self) -> int:
        """The number of rows that both have."""
        return len(self.measured.between.differences)

    def labels(self) -> Rows:
        """Which of the common rows have other human scores; none where a file has no scores."""
        if self.before is None or self.after is None:
            return np.zeros(self.common, bool)
        return np.asarray(self.before[: self.common] != self.after[: self.common])


def lengths(side: OneSide) -> Values:
    """The lengths of all vectors, n x 2."""
    return np.sqrt(np.stack([side.norm1, side.norm2], axis=1)) / 1e6


def rows_text(rows: npt.NDArray[np.integer]) -> str:
    """Some row numbers for people, counted from 0."""
    named = ", ".join(map(str, rows[:NAMED].tolist()))
    return f"{named} and {len(rows) - NAMED} more" if len(rows) > NAMED else named


class Relation(NamedTuple):
    """The correlation of all similarities within one set with those within the other: the Mantel test."""

    value: float
    chance: float  # the largest of SHUFFLES correlations after the other set's rows were shuffled
    spread: float  # their deviation

    def holds(self) -> bool:
        """Whether it is more than chance explains."""
        return self.value > 0.1 and self.value > self.chance + 3 * self.spread

    def text(self) -> str:
        """The relation for people."""
        return f"similarities within the sample correlate with {self.value:.3f}, by chance with {self.chance:.3f} at most"


def vectors_of(measured: Measurements) -> tuple[Values, Values]:
    """The sample's vectors, both matrices below each other: rows x dimension each."""
    before, after = measured.sample.before, measured.sample.after
    return before.reshape(-1, before.shape[-1]), after.reshape(-1, after.shape[-1])


def unit(vectors: Values) -> Values:
    """Vectors of length 1; zero stays zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300))


def recognised(measured: Measurements) -> float:
    """The share of the sample's vectors whose nearest one in the other set is their counterpart, or as near as that."""
    before, after = map(unit, vectors_of(measured))
    alike = before @ after.T
    return float((np.diag(alike) >= alike.max(axis=1) - 1e-9).mean())


def relation(measured: Measurements) -> Relation:
    """How similarities within one set go with those within the other, whatever the coordinates."""
    before, after = (rows @ rows.T for rows in map(unit, vectors_of(measured)))
    upper = np.triu_indices(len(before), 1)
    chance = np.random.default_rng(0)
    orders = [np.arange(len(after)), *(chance.permutation(len(after)) for _ in range(SHUFFLES))]
    value, *shuffled = [correlation(before[upper], after[np.ix_(order, order)][upper]) or 0.0 for order in orders]
    return Relation(value, max(shuffled), float(np.std(shuffled)))


class Matched(NamedTuple):
    """Rows of the second set that were found in the first: `rows` of the second are `origin` of the first, each once."""

    rows: Positions
    origin: Positions


def match(first: Marks, second: Marks, moved: Positions, *, least: float = LEAST) -> Matched | None:
    """Find the moved rows of the second set among the first's; None if less than a share of `least` is found.

    Marks are n x vectors x projections. Each row of the first is used once. For sets of equal length only moved rows of the
    first are used.
    """
    if not len(moved):
        return None
    here = first.reshape(len(first), -1)
    there = second.reshape(len(second), -1)
    free = moved if len(first) == len(second) else np.arange(len(first))
    order = free[np.argsort(here[free, 0], kind="stable")]
    sorted_marks = here[order]
    taken = np.zeros(len(order), bool)
    starts = np.searchsorted(sorted_marks[:, 0], there[moved, 0] - NEAR)
    ends = np.searchsorted(sorted_marks[:, 0], there[moved, 0] + NEAR)
    rows: list[int] = []
    origin: list[int] = []
    for tried, (row, start, end) in enumerate(zip(moved.tolist(), starts.tolist(), ends.tolist(), strict=True)):
        if tried == TRIED and len(rows) < least * tried * 0.8:
            return None
        window = slice(start, min(end, start + LOOKS))
        gaps = np.abs(sorted_marks[window] - there[row]).max(axis=1, initial=0)
        gaps[taken[window]] = np.inf
        if len(gaps) and gaps.min() <= NEAR:
            nearest = start + int(gaps.argmin())
            taken[nearest] = True
            rows.append(row)
            origin.append(int(order[nearest]))
    if not rows or len(rows) < least * len(moved):
        return None
    return Matched(np.array(rows), np.array(origin))


def order_text(matched: Matched, count: int) -> str:
    """The permutation in words: reversed, shifted, some exchanged, or without a pattern."""
    rows, origin = matched
    moved = int((rows != origin).sum())
    if len(rows) >= count - 1 and (rows + origin == count - 1).all():
        return "the order is reversed"
    shift = (rows - origin) % count
    if len(rows) == count and (shift == shift[0]).all():
        return f"every row is shifted by {min(int(shift[0]), count - int(shift[0]))}"
    back = dict(zip(rows.tolist(), origin.tolist(), strict=True))
    if all(back.get(source) == row for row, source in back.items()):
        return f"rows exchanged in pairs: {moved} moved"
    return f"{moved} rows moved, without a simple pattern"


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
    _, counts = np.unique(cosines(side), return_counts=True)
    return int(counts[counts > 1].sum())


def cosines(side: OneSide) -> Values:
    """The cosine of each pair; of a zero vector 0."""
    lengths = np.sqrt(side.norm1 * side.norm2)
    return np.divide(side.dot, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def rank_changes(before: OneSide, after: OneSide) -> int:
    """The number of pairs whose rank by cosine changed. Both sets have equally many."""
    return int((ranks(cosines(before)) != ranks(cosines(after))).sum())


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
    return {"cos_sim": cosines(side), "euclidean": -np.sqrt(side.distance), "manhattan": -side.manhattan}


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
