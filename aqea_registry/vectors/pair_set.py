"""Pair sets: two matrices of canonical embeddings and the human scores, whatever file they are in.

From float vectors to the grid: normalised in float64, rounded to millionths, kept as int32 micro-units.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.findings import Refused
from aqea_registry.base.strict import decode_json

Micro = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]
NearValues = tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], Values]  # row, component, distance of each
Container = Literal["json", "embeddings", "parquet", "aqed", "npy", "jsonl"]
Number = TypeVar("Number", np.int32, np.float64, np.void)
Decoded = TypeVar("Decoded")

MICRO = 1_000_000
KEYS = ("dataset", "model", "dimension", "n_pairs", "baseline_spearman", "embeddings1", "embeddings2", "scores")
BLOCK_ROWS = 128  # of a block: what is computed with them stays in a core's cache


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a pair file declares before its matrices, in the file's order."""

    dataset: str
    model: str
    dimension: int
    n_pairs: int
    baseline_spearman: float


class PartialHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of any container declares about its pair set; None where it does not."""

    dataset: str | None = None
    model: str | None = None
    dimension: int | None = None
    n_pairs: int | None = None


class PairSet(msgspec.Struct, frozen=True, kw_only=True):
    """A canonical pair set, checked once as a whole, whose rows are read again in blocks.

    `blocks(0)` and `blocks(1)` give the rows of embeddings1 and embeddings2 (k x dimension int32 micro-units); they raise
    Malformed if the file has changed. `content` is the content digest in hex. `is_canonical` says that every byte of the file
    is as `pair_json.write` writes it; without it only the numbers are canonical.
    """

    header: Header
    scores: tuple[float, ...]
    content: str
    is_canonical: bool
    blocks: Callable[[int], Iterator[Micro]]


class PairFile(NamedTuple):
    """A pair set of any container, open for reading. `matrix(0)` and `matrix(1)` give the rows of its two matrices."""

    container: Container
    header: PartialHeader
    matrix: Callable[[int], Iterator[Values]]
    scores: Callable[[], Values | None]

    def blocks(self, which: int) -> Iterator[Values]:
        """The rows of a matrix, BLOCK_ROWS at a time whatever the container (k x dimension float64). Raises Malformed."""
        return regrouped(self.matrix(which), BLOCK_ROWS)


def regrouped(parts: Iterable[npt.NDArray[Number]], size: int) -> Iterator[npt.NDArray[Number]]:
    """The same rows in blocks of `size`, the last one with what remains."""
    rest: list[npt.NDArray[Number]] = []
    count = 0
    for part in parts:
        rest.append(part)
        count += len(part)
        if count >= size:
            joined = np.concatenate(rest)
            whole = count - count % size
            yield from np.split(joined[:whole], range(size, whole, size))
            rest, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(rest)


class Malformed(ValueError):
    """Not a canonical pair file; the message is the reason. `code` is the finding's code."""

    def __init__(self, message: str, code: str = "malformed") -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def refusing(subject: str, hint: str | None = None) -> Iterator[None]:
    """Raise Refused, about `subject`, where what is read turns out to be malformed."""
    try:
        yield
    except Malformed as error:
        raise Refused.of(error.code, subject, str(error), hint=hint) from error


class ContentDigest:
    """sha256 over `aqea-pair-set/1`, n, dimension, then both matrices row by row (int32) and the scores (float64).

    All numbers little-endian; n and dimension as u64. Names are not part of it: they are the file's, not the content's.
    """

    def __init__(self, n_pairs: int, dimension: int) -> None:
        self._sha256 = hashlib.sha256(b"aqea-pair-set/1\n")
        self._sha256.update(np.array([n_pairs, dimension], "<u8").tobytes())

    def add(self, rows: Micro) -> None:
        """Take rows, in order: all of the first matrix before any of the second."""
        self._sha256.update(np.ascontiguousarray(rows, "<i4").tobytes())

    def finish(self, scores: Sequence[float]) -> str:
        """Take the scores and return the hex digest. Minus zero counts as zero, as a file spells it."""
        self._sha256.update((np.array(scores, "<f8") + 0.0).tobytes())
        return self._sha256.hexdigest()


class BadVector(ValueError):
    """A vector that cannot be normalised; `row` is its position."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row


class OnGrid(NamedTuple):
    """Rows in micro-units, and of each value the signed distance to the nearest rounding boundary (value - boundary)."""

    micro: Micro
    distances: Values

    def near(self, reach: float) -> NearValues:
        """Row, component and distance of each value nearer than `reach` to a boundary, in the order of rows."""
        rows, components = np.nonzero(np.abs(self.distances) < reach)
        return rows, components, self.distances[rows, components]


def normalised(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Rows (n x dimension) of length 1, in float64. Raises BadVector for NaN, infinity and zero."""
    exact = vectors.astype(np.float64)
    norms = np.sqrt((exact * exact).sum(axis=1))
    for row in np.flatnonzero(~np.isfinite(norms) | (norms == 0)).tolist():
        raise BadVector(row, "the vector is zero" if norms[row] == 0 else "the vector holds NaN or infinity")
    return np.asarray(exact / norms[:, None])


def to_grid(vectors: npt.NDArray[np.floating], offset: float = 0.0) -> OnGrid:
    """Normalise rows (n x dimension) and round them, halves to even. Raises BadVector for NaN, infinity and zero.

    `offset`, in micro-units, moves every boundary: where a value lies on one, on every machine the same other ones are used.
    """
    scaled = normalised(vectors) * MICRO - offset
    micro = np.rint(scaled)
    beyond = scaled - micro
    return OnGrid(micro.astype(np.int32), np.where(beyond > 0, beyond - 0.5, beyond + 0.5) / MICRO)


def decode(text: bytes, kind: type[Decoded], what: str) -> Decoded:
    """A value of a type from its JSON. Raises Malformed, about `what`, if it is none."""
    try:
        return decode_json(text, kind)
    except ValueError as error:
        raise Malformed(f"{what}: {error}") from error


def partial_header(texts: Mapping[str, msgspec.Raw], keys: Sequence[str] = KEYS[:4]) -> PartialHeader:
    """What JSON texts say of some keys. Raises Malformed if one is not what its key holds."""
    known = {key: texts[key] for key in keys if key in texts}
    return decode(msgspec.json.encode(known), PartialHeader, "the header")
