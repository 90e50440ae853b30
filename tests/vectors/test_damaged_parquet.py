"""A Parquet file with a damaged footer is refused or read; it never ends the process, as pyarrow's own calls may."""

from __future__ import annotations

import io
import os
import random
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aqea_registry.base.findings import RegistryError
from aqea_registry.project.params import Dataset
from aqea_registry.sources.rows import column_names, read_rows
from aqea_registry.vectors.containers.open_pairs import open_parquet
from aqea_registry.vectors.pair_set import Malformed
from aqea_registry.vectors.vector_set import VectorSet, keys_of, write_vector_set
from tests.factories import unit_rows
from tests.vectors.test_parquet import pair_set, written

TIMES = 400


def vector_set() -> bytes:
    file, keys = io.BytesIO(), np.sort(keys_of(map(str, range(9))))
    write_vector_set(file, 4, [(keys, unit_rows(np.random.default_rng(0), 9, 4))])
    return file.getvalue()


def read_vectors(path: Path) -> None:
    vectors = VectorSet(path)
    assert vectors.content and len(vectors.keys) == vectors.texts


def rows() -> bytes:
    file, texts = io.BytesIO(), [f"text {number}" for number in range(20)]
    table = pa.table({"sentence1": texts, "sentence2": texts, "score": [1.5] * 20})
    pq.write_table(table, file, row_group_size=7)
    return file.getvalue()


def read_texts(path: Path) -> None:
    with path.open("rb") as file, suppress(RegistryError):
        column_names("t.parquet", file)
    with path.open("rb") as file:
        read_rows([("t.parquet", file)], Dataset(repo="d", files=("t.parquet",), sources=()), "d")


def read_pairs(path: Path) -> None:
    pairs = open_parquet(path)
    assert pairs.scores() is None or [sum(map(len, pairs.blocks(which))) for which in (0, 1)]


KINDS: dict[str, tuple[Callable[[], bytes], Callable[[Path], None]]] = {
    "vector set": (vector_set, read_vectors),
    "rows": (rows, read_texts),
    "view": (lambda: written(pair_set()), read_pairs),
}


def damage(content: bytes, chance: random.Random) -> bytes:
    """One or two other bytes in the footer, or its length."""
    start, damaged = len(content) - 8 - int.from_bytes(content[-8:-4], "little"), bytearray(content)
    for _ in range(chance.choice((1, 1, 2))):
        damaged[chance.randrange(start, len(content) - 4)] = chance.randrange(256)
    return bytes(damaged)


@pytest.mark.parametrize("seed", ["known", "new"])  # with the known one pyarrow's `column` ends the process
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_footer_never_ends_the_process(tmp_path: Path, kind: str, seed: str) -> None:
    make, read = KINDS[kind]
    content, number = make(), 0 if seed == "known" else random.randrange(1 << 32)
    print(f"the seed is {number}")
    path, chance = tmp_path / "damaged", random.Random(number)
    if not (child := os.fork()):
        try:
            for _ in range(TIMES):
                path.write_bytes(damage(content, chance))
                with suppress(Malformed, RegistryError):
                    read(path)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, path.read_bytes().hex()


def test_another_number_of_rows_in_the_footer_is_found(tmp_path: Path) -> None:
    content, path, refused = vector_set(), tmp_path / "damaged", list[str]()
    nine, more = b"\x12", b"\x66"  # as Thrift writes 9 and 51
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for at in (at for at in range(start, len(content) - 8) if content[at : at + 1] == nine):
        path.write_bytes(content[:at] + more + content[at + 1 :])
        try:
            read_vectors(path)
        except Malformed as error:
            refused.append(str(error))
    assert "row group 0: it holds 9 rows, and the footer says 51" in refused
