"""Releases in a dataset repository of the Hub: the tests' own Hub, and the Hub's own client."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import re
import sys
import warnings
from array import array
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from aqea_registry.base.files import ignore
from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed, Refused, RegistryError, TagConflict
from aqea_registry.stores.hub_store import HubStore
from aqea_registry.stores.port import Tagged
from aqea_registry.stores.release import LARGEST_MANIFEST, Release, build
from tests import sampling
from tests.servers.hub import Fault, HubServer, Request
from tests.servers.hub.writes import PUBLISHER
from tests.tools import ROOT, processes, run

LFS_SIZE = 4096
CARD = b"---\nlicense: mit\n---\n# A release\n"
BIG = random.Random(0).randbytes(50_000)
FILES = {
    "README.md": CARD,
    "data/large_pairs.json": BIG,
    "data/under_pairs.json": b"u" * (LFS_SIZE - 1),
    "data/at_pairs.json": b"a" * LFS_SIZE,
    "metrics/x.json": b"{}\n",
    "parquet/x.parquet": b"PAR1",
}
IN_LFS = {"data/large_pairs.json", "data/at_pairs.json", "parquet/x.parquet"}
NAME = "org/data"
WRITE, READ, OTHER_TOKEN = "hf_write", "hf_read", "hf_other"
Files = Mapping[str, bytes]


def release_of(files: Files) -> Release:
    return build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())


RELEASE = release_of(FILES)
OTHER_FILES = {**FILES, "metrics/x.json": b'{"other": 1}\n'}
OTHER = release_of(OTHER_FILES)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    # The client read most of its environment when it was imported; these are the values that it would have found.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with served(tmp_path / "hub") as server:
        for name, value in server.environment(tmp_path / "home", WRITE).items():
            monkeypatch.setenv(name, value)
        yield server


def served(folder: Path) -> HubServer:
    server = HubServer(folder, lfs_size=LFS_SIZE, page_size=5, multipart=20_000)
    server.store.token(WRITE, user="alice", orgs=["org"])
    server.store.token(READ, user="bob", role="read", orgs=["org"])
    server.store.token(OTHER_TOKEN, user="eve")
    return server


@pytest.fixture
def repository(hub: HubServer) -> HubServer:
    hub.store.create("datasets", NAME, initial=True)
    return hub


@pytest.fixture
def published(repository: HubServer) -> HubServer:
    put()
    repository.forget()
    return repository


def hub_store(name: str = NAME) -> HubStore:
    return HubStore(f"hf://datasets/{name}")


def put(files: Files = FILES, tag: str = "v1", name: str = NAME) -> dict[str, object]:
    return hub_store(name).push(tag, release_of(files), files.__getitem__, f"Notes of {tag}.", ignore)


def found(tag: str = "v1", name: str = NAME) -> Tagged:
    tagged = hub_store(name).find(tag)
    assert tagged is not None
    return tagged


def held(deep: bool = False, release: Release = RELEASE, tag: str = "v1") -> dict[str, tuple[str, str | None, int | None]]:
    return {one.path: (one.how, one.digest, one.size) for one in hub_store().stored(found(tag), release, deep, ignore)}


def titles(hub: HubServer, name: str = NAME) -> list[str]:
    """The first lines of all commits, oldest first."""
    head = hub.store.resolve("datasets", name, "main")
    return [made.message.partition("\n")[0] for _, made in hub.store.history("datasets", name, head)][::-1]


def check(hub: HubServer, release: Release = RELEASE, files: Files = FILES, tag: str = "v1", name: str = NAME) -> None:
    """The tag's commit holds the release and its record, byte for byte, read without our code."""
    record = hub.store.read("datasets", name, "release.json", tag)
    assert f"sha256:{hashlib.sha256(record).hexdigest()}" == release.digest()
    assert {path: hub.store.read("datasets", name, path, tag) for path in files} == dict(files)


# What a push does


