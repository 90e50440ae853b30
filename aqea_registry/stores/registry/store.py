"""A store in an OCI registry: `oci://HOST[:PORT]/NAME`, as docker, skopeo and oras speak to it.

Blobs go first, each only if it is not there, and the manifest last: a reader sees a whole release or none. A blob is named
by its digest, which the registry checked when it took it; so its being there is taken for its bytes, until `deep` asks.

A registry has no conditional write. The tag is read right before the manifest is written, and again at once and SETTLE
seconds later: of publishers at the same time the last one's release stays, and every other is told of the conflict. What
remains is a publisher that stands still for longer than SETTLE between its reading and its writing: it takes the tag from
one that was told of its success already. The receipt of that one shows it. A registry with immutable tags prevents it.

Attachments in a registry: manifests that refer to a release, found by its referrers or by the list under a tag.

The list under the tag `sha256-<hex>` is read, changed and written without a guard. Who writes it looks again after a while,
and adds what somebody else's writing lost.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from aqea_registry.base.files import BLOCK, Advance, WrongBytes, hash_stream, ignore
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.references import join_reference
from aqea_registry.remote.retry import Incoming, Outgoing
from aqea_registry.stores.attachments import (
    INDEX_TYPE,
    Attachment,
    Malformed,
    attached,
    attachment,
    fallback_tag,
    is_fallback_tag,
    parse_attachment,
    with_entry,
)
from aqea_registry.stores.port import (
    Content,
    Plan,
    Tagged,
    changed_file,
    other_document,
    parsed,
    refuse_other_release,
    unreadable_file,
)
from aqea_registry.stores.registry.http import Answered, Repository
from aqea_registry.stores.release import EMPTY_CONFIG, MANIFEST_TYPE, Descriptor, Held, Release, digest_of

SETTLE = 1.5  # seconds
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
SPEC = re.compile(rf"oci://(?P<host>(?:[A-Za-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]+)?)/(?P<name>{COMPONENT}(?:/{COMPONENT})*)")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class _Page(msgspec.Struct):
    tags: list[str] | None = None


class Registry:
    """One repository of a registry. Raises BadConfiguration for a spec that names none.

    `settle`: seconds after which a tag that was written is looked at again.
    """

    def __init__(self, spec: str, *, settle: float = SETTLE) -> None:
        match = SPEC.fullmatch(spec)
        if match is None:  # it may hold a login, so it is not repeated
            raise BadConfiguration(
                "the name of a registry's repository is oci://HOST[:PORT]/NAME, in small letters and without a login",
                "correct the store's name; log in with: docker login HOST",
            )
        self.spec = spec
        self.own_receipts: Path | None = None
        self._repository = Repository(match["host"], match["name"])
        self._referrers = Referrers(self._repository, settle)
        self._settle = settle

    def reference(self, tag: str) -> str:
        """The STORE-REF of a tag."""
        return join_reference(self.spec, tag)

    def tags(self) -> list[str]:
        """Every tag but those of lists of attachments, sorted. Whether they name releases is not asked."""
        found: set[str] = set()
        what = f"{self.spec}: its tags"
        for page in self._repository.pages(what, "tags/list", {200, 404}):
            names = _names(what, page.content) if page.status == 200 else []
            if found.issuperset(names):
                break
            found.update(names)
        return sorted(tag for tag in found if not is_fallback_tag(tag))

    def find(self, tag: str) -> Tagged | None:
        """What a tag names, by the bytes that it gives. Raises Refused if they are no release."""
        return self._repository.patiently(self.reference(tag), lambda: self._find(tag))

    def release(self, tagged: Tagged) -> Release:
        """The release, its manifest checked against its digest."""
        subject = f"{self.spec}@{tagged.at}"
        content = self._repository.patiently(subject, lambda: self._repository.manifest(tagged.at))
        if content is None:
            raise CannotCheck(f"{subject}: the manifest is not there", "publish the release again")
        return parsed(subject, content)

    def plan(self, tag: str, release: Release) -> Plan:
        """What a push would send. Whether it may is asked by beginning an upload and giving it up at once."""
        held = self.find(tag)
        if held is not None and held.digest != release.digest():
            return Plan(held=held, new=(), settled=False)
        if held is None:
            self._check_writable()
        new = [blob for blob in _blobs(release) if not self._holds(blob)] + ([] if held else [release.descriptor()])
        if held is not None and new:
            self._check_writable()
        return Plan(held=held, new=tuple(new), settled=not new)

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        """Put a release under a tag; a registry has no place for the notes."""
        held = self.find(tag)
        self._refuse_conflict(tag, held, release)
        paths = {layer.digest: path for path, layer in release.files().items()}
        for blob in _blobs(release):
            if blob.digest in paths:
                self._send(blob, paths[blob.digest], content(paths[blob.digest]), advance)
            else:
                self._send(blob, "the config", EMPTY_CONFIG, ignore)
        if held is None:
            self._name(tag, release)
        return {"manifest": release.digest(), "repository": f"{self._repository.host}/{self._repository.name}"}

    def held(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterator[Held]:
        """Each file as the registry holds it: by its name, which is its digest, or with `deep` by its bytes.

        Raises Refused at the end if the config is gone: other programs could not read the release.
        """
        for path, layer in sorted(release.files().items()):
            size = self._size(layer)
            if size is None:
                yield Held(path=path, how="not there")
            elif deep:
                yield self._hash(tagged, path, layer, advance)
            else:
                yield Held(path=path, how="descriptor", digest=layer.digest, size=size if size >= 0 else None)
        if not self._holds(release.config):
            message = "the blob is not there; publish the release again to repair it"
            raise Refused.of("missing", f"{self.reference(tagged.tag)}: config", message, release.config.digest)

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """A file's bytes from `offset` on; a broken line is mended while they are read.

        Opening raises Refused if the registry has no such blob; opening and reading raise NotAllowed and CannotCheck.
        """
        what = f"{self.reference(tagged.tag)}: {path}"

        def begin(at: int) -> object:
            try:
                return self._repository.stream(layer.digest, at)
            except Answered as error:
                if error.status == 404:
                    raise Refused.of("missing", what, f"the registry has no blob {layer.digest}", layer.digest) from error
                raise

        incoming = Incoming(layer.size, offset, begin, lambda call: self._repository.patiently(what, call))
        incoming.readinto(bytearray())
        return cast(BinaryIO, io.BufferedReader(incoming, BLOCK))

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        """Keep a small document beside a release. Raises Refused if another one of this name is there."""
        self._referrers.attach(tagged, name, content, len(self.release(tagged).render()))

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """The documents that are kept beside a release, by name."""
        return self._referrers.documents(tagged)

    # One question or one piece each, asked again where waiting helps

    def _size(self, blob: Descriptor) -> int | None:
        return self._repository.patiently(f"{self.spec}: {blob.digest}", lambda: self._repository.size(blob.digest))

    def _holds(self, blob: Descriptor) -> bool:
        return self._size(blob) in {blob.size, -1}

    def _check_writable(self) -> None:
        self._repository.patiently(self.spec, self._repository.check_writable, to_write=True)

    def _send(self, blob: Descriptor, path: str, source: Path | bytes, advance: Advance) -> None:
        try:
            with closing(Outgoing(source, blob, advance)) as outgoing:
                self._repository.send(blob, outgoing, path)
        except WrongBytes as error:
            raise changed_file(path, blob.digest, error.actual) from error
        except OSError as error:
            raise unreadable_file(path, error) from error

    def _hash(self, tagged: Tagged, path: str, layer: Descriptor, advance: Advance) -> Held:
        with self.open(tagged, path, layer, 0) as incoming:
            found = hash_stream(incoming, layer.size, advance)
        return Held(path=path, how="hashed", digest=f"sha256:{found.sha256}", size=found.size)

    # The tag

    def _find(self, tag: str) -> Tagged | None:
        if not TAG.fullmatch(tag) or is_fallback_tag(tag):
            raise BadConfiguration(f"{tag!r} cannot be a release's tag in a registry", "use a tag such as v1")
        content = self._repository.manifest(tag)
        if content is None:
            return None
        parsed(self.reference(tag), content)
        return Tagged(tag=tag, digest=digest_of(content), at=digest_of(content))

    def _name(self, tag: str, release: Release) -> None:
        """Write the manifest under the tag, and see whether it stays."""
        self._repository.patiently(self.reference(tag), lambda: self._put(tag, release), to_write=True)
        self._refuse_conflict(tag, self.find(tag), release)
        time.sleep(self._settle)
        found = self.find(tag)
        self._refuse_conflict(tag, found, release)
        if found is None:
            raise Refused.of("missing", self.reference(tag), "the registry took the tag and does not have it", release.digest())

    def _put(self, tag: str, release: Release) -> None:
        """Also the second attempt, after an answer that was lost, begins by looking."""
        found = self._find(tag)
        self._refuse_conflict(tag, found, release)
        if found is None:
            self._repository.put_manifest(tag, release.render())

    def _refuse_conflict(self, tag: str, found: Tagged | None, release: Release) -> None:
        refuse_other_release(tag, self.spec, found.digest if found else None, release)


def _names(what: str, content: bytes) -> list[str]:
    try:
        return msgspec.json.decode(content, type=_Page).tags or []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CannotCheck(f"{what}: the registry's answer is no list of tags", "try again later") from error


def _blobs(release: Release) -> list[Descriptor]:
    """The blobs of a release, each once, sorted by digest."""
    blobs = {blob.digest: blob for blob in (*release.layers, release.config)}
    return [blob for _, blob in sorted(blobs.items())]


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
