"""When to ask a server again, and how long to wait before. Who asks sleeps; nothing here does.

Ask a server again where waiting helps, and say plainly why it did not answer. No message holds a token.

Bytes on their way to a store and back, over lines that break.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from aqea_registry.base.files import BLOCK, Advance, WrongBytes, open_regular
from aqea_registry.base.findings import CannotCheck, NotAllowed

if TYPE_CHECKING:
    from aqea_registry.stores.release import Descriptor

ATTEMPTS = 4


T = TypeVar("T")


LONGEST_WAIT = 60.0  # seconds


class Answer(NamedTuple):
    """What a failed request was told: an HTTP status or None, a reason for people, and the Retry-After header."""

    status: int | None
    reason: str
    retry_after: str | None = None


TOO_MANY = 429


def patiently(what: str, call: Callable[[], T], judge: Callable[[Exception], Answer | None], hint: str) -> T:
    """Call, and call again after a lost connection, a 429 or a 5xx, at most ATTEMPTS times.

    `judge` tells what a client library's exception means; None lets it through. A 401 or 403 raises NotAllowed with `hint`
    at once; everything else that is an answer raises CannotCheck.
    """
    attempt = 0
    while True:
        try:
            return call()
        except Exception as error:
            answer = judge(error)
            if answer is None:
                raise
            attempt += 1
            if answer.status in {401, 403}:
                raise NotAllowed(f"{what}: {answer.reason}", hint) from error
            if is_final(answer.status) or attempt == ATTEMPTS:
                raise CannotCheck(f"{what}: {answer.reason}", "try again later") from error
            time.sleep(wait_before(attempt - 1, answer.retry_after))


def is_final(status: int | None) -> bool:
    """Whether an answer stays the same however often one asks; no answer at all (None) does not."""
    return status is not None and status != TOO_MANY and status < 500


def wait_before(attempt: int, retry_after: str | None) -> float:
    """Seconds to wait before attempt number `attempt` + 2: what the server's Retry-After says, or longer each time."""
    try:
        wanted = float(retry_after or "")
    except ValueError:
        wanted = 0.5 * 2.0**attempt
    return min(max(wanted, 0.0), LONGEST_WAIT)


PIECE = 1 << 16  # bytes; of a piece that a broken line cuts nothing is kept


class Outgoing:
    """A blob on its way out, as requests reads a file: never whole in memory, and hashed while it is read.

    The block that would complete it is kept back if the bytes are not the wanted ones: WrongBytes. Bytes that are sent
    again count once for the progress.
    """

    def __init__(self, source: Path | bytes, blob: Descriptor, advance: Advance) -> None:
        self._file = io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)
        self._blob = blob
        self._advance = advance
        self._reported = 0
        self.seek(0)

    def __len__(self) -> int:
        return self._blob.size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(BLOCK), b"")

    def tell(self) -> int:
        """How many bytes were read."""
        return self._at

    def seek(self, place: int) -> None:
        """Start again; `place` is 0."""
        self._at = self._file.seek(place)
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end. Raises WrongBytes."""
        rest = self._blob.size - self._at
        if not rest:
            return b""
        block = self._file.read(min(size, rest)) or b""
        self._hash.update(block)
        self._at += len(block)
        if not block or len(block) == rest:
            self._check_whole()
        if self._at > self._reported:
            self._advance(self._at - self._reported)
            self._reported = self._at
        return block

    def _check_whole(self) -> None:
        if self._file.read(1):
            raise WrongBytes(None, self._blob.size)
        if f"sha256:{self._hash.hexdigest()}" != self._blob.digest:
            raise WrongBytes(self._hash.hexdigest(), self._at)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Incoming(io.RawIOBase):
    """A blob on its way in, from `offset` on. Where the line breaks it goes on at the next byte. Nothing is checked.

    `begin` asks for the bytes from an offset on and returns a response of requests; `patiently` makes such calls again.
    """

    def __init__(
        self,
        size: int,
        offset: int,
        begin: Callable[[int], Any],
        patiently: Callable[[Callable[[], bytes]], bytes],
    ) -> None:
        self._size = size
        self._at = offset
        self._begin = begin
        self._patiently = patiently
        self._response: Any = None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes. Raises what `patiently` raises."""
        block = self._patiently(lambda: self._attempt(len(buffer)))
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)

    def close(self) -> None:
        """Close the connection, if the blob was not read to its end."""
        self._drop()
        super().close()

    def _attempt(self, size: int) -> bytes:
        if self._response is None:
            if self._at >= self._size:
                return b""
            self._response = self._begin(self._at)
        try:
            block: bytes = self._response.raw.read(min(size, PIECE))
        except Exception:
            self._drop()
            raise
        return block

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
