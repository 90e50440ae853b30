"""The wire to one repository of an OCI registry: one request at a time, and what its answer means.

The session, docker's logins and the exchange of tokens are those of oras, imported only when the first request is made.
Its `do_request` is not used: it asks again by itself for two minutes, loses the status of a refusal, knows no time limit
and sends a file's rest where it must be sent again. Nor is `upload_manifest`, which writes the JSON anew: another digest.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from aqea_registry.base.files import BLOCK
from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed
from aqea_registry.remote.retry import Answer, Outgoing, patiently
from aqea_registry.stores.attachments import INDEX_TYPE
from aqea_registry.stores.port import other_manifest
from aqea_registry.stores.release import LARGEST_MANIFEST, MANIFEST_TYPE, Descriptor, digest_of

if TYPE_CHECKING:
    from requests import Response

T = TypeVar("T")
TIME_LIMITS = (10.0, 300.0)  # seconds: to connect, and of silence; a registry may hash a large blob before it answers
LOCAL = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")
# Everything that a tag may name: what is no release is to be seen, and not to look like nothing.
MANIFEST_TYPES = (
    MANIFEST_TYPE,
    INDEX_TYPE,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
DOCKER_HUB = "docker.io"
DOCKER_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io"}


class Answered(Exception):
    """The registry answered something else than what was expected. The reason holds nothing that it was sent."""

    def __init__(self, status: int, content: bytes = b"", retry_after: str | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        self.code = _code(content)
        self.reason = f"the registry answered {status} {self.code}".rstrip()
        super().__init__(self.reason)


class Reply(NamedTuple):
    """An answer that was expected. `content` ends one byte beyond the size of the largest manifest."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str


