"""Rows known again in another place, by what few projections of their vectors are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Marks = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

# Projections are of the size of 1; half precision moves them by some 1e-3. With four of them or more, two rows that have
# nothing to do with each other agree so well by a chance of 1e-10 at most.
NEAR = 5e-3
LOOKS = 4096  # rows looked at for one, at most: many equal rows must not take the square of their number
TRIED = 200
LEAST = 0.9  # of the rows, as many must be found


class Matched(NamedTuple):
    """Rows of the second set that stand elsewhere in the first: `rows` there, `origin` here, each once."""

    rows: Places
    origin: Places


def match(first: Marks, second: Marks, moved: Places, *, least: float = LEAST) -> Matched | None:
    """Find the moved rows of the second set among the first's, or None if fewer than a share of `least` is there.

    Marks are n x vectors x projections. Each row of the first is given out once, the nearest first come. For sets of equal
    length only moved rows of the first are given out.
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
            place = start + int(gaps.argmin())
            taken[place] = True
            rows.append(row)
            origin.append(int(order[place]))
    if not rows or len(rows) < least * len(moved):
        return None
    return Matched(np.array(rows), np.array(origin))


def order_words(found: Matched, count: int) -> str:
    """The permutation in words: reversed, shifted, some exchanged, or without a pattern."""
    rows, origin = found
    moved = int((rows != origin).sum())
    if len(rows) >= count - 1 and (rows + origin == count - 1).all():
        return "the order is reversed"
    shift = (rows - origin) % count
    if len(rows) == count and (shift == shift[0]).all():
        return f"every row stands {min(int(shift[0]), count - int(shift[0]))} places from where it was"
    back = dict(zip(rows.tolist(), origin.tolist(), strict=True))
    if all(back.get(place) == row for row, place in back.items()):
        return f"rows exchanged in pairs: {moved} moved"
    return f"{moved} rows moved, without a simple pattern"
