"""Files on disk: hashed in one pass, written all or not at all; and paths out of files, which never leave their root."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from io import BufferedReader, FileIO, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

if TYPE_CHECKING:
    from aqea_registry.base.findings import Finding

try:
    import fcntl
except ImportError:  # Windows: what only reads works there
    fcntl = None  # type: ignore[assignment]

# So much stays in a core's second-level cache: the copy out of the page cache then costs a seventh of the hashing.
BLOCK = 1 << 18
LARGEST_TEXT = 1 << 24  # bytes of a file that is looked into
# The machine's own refusals to write: no other source of the bytes would help.
NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS})

Advance = Callable[[int], None]
PathT = TypeVar("PathT", str, Path)
# Windows has neither O_NONBLOCK nor O_DIRECTORY, POSIX no O_BINARY.
_FILE, _FOLDER = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), getattr(os, "O_DIRECTORY", 0)


def ignore(_: int) -> None:
    """Take progress and do nothing with it."""


class FileDigest(NamedTuple):
    """What one pass over a file's bytes found: hex digests and the number of bytes that were hashed."""

    sha256: str
    size: int
    md5: str | None = None


def open_regular(path: Path) -> FileIO:
    """Open a regular file for reading, unbuffered. A pipe, a device or a folder raises OSError and is not waited for."""
    return FileIO(path, "rb", opener=_open_regular)


def _open_regular(path: str | Path, flags: int = os.O_RDONLY) -> int:
    descriptor = os.open(path, flags | _FILE)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


class TooLarge(OSError):
    """A file that is larger than it may be."""


class Limit(IntEnum):
    """How many bytes of a document are read whole at most, by its kind."""

    SETTINGS = 1 << 20  # docker's configuration, CITATION.cff, what this program noted for itself
    STATEMENT = 4 << 20  # statements, manifests of releases, what is attached to them
    DOCUMENT = 16 << 20  # ledgers, papers, metrics, files that a claim quotes
    PROJECT = 64 << 20  # params.yaml, dvc.lock, pins, receipts, index.json
    LIST = 1 << 30  # digests of ten million files


