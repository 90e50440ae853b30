"""How an operation reports its progress without knowing a terminal; bytes and odd characters as text for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from aqea_registry.base.files import Advance, ignore


class Reporter(Protocol):
    """Where progress and warnings go. The command line shows them; a program may ignore them."""

    def task(self, description: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Show a task of `total` units while the context lives; its value takes the progress made."""

    def warn(self, message: str) -> None:
        """Report something that does not stop the work."""


class Silent:
    """A reporter that shows nothing."""

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        """Take progress and show nothing."""
        yield ignore

    def warn(self, message: str) -> None:
        """Show nothing."""


def printable(text: str, also: str = "") -> str:
    """The text with escapes for characters that are not printable nor in `also`: names may hold line ends and escape codes."""
    return "".join(
        character
        if character.isprintable() or character in also
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def size_text(size: int) -> str:
    """Bytes for people: `12 bytes`, `3.4 kB`, `5.6 MB`."""
    if size < 1000:
        return f"{size} bytes"
    value, units = float(size), ("kB", "MB", "GB", "TB")
    for unit in units:
        value /= 1000
        if value < 999.95 or unit == units[-1]:
            break
    return f"{value:.1f} {unit}"


def visible(text: object) -> object:
    """A text with line ends and tabs as they are, and everything else that cannot be seen as escapes; markup stays."""
    return text if not isinstance(text, str) or hasattr(text, "__html__") else printable(text, "\n\t")
