"""Pair sets in any container, read in pieces: published float32 files as well as canonical ones, and given vectors.

Numbers need not be on the grid, and keys may come in any order: `pair_json.read` is the strict way to the same rows. All
readers give float64 values, some rows at a time, and each matrix can be read on its own, so that both go side by side.

Written here are AQED v1 and Parquet files, which `load_dataset`, the Hub's viewer and any table reader take: one row per pair,
`embedding1` and `embedding2` (as many int32 micro-units as the dimension) and `score` (float64). What else a pair file declares
is in the schema's metadata, so that it can be written again from it. The bytes are those of one version of pyarrow; the content
digest is the same under all.

Vectors that somebody else made come in the files that people have; `canonical` puts them on the grid. No pickle is ever read.

.npy      real numbers: one array (2, n, dimension) or (n, 2, dimension), or two files with (n, dimension) each
.parquet  a row for each pair, with lists of floats `embedding1` and `embedding2` (or `embeddings1`, `embeddings2`)
.jsonl    the same as an object a line; a `score`, where a row has one, must be the dataset's
"""

import io
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from aqea_registry.base.extras import require
from aqea_registry.base.files import open_regular
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import parse_json
from aqea_registry.vectors.containers import json_text
from aqea_registry.vectors.containers.json_text import LONGEST_ROW
from aqea_registry.vectors.containers.pair_json import declarations, open_json
from aqea_registry.vectors.pair_set import (
    BLOCK_ROWS,
    KEYS,
    MICRO,
    BadVector,
    Malformed,
    Micro,
    PairFile,
    PairSet,
    PartialHeader,
    Values,
    decode,
    partial_header,
    refusing,
    regrouped,
    to_grid,
)

AQED_HEADER = 60  # bytes
ROWS = 1_000  # of a row group: what a reader holds at a time, and what the Hub's viewer fetches for a page
KEY = b"aqea-pair-set"
COLUMNS = ("embedding1", "embedding2", "score")
KNOWN = (("embedding1", "embeddings1"), ("embedding2", "embeddings2"), ("score", "scores"))  # names of other writers
# What pyarrow raises for a file that is damaged somewhere; its own exceptions are among them.
UNREADABLE = (OSError, ValueError, ArithmeticError, LookupError, TypeError, MemoryError, RuntimeError)


@contextmanager
def parquet(what: str) -> Iterator[None]:
    """Raise Malformed, about `what`, where pyarrow cannot read a file."""
    try:
        yield
    except UNREADABLE as error:
        raise Malformed(f"{what}: {error}") from error


@contextmanager
def open_pairs(path: Path, name: str) -> Iterator[PairFile]:
    """Open a pair file, Parquet view, AQED or `*_embeddings.json`. `name` is what messages call it.

    Raises Refused, also while it is read, if the file is malformed; BadConfiguration if it holds no pair set; OSError.
    """
    with refusing(name), open_regular(path) as file:
        start = os.pread(file.fileno(), 4, 0)
        if start == b"AQED":
            yield open_aqed(file)
        elif start == b"PAR1":
            yield open_parquet(path)
        elif start.lstrip(json_text.SPACE + json_text.MARK)[:1] == b"{":
            yield open_json(file, name)
        else:
            raise BadConfiguration(f"{name} holds no pair set", "compare pair files (JSON), Parquet views or AQED files")


def write_aqed(file: BinaryIO, pairs: PairSet) -> None:
    """AQED v1: a header of 60 bytes, then float32 rows of the first matrix and of the second. See docs/formats.md."""
    originals_present, nothing = 1, 0
    count, dimension = 2 * pairs.header.n_pairs, pairs.header.dimension
    file.write(struct.pack("<4s7I28x", b"AQED", 1, count, dimension, nothing, originals_present, nothing, nothing))
    for block in chain(pairs.blocks(0), pairs.blocks(1)):
        file.write((block / MICRO).astype(np.dtype("<f4")).tobytes())


