"""A pair set as a Parquet file: what `load_dataset`, the Hub's viewer and any table reader take.

Three columns, a row a pair: `embedding1` and `embedding2` (as many int32 micro-units as the dimension) and `score`
(float64). What else a pair file says stands in the schema's metadata under `aqea-pair-set`, so that nothing is lost:
`render(read(file))` is the pair file again. The bytes are those of one version of pyarrow; the content digest is of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
import numpy as np

from aqea_registry.base.findings import CannotCheck
from aqea_registry.vectors.containers.pair_json import number
from aqea_registry.vectors.pair_set import BLOCK_ROWS, KEYS, MICRO, Header, Malformed, PairFile, PairSet, Says, Values, _says

ROWS = 1_000  # of a row group: what a reader holds at a time, and what the Hub's viewer fetches for a page
KEY = b"aqea-pair-set"
COLUMNS = ("embedding1", "embedding2", "score")


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata: how to read the integers, of what they are, and their content digest."""

    unit: Literal["1e-6"]
    dataset: str
    model: str
    dimension: Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]
    n_pairs: Annotated[int, msgspec.Meta(ge=1)]
    baseline_spearman: msgspec.Raw
    content: str


def write(file: BinaryIO, pairs: PairSet) -> None:
    """Write the Parquet file of a pair set, one row group at a time. Raises CannotCheck without pyarrow."""
    pa, pq = _pyarrow()
    schema = _schema(pa, pairs.header.dimension).with_metadata({KEY: _describe(pairs)})
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False, write_statistics=["score"]) as writer:
        for start in range(0, pairs.header.n_pairs, ROWS):
            rows = slice(start, start + ROWS)
            columns = [
                pa.FixedSizeListArray.from_arrays(pa.array(matrix[rows].reshape(-1)), type=schema.field(0).type)
                for matrix in (pairs.embeddings1, pairs.embeddings2)
            ]
            scores = pa.array(np.array(pairs.scores[rows], np.float64) + 0.0)  # minus zero is zero, as in the pair file
            writer.write_batch(pa.record_batch([*columns, scores], schema=schema))


def read(path: Path) -> PairSet:
    """The pair set in a Parquet file. Raises Malformed if it is not one that `write` could have written, and OSError."""
    pa, pq = _pyarrow()
    with path.open("rb") as file:
        try:
            table = pq.ParquetFile(file)
            described = _described(table, pa)
            pairs = _collect(described, table.iter_batches(batch_size=ROWS))
        except (pa.ArrowException, OSError) as error:  # what the file holds, not whether it can be opened
            raise Malformed(f"not a Parquet file that can be read: {error}") from error
    if not all(map(math.isfinite, pairs.scores)):
        raise Malformed("a score is not a finite number")
    if f"sha256:{pairs.content_digest()}" != described.content:
        raise Malformed(f"the numbers are not those of its content digest, {described.content}", "mismatch")
    return pairs


def _describe(pairs: PairSet) -> bytes:
    header = pairs.header
    return msgspec.json.encode(
        Described(
            unit="1e-6",
            dataset=header.dataset,
            model=header.model,
            dimension=header.dimension,
            n_pairs=header.n_pairs,
            baseline_spearman=msgspec.Raw(number(header.baseline_spearman)),
            content=f"sha256:{pairs.content_digest()}",
        )
    )


def _described(table: Any, pa: Any) -> Described:
    """What the file says of itself, checked against its columns before anything is read of them."""
    metadata = table.schema_arrow.metadata or {}
    if KEY not in metadata:
        raise Malformed(f"its metadata has no {KEY.decode()}")
    try:
        described = msgspec.json.decode(metadata[KEY], type=Described)
        msgspec.json.decode(described.baseline_spearman, type=float)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"{KEY.decode()} in its metadata: {error}") from error
    if not table.schema_arrow.equals(_schema(pa, described.dimension)):
        raise Malformed(f"its columns are not {', '.join(COLUMNS)} with dimension {described.dimension}")
    if table.metadata.num_rows != described.n_pairs:
        raise Malformed(f"n_pairs is {described.n_pairs}, but there are {table.metadata.num_rows} rows")
    return described


def _collect(described: Described, batches: Iterator[Any]) -> PairSet:
    matrices = [np.empty((described.n_pairs, described.dimension), np.int32) for _ in range(2)]
    scores: list[float] = []
    for batch in batches:
        rows = slice(len(scores), len(scores) + batch.num_rows)
        for position, matrix in enumerate(matrices):
            matrix[rows] = batch.column(position).flatten().to_numpy().reshape(-1, described.dimension)
        scores += batch.column(2).to_pylist()
    header = Header(
        dataset=described.dataset,
        model=described.model,
        dimension=described.dimension,
        n_pairs=described.n_pairs,
        baseline_spearman=msgspec.json.decode(described.baseline_spearman, type=float),
    )
    return PairSet(header=header, embeddings1=matrices[0], embeddings2=matrices[1], scores=tuple(scores))


def _schema(pa: Any, dimension: int) -> Any:
    vector = pa.list_(pa.field("element", pa.int32(), nullable=False), dimension)
    kinds = (vector, vector, pa.float64())
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in zip(COLUMNS, kinds, strict=True)])


def _pyarrow() -> tuple[Any, Any]:
    """Import what is heavy, and what nobody needs who only verifies."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CannotCheck("pyarrow is not installed", "pip install 'aqea-registry[generate]'") from error
    return pyarrow, pyarrow.parquet


_COLUMNS = (("embedding1", "embeddings1"), ("embedding2", "embeddings2"), ("score", "scores"))


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
    said, in_millionths = _described_loosely(schema.metadata or {})
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
        for part in column(name, BLOCK_ROWS):
            flat = part.flatten()
            if part.null_count or len(flat) % max(1, len(part)):
                raise Malformed(f"{name}: a vector is missing, or vectors have different lengths")
            yield _finite(flat, name).reshape(len(part), -1) / (MICRO if in_millionths else 1)

    def scores() -> Values | None:
        return None if names[2] is None else np.concatenate([_finite(part, "score") for part in column(names[2], 1 << 16)])

    return PairFile(container="parquet", says=msgspec.structs.replace(said, n_pairs=n_pairs), matrix=matrix, scores=scores)


def _described_loosely(metadata: dict[bytes, bytes]) -> tuple[Says, bool]:
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
