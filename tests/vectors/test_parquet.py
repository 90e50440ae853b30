"""The Parquet view: the same numbers as the pair file, in bounded memory, and nothing else passes for one."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.vectors.containers.open_pairs import KEY, ROWS, open_pairs, write_parquet
from aqea_registry.vectors.pair_set import Header
from tests.factories import pairs
from tests.pair_sets import Pairs, read_parquet, render
from tests.tools import ROOT

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet")


def pair_set(count: int = 20, dimension: int = 8, seed: int = 1, **header: Any) -> Pairs:
    first, second, scores = pairs(seed, count, dimension)
    named = {"dataset": "dätaset", "model": "org/m", "baseline_spearman": -1e-7, **header}
    return Pairs(
        header=Header(dimension=dimension, n_pairs=count, **named),
        embeddings1=first,
        embeddings2=second,
        scores=tuple(scores),
    )


def written(given: Pairs) -> bytes:
    file = io.BytesIO()
    write_parquet(file, given.open())
    return file.getvalue()


@pytest.mark.parametrize(("count", "dimension"), [(8, 1), (ROWS - 1, 3), (ROWS, 3), (ROWS + 1, 3), (3 * ROWS + 8, 2)])
def test_the_pair_file_comes_back_to_the_byte(tmp_path: Path, count: int, dimension: int) -> None:
    given = pair_set(count, dimension)
    (tmp_path / "x").write_bytes(written(given))
    again = read_parquet(tmp_path / "x")
    assert render(again) == render(given)
    assert again.content_digest() == given.content_digest()
    metadata = pq.ParquetFile(tmp_path / "x").metadata
    groups = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    assert groups == [ROWS] * (count // ROWS) + [count % ROWS] * (count % ROWS > 0)


def test_the_columns_say_what_they_are() -> None:
    given = pair_set()
    file = pq.ParquetFile(io.BytesIO(written(given)))
    vector = pa.list_(pa.field("element", pa.int32(), nullable=False), 8)
    assert [(field.name, field.type, field.nullable) for field in file.schema_arrow] == [
        ("embedding1", vector, False),
        ("embedding2", vector, False),
        ("score", pa.float64(), False),
    ]
    assert set(file.metadata.metadata) == {KEY, b"ARROW:schema"}
    assert json.loads(file.schema_arrow.metadata[KEY]) == {
        "unit": "1e-6",
        "dataset": "dätaset",
        "model": "org/m",
        "dimension": 8,
        "n_pairs": 20,
        "baseline_spearman": -1e-7,
        "content": f"sha256:{given.content_digest()}",
    }
    assert {file.metadata.row_group(0).column(at).compression for at in range(3)} == {"ZSTD"}


def test_minus_zero_is_the_zero_of_the_pair_file(tmp_path: Path) -> None:
    minus, plus = (pair_set(baseline_spearman=zero) for zero in (-0.0, 0.0))
    assert written(minus) == written(plus)


SCRIPT = """
import hashlib, sys
import pyarrow as pa
from aqea_registry.vectors.containers.open_pairs import write_parquet
from tests.vectors.test_parquet import pair_set
class Sink:
    closed, size, sha256 = False, 0, hashlib.sha256()
    def write(self, data):
        self.sha256.update(data); self.size += len(data); return len(data)
    def tell(self): return self.size
    def flush(self): pass
    def readable(self): return False
    def writable(self): return True
    def seekable(self): return False
    def close(self): pass
given, sink = pair_set(int(sys.argv[1]), 64), Sink()
write_parquet(sink, given.open())
print(pa.default_memory_pool().max_memory(), sink.size, sink.sha256.hexdigest())
"""


def test_memory_holds_a_row_group_and_the_bytes_are_the_same_elsewhere() -> None:
    def run(count: int, **env: str) -> tuple[int, int, str]:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(count)], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        most, size, sha256 = done.stdout.split()
        return int(most), int(size), sha256

    few, _, _ = run(2 * ROWS)
    many, size, sha256 = run(20 * ROWS, TZ="Pacific/Auckland", LC_ALL="C", PYTHONHASHSEED="7", OMP_NUM_THREADS="1")
    assert many < 1.5 * few < size, "ten times the rows, and no more memory"
    assert sha256 == hashlib.sha256(written(pair_set(20 * ROWS, 64))).hexdigest()


def table_of(given: Pairs) -> Any:
    return pq.read_table(io.BytesIO(written(given)))


def rewritten(change: Callable[[Any], Any]) -> bytes:
    """A good file, read by pyarrow, changed and written again."""
    file = io.BytesIO()
    pq.write_table(change(table_of(pair_set())), file)
    return file.getvalue()


def described(**values: Any) -> Callable[[Any], Any]:
    def change(table: Any) -> Any:
        metadata = {**json.loads(table.schema.metadata[KEY]), **values}
        return table.replace_schema_metadata({KEY: json.dumps(metadata)})

    return change


def recoloured(name: str, values: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda table: table.set_column(
        table.schema.get_field_index(name), table.schema.field(name), values()
    ).replace_schema_metadata(table.schema.metadata)


BAD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no metadata": (lambda table: table.replace_schema_metadata(None), "no unit"),
    "metadata of another kind": (lambda table: table.replace_schema_metadata({KEY: b"[]"}), "aqea-pair-set"),
    "a number for a text": (described(dataset=1), "header"),
    "another unit": (described(unit="1"), "no unit"),
    "a matrix that is not there": (lambda table: table.drop(["embedding2"]), "not among them"),
    "a score that is none": (recoloured("score", lambda: pa.array([float("nan")] * 20)), "finite"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_as_a_pair_set_is_refused(tmp_path: Path, what: str) -> None:
    change, reason = BAD[what]
    (tmp_path / "x").write_bytes(rewritten(change))
    with pytest.raises(Refused, match=reason), open_pairs(tmp_path / "x", "x") as file:
        file.scores()


def test_a_file_rewritten_by_another_writer_is_still_the_same_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(rewritten(lambda table: table))
    assert (tmp_path / "x").read_bytes() != written(pair_set())
    assert render(read_parquet(tmp_path / "x")) == render(pair_set())


@pytest.mark.parametrize("cut", [4, 100, -1, -4, -100])
def test_a_part_of_a_parquet_file_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / "x").write_bytes(written(pair_set())[:cut])
    with pytest.raises(Refused, match="not a Parquet file"), open_pairs(tmp_path / "x", "x"):
        pass


def test_a_change_of_the_bytes_is_refused_or_does_not_crash(tmp_path: Path) -> None:
    """Parquet has no checksum of its own here; the content digest in the metadata tells whether the numbers changed."""
    good = bytearray(written(pair_set()))
    chance = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        position, bit = int(chance.integers(len(good))), 1 << int(chance.integers(8))
        good[position] ^= bit
        (tmp_path / "x").write_bytes(good)
        good[position] ^= bit
        try:
            with open_pairs(tmp_path / "x", "x") as file:
                matrices = [np.concatenate([*file.blocks(which)]) for which in (0, 1)]
                assert matrices[0].ndim == 2 and file.header.n_pairs is not None
        except (Refused, BadConfiguration):
            refused += 1
    assert refused > 20
