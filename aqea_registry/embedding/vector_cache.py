"""Vectors that were computed before: each distinct sentence is encoded once per model, over all datasets and runs.

A folder of segments. A segment is a NumPy file of records (key, distance to a rounding boundary, vector), written whole
under the sha256 of its bytes and checked against that name before it is used, so a killed run leaves nothing half, and a
damaged segment is computed again. This is a cache: deleting it costs time and changes no byte.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aqea_registry.base.files import hash_file, write_bytes
from aqea_registry.vectors.margin import PACKAGES
from aqea_registry.vectors.pair_set import Micro, OnGrid
from aqea_registry.vectors.vector_set import Keys, key_of, keys_of

ROWS_A_BLOCK = 2048


def libraries() -> list[str]:
    """The libraries that compute a vector, with their versions."""
    return [f"{package} {metadata.version(package)}" for package in PACKAGES]


class VectorCache:
    """Vectors of one model under one method, by sentence key. `dimension` int32 micro-units each."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._record = np.dtype([("key", "V32"), ("nearest", "<f8"), ("vector", "<i4", (dimension,))])
        self._segments: list[npt.NDArray[np.void]] = []
        self._index: dict[bytes, tuple[int, int]] = {}
        for path in sorted(folder.glob("*.npy")):
            self._load(path)

    def missing(self, sentences: Iterable[str]) -> list[str]:
        """The distinct sentences without a kept vector, in the order they first occur."""
        return [sentence for sentence in dict.fromkeys(sentences) if key_of(sentence) not in self._index]

    def add(self, sentences: Sequence[str], rows: OnGrid) -> None:
        """Keep the vectors of these sentences (len(sentences) x dimension)."""
        records = np.empty(len(sentences), self._record)
        records["key"] = np.array([key_of(sentence) for sentence in sentences], "V32")
        records["nearest"], records["vector"] = rows.boundary_distance, rows.micro
        buffer = io.BytesIO()
        np.save(buffer, records, allow_pickle=False)
        content = buffer.getvalue()
        path = self._folder / f"{hashlib.sha256(content).hexdigest()}.npy"
        write_bytes(path, content)
        self._load(path)

    def blocks(self, sentences: Sequence[str]) -> Iterator[Micro]:
        """The vectors of these sentences in their order, some thousand rows at a time. Raises KeyError."""
        for start in range(0, len(sentences), ROWS_A_BLOCK):
            yield self.lookup(keys_of(sentences[start : start + ROWS_A_BLOCK]))

    def lookup(self, keys: Keys) -> Micro:
        """The vectors of the sentences with these keys, in their order. Raises KeyError."""
        found = [self._index[key.tobytes()] for key in keys.view("V32")]
        block = np.empty((len(found), *self._record["vector"].shape), np.int32)
        for segment in {segment for segment, _ in found}:
            rows = [(position, row) for position, (at, row) in enumerate(found) if at == segment]
            here, there = np.array(rows).T
            block[here] = self._segments[segment]["vector"][there]
        return block

    def nearest(self, sentences: Sequence[str]) -> npt.NDArray[np.float64]:
        """Of each sentence the signed distance of its most endangered value to the rounding boundary. Raises KeyError."""
        found = [self._index[key_of(sentence)] for sentence in sentences]
        return np.array([self._segments[at]["nearest"][row] for at, row in found], np.float64)

    def _load(self, path: Path) -> None:
        try:
            if hash_file(path).sha256 != path.stem:
                os.unlink(path)
                return
            records = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return
        if not isinstance(records, np.ndarray) or records.dtype != self._record:
            return
        for row, key in enumerate(records["key"]):
            self._index[key.tobytes()] = (len(self._segments), row)
        self._segments.append(records)
