"""Pair sets in any container, read in pieces for `compare`: published float32 files as well as canonical ones.

Readers are tolerant where `core.pairset.parse` is strict: numbers need not be on the grid, keys may stand in any order. All
of them give float64 values, some rows at a time, and each matrix can be read on its own, so that both go side by side.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.core.files import open_regular
from aqea_registry.core.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.core.pairset import KEYS, MICRO, Malformed
from aqea_registry.operations import scan_json
from aqea_registry.operations.scan_json import Range

Values = npt.NDArray[np.float64]
Container = Literal["json", "embeddings", "parquet", "aqed"]

ROWS = 128  # of a block: what is computed with them stays in a core's cache
AQED_HEADER = 60
_COLUMNS = (("embedding1", "embeddings1"), ("embedding2", "embeddings2"), ("score", "scores"))


class Says(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself; None where it does not."""

    dataset: str | None = None
    model: str | None = None
    dimension: int | None = None
    n_pairs: int | None = None


class PairFile(msgspec.Struct, frozen=True, kw_only=True):
    """A pair set that is open for reading. `matrix(0)` and `matrix(1)` give the rows of embeddings1 and embeddings2."""

    container: Container
    says: Says
    matrix: Callable[[int], Iterator[Values]]
    scores: Callable[[], Values | None]

    def blocks(self, which: int) -> Iterator[Values]:
        """The rows of a matrix, equally many at a time whatever the container (k x dimension float64). Raises Malformed."""
        rest: list[Values] = []
        count = 0
        for part in self.matrix(which):
            rest, count = [*rest, part], count + len(part)
            if count >= ROWS:
                joined = np.concatenate(rest)
                whole = count - count % ROWS
                yield from np.split(joined[:whole], range(ROWS, whole, ROWS))
                rest, count = [joined[whole:]], count - whole
        if count:
            yield np.concatenate(rest)


@contextmanager
def open_pairs(path: Path, name: str) -> Iterator[PairFile]:
    """Open a pair file, Parquet view, AQED or `*_embeddings.json`. `name` is what messages call it.

    Raises Refused, also while it is read, if the file is malformed; BadConfiguration if it holds no pair set; OSError.
    """
    try:
        with open_regular(path) as file:
            start = os.pread(file.fileno(), 4, 0)
            if start == b"AQED":
                yield _aqed(file)
            elif start == b"PAR1":
                yield _parquet(path)
            elif start.lstrip(scan_json.SPACE + b"\xef\xbb\xbf")[:1] == b"{":
                yield _json(file, name)
            else:
                raise BadConfiguration(f"{name} holds no pair set", "compare pair files (JSON), Parquet views or AQED files")
    except Malformed as error:
        raise Refused.of(error.code, name, str(error)) from error


def _json(file: FileIO, name: str) -> PairFile:
    where = scan_json.members(file)
    if "embeddings1" in where and "embeddings2" in where:
        header = _says({key: scan_json.text(file, where[key]) for key in KEYS[:4] if key in where})

        def matrix(which: int) -> Iterator[Values]:
            key = ("embeddings1", "embeddings2")[which]
            return scan_json.rows(file, where[key], key)

        def scores() -> Values | None:
            return scan_json.numbers(file, where["scores"], "scores") if "scores" in where else None

        return PairFile(container="json", says=header, matrix=matrix, scores=scores)
    if "embeddings" in where and "metadata" in where:
        return _embeddings(file, where)
    raise BadConfiguration(
        f"{name} holds no pair set: its keys are {', '.join(sorted(where)[:8]) or 'none'}",
        "a pair file has embeddings1 and embeddings2; a file of embeddings has embeddings and metadata",
    )


def _embeddings(file: FileIO, where: dict[str, Range]) -> PairFile:
    """`{"embeddings", "metadata"}`: the rows of the first matrix, then those of the second."""
    try:
        metadata = msgspec.json.decode(scan_json.text(file, where["metadata"]), type=dict[str, msgspec.Raw])
        human = msgspec.json.decode(metadata["scores"], type=list[float]) if "scores" in metadata else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"metadata: {error}") from error
    header = _says({key: bytes(metadata[key]) for key in KEYS[:4] if key in metadata})
    if header.n_pairs is None:
        raise Malformed("metadata has no n_pairs: where the second sentences begin is not known")
    middle = scan_json.row_start(file, where["embeddings"], header.n_pairs)
    start, end = where["embeddings"]
    halves = (Range(start, middle), Range(middle - 1, end))

    def matrix(which: int) -> Iterator[Values]:
        return scan_json.rows(file, halves[which], "embeddings")

    return PairFile(
        container="embeddings",
        says=header,
        matrix=matrix,
        scores=lambda: None if human is None else np.array(human, np.float64),
    )


