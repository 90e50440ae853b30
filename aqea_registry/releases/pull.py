"""Restore a release from a store: each file is checked before it gets its name, and none is written outside the folder."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from aqea_registry.base.files import Advance, UnsafePath, hash_file, hash_stream, inside, locked, why_other
from aqea_registry.base.findings import CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.references import is_folder, join_reference
from aqea_registry.remote.retry import CONNECTIONS, at_once
from aqea_registry.stores.attachments import current
from aqea_registry.stores.open_store import find
from aqea_registry.stores.port import Held, Tagged
from aqea_registry.stores.release import Descriptor

INCOMING = ".aqea-incoming"


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored where. `fetched` files were sent now, in so many `bytes`; the others were there already."""

    reference: str
    digest: str
    folder: str
    files: int
    fetched: int
    bytes: int
    status: str | None = None


def pull(
    store: Held,
    tag: str,
    folder: Path,
    report: Reporter,
    *,
    digest: str | None = None,
    force: bool = False,
    places: Mapping[str, str] | None = None,
) -> Pulled:
    """Restore the release that a tag names into a folder; a pull that was interrupted is repeated and continues.

    With `places`, these of its files alone, each to the path below the folder that is given for it.

    Raises CannotCheck, and Refused for unsafe paths, for files in the way (unless `force`) and for other bytes than its own.
    """
    tagged = find(store, tag, digest)
    release = store.release(tagged)
    reference = join_reference(store.spec, tag)
    files = {path: layer for path, layer in release.files().items() if places is None or path in places}
    paths = _paths(folder, {path: path for path in files} if places is None else places)
    wanted = _wanted(files, paths, reference, force)
    check_room(folder, sum(layer.size for layer in wanted.values()), "make room, or pull elsewhere")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder) as incoming:
        wanted = _wanted(wanted, paths, reference, force)  # another pull may have brought them while this one waited
        with report.task(f"pull {reference}", sum(layer.size for layer in wanted.values()), "bytes") as advance:
            sent = _fetch_all(store, tagged, wanted, incoming, paths, advance)
    mark = current(store.attachments(tagged), tagged.digest)
    return Pulled(
        reference=join_reference(store.spec, tagged.tag, tagged.digest),
        digest=tagged.digest,
        folder=str(folder),
        files=len(files),
        fetched=len(wanted),
        bytes=sent,
        status=mark.text() if mark else None,
    )


def check_room(folder: Path, needed: int, hint: str, what: str = "the release") -> None:
    """Raise CannotCheck if the disk has not so many free bytes where a folder is or will be."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if (free := shutil.disk_usage(there).free) < needed:
        raise CannotCheck(f"{folder}: {what} needs {needed} bytes and the disk has {free}", hint)


def _paths(folder: Path, places: Mapping[str, str]) -> dict[str, Path]:
    """Where the files go. Raises Refused for a path that leads out of the folder."""
    paths = {}
    for path, place in places.items():
        try:
            paths[path] = inside(folder, place)
        except UnsafePath as error:
            raise Refused.of("unsafe-path", path, f"{error}; nothing was written", hint="pull into an empty folder") from error
    return paths


def _wanted(files: Mapping[str, Descriptor], paths: dict[str, Path], reference: str, force: bool) -> dict[str, Descriptor]:
    """Those of the files that are not in the folder yet. Raises Refused if different files exist there."""
    wanted, findings = dict[str, Descriptor](), list[Finding]()
    for path, layer in sorted(files.items()):
        target = paths[path]
        if not os.path.lexists(target):
            wanted[path] = layer
            continue
        found = None
        try:
            found = hash_file(target)
            actual = f"sha256:{found.sha256}" if not target.is_symlink() else "a symbolic link"
        except OSError as error:
            actual = f"no file: {error.strerror}"
        if actual != layer.digest:
            wanted[path] = layer
            why = why_other(target, found, layer.digest.removeprefix("sha256:")) if found else ""
            message = f"a different file exists at this path{why}"
            findings.append(Finding("conflict", str(target), message, layer.digest, actual))
    if findings and not force:
        message = f"{plural(len(findings), 'file differs', 'files differ')} from those of {reference}; nothing was written"
        raise Refused(message, findings, "name an empty folder, or replace them with: aqea-registry pull ... --force")
    return wanted


def _fetch_all(
    store: Held, tagged: Tagged, wanted: Mapping[str, Descriptor], incoming: Path, paths: Mapping[str, Path], advance: Advance
) -> int:
    """Bring the files, from a server several at once; the first failure stops the others. Returns the bytes that were sent."""
    same: dict[str, list[str]] = {}  # files of the same bytes have one part, so they come one after another
    for path, layer in wanted.items():
        same.setdefault(layer.digest, []).append(path)

    def fetch(group: list[str], moved: Advance) -> int:
        return sum(_fetch(store, tagged, path, wanted[path], incoming, paths[path], moved) for path in group)

    # A disk gains nothing from several, and what is there after a failure is the same each time.
    return sum(at_once(fetch, same.values(), advance, 1 if is_folder(store.spec) else CONNECTIONS))


def _fetch(store: Held, tagged: Tagged, path: str, layer: Descriptor, incoming: Path, target: Path, advance: Advance) -> int:
    """Bring one file, from where the last pull stopped, and give it its name. Returns the bytes that were sent."""
    part = incoming / layer.digest.removeprefix("sha256:")
    held = part.stat().st_size if part.exists() else 0
    if held > layer.size:
        part.unlink()
        held = 0
    advance(held)
    found = None
    if held < layer.size or not part.exists():
        with store.open(tagged, path, layer, held) as source, part.open("ab") as file:
            found = hash_stream(source, layer.size - held, advance, file)
    if found is None or held:
        found = hash_file(part)
    if (f"sha256:{found.sha256}", found.size) != (layer.digest, layer.size):
        part.unlink()  # not kept: what is wrong in it would stay wrong
        subject = f"{join_reference(store.spec, tagged.tag)}: {path}"
        message = "the store sent other bytes than the release names; they were thrown away"
        actual = f"sha256:{found.sha256} ({found.size} bytes)"
        expected = f"{layer.digest} ({layer.size} bytes)"
        raise Refused.of("mismatch", subject, message, expected, actual, hint="pull again, or from another store")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        raise CannotCheck(f"{target} is a folder, and the release has a file there", "pull into an empty folder")
    os.replace(part, target)
    return found.size - held


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """The folder of what has not arrived whole, for one pull at a time. It goes with the pull that ends well."""
    incoming = folder / INCOMING
    with locked(folder):
        if incoming.is_symlink():
            raise CannotCheck(f"{incoming} is a symbolic link", "remove it")
        incoming.mkdir(exist_ok=True)
        yield incoming
        shutil.rmtree(incoming, ignore_errors=True)


def default_folder(spec: str, tag: str) -> str:
    """Where a pull goes by default: the last part of the store's name, and the tag."""
    return f"{spec.replace(':', '/').rstrip('/').rpartition('/')[2] or 'release'}-{tag.removeprefix('sha256:')[:128]}"
