"""Content on disk, found by its sha256, and the ids that git and LFS give to it."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
LFS_SUFFIXES = (".safetensors", ".bin", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a tree, as the Hub describes it."""

    oid: str  # the git blob id; for a file in LFS, that of its pointer
    size: int
    sha256: str
    lfs: bool

    @property
    def etag(self) -> str:
        """What a cache names the file: the sha256 of a file in LFS, the git blob id of any other."""
        return self.sha256 if self.lfs else self.oid

    @property
    def pointer_size(self) -> int:
        return len(pointer(self.sha256, self.size))


def git_id(kind: str, data: bytes) -> str:
    """The id that git gives to an object of this kind: blob, tree or commit."""
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The small file that stands in git for a file in LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_entry(sha256: str, size: int) -> Entry:
    return Entry(oid=git_id("blob", pointer(sha256, size)), size=size, sha256=sha256, lfs=True)


def is_lfs(path: str, size: int, limit: int) -> bool:
    """Which files go into LFS. Never an empty one: the clients send those as ordinary files."""
    return size > 0 and (size >= limit or path.endswith(LFS_SUFFIXES))


def parents(path: str) -> Iterable[str]:
    """The folders above a path, nearest first, ending with "" for the root."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def tree_ids(tree: Mapping[str, Entry]) -> dict[str, str]:
    """The git tree id of every folder; the root is ""."""
    rows: dict[str, list[tuple[str, str, str]]] = {"": []}  # folder -> (sorting key, mode and name, id)
    for path, entry in tree.items():
        for folder in parents(path):
            rows.setdefault(folder, [])
        folder, _, name = path.rpartition("/")
        rows[folder].append((name, f"100644 {name}", entry.oid))
    ids: dict[str, str] = {}
    for folder in sorted(rows, key=lambda path: path.count("/") + 1 if path else 0, reverse=True):
        # Git sorts a folder as if its name ended in a slash.
        data = b"".join(f"{row}\0".encode() + bytes.fromhex(oid) for _, row, oid in sorted(rows[folder]))
        ids[folder] = git_id("tree", data)
        if folder:
            above, _, name = folder.rpartition("/")
            rows[above].append((f"{name}/", f"40000 {name}", ids[folder]))
    return ids


class Blobs:
    """A folder of immutable files named by their sha256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.has(sha256):
            # Readers must never see half a file.
            handle, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "wb") as file:
                for start in range(0, len(data), MIB):
                    if (block := data[start : start + MIB]).strip(b"\0"):  # or it takes no room
                        file.seek(start)
                        file.write(block)
                file.truncate(len(data))
            Path(name).replace(self._path(sha256))
        return sha256

    def add_file(self, path: str, data: bytes, limit: int) -> Entry:
        """Keep a file's content and describe it."""
        sha256 = self.add(data)
        if is_lfs(path, len(data), limit):
            return lfs_entry(sha256, len(data))
        return Entry(oid=git_id("blob", data), size=len(data), sha256=sha256, lfs=False)

    def has(self, sha256: str) -> bool:
        return self._path(sha256).is_file()

    def size(self, sha256: str) -> int:
        return self._path(sha256).stat().st_size

    def view(self, sha256: str) -> memoryview:
        """The content without reading all of it: weights may be large."""
        with self._path(sha256).open("rb") as file:
            if not self.size(sha256):
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256
