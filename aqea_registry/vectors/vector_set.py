"""Vector sets: the canonical vectors of distinct texts, by the sha256 of each text as the model sees it.

A Parquet file of two columns, one row a text: `key` (fixed 32 bytes, ascending, none twice) and `vector` (a fixed-size list of
int32 micro-units). A row group holds about a mebibyte: a reader reads the keys once, keeps the last one of each group, and then
reads those groups alone that have what it looks for. The same content gives the same bytes under one version of pyarrow, and
the same content digest under all.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from aqea_registry.base.files import open_regular, wrong_content
from aqea_registry.base.findings import Finding
from aqea_registry.vectors.containers.open_pairs import import_pyarrow, parquet
from aqea_registry.vectors.pair_set import MICRO, Malformed, Micro, regrouped

Keys = npt.NDArray[np.bytes_]  # "S32": compared as the bytes they are; `tobytes`, as `tolist` drops zeros at the end
Rows = tuple[Keys, Micro]

GROUP = 1 << 20  # bytes of vectors in a row group
AROUND = 12  # bytes of a Parquet file around its row groups and the footer
RECENT = 64  # row groups that stay in memory, of all vector sets together


def key_of(text: str) -> bytes:
    """The key of a text as the model sees it, prefix included."""
    return hashlib.sha256(text.encode()).digest()


def keys_of(texts: Iterable[str]) -> Keys:
    """The keys of texts, in their order."""
    return np.array([key_of(text) for text in texts], "S32")


def _records(keys: Keys, vectors: Micro) -> npt.NDArray[np.void]:
    records = np.empty(len(keys), [("key", "S32"), ("vector", "<i4", vectors.shape[1:])])
    records["key"], records["vector"] = keys, vectors
    return records


class VectorSetDigest:
    """sha256 over `aqea-vector-set/1`, a line feed, the dimension, then row by row key and vector, then the number of rows.

    Keys are 32 bytes each, ascending; vectors int32, dimension and number of rows u64. All numbers are little-endian.
    """

    def __init__(self, dimension: int) -> None:
        self._sha256, self._rows = hashlib.sha256(b"aqea-vector-set/1\n"), 0
        self._sha256.update(np.array([dimension], "<u8").tobytes())

    def add(self, keys: Keys, vectors: Micro) -> None:
        """Take the next rows."""
        self._sha256.update(_records(keys, vectors).tobytes())
        self._rows += len(keys)

    def finish(self) -> str:
        """The hex digest."""
        self._sha256.update(np.array([self._rows], "<u8").tobytes())
        return self._sha256.hexdigest()


def write_vector_set(file: BinaryIO, dimension: int, blocks: Iterable[Rows]) -> str:
    """Write blocks of any size (keys ascending; vectors: len(keys) x dimension) and return the content digest in hex.

    Raises Malformed for what is not a vector set, CannotCheck without pyarrow.
    """
    pa, pq = import_pyarrow()
    vector = pa.list_(pa.field("element", pa.int32(), nullable=False), dimension)
    fields = [pa.field("key", pa.binary(32), nullable=False), pa.field("vector", vector, nullable=False)]
    schema = pa.schema(fields, {b"unit": b"1e-6"})
    # Differences packed in bits are smaller than what compression makes, and no library's version changes them.
    encoding = {"key": "PLAIN", "vector.list.element": "DELTA_BINARY_PACKED"}
    options = {"compression": "none", "use_dictionary": False, "column_encoding": encoding, "write_statistics": ["key"]}
    digest, last = VectorSetDigest(dimension), None
    with pq.ParquetWriter(file, schema, **options) as writer:
        for records in regrouped((_records(*block) for block in blocks), _group_rows(dimension)):
            keys, vectors = records["key"].copy(), records["vector"].copy()
            last = checked(keys, vectors, last)
            digest.add(keys, vectors)
            key = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(keys), [None, pa.py_buffer(keys.tobytes())])
            listed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=vector)
            writer.write_batch(pa.record_batch([key, listed], schema=schema))
    if last is None:
        raise Malformed("a vector set holds a text at least")
    return digest.finish()


class VectorSet:
    """A vector set in a file, read a row group at a time: `texts` rows of `dimension` int32 micro-units.

    Raises Malformed for what is not a vector set, also while it is read; OSError; CannotCheck without pyarrow.
    """

    def __init__(self, path: Path) -> None:
        pa, pq = import_pyarrow()
        with open_regular(path) as file:  # a pipe is refused before it is waited for
            size = os.fstat(file.fileno()).st_size
        with parquet("not a Parquet file that can be read"):
            self._file: Any = pq.ParquetFile(pa.OSFile(str(path)))
            schema, metadata = self._file.schema_arrow, self._file.metadata
            # Of a damaged footer, `column` would end the process.
            groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
            self._sizes = [group.num_rows for group in groups]
            unpacked = sum(group.total_byte_size for group in groups) + metadata.serialized_size + AROUND
        key, kind = schema.types if schema.names == ["key", "vector"] else (pa.null(), pa.null())
        if key != pa.binary(32) or not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.int32() or not kind.list_size:
            named = ", ".join(f"{field.name}: {field.type}" for field in [*schema][:4])
            raise Malformed(f"its columns are {named}; a vector set has key (32 bytes) and vector (a fixed number of int32)")
        self.dimension: int = kind.list_size
        rows = _group_rows(self.dimension)
        self.texts = sum(self._sizes)
        whole = self._sizes and 0 < self._sizes[-1] <= rows and all(size == rows for size in self._sizes[:-1])
        if not whole or size != unpacked:
            raise Malformed(f"its row groups do not hold {rows} rows each, uncompressed, as this program writes them")

    def blocks(self) -> Iterator[Rows]:
        """All rows in the order of their keys, a row group at a time."""
        last = b""
        for keys, vectors in map(self.group, range(len(self._sizes))):
            last = _after(last, keys)
            yield keys, vectors

    def group(self, group: int) -> Rows:
        """A row group, checked."""
        with parquet(f"row group {group}"):
            table = self._file.read_row_group(group, use_threads=False).combine_chunks()
            key, vector = (column.chunk(0) for column in table.columns)
            values = vector.flatten()
            if key.null_count or vector.null_count or values.null_count:
                raise Malformed("a key or a value is missing")
            if len(key) != self._sizes[group]:
                raise Malformed(f"it holds {len(key)} rows, and the footer says {self._sizes[group]}")
            keys = _keys(key)
            vectors = values.to_numpy().reshape(len(keys), self.dimension)
        checked(keys, vectors)
        return keys, vectors

    @cached_property
    def keys(self) -> Keys:
        """All keys: 32 bytes of memory for each text."""
        with parquet("its keys"):
            keys = np.concatenate([_keys(part) for part in self._file.read(columns=["key"]).column(0).chunks])
        if len(keys) != self.texts:
            raise Malformed(f"it holds {len(keys)} keys, and the footer says {self.texts}")
        return keys

    @cached_property
    def _last(self) -> Keys:
        """The last key of each row group. All keys are read for it, some hundredths of the file."""
        last = [b""]
        with parquet("its keys"):
            for group in range(len(self._sizes)):
                keys = _keys(self._file.read_row_group(group, columns=["key"], use_threads=False).column(0).chunk(0))
                last.append(_after(last[-1], keys))
        return np.array(last[1:], "S32")

    @cached_property
    def content(self) -> str:
        """The content digest in hex, of all that the file holds: everything is read once, and checked."""
        digest = VectorSetDigest(self.dimension)
        for keys, vectors in self.blocks():
            digest.add(keys, vectors)
        return digest.finish()

    def lookup(self, keys: Keys | Sequence[bytes]) -> Micro:
        """The vectors of these keys, in their order (len(keys) x dimension). Raises KeyError if one is not there.

        Each row group that has one of them is read once, so many keys at a time cost less than one by one.
        """
        wanted = np.asarray(keys, "S32")
        result = np.empty((len(wanted), self.dimension), np.int32)
        groups = np.minimum(np.searchsorted(self._last, wanted), len(self._sizes) - 1)  # the first not to end before the key
        for group in np.unique(groups).tolist():
            positions = np.flatnonzero(groups == group)
            there, vectors = _recent(self, group)
            at = np.minimum(np.searchsorted(there, wanted[positions]), len(there) - 1)
            if (lacking := positions[there[at] != wanted[positions]]).size:
                raise KeyError(wanted[lacking[:1]].tobytes().hex())
            result[positions] = vectors[at]
        return result


@lru_cache(maxsize=RECENT)
def _recent(vectors: VectorSet, group: int) -> Rows:
    return vectors.group(group)


class ExaminedVectors(NamedTuple):
    """What a good vector set holds: how many texts, their dimension, and the content digest in hex."""

    texts: int
    dimension: int
    content: str


def examine_vector_set(
    path: Path, subject: str, expected: ExaminedVectors | None = None
) -> tuple[ExaminedVectors | None, list[Finding]]:
    """Read a vector set whole, in memory of a few row groups, and say what is wrong with it. Raises OSError."""
    try:
        vectors = VectorSet(path)
        examined = ExaminedVectors(vectors.texts, vectors.dimension, vectors.content)
    except Malformed as error:
        return None, [wrong_content(path, subject) or Finding(error.code, subject, str(error))]
    message = "the vector set is another one than its result says"
    return examined, [
        Finding("mismatch", f"{subject}: {name}", message, str(wanted), str(own))
        for name, wanted, own in zip(examined._fields, expected or examined, examined, strict=True)
        if wanted != own
    ]


def _keys(column: Any) -> Keys:
    """The keys in an Arrow array, which are not copied."""
    return np.frombuffer(column.buffers()[1], "S32", len(column), 32 * column.offset)


def _after(last: bytes, keys: Keys) -> bytes:
    """The last key of a row group. Raises Malformed if it does not begin behind the last key of the one before."""
    if keys[0] <= last:
        raise Malformed("the keys of its row groups are not ascending")
    return bytes(keys[-1])


def _group_rows(dimension: int) -> int:
    """The rows of a row group: all have as many, but for the last."""
    return max(1, GROUP // (4 * dimension))


def checked(keys: Keys, vectors: Micro, before: bytes | None = None) -> bytes:
    """The last key of some rows. Raises Malformed if they are not ascending, not behind `before`, or not canonical vectors."""
    if (keys[:-1] >= keys[1:]).any() or (before is not None and before >= keys[0]):
        raise Malformed("the keys are not ascending, or one appears twice")
    lengths = np.sqrt(np.square(vectors.astype(np.float64)).sum(axis=1))
    bad = np.flatnonzero(np.abs(lengths - MICRO) > 0.5 * math.sqrt(vectors.shape[1]) + 1)  # as `examine` has it
    if len(bad):
        text, length = keys[bad[:1]].tobytes().hex(), lengths[bad[0]] / MICRO
        raise Malformed(f"the vector of the text {text} has length {length:.6f}, not 1", "not-canonical")
    last: bytes = keys[-1]
    return last
