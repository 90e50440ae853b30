"""What differs between releases, what marks and receipts say, and how references are read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.base.references import ReleaseName, join_reference, split_reference
from aqea_registry.comparison.trees import PINS, Change, Contents, changes, contents_of, is_compared, notes, previous
from aqea_registry.project.lock import Lock, Pin, PinnedFile, render_lock
from aqea_registry.stores.attachments import Status, current, next_name
from aqea_registry.stores.open_store import open_store
from aqea_registry.stores.port import other_document
from aqea_registry.stores.receipts import StoreReceipt, parse_receipt, receipt
from aqea_registry.stores.release import Release, build

SCORES = b'{"n_pairs": 3, "cos_sim_spearman": 0.82032467, "cos_sim_pearson": 0.8}'

DIGEST = "sha256:" + "a1" * 32


def release_of(files: dict[str, bytes]) -> Release:
    return build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())


def lock(commit: str) -> bytes:
    files = {"a.json": PinnedFile(sha256="1" * 64, size=1)}
    pin = Pin(kind="dataset", id="o/n", requested="main", commit=commit, licence=None, resolved_from="hub", files=files)
    return render_lock(Lock().with_pin("datasets", "stsb", pin))


def told(files: dict[str, bytes]) -> Contents:
    return contents_of("oci:x:v1", release_of(files), {path: content for path, content in files.items() if is_compared(path)})


def test_changes_name_files_scores_and_pins() -> None:
    old = told({"metrics/s.json": SCORES, PINS: lock("a" * 40), "data/x": b"1", "data/same": b"0"})
    new = told({"metrics/s.json": SCORES.replace(b"67", b"68"), PINS: lock("b" * 40), "data/y": b"2", "data/same": b"0"})
    found = [(one.what, one.name, one.state) for one in changes(old, new)]
    assert found == [
        ("file", "data/x", "removed"),
        ("file", "data/y", "added"),
        ("file", "metrics/s.json", "changed"),
        ("file", PINS, "changed"),
        ("metric", "s: cos_sim_spearman", "changed"),
        ("pin", "stsb", "changed"),
    ]
    assert changes(old, old) == []
    score = next(one for one in changes(old, new) if one.what == "metric")
    assert (score.before, score.after) == ("0.82032467", "0.82032468")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("path", ["metrics/s.json", PINS])
def test_contents_that_are_malformed_are_named(path: str, text: bytes) -> None:
    with pytest.raises(Refused, match=rf"oci:x:v1: {path}"):
        told({path: text})


@pytest.mark.parametrize(
    ("tag", "tags", "before"),
    [
        ("v1", [], None),
        ("v2", ["v1", "v10", "v3"], "v1"),
        ("v10", ["v1", "v2", "v9", "v10", "v11"], "v9"),
        ("v2", ["v2-rc1", "v1"], "v2-rc1"),
        ("v2-rc1", ["v2", "v1.9.9", "v1.10"], "v1.10"),
        ("1.2.3", ["1.2", "1.2.3.1", "1.2.2"], "1.2.2"),
        ("v1.1", ["v1"], "v1"),
        ("2026-11-21", ["2026-9-30", "2025-12-1"], "2026-9-30"),
    ],
)
def test_the_release_before(tag: str, tags: list[str], before: str | None) -> None:
    assert previous(tag, tags) == before


@given(st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}", fullmatch=True), unique=True, min_size=1))
def test_the_releases_stand_in_one_line(tags: list[str]) -> None:
    """From any tag, going back ends, and no tag comes twice."""
    seen = []
    at: str | None = max(tags, key=lambda tag: sum(previous(tag, [other]) == other for other in tags))
    while at is not None:
        seen.append(at)
        at = previous(at, tags)
    assert len(seen) == len(set(seen))


def test_notes_tell_what_changed() -> None:
    found = [Change(what="metric", name="a|b", before="0.1", after=None)]
    text = notes("oci:x:v1@sha256:" + "1" * 64, "v1", found)
    assert "Changes since v1" in text and "| metric | a\\|b | removed | 0.1 |  |" in text
    assert "Nothing differs" in notes("oci:x:v1@sha256:x", "v1", [])
    assert "first release" in notes("oci:x:v1@sha256:x", None, None)
    assert "could not be read" in notes("oci:x:v1@sha256:x", "v1", None)


DIGEST = "sha256:" + "5" * 64


def test_the_last_mark_counts() -> None:
    first = Status(digest=DIGEST, state="superseded", by="v2", reason="a fault")
    second = Status(digest=DIGEST, state="withdrawn", reason="wrong data")
    documents = {"status-2.json": first.render(), "status-10.json": second.render(), "status-x.json": b"", "other": b"{}"}
    assert current(documents, DIGEST) == second
    assert current(documents, "sha256:" + "6" * 64) is None
    assert next_name(documents) == "status-11.json"
    assert next_name({}) == "status-1.json"
    assert "run the command again" in str(other_document("status-1.json", b"mine", b"yours").hint), "as two marks at once may"
    assert current({"status-1.json": b"\xff"}, DIGEST) is None
    assert first.text() == "superseded by v2: a fault" and second.text() == "withdrawn: wrong data"


def test_a_receipt_is_read_as_it_was_written_and_names_no_time() -> None:
    release = release_of({"data/x": b"1", "README.md": b""})
    stores = {name: StoreReceipt(reference=f"{name}:v1", at="1", ids={"n": 1}) for name in ("oci:z", "oci:a")}
    made = receipt("v1", release, stores)
    content = made.render()
    assert parse_receipt(content, "r") == made
    assert parse_receipt(content, "r").render() == content
    assert content.index(b"oci:a") < content.index(b"oci:z")
    assert [file.path for file in made.files] == ["README.md", "data/x"]
    for broken in (
        b"",
        b"{}",
        b"[]",
        content.replace(b'"size": 1', b'"size": -1'),
        content.replace(b"receipt/1", b"receipt/9"),
    ):
        with pytest.raises(BadConfiguration, match="r"):
            parse_receipt(broken, "r")


@pytest.mark.parametrize(
    ("text", "spec", "tag"),
    [
        ("oci:releases:v1", "oci:releases", "v1"),
        ("oci:a/b c:v1", "oci:a/b c", "v1"),
        ("oci:C:/x:v1", "oci:C:/x", "v1"),
        ("oci://host:5000/a/b:v1", "oci://host:5000/a/b", "v1"),
        ("hf://datasets/o/n@v1", "hf://datasets/o/n", "v1"),
        ("github://o/n@v1", "github://o/n", "v1"),
    ],
)
def test_references_are_read(text: str, spec: str, tag: str) -> None:
    assert split_reference(text) == ReleaseName(spec, tag, None)
    assert join_reference(open_store(spec, Path()).spec, tag) == text
    demanded, digest = f"{text}@{DIGEST}", f"{spec}@{DIGEST}"
    assert split_reference(demanded) == ReleaseName(spec, tag, DIGEST)
    assert split_reference(digest) == ReleaseName(spec, DIGEST, DIGEST), "in the place of the tag"
    assert [join_reference(*split_reference(one)) for one in (demanded, digest)] == [demanded, digest]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1",
        "oci:",
        "oci:x",
        f"oci:@{DIGEST}",
        f"oci://@{DIGEST}",
        f"oci:x:v1@{DIGEST[:-1]}",
        f"oci:x:v1@{DIGEST}0",
        f"oci:x:v1@{DIGEST.upper()}",
        f"hf://datasets/o/n@v1@{DIGEST}@{DIGEST}",
        "github://o/n@sha512:" + "a" * 128,
        "github://o/n@v1@sha256:",
        "oci::v1",
        "oci://host/name",
        "oci://host:5000/name",
        "hf://datasets/o/n",
        "github://o/n@",
        "s3://x:v1",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BadConfiguration, match="is not the name of a release"):
        split_reference(text)
