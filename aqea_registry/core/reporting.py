"""How an operation tells of its progress without knowing a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from aqea_registry.core.files import Advance, ignore


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
