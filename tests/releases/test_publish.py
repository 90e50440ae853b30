"""`aqea-registry publish`: one immutable release in OCI layouts, as skopeo, coreutils and the Hub's library read it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.files import ignore
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.progress import Silent
from aqea_registry.generation.vector_sets import kept_lists
from aqea_registry.project.project import open_project
from aqea_registry.releases import publish as publishing
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.open_store import find, open_tagged
from aqea_registry.stores.release import build
from aqea_registry.verification.verify_release import CheckedRelease, verify_tagged
from tests import sampling
from tests.golden.cases import RELEASE, make_project
from tests.helpers import (
    MANIFEST,
    METRICS,
    PAIRS,
    ROWS,
    SIZES,
    append,
    blob,
    found,
    layout_manifest,
    put,
    replace,
    titles,
    tree,
    unnoticed,
)
from tests.tools import LARGE, Result, aqea, copy_checkout, copy_project, edit_params, run

CARD = "README.md"
LIST = "MANIFEST.sha256"
RELEASED = {"training/data": "data", "metrics": "metrics", "views": "parquet", "manifests": ""}


def publish(project: Path, *words: str, tag: str = "v1") -> Result:
    return aqea("publish", "--tag", tag, *words, cwd=project)


def digest(result: Result) -> str:
    """The digest that publish printed."""
    return result.out.split(" is ")[1].split(": ")[0]


def skopeo(*words: str, cwd: Path) -> str:
    """What skopeo prints; it must be content."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    result = run("skopeo", "--insecure-policy", *words, cwd=cwd)
    assert result.status == 0, result.err
    return result.out


def retitle(project: Path, title: str) -> None:
    """Other content for a release: another card."""
    edit_params(project, lambda params: params["publish"].update(title=title))


@pytest.fixture
def published(project: Path) -> Path:
    """A project with a release v1 in its default store."""
    result = publish(project)
    assert (result.status, result.err) == (0, "")
    return project


def test_a_release_is_what_skopeo_sees(project: Path) -> None:
    result = publish(project)
    assert result.status == 0
    raw = skopeo("inspect", "--raw", "oci:releases:v1", cwd=project)
    inspected = json.loads(skopeo("inspect", "oci:releases:v1", cwd=project))
    assert digest(result) == inspected["Digest"] == f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
    assert json.loads(raw)["artifactType"] == "application/vnd.aqea-registry.release.v1"
    assert layout_manifest(project / "releases") == (digest(result), json.loads(raw))
    skopeo("copy", "oci:releases:v1", "oci:../copy:v1", cwd=project)
    copied = aqea("verify", "oci:../copy:v1", "--json", cwd=project)
    assert (copied.status, copied.json()["files"]) == (0, len(titles(json.loads(raw))))
    assert copied.json()["notes"] == [f"v1 is {digest(result)}"]
    assert {one["how"] for one in copied.json()["held"]["oci:../copy:v1"]} == {"hashed"}


def released(path: str) -> str:
    """The path in a release of a file of the project's manifest."""
    folder, _, name = path.rpartition("/")
    return f"{RELEASED[folder]}/{name}".removeprefix("/")


def test_every_layer_is_a_file_of_the_manifest_or_tells_of_them(published: Path) -> None:
    _, manifest = layout_manifest(published / "releases")
    lines = [line.split("  ") for line in (published / MANIFEST).read_text().splitlines()]
    listed = {released(path): sha256 for sha256, path in lines}
    files = titles(manifest)
    claims = {f"claims/{path.name}": path.read_bytes() for path in (published / "manifests/claims").iterdir()}
    again = {"project/params.yaml", "project/dvc.yaml", "project/CITATION.cff", *claims}
    assert set(files) == {*listed, CARD, LIST, "croissant.json", "plots/metrics.svg", "report.html", *again}
    assert {path: blob(published / "releases", files[path]).read_bytes() for path in claims} == claims
    assert {path: files[path].removeprefix("sha256:") for path in listed} == listed
    for layer in (*manifest["layers"], manifest["config"]):
        content = blob(published / "releases", layer["digest"]).read_bytes()
        assert (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}") == (layer["size"], layer["digest"])
    assert list(files) == sorted(files)


