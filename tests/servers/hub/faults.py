"""Faults on demand: answers that a broken, overloaded or lying Hub, or a broken line, would give."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote


def payload(path: str = ".+") -> str:
    """The `Fault.path` of requests that are answered with this file's bytes, not with where they are."""
    return rf"^/(cdn/[0-9a-f]{{64}}|api/resolve-cache/\w+/[^/]+/[^/]+/[0-9a-f]{{40}})/{path}$"


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with the requests that match. Several things may go wrong with one answer."""

    method: str = "GET"  # a regular expression, matched whole
    path: str = ""  # a regular expression, searched in the unquoted path with its query
    times: int | None = 1  # how many requests; None: all of them
    skip: int = 0  # let this many matching requests pass first

    status: int | None = None  # answer this and do nothing...
    after: bool = False  # ...or do what was asked and only then answer so
    body: bytes | None = None  # with `status`; an error in JSON, if not given
    code: str = ""  # X-Error-Code
    headers: Mapping[str, str | None] = field(default_factory=dict)  # put over those of the answer; None takes one out

    meanwhile: Callable[[], object] | None = None  # what somebody else does just before the request is looked at
    kill: int | None = None  # do what was asked, kill the process with this id, and close without an answer
    delay: float = 0  # seconds before the answer
    drop: bool = False  # do what was asked and close without an answer
    cut: int | None = None  # close after so many bytes of the body
    stall: float = 0  # with `cut`: seconds of silence before the end
    reset: bool = False  # with `cut` or `drop`: reset the connection, do not close it in order
    whole: bool = False  # ignore the Range and send everything
    truncate: int | None = None  # a body of so many bytes, and a Content-Length that agrees
    append: bytes = b""  # a longer body, and a Content-Length that agrees
    overrun: bytes = b""  # more bytes after the announced end of the body
    flip: int | None = None  # the byte at this offset of the body is wrong; negative: from its end

    hits: int = field(default=0, init=False)  # how many requests it met
    _passed: int = field(default=0, init=False, repr=False)

    def matches(self, method: str, path: str) -> bool:
        return bool(re.fullmatch(self.method, method) and re.search(self.path, unquote(path)))

    @property
    def breaks(self) -> bool:
        """Whether the connection cannot be used again."""
        return self.drop or self.kill is not None or self.cut is not None or bool(self.overrun)

    def error(self) -> bytes:
        return json.dumps({"error": f"Fault {self.status}"}).encode() if self.body is None else self.body

    def changed(self, body: memoryview) -> memoryview:
        """The body that is sent in the place of this one."""
        if self.truncate is None and self.flip is None and not self.append:
            return body
        data = bytearray(body)
        if self.flip is not None:
            data[self.flip] ^= 0xFF
        return memoryview(bytes(data[: self.truncate]) + self.append)


class Faults:
    """The faults that wait for their requests, in the order in which they were added. One request meets one fault."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault of a request, which counts as met."""
        with self._lock:
            for fault in self._waiting:
                if not fault.matches(method, path) or (fault.times is not None and fault.hits >= fault.times):
                    continue
                if fault._passed < fault.skip:
                    fault._passed += 1
                    continue
                fault.hits += 1
                return fault
        return None