def read_small(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises OSError; of more than `limit` bytes TooLarge, before any is read."""
    with BufferedReader(open_regular(path)) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) if size <= limit else b""
    if max(size, len(content)) > limit:
        raise TooLarge(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
    return content


def wrong_content(path: Path, name: str, subject: str | None = None) -> Finding | None:
    """The finding for a file on disk that is not what its name says; of one that cannot be read nothing is said here."""
    from aqea_registry.base.recognise import HEAD, LARGEST_HEADER, content_finding  # msgspec is not loaded at the start

    with suppress(OSError), open_regular(path) as file:
        head = file.read(HEAD) or b""
        rest = min(int.from_bytes(head[:8], "little"), LARGEST_HEADER) if name.endswith(".safetensors") else 0
        return content_finding(head + (file.read(rest) or b""), name, subject, os.fstat(file.fileno()).st_size)
    return None


def holds(path: Path, content: bytes) -> bool:
    """Whether this is a regular file of these bytes."""
    with suppress(OSError):
        return read_small(path, len(content)) == content
    return False


def read_stream(incoming: RawIOBase | BinaryIO, limit: int) -> bytes:
    """The bytes that somebody sends; of more than `limit` one more, which shows it."""
    content = bytearray()
    while len(content) <= limit and (block := incoming.read(min(BLOCK, limit + 1 - len(content)))):
        content += block
    return bytes(content)


def hash_file(*paths: str | Path, md5: bool = False, advance: Advance = ignore) -> FileDigest:
    """Hash a regular file, or several as one. Raises OSError; a pipe or a device is refused before anything is read."""
    sha256, size = hashlib.sha256(), 0
    also = hashlib.md5(usedforsecurity=False) if md5 else None
    for path in paths:
        descriptor = _open_regular(path)  # not a file object: of a small file, that would take half of the time
        try:
            while block := os.read(descriptor, BLOCK):
                sha256.update(block)
                if also is not None:
                    also.update(block)
                size += len(block)
                advance(len(block))
        finally:
            os.close(descriptor)
    return FileDigest(sha256.hexdigest(), size, also.hexdigest() if also else None)


def hash_files(
    paths: Iterable[PathT], *, md5: frozenset[PathT] = frozenset(), advance: Advance = ignore
) -> dict[PathT, FileDigest | OSError]:
    """Hash many files on all cores, the largest first. A file that cannot be read maps to its OSError; sizes may be given."""
    sizes = paths if isinstance(paths, Mapping) else {path: size_of(path) for path in paths}
    waiting = iter(sorted(sizes, key=lambda path: max(sizes[path], BLOCK), reverse=True))  # small files in their own order
    hashed: dict[PathT, FileDigest | OSError] = {}

    def work(_: int = 0) -> None:
        for path in waiting:  # all threads take from it: a task for each small file would cost more than the file
            try:
                hashed[path] = hash_file(path, md5=path in md5, advance=advance)
            except OSError as error:
                hashed[path] = error.with_traceback(None)  # or it keeps a frame alive

    if len(sizes) < 2 or sum(sizes.values()) <= BLOCK:
        work()
        return hashed
    from concurrent.futures import ThreadPoolExecutor

    workers = min(len(sizes), os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        try:
            list(pool.map(work, range(workers)))
        finally:
            list(waiting)  # after an interrupt nothing more is begun
    return hashed


def why_other(path: str | Path, digest: FileDigest, wanted: str) -> str:
    """What proves why a file has other bytes than those of the `wanted` digest, as the end of a sentence; or nothing."""
    from aqea_registry.base import recognise

    content, actual = b"", (digest.md5 or "") if len(wanted) == 32 else digest.sha256
    with suppress(OSError):  # a larger one is an OSError, too
        content = read_small(Path(path), LARGEST_TEXT)
    why = recognise.why_other(content, (actual, digest.size), wanted, str(path))
    return f": {why}" if why else ""


def size_of(path: str | Path) -> int:
    """The file's size in bytes, 0 if it cannot be asked: for progress and order, never for a decision."""
    with suppress(OSError):
        return Path(path).stat().st_size
    return 0


PART = re.compile(r"\.(.+)\.[0-9]+-[0-9a-f]+\.part")  # a file that `atomic_write` has not finished


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Write a file so that a reader, a crash or a full disk sees the old bytes or the new ones, never a part.

    The bytes go to `.NAME.PID-RANDOM.part`, locked, which takes the name in one rename. What is not `durable` is not synced.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(left_in(path.parent.absolute()).pop(path.name, []))
    part = path
    try:
        part, file = _new_part(path)
        with file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            os.replace(part, path)
    except BaseException as error:
        if part != path:
            part.unlink(missing_ok=True)
        if isinstance(error, OSError) and (not error.filename or PART.fullmatch(Path(error.filename).name)):
            error.filename, error.filename2 = str(path), None  # a full disk names no file, and nobody knows a part
        raise
    if durable and os.name != "nt":  # a folder cannot be opened there
        with _opened(path.parent) as descriptor:
            os.fsync(descriptor)


def _new_part(path: Path) -> tuple[Path, BinaryIO]:
    """A file beside the target, locked; once more if it was swept before it had its lock."""
    while True:
        part = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(8).hex()}.part")
        file = part.open("xb")
        with suppress(OSError):  # a file system without locks: nothing is swept there
            lock(file.fileno())
        if os.fstat(file.fileno()).st_nlink:
            return part, file
        file.close()


