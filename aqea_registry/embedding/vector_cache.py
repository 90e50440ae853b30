"""Vectors that were computed before: each distinct sentence is encoded once per model, over all datasets and runs.

A folder of segments. Adding writes a new one, and where eight are of about one size, one is made of them: each row is written
some five times in a hundred million. A segment is there whole or not at all, so a killed run leaves nothing half, and processes
may add, merge and read at once. Damage is found where it is read; then the sound rows of that segment are kept, and the others
computed again. This is a cache: deleting it costs time and changes no byte.
"""

import heapq
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib import metadata
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from aqea_registry.base.files import locked, sweep
from aqea_registry.base.findings import CannotCheck
from aqea_registry.embedding.segment import SUFFIX, Damaged, KeptRow, Segment, pack, row, unpack, write_segment
from aqea_registry.vectors.margin import KNOWN, PACKAGES
from aqea_registry.vectors.pair_set import Malformed, Micro, NearValues, OnGrid
from aqea_registry.vectors.vector_set import Keys, Rows, checked, keys_of

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
            places = order[start : start + ROWS_A_BLOCK]
            wanted = _bytes(keys[places])
            held = {key for (key,) in self._found(Segment.held, wanted)}
            absent[places] = [key not in held for key in wanted]
        return [distinct[place] for place in np.flatnonzero(absent).tolist()]

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
            vectors = {key: vector for key, vector, *_ in self._found(Segment.rows, wanted)}
            if lacking := [key for key in wanted if key not in vectors]:
                if not self._lost:
                    raise KeyError(lacking[0].hex())
                message = f"kept vectors in {self._folder} were damaged, and {len(lacking)} that are needed are dropped"
                raise CannotCheck(message, "run the same command again: it computes them again")
            yield part, unpack([vectors[key] for key in wanted], self._dimension)

    def near(self, keys: Keys) -> Iterator[tuple[str, Near]]:
        """The values of these texts within `reach` of a rounding boundary, and some others: hex key, and how near."""
        ordered = np.unique(keys)
        for start in range(0, len(ordered), ROWS_A_BLOCK):
            for key, _, near, _ in self._found(Segment.rows, _bytes(ordered[start : start + ROWS_A_BLOCK])):
                yield from ((key.hex(), Near(*value)) for value in NEAR.iter_unpack(near or b""))

    def _found(self, query: Callable[[Segment, Sequence[bytes]], list[Answer]], keys: Sequence[bytes]) -> Iterator[Answer]:
        """What the first segment that has it answers on each key."""
        wanted = set(keys)
        while wanted:
            try:
                for segment in [*self._segments.values()]:
                    found = query(segment, list(wanted))
                    wanted.difference_update(answer[0] for answer in found)
                    yield from found
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
