"""The verb report, over a project as version 0.1.0 left it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.tools import ROOT, aqea


def test_numbers_that_no_ledger_has_are_counted_and_the_newest_release_comes_first(tmp_path: Path) -> None:
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
    receipts = project / "releases/receipts"
    for tag in ("v2", "v10", "v2-rc1"):
        (receipts / f"{tag}.json").write_text((receipts / "v1.json").read_text().replace('"tag": "v1"', f'"tag": "{tag}"'))
    assert aqea("report", "--documents", "..", "--json", cwd=project).json()["headline"] == after
    assert re.findall(r"<h3>(v.*)</h3>", (project / "report.html").read_text()) == ["v10", "v2", "v2-rc1", "v1"], (
        "the newest first"
    )
