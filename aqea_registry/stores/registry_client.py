"""The client of one repository of an OCI registry (distribution spec 1.1), on requests, which is imported when it is needed.

Its methods make their requests again where waiting helps, and raise NotAllowed and CannotCheck. Digests, logins and tokens
are handled here. A login comes from the one configuration that docker would read, and goes to the registry's own host and to
the token server that the registry names, never without TLS unless the registry is on this machine.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing, suppress
from functools import cached_property, partial
from pathlib import Path
from subprocess import DEVNULL, PIPE
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import urljoin, urlsplit

from aqea_registry.base.files import BLOCK, Limit, read_small
from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed, Refused
from aqea_registry.base.progress import keep_secret
from aqea_registry.base.strict import decoded, parse_json
from aqea_registry.remote import retry
from aqea_registry.remote.answers import Failed, Failure, NoAnswer, is_page, media_type, number_in, party, quotable, unreached
from aqea_registry.remote.retry import Download, UploadBody, new_session, pieces_from, range_from, with_retries
from aqea_registry.stores.attachments import INDEX_TYPE
from aqea_registry.stores.port import other_manifest
from aqea_registry.stores.release import LARGEST_MANIFEST, MANIFEST_TYPE, Descriptor, digest_of, is_manifest

if TYPE_CHECKING:
    from requests import Response, Session

T = TypeVar("T")
Headers = Mapping[str, str]
Body = UploadBody | bytes | None
REGISTRY = "the registry"
CONNECT = 10.0  # seconds
MOST_PAGES = 1000
LOCAL = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")
DOCKER = "application/vnd.docker.distribution.manifest."
# Everything that a tag may name: what is not a release is to be seen, and not to look like nothing.
MANIFEST_TYPES = (MANIFEST_TYPE, INDEX_TYPE, f"{DOCKER}v2+json", f"{DOCKER}list.v2+json")
DOCKER_HUB = "docker.io"
DOCKER_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io"}
HELPER = 30.0  # seconds that a credential helper has; somebody may have to unlock it
DOCKER_HUB_KEY = "https://index.docker.io/v1/"  # as docker and its credential helpers call it


class RegistryClient:
    """One repository, `HOST[:PORT]/NAME`. Plain HTTP on this machine, as docker has it, HTTPS everywhere else."""

    def __init__(self, host: str, name: str) -> None:
        self.host = host
        self.name = name
        self._netloc = "registry-1.docker.io" if host in DOCKER_HUB_NAMES else host
        self._scheme = "http" if LOCAL.fullmatch(host) else "https"
        self._root = f"{self._scheme}://{self._netloc}"
        self._login: str | None = None
        self._authorization, self._logging_in = "", Lock()
        self._named: dict[str, str] = {}  # what the addresses are that the registry names

    def __str__(self) -> str:
        return f"oci://{self.host}/{self.name}"

    def ask(self, method: str, path: str, expect: Collection[int], headers: Mapping[str, str] = {}, what: str = "") -> Response:
        """Make a request without a body, and read as much of its answer as shows that it is larger than a manifest may be.

        `path` is below the repository or the root, or a URL; `what` is shown for it.
        """
        call = partial(self._request, method, path, expect, headers)
        return self.retrying(f"{self}: {what or path}", call, to_write=method not in {"GET", "HEAD"})

    def retrying(self, what: str, call: Callable[[], T], *, to_write: bool = False) -> T:
        """Make single requests that belong together, all of them again where waiting helps."""
        login = f"docker login {self.host}"
        hint = f"{login}, as someone who may write to {self.name}" if to_write else login
        return with_retries(what, call, partial(unreached, who=self._who, name=REGISTRY), hint, self._netloc)

    def pages(self, path: str, expect: Collection[int], headers: Mapping[str, str] = {}) -> Iterator[Response]:
        """The answers to a question whose answer may be spread over several pages."""
        seen, query = set[str](), ""
        while query not in seen:
            if len(seen) == MOST_PAGES:
                raise CannotCheck(f"{self}: {path}: the registry's answer does not end", "ask whoever keeps the registry")
            seen.add(query)
            reply = self.ask("GET", f"{path}?{query}".rstrip("?"), expect, headers, what=path)
            yield reply
            link = re.match(r"<[^>?]*\?([^>#]*)", reply.headers.get("Link", ""))
            query = link[1] if link else ""

    def manifest(self, reference: str) -> bytes | None:
        """The manifest of a tag or digest; None if there is none. Raises Refused for other bytes than the digest names."""
        reply = self.ask("GET", f"manifests/{reference}", {200, 404}, {"Accept": ", ".join(MANIFEST_TYPES)})
        if reply.status_code == 404:
            return None
        whole = is_manifest(reply.content)
        if not whole and reply.headers.get("Content-Type", "").partition(";")[0] not in MANIFEST_TYPES:
            raise no_answer(reply, f"{self}:{reference}", "a manifest")
        for name in (reference, reply.headers.get("Docker-Content-Digest", "")):
            if name.startswith("sha256:") and name != digest_of(reply.content):
                raise other_manifest(f"{self}@{reference}", name, reply.content)
        if not whole:
            raise no_answer(reply, f"{self}:{reference}", "a whole manifest")
        return reply.content

    def put_manifest(self, reference: str, make: Callable[[], bytes | None], kind: str = MANIFEST_TYPE) -> Response | None:
        """Write a manifest under a tag or its digest, in the bytes that `make` gives before each attempt; none for None."""

        def attempt() -> Response | None:
            content = make()
            headers = {"Content-Type": kind}
            return None if content is None else self._request("PUT", f"manifests/{reference}", {201}, headers, content)

        return self.retrying(f"{self}: manifests/{reference}", attempt, to_write=True)

    def size(self, digest: str) -> int | None:
        """How many bytes a blob has here; None if it is not there, -1 if the registry does not say."""
        reply = self.ask("HEAD", f"blobs/{digest}", {200, 404})
        length = number_in(reply.headers.get("Content-Length"))
        return None if reply.status_code == 404 else -1 if length is None else int(length)

    def holds(self, blob: Descriptor) -> bool:
        """Whether the registry has a blob of this digest and size."""
        return self.size(blob.digest) in {blob.size, -1}

    def open(self, blob: Descriptor, offset: int, what: str) -> BinaryIO:
        """A blob's bytes from `offset` on. Raises Refused if there is no such blob; `what` is the finding's subject."""

        def blocks(at: int) -> Generator[bytes, None, None]:
            with closing(self._send("GET", f"blobs/{blob.digest}", {200, 206, 404}, range_from(at))) as response:
                if response.status_code == 404:
                    raise Refused.of("missing", what, f"the registry has no blob {blob.digest}", blob.digest)
                if is_page(response.headers.get("Content-Type")) and response.headers.get("Content-Length") != str(blob.size):
                    raise NoAnswer("the registry answered text/html, not the file")
                yield from pieces_from(response, at)

        return Download(blob.size, offset, blocks, partial(self.retrying, what)).buffered()

    def send(self, blob: Descriptor, body: UploadBody | bytes, what: str) -> None:
        """Send a blob if it is not there. Raises also what reading `body` raises."""

        def upload() -> None:
            if self.holds(blob):
                return  # perhaps since an answer that was lost
            location = self._begin_upload()
            url = f"{location}{'&' if '?' in location else '?'}digest={blob.digest}"
            self._request("PUT", url, {201, 204}, {"Content-Type": "application/octet-stream"}, body if blob.size else b"")

        self.retrying(f"{self}: {what}", upload, to_write=True)

    def check_writable(self) -> None:
        """Begin an upload and give it up: there is no other way to ask."""
        if self.ask("GET", "/v2/", {200, 404}).status_code == 404:
            raise CannotCheck(f"{self}: there is no OCI registry at {self.host}", "correct the store's name")
        location = self.retrying(f"{self}: an upload", self._begin_upload, to_write=True)
        with suppress(NotAllowed, CannotCheck):  # some registries cannot: they forget it after some time
            self.ask("DELETE", location, {202, 204, 404, 405}, what="an upload")

    def _begin_upload(self) -> str:
        reply = self.ask("POST", "blobs/uploads/", {202, 404, 405})
        if reply.status_code != 202:
            hint = f"make the repository at {self.host}, or ask there who may write to it; then docker login {self.host}"
            raise NotAllowed(f"{self}: {_reason(reply.status_code, reply.content, REGISTRY)} to an upload", hint)
        if not (location := reply.headers.get("Location")):
            raise CannotCheck(f"{self}: the registry names no location for an upload", "try again later")
        return self._naming("the upload address {} that the registry gave", urljoin(reply.url, location))

    # Single requests

    def _request(self, method: str, path: str, expect: Collection[int], headers: Headers, body: Body = None) -> Response:
        with closing(self._send(method, path, expect, headers, body)) as response:
            response._content = response.raw.read(LARGEST_MANIFEST + 1)  # read to the end, the connection serves again
            return response

    def _send(self, method: str, path: str, expect: Collection[int], headers: Headers, body: Body = None) -> Response:
        """Make one request, and answer a challenge to it. Raises Failed and what requests raises."""
        url = urljoin(f"{self._root}/v2/{self.name}/", path)
        is_own = urlsplit(url).netloc == self._netloc  # the registry may send an upload elsewhere: no login goes there
        if is_own:  # behind a proxy a registry may name itself with the wrong scheme; no login goes there unencrypted
            url = f"{self._root}{url.partition(self._netloc)[2]}"
        for login_is_new in (False, True):
            tried = self._authorization
            signed = {**headers, "Authorization": tried} if tried and is_own else {**headers}
            response = self._session.request(
                method, url, headers=signed, data=body, stream=True, timeout=(CONNECT, retry.PATIENCE)
            )
            if response.status_code not in {401, 403} or login_is_new or not self._log_in(response, tried):
                break
            response.close()
        if response.status_code not in expect:
            raise self._failed(response)
        return response

    def _failed(self, response: Response) -> Failed:
        with closing(response):
            reason = _reason(response.status_code, response.raw.read(BLOCK), self._who(response.url))
        # What is sent was hashed here: it changed on the way, or somebody writes the same at this moment. It may pass.
        status = None if reason.endswith(" DIGEST_INVALID") else response.status_code
        return Failed(Failure(status, reason, response.headers.get("Retry-After")))

    def _naming(self, words: str, url: str) -> str:
        """Remember what an address is that the registry names."""
        self._named[quotable(url)] = words.format(quotable(url))
        return url

    def _who(self, url: str | None) -> str:
        """Who is asked at an address."""
        return self._named.get(quotable(url or ""), "") or party(url, self._root, REGISTRY)

    def _log_in(self, response: Response, tried: str) -> bool:
        """Answer a challenge: whether there is now a login or a token that was not tried yet."""
        challenge = response.headers.get("Www-Authenticate", "")
        server, query = token_server(challenge)
        with self._logging_in:  # several connections are refused at once, and one new token serves all
            if self._authorization not in {"", tried}:
                return True
            if server.lower().startswith(("https://", f"{self._scheme}://")):
                self._authorization = self._token(server, query)
            elif server:
                raise NoAnswer(f"the token server {quotable(server)} that the registry names is not asked: only https is")
            elif self._login and challenge.lower().startswith("basic"):
                self._authorization = f"Basic {self._login}"
            return self._authorization not in {"", tried}

    def _token(self, server: str, query: Mapping[str, str]) -> str:
        """The Authorization header with a token, in exchange for the login or for nothing; "" if none is given."""
        headers = {"Authorization": f"Basic {self._login}"} if self._login else {}
        self._naming("the token server {} that the registry names", server)
        response = self._session.get(
            server, params=dict(query), headers=headers, stream=True, timeout=(CONNECT, retry.PATIENCE)
        )
        if response.status_code not in {200, 401, 403}:  # this is not about the login
            raise self._failed(response)
        with closing(response):
            content = response.raw.read(LARGEST_MANIFEST, decode_content=True) if response.status_code == 200 else b"{}"
        answer = decoded(content, dict[str, Any]) or {}
        token = answer.get("token") or answer.get("access_token")
        if isinstance(token, str):
            keep_secret(token)
            return f"Bearer {token}"
        if response.status_code == 200:
            raise NoAnswer(f"{self._who(server)} answered {media_type(response.headers.get('Content-Type'))}, and no token")
        return ""

    @cached_property
    def _session(self) -> Session:
        self._login = stored_login(self.host)
        keep_secret(self._login)
        with suppress(ValueError):
            plain = base64.b64decode(self._login or "").decode()
            keep_secret(plain, plain.partition(":")[2])  # user and password, the password
        return new_session(**{"Accept-Encoding": "identity"})  # digests, sizes and ranges are of the bytes that are sent


def no_answer(reply: Response, what: str, wanted: str) -> CannotCheck:
    """The error for content that is not what a registry answers."""
    kind = media_type(reply.headers.get("Content-Type"))
    return CannotCheck(f"{what}: the registry answered {kind}, not {wanted}", "look what is at this address, and try again")


def _reason(status: int, content: bytes, who: str) -> str:
    """What was answered, with the registry's word for an error: nobody knows what its sentences quote."""
    code = None
    with suppress(ValueError, LookupError, TypeError):
        code = parse_json(content)["errors"][0]["code"]
    known = isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code)
    return f"{who} answered {status} {code}" if known else f"{who} answered {status}"


