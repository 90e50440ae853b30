"""The package: what a release contains, as paths and bytes, and the folder `hf_package/` made of it.

A package is made of a verified run and of nothing else: the files of its manifest under their published names, and the
card, the Croissant description, the plot, the report and the list of digests that are written for it.
"""

import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry.base.files import PART, Limit, copy_checked, hash_file, hash_files, open_regular, read_small, write_bytes
from aqea_registry.base.findings import Finding, Refused
from aqea_registry.base.progress import Reporter, Silent, plural
from aqea_registry.base.sha256_list import parse_list, render
from aqea_registry.base.strict import convert, load_json
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.claims.ledger import ledger_paths
from aqea_registry.comparison.trees import Contents, contents_of, is_compared
from aqea_registry.documents.metrics import RANKED
from aqea_registry.project.artefact import CLAIMS, CatalogueEntry, VectorSetArtefact, published_path
from aqea_registry.project.citation import links, read_citation
from aqea_registry.project.params import Publish
from aqea_registry.project.project import Project, RunRecord, Scope
from aqea_registry.releases import card
from aqea_registry.releases.card import CARD, CROISSANT, PLOT, REPORT
from aqea_registry.releases.layout import project_texts
from aqea_registry.report.plots import Score, render_plot
from aqea_registry.report.report import page_of, pair_sets_of, render_page, tasks_of
from aqea_registry.stores.open_store import read_text
from aqea_registry.stores.port import Store, Tagged, unchanged
from aqea_registry.stores.release import LIST, Descriptor, Release, build, digest_of
from aqea_registry.tracing.trace import check_bytes, outline
from aqea_registry.vectors.containers.open_pairs import import_pyarrow
from aqea_registry.verification.verify_folder import present
from aqea_registry.verification.verify_project import AWAY, CheckedProject, verify_project

# What authors state of a release, and the rows of claims: card and page are of one run where these are equal.
STATED = ("name", "license", "inLanguage", "creator")
CLAIM = re.compile(rb'<tr id="([^"]+)" class=\w+><td>[^<]*<th scope=row>[^<]*<td>([^<]*)<td>([^<]*)<td>[^<]*<td>(\w*)')


