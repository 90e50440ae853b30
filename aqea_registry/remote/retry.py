"""When to ask a server again, and bytes on their way to a server and back over connections that break."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, current_thread
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from aqea_registry.base.files import BLOCK, Advance, WrongBytes, ignore, open_regular
from aqea_registry.base.findings import CannotCheck, NotAllowed, RegistryError
from aqea_registry.remote.answers import LATE, NO_ANSWER, Failure, NoAnswer, number_in, quotable

if TYPE_CHECKING:
    from requests import Response, Session

T = TypeVar("T")
U = TypeVar("U")
Blocks = Callable[[int], Generator[bytes, None, None]]  # of a file from an offset on
ATTEMPTS = 4
CONNECTIONS = 4  # files that go to or come from one store at once
LONGEST_WAIT = 310.0  # seconds: a window of five minutes, as the Hub counts requests in
PATIENCE = 40.0  # seconds: a server that says nothing for so long is given up, and not asked again in this process
FIRST_ANSWER = 0.25  # of PATIENCE: how long a server is waited for that never answered, after another one was silent
SLOWEST = 1 << 16  # bytes a second: how long an upload may take whose progress nobody reports
OK, TOO_MANY = 200, 429
PIECE = 1 << 16  # bytes of a response that are read at once
MOST_ENTRIES = 1 << 20  # of a list that a server gives in pages


class Silence(Exception):
    """A server said nothing for PATIENCE seconds."""


def with_retries(
    what: str, call: Callable[[], T], explain: Callable[[Exception], Failure | None], hint: str, server: str = ""
) -> T:
    """Call, and call again after a lost connection, a 429 or a 5xx, at most ATTEMPTS times.

    `explain` translates what a client library raises, whatever it is; None lets it through. A 401 or 403 raises NotAllowed
    with `hint` at once; every other failure raises CannotCheck in the end, one that is to last longer than LONGEST_WAIT at
    once. A silent `server` is given up for a while.
    """
    attempt = 0
    while True:
        try:
            return call_server(server, call)
        except (RegistryError, WrongBytes):
            raise
        except Silence as error:
            # Where this question was asked already, the library may have given up in the same moment.
            raise CannotCheck(f"{what}: {NO_ANSWER if attempt else error}", "try again later") from error
        except Exception as error:
            failure = explain(error)
            if failure is None or failure.status not in {None, LATE}:
                _lost[server] = 0.0  # it did answer
            if failure is None:
                raise
            attempt += 1
            reason = quotable(failure.reason)
            if failure.status in {401, 403}:
                raise NotAllowed(f"{what}: {reason}", failure.hint or hint) from error
            again = failure.status is None or failure.status in {TOO_MANY, LATE} or failure.status >= 500
            wanted = number_in(failure.retry_after) or 0.0
            later = "try again later"
            if wanted > LONGEST_WAIT:
                again = False
                later = f"try again in {math.ceil(wanted / 60):.6g} minutes, as it asks: what is done stays done"
            if not again or attempt == ATTEMPTS:
                raise CannotCheck(f"{what}: {reason}", failure.hint or later) from error
            wait = wait_before(attempt - 1, failure.retry_after)
            heard(wait)
            time.sleep(wait)


def wait_before(attempt: int, retry_after: str | None) -> float:
    """Seconds to wait before attempt number `attempt` + 2: the server's Retry-After, or longer each time."""
    wanted = number_in(retry_after)
    return min(0.5 * 2.0**attempt if wanted is None else wanted, LONGEST_WAIT)


