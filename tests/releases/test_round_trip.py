"""Releases from a checkout into four kinds of stores and back, as a user sees them: one digest everywhere, and no tag moves."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from aqea_registry.stores.registry_store import Registry
from tests import sampling
from tests.helpers import found, layout_manifest, titles
from tests.pair_sets import parse
from tests.servers.github import GitHubServer, UploadFault, description
from tests.servers.hub import Fault, HubServer
from tests.servers.proxy import Proxy
from tests.servers.registry import DockerRegistry, needed
from tests.tools import BIN, ROOT, Result, aqea, edit_params, environment, run

pytest.importorskip("huggingface_hub")
pytest.importorskip("requests")
pytest.importorskip("github")

ORG = "org/pairs"
RECEIPT = "manifests/releases/v1.json"
PAIRS = "data/small_minilm_384d_pairs.json"


class World(NamedTuple):
    """Four stores, empty at the start of each test."""

    hub: HubServer
    github: GitHubServer
    registry: Proxy
    home: Path

    @property
    def specs(self) -> list[str]:
        registry = self.registry.endpoint.removeprefix("http://")
        return ["oci:releases", f"oci://{registry}/pairs", f"hf://datasets/{ORG}", f"github://{ORG}"]

    def references(self, tag: str = "v1") -> list[str]:
        return [f"{spec}{':' if spec.startswith('oci:') else '@'}{tag}" for spec in self.specs]

    def env(self, **changes: str) -> dict[str, str]:
        settings = {**self.hub.environment(self.home, "hf_write"), **self.github.environment("ghp_write")}
        return {**settings, "HF_DATASETS_OFFLINE": "0", **changes}

    def forget(self) -> None:
        """Start to count anew, and kill nobody."""
        self.hub.forget()
        self.hub.faults.clear()
        self.github.forget()
        self.github.kill_after(0, sys.maxsize)
        self.registry.forget()

    def kill_by_hub(self, process: int, requests: int) -> None:
        self.hub.faults.add(Fault(method=".*", skip=requests - 1, kill=process))

    def uploaded(self) -> tuple[int, int, int]:
        return self.hub.uploaded(), self.github.uploaded(), self.registry.received("PUT|PATCH", "/blobs/")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    needed("docker-registry")
    # Nobody else writes here: there is nothing to wait for.
    monkeypatch.setattr(Registry.__init__, "__kwdefaults__", {"settle": 0.1})
    hub = HubServer(tmp_path / "hub")
    hub.store.token("hf_write", user="alice", orgs=["org"])
    hub.store.token("hf_read", user="bob", role="read", orgs=["org"])
    github = GitHubServer(tmp_path / "github", description(ROOT / ".aqea/test-cache"))
    github.store.create(ORG)
    github.store.token("ghp_write", push=[ORG])
    github.store.token("ghp_read", pull=[ORG])
    with DockerRegistry(tmp_path / "registry") as docker, Proxy(docker.endpoint) as proxy, hub, github:
        yield World(hub, github, proxy, tmp_path / "home")


def words_to(specs: list[str]) -> list[str]:
    return [word for spec in specs for word in ("--to", spec)]


def publish(project: Path, world: World, *words: str, tag: str = "v1", env: Mapping[str, str] | None = None) -> Result:
    return aqea("publish", "--tag", tag, *words_to(world.specs), *words, cwd=project, env=env or world.env())


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def cached(world: World, folder: Path) -> Path:
    """Where the Hub's client keeps the release in its cache, as links."""
    words = (BIN / "hf", "download", ORG, "--repo-type", "dataset", "--revision", "v1")
    assert run(*words, cwd=folder, env=world.env(HF_HOME=str(folder / "hf"), HF_HUB_CACHE=str(folder / "hf/hub"))).status == 0
    (snapshot,) = (folder / "hf").rglob("snapshots/*")
    assert (snapshot / "README.md").is_symlink()
    return snapshot