def stored_login(host: str) -> str | None:
    """The login that docker has for a host, as Basic authentication has it; None without one. Raises BadConfiguration."""
    path = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"
    try:
        config = parse_json(read_small(path, Limit.SETTINGS))
        logins = {_host_of(name): login for name, login in (config.get("auths") or {}).items()}
        own = _host_of(host)  # and the other name of this machine
        for name in dict.fromkeys((own, own.replace("localhost", "127.0.0.1"), own.replace("127.0.0.1", "localhost"))):
            if login := (logins.get(name) or {}).get("auth"):
                return str(login)
            key = DOCKER_HUB_KEY if name == DOCKER_HUB else name
            for helper in ((config.get("credHelpers") or {}).get(key), config.get("credsStore")):
                if helper and (login := _ask_helper(helper, key)):
                    return login
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise BadConfiguration(f"{path} gives no login for {host} that can be read", f"docker login {host}") from None
    return None


def token_server(challenge: str) -> tuple[str, dict[str, str]]:
    """The address and the query that a Bearer challenge (`Www-Authenticate`) names for a token; "" if it names none."""
    bearer = re.search(r"\bbearer (.*)", challenge, re.IGNORECASE)
    named: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', bearer[1] if bearer else ""))
    return named.get("realm", ""), {name: named[name] for name in ("service", "scope") if named.get(name)}


