"""What is answered to each request. The routes are the paths of GitHub's own description."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlencode

from tests.servers.github import wire
from tests.servers.github.store import Account, Asset, No, Release, Repository, Store, invalid

DOCUMENTATION = "https://docs.github.com/rest"
LONGEST_BODY = 125_000


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request, and who makes it."""

    store: Store
    api: str
    cdn: str  # bytes come from another origin, as on GitHub, and without a token
    path: str
    query: str
    headers: Message
    body: BinaryIO
    account: Account | None
    spoil: bool = False

    @property
    def parameters(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.query, keep_blank_values=True).items()}

    def readable(self, parts: Mapping[str, str]) -> Repository:
        return self.store.repository(f"{parts['owner']}/{parts['repo']}", self.account)

    def pushes(self, repo: Repository) -> bool:
        return self.account is not None and repo.name in self.account.push

    def writable(self, parts: Mapping[str, str]) -> Repository:
        repo = self.readable(parts)
        if self.account is None:
            raise No(401, "Requires authentication")
        if not self.pushes(repo):
            raise No(403, "Resource not accessible by personal access token")
        if repo.archived:
            raise No(403, "Repository was archived so is read-only.")
        return repo

    def release(self, repo: Repository, number: str) -> Release:
        for release in repo.releases:
            if str(release.id) == number and (not release.draft or self.pushes(repo)):
                return release
        raise No(404, "Not Found")

    def asset(self, repo: Repository, number: str) -> tuple[Release, Asset]:
        for release in repo.releases:
            for asset in release.assets:
                if str(asset.id) == number and (not release.draft or self.pushes(repo)):
                    return release, asset
        raise No(404, "Not Found")


@dataclass(frozen=True)
class Reply:
    """An answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON."""
    return Reply(json.dumps(value).encode(), status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def refusal(no: No) -> Reply:
    more: dict[str, Any] = {"errors": no.errors} if no.errors else {"status": str(no.status)}
    return reply({"message": no.message, **more, "documentation_url": DOCUMENTATION}, no.status)


Handler = Callable[[Call, dict[str, str]], Reply]
_ROUTES: list[tuple[str, str, re.Pattern[str], Handler]] = []
REPO = "/repos/{owner}/{repo}"


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    """Have a function answer requests to a path of the description."""

    def add(handler: Handler) -> Handler:
        _ROUTES.append((method, template, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)), handler))
        return handler

    return add


def template_of(method: str, path: str) -> str | None:
    """The path of the description that a request is for."""
    return next((template for one, template, pattern, _ in _ROUTES if one == method and pattern.fullmatch(path)), None)


def answer(method: str, call: Call) -> Reply:
    """The answer to a request."""
    for expected, _, pattern, handler in _ROUTES:
        if expected == method and (found := pattern.fullmatch(call.path)):
            try:
                return handler(call, {name: unquote(value) for name, value in found.groupdict().items()})
            except No as no:
                return refusal(no)
    return _page_of_release(method, call)


def _page_of_release(method: str, call: Call) -> Reply:
    """Where a browser finds an asset: beside the REST interface, and not counted among its questions."""
    found = re.fullmatch(r"/([^/]+/[^/]+)/releases/download/([^/]+)/([^/]+)", call.path)
    repo = call.store.repository(unquote(found[1]), None) if found and method == "GET" else None
    for release in repo.releases if repo and found else ():
        for asset in release.assets:
            if found and not release.draft and (release.tag, asset.name) == (unquote(found[2]), unquote(found[3])):
                return _elsewhere(call, asset)
    return refusal(No(404, "Not Found"))


def _elsewhere(call: Call, asset: Asset) -> Reply:
    if asset.state != "uploaded":
        raise No(404, "Not Found")
    return Reply(status=302, headers={"Location": f"{call.cdn}/content/{asset.id}/{asset.name}?sig=secret-signature"})


@route("GET", REPO)
def repository(call: Call, parts: dict[str, str]) -> Reply:
    return reply(wire.repository(call.api, call.readable(parts), call.account))


@route("GET", f"{REPO}/releases")
def releases(call: Call, parts: dict[str, str]) -> Reply:
    repo = call.readable(parts)
    seen = [release for release in reversed(repo.releases) if not release.draft or call.pushes(repo)]
    return _page(call, [wire.release(call.api, repo, release) for release in seen])


@route("GET", f"{REPO}/releases/tags/{{tag}}")
def release_by_tag(call: Call, parts: dict[str, str]) -> Reply:
    repo = call.readable(parts)
    for release in repo.releases:
        if release.tag == parts["tag"] and not release.draft:
            return reply(wire.release(call.api, repo, release))
    raise No(404, "Not Found")


@route("GET", f"{REPO}/releases/{{release_id}}")
def release(call: Call, parts: dict[str, str]) -> Reply:
    repo = call.readable(parts)
    return reply(wire.release(call.api, repo, call.release(repo, parts["release_id"])))


@route("POST", f"{REPO}/releases")
def create(call: Call, parts: dict[str, str]) -> Reply:
    repo, asked = call.writable(parts), json.loads(call.body.read())
    with call.store.changing():
        author = call.account.user if call.account else ""
        made = Release(id=call.store.next(), tag=asked["tag_name"], name="", body="", author=author)
        _change(call, repo, made, {"draft": False, **asked})
        repo.releases.append(made)
        return reply(wire.release(call.api, repo, made), 201)


