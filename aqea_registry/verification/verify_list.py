"""Check files against a list of digests from anybody, with nothing of a project: only the core is loaded.

The pass over bytes that every verification makes: find the files, hash each once, say what differs from what is listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from aqea_registry.base.files import FileDigest, UnsafePath, hash_files, inside, size_of
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.base.sha256_list import MANIFEST, SIZES, parse, untracked

if TYPE_CHECKING:
    from aqea_registry.stores.release import StoredFile
    from aqea_registry.vectors.examine import Examined

LARGEST_LIST = 1 << 30
LIST_NAMES = ("MANIFEST.sha256", MANIFEST, "SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt", "sha256sum.txt", "checksums.txt")


def verify_folder(folder: Path, report: Reporter) -> Verification:
    """Check a folder against the list of digests in it; a file that the list does not name is a finding."""
    name = next((name for name in LIST_NAMES if (folder / name).is_file()), None)
    if name is None:
        raise BadConfiguration(
            f"{folder} has no list of digests ({', '.join(LIST_NAMES)})", "name the list: aqea-registry verify LIST --root DIR"
        )
    checked = verify_list(folder / name, folder, report)
    beside = {name, SIZES, "README.md"} if name == MANIFEST else {name, "README.md"}
    extra = untracked(present(folder, ("",)), checked.digests, beside | {finding.subject for finding in checked.findings})
    return msgspec.structs.replace(checked, target=str(folder), findings=(*checked.findings, *extra))


def verify_list(path: Path, root: Path, report: Reporter) -> Verification:
    """Check files below `root` against a list of anybody's in sha256sum's formats. Raises CannotCheck."""
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise CannotCheck(f"{path} has over {LARGEST_LIST} bytes; that is no list of digests")
        content = path.read_bytes()
    except OSError as error:
        raise CannotCheck(f"{path} cannot be read: {error.strerror}") from error
    listed, findings = parse(content, path.name)
    places, unsafe = places_of(root, listed)
    digests, by_place = hash_places(places, report)
    findings += [*unsafe, *read_errors(places, by_place), *digest_findings(listed, digests)]
    return Verification(
        target=str(path),
        files=len(digests),
        bytes=sum(found.size for found in digests.values()),
        findings=tuple(findings),
        digests=digests,
    )


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked, and everything that was found wrong. `pair_sets` are the good ones, by name."""

    target: str
    files: int
    bytes: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    digests: dict[str, FileDigest] = {}
    pair_sets: dict[str, Examined] = {}
    held: dict[str, tuple[StoredFile, ...]] = {}  # by STORE-REF


def places_of(root: Path, paths: Iterable[str]) -> tuple[dict[str, Path], list[Finding]]:
    """Where the paths of a list lie below a root, and a finding for each that would lead out of it."""
    places, findings = {}, []
    for path in sorted(paths):
        try:
            places[path] = inside(root, path)
        except UnsafePath as error:
            findings.append(Finding(code="unsafe-path", subject=path, message=f"{error}; not followed"))
    return places, findings


def hash_places(
    places: Mapping[str, Path], report: Reporter, others: Iterable[Path] = (), md5: frozenset[str] = frozenset()
) -> tuple[dict[str, FileDigest], dict[Path, FileDigest | OSError]]:
    """One pass over all bytes: sha256 of everything, and md5 as well of what dvc.lock knows."""
    everything = [*places.values(), *others]
    total = sum(map(size_of, everything))
    with report.task("hash", total, "bytes") as advance:
        by_place = hash_files(everything, md5=frozenset(places[path] for path in md5 if path in places), advance=advance)
    digests = {path: found for path, place in places.items() if isinstance(found := by_place[place], FileDigest)}
    return digests, by_place


def read_errors(places: Mapping[str, Path], by_place: Mapping[Path, FileDigest | OSError]) -> Iterator[Finding]:
    """What could not be read, and why."""
    for path, place in places.items():
        found = by_place[place]
        if isinstance(found, FileNotFoundError | NotADirectoryError):
            yield Finding(code="missing", subject=path, message="the file is not there")
        elif isinstance(found, OSError):
            yield Finding(code="unreadable", subject=path, message=f"cannot be read: {found.strerror or found}")


def digest_findings(listed: Mapping[str, str], digests: Mapping[str, FileDigest]) -> Iterator[Finding]:
    """What has other bytes than the list names."""
    for path, sha256 in sorted(listed.items()):
        found = digests.get(path)
        if found is not None and found.sha256 != sha256:
            message = "the bytes are not those that the list names"
            yield Finding(code="mismatch", subject=path, expected=sha256, actual=found.sha256, message=message)


def present(root: Path, folders: Iterable[str]) -> Iterator[str]:
    """Every file in these folders, but for hidden ones."""
    for folder in folders:
        for at, below, names in os.walk(root / folder):
            below[:] = [name for name in below if not name.startswith(".")]
            links = [name for name in below if Path(at, name).is_symlink()]  # not walked into
            yield from (Path(at, name).relative_to(root).as_posix() for name in (*names, *links) if not name.startswith("."))
