"""`aqea-registry verify FOLDER` of a release as the Hub's client or GitHub's page gives it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from aqea_registry.base.sha256_list import render
from aqea_registry.stores.attachments import Status
from aqea_registry.stores.github_assets import Part, Parts, SplitFile
from aqea_registry.stores.release import Release, build, digest_of
from tests.helpers import found
from tests.tools import aqea, run

TEXTS = {"README.md": b"a page\n", "data/rows.json": b"[1, 2]\n", "metrics/one/two.json": b"{}\n"}


def hexes(texts: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(text).hexdigest() for path, text in texts.items()}


def released(texts: dict[str, bytes]) -> tuple[Release, dict[str, bytes]]:
    """A release of these files, and all that a store has of it."""
    files = {**texts, "MANIFEST.sha256": render(hexes(texts))}
    release = build((path, digest, len(files[path])) for path, digest in hexes(files).items())
    return release, {**files, "release.json": release.render()}


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def flat(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files as GitHub's page gives them."""
    assets = {path.replace("/", "--"): content for path, content in files.items()}
    return {**assets, "SHA256SUMS": render(hexes(assets))}


LAYOUTS: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {"as it is": dict, "flat": flat}


def verified(folder: Path) -> tuple[int, set[tuple[str, str]]]:
    result = aqea("verify", ".", "--json", cwd=folder)
    return result.status, found(result)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_download_verifies_as_it_is(tmp_path: Path, layout: str) -> None:
    release, files = released(TEXTS)
    lay(tmp_path, {**LAYOUTS[layout](files), ".cache/huggingface/.gitignore": b"*", ".gitattributes": b""})
    assert verified(tmp_path) == (0, set())
    answer = aqea("verify", ".", "--json", cwd=tmp_path).json()
    assert any(release.digest() in note for note in answer["notes"]), "for who knows which release it should be"
    assert answer["files"] >= len(files) - 1
    listed = "SHA256SUMS" if layout == "flat" else "MANIFEST.sha256"
    assert run("sha256sum", "-c", "--quiet", listed, cwd=tmp_path).status == 0


def test_a_snapshot_of_the_hubs_cache_verifies_as_it_is(tmp_path: Path) -> None:
    """Its files are links to blobs beside it; links that lead elsewhere are not followed."""
    repository = tmp_path / "datasets--org--name"
    snapshot = repository / "snapshots" / ("0" * 40)
    for path, content in released(TEXTS)[1].items():
        blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
        lay(blob.parent, {blob.name: content})
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(blob)
    assert verified(snapshot) == (0, set())
    blob = (snapshot / "data/rows.json").readlink()
    blob.write_bytes(b"[1, 3]\n")
    assert ("mismatch", "data/rows.json") in verified(snapshot)[1]
    blob.rename(repository / "elsewhere")
    (snapshot / "data/rows.json").unlink()
    (snapshot / "data/rows.json").symlink_to(repository / "elsewhere")
    assert ("unsafe-path", "data/rows.json") in verified(snapshot)[1]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("path", ["data/rows.json", "MANIFEST.sha256", "README.md"])
