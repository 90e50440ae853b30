"""Vectors that were computed before: each distinct sentence is encoded once per model, over all datasets and runs.

A folder of segments: SQLite files, each written whole, and never changed once it has its name. Rows lie in the order of their
keys, with SQLite's own index on them: opening reads two pages, a key that is asked for some more. Each row has a digest over
all of it, which is looked at whenever the row is read: damaged bytes are never used. Adding writes a new segment, and where
eight are of about one size, one is made of them: each row is written some five times in a hundred million. A killed run leaves
nothing half, and processes may add, merge and read at once. Where damage is found, the sound rows of that segment are kept, and
the others computed again. This is a cache: deleting it costs time and changes no byte.
"""

import heapq
import os
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from errno import EIO, ENOSPC
from hashlib import sha256
from importlib import metadata
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from aqea_registry.base.extras import PACKAGES
from aqea_registry.base.files import atomic_write, locked, sweep
from aqea_registry.base.findings import CannotCheck
from aqea_registry.vectors.margin import KNOWN
from aqea_registry.vectors.pair_set import Malformed, Micro, NearValues, OnGrid
from aqea_registry.vectors.vector_set import Keys, Rows, checked, keys_of

SUFFIX = ".sqlite"
SCHEMA = """
PRAGMA page_size = {page}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE vectors (key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, near BLOB, digest BLOB NOT NULL);
CREATE TABLE segment (dimension INTEGER NOT NULL, reach REAL NOT NULL);
BEGIN
"""
DENSE = 2  # rows that are read in one pass for each that is asked for, at most: a search for one costs more
Errors = (sqlite3.Error, OverflowError, TypeError, ValueError)  # of a damaged file, whose values may have other types


KeptRow = tuple[bytes, bytes, bytes | None, bytes]  # key, vector in three bytes a component, values near to a boundary, digest


class Damaged(Exception):
    """A segment that cannot be read, or whose row does not have its digest."""


def row(reach: float, key: bytes, vector: bytes, near: bytes | None) -> KeptRow:
    """A row of a segment in which all values within `reach` of a boundary are known."""
    return key, vector, near, _digest(struct.pack("<d", reach), key, vector, near)


def _digest(reach: bytes, key: bytes, vector: bytes, near: bytes | None) -> bytes:
    return sha256(b"".join((reach, key, vector, near or b""))).digest()[:8]


def pack(vectors: Micro) -> list[bytes]:
    """Rows of micro-units as bytes, little-endian: three are enough, as none is above a million."""
    count, dimension = vectors.shape
    three = np.ascontiguousarray(vectors, "<i4").view(np.uint8).reshape(count, dimension, 4)[:, :, :3]
    packed: list[bytes] = np.ascontiguousarray(three).reshape(count, 3 * dimension).view(f"V{3 * dimension}")[:, 0].tolist()
    return packed


def unpack(vectors: Sequence[bytes], dimension: int) -> Micro:
    """The rows of micro-units that were packed (len(vectors) x dimension)."""
    whole = b"".join((*vectors, b"\0"))
    four = np.ndarray((len(vectors), dimension), "<i4", whole, strides=(3 * dimension, 3))  # each with a byte of the next one
    return four << 8 >> 8


