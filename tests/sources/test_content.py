"""What stands where a model or data file should is refused by `pin`, and named by everything that meets it later."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import PAIRS, PINS, edit_json, put, refused
from tests.servers.hub.blobs import pointer
from tests.sources.test_pin import DATA, MODEL, Desk
from tests.sources.test_pin import desk as desk
from tests.tools import Result, aqea

pytest.importorskip("huggingface_hub")

SHA256 = hashlib.sha256(b"weights that are elsewhere").hexdigest()
POINTER = pointer(SHA256, 90_000_000)
SAID = f"is a Git LFS pointer to sha256 {SHA256} (90000000 bytes), not the file; run: git lfs pull"
PAGE = b"<!doctype html>\n<title>Sign in</title>\n" + b" " * 5000
ROW = b'{"sentence1": "a", "sentence2": "b", "score": 1}\n'


def malformed(result: Result) -> dict[str, str]:
    found = result.json()["findings"]
    return {finding["subject"]: finding["message"] for finding in found if finding["code"] == "malformed"}


def folder_of(desk: Desk, name: str, files: dict[str, bytes]) -> str:
    for path, content in files.items():
        (desk.folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        (desk.folder / name / path).write_bytes(content)
    return f"directory:{name}"


def test_what_a_folder_has_in_place_of_its_files_is_not_pinned(desk: Desk) -> None:
    model = {"config.json": b"", "model.safetensors": POINTER, "vocab.txt": b"one\n"}
    data = {"test.jsonl": PAGE, "test-2.jsonl": ROW}
    models = {"m": {"repo": MODEL, "revision": desk.commit, "sources": [folder_of(desk, "model", model)]}}
    datasets = {
        "d": {"kind": "directory", "repo": "d", "files": ["*.jsonl"], "sources": [folder_of(desk, "in", data)]},
        "good": {"kind": "directory", "repo": "d", "files": ["test-2.jsonl"], "sources": ["directory:in"]},
    }
    desk.write(models, datasets)
    desk.pin("good")
    before = desk.lock_bytes()
    result = desk.aqea("pin", "m", "d", "--json")
    assert result.status == 1
    assert malformed(result) == {
        "m: config.json": "config.json is empty, not the file; get it again",
        "m: model.safetensors": f"model.safetensors {SAID}",
        "d: test.jsonl": "test.jsonl is a web page (HTML), not the file; get it again",
    }
    assert desk.lock_bytes() == before
    assert "git lfs pull" in desk.pin("m", status=1).err


def test_a_link_that_leads_nowhere_is_not_left_out_of_a_pin(desk: Desk) -> None:
    """As git-annex and DVC leave one for a file that was not fetched."""
    source = folder_of(desk, "in", {"test.jsonl": ROW})
    (desk.folder / "in/test-2.jsonl").symlink_to("annex/objects/aa")
    desk.write({}, {"d": {"kind": "directory", "repo": "d", "files": ["*.jsonl"], "sources": [source]}})
    result = desk.aqea("pin", "d", "--json")
    assert result.status == 1
    assert [(finding["code"], finding["subject"]) for finding in result.json()["findings"]] == [("missing", "d: test-2.jsonl")]


def test_what_a_hub_has_in_place_of_its_files_is_not_pinned(desk: Desk) -> None:
    """In LFS as well: somebody added a clone without git-lfs."""
    store = desk.hub.store
    store.move_tag("models", MODEL, "v1", store.commit("models", MODEL, {"model.safetensors": POINTER, "config.json": b""}))
    store.commit("datasets", DATA, {"test.jsonl": PAGE})
    result = desk.aqea("pin", "--json")
    assert result.status == 1
    assert sorted(malformed(result)) == ["d: test.jsonl", "m: config.json", "m: model.safetensors"]
    assert malformed(result)["m: model.safetensors"].endswith(SAID)
    assert desk.lock_bytes() is None


@pytest.fixture
def pointed(project: Path) -> Path:
    """A made project whose lock binds an LFS pointer in place of the data, as version 0.1.0 wrote it."""
    put("data/small/test.jsonl", POINTER)(project)

    def bind(lock: dict[str, Any]) -> None:
        digest = hashlib.sha256(POINTER).hexdigest()
        lock["datasets"]["small"]["files"]["test.jsonl"] |= {"sha256": digest, "size": len(POINTER)}

    edit_json(project / PINS, bind, indent=2)
    return project


def test_a_pointer_that_the_lock_binds_is_named_by_every_verb(pointed: Path) -> None:
    subjects = {"small: test.jsonl in directory:data/small": f"test.jsonl {SAID}"}
    assert malformed(refused(pointed, 1, f"small: test.jsonl {SAID}")) == {"small: test.jsonl": f"test.jsonl {SAID}"}
    assert subjects.items() <= malformed(aqea("verify", "--json", cwd=pointed)).items()
    checked = aqea("pin", "--check", "small", "--json", cwd=pointed)
    assert (checked.status, malformed(checked)) == (1, subjects)


def test_a_file_that_became_a_pointer_is_a_mismatch_and_named(project: Path) -> None:
    put("data/small/test.jsonl", POINTER)(project)
    result = aqea("verify", "--json", cwd=project)
    codes = {f["code"] for f in result.json()["findings"] if f["subject"] == "small: test.jsonl in directory:data/small"}
    assert codes == {"mismatch", "malformed"}
    assert f"test.jsonl {SAID}" in refused(project, 1, "these are not the pinned bytes", SAID).err


def test_a_pair_file_that_is_a_pointer_is_named_by_verify_and_compare(project: Path) -> None:
    (project / "good.json").write_bytes((project / PAIRS).read_bytes())
    for content, said in ((POINTER, SAID), (PAGE, "is a web page (HTML)"), (b"", "is empty")):
        put(PAIRS, content)(project)
        found = aqea("compare", PAIRS, "good.json", "--json", cwd=project)
        assert found.status == 1 and said in malformed(found)[PAIRS]
        assert said in malformed(aqea("verify", "--json", cwd=project))[PAIRS]
    put(PAIRS, POINTER)(project)
    (project / "same.json").write_bytes(POINTER)
    assert aqea("compare", PAIRS, "same.json", cwd=project).status == 1, "two pointers say nothing of two pair sets"
