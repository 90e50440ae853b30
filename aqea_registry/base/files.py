"""Files on disk: hashed in one pass, written all or not at all. The one module of the core that touches the disk.

Paths that come out of files: relative, POSIX, and never outside their root.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedReader, FileIO, RawIOBase
from pathlib import Path
from typing import BinaryIO, NamedTuple

# One mebibyte stays in a core's second-level cache: the copy out of the page cache costs about a tenth of the hashing.
BLOCK = 1 << 20
# The machine's own refusals to write: no other source of the bytes would help.
NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS})


Advance = Callable[[int], None]


def ignore(_: int) -> None:
    """Take progress and do nothing with it."""


class FileDigest(NamedTuple):
    """What one pass over a file's bytes found: hex digests and the number of bytes that were hashed."""

    sha256: str
    size: int
    md5: str | None = None


def open_regular(path: Path) -> FileIO:
    """Open a regular file for reading, unbuffered. A pipe, a device or a folder raises OSError and is not waited for."""
    file = FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", str(path))


class TooLarge(OSError):
    """A file that is larger than it may be."""


def read_small(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises TooLarge for more than `limit` bytes (whole MiB), and OSError."""
    with BufferedReader(open_regular(path)) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
    return content


def hash_file(path: Path, *, md5: bool = False, advance: Advance = ignore) -> FileDigest:
    """Hash a regular file. Raises OSError; a pipe or a device is refused before anything is read."""
    sha256 = hashlib.sha256()
    also = hashlib.md5(usedforsecurity=False) if md5 else None
    size = 0
    with open_regular(path) as file:
        block = bytearray(min(BLOCK, os.fstat(file.fileno()).st_size + 1))
        view = memoryview(block)
        while count := file.readinto(block):
            sha256.update(view[:count])
            if also is not None:
                also.update(view[:count])
            size += count
            advance(count)
    return FileDigest(sha256.hexdigest(), size, also.hexdigest() if also else None)


def hash_files(
    paths: Iterable[Path], *, md5: frozenset[Path] = frozenset(), advance: Advance = ignore
) -> dict[Path, FileDigest | OSError]:
    """Hash many files on all cores, the largest first. A file that cannot be read maps to its OSError."""

    def one(path: Path) -> FileDigest | OSError:
        try:
            return hash_file(path, md5=path in md5, advance=advance)
        except OSError as error:
            return error

    ordered = sorted(set(paths), key=size_of, reverse=True)
    if len(ordered) < 2:
        return {path: one(path) for path in ordered}
    with ThreadPoolExecutor(min(len(ordered), os.cpu_count() or 1)) as pool:
        return dict(zip(ordered, pool.map(one, ordered), strict=True))


def size_of(path: Path) -> int:
    """The file's size in bytes, 0 if it cannot be asked: for progress and order, never for a decision."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Write a file so that a reader, a crash or a full disk sees the old bytes or the new ones, never a part.

    The bytes go to `.NAME.PID-RANDOM.part` beside the target, are synced, and take the name in one rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say which file it could not take
        raise
    _sync_folder(path.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time in a folder, on this machine; the lock goes with the process. The folder must be there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def hash_stream(incoming: RawIOBase | BinaryIO, limit: int, advance: Advance = ignore) -> FileDigest:
    """Hash what somebody sends; of more than `limit` bytes no more is read than shows that it is too much."""
    digest, size = hashlib.sha256(), 0
    while size <= limit and (block := incoming.read(BLOCK)):
        digest.update(block)
        size += len(block)
        advance(len(block))
    return FileDigest(digest.hexdigest(), size)


class WrongBytes(Exception):
    """The bytes copied are not the ones asked for; `actual` says which they are."""

    def __init__(self, sha256: str | None, size: int) -> None:
        self.actual = f"{sha256} ({size} bytes)" if sha256 else f"more than {size} bytes"
        super().__init__(self.actual)


def copy_checked(incoming: RawIOBase | BinaryIO, target: Path, sha256: str, size: int, advance: Advance = ignore) -> None:
    """Copy to a file that takes its name only if the bytes are the wanted ones; too many are not read.

    `sha256` is hex, `size` in bytes. Raises WrongBytes, and OSError.
    """
    digest, count = hashlib.sha256(), 0
    with atomic_write(target) as outgoing:
        while block := incoming.read(BLOCK):
            digest.update(block)
            count += len(block)
            if count > size:
                raise WrongBytes(None, size)
            outgoing.write(block)
            advance(len(block))
        if count != size or digest.hexdigest() != sha256:
            raise WrongBytes(digest.hexdigest(), count)


def write_bytes(path: Path, content: bytes) -> bool:
    """Write `content` atomically; return False and leave the file alone if it holds these bytes already."""
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def _sweep(path: Path) -> None:
    """Remove parts of this target that a killed process left behind."""
    for part in path.parent.glob(f".{_glob_literal(path.name)}.*-*.part"):
        pid = part.name.removesuffix(".part").rpartition(".")[2].partition("-")[0]
        if pid.isdecimal() and pid.isascii() and not _alive(int(pid)):
            part.unlink(missing_ok=True)


def _glob_literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class UnsafePath(ValueError):
    """A path that must not be followed; the message is the reason."""


def safe_path(text: str) -> str:
    """Return `text` if it is a plain relative POSIX path, in its one spelling.

    Raises UnsafePath for absolute paths, `..`, `.`, empty components, backslashes, drive letters and control characters.
    """
    if not text:
        raise UnsafePath("the path is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnsafePath("the path is not UTF-8") from error
    if "\0" in text:
        raise UnsafePath("the path holds a NUL byte")
    if "\\" in text:
        raise UnsafePath("the path holds a backslash")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise UnsafePath("the path holds a control character")
    if text.startswith("/"):
        raise UnsafePath("the path is absolute")
    if len(text) > 1 and text[1] == ":" and text[0].isalpha():
        raise UnsafePath("the path starts with a drive letter")
    if ".." in text.split("/"):
        raise UnsafePath("the path climbs out with '..'")
    if any(part in {"", "."} for part in text.split("/")):
        raise UnsafePath("the path has empty or '.' components")
    return text


def inside(root: Path, relative: str) -> Path:
    """Join a checked relative path to `root`; raise UnsafePath if a symbolic link on the way leaves `root`."""
    path = root / safe_path(relative)
    real_root = os.path.realpath(root)
    if os.path.commonpath([real_root, os.path.realpath(path)]) != real_root:
        raise UnsafePath("a symbolic link leads out of the root")
    return path
