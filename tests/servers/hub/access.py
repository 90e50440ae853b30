"""Tokens, and who may read, download and write what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.hub.errors import Forbidden, RepoNotFound, Unauthorized
from tests.servers.hub.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who a token stands for."""

    user: str
    role: str  # "read", "write" or "fineGrained"
    orgs: tuple[str, ...] = ()
    rights: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of a fine-grained token, by repository or its owner

    def owns(self, name: str) -> bool:
        return name.partition("/")[0] in (self.user, *self.orgs)

    def may(self, right: str, name: str) -> bool:
        """Whether a fine-grained token has a right in a repository, or in all of its owner's."""
        return any(right in self.rights.get(entity, ()) for entity in (name, name.partition("/")[0]))


class Tokens:
    """The tokens that the server knows, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, token: str, account: Account) -> None:
        self._path.write_text(json.dumps({**self._read(), token: asdict(account)}))

    def account(self, authorization: str | None) -> Account | None:
        """Who sends this Authorization header. The Hub refuses an unknown token even where none is needed."""
        if not authorization:
            return None
        found = self._read().get(authorization.removeprefix("Bearer "))
        if found is None:
            raise Unauthorized("Invalid credentials in Authorization header")
        return Account(**{**found, "orgs": tuple(found["orgs"])})

    def _read(self) -> dict[str, dict[str, Any]]:
        tokens: dict[str, dict[str, Any]] = json.loads(self._path.read_text()) if self._path.is_file() else {}
        return tokens


def hidden(account: Account | None) -> Exception:
    """What the Hub answers for a repository that is not there, or that the caller may not know of."""
    if account is None:
        return Unauthorized("Invalid username or password.", "RepoNotFound")
    return RepoNotFound("Repository not found")


def check_read(repo: Repository, account: Account | None) -> None:
    """May its name and its list of files be seen?"""
    if repo.private and not (account and (account.owns(repo.name) or account.user in repo.readers)):
        raise hidden(account)


def check_download(repo: Repository, account: Account | None) -> None:
    """May its files be had? A gated repository can be listed, but not downloaded."""
    check_read(repo, account)
    if not repo.gated or (account and (account.owns(repo.name) or account.user in repo.readers)):
        return
    message = f"Access to {repo.kind[:-1]} {repo.name} is restricted."
    if account is None:
        raise Unauthorized(f"{message} You must have access to it and be authenticated to access it.", "GatedRepo")
    raise Forbidden(f"{message} You are not in the authorized list.", "GatedRepo")


def check_write(name: str, account: Account | None) -> None:
    """May this token write into this namespace?"""
    if account is None:
        # Over https the clients read any such 401 as RepositoryNotFoundError; over http they need the code.
        raise Unauthorized("Invalid username or password.", "RepoNotFound")
    if account.role != "write" and not account.may("repo.write", name):
        raise Forbidden("Invalid token role: this action needs a token with write permission")
    if not account.owns(name):
        raise Forbidden(f'You don\'t have the rights to write under the namespace "{name.partition("/")[0]}"')
