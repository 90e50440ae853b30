"""What GitHub and other readers of SARIF get of a command: places, escapes, and a log that its schema accepts."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from sarif_kit.validate import validation_errors

from aqea_registry.base.findings import CannotCheck, Finding
from aqea_registry.claims.ledger import FOLDER, At, Claim, Document, Ledger, render_ledger
from aqea_registry.cli.output import Ended, Place, job_summary, locate, sarif_log, workflow_commands
from tests.tools import aqea

PAGE = "# Results\n\nIt reaches 82.03 on STS-B,\n61.57 on STS12, and 70.11% where nobody looked.\n"


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """A folder with a page, its ledger, and a catalogue, in a workspace."""
    root = tmp_path / "work/paper"
    (root / FOLDER).mkdir(parents=True)
    (root / "page.md").write_text(PAGE)
    (root / "params.yaml").write_text("datasets:\n  small: {}\nmodels:\n  'minilm': {}\n")
    claims = (
        Claim(id="stsb", value="82.03", unit="percent", at=At(line=3)),
        Claim(id="sts12", value="61.56", unit="percent", at=At(line=4)),
    )
    document = Document(title="A page", sha256=hashlib.sha256(PAGE.encode()).hexdigest(), file="page.md")
    (root / FOLDER / "page.yaml").write_bytes(render_ledger(Ledger(document=document, claims=claims)))
    return root


@pytest.mark.parametrize(
    ("finding", "place"),
    [
        (Finding("claim-stale", "page.md:4:7", ""), Place("paper/page.md", 4, 7)),
        (Finding("malformed", "manifests/claims/page.yaml:2", ""), Place("paper/manifests/claims/page.yaml", 2, 0)),
        (Finding("malformed", "page: stsb", ""), Place("paper/manifests/claims/page.yaml")),
        (Finding("claim-contradicted", "page: stsb", "", file="page.md", line=3), Place("paper/page.md", 3)),
        (Finding("claim-contradicted", "page: stsb", "", file="gone.md", line=3), Place("paper/manifests/claims/page.yaml")),
        (Finding("wrong-metric", "page.md: scores", ""), Place("paper/page.md")),
        (Finding("pin-moved", "small", ""), Place("paper/params.yaml", 2)),
        (Finding("lock-stale", "models.minilm", ""), Place("paper/params.yaml", 4)),
        (Finding("missing", "x" * 5000, ""), Place("paper/params.yaml")),
        (Finding("missing", "a\0b", ""), Place("paper/params.yaml")),
    ],
)
def test_a_finding_has_the_place_that_it_names(paper: Path, finding: Finding, place: Place) -> None:
    assert locate(finding, [paper], paper.parent) == place


def test_a_wrong_digit_is_an_annotation_at_its_line_and_in_the_summary(paper: Path) -> None:
    summary = paper.parent / "summary.md"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_WORKSPACE": str(paper.parent)}
    result = aqea("claims", "lint", "--json", "-C", "paper", "--sarif", "lint.sarif", cwd=paper.parent, env=env)
    assert result.status == 1
    assert [one["subject"] for one in result.json()["findings"]] == ["page.md:4:1", "page.md:4:1", "page.md:4:21"]
    stale, _, unbound = [line for line in result.err.splitlines() if line.startswith("::")]  # stdout has the answer alone
    assert stale == (
        "::error file=paper/page.md,line=4,col=1,title=aqea-registry%3A claim-stale::"
        "page.md:4:1: page:sts12 is no longer at line 4: print it there, or take what is printed: "
        "aqea-registry claims import page.md --into page; expected 61.56"
    )
    assert unbound.startswith(
        "::error file=paper/page.md,line=4,col=21,title=aqea-registry%3A claim-unbound::page.md:4:21: 70.11"
    )
    assert "### aqea-registry claims lint: 3 findings" in summary.read_text()
    assert "| `claim-unbound` | paper/page.md:4 | page.md:4:21: 70.11 looks like a result" in summary.read_text()
    log = json.loads((paper / "lint.sarif").read_bytes())
    assert validation_errors(log) == []
    places = [found["locations"][0]["physicalLocation"] for found in log["runs"][0]["results"]]
    assert places[0]["region"] == {"startLine": 4, "startColumn": 1}
    assert places[0]["artifactLocation"] == {"uri": "paper/page.md", "uriBaseId": "%SRCROOT%"}


def test_a_document_beside_the_project_s_folder_is_read_and_found(paper: Path) -> None:
    """As where a repository has a params.yaml of its own, and ours is in aqea/."""
    top = paper.parent
    paper.rename(top / "aqea")
    (top / "aqea/params.yaml").write_text("run: {pairs: {}}\n")
    (top / "aqea/page.md").rename(top / "page.md")
    env = {"GITHUB_ACTIONS": "true"}
    for words in ((), ("page.md",)):
        result = aqea("claims", "lint", *words, cwd=top, env=env)
        assert result.status == 1
        assert result.err.splitlines()[-1].startswith("::error file=page.md,line=4,col=21,title=aqea-registry%3A claim-unbound")


def test_what_did_not_work_is_told_too_and_what_is_fine_is_an_empty_log(paper: Path) -> None:
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(paper / "summary.md")}
    result = aqea("verify", "no\n%such", "--sarif", "a.sarif", cwd=paper, env=env)
    assert (result.status, result.err.splitlines()[-1].partition("; ")[0]) == (
        3,
        "::error title=aqea-registry%3A verify::no\\n%25such not found",
    )
    failed = json.loads((paper / "a.sarif").read_bytes())
    assert validation_errors(failed) == []
    assert not failed["runs"][0]["invocations"][0]["executionSuccessful"]
    (paper / "page.md").write_text(PAGE.replace("61.57", "61.56").replace("70.11%", "all is well"))
    assert aqea("claims", "lint", "--update", "--sarif", "a.sarif", cwd=paper, env=env).status == 0
    assert json.loads((paper / "a.sarif").read_bytes())["runs"][0]["results"] == []
    assert (paper / "summary.md").read_text().split("\n\n")[-2] == "### aqea-registry claims lint: no findings"
    assert aqea("claims", "lint", "--sarif", "b.sarif", cwd=paper).err == ""


def test_a_file_that_cannot_be_written_is_said(paper: Path) -> None:
    result = aqea("verify", "nowhere", "--sarif", "page.md/a.sarif", cwd=paper)
    assert (result.status, result.err.splitlines()[-1]) == (
        3,
        "error: page.md: cannot be written: File exists",
    )


def test_odd_characters_leave_neither_a_line_nor_a_field(paper: Path) -> None:
    finding = Finding("missing", "page.md: a\r\n::stop-commands::x, b", "100% | <b>*bold*</b>", file="page.md", line=1)
    error = CannotCheck("ended", "again")
    ended = Ended("verify", 3, [finding] * 60, error)
    located = [(finding, Place("page.md", 1))] * 60
    said = workflow_commands(ended, located)
    assert len(said.splitlines()) == 51
    assert "\\r\\n::stop-commands::x, b: 100%25 |" in said
    assert validation_errors(sarif_log(ended, located)) == []
    assert '"uri": "v%E9.csv"' in json.dumps(sarif_log(ended, [(finding, Place("v\udce9.csv"))]))
    assert "100% \\| \\<b\\>\\*bold\\*\\</b\\>" in job_summary(ended, located)
    assert all(line.startswith(("|", "#", "ended; next: again")) for line in job_summary(ended, located).splitlines() if line)


def test_what_is_wrong_comes_before_what_is_not_settled(paper: Path) -> None:
    """GitHub shows few of a step."""
    env = {"GITHUB_ACTIONS": "true"}
    (paper / "page.md").write_text("0.551 and 0.552\n\n" + PAGE)
    codes = re.findall(r"aqea-registry%3A ([\w-]+)::", aqea("claims", "lint", cwd=paper, env=env).err)
    assert codes == sorted(codes, key=lambda code: code == "claim-unbound") and len({*codes}) == 2
