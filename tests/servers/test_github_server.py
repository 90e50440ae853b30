"""The tests' own GitHub, as PyGithub sees it. What is said here, other tests may rely on."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from github import Auth, Github, GithubException

from tests.servers.github import GitHubServer, Store, UploadFault, description

REPO = "org/name"


@pytest.fixture
def github(tmp_path: Path) -> Iterator[GitHubServer]:
    with GitHubServer(tmp_path / "github", description()) as server:
        server.store.create(REPO)
        server.store.create("org/private", private=True)
        server.store.token("ghp_write", push=[REPO, "org/private"])
        server.store.token("ghp_read", user="reader", pull=[REPO])
        yield server


def client(github: GitHubServer, token: str | None = "ghp_write") -> Github:
    auth = Auth.Token(token) if token else None
    return Github(
        auth=auth, base_url=github.api, retry=None, seconds_between_requests=None, seconds_between_writes=None, per_page=2
    )


def refused(call: object) -> tuple[int, str]:
    assert callable(call)
    with pytest.raises(GithubException) as caught:
        call()
    said = caught.value.data
    codes = [error["code"] for error in said.get("errors", ())]
    return caught.value.status, codes[0] if codes else said["message"]


def test_a_release_from_draft_to_publication(github: GitHubServer, tmp_path: Path) -> None:
    repo = client(github).get_repo(REPO)
    draft = repo.create_git_release("v1", name="First", message="Notes", draft=True)
    content = b"content" * 1000
    asset = draft.upload_asset_from_memory(io.BytesIO(content), len(content), "a b~ü.json", label="a/b")
    assert (asset.name, asset.label, asset.size, asset.state) == ("a.b.json", "a/b", len(content), "uploaded")
    assert asset.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    for name in ("one", "two", "three"):
        draft.upload_asset_from_memory(io.BytesIO(b"x"), 1, name)
    assert [one.name for one in draft.get_assets()] == ["a.b.json", "one", "two", "three"]  # in pages of two
    assert refused(lambda: draft.upload_asset_from_memory(io.BytesIO(b"y"), 1, "one")) == (422, "already_exists")
    assert refused(lambda: repo.get_release("v1")) == (404, "Not Found")
    assert list(client(github, "ghp_read").get_repo(REPO).get_releases()) == []

    other = repo.create_git_release("v1", name="Second", message="", draft=True)
    published = draft.update_release("First", "Notes", draft=False, make_latest="true")
    assert (published.draft, published.published_at is not None, repo.get_release("v1").id) == (False, True, draft.id)
    assert refused(lambda: other.update_release("Second", "", draft=False)) == (422, "already_exists")
    other.delete_release()
    asset.delete_asset()
    assert [one.name for one in repo.get_release("v1").assets] == ["one", "two", "three"]
    assert Store(tmp_path / "github").published(REPO, "v1") == github.store.published(REPO, "v1")  # it stands on disk
    assert github.uploaded() == len(content) + 4


def test_tokens(github: GitHubServer) -> None:
    for token, push in (("ghp_write", True), ("ghp_read", False)):
        assert client(github, token).get_repo(REPO).permissions.push is push
    assert client(github, None).get_repo(REPO).full_name == REPO
    reader = client(github, "ghp_read").get_repo(REPO)
    assert refused(lambda: reader.create_git_release("v1", name="", message="", draft=True))[0] == 403
    stranger = client(github, None).get_repo(REPO)
    assert refused(lambda: stranger.create_git_release("v1", name="", message="", draft=True))[0] == 401
    assert refused(lambda: client(github, "ghp_bad").get_repo(REPO)) == (401, "Bad credentials")
    unseen: list[tuple[str, str | None]] = [("org/private", "ghp_read"), ("org/private", None), ("no/such", "ghp_write")]
    for name, one in unseen:
        assert refused(partial(client(github, one).get_repo, name)) == (404, "Not Found")


def test_bytes_come_in_ranges_from_elsewhere(github: GitHubServer) -> None:
    (asset,) = github.store.publish(REPO, "v1", {"a.txt": b"0123456789"}).assets

    def fetch(url: str, **headers: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    url, page = f"{github.api}/repos/{REPO}/releases/assets/{asset.id}", f"{github.api}/{REPO}/releases/download/v1/a.txt"
    octets = {"Accept": "application/octet-stream"}
    assert fetch(url, **octets) == fetch(page) == (200, b"0123456789")
    assert fetch(url, **octets, Range="bytes=4-") == (206, b"456789")
    assert fetch(url, **octets, Range="bytes=10-")[0] == 416
    assert fetch(f"{github.cdn}/content/{asset.id}/a.txt", Authorization="Bearer x")[0] == 400  # a token has no business there
    assert json.loads(fetch(url)[1])["state"] == "uploaded"
    assert github.downloaded("a.txt") == 26


def test_a_cut_upload_leaves_a_starter(github: GitHubServer) -> None:
    repo = client(github).get_repo(REPO)
    draft = repo.create_git_release("v1", name="", message="", draft=True)
    github.faults.add(UploadFault(after_bytes=3))
    with pytest.raises(OSError):
        draft.upload_asset_from_memory(io.BytesIO(b"0123456789"), 10, "a.txt")
    (asset,) = draft.get_assets()
    assert (asset.state, asset.size, asset.digest) == ("starter", 0, None)
    assert refused(lambda: draft.upload_asset_from_memory(io.BytesIO(b"0"), 1, "a.txt")) == (422, "already_exists")


def test_what_is_immutable_stays(github: GitHubServer) -> None:
    github.store.create("org/fixed", immutable=True)
    github.store.token("ghp_write", push=["org/fixed"])
    repo = client(github).get_repo("org/fixed")
    draft = repo.create_git_release("v1", name="", message="", draft=True)
    asset = draft.upload_asset_from_memory(io.BytesIO(b"0"), 1, "a.txt")
    published = draft.update_release("v1", "", draft=False)
    assert published.immutable
    assert refused(lambda: published.upload_asset_from_memory(io.BytesIO(b"0"), 1, "b.txt"))[0] == 422
    assert refused(asset.delete_asset)[0] == 422
    assert published.update_release("v1", "Other notes").body == "Other notes"


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "wrong"),
    [
        ("GET", "/repos/{owner}/{repo}/releases/{release_id}", 200, {"id": 1}, "required"),
        ("GET", "/repos/{owner}/{repo}/releases/{release_id}/assets", 200, [{"state": "lost"}], "lost"),
        ("GET", "/repos/{owner}/{repo}/releases", 418, [], "never answers 418"),
        ("GET", "/repos/{owner}/{repo}", 404, {"mesage": "Not Found"}, "mesage"),
        ("DELETE", "/repos/{owner}/{repo}/releases/{release_id}", 204, {}, "no body"),
    ],
)
def test_the_description_finds_what_is_wrong(method: str, path: str, status: int, body: object, wrong: str) -> None:
    found = description().check_answer(method, path, status, json.dumps(body).encode())
    assert any(wrong in error for error in found), found
    request = json.dumps({"make_latest": True}).encode()
    assert "make_latest" in description().check_request("PATCH", "/repos/{owner}/{repo}/releases/{release_id}", request)[0]
