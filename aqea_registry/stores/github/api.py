"""The client of one repository's releases on GitHub: each request that the store makes, and what its answer means.

It is PyGithub's, but for assets: that reads them into memory and knows no ranges, so they are read through requests. Without
a token they come from the release's page: of its API GitHub answers only 60 questions an hour to strangers.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, NotAllowed, Refused
from aqea_registry.base.progress import keep_secret
from aqea_registry.remote import retry
from aqea_registry.remote.answers import Failure, NoAnswer, header_number, party, quotable, unreached, whole_answer
from aqea_registry.remote.retry import PIECE, Download, UploadBody, entries, from_offset, with_retries

if TYPE_CHECKING:
    from github.GitRelease import GitRelease
    from github.GitReleaseAsset import GitReleaseAsset
    from github.Repository import Repository
    from requests import Response, Session

T = TypeVar("T")
API, GITHUB = "https://api.github.com", "GitHub"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ABSENT, INVALID = 404, 422


class GitHubRefusal(CannotCheck):
    """GitHub refuses because of what is there, or is not there. `said`: its own words; `codes`: those of its validation."""

    def __init__(self, where: str, status: int, said: str, codes: frozenset[str] = frozenset()) -> None:
        super().__init__(f"{where}: GitHub answered {status}: {said}", "look what is there, and try again")
        self.status, self.said, self.codes = status, said, codes


class Asset(NamedTuple):
    """An asset as GitHub reports it; `digest` is None for those from before GitHub had digests."""

    id: int
    name: str
    digest: str | None
    size: int
    whole: bool  # False: an upload was cut, or goes on
    page: str  # where anybody finds it, once the release is published
    handle: GitReleaseAsset


class Found(NamedTuple):
    """A release as GitHub reports it. `names`: of its assets, as far as this answer has them."""

    id: int
    tag: str
    text: str
    draft: bool
    immutable: bool
    names: frozenset[str]
    handle: GitRelease


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

    @property
    def address(self) -> str:
        """Which repository of which server this is."""
        return f"{self._api}/repos/{self._name}"

    def check_writable(self) -> None:
        """Raise NotAllowed if releases cannot be made here, before anything is sent."""
        hint = f"set GITHUB_TOKEN to a token with write access to the contents of {self._name}"
        if not self._token:
            raise NotAllowed(f"{self.spec}: GitHub wants a token to publish there, and none is set", hint)
        repository = self.check_visible()
        archived, push, scopes = self._ask("", lambda: _rights(repository))
        if archived:
            raise NotAllowed(f"{self.spec} is archived, so nothing can be published there", "name another store")
        if not push:
            raise NotAllowed(f"{self.spec}: the token may read there, but not write", hint)
        if scopes is not None and not scopes & {"repo", "public_repo"}:
            raise NotAllowed(f"{self.spec}: the token has the scopes {', '.join(sorted(scopes))}, and not repo", hint)

    def check_visible(self) -> Repository:
        """The repository. Raises NotAllowed if there is none, as far as this token may see."""
        try:
            repository: Repository = self._ask("", lambda: self._repository().complete())
        except GitHubRefusal as error:
            message = f"GitHub has no repository {self._name}, or {'the token' if self._token else 'a stranger'} may not see it"
            hint = "check the owner and the name; if it is private, set GITHUB_TOKEN to a token that may read its contents"
            raise NotAllowed(message, hint, [Finding("repository-gone", self.spec, message)]) from error
        return repository

    # Releases

    def published(self, tag: str) -> Found | None:
        """The published release of a tag."""
        return self._one(tag, lambda: self._repository().get_release(tag))

    def by_number(self, number: int) -> Found | None:
        """A release by its number."""
        return self._one(f"release {number}", lambda: self._repository().get_release(number).complete())

    def releases(self) -> list[Found]:
        """All releases; drafts only if the token may write."""
        return self._ask("its releases", lambda: [*map(_found, entries(self._repository().get_releases()))])

    def create(self, tag: str, text: str) -> Found:
        """Make a draft; if an answer is lost, there may be another one."""
        return self._ask(tag, lambda: _found(self._repository().create_git_release(tag, name=tag, message=text, draft=True)))

    def publish(self, draft: Found, text: str) -> Found:
        """Publish a draft."""
        handle = draft.handle
        return self._ask(draft.tag, lambda: _found(handle.update_release(draft.tag, text, draft=False, make_latest="true")))

    def rewrite(self, found: Found, text: str) -> None:
        """Change the text of a published release."""
        handle = found.handle
        self._ask(found.tag, lambda: handle.update_release(handle.name or found.tag, text, prerelease=handle.prerelease))

    def delete(self, draft: Found) -> None:
        """Delete a draft; it may be gone already."""
        self._unless_absent(f"draft {draft.id}", draft.handle.delete_release)

    # Assets

    def assets(self, release: int) -> dict[str, Asset]:
        """The assets of a release by name."""

        def call() -> dict[str, Asset]:
            return {asset.name: _asset(asset) for asset in entries(self._repository().get_release(release).get_assets())}

        return self._ask(f"release {release}", call)

    def upload(self, found: Found, name: str, label: str, media_type: str, body: UploadBody) -> Asset:
        """Send an asset. If an answer is lost, the next attempt may be refused because it is there already."""

        def call() -> Asset:
            body.seek(0)
            file = cast(BinaryIO, body)
            handle = found.handle
            try:
                made = handle.upload_asset_from_memory(file, len(body), name, content_type=media_type, label=label)
            except AssertionError as error:  # PyGithub's answer to an address of another server
                address = quotable(handle.upload_url.partition("{")[0])
                raise NoAnswer(f"the upload address {address} that GitHub gave is not on its server") from error
            return _asset(made)

        return self._ask(f"{found.tag}: {name}", call)

    def delete_asset(self, asset: Asset) -> None:
        """Delete an asset; it may be gone already."""
        self._unless_absent(asset.name, asset.handle.delete_asset)

    def open(self, parts: Parts, offset: int) -> Download:
        """The bytes of assets, one after another, from `offset` on. Nothing is requested before they are read."""
        what = parts[0][0].name if parts else ""
        size = sum(size for _, size in parts)
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
        from github import GithubException

        if isinstance(error, GithubException):
            return _answer(error.status, error.headers or {}, _said(error.data)[0])
        if isinstance(error, requests.HTTPError) and error.response is not None:
            who = self._who(error.response.url)
            return _answer(error.response.status_code, error.response.headers, "", who)
        return unreached(error, self._who, GITHUB)

    def _who(self, url: str | None) -> str:
        """Who is asked at an address."""
        return party(url, self._api, GITHUB)

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        def attempt() -> T:
            from github import GithubException

            try:
                return call()
            except GithubException as error:
                if error.status in {ABSENT, INVALID}:
                    raise GitHubRefusal(f"{self.spec}: {what}", error.status, *_said(error.data)) from error
                raise

        return self._retrying(what, attempt)

    def _blocks(self, parts: Parts, offset: int) -> Generator[bytes, None, None]:
        for asset, size in parts:
            if offset < size:
                yield from self._asset_blocks(asset, offset)
            offset = max(0, offset - size)

    def _asset_blocks(self, asset: Asset, offset: int) -> Iterator[bytes]:
        headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={offset}-"} if offset else {}
        headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        url = f"{self.address}/releases/assets/{asset.id}" if self._token else asset.page
        with closing(self._session.get(url, headers=headers, stream=True, timeout=retry.PATIENCE)) as response:
            response.raise_for_status()
            pieces = iter(lambda: response.raw.read(PIECE), b"")  # keeps what arrived before a cut
            yield from from_offset(pieces, offset, response.status_code)

    def _one(self, what: str, call: Callable[[], GitRelease]) -> Found | None:
        try:
            return self._ask(what, lambda: _found(call()))
        except GitHubRefusal:
            return None

    def _unless_absent(self, what: str, call: Callable[[], object]) -> None:
        try:
            self._ask(what, call)
        except GitHubRefusal as error:
            if error.status != ABSENT:
                raise

    def _repository(self) -> Repository:
        """PyGithub's object, which has asked nothing yet: a used one would repeat old answers."""
        repository: Repository = self._github.get_repo(self._name)
        return repository

    @cached_property
    def _github(self) -> Any:
        from github import Auth, Github

        client = Github(
            auth=Auth.Token(self._token) if self._token else None,
            base_url=self._api,
            timeout=int(retry.PATIENCE) + 1,
            user_agent="aqea-registry",
            per_page=100,
            retry=None,  # `with_retries` asks again
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
        )
        requester: Any = client.requester
        for name in ("connectionClass", "httpConnectionClass", "httpsConnectionClass"):
            setattr(requester, f"_Requester__{name}", _bounded(getattr(requester, f"_Requester__{name}")))
        return client

    @cached_property
    def _session(self) -> Session:
        import requests

        session = requests.Session()
        session.auth = lambda request: request  # or a login in ~/.netrc would take the token's place
        return session


