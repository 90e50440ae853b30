"""Restore a release from a store: each file is checked before it gets its name, and none is written outside the folder.

Or a whole project out of it: its files where `dvc repro`, `verify` and `confirm` look for them, but for the sentences.
"""

import os
import posixpath
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from aqea_registry.base import files as disk
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.references import is_folder, join_reference
from aqea_registry.comparison.trees import PINS
from aqea_registry.generation.generate import draw_plot
from aqea_registry.project.artefact import PROJECT, CatalogueEntry
from aqea_registry.project.params import Dataset, Model, Params
from aqea_registry.project.project import PARAMS, STAGES, Project, open_project, small_text, write_manifest
from aqea_registry.project.scaffold import LISTS, with_lines
from aqea_registry.releases.layout import parse_project, restored_path
from aqea_registry.remote.retry import CONNECTIONS, at_once
from aqea_registry.stores.attachments import current, no_marks
from aqea_registry.stores.open_store import read_text
from aqea_registry.stores.port import Releases, Tagged
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
    store: Releases, tagged: Tagged, folder: Path, report: Reporter, *, force: bool = False, places: Mapping[str, str] = {}
) -> Pulled:
    """Restore a release into a folder; a pull that was interrupted is repeated and continues.

    With `places`, these of its files alone, each to the path below the folder that is given for it.

    Raises CannotCheck, and Refused for unsafe paths, for files in the way (unless `force`) and for other bytes than its own.
    """
    release = store.release(tagged)
    reference = join_reference(store.spec, tagged.tag)
    files = {path: layer for path, layer in release.files().items() if not places or path in places}
    paths = _paths(folder, places or {path: path for path in files})
    wanted = _wanted(files, paths, reference, force)
    check_room(folder, sum(layer.size for layer in wanted.values()), "make room, or pull elsewhere")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder) as incoming:
        wanted = _wanted(wanted, paths, reference, force)  # another pull may have brought them while this one waited
        same: dict[str, list[str]] = {}  # files of the same bytes have one part, so they come one after another
        for path, layer in wanted.items():
            same.setdefault(layer.digest, []).append(path)

        def fetch(group: list[str], moved: disk.Advance) -> int:
            return sum(_fetch(store, tagged, path, wanted[path], incoming, paths[path], moved) for path in group)

        with report.task(f"pull {reference}", sum(layer.size for layer in wanted.values()), "bytes") as advance:
            # A disk gains nothing from several at once, and what is there after a failure is the same each time.
            sent = sum(at_once(fetch, same.values(), advance, 1 if is_folder(store.spec) else CONNECTIONS))
    attached = store.attachments(tagged)
    for name, message in no_marks(attached, tagged.digest).items():
        report.warn(f"{reference}: {name}: {message}")
    mark, at = current(attached, tagged.digest), join_reference(store.spec, tagged.tag, tagged.digest)
    status = mark.text() if mark else None
    return Pulled(
        reference=at, digest=tagged.digest, folder=str(folder), files=len(files), fetched=len(wanted), bytes=sent, status=status
    )


