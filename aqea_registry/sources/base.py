"""What every source can do."""

from __future__ import annotations

from io import RawIOBase
from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """A place with files under relative POSIX paths."""

    spec: str

    def present(self) -> bool:
        """Whether the place can be reached at all."""

    def paths(self) -> list[str]:
        """Every file it has, sorted. Raises OSError."""

    def open(self, path: str) -> RawIOBase:
        """The bytes of one file. Raises OSError; FileNotFoundError if it has no such file."""

    def local(self, path: str) -> Path | None:
        """Where the file lies on this machine, or None if it is not here. Raises OSError if it must not be read."""

    def advice(self) -> str:
        """What a person can do so that this source is present."""