@route("PATCH", f"{REPO}/releases/{{release_id}}")
def update(call: Call, parts: dict[str, str]) -> Reply:
    repo, asked = call.writable(parts), json.loads(call.body.read())
    with call.store.changing():
        held = call.release(repo, parts["release_id"])
        _change(call, repo, held, asked)
        return reply(wire.release(call.api, repo, held))


def _change(call: Call, repo: Repository, held: Release, asked: dict[str, Any]) -> None:
    """Change a release, if what it becomes may be; the store is locked."""
    tag, draft = asked.get("tag_name", held.tag), asked.get("draft", held.draft)
    if len(asked.get("body", "")) > LONGEST_BODY:
        raise invalid("custom", "Release", "body", f"body is too long (maximum is {LONGEST_BODY} characters)")
    if not draft and any(one.tag == tag and not one.draft and one is not held for one in repo.releases):
        raise invalid("already_exists", "Release", "tag_name")
    if held.immutable and (tag != held.tag or draft):
        raise invalid("custom", "Release", "tag_name", "tag_name cannot be changed on an immutable release")
    if held.draft and not draft:
        held.published, held.immutable = call.store.next(), repo.immutable
    held.tag, held.draft = tag, draft
    held.name, held.body = asked.get("name", held.name), asked.get("body", held.body)
    held.prerelease, held.target = asked.get("prerelease", held.prerelease), asked.get("target_commitish", held.target)


@route("DELETE", f"{REPO}/releases/{{release_id}}")
def delete(call: Call, parts: dict[str, str]) -> Reply:
    repo = call.writable(parts)
    with call.store.changing():
        repo.releases.remove(call.release(repo, parts["release_id"]))
    return Reply(status=204)


@route("GET", f"{REPO}/releases/{{release_id}}/assets")
def assets(call: Call, parts: dict[str, str]) -> Reply:
    repo = call.readable(parts)
    held = call.release(repo, parts["release_id"])
    return _page(call, [wire.asset(call.api, repo, held, one) for one in held.assets])


@route("POST", f"{REPO}/releases/{{release_id}}/assets")
def upload(call: Call, parts: dict[str, str]) -> Reply:
    repo, asked = call.writable(parts), call.parameters
    if not int(call.headers.get("Content-Length") or 0) or "name" not in asked:
        raise No(400, "Bad Content-Length" if "name" in asked else "Missing name")
    with call.store.changing():
        held = call.release(repo, parts["release_id"])
        user = call.account.user if call.account else ""
        asset = call.store.start(held, asked["name"], asked.get("label", ""), call.headers.get_content_type(), user)
    if not call.store.receive(repo, asset, call.body, spoil=call.spoil):
        raise No(404, "Not Found")
    return reply(wire.asset(call.api, repo, held, asset), 201)


@route("GET", f"{REPO}/releases/assets/{{asset_id}}")
def asset(call: Call, parts: dict[str, str]) -> Reply:
    repo = call.readable(parts)
    held, found = call.asset(repo, parts["asset_id"])
    if call.headers.get("Accept") == "application/octet-stream":
        return _elsewhere(call, found)
    return reply(wire.asset(call.api, repo, held, found))


@route("PATCH", f"{REPO}/releases/assets/{{asset_id}}")
def update_asset(call: Call, parts: dict[str, str]) -> Reply:
    repo, asked = call.writable(parts), json.loads(call.body.read())
    with call.store.changing():
        held, found = call.asset(repo, parts["asset_id"])
        if held.immutable:
            raise No(422, "Cannot update assets of an immutable release.")
        found.name, found.label = asked.get("name", found.name), asked.get("label", found.label)
        return reply(wire.asset(call.api, repo, held, found))


@route("DELETE", f"{REPO}/releases/assets/{{asset_id}}")
def delete_asset(call: Call, parts: dict[str, str]) -> Reply:
    repo = call.writable(parts)
    with call.store.changing():
        held, found = call.asset(repo, parts["asset_id"])
        if held.immutable:
            raise No(422, "Cannot delete assets from an immutable release.")
        held.assets.remove(found)
    return Reply(status=204)


def _page(call: Call, rows: list[wire.Json]) -> Reply:
    """One page of a list, with the address of the next."""
    size, number = int(call.parameters.get("per_page", "30")), int(call.parameters.get("page", "1"))
    headers = {}
    if len(rows) > size * number:
        query = urlencode({"page": number + 1, "per_page": size})
        headers["Link"] = f'<{call.api}{call.path}?{query}>; rel="next"'
    return reply(rows[size * (number - 1) : size * number], headers=headers)


def content(call: Call) -> Reply:
    """The bytes of an asset, from the other origin."""
    if "Authorization" in call.headers:
        return Reply(b"Only one auth mechanism allowed", 400, {"Content-Type": "text/plain"})
    found = re.fullmatch(r"/content/(\d+)/[^/]+", call.path)
    if not found:
        return Reply(b"Not Found", 404)
    path = call.store.path(Asset(id=int(found[1]), name="", label="", content_type=""))
    data = path.read_bytes()
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    if asked := re.fullmatch(r"bytes=(\d+)-", call.headers.get("Range", "")):
        start = int(asked[1])
        if start >= len(data):
            return Reply(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
        return Reply(data[start:], 206, {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
    return Reply(data, 200, headers)
