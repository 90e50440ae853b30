"""A store and a source that are in memory: the ports, implemented without a server or a disk."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from aqea_registry.base.files import Advance, WrongBytes
from aqea_registry.base.findings import Refused
from aqea_registry.stores.attachments import check_document
from aqea_registry.stores.port import (
    Content,
    Plan,
    Tagged,
    other_document,
    parsed,
    readable,
    same_release,
    unchanged,
)
from aqea_registry.stores.release import EMPTY_CONFIG, Descriptor, Release, StoredFile, digest_of


class MemoryStore:
    """A store whose blobs, tags and attachments are values. `sent` counts the bytes that came in."""

    def __init__(self, spec: str = "memory:store") -> None:
        self.spec = spec
        self.blobs: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self.documents: dict[str, dict[str, bytes]] = {}
        self.sent = 0
        self._lock = threading.RLock()

    def tags(self) -> list[str]:
        return sorted(self.names)

    def find(self, tag: str) -> Tagged | None:
        digest = self.names.get(tag)
        if digest is None:
            return None
        parsed(f"{self.spec}@{digest}", self.blobs[digest])
        return Tagged(tag=tag, digest=digest, at=digest)

    def release(self, tagged: Tagged) -> Release:
        return parsed(f"{self.spec}@{tagged.digest}", self.blobs[tagged.digest])

    def plan(self, tag: str, release: Release) -> Plan:
        existing, new = same_release(self, tag, release), tuple(self._missing(release))
        return Plan(existing=existing, new=new, complete=not new and existing is not None)

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        with self._lock:
            same_release(self, tag, release)
            own = {release.digest(): release.render(), release.config.digest: EMPTY_CONFIG}
            paths = {layer.digest: path for path, layer in release.files().items()}
            for blob in self._missing(release):
                if blob.digest in own:
                    self._put(blob, own[blob.digest])
                    continue
                given = content(paths[blob.digest])
                with readable(paths[blob.digest]), unchanged(paths[blob.digest], blob.digest):
                    self._put(blob, given if isinstance(given, bytes) else given.read_bytes())
                advance(blob.size)
            self.names[tag] = release.digest()
        return {"manifest": release.digest()}

    def ids(self, tagged: Tagged, release: Release) -> dict[str, object]:
        return {"manifest": tagged.digest}

    def stored(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterator[StoredFile]:
        for path, layer in sorted(release.files().items()):
            content = self.blobs.get(layer.digest)
            if content is None:
                yield StoredFile(path=path, how="not there")
            else:
                yield StoredFile(path=path, how="hashed", digest=digest_of(content), size=len(content))
                advance(len(content))

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        if layer.digest not in self.blobs:
            raise Refused.of("missing", f"{self.spec}: {path}", "there is no such file", layer.digest)
        return io.BytesIO(self.blobs[layer.digest][offset:])

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        check_document(name, content)
        with self._lock:
            kept = self.documents.setdefault(tagged.digest, {})
            if kept.get(name, content) != content:
                raise other_document(f"{self.spec}@{tagged.digest}: {name}", content, kept[name])
            self.sent += 0 if name in kept else len(content)
            kept[name] = content

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        return dict(self.documents.get(tagged.digest, {}))

    def _missing(self, release: Release) -> list[Descriptor]:
        return [blob for blob in (*release.blobs(), release.descriptor()) if blob.digest not in self.blobs]

    def _put(self, blob: Descriptor, content: bytes) -> None:
        if digest_of(content) != blob.digest:
            raise WrongBytes(hashlib.sha256(content).hexdigest(), len(content))
        self.blobs[blob.digest] = content
        self.sent += len(content)


class MemorySource:
    """A source whose files are values; none of them is on this machine's disk."""

    def __init__(self, files: Mapping[str, bytes], spec: str = "memory:source") -> None:
        self.spec = spec
        self.hint = "fill it"
        self.files = dict(files)

    def present(self) -> bool:
        return True

    def paths(self) -> list[str]:
        return sorted(self.files)

    def open(self, path: str, limit: int) -> io.RawIOBase:
        if path not in self.files:
            raise FileNotFoundError(path)
        return _Reader(self.files[path])

    def local(self, path: str) -> Path | None:
        return None


class _Reader(io.RawIOBase):
    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        return self._content.readinto(buffer)
