"""The client of one repository's releases on GitHub: each request that the store makes, and what its answer means.

It asks GitHub's REST API through requests, which is imported when it is needed. Without a token assets come from the release's
page: of its API GitHub answers only 60 questions an hour to strangers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, NotAllowed, Refused
from aqea_registry.base.progress import keep_secret
from aqea_registry.remote import retry
from aqea_registry.remote.answers import Failure, NoAnswer, header_number, party, quotable, unreached, whole_answer
from aqea_registry.remote.retry import PIECE, TOO_MANY, Download, UploadBody, entries, new_session, pieces_from, with_retries
from aqea_registry.stores.release import decoded

if TYPE_CHECKING:
    from requests import Response, Session

T = TypeVar("T")
API, GITHUB = "https://api.github.com", "GitHub"
ABSENT, INVALID = 404, 422
MOST_AT_ONCE = 100  # entries of a page


class GitHubRefusal(CannotCheck):
    """GitHub refuses because of what is there, or is not there. `said`: its own words; `codes`: those of its validation."""

    def __init__(self, where: str, status: int, said: str, codes: frozenset[str] = frozenset()) -> None:
        super().__init__(f"{where}: GitHub answered {status}: {said}", "look what is there, and try again")
        self.status, self.said, self.codes = status, said, codes


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """An asset as GitHub reports it; `digest` is None for those from before GitHub had digests."""

    id: int
    name: str
    size: int  # bytes
    state: str
    page: str = msgspec.field(name="browser_download_url")  # where anybody finds it, once the release is published
    digest: str | None = None

    @property
    def whole(self) -> bool:
        """Whether it is all there: an upload may be cut, or go on."""
        return self.state == "uploaded"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A release as GitHub reports it. `assets`: as far as this answer has them."""

    id: int
    tag: str = msgspec.field(name="tag_name")
    body: str | None = None
    draft: bool
    immutable: bool = False
    upload_url: str
    assets: tuple[Asset, ...] = ()

    @property
    def text(self) -> str:
        """Its description, with the ends of lines that this program writes."""
        return (self.body or "").replace("\r\n", "\n")

    @property
    def names(self) -> frozenset[str]:
        """The names of its whole assets."""
        return frozenset(asset.name for asset in self.assets if asset.whole)


class Rights(msgspec.Struct, frozen=True):
    """What a user may do in a repository."""

    archived: bool
    permissions: dict[str, bool] = {}


Parts = Sequence[tuple[Asset, int]]  # assets and their sizes in bytes, which together are one file


