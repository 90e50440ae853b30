"""A pair set as a Parquet file: what `load_dataset`, the Hub's viewer and any table reader take.

Three columns, one row per pair: `embedding1` and `embedding2` (as many int32 micro-units as the dimension) and `score`
(float64). What else a pair file declares is in the schema's metadata under `aqea-pair-set`, so that nothing is lost: the pair
file can be written again from it. The bytes are those of one version of pyarrow; the content digest is the same under all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from aqea_registry.base.extras import require
from aqea_registry.base.files import open_regular
from aqea_registry.vectors.containers.json_text import number
from aqea_registry.vectors.pair_set import (
    BLOCK_ROWS,
    KEYS,
    MICRO,
    Malformed,
    PairFile,
    PairSet,
    PartialHeader,
    Values,
    decode,
    partial_header,
    regrouped,
)

ROWS = 1_000  # of a row group: what a reader holds at a time, and what the Hub's viewer fetches for a page
KEY = b"aqea-pair-set"
COLUMNS = ("embedding1", "embedding2", "score")
_KNOWN = (("embedding1", "embeddings1"), ("embedding2", "embeddings2"), ("score", "scores"))  # names of other writers


def write(file: BinaryIO, pairs: PairSet) -> None:
    """Write the Parquet file of a pair set, one row group at a time. Raises CannotCheck without pyarrow."""
    pa, pq = _pyarrow()
    schema = _schema(pa, pairs.header.dimension).with_metadata({KEY: _describe(pairs)})
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False, write_statistics=["score"]) as writer:
        both = zip(*(regrouped(pairs.blocks(which), ROWS) for which in (0, 1)), strict=True)
        for group, blocks in enumerate(both):
            columns = [
                pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), type=schema.field(0).type) for block in blocks
            ]
            human = np.array(pairs.scores[group * ROWS : (group + 1) * ROWS], np.float64)
            scores = pa.array(human + 0.0)  # minus zero is zero, as in the pair file
            writer.write_batch(pa.record_batch([*columns, scores], schema=schema))


def _describe(pairs: PairSet) -> bytes:
    described = {
        "unit": "1e-6",
        **msgspec.structs.asdict(pairs.header),
        "baseline_spearman": msgspec.Raw(number(pairs.header.baseline_spearman)),
        "content": f"sha256:{pairs.content}",
    }
    return msgspec.json.encode(described)


def _schema(pa: Any, dimension: int) -> Any:
    vector = pa.list_(pa.field("element", pa.int32(), nullable=False), dimension)
    kinds = (vector, vector, pa.float64())
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in zip(COLUMNS, kinds, strict=True)])


def _pyarrow() -> tuple[Any, Any]:
    """Import pyarrow and its Parquet module: heavy, and not needed to verify. Raises CannotCheck."""
    require("Parquet")
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet


def open_parquet(path: Path) -> PairFile:
    """Open a Parquet file with two columns of vectors, of any writer. Raises Malformed; CannotCheck without pyarrow."""
    pa, pq = _pyarrow()
    try:
        with open_regular(path) as opened:
            table = pq.ParquetFile(opened)
            schema, n_pairs = table.schema_arrow, table.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise Malformed(f"not a Parquet file that can be read: {error}") from error
    names = [next((name for name in known if name in schema.names), None) for known in _KNOWN]
    if names[0] is None or names[1] is None:
        raise Malformed(f"its columns are {', '.join(schema.names[:8])}; embedding1 and embedding2 are not among them")
    if twice := [name for name in schema.names if schema.names.count(name) > 1]:
        raise Malformed(f"the column {twice[0]!r} appears twice")
    declared, in_millionths = _declared(schema.metadata or {})
    floating, integer = pa.types.is_floating, pa.types.is_integer
    for name in names[:2]:
        kind = schema.field(name).type
        inner = getattr(kind, "value_type", None)
        if inner is None or not (floating(inner) or (in_millionths and integer(inner))):
            raise Malformed(f"{name} holds {kind}, not lists of floats; of integers its metadata says no unit")
    if (name := names[2]) and not any(is_of(schema.field(name).type) for is_of in (floating, integer, pa.types.is_decimal)):
        raise Malformed(f"{name} holds {schema.field(name).type}, not numbers")

    def column(name: str, rows: int) -> Iterator[Any]:
        with open_regular(path) as opened:
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

    return PairFile(
        container="parquet", header=msgspec.structs.replace(declared, n_pairs=n_pairs), matrix=matrix, scores=scores
    )


def _declared(metadata: dict[bytes, bytes]) -> tuple[PartialHeader, bool]:
    """What a Parquet file's metadata declares, and whether its integers are millionths."""
    known = decode(metadata.get(KEY, b"{}"), dict[str, msgspec.Raw], f"{KEY.decode()} in its metadata")
    return partial_header(known, KEYS[:2]), bytes(known.get("unit", b"")) == b'"1e-6"'


def _finite(column: Any, name: str) -> Values:
    """Numbers of an Arrow array as float64."""
    try:
        values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    except (ValueError, TypeError) as error:
        raise Malformed(f"{name}: {error}") from error
    if not np.isfinite(values).all():
        raise Malformed(f"{name}: a value is missing, or not a finite number")
    return values
