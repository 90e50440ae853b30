"""From float vectors to the grid: normalised in float64, rounded to millionths, kept as int32 micro-units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aqea_registry.core.metrics import Micro
from aqea_registry.core.pairset import MICRO


class BadVector(ValueError):
    """A vector that cannot be normalised; `row` is its position."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row


class OnGrid(NamedTuple):
    """Rows in micro-units, and the smallest distance of any value to a rounding boundary (in the value's own unit).

    The distance says how safe the rows are: as long as two machines' float64 results differ by less, they round alike.
    """

    micro: Micro
    margin: float


def to_grid(vectors: npt.NDArray[np.floating]) -> OnGrid:
    """Normalise rows (n x dimension) and round them, halves to even. Raises BadVector for NaN, infinity and zero."""
    exact = vectors.astype(np.float64)
    norms = np.sqrt((exact * exact).sum(axis=1))
    for row in np.flatnonzero(~np.isfinite(norms) | (norms == 0)).tolist():
        raise BadVector(row, "the vector is zero" if norms[row] == 0 else "the vector holds NaN or infinity")
    scaled = exact / norms[:, None] * MICRO
    micro = np.rint(scaled)
    margin = 0.5 - float(np.abs(scaled - micro).max(initial=0))
    return OnGrid(micro.astype(np.int32), margin / MICRO)
