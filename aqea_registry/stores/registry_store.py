"""A store in an OCI registry: `oci://HOST[:PORT]/NAME`, as docker, skopeo and oras speak to it.

Blobs go first, each only if it is not there, and the manifest last: a reader sees a whole release or none. A blob is named
by its digest, which the registry checked when it took it; so its being there is taken for its bytes, until `deep` asks.

A registry has no conditional write. The tag is read right before the manifest is written, and again at once and SETTLE
seconds later: of publishers at the same time the last one's release stays, and every other gets a TagConflict. One that pauses
for longer between its reading and its writing takes the tag from one that has succeeded, whose receipt shows it.

Attachments are manifests that refer to a release, found by its referrers or by the list under the tag `sha256-<hex>`, which
the writer looks at again after a while, to add what another's writing lost.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import msgspec

from aqea_registry.base.files import Advance, hash_stream, ignore
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.references import TAG, join_reference
from aqea_registry.base.strict import decoded
from aqea_registry.remote.retry import UploadBody, at_once
from aqea_registry.stores import attachments as beside
from aqea_registry.stores import port
from aqea_registry.stores.port import Content, Plan, Tagged
from aqea_registry.stores.registry_client import RegistryClient, no_answer
from aqea_registry.stores.release import EMPTY_CONFIG, Descriptor, Release, StoredFile, digest_of, is_object

SETTLE = 1.5  # seconds
ROUNDS = 5  # how often the list of attachments is written, if others write it too
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
SPEC = re.compile(rf"oci://(?P<host>(?:[A-Za-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]+)?)/(?P<name>{COMPONENT}(?:/{COMPONENT})*)")


class _Page(msgspec.Struct):
    tags: list[str] | None = None


class Registry:
    """One repository. `settle`: seconds after which what was written is looked at again. Raises BadConfiguration."""

    def __init__(self, spec: str, *, settle: float = SETTLE) -> None:
        match = SPEC.fullmatch(spec)
        if match is None:  # it may hold a login, so it is not repeated
            message = "the name of a registry's repository is oci://HOST[:PORT]/NAME, in small letters and without a login"
            raise BadConfiguration(message, "correct the store's name; log in with: docker login HOST")
        self.spec = spec
        self._client = RegistryClient(match["host"], match["name"])
        self._settle = settle

    def tags(self) -> list[str]:
        """Every tag but those of lists of attachments, sorted. Whether they name releases is not asked."""
        found: set[str] = set()
        for page in self._client.pages("tags/list", {200, 404}):
            listed = decoded(page.content, _Page) if page.status_code == 200 else _Page()
            if listed is None:
                raise no_answer(page, f"{self.spec}: its tags", "a list of tags")
            if found.issuperset(listed.tags or ()):
                break
            found.update(listed.tags or ())
        return sorted(tag for tag in found if not beside.FALLBACK_TAG.fullmatch(tag))

    def find(self, tag: str) -> Tagged | None:
        """What a tag names, by the bytes that it gives. Raises Refused if they are no release."""
        if not TAG.fullmatch(tag) or beside.FALLBACK_TAG.fullmatch(tag):
            raise BadConfiguration(f"{tag!r} cannot be a release's tag in a registry", "use a tag such as v1")
        content = self._client.manifest(tag)
        if content is None:
            return None
        port.parsed(join_reference(self.spec, tag), content)
        return Tagged(tag=tag, digest=digest_of(content), at=digest_of(content))

    def release(self, tagged: Tagged) -> Release:
        """The release, its manifest checked against its digest."""
        subject = f"{self.spec}@{tagged.at}"
        content = self._client.manifest(tagged.at)
        if content is None:
            raise CannotCheck(f"{subject}: the manifest is not there", "publish the release again")
        return port.parsed(subject, content)

    def plan(self, tag: str, release: Release) -> Plan:
        """What a push would send. Whether it may is asked by beginning an upload and giving it up at once."""
        existing = port.same_release(self, tag, release)
        new = [blob for blob in release.blobs() if not self._client.holds(blob)] + ([] if existing else [release.descriptor()])
        if new:
            self._client.check_writable()
        return Plan(existing=existing, new=tuple(new), complete=not new)

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        """Put a release under a tag, several blobs at once; a registry keeps no notes."""
        existing = port.same_release(self, tag, release)
        paths = {layer.digest: path for path, layer in release.files().items()}

        def send(blob: Descriptor, moved: Advance) -> None:
            path = paths.get(blob.digest, "the config")
            source, counted = (content(path), moved) if blob.digest in paths else (EMPTY_CONFIG, ignore)
            with port.unchanged(path, blob.digest):
                self._client.send(blob, UploadBody(source, blob.digest, blob.size, counted), path)

        at_once(send, release.blobs(), advance)
        if existing is None:
            self._name(tag, release)
        return self.ids(Tagged(tag=tag, digest=release.digest(), at=release.digest()), release)

    def ids(self, tagged: Tagged, release: Release) -> dict[str, object]:
        """The manifest's digest, and the repository's name."""
        return {"manifest": tagged.digest, "repository": f"{self._client.host}/{self._client.name}"}

    def stored(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterator[StoredFile]:
        """Each file by its name, which is its digest, or with `deep` by its bytes. Raises Refused if the config is gone."""
        for path, layer in sorted(release.files().items()):
            size = self._client.size(layer.digest)
            if size is None:
                yield StoredFile(path=path, how="not there")
            elif deep:
                with self.open(tagged, path, layer, 0) as incoming:
                    found = hash_stream(incoming, layer.size, advance)
                yield StoredFile(path=path, how="hashed", digest=f"sha256:{found.sha256}", size=found.size)
            else:
                yield StoredFile(path=path, how="descriptor", digest=layer.digest, size=size if size >= 0 else None)
        if not self._client.holds(release.config):
            message = "the blob is not there; publish the release again to repair it"
            raise Refused.of("missing", f"{join_reference(self.spec, tagged.tag)}: config", message, release.config.digest)

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """A file's bytes from `offset` on, resumed after a broken connection."""
        return self._client.open(layer, offset, f"{join_reference(self.spec, tagged.tag)}: {path}")

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        """Keep a small document beside a release. Raises Refused if another one of this name is there."""
        made = beside.attachment(self.release(tagged).descriptor(), name, content)
        if port.is_attached(self, tagged, name, content):
            return
        self._client.send(made.document, content, name)
        self._client.send(made.config, EMPTY_CONFIG, name)
        reply = self._client.put_manifest(made.digest(), made.render)
        for _ in range(ROUNDS):
            if reply is not None and "OCI-Subject" not in reply.headers:  # the registry knows nothing of referrers
                tag = beside.fallback_tag(tagged.digest)
                self._client.put_manifest(tag, lambda: self._list_with(tagged, made), beside.INDEX_TYPE)
                time.sleep(self._settle)
            if port.is_attached(self, tagged, name, content):
                return
        raise CannotCheck(f"{self.spec}@{tagged.digest}: {name}: the registry took it and does not list it", "attach it again")

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """The documents beside a release, by name; of two with one name the one whose manifest has the lower digest."""
        tag = beside.fallback_tag(tagged.digest)
        indexes = self._indexes(tagged.digest, tag)
        listed = [descriptor for index in indexes for descriptor in beside.attached(index, f"{self.spec}@{tag}")]
        documents: dict[str, bytes] = {}
        for descriptor in sorted(listed, key=lambda descriptor: descriptor.digest):
            name, content = self._document(tagged, descriptor)
            documents.setdefault(name, content)
        return documents

    # The tag

    def _name(self, tag: str, release: Release) -> None:
        """Write the manifest under the tag, and see whether it stays."""
        self._client.put_manifest(tag, lambda: None if port.same_release(self, tag, release) else release.render())
        port.same_release(self, tag, release)
        time.sleep(self._settle)
        if port.same_release(self, tag, release) is None:
            raise port.lost_tag(self.spec, tag, release)

    # Attachments

    def _list_with(self, tagged: Tagged, made: beside.Attachment) -> bytes:
        """The list of a release's attachments as it is now, with one more."""
        tag = beside.fallback_tag(tagged.digest)
        return beside.with_entry(self._client.manifest(tag), made.entry(), f"{self.spec}@{tag}")

    def _indexes(self, digest: str, tag: str) -> Iterator[bytes]:
        unknown = {400, 404, 405}  # how registries answer that do not know the question
        for page in self._client.pages(f"referrers/{digest}", {200, *unknown}, {"Accept": beside.INDEX_TYPE}):
            if page.status_code in unknown:
                index = self._client.manifest(tag)
                yield from [index] if index is not None else []
            elif not is_object(page.content):
                raise no_answer(page, f"{self.spec}@{digest}", "a list of attachments")
            else:
                yield page.content

    def _document(self, tagged: Tagged, descriptor: Descriptor) -> tuple[str, bytes]:
        what = f"{self.spec}@{descriptor.digest}"
        made = beside.parse_attachment(self._client.manifest(descriptor.digest) or b"", tagged.digest, what)
        digest = made.document.digest
        reply = self._client.ask("GET", f"blobs/{digest}", {200, 404})
        if reply.status_code == 404 or digest_of(reply.content) != digest:
            actual = digest_of(reply.content) if reply.status_code == 200 else None
            code, message = ("mismatch", "is not what its digest names") if actual else ("missing", "is not there")
            raise Refused.of(code, f"{what}: {made.name}", f"the document {message}", digest, actual)
        return made.name, reply.content
