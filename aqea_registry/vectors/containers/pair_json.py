"""Pair sets: two matrices of canonical embeddings and the human scores, as a JSON file and as one content digest.

The file is the published one: a single object with the keys `dataset`, `model`, `dimension`, `n_pairs`,
`baseline_spearman`, `embeddings1`, `embeddings2`, `scores`, in that order; UTF-8, compact, one final newline. Numbers
stand in the shortest form of RFC 8785 (that of ECMAScript), so `JSON.stringify` writes the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from io import BytesIO, FileIO
from typing import BinaryIO

import msgspec
import numpy as np

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.vectors.containers import json_scan
from aqea_registry.vectors.containers.json_scan import Range
from aqea_registry.vectors.pair_set import KEYS, MICRO, Header, Malformed, Micro, PairFile, PairSet, Values, _says


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


def _json(file: FileIO, name: str) -> PairFile:
    where = json_scan.members(file)
    if "embeddings1" in where and "embeddings2" in where:
        header = _says({key: json_scan.text(file, where[key]) for key in KEYS[:4] if key in where})

        def matrix(which: int) -> Iterator[Values]:
            key = ("embeddings1", "embeddings2")[which]
            return json_scan.rows(file, where[key], key)

        def scores() -> Values | None:
            return json_scan.numbers(file, where["scores"], "scores") if "scores" in where else None

        return PairFile(container="json", says=header, matrix=matrix, scores=scores)
    if "embeddings" in where and "metadata" in where:
        return _embeddings(file, where)
    raise BadConfiguration(
        f"{name} holds no pair set: its keys are {', '.join(sorted(where)[:8]) or 'none'}",
        "a pair file has embeddings1 and embeddings2; a file of embeddings has embeddings and metadata",
    )


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


def write_embeddings(file: BinaryIO, pairs: PairSet) -> None:
    """`{"embeddings", "metadata"}`: the first matrix's rows, then the second's; the scores stand in the metadata."""
    metadata = {
        "dataset": pairs.header.dataset,
        "model": pairs.header.model,
        "dimension": pairs.header.dimension,
        "n_pairs": pairs.header.n_pairs,
        "rows": "embeddings1, then embeddings2",
    }
    file.write(b'{"embeddings":[' + rows_text(pairs.embeddings1) + b"," + rows_text(pairs.embeddings2))
    file.write(b'],"metadata":' + msgspec.json.encode(metadata)[:-1])
    file.write(b',"scores":[' + b",".join(map(number, pairs.scores)) + b"]}}\n")


def _embeddings(file: FileIO, where: dict[str, Range]) -> PairFile:
    """`{"embeddings", "metadata"}`: the rows of the first matrix, then those of the second."""
    try:
        metadata = msgspec.json.decode(json_scan.text(file, where["metadata"]), type=dict[str, msgspec.Raw])
        human = msgspec.json.decode(metadata["scores"], type=list[float]) if "scores" in metadata else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"metadata: {error}") from error
    header = _says({key: bytes(metadata[key]) for key in KEYS[:4] if key in metadata})
    if header.n_pairs is None:
        raise Malformed("metadata has no n_pairs: where the second sentences begin is not known")
    middle = json_scan.row_start(file, where["embeddings"], header.n_pairs)
    start, end = where["embeddings"]
    halves = (Range(start, middle), Range(middle - 1, end))

    def matrix(which: int) -> Iterator[Values]:
        return json_scan.rows(file, halves[which], "embeddings")

    return PairFile(
        container="embeddings",
        says=header,
        matrix=matrix,
        scores=lambda: None if human is None else np.array(human, np.float64),
    )
