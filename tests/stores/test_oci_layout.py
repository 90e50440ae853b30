"""An OCI layout in a real folder: put, asked, damaged, repaired, and never moved."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.files import Advance, ignore
from aqea_registry.base.findings import CannotCheck, Finding, Refused
from aqea_registry.stores.oci_layout import REF_NAME, Layout
from aqea_registry.stores.port import Tagged
from aqea_registry.stores.release import Descriptor, Release, build, compare_with_store, digest_of
from tests.factories import OBSTACLES, tree

FILES = {"README.md": b"# x\n", "data/a.json": b"{}\n", "data/same.json": b"{}\n", "empty.txt": b""}


def release_of(files: dict[str, bytes]) -> Release:
    return build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())


class Folder:
    """A folder with a release's files, and a layout beside it."""

    def __init__(self, root: Path, files: dict[str, bytes]) -> None:
        self.files = root / "files"
        self.write(files)
        self.release = release_of(files)
        self.place = root / "store"
        self.layout = Layout("oci:store", self.place)

    def write(self, files: dict[str, bytes]) -> None:
        for path, content in files.items():
            (self.files / path).parent.mkdir(parents=True, exist_ok=True)
            (self.files / path).write_bytes(content)

    def push(self, tag: str = "v1") -> None:
        self.put(self.release, tag)

    def put(self, release: Release, tag: str, advance: Advance = ignore) -> None:
        self.layout.push(tag, release, self.files.joinpath, "", advance)

    def names(self, tag: str) -> str | None:
        tagged = self.layout.find(tag)
        return tagged.digest if tagged else None

    def tagged(self, digest: str) -> Tagged:
        return Tagged(tag="v1", digest=digest, at=digest)

    def check(self, release: Release) -> list[Finding]:
        return compare_with_store(
            "oci:store:v1", release, self.layout.stored(self.tagged(release.digest()), release, False, ignore)
        )

    def missing(self) -> list[Descriptor]:
        return [*self.layout.plan("v1", self.release).new]

    def blob(self, digest: str) -> Path:
        return self.place / "blobs" / "sha256" / digest.removeprefix("sha256:")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, FILES)


