"""A store in a folder: an OCI image layout, as skopeo and oras read it.

`oci-layout`, `index.json` (tag to manifest), `blobs/sha256/<hex>`; receipts in `receipts/<tag>.json`. Blobs are
written first, the index last and under a lock, each in one rename: a reader sees a whole release or none.
"""

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from aqea_registry.base.files import Advance, Limit, copy_checked, hash_file, locked, open_regular, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.references import join_reference
from aqea_registry.base.strict import load_json, parse_json
from aqea_registry.stores import port
from aqea_registry.stores.attachments import INDEX_TYPE, attached, attachment, parse_attachment, with_entry
from aqea_registry.stores.port import Content, OtherContent, Plan, Tagged
from aqea_registry.stores.release import EMPTY_CONFIG, Descriptor, Release, StoredFile, digest_of, other_content

REF_NAME = "org.opencontainers.image.ref.name"
MARKER = b'{"imageLayoutVersion":"1.0.0"}'
NO_INDEX = b'{"manifests":[]}'
BLOBS = "blobs/sha256/"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
RESTORE = "restore the file from a copy, or move the folder away"


class LayoutContents(NamedTuple):
    """What lies in a layout, whatever its index says: where that is wrong, and files that nothing refers to."""

    findings: list[Finding]
    unlisted: dict[str, str]  # digest to release of each attached manifest that no entry lists so
    idle: list[str]