class Segment:
    """A segment, open for reading: `texts` rows. What it holds stays readable here when the file is removed.

    Raises FileNotFoundError if it is not there, Damaged if it is not a segment.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if os.path.lexists(path) and not path.is_file():
                raise ValueError("not a regular file")  # SQLite would wait for a pipe
            # Nobody writes to a file with this name: no lock is needed, and no journal looked for.
            # Statements that are kept, as is usual, would keep the keys that they asked for.
            uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            self._file = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=0)
            self._file.text_factory = bytes
            self.dimension, self.reach = self._file.execute("SELECT * FROM segment").fetchone()
            self.texts: int = self._file.execute("SELECT ifnull(max(rowid), 0) FROM vectors").fetchone()[0]
            self._head, _ = struct.pack("<d", self.reach), struct.pack("<qq", self.texts, self.dimension)
        except (*Errors, struct.error) as error:
            if not os.path.lexists(path):
                raise FileNotFoundError(path) from error
            raise Damaged(str(error)) from error

    def held(self, keys: Sequence[bytes]) -> list[tuple[bytes]]:
        """Those of some thousand keys that it has. No row is read."""
        return self._asked("SELECT key FROM vectors WHERE key", keys)

    def rows(self, keys: Sequence[bytes]) -> list[KeptRow]:
        """The rows of some thousand keys, as far as it has them, checked."""
        found: list[KeptRow] = self._asked("SELECT * FROM vectors WHERE key", keys)
        if not all(map(self._sound, found)) or not {*keys}.issuperset(values[0] for values in found):
            raise Damaged("a row does not have its digest, or lies under another key")
        return found

    def _asked(self, query: str, keys: Sequence[bytes]) -> list[Any]:
        """What it has of some keys: in one pass over all from the first to the last where it has few others between them."""
        ends, wanted = (min(keys), max(keys)), {*keys}
        first, last = (int.from_bytes(key[:8], "big") for key in ends)
        try:
            if self.texts * (last - first) >> 64 < DENSE * len(keys):  # keys are digests: they lie evenly
                return [values for values in self._file.execute(f"{query} BETWEEN ? AND ?", ends) if values[0] in wanted]
            return self._file.execute(f"{query} IN ({','.join('?' * len(keys))})", keys).fetchall()
        except Errors as error:
            raise Damaged(str(error)) from error

    def _sound(self, row: Any) -> bool:
        try:
            key, vector, near, digest = row
            return bool(_digest(self._head, key, vector, near) == digest and len(vector) == 3 * self.dimension)
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


ROWS_A_BLOCK = 8192
MERGED = 8  # segments of one size that become one
LARGEST = 1 << 24  # texts: a segment with as many stays, so that a merge ends in minutes and needs some GB beside it
NEAR = struct.Struct("<Id")  # component and distance


Answer = TypeVar("Answer", KeptRow, tuple[bytes])


class Near(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A value near a rounding boundary: its component, and the value minus the boundary, in the unit of a component."""

    component: int
    distance: float


def libraries() -> list[str]:
    """The libraries that compute a vector, with their versions."""
    return [f"{package} {metadata.version(package)}" for package in PACKAGES]


