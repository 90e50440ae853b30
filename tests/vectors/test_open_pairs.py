"""Pair files of others: any spelling of JSON, any order of keys, float32 numbers; and what is no pair file at all."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.vectors.containers.json_text import PIECE
from aqea_registry.vectors.containers.open_pairs import open_pairs
from aqea_registry.vectors.pair_set import BLOCK_ROWS

Object = dict[str, Any]


def pair_object(n: int = 3, dimension: int = 4, seed: int = 0) -> Object:
    first, second = np.random.default_rng(seed).standard_normal((2, n, dimension)).astype(np.float32).astype(float)
    scores = [position / 2 for position in range(n)]
    header = {"dataset": "d[]", "model": 'm"}', "dimension": dimension, "n_pairs": n, "baseline_spearman": 0.5}
    return {**header, "embeddings1": first.tolist(), "embeddings2": second.tolist(), "scores": scores}


def read(path: Path) -> tuple[Any, Any, Any]:
    with open_pairs(path, "x.json") as file:
        matrices = [list(file.blocks(which)) for which in (0, 1)]
        assert all(len(block) == BLOCK_ROWS for blocks in matrices for block in blocks[:-1])
        scores = file.scores()
    return np.concatenate(matrices[0]), np.concatenate(matrices[1]), scores


SPELLINGS: dict[str, Callable[[Object], bytes]] = {
    "compact": lambda one: json.dumps(one, separators=(",", ":")).encode(),
    "python's": lambda one: json.dumps(one).encode(),
    "indented": lambda one: json.dumps(one, indent=2).encode(),
    "with a mark and line ends": lambda one: (
        b"\xef\xbb\xbf" + json.dumps(one, indent=1).replace("\n", "\r\n").encode() + b"\r\n"
    ),
    "keys turned round": lambda one: json.dumps(dict(reversed(one.items()))).encode(),
    "other keys between": lambda one: json.dumps(
        {"texts": ['a "quoted" ]', "\\"], "more": {"deep": [[{"}": "]"}], []]}, "none": [], **one, "end": None}
    ).encode(),
}


@pytest.mark.parametrize("size", [(3, 4), (BLOCK_ROWS, 2), (700, 64)], ids=str)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_gives_the_same_numbers(tmp_path: Path, spelling: str, size: tuple[int, int]) -> None:
    given = pair_object(*size)
    content = SPELLINGS[spelling](given)
    assert len(content) > 2 * PIECE or size != (700, 64)
    (tmp_path / "x").write_bytes(content)
    first, second, scores = read(tmp_path / "x")
    assert (first.tolist(), second.tolist(), scores.tolist()) == (given["embeddings1"], given["embeddings2"], given["scores"])
    with open_pairs(tmp_path / "x", "x.json") as file:
        assert (file.header.dataset, file.header.model, file.header.n_pairs, file.header.dimension) == ("d[]", 'm"}', *size)


def change(**fields: Any) -> Callable[[Object], bytes]:
    return lambda one: json.dumps({**one, **fields}).encode()


def replace(old: str, new: str) -> Callable[[Object], bytes]:
    return lambda one: json.dumps(one).replace(old, new, 1).encode()


MALFORMED: dict[str, tuple[Callable[[Object], bytes], str]] = {
    "cut off": (lambda one: json.dumps(one).encode()[:-20], "no key"),
    "cut off in a key": (lambda one: json.dumps(one).encode()[:12], "ends"),
    "something behind": (lambda one: json.dumps(one).encode() + b"x", "something behind the object"),
    "no comma": (replace(', "scores"', ' "scores"'), "no comma"),
    "no colon": (replace('"scores":', '"scores"'), "no colon"),
    "a key twice": (replace('"dataset"', '"model"'), "appears twice"),
    "a text in a matrix": (change(embeddings1=[["a", 1.0]]), "other things than numbers"),
    "a word in a matrix": (replace("[[", "[[nul,"), "embeddings1"),
    "NaN": (change(embeddings2=[[float("nan")] * 4] * 3), "embeddings2"),
    "too large a number": (replace("[[", "[[1e400,"), "embeddings1"),
    "rows of different lengths": (change(embeddings2=[[1.0], [1.0, 2.0]]), "embeddings2"),
    "numbers without rows": (change(embeddings1=[1.0, 2.0]), "not a row of numbers"),
    "text in the scores": (change(scores=[1, "x"]), "other things than numbers"),
    "a header that is none": (change(dimension="four"), "header"),
    "n_pairs as a list": (change(n_pairs=[1]), "header"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_with_the_place(tmp_path: Path, case: str) -> None:
    write, told = MALFORMED[case]
    (tmp_path / "x").write_bytes(write(pair_object()))
    with pytest.raises(Refused, match=told) as refused:
        read(tmp_path / "x")
    assert [finding.code for finding in refused.value.findings] == ["malformed"]
    assert refused.value.message.startswith("x.json: ")


def aqed(count: int = 4, dimension: int = 2, version: int = 1, flags: int = 1, values: int | None = None) -> bytes:
    header = struct.pack("<4s7I28x", b"AQED", version, count, dimension, 0, flags, 0, 0)
    return header + np.arange(count * dimension if values is None else values, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (aqed()[:30], "within its header"),
        (aqed(version=2), "version 2"),
        (aqed(flags=0), "flags 0"),
        (aqed(values=7), "the file has"),
        (aqed(count=3), "two rows make a pair"),
        (aqed(count=0), "two rows make a pair"),
        (b"PAR1 and nothing more", "not a Parquet file"),
        (b'{"embeddings":[[1]],"metadata":{"n_pairs":2}}', "n_pairs is 2, but there are 1 rows"),
        (b'{"embeddings":[[1],[2]],"metadata":{}}', "no n_pairs"),
        (b'{"embeddings":[[1],[2]],"metadata":[]}', "metadata"),
    ],
)
def test_a_malformed_container_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Refused, match=told):
        read(tmp_path / "x")


@pytest.mark.parametrize("content", [b"", b"[1,2]", b"hello", b'{"metrics":1}', b"{}"])
def test_what_holds_no_pair_set_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadConfiguration, match="holds no pair set"):
        read(tmp_path / "x")


def test_aqed_gives_its_halves(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(aqed(count=2 * BLOCK_ROWS + 6, dimension=3))
    first, second, scores = read(tmp_path / "x")
    assert np.concatenate([first, second]).ravel().tolist() == list(range((2 * BLOCK_ROWS + 6) * 3))
    assert len(first) == len(second) == BLOCK_ROWS + 3 and scores is None


VECTORS = [[0.5, 0.25], [1.0, 0.0]]
TABLES: dict[str, tuple[dict[str, Any], str | None]] = {
    "float32": (
        {"embedding1": (VECTORS, "list<float>"), "embedding2": (VECTORS, "list<float>"), "score": ([1, 2], "int64")},
        None,
    ),
    "other names, no scores": ({"embeddings1": (VECTORS, "fixed"), "embeddings2": (VECTORS, "list<double>")}, None),
    "other columns": ({"a": (VECTORS, "list<double>")}, "embedding1 and embedding2 are not among them"),
    "numbers": ({"embedding1": ([1.0, 2.0], "double"), "embedding2": ([1.0, 2.0], "double")}, "not lists of floats"),
    "integers": ({"embedding1": ([[1], [2]], "list<int32>"), "embedding2": ([[1], [2]], "list<int32>")}, "no unit"),
    "a gap": ({"embedding1": ([VECTORS[0], None], "list<double>"), "embedding2": (VECTORS, "list<double>")}, "is missing"),
    "a gap within": (
        {"embedding1": ([[1.0, None]] * 2, "list<double>"), "embedding2": (VECTORS, "list<double>")},
        "is missing",
    ),
    "other lengths": (
        {"embedding1": ([[1.0], [1.0, 2.0]], "list<double>"), "embedding2": (VECTORS, "list<double>")},
        "lengths",
    ),
    "no score": (
        {"embedding1": (VECTORS, "fixed"), "embedding2": (VECTORS, "fixed"), "score": ([1.0, None], "double")},
        "score: a value is missing",
    ),
    "a score in words": (
        {"embedding1": (VECTORS, "fixed"), "embedding2": (VECTORS, "fixed"), "score": (["a", "b"], "string")},
        "score",
    ),
    "scores as text": (
        {"embedding1": (VECTORS, "fixed"), "embedding2": (VECTORS, "fixed"), "score": (["1", "2"], "string")},
        "score holds string, not numbers",
    ),
    "scores that are true": (
        {"embedding1": (VECTORS, "fixed"), "embedding2": (VECTORS, "fixed"), "score": ([True, False], "bool")},
        "score holds bool, not numbers",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_parquet_files_of_others(tmp_path: Path, name: str) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pq = pytest.importorskip("pyarrow.parquet")
    kinds = {
        "list<float>": pa.list_(pa.float32()),
        "list<double>": pa.list_(pa.float64()),
        "list<int32>": pa.list_(pa.int32()),
        "fixed": pa.list_(pa.float64(), 2),
        "double": pa.float64(),
        "int64": pa.int64(),
        "string": pa.string(),
        "bool": pa.bool_(),
    }
    columns, told = TABLES[name]
    pq.write_table(pa.table({key: pa.array(values, kinds[kind]) for key, (values, kind) in columns.items()}), tmp_path / "x")
    if told is not None:
        with pytest.raises(Refused, match=told):
            read(tmp_path / "x")
        return
    first, second, scores = read(tmp_path / "x")
    assert first.tolist() == second.tolist() == VECTORS
    assert scores is None or scores.tolist() == [1.0, 2.0]


def test_a_column_that_appears_twice_is_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pq = pytest.importorskip("pyarrow.parquet")
    vectors, scores = pa.array(VECTORS), pa.array([1.0, 2.0])
    columns = {"names": ["embedding1", "embedding2", "score", "score"]}
    pq.write_table(pa.Table.from_arrays([vectors, vectors, scores, scores], **columns), tmp_path / "x")
    with pytest.raises(Refused, match="the column 'score' appears twice"):
        read(tmp_path / "x")
