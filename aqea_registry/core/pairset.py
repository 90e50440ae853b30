"""Pair sets: two matrices of canonical embeddings and the human scores, as a JSON file and as one content digest.

The file is the published one: a single object with the keys `dataset`, `model`, `dimension`, `n_pairs`,
`baseline_spearman`, `embeddings1`, `embeddings2`, `scores`, in that order; UTF-8, compact, one final newline. Numbers
stand in the shortest form of RFC 8785 (that of ECMAScript), so `JSON.stringify` writes the same bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from io import BytesIO
from typing import BinaryIO

import msgspec
import numpy as np

from aqea_registry.core.metrics import Micro

MICRO = 1_000_000
KEYS = ("dataset", "model", "dimension", "n_pairs", "baseline_spearman", "embeddings1", "embeddings2", "scores")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a pair file says before its matrices."""

    dataset: str
    model: str
    dimension: int
    n_pairs: int
    baseline_spearman: float


class PairSet(msgspec.Struct, frozen=True, kw_only=True):
    """A pair file in memory. `embeddings1` and `embeddings2` are n_pairs x dimension int32 micro-units."""

    header: Header
    embeddings1: Micro
    embeddings2: Micro
    scores: tuple[float, ...]

    def content_digest(self) -> str:
        """Hex sha256 of the numbers alone, whatever the container: dimensions, both matrices, the scores."""
        digest = ContentDigest(self.header.n_pairs, self.header.dimension)
        digest.add(self.embeddings1)
        digest.add(self.embeddings2)
        return digest.finish(self.scores)


class Malformed(ValueError):
    """Not a canonical pair file; the message is the reason. `code` is the finding's code."""

    def __init__(self, message: str, code: str = "malformed") -> None:
        super().__init__(message)
        self.code = code


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


def write(file: BinaryIO, header: Header, first: Iterable[Micro], second: Iterable[Micro], scores: Sequence[float]) -> None:
    """Write a pair file from blocks of rows, so that memory holds one block at a time."""
    start = {
        "dataset": header.dataset,
        "model": header.model,
        "dimension": header.dimension,
        "n_pairs": header.n_pairs,
    }
    file.write(msgspec.json.encode(start)[:-1])
    file.write(b',"baseline_spearman":' + number(header.baseline_spearman))
    for key, blocks in (("embeddings1", first), ("embeddings2", second)):
        file.write(b',"' + key.encode() + b'":[')
        separator = b""
        for block in blocks:
            file.write(separator + rows_text(block))
            separator = b","
        file.write(b"]")
    file.write(b',"scores":[' + b",".join(map(number, scores)) + b"]}\n")


def render(pairs: PairSet) -> bytes:
    """The one spelling of a pair set as a file: `render(parse(content)) == content` for what `write` wrote."""
    file = BytesIO()
    write(file, pairs.header, [pairs.embeddings1], [pairs.embeddings2], pairs.scores)
    return file.getvalue()


def number(value: float) -> bytes:
    """A finite float64 in the form of RFC 8785, section 3.2.2.3."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value == 0:
        return b"0"
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(text) + exponent  # the value is 0.text times 10**point
    if len(text) <= point <= 21:
        text += "0" * (point - len(text))
    elif 0 < point <= 21:
        text = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        text = f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{point - 1:+d}"
    return (("-" if sign else "") + text).encode()


def rows_text(rows: Micro) -> bytes:
    """JSON text of a block of rows in millionths, formatted from the integers alone: `[0.5,-0.000001,0],[...`.

    Each value takes a fixed field of twelve characters, `,-1234.567890` without what its shortest form does not have;
    one mask then keeps the characters that stand.
    """
    count, dimension = rows.shape
    values = rows.astype(np.int64).reshape(-1)
    size = np.abs(values)
    whole, fraction = np.divmod(size, MICRO)
    if whole.max(initial=0) > 9:
        raise ValueError("a micro-unit value of 10 or more is no component of a normalised vector")
    field = np.empty((values.size, 10), np.uint8)
    keep = np.ones_like(field, bool)
    field[:, 0], field[:, 1], field[:, 2], field[:, 3] = ord(","), ord("-"), ord("0"), ord(".")
    field[:, 2] += whole.astype(np.uint8)
    keep[:, 1] = values < 0
    keep[:, 3] = fraction > 0
    rest = fraction
    for position in range(6):
        unit = 10 ** (5 - position)
        keep[:, 4 + position] = rest > 0  # nothing but zeros follows: the shortest form ends before
        digit, rest = np.divmod(rest, unit)
        field[:, 4 + position] = digit + ord("0")
    starts = np.arange(0, values.size, dimension)
    keep[starts, 0] = False  # the first value of a row has no comma before it
    lengths = keep.reshape(count, -1).sum(axis=1)
    text = field[keep].tobytes()
    ends = np.cumsum(lengths).tolist()
    return b"[" + b"],[".join(text[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)) + b"]"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    dataset: str
    model: str
    dimension: int
    n_pairs: int
    baseline_spearman: float
    embeddings1: list[list[float]]
    embeddings2: list[list[float]]
    scores: list[float]


def parse(content: bytes) -> PairSet:
    """Read a pair file. Raises Malformed: not JSON, wrong shape, not finite, or not on the grid of 1e-6."""
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a pair file: {error}") from error
    if file.n_pairs < 1 or file.dimension < 1:
        raise Malformed(f"n_pairs is {file.n_pairs} and dimension is {file.dimension}: a pair set has at least one of each")
    if len(file.scores) != file.n_pairs:
        raise Malformed(f"n_pairs is {file.n_pairs}, but there are {len(file.scores)} scores")
    if not all(map(math.isfinite, file.scores)):
        raise Malformed("a score is not a finite number")
    first, second = (
        _matrix(rows, key, file.n_pairs, file.dimension)
        for key, rows in (("embeddings1", file.embeddings1), ("embeddings2", file.embeddings2))
    )
    header = Header(
        dataset=file.dataset,
        model=file.model,
        dimension=file.dimension,
        n_pairs=file.n_pairs,
        baseline_spearman=file.baseline_spearman,
    )
    return PairSet(header=header, embeddings1=first, embeddings2=second, scores=tuple(file.scores))


def _matrix(rows: list[list[float]], key: str, n_pairs: int, dimension: int) -> Micro:
    if len(rows) != n_pairs:
        raise Malformed(f"n_pairs is {n_pairs}, but {key} has {len(rows)} rows")
    for position, row in enumerate(rows):
        if len(row) != dimension:
            raise Malformed(f"dimension is {dimension}, but row {position} of {key} has {len(row)} values")
    values = np.array(rows, np.float64)
    if not np.isfinite(values).all():
        raise Malformed(f"{key} holds a value that is not finite")
    with np.errstate(over="ignore"):
        micro = np.rint(values * MICRO)
    if np.abs(micro).max(initial=0) > 2**31 - 1:
        raise Malformed(f"{key} holds a value far outside -1..1", "not-canonical")
    off = np.argwhere(micro / MICRO != values)
    if len(off):
        row, column = off[0].tolist()
        raise Malformed(
            f"{key}[{row}][{column}] is {values[row, column]!r}: {len(off)} values are not on the grid of 1e-6", "not-canonical"
        )
    return micro.astype(np.int32)
