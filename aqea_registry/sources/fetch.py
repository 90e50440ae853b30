"""Pinned bytes, brought from the first source that has them into a local folder with nothing else in it."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from aqea_registry.base import files as disk
from aqea_registry.base.findings import CannotCheck, Finding, NotAllowed, Refused, RegistryError
from aqea_registry.base.progress import Reporter
from aqea_registry.project.lock import Pin, PinnedFile
from aqea_registry.project.project import CACHE
from aqea_registry.sources.kinds import Source


class LocalFile(NamedTuple):
    """A pinned file where a local source has it, or where `fetch` puts it."""

    subject: str
    name: str  # its path in the repository
    path: Path
    file: PinnedFile


def fetch(name: str, pin: Pin, sources: Sequence[Source], root: Path, report: Reporter) -> Path:
    """Return a folder with exactly the pinned files, each checked just now, in the project at `root`.

    Sources are asked in their order. One on this machine is hashed where it lies, every time, so that a change in it is
    noticed; a remote one is asked only for what the folder lacks. Raises Refused if all bytes that were found are wrong,
    CannotCheck if there are none.
    """
    folder = pinned_folder(pin, root)
    silent: dict[str, RegistryError] = {}
    with report.task(f"check {name}", sum(file.size for file in pin.files.values()), "bytes") as advance:
        for path, file in sorted(pin.files.items()):
            wanted = LocalFile(f"{name}: {path}", path, disk.inside(folder, path), file)
            _fetch_one(wanted, sources, report, advance, silent)
    contents = (disk.wrong_content(folder / path, path, f"{name}: {path}") for path in sorted(pin.files))
    refuse_contents(name, contents)  # a lock of 0.1.0 may bind a pointer
    for entry in folder.rglob("*"):  # a loader reads everything that it finds
        if not entry.is_dir() and entry.relative_to(folder).as_posix() not in pin.files and entry.suffix != ".part":
            entry.unlink(missing_ok=True)
    return folder


def opened(files: Mapping[str, Path]) -> Iterator[tuple[str, BinaryIO]]:
    """Each of these regular files, open while its turn lasts, in the order of their names."""
    for name, path in sorted(files.items()):
        with io.BufferedReader(disk.open_regular(path)) as file:
            yield name, file


def pinned_folder(pin: Pin, root: Path) -> Path:
    """Where `fetch` keeps the checked copies of a pin's files. Nothing in it is checked here."""
    return root / CACHE / "pinned" / f"{pin.id.rpartition('/')[2]}-{pin.digest()[:16]}"


def _fetch_one(
    wanted: LocalFile, sources: Sequence[Source], report: Reporter, advance: disk.Advance, silent: dict[str, RegistryError]
) -> None:
    """Bring one file. `silent` remembers the sources that did not answer, so that each is waited for once."""
    wrong, absent, path, name = list[Finding](), list[str](), wanted.name, wanted.subject.partition(":")[0]
    for source in sources:
        if (known := silent.get(source.spec)) or not source.present():
            absent.append(known.message if known else f"{source.spec} is not here ({source.hint})")
            continue
        try:
            _take(source, wanted, advance)
            return
        except FileNotFoundError:
            absent.append(f"{source.spec} has no {path}")
        except RegistryError as error:
            silent[source.spec] = error
            absent.append(error.message)
        except OSError as error:
            if error.errno in disk.NO_ROOM:
                raise
            absent.append(f"{source.spec}: {path}: {error}")
        except disk.WrongBytes as error:
            finding = wrong_bytes(f"{wanted.subject} from {source.spec}", wanted.file, error.actual)
            report.warn(f"{finding.subject}: {finding.message}; expected {finding.expected}, got {finding.actual}; not used")
            wrong.append(finding)
            at = source.local(path)
            if cause := disk.wrong_content(at, path, finding.subject) if at else None:
                wrong.append(cause)
    if wrong:  # every source that has the file gave other bytes
        first, causes = wrong[0], "".join(f"; {cause.message}" for cause in wrong if cause.expected is None)
        hint = f"get the pinned bytes from another source, or look at the change and pin it: aqea-registry pin {name}"
        raise Refused(f"{first.subject}: {first.message}: expected {first.expected}, got {first.actual}{causes}", wrong, hint)
    if not _holds(wanted, advance):  # a copy that was checked before outlives its source
        refused = next((error for error in silent.values() if isinstance(error, NotAllowed)), None)
        raise (NotAllowed if refused else CannotCheck)(
            f"{name}: no source has {path}: {'; '.join(absent) or 'params.yaml names no source'}",
            refused.hint if refused else f"make one of the sources of {name} in params.yaml available",
        )