class GitHubClient:
    """One repository on GitHub, `OWNER/NAME`. Its methods raise NotAllowed, CannotCheck, and GitHubRefusal for a 404 or 422."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.spec = f"github://{name}"
        self._token = os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN") or ""
        keep_secret(self._token)
        self._api = (os.environ.get("GITHUB_API_URL") or API).rstrip("/")
        parts = urlsplit(self._api)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise BadConfiguration(
                "GITHUB_API_URL is not the address of a server", "unset it, or set it to https://HOST/api/v3"
            )
        # Of a company's own server both have one host.
        self._upload_hosts = {parts.netloc, f"uploads.{parts.netloc.removeprefix('api.')}"}

    @property
    def address(self) -> str:
        """Which repository of which server this is."""
        return f"{self._api}/repos/{self._name}"

    def check_writable(self) -> None:
        """Raise NotAllowed if releases cannot be made here, before anything is sent."""
        hint = f"set GITHUB_TOKEN to a token with write access to the contents of {self._name}"
        if not self._token:
            raise NotAllowed(f"{self.spec}: GitHub wants a token to publish there, and none is set", hint)
        rights, scopes = self.check_visible()
        if rights.archived:
            raise NotAllowed(f"{self.spec} is archived, so nothing can be published there", "name another store")
        if not rights.permissions.get("push"):
            raise NotAllowed(f"{self.spec}: the token may read there, but not write", hint)
        if scopes is not None and not {"repo", "public_repo"} & {*scopes.replace(",", " ").split()}:
            raise NotAllowed(f"{self.spec}: the token has the scopes {scopes}, and not repo", hint)

    def check_visible(self) -> tuple[Rights, str | None]:
        """What may be done here, and a classic token's scopes. Raises NotAllowed if this token may see no such repository."""

        def call() -> tuple[Rights, str | None]:
            response = self._request("", "GET", "")
            return _read(response, Rights), response.headers.get("x-oauth-scopes")

        try:
            return self._retrying("", call)
        except GitHubRefusal as error:
            message = f"GitHub has no repository {self._name}, or {'the token' if self._token else 'a stranger'} may not see it"
            hint = "check the owner and the name; if it is private, set GITHUB_TOKEN to a token that may read its contents"
            raise NotAllowed(message, hint, [Finding("repository-gone", self.spec, message)]) from error

    # Releases

    def published(self, tag: str) -> Found | None:
        """The published release of a tag."""
        return self._unless_absent(tag, lambda: self._release(tag, "GET", f"/tags/{quote(tag, safe='')}"))

    def by_number(self, number: int) -> Found | None:
        """A release by its number."""
        return self._unless_absent(f"release {number}", lambda: self._release(f"release {number}", "GET", f"/{number}"))

    def releases(self) -> list[Found]:
        """All releases; drafts only if the token may write."""
        return self._all("its releases", "/releases", list[Found])

    def create(self, tag: str, text: str) -> Found:
        """Make a draft; if an answer is lost, there may be another one."""
        return self._release(tag, "POST", "", {"tag_name": tag, "name": tag, "body": text, "draft": True})

    def publish(self, draft: Found, text: str) -> Found:
        """Publish a draft."""
        change = {"tag_name": draft.tag, "name": draft.tag, "body": text, "draft": False, "make_latest": "true"}
        return self._release(draft.tag, "PATCH", f"/{draft.id}", change)

    def rewrite(self, found: Found, text: str) -> None:
        """Change the text of a published release."""
        self._release(found.tag, "PATCH", f"/{found.id}", {"body": text})

    def delete(self, draft: Found) -> None:
        """Delete a draft; it may be gone already."""
        self._delete(f"draft {draft.id}", f"/releases/{draft.id}")

    # Assets

    def assets(self, release: int) -> dict[str, Asset]:
        """The assets of a release by name."""
        return {asset.name: asset for asset in self._all(f"release {release}", f"/releases/{release}/assets", list[Asset])}

    def upload(self, found: Found, name: str, label: str, media_type: str, body: UploadBody) -> Asset:
        """Send an asset. If an answer is lost, the next attempt may be refused because it is there already."""

        def call() -> Asset:
            address, _, _ = found.upload_url.partition("{")
            parts = urlsplit(address)
            if parts.netloc not in self._upload_hosts or not self._api.startswith(f"{parts.scheme}://"):
                raise NoAnswer(f"the upload address {quotable(address)} that GitHub gave is not on its server")
            body.seek(0)
            sent = {"params": {"label": label, "name": name}, "data": body, "headers": {"Content-Type": media_type}}
            return _read(self._request(what, "POST", address, **sent), Asset)

        what = f"{found.tag}: {name}"
        return self._retrying(what, call)

    def delete_asset(self, asset: Asset) -> None:
        """Delete an asset; it may be gone already."""
        self._delete(asset.name, f"/releases/assets/{asset.id}")

    def open(self, parts: Parts, offset: int) -> Download:
        """The bytes of assets, one after another, from `offset` on. Nothing is requested before they are read."""
        what, size = parts[0][0].name if parts else "", sum(size for _, size in parts)
        return Download(size, offset, lambda at: self._blocks(parts, at), lambda call: self._retrying(what, call))

    def read(self, asset: Asset, limit: int) -> bytes:
        """All bytes of a small asset. Raises Refused if there are more than `limit`."""
        with self.open([(asset, limit + 1)], 0).buffered() as incoming:
            content = incoming.read(limit + 1)
        if len(content) > limit:
            raise Refused.of("malformed", f"{self.spec}: {asset.name}", f"the asset has more than {limit} bytes")
        return content

    # How requests are made

    def _retrying(self, what: str, call: Callable[[], T]) -> T:
        hint = f"set GITHUB_TOKEN to a token that may do this in {self._name}"
        return with_retries(f"{self.spec}: {what}" if what else self.spec, call, self._explain, hint, self._api)

    def _explain(self, error: Exception) -> Failure | None:
        """What a failed request means; None if it is not about a request."""
        import requests

        if isinstance(error, requests.HTTPError) and error.response is not None:
            return _failure(error.response, self._who(error.response.url))
        return unreached(error, self._who, GITHUB)

    def _who(self, url: str | None) -> str:
        return party(url, self._api, GITHUB)

    def _release(self, what: str, method: str, path: str, change: Mapping[str, object] | None = None) -> Found:
        """Ask about one release, or change it."""
        return self._retrying(what, lambda: _read(self._request(what, method, f"/releases{path}", json=change), Found))

    def _all(self, what: str, path: str, kind: type[list[T]]) -> list[T]:
        """Every entry of a list that comes in pages."""

        def pages() -> Iterator[T]:
            for page in count(1):
                response = self._request(what, "GET", path, params={"per_page": MOST_AT_ONCE, "page": page})
                yield from (listed := _read(response, kind))
                if not listed or "next" not in response.links:
                    return

        return self._retrying(what, lambda: [*entries(pages())])

    def _delete(self, what: str, path: str) -> None:
        self._unless_absent(what, lambda: self._retrying(what, lambda: self._request(what, "DELETE", path)))

    def _unless_absent(self, what: str, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except GitHubRefusal as error:
            if error.status != ABSENT:
                raise
            return None

    def _request(self, what: str, method: str, path: str, **sent: Any) -> Response:
        """Make one request and read its answer: as much as may be, and only JSON. Raises what requests does."""
        import requests

        url = path if "://" in path else f"{self.address}{path}"
        with closing(self._session.request(method, url, stream=True, timeout=retry.PATIENCE, **sent)) as response:
            blocks = iter(lambda: response.raw.read(PIECE, decode_content=True), b"")
            kind = response.headers.get("Content-Type", "") if response.ok else None
            response._content = whole_answer(blocks, GITHUB, kind)
        if response.status_code in {ABSENT, INVALID}:
            raise GitHubRefusal(f"{self.spec}: {what}", response.status_code, *_said(response))
        if not 200 <= response.status_code < 300:
            raise requests.HTTPError(response=response)
        return response

    def _blocks(self, parts: Parts, offset: int) -> Generator[bytes, None, None]:
        for asset, size in parts:
            if offset < size:
                yield from self._asset_blocks(asset, offset)
            offset = max(0, offset - size)

    def _asset_blocks(self, asset: Asset, offset: int) -> Iterator[bytes]:
        headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={offset}-"} if offset else {}
        url = f"{self.address}/releases/assets/{asset.id}" if self._token else asset.page
        with closing(self._session.get(url, headers=headers, stream=True, timeout=retry.PATIENCE)) as response:
            if not response.ok:
                response._content = b""  # nobody reads all that may come
                response.raise_for_status()
            yield from pieces_from(response, offset)

    @cached_property
    def _session(self) -> Session:
        login = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return new_session(Accept="application/vnd.github+json", **login)


def _read(response: Response, kind: type[T]) -> T:
    """The value of an answer. Raises ValueError and RecursionError for anything else."""
    return msgspec.convert(json.loads(response.content), kind)


def _failure(response: Response, who: str) -> Failure:
    said, status = response.headers, response.status_code
    message, _ = _said(response)
    reason = f"{who} answered {status}{f': {message}' if message else ''}"
    if status == 403 and (needed := said.get("x-accepted-github-permissions")):
        reason += f" (the token needs {needed})"
    wait = said.get("retry-after")
    used_up = said.get("x-ratelimit-remaining") == "0"
    if status == 403 and (wait is not None or used_up or "rate limit" in message.lower()):
        reset = header_number(said.get("x-ratelimit-reset"))
        if wait is None and used_up and reset is not None:
            wait = str(reset - time.time())
        return Failure(TOO_MANY, reason, wait)  # GitHub's other way to say so
    return Failure(status, reason, wait)


def _said(response: Response) -> tuple[str, frozenset[str]]:
    """GitHub's own words for an error in one line, and the codes of its validation."""
    data = decoded(response.content, dict[str, Any]) or {}
    listed = data.get("errors")
    errors = [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []
    words = [data.get("message"), *(error.get("message") or error.get("code") for error in errors)]
    return quotable("; ".join(str(word) for word in words if word)), frozenset(str(error.get("code")) for error in errors)