# Makes the file with the nearest documents of each query of a vector set whose result has this hex sha256.
MakeLists = Callable[[CatalogueEntry, VectorSetArtefact, str, Reporter], Path]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A release and where its bytes are: in files that were verified, or in texts that were made for it."""

    release: Release
    texts: dict[str, bytes]
    paths: dict[str, Path]

    def content(self, path: str) -> Path | bytes:
        """The bytes of a path of the release, as a store takes them."""
        return self.texts[path] if path in self.texts else self.paths[path]

    def contents(self) -> Contents:
        """What is compared with other releases."""
        files = {path: read_small(at, Limit.PROJECT) for path, at in self.paths.items() if is_compared(path)}
        texts = {path: text for path, text in self.texts.items() if is_compared(path)}
        return contents_of("the run", self.release, files | texts)


class WrittenPackage(msgspec.Struct, frozen=True, kw_only=True):
    """The folder as written: how many files it has, which were not so before, and which were removed."""

    folder: str
    files: int
    bytes: int
    written: tuple[str, ...]
    removed: tuple[str, ...]


def assemble(project: Project, report: Reporter, make_lists: MakeLists) -> Package:
    """Verify a run, judge its claims, draw its graph and page, and package it, for package and publish. Raises Refused."""
    checked = verify_project(project, report)
    if checked.findings:
        message = f"verification has {plural(len(checked.findings), 'finding')}, so there is no release of this run"
        raise Refused(message, checked.findings, "run: dvc repro, then aqea-registry verify")
    judged = check_claims(project, (), Silent(), scope=Scope.RELEASE, verified=checked)
    if wrong := sum(verdict.state == "contradicted" for verdict in judged.verdicts):
        report.warn(f"{plural(wrong, 'claim')} contradicted, and the release will say so; see: aqea-registry claims check")
    run, publish = project.run, project.params.publish
    faults = [finding for finding in judged.findings if finding.code in ("malformed", "unreadable")]
    if lost := sorted({path.stem for path in ledger_paths(run.root)} - judged.ledgers.keys()):
        hint = "correct it, or move it away; to see what is wrong: aqea-registry claims check"
        raise Refused(f"the release would lack the ledger {lost[0]}, which cannot be read", faults, hint)
    if faults:
        said = f"the ledgers have {plural(len(faults), 'fault')}, and the release will have them, first {faults[0].text}"
        report.warn(f"{said}; see: aqea-registry claims check")
    drawn = outline(run, project.catalogue.values(), judged, Scope.RELEASE)
    graph = check_bytes(drawn, drawn.nodes.keys(), Silent(), checked)
    away = {made.file: made for made in _too_large(publish, run, checked)}
    paths = {published_path(path): run.root / path for path in run.paths() if path not in away}
    listed = {published_path(path): checked.digests[path][:2] for path in run.paths() if path not in away}  # sha256 and size
    for made in away.values():
        if checked.vector_sets[made.key].type in RANKED:
            path = card.lists_path(made.key)
            paths[path] = make_lists(project.catalogue[made.dataset], made, checked.digests[made.metrics].sha256, report)
            listed[path] = hash_file(paths[path])[:2]
    texts = project_texts(run.root, project.params, project.entries([*run.pins()]), judged.ledgers)
    described = _card(publish, run, checked, listed)
    addresses = links(publish.url, described.citation)
    page = render_page(page_of(publish.title, run, checked, judged, listed, graph, links=addresses))
    left_out = {made.metrics: (checked.digests[path], published_path(path)) for path, made in away.items()}
    notes = {published_path(at): f"{digest.sha256} {digest.size} {path}" for at, (digest, path) in left_out.items()}
    return build_package(described, {**texts, REPORT: page}, listed, paths, notes)


def _too_large(publish: Publish, run: RunRecord, checked: CheckedProject) -> list[VectorSetArtefact]:
    """The vector sets that a release does not hold. Raises Refused for one that is not here, CannotCheck without pyarrow."""
    if gone := [path for path in run.left_out if path not in checked.digests]:
        raise Refused.of("missing", gone[0], AWAY, hint="dvc repro, then the same command again")
    largest = math.inf if publish.largest_vector_set is None else publish.largest_vector_set
    large = [made for made in run.vector_sets.values() if checked.digests[made.file].size > largest]
    if large:
        import_pyarrow()
    return large


def build_package(
    described: card.Card,
    given: Mapping[str, bytes],
    files: Mapping[str, tuple[str, int]],
    paths: dict[str, Path],
    left_out: Mapping[str, str] = {},
) -> Package:
    """The package of these files (path to sha256 and size), the given texts, and those that are written for it. Pure.

    Each text may name those before it. `left_out` is what the release says at its results.
    """
    texts, known = dict[str, bytes](), dict(files)

    def write(path: str, text: bytes) -> None:
        texts[path], known[path] = text, (hashlib.sha256(text).hexdigest(), len(text))

    for path, text in given.items():
        write(path, text)
    bars = [Score(made.model_text, made.dataset, got.metrics.cos_sim_spearman) for made, got in described.results]
    if bars:
        write(PLOT, render_plot(bars))
    write(CROISSANT, card.render_croissant(msgspec.structs.replace(described, files=known)))
    write(CARD, card.render_card(msgspec.structs.replace(described, files=known)))
    write(LIST, render({path: sha256 for path, (sha256, _) in known.items()}))
    release = build(((path, sha256, size) for path, (sha256, size) in known.items()), left_out)
    return Package(release=release, texts=texts, paths=paths)


def as_released(package: Package, store: Store, tagged: Tagged) -> Package | None:
    """The package with a release's own card and page, if its files, claims and what the authors state are those of this run.

    A later version of this program writes another card, and a tag keeps the one that it has. Raises Refused and CannotCheck.
    """
    if tagged.digest == package.release.digest():
        return package
    release = store.release(tagged)
    files = [{path: layer.digest for path, layer in made.files().items()} for made in (package.release, release)]
    ours, theirs = ({path: digest for path, digest in made.items() if path not in package.texts} for made in files)
    if ours != theirs:
        return None
    written = ((path, layer) for path, layer in release.files().items() if path in package.texts)
    texts = {path: read_text(store, tagged, path, layer) for path, layer in written}
    ledgers_differ = any(package.texts[path] != text for path, text in texts.items() if path.startswith(CLAIMS))
    if ledgers_differ or _stated(texts) != _stated(package.texts):
        return None
    return Package(release=release, texts=texts, paths=package.paths)


def _stated(texts: Mapping[str, bytes]) -> tuple[list[object], list[tuple[bytes, ...]]]:
    """What the authors state, and each claim: its name, place, print and kind of evidence."""
    described = convert(load_json(texts.get(CROISSANT, b"{}"), CROISSANT, "pull it again"), dict[str, Any], CROISSANT)
    return [described.get(key) for key in STATED], CLAIM.findall(texts.get(REPORT, b""))


def write_package(package: Package, folder: Path, report: Reporter) -> WrittenPackage:
    """Make a folder hold exactly the package, also where it holds an older one.

    Raises Refused, before anything is written, for a file in it that is not of a package; and for one that changed since.
    """
    layers, listed = package.release.files(), _listed(folder)
    present = _present(folder, {*layers, *listed})
    _refuse_foreign(folder, present, listed, layers)
    old, written = sorted({*present} - {*layers}), list[str]()
    with report.task(f"write {folder}", package.release.size(), "bytes") as advance:
        for path in sorted(layers, key=lambda path: path == LIST):  # the list last: until then the old one says what is ours
            if path == LIST:
                for location in (folder / at for at in old):
                    location.unlink()
                    while (location := location.parent) != folder and not any(location.iterdir()):
                        location.rmdir()
            if present.get(path) != layers[path].digest:
                _write(package.content(path), folder / path, layers[path])
                written.append(path)
            advance(layers[path].size)
    size = package.release.size()
    return WrittenPackage(folder=str(folder), files=len(layers), bytes=size, written=tuple(written), removed=tuple(old))


def _card(publish: Publish, run: RunRecord, verification: CheckedProject, listed: Mapping[str, tuple[str, int]]) -> card.Card:
    """What the card shows of the run, but for the files: those are known when everything else is written."""
    digests, vector_sets = verification.digests, run.vector_sets.values()
    return card.Card(
        publish=publish,
        results=pair_sets_of(run, verification),
        tasks=tasks_of(run, verification),
        left_out={made.key: digests[made.file] for made in vector_sets if published_path(made.file) not in listed},
        files={},
        pins={name: pin for name, pin in run.pins().items() if pin is not None},
        given="".join(f" But {remark}." for remark in run.remarks()),
        citation=read_citation(run.root),
    )


def _listed(folder: Path) -> dict[str, str]:
    """What the folder's own list says is ours, itself included: path to digest. Nothing, if it is not one that we wrote."""
    try:
        content = read_small(folder / LIST, Limit.PROJECT)
    except OSError:
        return {}
    listed, findings, _ = parse_list(content, LIST)
    if findings or content != render(listed):
        return {}
    return {**{path: f"sha256:{sha256}" for path, sha256 in listed.items()}, LIST: digest_of(content)}