class Repository:
    """One repository, `HOST[:PORT]/NAME`. Plain HTTP on this machine, as docker has it, HTTPS everywhere else."""

    def __init__(self, host: str, name: str) -> None:
        self.host = host
        self.name = name
        self._netloc = "registry-1.docker.io" if host in DOCKER_HUB_NAMES else host
        self._scheme = "http" if LOCAL.fullmatch(host) else "https"
        self._client: Any = None
        self._authorization = ""

    def __str__(self) -> str:
        return f"oci://{self.host}/{self.name}"

    def patiently(self, what: str, call: Callable[[], T], *, to_write: bool = False) -> T:
        """Make requests, again where waiting helps. Raises NotAllowed and CannotCheck."""
        login = f"docker login {self.host}"
        return patiently(what, call, judge, f"{login}, as someone who may write to {self.name}" if to_write else login)

    def ask(
        self,
        method: str,
        path: str,
        expect: Collection[int],
        *,
        headers: Mapping[str, str] | None = None,
        body: Outgoing | bytes | None = None,
    ) -> Reply:
        """Make one request. `path` is below the repository, from the registry's root, or a whole URL. Raises Answered."""
        with closing(self._send(method, path, expect, headers or {}, body)) as response:
            content = response.raw.read(LARGEST_MANIFEST + 1)  # read to the end, the connection serves again
            return Reply(response.status_code, response.headers, content, response.url)

    def pages(self, what: str, path: str, expect: Collection[int], headers: Mapping[str, str] | None = None) -> Iterator[Reply]:
        """The answers to a question whose answer may stand on several pages. Raises NotAllowed and CannotCheck."""
        seen, query = set[str](), ""
        while query not in seen:
            seen.add(query)
            reply = self.patiently(what, partial(self.ask, "GET", f"{path}?{query}".rstrip("?"), expect, headers=headers))
            yield reply
            link = re.match(r"<([^>]*)>", reply.headers.get("Link", ""))
            query = urlsplit(link[1]).query if link else ""

    def manifest(self, reference: str) -> bytes | None:
        """The manifest of a tag or digest; None if there is none. Raises Answered; Refused for other bytes."""
        reply = self.ask("GET", f"manifests/{reference}", {200, 404}, headers={"Accept": ", ".join(MANIFEST_TYPES)})
        if reply.status == 404:
            return None
        actual = digest_of(reply.content)
        for name in (reference, reply.headers.get("Docker-Content-Digest", "")):
            if name.startswith("sha256:") and name != actual:
                raise other_manifest(f"{self}@{reference}", name, reply.content)
        return reply.content

    def put_manifest(self, reference: str, content: bytes, media_type: str = MANIFEST_TYPE) -> Reply:
        """Write a manifest under a tag or its digest, in exactly these bytes. Raises Answered."""
        return self.ask("PUT", f"manifests/{reference}", {201}, headers={"Content-Type": media_type}, body=content)

    def size(self, digest: str) -> int | None:
        """How many bytes a blob has here; None if it is not there, -1 if the registry does not say. Raises Answered."""
        reply = self.ask("HEAD", f"blobs/{digest}", {200, 404})
        length = reply.headers.get("Content-Length", "")
        return None if reply.status == 404 else int(length) if length.isdecimal() else -1

    def stream(self, digest: str, offset: int) -> Response:
        """A blob's bytes from `offset` on, to be read from `raw`; the caller closes it. Raises Answered."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self._send("GET", f"blobs/{digest}", {200, 206} if offset else {200}, headers)
        if response.status_code == 200:
            while offset and (block := response.raw.read(min(offset, BLOCK))):  # it sends the blob from its start
                offset -= len(block)
        return response

    def send(self, blob: Descriptor, body: Outgoing | bytes, what: str) -> None:
        """Send a blob if it is not there, patiently. Raises NotAllowed, CannotCheck, and what reading `body` raises."""
        self.patiently(f"{self}: {what}", lambda: self._upload(blob, body), to_write=True)

    def _upload(self, blob: Descriptor, body: Outgoing | bytes) -> None:
        if self.size(blob.digest) in {blob.size, -1}:
            return  # perhaps since an answer that was lost
        if isinstance(body, Outgoing):
            body.seek(0)
        place = self._begin_upload()
        url = f"{place}{'&' if urlsplit(place).query else '?'}digest={blob.digest}"
        headers = {"Content-Type": "application/octet-stream"}
        self.ask("PUT", url, {201, 204}, headers=headers, body=body if blob.size else b"")

    def check_writable(self) -> None:
        """Begin an upload and give it up: there is no other way to ask. Raises Answered, NotAllowed, CannotCheck."""
        if self.ask("GET", "/v2/", {200, 404}).status == 404:
            raise CannotCheck(f"{self}: there is no OCI registry at {self.host}", "correct the store's name")
        place = self._begin_upload()
        with suppress(Answered):  # some registries cannot: they forget it after some time
            self.ask("DELETE", place, {202, 204, 404, 405})

    def _begin_upload(self) -> str:
        reply = self.ask("POST", "blobs/uploads/", {202, 404, 405})
        if reply.status != 202:
            raise NotAllowed(
                f"{self}: {Answered(reply.status, reply.content).reason} to an upload",
                f"make the repository at {self.host}, or ask there who may write to it; then docker login {self.host}",
            )
        if not (place := reply.headers.get("Location")):
            raise Answered(reply.status)
        return urljoin(reply.url, place)

    def _send(
        self,
        method: str,
        path: str,
        expect: Collection[int],
        headers: Mapping[str, str],
        body: Outgoing | bytes | None = None,
    ) -> Response:
        client = self._connected()
        url = self._url(path)
        for login_is_new in (False, True):
            # The registry may send an upload elsewhere: the login is for its own host only.
            known = self._authorization if urlsplit(url).netloc == self._netloc else ""
            signed = {**headers, "Authorization": known} if known else {**headers}
            response: Response = client.session.request(method, url, headers=signed, data=body, stream=True)
            if response.status_code not in {401, 403} or login_is_new or not self._log_in(response):
                break
            response.close()
            if isinstance(body, Outgoing):
                body.seek(0)
        if response.status_code not in expect:
            with closing(response):
                raise Answered(response.status_code, response.raw.read(BLOCK), response.headers.get("Retry-After"))
        return response

    def _url(self, path: str) -> str:
        root = f"{self._scheme}://{self._netloc}"
        url = urljoin(f"{root}/v2/{self.name}/", path)
        # Behind a proxy a registry may name itself with the wrong scheme; no login goes there unencrypted.
        return f"{root}{url.partition(self._netloc)[2]}" if urlsplit(url).netloc == self._netloc else url

    def _log_in(self, response: Response) -> bool:
        """Answer a challenge: whether there is now a login or a token that was not tried yet."""
        challenge, before = response.headers.get("Www-Authenticate", ""), self._authorization
        auth = self._client.auth
        realm = re.search(r'bearer .*realm="(https?)://', challenge, re.IGNORECASE)
        if realm and (realm[1].lower() == "https" or self._scheme == "http"):
            try:
                self._authorization = auth.authenticate_request(response, {}, refresh=True)[0].get("Authorization", "")
            except (AttributeError, TypeError):  # what came is not the JSON of a token
                self._authorization = ""
        elif challenge.lower().startswith("basic") and (login := getattr(auth, "_basic_auth", None)):
            self._authorization = f"Basic {login}"
        return self._authorization not in {"", before}

    def _connected(self) -> Any:
        if self._client is None:
            from oras.provider import Registry as Client  # type: ignore[import-untyped]

            logging.getLogger("oras").setLevel(logging.CRITICAL + 1)  # what it has to say is said by our errors
            client: Any = Client(hostname=self._netloc, insecure=self._scheme == "http")
            client.session.request = partial(client.session.request, timeout=TIME_LIMITS)
            client.session.auth = lambda request: request  # or a login in ~/.netrc would take the place of docker's
            client.session.headers["Accept-Encoding"] = "identity"  # digests, sizes and ranges are of the bytes that are sent
            client.session.hooks["response"].append(_stop_if_overloaded)
            _load_logins(client, self.host)
            self._client = client
        return self._client


def judge(error: Exception) -> Answer | None:
    """What a failed request means; None if it is not about a request."""
    import requests
    import urllib3

    if isinstance(error, Answered):
        # What is sent was hashed here: it changed on the way, or somebody writes the same at this moment. It may pass.
        passing = error.code == "DIGEST_INVALID"
        return Answer(None if passing else error.status, error.reason, error.retry_after)
    if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError):
        return Answer(None, _why(error))
    return None


def _why(error: BaseException) -> str:
    """Why there was no answer, in the system's words: those of the libraries hold whole URLs."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return f"no answer: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return "the connection was lost"


