"""What every store does, asked of all of them: in memory, a folder, a registry, the Hub, GitHub. See the port's docstrings."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from aqea_registry.base.files import ignore
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, TagConflict
from aqea_registry.stores import receipts
from aqea_registry.stores.attachments import Status, current
from aqea_registry.stores.open_store import find, read_text
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import Release, build, compare_with_store
from tests.memory import MemoryStore
from tests.servers.github import GitHubServer, description
from tests.servers.hub import HubServer
from tests.servers.proxy import Proxy
from tests.servers.registry import DockerRegistry, docker_registry

__all__ = ["docker_registry"]

NAME, LFS, PART = "org/data", 4096, 20_000
BIG = random.Random(0).randbytes(2 * PART + 1)
FILES: dict[str, bytes] = {
    "README.md": b"---\nlicense: mit\n---\n# A release\n",
    "data/a_pairs.json": BIG,
    "metrics/a.json": b"{}\n",
    "parquet/a.parquet": b"PAR1" * 100,
}
OTHER = {**FILES, "metrics/a.json": b'{"other": 1}\n'}
INDEX = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'
Files = Mapping[str, bytes]


class Place(NamedTuple):
    """A store of a test's own, and what its server knows of it."""

    store: Callable[[], Store]  # each one starts anew, as another process would
    written: Callable[[], int]  # grows with what is written: bytes, requests that change something, or times of files
    publish_else: Callable[[str], object]  # put something under a tag that is not a release
    lose: Callable[[str], object] | None = None  # take a file's bytes away; None: such a store cannot lose a part
    shares: bool = True  # whether a blob of one release is there for the next


