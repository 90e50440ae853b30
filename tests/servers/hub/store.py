"""The repositories on disk. Nothing here knows of HTTP; every change is complete when the call returns.

    FOLDER/blobs/SHA256                          content
    FOLDER/repos/KIND/ORG/NAME/repo.json         flags, branches, tags
    FOLDER/repos/KIND/ORG/NAME/commits/ID.json   a commit with its whole tree
    FOLDER/tokens.json

Several processes may use one folder: each call reads the files anew, and changes take a lock.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tests.servers.hub.access import Account, Tokens
from tests.servers.hub.blobs import Blobs, Entry
from tests.servers.hub.errors import EntryNotFound, Exists, Refused, RepoNotFound, RevisionNotFound, Stale
from tests.servers.hub.repository import START, Commit, Repository

GITATTRIBUTES = b"".join(b"*%s filter=lfs diff=lfs merge=lfs -text\n" % end for end in (b".bin", b".parquet", b".safetensors"))
MAIN = "main"


class Store:
    """Repositories, commits, branches, tags and tokens in a folder."""

    def __init__(self, folder: Path, *, lfs_size: int = 1 << 20) -> None:
        self.folder = folder
        self.lfs_size = lfs_size
        self.blobs = Blobs(folder / "blobs")
        self.tokens = Tokens(folder / "tokens.json")
        self._thread_lock = threading.RLock()
        self._depth = 0

    # Repositories

    def create(
        self,
        kind: str,
        name: str,
        *,
        private: bool = False,
        gated: bool | Literal["auto", "manual"] = False,
        initial: bool = False,
    ) -> None:
        """An empty repository; `initial` adds the first commit with .gitattributes that the Hub makes."""
        if not _is_name(kind, name):
            raise Refused(f"Invalid repository: {kind} {name}")
        with self._locked():
            if self._home(kind, name).is_dir():
                raise Exists(f"You already created this {kind[:-1]} repo: {name}")
            (self._home(kind, name) / "commits").mkdir(parents=True)
            self._save(Repository(kind=kind, name=name, private=private, gated="manual" if gated is True else gated))
            if initial:
                self.commit(kind, name, {".gitattributes": GITATTRIBUTES}, message="initial commit")

    def delete_repo(self, kind: str, name: str) -> None:
        with self._locked():
            self.repository(kind, name)
            shutil.rmtree(self._home(kind, name))

    def rename(self, kind: str, name: str, new: str) -> None:
        """The old name leads to the new one until somebody takes it. Case only is a rename, too."""
        with self._locked():
            repo = self.repository(kind, name)
            shutil.move(self._home(kind, name), self._home(kind, new))
            repo.name = new
            self._save(repo)
            self._write(self.folder / "renamed.json", json.dumps({**self._renamed(), f"{kind}/{name}": new}))

    def now(self, kind: str, name: str) -> str | None:
        """What a repository of this name is called now, if another name."""
        return None if self._home(kind, name).is_dir() else self._renamed().get(f"{kind}/{name}")

    def _renamed(self) -> dict[str, str]:
        path = self.folder / "renamed.json"
        names: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
        return names

    def repository(self, kind: str, name: str) -> Repository:
        path = self._home(kind, name) / "repo.json"
        if not _is_name(kind, name) or not path.is_file():
            raise RepoNotFound(f"Repository not found: {kind} {name}")
        return Repository.load(path)

    def settings(
        self, kind: str, name: str, *, private: bool | None = None, gated: bool | Literal["auto", "manual"] | None = None
    ) -> None:
        with self.changing(kind, name) as repo:
            repo.private = repo.private if private is None else private
            repo.gated = repo.gated if gated is None else "manual" if gated is True else gated

    # Tokens

    def token(
        self,
        token: str,
        *,
        user: str = "tester",
        role: Literal["read", "write", "fineGrained"] = "write",
        orgs: Iterable[str] = (),
        rights: Mapping[str, Sequence[str]] = {},
    ) -> str:
        """Make a token known. With such a role or rights it writes to repositories of its user and organisations."""
        self.tokens.add(token, Account(user=user, role=role, orgs=tuple(orgs), rights=rights))
        return token

    def let_in(self, kind: str, name: str, user: str) -> None:
        """Give a user access to a gated or private repository."""
        with self.changing(kind, name) as repo:
            repo.readers.append(user)

    # Commits

    def commit(
        self,
        kind: str,
        name: str,
        files: Mapping[str, bytes],
        *,
        message: str = "Add files",
        parent: str | None = None,
        branch: str = MAIN,
        delete: Iterable[str] = (),
    ) -> str:
        """Add or replace these files on a branch. `parent`: refuse, if the branch is not there."""
        changes: dict[str, Entry | None] = dict.fromkeys(delete)
        changes |= {path: self.blobs.add_file(path, data, self.lfs_size) for path, data in files.items()}
        return self.commit_entries(kind, name, changes, message=message, parent=parent, branch=branch)

    def commit_entries(
        self,
        kind: str,
        name: str,
        changes: Mapping[str, Entry | None],
        *,
        message: str,
        parent: str | None = None,
        branch: str = MAIN,
    ) -> str:
        """As `commit`, of content that is here already; None deletes."""
        with self.changing(kind, name) as repo:
            head = repo.branches.get(branch)
            if head is None and (branch != MAIN or repo.branches):
                raise RevisionNotFound(f"Invalid rev id: {branch}")
            if parent is not None and not (head and head.startswith(parent)):
                raise Stale("A commit has happened since. Please refresh and try again.")
            tree = dict(self.read_commit(kind, name, head).tree) if head else {}
            for path, entry in changes.items():
                if not path or path.startswith("/") or any(part in ("", ".", "..", ".git") for part in path.split("/")):
                    raise Refused(f"Invalid path in commit: {path!r}")
                if entry is not None:
                    tree[path] = entry
                elif tree.pop(path, None) is None:
                    raise EntryNotFound(f"A file with this name doesn't exist: {path}")
            repo.made += 1
            author = f"{kind}/{name}"  # so that no two repositories have a commit in common
            made = Commit(tree=dict(sorted(tree.items())), parent=head, message=message, time=START + repo.made, author=author)
            self._write(self._commit_file(kind, name, made.id), made.dump())
            repo.branches[branch] = made.id
            return made.id

    def read_commit(self, kind: str, name: str, commit: str) -> Commit:
        path = self._commit_file(kind, name, commit)
        if not path.is_file():
            raise RevisionNotFound(f"Invalid rev id: {commit}")
        at = path.stat()
        return _load_commit(path, at.st_ino, at.st_mtime_ns)

    def delete_commit(self, kind: str, name: str, commit: str) -> None:
        """Make a commit vanish, as a rewritten history does: its tags go, its branches fall back to its parent."""
        with self.changing(kind, name) as repo:
            parent = self.read_commit(kind, name, commit).parent
            self._commit_file(kind, name, commit).unlink()
            repo.tags = {tag: target for tag, target in repo.tags.items() if target != commit}
            moved = {branch: parent if target == commit else target for branch, target in repo.branches.items()}
            repo.branches = {branch: target for branch, target in moved.items() if target}

    def history(self, kind: str, name: str, commit: str) -> Iterator[tuple[str, Commit]]:
        """A commit and those before it; it ends where a commit was deleted."""
        at: str | None = commit
        while at and self._commit_file(kind, name, at).is_file():
            found = self.read_commit(kind, name, at)
            yield at, found
            at = found.parent

    # Revisions

    def resolve(self, kind: str, name: str, revision: str) -> str:
        """The commit that a branch, a tag, a ref, or a whole or shortened commit id stands for."""
        repo = self.repository(kind, name)
        for refs, prefix in ((repo.branches, "refs/heads/"), (repo.tags, "refs/tags/")):
            if found := refs.get(revision.removeprefix(prefix)):
                return found
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            matching = list((self._home(kind, name) / "commits").glob(f"{revision}*.json"))
            if len(matching) == 1:
                return matching[0].stem
        raise RevisionNotFound(f"Invalid rev id: {revision}")

    def tag(self, kind: str, name: str, tag: str, commit: str = MAIN) -> None:
        with self.changing(kind, name) as repo:
            if tag in repo.tags:
                raise Exists("Tag reference exists already")
            repo.tags[tag] = self.resolve(kind, name, commit)

    def move_tag(self, kind: str, name: str, tag: str, commit: str) -> None:
        """What the Hub's users can do by deleting a tag and making it again."""
        with self.changing(kind, name) as repo:
            repo.tags[tag] = self.resolve(kind, name, commit)

    def delete_tag(self, kind: str, name: str, tag: str) -> None:
        with self.changing(kind, name) as repo:
            if repo.tags.pop(tag, None) is None:
                raise RevisionNotFound(f"Invalid rev id: {tag}")

    def branch(self, kind: str, name: str, branch: str, commit: str = MAIN) -> None:
        with self.changing(kind, name) as repo:
            if branch in repo.branches:
                raise Exists("Reference already exists")
            repo.branches[branch] = self.resolve(kind, name, commit)

    def move_branch(self, kind: str, name: str, branch: str, commit: str) -> None:
        """A forced push."""
        with self.changing(kind, name) as repo:
            repo.branches[branch] = self.resolve(kind, name, commit)

    def delete_branch(self, kind: str, name: str, branch: str) -> None:
        with self.changing(kind, name) as repo:
            if branch == MAIN:
                raise Refused("Cannot delete the main branch")
            if repo.branches.pop(branch, None) is None:
                raise RevisionNotFound(f"Invalid rev id: {branch}")

    # Content

    def entry(self, kind: str, name: str, commit: str, path: str) -> Entry:
        found = self.read_commit(kind, name, commit).tree.get(path)
        if found is None:
            raise EntryNotFound(f"Entry not found: {path}", commit)
        return found

    def served(self, kind: str, name: str, commit: str, path: str) -> str:
        """The sha256 of the bytes that are sent for a path: the true ones, unless `put` replaced them."""
        return self.repository(kind, name).served.get(f"{commit} {path}") or self.entry(kind, name, commit, path).sha256

    def read(self, kind: str, name: str, path: str, revision: str = MAIN) -> bytes:
        """The bytes that are sent for a path."""
        return bytes(self.blobs.view(self.served(kind, name, self.resolve(kind, name, revision), path)))

    def put(self, kind: str, name: str, commit: str, path: str, data: bytes, *, announce: bool = False) -> None:
        """Send other bytes for a path of an existing commit, as a tampering Hub would.

        The sizes and ids in the answers stay those of the true bytes; `announce` makes them those of the new ones,
        as if the commit had always held them. The commit's id stays in both cases.
        """
        with self.changing(kind, name) as repo:
            old = self.entry(kind, name, commit, path)
            new = self.blobs.add_file(path, data, 0 if old.lfs else len(data) + 1)
            if announce:
                made = self.read_commit(kind, name, commit)
                made = replace(made, tree={**made.tree, path: new})
                self._write(self._commit_file(kind, name, commit), made.dump())
                _load_commit.cache_clear()
                repo.served.pop(f"{commit} {path}", None)
            else:
                repo.served[f"{commit} {path}"] = new.sha256

    # Disk

    def _home(self, kind: str, name: str) -> Path:
        return self.folder / "repos" / kind / name

    def _commit_file(self, kind: str, name: str, commit: str) -> Path:
        return self._home(kind, name) / "commits" / f"{commit}.json"

    def _save(self, repo: Repository) -> None:
        self._write(self._home(repo.kind, repo.name) / "repo.json", repo.dump())

    def _write(self, path: Path, text: str) -> None:
        # Readers take no lock, so a file changes at once or not at all.
        path.with_suffix(".part").write_text(text)
        path.with_suffix(".part").replace(path)

    @contextmanager
    def changing(self, kind: str, name: str) -> Iterator[Repository]:
        """A repository's values; they are written back, if nothing was raised."""
        with self._locked():
            repo = self.repository(kind, name)
            yield repo
            self._save(repo)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._thread_lock, (self.folder / ".lock").open("w") as file:
            # A second lock of the same file would wait for the first for ever.
            if not self._depth:
                fcntl.flock(file, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1


@lru_cache(maxsize=16)
def _load_commit(path: Path, inode: int, changed: int) -> Commit:
    """A commit of thousands of files is slow to read, and every request for one of them needs it."""
    return Commit.load(path.read_text())


def _is_name(kind: str, name: str) -> bool:
    return kind in ("models", "datasets") and bool(re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name)) and ".." not in name