def typed(folder: Path, section: str, world: World, *, lines: int | None = None) -> Result:
    """What a section of the card says to type, typed in the folder where the card lies."""
    card = (folder / "README.md").read_text()
    (block,) = re.findall(rf"^## {section}$.*?^```sh\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    script = "\n".join(block.splitlines()[:lines])
    done = run("sh", "-e", "-c", script, cwd=folder, env=world.env(PATH=f"{BIN}:{os.environ['PATH']}", HOME=str(world.home)))
    assert done.status == 0, done
    return done


def retitle(project: Path, title: str) -> None:
    edit_params(project, lambda params: params["publish"].update(title=title))


@pytest.fixture
def published(project: Path, world: World) -> Path:
    result = publish(project, world)
    assert (result.status, result.err) == (0, ""), result
    return project


def test_one_release_has_four_faces(published: Path, world: World, tmp_path: Path) -> None:
    receipt = json.loads((published / RECEIPT).read_text())
    assert sorted(receipt["stores"]) == sorted(world.specs[1:]), "the layout's own receipt lies with it"
    assert json.loads((published / "releases/receipts/v1.json").read_text())["digest"] == receipt["digest"]
    restored = []
    for at, reference in enumerate(world.references()):
        checked = aqea("verify", reference, "--json", cwd=published, env=world.env(GITHUB_TOKEN="", HF_TOKEN=""))
        notes = [f"v1 is {receipt['digest']}", f"{reference} has 2 statements beside it"]
        assert (checked.status, checked.json()["notes"]) == (0, notes), checked
        assert aqea("verify", reference, "--deep", cwd=published, env=world.env()).status == 0
        pulled = aqea("pull", reference, "--to", tmp_path / f"out{at}", cwd=published, env=world.env())
        assert pulled.status == 0, pulled.err
        restored.append(files(tmp_path / f"out{at}"))
    full = aqea("verify", world.references()[2], "--full", "--json", cwd=tmp_path, env=world.env())
    assert {code for code, _ in found(full)} <= {"claim-contradicted"} and len(full.json()["statements"]) == 2, full
    assert all(one == restored[0] for one in restored)
    assert {f"sha256:{hashlib.sha256(content).hexdigest()}" for content in restored[0].values()} == {
        file["digest"] for file in receipt["files"]
    }
    assert run("sha256sum", "-c", "--quiet", "MANIFEST.sha256", cwd=tmp_path / "out0").status == 0
    assert aqea("verify", tmp_path / "out3", cwd=Path("/")).status == 0
    remote = aqea("verify", "--remote", "--json", cwd=published, env=world.env())
    assert (remote.status, len(remote.json()["held"])) == (0, 4), remote
    for words in (("verify", "--remote"), ("publish", "--tag", "v1", "--dry-run")):
        assert "ghp_write" not in "".join(aqea(*words, cwd=published, env=world.env())[1:])


def test_a_repeated_publication_sends_nothing_and_a_check_fetches_no_large_file(published: Path, world: World) -> None:
    before = (published / RECEIPT).read_bytes()
    world.forget()
    result = publish(published, world, "--json")
    assert [put["state"] for put in result.json()["puts"]] == ["unchanged"] * 4
    assert world.uploaded() == (0, 0, 0)
    assert (published / RECEIPT).read_bytes() == before
    world.forget()
    ways = set()
    for reference in world.references()[1:]:
        checked = aqea("verify", reference, "--json", cwd=published, env=world.env())
        ways |= {(reference[:3], one["how"]) for one in checked.json()["held"][reference] if one["path"] == PAIRS}
    assert ways == {("oci", "descriptor"), ("hf:", "lfs sha256"), ("git", "asset digest")}
    assert world.github.downloaded("data--.*") == 0
    assert world.registry.sent("GET", "/blobs/") < 10_000, "the statement alone"
    assert world.hub.downloaded(PAIRS) == 0
    (published / RECEIPT).unlink()
    again = publish(published, world)
    assert (again.status, world.uploaded()) == (0, (0, 0, 0))
    assert (published / RECEIPT).read_bytes() == before, "a lost receipt is written again as it was"


def test_what_other_clients_download_verifies_as_card_and_notes_say(published: Path, world: World, tmp_path: Path) -> None:
    marked = aqea(
        "mark", "--tag", "v1", "--withdrawn", "--reason", "x", *words_to(world.specs[2:]), cwd=published, env=world.env()
    )
    assert marked.status == 0, marked
    for revision in ("v1", "main"):
        got = tmp_path / revision
        words = (BIN / "hf", "download", ORG, "--repo-type", "dataset", "--revision", revision, "--local-dir", got)
        assert run(*words, cwd=tmp_path, env=world.env()).status == 0
        done = typed(got, "Verify", world)
        assert ("withdrawn" in done.out) is (revision == "main")
    snapshot = cached(world, tmp_path)
    typed(snapshot, "Verify", world)
    typed(snapshot, "Make it again", world, lines=1)
    home = tmp_path / "home/again"
    assert (home / "params.yaml").is_file() and aqea("verify", cwd=home).status == 0
    shutil.rmtree(home)
    (release,) = world.github.store.releases(ORG)
    (tmp_path / "assets").mkdir()
    for asset in release.assets:
        (tmp_path / "assets" / asset.name).write_bytes(world.github.store.content(asset))
    for command in re.findall(r"`(sha256sum [^`]+)`", release.body):
        assert run("sh", "-c", command, cwd=tmp_path / "assets").status == 0, command
    typed(tmp_path / "assets", "Verify", world)
    typed(tmp_path / "assets", "Make it again", world, lines=1)
    assert aqea("verify", cwd=home).status == 0
    checked = aqea("verify", ".", "--json", cwd=tmp_path / "assets")
    assert (checked.status, found(checked)) == (0, set()), checked
    assert any("withdrawn" in note for note in checked.json()["notes"])
    assert {asset.content_type for asset in release.assets if asset.name == "report.html"} == {"text/html"}
    stated = [world.github.store.content(asset) for asset in release.assets if asset.name.endswith(".intoto.jsonl")]
    assert stated and all(json.loads(line) for content in stated for line in content.splitlines())


def test_the_data_loads_by_tag_and_is_the_pair_files(published: Path, world: World, tmp_path: Path) -> None:
    script = """
import datasets, hashlib, json, numpy, sys
datasets.disable_progress_bars()
for config in datasets.get_dataset_config_names(sys.argv[1], revision="v1"):
    rows = datasets.load_dataset(sys.argv[1], config, revision="v1")["test"]
    first, second = (numpy.asarray(rows[name][:], "<i4") for name in ("embedding1", "embedding2"))
    text = b"aqea-pair-set/1\\n" + numpy.array(first.shape, "<u8").tobytes()
    text += first.tobytes() + second.tobytes() + numpy.asarray(rows["score"][:], "<f8").tobytes()
    print(json.dumps([config, str(rows.features["embedding1"].feature.dtype), hashlib.sha256(text).hexdigest()]))
"""
    done = run(BIN / "python", "-c", script, ORG, cwd=tmp_path, env=world.env())
    assert done.status == 0, done.err
    wanted = parse((published / "training" / PAIRS).read_bytes()).content_digest()
    assert [json.loads(line) for line in done.out.splitlines()] == [["small-minilm", "int32", wanted]]
    snapshot = cached(world, tmp_path)
    assert "small-minilm/embedding1" in "".join(typed(snapshot, "Load", world)[1:])
    (code,) = re.findall(r"^```python\n(.*?)^```", (snapshot / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    loaded = run(BIN / "python", "-c", f"{code}print(len(rows), first.shape)", cwd=snapshot, env=world.env())
    assert loaded.status == 0 and "(384,)" in loaded.out, loaded


def test_skopeo_copies_what_is_verified(published: Path, world: World) -> None:
    needed("skopeo")
    target = world.specs[1].replace("pairs", "copy").removeprefix("oci:")
    words = ("--insecure-policy", "copy", "--dest-tls-verify=false", "oci:releases:v1", f"docker:{target}:v1")
    assert run("skopeo", *words, cwd=published).status == 0
    checked = aqea("verify", f"oci:{target}:v1", "--deep", "--json", cwd=published, env=world.env())
    digest = json.loads((published / RECEIPT).read_text())["digest"]
    assert (checked.status, checked.json()["notes"]) == (0, [f"v1 is {digest}"])


def test_the_next_version_sends_what_changed_and_says_what_it_was(published: Path, world: World) -> None:
    retitle(published, "Another title")
    world.forget()
    planned = publish(published, world, "--dry-run", "--json", tag="v2").json()
    assert world.uploaded() == (0, 0, 0)
    page = 30_000 + (published / "releases/blobs/sha256" / page_of(published)).stat().st_size
    assert all(put["reused"] >= 5 and 0 < put["bytes"] < page for put in planned["puts"][:3]), planned
    done = publish(published, world, "--json", tag="v2")
    assert (done.status, done.json()["digest"]) == (0, planned["digest"]), done
    assert world.uploaded()[0] < 2 * page and world.uploaded()[2] < page
    (notes,) = [one.body for one in world.github.store.releases(ORG) if one.tag == "v2"]
    assert "Changes since v1" in notes and "| file | README.md | changed |" in notes
    first, second = (world.references(tag) for tag in ("v1", "v2"))
    for before, after in zip(first, second, strict=True):
        compared = aqea("compare", before, after, "--json", cwd=published, env=world.env())
        assert (compared.status, compared.json()["verdict"]) == (1, "DIVERGED")
        changed = {(one["what"], one["name"]) for one in compared.json()["changes"]}
        assert changed == {
            ("file", name) for name in ("README.md", "MANIFEST.sha256", "croissant.json", "report.html", "project/params.yaml")
        }
    same = aqea("compare", first[0], first[2], cwd=published, env=world.env())
    assert (same.status, same.out) == (0, "nothing differs\nIDENTICAL\n")
    assert aqea("verify", "--remote", cwd=published, env=world.env()).status == 0


def test_a_release_is_marked_and_stays(published: Path, world: World, tmp_path: Path) -> None:
    to = [word for spec in world.specs for word in ("--to", spec)]
    words = ("mark", "--tag", "v1", *to, "--withdrawn", "--reason", "the scores were swapped")
    assert aqea(*words, cwd=published, env=world.env()).status == 0
    assert "already" in aqea(*words, cwd=published, env=world.env()).out
    for reference in world.references():
        checked = aqea("verify", reference, cwd=published, env=world.env())
        assert checked.status == 0 and f"{reference} is withdrawn: the scores were swapped" in checked.out
    pulled = aqea("pull", world.references()[2], "--to", tmp_path / "out", cwd=published, env=world.env())
    assert pulled.status == 0 and "this release is withdrawn: the scores were swapped" in pulled.out
    assert aqea("verify", "--remote", cwd=published, env=world.env()).status == 0, "no tag has moved"
    assert publish(published, world).status == 0
    assert "swapped" in world.github.store.published(ORG, "v1").body
    missing = aqea("mark", "--tag", "v1", "--superseded-by", "v9", "--reason", "x", cwd=published, env=world.env())
    assert missing.status == 3 and "no such tag" in missing.err


def test_other_content_under_the_tag_is_refused_everywhere(published: Path, world: World, tmp_path: Path) -> None:
    retitle(published, "Another title")
    world.forget()
    for words in ((), ("--dry-run",)):
        result = publish(published, world, "--json", *words)
        assert (result.status, {code for code, _ in found(result)}) == (5, {"tag-moved"})
    assert world.uploaded() == (0, 0, 0)
    fresh = aqea("publish", "--tag", "v1", "--to", world.specs[1].replace("pairs", "new"), cwd=published, env=world.env())
    assert fresh.status == 5 and RECEIPT in fresh.err, "the receipt says what the tag means, in every store"


def test_the_stores_are_held_to_the_receipts(published: Path, world: World) -> None:
    def remote() -> set[tuple[str, str]]:
        result = aqea("verify", "--remote", "--json", cwd=published, env=world.env())
        assert result.status == 1, result
        return {
            (code, subject.replace(world.registry.endpoint.removeprefix("http://"), "HOST")) for code, subject in found(result)
        }

    hub, github = world.hub.store, world.github.store
    commit = hub.resolve("datasets", ORG, "v1")
    content = {"data/other.json": b"{}"}
    hub.move_tag("datasets", ORG, "v1", hub.commit("datasets", ORG, content))
    assert remote() == {("tag-moved", f"hf://datasets/{ORG}@v1")}, "the same files, under another commit"
    hub.delete_tag("datasets", ORG, "v1")
    assert remote() == {("release-gone", f"hf://datasets/{ORG}@v1")}
    hub.tag("datasets", ORG, "v1", commit)
    asset = next(one for one in github.published(ORG, "v1").assets if one.name.endswith("_pairs.json"))
    github.tamper(asset, b"other bytes", announce=True)
    assert remote() == {("mismatch", f"github://{ORG}@v1: {PAIRS}")}
    registry = Path(world.home.parent / "registry/data")
    digest = hashlib.sha256((published / "training" / PAIRS).read_bytes()).hexdigest()
    for path in registry.rglob(f"*/_layers/sha256/{digest}"):
        shutil.rmtree(path)
    assert remote() == {("mismatch", f"github://{ORG}@v1: {PAIRS}"), ("missing", f"oci://HOST/pairs:v1: {PAIRS}")}


def test_a_store_that_cannot_be_asked_is_said_and_does_not_stop_the_others(project: Path, world: World) -> None:
    world.hub.offline()
    result = publish(project, world, "--json", env=world.env())
    assert result.status == 3, result
    assert [put["state"] for put in result.json()["puts"]] == ["published", "published", "failed", "published"]
    assert sorted(json.loads((project / RECEIPT).read_text())["stores"]) == sorted([world.specs[1], world.specs[3]])
    world.hub.online()
    world.forget()
    result = publish(project, world, "--json")
    assert result.status == 0, result
    assert [put["state"] for put in result.json()["puts"]] == ["unchanged", "unchanged", "published", "unchanged"]
    assert world.uploaded()[1:] == (0, 0)
    world.hub.offline()
    silent = aqea("verify", "--remote", cwd=project, env=world.env())
    assert silent.status == 3 and f"hf://datasets/{ORG}" in silent.err


TOKENS = {
    "none for the Hub": ({"HF_TOKEN": ""}, "HF_TOKEN"),
    "one for the Hub that only reads": ({"HF_TOKEN": "hf_read"}, "HF_TOKEN"),
    "a wrong one for the Hub": ({"HF_TOKEN": "hf_wrong"}, "HF_TOKEN"),
    "none for GitHub": ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN"),
    "one for GitHub that only reads": ({"GITHUB_TOKEN": "ghp_read"}, "GITHUB_TOKEN"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_what_a_token_may_not_do_is_found_before_a_byte_is_sent(project: Path, world: World, name: str) -> None:
    changes, told = TOKENS[name]
    for words in (("--dry-run",), ()):
        result = publish(project, world, *words, env=world.env(**changes))
        assert result.status == 4 and told in result.err, result
        assert not any(value and value in result.out + result.err for value in changes.values())
    assert world.uploaded() == (0, 0, 0)
    assert not (project / "releases").exists() and not (project / RECEIPT).exists()


@pytest.mark.parametrize("name", ["hf://datasets/strangers/pairs", "github://org/nothing"])
def test_an_unknown_place_is_found_before_a_byte_is_sent(project: Path, world: World, name: str) -> None:
    result = aqea("publish", "--tag", "v1", "--to", "oci:releases", "--to", name, cwd=project, env=world.env())
    assert result.status == 4 and name.partition("://")[2].partition("datasets/")[2] in result.err, result
    assert not (project / "releases").exists()


def test_bytes_that_are_not_given_back_get_no_receipt(project: Path, world: World) -> None:
    world.github.faults.add(UploadFault(path="_pairs", spoil=True))
    result = publish(project, world, "--json")
    assert (result.status, [put["state"] for put in result.json()["puts"]][3]) == (1, "failed"), result
    assert f"github://{ORG}" not in json.loads((project / RECEIPT).read_text())["stores"]
    assert all(release.draft for release in world.github.store.releases(ORG))
    assert publish(project, world).status == 0
    assert f"github://{ORG}" in json.loads((project / RECEIPT).read_text())["stores"]


def page_of(project: Path) -> str:
    """The digest of the page in the release, in hex."""
    return titles(layout_manifest(project / "releases")[1])["report.html"].removeprefix("sha256:")


def state(project: Path, world: World) -> dict[str, object]:
    """Everything that a publication leaves behind, but for what a second try may number anew."""
    hub, github = world.hub.store, world.github.store
    commit = hub.resolve("datasets", ORG, "v1")
    (release,) = github.releases(ORG)
    receipt = json.loads((project / RECEIPT).read_text())
    return {
        "commits": len([*hub.history("datasets", ORG, commit)]),
        "tag": commit in dict(hub.history("datasets", ORG, hub.resolve("datasets", ORG, "main"))),
        "release": (release.tag, release.draft, sorted(asset.name for asset in release.assets)),
        "digest": receipt["digest"],
        "stores": sorted(receipt["stores"]),
        "files": receipt["files"],
    }


def test_a_publication_killed_anywhere_is_repeated(project: Path, world: World) -> None:
    """Killed after each third (or twelfth) request to each server, one after the other, on the way to the same release.

    The tests of each store kill after every request.
    """
    words = [str(BIN / "aqea-registry"), "publish", "--tag", "v1", *(word for spec in world.specs for word in ("--to", spec))]
    step = sampling.times(3, 12)
    first = 1 + random.Random(sampling.seed("stores")).randrange(step)
    killed = 0
    for kill in (world.kill_by_hub, world.github.kill_after, world.registry.kill):
        for at in range(first, 200, step):
            world.forget()
            process = subprocess.Popen(
                words, cwd=project, env=environment(world.env()), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            kill(process.pid, at)
            if process.wait() != -signal.SIGKILL:
                break
            killed += 1
    assert killed >= 3
    world.forget()
    assert publish(project, world).status == 0
    left = state(project, world)
    assert left["commits"] in (1, 2) and left["tag"] is True
    assert [path.name for path in (project / "manifests/releases").iterdir()] == ["v1.json"]
    for reference in world.references():
        assert aqea("verify", reference, "--deep", cwd=project, env=world.env()).status == 0


def test_a_store_that_does_not_give_back_what_it_took_gets_no_receipt(project: Path, world: World) -> None:
    """The registry takes every blob, and has not one of them when it is asked."""
    digest = hashlib.sha256((project / "training" / PAIRS).read_bytes()).hexdigest()
    world.registry.faults.add(Fault(method="HEAD", path=f"/blobs/sha256:{digest}", status=404, times=None))
    result = aqea("publish", "--tag", "v1", "--to", world.specs[1], "--json", cwd=project, env=world.env())
    assert result.status == 1, result
    assert [put["state"] for put in result.json()["puts"]] == ["failed"]
    assert [code for code, _ in found(result)] == ["missing"]
    assert not (project / RECEIPT).exists()
