"""Bytes on their way to a store and back, over lines that break."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aqea_registry.core.files import BLOCK, Advance, WrongBytes, open_regular
from aqea_registry.core.release import Descriptor

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