class VectorCache:
    """Vectors of one model under one method, by sentence. `dimension` int32 micro-units each.

    Of values within `reach` of a rounding boundary it must be known how near they are: a segment that was written when less
    was asked for is not used.
    """

    def __init__(self, folder: Path, dimension: int, reach: float = 0.0) -> None:
        self._folder, self._dimension, self._reach = folder, dimension, reach
        self._segments: dict[Path, Segment] = {}  # the largest first
        self._others: set[Path] = set()  # that do not fit
        self._lost = False
        self._look()

    @property
    def known(self) -> float:
        """How near to a boundary the values are whose distance is kept: of twice the reach, a little more may be asked for."""
        return max(KNOWN, 2 * self._reach)

    def missing(self, sentences: Iterable[str]) -> list[str]:
        """The distinct sentences without a kept vector, in the order they first occur. What other processes added counts."""
        self._look()
        distinct = list(dict.fromkeys(sentences))
        keys, absent = keys_of(distinct), np.ones(len(distinct), bool)
        order = np.argsort(keys)  # neighbours lie on the same pages
        for start in range(0, len(keys), ROWS_A_BLOCK):
            positions = order[start : start + ROWS_A_BLOCK]
            wanted = _bytes(keys[positions])
            kept = {key for (key,) in self._found(Segment.held, wanted)}
            absent[positions] = [key not in kept for key in wanted]
        return [distinct[position] for position in np.flatnonzero(absent).tolist()]

    def add(self, sentences: Sequence[str], rows: OnGrid) -> None:
        """Keep the vectors of these sentences (len(sentences) x dimension), each of which occurs once."""
        self.add_rows(keys_of(sentences), rows.micro, rows.near(self.known), self.known)

    def add_rows(self, keys: Keys, micro: Micro, near: NearValues, reach: float) -> None:
        """Keep the vectors of these texts (len(keys) x dimension), each of which occurs once.

        `near` has all their values within `reach` of a boundary, as `OnGrid.near(reach)` has them. Raises Malformed for what
        are not canonical vectors.
        """
        values, order = defaultdict[int, bytes](bytes), np.argsort(keys)
        if micro.shape != (len(keys), self._dimension):
            raise Malformed(f"{micro.shape} values of {len(keys)} vectors with {self._dimension} components")
        checked(keys[order], micro[order])
        for number, component, distance in zip(*(found.tolist() for found in near), strict=True):
            values[number] += NEAR.pack(component, distance)
        sorted_rows = zip(_bytes(keys[order]), pack(micro[order]), map(values.get, order.tolist()), strict=True)
        name = sha256(keys[order].tobytes() + struct.pack("<qd", self._dimension, reach))
        self._write(name.hexdigest(), reach, (row(reach, *found) for found in sorted_rows))
        if self._full():
            self._merge()

    def rows(self, keys: Keys) -> Iterator[Rows]:
        """These keys with their vectors, in their order, some thousand rows at a time.

        Raises KeyError; CannotCheck if one was there, and was damaged.
        """
        for start in range(0, len(keys), ROWS_A_BLOCK):
            part = keys[start : start + ROWS_A_BLOCK]
            wanted = _bytes(part)
            found = self._rows(wanted)
            if lacking := [key for key in wanted if key not in found]:
                raise KeyError(lacking[0].hex())
            yield part, unpack([found[key][1] for key in wanted], self._dimension)

    def near(self, keys: Keys) -> Iterator[tuple[str, Near]]:
        """The values of these texts within `reach` of a rounding boundary, and some others: hex key, and how near.

        Raises CannotCheck if a text was there, and was damaged.
        """
        ordered = np.unique(keys)
        for start in range(0, len(ordered), ROWS_A_BLOCK):
            for key, _, near, _ in self._rows(_bytes(ordered[start : start + ROWS_A_BLOCK])).values():
                yield from ((key.hex(), Near(*value)) for value in NEAR.iter_unpack(near or b""))

    def _rows(self, keys: Sequence[bytes]) -> dict[bytes, KeptRow]:
        """The rows of those of some thousand keys that are kept. Raises CannotCheck if one was damaged."""
        found = {values[0]: values for values in self._found(Segment.rows, keys)}
        if self._lost and (lacking := {*keys} - found.keys()):
            message = f"kept vectors in {self._folder} were damaged, and {len(lacking)} that are needed are dropped"
            raise CannotCheck(message, "run the same command again: it computes them again")
        return found

    def _found(self, query: Callable[[Segment, Sequence[bytes]], list[Answer]], keys: Sequence[bytes]) -> Iterator[Answer]:
        """What the first segment that has it answers on each key."""
        wanted = set(keys)
        while wanted:
            try:
                for segment in [*self._segments.values()]:
                    answers = query(segment, list(wanted)) if wanted else []
                    wanted.difference_update(answer[0] for answer in answers)
                    yield from answers
                return
            except Damaged:
                self._lost = True
                self._replace([segment])

    def _look(self) -> None:
        """Open the segments that are there now, and forget those that are gone: another process made one of them."""
        names = set[Path]()
        while names != (names := set(self._folder.glob(f"*{SUFFIX}"))):  # a folder may be read while it changes
            for path in names - self._segments.keys() - self._others:
                with suppress(FileNotFoundError):
                    try:
                        segment = Segment(path)
                        fits = segment.dimension == self._dimension and segment.reach >= self._reach
                    except Damaged:
                        fits = False
                    if fits:
                        self._segments[path] = segment
                    else:
                        self._others.add(path)
        there = sorted(self._segments.items(), key=lambda item: -item[1].texts)
        self._segments = {path: segment for path, segment in there if path in names}

    def _write(self, name: str, reach: float, rows: Iterable[KeptRow]) -> None:
        path = self._folder / f"{name}{SUFFIX}"
        write_segment(path, self._dimension, reach, rows)
        self._segments.pop(path, None)
        self._others.discard(path)
        self._look()

    def _full(self) -> list[Segment]:
        """Segments of one size and reach, of which one is to be made, if there are enough."""
        classes = defaultdict[tuple[float, int], list[Segment]](list)
        for segment in self._segments.values():
            if segment.texts < LARGEST:
                classes[segment.reach, segment.texts.bit_length() // 3].append(segment)
        return next((same for same in classes.values() if len(same) >= MERGED), [])

    def _merge(self) -> None:
        """Make few segments of many, unless another process does."""
        with suppress(BlockingIOError), locked(self._folder, wait=False):
            self._look()
            sweep(self._folder)  # what killed processes left
            while same := self._full():
                self._replace(same)

    def _replace(self, segments: Sequence[Segment]) -> None:
        """Make one segment of what is sound in these, in little memory, and remove them."""
        name = sha256("".join(sorted(segment.path.stem for segment in segments)).encode())
        rows = heapq.merge(*(segment.sound() for segment in segments), key=itemgetter(0))
        self._write(name.hexdigest(), segments[0].reach, rows)
        for segment in segments:
            segment.path.unlink(missing_ok=True)
        self._look()


def _bytes(keys: Keys) -> list[bytes]:
    """Keys as bytes, with the zeros at their ends."""
    whole: list[bytes] = keys.view("V32").tolist()
    return whole
