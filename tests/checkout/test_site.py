"""The site of the pages: it builds without a warning, asks nothing of a network, and has an address for each finding."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from aqea_registry.base.findings import CODES
from tests.tools import ROOT, run

PAGES = ("*.md", "docs/*", "benchmarks/*.md", "examples/*.md", "mkdocs.yml", "LICENSE", "params.yaml", "examples/*/params.yaml")


def build(root: Path, target: Path) -> tuple[int, str]:
    code, out, err = run(sys.executable, "-m", "mkdocs", "build", "--site-dir", str(target), cwd=root)
    return code, out + err


def test_the_site_builds_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    code, told = build(ROOT, tmp_path)
    assert (code, "WARNING" in told) == (0, False), told
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "docs/claims.html", "benchmarks/index.html", "CHANGELOG.html"} <= pages.keys()
    loaded = [text for page in pages.values() for text in re.findall(r"<(?:script|link|img)[^>]+https?:[^>]+>", page)]
    assert loaded == []
    assert [code for code in CODES if f'id="{code}"' not in pages["docs/findings.html"]] == []


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    for path in (path for pattern in PAGES for path in ROOT.glob(pattern) if path.is_file()):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    page = tmp_path / "docs/trace.md"
    page.write_text(page.read_text() + "\n[a](nowhere.md) [b](claims.md#nowhere)\n")
    (tmp_path / "docs/left-out.md").write_text("# Left out\n")
    code, told = build(tmp_path, tmp_path / "site")
    assert code == 1
    for wrong in ("nowhere.md", "claims.md#nowhere", "docs/left-out.md"):
        assert wrong in told
