"""What a store is: a place that keeps releases under tags, and what is asked of it.

A store answers questions about what it holds and takes one release at a time. What a tag may hold, what is sent first and
what an answer means is decided once, in `operations/`, for all stores alike. A store raises CannotCheck when it cannot be
reached, NotAllowed when the credentials do not suffice, TagConflict when the tag names other content, and Refused when it
gives back other bytes than it was given; never an exception of the client library that it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from aqea_registry.core.files import Advance
from aqea_registry.core.release import Descriptor, Held, Release

__all__ = ["Content", "Held", "Plan", "Store", "Tagged"]

# The bytes of a path of the release: a file that was verified, or a text that was made for the release.
Content = Callable[[str], Path | bytes]


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """What a tag names in a store, looked at once: later questions are about this, not about where the tag went since."""

    tag: str
    digest: str  # the release's identity, `sha256:` and 64 hex digits
    at: str  # the store's own name for it: a digest, a commit, a release's number


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a push would do: the release that the tag names now, and the pieces that would be sent, each once."""

    held: Tagged | None
    new: tuple[Descriptor, ...]
    settled: bool  # whether nothing at all is left to do


class Store(Protocol):
    """One store. `spec` is its name without a tag: `oci:DIR`, `oci://HOST/NAME`, `hf://datasets/ORG/NAME`, `github://OWNER/REPO`."""

    spec: str
    own_receipts: Path | None  # where receipts lie that live with the store; None: they are committed with the project

    def reference(self, tag: str) -> str:
        """The STORE-REF of a tag."""
        ...

    def tags(self) -> list[str]:
        """The tags of all releases in the store, sorted. Where that is cheap, those of something else are left out."""
        ...

    def find(self, tag: str) -> Tagged | None:
        """What a tag names; None if there is no such tag. Raises Refused if it names something that is no release."""
        ...

    def release(self, tagged: Tagged) -> Release:
        """The release, its manifest checked against its digest. Raises Refused, CannotCheck."""
        ...

    def plan(self, tag: str, release: Release) -> Plan:
        """What a push would send, after asking whether it may: raises NotAllowed and CannotCheck before a byte is sent."""
        ...

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        """Put a release under a tag and return the store's own ids for the receipt; repeat a push that was cut off.

        What is there already is not sent again, and the tag comes last. Raises TagConflict if the tag names, or came to
        name, another release; Refused if `content` gives other bytes than the release names.
        """
        ...

    def held(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterable[Held]:
        """Each file of the release as the store holds it, by the digests that the store itself reports.

        Bytes are fetched of what has no such digest, and with `deep` of everything.
        """
        ...

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """The bytes of a file of the release from `offset` on, as a stream to be closed. They are not checked yet."""
        ...

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        """Keep a small document beside a release, never part of its identity. The same name and bytes again change nothing."""
        ...

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """The documents that are kept beside a release, by name."""
        ...
