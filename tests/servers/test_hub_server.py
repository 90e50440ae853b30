"""The tests' own Hub, as the real clients see it. What is said here, other tests may rely on."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import importlib.metadata
import json
import os
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.servers.hub import Fault, HubServer, Store, payload
from tests.tools import BIN, ROOT, run

MODEL, DATA = "org/model", "org/data"
CARD = b"---\nlicense: mit\ntags: [a, b]\n---\n# A card\n"
BIG = random.Random(0).randbytes(300_000)
FILES = {
    "README.md": CARD,
    "config.json": b"{}",
    "deep/er/notes.txt": b"notes",
    "deep/weights.bin": b"w",
    "model.safetensors": BIG,
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    # The client read its environment when it was imported; these are the values that `environment` would have set.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with HubServer(tmp_path / "store", page_size=3, multipart=100_000) as server:
        server.store.token("hf_write", user="alice", orgs=["org"])
        server.store.token("hf_read", user="bob", role="read", orgs=["org"])
        server.store.token("hf_other", user="eve")
        yield server


@pytest.fixture
def commit(hub: HubServer) -> str:
    hub.store.create("models", MODEL)
    return hub.store.commit("models", MODEL, FILES, message="First")


def client(hub: HubServer, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=token)


def fetch(hub: HubServer, path: str, cache: Path, *, revision: str = "main", token: str | bool = False) -> bytes:
    """What `hf_hub_download` downloads."""
    found = client(hub, token).hf_hub_download(MODEL, path, revision=revision, cache_dir=cache, etag_timeout=20)
    return Path(found).read_bytes()


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A request without the help of a client; redirects are not followed."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=100)) as connection:
        connection.request(method, parts.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()


# What is there


def test_ids_are_those_of_git(hub: HubServer, commit: str, tmp_path: Path) -> None:
    second = hub.store.commit("models", MODEL, {"config.json": b"{ }"}, message="Second")
    made = hub.store.read_commit("models", MODEL, second)
    work = tmp_path / "git"
    for path, entry in made.tree.items():
        data = hub.store.read("models", MODEL, path)
        if entry.lfs:
            data = f"version https://git-lfs.github.com/spec/v1\noid sha256:{entry.sha256}\nsize {entry.size}\n".encode()
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(data)
    for words in (["init", "-q"], ["add", "-A"]):
        assert run("git", *words, cwd=work).status == 0
    tree = run("git", "write-tree", cwd=work).out
    who = f"models/{MODEL} <models/{MODEL}> {made.time} +0000"
    (tmp_path / "commit").write_text(f"tree {tree}parent {commit}\nauthor {who}\ncommitter {who}\n\nSecond\n")
    assert run("git", "hash-object", "-t", "commit", tmp_path / "commit", cwd=work).out.strip() == second


def test_info(hub: HubServer, commit: str) -> None:
    hub.store.tag("models", MODEL, "v1")
    hub.store.branch("models", MODEL, "try/this")
    later = hub.store.commit("models", MODEL, {"more.txt": b"more"}, delete=["config.json"])
    info = client(hub).model_info(MODEL, files_metadata=True)
    assert (info.id, info.sha, info.private, info.gated, info.tags) == (MODEL, later, False, False, ["a", "b"])
    assert info.card_data is not None and info.card_data["license"] == "mit"
    files = {file.rfilename: file for file in info.siblings or []}
    assert sorted(files) == sorted({*FILES, "more.txt"} - {"config.json"})
    big = files["model.safetensors"].lfs
    assert big is not None and (big.sha256, big.size) == (hashlib.sha256(BIG).hexdigest(), len(BIG))
    notes = files["deep/er/notes.txt"]
    assert (notes.size, notes.lfs) == (5, None)
    assert notes.blob_id == hashlib.sha1(b"blob 5\0notes", usedforsecurity=False).hexdigest()
    for revision in ("v1", "try/this", "refs/tags/v1", commit, commit[:8]):
        before = client(hub).model_info(MODEL, revision=revision)
        assert before.sha == commit
        assert [file.size for file in before.siblings or []] == [None] * len(FILES)
    with pytest.raises(RevisionNotFoundError):
        client(hub).model_info(MODEL, revision="v2")
    with pytest.raises(RepositoryNotFoundError):  # a dataset of that name does not exist
        client(hub).dataset_info(MODEL)


def test_trees_refs_and_history(hub: HubServer, commit: str) -> None:
    api = client(hub)
    names = [item.path for item in api.list_repo_tree(MODEL, recursive=True)]
    assert names == sorted([*FILES, "deep", "deep/er"])  # in pages of three
    assert hub.count("GET", "/tree/.*cursor=") == 2
    assert [item.path for item in api.list_repo_tree(MODEL, "deep")] == ["deep/er", "deep/weights.bin"]
    later = hub.store.commit("models", MODEL, {"config.json": b"{ }"}, message="Second\n\nWhy")
    found = {item.path: item.last_commit.oid for item in api.list_repo_tree(MODEL, expand=True) if item.last_commit}
    assert found == {"README.md": commit, "config.json": later, "deep": commit, "model.safetensors": commit}
    assert [item.path for item in api.get_paths_info(MODEL, ["deep", "config.json", "nothing"])] == ["deep", "config.json"]
    for folder in ("nothing", "config.json"):
        with pytest.raises(EntryNotFoundError):
            list(api.list_repo_tree(MODEL, folder))
    hub.store.tag("models", MODEL, "v1", commit)
    refs = api.list_repo_refs(MODEL)
    assert [(tag.name, tag.ref, tag.target_commit) for tag in refs.tags] == [("v1", "refs/tags/v1", commit)]
    assert [(branch.name, branch.target_commit) for branch in refs.branches] == [("main", later)]
    history = api.list_repo_commits(MODEL)
    assert [(made.commit_id, made.title, made.message) for made in history] == [(later, "Second", "Why"), (commit, "First", "")]


# Downloads


@pytest.mark.parametrize("path", FILES)
def test_download(hub: HubServer, commit: str, tmp_path: Path, path: str) -> None:
    for revision in ("main", commit):
        assert fetch(hub, path, tmp_path / "cache", revision=revision, token="hf_read") == FILES[path]
    assert hub.downloaded() == hub.downloaded(path) == len(FILES[path])  # the second time it was in the cache
    assert all(made.headers["Authorization"] == "Bearer hf_read" for made in hub.requests if "/resolve/" in made.path)
    assert not any(made.headers["Authorization"] for made in hub.requests if made.path.startswith("/cdn/"))
    with pytest.raises(EntryNotFoundError):
        fetch(hub, f"{path}.nothing", tmp_path / "cache")
    with pytest.raises(RevisionNotFoundError):
        fetch(hub, path, tmp_path / "cache", revision="0" * 40)


@pytest.mark.parametrize("whole", [False, True])
def test_a_cut_download_goes_on(hub: HubServer, commit: str, tmp_path: Path, whole: bool) -> None:
    # The client keeps what it has only in steps of 10 MiB; it loads the rest again.
    step = huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE
    large = random.Random(1).randbytes(step + 2_000_000)
    hub.store.commit("models", MODEL, {"large.bin": large})
    hub.faults.add(Fault(path=payload("large.bin"), cut=step + 1_000_000))
    hub.faults.add(Fault(path=payload("large.bin"), whole=whole))
    assert fetch(hub, "large.bin", tmp_path / "cache") == large
    first, second = [made for made in hub.requests if made.method == "GET"]
    assert (first.status, first.sent, second.headers["Range"]) == (200, step + 1_000_000, f"bytes={step}-")
    assert (second.status, second.sent) == ((200, len(large)) if whole else (206, 2_000_000))


def test_ranges(hub: HubServer, commit: str) -> None:
    status, headers, _ = ask(f"{hub.endpoint}/{MODEL}/resolve/v0/config.json", "HEAD")
    assert (status, headers["X-Error-Code"]) == (404, "RevisionNotFound")
    status, headers, _ = ask(f"{hub.endpoint}/{MODEL}/resolve/main/model.safetensors", "HEAD")
    digest = hashlib.sha256(BIG).hexdigest()
    assert (status, headers["X-Linked-Etag"], headers["X-Linked-Size"]) == (302, f'"{digest}"', str(len(BIG)))
    assert headers["X-Repo-Commit"] == commit
    url = headers["Location"]
    assert urlsplit(url).netloc != urlsplit(hub.endpoint).netloc  # another origin
    for wanted, expected in (("0-9", BIG[:10]), ("10-", BIG[10:]), ("-10", BIG[-10:]), ("299990-400000", BIG[-10:])):
        status, headers, body = ask(url, Range=f"bytes={wanted}")
        assert (status, body, headers["Content-Length"]) == (206, expected, str(len(expected)))
    assert headers["Content-Range"] == "bytes 299990-299999/300000"
    status, headers, _ = ask(url, Range="bytes=300000-")
    assert (status, headers["Content-Range"]) == (416, "bytes */300000")
    status, headers, body = ask(url, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "300000", b"")


def test_snapshot(hub: HubServer, commit: str, tmp_path: Path) -> None:
    hub.store.tag("models", MODEL, "v1")
    for _ in range(2):
        folder = Path(client(hub).snapshot_download(MODEL, revision="v1", cache_dir=tmp_path / "cache"))
        assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == FILES
    assert folder.name == commit
    assert hub.downloaded() == sum(map(len, FILES.values()))
    hub.forget()
    assert not hub.requests


def test_a_commit_can_vanish(hub: HubServer, commit: str, tmp_path: Path) -> None:
    later = hub.store.commit("models", MODEL, {"config.json": b"{ }"})
    hub.store.tag("models", MODEL, "v1")
    hub.store.delete_commit("models", MODEL, later)
    for gone in (later, "v1"):
        with pytest.raises(RevisionNotFoundError):
            fetch(hub, "config.json", tmp_path / "cache", revision=gone)
    assert fetch(hub, "config.json", tmp_path / "cache") == b"{}"


# Writing


def test_a_commit_of_all_kinds(hub: HubServer, tmp_path: Path) -> None:
    api = client(hub, "hf_write")
    url = api.create_repo(DATA, repo_type="dataset")
    assert (url.repo_id, url.repo_type) == (DATA, "dataset")
    assert api.create_repo(DATA, repo_type="dataset", exist_ok=True) == url
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(DATA, repo_type="dataset")
    first = api.dataset_info(DATA).sha
    added = [CommitOperationAdd(path, data) for path, data in {**FILES, "empty.bin": b"", "old/a": b"a", "old/b": b"b"}.items()]
    done = api.create_commit(DATA, added, commit_message="All", repo_type="dataset", parent_commit=first, num_threads=1)
    assert done.oid == api.dataset_info(DATA).sha == hub.store.resolve("datasets", DATA, "main")
    for path, data in FILES.items():
        assert hub.store.read("datasets", DATA, path) == data
    assert [made.received for made in hub.requests if made.method == "PUT"] == [1, 100_000, 100_000, 100_000]
    changed: list[CommitOperationCopy | CommitOperationDelete] = [
        CommitOperationCopy("model.safetensors", "copy.safetensors"),
        CommitOperationDelete("config.json"),
        CommitOperationDelete("old/"),
    ]
    hub.forget()
    api.create_commit(DATA, changed, commit_message="Tidy", repo_type="dataset")
    assert hub.uploaded() < 1000  # a copy sends no content
    names = api.list_repo_files(DATA, repo_type="dataset")
    assert sorted(names) == sorted({".gitattributes", *FILES, "copy.safetensors", "empty.bin"} - {"config.json"})
    with pytest.raises(HfHubHTTPError, match="412") as stale:
        api.create_commit(DATA, [CommitOperationAdd("x", b"")], commit_message="Late", repo_type="dataset", parent_commit=first)
    assert stale.value.response.status_code == 412
    with pytest.raises(EntryNotFoundError):
        api.create_commit(DATA, [CommitOperationDelete("nothing")], commit_message="No", repo_type="dataset")
    with pytest.raises(ValueError, match="Invalid metadata"):
        bad = [CommitOperationAdd("README.md", b"---\na: [\n---\n")]
        api.create_commit(DATA, bad, commit_message="Bad card", repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="Invalid path"):
        api.create_commit(DATA, [CommitOperationAdd("a//b", b"")], commit_message="Bad path", repo_type="dataset")


def test_upload_folder(hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    hub.store.create("datasets", DATA, initial=True)
    api = client(hub, "hf_write")
    first = api.upload_folder(repo_id=DATA, folder_path=folder, repo_type="dataset")
    assert hub.uploaded() > len(BIG)
    hub.forget()
    second = api.upload_folder(repo_id=DATA, folder_path=folder, repo_type="dataset")
    assert second.oid == first.oid
    assert not hub.uploaded()  # everything was there, and no empty commit was made
    assert len(api.list_repo_commits(DATA, repo_type="dataset")) == 2


def test_tags_and_branches(hub: HubServer, commit: str) -> None:
    api = client(hub, "hf_write")
    api.create_tag(MODEL, tag="v1", tag_message="One")
    later = hub.store.commit("models", MODEL, {"config.json": b"{ }"})
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag(MODEL, tag="v1")
    api.create_tag(MODEL, tag="v1", exist_ok=True)  # says nothing, and does nothing
    assert api.model_info(MODEL, revision="v1").sha == commit
    hub.store.move_tag("models", MODEL, "v1", later)
    assert api.model_info(MODEL, revision="v1").sha == later
    api.delete_tag(MODEL, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(MODEL, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(MODEL, tag="v2", revision="nothing")
    api.create_branch(MODEL, branch="try/this", revision=commit)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch(MODEL, branch="try/this")
    done = api.create_commit(MODEL, [CommitOperationAdd("x", b"x")], commit_message="There", revision="try/this")
    assert hub.store.resolve("models", MODEL, "try/this") == done.oid
    assert hub.store.resolve("models", MODEL, "main") == later
    api.delete_branch(MODEL, branch="try/this")
    with pytest.raises(RevisionNotFoundError):
        api.create_commit(MODEL, [CommitOperationAdd("x", b"x")], commit_message="Nowhere", revision="try/this")


def test_delete_repo(hub: HubServer, commit: str) -> None:
    api = client(hub, "hf_write")
    api.delete_repo(MODEL)
    api.delete_repo(MODEL, missing_ok=True)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(MODEL)
    assert not api.repo_exists(MODEL)


# Who may do what


def test_tokens(hub: HubServer, commit: str) -> None:
    me = client(hub, "hf_read").whoami()
    assert (me["name"], me["orgs"][0]["name"], me["auth"]["accessToken"]["role"]) == ("bob", "org", "read")
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        client(hub, "hf_wrong").whoami()
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):  # even where no token is needed
        client(hub, "hf_wrong").model_info(MODEL)
    operations = [CommitOperationAdd("x", b"x"), CommitOperationAdd("y.bin", b"y")]
    writes: list[Callable[[HfApi], object]] = [
        lambda api: api.create_repo("org/new"),
        lambda api: api.create_commit(MODEL, operations, commit_message="No"),
        lambda api: api.create_tag(MODEL, tag="v1"),
        lambda api: api.delete_repo(MODEL),
        lambda api: api.auth_check(MODEL, write=True),
    ]
    for token, statuses in (("hf_read", {403}), ("hf_other", {403}), (False, {401, 404})):
        for write in writes:
            with pytest.raises(HfHubHTTPError) as error:
                write(client(hub, token))
            assert error.value.response.status_code in statuses
    assert not hub.count("PUT")
    assert hub.store.resolve("models", MODEL, "main") == commit


def test_private(hub: HubServer, commit: str, tmp_path: Path) -> None:
    hub.store.settings("models", MODEL, private=True)
    for token in (False, "hf_other"):
        with pytest.raises(RepositoryNotFoundError):
            client(hub, token).model_info(MODEL)
        with pytest.raises(RepositoryNotFoundError):
            fetch(hub, "config.json", tmp_path, token=token)
    assert client(hub, "hf_read").model_info(MODEL).private
    hub.store.let_in("models", MODEL, "eve")
    assert fetch(hub, "config.json", tmp_path, token="hf_other") == b"{}"


def test_gated(hub: HubServer, commit: str, tmp_path: Path) -> None:
    hub.store.settings("models", MODEL, gated=True)
    for token, status in ((False, 401), ("hf_other", 403)):
        assert client(hub, token).model_info(MODEL).gated == "manual"
        assert len(client(hub, token).list_repo_files(MODEL)) == len(FILES)
        with pytest.raises(GatedRepoError) as error:
            fetch(hub, "config.json", tmp_path, token=token)
        assert error.value.response.status_code == status
    assert fetch(hub, "config.json", tmp_path, token="hf_read") == b"{}"
    hub.store.let_in("models", MODEL, "eve")
    assert fetch(hub, "model.safetensors", tmp_path, token="hf_other") == BIG


# Faults


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=401), HfHubHTTPError),
        (Fault(status=403), HfHubHTTPError),
        (Fault(status=404), HfHubHTTPError),
        (Fault(status=404, code="RepoNotFound"), RepositoryNotFoundError),
        (Fault(status=404, code="RevisionNotFound"), RevisionNotFoundError),
        (Fault(status=403, code="GatedRepo"), GatedRepoError),
        (Fault(status=500, body=b"<html>", headers={"Content-Type": "text/html"}), HfHubHTTPError),
        (Fault(status=503), HfHubHTTPError),
        (Fault(truncate=20), json.JSONDecodeError),
        (Fault(drop=True), Exception),
        (Fault(cut=20), Exception),
        (Fault(drop=True, reset=True), Exception),
    ],
)
def test_faults_of_the_api(hub: HubServer, commit: str, fault: Fault, error: type[Exception]) -> None:
    fault.path = r"^/api/models/"
    hub.faults.add(fault)
    with pytest.raises(error) as raised:
        client(hub).model_info(MODEL)
    assert fault.status is None or (
        isinstance(raised.value, HfHubHTTPError) and raised.value.response.status_code == fault.status
    )
    assert fault.hits == 1
    assert client(hub).model_info(MODEL).sha == commit  # once only


def test_too_many_requests(hub: HubServer, commit: str, tmp_path: Path) -> None:
    hub.faults.add(Fault(path=payload(), status=429, headers={"Retry-After": "0"}))
    assert fetch(hub, "model.safetensors", tmp_path) == BIG
    assert [made.status for made in hub.requests if made.path.startswith("/cdn/")] == [429, 200]


@pytest.mark.parametrize(
    "fault",
    [Fault(truncate=1000), Fault(append=b"more"), Fault(cut=1000, reset=True), Fault(status=500), Fault(status=404)],
)
def test_faults_that_a_download_notices(hub: HubServer, commit: str, tmp_path: Path, fault: Fault) -> None:
    fault.path = payload("model.safetensors")
    hub.faults.add(fault)
    with pytest.raises(Exception, match=r"."):
        fetch(hub, "model.safetensors", tmp_path)
    assert fault.hits == 1
    assert not list(tmp_path.rglob("snapshots/*/*"))


def test_faults_that_a_download_does_not_notice(hub: HubServer, commit: str, tmp_path: Path) -> None:
    hub.faults.add(Fault(path=payload(), flip=1000))
    spoiled = fetch(hub, "model.safetensors", tmp_path / "1")
    assert spoiled != BIG and len(spoiled) == len(BIG)
    hub.faults.add(Fault(path=payload(), overrun=b"more"))
    assert fetch(hub, "model.safetensors", tmp_path / "2") == BIG
    hub.faults.add(Fault(method="HEAD", path="/resolve/", headers={"X-Linked-Etag": f'"{"0" * 64}"'}))
    assert fetch(hub, "model.safetensors", tmp_path / "3") == BIG
    assert [path.name for path in tmp_path.glob("3/*/blobs/*")] == ["0" * 64]
    hub.faults.add(Fault(method="HEAD", path="/resolve/", headers={"X-Repo-Commit": None}))
    with pytest.raises(LocalEntryNotFoundError, match="X-Repo-Commit"):
        fetch(hub, "model.safetensors", tmp_path / "4")


def test_slow_answers(hub: HubServer, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.6)
    hub.faults.add(Fault(path=payload(), cut=1000, stall=1))
    assert fetch(hub, "model.safetensors", tmp_path) == BIG
    assert {1000, len(BIG)} <= {made.sent for made in hub.requests if made.path.startswith("/cdn/")}
    hub.faults.add(Fault(method="HEAD", path="config.json", delay=0.3))
    started = time.monotonic()
    assert fetch(hub, "config.json", tmp_path) == b"{}"
    assert time.monotonic() - started > 0.3


def test_a_lost_answer_to_a_commit(hub: HubServer, commit: str) -> None:
    hub.faults.add(Fault(method="POST", path="/commit/", drop=True))
    with pytest.raises(Exception, match="disconnected"):
        client(hub, "hf_write").create_commit(MODEL, [CommitOperationAdd("x", b"x")], commit_message="Done, unheard")
    assert hub.store.read("models", MODEL, "x") == b"x"
    hub.faults.add(Fault(method="POST", path="/tag/", status=500, after=True))
    with pytest.raises(HfHubHTTPError, match="500"):
        client(hub, "hf_write").create_tag(MODEL, tag="v1")
    assert hub.store.resolve("models", MODEL, "v1")


def test_faults_wait_for_their_turn(hub: HubServer, commit: str) -> None:
    always = hub.faults.add(Fault(path="^/api/models/", status=500, skip=1, times=None))
    statuses = [ask(f"{hub.endpoint}/api/models/{MODEL}")[0] for _ in range(4)]
    assert statuses == [200, 500, 500, 500] and always.hits == 3
    hub.faults.clear()
    assert ask(f"{hub.endpoint}/api/models/{MODEL}")[0] == 200
    assert sorted(made.status for made in hub.requests) == sorted([*statuses, 200])  # each is noted by its own thread


def test_a_hub_that_tampers(hub: HubServer, commit: str, tmp_path: Path) -> None:
    for path in ("config.json", "model.safetensors"):
        other = FILES[path][::-1]
        hub.store.put("models", MODEL, commit, path, other)
        assert fetch(hub, path, tmp_path / "1", revision=commit) == other  # the client does not check
        hub.store.put("models", MODEL, commit, path, other + b"more")
        with pytest.raises(OSError, match="Consistency check failed"):
            fetch(hub, path, tmp_path / "2", revision=commit)
    before = client(hub).get_paths_info(MODEL, ["config.json"])[0]
    hub.store.put("models", MODEL, commit, "config.json", b"new", announce=True)
    after = client(hub).get_paths_info(MODEL, ["config.json"])[0]
    assert before != after and fetch(hub, "config.json", tmp_path / "3") == b"new"
    assert hub.store.resolve("models", MODEL, "main") == commit


def test_offline_and_online(hub: HubServer, commit: str, tmp_path: Path) -> None:
    assert fetch(hub, "config.json", tmp_path) == b"{}"
    hub.offline()
    assert fetch(hub, "config.json", tmp_path) == b"{}"  # out of the cache, as for the branch it saw last
    with pytest.raises(ConnectionRefusedError):
        ask(hub.endpoint)
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", int(hub.endpoint.rpartition(":")[2])))  # nobody else gets the port
    hub.online()
    assert fetch(hub, "README.md", tmp_path) == CARD


# Programs


def test_the_command_line_client(hub: HubServer, commit: str, tmp_path: Path) -> None:
    env = hub.environment(tmp_path / "cache", token="hf_write")
    assert run(BIN / "hf", "download", MODEL, "--revision", commit, cwd=tmp_path, env=env).status == 0
    assert {path.name for path in tmp_path.glob("cache/hub/models--org--model/snapshots/*")} == {commit}
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "data.parquet").write_bytes(BIG)
    words = ("upload", "org/new", tmp_path / "folder", "--repo-type", "dataset", "--private")
    done = run(BIN / "hf", *words, cwd=tmp_path, env=env)
    assert done.status == 0, done.err
    assert hub.store.read("datasets", "org/new", "data.parquet") == BIG
    assert hub.store.repository("datasets", "org/new").private
    refused = run(BIN / "hf", *words, cwd=tmp_path, env=hub.environment(tmp_path / "cache", token="hf_other"))
    assert refused.status != 0


def gone(endpoint: str) -> bool:
    """Whether nobody listens there after a while; a server that goes may reset a last connection first."""
    for _ in range(1000):
        try:
            ask(endpoint)
        except ConnectionRefusedError:
            return True
        except (ConnectionResetError, http.client.RemoteDisconnected):
            pass
        time.sleep(0.1)
    return False


def test_a_process_of_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create("models", MODEL)
    store.commit("models", MODEL, FILES)
    shell = f"{sys.executable} -m tests.servers.hub {tmp_path} & read line"  # the shell goes when its input ends
    words = ["sh", "-c", shell]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin and parent.stdout
        endpoint = f"http://127.0.0.1:{int(parent.stdout.readline())}"
        later = store.commit("models", MODEL, {"config.json": b"{ }"})  # it sees what this process changes
        assert HfApi(endpoint=endpoint, token=False).model_info(MODEL).sha == later
        parent.stdin.close()
    assert gone(endpoint)


def test_xet_tokens(hub: HubServer, commit: str) -> None:
    address = f"{hub.endpoint}/api/models/{MODEL}/xet-{{}}-token/{commit}"
    status, headers, _ = ask(address.format("read"))
    assert status == 200 and headers["X-Xet-Cas-Url"].startswith("http://127.0.0.1:")
    statuses = {token: ask(address.format("write"), Authorization=f"Bearer {token}")[0] for token in ("hf_write", "hf_read")}
    assert statuses == {"hf_write": 200, "hf_read": 403} and ask(address.format("write"))[0] == 401
    storage = f"{headers['X-Xet-Cas-Url']}/v1/shards"
    refused = {token: ask(storage, "POST", Authorization=f"Bearer {token}")[0] for token in ("hf_write", "xet-read-token")}
    assert refused == {"hf_write": 401, "xet-read-token": 403}


def test_xet_storage_checks_what_it_takes(hub: HubServer) -> None:
    write, xorb, file = {"Authorization": "Bearer xet-write-token"}, b"\1" * 32, b"\2" * 32
    assert send(hub, f"/xet/v1/xorbs/default/{'01' * 32}", chunk(b"some") + chunk(b"more"), write)[0] == 200
    for body in (b"\1" + chunk(b"x")[1:], chunk(b"x")[:-1], chunk(b"xy")[:-1] + b"z" + b"\0" * 9):
        assert send(hub, f"/xet/v1/xorbs/default/{'03' * 32}", body, write)[0] == 400
    for content, name, size, status in (
        (b"more", xorb, 4, 200),
        (b"some", xorb, 4, 400),  # not the bytes of that sha256
        (b"more", xorb, 5, 400),
        (b"more", file, 4, 404),
    ):
        sha256 = hashlib.sha256(content).digest()
        swapped = b"".join(sha256[at : at + 8][::-1] for at in range(0, 32, 8))
        header, row = struct.pack("<32s4I", file, 1 << 30, 1, 0, 0), struct.pack("<32s4I", name, 0, size, 1, 2)
        end = b"\xff" * 32 + bytes(16)
        shard = bytes(48) + header + row + swapped + bytes(16) + end + end
        assert send(hub, "/xet/v1/shards", shard, write)[0] == status
    assert hub.store.blobs.has(hashlib.sha256(b"more").hexdigest())


def chunk(data: bytes) -> bytes:
    """A chunk of a xorb, not compressed."""
    size = len(data).to_bytes(3, "little")
    return b"\0" + size + b"\0" + size + data


def send(hub: HubServer, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=100)) as connection:
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


LOAD = """
import json, sys, datasets
name, config, split = sys.argv[1:]
found = datasets.load_dataset(name, config or None, split=split)
print(json.dumps([datasets.get_dataset_config_names(name), found.to_list()]))
"""


def test_load_dataset(hub: HubServer, tmp_path: Path) -> None:
    try:  # importing would find this checkout's folder of that name
        importlib.metadata.version("datasets")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("datasets is not installed")
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def table(rows: list[dict[str, object]]) -> bytes:
        parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "table")
        return (tmp_path / "table").read_bytes()

    def load(*words: str) -> object:
        env = {**hub.environment(tmp_path / "cache"), "PYTHONSAFEPATH": "1"}
        done = run(sys.executable, "-c", LOAD, *words, cwd=tmp_path, env=env)
        assert done.status == 0, done.err
        return json.loads(done.out)

    rows: list[dict[str, object]] = [{"sentence1": "a", "sentence2": "b", "score": at / 2} for at in range(5)]
    lines = "".join(json.dumps(row) + os.linesep for row in rows)
    hub.store.create("datasets", "org/lines")
    hub.store.commit("datasets", "org/lines", {"test.jsonl.gz": gzip.compress(lines.encode()), "README.md": CARD})
    assert load("org/lines", "", "test") == [["default"], rows]
    card = """---
configs:
- config_name: one
  data_files: [{split: test, path: one/test-*.parquet}]
- config_name: two
  data_files: [{split: test, path: two.parquet}]
---
"""
    files = {"README.md": card.encode(), "one/test-0.parquet": table(rows[:2]), "one/test-1.parquet": table(rows[2:])}
    hub.store.create("datasets", "org/tables")
    hub.store.commit("datasets", "org/tables", {**files, "two.parquet": table(rows[:1])})
    assert load("org/tables", "one", "test") == [["one", "two"], rows]
    assert load("org/tables", "two", "test") == [["one", "two"], rows[:1]]
