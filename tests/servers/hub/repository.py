"""One repository's values, and how they stand on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.servers.hub.blobs import Entry, git_id, tree_ids

START = 1_700_000_000  # the store has no clock: each commit comes one second after the one before


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit; its id is the one that git would give to it."""

    tree: dict[str, Entry]
    parent: str | None
    message: str
    time: int
    author: str

    @property
    def id(self) -> str:
        lines = [f"tree {tree_ids(self.tree)['']}"]
        if self.parent:
            lines.append(f"parent {self.parent}")
        who = f"{self.author} <{self.author}> {self.time} +0000"
        lines += [f"author {who}", f"committer {who}", "", self.message]
        return git_id("commit", ("\n".join(lines) + "\n").encode())

    @property
    def date(self) -> str:
        return datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Commit:
        value = json.loads(text)
        return cls(**{**value, "tree": {path: Entry(**entry) for path, entry in value["tree"].items()}})


@dataclass(slots=True, kw_only=True)
class Repository:
    """Everything about a repository but its commits, which never change and stand in files of their own."""

    kind: str  # "models" or "datasets"
    name: str  # "org/name"
    private: bool = False
    gated: str | bool = False  # False, "auto" or "manual"
    readers: list[str] = field(default_factory=list)  # users let in by name
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    served: dict[str, str] = field(default_factory=dict)  # "COMMIT PATH" -> sha256 of what is sent in its place
    made: int = 0  # commits ever made
    pulls: list[dict[str, Any]] = field(default_factory=list)  # the pull requests, by number; see `pulls`

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, path: Path) -> Repository:
        value: dict[str, Any] = json.loads(path.read_text())
        return cls(**value)
