"""The vector cache with many texts: `python -m benchmarks.cache TEXTS DIMENSION [ROWS]`. Vectors are random, disks are needed.

ROWS (default: 4096) are added at a time, as encoding does. Each line has processor seconds, seconds by the clock, and the
resident size of a process that does this alone, its imports included.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aqea_registry.embedding.vector_cache import VectorCache
from aqea_registry.vectors.margin import KNOWN
from aqea_registry.vectors.pair_set import NearValues, OnGrid, to_grid
from aqea_registry.vectors.vector_set import Keys, keys_of
from benchmarks.timing import in_child, peak_memory, temporary

ASKED = 10_000


def keys(first: int, count: int) -> Keys:
    """The keys of numbered texts."""
    return keys_of(map(str, range(first, first + count)))


def vectors(first: int, count: int, dimension: int) -> OnGrid:
    """Their vectors."""
    return to_grid(np.random.default_rng(first).standard_normal((count, dimension)))


def add(folder: Path, texts: int, dimension: int, rows: int) -> str:
    """Fill a cache; of the bytes that were written, how many times those that are there."""
    cache = VectorCache(folder, dimension)
    for first in range(0, texts, rows):
        on_grid = vectors(first, min(rows, texts - first), dimension)
        near: NearValues = on_grid.near(KNOWN)
        cache.add_rows(keys(first, len(on_grid.micro)), on_grid.micro, near, KNOWN)
    size = sum(path.stat().st_size for path in folder.iterdir())
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    segments = len([*folder.iterdir()])
    return f"{size / texts:.0f} bytes a text, {segments} segments, written {int(io['write_bytes']) / size:.2f} times"


def make(texts: int, dimension: int, rows: int) -> str:
    """What `add` does besides: random vectors and keys."""
    for first in range(0, texts, rows):
        vectors(first, min(rows, texts - first), dimension).near(KNOWN)
        keys(first, min(rows, texts - first))
    return ""


def opened(folder: Path, dimension: int) -> str:
    """Open it."""
    return f"{len(vars(VectorCache(folder, dimension))['_segments'])} segments"


def lookup(folder: Path, texts: int, dimension: int, order: str) -> str:
    """Vectors of texts, in random order or in that of their keys."""
    asked = keys_of(map(str, np.random.default_rng(7).integers(0, texts, ASKED).tolist()))
    asked = np.sort(asked) if order == "sorted" else asked
    cache, start = VectorCache(folder, dimension), time.perf_counter()
    found = sum(len(block) for _, block in cache.rows(asked))
    return f"{found} texts, {1e6 * (time.perf_counter() - start) / found:.0f} us each"


def missing(folder: Path, texts: int, dimension: int, first: int) -> str:
    """Which of a million texts are missing."""
    many = min(1_000_000, texts)
    return f"{len(VectorCache(folder, dimension).missing(map(str, range(first, first + many))))} of {many}"


def timed(work: Callable[..., str], *arguments: object) -> str:
    """A work with what it took."""
    start, before = time.perf_counter(), os.times()
    told = work(*arguments)
    after = os.times()
    used = after.user + after.system - before.user - before.system
    return f"{used:9.2f} s processor {time.perf_counter() - start:9.2f} s clock {peak_memory():7.3f} GB  {told}"


def main() -> None:
    """Fill a cache, ask it, and remove it."""
    texts, dimension, rows = (*map(int, sys.argv[1:]), 4096)[:3]
    with temporary() as top:
        folder = top / "cache"
        folder.mkdir()
        for name, work, *arguments in (
            ("random vectors alone", make, texts, dimension, rows),
            ("the same, and adding", add, folder, texts, dimension, rows),
            ("opening", opened, folder, dimension),
            ("10,000 random texts", lookup, folder, texts, dimension, "random"),
            ("10,000 sorted texts", lookup, folder, texts, dimension, "sorted"),
            ("missing, all there", missing, folder, texts, dimension, 0),
            ("missing, none there", missing, folder, texts, dimension, texts),
        ):
            print(f"{name:22}{in_child(timed, work, *arguments)}", flush=True)


if __name__ == "__main__":
    main()
