"""Where a project is found from."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqea_registry.project.project import find_project

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


def test_a_project_beside_files_of_another_kind_is_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("lr: 0.1\n")
    (tmp_path / "aqea").mkdir()
    (tmp_path / "aqea" / "params.yaml").write_text(OURS)
    (tmp_path / "src").mkdir()
    assert find_project(tmp_path / "src") == tmp_path / "aqea"
    assert find_project(tmp_path / "aqea") == tmp_path / "aqea"
