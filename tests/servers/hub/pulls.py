"""Pull requests: a branch `refs/pr/NUMBER` that the Hub merges into the main branch, in one commit and file by file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tests.servers.hub.blobs import Entry
from tests.servers.hub.calls import Call, Reply, reply, route
from tests.servers.hub.errors import EntryNotFound, Exists, Refused
from tests.servers.hub.repository import Repository
from tests.servers.hub.store import MAIN

WHEN = "2023-11-14T22:13:20.000Z"


@dataclass(kw_only=True)
class Pull:
    """One pull request. `base` is the commit that it begins at, `merged` the one that it became."""

    num: int
    title: str
    author: str
    base: str
    status: str = "draft"
    merged: str | None = None

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


@route("GET", "/api/{kind}/{repo}/discussions")
def discussions(call: Call, kind: str, name: str) -> Reply:
    found = [_shown(pull, kind, name) for pull in _pulls(call.readable(kind, name))]
    return reply({"count": len(found), "start": 0, "discussions": found})


@route("POST", "/api/{kind}/{repo}/discussions")
def open_discussion(call: Call, kind: str, name: str) -> Reply:
    call.writable(kind, name)
    form = call.json()
    if not form["pullRequest"]:
        raise Refused("This server has no other discussions than pull requests")
    assert call.account is not None
    with call.store.changing(kind, name) as repo:
        base = call.store.resolve(kind, name, MAIN)
        pull = Pull(num=len(repo.pulls) + 1, title=form["title"], author=call.account.user, base=base)
        repo.pulls.append(asdict(pull))
        repo.branches[pull.ref] = base
    return reply(_shown(pull, kind, name))


@route("GET", "/api/{kind}/{repo}/discussions/{number}")
def discussion(call: Call, kind: str, name: str, number: str) -> Reply:
    repo = call.readable(kind, name)
    pull = _pull(repo, number)
    _, conflicts = _changes(call, repo, pull)
    changes = {"base": f"refs/heads/{MAIN}", "mergeCommitId": pull.merged}
    return reply({**_shown(pull, kind, name), "events": [], "filesWithConflicts": conflicts, "changes": changes})


@route("POST", "/api/{kind}/{repo}/discussions/{number}/status")
def change_status(call: Call, kind: str, name: str, number: str) -> Reply:
    call.writable(kind, name)
    status = call.json()["status"]
    with call.store.changing(kind, name) as repo:
        pull = _pull(repo, number)
        if pull.status in ("merged", status):
            raise Refused(f"The pull request is {pull.status}")
        pull.status = status
        repo.pulls[pull.num - 1] = asdict(pull)
    event = {"id": f"{number}-{status}", "type": "status-change", "createdAt": WHEN, "data": {"status": status}}
    return reply({"newStatus": event})


@route("POST", "/api/{kind}/{repo}/discussions/{number}/merge")
def merge(call: Call, kind: str, name: str, number: str) -> Reply:
    call.writable(kind, name)
    with call.store.changing(kind, name) as repo:
        pull = _pull(repo, number)
        if pull.status != "open":
            raise Refused(f"The pull request is {pull.status}")
        changes, conflicts = _changes(call, repo, pull)
        if conflicts:
            raise Exists(f"The pull request has conflicts: {conflicts[0]}")
        pull.status = "merged"
        message = f"{pull.title} (#{number})"
        # The head moves in a commit of its own values of the repository: they are written by that.
        repo.pulls[pull.num - 1] = asdict(pull)
    pull.merged = call.store.commit_entries(kind, name, changes, message=message)
    with call.store.changing(kind, name) as repo:
        repo.pulls[pull.num - 1] = asdict(pull)
    return reply({})


def _changes(call: Call, repo: Repository, pull: Pull) -> tuple[dict[str, Entry | None], list[str]]:
    """What the merge would do to the main branch, and the files that both changed otherwise."""
    trees = (call.store.read_commit(repo.kind, repo.name, at).tree for at in (pull.base, repo.branches[pull.ref]))
    base, head = trees
    main = call.store.read_commit(repo.kind, repo.name, repo.branches[MAIN]).tree
    changed = {path: head.get(path) for path in {*base, *head} if base.get(path) != head.get(path)}
    wanted = {path: entry for path, entry in changed.items() if main.get(path) != entry}
    return wanted, sorted(path for path in wanted if main.get(path) != base.get(path))


def _pulls(repo: Repository) -> list[Pull]:
    return [Pull(**values) for values in repo.pulls]


def _pull(repo: Repository, number: str) -> Pull:
    found = next((pull for pull in _pulls(repo) if str(pull.num) == number), None)
    if found is None:
        raise EntryNotFound(f"Discussion not found: {number}")
    return found


def _shown(pull: Pull, kind: str, name: str) -> dict[str, Any]:
    return {
        "num": pull.num,
        "title": pull.title,
        "author": {"name": pull.author},
        "createdAt": WHEN,
        "status": pull.status,
        "isPullRequest": True,
        "repo": {"name": name, "type": kind.removesuffix("s")},
    }
