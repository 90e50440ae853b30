"""The server: sockets, the log of requests, and faults put over the answers."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import sys
import threading
import traceback
from copy import copy
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from tests.servers.hub import pulls, reads, writes, xet
from tests.servers.hub.calls import Call, Reply, Site, answer, refusal, reply
from tests.servers.hub.errors import Refused
from tests.servers.hub.faults import Fault, Faults, payload
from tests.servers.hub.limits import Limits
from tests.servers.hub.store import Store
from tests.servers.listening import Server
from tests.servers.log import Request, RequestLog, read_body

__all__ = ["HubServer", "Request", "pulls", "reads", "writes", "xet"]  # the last four fill the table of routes

# huggingface_hub asks this once per HF_HOME, before its first request, to describe itself. No test means it, so it is
# neither logged nor spoiled.
NOISE = "/api/agent-harnesses"


class HubServer(RequestLog):
    """A Hub at 127.0.0.1 in front of a folder.

    `lfs_size`: files of so many bytes or more are in LFS. `page_size`: entries on a page of a tree.
    `multipart`: files in LFS that are larger are uploaded in parts of this size. `limits`: what it takes at most.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lfs_size: int = 1 << 20,
        page_size: int = 1000,
        multipart: int | None = None,
        port: int = 0,
        limits: Limits | None = None,
    ) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self.faults = Faults()
        self.over = threading.Event()  # ends what a fault has the clients wait for
        self.errors: list[str] = []  # tracebacks of this server's own mistakes
        # The second listener is another origin: clients must not send it their token.
        self._listeners = [_Listener(self, port), _Listener(self, 0)]
        self.endpoint, cdn = (f"http://127.0.0.1:{listener.port}" for listener in self._listeners)
        self.store = Store(folder, lfs_size=lfs_size)
        self.limits = limits or Limits()
        self.site = Site(
            store=self.store,
            endpoint=self.endpoint,
            cdn=cdn,
            page_size=page_size,
            multipart=multipart,
            limits=self.limits,
        )

    def __enter__(self) -> Self:
        self.online()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        self.offline()
        for listener in self._listeners:
            listener.release()
        if self.errors and error is None:
            raise AssertionError("The server itself failed:\n" + "\n".join(self.errors))

    def online(self) -> None:
        """Listen, on the same ports as ever."""
        for listener in self._listeners:
            listener.start()

    def offline(self) -> None:
        """Refuse connections, and cut those that are open. The ports stay ours."""
        for listener in self._listeners:
            listener.stop()

    def until_clients_left(self) -> None:
        """Wait for the end of all connections: what a process sent before it was killed is done by then."""
        for listener in self._listeners:
            listener.until_clients_left()

    def environment(self, cache: Path, token: str | None = None) -> dict[str, str]:
        """What a program needs to take this server for the Hub and `cache` for its cache, and to be quiet."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(cache),
            "HF_HUB_CACHE": str(cache / "hub"),
            "HF_DATASETS_CACHE": str(cache / "datasets"),
            "HF_TOKEN": token or "",
            "HF_TOKEN_PATH": str(cache / "token"),
            "HUGGING_FACE_HUB_TOKEN": "",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def downloaded(self, path: str = ".+") -> int:
        """Bytes of files that were sent; `path` is a regular expression for their paths."""
        return sum(made.sent for made in self.requests if re.search(payload(path), made.path))

    def bodies(self, path: str) -> list[bytes]:
        """The bodies of the requests to the API with such a path (searched)."""
        return [made.body for made in self.requests if re.search(path, made.path)]

    def uploaded(self) -> int:
        """Bytes that were received in uploads and commits."""
        return sum(made.received for made in self.requests if re.search(r"^/upload/|/commit/|^/xet/", made.path))


class _Listener:
    """A port that is held as long as the server lives, listening or not."""

    def __init__(self, hub: HubServer, port: int) -> None:
        self._hub = hub
        self._server: _Server | None = None
        self._socket = self._bind(port)
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        if self._server is None:
            self._server = _Server(self._hub, self._socket)
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.close_all()
            self._server = None
            self._socket = self._bind(self.port)

    def until_clients_left(self) -> None:
        if self._server is not None:
            self._server.until_clients_left()

    def release(self) -> None:
        self._socket.close()

    @staticmethod
    def _bind(port: int) -> socket.socket:
        # A socket that is bound and does not listen refuses connections and keeps others from the port.
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        return held


class _Server(Server):
    def __init__(self, hub: HubServer, bound: socket.socket) -> None:
        super().__init__(_Handler, bound)
        self.hub = hub

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away in the middle is nothing special
            self.hub.errors.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body leave in two writes
    server: _Server

    def _serve(self) -> None:
        hub = self.server.hub
        if self.path == NOISE:
            self._send(reply({"standardEnvVars": [], "harnesses": {}}), Fault())
            return
        with hub.answering():
            body = read_body(self)
            fault = hub.faults.take(self.command, self.path) or Fault()
            hub.over.wait(fault.delay)
            if fault.meanwhile:
                fault.meanwhile()
            made = self._within_limits(body, fault) if fault.status is None or fault.after else Reply()
            if fault.status is not None:
                made = Reply(memoryview(fault.error()), fault.status, {"Content-Type": "application/json"})
            status, sent = self._send(made, fault)
            kept = body if self.path.startswith("/api/") else b""
            hub.record(Request(self.command, unquote(self.path), status, sent, len(body), self.headers, kept))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    def _within_limits(self, body: bytes, fault: Fault) -> Reply:
        left, headers = self.server.hub.limits.count_request(self.path)
        made = self._make(body, fault) if left else reply({"error": "We had to rate limit you"}, 429)
        return Reply(made.body, made.status, {**made.headers, **headers})

    def _make(self, body: bytes, fault: Fault) -> Reply:
        hub = self.server.hub
        path, _, query = self.path.partition("?")
        headers = copy(self.headers)
        if fault.whole:
            del headers["Range"]
        try:
            # Xet storage is not the Hub, and has tokens of its own.
            account = None if path.startswith("/xet/") else hub.store.tokens.account(headers.get("Authorization"))
            call = Call(site=hub.site, path=path, query=query, headers=headers, body=body, account=account)
            return answer("GET" if self.command == "HEAD" else self.command, call)
        except Refused as error:
            return refusal(error)
        except Exception:
            hub.errors.append(traceback.format_exc())
            return reply({"error": traceback.format_exc()}, 500)

    def _send(self, made: Reply, fault: Fault) -> tuple[int, int]:
        """Send the answer as the fault spoils it: the status and the bytes of the body that went out."""
        sent = 0
        try:
            if fault.kill is not None:
                os.kill(fault.kill, signal.SIGKILL)
            if fault.drop or fault.kill is not None:
                return 0, 0
            body = fault.changed(made.body)
            headers: dict[str, str | None] = {"Content-Length": str(len(body)), **made.headers}
            headers |= {"X-Error-Code": fault.code} if fault.code else {}
            headers |= fault.headers
            self.send_response(made.status)
            for name, value in headers.items():
                if value is not None:
                    self.send_header(name, value)
            if fault.breaks and fault.cut is None:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                for part in (body[: fault.cut], memoryview(fault.overrun)):
                    for start in range(0, len(part), 1 << 20):
                        self.wfile.write(part[start : start + (1 << 20)])
                        sent += len(part[start : start + (1 << 20)])
                self.server.hub.over.wait(fault.stall)
            return made.status, sent
        except OSError:
            self.close_connection = True  # the client has gone
            return made.status, sent
        finally:
            if fault.breaks:
                self._break(fault)

    def _break(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())

    def log_message(self, *words: object) -> None:
        """Nothing: the tests read `HubServer.requests`."""
