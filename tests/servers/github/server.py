"""The server: sockets, the log of requests, faults put over the answers, and the check of each answer."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from copy import copy
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from tests.servers.github.answers import Call, Reply, answer, content, refusal, template_of
from tests.servers.github.faults import UploadFault
from tests.servers.github.openapi import Description
from tests.servers.github.store import No, Store
from tests.servers.hub.faults import Fault, Faults
from tests.servers.listening import Server
from tests.servers.log import Request, RequestLog


class GitHubServer(RequestLog):
    """A GitHub at 127.0.0.1 in front of a folder. What its answers have against the description is a failure at the end."""

    def __init__(self, folder: Path, description: Description) -> None:
        super().__init__()
        self.faults = Faults()
        self.errors: list[str] = []  # this server's own mistakes
        self.description = description
        self.store = Store(folder)
        self._victim: tuple[int, int] | None = None
        # The second listener is another origin: clients must not send it their token.
        self._listeners = [_Server(self, cdn) for cdn in (False, True)]
        self.api, self.cdn = (f"http://127.0.0.1:{listener.server_address[1]}" for listener in self._listeners)

    def __enter__(self) -> Self:
        for listener in self._listeners:
            threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for listener in self._listeners:
            listener.close_all()
        if self.errors and error is None:
            raise AssertionError("The server itself failed:\n" + "\n".join(self.errors))

    def environment(self, token: str | None = None) -> dict[str, str]:
        """What a program needs to take this server for GitHub."""
        return {
            "GITHUB_API_URL": self.api,
            "GITHUB_TOKEN": token or "",
            "GH_TOKEN": "",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def kill_after(self, process: int, requests: int) -> None:
        """Send a process SIGKILL when so many more requests have been answered."""
        with self._idle:
            self._victim = (process, requests)

    def downloaded(self, name: str = "[^/]+") -> int:
        """Bytes of assets that were sent; `name` is a regular expression for their names."""
        return sum(made.sent for made in self.requests if re.search(rf"^/content/\d+/{name}\?", made.path))

    def uploaded(self) -> int:
        """Bytes of assets that were received."""
        return sum(made.received for made in self.requests if re.search(r"/assets\?", made.path))

    def record(self, made: Request) -> None:
        with self._idle:
            super().record(made)
            if self._victim is None:
                return
            process, left = self._victim
            self._victim = (process, left - 1)
            if left == 1:
                self._victim = None
                with suppress(ProcessLookupError):  # the last answer may have ended it
                    os.kill(process, signal.SIGKILL)

    def check(self, method: str, path: str, made: Reply) -> None:
        """Hold an answer against GitHub's description."""
        if template := template_of(method, path):
            self.errors += self.description.check_answer(method, template, made.status, made.body)

    def check_request(self, method: str, path: str, body: bytes) -> None:
        """Hold a request in JSON against GitHub's description: what the real one might overlook is an error here."""
        if template := template_of(method, path):
            self.errors += self.description.check_request(method, template, body)


class _Server(Server):
    def __init__(self, github: GitHubServer, cdn: bool) -> None:
        super().__init__(_Handler)
        self.github = github
        self.cdn = cdn

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away in the middle is nothing special
            self.github.errors.append(traceback.format_exc())


class _Cut(Exception):
    """The connection ended before the body did."""


class _Body(io.RawIOBase):
    """A request's body as it arrives, and how much of it has."""

    def __init__(self, incoming: io.BufferedIOBase, size: int, limit: int | None) -> None:
        self._incoming, self._left, self._limit = incoming, size, limit
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        cut = self._limit is not None and self.count + wanted > self._limit
        data = self._incoming.read(max(0, (self._limit or 0) - self.count) if cut else wanted)
        self.count += len(data)
        self._left -= len(data)
        if cut or len(data) < wanted:
            raise _Cut
        return data


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body leave in two writes
    server: _Server

    def _serve(self) -> None:
        github = self.server.github
        with github.answering():
            fault = github.faults.take(self.command, self.path) or Fault()
            limit = fault.after_bytes if isinstance(fault, UploadFault) else None
            body = _Body(self.rfile, int(self.headers.get("Content-Length") or 0), limit)
            time.sleep(fault.delay)
            try:
                made = self._make(body, fault) if fault.status is None or fault.after else Reply()
                body.read()  # an answer before the end of the body would look like a lost connection
            except _Cut:
                self.close_connection = True
                github.record(Request(self.command, unquote(self.path), 0, 0, body.count, self.headers))
                return
            if fault.status is not None:
                made = Reply(fault.error(), fault.status, {"Content-Type": "application/json"})
            status, sent = self._send(made, fault)
            github.record(Request(self.command, unquote(self.path), status, sent, body.count, self.headers))

    do_GET = do_POST = do_DELETE = do_PATCH = _serve

    def _make(self, body: _Body, fault: Fault) -> Reply:
        github = self.server.github
        path, _, query = self.path.partition("?")
        headers = copy(self.headers)
        if fault.whole:
            del headers["Range"]
        incoming: io.RawIOBase | io.BytesIO = body
        if (
            self.headers.get_content_type() == "application/json"
            and "Content-Length" in self.headers
            and "/assets?" not in self.path
        ):
            text = body.read()
            github.check_request(self.command, path, text)
            incoming = io.BytesIO(text)
        try:
            account = None if self.server.cdn else github.store.account(headers.get("Authorization"))
            call = Call(
                store=github.store,
                api=github.api,
                cdn=github.cdn,
                path=path,
                query=query,
                headers=headers,
                body=incoming,  # type: ignore[arg-type]
                account=account,
                spoil=isinstance(fault, UploadFault) and fault.spoil,
            )
            if self.server.cdn:
                return content(call)
            made = answer(self.command, call)
        except No as no:
            made = refusal(no)
        except _Cut:
            raise
        except Exception:
            github.errors.append(traceback.format_exc())
            return Reply(status=500)
        github.check(self.command, path, made)
        return made

    def _send(self, made: Reply, fault: Fault) -> tuple[int, int]:
        """Send the answer as the fault spoils it: the status and the bytes of the body that went out."""
        if fault.breaks:
            self.close_connection = True
        if fault.drop:
            return 0, 0
        body = bytes(fault.changed(memoryview(made.body)))
        sent = body[: fault.cut]
        try:
            self.send_response(made.status)
            headers = made.headers if made.status == 204 else {"Content-Length": str(len(body)), **made.headers}
            for name, value in {**headers, **fault.headers}.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent + fault.overrun)
        except OSError:
            self.close_connection = True  # the client has gone
        return made.status, len(sent)

    def finish(self) -> None:
        super().finish()
        if self.close_connection:
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it closed by itself

    def log_message(self, *words: object) -> None:
        """Nothing: the tests read `GitHubServer.requests`."""
