"""What the tests' servers have in common: the body of a request, and the log of requests."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple


class Request(NamedTuple):
    """A request that was answered."""

    method: str
    path: str  # unquoted, with its query
    status: int  # 0: closed without an answer
    sent: int  # bytes of the answer's body that went out
    received: int  # bytes of the request's body
    headers: Message
    body: bytes = b""  # of a request to an API, where the server keeps it; never of an upload


def read_body(request: BaseHTTPRequestHandler) -> bytes:
    """The body of a request, whole or in chunks."""
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    chunks = []
    while size := int(request.rfile.readline().partition(b";")[0], 16):
        chunks.append(request.rfile.read(size))
        request.rfile.readline()
    while request.rfile.readline().strip():
        pass  # trailers
    return b"".join(chunks)


class RequestLog:
    """Every request that a server answered, in the order in which it did."""

    def __init__(self) -> None:
        self._log: list[Request] = []
        self._busy = 0
        self._idle = threading.Condition()

    @property
    def requests(self) -> list[Request]:
        """Every request so far; it waits for those that are being answered."""
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, timeout=100)
            return list(self._log)

    def forget(self) -> None:
        """Start the log anew."""
        _ = self.requests
        with self._idle:
            self._log.clear()

    def count(self, method: str = ".*", path: str = "") -> int:
        """How many requests had such a method (whole) and such a path (searched)."""
        return sum(bool(re.fullmatch(method, made.method) and re.search(path, made.path)) for made in self.requests)

    def record(self, made: Request) -> None:
        """Put a request into the log."""
        self._log.append(made)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A request is being answered while the context lives."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()
