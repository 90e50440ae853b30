"""Make a project out of a release: its files where `dvc repro`, `verify` and `confirm` look for them, but for the sentences."""

import posixpath
from collections.abc import Mapping
from pathlib import Path

import msgspec

from aqea_registry.base.files import Limit, WrongBytes, copy_checked, hash_file, inside, open_regular, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.references import join_reference
from aqea_registry.comparison.trees import PINS
from aqea_registry.generation.generate import draw_plot
from aqea_registry.project.artefact import PROJECT, CatalogueEntry
from aqea_registry.project.params import Dataset, Model, Params
from aqea_registry.project.project import PARAMS, Project, open_project, small_text, write_manifest
from aqea_registry.project.scaffold import LISTS, with_lines
from aqea_registry.releases.layout import STAGES, parse_project, restored_path
from aqea_registry.releases.pull import Pulled, pull
from aqea_registry.stores.open_store import find, read_text
from aqea_registry.stores.port import Held


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
    store: Held,
    tag: str,
    folder: Path,
    given: Mapping[str, Path],
    report: Reporter,
    *,
    digest: str | None = None,
    force: bool = False,
) -> Restored:
    """Restore the project of a release; repeated, it goes on. `given` has files or folders by the name of a dataset.

    Raises what `pull` raises, and Refused for a release that does not hold its project, or one that would act beyond it.
    """
    tagged = find(store, tag, digest)
    release = store.release(tagged)
    files = release.files()
    places = {path: place for path in files if (place := restored_path(path)) is not None}
    needed = [f"{PROJECT}{PARAMS}", f"{PROJECT}{STAGES}", PINS]
    if lacking := [path for path in needed if path not in files]:
        message = "the release does not hold it, as those of earlier versions do not, so no project can be made of it"
        hint = "leave --project out to restore its files; to make it again, use a clone of its project"
        raise Refused.of("missing", f"{join_reference(store.spec, tag)}: {lacking[0]}", message, hint=hint)
    params = parse_project(*(read_text(store, tagged, path, files[path]) for path in needed[:2]))
    refuse_unknown(given, params)
    done = pull(store, tag, folder, report, digest=tagged.digest, force=force, places=places)
    project = open_project(folder)
    sentences = {
        f"/{posixpath.normpath(source)}/"
        for name in project.run.pins()
        if (source := _folder_of(project.catalogue[name].entry))
    }
    for name, lines in LISTS.items():
        own = sorted(sentences) if name == ".gitignore" else []  # nobody else's to publish
        write_bytes(folder / name, with_lines(small_text(folder / name, Limit.DOCUMENT), [*lines, *own]).encode())
    for artefact in project.artefacts.values():
        if not (folder / artefact.plot).exists():
            draw_plot(folder, artefact)
    away = {restored_path(path) or path: (layer.digest[7:], layer.size) for path, layer in release.left_out().items()}
    write_manifest(folder, project.run.paths(), report, away)
    wanted = [file for name in project.run.pins() for file in bring_files(project.catalogue[name], given.get(name))]
    return Restored(**msgspec.structs.asdict(done), wanted=tuple(wanted))


def from_nothing(
    store: Held, tag: str, folder: Path, given: Mapping[str, Path], report: Reporter, *, digest: str | None = None
) -> Project:
    """The project of a release, ready to be made again. Raises CannotCheck if files are wanted, Refused for foreign code."""
    restored = restore(store, tag, folder, given, report, digest=digest)
    project = open_project(folder)
    for name, model in project.params.models.items():
        if model.trust_remote_code or model.allow_pickle:
            message = "the release would run code that came with this model, and nobody here has allowed that yet"
            way = f"look at {folder / PARAMS}; if you trust it, run in {folder}: aqea-registry confirm {restored.reference}"
            raise Refused.of("unsafe-model", f"models.{name}", message, hint=way)
    if restored.wanted:
        findings = [Finding("missing", file.path, f"of {file.name}; its sha256 is {file.sha256}") for file in restored.wanted]
        message = f"{plural(len(findings), 'file of sentences is', 'files of sentences are')} not part of the release"
        raise CannotCheck(message, f"run it again with --source {restored.wanted[0].name}=PATH", findings)
    return project


def refuse_unknown(given: Mapping[str, Path], params: Params) -> None:
    """Raise BadConfiguration if a name is not of an entry whose files lie in a folder, or a path of no file."""
    local = {name for name, entry in params.catalogue.items() if _folder_of(entry)}
    for name, path in given.items():
        if name not in local:
            known = ", ".join(sorted(local)) or "none: all data and models come from their sources"
            raise BadConfiguration(
                f"--source {name}: the release has no entry of this name that lies in a folder", f"it has {known}"
            )
        if not path.exists():
            raise BadConfiguration(f"--source {name}: {path} does not exist", "name a file or a folder")


def bring_files(wanted: CatalogueEntry, given: Path | None) -> list[Wanted]:
    """The pinned files of a folder that are not where its source has them; taken from what is given."""
    source, missing = _folder_of(wanted.entry), list[Wanted]()
    for path, file in (wanted.pin.files if wanted.pin and source else {}).items():
        target = inside(wanted.root, f"{source}/{path}")
        if given is not None and not _is(target, file.sha256):
            origin = given / path if given.is_dir() else given
            try:
                with open_regular(origin) as content:
                    copy_checked(content, target, file.sha256, file.size)
            except WrongBytes as error:
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
        return hash_file(path).sha256 == sha256
    except OSError:
        return False
