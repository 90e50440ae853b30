"""Vector sets: what is written is read again, one content has one digest, and what is not a vector set is refused."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.vectors import vector_set
from aqea_registry.vectors.pair_set import Malformed, Micro
from aqea_registry.vectors.vector_set import (
    ExaminedVectors,
    Keys,
    Rows,
    VectorSet,
    examine_vector_set,
    keys_of,
    write_vector_set,
)
from tests.factories import unit_rows

DIMENSION = 64
GROUP = (1 << 20) // (4 * DIMENSION)


def rows(count: int, seed: int = 0, dimension: int = DIMENSION) -> Rows:
    keys = np.sort(keys_of(f"text {number}" for number in range(count)))
    return keys, unit_rows(np.random.default_rng(seed), count, dimension)


def written(path: Path, keys: Keys, vectors: Micro, *cuts: int) -> str:
    with path.open("wb") as file:
        blocks = zip(np.split(keys, cuts), np.split(vectors, cuts), strict=True)
        return write_vector_set(file, vectors.shape[1], blocks)


def test_vectors_come_back_by_key_from_any_row_group(tmp_path: Path) -> None:
    keys, vectors = rows(2 * GROUP + 5)
    assert any(key.tobytes().endswith(b"\0") for key in keys.view("V32"))  # which a fixed-width string would lose
    digest = written(tmp_path / "set", keys, vectors)
    found = VectorSet(tmp_path / "set")
    assert (found.texts, found.dimension, found.content) == (2 * GROUP + 5, DIMENSION, digest)
    order = np.random.default_rng(1).integers(0, len(keys), 3000)
    assert np.array_equal(found.lookup(keys[order]), vectors[order])
    assert np.array_equal(found.lookup([key.tobytes() for key in keys[order[:9]].view("V32")]), vectors[order[:9]])
    assert np.array_equal(np.concatenate([block for _, block in found.blocks()]), vectors)
    assert found.lookup([]).shape == (0, DIMENSION)
    for absent in (b"\0" * 32, b"\xff" * 32, hashlib.sha256(b"another").digest()):
        with pytest.raises(KeyError, match=absent.hex()):
            found.lookup([keys[:1].tobytes(), absent])


@given(st.integers(1, 40), st.lists(st.integers(0, 40), max_size=5))
def test_bytes_do_not_depend_on_blocks_and_the_digest_is_as_documented(count: int, cuts: list[int]) -> None:
    keys, vectors = rows(count, dimension=3)
    files = [io.BytesIO(), io.BytesIO()]
    cuts = sorted(min(cut, count) for cut in cuts)
    parts = zip(np.split(keys, cuts), np.split(vectors, cuts), strict=True)
    digests = {write_vector_set(file, 3, blocks) for file, blocks in zip(files, ([(keys, vectors)], parts), strict=True)}
    content = b"aqea-vector-set/1\n" + struct.pack("<Q", 3)
    content += b"".join(key.tobytes() + vector.tobytes() for key, vector in zip(keys.view("V32"), vectors, strict=True))
    assert digests == {hashlib.sha256(content + struct.pack("<Q", count)).hexdigest()}
    assert files[0].getvalue() == files[1].getvalue()


def test_an_examined_set_is_compared_with_what_its_result_says(tmp_path: Path) -> None:
    digest = written(tmp_path / "set", *rows(9))
    found, findings = examine_vector_set(tmp_path / "set", "a.parquet", ExaminedVectors(9, DIMENSION, digest))
    assert found == (9, DIMENSION, digest) and findings == []
    _, findings = examine_vector_set(tmp_path / "set", "a.parquet", ExaminedVectors(8, DIMENSION, "0" * 64))
    assert [(one.code, one.subject) for one in findings] == [
        ("mismatch", "a.parquet: texts"),
        ("mismatch", "a.parquet: content"),
    ]


def table(keys: Any, vectors: Any, kind: Any = None, names: tuple[str, str] = ("key", "vector")) -> pa.Table:
    listed = pa.array(vectors, kind or pa.list_(pa.int32(), DIMENSION))
    return pa.table({names[0]: pa.array(keys, pa.binary(32)), names[1]: listed})


def hostile() -> Iterator[tuple[str, pa.Table, dict[str, Any]]]:
    keys, vectors = rows(6)
    good, plain = [key.tobytes() for key in keys.view("V32")], vectors.tolist()
    packed: dict[str, Any] = {"compression": "none"}
    yield "columns", table(good, plain, names=("key", "other")), packed
    yield "columns", table(good, plain, pa.list_(pa.int32())), packed
    yield "columns", table(good, plain, pa.list_(pa.float64(), DIMENSION)), packed
    yield "columns", pa.table({"key": pa.array([key[:31] for key in good]), "vector": table(good, plain)["vector"]}), packed
    yield "ascending", table(good[::-1], plain), packed
    yield "ascending", table([good[0], *good[:5]], plain), packed
    yield "missing", table([None, *good[1:]], plain), packed
    yield "missing", table(good, [None, *plain[1:]]), packed
    yield "missing", table(good, [[None, *plain[0][1:]], *plain[1:]]), packed
    yield "length", table(good, [[0] * DIMENSION, *plain[1:]]), packed
    yield "length", table(good, [[-(2**31), *[0] * (DIMENSION - 1)], *plain[1:]]), packed
    yield "uncompressed", table(good, plain), {"compression": "zstd"}
    yield "row groups", table(good, plain), {**packed, "row_group_size": 4}
    yield "row groups", table([], []), packed


@pytest.mark.parametrize(("message", "content", "options"), list(hostile()))
def test_what_is_not_a_vector_set_is_refused(tmp_path: Path, message: str, content: pa.Table, options: dict[str, Any]) -> None:
    pq.write_table(content, tmp_path / "set", **options)
    with pytest.raises(Malformed, match=message):
        assert VectorSet(tmp_path / "set").content
    examined, findings = examine_vector_set(tmp_path / "set", "a.parquet")
    assert examined is None and len(findings) == 1 and message in findings[0].message


def test_changed_bytes_are_malformed_or_other_content(tmp_path: Path) -> None:
    digest = written(tmp_path / "good", *rows(20, dimension=4))
    content, chance = (tmp_path / "good").read_bytes(), np.random.default_rng(0)
    changed = [content[:at] for at in (0, 3, len(content) // 2, len(content) - 1)]
    for at in chance.choice(len(content), 200, replace=False).tolist():
        changed.append(content[:at] + bytes([content[at] ^ 1 << int(chance.integers(8))]) + content[at + 1 :])
    outcomes = list[str]()
    for number, damaged in enumerate(changed):
        (tmp_path / f"{number}").write_bytes(damaged)
        try:
            outcomes.append(VectorSet(tmp_path / f"{number}").content)
        except Malformed as error:
            outcomes.append(str(error)[:20])
    assert outcomes[:4] == ["not a Parquet file t"] * 4
    assert sum(len(outcome) == 20 for outcome in outcomes) > 80
    assert digest in outcomes  # names of no account, for example; but nothing else was raised


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        VectorSet(tmp_path / "pipe")


def test_the_writer_refuses_what_its_reader_would(tmp_path: Path) -> None:
    keys, vectors = rows(2 * GROUP)
    for bad in (np.roll(keys, 1), np.roll(keys, GROUP), np.concatenate([keys[:-1], keys[-2:-1]])):
        with pytest.raises(Malformed, match="ascending"):
            written(tmp_path / "set", bad, vectors)
    with pytest.raises(Malformed, match="length"):
        written(tmp_path / "set", keys, vectors * 2)
    with pytest.raises(Malformed, match="at least"):
        written(tmp_path / "set", keys[:0], vectors[:0])


def test_a_group_is_read_once_for_many_keys_and_few_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_set, "GROUP", 4 * DIMENSION * 10)  # ten rows a group: a hundred groups
    keys, vectors = rows(1000)
    written(tmp_path / "set", keys, vectors)
    found, read = VectorSet(tmp_path / "set"), list[int]()
    group = found.group

    def counted(number: int) -> Rows:
        read.append(number)
        return group(number)

    monkeypatch.setattr(found, "group", counted)
    assert np.array_equal(found.lookup(keys[::-1]), vectors[::-1])
    assert sorted(read) == list(range(100))
    found.lookup(keys[-5:])
    assert len(read) == 100  # it is still there
    found.lookup(keys[:5])
    assert len(read) == 101