def check_room(folder: Path, needed: int, hint: str, what: str = "the release") -> None:
    """Raise CannotCheck if the disk has not so many free bytes where a folder is or will be."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if (free := shutil.disk_usage(there).free) < needed:
        raise CannotCheck(f"{folder}: {what} needs {needed} bytes and the disk has {free}", hint)


def _paths(folder: Path, places: Mapping[str, str]) -> dict[str, Path]:
    """Where the files go. Raises Refused for a path that leads out of the folder."""
    paths = {}
    for path, relative in places.items():
        try:
            paths[path] = disk.inside(folder, relative)
        except disk.UnsafePath as error:
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
        digest = None
        try:
            digest = disk.hash_file(target)
            actual = f"sha256:{digest.sha256}" if not target.is_symlink() else "a symbolic link"
        except OSError as error:
            actual = f"no file: {error.strerror}"
        if actual != layer.digest:
            wanted[path] = layer
            why = disk.why_other(target, digest, layer.digest.removeprefix("sha256:")) if digest else ""
            message = f"a different file exists at this path{why}"
            findings.append(Finding("conflict", str(target), message, layer.digest, actual))
    if findings and not force:
        message = f"{plural(len(findings), 'file differs', 'files differ')} from those of {reference}; nothing was written"
        raise Refused(message, findings, "name an empty folder, or replace them with: aqea-registry pull ... --force")
    return wanted


def _fetch(
    store: Releases, tagged: Tagged, path: str, layer: Descriptor, incoming: Path, target: Path, advance: disk.Advance
) -> int:
    """Bring one file, from where the last pull stopped, and give it its name. Returns the bytes that were sent."""
    part = incoming / layer.digest.removeprefix("sha256:")
    offset = part.stat().st_size if part.exists() else 0
    if offset > layer.size:
        part.unlink()
        offset = 0
    advance(offset)
    digest = None
    if offset < layer.size or not part.exists():
        try:
            with store.open(tagged, path, layer, offset) as source, part.open("ab") as file:
                digest = disk.hash_stream(source, layer.size - offset, advance, file)
        except OSError as error:
            if error.errno in disk.NO_ROOM:  # what is written to names no file
                error.filename = str(target)
            raise
    if digest is None or offset:
        digest = disk.hash_file(part)
    if (f"sha256:{digest.sha256}", digest.size) != (layer.digest, layer.size):
        part.unlink()  # not kept: what is wrong in it would stay wrong
        subject = f"{join_reference(store.spec, tagged.tag)}: {path}"
        message = "the store sent other bytes than the release names; they were thrown away"
        actual = f"sha256:{digest.sha256} ({digest.size} bytes)"
        expected = f"{layer.digest} ({layer.size} bytes)"
        raise Refused.of("mismatch", subject, message, expected, actual, hint="pull again, or from another store")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        raise CannotCheck(f"{target} is a folder, and the release has a file there", "pull into an empty folder")
    os.replace(part, target)
    return digest.size - offset


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """The folder of what has not arrived whole, for one pull at a time. It goes with the pull that ends well."""
    incoming = folder / INCOMING
    with disk.locked(folder):
        if incoming.is_symlink():
            raise CannotCheck(f"{incoming} is a symbolic link", "remove it")
        incoming.mkdir(exist_ok=True)
        yield incoming
        shutil.rmtree(incoming, ignore_errors=True)


def default_folder(spec: str, tag: str) -> str:
    """Where a pull goes by default: the last part of the store's name, and the tag."""
    return f"{spec.replace(':', '/').rstrip('/').rpartition('/')[2] or 'release'}-{tag.removeprefix('sha256:')[:128]}"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not part of the release: of which entry, where it must lie, and what its bytes are."""

    name: str
    path: str
    sha256: str


class Restored(Pulled, frozen=True, kw_only=True):
    """A project out of a release; `wanted` are the files that nobody but their owner can give, `notes` what was set up."""

    wanted: tuple[Wanted, ...]
    notes: tuple[str, ...] = ()


def restore(
    store: Releases, tagged: Tagged, folder: Path, given: Mapping[str, Path], report: Reporter, *, force: bool = False
) -> Restored:
    """Restore the project of a release; repeated, it goes on. `given` has files or folders by the name of a dataset.

    Raises what `pull` raises, and Refused for a release that does not hold its project, or one that would act beyond it.
    """
    release = store.release(tagged)
    files = release.files()
    places = {path: location for path in files if (location := restored_path(path)) is not None}
    needed = [f"{PROJECT}{PARAMS}", f"{PROJECT}{STAGES}", PINS]
    if lacking := [path for path in needed if path not in files]:
        message = "the release does not hold it, as those of earlier versions do not, so no project can be made of it"
        hint = "leave --project out to restore its files; to make it again, use a clone of its project"
        raise Refused.of("missing", f"{join_reference(store.spec, tagged.tag)}: {lacking[0]}", message, hint=hint)
    refuse_unknown(given, parse_project(*(read_text(store, tagged, path, files[path]) for path in needed[:2])))
    done = pull(store, tagged, folder, report, force=force, places=places)
    project = open_project(folder)
    folders = (_folder_of(project.catalogue[name].entry) for name in project.run.pins())
    sentences = {f"/{posixpath.normpath(source)}/" for source in folders if source}
    for name, lines in LISTS.items():
        own = sorted(sentences) if name == ".gitignore" else []  # nobody else's to publish
        disk.write_bytes(folder / name, with_lines(small_text(folder / name, disk.Limit.DOCUMENT), [*lines, *own]).encode())
    for artefact in project.artefacts.values():
        if not (folder / artefact.plot).exists():
            draw_plot(folder, artefact)
    away = {restored_path(path) or path: (layer.digest[7:], layer.size) for path, layer in release.left_out().items()}
    write_manifest(folder, project.run.paths(), report, away)
    wanted = [file for name in project.run.pins() for file in bring_files(project.catalogue[name], given.get(name))]
    return Restored(**msgspec.structs.asdict(done), wanted=tuple(wanted))


def from_nothing(store: Releases, tagged: Tagged, folder: Path, given: Mapping[str, Path], report: Reporter) -> Project:
    """The project of a release, ready to be made again. Raises CannotCheck if files are wanted, Refused for foreign code."""
    restored = restore(store, tagged, folder, given, report)
    project = open_project(folder)
    for name, model in project.params.models.items():
        if model.trust_remote_code or model.allow_pickle:
            message = "the release would run code that came with this model, and nobody here has allowed that yet"
            way = f"look at {folder / PARAMS}; if you trust it, run in {folder}: aqea-registry confirm {restored.reference}"
            raise Refused.of("unsafe-model", f"models.{name}", message, hint=way)
    if restored.wanted:
        findings = [Finding("missing", file.path, f"of {file.name}; its sha256 is {file.sha256}") for file in restored.wanted]
        message = f"{plural(len(findings), 'file of sentences is', 'files of sentences are')} not part of the release"
        ways = " ".join(f"--source {name}=PATH" for name in dict.fromkeys(file.name for file in restored.wanted))
        raise CannotCheck(message, f"run it again with {ways}", findings)
    return project


def refuse_unknown(given: Mapping[str, Path], params: Params) -> None:
    """Raise BadConfiguration if a name is not of an entry whose files lie in a folder, or a path of no file."""
    local = {name for name, entry in params.catalogue.items() if _folder_of(entry)}
    for name, path in given.items():
        if name not in local:
            known = ", ".join(sorted(local)) or "none: all data and models come from their sources"
            message = f"--source {name}: the release has no entry of this name that lies in a folder"
            raise BadConfiguration(message, f"it has {known}")
        if not path.exists():
            raise BadConfiguration(f"--source {name}: {path} does not exist", "name a file or a folder")


def bring_files(wanted: CatalogueEntry, given: Path | None) -> list[Wanted]:
    """The pinned files of a folder that are not where its source has them; taken from what is given."""
    source, missing = _folder_of(wanted.entry), list[Wanted]()
    for path, file in (wanted.pin.files if wanted.pin and source else {}).items():
        target = disk.inside(wanted.root, f"{source}/{path}")
        if given is not None and not _is(target, file.sha256):
            origin = given / path if given.is_dir() else given
            try:
                with disk.open_regular(origin) as content:
                    disk.copy_checked(content, target, file.sha256, file.size)
            except disk.WrongBytes as error:
                message = f"it is not the {path} that {wanted.name} was pinned with"
                raise Refused.of("mismatch", str(origin), message, file.sha256, error.actual) from error
        if not _is(target, file.sha256):
            missing.append(Wanted(name=wanted.name, path=str(target), sha256=file.sha256))
    return missing


def _folder_of(entry: Dataset | Model) -> str | None:
    """The folder of the project that an entry's bytes must lie in; the Hub's need not."""
    folders = (spec.partition(":")[2] for spec in entry.sources if spec.startswith("directory:"))
    return next(folders, None) if entry.kind == "directory" else None


def _is(path: Path, sha256: str) -> bool:
    try:
        return disk.hash_file(path).sha256 == sha256
    except OSError:
        return False
