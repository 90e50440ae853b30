"""Where a project is found from."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.project.project import find_project, open_project

OURS = "datasets: {}\nrun:\n  pairs: {}\n  exports: {}\n"


def test_a_project_is_found_from_any_folder_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "paper" / "sections"
    below.mkdir(parents=True)
    assert find_project(below) == below, "there is none"
    (tmp_path / "params.yaml").write_text(OURS)
    assert find_project(below) == tmp_path
    monkeypatch.chdir(below)
    assert find_project(Path()) == tmp_path
    (below / "params.yaml").write_text("run: 7\nlr: 0.1\n")
    assert find_project(below) == tmp_path, "params.yaml of another program"
    (below / "params.yaml").write_text("run: &x\n  pairs: {\n")
    assert find_project(below) == below, "ours, though it cannot be read"
    (below / "params.yaml").write_text('{"datasets": {},\n "run": {"pairs": {}}}')
    assert find_project(below) == below, "ours, as JSON"


def test_a_project_beside_files_of_another_kind_is_in_its_own_folder(tmp_path: Path) -> None:
    for other in ("lr: 0.1\n", "# nothing yet\n"):
        (tmp_path / "params.yaml").write_text(other)
        with pytest.raises(BadConfiguration, match="is not a project of aqea-registry"):
            open_project(tmp_path)
    with pytest.raises(BadConfiguration, match="unknown key 'dataset'"):
        (tmp_path / "params.yaml").write_text("dataset: {}\n")
        open_project(tmp_path)
    (tmp_path / "aqea").mkdir()
    (tmp_path / "aqea" / "params.yaml").write_text(OURS)
    (tmp_path / "src").mkdir()
    assert find_project(tmp_path / "src") == tmp_path / "aqea"
    assert find_project(tmp_path / "aqea") == tmp_path / "aqea"


def test_a_vector_set_is_made_listed_and_recorded_beside_the_pair_sets(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(
        "datasets: {n: {mteb: NFCorpus}}\nmodels: {m: {repo: org/m, dimension: 4}}\n"
        "run: {vectors: {n-m: {dataset: n, model: m, file: n_m_4d}}}\n"
    )
    project = open_project(tmp_path)
    assert project.run.paths() == ["manifests/pins.json", "metrics/n-m.json", "training/data/n_m_4d_vectors.parquet"]
    assert project.run.made_by()["metrics/n-m.json"] == "evaluate@n-m"
    assert {finding.subject for finding in project.run.stage_findings()} >= {"evaluate@n-m"} or project.run.unread
    assert list(project.run.pins()) == ["n", "m"]
