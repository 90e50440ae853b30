"""The answers that change something: repositories, references, uploads, commits."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.servers.hub import wire
from tests.servers.hub.access import check_write
from tests.servers.hub.blobs import Entry, is_lfs, lfs_entry
from tests.servers.hub.calls import Call, Reply, refusal, reply, route
from tests.servers.hub.errors import EntryNotFound, Exists, Refused, RepoNotFound, Unauthorized

# Repositories


def _named(call: Call) -> tuple[str, str, dict[str, Any]]:
    """The repository that a request names in its body; without an organisation it is the caller's own."""
    form = call.json()
    if call.account is None:
        raise Unauthorized("Invalid username or password.")
    return f"{form.get('type') or 'model'}s", f"{form.get('organization') or call.account.user}/{form['name']}", form


PUBLISHER = "identity-of-a-job"


@route("POST", "/oauth/token")
def exchange(call: Call) -> Reply:
    """A token for one repository, for a job whose identity its publishers know; no user has that token."""
    asked = call.json()
    if asked["subject_token"] != PUBLISHER:
        raise Refused("invalid_grant")
    token = f"hf_jwt_{asked['resource'].replace('/', '_')}"
    call.store.token(token, user="", orgs=[asked["resource"].split("/")[-2]])
    return reply({"access_token": token, "token_type": "bearer", "expires_in": 3600})


@route("POST", "/api/repos/create")
def create_repo(call: Call) -> Reply:
    kind, name, form = _named(call)
    check_write(name, call.account)
    url = f"{call.site.endpoint}/{'' if kind == 'models' else 'datasets/'}{name}"
    try:
        call.store.create(kind, name, private=form.get("visibility") == "private", initial=True)
    except Exists as error:
        return refusal(error, {"url": url})  # create_repo(exist_ok=True) reads it
    return reply({"url": url, "name": name, "id": f"{kind}:{name}"})


@route("DELETE", "/api/repos/delete")
def delete_repo(call: Call) -> Reply:
    kind, name, _ = _named(call)
    try:
        call.writable(kind, name)
    except Unauthorized as error:
        raise RepoNotFound("Repository not found") from error
    call.store.delete_repo(kind, name)
    return reply({})


@route("PUT", "/api/{kind}/{repo}/settings")
def settings(call: Call, kind: str, name: str) -> Reply:
    call.writable(kind, name)
    form = call.json()
    private = form["visibility"] == "private" if "visibility" in form else None
    call.store.settings(kind, name, private=private, gated=form.get("gated"))
    return reply({})


# References


@route("POST", "/api/{kind}/{repo}/tag/{revision}")
def create_tag(call: Call, kind: str, name: str, revision: str) -> Reply:
    call.writable(kind, name)
    call.store.tag(kind, name, call.json()["tag"], revision)
    return reply({}, 201)


@route("DELETE", "/api/{kind}/{repo}/tag/{tag}")
def delete_tag(call: Call, kind: str, name: str, tag: str) -> Reply:
    call.writable(kind, name)
    call.store.delete_tag(kind, name, tag)
    return reply({})


@route("POST", "/api/{kind}/{repo}/branch/{branch}")
def create_branch(call: Call, kind: str, name: str, branch: str) -> Reply:
    call.writable(kind, name)
    call.store.branch(kind, name, branch, call.json().get("startingPoint", "main"))
    return reply({}, 201)


@route("DELETE", "/api/{kind}/{repo}/branch/{branch}")
def delete_branch(call: Call, kind: str, name: str, branch: str) -> Reply:
    call.writable(kind, name)
    call.store.delete_branch(kind, name, branch)
    return reply({})


# Commits


@route("POST", "/api/validate-yaml")
def validate_yaml(call: Call) -> Reply:
    try:
        found = wire.front_matter(call.json()["content"])
    except yaml.YAMLError as error:
        return reply({"errors": [{"message": str(error)}], "warnings": []}, 400)
    warnings = [] if found else [{"message": "empty or missing yaml metadata in repo card"}]
    return reply({"errors": [], "warnings": warnings})


@route("POST", "/api/{kind}/{repo}/preupload/{revision}")
def preupload(call: Call, kind: str, name: str, revision: str) -> Reply:
    repo = call.writable(kind, name)
    tree: dict[str, Entry] = {}
    if repo.branches:
        tree = call.store.read_commit(kind, name, call.store.resolve(kind, name, revision)).tree
    commit = {"commitOid": repo.branches.get(revision)}
    return reply({"files": wire.preupload(call.json()["files"], tree, call.store.lfs_size), **commit})


