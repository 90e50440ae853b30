"""How an operation tells of its progress without knowing a terminal."""

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
        """Say something that does not stop the work."""


class Silent:
    """A reporter that shows nothing."""

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        """Take progress and show nothing."""
        yield ignore

    def warn(self, message: str) -> None:
        """Show nothing."""


def printable(text: str) -> str:
    """The text in one line that does nothing to a terminal: other people's file names hold line ends and escape codes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text)


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
    """Text without what a reader cannot see: control, format and line-end characters of Unicode as their escapes."""
    if not isinstance(text, str) or text.isprintable() or hasattr(text, "__html__"):
        return text
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape", "surrogatepass").decode() for one in text
    )
