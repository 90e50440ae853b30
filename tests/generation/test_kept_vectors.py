"""The commands of `cache`: what is kept, what no run uses, and what is damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from aqea_registry.embedding.encoder import Settings
from aqea_registry.embedding.vector_cache import Segment, VectorCache
from aqea_registry.generation.encoding import cache_folder
from aqea_registry.generation.inputs import ModelInUse
from aqea_registry.project.project import open_project
from aqea_registry.vectors.pair_set import to_grid
from tests.tools import ROOT, aqea

VECTORS = Path(".aqea/vectors")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with vectors of its run's model, of another version of it, and files of earlier versions."""
    pytest.importorskip("torch")
    (tmp_path / "manifests").mkdir()
    for name in ("params.yaml", "manifests/pins.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    opened = open_project(tmp_path)
    name, pin = next(iter(opened.lock.models.items()))
    model = ModelInUse(name, opened.params.models[name], pin, "canonical", Path(), tmp_path / VECTORS, ())
    used = cache_folder(model, model.entry.dimension, Settings())
    for folder in (
        used,
        tmp_path / VECTORS / "unchecked" / "worker" / used.name,
        tmp_path / VECTORS / "other-4d-0123456789abcdef",
    ):
        cache = VectorCache(folder, 4)
        for first in (0, 10):
            texts = [f"text {number}" for number in range(first, first + 10)]
            cache.add(texts, to_grid(np.random.default_rng(first).standard_normal((10, 4))))
    (used / "0.parquet").write_bytes(b"12345")
    (used / "made.json").write_bytes(b"{}")
    return tmp_path


def test_size_has_each_folder(project: Path) -> None:
    found = aqea("cache", "size", "--json", cwd=project)
    assert found.status == 0, found
    kept = found.json()["kept"]
    assert [(each["texts"], each["segments"]) for each in kept] == [(20, 2)] * 3
    assert found.json()["bytes"] == sum(path.stat().st_size for path in (project / VECTORS).rglob("*") if path.is_file())
    assert f"{VECTORS}/other-4d-0123456789abcdef\t20\t" in aqea("cache", "size", cwd=project).out


def test_prune_removes_what_no_run_uses(project: Path) -> None:
    before = {*(project / VECTORS).rglob("*")}
    shown = aqea("cache", "prune", cwd=project)
    assert shown.status == 0 and shown.out.endswith("that no run uses; --write removes it\n"), shown
    assert {*(project / VECTORS).rglob("*")} == before
    done = aqea("cache", "prune", "--write", "--json", cwd=project)
    assert done.status == 0, done
    gone = {path for path in before if path.parent.name.startswith("other-") or path.name in ("0.parquet",)}
    assert {*(project / VECTORS).rglob("*")} == before - gone - {project / VECTORS / "other-4d-0123456789abcdef"}
    assert [path.rpartition("/")[2] for path in done.json()["unused"]][-1] == "other-4d-0123456789abcdef"
    assert aqea("cache", "prune", "--json", cwd=project).json()["unused"] == {}


def test_verify_names_what_is_damaged(project: Path) -> None:
    assert aqea("cache", "verify", cwd=project) == (0, "60 vectors: as they were written\n", "")
    first, second, third, *_ = sorted((project / VECTORS).rglob("*.sqlite"))
    content, vector = first.read_bytes(), next(Segment(first).sound())[1]
    first.write_bytes(content.replace(vector, bytes(len(vector))))
    second.write_bytes(content[:50])
    found = aqea("cache", "verify", "--json", cwd=project)
    wanted = {(name.relative_to(project).as_posix(), code) for name, code in ((first, "mismatch"), (second, "malformed"))}
    assert found.status == 1 and {(each["subject"], each["code"]) for each in found.json()["findings"]} == wanted, found
    assert third.exists()