def test_no_time_no_machine_and_no_tag_is_in_a_release(published: Path) -> None:
    name, manifest = layout_manifest(published / "releases")
    assert set(manifest) == {"schemaVersion", "mediaType", "artifactType", "config", "layers"}
    for layer in manifest["layers"]:
        assert set(layer["annotations"]) == {"org.opencontainers.image.title"}
    assert blob(published / "releases", manifest["config"]["digest"]).read_bytes() == b"{}"
    assert digest(publish(published, tag="another.name_1")) == name


def test_files_restored_by_hand_pass_every_check(published: Path) -> None:
    _, manifest = layout_manifest(published / "releases")
    restored = published.parent / "restored"
    for path, name in titles(manifest).items():
        (restored / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(blob(published / "releases", name), restored / path)
    assert run("sha256sum", "-c", "--quiet", LIST, cwd=restored).status == 0
    result = aqea("verify", restored, "--json", cwd=Path("/"))
    assert (result.status, result.json()["files"]) == (0, len(titles(manifest)) - 1)
    assert aqea("verify", ".", cwd=restored).status == 0
    assert aqea("verify", LIST, cwd=restored).status == 0
    (restored / "extra").write_text("x")
    append(METRICS, b" ")(restored)
    broken = aqea("verify", restored, "--json", cwd=Path("/"))
    assert found(broken) == {("unexpected", "extra"), ("mismatch", METRICS)}


def test_the_receipt_is_written_last_and_says_what_is_there(published: Path) -> None:
    layout = published / "releases"
    name, manifest = layout_manifest(layout)
    receipt = json.loads((layout / "receipts/v1.json").read_text())
    assert receipt == {
        "schema": "aqea-registry/receipt/1",
        "tag": "v1",
        "digest": name,
        "files": [
            {"path": layer["annotations"]["org.opencontainers.image.title"], "digest": layer["digest"], "size": layer["size"]}
            for layer in manifest["layers"]
        ],
        "stores": {"oci:releases": {"reference": f"oci:releases:v1@{name}", "at": name, "ids": {"manifest": name}}},
    }
    written = {path: time for path, (_, time) in tree(layout).items()}
    assert max(written, key=lambda path: written[path]) == "receipts/v1.json"
    assert max((path for path in written if path != "receipts/v1.json"), key=lambda path: written[path]) == "index.json"


def test_publishing_again_says_so_and_writes_nothing(published: Path) -> None:
    before = tree(published)
    result = publish(published)
    assert result.status == 0
    assert "holds it already, nothing was written" in result.out
    assert tree(published) == before
    answer = publish(published, "--json").json()
    assert (answer["ok"], [put["state"] for put in answer["puts"]]) == (True, ["unchanged"])
    assert tree(published) == before


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--to", "oci:fresh", "--to", "oci:releases")])
def test_a_tag_never_moves(published: Path, words: tuple[str, ...]) -> None:
    name, _ = layout_manifest(published / "releases")
    retitle(published, "Another title")
    before = tree(published)
    result = publish(published, "--json", *words)
    assert (result.status, found(result)) == (5, {("tag-moved", "oci:releases:v1")})
    finding = result.json()["findings"][0]
    assert finding["actual"] == name != finding["expected"]
    assert name in result.err
    assert tree(published) == before, "not even the other store was written"


def test_other_content_goes_under_a_new_tag_and_shares_what_is_the_same(published: Path) -> None:
    retitle(published, "Another title")
    before = tree(published / "releases")
    result = publish(published, tag="v2")
    assert result.status == 0
    after = tree(published / "releases")
    new = set(after) - set(before)
    assert {path: after[path] for path in before if path != "index.json"} == {
        path: seen for path, seen in before.items() if path != "index.json"
    }
    assert len([path for path in new if path.startswith("blobs/")]) == 9, (
        "the card, Croissant, the page, params.yaml, the list and the manifest; a statement and the manifests of two"
    )
    assert new >= {"receipts/v2.json"}
    assert len(new) == 10
    for tag in ("v1", "v2"):
        assert aqea("verify", f"oci:releases:{tag}", cwd=published).status == 0
        assert (
            json.loads(skopeo("inspect", f"oci:releases:{tag}", cwd=published))["Digest"]
            == layout_manifest(published / "releases", tag)[0]
        )


def test_several_stores_get_the_same_release(project: Path) -> None:
    result = publish(project, "--to", "oci:one", "--to", f"oci:{project.parent}/two", "--to", "oci:deep/er/three", "--json")
    assert result.status == 0
    value = result.json()
    assert [put["state"] for put in value["puts"]] == ["published"] * 3
    for place in (project / "one", project.parent / "two", project / "deep/er/three"):
        assert layout_manifest(place)[0] == value["digest"]
        assert (place / "receipts/v1.json").is_file()
    assert not (project / "releases").exists(), "--to is instead of the stores in params.yaml"


def test_a_store_whose_disk_fails_does_not_stop_the_others(project: Path) -> None:
    (project / "broken").mkdir()
    (project / "broken/blobs").write_bytes(b"no folder")
    words = ("--to", "oci:broken", "--to", "oci:releases", "--json")
    result = publish(project, *words)
    assert (result.status, [put["state"] for put in result.json()["puts"]]) == (3, ["failed", "published"]), result
    assert "broken/blobs" in result.err and "run the command again" in result.err
    (project / "broken/blobs").unlink()
    result = publish(project, *words)
    assert (result.status, [put["state"] for put in result.json()["puts"]]) == (0, ["published", "unchanged"]), result


def test_a_store_whose_disk_fails_does_not_keep_the_others_from_being_marked(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = ("--to", "oci:releases", "--to", "oci:full", "--to", "oci:third")
    assert publish(project, *to).status == 0
    attach = Layout.attach

    def full(store: Layout, *given: Any) -> None:
        if store.spec == "oci:full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "full/index.json")
        attach(store, *given)

    words = ("mark", "--tag", "v1", *to, "--withdrawn", "--reason", "x", "--json")
    with monkeypatch.context() as patch:
        patch.setattr(Layout, "attach", full)
        result = aqea(*words, cwd=project)
    marked = [(mark["reference"].partition("@")[0], mark["written"]) for mark in result.json()["marked"]]
    assert (result.status, marked) == (3, [("oci:releases:v1", True), ("oci:third:v1", True)])
    assert "full/index.json: No space left" in result.err and "run the command again" in result.err
    again = aqea(*words, cwd=project)
    assert (again.status, [mark["written"] for mark in again.json()["marked"]]) == (0, [False, True, False])


def test_a_fault_in_a_ledger_is_said_before_a_release_keeps_it(project: Path) -> None:
    put(
        "manifests/claims/paper.yaml",
        b"schema: aqea-registry/claims/1\ndocument: {file: paper.md, title: Paper}\nclaims: [{id: a, value: []}]\n",
    )(project)
    result = publish(project)
    assert result.status == 0 and "warning: the ledgers have 1 fault" in result.err and "paper: a" in result.err, result


def test_a_dry_run_writes_nothing_and_tells_the_digest(project: Path) -> None:
    before = tree(project)
    planned = publish(project, "--dry-run", "--json")
    assert planned.status == 0
    assert [put["state"] for put in planned.json()["puts"]] == ["planned"]
    assert "would be sent" in publish(project, "--dry-run").out
    assert tree(project) == before
    done = publish(project, "--json").json()
    assert planned.json()["digest"] == done["digest"] == layout_manifest(project / "releases")[0]
    sent = [(put["new"], put["bytes"]) for put in (planned.json()["puts"][0], done["puts"][0])]
    assert sent[0] == sent[1], "the plan was kept"


def test_what_has_findings_is_not_published(project: Path) -> None:
    replace(ROWS, b"bakery", b"Bakery")(project)
    append(METRICS, b" ")(project)
    result = publish(project, "--json")
    assert (result.status, result.json()["ok"]) == (1, False)
    assert {("mismatch", METRICS), ("mismatch", "small: test.jsonl in directory:data/small")} <= found(result)
    assert "so there is no release" in result.err
    assert not (project / "releases").exists()


BAD_TAGS = (".", "..", "-v1", "v 1", "v/1", "../v1", "v1\n", "v:1", "ü", "v" * 129, "v1;rm")
BAD_STORES = ("oci", "oci:", "releases", "s3://bucket", "docker:releases", "oci://host", "hf://x/y", "github://x")


def test_bad_tags_and_unknown_stores_are_refused(project: Path) -> None:
    before = tree(project)
    for tag in BAD_TAGS:
        result = aqea("publish", f"--tag={tag}", cwd=project)
        assert (result.status, result.out) == (2, ""), tag
        assert repr(tag) in result.err
    for store in BAD_STORES:
        result = publish(project, "--to", "oci:fine", "--to", store)
        assert (result.status, result.out) == (2, ""), store
        assert result.err.startswith("error: ") and "next: " in result.err
    assert tree(project) == before


def test_without_a_store_nothing_is_published(project: Path) -> None:
    edit_params(project, lambda params: params["publish"].update(stores=[]))
    result = publish(project)
    assert (result.status, result.out) == (2, "")
    assert "--to" in result.err


def test_two_clean_checkouts_give_one_digest(published: Path) -> None:
    """Elsewhere, under another time zone, locale and hash seed; with `--all` the second is made from nothing."""
    second = published.parent / "another place" / "checkout"
    env = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "42", "OMP_NUM_THREADS": "1", "COLUMNS": "40"}
    if sampling.everything():
        second.mkdir(parents=True)
        copy_checkout(second)
        for path in (MANIFEST, SIZES):
            (second / path).unlink()
        made = run("dvc", "repro", "--force", cwd=second, env=env, timeout=600)
        assert made.status == 0, made.err
    else:
        copy_project(published, second, without=("releases",))
    result = aqea("publish", "--tag", "v1", cwd=second, env=env)
    assert result.status == 0, result.err
    assert digest(result) == layout_manifest(published / "releases")[0]


def test_the_ledgers_of_whole_cards_and_papers_go_into_a_release(project: Path) -> None:
    for path in LARGE:
        shutil.copy2(path, project / "manifests/claims")
    done = publish(project, "--json")
    assert done.status == 0, done.err
    page = blob(project / "releases", titles(layout_manifest(project / "releases")[1])["report.html"]).read_text()
    assert all(path.stem in page for path in LARGE)


def test_the_card_is_a_dataset_card(published: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    files = titles(layout_manifest(published / "releases")[1])
    path = blob(published / "releases", files[CARD])
    card = hub.DatasetCard(path.read_text())
    data = card.data.to_dict()
    assert (data["license"], data["language"], data["size_categories"]) == ("cc0-1.0", ["en"], ["n<1K"])
    assert data["task_categories"] == ["sentence-similarity", "text-classification"]
    assert data["pretty_name"] == "AQEA small STS pair sets"
    assert hub.DatasetCardData(**data).to_dict() == data
    text = card.text
    metrics = json.loads((published / METRICS).read_text())
    for value in (repr(metrics["cos_sim_spearman"]), files[released(PAIRS)].removeprefix("sha256:"), "sha256sum -c"):
        assert value in text
    assert str(published) not in path.read_text()


TITLES = ("Colon: here", "# \"hash'", "---", "| 日本語 🎉 |", "yes", "line\nbreak")


@pytest.mark.parametrize("title", TITLES)
def test_the_front_matter_holds_any_title(project: Path, title: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    retitle(project, title)
    assert publish(project, "-q") == (0, "", "")
    path = blob(project / "releases", titles(layout_manifest(project / "releases")[1])[CARD])
    assert hub.DatasetCard(path.read_text()).data.pretty_name == title


def test_a_lost_receipt_is_written_again(published: Path) -> None:
    path = published / "releases/receipts/v1.json"
    (published / "releases/receipts/v0.json").write_bytes(b"{")  # of another tag: it stops nothing
    before = path.read_bytes()
    path.unlink()
    result = publish(published)
    assert (result.status, path.read_bytes()) == (0, before)
    assert "nothing was written" not in result.out


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def of_manifest(layout: Path) -> Path:
    return blob(layout, layout_manifest(layout)[0])


def of_config(layout: Path) -> Path:
    config: dict[str, Any] = layout_manifest(layout)[1]["config"]
    return blob(layout, config["digest"])


def of_pairs(layout: Path) -> Path:
    return blob(layout, titles(layout_manifest(layout)[1])[released(PAIRS)])


DAMAGES = ((lose, of_pairs), (cut, of_pairs), (flip, of_config), (lose, of_manifest), (cut, of_manifest), (flip, of_manifest))


@pytest.mark.parametrize(("damage", "which"), DAMAGES)
def test_a_damaged_blob_is_found_and_repaired(
    published: Path, damage: Callable[[Path], None], which: Callable[[Path], Path]
) -> None:
    before = {path: seen[0] for path, seen in tree(published / "releases").items()}
    damage(which(published / "releases"))
    assert aqea("verify", "oci:releases:v1", cwd=published).status in (1, 3)
    planned = publish(published, "--dry-run", "--json").json()["puts"][0]
    assert (planned["state"], planned["new"]) == ("planned", 1)
    result = publish(published, "--json")
    assert (result.status, result.json()["puts"][0]["state"]) == (0, "repaired")
    assert {path: seen[0] for path, seen in tree(published / "releases").items()} == before
    assert aqea("verify", "oci:releases:v1", cwd=published).status == 0


def test_bytes_that_were_withdrawn_are_not_published_without_a_word(published: Path) -> None:
    assert aqea("mark", "--tag", "v1", "--withdrawn", "--reason", "scores swapped", cwd=published).status == 0
    for words in (["--dry-run"], []):
        result = aqea("publish", "--tag", "v2", *words, cwd=published)
        assert (result.status, result.err) == (
            0,
            "warning: oci:releases:v1 has the same bytes, and is withdrawn: scores swapped\n",
        )
    retitle(published, "Other")
    assert aqea("publish", "--tag", "v3", cwd=published).err == ""


def test_a_lost_layout_marker_is_written_again(published: Path) -> None:
    """Without `oci-layout` most programs do not take the folder for a layout."""
    before = {path: seen[0] for path, seen in tree(published / "releases").items()}
    (published / "releases/oci-layout").unlink()
    assert publish(published).status == 0
    assert {path: seen[0] for path, seen in tree(published / "releases").items()} == before


def test_verifying_a_release_needs_the_layout_alone(published: Path) -> None:
    shutil.move(published / "releases", published.parent / "alone")
    before = tree(published.parent / "alone")
    result = aqea("verify", "oci:alone:v1", cwd=published.parent)
    assert result.status == 0
    assert tree(published.parent / "alone") == before
    for reference in ("oci:alone:v2", "oci:nowhere:v1"):
        lost = aqea("verify", reference, cwd=published.parent)
        assert (lost.status, lost.out) == (3, "")
        assert "there is no such tag" in lost.err
    assert not (published.parent / "nowhere").exists()


def test_every_change_of_one_byte_in_a_layout_is_found(published: Path) -> None:
    blobs = sorted((published / "releases/blobs/sha256").iterdir())
    files = titles(layout_manifest(published / "releases")[1])
    assert len(blobs) == len(files) + 6, "the files, the config and the manifest; two statements and their manifests"

    def check() -> CheckedRelease:
        return verify_tagged(*open_tagged("oci:releases:v1", published), Silent(), deep=False)

    assert check().findings == ()
    assert unnoticed(blobs, sampling.times(200, 28), sampling.seed("layout"), lambda: not check().findings) == []
    assert check().findings == ()


# A tag that exists is never built again


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The project of 0.1.0, whose v1 was published by 0.1.0: later versions write another card and page."""
    make_project(tmp_path / "old")
    return tmp_path / "old"


@pytest.mark.parametrize("known", ["by the receipt beside the first store", "because the first store is asked"])
def test_a_second_store_gets_the_bytes_of_the_first_after_an_upgrade(old: Path, known: str) -> None:
    before = tree(old / "releases/blobs")
    to = ["--to", "oci:second", *(["--to", "oci:releases"] if "asked" in known else [])]
    if "asked" in known:
        (old / "releases/receipts/v1.json").unlink()
    done = publish(old, *to, "--json")
    assert done.status == 0, done.err
    assert "v1 exists already, of this run: its card and page stay as they are" in done.err
    assert done.json()["digest"] == f"sha256:{RELEASE}" == layout_manifest(old / "second")[0]
    assert aqea("verify", f"oci:second:v1@sha256:{RELEASE}", "--deep", cwd=old).status == 0
    assert publish(old, *to, "--json").json()["puts"][0]["state"] == "unchanged"
    assert tree(old / "releases/blobs") == before
    new = publish(old, "--to", "oci:second", "--json", tag="v2")
    assert new.status == 0 and new.json()["digest"] != done.json()["digest"], "under a new tag it is written anew"


def test_a_release_of_another_version_with_all_its_files_is_taken_as_it_is(old: Path) -> None:
    """Whatever a later version writes into params.yaml, card and page: files, pins and ledgers are what a release is of."""
    assert publish(old, "--to", "oci:first", tag="v2").status == 0
    first = Layout("oci:first", old / "first")
    tagged = find(first, "v2")
    files = {}
    for path, layer in first.release(tagged).files().items():
        with first.open(tagged, path, layer, 0) as content:
            files[path] = content.read()
    files |= {path: files[path] + b"\n" for path in (CARD, LIST, "project/params.yaml", "report.html")}
    other = build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())
    Layout("oci:other", old / "other").push("v3", other, files.__getitem__, "", ignore)
    done = publish(old, "--to", "oci:other", "--to", "oci:second", "--json", tag="v3")
    assert (done.status, done.json()["digest"]) == (0, other.digest()), done.err
    assert layout_manifest(old / "second", "v3")[0] == other.digest()
    append("manifests/claims/paper.yaml", b"# another ledger\n")(old)
    assert publish(old, "--to", "oci:other", tag="v3").status == 5


CHANGED: dict[str, Callable[[Path], None]] = {
    "the title": lambda project: retitle(project, "Another title"),
    "a claim": replace("manifests/claims/paper.yaml", b'value: "', b'value: "1'),
}


@pytest.mark.parametrize("what", [*CHANGED])
def test_another_run_is_another_release(old: Path, what: str) -> None:
    CHANGED[what](old)
    before = tree(old)
    result = publish(old, "--to", "oci:releases", "--json")
    assert (result.status, found(result)) == (5, {("tag-moved", "oci:releases:v1")}), result.err
    assert tree(old) == before


def test_what_is_printed_of_a_release_demands_its_digest(published: Path) -> None:
    """Receipts, the command's output and the notes: each gives the STORE-REF that holds for these bytes alone."""
    digest = layout_manifest(published / "releases")[0]
    demanded = f"oci:releases:v1@{digest}"
    receipt = json.loads((published / "releases/receipts/v1.json").read_text())
    assert receipt["stores"]["oci:releases"]["reference"] == demanded
    assert f"{demanded}: " in publish(published).out
    for reference in (demanded, f"oci:releases@{digest}"):
        for words in (("verify", reference), ("pull", reference, "--to", "out"), ("compare", reference, "oci:releases:v1")):
            assert aqea(*words, cwd=published).status == 0, words
    pulled = aqea("pull", f"oci:releases@{digest}", "--json", cwd=published)
    assert (pulled.status, pulled.json()["reference"]) == (0, demanded)
    for reference in (f"oci:releases:v1@sha256:{'0' * 64}", f"oci:releases@sha256:{'0' * 64}"):
        for words in (("verify", reference), ("pull", reference, "--to", "none")):
            asked = aqea(*words, cwd=published)
            assert asked.status == (1 if ":v1@" in reference else 3), asked
    assert not (published / "none").exists()


def test_a_manifest_that_no_store_takes_is_refused_before_any_is_asked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "LARGEST_MANIFEST", 1000)
    with pytest.raises(BadConfiguration, match=r"the manifest of \d+ files has \d+ bytes, and stores and readers take 1000"):
        publishing.publish(open_project(project), "v1", ["oci:releases"], Silent(), kept_lists)
    assert not (project / "releases").exists()
