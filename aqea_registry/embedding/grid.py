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
    """Rows in micro-units, and of each row the signed distance of its most endangered value to the rounding boundary.

    The distance, in the unit of a normalised component, says how safe the row is: as long as two machines' float64 results
    differ by less, they round alike. It is positive for a value that lies above its boundary.
    """

    micro: Micro
    nearest: npt.NDArray[np.float64]

    @property
    def margin(self) -> float:
        """The smallest distance of all rows."""
        return float(np.abs(self.nearest).min(initial=0.5 / MICRO))


def normalised(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Rows (n x dimension) of length 1, in float64. Raises BadVector for NaN, infinity and zero."""
    exact = vectors.astype(np.float64)
    norms = np.sqrt((exact * exact).sum(axis=1))
    for row in np.flatnonzero(~np.isfinite(norms) | (norms == 0)).tolist():
        raise BadVector(row, "the vector is zero" if norms[row] == 0 else "the vector holds NaN or infinity")
    result: npt.NDArray[np.float64] = exact / norms[:, None]
    return result


def to_grid(vectors: npt.NDArray[np.floating], offset: float = 0.0) -> OnGrid:
    """Normalise rows (n x dimension) and round them, halves to even. Raises BadVector for NaN, infinity and zero.

    `offset`, in micro-units, moves every boundary: where a value lies on one, on every machine the same other ones are used.
    """
    scaled = normalised(vectors) * MICRO - offset
    micro = np.rint(scaled)
    beyond = scaled - micro
    if beyond.shape[1] == 0 or not len(beyond):
        return OnGrid(micro.astype(np.int32), np.full(len(beyond), 0.5 / MICRO))
    worst = np.take_along_axis(beyond, np.abs(beyond).argmax(axis=1)[:, None], axis=1)[:, 0]
    return OnGrid(micro.astype(np.int32), np.where(worst > 0, worst - 0.5, worst + 0.5) / MICRO)
