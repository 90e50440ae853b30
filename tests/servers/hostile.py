"""A server that answers every request with the bytes that it was given, whatever they are."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Callable
from typing import Any

Sent = bytes | tuple[bytes, bytes] | None  # of two the second comes again and again, slowly; None is silence
Answer = Sent | Callable[["Hostile", str, str, dict[str, str]], Sent]  # asked with method, path, and headers in small letters


class Hostile:
    """Answers on 127.0.0.1 while the context lives. `asked` holds the requests' first lines."""

    def __init__(self, answer: Answer = b"") -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.over = threading.Event()
        self.patience = 30.0  # seconds of silence, before it hangs up
        self.pause = 0.05  # seconds between what comes again and again

    def __enter__(self) -> Hostile:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hostile = self
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.endpoint = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def response(status: object = 200, body: bytes = b"", length: bool = True, **headers: Any) -> bytes:
    """The bytes of an answer; in the names of headers `_` stands for `-`."""
    size = {"Content-Length": len(body)} if length else {}
    # It hangs up after each answer, and says so: a client that does not know may send its next request into the closed line.
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {"Connection": "close", **size, **headers}.items()]
    return f"HTTP/1.1 {status} X\r\n".encode() + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64
    hostile: Hostile

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that had enough go away in the middle."""


class _Handler(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        hostile: Hostile = self.server.hostile
        first = self.rfile.readline(1 << 16).decode("latin-1").strip()
        if not first:
            return
        lines = iter(lambda: self.rfile.readline(1 << 16).decode("latin-1").strip(), "")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if re.fullmatch("[0-9]+", size := headers.get("content-length", "")):
            self.rfile.read(int(size))
        hostile.asked.append(first)
        method, path = first.split(" ")[:2]
        found = hostile.answer(hostile, method, path, headers) if callable(hostile.answer) else hostile.answer
        if found is None:
            hostile.over.wait(hostile.patience)
            return
        if isinstance(found, tuple):
            self.wfile.write(found[0])
            while not hostile.over.wait(hostile.pause):
                self.wfile.write(found[1])
            return
        if b"{HOST}" in found:
            found = found.replace(b"{HOST}", hostile.host.encode())
        self.wfile.write(found.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else found)