@pytest.mark.parametrize("state", ["made", "empty", "missing"])
def test_push(hub: HubServer, state: str) -> None:
    if state != "missing":
        hub.store.create("datasets", NAME, initial=state == "made")
    plan = hub_store().plan("v1", RELEASE)
    assert (plan.existing, plan.complete) == (None, False)
    assert {layer.digest for layer in plan.new} == {RELEASE.digest(), *(layer.digest for layer in RELEASE.layers)}
    assert not hub.count("POST|PUT")
    counts: list[int] = []
    ids = hub_store().push("v1", RELEASE, FILES.__getitem__, "What is new.", counts.append)
    check(hub)
    commit = hub.store.resolve("datasets", NAME, "v1")
    assert ids == {"commit": commit, "repository": f"{hub.endpoint}/datasets/{NAME}"}
    assert sum(counts) == sum(map(len, FILES.values()))
    made = hub.store.read_commit("datasets", NAME, commit)
    assert {path for path, entry in made.tree.items() if entry.lfs} == IN_LFS
    assert made.tree.keys() - {".gitattributes"} == {*FILES, "release.json"}
    assert made.message == "Release v1\n\nWhat is new."
    assert titles(hub)[-1] == "Release v1" and titles(hub).count("Release v1") == 1
    assert hub.store.resolve("datasets", NAME, "main") == commit


def test_a_second_tag_of_a_release_is_no_second_commit(published: HubServer) -> None:
    put(tag="same")
    assert published.count("POST") == published.count("POST", "/tag/") == 1 and titles(published).count("Release v1") == 1


def test_the_next_release_sends_what_changed(published: HubServer) -> None:
    hub = published
    hub.store.commit("datasets", NAME, {"theirs/large.bin": b"l" * 9000, "theirs.txt": b"t"}, message="Of others")
    hub_store().attach(found(), "status-1.json", b"{}")
    kept = {path: FILES[path] for path in FILES if path != "data/at_pairs.json"}
    files = {**kept, "metrics/x.json": b'{"v": 2}\n', "data/new_pairs.json": BIG[::-1], "data/moved_pairs.json": BIG}
    release = release_of(files)
    plan = hub_store().plan("v2", release)
    expected = {release.digest(), release.files()["metrics/x.json"].digest, release.files()["data/new_pairs.json"].digest}
    assert {layer.digest for layer in plan.new} == expected
    hub.forget()
    put(files, "v2")
    check(hub, release, files, "v2")
    check(hub)
    assert sum(made.received for made in hub.requests if made.path.startswith("/upload/") and made.method == "PUT") == len(BIG)
    sent = [json.loads(line) for made in hub.bodies("/commit/") for line in made.splitlines()]
    assert {(item["key"], item["value"].get("path")) for item in sent} == {
        ("header", None),
        ("file", "metrics/x.json"),
        ("file", "release.json"),
        ("lfsFile", "data/new_pairs.json"),
        ("lfsFile", "data/moved_pairs.json"),
        ("deletedFile", "data/at_pairs.json"),
    }
    tree = hub.store.read_commit("datasets", NAME, hub.store.resolve("datasets", NAME, "v2")).tree
    others = {".gitattributes", "theirs/large.bin", "theirs.txt", "attachments/v1/status-1.json"}
    assert tree.keys() == {*files, "release.json"} | others


def test_what_belongs_to_others_is_never_deleted(repository: HubServer) -> None:
    others = {"attachments/v0/status-1.json": b"{}", ".gitattributes": b"*.bin filter=lfs\n"}
    hostile = {"release.json": release_of({**others, "stale.json": b"s"}).render(), "stale.json": b"s", **others}
    repository.store.commit("datasets", NAME, hostile)
    put()
    commit = repository.store.resolve("datasets", NAME, "v1")
    assert repository.store.read_commit("datasets", NAME, commit).tree.keys() == {*FILES, *others, "release.json"}


