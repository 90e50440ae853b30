"""`claims fill`: claims and the numbers beside their markers take the values of their evidence."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from aqea_registry.base.progress import Silent
from aqea_registry.claims.fill_claims import FilledClaims, fill_claims
from aqea_registry.claims.ledger import Ledger, parse_ledger
from aqea_registry.project.project import open_project
from tests.claims.small_run import Scores, make_run
from tests.helpers import tree
from tests.tools import aqea

PAGE = """# A page

Spearman is 11.1<!-- claim: forum -->, or 11.11<!-- claim: page:forum -->; in all 33<!-- claim: mean -->.
Nothing else: 11.11<!-- example -->, `11.11`, 66.67.
"""
LEDGER = """# A ledger by hand
schema: aqea-registry/claims/1
document:
  title: Ä page  # its title
  sha256: "{sha256}"
  file: "page.md"{more}
results:
  forum: {{dataset: forum, model: minilm}}
  gone: {{dataset: news, model: mpnet}}
claims:
# the first
- id: forum
  value: '11.11'  # by hand
  unit: percent
  at: {{line: 3}}
  measured: {{result: forum, metric: cos_sim_spearman}}
  note: "stays"
- {{id: mean, value: "33.33", unit: percent, at: {{line: 3}}, derived: "mean([forum], [other])"}} # derived
- {{id: other, value: "66.67", unit: percent, at: {{line: 4}}, quoted: {{source: "a book"}}}}
"""
MEASURED = "{result: forum, metric: cos_sim_spearman}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scores]:
    root = tmp_path_factory.mktemp("fill") / "project"
    root.mkdir()
    return root, make_run(root)


@pytest.fixture
def root(made: tuple[Path, Scores], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "project"))


@pytest.fixture
def score(made: tuple[Path, Scores]) -> float:
    return made[1]["forum-minilm"]["cos_sim_spearman"]


def put(root: Path, *extra: str, page: str = PAGE, more: str = "", file: str = "page.md") -> Path:
    """A document with its ledger, and more claims of it."""
    (root / file).write_text(page)
    path = root / "manifests/claims/page.yaml"
    text = LEDGER.format(sha256=hashlib.sha256(page.encode()).hexdigest(), more=more).replace('"page.md"', f'"{file}"')
    path.write_text(text + "".join(f"- {{{line}}}\n" for line in extra))
    return path


def fill(root: Path, *only: str, write: bool = False) -> FilledClaims:
    return fill_claims(open_project(root), (), Silent(), only, write=write)


def ledger_of(path: Path) -> Ledger:
    ledger, findings = parse_ledger(path.read_bytes(), path.stem)
    assert ledger is not None and findings == []
    return ledger


def test_claims_and_markers_take_the_values_and_all_else_stays(root: Path, score: float) -> None:
    path, mean = put(root), (score + 66.67) / 2
    before, text = tree(root), path.read_text()
    shown = aqea("claims", "fill", cwd=root)
    assert (shown.status, shown.err, tree(root)) == (1, "", before), "it shows, and writes nothing"
    assert shown.out.splitlines() == [
        f"page:forum: 11.11 -> {score:.2f} (line 3)",
        f"page:mean: 33.33 -> {mean:.2f} (line 3)",
        f"forum: 11.1 -> {score:.1f} (page.md, line 3)",
        f"page:forum: 11.11 -> {score:.2f} (page.md, line 3)",
        f"mean: 33 -> {mean:.0f} (page.md, line 3)",
        "5 numbers to fill in: not written, --write does",
    ]
    done = aqea("claims", "fill", "--write", "--json", cwd=root)
    assert (done.status, done.json()["written"]) == (0, ["page.md", "manifests/claims/page.yaml"])
    page = PAGE.replace("11.1<", f"{score:.1f}<").replace("33<", f"{mean:.0f}<")
    page = page.replace("11.11<!-- claim", f"{score:.2f}<!-- claim")
    assert (root / "page.md").read_text() == page
    wanted = text.replace("'11.11'", f'"{score:.2f}"').replace("33.33", f"{mean:.2f}")
    before_, after = (hashlib.sha256(content.encode()).hexdigest() for content in (PAGE, page))
    assert path.read_text() == wanted.replace(before_, after)
    assert fill(root).changes == ()
    assert aqea("claims", "check", cwd=root).status == 0
    assert aqea("claims", "lint", "page.md", cwd=root).status == 0
    assert aqea("claims", "fill", cwd=root).status == 0


def test_a_published_ledger_is_contradicted_and_not_mended(root: Path) -> None:
    put(root, more="\n  published: true")
    before = tree(root)
    done = fill(root, write=True)
    assert (done.changes, done.written, tree(root)) == ((), (), before)
    assert {finding.code for finding in done.findings} == {"claim-contradicted"}


def test_a_document_that_was_changed_is_refused_with_its_ledger(root: Path) -> None:
    put(root)
    (root / "page.md").write_text(PAGE + "More.\n")
    before = tree(root)
    done = aqea("claims", "fill", "--write", cwd=root)
    assert (done.status, tree(root)) == (1, before)
    assert "claim-stale: page: page.md differs from the document that the ledger was written for" in done.out


def test_a_number_without_a_marker_is_left_to_people_and_the_check_sees_it(root: Path, score: float) -> None:
    path = put(root, page=PAGE.replace("11.1<!-- claim: forum -->", "11.11").replace("11.11<!-- claim: page:forum -->", "so"))
    done = fill(root, write=True)
    assert [(finding.code, finding.actual, finding.expected) for finding in done.findings] == [
        ("claim-stale", "11.11", f"{score:.2f}")
    ]
    assert ledger_of(path).document.sha256 is None
    assert "Spearman is 11.11, or so" in (root / "page.md").read_text()
    checked = aqea("claims", "check", cwd=root)
    assert (checked.status, "page:forum is no longer in the document" in checked.out) == (1, True)
    (root / "page.md").write_text((root / "page.md").read_text().replace("is 11.11", f"is {score:.2f}"))
    assert aqea("claims", "check", cwd=root).status == 0


def test_a_paper_of_macros_is_not_touched(root: Path, score: float) -> None:
    page = "\\documentclass{article}\n\\begin{document}\nIt is \\aqeaPageForum, \\aqeaPageMean.\n\\end{document}\n"
    path = put(root, page=page, file="page.tex")
    done = fill(root, write=True)
    assert [change.claim for change in done.changes] == ["page:forum", "page:mean"]
    assert done.written == ("manifests/claims/page.yaml",)
    assert ledger_of(path).document.sha256 == hashlib.sha256(page.encode()).hexdigest()
    assert f"{{{score:.2f}}} % holds, bytes" in aqea("claims", "export", "--format", "latex", cwd=root).out


def test_what_is_no_rounded_number_is_left(root: Path, score: float) -> None:
    """Bounds, other spellings, wrong units, repetitions of other ledgers, and a circle are findings, and stay."""
    path = put(
        root,
        'id: over, value: "99", unit: percent, at: {path: a}, bound: over, derived: "[forum]"',
        'id: spelled, value: "11000", printed: "11k", unit: count, at: {path: b}, derived: "[small] * 2"',
        f'id: small, value: "{score / 100:.4f}", unit: percent, at: {{path: c}}, measured: {MEASURED}',
        'id: again, value: "11.1", unit: percent, at: {path: d}, quoted: {claim: forum}',
        'id: round, value: "1", unit: percent, at: {path: e}, derived: "[round-2]"',
        'id: round-2, value: "1", unit: percent, at: {path: f}, derived: "[round]"',
        'id: zero, value: "-1.5", unit: percent, at: {path: g}, derived: "[forum] - [forum]"',
    )
    done = fill(root, write=True)
    new = {claim.id: claim.value for claim in ledger_of(path).claims}
    assert (new["over"], new["spelled"], new["small"], new["round"]) == ("99", "11000", f"{score / 100:.4f}", "1")
    assert (new["again"], new["zero"]) == (f"{score:.1f}", "0.0")
    assert {(finding.code, finding.subject) for finding in done.findings} == {
        ("claim-contradicted", "page: over"),
        ("malformed", "page: spelled"),
        ("claim-contradicted", "page: small"),
        ("malformed", "page: round"),
        ("malformed", "page: round-2"),
    }


def test_what_is_missing_is_named(root: Path) -> None:
    put(root)
    (root / "training/data/forum_minilm_8d_pairs.json").unlink()
    done = aqea("claims", "fill", cwd=root)
    assert (done.status, done.out.startswith("missing: page: forum: training/data/forum_minilm_8d_pairs.json")) == (1, True)
    (root / "page.md").unlink()
    assert "page.md is not here" in fill(root).notes[0]
    (root / "manifests/claims/page.yaml").unlink()
    assert aqea("claims", "fill", cwd=root).status == 2


def test_a_ledger_with_faults_is_not_written(root: Path) -> None:
    put(root, "id: bad, value: 1, unit: percent, at: {path: a}")
    before = tree(root)
    done = aqea("claims", "fill", "--write", cwd=root)
    assert (done.status, "nothing was written" in done.err, tree(root)) == (1, True, before)
