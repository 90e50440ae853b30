"""A project out of a release, in another place and from nothing else; and releases that would act beyond it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from aqea_registry.api import load_pairs
from aqea_registry.base.files import ignore
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Silent
from aqea_registry.cli.beginning import set_up
from aqea_registry.releases.confirm import _scratch
from aqea_registry.releases.layout import parse_project
from aqea_registry.releases.pull import from_nothing, restore
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.open_store import find, open_tagged
from aqea_registry.stores.release import build
from tests.golden.cases import RELEASE, make_project
from tests.helpers import tree
from tests.tools import aqea, dvc, in_process, repro

SOURCES = ("--source", "weather=data/weather", "--source", "travel=data/travel/test.jsonl")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of 0.1.0 with a release v2 of this version. Not to be changed."""
    folder = tmp_path_factory.mktemp("restore") / "published"
    make_project(folder)
    done = aqea("publish", "--tag", "v2", cwd=folder)
    assert done.status == 0, done.err
    return folder


@pytest.mark.weights
def test_a_stranger_makes_a_release_again_from_itself(published: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    pulled = aqea("pull", "oci:releases:v2", "--project", again, "--json", cwd=published)
    assert (pulled.status, len(pulled.json()["notes"])) == (0, 2), pulled
    assert "made a git repository" in pulled.json()["notes"][0] and "set up DVC" in pulled.json()["notes"][1]
    wanted = [(file["name"], file["path"]) for file in pulled.json()["wanted"]]
    assert wanted == [(name, str(again / f"data/{name}/test.jsonl")) for name in ("weather", "travel")]
    assert all(line in aqea("pull", "oci:releases:v2", "--project", again, cwd=published).out for _, line in wanted)
    for path in ("manifests/MANIFEST.sha256", "manifests/MANIFEST.sizes", "plots/travel-minilm.csv", "CITATION.cff"):
        assert (again / path).read_bytes() == (published / path).read_bytes(), path
    assert "no findings" in aqea("verify", cwd=again).out
    assert "up to date" in dvc("repro", cwd=again).out
    assert {"/data/weather/", "/data/travel/"} <= {*(again / ".gitignore").read_text().split()}, "nobody commits sentences"

    short = aqea("confirm", "oci:releases:v2", "--from-nothing", tmp_path / "nothing", "--json", cwd=published)
    assert (short.status, len(short.json()["findings"])) == (3, 2) and "--source weather=PATH" in short.err
    shutil.copytree(published / "data", tmp_path / "data")
    shutil.copytree(published / "releases", tmp_path / "releases")
    done = aqea("confirm", "oci:releases:v2", "--from-nothing", "nothing", *SOURCES, "--json", cwd=tmp_path)
    assert (done.status, set(done.json()["verdicts"].values())) == (0, {"IDENTICAL"}), done.err
    assert (tmp_path / "nothing" / done.json()["path"]).is_file()
    assert "no findings" in aqea("verify", cwd=tmp_path / "nothing").out
    assert "made again on" not in aqea("verify", "oci:releases:v2", cwd=tmp_path).out, "it was not added"


def test_a_project_that_two_restore_at_once_is_set_up_once(published: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    restore(*open_tagged("oci:releases:v2", published), again, {}, Silent())
    with ThreadPoolExecutor(2) as pool:
        notes = [*pool.map(set_up, [again, again])]
    assert sorted(map(len, notes)) == [0, 2], notes


def test_releases_lists_stores_and_shows_one(published: Path, tmp_path: Path) -> None:
    shutil.copytree(published / "releases", tmp_path / "releases")
    marked = aqea("mark", "--tag", "v1", "--to", "oci:releases", "--superseded-by", "v2", "--reason", "older", cwd=tmp_path)
    assert marked.status == 0
    digests = {tag: find(Layout("oci:releases", published / "releases"), tag).digest for tag in ("v1", "v2")}
    listed = aqea("releases", "oci:releases", cwd=tmp_path).out.splitlines()
    assert [line.split(": ")[0] for line in listed] == [f"oci:releases:{tag}@{digests[tag]}" for tag in ("v2", "v1")]
    assert listed[1].endswith("14 files, 373.0 kB; superseded by v2: older") and "superseded" not in listed[0]
    for name in ("v2", "oci:releases:v2"):
        shown = aqea("releases", name, "--json", cwd=published).json()
        assert (shown["digest"], shown["receipts"]) == (digests["v2"], ["releases/receipts/v2.json"])
        assert len(shown["files"]) == 19 and sum(file["size"] for file in shown["files"]) == shown["bytes"]
    assert any("how it was made" in statement["says"] for statement in shown["statements"])
    text = aqea("releases", "oci:releases:v1", cwd=tmp_path).out
    assert "marked: superseded by v2: older" in text and "  pins.json" in text
    assert [release["files"] for release in aqea("releases", "--json", cwd=published).json()["releases"]] == [19, 14]
    assert aqea("releases", "oci:releases:v3", cwd=tmp_path).status == 3
    assert aqea("releases", "nonsense:v1", cwd=tmp_path).status == 2
    assert "oci:nowhere: there is no such folder" in aqea("releases", "oci:nowhere", cwd=tmp_path).err


@pytest.mark.weights
@pytest.mark.rare
def test_dvc_makes_all_of_it_again(published: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert aqea("pull", "oci:releases:v2", "--project", again, *SOURCES, cwd=published).status == 0
    (again / "dvc.lock").unlink()
    for folder in ("training/data", "views", ".dvc/cache"):
        shutil.rmtree(again / folder)
    repro(again)
    assert aqea("verify", cwd=again).status == 0
    manifest = "manifests/MANIFEST.sha256"
    assert (again / manifest).read_bytes() == (published / manifest).read_bytes()


def test_a_folder_of_assets_is_a_release_too(published: Path, tmp_path: Path) -> None:
    """As somebody's browser saves them: every name with `--`."""
    assert aqea("pull", "oci:releases:v2", "--to", tmp_path / "out", cwd=published).status == 0
    (tmp_path / "flat").mkdir()
    for path in filter(Path.is_file, (tmp_path / "out").rglob("*")):
        shutil.copy(path, tmp_path / "flat" / path.relative_to(tmp_path / "out").as_posix().replace("/", "--"))
    assert aqea("compare", "flat", "out", cwd=tmp_path).status == 0
    listed = aqea("verify", "flat/MANIFEST.sha256", cwd=tmp_path)
    assert listed.status == 1 and "data--travel_minilm_384d_pairs.json is here, as GitHub names such a file" in listed.out
    digest = find(Layout("oci:releases", published / "releases"), "v2").digest
    for folder in ("out", "flat"):
        back = aqea("pull", ".", "--to", f"../{folder}-again", "--json", cwd=tmp_path / folder)
        assert (back.status, back.json()["digest"]) == (0, digest), back.err
        assert {path: seen[0] for path, seen in tree(tmp_path / f"{folder}-again").items()} == {
            path: seen[0] for path, seen in tree(tmp_path / "out").items()
        }
    (tmp_path / "flat/pins.json").write_text("{}")
    assert aqea("pull", ".", "--to", "../third", cwd=tmp_path / "flat").status == 1
    assert aqea("pull", ".", cwd=tmp_path / "flat").status == 2
    assert aqea("pull", ".", "--to", "x", cwd=tmp_path).status == 3


def test_a_release_of_an_earlier_version_is_refused_and_says_why(published: Path, tmp_path: Path) -> None:
    refused = aqea("pull", "oci:releases:v1", "--project", tmp_path / "old", cwd=published)
    assert refused.status == 1 and "earlier versions" in refused.err and "clone" in refused.err
    with pytest.raises(Refused, match="earlier versions"):
        from_nothing(*open_tagged("oci:releases:v1", published), tmp_path / "old", {}, Silent())
    assert not (tmp_path / "old").exists()


@pytest.mark.parametrize("name", [".gitignore", ".dvcignore"])
def test_a_list_of_ignored_files_that_is_not_text_is_named_and_stays(published: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe")
    refused = in_process("pull", "oci:releases:v2", "--project", tmp_path, cwd=published)
    assert refused.status == 3 and name in refused.err and "UTF-8" in refused.err, refused
    assert (tmp_path / name).read_bytes() == b"\xff\xfe"


def test_pairs_of_a_release_with_several_pair_sets_are_asked_for_by_name(published: Path) -> None:
    with pytest.raises(BadConfiguration, match="2 pair sets") as refused:
        load_pairs(f"oci:{published / 'releases'}:v2")
    assert "data/travel_minilm_384d_pairs.json" in str(refused.value.hint)


def test_a_secret_in_a_source_of_a_release_is_not_repeated() -> None:
    catalogue = b"sources: ['https://user:pass-of-somebody@example.org']\ndatasets: {}\nmodels: {}\nrun: {}\n"
    with pytest.raises(Refused) as refused:
        parse_project(catalogue, b"{}")
    assert "pass-of-somebody" not in refused.value.message


def stages(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, bytes]], None]:
    def edit(files: dict[str, bytes]) -> None:
        value = yaml.safe_load(files["project/dvc.yaml"])
        change(value["stages"]["generate"]["do"])
        files["project/dvc.yaml"] = yaml.safe_dump(value).encode()

    return edit


def params(old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def edit(files: dict[str, bytes]) -> None:
        assert old in files["project/params.yaml"]
        files["project/params.yaml"] = files["project/params.yaml"].replace(old, new, 1)

    return edit


HOSTILE: dict[str, Callable[[dict[str, bytes]], None]] = {
    "another program": stages(lambda stage: stage.update(cmd="rm -rf data")),
    "another command of ours": stages(lambda stage: stage.update(cmd="aqea-registry package --to home")),
    "a folder of the disk": stages(lambda stage: stage.update(cmd="aqea-registry manifest -C /home")),
    "a second command": stages(lambda stage: stage.update(cmd="aqea-registry manifest; rm -rf data")),
    "a command out of a title": stages(lambda stage: stage.update(cmd="aqea-registry generate ${publish.title}")),
    "commands in a list": stages(lambda stage: stage.update(cmd=["aqea-registry manifest", "rm -rf data"])),
    "an output outside": stages(lambda stage: stage["outs"].append("../../outside")),
    "an absolute output": stages(lambda stage: stage["outs"].append("/outside")),
    "a folder outside": stages(lambda stage: stage.update(wdir="..")),
    "a source outside": params(b"directory:data/weather", b"directory:../weather"),
    "a source in a home": params(b"directory:data/weather", b"directory:~/weather"),
    "no catalogue": params(b"datasets:", b"data:"),
}


def changed(published: Path, folder: Path, change: Callable[[dict[str, bytes]], None]) -> Layout:
    """A store with the release v1: that of the project, with other files."""
    good = Layout("oci:releases", published / "releases")
    tagged, files = find(good, "v2"), {}
    for path, layer in good.release(tagged).files().items():
        with good.open(tagged, path, layer, 0) as content:
            files[path] = content.read()
    change(files)
    release = build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())
    store = Layout("oci:bad", folder / "bad")
    store.push("v1", release, files.__getitem__, "", ignore)
    return store


@pytest.mark.parametrize("name", HOSTILE)
def test_a_release_that_would_act_beyond_its_project_writes_nothing(published: Path, tmp_path: Path, name: str) -> None:
    changed(published, tmp_path, HOSTILE[name])
    before = tree(tmp_path)
    refused = aqea("pull", "oci:bad:v1", "--project", "again", cwd=tmp_path)
    assert refused.status in (1, 2) and "project/" in refused.err, refused
    assert tree(tmp_path) == before


def test_nobody_s_code_is_run_before_a_person_looked(published: Path, tmp_path: Path) -> None:
    store = changed(published, tmp_path, params(b"    dimension: 384", b"    trust_remote_code: true\n    dimension: 384"))
    data = {name: published / "data" / name for name in ("weather", "travel")}
    with pytest.raises(Refused, match="would run code") as refused:
        from_nothing(store, find(store, "v1"), tmp_path / "again", data, Silent())
    assert refused.value.findings[0].code == "unsafe-model" and "if you trust it" in (refused.value.hint or "")


def test_sources_are_those_of_the_release(published: Path, tmp_path: Path) -> None:
    wrong = {"weather": 2, "weather=": 2, "minilm=data": 2, "nothing=data": 2, "weather=nowhere": 2, "weather=data/travel": 1}
    for source, status in wrong.items():
        words = ("pull", "oci:releases:v2", "--project", tmp_path / "again", "--source", source)
        refused = aqea(*words, cwd=published)
        assert refused.status == status and source.partition("=")[0] in refused.err, refused
    assert aqea("pull", "oci:releases:v2", "--source", "weather=data", cwd=published).status == 2


def test_what_a_machine_has_is_not_in_a_release(published: Path, tmp_path: Path) -> None:
    """Sources with a path of this machine or with a login are left out: two checkouts, one digest."""
    digests = set()
    for number, place in enumerate(("directory:/some/where", "directory:~/mine", "s3://me:secret@mirror/x", "file:///mine")):
        project = tmp_path / str(number)
        make_project(project)
        (project / "manifests/claims/paper.yaml").unlink()  # it quotes params.yaml, whose bytes it rests on
        text = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(text.replace("sources: [cache, hub]", f"sources: [{place!r}, cache, hub]"))
        done = aqea("publish", "--tag", "v3", "--dry-run", "--json", cwd=project)
        assert done.status == 0, done.err
        digests.add(done.json()["digest"])
        shutil.rmtree(project)
    assert len(digests) == 1 and RELEASE not in digests


def test_a_confirmation_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), _scratch("this") as (first, began):
        (first / "made").write_text(began)
        raise KeyboardInterrupt
    with _scratch("other") as (other, _):
        assert other != first and first.is_dir()
    with _scratch("this") as (second, again):
        assert (second, again, (second / "made").read_text()) == (first, began, began)
        with pytest.raises(CannotCheck, match="at work"), _scratch("this"):
            pass
    assert list((tmp_path / "aqea-registry" / "confirm").iterdir()) == []