def test_reading(published: HubServer, tmp_path: Path) -> None:
    hub = published
    hub.store.branch("datasets", NAME, "v9", "v1")
    store, tagged = hub_store(), found()
    assert store.spec == f"hf://datasets/{NAME}"
    assert store.tags() == ["v1"] and store.find("v9") is None and store.find("v2") is None
    assert store.find(tagged.at) == Tagged(tag=tagged.at, digest=RELEASE.digest(), at=tagged.at)
    assert store.find("0" * 40) is None
    assert tagged.digest == RELEASE.digest() and store.release(tagged) == RELEASE
    hub.forget()
    how = held()
    large = {path: layer for path, layer in RELEASE.files().items() if path in IN_LFS}
    assert {path: how[path] for path in large} == {
        path: ("lfs sha256", layer.digest, layer.size) for path, layer in large.items()
    }
    assert all(
        how[path] == ("fetched", layer.digest, layer.size) for path, layer in RELEASE.files().items() if path not in IN_LFS
    )
    assert hub.downloaded("|".join(IN_LFS)) == 0
    assert held(deep=True) == {path: ("hashed", layer.digest, layer.size) for path, layer in RELEASE.files().items()}
    assert hub.downloaded("|".join(IN_LFS)) == sum(len(FILES[path]) for path in IN_LFS)
    with pytest.raises(Refused, match="no such file"):
        store.open(tagged, "gone", RELEASE.layers[0], 0)
    assert hub_store("org/nothing").tags() == [] and hub_store("org/nothing").find("v1") is None


def test_the_filters_of_warnings_are_the_caller_s(published: HubServer) -> None:
    before = [*warnings.filters]
    assert hub_store().tags() == ["v1"]
    assert warnings.filters == before


def test_attachments(published: HubServer) -> None:
    hub, store, tagged = published, hub_store(), found()
    store.attach(tagged, "status-1.json", b"one")
    hub.forget()
    somebody = hub.faults.add(
        Fault(method="POST", path="/commit/", meanwhile=lambda: hub.store.commit("datasets", NAME, {"theirs.txt": b"t"}))
    )
    store.attach(tagged, "large.intoto.json", BIG)
    assert somebody.hits == 1 and hub.count("POST", "/commit/") == 2
    assert store.attachments(tagged) == {"large.intoto.json": BIG, "status-1.json": b"one"}
    assert found() == tagged and hub.store.read("datasets", NAME, "theirs.txt") == b"t"
    with pytest.raises(BadConfiguration, match=str(LARGEST_MANIFEST)):
        store.attach(tagged, "x", bytes(LARGEST_MANIFEST + 1))
    hub.store.commit("datasets", NAME, {"attachments/v1/theirs/x.json": b"t", "attachments/v10/x.json": b"t"})
    assert store.attachments(tagged).keys() == {"large.intoto.json", "status-1.json"}
    hub.store.put("datasets", NAME, hub.store.resolve("datasets", NAME, "main"), "attachments/v1/status-1.json", b"two")
    with pytest.raises(Refused, match="other bytes"):
        store.attachments(tagged)


# What must not be


