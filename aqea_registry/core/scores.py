"""The six scores of a pair set that need not be canonical, and how the order of its pairs compares with another's.

On the grid they are the exact ones of `core.metrics`. Off it, or for very many rows, they are float64, whose sums carry an
error of some 1e-15: enough for what is printed, and the same for both sides of a comparison.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.core.differences import CANONICAL, CANONICAL32, OneSide
from aqea_registry.core.exact import Undefined
from aqea_registry.core.metrics import Metrics, Products, metrics

Values = npt.NDArray[np.float64]

EXACT_ROWS = 50_000  # exact integers of more rows than this take longer than all the rest


def is_canonical(side: OneSide) -> bool:
    """Whether all of its values are on the grid of 1e-6, or are the float32 nearest to values on it."""
    return not side.forms.isdisjoint({CANONICAL, CANONICAL32})


def scores_of(side: OneSide, human: Values) -> Metrics | None:
    """All six correlations; None where one does not exist."""
    largest = max(float(side.norm1.max()), float(side.norm2.max()))
    if is_canonical(side) and side.n_pairs <= EXACT_ROWS and 4 * largest < 2.0**53:  # all integers are exact in float64
        columns = (side.dot, side.norm1, side.norm2, side.distance, side.manhattan)
        dot, norm1, norm2, distance, manhattan = (column.astype(np.int64).tolist() for column in columns)
        rows = Products(dot=dot, norm1=norm1, norm2=norm2, distance=distance, manhattan=manhattan)
        try:
            return metrics(rows, human.tolist())
        except Undefined:
            return None
    return _in_float64(side, human)


def with_ties_of(reference: OneSide, side: OneSide, human: Values) -> Metrics | None:
    """The correlations of a set off the grid where pairs that tie in a canonical one are made to tie again.

    Equal texts have equal vectors, and their cosine is 1. Float32 noise tells such pairs apart in an order that means nothing,
    and a rank correlation sees nothing but order: 19 such pairs among 356 moved one by 0.013 points.
    """
    plain = scores_of(side, human)
    if plain is None:
        return None
    exact, noisy = _similarities(reference), _similarities(side)
    kept: dict[str, float] = {}
    for name, similarity in exact.items():
        _, position, counts = np.unique(similarity, return_inverse=True, return_counts=True)
        found = correlation(ranks((np.bincount(position, noisy[name]) / counts)[position]), ranks(human))
        kept |= {f"{name}_spearman": found} if found is not None else {}
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
    """The number of pairs whose rank by cosine, from the least to the most similar, is another one. Both have equally many."""
    return int((ranks(cosines(before)) != ranks(cosines(after))).sum())


def ranks(values: Values) -> Values:
    """Average ranks, from 1."""
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[position], np.float64)


def correlation(one: Values, other: Values) -> float | None:
    """Pearson's correlation; None if one side is constant."""
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.sqrt((one @ one) * (other @ other)))
    return float(np.clip(one @ other / lengths, -1, 1)) if lengths > 0 else None


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
