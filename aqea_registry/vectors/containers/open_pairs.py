"""Pair sets in any container, read in pieces for `compare`: published float32 files as well as canonical ones.

Numbers need not be on the grid, and keys may come in any order: `pair_json.read` is the strict way to the same rows. All
readers give float64 values, some rows at a time, and each matrix can be read on its own, so that both go side by side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aqea_registry.base.files import open_regular
from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.vectors.containers import json_scan
from aqea_registry.vectors.containers.aqed import open_aqed
from aqea_registry.vectors.containers.pair_json import open_json
from aqea_registry.vectors.containers.parquet import open_parquet
from aqea_registry.vectors.pair_set import Malformed, PairFile


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
            elif start.lstrip(json_scan.SPACE + b"\xef\xbb\xbf")[:1] == b"{":
                yield open_json(file, name)
            else:
                raise BadConfiguration(f"{name} holds no pair set", "compare pair files (JSON), Parquet views or AQED files")
    except Malformed as error:
        raise Refused.of(error.code, name, str(error)) from error