def user_cache() -> Path:
    """The folder for what this program keeps on this machine for its user, apart from every checkout; perhaps not there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "aqea-registry").expanduser()


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """One writer at a time in a folder, on this machine; the lock goes with the process. The folder must be there."""
    with _opened(folder) as descriptor:
        lock(descriptor, wait=wait)
        yield


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, wait: bool = True) -> None:
    """Lock an open file or folder until it is closed. Raises BlockingIOError if another process has it and `wait` is False."""
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system cannot lock files as POSIX systems do; on Windows: use WSL")
    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def hash_stream(
    incoming: RawIOBase | BinaryIO, limit: int, advance: Advance = ignore, outgoing: BinaryIO | None = None
) -> FileDigest:
    """Hash what somebody sends, and copy it; of more than `limit` bytes no more is read than shows that it is too much."""
    digest, size = hashlib.sha256(), 0
    while size <= limit and (block := incoming.read(BLOCK)):
        digest.update(block)
        size += len(block)
        if outgoing is not None:
            outgoing.write(block)
        advance(len(block))
    return FileDigest(digest.hexdigest(), size)


class WrongBytes(Exception):
    """The bytes copied are not the ones asked for; `actual` says which they are."""

    def __init__(self, sha256: str | None, size: int) -> None:
        self.actual = f"{sha256} ({size} bytes)" if sha256 else f"more than {size} bytes"
        super().__init__(self.actual)


def copy_checked(incoming: RawIOBase | BinaryIO, target: Path, sha256: str, size: int, advance: Advance = ignore) -> None:
    """Copy to a file that takes its name only if the bytes are the wanted ones. Raises WrongBytes, and OSError.

    It is not synced: whoever meets it later hashes it before it counts.
    """
    with atomic_write(target, durable=False) as outgoing:
        copied = hash_stream(incoming, size, advance, outgoing)
        if copied.size > size:
            raise WrongBytes(None, size)
        if copied != FileDigest(sha256, size):
            raise WrongBytes(copied.sha256, copied.size)


def write_bytes(path: Path, content: bytes) -> bool:
    """Write `content` atomically; return False and leave the file alone if it holds these bytes already."""
    if holds(path, content):
        return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def sweep(folder: Path) -> None:
    """Remove the parts in a folder that nobody writes any more; process ids do not say that, containers have own."""
    for parts in _parts(folder).values():
        _remove(parts)


def _parts(folder: Path) -> dict[str, list[Path]]:
    """The parts in a folder, by the names of their targets."""
    parts: dict[str, list[Path]] = {}
    for path in folder.glob(".*.part"):
        if match := PART.fullmatch(path.name):
            parts.setdefault(match[1], []).append(path)
    return parts


left_in = functools.cache(_parts)  # as each folder was when the process first wrote into it: many files in one are usual


def _remove(parts: Iterable[Path]) -> None:
    for part in parts:
        with suppress(OSError), open_regular(part) as file:
            lock(file.fileno(), wait=False)
            part.unlink()


_CONTROL = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")


class UnsafePath(ValueError):
    """A path that must not be followed; the message is the reason."""


def safe_path(text: str) -> str:
    """Return `text` if it is a relative POSIX path in its one spelling, that no system reads otherwise. Raises UnsafePath."""
    if not text:
        raise UnsafePath("the path is empty")
    if not text.isprintable() and (match := _CONTROL.search(text)):
        reason = "is not UTF-8" if match[0] >= "\ud800" else "holds a control character"
        raise UnsafePath(f"the path {'holds a NUL byte' if chr(0) in text else reason}")
    if "\\" in text:
        raise UnsafePath("the path holds a backslash")
    if text[0] == "/":
        raise UnsafePath("the path is absolute")
    if text[1:2] == ":" and text[0].isalpha():
        raise UnsafePath("the path starts with a drive letter")
    framed = f"/{text}/"
    if "/../" in framed:
        raise UnsafePath("the path climbs out with '..'")
    if "//" in framed or "/./" in framed:
        raise UnsafePath("the path has empty or '.' components")
    return text


def inside(root: Path, relative: str) -> Path:
    """Join a checked relative path to `root`; raise UnsafePath if a symbolic link on the way leaves `root`."""
    _, _, errors = locate(root, [relative])
    if isinstance(error := errors.get(relative), UnsafePath):
        raise error
    return root / relative


def locate(root: Path, relatives: Iterable[str]) -> tuple[dict[str, str], dict[str, int], dict[str, OSError | UnsafePath]]:
    """Join relative paths to a root: each as joined, the sizes of those in bytes, and why others cannot be read or followed."""
    start, real_root = os.path.join(root, ""), os.path.realpath(root)
    above = Path(real_root).parent
    within = [real_root, *([str(above.parent / "blobs")] if above.name == "snapshots" else [])]  # where a Hub cache links to

    @functools.cache
    def obstacle(relative: str) -> OSError | UnsafePath | None:
        """Why nothing at this path or below it can be read, if so."""
        path = start + relative
        if not any(os.path.commonpath([root, os.path.realpath(path)]) == root for root in within):
            return UnsafePath("a symbolic link leads out of the root")
        try:
            Path(path).stat()
        except OSError as error:
            return error.with_traceback(None)
        return None

    shared: dict[tuple[object, ...], OSError | UnsafePath] = {}  # a million absent files have one error
    absent = dict[str, OSError]()  # of a folder's first absent file: asking for others is three times as fast without one each
    paths, sizes, errors = dict[str, str](), dict[str, int](), dict[str, OSError | UnsafePath]()
    for relative in relatives:
        path, folder = start + relative, ""
        try:
            folder, _, name = safe_path(relative).rpartition("/")
            short = len(name) < 64 and len(path) < 1000  # so no system answers that it is too long
            if short and folder in absent and not os.access(path, os.F_OK, follow_symlinks=False):
                errors[relative] = absent[folder]
                continue
            error = obstacle(folder)
            status = None if error else os.lstat(path)
            if status and stat.S_ISLNK(status.st_mode):
                error = obstacle(relative)
                status = None if error else Path(path).stat()
        except (OSError, UnsafePath) as raised:
            error = shared.get(raised.args) or shared.setdefault(raised.args, type(raised)(*raised.args))
            status = None
            if isinstance(error, FileNotFoundError) and os.access in os.supports_follow_symlinks:
                absent[folder] = error
        if status:
            paths[relative], sizes[path] = path, status.st_size
        elif error:
            errors[relative] = error
    return paths, sizes, errors