class _Attempt(Thread):
    """A call in a thread of its own, so that whoever waits for it can stop: a library may be stuck in any of its reads."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.value: Any = None
        self.error: BaseException | None = None
        self.heard = time.monotonic()

    def run(self) -> None:
        """Make the call."""
        try:
            self.value = self._call()
        except BaseException as error:
            self.error = error


_lost: dict[str, float] = {}  # seconds that went to the silence of each server that was asked, since it last answered


def call_server(server: str, call: Callable[[], T]) -> T:
    """Make a call, or go on in one. Raises Silence after PATIENCE seconds without a sign of life, calls before it counted."""
    if attempting():
        heard()
        return call()
    cut_off = any(lost >= PATIENCE for lost in _lost.values())  # this machine may be: others are waited for less at first
    if (lost := _lost.get(server, (1 - FIRST_ANSWER) * PATIENCE if cut_off else 0.0)) >= PATIENCE:
        raise Silence("it did not answer in time before, and is not asked again now")
    attempt = _Attempt(call)
    attempt.heard -= lost
    attempt.start()
    while attempt.is_alive() and (left := attempt.heard + PATIENCE - time.monotonic()) > 0:
        attempt.join(min(left, 1.0))  # a download may find that less is left
    _lost[server] = time.monotonic() - attempt.heard
    if attempt.is_alive():
        raise Silence(NO_ANSWER)
    error, attempt.error = attempt.error, None
    if error is None or isinstance(error, FileNotFoundError):
        _lost[server] = 0.0  # it did answer
    if error is None:
        return cast(T, attempt.value)
    try:
        raise error
    finally:
        del error  # or its traceback would keep connections open


def attempting() -> bool:
    """Whether this is within a call of `with_retries`."""
    return isinstance(current_thread(), _Attempt)


def heard(ahead: float = 0.0) -> None:
    """A sign of life within a call of `with_retries`: it goes on, or will after `ahead` more seconds."""
    thread = current_thread()
    if isinstance(thread, _Attempt):
        thread.heard = max(thread.heard, time.monotonic() + ahead)


def entries(listed: Iterable[T]) -> Iterator[T]:
    """The entries of a list that comes in pages, each a sign of life. Raises NoAnswer if they do not end."""
    for number, entry in enumerate(listed):
        if number == MOST_ENTRIES:
            raise NoAnswer(f"a list of more than {MOST_ENTRIES} entries")
        heard()
        yield entry


def at_once(work: Callable[[T, Advance], U], items: Iterable[T], advance: Advance, connections: int = CONNECTIONS) -> list[U]:
    """Do this to each item, several at a time, and return what came of it, in any order. The first failure stops the others."""
    stopped, failures = Event(), list[BaseException]()

    def moved(count: int) -> None:
        if stopped.is_set():
            raise CancelledError
        advance(count)

    def run(item: T) -> U:
        if stopped.is_set():
            raise CancelledError
        try:
            return work(item, moved)
        except BaseException as error:
            failures.append(error)
            stopped.set()  # here, as the next item begins before anybody else looks
            raise

    with ThreadPoolExecutor(connections) as pool:
        try:
            return [done.result() for done in as_completed([pool.submit(run, item) for item in items])]
        except CancelledError:
            raise failures[0] from None
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)


class UploadBody:
    """The bytes of an upload, for requests: read anew for each attempt, never whole in memory, and hashed while they are read.

    `digest` is `sha256:...` of the `size` bytes from `offset` on; without an offset they are the whole file. The block that
    would complete other bytes is kept back: WrongBytes. Bytes that are sent again count once for the progress.
    """

    def __init__(
        self, source: Path | bytes, digest: str, size: int, advance: Advance = ignore, offset: int | None = None
    ) -> None:
        self._source, self._digest, self._size, self._advance, self._offset = source, digest, size, advance, offset
        self._reported = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Blocks of the bytes. Raises WrongBytes, and CannotCheck for a file that cannot be read."""
        sha256, at = hashlib.sha256(), 0
        try:
            with io.BytesIO(self._source) if isinstance(self._source, bytes) else open_regular(self._source) as file:
                file.seek(self._offset or 0)
                while at < self._size:
                    block = file.read(min(BLOCK, self._size - at)) or b""
                    sha256.update(block)
                    at += len(block)
                    heard()
                    if at == self._size and self._offset is None and file.read(1):
                        raise WrongBytes(None, self._size)
                    if (at == self._size or not block) and f"sha256:{sha256.hexdigest()}" != self._digest:
                        raise WrongBytes(sha256.hexdigest(), at)
                    if at > self._reported:
                        self._advance(at - self._reported)
                        self._reported = at
                    yield block
        except OSError as error:  # not to be taken for a failure of the connection
            message = f"{self._source!s} cannot be read: {error.strerror or error}"
            raise CannotCheck(message, "make the release's files again") from error


