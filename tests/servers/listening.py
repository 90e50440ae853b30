"""A server with a thread for each connection, which knows the connections that are open."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Listens at 127.0.0.1, at a port of its own or on a socket that is bound already."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler], bound: socket.socket | None = None) -> None:
        self._open: set[socket.socket] = set()
        self._closed = threading.Condition()
        super().__init__(("127.0.0.1", 0), handler, bind_and_activate=bound is None)
        if bound is not None:
            self.socket.close()
            self.socket = bound
            self.server_activate()

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        with self._closed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        super().shutdown_request(request)
        with self._closed:
            self._open.discard(request)
            self._closed.notify_all()

    def until_clients_left(self) -> None:
        """Wait for the end of all connections: whatever those who had them sent before they died is done by then."""
        with self._closed:
            assert self._closed.wait_for(lambda: not self._open, timeout=100)

    def close_all(self) -> None:
        """Stop, and cut the connections that are open."""
        self.shutdown()
        self.server_close()
        with self._closed:
            still_open = list(self._open)  # the clients keep connections for later requests
        for connection in still_open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it closed by itself
