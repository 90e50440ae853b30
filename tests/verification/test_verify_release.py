"""`aqea-registry verify` of a release in a folder, and of receipts: index and receipt are held against what is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.open_store import find
from aqea_registry.stores.release import digest_of
from tests.helpers import found
from tests.tools import ROOT, aqea

RECEIPT = "releases/receipts/v1.json"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project of 0.1.0 with its layout; its release is marked as withdrawn."""
    project = shutil.copytree(ROOT / "tests/data/0.1.0", tmp_path / "project")
    assert aqea("mark", "--tag", "v1", "--withdrawn", "--reason", "scores of another run", cwd=project).status == 0
    assert aqea("verify", "oci:releases:v1", cwd=project).status == 0
    return project


def index(project: Path, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    path = project / "releases/index.json"
    value = json.loads(path.read_bytes())
    edit(value["manifests"])
    path.write_text(json.dumps(value))


def entry_of(entries: list[dict[str, Any]], which: str) -> dict[str, Any]:
    """The entry of the release, of a statement or of the mark."""
    return {"release": entries[0], "statement": entries[1], "mark": entries[-1]}[which]


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "mediaType": lambda entry: entry.update(mediaType="application/vnd.oci.image.index.v1+json"),
    "artifactType": lambda entry: entry.update(artifactType=entry["artifactType"] + "x"),
    "no artifactType": lambda entry: entry.pop("artifactType"),
    "size": lambda entry: entry.update(size=entry["size"] + 1),
}


@pytest.mark.parametrize(
    ("which", "edit"),
    [("mark", edit) for edit in EDITS]
    + [("statement", edit) for edit in EDITS]
    + [("release", "size"), ("release", "artifactType")],
)
def test_each_entry_of_the_index_fits_its_manifest(project: Path, which: str, edit: str) -> None:
    before = aqea("verify", "oci:releases:v1", "--json", cwd=project).json()["notes"]
    index(project, lambda entries: EDITS[edit](entry_of(entries, which)))
    checked = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert checked.status == 1
    assert {subject.rpartition(": ")[2] for code, subject in found(checked) if code == "mismatch"} == {edit.removeprefix("no ")}
    assert checked.json()["notes"] == before, "no mark and no statement is lost"
    assert found(aqea("verify", "--remote", "--json", cwd=project)) == found(checked)


@pytest.mark.parametrize("edit", ["artifactType", "no artifactType", "removed"])
def test_a_mark_that_the_index_does_not_list_holds_and_is_listed_again(project: Path, edit: str) -> None:
    index(project, lambda entries: entries.pop() if edit == "removed" else EDITS[edit](entries[-1]))
    checked = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert (checked.status, "unexpected" in {code for code, _ in found(checked)}) == (1, True)
    pulled = aqea("pull", "oci:releases:v1", "--to", "out", cwd=project)
    assert "withdrawn: scores of another run" in pulled.out + pulled.err
    assert aqea("mark", "--tag", "v1", "--withdrawn", "--reason", "scores of another run", cwd=project).status == 0
    assert found(aqea("verify", "oci:releases:v1", "--json", cwd=project)) == set()


def test_a_mark_that_cannot_be_read_is_a_finding_and_a_pull_says_it(project: Path) -> None:
    store = Layout("oci:releases", project / "releases")
    tagged = find(store, "v1")
    store.attach(tagged, "status-3.json", store.attachments(tagged)["status-2.json"].replace(b"withdrawn", b"withdrwan"))
    checked = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert found(checked) == {("malformed", "oci:releases:v1: status-3.json")}
    assert "oci:releases:v1: status-3.json: not a mark" in aqea("pull", "oci:releases:v1", "--to", "out", cwd=project).err


def test_a_statement_without_an_entry_stays_in_the_trace(project: Path) -> None:
    before = aqea("trace", "v1", "--json", cwd=project).json()["nodes"]
    index(project, lambda entries: entries.pop(1))
    assert aqea("trace", "v1", "--json", cwd=project).json()["nodes"] == before
    assert "unexpected" in {code for code, _ in found(aqea("verify", "oci:releases:v1", "--json", cwd=project))}


def test_an_entry_whose_manifest_is_gone_is_a_finding(project: Path) -> None:
    digest = "sha256:" + "0" * 64
    index(project, lambda entries: entries[-1].update(digest=digest))
    checked = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert checked.status == 1
    assert {("missing", f"oci:releases: index.json: {digest}")} < found(checked)
    pulled = aqea("pull", "oci:releases:v1", "--to", "out", cwd=project)
    assert pulled.status != 0, "a mark may be lost: it is not passed over"