def _ask_helper(helper: str, server: str) -> str | None:
    """The login that a credential helper has for a server; None if it has none, or is not installed. Raises CannotCheck."""
    name, answer_bytes = f"docker-credential-{helper}", list[bytes]()
    try:
        asked = subprocess.Popen([name, "get"], stdin=PIPE, stdout=PIPE, stderr=DEVNULL)  # noqa: S603
    except FileNotFoundError:
        return None
    assert asked.stdin is not None
    with suppress(BrokenPipeError), asked.stdin as line:
        line.write(server.encode())

    def listen() -> None:  # in a thread, as a child of the helper may outlive it and hold the pipe
        assert asked.stdout is not None
        with asked.stdout as answers:
            answer_bytes.append(answers.read(Limit.SETTINGS + 1))

    reader = Thread(target=listen, daemon=True)
    reader.start()
    reader.join(HELPER)
    with suppress(subprocess.TimeoutExpired):
        asked.wait(1 if answer_bytes else 0)
    retry.heard()  # whatever time this took was not the registry's
    if asked.poll() is None or not answer_bytes or len(answer_bytes[0]) > Limit.SETTINGS:
        asked.kill()
        asked.wait()
        message = f"{name} gives no login for {server}: its answer does not end within {HELPER:g} seconds and 1 MiB"
        raise CannotCheck(message, f"see what it does: echo {server} | {name} get")
    if asked.returncode:
        return None
    answer = parse_json(answer_bytes[0])
    return base64.b64encode(f"{answer['Username']}:{answer['Secret']}".encode()).decode()


def _host_of(name: str) -> str:
    """The host of a key of `auths`, which older clients wrote as a URL."""
    host = re.sub(r"^https?://", "", name).partition("/")[0]
    return DOCKER_HUB if host in DOCKER_HUB_NAMES else host