def memory(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    store = MemoryStore()

    def publish_else(tag: str) -> None:
        store.names[tag] = "sha256:x"
        store.blobs["sha256:x"] = INDEX

    yield Place(lambda: store, lambda: store.sent, publish_else, lambda path: store.blobs.pop(digest(path)))


def layout(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    from aqea_registry.stores.oci_layout import Layout

    folder = tmp_path / "layout"

    def publish_else(tag: str) -> None:
        content = INDEX
        name = hashlib.sha256(content).hexdigest()
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "blobs/sha256" / name).write_bytes(content)
        entry = {"digest": f"sha256:{name}", "annotations": {"org.opencontainers.image.ref.name": tag}}
        (folder / "index.json").write_text(json.dumps({"manifests": [entry]}))

    def written() -> int:
        return sum(path.stat().st_mtime_ns for path in folder.rglob("*")) if folder.exists() else 0

    def lose(path: str) -> None:
        (folder / "blobs/sha256" / digest(path).removeprefix("sha256:")).unlink()

    yield Place(lambda: Layout(f"oci:{folder}", folder), written, publish_else, lose)


def registry(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    from aqea_registry.stores.registry_store import Registry

    server: DockerRegistry = request.getfixturevalue("docker_registry")
    name = f"contract/{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]}"
    with Proxy(server.endpoint) as line:
        spec = f"oci://{line.endpoint.removeprefix('http://')}/{name}"

        def publish_else(tag: str) -> None:
            server.put_manifest(name, tag, INDEX, "application/vnd.oci.image.index.v1+json")

        yield Place(
            lambda: Registry(spec, settle=0.1),
            lambda: line.received("PUT|PATCH|POST"),
            publish_else,
            lambda path: server.blob(digest(path)).unlink(),
        )


def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    pytest.importorskip("huggingface_hub")
    from aqea_registry.stores.hub_store import HubStore

    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    with HubServer(tmp_path / "hub", lfs_size=LFS, page_size=5) as server:
        server.store.token("hf_write", user="alice", orgs=["org"])
        for name, value in server.environment(tmp_path / "home", "hf_write").items():
            monkeypatch.setenv(name, value)

        def publish_else(tag: str) -> None:
            server.store.create("datasets", NAME)
            server.store.commit("datasets", NAME, {"release.json": b"{}"})
            server.store.tag("datasets", NAME, tag)

        yield Place(lambda: HubStore(f"hf://datasets/{NAME}"), lambda: server.count("POST|PUT|DELETE"), publish_else)


def github(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    pytest.importorskip("github")
    from aqea_registry.stores.github_store import GitHub

    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    with GitHubServer(tmp_path / "github", description()) as server:
        server.store.create(NAME)
        server.store.token("ghp_write", push=[NAME])
        for name, value in {**server.environment("ghp_write"), "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
            monkeypatch.setenv(name, value)

        def lose(path: str) -> None:
            assets = server.store.published(NAME, "v1").assets
            for asset in [one for one in assets if one.name.startswith(path.replace("/", "--"))]:
                assets.remove(asset)

        yield Place(
            lambda: GitHub(f"github://{NAME}", part=PART),
            lambda: server.count("POST|PATCH|DELETE|PUT"),
            lambda tag: server.store.publish(NAME, tag, {"program.zip": b"zip"}),
            lose,
            shares=False,
        )


PLACES = {"memory": memory, "layout": layout, "registry": registry, "hub": hub, "github": github}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from PLACES[request.param](tmp_path, request)


def release_of(files: Files) -> Release:
    return build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())


def digest(path: str) -> str:
    return release_of(FILES).files()[path].digest


def push(place: Place, files: Files = FILES, tag: str = "v1") -> dict[str, object]:
    return place.store().push(tag, release_of(files), files.__getitem__, "Notes.", ignore)


def wrong(place: Place, files: Files = FILES, tag: str = "v1", deep: bool = True) -> set[tuple[str, str]]:
    """Code and subject of what a store has otherwise than a release names it."""
    store, release = place.store(), release_of(files)
    findings = compare_with_store("x", release, store.stored(find(store, tag), release, deep, ignore))
    return {(finding.code, finding.subject) for finding in findings}


def test_what_is_pushed_comes_back(place: Place, tmp_path: Path) -> None:
    store, release = place.store(), release_of(FILES)
    assert (store.tags(), store.find("v1")) == ([], None)
    plan = store.plan("v1", release)
    assert (plan.existing, plan.complete) == (None, False)
    assert {layer.digest for layer in release.layers} <= {blob.digest for blob in plan.new}
    (tmp_path / "big").write_bytes(BIG)
    sent: list[int] = []
    place.store().push("v1", release, lambda path: tmp_path / "big" if FILES[path] is BIG else FILES[path], "", sent.append)
    assert sum(sent) >= sum(map(len, FILES.values()))

    store = place.store()
    tagged = find(store, "v1")
    assert (tagged.tag, tagged.digest, store.tags()) == ("v1", release.digest(), ["v1"])
    assert place.store().release(tagged) == release
    for deep in (False, True):
        found = {file.path: (file.digest, file.size) for file in store.stored(tagged, release, deep, ignore)}
        assert found == {path: (layer.digest, layer.size) for path, layer in release.files().items()}
    for path, content in FILES.items():
        for offset in (0, 1, len(content) - 1, len(content)):
            with store.open(tagged, path, release.files()[path], offset) as incoming:
                assert incoming.read() == content[offset:]
    assert read_text(store, tagged, "README.md", release.files()["README.md"]) == FILES["README.md"]


def test_a_plan_writes_nothing(place: Place) -> None:
    push(place, OTHER, "v0")
    before = place.written()
    for tag, files in (("v0", OTHER), ("v1", FILES)):
        place.store().plan(tag, release_of(files))
    assert place.store().tags() == ["v0"]
    assert place.written() == before


def test_the_same_again_writes_nothing(place: Place) -> None:
    ids = push(place)
    before = place.written()
    assert place.store().plan("v1", release_of(FILES)).complete
    assert push(place) == ids
    assert place.written() == before


def test_a_tag_keeps_its_release(place: Place) -> None:
    push(place)
    before = place.written()
    for ask in (lambda: place.store().plan("v1", release_of(OTHER)), lambda: push(place, OTHER)):
        with pytest.raises(TagConflict, match="the tag already names another release") as caught:
            ask()
        (finding,) = caught.value.findings
        expected = ("tag-moved", release_of(OTHER).digest(), release_of(FILES).digest())
        assert (finding.code, finding.expected, finding.actual) == expected
    assert (place.written(), wrong(place)) == (before, set())


def test_the_next_release_leaves_the_first(place: Place) -> None:
    push(place)
    new = {blob.digest for blob in place.store().plan("v2", release_of(OTHER)).new}
    changed = {release_of(OTHER).files()["metrics/a.json"].digest, release_of(OTHER).digest()}
    assert changed == new if place.shares else changed <= new
    push(place, OTHER, "v2")
    assert place.store().tags() == ["v1", "v2"]
    assert (wrong(place), wrong(place, OTHER, "v2")) == (set(), set())


def test_a_release_may_have_two_tags(place: Place) -> None:
    push(place)
    push(place, tag="again")
    store = place.store()
    assert {find(store, tag).digest for tag in ("v1", "again")} == {release_of(FILES).digest()}
    assert (store.tags(), wrong(place, tag="again")) == (["again", "v1"], set())


@pytest.mark.parametrize("path", ["metrics/a.json", "data/a_pairs.json"])
def test_a_file_that_changed_is_refused(place: Place, tmp_path: Path, path: str) -> None:
    for changed in (FILES[path][::-1], b"", FILES[path] + b"more"):
        with pytest.raises(Refused, match=f"{path} changed") as caught:
            place.store().push("v1", release_of(FILES), {**FILES, path: changed}.__getitem__, "", ignore)
        assert [(finding.code, finding.subject) for finding in caught.value.findings] == [("mismatch", path)]
    gone: dict[str, bytes | Path] = {**FILES, path: tmp_path / "gone" / path}
    with pytest.raises(CannotCheck, match=f"{path} cannot be read"):
        place.store().push("v1", release_of(FILES), gone.__getitem__, "", ignore)
    assert (place.store().find("v1"), place.store().tags()) == (None, [])
    push(place)
    assert wrong(place) == set()


@pytest.mark.parametrize("place", [name for name in PLACES if name != "hub"], indirect=True)  # a commit loses no file
@pytest.mark.parametrize("path", ["metrics/a.json", "data/a_pairs.json"])
def test_what_was_lost_comes_back_with_a_push(place: Place, path: str) -> None:
    push(place)
    assert place.lose is not None
    place.lose(path)
    assert {code for code, _ in wrong(place)} == {"missing"}
    plan = place.store().plan("v1", release_of(FILES))
    assert (plan.complete, digest(path) in {blob.digest for blob in plan.new}) == (False, True)
    push(place)
    assert wrong(place) == set()


def test_documents_beside_a_release(place: Place) -> None:
    push(place)
    tagged = find(place.store(), "v1")
    assert place.store().attachments(tagged) == {}
    mark = Status(digest=tagged.digest, state="withdrawn", reason="wrong scores")
    documents = {"status-1.json": mark.render(), "small.intoto.json": b'{"a": "-->"}\n' * 300}
    for name, content in documents.items():
        place.store().attach(tagged, name, content)
    assert place.store().attachments(tagged) == documents
    assert current(place.store().attachments(tagged), tagged.digest) == mark
    before = place.written()
    place.store().attach(tagged, "status-1.json", documents["status-1.json"])
    with pytest.raises(Refused) as caught:
        place.store().attach(tagged, "status-1.json", b"{}")
    assert [finding.code for finding in caught.value.findings] == ["conflict"]
    for name in ("../up", "a/b", "", "nul\0"):
        with pytest.raises(BadConfiguration):
            place.store().attach(tagged, name, b"{}")
    assert place.written() == before
    assert place.store().find("v1") == tagged, "the release is the same"
    assert (place.store().tags(), wrong(place)) == (["v1"], set())
    push(place, OTHER, "v2")
    assert place.store().attachments(find(place.store(), "v2")) == {}


def test_a_tag_of_something_else_is_not_a_release(place: Place) -> None:
    place.publish_else("v1")

    def read() -> Release:
        store = place.store()
        return store.release(find(store, "v1"))

    with pytest.raises(Refused) as caught:
        read()
    assert {finding.code for finding in caught.value.findings} == {"not-a-release"}
    assert "not a release of aqea-registry" in caught.value.message
    for ask in (lambda: place.store().plan("v1", release_of(FILES)), lambda: push(place)):
        with pytest.raises(TagConflict, match=r"the tag exists with other content, .*: it names "):
            ask()


def test_ids_are_kept_in_a_receipt(place: Place, tmp_path: Path) -> None:
    ids, store = push(place), place.store()
    tagged = find(store, "v1")
    entry = receipts.StoreReceipt(reference=f"{store.spec}:v1", at=tagged.at, ids=ids)
    assert receipts.write(tmp_path, "oci:receipts", "v1", release_of(FILES), entry)
    read = receipts.read(receipts.receipt_path(tmp_path, "oci:receipts", "v1"))
    assert read is not None
    assert (read.digest, read.stores["oci:receipts"]) == (tagged.digest, entry)
    assert tagged == Tagged(tag=read.tag, digest=read.digest, at=entry.at)
    assert not receipts.write(tmp_path, "oci:receipts", "v1", release_of(FILES), entry), "the same again writes nothing"


def test_a_receipt_of_other_content_lends_no_store(tmp_path: Path) -> None:
    """What a receipt says of another release is no word on this one, in whichever store."""
    path = receipts.receipt_path(tmp_path, "hf://datasets/a/b", "v1")
    at = {spec: receipts.StoreReceipt(reference=f"{spec}@v1", at="there") for spec in ("hf://datasets/a/b", "github://a/b")}
    for spec, entry in at.items():
        assert receipts.write(tmp_path, spec, "v1", release_of(FILES), entry)
    both = receipts.read(path)
    assert both is not None and dict(both.stores) == at, "of one release all stores are kept"
    other = release_of({**FILES, "README.md": b"other"})
    assert receipts.write(tmp_path, "github://a/b", "v1", other, at["github://a/b"])
    after = receipts.read(path)
    assert after is not None
    assert (after.digest, dict(after.stores)) == (other.digest(), {"github://a/b": at["github://a/b"]})


def test_a_digest_may_be_demanded(place: Place) -> None:
    """Of a tag, or in its place: then the release is found under whichever tag it has, beside what is no release."""
    place.publish_else("v3")
    push(place)
    push(place, OTHER, "v2")
    store, wanted, other = place.store(), release_of(FILES).digest(), release_of(OTHER).digest()
    assert find(store, "v1", wanted) == find(store, wanted, wanted) == find(store, "v1")
    with pytest.raises(Refused) as caught:
        find(store, "v2", wanted)
    finding = caught.value.findings[0]
    assert (finding.code, finding.expected, finding.actual) == ("tag-moved", wanted, other)
    absent = "sha256:" + "0" * 64
    with pytest.raises(CannotCheck, match=f"@{absent}: no tag names this release"):
        find(store, absent, absent)
