"""A store in a folder: an OCI image layout, as skopeo and oras read it.

`oci-layout`, `index.json` (tag to manifest), `blobs/sha256/<hex>`; receipts stand in `receipts/<tag>.json`. Blobs are
written first, the index last and under a lock, each in one rename: a reader sees a whole release or none.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from aqea_registry.core.files import Advance, WrongBytes, copy_checked, hash_file, ignore, open_regular, write_bytes
from aqea_registry.core.findings import CannotCheck, Finding, Refused, TagConflict
from aqea_registry.core.release import (
    ARTIFACT_TYPE,
    EMPTY_CONFIG,
    LARGEST_MANIFEST,
    MANIFEST_TYPE,
    Descriptor,
    NotARelease,
    Release,
    digest_of,
    parse,
    receipt,
    tag_conflict,
)

REF_NAME = "org.opencontainers.image.ref.name"
MARKER = b'{"imageLayoutVersion":"1.0.0"}'
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


class Layout:
    """One OCI image layout. `spec` is its name, `oci:DIR`."""

    def __init__(self, spec: str, folder: Path) -> None:
        self.spec = spec
        self._folder = folder

    def resolve(self, tag: str) -> str | None:
        """The digest that a tag names, or None."""
        held = [entry["digest"] for entry in self._index() if entry.get("annotations", {}).get(REF_NAME) == tag]
        if len(set(held)) > 1:
            raise CannotCheck(f"{self.spec}: the tag {tag} stands in index.json more than once, with different digests")
        return str(held[0]) if held else None

    def release(self, digest: str) -> Release:
        """The release with this digest, its manifest checked against it. Raises Refused or CannotCheck."""
        path = self._blob(digest)
        try:
            with open_regular(path) as file:
                content = file.read(LARGEST_MANIFEST + 1) or b""
        except OSError as error:
            raise CannotCheck(f"{self.spec}: the manifest {digest} is not there: {error.strerror}") from error
        if digest_of(content) != digest:
            message = "the manifest's bytes are not those that its digest names"
            finding = Finding(
                code="mismatch", subject=f"{self.spec}@{digest}", expected=digest, actual=digest_of(content), message=message
            )
            raise Refused(f"{self.spec}: {message}", [finding])
        try:
            return parse(content)
        except NotARelease as error:
            finding = Finding(code="malformed", subject=f"{self.spec}@{digest}", message=str(error))
            raise Refused(f"{self.spec}: {digest} is not a release: {error}", [finding]) from error

    def check(self, release: Release, advance: Advance = ignore) -> list[Finding]:
        """Hash every blob of a release where it lies, and report what is not as its descriptor says."""
        findings = []
        for path, layer in [*sorted(release.files().items()), ("config", release.config)]:
            subject = f"{self.spec}: {path}"
            try:
                found = hash_file(self._blob(layer.digest), advance=advance)
            except OSError as error:
                code, why = ("missing", "is not there") if isinstance(error, FileNotFoundError) else ("unreadable", str(error))
                findings.append(Finding(code=code, subject=subject, expected=layer.digest, message=f"the blob {why}"))
                continue
            actual = f"sha256:{found.sha256}"
            if (actual, found.size) != (layer.digest, layer.size):
                findings.append(
                    Finding(
                        code="mismatch",
                        subject=subject,
                        expected=f"{layer.digest} ({layer.size} bytes)",
                        actual=f"{actual} ({found.size} bytes)",
                        message="the blob's bytes are not those that the release names",
                    )
                )
        return findings

    def missing(self, release: Release) -> list[Descriptor]:
        """The blobs that a push would have to write, the manifest's own among them."""
        content = release.render()
        manifest = Descriptor(media_type=MANIFEST_TYPE, digest=digest_of(content), size=len(content))
        blobs = {blob.digest: blob for blob in (*release.layers, release.config, manifest)}
        return [blob for digest, blob in sorted(blobs.items()) if not self._holds(blob)]

    def marked(self) -> bool:
        """Whether the folder says that it is an image layout; without that no program reads it."""
        path = self._folder / "oci-layout"
        return path.is_file() and path.read_bytes() == MARKER

    def push(self, release: Release, tag: str, read: Callable[[str], BinaryIO], advance: Advance = ignore) -> None:
        """Write a release under a tag and read it back; repeat a push that was cut off.

        `read` opens the bytes of a path of the release. Raises TagConflict if the tag names another release, Refused if
        the bytes read are not the release's.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self.refuse_conflict(tag, release)
            write_bytes(self._folder / "oci-layout", MARKER)
            paths = {layer.digest: path for path, layer in release.files().items()}
            own = {release.digest(): release.render(), release.config.digest: EMPTY_CONFIG}
            for blob in self.missing(release):
                if blob.digest in own:
                    write_bytes(self._blob(blob.digest), own[blob.digest])
                else:
                    self._copy_blob(blob, paths[blob.digest], read, advance)
            write_bytes(self._folder / "index.json", self._index_with(tag, release))
            findings = self.check(self.release(self.resolve(tag) or ""), advance)
        if findings:
            raise Refused(f"{self.spec} does not give back what was written: {findings[0].subject}", findings)

    def write_receipt(self, tag: str, release: Release) -> tuple[Path, bool]:
        """Write the receipt beside the release; return its path and whether it was not there before."""
        path = self._folder / "receipts" / f"{tag}.json"
        return path, write_bytes(path, (json.dumps(receipt(tag, self.spec, release), indent=2) + "\n").encode())

    def refuse_conflict(self, tag: str, release: Release) -> bool:
        """Whether the tag already names this release. Raises TagConflict if it names another one."""
        held = self.resolve(tag)
        if held is not None and held != release.digest():
            finding = tag_conflict(tag, self.spec, held, release.digest())
            raise TagConflict(
                f"{finding.subject} already names {held}; this content would be {release.digest()}. Nothing was changed.",
                "publish it under a new tag",
                [finding],
            )
        return held is not None

    def _copy_blob(self, layer: Descriptor, path: str, read: Callable[[str], BinaryIO], advance: Advance) -> None:
        target = self._blob(layer.digest)
        try:
            with read(path) as incoming:
                copy_checked(incoming, target, layer.digest.removeprefix("sha256:"), layer.size, advance)
        except WrongBytes as error:
            finding = Finding(
                code="mismatch",
                subject=path,
                expected=layer.digest,
                actual=error.actual,
                message="the file changed while it was published",
            )
            raise Refused(f"{path} changed while it was published; nothing was tagged", [finding]) from error

    def _holds(self, layer: Descriptor) -> bool:
        try:
            found = hash_file(self._blob(layer.digest))
        except OSError:
            return False
        return f"sha256:{found.sha256}" == layer.digest

    def _blob(self, digest: str) -> Path:
        return self._folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def _index(self) -> list[dict[str, Any]]:
        path = self._folder / "index.json"
        try:
            entries = json.loads(path.read_bytes())["manifests"]
            if not isinstance(entries, list):
                raise ValueError("'manifests' is not a list")
            for entry in entries:
                if not re.fullmatch(r"sha256:[0-9a-f]{64}", entry["digest"]) or not isinstance(
                    entry.get("annotations", {}), dict
                ):
                    raise ValueError(f"{entry['digest']!r} is not a sha256 digest")
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CannotCheck(f"{path}: not an OCI index: {error}", "restore the file, or move the folder away") from error
        return list(entries)

    def _index_with(self, tag: str, release: Release) -> bytes:
        entry = {
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "digest": release.digest(),
            "size": len(release.render()),
            "annotations": {REF_NAME: tag},
        }
        others = [other for other in self._index() if other.get("annotations", {}).get(REF_NAME) != tag]
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*others, entry]}
        return json.dumps(index, separators=(",", ":")).encode()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, on this machine; the lock goes with the process."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
