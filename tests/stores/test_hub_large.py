"""Releases that one commit on the Hub cannot hold, and what the Hub limits: the tests' own Hub, with lower limits."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants

from aqea_registry.base.files import ignore
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.stores import hub_store
from aqea_registry.stores.hub_store import HubStore
from tests.servers.hub import Fault, HubServer
from tests.stores.test_hub_store import NAME, WRITE, check, release_of, titles
from tests.tools import processes

LFS_SIZE, OPERATIONS = 4096, 5
CARD = b"---\nlicense: mit\n---\n# A release\n"
LARGE = {f"data/{number}_pairs.json": random.Random(number).randbytes(LFS_SIZE + number) for number in range(7)}
FILES = {"README.md": CARD, **LARGE, **{f"metrics/{number}.json": b"%d\n" % number for number in range(5)}}
RELEASE = release_of(FILES)
TITLE = f"Release v1: {RELEASE.digest()} (#1)"
Files = Mapping[str, bytes]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_store, "AT_ONCE", 4)  # files of an upload
    with HubServer(tmp_path / "hub", lfs_size=LFS_SIZE) as server:
        server.limits.operations = OPERATIONS
        server.store.token(WRITE, user="alice", orgs=["org"])
        server.store.create("datasets", NAME, initial=True)
        for name, value in server.environment(tmp_path / "home", WRITE).items():
            monkeypatch.setenv(name, value)
        yield server


def store() -> HubStore:
    return HubStore(f"hf://datasets/{NAME}", operations=OPERATIONS)


def put(files: Files = FILES, tag: str = "v1") -> None:
    release = release_of(files)
    store().plan(tag, release)
    store().push(tag, release, files.__getitem__, "What is new.", ignore)


def commits(hub: HubServer) -> int:
    return hub.count("POST", "/commit/")


@pytest.mark.parametrize("transfer", ["LFS", "Xet"])
def test_main_moves_once(hub: HubServer, transfer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", transfer != "Xet")
    counts: list[int] = []
    ids = store().push("v1", RELEASE, FILES.__getitem__, "What is new.", counts.append)
    check(hub, RELEASE, FILES)
    assert titles(hub) == ["initial commit", TITLE]
    assert commits(hub) == 3  # of 14 files, the record among them
    assert ids["commit"] == hub.store.resolve("datasets", NAME, "v1") == hub.store.resolve("datasets", NAME, "main")
    assert sum(counts) == sum(map(len, FILES.values()))
    assert counts[0] < sum(counts) / 2  # it is reported while it is sent
    assert bool(hub.count("POST", "^/xet/")) == (transfer == "Xet") != bool(hub.count("PUT", "^/upload/"))
    hub.forget()
    put()
    assert not hub.count("POST|PUT")


def test_the_next_release_removes_what_it_has_not(hub: HubServer) -> None:
    put()
    hub.store.commit("datasets", NAME, {"others.txt": b"of somebody else"})
    files = {"README.md": CARD, **{path.replace("data", "more"): content for path, content in LARGE.items()}}
    hub.forget()
    put(files, "v2")
    check(hub, release_of(files), files, "v2")
    head = hub.store.resolve("datasets", NAME, "v2")
    assert {*hub.store.read_commit("datasets", NAME, head).tree} == {*files, ".gitattributes", "others.txt", "release.json"}
    assert not hub.count("PUT")  # all of it is at the Hub, under other names
    check(hub, RELEASE, FILES)


def publish_in_child(home: dict[str, str]) -> None:
    os.environ.update(home)
    constants.HF_HUB_DISABLE_XET = True
    hub_store.AT_ONCE = 4
    put()


# What the last request was that was answered before the kill, and the commits that the second run makes.
KILLS = {
    "the second upload": (Fault(method="PUT", path="^/upload/", skip=4), 3),
    "the pull request": (Fault(method="POST", path="/discussions$"), 3),
    "the first commit": (Fault(method="POST", path="/commit/"), 2),
    "the last commit": (Fault(method="POST", path="/commit/", skip=2), 0),
    "its opening": (Fault(method="POST", path="/status$"), 0),
    "the merge": (Fault(method="POST", path="/merge$"), 0),
    "the tag": (Fault(method="POST", path="/tag/"), 0),
}


@pytest.mark.parametrize("at", KILLS)
def test_a_killed_publication_leaves_main_alone_and_goes_on(hub: HubServer, tmp_path: Path, at: str) -> None:
    fault, left = KILLS[at]
    process = processes().Process(target=publish_in_child, args=(hub.environment(tmp_path / "home", WRITE),))
    process.start()
    fault.hits = fault._passed = 0
    fault.kill = process.pid
    hub.faults.add(fault)
    process.join()
    hub.faults.clear()
    assert process.exitcode == -9 and fault.hits == 1
    merged = at in ("the merge", "the tag")
    assert titles(hub) == ["initial commit", *([TITLE] if merged else [])]
    assert ("v1" in hub.store.repository("datasets", NAME).tags) == (at == "the tag")
    hub.until_clients_left()
    there = [hub.store.blobs.has(hashlib.sha256(content).hexdigest()) for content in LARGE.values()]
    hub.forget()
    put()
    check(hub, RELEASE, FILES)
    assert titles(hub) == ["initial commit", TITLE]
    assert commits(hub) == left
    assert hub.count("PUT", "^/upload/") == there.count(False)
    assert len(hub.store.repository("datasets", NAME).pulls) == 1


def test_others_commit_meanwhile(hub: HubServer) -> None:
    def commit(files: Files) -> None:
        hub.store.commit("datasets", NAME, files)

    hub.faults.add(Fault(method="POST", path="/commit/", skip=1, meanwhile=lambda: commit({"theirs.txt": b"1"})))
    hub.faults.add(Fault(method="POST", path="/merge$", meanwhile=lambda: commit({"README.md": b"theirs"})))
    put()
    check(hub, RELEASE, FILES)
    assert titles(hub) == ["initial commit", "Add files", "Add files", TITLE.replace("#1", "#2")]
    assert hub.store.read("datasets", NAME, "theirs.txt", "v1") == b"1"
    assert [pull["status"] for pull in hub.store.repository("datasets", NAME).pulls] == ["closed", "merged"]


def test_a_lost_answer_to_a_merge(hub: HubServer) -> None:
    for path in ("/status$", "/merge$"):
        hub.faults.add(Fault(method="POST", path=path, drop=True))
    put()
    check(hub, RELEASE, FILES)
    assert titles(hub) == ["initial commit", TITLE]


def test_ignored_files_are_noticed_before_main_moves(hub: HubServer) -> None:
    fault = Fault(method="POST", path="/preupload/", times=None, status=200, body=b"")
    listed = [{"path": path, "uploadMode": "regular", "shouldIgnore": True} for path in FILES]
    fault.body = json.dumps(
        {"files": [*listed, {"path": "release.json", "uploadMode": "regular", "shouldIgnore": False}]}
    ).encode()
    hub.faults.add(fault)
    with pytest.raises(Refused, match="does not hold the bytes"):
        put()
    assert titles(hub) == ["initial commit"]
    assert not hub.store.repository("datasets", NAME).tags


# What the Hub limits


def test_a_window_of_requests_is_waited_for(hub: HubServer) -> None:
    hub.limits.requests, hub.limits.window = 25, 1.0
    began = time.monotonic()
    put()
    hub.limits.requests = None
    check(hub, RELEASE, FILES)
    assert titles(hub) == ["initial commit", TITLE]
    assert any(made.status == 429 for made in hub.requests)
    assert time.monotonic() - began > 1


def test_the_wait_is_that_of_the_hub_s_window(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("aqea_registry.remote.retry.time.sleep", waited.append)
    windows = {"RateLimit": '"api";r=0;t=299', "Retry-After": "1"}, {"RateLimit": '"api";r=7;t=299', "Retry-After": "1"}
    for headers in windows:
        hub.faults.add(Fault(method="POST", path="/commit/", status=429, headers=headers))
    put()
    check(hub, RELEASE, FILES)
    assert [wait for wait in waited if wait >= 1] == [300.0, 1.0]


@pytest.mark.rare
def test_the_hub_s_client_may_wait_longer_than_a_server_may_be_silent(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqea_registry.remote.retry.PATIENCE", 6.0)
    hub.faults.add(Fault(method="POST", path="/preupload/", status=429, headers={"RateLimit": '"api";r=0;t=9'}))
    put()
    check(hub, RELEASE, FILES)


@pytest.mark.parametrize("path", ["/upload/", "/commit/"])
def test_a_hub_that_falls_silent_is_given_up_whatever_an_upload_may_take(
    hub: HubServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqea_registry.remote.retry.PATIENCE", 1.0)
    monkeypatch.setattr("aqea_registry.remote.retry._lost", {})
    monkeypatch.setattr("aqea_registry.remote.hub_writer.SLOWEST", 1)  # bytes a second
    silent = hub.faults.add(Fault(method="POST|PUT", path=path, delay=100, times=None))
    with pytest.raises(CannotCheck, match="no answer in time"):
        put()
    assert silent.hits


def test_a_quota_of_commits_ends_it_and_it_goes_on_later(hub: HubServer) -> None:
    hub.limits.commits = 2
    with pytest.raises(CannotCheck, match=r"rate limit for repository commits \(2 per hour\)") as caught:
        put()
    assert caught.value.hint == "try again in 60 minutes, as it asks: what is done stays done"
    assert titles(hub) == ["initial commit"]
    hub.limits.hour = 0.0
    hub.forget()
    put()
    check(hub, RELEASE, FILES)
    assert (commits(hub), hub.count("PUT")) == (1, 0)


def test_too_many_files_in_a_folder_are_refused_before_anything_is_sent(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"README.md": CARD, **{f"data/{number}.json": b"x" for number in range(10)}}
    monkeypatch.setattr(hub_store, "LARGEST_FOLDER", 9)
    with pytest.raises(BadConfiguration, match="the Hub takes 9 files a folder, and data has 10"):
        put(files)
    assert not hub.requests
    monkeypatch.setattr(hub_store, "LARGEST_FOLDER", 10)
    put(files)
    check(hub, release_of(files), files)


def test_the_local_hub_has_the_limits(hub: HubServer) -> None:
    """What the tests above rest on."""
    api = HfApi(hub.endpoint)
    hub.limits.folder = 2

    def upload(count: int, folder: str = "a/") -> None:
        files = {f"{folder}{number}": b"%d" % number for number in range(count)}
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        api.create_commit(NAME, operations, commit_message="x", repo_type="dataset")

    with pytest.raises(Exception, match="Too many operations"):
        upload(OPERATIONS + 1)
    with pytest.raises(Exception, match="more than 2 files per directory"):
        upload(3)
    upload(2)
