"""What the unit tests share: matrices like those of a model, and real numbers rounded once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

from aqea_registry.vectors.pair_set import MICRO, Micro


def unit_rows(rng: np.random.Generator, count: int, dimension: int) -> Micro:
    """Random rows of length one, in micro-units."""
    values = rng.standard_normal((count, dimension))
    values /= np.linalg.norm(values, axis=1)[:, None]
    return np.rint(values * MICRO).astype(np.int32)


def pairs(seed: int, count: int, dimension: int) -> tuple[Micro, Micro, list[float]]:
    """Two matrices and scores with all that is awkward: repeated rows, identical pairs, negated pairs, tied scores."""
    rng = np.random.default_rng(seed)
    first, second = unit_rows(rng, count, dimension), unit_rows(rng, count, dimension)
    second[::7] = first[::7]
    second[3::7] = -first[3::7]
    first[5::7], second[5::7] = first[4], second[4]
    scores = (rng.integers(0, 51, count) / 10).tolist()
    scores[0], scores[1] = 5.0, 0.0
    return first, second, scores


def nearest(value: Any, bits: int = 320) -> float:
    """The float64 nearest to an mpmath number that is right to more than `bits` bits after the point.

    Dividing Python integers rounds correctly, to even in a tie.
    """
    return int(mpmath.nint(mpmath.ldexp(value, bits))) / (1 << bits)


def correlation(x: list[Any], y: list[Any]) -> Any:
    """Pearson's correlation as an mpmath number in the current precision, centred first."""
    mean_x, mean_y = mpmath.fsum(x) / len(x), mpmath.fsum(y) / len(y)
    dx, dy = [value - mean_x for value in x], [value - mean_y for value in y]
    return mpmath.fdot(dx, dy) / mpmath.sqrt(mpmath.fdot(dx, dx) * mpmath.fdot(dy, dy))


# What may stand where a file should, and must neither be read nor waited for.
OBSTACLES: dict[str, Callable[[Path], None]] = {
    "a folder": lambda place: place.mkdir(),
    "a pipe": lambda place: os.mkfifo(place),
    "a link in a circle": lambda place: place.symlink_to(place.name),
}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: path to bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