def _rights(repository: Repository) -> tuple[bool, bool, frozenset[str] | None]:
    """Whether a repository is archived; whether its user may push; the scopes of a classic token, which may be fewer."""
    scopes = cast("str | None", repository.raw_headers.get("x-oauth-scopes"))
    named = None if scopes is None else frozenset(scopes.replace(",", " ").split())
    return bool(repository.archived), bool(repository.permissions and repository.permissions.push), named


def _found(release: GitRelease) -> Found:
    names = frozenset(asset.name for asset in release.assets if asset.state == "uploaded")
    return Found(release.id, release.tag_name, release.body or "", release.draft, bool(release.immutable), names, release)


def _asset(asset: GitReleaseAsset) -> Asset:
    digest = asset.digest if DIGEST.fullmatch(asset.digest or "") else None
    return Asset(asset.id, asset.name, digest, asset.size, asset.state == "uploaded", asset.browser_download_url, asset)


def _bounded(connection: type[Any]) -> type[Any]:
    """PyGithub's class of connections, whose answers are read here: as much as may be, and only JSON."""

    class Bounded(connection):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.session.hooks["response"].append(_read_answer)

    return Bounded


def _read_answer(response: Response, **options: Any) -> None:
    """Read an answer before PyGithub does."""
    blocks = iter(lambda: response.raw.read(PIECE, decode_content=True), b"")
    response._content = whole_answer(blocks, GITHUB, response.headers.get("Content-Type", "") if response.ok else None)


def _answer(status: int, headers: Mapping[str, str], message: str, who: str = GITHUB) -> Failure:
    said = {name.lower(): value for name, value in headers.items()}
    reason = f"{who} answered {status}{f': {message}' if message else ''}"
    if status == 403 and (needed := said.get("x-accepted-github-permissions")):
        reason += f" (the token needs {needed})"
    wait = said.get("retry-after")
    used_up = said.get("x-ratelimit-remaining") == "0"
    if status == 403 and (wait is not None or used_up or "rate limit" in message.lower()):
        reset = header_number(said.get("x-ratelimit-reset"))
        if wait is None and used_up and reset is not None:
            wait = str(reset - time.time())
        return Failure(429, reason, wait)  # GitHub's other way to say so
    return Failure(status, reason, wait)


def _said(data: Any) -> tuple[str, frozenset[str]]:
    """GitHub's own words for an error in one line, and the codes of its validation."""
    if not isinstance(data, dict):
        return "", frozenset()
    listed = data.get("errors")
    errors = [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []
    words = [data.get("message"), *(error.get("message") or error.get("code") for error in errors)]
    return quotable("; ".join(str(word) for word in words if word)), frozenset(str(error.get("code")) for error in errors)