def open_aqed(file: FileIO) -> PairFile:
    """Open an AQED file of version 1. Raises Malformed; OSError."""
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
        for row in range(0, half, BLOCK_ROWS):
            length = 4 * dimension * min(BLOCK_ROWS, half - row)
            block = np.frombuffer(os.pread(file.fileno(), length, AQED_HEADER + 4 * dimension * (which * half + row)), "<f4")
            if len(block) * 4 != length or not np.isfinite(block).all():
                raise Malformed(f"row {which * half + row}: the file became shorter, or a value is not a finite number")
            yield block.reshape(-1, dimension).astype(np.float64)

    return PairFile("aqed", PartialHeader(dimension=dimension, n_pairs=half), matrix, lambda: None)


def write_parquet(file: BinaryIO, pairs: PairSet) -> None:
    """Write the Parquet file of a pair set, one row group at a time. Raises CannotCheck without pyarrow."""
    pa, pq = import_pyarrow()
    vector = pa.list_(pa.field("element", pa.int32(), nullable=False), pairs.header.dimension)
    columns = zip(COLUMNS, (vector, vector, pa.float64()), strict=True)
    declared = {"unit": "1e-6", **declarations(pairs.header), "content": f"sha256:{pairs.content}"}
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns], {KEY: msgspec.json.encode(declared)})
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False, write_statistics=["score"]) as writer:
        both = zip(*(regrouped(pairs.blocks(which), ROWS) for which in (0, 1)), strict=True)
        for group, blocks in enumerate(both):
            vectors = [pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), type=vector) for block in blocks]
            human = np.array(pairs.scores[group * ROWS : (group + 1) * ROWS], np.float64)
            scores = pa.array(human + 0.0)  # minus zero is zero, as in the pair file
            writer.write_batch(pa.record_batch([*vectors, scores], schema=schema))


def import_pyarrow() -> tuple[Any, Any]:
    """Import pyarrow and its Parquet module: heavy, and not needed to verify. Raises CannotCheck."""
    require("Parquet")
    import pyarrow.compute
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet


def open_parquet(path: Path) -> PairFile:
    """Open a Parquet file with two columns of vectors, of any writer. Raises Malformed; CannotCheck without pyarrow."""
    pa, pq = import_pyarrow()
    with parquet("not a Parquet file that can be read"), open_regular(path) as opened:
        table = pq.ParquetFile(opened)
        schema, n_pairs = table.schema_arrow, table.metadata.num_rows
    names = [next((name for name in known if name in schema.names), None) for known in KNOWN]
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
        with open_regular(path) as opened, parquet(name):
            for batch in pq.ParquetFile(opened).iter_batches(batch_size=rows, columns=[name]):
                yield batch.column(0)

    def matrix(which: int) -> Iterator[Values]:
        name = str(names[which])
        for part in column(name, BLOCK_ROWS):
            flat = part.flatten()
            if part.null_count or len(pa.compute.list_value_length(part).unique()) > 1:
                raise Malformed(f"{name}: a vector is missing, or vectors have different lengths")
            yield _finite(flat, name).reshape(len(part), -1) / (MICRO if in_millionths else 1)

    def scores() -> Values | None:
        parts = column(names[2], 1 << 16) if names[2] else ()
        return np.concatenate([[], *(_finite(part, "score") for part in parts)]) if names[2] else None

    return PairFile("parquet", msgspec.structs.replace(declared, n_pairs=n_pairs), matrix, scores)


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


ACCEPTED = "a .npy (2, n, d) or (n, 2, d), two .npy (n, d), or a .parquet or .jsonl with lists embedding1 and embedding2"


def open_given(paths: Sequence[Path], graded: Sequence[float]) -> PairFile:
    """Open given vectors of pairs with these human scores. Raises Malformed, also while they are read; CannotCheck."""
    endings = [path.suffix for path in paths]
    if endings in ([".npy"], [".npy", ".npy"]):
        return _open_arrays(paths, len(graded))
    if endings not in ([".parquet"], [".jsonl"]):
        raise Malformed("not files of given vectors, by their names and number")
    given = open_parquet(paths[0]) if endings == [".parquet"] else _open_lines(paths[0])
    scores = given.scores()
    for row, (score, own) in enumerate(zip(() if scores is None else scores, graded, strict=False)):
        if abs(score - own) > 1e-6 * max(1, abs(own)):  # it may have been a float32
            message = f"row {row} has the score {score}, the dataset {own}: the rows are others, or in another order"
            raise Malformed(message, "mismatch")
    return given