def _says(texts: dict[str, bytes]) -> Says:
    try:
        return msgspec.convert({key: msgspec.json.decode(value) for key, value in texts.items()}, Says)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"the header: {error}") from error


def _aqed(file: FileIO) -> PairFile:
    header = os.pread(file.fileno(), AQED_HEADER, 0)
    if len(header) < AQED_HEADER:
        raise Malformed("the file ends within its header")
    _, version, count, dimension, _, flags, *_ = struct.unpack("<4s7I28x", header)
    if version != 1 or not flags & 1:
        raise Malformed(f"AQED version {version}, flags {flags}: only original embeddings of version 1 can be compared")
    size, wanted = os.fstat(file.fileno()).st_size, AQED_HEADER + 4 * count * dimension
    if size != wanted or count % 2 or not count or not dimension:
        raise Malformed(f"{count} rows of {dimension} float32 make {wanted} bytes, the file has {size}; two rows make a pair")
    half = count // 2

    def matrix(which: int) -> Iterator[Values]:
        for row in range(0, half, ROWS):
            length = 4 * dimension * min(ROWS, half - row)
            block = np.frombuffer(os.pread(file.fileno(), length, AQED_HEADER + 4 * dimension * (which * half + row)), "<f4")
            if len(block) * 4 != length or not np.isfinite(block).all():
                raise Malformed(f"row {which * half + row}: the file became shorter, or a value is not a finite number")
            yield block.reshape(-1, dimension).astype(np.float64)

    return PairFile(container="aqed", says=Says(dimension=dimension, n_pairs=half), matrix=matrix, scores=lambda: None)


def _parquet(path: Path) -> PairFile:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise CannotCheck("pyarrow is not installed", "pip install 'aqea-registry[generate]'") from error
    try:
        with path.open("rb") as opened:
            table = pq.ParquetFile(opened)
            schema, n_pairs = table.schema_arrow, table.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise Malformed(f"not a Parquet file that can be read: {error}") from error
    names = [next((name for name in known if name in schema.names), None) for known in _COLUMNS]
    if names[0] is None or names[1] is None:
        raise Malformed(f"its columns are {', '.join(schema.names[:8])}; embedding1 and embedding2 are not among them")
    said, in_millionths = _described(schema.metadata or {})
    for name in names[:2]:
        kind = schema.field(name).type
        if not hasattr(kind, "value_type") or not (pa.types.is_floating(kind.value_type) or in_millionths):
            raise Malformed(f"{name} holds {kind}, not lists of floats; of integers its metadata says no unit")

    def column(name: str, rows: int) -> Iterator[Any]:
        with path.open("rb") as opened:
            try:
                for batch in pq.ParquetFile(opened).iter_batches(batch_size=rows, columns=[name]):
                    yield batch.column(0)
            except (pa.ArrowException, OSError) as error:
                raise Malformed(f"{name}: {error}") from error

    def matrix(which: int) -> Iterator[Values]:
        name = str(names[which])
        for part in column(name, ROWS):
            flat = part.flatten()
            if part.null_count or len(flat) % max(1, len(part)):
                raise Malformed(f"{name}: a vector is missing, or vectors have different lengths")
            yield _finite(flat, name).reshape(len(part), -1) / (MICRO if in_millionths else 1)

    def scores() -> Values | None:
        return None if names[2] is None else np.concatenate([_finite(part, "score") for part in column(names[2], 1 << 16)])

    return PairFile(container="parquet", says=msgspec.structs.replace(said, n_pairs=n_pairs), matrix=matrix, scores=scores)


def _described(metadata: dict[bytes, bytes]) -> tuple[Says, bool]:
    """What a Parquet file's metadata says, and whether its integers are millionths."""
    try:
        known = msgspec.json.decode(metadata.get(b"aqea-pair-set", b"{}"), type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"aqea-pair-set in its metadata: {error}") from error
    said = _says({key: bytes(known[key]) for key in KEYS[:2] if key in known})
    return said, bytes(known.get("unit", b"")) == b'"1e-6"'


def _finite(column: Any, name: str) -> Values:
    """Numbers of an Arrow array as float64."""
    try:
        values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    except (ValueError, TypeError) as error:
        raise Malformed(f"{name}: {error}") from error
    if not np.isfinite(values).all():
        raise Malformed(f"{name}: a value is missing, or not a finite number")
    return values
