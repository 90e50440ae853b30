"""Pair sets in any container, read in pieces for `compare`: published float32 files as well as canonical ones; and AQED v1.

Numbers need not be on the grid, and keys may come in any order: `pair_json.read` is the strict way to the same rows. All
readers give float64 values, some rows at a time, and each matrix can be read on its own, so that both go side by side.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from aqea_registry.base.files import open_regular
from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.vectors.containers import json_text
from aqea_registry.vectors.containers.pair_json import open_json
from aqea_registry.vectors.containers.parquet import open_parquet
from aqea_registry.vectors.pair_set import BLOCK_ROWS, MICRO, Malformed, PairFile, PairSet, PartialHeader, Values

AQED_HEADER = 60  # bytes


@contextmanager
def open_pairs(path: Path, name: str) -> Iterator[PairFile]:
    """Open a pair file, Parquet view, AQED or `*_embeddings.json`. `name` is what messages call it.

    Raises Refused, also while it is read, if the file is malformed; BadConfiguration if it holds no pair set; OSError.
    """
    try:
        with open_regular(path) as file:
            start = os.pread(file.fileno(), 4, 0)
            if start == b"AQED":
                yield open_aqed(file)
            elif start == b"PAR1":
                yield open_parquet(path)
            elif start.lstrip(json_text.SPACE + json_text.MARK)[:1] == b"{":
                yield open_json(file, name)
            else:
                raise BadConfiguration(f"{name} holds no pair set", "compare pair files (JSON), Parquet views or AQED files")
    except Malformed as error:
        raise Refused.of(error.code, name, str(error)) from error


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
