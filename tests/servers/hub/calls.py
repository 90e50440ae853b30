"""One request, one answer, and the table that says which function makes the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.servers.hub.access import Account, check_download, check_read, check_write, hidden
from tests.servers.hub.errors import EntryNotFound, Refused, TooMany
from tests.servers.hub.limits import Limits
from tests.servers.hub.repository import Repository
from tests.servers.hub.store import Store


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the answers need to know of the server."""

    store: Store
    endpoint: str
    cdn: str  # files in LFS come from another origin, as on the Hub, and without a token
    page_size: int
    multipart: int | None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request, and who makes it."""

    site: Site
    path: str
    query: str
    headers: Message
    body: bytes
    account: Account | None

    @property
    def store(self) -> Store:
        return self.site.store

    @property
    def parameters(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.query).items()}

    def flag(self, name: str) -> bool:
        return self.parameters.get(name, "").lower() in ("1", "true")

    def json(self) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads(self.body)
        except ValueError as error:
            raise Refused(f"The body is no JSON: {error}") from error
        return value

    def readable(self, kind: str, name: str) -> Repository:
        """The repository, if the caller may see it."""
        check_read(repo := self._repository(kind, name), self.account)
        return repo

    def downloadable(self, kind: str, name: str) -> Repository:
        """The repository, if the caller may have its files."""
        check_download(repo := self._repository(kind, name), self.account)
        return repo

    def writable(self, kind: str, name: str) -> Repository:
        """The repository, if the caller may change it."""
        repo = self.readable(kind, name)
        check_write(name, self.account)
        return repo

    def _repository(self, kind: str, name: str) -> Repository:
        try:
            return self.store.repository(kind, name)
        except Refused as error:
            raise hidden(self.account) from error


@dataclass(frozen=True)
class Reply:
    """An answer."""

    body: memoryview = field(default_factory=lambda: memoryview(b""))
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON."""
    body = json.dumps(value, default=str).encode()
    return Reply(memoryview(body), status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def refusal(error: Refused, extra: Mapping[str, Any] | None = None) -> Reply:
    """An answer that says no. Over plain http the clients understand it by X-Error-Code alone."""
    headers = {"X-Error-Message": error.message}
    if error.code:
        headers["X-Error-Code"] = error.code
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.wait)
    if isinstance(error, EntryNotFound) and error.commit:
        headers["X-Repo-Commit"] = error.commit  # the clients remember in their cache that the file is not there
    return reply({"error": error.message, **(extra or {})}, error.status, headers)


Handler = Callable[..., Reply]
_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
_PARTS = {
    "kind": "(?P<kind>models|datasets)",
    "prefix": "(?:(?P<kind>datasets)/)?",  # outside of /api, models have no prefix
    "repo": "(?P<name>[^/]+/[^/]+?)",
    "rest": "(?P<path>.+)",
}


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    """Have a function answer requests to such paths: {repo} is two segments, {rest} many, any other name one."""
    pattern = re.sub(r"\{(\w+)\}", lambda found: _PARTS.get(found[1], f"(?P<{found[1]}>[^/]+)"), template)

    def add(handler: Handler) -> Handler:
        _ROUTES.append((method, re.compile(pattern), handler))
        return handler

    return add


def answer(method: str, call: Call) -> Reply:
    """The answer to a request. Segments are told apart before they are unquoted: a branch may have a slash."""
    for expected, pattern, handler in _ROUTES:
        if expected == method and (found := pattern.fullmatch(call.path)):
            parts = {name: unquote(value or "models") for name, value in found.groupdict().items()}
            if new := call.store.now(parts.get("kind", ""), parts["name"]) if "name" in parts else None:
                at = f"{call.path.replace(parts['name'], new, 1)}{'?' if call.query else ''}{call.query}"
                return Reply(status=307, headers={"Location": at})
            try:
                return handler(call, **parts)
            except Refused as error:
                return refusal(error)
    return reply({"error": "Sorry, we can't find the page you are looking for."}, 404)