def _present(folder: Path, known: set[str]) -> dict[str, str | None]:
    """Every file in the folder to its digest; None if it is a link, cannot be read or has a name that no package knows."""
    if os.path.lexists(folder) and not folder.is_dir():
        return {".": None}
    by_path: dict[str, str | None] = dict.fromkeys(path for path in present(folder, ("",)) if not _part_of(path, known))
    digests = hash_files(folder / path for path in by_path if path in known and not (folder / path).is_symlink())
    for path in by_path:
        digest = digests.get(folder / path)
        by_path[path] = None if digest is None or isinstance(digest, OSError) else f"sha256:{digest.sha256}"
    return by_path


def _part_of(path: str, known: set[str]) -> bool:
    """Whether a killed process left this beginning of a file: it is swept with the next writing."""
    folder, slash, name = path.rpartition("/")
    part = PART.fullmatch(name)
    return part is not None and f"{folder}{slash}{part[1]}" in known


def _refuse_foreign(
    folder: Path, present: Mapping[str, str | None], listed: Mapping[str, str], layers: Mapping[str, Descriptor]
) -> None:
    """Ours is what has the bytes of this package, or those that the folder's own list names; all else is not touched."""
    foreign = []
    for path, digest in sorted(present.items()):
        if digest is None or digest not in (listed.get(path), layers[path].digest if path in layers else None):
            foreign.append(Finding("unexpected", str(folder / path), "the file is not of a package made here"))
    if foreign:
        files = plural(len(foreign), "file")
        first = Path(foreign[0].subject).relative_to(folder)
        message = f"{folder} holds {files} not of a package made here, first {first}; nothing written"
        raise Refused(message, foreign, "move them away, or name another folder with --to")


def _write(content: Path | bytes, target: Path, layer: Descriptor) -> None:
    if isinstance(content, bytes):
        write_bytes(target, content)
        return
    with unchanged(str(content), layer.digest), open_regular(content) as file:
        copy_checked(file, target, layer.digest.removeprefix("sha256:"), layer.size)