def test_no_permission(repository: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [("", NAME), ("hf_unknown", NAME), (READ, NAME), (OTHER_TOKEN, NAME), ("", "org/new"), (READ, "org/new")]
    refused += [(OTHER_TOKEN, "org/new"), (WRITE, "unknown/new")]
    for token, name in refused:
        monkeypatch.setenv("HF_TOKEN", token)
        hint = f"HF_TOKEN needs write access to {name.partition('/')[0]} at {repository.endpoint}"
        for ask in (lambda name=name: hub_store(name).plan("v1", RELEASE), lambda name=name: put(name=name)):
            with pytest.raises(NotAllowed) as error:
                ask()
            assert token == "hf_unknown" or error.value.hint == hint
            assert not token or token not in f"{error.value.message} {error.value.hint}"
    assert not repository.count("PUT") and repository.store.repository("datasets", NAME).made == 1
    assert not repository.bodies("/commit/") and not repository.bodies("/create")


def test_a_fine_grained_token_is_looked_at_before_the_plan_says_that_it_may_write(
    repository: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, and opening discussions, is not enough; writing to this repository, or to all of its owner's, is."""
    monkeypatch.setenv("HF_TOKEN", "hf_fine")
    read, write = ["repo.content.read", "discussion.write"], ["repo.content.read", "repo.write"]
    for rights in ({}, {NAME: read}, {"org": read}, {"org/other": write}, {"other": write}):
        repository.store.token("hf_fine", user="alice", role="fineGrained", orgs=["org"], rights=rights)
        with pytest.raises(NotAllowed, match=rf"the fine-grained token lacks the right repo\.write for {NAME} or org$"):
            hub_store().plan("v1", RELEASE)
        with pytest.raises(NotAllowed):
            put()
    assert not repository.count("PUT") and not repository.bodies("/commit/")
    for rights in ({NAME: write}, {"org": write}):
        repository.store.token("hf_fine", user="alice", role="fineGrained", orgs=["org"], rights=rights)
        assert not hub_store().plan("v1", RELEASE).complete
    put()
    check(repository)


def test_a_job_publishes_without_a_stored_secret(repository: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its identity is exchanged for a token of this one repository."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub._oidc.constants", SimpleNamespace(ENDPOINT=repository.endpoint))  # read at import
    monkeypatch.setattr("huggingface_hub.utils._auth._OIDC_TOKEN_CACHE", None)
    monkeypatch.setenv("HF_OIDC_RESOURCE", f"datasets/{NAME}")
    monkeypatch.setenv("HF_OIDC_ID_TOKEN", "identity-of-somebody-else")
    with pytest.raises((NotAllowed, CannotCheck)) as refused:
        put()
    assert "identity-of" not in f"{refused.value.message} {refused.value.hint}"
    monkeypatch.setenv("HF_OIDC_ID_TOKEN", PUBLISHER)
    assert not hub_store().plan("v1", RELEASE).complete
    put()
    check(repository)


def test_every_permanent_403_stops_at_once(repository: HubServer) -> None:
    steps = ["whoami", "validate-yaml", "/preupload/", "/objects/batch", "/upload/", "/verify", "/commit/", "/tag/", "/tree/"]
    for step in steps:
        fault = repository.faults.add(Fault(method="GET|POST|PUT", path=step, status=403, times=None))
        with pytest.raises(NotAllowed, match="403"):
            hub_store().plan("v1", RELEASE)
            put()
        assert fault.hits == (1 if step not in {"/upload/", "/verify"} else fault.hits) and 0 < fault.hits <= 4  # in parallel
        repository.faults.clear()
    put()
    check(repository)


def test_a_gated_repository(published: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    published.store.settings("datasets", NAME, gated=True)
    for token in ("", OTHER_TOKEN):
        monkeypatch.setenv("HF_TOKEN", token)
        published.forget()
        with pytest.raises(NotAllowed, match="gated"):
            found()
        assert published.count(path="release.json") == 1


def test_offline_and_unreachable(published: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CannotCheck, match="HF_HUB_OFFLINE"):
        hub_store().find("v1")
    assert not published.requests
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    published.offline()
    with pytest.raises(CannotCheck, match=NAME):
        hub_store().find("v1")


@pytest.mark.parametrize(
    "record", [None, b"{}", b"", b"{", b"[]", b"[" * 10**5, b" " * (LARGEST_MANIFEST + 1)], ids=lambda one: str(one)[:9]
)
def test_a_tag_without_a_release(repository: HubServer, record: bytes | None) -> None:
    repository.store.commit("datasets", NAME, {"x": b"x"} if record is None else {"release.json": record})
    repository.store.tag("datasets", NAME, "v1")
    valid = record in {None, b"{}"}
    with pytest.raises(Refused, match="not a release") as error:
        found()
    assert [finding.code for finding in error.value.findings] == ["not-a-release" if valid else "malformed"]
    with pytest.raises(TagConflict if valid else Refused, match="other content" if valid else "not a release"):
        put()
    put(tag="v2")  # what lies there is no release, and in nobody's way
    check(repository, tag="v2")


def test_content_that_is_not_the_release(repository: HubServer, tmp_path: Path) -> None:
    def other(path: str) -> Callable[[str], Path | bytes]:
        return lambda asked: FILES[asked] if asked != path else tmp_path / "changed"

    (tmp_path / "changed").write_bytes(b"changed")
    for path in ("metrics/x.json", "data/large_pairs.json"):
        with pytest.raises(Refused, match=f"{path} changed"):
            hub_store().push("v1", RELEASE, other(path), "", ignore)
    (tmp_path / "changed").unlink()
    with pytest.raises(CannotCheck, match="cannot be read"):
        hub_store().push("v1", RELEASE, other("README.md"), "", ignore)
    bad = {**FILES, "README.md": b"---\na: [\n---\n"}
    with pytest.raises(Refused, match="refuses the card"):
        put(bad)
    for path in ("release.json", "attachments/x", ".gitattributes"):
        with pytest.raises(Refused, match="something else"):
            put({**FILES, path: b"x"})
    assert not repository.uploaded() and repository.store.repository("datasets", NAME).made == 1
    for name in ("org", "org/data/more", "/data", "org/..", "org/da ta", ""):
        with pytest.raises(BadConfiguration):
            hub_store(name)


def test_ignored_files_are_noticed(repository: HubServer) -> None:
    ignoring = Fault(method="POST", path="/preupload/", body=json.dumps(preupload("metrics/x.json")).encode(), status=200)
    repository.faults.add(ignoring)
    with pytest.raises(Refused, match="does not hold the bytes"):
        put()
    assert not repository.store.repository("datasets", NAME).tags
    put()
    check(repository)


def preupload(ignored: str) -> dict[str, Any]:
    """What the Hub answers if a .gitignore names a file."""
    paths = {**FILES, "release.json": b""}
    modes = {path: "lfs" if path in IN_LFS else "regular" for path in paths}
    return {"files": [{"path": path, "uploadMode": modes[path], "shouldIgnore": path == ignored} for path in paths]}


@pytest.mark.parametrize("path", ["README.md", "data/large_pairs.json"])
def test_a_hub_that_keeps_other_bytes(repository: HubServer, path: str) -> None:
    hub = repository

    def spoil(announce: bool = True) -> None:
        head = hub.store.resolve("datasets", NAME, "main")
        hub.store.put("datasets", NAME, head, path, FILES[path][::-1], announce=announce)

    hub.faults.add(Fault(path="/tree/", skip=1, meanwhile=spoil))  # the look at the commit before it gets its tag
    with pytest.raises(Refused, match=path):
        put()
    assert not hub.store.repository("datasets", NAME).tags
    put()
    check(hub)
    spoil(announce=False)  # now it lies about it
    layer = RELEASE.files()[path]
    assert (held()[path][1] == layer.digest) == (path in IN_LFS)
    assert held(deep=True)[path][1] != layer.digest
    assert sum(digest != RELEASE.files()[path].digest for path, (_, digest, _) in held(deep=True).items()) == 1


@pytest.mark.parametrize("path", ["README.md", "data/large_pairs.json"])
def test_right_bytes_under_another_name_prove_nothing(published: HubServer, path: str) -> None:
    tagged, other = found(), FILES[path][::-1]
    published.store.put("datasets", NAME, tagged.at, path, other, announce=True)
    published.store.put("datasets", NAME, tagged.at, path, FILES[path])
    assert held(deep=True)[path] == ("hashed", None, len(other))
    assert held()[path][1] in {None, f"sha256:{hashlib.sha256(other).hexdigest()}"}


def test_a_commit_that_lost_its_tag(published: HubServer) -> None:
    published.store.delete_tag("datasets", NAME, "v1")
    plan = hub_store().plan("v1", RELEASE)
    assert (plan.existing, plan.new, plan.complete) == (None, (), False)
    published.forget()
    put()
    assert [made.path for made in published.requests if made.method == "POST"] == [
        f"/api/datasets/{NAME}/tag/{published.store.resolve('datasets', NAME, 'main')}"
    ]
    check(published)


def test_files_that_are_gone_and_records_that_change(published: HubServer) -> None:
    tagged = found()
    more = release_of({**FILES, "more.json": b"x"})
    assert {one.path: one.how for one in hub_store().stored(tagged, more, False, ignore)}["more.json"] == "not there"
    published.store.put("datasets", NAME, tagged.at, "release.json", OTHER.render())
    with pytest.raises(Refused, match="has other bytes"):
        hub_store().release(tagged)
    assert found().digest == OTHER.digest()
    published.store.delete_commit("datasets", NAME, tagged.at)
    with pytest.raises(CannotCheck, match="is not there"):
        list(hub_store().stored(tagged, RELEASE, False, ignore))


# Others


def test_somebody_else_commits(repository: HubServer) -> None:
    hub = repository
    theirs = iter(range(3))

    def commit() -> None:
        hub.store.commit("datasets", NAME, {f"theirs-{next(theirs)}.txt": b"t"}, message="Of others")

    hub.faults.add(Fault(method="POST", path="/commit/", times=3, meanwhile=commit))
    put()
    check(hub)
    assert [made.status for made in hub.requests if "/commit/" in made.path] == [412, 412, 412, 200]
    assert titles(hub) == ["initial commit", *["Of others"] * 3, "Release v1"]
    tree = hub.store.read_commit("datasets", NAME, hub.store.resolve("datasets", NAME, "v1")).tree
    assert {f"theirs-{number}.txt" for number in range(3)} <= tree.keys()
    assert sum(made.received for made in hub.requests if made.path.startswith("/upload/") and made.method == "PUT") == sum(
        len(FILES[path]) for path in IN_LFS
    )
    hub.faults.add(Fault(method="POST", path="/commit/", times=None, status=412))
    hub.forget()
    with pytest.raises(CannotCheck, match="kept changing"):
        put(OTHER_FILES, "v2")
    assert hub.count("POST", "/commit/") == 8


@pytest.mark.parametrize(("files", "release"), [(FILES, RELEASE), (OTHER_FILES, OTHER)], ids=["same", "other"])
@pytest.mark.parametrize("step", ["/commit/", "/tag/"])
def test_somebody_else_makes_the_tag(repository: HubServer, files: Files, release: Release, step: str) -> None:
    hub = repository

    def make() -> None:
        commit = hub.store.commit("datasets", NAME, {**files, "release.json": release.render()}, message="Theirs")
        hub.store.tag("datasets", NAME, "v1", commit)

    hub.faults.add(Fault(method="POST", path=step, meanwhile=make))
    if release == RELEASE:
        put()
    else:
        with pytest.raises(TagConflict, match=OTHER.digest()):
            put()
    check(hub, release, files)
    assert titles(hub).count("Release v1") == (step == "/tag/")


# Lines that break


def test_downloads_go_on_where_they_stopped(published: HubServer) -> None:
    path = "data/large_pairs.json"
    layer, tagged = RELEASE.files()[path], found()
    for fault in (
        Fault(path="^/cdn/", cut=20_000, times=2),
        Fault(path="^/cdn/", cut=20_000, reset=True),
        Fault(path="^/cdn/", status=503),
        Fault(path="^/cdn/", status=429, headers={"Retry-After": "0"}),
        Fault(path="^/cdn/", whole=True),
        Fault(path="/resolve/", drop=True),
    ):
        published.faults.add(fault)
        with hub_store().open(tagged, path, layer, 10_000) as incoming:
            assert incoming.read() == BIG[10_000:]
        assert fault.hits == fault.times
    published.faults.add(Fault(path="^/cdn/", status=404))
    with pytest.raises(CannotCheck, match="404"):
        hub_store().open(tagged, path, layer, 0)


KINDS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "500 after": {"status": 500, "after": True},
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "drop": {"drop": True},
}


def use(hub: HubServer, home: Path, transfer: str) -> None:
    """Have this process take the server for the Hub, and upload as the client would that was imported with this setting."""
    os.environ.update({**hub.environment(home, WRITE), "HF_HUB_DISABLE_XET": str(int(transfer != "Xet"))})
    constants.HF_HUB_DISABLE_XET = transfer != "Xet"


def spoiled_push(folder: Path, transfer: str, kind: str, skip: int) -> str:
    """A plan and a push of which one request goes wrong once. Returns what is not as it should be afterwards."""
    with served(folder) as hub:
        use(hub, folder / "home", transfer)
        hub.store.create("datasets", NAME, initial=True)
        fault = hub.faults.add(Fault(method=".*", skip=skip, **KINDS[kind]))
        hub_store().plan("v1", RELEASE)
        put()
        check(hub)
        spoiled = hub.requests[skip]
        right = fault.hits == 1 and titles(hub) == ["initial commit", "Release v1"]
        return "" if right else f"{spoiled.method} {spoiled.path}: {fault.hits} hits, {titles(hub)}"


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """A few of them for all tests: to start one takes longer than a push."""
    with ProcessPoolExecutor(3, mp_context=processes()) as found:
        yield found


def requests_of_a_push(folder: Path, transfer: str) -> list[Request]:
    """The requests that a plan and a push make when nothing goes wrong."""
    with served(folder) as hub:
        use(hub, folder / "home", transfer)
        hub.store.create("datasets", NAME, initial=True)
        hub_store().plan("v1", RELEASE)
        put()
        return hub.requests


@pytest.mark.parametrize(
    ("transfer", "kind"), [*(("LFS", kind) for kind in KINDS), ("Xet", "500"), ("Xet", "429"), ("Xet", "drop")]
)
def test_every_request_fails_once(tmp_path: Path, pool: ProcessPoolExecutor, transfer: str, kind: str) -> None:
    made = pool.submit(requests_of_a_push, tmp_path / "clean", transfer).result()
    spoiled = sampling.requests(made, share=0.2, name=f"{transfer} {kind}")
    folders = (tmp_path / str(number) for number in spoiled)
    count = len(spoiled)
    done = list(pool.map(spoiled_push, folders, [transfer] * count, [kind] * count, spoiled))
    assert len(made) > 18 and [wrong for wrong in done if wrong] == []


# Many processes


def publisher(hub: tuple[str, str], transfer: str, name: str, files: Files, line: Connection) -> None:
    """Push when told to, and say how it went."""
    endpoint, home = hub
    os.environ.update(HF_ENDPOINT=endpoint, HF_HOME=home, HF_TOKEN=WRITE)
    constants.HF_HUB_DISABLE_XET = transfer != "Xet"
    line.recv()
    try:
        put(files, name=name)
        line.send("done")
    except RegistryError as error:
        line.send(f"{type(error).__name__}: {error}")


def start(hub: HubServer, name: str, files: Files, transfer: str = "LFS") -> tuple[Any, Any]:
    ours, theirs = multiprocessing.Pipe()
    where = (hub.endpoint, os.environ["HF_HOME"])
    process = processes().Process(target=publisher, args=(where, transfer, name, files, theirs))
    process.start()
    theirs.close()
    return process, ours


@pytest.mark.parametrize("transfer", ["LFS", "Xet"])
def test_killed_after_every_request(hub: HubServer, transfer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", transfer != "Xet")
    process, line = start(hub, "org/clean", FILES, transfer)
    line.send("go")
    assert line.recv() == "done"
    process.join()
    made = hub.requests
    assert len(made) > 12  # with fewer requests nothing was killed
    for number in sampling.requests(made, share=0.3, name=f"killed {transfer}"):
        name = f"org/killed-{number}"
        files = {**FILES, "data/large_pairs.json": BIG + name.encode()}
        release = release_of(files)
        process, line = start(hub, name, files, transfer)
        hub.forget()
        fault = hub.faults.add(Fault(method=".*", skip=number, kill=process.pid))
        line.send("go")
        process.join()
        hub.faults.clear()
        if not fault.hits:  # the first push makes a request or two more than those after it
            assert process.exitcode == 0 and number > 12
            continue
        assert process.exitcode == -9
        before = hub.store.repository("datasets", name).tags if number > 3 else {}
        plan = hub_store(name).plan("v1", release)
        assert plan.complete == bool(before)
        hub.forget()
        put(files, name=name)
        check(hub, release, files, name=name)
        assert titles(hub, name) == ["initial commit", "Release v1"]
        assert not before or not hub.count("POST|PUT")
    assert any(one.method == "PUT" and one.path.startswith("/upload/") for one in made) == (transfer == "LFS")
    assert any(one.method == "POST" and one.path.startswith("/xet/") for one in made) == (transfer == "Xet")


@pytest.mark.parametrize("different", [True, False], ids=["different", "same"])
def test_eight_publishers_at_once(hub: HubServer, different: bool) -> None:
    hub.store.create("datasets", NAME, initial=True)
    contents = [{**FILES, "metrics/x.json": b'{"who": %d}\n' % (who if different else 0)} for who in range(8)]
    started = [start(hub, NAME, files) for files in contents]
    for _, line in started:
        line.send("go")
    outcomes = [line.recv() for _, line in started]
    for process, _ in started:
        process.join()
    losers = [outcome for outcome in outcomes if outcome != "done"]
    assert len(losers) == (7 if different else 0), losers
    assert all(outcome.startswith("TagConflict") for outcome in losers), losers
    winner = contents[outcomes.index("done")]
    check(hub, release_of(winner), winner)
    assert different or titles(hub) == ["initial commit", "Release v1"]


# Xet, and what a person sees

PUSH = """
import sys
from tests.stores.test_hub_store import FLOATS, FILES, put
print(put(FILES | FLOATS if sys.argv[1:] else FILES))
"""
FLOATS = {  # stored by Xet as they are, compressed, and compressed by groups of four bytes
    "data/floats_pairs.json": array("f", [random.Random(0).random() / (1 + at % 7) for at in range(50_000)]).tobytes(),
    "data/numbers_pairs.json": "".join(f"{at} {at * at}\n" for at in range(20_000)).encode(),
    "data/random_pairs.json": random.Random(1).randbytes(300_001),
}


@pytest.mark.parametrize("transfer", ["LFS", "Xet"])
def test_nothing_is_said_and_nothing_left_elsewhere(
    repository: HubServer, tmp_path: Path, transfer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, home = repository, tmp_path / "person"
    home.mkdir()
    env = {**hub.environment(tmp_path / "home", WRITE), "HF_HUB_DISABLE_XET": str(int(transfer != "Xet")), "HOME": str(home)}
    del env["HF_HUB_DISABLE_PROGRESS_BARS"]  # the store's business
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS")
    env |= {"XDG_CACHE_HOME": str(home / ".cache"), "PYTHONPATH": str(ROOT)}
    hub.faults.add(Fault(method="POST", path="/preupload/", status=500))
    done = run(sys.executable, "-c", PUSH, "more", cwd=tmp_path, env=env)
    assert (done.status, done.err) == (0, "")
    assert done.out.count("\n") == 1
    assert list(home.rglob("*")) == []
    files = FILES | FLOATS
    check(hub, release_of(files), files)
    large = sum(len(files[path]) for path in {*IN_LFS, *FLOATS})
    sent = sum(made.received for made in hub.requests if re.search(r"^/(upload/[0-9a-f]+(/\d+)?$|xet/v1/xorbs)", made.path))
    assert sent == large if transfer == "LFS" else 0.3 * large < sent < 0.95 * large
    hub.forget()
    put(files)
    assert not hub.count("POST|PUT") and not hub.uploaded()


def test_xet_storage_that_refuses(repository: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    for path, status, error in (
        ("xet-write-token", 403, NotAllowed),
        ("/xet/v1/xorbs", 401, NotAllowed),
        ("/xet/v1/xorbs", 400, CannotCheck),
        ("/xet/v2/shards", 403, NotAllowed),
    ):
        fault = repository.faults.add(Fault(method="GET|POST", path=path, status=status, times=None))
        with pytest.raises(error, match=str(status)) as raised:
            put()
        assert re.search(rf"Xet storage at http://127[^?]*{path}", raised.value.message) and "?" not in raised.value.message
        assert "HF_HUB_DISABLE_XET=1" in (raised.value.hint or "") and 0 < fault.hits <= 2
        repository.faults.clear()
    put()
    check(repository)
    assert not repository.count("PUT")


def test_real_clients_download_what_came_by_xet(repository: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    put()
    folder = huggingface_hub.snapshot_download(
        NAME, repo_type="dataset", revision="v1", endpoint=repository.endpoint, cache_dir=tmp_path / "cache"
    )
    assert {path: (Path(folder) / path).read_bytes() for path in FILES} == FILES
