"""What every source can do, and the repository that it is asked for."""

from __future__ import annotations

from io import RawIOBase
from pathlib import Path
from typing import Literal, Protocol

import msgspec


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream repository whose bytes a source shall give: its kind, id and commit (None for a plain directory)."""

    name: str
    kind: Literal["model", "dataset", "directory"]
    id: str
    commit: str | None


class Source(Protocol):
    """A place with files under relative POSIX paths."""

    spec: str

    def present(self) -> bool:
        """Whether the place can be reached at all, as far as that is known without asking anybody."""

    def paths(self) -> list[str]:
        """Every file it has, sorted. Raises OSError."""

    def open(self, path: str, limit: int) -> RawIOBase:
        """The bytes of one file; more than `limit` need not be given. Raises OSError; FileNotFoundError if there is none."""

    def local(self, path: str) -> Path | None:
        """Where the file lies on this machine, or None if it is not here. Raises OSError if it must not be read."""

    def advice(self) -> str:
        """What a person can do so that this source is present."""
