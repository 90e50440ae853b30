"""The client of one repository's releases on GitHub: each request that the store makes, and what its answer means.

It asks GitHub's REST API through requests, which is imported when it is needed. Without a token assets come from the release's
page: of its API GitHub answers only 60 questions an hour to strangers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import cached_property, partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, urlsplit

import msgspec

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, NotAllowed, Refused
from aqea_registry.base.progress import keep_secret
from aqea_registry.base.strict import decoded, parse_json
from aqea_registry.remote import retry
from aqea_registry.remote.answers import Failed, Failure, NoAnswer, number_in, party, quotable, unreached, whole_answer
from aqea_registry.remote.retry import PIECE, TOO_MANY, Download, UploadBody, entries, new_session, pieces_from, with_retries

if TYPE_CHECKING:
    from requests import Response, Session

T = TypeVar("T")
API, GITHUB = "https://api.github.com", "GitHub"
ABSENT, INVALID = 404, 422
MOST_AT_ONCE = 100  # entries of a page


class GitHubRefusal(CannotCheck):
    """GitHub refuses because of what is there, or is not there. `reason`: its own words; `codes`: those of its validation."""

    def __init__(self, where: str, status: int, reason: str, codes: frozenset[str] = frozenset()) -> None:
        super().__init__(f"{where}: GitHub answered {status}: {reason}", "look what is there, and try again")
        self.status, self.reason, self.codes = status, reason, codes


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


class GitHubRelease(msgspec.Struct, frozen=True, kw_only=True):
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


class GitHubClient:
    """One repository on GitHub, `OWNER/NAME`. Its methods raise NotAllowed, CannotCheck, and GitHubRefusal for a 404 or 422."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.spec = f"github://{name}"
        self._token = (os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN") or "").strip()  # a secret may end a line
        keep_secret(self._token)
        self._api = (os.environ.get("GITHUB_API_URL") or API).rstrip("/")
        parts = None
        with suppress(ValueError):
            parts = urlsplit(self._api)
        if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            message = "GITHUB_API_URL is not the address of a server"
            raise BadConfiguration(message, "unset it, or set it to https://HOST/api/v3")
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

    def published(self, tag: str) -> GitHubRelease | None:
        """The published release of a tag."""
        return self._unless_absent(GitHubRelease, tag, "GET", f"/releases/tags/{quote(tag, safe='')}")

    def by_number(self, number: int) -> GitHubRelease | None:
        """A release by its number."""
        return self._unless_absent(GitHubRelease, f"release {number}", "GET", f"/releases/{number}")

    def releases(self) -> list[GitHubRelease]:
        """All releases; drafts only if the token may write."""
        return self._all(GitHubRelease, "its releases", "/releases")

    def create(self, tag: str, text: str) -> GitHubRelease:
        """Make a draft; if an answer is lost, there may be another one."""
        return self._ask(GitHubRelease, tag, "POST", "/releases", {"tag_name": tag, "name": tag, "body": text, "draft": True})

    def change(self, release: GitHubRelease, text: str, **others: object) -> GitHubRelease:
        """Give a release this text, and other values of other fields."""
        return self._ask(GitHubRelease, release.tag, "PATCH", f"/releases/{release.id}", {"body": text, **others})

    def delete(self, item: GitHubRelease | Asset) -> None:
        """Delete a draft or an asset; it may be gone already."""
        what, path = (item.name, "assets/") if isinstance(item, Asset) else (f"draft {item.id}", "")
        self._unless_absent(None, what, "DELETE", f"/releases/{path}{item.id}")

    # Assets

    def assets(self, release: int) -> dict[str, Asset]:
        """The assets of a release by name."""
        return {asset.name: asset for asset in self._all(Asset, f"release {release}", f"/releases/{release}/assets")}

    def upload(self, release: GitHubRelease, name: str, label: str, media_type: str, body: UploadBody) -> Asset:
        """Send an asset. If an answer is lost, the next attempt may be refused because it is there already."""

        def call() -> Asset:
            address, _, _ = release.upload_url.partition("{")
            parts = urlsplit(address)
            if parts.netloc not in self._upload_hosts or not self._api.startswith(f"{parts.scheme}://"):
                raise NoAnswer(f"the upload address {quotable(address)} that GitHub gave is not on its server")
            sent = {"params": {"label": label, "name": name}, "data": body, "headers": {"Content-Type": media_type}}
            return _read(self._request(what, "POST", address, **sent), Asset)

        what = f"{release.tag}: {name}"
        return self._retrying(what, call)

    def open(self, pieces: Sequence[tuple[Asset, int]], offset: int) -> Download:
        """The bytes of assets of these sizes, one after another, from `offset` on. Nothing is requested before."""
        what, size = pieces[0][0].name if pieces else "", sum(size for _, size in pieces)
        return Download(size, offset, lambda at: self._blocks(pieces, at), lambda call: self._retrying(what, call))

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
        explain = partial(unreached, who=self._who, name=GITHUB)
        return with_retries(f"{self.spec}: {what}" if what else self.spec, call, explain, hint, self._api)

    def _who(self, url: str | None) -> str:
        return party(url, self._api, GITHUB)

    def _ask(self, kind: type[T] | None, what: str, method: str, path: str, change: Mapping[str, object] | None = None) -> T:
        """Make a request, again where waiting helps; the value of its answer, of no kind None."""

        def call() -> Any:
            response = self._request(what, method, path, json=change)
            return kind and _read(response, kind)

        return cast(T, self._retrying(what, call))

    def _unless_absent(self, kind: type[T] | None, what: str, method: str, path: str) -> T | None:
        try:
            return self._ask(kind, what, method, path)
        except GitHubRefusal as error:
            if error.status != ABSENT:
                raise
            return None

    def _all(self, kind: type[T], what: str, path: str) -> list[T]:
        """Every entry of a list that comes in pages."""

        def pages() -> Iterator[T]:
            for page in count(1):
                response = self._request(what, "GET", path, params={"per_page": MOST_AT_ONCE, "page": page})
                yield from (listed := _read(response, list[kind]))  # type: ignore[valid-type]
                if not listed or "next" not in response.links:
                    return

        return self._retrying(what, lambda: [*entries(pages())])

    def _request(self, what: str, method: str, path: str, **sent: Any) -> Response:
        """Make one request and read its answer: as much as may be, and only JSON. Raises Failed and what requests does."""
        url = path if "://" in path else f"{self.address}{path}"
        with closing(self._session.request(method, url, stream=True, timeout=retry.PATIENCE, **sent)) as response:
            blocks = iter(lambda: response.raw.read(PIECE, decode_content=True), b"")
            kind = response.headers.get("Content-Type", "") if response.ok else None
            response._content = whole_answer(blocks, GITHUB, kind)
        if response.status_code in {ABSENT, INVALID}:
            raise GitHubRefusal(f"{self.spec}: {what}", response.status_code, *_said(response))
        if not 200 <= response.status_code < 300:
            raise Failed(_failure(response, self._who(response.url)))
        return response

    def _blocks(self, pieces: Sequence[tuple[Asset, int]], offset: int) -> Generator[bytes, None, None]:
        for asset, size in pieces:
            if offset < size:
                headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity", **retry.range_from(offset)}
                url = f"{self.address}/releases/assets/{asset.id}" if self._token else asset.page
                with closing(self._session.get(url, headers=headers, stream=True, timeout=retry.PATIENCE)) as response:
                    if not response.ok:
                        response._content = b""  # nobody reads all that may come
                        raise Failed(_failure(response, self._who(response.url)))
                    yield from pieces_from(response, offset)
            offset = max(0, offset - size)

    @cached_property
    def _session(self) -> Session:
        login = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return new_session(Accept="application/vnd.github+json", **login)


def _read(response: Response, kind: type[T]) -> T:
    """The value of an answer. Raises ValueError for anything else."""
    return msgspec.convert(parse_json(response.content), kind)


def _failure(response: Response, who: str) -> Failure:
    headers, status = response.headers, response.status_code
    message, _ = _said(response)
    reason = f"{who} answered {status}{f': {message}' if message else ''}"
    if status == 403 and (needed := headers.get("x-accepted-github-permissions")):
        reason += f" (the token needs {needed})"
    wait = headers.get("retry-after")
    used_up = headers.get("x-ratelimit-remaining") == "0"
    if status == 403 and (wait is not None or used_up or "rate limit" in message.lower()):
        reset = number_in(headers.get("x-ratelimit-reset"))
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