def _code(content: bytes) -> str:
    """The registry's word for an error. Its sentences are not repeated: nobody knows what they quote."""
    try:
        code = json.loads(content)["errors"][0]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return code if isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code) else ""


def _stop_if_overloaded(response: Response, **_: object) -> None:
    """Also for the requests of oras to a token server: it would take a 503 for a login that is not accepted."""
    if response.status_code == 429 or response.status_code >= 500:
        with closing(response):
            raise Answered(response.status_code, response.raw.read(BLOCK), response.headers.get("Retry-After"))


def _load_logins(client: Any, host: str) -> None:
    """Let oras find the login for a host, inline or by a credential helper, in the one configuration that docker would read."""
    path = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"
    try:
        config = json.loads(path.read_bytes())
        logins = {_host_of(name): login for name, login in (config.get("auths") or {}).items()}
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, AttributeError):
        raise BadConfiguration(f"{path} cannot be read as docker's configuration", f"docker login {host}") from None
    index = "https://index.docker.io/v1/"
    place = client.get_container("any")
    place.registry = index if _host_of(host) == DOCKER_HUB else host
    logins |= {index: logins[DOCKER_HUB]} if DOCKER_HUB in logins else {}
    client.auth._auth_config = {
        "auths": logins,
        "credsStore": config.get("credsStore"),
        "credHelpers": config.get("credHelpers") or {},
    }
    try:
        client.auth.load_configs(place)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise BadConfiguration(f"{path} gives no login for {host} that can be read", f"docker login {host}") from None


def _host_of(name: str) -> str:
    """The host of a key of `auths`, which older clients wrote as a URL."""
    host = re.sub(r"^https?://", "", name).partition("/")[0]
    return DOCKER_HUB if host in DOCKER_HUB_NAMES else host