def canonical(given: PairFile, which: int, count: int, dimension: int) -> Iterator[Micro]:
    """The rows of a matrix, normalised and rounded as those that are computed here. Raises Malformed."""
    done, name = 0, KNOWN[which][0]
    for block in given.blocks(which):
        if block.shape[1] != dimension:
            raise Malformed(f"{name} has vectors of {block.shape[1]} numbers; the model's dimension is {dimension}", "mismatch")
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                yield to_grid(block).micro
        except BadVector as error:
            raise Malformed(f"{name}, row {done + error.row}: {error}") from error
        done += len(block)
    if done != count:
        raise Malformed(f"{name} has {done} rows; the dataset has {count}", "mismatch")


def _open_arrays(paths: Sequence[Path], count: int) -> PairFile:
    """Arrays, mapped and not read: whatever a header says takes no memory."""
    arrays = list[Any]()
    for path in paths:
        open_regular(path).close()
        try:
            array: Any = np.lib.format.open_memmap(path, mode="r")
            if (more := path.stat().st_size - array.offset - array.nbytes) > 0:
                raise ValueError(f"{more} bytes follow the array: save one array to a file")
            arrays.append(array)
        except Exception as error:  # whatever numpy raises for a header
            raise Malformed(f"not an array that can be read without pickles: {' '.join(str(error).split())}") from error
    ends = [array.shape[:-1] for array in arrays]
    if ends not in ([(2, count)], [(count, 2)], [(count,), (count,)]) or {array.dtype.kind for array in arrays} - {*"fiu"}:
        shapes = " and ".join(f"{array.shape} of {array.dtype}" for array in arrays)
        raise Malformed(f"the shape is {shapes}, not that of real numbers for {count} pairs", "mismatch")
    both = arrays if len(arrays) == 2 else arrays[0] if len(arrays[0]) == 2 else arrays[0].swapaxes(0, 1)

    def matrix(which: int) -> Iterator[Values]:
        for row in range(0, count, BLOCK_ROWS):
            yield np.asarray(both[which][row : row + BLOCK_ROWS], np.float64)

    return PairFile("npy", PartialHeader(), matrix, lambda: None)


def _open_lines(path: Path) -> PairFile:
    def values(names: Sequence[str]) -> Iterator[tuple[int, Any]]:
        with io.BufferedReader(open_regular(path)) as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_ROW), b""), 1):
                if not line.strip():
                    continue
                try:
                    record = parse_json(line)
                    yield number, next((record[name] for name in names if name in record), None)
                except (ValueError, TypeError) as error:
                    raise Malformed(f"line {number}: not a JSON object: {error}") from error

    def matrix(which: int) -> Iterator[Values]:
        name, width = KNOWN[which][0], 0
        for number, vector in values(KNOWN[which]):
            numbers = isinstance(vector, list) and vector and not {*map(type, vector)} - {int, float}
            if not numbers or any(type(value) is int and abs(value) > MICRO**50 for value in vector):
                raise Malformed(f"line {number}: {name} is not a list of numbers")
            if len(vector) != (width := width or len(vector)):
                raise Malformed(f"line {number}: {name} has {len(vector)} numbers, the lines before it {width}")
            yield np.array([vector], np.float64)

    def scores() -> Values | None:
        numbered = [*values(KNOWN[2])]
        if all(score is None for _, score in numbered):
            return None
        for number, score in numbered:
            if type(score) not in (int, float) or not abs(score) < 1e300:
                raise Malformed(f"line {number}: its score is missing or not a number, and other lines have one")
        return np.array([score for _, score in numbered], np.float64)

    return PairFile("jsonl", PartialHeader(), matrix, scores)