@route("POST", "/api/{kind}/{repo}/commit/{branch}")
def commit(call: Call, kind: str, name: str, branch: str) -> Reply:
    repo = call.writable(kind, name)
    if call.flag("create_pr"):
        raise Refused("This server has no pull requests")
    head = repo.branches.get(branch)
    tree = call.store.read_commit(kind, name, head).tree if head else {}
    header, changes = _operations(call, tree)
    call.site.limits.count_commit(len(changes), len(call.body))
    left = {path for path in tree if changes.get(path, path) is not None}
    call.site.limits.check_folders(dict.fromkeys(left | {path for path, entry in changes.items() if entry}))
    message = "\n\n".join(filter(None, (header["summary"], header.get("description"))))
    made = call.store.commit_entries(kind, name, changes, message=message, parent=header.get("parentCommit"), branch=branch)
    page = f"{call.site.endpoint}/{'' if kind == 'models' else 'datasets/'}{name}/commit/{made}"
    return reply({"success": True, "commitOid": made, "commitUrl": page, "hookOutput": ""})


def _operations(call: Call, tree: dict[str, Entry]) -> tuple[dict[str, Any], dict[str, Entry | None]]:
    """The header of a commit, and what each path becomes."""
    header: dict[str, Any] | None = None
    changes: dict[str, Entry | None] = {}
    for line in filter(None, call.body.splitlines()):
        item = json.loads(line)
        key, value = item["key"], item["value"]
        if key == "header":
            header = value
        elif key == "file":
            data = base64.b64decode(value["content"]) if value.get("encoding") == "base64" else value["content"].encode()
            if is_lfs(value["path"], len(data), call.store.lfs_size):
                raise Refused(f"Your push was rejected because it contains binary or large files: {value['path']}")
            changes[value["path"]] = call.store.blobs.add_file(value["path"], data, call.store.lfs_size)
        elif key == "lfsFile":
            if not call.store.blobs.has(value["oid"]):
                raise Refused(f"LFS pointer pointed to a file that does not exist: {value['path']}")
            changes[value["path"]] = lfs_entry(value["oid"], call.store.blobs.size(value["oid"]))
        elif key == "deletedFile":
            changes[value["path"]] = None
        elif key == "deletedFolder":
            inside = [path for path in tree if path.startswith(value["path"].rstrip("/") + "/")]
            if not inside:
                raise EntryNotFound(f"A folder with this name doesn't exist: {value['path']}")
            changes |= dict.fromkeys(inside)
        else:
            raise Refused(f"Unknown operation: {key}")
    if header is None:
        raise Refused("The commit has no header")
    return header, changes


# Uploads: as on the Hub, the bytes go to addresses that need no token.


@route("POST", "/{prefix}{repo}.git/info/lfs/objects/batch")
def lfs_batch(call: Call, kind: str, name: str) -> Reply:
    call.writable(kind, name)
    verify = f"{call.site.endpoint}{call.path.removesuffix('objects/batch')}verify"
    return reply({"transfer": "basic", "objects": [_lfs_object(call, item, verify) for item in call.json()["objects"]]})


def _lfs_object(call: Call, item: dict[str, Any], verify: str) -> dict[str, Any]:
    oid, size, chunk = item["oid"], item["size"], call.site.multipart
    if call.store.blobs.has(oid):
        return {"oid": oid, "size": size}  # no actions: it is here, whoever brought it
    upload: dict[str, Any] = {"href": f"{call.site.cdn}/upload/{oid}"}
    if chunk is not None and size > chunk:
        parts = range(1, -(-size // chunk) + 1)
        addresses = {str(part): f"{call.site.cdn}/upload/{oid}/{part}" for part in parts}
        upload = {"href": f"{call.site.endpoint}/upload/{oid}/complete", "header": {"chunk_size": str(chunk), **addresses}}
    return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": {"href": verify}}}


@route("PUT", "/upload/{oid}")
def upload(call: Call, oid: str) -> Reply:
    return _keep(call, oid, call.body)


@route("PUT", "/upload/{oid}/{part}")
def upload_part(call: Call, oid: str, part: str) -> Reply:
    folder = call.store.folder / "parts" / oid
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:  # another client may be at the same part
        file.write(call.body)
    Path(file.name).replace(folder / part)
    return Reply(headers={"ETag": _part_etag(call.body)})


@route("POST", "/upload/{oid}/complete")
def complete(call: Call, oid: str) -> Reply:
    body = b""
    for part in call.json()["parts"]:
        path = call.store.folder / "parts" / oid / str(part["partNumber"])
        data = path.read_bytes() if path.is_file() else b""
        if part["etag"] != _part_etag(data):
            raise Refused(f"Part {part['partNumber']} is missing or not the one that was sent")
        body += data
    return _keep(call, oid, body)


@route("POST", "/{prefix}{repo}.git/info/lfs/verify")
def verify(call: Call, kind: str, name: str) -> Reply:
    call.writable(kind, name)
    oid, size = call.json()["oid"], call.json()["size"]
    if not call.store.blobs.has(oid) or call.store.blobs.size(oid) != size:
        raise EntryNotFound(f"The object was not uploaded: {oid}")
    return reply({})


def _part_etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def _keep(call: Call, oid: str, data: bytes) -> Reply:
    if hashlib.sha256(data).hexdigest() != oid:
        raise Refused("The content does not match its digest")
    call.store.blobs.add(data)
    return Reply(headers={"ETag": _part_etag(data)})
