"""AQED v1, a binary format of float32 vectors: write and read."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from io import FileIO
from itertools import chain
from typing import BinaryIO

import numpy as np

from aqea_registry.vectors.pair_set import BLOCK_ROWS, MICRO, Malformed, PairFile, PairSet, PartialHeader, Values

AQED_HEADER = 60


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

    return PairFile(
        container="aqed", header=PartialHeader(dimension=dimension, n_pairs=half), matrix=matrix, scores=lambda: None
    )
