"""Segments of the vector cache: vectors in SQLite files, each written whole, and never changed once it has its name.

Rows lie in the order of their keys, with SQLite's own index on them: opening reads two pages, a key that is asked for some
more. Each row has a digest over all of it, which is looked at whenever the row is read: damaged bytes are never used.
"""

import os
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from errno import EIO, ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from aqea_registry.base.files import atomic_write
from aqea_registry.vectors.pair_set import Micro

SUFFIX = ".sqlite"
SCHEMA = """
PRAGMA page_size = {page}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE vectors (key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, near BLOB, digest BLOB NOT NULL);
CREATE TABLE segment (dimension INTEGER NOT NULL, reach REAL NOT NULL);
BEGIN
"""
Errors = (sqlite3.Error, OverflowError, TypeError, ValueError)  # of a damaged file, whose values may have other types


KeptRow = tuple[bytes, bytes, bytes | None, bytes]  # key, vector in three bytes a component, values near to a boundary, digest


class Damaged(Exception):
    """A segment that cannot be read, or whose row does not have its digest."""


def row(reach: float, key: bytes, vector: bytes, near: bytes | None) -> KeptRow:
    """A row of a segment in which all values within `reach` of a boundary are known."""
    return key, vector, near, sha256(b"".join((struct.pack("<d", reach), key, vector, near or b""))).digest()[:8]


def pack(vectors: Micro) -> list[bytes]:
    """Rows of micro-units as bytes, little-endian: three are enough, as none is above a million."""
    count, dimension = vectors.shape
    three = np.ascontiguousarray(vectors, "<i4").view(np.uint8).reshape(count, dimension, 4)[:, :, :3]
    packed: list[bytes] = np.ascontiguousarray(three).reshape(count, 3 * dimension).view(f"V{3 * dimension}")[:, 0].tolist()
    return packed


def unpack(vectors: Sequence[bytes], dimension: int) -> Micro:
    """The rows of micro-units that were packed (len(vectors) x dimension)."""
    four = np.zeros((len(vectors), dimension, 4), np.uint8)
    four[:, :, 1:] = np.frombuffer(b"".join(vectors), np.uint8).reshape(len(vectors), dimension, 3)
    return four.view("<i4")[:, :, 0] >> 8


class Segment:
    """A segment, open for reading: `texts` rows. What it holds stays readable here when the file is removed.

    Raises FileNotFoundError if it is not there, Damaged if it is not a segment.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Nobody writes to a file with this name: no lock is needed, and no journal looked for.
            # Statements that are kept, as is usual, would keep the keys that they asked for.
            uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            self._file = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=0)
            self._file.text_factory = bytes
            self.dimension, self.reach = self._file.execute("SELECT * FROM segment").fetchone()
            self.texts: int = self._file.execute("SELECT ifnull(max(rowid), 0) FROM vectors").fetchone()[0]
            struct.pack("<qqd", self.texts, self.dimension, self.reach)
        except (*Errors, struct.error) as error:
            if not os.path.lexists(path):
                raise FileNotFoundError(path) from error
            raise Damaged(str(error)) from error

    def held(self, keys: Sequence[bytes]) -> list[tuple[bytes]]:
        """Those of some thousand keys that it has. No row is read."""
        return self._asked("SELECT key FROM vectors WHERE key IN", keys)

    def rows(self, keys: Sequence[bytes]) -> list[KeptRow]:
        """The rows of some thousand keys, as far as it has them, checked."""
        found: list[KeptRow] = self._asked("SELECT * FROM vectors WHERE key IN", keys)
        if not all(map(self._sound, found)) or not {*keys}.issuperset(values[0] for values in found):
            raise Damaged("a row does not have its digest, or lies under another key")
        return found

    def _asked(self, query: str, keys: Sequence[bytes]) -> list[Any]:
        try:
            return self._file.execute(f"{query} ({','.join('?' * len(keys))})", keys).fetchall()
        except Errors as error:
            raise Damaged(str(error)) from error

    def _sound(self, found: Any) -> bool:
        try:
            return bool(row(self.reach, *found[:3]) == found and len(found[1]) == 3 * self.dimension)
        except Errors:
            return False

    def sound(self) -> Iterator[KeptRow]:
        """All rows that are not damaged, in the order of their keys, up to the first that cannot be read."""
        try:
            yield from filter(self._sound, self._file.execute("SELECT * FROM vectors ORDER BY rowid"))
        except Errors:
            return

    def is_whole(self) -> bool:
        """Whether every row has its digest, and rows and index agree: everything is read."""
        try:
            sound = all(map(self._sound, self._file.execute("SELECT * FROM vectors")))
            return sound and self._file.execute("PRAGMA integrity_check").fetchall() == [(b"ok",)]
        except Errors:
            return False


def write_segment(path: Path, dimension: int, reach: float, rows: Iterable[KeptRow]) -> None:
    """Write a segment of rows with ascending keys; of rows with one key the first counts. Raises OSError."""
    page = 1 << min(16, max(12, (12 * dimension).bit_length() + 1))  # some rows fill one
    with atomic_write(path) as file:
        try:
            uri = f"{Path(file.name).absolute().as_uri()}?nolock=1"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
                database.executescript(SCHEMA.format(page=page))
                database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", rows)
                database.execute("INSERT INTO segment VALUES (?, ?)", (dimension, reach))
                database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            full = error.sqlite_errorcode & 255 == sqlite3.SQLITE_FULL
            raise OSError(ENOSPC if full else EIO, f"{os.strerror(ENOSPC) if full else error}", str(path)) from error
