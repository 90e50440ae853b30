"""How two sets of vectors of the same things hang together, looked at on a sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aqea_registry.core.differences import Measured

Values = npt.NDArray[np.float64]

SHUFFLES = 50


class Relation(NamedTuple):
    """The correlation of all similarities within one set with those within the other, and what chance gives.

    `chance` is the largest of as many correlations after the other set's rows were shuffled, `spread` their deviation: the
    Mantel test.
    """

    value: float
    chance: float
    spread: float

    def holds(self) -> bool:
        """Whether chance does not explain it."""
        return self.value > 0.1 and self.value > self.chance + 3 * self.spread


def vectors_of(measured: Measured) -> tuple[Values, Values]:
    """The sample's vectors, both matrices below each other: rows x dimension each."""
    before, after = measured.sample.before, measured.sample.after
    return before.reshape(-1, before.shape[-1]), after.reshape(-1, after.shape[-1])


def unit(vectors: Values) -> Values:
    """Vectors of length 1; zero stays zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300))


def known_again(measured: Measured) -> float:
    """The share of the sample's vectors whose nearest one in the other set is their counterpart, or as near as that."""
    before, after = map(unit, vectors_of(measured))
    alike = before @ after.T
    return float((np.diag(alike) >= alike.max(axis=1) - 1e-9).mean())


def relation(measured: Measured) -> Relation:
    """Whether similarities within the one set go with those within the other, whatever the coordinates."""
    before, after = (unit(one) for one in vectors_of(measured))
    one, other = before @ before.T, after @ after.T
    upper = np.triu_indices(len(one), 1)
    chance = np.random.default_rng(0)
    found = [_correlation(one[upper], other[upper])]
    for _ in range(SHUFFLES):
        order = chance.permutation(len(other))
        found.append(_correlation(one[upper], other[np.ix_(order, order)][upper]))
    return Relation(found[0], max(found[1:]), float(np.std(found[1:])))


def _correlation(one: Values, other: Values) -> float:
    if len(one) < 2 or not np.ptp(one) or not np.ptp(other):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
