"""Receipts: one that cannot be read is a finding, and whatever else there is to do is done."""

from __future__ import annotations

import os
from pathlib import Path

from tests.hostile.places import make_project
from tests.tools import in_process

WRONG = {("malformed", "manifests/releases/v0.json"), ("unreadable", "releases/receipts/v9.json")}


def test_a_receipt_that_cannot_be_read_is_a_finding_and_the_others_are_used(tmp_path: Path) -> None:
    make_project(tmp_path)
    (tmp_path / "manifests/releases/v0.json").write_bytes(b"\xff")
    (tmp_path / "releases/receipts").mkdir(exist_ok=True)
    os.mkfifo(tmp_path / "releases/receipts/v9.json")

    def ask(*words: str) -> dict[str, object]:
        said = in_process(*words, "--json", cwd=tmp_path, timeout=20)
        assert said.status == 1, said
        found = {(finding["code"], finding["subject"]) for finding in said.json()["findings"]}
        traced = {("broken-link", f"release:{path}") for _, path in WRONG}
        assert found >= (traced if words[0] == "trace" else WRONG), said
        return said.json()

    assert ask("verify", "--remote")["files"] == 1, "the release of the good receipt was checked"
    assert len(ask("releases", "oci:releases")["releases"]) == 1  # type: ignore[arg-type]
    assert ask("releases", "oci:releases:v1")["receipts"] == ["manifests/releases/v1.json"]
    ask("trace", "v1")


def test_a_release_that_is_named_by_its_digest_is_traced_and_pulled(tmp_path: Path) -> None:
    make_project(tmp_path)
    digest = in_process("releases", "oci:releases", "--json", cwd=tmp_path).json()["releases"][0]["digest"]
    assert in_process("trace", f"v1@{digest}", cwd=tmp_path).out == in_process("trace", "v1", cwd=tmp_path).out
    other = in_process("trace", f"v1@sha256:{'0' * 64}", "--json", cwd=tmp_path)
    assert other.status == 1 and [finding["code"] for finding in other.json()["findings"]] == ["tag-moved"]
    pulled = in_process("pull", f"oci:releases@{digest}", "--to", "out", cwd=tmp_path)
    assert pulled.status == 0 and f"the release is {digest}" in pulled.out