def test_each_file_is_held_against_list_and_record(tmp_path: Path, layout: str, path: str) -> None:
    files = LAYOUTS[layout](released(TEXTS)[1])
    name = path if path in files else path.replace("/", "--")
    lay(tmp_path, {**files, name: files[name] + b"# more\n"})
    status, findings = verified(tmp_path)
    assert status == 1
    assert {subject.removeprefix("release.json: ") for _, subject in findings} == {path if path in TEXTS else "MANIFEST.sha256"}
    (tmp_path / name).unlink()
    if path != "MANIFEST.sha256" or layout == "flat":
        assert {code for code, _ in verified(tmp_path)[1]} == {"missing"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_record_and_what_it_does_not_name_are_checked(tmp_path: Path, layout: str) -> None:
    files = LAYOUTS[layout](released(TEXTS)[1])
    other = released({**TEXTS, "README.md": b"another\n"})[1]["release.json"]
    lay(tmp_path, {**files, "release.json": other})
    assert ("mismatch", "release.json: README.md") in verified(tmp_path)[1]
    for wrong in (b"{}", b"", b"[" * 10_000, b"\xff"):
        (tmp_path / "release.json").write_bytes(wrong)
        assert ("malformed", "release.json") in verified(tmp_path)[1]
    lay(tmp_path, {**files, "data/more.json": b"", "data--more.json": b"", "attachments/v1/run.py": b""})
    extra = {"data/more.json", "data--more.json", "attachments/v1/run.py"}
    assert verified(tmp_path)[1] == {("unexpected", path) for path in extra}


def test_a_list_that_names_more_than_the_record_is_found(tmp_path: Path) -> None:
    release = build([("a", hexes(TEXTS)["README.md"], len(TEXTS["README.md"]))])
    files = {"a": TEXTS["README.md"], "b": b"b"}
    lay(tmp_path, {**files, "SHA256SUMS": render(hexes(files)), "release.json": release.render()})
    assert verified(tmp_path) == (1, {("unexpected", "b")})


def test_a_file_under_both_names_and_assets_without_the_record(tmp_path: Path) -> None:
    files = flat(released(TEXTS)[1])
    del files["release.json"], files["SHA256SUMS"]
    assert verified(lay(tmp_path, files)) == (0, set()), "the list is enough to know the names"
    lay(tmp_path, {"data/rows.json": TEXTS["data/rows.json"]})
    assert verified(tmp_path) == (1, {("unexpected", "data--rows.json")})


def test_files_of_these_names_may_be_anothers_if_a_list_names_them(tmp_path: Path) -> None:
    files = {"release.json": b'{"version": 1}', "parts.json": b"[]", "a--b": b""}
    assert verified(lay(tmp_path, {**files, "SHA256SUMS": render(hexes(files))})) == (0, set())


def test_without_the_record_nothing_is_an_attachment(tmp_path: Path) -> None:
    lay(tmp_path, {"a": b"a", "b--c": b"", "attachments/v1/status-1.json": b"{}", "SHA256SUMS": render(hexes({"a": b"a"}))})
    assert verified(tmp_path)[1] == {("unexpected", "b--c"), ("unexpected", "attachments/v1/status-1.json")}


def test_the_record_alone_is_a_list(tmp_path: Path) -> None:
    files = released(TEXTS)[1]
    del files["MANIFEST.sha256"]
    assert verified(lay(tmp_path, files)) == (1, {("missing", "release.json: MANIFEST.sha256")})


def test_files_in_parts_are_put_together(tmp_path: Path) -> None:
    texts = {**TEXTS, "data/empty.txt": b"", "data/long.txt": b"0123456789"}
    files = released(texts)[1]
    pieces = {"data--long.txt.part001": b"012345", "data--long.txt.part002": b"6789"}
    parts = tuple(Part(name=name, digest=digest_of(piece), size=len(piece)) for name, piece in pieces.items())
    split = {
        "data/long.txt": SplitFile(digest=digest_of(b"0123456789"), parts=parts),
        "data/empty.txt": SplitFile(digest=digest_of(b""), parts=()),
    }
    whole = {path: content for path, content in files.items() if path not in split}
    lay(tmp_path, flat({**whole, **pieces, "parts.json": Parts(files=split).render()}))
    assert verified(tmp_path) == (0, set())
    (tmp_path / "data--long.txt.part002").write_bytes(b"678")
    assert ("mismatch", "data/long.txt") in verified(tmp_path)[1]
    (tmp_path / "data--long.txt.part002").unlink()
    assert ("missing", "data/long.txt") in verified(tmp_path)[1]
    twice = Parts(files={**split, "data/empty.txt": split["data/long.txt"]}).render()
    for wrong in (b"[]", b'{"files": 1}', b"\xff", twice):
        (tmp_path / "parts.json").write_bytes(wrong)
        assert ("malformed", "parts.json") in verified(tmp_path)[1]


@pytest.mark.parametrize("place", ["attachments/v1/", "attachment."])
def test_marks_and_statements_beside_it_are_read(tmp_path: Path, place: str) -> None:
    release, files = released(TEXTS)
    mark = Status(digest=release.digest(), state="withdrawn", reason="swapped columns")
    lay(tmp_path, {**files, f"{place}status-1.json": mark.render()})
    answer = aqea("verify", ".", "--json", cwd=tmp_path).json()
    assert answer["ok"] and any("withdrawn: swapped columns" in note for note in answer["notes"])
    (tmp_path / f"{place}made.intoto.json").write_bytes(b"{}")
    status, findings = verified(tmp_path)
    assert (status, {code for code, _ in findings}) == (1, {"malformed"})


def test_what_lies_beside_other_releases_is_counted(tmp_path: Path) -> None:
    other = Status(digest=released({"a": b"a"})[0].digest(), state="withdrawn", reason="x").render()
    lay(tmp_path, {**released(TEXTS)[1], "attachments/v0/status-1.json": other, "attachments/v0/status-2.json": other})
    answer = aqea("verify", ".", "--json", cwd=tmp_path).json()
    assert answer["ok"] and any(note == "not looked at: 2 documents beside other releases" for note in answer["notes"])
    assert not any("withdrawn" in note for note in answer["notes"])