@pytest.mark.parametrize("content", [None, b"", b'{"imageLayoutVersion":"2.0.0"}', b'{"imageLayoutVersion":"1.0.0"}x', b"[]"])
def test_the_mark_of_a_layout_is_read(project: Path, content: bytes | None) -> None:
    path = project / "releases/oci-layout"
    path.write_text('{ "imageLayoutVersion": "1.0.0" }\n')
    assert aqea("verify", "oci:releases:v1", cwd=project).status == 0, "other programs spell it otherwise"
    path.unlink() if content is None else path.write_bytes(content)
    checked = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert (checked.status, found(checked)) == (1, {("malformed", "oci:releases: oci-layout")})


def put(project: Path, value: object) -> dict[str, Any]:
    """A blob of JSON, and the descriptor of it."""
    content = json.dumps(value).encode()
    (project / "releases/blobs/sha256" / digest_of(content)[7:]).write_bytes(content)
    return {"digest": digest_of(content), "size": len(content)}


def test_what_other_programs_keep_is_followed_and_what_nothing_refers_to_is_counted(project: Path) -> None:
    layer, config = put(project, ["a layer"]), put(project, {})
    image = put(project, {"schemaVersion": 2, "config": config, "layers": [layer]})
    both = put(project, {"schemaVersion": 2, "manifests": [image]})
    media = "application/vnd.oci.image.index.v1+json"
    index(project, lambda entries: entries.append({"mediaType": media, **both}))
    assert not any("not looked at" in note for note in aqea("verify", "oci:releases:v1", "--json", cwd=project).json()["notes"])
    put(project, {"nobody": "refers to it"})
    (project / "releases/blobs/sha256/.x.part").write_bytes(b"")
    (project / "releases/setup.py").write_text("")
    checked = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert (checked.status, found(checked)) == (0, set())
    assert [note.partition(" ")[0] for note in checked.json()["notes"] if "not looked at" in note] == ["3"]


@pytest.mark.parametrize(
    "value",
    [
        {"manifests": [{"digest": "sha256:\0"}, {"digest": "sha256:" + "../" * 9}, {"digest": 1}, {}, 1, None]},
        {"manifests": 1, "layers": {"a": 1}, "config": [], "subject": []},
        {"subject": {"digest": ["x"]}, "mediaType": {}},
        [[]],
    ],
)
def test_a_manifest_of_any_form_is_read(project: Path, value: object) -> None:
    entry = {"mediaType": "application/vnd.oci.image.index.v1+json", **put(project, value)}
    index(project, lambda entries: entries.append(entry))
    checked = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert checked.status in (0, 1) and {code for code, _ in found(checked)} <= {"mismatch"}


RECEIPTS: dict[str, tuple[Callable[[Any], object], tuple[str, str]]] = {
    "a size": (lambda value: value["files"][0].update(size=1), ("mismatch", "MANIFEST.sha256")),
    "a digest": (lambda value: value["files"][1].update(digest="sha256:" + "0" * 64), ("mismatch", "README.md")),
    "a file less": (lambda value: value["files"].pop(1), ("mismatch", "README.md")),
    "a file more": (
        lambda value: value["files"].append({"path": "zzz", "digest": "sha256:" + "0" * 64, "size": 0}),
        ("mismatch", "zzz"),
    ),
    "a file twice": (lambda value: value["files"].append(value["files"][1]), ("duplicate", "README.md")),
    "an id": (
        lambda value: value["stores"]["oci:releases"]["ids"].update(manifest="x"),
        ("mismatch", "oci:releases: manifest"),
    ),
    "no id": (lambda value: value["stores"]["oci:releases"]["ids"].clear(), ("mismatch", "oci:releases: manifest")),
    "an id more": (lambda value: value["stores"]["oci:releases"]["ids"].update(more=1), ("mismatch", "oci:releases: more")),
    "the name": (
        lambda value: value["stores"]["oci:releases"].update(reference="oci:releases:v2"),
        ("mismatch", "oci:releases: reference"),
    ),
}


@pytest.mark.parametrize("name", RECEIPTS)
def test_each_field_of_a_receipt_is_held_against_the_store(project: Path, name: str) -> None:
    assert aqea("verify", "--remote", cwd=project).status == 0
    edit, (code, subject) = RECEIPTS[name]
    value = json.loads((project / RECEIPT).read_bytes())
    edit(value)
    (project / RECEIPT).write_text(json.dumps(value))
    checked = aqea("verify", "--remote", "--json", cwd=project)
    assert (checked.status, found(checked)) == (1, {(code, f"{RECEIPT}: {subject}")})


def test_a_receipt_under_another_name_and_with_a_key_twice(project: Path) -> None:
    content = (project / RECEIPT).read_bytes()
    (project / "releases/receipts/v2.json").write_bytes(content)
    subject = "releases/receipts/v2.json: tag"
    assert ("mismatch", subject) in found(aqea("verify", "--remote", "--json", cwd=project))
    (project / "releases/receipts/v2.json").write_bytes(content.replace(b'"tag"', b'"tag": "v1", "tag"', 1))
    twice = aqea("verify", "--remote", cwd=project)
    assert (twice.status, "appears twice" in twice.out) == (1, True)
