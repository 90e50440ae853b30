"""The JSON that the Hub answers with, made from the store's values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from tests.servers.hub.access import Account
from tests.servers.hub.blobs import Entry, is_lfs, parents, tree_ids
from tests.servers.hub.errors import EntryNotFound, RevisionNotFound
from tests.servers.hub.repository import Commit, Repository
from tests.servers.hub.store import MAIN, Store

Json = dict[str, Any]


def whoami(account: Account) -> Json:
    token: Json = {"displayName": "test token", "role": account.role}
    if account.role == "fineGrained":
        scoped = [
            {"entity": {"_id": f"{name}-id", "type": "dataset" if "/" in name else "org", "name": name}, "permissions": rights}
            for name, rights in account.rights.items()
        ]
        token["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
    return {
        "type": "user",
        "id": f"{account.user}-id",
        "name": account.user,
        "fullname": account.user,
        "isPro": False,
        "orgs": [{"type": "org", "name": org, "roleInOrg": "write"} for org in account.orgs],
        "auth": {"type": "access_token", "accessToken": token},
    }


def front_matter(text: str) -> Json | None:
    """The YAML at the head of a card. Raises yaml.YAMLError."""
    found = re.match(r"\s*---\r?\n(.*?)\r?\n---\s*(\r?\n|$)", text, re.DOTALL)
    try:
        value = yaml.load(found[1], getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if found else None
    except (ValueError, TypeError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from error
    return value if isinstance(value, dict) else None


def card(store: Store, repo: Repository, commit: str, tree: Mapping[str, Entry]) -> Json:
    """The card of a commit, as the info shows it. The Hub never fails because of a bad card."""
    if "README.md" not in tree:
        return {}
    try:
        return front_matter(store.read(repo.kind, repo.name, "README.md", commit).decode()) or {}
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}


def info(store: Store, repo: Repository, revision: str | None, *, blobs: bool) -> Json:
    """`model_info` and `dataset_info`. A repository without commits has no sha."""
    try:
        sha = store.resolve(repo.kind, repo.name, revision or MAIN)
        tree = store.read_commit(repo.kind, repo.name, sha).tree
    except RevisionNotFound:
        if revision is not None or repo.branches:
            raise
        sha, tree = None, {}
    card_data = card(store, repo, sha, tree) if sha else {}
    return {
        "_id": f"{repo.kind}:{repo.name}".encode().hex()[:24].ljust(24, "0"),
        "id": repo.name,
        **({"modelId": repo.name} if repo.kind == "models" else {}),
        "author": repo.name.split("/")[0],
        "sha": sha,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [str(tag) for tag in card_data.get("tags") or []],
        "cardData": card_data,
        "createdAt": "2023-11-14T22:13:20.000Z",
        "lastModified": "2023-11-14T22:13:20.000Z",
        "siblings": [sibling(path, entry, blobs=blobs) for path, entry in tree.items()],
    }


def sibling(path: str, entry: Entry, *, blobs: bool) -> Json:
    if not blobs:
        return {"rfilename": path}
    found: Json = {"rfilename": path, "size": entry.size, "blobId": entry.oid}
    if entry.lfs:
        found["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
    return found


def tree_file(path: str, entry: Entry) -> Json:
    found: Json = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
    if entry.lfs:
        found["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
    return found


def tree_folder(path: str, oid: str) -> Json:
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def listing(tree: Mapping[str, Entry], folder: str, commit: str, *, recursive: bool) -> list[Json]:
    """The files and folders in a folder, or everything below it."""
    ids = tree_ids(tree)
    if folder not in ids:
        raise EntryNotFound(f"{folder} does not exist on this revision", commit)
    found = [tree_folder(path, oid) for path, oid in ids.items() if path]
    found += [tree_file(path, entry) for path, entry in tree.items()]
    inside = [
        item
        for item in found
        if (folder in parents(item["path"]) if recursive else next(iter(parents(item["path"]))) == folder)
    ]
    return sorted(inside, key=lambda item: str(item["path"]))


def paths_info(tree: Mapping[str, Entry], paths: Iterable[str]) -> list[Json]:
    """What is known of these paths. One that does not exist is left out."""
    ids = tree_ids(tree)
    found = []
    for path in (path.strip("/") for path in paths):
        if path in tree:
            found.append(tree_file(path, tree[path]))
        elif path and path in ids:
            found.append(tree_folder(path, ids[path]))
    return found


def add_last_commits(items: list[Json], history: Iterable[tuple[str, Commit]]) -> None:
    """`expand=true`: the commit that each item comes from, the last one before which it was another or none."""
    unknown = items
    for commit, made in history:
        ids = {**tree_ids(made.tree), **{path: entry.oid for path, entry in made.tree.items()}}
        unknown = [item for item in unknown if ids.get(item["path"]) == item["oid"]]
        for item in unknown:
            item["lastCommit"] = {"id": commit, "title": made.message.partition("\n")[0], "date": made.date}


def refs(repo: Repository, *, pull_requests: bool) -> Json:
    def listed(kind: str, targets: Mapping[str, str]) -> list[Json]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit} for name, commit in targets.items()]

    requests = {name: commit for name, commit in repo.branches.items() if name.startswith("refs/pr/")}
    branches = {name: commit for name, commit in repo.branches.items() if name not in requests}
    found: Json = {"branches": listed("heads", branches), "tags": listed("tags", repo.tags), "converts": []}
    shown = [{"name": name, "ref": name, "targetCommit": commit} for name, commit in requests.items()]
    return {**found, "pullRequests": shown} if pull_requests else found


def commits(history: Iterable[tuple[str, Commit]]) -> list[Json]:
    found = []
    for commit, made in history:
        title, _, message = made.message.partition("\n")
        authors = [{"user": made.author}]
        found.append({"id": commit, "title": title, "message": message.strip(), "date": made.date, "authors": authors})
    return found


def preupload(files: Iterable[Json], tree: Mapping[str, Entry], limit: int) -> list[Json]:
    """How each file must be sent, and the id of the file that stands there now: the clients skip what is the same."""
    found = []
    for file in files:
        path, here = file["path"], tree.get(file["path"])
        mode = "lfs" if is_lfs(path, file["size"], limit) else "regular"
        found.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **({"oid": here.etag} if here else {})})
    return found