class Download(io.RawIOBase):
    """A file's bytes from `offset` on, up to `size`. After a broken connection it goes on at the next byte. Unchecked.

    `blocks` makes a request and yields the bytes from an offset on, until it is closed; `retrying` makes a call, again where
    waiting helps. Each block has its own attempts: a download that advances never gives up.
    """

    def __init__(self, size: int, offset: int, blocks: Blocks, retrying: Callable[[Callable[[], bytes]], bytes]) -> None:
        self._size, self._at, self._begin, self._retrying = size, offset, blocks, retrying
        self._blocks: Generator[bytes, None, None] | None = None
        self._rest = b""
        self._piece, self._waited = offset, 0.0  # where the last whole piece ended, and how long the server took since

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes. Raises what `retrying` raises."""
        self._rest = self._rest or self._retrying(self._next)
        block, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(block)] = block
        return len(block)

    def buffered(self) -> BinaryIO:
        """The same as a file. Makes the first request, so that what is wrong with it shows now."""
        try:
            self.readinto(bytearray())
        except BaseException:
            self.close()
            raise
        return cast(BinaryIO, io.BufferedReader(self, BLOCK))

    def close(self) -> None:
        """Close the connection, if the file was not read to its end."""
        with suppress(ValueError):  # an attempt that was given up may still be in it
            if self._blocks is not None:
                self._blocks.close()
        super().close()

    def _next(self) -> bytes:
        if self._blocks is None and self._at >= self._size:
            return b""
        self._blocks = self._blocks or self._begin(self._at)
        began, thread = time.monotonic(), current_thread()
        if isinstance(thread, _Attempt):
            thread.heard -= self._waited  # what came since was too little to be a sign of life
        try:
            block = next(self._blocks, b"")
        except Exception:
            self._blocks = None
            raise
        self._at += len(block)
        self._waited += time.monotonic() - began
        if self._at - self._piece >= PIECE:
            self._piece, self._waited = self._at, 0.0
        if self._waited > PATIENCE:
            raise Silence("what comes is too little to wait for")
        return block


def new_session(**headers: str) -> Session:
    """A session of requests that sends these headers, and neither cookies nor a login of ~/.netrc."""
    from http.cookiejar import DefaultCookiePolicy

    import requests

    session = requests.Session()
    session.auth = lambda request: request  # or that login would take the token's place
    # A registry that can set a cookie may take this for a browser, and want a token against forged requests (Harbor).
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": "aqea-registry", **headers})
    return session


def range_from(offset: int) -> dict[str, str]:
    """The header that asks for the bytes from `offset` on."""
    return {"Range": f"bytes={offset}-"} if offset else {}


def pieces_from(response: Response, offset: int) -> Iterator[bytes]:
    """The bytes of an answer to a request for those from `offset` on, not unpacked, and those that came before a cut."""
    return from_offset(iter(lambda: response.raw.read(PIECE), b""), offset, response.status_code)


def from_offset(blocks: Iterator[bytes], offset: int, status: int) -> Iterator[bytes]:
    """The blocks of an answer to a request for the bytes from `offset` on; a server that knows no ranges sends all (200)."""
    skip = offset if status == OK else 0
    for block in blocks:
        yield from [block[skip:]] if skip < len(block) else []
        skip = max(0, skip - len(block))
