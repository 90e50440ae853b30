"""Folders that the Hub's own client downloaded to are checked offline, by what it keeps there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import weights
from tests.servers.hub import HubServer
from tests.servers.hub.blobs import pointer
from tests.tools import BIN, Result, aqea, run

pytest.importorskip("huggingface_hub")

REPOSITORY = "models--org--model"
WEIGHTS = weights(b"w" * 70_000)
FILES = {
    "README.md": b"# A model\n",
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "below/vocab.txt": b"one\n",
    "code.py": b"",
}
Change = Callable[[Path], object]


class Downloads:
    """What `hf download` left: a cache, and folders of --local-dir."""

    def __init__(self, folder: Path, commit: str) -> None:
        self.folder, self.commit = folder, commit
        self.repository = folder / "home/hub" / REPOSITORY
        self.snapshot = self.repository / "snapshots" / commit

    def copy(self, folder: Path) -> Downloads:
        shutil.copytree(self.folder, folder, symlinks=True)
        return Downloads(folder, self.commit)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Downloads:
    folder = tmp_path_factory.mktemp("downloads")
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        hub.store.create("models", "org/model")
        commit = hub.store.commit("models", "org/model", FILES)
        for words in ([], ["--local-dir", "whole"], ["config.json", "model.safetensors", "--local-dir", "part"]):
            done = run(BIN / "hf", "download", "org/model", *words, cwd=folder, env=hub.environment(folder / "home"))
            assert done.status == 0, done
    return Downloads(folder, commit)


@pytest.fixture
def downloads(first: Downloads, tmp_path: Path) -> Downloads:
    return first.copy(tmp_path / "downloads")


def verify(folder: Path) -> Result:
    return aqea("verify", folder, "--json", cwd=folder.parent)


def codes(folder: Path) -> set[tuple[str, str]]:
    result = verify(folder)
    assert result.status == 1, result
    return {(finding["code"], finding["subject"]) for finding in result.json()["findings"]}


def test_every_layout_of_the_client_is_read_and_checked(first: Downloads) -> None:
    cached = [first.folder / "home", first.repository.parent, first.repository, first.snapshot]
    for folder, count in (*((at, 5) for at in cached), (first.folder / "whole", 5), (first.folder / "part", 2)):
        result = verify(folder)
        value = result.json()
        assert (result.status, value["files"], value["findings"]) == (0, count, []), result
        notes = "\n".join(value["notes"])
        assert "read as" in notes and first.commit in notes
        assert f"1 file checked by sha256, {count - 1} by Git blob id" in notes
    assert aqea("verify", ".", cwd=first.snapshot).status == 0


CHANGES: dict[str, tuple[Change, set[tuple[str, str]]]] = {
    "weights": (lambda at: at.write_bytes(WEIGHTS[:-1] + b"v"), {("mismatch", "model.safetensors")}),
    "a pointer": (
        lambda at: at.write_bytes(pointer("a" * 64, 9)),
        {("mismatch", "model.safetensors"), ("malformed", "model.safetensors")},
    ),
    "a small file": (
        lambda at: (at.parent / "below/vocab.txt").write_bytes(b"two\n"),
        {("mismatch", "below/vocab.txt")},
    ),
    "a file more": (lambda at: (at.parent / "pytorch_model.bin").write_bytes(b"x"), {("unexpected", "pytorch_model.bin")}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_afterwards_is_found(downloads: Downloads, name: str) -> None:
    change, found = CHANGES[name]
    for folder in (downloads.folder / "whole", downloads.snapshot):
        change(folder / "model.safetensors")
        assert codes(folder) == found
    within = os.path.relpath(downloads.snapshot, downloads.repository)
    assert codes(downloads.repository) == {(code, f"{within}/{path}") for code, path in found}


def test_what_is_gone_is_missing_and_what_was_never_fetched_is_a_note(downloads: Downloads) -> None:
    (downloads.folder / "whole/config.json").unlink()
    assert codes(downloads.folder / "whole") == {("missing", "config.json")}
    (downloads.snapshot / "config.json").unlink()
    result = verify(downloads.snapshot)
    assert result.status == 0 and "1 others were not downloaded" in result.out
    (downloads.snapshot / "model.safetensors").resolve().unlink()
    assert codes(downloads.snapshot) == {("missing", "model.safetensors")}


def test_a_link_to_the_blob_of_another_file_is_found_by_the_listing(downloads: Downloads) -> None:
    link = downloads.snapshot / "config.json"
    link.unlink()
    link.symlink_to((downloads.snapshot / "README.md").readlink())
    assert codes(downloads.snapshot) == {("mismatch", "config.json")}
    link.unlink()
    link.symlink_to("/etc/hostname")
    assert codes(downloads.snapshot) == {("unsafe-path", "config.json")}


def test_without_the_listing_names_of_blobs_are_enough(downloads: Downloads) -> None:
    """Versions of the client before 2 kept none; and where links are not possible, a snapshot is all that there is."""
    shutil.rmtree(downloads.repository / "trees")
    assert verify(downloads.snapshot).status == 0
    copied = downloads.folder / "copied" / REPOSITORY / "snapshots" / downloads.commit
    shutil.copytree(downloads.snapshot, copied)
    result = verify(copied)
    assert result.status == 3 and "kept no digest of 5 files" in result.err
    (downloads.snapshot / "model.safetensors").resolve().write_bytes(b"")
    assert ("mismatch", "model.safetensors") in codes(downloads.snapshot)


def test_what_lies_loose_in_a_cache_is_checked_or_counted(downloads: Downloads) -> None:
    blobs = downloads.repository / "blobs"
    (blobs / ("b" * 64)).write_bytes(b"other")
    (blobs / ("c" * 64 + ".incomplete")).write_bytes(b"half")
    assert codes(downloads.repository) == {("mismatch", f"blobs/{'b' * 64}")}
    (blobs / ("b" * 64)).unlink()
    result = verify(downloads.repository)
    assert result.status == 0 and "not looked at: 1 unfinished download" in result.out
    assert "beside them" not in result.out
    (downloads.repository / "loader.py").write_bytes(b"import os")
    result = verify(downloads.repository)
    assert result.status == 0 and "not looked at: loader.py beside them" in result.out


def test_a_record_that_cannot_be_read_is_a_finding(downloads: Downloads) -> None:
    tree = f"trees/{downloads.commit}.json"
    for content in (b"{", b"[]", b'{"format_version": 1, "files": {"a": 1}}', b"\xff", b"[" * 100_000):
        (downloads.repository / tree).write_bytes(content)
        assert codes(downloads.snapshot) == {("malformed", tree)}
    (downloads.repository / tree).write_text(json.dumps({"format_version": 9, "files": 1}))
    assert verify(downloads.snapshot).status == 0, "a later version's is not read"
    record = ".cache/huggingface/download/config.json.metadata"
    for content in (b"", b"\xff\n\n\n", b"x" * 5000):
        (downloads.folder / "part" / record).write_bytes(content)
        assert ("malformed", record) in codes(downloads.folder / "part")


def test_an_empty_cache_is_not_called_fine(tmp_path: Path) -> None:
    (tmp_path / REPOSITORY / "snapshots" / ("0" * 40)).mkdir(parents=True)
    assert verify(tmp_path).status == 3
    assert verify(tmp_path / REPOSITORY / "snapshots").status == 2
