"""`aqea-registry verify FOLDER`: every file that no list names is a finding, or counted in a note."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aqea_registry.base.files import atomic_write
from aqea_registry.verification.verify_folder import LEFT_BY_PROGRAMS, surplus
from tests.helpers import found
from tests.tools import ROOT, aqea, run


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A folder of two files and their list."""
    box = tmp_path / "box"
    (box / "part").mkdir(parents=True)
    (box / "one").write_text("1\n")
    (box / "part/two").write_text("2\n")
    (box / "SHA256SUMS").write_text(run("sha256sum", "one", "part/two", cwd=box).out)
    return box


@pytest.mark.parametrize(
    "path",
    [
        "part/README.md",
        "README.txt",
        ".setup.py",
        "part/.rows.jsonl",
        ".cache/other/x",
        ".github/run.yml",
        "git",
        ".gitmodules",
        "x.git/y",
        ".x.part",
        "MANIFEST.sha256.old",
        "release.json.bak",
    ],
)
def test_what_no_list_names_is_unexpected_hidden_or_not(box: Path, path: str) -> None:
    (box / path).parent.mkdir(parents=True, exist_ok=True)
    (box / path).write_text("x")
    result = aqea("verify", "box", "--json", cwd=box.parent)
    assert (result.status, found(result), result.json()["notes"]) == (1, {("unexpected", path)}, [])


def test_a_page_is_named_in_a_note_and_checked_if_the_list_names_it(box: Path) -> None:
    (box / "README.md").write_text("page\n")
    unlisted = aqea("verify", "box", "--json", cwd=box.parent)
    assert (unlisted.status, unlisted.json()["notes"]) == (0, ["README.md is not in the list: it was not checked"])
    (box / "SHA256SUMS").write_text(run("sha256sum", "one", "part/two", "README.md", cwd=box).out)
    assert aqea("verify", "box", cwd=box.parent).status == 0
    (box / "README.md").write_text("other page\n")
    assert found(aqea("verify", "box", "--json", cwd=box.parent)) == {("mismatch", "README.md")}


@pytest.mark.parametrize("ending", [".asc", ".sig", ".minisig", ".gpg", ".sign"])
def test_a_signature_beside_the_list_is_named_in_a_note(box: Path, ending: str) -> None:
    (box / f"SHA256SUMS{ending}").write_text("-----BEGIN PGP SIGNATURE-----\n")
    result = aqea("verify", "box", "--json", cwd=box.parent)
    assert (result.status, result.json()["notes"]) == (0, [f"SHA256SUMS{ending} is not in the list: it was not checked"])
    (box / f"one{ending}").write_text("-----BEGIN PGP SIGNATURE-----\n")
    assert found(aqea("verify", "box", "--json", cwd=box.parent)) == {("unexpected", f"one{ending}")}


def test_what_programs_leave_is_counted_in_a_note(box: Path) -> None:
    run("git", "init", "-q", ".", cwd=box)
    left = (".gitattributes", ".cache/huggingface/download/one.metadata", ".cache/huggingface/.gitignore", "part/.DS_Store")
    for path in (*left, "Thumbs.db", ".aqea-incoming/0"):
        (box / path).parent.mkdir(parents=True, exist_ok=True)
        (box / path).write_text("x")
    result = aqea("verify", "box", "--json", cwd=box.parent)
    assert (result.status, found(result)) == (0, set())
    (note,) = result.json()["notes"]
    for words in (" .git,", "1 .gitattributes", "2 .cache/huggingface", "1 .DS_Store", "1 Thumbs.db", "1 .aqea-incoming"):
        assert words in f"{note},"
    assert note in aqea("verify", "box", cwd=box.parent).out, "people are told as well"


def test_what_a_killed_writing_leaves_is_counted(box: Path) -> None:
    with atomic_write(box / "one") as file:
        (part,) = box.glob(".one.*")
        file.write(b"1\n")
        file.flush()
        (box / f".two{part.name.removeprefix('.one')}").write_bytes(b"")
    result = aqea("verify", "box", "--json", cwd=box.parent)
    assert (result.status, len(result.json()["notes"])) == (0, 1)


def test_nothing_of_the_walk_is_lost(box: Path) -> None:
    (box / "away").symlink_to("/etc")
    (box / ".hidden").symlink_to("one")
    (box / "pipe").mkdir()
    findings, _ = surplus(["a", "b", ".git/c"], {"a"})
    assert [(finding.code, finding.subject) for finding in findings] == [("unexpected", "b")]
    assert found(aqea("verify", "box", "--json", cwd=box.parent)) == {("unexpected", "away"), ("unexpected", ".hidden")}


def test_a_folder_with_the_name_of_a_file_that_programs_leave_hides_nothing() -> None:
    hidden = [".DS_Store/loader.py", ".gitignore/loader.py", "data/desktop.ini/loader.py"]
    findings, notes = surplus([*hidden, "sub/.DS_Store", "sub/.git", "sub/.git/config"], ())
    assert [finding.subject for finding in findings] == sorted(hidden)
    assert notes == ["not looked at: 3 files that programs leave beside others: 1 .DS_Store, 2 .git"]


def test_the_page_on_findings_has_the_list_of_exceptions() -> None:
    page = (ROOT / "docs/findings.md").read_text().partition("## What programs leave")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE) == list(LEFT_BY_PROGRAMS)