def _take(source: Source, wanted: LocalFile, advance: disk.Advance) -> None:
    """Bring one file from one source, unless the target has it already. Raises WrongBytes and OSError."""
    _, path, target, file = wanted
    local = source.local(path)
    if local is not None:
        if local.stat().st_size > file.size and local.is_file():
            raise disk.WrongBytes(None, file.size)
        digest = disk.hash_file(local)
        if not _is(digest, file):
            raise disk.WrongBytes(digest.sha256, digest.size)
    if _holds(wanted, advance):
        return
    try:
        with source.open(path, file.size) as incoming:
            disk.copy_checked(incoming, target, file.sha256, file.size, advance)
    except disk.WrongBytes:
        if source.spec != "hub":
            raise
        with source.open(path, file.size) as incoming:  # what a broken run left behind may have spoiled it: from the start
            disk.copy_checked(incoming, target, file.sha256, file.size, advance)


def _holds(wanted: LocalFile, advance: disk.Advance) -> bool:
    try:
        size = wanted.path.stat().st_size
        return size == wanted.file.size and _is(disk.hash_file(wanted.path, advance=advance), wanted.file)
    except OSError:
        return False


def _is(digest: disk.FileDigest, file: PinnedFile) -> bool:
    return (digest.sha256, digest.size) == (file.sha256, file.size)


def wrong_bytes(subject: str, file: PinnedFile, actual: str, why: str = "") -> Finding:
    """The finding for bytes that are not the pinned ones."""
    return Finding("mismatch", subject, f"these are not the pinned bytes{why}", f"{file.sha256} ({file.size} bytes)", actual)


def refuse_contents(name: str, looked_at: Iterable[Finding | None]) -> None:
    """Raise Refused if files are not what their names say."""
    if wrong := [finding for finding in looked_at if finding is not None]:
        messages = "; ".join(finding.message for finding in wrong)
        raise Refused(f"{name}: {messages}", wrong, f"put the files there, then run this again; or aqea-registry pin {name}")


def local_files(name: str, pin: Pin, sources: Sequence[Source]) -> tuple[list[LocalFile], list[Finding]]:
    """Every pinned file in every source here; a finding where a folder lacks it, but for the Hub's cache and given vectors."""
    local, findings = list[LocalFile](), list[Finding]()
    for source in sources:
        if not source.present():
            continue
        for path, file in sorted(pin.files.items()):
            subject = f"{name}: {path} in {source.spec}"
            try:
                location = source.local(path)
            except OSError as error:
                findings.append(Finding("unsafe-path", subject, str(error)))
                continue
            if location is not None:
                local.append(LocalFile(subject, path, location, file))
            elif source.spec.startswith(("directory:", "package:")) and pin.kind != "given":
                findings.append(Finding("missing", subject, "the source lacks a pinned file", file.sha256))
    return local, findings


def local_file_findings(local: LocalFile, digest: disk.FileDigest | OSError) -> Iterator[Finding]:
    """What is wrong with the bytes of a source: other ones than the pinned, or not what the file's name says."""
    if isinstance(digest, OSError):
        yield Finding("unreadable", local.subject, str(digest))
        return
    if not _is(digest, local.file):
        meant = f"; where the change is meant: aqea-registry pin {local.subject.partition(':')[0]}, then: dvc repro"
        why = disk.why_other(local.path, digest, local.file.sha256) or (meant if " in directory:" in local.subject else "")
        yield wrong_bytes(local.subject, local.file, f"{digest.sha256} ({digest.size} bytes)", why)
    if cause := disk.wrong_content(local.path, local.name, local.subject):
        yield cause