def test_the_folder_is_an_oci_image_layout(folder: Folder) -> None:
    folder.push()
    assert json.loads((folder.place / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((folder.place / "index.json").read_bytes())
    (entry,) = index["manifests"]
    assert entry["size"] == len(folder.release.render())
    assert entry["annotations"] == {REF_NAME: "v1"}
    for path in (folder.place / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_what_a_push_would_write_is_missing_each_once(folder: Folder) -> None:
    wanted = {layer.digest for layer in (*folder.release.layers, folder.release.config)} | {folder.release.digest()}
    assert len(wanted) == 5  # two files have the same bytes
    missing = folder.missing()
    assert [layer.digest for layer in missing] == sorted(wanted)


def test_progress_counts_every_byte(folder: Folder) -> None:
    seen: list[int] = []
    folder.put(folder.release, "v1", seen.append)
    assert sum(seen) == sum(map(len, {*FILES.values()})), "two files have the same bytes"


def test_a_damaged_blob_is_found_and_repaired_by_a_push(folder: Folder) -> None:
    folder.push()
    for path, layer in folder.release.files().items():
        if path == "data/same.json":
            continue
        folder.blob(layer.digest).write_bytes(b"damaged")
        findings = folder.check(folder.release)
        assert {finding.code for finding in findings} == {"mismatch"}
        assert f"oci:store:v1: {path}" in {finding.subject for finding in findings}
        assert all(finding.expected == f"{layer.digest} ({layer.size} bytes)" for finding in findings)
        assert all(finding.actual == f"{digest_of(b'damaged')} (7 bytes)" for finding in findings)
        assert [found.digest for found in folder.missing()] == [layer.digest]
        folder.push()
        assert folder.check(folder.release) == []


def test_an_absent_config_is_found_and_repaired_by_a_push(folder: Folder) -> None:
    folder.push()
    folder.blob(folder.release.config.digest).unlink()
    with pytest.raises(Refused, match="config"):
        folder.check(folder.release)
    folder.push()
    assert folder.check(folder.release) == []


@pytest.mark.parametrize("kind", OBSTACLES)
def test_a_blob_that_is_no_file_is_a_finding(folder: Folder, kind: str) -> None:
    folder.push()
    blob = folder.blob(folder.release.files()["README.md"].digest)
    blob.unlink()
    OBSTACLES[kind](blob)
    with pytest.raises(Refused) as raised:
        folder.check(folder.release)
    (finding,) = raised.value.findings
    assert (finding.code, finding.subject) == ("unreadable", "oci:store: README.md")


def test_a_damaged_manifest_is_refused_and_repaired_by_a_push(folder: Folder) -> None:
    folder.push()
    digest = folder.release.digest()
    folder.blob(digest).write_bytes(b"{}")
    with pytest.raises(Refused) as raised:
        folder.layout.release(folder.tagged(digest))
    (finding,) = raised.value.findings
    assert (finding.code, finding.expected, finding.actual) == ("mismatch", digest, digest_of(b"{}"))
    folder.push()
    assert folder.layout.release(folder.tagged(digest)) == folder.release


def test_a_manifest_that_is_not_there_cannot_be_checked(folder: Folder) -> None:
    folder.push()
    folder.blob(folder.release.digest()).unlink()
    with pytest.raises(CannotCheck, match="cannot be read: No such file") as caught:
        folder.layout.release(folder.tagged(folder.release.digest()))
    assert caught.value.hint == "restore the file from a copy, or move the folder away"


@pytest.mark.parametrize("content", [b"{}", b"not JSON", release_of({"../x": b""}).render()])
def test_a_manifest_of_something_else_is_refused(folder: Folder, content: bytes) -> None:
    folder.push()
    folder.blob(digest_of(content)).write_bytes(content)
    with pytest.raises(Refused) as raised:
        folder.layout.release(folder.tagged(digest_of(content)))
    assert [finding.code for finding in raised.value.findings] == ["malformed"]


def entry(**values: Any) -> dict[str, Any]:
    return {"digest": "sha256:" + "a" * 64, "annotations": {REF_NAME: "v1"}, **values}


HOSTILE: dict[str, Any] = {
    "a list": [],
    "null": None,
    "no manifests": {"schemaVersion": 2},
    "manifests null": {"manifests": None},
    "manifests an object": {"manifests": {}},
    "manifests a word": {"manifests": "v1"},
    "an entry that is a word": {"manifests": ["v1"]},
    "an entry that is null": {"manifests": [None]},
    "no digest": {"manifests": [{"annotations": {REF_NAME: "v1"}}]},
    "a digest that climbs": {"manifests": [entry(digest="sha256:../../../etc/passwd")]},
    "an absolute digest": {"manifests": [entry(digest="/etc/passwd")]},
    "an upper-case digest": {"manifests": [entry(digest="sha256:" + "A" * 64)]},
    "a digest that ends a line": {"manifests": [entry(digest="sha256:" + "a" * 64 + "\n")]},
    "sha512": {"manifests": [entry(digest="sha512:" + "a" * 128)]},
    "a number as a digest": {"manifests": [entry(digest=1)]},
    "annotations a list": {"manifests": [entry(annotations=[])]},
    "a bad entry under another tag": {"manifests": [entry(), entry(digest="x", annotations={REF_NAME: "v2"})]},
    "one tag with two digests": {"manifests": [entry(), entry(digest="sha256:" + "b" * 64)]},
}


@pytest.mark.parametrize("index", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_index_cannot_be_checked_and_is_not_replaced(folder: Folder, index: Any) -> None:
    folder.place.mkdir()
    (folder.place / "index.json").write_text(json.dumps(index))
    with pytest.raises(CannotCheck):
        folder.names("v1")
    with pytest.raises(CannotCheck):
        folder.push()
    assert json.loads((folder.place / "index.json").read_text()) == index


TWICE = b'{"manifests": [], "manifests": []}'  # other programs may read the first


@pytest.mark.parametrize("content", [b"", b"index", b"\xff", b'{"manifests": [', b"[" * 200_000, TWICE])
def test_an_index_that_is_no_json_cannot_be_checked(folder: Folder, content: bytes) -> None:
    folder.place.mkdir()
    (folder.place / "index.json").write_bytes(content)
    with pytest.raises(CannotCheck, match=r"index\.json: not an OCI index"):
        folder.names("v1")
    (folder.place / "index.json").write_bytes(b"{\n<<<<<<< HEAD\n")
    with pytest.raises(CannotCheck, match=r"index\.json: not an OCI index: line 2: a merge conflict"):
        folder.names("v1")


def test_an_entry_twice_with_one_digest_is_one_tag(folder: Folder) -> None:
    folder.place.mkdir()
    (folder.place / "index.json").write_text(json.dumps({"manifests": [entry(), entry()]}))
    assert folder.names("v1") == "sha256:" + "a" * 64


def test_entries_of_other_tools_are_kept(folder: Folder) -> None:
    other = {"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": 1, "platform": {"os": "linux"}}
    folder.place.mkdir()
    (folder.place / "index.json").write_text(json.dumps({"manifests": [other]}))
    folder.push()
    assert json.loads((folder.place / "index.json").read_bytes())["manifests"][0] == other


def test_two_layouts_of_one_release_are_the_same_bytes(tmp_path: Path) -> None:
    one, two = Folder(tmp_path / "one", FILES), Folder(tmp_path / "two", dict(reversed(FILES.items())))
    one.push()
    two.push()
    assert one.names("v1") == two.names("v1")
    assert tree(one.place) == tree(two.place)


def test_a_damaged_document_beside_a_release_is_refused(folder: Folder) -> None:
    folder.push()
    tagged = folder.tagged(folder.release.digest())
    folder.layout.attach(tagged, "status-1.json", b"[]")
    assert folder.layout.attachments(folder.tagged(folder.release.config.digest)) == {}
    folder.blob(digest_of(b"[]")).write_bytes(b"[1]")
    with pytest.raises(Refused):
        folder.layout.attachments(tagged)


def test_a_file_that_is_gone_cannot_be_opened(folder: Folder) -> None:
    folder.push()
    layer = folder.release.files()["README.md"]
    folder.blob(layer.digest).unlink()
    with pytest.raises(CannotCheck):
        folder.layout.open(folder.tagged(folder.release.digest()), "README.md", layer, 0)


def test_writers_at_the_same_time_lose_no_tag(folder: Folder) -> None:
    tags = [f"v{number}" for number in range(8)]
    writers = [threading.Thread(target=folder.push, args=(tag,)) for tag in tags]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [folder.names(tag) for tag in tags] == [folder.release.digest()] * 8
