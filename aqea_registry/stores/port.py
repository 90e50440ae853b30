"""What a store is: where releases are kept under tags, and what it can be asked. And what every store refuses, in one wording.

A store answers questions about what it has and takes one release at a time. What a tag may name, what is sent first and
what an answer means is decided above, for all stores alike. A store raises CannotCheck when it cannot be reached,
NotAllowed when the credentials do not suffice, TagConflict when the tag names other content, and Refused when it gives back
other bytes than it was given; never an exception of the client library that it uses.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from aqea_registry.base.files import Advance, WrongBytes
from aqea_registry.base.findings import CannotCheck, Finding, Refused, TagConflict
from aqea_registry.base.references import join_reference
from aqea_registry.stores.release import Descriptor, NotARelease, Release, StoredFile, digest_of, other_content, parse

# The bytes of a path of the release: a file that was verified, or a text that was made for the release.
Content = Callable[[str], Path | bytes]


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """What a tag names in a store, looked at once: later questions are about this, not about where the tag went since."""

    tag: str
    digest: str  # the release's identity, `sha256:` and 64 hex digits
    at: str  # the store's own name for it: a digest, a commit, a release's number


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a push would do: whether the tag names the release already, and the blobs that would be sent, each once."""

    existing: Tagged | None
    new: tuple[Descriptor, ...]
    complete: bool  # whether nothing at all is left to do


class Releases(Protocol):
    """Releases that can be read. `spec` is the name of the place without a tag."""

    spec: str

    def tags(self) -> list[str]:
        """The tags of all releases in the store, sorted. Where that is cheap, those of something else are left out."""

    def find(self, tag: str) -> Tagged | None:
        """What a tag names; None if there is no such tag. Raises OtherContent if that is valid and not a release, Refused."""

    def release(self, tagged: Tagged) -> Release:
        """The release, its manifest checked against its digest. Raises Refused, CannotCheck."""

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """A file's unchecked bytes from `offset` on, to be closed. Raises Refused if there is none, NotAllowed, CannotCheck."""

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """The documents that are kept beside a release, by name."""


class Store(Releases, Protocol):
    """One store. `spec`: `oci:DIR`, `oci://HOST/NAME`, `hf://datasets/ORG/NAME`, `github://OWNER/REPO`."""

    def plan(self, tag: str, release: Release) -> Plan:
        """What a push would send. Raises NotAllowed, CannotCheck, TagConflict if the tag names anything else."""

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        """Put a release under a tag, which comes last, and return the store's own ids; repeat a push that was cut off.

        Raises TagConflict if the tag names, or came to name, another release; Refused if `content` gives other bytes.
        """

    def ids(self, tagged: Tagged, release: Release) -> dict[str, object]:
        """The store's own ids of a release, as its receipt has them."""

    def stored(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterable[StoredFile]:
        """Each file as the store reports it; fetched and hashed if the store knows no digest of it, and with `deep`."""

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        """Keep a small document beside a release, never part of its identity. The same name and bytes again change nothing."""


class OtherContent(Refused):
    """A tag names something valid that is not a release of this program. `found` says what."""

    def __init__(self, subject: str, found: str) -> None:
        message = f"{found}, not a release of aqea-registry"
        super().__init__(f"{subject}: {message}", [Finding("not-a-release", subject, message, actual=found)])
        self.found = found


def parsed(subject: str, content: bytes, file: str = "") -> Release:
    """The release that a manifest's bytes are. Raises OtherContent if they are something else, Refused if nothing."""
    try:
        return parse(content)
    except NotARelease as error:
        if (other := other_content(content, file)) is not None:
            raise OtherContent(subject, other) from error
        raise Refused.of("malformed", subject, f"not a release: {error}") from error


def same_release(store: Store, tag: str, release: Release, find: Callable[[], Tagged | None] | None = None) -> Tagged | None:
    """What a tag names (as `find` has it), if that is this release already. Raises TagConflict if it names anything else."""
    try:
        tagged = find() if find else store.find(tag)
    except OtherContent as error:
        raise tag_conflict(store.spec, tag, error.found, release) from error
    if tagged is not None and tagged.digest != release.digest():
        raise tag_conflict(store.spec, tag, tagged.digest, release)
    return tagged


def tag_conflict(spec: str, tag: str, named: str, release: Release, says: str = "it names") -> TagConflict:
    """The error for a tag that names another release, or something else: `named`, its digest or other words."""
    what = "already names another release" if named.startswith("sha256:") else "exists with other content"
    subject, message, wanted = join_reference(spec, tag), f"the tag {what}, and this program moves no tag", release.digest()
    finding = Finding("tag-moved", subject, message, wanted, named)
    text = f"{subject}: {message}: {says} {named}; this content would be {wanted}"
    return TagConflict(text, "publish it under a new tag", [finding])


def other_manifest(subject: str, expected: str, content: bytes) -> Refused:
    """The manifest under a digest has other bytes."""
    message = "the manifest's bytes are not those that its digest names"
    return Refused.of("mismatch", subject, message, expected, digest_of(content))


def lost_tag(spec: str, tag: str, release: Release) -> Refused:
    """The store accepted a tag, and does not have it."""
    return Refused.of("missing", join_reference(spec, tag), "the store took the tag and does not have it", release.digest())


def is_attached(store: Store, tagged: Tagged, name: str, wanted: bytes) -> bool:
    """Whether a document is attached already. Raises Refused if another one has its name."""
    existing = store.attachments(tagged).get(name)
    if existing is not None and existing != wanted:
        raise other_document(f"{store.spec}@{tagged.digest}: {name}", wanted, existing)
    return existing is not None


def other_document(subject: str, wanted: bytes, existing: bytes | None) -> Refused:
    """Another document is attached under the same name; `existing` is None where only that is known."""
    message = "another document of this name is attached, and attachments stay as they are"
    actual = None if existing is None else digest_of(existing)
    return Refused.of(
        "conflict", subject, message, digest_of(wanted), actual, hint="run the command again: it takes another name"
    )


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Raise CannotCheck where a file of the release cannot be read here."""
    try:
        yield
    except OSError as error:
        raise CannotCheck(f"{path} cannot be read: {error.strerror or error}", "make the release's files again") from error


@contextmanager
def unchanged(path: str, digest: str) -> Iterator[None]:
    """Raise Refused where a file of the release is found to have other bytes than it had when it was verified."""
    try:
        yield
    except WrongBytes as error:
        finding = Finding("mismatch", path, "the file changed after it was verified", digest, error.actual)
        raise Refused(f"{path} changed after it was verified; no release has it", [finding], "run it again") from error
