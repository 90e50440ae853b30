"""A line between a client and any server: it counts what passes, breaks as it is told, and kills at the chosen request."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import struct
import threading
import time
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from tests.servers.hub.faults import Fault, Faults
from tests.servers.listening import Server
from tests.servers.log import read_body

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(kw_only=True)
class LineFault(Fault):
    """What a line can do besides: of the byte at the offset `stored` of the request's body, `bits` arrive turned."""

    stored: int | None = None
    bits: int = 0xFF


class Request(NamedTuple):
    """A request that passed, noted before its answer went out."""

    method: str
    path: str  # with its query
    status: int  # what the client was told; 0: closed without an answer
    received: int  # bytes of the request's body
    sent: int  # bytes of the answer's body
    headers: Message


class Answer(NamedTuple):
    """What the server, or a fault in its place, says."""

    status: int
    headers: dict[str, str]
    body: bytes


class Proxy:
    """A proxy at 127.0.0.1 in front of one server, `target` (http://HOST:PORT). Its own address is `endpoint`.

    Of a Fault it knows `status`, `after`, `body`, `headers`, `delay`, `drop`, `cut`, `reset`, `whole`, `truncate`, `append`
    and `flip`. A drop with a `status` does not reach the server.
    """

    def __init__(self, target: str) -> None:
        self.target = target.rstrip("/")
        self.faults = Faults()
        self._log: list[Request] = []
        self._lock = threading.Lock()
        self._victim: tuple[int, int] | None = None
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close_all()

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they were answered."""
        with self._lock:
            return list(self._log)

    def forget(self) -> None:
        """Start the log anew, have no faults and kill nobody."""
        with self._lock:
            self._log.clear()
            self._victim = None
        self.faults.clear()

    def count(self, method: str = ".*", path: str = "") -> int:
        """How many requests had such a method (whole) and such a path (searched)."""
        return len(self._matching(method, path))

    def received(self, method: str = ".*", path: str = "") -> int:
        """Bytes of the bodies of such requests."""
        return sum(made.received for made in self._matching(method, path))

    def sent(self, method: str = ".*", path: str = "") -> int:
        """Bytes of the bodies of the answers to such requests."""
        return sum(made.sent for made in self._matching(method, path))

    def kill(self, pid: int, after: int) -> None:
        """Kill a process as soon as the server has answered its request number `after` since `forget`.

        The process does not learn of that answer, and so cannot make another request.
        """
        with self._lock:
            self._victim = (pid, after)

    def until_clients_left(self) -> None:
        """Wait for the end of all connections: what a process sent before it was killed is answered by then."""
        self._server.until_clients_left()

    def note(self, made: Request) -> None:
        """Log a request, and kill if it is time."""
        with self._lock:
            self._log.append(made)
            if self._victim is not None and len(self._log) >= self._victim[1]:
                os.kill(self._victim[0], signal.SIGKILL)
                self._victim = None

    def _matching(self, method: str, path: str) -> list[Request]:
        return [made for made in self.requests if re.fullmatch(method, made.method) and re.search(path, made.path)]


class _Server(Server):
    def __init__(self, proxy: Proxy) -> None:
        super().__init__(_Handler)
        self.proxy = proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that are killed or cut go away in the middle."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body leave in two writes
    server: _Server

    def _serve(self) -> None:
        proxy = self.server.proxy
        body = read_body(self)
        fault = proxy.faults.take(self.command, self.path) or Fault()
        time.sleep(fault.delay)
        if fault.meanwhile:
            fault.meanwhile()
        answer = self._forward(body, fault) if fault.status is None or fault.after else Answer(0, {}, b"")
        if fault.status is not None:
            answer = Answer(fault.status, {"Content-Type": "application/json"}, fault.error())
        answer = answer._replace(body=bytes(fault.changed(memoryview(answer.body))) if answer.body else b"")
        sent = 0 if fault.drop or self.command == "HEAD" else len(answer.body[: fault.cut])
        proxy.note(Request(self.command, self.path, 0 if fault.drop else answer.status, len(body), sent, self.headers))
        if not fault.drop:
            self._answer(answer, fault)
        if fault.drop or fault.cut is not None:
            self._break(fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    def _forward(self, body: bytes, fault: Fault) -> Answer:
        proxy = self.server.proxy
        changed = bytearray(body)
        if isinstance(fault, LineFault) and fault.stored is not None and body:
            changed[fault.stored] ^= fault.bits
        skipped = HOP_BY_HOP | {"host"} | ({"range"} if fault.whole else set())
        headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
        if body or self.command in {"POST", "PUT", "PATCH"}:
            headers["Content-Length"] = str(len(body))
        upstream = http.client.HTTPConnection(urlsplit(proxy.target).netloc, timeout=600)
        try:
            upstream.request(self.command, self.path, bytes(changed) or None, headers)
            response = upstream.getresponse()
            content = response.read()
        except OSError as error:
            return Answer(502, {"Content-Type": "text/plain"}, str(error).encode())
        finally:
            upstream.close()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP}
        for name in {"Location", "Link"} & kept.keys():
            kept[name] = kept[name].replace(proxy.target, proxy.endpoint)
        if self.command == "HEAD" and (length := response.getheader("Content-Length")):
            kept["Content-Length"] = length
        return Answer(response.status, kept, content)

    def _answer(self, answer: Answer, fault: Fault) -> None:
        self.send_response_only(answer.status)
        length = {} if answer.status == 204 else {"Content-Length": str(len(answer.body))}
        headers: dict[str, str | None] = {**length, **answer.headers, **fault.headers}
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: fault.cut])

    def _break(self, fault: Fault) -> None:
        self.close_connection = True
        self.wfile.flush()
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *words: object) -> None:
        """Nothing: the tests read `Proxy.requests`."""
