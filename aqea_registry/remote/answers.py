"""What a server sent is data: its numbers, words and bodies, bounded; and what a request without an answer means."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from json import JSONDecodeError
from typing import NamedTuple

from aqea_registry.base.files import NO_ROOM
from aqea_registry.base.progress import hide_secrets

FINAL, LATE = 0, -1  # no statuses: there is nothing to wait for; nothing came in time
NO_ANSWER = "no answer in time"
LARGEST = 64 << 20  # bytes of an answer that is read at once


class Failure(NamedTuple):
    """Why a request failed: HTTP status (None: no answer), a reason, Retry-After, and advice in place of the caller's."""

    status: int | None
    reason: str
    retry_after: str | None = None
    hint: str | None = None


class Failed(Exception):
    """A request failed, and why is known already."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class NoAnswer(Exception):
    """What came is not an answer of the service that was asked; the message says what it is."""


def number_in(text: str | None) -> float | None:
    """The number of a header; None for what is not a finite number of at least 0."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def whole_answer(blocks: Iterable[bytes], name: str, kind: str | None) -> bytes:
    """All of an answer. Raises NoAnswer if that is too much, and if a Content-Type is given that is not JSON's."""
    content = bytearray()
    for block in blocks:
        content += block
        if len(content) > LARGEST:
            raise NoAnswer(f"{name} answered more than {LARGEST} bytes")
    if content and kind is not None and "json" not in kind:
        raise NoAnswer(f"{name} answered {media_type(kind)}, not JSON")
    return bytes(content)


def media_type(kind: str | None) -> str:
    """A Content-Type for people."""
    return quotable((kind or "").partition(";")[0]) or "something"


_LOGIN = re.compile(r"(?<![/\w])((?:[Bb]earer|BEARER|[Bb]asic|BASIC)[\s:=]+|[Tt]oken(?:\s*[:=]\s*|\s+(?=\S*[\dA-Z_])))[^\s,;]+")
_QUERY = re.compile(r"([A-Za-z][\w+.-]*://)(?:[^\s/?#@]*@)?([^\s?#]*)(?:[?#]\S*)?")


def quotable(words: str) -> str:
    """Somebody else's words in one short line, without what stands behind Bearer, Basic and token, and in queries."""
    line = hide_secrets(" ".join(words.split()))
    return _LOGIN.sub(r"\1***", _QUERY.sub(r"\1\2", line))[:500]


def party(url: str | None, home: str, name: str) -> str:
    """Who was asked at an address: the service itself, by its name, or another server that it named."""
    return name if url is None or _origin(url) == _origin(home) else f"the address {quotable(url)} that {name} names"


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3]).lower()


_CLIENTS = {"requests", "urllib3", "http", "httpx", "httpx2", "httpcore", "httpcore2"}
_BAD_LOGIN = {"InvalidHeader", "UnicodeEncodeError"}  # nothing else that is sent is somebody's text
_BAD_ADDRESS = {"InvalidURL", "MissingSchema", "InvalidSchema", "LocationParseError", "UnsupportedProtocol"}


def unreached(error: BaseException, who: Callable[[str | None], str], name: str) -> Failure | None:
    """The failure of a request without a usable answer, whatever it raised; None if it is about this machine's files.

    In the system's words: those of libraries hold whole URLs. `who` names whoever was asked at an address, which for the
    service itself is its `name`.
    """
    if isinstance(error, Failed | NoAnswer):
        return error.failure if isinstance(error, Failed) else Failure(FINAL, str(error))
    if isinstance(error, OSError) and (error.filename or error.errno in NO_ROOM):
        return None
    url, status, reason, lost = None, None, "", False
    for cause in causes(error):
        kind = type(cause).__name__
        lost = lost or isinstance(cause, OSError) or type(cause).__module__.partition(".")[0] in _CLIENTS
        with suppress(Exception):
            url = url or str(cause.request.url)  # type: ignore[attr-defined]
        if isinstance(cause, TimeoutError) or "Timeout" in kind:
            status, reason = LATE, NO_ANSWER
        elif kind in _BAD_LOGIN or (kind == "LocalProtocolError" and "header" in str(cause)):
            return Failure(FINAL, "the token or login holds a character that cannot be sent", None, "set it again")
        elif kind in _BAD_ADDRESS:
            status, reason = FINAL, reason or "not an address that can be asked"
        elif isinstance(cause, JSONDecodeError):  # it may have been cut: another attempt may bring all of it
            lost, reason = True, "what came is not JSON"
        elif kind == "TooManyRedirects":
            status, reason = FINAL, "it sends on and on"
        elif isinstance(cause, OSError) and cause.strerror:
            reason = reason or cause.strerror
    asked = who(url)
    if not lost:
        return Failure(FINAL, f"the answer of {asked} cannot be understood ({type(error).__name__})")
    reason = reason or "the connection was lost"
    whose = f" from {quotable(_origin(url))}" if url else ""
    return Failure(status, f"{asked}: {reason}" if asked != name else reason if status else f"no answer{whose}: {reason}")


def is_page(content_type: str | None) -> bool:
    """Whether an answer is a page for people, as portals and proxies send it in the place of what was asked for."""
    return (content_type or "").lower().lstrip().startswith(("text/html", "application/xhtml"))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from: client libraries wrap what a server answered."""
    for _ in range(20):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