class Layout:
    """One OCI image layout. `spec` is its name, `oci:DIR`."""

    def __init__(self, spec: str, folder: Path) -> None:
        self.spec, self._listing = spec, f"{spec}: index.json"
        self._folder = folder

    def tags(self) -> list[str]:
        """Every tag of the index, sorted."""
        return sorted({tag for tag, _ in self._entries() if isinstance(tag, str)})

    def find(self, tag: str) -> Tagged | None:
        """What a tag names; its manifest may be lost. Raises CannotCheck if the index has two, OtherContent."""
        existing = {entry["digest"] for name, entry in self._entries() if name == tag}
        if len(existing) > 1:
            raise CannotCheck(f"{self.spec}: the tag {tag} appears in index.json more than once, with different digests")
        for digest in existing:
            with suppress(CannotCheck):
                content = self._read(digest)
                if digest_of(content) == digest and (other := other_content(content)) is not None:
                    raise OtherContent(join_reference(self.spec, tag), other)
        return next((Tagged(tag=tag, digest=digest, at=digest) for digest in existing), None)

    def release(self, tagged: Tagged) -> Release:
        """The release, its manifest checked against its digest. Raises Refused, CannotCheck."""
        return port.parsed(f"{self.spec}@{tagged.digest}", self._manifest(tagged.digest))

    def plan(self, tag: str, release: Release) -> Plan:
        """What a push would write, the manifest's own blob among it; what is there is hashed first."""
        existing, new = port.same_release(self, tag, release), tuple(self._missing(release))
        return Plan(existing=existing, new=new, complete=existing is not None and not new and self._is_marked())

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        """Write a release under a tag; repeat a push that was cut off. A layout keeps no notes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder):
            port.same_release(self, tag, release)
            write_bytes(self._folder / "oci-layout", MARKER)
            paths = {layer.digest: path for path, layer in release.files().items()}
            own = {release.digest(): release.render(), release.config.digest: EMPTY_CONFIG}
            for blob in self._missing(release):
                if blob.digest in own:
                    write_bytes(self._blob(blob.digest), own[blob.digest])
                    continue
                path, source = paths[blob.digest], content(paths[blob.digest])
                with port.readable(path):
                    file = io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)
                with port.unchanged(path, blob.digest), file as incoming:
                    copy_checked(incoming, self._blob(blob.digest), blob.digest.removeprefix("sha256:"), blob.size, advance)
            os.sync()  # once for all blobs: the index must not outlive one of them in a power cut
            write_bytes(self._folder / "index.json", self._relisted(self._index_with(tag, release), release.digest()))
        return {"manifest": release.digest()}

    def ids(self, tagged: Tagged, release: Release) -> dict[str, object]:
        """The manifest's digest."""
        return {"manifest": tagged.digest}

    def look(self, tagged: Tagged) -> tuple[list[Finding], list[str]]:
        """What in the layout contradicts its index or is not listed there, and a note on what nothing refers to."""
        findings, unlisted, idle = self._contents()
        message = "it is attached to the release, and no entry of index.json lists it so; publish or mark the release again"
        lost = [digest for digest, release in unlisted.items() if release == tagged.digest]
        findings += [Finding("unexpected", f"{self.spec}: {digest}", message) for digest in lost]
        idle += [digest for digest in unlisted if digest not in lost]
        note = f"{len(idle)} files of {self.spec} that no entry leads to were not looked at, first {min(idle, default='')}"
        return findings, [note] if idle else []

    def stored(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterator[StoredFile]:
        """Every file, hashed in place, `deep` or not: a folder reports no digests. Raises Refused for a bad config."""
        for path, layer in sorted(release.files().items()):
            try:
                digest = hash_file(self._blob(layer.digest), advance=advance)
            except FileNotFoundError:
                yield StoredFile(path=path, how="not there")
            except OSError as error:
                message = f"the blob cannot be read: {error.strerror or error}"
                raise Refused.of("unreadable", f"{self.spec}: {path}", message, layer.digest) from error
            else:
                yield StoredFile(path=path, how="hashed", digest=f"sha256:{digest.sha256}", size=digest.size)
        if not self._holds(release.config):
            message = "the blob is not there, or has other bytes; publish the release again to repair it"
            raise Refused.of("missing", f"{self.spec}: config", message, release.config.digest)

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """The blob of a file from `offset` on."""
        try:
            file = open_regular(self._blob(layer.digest))
        except OSError as error:
            raise CannotCheck(f"{self.spec}: {path}: the blob cannot be read: {error.strerror or error}", RESTORE) from error
        file.seek(offset)
        return io.BufferedReader(file)

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        """Keep a document beside a release, as a manifest that refers to it. Raises Refused if another has this name."""
        made = attachment(self.release(tagged).descriptor(), name, content)
        with locked(self._folder):
            there = port.is_attached(self, tagged, name, content)
            if there and tagged.digest not in self._contents().unlisted.values():
                return  # its entry would move to the end of the index
            write_bytes(self._blob(made.document.digest), content)
            write_bytes(self._blob(made.digest()), made.render())
            index = self._relisted(with_entry(self._index(), made.entry(), self._listing), tagged.digest)
            write_bytes(self._folder / "index.json", index)

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """The documents that are kept beside a release, by name. Raises Refused if one is not what its digest names."""
        documents: dict[str, bytes] = {}
        listed = [descriptor.digest for descriptor in attached(self._index() or NO_INDEX, self._listing)]
        for digest in [*self._contents().unlisted, *listed]:  # a mark holds, whatever the index says of it
            manifest = self._manifest(digest)
            try:
                made = parse_attachment(manifest, tagged.digest, digest)
            except Refused:
                continue  # another release's
            documents[made.name] = self._manifest(made.document.digest)
        return documents

    def _contents(self) -> LayoutContents:
        """Look at every file. What is larger than a manifest may be is none."""
        entries = [entry for _, entry in self._entries()]
        findings, unlisted, used = list[Finding](), dict[str, str](), {entry["digest"] for entry in entries}
        if not self._is_marked():
            message = "other programs do not read the folder; publish the release again to repair it"
            findings.append(Finding("malformed", f"{self.spec}: oci-layout", message, MARKER.decode()))
        for entry in entries:
            content, manifest = _document(self._blob(entry["digest"]))
            findings += _entry_findings(f"{self._listing}: {entry['digest']}", entry, content, manifest)
            used.update(self._references(manifest))
            if (release := _subject(manifest)) and entry.get("artifactType") != manifest.get("artifactType"):
                unlisted[entry["digest"]] = release
        files = sorted(path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if not path.is_dir())
        for digest in (f"sha256:{file.removeprefix(BLOBS)}" for file in files):
            if not DIGEST.fullmatch(digest):
                continue  # not a blob: what a killed process did not finish, for one
            if digest not in used and (release := _subject(manifest := _document(self._blob(digest))[1])):
                unlisted[digest] = release
                used.update((digest, *self._references(manifest)))
        known = {"index.json", "oci-layout", *(f"{BLOBS}{digest[7:]}" for digest in used)}
        return LayoutContents(findings, unlisted, [file for file in files if file not in known and file[:9] != "receipts/"])

    def _references(self, manifest: Mapping[str, Any], deeper: bool = True) -> Iterator[str]:
        """The digests that a manifest names, and those that the manifests of an index name in turn."""
        lists = [listed for field in ("layers", "manifests") if isinstance(listed := manifest.get(field), list)]
        for child in (manifest.get("config"), *(child for listed in lists for child in listed)):
            if isinstance(child, dict) and isinstance(digest := child.get("digest"), str):
                yield digest
                if deeper and "manifests" in manifest and DIGEST.fullmatch(digest):
                    yield from self._references(_document(self._blob(digest))[1], deeper=False)

    def _is_marked(self) -> bool:
        """Whether the folder says what it is: other programs read none without that."""
        return bool(_document(self._folder / "oci-layout")[1] == parse_json(MARKER))

    def _relisted(self, index: bytes, digest: str) -> bytes:
        """The index with what is attached to a release and was not listed: a killed process or an edit left it out."""
        for unlisted, release in self._contents().unlisted.items():
            if release == digest:
                manifest = self._manifest(unlisted)
                with suppress(Refused):  # another program's
                    index = with_entry(index, parse_attachment(manifest, digest, unlisted).entry(), self._listing)
        return index

    def _manifest(self, digest: str) -> bytes:
        """A small blob's bytes, checked."""
        content = self._read(digest)
        if digest_of(content) != digest:
            raise port.other_manifest(f"{self.spec}@{digest}", digest, content)
        return content

    def _read(self, digest: str) -> bytes:
        try:
            return read_small(self._blob(digest), Limit.STATEMENT)
        except OSError as error:
            raise CannotCheck(f"{self.spec}: the blob {digest} cannot be read: {error.strerror}", RESTORE) from error

    def _missing(self, release: Release) -> list[Descriptor]:
        wanted = sorted((*release.blobs(), release.descriptor()), key=lambda blob: blob.digest)
        return [blob for blob in wanted if not self._holds(blob)]

    def _holds(self, layer: Descriptor) -> bool:
        try:
            digest = hash_file(self._blob(layer.digest))
        except OSError:
            return False
        return f"sha256:{digest.sha256}" == layer.digest

    def _blob(self, digest: str) -> Path:
        return self._folder / BLOBS / digest.removeprefix("sha256:")

    def _index(self) -> bytes | None:
        try:
            return read_small(self._folder / "index.json", Limit.PROJECT)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CannotCheck(f"{error.filename}: {error.strerror}", RESTORE) from error

    def _entries(self) -> list[tuple[object, dict[str, Any]]]:
        """The entries of the index in their order, each with its tag: a text, or whatever else is written there."""
        try:
            index = NO_INDEX if (content := self._index()) is None else content
            entries = load_json(index, "index.json")["manifests"]
            if not isinstance(entries, list):
                raise ValueError("'manifests' is not a list")
            for entry in entries:
                if not DIGEST.fullmatch(entry["digest"]) or not isinstance(entry.get("annotations", {}), dict):
                    raise ValueError(f"{entry['digest']!r} is not a sha256 digest")
        except (BadConfiguration, ValueError, KeyError, TypeError, AttributeError) as error:
            path = self._folder / "index.json"
            raise CannotCheck(f"{path}: not an OCI index: {str(error).removeprefix('index.json: ')}", RESTORE) from error
        return [(entry.get("annotations", {}).get(REF_NAME), entry) for entry in entries]

    def _index_with(self, tag: str, release: Release) -> bytes:
        entry = {**release.entry(), "annotations": {REF_NAME: tag}}
        entries = self._entries()
        tags = [name for name, _ in entries]
        at = tags.index(tag) if tag in tags else len(entries)  # a repair leaves everything where it was
        others = [other for name, other in entries if name != tag]
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*others[:at], entry, *others[at:]]}
        return json.dumps(index, separators=(",", ":")).encode()


def _document(path: Path) -> tuple[bytes | None, dict[str, Any]]:
    """The bytes of a small file, if it can be read, and the object that they are, or an empty one."""
    content, value = None, None
    with suppress(OSError, BadConfiguration):
        content = read_small(path, Limit.STATEMENT)
        value = load_json(content, path.name)
    return content, value if isinstance(value, dict) else {}


def _subject(manifest: Mapping[str, Any]) -> str | None:
    subject = manifest.get("subject")
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return digest if isinstance(digest, str) else None


def _entry_findings(subject: str, entry: Mapping[str, Any], content: bytes | None, manifest: Any) -> Iterator[Finding]:
    """Where an entry says other things than the manifest does; types that other programs leave out are none."""
    if content is None:
        yield Finding("missing", subject, "the manifest that the index names cannot be read")
        return
    named = [field for field in ("mediaType", "artifactType") if field in manifest and (field in entry or _subject(manifest))]
    wanted = {field: manifest[field] for field in named} | {"size": len(content), "digest": digest_of(content)}
    for field, value in wanted.items():
        if entry.get(field) != value:
            message = "the index says otherwise than the manifest that it names"
            yield Finding("mismatch", f"{subject}: {field}", message, str(value), str(entry.get(field)))
