"""The verb report, over a project as version 0.1.0 left it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.tools import ROOT, aqea


def test_numbers_of_a_document_that_no_ledger_has_are_counted(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "tests/data/0.1.0", project)
    before = aqea("report", "--json", cwd=project).json()["headline"]
    assert "ledger" not in before
    with (project / "paper.md").open("a") as paper:
        paper.write("\nOn STS-B the Spearman correlation is 91.25 and 17.04 without the prefix.\n")
    after = aqea("report", "--json", cwd=project).json()["headline"]
    assert after.endswith(" and 2 are in no ledger."), after
    (project / "paper.md").rename(tmp_path / "paper.md")
    assert "ledger" not in aqea("report", "--json", cwd=project).json()["headline"]
    assert aqea("report", "--documents", "..", "--json", cwd=project).json()["headline"] == after
