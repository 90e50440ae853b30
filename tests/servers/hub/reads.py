"""The answers that change nothing."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote

from tests.servers.hub import wire
from tests.servers.hub.blobs import Entry
from tests.servers.hub.calls import Call, Reply, reply, route
from tests.servers.hub.errors import Unauthorized

EXPANDED_PAGE = 50  # the Hub's pages are shorter when it must look for each file's last commit


@route("GET", "/api/whoami-v2")
def whoami(call: Call) -> Reply:
    if call.account is None or not call.account.user:
        raise Unauthorized("Invalid username or password.")
    return reply(wire.whoami(call.account))


@route("GET", "/api/{kind}/{repo}")
def info(call: Call, kind: str, name: str) -> Reply:
    return reply(wire.info(call.store, call.readable(kind, name), None, blobs=call.flag("blobs")))


@route("GET", "/api/{kind}/{repo}/revision/{revision}")
def info_at(call: Call, kind: str, name: str, revision: str) -> Reply:
    return reply(wire.info(call.store, call.readable(kind, name), revision, blobs=call.flag("blobs")))


@route("GET", "/api/{kind}/{repo}/auth-check")
def auth_check(call: Call, kind: str, name: str) -> Reply:
    call.downloadable(kind, name)
    return reply({})


@route("GET", "/api/{kind}/{repo}/auth-check/write")
def auth_check_write(call: Call, kind: str, name: str) -> Reply:
    call.writable(kind, name)
    return reply({})


@route("GET", "/api/{kind}/{repo}/tree/{revision}")
@route("GET", "/api/{kind}/{repo}/tree/{revision}/{rest}")
def tree(call: Call, kind: str, name: str, revision: str, path: str = "") -> Reply:
    call.readable(kind, name)
    commit = call.store.resolve(kind, name, revision)
    files = call.store.read_commit(kind, name, commit).tree
    items = wire.listing(files, path.strip("/"), commit, recursive=call.flag("recursive"))
    size = min(call.site.page_size, EXPANDED_PAGE) if call.flag("expand") else call.site.page_size
    start = int(call.parameters.get("cursor", 0))
    page, headers = items[start : start + size], {}
    if call.flag("expand"):
        wire.add_last_commits(page, call.store.history(kind, name, commit))
    if start + size < len(items):
        rest = "&".join(part for part in call.query.split("&") if part and not part.startswith("cursor="))
        url = f"{call.site.endpoint}{call.path}?{rest}{'&' if rest else ''}cursor={start + size}"
        headers["Link"] = f'<{url}>; rel="next"'
    return reply(page, headers=headers)


@route("POST", "/api/{kind}/{repo}/paths-info/{revision}")
def paths_info(call: Call, kind: str, name: str, revision: str) -> Reply:
    call.readable(kind, name)
    commit = call.store.resolve(kind, name, revision)
    json = "json" in call.headers.get("Content-Type", "")
    form = call.json() if json else parse_qs(call.body.decode())
    items = wire.paths_info(call.store.read_commit(kind, name, commit).tree, form.get("paths", []))
    if form.get("expand") in (True, ["true"], ["True"], ["1"]):
        wire.add_last_commits(items, call.store.history(kind, name, commit))
    return reply(items)


@route("GET", "/api/{kind}/{repo}/refs")
def refs(call: Call, kind: str, name: str) -> Reply:
    return reply(wire.refs(call.readable(kind, name), pull_requests=call.flag("include_prs")))


@route("GET", "/api/{kind}/{repo}/commits/{revision}")
def commits(call: Call, kind: str, name: str, revision: str) -> Reply:
    call.readable(kind, name)
    return reply(wire.commits(call.store.history(kind, name, call.store.resolve(kind, name, revision))))


# Files: /resolve says where the bytes are, the other two send them.


@route("GET", "/{prefix}{repo}/resolve/{revision}/{rest}")
def resolve(call: Call, kind: str, name: str, revision: str, path: str) -> Reply:
    call.downloadable(kind, name)
    commit = call.store.resolve(kind, name, revision)
    entry = call.store.entry(kind, name, commit, path)
    if entry.lfs:
        # The digest in the address is that of what will be sent, which `put` may have replaced.
        location = f"{call.site.cdn}/cdn/{call.store.served(kind, name, commit, path)}/{quote(path)}"
    else:
        location = f"/api/resolve-cache/{kind}/{name}/{commit}/{quote(path)}"
    return Reply(status=302 if entry.lfs else 307, headers={"Location": location, **_describe(entry, commit)})


@route("GET", "/api/resolve-cache/{kind}/{repo}/{commit}/{rest}")
def resolved(call: Call, kind: str, name: str, commit: str, path: str) -> Reply:
    call.downloadable(kind, name)
    entry = call.store.entry(kind, name, commit, path)
    headers = _describe(entry, commit)
    return _content(call, call.store.served(kind, name, commit, path), headers)


@route("GET", "/cdn/{sha256}/{rest}")
def cdn(call: Call, sha256: str, path: str) -> Reply:
    # On the Hub this address is signed and needs no token; here its digest is what makes it hard to guess.
    return _content(call, sha256, {"ETag": f'"{sha256}"'})


def _describe(entry: Entry, commit: str) -> dict[str, str]:
    etag = f'"{entry.etag}"'
    return {"X-Repo-Commit": commit, "X-Linked-Size": str(entry.size), "X-Linked-Etag": etag, "ETag": etag}


def _content(call: Call, sha256: str, headers: dict[str, str]) -> Reply:
    """The bytes, or the range of them that was asked for."""
    body = call.store.blobs.view(sha256)
    size = len(body)
    headers |= {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", "").strip())
    if not wanted or wanted[0] == "bytes=-":
        return Reply(body, headers=headers)
    start = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
    stop = min(int(wanted[2]) + 1, size) if wanted[1] and wanted[2] else size
    if start >= stop:
        return Reply(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    return Reply(body[start:stop], 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"})
