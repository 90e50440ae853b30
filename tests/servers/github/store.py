"""The repositories, releases and assets on disk. Nothing here knows of HTTP; every change is complete when the call returns.

FOLDER/github.json    repositories, releases, assets and tokens
FOLDER/assets/ID      an asset's bytes
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO


class No(Exception):
    """The store does not do it. `status`, `message` and `errors` are GitHub's answer."""

    def __init__(self, status: int, message: str, errors: Iterable[dict[str, str]] = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, list(errors)


def invalid(code: str, resource: str, name: str, message: str = "") -> No:
    """A validation error, as GitHub words it."""
    said = {"message": message} if message else {}
    return No(422, "Validation Failed", [{"resource": resource, "code": code, "field": name, **said}])


@dataclass(slots=True, kw_only=True)
class Asset:
    id: int
    name: str
    label: str
    content_type: str
    state: str = "starter"  # until all of it has arrived
    size: int = 0
    digest: str | None = None
    uploader: str = ""


@dataclass(slots=True, kw_only=True)
class Release:
    id: int
    tag: str
    name: str
    body: str
    author: str
    draft: bool = True
    prerelease: bool = False
    immutable: bool = False
    target: str = "main"
    published: int | None = None
    assets: list[Asset] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Repository:
    id: int
    name: str  # "org/name"
    private: bool = False
    archived: bool = False
    immutable: bool = False  # releases are made immutable when they are published
    digests: bool = True  # whether new assets get a digest; assets from before 2025 have none
    releases: list[Release] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Account:
    """Who a token stands for, and the repositories that it may write and read."""

    user: str
    push: list[str]
    pull: list[str]

    def sees(self, name: str) -> bool:
        return name in self.push or name in self.pull


class Store:
    """Everything that the server knows, in a folder."""

    def __init__(self, folder: Path) -> None:
        (folder / "assets").mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.RLock()
        self._repositories: dict[str, Repository] = {}
        self._accounts: dict[str, Account] = {}
        self._last = 1000  # ids and times are numbers that grow: the store has no clock
        if (folder / "github.json").is_file():
            self._load(json.loads((folder / "github.json").read_text()))

    # What tests prepare and look at

    def create(
        self, name: str, *, private: bool = False, archived: bool = False, immutable: bool = False, digests: bool = True
    ) -> None:
        with self.changing():
            self._repositories[name] = Repository(
                id=self.next(), name=name, private=private, archived=archived, immutable=immutable, digests=digests
            )

    def token(self, token: str, *, user: str = "tester", push: Iterable[str] = (), pull: Iterable[str] = ()) -> str:
        """Make a token known, or let it do something else from now on."""
        with self.changing():
            self._accounts[token] = Account(user=user, push=list(push), pull=list(pull))
        return token

    def releases(self, name: str) -> list[Release]:
        """All releases of a repository, drafts too, oldest first."""
        return list(self._repositories[name].releases)

    def published(self, name: str, tag: str) -> Release:
        (found,) = [release for release in self.releases(name) if release.tag == tag and not release.draft]
        return found

    def publish(self, name: str, tag: str, files: dict[str, bytes], body: str = "") -> Release:
        """A release that somebody else made."""
        with self.changing():
            release = Release(id=self.next(), tag=tag, name=tag, body=body, author="somebody", draft=False)
            release.published = self.next()
            self._repositories[name].releases.append(release)
            for path, content in files.items():
                self._fill(self._repositories[name], self.start(release, path, "", "text/plain", "somebody"), content)
            return release

    def content(self, asset: Asset) -> bytes:
        return self.path(asset).read_bytes()

    def tamper(self, asset: Asset, content: bytes, *, announce: bool = False) -> None:
        """Serve other bytes; `announce`: and say so, as if somebody had replaced the asset."""
        with self.changing():
            self.path(asset).write_bytes(content)
            if announce:
                asset.size, asset.digest = len(content), f"sha256:{hashlib.sha256(content).hexdigest()}"

    def forget_digests(self, name: str) -> None:
        """Make a repository's assets older than GitHub's digests."""
        with self.changing():
            for release in self._repositories[name].releases:
                for asset in release.assets:
                    asset.digest = None

    # What the answers need

    def account(self, authorization: str | None) -> Account | None:
        """Who sends this Authorization header; an unknown token is refused even where none is needed."""
        if not authorization:
            return None
        found = self._accounts.get(authorization.partition(" ")[2])
        if found is None:
            raise No(401, "Bad credentials")
        return found

    def repository(self, name: str, account: Account | None) -> Repository:
        """The repository, if the caller may know of it."""
        found = self._repositories.get(name)
        if found is None or (found.private and not (account and account.sees(name))):
            raise No(404, "Not Found")
        return found

    def next(self) -> int:
        self._last += 1
        return self._last

    def path(self, asset: Asset) -> Path:
        return self._folder / "assets" / str(asset.id)

    def start(self, release: Release, name: str, label: str, content_type: str, uploader: str) -> Asset:
        """An asset of which no byte has arrived. GitHub puts dots for what it does not like in names."""
        name = re.sub(r"[^\w+@-]+", ".", name, flags=re.ASCII).strip(".") or "default"
        if release.immutable:
            raise No(422, "Cannot upload assets to an immutable release.")
        if any(asset.name == name for asset in release.assets):
            raise invalid("already_exists", "ReleaseAsset", "name")
        asset = Asset(id=self.next(), name=name, label=label, content_type=content_type, uploader=uploader)
        self.path(asset).touch()
        release.assets.append(asset)
        return asset

    def receive(self, repository: Repository, asset: Asset, incoming: BinaryIO, *, spoil: bool = False) -> bool:
        """Take an asset's bytes; False if they do not all come, or if somebody deleted the asset meanwhile."""
        content = incoming.read()
        if spoil:
            content = bytes(byte ^ 1 for byte in content)
        with self.changing():
            if not any(asset in release.assets for release in repository.releases):
                return False
            self._fill(repository, asset, content)
        return True

    def _fill(self, repository: Repository, asset: Asset, content: bytes) -> None:
        self.path(asset).write_bytes(content)
        asset.size, asset.state = len(content), "uploaded"
        asset.digest = f"sha256:{hashlib.sha256(content).hexdigest()}" if repository.digests else None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One change at a time, on disk when it is done."""
        with self._lock:
            yield
            part = self._folder / "github.part"
            part.write_text(json.dumps(self._dump()))
            part.replace(self._folder / "github.json")

    def _dump(self) -> dict[str, Any]:
        return {
            "last": self._last,
            "repositories": [asdict(repository) for repository in self._repositories.values()],
            "accounts": {token: asdict(account) for token, account in self._accounts.items()},
        }

    def _load(self, value: dict[str, Any]) -> None:
        self._last = value["last"]
        self._accounts = {token: Account(**account) for token, account in value["accounts"].items()}
        for repository in value["repositories"]:
            releases = [
                Release(**{**release, "assets": [Asset(**asset) for asset in release["assets"]]})
                for release in repository["releases"]
            ]
            self._repositories[repository["name"]] = Repository(**{**repository, "releases": releases})
