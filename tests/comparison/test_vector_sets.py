"""Two vector sets: the same bytes, the same content, or which texts differ; and two releases with results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aqea_registry.base.findings import Refused
from aqea_registry.base.progress import Silent
from aqea_registry.comparison.compare import headline
from aqea_registry.comparison.pair_files import NamedFile, compare_files
from aqea_registry.comparison.trees import changes, contents_of
from aqea_registry.comparison.verdict import PairSetComparison
from aqea_registry.stores.release import build
from aqea_registry.vectors.vector_set import key_of, write_vector_set
from tests.factories import unit_rows
from tests.tools import aqea

KEYS = sorted(key_of(f"text {at}") for at in range(50))
VECTORS = unit_rows(np.random.default_rng(1), 50, 64)


def written(path: Path, keys: list[bytes] = KEYS, vectors: object = VECTORS) -> NamedFile:
    with path.open("wb") as file:
        write_vector_set(file, 64, [(np.array(keys, "S32"), np.asarray(vectors))])
    return NamedFile(path, path.name)


def compared(before: NamedFile, after: NamedFile) -> PairSetComparison:
    return compare_files(before, after, Silent())[0]


def test_the_same_content_with_other_bytes_is_told_from_texts_that_differ(tmp_path: Path) -> None:
    first = written(tmp_path / "a.parquet")
    assert compared(first, first).verdict == "IDENTICAL"
    (tmp_path / "b.parquet").write_bytes(first.path.read_bytes().replace(b"1e-6", b"1E-6"))
    same = compared(first, NamedFile(tmp_path / "b.parquet", "b.parquet"))
    assert (same.verdict, same.notes, same.before.content) == ("SAME CONTENT", (), same.after.content)
    other = VECTORS[:-1].copy()
    other[7] = VECTORS[8]
    found = compared(first, written(tmp_path / "c.parquet", KEYS[:-1], other))
    assert found.verdict == "DIVERGED" and len(found.notes) == 2
    assert found.notes[0] == f"1 text only in the first: {KEYS[-1].hex()}"
    assert found.notes[1].startswith("1 text with another vector, by at most") and KEYS[7].hex() in found.notes[1]


def test_a_vector_set_and_another_parquet_file_are_no_pair(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(Refused, match="embedding1"):
        compared(written(tmp_path / "a.parquet"), NamedFile(tmp_path / "other.parquet", "other"))


def test_folders_with_vector_sets_are_compared_file_by_file(tmp_path: Path) -> None:
    for name, keys in (("old", KEYS), ("new", KEYS[1:])):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "n_m_64d_vectors.parquet", keys, VECTORS[50 - len(keys) :])
    result = aqea("compare", "old", "new", "--json", cwd=tmp_path)
    [file] = result.json()["files"]
    assert (result.status, file["verdict"]) == (1, "DIVERGED")
    assert file["message"] == f"1 text only in the first: {KEYS[0].hex()}"


def test_a_main_score_that_changed_between_two_releases_is_named() -> None:
    result = {
        "schema": "aqea-registry/result/1", "task": "NFCorpus", "type": "Retrieval", "main_score": "ndcg_at_10",
        "dataset": {}, "model": {}, "vectors": {"texts": 1, "dimension": 8, "content": "sha256:"},
    }  # fmt: skip
    texts = [
        json.dumps({**result, "scores": {"test": {"default": {"ndcg_at_10": value, "map_at_1": 0.5}}}}).encode()
        for value in (0.25, 0.5)
    ]
    release = build([("metrics/n-m.json", "0" * 64, 1)])
    before, after = (contents_of("r", release, {"metrics/n-m.json": text}) for text in texts)
    [change] = changes(before, after)
    assert (change.name, change.before, change.after) == ("n-m: ndcg_at_10 test", "0.25", "0.5")
    assert headline(before, after, [change], []) == "n-m ndcg_at_10 test 0.25 -> 0.5"
