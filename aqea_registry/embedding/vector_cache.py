"""Vectors that were computed before: each distinct sentence is encoded once per model, over all datasets and runs.

A folder of vector sets, its segments: each is written whole, under the sha256 of its bytes, and checked against that name
before it is used, so a killed run leaves nothing half, and a damaged segment is computed again. Sixteen segments of about one
size become one, so that there are few of them at any size; of a text 32 bytes are in memory. This is a cache: deleting it costs
time and changes no byte.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.files import atomic_write, hash_file, locked
from aqea_registry.vectors.margin import KNOWN, PACKAGES
from aqea_registry.vectors.pair_set import Micro, NearValues, OnGrid
from aqea_registry.vectors.vector_set import Keys, Rows, VectorSet, keys_of, open_vector_set, write_vector_set

ROWS_A_BLOCK = 8192
MERGED = 16  # segments that become one
NOTE = b"near"  # under which a segment has them


class Near(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A value near a rounding boundary: its component, and the value minus the boundary, in the unit of a component."""

    component: int
    distance: float


class _Note(msgspec.Struct, frozen=True):
    """All values of a segment that are nearer than `reach` to a boundary, by the hex key of their sentence."""

    reach: float
    values: dict[str, list[Near]]


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
        self._segments: dict[Path, tuple[VectorSet, _Note]] = {}
        while not all(self._load(path) for path in sorted(folder.glob("*.parquet"))):
            pass  # another process merged some meanwhile: they are in a new one

    def missing(self, sentences: Iterable[str]) -> list[str]:
        """The distinct sentences without a kept vector, in the order they first occur."""
        distinct = list(dict.fromkeys(sentences))
        return [distinct[place] for place in np.flatnonzero(self._where(keys_of(distinct)) < 0).tolist()]

    def add(self, sentences: Sequence[str], rows: OnGrid) -> None:
        """Keep the vectors of these sentences (len(sentences) x dimension), each of which occurs once."""
        self.add_rows(keys_of(sentences), rows.micro, rows.near(self.known), self.known)

    @property
    def known(self) -> float:
        """How near to a boundary the values are whose distance is kept: of twice the reach, a little more may be asked for."""
        return max(KNOWN, 2 * self._reach)

    def add_rows(self, keys: Keys, micro: Micro, near: NearValues, reach: float) -> None:
        """Keep the vectors of these texts (len(keys) x dimension), each of which occurs once.

        `near` has all their values within `reach` of a boundary, as `OnGrid.near(reach)` has them.
        """
        values, order = defaultdict[str, list[Near]](list), np.argsort(keys)
        for row, component, distance in zip(*(found.tolist() for found in near), strict=True):
            values[keys[row : row + 1].tobytes().hex()].append(Near(component, distance))
        self._keep([(keys[order], micro[order])], _Note(reach, values))
        classes = defaultdict[int, list[Path]](list)
        for path, (segment, _) in self._segments.items():
            classes[segment.texts.bit_length() // 4].append(path)
        for paths in classes.values():
            if len(paths) >= MERGED:
                self._merge(paths)

    def rows(self, keys: Keys) -> Iterator[Rows]:
        """These keys with their vectors, in their order, some thousand rows at a time. Raises KeyError."""
        segments = [segment for segment, _ in self._segments.values()]
        for start in range(0, len(keys), ROWS_A_BLOCK):
            part = keys[start : start + ROWS_A_BLOCK]
            where, block = self._where(part), np.empty((len(part), self._dimension), np.int32)
            if (where < 0).any():
                raise KeyError(part[where < 0][:1].tobytes().hex())
            for number in np.unique(where).tolist():
                block[where == number] = segments[number].lookup(part[where == number])
            yield part, block

    def near(self, keys: Keys) -> Iterator[tuple[str, Near]]:
        """The values of these texts within `reach` of a rounding boundary, and some others: hex key, and how near."""
        notes, where = [note.values for _, note in self._segments.values()], self._where(keys)
        for number, note in enumerate(notes):
            mine = keys[where == number]
            known = np.array([bytes.fromhex(text) for text in note], "S32")
            for key in mine[np.isin(mine, known)].view("V32"):
                yield from ((text, near) for text in (key.tobytes().hex(),) for near in note[text])

    def _where(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Of each key the number of its segment, or -1."""
        where = np.full(len(keys), -1)
        for number, (segment, _) in enumerate(self._segments.values()):
            at = np.minimum(np.searchsorted(segment.keys, keys), segment.texts - 1)
            where[(where < 0) & (segment.keys[at] == keys)] = number
        return where

    def _merge(self, paths: Sequence[Path]) -> None:
        """Make one segment of these, in memory of a few row groups and all of their keys."""
        segments, notes = zip(*(self._segments[path] for path in paths), strict=True)
        near = {key: values for note in reversed(notes) for key, values in note.values.items()}
        keys = np.unique(np.concatenate([segment.keys for segment in segments]))
        merged = self._keep(self.rows(keys), _Note(min(note.reach for note in notes), near))
        for path in {*paths} - {merged}:
            del self._segments[path]
            path.unlink(missing_ok=True)

    def _keep(self, rows: Iterable[Rows], note: _Note) -> Path:
        """Write a segment and use it. Processes write one after the other."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder):
            new = self._folder / "new"  # of a killed process, if it is there: without a name to be found by
            with atomic_write(new) as file:
                write_vector_set(file, self._dimension, rows, {NOTE: msgspec.json.encode(note)})
            path = self._folder / f"{hash_file(new).sha256}.parquet"
            new.replace(path)
        self._load(path)
        return path

    def _load(self, path: Path) -> bool:
        """Use a segment if it is sound and fits; False if it is gone."""
        try:
            if path not in self._segments and hash_file(path).sha256 != path.stem:
                path.unlink()
            elif path not in self._segments:
                segment = open_vector_set(path)
                note = msgspec.json.decode(segment.notes.get(NOTE, b""), type=_Note)
                if segment.texts and segment.dimension == self._dimension and note.reach >= self._reach:
                    self._segments[path] = segment, note
        except (OSError, ValueError, msgspec.MsgspecError):
            return os.path.lexists(path)
        return True
