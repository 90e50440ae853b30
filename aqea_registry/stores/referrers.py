"""Attachments in a registry: manifests that refer to a release, found by its referrers or by the list under a tag.

The list under the tag `sha256-<hex>` is read, changed and written without a guard. Who writes it looks again after a while,
and adds what somebody else's writing lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from aqea_registry.core.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.core.referrers import (
    INDEX_TYPE,
    Attachment,
    Malformed,
    attached,
    attachment,
    fallback_tag,
    parse_attachment,
    with_entry,
)
from aqea_registry.core.release import EMPTY_CONFIG, MANIFEST_TYPE, Descriptor, digest_of
from aqea_registry.stores.base import Tagged
from aqea_registry.stores.distribution import Repository
from aqea_registry.stores.refusals import other_document

ROUNDS = 5  # how often the list is written, if others write it too


class Referrers:
    """The attachments of one repository's releases. `settle`: seconds after which a written list is looked at again."""

    def __init__(self, repository: Repository, settle: float) -> None:
        self._repository = repository
        self._settle = settle

    def attach(self, tagged: Tagged, name: str, content: bytes, size: int) -> None:
        """Keep a document beside a release whose manifest has `size` bytes. Raises Refused if another has its name."""
        subject = Descriptor(media_type=MANIFEST_TYPE, digest=tagged.digest, size=size)
        try:
            made = attachment(subject, name, content)
        except Malformed as error:
            raise BadConfiguration(str(error)) from error
        if self._has(tagged, name, content):
            return
        what = f"{self._repository}@{tagged.digest}: {name}"
        self._repository.send(made.document, content, name)
        self._repository.send(made.config, EMPTY_CONFIG, name)
        reply = self._repository.patiently(
            what, lambda: self._repository.put_manifest(made.digest(), made.render()), to_write=True
        )
        for _ in range(ROUNDS):
            if "OCI-Subject" not in reply.headers:  # the registry knows nothing of referrers
                self._repository.patiently(what, lambda: self._list(tagged, made), to_write=True)
                time.sleep(self._settle)
            if self._has(tagged, name, content):
                return
        raise CannotCheck(f"{what}: the registry took it and does not list it", "attach it again")

    def documents(self, tagged: Tagged) -> dict[str, bytes]:
        """Name to bytes; of two documents with one name the one whose manifest has the lower digest."""
        found: dict[str, bytes] = {}
        for descriptor in self._manifests(tagged):
            name, content = self._document(tagged, descriptor)
            found.setdefault(name, content)
        return found

    def _has(self, tagged: Tagged, name: str, content: bytes) -> bool:
        held = self.documents(tagged).get(name)
        if held is not None and held != content:
            raise other_document(f"{self._repository}@{tagged.digest}: {name}", content, held)
        return held is not None

    def _list(self, tagged: Tagged, made: Attachment) -> None:
        tag = fallback_tag(tagged.digest)
        index = self._repository.manifest(tag)
        try:
            changed = with_entry(index, made.entry())
        except Malformed as error:
            raise self._refusal(tag, error) from error
        self._repository.put_manifest(tag, changed, INDEX_TYPE)

    def _manifests(self, tagged: Tagged) -> list[Descriptor]:
        tag = fallback_tag(tagged.digest)
        try:
            found = [descriptor for index in self._indexes(tagged.digest, tag) for descriptor in attached(index)]
        except Malformed as error:
            raise self._refusal(tag, error) from error
        return sorted(found, key=lambda descriptor: descriptor.digest)

    def _indexes(self, digest: str, tag: str) -> Iterator[bytes]:
        what = f"{self._repository}:{tag}"
        unknown = {400, 404, 405}  # how registries answer who do not know the question
        for page in self._repository.pages(what, f"referrers/{digest}", {200, *unknown}, {"Accept": INDEX_TYPE}):
            if page.status in unknown:
                index = self._repository.patiently(what, lambda: self._repository.manifest(tag))
                yield from [index] if index is not None else []
            else:
                yield page.content

    def _document(self, tagged: Tagged, descriptor: Descriptor) -> tuple[str, bytes]:
        what = f"{self._repository}@{descriptor.digest}"
        manifest = self._repository.patiently(what, lambda: self._repository.manifest(descriptor.digest))
        try:
            made = parse_attachment(manifest or b"", tagged.digest)
        except Malformed as error:
            raise self._refusal(descriptor.digest, error) from error
        digest = made.document.digest
        reply = self._repository.patiently(what, lambda: self._repository.ask("GET", f"blobs/{digest}", {200, 404}))
        if reply.status == 404 or digest_of(reply.content) != digest:
            actual = digest_of(reply.content) if reply.status == 200 else None
            code, message = ("mismatch", "is not what its digest names") if actual else ("missing", "is not there")
            finding = Finding(code=code, subject=f"{what}: {made.name}", expected=digest, actual=actual, message=message)
            raise Refused(f"{what}: the document {made.name} {message}", [finding])
        return made.name, reply.content

    def _refusal(self, reference: str, error: Malformed) -> Refused:
        subject = f"{self._repository}@{reference}"
        return Refused.of("malformed", subject, str(error))
